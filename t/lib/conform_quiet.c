/*
 * conform_quiet.c - learning that the work is done: clause C17.
 *
 * Ranked clients are made as `memo run` makes them: MEMO_RUN is "ID:RANK:RANKS" while they open the space, and
 * "ID:leader:RANKS" for the one who starts them. In an MPI job every client is ranked, the one that tests too: each
 * takes part in what is tested, or in nothing but the quiet.
 */
#include "t/lib/conform.h"
#include "t/lib/ranks.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int until_quiet(memo_space_t *s, const memo_folder_t f[], size_t n, memo_t **m, int64_t timeout_ns)
{
    memo_select_t sel = MEMO_SELECT_INIT;
    sel.folders = f;
    sel.count = n;
    sel.when_empty = MEMO_UNTIL_QUIET;
    sel.timeout_ns = timeout_ns;
    return memo_select(s, &sel, m, NULL);
}

typedef struct run {
    memo_space_t *leader;
    int ranks;
    char id[17];
} run_t;

static void run_begin(run_t *run, int ranks)
{
    static uint64_t runs;
    char text[64];
    uint64_t state = tap_seed() + runs++;
    run->ranks = ranks;
    snprintf(run->id, sizeof run->id, "%016llx", (unsigned long long)random_next(&state));
    snprintf(text, sizeof text, "%s:leader:%d", run->id, ranks);
    int rc = peer_open_as(text, peers_uri(), &run->leader);
    if (rc != MEMO_OK)
        tap_bail("memo_open as the leader of a run: %s [%s]", memo_strerror(rc), memo_errmsg());
}

static peer_t *run_rank(const run_t *run, int rank, peer_fn fn, void *arg)
{
    char text[64];
    snprintf(text, sizeof text, "%s:%d:%d", run->id, rank, run->ranks);
    return peer_start_as(text, fn, arg);
}

static void run_end(run_t *run)
{
    memo_close(run->leader);
}

/* Starts all the ranks, and counts those that failed. */
static int run_all(memo_space_t *s, int ranks, peer_fn fn, void *arg)
{
    if (peers_are_ranks())
        return peers_everyone(s, fn, arg);
    run_t run;
    peer_t *peers[16];
    int failed = 0;
    run_begin(&run, ranks);
    for (int i = 0; i < ranks; i++)
        peers[i] = run_rank(&run, i, fn, arg);
    for (int i = 0; i < ranks; i++)
        failed += peer_wait(peers[i]) != 0;
    run_end(&run);
    return failed;
}

/* ---- a tree of work
 * ------------------------------------------------------------------------------------------------ */

#define ROUNDS 4
#define DEPTH 6
#define WORK_FOLDERS 3

typedef struct work {
    _Atomic(uint64_t) done;
    _Atomic(uint64_t) early;  /* quiets that came while there was work */
    _Atomic(uint64_t) joined; /* unranked: how many are participants */
    _Atomic(uint64_t) quiets;
    uint64_t ranks;
} work_t;

/* Nodes of the tree that one item of that depth grows into: two children and, at odd depths, a third. */
static uint64_t tree_nodes(uint64_t depth)
{
    return depth == 0 ? 1 : 1 + (2 + depth % 2) * tree_nodes(depth - 1);
}

static int work_on(memo_space_t *s, const memo_folder_t f[], work_t *w, memo_t *m)
{
    uint64_t depth = number_freed(m);
    if (depth == 2)
        pause_ns(MS / 4);
    for (uint64_t i = 0; depth > 0 && i < 2 + depth % 2; i++)
        PEER(put_number(s, &f[(depth + i) % WORK_FOLDERS], depth - 1) == MEMO_OK);
    atomic_fetch_add(&w->done, 1);
    return 0;
}

/* Works until quiet; then all of this round's work must be done. */
static int work_round(memo_space_t *s, work_t *w, uint64_t round)
{
    memo_folder_t f[WORK_FOLDERS] = {folder("w 0"), folder("w 1"), folder("w 2")};
    for (;;) {
        memo_t *m = NULL;
        int rc = until_quiet(s, f, WORK_FOLDERS, &m, PATIENCE);
        if (rc == MEMO_QUIET) {
            PEER(m == NULL);
            if (atomic_load(&w->done) < round * tree_nodes(DEPTH))
                atomic_fetch_add(&w->early, 1);
            atomic_fetch_add(&w->quiets, 1);
            return 0;
        }
        PEER(rc == MEMO_OK);
        PEER(work_on(s, f, w, m) == 0);
    }
}

