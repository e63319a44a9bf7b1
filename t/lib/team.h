/*
 * team.h - the workers of a pool (pool.h), started and ended: processes, or threads of one handle.
 */
#ifndef TEAM_H
#define TEAM_H

#include <pthread.h>
#include <sys/types.h>

#include "t/lib/pool.h"

typedef struct team {
    pool_t *pool;
    memo_space_t *leader; /* NULL: they are threads */
    memo_space_t *shared;
    bool feeds; /* the last of those below is the feeder */
    pid_t pids[POOL_WORKERS + 1];
    pthread_t threads[POOL_WORKERS + 1];
} team_t;

/* All but one of the workers have ranks; as threads of `shared`, unless that is NULL, none has. */
bool team_begin(team_t *t, const char *uri, uint32_t workers, uint64_t seed, memo_space_t *shared);
void team_start(team_t *t);
void team_feed(team_t *t);
/* One worker, again: the one that had the number before was killed. */
void team_start_one(team_t *t, uint32_t number);
/* The job under way is the last. Waits for all; whether all was right. */
bool team_end(team_t *t);

#endif
