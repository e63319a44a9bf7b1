/*
 * engines_work.c - what the clients of the simulation do: operations drawn at random. What comes of them is seen to
 * in engines_done.c.
 *
 * Each operation is drawn from a state of its own, made of the seed and its number, so that leaving one out does
 * not change what the others are.
 */
#include "t/lib/engines_sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint32_t below(sim_t *s, uint32_t n)
{
    return sim_below(&s->random_op, n);
}

static bool percent(sim_t *s, uint32_t p)
{
    return below(s, 100) < p;
}

/* ---- beginning -------------------------------------------------------------------------------------------- */

sim_op_t *sim_op(sim_t *s, sim_kind_t kind, uint32_t client, uint32_t thread)
{
    if (s->n_ops == SIM_OPS) {
        sim_fail(s, "more than %d operations in a schedule", SIM_OPS);
    }
    sim_op_t *op = &s->ops[s->n_ops++];
    memset(op, 0, sizeof *op);
    op->kind = kind;
    op->client = client;
    op->thread = thread;
    op->number = s->begun;
    op->call.user = op;
    op->call.memos = op->memos;
    return op;
}

void sim_text_of(const sim_t *s, const sim_op_t *op, char text[SIM_TEXT])
{
    static const char *const names[] = {[SIM_PUT] = "put",
                                        [SIM_PUT_WAIT] = "put that waits",
                                        [SIM_PUT_START] = "started put",
                                        [SIM_SELECT] = "",
                                        [SIM_JOIN] = "join",
                                        [SIM_DELAY] = "delayed put",
                                        [SIM_LIMIT] = "limit",
                                        [SIM_COUNT] = "count",
                                        [SIM_STAT] = "stat",
                                        [SIM_EACH] = "each",
                                        [SIM_RETURN] = "return",
                                        [SIM_BACK] = "gift",
                                        [SIM_LEAVING] = "leave",
                                        [SIM_BYE] = "bye"};
    static const char *const whens[] = {"wait", "skip", "strict skip", "until quiet"};
    int at = snprintf(text, SIM_TEXT, "op %u, client %u thread %u: %s", op->number, op->client, op->thread,
                      names[op->kind] != NULL ? names[op->kind] : "?");
    if (op->kind == SIM_SELECT) {
        at += snprintf(text + at, (size_t)(SIM_TEXT - at), "%s %s", op->select.what == MEMO_COPY ? "copy" : "take",
                       whens[op->select.when_empty]);
    }
    for (uint32_t i = 0; i < op->count; i++) {
        at +=
            snprintf(text + at, (size_t)(SIM_TEXT - at), " f%u(S%u)", op->folders[i], s->server_of[op->folders[i]]);
    }
    if (op->kind == SIM_LIMIT) {
        at += snprintf(text + at, (size_t)(SIM_TEXT - at), " %" PRIu64 " memos, %" PRIu64 " bytes", op->memo_limit,
                       op->byte_limit);
    }
    if (op->memo != NULL) {
        at += snprintf(text + at, (size_t)(SIM_TEXT - at), " memo %u", op->memo->number);
    }
    snprintf(text + at, (size_t)(SIM_TEXT - at), " [%" PRIu64 "..%" PRIu64 "] result %d", op->begin, op->end,
             op->over ? op->call.result : MEMO_PENDING);
}

static const uint64_t each_from_the_beginning[4];

