/*
 * table.c - the hash table of folders: buckets, records, growth by linear hashing (shm.h).
 *
 * The number of buckets says where a hash belongs. It grows by one when bucket `buckets - 2^level` is split, under
 * the locks of the two; who has locked a bucket looks again whether his hash still belongs there. A long chain is
 * the occasion, more records than buckets the condition. The table never shrinks: a thread that waits for a
 * bucket's lock may touch that bucket at any time.
 */
#include <stdlib.h>
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/shm/shm.h"

#define CHAIN_LONG 3u
#define SPLITS_AT_ONCE 4u
#define BYTES_A_BUCKET 65536u
#define FORMAT_BUCKETS_MOST 65536u

uint64_t table_index(uint64_t hash, uint64_t buckets)
{
    uint64_t level = UINT64_C(1) << (63 - __builtin_clzll(buckets));
    uint64_t i = hash & (2 * level - 1);

    return i < buckets ? i : hash & (level - 1);
}

static bucket_t *bucket_at(const self_t *s, uint64_t i)
{
    shm_root_t *root = shm_root(s);
    unsigned k;

    if (i < TABLE_FIRST_BUCKETS)
        return &root->first[i];
    k = table_segment(i);
    return (bucket_t *)node_at(s, root->segments[k]) + (i - ((uint64_t)TABLE_FIRST_BUCKETS << k));
}

static lock_t *lock_of(const self_t *s, bucket_t *b)
{
    shm_root_t *root = shm_root(s);
    return root->one_lock ? &root->single : &b->lock;
}

bucket_t *table_bucket_of(const self_t *s, uint64_t hash)
{
    return bucket_at(s, table_index(hash, atomic_load_explicit(&shm_root(s)->buckets, memory_order_acquire)));
}

bucket_t *table_lock(self_t *s, uint64_t hash)
{
    const _Atomic uint64_t *buckets = &shm_root(s)->buckets;

    for (;;) {
        uint64_t n = atomic_load_explicit(buckets, memory_order_acquire);
        bucket_t *b = bucket_at(s, table_index(hash, n));
        lock_t *lock = lock_of(s, b);

        lock_take(s, lock);
        if (__builtin_expect(atomic_load_explicit(buckets, memory_order_relaxed) == n, 1) ||
            table_bucket_of(s, hash) == b)
            return b;
        lock_release(lock);
    }
}

void table_unlock(self_t *s, bucket_t *b)
{
    lock_release(lock_of(s, b));
}

void table_unlock_arrived(self_t *s, bucket_t *b)
{
    uint64_t arrivals = atomic_load_explicit(&b->arrivals, memory_order_relaxed) + 1;

    lock_release(lock_of(s, b));
    /* Only a hint to pollers, who look under the lock then, and find it free: neither logged nor exact. */
    atomic_store_explicit(&b->arrivals, arrivals, memory_order_relaxed);
}

/* ---- records --------------------------------------------------------------------------------------------- */

/* Both are padded with zeros to whole words. */
static bool same_name(const record_t *r, const memo_folder_t *folder)
{
    size_t i;

    for (i = 0; i < r->length; i += 8) {
        uint64_t a, b;
        memcpy(&a, r->name + i, 8);
        memcpy(&b, folder->bytes + i, 8);
        if (a != b)
            return false;
    }
    return true;
}

record_t *table_find(const self_t *s, const bucket_t *b, const memo_folder_t *folder)
{
    offset_t at;

    for (at = b->chain; at != 0;) {
        record_t *r = record_at(s, at);
        if (r->hash == folder->hash && r->kind == folder->kind && r->length == folder->length &&
            same_name(r, folder))
            return r;
        at = r->chain;
    }
    return NULL;
}

record_t *table_new(self_t *s, const memo_folder_t *folder)
{
    offset_t *scratch = &s->body->scratch[SHM_SCRATCH_RECORD];
    size_t padded = (folder->length + 7u) / 8 * 8;
    record_t *r;

    if (heap_alloc(s, sizeof(record_t) + padded, scratch) != MEMO_OK)
        return NULL;
    log_commit(s);
    r = record_at(s, *scratch);
    memset(r, 0, sizeof *r + padded);
    r->hash = folder->hash;
    r->kind = folder->kind;
    r->length = folder->length;
    memcpy(r->name, folder->bytes, folder->length);
    return r;
}

void table_insert(self_t *s, bucket_t *b, record_t *r)
{
    r->chain = b->chain;
    log_u64(s, &b->chain, node_offset(s, r));
    log_u64(s, &s->body->scratch[SHM_SCRATCH_RECORD], 0);
    node_count_one(&s->body->counts.made);
}

static bool empty(const record_t *r)
{
    return r->counts == 0 && r->takers.head == 0 && r->copiers.head == 0 && r->joiners.head == 0 && r->extra == 0;
}

void table_drop_if_empty(self_t *s, bucket_t *b, record_t *r)
{
    offset_t at = node_offset(s, r);
    offset_t *link;

    if (!empty(r))
        return;
    for (link = &b->chain; *link != at; link = &record_at(s, *link)->chain)
        ;
    log_u64(s, link, r->chain);
    log_u64(s, &s->body->scratch[SHM_SCRATCH_RECORD], at);
    node_count_one(&s->body->counts.unmade);
}

