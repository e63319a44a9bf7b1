/*
 * loop_far.c - messages from other nodes (far.h: what a link asks of its user): their memos find room in this
 * node's region, or wait for it; a put that does not wait is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "libmemo/node/heap.h"
#include "libmemo/wire/codec.h"
#include "servers/loop_own.h"

/* Its folders stay until the next one is read. */
static bool read_head(loop_t *l, const void *head, size_t size, wire_message_t *message)
{
    int result = codec_read(head, size, message, l->folders, l->folders_room);

    if (result == MEMO_EFULL) {
        l->folders_room = message->count;
        l->folders = loop_must_have(l->folders, l->folders_room * sizeof *l->folders);
        result = codec_read(head, size, message, l->folders, l->folders_room);
    }
    return result == MEMO_OK;
}

/* Its client has kept the memo, and is told that there is no room. */
static bool can_be_refused(const wire_message_t *message)
{
    return message->type == WIRE_DELAY || (message->type == WIRE_PUT && (message->flags & WIRE_WAIT) == 0);
}

static void answer_without(loop_t *l, uint32_t peer, const wire_message_t *message, int result)
{
    const wire_message_t answer = {.type = WIRE_ANSWER,
                                   .result = result,
                                   .from = l->launch->self,
                                   .client = message->client,
                                   .request = message->request};

    lent_refused(&l->others[peer].lent, message->request);
    loop_send(l, peer, &answer);
}

/*
 * For what comes from another node. Who brings what he took finds room however full the space is, if it is no
 * fuller then than it was: what he left has gone to the reserve, of which something was used.
 */
static struct memo *room_for(loop_t *l, uint32_t peer, uint64_t size)
{
    other_t *o = &l->others[peer];
    struct memo *m = hand_alloc(l->s, size);

    if (m == NULL && size <= o->took && heap_taken(l->s->root) + heap_rounded(sizeof *m + size) <= o->level) {
        l->s->from_reserve = true;
        m = hand_alloc(l->s, size);
        l->s->from_reserve = false;
    }
    if (m != NULL)
        o->took -= size < o->took ? size : o->took;
    return m;
}

static bool in_region(const loop_t *l, const void *p)
{
    return (uintptr_t)p - (uintptr_t)l->s->base < l->s->root->size;
}

static void *place(void *arg, uint32_t peer, const void *head, size_t head_size, size_t body_size)
{
    loop_t *l = arg;
    struct memo *m;
    wire_message_t message;

    if (!read_head(l, head, head_size, &message))
        return NULL;
    m = room_for(l, peer, body_size);
    if (m != NULL)
        return hand_data(m);
    return can_be_refused(&message) ? NULL : loop_must_have(NULL, body_size + 1);
}

static void drop(void *arg, uint32_t peer, void *body, size_t body_size)
{
    loop_t *l = arg;

    (void)peer;
    (void)body_size;
    if (in_region(l, body))
        near_free(l->s, (struct memo *)body - 1);
    else
        free(body);
}

/* A put that waits for memory is cancelled: it has not been put. */
static bool cancels_roomless(loop_t *l, uint32_t peer, const wire_message_t *message)
{
    waiting_t **link;

    if (message->type != WIRE_CANCEL)
        return false;
    for (link = &l->roomless.first; *link != NULL; link = &(*link)->next)
        if ((*link)->to == peer && (*link)->message.request == message->request &&
            (*link)->message.client == message->client) {
            loop_waiting_free(loop_queue_cut(&l->roomless, link));
            answer_without(l, peer, message, MEMO_ECANCELED);
            return true;
        }
    return false;
}

/* The memo is the client's own until it is answered. False: it is not to come any more. */
static bool may_bring(loop_t *l, const wire_message_t *message)
{
    bool own = message->request != 0 && message->client == message->from && loop_far_client(l, message->from);

    return !own || lent_brings(&l->others[message->from].lent, message->request);
}

static void deliver_with(loop_t *l, wire_message_t *message, void *body)
{
    if (in_region(l, body))
        loop_handle_with(l, message, (struct memo *)body - 1);
    else
        loop_queue_add(&l->roomless, message->from, message)->bytes = body;
}

static void deliver(void *arg, uint32_t peer, const void *head, size_t head_size, void *body, size_t body_size)
{
    loop_t *l = arg;
    bool has_memo = codec_has_memo(head, head_size);
    wire_message_t message;

    if (!read_head(l, head, head_size, &message))
        return; /* place() has given it no room */
    message.from = peer;
    if ((has_memo && !may_bring(l, &message)) || loop_is_back(l, &message)) {
        if (body != NULL)
            drop(l, peer, body, body_size);
        return;
    }
    if (body == NULL && body_size == 0 && has_memo)
        body = place(l, peer, head, head_size, 0);
    if (body != NULL)
        deliver_with(l, &message, body);
    else if (has_memo)
        answer_without(l, peer, &message, MEMO_EFULL);
    else if (!cancels_roomless(l, peer, &message))
        loop_handle(l, &message);
}

void loop_find_room(loop_t *l)
{
    waiting_t **link = &l->roomless.first;

    while (*link != NULL) {
        struct memo *m = room_for(l, (*link)->to, (*link)->message.size);
        waiting_t *w;
        if (m == NULL) {
            link = &(*link)->next;
            continue;
        }
        w = loop_queue_cut(&l->roomless, link);
        memcpy(hand_data(m), w->bytes, w->message.size);
        loop_handle_with(l, &w->message, m);
        loop_waiting_free(w);
    }
}

far_user_t loop_far_user(loop_t *l)
{
    return (far_user_t){.place = place, .deliver = deliver, .drop = drop, .arg = l};
}
