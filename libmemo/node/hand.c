/*
 * hand.c - the memos that a party holds (hand.h).
 */
#include "libmemo/node/hand.h"

#include <string.h>

#include "libmemo/api/error.h"
#include "libmemo/memo.h"
#include "libmemo/node/lock.h"

_Static_assert(offsetof(struct memo, flags) == offsetof(struct memo, place) + 2 &&
                   offsetof(struct memo, place) % 4 == 0,
               "a memo's place is logged with its flags");

#define SCRATCH_MEMO 0 /* the memo on its way to or from the heap */

static uint64_t block_bytes(uint64_t size)
{
    return size + sizeof(struct memo);
}

static void fill(struct memo *m, uint64_t size)
{
    m->flags = 0;
    m->size = size;
    m->origin = 0;
    m->redeliveries = 0;
}

struct memo *hand_alloc(self_t *s, uint64_t size)
{
    uint64_t bytes = block_bytes(size);
    offset_t at = 0;
    struct memo *m;

    if (size > HAND_MEMO_MAX)
        return NULL;
    if (bytes <= HEAP_CLASS_MAX && !heap_pressed(s))
        at = heap_pop(s, heap_class(bytes));
    if (at == 0) {
        if (heap_alloc(s, bytes, &s->body->scratch[SCRATCH_MEMO]) != 0)
            return NULL;
        log_commit(s);
        at = s->body->scratch[SCRATCH_MEMO];
        log_u64(s, &s->body->scratch[SCRATCH_MEMO], 0);
    }
    m = node_at(s, at);
    fill(m, size);
    hand_take(s, m);
    log_commit(s);
    hand_done(s);
    return m;
}

static bool place_find(self_t *s, uint32_t *place)
{
    uint32_t i, p = s->free_hand;

    for (i = 0; i < HAND_SLOTS; i++) {
        if (atomic_load_explicit(&s->body->hand[p], memory_order_relaxed) == 0) {
            *place = p;
            s->free_hand = p;
            return true;
        }
        p = p + 1 < HAND_SLOTS ? p + 1 : 0;
    }
    return false;
}

static void list_take(self_t *s, struct memo *m)
{
    body_t *b = s->body;

    if (s->hand_locked == NULL) {
        lock_take(s, &b->hand_lock);
        s->hand_locked = &b->hand_lock;
    }
    m->place = HAND_LISTED;
    log_u64(s, &m->next, b->hand_list);
    log_u64(s, &m->stamp, 0);
    if (b->hand_list != 0)
        log_u64(s, &((struct memo *)node_at(s, b->hand_list))->stamp, node_offset(s, m));
    log_u64(s, &b->hand_list, node_offset(s, m));
}

void hand_take(self_t *s, struct memo *m)
{
    uint32_t place;

    if (place_find(s, &place)) {
        atomic_store_explicit(&s->body->hand[place], node_offset(s, m), memory_order_relaxed);
        s->places |= UINT32_C(1) << place;
        m->place = (uint16_t)place;
    } else
        list_take(s, m);
    log_a32(s, &m->holder, s->id);
}

static void list_give(self_t *s, struct memo *m, body_t *b)
{
    if (s->hand_locked == NULL) {
        lock_take(s, &b->hand_lock);
        s->hand_locked = &b->hand_lock;
    }
    if (m->next != 0)
        log_u64(s, &((struct memo *)node_at(s, m->next))->stamp, m->stamp);
    if (m->stamp != 0)
        log_u64(s, &((struct memo *)node_at(s, m->stamp))->next, m->next);
    else
        log_u64(s, &b->hand_list, m->next);
    log_u64(s, &m->next, 0);
    log_u64(s, &m->stamp, 0);
}

void hand_give(self_t *s, struct memo *m)
{
    party_id_t holder = atomic_load_explicit(&m->holder, memory_order_relaxed);
    body_t *b = holder == s->id ? s->body : party_body(s, node_party(s, party_index(holder)));

    if (m->place == HAND_LISTED)
        list_give(s, m, b);
    else
        s->given = &b->hand[m->place];
    log_a32(s, &m->holder, 0);
}

void hand_move(self_t *s, struct memo *m)
{
    uint32_t place_and_flags, place;

    /* If our own list is needed, then with its lock; the other hand is ours alone. */
    if (!place_find(s, &place) && s->hand_locked == NULL) {
        lock_take(s, &s->body->hand_lock);
        s->hand_locked = &s->body->hand_lock;
    }
    memcpy(&place_and_flags, (const char *)m + offsetof(struct memo, place), sizeof place_and_flags);
    log_note(s, &m->place, LOG_U32, place_and_flags);
    hand_give(s, m);
    hand_take(s, m);
}

bool hand_held(const node_t *n, offset_t at)
{
    const heap_root_t *h = &n->root->heap;
    const struct memo *m = (const struct memo *)(const void *)(n->region.base + at);
    const party_t *p;
    const body_t *b;
    party_id_t holder;

    if (at - h->base > n->root->size - h->base - sizeof *m || (at & 15) != 0)
        return false;
    holder = atomic_load_explicit(&m->holder, memory_order_relaxed);
    p = &n->root->parties[party_index(holder)];
    if (holder == 0 || atomic_load_explicit(&p->id, memory_order_relaxed) != holder ||
        atomic_load_explicit(&p->client, memory_order_relaxed) != n->client + 1)
        return false;
    if (m->place == HAND_LISTED)
        return true;
    b = (const body_t *)(const void *)(n->region.base + atomic_load_explicit(&p->body, memory_order_relaxed));
    return m->place < HAND_SLOTS && atomic_load_explicit(&b->hand[m->place], memory_order_relaxed) == at;
}

void hand_free_begin(self_t *s, struct memo *m)
{
    uint64_t bytes = block_bytes(m->size);

    hand_give(s, m);
    if (bytes > HEAP_CLASS_MAX)
        log_u64(s, &s->body->scratch[SCRATCH_MEMO], node_offset(s, m));
    else
        s->trim = heap_push(s, heap_class(bytes), node_offset(s, m)) ? heap_class(bytes) + 1 : 0;
}

void hand_free_end(self_t *s)
{
    log_commit(s);
    hand_done(s);
    if (s->body->scratch[SCRATCH_MEMO] != 0)
        heap_free(s, &s->body->scratch[SCRATCH_MEMO]);
    else if (s->trim != 0)
        heap_trim(s, s->trim - 1);
    s->trim = 0;
}

bool hand_busy(const body_t *b)
{
    uint32_t i;

    for (i = 0; i < HAND_SLOTS; i++)
        if (atomic_load_explicit(&b->hand[i], memory_order_acquire) != 0)
            return true;
    /* In this order: the list is emptied under the lock, and the lock freed last. */
    return __atomic_load_n(&b->hand_list, __ATOMIC_ACQUIRE) != 0 ||
           atomic_load_explicit(&b->hand_lock.owner, memory_order_acquire) != 0;
}

int hand_not_held(void)
{
    return memo_error(MEMO_EINVAL,
                      "the memo is not held by this handle: it was put, replaced or freed already, or is of "
                      "another handle");
}

struct memo *hand_first(self_t *s, body_t *b, party_id_t holder)
{
    uint32_t i;

    for (i = 0; i < HAND_SLOTS; i++) {
        offset_t at = atomic_load_explicit(&b->hand[i], memory_order_relaxed);
        struct memo *m = at != 0 ? node_at(s, at) : NULL;
        if (m != NULL && atomic_load_explicit(&m->holder, memory_order_relaxed) == holder && m->place == i)
            return m;
    }
    return b->hand_list != 0 ? node_at(s, b->hand_list) : NULL;
}
