/*
 * heap.h - the memory of a region: blocks from 16 bytes to nearly all of it.
 *
 * Pages of 4 KiB in runs; a run that is freed joins its free neighbours, so nothing fragments for good. Blocks of
 * up to 2 KiB come from slabs, runs of four pages of one size class. Each party keeps a few free blocks of each
 * class, and a few free runs, for itself: the usual allocation takes no lock and writes no shared line.
 *
 * A block is owned by the field that refers to it: allocation stores it into a field of the party's own body,
 * freeing takes it from there, as one mutation (log.h); from scratch a block goes into the structure it is for in
 * that structure's own mutation. So no death leaks a block or frees one twice.
 */
#ifndef HEAP_H
#define HEAP_H

#include "libmemo/node/log.h"

#define HEAP_PAGE 4096u
#define HEAP_SLAB_PAGES 4u
#define HEAP_CLASS_MAX 2048u

/* Lays the heap out over [from, size) of a new region. */
void heap_format(region_t *r, node_root_t *root, offset_t from);

/*
 * Memory that is never given back, from the far end of the region, where it splits no free run: while a region is
 * formatted (MEMO_OK or region_commit's error), and later, into any field, as a mutation of its own (MEMO_OK, or
 * MEMO_EFULL when the far end is in use).
 */
int heap_permanent_format(region_t *r, node_root_t *root, uint64_t bytes, offset_t *dest);
int heap_permanent(self_t *s, uint64_t bytes, offset_t *dest);

/*
 * A block of at least `bytes` bytes, aligned to 16 (a page, when larger than HEAP_CLASS_MAX), its offset stored in
 * *dest, a field of the party's body, as part of a mutation that is then open: the caller goes on with it, and
 * commits. No mutation may be open before. MEMO_OK or MEMO_EFULL (no sentence; nothing open).
 */
int heap_alloc(self_t *s, uint64_t bytes, offset_t *dest);

/* Frees the block whose offset *source holds, and zeroes that; a mutation of its own. 0 is left alone. The field
 * may be another body's, of a dead party. */
void heap_free(self_t *s, offset_t *source);

/* Gives the party's free blocks back to all. */
void heap_flush(self_t *s);

/* Gives the free blocks of a dead party's body back. */
void heap_flush_of(self_t *s, body_t *dead);

uint64_t heap_capacity(const node_root_t *root); /* bytes of the largest block an empty heap could give */
uint64_t heap_used(self_t *s);                   /* bytes in use; caches are free memory */

/* Bytes of runs and slabs that are not free for everybody: caches are not, nor what slabs have free. */
uint64_t heap_taken(const node_root_t *root);

/* In which of HEAP_BINS bins a free run of n pages hangs. */
unsigned heap_bin(uint32_t n);

/* How many bytes a block of that size really takes. */
uint64_t heap_rounded(uint64_t bytes);

static inline unsigned heap_class(uint64_t bytes)
{
    uint64_t b = bytes - 1;
    unsigned e;

    if (bytes <= 128)
        return bytes == 0 ? 0 : (unsigned)(b >> 4);
    e = 63u - (unsigned)__builtin_clzll(b);
    return 8 + (e - 7) * 4 + (unsigned)((b >> (e - 2)) & 3);
}

/* Somebody found no memory: everyone gives his caches back. */
static inline bool heap_pressed(const self_t *s)
{
    return atomic_load_explicit(&s->root->heap.pressure, memory_order_relaxed) != s->body->pressure;
}

static inline uint32_t heap_count(body_t *b, unsigned class_index, int more)
{
    uint32_t n = atomic_load_explicit(&b->cache_count[class_index], memory_order_relaxed) + (uint32_t)more;
    atomic_store_explicit(&b->cache_count[class_index], n, memory_order_relaxed);
    return n;
}

/* The usual allocation of a small block, as the beginning of a mutation: 0 when the cache is empty. */
static inline offset_t heap_pop(self_t *s, unsigned class_index)
{
    body_t *b = s->body;
    offset_t at = b->cache[class_index];

    if (at != 0) {
        log_u64(s, &b->cache[class_index], *(offset_t *)node_at(s, at));
        heap_count(b, class_index, -1);
    }
    return at;
}

/* The usual freeing, as part of a mutation; the caller calls heap_trim after the commit when it answers true. */
bool heap_push(self_t *s, unsigned class_index, offset_t at);
void heap_trim(self_t *s, unsigned class_index);

#endif
