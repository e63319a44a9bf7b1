/*
 * threads.c - many threads on one mapping, all calls at once: what ThreadSanitizer is to see.
 *
 * Every storm ends with a count: tokens that were put in are all there, each once.
 *
 *   threads.t [BACKEND]      a scheme or a URI; default $MEMO_TEST_URI, else shm-bucket and shm-lock
 *   mpiexec -n RANKS threads.t URI
 *
 * In an MPI job, where a process opens once, handles do not come and go; with one client its threads do all of the
 * rest, with several each of those has a storm's share.
 */
#include "t/lib/conform.h"
#include "t/lib/ranks.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 6
#define FOLDERS 4
#define TOKENS (2 * THREADS)
#define TURNS 1500

typedef struct storm {
    memo_space_t *s; /* the handle they share; NULL: each opens one of its own */
    _Atomic(int) number;
    _Atomic(uint64_t) seconds;
    uint64_t seed;
} storm_t;

static void storm_folders(memo_folder_t f[FOLDERS])
{
    for (int i = 0; i < FOLDERS; i++)
        f[i] = folder("storm %d", i);
}

static int storm_request(memo_space_t *s, const memo_folder_t f[], uint64_t draw, memo_t **m)
{
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    sel.folders = f;
    sel.count = 1 + draw % FOLDERS;
    sel.choice = draw % 2 == 0 ? MEMO_ROTATE : MEMO_LISTED;
    int rc = memo_start(s, &sel, &r);
    if (rc != MEMO_OK)
        return rc;
    rc = draw % 3 == 0 ? memo_test(r, m, NULL) : memo_wait(r, m, NULL, (int64_t)(draw % 100000));
    if (rc != MEMO_PENDING)
        return rc;
    rc = memo_cancel(r);
    return rc == MEMO_OK ? MEMO_NONE : rc;
}

static int storm_copy(memo_space_t *s, const memo_folder_t f[], uint64_t draw)
{
    memo_t *m = NULL;
    int rc = draw % 2 == 0 ? memo_get_copy_skip(s, &f[draw % FOLDERS], &m)
                           : memo_get_copy_for(s, &f[draw % FOLDERS], &m, (int64_t)(draw % 100000));
    if (rc == MEMO_OK && number_in(m) >= TOKENS)
        rc = -100;
    memo_free(m);
    return rc == MEMO_OK ? MEMO_NONE : rc;
}

static int storm_look(memo_space_t *s, const memo_folder_t f[])
{
    memo_stat_t st;
    uint64_t memos, waiters;
    int rc = memo_stat(s, &st, sizeof st);
    if (rc == MEMO_OK)
        rc = memo_count(s, f, &memos, &waiters);
    return rc == MEMO_OK ? MEMO_NONE : rc;
}

/* Tries to have one or two tokens, by any call. */
static int storm_take(memo_space_t *s, const memo_folder_t f[], uint64_t draw, memo_t *m[2])
{
    int64_t timeout_ns = (int64_t)(draw >> 8) % 200000;
    switch (draw % 10) {
    case 0:
        return memo_get_skip(s, &f[draw % FOLDERS], &m[0]);
    case 1:
        return memo_get_for(s, &f[draw % FOLDERS], &m[0], timeout_ns);
    case 2:
        return memo_alt_skip(s, f, FOLDERS, &m[0], NULL);
    case 3:
        return memo_strict_alt_skip(s, f, FOLDERS, &m[0], NULL);
    case 4:
        return memo_get_all_for(s, &f[draw % (FOLDERS - 1)], 2, m, timeout_ns);
    case 5:
        return storm_request(s, f, draw >> 8, &m[0]);
    case 6:
        return storm_copy(s, f, draw >> 8);
    case 7:
        return draw % 64 == 7 ? storm_look(s, f) : memo_alt_for(s, f, FOLDERS, &m[0], NULL, timeout_ns);
    default:
        return memo_alt_for(s, f, FOLDERS, &m[0], NULL, timeout_ns);
    }
}

/* Gives a token back, by any call; a delayed put needs its trigger to have come by in the end. */
static int storm_give(memo_space_t *s, const memo_folder_t f[], uint64_t draw, memo_t *m)
{
    const memo_folder_t *to = &f[draw % FOLDERS];
    int rc;
    switch (draw / FOLDERS % 5) {
    case 0:
        return memo_replace(m);
    case 1:
        rc = memo_put_start(s, to, m);
        return rc == MEMO_OK ? memo_flush(s) : rc;
    case 2:
        return memo_put_delayed(s, &f[draw / 32 % FOLDERS], to, m);
    default:
        return memo_put(s, to, m);
    }
}

