/*
 * engines_life.c - how clients of the simulation go: they close, as memo_close does, or die.
 *
 * Who closes ends its calls, gives back what it holds, says LEAVE to all servers, and BYE. Who dies leaves some of
 * its last messages unsent. What was under way to it, and what it held, goes back by a server that finds it dead,
 * which says GONE before that, as a rule, and in any case after it. What the dead had sent comes before the last
 * GONE, as a rule, or after it.
 */
#include "t/lib/engines_sim.h"

#include <string.h>

uint32_t sim_participants(const sim_client_t *c)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < SIM_THREADS; t++) {
        n += c->threads[t].participates;
    }
    return n > 0 ? n : 1;
}

static void give_back(sim_t *s, sim_client_t *c)
{
    c->n_backs--;
    wire_memo_t *memo = c->backs[c->n_backs].memo;
    sim_op_t *op = sim_op(s, SIM_BACK, c->number, SIM_THREADS);
    op->asynchronous = true;
    op->memo = memo;
    op->folders[0] = memo->folder;
    op->count = 1;
    sim_call(s, op);
}

static void tell_of_quiet(sim_client_t *c)
{
    uint32_t participants = sim_participants(c);
    bool busy = c->started > 0;
    if (participants != c->told_participants || busy != c->told_busy) {
        c->told_participants = participants;
        c->told_busy = busy;
        stub_quiet(c->stub, participants, busy);
    }
}

/* ---- closing ---------------------------------------------------------------------------------------------- */

static uint32_t calls_pending(const sim_t *s, const sim_client_t *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_ops; i++) {
        const sim_op_t *op = &s->ops[i];
        n += op->client == c->number && op->begun && !op->over;
    }
    return n;
}

static void ask_all(sim_t *s, sim_client_t *c, sim_kind_t kind)
{
    c->asks = s->servers;
    for (uint32_t server = 0; server < s->servers; server++) {
        sim_op_t *op = sim_op(s, kind, c->number, SIM_THREADS);
        op->memo_limit = server;
        sim_call(s, op);
    }
}

static void return_held(sim_t *s, sim_client_t *c)
{
    while (c->n_held > 0) {
        sim_held_t held = c->held[--c->n_held];
        if (held.record == NULL) {
            sim_free_memo(s, held.memo, SIM_IN_CLIENT, c->number);
            continue;
        }
        held.record->hold = HISTORY_RETURNED;
        sim_op_t *op = sim_op(s, SIM_RETURN, c->number, SIM_THREADS);
        op->why = 1; /* marked */
        op->memo = held.memo;
        op->folders[0] = held.memo->folder;
        op->count = 1;
        sim_call(s, op);
    }
}

static void close_on(sim_t *s, sim_client_t *c)
{
    if (c->life == SIM_CLOSING && calls_pending(s, c) == 0) {
        c->life = SIM_LEAVES;
        ask_all(s, c, SIM_LEAVING);
    } else if (c->life == SIM_LEAVES && calls_pending(s, c) == 0) {
        return_held(s, c);
        if (calls_pending(s, c) == 0) {
            c->life = SIM_SAYS_BYE;
            ask_all(s, c, SIM_BYE);
        }
    } else if (c->life == SIM_SAYS_BYE && c->asks == 0) {
        c->life = SIM_IS_GONE;
        if (stub_calls(c->stub) != 0) {
            sim_fail(s, "client %u has left, and its stub has calls", c->number);
        }
    }
}

void sim_leave(sim_t *s, sim_client_t *c)
{
    s->clock++;
    sim_trace(s, "client %u closes", c->number);
    c->life = SIM_CLOSING;
    for (uint32_t i = 0; i < s->n_ops; i++) {
        sim_op_t *op = &s->ops[i];
        if (op->client == c->number && sim_may_cancel(op)) {
            op->cancelled = true;
            op->why = MEMO_ECLOSED;
            stub_cancel(c->stub, &op->call, MEMO_ECLOSED);
        }
    }
    sim_after(s, c);
}

void sim_after(sim_t *s, sim_client_t *c)
{
    if (c->life == SIM_IS_DEAD || c->life == SIM_IS_GONE) {
        return;
    }
    while (c->n_backs > 0) {
        give_back(s, c);
    }
    tell_of_quiet(c);
    if (c->life != SIM_LIVES && !c->in_after) {
        c->in_after = true;
        sim_life_t before;
        do {
            before = c->life;
            close_on(s, c);
        } while (c->life != before);
        c->in_after = false;
    }
}

/* ---- dying ------------------------------------------------------------------------------------------------ */

