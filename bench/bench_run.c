/*
 * bench_run.c - see bench_run.h.
 */
#include "bench/bench_run.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_EVERY_NS (20 * 1000 * 1000)        /* after children that died instead of meeting */
#define WEDGED_AFTER_NS (UINT64_C(60000000000)) /* a round takes well under a second */
#define MEETING_BROKEN UINT32_MAX

volatile sig_atomic_t bench_interrupted;

/* ---- in the children ------------------------------------------------------------------------------------- */

static void futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *limit)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT, value, limit, NULL, 0);
}

void bench_wait_while(_Atomic uint32_t *word, uint32_t value)
{
    while (atomic_load(word) == value)
        futex_wait(word, value, NULL);
}

void bench_wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void bench_fail(struct bench_job *job, const char *call, int rc)
{
    job->slot->code = rc;
    if (rc < 0)
        snprintf(job->slot->text, BENCH_TEXT, "%s: %s: %s", call, memo_strerror(rc), memo_errmsg());
    else
        snprintf(job->slot->text, BENCH_TEXT, "%s: %s", call, memo_strerror(rc));
    _exit(1);
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

static bool pin(unsigned role, bench_pin_t how, const cpu_set_t *cpus)
{
    int wanted = how == BENCH_PIN_TOGETHER ? 0 : (int)role % CPU_COUNT(cpus);
    cpu_set_t one;

    if (how == BENCH_PIN_NONE)
        return true;
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, cpus) && wanted-- == 0)
            CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0;
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

static void child(struct bench_job *job, const struct bench_subject *s, const struct bench_plan *plan)
{
    int rc;

    if (!pin(job->role, job->workload->pin, plan->cpus)) {
        snprintf(job->slot->text, BENCH_TEXT, "sched_setaffinity: %s", strerror(errno));
        _exit(1);
    }
    rc = memo_open(&job->space, s->opened);
    bench_check(job, rc, "memo_open");
    run_share(job, warm_up_ops(job->workload, s->ops));
    meet(job->arena); /* the parent reads the counters */
    run_share(job, s->ops);
    meet(job->arena); /* and again, before they go */
    bench_check(job, memo_close(job->space), "memo_close");
    _exit(0);
}

/* ---- in the parent --------------------------------------------------------------------------------------- */

struct crew {
    pid_t pid[BENCH_PROCESSES_MAX];
    unsigned count;
    uint64_t deadline;
};

static void job_begin(struct bench_job *job, const struct bench_subject *s, const bench_workload_t *w,
                      struct bench_arena *arena, unsigned role)
{
    memset(job, 0, sizeof *job);
    job->workload = w;
    job->arena = arena;
    job->slot = &arena->slot[role];
    job->tag = s->tag;
    job->role = role;
    job->random = UINT64_C(0x6d656d6f) + role;
    job->keep_every = 1;
}

static void crew_kill(struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++)
        if (crew->pid[i] > 0) {
            (void)kill(crew->pid[i], SIGKILL);
            (void)waitpid(crew->pid[i], NULL, 0);
            crew->pid[i] = 0;
        }
}

static bool crew_failed(struct crew *crew, struct bench_subject *s, const struct bench_slot *slot, int status)
{
    if (slot->text[0])
        snprintf(s->why, sizeof s->why, "%s", slot->text);
    else if (WIFSIGNALED(status))
        snprintf(s->why, sizeof s->why, "a process died of signal %d", WTERMSIG(status));
    else
        snprintf(s->why, sizeof s->why, "a process ended with status %d", WEXITSTATUS(status));
    s->unsupported = slot->code == MEMO_ENOTSUP;
    crew_kill(crew);
    return false;
}

/* Reaps who has ended. False, with everyone ended, when somebody failed. */
static bool crew_look(struct crew *crew, struct bench_subject *s, const struct bench_arena *arena)
{
    int status;

    for (unsigned i = 0; i < crew->count; i++) {
        if (crew->pid[i] <= 0 || waitpid(crew->pid[i], &status, WNOHANG) != crew->pid[i])
            continue;
        crew->pid[i] = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            return crew_failed(crew, s, &arena->slot[i], status);
    }
    if (bench_interrupted || bench_now() > crew->deadline) {
        snprintf(s->why, sizeof s->why, bench_interrupted ? "interrupted" : "wedged: not done within %d s",
                 (int)(WEDGED_AFTER_NS / UINT64_C(1000000000)));
        crew_kill(crew);
        return false;
    }
    return true;
}

