/*
 * loop_others.c - what a server knows of its peers: who has died, who has left, and what was lent to those of other
 * nodes (lent.h).
 */
#include <stdlib.h>
#include <string.h>

#include "libmemo/node/wait.h"
#include "servers/loop_own.h"

#define GRACE_NS 20000000 /* for what the dead of other nodes have sent, and has not been read */

bool loop_far_client(const loop_t *l, uint64_t peer)
{
    return peer >= l->launch->servers && peer < l->launch->servers + l->launch->clients &&
           !launch_near(l->launch, (uint32_t)peer);
}

/* ---- what messages say ----------------------------------------------------------------------------------- */

/* Nothing will be sent to the engine any more of a client of another node that has died, but for what it has sent
 * itself and is still under way. */
static void departs_soon(loop_t *l, uint32_t client)
{
    other_t *o = &l->others[client];

    if (o->departed || o->left || o->departs_ns != 0)
        return;
    o->departs_ns = wait_now() + GRACE_NS;
    l->departing++;
}

/* A client of another node has died: its requests end, and when all of it is back, it has departed. */
static bool goes_far_away(loop_t *l, const wire_message_t *message, wire_message_t *instead)
{
    if (message->type == WIRE_GONE && message->number[0] < l->launch->servers)
        l->server_dead = true;
    if (message->type != WIRE_GONE || !loop_far_client(l, message->number[0]))
        return false;
    l->others[message->number[0]].dead = l->some_dead = true;
    lent_arrived(&l->others[message->number[0]].lent, message->number[3]);
    if (message->number[1] == 0)
        departs_soon(l, (uint32_t)message->number[0]);
    *instead = *message;
    instead->number[1] = 1;
    return true;
}

static void forget_lent(loop_t *l, uint32_t client)
{
    lent_memo_t *kept;

    while ((kept = l->others[client].lent.first) != NULL) {
        if (kept->memo != NULL)
            near_free(l->s, near_memo(kept->memo));
        free(lent_cut(&l->others[client].lent, kept->request, kept->index));
    }
}

/* A client that has left has all that was lent to it, or has given it back. */
static void goes_well(loop_t *l, uint32_t client)
{
    l->others[client].left = true;
    forget_lent(l, client);
}

static void received(loop_t *l, const wire_message_t *message)
{
    lent_memo_t *kept = lent_cut(&l->others[message->from].lent, message->request, message->index);

    if (kept != NULL && kept->memo != NULL)
        near_free(l->s, near_memo(kept->memo));
    free(kept);
}

const wire_message_t *loop_take_note(loop_t *l, const wire_message_t *message, wire_message_t *instead)
{
    if (goes_far_away(l, message, instead))
        return instead;
    if (message->type == WIRE_BYE && loop_far_client(l, message->from))
        goes_well(l, message->from);
    else if (message->type == WIRE_RECEIVED && loop_far_client(l, message->from))
        received(l, message);
    return message;
}

/* ---- what the dead leave --------------------------------------------------------------------------------- */

/* Whether somebody of that node repairs what the dead leave there. */
static bool somebody_repairs(const loop_t *l, uint32_t node)
{
    uint32_t peers = l->launch->servers + l->launch->clients, peer;

    for (peer = 0; peer < peers; peer++)
        if (l->launch->node_of[peer] == node && !l->others[peer].dead && !l->others[peer].left)
            return true;
    return false;
}

/* Who repairs has the last word of a client, if there is anybody. */
static void look_for_the_last(loop_t *l)
{
    uint32_t peers = l->launch->servers + l->launch->clients, peer;

    for (peer = l->launch->servers; peer < peers; peer++)
        if (l->others[peer].dead && !l->others[peer].left && !somebody_repairs(l, l->launch->node_of[peer]))
            departs_soon(l, peer);
}

