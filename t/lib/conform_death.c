/*
 * conform_death.c - what is left of those who die: clause C13. Those who are killed in the middle of anything are
 * in conform_killed.c.
 */
#include "t/lib/conform_death.h"
#include "t/lib/ranks.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The victim says that it is where it shall die, and stays there. */
static int stay(victim_t *v)
{
    atomic_store(&v->ready, 1);
    for (;;)
        pause();
    return 0;
}

peer_t *victim_start(peer_fn fn, victim_t *v)
{
    atomic_store(&v->ready, 0);
    peer_t *p = peer_start(fn, v);
    if (!number_becomes(&v->ready, 1))
        tap_diag("the victim did not get ready");
    return p;
}

bool clients_become(memo_space_t *s, uint64_t n)
{
    int64_t end = now_ns() + PATIENCE;
    while (stat_of(s).clients != n && now_ns() < end)
        pause_ns(MS);
    return stat_of(s).clients == n;
}

bool used_becomes(memo_space_t *s, uint64_t most)
{
    int64_t end = now_ns() + PATIENCE;
    while (stat_of(s).used > most && now_ns() < end)
        pause_ns(MS);
    if (stat_of(s).used > most)
        tap_diag("%llu bytes used, not %llu", (unsigned long long)stat_of(s).used, (unsigned long long)most);
    return stat_of(s).used <= most;
}

/* ---- waiting ------------------------------------------------------------------------------------------------- */

static int c13_dies_in_alt(memo_space_t *s, void *arg)
{
    victim_t *v = arg;
    memo_folder_t f[3] = {folder("alt 0"), folder("alt 1"), folder("alt 2")};
    memo_t *m = NULL;
    atomic_store(&v->ready, 1);
    memo_alt(s, f, 3, &m, NULL);
    return 1;
}

static int c13_dies_in_copy(memo_space_t *s, void *arg)
{
    victim_t *v = arg;
    memo_folder_t f = folder("alt 1");
    memo_t *m = NULL;
    atomic_store(&v->ready, 1);
    memo_get_copy(s, &f, &m);
    return 1;
}

static int c13_dies_in_join(memo_space_t *s, void *arg)
{
    victim_t *v = arg;
    memo_folder_t f[3] = {folder("alt 0"), folder("alt 1"), folder("alt 2")};
    memo_t *m[3];
    atomic_store(&v->ready, 1);
    memo_get_all(s, f, 3, m);
    return 1;
}

static bool takes_back(memo_space_t *s, int i)
{
    uint64_t number = 0;
    memo_folder_t f = folder("alt %d", i);
    return take_number(s, &f, &number, PATIENCE) == MEMO_OK && number == (uint64_t)i;
}

/* So many clients there are when all deaths are known. Peers that are ranks are there from the beginning. */
static uint64_t clients_without_the_dead(uint64_t before)
{
    return peers_are_ranks() ? (uint64_t)ranks_left() + 1 : before;
}

/* Nothing that is put after its death is lost to the dead. */
static void c13_dies_waiting(memo_space_t *s, victim_t *v, peer_fn dies, bool links, const char *what)
{
    memo_folder_t f = folder("alt 1");
    bool right = true;
    uint64_t clients = stat_of(s).clients, kills = peers_are_ranks() ? 2 : 20;
    for (uint64_t i = 0; i < kills; i++) {
        peer_t *p = victim_start(dies, v);
        if (links)
            right = waiters_become(s, &f, 1) && right;
        else
            pause_ns(5 * MS);
        peer_kill(p);
        for (int k = 0; k < 3; k++) {
            memo_folder_t g = folder("alt %d", k);
            right = put_number(s, &g, (uint64_t)k) == MEMO_OK && right;
        }
        for (int k = 0; k < 3; k++)
            right = takes_back(s, k) && right;
    }
    tap_ok(right, "c13: nothing is given to one killed while waiting in %s", what);
    tap_ok(waiters_become(s, &f, 0) && clients_become(s, clients_without_the_dead(clients)),
           "c13: nor does it wait on");
}

/* One that waits behind the dead in the queue is served. */
static void c13_behind_the_dead(memo_space_t *s, victim_t *v)
{
    memo_folder_t f = folder("alt 1");
    call_t c;
    peer_t *p = victim_start(c13_dies_in_alt, v);
    bool right = waiters_become(s, &f, 1);
    call_get(&c, s, &f);
    call_start(&c);
    right = waiters_become(s, &f, 2) && right;
    peer_kill(p);
    put_number(s, &f, 77);
    tap_ok(right && call_wait(&c) == MEMO_OK && number_freed(c.m) == 77,
           "c13: whoever queued behind the dead is served");
}

