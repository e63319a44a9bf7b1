/*
 * memo_tag.h - output of several programs on one, in whole lines that say whose they are (memo run --tag).
 */
#ifndef MEMO_TAG_H
#define MEMO_TAG_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct tag_stream {
    int fd; /* what the program writes is read here; -1 when it has ended */
    int rank;
    FILE *to;
    size_t length;
    char line[8192];
} tag_stream_t;

/* A stream and, in *writer, the descriptor that the program is to write to. 0, or errno. */
int tag_open(tag_stream_t *stream, int rank, FILE *to, int *writer);

/* Passes on what can be read now. Lines longer than the buffer are cut. */
void tag_pass(tag_stream_t *stream);

/* Passes on what is left, an unfinished line too, and closes. */
void tag_close(tag_stream_t *stream);

#endif
