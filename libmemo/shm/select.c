/*
 * select.c - the general select: look, link, wait (shm.h).
 *
 * Look at each folder once; most selects end there. Then link a get structure into each; a folder that has got a
 * memo meanwhile gives it on the spot. A skip then gives up at once, and if nobody has claimed its request, all its
 * folders were empty at that instant; a wait waits for the message. Whatever comes of it, a claimed request gets
 * its memo, and every get structure is unlinked before the call returns.
 */
#include <sched.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "libmemo/shm/shm.h"

/* ---- looking --------------------------------------------------------------------------------------------- */

/* Takes or copies from the folder if it has a memo (whose stamp, when not 0, is that one). */
static int look_at(self_t *s, const memo_folder_t *folder, uint32_t what, uint64_t stamp, struct memo **m)
{
    bucket_t *b = table_lock(s, folder->hash);
    record_t *r = table_find(s, b, folder);
    int result = MEMO_NONE;

    if (r != NULL && r->queue.head != 0 &&
        (stamp == 0 || ((struct memo *)node_at(s, r->queue.head))->stamp == stamp))
        result = take_first(s, r, what, NULL, 0, m);
    table_unlock(s, b);
    return result;
}

static uint64_t stamp_of_first(self_t *s, const memo_folder_t *folder)
{
    bucket_t *b = table_lock(s, folder->hash);
    const record_t *r = table_find(s, b, folder);
    uint64_t stamp = 0;

    if (r != NULL && r->queue.head != 0)
        stamp = ((struct memo *)node_at(s, r->queue.head))->stamp;
    table_unlock(s, b);
    return stamp;
}

/* The folder whose first memo has been there longest; if it is gone when we come, somebody else has got on. */
static int poll_oldest(self_t *s, const memo_select_t *select, struct memo **m, size_t *which)
{
    for (;;) {
        uint64_t oldest = UINT64_MAX;
        size_t i;
        int result;

        for (i = 0; i < select->count; i++) {
            uint64_t stamp = stamp_of_first(s, &select->folders[i]);
            if (stamp != 0 && stamp < oldest) {
                oldest = stamp;
                *which = i;
            }
        }
        if (oldest == UINT64_MAX)
            return MEMO_NONE;
        result = look_at(s, &select->folders[*which], select->what, oldest, m);
        if (result != MEMO_NONE)
            return result;
    }
}

int select_poll(self_t *s, const memo_select_t *select, struct memo **m, size_t *which)
{
    shm_local_t *local = shm_local(s);
    size_t start, k;
    int result;

    if (select->count == 1)
        return look_at(s, select->folders, select->what, 0, m);
    if (select->choice == MEMO_OLDEST)
        return poll_oldest(s, select, m, which);
    start = select->choice == MEMO_ROTATE ? local->rotate % select->count : 0;
    for (k = 0; k < select->count; k++) {
        size_t i = start + k < select->count ? start + k : start + k - select->count;
        result = look_at(s, &select->folders[i], select->what, 0, m);
        if (result != MEMO_NONE) {
            *which = i;
            return result;
        }
    }
    return MEMO_NONE;
}

/* ---- linking --------------------------------------------------------------------------------------------- */

static int link_one(self_t *s, request_t *r, const memo_folder_t *folder, size_t i, struct memo **m)
{
    bucket_t *b = table_lock(s, folder->hash);
    record_t *record = table_find(s, b, folder);
    bool grow = false;
    int result = MEMO_OK;

    if (record != NULL && record->queue.head != 0) {
        result = take_first(s, record, r->what, r, (uint32_t)i, m);
        if (result == MEMO_OK)
            result = MEMO_NONE;
    } else if (request_link_folder(s, r, i, b, folder) == NULL)
        result = memo_error(MEMO_EFULL, "the space has no room left to wait in a folder that does not exist yet");
    else
        grow = table_long(s, b);
    table_unlock(s, b);
    if (grow)
        table_grow(s);
    return result;
}

/* Whether the claim on a request is more than part of a mutation that a death would undo: whoever claimed it so far
 * holds the bucket of one of the folders it is linked into until that is decided. */
static bool claim_stands(self_t *s, const request_t *r, const memo_select_t *select, size_t linked)
{
    uint64_t word = atomic_load(&r->state);
    size_t i;

    if (request_status(word) != REQUEST_CLAIMED)
        return false;
    for (i = 0; i < linked; i++)
        table_unlock(s, table_lock(s, select->folders[i].hash));
    return atomic_load(&r->state) == word;
}

