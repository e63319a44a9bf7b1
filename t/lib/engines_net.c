/*
 * engines_net.c - messages of the simulation: queues, and what engines and stubs are given to send with.
 *
 * As the real transports do, it neither loses, doubles nor reorders messages between two peers.
 */
#include "t/lib/engines_sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const sim_wire_names[WIRE_TYPES] = {
    [WIRE_NOTHING] = "NOTHING",
    [WIRE_PUT] = "PUT",
    [WIRE_RETURN] = "RETURN",
    [WIRE_DROP] = "DROP",
    [WIRE_DELAY] = "DELAY",
    [WIRE_SELECT] = "SELECT",
    [WIRE_JOIN] = "JOIN",
    [WIRE_LATCH] = "LATCH",
    [WIRE_LINK] = "LINK",
    [WIRE_UNLINK] = "UNLINK",
    [WIRE_ACCEPT] = "ACCEPT",
    [WIRE_RELEASE] = "RELEASE",
    [WIRE_GATHER] = "GATHER",
    [WIRE_WATCH] = "WATCH",
    [WIRE_CHAIN] = "CHAIN",
    [WIRE_CANCEL] = "CANCEL",
    [WIRE_LIMIT] = "LIMIT",
    [WIRE_COUNT] = "COUNT",
    [WIRE_STAT] = "STAT",
    [WIRE_EACH] = "EACH",
    [WIRE_LEAVE] = "LEAVE",
    [WIRE_BYE] = "BYE",
    [WIRE_GONE] = "GONE",
    [WIRE_RECEIVED] = "RECEIVED",
    [WIRE_ANSWER] = "ANSWER",
    [WIRE_HELD] = "HELD",
    [WIRE_EMPTY] = "EMPTY",
    [WIRE_HOLD] = "HOLD",
    [WIRE_UNRESERVE] = "UNRESERVE",
    [WIRE_FIRE] = "FIRE",
    [WIRE_FIRED] = "FIRED",
    [WIRE_NEXT] = "NEXT",
    [WIRE_UNLOCK] = "UNLOCK",
    [WIRE_IDLE] = "IDLE",
    [WIRE_WITHDRAW] = "WITHDRAW",
    [WIRE_WITHDRAWN] = "WITHDRAWN",
    [WIRE_QUIET] = "QUIET",
    [WIRE_PROBE] = "PROBE",
    [WIRE_PROBED] = "PROBED",
    [WIRE_FREEZE] = "FREEZE",
    [WIRE_FROZEN] = "FROZEN",
    [WIRE_COMMIT] = "COMMIT",
    [WIRE_COMMITTED] = "COMMITTED",
    [WIRE_THAW] = "THAW",
    [WIRE_AGAIN] = "AGAIN",
};

/* ---- queues ---------------------------------------------------------------------------------------------- */

static void mark(sim_t *s, uint32_t queue, bool busy)
{
    uint64_t *word = queue < 64 ? &s->busy_low : &s->busy_high;
    uint64_t bit = UINT64_C(1) << queue % 64;
    *word = busy ? *word | bit : *word & ~bit;
}

static sim_message_t *new_message(sim_t *s)
{
    if (s->free_messages == NULL) {
        enum { LOT = 128 };
        sim_message_t *lot = s->n_messages_made < 64 ? calloc(LOT, sizeof *lot) : NULL;
        if (lot == NULL) {
            sim_fail(s, "thousands of messages under way");
        }
        s->messages_made[s->n_messages_made++] = lot;
        for (int i = 0; i < LOT; i++) {
            sim_recycle(s, &lot[i]);
        }
    }
    sim_message_t *message = s->free_messages;
    s->free_messages = message->next;
    return message;
}

void sim_recycle(sim_t *s, sim_message_t *message)
{
    message->next = s->free_messages;
    s->free_messages = message;
}

static void tell_peer(const sim_t *s, uint32_t peer, char text[8])
{
    snprintf(text, 8, "%c%u", peer < s->servers ? 'S' : 'C', peer < s->servers ? peer : peer - s->servers);
}

