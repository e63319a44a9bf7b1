/*
 * section.h - what slot.c and scan.c share of a section.
 */
#ifndef SECTION_H
#define SECTION_H

#include "libmemo/node/slot.h"

#define SCRATCH_SECTION SLOT_SCRATCH

section_t *section_of(const self_t *s, uint32_t index);
slot_t *section_slot(const self_t *s, section_t *section, uint32_t index);
bool slot_spent(const slot_t *slot);
void section_unlink(self_t *s, section_t *section, slot_t *slot, uint32_t index);

/* Between the two nobody frees a section. */
static inline void section_enter(self_t *s)
{
    /* Pairs with slot_reclaim: it takes the section away, then looks who scans; we scan, then look for sections. */
    atomic_store_explicit(&s->party->scanning, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* a sequentially consistent store would not hold back later loads */
}

static inline void section_exit(self_t *s)
{
    atomic_store_explicit(&s->party->scanning, 0, memory_order_release);
}

/* Unlocks it, after freeing the spent slots that others left to us. */
void section_unlock(self_t *s, section_t *section);

#endif