/* ---- holding ------------------------------------------------------------------------------------------------- */

static int c13_dies_holding(memo_space_t *s, void *arg)
{
    victim_t *v = arg;
    memo_folder_t f = folder("held"), g = folder("held too");
    memo_t *m = NULL;
    for (int i = 0; i < 3; i++)
        PEER(memo_get(s, &f, &m) == MEMO_OK);
    PEER(memo_get(s, &g, &m) == MEMO_OK);
    PEER(memo_get_copy(s, &f, &m) == MEMO_OK);
    PEER(memo_alloc(s, 3000000, &m) == MEMO_OK);
    memset(memo_data(m), 1, memo_size(m));
    return stay(v);
}

/* The number and mark of each that comes, until the folder is empty. */
static bool comes(memo_space_t *s, const memo_folder_t *f, uint64_t *number, unsigned *marked)
{
    memo_t *m = NULL;
    if (memo_get_for(s, f, &m, PATIENCE) != MEMO_OK)
        return false;
    *marked = memo_redeliveries(m);
    *number = number_freed(m);
    return true;
}

static void c13_what_is_held(memo_space_t *s, victim_t *v)
{
    memo_folder_t f = folder("held"), g = folder("held too");
    uint64_t number = 0, used = stat_of(s).used, sum = 0;
    memo_stat_t before = stat_of(s);
    unsigned marked = 0;
    bool right = true;
    for (uint64_t i = 1; i <= 5; i++)
        put_number(s, &f, i);
    put_number(s, &g, 10);
    peer_t *p = victim_start(c13_dies_holding, v);
    tap_ok(memos_in(s, &f) == 2 && memos_in(s, &g) == 0, "c13: the victim holds memos of two folders");
    peer_kill(p);
    right = comes(s, &g, &number, &marked) && number == 10 && marked == 1;
    tap_ok(right, "c13: what the dead held goes back, marked redelivered");
    right = memos_become(s, &f, 5);
    for (int i = 0; i < 3; i++) {
        right = comes(s, &f, &number, &marked) && marked == 1 && right;
        sum += number;
    }
    tap_ok(right && sum == 6, "c13: to the head of its folder");
    right = comes(s, &f, &number, &marked) && number == 4 && marked == 0;
    right = comes(s, &f, &number, &marked) && number == 5 && marked == 0 && right;
    tap_ok(right, "c13: before the others, which are not marked");
    tap_ok(used_becomes(s, used + 65536), "c13: the memory of what was nobody's else comes back");
    right = clients_become(s, clients_without_the_dead(before.clients));
    memo_stat_t after = stat_of(s);
    tap_ok(right && after.deaths == before.deaths + 1 && after.redelivered == before.redelivered + 4,
           "c13: the death is counted (%llu deaths, %llu redelivered)",
           (unsigned long long)(after.deaths - before.deaths),
           (unsigned long long)(after.redelivered - before.redelivered));
}

/* A get that was there before the death gets what comes back by it. */
static void c13_waiter_is_woken(memo_space_t *s, victim_t *v)
{
    memo_folder_t g = folder("held too"), f = folder("held");
    call_t c;
    for (uint64_t i = 1; i <= 4; i++)
        put_number(s, &f, i);
    put_number(s, &g, 10);
    peer_t *p = victim_start(c13_dies_holding, v);
    call_get(&c, s, &g);
    call_start(&c);
    bool right = waiters_become(s, &g, 1);
    peer_kill(p);
    tap_ok(right && call_wait(&c) == MEMO_OK && memo_redeliveries(c.m) == 1 && number_freed(c.m) == 10,
           "c13: a get that waited already is given it, with nobody else to do anything");
    memos_become(s, &f, 4);
    tap_is_int((long long)drain(s, &f), 4, "c13: nothing is doubled");
}

/* Nor need anybody wait for it: one that only asks finds it too. */
static void c13_asking_is_enough(memo_space_t *s, victim_t *v)
{
    memo_folder_t f = folder("held"), g = folder("held too");
    memo_t *m = NULL;
    for (uint64_t i = 1; i <= 4; i++)
        put_number(s, &f, i);
    put_number(s, &g, 10);
    peer_kill(victim_start(c13_dies_holding, v));
    int64_t end = now_ns() + PATIENCE / 4;
    while (memo_get_skip(s, &g, &m) == MEMO_NONE && now_ns() < end)
        pause_ns(MS);
    tap_ok(m != NULL && number_freed(m) == 10, "c13: or comes to one who asks by get_skip alone");
    if (m == NULL && memo_get_for(s, &g, &m, PATIENCE) == MEMO_OK)
        memo_free(m);
    memos_become(s, &f, 4);
    drain(s, &f);
    drain(s, &g);
}

