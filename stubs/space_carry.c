/*
 * space_carry.c - how messages travel between the stub and the servers: through the slot list inside the node,
 * where memos pass as offsets, and as bytes to other nodes (space.h).
 *
 * A memo whose bytes go to another node stays in our hand, marked SPACE_SENT, until its server has answered:
 * refused, it is the caller's again, the same memo at the same place; else it is freed. Should we die meanwhile, it
 * may have arrived or not: so it is noted by which request it went (near_sent), and whoever finds us dead asks.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "libmemo/wire/codec.h"
#include "stubs/space.h"

#define PAUSE_FOR_MEMORY 1000 /* microseconds */

/* ---- sending ----------------------------------------------------------------------------------------------- */

/* What does not fill the space must go however full it is, for else it could not be drained. */
static bool may_use_reserve(const wire_message_t *message)
{
    return message->type != WIRE_PUT && message->type != WIRE_DELAY;
}

/* And for who is going to wait for the answer: whom it is expected of. */
static int send_near(mpi_space_t *sp, uint32_t to, const wire_message_t *message)
{
    const _Atomic uint64_t *wakes = &sp->mailbox->body->counts.wakes;
    uint64_t woken = atomic_load_explicit(wakes, memory_order_relaxed);
    int result;

    sp->mailbox->from_reserve = may_use_reserve(message);
    result = near_send(sp->mailbox, sp->peers[to].mailbox, message, &sp->spare);
    sp->mailbox->from_reserve = false;
    sp->asked_at_once = message->memo != NULL; /* a put, mostly */
    sp->asked.mailbox = sp->peers[to].mailbox;
    sp->asked.asleep = atomic_load_explicit(wakes, memory_order_relaxed) != woken;
    return result;
}

static void *head_room(mpi_space_t *sp, size_t size)
{
    if (size > sp->head_room) {
        void *more = realloc(sp->head, size * 2);
        if (more == NULL)
            return NULL;
        sp->head = more;
        sp->head_room = size * 2;
    }
    return sp->head;
}

int carry_far(mpi_space_t *sp, uint32_t to, const wire_message_t *message)
{
    struct memo *m = message->memo != NULL ? near_memo(message->memo) : NULL;
    size_t size = codec_size(message);
    void *head = head_room(sp, size);

    if (head == NULL)
        return MEMO_ENOMEM;
    codec_write(message, head);
    return sp->far->ops->send(sp->far, to, head, size, m != NULL ? hand_data(m) : NULL, m != NULL ? m->size : 0);
}

/* Only calls of our own bring memos so: theirs is kept. */
static int send_far_and_keep(mpi_space_t *sp, uint32_t to, const wire_message_t *message)
{
    struct memo *m = near_memo(message->memo);
    int result;

    near_sent(sp->mailbox, m, to, message->request);
    result = carry_far(sp, to, message);
    if (result != MEMO_OK) {
        near_sent(sp->mailbox, m, to, 0);
        return result;
    }
    m->flags |= SPACE_SENT;
    sp->beginning->kept = m;
    return MEMO_OK;
}

/* A put says where its memo was taken from: should it be refused when we are dead, that is where it goes back to.
 */
static void add_source(const mpi_space_t *sp, wire_message_t *m, wire_folder_t folders[3])
{
    const pending_t *p = sp->beginning;

    if ((m->type != WIRE_PUT && m->type != WIRE_DELAY) || p == NULL || !p->comes_from ||
        near_wire(p->memo) != m->memo)
        return;
    memcpy(folders, m->folders, m->count * sizeof folders[0]);
    folders[m->count] = (wire_folder_t){.name = p->from, .index = m->count};
    m->folders = folders;
    m->count++;
}

/* What goes on with what has begun, or ends it, or gives a memo back: nobody could be told that it did not go. */
static bool must_go(wire_type_t type)
{
    switch (type) {
    case WIRE_RETURN:
    case WIRE_ACCEPT:
    case WIRE_RELEASE:
    case WIRE_CANCEL:
    case WIRE_UNLINK:
    case WIRE_IDLE:
    case WIRE_WITHDRAW:
        return true;
    default:
        return false;
    }
}

static bool no_memory(int result)
{
    return result == MEMO_EFULL || result == MEMO_ENOMEM;
}

static int try_to_send(mpi_space_t *sp, uint32_t to, const wire_message_t *message)
{
    if (launch_near(&sp->launch, to))
        return send_near(sp, to, message);
    return message->memo != NULL ? send_far_and_keep(sp, to, message) : carry_far(sp, to, message);
}

int carry_send(void *arg, uint32_t to, const wire_message_t *message)
{
    mpi_space_t *sp = arg;
    wire_message_t filled = *message;
    wire_folder_t folders[3];
    int result;

    if (atomic_load(&sp->gone[to]))
        return MEMO_EPEER;
    filled.from = sp->launch.self;
    add_source(sp, &filled, folders);
    if (message->memo != NULL) {
        filled.size = near_memo(message->memo)->size;
        /* Put, it begins anew: somebody took it and lived. */
        filled.redeliveries = message->type == WIRE_RETURN ? near_memo(message->memo)->redeliveries : 0;
    }
    while (no_memory(result = try_to_send(sp, to, &filled)) && must_go(filled.type)) {
        carry_spare(sp);
        usleep(PAUSE_FOR_MEMORY); /* servers, and other threads, free some */
    }
    return result;
}

/* ---- receiving --------------------------------------------------------------------------------------------- */

/* The call whose memo we keep, that a message belongs to. Answers come in the order of sending, mostly. */
static pending_t *keeper(const mpi_space_t *sp, uint64_t request)
{
    pending_t *p;

    for (p = sp->live; p != NULL; p = p->next)
        if (p->kept != NULL && p->call.request == request)
            return p;
    return NULL;
}