static int begin_call(sim_op_t *op, stub_t *stub, uint32_t server)
{
    uint64_t limits[4] = {op->memo_limit, op->byte_limit, 0, 0};
    switch (op->kind) {
    case SIM_PUT:
    case SIM_PUT_START:
        return stub_put(stub, &op->call, &op->names[0], op->memo, false);
    case SIM_PUT_WAIT:
        return stub_put(stub, &op->call, &op->names[0], op->memo, true);
    case SIM_SELECT:
        return stub_select(stub, &op->call, &op->select,
                           op->select.choice == MEMO_ROTATE ? op->number % op->count : 0);
    case SIM_JOIN:
        return stub_join(stub, &op->call, op->names, op->count);
    case SIM_DELAY:
        return stub_delay(stub, &op->call, &op->names[0], &op->names[1], op->memo);
    case SIM_LIMIT:
        return stub_ask(stub, &op->call, WIRE_LIMIT, server, &op->names[0], limits);
    case SIM_COUNT:
        return stub_ask(stub, &op->call, WIRE_COUNT, server, &op->names[0], each_from_the_beginning);
    case SIM_STAT:
        return stub_ask(stub, &op->call, WIRE_STAT, server, NULL, each_from_the_beginning);
    case SIM_EACH:
        return stub_ask(stub, &op->call, WIRE_EACH, server, NULL, each_from_the_beginning);
    case SIM_RETURN:
        return stub_return(stub, &op->call, &op->names[0], op->memo, op->why != 0);
    case SIM_BACK:
        return stub_return(stub, &op->call, &op->names[0], op->memo, false);
    case SIM_LEAVING:
        return stub_ask(stub, &op->call, WIRE_LEAVE, server, NULL, each_from_the_beginning);
    default:
        return stub_ask(stub, &op->call, WIRE_BYE, server, NULL, each_from_the_beginning);
    }
}

uint32_t sim_asked_server(const sim_t *s, const sim_op_t *op)
{
    if (op->kind == SIM_LEAVING || op->kind == SIM_BYE) {
        return (uint32_t)op->memo_limit;
    }
    return op->count > 0 ? s->server_of[op->folders[0]] : op->number % s->servers;
}

void sim_call(sim_t *s, sim_op_t *op)
{
    sim_client_t *c = &s->client[op->client];
    for (uint32_t i = 0; i < op->count; i++) {
        op->names[i] = s->names[op->folders[i]];
    }
    op->select.folders = op->names;
    op->select.count = op->count;
    op->begin = ++s->clock;
    op->asked = s->messages;
    op->begun = true;
    op->lives = op->memo != NULL ? op->memo->lives : 0;
    if (op->thread < SIM_THREADS) {
        sim_thread_t *t = &c->threads[op->thread];
        t->participates = t->participates || op->quiet;
        t->asynchronous += op->asynchronous;
        t->waits = op->asynchronous ? NULL : op;
    }
    c->started += op->asynchronous && (op->kind == SIM_PUT_START || op->kind == SIM_BACK);
    if (s->plan.trace) {
        char text[SIM_TEXT];
        sim_text_of(s, op, text);
        sim_trace(s, "begins %s", text);
    }
    sim_after(s, c);
    op->call.result = MEMO_OK;
    int result = begin_call(op, c->stub, sim_asked_server(s, op));
    if (result != MEMO_OK) {
        char text[SIM_TEXT];
        sim_text_of(s, op, text);
        bool oldest = op->kind == SIM_SELECT && op->select.choice == MEMO_OLDEST && result == MEMO_ENOTSUP;
        bool dead = result == MEMO_EPEER && sim_needs_dead(s, op);
        if ((!oldest && !dead) || op->over) {
            sim_fail(s, "refused with %d: %s", result, text);
        }
        op->call.result = result;
        op->call.memo = op->memo; /* still ours */
        sim_done(s, op);
    }
    sim_after(s, c);
}

/* ---- drawing ---------------------------------------------------------------------------------------------- */

static void draw_folders(sim_t *s, sim_op_t *op, uint32_t count)
{
    bool local = s->local || percent(s, s->percent_local);
    op->count = count;
    for (uint32_t i = 0; i < count; i++) {
        op->folders[i] = below(s, s->folders);
        if (i > 0 && local && s->server_of[op->folders[i]] != s->server_of[op->folders[0]]) {
            op->folders[i] = op->folders[below(s, i)];
        }
        if (i > 0 && op->folders[i] == op->folders[i - 1] && !local && !percent(s, 15)) {
            op->folders[i] = (op->folders[i] + 1) % s->folders;
        }
    }
}

static bool one_server(const sim_t *s, const sim_op_t *op)
{
    for (uint32_t i = 1; i < op->count; i++) {
        if (s->server_of[op->folders[i]] != s->server_of[op->folders[0]]) {
            return false;
        }
    }
    return true;
}