static int c17_worker(memo_space_t *s, void *arg)
{
    work_t *w = arg;
    memo_folder_t f = folder("w 0");
    PEER((uint64_t)memo_ranks(s) == w->ranks);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        if (memo_rank(s) == 0) {
            PEER(atomic_load(&w->done) == (round - 1) * tree_nodes(DEPTH));
            PEER(put_number(s, &f, DEPTH) == MEMO_OK);
        }
        PEER(work_round(s, w, round) == 0);
    }
    return 0;
}

static void c17_tree(memo_space_t *s)
{
    work_t *w = peer_shared(sizeof *w);
    w->ranks = peers_are_ranks() ? (uint64_t)memo_ranks(s) : 4;
    int failed = run_all(s, 4, c17_worker, w);
    tap_is_int((long long)atomic_load(&w->done), (long long)(ROUNDS * tree_nodes(DEPTH)),
               "c17: a pool of %d does all of the work, %d times", (int)w->ranks, ROUNDS);
    tap_is_int((long long)atomic_load(&w->early), 0, "c17: and learns that it is done, never before it is");
    tap_ok(failed == 0 && atomic_load(&w->quiets) == w->ranks * ROUNDS, "c17: all of them, each time (%llu)",
           (unsigned long long)atomic_load(&w->quiets));
    peer_unshare(w, sizeof *w);
}

/* ---- one token in a ring
 * --------------------------------------------------------------------------------------------- */

#define HOPS 4000

/* All but one wait at every instant, and that one is about to put: the hardest time to tell from quiet. */
static int c17_ring(memo_space_t *s, void *arg)
{
    work_t *w = arg;
    int rank = memo_rank(s), ranks = memo_ranks(s);
    memo_folder_t own = folder("ring %d", rank), next = folder("ring %d", (rank + 1) % ranks);
    if (rank == 0)
        PEER(put_number(s, &next, 1) == MEMO_OK);
    for (;;) {
        memo_t *m = NULL;
        int rc = until_quiet(s, &own, 1, &m, PATIENCE);
        if (rc == MEMO_QUIET) {
            PEER(atomic_load(&w->done) == effort(HOPS));
            return 0;
        }
        PEER(rc == MEMO_OK);
        uint64_t hop = number_freed(m);
        atomic_store(&w->done, hop);
        if (hop < effort(HOPS))
            PEER(put_number(s, &next, hop + 1) == MEMO_OK);
    }
}

static void c17_token(memo_space_t *s)
{
    work_t *w = peer_shared(sizeof *w);
    tap_is_int(run_all(s, 3, c17_ring, w), 0, "c17: a token that hops %d times is never missed", (int)effort(HOPS));
    tap_is_int((long long)atomic_load(&w->done), (long long)effort(HOPS), "c17: it went all the way");
    peer_unshare(w, sizeof *w);
}

/* ---- who holds the quiet back
 * ------------------------------------------------------------------------------------------ */

typedef struct scene {
    _Atomic(uint64_t) there;    /* the other rank is where the test wants it */
    _Atomic(uint64_t) released; /* it may go on */
    _Atomic(uint64_t) computed; /* it has done what it did */
    _Atomic(uint64_t) timedout; /* how often rank 0's short waits ended without quiet */
    _Atomic(uint64_t) got;      /* memos rank 0 was given */
} scene_t;

/* Waits until quiet by short waits, which must all time out before rank 1 is released. */
static int c17_patient(memo_space_t *s, void *arg)
{
    scene_t *c = arg;
    memo_folder_t f = folder("idle");
    int64_t end = now_ns() + PATIENCE;
    while (now_ns() < end) {
        memo_t *m = NULL;
        int64_t start = now_ns();
        bool computed = atomic_load(&c->computed) != 0;
        int rc = until_quiet(s, &f, 1, &m, 10 * MS);
        if (rc == MEMO_QUIET) {
            PEER(computed || atomic_load(&c->computed) != 0);
            return 0;
        }
        if (rc == MEMO_OK) {
            memo_free(m);
            atomic_fetch_add(&c->got, 1);
            continue;
        }
        PEER(rc == MEMO_TIMEDOUT && m == NULL && now_ns() - start >= 10 * MS);
        atomic_fetch_add(&c->timedout, 1);
    }
    tap_diag("rank 0: it never got quiet");
    return 1;
}

