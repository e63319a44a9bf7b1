/* mpi-latch: selects over several servers, and the strict skip in two phases.
 *
 * A server that has an unlatched memo for a LATCH latches it where it lies and says HELD; a select that waits is linked
 * otherwise, in the order of arrival, and told HELD when a put or a release latches a memo for it; a skip is told EMPTY when
 * nothing is there, latched memos included, and until then waits linked. A copy holds a clone instead: copies never latch,
 * and wait where there are only latched memos. The client accepts the first HELD and releases the others at once. RELEASE
 * unlatches, and then the memo is the first waiter's; or unlinks; it has no answer.
 *
 * A strict skip asks LINK, which is answered as a skip's LATCH is except that what was told EMPTY stays linked, and is
 * told HELD at once when a memo is latched for it. When all have said EMPTY it asks UNLINK, which is told EMPTY, and
 * unlinked, when nothing is there. A HELD in either phase is accepted. One that crosses UNLINK is the answer to it.
 *
 * Were the memo latched silently until UNLINK asks, two strict skips could wait for one another, each for the answer
 * that the other's latch withholds, neither knowing that it has one. The other way out is not to withhold the answer to
 * LINK (LINK_NOT_WITHHELD): that is right too, since who is linked gets what is released. In UNLINK it must be withheld.
 *
 * What is checked, and how configurations are named: select.pml.
 */

#include "select.pml"
