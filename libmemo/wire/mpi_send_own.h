/*
 * mpi_send_own.h - what the files of the far link on plain MPI messages share: mpi_send.c opens and closes it and
 * says how it works, mpi_send_out.c sends, mpi_send_in.c receives.
 */
#ifndef WIRE_MPI_SEND_OWN_H
#define WIRE_MPI_SEND_OWN_H

#include <endian.h>
#include <mpi.h>
#include <string.h>

#include "libmemo/wire/far.h"

enum {
    PIECE = 8000, /* with what UCX adds, one segment of its TCP (8 KiB): more is several times as slow */
    SLOTS = 16,
    WINDOW = 16,
    TAG = 1,
    AT_SEQUENCE = 0,
    AT_HEAD_SIZE = 4,
    AT_BODY_SIZE = 8,
    FIRST_HEAD = 16, /* what stands before the bytes in a message's first piece */
    NEXT_HEAD = 8,   /* in the others */
    CLOSE_TRIES = 100
};

#define BODY_MAX ((uint64_t)1 << 48)

#define NOBODY UINT32_MAX

/* A message that is being sent: its pieces, as they are to be sent, PIECE bytes apart. */
typedef struct outgoing {
    struct outgoing *next; /* in its peer's queue */
    uint64_t pieces;
    uint64_t begun;     /* given to MPI */
    uint32_t under_way; /* of these, how many MPI has not done with */
    uint32_t last_size; /* of the last piece; the others are full */
    bool dropped;
    unsigned char bytes[];
} outgoing_t;

/* A message that comes in several pieces. */
typedef struct incoming {
    unsigned char *head; /* NULL: none is coming */
    size_t head_size;
    uint64_t body_size;
    uint64_t got; /* of both */
    unsigned char *body;
} incoming_t;

typedef struct peer {
    int rank;
    bool forgotten;
    uint32_t sequence;        /* of the next piece to it */
    uint32_t awaited;         /* of the next piece from it */
    uint32_t under_way;       /* pieces to it that MPI has not done with */
    outgoing_t *first, *last; /* not all of whose pieces MPI has been given */
    incoming_t incoming;
} peer_t;

/* One place for a piece. Its receive is posted, or a piece is in it (full), or in work (neither). */
typedef struct slot {
    unsigned char *bytes;
    bool full;
    uint32_t peer, size; /* of the piece */
} slot_t;

typedef struct sending {
    outgoing_t *message;
    uint32_t peer;
} sending_t;

typedef struct mpi_send {
    far_t far;
    MPI_Comm comm;
    uint32_t peers;
    int ranks;
    uint32_t *peer_of; /* by rank; `peers`: of none */
    bool polling;
    uint32_t in_work; /* the peer a piece of which is being taken in, or NOBODY */
    uint32_t slots, slots_room;
    uint32_t full, idle; /* slots with a piece; those that MPI has refused a receive */
    uint32_t turn;       /* the slot whose receive was posted first, as far as we know */
    slot_t *slot;
    MPI_Request *receives; /* of each slot */
    uint32_t busy, busy_room;
    MPI_Request *sends; /* pieces that MPI has not done with */
    sending_t *sending;
    uint64_t unsent; /* messages, of those that are not dropped */
    int *done;       /* MPI's answers: room for all slots, or all sends */
    MPI_Status *status;
    peer_t peer[];
} mpi_send_t;

static inline mpi_send_t *self_of(far_t *f)
{
    return (mpi_send_t *)(void *)f;
}

static inline void store32(unsigned char *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof value);
}

static inline void store64(unsigned char *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}

static inline uint32_t load32(const unsigned char *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static inline uint64_t load64(const unsigned char *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

/* The link is forgotten from both sides; f is the link itself, as ops->forget has it. */
void mpi_send_forget(far_t *f, uint32_t peer);

/* Whether MPI has done with it, soon. If not the request is MPI's, and so is the memory that it uses. */
bool mpi_send_ends_soon(MPI_Request *request);

/* ops->send */
int mpi_send_send(far_t *f, uint32_t peer, const void *head, size_t head_size, const void *body, size_t body_size);
/* Takes note of what MPI has done with, and goes on with what was queued behind it. */
bool mpi_send_finish(mpi_send_t *m);
void mpi_send_drop_outgoing(mpi_send_t *m, uint32_t peer);
/* After all have been forgotten. */
void mpi_send_close_out(mpi_send_t *m);

/* Delivers what has come. */
bool mpi_send_receive(mpi_send_t *m);
void mpi_send_drop_incoming(mpi_send_t *m, uint32_t peer);
/* One slot more; without memory it stays as it is. */
bool mpi_send_add_slot(mpi_send_t *m);
void mpi_send_close_in(mpi_send_t *m);

#endif