static bool crew_start(struct crew *crew, struct bench_subject *s, const bench_workload_t *w,
                       struct bench_arena *arena, const struct bench_plan *plan)
{
    pid_t parent = getpid();

    crew->count = 0;
    crew->deadline = bench_now() + WEDGED_AFTER_NS;
    memset((void *)arena, 0, offsetof(struct bench_arena, slot));
    fflush(NULL);
    for (unsigned role = 0; role < w->processes; role++) {
        struct bench_job job;
        memset(&arena->slot[role], 0, offsetof(struct bench_slot, sample));
        job_begin(&job, s, w, arena, role);
        pid_t pid = fork();
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() == parent)
                child(&job, s, plan);
            _exit(1);
        }
        if (pid < 0) {
            snprintf(s->why, sizeof s->why, "fork: %s", strerror(errno));
            crew_kill(crew);
            return false;
        }
        crew->pid[crew->count++] = pid;
    }
    return true;
}

static bool crew_meet(struct crew *crew, struct bench_subject *s, struct bench_arena *arena)
{
    const struct timespec limit = {0, LOOK_EVERY_NS};
    uint32_t arrived;

    while ((arrived = atomic_load(&arena->arrived)) < crew->count) {
        futex_wait(&arena->arrived, arrived, &limit);
        if (!crew_look(crew, s, arena))
            return false;
    }
    return true;
}

static void crew_release(struct bench_arena *arena)
{
    atomic_store(&arena->arrived, 0);
    atomic_fetch_add(&arena->phase, 1);
    bench_wake(&arena->phase);
}

static bool crew_end(struct crew *crew, struct bench_subject *s, const struct bench_arena *arena)
{
    const struct timespec pause = {0, 200 * 1000};
    bool left = true;

    while (left) {
        if (!crew_look(crew, s, arena))
            return false;
        left = false;
        for (unsigned i = 0; i < crew->count; i++)
            left = left || crew->pid[i] > 0;
        if (left)
            (void)nanosleep(&pause, NULL);
    }
    return true;
}

static void counts_subtract(memo_stat_t *after, const memo_stat_t *before)
{
    after->puts -= before->puts;
    after->takes -= before->takes;
    after->copies -= before->copies;
    after->slot_messages -= before->slot_messages;
    after->lock_waits -= before->lock_waits;
    after->parks -= before->parks;
    after->wakes -= before->wakes;
    after->messages -= before->messages;
    after->strict_phases -= before->strict_phases;
}

