/*
 * scan.c - reading a slot list without its lock, sleeping until there is something to read, and taking back what a
 * dead receiver did not read (slot.h).
 */
#include <limits.h>

#include "libmemo/memo.h"
#include "libmemo/node/section.h"
#include "libmemo/node/wait.h"

/* Leaves a spent slot to the lock's holder, or frees it ourselves. */
static void section_leave(self_t *s, section_t *section, slot_t *slot, uint32_t index, uint32_t generation)
{
    if (!lock_try(s, &section->lock)) {
        atomic_store_explicit(&section->spent, 1, memory_order_seq_cst);
        if (!lock_try(s, &section->lock))
            return;
    }
    if (atomic_load_explicit(&slot->generation, memory_order_relaxed) == generation && slot_spent(slot))
        section_unlink(s, section, slot, index);
    section_unlock(s, section);
}

typedef struct scan {
    void (*accept)(self_t *s, const slot_message_t *message, void *arg);
    void *arg;
    section_t *section;
    uint32_t sender;
    bool any;
} scan_t;

static bool addressed_now(const self_t *s, const slot_t *slot)
{
    uint32_t w = s->index / 64;

    return (atomic_load_explicit(&slot->words, memory_order_acquire) >> w & 1) != 0 &&
           (atomic_load_explicit(&slot->mask[w].execution, memory_order_acquire) >> s->index % 64 & 1) != 0;
}

/* Reads the slot if it holds something for us that is published as `generation`. */
static void read_slot(self_t *s, scan_t *scan, slot_t *slot, uint32_t index, uint32_t generation)
{
    slot_message_t message;
    uint32_t w = s->index / 64;

    if (!addressed_now(s, slot))
        return;
    message.kind = atomic_load_explicit(&slot->kind, memory_order_relaxed);
    message.memo = atomic_load_explicit(&slot->memo, memory_order_relaxed);
    message.request = atomic_load_explicit(&slot->request, memory_order_relaxed);
    message.sequence = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
    message.section = scan->sender;
    atomic_thread_fence(memory_order_acquire);
    /* Unchanged, the bit was set in this publication, and holds the slot until we clear it. */
    if (atomic_load_explicit(&slot->generation, memory_order_relaxed) != generation)
        return;
    scan->accept(s, &message, scan->arg);
    scan->any = true;
    atomic_fetch_and_explicit(&slot->mask[w].execution, ~(UINT64_C(1) << s->index % 64), memory_order_seq_cst);
    if (slot_spent(slot))
        section_leave(s, scan->section, slot, index, generation);
}

typedef struct step {
    uint32_t index; /* + 1 */
    uint32_t generation;
    uint64_t sequence;
} step_t;

static bool step_load(const self_t *s, section_t *section, uint32_t index, step_t *step)
{
    slot_t *slot = section_slot(s, section, index - 1);

    step->index = index;
    step->generation = atomic_load_explicit(&slot->generation, memory_order_acquire);
    step->sequence = atomic_load_explicit(&slot->sequence, memory_order_acquire);
    return (step->generation & 1) != 0;
}

/* The section from its first slot to its end; false: derailed, start over. */
static bool scan_once(self_t *s, scan_t *scan)
{
    section_t *section = scan->section;
    uint32_t first = atomic_load_explicit(&section->first, memory_order_acquire);
    step_t at, next;

    if (first == 0)
        return true;
    if (!step_load(s, section, first, &at) || atomic_load_explicit(&section->first, memory_order_acquire) != first)
        return false;
    for (;;) {
        slot_t *slot = section_slot(s, section, at.index - 1);
        uint32_t link;
        bool published;

        link = atomic_load_explicit(&slot->next, memory_order_acquire);
        read_slot(s, scan, slot, at.index - 1, at.generation);
        /* What we have read ourselves may be unlinked by now; link was loaded while it was in the list. */
        published = step_load(s, section, link, &next);
        if (atomic_load_explicit(&slot->generation, memory_order_acquire) != at.generation ||
            atomic_load_explicit(&slot->next, memory_order_acquire) != link)
            return false;
        if (next.sequence <= at.sequence)
            return true;
        if (!published)
            return false;
        at = next;
    }
}

void slot_fetch_scan(const self_t *s, uint32_t sender)
{
    section_t *section = section_of(s, sender);

    if (section == NULL)
        return;
    node_fetch(section);
    node_fetch(section_slot(s, section, 0));
}

