/*
 * started.c - requests: memo_start, memo_test, memo_wait, memo_cancel and memo_fd (shm.h).
 *
 * All requests of a handle share its common party: its receiver has one scanner, whoever holds the handle's mutex.
 * He leaves what he finds at the requests it is for. Of several threads that wait, one sleeps on the common party's
 * bell, without the mutex; the others on a condition variable that he signals. memo_fd's bridge thread is such a
 * sleeper that never leaves.
 */
#include <stdlib.h>
#include <time.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "libmemo/shm/shm.h"

static void list_add(shm_space_t *sp, shm_request_t *q)
{
    q->next = sp->requests;
    q->prev = NULL;
    if (sp->requests != NULL)
        sp->requests->prev = q;
    sp->requests = q;
}

static void list_drop(shm_space_t *sp, shm_request_t *q)
{
    if (q->next != NULL)
        q->next->prev = q->prev;
    if (q->prev != NULL)
        q->prev->next = q->next;
    else
        sp->requests = q->next;
}

/* ---- completion ------------------------------------------------------------------------------------------ */

static void show(shm_space_t *sp)
{
    bridge_show(&sp->bridge, sp->done > 0);
}

/* The handle's part in quiet: it takes part while it has requests that wait so, and waits while all of them do. */
static void publish_quiet(shm_space_t *sp)
{
    self_t *s = sp->common;
    offset_t first = 0;
    bool any = false, all = true;
    shm_request_t *q;

    quiet_hold(s);
    for (q = sp->requests; q != NULL; q = q->next) {
        if (!q->quiet)
            continue;
        any = true;
        if (q->done || !q->linked) {
            all = false;
            continue;
        }
        atomic_store(&q->request->quiet_next, first);
        first = node_offset(s, q->request);
    }
    atomic_store(&shm_body(s)->quiet, all ? first : 0);
    if (any)
        atomic_fetch_or(&s->party->flags, PARTY_QUIET);
    else
        atomic_fetch_and(&s->party->flags, ~(uint32_t)PARTY_QUIET);
    quiet_release(s);
}

/* A thread that asks after a request that waits until quiet, waits by it. */
static void asks(self_t *thread, const shm_request_t *q)
{
    if (q->quiet && (atomic_load_explicit(&thread->party->flags, memory_order_relaxed) & PARTY_QUIET) != 0)
        quiet_leave(thread, thread->index);
}

static void complete(shm_space_t *sp, shm_request_t *q, int result, struct memo *m)
{
    q->done = true;
    q->result = result;
    q->memo = m;
    if (q->request != NULL) {
        q->which = atomic_load_explicit(&q->request->which, memory_order_relaxed);
        if (q->quiet)
            publish_quiet(sp);
        request_end(sp->common, q->request);
        q->request = NULL;
    }
    sp->done++;
    show(sp);
    atomic_fetch_add(&sp->completions, 1);
    pthread_cond_broadcast(&sp->changed);
    if (sp->scanning)
        slot_ring(sp->common, sp->common->index); /* it may be his request, whose message we have read */
}

static void accept(self_t *s, const slot_message_t *message, void *arg)
{
    shm_space_t *sp = arg;
    shm_request_t *q, *next;
    struct memo *m;

    if (message->request != 0) {
        q = (shm_request_t *)(uintptr_t)((request_t *)node_at(s, message->request))->local;
        m = message_memo(s, message);
        complete(sp, q, m != NULL ? MEMO_OK : MEMO_EFULL, m);
        return;
    }
    for (q = sp->requests; q != NULL; q = next) {
        next = q->next;
        if (q->done || q->request->what != MEMO_COPY ||
            request_status(atomic_load(&q->request->state)) != REQUEST_CLAIMED ||
            atomic_load(&q->request->tag) != slot_tag(message))
            continue;
        m = message_memo(s, message);
        complete(sp, q, m != NULL ? MEMO_OK : MEMO_EFULL, m);
    }
}

