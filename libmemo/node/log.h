/*
 * log.h - the log of a party: how mutations survive the death of whoever makes them.
 *
 * Invariant: whatever instruction a process dies at, undoing its parties' logs, newest entry first, puts every
 * shared structure into the state before the mutation; or the mutation was committed, and is complete.
 *
 * A mutation stores only through log_u64 and its kin (to what locks it holds protect, or to its own body), then
 * commits with one store. The entry is written before `intent` counts it, and counted before the store is made.
 * Only the order within the dying thread matters: its death is a precise point of its program, and the kernel says
 * that it is dead only after everything before that point can be seen. So compiler barriers are enough.
 *
 * Memory that nobody can reach until the commit needs no log. Locks are released after the commit. Calls to the
 * heap, and posts, are mutations of their own: they must not be made while one is open (heap.h, slot.h).
 */
#ifndef LOG_H
#define LOG_H

#include "libmemo/node/node.h"

enum { LOG_U64 = 0, LOG_U32 = 1, LOG_CLAIM = 2, LOG_HOW = 3 };

static inline log_entry_t *log_entry(const self_t *s, body_t *b, uint32_t i)
{
    return __builtin_expect(i < LOG_ENTRIES, 1) ? &b->log[i]
                                                : (log_entry_t *)node_at(s, b->log_more) + (i - LOG_ENTRIES);
}

static inline void log_note(self_t *s, const void *field, unsigned how, uint64_t old)
{
    uint32_t n = s->logged;
    log_entry_t *e = log_entry(s, s->body, n);

    e->where = node_offset(s, field) | how;
    e->old = old;
    s->logged = n + 1;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&s->body->intent, n + 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void log_u64(self_t *s, uint64_t *field, uint64_t value)
{
    log_note(s, field, LOG_U64, *field);
    __atomic_store_n(field, value, __ATOMIC_RELAXED); /* as one store: figures are read without locks */
}

static inline void log_u32(self_t *s, uint32_t *field, uint32_t value)
{
    log_note(s, field, LOG_U32, *field);
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

/* The same for fields that are read without the lock that protects their writing. */
static inline void log_a64(self_t *s, _Atomic uint64_t *field, uint64_t value)
{
    log_note(s, (const void *)field, LOG_U64, atomic_load_explicit(field, memory_order_relaxed));
    atomic_store_explicit(field, value, memory_order_release);
}

static inline void log_a32(self_t *s, _Atomic uint32_t *field, uint32_t value)
{
    log_note(s, (const void *)field, LOG_U32, atomic_load_explicit(field, memory_order_relaxed));
    atomic_store_explicit(field, value, memory_order_release);
}

/*
 * Turns *word from `from` to `to`, a value that names this party, or leaves it and answers false. Undone only if
 * the word still has the claimed value: who fails to claim has changed nothing.
 */
bool log_claim(self_t *s, _Atomic uint64_t *word, uint64_t from, uint64_t to);

/* Ends the mutation: it has happened. */
static inline void log_commit(self_t *s)
{
    s->logged = 0;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&s->body->intent, 0, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/* The same, and from here on the posts of the chain that begins with slot index `slot` will happen (slot.h). */
static inline void log_commit_posting(self_t *s, uint32_t slot)
{
    s->logged = 0;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&s->body->intent, (uint64_t)(slot + 1) << 32, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/* Undoes what a body's log says, as long as it is not committed: the mutation has not happened. Used by the party
 * itself when it finds that it cannot go on, and by repairs. */
void log_undo(self_t *s, body_t *b, party_id_t owner);

/* Undoes one's own open mutation. */
void log_abort(self_t *s);

/* Makes room for a mutation of `entries` stores. Outside a mutation. MEMO_OK or MEMO_EFULL. */
int log_reserve(self_t *s, uint64_t entries);

/* Gives such room back. */
void log_trim(self_t *s);

#endif
