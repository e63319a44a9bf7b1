/*
 * heap_page.h - the heap's page descriptors: for heap.c, and for who accounts for every page of a region.
 *
 * The first page of a run says what the run is and how long; its last page says so again, for the neighbour behind
 * it. Pages in between say nothing.
 */
#ifndef HEAP_PAGE_H
#define HEAP_PAGE_H

#include <stdint.h>

enum { PAGE_NONE = 0, PAGE_FREE, PAGE_FREE_END, PAGE_RUN, PAGE_RUN_END, PAGE_SLAB, PAGE_SLAB_REST };

typedef struct page {
    uint32_t kind; /* low byte PAGE_...; above it a slab's class */
    uint32_t n;    /* pages of the run; PAGE_SLAB_REST: pages from the slab's first */
    uint32_t next; /* page + 1: in a bin, or in the partial list; a slab's second page: first free block + 1 */
    uint32_t prev; /* likewise; a slab's second page: used << 16 | never used yet from here on */
} page_t;

/* Bytes of a block of each of HEAP_CLASSES classes. */
#define HEAP_CLASS_BYTES                                                                                           \
    {                                                                                                              \
        16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, \
            1792, 2048                                                                                             \
    }

#endif
