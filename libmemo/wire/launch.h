/*
 * launch.h - who takes part in an MPI space, as what, and where: the collective part of opening it, and leaving
 * MPI.
 *
 * Ranks become peers: servers 0 to S-1 in rank order, then clients. Servers are the ranks that run memo-server
 * (MPMD), or, when there is none, S of the ranks (servers=S, default 1), spread evenly: rank i * ranks / S. Nodes
 * are those of MPI_Comm_split_type, each then divided in nodes=K pretended ones when asked.
 */
#ifndef WIRE_LAUNCH_H
#define WIRE_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>

#include "libmemo/backend.h"
#include "libmemo/wire/far.h"

typedef struct launch {
    uint32_t servers, clients;
    uint32_t self;        /* this process's peer number */
    uint32_t *node_of;    /* of each peer: node number; an array of servers + clients */
    uint32_t node, nodes; /* this one; how many */
    uint32_t node_peers;  /* peers on this node */
    char region[64];      /* the node region's name: of this job and node alone */
    bool first;           /* of its node: it makes the region, and removes its name when all have opened it */
    memo_uri_t uri;       /* what all agreed on: memo-server takes over the clients' */
    void *mpi;            /* the communicators (mpi_launch.c) */
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
 * Collective over all ranks of the job, once in its life. `server`: this is memo-server; uri may be NULL there: it
 * takes the clients'. MPI is started if the program has not done that, never in a program that mpiexec has not
 * started. All ranks get the same result, with a sentence, but for one that opens twice: MEMO_EINVAL (URIs differ;
 * servers leave no client; servers= beside memo-server, and another number; mpi-single with several), MEMO_EVERSION
 * (ranks run different builds), MEMO_EBUSY (this process has opened a space over MPI before), MEMO_ENOTSUP (not
 * under mpiexec: PMI_RANK is not set and MPI is not initialized; MPI is finalized), MEMO_EFULL (no room in
 * /dev/shm), MEMO_ENOMEM, MEMO_EIO. On an error *l is nothing.
 */
int launch_join(launch_t *l, const memo_uri_t *uri, bool server);

/* Sleeps until all processes of this node have come here; as often as they like. */
void launch_node_barrier(launch_t *l);

/* What every peer says to every other, while opening: `all` has a place of `bytes` for each peer. Collective; also
 * a barrier of the job. MEMO_OK, MEMO_EIO. */
int launch_exchange(launch_t *l, const void *mine, void *all, uint32_t bytes);

/* The link to peers of other nodes; NULL when there are none. */
far_t *launch_far(launch_t *l, const far_user_t *user);

/*
 * Leaving. launch_leave says that this process uses the space no more, and takes *l apart: the last call on it. MPI
 * goes on until the process ends, or the program calls MPI_Finalize. If we initialized MPI, we finalize it in an
 * exit handler, after sleeping until all others of the job leave too.
 *
 * launch_broken: some process has died, so that MPI_Finalize would not return. From now on processes of this real
 * node leave without it and wait for nobody; they tell the other nodes. Any thread, any time after launch_join,
 * also after launch_leave (l may be NULL).
 */
void launch_broken(launch_t *l);

/*
 * A peer that has died, each once in each process that asks; LAUNCH_NOBODY: none but those. It looks at the
 * processes of this real node, not at each call, and tells the other nodes what it has found; and hears what they
 * tell. So whoever serves or waits for peers of other nodes asks now and then: there is nobody else to tell it. (Of
 * its own node, repairs tell, and bring back what the dead had first.) Not for two threads at once.
 */
#define LAUNCH_NOBODY UINT32_MAX
uint32_t launch_dead(launch_t *l);
void launch_leave(launch_t *l);

/* The space is open, for this process and all others: `memo guard` is told so. Calls `end` once, when the process
 * exits, or in MPI_Finalize when the program calls that itself, unless launch_leave comes first: the space is still
 * open, and `end` is to close it. */
void launch_at_end(void (*end)(void *arg), void *arg);

#endif
