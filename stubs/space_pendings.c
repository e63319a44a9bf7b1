/*
 * space_pendings.c - calls under way: how they begin, are waited for and end, and what becomes of the memos they
 * carry (space.h).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmemo/node/wait.h"
#include "stubs/parts.h"
#include "stubs/space.h"

#define PAUSE_FOR_MEMORY 1000 /* microseconds */

/* ---- entering -------------------------------------------------------------------------------------------- */

static int closed(void)
{
    return memo_error(MEMO_ECLOSED, "the space is being closed");
}

int space_enter(mpi_space_t *sp, self_t **s)
{
    int result = MEMO_OK;

    *s = node_enter(&sp->node, &result);
    if (*s == NULL)
        return result;
    result = pump_prepare(sp, space_thread(*s));
    if (result != MEMO_OK) {
        node_leave(*s);
        return result;
    }
    pthread_mutex_lock(&sp->mutex);
    if (!sp->closing)
        return MEMO_OK;
    pthread_mutex_unlock(&sp->mutex);
    node_leave(*s);
    return closed();
}

void space_leave(mpi_space_t *sp, self_t *s)
{
    if (sp->far != NULL)
        keeper_told(sp);
    pump_pass_on(sp);
    pthread_mutex_unlock(&sp->mutex);
    node_leave(s);
}

bool space_holds(const mpi_space_t *sp, const memo_t *m)
{
    return hand_held(&sp->node, (offset_t)((const char *)m - sp->node.region.base)) &&
           (m->flags & (NEAR_ENVELOPE | SPACE_SENT)) == 0;
}

/* ---- beginning ------------------------------------------------------------------------------------------- */

static void list_add(mpi_space_t *sp, pending_t *p)
{
    p->next = NULL;
    p->prev = sp->live_last;
    if (sp->live_last != NULL)
        sp->live_last->next = p;
    else
        sp->live = p;
    sp->live_last = p;
    p->live = true;
}

static void list_drop(mpi_space_t *sp, pending_t *p)
{
    if (p->next != NULL)
        p->next->prev = p->prev;
    else
        sp->live_last = p->prev;
    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        sp->live = p->next;
    p->live = false;
}

void pending_begin(mpi_space_t *sp, pending_t *p, thread_t *waits)
{
    p->call.user = p;
    p->call.result = MEMO_PENDING;
    p->thread = waits;
    list_add(sp, p);
    sp->beginning = p;
}

void pending_concerns_server(mpi_space_t *sp, pending_t *p, uint32_t server)
{
    if (p->far || sp->far == NULL || launch_near(&sp->launch, server))
        return;
    p->far = true;
    sp->far_calls++;
    sp->moved_ns = wait_now();
    pump_ring(sp); /* who pumps may be in a long pause */
}

void pending_concerns(mpi_space_t *sp, pending_t *p, const memo_folder_t folders[], size_t n)
{
    size_t i;

    if (sp->far == NULL)
        return;
    for (i = 0; i < n && !p->far; i++)
        pending_concerns_server(sp, p, wire_server_of(&folders[i], sp->launch.servers));
}

/* Other nodes know the memo by that, should we die. */
static void note_taken(mpi_space_t *sp, pending_t *p)
{
    wire_message_t answer;

    if (!near_taken_by(sp->mailbox, p->memo, &answer))
        return;
    p->taken_client = answer.client;
    p->taken_request = answer.request;
    p->taken_index = answer.index;
}

void pending_carries(mpi_space_t *sp, pending_t *p, struct memo *m, bool waits)
{
    p->memo = m;
    p->redeliveries = m->redeliveries;
    p->comes_from = m->origin != 0 && near_from(sp->mailbox, m, &p->from);
    if (p->comes_from && sp->far != NULL)
        note_taken(sp, p);
    if (waits)
        return;
    p->puts = true;
    sp->putting++;
    part_tell(sp);
}

