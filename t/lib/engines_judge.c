/*
 * engines_judge.c - the judge of the simulation: where each memo is, from what the servers say, and whether all is
 * as it must be when nothing is under way.
 *
 * A memo is in its folder from the instant at which its server says that its put has taken effect, to the instant
 * at which the select that is given it had it latched or, without a latch, is sent it. Memos of delayed puts, and
 * those that come back from the dead, are in their folders from an instant that nobody says: they are left out
 * where that matters.
 */
#include "t/lib/engines_sim.h"

#include <inttypes.h>
#include <string.h>

sim_op_t *sim_find(sim_t *s, uint32_t client, uint64_t request)
{
    sim_op_t **found = &s->found[client][(request ^ request >> 32) % 64];
    if (*found != NULL && (*found)->call.request == request && (*found)->begun) {
        return *found;
    }
    for (uint32_t i = s->n_ops; i-- > 0;) {
        sim_op_t *op = &s->ops[i];
        if (op->client == client && op->begun && op->call.request == request) {
            *found = op;
            return op;
        }
    }
    return NULL;
}

static sim_op_t *op_of(sim_t *s, const wire_message_t *m)
{
    bool client = m->client >= s->servers && m->client < s->servers + s->clients;
    return client ? sim_find(s, m->client - s->servers, m->request) : NULL;
}

/* ---- where memos are -------------------------------------------------------------------------------------- */

static void count_it(sim_t *s, wire_memo_t *memo)
{
    s->counting += !memo->counts;
    memo->counts = true;
}

static void check_limit(sim_t *s, uint32_t folder)
{
    uint64_t memos = 0, bytes = 0;
    for (uint32_t i = 0; i < s->n_memos; i++) {
        if (s->memos[i].trigger == folder && s->memos[i].fires) {
            return; /* puts that fire others are acknowledged later than they take effect */
        }
    }
    for (uint32_t i = 0; i < s->n_memos; i++) {
        const wire_memo_t *memo = &s->memos[i];
        /* A promise of room ends with the server that was to fire. */
        bool promised = memo->delayed && !memo->orphan && !sim_is_dead(s, s->server_of[memo->trigger]);
        if (memo->folder == folder && (memo->stay >= 0 || promised)) {
            memos++;
            bytes += memo->size;
        }
    }
    if ((s->memo_limit[folder] > 0 && memos > s->memo_limit[folder]) ||
        (s->byte_limit[folder] > 0 && bytes > s->byte_limit[folder])) {
        sim_fail(s,
                 "a put into folder %u was taken: %" PRIu64 " memos of %" PRIu64 ", %" PRIu64 " bytes of %" PRIu64,
                 folder, memos, s->memo_limit[folder], bytes, s->byte_limit[folder]);
    }
}

void sim_note_returned(sim_t *s, wire_memo_t *memo)
{
    if (memo->owner == SIM_IN_ENGINE && !memo->taken && !memo->returned && memo->stay < 0) {
        memo->returned = true;
        s->present[memo->folder]++;
    }
}

/* The server says that the memo is in its folder, or held until its trigger fires. */
static void took_effect(sim_t *s, uint32_t server, const sim_op_t *op)
{
    wire_memo_t *memo = op->memo;
    if (memo->lives != op->lives || memo->returned) {
        return; /* it is taken, and may be back: puts that fire others are acknowledged late */
    }
    if (op->kind == SIM_DELAY) {
        memo->delayed = memo->stay < 0;
    } else if (memo->owner != SIM_IN_ENGINE || memo->whose != server || memo->stay >= 0) {
        sim_fail(s, "server %u says that memo %u was put, and has it not", server, memo->number);
    } else {
        memo->stay = (int)s->n_stays;
        s->stays[s->n_stays++] = (sim_stay_t){memo->folder, memo->number, s->clock, UINT64_MAX};
        s->present[memo->folder]++;
    }
    if (op->kind == SIM_PUT || op->kind == SIM_PUT_WAIT || op->kind == SIM_PUT_START) {
        check_limit(s, memo->folder);
    } else if (op->kind != SIM_DELAY) {
        memo->head = s->clock;
    }
}

/* The server says that a delayed put has taken effect, and had no cause to wait with that. */
static void has_fired(sim_t *s, uint32_t server, const wire_message_t *m)
{
    wire_memo_t *memo = s->fire != NULL ? s->fire->memo : NULL;
    if (memo == NULL || s->fire->number[0] != m->number[0] || memo->owner != SIM_IN_ENGINE ||
        memo->whose != server || memo->taken || memo->stay >= 0) {
        return;
    }
    memo->delayed = false;
    memo->stay = (int)s->n_stays;
    s->stays[s->n_stays++] = (sim_stay_t){memo->folder, memo->number, s->clock, UINT64_MAX};
    s->present[memo->folder]++;
}

