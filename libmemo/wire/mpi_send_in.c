/*
 * mpi_send_in.c - the receiving half of the far link on plain MPI messages (mpi_send.c).
 */
#include <stdlib.h>

#include "libmemo/wire/mpi_send_own.h"

static void post(mpi_send_t *m, uint32_t slot)
{
    if (MPI_Irecv(m->slot[slot].bytes, PIECE, MPI_BYTE, MPI_ANY_SOURCE, TAG, m->comm, &m->receives[slot]) !=
        MPI_SUCCESS) {
        m->receives[slot] = MPI_REQUEST_NULL;
        m->idle++;
    }
}

static void post_idle(mpi_send_t *m)
{
    m->idle = 0;
    for (uint32_t i = 0; i < m->slots; i++) {
        if (m->receives[i] == MPI_REQUEST_NULL && !m->slot[i].full) {
            post(m, i);
        }
    }
}

/* One slot more; without memory it stays as it is. */
bool mpi_send_add_slot(mpi_send_t *m)
{
    unsigned char *bytes = m->slots < m->slots_room ? malloc(PIECE) : NULL;

    if (!bytes) {
        return false;
    }
    m->slot[m->slots] = (slot_t){.bytes = bytes};
    post(m, m->slots++);
    return true;
}

void mpi_send_drop_incoming(mpi_send_t *m, uint32_t peer)
{
    incoming_t in = m->peer[peer].incoming;

    m->peer[peer].incoming = (incoming_t){0};
    free(in.head);
    if (in.body && m->far.user.drop) {
        m->far.user.drop(m->far.user.arg, peer, in.body, in.body_size);
    }
}

typedef enum taken { TAKEN, NO_MEMORY, NONSENSE } taken_t;

static void *place(mpi_send_t *m, uint32_t peer, const void *head, size_t head_size, uint64_t body_size)
{
    return body_size == 0 ? NULL : m->far.user.place(m->far.user.arg, peer, head, head_size, (size_t)body_size);
}

static void take_whole(mpi_send_t *m, uint32_t peer, const unsigned char *head, size_t head_size, size_t body_size)
{
    void *body = place(m, peer, head, head_size, body_size);

    if (body) {
        memcpy(body, head + head_size, body_size);
    }
    m->far.user.deliver(m->far.user.arg, peer, head, head_size, body, body_size);
}

/* The next bytes of a message that comes in pieces: no more than are missing. */
static void take_bytes(mpi_send_t *m, uint32_t peer, const unsigned char *bytes, size_t size)
{
    incoming_t *in = &m->peer[peer].incoming;

    if (in->got < in->head_size) {
        size_t part = size < in->head_size - in->got ? size : (size_t)(in->head_size - in->got);
        memcpy(in->head + in->got, bytes, part);
        in->got += part;
        bytes += part;
        size -= part;
        if (in->got == in->head_size) {
            in->body = place(m, peer, in->head, in->head_size, in->body_size);
        }
    }
    if (in->body && size > 0) {
        memcpy(in->body + (in->got - in->head_size), bytes, size);
    }
    in->got += size;
    if (in->got == in->head_size + in->body_size) {
        incoming_t whole = *in;
        *in = (incoming_t){0};
        m->far.user.deliver(m->far.user.arg, peer, whole.head, whole.head_size, whole.body,
                            (size_t)whole.body_size);
        free(whole.head);
    }
}

static bool fills(size_t size, size_t before, uint64_t rest)
{
    return size >= before && size - before == (rest < PIECE - before ? rest : PIECE - before);
}

static taken_t take_first(mpi_send_t *m, uint32_t peer, const unsigned char *piece, size_t size)
{
    incoming_t *in = &m->peer[peer].incoming;

    if (in->head || size < FIRST_HEAD) {
        return NONSENSE;
    }
    uint32_t head_size = load32(piece + AT_HEAD_SIZE);
    uint64_t body_size = load64(piece + AT_BODY_SIZE);
    if (head_size > FAR_HEAD_MAX || body_size > BODY_MAX || !fills(size, FIRST_HEAD, head_size + body_size)) {
        return NONSENSE;
    }
    if (size - FIRST_HEAD == head_size + body_size) {
        take_whole(m, peer, piece + FIRST_HEAD, head_size, (size_t)body_size);
        return TAKEN;
    }
    unsigned char *head = malloc(head_size);
    if (!head) {
        return NO_MEMORY;
    }
    *in = (incoming_t){.head = head, .head_size = head_size, .body_size = body_size};
    take_bytes(m, peer, piece + FIRST_HEAD, size - FIRST_HEAD);
    return TAKEN;
}

