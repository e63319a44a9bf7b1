/*
 * heap.c - pages in runs, slabs of blocks, and the parties' caches (heap.h).
 *
 * Free runs hang in bins by size.
 */
#include "libmemo/node/heap.h"

#include <string.h>

#include "libmemo/memo.h"
#include "libmemo/node/heap_page.h"
#include "libmemo/node/lock.h"
#include "libmemo/node/wait.h"

#define GROW_PAGES 256u
#define RESERVE_PAGES 64u
#define CACHE_BYTES 8192u
#define CACHE_BLOCKS 32u
#define LARGE_PAGES 1025u

static const uint16_t class_bytes[HEAP_CLASSES] = HEAP_CLASS_BYTES;

static page_t *page_at(const self_t *s, uint32_t p)
{
    return (page_t *)node_at(s, s->root->heap.pages) + p;
}

static offset_t page_offset(const self_t *s, uint32_t p)
{
    return s->root->heap.base + (offset_t)p * HEAP_PAGE;
}

static uint32_t page_of(const self_t *s, offset_t at)
{
    return (uint32_t)((at - s->root->heap.base) / HEAP_PAGE);
}

void heap_format(region_t *r, node_root_t *root, offset_t from)
{
    uint64_t room = r->size - from;
    uint64_t count = room / (HEAP_PAGE + sizeof(page_t));

    root->heap.pages = from;
    root->heap.base = (from + count * sizeof(page_t) + HEAP_PAGE - 1) / HEAP_PAGE * HEAP_PAGE;
    root->heap.count = (r->size - root->heap.base) / HEAP_PAGE;
    if (root->heap.count > count)
        root->heap.count = count;
    root->heap.reserve = root->heap.count / 32 < RESERVE_PAGES ? root->heap.count / 32 : RESERVE_PAGES;
}

static uint64_t far_end(const heap_root_t *h, uint64_t pages)
{
    return h->top + h->reserve + pages <= h->count && h->taken + h->reserve + pages <= h->count ? h->count - pages
                                                                                                : 0;
}

static uint64_t pages_of(uint64_t bytes)
{
    return (bytes + HEAP_PAGE - 1) / HEAP_PAGE;
}

int heap_permanent_format(region_t *r, node_root_t *root, uint64_t bytes, offset_t *dest)
{
    uint64_t p = far_end(&root->heap, pages_of(bytes));

    if (p == 0)
        return MEMO_EFULL;
    *dest = root->heap.base + p * HEAP_PAGE;
    root->heap.count = p;
    return region_commit(r, *dest, *dest + bytes);
}

int heap_permanent(self_t *s, uint64_t bytes, offset_t *dest)
{
    heap_root_t *h = &s->root->heap;
    int result = MEMO_EFULL;
    uint64_t p;

    lock_take(s, &h->lock);
    p = far_end(h, pages_of(bytes));
    if (p != 0)
        result = region_commit(&s->node->region, h->base + p * HEAP_PAGE, h->base + h->count * HEAP_PAGE);
    if (p != 0 && result == MEMO_OK) {
        log_u64(s, dest, h->base + p * HEAP_PAGE);
        log_u64(s, &h->count, p);
        log_commit(s);
    }
    lock_release(&h->lock);
    return result;
}

/* ---- free runs ------------------------------------------------------------------------------------------- */

unsigned heap_bin(uint32_t n)
{
    unsigned e, bin;

    if (n < 32)
        return n - 1;
    e = 31u - (unsigned)__builtin_clz(n);
    bin = 31 + (e - 5) * 2 + ((n >> (e - 1)) & 1);
    return bin < HEAP_BINS ? bin : HEAP_BINS - 1;
}

static void run_insert(self_t *s, uint32_t p, uint32_t n)
{
    heap_root_t *h = &s->root->heap;
    unsigned bin = heap_bin(n);
    uint32_t next = h->bins[bin];
    page_t *page = page_at(s, p);

    log_u32(s, &page->kind, PAGE_FREE);
    log_u32(s, &page->n, n);
    log_u32(s, &page->next, next);
    log_u32(s, &page->prev, 0);
    if (n > 1) {
        log_u32(s, &page[n - 1].kind, PAGE_FREE_END);
        log_u32(s, &page[n - 1].n, n);
    }
    if (next != 0)
        log_u32(s, &page_at(s, next - 1)->prev, p + 1);
    log_u32(s, &h->bins[bin], p + 1);
    if (next == 0)
        log_u64(s, &h->full_bins, h->full_bins | UINT64_C(1) << bin);
}

