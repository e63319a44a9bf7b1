/*
 * deliver.c - how a memo comes into a folder: to the copies and the taker that wait there, or into the queue
 * (shm.h).
 */
#include <limits.h>
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "libmemo/shm/shm.h"

#define ENTRIES_BESIDES_COPIES 48u

/* ---- the queue ------------------------------------------------------------------------------------------- */

/* A clock that all processors share, for MEMO_OLDEST. */
static uint64_t stamp_now(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t t;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(t));
    return t;
#else
    return (uint64_t)wait_now();
#endif
}

static void enqueue_tail(self_t *s, record_t *r, struct memo *m)
{
    offset_t at = node_offset(s, m);

    m->next = 0;
    m->stamp = stamp_now();
    if (r->queue.tail != 0)
        log_u64(s, &((struct memo *)node_at(s, r->queue.tail))->next, at);
    else
        log_u64(s, &r->queue.head, at);
    log_u64(s, &r->queue.tail, at);
}

static void enqueue_head(self_t *s, record_t *r, struct memo *m)
{
    offset_t at = node_offset(s, m);

    m->next = r->queue.head;
    m->stamp = m->next != 0 ? ((struct memo *)node_at(s, m->next))->stamp : stamp_now();
    if (r->queue.tail == 0)
        log_u64(s, &r->queue.tail, at);
    log_u64(s, &r->queue.head, at);
}

static void enqueue(self_t *s, record_t *r, struct memo *m, deliver_where_t where)
{
    if (where == DELIVER_TAIL)
        enqueue_tail(s, r, m);
    else
        enqueue_head(s, r, m);
    log_u64(s, &r->counts, r->counts + COUNT_MEMO);
    log_u64(s, &r->bytes, r->bytes + m->size);
}

/* ---- waiting copies -------------------------------------------------------------------------------------- */

typedef struct copies {
    uint64_t tag; /* of the message that will serve them */
    uint32_t claimed;
    request_t *last;
} copies_t;

/* Claims every copy that waits here. */
static void claim_copies(self_t *s, record_t *r, copies_t *c)
{
    offset_t at;

    for (at = r->copiers.head; at != 0;) {
        get_t *g = node_at(s, at);
        request_t *request = node_at(s, g->request);
        at = g->next;
        if (!request_claim(s, request, g->index))
            continue;
        atomic_store_explicit(&request->tag, c->tag, memory_order_relaxed);
        c->claimed++;
        c->last = request;
    }
}

static bool ours(self_t *s, const request_t *request, uint64_t tag)
{
    uint64_t word = atomic_load_explicit(&request->state, memory_order_relaxed);

    return request_status(word) == REQUEST_CLAIMED && ((word >> 8) & 0xffff) == s->index + 1u &&
           atomic_load_explicit(&request->tag, memory_order_relaxed) == tag;
}

/* One message for all of them, whatever their number; a single one gets the clone itself. */
static void post_copies(self_t *s, record_t *r, const copies_t *c, offset_t clone)
{
    slot_t *slot;
    offset_t at;

    if (c->claimed == 1 && clone != 0) {
        slot = slot_fill(s, SLOT_MEMO, clone, node_offset(s, c->last));
        slot_address(s, slot, c->last->receiver);
    } else {
        slot = slot_fill(s, SLOT_CLONE, clone, 0);
        for (at = r->copiers.head; at != 0; at = ((get_t *)node_at(s, at))->next) {
            const request_t *request = node_at(s, ((get_t *)node_at(s, at))->request);
            if (ours(s, request, c->tag) && !slot_addressed(slot, request->receiver))
                slot_address(s, slot, request->receiver);
        }
    }
    log_u64(s, &s->body->scratch[SHM_SCRATCH_CLONE], 0);
}

/* The copies' own memo, in scratch; without memory for it they will answer MEMO_EFULL. */
static void make_clone(self_t *s, const struct memo *m)
{
    offset_t *scratch = &s->body->scratch[SHM_SCRATCH_CLONE];
    struct memo *clone;

    if (heap_alloc(s, sizeof *m + m->size, scratch) != MEMO_OK)
        return;
    log_commit(s);
    clone = node_at(s, *scratch);
    memset(clone, 0, sizeof *clone);
    clone->size = m->size;
    memcpy(clone + 1, m + 1, m->size);
}

/* ---- a waiting taker ------------------------------------------------------------------------------------- */

