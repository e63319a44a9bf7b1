/*
 * stub_join.c - the client's half of a join: at one server, and by gathering (servers/join.c has the protocol).
 */
#include "stubs/parts.h"

static int gather(stub_t *s, stub_call_t *call, uint32_t part)
{
    call->state = CALL_ASKED;
    call->chosen = part;
    return call_send_part(s, call, part, WIRE_GATHER, 0);
}

int gather_begin(stub_t *s, stub_call_t *call)
{
    return gather(s, call, 0);
}

void join_watch(stub_t *s, stub_call_t *call, uint32_t part)
{
    int result;

    call->state = CALL_WATCHING;
    call->chosen = part;
    result = part != NO_PART ? call_send_part(s, call, part, WIRE_WATCH, 0) : MEMO_EIO;
    if (result != MEMO_OK)
        call_end(s, call, result);
}

static void accept_all(stub_t *s, stub_call_t *call)
{
    uint32_t i;

    call->state = CALL_ACCEPTING;
    for (i = 0; i < call->parts_count; i++)
        call_send(s, call, call->parts[i].server, WIRE_ACCEPT, 0, NULL, 0);
}

/* The server that was asked last holds what is wanted of it. */
static void held(stub_t *s, stub_call_t *call)
{
    uint32_t next = call->chosen + 1;
    int result;

    if (next == call->parts_count) {
        accept_all(s, call);
        return;
    }
    result = gather(s, call, next);
    if (result != MEMO_OK) {
        call_release(s, call, NO_PART, next);
        call_end(s, call, result);
    }
}

/* It has not enough: nothing is held while the join waits for that. */
static void lacking(stub_t *s, stub_call_t *call)
{
    call_release(s, call, NO_PART, call->chosen);
    if (call->cancelled)
        call_end(s, call, call->why);
    else
        join_watch(s, call, call->chosen);
}

static void failed(stub_t *s, stub_call_t *call, int result)
{
    if (call->kind == CALL_GATHER && call->state == CALL_ASKED)
        call_release(s, call, NO_PART, call->chosen);
    call_end(s, call, result == MEMO_ECANCELED && call->cancelled ? call->why : result);
}

static void empty(stub_t *s, stub_call_t *call)
{
    int result;

    if (call->state == CALL_ASKED) {
        lacking(s, call);
        return;
    }
    result = gather(s, call, 0);
    if (result != MEMO_OK)
        call_end(s, call, result);
}

void join_receive(stub_t *s, stub_call_t *call, const wire_message_t *m)
{
    if (call_brings_one(m))
        call_take_one(s, call, m);
    else if (m->type == WIRE_ANSWER)
        failed(s, call, m->result);
    else if (m->type == WIRE_HELD && call->state == CALL_ASKED)
        held(s, call);
    else if (m->type == WIRE_EMPTY)
        empty(s, call);
}

void join_cancel(stub_t *s, stub_call_t *call)
{
    if (call->kind == CALL_JOIN)
        call_send(s, call, call->parts[0].server, WIRE_CANCEL, 0, NULL, 0);
    else if (call->state == CALL_WATCHING) {
        call_send(s, call, call->parts[call->chosen].server, WIRE_RELEASE, 0, NULL, 0);
        call_end(s, call, call->why);
    } /* else what is being asked for is answered soon: had, or lacking, and then it ends */
}
