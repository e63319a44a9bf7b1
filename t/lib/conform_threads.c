/*
 * conform_threads.c - threads, signals and forks: clause C15.
 */
#include "t/lib/conform.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct work {
    memo_space_t *s;
    int number;
    memo_t *m;
} work_t;

static int c15_back_and_forth(void *arg)
{
    work_t *w = arg;
    memo_folder_t f = folder("own %d", w->number), all = folder("everybody's");
    for (uint64_t i = 0; i < effort(1000); i++) {
        uint64_t number;
        if (put_number(w->s, &f, i) != MEMO_OK || put_number(w->s, &all, i) != MEMO_OK)
            return 1;
        if (take_number(w->s, &f, &number, 0) != MEMO_OK || number != i)
            return 2;
        if (take_number(w->s, &all, &number, PATIENCE) != MEMO_OK)
            return 3;
    }
    return 0;
}

static void c15_share_a_handle(memo_space_t *s)
{
    enum { N = 6 };
    memo_folder_t f = folder("blocked");
    work_t w[N];
    thread_t *t[N];
    call_t c;
    int wrong = 0;
    call_get(&c, s, &f);
    call_start(&c);
    waiters_become(s, &f, 1);
    for (int i = 0; i < N; i++) {
        w[i] = (work_t){.s = s, .number = i};
        t[i] = thread_start(c15_back_and_forth, &w[i]);
    }
    for (int i = 0; i < N; i++)
        wrong += thread_wait(t[i]) != 0;
    tap_ok(wrong == 0 && !call_done(&c), "c15: threads share a handle, and a blocked call blocks its own alone");
    put_number(s, &f, 1);
    tap_ok(call_wait(&c) == MEMO_OK && number_freed(c.m) == 1, "c15: which ends when it should");
}

static int c15_take(void *arg)
{
    work_t *w = arg;
    memo_folder_t f = folder("passed");
    return memo_get(w->s, &f, &w->m);
}

static int c15_put(void *arg)
{
    work_t *w = arg;
    memo_folder_t f = folder("passed on");
    return memo_put(w->s, &f, w->m);
}

static int c15_free(void *arg)
{
    work_t *w = arg;
    memo_free(w->m);
    return 0;
}

static void c15_pass_memos(memo_space_t *s)
{
    memo_folder_t f = folder("passed"), g = folder("passed on");
    work_t w = {.s = s};
    uint64_t number, used = stat_of(s).used;
    put_number(s, &f, 1);
    tap_ok(thread_wait(thread_start(c15_take, &w)) == MEMO_OK && memos_in(s, &f) == 0 && number_in(w.m) == 1,
           "c15: what a thread holds when it ends, its process holds");
    tap_ok(thread_wait(thread_start(c15_put, &w)) == MEMO_OK && take_number(s, &g, &number, 0) == MEMO_OK &&
               number == 1,
           "c15: another thread may put it");
    put_number(s, &f, 2);
    thread_wait(thread_start(c15_take, &w));
    tap_ok(memo_redeliveries(w.m) == 0 && memo_replace(w.m) == MEMO_OK && memos_in(s, &f) == 1,
           "c15: or put it back");
    thread_wait(thread_start(c15_take, &w));
    thread_wait(thread_start(c15_free, &w));
    tap_ok(memos_in(s, &f) == 0 && stat_of(s).memos == 0 && stat_of(s).used <= used + 65536, "c15: or free it");
    bool right = true;
    for (uint64_t i = 0; i < effort(1500); i++) {
        put_number(s, &f, 3);
        right = thread_wait(thread_start(c15_take, &w)) == MEMO_OK && right;
        memo_free(w.m);
    }
    tap_ok(right && stat_of(s).used <= used + 65536, "c15: threads that came and went leave nothing");
}

/* ---- signals
 * ------------------------------------------------------------------------------------------------------ */

static _Atomic(int) signals_seen;

static void on_signal(int sig)
{
    (void)sig;
    atomic_fetch_add(&signals_seen, 1);
}

/* Sends one after the other, each when the last was seen. */
static bool signals_to(pthread_t id, int many)
{
    for (int i = 0; i < many; i++) {
        int before = atomic_load(&signals_seen);
        int64_t end = now_ns() + PATIENCE;
        pthread_kill(id, SIGUSR1);
        while (atomic_load(&signals_seen) == before) {
            if (now_ns() > end)
                return false;
            pause_ns(MS / 4);
        }
        pause_ns(MS / 2);
    }
    return true;
}

static int c15_full_put(void *arg)
{
    work_t *w = arg;
    memo_folder_t f = folder("limited");
    return memo_put_for(w->s, &f, w->m, PATIENCE);
}

