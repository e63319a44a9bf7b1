/*
 * wedge.h - for the case that a test does not come to its end: it says who waits where, and leaves no space behind.
 */
#ifndef WEDGE_H
#define WEDGE_H

#include "t/lib/history.h"

/* What the wedge guard (tap_timeout) is to report and remove from now on; the history may be NULL. */
void wedge_watch(const char *uri, const history_t *h, uint64_t seed);

/* Reports at once: the seed, every thread of this process and its children, every operation that was not ended. */
void wedge_report(void);

#endif
