/*
 * loop_own.h - what the files of a server at work share:
 *
 *   loop.c          the loop: waiting, from beginning to end
 *   loop_receive.c  a message gets to the engine; those of this node
 *   loop_far.c      messages from other nodes, and room for their memos
 *   loop_io.c       what the engine asks for: sending, and memos
 *   loop_others.c   the other peers: who has died, who has left, what was lent to them
 *   loop_back.c     what the dead of other nodes had comes back
 *   loop_queue.c    messages that wait
 */
#ifndef LOOP_OWN_H
#define LOOP_OWN_H

#include "libmemo/wire/dead.h"
#include "libmemo/wire/far.h"
#include "libmemo/wire/launch.h"
#include "libmemo/wire/near.h"
#include "libmemo/wire/patience.h"
#include "servers/engine.h"
#include "servers/lent.h"

/* A message that waits, for our own engine, to be sent, or for memory for its memo's bytes. */
typedef struct waiting {
    struct waiting *next;
    uint32_t to;
    wire_message_t message;
    void *bytes;
    wire_folder_t folders[];
} waiting_t;

typedef struct queue {
    waiting_t *first, **end;
} queue_t;

/* What a server knows of another peer. */
typedef struct other {
    lent_t lent;        /* to a client of another node */
    uint64_t took;      /* bytes that it has got in memos, and not brought */
    uint64_t level;     /* how much of the region was taken when it got the last one */
    bool dead;          /* found dead */
    bool left;          /* the client has said BYE */
    bool departed;      /* the engine knows that nothing of it comes back any more */
    int64_t departs_ns; /* when it is to know; 0: not yet */
} other_t;

typedef struct loop {
    launch_t *launch;
    self_t *s;
    const near_peer_t *peers;
    far_t *far;
    engine_t *engine;
    dead_t dead;
    struct memo *none, **envelope; /* of the message at hand: its answer may go in it */
    queue_t own;                   /* for our engine: it is not called while it sends */
    queue_t gone;                  /* the dead of this node, of whom nothing more is to come but what is unread */
    queue_t unsent;
    queue_t roomless;   /* from other nodes */
    other_t *others;    /* by peer */
    uint32_t departing; /* of them, so many depart soon */
    bool some_dead, server_dead;
    int64_t moved_ns; /* when something last came from another node, or went there */
    patience_t patience;
    patience_with_t asker; /* who was heard last */
    int64_t tried_ns;      /* when what waits for memory was tried last */
    uint32_t rounds;
    /* A message of another node, as it is read or written. */
    wire_folder_t *folders;
    uint32_t folders_room;
    void *head;
    size_t head_room;
} loop_t;

/* ---- loop_queue.c ------------------------------------------------------------------------------------------ */

/* The process's own memory, of which a server has as much as it needs: or it waits. */
void *loop_must_have(void *old, size_t bytes);

void loop_queue_init(queue_t *q);
/* A copy of the message; its memo is the queue's. */
waiting_t *loop_queue_add(queue_t *q, uint32_t to, const wire_message_t *message);
/* Takes *link out of the queue: it is the caller's, to loop_waiting_free(), and its memo too. */
waiting_t *loop_queue_cut(queue_t *q, waiting_t **link);
void loop_waiting_free(waiting_t *w);
bool loop_queue_has(const queue_t *q, uint32_t to);
/* And the memos of what is in it. */
void loop_queue_free(queue_t *q, self_t *s);

/* ---- loop_io.c --------------------------------------------------------------------------------------------- */

engine_io_t loop_io(loop_t *l);
/* To any peer, oneself too; arg is the loop. What finds no memory is queued, and what finds no reader goes back. */
void loop_send(void *arg, uint32_t to, const wire_message_t *message);
void loop_send_unsent(loop_t *l);
/* Nobody reads that message any more: what becomes of its memo. */
void loop_unreachable(loop_t *l, const wire_message_t *message);

/* ---- loop_receive.c ---------------------------------------------------------------------------------------- */

/*
 * That somebody is gone for good is dealt with once all is read that was sent before it was said: what the dead
 * themselves have sent, or an earlier repairer. Of two senders' messages the later one may be found first.
 */
static inline bool loop_departs(const wire_message_t *message)
{
    return message->type == WIRE_GONE && message->number[1] == 0;
}

/* To the engine, and then what that left for itself. */
void loop_handle(loop_t *l, const wire_message_t *message);
/* The same, of one whose memo was just made. */
void loop_handle_with(loop_t *l, const wire_message_t *message, struct memo *m);
/* What is left for our own engine. */
void loop_handle_own(loop_t *l);
/* Reads what has come from this node. True if there was any. */
bool loop_read_near(loop_t *l);

/* ---- loop_far.c -------------------------------------------------------------------------------------------- */

far_user_t loop_far_user(loop_t *l);
/* For what came from other nodes and waits for it. */
void loop_find_room(loop_t *l);

/* ---- loop_back.c ------------------------------------------------------------------------------------------- */

/* Whether a RETURN is dealt with, and the memo that it brings, or would, is not needed; nothing else is. */
bool loop_is_back(loop_t *l, const wire_message_t *message);
/* Whether the message is not for our engine: a RETURN that goes on to another server, or word of one. */
bool loop_passes_on(loop_t *l, const wire_message_t *message);
/* A message is with our engine now. */
void loop_is_in(loop_t *l, const wire_message_t *message);
/* Whether something that it had is not in its folder yet. */
bool loop_owes(const loop_t *l, uint32_t client);

/* ---- loop_others.c ----------------------------------------------------------------------------------------- */

/* Whether it is a client, of another node. */
bool loop_far_client(const loop_t *l, uint64_t peer);
/* What a message says of clients of other nodes is taken note of. What the engine is to get: it, or *instead. */
const wire_message_t *loop_take_note(loop_t *l, const wire_message_t *message, wire_message_t *instead);
/* Who has died of other nodes; and of whom nothing comes back any more. */
void loop_look_at_others(loop_t *l);
/* For the repairs that are made by this process. */
dead_t loop_dead(loop_t *l);
void loop_others_begin(loop_t *l);
void loop_others_end(loop_t *l);

#endif