int select_link(self_t *s, request_t *r, const memo_select_t *select, struct memo **m)
{
    size_t i = 0;
    int result;

    while (i < select->count) {
        if (request_status(atomic_load_explicit(&r->state, memory_order_relaxed)) == REQUEST_CLAIMED)
            result = MEMO_PENDING;
        else
            result = link_one(s, r, &select->folders[i], i, m);
        if (result == MEMO_OK)
            i++;
        else if (result != MEMO_PENDING || claim_stands(s, r, select, i))
            return result;
    }
    return MEMO_OK;
}

/* Takes from folder i, if it has a memo. A record that a get structure is linked into stays, and so does its hash.
 */
static int recheck_one(self_t *s, request_t *r, size_t i, struct memo **m)
{
    get_t *g = request_get(s, r, i);
    offset_t at = __atomic_load_n(&g->record, __ATOMIC_ACQUIRE);
    int result = MEMO_OK;
    record_t *record;
    bucket_t *b;

    if (at == 0)
        return MEMO_OK;
    record = record_at(s, at);
    b = table_lock(s, record->hash);
    if (g->record != 0 && record->queue.head != 0) {
        result = take_first(s, record, r->what, r, (uint32_t)i, m);
        if (result == MEMO_OK)
            result = MEMO_NONE;
    }
    table_unlock(s, b);
    return result;
}

bool select_passed_over(const request_t *r)
{
    return atomic_load(&r->poked) != 0 && request_status(atomic_load(&r->state)) == REQUEST_PENDING;
}

