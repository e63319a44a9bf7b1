/*
 * bench_crew.h - the processes of a workload: forked for each round, or ranks of an MPI job that wait for orders.
 *
 * Either way they run the same share, meet in the arena when they have warmed up, and again when they are done, and
 * whoever measures reads the space's counters in between.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include "bench/bench_run.h"

#include <sys/types.h>

struct bench_crew {
    struct bench_subject *subject; /* what goes wrong is told here */
    struct bench_arena *arena;
    unsigned count;                 /* processes that work */
    pid_t pid[BENCH_PROCESSES_MAX]; /* of those that were forked; 0: ended */
    uint64_t deadline;
};

/* ---- for who measures (bench_crew.c); false: it failed, nobody works any more, and subject->why says how ---- */

/* The workload's processes begin a round; or, with a step, the first one takes it alone. */
bool bench_crew_start(struct bench_crew *crew, struct bench_subject *s, const bench_workload_t *w,
                      struct bench_arena *arena, const struct bench_plan *plan, void (*step)(struct bench_job *));

/* All of them have come to a meeting; and may go on. */
bool bench_crew_meet(struct bench_crew *crew);
void bench_crew_release(struct bench_crew *crew);

/* All have done their work. */
bool bench_crew_end(struct bench_crew *crew);

/* ---- for the processes (bench_process.c) ---- */

void bench_job_begin(struct bench_job *job, const bench_workload_t *w, struct bench_arena *arena, const char *tag,
                     unsigned role);

/* A round: warm-up, meeting, work, meeting. */
void bench_share(struct bench_job *job, uint64_t ops, const cpu_set_t *cpus);

/* Sleeps while the word has that value, or for so long; may return early. */
void bench_wait_for(_Atomic uint32_t *word, uint32_t value, const struct timespec *limit);

#endif
