/*
 * mpi_launch.h - what the files that speak MPI know of the launch, beside launch.h.
 */
#ifndef WIRE_MPI_LAUNCH_H
#define WIRE_MPI_LAUNCH_H

#include <mpi.h>

#include "libmemo/wire/hall.h"
#include "libmemo/wire/launch.h"

/* ---- mpi_launch.c ---------------------------------------------------------------------------------------- */

/* The communicator of all ranks that the calling thread's opening is to use; MPI_COMM_NULL: MPI_COMM_WORLD. It is
 * the program's: launch_join duplicates it. (mpi_open.c) */
MPI_Comm mpi_open_comm(void);

/* The clients' own communicator, in the order of their ranks, the space's; MPI_COMM_NULL: on a server's rank, or
 * nothing was opened. */
MPI_Comm mpi_launch_clients(void);

/* All peers, numbered as peers; for far links alone. Its errors are returned. */
MPI_Comm mpi_launch_peers(const launch_t *l);

/*
 * Completes a request, sleeping longer and longer between looks at it, `until` that time of wait_now() at most.
 * MPI_SUCCESS, an error of MPI, or MPI_ERR_PENDING: it is not complete, and its owner's still.
 */
int mpi_launch_finish(MPI_Request *request, int64_t until);

/* ---- mpi_leave.c ----------------------------------------------------------------------------------------- */

/* What leaving needs to know. */
typedef struct leave {
    hall_t hall; /* of the real node */
    bool head;   /* one process of each real node speaks with the other nodes */
    uint32_t real_nodes, self, peers;
    uint32_t *real_of; /* of each peer */
    uint32_t *peer_at; /* of each place of the hall */
    bool *dead;        /* of each peer: what launch_dead has said */
    MPI_Comm control;  /* all peers, numbered as peers: for launch and leave */
    MPI_Comm heads;    /* the heads; MPI_COMM_NULL elsewhere */
} leave_t;

/* MPI runs; `ours`: we started it, and will finalize it when the process ends. False: there is no memory. */
bool mpi_leave_prepare(bool ours);

/* From now on leaving waits for the others of the job. */
void mpi_leave_know(const leave_t *leave);

/* Sleeps until all of the node's processes (`group` of the real node, so many) have come. */
void mpi_leave_meet(uint32_t group, uint32_t count);

void mpi_leave_broken(void);

#endif
