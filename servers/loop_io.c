/*
 * loop_io.c - what an engine asks for (engine.h: its io): messages are sent, memos made, copied and freed.
 *
 * A server never waits for a receiver, nor for memory: what cannot be sent for want of it is queued.
 */
#include <string.h>

#include "libmemo/node/heap.h"
#include "libmemo/wire/codec.h"
#include "servers/loop_own.h"

/* ---- sending --------------------------------------------------------------------------------------------- */

static void lend(loop_t *l, uint32_t to, const wire_message_t *message, uint64_t size)
{
    other_t *o = &l->others[to];

    lent_keep(&o->lent, message);
    o->took += size;
    o->level = heap_taken(l->s->root);
}

static bool refuses(const wire_message_t *message)
{
    return message->type == WIRE_ANSWER && message->result != MEMO_OK && message->memo != NULL;
}

static int send_bytes(loop_t *l, uint32_t to, const wire_message_t *message)
{
    struct memo *m = message->memo != NULL ? near_memo(message->memo) : NULL;
    wire_message_t full = *message;
    size_t size;
    int result;

    if (m != NULL)
        full.size = m->size;
    size = codec_size(&full);
    if (size > l->head_room) {
        l->head = loop_must_have(l->head, size);
        l->head_room = size;
    }
    codec_write(&full, l->head);
    result = l->far->ops->send(l->far, to, l->head, size, m != NULL ? hand_data(m) : NULL, m != NULL ? m->size : 0);
    return result == MEMO_OK || result == MEMO_EPEER ? result : MEMO_EFULL;
}

/* The memo of a refusal stays here: its client has kept it. Of one that is dropped that is all there is to know. */
static int send_far(loop_t *l, uint32_t to, const wire_message_t *message)
{
    struct memo *m = message->memo != NULL ? near_memo(message->memo) : NULL;
    wire_message_t bare = *message;
    int result;

    if (refuses(message) || message->type == WIRE_DROP)
        bare.memo = NULL;
    result = send_bytes(l, to, &bare);
    if (result != MEMO_OK)
        return result;
    if (refuses(message))
        lent_refused(&l->others[to].lent, message->request);
    if (lent_by(message))
        lend(l, to, message, m->size);
    else if (m != NULL)
        near_free(l->s, m);
    return MEMO_OK;
}

static int send_now(loop_t *l, uint32_t to, const wire_message_t *message)
{
    if (l->peers[to].mailbox != 0)
        return near_send(l->s, l->peers[to].mailbox, message, l->envelope);
    return l->far != NULL ? send_far(l, to, message) : MEMO_EPEER;
}

/* Nobody reads it any more: a memo that it takes from a folder goes back there, as if it had been taken and its
 * holder had died; another one is nobody's. */
void loop_unreachable(loop_t *l, const wire_message_t *message)
{
    wire_message_t back = {.type = l->launch->uri.on_death == MEMO_ON_DEATH_DROP ? WIRE_DROP : WIRE_RETURN,
                           .flags = WIRE_REDELIVERED | WIRE_NO_ANSWER,
                           .from = l->launch->self,
                           .client = l->launch->self,
                           .folders = message->folders,
                           .count = 1,
                           .memo = message->memo,
                           .size = message->size,
                           .redeliveries = message->redeliveries};

    if (message->memo == NULL)
        return;
    if (message->type != WIRE_ANSWER || message->count == 0)
        near_free(l->s, near_memo(message->memo));
    else
        loop_send(l, wire_server_of(&back.folders[0].name, l->launch->servers), &back);
}

void loop_send(void *arg, uint32_t to, const wire_message_t *message)
{
    loop_t *l = arg;
    int result;

    if (to == l->launch->self) {
        loop_queue_add(loop_departs(message) ? &l->gone : &l->own, to, message);
        return;
    }
    result = loop_queue_has(&l->unsent, to) ? MEMO_EFULL : send_now(l, to, message);
    if (result == MEMO_EFULL)
        loop_queue_add(&l->unsent, to, message);
    else if (result != MEMO_OK)
        loop_unreachable(l, message);
}

/* What found no memory, again. In order for each receiver, as long as nothing is sent past what is queued. */
void loop_send_unsent(loop_t *l)
{
    queue_t again = l->unsent;

    if (again.first == NULL)
        return;
    loop_queue_init(&l->unsent);
    while (again.first != NULL) {
        waiting_t *w = loop_queue_cut(&again, &again.first);
        loop_send(l, w->to, &w->message);
        loop_waiting_free(w);
    }
}

/* ---- memos ----------------------------------------------------------------------------------------------- */

static wire_memo_t *make_of(self_t *s, const void *bytes, size_t size)
{
    struct memo *m = hand_alloc(s, size);

    if (m == NULL)
        return NULL;
    if (size > 0)
        memcpy(hand_data(m), bytes, size);
    return near_wire(m);
}

/* Figures and lists, which are soon read and freed: to be had of a full space too. */
static wire_memo_t *make(void *arg, const void *bytes, size_t size)
{
    self_t *s = ((loop_t *)arg)->s;
    wire_memo_t *m;

    s->from_reserve = true;
    m = make_of(s, bytes, size);
    s->from_reserve = false;
    return m;
}

static wire_memo_t *copy(void *arg, wire_memo_t *memo)
{
    struct memo *m = near_memo(memo);

    return make_of(((loop_t *)arg)->s, hand_data(m), m->size);
}

static void free_memo(void *arg, wire_memo_t *memo)
{
    near_free(((loop_t *)arg)->s, near_memo(memo));
}

engine_io_t loop_io(loop_t *l)
{
    return (engine_io_t){.send = loop_send, .copy = copy, .make = make, .free = free_memo, .arg = l};
}