static void c15_signal_in_a_put(memo_space_t *s)
{
    memo_folder_t f = folder("limited");
    work_t w = {.s = s, .m = new_number(s, 2)};
    memo_limit(s, &f, 1, 0);
    put_number(s, &f, 1);
    thread_t *t = thread_start(c15_full_put, &w);
    pause_ns(10 * MS);
    bool right = signals_to(thread_id(t), 10) && memos_in(s, &f) == 1;
    uint64_t number = 0; /* only the first: as soon as there is room, the second is put */
    right = take_number(s, &f, &number, 0) == MEMO_OK && number == 1 && right;
    right = thread_wait(t) == MEMO_OK && drain(s, &f) == 1 && right;
    memo_limit(s, &f, 0, 0);
    tap_ok(right, "c15: nor a put that waits for room");
}

static void c15_signals(memo_space_t *s)
{
    struct sigaction action, old;
    memo_folder_t f = folder("signalled"), g = folder("signalled too");
    call_t get, join, timed;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, &old);
    call_get(&get, s, &f);
    call_start(&get);
    waiters_become(s, &f, 1);
    tap_ok(signals_to(thread_id(get.thread), 20) && !call_done(&get), "c15: a signal handler does not end a get");
    put_number(s, &f, 1);
    tap_ok(call_wait(&get) == MEMO_OK && number_freed(get.m) == 1, "c15: which goes on to its memo");
    call_get(&join, s, &f);
    join.folders[1] = g;
    join.select.count = 2;
    join.join = true;
    call_start(&join);
    pause_ns(10 * MS);
    tap_ok(signals_to(thread_id(join.thread), 10) && !call_done(&join), "c15: nor a join");
    put_number(s, &f, 1);
    put_number(s, &g, 2);
    tap_ok(call_wait(&join) == MEMO_OK && number_freed(join.all[0]) == 1 && number_freed(join.all[1]) == 2,
           "c15: which goes on too");
    c15_signal_in_a_put(s);
    call_get(&timed, s, &f);
    timed.select.timeout_ns = 60 * MS;
    int64_t start = now_ns();
    call_start(&timed);
    waiters_become(s, &f, 1);
    signals_to(thread_id(timed.thread), 10);
    tap_ok(call_wait(&timed) == MEMO_TIMEDOUT && now_ns() - start >= 60 * MS,
           "c15: a timeout under signals comes no earlier");
    sigaction(SIGUSR1, &old, NULL);
}

/* ---- fork
 * ---------------------------------------------------------------------------------------------------------- */

/* What the child of a fork sees of the parent's handle; the number of what is wrong. */
static int c15_child(memo_space_t *parents, memo_t *held, memo_request_t *r)
{
    memo_folder_t f = folder("forked");
    memo_t *m = NULL;
    memo_space_t *own = NULL;
    uint64_t number = 0;
    memo_stat_t st;
    int wrong = !refused(memo_put(parents, &f, held), MEMO_ECLOSED);
    wrong += !refused(memo_get_skip(parents, &f, &m), MEMO_ECLOSED);
    wrong += !refused(memo_alloc(parents, 8, &m), MEMO_ECLOSED);
    wrong += !refused(memo_stat(parents, &st, sizeof st), MEMO_ECLOSED);
    wrong += !refused(memo_write(parents, &f, "x", 1), MEMO_ECLOSED);
    wrong += !refused(memo_test(r, &m, NULL), MEMO_ECLOSED);
    wrong += memo_replace(held) >= 0;
    memo_free(held);
    wrong += !refused(memo_close(parents), MEMO_ECLOSED);
    int rc = memo_open(&own, peers_uri());
    if (peers_are_ranks()) /* MPI is the parent's: refused, which is all that can be asked */
        return wrong + (rc >= 0 || memo_errmsg()[0] == '\0' || own != NULL);
    if (rc != MEMO_OK)
        return wrong + 100;
    wrong += memo_replace(held) >= 0;
    wrong += take_number(own, &f, &number, 0) != MEMO_OK || number != 5;
    wrong += put_number(own, &f, 6) != MEMO_OK;
    wrong += memo_close(own) != MEMO_OK;
    return wrong;
}

