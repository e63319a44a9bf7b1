/*
 * conform_delayed.c - delayed puts: clause C11.
 */
#include "t/lib/conform.h"

#include <string.h>

static int put_later(memo_space_t *s, const memo_folder_t *trigger, const memo_folder_t *target, uint64_t number)
{
    memo_t *m = new_number(s, number);
    int rc = memo_put_delayed(s, trigger, target, m);
    if (rc != MEMO_OK)
        memo_free(m);
    return rc;
}

static bool holds_one(memo_space_t *s, const memo_folder_t *f, uint64_t number)
{
    uint64_t got = 0;
    return memos_in(s, f) == 1 && take_number(s, f, &got, 0) == MEMO_OK && got == number;
}

static bool is_empty(memo_space_t *s, const memo_folder_t *f)
{
    memo_t *m = NULL;
    return memos_in(s, f) == 0 && memo_get_skip(s, f, &m) == MEMO_NONE;
}

static void c11_trigger_full(memo_space_t *s)
{
    memo_folder_t a = folder("A"), b = folder("B");
    put_number(s, &a, 1);
    tap_ok(put_later(s, &a, &b, 2) == MEMO_OK && holds_one(s, &b, 2),
           "c11: a trigger that holds a memo fires at once");
    tap_ok(holds_one(s, &a, 1), "c11: its memo stays");
}

static void c11_trigger_empty(memo_space_t *s)
{
    memo_folder_t a = folder("A"), b = folder("B");
    tap_ok(put_later(s, &a, &b, 2) == MEMO_OK && is_empty(s, &b) && is_empty(s, &a),
           "c11: an empty trigger holds it back");
    put_number(s, &a, 1);
    tap_ok(holds_one(s, &b, 2) && holds_one(s, &a, 1), "c11: until the trigger holds a memo, which stays");
    put_number(s, &a, 3);
    tap_ok(is_empty(s, &b) && holds_one(s, &a, 3), "c11: it fires once");
    for (uint64_t i = 0; i < 100; i++)
        put_later(s, &a, &b, i);
    tap_ok(is_empty(s, &b), "c11: a hundred on one trigger wait");
    put_number(s, &a, 1);
    tap_ok(memos_in(s, &b) == 100 && drain(s, &b) == 100 && holds_one(s, &a, 1), "c11: and all fire");
}

static void c11_handed_to_a_waiter(memo_space_t *s)
{
    memo_folder_t a = folder("A"), b = folder("B");
    call_t waits_a, waits_b;
    call_get(&waits_a, s, &a);
    call_start(&waits_a);
    bool right = waiters_become(s, &a, 1) && put_later(s, &a, &b, 2) == MEMO_OK && is_empty(s, &b);
    put_number(s, &a, 1);
    right = call_wait(&waits_a) == MEMO_OK && number_freed(waits_a.m) == 1 && right;
    tap_ok(right && holds_one(s, &b, 2) && is_empty(s, &a), "c11: a put handed straight to a waiter fires too");
    call_get(&waits_b, s, &b);
    call_start(&waits_b);
    right = waiters_become(s, &b, 1) && put_later(s, &a, &b, 5) == MEMO_OK && !call_done(&waits_b);
    put_number(s, &a, 4);
    right = call_wait(&waits_b) == MEMO_OK && number_freed(waits_b.m) == 5 && right;
    tap_ok(right && holds_one(s, &a, 4) && is_empty(s, &b), "c11: a memo that fires is handed to a waiter");
}

static void c11_copy_waits_on_trigger(memo_space_t *s)
{
    memo_folder_t a = folder("A"), b = folder("B");
    call_t c;
    call_get(&c, s, &a);
    c.select.what = MEMO_COPY;
    call_start(&c);
    bool right = waiters_become(s, &a, 1) && put_later(s, &a, &b, 2) == MEMO_OK;
    put_number(s, &a, 1);
    right = call_wait(&c) == MEMO_OK && number_freed(c.m) == 1 && right;
    tap_ok(right && holds_one(s, &b, 2) && holds_one(s, &a, 1), "c11: a copy served by the put does not stop it");
}

#define CHAIN 1000

static void c11_chains(memo_space_t *s)
{
    memo_folder_t f[CHAIN + 1];
    bool right = true;
    for (int i = 0; i <= CHAIN; i++)
        f[i] = folder("link %d", i);
    for (int i = 0; i < CHAIN; i++)
        right = put_later(s, &f[i], &f[i + 1], (uint64_t)i + 1) == MEMO_OK && right;
    put_number(s, &f[0], 0);
    for (int i = 0; i <= CHAIN; i++)
        right = holds_one(s, &f[i], (uint64_t)i) && right;
    tap_ok(right, "c11: a chain of %d fires to its end", CHAIN);
    memo_folder_t a = folder("A"), b = folder("B"), c = folder("C");
    put_later(s, &a, &b, 1);
    put_later(s, &b, &a, 2);
    put_number(s, &a, 3);
    tap_ok(memos_in(s, &a) == 2 && memos_in(s, &b) == 1, "c11: a cycle of two ends");
    drain(s, &a);
    drain(s, &b);
    put_later(s, &c, &c, 1);
    put_later(s, &c, &c, 2);
    tap_ok(is_empty(s, &c) && put_number(s, &c, 3) == MEMO_OK && drain(s, &c) == 3,
           "c11: a folder may be its own trigger");
}

