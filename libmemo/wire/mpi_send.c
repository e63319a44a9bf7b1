/*
 * mpi_send.c - the far link on plain nonblocking MPI messages.
 *
 * A message is a stream of bytes, its head and then its body, cut into pieces of at most PIECE bytes: small enough
 * that MPI sends each at once, without asking the receiver first. A large message sent whole would wait for its
 * receiver's memory, and hang with a receiver that dies. No call here blocks.
 *
 *   a piece     at  bytes, little-endian
 *   sequence     0    4    of all pieces from this sender to this receiver, from 0 on, modulo 2^32
 *   head size    4    4    of the message that the piece begins; 0: it goes on with the one before
 *   body size    8    8    in the first piece of a message alone
 *   the bytes              as many as fit
 *
 * Sending: a message is queued at its receiver, and pieces leave the queue in order as long as no more than WINDOW
 * are under way to that receiver: so a message that can go at once never overtakes one that could not, pieces of
 * two messages never mix, and a receiver that does not read holds up nobody but itself.
 *
 * Receiving: a ring of slots, each with a receive posted for any sender. MPI matches them in the order in which
 * they were posted, but need not complete them so, nor are slots that were held back reposted in order: the
 * sequence decides. A piece that comes before its turn, or for whose message there is no memory, stays in its slot;
 * the other slots serve the others meanwhile.
 */
#include "libmemo/wire/mpi_send.h"

#include <stdlib.h>

#include "libmemo/wire/mpi_send_own.h"

void mpi_send_forget(far_t *f, uint32_t peer)
{
    mpi_send_t *m = self_of(f);

    if (peer >= m->peers || m->peer[peer].forgotten) {
        return;
    }
    m->peer[peer].forgotten = true;
    mpi_send_drop_outgoing(m, peer);
    if (m->in_work != peer) { /* else take_slot does it */
        mpi_send_drop_incoming(m, peer);
    }
    /* If a part of a piece has come from it, the slot where the rest should go is lost. */
    mpi_send_add_slot(m);
}

static bool mpi_send_poll(far_t *f)
{
    mpi_send_t *m = self_of(f);

    if (m->polling) {
        return false;
    }
    m->polling = true;
    bool moved = mpi_send_receive(m);
    moved |= m->busy > 0 && mpi_send_finish(m);
    m->polling = false;
    return moved;
}

static bool mpi_send_sending(const far_t *f)
{
    return ((const mpi_send_t *)(const void *)f)->unsent > 0;
}

/* ---- opening and closing ----------------------------------------------------------------------------------- */

bool mpi_send_ends_soon(MPI_Request *request)
{
    int done = *request == MPI_REQUEST_NULL;

    for (int i = 0; i < CLOSE_TRIES && !done; i++) {
        if (MPI_Test(request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) {
            done = *request == MPI_REQUEST_NULL;
        }
    }
    if (!done) {
        MPI_Request_free(request);
    }
    return done;
}

static void free_all(mpi_send_t *m)
{
    free(m->peer_of);
    free(m->slot);
    free(m->receives);
    free(m->sends);
    free(m->sending);
    free(m->done);
    free(m->status);
    free(m);
}

static void mpi_send_close(far_t *f)
{
    mpi_send_t *m = self_of(f);

    m->slots_room = m->slots; /* forgetting adds none now */
    for (uint32_t i = 0; i < m->peers; i++) {
        mpi_send_forget(f, i);
    }
    mpi_send_close_in(m);
    mpi_send_close_out(m);
    free_all(m);
}

static const far_ops_t ops = {
    .name = "send",
    .send = mpi_send_send,
    .poll = mpi_send_poll,
    .sending = mpi_send_sending,
    .forget = mpi_send_forget,
    .close = mpi_send_close,
};

/* All that a link will ever need, but for messages. */
static mpi_send_t *allocate(uint32_t peers, int ranks)
{
    size_t slots = SLOTS + (size_t)peers, sends = (size_t)peers * WINDOW, more = slots > sends ? slots : sends;
    mpi_send_t *m = calloc(1, sizeof *m + peers * sizeof m->peer[0]);

    if (!m) {
        return NULL;
    }
    m->peer_of = malloc((size_t)ranks * sizeof m->peer_of[0]);
    m->slot = calloc(slots, sizeof m->slot[0]);
    m->receives = malloc(slots * sizeof m->receives[0]);
    m->sends = malloc(sends * sizeof m->sends[0]);
    m->sending = malloc(sends * sizeof m->sending[0]);
    m->done = malloc(more * sizeof m->done[0]);
    m->status = malloc(more * sizeof m->status[0]);
    if (!m->peer_of || !m->slot || !m->receives || !m->sends || !m->sending || !m->done || !m->status) {
        free_all(m);
        return NULL;
    }
    m->slots_room = (uint32_t)slots;
    return m;
}

static void name_peers(mpi_send_t *m, const int *rank_of_peer, uint32_t peers, int ranks)
{
    m->peers = peers;
    m->ranks = ranks;
    for (int i = 0; i < ranks; i++) {
        m->peer_of[i] = peers;
    }
    for (uint32_t i = 0; i < peers; i++) {
        m->peer[i].rank = rank_of_peer[i];
        m->peer_of[rank_of_peer[i]] = i;
    }
}

far_t *mpi_send_open(MPI_Comm comm, const int *rank_of_peer, uint32_t peers, uint32_t self, const far_user_t *user)
{
    int ranks;

    if (MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN) != MPI_SUCCESS ||
        MPI_Comm_size(comm, &ranks) != MPI_SUCCESS || self >= peers) {
        return NULL;
    }
    mpi_send_t *m = allocate(peers, ranks);
    if (!m) {
        return NULL;
    }
    m->far = (far_t){.ops = &ops, .user = *user};
    m->comm = comm;
    m->in_work = NOBODY;
    name_peers(m, rank_of_peer, peers, ranks);
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (!mpi_send_add_slot(m)) {
            mpi_send_close(&m->far);
            return NULL;
        }
    }
    return &m->far;
}
