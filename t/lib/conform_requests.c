/*
 * conform_requests.c - selects in flight, and the descriptor that tells of them.
 */
#include "t/lib/conform.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static memo_request_t *start_get(memo_space_t *s, const memo_folder_t f[], size_t n)
{
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    sel.folders = f;
    sel.count = n;
    int rc = memo_start(s, &sel, &r);
    if (rc != MEMO_OK)
        tap_diag("memo_start: %d [%s]", rc, memo_errmsg());
    return r;
}

static void requests_one(memo_space_t *s)
{
    memo_folder_t f[2] = {folder("requested"), folder("requested too")};
    memo_t *m = (memo_t *)f;
    size_t which = 9;
    memo_request_t *r = start_get(s, f, 2);
    tap_ok(memo_test(r, &m, &which) == MEMO_PENDING && m == NULL, "request: pending");
    int64_t start = now_ns();
    tap_ok(memo_wait(r, &m, &which, 20 * MS) == MEMO_PENDING && m == NULL && now_ns() - start >= 20 * MS,
           "request: a wait's own timeout leaves it pending");
    put_number(s, &f[1], 5);
    tap_ok(memo_wait(r, &m, &which, PATIENCE) == MEMO_OK && which == 1 && number_freed(m) == 5,
           "request: it lived on, and is done");
    put_number(s, &f[0], 6);
    memset(f, 0, sizeof f);
    f[0] = folder("requested");
    r = start_get(s, f, 1);
    /* Where a server is asked first, at once is when it has answered. */
    int rc = peers_are_ranks() ? memo_wait(r, &m, NULL, PATIENCE) : memo_test(r, &m, NULL);
    tap_ok(rc == MEMO_OK && number_freed(m) == 6, "request: done at once when there is a memo");
    r = start_get(s, f, 1);
    tap_ok(memo_cancel(r) == MEMO_OK && waiters_on(s, f) == 0 && put_number(s, f, 7) == MEMO_OK && drain(s, f) == 1,
           "request: cancelled, it takes nothing");
    r = start_get(s, f, 1);
    put_number(s, f, 8);
    put_number(s, f, 9);
    uint64_t number;
    tap_ok(memos_in(s, f) == 1 && memo_cancel(r) == MEMO_OK && take_number(s, f, &number, 0) == MEMO_OK &&
               number == 8 && drain(s, f) == 1,
           "request: cancelled when it has its memo, that goes back to the head");
}

static void requests_forms(memo_space_t *s)
{
    memo_folder_t f = folder("formed");
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    memo_t *m = NULL;
    sel.folders = &f;
    sel.count = 1;
    sel.timeout_ns = 10 * MS;
    int64_t start = now_ns();
    memo_start(s, &sel, &r);
    tap_ok(memo_wait(r, &m, NULL, PATIENCE) == MEMO_TIMEDOUT && now_ns() - start >= 10 * MS,
           "request: the select's own timeout ends it");
    memo_start(s, &sel, &r);
    pause_ns(30 * MS);
    put_number(s, &f, 1);
    int rc = memo_test(r, &m, NULL);
    if (rc == MEMO_OK)
        memo_replace(m);
    tap_ok((rc == MEMO_TIMEDOUT || rc == MEMO_OK) && memos_in(s, &f) == 1, "request: or a test finds it over");
    drain(s, &f);
    sel.timeout_ns = MEMO_FOREVER;
    sel.when_empty = MEMO_SKIP;
    memo_start(s, &sel, &r);
    tap_ok(memo_wait(r, &m, NULL, PATIENCE) == MEMO_NONE, "request: a skip");
    sel.when_empty = MEMO_STRICT_SKIP;
    memo_start(s, &sel, &r);
    tap_ok(memo_wait(r, &m, NULL, PATIENCE) == MEMO_NONE, "request: a strict skip");
    sel.when_empty = MEMO_WAIT;
    sel.what = MEMO_COPY;
    memo_start(s, &sel, &r);
    put_number(s, &f, 4);
    tap_ok(memo_wait(r, &m, NULL, PATIENCE) == MEMO_OK && number_freed(m) == 4 && drain(s, &f) == 1,
           "request: a copy");
    memo_start(s, &sel, &r);
    memo_request_t *second = start_get(s, &f, 1);
    put_number(s, &f, 5);
    tap_ok(memo_wait(second, &m, NULL, PATIENCE) == MEMO_OK && number_freed(m) == 5 &&
               memo_wait(r, &m, NULL, PATIENCE) == MEMO_OK && number_freed(m) == 5 && memos_in(s, &f) == 0,
           "request: a copy and a take of one put");
}

