/*
 * history_spans.h - when a folder was certainly not empty, and when something may have been in it.
 *
 * spans: for each folder disjoint closed intervals, in order. At every instant of one the folder held a memo.
 * reach: for each folder intervals that may overlap, asked only whether any of them meets a given one.
 *
 * Both are filled in two passes over the same items: first each is counted, then each is added.
 */
#ifndef HISTORY_SPANS_H
#define HISTORY_SPANS_H

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_NEVER (UINT64_MAX >> 2) /* the largest time */

typedef struct spans {
    uint32_t folders;
    uint64_t *first; /* of each folder's part in `words`; folders + 1 */
    uint64_t *fill;  /* while adding: the next free word of each folder. Afterwards: the number of its spans */
    uint64_t *words; /* events, and in their place, once merged, pairs of from and to */
    uint64_t *most;  /* certain memos at one instant, at most */
} spans_t;

bool spans_begin(spans_t *s, uint32_t folders);
void spans_count(spans_t *s, uint32_t folder);
bool spans_counted(spans_t *s);
/* A memo was certainly there from `from` to `to`. */
void spans_add(spans_t *s, uint32_t folder, uint64_t from, uint64_t to);
/* From `from` to `to` any one of the memos may have been away. Counted like the others. */
void spans_add_away(spans_t *s, uint32_t folder, uint64_t from, uint64_t to);
bool spans_merge(spans_t *s);
void spans_free(spans_t *s);

/* Whether the folder held a memo at every instant from `from` to `to`. */
bool spans_cover(const spans_t *s, uint32_t folder, uint64_t from, uint64_t to);
/* Whether at every instant from `from` to `to` one of the folders held a memo. */
bool spans_cover_together(const spans_t *s, const uint32_t folders[], uint32_t count, uint64_t from, uint64_t to);

typedef struct reach_item {
    uint64_t from;
    uint64_t to; /* after reach_sort(): the largest of this and all before */
} reach_item_t;

typedef struct reach {
    uint32_t folders;
    uint64_t *first;
    uint64_t *fill;
    reach_item_t *items;
} reach_t;

bool reach_begin(reach_t *r, uint32_t folders);
void reach_count(reach_t *r, uint32_t folder);
bool reach_counted(reach_t *r);
void reach_add(reach_t *r, uint32_t folder, uint64_t from, uint64_t to);
void reach_sort(reach_t *r);
void reach_free(reach_t *r);

/* Whether any interval of the folder has an instant from `from` to `to`. */
bool reach_meets(const reach_t *r, uint32_t folder, uint64_t from, uint64_t to);

#endif
