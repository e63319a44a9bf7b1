/*
 * space_requests.c - started selects: memo_start, memo_test, memo_wait, memo_cancel and memo_fd.
 *
 * A request's call is under way whether somebody waits for it or not; whoever reads the mailbox completes it, and
 * ends those whose time is up. memo_fd's bridge is a thread that always waits.
 */
#include <stdlib.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "stubs/space.h"

static mpi_request_t *request_of(memo_request_t *r)
{
    return (mpi_request_t *)(void *)r;
}

/* ---- the lists ---------------------------------------------------------------------------------------------- */

static void list_add(mpi_space_t *sp, mpi_request_t *q)
{
    q->next = sp->requests;
    q->prev = NULL;
    if (sp->requests != NULL)
        sp->requests->prev = q;
    sp->requests = q;
}

static void list_drop(mpi_space_t *sp, mpi_request_t *q)
{
    if (q->next != NULL)
        q->next->prev = q->prev;
    if (q->prev != NULL)
        q->prev->next = q->next;
    else
        sp->requests = q->next;
}

static void timed_add(mpi_space_t *sp, mpi_request_t *q)
{
    q->next_timed = sp->timed;
    q->prev_timed = NULL;
    if (sp->timed != NULL)
        sp->timed->prev_timed = q;
    if (sp->timed == NULL || q->deadline < sp->earliest) {
        sp->earliest = q->deadline;
        pump_ring(sp); /* who sleeps may sleep too long */
    }
    sp->timed = q;
}

static void timed_drop(mpi_space_t *sp, mpi_request_t *q)
{
    if (q->next_timed != NULL)
        q->next_timed->prev_timed = q->prev_timed;
    if (q->prev_timed != NULL)
        q->prev_timed->next_timed = q->next_timed;
    else
        sp->timed = q->next_timed;
    q->deadline = WAIT_FOREVER;
}

int64_t requests_deadline(const mpi_space_t *sp, int64_t deadline)
{
    return sp->timed != NULL && sp->earliest < deadline ? sp->earliest : deadline;
}

void requests_look_at_times(mpi_space_t *sp)
{
    mpi_request_t *q, *next;
    int64_t now, earliest = WAIT_FOREVER;

    if (sp->timed == NULL || (now = wait_now()) < sp->earliest)
        return;
    for (q = sp->timed; q != NULL; q = next) {
        next = q->next_timed;
        if (q->deadline > now) {
            if (q->deadline < earliest)
                earliest = q->deadline;
            continue;
        }
        timed_drop(sp, q);
        q->pending.cancelled = true;
        stub_cancel(sp->stub, &q->pending.call, MEMO_TIMEDOUT);
    }
    sp->earliest = earliest;
}

/* ---- completion --------------------------------------------------------------------------------------------- */

static void show(mpi_space_t *sp)
{
    bridge_show(&sp->bridge, sp->over > 0);
}

static void ended(mpi_space_t *sp, pending_t *p)
{
    mpi_request_t *q = (mpi_request_t *)(void *)((char *)p - offsetof(mpi_request_t, pending));

    if (q->deadline != WAIT_FOREVER)
        timed_drop(sp, q);
    if (q->rotates && p->call.result == MEMO_OK)
        sp->rotate = p->call.index + 1;
    sp->over++;
    show(sp);
    pump_wake(sp, p->thread);
}

static int collect(mpi_space_t *sp, self_t *s, mpi_request_t *q, memo_t **m, size_t *which)
{
    int result = q->pending.call.result;

    if (result == MEMO_OK) {
        *m = near_memo(q->pending.call.memo);
        *which = q->pending.call.index;
    }
    list_drop(sp, q);
    sp->over--;
    show(sp);
    if (q->quiet)
        part_request(sp, -1, s);
    result = takes_explain(result, q->count);
    free(q);
    return result;
}

/* ---- starting ----------------------------------------------------------------------------------------------- */

static int begin(mpi_space_t *sp, mpi_request_t *q, const memo_select_t *select)
{
    pending_t *p = &q->pending;
    int result;

    list_add(sp, q);
    pending_begin(sp, p, NULL);
    pending_concerns(sp, p, select->folders, select->count);
    if (q->quiet) {
        pending_concerns_server(sp, p, 0);
        part_request(sp, 1, NULL);
    }
    if (q->deadline != WAIT_FOREVER)
        timed_add(sp, q);
    p->ended = ended;
    result = stub_select(sp->stub, &p->call, select, q->rotates ? (uint32_t)(sp->rotate % select->count) : 0);
    result = pending_begun(sp, p, result);
    if (result == MEMO_OK)
        return result;
    if (q->deadline != WAIT_FOREVER)
        timed_drop(sp, q);
    if (q->quiet)
        part_request(sp, -1, NULL);
    list_drop(sp, q);
    return takes_explain(result, select->count);
}

