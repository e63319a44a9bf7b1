/*
 * stopped.c - a process that stands still is not dead, whatever it stands in the midst of; one that is dead is not
 * alive, whoever has its number now; and none leaves the space in its core.
 *
 * A victim is stepped to an instruction of a put or a get, and stopped there for longer than anybody waits before
 * he looks for the dead. Meanwhile others call: nothing may be taken from the victim or undone, and when it goes on
 * all calls end, with the answers that they would have had. Where it waits, they end before. Where it has a lock
 * that they need they do not, even those with a timeout: how often that is so is printed.
 */
#include <inttypes.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libmemo/memo.h"
#include "libmemo/node/wait.h"
#include "t/tap.h"

enum { POINTS = 14, CALLERS = 2, STILL_MS = 3 * WAIT_TICK_NS / 1000000 };

static const char *scheme;
static char uri[96], path[96];

typedef struct shared {
    _Atomic int ready, done, result;
} shared_t;

static shared_t *shared;

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&t, &t) != 0)
        ;
}

static memo_space_t *opened(void)
{
    memo_space_t *space = NULL;

    if (memo_open(&space, uri) != MEMO_OK)
        tap_bail("cannot open %s: %s", uri, memo_errmsg());
    return space;
}

static memo_stat_t stat_of(memo_space_t *space)
{
    memo_stat_t stat;

    memset(&stat, 0, sizeof stat);
    (void)memo_stat(space, &stat, sizeof stat);
    return stat;
}

static void fresh(const char *what)
{
    snprintf(uri, sizeof uri, "%s:t-stopped-%d-%s?size=4M", scheme, (int)getpid(), what);
    snprintf(path, sizeof path, "/dev/shm/memo.t-stopped-%d-%s", (int)getpid(), what);
    (void)unlink(path);
    memset((void *)shared, 0, sizeof *shared);
}

/* ---- the victim ------------------------------------------------------------------------------------------ */

/* What is stepped through: a memo goes from one folder to another. */
static int move_memo(memo_space_t *space)
{
    memo_folder_t from = memo_folder("from"), to = memo_folder("to");
    memo_t *m;
    int result = memo_get(space, &from, &m);

    return result == MEMO_OK ? memo_put(space, &to, m) : result;
}

static pid_t victim_start(void)
{
    pid_t child = tap_fork();

    if (child == 0) {
        memo_space_t *space = opened();
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(97);
        raise(SIGSTOP);
        int result = move_memo(space);
        atomic_store(&shared->result, result);
        atomic_store(&shared->done, 1);
        memo_close(space);
        _exit(result == MEMO_OK ? 0 : 1);
    }
    return child;
}

/* So many instructions on; false: it does not stand before the end of its operation. */
static bool victim_step(pid_t child, unsigned steps)
{
    int status;

    for (unsigned i = 0; i < steps && !atomic_load(&shared->done); i++)
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 || waitpid(child, &status, 0) != child ||
            !WIFSTOPPED(status))
            return false;
    return !atomic_load(&shared->done);
}