int select_recheck(self_t *s, request_t *r, struct memo **m)
{
    uint32_t i;
    int result = MEMO_OK;

    atomic_store(&r->poked, 0);
    for (i = 0; i < r->count && result == MEMO_OK; i++)
        result = recheck_one(s, r, i, m);
    return result;
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static void accept(self_t *s, const slot_message_t *message, void *arg)
{
    shm_local_t *local = arg;

    local->memo = message_memo(s, message);
    local->result = local->memo != NULL ? MEMO_OK : MEMO_EFULL;
    local->delivered = true;
}

static bool settled(self_t *s, void *arg)
{
    const request_t *r = arg;

    return request_status(atomic_load(&r->state)) == REQUEST_QUIET || atomic_load(&s->node->closing);
}

#define PAUSES_MOST 128u
#define PAUSES_LEAST 20u
#define YIELDS 40
#define POLLED_FOLDERS 8u

/* Gives the CPU to who may be about to answer. True if there is something to read. */
static bool yield_a_while(self_t *s)
{
    bool there = false;
    int i;

    for (i = 0; i < YIELDS && !there; i++) {
        sched_yield();
        there = atomic_load_explicit(&s->party->attention, memory_order_relaxed) != 0;
    }
    return there;
}

/* What the buckets of a few folders looked like. */
typedef struct arrivals {
    const bucket_t *bucket[POLLED_FOLDERS];
    uint64_t seen[POLLED_FOLDERS];
    size_t count;
} arrivals_t;

static void arrivals_note(const self_t *s, const memo_select_t *select, arrivals_t *a)
{
    for (a->count = 0; a->count < select->count; a->count++) {
        a->bucket[a->count] = table_bucket_of(s, select->folders[a->count].hash);
        a->seen[a->count] = atomic_load_explicit(&a->bucket[a->count]->arrivals, memory_order_relaxed);
    }
}

static bool arrivals_moved(const arrivals_t *a)
{
    size_t i;

    for (i = 0; i < a->count; i++)
        if (atomic_load_explicit(&a->bucket[i]->arrivals, memory_order_relaxed) != a->seen[i])
            return true;
    return false;
}

/* Polls the folders while another CPU may be about to put: handing over so is cheaper than by message. MEMO_NONE
 * when it was not worth it. */
static int poll_a_while(self_t *s, const memo_select_t *select, struct memo **m, size_t *which, arrivals_t *a)
{
    shm_local_t *local = shm_local(s);
    uint32_t pauses = local->pauses < PAUSES_LEAST ? PAUSES_LEAST : local->pauses;
    int result = MEMO_NONE;
    uint32_t i;

    for (i = 0; i < pauses && result == MEMO_NONE; i++) {
        wait_pause();
        if (!arrivals_moved(a))
            continue;
        arrivals_note(s, select, a);
        result = select_poll(s, select, m, which);
    }
    /* What was worth it is tried longer the next time, what was not, half as long. */
    local->pauses = result == MEMO_OK && pauses < PAUSES_MOST ? pauses * 2
                    : result == MEMO_OK                       ? pauses
                                                              : pauses / 2;
    return result;
}

/* Waits for the claimed request's memo. Its claimer is at work, or dead: then a repair delivers it, or unclaims. */
static void sleep_once(self_t *s, request_t *r, int64_t deadline)
{
    if (r->quiet)
        quiet_check(s);
    origins_flush(s, shm_body(s));
    slot_sleep(s, deadline, settled, r);
    repair_look(s, WAIT_TICK_NS / 2);
}

/* Until a memo was delivered (MEMO_OK, or why not), or the request given up: `code` when the deadline has passed.
 */
static int wait_for(self_t *s, request_t *r, int64_t deadline, int code)
{
    shm_local_t *local = shm_local(s);

    for (;;) {
        slot_scan(s, accept, local);
        if (local->delivered)
            return local->result;
        if (request_status(atomic_load(&r->state)) == REQUEST_QUIET)
            return MEMO_QUIET;
        if (select_passed_over(r)) {
            int result = select_recheck(s, r, &local->memo);
            if (result != MEMO_OK && result != MEMO_PENDING)
                return result == MEMO_NONE ? MEMO_OK : result;
        }
        if (atomic_load_explicit(&s->node->closing, memory_order_relaxed) && request_cancel(s, r))
            return memo_error(MEMO_ECLOSED, "the space was closed while the call waited");
        if (deadline != WAIT_FOREVER && (deadline == 0 || wait_now() >= deadline) && request_cancel(s, r))
            return code;
        if (!yield_a_while(s))
            sleep_once(s, r, deadline == 0 ? WAIT_FOREVER : deadline);
    }
}

/* ---- the select ------------------------------------------------------------------------------------------ */

static int wait_linked(self_t *s, request_t *r, const memo_select_t *select, int64_t deadline)
{
    int result;

    if (memo_select_skips(select))
        return wait_for(s, r, 0, MEMO_NONE);
    if (r->quiet)
        quiet_wait(s, r);
    result = wait_for(s, r, deadline, MEMO_TIMEDOUT);
    if (r->quiet)
        quiet_wait(s, NULL);
    return result;
}

static int select_slowly(self_t *s, const memo_select_t *select, int64_t deadline, struct memo **m, size_t *which)
{
    shm_local_t *local = shm_local(s);
    request_t *r = request_own(s, select->count);
    int result;

    if (r == NULL)
        return memo_error(MEMO_EFULL, "the space has no room left to wait in %zu folders", select->count);
    local->delivered = false;
    local->memo = NULL;
    request_arm(s, r, select->what, select->when_empty == MEMO_UNTIL_QUIET);
    result = select_link(s, r, select, m);
    if (result == MEMO_OK || result == MEMO_PENDING) {
        result = wait_linked(s, r, select, deadline);
        *m = local->memo;
    } else if (result == MEMO_NONE)
        result = MEMO_OK;
    else if (!request_cancel(s, r) && request_status(atomic_load(&r->state)) == REQUEST_CLAIMED && *m == NULL &&
             ((atomic_load(&r->state) >> 8) & 0xffff) != s->index + 1u) {
        result = wait_for(s, r, 0, result); /* no room to link on, but somebody gives us a memo, unless he dies */
        *m = local->memo;
    }
    *which = atomic_load_explicit(&r->which, memory_order_relaxed);
    request_end(s, r);
    slot_wake(s);
    return result;
}

int select_memo(self_t *s, const memo_select_t *select, memo_t **m, size_t *which)
{
    arrivals_t arrivals;
    int64_t deadline;
    bool may_poll;
    int result;

    if (select->when_empty == MEMO_UNTIL_QUIET)
        atomic_fetch_or_explicit(&s->party->flags, PARTY_QUIET, memory_order_relaxed);
    deadline =
        memo_select_skips(select) || select->timeout_ns < 0 ? WAIT_FOREVER : wait_deadline(select->timeout_ns);
    may_poll = !memo_select_skips(select) && select->count <= POLLED_FOLDERS && s->node->cpus > 1 &&
               deadline == WAIT_FOREVER;
    if (may_poll)
        arrivals_note(s, select, &arrivals);
    result = select_poll(s, select, m, which);
    if (result == MEMO_NONE && may_poll)
        result = poll_a_while(s, select, m, which, &arrivals);
    if (result == MEMO_NONE && !(memo_select_skips(select) && select->count == 1))
        result = select_slowly(s, select, deadline, m, which);
    if (result == MEMO_OK && select->choice == MEMO_ROTATE)
        shm_local(s)->rotate = *which + 1;
    return result;
}