static void is_taken(sim_t *s, uint32_t server, sim_op_t *op, wire_memo_t *memo, const wire_message_t *m)
{
    uint64_t at = op->held[server] != 0 ? op->held[server] : s->clock;
    if (memo->taken || memo->redeliveries != m->redeliveries) {
        sim_fail(s, "memo %u is given to op %u%s, with %u redeliveries instead of %u", memo->number, op->number,
                 memo->taken ? ", though it was taken" : "", m->redeliveries, memo->redeliveries);
    }
    if (m->count != 1 || memcmp(&m->folders[0].name, &s->names[memo->folder], sizeof m->folders[0].name) != 0) {
        sim_fail(s, "memo %u is given to op %u without the folder that it comes from", memo->number, op->number);
    }
    sim_order_given(s, server, op, memo);
    if (memo->stay >= 0) {
        sim_stay_t *stay = &s->stays[memo->stay];
        stay->to = at > stay->from ? at : stay->from;
    }
    s->present[memo->folder] -= memo->stay >= 0 || memo->returned;
    memo->stay = -1;
    memo->taken = true;
    memo->plain = false;
    memo->head = 0;
    memo->lives++;
    memo->delayed = memo->returned = memo->orphan = false;
}

static void saw_answer(sim_t *s, uint32_t server, const wire_message_t *m)
{
    sim_op_t *op = op_of(s, m);
    if (op == NULL) {
        sim_fail(s, "server %u answers %" PRIu64 " of %u, which nobody asked", server, m->request, m->client);
    }
    wire_memo_t *memo = m->memo;
    bool given = memo != NULL && (op->kind == SIM_SELECT || op->kind == SIM_JOIN);
    if (given && !memo->copy) {
        is_taken(s, server, op, memo, m);
    }
    if (given && op->quiet) {
        count_it(s, memo);
    }
    if (m->result != MEMO_OK) {
        return;
    }
    switch (op->kind) {
    case SIM_PUT:
    case SIM_PUT_WAIT:
    case SIM_PUT_START:
    case SIM_DELAY:
    case SIM_RETURN:
    case SIM_BACK:
        took_effect(s, server, op);
        break;
    case SIM_LIMIT:
        s->memo_limit[op->folders[0]] = op->memo_limit;
        s->byte_limit[op->folders[0]] = op->byte_limit;
        break;
    default:
        break;
    }
}

void sim_saw_send(sim_t *s, uint32_t server, uint32_t to, const wire_message_t *m)
{
    sim_op_t *op;
    s->clock++; /* one message may do many things, one after the other */
    switch (m->type) {
    case WIRE_ANSWER:
        if (to != m->client) {
            sim_fail(s, "server %u answers %u what %u has asked", server, to, m->client);
        }
        saw_answer(s, server, m);
        break;
    case WIRE_HELD:
        op = op_of(s, m);
        if (op == NULL || to != m->client) {
            sim_fail(s, "server %u holds for a request that nobody made", server);
        }
        break;
    case WIRE_HOLD:
        op = op_of(s, m);
        if (op != NULL && op->thread < SIM_THREADS && s->client[op->client].threads[op->thread].participates) {
            count_it(s, m->memo);
        }
        break;
    case WIRE_FIRED:
        has_fired(s, server, m);
        break;
    case WIRE_FIRE:
        m->memo->fired = s->clock;
        count_it(s, m->memo);
        break;
    default:
        break;
    }
    sim_order_send(s, server, m, op_of(s, m));
}

/* Server 0 has heard of a death: from now on it is not quiet before what the dead had has come back. */
static void note_death(sim_t *s, uint32_t client)
{
    for (uint32_t i = 0; i < s->n_memos; i++) {
        if (s->memos[i].heir == client + 1 && s->memos[i].owner == SIM_IN_MESSAGE) {
            count_it(s, &s->memos[i]);
        }
    }
}