static int end(pid_t child)
{
    int status = -1;

    (void)waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* How many instructions there are: 0 if it cannot be traced here. */
static unsigned count_steps(void)
{
    memo_space_t *space;
    memo_folder_t from = memo_folder("from");
    unsigned n = 0;
    int status;
    pid_t child;

    fresh("count");
    space = opened();
    memo_write(space, &from, "x", 1);
    child = victim_start();
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        return 0;
    while (victim_step(child, 1))
        n++;
    ptrace(PTRACE_DETACH, child, NULL, NULL);
    end(child);
    memo_close(space);
    (void)unlink(path);
    return n;
}

/* ---- the others ------------------------------------------------------------------------------------------ */

typedef struct caller {
    pthread_t thread;
    memo_space_t *space;
    _Atomic bool done;
    int result;
} caller_t;

/* One copies with a timeout, from a folder of the victim's and from one that stays empty; one puts into another of
 * the victim's. */
static void *get_in_time(void *arg)
{
    caller_t *c = arg;
    memo_folder_t folders[2] = {memo_folder("never"), memo_folder("from")};
    memo_t *m;

    for (int i = 0; i < 20 && c->result >= MEMO_OK; i++) {
        c->result = memo_get_copy_for(c->space, &folders[i & 1], &m, 1000000);
        if (c->result == MEMO_OK)
            memo_free(m);
    }
    atomic_store(&c->done, true);
    return NULL;
}

static void *put_one(void *arg)
{
    caller_t *c = arg;
    memo_folder_t to = memo_folder("to");

    c->result = memo_write(c->space, &to, "later", 5);
    atomic_store(&c->done, true);
    return NULL;
}

/* ---- standing still in the midst of a call ---------------------------------------------------------------- */

typedef struct outcome {
    unsigned stood, ended[CALLERS]; /* points where it stood; where others' calls ended meanwhile */
    unsigned dead, wrong, failed;
} outcome_t;

/* Both memos are in the folder, none was redelivered, nobody died. */
static bool all_is_well(memo_space_t *space)
{
    memo_folder_t to = memo_folder("to"), from = memo_folder("from");
    uint64_t there = 0, left = 9, waiters = 9;
    memo_stat_t stat = stat_of(space);

    memo_count(space, &to, &there, &waiters);
    memo_count(space, &from, &left, NULL);
    return there == 2 && left == 0 && waiters == 0 && stat.deaths == 0 && stat.redelivered == 0 && stat.memos == 2;
}

static void stand_still(unsigned steps, outcome_t *o)
{
    memo_space_t *space;
    memo_folder_t from = memo_folder("from");
    caller_t callers[CALLERS];
    int status;
    pid_t child;

    fresh("still");
    space = opened();
    memo_write(space, &from, "x", 1);
    child = victim_start();
    waitpid(child, &status, 0);
    if (!victim_step(child, steps)) {
        ptrace(PTRACE_DETACH, child, NULL, NULL);
        end(child);
        memo_close(space);
        return;
    }
    /* No more traced, but stopped as any process may be. */
    ptrace(PTRACE_DETACH, child, NULL, (void *)(intptr_t)SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    o->stood++;
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (caller_t){.space = space};
        pthread_create(&callers[i].thread, NULL, i == 0 ? put_one : get_in_time, &callers[i]);
    }
    sleep_ms(STILL_MS);
    for (int i = 0; i < CALLERS; i++)
        o->ended[i] += atomic_load(&callers[i].done);
    o->dead += waitpid(child, &status, WNOHANG) != 0 || atomic_load(&shared->done);
    kill(child, SIGCONT);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i].thread, NULL);
    o->failed += end(child) != 0 || callers[0].result != MEMO_OK || callers[1].result < MEMO_OK;
    o->wrong += !all_is_well(space);
    memo_close(space);
    (void)unlink(path);
}

static void test_standing_still(void)
{
    unsigned steps = count_steps();
    outcome_t o = {0};

    if (steps == 0) {
        tap_skip("processes cannot be traced here", "%s: standing still", scheme);
        return;
    }
    for (unsigned i = 1; i <= POINTS; i++)
        stand_still(steps * i / (POINTS + 1), &o);
    tap_ok(o.stood == POINTS, "%s: of %u instructions a process stood still at %u", scheme, steps, o.stood);
    tap_is_int(o.dead, 0, "%s: it is not taken for dead", scheme);
    tap_is_int(o.failed, 0, "%s: when it goes on, its call and those of all others end well", scheme);
    tap_is_int(o.wrong, 0, "%s: and everything is where it should be, and nothing redelivered", scheme);
    tap_diag("%s: at %u of %u a put ended while it stood still, at %u calls with a timeout", scheme, o.ended[0],
             o.stood, o.ended[1]);
}

/* ---- standing still elsewhere ----------------------------------------------------------------------------- */

/* Stopped while it holds a memo and waits for another: it holds no lock. */
static void hold_and_wait(void)
{
    memo_space_t *space = opened();
    memo_folder_t held = memo_folder("held"), never = memo_folder("never");
    memo_t *m;

    memo_get(space, &held, &m);
    atomic_store(&shared->ready, 1);
    atomic_store(&shared->result, memo_get(space, &never, &m));
    _exit(0);
}

