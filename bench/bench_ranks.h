/*
 * bench_ranks.h - the processes of a workload as ranks of an MPI job.
 *
 * A space over MPI is opened once, by all ranks together. So the first client measures and prints, as the parent
 * does where processes are forked; the others wait for orders, and sleep, out of the library, when they have none.
 * Orders and what is measured pass through memory that the clients share: all are on one machine.
 */
#ifndef BENCH_RANKS_H
#define BENCH_RANKS_H

#include "bench/bench_run.h"

/* Whether mpiexec has started this program; and whether it is the rank to say what is wrong with its arguments. */
bool bench_ranks_asked(void);
bool bench_ranks_speaks(void);

/*
 * Opens the space. In the first client it returns it, with an arena, once all others are ready, or NULL: it has
 * printed why. In other clients it returns never: they exit when there are no more orders; nor does it on servers.
 */
memo_space_t *bench_ranks_open(const char *uri, const struct bench_plan *plan, struct bench_arena **arena);

/* Clients that work: all but the first. */
unsigned bench_ranks_workers(void);

/* As many of them as the workload has processes do a round, or the first takes the step. */
void bench_ranks_order(const bench_workload_t *w, const char *tag, uint64_t ops, void (*step)(struct bench_job *));

/* Nobody is at an order any more. */
bool bench_ranks_idle(void);

/* Something failed, and workers wait for what never comes: no more orders are given. */
void bench_ranks_break(void);
bool bench_ranks_broken(void);

/* Everybody closes; false: somebody failed to. After a break the job is ended instead: it does not return. */
bool bench_ranks_close(memo_space_t *space);

#endif
