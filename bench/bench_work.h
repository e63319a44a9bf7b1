/*
 * bench_work.h - the workloads there are.
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include "bench/bench_run.h"

/* Ends with an entry without a name. */
extern const bench_workload_t bench_workloads[];

/* One process (bench_work_alone.c). */
uint64_t bench_put_get(struct bench_job *job);
uint64_t bench_copying(struct bench_job *job);
uint64_t bench_put_alt(struct bench_job *job);
uint64_t bench_strict_skip(struct bench_job *job);
uint64_t bench_many_folders(struct bench_job *job);
void bench_many_folders_fill(struct bench_job *job);
void bench_many_folders_empty(struct bench_job *job);

/* Several (bench_work_together.c). */
uint64_t bench_ping_pong(struct bench_job *job);
uint64_t bench_alt_ping_pong(struct bench_job *job);
uint64_t bench_asleep(struct bench_job *job);
uint64_t bench_stream(struct bench_job *job);
uint64_t bench_bounded_stream(struct bench_job *job);
uint64_t bench_bag(struct bench_job *job);
uint64_t bench_copies(struct bench_job *job);

#endif
