/*
 * bench_run.c - see bench_run.h.
 */
#include "bench/bench_run.h"
#include "bench/bench_crew.h"
#include "bench/bench_ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

volatile sig_atomic_t bench_interrupted;

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
    struct bench_crew crew;
    memo_stat_t before;

    memset(round, 0, sizeof *round);
    if (!bench_crew_start(&crew, s, w, arena, plan, NULL) || !bench_crew_meet(&crew))
        return false;
    round->counted = memo_stat(s->space, &before, sizeof before) == MEMO_OK;
    bench_crew_release(&crew);
    if (!bench_crew_meet(&crew))
        return false;
    round->counted = round->counted && memo_stat(s->space, &round->counts, sizeof round->counts) == MEMO_OK;
    counts_subtract(&round->counts, &before);
    bench_crew_release(&crew);
    return bench_crew_end(&crew) && gather(s, w, arena, round, keep);
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

static bool run_once(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena,
                     const struct bench_plan *plan, void (*step)(struct bench_job *))
{
    struct bench_crew crew;

    return bench_crew_start(&crew, s, w, arena, plan, step) && bench_crew_end(&crew);
}

static bool cannot(struct bench_subject *s, const char *why)
{
    snprintf(s->why, sizeof s->why, "%s", why);
    s->unsupported = true;
    return false;
}

static bool open_space(struct bench_subject *s)
{
    int rc = memo_open(&s->space, s->opened);

    if (rc == MEMO_OK)
        return true;
    snprintf(s->why, sizeof s->why, "memo_open %s: %s", s->opened, memo_errmsg());
    s->unsupported = rc == MEMO_ENOTSUP;
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
    if (s->ranks && w->processes > bench_ranks_workers()) {
        snprintf(s->why, sizeof s->why, "needs %u clients, of which there are %u", w->processes + 1,
                 bench_ranks_workers() + 1);
        s->unsupported = true;
        return false;
    }
    return (s->ranks || open_space(s)) && (!w->fill || run_once(s, w, arena, plan, w->fill)) &&
           calibrate(s, w, arena, plan);
}

void bench_finish(struct bench_subject *s, const bench_workload_t *w, struct bench_arena *arena,
                  const struct bench_plan *plan)
{
    if (s->space && !s->fresh && w->empty && !(s->ranks && bench_ranks_broken()))
        (void)run_once(s, w, arena, plan, w->empty);
    if (s->space && !s->ranks)
        (void)memo_close(s->space);
    if (s->fresh)
        (void)memo_unlink(s->opened);
    s->space = NULL;
    free(s->round);
    free(s->sample);
}
