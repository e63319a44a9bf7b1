/*
 * growth.h - whether anything grows while a space over MPI lives long: figures that are noted now and then, when
 * the space should be as it was, and judged at the end.
 *
 * The figures are what memo_stat tells (bytes in use at each client's node, memos, folders, waiters, receivers) and
 * the memory of each process of the job that is its own, not shared. What a process keeps for use again comes in
 * the first quarter of the time. From the second quarter to the last no figure, taken as the median of its quarter,
 * may have grown by more than its slack.
 */
#ifndef GROWTH_H
#define GROWTH_H

#include "libmemo/memo.h"

typedef struct growth growth_t;

growth_t *growth_new(void);

/* Notes all figures, and says them in a diagnostic. The caller is the tester of an MPI job (ranks.h). */
void growth_note(growth_t *g, memo_space_t *space);

/* A check for each figure, if it was noted often enough to say anything. Frees g. */
void growth_judge(growth_t *g);

#endif
