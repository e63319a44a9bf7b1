/*
 * stub_latch.c - the client's half of a select over several servers: mpi-latch, and mpi-chain's but for strict
 * skips.
 *
 * The first HELD is accepted, and all others are released at once, whatever they have said or will say: who holds
 * something waits for nobody. A strict skip asks once to link, and, when all were empty, once more to unlink: two
 * phases if the first finds a memo (link; accept and release), two if all is empty twice, three if one came in
 * between.
 */
#include "stubs/parts.h"

static wire_type_t asking(const stub_call_t *call)
{
    return call->kind == CALL_STRICT ? WIRE_LINK : WIRE_LATCH;
}

/* One message of each phase says that it is one. */
static uint32_t phase(const stub_call_t *call, uint32_t part)
{
    return call->kind == CALL_STRICT && part == 0 ? WIRE_PHASE : 0u;
}

int latch_begin(stub_t *s, stub_call_t *call)
{
    uint32_t i;
    int result = MEMO_OK;

    for (i = 0; i < call->parts_count; i++) {
        result = call_send_part(s, call, i, asking(call), call->flags | phase(call, i));
        if (result != MEMO_OK)
            break;
    }
    if (result != MEMO_OK)
        call_release(s, call, NO_PART, i);
    call->waiting = call->parts_count;
    return result;
}

static void accept(stub_t *s, stub_call_t *call, uint32_t part)
{
    call->chosen = part;
    call->state = CALL_ACCEPTING;
    quiet_drop(s, call);
    call_send(s, call, call->parts[part].server, WIRE_ACCEPT, phase(call, 0), NULL, 0);
    call_release(s, call, part, call->parts_count);
}

static void unlink_all(stub_t *s, stub_call_t *call)
{
    uint32_t i;

    call->state = CALL_UNLINKING;
    call->waiting = call->parts_count;
    for (i = 0; i < call->parts_count; i++)
        call_send(s, call, call->parts[i].server, WIRE_UNLINK, phase(call, i), NULL, 0);
}

static void empty(stub_t *s, stub_call_t *call)
{
    if (call->state == CALL_ACCEPTING || --call->waiting > 0)
        return;
    if (call->kind == CALL_STRICT && call->state == CALL_ASKED)
        unlink_all(s, call);
    else
        call_end(s, call, call->state == CALL_CANCELLING ? call->why : MEMO_NONE);
}

static void answered(stub_t *s, stub_call_t *call, const wire_message_t *m, uint32_t part)
{
    if (call->state == CALL_CANCELLING && m->result == MEMO_ECANCELED)
        empty(s, call);
    else if (call->state != CALL_ACCEPTING) { /* an error: the others need not go on */
        call_release(s, call, part, call->parts_count);
        call_end(s, call, m->result);
    } else if (part == call->chosen) {
        call_take(call, m);
        call_end(s, call, m->result);
    }
}

void latch_receive(stub_t *s, stub_call_t *call, const wire_message_t *m)
{
    uint32_t part = call_part_of(call, m->from);

    if (part == NO_PART)
        return;
    if (m->type == WIRE_HELD && call->state != CALL_ACCEPTING)
        accept(s, call, part);
    else if (m->type == WIRE_EMPTY)
        empty(s, call);
    else if (m->type == WIRE_ANSWER)
        answered(s, call, m, part);
}

/*
 * Each server is asked to say that it gave nothing, so that whoever gives up has looked: what it did give is
 * accepted. A server that has answered says nothing more.
 */
void latch_cancel(stub_t *s, stub_call_t *call)
{
    uint32_t i;

    if (call->state == CALL_ACCEPTING)
        return;
    call->state = CALL_CANCELLING;
    for (i = 0; i < call->parts_count; i++)
        call_send(s, call, call->parts[i].server, WIRE_CANCEL, 0, NULL, 0);
}
