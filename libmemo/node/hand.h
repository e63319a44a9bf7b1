/*
 * hand.h - memos, and the hand: the memos that a party holds.
 *
 * What makes a memo held is its `holder` word: it names the party. Where its holder finds it is only a hint: a
 * place in the hand counts if the memo's holder and place agree, so the place is written before the mutation and
 * cleared after it, unlogged, by who gives the memo away: nobody else clears it, for he might do so late. Only when
 * the places are all taken, memos hang in a list, under the hand's lock.
 *
 * Any thread of a client may give away what any party of the client holds; only the party itself takes.
 */
#ifndef HAND_H
#define HAND_H

#include "libmemo/node/heap.h"

#define HAND_LISTED 0xffffu

/* A memo: its header, then its bytes. The public memo_t. */
struct memo {
    offset_t next;           /* in a folder's queue; in the hand's list; in a cache when free */
    _Atomic uint32_t holder; /* party id; 0: in a folder, or under way to a waiter */
    uint16_t place;          /* in the holder's hand, or HAND_LISTED */
    uint16_t flags;          /* of the layer above */
    uint64_t size;
    uint64_t stamp;  /* in a folder: when it came there; in the hand's list: the previous one */
    offset_t origin; /* where it was taken from: the layer's above; 0 from nowhere */
    uint32_t redeliveries;
    uint32_t reserved;
};

typedef struct memo hand_memo_t;

_Static_assert(sizeof(struct memo) == 48, "header and 16 bytes share a line");

#define HAND_MEMO_MAX (UINT64_C(1) << 46)

static inline void *hand_data(struct memo *m)
{
    return m + 1;
}

/* A new memo in the party's hand; NULL when there is no memory. A mutation of its own. */
struct memo *hand_alloc(self_t *s, uint64_t size);

/* m comes into the party's hand, as part of a mutation. hand_done() after the commit. */
void hand_take(self_t *s, struct memo *m);

/* m leaves the hand it is in, as part of a mutation; its next is free for use. hand_done() after the commit. */
void hand_give(self_t *s, struct memo *m);

/*
 * m, in the hand of a dead or closing party that the caller repairs, comes into the party's own hand, as part of a
 * mutation, its only giving. hand_done() after the commit.
 */
void hand_move(self_t *s, struct memo *m);

static inline void hand_done(self_t *s)
{
    s->places = 0;
    if (s->given != NULL) {
        atomic_store_explicit(s->given, 0, memory_order_release);
        s->given = NULL;
    }
    if (s->hand_locked != NULL) {
        atomic_store_explicit(&s->hand_locked->owner, 0, memory_order_release);
        s->hand_locked = NULL;
    }
}

/* After log_abort: nothing came into the hand, or left it. */
static inline void hand_abort(self_t *s)
{
    for (; s->places != 0; s->places &= s->places - 1)
        atomic_store_explicit(&s->body->hand[__builtin_ctz(s->places)], 0, memory_order_relaxed);
    s->given = NULL;
    hand_done(s);
}

/*
 * Whether there is anything in a hand of the calling process, or somebody who gave away what was there has yet to
 * do hand_done: then its body must stay.
 */
bool hand_busy(const body_t *b);

/* Whether the handle holds the memo at that offset; no offset makes it read outside the region. */
bool hand_held(const node_t *n, offset_t at);

/* The same, quicker where the calling thread's own party holds it. */
static inline bool hand_holds(const self_t *s, offset_t at)
{
    const struct memo *m = node_at(s, at);

    /* Unsigned: an offset below the heap wraps round. */
    if (at - s->root->heap.base > s->root->size - s->root->heap.base - sizeof *m || (at & 15) != 0)
        return false;
    if (atomic_load_explicit(&m->holder, memory_order_relaxed) == s->id && m->place < HAND_SLOTS)
        return atomic_load_explicit(&s->body->hand[m->place], memory_order_relaxed) == at;
    return hand_held(s->node, at);
}

/* MEMO_EINVAL, and the sentence for a caller who does not hold the memo. */
int hand_not_held(void);

/* Frees a held memo: begins a mutation, to which the caller may add, and which hand_free_end commits. */
void hand_free_begin(self_t *s, struct memo *m);
void hand_free_end(self_t *s);

/* The first memo in the hand of a dead (or closing) party; NULL when it is empty. */
struct memo *hand_first(self_t *s, body_t *b, party_id_t holder);

#endif