static void run_remove(self_t *s, uint32_t p)
{
    heap_root_t *h = &s->root->heap;
    page_t *page = page_at(s, p);
    unsigned bin = heap_bin(page->n);

    if (page->next != 0)
        log_u32(s, &page_at(s, page->next - 1)->prev, page->prev);
    if (page->prev != 0)
        log_u32(s, &page_at(s, page->prev - 1)->next, page->next);
    else {
        log_u32(s, &h->bins[bin], page->next);
        if (page->next == 0)
            log_u64(s, &h->full_bins, h->full_bins & ~(UINT64_C(1) << bin));
    }
}

/* The run becomes free, together with its free neighbours. */
static void run_free(self_t *s, uint32_t p, uint32_t n)
{
    heap_root_t *h = &s->root->heap;

    if (p + n < h->top && page_at(s, p + n)->kind == PAGE_FREE) {
        uint32_t more = page_at(s, p + n)->n;
        run_remove(s, p + n);
        n += more;
    }
    if (p > 0) {
        page_t *before = page_at(s, p - 1);
        if (before->kind == PAGE_FREE_END || (before->kind == PAGE_FREE && before->n == 1)) {
            uint32_t more = before->n;
            p -= more;
            n += more;
            run_remove(s, p);
        }
    }
    run_insert(s, p, n);
}

/* A free run of at least n pages; page + 1, or 0. */
static uint32_t run_find(self_t *s, uint32_t n)
{
    heap_root_t *h = &s->root->heap;
    unsigned bin = heap_bin(n);
    uint64_t above = bin + 1 < 64 ? h->full_bins >> (bin + 1) << (bin + 1) : 0;
    uint32_t p;
    int steps = 0;

    for (p = h->bins[bin]; p != 0; p = page_at(s, p - 1)->next) {
        if (page_at(s, p - 1)->n >= n)
            return p;
        if (above != 0 && ++steps == 16)
            break;
    }
    return above != 0 ? h->bins[__builtin_ctzll(above)] : 0;
}

/* Brings pages into use that never were. */
static int grow(self_t *s, uint32_t n)
{
    heap_root_t *h = &s->root->heap;
    uint64_t left = h->count - h->top;
    uint64_t step = n > GROW_PAGES ? n : GROW_PAGES;
    page_t *last = h->top > 0 ? page_at(s, (uint32_t)h->top - 1) : NULL;
    uint32_t behind = 0; /* free pages just below: they count */
    int result;

    if (last != NULL && (last->kind == PAGE_FREE_END || (last->kind == PAGE_FREE && last->n == 1)))
        behind = last->n;
    if (left + behind < n)
        return MEMO_EFULL;
    if (step > left)
        step = left;
    result = region_commit(&s->node->region, h->pages + h->top * sizeof(page_t),
                           h->pages + (h->top + step) * sizeof(page_t));
    if (result == MEMO_OK)
        result =
            region_commit(&s->node->region, h->base + h->top * HEAP_PAGE, h->base + (h->top + step) * HEAP_PAGE);
    if (result != MEMO_OK)
        return MEMO_EFULL;
    {
        uint32_t from = (uint32_t)h->top;
        log_u64(s, &h->top, h->top + step);
        run_free(s, from, (uint32_t)step);
    }
    log_commit(s);
    return MEMO_OK;
}

/* Takes a run of n pages; page + 1, or 0. The mutation is left open. */
static uint32_t run_take(self_t *s, uint32_t n)
{
    heap_root_t *h = &s->root->heap;
    uint32_t found, p, have;

    if (h->taken + n > h->count - (s->from_reserve ? 0 : h->reserve))
        return 0;
    found = run_find(s, n);
    if (found == 0) {
        if (grow(s, n) != MEMO_OK)
            return 0;
        found = run_find(s, n);
        if (found == 0)
            return 0;
    }
    p = found - 1;
    have = page_at(s, p)->n;
    run_remove(s, p);
    if (have > n)
        run_insert(s, p + n, have - n);
    log_u32(s, &page_at(s, p)->kind, PAGE_RUN);
    log_u32(s, &page_at(s, p)->n, n);
    if (n > 1)
        log_u32(s, &page_at(s, p + n - 1)->kind, PAGE_RUN_END);
    log_u64(s, &h->used, h->used + (uint64_t)n * HEAP_PAGE);
    log_u64(s, &h->taken, h->taken + n);
    return found;
}

/* ---- slabs ----------------------------------------------------------------------------------------------- */