static get_t *claim_taker(self_t *s, record_t *r)
{
    offset_t at;

    for (at = r->takers.head; at != 0;) {
        get_t *g = node_at(s, at);
        at = g->next;
        if (request_claim(s, node_at(s, g->request), g->index))
            return g;
    }
    return NULL;
}

static void post_taker(self_t *s, record_t *r, struct memo *m, get_t *g)
{
    const request_t *request = node_at(s, g->request);
    slot_t *slot = slot_fill(s, SLOT_MEMO, node_offset(s, m), g->request);

    slot_address(s, slot, request->receiver);
    get_remove(s, r, g);
    log_u64(s, &m->origin, node_offset(s, r));
    log_u64(s, &r->counts, r->counts + COUNT_REFERENCE);
}

/* ---- delayed puts and joins ------------------------------------------------------------------------------ */

static void release_delayed(self_t *s, record_t *r)
{
    extra_t *x = r->extra != 0 ? node_at(s, r->extra) : NULL;
    list_t *fire = &shm_body(s)->fire;

    if (x == NULL || x->delayed.head == 0)
        return;
    if (fire->tail != 0)
        log_u64(s, &((delayed_t *)node_at(s, fire->tail))->next, x->delayed.head);
    else
        log_u64(s, &fire->head, x->delayed.head);
    log_u64(s, &fire->tail, x->delayed.tail);
    log_u64(s, &x->delayed.head, 0);
    log_u64(s, &x->delayed.tail, 0);
}

/* Before the commit: a join that looks now waits for our lock, and should we die it has looked in vain. */
static void poke_joiners(self_t *s, record_t *r)
{
    offset_t at;

    for (at = r->joiners.head; at != 0; at = ((get_t *)node_at(s, at))->next)
        atomic_store(&((request_t *)node_at(s, ((get_t *)node_at(s, at))->request))->poked, 1);
}

static void ring_joiners(self_t *s, record_t *r)
{
    offset_t at;

    for (at = r->joiners.head; at != 0; at = ((get_t *)node_at(s, at))->next)
        slot_ring(s, ((request_t *)node_at(s, ((get_t *)node_at(s, at))->request))->receiver);
}

/* ---- delivering ------------------------------------------------------------------------------------------ */

static bool somebody_waits(const record_t *r)
{
    return (r->takers.head | r->copiers.head | r->joiners.head | r->extra) != 0;
}

static int deliver_to_waiters(self_t *s, record_t *r, struct memo *m, deliver_where_t where, deliver_leave_t leave,
                              void *arg)
{
    copies_t copies = {0};
    get_t *taker;

    if (log_reserve(s, ENTRIES_BESIDES_COPIES + r->copiers_count) != MEMO_OK)
        return MEMO_EFULL;
    if (slot_begin(s, 2) != MEMO_OK) {
        log_trim(s);
        return MEMO_EFULL;
    }
    /* Only now: slots that slot_begin, or slot_end, frees give their clones back by way of the same scratch. */
    if (r->copiers.head != 0)
        make_clone(s, m);
    copies.tag = slot_next_tag(s);
    claim_copies(s, r, &copies);
    taker = claim_taker(s, r);
    if (copies.claimed > 0)
        post_copies(s, r, &copies, s->body->scratch[SHM_SCRATCH_CLONE]);
    leave(s, m, r, arg);
    if (taker != NULL)
        post_taker(s, r, m, taker);
    else
        enqueue(s, r, m, where);
    release_delayed(s, r);
    if (taker == NULL)
        poke_joiners(s, r);
    slot_commit(s);
    hand_done(s);
    heap_free(s, &s->body->scratch[SHM_SCRATCH_CLONE]); /* of copies that nobody waited for any more */
    slot_end(s);
    if (taker == NULL)
        ring_joiners(s, r);
    record_extra_drop(s, r);
    log_trim(s);
    return MEMO_OK;
}

/* Inlined with its `leave` where every instruction counts. */
static inline __attribute__((always_inline)) int
deliver_with(self_t *s, record_t *r, struct memo *m, deliver_where_t where, deliver_leave_t leave, void *arg)
{
    if (__builtin_expect(somebody_waits(r), 0))
        return deliver_to_waiters(s, r, m, where, leave, arg);
    leave(s, m, r, arg);
    enqueue(s, r, m, where);
    log_commit(s);
    hand_done(s);
    return MEMO_OK;
}

int deliver(self_t *s, record_t *r, struct memo *m, deliver_where_t where, deliver_leave_t leave, void *arg)
{
    return deliver_with(s, r, m, where, leave, arg);
}

