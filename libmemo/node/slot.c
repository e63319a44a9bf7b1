/*
 * slot.c - posting and unlinking: what is done under a section's lock (slot.h). Scanning is in scan.c.
 */
#include "libmemo/node/slot.h"

#include "libmemo/memo.h"
#include "libmemo/node/section.h"
#include "libmemo/node/wait.h"

#define SCRATCH_CLONE 2

slot_t *section_slot(const self_t *s, section_t *section, uint32_t index)
{
    uint32_t room = SECTION_FIRST_SLOTS, k;

    if (index < room)
        return (slot_t *)node_at(s, node_offset(s, section) + sizeof *section) + index;
    index -= room;
    for (k = 0; k < SECTION_EXTENTS - 1; k++) {
        room *= 2;
        if (index < room)
            break;
        index -= room;
    }
    return (slot_t *)node_at(s, section->extents[k]) + index;
}

section_t *section_of(const self_t *s, uint32_t index)
{
    offset_t at = atomic_load_explicit(&node_party(s, index)->section, memory_order_acquire);
    return at != 0 ? node_at(s, at) : NULL;
}

/* The party's own, which slot_prepare has made. */
static section_t *own_section(const self_t *s)
{
    return node_at(s, atomic_load_explicit(&s->party->section, memory_order_relaxed));
}

static uint32_t load32(const _Atomic uint32_t *field)
{
    return atomic_load_explicit(field, memory_order_relaxed);
}

bool slot_spent(const slot_t *slot)
{
    uint32_t words = load32(&slot->words), w;

    if (words == 0)
        return false;
    for (w = words; w != 0; w &= w - 1)
        if (atomic_load_explicit(&slot->mask[__builtin_ctz(w)].execution, memory_order_seq_cst) != 0)
            return false;
    return true;
}

/* ---- unlinking ------------------------------------------------------------------------------------------- */

/* A spent slot leaves the list and is free. Under the lock; a mutation of its own. */
void section_unlink(self_t *s, section_t *section, slot_t *slot, uint32_t index)
{
    uint32_t next = load32(&slot->next), prev = load32(&slot->prev);

    if (next == index + 1) {
        log_a32(s, &section->first, 0);
        log_a32(s, &section->last, 0);
    } else {
        log_a32(s, &section_slot(s, section, prev - 1)->next, next);
        log_a32(s, &section_slot(s, section, next - 1)->prev, prev);
        if (load32(&section->first) == index + 1)
            log_a32(s, &section->first, next);
        if (load32(&section->last) == index + 1)
            log_a32(s, &section->last, prev);
    }
    log_a32(s, &slot->generation, load32(&slot->generation) + 1);
    log_a32(s, &slot->words, 0);
    log_a32(s, &section->length, load32(&section->length) - 1);
    if (load32(&slot->kind) == SLOT_CLONE)
        log_u64(s, &s->body->scratch[SCRATCH_CLONE], atomic_load_explicit(&slot->memo, memory_order_relaxed));
    log_commit(s);
    heap_free(s, &s->body->scratch[SCRATCH_CLONE]);
}

/* Frees all spent slots. Under the lock. */
static void collect(self_t *s, section_t *section)
{
    uint32_t index = load32(&section->first), count = load32(&section->length);

    atomic_store_explicit(&section->spent, 0, memory_order_seq_cst);
    for (; count > 0 && index != 0; count--) {
        slot_t *slot = section_slot(s, section, index - 1);
        uint32_t next = load32(&slot->next);
        if (slot_spent(slot))
            section_unlink(s, section, slot, index - 1);
        index = next;
    }
}

void section_unlock(self_t *s, section_t *section)
{
    for (;;) {
        if (atomic_load_explicit(&section->spent, memory_order_relaxed) != 0)
            collect(s, section);
        lock_release(&section->lock);
        /* Pairs with section_leave: he sets `spent`, then tries the lock; we free the lock, then look. */
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&section->spent, memory_order_relaxed) == 0 || !lock_try(s, &section->lock))
            return;
    }
}

/* ---- free slots ------------------------------------------------------------------------------------------ */

static uint32_t count_free(const self_t *s, section_t *section, uint32_t enough)
{
    uint32_t i, n = 0;

    if (section->slots - load32(&section->length) < enough)
        return section->slots - load32(&section->length);
    for (i = 0; i < section->slots && n < enough; i++)
        if (load32(&section_slot(s, section, i)->words) == 0)
            n++;
    return n;
}

