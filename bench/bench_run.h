/*
 * bench_run.h - how a workload is run and measured: its processes, its rounds, its samples.
 *
 * A round forks the workload's processes; each opens the space anew, runs a tenth of the work to warm up, meets the
 * others, runs, and meets them again while the parent reads the space's counters before and after. What they
 * measure goes through an arena that parent and children share and the library knows nothing of. Over MPI the
 * processes are ranks, which open once and do the rounds one after the other (bench_ranks.h).
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "libmemo/memo.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define BENCH_PROCESSES_MAX 40
#define BENCH_SAMPLES_MAX 4096 /* kept of one process in one round */
#define BENCH_TEXT 320

struct bench_job;

typedef enum { BENCH_PIN_NONE, BENCH_PIN_APART, BENCH_PIN_TOGETHER } bench_pin_t;

typedef struct bench_workload {
    const char *name;
    const char *title;
    unsigned processes;
    bench_pin_t pin;
    unsigned batch;       /* operations timed together, where one is too short to time */
    bool wall;            /* figure: elapsed time over operations; else the median of the samples */
    uint64_t size;        /* of each memo */
    unsigned count;       /* folders, workers or waiters, as the workload has it */
    uint64_t space_bytes; /* size= of a fresh space; 0 is the default */
    uint64_t max_ops;     /* in one round; 0 is no limit */
    double target_ns;     /* what we want of shm-bucket; 0: nothing said */
    double target_mpi_ns; /* and of a space over MPI whose ranks are on one node */
    /* One process's share of job->ops operations; returns how many of them it counts. Leaves its folders empty. */
    uint64_t (*run)(struct bench_job *job);
    /* Once for each space, by the only process there is then; may be NULL. */
    void (*fill)(struct bench_job *job);
    void (*empty)(struct bench_job *job); /* undoes it, in a space that stays */
} bench_workload_t;

/* What one process measured in one round. */
struct bench_slot {
    uint64_t start, end; /* CLOCK_MONOTONIC, nanoseconds */
    uint64_t ops;
    uint64_t sink; /* of all that was read, so that the reading cannot be left out */
    uint64_t rank; /* seed of this process */
    uint32_t samples;
    int code;                         /* of the call that failed */
    char text[BENCH_TEXT];            /* what failed; "" if nothing did */
    double sample[BENCH_SAMPLES_MAX]; /* nanoseconds an operation */
};

struct bench_arena {
    _Atomic uint32_t arrived; /* futex: processes at the meeting; who measures waits */
    _Atomic uint32_t phase;   /* futex: meetings so far; the processes wait */
    _Atomic uint32_t word[4]; /* futexes of the workload's own */
    _Atomic uint64_t stamp;   /* of the workload's own */
    struct bench_slot slot[BENCH_PROCESSES_MAX];
};

struct bench_job {
    memo_space_t *space;
    const bench_workload_t *workload;
    struct bench_arena *arena;
    struct bench_slot *slot;
    const char *tag; /* begins the names of this run's folders */
    unsigned role;   /* 0 to processes - 1 */
    bool rank;       /* of an MPI job, which lives on when the job is done */
    uint64_t ops;    /* of all processes together */
    uint64_t sink;
    uint64_t random;
    uint64_t began; /* of the batch being timed */
    uint64_t batches;
    uint64_t keep_every; /* batch */
};

/* One round's figures, or why there are none. */
struct bench_round {
    double ns;    /* an operation, by the workload's own measure */
    double per_s; /* operations a second, all processes together */
    uint64_t ops;
    uint64_t elapsed;
    memo_stat_t counts; /* what the round added; only counters mean anything */
    bool counted;       /* counts are there */
};

/* A workload on a space, over all its rounds. */
struct bench_subject {
    const char *uri; /* as it was asked for */
    char opened[256];
    bool fresh; /* made for the benchmark, and removed by it */
    bool ranks; /* over MPI: open for all workloads, its processes are there */
    const char *tag;
    memo_space_t *space;
    uint64_t ops; /* a round */
    unsigned rounds;
    struct bench_round *round;
    double *sample; /* of all rounds and processes */
    size_t samples, samples_room;
    bool unsupported;     /* rather than failed */
    char why[BENCH_TEXT]; /* it could not run; "" if it could */
};

struct bench_plan {
    unsigned rounds;
    uint64_t round_ns;
    const cpu_set_t *cpus; /* this program may use */
};

static inline uint64_t bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* ---- for who measures ---- */

/* Opens the space, creates it where it is to be fresh, fills it, and finds how many operations make a round. */
bool bench_prepare(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena,
                   const struct bench_plan *plan);

/* Runs one round more. False: it failed, and s->why says how. */
bool bench_round(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena,
                 const struct bench_plan *plan);

/* Empties what stays, closes, and removes what was fresh. */
void bench_finish(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena,
                  const struct bench_plan *plan);

/* Set by a signal handler: everything ends at once, and is cleaned up. */
extern volatile sig_atomic_t bench_interrupted;

/* ---- for the workloads ---- */

/* Ends this process's work; the failed call is reported in its words and the library's. */
void bench_fail(struct bench_job *job, const char *call, int rc) __attribute__((noreturn));

static inline void bench_check(struct bench_job *job, int rc, const char *call)
{
    if (__builtin_expect(rc != MEMO_OK, 0))
        bench_fail(job, call, rc);
}

/* A folder of this run. */
memo_folder_t bench_folder(const struct bench_job *job, const char *purpose, uint64_t index);

uint64_t bench_random(struct bench_job *job);

void bench_sample(struct bench_job *job, double ns);

/* Around each batch of `ops` operations; `share`: of how many processes that do the same at once. */
static inline void bench_begin(struct bench_job *job)
{
    job->began = bench_now();
}

static inline void bench_end(struct bench_job *job, uint64_t ops, unsigned share)
{
    if (job->batches++ % job->keep_every == 0)
        bench_sample(job, (double)(bench_now() - job->began) / (double)ops / (double)share);
}

/* Futexes between processes, outside the library. */
void bench_wait_while(_Atomic uint32_t *word, uint32_t value);
void bench_wake(_Atomic uint32_t *word);

#endif
