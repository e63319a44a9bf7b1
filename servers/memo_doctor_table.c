/*
 * memo_doctor_table.c - memo doctor: folders, what is in them and who waits; see memo_doctor.h.
 */
#include "servers/memo_doctor.h"

#include "libmemo/api/folder.h"

#include <inttypes.h>
#include <string.h>

/* ---- requests -------------------------------------------------------------------------------------------- */

static const request_t *walk_request(patient_t *p, offset_t at)
{
    if (!refer(p, USE_REQUESTS, "a request", at, sizeof(request_t))) {
        return NULL;
    }
    const request_t *r = look(p, at, sizeof *r);
    if (r->count > 65536 || r->gets != at + sizeof *r || look(p, r->gets, (r->count + 1) * sizeof(get_t)) == NULL) {
        note(p, "the request at %" PRIu64 ": its %u folders are not there", at, r->count);
    }
    return r;
}

/* Delayed puts: what they hold is on its way. */
static void walk_delayed(patient_t *p, offset_t at)
{
    while (refer(p, USE_FOLDERS, "a delayed put", at, sizeof(delayed_t))) {
        const delayed_t *d = look(p, at, sizeof *d);
        refer_memo(p, USE_UNDER_WAY, "a delayed put", d->memo);
        if (look(p, d->target, sizeof(record_t)) == NULL) {
            note(p, "the delayed put at %" PRIu64 " is for no folder", at);
        }
        at = d->next;
    }
}

void walk_user_body(patient_t *p, const body_t *b)
{
    const shm_body_t *user = doctor_body(b);
    if (user->request.gets != 0 &&
        look(p, user->request.gets, (user->request.count % 65537 + 1) * sizeof(get_t)) == NULL) {
        note(p, "a select: its %u folders are not there", user->request.count);
    }
    walk_request(p, user->large_request);
    for (offset_t at = user->started; at != 0;) {
        const request_t *r = walk_request(p, at);
        at = r != NULL ? r->next : 0;
    }
    walk_delayed(p, user->fire.head);
}

/* ---- folders --------------------------------------------------------------------------------------------- */

static void walk_queue(patient_t *p, const record_t *r, offset_t record_at)
{
    uint64_t memos = 0, bytes = 0;
    offset_t last = 0;
    for (offset_t at = r->queue.head; at != 0;) {
        const struct memo *m = refer_memo(p, USE_FOLDER_MEMOS, "a folder", at);
        if (m == NULL) {
            return;
        }
        if (atomic_load(&m->holder) != 0) {
            note(p, "a folder: somebody holds the memo at %" PRIu64 " in it", at);
        }
        memos++;
        bytes += m->size;
        last = at;
        at = m->next;
    }
    if (memos != record_memos(r) || bytes != r->bytes || last != r->queue.tail) {
        note(p,
             "the folder at %" PRIu64 ": it counts %" PRIu64 " memos of %" PRIu64 " bytes, and has %" PRIu64
             " of %" PRIu64,
             record_at, record_memos(r), r->bytes, memos, bytes);
    }
}

/* Get structures are in their requests' blocks, or in bodies. */
static uint64_t walk_gets(patient_t *p, const list_t *list, offset_t record_at)
{
    uint64_t n = 0;
    offset_t before = 0;
    for (offset_t at = list->head; at != 0; n++) {
        const get_t *g = look(p, at, sizeof *g);
        if (g == NULL || !step(p, "who waits", at) || g->record != record_at || g->prev != before ||
            look(p, g->request, sizeof(request_t)) == NULL) {
            note(p, "the folder at %" PRIu64 ": who waits at %" PRIu64 " is not to be found", record_at, at);
            return n;
        }
        before = at;
        at = g->next;
    }
    if (list->tail != before) {
        note(p, "the folder at %" PRIu64 ": the end of a list of who waits is another", record_at);
    }
    return n;
}

static void walk_extra(patient_t *p, offset_t at)
{
    if (at != 0 && refer(p, USE_FOLDERS, "what few folders have", at, sizeof(extra_t))) {
        walk_delayed(p, ((const extra_t *)look(p, at, sizeof(extra_t)))->delayed.head);
    }
}

