/*
 * history_spans.c - intervals by folder, for the checker: sorted once, then asked by binary search.
 */
#include "t/lib/history_spans.h"

#include <stdlib.h>
#include <string.h>

/* What happens at a time, in the order in which it counts when the times are equal: intervals are closed, and who
 * may be away is away at once. */
enum { AWAY_FROM = 0, THERE_FROM = 1, THERE_TO = 2, AWAY_TO = 3 };

static void insertion_sort(uint64_t *a, uint64_t n)
{
    for (uint64_t i = 1; i < n; i++) {
        uint64_t x = a[i], j = i;
        for (; j > 0 && a[j - 1] > x; j--) {
            a[j] = a[j - 1];
        }
        a[j] = x;
    }
}

/* One pass of a radix sort; false when all words have the same byte there and nothing was moved. */
static bool radix_pass(const uint64_t *a, uint64_t *out, uint64_t n, unsigned shift)
{
    uint64_t at[256] = {0};
    for (uint64_t i = 0; i < n; i++) {
        at[a[i] >> shift & 255]++;
    }
    if (at[a[0] >> shift & 255] == n) {
        return false;
    }
    uint64_t sum = 0;
    for (unsigned d = 0; d < 256; d++) {
        uint64_t count = at[d];
        at[d] = sum;
        sum += count;
    }
    for (uint64_t i = 0; i < n; i++) {
        out[at[a[i] >> shift & 255]++] = a[i];
    }
    return true;
}

static void sort_words(uint64_t *a, uint64_t n, uint64_t *scratch)
{
    if (n < 200) {
        insertion_sort(a, n);
        return;
    }
    uint64_t *from = a, *to = scratch;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if (radix_pass(from, to, n, shift)) {
            uint64_t *swap = from;
            from = to;
            to = swap;
        }
    }
    if (from != a) {
        memcpy(a, from, n * sizeof *a);
    }
}

/* Counts become places; the sum is returned. */
static uint64_t places(uint64_t *first, uint64_t *fill, uint32_t folders)
{
    uint64_t sum = 0;
    for (uint32_t f = 0; f < folders; f++) {
        uint64_t count = first[f];
        first[f] = fill[f] = sum;
        sum += count;
    }
    first[folders] = sum;
    return sum;
}

bool spans_begin(spans_t *s, uint32_t folders)
{
    s->folders = folders;
    s->first = calloc(folders + 1u, sizeof *s->first);
    s->fill = calloc(folders + 1u, sizeof *s->fill);
    s->most = calloc(folders + 1u, sizeof *s->most);
    s->words = NULL;
    return s->first != NULL && s->fill != NULL && s->most != NULL;
}

void spans_count(spans_t *s, uint32_t folder)
{
    s->first[folder] += 2;
}

bool spans_counted(spans_t *s)
{
    uint64_t words = places(s->first, s->fill, s->folders);
    s->words = malloc((words + 1) * sizeof *s->words);
    return s->words != NULL;
}

void spans_add(spans_t *s, uint32_t folder, uint64_t from, uint64_t to)
{
    s->words[s->fill[folder]++] = from << 2 | THERE_FROM;
    s->words[s->fill[folder]++] = to << 2 | THERE_TO;
}

void spans_add_away(spans_t *s, uint32_t folder, uint64_t from, uint64_t to)
{
    s->words[s->fill[folder]++] = from << 2 | AWAY_FROM;
    s->words[s->fill[folder]++] = to << 2 | AWAY_TO;
}

/*
 * Sorted events become disjoint spans. A span is written only after the two events at least that make it have been
 * read, so that it fits into the words behind the reader.
 */
