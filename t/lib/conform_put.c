/*
 * conform_put.c - folders, puts and what travels: clauses C1 to C3, and the forms of putting.
 */
#include "t/lib/conform.h"

#include <string.h>

/* ---- C1 ---------------------------------------------------------------------------------------------------- */

static bool name_works(memo_space_t *s, const void *bytes, size_t length)
{
    uint64_t number = 0;
    memo_folder_t f = memo_folder_bytes(bytes, length);
    return memo_folder_valid(&f) && put_number(s, &f, length) == MEMO_OK && memos_in(s, &f) == 1 &&
           take_number(s, &f, &number, 0) == MEMO_OK && number == length;
}

static bool name_refused(memo_space_t *s, memo_folder_t f)
{
    memo_t *m = new_number(s, 7);
    memo_t *got = NULL;
    bool right = !memo_folder_valid(&f) && refused(memo_put(s, &f, m), MEMO_EINVAL) &&
                 refused(memo_get_skip(s, &f, &got), MEMO_EINVAL) && got == NULL && number_in(m) == 7;
    memo_free(m);
    return right;
}

/* Names, uses and drains that many folders. */
static bool folders_come_and_go(memo_space_t *s, int many)
{
    bool right = true;
    uint64_t number;
    for (int i = 0; i < many; i++) {
        memo_folder_t f = folder("passing %d", i);
        right = put_number(s, &f, (uint64_t)i) == MEMO_OK && right;
    }
    right = stat_of(s).folders == (uint64_t)many && right;
    for (int i = 0; i < many; i++) {
        memo_folder_t f = folder("passing %d", i);
        right = take_number(s, &f, &number, 0) == MEMO_OK && number == (uint64_t)i && right;
    }
    return right;
}

static void c01_costs_nothing(memo_space_t *s)
{
    const int many = (int)effort(5000);
    bool right = folders_come_and_go(s, many);
    uint64_t used = stat_of(s).used;
    for (int round = 0; round < 4; round++)
        right = folders_come_and_go(s, many) && right;
    tap_ok(right, "c01: %d folders are each of their own", many);
    tap_is_int((long long)stat_of(s).folders, 0, "c01: a folder that holds nothing does not exist");
    uint64_t after = stat_of(s).used;
    tap_ok(after <= used + 65536, "c01: nor does it cost memory (%llu bytes used, before %llu)",
           (unsigned long long)after, (unsigned long long)used);
    uint64_t number;
    for (int i = 0; i < many; i++) {
        memo_folder_t f = folder("asked for %d", i);
        memo_t *m;
        right = memo_get_skip(s, &f, &m) == MEMO_NONE && memos_in(s, &f) == 0 && right;
        right = take_number(s, &f, &number, 0) == MEMO_TIMEDOUT && right;
    }
    tap_ok(right && stat_of(s).folders == 0 && stat_of(s).used <= used + 65536,
           "c01: asking for folders that are not there leaves none");
}

static void c01_limit_and_waiter_keep_it(memo_space_t *s)
{
    memo_folder_t f = folder("limited");
    call_t c;
    tap_ok(memo_limit(s, &f, 3, 0) == MEMO_OK && stat_of(s).folders == 1, "c01: a limit makes a folder exist");
    tap_ok(memo_limit(s, &f, 0, 0) == MEMO_OK && stat_of(s).folders == 0, "c01: without it it is gone");
    call_get(&c, s, &f);
    call_start(&c);
    tap_ok(waiters_become(s, &f, 1) && stat_of(s).folders == 1, "c01: a waiting select makes a folder exist");
    put_number(s, &f, 1);
    tap_ok(call_wait(&c) == MEMO_OK && number_freed(c.m) == 1 && stat_of(s).folders == 0,
           "c01: served, it is gone");
}

