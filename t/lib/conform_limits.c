/*
 * conform_limits.c - full spaces and full folders: clause C14.
 */
#include "t/lib/conform.h"

#include <stdlib.h>
#include <string.h>

#define SMALL_SPACE "size=4M"

/* ---- a full space ----------------------------------------------------------------------------------------------
 */

/* Puts memos of that size into the folder until there is no room; the bytes that found some. */
static uint64_t fill(memo_space_t *s, const memo_folder_t *f, size_t size, int *last)
{
    uint64_t bytes = 0;
    for (;;) {
        memo_t *m = NULL;
        *last = memo_alloc(s, size, &m);
        if (*last != MEMO_OK)
            return bytes;
        memset(memo_data(m), (int)(bytes % 251), size);
        *last = memo_put(s, f, m);
        if (*last != MEMO_OK) {
            memo_free(m);
            return bytes;
        }
        bytes += size;
    }
}

/* In a space of its own; where there is only one, as the first thing there of that size. */
static uint64_t fill_fresh(memo_space_t *only, size_t size)
{
    const char *uri = only == NULL ? space_fresh(SMALL_SPACE) : NULL;
    memo_space_t *s = only == NULL ? space_open(uri) : only;
    memo_folder_t f = folder("store");
    int last;
    uint64_t bytes = fill(s, &f, size, &last);
    tap_ok(refused(last, MEMO_EFULL) && bytes > 0, "c14: a space full of memos of %zu bytes refuses another", size);
    if (size >= 4000)
        tap_ok(bytes >= stat_of(s).capacity / 2, "c14: and had taken %llu of %llu bytes", (unsigned long long)bytes,
               (unsigned long long)stat_of(s).capacity);
    if (only != NULL) {
        drain(s, &f);
    } else {
        memo_close(s);
        memo_unlink(uri);
    }
    return bytes;
}

/* However the space was filled before, it takes (nearly) what a fresh one takes. */
void c14_refill(memo_space_t *s)
{
    const size_t sizes[] = {peers_are_ranks() ? 500 : 64, 4000, 100000, 400000};
    static const int order[] = {0, 3, 2, 0, 1, 3, 1, 2, 3, 0, 3};
    uint64_t fresh[4];
    int last;
    for (int i = 0; i < 4; i++)
        fresh[i] = fill_fresh(peers_are_ranks() ? s : NULL, sizes[i]);
    memo_folder_t f = folder("store");
    uint64_t used = stat_of(s).used;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        uint64_t bytes = fill(s, &f, sizes[order[i]], &last);
        /* A put from another node is refused though other servers there keep some memory for later. */
        uint64_t less = peers_are_far() ? sizes[order[i]] : 0;
        tap_ok(bytes + less >= fresh[order[i]] / 10 * 9, "c14: filled anew by %zu bytes: %llu of %llu",
               sizes[order[i]], (unsigned long long)bytes, (unsigned long long)fresh[order[i]]);
        tap_ok(drain(s, &f) == bytes / sizes[order[i]] && stat_of(s).memos == 0, "c14: and drained");
    }
    tap_ok(stat_of(s).used <= used + 65536, "c14: nothing of it is used in the end (%llu bytes, before %llu)",
           (unsigned long long)stat_of(s).used, (unsigned long long)used);
}

/* Every second small memo is freed and its room filled by others, over and over; then a large one fits again. */
void c14_mixed(memo_space_t *s)
{
    enum { N = 3000 };
    static memo_t *held[N];
    uint64_t random = tap_seed() + 14;
    bool right = true;
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < N; i++) {
            uint64_t draw = random_next(&random);
            if (held[i] != NULL && draw % 2 == 0) {
                memo_free(held[i]);
                held[i] = NULL;
            }
            if (held[i] == NULL && memo_alloc(s, (size_t)(draw >> 32) % 2500, &held[i]) == MEMO_OK)
                memset(memo_data(held[i]), (int)i, memo_size(held[i]));
        }
    }
    for (int i = 0; i < N; i++) {
        if (held[i] == NULL)
            continue;
        unsigned char *bytes = memo_data(held[i]);
        for (size_t k = 0; k < memo_size(held[i]); k++)
            right = bytes[k] == (unsigned char)i && right;
        memo_free(held[i]);
        held[i] = NULL;
    }
    tap_ok(right, "c14: memos do not overlap");
    memo_t *m = NULL;
    tap_ok(memo_alloc(s, (size_t)(stat_of(s).capacity / 10 * 8), &m) == MEMO_OK, "c14: then a large one fits");
    memo_free(m);
}