static void compute(scene_t *c)
{
    atomic_store(&c->there, 1);
    number_becomes(&c->released, 1);
    atomic_store(&c->computed, 1);
}

static int c17_computes(memo_space_t *s, void *arg)
{
    memo_folder_t f = folder("idle");
    memo_t *m = NULL;
    compute(arg);
    PEER(until_quiet(s, &f, 1, &m, PATIENCE) == MEMO_QUIET);
    return 0;
}

/* Waiting, but not so: a plain get holds the quiet back. */
static int c17_gets(memo_space_t *s, void *arg)
{
    memo_folder_t f = folder("plain"), idle = folder("idle");
    scene_t *c = arg;
    memo_t *m = NULL;
    atomic_store(&c->there, 1);
    PEER(memo_get_for(s, &f, &m, PATIENCE) == MEMO_OK);
    memo_free(m);
    atomic_store(&c->computed, 1);
    PEER(until_quiet(s, &idle, 1, &m, PATIENCE) == MEMO_QUIET);
    return 0;
}

static int c17_closes(memo_space_t *s, void *arg)
{
    (void)s;
    compute(arg);
    return 0;
}

/* Waits for nothing but the quiet. */
static int c17_idles(memo_space_t *s, void *arg)
{
    scene_t *c = arg;
    memo_folder_t f = folder("nothing ever");
    memo_t *m = NULL;
    PEER(until_quiet(s, &f, 1, &m, PATIENCE) == MEMO_QUIET && m == NULL);
    PEER(atomic_load(&c->computed) != 0);
    return 0;
}

/* Who plays in a scene: rank 0, which is patient, and rank 1, which does what the scene is about. */
typedef struct cast {
    run_t run;
    scene_t *scene;
    peer_t *zero, *one, *idle[64];
    int idles;
} cast_t;

static void cast_begin(cast_t *p, peer_fn other)
{
    memset(p, 0, sizeof *p);
    p->scene = peer_shared(sizeof *p->scene);
    if (!peers_are_ranks()) {
        run_begin(&p->run, 2);
        p->one = run_rank(&p->run, 1, other, p->scene);
        return;
    }
    int left = ranks_left();
    p->one = other == c17_closes ? peer_start_leaving(other, p->scene) : peer_start(other, p->scene);
    for (p->idles = 0; p->idles < left - 1; p->idles++)
        p->idle[p->idles] = peer_start(c17_idles, p->scene);
}

static void cast_zero(cast_t *p, memo_space_t *s)
{
    if (peers_are_ranks())
        p->zero = peer_start_here(s, c17_patient, p->scene);
    else
        p->zero = run_rank(&p->run, 0, c17_patient, p->scene);
}

static bool cast_end(cast_t *p)
{
    bool right = p->one == NULL || peer_wait(p->one) == 0;
    right = (p->zero == NULL || peer_wait(p->zero) == 0) && right;
    for (int i = 0; i < p->idles; i++)
        right = peer_wait(p->idle[i]) == 0 && right;
    if (!peers_are_ranks())
        run_end(&p->run);
    peer_unshare(p->scene, sizeof *p->scene);
    return right;
}

/* Rank 1 does `other`; what releases it is done once rank 0 has waited in vain for a while. */
static bool c17_held_back(memo_space_t *s, peer_fn other)
{
    memo_folder_t plain = folder("plain");
    cast_t p;
    cast_begin(&p, other);
    bool right = number_becomes(&p.scene->there, 1);
    cast_zero(&p, s);
    int64_t end = now_ns() + PATIENCE;
    while (atomic_load(&p.scene->timedout) < 5 && now_ns() < end)
        pause_ns(MS);
    right = atomic_load(&p.scene->timedout) >= 5 && right;
    atomic_store(&p.scene->released, 1);
    if (other == c17_gets)
        put_number(s, &plain, 1);
    return cast_end(&p) && right;
}

/* A rank that has not opened the space yet. */
static bool c17_not_there_yet(void)
{
    scene_t *c = peer_shared(sizeof *c);
    run_t run;
    run_begin(&run, 2);
    peer_t *zero = run_rank(&run, 0, c17_patient, c);
    int64_t end = now_ns() + PATIENCE;
    while (atomic_load(&c->timedout) < 5 && now_ns() < end)
        pause_ns(MS);
    bool right = atomic_load(&c->timedout) >= 5;
    atomic_store(&c->released, 1);
    peer_t *one = run_rank(&run, 1, c17_computes, c);
    right = peer_wait(one) == 0 && right;
    right = peer_wait(zero) == 0 && right;
    run_end(&run);
    peer_unshare(c, sizeof *c);
    return right;
}

