/*
 * lent.h - memos that a server has sent to clients of other nodes, as bytes, and keeps until it knows that they
 * have arrived: a client that dies before takes none along.
 *
 * The client says RECEIVED. When it dies, whoever repairs it sends back what it had (RETURN, which names the ANSWER
 * it came by), and what is still kept when all that has come goes back too. One that was given back so, for nobody
 * spoke of it in time, stays noted: should it come back after all, there would be two.
 */
#ifndef LENT_H
#define LENT_H

#include "libmemo/wire/message.h"

typedef struct lent_memo {
    struct lent_memo *next;
    uint64_t request; /* of the ANSWER; with its client and index unique */
    uint32_t index;
    uint32_t redeliveries;
    wire_folder_t from;
    wire_memo_t *memo; /* NULL: it has been given back */
} lent_memo_t;

/* Of one client, in the order of sending: that is nearly the one in which they arrive. */
typedef struct lent {
    lent_memo_t *first, **end;
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

/* Takes that of an ANSWER out: the caller's, to free(), and its memo too. NULL: it is not there. */
lent_memo_t *lent_cut(lent_t *l, uint64_t request, uint32_t index);

/* The first that was not given back; NULL: there is none. */
lent_memo_t *lent_first(const lent_t *l);

#endif
