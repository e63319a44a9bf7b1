/*
 * bench_process.c - what a process of a workload does, however it came to be: its share of a round, and what it
 * needs for that.
 */
#include "bench/bench_crew.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void bench_wait_for(_Atomic uint32_t *word, uint32_t value, const struct timespec *limit)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT, value, limit, NULL, 0);
}

void bench_wait_while(_Atomic uint32_t *word, uint32_t value)
{
    while (atomic_load(word) == value)
        bench_wait_for(word, value, NULL);
}

void bench_wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void end_process(const struct bench_job *job) __attribute__((noreturn));

static void end_process(const struct bench_job *job)
{
    if (!job->rank)
        _exit(1);
    for (;;) /* a rank that ended would end the job before this is reported */
        (void)pause();
}

void bench_fail(struct bench_job *job, const char *call, int rc)
{
    job->slot->code = rc;
    if (rc < 0)
        snprintf(job->slot->text, BENCH_TEXT, "%s: %s: %s", call, memo_strerror(rc), memo_errmsg());
    else
        snprintf(job->slot->text, BENCH_TEXT, "%s: %s", call, memo_strerror(rc));
    end_process(job);
}

memo_folder_t bench_folder(const struct bench_job *job, const char *purpose, uint64_t index)
{
    char text[MEMO_NAME_MAX];

    snprintf(text, sizeof text, "%s-%s-%llu", job->tag, purpose, (unsigned long long)index);
    return memo_folder(text);
}

/* SplitMix64. */
uint64_t bench_random(struct bench_job *job)
{
    uint64_t z = job->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void bench_sample(struct bench_job *job, double ns)
{
    if (job->slot->samples < BENCH_SAMPLES_MAX)
        job->slot->sample[job->slot->samples++] = ns;
}

/* Until the parent lets everyone go on. */
static void meet(struct bench_arena *arena)
{
    uint32_t phase = atomic_load(&arena->phase);

    atomic_fetch_add(&arena->arrived, 1);
    bench_wake(&arena->arrived);
    bench_wait_while(&arena->phase, phase);
}

static void pin(struct bench_job *job, const cpu_set_t *cpus)
{
    bench_pin_t how = job->workload->pin;
    int wanted = how == BENCH_PIN_TOGETHER ? 0 : (int)job->role % CPU_COUNT(cpus);
    cpu_set_t one;

    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, cpus) && wanted-- == 0)
            CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, how == BENCH_PIN_NONE ? cpus : &one) == 0)
        return;
    snprintf(job->slot->text, BENCH_TEXT, "sched_setaffinity: %s", strerror(errno));
    end_process(job);
}

/* The share of a round, or of its warm-up, that falls to this process. */
static void run_share(struct bench_job *job, uint64_t ops)
{
    struct bench_slot *slot = job->slot;
    uint64_t batches = ops / job->workload->batch + 1;

    slot->samples = 0;
    job->ops = ops;
    job->batches = 0;
    job->keep_every = (batches + BENCH_SAMPLES_MAX - 1) / BENCH_SAMPLES_MAX;
    slot->start = bench_now();
    slot->ops = job->workload->run(job);
    slot->end = bench_now();
    slot->sink = job->sink;
}

static uint64_t warm_up_ops(const bench_workload_t *w, uint64_t ops)
{
    uint64_t least = (uint64_t)w->processes * w->batch;

    return ops / 10 > least ? ops / 10 : least;
}

void bench_share(struct bench_job *job, uint64_t ops, const cpu_set_t *cpus)
{
    pin(job, cpus);
    run_share(job, warm_up_ops(job->workload, ops));
    meet(job->arena); /* the counters are read */
    run_share(job, ops);
    meet(job->arena); /* and again, before they go */
}

void bench_job_begin(struct bench_job *job, const bench_workload_t *w, struct bench_arena *arena, const char *tag,
                     unsigned role)
{
    memset(job, 0, sizeof *job);
    job->workload = w;
    job->arena = arena;
    job->slot = &arena->slot[role];
    job->tag = tag;
    job->role = role;
    job->random = UINT64_C(0x6d656d6f) + role;
    job->keep_every = 1;
}
