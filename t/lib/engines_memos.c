/*
 * engines_memos.c - memos of the simulation, and who has them.
 *
 * A memo is had by one engine, client or message at any instant; whoever uses one that is not his has failed.
 */
#include "t/lib/engines_sim.h"

#include <stdlib.h>
#include <string.h>

static const char *const owner_names[] = {"nobody", "server", "client", "a message"};

static uint64_t content_of(uint64_t number)
{
    uint64_t x = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return x ^ (x >> 29);
}

wire_memo_t *sim_memo(sim_t *s, sim_owner_t owner, uint32_t whose, uint64_t size)
{
    if (s->n_memos == SIM_MEMOS) {
        sim_fail(s, "more than %d memos in a schedule", SIM_MEMOS);
    }
    wire_memo_t *memo = &s->memos[s->n_memos];
    memset(memo, 0, sizeof *memo);
    memo->number = s->n_memos++;
    memo->owner = (uint8_t)owner;
    memo->whose = (uint8_t)whose;
    memo->size = size;
    memo->content = content_of(memo->number);
    memo->stay = -1;
    if (owner == SIM_IN_ENGINE) {
        s->server[whose].owned++;
    }
    return memo;
}

void sim_check_memo(sim_t *s, const wire_memo_t *memo, sim_owner_t from, uint32_t whose, const char *what)
{
    if (memo < s->memos || memo >= s->memos + s->n_memos || memo->content != content_of(memo->number)) {
        sim_fail(s, "%s %u: %s of what is no memo", owner_names[from], whose, what);
    }
    if (memo->owner != from || (from != SIM_IN_MESSAGE && memo->whose != whose)) {
        sim_fail(s, "%s %u: %s of memo %u, which %s %u has", owner_names[from], whose, what, memo->number,
                 owner_names[memo->owner], memo->whose);
    }
}

void sim_pass(sim_t *s, wire_memo_t *memo, sim_owner_t from, uint32_t whose, sim_owner_t to, uint32_t new_whose,
              const char *what)
{
    sim_check_memo(s, memo, from, whose, what);
    s->counting -= memo->counts;
    memo->counts = false;
    memo->heir = 0;
    if (from == SIM_IN_ENGINE) {
        s->server[whose].owned--;
    }
    if (to == SIM_IN_ENGINE) {
        s->server[new_whose].owned++;
    }
    memo->owner = (uint8_t)to;
    memo->whose = (uint8_t)new_whose;
}

void sim_free_memo(sim_t *s, wire_memo_t *memo, sim_owner_t from, uint32_t whose)
{
    sim_pass(s, memo, from, whose, SIM_NOBODY, 0, "free");
    free(memo->bytes);
    memo->bytes = NULL;
}

wire_memo_t *sim_copy_memo(void *arg, wire_memo_t *memo)
{
    sim_server_t *server = arg;
    sim_t *s = server->sim;
    sim_check_memo(s, memo, SIM_IN_ENGINE, server->number, "copy");
    if (s->no_memory && !s->closing && sim_below(&s->random, 8) == 0) {
        return NULL;
    }
    wire_memo_t *copy = sim_memo(s, SIM_IN_ENGINE, server->number, memo->size);
    copy->copy = true;
    copy->name = memo->name;
    copy->folder = memo->folder;
    return copy;
}

wire_memo_t *sim_make_memo(void *arg, const void *bytes, size_t size)
{
    sim_server_t *server = arg;
    sim_t *s = server->sim;
    if (s->no_memory && !s->closing && sim_below(&s->random, 8) == 0) {
        return NULL;
    }
    wire_memo_t *memo = sim_memo(s, SIM_IN_ENGINE, server->number, size);
    memo->made = true;
    memo->bytes = malloc(size + 1);
    if (memo->bytes == NULL) {
        sim_fail(s, "no memory");
    }
    memcpy(memo->bytes, bytes, size);
    return memo;
}

/* Engines may free what they made. All else has somebody who waits for it, or a folder. */
void sim_drop_memo(void *arg, wire_memo_t *memo)
{
    sim_server_t *server = arg;
    sim_t *s = server->sim;
    if (sim_is_dead(s, server->number)) {
        return; /* they are gone already */
    }
    /* It was to go to a server that has died, or came from it. */
    bool lost = s->dead_servers != 0 && (sim_is_dead(s, s->server_of[memo->folder]) ||
                                         (memo->fires && sim_is_dead(s, s->server_of[memo->trigger])));
    if (lost && !memo->copy && !memo->made) {
        sim_lose(s, memo);
        return;
    }
    sim_free_memo(s, memo, SIM_IN_ENGINE, server->number);
    if (!memo->copy && !memo->made && !memo->orphan && !s->ended) {
        sim_fail(s, "server %u frees memo %u", server->number, memo->number);
    }
}
