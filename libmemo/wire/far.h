/*
 * far.h - messages between nodes: what carries an encoded message to a process of another node. One implementation
 * now, plain MPI messages (mpi_send.c, transport=send); postboxes are to be another.
 *
 * Between two processes messages arrive whole, once, and in the order in which they were sent. Sending never waits
 * for the receiver: what cannot go at once is queued. Nobody interrupts: whoever has a far link polls it, for
 * sending too. Thread safety: none; whoever uses it has a lock.
 */
#ifndef WIRE_FAR_H
#define WIRE_FAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct far far_t;

/* The longest head: more than any encoded message has. */
#define FAR_HEAD_MAX ((size_t)16 << 20)

/* A message has two parts, the encoded message and a memo's bytes, so that neither needs copying together. */
typedef struct far_ops {
    const char *name; /* transport= */
    /*
     * Both parts are copied before it returns. MEMO_OK; anything else, and nothing was sent: MEMO_ENOMEM;
     * MEMO_EINVAL, a head longer than FAR_HEAD_MAX; MEMO_EPEER, the peer was forgotten, or the link to it has
     * failed. May be called out of place and deliver.
     */
    int (*send)(far_t *f, uint32_t peer, const void *head, size_t head_size, const void *body, size_t body_size);
    /*
     * Lets what is under way go on, and delivers what has arrived. `place` is asked where body_size bytes of a
     * message's body should go, unless they are 0 (NULL: nowhere; they are dropped, and `deliver` is called with
     * body NULL and body_size as it was); then `deliver`, once all is there. `head` is valid during the call.
     * Answers whether anything moved. Called out of place or deliver it does nothing.
     */
    bool (*poll)(far_t *f);
    /* Whether anything that was sent has not left yet; what was sent to the forgotten does not count. */
    bool (*sending)(const far_t *f);
    /*
     * The peer is dead: what is queued for it and what has come of it in part are dropped, and nothing more is sent
     * to it or received from it. For what `place` has given, `drop` is called.
     */
    void (*forget)(far_t *f, uint32_t peer);
    /* What has not left is dropped, as is what has not been delivered. Not out of place or deliver. */
    void (*close)(far_t *f);
} far_ops_t;

typedef struct far_user {
    void *(*place)(void *arg, uint32_t peer, const void *head, size_t head_size, size_t body_size);
    void (*deliver)(void *arg, uint32_t peer, const void *head, size_t head_size, void *body, size_t body_size);
    /* The message that body was the place for will not come: it is the user's again. NULL: there is nothing to do.
     */
    void (*drop)(void *arg, uint32_t peer, void *body, size_t body_size);
    void *arg;
} far_user_t;

struct far {
    const far_ops_t *ops;
    far_user_t user;
};

#endif
