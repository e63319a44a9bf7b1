/*
 * loop.c - a server at work (loop.h).
 *
 * One thread. It never waits for a receiver, nor for memory: what cannot be sent for want of it is queued, and so
 * is what comes from another node and finds no room in this one's region, but for puts, which are refused then.
 *
 * Waiting. On a job of one node the server looks for as long as it pays (patience.h), then sleeps on its mailbox's
 * bell, and never calls MPI. With far peers there is no bell for all: it sleeps as long, but looks again after pauses
 * that grow with the time since something last came or went between nodes.
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

#define ROUNDS_PER_LOOK 256u /* how often a busy server looks for the dead */
#define RETRY_NS 1000000     /* while something waits for memory */
#define EAGER_NS 100000      /* after a message between nodes: no sleep is as short as the next one may be near */
#define PAUSE_LEAST_NS 50000 /* between looks at other nodes */
#define PAUSE_MOST_NS 1000000
#define PAUSE_IDLE_NS 5000000 /* when nothing has moved for a second */
#define IDLE_NS 1000000000
#define REPAIR_NS 1000000000   /* how long what the dead of another node had may take to come back */
#define FAREWELL_NS 5000000000 /* for last messages to other nodes; to the dead they never go */

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
    queue_t roomless; /* from other nodes */
    int64_t moved_ns; /* when something last came from another node, or went there */
    patience_t patience;
    patience_with_t asker; /* who was heard last */
    int64_t tried_ns;      /* when what waits for memory was tried last */
    uint32_t rounds;
    int64_t *died_ns; /* by client of another node: when it was heard to be dead; 0: not, or long ago */
    uint32_t awaited; /* how many are not 0 */
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

static int send_far(loop_t *l, uint32_t to, const wire_message_t *message)
{
    struct memo *m = message->memo != NULL ? near_memo(message->memo) : NULL;
    wire_message_t full = *message;
    size_t size;

    if (m != NULL)
        full.size = m->size;
    size = codec_size(&full);
    if (size > l->head_room) {
        l->head = must_have(l->head, size);
        l->head_room = size;
    }
    codec_write(&full, l->head);
    if (l->far->ops->send(l->far, to, l->head, size, m != NULL ? hand_data(m) : NULL, m != NULL ? m->size : 0) !=
        MEMO_OK)
        return MEMO_EFULL;
    if (m != NULL)
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

/* To the engine, and then what that left for itself. */
static void handle(loop_t *l, const wire_message_t *message)
{
    engine_receive(l->engine, message);
    while (l->own.first != NULL) {
        waiting_t *w = queue_cut(&l->own, &l->own.first);
        engine_receive(l->engine, &w->message);
        waiting_free(w);
    }
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

static void *place(void *arg, uint32_t peer, const void *head, size_t head_size, size_t body_size)
{
    loop_t *l = arg;
    struct memo *m;
    wire_message_t message;

    (void)peer;
    if (!read_head(l, head, head_size, &message))
        return NULL;
    m = hand_alloc(l->s, body_size);
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

static void deliver(void *arg, uint32_t peer, const void *head, size_t head_size, void *body, size_t body_size)
{
    loop_t *l = arg;
    wire_message_t message;

    if (!read_head(l, head, head_size, &message))
        return; /* place() has given it no room */
    message.from = peer;
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
        struct memo *m = hand_alloc(l->s, (*link)->message.size);
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

static void say_gone(loop_t *l, uint32_t peer, bool more)
{
    const wire_message_t gone = {
        .type = WIRE_GONE, .from = l->launch->self, .client = l->launch->self, .number = {peer, more}};

    handle(l, &gone);
}

/*
 * Clients of other nodes that have died. What they had comes back by who repairs them there, who then says that it
 * is all: it may not be quiet before. If nobody lives there, nobody says so, and after a while it is taken as said.
 * Of this node's, repairs tell.
 */
static void hear_of_the_dead(loop_t *l)
{
    uint32_t servers = l->launch->servers, clients = l->launch->clients, peer, i;
    int64_t now;

    if (l->far == NULL)
        return;
    now = wait_now();
    while ((peer = launch_dead(l->launch)) != LAUNCH_NOBODY)
        if (peer >= servers && peer < servers + clients && !launch_near(l->launch, peer)) {
            say_gone(l, peer, true);
            l->died_ns[peer - servers] = now;
            l->awaited++;
        }
    for (i = 0; l->awaited > 0 && i < clients; i++)
        if (l->died_ns[i] != 0 && now - l->died_ns[i] > REPAIR_NS) {
            l->died_ns[i] = 0;
            l->awaited--;
            say_gone(l, servers + i, false);
        }
}

static void look_around(loop_t *l)
{
    hear_of_the_dead(l);
    repair_look(l->s, WAIT_TICK_NS / 2);
    if (heap_pressed(l->s))
        heap_flush(l->s);
    while (l->own.first != NULL) {
        waiting_t *w = queue_cut(&l->own, &l->own.first);
        handle(l, &w->message);
        waiting_free(w);
    }
}

/* ---- waiting ---------------------------------------------------------------------------------------------------
 */

/* When to look again, though nobody rings. */
static int64_t next_look(const loop_t *l)
{
    int64_t now = wait_now(), quiet, pause;

    if (l->unsent.first != NULL || l->roomless.first != NULL)
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
    memset(l, 0, sizeof *l);
    l->launch = launch;
    l->s = mailbox;
    l->peers = peers;
    l->far = far;
    l->envelope = &l->none;
    l->moved_ns = wait_now();
    l->died_ns = must_have(NULL, launch->clients * sizeof *l->died_ns);
    memset(l->died_ns, 0, launch->clients * sizeof *l->died_ns);
    queue_init(&l->own);
    queue_init(&l->gone);
    queue_init(&l->unsent);
    queue_init(&l->roomless);
    l->dead = (dead_t){.servers = launch->servers, .self = launch->self, .send = say, .died = died, .arg = l};
    node->user_arg = &l->dead;
    if (far != NULL)
        far->user = (far_user_t){.place = place, .deliver = deliver, .arg = l};
}

static void end(loop_t *l, node_t *node)
{
    node->user_arg = NULL;
    engine_free(l->engine);
    queue_free(l, &l->own);
    queue_free(l, &l->gone);
    queue_free(l, &l->unsent);
    queue_free(l, &l->roomless);
    free(l->died_ns);
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
        node->user_arg = NULL;
        free(l.died_ns);
        return memo_error(MEMO_ENOMEM, "no memory for a server's engine");
    }
    serve(&l);
    bid_farewell(&l);
    end(&l, node);
    return MEMO_OK;
}
