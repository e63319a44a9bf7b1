/*
 * whole.c - examining a region that nobody has open (whole.h): its root, its parties, its heap.
 */
#include "libmemo/node/whole.h"

#include <stdlib.h>

#include "libmemo/api/error.h"
#include "libmemo/memo.h"
#include "libmemo/node/heap.h"
#include "libmemo/node/heap_page.h"
#include "libmemo/node/slot.h"

static const uint16_t class_bytes[HEAP_CLASSES] = HEAP_CLASS_BYTES;

bool whole_not(whole_t *w, const char *why)
{
    if (w->why == NULL)
        w->why = why;
    return false;
}

/* ---- bits ------------------------------------------------------------------------------------------------ */

static bool bit(const uint64_t *bits, uint64_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

static void set_bit(uint64_t *bits, uint64_t i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static uint64_t place_of(const whole_t *w, offset_t at)
{
    return (at - w->blocks_from) / 16;
}

void whole_mark(whole_t *w, offset_t at)
{
    set_bit(w->marked, place_of(w, at));
}

static bool inside(const whole_t *w, offset_t at)
{
    return at >= w->blocks_from && at < w->blocks_upto && at % 16 == 0;
}

bool whole_is_marked(const whole_t *w, offset_t at)
{
    return inside(w, at) && bit(w->marked, place_of(w, at));
}

/* ---- the root -------------------------------------------------------------------------------------------- */

static bool check_limits(whole_t *w, const region_t *r)
{
    const node_root_t *root = w->root;
    const heap_root_t *h = &root->heap;

    if (root->size != r->size)
        return whole_not(w, "its size is not the file's");
    if (atomic_load(&root->parties_used) > NODE_PARTIES || atomic_load(&root->clients_used) > NODE_CLIENTS)
        return whole_not(w, "it says that it has had more users than it can have");
    if (h->pages != REGION_COMMITTED_AT_START || h->base % HEAP_PAGE != 0 || h->base > r->size ||
        h->count > (r->size - h->base) / HEAP_PAGE || h->base < h->pages ||
        h->count > (h->base - h->pages) / sizeof(page_t))
        return whole_not(w, "its heap is not where it could be");
    if (h->top > h->count || h->taken > h->top || h->reserve > h->count)
        return whole_not(w, "its heap is larger than it can be");
    return true;
}

/* Whether a party is left of somebody who died. */
static bool any_dead(const whole_t *w)
{
    uint32_t i;

    for (i = 0; i < NODE_PARTIES; i++) {
        uint32_t client = atomic_load(&w->root->parties[i].client);
        if (client != 0 && client <= NODE_CLIENTS &&
            atomic_load(&w->root->clients[client - 1].state) != CLIENT_FREE)
            return true;
    }
    return false;
}

/* Once all who were there have closed, or were repaired, nothing of theirs is left. */
static bool check_parties(whole_t *w)
{
    const node_root_t *root = w->root;
    uint32_t i;

    for (i = 0; i < NODE_PARTIES; i++) {
        const party_t *p = &root->parties[i];
        if (atomic_load(&p->client) != 0 || atomic_load(&p->id) != 0 || atomic_load(&p->body) != 0 ||
            atomic_load(&p->voided) != 0 || atomic_load(&p->flags) != 0)
            return whole_not(w, "something is left of a user who is gone");
        if (i >= atomic_load(&root->parties_used) && atomic_load(&p->section) != 0)
            return whole_not(w, "a user who never was has sent messages");
    }
    return true;
}

void whole_unlock(lock_t *lock)
{
    atomic_store(&lock->owner, 0);
    atomic_store(&lock->waiters, 0);
}

static void set_right(whole_t *w)
{
    uint32_t i;

    whole_unlock(&w->root->boot_lock);
    whole_unlock(&w->root->heap.lock);
    for (i = 0; i < NODE_CLIENTS; i++)
        whole_unlock(&w->root->clients[i].repair);
    for (i = 0; i < NODE_PARTIES; i++) {
        atomic_store(&w->root->parties[i].scanning, 0);
        atomic_store(&w->root->parties[i].attention, 0);
    }
    atomic_store(&w->root->checked_ns, 0); /* or nobody would look for the dead */
}

/* ---- pages ----------------------------------------------------------------------------------------------- */

static const page_t *page_at(const whole_t *w, uint64_t p)
{
    return (const page_t *)whole_at(w, w->root->heap.pages) + p;
}

static uint32_t slab_blocks(unsigned c)
{
    return HEAP_SLAB_PAGES * HEAP_PAGE / class_bytes[c];
}

typedef struct sums {
    uint64_t free_runs, partial, used, taken;
} sums_t;

/* The blocks of a slab that are free hang in a list; those never used are behind the others. */
static bool check_slab(whole_t *w, uint64_t p, sums_t *sums)
{
    const page_t *page = page_at(w, p);
    unsigned c = page->kind >> 8;
    uint32_t used, fresh, next, n = 0, i;
    offset_t at = w->blocks_from + p * HEAP_PAGE;

    if (c >= HEAP_CLASSES || p + HEAP_SLAB_PAGES > w->root->heap.top)
        return whole_not(w, "a slab of its heap is of no size that there is");
    for (i = 1; i < HEAP_SLAB_PAGES; i++)
        if (page[i].kind != PAGE_SLAB_REST || page[i].n != i)
            return whole_not(w, "a slab of its heap has pages that are not its own");
    used = page[1].prev >> 16;
    fresh = page[1].prev & 0xffff;
    if (fresh > slab_blocks(c) || used > fresh)
        return whole_not(w, "a slab of its heap has more blocks than it can have");
    for (next = page[1].next; next != 0; n++) {
        const offset_t *block;
        offset_t free_at = at + (offset_t)(next - 1) * class_bytes[c];
        if (next > fresh || n >= fresh - used || bit(w->seen, place_of(w, free_at)))
            return whole_not(w, "the free blocks of a slab of its heap are not in order");
        set_bit(w->seen, place_of(w, free_at)); /* nobody may refer to it */
        block = whole_at(w, free_at);
        next = (uint32_t)block[1];
    }
    if (used + n != fresh)
        return whole_not(w, "free blocks of a slab of its heap are missing");
    sums->partial += used < slab_blocks(c);
    sums->used += (uint64_t)used * class_bytes[c];
    sums->taken += HEAP_SLAB_PAGES;
    return true;
}

static bool check_run(whole_t *w, uint64_t p, uint32_t end, sums_t *sums)
{
    const page_t *page = page_at(w, p);
    bool is_free = end == PAGE_FREE_END;

    if (page->n == 0 || page->n > w->root->heap.top - p)
        return whole_not(w, "a run of its heap is longer than the heap");
    if (page->n > 1 && (page[page->n - 1].kind != end || (is_free && page[page->n - 1].n != page->n)))
        return whole_not(w, "a run of its heap ends elsewhere");
    if (is_free)
        sums->free_runs++;
    else {
        sums->used += (uint64_t)page->n * HEAP_PAGE;
        sums->taken += page->n;
    }
    return true;
}

static bool check_pages(whole_t *w, sums_t *sums)
{
    uint64_t p = 0;

    while (p < w->root->heap.top) {
        const page_t *page = page_at(w, p);
        bool right;
        switch (page->kind & 0xff) {
        case PAGE_FREE:
            right = page->kind == PAGE_FREE ? check_run(w, p, PAGE_FREE_END, sums) : false;
            break;
        case PAGE_RUN:
            right = page->kind == PAGE_RUN ? check_run(w, p, PAGE_RUN_END, sums) : false;
            break;
        case PAGE_SLAB:
            right = check_slab(w, p, sums);
            break;
        default:
            right = false;
        }
        if (!right)
            return whole_not(w, "a page of its heap is of no kind that there is");
        p += (page->kind & 0xff) == PAGE_SLAB ? HEAP_SLAB_PAGES : page->n;
    }
    return true;
}

/* A list of runs or slabs that begins with `first` (page + 1): each of that kind, and each knows the one before.
 * The first pages of slabs and of free runs alone have links. */
static bool check_list(whole_t *w, uint32_t first, uint32_t kind, uint64_t *left, int bin)
{
    uint32_t before = 0, at;

    for (at = first; at != 0; before = at, at = page_at(w, at - 1)->next) {
        const page_t *page;
        if (at > w->root->heap.top || *left == 0)
            return whole_not(w, "a list of its heap does not end");
        page = page_at(w, at - 1);
        if (page->kind != kind || page->prev != before || (bin >= 0 && (int)heap_bin(page->n) != bin))
            return whole_not(w, "a list of its heap has what does not belong there");
        if (kind != PAGE_FREE && page[1].prev >> 16 == slab_blocks(kind >> 8))
            return whole_not(w, "a slab of its heap that is full is taken for one that is not");
        (*left)--;
    }
    return true;
}

static bool check_lists(whole_t *w, sums_t *sums)
{
    const heap_root_t *h = &w->root->heap;
    unsigned i;

    for (i = 0; i < HEAP_BINS; i++)
        if (!check_list(w, h->bins[i], PAGE_FREE, &sums->free_runs, (int)i) ||
            (h->full_bins >> i & 1) != (h->bins[i] != 0))
            return whole_not(w, "its heap's free runs are not in order");
    for (i = 0; i < HEAP_CLASSES; i++)
        if (!check_list(w, h->partial[i], PAGE_SLAB | i << 8, &sums->partial, -1))
            return false;
    if (sums->free_runs != 0 || sums->partial != 0)
        return whole_not(w, "free memory of its heap is in no list");
    if (sums->used != h->used || sums->taken != h->taken)
        return whole_not(w, "its heap's sums are wrong");
    return true;
}

/* ---- blocks ---------------------------------------------------------------------------------------------- */

/* By the slab or run that it is in; 0: none begins there. */
uint64_t whole_bytes(const whole_t *w, offset_t at)
{
    uint64_t p = (at - w->blocks_from) / HEAP_PAGE, in_slab;
    const page_t *page = page_at(w, p);
    unsigned c;

    if ((page->kind & 0xff) == PAGE_SLAB_REST) {
        if (page->n == 0 || page->n >= HEAP_SLAB_PAGES || page->n > p)
            return 0;
        p -= page->n;
        page -= page->n;
    }
    if (page->kind == PAGE_RUN)
        return at % HEAP_PAGE == 0 ? (uint64_t)page->n * HEAP_PAGE : 0;
    c = page->kind >> 8;
    if ((page->kind & 0xff) != PAGE_SLAB || c >= HEAP_CLASSES)
        return 0;
    in_slab = at - w->blocks_from - p * HEAP_PAGE;
    return in_slab % class_bytes[c] == 0 && in_slab / class_bytes[c] < (page[1].prev & 0xffff) ? class_bytes[c] : 0;
}

bool whole_block(whole_t *w, offset_t at, uint64_t bytes)
{
    if (!inside(w, at) || whole_bytes(w, at) < bytes || whole_bytes(w, at) == 0)
        return whole_not(w, "what is referred to is not there");
    if (bit(w->seen, place_of(w, at)))
        return whole_not(w, "two refer to the same memory");
    set_bit(w->seen, place_of(w, at));
    return true;
}

bool whole_table(whole_t *w, offset_t at, uint64_t bytes)
{
    uint64_t end = w->blocks_from + w->root->heap.count * HEAP_PAGE;

    if (at >= end && at % NODE_LINE == 0 && at <= w->root->size && bytes <= w->root->size - at)
        return true;
    return whole_block(w, at, bytes);
}

/* What the boot body keeps for those who come. */
static bool check_boot(whole_t *w)
{
    const body_t *b = &w->root->boot;
    unsigned i;
    offset_t at;

    if (atomic_load(&b->intent) != 0 || b->log_more != 0 || b->hand_list != 0)
        return whole_not(w, "somebody was at something when nobody was there");
    for (i = 0; i < SCRATCH_SLOTS; i++)
        if (b->scratch[i] != 0 && !whole_block(w, b->scratch[i], 1))
            return false;
    for (i = 0; i < HEAP_CLASSES; i++)
        for (at = b->cache[i]; at != 0; at = *(const offset_t *)whole_at(w, at))
            if (!whole_block(w, at, class_bytes[i]) || whole_bytes(w, at) != class_bytes[i])
                return whole_not(w, "a free block is of another size");
    for (i = 0; i < HEAP_LARGE_SLOTS; i++)
        if (b->large[i] != 0 && (!whole_block(w, b->large[i], HEAP_PAGE) || b->large[i] % HEAP_PAGE != 0))
            return whole_not(w, "a free run is none");
    return true;
}

/* A section that outlived its party: it was read to its end. */
static bool check_section(whole_t *w, offset_t at)
{
    section_t *section = whole_at(w, at);
    uint32_t have = SECTION_FIRST_SLOTS, k, i;

    if (!whole_block(w, at, HEAP_PAGE))
        return false;
    if (section->magic != SECTION_MAGIC || atomic_load(&section->length) != 0 || atomic_load(&section->first) != 0)
        return whole_not(w, "messages are left for nobody");
    whole_unlock(&section->lock);
    for (k = 0; k < SECTION_EXTENTS && have < section->slots; k++) {
        uint32_t more = SECTION_FIRST_SLOTS << (k + 1);
        if (!whole_block(w, section->extents[k], more * sizeof(slot_t)))
            return false;
        have += more;
    }
    if (have != section->slots)
        return whole_not(w, "messages have room that is not there");
    for (i = 0; i < SECTION_FIRST_SLOTS; i++)
        if (atomic_load(&((slot_t *)(void *)(section + 1))[i].words) != 0)
            return whole_not(w, "a message is left for nobody");
    return true;
}

static bool check_sections(whole_t *w)
{
    uint32_t i;

    for (i = 0; i < NODE_PARTIES; i++) {
        offset_t at = atomic_load(&w->root->parties[i].section);
        if (at != 0 && (!inside(w, at) || !check_section(w, at)))
            return whole_not(w, "messages are left where there are none");
    }
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------------------- */

static bool check_all(whole_t *w, whole_user_t user)
{
    sums_t sums = {0};

    return check_pages(w, &sums) && check_lists(w, &sums) && check_boot(w) && check_sections(w) && user(w);
}

static int examine(whole_t *w, whole_user_t user)
{
    const heap_root_t *h = &w->root->heap;
    int result = MEMO_OK;

    w->blocks_from = h->base;
    w->blocks_upto = h->base + h->top * HEAP_PAGE;
    w->seen = calloc((w->blocks_upto - w->blocks_from) / 1024 + 1, sizeof *w->seen);
    w->marked = calloc((w->blocks_upto - w->blocks_from) / 1024 + 1, sizeof *w->marked);
    if (w->seen == NULL || w->marked == NULL)
        result = memo_error(MEMO_ENOMEM, "no memory to examine the space");
    else if (check_all(w, user))
        set_right(w);
    free(w->seen);
    free(w->marked);
    return result;
}

int whole_check(const region_t *r, whole_user_t user)
{
    whole_t w = {.base = r->base, .root = node_root_of(r)};
    int result = MEMO_OK;

    if (check_limits(&w, r) && !any_dead(&w) && check_parties(&w))
        result = examine(&w, user);
    if (w.why != NULL)
        result =
            memo_error(MEMO_ECORRUPT, "the space is damaged: %s; remove it (memo rm) or use another name", w.why);
    return result;
}
