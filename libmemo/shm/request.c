/*
 * request.c - requests and their get structures (shm.h).
 */
#include <string.h>

#include "libmemo/shm/shm.h"

list_t *record_list(record_t *r, uint32_t what)
{
    return what == MEMO_TAKE ? &r->takers : what == MEMO_COPY ? &r->copiers : &r->joiners;
}

static void list_append(self_t *s, list_t *list, get_t *g)
{
    offset_t at = node_offset(s, g);

    g->next = 0;
    g->prev = list->tail;
    if (list->tail != 0)
        log_u64(s, &((get_t *)node_at(s, list->tail))->next, at);
    else
        log_u64(s, &list->head, at);
    log_u64(s, &list->tail, at);
}

static void list_remove(self_t *s, list_t *list, get_t *g)
{
    if (g->next != 0)
        log_u64(s, &((get_t *)node_at(s, g->next))->prev, g->prev);
    else
        log_u64(s, &list->tail, g->prev);
    if (g->prev != 0)
        log_u64(s, &((get_t *)node_at(s, g->prev))->next, g->next);
    else
        log_u64(s, &list->head, g->next);
}

void get_remove(self_t *s, record_t *r, get_t *g)
{
    uint32_t what = ((request_t *)node_at(s, g->request))->what;

    list_remove(s, record_list(r, what), g);
    log_u64(s, &g->record, 0);
    log_u32(s, &r->waiters, r->waiters - 1);
    if (what == MEMO_COPY)
        log_u32(s, &r->copiers_count, r->copiers_count - 1);
}

static void request_link(self_t *s, request_t *r, size_t i, record_t *record)
{
    get_t *g = request_get(s, r, i);

    g->request = node_offset(s, r);
    g->index = (uint32_t)i;
    list_append(s, record_list(record, r->what), g);
    log_u64(s, &g->record, node_offset(s, record));
    log_u32(s, &record->waiters, record->waiters + 1);
    if (r->what == MEMO_COPY)
        log_u32(s, &record->copiers_count, record->copiers_count + 1);
    log_commit(s);
}

record_t *request_link_folder(self_t *s, request_t *r, size_t i, bucket_t *b, const memo_folder_t *folder)
{
    record_t *record = table_find(s, b, folder);

    if (record == NULL) {
        record = table_new(s, folder);
        if (record == NULL)
            return NULL;
        table_insert(s, b, record);
    }
    request_link(s, r, i, record);
    return record;
}

/* A record that a get structure is linked into stays, and so does its hash. */
static void unlink_one(self_t *s, get_t *g)
{
    offset_t at = __atomic_load_n(&g->record, __ATOMIC_ACQUIRE);
    record_t *record;
    bucket_t *b;

    if (at == 0)
        return;
    record = record_at(s, at);
    b = table_lock(s, record->hash);
    if (g->record != 0) {
        get_remove(s, record, g);
        table_drop_if_empty(s, b, record);
        log_commit(s);
    }
    table_unlock(s, b);
    table_tidy(s);
}

void request_unlink_all(self_t *s, request_t *r)
{
    uint32_t i;

    for (i = 0; i < r->count; i++)
        unlink_one(s, request_get(s, r, i));
}

/* ---- the state word -------------------------------------------------------------------------------------- */

bool request_claim(self_t *s, request_t *r, uint32_t which)
{
    for (;;) {
        uint64_t word = atomic_load_explicit(&r->state, memory_order_acquire);

        if (request_status(word) == REQUEST_QUIETING) {
            quiet_settle(s);
            continue;
        }
        if (request_status(word) == REQUEST_CLAIMED)
            atomic_store(&r->poked, 1); /* should that be undone, it must see the memo that we do not give it */
        if (request_status(word) != REQUEST_PENDING || atomic_load(&r->abandoned) != 0)
            return false;
        if (log_claim(s, &r->state, word, request_word(word >> 32, s->index + 1, REQUEST_CLAIMED))) {
            atomic_store_explicit(&r->which, which, memory_order_relaxed);
            return true;
        }
    }
}

