/*
 * lock.c - waiting for a lock (lock.h).
 */
#include "libmemo/node/lock.h"

#include <limits.h>
#include <sched.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"

#define LOCK_SPINS 60
#define LOCK_YIELDS 30
#define LOCK_SLEEP_NS 500000

/* Takes the lock over from an owner that is dead and whose mutation is closed. */
static bool take_over(self_t *s, lock_t *lock, uint32_t owner)
{
    return atomic_compare_exchange_strong_explicit(&lock->owner, &owner, s->id, memory_order_acquire,
                                                   memory_order_relaxed);
}

static bool spin(self_t *s, lock_t *lock)
{
    int i;

    for (i = 0; i < (s->node->cpus > 1 ? LOCK_SPINS : 0); i++) {
        if (atomic_load_explicit(&lock->owner, memory_order_relaxed) == 0 && lock_try(s, lock))
            return true;
        wait_pause();
    }
    for (i = 0; i < LOCK_YIELDS; i++) {
        if (atomic_load_explicit(&lock->owner, memory_order_relaxed) == 0 && lock_try(s, lock))
            return true;
        sched_yield();
    }
    return lock_try(s, lock);
}

void lock_take_slow(self_t *s, lock_t *lock)
{
    bool slept = false;

    node_count_one(&s->body->counts.lock_waits);
    if (spin(s, lock))
        return;
    while (!lock_try(s, lock)) {
        uint32_t owner = atomic_load_explicit(&lock->owner, memory_order_relaxed);

        if (owner == 0)
            continue;
        if (repair_void(s, owner) && take_over(s, lock, owner))
            break;
        atomic_store(&lock->waiters, 1);
        slept = true;
        if (atomic_load(&lock->owner) == owner)
            wait_sleep(&lock->owner, owner, LOCK_SLEEP_NS);
    }
    /* Who slept was rung for alone, and others may sleep on: our release rings for the next. */
    if (slept)
        atomic_store_explicit(&lock->waiters, 1, memory_order_relaxed);
}

void lock_wake(lock_t *lock)
{
    atomic_store_explicit(&lock->waiters, 0, memory_order_relaxed);
    wait_wake(&lock->owner, 1);
}
