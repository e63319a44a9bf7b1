/*
 * lock.c - locks between processes: one holder at a time, and the dead hold none.
 */
#include "t/lib/node_bench.h"

#include <sched.h>
#include <sys/wait.h>

enum { PROCESSES = 4, TURNS = 4000 };

static node_t node;
static self_t *me;

static void *child_self(node_t *n)
{
    bench_open(n, BENCH_BYTES);
    return bench_enter(n);
}

static void test_exclusion(void)
{
    bench_root_t *root = bench_root(me);
    pid_t child[PROCESSES];
    int status, failed = 0;
    unsigned i, k;

    for (i = 0; i < PROCESSES; i++) {
        child[i] = tap_fork();
        if (child[i] != 0)
            continue;
        static node_t n;
        self_t *s = child_self(&n);
        for (k = 0; k < TURNS; k++) {
            lock_take(s, &root->spare);
            if (root->spare_value != root->spare_other)
                _exit(1);
            root->spare_value++;
            if (k % 64 == 0)
                sched_yield();
            root->spare_other++;
            lock_release(&root->spare);
        }
        node_leave(s);
        bench_close(&n);
        _exit(0);
    }
    for (i = 0; i < PROCESSES; i++) {
        waitpid(child[i], &status, 0);
        failed += status != 0;
    }
    tap_is_int(failed, 0, "nobody saw another one inside");
    tap_is_int((long long)root->spare_value, PROCESSES * TURNS, "each turn was counted");
}

/* A child that takes the lock, stores into what it protects as part of a mutation, and stays there. */
static pid_t start_holder(void)
{
    bench_root_t *root = bench_root(me);
    pid_t child;

    atomic_store(&root->index[0], 0);
    child = tap_fork();
    if (child == 0) {
        static node_t n;
        self_t *s = child_self(&n);
        lock_take(s, &root->spare);
        log_u64(s, &root->spare_value, root->spare_value + 1000);
        atomic_store(&root->index[0], s->id);
        for (;;)
            pause();
    }
    while (atomic_load(&root->index[0]) == 0)
        usleep(100);
    return child;
}

static void test_dead_owner(void)
{
    bench_root_t *root = bench_root(me);
    uint64_t before = root->spare_value;
    pid_t child = start_holder();
    int64_t start;
    int status;

    tap_ok(!lock_try(me, &root->spare) && root->spare_value == before + 1000, "another one holds the lock");
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    start = wait_now();
    lock_take(me, &root->spare);
    tap_ok(lock_mine(me, &root->spare), "the lock of the dead is taken over");
    tap_diag("after %lld us", (long long)(wait_now() - start) / 1000);
    tap_is_int((long long)root->spare_value, (long long)before, "and what he had not finished is undone");
    lock_release(&root->spare);
    bench_repair(me, 1);
}

/* Waits for the lock in a child; answers whether it got it within the time. */
static pid_t start_waiter(void)
{
    pid_t child = tap_fork();

    if (child == 0) {
        static node_t n;
        self_t *s = child_self(&n);
        lock_take(s, &bench_root(s)->spare);
        lock_release(&bench_root(s)->spare);
        node_leave(s);
        bench_close(&n);
        _exit(0);
    }
    return child;
}

static void test_stopped_owner(void)
{
    pid_t holder = start_holder(), waiter;
    int status;

    kill(holder, SIGSTOP);
    waiter = start_waiter();
    usleep(300000);
    tap_ok(waitpid(waiter, &status, WNOHANG) == 0, "who is stopped is not taken for dead");
    kill(holder, SIGKILL);
    waitpid(holder, &status, 0);
    waitpid(waiter, &status, 0);
    tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "killed, he is");
    bench_repair(me, 1);
}

/* A waiter that dies asleep must not make each later release ring for him. */
static void test_dead_waiter(void)
{
    bench_root_t *root = bench_root(me);
    pid_t child;
    int status;
    unsigned i;

    lock_take(me, &root->spare);
    child = start_waiter();
    for (i = 0; i < 20000 && atomic_load(&root->spare.waiters) == 0; i++)
        usleep(100);
    tap_ok(atomic_load(&root->spare.waiters) != 0, "a waiter says that he waits");
    usleep(20000);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    for (i = 0; i < 3; i++) {
        lock_release(&root->spare);
        lock_take(me, &root->spare);
    }
    lock_release(&root->spare);
    tap_is_int(atomic_load(&root->spare.waiters), 0, "a dead waiter is not rung for for ever");
    bench_repair(me, 1);
}

int main(void)
{
    tap_timeout(60);
    bench_open(&node, BENCH_BYTES);
    me = bench_enter(&node);
    test_exclusion();
    test_dead_owner();
    test_stopped_owner();
    test_dead_waiter();
    tap_ok(bench_walk(me), "every block is accounted for");
    node_leave(me);
    bench_close(&node);
    return tap_done();
}