static void trace_message(const sim_t *s, const char *what, uint32_t from, uint32_t to, const wire_message_t *m)
{
    char a[8], b[8], c[8], text[400];
    tell_peer(s, from, a);
    tell_peer(s, to, b);
    tell_peer(s, m->client, c);
    int at = snprintf(text, sizeof text, "%s %s->%s %s", what, a, b, sim_wire_names[m->type]);
    at += snprintf(text + at, sizeof text - (size_t)at, " %s/%" PRIu64 " flags %u how %d result %d index %u", c,
                   m->request, m->flags, (int)m->how, m->result, m->index);
    for (uint32_t i = 0; i < m->count; i++) {
        at += snprintf(text + at, sizeof text - (size_t)at, " %.*s@%u", (int)m->folders[i].name.length,
                       (const char *)m->folders[i].name.bytes, m->folders[i].index);
    }
    if (m->number[0] != 0 || m->number[1] != 0 || m->number[2] != 0) {
        at += snprintf(text + at, sizeof text - (size_t)at, " (%" PRIu64 " %" PRIu64 " %" PRIu64 ")", m->number[0],
                       m->number[1], m->number[2]);
    }
    if (m->memo != NULL) {
        at += snprintf(text + at, sizeof text - (size_t)at, " memo %u%s", m->memo->number,
                       m->memo->copy ? " (copy)" : "");
    }
    sim_trace(s, "%s", text);
}

void sim_post(sim_t *s, uint32_t from, uint32_t to, const wire_message_t *message)
{
    if (to >= s->servers + s->clients || message->count > SIM_MESSAGE_FOLDERS || message->type <= WIRE_NOTHING ||
        message->type >= WIRE_TYPES) {
        sim_fail(s, "a message to %u, of type %d, with %u folders", to, (int)message->type, message->count);
    }
    uint32_t queue = from * SIM_PEERS + to;
    sim_message_t *copy = new_message(s);
    copy->m = *message;
    copy->next = NULL;
    if (message->count > 0) {
        memcpy(copy->folders, message->folders, message->count * sizeof copy->folders[0]);
    }
    copy->m.folders = copy->folders;
    sim_queue_t *q = &s->queues[queue];
    if (q->last != NULL) {
        q->last->next = copy;
    } else {
        q->first = copy;
    }
    q->last = copy;
    q->length++;
    s->waiting++;
    s->messages++;
    s->newest = queue;
    mark(s, queue, true);
    if (s->plan.trace) {
        trace_message(s, "      sends", from, to, &copy->m);
    }
}

sim_message_t *sim_pop(sim_t *s, uint32_t queue)
{
    sim_queue_t *q = &s->queues[queue];
    sim_message_t *message = q->first;
    q->first = message->next;
    q->length--;
    s->waiting--;
    if (q->first == NULL) {
        q->last = NULL;
        mark(s, queue, false);
    }
    return message;
}

static bool is_busy(const sim_t *s, uint32_t queue)
{
    return s->queues[queue].length > 0;
}

static bool is_starved(const sim_t *s, uint32_t queue)
{
    for (uint32_t i = 0; i < s->n_starved; i++) {
        if (s->starved[i] == queue) {
            return true;
        }
    }
    return false;
}

/* The nth bit that is set. */
static uint32_t nth_bit(uint64_t word, uint32_t n)
{
    for (; n > 0; n--) {
        word &= word - 1;
    }
    return (uint32_t)__builtin_ctzll(word);
}

static uint32_t any_queue(sim_t *s)
{
    uint32_t low = (uint32_t)__builtin_popcountll(s->busy_low), high = (uint32_t)__builtin_popcountll(s->busy_high);
    uint32_t n = sim_below(&s->random, low + high);
    return n < low ? nth_bit(s->busy_low, n) : 64 + nth_bit(s->busy_high, n - low);
}

uint32_t sim_choose_queue(sim_t *s)
{
    uint32_t queue;
    switch (s->bias) {
    case SIM_NEWEST:
        if (is_busy(s, s->newest) && sim_below(&s->random, 8) != 0) {
            return s->newest;
        }
        break;
    case SIM_BURSTS:
        if (!is_busy(s, s->burst)) {
            s->burst = any_queue(s);
        }
        return s->burst;
    case SIM_STARVE:
        for (int attempt = 0; attempt < 40; attempt++) {
            queue = any_queue(s);
            if (!is_starved(s, queue)) {
                return queue;
            }
        }
        break;
    default:
        break;
    }
    return any_queue(s);
}

/* ---- delivering ------------------------------------------------------------------------------------------ */

static void receive(sim_t *s, uint32_t to, wire_message_t *m)
{
    if (m->memo != NULL) {
        sim_pass(s, m->memo, SIM_IN_MESSAGE, 0, SIM_IN_ENGINE, to, "delivery");
    }
    sim_saw_receive(s, to, m);
    engine_receive(s->server[to].engine, m);
}

