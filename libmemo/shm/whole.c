/*
 * whole.c - examining the folder table of a region that nobody has open (node/whole.h).
 *
 * Nobody waits, and nobody holds a memo: a folder is its memos, its limit, and puts that wait for a memo there.
 */
#include <string.h>

#include "libmemo/api/folder.h"
#include "libmemo/shm/shm.h"

typedef struct table_sums {
    uint64_t records, references, delayed;
} table_sums_t;

static shm_root_t *table_of(const whole_t *w)
{
    return (shm_root_t *)(void *)w->root->user;
}

static bucket_t *bucket_at(const whole_t *w, uint64_t i)
{
    shm_root_t *t = table_of(w);
    unsigned k;

    if (i < TABLE_FIRST_BUCKETS)
        return &t->first[i];
    k = table_segment(i);
    return (bucket_t *)whole_at(w, t->segments[k]) + (i - ((uint64_t)TABLE_FIRST_BUCKETS << k));
}

/* Those that have room reserved for them stay when nobody uses them yet. */
static bool check_segments(whole_t *w)
{
    shm_root_t *t = table_of(w);
    uint64_t buckets = atomic_load(&t->buckets);
    unsigned k;

    if (buckets < TABLE_FIRST_BUCKETS || buckets > (uint64_t)TABLE_FIRST_BUCKETS << TABLE_SEGMENTS)
        return whole_not(w, "its table has a size that it cannot have");
    for (k = 0; k < TABLE_SEGMENTS; k++) {
        bool needed = buckets > (uint64_t)TABLE_FIRST_BUCKETS << k;
        if (t->segments[k] == 0 && needed)
            return whole_not(w, "a part of its table is missing");
        if (t->segments[k] != 0 &&
            !whole_table(w, t->segments[k], ((uint64_t)TABLE_FIRST_BUCKETS << k) * sizeof(bucket_t)))
            return false;
    }
    return true;
}

static bool check_runs(whole_t *w)
{
    const shm_root_t *t = table_of(w);
    unsigned i;

    for (i = 0; i < RUNS; i++)
        if (t->runs[i].id != 0 && (t->runs[i].leader > NODE_CLIENTS || t->runs[i].ranks > RUN_RANKS))
            return whole_not(w, "programs that were started together are more than there can be");
    return true;
}

static bool check_letters(whole_t *w)
{
    const memo_folder_t *f = &table_of(w)->lease.letters;

    if (f->kind == MEMO_KIND_INVALID)
        return f->length == 0 ? true : whole_not(w, "its dead letters have no name");
    return folder_valid(f) && f->hash == folder_hash(f->kind, f->bytes, f->length)
               ? true
               : whole_not(w, "the name of its dead letters has changed");
}

static bool check_memo(whole_t *w, offset_t at)
{
    const struct memo *m = whole_at(w, at);

    if (!whole_block(w, at, sizeof *m) || m->size > HAND_MEMO_MAX)
        return whole_not(w, "a memo is not there");
    if (whole_bytes(w, at) < sizeof *m + m->size)
        return whole_not(w, "a memo is larger than its memory");
    if (atomic_load(&m->holder) != 0)
        return whole_not(w, "a memo is in a folder, and held");
    return true;
}

static bool check_queue(whole_t *w, const record_t *r)
{
    uint64_t memos = record_memos(r), bytes = 0;
    offset_t at, last = 0;

    for (at = r->queue.head; at != 0; at = ((const struct memo *)whole_at(w, at))->next) {
        if (memos-- == 0)
            return whole_not(w, "a folder has more memos than it says");
        if (!check_memo(w, at))
            return false;
        bytes += ((const struct memo *)whole_at(w, at))->size;
        last = at;
    }
    if (memos != 0 || bytes != r->bytes || last != r->queue.tail)
        return whole_not(w, "a folder has other memos than it says");
    return true;
}

