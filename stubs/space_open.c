/*
 * space_open.c - opening and closing an MPI space.
 *
 * memo_open is collective: all ranks join, meet on their nodes, and become what they are; a server's rank serves,
 * and has nothing to close afterwards. Closing ends the calls of other threads, tells every server that this client
 * asks for nothing any more (LEAVE: after the answer no memo comes), gives back what is held, and says BYE.
 */
#include <stdlib.h>
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "libmemo/wire/meet.h"
#include "libmemo/wire/opening.h"
#include "servers/loop.h"
#include "stubs/space.h"

/* ---- the node ------------------------------------------------------------------------------------------------ */

static void self_gone(self_t *s)
{
    thread_t *t = space_thread(s);

    puts_forget(t->puts);
    if (t->ready)
        pthread_cond_destroy(&t->woken);
}

static void quits(self_t *s)
{
    const dead_t *d = s->node->user_arg;

    part_quits(d->arg, s);
}

static const node_user_t node_user = {
    .self_bytes = sizeof(thread_t),
    .self_gone = self_gone,
    .quits = quits,
    .cancel_requests = dead_cancel_requests,
    .memo_back = dead_memo_back,
    .retire = dead_retire,
    .client_gone = dead_client_gone,
};

/* Told by whatever thread repairs. */
static void died(uint32_t peer, void *arg)
{
    mpi_space_t *sp = arg;

    launch_broken(&sp->launch);
    if (peer < sp->launch.servers)
        pendings_server_died(sp, peer);
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

static stub_protocol_t protocol_of(const char *scheme)
{
    if (strcmp(scheme, "mpi-single") == 0)
        return STUB_SINGLE;
    return strcmp(scheme, "mpi-latch") == 0 ? STUB_LATCH : STUB_CHAIN;
}

static void prepare(mpi_space_t *sp)
{
    pthread_condattr_init(&sp->monotonic);
    pthread_condattr_setclock(&sp->monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&sp->mutex, NULL);
    bridge_init(&sp->bridge);
    sp->participants = 1;
}

static int make_tables(mpi_space_t *sp)
{
    const launch_t *l = &sp->launch;
    const stub_io_t io = {.send = carry_send, .back = space_back, .done = pending_done, .arg = sp};

    sp->gone = calloc(l->servers, sizeof *sp->gone);
    sp->stub = stub_new(protocol_of(l->uri.scheme), l->self - l->servers, l->servers, &io);
    sp->dead = (dead_t){
        .servers = l->servers, .self = l->self, .send = home_send, .is_far = home_is_far, .died = died, .arg = sp};
    return sp->gone != NULL && sp->stub != NULL
               ? pump_prepare(sp, &sp->closer)
               : memo_error(MEMO_ENOMEM, "no memory for a client of %u servers", l->servers);
}

static void free_tables(mpi_space_t *sp)
{
    if (sp->stub != NULL)
        stub_free(sp->stub);
    carry_free(sp);
    free(sp->peers);
    free(sp->gone);
    sp->stub = NULL;
    pthread_mutex_destroy(&sp->mutex);
    pthread_condattr_destroy(&sp->monotonic);
}

static void at_end(void *arg)
{
    mpi_space_t *sp = arg;

    if (atomic_exchange(&sp->space.open, false))
        open_close(&sp->space);
}

static int connect(mpi_space_t *sp, const far_user_t *user)
{
    launch_t *l = &sp->launch;

    sp->far = launch_far(l, user);
    return sp->far != NULL || l->nodes == 1
               ? MEMO_OK
               : memo_error(MEMO_EIO, "no link to other nodes: there is no memory for it, or MPI has refused");
}

static void disconnect(mpi_space_t *sp)
{
    if (sp->far != NULL)
        sp->far->ops->close(sp->far);
    sp->far = NULL;
}

/* What fails at this rank alone is found before others rely on it. */
static int open_client(mpi_space_t *sp)
{
    const far_user_t user = {.place = carry_place, .deliver = carry_deliver, .drop = carry_drop, .arg = sp};
    int result = make_tables(sp);

    if (result == MEMO_OK)
        result = meet(&sp->launch, &node_user, &sp->dead, &sp->node, &sp->mailbox, sp->peers);
    if (result != MEMO_OK)
        return result;
    result = connect(sp, &user);
    if (result == MEMO_OK)
        result = keeper_begin(sp);
    if (result == MEMO_OK)
        result = handles_register(&sp->space, sp->node.region.base, sp->node.region.size);
    if (result == MEMO_OK)
        launch_at_end(at_end, sp);
    else {
        keeper_end(sp);
        disconnect(sp);
        sp->dead.send = NULL;
        node_close(&sp->node);
    }
    return result;
}

/* Serves until all clients have left. Its clients' memos are in its own memory, and end with it. */
static int serve(mpi_space_t *sp)
{
    const far_user_t nobody = {.arg = NULL}; /* yet: loop_serve takes the place */
    int result = meet(&sp->launch, &dead_node_user, NULL, &sp->node, &sp->mailbox, sp->peers);

    if (result != MEMO_OK)
        return result;
    result = connect(sp, &nobody);
    if (result == MEMO_OK)
        launch_at_end(NULL, NULL); /* what it holds is lost if it dies, but the others can go on */
    if (result == MEMO_OK)
        result = loop_serve(&sp->launch, &sp->node, sp->mailbox, sp->peers, sp->far);
    node_close(&sp->node);
    disconnect(sp);
    return result == MEMO_OK ? MEMO_SERVED : result;
}

static int open_joined(mpi_space_t *sp)
{
    const launch_t *l = &sp->launch;
    int result;

    sp->peers = calloc(l->servers + l->clients, sizeof *sp->peers);
    if (sp->peers == NULL)
        result = memo_error(MEMO_ENOMEM, "no memory for a list of %u peers", l->servers + l->clients);
    else
        result = launch_serves(l) ? serve(sp) : open_client(sp);
    if (result != MEMO_OK)
        launch_leave(&sp->launch);
    return result;
}

int open_space(const memo_backend_t *self, const memo_uri_t *uri, memo_space_t **space)
{
    const opening_t *opening = opening_now();
    mpi_space_t *sp = (mpi_space_t *)(void *)handles_new(sizeof *sp);
    int result;

    if (sp == NULL)
        return memo_error(MEMO_ENOMEM, "no memory for a handle");
    sp->space.backend = self;
    prepare(sp);
    result = launch_join(&sp->launch, opening->any_uri ? NULL : uri, opening->server);
    if (result == MEMO_OK)
        result = open_joined(sp);
    if (result != MEMO_OK) {
        free_tables(sp);
        handles_retire(&sp->space);
        return result;
    }
    *space = &sp->space;
    return MEMO_OK;
}

/* ---- closing --------------------------------------------------------------------------------------------------
 */

/* Calls begin no more, and those of other threads end. */
static void end_calls(mpi_space_t *sp)
{
    pending_t *p, *next;

    pthread_mutex_lock(&sp->mutex);
    sp->closing = true;
    for (p = sp->live; p != NULL; p = next) {
        next = p->next;
        if (p->cancelled)
            continue;
        p->cancelled = true;
        stub_cancel(sp->stub, &p->call, MEMO_ECLOSED);
    }
    while (sp->live != NULL || sp->back != NULL)
        pump_sleep(sp, &sp->closer, WAIT_FOREVER);
    pump_pass_on(sp);
    pthread_mutex_unlock(&sp->mutex);
}

/* Tells every server, and waits until all have answered. */
static void say(mpi_space_t *sp, wire_type_t type)
{
    const uint64_t number[4] = {0, 0, 0, 0};
    uint32_t servers = sp->launch.servers, i;
    pending_t p;

    for (i = 0; i < servers; i++) {
        memset(&p, 0, sizeof p);
        pending_begin(sp, &p, &sp->closer);
        pending_concerns_server(sp, &p, i);
        if (pending_begun(sp, &p, stub_ask(sp->stub, &p.call, type, i, NULL, number)) == MEMO_OK)
            pending_wait(sp, &sp->closer, &p, WAIT_FOREVER);
    }
}

/* No other thread is in a call. What comes after LEAVE is nothing; what we give back comes before BYE. */
static void say_goodbye(mpi_space_t *sp)
{
    pthread_mutex_lock(&sp->mutex);
    say(sp, WIRE_LEAVE);
    pump(sp);
    carry_spare(sp);
    home_wait(sp);
    dead_give_back(sp->mailbox);
    say(sp, WIRE_BYE);
    while (sp->far != NULL && sp->far->ops->sending(sp->far))
        pump_sleep(sp, &sp->closer, WAIT_FOREVER);
    pthread_mutex_unlock(&sp->mutex);
}

int open_close(memo_space_t *space)
{
    mpi_space_t *sp = space_of(space);
    self_t *me;

    handles_retire(space);
    end_calls(sp);
    requests_stop(sp);
    keeper_end(sp);
    me = node_shut(&sp->node);
    say_goodbye(sp);
    sp->dead.send = NULL;
    node_end(&sp->node, me);
    disconnect(sp);
    requests_free(sp);
    pthread_cond_destroy(&sp->closer.woken);
    if (sp->bridge_thread.ready)
        pthread_cond_destroy(&sp->bridge_thread.woken);
    launch_leave(&sp->launch);
    free_tables(sp);
    return MEMO_OK;
}

void open_forget(memo_space_t *space)
{
    mpi_space_t *sp = space_of(space);

    bridge_close(&sp->bridge);
    node_forget(&sp->node);
}
