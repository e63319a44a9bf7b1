/*
 * log.c - whatever instruction a process dies at, its mutation has not happened, or is complete.
 *
 * A child makes one operation, and is killed after some number of instructions, chosen at random; the survivor
 * repairs, and then every page, every block and every memo must be where it belongs.
 */
#include "t/lib/node_bench.h"

#include <limits.h>
#include <stdlib.h>
#include <pthread.h>
#include <sys/wait.h>

enum { STORED = 6, STEPS = 4000 };

static node_t node; /* the survivor's */
static self_t *me;
static uint64_t random_state;
static long steps_each = STEPS; /* of an operation, in all: each costs a signal */

static _Atomic uint32_t *shared_index; /* a party's index + 1, when it is ready; in the region */
static _Atomic uint32_t *corpse_index; /* likewise of one that is dead */

typedef struct step {
    const char *name;
    bench_victim_t victim;
    void (*before)(void); /* in the survivor, NULL nothing */
    void (*after)(void);
} step_t;

/* ---- what the victims do --------------------------------------------------------------------------------- */

static void enter(node_t *n, void *arg)
{
    (void)arg;
    node_leave(bench_enter(n));
}

static void alloc(node_t *n, void *arg)
{
    self_t *s = bench_enter(n);

    bench_free(s, bench_memo(s, *(const uint64_t *)arg, 1));
}

/* Leaves the cache of that size with a batch of blocks in it. */
static void fill_cache(node_t *n, void *arg)
{
    alloc(n, arg);
}

static void empty_cache(node_t *n, void *arg)
{
    (void)arg;
    enter(n, NULL);
    heap_flush(bench_enter(n));
}

static void reserve_log(node_t *n, void *arg)
{
    self_t *s = bench_enter(n);

    (void)arg;
    log_reserve(s, 1000);
    log_trim(s);
}

static void take_and_put(node_t *n, void *arg)
{
    self_t *s = bench_enter(n);

    (void)arg;
    bench_put(s, bench_take(s));
}

/* With a hand so full that memos hang in its list. */
static void fill_hand(node_t *n, void *arg)
{
    self_t *s = bench_enter(n);
    unsigned i;

    (void)arg;
    for (i = 0; i < HAND_SLOTS + 3; i++)
        bench_memo(s, 16, 1);
}

static void serve_survivor(node_t *n, void *arg)
{
    self_t *s = bench_enter(n);

    (void)arg;
    bench_serve(s, me->index, bench_take(s));
}

/* A message with a stack of others behind it, so that the section grows. */
static void send_many(node_t *n, void *arg)
{
    self_t *s = bench_enter(n);
    unsigned i;

    (void)arg;
    for (i = 0; i < SECTION_FIRST_SLOTS; i++)
        bench_send(s, me->index, bench_memo(s, 16, 1));
}

static void arm(node_t *n, void *arg)
{
    self_t *s = bench_enter(n);

    enter(n, arg);
    bench_arm(s);
    *(_Atomic uint32_t *)arg = s->index + 1;
    while ((atomic_load(&bench_root(s)->request[s->index]) & 0xff) != BENCH_CLAIMED || !slot_attention(s))
        usleep(100);
}

static void receive(node_t *n, void *arg)
{
    (void)arg;
    bench_receive(bench_enter(n), NULL, NULL);
}

static void close_node(node_t *n, void *arg)
{
    (void)arg;
    bench_close(n);
}

static void hold_some(node_t *n, void *arg)
{
    self_t *s = bench_enter(n);

    (void)arg;
    bench_take(s);
    bench_memo(s, 100, 1);
    bench_memo(s, 5000, 1);
    node_leave(s);
}

static void open_node(node_t *n, void *arg)
{
    bench_open(n, BENCH_BYTES);
    enter(n, arg);
}