void table_tidy(self_t *s)
{
    heap_free(s, &s->body->scratch[SHM_SCRATCH_RECORD]);
}

memo_folder_t record_folder(const record_t *r)
{
    memo_folder_t folder;

    memset(&folder, 0, sizeof folder);
    folder.hash = r->hash;
    folder.kind = r->kind;
    folder.length = r->length;
    memcpy(folder.bytes, r->name, r->length);
    return folder;
}

/* ---- growth ---------------------------------------------------------------------------------------------- */

static uint32_t chain_length(const self_t *s, const bucket_t *b, uint32_t enough)
{
    uint32_t n = 0;
    offset_t at;

    for (at = b->chain; at != 0 && n < enough; at = record_at(s, at)->chain)
        n++;
    return n;
}

bool table_long(const self_t *s, const bucket_t *b)
{
    return chain_length(s, b, CHAIN_LONG + 1) > CHAIN_LONG;
}

static uint64_t segment_bytes(unsigned k)
{
    return ((uint64_t)TABLE_FIRST_BUCKETS << k) * sizeof(bucket_t);
}

/* A small region begins with a small table. */
int table_format(region_t *r, node_root_t *root)
{
    shm_root_t *table = (shm_root_t *)(void *)root->user;
    uint64_t buckets = TABLE_FIRST_BUCKETS;
    int result = MEMO_OK;

    while (result == MEMO_OK && buckets < FORMAT_BUCKETS_MOST && buckets * 2 <= r->size / BYTES_A_BUCKET) {
        unsigned k = table_segment(buckets);
        result = heap_permanent_format(r, root, segment_bytes(k), &table->segments[k]);
        buckets *= 2;
    }
    atomic_store(&table->buckets, buckets);
    return result;
}

static bool segment_there(self_t *s, uint64_t i)
{
    shm_root_t *root = shm_root(s);
    unsigned k = table_segment(i);
    offset_t *scratch = &s->body->scratch[SHM_SCRATCH_RECORD];

    if (k >= TABLE_SEGMENTS)
        return false;
    if (root->segments[k] != 0 || heap_permanent(s, segment_bytes(k), &root->segments[k]) == MEMO_OK)
        return true;
    if (heap_alloc(s, segment_bytes(k), scratch) != MEMO_OK)
        return false;
    log_commit(s);
    memset(node_at(s, *scratch), 0, segment_bytes(k)); /* free locks */
    log_u64(s, &root->segments[k], *scratch);
    log_u64(s, scratch, 0);
    log_commit(s);
    return true;
}

/* Moves what belongs into the new bucket there. One mutation. */
static void split(self_t *s, bucket_t *old, bucket_t *new, uint64_t buckets)
{
    offset_t *link = &old->chain;

    new->chain = 0;
    while (*link != 0) {
        offset_t at = *link;
        record_t *r = record_at(s, at);
        if (table_index(r->hash, buckets + 1) != buckets) {
            link = &r->chain;
            continue;
        }
        log_u64(s, link, r->chain);
        log_u64(s, &r->chain, new->chain);
        new->chain = at;
    }
    log_a64(s, &shm_root(s)->buckets, buckets + 1);
    log_commit(s);
}

static void grow_locked(self_t *s, uint64_t buckets)
{
    uint64_t level = UINT64_C(1) << (63 - __builtin_clzll(buckets));
    bucket_t *old = bucket_at(s, buckets - level), *new = bucket_at(s, buckets);
    bool one_lock = shm_root(s)->one_lock != 0;

    lock_take(s, lock_of(s, old));
    /* It may be held a moment by who saw a count that a death undid. */
    if (!one_lock)
        lock_take(s, &new->lock);
    if (chain_length(s, old, LOG_ENTRIES) < (LOG_ENTRIES - 4) / 2)
        split(s, old, new, buckets);
    if (!one_lock)
        lock_release(&new->lock);
    lock_release(lock_of(s, old));
}

/* About how many there are: a death or a race makes it a guess. */
static int64_t count_records(self_t *s)
{
    node_counts_t counts;

    node_counts(s, &counts);
    return (int64_t)(atomic_load(&counts.made) - atomic_load(&counts.unmade));
}

void table_grow(self_t *s)
{
    shm_root_t *root = shm_root(s);
    uint64_t buckets;
    unsigned i;

    if (!lock_try(s, &root->split_lock)) {
        /* Somebody else is at it; if he is dead, whoever comes first takes over. */
        if (!repair_void(s, atomic_load(&root->split_lock.owner)))
            return;
        lock_take(s, &root->split_lock);
    }
    for (i = 0; i < SPLITS_AT_ONCE; i++) {
        buckets = atomic_load(&root->buckets);
        if (count_records(s) <= (int64_t)buckets || !segment_there(s, buckets))
            break;
        grow_locked(s, buckets);
    }
    lock_release(&root->split_lock);
}

/* ---- several buckets at once ----------------------------------------------------------------------------- */