/* Its last messages were not sent. */
static void cut_short(sim_t *s, sim_client_t *c, uint32_t server)
{
    uint32_t queue = (s->servers + c->number) * SIM_PEERS + server;
    uint32_t length = s->queues[queue].length, stay = sim_below(&s->random_op, length + 1);
    for (uint32_t i = 0; i < length; i++) {
        sim_message_t *message = sim_pop(s, queue);
        if (i < stay) {
            sim_post(s, s->servers + c->number, server, &message->m);
            if (message->m.memo != NULL && c->found_early) { /* what the dead put may come after all is quiet */
                s->counting -= message->m.memo->counts;
                message->m.memo->counts = false;
            }
        } else if (message->m.memo != NULL) {
            message->m.memo->cut = true;
        }
        sim_recycle(s, message);
    }
}

/* What is under way to it. */
static void cut_off(sim_t *s, sim_client_t *c, uint32_t server)
{
    uint32_t queue = server * SIM_PEERS + s->servers + c->number;
    while (s->queues[queue].length > 0) {
        sim_message_t *message = sim_pop(s, queue);
        if (message->m.memo != NULL) {
            message->m.memo->cut = true;
            message->m.memo->cut_off = message->m.memo->counts;
        }
        sim_recycle(s, message);
    }
}

/* Whether all its participants wait until it is quiet: it may have reported so. */
static bool all_wait(const sim_client_t *c)
{
    for (uint32_t t = 0; t < SIM_THREADS; t++) {
        if (c->threads[t].participates && (c->threads[t].waits == NULL || !c->threads[t].waits->quiet)) {
            return false;
        }
    }
    return true;
}

/* What it holds, wherever that is, and what was under way goes back. */
static void inherit(sim_t *s, sim_client_t *c)
{
    bool waited = all_wait(c);
    for (uint32_t i = 0; i < s->n_memos; i++) {
        wire_memo_t *memo = &s->memos[i];
        if (memo->owner == SIM_IN_CLIENT && memo->whose == c->number) {
            sim_pass(s, memo, SIM_IN_CLIENT, c->number, SIM_IN_MESSAGE, 0, "inheritance");
            memo->cut = true;
        }
        if (memo->cut) {
            bool held = !memo->cut_off;
            memo->cut = memo->cut_off = false;
            sim_undeliverable(s, c->finder, memo);
            if (waited && held) { /* as long as nobody knows of its death, it waits with what it holds */
                s->counting -= memo->counts;
                memo->counts = false;
                memo->heir = c->number + 1;
            }
        }
    }
    c->n_held = 0;
}

void sim_tell_gone(sim_t *s, const sim_client_t *c, uint32_t from, uint32_t to, bool more)
{
    wire_message_t m = {.type = WIRE_GONE, .from = from, .client = from, .number = {s->servers + c->number, more}};
    sim_post(s, from, to, &m);
}

void sim_die(sim_t *s, sim_client_t *c)
{
    s->clock++;
    sim_trace(s, "client %u dies", c->number);
    c->life = SIM_IS_DEAD;
    c->finder = sim_some_server(s);
    c->found_early = sim_below(&s->random_op, 4) == 0;
    for (uint32_t server = 0; server < s->servers; server++) {
        cut_short(s, c, server);
        cut_off(s, c, server);
    }
    for (uint32_t i = 0; i < s->n_ops; i++) {
        sim_op_t *op = &s->ops[i];
        if (op->client == c->number && op->begun && !op->over) {
            sim_record(s, op);
            if (op->kind == SIM_RETURN || op->kind == SIM_BACK) {
                sim_note_returned(s, op->memo);
            } else if (op->memo != NULL && !op->memo->taken && op->memo->stay < 0) {
                op->memo->orphan = true;
                op->memo->delayed = op->kind == SIM_DELAY;
            }
        }
    }
    for (uint32_t t = 0; t < SIM_THREADS; t++) {
        s->tapes[c->threads[t].tape]->killed = 1;
    }
    bool first = sim_below(&s->random_op, 4) != 0;
    for (uint32_t server = 0; first && server < s->servers; server++) {
        if (sim_is_dead(s, server)) {
            continue;
        }
        sim_tell_gone(s, c, c->finder, server, true);
    }
    inherit(s, c);
    sim_find_dead(s);
}

void sim_find_dead(sim_t *s)
{
    for (uint32_t i = 0; i < s->clients; i++) {
        sim_client_t *c = &s->client[i];
        if (c->life != SIM_IS_DEAD) {
            continue;
        }
        for (uint32_t server = 0; server < s->servers; server++) {
            uint32_t queue = (s->servers + i) * SIM_PEERS + server;
            if ((c->told_gone >> server & 1) == 0 && !sim_is_dead(s, server) &&
                (s->queues[queue].length == 0 || c->found_early)) {
                c->told_gone |= UINT64_C(1) << server;
                sim_tell_gone(s, c, c->finder, server, false);
            }
        }
    }
}
