/*
 * conform_copy.c - copies and order: clauses C4 and C5.
 */
#include "t/lib/conform.h"

#include <string.h>

/* ---- C4 ---------------------------------------------------------------------------------------------------- */

static void c04_leaves_the_memo(memo_space_t *s)
{
    memo_folder_t f = folder("copied"), from;
    memo_t *m = NULL, *again = NULL;
    tap_ok(memo_get_copy_skip(s, &f, &m) == MEMO_NONE && m == NULL, "c04: no memo, no copy");
    memo_alloc(s, 10000, &m);
    pattern_fill(m, 1);
    memo_put(s, &f, m);
    tap_ok(memo_get_copy(s, &f, &m) == MEMO_OK && pattern_holds(m, 1, 10000), "c04: a copy is the memo's bytes");
    tap_ok(memos_in(s, &f) == 1, "c04: the memo stays");
    from = memo_from(m);
    tap_ok(!memo_folder_valid(&from) && memo_redeliveries(m) == 0, "c04: a copy comes from no folder");
    pattern_fill(m, 2);
    tap_ok(memo_get_copy_skip(s, &f, &again) == MEMO_OK && pattern_holds(again, 1, 10000) &&
               memo_data(again) != memo_data(m),
           "c04: changing a copy changes nobody else's");
    memo_free(again);
    tap_ok(memo_put(s, &f, m) == MEMO_OK && memos_in(s, &f) == 2, "c04: a copy can be put");
    tap_ok(memo_get_copy_for(s, &f, &m, 0) == MEMO_OK && pattern_holds(m, 1, 10000), "c04: get_copy_for");
    memo_free(m);
    tap_ok(memo_get_skip(s, &f, &m) == MEMO_OK && pattern_holds(m, 1, 10000), "c04: the memo was not altered");
    memo_free(m);
    tap_is_int((long long)drain(s, &f), 1, "c04: nor doubled");
    memo_write(s, &f, "", 0);
    tap_ok(memo_get_copy(s, &f, &m) == MEMO_OK && memo_size(m) == 0, "c04: a copy of 0 bytes");
    memo_free(m);
    drain(s, &f);
}

static void c04_alt_of_copies(memo_space_t *s)
{
    memo_folder_t f[3] = {folder("copied 0"), folder("copied 1"), folder("copied 2")};
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_t *m = NULL;
    size_t which = 9;
    sel.folders = f;
    sel.count = 3;
    sel.what = MEMO_COPY;
    put_number(s, &f[2], 2);
    tap_ok(memo_select(s, &sel, &m, &which) == MEMO_OK && which == 2 && number_freed(m) == 2 &&
               memos_in(s, &f[2]) == 1,
           "c04: an alt of copies");
    sel.when_empty = MEMO_STRICT_SKIP;
    tap_ok(memo_select(s, &sel, &m, &which) == MEMO_OK && which == 2 && number_freed(m) == 2 &&
               memos_in(s, &f[2]) == 1,
           "c04: a strict skip of copies");
    drain(s, &f[2]);
    tap_ok(memo_select(s, &sel, &m, &which) == MEMO_NONE && m == NULL, "c04: that finds none");
}

#define C04_COPIERS 30
#define C04_TAKERS 2
#define C04_SIZE 5000

typedef struct served {
    _Atomic(uint64_t) copies;
    _Atomic(uint64_t) takes;
    _Atomic(uint64_t) scribbled; /* by how many of those served */
    _Atomic(uint64_t) number;
} served_t;

/* Overwrites its bytes and, when all others have done so too, finds its own. */
static bool c04_bytes_are_own(served_t *v, memo_t *m, uint64_t seed)
{
    if (!pattern_holds(m, 77, C04_SIZE))
        return false;
    int64_t end = now_ns() + PATIENCE;
    atomic_fetch_add(&v->scribbled, 1);
    while (atomic_load(&v->scribbled) < C04_COPIERS + 1 && now_ns() < end)
        pause_ns(MS / 2);
    pattern_fill(m, seed);
    atomic_fetch_add(&v->scribbled, 1);
    while (atomic_load(&v->scribbled) < 2 * (C04_COPIERS + 1) && now_ns() < end)
        pause_ns(MS / 2);
    return now_ns() < end && pattern_holds(m, seed, C04_SIZE);
}

static int c04_copier(memo_space_t *s, void *arg)
{
    served_t *v = arg;
    memo_folder_t f = folder("served");
    uint64_t me = atomic_fetch_add(&v->number, 1);
    memo_t *m = NULL;
    PEER(memo_get_copy_for(s, &f, &m, PATIENCE) == MEMO_OK);
    atomic_fetch_add(&v->copies, 1);
    PEER(c04_bytes_are_own(v, m, 1000 + me));
    memo_free(m);
    return 0;
}

