/*
 * patience.c - see patience.h. The figures are those that did best in bench-mpi on two CPUs.
 *
 * How long a yield takes tells whether somebody else wanted the CPU. Nobody: then it may be kept, and looking costs
 * nothing. Somebody of ours: he may be the one whose answer it takes, or who is to put what we wait for. For
 * milliseconds: somebody who computes, and the system makes who yields wait for his turn much longer than who
 * sleeps, so it is not done again for a while.
 *
 * When both sides sleep too early they do so for ever after, each waiting for the other to be woken: so looking is
 * tried now and then even where it does not pay. And when many take turns on few CPUs, who always finds an answer
 * would keep his CPU for all of his time slice, while others wait in the middle of an operation: so nobody stays
 * awake for long without sleeping once, where others want the CPU.
 */
#include "libmemo/wire/patience.h"

#include <sched.h>

#include "libmemo/node/wait.h"

#define LOOK_NS 60000       /* longer than waking takes */
#define GLANCES 32          /* between looks at the CPU of who is to answer */
#define ROUNDS 4            /* of them, between yields */
#define AWAKE_NS 1000000    /* at a stretch */
#define YIELDS 20           /* where looking does not pay */
#define YIELDS_SHARED 2     /* and where only sleeping gives the CPU to who is to answer */
#define SHARED_TRIAL 8      /* but now and then both want to run, so that the system sees that and parts them */
#define SWITCH_NS 1200      /* a yield that took longer gave the CPU to somebody */
#define LONG_NS 50000       /* to somebody who computes: to wait for him once is enough */
#define STRANGER_NS 2000000 /* and not one of ours, who sleep more often */
#define STRANGER_WAITS 32   /* in which the CPU is not given to him again but by sleeping */
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

/* Gives the CPU away once; answers for how long. */
static int64_t yield_once(patience_t *p)
{
    int64_t began = wait_now(), took;

    sched_yield();
    took = wait_now() - began;
    if (took > STRANGER_NS)
        p->strangers = STRANGER_WAITS;
    return took;
}

static void learn(patience_t *p, bool hit)
{
    if (hit)
        p->score += p->score < SCORE_MOST;
    else
        p->score = p->score > SCORE_MISS ? p->score - SCORE_MISS : 0;
}

/* A hit while nobody else wanted the CPU is one that looking would have had. */
static bool yield(patience_t *p, bool (*ready)(void *arg), void *arg, int times)
{
    int64_t took = 0;

    while (times-- > 0 && took < LONG_NS) {
        took = yield_once(p);
        if (ready(arg)) {
            if (took < SWITCH_NS)
                learn(p, true);
            return true;
        }
    }
    return false;
}

typedef enum looked { LOOKED_HIT, LOOKED_MISS, LOOKED_CROWD } looked_t;

/* Until somebody else wants the CPU: then the rest is for yielding. */
static looked_t look(patience_t *p, self_t *s, party_id_t with, uint32_t cpu, bool (*ready)(void *arg), void *arg)
{
    int64_t end = wait_now() + LOOK_NS;
    int i;

    do {
        for (i = 0; i < GLANCES * ROUNDS; i++) {
            if (ready(arg))
                return LOOKED_HIT;
            wait_pause();
            if (i % GLANCES == 0 && shares_cpu(s, with, cpu))
                return LOOKED_CROWD;
        }
        if (yield_once(p) > SWITCH_NS)
            return LOOKED_CROWD;
    } while (wait_now() < end);
    return LOOKED_MISS;
}

static bool look_as_it_pays(patience_t *p, self_t *s, patience_with_t with, bool (*ready)(void *arg), void *arg)
{
    uint32_t cpu = tell_cpu(s);
    looked_t looked = LOOKED_CROWD;

    if (s->node->cpus < 2 || shares_cpu(s, with.mailbox, cpu))
        return yield(p, ready, arg, ++p->shared % SHARED_TRIAL == 0 ? YIELDS : YIELDS_SHARED);
    if (p->score > 0 || p->naps >= NAPS_TRIAL) {
        p->naps = 0;
        if (!with.asleep || yield_once(p) <= SWITCH_NS)
            looked = look(p, s, with.mailbox, cpu, ready, arg);
        learn(p, looked == LOOKED_HIT);
    }
    if (looked != LOOKED_CROWD)
        return looked == LOOKED_HIT;
    if (ready(arg) || yield(p, ready, arg, YIELDS))
        return true;
    p->naps++;
    return false;
}

/* For longer than AWAKE_NS only while nobody else wants the CPU. */
static bool stays_awake(patience_t *p)
{
    int64_t now = wait_now();

    if (now - p->awake_ns < AWAKE_NS)
        return true;
    if (yield_once(p) > SWITCH_NS)
        return false;
    p->awake_ns = now;
    return true;
}

bool patience_look(patience_t *p, self_t *s, patience_with_t with, bool (*ready)(void *arg), void *arg)
{
    if (ready(arg))
        return true;
    if (p->strangers > 0) {
        p->strangers--;
        tell_cpu(s);
        return false;
    }
    return (stays_awake(p) && look_as_it_pays(p, s, with, ready, arg)) || ready(arg);
}

void patience_slept(patience_t *p)
{
    p->awake_ns = wait_now();
}
