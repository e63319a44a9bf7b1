/*
 * conform_time.c - timeouts and cancelling: clause C10.
 */
#include "t/lib/conform.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

typedef int (*timed_fn)(memo_space_t *s, const memo_folder_t f[2], int64_t timeout_ns);

static int timed_get(memo_space_t *s, const memo_folder_t f[2], int64_t timeout_ns)
{
    memo_t *m = (memo_t *)&timeout_ns;
    int rc = memo_get_for(s, f, &m, timeout_ns);
    return m == NULL ? rc : -100;
}

static int timed_copy(memo_space_t *s, const memo_folder_t f[2], int64_t timeout_ns)
{
    memo_t *m = (memo_t *)&timeout_ns;
    int rc = memo_get_copy_for(s, f, &m, timeout_ns);
    return m == NULL ? rc : -100;
}

static int timed_alt(memo_space_t *s, const memo_folder_t f[2], int64_t timeout_ns)
{
    memo_t *m = (memo_t *)&timeout_ns;
    int rc = memo_alt_for(s, f, 2, &m, NULL, timeout_ns);
    return m == NULL ? rc : -100;
}

static int timed_join(memo_space_t *s, const memo_folder_t f[2], int64_t timeout_ns)
{
    memo_t *m[2] = {NULL, NULL};
    int rc = memo_get_all_for(s, f, 2, m, timeout_ns);
    return m[0] == NULL && m[1] == NULL ? rc : -100;
}

static int timed_request(memo_space_t *s, const memo_folder_t f[2], int64_t timeout_ns)
{
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    memo_t *m = (memo_t *)&timeout_ns;
    sel.folders = f;
    sel.count = 2;
    sel.timeout_ns = timeout_ns;
    if (memo_start(s, &sel, &r) != MEMO_OK)
        return -101;
    int rc = memo_wait(r, &m, NULL, PATIENCE);
    return m == NULL ? rc : -100;
}

static void c10_not_before(memo_space_t *s)
{
    static const struct {
        const char *name;
        timed_fn call;
    } calls[] = {{"memo_get_for", timed_get},
                 {"memo_get_copy_for", timed_copy},
                 {"memo_alt_for", timed_alt},
                 {"memo_get_all_for", timed_join},
                 {"a started select", timed_request}};
    static const int64_t timeouts[] = {0, 1, 1000, 100 * 1000, 3 * MS, 50 * MS};
    memo_folder_t f[2] = {folder("never"), folder("nothing")};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        bool right = true;
        for (size_t k = 0; k < sizeof timeouts / sizeof timeouts[0]; k++) {
            int64_t start = now_ns();
            int rc = calls[i].call(s, f, timeouts[k]);
            int64_t took = now_ns() - start;
            right = rc == MEMO_TIMEDOUT && took >= timeouts[k] && took < PATIENCE && right;
        }
        tap_ok(right, "c10: %s answers MEMO_TIMEDOUT, and not before", calls[i].name);
    }
    tap_ok(stat_of(s).folders == 0 && stat_of(s).waiters == 0, "c10: and leaves nothing behind");
}

/* The time is up at once, but what is there is had all the same. */
static void c10_at_once(memo_space_t *s)
{
    memo_folder_t f[8];
    memo_t *m[8] = {NULL};
    size_t which = 0;
    bool gets = true, copies = true, alts = true, joins = true;
    for (int i = 0; i < 8; i++) {
        f[i] = folder("there %d", i);
        put_number(s, &f[i], (uint64_t)i);
    }
    for (uint64_t i = 0; i < 8; i++) {
        gets = memo_get_for(s, &f[i], &m[0], 0) == MEMO_OK && number_in(m[0]) == i && gets;
        gets = memo_replace(m[0]) == MEMO_OK && gets;
        copies = memo_get_copy_for(s, &f[i], &m[0], 0) == MEMO_OK && number_freed(m[0]) == i && copies;
        alts = memo_alt_for(s, f, 8, &m[0], &which, 0) == MEMO_OK && number_in(m[0]) == which && alts;
        alts = memo_replace(m[0]) == MEMO_OK && alts;
    }
    tap_ok(gets, "c10: a get with no time to wait takes what is there");
    tap_ok(copies, "c10: a copy likewise");
    tap_ok(alts, "c10: an alt likewise");
    joins = memo_get_all_for(s, f, 8, m, 0) == MEMO_OK;
    for (uint64_t i = 0; i < 8; i++)
        joins = number_freed(m[i]) == i && joins;
    tap_ok(joins, "c10: a join likewise");
    for (int i = 0; i < 8; i++)
        drain(s, &f[i]);
}

#define C10_RACES 6000

typedef struct race {
    _Atomic(uint64_t) wanted; /* the putter puts this one next */
    _Atomic(uint64_t) put;
    uint64_t seed;
} race_t;