#define MANY 500

static int requests_putter(memo_space_t *s, void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < MANY; i++) {
        memo_folder_t f = folder("many %d", (int)((i * 37) % 50));
        PEER(put_number(s, &f, (i * 37) % 50) == MEMO_OK);
    }
    return 0;
}

/* Ten for each of fifty folders, completed by another process in another order. */
static void requests_many(memo_space_t *s)
{
    memo_request_t *r[MANY];
    bool right = true;
    for (int i = 0; i < MANY; i++) {
        memo_folder_t f[2] = {folder("many %d", i % 50), folder("empty %d", i)};
        r[i] = start_get(s, f, 1 + (size_t)i % 2);
        right = r[i] != NULL && right;
    }
    tap_ok(right && stat_of(s).waiters >= MANY, "request: %d in flight on one handle", MANY);
    peer_t *p = peer_start(requests_putter, NULL);
    for (int i = MANY - 1; i >= 0; i--) {
        memo_t *m = NULL;
        int rc = memo_test(r[i], &m, NULL);
        if (rc == MEMO_PENDING)
            rc = memo_wait(r[i], &m, NULL, PATIENCE);
        right = rc == MEMO_OK && number_freed(m) == (uint64_t)(i % 50) && right;
    }
    tap_ok(peer_wait(p) == 0 && right, "request: all are completed by another process");
    for (int i = 0; i < MANY; i++) {
        memo_folder_t f = folder("never %d", i % 7);
        r[i] = start_get(s, &f, 1);
    }
    for (int i = 0; i < MANY; i++)
        right = memo_cancel(r[(i * 7 + 3) % MANY]) == MEMO_OK && right;
    tap_ok(right && stat_of(s).waiters == 0, "request: or cancelled, in any order");
}

#define MESH 4
#define MESH_EACH 8000
#define MESH_IN_STEP 6000
#define MESH_FLIGHT 32

typedef struct mesh {
    _Atomic(uint64_t) number;
    _Atomic(uint64_t) ready;
    uint64_t seed;
    _Atomic(uint8_t) seen[MESH][MESH * MESH_EACH];
} mesh_t;

/* Collects one request, if it is done, and starts it anew. */
static int mesh_collect(memo_space_t *s, mesh_t *mesh, uint64_t me, memo_request_t **r, uint64_t *got)
{
    memo_folder_t own = folder("mesh %d", (int)me);
    memo_t *m = NULL;
    int rc = memo_test(*r, &m, NULL);
    if (rc == MEMO_PENDING)
        return 0;
    PEER(rc == MEMO_OK);
    uint64_t number = number_freed(m);
    PEER(number < MESH * MESH_EACH && atomic_fetch_add(&mesh->seen[me][number], 1) == 0);
    *got += 1;
    *r = start_get(s, &own, 1);
    PEER(*r != NULL);
    return 0;
}

/* Until so many have been collected. */
static int mesh_reach(memo_space_t *s, mesh_t *mesh, uint64_t me, memo_request_t *r[], uint64_t *got,
                      uint64_t wanted)
{
    int64_t end = now_ns() + PATIENCE;
    for (uint64_t i = 0; *got < wanted; i++) {
        PEER(mesh_collect(s, mesh, me, &r[i % MESH_FLIGHT], got) == 0);
        if (i % MESH_FLIGHT == 0) {
            PEER(now_ns() < end);
            sched_yield();
        }
    }
    return 0;
}

