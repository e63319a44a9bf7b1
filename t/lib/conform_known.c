/*
 * conform_known.c - what can be asked of a space, and the names of arrays.
 */
#include "t/lib/conform.h"
#include "t/lib/ranks.h"

#include <stdlib.h>
#include <string.h>

/* ---- count, stat, each
 * --------------------------------------------------------------------------------------------------- */

typedef struct visit {
    memo_space_t *s;
    int visited;
    uint64_t memos, bytes, waiters;
    bool wrong;
    int stop_at;
} visit_t;

static int visit_each(const memo_folder_t *f, uint64_t memos, uint64_t bytes, uint64_t waiters, void *arg)
{
    visit_t *v = arg;
    uint64_t counted = 0;
    v->visited++;
    v->memos += memos;
    v->bytes += bytes;
    v->waiters += waiters;
    v->wrong =
        !memo_folder_valid(f) || memo_count(v->s, f, &counted, NULL) != MEMO_OK || counted != memos || v->wrong;
    return v->visited == v->stop_at ? 123 : 0;
}

static void knowing_each(memo_space_t *s)
{
    visit_t v = {.s = s};
    memo_folder_t waited = folder("waited");
    call_t c;
    tap_ok(memo_each(s, visit_each, &v) == MEMO_OK && v.visited == 0, "each: no folder, no visit");
    for (uint64_t i = 0; i < 300; i++) {
        memo_folder_t f = folder("visited %d", (int)(i % 100));
        memo_write(s, &f, "0123456789", i % 10);
    }
    call_get(&c, s, &waited);
    call_start(&c);
    waiters_become(s, &waited, 1);
    tap_ok(memo_each(s, visit_each, &v) == MEMO_OK && v.visited == 101 && v.memos == 300 && v.bytes == 1350 &&
               v.waiters == 1 && !v.wrong,
           "each: every folder, with its figures (%d folders, %llu memos, %llu bytes)", v.visited,
           (unsigned long long)v.memos, (unsigned long long)v.bytes);
    memo_stat_t st = stat_of(s);
    tap_ok(st.folders == 101 && st.memos == 300 && st.bytes == 1350 && st.waiters == 1, "stat: the same, added up");
    v = (visit_t){.s = s, .stop_at = 7};
    tap_ok(memo_each(s, visit_each, &v) == 123 && v.visited == 7, "each: a visit may end the walk");
    put_number(s, &waited, 1);
    call_wait(&c);
    memo_free(c.m);
    for (int i = 0; i < 100; i++) {
        memo_folder_t f = folder("visited %d", i);
        drain(s, &f);
    }
}

static int knowing_waits(memo_space_t *s, void *arg)
{
    memo_folder_t f = folder("counted");
    memo_t *m = NULL;
    (void)arg;
    PEER(memo_get_for(s, &f, &m, PATIENCE) == MEMO_OK);
    memo_free(m);
    return 0;
}

static void knowing_count(memo_space_t *s)
{
    memo_folder_t f = folder("counted");
    uint64_t memos = 9, waiters = 9;
    tap_ok(memo_count(s, &f, &memos, &waiters) == MEMO_OK && memos == 0 && waiters == 0, "count: nothing");
    uint64_t clients = stat_of(s).clients;
    peer_t *p[3];
    for (int i = 0; i < 3; i++)
        p[i] = peer_start(knowing_waits, NULL);
    tap_ok(waiters_become(s, &f, 3) && memo_count(s, &f, &memos, NULL) == MEMO_OK && memos == 0,
           "count: three that wait");
    if (!peers_are_ranks())
        tap_is_int((long long)(stat_of(s).clients - clients), 3, "stat: three clients more");
    else
        tap_is_int((long long)clients, ranks_left() + 1, "stat: as many clients as there are");
    for (uint64_t i = 0; i < 5; i++)
        put_number(s, &f, i);
    int failed = 0;
    for (int i = 0; i < 3; i++)
        failed += peer_wait(p[i]) != 0;
    tap_ok(failed == 0 && memo_count(s, &f, &memos, &waiters) == MEMO_OK && memos == 2 && waiters == 0,
           "count: two memos left");
    tap_ok(memo_count(s, &f, NULL, NULL) == MEMO_OK, "count: nothing asked");
    tap_is_int((long long)stat_of(s).clients, (long long)clients, "stat: as many clients as before");
    drain(s, &f);
}