static uint64_t index_of(uint64_t hash, uint64_t buckets)
{
    uint64_t level = UINT64_C(1) << (63 - __builtin_clzll(buckets));
    uint64_t i = hash & (2 * level - 1);
    return i < buckets ? i : hash & (level - 1);
}

static void check_name(patient_t *p, const record_t *r, offset_t at, uint64_t bucket, uint64_t buckets)
{
    size_t padded = (r->length + 7u) / 8 * 8;
    if (r->length == 0 || r->length > MEMO_NAME_MAX || look(p, at, sizeof *r + padded) == NULL ||
        folder_hash(r->kind, r->name, r->length) != r->hash || index_of(r->hash, buckets) != bucket) {
        note(p, "the folder at %" PRIu64 ": its name does not belong there", at);
    }
}

/* Answers the next of the chain. */
static offset_t walk_record(patient_t *p, offset_t at, uint64_t bucket, uint64_t buckets)
{
    if (!refer(p, USE_FOLDERS, "a folder", at, sizeof(record_t))) {
        return 0;
    }
    const record_t *r = look(p, at, sizeof *r);
    check_name(p, r, at, bucket, buckets);
    walk_queue(p, r, at);
    walk_extra(p, r->extra);
    uint64_t waiters = walk_gets(p, &r->takers, at) + walk_gets(p, &r->copiers, at) + walk_gets(p, &r->joiners, at);
    if (waiters != r->waiters) {
        note(p, "the folder at %" PRIu64 ": it counts %u who wait, and has %" PRIu64, at, r->waiters, waiters);
    }
    p->found->folders += record_memos(r) != 0 || waiters != 0 || r->extra != 0;
    p->found->waiters += waiters;
    return r->chain;
}

/* ---- buckets --------------------------------------------------------------------------------------------- */

static const bucket_t *bucket_at(patient_t *p, uint64_t i)
{
    if (i < TABLE_FIRST_BUCKETS) {
        return &p->table->first[i];
    }
    unsigned k = (unsigned)(63 - __builtin_clzll(i / TABLE_FIRST_BUCKETS));
    uint64_t within = i - ((uint64_t)TABLE_FIRST_BUCKETS << k);
    if (k >= TABLE_SEGMENTS || p->table->segments[k] == 0 || p->table->segments[k] > p->region.size) {
        return NULL;
    }
    return look(p, p->table->segments[k] + within * sizeof(bucket_t), sizeof(bucket_t));
}

/* Those at the far end of the space are not the heap's. */
static void walk_segments(patient_t *p)
{
    const heap_root_t *h = &p->root->heap;
    for (unsigned k = 0; k < TABLE_SEGMENTS; k++) {
        offset_t at = p->table->segments[k];
        uint64_t bytes = ((uint64_t)TABLE_FIRST_BUCKETS << k) * sizeof(bucket_t);
        if (at != 0 && at < h->base + h->count * HEAP_PAGE) {
            refer(p, USE_FOLDERS, "a part of the table", at, bytes);
        } else if (at > p->region.size || bytes > p->region.size - at) {
            if (at != 0) {
                note(p, "a part of the table: %" PRIu64 " is outside the space", at);
            }
        }
    }
}

void walk_table(patient_t *p)
{
    uint64_t buckets = atomic_load(&p->table->buckets);
    walk_segments(p);
    if (buckets < TABLE_FIRST_BUCKETS || buckets > p->region.size / sizeof(bucket_t)) {
        note(p, "the table says that it has %" PRIu64 " buckets", buckets);
        return;
    }
    for (uint64_t i = 0; i < buckets; i++) {
        const bucket_t *b = bucket_at(p, i);
        if (b == NULL) {
            note(p, "bucket %" PRIu64 " of the table is not there", i);
            return;
        }
        see_lock(p, &b->lock, "bucket", (int64_t)i);
        for (offset_t at = b->chain; at != 0;) {
            at = walk_record(p, at, i, buckets);
        }
    }
    see_lock(p, &p->table->single, "the table", -1);
    see_lock(p, &p->table->split_lock, "growth of the table", -1);
    see_lock(p, &p->table->quiet_lock, "quiet", -1);
}
