/*
 * memo_doctor_heap.c - memo doctor: every page and block of the heap, and whether somebody has it; see
 * memo_doctor.h.
 */
#include "servers/memo_doctor.h"

#include "libmemo/node/heap_page.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint16_t class_bytes[HEAP_CLASSES] = HEAP_CLASS_BYTES;

static const page_t *page_at(patient_t *p, uint64_t page)
{
    return look(p, p->root->heap.pages + page * sizeof(page_t), sizeof(page_t));
}

/* Where the heap is follows from the size: as heap_format has it. */
static bool sound_root(patient_t *p)
{
    const heap_root_t *h = &p->root->heap;
    uint64_t from = REGION_COMMITTED_AT_START;
    uint64_t count = (p->region.size - from) / (HEAP_PAGE + sizeof(page_t));
    uint64_t base = (from + count * sizeof(page_t) + HEAP_PAGE - 1) / HEAP_PAGE * HEAP_PAGE;
    if (h->pages == from && h->base == base && h->count <= count &&
        h->count <= (p->region.size - base) / HEAP_PAGE && h->top <= h->count && h->reserve <= h->count) {
        return true;
    }
    note(p,
         "the heap's root: it begins at %" PRIu64 " and %" PRIu64 ", not %" PRIu64 " and %" PRIu64 "; %" PRIu64
         " of %" PRIu64 " pages were used",
         h->pages, h->base, from, base, h->top, h->count);
    return false;
}

/* ---- pages ----------------------------------------------------------------------------------------------- */

static void walk_run(patient_t *p, uint64_t at, const page_t *first)
{
    const page_t *last = page_at(p, at + first->n - 1);
    if (first->n > 1 && last->kind != PAGE_RUN_END) {
        note(p, "page %" PRIu64 ": the end of its run of %u pages says something else", at, first->n);
    }
    for (uint64_t i = 0; i < first->n; i++) {
        p->run[at + i] = (uint32_t)at + 1;
    }
    p->blocks++;
    p->bytes += (uint64_t)first->n * HEAP_PAGE;
}

static void walk_free_run(patient_t *p, uint64_t at, const page_t *first)
{
    p->free_runs++;
    const page_t *last = page_at(p, at + first->n - 1);
    if (first->n > 1 && (last->kind != PAGE_FREE_END || last->n != first->n)) {
        note(p, "page %" PRIu64 ": the end of its free run of %u pages says something else", at, first->n);
    }
}

/* The free blocks of a slab: how many the list has, or UINT32_MAX if it is unsound. */
static uint32_t slab_free(patient_t *p, uint64_t at, uint32_t first, uint32_t fresh, uint32_t bytes)
{
    uint32_t n = 0;
    for (uint32_t block = first; block != 0; n++) {
        const offset_t *link =
            block <= fresh && n <= fresh
                ? look(p, p->root->heap.base + at * HEAP_PAGE + (uint64_t)(block - 1) * bytes, 2 * sizeof *link)
                : NULL;
        if (link == NULL) {
            return UINT32_MAX;
        }
        block = (uint32_t)link[1];
    }
    return n;
}

static void walk_slab(patient_t *p, uint64_t at, const page_t *first)
{
    uint32_t c = first->kind >> 8;
    uint32_t used = first[1].prev >> 16, fresh = first[1].prev & 0xffff;
    if (c >= HEAP_CLASSES || fresh > HEAP_SLAB_PAGES * HEAP_PAGE / class_bytes[c] ||
        slab_free(p, at, first[1].next, fresh, class_bytes[c]) != fresh - used) {
        note(p, "page %" PRIu64 ": the free blocks of its slab do not add up", at);
        return;
    }
    for (uint64_t i = 0; i < HEAP_SLAB_PAGES; i++) {
        p->run[at + i] = (uint32_t)at + 1;
    }
    p->partial_slabs += used < HEAP_SLAB_PAGES * HEAP_PAGE / class_bytes[c];
    p->blocks += used;
    p->bytes += (uint64_t)used * class_bytes[c];
}

