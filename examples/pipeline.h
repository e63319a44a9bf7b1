/*
 * pipeline.h - what the three programs of the pipeline agree upon: names of folders, and the form of a batch.
 *
 *     pipeline-source FILE...    puts the text into "pipeline/lines" in batches of whole lines
 *     pipeline-filter PATTERN    keeps the lines that match; as many of them as you like, for as long as you like
 *     pipeline-sink              prints what is left, in order
 *
 * The three are started by different people, in any order, from different terminals (over MPI by one mpiexec, since
 * nobody can join later there); they have nothing in common but the space and this file. Several sources and sinks
 * may be at work at once: a source opens a run for its text, with a symbol of its own, and the batches of the run
 * go to the elements of that symbol's array.
 *
 * One memo carries a batch all the way. A filter marks the lines to be dropped in place, by a zero for the newline
 * at their end. A filter that is killed half-way has marked some; the batch is back in its folder at once, and the
 * next filter marks the others and those again. So filters may be killed at any time, and no line is lost or
 * doubled.
 */
#ifndef EXAMPLES_PIPELINE_H
#define EXAMPLES_PIPELINE_H

#include "example.h"

#include <getopt.h>
#include <string.h>

enum { BATCH = 64 * 1024, BATCHES_WAITING = 32 };

typedef struct batch {
    memo_symbol_t run;
    int64_t index; /* in the run */
    int64_t size;  /* of the text behind this */
} batch_t;

static inline char *batch_text(batch_t *batch)
{
    return (char *)(batch + 1);
}

/* Up to the newline, or the mark that stands in its place. */
static inline size_t line_length(const char *line)
{
    size_t length = 0;

    while (line[length] != '\n' && line[length] != '\0')
        length++;
    return length;
}

static inline memo_folder_t pipeline_lines(void)
{
    return memo_folder("pipeline/lines");
}

/* Who puts something here stops one filter: `memo put pipeline/stop ''`. */
static inline memo_folder_t pipeline_stop(void)
{
    return memo_folder("pipeline/stop");
}

/* Symbols of runs that no sink has taken on yet. */
static inline memo_folder_t pipeline_runs(void)
{
    return memo_folder("pipeline/runs");
}

static inline memo_folder_t pipeline_out(memo_symbol_t run, int64_t index)
{
    return memo_folder_at(run, 1, &index);
}

/* How many batches the run has: put when the source knows. */
static inline memo_folder_t pipeline_end(memo_symbol_t run)
{
    return memo_folder_at(run, 0, NULL);
}

#endif
