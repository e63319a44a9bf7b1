/*
 * lock.h - locks in a region, that say who holds them and survive his death.
 *
 * The word is the owner's party id. Taking is one compare-and-swap, releasing one store. Whoever waits spins,
 * yields, then sleeps with a time limit, and looks meanwhile whether the owner still lives: the lock of a dead
 * owner is taken over once the owner's mutation was undone or completed (repair.h).
 *
 * Order: bucket (by index), section, hand, heap. A party's repair lock comes before them all, but the part of a
 * repair that waiting for a lock may run takes no other lock.
 */
#ifndef LOCK_H
#define LOCK_H

#include "libmemo/node/node.h"

void lock_take_slow(self_t *s, lock_t *lock);
void lock_wake(lock_t *lock);

static inline bool lock_try(self_t *s, lock_t *lock)
{
    uint32_t free_word = 0;
    /* Pairs with the release in lock_release. */
    return atomic_compare_exchange_strong_explicit(&lock->owner, &free_word, s->id, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void lock_take(self_t *s, lock_t *lock)
{
    if (!lock_try(s, lock))
        lock_take_slow(s, lock);
}

/* Not while a mutation is open: its stores would be seen, and might be undone. */
static inline void lock_release(lock_t *lock)
{
    atomic_store_explicit(&lock->owner, 0, memory_order_release);
    /* A waiter that comes just now is missed at most until its time limit. */
    if (atomic_load_explicit(&lock->waiters, memory_order_relaxed) != 0)
        lock_wake(lock);
}

static inline bool lock_mine(const self_t *s, const lock_t *lock)
{
    return atomic_load_explicit(&lock->owner, memory_order_relaxed) == s->id;
}

#endif