static void knowing_stat(memo_space_t *s)
{
    memo_folder_t f = folder("stated");
    memo_stat_t before = stat_of(s), after;
    memo_t *m = NULL;
    unsigned char large[sizeof(memo_stat_t) + 64];
    for (int i = 0; i < 10; i++)
        put_number(s, &f, 1);
    memo_get_copy(s, &f, &m);
    memo_free(m);
    after = stat_of(s);
    tap_ok(after.puts - before.puts == 10 && after.copies - before.copies == 1, "stat: ten puts, one copy");
    /* What is used is a figure of this node (memo.h), and the memos may lie in another. */
    tap_ok(after.memos == 10 && after.bytes == 80 && (after.used > before.used || peers_are_far()) &&
               after.used < after.capacity,
           "stat: ten memos, and what they use");
    drain(s, &f);
    tap_ok(stat_of(s).takes - before.takes == 10, "stat: ten takes");
    memset(large, 0xff, sizeof large);
    tap_ok(memo_stat(s, (memo_stat_t *)(void *)large, sizeof large) == MEMO_OK && large[sizeof(memo_stat_t)] == 0 &&
               large[sizeof large - 1] == 0,
           "stat: fields of a later version are zero");
    uint64_t two[3] = {0, 0, 77};
    tap_ok(memo_stat(s, (memo_stat_t *)(void *)two, 16) == MEMO_OK && two[0] == after.capacity && two[2] == 77,
           "stat: of an earlier one, only its own are filled");
}

void knowing(memo_space_t *s)
{
    knowing_count(s);
    knowing_each(s);
    knowing_stat(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0 && stat_of(s).waiters == 0, "knowing: nothing is left");
}

/* ---- symbols and elements
 * ----------------------------------------------------------------------------------------------------- */

#define SYMBOL_PEERS 4
#define SYMBOLS_EACH 1000

typedef struct symbols {
    _Atomic(uint64_t) number;
    memo_symbol_t got[SYMBOL_PEERS][SYMBOLS_EACH];
} symbols_t;

static int names_symbols(memo_space_t *s, void *arg)
{
    symbols_t *t = arg;
    uint64_t me = atomic_fetch_add(&t->number, 1);
    for (int i = 0; i < (int)effort(SYMBOLS_EACH); i++)
        PEER(memo_symbol(s, &t->got[me][i]) == MEMO_OK);
    return 0;
}