/*
 * Each keeps many requests in flight, and completes those of the others. At first all go in step, so that a message
 * that was overlooked is not found when the next one comes; then as fast as they can.
 */
static int mesh_peer(memo_space_t *s, void *arg)
{
    mesh_t *mesh = arg;
    uint64_t me = atomic_fetch_add(&mesh->number, 1), got = 0, random = mesh->seed + me;
    memo_request_t *r[MESH_FLIGHT];
    memo_folder_t f[MESH];
    for (int i = 0; i < MESH; i++)
        f[i] = folder("mesh %d", i);
    for (int i = 0; i < MESH_FLIGHT; i++)
        r[i] = start_get(s, &f[me], 1);
    atomic_fetch_add(&mesh->ready, 1);
    PEER(number_becomes(&mesh->ready, MESH));
    for (uint64_t i = 0; i < effort(MESH_EACH); i++) {
        for (uint64_t to = 0; to < MESH; to++) {
            int64_t then = now_ns() + (int64_t)(random_next(&random) % 1000);
            while (now_ns() < then)
                continue;
            if (to != me)
                PEER(put_number(s, &f[to], me * MESH_EACH + i) == MEMO_OK);
        }
        if (i < effort(MESH_IN_STEP))
            PEER(mesh_reach(s, mesh, me, r, &got, (MESH - 1) * (i + 1)) == 0);
        else
            PEER(mesh_collect(s, mesh, me, &r[i * 7 % MESH_FLIGHT], &got) == 0);
    }
    PEER(mesh_reach(s, mesh, me, r, &got, (MESH - 1) * effort(MESH_EACH)) == 0);
    for (int i = 0; i < MESH_FLIGHT; i++)
        PEER(memo_cancel(r[i]) == MEMO_OK);
    return 0;
}

static void requests_mesh(memo_space_t *s)
{
    mesh_t *mesh = peer_shared(sizeof *mesh);
    peer_t *peers[MESH];
    int failed = 0, wrong = 0;
    mesh->seed = tap_seed();
    for (int i = 0; i < MESH; i++)
        peers[i] = peer_start(mesh_peer, mesh);
    for (int i = 0; i < MESH; i++)
        failed += peer_wait(peers[i]) != 0;
    for (int i = 0; i < MESH; i++) {
        for (int k = 0; k < MESH * MESH_EACH; k++)
            wrong +=
                atomic_load(&mesh->seen[i][k]) != (k / MESH_EACH != i && k % MESH_EACH < (int)effort(MESH_EACH));
    }
    tap_ok(failed == 0 && wrong == 0 && stat_of(s).memos == 0,
           "request: %d processes, %d each in flight, and no message is lost or read twice", MESH, MESH_FLIGHT);
    peer_unshare(mesh, sizeof *mesh);
}

/* Another thread may wait for a request than the one that started it; blocked calls go on beside. */
typedef struct waited {
    memo_request_t *r;
    memo_t *m;
} waited_t;

static int requests_wait(void *arg)
{
    waited_t *w = arg;
    return memo_wait(w->r, &w->m, NULL, PATIENCE);
}

static void requests_of_threads(memo_space_t *s)
{
    enum { N = 8 };
    memo_folder_t f[N];
    waited_t w[N];
    thread_t *t[N];
    call_t c;
    bool right = true;
    memo_folder_t blocked = folder("blocked");
    call_get(&c, s, &blocked);
    call_start(&c);
    for (int i = 0; i < N; i++) {
        f[i] = folder("of thread %d", i);
        w[i] = (waited_t){.r = start_get(s, &f[i], 1)};
        t[i] = thread_start(requests_wait, &w[i]);
    }
    for (int i = N - 1; i >= 0; i--)
        put_number(s, &f[i], (uint64_t)i);
    for (int i = 0; i < N; i++)
        right = thread_wait(t[i]) == MEMO_OK && number_freed(w[i].m) == (uint64_t)i && right;
    tap_ok(right && !call_done(&c), "request: %d threads wait for one each, started by another", N);
    put_number(s, &blocked, 1);
    tap_ok(call_wait(&c) == MEMO_OK && number_freed(c.m) == 1,
           "request: a blocked get of the same handle has its own");
}