/* A call that should have gone well, in a full space. */
static int well(int rc, const char *call)
{
    if (rc != MEMO_OK)
        tap_diag("full, %s: %s [%s]", call, memo_strerror(rc), memo_errmsg());
    return rc != MEMO_OK;
}

static int drain_by_each_form(void *arg)
{
    memo_space_t *s = arg;
    memo_folder_t f[64];
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    memo_t *m[2] = {NULL, NULL};
    for (int i = 0; i < 64; i++)
        f[i] = folder(i == 63 ? "store" : "absent %d", i);
    sel.folders = &f[63];
    sel.count = 1;
    int wrong = well(memo_get(s, &f[63], &m[0]), "get") || well(memo_replace(m[0]), "replace");
    wrong += well(memo_get_skip(s, &f[63], &m[0]), "get_skip") || well(memo_put(s, &f[63], m[0]), "put back");
    wrong +=
        well(memo_strict_alt_skip(s, f, 64, &m[0], NULL), "strict") || well(memo_put(s, &f[63], m[0]), "put back");
    wrong += well(memo_alt(s, f, 64, &m[0], NULL), "alt") || well(memo_put(s, &f[63], m[0]), "put back");
    wrong += well(memo_get_all(s, (memo_folder_t[]){f[63], f[63]}, 2, m), "get_all") ||
             well(memo_put(s, &f[63], m[0]), "put back") || well(memo_put(s, &f[63], m[1]), "put back");
    if (memo_start(s, &sel, &r) == MEMO_OK)
        wrong += well(memo_wait(r, &m[0], NULL, PATIENCE), "wait") || well(memo_put(s, &f[63], m[0]), "put back");
    return wrong;
}

static int c14_drainer(memo_space_t *s, void *arg)
{
    _Atomic(uint64_t) *go = arg;
    memo_folder_t f = folder("store");
    atomic_fetch_add(go, 1);
    PEER(number_becomes(go, 2));
    PEER(drain_by_each_form(s) == 0);
    PEER(drain(s, &f) > 0);
    return 0;
}

void c14_drained(memo_space_t *s)
{
    memo_folder_t f = folder("store"), g = folder("other");
    int last;
    _Atomic(uint64_t) *go = peer_shared(sizeof *go);
    peer_t *p = peer_start(c14_drainer, go);
    number_becomes(go, 1);
    for (size_t size = 100000; size > 0; size /= 10)
        fill(s, &f, size, &last);
    fill(s, &f, 0, &last);
    memo_t *m = NULL;
    /* size= is of each node's memory: with the folder's server on another node, it is that which is full. */
    if (peers_are_far() && memo_alloc(s, 1, &m) == MEMO_OK)
        memo_free(m);
    else
        tap_ok(refused(memo_alloc(s, 1, &m), MEMO_EFULL) && m == NULL, "c14: full to the last byte");
    tap_ok(refused(memo_write(s, &g, "x", 1), MEMO_EFULL) && memos_in(s, &g) == 0, "c14: so a write is refused");
    tap_ok(refused(memo_get_copy_skip(s, &f, &m), MEMO_EFULL) || (m != NULL && memo_size(m) == 100000),
           "c14: so is a copy");
    memo_free(m);
    memo_stat_t stat = {0};
    tap_is_int(memo_stat(s, &stat, sizeof stat), MEMO_OK, "c14: memo_stat answers in a full space");
    tap_ok(stat.memos == memos_in(s, &f) && stat.memos > 0 && stat.used <= stat.capacity, "c14: and says how full");
    tap_is_int(drain_by_each_form(s), 0, "c14: every form of taking works in a full space");
    thread_t *t = thread_start(drain_by_each_form, s);
    tap_is_int(thread_wait(t), 0, "c14: also for a thread that has done nothing before");
    atomic_fetch_add(go, 1);
    tap_is_int(peer_wait(p), 0, "c14: and another process drains it");
    tap_ok(memos_in(s, &f) == 0 && memo_alloc(s, 100000, &m) == MEMO_OK, "c14: then there is room");
    memo_free(m);
    peer_unshare(go, sizeof *go);
}