static int c13_dies_with_requests(memo_space_t *s, void *arg)
{
    victim_t *v = arg;
    memo_folder_t f = folder("requested");
    memo_select_t sel = MEMO_SELECT_INIT;
    sel.folders = &f;
    sel.count = 1;
    for (int i = 0; i < 10; i++) {
        memo_request_t *r = NULL;
        PEER(memo_start(s, &sel, &r) == MEMO_OK);
    }
    return stay(v);
}

static void c13_requests(memo_space_t *s, victim_t *v)
{
    memo_folder_t f = folder("requested");
    peer_t *p = victim_start(c13_dies_with_requests, v);
    uint64_t number = 0, sum = 0;
    unsigned marked = 0, marks = 0;
    bool right = waiters_become(s, &f, 10);
    for (uint64_t i = 1; i <= 4; i++)
        put_number(s, &f, i);
    right = memos_in(s, &f) == 0 && right;
    peer_kill(p);
    for (int i = 0; i < 4; i++) {
        right = comes(s, &f, &number, &marked) && right;
        sum += number;
        marks += marked;
    }
    tap_ok(right && sum == 10 && marks == 4,
           "c13: what was under delivery to started requests goes back, marked (%llu, %u)", (unsigned long long)sum,
           marks);
    tap_ok(waiters_become(s, &f, 0) && put_number(s, &f, 9) == MEMO_OK && drain(s, &f) == 1,
           "c13: its other requests are gone");
}

/* ---- what it began
 * -------------------------------------------------------------------------------------------------- */

/* A delayed put is the space's, not the caller's: it survives him. */
static int c13_dies_after_delaying(memo_space_t *s, void *arg)
{
    memo_folder_t a = folder("A"), b = folder("B");
    PEER(memo_put_delayed(s, &a, &b, new_number(s, 5)) == MEMO_OK);
    return stay(arg);
}

static void c13_delayed(memo_space_t *s, victim_t *v)
{
    memo_folder_t a = folder("A"), b = folder("B");
    uint64_t number = 0;
    peer_kill(victim_start(c13_dies_after_delaying, v));
    put_number(s, &a, 1);
    tap_ok(take_number(s, &b, &number, PATIENCE) == MEMO_OK && number == 5,
           "c13: a delayed put outlives its caller");
    drain(s, &a);
}

/* What it puts it took before; until there is room it still has it. */
static int c13_dies_for_room(memo_space_t *s, void *arg)
{
    victim_t *v = arg;
    memo_folder_t f = folder("limited"), g = folder("brought");
    memo_t *m = NULL;
    PEER(memo_get(s, &g, &m) == MEMO_OK);
    atomic_store(&v->ready, 1);
    memo_put_for(s, &f, m, MEMO_FOREVER);
    return 1;
}

static void c13_killed_for_room(memo_space_t *s, victim_t *v)
{
    memo_folder_t f = folder("limited"), g = folder("brought");
    memo_limit(s, &f, 1, 0);
    put_number(s, &f, 1);
    put_number(s, &g, 5);
    peer_t *p = victim_start(c13_dies_for_room, v);
    pause_ns(10 * MS);
    peer_kill(p);
}

static void c13_for_room(memo_space_t *s, victim_t *v)
{
    memo_folder_t f = folder("limited"), g = folder("brought");
    uint64_t number = 0;
    unsigned marked = 0;
    c13_killed_for_room(s, v);
    tap_ok(comes(s, &g, &number, &marked) && number == 5 && marked == 1,
           "c13: what one killed while waiting for room was to put goes back to where he took it, marked");
    tap_ok(take_number(s, &f, &number, 0) == MEMO_OK && number == 1 && put_number(s, &f, 2) == MEMO_OK &&
               take_number(s, &f, &number, 0) == MEMO_OK && number == 2 &&
               take_number(s, &f, &number, 0) != MEMO_OK,
           "c13: he takes no room");
    memo_limit(s, &f, 0, 0);
}

/* ---- on_death=drop, and closing
 * ---------------------------------------------------------------------------------- */

