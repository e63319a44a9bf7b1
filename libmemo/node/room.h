/*
 * room.h - memory for a memo, for callers who are told in a sentence why there is none, or wait for it.
 */
#ifndef ROOM_H
#define ROOM_H

#include "libmemo/node/hand.h"

/*
 * A memo of `size` bytes in the party's hand. timeout_ns: 0 not to wait, MEMO_FOREVER, or how long. MEMO_OK,
 * MEMO_EFULL, MEMO_TIMEDOUT, MEMO_ECLOSED, or MEMO_EINVAL when the space could never hold it.
 */
int room_alloc(self_t *s, size_t size, int64_t timeout_ns, struct memo **m);

#endif
