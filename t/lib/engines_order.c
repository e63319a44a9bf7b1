/*
 * engines_order.c - the judge of the simulation, on order: who is served first, which memo he is given, and what is
 * so once a put has been acknowledged.
 *
 * A select waits at a server from when its message was delivered there until it is told HELD or is answered, or is
 * released. Where a message may have been deferred by a chain's lock nothing is said.
 */
#include "t/lib/engines_sim.h"

#include <string.h>

static bool covers(const sim_op_t *op, uint32_t folder)
{
    for (uint32_t i = 0; i < op->count; i++) {
        if (op->folders[i] == folder) {
            return true;
        }
    }
    return false;
}

/* Whether it waits there, and did before that time. */
static bool waited(const sim_t *s, const sim_op_t *op, uint32_t server, uint32_t folder, uint64_t before)
{
    return op->kind == SIM_SELECT && op->select.when_empty == MEMO_WAIT && op->linked[server] != 0 &&
           op->linked[server] < before && s->client[op->client].life != SIM_IS_DEAD && covers(op, folder);
}

/* Something is set aside there. */
static bool any_held(const sim_t *s, uint32_t server)
{
    for (uint32_t i = 0; i < s->n_ops; i++) {
        if (s->ops[i].held[server] != 0) {
            return true;
        }
    }
    return false;
}

void sim_order_receive(sim_t *s, uint32_t server, const wire_message_t *m, sim_op_t *op)
{
    if (op == NULL || m->from < s->servers) {
        return;
    }
    switch (m->type) {
    case WIRE_SELECT:
    case WIRE_LATCH:
        op->linked[server] = s->clock;
        break;
    case WIRE_RELEASE:
    case WIRE_CANCEL:
        op->linked[server] = 0;
        break;
    case WIRE_PUT:
        op->memo->arrived = s->clock;
        op->memo->plain = op->kind != SIM_PUT_WAIT;
        break;
    default:
        break;
    }
}

static uint32_t folders_at(const sim_t *s, const sim_op_t *op, uint32_t server)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < op->count; i++) {
        n += s->server_of[op->folders[i]] == server;
    }
    return n;
}

void sim_order_send(sim_t *s, uint32_t server, const wire_message_t *m, sim_op_t *op)
{
    if (op != NULL && (m->type == WIRE_HELD || m->type == WIRE_ANSWER)) {
        op->linked[server] = 0;
        if (m->type == WIRE_HELD) {
            op->held[server] = s->clock;
        } else if (op->kind == SIM_SELECT || ++op->given[server] == folders_at(s, op, server)) {
            op->held[server] = 0;
        }
    }
}

/* Copies that waited when the memo came; and, where nothing is set aside for anybody, whoever waited longer. */
static void judge_waiters(sim_t *s, uint32_t server, const sim_op_t *op, const wire_memo_t *memo, bool latched)
{
    for (uint32_t i = 0; i < s->n_ops; i++) {
        const sim_op_t *other = &s->ops[i];
        bool copies = other->select.what == MEMO_COPY;
        uint64_t since = copies ? memo->arrived : op->linked[server] != 0 ? op->linked[server] : s->clock;
        if (other == op || (copies && !memo->plain) || (!copies && latched) ||
            !waited(s, other, server, memo->folder, since)) {
            continue;
        }
        char text[SIM_TEXT];
        sim_text_of(s, other, text);
        sim_fail(s, "memo %u is given to op %u, and %s: %s", memo->number, op->number,
                 copies ? "one that waited for a copy goes without" : "another waits longer", text);
    }
}

/* No memo of the folder is ahead of it: one given back later, or one that its thread put before. */
static void judge_queue(sim_t *s, const sim_op_t *op, const wire_memo_t *memo)
{
    for (uint32_t i = 0; i < s->n_memos; i++) {
        if (s->memos[i].fires && s->memos[i].trigger == memo->folder) {
            return; /* what fires others is acknowledged late */
        }
    }
    for (uint32_t i = 0; i < s->n_memos; i++) {
        const wire_memo_t *other = &s->memos[i];
        if (other == memo || other->stay < 0 || other->folder != memo->folder) {
            continue;
        }
        bool head = other->head > memo->head;
        bool earlier = other->head == 0 && memo->head == 0 && other->thread == memo->thread && other->plain &&
                       memo->plain && other->number < memo->number;
        if (head || earlier) {
            sim_fail(s, "memo %u is given to op %u, and memo %u was %s", memo->number, op->number, other->number,
                     head ? "given back to the head later" : "put before it by the same thread");
        }
    }
}

void sim_order_given(sim_t *s, uint32_t server, const sim_op_t *op, const wire_memo_t *memo)
{
    bool latched = op->held[server] != 0, certain = memo->stay >= 0 || memo->plain;
    if (s->plan.protocol != SIM_CHAIN) {
        judge_waiters(s, server, op, memo, latched);
    }
    if (!any_held(s, server) && certain && !memo->returned && !memo->fires) {
        judge_queue(s, op, memo);
    }
}

/* A put has been acknowledged: delayed puts that waited for it are in their folders' servers, or further. */
void sim_order_put(sim_t *s, const sim_op_t *put)
{
    if (s->dead_servers != 0) {
        return; /* it may be lost */
    }
    for (uint32_t i = 0; i < s->n_ops; i++) {
        const sim_op_t *op = &s->ops[i];
        if (op->kind != SIM_DELAY || !op->over || op->call.result != MEMO_OK || op->end >= put->begin ||
            op->folders[0] != put->folders[0] || !op->memo->delayed ||
            (op->memo->fired != 0 &&
             (op->memo->fired < put->memo->arrived || s->plan.protocol == SIM_CHAIN))) { /* another has fired it */
            continue;
        }
        uint32_t target = s->server_of[op->folders[1]];
        if (op->memo->owner != SIM_IN_ENGINE || op->memo->whose != target) {
            char text[SIM_TEXT];
            sim_text_of(s, op, text);
            sim_fail(s, "op %u has put into its trigger, and it has not fired: %s", put->number, text);
        }
    }
}
