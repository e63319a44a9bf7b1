/*
 * reclaim.c - giving sections back to the heap (slot.h).
 *
 * Scanners take no lock, so a section may be freed only when nobody can stand on its slots. It is taken away from
 * its party first, as an open mutation; then each party is seen, once, not to be scanning: whoever scans after that
 * finds no section. If somebody does not stop in time, the mutation is aborted, and the section stays for another
 * occasion.
 */
#include <sched.h>

#include "libmemo/node/section.h"

#define PATIENCE 50

static bool nobody_scans(const self_t *s)
{
    uint32_t used = atomic_load(&s->root->parties_used), i, patience = PATIENCE;

    for (i = 0; i < used; i++)
        while (i != s->index && atomic_load_explicit(&node_party(s, i)->scanning, memory_order_seq_cst) != 0) {
            if (patience-- == 0)
                return false;
            sched_yield();
        }
    return true;
}

void slot_discard(self_t *s, offset_t *at)
{
    section_t *section = *at != 0 ? node_at(s, *at) : NULL;
    uint32_t k;

    if (section != NULL && section->magic == SECTION_MAGIC) {
        for (k = 0; k < SECTION_EXTENTS; k++)
            heap_free(s, &section->extents[k]);
        section->magic = 0; /* the page may come back here with other contents behind this word */
    }
    heap_free(s, at);
}

static bool drained(self_t *s, section_t *section)
{
    lock_take(s, &section->lock);
    atomic_store(&section->spent, 1);
    section_unlock(s, section);
    return atomic_load(&section->length) == 0;
}

void slot_reclaim(self_t *s, uint32_t sender)
{
    offset_t *scratch = &s->body->scratch[SCRATCH_SECTION];
    party_t *p = node_party(s, sender);
    section_t *section = section_of(s, sender);

    if (section == NULL || !drained(s, section))
        return;
    log_u64(s, scratch, node_offset(s, section));
    log_a64(s, &p->section, 0);
    atomic_thread_fence(memory_order_seq_cst);
    if (!nobody_scans(s)) {
        log_abort(s);
        return;
    }
    log_commit(s);
    slot_discard(s, scratch);
}

void slot_reclaim_left(self_t *s)
{
    uint32_t used = atomic_load(&s->root->parties_used), i;

    for (i = 0; i < used; i++) {
        party_t *p = node_party(s, i);
        uint32_t none = 0;
        if (atomic_load(&p->client) != 0 || atomic_load(&p->section) == 0)
            continue;
        /* Nobody else may have the index meanwhile. */
        if (!atomic_compare_exchange_strong(&p->client, &none, s->node->client + 1))
            continue;
        slot_reclaim(s, i);
        atomic_store(&p->client, 0);
    }
}
