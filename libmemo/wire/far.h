/*
 * far.h - messages between nodes: what carries an encoded message to a process of another node. One implementation
 * now, plain MPI messages (mpi_send.c, transport=send); postboxes are to be another.
 *
 * Between two processes messages arrive whole, once, and in the order in which they were sent. Sending never waits for
 * the receiver: what cannot go at once is queued. Nobody interrupts: whoever has a far link polls it, for sending too.
 * Thread safety: none; whoever uses it has a lock.
 */
#ifndef WIRE_FAR_H
#define WIRE_FAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct far far_t;

/* A message has two parts, the encoded message and a memo's bytes, so that neither needs copying together. */
typedef struct far_ops {
    const char *name; /* transport= */
    /* Both parts are copied before it returns. MEMO_OK, or MEMO_ENOMEM and nothing was sent. */
    int (*send)(far_t *f, uint32_t peer, const void *head, size_t head_size, const void *body, size_t body_size);
    /*
     * Lets what is under way go on, and delivers what has arrived. `place` is asked where body_size bytes of a message's
     * body should go (NULL: nowhere; it is dropped, and `deliver` is called with body NULL and body_size as it was);
     * then `deliver`, once all is there. `head` is valid during the call. Answers whether anything moved.
     */
    bool (*poll)(far_t *f);
    /* Whether anything that was sent has not left yet. */
    bool (*sending)(const far_t *f);
    void (*close)(far_t *f);
} far_ops_t;

typedef struct far_user {
    void *(*place)(void *arg, uint32_t peer, const void *head, size_t head_size, size_t body_size);
    void (*deliver)(void *arg, uint32_t peer, const void *head, size_t head_size, void *body, size_t body_size);
    void *arg;
} far_user_t;

struct far {
    const far_ops_t *ops;
    far_user_t user;
};

#endif
