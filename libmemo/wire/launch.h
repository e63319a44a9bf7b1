/*
 * launch.h - who takes part in an MPI space, as what, and where: the collective part of opening it, and leaving MPI.
 *
 * Ranks become peers: servers 0 to S-1 in rank order, then clients. Servers are the ranks that run memo-server (MPMD), or,
 * when there is none, S of the ranks (servers=S, default 1), spread evenly: rank i * ranks / S. Nodes are those of
 * MPI_Comm_split_type, each then divided in nodes=K pretended ones when asked.
 */
#ifndef WIRE_LAUNCH_H
#define WIRE_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>

#include "libmemo/backend.h"
#include "libmemo/wire/far.h"

typedef struct launch {
    uint32_t servers, clients;
    uint32_t self;              /* this process's peer number */
    uint32_t *node_of;          /* of each peer: node number; an array of servers + clients */
    uint32_t node, nodes;       /* this one; how many */
    uint32_t node_peers;        /* peers on this node */
    char region[64];            /* the node region's name: of this job and node alone */
    bool first;                 /* of its node: it makes the region, and removes its name when all have opened it */
    memo_uri_t uri;             /* what all agreed on: memo-server takes over the clients' */
    void *mpi;                  /* the communicators (mpi_launch.c) */
} launch_t;

static inline bool launch_serves(const launch_t *l)
{
    return l->self < l->servers;
}

static inline bool launch_near(const launch_t *l, uint32_t peer)
{
    return l->node_of[peer] == l->node;
}

/*
 * Collective over all ranks of the job, once in its life. `server`: this is memo-server; uri is NULL there when it was given none.
 * MEMO_OK; MEMO_EINVAL (URIs differ; more servers than ranks leave clients for); MEMO_EBUSY (opened before); MEMO_ENOTSUP (not under mpiexec:
 * PMI_RANK is not set and MPI is not initialized); MEMO_EIO. All ranks get the same result.
 */
int launch_join(launch_t *l, const memo_uri_t *uri, bool server);

/* All processes of the node, resp. of the job, have come here; sleeps rather than spins. */
void launch_node_barrier(launch_t *l);

/* What every peer says to every other, once, while opening: `all` has a place of `bytes` for each peer. */
int launch_exchange(launch_t *l, const void *mine, void *all, uint32_t bytes);

/* The link to peers of other nodes; NULL when there are none. */
far_t *launch_far(launch_t *l, const far_user_t *user);

/*
 * Leaving. launch_leave says that this process uses the space no more; MPI is finalized when the process ends, if we
 * initialized it: after a barrier that sleeps. launch_broken: some process has died, so that MPI_Finalize would not
 * return: the process will leave without it.
 */
void launch_broken(launch_t *l);
void launch_leave(launch_t *l);

/* Called (once) at exit, or in MPI_Finalize when the program calls that itself, if the space is still open. */
void launch_at_end(void (*end)(void *arg), void *arg);

#endif