static void make_return(sim_t *s, uint32_t finder, wire_memo_t *memo, wire_folder_t *folder, wire_message_t *m)
{
    *folder = (wire_folder_t){.name = s->names[memo->folder]};
    *m = (wire_message_t){.type = WIRE_RETURN,
                          .flags = WIRE_REDELIVERED | WIRE_NO_ANSWER,
                          .from = finder,
                          .client = finder,
                          .count = 1,
                          .folders = folder,
                          .memo = memo,
                          .size = memo->size,
                          .redeliveries = memo->redeliveries};
}

/* What it sent to the dead comes back before it hears anything else: above all, of the death. */
static void take_refused(sim_t *s, uint32_t to)
{
    wire_folder_t folder;
    wire_message_t m;
    sim_server_t *server = &s->server[to];
    while (server->n_refused > 0) {
        wire_memo_t *memo = server->refused[--server->n_refused];
        sim_trace(s, "      memo %u comes back to server %u", memo->number, to);
        make_return(s, to, memo, &folder, &m);
        receive(s, to, &m);
    }
}

static void deliver_to_server(sim_t *s, uint32_t to, wire_message_t *m)
{
    receive(s, to, m);
    take_refused(s, to);
    uint32_t another = (m->from + 1) % s->servers;
    if (m->type == WIRE_GONE && m->number[0] >= s->servers && sim_below(&s->random, 3) == 0 &&
        !sim_is_dead(s, another)) { /* has found it, too */
        sim_tell_gone(s, &s->client[m->number[0] - s->servers], another, to, m->number[1] != 0);
    }
}

static void deliver_to_client(sim_t *s, uint32_t from, sim_client_t *c, wire_message_t *m)
{
    if ((c->answers_bye >> from & 1) != 0) {
        sim_fail(s, "server %u sends %s to client %u after the answer to its BYE", from, sim_wire_names[m->type],
                 c->number);
    }
    if (c->life == SIM_IS_GONE && sim_is_dead(s, from)) { /* it did not wait for the last words of the dead */
        if (m->memo != NULL) {
            sim_lose(s, m->memo);
        }
        return;
    }
    if (m->memo != NULL) {
        sim_pass(s, m->memo, SIM_IN_MESSAGE, 0, SIM_IN_CLIENT, c->number, "delivery");
    }
    if (m->type == WIRE_ANSWER && c->life == SIM_SAYS_BYE) {
        const sim_op_t *op = sim_find(s, c->number, m->request);
        if (op != NULL && op->kind == SIM_BYE) {
            c->answers_bye |= UINT64_C(1) << from;
        }
    }
    stub_receive(c->stub, m);
    sim_after(s, c);
}

void sim_deliver(sim_t *s, uint32_t queue)
{
    uint32_t from = queue / SIM_PEERS, to = queue % SIM_PEERS;
    sim_message_t *message = sim_pop(s, queue);
    s->clock++;
    if (s->plan.trace) {
        trace_message(s, "delivered", from, to, &message->m);
    }
    if (to < s->servers) {
        deliver_to_server(s, to, &message->m);
    } else {
        deliver_to_client(s, from, &s->client[to - s->servers], &message->m);
    }
    sim_recycle(s, message);
}

void sim_undeliverable(sim_t *s, uint32_t finder, wire_memo_t *memo)
{
    sim_check_memo(s, memo, SIM_IN_MESSAGE, 0, "return");
    if (memo->copy || memo->made || !memo->taken) {
        sim_free_memo(s, memo, SIM_IN_MESSAGE, 0);
        return;
    }
    if (sim_is_dead(s, s->server_of[memo->folder])) {
        sim_lose(s, memo);
        return;
    }
    wire_folder_t folder;
    wire_message_t m;
    make_return(s, finder, memo, &folder, &m);
    if (!memo->counts) {
        memo->counts = true;
        s->counting++;
    }
    sim_post(s, finder, s->server_of[memo->folder], &m);
}

/* ---- what engines and stubs are given --------------------------------------------------------------------- */

