/*
 * join.c - memo_get_all: one memo from each of n folders, all or nothing (C12).
 *
 * All buckets are locked, in order, so joins cannot wait for each other. If every folder has enough, all are taken
 * in one mutation; else the join leaves a get structure in each as a joiner: it holds no place among the takers,
 * and is poked, not served, when a memo comes.
 */
#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "libmemo/shm/shm.h"

#define ENTRIES_A_MEMO 10u

/* Takes all in one open mutation; false, with nothing taken, if a folder has too few. */
static bool take_all(self_t *s, const memo_folder_t folders[], size_t n, memo_t *m[])
{
    size_t i;

    for (i = 0; i < n; i++) {
        record_t *r = table_find(s, table_bucket_of(s, folders[i].hash), &folders[i]);
        if (r == NULL || r->queue.head == 0) {
            log_abort(s);
            hand_abort(s);
            while (i-- > 0)
                m[i] = NULL;
            return false;
        }
        m[i] = take_out_first(s, r);
    }
    log_commit(s);
    hand_done(s);
    for (i = 0; i < n; i++) {
        room_made(s, record_at(s, m[i]->origin));
        node_count_one(&s->body->counts.takes);
    }
    return true;
}

static int link_all(self_t *s, request_t *r, const memo_folder_t folders[], size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        record_t *record;
        if (request_get(s, r, i)->record != 0)
            continue; /* linked since the last time */
        record = request_link_folder(s, r, i, table_bucket_of(s, folders[i].hash), &folders[i]);
        if (record == NULL)
            return memo_error(MEMO_EFULL, "the space has no room left to wait in %zu folders", n);
    }
    return MEMO_OK;
}

/* One look with everything locked: MEMO_OK taken, MEMO_NONE linked (with r), or an error. */
static int look(self_t *s, request_t *r, const memo_folder_t folders[], size_t n, memo_t *m[])
{
    table_locks_t locks;
    int result;

    /* Each time: what a wait repairs meanwhile may have given the room back. */
    if (log_reserve(s, n * ENTRIES_A_MEMO) != MEMO_OK)
        return memo_error(MEMO_EFULL, "the space has no room left to take from %zu folders at once", n);
    result = table_lock_all(s, folders, n, &locks);
    if (result != MEMO_OK)
        return result;
    if (!take_all(s, folders, n, m)) {
        atomic_store(&r->poked, 0);
        result = link_all(s, r, folders, n);
        if (result == MEMO_OK)
            result = MEMO_NONE;
    }
    table_unlock_all(s, &locks);
    return result;
}

static bool poked(self_t *s, void *arg)
{
    const request_t *r = arg;

    return atomic_load(&r->poked) != 0 || atomic_load(&s->node->closing);
}

/* A join is sent no messages; attention may be left from an earlier call. */
static void ignore(self_t *s, const slot_message_t *message, void *arg)
{
    (void)s;
    (void)message;
    (void)arg;
}

static int wait_poked(self_t *s, request_t *r, int64_t deadline)
{
    while (atomic_load(&r->poked) == 0) {
        if (atomic_load(&s->node->closing))
            return memo_error(MEMO_ECLOSED, "the space was closed while the call waited");
        if (deadline != WAIT_FOREVER && wait_now() >= deadline)
            return MEMO_TIMEDOUT;
        slot_scan(s, ignore, NULL);
        origins_flush(s, shm_body(s));
        slot_sleep(s, deadline, poked, r);
        repair_look(s, WAIT_TICK_NS / 2);
    }
    return MEMO_OK;
}

int join_get_all(self_t *s, const memo_folder_t folders[], size_t n, memo_t *m[], int64_t deadline)
{
    request_t *r = request_own(s, n);
    int result;

    if (r == NULL)
        return memo_error(MEMO_EFULL, "the space has no room left to take from %zu folders at once", n);
    request_arm(s, r, REQUEST_JOIN, false);
    for (;;) {
        result = look(s, r, folders, n, m);
        if (result != MEMO_NONE)
            break;
        result = wait_poked(s, r, deadline);
        if (result != MEMO_OK)
            break;
    }
    request_end(s, r);
    log_trim(s);
    slot_wake(s);
    return result;
}