static void partial_insert(self_t *s, uint32_t p, unsigned c)
{
    heap_root_t *h = &s->root->heap;
    page_t *page = page_at(s, p);

    log_u32(s, &page->next, h->partial[c]);
    log_u32(s, &page->prev, 0);
    if (h->partial[c] != 0)
        log_u32(s, &page_at(s, h->partial[c] - 1)->prev, p + 1);
    log_u32(s, &h->partial[c], p + 1);
}

static void partial_remove(self_t *s, uint32_t p, unsigned c)
{
    page_t *page = page_at(s, p);

    if (page->next != 0)
        log_u32(s, &page_at(s, page->next - 1)->prev, page->prev);
    if (page->prev != 0)
        log_u32(s, &page_at(s, page->prev - 1)->next, page->next);
    else
        log_u32(s, &s->root->heap.partial[c], page->next);
}

static bool slab_make(self_t *s, unsigned c)
{
    uint32_t found = run_take(s, HEAP_SLAB_PAGES);
    page_t *page;
    uint32_t i;

    if (found == 0)
        return false;
    page = page_at(s, found - 1);
    log_u64(s, &s->root->heap.used, s->root->heap.used - HEAP_SLAB_PAGES * HEAP_PAGE); /* its blocks count */
    log_u32(s, &page->kind, PAGE_SLAB | c << 8);
    for (i = 1; i < HEAP_SLAB_PAGES; i++) {
        log_u32(s, &page[i].kind, PAGE_SLAB_REST);
        log_u32(s, &page[i].n, i);
    }
    log_u32(s, &page[1].next, 0);
    log_u32(s, &page[1].prev, 0);
    partial_insert(s, found - 1, c);
    log_commit(s);
    return true;
}

static uint32_t slab_blocks(unsigned c)
{
    return HEAP_SLAB_PAGES * HEAP_PAGE / class_bytes[c];
}

/* Takes up to n blocks of a slab into the party's cache, chained; answers how many. A mutation of its own. */
static uint32_t slab_take(self_t *s, uint32_t p, unsigned c, uint32_t n)
{
    body_t *b = s->body;
    page_t *page = page_at(s, p);
    uint32_t used = page[1].prev >> 16, fresh = page[1].prev & 0xffff, first_free = page[1].next;
    offset_t base = page_offset(s, p), chain = b->cache[c];
    uint32_t taken = 0;

    while (taken < n && (first_free != 0 || fresh < slab_blocks(c))) {
        offset_t at;
        offset_t *block;
        if (first_free != 0) {
            at = base + (offset_t)(first_free - 1) * class_bytes[c];
            block = node_at(s, at);
            /* Links inside the slab stay as they are until the commit: the cache's chain is another word. */
            first_free = (uint32_t)block[1];
        } else {
            at = base + (offset_t)fresh++ * class_bytes[c];
            block = node_at(s, at);
        }
        block[0] = chain;
        chain = at;
        taken++;
    }
    log_u32(s, &page[1].next, first_free);
    log_u32(s, &page[1].prev, (used + taken) << 16 | fresh);
    log_u64(s, &b->cache[c], chain);
    log_u64(s, &s->root->heap.used, s->root->heap.used + (uint64_t)taken * class_bytes[c]);
    if (used + taken == slab_blocks(c))
        partial_remove(s, p, c);
    log_commit(s);
    heap_count(b, c, (int)taken);
    return taken;
}

/* Returns one block, the first of the chain at *head (of a body's cache), to its slab. A mutation of its own. */
static void slab_return(self_t *s, offset_t *head, unsigned c)
{
    offset_t at = *head;
    offset_t *block = node_at(s, at);
    uint32_t p = page_of(s, at);
    page_t *page = page_at(s, p);
    uint32_t used;

    if ((page->kind & 0xff) == PAGE_SLAB_REST) {
        p -= page->n;
        page = page_at(s, p);
    }
    used = page[1].prev >> 16;
    log_u64(s, head, block[0]);
    block[1] = page[1].next;
    log_u32(s, &page[1].next, (uint32_t)((at - page_offset(s, p)) / class_bytes[c]) + 1);
    log_u32(s, &page[1].prev, (used - 1) << 16 | (page[1].prev & 0xffff));
    log_u64(s, &s->root->heap.used, s->root->heap.used - class_bytes[c]);
    if (used == slab_blocks(c))
        partial_insert(s, p, c);
    if (used == 1) {
        partial_remove(s, p, c);
        log_u64(s, &s->root->heap.taken, s->root->heap.taken - HEAP_SLAB_PAGES);
        run_free(s, p, HEAP_SLAB_PAGES);
    }
    log_commit(s);
}