static int grow(self_t *s, section_t *section)
{
    uint32_t have = SECTION_FIRST_SLOTS, k;
    offset_t *scratch = &s->body->scratch[SCRATCH_SECTION];
    uint64_t bytes;

    for (k = 0; have < section->slots; k++)
        have += SECTION_FIRST_SLOTS << (k + 1);
    if (k == SECTION_EXTENTS)
        return MEMO_EFULL;
    bytes = (uint64_t)(SECTION_FIRST_SLOTS << (k + 1)) * sizeof(slot_t);
    if (heap_alloc(s, bytes, scratch) != MEMO_OK)
        return MEMO_EFULL;
    log_commit(s);
    __builtin_memset(node_at(s, *scratch), 0, bytes);
    log_u64(s, &section->extents[k], *scratch);
    log_u64(s, scratch, 0);
    log_u32(s, &section->slots, section->slots + (SECTION_FIRST_SLOTS << (k + 1)));
    log_commit(s);
    return MEMO_OK;
}

int slot_prepare(self_t *s)
{
    offset_t *scratch = &s->body->scratch[SCRATCH_SECTION];
    section_t *section;

    if (section_of(s, s->index) != NULL)
        return MEMO_OK; /* left from an earlier party, and not drained yet */
    if (heap_alloc(s, HEAP_PAGE, scratch) != MEMO_OK)
        return MEMO_EFULL;
    log_commit(s);
    section = node_at(s, *scratch);
    __builtin_memset(section, 0, HEAP_PAGE);
    section->slots = SECTION_FIRST_SLOTS;
    section->magic = SECTION_MAGIC;
    log_a64(s, &s->party->section, *scratch);
    log_u64(s, scratch, 0);
    log_commit(s);
    return MEMO_OK;
}

int slot_begin(self_t *s, uint32_t need)
{
    section_t *section = own_section(s);

    lock_take(s, &section->lock);
    section->filled_first = section->filled_last = 0;
    if (count_free(s, section, need) < need)
        collect(s, section);
    while (count_free(s, section, need) < need)
        if (grow(s, section) != MEMO_OK) {
            section_unlock(s, section);
            return MEMO_EFULL;
        }
    return MEMO_OK;
}

/* ---- posting --------------------------------------------------------------------------------------------- */

static uint32_t find_free(const self_t *s, section_t *section)
{
    uint32_t i = load32(&section->last), n;

    for (n = 0; n < section->slots; n++, i++) {
        if (i >= section->slots)
            i = 0;
        if (load32(&section_slot(s, section, i)->words) == 0)
            return i;
    }
    return UINT32_MAX; /* slot_begin saw to it that there are enough */
}

void slot_fetch_post(const self_t *s)
{
    section_t *section = own_section(s);

    node_fetch(section);
    node_fetch(section_slot(s, section, 0));
}

uint64_t slot_next_tag(const self_t *s)
{
    slot_message_t next = {.section = s->index, .sequence = own_section(s)->sequence + 1};
    return slot_tag(&next);
}

slot_t *slot_fill(self_t *s, uint32_t kind, offset_t memo, offset_t request)
{
    section_t *section = own_section(s);
    uint32_t index = find_free(s, section);
    slot_t *slot = section_slot(s, section, index);

    log_u64(s, &section->sequence, section->sequence + 1);
    /* A scanner that sees any of what follows sees the generation that section_unlink left. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&slot->sequence, section->sequence, memory_order_relaxed);
    atomic_store_explicit(&slot->kind, kind, memory_order_relaxed);
    atomic_store_explicit(&slot->memo, memo, memory_order_relaxed);
    atomic_store_explicit(&slot->request, request, memory_order_relaxed);
    slot->chain = 0;
    log_note(s, (const void *)&slot->words, LOG_U32, 0); /* undone, the slot is free */
    if (section->filled_last != 0)
        section_slot(s, section, section->filled_last - 1)->chain = index + 1;
    else
        section->filled_first = index + 1;
    section->filled_last = index + 1;
    return slot;
}

bool slot_addressed(const slot_t *slot, uint32_t receiver)
{
    uint32_t w = receiver / 64;

    return (load32(&slot->words) >> w & 1) != 0 &&
           (atomic_load_explicit(&slot->mask[w].destination, memory_order_relaxed) >> receiver % 64 & 1) != 0;
}

