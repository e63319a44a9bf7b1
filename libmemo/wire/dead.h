/*
 * dead.h - what becomes of what a dead process of the node had, in the MPI backends: the layer's part of a repair
 * (node_user_t), the same in clients and servers.
 *
 * Any process of the node may be the one that finds it dead, and repairs it (repair_look, on ticks, by any thread
 * that holds no lock). A memo that the dead held, or that was under way to it, goes back to its folder's server
 * with a RETURN (NO_ANSWER, REDELIVERED), or with a DROP where its client was to take it with it; then all servers
 * are told that it is GONE. What a dead server held is freed: its folders are gone.
 *
 * A server of another node knows more of what the dead had from it or were sending to it: whether a memo that was
 * on its way there has arrived, is for it to say, and so the RETURN goes there first, and it drops what is to be
 * dropped. Because a message to another node may be lost with who sends it, GONE is said again there of all that
 * have died on this node.
 *
 * A process of the MPI half opens its node with its peer number as node_options.rank, and sets node_t.user_arg to a
 * dead_t; its node_user_t has these functions in it (dead_node_user, or one with more thread-local state).
 */
#ifndef WIRE_DEAD_H
#define WIRE_DEAD_H

#include "libmemo/node/node.h"
#include "libmemo/wire/message.h"

typedef struct dead {
    uint32_t servers; /* peers below this are servers */
    uint32_t self;    /* this process's peer number */
    /*
     * Sends to a server what a repair has to say, by way of this process's mailbox party; by whatever thread
     * repairs, whose party is s. On MEMO_OK message->memo, in s's hand, is taken over; it keeps its envelope:
     * near_send it, near_free it once its bytes have arrived, or keep it for later. MEMO_EFULL: it is tried again.
     * Anything else: the server cannot be reached. NULL: there is nobody left to tell; memos are freed.
     */
    int (*send)(self_t *s, uint32_t server, const wire_message_t *message, void *arg);
    /* Whether the server is on another node. NULL: none is. */
    bool (*is_far)(uint32_t server, void *arg);
    /* Peer `peer` was found dead, and its memos are back: maybe again for the same one. May be NULL. */
    void (*died)(uint32_t peer, void *arg);
    void *arg;
} dead_t;

extern const node_user_t dead_node_user;

/* The functions of node_user_t. */
void dead_self_gone(self_t *s);
void dead_cancel_requests(self_t *s, uint32_t index);
void dead_memo_back(self_t *s, offset_t memo, bool drop);
void dead_retire(self_t *s, uint32_t index);
void dead_client_gone(self_t *s, uint32_t client);

/* Gives back, as after a death, all that the threads of this process still hold: before it says BYE. */
void dead_give_back(self_t *s);

#endif