static void engine_sends(void *arg, uint32_t to, const wire_message_t *message)
{
    sim_server_t *server = arg;
    sim_t *s = server->sim;
    if (message->from != server->number) {
        sim_fail(s, "server %u sends in the name of %u", server->number, message->from);
    }
    if (message->memo != NULL) {
        sim_pass(s, message->memo, SIM_IN_ENGINE, server->number, SIM_IN_MESSAGE, 0, "sending");
        if (message->size != message->memo->size) {
            sim_fail(s, "server %u sends memo %u of %" PRIu64 " bytes as one of %" PRIu64, server->number,
                     message->memo->number, message->memo->size, message->size);
        }
    }
    sim_saw_send(s, server->number, to, message);
    if (to < s->servers && sim_is_dead(s, to)) {
        if (message->memo != NULL) {
            sim_lose(s, message->memo);
        }
        return;
    }
    if (to >= s->servers && to < s->servers + s->clients) {
        const sim_client_t *c = &s->client[to - s->servers];
        if (c->life == SIM_IS_DEAD) {
            sim_trace(s, "      server %u sends %s to client %u, which is dead", server->number,
                      sim_wire_names[message->type], c->number);
            wire_memo_t *memo = message->memo;
            if (memo != NULL && (memo->copy || memo->made || !memo->taken)) {
                sim_free_memo(s, memo, SIM_IN_MESSAGE, 0);
            } else if (memo != NULL && server->n_refused < SIM_HELD) {
                server->refused[server->n_refused++] = memo;
            } else if (memo != NULL) {
                sim_fail(s, "a server sends %d memos to the dead at once", SIM_HELD);
            }
            return;
        }
    }
    sim_post(s, server->number, to, message);
}

void sim_io(sim_t *s, uint32_t server, engine_io_t *io)
{
    *io = (engine_io_t){.send = engine_sends,
                        .copy = sim_copy_memo,
                        .make = sim_make_memo,
                        .free = sim_drop_memo,
                        .arg = &s->server[server]};
}

static int stub_sends(void *arg, uint32_t to, const wire_message_t *message)
{
    sim_client_t *c = arg;
    sim_t *s = c->sim;
    wire_message_t m = *message;
    if (to >= s->servers) {
        sim_fail(s, "client %u sends to %u, which is no server", c->number, to);
    }
    if ((c->knows_dead >> to & 1) != 0) {
        return MEMO_EPEER;
    }
    m.from = s->servers + c->number;
    if (m.client == 0) {
        m.client = m.from;
    }
    if (m.memo != NULL) {
        sim_pass(s, m.memo, SIM_IN_CLIENT, c->number, SIM_IN_MESSAGE, 0, "sending");
        m.size = m.memo->size;
        m.redeliveries = m.type == WIRE_RETURN ? m.memo->redeliveries : 0;
        const sim_op_t *op = sim_find(s, c->number, m.request);
        /* What a thread puts that takes no part in quiet may come at any time. */
        bool outside = op != NULL && op->thread < SIM_THREADS && !c->threads[op->thread].participates;
        m.memo->counts = !outside;
        s->counting += !outside;
    }
    if (!sim_is_dead(s, to)) {
        sim_post(s, m.from, to, &m);
    } else if (m.memo != NULL) {
        sim_lose(s, m.memo);
    }
    return MEMO_OK;
}

static void stub_gives_back(void *arg, const memo_folder_t *folder, wire_memo_t *memo)
{
    sim_client_t *c = arg;
    sim_check_memo(c->sim, memo, SIM_IN_CLIENT, c->number, "gift");
    if (folder == NULL && c->sim->dead_servers != 0 && !memo->taken) {
        sim_lose(c->sim, memo); /* a put that was refused when it was over */
        return;
    }
    if (c->n_backs == SIM_HELD) {
        sim_fail(c->sim, "client %u gives back %d memos at once", c->number, SIM_HELD);
    }
    uint32_t known = 0;
    while (known < c->sim->folders && memcmp(folder, &c->sim->names[known], sizeof *folder) != 0) {
        known++;
    }
    if (known != memo->folder) {
        sim_fail(c->sim, "client %u gives back memo %u to folder %u, and it was in %u", c->number, memo->number,
                 known, memo->folder);
    }
    c->backs[c->n_backs].folder = &c->sim->names[known];
    c->backs[c->n_backs++].memo = memo;
}

static void stub_is_done(void *arg, stub_call_t *call)
{
    sim_client_t *c = arg;
    sim_done(c->sim, call->user);
}

void sim_stub_io(sim_client_t *c, stub_io_t *io)
{
    *io = (stub_io_t){.send = stub_sends, .back = stub_gives_back, .done = stub_is_done, .arg = c};
}