static int compare_index(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static size_t distinct_indices(const memo_folder_t folders[], size_t n, uint64_t buckets, uint64_t index[])
{
    size_t i, k;

    for (i = 0; i < n; i++)
        index[i] = table_index(folders[i].hash, buckets);
    qsort(index, n, sizeof *index, compare_index);
    for (i = k = 0; i < n; i++)
        if (i == 0 || index[i] != index[i - 1])
            index[k++] = index[i];
    return k;
}

static void unlock_indices(self_t *s, const table_locks_t *locks)
{
    size_t i;

    for (i = 0; i < locks->count; i++)
        lock_release(&bucket_at(s, locks->index[i])->lock);
}

int table_lock_all(self_t *s, const memo_folder_t folders[], size_t n, table_locks_t *locks)
{
    shm_root_t *root = shm_root(s);
    uint64_t buckets;
    size_t i;

    locks->count = 0;
    locks->index = malloc(n * sizeof *locks->index);
    if (locks->index == NULL)
        return memo_error(MEMO_ENOMEM, "no memory to lock %zu folders", n);
    if (root->one_lock) {
        lock_take(s, &root->single);
        return MEMO_OK;
    }
    for (;;) {
        buckets = atomic_load_explicit(&root->buckets, memory_order_acquire);
        locks->count = distinct_indices(folders, n, buckets, locks->index);
        for (i = 0; i < locks->count; i++)
            lock_take(s, &bucket_at(s, locks->index[i])->lock);
        if (atomic_load_explicit(&root->buckets, memory_order_acquire) == buckets)
            return MEMO_OK;
        unlock_indices(s, locks);
    }
}

void table_unlock_all(self_t *s, table_locks_t *locks)
{
    if (shm_root(s)->one_lock)
        lock_release(&shm_root(s)->single);
    unlock_indices(s, locks);
    free(locks->index);
    locks->index = NULL;
}

/* ---- the extra part -------------------------------------------------------------------------------------- */

extra_t *record_extra(self_t *s, record_t *r)
{
    offset_t *scratch = &s->body->scratch[SHM_SCRATCH_CLONE];

    if (r->extra == 0) {
        if (heap_alloc(s, sizeof(extra_t), scratch) != MEMO_OK)
            return NULL;
        log_commit(s);
        memset(node_at(s, *scratch), 0, sizeof(extra_t));
        log_u64(s, &r->extra, *scratch);
        log_u64(s, scratch, 0);
        log_commit(s);
    }
    return node_at(s, r->extra);
}

void record_extra_drop(self_t *s, record_t *r)
{
    const extra_t *x = r->extra != 0 ? node_at(s, r->extra) : NULL;

    if (x == NULL || x->limit_memos != 0 || x->limit_bytes != 0 || x->reserved_memos != 0 || x->delayed.head != 0)
        return;
    log_u64(s, &s->body->scratch[SHM_SCRATCH_CLONE], r->extra);
    log_u64(s, &r->extra, 0);
    log_commit(s);
    heap_free(s, &s->body->scratch[SHM_SCRATCH_CLONE]);
}

/* ---- walking --------------------------------------------------------------------------------------------- */

typedef struct seen {
    memo_folder_t folder;
    uint64_t memos, bytes, waiters;
} seen_t;

/* A folder that only a held memo remembers, does not exist. */
static bool exists(const record_t *r)
{
    return record_memos(r) != 0 || r->waiters != 0 || r->extra != 0;
}

static bool more_room(seen_t **seen, size_t *room)
{
    seen_t *more = realloc(*seen, (*room * 2 + 16) * sizeof **seen);

    if (more == NULL)
        return false;
    *seen = more;
    *room = *room * 2 + 16;
    return true;
}

/* Notes the folders of bucket i. */
static size_t look(self_t *s, uint64_t i, seen_t **seen, size_t *room)
{
    bucket_t *b = bucket_at(s, i);
    size_t n = 0;
    offset_t at;

    lock_take(s, lock_of(s, b));
    for (at = b->chain; at != 0; at = record_at(s, at)->chain) {
        const record_t *r = record_at(s, at);
        if (!exists(r))
            continue;
        if (n == *room && !more_room(seen, room))
            break;
        (*seen)[n].folder = record_folder(r);
        (*seen)[n].memos = record_memos(r);
        (*seen)[n].bytes = r->bytes;
        (*seen)[n++].waiters = r->waiters;
    }
    lock_release(lock_of(s, b));
    return n;
}

int table_each(self_t *s, int (*visit)(const memo_folder_t *, uint64_t, uint64_t, uint64_t, void *), void *arg)
{
    seen_t *seen = NULL;
    size_t room = 0, n, k;
    uint64_t i;
    int result = MEMO_OK;

    for (i = 0; i < atomic_load(&shm_root(s)->buckets) && result == MEMO_OK; i++) {
        n = look(s, i, &seen, &room);
        for (k = 0; k < n && result == MEMO_OK; k++)
            result = visit(&seen[k].folder, seen[k].memos, seen[k].bytes, seen[k].waiters, arg);
    }
    free(seen);
    return result;
}
