/*
 * stub_dead.c - servers that die, for the client's half: whoever learns of it ends what cannot go on without them.
 */
#include "stubs/parts.h"

/* What a join was given already. */
static void give_back(stub_t *s, stub_call_t *call)
{
    uint32_t i;

    for (i = 0; i < call->count && call->got > 0; i++)
        if (call->folders[i].index < call->count && call->memos[call->folders[i].index] != NULL) {
            s->io.back(s->io.arg, &call->folders[i].name, call->memos[call->folders[i].index]);
            call->memos[call->folders[i].index] = NULL;
        }
}

/* The call is over, and those servers that live hold nothing for it. A chain ends by what they know (fallen.c). */
static void abandon(stub_t *s, stub_call_t *call)
{
    if (call->kind == CALL_LATCH || call->kind == CALL_STRICT || call->kind == CALL_GATHER)
        call_release(s, call, NO_PART, call->parts_count);
    else if (call->kind == CALL_CHAIN_JOIN && call->state == CALL_WATCHING)
        call_send(s, call, call->parts[call->chosen].server, WIRE_RELEASE, 0, NULL, 0);
    else if (call->kind == CALL_SIMPLE && call->quiet)
        call_send(s, call, call->server, WIRE_RELEASE, 0, NULL, 0);
    give_back(s, call);
    call_end(s, call, MEMO_EPEER);
}

/* Whether the call cannot end without that server. */
static bool needs(const stub_call_t *call, uint32_t server)
{
    if (call->quiet || call->trigger == server + 1)
        return true;
    if (call->parts_count == 0)
        return call->server == server;
    if (call->state == CALL_ACCEPTING && (call->kind == CALL_LATCH || call->kind == CALL_STRICT))
        return call->parts[call->chosen].server == server;
    return call_part_of(call, server) != NO_PART;
}

bool call_needs_dead(const stub_t *s, const stub_call_t *call)
{
    uint32_t i;

    for (i = 0; s->some_dead && i < s->servers; i++)
        if (s->dead[i] && needs(call, i))
            return true;
    return false;
}

void stub_server_died(stub_t *s, uint32_t server)
{
    uint32_t i;

    s->dead[server] = s->some_dead = true;
    for (i = 0; i < s->room; i++)
        if (s->calls[i] != NULL && needs(s->calls[i], server))
            abandon(s, s->calls[i]);
}