void c01_folders(memo_space_t *s)
{
    unsigned char bytes[128];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37);
    tap_ok(name_works(s, "a", 1), "c01: a name of 1 byte");
    tap_ok(name_works(s, bytes, MEMO_NAME_MAX), "c01: a name of 112 bytes");
    tap_ok(name_works(s, "\0", 1) && name_works(s, "\0\0", 2) && name_works(s, "a\0b", 3),
           "c01: names of and with NUL bytes");
    bool all = true;
    for (int value = 0; value < 256; value++) {
        unsigned char one = (unsigned char)value;
        all = name_works(s, &one, 1) && all;
    }
    tap_ok(all, "c01: a name of any byte");
    memo_folder_t zero = memo_folder_bytes("\0", 1), two = memo_folder_bytes("\0\0", 2);
    uint64_t number;
    put_number(s, &zero, 1);
    put_number(s, &two, 2);
    tap_ok(take_number(s, &two, &number, 0) == MEMO_OK && number == 2 &&
               take_number(s, &zero, &number, 0) == MEMO_OK && number == 1,
           "c01: names that differ by NUL bytes are different folders");
    tap_ok(name_refused(s, memo_folder_bytes(bytes, 0)) && name_refused(s, memo_folder("")),
           "c01: 0 bytes are MEMO_EINVAL");
    tap_ok(name_refused(s, memo_folder_bytes(bytes, MEMO_NAME_MAX + 1)), "c01: 113 bytes are MEMO_EINVAL");
    c01_costs_nothing(s);
    c01_limit_and_waiter_keep_it(s);
}

/* ---- C2 ---------------------------------------------------------------------------------------------------- */

#define C02_ROUNDS 2000

/* Whose turn it is goes by shared memory, so that only the put itself makes the memo seen. */
typedef struct turns {
    _Atomic(uint64_t) put_done;
    _Atomic(uint64_t) taken;
} turns_t;

static int c02_looker(memo_space_t *s, void *arg)
{
    turns_t *turns = arg;
    memo_folder_t f = folder("seen");
    for (uint64_t i = 1; i <= effort(C02_ROUNDS); i++) {
        memo_t *m = NULL;
        int64_t end = now_ns() + PATIENCE;
        while (atomic_load(&turns->put_done) < i) {
            PEER(now_ns() < end);
            sched_yield();
        }
        PEER(memo_get_skip(s, &f, &m) == MEMO_OK);
        PEER(number_freed(m) == i);
        PEER(memo_get_skip(s, &f, &m) == MEMO_NONE && m == NULL);
        atomic_store(&turns->taken, i);
    }
    return 0;
}

static void c02_seen_at_once(memo_space_t *s)
{
    memo_folder_t f = folder("seen");
    turns_t *turns = peer_shared(sizeof *turns);
    peer_t *looker = peer_start(c02_looker, turns);
    bool right = true;
    for (uint64_t i = 1; i <= effort(C02_ROUNDS) && right; i++) {
        int64_t end = now_ns() + PATIENCE;
        right = put_number(s, &f, i) == MEMO_OK;
        atomic_store(&turns->put_done, i);
        while (right && atomic_load(&turns->taken) < i) {
            right = now_ns() < end;
            sched_yield();
        }
    }
    tap_ok(peer_wait(looker) == 0 && right, "c02: once a put has returned, another process sees the memo");
    peer_unshare(turns, sizeof *turns);
}

/* A memo that was refused is whole, still ours and can be put elsewhere. */
static bool still_ours(memo_space_t *s, memo_t *m, void *data, uint64_t number)
{
    memo_folder_t other = folder("elsewhere");
    uint64_t got;
    return memo_data(m) == data && number_in(m) == number && memo_put(s, &other, m) == MEMO_OK &&
           take_number(s, &other, &got, 0) == MEMO_OK && got == number;
}

static void c02_failed_put(memo_space_t *s)
{
    memo_folder_t f = folder("limited"), bad = memo_folder("");
    memo_t *m = new_number(s, 5);
    memo_limit(s, &f, 1, 0);
    put_number(s, &f, 1);
    tap_ok(refused(memo_put(s, &f, m), MEMO_EFULL) && still_ours(s, m, memo_data(m), 5) && memos_in(s, &f) == 1,
           "c02: a put refused by a full folder leaves the memo with the caller");
    m = new_number(s, 6);
    tap_ok(memo_put_for(s, &f, m, 2 * MS) == MEMO_TIMEDOUT && still_ours(s, m, memo_data(m), 6) &&
               memos_in(s, &f) == 1,
           "c02: so does one whose time is up");
    m = new_number(s, 7);
    tap_ok(refused(memo_put(s, &bad, m), MEMO_EINVAL) && refused(memo_put(s, NULL, m), MEMO_EINVAL) &&
               still_ours(s, m, memo_data(m), 7),
           "c02: so does one into an invalid folder");
    tap_ok(refused(memo_write(s, &f, "x", 1), MEMO_EFULL) && memos_in(s, &f) == 1,
           "c02: a write that is refused puts nothing");
    drain(s, &f);
    memo_limit(s, &f, 0, 0);
}

