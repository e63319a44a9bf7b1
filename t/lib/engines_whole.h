/*
 * engines_whole.h - looks into an engine: whether what its directory says of itself agrees, and whether it has
 * changed.
 */
#ifndef ENGINES_WHOLE_H
#define ENGINES_WHOLE_H

#include <stddef.h>

#include "servers/engine.h"

/* Every list, count and cross reference between messages. True; or false, with a sentence. */
bool engine_is_whole(const engine_t *e, char *why, size_t size);

/* How many memos it has, wherever they are. */
uint64_t engine_memos(const engine_t *e);

/* Of all that a message could change: folders with their memos in order, latches, get structures, locks, room, what
 * is deferred or delayed, and requests. `number` tells a memo from others. */
uint64_t engine_digest(const engine_t *e, uint64_t (*number)(const wire_memo_t *memo));

#endif