/* Peers of other nodes that have died. Of this node's, repairs tell, after what they had is back. */
static void hear_of_the_dead(loop_t *l)
{
    wire_message_t gone = {.type = WIRE_GONE, .from = l->launch->self, .client = l->launch->self, .number = {0, 1}};
    uint32_t peer;

    while ((peer = launch_dead(l->launch)) != LAUNCH_NOBODY) {
        if (peer >= l->launch->servers + l->launch->clients || launch_near(l->launch, peer))
            continue;
        l->others[peer].dead = true;
        l->some_dead = true;
        gone.number[0] = peer;
        if (peer < l->launch->servers)
            l->far->ops->forget(l->far, peer);
        loop_handle(l, &gone);
    }
    if (l->some_dead)
        look_for_the_last(l);
}

/* What nobody has spoken of goes back. It stays noted: should it come back after all, there would be two. */
static void give_back(loop_t *l, lent_memo_t *kept)
{
    wire_message_t back = {.type = WIRE_ANSWER,
                           .result = MEMO_OK,
                           .folders = &kept->from,
                           .count = 1,
                           .memo = kept->memo,
                           .size = near_memo(kept->memo)->size,
                           .redeliveries = kept->redeliveries};

    kept->memo = NULL;
    loop_unreachable(l, &back);
}

static void depart(loop_t *l, uint32_t client)
{
    wire_message_t gone = {
        .type = WIRE_GONE, .from = l->launch->self, .client = l->launch->self, .number = {client, 0}};
    lent_memo_t *kept;

    l->far->ops->forget(l->far, client);
    while ((kept = lent_first(&l->others[client].lent)) != NULL)
        give_back(l, kept);
    while ((kept = lent_cut_arrived(&l->others[client].lent)) != NULL) { /* the client had put it elsewhere */
        near_free(l->s, near_memo(kept->memo));
        free(kept);
    }
    loop_handle_own(l);
    engine_receive(l->engine, &gone);
    loop_handle_own(l);
}

static void look_who_departs(loop_t *l)
{
    uint32_t peers = l->launch->servers + l->launch->clients, peer;
    int64_t now = l->departing > 0 ? wait_now() : 0;

    for (peer = l->launch->servers; l->departing > 0 && peer < peers; peer++) {
        other_t *o = &l->others[peer];
        if (o->departs_ns == 0 || o->departs_ns > now || loop_owes(l, peer))
            continue;
        o->departs_ns = 0;
        o->departed = true;
        l->departing--;
        depart(l, peer);
    }
}

void loop_look_at_others(loop_t *l)
{
    hear_of_the_dead(l);
    look_who_departs(l);
}

/* ---- repairs on this node -------------------------------------------------------------------------------- */

/* What a repair by us has to say. */
static int say(self_t *s, uint32_t server, const wire_message_t *message, void *arg)
{
    loop_t *l = arg;

    if (message->memo != NULL && server == l->launch->self)
        near_forget(s, near_memo(message->memo));
    loop_send(l, server, message);
    return MEMO_OK;
}

static void died(uint32_t peer, void *arg)
{
    (void)peer;
    launch_broken(((loop_t *)arg)->launch);
}

static bool is_far(uint32_t server, void *arg)
{
    const loop_t *l = arg;

    return !launch_near(l->launch, server);
}

dead_t loop_dead(loop_t *l)
{
    return (dead_t){.servers = l->launch->servers,
                    .self = l->launch->self,
                    .send = say,
                    .is_far = is_far,
                    .died = died,
                    .arg = l};
}

/* ---- from beginning to end ------------------------------------------------------------------------------- */

void loop_others_begin(loop_t *l)
{
    uint32_t all = l->launch->servers + l->launch->clients, peer;

    l->others = loop_must_have(NULL, all * sizeof *l->others);
    memset(l->others, 0, all * sizeof *l->others);
    for (peer = 0; peer < all; peer++)
        lent_init(&l->others[peer].lent);
}

void loop_others_end(loop_t *l)
{
    uint32_t all = l->launch->servers + l->launch->clients, peer;

    for (peer = 0; peer < all; peer++)
        forget_lent(l, peer);
    free(l->others);
}