/* Puts one memo whenever asked, after a delay of its own. */
static int c10_putter(memo_space_t *s, void *arg)
{
    race_t *r = arg;
    memo_folder_t f = folder("raced");
    uint64_t random = r->seed;
    for (uint64_t i = 1; i <= effort(C10_RACES); i++) {
        int64_t end = now_ns() + PATIENCE;
        while (atomic_load(&r->wanted) < i) {
            PEER(now_ns() < end);
            sched_yield();
        }
        int64_t until = now_ns() + (int64_t)(random_next(&random) % 20000);
        while (now_ns() < until)
            sched_yield();
        PEER(put_number(s, &f, i) == MEMO_OK);
        atomic_store(&r->put, i);
    }
    return 0;
}

/* A request that is cancelled about when the memo comes. MEMO_OK, or nothing was taken. */
static int c10_cancelled(memo_space_t *s, const memo_folder_t f[2], uint64_t draw, memo_t **m)
{
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    sel.folders = f;
    sel.count = 1 + draw % 2;
    int rc = memo_start(s, &sel, &r);
    if (rc != MEMO_OK)
        return rc;
    int64_t until = now_ns() + (int64_t)(draw % 60000);
    while (now_ns() < until)
        sched_yield(); /* to the putter, where there is one CPU for both */
    if (draw >> 16 & 1) {
        rc = memo_test(r, m, NULL);
        if (rc != MEMO_PENDING)
            return rc;
    }
    return memo_cancel(r) == MEMO_OK ? MEMO_TIMEDOUT : -1;
}

static int c10_one_try(memo_space_t *s, const memo_folder_t f[2], bool cancel, uint64_t draw, memo_t **m)
{
    int64_t timeout_ns = (int64_t)(draw % 20000);
    if (cancel)
        return c10_cancelled(s, f, draw >> 20, m);
    if (draw & UINT64_C(1) << 40)
        return memo_alt_for(s, f, 2, m, NULL, timeout_ns);
    return memo_get_for(s, f, m, timeout_ns);
}

/* Every memo is raced for until it is had: by the call that was given it, or because it is in its folder. */
static void c10_race(memo_space_t *s, bool cancel, const char *what)
{
    race_t *r = peer_shared(sizeof *r);
    memo_folder_t f[2] = {folder("raced"), folder("beside")};
    uint64_t random = tap_seed() + cancel, out_of_time = 0, wrong = 0;
    r->seed = random_next(&random);
    peer_t *putter = peer_start(c10_putter, r);
    for (uint64_t i = 1; i <= effort(C10_RACES) && wrong == 0; i++) {
        memo_t *m = NULL;
        int64_t end = now_ns() + PATIENCE;
        atomic_store(&r->wanted, i);
        int rc = c10_one_try(s, f, cancel, random_next(&random), &m);
        out_of_time += rc == MEMO_TIMEDOUT;
        wrong += (rc != MEMO_OK && rc != MEMO_TIMEDOUT) || (rc == MEMO_OK) != (m != NULL);
        while (atomic_load(&r->put) < i && now_ns() < end)
            sched_yield();
        if (m == NULL)
            wrong += memo_get_skip(s, &f[0], &m) != MEMO_OK;
        wrong += number_freed(m) != i || memo_get_skip(s, &f[0], &m) != MEMO_NONE;
    }
    if (wrong != 0)
        atomic_store(&r->wanted, C10_RACES);
    wrong += peer_wait(putter) != 0;
    drain(s, &f[0]);
    tap_ok(wrong == 0, "c10: %s", what);
    tap_diag("of %d races, %llu ended without the memo", (int)effort(C10_RACES), (unsigned long long)out_of_time);
    peer_unshare(r, sizeof *r);
}

/* Copies that give up leave the folder's memo, and theirs, to nobody. */
static void c10_copies(memo_space_t *s)
{
    memo_folder_t f = folder("copies raced");
    uint64_t used = stat_of(s).used, random = tap_seed() + 5;
    bool right = true;
    for (uint64_t i = 0; i < effort(300); i++) {
        call_t c;
        call_get(&c, s, &f);
        c.select.what = MEMO_COPY;
        c.select.timeout_ns = (int64_t)(random_next(&random) % 200000);
        call_start(&c);
        put_number(s, &f, i);
        int rc = call_wait(&c);
        right = (rc == MEMO_OK ? number_freed(c.m) == i : rc == MEMO_TIMEDOUT) && right;
        right = drain(s, &f) == 1 && right;
    }
    tap_ok(right, "c10: a copy that gives up takes nothing with it");
    tap_ok(stat_of(s).used <= used + 65536, "c10: and costs nothing");
}

void c10_time(memo_space_t *s)
{
    c10_not_before(s);
    c10_at_once(s);
    c10_race(s, false, "a timeout never swallows a memo");
    c10_race(s, true, "nor does a cancel");
    c10_copies(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c10: nothing is left");
}
