/*
 * room.c - memory for a memo, or a sentence, or waiting (room.h).
 */
#include "libmemo/node/room.h"

#include "libmemo/api/error.h"
#include "libmemo/memo.h"
#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"

static int wait_for_memory(self_t *s, size_t size, int64_t deadline, struct memo **m)
{
    heap_root_t *h = &s->root->heap;

    for (;;) {
        uint32_t seen = atomic_load(&h->bell);
        int64_t left;
        *m = hand_alloc(s, size);
        if (*m != NULL)
            return MEMO_OK;
        left = deadline == WAIT_FOREVER ? WAIT_TICK_NS : deadline - wait_now();
        if (left <= 0)
            return MEMO_TIMEDOUT;
        if (atomic_load(&s->node->closing))
            return memo_error(MEMO_ECLOSED, "the space was closed while the call waited for memory");
        /* Freed blocks come to light when their owners' caches are given back: not all of that rings. */
        wait_sleep(&h->bell, seen, left < WAIT_TICK_NS / 8 ? left : WAIT_TICK_NS / 8);
        repair_look(s, WAIT_TICK_NS / 2);
    }
}

int room_alloc(self_t *s, size_t size, int64_t timeout_ns, struct memo **m)
{
    int result;

    *m = hand_alloc(s, size);
    if (*m != NULL)
        return MEMO_OK;
    if (size > HAND_MEMO_MAX || size + sizeof(struct memo) > heap_capacity(s->root))
        return memo_error(MEMO_EINVAL, "a memo of %zu bytes is larger than the space could ever hold (%llu bytes)",
                          size, (unsigned long long)(heap_capacity(s->root) - sizeof(struct memo)));
    if (timeout_ns == 0)
        return memo_error(MEMO_EFULL,
                          "no room is left for %zu bytes in the space, or in /dev/shm behind it; take and free "
                          "memos, or make it with a larger size=",
                          size);
    atomic_fetch_add(&s->root->heap.waiting, 1);
    result = wait_for_memory(s, size, wait_deadline(timeout_ns), m);
    atomic_fetch_sub(&s->root->heap.waiting, 1);
    return result;
}