/* The parts of it that are counted. */
static void uncount(mpi_space_t *sp, pending_t *p)
{
    if (p->live)
        list_drop(sp, p);
    if (p->far)
        sp->far_calls--;
    if (p->puts)
        sp->putting--;
    p->far = p->puts = false;
}

struct memo *pending_unkeep(mpi_space_t *sp, pending_t *p)
{
    struct memo *m = p->kept;

    p->kept = NULL;
    if (m == NULL)
        return NULL;
    near_sent(sp->mailbox, m, 0, 0);
    m->flags &= (uint16_t)~SPACE_SENT;
    return m;
}

int pending_begun(mpi_space_t *sp, pending_t *p, int result)
{
    sp->beginning = NULL;
    if (result == MEMO_OK)
        return MEMO_OK;
    if (pending_unkeep(sp, p) != NULL) {
        p->ours = true;
        pending_restore(sp, p);
    }
    uncount(sp, p);
    part_tell(sp);
    return result;
}

/* ---- ending ---------------------------------------------------------------------------------------------- */

void pending_done(void *arg, stub_call_t *call)
{
    mpi_space_t *sp = arg;
    pending_t *p = call->user;
    struct memo *kept = call->result == MEMO_OK ? p->kept : pending_unkeep(sp, p);

    if (kept != NULL && call->result == MEMO_OK)
        near_free(sp->mailbox, kept); /* it is there */
    p->kept = NULL;
    /* A memo that passed to a server which died is nobody's. */
    p->ours = call->result != MEMO_OK && (kept != NULL || call->memo != NULL);
    p->done = true;
    uncount(sp, p);
    if (p->ended != NULL)
        p->ended(sp, p);
    else
        pump_wake(sp, p->thread);
    if (sp->closing && sp->live == NULL)
        pump_wake(sp, &sp->closer);
}

void pending_restore(mpi_space_t *sp, pending_t *p)
{
    struct memo *m = p->memo;

    if (!p->ours)
        return;
    m->redeliveries = p->redeliveries;
    /* A refusal from this node has brought it. There is memory for that as long as there is any. */
    if (p->comes_from && m->origin == 0) {
        const wire_folder_t from = {.name = p->from};
        near_origin_by(
            sp->mailbox, m,
            &(wire_message_t){
                .client = p->taken_client, .request = p->taken_request, .index = p->taken_index, .folders = &from});
    }
}

void pending_give_back(mpi_space_t *sp, thread_t *t, struct memo *m)
{
    pending_t p;
    memo_folder_t folder;
    int result;

    if (!near_from(sp->mailbox, m, &folder)) {
        near_free(sp->mailbox, m);
        return;
    }
    for (;;) {
        memset(&p, 0, sizeof p);
        pending_begin(sp, &p, t);
        pending_concerns(sp, &p, &folder, 1);
        pending_carries(sp, &p, m, false);
        result = pending_begun(sp, &p, stub_return(sp->stub, &p.call, &folder, near_wire(m), false));
        if (result != MEMO_EFULL && result != MEMO_ENOMEM)
            break;
        usleep(PAUSE_FOR_MEMORY);
    }
    if (result == MEMO_OK)
        pending_wait(sp, t, &p, WAIT_FOREVER);
    else
        near_free(sp->mailbox, m); /* its server is gone */
}

int pending_wait(mpi_space_t *sp, thread_t *t, pending_t *p, int64_t deadline)
{
    while (!p->done) {
        if (deadline != WAIT_FOREVER && !p->cancelled && wait_now() >= deadline) {
            p->cancelled = true;
            stub_cancel(sp->stub, &p->call, MEMO_TIMEDOUT);
            continue;
        }
        pump_sleep(sp, t, p->cancelled ? WAIT_FOREVER : deadline);
    }
    part_tell(sp);
    return p->call.result;
}