static int storm_life(memo_space_t *s, storm_t *storm)
{
    memo_folder_t f[FOLDERS];
    uint64_t random = storm->seed + (uint64_t)atomic_fetch_add(&storm->number, 1);
    storm_folders(f);
    for (int turn = 0; turn < (int)effort(TURNS); turn++) {
        uint64_t draw = random_next(&random);
        memo_t *m[2] = {NULL, NULL};
        PEER(storm_take(s, f, draw, m) >= 0);
        for (int i = 0; i < 2; i++) {
            if (m[i] != NULL)
                PEER(number_in(m[i]) < TOKENS && storm_give(s, f, draw >> (16 + i), m[i]) == MEMO_OK);
        }
    }
    return 0;
}

static int storm_peer(memo_space_t *s, void *arg)
{
    return storm_life(s, arg);
}

static int storm_thread(void *arg)
{
    storm_t *storm = arg;
    memo_space_t *own = storm->s;
    if (own == NULL && memo_open(&own, peers_uri()) != MEMO_OK)
        return 1;
    int wrong = storm_life(own, storm);
    if (storm->s == NULL)
        wrong += memo_close(own) != MEMO_OK;
    return wrong;
}

/* Delayed puts whose trigger has not come by fire when something is put into every folder. */
static bool tokens_all_there(memo_space_t *s)
{
    memo_folder_t f[FOLDERS];
    uint64_t seen = 0, number, extra = 0;
    bool right = true;
    storm_folders(f);
    for (int i = 0; i < FOLDERS; i++)
        right = put_number(s, &f[i], 1000) == MEMO_OK && right;
    for (int i = 0; i < FOLDERS; i++) {
        while (take_number(s, &f[i], &number, 0) == MEMO_OK) {
            if (number == 1000) {
                extra++;
                continue;
            }
            right = number < TOKENS && (seen >> number & 1) == 0 && right;
            seen |= UINT64_C(1) << (number & 63);
        }
    }
    if (!right || seen != (UINT64_C(1) << TOKENS) - 1)
        tap_diag("tokens seen: %llx", (unsigned long long)seen);
    return right && extra == FOLDERS && seen == (UINT64_C(1) << TOKENS) - 1;
}

/* Each in a process of its own. */
static void storm_of_ranks(memo_space_t *s, const char *what)
{
    storm_t *storm = peer_shared(sizeof *storm);
    memo_folder_t f[FOLDERS];
    peer_t *p[THREADS];
    int wrong = 0;
    storm->seed = tap_seed();
    storm_folders(f);
    for (uint64_t i = 0; i < TOKENS; i++)
        put_number(s, &f[i % FOLDERS], i);
    for (int i = 0; i < THREADS; i++)
        p[i] = peer_start(storm_peer, storm);
    for (int i = 0; i < THREADS; i++)
        wrong += peer_wait(p[i]) != 0;
    tap_is_int(wrong, 0, "%s: every call ends well", what);
    tap_ok(tokens_all_there(s), "%s: every token is there, once", what);
    peer_unshare(storm, sizeof *storm);
}

static void storm(memo_space_t *s, bool share, const char *what)
{
    storm_t storm = {.s = share ? s : NULL, .seed = tap_seed()};
    memo_folder_t f[FOLDERS];
    thread_t *t[THREADS];
    int wrong = 0;
    storm_folders(f);
    for (uint64_t i = 0; i < TOKENS; i++)
        put_number(s, &f[i % FOLDERS], i);
    for (int i = 0; i < THREADS; i++)
        t[i] = thread_start(storm_thread, &storm);
    for (int i = 0; i < THREADS; i++)
        wrong += thread_wait(t[i]) != 0;
    tap_is_int(wrong, 0, "%s: every call ends well", what);
    tap_ok(tokens_all_there(s), "%s: every token is there, once", what);
}

/* ---- requests handed from thread to thread
 * ------------------------------------------------------------------------ */

#define HANDED 400

typedef struct handed {
    memo_space_t *s;
    _Atomic(memo_request_t *) slot[HANDED];
    _Atomic(int) next;
    _Atomic(int) taken;
} handed_t;

static int handed_starter(void *arg)
{
    handed_t *h = arg;
    for (int i = 0; i < HANDED; i++) {
        memo_folder_t f = folder("handed %d", i % 5);
        memo_select_t sel = MEMO_SELECT_INIT;
        memo_request_t *r = NULL;
        sel.folders = &f;
        sel.count = 1;
        if (memo_start(h->s, &sel, &r) != MEMO_OK)
            return 1;
        atomic_store(&h->slot[i], r);
    }
    return 0;
}