/* ---- caches ---------------------------------------------------------------------------------------------- */

static uint32_t cache_batch(unsigned c)
{
    uint32_t n = CACHE_BYTES / class_bytes[c];
    return n > CACHE_BLOCKS ? CACHE_BLOCKS : n;
}

static bool cache_refill(self_t *s, unsigned c)
{
    heap_root_t *h = &s->root->heap;
    uint32_t want = cache_batch(c), got = 0;

    lock_take(s, &h->lock);
    while (got < want) {
        if (h->partial[c] == 0 && (got > 0 || !slab_make(s, c)))
            break;
        got += slab_take(s, h->partial[c] - 1, c, want - got);
    }
    lock_release(&h->lock);
    return got > 0;
}

static void wake_waiting(heap_root_t *h)
{
    if (atomic_load_explicit(&h->waiting, memory_order_relaxed) == 0)
        return;
    atomic_fetch_add(&h->bell, 1);
    wait_wake(&h->bell, 1 << 30);
}

static void cache_return(self_t *s, body_t *b, unsigned c, uint32_t keep)
{
    heap_root_t *h = &s->root->heap;

    lock_take(s, &h->lock);
    while (b->cache[c] != 0 && heap_count(b, c, 0) > keep) {
        slab_return(s, &b->cache[c], c);
        heap_count(b, c, -1);
    }
    lock_release(&h->lock);
    wake_waiting(h);
}

bool heap_push(self_t *s, unsigned c, offset_t at)
{
    body_t *b = s->body;

    *(offset_t *)node_at(s, at) = b->cache[c];
    log_u64(s, &b->cache[c], at);
    return heap_count(b, c, 1) > 2 * cache_batch(c) || heap_pressed(s);
}

void heap_trim(self_t *s, unsigned c)
{
    if (heap_pressed(s))
        heap_flush(s);
    else
        cache_return(s, s->body, c, cache_batch(c));
}

static bool large_cached(self_t *s, uint32_t n, offset_t *dest)
{
    body_t *b = s->body;
    unsigned i;

    for (i = 0; i < HEAP_LARGE_SLOTS; i++) {
        offset_t at = b->large[i];
        if (at != 0 && page_at(s, page_of(s, at))->n == n) {
            log_u64(s, &b->large[i], 0);
            log_u64(s, dest, at);
            return true;
        }
    }
    return false;
}

static void large_return(self_t *s, offset_t *source)
{
    heap_root_t *h = &s->root->heap;
    uint32_t p = page_of(s, *source);
    uint32_t n = page_at(s, p)->n;

    lock_take(s, &h->lock);
    log_u64(s, source, 0);
    log_u64(s, &h->used, h->used - (uint64_t)n * HEAP_PAGE);
    log_u64(s, &h->taken, h->taken - n);
    run_free(s, p, n);
    log_commit(s);
    lock_release(&h->lock);
    wake_waiting(h);
}

void heap_flush_of(self_t *s, body_t *b)
{
    unsigned i;

    for (i = 0; i < HEAP_CLASSES; i++)
        if (b->cache[i] != 0) {
            /* A dead party's count proves nothing: the end of the chain ends it. */
            atomic_store_explicit(&b->cache_count[i], UINT32_MAX, memory_order_relaxed);
            cache_return(s, b, i, 0);
            atomic_store_explicit(&b->cache_count[i], 0, memory_order_relaxed);
        }
    for (i = 0; i < HEAP_LARGE_SLOTS; i++)
        if (b->large[i] != 0)
            large_return(s, &b->large[i]);
}

void heap_flush(self_t *s)
{
    s->body->pressure = atomic_load(&s->root->heap.pressure);
    heap_flush_of(s, s->body);
}

/* ---- allocation ------------------------------------------------------------------------------------------ */

static bool small_alloc(self_t *s, unsigned c, offset_t *dest)
{
    offset_t at = heap_pop(s, c);

    if (at == 0) {
        if (!cache_refill(s, c))
            return false;
        at = heap_pop(s, c);
    }
    log_u64(s, dest, at);
    return true;
}

static bool large_alloc(self_t *s, uint32_t n, offset_t *dest)
{
    heap_root_t *h = &s->root->heap;
    uint32_t found;

    if (large_cached(s, n, dest))
        return true;
    lock_take(s, &h->lock);
    found = run_take(s, n);
    if (found != 0) {
        log_u64(s, dest, page_offset(s, found - 1));
        log_commit(s);
    }
    lock_release(&h->lock);
    return found != 0;
}

