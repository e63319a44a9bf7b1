/* mpi-chain: the strict skip that servers pass on in rank order.
 *
 * A server that gets a strict skip (CHAIN from the client, NEXT from a server) locks its folder; where it is locked already
 * the message waits with the others. Everything on a locked folder waits but ACCEPT and RELEASE; a RELEASE discards
 * the LATCH that waits. If an unlatched memo is there, the server takes it, answers, and the chain is over: it unlocks,
 * and so do those before it (UNLOCK). If only latched ones are, it waits for them, behind who was linked before. If
 * nothing is, it passes the skip on, or, being the last, answers NONE. All other selects are as in latch.pml.
 *
 * NEXT comes from another server, so it may arrive before the client's RELEASE of an earlier select does: a client may
 * have two requests at a server though it makes one call at a time.
 *
 * What is checked, and how configurations are named: select.pml.
 */

#define CHAINS

#include "select.pml"
