/*
 * dead.c - what becomes of what a dead process of the node had (dead.h).
 */
#include "libmemo/wire/dead.h"

#include <unistd.h>

#include "libmemo/node/repair.h"
#include "libmemo/wire/near.h"

#define PAUSE_FOR_MEMORY 1000 /* microseconds */

static const dead_t *dead_of(const self_t *s)
{
    return s->node->user_arg;
}

/* However full the space is: others will free some memory. */
static int send(self_t *s, const dead_t *d, uint32_t server, const wire_message_t *message)
{
    int result = MEMO_EPEER;

    if (d != NULL && d->send != NULL)
        while ((result = d->send(s, server, message, d->arg)) == MEMO_EFULL)
            usleep(PAUSE_FOR_MEMORY);
    return result;
}

static bool is_far(const dead_t *d, uint32_t server)
{
    return d->is_far != NULL && d->is_far(server, d->arg);
}

/*
 * Should the memo have come from another node, its server may not know yet that it has arrived; and should it be on
 * its way to another node, it may have arrived. Answers the server that the message is for.
 */
static uint32_t say_by_what(const self_t *s, const dead_t *d, const struct memo *m, wire_message_t *back)
{
    uint32_t server = wire_server_of(&back->folders[0].name, d->servers);
    wire_message_t answer;

    if (!near_taken_by(s, m, &answer))
        return server;
    back->number[0] = answer.client;
    back->number[1] = answer.request;
    back->number[2] = answer.index;
    back->number[3] = near_sent_by(s, m, &server);
    return server;
}

void dead_memo_back(self_t *s, offset_t at, bool drop)
{
    const dead_t *d = dead_of(s);
    wire_folder_t folder = {.index = 0};
    wire_message_t message = {
        .type = drop ? WIRE_DROP : WIRE_RETURN, .flags = WIRE_REDELIVERED | WIRE_NO_ANSWER, .count = 1};
    struct memo *m;
    uint32_t server;

    if (!near_take_back(s, node_at(s, at), &m, &folder.name))
        return;
    if (d == NULL) {
        near_free(s, m);
        return;
    }
    message.folders = &folder;
    message.memo = near_wire(m);
    message.size = m->size;
    message.redeliveries = m->redeliveries;
    message.from = message.client = d->self;
    server = say_by_what(s, d, m, &message);
    if (send(s, d, server, &message) != MEMO_OK)
        near_free(s, m);
}

static void say_gone_to(self_t *s, const dead_t *d, uint32_t server, uint32_t peer, bool more, uint64_t arrivals)
{
    wire_message_t message = {
        .type = WIRE_GONE, .from = d->self, .client = d->self, .number = {peer, more, 0, arrivals}};

    if (server != peer)
        send(s, d, server, &message);
}

/* `body`: of one of its parties; only its mailbox's knows what has come from other nodes. */
static void say_gone(self_t *s, const dead_t *d, uint32_t peer, bool more, body_t *body)
{
    uint32_t i;

    for (i = 0; i < d->servers; i++)
        say_gone_to(s, d, i, peer, more, body != NULL && is_far(d, i) ? near_arrivals(body, i) : 0);
}

/* Of those that died before, if it was the dead one who said it: it may not have left him. Who has closed is gone,
 * too, and it is no news. */
static void say_gone_again(self_t *s, const dead_t *d, uint32_t but)
{
    uint32_t used = atomic_load(&s->root->clients_used), client, i;

    for (client = 0; client < used; client++)
        for (i = 0; client != but && i < d->servers; i++)
            if (is_far(d, i) && atomic_load(&s->root->clients[client].state) == CLIENT_FREE)
                say_gone_to(s, d, i, (uint32_t)s->root->clients[client].rank, false, 0);
}

void dead_client_gone(self_t *s, uint32_t client)
{
    const dead_t *d = dead_of(s);
    uint32_t peer = (uint32_t)s->root->clients[client].rank;

    if (d == NULL || client == s->node->client)
        return; /* who closes has said BYE */
    say_gone(s, d, peer, false, NULL);
    say_gone_again(s, d, client);
    if (d->died != NULL)
        d->died(peer, d->arg);
}

/* Servers learn of a death before anything comes back by it: that is not for the dead's other requests. It is not
 * quiet before all of it has come. */
void dead_cancel_requests(self_t *s, uint32_t index)
{
    const dead_t *d = dead_of(s);
    uint32_t client = atomic_load(&node_party(s, index)->client);

    near_shut(s, index);
    if (d != NULL && client != 0 && client - 1 != s->node->client)
        say_gone(s, d, (uint32_t)s->root->clients[client - 1].rank, true, party_body(s, node_party(s, index)));
}

void dead_retire(self_t *s, uint32_t index)
{
    (void)s; /* nothing is in a body's user part */
    (void)index;
}

void dead_self_gone(self_t *s)
{
    (void)s;
}

void dead_give_back(self_t *s)
{
    node_t *n = s->node;
    bool drop = s->root->clients[n->client].on_death_drop != 0;
    struct memo *m;
    self_t *of;

    for (of = n->selves; of != NULL; of = of->next)
        while ((m = hand_first(s, of->body, of->id)) != NULL)
            dead_memo_back(s, node_offset(s, m), drop);
}

const node_user_t dead_node_user = {
    .self_bytes = 16,
    .self_gone = dead_self_gone,
    .cancel_requests = dead_cancel_requests,
    .memo_back = dead_memo_back,
    .retire = dead_retire,
    .client_gone = dead_client_gone,
};