/* ---- memo_fd
 * ------------------------------------------------------------------------------------------------------------ */

static bool readable(int fd, int milliseconds)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, milliseconds) == 1 && (p.revents & POLLIN) != 0;
}

static bool becomes_unreadable(int fd)
{
    int64_t end = now_ns() + PATIENCE;
    while (readable(fd, 0)) {
        if (now_ns() > end)
            return false;
        pause_ns(MS);
    }
    return true;
}

static int requests_later(memo_space_t *s, void *arg)
{
    memo_folder_t f[2] = {folder("polled 0"), folder("polled 1")};
    _Atomic(uint64_t) *go = arg;
    PEER(number_becomes(go, 1));
    PEER(put_number(s, &f[0], 10) == MEMO_OK);
    PEER(number_becomes(go, 2));
    PEER(put_number(s, &f[1], 11) == MEMO_OK);
    return 0;
}

static void requests_fd(memo_space_t *s)
{
    memo_folder_t f[2] = {folder("polled 0"), folder("polled 1")};
    _Atomic(uint64_t) *go = peer_shared(sizeof *go);
    memo_t *m = NULL;
    int fd = memo_fd(s);
    tap_ok(fd >= 0 && memo_fd(s) == fd, "memo_fd: there is one");
    memo_request_t *r[2] = {start_get(s, &f[0], 1), start_get(s, &f[1], 1)};
    tap_ok(becomes_unreadable(fd) && !readable(fd, 20), "memo_fd: not readable while nothing is complete");
    peer_t *p = peer_start(requests_later, go);
    atomic_store(go, 1);
    tap_ok(readable(fd, 20000) && readable(fd, 0), "memo_fd: readable when one is, level-triggered");
    tap_ok(memo_test(r[1], &m, NULL) == MEMO_PENDING && readable(fd, 20000),
           "memo_fd: still so when another was tested");
    tap_ok(memo_test(r[0], &m, NULL) == MEMO_OK && number_freed(m) == 10, "memo_fd: the complete one is collected");
    tap_ok(becomes_unreadable(fd), "memo_fd: then it is not readable");
    atomic_store(go, 2);
    tap_ok(readable(fd, 20000) && memo_test(r[1], &m, NULL) == MEMO_OK && number_freed(m) == 11 &&
               becomes_unreadable(fd),
           "memo_fd: the same again");
    peer_wait(p);
    put_number(s, &f[0], 12);
    r[0] = start_get(s, &f[0], 1);
    tap_ok(readable(fd, 20000), "memo_fd: readable when a request was complete from the start");
    tap_ok(memo_cancel(r[0]) == MEMO_OK && becomes_unreadable(fd) && drain(s, &f[0]) == 1,
           "memo_fd: not when it was cancelled");
    memo_select_t sel = MEMO_SELECT_INIT;
    sel.folders = f;
    sel.count = 2;
    sel.timeout_ns = 20 * MS;
    memo_start(s, &sel, &r[0]);
    tap_ok(readable(fd, 20000) && memo_wait(r[0], &m, NULL, PATIENCE) == MEMO_TIMEDOUT && becomes_unreadable(fd),
           "memo_fd: readable when a request's time is up");
    peer_unshare(go, sizeof *go);
}

void requests(memo_space_t *s)
{
    requests_one(s);
    requests_forms(s);
    requests_many(s);
    requests_mesh(s);
    requests_of_threads(s);
    requests_fd(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0 && stat_of(s).waiters == 0,
           "requests: nothing is left");
}
