/*
 * bench_work_together.c - workloads of several processes: what it costs to reach each other.
 *
 * Role 0 is the one that measures, or that the others work for. What a memo says: a number, or STOP.
 */
#include "bench/bench_work.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STOP UINT64_MAX
#define FOREVER_ENOUGH_NS INT64_C(30000000000) /* a bounded put that waits longer is an error, not a figure */
#define NAP_NS (500 * 1000)                    /* in which whoever waits has long gone to sleep */
#define AHEAD 16                               /* tasks in the bag for each worker */

static uint64_t value_of(memo_t *m)
{
    uint64_t value;

    memcpy(&value, memo_data(m), sizeof value);
    return value;
}

static void set_value(memo_t *m, uint64_t value)
{
    memcpy(memo_data(m), &value, sizeof value);
}

static memo_t *new_memo(struct bench_job *job, uint64_t value)
{
    memo_t *m;

    bench_check(job, memo_alloc(job->space, (size_t)job->workload->size, &m), "memo_alloc");
    set_value(m, value);
    return m;
}

static void put(struct bench_job *job, const memo_folder_t *folder, memo_t *m)
{
    bench_check(job, memo_put(job->space, folder, m), "memo_put");
}

static memo_t *get(struct bench_job *job, const memo_folder_t *folder)
{
    memo_t *m;

    bench_check(job, memo_get(job->space, folder, &m), "memo_get");
    return m;
}

/* ---- ping-pong ------------------------------------------------------------------------------------------- */

/* Sends the memo into one folder after the other of `count`, and has it back from `home`. */
static uint64_t serve_first(struct bench_job *job, const memo_folder_t *out, unsigned count,
                            const memo_folder_t *home)
{
    memo_t *m = new_memo(job, 0);

    for (uint64_t done = 0, n; done < job->ops; done += n) {
        n = job->ops - done < job->workload->batch ? job->ops - done : job->workload->batch;
        bench_begin(job);
        for (uint64_t i = 0; i < n; i++) {
            set_value(m, done + i);
            put(job, &out[(done + i) % count], m);
            m = get(job, home);
            if (value_of(m) != done + i)
                bench_fail(job, "ping-pong: another memo came back", MEMO_ECORRUPT);
        }
        bench_end(job, n, 1);
    }
    set_value(m, STOP);
    put(job, &out[0], m);
    return job->ops;
}

uint64_t bench_ping_pong(struct bench_job *job)
{
    memo_folder_t there = bench_folder(job, "there", 0), back = bench_folder(job, "back", 0);

    if (job->role == 0)
        return serve_first(job, &there, 1, &back);
    for (;;) {
        memo_t *m = get(job, &there);
        uint64_t value = value_of(m);
        if (value == STOP) {
            memo_free(m);
            return 0;
        }
        job->sink += value;
        put(job, &back, m);
    }
}

/* The same with a partner who waits for any of `count` folders. */
uint64_t bench_alt_ping_pong(struct bench_job *job)
{
    unsigned count = job->workload->count;
    memo_folder_t *there = malloc(count * sizeof *there), back = bench_folder(job, "back", 0);
    uint64_t done = 0;

    if (!there)
        bench_fail(job, "malloc", MEMO_ENOMEM);
    for (unsigned i = 0; i < count; i++)
        there[i] = bench_folder(job, "there", i);
    if (job->role == 0)
        done = serve_first(job, there, count, &back);
    while (job->role != 0) {
        memo_t *m;
        size_t which;
        bench_check(job, memo_alt(job->space, there, count, &m, &which), "memo_alt");
        uint64_t value = value_of(m);
        job->sink += value + which;
        if (value == STOP) {
            memo_free(m);
            break;
        }
        put(job, &back, m);
    }
    free(there);
    return done;
}

/* One way, to a partner who has gone to sleep: from before the put until he has the memo. */
uint64_t bench_asleep(struct bench_job *job)
{
    const struct timespec nap = {0, NAP_NS};
    memo_folder_t bed = bench_folder(job, "bed", 0);

    if (job->role == 0) {
        for (uint64_t i = 0; i <= job->ops; i++) {
            (void)nanosleep(&nap, NULL);
            memo_t *m = new_memo(job, 0);
            set_value(m, i < job->ops ? bench_now() : STOP);
            put(job, &bed, m);
        }
        return job->ops;
    }
    for (;;) {
        memo_t *m = get(job, &bed);
        uint64_t now = bench_now(), sent = value_of(m);
        memo_free(m);
        if (sent == STOP)
            return 0;
        bench_sample(job, (double)(now - sent));
    }
}

/* ---- streams --------------------------------------------------------------------------------------------- */

/* The first half of the processes put, the others get; `n` of so many fall to this one. */
static uint64_t my_share(const struct bench_job *job, unsigned half)
{
    unsigned me = job->role % half;

    return job->ops / half + (me < job->ops % half);
}

static uint64_t consume(struct bench_job *job, const memo_folder_t *folder, uint64_t share, unsigned consumers)
{
    for (uint64_t done = 0, n; done < share; done += n) {
        n = share - done < job->workload->batch ? share - done : job->workload->batch;
        bench_begin(job);
        for (uint64_t i = 0; i < n; i++) {
            memo_t *m = get(job, folder);
            job->sink += value_of(m);
            memo_free(m);
        }
        bench_end(job, n, consumers);
    }
    return share;
}