static int ascending(const void *a, const void *b)
{
    const memo_symbol_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void names_never_twice(void)
{
    symbols_t *t = peer_shared(sizeof *t);
    peer_t *peers[SYMBOL_PEERS];
    memo_symbol_t *all = &t->got[0][0];
    int failed = 0, twice = 0, each = (int)effort(SYMBOLS_EACH), many = SYMBOL_PEERS * each;
    for (int i = 0; i < SYMBOL_PEERS; i++)
        peers[i] = peer_start(names_symbols, t);
    for (int i = 0; i < SYMBOL_PEERS; i++)
        failed += peer_wait(peers[i]) != 0;
    for (int i = 1; i < SYMBOL_PEERS; i++)
        memmove(&all[i * each], t->got[i], (size_t)each * sizeof *all);
    qsort(all, (size_t)many, sizeof *all, ascending);
    for (int i = 1; i < many; i++)
        twice += all[i] == all[i - 1];
    tap_ok(failed == 0 && twice == 0 && all[0] != 0,
           "symbol: none is given twice, by processes that are gone either");
    memo_symbol_t named = memo_symbol_named("matrix");
    tap_ok(bsearch(&named, all, (size_t)many, sizeof *all, ascending) == NULL, "symbol: nor is a text's");
    peer_unshare(t, sizeof *t);
}

static void names_elements(memo_space_t *s)
{
    enum { N = 20 };
    memo_symbol_t a = memo_symbol_named("a"), b = 0;
    bool right = true;
    memo_symbol(s, &b);
    for (int64_t i = -N / 2; i < N / 2; i++) {
        for (int64_t k = -N / 2; k < N / 2; k++) {
            memo_folder_t f = memo_folder_at(a, 2, (int64_t[]){i, k}), g = memo_folder_at(b, 2, (int64_t[]){i, k});
            right = put_number(s, &f, (uint64_t)(i * 1000 + k)) == MEMO_OK && right;
            right = put_number(s, &g, (uint64_t)(i * 1000 + k + 7)) == MEMO_OK && right;
        }
    }
    right = stat_of(s).folders == (uint64_t)(2 * N * N) && right;
    for (int64_t i = -N / 2; i < N / 2; i++) {
        for (int64_t k = -N / 2; k < N / 2; k++) {
            memo_folder_t f = memo_folder_at(a, 2, (int64_t[]){i, k}), g = memo_folder_at(b, 2, (int64_t[]){i, k});
            uint64_t x = 0, y = 0;
            take_number(s, &f, &x, 0);
            take_number(s, &g, &y, 0);
            right = x == (uint64_t)(i * 1000 + k) && y == (uint64_t)(i * 1000 + k + 7) && right;
        }
    }
    tap_ok(right, "folder_at: every element of two arrays is a folder of its own");
}

static bool differs(memo_folder_t f, memo_folder_t g)
{
    return memcmp(&f, &g, sizeof f) != 0;
}

static void names_ranks(memo_space_t *s)
{
    int64_t index[MEMO_RANK_MAX + 1] = {0};
    memo_symbol_t a = memo_symbol_named("a");
    memo_folder_t f[MEMO_RANK_MAX + 1];
    bool right = true;
    for (size_t rank = 0; rank <= MEMO_RANK_MAX; rank++) {
        f[rank] = memo_folder_at(a, rank, index);
        right = memo_folder_valid(&f[rank]) && put_number(s, &f[rank], rank) == MEMO_OK && right;
    }
    for (size_t rank = 0; rank <= MEMO_RANK_MAX; rank++) {
        uint64_t number = 99;
        right = take_number(s, &f[rank], &number, 0) == MEMO_OK && number == rank && right;
    }
    tap_ok(right, "folder_at: elements of every rank, 0 to 13, differ");
    memo_folder_t bad = memo_folder_at(a, MEMO_RANK_MAX + 1, index), none = memo_folder_at(0, 1, index),
                  null = memo_folder_at(a, 1, NULL), scalar = memo_folder_at(a, 0, NULL);
    tap_ok(!memo_folder_valid(&bad) && !memo_folder_valid(&null), "folder_at: not of rank 14, nor of no indices");
    tap_ok(!memo_folder_valid(&none), "folder_at: nor of no symbol");
    tap_ok(memo_folder_valid(&scalar), "folder_at: rank 0 needs no indices");
    memo_folder_t element = memo_folder_at(a, 1, (int64_t[]){5});
    memo_folder_t text = memo_folder_bytes(element.bytes, element.length);
    tap_ok(!differs(element, memo_folder_at(a, 1, (int64_t[]){5})),
           "folder_at: the same element is the same folder");
    tap_ok(differs(element, text) && put_number(s, &element, 1) == MEMO_OK && memos_in(s, &text) == 0 &&
               drain(s, &element) == 1,
           "folder_at: an element is never a text's folder");
}

static int names_same_everywhere(memo_space_t *s, void *arg)
{
    (void)s;
    PEER(memo_symbol_named("the same") == *(memo_symbol_t *)arg);
    return 0;
}

void names(memo_space_t *s)
{
    memo_folder_t text = memo_folder("same bytes"), bytes = memo_folder_bytes("same bytes", 10);
    tap_ok(!differs(text, bytes), "folder: a text and the same bytes name the same folder");
    tap_ok(differs(memo_folder("a"), memo_folder("b")) && differs(memo_folder("a"), memo_folder_bytes("a", 2)),
           "folder: others do not");
    tap_ok(memo_symbol_named("a") != memo_symbol_named("b") && memo_symbol_named("a") != 0 &&
               memo_symbol_named("") != 0 && memo_symbol_named(NULL) == 0,
           "symbol_named: by text; 0 for NULL");
    memo_symbol_t *shared = peer_shared(sizeof *shared);
    *shared = memo_symbol_named("the same");
    tap_is_int(peer_wait(peer_start(names_same_everywhere, shared)), 0, "symbol_named: the same in every process");
    peer_unshare(shared, sizeof *shared);
    names_never_twice();
    names_elements(s);
    names_ranks(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "names: nothing is left");
}
