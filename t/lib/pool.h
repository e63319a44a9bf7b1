/*
 * pool.h - workers that grow trees of work in a space, and learn by MEMO_UNTIL_QUIET that all of it is done.
 *
 * A job is a tree of nodes; a memo stands for a node, and whoever takes it puts one for each child. Once the job is
 * done all workers are to be told so, each once, and never before. The workers of one pool are processes with
 * ranks, and others without; or, under the thread sanitizer, threads of one handle. Others may use the space
 * meanwhile, for other folders.
 */
#ifndef POOL_H
#define POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "libmemo/memo.h"

enum { POOL_FOLDERS = 5, POOL_NODES = 4096, POOL_WORKERS = 64 };

typedef struct pool {
    char uri[256];
    uint64_t run; /* what the ranks have in common */
    uint64_t seed;
    uint32_t workers;
    uint32_t ranks;          /* of them: the first so many have ranks */
    uint32_t largest;        /* bytes of a memo */
    bool mortal;             /* workers are killed: a node may come twice, if it was not done */
    _Atomic bool full;       /* the feeder is to end */
    _Atomic bool stop;       /* the job under way is to be the last */
    _Atomic bool ended;      /* it was */
    _Atomic uint32_t joined; /* workers without a rank that take part */
    _Atomic uint64_t jobs;   /* done */
    _Atomic uint64_t done;   /* nodes */
    _Atomic uint64_t wrong;  /* whatever should not have happened; each is said on stderr */
    _Atomic uint64_t fed;    /* memos of the feeder */
    _Atomic uint64_t waits;  /* that ended without a memo and without quiet */
    uint32_t first[POOL_NODES], next[POOL_NODES]; /* the tree: first child, next of its parent; 0 is none */
    _Atomic uint32_t grown[POOL_NODES];           /* jobs in which the node was done */
} pool_t;

/* In memory that forked children share. NULL: there is none. */
pool_t *pool_new(const char *uri, uint32_t workers, uint32_t ranks, uint64_t seed);
void pool_delete(pool_t *p);

/* The one who starts the ranks; to be opened before them, and closed after. */
int pool_lead(const pool_t *p, memo_space_t **leader);

/* The first node of the next job. */
bool pool_root(pool_t *p, memo_space_t *space);

/* Whether every node of the first job is done: what a worker that was killed did is counted nowhere else. */
bool pool_done(const pool_t *p);

/* Empties the folders, of delayed puts too, whose trigger the killed did not put. How many memos were there. */
uint32_t pool_clear(memo_space_t *space);

/*
 * A worker's whole life, in a process of its own, or, with a handle, as one of its threads; 0 when all was right.
 * Worker 0 puts the jobs one after the other, unless `ended` was set in advance: the job is somebody else's then.
 */
int pool_worker(pool_t *p, uint32_t number, memo_space_t *shared);

/* The feeder's; until `full` is set, which is to be before `stop`. */
int pool_feeder(pool_t *p, memo_space_t *shared);

#endif