static bool check_extra(whole_t *w, const record_t *r, table_sums_t *sums)
{
    const extra_t *x;
    offset_t at, last = 0;

    if (r->extra == 0)
        return true;
    if (!whole_block(w, r->extra, sizeof *x))
        return false;
    x = whole_at(w, r->extra);
    for (at = x->delayed.head; at != 0; at = ((const delayed_t *)whole_at(w, at))->next) {
        const delayed_t *d;
        if (!whole_block(w, at, sizeof *d))
            return false;
        d = whole_at(w, at);
        if (!check_memo(w, d->memo) || ((const struct memo *)whole_at(w, d->memo))->size != d->size)
            return whole_not(w, "a put that waits has no memo");
        sums->delayed++;
        last = at;
    }
    return last == x->delayed.tail ? true : whole_not(w, "puts that wait are not in order");
}

static bool check_name(whole_t *w, offset_t at)
{
    const record_t *r = whole_at(w, at);
    size_t padded = (r->length + 7u) / 8 * 8, i;

    if ((r->kind != MEMO_KIND_BYTES && r->kind != MEMO_KIND_ELEMENT) || r->length < 1 ||
        r->length > MEMO_NAME_MAX || whole_bytes(w, at) < sizeof *r + padded)
        return whole_not(w, "a folder has a name that none can have");
    for (i = r->length; i < padded; i++)
        if (r->name[i] != 0)
            return whole_not(w, "a folder's name goes on behind its end");
    return r->hash == folder_hash(r->kind, r->name, r->length) ? true : whole_not(w, "a folder's name has changed");
}

static bool check_record(whole_t *w, uint64_t bucket, offset_t at, table_sums_t *sums)
{
    const record_t *r = whole_at(w, at);

    if (!whole_block(w, at, sizeof *r) || !check_name(w, at))
        return false;
    if (table_index(r->hash, atomic_load(&table_of(w)->buckets)) != bucket)
        return whole_not(w, "a folder is in another's place");
    if (r->takers.head != 0 || r->takers.tail != 0 || r->copiers.head != 0 || r->copiers.tail != 0 ||
        r->joiners.head != 0 || r->joiners.tail != 0 || r->waiters != 0 || r->copiers_count != 0)
        return whole_not(w, "somebody waits, and nobody is there");
    whole_mark(w, at);
    sums->records++;
    sums->references += (uint32_t)r->counts;
    return check_queue(w, r) && check_extra(w, r, sums);
}

/* Once all records are known. */
static bool check_targets(whole_t *w, const record_t *r)
{
    offset_t at = r->extra != 0 ? ((const extra_t *)whole_at(w, r->extra))->delayed.head : 0;

    for (; at != 0; at = ((const delayed_t *)whole_at(w, at))->next) {
        const delayed_t *d = whole_at(w, at);
        if (!whole_is_marked(w, d->target) || ((const record_t *)whole_at(w, d->target))->extra == 0)
            return whole_not(w, "a put that waits is for no folder");
    }
    return true;
}

bool table_whole(whole_t *w)
{
    shm_root_t *t = table_of(w);
    table_sums_t sums = {0};
    uint64_t buckets, i;
    offset_t at;

    if (!check_segments(w) || !check_runs(w) || !check_letters(w))
        return false;
    buckets = atomic_load(&t->buckets);
    for (i = 0; i < buckets; i++) {
        whole_unlock(&bucket_at(w, i)->lock);
        for (at = bucket_at(w, i)->chain; at != 0; at = ((const record_t *)whole_at(w, at))->chain)
            if (!check_record(w, i, at, &sums))
                return false;
    }
    for (i = 0; i < buckets; i++)
        for (at = bucket_at(w, i)->chain; at != 0; at = ((const record_t *)whole_at(w, at))->chain)
            if (!check_targets(w, whole_at(w, at)))
                return false;
    if (sums.references != sums.delayed)
        return whole_not(w, "folders are kept for somebody who is not there");
    whole_unlock(&t->single);
    whole_unlock(&t->split_lock);
    whole_unlock(&t->quiet_lock);
    atomic_store(&t->quiet_dirty, 0);
    atomic_store(&t->quiet_committed, 0);
    atomic_store(&w->root->counts.made, sums.records);
    atomic_store(&w->root->counts.unmade, 0);
    return true;
}
