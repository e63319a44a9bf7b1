/*
 * conform_join.c - taking from several folders, all or nothing: clause C12.
 */
#include "t/lib/conform.h"

#include <stdlib.h>
#include <string.h>

static void c12_takes_all(memo_space_t *s)
{
    memo_folder_t f[4] = {folder("J 0"), folder("J 1"), folder("J 0"), folder("J 2")};
    memo_t *m[4] = {NULL};
    put_number(s, &f[0], 10);
    put_number(s, &f[0], 11);
    put_number(s, &f[0], 12);
    put_number(s, &f[1], 20);
    tap_ok(memo_get_all_for(s, f, 4, m, 0) == MEMO_TIMEDOUT && m[0] == NULL && m[3] == NULL &&
               memos_in(s, &f[0]) == 3 && memos_in(s, &f[1]) == 1,
           "c12: nothing, while one is missing");
    put_number(s, &f[3], 30);
    tap_ok(memo_get_all(s, f, 4, m) == MEMO_OK, "c12: all, when all are there");
    memo_folder_t from = memo_from(m[1]);
    uint64_t first = number_in(m[0]), second = number_in(m[2]);
    tap_ok(number_in(m[1]) == 20 && number_in(m[3]) == 30 && memcmp(&from, &f[1], sizeof from) == 0,
           "c12: each from its folder");
    tap_ok(first + second == 21 && first != second, "c12: two from the folder that stands twice, in its order");
    tap_ok(memos_in(s, &f[0]) == 1 && memos_in(s, &f[1]) == 0, "c12: and no more");
    for (int i = 0; i < 4; i++)
        memo_free(m[i]);
    drain(s, &f[0]);
}

#define C12_TIMES 50

static void c12_same_folder(memo_space_t *s)
{
    memo_folder_t f[C12_TIMES];
    memo_t *m[C12_TIMES] = {NULL};
    uint64_t sum = 0;
    for (int i = 0; i < C12_TIMES; i++)
        f[i] = folder("same");
    for (uint64_t i = 0; i + 1 < C12_TIMES; i++)
        put_number(s, f, i);
    bool right = memo_get_all_for(s, f, C12_TIMES, m, MS) == MEMO_TIMEDOUT && memos_in(s, f) == C12_TIMES - 1;
    put_number(s, f, C12_TIMES - 1);
    right = memo_get_all_for(s, f, C12_TIMES, m, PATIENCE) == MEMO_OK && right;
    for (int i = 0; i < C12_TIMES; i++)
        sum += number_freed(m[i]);
    tap_ok(right && sum == C12_TIMES * (C12_TIMES - 1) / 2 && memos_in(s, f) == 0,
           "c12: a folder that stands %d times gives %d memos", C12_TIMES, C12_TIMES);
}

static void c12_many(memo_space_t *s, size_t n)
{
    memo_folder_t *f = calloc(n, sizeof *f);
    memo_t **m = calloc(n, sizeof *m);
    if (f == NULL || m == NULL)
        tap_bail("no memory");
    bool right = true;
    for (size_t i = 0; i < n; i++) {
        f[i] = folder("wide %zu", i);
        right = put_number(s, &f[i], i) == MEMO_OK && right;
    }
    right = memo_get_all_for(s, f, n, m, PATIENCE) == MEMO_OK && right;
    for (size_t i = 0; i < n; i++)
        right = number_freed(m[i]) == i && right;
    tap_ok(right, "c12: a join over %zu folders", n);
    free(f);
    free(m);
}

static void join_of_two(call_t *c, memo_space_t *s, const memo_folder_t *a, const memo_folder_t *b)
{
    call_get(c, s, a);
    c->folders[1] = *b;
    c->select.count = 2;
    c->join = true;
    call_start(c);
}

static void c12_waits(memo_space_t *s)
{
    memo_folder_t a = folder("wait A"), b = folder("wait B");
    call_t c;
    uint64_t number;
    put_number(s, &a, 1);
    join_of_two(&c, s, &a, &b);
    pause_ns(30 * MS);
    tap_ok(!call_done(&c) && memos_in(s, &a) == 1, "c12: a waiting join takes nothing early");
    tap_ok(take_number(s, &a, &number, 0) == MEMO_OK && number == 1, "c12: what it could have is anybody's");
    put_number(s, &b, 2);
    pause_ns(30 * MS);
    tap_ok(!call_done(&c) && memos_in(s, &b) == 1, "c12: it goes on waiting");
    call_t get;
    uint64_t waiters = waiters_on(s, &a); /* whether the join counts as one or not */
    call_get(&get, s, &a);
    call_start(&get);
    bool linked = waiters_become(s, &a, waiters + 1);
    put_number(s, &a, 3);
    tap_ok(linked && call_wait(&get) == MEMO_OK && number_freed(get.m) == 3 && !call_done(&c),
           "c12: it holds no place: a later get is served before it");
    put_number(s, &a, 4);
    tap_ok(call_wait(&c) == MEMO_OK && number_freed(c.all[0]) == 4 && number_freed(c.all[1]) == 2,
           "c12: it is done when all are there");
}