/* A call that waits for room, in a thread of its own. */
typedef struct room {
    memo_space_t *s;
    memo_folder_t f;
    memo_t *m;
    size_t size;
    int64_t timeout_ns;
    int rc;
    _Atomic(int) done;
} room_t;

static int room_alloc(void *arg)
{
    room_t *r = arg;
    r->rc = memo_alloc_for(r->s, r->size, &r->m, r->timeout_ns);
    atomic_store(&r->done, 1);
    return 0;
}

static int room_put(void *arg)
{
    room_t *r = arg;
    r->rc = memo_put_for(r->s, &r->f, r->m, r->timeout_ns);
    atomic_store(&r->done, 1);
    return 0;
}

void c14_room(memo_space_t *s)
{
    memo_folder_t f = folder("store");
    room_t r = {.s = s, .size = 100000, .timeout_ns = PATIENCE};
    memo_t *m = (memo_t *)&f;
    memo_t *held[64];
    int last, holds = 0;
    fill(s, &f, 100000, &last);
    while (holds < 64 &&
           memo_alloc(s, 100000, &held[holds]) == MEMO_OK) /* where the folder's server is on another node */
        holds++;
    int64_t start = now_ns();
    tap_ok(memo_alloc_for(s, 100000, &m, 20 * MS) == MEMO_TIMEDOUT && m == NULL && now_ns() - start >= 20 * MS,
           "c14: memo_alloc_for waits for room until its time is up");
    thread_t *t = thread_start(room_alloc, &r);
    pause_ns(20 * MS);
    bool early = atomic_load(&r.done);
    uint64_t took = 0;
    while (!atomic_load(&r.done) && took < 3) {
        if (holds > 0)
            m = held[--holds];
        else
            memo_get_skip(s, &f, &m);
        took += m != NULL;
        memo_free(m);
        pause_ns(20 * MS);
    }
    thread_wait(t);
    tap_ok(!early && r.rc == MEMO_OK && r.m != NULL && memo_size(r.m) == 100000, "c14: or there is room");
    memo_free(r.m);
    while (holds > 0)
        memo_free(held[--holds]);
    tap_ok(refused(memo_alloc_for(s, (size_t)stat_of(s).capacity + 1, &m, MEMO_FOREVER), MEMO_EINVAL),
           "c14: what never fits is not waited for");
    drain(s, &f);
}

/* ---- a full folder
 * ------------------------------------------------------------------------------------------------ */

static bool put_of_size(memo_space_t *s, const memo_folder_t *f, size_t size, int wanted)
{
    memo_t *m = NULL;
    if (memo_alloc(s, size, &m) != MEMO_OK)
        return false;
    int rc = memo_put(s, f, m);
    if (rc != MEMO_OK)
        memo_free(m);
    return wanted < 0 ? refused(rc, wanted) : rc == wanted;
}

static void c14_limits_of_a_folder(memo_space_t *s)
{
    memo_folder_t f = folder("narrow");
    tap_ok(memo_limit(s, &f, 3, 0) == MEMO_OK && put_of_size(s, &f, 9, MEMO_OK) && put_of_size(s, &f, 0, MEMO_OK) &&
               put_of_size(s, &f, 100000, MEMO_OK) && put_of_size(s, &f, 0, MEMO_EFULL),
           "c14: a limit of 3 memos");
    drain(s, &f);
    tap_ok(put_of_size(s, &f, 1, MEMO_OK) && drain(s, &f) == 1, "c14: taking makes room");
    tap_ok(memo_limit(s, &f, 0, 1000) == MEMO_OK && put_of_size(s, &f, 600, MEMO_OK) &&
               put_of_size(s, &f, 401, MEMO_EFULL) && put_of_size(s, &f, 400, MEMO_OK) &&
               put_of_size(s, &f, 1, MEMO_EFULL),
           "c14: a limit of 1,000 bytes");
    tap_ok(memo_limit(s, &f, 1, 1) == MEMO_OK && memos_in(s, &f) == 2, "c14: what is there stays");
    tap_ok(put_of_size(s, &f, 0, MEMO_EFULL) && memo_limit(s, &f, 0, 0) == MEMO_OK &&
               put_of_size(s, &f, 5000, MEMO_OK),
           "c14: 0 is no limit");
    drain(s, &f);
    memo_limit(s, &f, 1, 0);
    call_t c;
    call_get(&c, s, &f);
    call_start(&c);
    bool right = waiters_become(s, &f, 1) && put_number(s, &f, 1) == MEMO_OK && call_wait(&c) == MEMO_OK;
    right = right && number_freed(c.m) == 1 && put_number(s, &f, 2) == MEMO_OK && memos_in(s, &f) == 1;
    tap_ok(right, "c14: what goes straight to a waiter takes no room");
    guest_t *other = guest_open();
    guest_takes(other, &f);
    put_number(s, &f, 3);
    guest_close(other);
    tap_ok(memos_in(s, &f) == 2, "c14: what goes back to a full folder is not lost");
    drain(s, &f);
    memo_limit(s, &f, 0, 0);
}