/* The taker that the first put does not serve takes what ends it: one of 0 bytes. */
static int c04_taker(memo_space_t *s, void *arg)
{
    served_t *v = arg;
    memo_folder_t f = folder("served");
    memo_t *m = NULL;
    PEER(memo_get_for(s, &f, &m, PATIENCE) == MEMO_OK);
    if (memo_size(m) > 0) {
        /* At once, while the copies are still being read. */
        memset(memo_data(m), 0xee, memo_size(m));
        pattern_fill(m, 77);
        atomic_fetch_add(&v->takes, 1);
        PEER(c04_bytes_are_own(v, m, 500));
    }
    memo_free(m);
    return 0;
}

static void c04_all_who_wait(memo_space_t *s)
{
    memo_folder_t f = folder("served");
    served_t *v = peer_shared(sizeof *v);
    peer_t *peers[C04_COPIERS + C04_TAKERS];
    int failed = 0;
    memo_t *m = NULL;
    for (int i = 0; i < C04_COPIERS + C04_TAKERS; i++)
        peers[i] = peer_start(i % 16 == 3 ? c04_taker : c04_copier, v);
    tap_ok(waiters_become(s, &f, C04_COPIERS + C04_TAKERS), "c04: 30 copies and 2 takers wait");
    memo_alloc(s, C04_SIZE, &m);
    pattern_fill(m, 77);
    memo_put(s, &f, m);
    bool served = number_becomes(&v->copies, C04_COPIERS);
    tap_ok(served, "c04: one put serves all the copies (%llu)", (unsigned long long)atomic_load(&v->copies));
    served = number_becomes(&v->takes, 1);
    tap_ok(served && waiters_on(s, &f) == 1 && memos_in(s, &f) == 0, "c04: and exactly one taker");
    memo_write(s, &f, "", 0);
    for (int i = 0; i < C04_COPIERS + C04_TAKERS; i++)
        failed += peer_wait(peers[i]) != 0;
    tap_is_int(failed, 0, "c04: copies and taker share no bytes");
    peer_unshare(v, sizeof *v);
}

static void c04_copies_alone(memo_space_t *s)
{
    memo_folder_t f = folder("copies alone");
    call_t c[3];
    bool right = true;
    for (int i = 0; i < 3; i++) {
        call_get(&c[i], s, &f);
        c[i].select.what = MEMO_COPY;
        call_start(&c[i]);
        right = waiters_become(s, &f, (uint64_t)i + 1) && right;
    }
    put_number(s, &f, 8);
    for (int i = 0; i < 3; i++)
        right = call_wait(&c[i]) == MEMO_OK && number_freed(c[i].m) == 8 && right;
    tap_ok(right && memos_in(s, &f) == 1, "c04: a put that serves copies alone stays in the folder");
    drain(s, &f);
    uint64_t used = stat_of(s).used;
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c04: nothing is left (%llu bytes used)",
           (unsigned long long)used);
}

void c04_copy(memo_space_t *s)
{
    c04_leaves_the_memo(s);
    c04_alt_of_copies(s);
    c04_all_who_wait(s);
    c04_copies_alone(s);
}

/* ---- C5 ---------------------------------------------------------------------------------------------------- */

#define C05_PRODUCERS 4
#define C05_CONSUMERS 3
#define C05_EACH 4000

typedef struct ordered {
    _Atomic(uint64_t) producer;
    _Atomic(uint64_t) taken;
} ordered_t;

static int c05_producer(memo_space_t *s, void *arg)
{
    ordered_t *o = arg;
    uint64_t me = atomic_fetch_add(&o->producer, 1);
    memo_folder_t f = folder("ordered");
    for (uint64_t i = 1; i <= effort(C05_EACH); i++)
        PEER(put_number(s, &f, me << 32 | i) == MEMO_OK);
    return 0;
}

/* What one consumer takes of one producer's memos comes in the order they were put. */
static int c05_consumer(memo_space_t *s, void *arg)
{
    ordered_t *o = arg;
    uint64_t last[C05_PRODUCERS] = {0};
    memo_folder_t f = folder("ordered");
    int64_t end = now_ns() + 2 * PATIENCE;
    while (atomic_load(&o->taken) < C05_PRODUCERS * effort(C05_EACH)) {
        uint64_t number;
        PEER(now_ns() < end);
        if (take_number(s, &f, &number, MS) != MEMO_OK)
            continue;
        atomic_fetch_add(&o->taken, 1);
        PEER(number >> 32 < C05_PRODUCERS);
        PEER((number & UINT32_MAX) > last[number >> 32]);
        last[number >> 32] = number & UINT32_MAX;
    }
    return 0;
}