int requests_start(memo_space_t *space, const memo_select_t *select, memo_request_t **r)
{
    mpi_space_t *sp = space_of(space);
    mpi_request_t *q = calloc(1, sizeof *q);
    self_t *s;
    int result;

    if (q == NULL)
        return memo_error(MEMO_ENOMEM, "no memory for a request");
    result = space_enter(sp, &s);
    if (result != MEMO_OK) {
        free(q);
        return result;
    }
    q->base.space = space;
    q->quiet = select->when_empty == MEMO_UNTIL_QUIET;
    q->rotates = select->choice == MEMO_ROTATE;
    q->count = select->count;
    q->deadline = memo_select_skips(select) ? WAIT_FOREVER : wait_deadline(select->timeout_ns);
    result = begin(sp, q, select);
    if (result == MEMO_OK) {
        if (q->quiet)
            part_ends(sp, s);
        *r = &q->base;
    } else
        free(q);
    space_leave(sp, s);
    return result;
}

/* ---- testing, waiting, cancelling ------------------------------------------------------------------------------
 */

int requests_test(memo_request_t *r, memo_t **m, size_t *which)
{
    mpi_space_t *sp = space_of(r->space);
    mpi_request_t *q = request_of(r);
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    if (!q->pending.done) {
        if (q->quiet)
            part_ends(sp, s); /* a thread that asks after it waits by it */
        repair_look(sp->mailbox, WAIT_TICK_NS / 2);
        part_look(sp);
        pump(sp);
    }
    result = q->pending.done ? collect(sp, s, q, m, which) : MEMO_PENDING;
    space_leave(sp, s);
    return result;
}

int requests_wait(memo_request_t *r, memo_t **m, size_t *which, int64_t timeout_ns)
{
    mpi_space_t *sp = space_of(r->space);
    mpi_request_t *q = request_of(r);
    int64_t deadline = wait_deadline(timeout_ns);
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    if (q->quiet && !q->pending.done)
        part_ends(sp, s);
    if (!q->pending.done)
        pump(sp);
    q->pending.thread = space_thread(s);
    while (!q->pending.done && (deadline == WAIT_FOREVER || wait_now() < deadline))
        pump_sleep(sp, space_thread(s), deadline);
    q->pending.thread = NULL;
    result = q->pending.done ? collect(sp, s, q, m, which) : MEMO_PENDING;
    space_leave(sp, s);
    return result;
}

int requests_cancel(memo_request_t *r)
{
    mpi_space_t *sp = space_of(r->space);
    mpi_request_t *q = request_of(r);
    memo_t *m = NULL;
    size_t which;
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    if (!q->pending.done && !q->pending.cancelled) {
        q->pending.cancelled = true;
        stub_cancel(sp->stub, &q->pending.call, MEMO_ECANCELED);
    }
    q->pending.thread = space_thread(s);
    while (!q->pending.done)
        pump_sleep(sp, space_thread(s), WAIT_FOREVER);
    collect(sp, s, q, &m, &which);
    if (m != NULL)
        pending_give_back(sp, space_thread(s), m);
    space_leave(sp, s);
    return MEMO_OK;
}

/* ---- the descriptor --------------------------------------------------------------------------------------------
 */

static void *bridge(void *arg)
{
    mpi_space_t *sp = arg;

    pthread_mutex_lock(&sp->mutex);
    while (!sp->bridge.stop) {
        pump(sp);
        pump_sleep(sp, &sp->bridge_thread, WAIT_FOREVER);
    }
    pump_pass_on(sp);
    pthread_mutex_unlock(&sp->mutex);
    return NULL;
}

int requests_fd(memo_space_t *space)
{
    mpi_space_t *sp = space_of(space);
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    result = pump_prepare(sp, &sp->bridge_thread);
    if (result == MEMO_OK)
        result = bridge_fd(&sp->bridge, bridge, sp);
    show(sp);
    space_leave(sp, s);
    return result;
}

void requests_stop(mpi_space_t *sp)
{
    if (!sp->bridge.runs)
        return;
    pthread_mutex_lock(&sp->mutex);
    sp->bridge.stop = true;
    pump_wake(sp, &sp->bridge_thread);
    pthread_mutex_unlock(&sp->mutex);
    bridge_join(&sp->bridge);
}

void requests_free(mpi_space_t *sp)
{
    mpi_request_t *q;

    while ((q = sp->requests) != NULL) {
        list_drop(sp, q);
        free(q);
    }
    bridge_close(&sp->bridge);
}