static bool room_comes(memo_space_t *s, room_t *r, void (*make)(memo_space_t *, const memo_folder_t *))
{
    r->m = new_number(s, 99);
    atomic_store(&r->done, 0);
    thread_t *t = thread_start(room_put, r);
    pause_ns(20 * MS);
    bool early = atomic_load(&r->done);
    make(s, &r->f);
    thread_wait(t);
    return !early && r->rc == MEMO_OK;
}

static void by_taking(memo_space_t *s, const memo_folder_t *f)
{
    memo_t *m = NULL;
    memo_get_skip(s, f, &m);
    memo_free(m);
}

static void by_raising(memo_space_t *s, const memo_folder_t *f)
{
    memo_limit(s, f, 3, 1000);
}

static void by_no_limit(memo_space_t *s, const memo_folder_t *f)
{
    memo_limit(s, f, 0, 0);
}

static void c14_put_for(memo_space_t *s)
{
    room_t r = {.s = s, .f = folder("narrow"), .timeout_ns = PATIENCE};
    memo_limit(s, &r.f, 1, 16);
    put_number(s, &r.f, 1);
    memo_t *m = new_number(s, 2);
    int64_t start = now_ns();
    tap_ok(memo_put_for(s, &r.f, m, 20 * MS) == MEMO_TIMEDOUT && now_ns() - start >= 20 * MS && number_in(m) == 2,
           "c14: memo_put_for waits until its time is up");
    int rc = memo_put_for(s, &r.f, m, 0);
    tap_ok((rc == MEMO_TIMEDOUT || rc == MEMO_EFULL) && number_in(m) == 2, "c14: or not at all");
    memo_free(m);
    tap_ok(room_comes(s, &r, by_taking) && memos_in(s, &r.f) == 1, "c14: or until one is taken");
    tap_ok(room_comes(s, &r, by_raising) && memos_in(s, &r.f) == 2, "c14: or the limit is raised");
    put_number(s, &r.f, 4);
    tap_ok(room_comes(s, &r, by_no_limit) && memos_in(s, &r.f) == 4, "c14: or taken away");
    drain(s, &r.f);
}

#define C14_EACH 1500

/* A bounded buffer between processes: nobody is left waiting for room that is there. */
static int c14_producer(memo_space_t *s, void *arg)
{
    (void)arg;
    memo_folder_t f = folder("bounded");
    for (uint64_t i = 1; i <= effort(C14_EACH); i++)
        PEER(memo_put_for(s, &f, new_number(s, i), PATIENCE) == MEMO_OK);
    return 0;
}

static int c14_consumer(memo_space_t *s, void *arg)
{
    (void)arg;
    memo_folder_t f = folder("bounded");
    for (uint64_t i = 1; i <= effort(C14_EACH); i++) {
        uint64_t number;
        PEER(memos_in(s, &f) <= 2);
        PEER(take_number(s, &f, &number, PATIENCE) == MEMO_OK);
    }
    return 0;
}

static void c14_bounded(memo_space_t *s)
{
    memo_folder_t f = folder("bounded");
    peer_t *peers[4];
    int failed = 0;
    memo_limit(s, &f, 2, 0);
    for (int i = 0; i < 4; i++)
        peers[i] = peer_start(i < 2 ? c14_producer : c14_consumer, NULL);
    for (int i = 0; i < 4; i++)
        failed += peer_wait(peers[i]) != 0;
    tap_ok(failed == 0 && memos_in(s, &f) == 0, "c14: %d memos pass through a folder of two",
           2 * (int)effort(C14_EACH));
    memo_limit(s, &f, 0, 0);
}

void c14_limits(memo_space_t *s)
{
    c14_limits_of_a_folder(s);
    c14_put_for(s);
    c14_bounded(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c14: nothing is left");
}