/* Without a bound: who puts faster than the others get, fills the folder. */
uint64_t bench_stream(struct bench_job *job)
{
    unsigned half = job->workload->processes / 2;
    memo_folder_t folder = bench_folder(job, "stream", 0);
    uint64_t share = my_share(job, half);

    if (job->role >= half)
        return consume(job, &folder, share, half);
    for (uint64_t i = 0; i < share; i++)
        put(job, &folder, new_memo(job, i));
    return 0;
}

/* With a limit of `count` memos on the folder. */
uint64_t bench_bounded_stream(struct bench_job *job)
{
    unsigned half = job->workload->processes / 2;
    memo_folder_t folder = bench_folder(job, "bounded", 0);
    uint64_t share = my_share(job, half);

    bench_check(job, memo_limit(job->space, &folder, job->workload->count, 0), "memo_limit");
    if (job->role >= half)
        return consume(job, &folder, share, half);
    for (uint64_t i = 0; i < share; i++)
        bench_check(job, memo_put_for(job->space, &folder, new_memo(job, i), FOREVER_ENOUGH_NS), "memo_put_for");
    return 0;
}

/* ---- a bag of tasks -------------------------------------------------------------------------------------- */

static uint64_t work(struct bench_job *job, const memo_folder_t *tasks, const memo_folder_t *results)
{
    for (;;) {
        memo_t *m = get(job, tasks);
        uint64_t task = value_of(m);
        if (task == STOP) {
            memo_free(m);
            return 0;
        }
        set_value(m, ~task);
        put(job, results, m);
    }
}

/* A master who keeps the bag filled and collects: for each task a put and a get of his, a get and a put of a
 * worker. */
uint64_t bench_bag(struct bench_job *job)
{
    memo_folder_t tasks = bench_folder(job, "tasks", 0), results = bench_folder(job, "results", 0);
    uint64_t sent = 0, had = 0;

    if (job->role != 0)
        return work(job, &tasks, &results);
    for (; sent < (uint64_t)AHEAD * job->workload->count && sent < job->ops; sent++)
        put(job, &tasks, new_memo(job, sent));
    while (had < job->ops) {
        uint64_t n = job->ops - had < job->workload->batch ? job->ops - had : job->workload->batch;
        bench_begin(job);
        for (uint64_t i = 0; i < n; i++) {
            memo_t *m = get(job, &results);
            job->sink += value_of(m);
            if (sent == job->ops) {
                memo_free(m);
                continue;
            }
            set_value(m, sent++);
            put(job, &tasks, m);
        }
        bench_end(job, n, 1);
        had += n;
    }
    for (unsigned i = 0; i < job->workload->count; i++)
        put(job, &tasks, new_memo(job, STOP));
    return job->ops;
}

/* ---- copies ---------------------------------------------------------------------------------------------- */

/* Words of the arena: [0] puts whose memo is gone again, [1] waiters who have had their copy of the present one. */
static uint64_t wait_for_copies(struct bench_job *job, const memo_folder_t *folder)
{
    for (uint64_t i = 0; i < job->ops; i++) {
        uint32_t gone = atomic_load(&job->arena->word[0]);
        memo_t *m;
        bench_check(job, memo_get_copy(job->space, folder, &m), "memo_get_copy");
        uint64_t now = bench_now(), last = atomic_load(&job->arena->stamp);
        while (last < now && !atomic_compare_exchange_weak(&job->arena->stamp, &last, now))
            ;
        job->sink += value_of(m);
        memo_free(m);
        if (atomic_fetch_add(&job->arena->word[1], 1) + 1 == job->workload->count)
            bench_wake(&job->arena->word[1]);
        bench_wait_while(&job->arena->word[0], gone); /* else the next copy would be of the same memo */
    }
    return 0;
}

/* From one put until the last of `count` waiters has his copy. */
uint64_t bench_copies(struct bench_job *job)
{
    const struct timespec moment = {0, 100 * 1000};
    memo_folder_t folder = bench_folder(job, "copies", 0);
    struct bench_arena *arena = job->arena;

    if (job->role != 0)
        return wait_for_copies(job, &folder);
    for (uint64_t i = 0; i < job->ops; i++) {
        uint64_t waiters = 0;
        while (waiters < job->workload->count) {
            bench_check(job, memo_count(job->space, &folder, NULL, &waiters), "memo_count");
            if (waiters < job->workload->count)
                (void)nanosleep(&moment, NULL);
        }
        memo_t *m = new_memo(job, i);
        uint64_t sent = bench_now();
        put(job, &folder, m);
        for (uint32_t had; (had = atomic_load(&arena->word[1])) < job->workload->count;)
            bench_wait_while(&arena->word[1], had);
        bench_sample(job, (double)(atomic_load(&arena->stamp) - sent));
        memo_free(get(job, &folder));
        atomic_store(&arena->word[1], 0);
        atomic_fetch_add(&arena->word[0], 1);
        bench_wake(&arena->word[0]);
    }
    return job->ops;
}