/* The space is quiet: for all the handle's requests that wait for that. */
static void all_quiet(shm_space_t *sp)
{
    shm_request_t *q;

    for (q = sp->requests; q != NULL; q = q->next)
        if (q->quiet && !q->done &&
            (request_status(atomic_load(&q->request->state)) == REQUEST_QUIET ||
             request_cancel(sp->common, q->request)))
            complete(sp, q, MEMO_QUIET, NULL);
}

static void look_at_times(shm_space_t *sp)
{
    int64_t now = 0;
    shm_request_t *q;
    int result;

    for (q = sp->requests; q != NULL; q = q->next) {
        if (q->done)
            continue;
        if (q->quiet && request_status(atomic_load(&q->request->state)) == REQUEST_QUIET) {
            all_quiet(sp);
            return;
        }
        if (select_passed_over(q->request)) {
            struct memo *m = NULL;
            result = select_recheck(sp->common, q->request, &m);
            if (result != MEMO_OK && result != MEMO_PENDING) {
                complete(sp, q, result == MEMO_NONE ? MEMO_OK : result, m);
                continue;
            }
        }
        if (q->deadline == WAIT_FOREVER)
            continue;
        if (now == 0)
            now = wait_now();
        if (now >= q->deadline && request_cancel(sp->common, q->request))
            complete(sp, q, q->skip ? MEMO_NONE : MEMO_TIMEDOUT, NULL);
    }
}

/* Sees what has come. Under the mutex. */
static void pump(shm_space_t *sp)
{
    slot_scan(sp->common, accept, sp);
    look_at_times(sp);
    slot_wake(sp->common);
}

/* ---- sleeping -------------------------------------------------------------------------------------------- */

static void wait_signalled(shm_space_t *sp, int64_t deadline)
{
    int64_t until = wait_now() + WAIT_TICK_NS;
    struct timespec t;

    if (until > deadline)
        until = deadline;
    t.tv_sec = until / 1000000000;
    t.tv_nsec = until % 1000000000;
    pthread_cond_timedwait(&sp->changed, &sp->mutex, &t);
}

static int64_t next_deadline(const shm_space_t *sp, int64_t deadline)
{
    const shm_request_t *q;

    for (q = sp->requests; q != NULL; q = q->next)
        if (!q->done && q->deadline < deadline)
            deadline = q->deadline;
    return deadline;
}

static bool any_quiet(const shm_space_t *sp)
{
    const shm_request_t *q;

    for (q = sp->requests; q != NULL; q = q->next)
        if (q->quiet && !q->done)
            return true;
    return false;
}

typedef struct completions {
    shm_space_t *sp;
    uint64_t seen;
} completions_t;

static bool completions_moved(self_t *s, void *arg)
{
    const completions_t *c = arg;

    (void)s;
    return atomic_load(&c->sp->completions) != c->seen;
}

/* Sleeps a while, until something may have changed. Under the mutex, which is let go meanwhile. */
static void sleep_common(shm_space_t *sp, int64_t deadline)
{
    completions_t completions = {.sp = sp};

    if (sp->scanning) {
        wait_signalled(sp, deadline);
        return;
    }
    if (any_quiet(sp))
        quiet_check(sp->common);
    deadline = next_deadline(sp, deadline);
    sp->scanning = true;
    completions.seen = atomic_load(&sp->completions);
    pthread_mutex_unlock(&sp->mutex);
    slot_sleep(sp->common, deadline, completions_moved, &completions);
    pthread_mutex_lock(&sp->mutex);
    sp->scanning = false;
    repair_look(sp->common, WAIT_TICK_NS / 2);
    pump(sp);
    pthread_cond_broadcast(&sp->changed);
}

/* ---- starting -------------------------------------------------------------------------------------------- */