static bool refuses(const wire_message_t *message)
{
    return message->type == WIRE_ANSWER && message->result != MEMO_OK;
}

static void receive(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    mpi_space_t *sp = arg;

    (void)s;
    if (sp->spare == NULL) {
        sp->spare = *envelope;
        *envelope = NULL;
    }
    stub_receive(sp->stub, message);
}

bool carry_receive(mpi_space_t *sp)
{
    bool any = near_scan(sp->mailbox, receive, sp);

    if (sp->far != NULL && sp->far->ops->poll(sp->far)) {
        sp->moved_ns = wait_now();
        any = true;
    }
    return any;
}

/* ---- from other nodes -------------------------------------------------------------------------------------- */

static int read_head(mpi_space_t *sp, const void *head, size_t size, wire_message_t *message)
{
    int result = codec_read(head, size, message, sp->folders, sp->folders_room);
    wire_folder_t *more;

    if (result != MEMO_EFULL)
        return result;
    more = realloc(sp->folders, message->count * sizeof *more);
    if (more == NULL)
        return MEMO_ENOMEM;
    sp->folders = more;
    sp->folders_room = message->count;
    return codec_read(head, size, message, sp->folders, sp->folders_room);
}

void *carry_place(void *arg, uint32_t peer, const void *head, size_t head_size, size_t body_size)
{
    mpi_space_t *sp = arg;
    wire_message_t message;
    struct memo *m;

    (void)peer;
    if (read_head(sp, head, head_size, &message) != MEMO_OK)
        return NULL;
    m = hand_alloc(sp->mailbox, body_size);
    return m != NULL ? hand_data(m) : NULL;
}

void carry_drop(void *arg, uint32_t peer, void *body, size_t body_size)
{
    mpi_space_t *sp = arg;

    (void)peer;
    (void)body_size;
    near_free(sp->mailbox, (struct memo *)body - 1);
}

/* Whether that ANSWER takes a memo out of a folder: its server keeps it until it hears of it. */
static bool takes(const wire_message_t *message)
{
    return message->type == WIRE_ANSWER && message->result == MEMO_OK && message->count > 0;
}

/* Says what became of such a memo. If that cannot be said now, it stays at its server until we leave. */
static void say_of(mpi_space_t *sp, uint32_t server, const wire_message_t *message)
{
    carry_far(sp, server, message);
}

/* The server need not remember that ANSWER any more: its memo is here, or its refusal was read. */
static void say_received(mpi_space_t *sp, uint32_t server, const wire_message_t *answer)
{
    const wire_message_t received = {.type = WIRE_RECEIVED,
                                     .from = sp->launch.self,
                                     .client = sp->launch.self,
                                     .request = answer->request,
                                     .index = answer->index};

    say_of(sp, server, &received);
}

static void say_no_room(mpi_space_t *sp, uint32_t server, const wire_message_t *answer)
{
    const wire_message_t back = {.type = WIRE_RETURN,
                                 .flags = WIRE_NO_ANSWER,
                                 .from = sp->launch.self,
                                 .client = sp->launch.self,
                                 .count = 1,
                                 .folders = answer->folders,
                                 .number = {sp->launch.self, answer->request, answer->index},
                                 .redeliveries = answer->redeliveries};

    say_of(sp, server, &back);
}

/* A memo that has come, whose message is read: false if there is no room for it here; then it goes back. */
static bool arrived(mpi_space_t *sp, uint32_t peer, wire_message_t *message, void *body)
{
    struct memo *m = body != NULL ? (struct memo *)body - 1 : NULL;

    if (m != NULL) {
        m->redeliveries = message->redeliveries;
        if (!takes(message) || near_arrive(sp->mailbox, m, message) == MEMO_OK) {
            message->memo = near_wire(m);
            if (takes(message))
                say_received(sp, peer, message);
            return true;
        }
        near_free(sp->mailbox, m);
    }
    if (takes(message)) {
        near_count_arrival(sp->mailbox, peer);
        say_no_room(sp, peer, message);
    }
    return false;
}

/* A refusal between nodes brings no memo back: that is the one we kept. */
static void give_kept(mpi_space_t *sp, uint32_t peer, wire_message_t *message)
{
    pending_t *p = refuses(message) ? keeper(sp, message->request) : NULL;

    if (p == NULL)
        return;
    message->memo = near_wire(pending_unkeep(sp, p));
    say_received(sp, peer, message);
}

void carry_deliver(void *arg, uint32_t peer, const void *head, size_t head_size, void *body, size_t body_size)
{
    mpi_space_t *sp = arg;
    wire_message_t message;

    if (read_head(sp, head, head_size, &message) != MEMO_OK)
        return; /* no message of this version; place() has given it no room */
    if (body == NULL && body_size == 0 && codec_has_memo(head, head_size))
        body = carry_place(sp, peer, head, head_size, 0);
    message.from = peer;
    message.memo = NULL;
    if (message.type == WIRE_RECEIVED) {
        home_arrived(sp, &message);
        return;
    }
    if (codec_has_memo(head, head_size) && !arrived(sp, peer, &message, body) && message.result == MEMO_OK)
        message.result = MEMO_EFULL;
    give_kept(sp, peer, &message);
    stub_receive(sp->stub, &message);
}

void carry_spare(mpi_space_t *sp)
{
    if (sp->spare != NULL)
        near_free(sp->mailbox, sp->spare);
    sp->spare = NULL;
    heap_flush(sp->mailbox);
}

void carry_free(mpi_space_t *sp)
{
    free(sp->folders);
    free(sp->head);
}