/* Collects whichever is next, when poll or a short wait says so. */
static int handed_collector(void *arg)
{
    handed_t *h = arg;
    struct pollfd p = {memo_fd(h->s), POLLIN, 0};
    for (int i; (i = atomic_fetch_add(&h->next, 1)) < HANDED;) {
        memo_request_t *r;
        memo_t *m = NULL;
        int rc = MEMO_PENDING;
        int64_t end = now_ns() + PATIENCE;
        while ((r = atomic_load(&h->slot[i])) == NULL && now_ns() < end)
            pause_ns(MS / 10);
        while (rc == MEMO_PENDING && now_ns() < end) {
            poll(&p, 1, 1);
            rc = i % 2 == 0 ? memo_test(r, &m, NULL) : memo_wait(r, &m, NULL, MS);
        }
        if (rc != MEMO_OK || number_freed(m) != (uint64_t)(i % 5))
            return 1;
        atomic_fetch_add(&h->taken, 1);
    }
    return 0;
}

static int handed_putter(void *arg)
{
    handed_t *h = arg;
    for (int i = HANDED - 1; i >= 0; i--) {
        memo_folder_t f = folder("handed %d", i % 5);
        if (put_number(h->s, &f, (uint64_t)(i % 5)) != MEMO_OK)
            return 1;
    }
    return 0;
}

static void requests_between_threads(memo_space_t *s)
{
    static handed_t h;
    memset(&h, 0, sizeof h);
    h.s = s;
    thread_t *t[5] = {thread_start(handed_starter, &h), thread_start(handed_collector, &h),
                      thread_start(handed_collector, &h), thread_start(handed_collector, &h),
                      thread_start(handed_putter, &h)};
    int wrong = 0;
    for (int i = 0; i < 5; i++)
        wrong += thread_wait(t[i]) != 0;
    tap_ok(wrong == 0 && atomic_load(&h.taken) == HANDED,
           "requests started, completed and collected by five threads");
}

/* ---- opening and closing
 * -------------------------------------------------------------------------------------------- */

static int churn(void *arg)
{
    memo_folder_t f = folder("churn");
    (void)arg;
    for (uint64_t i = 0; i < 40; i++) {
        memo_space_t *s = NULL;
        memo_t *m = NULL;
        memo_request_t *r = NULL;
        memo_select_t sel = MEMO_SELECT_INIT;
        sel.folders = &f;
        sel.count = 1;
        PEER(memo_open(&s, peers_uri()) == MEMO_OK);
        PEER(memo_get_for(s, &f, &m, PATIENCE) == MEMO_OK);
        if (i % 3 == 0)
            PEER(memo_replace(m) == MEMO_OK);
        if (i % 4 == 0)
            PEER(memo_start(s, &sel, &r) == MEMO_OK);
        PEER(memo_close(s) == MEMO_OK); /* gives back what is held */
    }
    return 0;
}

static void handles_come_and_go(memo_space_t *s)
{
    memo_folder_t f = folder("churn");
    thread_t *t[THREADS];
    int wrong = 0;
    uint64_t clients = stat_of(s).clients;
    for (uint64_t i = 0; i < THREADS; i++)
        put_number(s, &f, i);
    for (int i = 0; i < THREADS; i++)
        t[i] = thread_start(churn, NULL);
    for (int i = 0; i < THREADS; i++)
        wrong += thread_wait(t[i]) != 0;
    tap_ok(wrong == 0 && stat_of(s).clients == clients && drain(s, &f) == THREADS,
           "handles come and go, and lose nothing");
}

/* A handle is closed while all the others use it. */
typedef struct closing {
    _Atomic(int) going;
} closing_t;

static int use_until_closed(memo_space_t *s, void *arg)
{
    closing_t *c = arg;
    memo_folder_t f = folder("closing"), g = folder("closing too");
    uint64_t random = (uint64_t)atomic_fetch_add(&c->going, 1);
    for (;;) {
        memo_t *m = NULL;
        int rc = MEMO_OK;
        switch (random_next(&random) % 5) {
        case 0:
            rc = memo_write(s, &f, "0123456", 8);
            break;
        case 1:
            rc = memo_get_for(s, &f, &m, MS);
            break;
        case 2:
            rc = memo_alt_skip(s, (memo_folder_t[]){f, g}, 2, &m, NULL);
            break;
        case 3:
            rc = memo_get_copy_skip(s, &f, &m);
            break;
        default:
            rc = memo_get_for(s, &g, &m, 2 * MS);
            break;
        }
        if (rc == MEMO_ECLOSED)
            return 0;
        if (rc < 0)
            return 1;
        memo_free(m);
    }
}