static void start_linked(shm_space_t *sp, shm_request_t *q, const memo_select_t *select)
{
    self_t *s = sp->common;
    struct memo *m = NULL;
    int result;

    q->request->local = (uint64_t)(uintptr_t)q;
    request_arm(s, q->request, select->what, q->quiet);
    result = select_link(s, q->request, select, &m);
    if (result == MEMO_OK && select_passed_over(q->request))
        result = select_recheck(s, q->request, &m);
    if (result == MEMO_NONE)
        complete(sp, q, MEMO_OK, m);
    else if (result == MEMO_OK && memo_select_skips(select) && request_cancel(s, q->request))
        complete(sp, q, MEMO_NONE, NULL);
    else if ((result == MEMO_OK || result == MEMO_PENDING) && q->quiet) {
        q->linked = true;
        publish_quiet(sp);
        quiet_check(s);
    } else if (result < 0 && (request_cancel(s, q->request) ||
                              ((atomic_load(&q->request->state) >> 8) & 0xffff) == s->index + 1u))
        complete(sp, q, result, NULL);
    /* else somebody has claimed it, or will */
}

static void start(shm_space_t *sp, shm_request_t *q, const memo_select_t *select)
{
    self_t *s = sp->common;
    struct memo *m = NULL;
    int result;

    if (q->quiet)
        publish_quiet(sp);
    result = select_poll(s, select, &m, &q->which);
    if (result == MEMO_OK && select->choice == MEMO_ROTATE)
        shm_local(s)->rotate = q->which + 1;
    if (result != MEMO_NONE || (memo_select_skips(select) && select->count == 1)) {
        complete(sp, q, result, m);
        return;
    }
    q->request = request_started(s, select->count);
    if (q->request == NULL)
        complete(sp, q, memo_error(MEMO_EFULL, "the space has no room left to wait in %zu folders", select->count),
                 NULL);
    else
        start_linked(sp, q, select);
    slot_wake(s);
}

static int common_there(shm_space_t *sp)
{
    int result = MEMO_OK;

    if (sp->common == NULL)
        sp->common = node_common(&sp->node, &result);
    return sp->common != NULL ? MEMO_OK : result;
}

/* Every call of this file: the thread counts as inside, and holds the mutex. */
static int enter(shm_space_t *sp, self_t **s)
{
    int result = MEMO_OK;

    *s = node_enter(&sp->node, &result);
    if (*s == NULL)
        return result;
    pthread_mutex_lock(&sp->mutex);
    return MEMO_OK;
}

static void leave(shm_space_t *sp, self_t *s)
{
    pthread_mutex_unlock(&sp->mutex);
    node_leave(s);
}

int started_start(memo_space_t *space, const memo_select_t *select, memo_request_t **r)
{
    shm_space_t *sp = (shm_space_t *)(void *)space;
    shm_request_t *q = calloc(1, sizeof *q);
    self_t *s;
    int result;

    if (q == NULL)
        return memo_error(MEMO_ENOMEM, "no memory for a request");
    result = enter(sp, &s);
    if (result != MEMO_OK) {
        free(q);
        return result;
    }
    result = common_there(sp);
    if (result == MEMO_OK) {
        q->base.space = space;
        q->quiet = select->when_empty == MEMO_UNTIL_QUIET;
        q->skip = memo_select_skips(select);
        q->deadline =
            q->skip ? 0 : wait_deadline(select->timeout_ns); /* a skip that was claimed waits for that alone */
        list_add(sp, q);
        start(sp, q, select);
        asks(s, q);
        *r = &q->base;
    } else
        free(q);
    leave(sp, s);
    return result;
}

/* ---- testing, waiting, cancelling ------------------------------------------------------------------------ */

