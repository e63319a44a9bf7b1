/*
 * loop.c - a server at work (loop.h).
 *
 * One thread. It never waits for a receiver, nor for memory: what cannot be sent for want of it is queued, and so
 * is what comes from another node and finds no room in this one's region, but for puts, which are refused then.
 *
 * Waiting. On a job of one node the server looks for as long as it pays (patience.h), then sleeps on its mailbox's
 * bell, and never calls MPI. With far peers there is no bell for all: it sleeps as long, but looks again after
 * pauses that grow with the time since something last came or went between nodes.
 */
#include "servers/loop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmemo/api/error.h"
#include "libmemo/node/repair.h"
#include "libmemo/node/slot.h"
#include "libmemo/node/wait.h"
#include "libmemo/wire/codec.h"
#include "libmemo/wire/dead.h"
#include "libmemo/wire/patience.h"
#include "servers/engine.h"
#include "servers/lent.h"

#define ROUNDS_PER_LOOK 256u /* how often a busy server looks for the dead */
#define RETRY_NS 1000000     /* while something waits for memory */
#define EAGER_NS 100000      /* after a message between nodes: no sleep is as short as the next one may be near */
#define PAUSE_LEAST_NS 50000 /* between looks at other nodes */
#define PAUSE_MOST_NS 1000000
#define PAUSE_IDLE_NS 5000000 /* when nothing has moved for a second */
#define IDLE_NS 1000000000
#define FAREWELL_NS 5000000000 /* for last messages to other nodes; to the dead they never go */
#define GRACE_NS 20000000      /* for what the dead of other nodes have sent, and has not been read */

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
    bool some_dead;
    int64_t moved_ns; /* when something last came from another node, or went there */
    patience_t patience;
    patience_with_t asker; /* who was heard last */
    int64_t tried_ns;      /* when what waits for memory was tried last */
    uint64_t dropped;      /* memos on this node, that the engine knows of */
    uint32_t rounds;
    /* A message of another node, as it is read or written. */
    wire_folder_t *folders;
    uint32_t folders_room;
    void *head;
    size_t head_room;
} loop_t;

/* ---- queues ------------------------------------------------------------------------------------------------ */

/* The process's own memory, of which a server has as much as it needs: or it waits. */
static void *must_have(void *old, size_t bytes)
{
    void *p;

    while ((p = realloc(old, bytes)) == NULL)
        usleep(1000);
    return p;
}

static void queue_init(queue_t *q)
{
    q->first = NULL;
    q->end = &q->first;
}

static waiting_t *queue_add(queue_t *q, uint32_t to, const wire_message_t *message)
{
    waiting_t *w = must_have(NULL, sizeof *w + message->count * sizeof w->folders[0]);

    w->next = NULL;
    w->to = to;
    w->message = *message;
    w->bytes = NULL;
    if (message->count > 0)
        memcpy(w->folders, message->folders, message->count * sizeof w->folders[0]);
    w->message.folders = w->folders;
    *q->end = w;
    q->end = &w->next;
    return w;
}

/* Takes *link out of the queue: it is the caller's. */
static waiting_t *queue_cut(queue_t *q, waiting_t **link)
{
    waiting_t *w = *link;

    *link = w->next;
    if (q->end == &w->next)
        q->end = link;
    return w;
}

static void waiting_free(waiting_t *w)
{
    free(w->bytes);
    free(w);
}

static bool queue_has(const queue_t *q, uint32_t to)
{
    const waiting_t *w;

    for (w = q->first; w != NULL; w = w->next)
        if (w->to == to)
            return true;
    return false;
}

static void queue_free(loop_t *l, queue_t *q)
{
    while (q->first != NULL) {
        waiting_t *w = queue_cut(q, &q->first);
        if (w->message.memo != NULL)
            near_free(l->s, near_memo(w->message.memo));
        waiting_free(w);
    }
}

/*
 * That somebody is gone for good is dealt with once all is read that was sent before it was said: what the dead
 * themselves have sent, or an earlier repairer. Of two senders' messages the later one may be found first.
 */
static bool departs(const wire_message_t *message)
{
    return message->type == WIRE_GONE && message->number[1] == 0;
}

/* ---- sending ----------------------------------------------------------------------------------------------- */

static void lend(loop_t *l, uint32_t to, const wire_message_t *message, uint64_t size)
{
    other_t *o = &l->others[to];

    lent_keep(&o->lent, message);
    o->took += size;
    o->level = heap_taken(l->s->root);
}

