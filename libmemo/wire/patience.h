/*
 * patience.h - how long who waits for messages of his node keeps his CPU before he sleeps on the bell.
 *
 * Waking somebody on another CPU takes some 50 us; looking at a word takes nothing, but the CPU. So it pays to look
 * for as long as waking takes when that often succeeds, and not at all when it does not: whether it does is
 * learned. It never pays while the one who is to send is on the same CPU, which every process tells of itself
 * (party_t's cpu), nor while somebody else wants the CPU: yielding tells.
 */
#ifndef WIRE_PATIENCE_H
#define WIRE_PATIENCE_H

#include "libmemo/node/node.h"

/* Zeroed at first. Used by one thread at a time. One for each kind of wait: what pays for one need not for another.
 */
typedef struct patience {
    uint32_t score;     /* above 0: looking has paid */
    uint32_t naps;      /* since it was tried, while it does not */
    uint32_t shared;    /* times that the CPU was shared */
    uint32_t strangers; /* waits in which the CPU is only given away by sleeping */
    int64_t awake_ns;   /* since when */
} patience_t;

/* Who the message is expected of. */
typedef struct patience_with {
    party_id_t mailbox; /* 0: there is no saying */
    bool asleep;        /* when it was sent what it is to answer */
} patience_with_t;

/* Looks until `ready` is true, or for as long as it may pay; answers whether it is. If not, it is time to sleep. */
bool patience_look(patience_t *p, self_t *s, patience_with_t with, bool (*ready)(void *arg), void *arg);

/* The caller has slept. */
void patience_slept(patience_t *p);

#endif