static void c11_room(memo_space_t *s)
{
    memo_folder_t a = folder("A"), b = folder("limited");
    memo_limit(s, &b, 2, 0);
    tap_ok(put_later(s, &a, &b, 1) == MEMO_OK && put_later(s, &a, &b, 2) == MEMO_OK, "c11: room for two");
    memo_t *m = new_number(s, 3);
    tap_ok(refused(memo_put_delayed(s, &a, &b, m), MEMO_EFULL) && number_in(m) == 3,
           "c11: the third finds no room, and stays with the caller");
    tap_ok(refused(memo_put(s, &b, m), MEMO_EFULL) && number_in(m) == 3, "c11: the room is reserved against puts");
    put_number(s, &a, 9);
    tap_ok(memos_in(s, &b) == 2 && refused(memo_put(s, &b, m), MEMO_EFULL), "c11: both arrive");
    uint64_t number;
    tap_ok(take_number(s, &b, &number, 0) == MEMO_OK && memo_put(s, &b, m) == MEMO_OK,
           "c11: room given up is room");
    drain(s, &b);
    memo_limit(s, &b, 0, 20);
    drain(s, &a);
    tap_ok(put_later(s, &a, &b, 1) == MEMO_OK && put_later(s, &a, &b, 2) == MEMO_OK &&
               refused(put_later(s, &a, &b, 3), MEMO_EFULL),
           "c11: room is reserved in bytes too");
    put_number(s, &a, 9);
    tap_ok(drain(s, &b) == 2 && drain(s, &a) == 1, "c11: and used");
    memo_limit(s, &b, 0, 0);
    memo_folder_t bad = memo_folder("");
    m = new_number(s, 4);
    tap_ok(refused(memo_put_delayed(s, &bad, &b, m), MEMO_EINVAL) &&
               refused(memo_put_delayed(s, &a, &bad, m), MEMO_EINVAL) && number_in(m) == 4,
           "c11: an invalid folder is refused");
    memo_free(m);
}

static void c11_redelivery_fires(memo_space_t *s)
{
    memo_folder_t a = folder("A"), b = folder("B");
    guest_t *other = guest_open();
    put_number(s, &a, 1);
    guest_takes(other, &a);
    put_later(s, &a, &b, 2);
    bool right = is_empty(s, &b);
    guest_close(other);
    tap_ok(right && holds_one(s, &b, 2) && holds_one(s, &a, 1), "c11: a memo that comes back fires");
}

#define C11_ROUNDS 1500

/* Delays and triggers at once, each from its own process: all fire in the end, each once. */
static int c11_delayer(memo_space_t *s, void *arg)
{
    (void)arg;
    memo_folder_t a = folder("A"), b = folder("B");
    for (uint64_t i = 1; i <= effort(C11_ROUNDS); i++)
        PEER(put_later(s, &a, &b, i) == MEMO_OK);
    return 0;
}

static int c11_trigger(memo_space_t *s, void *arg)
{
    (void)arg;
    memo_folder_t a = folder("A");
    for (uint64_t i = 1; i <= effort(C11_ROUNDS); i++) {
        memo_t *m = NULL;
        PEER(put_number(s, &a, i) == MEMO_OK);
        PEER(memo_get_skip(s, &a, &m) == MEMO_OK);
        memo_free(m);
    }
    return 0;
}

static void c11_at_once(memo_space_t *s)
{
    memo_folder_t a = folder("A"), b = folder("B");
    uint64_t sum = 0, number, rounds = effort(C11_ROUNDS);
    peer_t *delayer = peer_start(c11_delayer, NULL), *trigger = peer_start(c11_trigger, NULL);
    bool right = peer_wait(delayer) == 0;
    right = peer_wait(trigger) == 0 && right;
    put_number(s, &a, 1);
    right = memos_in(s, &b) == rounds && right;
    while (take_number(s, &b, &number, 0) == MEMO_OK)
        sum += number;
    tap_ok(right && sum == rounds * (rounds + 1) / 2,
           "c11: delayed and triggered by two processes at once, each fires once");
    drain(s, &a);
}

void c11_delayed_put(memo_space_t *s)
{
    c11_trigger_full(s);
    c11_trigger_empty(s);
    c11_handed_to_a_waiter(s);
    c11_copy_waits_on_trigger(s);
    c11_chains(s);
    for (int i = 0; i <= CHAIN; i++) {
        memo_folder_t f = folder("link %d", i);
        drain(s, &f);
    }
    c11_room(s);
    c11_redelivery_fires(s);
    c11_at_once(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c11: nothing is left");
}
