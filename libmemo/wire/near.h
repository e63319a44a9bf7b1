/*
 * near.h - messages inside a node: a message is a block in the node region, an *envelope*, that passes through the
 * slot list; a memo that travels along hangs on it. No bytes of a memo are copied, and MPI is not called.
 *
 * An envelope is a `struct memo` like any other to node/ (it is held, given, taken, and goes back when its holder
 * dies), with NEAR_ENVELOPE in its flags, the encoded message (codec.h) in its bytes, and the memo's offset as its
 * origin. A memo that a client has taken keeps the envelope it came in as *its* origin: that is where near_from and
 * repairs find the folder. Requests' envelopes are used again for their answers: in the steady state a server
 * allocates nothing.
 *
 * Where a memo goes back to, when whoever had it dies: to the first folder of the envelope that it keeps, or of the
 * ANSWER in which it was under way. A memo without either comes from nowhere, and is freed: one that was never put,
 * that an ANSWER without folders brings, or that a server held. So an ANSWER that takes a memo from a folder names
 * it, and so does one that refuses a memo that was taken from one; one with a copy names none.
 */
#ifndef WIRE_NEAR_H
#define WIRE_NEAR_H

#include "libmemo/node/hand.h"
#include "libmemo/wire/message.h"

#define NEAR_ENVELOPE 1u /* in struct memo's flags */

typedef struct near near_t;

/* Who reads a peer's messages on this node: its mailbox, a party. */
typedef struct near_peer {
    party_id_t mailbox; /* 0: the peer is not on this node */
} near_peer_t;

static inline wire_memo_t *near_wire(struct memo *m)
{
    return (wire_memo_t *)(void *)m;
}

static inline struct memo *near_memo(wire_memo_t *m)
{
    return (struct memo *)(void *)m;
}

/*
 * Sends a message from s's section to a mailbox: outside a mutation. Its memo, held by any party of this process,
 * or by a dead one that s repairs, goes along; on MEMO_OK it is no longer ours. What the message says of the memo's
 * redeliveries is written into the memo; its size is the memo's own. `reuse`: an envelope in s's hand to send it
 * in, if it is of a fitting size (then it is used up and *reuse is NULL), or NULL. MEMO_EFULL: no memory, nothing
 * happened. MEMO_EPEER: nobody reads the mailbox any more, nothing happened; the mailbox of somebody whose death
 * was not noticed yet still takes messages, and what is in them goes back.
 */
int near_send(self_t *s, party_id_t to, const wire_message_t *message, struct memo **reuse);

/*
 * Reads what is in s's own mailbox: for each message, `receive` is called, with no lock held and no mutation open.
 * The memo of the message is in s's hand then. An ANSWER's memo that comes from a folder keeps its envelope
 * already, and *envelope is NULL; any other message's envelope is in s's hand: receive sends in it, keeps it
 * (near_keep) or leaves it to be freed (*envelope not NULL when it returns). The message is valid until then.
 * Answers whether there was any.
 */
typedef void (*near_receive_t)(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg);
bool near_scan(self_t *s, near_receive_t receive, void *arg);

/* m, held, keeps the envelope (its first folder is where m was taken from), which leaves the hand. *envelope is
 * NULL then; if it was before, nothing happens. */
void near_keep(self_t *s, struct memo *m, struct memo **envelope);

/* An envelope for a memo that came from another node: as near_keep, with a message made for it. MEMO_OK,
 * MEMO_EFULL. near_origin_by: with client, request and index of the ANSWER it came by. */
int near_origin(self_t *s, struct memo *m, const memo_folder_t *folder);
int near_origin_by(self_t *s, struct memo *m, const wire_message_t *answer);

/*
 * As near_origin_by, of a memo that answer->from, a server of another node, has sent; by the mailbox's party, which
 * counts in the same step how many have come from each server (of the first 128): whoever finds us dead tells it.
 * near_count_arrival: one more came, and found no room.
 */
int near_arrive(self_t *s, struct memo *m, const wire_message_t *answer);
void near_count_arrival(self_t *s, uint32_t server);
uint64_t near_arrivals(body_t *mailbox, uint32_t server);

/* Where a held memo was taken from; false: from nowhere. */
bool near_from(const self_t *s, const struct memo *m, memo_folder_t *folder);

/* The client, request and index of the ANSWER by which a held memo was taken; false: that is not known. */
bool near_taken_by(const self_t *s, const struct memo *m, wire_message_t *answer);

/*
 * The bytes of a held memo travel to a server of another node from now on, by that request; with request 0, it is
 * wholly ours again. Who finds us dead meanwhile has to ask that server what has become of it: near_sent_by answers
 * the request, and the server, or 0. A memo that comes from nowhere would be freed then anyway: it is not noted.
 */
void near_sent(self_t *s, struct memo *m, uint32_t server, uint64_t request);
uint64_t near_sent_by(const self_t *s, const struct memo *m, uint32_t *server);

/* Frees a held memo, with the envelope it keeps. */
void near_free(self_t *s, struct memo *m);

/* Frees the envelope that a held memo keeps: it comes from nowhere now. */
void near_forget(self_t *s, struct memo *m);

/*
 * Nobody posts to the party's mailbox from now on but who has its section's lock already: before its mailbox is
 * emptied (node_user's cancel_requests).
 */
void near_shut(self_t *s, uint32_t index);

/*
 * For repairs, of what the dead held or were being sent: true if there is a memo to give back, with its folder; it
 * is in s's hand and keeps its envelope: near_send it, or near_free it. false: there is nothing, all of it was
 * freed. It may be called again after the death of a repairer, for what he left, wherever he left it.
 */
bool near_take_back(self_t *s, struct memo *m, struct memo **memo, memo_folder_t *folder);

#endif