static uint64_t merge_folder(uint64_t *words, uint64_t n, uint64_t *most)
{
    int64_t there = 0, away = 0;
    uint64_t spans = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t time = words[i] >> 2, what = words[i] & 3;
        bool was = there > away;
        there += what == THERE_FROM ? 1 : what == THERE_TO ? -1 : 0;
        away += what == AWAY_FROM ? 1 : what == AWAY_TO ? -1 : 0;
        bool is = there > away;
        if (is && !was) {
            words[2 * spans] = time;
        } else if (was && !is) {
            words[2 * spans + 1] = time;
            spans++;
        }
        if (there > 0 && (uint64_t)there > *most) {
            *most = (uint64_t)there;
        }
    }
    return spans;
}

bool spans_merge(spans_t *s)
{
    uint64_t largest = 1;
    for (uint32_t f = 0; f < s->folders; f++) {
        uint64_t n = s->first[f + 1] - s->first[f];
        largest = n > largest ? n : largest;
    }
    uint64_t *scratch = malloc(largest * sizeof *scratch);
    if (scratch == NULL) {
        return false;
    }
    for (uint32_t f = 0; f < s->folders; f++) {
        uint64_t *words = s->words + s->first[f], n = s->first[f + 1] - s->first[f];
        sort_words(words, n, scratch);
        s->fill[f] = merge_folder(words, n, &s->most[f]);
    }
    free(scratch);
    return true;
}

void spans_free(spans_t *s)
{
    free(s->first);
    free(s->fill);
    free(s->words);
    free(s->most);
}

/* To where the folder is certainly not empty when one starts at `from`; 0 if it may be empty there. */
static uint64_t covered_to(const spans_t *s, uint32_t folder, uint64_t from)
{
    const uint64_t *words = s->words + s->first[folder];
    uint64_t low = 0, high = s->fill[folder];
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (words[2 * middle] <= from) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 && words[2 * low - 1] >= from ? words[2 * low - 1] : 0;
}

bool spans_cover(const spans_t *s, uint32_t folder, uint64_t from, uint64_t to)
{
    return covered_to(s, folder, from) >= to;
}

bool spans_cover_together(const spans_t *s, const uint32_t folders[], uint32_t count, uint64_t from, uint64_t to)
{
    for (;;) {
        uint64_t reached = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t end = covered_to(s, folders[i], from);
            reached = end > reached ? end : reached;
        }
        if (reached >= to) {
            return true;
        }
        if (reached <= from) {
            return false;
        }
        from = reached;
    }
}

bool reach_begin(reach_t *r, uint32_t folders)
{
    r->folders = folders;
    r->first = calloc(folders + 1u, sizeof *r->first);
    r->fill = calloc(folders + 1u, sizeof *r->fill);
    r->items = NULL;
    return r->first != NULL && r->fill != NULL;
}

void reach_count(reach_t *r, uint32_t folder)
{
    r->first[folder]++;
}

bool reach_counted(reach_t *r)
{
    uint64_t items = places(r->first, r->fill, r->folders);
    r->items = malloc((items + 1) * sizeof *r->items);
    return r->items != NULL;
}

void reach_add(reach_t *r, uint32_t folder, uint64_t from, uint64_t to)
{
    r->items[r->fill[folder]++] = (reach_item_t){from, to};
}

static int by_from(const void *left, const void *right)
{
    const reach_item_t *l = left, *r = right;
    return (l->from > r->from) - (l->from < r->from);
}

void reach_sort(reach_t *r)
{
    for (uint32_t f = 0; f < r->folders; f++) {
        reach_item_t *items = r->items + r->first[f];
        uint64_t n = r->first[f + 1] - r->first[f];
        qsort(items, n, sizeof *items, by_from);
        for (uint64_t i = 1; i < n; i++) {
            if (items[i].to < items[i - 1].to) {
                items[i].to = items[i - 1].to;
            }
        }
    }
}

void reach_free(reach_t *r)
{
    free(r->first);
    free(r->fill);
    free(r->items);
}

bool reach_meets(const reach_t *r, uint32_t folder, uint64_t from, uint64_t to)
{
    const reach_item_t *items = r->items + r->first[folder];
    uint64_t low = 0, high = r->first[folder + 1] - r->first[folder];
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (items[middle].from <= to) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 && items[low - 1].to >= from;
}
