/*
 * actor_put.c - the actor's puts, in all their forms, and what it does with memos in its hands.
 *
 * A put is begun on the tape before the memo bears its new name, and what the put's refusal changes back is changed
 * back before its end is written: at every instant a kill leaves one of the two names, and a record that says how.
 */
#include "t/lib/actor.h"

#include <stddef.h>

/* Most are small, a few as large as there may be; in a flood, many. */
static size_t some_size(actor_t *a)
{
    uint32_t most = a->world->max_size, kind = actor_below(a, 200);
    size_t size;
    if (kind < 20) {
        size = actor_below(a, 8);
    } else if (kind < 140) {
        size = 8 + actor_below(a, 60);
    } else if (kind < 180) {
        size = actor_below(a, 2000);
    } else if (kind < 197) {
        size = actor_below(a, 40000);
    } else {
        size = actor_below(a, most + 1);
    }
    if (actor_flood() && actor_below(a, 2) == 0) {
        size = actor_below(a, most + 1);
    }
    return size < most ? size : most;
}

static history_record_t *begin_put(actor_t *a, uint8_t kind, uint32_t folder, size_t size, uint64_t origin,
                                   int64_t timeout)
{
    history_record_t r = {.kind = kind, .folder = folder, .origin = origin, .timeout = timeout};
    if (size < 8) {
        r.flags = HISTORY_TOKEN;
    } else {
        r.memo = history_name(a->tape);
    }
    return history_begin(a->h, a->tape, &r);
}

/* A new memo whose bytes are made; without a name yet. NULL when there is no room. */
static memo_t *new_memo(actor_t *a, size_t size)
{
    memo_t *m = NULL;
    int result;
    if (actor_below(a, 8) == 0) {
        int64_t timeout = actor_timeout(a) / 4;
        history_record_t *r =
            history_begin(a->h, a->tape, &(history_record_t){.kind = HISTORY_WAITED, .timeout = timeout});
        result = memo_alloc_for(a->space, size, &m, timeout);
        uint64_t ret = history_now();
        if (result == MEMO_TIMEDOUT) {
            actor_ended(a, r, MEMO_PENDING, ret);
        } else {
            r->kind = HISTORY_VOID;
        }
    } else {
        result = memo_alloc(a->space, size, &m);
    }
    if (result != MEMO_OK) {
        a->full = 10;
        atomic_fetch_add_explicit(&a->world->full, 1, memory_order_relaxed);
        return NULL;
    }
    actor_fill(memo_data(m), size, 0, a->random);
    return m;
}

static void name_it(memo_t *m, const history_record_t *put)
{
    if (put->memo != 0) {
        actor_rename(memo_data(m), put->memo);
    }
}

static void put_new(actor_t *a, uint32_t folder, memo_t *m, int64_t timeout, bool timed)
{
    history_record_t *r = begin_put(a, HISTORY_PUT, folder, memo_size(m), 0, timeout);
    name_it(m, r);
    r->call = history_now();
    int result = timed ? memo_put_for(a->space, &a->world->names[folder], m, timeout)
                       : memo_put(a->space, &a->world->names[folder], m);
    actor_ended(a, r, result, history_now());
    if (result != MEMO_OK) {
        memo_free(m);
    }
}

static void put_started(actor_t *a, uint32_t folder, memo_t *m)
{
    history_record_t *r = begin_put(a, HISTORY_PUT, folder, memo_size(m), 0, 0);
    name_it(m, r);
    int result = memo_put_start(a->space, &a->world->names[folder], m);
    if (result != MEMO_OK) {
        actor_ended(a, r, result, history_now());
        memo_free(m);
        return;
    }
    a->started[a->n_started++] = r;
    if (a->n_started == ACTOR_STARTED) {
        actor_flush(a);
    }
}

/* What was refused comes back, and is known by its name. */
void actor_flush(actor_t *a)
{
    if (a->n_started == 0) {
        return;
    }
    memo_flush(a->space);
    uint64_t ret = history_now();
    for (memo_t *m; memo_flush_failed(a->space, &m) == MEMO_OK;) {
        uint64_t name;
        actor_examine(memo_data(m), memo_size(m), &name);
        for (unsigned i = 0; i < a->n_started; i++) {
            if (a->started[i] != NULL && a->started[i]->memo == name) {
                history_end_at(a->started[i], MEMO_EFULL, ret);
                a->started[i] = NULL;
            }
        }
        memo_free(m);
    }
    for (unsigned i = 0; i < a->n_started; i++) {
        if (a->started[i] != NULL) {
            history_end_at(a->started[i], MEMO_OK, ret);
        }
    }
    a->n_started = 0;
}

