/*
 * engines_counts.h - what operations cost in messages when nobody disturbs them, on each protocol.
 */
#ifndef ENGINES_COUNTS_H
#define ENGINES_COUNTS_H

/* A check for each figure of the table in the heads of servers/latch.c and servers/chain.c. */
void check_counts(void);

#endif
