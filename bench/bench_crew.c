/*
 * bench_crew.c - see bench_crew.h.
 */
#include "bench/bench_crew.h"
#include "bench/bench_ranks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_EVERY_NS (20 * 1000 * 1000)        /* after processes that died instead of meeting */
#define WEDGED_AFTER_NS (UINT64_C(60000000000)) /* a round takes well under a second */

/* ---- in a child -------------------------------------------------------------------------------------------- */

/* What is forked opens the space anew. A fault of the library is a failed workload, not the end of the benchmark.
 */
static void child(struct bench_job *job, const struct bench_subject *s, const struct bench_plan *plan,
                  void (*step)(struct bench_job *))
{
    bench_check(job, memo_open(&job->space, s->opened), "memo_open");
    if (step)
        step(job);
    else
        bench_share(job, s->ops, plan->cpus);
    bench_check(job, memo_close(job->space), "memo_close");
    _exit(0);
}

/* ---- what goes wrong --------------------------------------------------------------------------------------- */

static void crew_kill(struct bench_crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++)
        if (crew->pid[i] > 0) {
            (void)kill(crew->pid[i], SIGKILL);
            (void)waitpid(crew->pid[i], NULL, 0);
            crew->pid[i] = 0;
        }
    if (crew->subject->ranks)
        bench_ranks_break();
}

static bool failed(struct bench_crew *crew, const struct bench_slot *slot, int status)
{
    struct bench_subject *s = crew->subject;

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

/* Reaps who has ended. */
static bool look_at_children(struct bench_crew *crew)
{
    int status;

    for (unsigned i = 0; i < crew->count; i++) {
        if (crew->pid[i] <= 0 || waitpid(crew->pid[i], &status, WNOHANG) != crew->pid[i])
            continue;
        crew->pid[i] = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            return failed(crew, &crew->arena->slot[i], status);
    }
    return true;
}

/* Whoever dies among ranks takes the job along: there is nobody to reap. */
static bool look_at_ranks(struct bench_crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++)
        if (crew->arena->slot[i].text[0])
            return failed(crew, &crew->arena->slot[i], 0);
    return true;
}

static bool look(struct bench_crew *crew)
{
    struct bench_subject *s = crew->subject;

    if (!(s->ranks ? look_at_ranks(crew) : look_at_children(crew)))
        return false;
    if (!bench_interrupted && bench_now() <= crew->deadline)
        return true;
    snprintf(s->why, sizeof s->why, bench_interrupted ? "interrupted" : "wedged: not done within %d s",
             (int)(WEDGED_AFTER_NS / UINT64_C(1000000000)));
    crew_kill(crew);
    return false;
}

static bool start_failed(struct bench_crew *crew, const char *what, const char *why)
{
    snprintf(crew->subject->why, sizeof crew->subject->why, "%s: %s", what, why);
    crew_kill(crew);
    return false;
}

/* ---- a round ----------------------------------------------------------------------------------------------- */

static bool fork_all(struct bench_crew *crew, const bench_workload_t *w, const struct bench_plan *plan,
                     void (*step)(struct bench_job *))
{
    unsigned wanted = crew->count;
    pid_t parent = getpid();

    fflush(NULL);
    for (crew->count = 0; crew->count < wanted; crew->count++) {
        struct bench_job job;
        bench_job_begin(&job, w, crew->arena, crew->subject->tag, crew->count);
        pid_t pid = fork();
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() == parent)
                child(&job, crew->subject, plan, step);
            _exit(1);
        }
        if (pid < 0)
            return start_failed(crew, "fork", strerror(errno));
        crew->pid[crew->count] = pid;
    }
    return true;
}

bool bench_crew_start(struct bench_crew *crew, struct bench_subject *s, const bench_workload_t *w,
                      struct bench_arena *arena, const struct bench_plan *plan, void (*step)(struct bench_job *))
{
    memset(crew, 0, sizeof *crew);
    crew->subject = s;
    crew->arena = arena;
    crew->count = step ? 1 : w->processes;
    crew->deadline = bench_now() + WEDGED_AFTER_NS;
    if (s->ranks && bench_ranks_broken())
        return start_failed(crew, "not run", "the job is not to be used any more after what failed before");
    memset((void *)arena, 0, offsetof(struct bench_arena, slot));
    for (unsigned i = 0; i < crew->count; i++)
        memset(&arena->slot[i], 0, offsetof(struct bench_slot, sample));
    if (!s->ranks)
        return fork_all(crew, w, plan, step);
    bench_ranks_order(w, s->tag, s->ops, step);
    return true;
}

bool bench_crew_meet(struct bench_crew *crew)
{
    const struct timespec limit = {0, LOOK_EVERY_NS};
    uint32_t arrived;

    while ((arrived = atomic_load(&crew->arena->arrived)) < crew->count) {
        bench_wait_for(&crew->arena->arrived, arrived, &limit);
        if (!look(crew))
            return false;
    }
    return true;
}

void bench_crew_release(struct bench_crew *crew)
{
    atomic_store(&crew->arena->arrived, 0);
    atomic_fetch_add(&crew->arena->phase, 1);
    bench_wake(&crew->arena->phase);
}

static bool working(const struct bench_crew *crew)
{
    bool any = crew->subject->ranks && !bench_ranks_idle();

    for (unsigned i = 0; i < crew->count; i++)
        any = any || crew->pid[i] > 0;
    return any;
}

bool bench_crew_end(struct bench_crew *crew)
{
    const struct timespec pause = {0, 200 * 1000};

    for (;;) {
        if (!look(crew))
            return false;
        if (!working(crew))
            return true;
        (void)nanosleep(&pause, NULL);
    }
}
