/*
 * opening.h - what memo-server, and programs that bring a communicator, say to the opening that they begin. They
 * call memo_open, which knows nothing of it; so it stands here, the thread's own, until the backend's open reads
 * it.
 */
#ifndef WIRE_OPENING_H
#define WIRE_OPENING_H

#include <stdbool.h>

typedef struct opening {
    bool server;  /* this is memo-server: launch_join's `server` */
    bool any_uri; /* ... which was given no URI: launch_join's uri is NULL, whatever memo_open said */
} opening_t;

/* All false for a memo_open that a program called itself. (mpi_open.c) */
const opening_t *opening_now(void);

#endif
