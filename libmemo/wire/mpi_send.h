/*
 * mpi_send.h - the far link on plain MPI messages, transport=send.
 */
#ifndef WIRE_MPI_SEND_H
#define WIRE_MPI_SEND_H

#include <mpi.h>

#include "libmemo/wire/far.h"

/*
 * Peer p of `peers` has rank rank_of_peer[p] in comm; no two have the same. The communicator is this link's alone:
 * none other has used it or will, for it may find what the other has left under way. Freeing it is the caller's,
 * its errors are returned from now on; MPICH raises those of completion on MPI_COMM_WORLD, which is not ours to
 * change. Not collective: whoever opens later finds what was sent before. NULL: no memory, or MPI has refused.
 */
far_t *mpi_send_open(MPI_Comm comm, const int *rank_of_peer, uint32_t peers, uint32_t self, const far_user_t *user);

#endif
