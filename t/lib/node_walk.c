/*
 * node_walk.c - accounts for every page and every block of a region at rest (node_bench.h).
 */
#include "t/lib/node_bench.h"

#include <stdlib.h>

/* As in heap.c, which keeps them to itself. */
enum { PAGE_NONE = 0, PAGE_FREE, PAGE_FREE_END, PAGE_RUN, PAGE_RUN_END, PAGE_SLAB, PAGE_SLAB_REST };
typedef struct page {
    uint32_t kind, n, next, prev;
} page_t;

typedef struct walk {
    self_t *s;
    const heap_root_t *h;
    offset_t *found; /* every block that something refers to */
    size_t count, room;
    uint64_t taken, used, blocks, free_runs;
    bool good;
} walk_t;

static bool complain(walk_t *w, const char *what, uint64_t a, uint64_t b)
{
    tap_diag("walk: %s (%llu, %llu)", what, (unsigned long long)a, (unsigned long long)b);
    w->good = false;
    return false;
}

static const page_t *page_at(const walk_t *w, uint64_t p)
{
    return (const page_t *)node_at(w->s, w->h->pages) + p;
}

/* A lock of the dead stays as it is until somebody wants it. */
static bool held(const walk_t *w, const lock_t *lock)
{
    party_id_t owner = atomic_load(&lock->owner);

    return owner != 0 && atomic_load(&node_party(w->s, party_index(owner))->id) == owner;
}

static void refer(walk_t *w, offset_t at)
{
    if (at == 0)
        return;
    if (w->count == w->room) {
        w->room = w->room * 2 + 64;
        w->found = realloc(w->found, w->room * sizeof *w->found);
    }
    w->found[w->count++] = at;
}

/* ---- who refers to what ---------------------------------------------------------------------------------- */

static void refer_section(walk_t *w, offset_t at)
{
    const section_t *section = node_at(w->s, at);
    unsigned i;

    if (at == 0)
        return;
    refer(w, at);
    for (i = 0; i < SECTION_EXTENTS; i++)
        refer(w, section->extents[i]);
    if (held(w, &section->lock))
        complain(w, "a section is locked", at, atomic_load(&section->lock.owner));
}

static void refer_hand(walk_t *w, const body_t *b, party_id_t id)
{
    offset_t at;
    uint32_t i;

    for (i = 0; i < HAND_SLOTS; i++) {
        const struct memo *m;
        at = atomic_load(&b->hand[i]);
        m = at != 0 ? node_at(w->s, at) : NULL;
        if (m != NULL && atomic_load(&m->holder) == id && m->place == i)
            refer(w, at);
    }
    for (at = b->hand_list; at != 0; at = ((struct memo *)node_at(w->s, at))->next) {
        const struct memo *m = node_at(w->s, at);
        if (atomic_load(&m->holder) != id || m->place != HAND_LISTED)
            complain(w, "a memo in the hand's list is not held", at, atomic_load(&m->holder));
        refer(w, at);
    }
    if (held(w, &b->hand_lock))
        complain(w, "a hand is locked", id, atomic_load(&b->hand_lock.owner));
}

static void refer_body(walk_t *w, body_t *b)
{
    unsigned i;
    offset_t at;

    for (i = 0; i < BENCH_BLOCKS; i++)
        refer(w, bench_blocks(b)[i]);

    if (atomic_load(&b->intent) != 0)
        complain(w, "a mutation is open", atomic_load(&b->intent), 0);
    refer(w, b->log_more);
    for (i = 0; i < SCRATCH_SLOTS; i++)
        refer(w, b->scratch[i]);
    for (i = 0; i < HEAP_LARGE_SLOTS; i++)
        refer(w, b->large[i]);
    for (i = 0; i < HEAP_CLASSES; i++)
        for (at = b->cache[i]; at != 0 && w->count < 10000000; at = *(offset_t *)node_at(w->s, at))
            refer(w, at);
}

static void refer_parties(walk_t *w)
{
    uint32_t i;

    for (i = 0; i < NODE_PARTIES; i++) {
        const party_t *p = node_party(w->s, i);
        body_t *b = party_body(w->s, p);
        refer_section(w, atomic_load(&p->section));
        if (b == NULL)
            continue;
        refer(w, atomic_load(&p->body));
        refer_body(w, b);
        refer_hand(w, b, atomic_load(&p->id));
    }
}

static void refer_store(walk_t *w)
{
    const bench_root_t *root = bench_root(w->s);
    offset_t at;

    for (at = root->head; at != 0 && w->count < 10000000; at = ((struct memo *)node_at(w->s, at))->next)
        refer(w, at);
}