/* ---- death
 * ----------------------------------------------------------------------------------------------------------------
 */

static int c17_dies(memo_space_t *s, void *arg)
{
    scene_t *c = arg;
    (void)s;
    atomic_store(&c->there, 1);
    for (;;)
        pause();
    return 1;
}

static int c17_dies_holding(memo_space_t *s, void *arg)
{
    memo_folder_t f = folder("idle");
    memo_t *m = NULL;
    PEER(memo_get_for(s, &f, &m, PATIENCE) == MEMO_OK);
    return c17_dies(s, arg);
}

/* Waits so itself when it dies. */
static int c17_dies_waiting(memo_space_t *s, void *arg)
{
    memo_folder_t f = folder("nothing ever");
    scene_t *c = arg;
    memo_t *m = NULL;
    atomic_store(&c->there, 1);
    until_quiet(s, &f, 1, &m, MEMO_FOREVER);
    return 1;
}

/* Rank 2 holds the quiet back until rank 1 has died. */
static bool c17_death(memo_space_t *s, peer_fn dies, uint64_t given)
{
    memo_folder_t f = folder("idle");
    cast_t p;
    if (given > 0)
        put_number(s, &f, 1);
    cast_begin(&p, dies);
    bool right = number_becomes(&p.scene->there, 1);
    if (dies == c17_dies_waiting)
        pause_ns(20 * MS);
    else
        cast_zero(&p, s);
    int64_t end = now_ns() + PATIENCE;
    while (p.zero != NULL && atomic_load(&p.scene->timedout) < 3 && now_ns() < end)
        pause_ns(MS);
    atomic_store(&p.scene->computed, 1);
    peer_kill(p.one);
    p.one = NULL;
    if (p.zero == NULL)
        cast_zero(&p, s);
    uint64_t got = 0;
    scene_t *c = p.scene;
    right = peer_wait(p.zero) == 0 && right;
    got = atomic_load(&c->got);
    p.zero = NULL;
    return cast_end(&p) && got == given && right;
}

void c17_deaths(memo_space_t *s)
{
    if (peers_are_threads()) {
        tap_skip("peers are threads, which cannot be killed", "c17: participants that die");
        return;
    }
    tap_ok(c17_death(s, c17_dies, 0), "c17: one that died while computing does not count");
    tap_ok(c17_death(s, c17_dies_holding, 1), "c17: the memo that the dead held comes before the quiet");
    tap_ok(c17_death(s, c17_dies_waiting, 0), "c17: one that died while waiting does not count");
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c17: nothing is left");
}

/* ---- unranked threads
 * --------------------------------------------------------------------------------------------------------- */

typedef struct unranked {
    memo_space_t *s;
    _Atomic(uint64_t) joined;
    _Atomic(uint64_t) released;
} unranked_t;

static int c17_participates(void *arg)
{
    unranked_t *u = arg;
    memo_folder_t f = folder("idle");
    memo_t *m = NULL;
    int rc = until_quiet(u->s, &f, 1, &m, 0);
    atomic_store(&u->joined, 1);
    number_becomes(&u->released, 1);
    return rc == MEMO_QUIET || rc == MEMO_TIMEDOUT ? 0 : 1;
}

static void c17_one_thread(memo_space_t *s)
{
    memo_folder_t f = folder("idle"), g = folder("of nobody");
    memo_t *m = (memo_t *)&f;
    unranked_t u = {.s = s};
    tap_ok(until_quiet(s, &f, 1, &m, PATIENCE) == MEMO_QUIET && m == NULL, "c17: alone, it is quiet");
    put_number(s, &f, 1);
    put_number(s, &g, 2);
    tap_ok(until_quiet(s, &f, 1, &m, PATIENCE) == MEMO_OK && number_freed(m) == 1,
           "c17: a memo comes before quiet");
    tap_ok(until_quiet(s, &f, 1, &m, PATIENCE) == MEMO_QUIET, "c17: a memo that nobody waits for is no work");
    drain(s, &g);
    thread_t *t = thread_start(c17_participates, &u);
    number_becomes(&u.joined, 1);
    int64_t start = now_ns();
    tap_ok(until_quiet(s, &f, 1, &m, 50 * MS) == MEMO_TIMEDOUT && now_ns() - start >= 50 * MS,
           "c17: a thread that waited so once is a participant while it does something else");
    atomic_store(&u.released, 1);
    tap_ok(thread_wait(t) == 0 && until_quiet(s, &f, 1, &m, PATIENCE) == MEMO_QUIET, "c17: until it ends");
}

