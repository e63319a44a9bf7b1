/*
 * origins.c - the folders that held memos come from.
 *
 * A memo that is held refers to the record of its folder, so that memo_from, memo_replace and the death of its
 * holder find it; a record with references stays. When the memo goes elsewhere the reference is not given back at
 * once, which would lock a second bucket each time: the party notes it, and gives several back together.
 */
#include "libmemo/shm/shm.h"

/* Gives one note's references back. */
static void give_back(self_t *s, origin_t *o)
{
    record_t *r = record_at(s, o->record);
    bucket_t *b = table_lock(s, r->hash);

    record_extra_drop(s, r); /* while the reference still keeps the record */
    log_u64(s, &r->counts, r->counts - o->count * COUNT_REFERENCE);
    log_u64(s, &o->count, 0);
    log_u64(s, &o->record, 0);
    table_drop_if_empty(s, b, r);
    log_commit(s);
    table_unlock(s, b);
    table_tidy(s);
}

void origins_flush(self_t *s, shm_body_t *body)
{
    unsigned i;

    for (i = 0; i < SHM_ORIGINS; i++)
        if (body->origins[i].record != 0)
            give_back(s, &body->origins[i]);
}

void origins_prepare(self_t *s)
{
    shm_body_t *body = shm_body(s);

    /* Notes are made from the front; a call makes at most one. */
    if (body->origins[SHM_ORIGINS - 1].record != 0 || (s->calls & (SHM_ORIGIN_BATCH - 1)) == 0)
        origins_flush(s, body);
}

void origins_drop_reference(self_t *s, offset_t record, record_t *here)
{
    shm_body_t *body = shm_body(s);
    origin_t *free_note = NULL;
    unsigned i;

    if (here != NULL && record == node_offset(s, here)) {
        log_u64(s, &here->counts, here->counts - COUNT_REFERENCE);
        return;
    }
    for (i = 0; i < SHM_ORIGINS; i++) {
        origin_t *o = &body->origins[i];
        if (o->record == record) {
            log_u64(s, &o->count, o->count + 1);
            return;
        }
        if (o->record == 0 && free_note == NULL)
            free_note = o;
    }
    /* origins_prepare has seen to it that there is one. */
    log_u64(s, &free_note->record, record);
    log_u64(s, &free_note->count, 1);
}

record_t *origins_hold(self_t *s, bucket_t *b, const memo_folder_t *folder)
{
    record_t *r = table_find(s, b, folder);

    if (r == NULL) {
        r = table_new(s, folder);
        if (r == NULL)
            return NULL;
        table_insert(s, b, r);
    }
    origins_drop_reference(s, node_offset(s, r), NULL);
    log_u64(s, &r->counts, r->counts + COUNT_REFERENCE);
    log_commit(s);
    return r;
}

void origins_drop(self_t *s, struct memo *m, record_t *here)
{
    if (m->origin != 0)
        origins_drop_reference(s, m->origin, here);
}
