/*
 * stub_chain.c - the client's half of mpi-chain: one message to the first server concerned, which names all
 * folders.
 *
 * A join that met a server that had not enough waits there, holding nothing, and then sets out again.
 */
#include "stubs/parts.h"

int chain_begin(stub_t *s, stub_call_t *call)
{
    bool joins = call->kind == CALL_CHAIN_JOIN;
    uint32_t flags = call->flags | (joins ? WIRE_TAKE_ALL : WIRE_PHASE);

    call->state = CALL_ASKED;
    return call_send(s, call, call->parts[0].server, WIRE_CHAIN, flags, call->folders, call->count);
}

static void receive_join(stub_t *s, stub_call_t *call, const wire_message_t *m)
{
    if (m->type == WIRE_EMPTY) { /* it could be had now */
        int result = chain_begin(s, call);
        if (result != MEMO_OK)
            call_end(s, call, result);
    } else if (m->type != WIRE_ANSWER)
        return;
    else if (call_brings_one(m))
        call_take_one(s, call, m);
    else if (m->result != MEMO_NONE)
        call_end(s, call, m->result);
    else if (call->cancelled)
        call_end(s, call, call->why);
    else
        join_watch(s, call, call_part_of(call, m->index));
}

void chain_receive(stub_t *s, stub_call_t *call, const wire_message_t *m)
{
    if (call->kind == CALL_CHAIN_JOIN)
        receive_join(s, call, m);
    else if (m->type == WIRE_ANSWER) {
        call_take(call, m);
        call_end(s, call, m->result);
    }
}
