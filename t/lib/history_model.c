/*
 * history_model.c - right histories, from a model of a space in virtual time (history_model.h).
 */
#include "t/lib/history_model.h"

#include <inttypes.h>
#include <stdlib.h>

#include "t/tap.h"

static uint64_t random_state;

void model_seed(uint64_t seed)
{
    random_state = seed;
}

static uint64_t random_next(void)
{
    uint64_t x = random_state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint32_t model_below(uint32_t n)
{
    return (uint32_t)((random_next() >> 32) * n >> 32);
}

/* ---- writing a history with made-up times ---------------------------------------------------------------- */

history_record_t *model_note(history_t *h, history_tape_t *tape, history_record_t r)
{
    if (!history_room(h, tape, 1, 8)) {
        tap_bail("the history of the test is too small");
    }
    history_record_t *record = history_begin(h, tape, &r);
    record->call = r.call;
    record->ret = r.ret;
    return record;
}

uint32_t model_set(history_t *h, history_tape_t *tape, const uint32_t *folders, uint32_t n)
{
    if (!history_room(h, tape, 1, n)) {
        tap_bail("the history of the test is too small");
    }
    return history_set(h, tape, folders, n);
}

/* ---- the model ------------------------------------------------------------------------------------------- */

enum { WORKERS = 16, NOBODY = 0 };

typedef struct item { /* a memo of the model; 0 is none */
    uint64_t name;    /* 0: a token */
    uint32_t next;
    uint32_t target; /* + 1, while it is a delayed put */
    uint8_t redeliveries;
} item_t;

typedef struct queue {
    uint32_t first, last;
} queue_t;

typedef struct model {
    history_t *h;
    history_tape_t *tapes[WORKERS];
    uint64_t free_at[WORKERS]; /* the return of the worker's last operation */
    uint64_t now;
    uint32_t folders;
    queue_t *in;      /* by folder */
    queue_t *waiting; /* delayed puts, by trigger */
    item_t *items;
    uint32_t used;
    uint32_t lent; /* an item that a request has been given, and will give back */
    uint32_t lent_folder;
    uint64_t lent_call;
    uint32_t kills; /* one in so many operations; 0: none */
} model_t;

static void append(model_t *m, queue_t *q, uint32_t i)
{
    m->items[i].next = NOBODY;
    if (q->first == NOBODY) {
        q->first = i;
    } else {
        m->items[q->last].next = i;
    }
    q->last = i;
}

static void push_front(model_t *m, queue_t *q, uint32_t i)
{
    m->items[i].next = q->first;
    q->first = i;
    if (m->items[i].next == NOBODY) {
        q->last = i;
    }
}

static uint32_t pop(model_t *m, queue_t *q)
{
    uint32_t i = q->first;
    if (i != NOBODY) {
        q->first = m->items[i].next;
    }
    return i;
}

/* A memo arrives; the delayed puts that waited for it follow, one after the other. */
static void arrive(model_t *m, uint32_t folder, uint32_t i)
{
    queue_t fired = {NOBODY, NOBODY};
    append(m, &m->in[folder], i);
    for (;;) {
        for (uint32_t d; (d = pop(m, &m->waiting[folder])) != NOBODY;) {
            append(m, &fired, d);
        }
        uint32_t next = pop(m, &fired);
        if (next == NOBODY) {
            return;
        }
        folder = m->items[next].target - 1;
        append(m, &m->in[folder], next);
    }
}

/* The worker's call and return around the instant `now`. */
static history_record_t around(model_t *m, uint32_t w, enum history_kind kind, uint32_t folder)
{
    uint64_t slack = m->now - m->free_at[w] - 1;
    history_record_t r = {.kind = (uint8_t)kind, .folder = folder, .timeout = 0, .when = HISTORY_WAIT};
    r.call = m->now - model_below(slack < 40 ? (uint32_t)slack + 1 : 40);
    r.ret = m->now + model_below(40);
    m->free_at[w] = r.ret;
    r.hold = HISTORY_ENDED;
    return r;
}

static uint32_t new_item(model_t *m, uint32_t w, history_record_t *r)
{
    uint32_t i = ++m->used;
    bool token = model_below(20) == 0;
    m->items[i] = (item_t){.name = token ? 0 : history_name(m->tapes[w])};
    r->memo = m->items[i].name;
    r->flags = token ? HISTORY_TOKEN : 0;
    return i;
}

static void model_put(model_t *m, uint32_t w)
{
    uint32_t folder = model_below(m->folders);
    history_record_t r = around(m, w, HISTORY_PUT, folder);
    uint32_t i = new_item(m, w, &r);
    model_note(m->h, m->tapes[w], r);
    arrive(m, folder, i);
}

static void model_put_delayed(model_t *m, uint32_t w)
{
    uint32_t folder = model_below(m->folders);
    history_record_t r = around(m, w, HISTORY_PUT_DELAYED, folder);
    uint32_t i = new_item(m, w, &r);
    r.trigger = model_below(m->folders);
    m->items[i].target = folder + 1;
    model_note(m->h, m->tapes[w], r);
    if (m->in[r.trigger].first != NOBODY) {
        arrive(m, folder, i);
    } else {
        append(m, &m->waiting[r.trigger], i);
    }
}

static void give(model_t *m, history_record_t *r, uint32_t i)
{
    r->memo = m->items[i].name;
    r->flags = (uint8_t)(r->flags | (r->memo == 0 ? HISTORY_TOKEN : 0));
    r->redeliveries = m->items[i].redeliveries;
}

/* A take or copy over one to four folders: weak, strict or with a timeout. */
static void model_select(model_t *m, uint32_t w, enum history_kind kind)
{
    uint32_t set[4], n = 1 + model_below(4), at = 0;
    for (uint32_t k = 0; k < n; k++) {
        set[k] = model_below(m->folders);
    }
    history_record_t r = around(m, w, kind, set[0]);
    if (n > 1) {
        r.set = model_set(m->h, m->tapes[w], set, n);
        r.count = n;
    }
    r.when = (uint8_t)model_below(3);
    r.flags = HISTORY_LISTED;
    r.timeout = r.when == HISTORY_WAIT ? (int64_t)(r.ret - r.call) : 0;
    while (at < n && m->in[set[at]].first == NOBODY) {
        at++;
    }
    if (at == n) {
        r.result = r.when == HISTORY_WAIT ? MEMO_TIMEDOUT : MEMO_NONE;
    } else {
        r.folder = set[at];
        give(m, &r, m->in[set[at]].first);
        if (kind == HISTORY_TAKE) {
            pop(m, &m->in[set[at]]);
        }
    }
    model_note(m->h, m->tapes[w], r);
}

static void model_join(model_t *m, uint32_t w)
{
    uint32_t set[2] = {model_below(m->folders), 0};
    set[1] = (set[0] + 1) % m->folders;
    history_record_t r = around(m, w, HISTORY_JOIN_FAILED, set[0]);
    if (m->in[set[0]].first == NOBODY || m->in[set[1]].first == NOBODY) {
        r.result = MEMO_TIMEDOUT;
        r.count = 2;
        r.set = model_set(m->h, m->tapes[w], set, 2);
        model_note(m->h, m->tapes[w], r);
        return;
    }
    r.kind = HISTORY_TAKE;
    for (uint32_t k = 0; k < 2; k++) {
        r.folder = set[k];
        r.flags = HISTORY_JOIN;
        give(m, &r, pop(m, &m->in[set[k]]));
        model_note(m->h, m->tapes[w], r);
    }
}

/* A request is given a memo, and later cancelled: the memo goes back to the head. */
static void model_lend(model_t *m)
{
    if (m->lent != NOBODY) {
        history_tape_t *tape = m->tapes[0];
        push_front(m, &m->in[m->lent_folder], m->lent);
        model_note(m->h, tape,
                   (history_record_t){.kind = HISTORY_CANCELLED,
                                      .folder = m->lent_folder,
                                      .call = m->lent_call,
                                      .ret = m->now,
                                      .timeout = MEMO_FOREVER});
        m->lent = NOBODY;
        return;
    }
    m->lent_folder = model_below(m->folders);
    m->lent = pop(m, &m->in[m->lent_folder]);
    m->lent_call = m->now;
}

/* One takes a memo and is killed, before or after it could write that down; the memo goes back to the head. */
static void model_kill(model_t *m)
{
    uint32_t folder = model_below(m->folders);
    uint32_t i = m->in[folder].first;
    history_tape_t *tape = i != NOBODY ? history_tape(m->h) : NULL;
    if (tape == NULL) {
        return;
    }
    history_record_t r = {.kind = HISTORY_TAKE, .folder = folder, .call = m->now, .timeout = MEMO_FOREVER};
    if (model_below(2) == 0) {
        r.ret = m->now;
        give(m, &r, i);
    }
    model_note(m->h, tape, r);
    tape->killed = 1;
    m->items[i].redeliveries++;
}

static void model_step(model_t *m)
{
    uint32_t w = model_below(WORKERS), what = model_below(100);
    m->now += 1 + model_below(12);
    if (m->now <= m->free_at[w] + 1) {
        m->now = m->free_at[w] + 2;
    }
    if (what < 43) {
        model_put(m, w);
    } else if (what < 46) {
        model_put_delayed(m, w);
    } else if (what < 82) {
        model_select(m, w, HISTORY_TAKE);
    } else if (what < 92) {
        model_select(m, w, HISTORY_COPY);
    } else if (what < 98) {
        model_join(m, w);
    } else {
        model_lend(m);
    }
    if (m->kills > 0 && model_below(m->kills) == 0) {
        model_kill(m);
    }
}

/* What is left in the folders, and waits for its trigger for ever, is drained by worker 0. */
static void model_drain(model_t *m)
{
    m->now += 1000;
    if (m->lent != NOBODY) {
        model_lend(m);
    }
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t f = 0; f < m->folders; f++) {
            for (uint32_t i; (i = pop(m, &m->in[f])) != NOBODY;) {
                m->now += 2;
                history_record_t r = {.kind = HISTORY_TAKE,
                                      .folder = f,
                                      .call = m->now,
                                      .ret = m->now + 1,
                                      .when = HISTORY_SKIP,
                                      .hold = HISTORY_ENDED};
                give(m, &r, i);
                model_note(m->h, m->tapes[0], r);
            }
        }
        for (uint32_t f = 0; f < m->folders && round == 0; f++) {
            m->now += 2;
            history_record_t r = {.kind = HISTORY_PUT, .folder = f, .call = m->now, .ret = m->now + 1};
            uint32_t i = new_item(m, 0, &r);
            model_note(m->h, m->tapes[0], r);
            arrive(m, f, i);
        }
    }
}

history_t *model_history(uint32_t operations, uint32_t folders, uint32_t all, uint32_t kills, uint64_t *end)
{
    model_t m = {.now = 1000000, .folders = folders, .kills = kills};
    m.h = history_new(operations * 2 + 10000, operations * 3 + 10000, 4000, all);
    m.in = calloc(folders, sizeof *m.in);
    m.waiting = calloc(folders, sizeof *m.waiting);
    m.items = calloc(operations + folders + 2u, sizeof *m.items);
    if (m.h == NULL || m.in == NULL || m.waiting == NULL || m.items == NULL) {
        tap_bail("no memory for a history of %" PRIu32 " operations", operations);
    }
    for (uint32_t w = 0; w < WORKERS; w++) {
        m.tapes[w] = history_tape(m.h);
    }
    for (uint32_t i = 0; i < operations; i++) {
        model_step(&m);
    }
    model_drain(&m);
    *end = m.now;
    free(m.in);
    free(m.waiting);
    free(m.items);
    return m.h;
}