static bool alloc_once(self_t *s, uint64_t bytes, offset_t *dest)
{
    if (bytes <= HEAP_CLASS_MAX)
        return small_alloc(s, heap_class(bytes), dest);
    if (bytes > heap_capacity(s->root))
        return false;
    return large_alloc(s, (uint32_t)pages_of(bytes), dest);
}

int heap_alloc(self_t *s, uint64_t bytes, offset_t *dest)
{
    if (heap_pressed(s))
        heap_flush(s);
    if (alloc_once(s, bytes, dest))
        return MEMO_OK;
    atomic_fetch_add(&s->root->heap.pressure, 1);
    heap_flush(s);
    return alloc_once(s, bytes, dest) ? MEMO_OK : MEMO_EFULL;
}

static unsigned block_class(const self_t *s, offset_t at, bool *small)
{
    uint32_t p = page_of(s, at);
    const page_t *page = page_at(s, p);

    if ((page->kind & 0xff) == PAGE_SLAB_REST)
        page -= page->n;
    *small = (page->kind & 0xff) == PAGE_SLAB;
    return page->kind >> 8;
}

void heap_free(self_t *s, offset_t *source)
{
    offset_t at = *source;
    bool small, trim;
    unsigned c, i;
    uint32_t n;

    if (at == 0)
        return;
    c = block_class(s, at, &small);
    if (small) {
        trim = heap_push(s, c, at);
        log_u64(s, source, 0);
        log_commit(s);
        if (trim)
            heap_trim(s, c);
        return;
    }
    n = page_at(s, page_of(s, at))->n;
    if (n <= LARGE_PAGES && n <= s->root->heap.count / 64 && !heap_pressed(s))
        for (i = 0; i < HEAP_LARGE_SLOTS; i++)
            if (s->body->large[i] == 0) {
                log_u64(s, &s->body->large[i], at);
                log_u64(s, source, 0);
                log_commit(s);
                return;
            }
    large_return(s, source);
    if (heap_pressed(s))
        heap_flush(s);
}

/* ---- figures --------------------------------------------------------------------------------------------- */

uint64_t heap_capacity(const node_root_t *root)
{
    return (root->heap.count - root->heap.reserve) * HEAP_PAGE;
}

uint64_t heap_taken(const node_root_t *root)
{
    return __atomic_load_n(&root->heap.taken, __ATOMIC_RELAXED) * HEAP_PAGE;
}

uint64_t heap_rounded(uint64_t bytes)
{
    if (bytes <= HEAP_CLASS_MAX)
        return class_bytes[heap_class(bytes)];
    return (bytes + HEAP_PAGE - 1) / HEAP_PAGE * HEAP_PAGE;
}

static uint32_t heap_count_of(const body_t *b, unsigned c)
{
    uint32_t n = atomic_load_explicit(&b->cache_count[c], memory_order_relaxed);
    return n > INT32_MAX ? 0 : n; /* a flush of a chain whose length nobody knows */
}

static uint64_t large_bytes(const self_t *s, offset_t at)
{
    return at == 0 ? 0 : (uint64_t)__atomic_load_n(&page_at(s, page_of(s, at))->n, __ATOMIC_RELAXED) * HEAP_PAGE;
}

static uint64_t cached_bytes(const self_t *s, const body_t *b)
{
    uint64_t cached = 0;
    unsigned c;

    for (c = 0; c < HEAP_CLASSES; c++)
        cached += (uint64_t)heap_count_of(b, c) * class_bytes[c];
    for (c = 0; c < HEAP_LARGE_SLOTS; c++)
        cached += large_bytes(s, __atomic_load_n(&b->large[c], __ATOMIC_RELAXED));
    return cached;
}

uint64_t heap_used(self_t *s)
{
    uint32_t used = atomic_load(&s->root->parties_used), i;
    uint64_t total, cached;

    lock_take(s, &s->root->boot_lock); /* no body comes or goes */
    lock_take(s, &s->root->heap.lock);
    total = s->root->heap.used;
    lock_release(&s->root->heap.lock);
    cached = cached_bytes(s, &s->root->boot);
    for (i = 0; i < used; i++) {
        const body_t *b = party_body(s, node_party(s, i));
        if (b != NULL)
            cached += cached_bytes(s, b);
    }
    lock_release(&s->root->boot_lock);
    return total > cached ? total - cached : 0;
}
