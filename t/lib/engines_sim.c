/*
 * engines_sim.c - a schedule of the simulation, from its seed to the judgement.
 */
#include "t/lib/engines_sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MOST = 400000 };

/* ---- chance ----------------------------------------------------------------------------------------------- */

uint64_t sim_draw(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t sim_below(uint64_t *state, uint32_t n)
{
    return (uint32_t)(((sim_draw(state) >> 32) * n) >> 32);
}

/* ---- saying ----------------------------------------------------------------------------------------------- */

_Noreturn void sim_fail(sim_t *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->text, sizeof s->text, format, args);
    va_end(args);
    sim_trace(s, "FAILED: %s", s->text);
    longjmp(s->failed, 1);
}

void sim_trace(const sim_t *s, const char *format, ...)
{
    if (!s->plan.trace) {
        return;
    }
    va_list args;
    va_start(args, format);
    printf("# %4" PRIu64 " ", s->clock);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

/* ---- what a seed decides ----------------------------------------------------------------------------------- */

typedef struct profile {
    const char *name;
    uint8_t weights[SIM_KINDS];
    uint8_t copy, skip, strict, quiet, local, asynchronous;
} profile_t;

static const profile_t profiles[] = {
    /*           PUT WAIT START SEL JOIN DELAY LIMIT COUNT STAT EACH FREE RETURN CANCEL LEAVE DIE FALL */
    {"mixed", {30, 4, 10, 40, 8, 5, 0, 2, 1, 1, 6, 3, 8, 1, 1}, 25, 25, 25, 0, 20, 30},
    {"strict", {36, 0, 6, 50, 0, 0, 0, 0, 0, 0, 2, 2, 4, 0, 0}, 20, 15, 45, 0, 10, 30},
    {"joins", {45, 0, 5, 15, 30, 0, 0, 0, 0, 0, 2, 1, 6, 0, 0}, 15, 25, 25, 0, 10, 30},
    {"delayed", {25, 2, 5, 30, 5, 25, 0, 0, 0, 0, 2, 2, 4, 1, 1}, 25, 35, 20, 0, 20, 20},
    {"limits", {20, 30, 10, 35, 5, 8, 12, 2, 0, 0, 4, 2, 8, 1, 1}, 15, 40, 15, 0, 20, 20},
    {"quiet", {14, 0, 4, 40, 0, 0, 0, 0, 0, 0, 4, 2, 2, 0, 0}, 15, 5, 5, 85, 20, 10},
    {"deaths", {30, 4, 10, 40, 8, 5, 0, 1, 1, 1, 6, 3, 4, 4, 8}, 25, 25, 25, 0, 20, 30},
    {"quiet and deaths", {14, 2, 4, 40, 3, 3, 0, 0, 0, 0, 4, 2, 2, 2, 3}, 15, 5, 5, 80, 20, 10},
    {"dead servers", {30, 4, 10, 40, 8, 6, 2, 1, 1, 1, 6, 3, 6, 1, 1, 3}, 20, 20, 30, 0, 10, 40},
    {"dead servers, quiet", {14, 2, 4, 40, 3, 3, 0, 0, 0, 0, 4, 2, 2, 1, 1, 2}, 15, 5, 15, 60, 20, 10},
    /* Few folders on two servers, or three, and little else than what has phases. */
    {"latches", {40, 0, 4, 54, 2, 0, 0, 0, 0, 0, 2, 4, 4, 0, 0}, 5, 5, 45, 0, 35, 80},
    {"latches and dead servers", {40, 2, 4, 54, 12, 4, 0, 0, 0, 0, 2, 4, 4, 0, 1, 4}, 5, 5, 45, 0, 0, 60},
    {"latches and deaths", {34, 2, 4, 50, 10, 2, 0, 0, 0, 0, 2, 8, 4, 1, 5}, 10, 10, 50, 0, 10, 50},
};

enum { PROFILES = sizeof profiles / sizeof profiles[0], FIRST_SMALL = 10 };

static uint32_t decided(uint32_t given, uint32_t drawn)
{
    return given != 0 ? given : drawn;
}

static void decide(sim_t *s)
{
    uint64_t *r = &s->random;
    s->servers = s->plan.protocol == SIM_SINGLE ? 1 : decided(s->plan.servers, 1 + (sim_below(r, 8) + 3) / 4);
    s->clients = decided(s->plan.clients, 2 + sim_below(r, 3));
    s->threads = decided(s->plan.threads, 1 + sim_below(r, 3));
    s->folders = decided(s->plan.folders, 2 + sim_below(r, 3));
    s->bias = (sim_bias_t)sim_below(r, SIM_BIASES);
    s->weight_begin = s->bias == SIM_EAGER ? 190 : s->bias == SIM_PATIENT ? 12 : 30 + sim_below(r, 100);
    uint32_t drawn = sim_below(r, PROFILES);
    const profile_t *p = &profiles[s->plan.profile >= 0 ? (uint32_t)s->plan.profile % PROFILES : drawn];
    memcpy(s->weights, p->weights, sizeof s->weights);
    s->percent_copy = p->copy;
    s->percent_skip = p->skip;
    s->percent_strict = p->strict;
    s->percent_quiet = p->quiet;
    s->percent_local = p->local;
    s->percent_asynchronous = p->asynchronous;
    s->local = sim_below(r, 6) == 0;
    s->no_memory = sim_below(r, 10) == 0;
    uint32_t peers = s->servers + s->clients;
    s->n_starved = sim_below(r, 4) + 1;
    for (uint32_t i = 0; i < s->n_starved; i++) {
        s->starved[i] = sim_below(r, peers) * SIM_PEERS + sim_below(r, peers);
    }
    if (p >= &profiles[FIRST_SMALL]) {
        s->servers =
            s->plan.protocol == SIM_SINGLE ? 1 : decided(s->plan.servers, s->weights[SIM_FALL] > 0 ? 3 : 2);
        s->folders = decided(s->plan.folders, 2 + sim_below(r, 2));
        s->local = false;
    }
    sim_trace(s, "seed %" PRIu64 ": %s, %u servers, %u clients of %u threads, %u folders, bias %d%s", s->plan.seed,
              p->name, s->servers, s->clients, s->threads, s->folders, (int)s->bias, s->local ? ", local" : "");
}

/* Names of folders that belong to that server of so many. */
static const memo_folder_t *name_for(uint32_t servers, uint32_t server, uint32_t number)
{
    static memo_folder_t names[SIM_SERVERS + 1][SIM_SERVERS][SIM_NAMES];
    memo_folder_t *of = names[servers][server];
    if (of[0].kind == MEMO_KIND_INVALID) {
        for (uint32_t n = 0, found = 0; found < SIM_NAMES; n++) {
            char text[16];
            snprintf(text, sizeof text, "f%u", n);
            memo_folder_t folder = memo_folder(text);
            if (wire_server_of(&folder, servers) == server) {
                of[found++] = folder;
            }
        }
    }
    return &of[number];
}

static void make_folders(sim_t *s)
{
    for (uint32_t f = 0; f < s->folders; f++) {
        /* The second is another server's than the first, wherever there are two. */
        uint32_t server = f == 1 ? (s->server_of[0] + 1) % s->servers : sim_below(&s->random, s->servers);
        server = s->plan.spread ? f % s->servers : server;
        s->server_of[f] = server;
        s->names[f] = *name_for(s->servers, server, f);
    }
}

/* ---- beginning and end --------------------------------------------------------------------------------------- */

sim_t *sim_new(void)
{
    return calloc(1, sizeof(sim_t));
}

void sim_delete(sim_t *s)
{
    for (uint32_t i = 0; i < s->n_messages_made; i++) {
        free(s->messages_made[i]);
    }
    free(s);
}

static void make_history(sim_t *s)
{
    s->history = history_new(2 * SIM_OPS, SIM_OPS, s->clients * s->threads + 1, s->folders);
    if (s->history == NULL) {
        sim_fail(s, "no memory for a history");
    }
    for (uint32_t i = 0; i < s->clients * s->threads; i++) {
        s->tapes[i] = history_tape(s->history);
    }
    s->tape = history_tape(s->history);
}

static void make_peers(sim_t *s)
{
    engine_io_t io;
    stub_io_t stub_io;
    for (uint32_t i = 0; i < s->servers; i++) {
        s->server[i] = (sim_server_t){.sim = s, .number = i};
        sim_io(s, i, &io);
        s->server[i].engine = engine_new(i, s->servers, s->clients, &io);
    }
    for (uint32_t i = 0; i < s->clients; i++) {
        static const stub_protocol_t protocols[] = {STUB_SINGLE, STUB_LATCH, STUB_CHAIN};
        sim_client_t *c = &s->client[i];
        memset(c, 0, sizeof *c);
        c->sim = s;
        c->number = i;
        for (uint32_t t = 0; t < SIM_THREADS; t++) {
            c->threads[t].tape = i * s->threads + (t < s->threads ? t : 0);
        }
        sim_stub_io(c, &stub_io);
        c->stub = stub_new(protocols[s->plan.protocol], i, s->servers, &stub_io);
        sim_after(s, c);
    }
}

void sim_begin(sim_t *s, const sim_plan_t *plan)
{
    sim_message_t *made[64], *kept = s->free_messages;
    uint32_t n_made = s->n_messages_made;
    uint64_t results[8];
    memcpy(made, s->messages_made, sizeof made);
    memcpy(results, s->results, sizeof results);
    /* Operations, memos and stays are cleared as they are made. */
    size_t ops = offsetof(sim_t, ops);
    memset((char *)s + offsetof(sim_t, text), 0, ops - offsetof(sim_t, text));
    s->dead_servers = 0;
    s->n_ops = s->n_memos = s->n_stays = s->counting = 0;
    s->last_quietable = s->quiet_verdicts = 0;
    s->fire = NULL;
    memset(s->present, 0, sizeof s->present);
    memset(s->found, 0, sizeof s->found);
    s->free_messages = kept;
    s->n_messages_made = n_made;
    memcpy(s->messages_made, made, sizeof made);
    memcpy(s->results, results, sizeof results);
    s->plan = *plan;
    s->random = plan->seed * UINT64_C(0xff51afd7ed558ccd) + 1;
    s->clock = 1;
    decide(s);
    make_folders(s);
    make_history(s);
    make_peers(s);
}

void sim_end(sim_t *s)
{
    s->ended = true;
    for (uint32_t i = 0; i < s->servers; i++) {
        if (!sim_is_dead(s, i)) {
            engine_free(s->server[i].engine);
        }
    }
    for (uint32_t i = 0; i < s->clients; i++) {
        stub_free(s->client[i].stub);
    }
    history_delete(s->history);
    s->history = NULL;
}

/* ---- stepping ------------------------------------------------------------------------------------------------ */

static void deliver_one(sim_t *s)
{
    if (++s->steps > STEPS_MOST) {
        sim_fail(s, "%d messages were delivered, and it goes on", STEPS_MOST);
    }
    sim_deliver(s, sim_choose_queue(s));
    sim_find_dead(s);
    sim_find_fallen(s);
    sim_learn_of_dead(s, false);
    sim_look_for_quiet(s);
}

void sim_settle(sim_t *s)
{
    while (s->waiting > 0 || sim_learn_of_dead(s, true)) {
        if (s->waiting > 0) {
            deliver_one(s);
        }
    }
}

/* Nothing is under way and nobody can begin: somebody gives up. */
static void give_up_one(sim_t *s)
{
    for (uint32_t i = 0; i < s->n_ops; i++) {
        sim_op_t *op = &s->ops[i];
        if (s->client[op->client].life == SIM_LIVES && sim_may_cancel(op)) {
            sim_cancel(s, op, MEMO_TIMEDOUT);
            return;
        }
    }
}

static void step(sim_t *s)
{
    bool more = s->begun < s->plan.operations;
    while (s->waiting == 0 && sim_learn_of_dead(s, true)) {
    }
    if (s->waiting == 0) {
        sim_judge_rest(s);
    }
    if (more && (s->waiting == 0 || sim_below(&s->random, 256) < s->weight_begin)) {
        if (sim_operate(s)) {
            sim_look_for_quiet(s);
            return;
        }
        if (s->waiting == 0) {
            give_up_one(s);
        }
    }
    if (s->waiting > 0) {
        deliver_one(s);
    }
}

/* ---- bringing it to its end ------------------------------------------------------------------------------------
 */

static void cancel_all(sim_t *s)
{
    for (uint32_t i = 0; i < s->n_ops; i++) {
        sim_op_t *op = &s->ops[i];
        if (s->client[op->client].life == SIM_LIVES && sim_may_cancel(op)) {
            sim_cancel(s, op, MEMO_TIMEDOUT);
        }
    }
    sim_settle(s);
    sim_judge_rest(s);
}

static void all_but_one_leave(sim_t *s)
{
    for (uint32_t i = 1; i < s->clients; i++) {
        if (s->client[i].life == SIM_LIVES) {
            sim_leave(s, &s->client[i]);
        }
    }
    sim_settle(s);
    sim_judge_rest(s);
}

/* One call of the first client, alone. */
static sim_op_t *alone(sim_t *s, sim_kind_t kind, uint32_t folder, wire_memo_t *memo)
{
    sim_op_t *op = sim_op(s, kind, 0, 0);
    op->folders[0] = folder;
    op->count = 1;
    op->memo = memo;
    op->select = (memo_select_t)MEMO_SELECT_INIT;
    op->select.when_empty = MEMO_SKIP;
    sim_call(s, op);
    sim_settle(s);
    if (!op->over) {
        sim_fail(s, "nothing is under way, and op %u was never answered", op->number);
    }
    return op;
}

static void free_held(sim_t *s, sim_client_t *c)
{
    while (c->n_held > 0) {
        sim_held_t held = c->held[--c->n_held];
        if (held.record != NULL) {
            held.record->hold = HISTORY_ENDED;
        }
        sim_free_memo(s, held.memo, SIM_IN_CLIENT, c->number);
    }
}

static void empty_folder(sim_t *s, uint32_t folder)
{
    while (alone(s, SIM_SELECT, folder, NULL)->call.result == MEMO_OK) {
        free_held(s, &s->client[0]);
    }
    if (s->present[folder] > 0) {
        sim_fail(s, "folder %u is said to be empty, and holds %u memos", folder, s->present[folder]);
    }
}

/* Takes all there is; what waits for a trigger gets one. */
static void drain(sim_t *s)
{
    for (uint32_t f = 0; f < s->folders; f++) {
        alone(s, SIM_LIMIT, f, NULL);
    }
    for (bool again = true; again;) {
        again = false;
        for (uint32_t f = 0; f < s->folders; f++) {
            empty_folder(s, f);
        }
        for (uint32_t i = 0; i < s->n_memos && !again; i++) {
            if (s->memos[i].delayed && s->memos[i].owner == SIM_IN_ENGINE) {
                wire_memo_t *memo = sim_memo(s, SIM_IN_CLIENT, 0, 16);
                memo->name = history_name(s->tapes[0]);
                memo->folder = s->memos[i].trigger;
                alone(s, SIM_PUT, memo->folder, memo);
                again = true;
            }
        }
    }
}

static void judge_end(sim_t *s)
{
    for (uint32_t i = 0; i < s->n_memos; i++) {
        if (s->memos[i].owner != SIM_NOBODY) {
            sim_fail(s, "memo %u is lost: %s %u has it", i,
                     s->memos[i].owner == SIM_IN_ENGINE ? "server" : "client", s->memos[i].whose);
        }
    }
    for (uint32_t i = 0; i < s->servers; i++) {
        engine_figures_t f;
        if (sim_is_dead(s, i)) {
            continue;
        }
        engine_look(s->server[i].engine, &f);
        if (f.folders != 0 || f.requests != 0 || f.bytes != 0) {
            sim_fail(s, "server %u is empty, and has %" PRIu64 " folders, %" PRIu64 " requests, %" PRIu64 " bytes",
                     i, f.folders, f.requests, f.bytes);
        }
        if (!engine_finished(s->server[i].engine)) {
            sim_fail(s, "all clients have gone, and server %u goes on", i);
        }
    }
}

static void finish(sim_t *s)
{
    s->closing = true;
    sim_settle(s);
    sim_judge_rest(s);
    cancel_all(s);
    all_but_one_leave(s);
    free_held(s, &s->client[0]);
    drain(s);
    sim_leave(s, &s->client[0]);
    sim_settle(s);
    sim_judge_rest(s);
    judge_end(s);
    sim_judge_history(s);
}

bool sim_run(sim_t *s, const sim_plan_t *plan)
{
    if (setjmp(s->failed) == 0) {
        sim_begin(s, plan);
        while (s->begun < s->plan.operations) {
            step(s);
        }
        finish(s);
        sim_end(s);
        return true;
    }
    /* What failed may be in any state: it is left alone. */
    if (s->history != NULL) {
        history_delete(s->history);
        s->history = NULL;
    }
    for (uint32_t i = 0; i < SIM_PEERS * SIM_PEERS; i++) {
        while (s->queues[i].length > 0) {
            sim_recycle(s, sim_pop(s, i));
        }
    }
    return false;
}
