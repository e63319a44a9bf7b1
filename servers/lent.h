/*
 * lent.h - what a server remembers of memos between it and a client of another node, so that each is in one place
 * when the client dies.
 *
 * A memo that was sent to the client as bytes is kept until the client says RECEIVED. When it dies, whoever repairs
 * it sends back what it had (RETURN, which names the ANSWER it came by), and what is still kept when all that has
 * come goes back too. What went back stays noted, for it may be sent back again: by the next one, if the repairer
 * dies.
 *
 * A memo that the client brings is kept by it until it is answered. Whoever finds it dead asks what has become of
 * it. Its requests come in the order of their numbers: so it is known which were here; and the refused ones are
 * noted, until the client has read that.
 */
#ifndef LENT_H
#define LENT_H

#include "libmemo/wire/message.h"

typedef struct lent_memo {
    struct lent_memo *next;
    uint64_t request; /* of the ANSWER; with its client and index unique */
    uint32_t index;
    uint32_t redeliveries;
    uint64_t serial; /* of what was lent */
    wire_folder_t from;
    wire_memo_t *memo; /* NULL: it went back, or was never lent */
    bool refused;      /* it is the client's: what it brought by the request was refused */
    bool owed;         /* it was passed on to another server, which has not got it yet */
} lent_memo_t;

/* Of one client, in the order of sending: that is nearly the one in which they arrive. */
typedef struct lent {
    lent_memo_t *first, **end;
    uint64_t lent, arrived; /* memos lent, ever; of them so many, the first, have arrived, though it was not said */
    uint64_t brought;       /* the last request by which it has brought a memo; 0 none */
    bool closed;            /* it brings no more: what was on its way here has gone back */
    uint32_t owed;
} lent_t;

/* Whether that message takes a memo out of a folder. A copy needs no keeping. */
static inline bool lent_by(const wire_message_t *message)
{
    return message->type == WIRE_ANSWER && message->result == MEMO_OK && message->count > 0 &&
           message->memo != NULL;
}

void lent_init(lent_t *l);

/* Keeps the memo of a message that was sent. */
void lent_keep(lent_t *l, const wire_message_t *message);

/* What is noted of an ANSWER; NULL: nothing. */
lent_memo_t *lent_find(lent_t *l, uint64_t request, uint32_t index);

/* Takes it out: the caller's, to free(), and its memo too. */
lent_memo_t *lent_cut(lent_t *l, uint64_t request, uint32_t index);

/* The next that has arrived, and neither was given back nor said to have come: NULL none. */
lent_memo_t *lent_cut_arrived(lent_t *l);

/* Notes that what was taken by that ANSWER went back. */
lent_memo_t *lent_note_back(lent_t *l, uint64_t request, uint32_t index);

/* A memo comes: false if it is not to come any more. */
bool lent_brings(lent_t *l, uint64_t request);
/* One was refused; until the client has read that. */
void lent_refused(lent_t *l, uint64_t request);

/* Whether a memo that the client, dead now, was bringing by that request is the client's still: it was refused, or
 * was not here yet, and then it is not to come any more. */
bool lent_still_his(lent_t *l, uint64_t request);

/* It went to another server, and is there. */
void lent_owe(lent_t *l, lent_memo_t *kept);
void lent_paid(lent_t *l, uint64_t request, uint32_t index);

/* So many have arrived in the life of the client, who is dead. */
void lent_arrived(lent_t *l, uint64_t count);

/* The first that was not given back, and has not arrived; NULL: there is none. */
lent_memo_t *lent_first(const lent_t *l);

#endif