void sim_saw_receive(sim_t *s, uint32_t server, const wire_message_t *m)
{
    sim_op_t *op = op_of(s, m);
    if ((m->flags & WIRE_UNTIL_QUIET) != 0 && m->from >= s->servers && op != NULL && !op->over) {
        s->client[op->client].threads[op->thread].known = true;
    }
    sim_order_receive(s, server, m, op);
    s->fire = m->type == WIRE_FIRE ? m : NULL;
    switch (m->type) {
    case WIRE_RETURN:
        m->memo->taken = false;
        m->memo->redeliveries += (m->flags & WIRE_REDELIVERED) != 0;
        if ((m->flags & WIRE_NO_ANSWER) != 0 || (op != NULL && s->client[op->client].life == SIM_IS_DEAD)) {
            sim_note_returned(s, m->memo);
        }
        break;
    case WIRE_RELEASE:
        if (op != NULL) {
            op->held[server] = 0;
        }
        break;
    case WIRE_GONE:
        if (server == 0 && m->number[0] >= s->servers) {
            note_death(s, (uint32_t)m->number[0] - s->servers);
        }
        break;
    default:
        break;
    }
}

/* ---- quiet ------------------------------------------------------------------------------------------------ */

static bool folders_empty(const sim_t *s, const sim_op_t *op)
{
    for (uint32_t i = 0; i < op->count; i++) {
        if (s->present[op->folders[i]] > 0) {
            return false;
        }
    }
    return true;
}

/* Whether all participants wait, for what is not there. Who takes part for the first time, and no server has heard
 * of it, has come later. */
static bool client_waits(const sim_client_t *c)
{
    uint32_t waiting = 0, participants = 0;
    for (uint32_t t = 0; t < SIM_THREADS; t++) {
        const sim_op_t *op = c->threads[t].waits;
        participants += c->threads[t].known;
        if (op != NULL && op->quiet && c->threads[t].known) {
            waiting++;
            if (!folders_empty(c->sim, op)) {
                return false;
            }
        }
    }
    return waiting > 0 && waiting == participants;
}

static bool is_quiet(const sim_t *s)
{
    uint32_t living = 0;
    for (uint32_t i = 0; i < s->clients; i++) {
        const sim_client_t *c = &s->client[i];
        if (c->life == SIM_LIVES) {
            living++;
            if (!client_waits(c)) {
                return false;
            }
        }
    }
    return living > 0 && s->counting == 0 && s->dead_servers == 0;
}

void sim_look_for_quiet(sim_t *s)
{
    if (s->percent_quiet > 0 && s->counting == 0 && is_quiet(s)) {
        s->last_quietable = s->clock;
    }
}

/* ---- at rest ----------------------------------------------------------------------------------------------- */

typedef struct expected {
    uint64_t requests, least_requests, waiters, least_waiters, puts, least_puts;
} expected_t;

static bool concerns(const sim_t *s, const sim_op_t *op, uint32_t server)
{
    for (uint32_t i = 0; i < op->count; i++) {
        if (s->server_of[op->folders[i]] == server) {
            return true;
        }
    }
    return false;
}

static _Noreturn void fail_op(sim_t *s, const sim_op_t *op, const char *what)
{
    char text[SIM_TEXT];
    sim_text_of(s, op, text);
    sim_fail(s, "nothing is under way, and %s: %s", what, text);
}

/* Memos that are in the folder, with those that must have been fired into it. */
static uint32_t certain(const sim_t *s, uint32_t folder)
{
    uint32_t n = s->present[folder];
    for (uint32_t i = 0; i < s->n_memos; i++) {
        const wire_memo_t *memo = &s->memos[i];
        n += memo->delayed && memo->owner == SIM_IN_ENGINE && memo->folder == folder &&
             s->present[memo->trigger] > 0;
    }
    return n;
}

static void judge_select(sim_t *s, const sim_op_t *op)
{
    if (op->select.when_empty != MEMO_WAIT && !op->quiet) {
        fail_op(s, op, "it was never answered");
    }
    for (uint32_t i = 0; i < op->count; i++) {
        if (certain(s, op->folders[i]) > 0) {
            fail_op(s, op, "there is a memo that it could have");
        }
    }
}

static void judge_join(sim_t *s, const sim_op_t *op)
{
    for (uint32_t i = 0; i < op->count; i++) {
        uint32_t wants = 0;
        for (uint32_t k = 0; k < op->count; k++) {
            wants += op->folders[k] == op->folders[i];
        }
        if (certain(s, op->folders[i]) < wants) {
            return;
        }
    }
    fail_op(s, op, "it could be satisfied");
}

