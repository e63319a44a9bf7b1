/*
 * loop_receive.c - a message gets to the engine; and how those of this node come.
 */
#include <string.h>

#include "libmemo/node/heap.h"
#include "servers/loop_own.h"

void loop_handle_own(loop_t *l)
{
    while (l->own.first != NULL) {
        waiting_t *w = loop_queue_cut(&l->own, &l->own.first);
        engine_receive(l->engine, &w->message);
        loop_waiting_free(w);
    }
}

/* The first server of each node speaks for it. */
static bool speaks_for_node(const loop_t *l)
{
    uint32_t peer = 0;

    while (!launch_near(l->launch, peer))
        peer++;
    return peer == l->launch->self;
}

/* What was dropped on this node, by whoever: nobody of another node would know. */
static void count_dropped(loop_t *l)
{
    node_counts_t counts;
    uint64_t dropped;

    if (l->launch->uri.on_death != MEMO_ON_DEATH_DROP || !speaks_for_node(l))
        return;
    memset(&counts, 0, sizeof counts);
    node_counts(l->s, &counts);
    dropped = atomic_load(&counts.dropped);
    engine_dropped(l->engine, dropped - l->dropped);
    l->dropped = dropped;
}

void loop_handle(loop_t *l, const wire_message_t *message)
{
    wire_message_t instead;

    if (message->type == WIRE_STAT)
        count_dropped(l);
    engine_receive(l->engine, loop_take_note(l, message, &instead));
    loop_handle_own(l);
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
    l->envelope = envelope;
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
