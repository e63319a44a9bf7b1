/*
 * team.c - see team.h.
 */
#include "t/lib/team.h"

#include <errno.h>
#include <sys/wait.h>

#include "t/tap.h"

typedef struct life {
    pool_t *pool;
    memo_space_t *shared;
    uint32_t number;
} life_t;

bool team_begin(team_t *t, const char *uri, uint32_t workers, uint64_t seed, memo_space_t *shared)
{
    memset(t, 0, sizeof *t);
    workers = workers > POOL_WORKERS ? POOL_WORKERS : workers;
    t->shared = shared;
    t->pool = pool_new(uri, workers, shared != NULL ? 0 : workers - 1, seed);
    if (t->pool == NULL) {
        tap_bail("no memory for a pool");
    }
    if (shared == NULL && pool_lead(t->pool, &t->leader) != MEMO_OK) {
        tap_diag("memo_open for a leader: %s", memo_errmsg());
        return false;
    }
    return true;
}

static int live_as(pool_t *p, uint32_t number, memo_space_t *shared)
{
    return number == POOL_WORKERS ? pool_feeder(p, shared) : pool_worker(p, number, shared);
}

static void *live(void *arg)
{
    life_t life = *(life_t *)arg;
    free(arg);
    return live_as(life.pool, life.number, life.shared) == 0 ? life.pool : NULL;
}

static void start_thread(team_t *t, uint32_t number)
{
    life_t *life = malloc(sizeof *life);
    if (life == NULL) {
        tap_bail("no memory for a thread");
    }
    *life = (life_t){t->pool, t->shared, number};
    if (pthread_create(&t->threads[number], NULL, live, life) != 0) {
        tap_bail("pthread_create: %s", strerror(errno));
    }
}

void team_start_one(team_t *t, uint32_t number)
{
    if (t->shared != NULL) {
        start_thread(t, number);
        return;
    }
    t->pids[number] = tap_fork();
    if (t->pids[number] < 0) {
        tap_bail("fork: %s", strerror(errno));
    }
    if (t->pids[number] == 0) {
        _exit(live_as(t->pool, number, NULL));
    }
}

void team_start(team_t *t)
{
    for (uint32_t i = 0; i < t->pool->workers; i++) {
        team_start_one(t, i);
    }
}

void team_feed(team_t *t)
{
    t->feeds = true;
    team_start_one(t, POOL_WORKERS);
}

static bool end_one(team_t *t, uint32_t number)
{
    if (t->shared != NULL) {
        void *result;
        pthread_join(t->threads[number], &result);
        return result != NULL;
    }
    int status = -1;
    waitpid(t->pids[number], &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        tap_diag("worker %" PRIu32 " of the pool ended with status 0x%x", number, (unsigned)status);
        return false;
    }
    return true;
}

bool team_end(team_t *t)
{
    atomic_store(&t->pool->full, true);
    bool right = !t->feeds || end_one(t, POOL_WORKERS);
    atomic_store(&t->pool->stop, true);
    for (uint32_t i = 0; i < t->pool->workers; i++) {
        right = end_one(t, i) && right;
    }
    if (t->leader != NULL) {
        right = memo_close(t->leader) == MEMO_OK && right;
    }
    right = right && atomic_load(&t->pool->wrong) == 0;
    return right;
}
