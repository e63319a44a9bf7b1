/*
 * engines_fall.c - servers of the simulation that die.
 *
 * With it goes what it had, what it was sent and has not read, and some of its last messages. One of the other
 * servers finds it dead, and tells the rest: as a rule when they have read what it had sent. Each client finds it
 * by itself, some time later: until then it sends messages that nobody reads. Calls that need it end with
 * MEMO_EPEER, others go on, and nothing of those calls stays at the other servers.
 */
#include "t/lib/engines_sim.h"

#include <string.h>

bool sim_is_dead(const sim_t *s, uint32_t server)
{
    return (s->dead_servers >> server & 1) != 0;
}

bool sim_needs_dead(const sim_t *s, const sim_op_t *op)
{
    if (s->dead_servers == 0) {
        return false;
    }
    if (op->quiet) {
        return true;
    }
    for (uint32_t i = 0; i < op->count; i++) {
        if (sim_is_dead(s, s->server_of[op->folders[i]])) {
            return true;
        }
    }
    return op->count == 0 && sim_is_dead(s, sim_asked_server(s, op));
}

uint32_t sim_some_server(sim_t *s)
{
    uint32_t server = sim_below(&s->random_op, s->servers);
    while (sim_is_dead(s, server)) {
        server = (server + 1) % s->servers;
    }
    return server;
}

void sim_lose(sim_t *s, wire_memo_t *memo)
{
    if (memo->stay >= 0) {
        s->stays[memo->stay].to = s->clock > s->stays[memo->stay].from ? s->clock : s->stays[memo->stay].from;
    }
    s->present[memo->folder] -= memo->stay >= 0 || memo->returned;
    memo->stay = -1;
    memo->delayed = memo->returned = memo->orphan = memo->cut = memo->cut_off = false;
    sim_free_memo(s, memo, (sim_owner_t)memo->owner, memo->whose);
}

/* From a queue, all behind the first `stay`. */
static void lose_messages(sim_t *s, uint32_t from, uint32_t to, bool all)
{
    uint32_t queue = from * SIM_PEERS + to, length = s->queues[queue].length;
    uint32_t stay = all ? 0 : sim_below(&s->random_op, length + 1);
    for (uint32_t i = 0; i < length; i++) {
        sim_message_t *message = sim_pop(s, queue);
        if (i < stay) {
            sim_post(s, from, to, &message->m);
        } else if (message->m.memo != NULL) {
            sim_lose(s, message->m.memo);
        }
        sim_recycle(s, message);
    }
}

static void tell(sim_t *s, uint32_t from, uint32_t to, uint32_t server)
{
    wire_message_t m = {.type = WIRE_GONE, .from = from, .client = from, .number = {server}};
    sim_post(s, from, to, &m);
}

/* Whom it was to tell of other deaths is told by somebody else. */
static void find_again(sim_t *s, uint32_t finder)
{
    for (uint32_t i = 0; i < s->clients; i++) {
        if (s->client[i].life == SIM_IS_DEAD && s->client[i].finder == finder) {
            s->client[i].finder = sim_some_server(s);
            s->client[i].told_gone = 0;
        }
    }
    for (uint32_t i = 0; i < s->servers; i++) {
        if (sim_is_dead(s, i) && s->server[i].finder == finder) {
            s->server[i].finder = sim_some_server(s);
            s->server[i].told_gone = 0;
        }
    }
}

void sim_fall(sim_t *s, uint32_t server)
{
    sim_server_t *dead = &s->server[server];
    s->clock++;
    sim_trace(s, "server %u dies", server);
    s->dead_servers |= UINT64_C(1) << server;
    dead->finder = sim_some_server(s);
    dead->found_early = sim_below(&s->random_op, 4) == 0;
    for (uint32_t peer = 0; peer < s->servers + s->clients; peer++) {
        lose_messages(s, server, peer, false);
        lose_messages(s, peer, server, true);
    }
    while (dead->n_refused > 0) {
        sim_lose(s, dead->refused[--dead->n_refused]);
    }
    for (uint32_t i = 0; i < s->n_memos; i++) {
        if (s->memos[i].owner == SIM_IN_ENGINE && s->memos[i].whose == server) {
            sim_lose(s, &s->memos[i]);
        }
    }
    engine_free(dead->engine);
    dead->engine = NULL;
    find_again(s, server);
    sim_find_fallen(s);
}

void sim_find_fallen(sim_t *s)
{
    for (uint32_t i = 0; i < s->servers; i++) {
        sim_server_t *dead = &s->server[i];
        for (uint32_t to = 0; sim_is_dead(s, i) && to < s->servers; to++) {
            if ((dead->told_gone >> to & 1) == 0 && !sim_is_dead(s, to) &&
                (s->queues[i * SIM_PEERS + to].length == 0 || dead->found_early)) {
                dead->told_gone |= UINT64_C(1) << to;
                tell(s, dead->finder, to, i);
            }
        }
    }
}

static void learn(sim_t *s, sim_client_t *c, uint32_t server)
{
    sim_trace(s, "client %u learns that server %u is dead", c->number, server);
    s->clock++;
    c->knows_dead |= UINT64_C(1) << server;
    stub_server_died(c->stub, server);
    sim_after(s, c);
}

bool sim_learn_of_dead(sim_t *s, bool all)
{
    bool any = false;
    for (uint32_t i = 0; s->dead_servers != 0 && i < s->clients; i++) {
        sim_client_t *c = &s->client[i];
        uint64_t unknown = s->dead_servers & ~c->knows_dead;
        bool lives = c->life != SIM_IS_DEAD && c->life != SIM_IS_GONE;
        if (lives && unknown != 0 && (all || sim_below(&s->random, 40) == 0)) {
            learn(s, c, (uint32_t)__builtin_ctzll(unknown));
            any = true;
        }
    }
    return any;
}
