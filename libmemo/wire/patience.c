/*
 * patience.c - see patience.h. The figures are those that did best in bench-mpi on two CPUs.
 *
 * When both sides sleep too early they do so for ever after, each waiting for the other to be woken: so looking is
 * tried now and then even where it does not pay. And when many take turns on few CPUs, who always finds an answer
 * would keep his CPU for all of his time slice, while others wait in the middle of an operation: so nobody stays
 * awake for long without sleeping once.
 */
#include "libmemo/wire/patience.h"

#include <sched.h>

#include "libmemo/node/wait.h"

#define LOOK_NS 60000    /* longer than waking takes */
#define GLANCES 32       /* between looks at the clock */
#define AWAKE_NS 1000000 /* at a stretch */
#define YIELDS 20        /* where looking does not pay */
#define YIELDS_SHARED 2  /* and where only sleeping gives the CPU to who is to answer */
#define SHARED_TRIAL 8   /* but now and then both want to run, so that the system sees that and parts them */
#define NAPS_TRIAL 64
#define SCORE_MOST 8
#define SCORE_MISS 3 /* what a miss costs; a hit earns 1 */

/* The CPU that we are on, for others to see. */
static uint32_t tell_cpu(self_t *s)
{
    uint32_t cpu = (uint32_t)sched_getcpu() + 1;

    if (atomic_load_explicit(&s->party->cpu, memory_order_relaxed) != cpu)
        atomic_store_explicit(&s->party->cpu, cpu, memory_order_relaxed);
    return cpu;
}

static bool shares_cpu(const self_t *s, party_id_t with, uint32_t cpu)
{
    return with != 0 && atomic_load_explicit(&node_party(s, party_index(with))->cpu, memory_order_relaxed) == cpu;
}

static bool yield(bool (*ready)(void *arg), void *arg, int times)
{
    while (times-- > 0) {
        sched_yield();
        if (ready(arg))
            return true;
    }
    return false;
}

static bool look(self_t *s, party_id_t with, uint32_t cpu, bool (*ready)(void *arg), void *arg)
{
    int64_t end = wait_now() + LOOK_NS;
    int i;

    do {
        for (i = 0; i < GLANCES; i++) {
            if (ready(arg))
                return true;
            wait_pause();
        }
    } while (!shares_cpu(s, with, cpu) && wait_now() < end);
    return false;
}

static void learn(patience_t *p, bool hit)
{
    if (hit)
        p->score += p->score < SCORE_MOST;
    else
        p->score = p->score > SCORE_MISS ? p->score - SCORE_MISS : 0;
}

static bool look_as_it_pays(patience_t *p, self_t *s, patience_with_t with, bool (*ready)(void *arg), void *arg)
{
    uint32_t cpu = tell_cpu(s);
    bool hit;

    if (s->node->cpus < 2 || shares_cpu(s, with.mailbox, cpu))
        return yield(ready, arg, ++p->shared % SHARED_TRIAL == 0 ? YIELDS : YIELDS_SHARED);
    if ((p->score > 0 && !with.asleep) || p->naps >= NAPS_TRIAL) {
        p->naps = 0;
        hit = look(s, with.mailbox, cpu, ready, arg);
        learn(p, hit);
        return hit;
    }
    hit = yield(ready, arg, YIELDS);
    if (hit)
        learn(p, true);
    else
        p->naps++;
    return hit;
}

bool patience_look(patience_t *p, self_t *s, patience_with_t with, bool (*ready)(void *arg), void *arg)
{
    if (ready(arg))
        return true;
    if (wait_now() - p->awake_ns < AWAKE_NS && look_as_it_pays(p, s, with, ready, arg))
        return true;
    patience_slept(p);
    return false;
}

void patience_slept(patience_t *p)
{
    p->awake_ns = wait_now();
}
