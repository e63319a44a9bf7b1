/*
 * meet.h - where the processes of one node of an MPI job meet: the node region, and everybody's mailbox in it. The
 * same for servers and clients; part of opening the space, after launch_join.
 */
#ifndef WIRE_MEET_H
#define WIRE_MEET_H

#include "libmemo/node/node.h"
#include "libmemo/wire/launch.h"
#include "libmemo/wire/near.h"

/*
 * Collective over all peers: opens the node's region, becomes a client of it (with the peer number as its rank),
 * makes its mailbox, and tells all where it is. peers[] has a place for each peer of the job: mailbox 0 for those
 * of other nodes. `user` must be what dead.h asks for; user_arg is set before anything can call it.
 *
 * All get MEMO_OK, or an error, with a sentence, when one of them failed; then there is nothing to close.
 * MEMO_EFULL (no room in /dev/shm, or for a party), MEMO_EINVAL (size= is too small), MEMO_EIO, MEMO_ENOMEM.
 */
int meet(launch_t *l, const node_user_t *user, void *user_arg, node_t *node, self_t **mailbox, near_peer_t peers[]);

#endif