static void draw_select(sim_t *s, sim_op_t *op)
{
    uint32_t most = s->folders < SIM_SET ? s->folders + 1 : SIM_SET, how = below(s, 100);
    uint32_t skips = s->percent_skip, stricts = skips + s->percent_strict;
    draw_folders(s, op, percent(s, 30) ? 1 : 1 + below(s, most));
    op->select.what = percent(s, s->percent_copy) ? MEMO_COPY : MEMO_TAKE;
    op->select.timeout_ns = MEMO_FOREVER;
    op->select.choice = percent(s, 70) ? MEMO_LISTED : MEMO_ROTATE;
    if (percent(s, 10) && one_server(s, op)) {
        op->select.choice = MEMO_OLDEST;
    }
    op->select.when_empty = MEMO_WAIT;
    if (how < skips) {
        op->select.when_empty = MEMO_SKIP;
    } else if (how < stricts) {
        op->select.when_empty = MEMO_STRICT_SKIP;
    } else if (how < stricts + s->percent_quiet) {
        op->select.when_empty = MEMO_UNTIL_QUIET;
        op->quiet = true;
    }
}

static wire_memo_t *new_memo(sim_t *s, const sim_op_t *op, uint32_t folder)
{
    wire_memo_t *memo = sim_memo(s, SIM_IN_CLIENT, op->client, 8 + below(s, 40));
    uint32_t thread = op->thread < SIM_THREADS ? op->thread : 0;
    memo->name = history_name(s->tapes[s->client[op->client].threads[thread].tape]);
    memo->folder = folder;
    memo->thread = op->client * SIM_THREADS + thread;
    return memo;
}

bool sim_may_cancel(const sim_op_t *op)
{
    bool wait = op->kind == SIM_SELECT || op->kind == SIM_JOIN || op->kind == SIM_PUT_WAIT;
    return op->begun && !op->over && !op->cancelled && wait;
}

void sim_cancel(sim_t *s, sim_op_t *op, int why)
{
    op->cancelled = true;
    op->why = why;
    s->clock++;
    if (s->plan.trace) {
        char text[SIM_TEXT];
        sim_text_of(s, op, text);
        sim_trace(s, "cancels with %d: %s", why, text);
    }
    stub_cancel(s->client[op->client].stub, &op->call, why);
    sim_after(s, &s->client[op->client]);
}

/* Some pending call of a living client, by preference one of this client. */
static bool cancel_some(sim_t *s, uint32_t client)
{
    sim_op_t *found = NULL;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < s->n_ops; i++) {
        sim_op_t *op = &s->ops[i];
        if (sim_may_cancel(op) && s->client[op->client].life == SIM_LIVES &&
            (client == SIM_CLIENTS || op->client == client) && below(s, ++seen) == 0) {
            found = op;
        }
    }
    if (found == NULL) {
        return client != SIM_CLIENTS && cancel_some(s, SIM_CLIENTS);
    }
    sim_cancel(s, found, percent(s, 50) ? MEMO_TIMEDOUT : MEMO_ECANCELED);
    return true;
}

/* Some memo in hand is freed, or given back. */
static bool finish_some(sim_t *s, sim_client_t *c, uint32_t thread, bool give_back)
{
    if (c->n_held == 0) {
        return false;
    }
    uint32_t which = below(s, c->n_held);
    sim_held_t held = c->held[which];
    give_back = give_back && held.record != NULL;
    c->held[which] = c->held[--c->n_held];
    if (!give_back) {
        if (held.record != NULL) {
            held.record->hold = HISTORY_ENDED;
        }
        sim_trace(s, "client %u frees memo %u", c->number, held.memo->number);
        sim_free_memo(s, held.memo, SIM_IN_CLIENT, c->number);
        return true;
    }
    held.record->kind = HISTORY_CANCELLED; /* as a request that was complete and is cancelled */
    held.record->ret = 0;
    sim_op_t *op = sim_op(s, SIM_RETURN, c->number, thread);
    op->record = held.record;
    op->memo = held.memo;
    op->folders[0] = held.memo->folder;
    op->count = 1;
    sim_call(s, op);
    return true;
}

static void draw_limit(sim_t *s, sim_op_t *op)
{
    draw_folders(s, op, 1);
    op->memo_limit = percent(s, 30) ? 0 : 1 + below(s, 3);
    op->byte_limit = percent(s, 70) ? 0 : 20 + below(s, 100);
}