void c13_drop(memo_space_t *s)
{
    victim_t *v = peer_shared(sizeof *v);
    memo_folder_t f = folder("held"), g = folder("held too");
    uint64_t number = 0, used = stat_of(s).used, clients = stat_of(s).clients;
    for (uint64_t i = 1; i <= 5; i++)
        put_number(s, &f, i);
    put_number(s, &g, 10);
    peer_kill(victim_start(c13_dies_holding, v));
    bool right = clients_become(s, clients_without_the_dead(clients));
    int64_t end = now_ns() + PATIENCE;
    while (stat_of(s).dropped < 4 && now_ns() < end)
        pause_ns(MS);
    tap_ok(right && stat_of(s).dropped == 4, "c13: on_death=drop drops what the dead held, and counts it (%llu)",
           (unsigned long long)stat_of(s).dropped);
    tap_ok(take_number(s, &f, &number, 0) == MEMO_OK && number == 4 && take_number(s, &f, &number, 0) == MEMO_OK &&
               number == 5 && memos_in(s, &f) == 0 && memos_in(s, &g) == 0,
           "c13: only that");
    tap_ok(used_becomes(s, used + 65536), "c13: and its memory comes back");
    c13_killed_for_room(s, v);
    for (end = now_ns() + PATIENCE; stat_of(s).dropped < 5 && now_ns() < end;)
        pause_ns(MS);
    f = folder("limited");
    tap_ok(stat_of(s).dropped == 5 && memos_in(s, &f) == 1 && take_number(s, &f, &number, 0) == MEMO_OK,
           "c13: likewise what one killed while waiting for room was to put");
    memo_limit(s, &f, 0, 0);
    peer_unshare(v, sizeof *v);
}

typedef struct closer {
    memo_folder_t f, g;
} closer_t;

static int c13_holds_and_asks(memo_space_t *s, void *arg)
{
    closer_t *c = arg;
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r[2] = {NULL, NULL};
    memo_t *m = NULL;
    PEER(memo_get(s, &c->f, &m) == MEMO_OK);
    PEER(memo_alloc(s, 1000000, &m) == MEMO_OK);
    sel.folders = &c->g;
    sel.count = 1;
    PEER(memo_start(s, &sel, &r[0]) == MEMO_OK && memo_start(s, &sel, &r[1]) == MEMO_OK);
    return 0;
}

void c13_close(memo_space_t *s)
{
    closer_t *c = peer_shared(sizeof *c);
    memo_folder_t f = c->f = folder("closed"), g = c->g = folder("closed too");
    guest_t *other = guest_open();
    uint64_t number, used = stat_of(s).used;
    unsigned marked = 0;
    put_number(s, &f, 1);
    put_number(s, &f, 2);
    tap_is_int(guest_do(other, c13_holds_and_asks, c), 0, "c13: somebody holds memos and asks for more");
    put_number(s, &g, 7);
    tap_ok(guest_close(other) == MEMO_OK && memos_in(s, &f) == 2 && memos_in(s, &g) == 1 && waiters_on(s, &g) == 0,
           "c13: memo_close gives back what was held and under delivery");
    tap_ok(comes(s, &f, &number, &marked) && number == 1 && marked == 1 && comes(s, &f, &number, &marked) &&
               number == 2 && marked == 0 && take_number(s, &g, &number, 0) == MEMO_OK && number == 7,
           "c13: likewise to the head, marked");
    tap_ok(used_becomes(s, used + 65536), "c13: and the memory of what was new");
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c13: nothing is left");
    peer_unshare(c, sizeof *c);
}

void c13_waiting(memo_space_t *s)
{
    victim_t *v = peer_shared(sizeof *v);
    c13_dies_waiting(s, v, c13_dies_in_alt, true, "alt");
    c13_dies_waiting(s, v, c13_dies_in_copy, true, "get_copy");
    c13_dies_waiting(s, v, c13_dies_in_join, false, "get_all");
    c13_behind_the_dead(s, v);
    peer_unshare(v, sizeof *v);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c13: nothing is left");
}

void c13_holding(memo_space_t *s)
{
    victim_t *v = peer_shared(sizeof *v);
    c13_what_is_held(s, v);
    c13_waiter_is_woken(s, v);
    c13_asking_is_enough(s, v);
    c13_requests(s, v);
    c13_delayed(s, v);
    c13_for_room(s, v);
    peer_unshare(v, sizeof *v);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c13: nothing is left");
}
