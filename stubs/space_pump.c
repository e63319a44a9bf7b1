/*
 * space_pump.c - waiting for messages: one thread sleeps on the mailbox's bell, the others on conditions (space.h).
 *
 * With peers on other nodes there is no bell: as long as calls are under way there, the pumper looks again after
 * pauses that grow with the time in which nothing came.
 */
#include <sched.h>
#include <time.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "stubs/space.h"

/* Other nodes are polled with hardly a pause for so long after anything moved, then with growing pauses. */
#define STILL_SHORT_NS 50000
#define YIELDS_BETWEEN_POLLS 3
#define PAUSE_LEAST_NS 20000
#define PAUSE_MOST_NS 1000000
#define STILL_LONG_NS 1000000000
#define PAUSE_LONG_NS 5000000

void pump(mpi_space_t *sp)
{
    carry_receive(sp);
    pendings_lost(sp);
    pendings_back(sp);
    requests_look_at_times(sp);
    part_tell(sp);
    slot_wake(sp->mailbox);
}

/* ---- threads that wait ------------------------------------------------------------------------------------- */

int pump_prepare(mpi_space_t *sp, thread_t *t)
{
    if (t->ready)
        return MEMO_OK;
    if (pthread_cond_init(&t->woken, &sp->monotonic) != 0)
        return memo_error(MEMO_ENOMEM, "no memory for the calling thread's state");
    t->ready = true;
    return MEMO_OK;
}

static void waiters_add(mpi_space_t *sp, thread_t *t)
{
    t->prev = NULL;
    t->next = sp->waiters;
    if (t->next != NULL)
        t->next->prev = t;
    sp->waiters = t;
    t->waits = true;
}

static void waiters_drop(mpi_space_t *sp, thread_t *t)
{
    if (t->next != NULL)
        t->next->prev = t->prev;
    if (t->prev != NULL)
        t->prev->next = t->next;
    else
        sp->waiters = t->next;
    t->waits = false;
}

void pump_ring(mpi_space_t *sp)
{
    if (sp->pumper == NULL)
        return;
    atomic_fetch_add(&sp->rings, 1);
    slot_ring(sp->mailbox, sp->mailbox->index);
}

void pump_wake(mpi_space_t *sp, thread_t *t)
{
    if (t == NULL)
        return;
    if (t == sp->pumper)
        pump_ring(sp);
    else if (t->waits)
        pthread_cond_signal(&t->woken);
}

void pump_wake_all(mpi_space_t *sp)
{
    thread_t *t;

    pump_ring(sp);
    for (t = sp->waiters; t != NULL; t = t->next)
        pthread_cond_signal(&t->woken);
}

void pump_pass_on(mpi_space_t *sp)
{
    if (sp->pumper == NULL && sp->waiters != NULL)
        pthread_cond_signal(&sp->waiters->woken);
}

static void wait_signalled(mpi_space_t *sp, thread_t *t, int64_t deadline)
{
    waiters_add(sp, t);
    if (deadline == WAIT_FOREVER)
        pthread_cond_wait(&t->woken, &sp->mutex);
    else {
        struct timespec at = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
        pthread_cond_timedwait(&t->woken, &sp->mutex, &at);
    }
    waiters_drop(sp, t);
}

/* ---- the pumper --------------------------------------------------------------------------------------------- */

typedef struct rings {
    mpi_space_t *sp;
    uint64_t seen;
} rings_t;

static bool rung(self_t *s, void *arg)
{
    const rings_t *r = arg;

    (void)s;
    return atomic_load(&r->sp->rings) != r->seen || atomic_load(&r->sp->quit);
}

/* There is something to see. */
static bool anything(void *arg)
{
    const rings_t *r = arg;
    const self_t *s = r->sp->mailbox;

    return atomic_load_explicit(&s->party->attention, memory_order_relaxed) != 0 || rung(NULL, arg);
}

/* Gives the CPU to who may be about to answer. */
static void yield_a_while(rings_t *r, int times)
{
    while (times-- > 0 && !anything(r))
        sched_yield();
}

static bool awaits_others(const mpi_space_t *sp)
{
    return sp->far != NULL && (sp->far_calls > 0 || sp->home != NULL || sp->far->ops->sending(sp->far));
}

static int64_t pause_after(int64_t still_ns)
{
    if (still_ns > STILL_LONG_NS)
        return PAUSE_LONG_NS;
    if (still_ns / 8 > PAUSE_MOST_NS)
        return PAUSE_MOST_NS;
    return still_ns / 8 > PAUSE_LEAST_NS ? still_ns / 8 : PAUSE_LEAST_NS;
}

/* Waits without the mutex: for the bell, the deadline, or as long as other nodes need not be looked at. Answers
 * whether it slept. */
static bool wait_alone(mpi_space_t *sp, rings_t *rings, patience_t *patience, patience_with_t asked,
                       int64_t deadline, int64_t still_ns)
{
    int64_t next;

    if (still_ns >= 0 && still_ns < STILL_SHORT_NS) {
        yield_a_while(rings, YIELDS_BETWEEN_POLLS);
        return false;
    }
    if (patience_look(patience, sp->mailbox, asked, anything, rings))
        return false;
    if (still_ns >= 0) {
        next = wait_now() + pause_after(still_ns);
        deadline = next < deadline ? next : deadline;
    }
    slot_sleep(sp->mailbox, deadline, rung, rings);
    patience_slept(patience);
    return true;
}

void pump_sleep(mpi_space_t *sp, thread_t *t, int64_t deadline)
{
    rings_t rings = {.sp = sp};
    patience_t *patience = &sp->patience[sp->asked_at_once];
    patience_with_t asked = sp->asked;
    int64_t still_ns;
    bool slept;

    if (sp->pumper != NULL) {
        wait_signalled(sp, t, deadline);
        return;
    }
    deadline = requests_deadline(sp, deadline);
    still_ns = awaits_others(sp) ? wait_now() - sp->moved_ns : -1;
    sp->pumper = t;
    rings.seen = atomic_load(&sp->rings);
    pthread_mutex_unlock(&sp->mutex);
    slept = wait_alone(sp, &rings, patience, asked, deadline, still_ns);
    pthread_mutex_lock(&sp->mutex);
    sp->pumper = NULL;
    if (slept)
        repair_look(sp->mailbox, WAIT_TICK_NS / 2);
    if (heap_pressed(sp->mailbox))
        carry_spare(sp); /* somebody found no memory */
    part_look(sp);
    pump(sp);
}