void request_arm(self_t *s, request_t *r, uint32_t what, bool quiet)
{
    uint64_t generation = (atomic_load_explicit(&r->state, memory_order_relaxed) >> 32) + 1;

    r->receiver = s->index;
    r->what = what;
    r->quiet = quiet;
    atomic_store_explicit(&r->poked, 0, memory_order_relaxed);
    atomic_store_explicit(&r->abandoned, 0, memory_order_relaxed);
    atomic_store_explicit(&r->tag, 0, memory_order_relaxed);
    atomic_store_explicit(&r->state, request_word(generation & UINT32_MAX, 0, REQUEST_PENDING),
                          memory_order_release);
}

bool request_cancel(self_t *s, request_t *r)
{
    for (;;) {
        uint64_t word = atomic_load_explicit(&r->state, memory_order_acquire);

        if (request_status(word) == REQUEST_QUIETING) {
            quiet_settle(s);
            continue;
        }
        if (request_status(word) != REQUEST_PENDING)
            return false;
        /* The instant of C9: linked into all folders, and nobody gave it anything. */
        if (atomic_compare_exchange_strong(&r->state, &word, request_word(word >> 32, 0, REQUEST_CANCELLED)))
            return true;
    }
}

/* ---- where they live ------------------------------------------------------------------------------------- */

static void prepare(self_t *s, request_t *r, size_t n, offset_t gets)
{
    r->count = (uint32_t)n;
    r->gets = gets;
    memset(node_at(s, gets), 0, n * sizeof(get_t));
}

static uint64_t request_bytes(size_t n)
{
    return sizeof(request_t) + n * sizeof(get_t);
}

/* A request with its get structures behind it, in one block; its generation starts anew, which is safe: a block is
 * freed only when no get structure refers to it any more. */
static request_t *allocate(self_t *s, size_t n)
{
    offset_t *scratch = &s->body->scratch[SHM_SCRATCH_CLONE];
    request_t *r;

    if (heap_alloc(s, request_bytes(n), scratch) != MEMO_OK)
        return NULL;
    log_commit(s);
    r = node_at(s, *scratch);
    memset(r, 0, sizeof *r);
    prepare(s, r, n, *scratch + sizeof(request_t));
    return r;
}

request_t *request_own(self_t *s, size_t n)
{
    shm_body_t *b = shm_body(s);
    request_t *r;

    if (n <= SHM_GETS) {
        prepare(s, &b->request, n, node_offset(s, b->gets));
        return &b->request;
    }
    r = allocate(s, n);
    if (r == NULL)
        return NULL;
    log_u64(s, &b->large_request, node_offset(s, r));
    log_u64(s, &s->body->scratch[SHM_SCRATCH_CLONE], 0);
    log_commit(s);
    return r;
}

request_t *request_started(self_t *s, size_t n)
{
    shm_body_t *b = shm_body(s);
    request_t *r = allocate(s, n);

    if (r == NULL)
        return NULL;
    r->next = b->started;
    if (b->started != 0)
        log_u64(s, &((request_t *)node_at(s, b->started))->prev, node_offset(s, r));
    log_u64(s, &b->started, node_offset(s, r));
    log_u64(s, &s->body->scratch[SHM_SCRATCH_CLONE], 0);
    log_commit(s);
    return r;
}

static void started_remove(self_t *s, request_t *r)
{
    if (r->next != 0)
        log_u64(s, &((request_t *)node_at(s, r->next))->prev, r->prev);
    if (r->prev != 0)
        log_u64(s, &((request_t *)node_at(s, r->prev))->next, r->next);
    else
        log_u64(s, &shm_body(s)->started, r->next);
}

void request_end(self_t *s, request_t *r)
{
    shm_body_t *b = shm_body(s);

    request_unlink_all(s, r);
    if (r == &b->request)
        return;
    if (b->large_request == node_offset(s, r)) {
        heap_free(s, &b->large_request);
        return;
    }
    started_remove(s, r);
    log_u64(s, &s->body->scratch[SHM_SCRATCH_CLONE], node_offset(s, r));
    log_commit(s);
    heap_free(s, &s->body->scratch[SHM_SCRATCH_CLONE]);
}
