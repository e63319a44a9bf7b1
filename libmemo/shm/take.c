/*
 * take.c - taking and copying what is there, and taking over what a message brings (shm.h).
 */
#include <string.h>

#include "libmemo/shm/shm.h"

struct memo *take_out_first(self_t *s, record_t *r)
{
    struct memo *m = node_at(s, r->queue.head);
    offset_t next = m->next;

    m->origin = node_offset(s, r);
    log_u64(s, &r->queue.head, next);
    if (next == 0)
        log_u64(s, &r->queue.tail, 0);
    log_u64(s, &r->counts, r->counts - COUNT_MEMO + COUNT_REFERENCE);
    log_u64(s, &r->bytes, r->bytes - m->size);
    hand_take(s, m);
    return m;
}

static struct memo *copy_of(self_t *s, struct memo *m)
{
    struct memo *copy = hand_alloc(s, m->size);

    if (copy == NULL) {
        memo_error(MEMO_EFULL, "the space has no room left for a copy of %llu bytes", (unsigned long long)m->size);
        return NULL;
    }
    memcpy(hand_data(copy), hand_data(m), m->size);
    node_count_one(&s->body->counts.copies);
    return copy;
}

static int copy_first(self_t *s, record_t *r, request_t *claim, uint32_t which, struct memo **m)
{
    if (claim != NULL) {
        if (!request_claim(s, claim, which))
            return MEMO_PENDING;
        log_commit(s);
    }
    *m = copy_of(s, node_at(s, r->queue.head));
    return *m != NULL ? MEMO_OK : MEMO_EFULL;
}

int take_first(self_t *s, record_t *r, uint32_t what, request_t *claim, uint32_t which, struct memo **m)
{
    if (what == MEMO_COPY)
        return copy_first(s, r, claim, which, m);
    if (claim != NULL && !request_claim(s, claim, which))
        return MEMO_PENDING;
    *m = take_out_first(s, r);
    log_commit(s);
    hand_done(s);
    node_count_one(&s->body->counts.takes);
    room_made(s, r);
    return MEMO_OK;
}

/* The copies' shared memo goes with its slot: ours is another one. */
static struct memo *copy_message(self_t *s, const slot_message_t *message)
{
    if (message->memo == 0) {
        memo_error(MEMO_EFULL, "the space had no room for the copy that the call waited for");
        return NULL;
    }
    return copy_of(s, node_at(s, message->memo));
}

struct memo *message_memo(self_t *s, const slot_message_t *message)
{
    struct memo *m;

    if (message->kind == SLOT_CLONE)
        return copy_message(s, message);
    m = node_at(s, message->memo);
    hand_take(s, m);
    log_commit(s);
    hand_done(s);
    node_count_one(m->origin != 0 ? &s->body->counts.takes : &s->body->counts.copies);
    return m;
}