static int collect(shm_space_t *sp, self_t *thread, shm_request_t *q, memo_t **m, size_t *which)
{
    int result = q->result;
    bool quiet = q->quiet;

    if (quiet)
        atomic_fetch_or(&thread->party->flags, PARTY_QUIET); /* before the handle's part may end */

    *m = q->memo;
    *which = q->which;
    list_drop(sp, q);
    sp->done--;
    show(sp);
    free(q);
    if (quiet)
        publish_quiet(sp);
    return result;
}

int started_test(memo_request_t *r, memo_t **m, size_t *which)
{
    shm_space_t *sp = (shm_space_t *)(void *)r->space;
    shm_request_t *q = (shm_request_t *)(void *)r;
    self_t *s;
    int result = enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    if (!q->done) {
        asks(s, q);
        if (q->quiet)
            quiet_check(sp->common);
        repair_look(sp->common, WAIT_TICK_NS / 2);
        pump(sp);
    }
    result = q->done ? collect(sp, s, q, m, which) : MEMO_PENDING;
    leave(sp, s);
    return result;
}

int started_wait(memo_request_t *r, memo_t **m, size_t *which, int64_t timeout_ns)
{
    shm_space_t *sp = (shm_space_t *)(void *)r->space;
    shm_request_t *q = (shm_request_t *)(void *)r;
    int64_t deadline = wait_deadline(timeout_ns);
    self_t *s;
    int result = enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    asks(s, q);
    pump(sp);
    for (;;) {
        if (q->done) {
            result = collect(sp, s, q, m, which);
            break;
        }
        if (atomic_load(&sp->node.closing)) {
            result = memo_error(MEMO_ECLOSED, "the space was closed while the call waited");
            break;
        }
        if (deadline != WAIT_FOREVER && wait_now() >= deadline) {
            result = MEMO_PENDING;
            break;
        }
        sleep_common(sp, deadline);
    }
    leave(sp, s);
    return result;
}

int started_cancel(memo_request_t *r)
{
    shm_space_t *sp = (shm_space_t *)(void *)r->space;
    shm_request_t *q = (shm_request_t *)(void *)r;
    memo_t *m = NULL;
    size_t which;
    self_t *s;
    int result = enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    pump(sp);
    while (!q->done) {
        if (request_cancel(sp->common, q->request))
            complete(sp, q, MEMO_ECANCELED, NULL);
        else {
            pump(sp);
            if (!q->done)
                sleep_common(sp, WAIT_FOREVER); /* its memo is on the way */
        }
    }
    collect(sp, s, q, &m, &which);
    if (m != NULL)
        lease_back(sp->common, m, false);
    leave(sp, s);
    return MEMO_OK;
}

/* ---- the descriptor -------------------------------------------------------------------------------------- */

static void *bridge(void *arg)
{
    shm_space_t *sp = arg;

    pthread_mutex_lock(&sp->mutex);
    while (!sp->bridge.stop) {
        pump(sp);
        sleep_common(sp, WAIT_FOREVER);
    }
    pthread_mutex_unlock(&sp->mutex);
    return NULL;
}

int started_fd(memo_space_t *space)
{
    shm_space_t *sp = (shm_space_t *)(void *)space;
    self_t *s;
    int result = enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    result = common_there(sp);
    if (result == MEMO_OK)
        result = bridge_fd(&sp->bridge, bridge, sp);
    show(sp);
    leave(sp, s);
    return result;
}

void started_stop(shm_space_t *sp)
{
    if (!sp->bridge.runs)
        return;
    pthread_mutex_lock(&sp->mutex);
    sp->bridge.stop = true;
    pthread_cond_broadcast(&sp->changed);
    atomic_fetch_add(&sp->common->party->bell, 1);
    wait_wake(&sp->common->party->bell, 1 << 30);
    pthread_mutex_unlock(&sp->mutex);
    bridge_join(&sp->bridge);
}

void started_free(shm_space_t *sp)
{
    shm_request_t *q;

    while ((q = sp->requests) != NULL) {
        list_drop(sp, q);
        free(q);
    }
    bridge_close(&sp->bridge);
}
