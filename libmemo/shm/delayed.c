/*
 * delayed.c - puts that wait until another folder holds a memo (C11).
 *
 * A delayed put hangs in its trigger's record, keeps its target's record by a reference and room there by a
 * reservation. The mutation that brings the trigger its memo moves it to the fire list of the party that makes it;
 * once that party holds no lock it puts them one after the other, those that come about meanwhile last. A dead
 * party's list is put by its repairer.
 */
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "libmemo/shm/shm.h"

/* ---- firing ---------------------------------------------------------------------------------------------- */

typedef struct fire {
    list_t *list;
    delayed_t *delayed;
} fire_t;

static void leave_list(self_t *s, struct memo *m, record_t *r, void *arg)
{
    const fire_t *fire = arg;
    delayed_t *d = fire->delayed;
    extra_t *x = node_at(s, r->extra);

    (void)m;
    log_u64(s, &fire->list->head, d->next);
    if (d->next == 0)
        log_u64(s, &fire->list->tail, 0);
    log_u64(s, &x->reserved_memos, x->reserved_memos - 1);
    log_u64(s, &x->reserved_bytes, x->reserved_bytes - d->size);
    log_u64(s, &r->counts, r->counts - COUNT_REFERENCE);
    log_u64(s, &s->body->scratch[SHM_SCRATCH_RECORD], node_offset(s, d));
}

static int fire_one(self_t *s, list_t *list)
{
    fire_t fire = {.list = list, .delayed = node_at(s, list->head)};
    record_t *r = record_at(s, fire.delayed->target);
    bucket_t *b = table_lock(s, r->hash);
    int result = deliver(s, r, node_at(s, fire.delayed->memo), DELIVER_TAIL, leave_list, &fire);

    if (result == MEMO_OK)
        record_extra_drop(s, r);
    table_unlock_arrived(s, b);
    slot_wake(s);
    table_tidy(s);
    return result;
}

/* What one's own deliveries release comes to the end of one's own list; a dead party's list is put by whoever
 * repairs. */
void fire_delayed(self_t *s, shm_body_t *body)
{
    while (body->fire.head != 0) {
        int result;
        s->from_reserve = true; /* its room was promised */
        result = fire_one(s, &body->fire);
        s->from_reserve = false;
        if (result != MEMO_OK)
            repair_look(s, WAIT_TICK_NS / 2); /* no memory to deliver with: others will free some */
    }
}

/* ---- delaying -------------------------------------------------------------------------------------------- */

static bool reserve_allowed(const record_t *r, const extra_t *x, uint64_t size)
{
    return (x->limit_memos == 0 || record_memos(r) + x->reserved_memos < x->limit_memos) &&
           (x->limit_bytes == 0 || r->bytes + x->reserved_bytes + size <= x->limit_bytes);
}

/* Both records and their extra parts, in locked buckets. What they are prepared for in vain is given back with the
 * references. */
static int prepare(self_t *s, const memo_folder_t *trigger, const memo_folder_t *target, record_t **from,
                   record_t **to)
{
    *from = origins_hold(s, table_bucket_of(s, trigger->hash), trigger);
    if (*from == NULL || record_extra(s, *from) == NULL)
        return MEMO_EFULL;
    *to = origins_hold(s, table_bucket_of(s, target->hash), target);
    if (*to == NULL || record_extra(s, *to) == NULL)
        return MEMO_EFULL;
    return MEMO_OK;
}

static int hang(self_t *s, record_t *from, record_t *to, struct memo *m)
{
    extra_t *x = node_at(s, from->extra), *y = node_at(s, to->extra);
    offset_t *scratch = &s->body->scratch[SHM_SCRATCH_CLONE];
    delayed_t *d;

    if (heap_alloc(s, sizeof *d, scratch) != MEMO_OK)
        return MEMO_EFULL;
    log_commit(s);
    d = node_at(s, *scratch);
    d->next = 0;
    d->memo = node_offset(s, m);
    d->target = node_offset(s, to);
    d->size = m->size;
    hand_give(s, m);
    origins_drop(s, m, NULL);
    log_u32(s, &m->redeliveries, 0);
    if (x->delayed.tail != 0)
        log_u64(s, &((delayed_t *)node_at(s, x->delayed.tail))->next, *scratch);
    else
        log_u64(s, &x->delayed.head, *scratch);
    log_u64(s, &x->delayed.tail, *scratch);
    log_u64(s, &y->reserved_memos, y->reserved_memos + 1);
    log_u64(s, &y->reserved_bytes, y->reserved_bytes + m->size);
    log_u64(s, &to->counts, to->counts + COUNT_REFERENCE);
    log_u64(s, scratch, 0);
    log_commit(s);
    hand_done(s);
    return MEMO_OK;
}

enum { TRIGGERED = 100 };

static int delay(self_t *s, const memo_folder_t *trigger, const memo_folder_t *target, struct memo *m)
{
    record_t *from, *to;
    int result;

    from = table_find(s, table_bucket_of(s, trigger->hash), trigger);
    if (from != NULL && record_memos(from) != 0)
        return TRIGGERED;
    result = prepare(s, trigger, target, &from, &to);
    if (result == MEMO_OK && !reserve_allowed(to, node_at(s, to->extra), m->size))
        result = memo_error(MEMO_EFULL, "the target folder has no room left to reserve");
    else if (result == MEMO_OK)
        result = hang(s, from, to, m);
    else
        memo_error(result, "the space has no room left for a delayed put");
    return result;
}

int put_delayed(self_t *s, const memo_folder_t *trigger, const memo_folder_t *target, struct memo *m)
{
    const memo_folder_t both[2] = {*trigger, *target};
    table_locks_t locks;
    int result;

    origins_flush(s, shm_body(s)); /* room for three references */
    result = table_lock_all(s, both, 2, &locks);
    if (result != MEMO_OK)
        return result;
    result = delay(s, trigger, target, m);
    table_unlock_all(s, &locks);
    table_tidy(s);
    origins_flush(s, shm_body(s));
    return result == TRIGGERED ? put_memo(s, target, m, 0) : result;
}
