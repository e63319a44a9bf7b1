/*
 * ranks.h - the participants of a test as ranks of an MPI job.
 *
 * A space over MPI is opened once by each process, by all of them together, and a rank that has closed or was
 * killed never comes back. So the first client is the one that tests, and prints; the others, workers, wait for
 * orders: a function of the same program and its argument. Orders, results and what tests share lie in the *room*:
 * a file that every rank maps at the same address. Orders go past memo and MPI, which are what is tested.
 *
 * MEMO_TEST_ROOM names a folder, of this job alone, for the room; all ranks must have it in common. Without it the
 * room is made after the launcher's process, which is enough on one machine.
 */
#ifndef RANKS_H
#define RANKS_H

#include <sys/types.h>

#include "libmemo/memo.h"

typedef int (*rank_fn)(memo_space_t *space, void *arg);
typedef struct rank_order rank_order_t;

/* Whether this program was started as ranks, and by whom: mpiexec sets PMI_RANK. */
bool ranks_asked(void);

/*
 * Opens the space as a rank. In the first client it returns, once all workers are there; in all others it never
 * does: servers serve, workers work until ranks_close.
 */
memo_space_t *ranks_open(const char *uri);

/* Whether this process is such a rank. */
bool ranks_begun(void);

/* Everybody closes. Whether all did so with MEMO_OK; those who were killed do not count. */
bool ranks_close(memo_space_t *space);

/* Workers that are there: neither closed nor killed. */
int ranks_left(void);

/* The process of a rank of the job, and whether it serves; 0: there are no more ranks. */
pid_t ranks_process(int rank, bool *serves);

/* Zeroed memory of the room. Given back its pages are free; its addresses too, if it was the last that was had. */
void *ranks_memory(size_t bytes);
void ranks_memory_free(void *memory, size_t bytes);

/* Has a worker with as little to do as any run the function in a thread of its own. `alone`: one with nothing to
 * do, which gets nothing else until released. `last`: it closes when the function is done. */
typedef enum { RANK_ANY, RANK_ALONE } rank_which_t;
rank_order_t *rank_order(rank_which_t which, rank_fn fn, void *arg, bool last);
/* Another order for the worker of `first`, whether it is done or not. */
rank_order_t *rank_order_again(const rank_order_t *first, rank_fn fn, void *arg, bool last);
/* The function's result; 256 + SIGKILL if the worker died. With `last`, 300 if its close failed, and without a
 * function what memo_close answered. */
int rank_order_wait(rank_order_t *order);
void rank_release(rank_order_t *order);
/* SIGKILL returns once the process is gone. */
void rank_signal(const rank_order_t *order, int sig);

#endif
