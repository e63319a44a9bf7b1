/*
 * loop.h - a server at work: its engine (engine.h), and what carries the engine's messages, inside the node
 * (near.h) and between nodes (far.h).
 */
#ifndef LOOP_H
#define LOOP_H

#include "libmemo/wire/far.h"
#include "libmemo/wire/launch.h"
#include "libmemo/wire/near.h"

/*
 * Serves until all clients have said BYE, or died. `mailbox`: the party that receives, used by nobody else;
 * `peers`: the mailboxes of the others on this node. `far`: the link to peers of other nodes, NULL when there are
 * none; the loop takes its user's place. node's user_arg must be settable: its user functions are dead.h's.
 * MEMO_OK, MEMO_ENOMEM.
 */
int loop_serve(launch_t *launch, node_t *node, self_t *mailbox, const near_peer_t peers[], far_t *far);

#endif
