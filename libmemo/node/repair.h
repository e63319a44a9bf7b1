/*
 * repair.h - what the dead leave behind.
 *
 * A repair has two parts. Voiding undoes or completes the one mutation that each party of the dead client was in
 * the midst of; it needs no lock but the client's repair lock, so whoever waits for a lock of the dead does it on
 * the spot, whatever he holds himself, and takes the lock over. The rest, giving back what the dead held and was
 * being sent, is made of ordinary mutations by somebody who holds nothing; a repairer that dies is repaired in
 * turn, and the next one goes on where he was. Closing a handle is the same second part, by the living.
 */
#ifndef REPAIR_H
#define REPAIR_H

#include "libmemo/node/node.h"

/* Whether the party of that id is gone or voided: a lock whose owner it is may be taken over. Voids it if it is
 * dead. */
bool repair_void(self_t *s, party_id_t owner);

/* Looks at all clients, if nobody has lately, and repairs the dead. With no lock held, outside a mutation. */
void repair_look(self_t *s, int64_t not_since_ns);

/* Gives back what a party has, of a client that is dead or closing, and frees its index. */
void repair_party(self_t *s, uint32_t index, bool drop);

/* All that a party has but its index: for the party itself. */
void repair_empty(self_t *s, uint32_t index, bool drop);

/* Frees the party's body and index with the boot log, so that a party may end itself. */
void repair_release(self_t *s, uint32_t index);

#endif