static void put_delayed(actor_t *a, uint32_t folder, memo_t *m)
{
    uint32_t trigger = actor_folder(a);
    history_record_t *r = begin_put(a, HISTORY_PUT_DELAYED, folder, memo_size(m), 0, 0);
    r->trigger = trigger;
    name_it(m, r);
    int result = memo_put_delayed(a->space, &a->world->names[trigger], &a->world->names[folder], m);
    actor_ended(a, r, result, history_now());
    if (result != MEMO_OK) {
        memo_free(m);
    }
}

int actor_put_plain(actor_t *a, uint32_t folder, size_t size)
{
    unsigned char bytes[4096];
    size = size < sizeof bytes ? size : sizeof bytes;
    if (!actor_room(a)) {
        return MEMO_ENOMEM;
    }
    history_record_t *r = begin_put(a, HISTORY_PUT, folder, size, 0, 0);
    actor_fill(bytes, size, r->memo, a->random);
    r->call = history_now();
    int result = memo_write(a->space, &a->world->names[folder], bytes, size);
    actor_ended(a, r, result, history_now());
    return result;
}

void actor_do_put(actor_t *a)
{
    uint32_t what = actor_below(a, 20), folder = actor_folder(a);
    size_t size = some_size(a);
    if (what < 5) {
        actor_put_plain(a, folder, size);
        return;
    }
    memo_t *m = new_memo(a, size);
    if (m == NULL) {
        return;
    }
    if (what < 13) {
        put_new(a, folder, m, 0, false);
    } else if (what < 15) {
        put_new(a, folder, m, actor_timeout(a), true);
    } else if (what < 19 && size >= 8) {
        put_started(a, folder, m);
    } else {
        put_delayed(a, folder, m);
    }
}

/* The same memory under a new name, into another folder or to the end of its own. */
static bool put_again(actor_t *a, const actor_held_t *held)
{
    bool replace = actor_below(a, 2) == 0;
    uint32_t folder = replace ? held->take->folder : actor_folder(a);
    uint64_t old = held->take->memo;
    history_record_t *r = begin_put(a, HISTORY_PUT, folder, memo_size(held->m), old, 0);
    held->take->hold = HISTORY_ENDING_PUT;
    atomic_signal_fence(memory_order_seq_cst);
    name_it(held->m, r);
    int result = replace ? memo_replace(held->m) : memo_put(a->space, &a->world->names[folder], held->m);
    uint64_t ret = history_now();
    if (result == MEMO_OK) {
        actor_ended(a, r, result, ret);
        atomic_signal_fence(memory_order_seq_cst);
        held->take->hold = HISTORY_ENDED;
        return true;
    }
    if (r->memo != 0) {
        actor_rename(memo_data(held->m), old);
    }
    atomic_signal_fence(memory_order_seq_cst);
    held->take->hold = HISTORY_HELD;
    atomic_signal_fence(memory_order_seq_cst);
    actor_ended(a, r, result, ret);
    return false;
}

void actor_finish(actor_t *a, unsigned which, bool free_it)
{
    actor_held_t held = a->held[which];
    /* A redelivered memo is freed: its count is not to be told from that of a later life. */
    if (!free_it && held.take != NULL && held.take->redeliveries == 0 && actor_below(a, 2) == 0 && actor_room(a)) {
        if (put_again(a, &held)) {
            a->held[which] = a->held[--a->n_held];
        }
        return;
    }
    a->held[which] = a->held[--a->n_held];
    if (held.take != NULL) {
        held.take->hold = HISTORY_ENDING_FREE;
    }
    atomic_signal_fence(memory_order_seq_cst);
    memo_free(held.m);
    atomic_signal_fence(memory_order_seq_cst);
    if (held.take != NULL) {
        held.take->hold = HISTORY_ENDED;
    }
}