/* ---- the pages ------------------------------------------------------------------------------------------- */

static bool free_page(const walk_t *w, uint64_t p)
{
    return p < w->h->top && page_at(w, p)->kind == PAGE_FREE;
}

static void walk_free(walk_t *w, uint64_t p)
{
    const page_t *page = page_at(w, p);

    w->free_runs++;
    if (page->n > 1 && (page[page->n - 1].kind != PAGE_FREE_END || page[page->n - 1].n != page->n))
        complain(w, "the end of a free run says something else", p, page->n);
    if (free_page(w, p + page->n))
        complain(w, "two free runs beside each other", p, page->n);
}

static void walk_slab(walk_t *w, uint64_t p)
{
    static const uint16_t bytes[HEAP_CLASSES] = {16,  32,  48,  64,  80,  96,  112, 128,  160,  192,  224,  256,
                                                 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048};
    const page_t *page = page_at(w, p);
    uint32_t c = page->kind >> 8, used = page[1].prev >> 16, fresh = page[1].prev & 0xffff, n = 0, at;
    const char *base = node_at(w->s, w->h->base + p * HEAP_PAGE);

    for (at = page[1].next; at != 0 && n <= fresh; n++) {
        if (at > fresh) {
            complain(w, "a free block that was never used", p, at);
            break;
        }
        at = (uint32_t)((const offset_t *)(const void *)(base + (uint64_t)(at - 1) * bytes[c]))[1];
    }
    if (n + used != fresh)
        complain(w, "a slab's blocks do not add up", (uint64_t)n << 32 | used, fresh);
    w->blocks += used;
    w->used += (uint64_t)used * bytes[c];
    w->taken += HEAP_SLAB_PAGES;
}

static void walk_pages(walk_t *w)
{
    uint64_t p = 0;

    while (p < w->h->top) {
        const page_t *page = page_at(w, p);
        uint64_t n = page->n;
        switch (page->kind & 0xff) {
        case PAGE_FREE:
            walk_free(w, p);
            break;
        case PAGE_RUN:
            w->taken += n;
            w->used += n * HEAP_PAGE;
            w->blocks++;
            break;
        case PAGE_SLAB:
            n = HEAP_SLAB_PAGES;
            walk_slab(w, p);
            break;
        default:
            complain(w, "no run begins here", p, page->kind);
            return;
        }
        if (n == 0 || p + n > w->h->top) {
            complain(w, "a run that does not fit", p, n);
            return;
        }
        p += n;
    }
}

static void walk_bins(walk_t *w)
{
    uint64_t n = 0;
    unsigned i;

    for (i = 0; i < HEAP_BINS; i++) {
        uint32_t at, before = 0;
        for (at = w->h->bins[i]; at != 0 && n <= w->h->top; at = page_at(w, at - 1)->next) {
            if (page_at(w, at - 1)->kind != PAGE_FREE || page_at(w, at - 1)->prev != before)
                complain(w, "a bin's list is unsound", i, at);
            before = at;
            n++;
        }
        if ((w->h->bins[i] != 0) != ((w->h->full_bins >> i & 1) != 0))
            complain(w, "a bin's bit is wrong", i, w->h->full_bins);
    }
    if (n != w->free_runs)
        complain(w, "the bins do not hold every free run", n, w->free_runs);
}

/* ---- all together ---------------------------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
    offset_t x = *(const offset_t *)a, y = *(const offset_t *)b;

    return x < y ? -1 : x > y;
}

static void compare(walk_t *w)
{
    size_t i;

    qsort(w->found, w->count, sizeof *w->found, by_offset);
    for (i = 1; i < w->count; i++)
        if (w->found[i] == w->found[i - 1])
            complain(w, "a block is referred to twice", w->found[i], 0);
    if (w->blocks != w->count)
        complain(w, w->blocks > w->count ? "blocks that nothing refers to" : "more references than blocks",
                 w->blocks, w->count);
    if (w->taken != w->h->taken)
        complain(w, "pages taken", w->taken, w->h->taken);
    if (w->used != w->h->used)
        complain(w, "bytes used", w->used, w->h->used);
}

bool bench_walk(self_t *s)
{
    walk_t w = {.s = s, .h = &s->root->heap, .good = true};

    refer_parties(&w);
    refer_body(&w, &s->root->boot);
    refer_store(&w);
    walk_pages(&w);
    if (w.good)
        walk_bins(&w);
    compare(&w);
    if (held(&w, &w.h->lock) || held(&w, &s->root->boot_lock))
        complain(&w, "the heap or the boot body is locked", 0, 0);
    free(w.found);
    return w.good;
}