/* Threads of processes started alone, that make themselves known first. */
static int c17_unranked(memo_space_t *s, void *arg)
{
    work_t *w = arg;
    memo_folder_t idle = folder("idle"), f = folder("w 0");
    memo_t *m = NULL;
    PEER(memo_rank(s) == 0 && memo_ranks(s) == 1);
    int rc = until_quiet(s, &idle, 1, &m, 0);
    PEER(rc == MEMO_QUIET || rc == MEMO_TIMEDOUT);
    uint64_t me = atomic_fetch_add(&w->joined, 1);
    PEER(number_becomes(&w->joined, 3));
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        if (me == 0)
            PEER(put_number(s, &f, DEPTH) == MEMO_OK);
        PEER(work_round(s, w, round) == 0);
    }
    return 0;
}

static void c17_pool_of_unranked(void)
{
    work_t *w = peer_shared(sizeof *w);
    peer_t *peers[3];
    int failed = 0;
    for (int i = 0; i < 3; i++)
        peers[i] = peer_start(c17_unranked, w);
    for (int i = 0; i < 3; i++)
        failed += peer_wait(peers[i]) != 0;
    tap_ok(failed == 0 && atomic_load(&w->done) == ROUNDS * tree_nodes(DEPTH) && atomic_load(&w->early) == 0,
           "c17: unranked threads are a pool too, from their first such select");
    peer_unshare(w, sizeof *w);
}

/* Some of a process's threads, by one handle. */
static int c17_thread_works(void *arg)
{
    unranked_t *u = arg;
    static work_t unused;
    memo_folder_t f[WORK_FOLDERS] = {folder("w 0"), folder("w 1"), folder("w 2")};
    memo_t *m = NULL;
    until_quiet(u->s, &f[1], 1, &m, 0);
    memo_free(m);
    atomic_fetch_add(&u->joined, 1);
    if (!number_becomes(&u->joined, 4))
        return 1;
    for (;;) {
        int rc = until_quiet(u->s, f, WORK_FOLDERS, &m, PATIENCE);
        if (rc != MEMO_OK)
            return rc == MEMO_QUIET ? 0 : 2;
        if (work_on(u->s, f, &unused, m) != 0)
            return 3;
        atomic_fetch_add(&u->released, 1);
    }
}

static void c17_threads_of_one(memo_space_t *s)
{
    unranked_t u = {.s = s};
    memo_folder_t f = folder("w 0");
    thread_t *t[4];
    int failed = 0;
    put_number(s, &f, DEPTH);
    for (int i = 0; i < 4; i++)
        t[i] = thread_start(c17_thread_works, &u);
    for (int i = 0; i < 4; i++)
        failed += thread_wait(t[i]) != 0;
    tap_ok(failed == 0 && atomic_load(&u.released) == tree_nodes(DEPTH), "c17: so are threads of one handle");
}

/* The main thread takes part in nothing: it would hold the others back. So what makes it a participant runs in a
 * thread of its own. */
static int c17_in_a_thread(void *arg)
{
    c17_one_thread(arg);
    return 0;
}

void c17_alone(memo_space_t *s)
{
    tap_ok(memo_rank(s) == 0 && memo_ranks(s) == 1, "c17: a program started alone is rank 0 of 1");
    thread_wait(thread_start(c17_in_a_thread, s));
    c17_threads_of_one(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c17: nothing is left");
}

void c17_quiet(memo_space_t *s)
{
    c17_tree(s);
    c17_token(s);
    tap_ok(c17_held_back(s, c17_computes), "c17: a rank that computes holds the quiet back");
    tap_ok(c17_held_back(s, c17_gets), "c17: so does one that waits, but not so");
    tap_ok(c17_held_back(s, c17_closes), "c17: until it closes");
    if (!peers_are_ranks()) {
        tap_ok(c17_not_there_yet(), "c17: so does one that has not opened the space yet");
        c17_pool_of_unranked();
    }
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c17: nothing is left");
}