static void closed_under_use(memo_space_t *s)
{
    int wrong = 0;
    memo_folder_t f = folder("closing");
    for (int round = 0; round < (peers_are_ranks() ? ranks_left() : 10); round++) {
        closing_t *c = peer_shared(sizeof *c);
        guest_t *guest = guest_open();
        peer_t *p[THREADS];
        for (int i = 0; i < THREADS; i++)
            p[i] = guest_start(guest, use_until_closed, c);
        while (atomic_load(&c->going) < THREADS)
            pause_ns(MS / 10);
        pause_ns(round * MS / 2);
        wrong += guest_close(guest) != MEMO_OK;
        for (int i = 0; i < THREADS; i++)
            wrong += peer_wait(p[i]) != 0;
        peer_unshare(c, sizeof *c);
    }
    drain(s, &f);
    tap_is_int(wrong, 0, "a handle closed under use ends every call with MEMO_ECLOSED");
}

/* ---- quiet
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct pool {
    memo_space_t *s;
    _Atomic(int) joined;
    _Atomic(uint64_t) done;
} pool_t;

static int pool_worker(void *arg)
{
    pool_t *p = arg;
    memo_folder_t f = folder("pool");
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_t *m = NULL;
    sel.folders = &f;
    sel.count = 1;
    sel.when_empty = MEMO_UNTIL_QUIET;
    sel.timeout_ns = 0;
    PEER(memo_select(p->s, &sel, &m, NULL) != MEMO_OK);
    sel.timeout_ns = PATIENCE;
    atomic_fetch_add(&p->joined, 1);
    while (atomic_load(&p->joined) < THREADS)
        pause_ns(MS / 10);
    if (atomic_fetch_add(&p->joined, 1) == THREADS)
        PEER(put_number(p->s, &f, 10) == MEMO_OK);
    for (;;) {
        int rc = memo_select(p->s, &sel, &m, NULL);
        if (rc == MEMO_QUIET)
            return 0;
        PEER(rc == MEMO_OK);
        uint64_t depth = number_freed(m);
        atomic_fetch_add(&p->done, 1);
        for (int i = 0; depth > 0 && i < 2; i++)
            PEER(put_number(p->s, &f, depth - 1) == MEMO_OK);
    }
}

static void quiet_among_threads(memo_space_t *s)
{
    int wrong = 0;
    for (int round = 0; round < 5; round++) {
        pool_t p = {.s = s};
        thread_t *t[THREADS];
        for (int i = 0; i < THREADS; i++)
            t[i] = thread_start(pool_worker, &p);
        for (int i = 0; i < THREADS; i++)
            wrong += thread_wait(t[i]) != 0;
        wrong += atomic_load(&p.done) != (1 << 11) - 1;
    }
    tap_is_int(wrong, 0, "threads work until quiet, and no shorter");
}

static void run(const char *backend)
{
    spaces_of(backend);
    const char *uri = space_fresh(NULL);
    memo_space_t *s = space_open(uri);
    peers_use(uri);
    storm(s, true, "one handle");
    storm(s, false, "a handle each");
    requests_between_threads(s);
    handles_come_and_go(s);
    closed_under_use(s);
    quiet_among_threads(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0 && stat_of(s).waiters == 0, "%s: nothing is left",
           backend);
    memo_close(s);
}

static void run_as_ranks(const char *uri)
{
    peers_use(uri);
    memo_space_t *s = ranks_open(uri);
    tap_seed();
    if (memo_ranks(s) == 1) {
        storm(s, true, "one handle");
        requests_between_threads(s);
        quiet_among_threads(s);
    } else {
        storm_of_ranks(s, "a process each");
        closed_under_use(s);
    }
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0 && stat_of(s).waiters == 0, "%s: nothing is left", uri);
    tap_ok(ranks_close(s), "%s: all close", uri);
}

int main(int argc, char **argv)
{
    const char *given = argc > 1 ? argv[1] : getenv("MEMO_TEST_URI");
    if (ranks_asked() && given != NULL) {
        tap_timeout(500);
        run_as_ranks(given);
        return tap_done();
    }
    spaces_guarded();
    tap_timeout(300);
    tap_seed();
    if (given != NULL && given[0] != '\0') {
        run(given);
    } else {
        run("shm-bucket");
        run("shm-lock");
    }
    return tap_done();
}