static void c05_per_producer(memo_space_t *s)
{
    ordered_t *o = peer_shared(sizeof *o);
    peer_t *peers[C05_PRODUCERS + C05_CONSUMERS];
    int failed = 0;
    (void)s;
    for (int i = 0; i < C05_PRODUCERS + C05_CONSUMERS; i++)
        peers[i] = peer_start(i < C05_PRODUCERS ? c05_producer : c05_consumer, o);
    for (int i = 0; i < C05_PRODUCERS + C05_CONSUMERS; i++)
        failed += peer_wait(peers[i]) != 0;
    tap_is_int(failed, 0, "c05: what one puts is taken in that order, by several takers of several producers");
    peer_unshare(o, sizeof *o);
}

static void c05_alone(memo_space_t *s)
{
    memo_folder_t f = folder("alone");
    bool right = true;
    uint64_t number;
    for (uint64_t i = 0; i < effort(3000); i++)
        put_number(s, &f, i);
    for (uint64_t i = 0; i < effort(3000); i++)
        right = take_number(s, &f, &number, 0) == MEMO_OK && number == i && right;
    tap_ok(right, "c05: first in, first out");
}

#define C05_WAITERS 8

typedef struct queue {
    _Atomic(uint64_t) got[C05_WAITERS];
    _Atomic(uint64_t) number;
} queue_t;

/* Waits by get and by alt in turn. */
static int c05_waiter(memo_space_t *s, void *arg)
{
    queue_t *q = arg;
    uint64_t me = atomic_fetch_add(&q->number, 1);
    memo_folder_t f[2] = {folder("another"), folder("awaited")};
    memo_t *m = NULL;
    if (me % 2 == 0)
        PEER(memo_get_for(s, &f[1], &m, PATIENCE) == MEMO_OK);
    else
        PEER(memo_alt_for(s, f, 2, &m, NULL, PATIENCE) == MEMO_OK);
    atomic_store(&q->got[me], number_freed(m));
    return 0;
}

static void c05_first_come(memo_space_t *s)
{
    queue_t *q = peer_shared(sizeof *q);
    memo_folder_t f = folder("awaited");
    peer_t *peers[C05_WAITERS];
    bool right = true;
    for (int i = 0; i < C05_WAITERS; i++) {
        peers[i] = peer_start(c05_waiter, q);
        right = waiters_become(s, &f, (uint64_t)i + 1) && right;
    }
    for (uint64_t i = 0; i < C05_WAITERS; i++)
        put_number(s, &f, 100 + i);
    for (int i = 0; i < C05_WAITERS; i++)
        right = peer_wait(peers[i]) == 0 && right;
    for (uint64_t i = 0; i < C05_WAITERS; i++) {
        if (atomic_load(&q->got[i]) != 100 + i)
            tap_diag("waiter %llu got %llu", (unsigned long long)i, (unsigned long long)atomic_load(&q->got[i]));
        right = atomic_load(&q->got[i]) == 100 + i && right;
    }
    tap_ok(right, "c05: waiters are served first come, first served");
    peer_unshare(q, sizeof *q);
}

static void c05_redelivered_first(memo_space_t *s)
{
    memo_folder_t f = folder("redelivered");
    guest_t *other = guest_open();
    memo_t *m = NULL;
    uint64_t number;
    for (uint64_t i = 1; i <= 3; i++)
        put_number(s, &f, i);
    tap_ok(guest_takes(other, &f) == 1 && guest_close(other) == MEMO_OK && memos_in(s, &f) == 3,
           "c05: a memo whose holder closes goes back");
    tap_ok(memo_get_skip(s, &f, &m) == MEMO_OK && number_in(m) == 1 && memo_redeliveries(m) == 1,
           "c05: to the head, marked");
    memo_put(s, &f, m);
    tap_ok(take_number(s, &f, &number, 0) == MEMO_OK && number == 2 && take_number(s, &f, &number, 0) == MEMO_OK &&
               number == 3 && take_number(s, &f, &number, 0) == MEMO_OK && number == 1,
           "c05: put again, it goes to the end");
}

void c05_order(memo_space_t *s)
{
    c05_alone(s);
    c05_per_producer(s);
    c05_first_come(s);
    c05_redelivered_first(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c05: nothing is left");
}