static void c15_fork(memo_space_t *s)
{
    memo_folder_t f = folder("forked"), g = folder("held over a fork"), h = folder("awaited over a fork");
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    memo_t *held = NULL;
    call_t c;
    uint64_t number, clients = stat_of(s).clients;
    put_number(s, &f, 5);
    put_number(s, &g, 1);
    memo_get(s, &g, &held);
    call_get(&c, s, &h);
    call_start(&c);
    waiters_become(s, &h, 1);
    sel.folders = &g;
    sel.count = 1;
    memo_start(s, &sel, &r);
    int status = -1;
    pid_t pid = tap_fork();
    if (pid == 0) {
        int wrong = c15_child(s, held, r);
        fflush(NULL);
        _exit(wrong);
    }
    waitpid(pid, &status, 0);
    tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
           "c15: in a forked child the parent's handle is closed, and the space is opened anew, or not (%d)",
           WEXITSTATUS(status));
    tap_ok(stat_of(s).clients == clients && take_number(s, &f, &number, 0) == MEMO_OK &&
               number == (peers_are_ranks() ? 5 : 6),
           "c15: the child was a client of its own, or none");
    tap_ok(memos_in(s, &g) == 0 && number_in(held) == 1 && memo_redeliveries(held) == 0,
           "c15: held memos stay the parent's");
    memo_t *m = NULL;
    tap_ok(memo_replace(held) == MEMO_OK && memo_wait(r, &m, NULL, PATIENCE) == MEMO_OK && number_freed(m) == 1,
           "c15: so do its requests");
    put_number(s, &h, 8);
    tap_ok(call_wait(&c) == MEMO_OK && number_freed(c.m) == 8, "c15: and its waiting threads");
}

/* ---- closing
 * --------------------------------------------------------------------------------------------------------- */

/* The calls of a handle that is closed under them; each has a thread of the guest's. */
enum { C15_GET, C15_ALT, C15_JOIN, C15_COPY, C15_TIMED, C15_WAIT, C15_PUT, C15_CALLS };

typedef struct blocked {
    _Atomic(uint64_t) next;
} blocked_t;

static int c15_blocked_call(memo_space_t *s, void *arg)
{
    blocked_t *b = arg;
    memo_folder_t f[2] = {folder("closing"), folder("closing too")}, full = folder("limited");
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    memo_t *m[2] = {NULL, NULL};
    sel.folders = f;
    sel.count = 1;
    switch (atomic_fetch_add(&b->next, 1)) {
    case C15_GET:
        return memo_get(s, f, m);
    case C15_ALT:
        return memo_alt(s, f, 2, m, NULL);
    case C15_JOIN:
        return memo_get_all(s, f, 2, m);
    case C15_COPY:
        return memo_get_copy(s, f, m);
    case C15_TIMED:
        return memo_get_for(s, f, m, 3600 * 1000 * MS);
    case C15_WAIT:
        return memo_start(s, &sel, &r) == MEMO_OK ? memo_wait(r, m, NULL, MEMO_FOREVER) : -100;
    default:
        return memo_put_for(s, &full, new_number(s, 1), MEMO_FOREVER);
    }
}

static void c15_close_under_calls(memo_space_t *s)
{
    static const char *what[] = {"get", "alt", "get_all", "get_copy", "get_for", "wait", "put_for"};
    memo_folder_t f = folder("closing"), full = folder("limited");
    guest_t *other = guest_open();
    blocked_t *b = peer_shared(sizeof *b);
    peer_t *calls[C15_CALLS];
    memo_limit(s, &full, 1, 0);
    put_number(s, &full, 1);
    for (uint64_t i = 0; i < C15_CALLS; i++) {
        calls[i] = guest_start(other, c15_blocked_call, b);
        number_becomes(&b->next, i + 1);
    }
    int64_t end = now_ns() + PATIENCE;
    while (waiters_on(s, &f) < 5 && now_ns() < end) /* or 6, where a join counts as one */
        pause_ns(MS);
    pause_ns(20 * MS);
    tap_ok(guest_close(other) == MEMO_OK, "c15: a handle is closed while others are blocked in it");
    for (int i = 0; i < C15_CALLS; i++)
        tap_is_int(peer_wait(calls[i]), MEMO_ECLOSED, "c15: %s returns MEMO_ECLOSED", what[i]);
    tap_ok(waiters_on(s, &f) == 0 && put_number(s, &f, 1) == MEMO_OK && drain(s, &f) == 1,
           "c15: and none of them waits on");
    drain(s, &full);
    memo_limit(s, &full, 0, 0);
    peer_unshare(b, sizeof *b);
}

void c15_threads(memo_space_t *s)
{
    c15_share_a_handle(s);
    c15_pass_memos(s);
    c15_signals(s);
    c15_close_under_calls(s);
    if (peers_are_threads())
        tap_skip("no forks under ThreadSanitizer", "c15: fork");
    else
        c15_fork(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c15: nothing is left");
}