bool slot_scan(self_t *s, void (*accept)(self_t *s, const slot_message_t *message, void *arg), void *arg)
{
    scan_t scan = {.accept = accept, .arg = arg};
    uint32_t used;
    uint64_t bits;

    if (atomic_load_explicit(&s->party->attention, memory_order_relaxed) == 0)
        return false;
    /* As section_enter; the exchange is the fence. */
    atomic_store_explicit(&s->party->scanning, 1, memory_order_relaxed);
    /* First clear, then scan: what comes in between sets it again. */
    bits = atomic_exchange_explicit(&s->party->attention, 0, memory_order_seq_cst);
    used = atomic_load_explicit(&s->root->parties_used, memory_order_acquire);
    for (; bits != 0; bits &= bits - 1)
        for (scan.sender = (uint32_t)__builtin_ctzll(bits); scan.sender < used; scan.sender += 64) {
            scan.section = section_of(s, scan.sender);
            if (scan.section != NULL)
                while (!scan_once(s, &scan))
                    wait_pause();
        }
    section_exit(s);
    return scan.any;
}

/* ---- sleeping -------------------------------------------------------------------------------------------- */

void slot_ring(self_t *s, uint32_t receiver)
{
    party_t *p = node_party(s, receiver);

    atomic_fetch_add_explicit(&p->bell, 1, memory_order_seq_cst);
    if (atomic_exchange_explicit(&p->parked, 0, memory_order_seq_cst) != 0) {
        wait_wake(&p->bell, INT_MAX);
        node_count_one(&s->body->counts.wakes);
    }
}

void slot_wake(self_t *s)
{
    while (s->to_wake_count > 0)
        slot_ring(s, s->to_wake[--s->to_wake_count]);
}

void slot_sleep(self_t *s, int64_t deadline, bool (*ready)(self_t *s, void *arg), void *arg)
{
    party_t *p = s->party;
    uint32_t seen = atomic_load_explicit(&p->bell, memory_order_seq_cst);
    int64_t left = WAIT_TICK_NS;

    atomic_store_explicit(&p->parked, 1, memory_order_seq_cst);
    if (slot_attention(s) || (ready != NULL && ready(s, arg)))
        return;
    if (deadline != WAIT_FOREVER) {
        left = deadline - wait_now();
        if (left > WAIT_TICK_NS)
            left = WAIT_TICK_NS;
    }
    if (left > 0) {
        node_count_one(&s->body->counts.parks);
        wait_sleep(&p->bell, seen, left);
    }
}

/* ---- what a dead receiver did not read ------------------------------------------------------------------- */

static bool take_out(self_t *s, section_t *section, slot_t *slot, uint32_t index, uint32_t receiver,
                     struct memo **m)
{
    uint32_t w = receiver / 64;
    uint64_t bit = UINT64_C(1) << receiver % 64;

    if ((atomic_load(&slot->words) >> w & 1) == 0 || (atomic_load(&slot->mask[w].execution) & bit) == 0)
        return false;
    *m = NULL;
    if (atomic_load(&slot->kind) == SLOT_MEMO && atomic_load(&slot->memo) != 0) {
        struct memo *memo = node_at(s, atomic_load(&slot->memo));
        /* With a holder it had been accepted by the dead: it is in his hand. */
        if (atomic_load(&memo->holder) == 0) {
            /* If we die before the bit is cleared, what we have taken may be anywhere when it is looked at again.
             */
            log_a64(s, &slot->memo, 0);
            hand_take(s, memo);
            log_commit(s);
            hand_done(s);
            *m = memo;
        }
    }
    atomic_fetch_and(&slot->mask[w].execution, ~bit);
    if (slot_spent(slot))
        section_unlink(s, section, slot, index);
    return true;
}

static bool take_out_of(self_t *s, section_t *section, uint32_t receiver, struct memo **m)
{
    uint32_t i;
    bool found = false;

    /* Waits for a post under way: nobody prepares a message for the receiver after this. */
    lock_take(s, &section->lock);
    for (i = 0; i < section->slots && !found; i++) {
        slot_t *slot = section_slot(s, section, i);
        if ((atomic_load(&slot->generation) & 1) != 0)
            found = take_out(s, section, slot, i, receiver, m);
    }
    section_unlock(s, section);
    return found;
}

bool slot_take_back(self_t *s, uint32_t receiver, struct memo **m)
{
    uint32_t used = atomic_load(&s->root->parties_used), i;
    bool found = false;

    section_enter(s);
    for (i = 0; i < used && !found; i++) {
        section_t *section = section_of(s, i);
        if (section != NULL)
            found = take_out_of(s, section, receiver, m);
    }
    section_exit(s);
    return found;
}
