/*
 * bridge.h - memo_fd: a descriptor that can be read from while requests of a handle are complete, and a thread of
 * the handle's own that sees to it while no other thread looks.
 *
 * All but the joining happens under the handle's mutex.
 */
#ifndef BRIDGE_H
#define BRIDGE_H

#include <pthread.h>
#include <stdbool.h>

typedef struct bridge {
    int event; /* -1: nobody has asked for it */
    bool runs;
    bool stop; /* set by who ends it, read by the thread */
    pthread_t thread;
} bridge_t;

void bridge_init(bridge_t *b);

/* The descriptor, made if there is none: then run(arg) is started too. Or an error, with a sentence. */
int bridge_fd(bridge_t *b, void *(*run)(void *arg), void *arg);

/* Whether there is anything to be collected. */
void bridge_show(const bridge_t *b, bool any);

/* Waits for the thread, which was told to stop, if there is one. Without the mutex. */
void bridge_join(bridge_t *b);

/* Closes the descriptor; in the child of a fork too, which has no such thread. */
void bridge_close(bridge_t *b);

#endif
