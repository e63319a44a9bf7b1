/*
 * tally.h - counts that outlive a run: how many kills there have been, of what sort, and how many faults were
 * found.
 *
 * A text file outside the tree, a line "WHAT COUNT" each: $MEMO_KILLS, else $XDG_STATE_HOME/libmemo/kills, else
 * ~/.local/state/libmemo/kills.
 */
#ifndef TALLY_H
#define TALLY_H

#include <stdbool.h>
#include <stdint.h>

/* Adds to the count of `what` (one word); *sum is it then. False, with a comment: the file cannot be written. */
bool tally_add(const char *what, uint64_t n, uint64_t *sum);

const char *tally_path(void);

#endif
