/*
 * bench_ranks.c - see bench_ranks.h.
 *
 * The memory is a file without a name, which the first client has open: the others are told by memos where.
 */
#include "bench/bench_ranks.h"
#include "bench/bench_crew.h"
#include "bench/bench_work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TAG_ROOM 64
#define CLOSED_WITHIN_NS UINT64_C(20000000000)

enum { ORDER_ROUND, ORDER_FILL, ORDER_EMPTY, ORDER_CLOSE };

struct office {
    _Atomic uint32_t given; /* futex: orders so far; the rest of an order is written before */
    _Atomic uint32_t ready; /* workers that wait for the next one */
    uint32_t kind;
    uint32_t workload;
    uint64_t ops;
    char tag[TAG_ROOM];
    struct bench_arena arena;
};

static struct office *office;
static unsigned workers;
static bool broken;

bool bench_ranks_asked(void)
{
    return getenv("PMI_RANK") != NULL;
}

bool bench_ranks_speaks(void)
{
    const char *rank = getenv("PMI_RANK");

    return !rank || strcmp(rank, "0") == 0;
}

unsigned bench_ranks_workers(void)
{
    return workers;
}

bool bench_ranks_broken(void)
{
    return broken;
}

void bench_ranks_break(void)
{
    broken = true;
}

bool bench_ranks_idle(void)
{
    return atomic_load(&office->ready) == workers;
}

static struct office *map(int fd)
{
    struct office *o = mmap(NULL, sizeof *o, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return o == MAP_FAILED ? NULL : o;
}

static void die(const char *what, const char *why) __attribute__((noreturn));

static void die(const char *what, const char *why)
{
    fprintf(stderr, "memo-bench: %s: %s\n", what, why);
    _exit(1);
}

/* ---- a worker ---------------------------------------------------------------------------------------------- */

static void find_office(memo_space_t *space)
{
    const memo_folder_t folder = memo_folder("bench-office");
    memo_t *m;
    int fd;

    if (memo_get(space, &folder, &m) != MEMO_OK)
        die("memo_get", memo_errmsg());
    fd = open(memo_data(m), O_RDWR | O_CLOEXEC);
    office = fd < 0 ? NULL : map(fd);
    if (!office)
        die("the ranks are not on one machine, or another user's", strerror(errno));
    (void)close(fd);
    memo_free(m);
}

static void carry_out(memo_space_t *space, unsigned role, const struct bench_plan *plan)
{
    const bench_workload_t *w = &bench_workloads[office->workload];
    struct bench_job job;

    if (role >= (office->kind == ORDER_ROUND ? w->processes : 1))
        return;
    bench_job_begin(&job, w, &office->arena, office->tag, role);
    job.space = space;
    job.rank = true;
    if (office->kind == ORDER_FILL)
        w->fill(&job);
    else if (office->kind == ORDER_EMPTY)
        w->empty(&job);
    else
        bench_share(&job, office->ops, plan->cpus);
}

static void work(memo_space_t *space, unsigned role, const struct bench_plan *plan)
{
    find_office(space);
    for (uint32_t seen = 0;; seen++) {
        atomic_fetch_add(&office->ready, 1);
        bench_wake(&office->ready);
        bench_wait_while(&office->given, seen);
        if (office->kind == ORDER_CLOSE)
            break;
        carry_out(space, role, plan);
    }
    if (memo_close(space) != MEMO_OK)
        die("memo_close", memo_errmsg());
    atomic_fetch_add(&office->ready, 1);
    bench_wake(&office->ready);
    exit(0);
}

/* ---- who measures ------------------------------------------------------------------------------------------ */

static void make_office(memo_space_t *space)
{
    const memo_folder_t folder = memo_folder("bench-office");
    int fd = memfd_create("memo-bench", MFD_CLOEXEC);
    char path[64];

    office = fd >= 0 && ftruncate(fd, sizeof *office) == 0 ? map(fd) : NULL;
    if (!office)
        die("no memory for what is measured", strerror(errno));
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getpid(), fd);
    for (unsigned i = 0; i < workers; i++)
        if (memo_write(space, &folder, path, strlen(path) + 1) != MEMO_OK)
            die("memo_write", memo_errmsg());
}

static void await_ready(void)
{
    for (uint32_t ready; (ready = atomic_load(&office->ready)) < workers;)
        bench_wait_while(&office->ready, ready);
}

memo_space_t *bench_ranks_open(const char *uri, const struct bench_plan *plan, struct bench_arena **arena)
{
    memo_space_t *space;
    int rc = memo_open(&space, uri);

    if (rc == MEMO_SERVED)
        exit(0);
    if (rc != MEMO_OK && bench_ranks_speaks())
        fprintf(stderr, "memo-bench: memo_open %s: %s\n", uri, memo_errmsg());
    if (rc != MEMO_OK)
        return NULL;
    if (memo_rank(space) != 0)
        work(space, (unsigned)memo_rank(space) - 1, plan);
    workers = (unsigned)memo_ranks(space) - 1;
    make_office(space);
    await_ready();
    *arena = &office->arena;
    return space;
}

static void give(uint32_t kind)
{
    office->kind = kind;
    atomic_store(&office->ready, 0);
    atomic_fetch_add(&office->given, 1);
    bench_wake(&office->given);
}

void bench_ranks_order(const bench_workload_t *w, const char *tag, uint64_t ops, void (*step)(struct bench_job *))
{
    office->workload = (uint32_t)(w - bench_workloads);
    office->ops = ops;
    snprintf(office->tag, sizeof office->tag, "%s", tag);
    give(!step ? ORDER_ROUND : step == w->fill ? ORDER_FILL : ORDER_EMPTY);
}

bool bench_ranks_close(memo_space_t *space)
{
    const struct timespec moment = {0, 20 * 1000 * 1000};
    uint64_t deadline = bench_now() + CLOSED_WITHIN_NS;

    if (broken) {
        fflush(NULL);
        _exit(1); /* mpiexec ends the others */
    }
    give(ORDER_CLOSE);
    for (uint32_t ready; (ready = atomic_load(&office->ready)) < workers && bench_now() < deadline;)
        bench_wait_for(&office->ready, ready, &moment);
    if (!bench_ranks_idle())
        die("a rank did not close", "ended");
    if (memo_close(space) == MEMO_OK)
        return true;
    fprintf(stderr, "memo-bench: memo_close: %s\n", memo_errmsg());
    return false;
}
