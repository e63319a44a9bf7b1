/*
 * mpi_send_out.c - the sending half of the far link on plain MPI messages (mpi_send.c).
 *
 * A message is copied once, into the pieces it is sent in. Its memory comes from malloc, which keeps what was freed
 * for the next one.
 */
#include <stdlib.h>

#include "libmemo/memo.h"
#include "libmemo/wire/mpi_send_own.h"

static void unsend(mpi_send_t *m, outgoing_t *message)
{
    if (!message->dropped) {
        message->dropped = true;
        m->unsent--;
    }
}

/* Frees the message unless something of it is still to be sent, or MPI is still reading it. */
static void free_when_sent(mpi_send_t *m, outgoing_t *message)
{
    if (message->begun == message->pieces && message->under_way == 0) {
        unsend(m, message);
        free(message);
    }
}

void mpi_send_drop_outgoing(mpi_send_t *m, uint32_t peer)
{
    peer_t *p = &m->peer[peer];

    for (uint32_t i = 0; i < m->busy; i++) {
        if (m->sending[i].peer == peer) {
            unsend(m, m->sending[i].message);
        }
    }
    while (p->first) {
        outgoing_t *message = p->first;
        p->first = message->next;
        unsend(m, message);
        message->begun = message->pieces;
        free_when_sent(m, message);
    }
    p->last = NULL;
}

/* Takes the first piece out of the peer's queue and gives it to MPI; false: MPI has refused. */
static bool send_piece(mpi_send_t *m, uint32_t peer)
{
    peer_t *p = &m->peer[peer];
    outgoing_t *message = p->first;
    bool last = message->begun + 1 == message->pieces;
    MPI_Request request;
    int done = 0;

    if (MPI_Isend(message->bytes + message->begun * PIECE, last ? (int)message->last_size : PIECE, MPI_BYTE,
                  p->rank, TAG, m->comm, &request) != MPI_SUCCESS) {
        return false;
    }
    message->begun++;
    if (last) {
        p->first = message->next;
        p->last = p->first ? p->last : NULL;
    }
    bool good = MPI_Test(&request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS;
    if (good && !done) {
        m->sends[m->busy] = request;
        m->sending[m->busy++] = (sending_t){message, peer};
        message->under_way++;
        p->under_way++;
    } else {
        free_when_sent(m, message);
    }
    return good;
}

static void mpi_send_go_on(mpi_send_t *m, uint32_t peer)
{
    peer_t *p = &m->peer[peer];

    while (p->first && p->under_way < WINDOW) {
        if (!send_piece(m, peer)) {
            mpi_send_forget(&m->far, peer);
        }
    }
}

/* What is left of a message that is being cut in pieces: its head, then its body. */
typedef struct rest {
    const unsigned char *head, *body;
    size_t head_size, body_size;
} rest_t;

static void take_part(unsigned char **to, size_t *room, const unsigned char **from, size_t *size)
{
    size_t part = *size < *room ? *size : *room;

    if (part > 0) {
        memcpy(*to, *from, part);
        *to += part;
        *room -= part;
        *from += part;
        *size -= part;
    }
}

/* As much as fits behind what stands before it in the piece. Answers the size of the piece. */
static size_t fill_piece(unsigned char *piece, size_t before, rest_t *rest)
{
    unsigned char *to = piece + before;
    size_t room = PIECE - before;

    take_part(&to, &room, &rest->head, &rest->head_size);
    take_part(&to, &room, &rest->body, &rest->body_size);
    return (size_t)(to - piece);
}

static uint64_t pieces_of(uint64_t bytes)
{
    const uint64_t first = PIECE - FIRST_HEAD, next = PIECE - NEXT_HEAD;

    return bytes <= first ? 1 : 1 + (bytes - first + next - 1) / next;
}

static size_t room_of(uint64_t bytes, uint64_t pieces)
{
    return (size_t)(bytes + FIRST_HEAD + (pieces - 1) * NEXT_HEAD);
}

static outgoing_t *cut(peer_t *p, rest_t rest)
{
    uint64_t bytes = (uint64_t)rest.head_size + rest.body_size, pieces = pieces_of(bytes);
    outgoing_t *message = malloc(sizeof *message + room_of(bytes, pieces));

    if (!message) {
        return NULL;
    }
    *message = (outgoing_t){.pieces = pieces};
    store32(message->bytes + AT_HEAD_SIZE, (uint32_t)rest.head_size);
    store64(message->bytes + AT_BODY_SIZE, rest.body_size);
    for (uint64_t i = 0; i < pieces; i++) {
        unsigned char *piece = message->bytes + i * PIECE;
        store32(piece + AT_SEQUENCE, p->sequence++);
        if (i > 0) {
            store32(piece + AT_HEAD_SIZE, 0);
        }
        message->last_size = (uint32_t)fill_piece(piece, i == 0 ? FIRST_HEAD : NEXT_HEAD, &rest);
    }
    return message;
}

int mpi_send_send(far_t *f, uint32_t peer, const void *head, size_t head_size, const void *body, size_t body_size)
{
    mpi_send_t *m = self_of(f);

    if (peer >= m->peers || head_size == 0 || head_size > FAR_HEAD_MAX || body_size > BODY_MAX) {
        return MEMO_EINVAL;
    }
    peer_t *p = &m->peer[peer];
    if (p->forgotten) {
        return MEMO_EPEER;
    }
    outgoing_t *message = cut(p, (rest_t){head, body, head_size, body_size});
    if (!message) {
        return MEMO_ENOMEM;
    }
    m->unsent++;
    if (p->last) {
        p->last->next = message;
    } else {
        p->first = message;
    }
    p->last = message;
    mpi_send_go_on(m, peer);
    return MEMO_OK;
}

/* What MPI has done with leaves the list; whose it was is in m->done, as an int below 0 when it failed. */
static void note_sent(mpi_send_t *m, int count, bool failed)
{
    uint32_t left = 0;

    for (int i = 0; i < count; i++) {
        sending_t *s = &m->sending[m->done[i]];
        s->message->under_way--;
        m->peer[s->peer].under_way--;
        free_when_sent(m, s->message);
        s->message = NULL;
        m->done[i] = failed && m->status[i].MPI_ERROR != MPI_SUCCESS ? ~(int)s->peer : (int)s->peer;
    }
    for (uint32_t i = 0; i < m->busy; i++) {
        if (m->sending[i].message) {
            m->sends[left] = m->sends[i];
            m->sending[left++] = m->sending[i];
        }
    }
    m->busy = left;
}

bool mpi_send_finish(mpi_send_t *m)
{
    int count = 0;
    int result = MPI_Testsome((int)m->busy, m->sends, &count, m->done, m->status);

    if ((result != MPI_SUCCESS && result != MPI_ERR_IN_STATUS) || count == MPI_UNDEFINED || count == 0) {
        return false;
    }
    note_sent(m, count, result == MPI_ERR_IN_STATUS);
    for (int i = 0; i < count; i++) {
        if (m->done[i] < 0) {
            mpi_send_forget(&m->far, (uint32_t)~m->done[i]);
        } else {
            mpi_send_go_on(m, (uint32_t)m->done[i]);
        }
    }
    return true;
}

void mpi_send_close_out(mpi_send_t *m)
{
    for (uint32_t i = 0; i < m->busy; i++) {
        if (mpi_send_ends_soon(&m->sends[i])) {
            m->sending[i].message->under_way--;
            free_when_sent(m, m->sending[i].message);
        }
    }
}