/* ---- lists of pages -------------------------------------------------------------------------------------- */

/* The page that `link` (page + 1) names, of that kind and with that predecessor; NULL, noted, if it is none. */
static const page_t *listed(patient_t *p, uint32_t link, uint32_t kind, uint32_t before, const char *what)
{
    const page_t *page = link - 1 < p->root->heap.top ? page_at(p, link - 1) : NULL;
    if (page == NULL || page->kind != kind || page->prev != before || !step(p, what, link)) {
        note(p, "%s: page %u does not belong there", what, link - 1);
        return NULL;
    }
    return page;
}

static void walk_bins(patient_t *p)
{
    const heap_root_t *h = &p->root->heap;
    uint64_t n = 0;
    for (unsigned i = 0; i < HEAP_BINS; i++) {
        uint32_t before = 0;
        for (uint32_t at = h->bins[i]; at != 0 && n <= p->pages; n++) {
            const page_t *page = listed(p, at, PAGE_FREE, before, "a list of free runs");
            if (page == NULL) {
                return;
            }
            before = at;
            at = page->next;
        }
        if ((h->bins[i] != 0) != (h->full_bins >> i & 1)) {
            note(p, "list %u of free runs is said to be %s", i, h->bins[i] != 0 ? "empty" : "not empty");
        }
    }
    if (n != p->free_runs) {
        note(p, "the lists of free runs have %" PRIu64 ", and there are %" PRIu64, n, p->free_runs);
    }
}

static void walk_partial(patient_t *p)
{
    uint64_t n = 0;
    for (uint32_t c = 0; c < HEAP_CLASSES; c++) {
        uint32_t before = 0;
        for (uint32_t at = p->root->heap.partial[c]; at != 0 && n <= p->pages; n++) {
            const page_t *page = listed(p, at, PAGE_SLAB | c << 8, before, "a list of slabs");
            if (page == NULL) {
                return;
            }
            before = at;
            at = page->next;
        }
    }
    if (n != p->partial_slabs) {
        note(p, "the lists of slabs with room have %" PRIu64 ", and there are %" PRIu64, n, p->partial_slabs);
    }
}

/* ---- all pages ------------------------------------------------------------------------------------------- */

static uint64_t walk_page(patient_t *p, uint64_t at, uint64_t top)
{
    const page_t *first = page_at(p, at);
    if (first == NULL) {
        return 0;
    }
    uint32_t kind = first->kind & 0xff;
    uint64_t n = kind == PAGE_SLAB ? HEAP_SLAB_PAGES : first->n;
    if ((kind != PAGE_SLAB && kind != PAGE_FREE && kind != PAGE_RUN) || n == 0 || n > top - at ||
        look(p, p->root->heap.pages + at * sizeof(page_t), n * sizeof(page_t)) == NULL) {
        return 0;
    }
    if (kind == PAGE_SLAB) {
        walk_slab(p, at, first);
    } else if (kind == PAGE_RUN) {
        walk_run(p, at, first);
    } else {
        walk_free_run(p, at, first);
    }
    return n;
}

void walk_heap(patient_t *p)
{
    memset(p->run, 0, (size_t)(p->region.size / HEAP_PAGE + 1) * sizeof *p->run);
    p->pages = p->blocks = p->bytes = p->free_runs = p->partial_slabs = 0;
    if (!sound_root(p)) {
        return;
    }
    const heap_root_t *h = &p->root->heap;
    p->found->capacity = (h->count - h->reserve) * HEAP_PAGE;
    while (p->pages < h->top) {
        uint64_t n = walk_page(p, p->pages, h->top);
        if (n == 0) {
            note(p, "page %" PRIu64 ": no run begins there", p->pages);
            return;
        }
        p->pages += n;
    }
    walk_bins(p);
    walk_partial(p);
    if (p->bytes != h->used) {
        note(p, "the pages have %" PRIu64 " bytes in use, the heap's root counts %" PRIu64, p->bytes, h->used);
    }
}