static int send_far(loop_t *l, uint32_t to, const wire_message_t *message)
{
    struct memo *m = message->memo != NULL ? near_memo(message->memo) : NULL;
    wire_message_t full = *message;
    size_t size;
    int result;

    if (m != NULL)
        full.size = m->size;
    size = codec_size(&full);
    if (size > l->head_room) {
        l->head = must_have(l->head, size);
        l->head_room = size;
    }
    codec_write(&full, l->head);
    result = l->far->ops->send(l->far, to, l->head, size, m != NULL ? hand_data(m) : NULL, m != NULL ? m->size : 0);
    if (result != MEMO_OK)
        return result == MEMO_EPEER ? result : MEMO_EFULL;
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

static void send_message(void *arg, uint32_t to, const wire_message_t *message);

/* Nobody reads it any more: a memo that it takes from a folder goes back there, as if it had been taken and its
 * holder had died; another one is nobody's. */
static void unreachable(loop_t *l, const wire_message_t *message)
{
    wire_message_t back = {.type = WIRE_RETURN,
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
    else if (l->launch->uri.on_death == MEMO_ON_DEATH_DROP) {
        node_count_one(&l->s->body->counts.dropped);
        near_free(l->s, near_memo(message->memo));
    } else
        send_message(l, wire_server_of(&back.folders[0].name, l->launch->servers), &back);
}

/* The engine's `send`. */
static void send_message(void *arg, uint32_t to, const wire_message_t *message)
{
    loop_t *l = arg;
    int result;

    if (to == l->launch->self) {
        queue_add(departs(message) ? &l->gone : &l->own, to, message);
        return;
    }
    result = queue_has(&l->unsent, to) ? MEMO_EFULL : send_now(l, to, message);
    if (result == MEMO_EFULL)
        queue_add(&l->unsent, to, message);
    else if (result != MEMO_OK)
        unreachable(l, message);
}

/* What found no memory, again. In order for each receiver, as long as nothing is sent past what is queued. */
static void send_unsent(loop_t *l)
{
    queue_t again = l->unsent;

    if (again.first == NULL)
        return;
    queue_init(&l->unsent);
    while (again.first != NULL) {
        waiting_t *w = queue_cut(&again, &again.first);
        send_message(l, w->to, &w->message);
        waiting_free(w);
    }
}

/* ---- the engine's other wishes ------------------------------------------------------------------------------- */

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

/* ---- receiving --------------------------------------------------------------------------------------------- */

static bool far_client(const loop_t *l, uint64_t peer)
{
    return peer >= l->launch->servers && peer < l->launch->servers + l->launch->clients &&
           !launch_near(l->launch, (uint32_t)peer);
}

/* Nothing will be sent to the engine any more of a client of another node that has died, but for what it has sent
 * itself and is still under way. */
static void departs_soon(loop_t *l, uint32_t client)
{
    other_t *o = &l->others[client];

    if (o->departed || o->departs_ns != 0)
        return;
    o->departs_ns = wait_now() + GRACE_NS;
    l->departing++;
}

/* A client of another node has died: its requests end, and when all of it is back, it has departed. */
static bool goes_far_away(loop_t *l, const wire_message_t *message, wire_message_t *instead)
{
    if (message->type != WIRE_GONE || !far_client(l, message->number[0]))
        return false;
    l->others[message->number[0]].dead = l->some_dead = true;
    if (message->number[1] == 0)
        departs_soon(l, (uint32_t)message->number[0]);
    *instead = *message;
    instead->number[1] = 1;
    return true;
}

static void forget_lent(loop_t *l, uint32_t client)
{
    lent_memo_t *kept;

    while ((kept = l->others[client].lent.first) != NULL) {
        if (kept->memo != NULL)
            free_memo(l, kept->memo);
        free(lent_cut(&l->others[client].lent, kept->request, kept->index));
    }
}

/* A client that has left has all that was lent to it, or has given it back. */
static void goes_well(loop_t *l, uint32_t client)
{
    l->others[client].left = true;
    forget_lent(l, client);
}

static void received(loop_t *l, const wire_message_t *message)
{
    lent_memo_t *kept = lent_cut(&l->others[message->from].lent, message->request, message->index);

    if (kept != NULL && kept->memo != NULL)
        free_memo(l, kept->memo);
    free(kept);
}

/* What is left for our own engine. */
static void handle_own(loop_t *l)
{
    while (l->own.first != NULL) {
        waiting_t *w = queue_cut(&l->own, &l->own.first);
        engine_receive(l->engine, &w->message);
        waiting_free(w);
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

/* To the engine, and then what that left for itself. */
static void handle(loop_t *l, const wire_message_t *message)
{
    wire_message_t instead;

    if (message->type == WIRE_STAT)
        count_dropped(l);
    if (goes_far_away(l, message, &instead))
        message = &instead;
    else if (message->type == WIRE_BYE && far_client(l, message->from))
        goes_well(l, message->from);
    else if (message->type == WIRE_RECEIVED && far_client(l, message->from))
        received(l, message);
    engine_receive(l->engine, message);
    handle_own(l);
}

static void receive(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    loop_t *l = arg;

    if (departs(message)) {
        queue_add(&l->gone, l->launch->self, message);
        return;
    }
    if (heap_pressed(s))
        heap_flush(s); /* before anything is answered: who found no memory asks, and tries again */
    l->envelope = envelope;
    handle(l, message);
    l->envelope = &l->none;
}

/* Reads what has come from this node. True if there was any. */
static bool read_near(loop_t *l)
{
    queue_t before = {.first = NULL};
    bool any;

    if (l->gone.first != NULL) {
        before = l->gone;
        queue_init(&l->gone);
    }
    any = near_scan(l->s, receive, l);
    while (before.first != NULL) {
        waiting_t *w = queue_cut(&before, &before.first);
        handle(l, &w->message);
        waiting_free(w);
        any = true;
    }
    return any;
}

/* ---- from other nodes ---------------------------------------------------------------------------------------- */

/* Its folders stay until the next one is read. */
static bool read_head(loop_t *l, const void *head, size_t size, wire_message_t *message)
{
    int result = codec_read(head, size, message, l->folders, l->folders_room);

    if (result == MEMO_EFULL) {
        l->folders_room = message->count;
        l->folders = must_have(l->folders, l->folders_room * sizeof *l->folders);
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

    send_message(l, peer, &answer);
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
    return can_be_refused(&message) ? NULL : must_have(NULL, body_size + 1);
}

static bool in_region(const loop_t *l, const void *p)
{
    return (uintptr_t)p - (uintptr_t)l->s->base < l->s->root->size;
}

static void handle_with(loop_t *l, wire_message_t *message, struct memo *m)
{
    m->redeliveries = message->redeliveries;
    message->memo = near_wire(m);
    message->size = m->size;
    handle(l, message);
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
            waiting_free(queue_cut(&l->roomless, link));
            answer_without(l, peer, message, MEMO_ECANCELED);
            return true;
        }
    return false;
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

/* A memo that we have lent comes back before it was said to have arrived: what we have kept needs no room. */
static bool brings_back_lent(loop_t *l, wire_message_t *message)
{
    bool names = message->type == WIRE_RETURN && far_client(l, message->number[0]);
    lent_memo_t *kept = NULL;

    if (names)
        kept = lent_cut(&l->others[message->number[0]].lent, message->number[1], (uint32_t)message->number[2]);
    if (kept == NULL)
        return false;
    if (kept->memo != NULL)
        handle_with(l, message, near_memo(kept->memo));
    free(kept);
    return true;
}

static void deliver(void *arg, uint32_t peer, const void *head, size_t head_size, void *body, size_t body_size)
{
    loop_t *l = arg;
    wire_message_t message;

    if (!read_head(l, head, head_size, &message))
        return; /* place() has given it no room */
    message.from = peer;
    if (brings_back_lent(l, &message)) {
        if (body != NULL)
            drop(l, peer, body, body_size);
        return;
    }
    if (body == NULL && body_size == 0 && codec_has_memo(head, head_size))
        body = place(l, peer, head, head_size, 0);
    if (body != NULL && in_region(l, body))
        handle_with(l, &message, (struct memo *)body - 1);
    else if (body != NULL)
        queue_add(&l->roomless, peer, &message)->bytes = body;
    else if (codec_has_memo(head, head_size))
        answer_without(l, peer, &message, MEMO_EFULL);
    else if (!cancels_roomless(l, peer, &message))
        handle(l, &message);
}

static void find_room(loop_t *l)
{
    waiting_t **link = &l->roomless.first;

    while (*link != NULL) {
        struct memo *m = room_for(l, (*link)->to, (*link)->message.size);
        waiting_t *w;
        if (m == NULL) {
            link = &(*link)->next;
            continue;
        }
        w = queue_cut(&l->roomless, link);
        memcpy(hand_data(m), w->bytes, w->message.size);
        handle_with(l, &w->message, m);
        waiting_free(w);
    }
}

/* ---- the dead ------------------------------------------------------------------------------------------------ */

/* What a repair by us has to say. */
static int say(self_t *s, uint32_t server, const wire_message_t *message, void *arg)
{
    loop_t *l = arg;

    if (message->memo != NULL && server == l->launch->self)
        near_forget(s, near_memo(message->memo));
    send_message(l, server, message);
    return MEMO_OK;
}

static void died(uint32_t peer, void *arg)
{
    (void)peer;
    launch_broken(((loop_t *)arg)->launch);
}

/* Whether somebody of that node repairs what the dead leave there. */
static bool somebody_repairs(const loop_t *l, uint32_t node)
{
    uint32_t peers = l->launch->servers + l->launch->clients, peer;

    for (peer = 0; peer < peers; peer++)
        if (l->launch->node_of[peer] == node && !l->others[peer].dead && !l->others[peer].left)
            return true;
    return false;
}

/* Who repairs has the last word of a client, if there is anybody. */
static void look_for_the_last(loop_t *l)
{
    uint32_t peers = l->launch->servers + l->launch->clients, peer;

    for (peer = l->launch->servers; peer < peers; peer++)
        if (l->others[peer].dead && !l->others[peer].left && !somebody_repairs(l, l->launch->node_of[peer]))
            departs_soon(l, peer);
}

/* Peers of other nodes that have died. Of this node's, repairs tell, after what they had is back. */
static void hear_of_the_dead(loop_t *l)
{
    wire_message_t gone = {.type = WIRE_GONE, .from = l->launch->self, .client = l->launch->self, .number = {0, 1}};
    uint32_t peer;

    while ((peer = launch_dead(l->launch)) != LAUNCH_NOBODY) {
        if (peer >= l->launch->servers + l->launch->clients || launch_near(l->launch, peer))
            continue;
        l->others[peer].dead = true;
        l->some_dead = true;
        gone.number[0] = peer;
        if (peer >= l->launch->servers)
            handle(l, &gone);
        else
            l->far->ops->forget(l->far, peer);
    }
    if (l->some_dead)
        look_for_the_last(l);
}

/* What nobody has spoken of goes back. It stays noted: should it come back after all, there would be two. */
static void give_back(loop_t *l, lent_memo_t *kept)
{
    wire_message_t back = {.type = WIRE_ANSWER,
                           .result = MEMO_OK,
                           .folders = &kept->from,
                           .count = 1,
                           .memo = kept->memo,
                           .size = near_memo(kept->memo)->size,
                           .redeliveries = kept->redeliveries};

    kept->memo = NULL;
    unreachable(l, &back);
}

static void depart(loop_t *l, uint32_t client)
{
    wire_message_t gone = {
        .type = WIRE_GONE, .from = l->launch->self, .client = l->launch->self, .number = {client, 0}};
    lent_memo_t *kept;

    l->far->ops->forget(l->far, client);
    while ((kept = lent_first(&l->others[client].lent)) != NULL)
        give_back(l, kept);
    handle_own(l);
    engine_receive(l->engine, &gone);
    handle_own(l);
}

static void look_who_departs(loop_t *l)
{
    uint32_t peers = l->launch->servers + l->launch->clients, peer;
    int64_t now = l->departing > 0 ? wait_now() : 0;

    for (peer = l->launch->servers; l->departing > 0 && peer < peers; peer++) {
        other_t *o = &l->others[peer];
        if (o->departs_ns == 0 || o->departs_ns > now)
            continue;
        o->departs_ns = 0;
        o->departed = true;
        l->departing--;
        depart(l, peer);
    }
}

static void look_around(loop_t *l)
{
    if (l->far != NULL) {
        hear_of_the_dead(l);
        look_who_departs(l);
    }
    repair_look(l->s, WAIT_TICK_NS / 2);
    if (heap_pressed(l->s))
        heap_flush(l->s);
    handle_own(l);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------
 */

/* When to look again, though nobody rings. */
static int64_t next_look(const loop_t *l)
{
    int64_t now = wait_now(), quiet, pause;

    if (l->unsent.first != NULL || l->roomless.first != NULL || l->departing > 0)
        return now + RETRY_NS;
    if (l->far == NULL)
        return WAIT_FOREVER;
    quiet = now - l->moved_ns;
    pause = quiet / 8;
    if (quiet > IDLE_NS)
        pause = PAUSE_IDLE_NS;
    else if (pause > PAUSE_MOST_NS)
        pause = PAUSE_MOST_NS;
    return now + (pause > PAUSE_LEAST_NS ? pause : PAUSE_LEAST_NS);
}

static bool poll_far(loop_t *l)
{
    if (l->far == NULL || !l->far->ops->poll(l->far))
        return false;
    l->moved_ns = wait_now();
    return true;
}

/* Something has come. */
static bool anything(void *arg)
{
    loop_t *l = arg;

    return slot_attention(l->s) || poll_far(l);
}

static void wait_for_messages(loop_t *l)
{
    if (patience_look(&l->patience, l->s, l->asker, anything, l))
        return;
    if (l->far != NULL && wait_now() - l->moved_ns < EAGER_NS)
        return;
    slot_sleep(l->s, next_look(l), NULL, NULL);
    patience_slept(&l->patience);
    look_around(l);
}

/* Not at each round: who finds no memory has everybody give caches back. */
static void try_again(loop_t *l)
{
    int64_t now;

    if (l->unsent.first == NULL && l->roomless.first == NULL)
        return;
    now = wait_now();
    if (now - l->tried_ns < RETRY_NS)
        return;
    l->tried_ns = now;
    send_unsent(l);
    find_room(l);
}

static void serve(loop_t *l)
{
    bool moved;

    while (!engine_finished(l->engine) || l->unsent.first != NULL) {
        moved = read_near(l);
        moved = poll_far(l) || moved;
        try_again(l);
        if (++l->rounds % ROUNDS_PER_LOOK == 0)
            look_around(l);
        if (!moved && l->gone.first == NULL)
            wait_for_messages(l);
    }
}

/* Last answers leave for other nodes. */
static void bid_farewell(loop_t *l)
{
    int64_t end = wait_now() + FAREWELL_NS;

    while (l->far != NULL && l->far->ops->sending(l->far) && wait_now() < end)
        if (!poll_far(l))
            usleep(PAUSE_LEAST_NS / 1000);
}

/* ---- from beginning to end -------------------------------------------------------------------------------------
 */

static void begin(loop_t *l, launch_t *launch, node_t *node, self_t *mailbox, const near_peer_t peers[], far_t *far)
{
    uint32_t all = launch->servers + launch->clients, peer;

    memset(l, 0, sizeof *l);
    l->launch = launch;
    l->s = mailbox;
    l->peers = peers;
    l->far = far;
    l->envelope = &l->none;
    l->moved_ns = wait_now();
    queue_init(&l->own);
    queue_init(&l->gone);
    queue_init(&l->unsent);
    queue_init(&l->roomless);
    l->others = must_have(NULL, all * sizeof *l->others);
    memset(l->others, 0, all * sizeof *l->others);
    for (peer = 0; peer < all; peer++)
        lent_init(&l->others[peer].lent);
    l->dead = (dead_t){.servers = launch->servers, .self = launch->self, .send = say, .died = died, .arg = l};
    node->user_arg = &l->dead;
    if (far != NULL)
        far->user = (far_user_t){.place = place, .deliver = deliver, .drop = drop, .arg = l};
}

static void end(loop_t *l, node_t *node)
{
    uint32_t all = l->launch->servers + l->launch->clients, peer;

    node->user_arg = NULL;
    engine_free(l->engine);
    for (peer = 0; peer < all; peer++)
        forget_lent(l, peer);
    free(l->others);
    queue_free(l, &l->own);
    queue_free(l, &l->gone);
    queue_free(l, &l->unsent);
    queue_free(l, &l->roomless);
    free(l->folders);
    free(l->head);
}

int loop_serve(launch_t *launch, node_t *node, self_t *mailbox, const near_peer_t peers[], far_t *far)
{
    loop_t l;
    const engine_io_t io = {.send = send_message, .copy = copy, .make = make, .free = free_memo, .arg = &l};

    begin(&l, launch, node, mailbox, peers, far);
    l.engine = engine_new(launch->self, launch->servers, launch->clients, &io);
    if (l.engine == NULL) {
        free(l.others);
        node->user_arg = NULL;
        return memo_error(MEMO_ENOMEM, "no memory for a server's engine");
    }
    serve(&l);
    bid_farewell(&l);
    end(&l, node);
    return MEMO_OK;
}
