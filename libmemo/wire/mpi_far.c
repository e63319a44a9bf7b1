/*
 * mpi_far.c - which far link a space has (launch.h): plain MPI messages, the only one there is.
 */
#include "libmemo/wire/mpi_launch.h"
#include "libmemo/wire/mpi_send.h"

#include <stdlib.h>

far_t *launch_far(launch_t *l, const far_user_t *user)
{
    uint32_t peers = l->servers + l->clients;
    int *rank_of = l->nodes > 1 ? malloc(peers * sizeof *rank_of) : NULL;
    if (rank_of == NULL) {
        return NULL;
    }
    for (uint32_t peer = 0; peer < peers; peer++) {
        rank_of[peer] = (int)peer; /* on the peers' communicator */
    }
    far_t *link = mpi_send_open(mpi_launch_peers(l), rank_of, peers, l->self, user);
    free(rank_of);
    return link;
}