static bool samples_keep(struct bench_subject *s, const struct bench_slot *slot)
{
    if (s->samples + slot->samples > s->samples_room) {
        size_t room = (s->samples + slot->samples) * 2;
        double *more = realloc(s->sample, room * sizeof *more);
        if (!more) {
            snprintf(s->why, sizeof s->why, "no memory for samples");
            return false;
        }
        s->sample = more;
        s->samples_room = room;
    }
    if (slot->samples == 0) /* nor need there be a place for them */
        return true;
    memcpy(s->sample + s->samples, slot->sample, slot->samples * sizeof *slot->sample);
    s->samples += slot->samples;
    return true;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Adds up what the processes measured. `keep`: the samples count. */
static bool gather(struct bench_subject *s, const bench_workload_t *w, const struct bench_arena *arena,
                   struct bench_round *round, bool keep)
{
    uint64_t start = UINT64_MAX, end = 0;
    size_t first = s->samples;

    for (unsigned i = 0; i < w->processes; i++) {
        const struct bench_slot *slot = &arena->slot[i];
        start = slot->start < start ? slot->start : start;
        end = slot->end > end ? slot->end : end;
        round->ops += slot->ops;
        if (!samples_keep(s, slot))
            return false;
    }
    if (round->ops == 0 || s->samples == first) {
        snprintf(s->why, sizeof s->why, "nothing was measured");
        return false;
    }
    round->elapsed = end - start;
    round->per_s = (double)round->ops / (double)round->elapsed * 1e9;
    qsort(s->sample + first, s->samples - first, sizeof *s->sample, ascending);
    round->ns = w->wall ? (double)round->elapsed / (double)round->ops : s->sample[(first + s->samples) / 2];
    if (!keep)
        s->samples = first;
    return true;
}

static bool run_round(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena,
                      const struct bench_plan *plan, struct bench_round *round, bool keep)
{
    struct crew crew;
    memo_stat_t before;

    memset(round, 0, sizeof *round);
    if (!crew_start(&crew, s, w, arena, plan) || !crew_meet(&crew, s, arena))
        return false;
    round->counted = memo_stat(s->space, &before, sizeof before) == MEMO_OK;
    crew_release(arena);
    if (!crew_meet(&crew, s, arena))
        return false;
    round->counted = round->counted && memo_stat(s->space, &round->counts, sizeof round->counts) == MEMO_OK;
    counts_subtract(&round->counts, &before);
    crew_release(arena);
    return crew_end(&crew, s, arena) && gather(s, w, arena, round, keep);
}

bool bench_round(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena,
                 const struct bench_plan *plan)
{
    if (!run_round(s, w, arena, plan, &s->round[s->rounds], true))
        return false;
    s->rounds++;
    return true;
}

/* Rounds that grow until one takes long enough to know how many operations the real ones shall have. */
static bool calibrate(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena,
                      const struct bench_plan *plan)
{
    uint64_t most = w->max_ops ? w->max_ops : UINT64_C(1) << 40;
    struct bench_round round;

    s->ops = (uint64_t)w->batch * w->processes * 2;
    for (;;) {
        if (!run_round(s, w, arena, plan, &round, false))
            return false;
        if (round.elapsed >= plan->round_ns / 8 || s->ops >= most)
            break;
        s->ops *= 4;
    }
    double scaled = (double)s->ops * (double)plan->round_ns / (double)round.elapsed;
    if (scaled < (double)w->batch * w->processes)
        scaled = (double)w->batch * w->processes;
    s->ops = scaled < (double)most ? (uint64_t)scaled : most;
    return true;
}

/* In a child, so that a fault of the library is a failed workload rather than the end of the benchmark. */
static bool run_once(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena,
                     void (*step)(struct bench_job *))
{
    struct crew crew = {.count = 1, .deadline = bench_now() + WEDGED_AFTER_NS};
    struct bench_job job;

    memset(&arena->slot[0], 0, offsetof(struct bench_slot, sample));
    job_begin(&job, s, w, arena, 0);
    fflush(NULL);
    crew.pid[0] = fork();
    if (crew.pid[0] == 0) {
        bench_check(&job, memo_open(&job.space, s->opened), "memo_open");
        step(&job);
        bench_check(&job, memo_close(job.space), "memo_close");
        _exit(0);
    }
    if (crew.pid[0] < 0) {
        snprintf(s->why, sizeof s->why, "fork: %s", strerror(errno));
        return false;
    }
    return crew_end(&crew, s, arena);
}

static bool cannot(struct bench_subject *s, const char *why)
{
    snprintf(s->why, sizeof s->why, "%s", why);
    s->unsupported = true;
    return false;
}

bool bench_prepare(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena,
                   const struct bench_plan *plan)
{
    s->round = calloc(plan->rounds, sizeof *s->round);
    if (!s->round)
        return cannot(s, "no memory");
    if (w->pin == BENCH_PIN_APART && CPU_COUNT(plan->cpus) < 2)
        return cannot(s, "needs two CPUs");
    int rc = memo_open(&s->space, s->opened);
    if (rc != MEMO_OK) {
        snprintf(s->why, sizeof s->why, "memo_open %s: %s", s->opened, memo_errmsg());
        s->unsupported = rc == MEMO_ENOTSUP;
        return false;
    }
    return (!w->fill || run_once(s, w, arena, w->fill)) && calibrate(s, w, arena, plan);
}

void bench_finish(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena)
{
    if (s->space && !s->fresh && w->empty)
        (void)run_once(s, w, arena, w->empty);
    if (s->space)
        (void)memo_close(s->space);
    if (s->fresh)
        (void)memo_unlink(s->opened);
    s->space = NULL;
    free(s->round);
    free(s->sample);
}