/* The second of its memos may come by any way a memo comes. */
static void c12_woken(memo_space_t *s)
{
    memo_folder_t a = folder("woken A"), b = folder("woken B"), t = folder("woken T");
    call_t c;
    memo_t *m = NULL;
    put_number(s, &a, 1);
    join_of_two(&c, s, &a, &b);
    pause_ns(10 * MS);
    m = new_number(s, 2);
    memo_put_delayed(s, &t, &b, m);
    put_number(s, &t, 3);
    tap_ok(call_wait(&c) == MEMO_OK && number_freed(c.all[0]) == 1 && number_freed(c.all[1]) == 2,
           "c12: a delayed put completes it");
    drain(s, &t);
    guest_t *other = guest_open();
    put_number(s, &a, 1);
    put_number(s, &b, 2);
    guest_takes(other, &b);
    join_of_two(&c, s, &a, &b);
    pause_ns(10 * MS);
    bool early = call_done(&c);
    guest_close(other);
    tap_ok(!early && call_wait(&c) == MEMO_OK && number_freed(c.all[0]) == 1 && number_freed(c.all[1]) == 2,
           "c12: a memo that comes back completes it");
}

#define SEATS 5
#define MEALS 300

typedef struct table {
    _Atomic(uint64_t) seat;
    _Atomic(uint64_t) meals;
    _Atomic(int) fork_in_use[SEATS];
} table_t;

static int c12_philosopher(memo_space_t *s, void *arg)
{
    table_t *t = arg;
    uint64_t seat = atomic_fetch_add(&t->seat, 1);
    memo_folder_t f[2] = {folder("fork %d", (int)seat), folder("fork %d", (int)(seat + 1) % SEATS)};
    for (uint64_t i = 0; i < effort(MEALS); i++) {
        memo_t *m[2] = {NULL, NULL};
        PEER(memo_get_all_for(s, f, 2, m, PATIENCE) == MEMO_OK);
        PEER(atomic_fetch_add(&t->fork_in_use[seat], 1) == 0);
        PEER(atomic_fetch_add(&t->fork_in_use[(seat + 1) % SEATS], 1) == 0);
        atomic_fetch_add(&t->meals, 1);
        atomic_fetch_sub(&t->fork_in_use[seat], 1);
        atomic_fetch_sub(&t->fork_in_use[(seat + 1) % SEATS], 1);
        PEER(memo_replace(m[0]) == MEMO_OK);
        PEER(memo_put(s, &f[1], m[1]) == MEMO_OK);
    }
    return 0;
}

static void c12_dining(memo_space_t *s)
{
    table_t *t = peer_shared(sizeof *t);
    peer_t *peers[SEATS];
    int failed = 0;
    uint64_t forks = 0;
    for (int i = 0; i < SEATS; i++) {
        memo_folder_t f = folder("fork %d", i);
        put_number(s, &f, (uint64_t)i);
    }
    for (int i = 0; i < SEATS; i++)
        peers[i] = peer_start(c12_philosopher, t);
    for (int i = 0; i < SEATS; i++)
        failed += peer_wait(peers[i]) != 0;
    for (int i = 0; i < SEATS; i++) {
        memo_folder_t f = folder("fork %d", i);
        forks += drain(s, &f);
    }
    tap_ok(failed == 0 && atomic_load(&t->meals) == SEATS * effort(MEALS) && forks == SEATS,
           "c12: %d philosophers eat %d times each", SEATS, (int)effort(MEALS));
    peer_unshare(t, sizeof *t);
}

#define C12_JOINS 400

typedef struct crowd {
    _Atomic(uint64_t) number;
} crowd_t;

/* Joins over the same three folders named in every order, against gets, alts and joins that give up. */
static int c12_crossing(memo_space_t *s, void *arg)
{
    crowd_t *c = arg;
    static const int orders[6][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {2, 0, 1}, {1, 2, 0}, {0, 2, 1}};
    uint64_t me = atomic_fetch_add(&c->number, 1);
    memo_folder_t f[3];
    for (int i = 0; i < 3; i++)
        f[i] = folder("cross %d", orders[me % 6][i]);
    for (uint64_t i = 0; i < effort(C12_JOINS); i++) {
        memo_t *m[3] = {NULL, NULL, NULL};
        int rc = MEMO_OK;
        if (i % 4 == 1)
            rc = memo_get_all_for(s, f, 3, m, 1000);
        else if (i % 4 == 2)
            rc = memo_alt_for(s, f, 3, &m[0], NULL, PATIENCE);
        else
            rc = memo_get_all_for(s, f, 3, m, PATIENCE);
        PEER(rc == MEMO_OK || (rc == MEMO_TIMEDOUT && i % 4 == 1 && m[0] == NULL));
        for (int k = 0; k < 3; k++) {
            if (m[k] != NULL)
                PEER(memo_replace(m[k]) == MEMO_OK);
        }
    }
    return 0;
}

static void c12_no_deadlock(memo_space_t *s)
{
    crowd_t *c = peer_shared(sizeof *c);
    peer_t *peers[4];
    int failed = 0;
    uint64_t left = 0;
    for (int i = 0; i < 3; i++) {
        memo_folder_t f = folder("cross %d", i);
        put_number(s, &f, 1);
        put_number(s, &f, 2);
    }
    for (int i = 0; i < 4; i++)
        peers[i] = peer_start(c12_crossing, c);
    for (int i = 0; i < 4; i++)
        failed += peer_wait(peers[i]) != 0;
    for (int i = 0; i < 3; i++) {
        memo_folder_t f = folder("cross %d", i);
        left += drain(s, &f);
    }
    tap_ok(failed == 0 && left == 6, "c12: joins that cross each other all end, and lose nothing");
    peer_unshare(c, sizeof *c);
}

void c12_join(memo_space_t *s)
{
    c12_takes_all(s);
    c12_same_folder(s);
    c12_many(s, 1);
    c12_many(s, 1000);
    c12_waits(s);
    c12_woken(s);
    c12_dining(s);
    c12_no_deadlock(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c12: nothing is left");
}
