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
#include "libmemo/node/heap.h"
#include "libmemo/node/repair.h"
#include "libmemo/node/slot.h"
#include "libmemo/node/wait.h"
#include "servers/loop_own.h"

#define ROUNDS_PER_LOOK 256u /* how often a busy server looks for the dead */
#define RETRY_NS 1000000     /* while something waits for memory */
#define EAGER_NS 100000      /* after a message between nodes: no sleep is as short as the next one may be near */
#define PAUSE_LEAST_NS 50000 /* between looks at other nodes */
#define PAUSE_MOST_NS 1000000
#define PAUSE_IDLE_NS 5000000 /* when nothing has moved for a second */
#define IDLE_NS 1000000000
#define FAREWELL_NS 5000000000 /* for last messages to other nodes; to the dead they never go */

/* ---- waiting --------------------------------------------------------------------------------------------- */

static void look_around(loop_t *l)
{
    if (l->far != NULL)
        loop_look_at_others(l);
    repair_look(l->s, WAIT_TICK_NS / 2);
    if (heap_pressed(l->s))
        heap_flush(l->s);
    loop_handle_own(l);
}

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
    loop_send_unsent(l);
    loop_find_room(l);
}

static void serve(loop_t *l)
{
    bool moved;

    while (!engine_finished(l->engine) || l->unsent.first != NULL) {
        moved = loop_read_near(l);
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

/* ---- from beginning to end ------------------------------------------------------------------------------- */

static void begin(loop_t *l, launch_t *launch, node_t *node, self_t *mailbox, const near_peer_t peers[], far_t *far)
{
    memset(l, 0, sizeof *l);
    l->launch = launch;
    l->s = mailbox;
    l->peers = peers;
    l->far = far;
    l->envelope = &l->none;
    l->moved_ns = wait_now();
    loop_queue_init(&l->own);
    loop_queue_init(&l->gone);
    loop_queue_init(&l->unsent);
    loop_queue_init(&l->roomless);
    loop_others_begin(l);
    l->dead = loop_dead(l);
    node->user_arg = &l->dead;
    if (far != NULL)
        far->user = loop_far_user(l);
}

static void end(loop_t *l, node_t *node)
{
    node->user_arg = NULL;
    engine_free(l->engine);
    loop_others_end(l);
    loop_queue_free(&l->own, l->s);
    loop_queue_free(&l->gone, l->s);
    loop_queue_free(&l->unsent, l->s);
    loop_queue_free(&l->roomless, l->s);
    free(l->folders);
    free(l->head);
}

static void limit_redeliveries(engine_t *engine, const memo_uri_t *uri)
{
    const memo_folder_t letters = memo_folder(uri->dead_letters);

    engine_redelivers(engine, uri->max_redeliveries, memo_folder_valid(&letters) ? &letters : NULL);
}

int loop_serve(launch_t *launch, node_t *node, self_t *mailbox, const near_peer_t peers[], far_t *far)
{
    loop_t l;
    const engine_io_t io = loop_io(&l);

    begin(&l, launch, node, mailbox, peers, far);
    l.engine = engine_new(launch->self, launch->servers, launch->clients, &io);
    if (l.engine == NULL) {
        loop_others_end(&l);
        node->user_arg = NULL;
        return memo_error(MEMO_ENOMEM, "no memory for a server's engine");
    }
    if (launch->uri.on_death == MEMO_ON_DEATH_DROP)
        engine_drops(l.engine);
    if (launch->uri.max_redeliveries_given)
        limit_redeliveries(l.engine, &launch->uri);
    serve(&l);
    bid_farewell(&l);
    end(&l, node);
    return MEMO_OK;
}
