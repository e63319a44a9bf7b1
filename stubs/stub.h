/*
 * stub.h - the client halves of the MPI backends: a pure state machine like the engines', one for each client
 * process. Calls begin, messages come, calls end.
 *
 * Thread safety: none; whoever uses it has a lock (stubs/space.c).
 */
#ifndef STUB_H
#define STUB_H

#include "libmemo/wire/message.h"

typedef enum stub_protocol { STUB_SINGLE, STUB_LATCH, STUB_CHAIN } stub_protocol_t;

typedef struct stub stub_t;
typedef struct stub_call stub_call_t;

typedef struct stub_io {
    /* As engine_io's. `to` is a server. MEMO_OK; anything else: it was not sent and the memo is still the caller's.
     */
    int (*send)(void *arg, uint32_t to, const wire_message_t *message);
    /* A memo that nobody waits for any more: it goes back to the head of the folder, unmarked. */
    void (*back)(void *arg, const memo_folder_t *folder, wire_memo_t *memo);
    /* The call is over: result, index and memos stand in it. */
    void (*done)(void *arg, stub_call_t *call);
    void *arg;
} stub_io_t;

/* One call: the caller's memory, cleared but for `user` and `memos` before it begins; the stub's until it is done.
 */
struct stub_call {
    int result;        /* MEMO_PENDING until it is done */
    uint32_t index;    /* which folder served it */
    wire_memo_t *memo; /* what it was given; a PUT's or DELAY's: given back because it was refused */
    uint64_t size;     /* of that */
    bool from_known;   /* the memo was taken out of `from` */
    memo_folder_t from;
    wire_memo_t **memos; /* a join's, by index: an array of the caller's, cleared */
    uint64_t number[4];  /* of the answer: COUNT, EACH */
    void *user;
    /* The stub's own. */
    uint64_t request;
    int kind, state;
    int missed; /* a join's: why one of its memos did not come; 0 they do */
    int why;    /* what it ends with when it is cancelled before it is served */
    bool cancelled, quiet, told;
    uint64_t reported; /* the report it was first in; 0 none */
    uint32_t server;   /* a call of one message's */
    uint32_t trigger;  /* a DELAY's trigger's server + 1; 0: it is none */
    wire_how_t how;
    uint32_t flags;
    wire_folder_t
        *folders; /* by server in rank order, within that in the order of choice; NULL: one message was enough */
    uint32_t count, parts_count;
    struct stub_part *parts;
    uint32_t chosen, waiting, got;
    stub_call_t *next_quiet, *previous_quiet;
};

/* The client that is peer servers + client. NULL: no memory. */
stub_t *stub_new(stub_protocol_t protocol, uint32_t client, uint32_t servers, const stub_io_t *io);
void stub_free(stub_t *s);

/* Each begins a call, which may be done before it returns. A result other than MEMO_OK: it has not begun, done() is
 * not called, memos are still the caller's. */
int stub_put(stub_t *s, stub_call_t *call, const memo_folder_t *folder, wire_memo_t *memo, bool wait);
int stub_return(stub_t *s, stub_call_t *call, const memo_folder_t *folder, wire_memo_t *memo, bool redelivered);
int stub_delay(stub_t *s, stub_call_t *call, const memo_folder_t *trigger, const memo_folder_t *target,
               wire_memo_t *memo);
/* MEMO_ROTATE: `start` is the index to start with. */
int stub_select(stub_t *s, stub_call_t *call, const memo_select_t *select, uint32_t start);
/* call->memos has n places. */
int stub_join(stub_t *s, stub_call_t *call, const memo_folder_t folders[], uint32_t n);
/* LIMIT, COUNT, STAT, EACH, LEAVE, BYE: as the message says; `server` where it does not follow from the folder. */
int stub_ask(stub_t *s, stub_call_t *call, wire_type_t type, uint32_t server, const memo_folder_t *folder,
             const uint64_t number[4]);

/* Ends the call, with result `why` unless it is served: at once, or when the servers have said so. */
void stub_cancel(stub_t *s, stub_call_t *call, int why);

/* That server has died. Calls that need it are over, with MEMO_EPEER: others let go of what they hold for them; and
 * none begins. One that waits until quiet needs them all. */
void stub_server_died(stub_t *s, uint32_t server);

/* A message of a server. Its memo passes to the stub. */
void stub_receive(stub_t *s, const wire_message_t *message);

/*
 * Quiet. The client waits when each of its participants does. Tell the stub how many there are, whenever that
 * changes: a thread that takes part is one, whether it waits or not; a started request that was not collected yet
 * is one, in place of the thread that would wait for it; a client in which nobody has taken part yet has one, who
 * does not wait. `busy`: puts that were started are under way. The client is idle when as many until-quiet calls
 * wait as there are participants. A stub begins with 1 participant.
 */
void stub_quiet(stub_t *s, uint32_t participants, bool busy);

/* Calls not over yet. */
uint32_t stub_calls(const stub_t *s);

#endif
