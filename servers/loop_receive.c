/*
 * loop_receive.c - a message gets to the engine; and how those of this node come.
 */
#include "libmemo/node/heap.h"
#include "servers/loop_own.h"

/* A memo that is dropped comes along inside a node, and is freed: the engine counts it. */
static void to_engine(loop_t *l, const wire_message_t *message)
{
    wire_message_t without = *message;

    if (message->type == WIRE_DROP && message->memo != NULL) {
        near_free(l->s, near_memo(message->memo));
        without.memo = NULL;
    }
    engine_receive(l->engine, &without);
}

void loop_handle_own(loop_t *l)
{
    while (l->own.first != NULL) {
        waiting_t *w = loop_queue_cut(&l->own, &l->own.first);
        to_engine(l, &w->message);
        loop_waiting_free(w);
    }
}

void loop_handle(loop_t *l, const wire_message_t *message)
{
    wire_message_t instead;

    if (loop_passes_on(l, message))
        return;
    to_engine(l, loop_take_note(l, message, &instead));
    loop_is_in(l, message);
    loop_handle_own(l);
}

void loop_handle_with(loop_t *l, const wire_message_t *message, struct memo *m)
{
    wire_message_t full = *message;

    m->redeliveries = message->redeliveries;
    full.memo = near_wire(m);
    full.size = m->size;
    loop_handle(l, &full);
}

/* What it says of itself is believed as far as it does no harm. */
static void note_asker(loop_t *l, uint32_t from)
{
    if (from < l->launch->servers + l->launch->clients)
        l->asker.mailbox = l->peers[from].mailbox;
}

static void receive(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    loop_t *l = arg;

    if (loop_departs(message)) {
        loop_queue_add(&l->gone, l->launch->self, message);
        return;
    }
    if (heap_pressed(s))
        heap_flush(s); /* before anything is answered: who found no memory asks, and tries again */
    if (loop_is_back(l, message)) {
        if (message->memo != NULL)
            near_free(s, near_memo(message->memo));
        return;
    }
    l->envelope = envelope;
    note_asker(l, message->from);
    loop_handle(l, message);
    l->envelope = &l->none;
}

bool loop_read_near(loop_t *l)
{
    queue_t before = {.first = NULL};
    bool any;

    if (l->gone.first != NULL) {
        before = l->gone;
        loop_queue_init(&l->gone);
    }
    any = near_scan(l->s, receive, l);
    while (before.first != NULL) {
        waiting_t *w = loop_queue_cut(&before, &before.first);
        loop_handle(l, &w->message);
        loop_waiting_free(w);
        any = true;
    }
    return any;
}