/* ---- blocks ---------------------------------------------------------------------------------------------- */

/* The bytes of the block in use that begins there; 0 if none does. */
static uint64_t block_bytes(patient_t *p, offset_t at)
{
    const heap_root_t *h = &p->root->heap;
    uint64_t page = (at - h->base) / HEAP_PAGE;
    if (at < h->base || at % 16 != 0 || page >= p->pages || p->run[page] == 0) {
        return 0;
    }
    uint64_t first = p->run[page] - 1;
    const page_t *descriptor = page_at(p, first);
    uint64_t within = at - h->base - first * HEAP_PAGE;
    if ((descriptor->kind & 0xff) == PAGE_RUN) {
        return within == 0 ? (uint64_t)descriptor->n * HEAP_PAGE : 0;
    }
    uint32_t bytes = class_bytes[descriptor->kind >> 8];
    return within % bytes == 0 && within / bytes < (descriptor[1].prev & 0xffff) ? bytes : 0;
}

static bool remember(patient_t *p, offset_t at)
{
    if (p->refer_count == p->refer_room) {
        size_t room = p->refer_room * 2 + 1024;
        offset_t *more = realloc(p->refers, room * sizeof *more);
        if (more == NULL) {
            note(p, "there is no memory here to account for the rest");
            return false;
        }
        p->refers = more;
        p->refer_room = room;
    }
    p->refers[p->refer_count++] = at;
    return true;
}

bool refer(patient_t *p, use_t use, const char *what, offset_t at, uint64_t least)
{
    if (at == 0 || !step(p, what, at)) {
        return false;
    }
    uint64_t bytes = block_bytes(p, at);
    if (bytes == 0 || bytes < least || look(p, at, least) == NULL) {
        note(p, "%s: no such block is in use at %" PRIu64 " (%" PRIu64 " bytes are needed)", what, at, least);
        return false;
    }
    /* Of a list that goes round in circles no more than one round is followed. */
    if (p->refer_count > 2 * p->blocks + 1024) {
        note(p, "%s: more is referred to than there is (at %" PRIu64 ")", what, at);
        return false;
    }
    p->found->used[use].blocks++;
    p->found->used[use].bytes += bytes;
    return remember(p, at);
}

const struct memo *refer_memo(patient_t *p, use_t use, const char *what, offset_t at)
{
    if (!refer(p, use, what, at, sizeof(struct memo))) {
        return NULL;
    }
    const struct memo *m = look(p, at, sizeof *m);
    if (m->size > block_bytes(p, at) - sizeof *m) {
        note(p, "%s: the memo at %" PRIu64 " says that it has %" PRIu64 " bytes, more than its block", what, at,
             m->size);
    }
    if (m->origin != 0 && block_bytes(p, m->origin) < sizeof(record_t)) {
        note(p, "%s: the memo at %" PRIu64 " comes from a folder that is not there", what, at);
    }
    return m;
}

static int by_offset(const void *a, const void *b)
{
    offset_t x = *(const offset_t *)a, y = *(const offset_t *)b;
    return x < y ? -1 : x > y;
}

void compare_heap(patient_t *p)
{
    uint64_t bytes = 0, blocks = 0;
    if (p->refer_count > 0) {
        qsort(p->refers, p->refer_count, sizeof *p->refers, by_offset);
    }
    for (size_t i = 0; i < p->refer_count; i++) {
        if (i > 0 && p->refers[i] == p->refers[i - 1]) {
            note(p, "the block at %" PRIu64 " has two owners", p->refers[i]);
            continue;
        }
        blocks++;
        bytes += block_bytes(p, p->refers[i]);
    }
    if (blocks < p->blocks) {
        p->found->leaked_blocks = p->blocks - blocks;
        p->found->leaked_bytes = p->bytes - bytes;
        note(p, "%" PRIu64 " blocks, %" PRIu64 " bytes, are in use and nobody has them", p->found->leaked_blocks,
             p->found->leaked_bytes);
    }
}