void deliver_finish(self_t *s)
{
    if (s->to_wake_count != 0)
        slot_wake(s);
    if (s->body->scratch[SHM_SCRATCH_RECORD] != 0)
        table_tidy(s);
    if (shm_body(s)->fire.head != 0)
        fire_delayed(s, shm_body(s));
}

/* ---- putting --------------------------------------------------------------------------------------------- */

/* The new record goes into the table with the memo that it was made for. */
typedef struct put {
    bucket_t *bucket;
    bool new_record;
} put_t;

static void leave_hand(self_t *s, struct memo *m, record_t *r, void *arg)
{
    const put_t *put = arg;

    if (put->new_record)
        table_insert(s, put->bucket, r);
    hand_give(s, m);
    origins_drop(s, m, r);
    if (m->redeliveries != 0)
        log_u32(s, &m->redeliveries, 0); /* somebody took it and lived */
}

static bool has_room(const self_t *s, const record_t *r, uint64_t size)
{
    const extra_t *x = r->extra != 0 ? node_at(s, r->extra) : NULL;

    if (x == NULL)
        return true;
    return (x->limit_memos == 0 || record_memos(r) + x->reserved_memos < x->limit_memos) &&
           (x->limit_bytes == 0 || r->bytes + x->reserved_bytes + size <= x->limit_bytes);
}

enum { PUT_NO_ROOM = 100 };

static int put_once(self_t *s, const memo_folder_t *folder, struct memo *m, bool will_wait)
{
    put_t put = {.bucket = NULL};
    record_t *r;
    bool grow = false;
    int result;

    origins_prepare(s);
    put.bucket = table_lock(s, folder->hash);
    r = table_find(s, put.bucket, folder);
    if (r == NULL) {
        put.new_record = true;
        r = table_new(s, folder);
        grow = table_long(s, put.bucket);
    }
    if (r == NULL)
        result = memo_error(MEMO_EFULL, "the space has no room left for another folder");
    else if (!has_room(s, r, m->size)) {
        if (will_wait)
            atomic_store(&((extra_t *)node_at(s, r->extra))->room_wanted, 1);
        result = PUT_NO_ROOM;
    } else {
        result = deliver_with(s, r, m, DELIVER_TAIL, leave_hand, &put);
        if (result != MEMO_OK)
            memo_error(result, "the space has no room left to deliver with");
    }
    table_unlock_arrived(s, put.bucket);
    deliver_finish(s);
    if (grow)
        table_grow(s);
    return result;
}

static int put_waiting(self_t *s, const memo_folder_t *folder, struct memo *m, int64_t deadline)
{
    for (;;) {
        uint32_t rooms = atomic_load(&s->root->rooms);
        int result = put_once(s, folder, m, true);
        int64_t left;

        if (result != PUT_NO_ROOM)
            return result;
        if (atomic_load(&s->node->closing))
            return memo_error(MEMO_ECLOSED, "the space was closed while the put waited for room");
        left = deadline == WAIT_FOREVER ? WAIT_TICK_NS : deadline - wait_now();
        if (left <= 0)
            return MEMO_TIMEDOUT;
        wait_sleep(&s->root->rooms, rooms, left < WAIT_TICK_NS ? left : WAIT_TICK_NS);
        repair_look(s, WAIT_TICK_NS / 2);
    }
}

int put_memo(self_t *s, const memo_folder_t *folder, struct memo *m, int64_t deadline)
{
    int result = put_once(s, folder, m, deadline != 0);

    if (result == PUT_NO_ROOM && deadline == 0)
        return memo_error(MEMO_EFULL, "the folder's limit is reached; take memos from it, or raise memo_limit");
    if (result == PUT_NO_ROOM)
        result = put_waiting(s, folder, m, deadline);
    if (result == MEMO_OK)
        node_count_one(&s->body->counts.puts);
    return result;
}

void room_made(self_t *s, const record_t *r)
{
    extra_t *x = r->extra != 0 ? node_at(s, r->extra) : NULL;

    if (x == NULL || atomic_load_explicit(&x->room_wanted, memory_order_relaxed) == 0)
        return;
    atomic_store(&x->room_wanted, 0);
    atomic_fetch_add(&s->root->rooms, 1);
    wait_wake(&s->root->rooms, INT_MAX);
}

/* ---- freeing --------------------------------------------------------------------------------------------- */

void free_memo(self_t *s, struct memo *m)
{
    origins_prepare(s);
    hand_free_begin(s, m);
    origins_drop(s, m, NULL);
    hand_free_end(s);
}