static taken_t take_piece(mpi_send_t *m, uint32_t peer, const unsigned char *piece, size_t size)
{
    const incoming_t *in = &m->peer[peer].incoming;

    if (load32(piece + AT_HEAD_SIZE) != 0) {
        return take_first(m, peer, piece, size);
    }
    if (!in->head || !fills(size, NEXT_HEAD, in->head_size + in->body_size - in->got)) {
        return NONSENSE;
    }
    take_bytes(m, peer, piece + NEXT_HEAD, size - NEXT_HEAD);
    return TAKEN;
}

/* A piece in its turn. Callbacks may send, and forget; never does anybody else touch the slot meanwhile. */
static bool take_in_turn(mpi_send_t *m, uint32_t slot)
{
    uint32_t peer = m->slot[slot].peer;

    m->in_work = peer;
    taken_t taken = take_piece(m, peer, m->slot[slot].bytes, m->slot[slot].size);
    m->in_work = NOBODY;
    if (taken == NONSENSE) {
        mpi_send_forget(&m->far, peer);
    }
    m->peer[peer].awaited += taken == TAKEN;
    if (m->peer[peer].forgotten) {
        mpi_send_drop_incoming(m, peer);
    }
    return taken != NO_MEMORY;
}

/* false: the piece has to wait. */
static bool take_slot(mpi_send_t *m, uint32_t slot)
{
    slot_t *s = &m->slot[slot];
    const peer_t *p = &m->peer[s->peer];
    int32_t ahead = (int32_t)(load32(s->bytes + AT_SEQUENCE) - p->awaited);

    if (!p->forgotten) {
        if (ahead > 0) {
            return false;
        }
        if (ahead < 0) {
            mpi_send_forget(&m->far, s->peer);
        } else if (!take_in_turn(m, slot)) {
            return false;
        }
    }
    m->slot[slot].full = false;
    m->full--;
    post(m, slot);
    return true;
}

/* Where receives complete in the order in which they were posted, one pass takes everything. */
static bool take_slots(mpi_send_t *m)
{
    bool moved = false, again = m->full > 0;

    while (again) {
        again = false;
        for (uint32_t i = 0, slot = m->turn; i < m->slots && m->full > 0; i++, slot = (slot + 1) % m->slots) {
            if (m->slot[slot].full && take_slot(m, slot)) {
                m->turn = (slot + 1) % m->slots;
                moved = again = true;
            }
        }
        again = again && m->full > 0;
    }
    return moved;
}

/* A receive is complete: a piece of a peer, or of no use. */
static void note_received(mpi_send_t *m, uint32_t slot, const MPI_Status *status, bool failed)
{
    int size = 0, rank = status->MPI_SOURCE;
    uint32_t peer = rank >= 0 && rank < m->ranks ? m->peer_of[rank] : m->peers;

    if (failed || MPI_Get_count(status, MPI_BYTE, &size) != MPI_SUCCESS || size < NEXT_HEAD) {
        if (peer < m->peers) { /* a gap that will not close */
            mpi_send_forget(&m->far, peer);
        }
        peer = m->peers;
    }
    if (peer == m->peers) {
        post(m, slot);
        return;
    }
    m->slot[slot] = (slot_t){.bytes = m->slot[slot].bytes, .full = true, .peer = peer, .size = (uint32_t)size};
    m->full++;
}

bool mpi_send_receive(mpi_send_t *m)
{
    int count = 0;

    if (m->idle > 0) {
        post_idle(m);
    }
    int result = MPI_Testsome((int)m->slots, m->receives, &count, m->done, m->status);
    if (count != MPI_UNDEFINED && (result == MPI_SUCCESS || result == MPI_ERR_IN_STATUS)) {
        for (int i = 0; i < count; i++) {
            bool failed = result == MPI_ERR_IN_STATUS && m->status[i].MPI_ERROR != MPI_SUCCESS;
            note_received(m, (uint32_t)m->done[i], &m->status[i], failed);
        }
    }
    return take_slots(m);
}

void mpi_send_close_in(mpi_send_t *m)
{
    for (uint32_t i = 0; i < m->slots; i++) {
        if (m->receives[i] != MPI_REQUEST_NULL) {
            MPI_Cancel(&m->receives[i]);
        }
    }
    for (uint32_t i = 0; i < m->slots; i++) {
        if (mpi_send_ends_soon(&m->receives[i])) {
            free(m->slot[i].bytes);
        }
    }
}
