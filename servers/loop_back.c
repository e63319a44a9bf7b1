/*
 * loop_back.c - what a dead client of another node had comes back, from whoever found it dead.
 *
 * It is named by the ANSWER that took it out of its folder: so it comes back once, however often it is sent. Was
 * the client bringing it to us, we know whether it got here; if not it goes on to its folder's server, which may be
 * another one, and the client has not departed before that has it (quiet.c).
 */
#include <stdlib.h>

#include "servers/loop_own.h"

static lent_t *lent_of(loop_t *l, uint64_t client)
{
    return &l->others[client].lent;
}

/* Whoever sent it need not keep it any longer. */
static void say_received(loop_t *l, const wire_message_t *back)
{
    const wire_message_t received = {.type = WIRE_RECEIVED,
                                     .from = l->launch->self,
                                     .client = (uint32_t)back->number[0],
                                     .request = back->number[1],
                                     .index = (uint32_t)back->number[2]};

    loop_send(l, back->from, &received);
}

static void drop_kept(loop_t *l, lent_memo_t *kept)
{
    if (kept->memo != NULL)
        near_free(l->s, near_memo(kept->memo));
    kept->memo = NULL;
}

/* It is in no folder now, nor is it to come back again. What we have kept of it needs no room. */
static bool comes_back(loop_t *l, const wire_message_t *back, lent_memo_t *kept)
{
    wire_message_t bare = *back;
    struct memo *m;

    if (back->type == WIRE_DROP) {
        drop_kept(l, kept);
        bare.memo = NULL;
        loop_handle(l, &bare);
        return true;
    }
    if (kept->memo == NULL) {
        lent_owe(lent_of(l, back->number[0]), kept);
        return false;
    }
    m = near_memo(kept->memo);
    kept->memo = NULL;
    loop_handle_with(l, back, m);
    return true;
}

/* A client that lives has found no room for what we sent it. */
static bool has_no_room(const wire_message_t *back)
{
    return back->from == back->number[0] && (back->flags & WIRE_REDELIVERED) == 0;
}

static void take_back(loop_t *l, const wire_message_t *back, lent_t *lent)
{
    lent_memo_t *kept = lent_cut(lent, back->number[1], (uint32_t)back->number[2]);

    if (kept != NULL && kept->memo != NULL)
        loop_handle_with(l, back, near_memo(kept->memo));
    free(kept);
}

bool loop_is_back(loop_t *l, const wire_message_t *back)
{
    lent_memo_t *kept;
    lent_t *lent;
    bool known;

    if ((back->type != WIRE_RETURN && back->type != WIRE_DROP) || !loop_far_client(l, back->number[0]))
        return false;
    lent = lent_of(l, back->number[0]);
    if (has_no_room(back)) {
        take_back(l, back, lent);
        return true;
    }
    kept = lent_find(lent, back->number[1], (uint32_t)back->number[2]);
    known = kept != NULL;
    if (!known)
        kept = lent_note_back(lent, back->number[1], (uint32_t)back->number[2]);
    say_received(l, back);
    if (known && kept->memo == NULL)
        return true;
    if (back->number[3] != 0 && !lent_still_his(lent, back->number[3])) {
        drop_kept(l, kept); /* it is where the client has put it */
        return true;
    }
    return comes_back(l, back, kept);
}

static uint32_t server_of(const loop_t *l, const wire_message_t *back)
{
    return wire_server_of(&back->folders[0].name, l->launch->servers);
}

bool loop_passes_on(loop_t *l, const wire_message_t *message)
{
    wire_message_t on = *message;

    if (message->type == WIRE_RECEIVED && message->from < l->launch->servers) {
        if (loop_far_client(l, message->client))
            lent_paid(lent_of(l, message->client), message->request, message->index);
        return true;
    }
    if ((message->type != WIRE_RETURN && message->type != WIRE_DROP) || message->number[3] == 0 ||
        server_of(l, message) == l->launch->self)
        return false;
    on.from = on.client = l->launch->self;
    on.number[3] = 0;
    loop_send(l, server_of(l, message), &on);
    return true;
}

void loop_is_in(loop_t *l, const wire_message_t *message)
{
    if (message->type != WIRE_RETURN || message->number[0] == 0)
        return;
    if (loop_far_client(l, message->number[0]))
        lent_paid(lent_of(l, message->number[0]), message->number[1], (uint32_t)message->number[2]);
    else if (message->from < l->launch->servers && message->from != l->launch->self)
        say_received(l, message); /* the server that he was bringing it to has passed it on, and waits for word */
}

bool loop_owes(const loop_t *l, uint32_t client)
{
    return l->others[client].lent.owed > 0 && !l->server_dead;
}