void slot_address(self_t *s, slot_t *slot, uint32_t receiver)
{
    uint32_t w = receiver / 64, words = load32(&slot->words);
    uint64_t mask = UINT64_C(1) << receiver % 64;

    (void)s;
    if ((words >> w & 1) != 0)
        mask |= atomic_load_explicit(&slot->mask[w].destination, memory_order_relaxed);
    atomic_store_explicit(&slot->mask[w].destination, mask, memory_order_relaxed);
    atomic_store_explicit(&slot->mask[w].execution, mask, memory_order_relaxed);
    atomic_store_explicit(&slot->words, words | UINT32_C(1) << w, memory_order_relaxed);
}

/* Every step may be done again, with the lock held throughout: `last` is stored at the end. */
static void splice(self_t *s, section_t *section, slot_t *slot, uint32_t index)
{
    uint32_t first = load32(&section->first), last = load32(&section->last), me = index + 1;

    if (last == me)
        return;
    atomic_store_explicit(&slot->next, last != 0 ? first : me, memory_order_relaxed);
    atomic_store_explicit(&slot->prev, last != 0 ? last : me, memory_order_relaxed);
    /* Publishes all that slot_fill stored; pairs with the acquire in the scan. */
    atomic_store_explicit(&slot->generation, load32(&slot->generation) | 1, memory_order_release);
    if (last != 0) {
        atomic_store_explicit(&section_slot(s, section, last - 1)->next, me, memory_order_release);
        atomic_store_explicit(&section_slot(s, section, first - 1)->prev, me, memory_order_relaxed);
    } else
        atomic_store_explicit(&section->first, me, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&section->last, me, memory_order_release);
}

static void remember_sleeper(self_t *s, uint32_t receiver)
{
    party_t *p = node_party(s, receiver);

    /* Pairs with slot_sleep: it says parked, then looks at attention; we set attention, then look whether parked.
     */
    if (atomic_load_explicit(&p->parked, memory_order_seq_cst) == 0)
        return;
    if (s->to_wake_count < sizeof s->to_wake / sizeof s->to_wake[0])
        s->to_wake[s->to_wake_count++] = receiver;
    else
        slot_ring(s, receiver);
}

static void draw_attention(self_t *s, const slot_t *slot, uint32_t sender)
{
    uint64_t bit = UINT64_C(1) << sender % 64;
    uint32_t w;

    for (w = load32(&slot->words); w != 0; w &= w - 1) {
        uint32_t word = (uint32_t)__builtin_ctz(w);
        uint64_t mask = atomic_load_explicit(&slot->mask[word].destination, memory_order_relaxed);
        for (; mask != 0; mask &= mask - 1) {
            uint32_t receiver = word * 64 + (uint32_t)__builtin_ctzll(mask);
            atomic_fetch_or_explicit(&node_party(s, receiver)->attention, bit, memory_order_seq_cst);
            remember_sleeper(s, receiver);
        }
    }
}

/* Posts the chain that a body's intent names. The slot after the last splice may be gone before we look again: its
 * masks are read by us alone until attention is drawn, because only we free it (the lock is ours). */
static void post_chain(self_t *s, uint32_t sender, body_t *b, section_t *section)
{
    uint32_t index;

    while ((index = (uint32_t)(atomic_load_explicit(&b->intent, memory_order_relaxed) >> 32)) != 0) {
        slot_t *slot = section_slot(s, section, index - 1);
        splice(s, section, slot, index - 1);
        draw_attention(s, slot, sender);
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store_explicit(&b->intent, (uint64_t)slot->chain << 32, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
    }
}

static void count_length(self_t *s, section_t *section)
{
    uint32_t i, n = 0;

    for (i = 0; i < section->slots; i++)
        if ((load32(&section_slot(s, section, i)->generation) & 1) != 0)
            n++;
    atomic_store_explicit(&section->length, n, memory_order_relaxed);
}

void slot_commit(self_t *s)
{
    section_t *section = own_section(s);
    uint32_t first = section->filled_first, i, n = 0;

    if (first == 0) {
        log_commit(s);
        return;
    }
    for (i = first; i != 0; i = section_slot(s, section, i - 1)->chain)
        n++;
    log_a32(s, &section->length, load32(&section->length) + n);
    log_commit_posting(s, first - 1);
    post_chain(s, s->index, s->body, section);
    while (n-- > 0)
        node_count_one(&s->body->counts.slot_messages);
    section->filled_first = section->filled_last = 0;
}

void slot_end(self_t *s)
{
    section_unlock(s, own_section(s));
}

void slot_complete(self_t *s, party_t *dead, body_t *b)
{
    uint32_t index = (uint32_t)(dead - s->root->parties);
    section_t *section = section_of(s, index);

    if (section == NULL || atomic_load(&b->intent) >> 32 == 0)
        return;
    post_chain(s, index, b, section);
    count_length(s, section);
}