void c02_put(memo_space_t *s)
{
    c02_seen_at_once(s);
    c02_failed_put(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c02: nothing is left");
}

/* ---- C3 ---------------------------------------------------------------------------------------------------- */

/* Takes one from "there", checks it against its number and sends it back, until one of 0 bytes from "end". */
static int c03_mirror(memo_space_t *s, void *arg)
{
    (void)arg;
    memo_folder_t f[2] = {folder("there"), folder("end")}, back = folder("back");
    for (;;) {
        memo_t *m = NULL;
        size_t which = 9;
        PEER(memo_alt_for(s, f, 2, &m, &which, PATIENCE) == MEMO_OK);
        if (which == 1) {
            memo_free(m);
            return 0;
        }
        PEER(pattern_holds(m, memo_size(m), memo_size(m)));
        pattern_fill(m, memo_size(m) + 1);
        PEER(memo_put(s, &back, m) == MEMO_OK);
    }
}

static bool c03_goes_and_comes(memo_space_t *s, size_t size)
{
    memo_folder_t there = folder("there"), back = folder("back");
    memo_t *m = NULL;
    if (memo_alloc(s, size, &m) != MEMO_OK || memo_size(m) != size || (uintptr_t)memo_data(m) % 16 != 0)
        return false;
    pattern_fill(m, size);
    if (memo_put(s, &there, m) != MEMO_OK || memo_get_for(s, &back, &m, PATIENCE) != MEMO_OK)
        return false;
    bool right = pattern_holds(m, size + 1, size);
    memo_free(m);
    return right;
}

/* The same by way of the folder, where nobody waits. */
static bool c03_stays_and_comes(memo_space_t *s, size_t size)
{
    memo_folder_t f = folder("rests");
    memo_t *m = NULL;
    if (memo_alloc(s, size, &m) != MEMO_OK)
        return false;
    pattern_fill(m, size);
    if (memo_put(s, &f, m) != MEMO_OK || memos_in(s, &f) != 1 || memo_get_skip(s, &f, &m) != MEMO_OK)
        return false;
    bool right = pattern_holds(m, size, size);
    memo_free(m);
    return right;
}

/* The largest memo that there is room for, in steps of a hundredth of the capacity. */
static uint64_t c03_largest(memo_space_t *s, uint64_t capacity)
{
    memo_t *m = NULL;
    uint64_t size = capacity;
    while (size > 0 && memo_alloc(s, (size_t)size, &m) != MEMO_OK)
        size = size > capacity / 100 ? size - capacity / 100 : 0;
    memo_free(m);
    return size;
}

static void c03_sizes(memo_space_t *s)
{
    static const size_t sizes[] = {0,    1,    7,    8,     15,    16,    17,     63,     64,      65,
                                   4095, 4096, 4097, 65535, 65536, 65537, 131071, 999999, 1048576, 5000000};
    peer_t *mirror = peer_start(c03_mirror, NULL);
    memo_folder_t end = folder("end");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        tap_ok(c03_goes_and_comes(s, sizes[i]) && c03_stays_and_comes(s, sizes[i]),
               "c03: %zu bytes cross and come back intact", sizes[i]);
    /* Between nodes two of them must fit: the putter has its own until that has arrived, and another client of its
     * node may be sent it by then. */
    uint64_t capacity = stat_of(s).capacity, most = capacity / (peers_are_far() ? 3 : 2);
    tap_ok(c03_goes_and_comes(s, (size_t)most), "c03: so do %llu of a capacity of %llu", (unsigned long long)most,
           (unsigned long long)capacity);
    uint64_t largest = c03_largest(s, capacity);
    tap_ok(largest >= capacity / 10 * 9, "c03: one memo can take %llu of %llu bytes", (unsigned long long)largest,
           (unsigned long long)capacity);
    if (!peers_are_far())
        tap_ok(c03_goes_and_comes(s, (size_t)largest), "c03: and crosses");
    memo_write(s, &end, "", 0);
    tap_is_int(peer_wait(mirror), 0, "c03: the other side saw every byte");
}

#define C03_TAKERS 4
#define C03_PUTTERS 3
#define C03_EACH 4000

typedef struct seen {
    _Atomic(uint32_t) times[C03_PUTTERS][C03_EACH];
    _Atomic(uint64_t) taken;
    _Atomic(uint64_t) putter;
} seen_t;

static int c03_putter(memo_space_t *s, void *arg)
{
    seen_t *seen = arg;
    uint64_t me = atomic_fetch_add(&seen->putter, 1);
    memo_folder_t f[2] = {folder("many"), folder("more")};
    for (uint64_t i = 0; i < effort(C03_EACH); i++)
        PEER(put_number(s, &f[i % 2], me * C03_EACH + i) == MEMO_OK);
    return 0;
}

/* Each form of taking in turn. */
static int c03_take(memo_space_t *s, const memo_folder_t f[2], uint64_t turn, memo_t **m)
{
    switch (turn % 5) {
    case 0:
        return memo_get_skip(s, &f[0], m);
    case 1:
        return memo_alt_for(s, f, 2, m, NULL, MS);
    case 2:
        return memo_strict_alt_skip(s, f, 2, m, NULL);
    case 3:
        return memo_get_for(s, &f[1], m, MS);
    default:
        return memo_alt_skip(s, f, 2, m, NULL);
    }
}

static int c03_taker(memo_space_t *s, void *arg)
{
    seen_t *seen = arg;
    memo_folder_t f[2] = {folder("many"), folder("more")};
    int64_t end = now_ns() + 2 * PATIENCE;
    for (uint64_t turn = 0; atomic_load(&seen->taken) < C03_PUTTERS * effort(C03_EACH); turn++) {
        memo_t *m = NULL;
        PEER(now_ns() < end);
        if (c03_take(s, f, turn, &m) != MEMO_OK)
            continue;
        uint64_t number = number_freed(m);
        PEER(number < C03_PUTTERS * C03_EACH);
        atomic_fetch_add(&seen->times[number / C03_EACH][number % C03_EACH], 1);
        atomic_fetch_add(&seen->taken, 1);
    }
    return 0;
}

static void c03_never_twice(memo_space_t *s)
{
    seen_t *seen = peer_shared(sizeof *seen);
    peer_t *peers[C03_PUTTERS + C03_TAKERS];
    int failed = 0, wrong = 0;
    for (int i = 0; i < C03_PUTTERS + C03_TAKERS; i++)
        peers[i] = peer_start(i < C03_PUTTERS ? c03_putter : c03_taker, seen);
    for (int i = 0; i < C03_PUTTERS + C03_TAKERS; i++)
        failed += peer_wait(peers[i]) != 0;
    for (int i = 0; i < C03_PUTTERS * C03_EACH; i++)
        wrong += atomic_load(&seen->times[i / C03_EACH][i % C03_EACH]) != (i % C03_EACH < (int)effort(C03_EACH));
    tap_ok(failed == 0 && wrong == 0, "c03: each of %d memos is taken exactly once (%d were not)",
           C03_PUTTERS * (int)effort(C03_EACH), wrong);
    tap_ok(stat_of(s).memos == 0, "c03: none is left");
    peer_unshare(seen, sizeof *seen);
}

void c03_exactly_once(memo_space_t *s)
{
    c03_sizes(s);
    c03_never_twice(s);
}

/* ---- the forms of putting ------------------------------------------------------------------------------------ */

static void forms_replace(memo_space_t *s)
{
    memo_folder_t f = folder("record"), from;
    memo_t *m = NULL, *copy = NULL;
    uint64_t number;
    put_number(s, &f, 1);
    put_number(s, &f, 2);
    tap_ok(memo_get(s, &f, &m) == MEMO_OK && number_in(m) == 1, "replace: taken");
    from = memo_from(m);
    tap_ok(memcmp(&from, &f, sizeof f) == 0, "memo_from names the folder it was taken from");
    number = 10;
    memcpy(memo_data(m), &number, sizeof number);
    tap_ok(memo_replace(m) == MEMO_OK && take_number(s, &f, &number, 0) == MEMO_OK && number == 2 &&
               take_number(s, &f, &number, 0) == MEMO_OK && number == 10,
           "replace: it goes to the end, changed");
    m = new_number(s, 3);
    from = memo_from(m);
    tap_ok(!memo_folder_valid(&from) && refused(memo_replace(m), MEMO_EINVAL) && number_in(m) == 3,
           "replace: a new memo comes from nowhere, and stays ours");
    memo_put(s, &f, m);
    tap_ok(memo_get_copy(s, &f, &copy) == MEMO_OK && refused(memo_replace(copy), MEMO_EINVAL) &&
               number_in(copy) == 3,
           "replace: so does a copy");
    memo_free(copy);
    memo_get(s, &f, &m);
    memo_limit(s, &f, 1, 0);
    put_number(s, &f, 4);
    tap_ok(refused(memo_replace(m), MEMO_EFULL) && number_in(m) == 3, "replace: a full folder leaves it ours");
    drain(s, &f);
    tap_ok(memo_replace(m) == MEMO_OK && drain(s, &f) == 1, "replace: with room again it goes");
    memo_limit(s, &f, 0, 0);
}

static void forms_write(memo_space_t *s)
{
    memo_folder_t f = folder("written");
    memo_t *m = NULL;
    char text[] = "as it was";
    tap_ok(memo_write(s, &f, text, sizeof text) == MEMO_OK, "write: done");
    memset(text, 'x', sizeof text);
    tap_ok(memo_get_skip(s, &f, &m) == MEMO_OK && memo_size(m) == 10 && memcmp(memo_data(m), "as it was", 10) == 0,
           "write: the bytes of the call arrive");
    memo_free(m);
    tap_ok(memo_write(s, &f, text, 0) == MEMO_OK && memo_get_skip(s, &f, &m) == MEMO_OK && memo_size(m) == 0,
           "write: 0 bytes too");
    memo_free(m);
    size_t size = (size_t)stat_of(s).capacity + 1;
    tap_ok(refused(memo_write(s, &f, NULL, 1), MEMO_EINVAL), "write: null data of a size is refused");
    tap_ok(memo_write(s, &f, text, size) < 0 && memos_in(s, &f) == 0, "write: more than fits puts nothing");
}

#define STARTED 15
#define ROOM 10

static int forms_other_thread(void *arg)
{
    memo_t *m = NULL;
    return memo_flush(arg) == MEMO_OK && memo_flush_failed(arg, &m) == MEMO_NONE && m == NULL ? 0 : 1;
}

static void forms_start_refused(memo_space_t *s)
{
    memo_folder_t f = folder("pipelined"), other = folder("refused");
    uint64_t sum = 0, number;
    int direct = 0, back = 0;
    memo_t *m = NULL;
    memo_limit(s, &f, ROOM, 0);
    for (uint64_t i = 1; i <= STARTED; i++) {
        m = new_number(s, i);
        if (memo_put_start(s, &f, m) != MEMO_OK) {
            direct++;
            memo_put(s, &other, m);
        }
    }
    thread_t *t = thread_start(forms_other_thread, s);
    tap_ok(thread_wait(t) == 0, "put_start: another thread has nothing to flush");
    tap_ok(direct == STARTED - ROOM || refused(memo_flush(s), MEMO_EFULL), "put_start: flush tells of refusals");
    while (memo_flush_failed(s, &m) == MEMO_OK) {
        back++;
        memo_put(s, &other, m);
    }
    tap_ok(m == NULL && back + direct == STARTED - ROOM && memos_in(s, &f) == ROOM,
           "put_start: %d find room, the others come back", ROOM);
    tap_ok(memo_flush(s) == MEMO_OK && memo_flush_failed(s, &m) == MEMO_NONE, "put_start: and that is all");
    while (take_number(s, &f, &number, 0) == MEMO_OK || take_number(s, &other, &number, 0) == MEMO_OK)
        sum += number;
    tap_ok(sum == STARTED * (STARTED + 1) / 2, "put_start: none is lost");
    memo_limit(s, &f, 0, 0);
}

void forms_of_put(memo_space_t *s)
{
    memo_folder_t f = folder("started");
    bool right = true;
    uint64_t number;
    tap_ok(memo_flush(s) == MEMO_OK, "flush: nothing to do");
    for (uint64_t i = 0; i < 1000; i++)
        right = memo_put_start(s, &f, new_number(s, i)) == MEMO_OK && right;
    tap_ok(right && memo_flush(s) == MEMO_OK && memos_in(s, &f) == 1000, "put_start: a flush completes them all");
    for (uint64_t i = 0; i < 1000; i++)
        right = take_number(s, &f, &number, 0) == MEMO_OK && number == i && right;
    tap_ok(right, "put_start: in order");
    forms_start_refused(s);
    forms_replace(s);
    forms_write(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "forms of put: nothing is left");
}