/* A put that waits for room: there is none. */
static void judge_put(sim_t *s, const sim_op_t *op)
{
    uint64_t memos = 1, bytes = op->memo->size;
    uint32_t folder = op->folders[0];
    for (uint32_t i = 0; i < s->n_memos; i++) {
        const wire_memo_t *memo = &s->memos[i];
        if (memo->folder == folder && memo->orphan && memo->owner == SIM_IN_ENGINE) {
            return; /* it has come in, or waits before this one: nobody knows */
        }
        if (memo->folder == folder && (memo->stay >= 0 || memo->returned || memo->delayed)) {
            memos++;
            bytes += memo->size;
        }
    }
    if ((s->memo_limit[folder] == 0 || memos <= s->memo_limit[folder]) &&
        (s->byte_limit[folder] == 0 || bytes <= s->byte_limit[folder])) {
        /* Puts wait in order: one before it may want more room. */
        for (uint32_t i = 0; i < s->n_ops; i++) {
            const sim_op_t *other = &s->ops[i];
            if (other != op && other->begun && !other->over && other->kind == SIM_PUT_WAIT &&
                other->folders[0] == folder && other->memo->size > op->memo->size) {
                return;
            }
        }
        fail_op(s, op, "there is room for it");
    }
}

static void judge_pending(sim_t *s, const sim_op_t *op)
{
    if (sim_needs_dead(s, op)) {
        fail_op(s, op, "it needs a server that is dead");
    }
    if (op->cancelled) {
        fail_op(s, op, "it was cancelled");
    }
    switch (op->kind) {
    case SIM_SELECT:
        judge_select(s, op);
        break;
    case SIM_JOIN:
        judge_join(s, op);
        break;
    case SIM_PUT_WAIT:
        judge_put(s, op);
        break;
    default:
        fail_op(s, op, "it was never answered");
    }
}

static void expect(const sim_t *s, const sim_op_t *op, uint32_t server, expected_t *e)
{
    if (!concerns(s, op, server)) {
        return;
    }
    e->requests++;
    e->least_requests += op->kind != SIM_JOIN;
    e->puts += op->kind == SIM_PUT_WAIT;
    e->least_puts += op->kind == SIM_PUT_WAIT;
    for (uint32_t i = 0; i < op->count && op->kind != SIM_PUT_WAIT; i++) {
        bool here = s->server_of[op->folders[i]] == server;
        e->waiters += here;
        e->least_waiters += here && op->kind == SIM_SELECT;
    }
}

static void judge_figures(sim_t *s, uint32_t server, const expected_t *e)
{
    engine_figures_t f;
    engine_look(s->server[server].engine, &f);
    if (f.latches != 0 || f.locked != 0 || f.deferred != 0 || f.unserved != 0) {
        sim_fail(s,
                 "nothing is under way, and server %u has %" PRIu64 " latches, %" PRIu64 " locked folders, %" PRIu64
                 " deferred messages, %" PRIu64 " unserved folders",
                 server, f.latches, f.locked, f.deferred, f.unserved);
    }
    uint64_t known = f.memos + f.delayed, owned = s->server[server].owned;
    if (known + e->puts < owned || known + e->least_puts > owned) {
        sim_fail(s,
                 "server %u has %" PRIu64 " memos, and knows of %" PRIu64 " in folders, %" PRIu64
                 " delayed, %" PRIu64 " that wait for room",
                 server, owned, f.memos, f.delayed, e->puts);
    }
    if (f.requests < e->least_requests || f.requests > e->requests) {
        sim_fail(s, "server %u has %" PRIu64 " requests instead of %" PRIu64 " to %" PRIu64, server, f.requests,
                 e->least_requests, e->requests);
    }
    if (f.waiters < e->least_waiters || f.waiters > e->waiters) {
        sim_fail(s, "server %u has %" PRIu64 " get structures instead of %" PRIu64 " to %" PRIu64, server,
                 f.waiters, e->least_waiters, e->waiters);
    }
}

void sim_judge_rest(sim_t *s)
{
    expected_t expected[SIM_SERVERS] = {{0}};
    for (uint32_t i = 0; i < s->clients; i++) {
        sim_life_t life = s->client[i].life;
        if (life == SIM_CLOSING || life == SIM_LEAVES || life == SIM_SAYS_BYE) {
            sim_fail(s, "nothing is under way, and client %u has not left", i);
        }
    }
    for (uint32_t i = 0; i < s->n_ops; i++) {
        const sim_op_t *op = &s->ops[i];
        if (!op->begun || op->over) {
            continue;
        }
        bool dead = s->client[op->client].life == SIM_IS_DEAD;
        if (!dead) {
            judge_pending(s, op);
        }
        for (uint32_t server = 0; server < s->servers; server++) {
            if (!dead) {
                expect(s, op, server, &expected[server]);
            }
        }
    }
    for (uint32_t server = 0; server < s->servers; server++) {
        if (sim_is_dead(s, server)) {
            continue;
        }
        judge_figures(s, server, &expected[server]);
    }
    if (s->percent_quiet > 0 && is_quiet(s)) {
        sim_fail(s, "nothing is under way, all participants wait, and nobody was told that it is quiet");
    }
}
