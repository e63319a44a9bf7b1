/*
 * log.c - undoing, and room for large mutations (log.h).
 */
#include "libmemo/node/log.h"

#include "libmemo/memo.h"
#include "libmemo/node/heap.h"

bool log_claim(self_t *s, _Atomic uint64_t *word, uint64_t from, uint64_t to)
{
    /* The entry says what to go back to; undoing looks for `to`, which it forms from `from` as we do here. */
    log_note(s, (const void *)word, LOG_CLAIM, from);
    if (atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_seq_cst, memory_order_relaxed))
        return true;
    s->logged--;
    atomic_store_explicit(&s->body->intent, s->logged, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    return false;
}

/* A claimed word is `from` with the claimer's mark in it; see request_claimed_word() in the layer above, which
 * keeps the mark of the claimer in the low half: index + 1 above the state byte. */
static bool claimed_by(uint64_t word, uint64_t from, party_id_t owner)
{
    return (word >> 32) == (from >> 32) && ((word >> 8) & 0xffff) == party_index(owner) + 1u;
}

static void undo_entry(self_t *s, const log_entry_t *e, party_id_t owner)
{
    void *field = node_at(s, e->where & ~(uint64_t)LOG_HOW);

    switch (e->where & LOG_HOW) {
    case LOG_U32:
        atomic_store_explicit((_Atomic uint32_t *)field, (uint32_t)e->old, memory_order_release);
        break;
    case LOG_CLAIM: {
        _Atomic uint64_t *word = field;
        uint64_t now = atomic_load_explicit(word, memory_order_acquire);
        if (claimed_by(now, e->old, owner))
            atomic_compare_exchange_strong(word, &now, e->old);
        break;
    }
    default:
        atomic_store_explicit((_Atomic uint64_t *)field, e->old, memory_order_release);
    }
}

void log_undo(self_t *s, body_t *b, party_id_t owner)
{
    uint32_t n = (uint32_t)atomic_load_explicit(&b->intent, memory_order_acquire);

    while (n > 0) {
        undo_entry(s, log_entry(s, b, n - 1), owner);
        n--;
        atomic_store_explicit(&b->intent, n, memory_order_release); /* a repairer that dies here is no matter */
    }
}

void log_abort(self_t *s)
{
    log_undo(s, s->body, s->id);
    s->logged = 0;
}

int log_reserve(self_t *s, uint64_t entries)
{
    body_t *b = s->body;
    int result;

    if (entries <= LOG_ENTRIES + b->log_room)
        return MEMO_OK;
    log_trim(s);
    result = heap_alloc(s, (entries - LOG_ENTRIES) * sizeof(log_entry_t), &b->log_more);
    if (result != MEMO_OK)
        return result;
    log_commit(s);
    b->log_room = entries - LOG_ENTRIES;
    return MEMO_OK;
}

void log_trim(self_t *s)
{
    body_t *b = s->body;

    if (b->log_more == 0)
        return;
    b->log_room = 0;
    heap_free(s, &b->log_more);
}