static void *end_at_once(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

/* The system loads what it needs to end a thread. */
static void enter_and_load(node_t *n, void *arg)
{
    pthread_t t;

    enter(n, arg);
    pthread_create(&t, NULL, end_at_once, NULL);
    pthread_join(t, NULL);
}

static void end_thread(node_t *n, void *arg)
{
    (void)n;
    (void)arg;
    pthread_exit(NULL);
}

/* A repairer who came before the one who is dead: so he is repaired before him. */
static void wait_for_corpse(node_t *n, void *arg)
{
    enter(n, arg);
    atomic_store(shared_index, UINT32_MAX);
    while (atomic_load(corpse_index) == 0)
        usleep(100);
}

static void take_back(node_t *n, void *arg)
{
    struct memo *m;

    (void)arg;
    slot_take_back(bench_enter(n), atomic_load(corpse_index) - 1, &m);
}

static void repair(node_t *n, void *arg)
{
    (void)arg;
    repair_look(bench_enter(n), 0);
}

/* ---- what the survivor does ------------------------------------------------------------------------------ */

static void arm_me(void)
{
    bench_arm(me);
}

static void collect_mine(void)
{
    while (bench_receive(me, NULL, NULL))
        ;
    bench_cancel(me, me->index);
}

/* New memos that came by messages are put like the others: they go. */
static void collect_and_drop(void)
{
    uint64_t n;

    collect_mine();
    for (n = bench_root(me)->memos; n > 0; n--) {
        struct memo *m = bench_take(me);
        if (bench_number(m) == 1)
            bench_free(me, m);
        else
            bench_put(me, m);
    }
}

/* Somebody who died with memos in his hand and one on its way to him, and is not repaired yet. */
static void leave_a_corpse(void)
{
    pid_t child;
    uint32_t index;
    int status;
    self_t *s = bench_enter(&node);

    atomic_store(shared_index, 0);
    child = tap_fork();
    if (child == 0) {
        node_t n;
        self_t *own;
        bench_open(&n, BENCH_BYTES);
        own = bench_enter(&n);
        hold_some(&n, NULL);
        bench_arm(own);
        atomic_store(shared_index, own->index + 1);
        pause();
        _exit(1);
    }
    while ((index = atomic_load(shared_index)) == 0)
        usleep(50);
    bench_serve(s, index - 1, bench_take(s));
    node_leave(s);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    atomic_store(corpse_index, index);
}

static pthread_t server;

/* Serves the victim when it waits. */
static void *serve_victim(void *arg)
{
    self_t *s = bench_enter(&node);
    uint32_t index;

    while ((index = atomic_load(shared_index)) == 0)
        usleep(100);
    bench_serve(s, index - 1, bench_take(s));
    node_leave(s);
    return arg;
}

static void start_serving(void)
{
    atomic_store(shared_index, 0);
    pthread_create(&server, NULL, serve_victim, NULL);
}

static void *make_corpse(void *arg)
{
    while (atomic_load(shared_index) == 0)
        usleep(100);
    leave_a_corpse();
    return arg;
}

static void start_dying(void)
{
    atomic_store(shared_index, 0);
    atomic_store(corpse_index, 0);
    pthread_create(&server, NULL, make_corpse, NULL);
}

static void end_serving(void)
{
    pthread_join(server, NULL);
}

/* ---- all together ---------------------------------------------------------------------------------------- */

/* Each of the memos that were stored at first is there once. */
static bool all_there(void)
{
    uint64_t seen = 0, n = bench_stored(me);
    struct memo *m[STORED + 1];
    unsigned i;

    if (n != STORED)
        return false;
    for (i = 0; i < STORED; i++) {
        m[i] = bench_take(me);
        seen |= UINT64_C(1) << bench_number(m[i]);
    }
    for (i = 0; i < STORED; i++)
        bench_put(me, m[i]);
    return seen == ((UINT64_C(1) << STORED) - 1) << 100 % 64;
}

static uint32_t parties(void)
{
    return node_receivers(me);
}

static bool once(const step_t *step, long instructions, long *made, uint32_t parties_before)
{
    bool good;

    if (step->before != NULL)
        step->before();
    *made = bench_kill_after(&step->victim, instructions);
    bench_repair(me, 1);
    if (step->after != NULL)
        step->after();
    slot_reclaim_left(me);
    good = bench_walk(me);
    if (!all_there()) {
        tap_diag("%llu memos are stored, of %u", (unsigned long long)bench_stored(me), STORED);
        good = false;
    }
    if (parties() != parties_before) {
        tap_diag("%u parties, of %u", parties(), parties_before);
        good = false;
    }
    if (!good)
        tap_diag("%s: killed after %ld instructions", step->name, *made);
    return good;
}

static void try_step(const step_t *step)
{
    long all, made;
    uint32_t before = parties();
    long left;
    bool good;

    good = once(step, LONG_MAX, &all, before);
    tap_diag("%s: %ld instructions", step->name, all);
    for (left = steps_each; left > 0 && good; left -= made)
        good = once(step, (long)(bench_random(&random_state) % (uint64_t)(all + 1)), &made, before);
    tap_ok(good, "%s: killed after any instruction", step->name);
}

int main(int argc, char **argv)
{
    static uint64_t small = 40, middle = 1700, large = 9000;
    unsigned i;

    tap_timeout(600);
    random_state = tap_seed();
    if (getenv("MEMO_TSAN") != NULL) {
        tap_skip("a thread sanitizer sees threads, not processes that are killed between instructions", "deaths");
        return tap_done();
    }
    if (getenv("MEMO_STEPS") != NULL)
        steps_each = strtol(getenv("MEMO_STEPS"), NULL, 0);
    bench_open(&node, BENCH_BYTES);
    me = bench_enter(&node);
    shared_index = &bench_root(me)->index[0];
    corpse_index = &bench_root(me)->index[1];
    for (i = 0; i < STORED; i++)
        bench_put(me, bench_memo(me, 100 + 1000 * i, (100 + i) % 64));
    {
        const step_t steps[] = {
            {"a thread's first call", {NULL, enter, NULL, false}, NULL, NULL},
            {"a small memo", {fill_cache, alloc, &small, false}, NULL, NULL},
            {"a refill", {empty_cache, alloc, &middle, false}, NULL, NULL},
            {"a large memo", {enter, alloc, &large, false}, NULL, NULL},
            {"giving a cache back", {fill_cache, empty_cache, &middle, false}, NULL, NULL},
            {"giving large blocks back", {fill_cache, empty_cache, &large, false}, NULL, NULL},
            {"a long log", {enter, reserve_log, NULL, false}, NULL, NULL},
            {"taking and putting", {enter, take_and_put, NULL, false}, NULL, NULL},
            {"a full hand", {enter, fill_hand, NULL, false}, NULL, NULL},
            {"serving", {enter, serve_survivor, NULL, false}, arm_me, collect_mine},
            {"a section that grows", {enter, send_many, NULL, false}, NULL, collect_and_drop},
            {"receiving", {arm, receive, shared_index, false}, start_serving, end_serving},
            {"opening", {NULL, open_node, NULL, true}, NULL, NULL},
            {"closing", {hold_some, close_node, NULL, false}, NULL, NULL},
            {"the end of a thread", {enter_and_load, end_thread, NULL, false}, NULL, NULL},
            {"taking back", {wait_for_corpse, take_back, NULL, false}, start_dying, end_serving},
            {"repairing", {enter, repair, NULL, false}, leave_a_corpse, NULL},
        };
        for (i = 0; i < sizeof steps / sizeof steps[0]; i++)
            if (argc < 2 || strcmp(argv[1], steps[i].name) == 0)
                try_step(&steps[i]);
    }
    bench_close(&node);
    return tap_done();
}