static void begin_drawn(sim_t *s, sim_kind_t kind, uint32_t client, uint32_t thread)
{
    sim_op_t *op = sim_op(s, kind, client, thread);
    switch (kind) {
    case SIM_SELECT:
        draw_select(s, op);
        break;
    case SIM_JOIN:
        draw_folders(s, op, 1 + below(s, s->folders < 4 ? s->folders + 1 : 4));
        break;
    case SIM_DELAY:
        draw_folders(s, op, 2);
        op->memo = new_memo(s, op, op->folders[1]);
        op->memo->trigger = op->folders[0];
        op->memo->fires = true;
        break;
    case SIM_LIMIT:
        draw_limit(s, op);
        break;
    case SIM_STAT:
    case SIM_EACH:
        break;
    case SIM_COUNT:
        draw_folders(s, op, 1);
        break;
    default:
        draw_folders(s, op, 1);
        op->memo = new_memo(s, op, op->folders[0]);
        break;
    }
    bool may = (kind == SIM_SELECT && !op->quiet) || kind == SIM_JOIN;
    op->asynchronous = kind == SIM_PUT_START || (may && percent(s, s->percent_asynchronous));
    sim_call(s, op);
}

static sim_kind_t draw_kind(sim_t *s)
{
    uint32_t sum = 0, at;
    for (int kind = 0; kind < SIM_KINDS; kind++) {
        sum += s->weights[kind];
    }
    at = below(s, sum);
    for (int kind = 0; kind < SIM_KINDS; kind++) {
        if (at < s->weights[kind]) {
            return (sim_kind_t)kind;
        }
        at -= s->weights[kind];
    }
    return SIM_PUT;
}

/* A thread that may begin something: *thread of the client. */
static sim_client_t *free_thread(sim_t *s, uint32_t *thread)
{
    uint32_t all = s->clients * s->threads, first = below(s, all);
    for (uint32_t i = 0; i < all; i++) {
        uint32_t at = (first + i) % all;
        sim_client_t *c = &s->client[at / s->threads];
        *thread = at % s->threads;
        if (c->life == SIM_LIVES && c->threads[*thread].waits == NULL && c->threads[*thread].asynchronous < 3) {
            return c;
        }
    }
    return NULL;
}

bool sim_operate(sim_t *s)
{
    uint32_t thread, number = s->begun;
    s->random_op = s->plan.seed * UINT64_C(0x9e3779b97f4a7c15) + number * UINT64_C(0xd1342543de82ef95);
    s->begun++;
    if (s->plan.skip != NULL && s->plan.skip[number]) {
        return true;
    }
    sim_kind_t kind = draw_kind(s);
    sim_client_t *c = free_thread(s, &thread);
    if (c == NULL) {
        s->clock++;
        return kind == SIM_CANCEL && cancel_some(s, below(s, s->clients));
    }
    /* The first client stays: somebody has to find what the others leave. */
    if ((kind == SIM_LEAVE || kind == SIM_DIE) && c->number == 0) {
        kind = SIM_PUT;
    }
    if (kind == SIM_FALL) {
        if ((uint32_t)__builtin_popcountll(s->dead_servers) + 1 < s->servers) {
            sim_fall(s, sim_some_server(s));
        }
        return true;
    }
    sim_client_t *victim = &s->client[below(s, s->clients)];
    if (kind == SIM_DIE && victim->life != SIM_LIVES && victim->life < SIM_IS_GONE) {
        c = victim; /* in the middle of its leaving */
    }
    if (c->threads[thread].participates && c->threads[thread].asynchronous == 0 && percent(s, 4)) {
        sim_trace(s, "thread %u of client %u ends, and another begins", thread, c->number);
        c->threads[thread].participates = c->threads[thread].known = false;
        sim_after(s, c);
        return true;
    }
    switch (kind) {
    case SIM_CANCEL:
        return cancel_some(s, c->number);
    case SIM_FREE:
    case SIM_RETURN:
        return finish_some(s, c, thread, kind == SIM_RETURN);
    case SIM_LEAVE:
        sim_leave(s, c);
        return true;
    case SIM_DIE:
        sim_die(s, c);
        return true;
    default:
        begin_drawn(s, kind, c->number, thread);
        return true;
    }
}