int pending_explain(int result, const char *what)
{
    switch (result) {
    case MEMO_ECLOSED:
        return memo_error(result, "the space was closed while the call waited");
    case MEMO_EPEER:
        return memo_error(result, "a server that the %s needs is gone", what);
    case MEMO_ENOMEM:
        return memo_error(result, "no memory for the %s", what);
    case MEMO_EFULL:
        return memo_error(result, "the space has no room left for the %s", what);
    default:
        return result < 0 ? memo_error(result, "the server refused the %s (%d)", what, result) : result;
    }
}

/* ---- memos that nobody waits for any more ------------------------------------------------------------------ */

void space_back(void *arg, const memo_folder_t *folder, wire_memo_t *memo)
{
    mpi_space_t *sp = arg;
    going_back_t *b;

    if (folder == NULL) {
        near_free(sp->mailbox, near_memo(memo)); /* a copy */
        return;
    }
    while ((b = malloc(sizeof *b)) == NULL)
        usleep(PAUSE_FOR_MEMORY);
    b->folder = *folder;
    b->memo = near_memo(memo);
    b->next = NULL;
    if (sp->back_last != NULL)
        sp->back_last->next = b;
    else
        sp->back = b;
    sp->back_last = b;
}

static void went_back(mpi_space_t *sp, pending_t *p)
{
    (void)sp;
    free(p);
}

static int send_back(mpi_space_t *sp, const going_back_t *b)
{
    pending_t *p = calloc(1, sizeof *p);

    if (p == NULL)
        return MEMO_ENOMEM;
    pending_begin(sp, p, NULL);
    pending_concerns(sp, p, &b->folder, 1);
    pending_carries(sp, p, b->memo, false);
    p->ended = went_back;
    if (pending_begun(sp, p, stub_return(sp->stub, &p->call, &b->folder, near_wire(b->memo), false)) != MEMO_OK) {
        free(p);
        return MEMO_EFULL;
    }
    return MEMO_OK;
}

void pendings_back(mpi_space_t *sp)
{
    while (sp->back != NULL) {
        going_back_t *b = sp->back;
        if (send_back(sp, b) != MEMO_OK && !atomic_load(&sp->gone[wire_server_of(&b->folder, sp->launch.servers)]))
            return; /* no memory to send with now: at the next time */
        sp->back = b->next;
        if (sp->back == NULL)
            sp->back_last = NULL;
        free(b);
    }
}

/* ---- servers that died -------------------------------------------------------------------------------------- */

void pendings_server_died(mpi_space_t *sp, uint32_t server)
{
    if (!atomic_exchange(&sp->gone[server], true))
        atomic_store(&sp->lost, true);
}

/* Only one process repairs a server of this node. For the others it is dead when nobody has its mailbox. */
static void look_near(mpi_space_t *sp)
{
    const self_t *s = sp->mailbox;
    uint64_t deaths = atomic_load(&s->root->deaths);
    uint32_t i;

    if (deaths == sp->deaths)
        return;
    sp->deaths = deaths;
    for (i = 0; i < sp->launch.servers; i++) {
        party_id_t id = sp->peers[i].mailbox;
        if (id != 0 && atomic_load(&node_party(s, party_index(id))->id) != id)
            pendings_server_died(sp, i);
    }
}

static void look_far(mpi_space_t *sp)
{
    uint32_t peer;

    if (sp->far == NULL || wait_now() - sp->asked_ns < WAIT_TICK_NS)
        return;
    sp->asked_ns = wait_now();
    while ((peer = launch_dead(&sp->launch)) != LAUNCH_NOBODY)
        if (peer < sp->launch.servers && !launch_near(&sp->launch, peer))
            pendings_server_died(sp, peer);
}

void pendings_lost(mpi_space_t *sp)
{
    uint32_t server;

    look_near(sp);
    look_far(sp);
    if (!atomic_exchange(&sp->lost, false))
        return;
    for (server = 0; server < sp->launch.servers; server++)
        if (atomic_load(&sp->gone[server])) {
            if (!launch_near(&sp->launch, server)) {
                sp->far->ops->forget(sp->far, server);
                home_server_died(sp, server);
            }
            stub_server_died(sp->stub, server);
        }
}