static void test_stopped_waiter(void)
{
    memo_space_t *space;
    memo_folder_t held = memo_folder("held"), never = memo_folder("never");
    uint64_t waiters = 0;
    memo_t *m;
    int status;
    pid_t child;

    fresh("waiter");
    space = opened();
    memo_write(space, &held, "x", 1);
    child = tap_fork();
    if (child == 0)
        hold_and_wait();
    while (waiters == 0) {
        sleep_ms(1);
        memo_count(space, &never, NULL, &waiters);
    }
    sleep_ms(5);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    sleep_ms(STILL_MS);
    tap_is_int(memo_get_for(space, &held, &m, 2 * WAIT_TICK_NS), MEMO_TIMEDOUT,
               "%s: what a stopped process holds stays its own; a timed call ends", scheme);
    tap_ok(stat_of(space).deaths == 0 && stat_of(space).clients == 2, "%s: it is not dead", scheme);
    tap_is_int(memo_write(space, &never, "y", 1), MEMO_OK, "%s: it can be given a memo", scheme);
    kill(child, SIGCONT);
    tap_ok(end(child) == 0 && atomic_load(&shared->result) == MEMO_OK, "%s: which it has when it goes on", scheme);
    memo_close(space);
    (void)unlink(path);
}

/* ---- numbers that were used before ------------------------------------------------------------------------ */

/* A child with that number: 0 or less if it cannot be had. */
static pid_t fork_as(pid_t wanted)
{
    struct clone_args args;
    pid_t number = wanted;

    memset(&args, 0, sizeof args);
    args.exit_signal = SIGCHLD;
    args.set_tid = (uint64_t)(uintptr_t)&number;
    args.set_tid_size = 1;
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static void test_numbers_used_again(void)
{
    memo_space_t *space;
    memo_folder_t held = memo_folder("held");
    memo_t *m = NULL;
    pid_t child, again;

    fresh("numbers");
    space = opened();
    memo_write(space, &held, "x", 1);
    child = tap_fork();
    if (child == 0)
        hold_and_wait();
    while (!atomic_load(&shared->ready))
        sleep_ms(1);
    kill(child, SIGKILL);
    end(child);
    again = fork_as(child);
    if (again == 0)
        for (;;)
            (void)syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0); /* raw: nobody has told the library of this child */
    if (again < 0) {
        tap_skip("a process's number cannot be chosen here", "%s: numbers used again", scheme);
    } else {
        tap_is_int(again, child, "%s: another process has the number of one that is dead", scheme);
        tap_ok(memo_get_for(space, &held, &m, INT64_C(5000000000)) == MEMO_OK && memo_redeliveries(m) == 1,
               "%s: which is dead all the same: what it held goes back", scheme);
        tap_is_int((long long)stat_of(space).deaths, 1, "%s: one has died", scheme);
        kill(again, SIGKILL);
        end(again);
    }
    memo_close(space);
    (void)unlink(path);
}

/* ---- cores ------------------------------------------------------------------------------------------------ */

/* Whether the mapping that holds `address` stays out of cores. */
static bool kept_out_of_cores(const void *address)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false, out = false;

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            here = from <= (uintptr_t)address && (uintptr_t)address < to;
        if (here && strncmp(line, "VmFlags:", 8) == 0)
            out = strstr(line, " dd") != NULL; /* VM_DONTDUMP */
    }
    if (f != NULL)
        fclose(f);
    return out;
}

static bool memos_are_kept_out(memo_space_t *space)
{
    memo_t *m;
    bool out;

    if (memo_alloc(space, 10, &m) != MEMO_OK)
        return false;
    out = kept_out_of_cores(memo_data(m));
    memo_free(m);
    return out;
}

static void test_cores(void)
{
    memo_space_t *made, *found, *private;
    char anonymous[64];
    int local = 0;

    fresh("core");
    made = opened();
    found = opened();
    snprintf(anonymous, sizeof anonymous, "%s:?anonymous=1&size=1M", scheme);
    tap_ok(!kept_out_of_cores(&local), "%s: a process's own memory is in its core", scheme);
    tap_ok(memos_are_kept_out(made), "%s: a space is not, in its maker's", scheme);
    tap_ok(memos_are_kept_out(found), "%s: nor in that of one who found it", scheme);
    tap_ok(memo_open(&private, anonymous) == MEMO_OK && memos_are_kept_out(private), "%s: nor is an anonymous one",
           scheme);
    memo_close(private);
    memo_close(found);
    memo_close(made);
    (void)unlink(path);
}

static void test_scheme(const char *of)
{
    scheme = of;
    test_cores();
    test_numbers_used_again();
    test_stopped_waiter();
    test_standing_still();
}

int main(void)
{
    tap_timeout(120);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    test_scheme("shm-bucket");
    test_scheme("shm-lock");
    return tap_done();
}
