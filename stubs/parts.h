/*
 * parts.h - what the files of the stub share.
 *
 *   stub.c        the table of calls, calls of one message, dispatch
 *   stub_latch.c  selects over several servers: latch, and strict skips in up to three phases
 *   stub_chain.c  strict skips and joins by chaining
 *   stub_join.c   joins
 *   stub_quiet.c  the client's part in quiet
 *   stub_dead.c   servers that die
 */
#ifndef STUB_PARTS_H
#define STUB_PARTS_H

#include "stubs/stub.h"

typedef enum call_kind {
    CALL_SIMPLE, /* one message, one answer */
    CALL_LATCH,
    CALL_STRICT,
    CALL_CHAIN,
    CALL_JOIN, /* one server: n answers */
    CALL_GATHER,
    CALL_CHAIN_JOIN
} call_kind_t;

enum {
    CALL_ASKED = 0,  /* waiting for answers */
    CALL_UNLINKING,  /* STRICT: the second phase */
    CALL_ACCEPTING,  /* something is held, and was accepted: it will come */
    CALL_CANCELLING, /* LATCH: every server is to say that it gave nothing */
    CALL_WATCHING    /* a join that waits at the server that had not enough */
};

#define NO_PART UINT32_MAX

/* A server concerned. */
typedef struct stub_part {
    uint32_t server;
    uint32_t first, count; /* of call->folders */
} stub_part_t;

enum { REPORT_NONE, REPORT_LIVE, REPORT_WITHDRAWING };

struct stub {
    stub_protocol_t protocol;
    uint32_t self, servers;
    stub_io_t io;
    stub_call_t **calls; /* by the low half of the request's identifier */
    uint32_t room, used; /* of the table; calls not over */
    uint32_t *spare;     /* places free */
    uint32_t spares;
    uint64_t begun;        /* the high half */
    bool *dead, some_dead; /* servers */
    /* stub_quiet.c */
    stub_call_t *quiet;
    uint32_t quiet_calls; /* until-quiet calls that wait */
    uint32_t participants;
    bool busy;
    int report_state;
    uint64_t report, asked, received; /* the last report's number; what was asked and received, ever */
    uint64_t reported_asked, reported_received;
    uint64_t verdicts; /* received */
};

/* ---- stub.c ---------------------------------------------------------------------------------------------- */

/* Enters the call into the table: it has a request identifier. MEMO_OK or MEMO_ENOMEM. */
int call_begin(stub_t *s, stub_call_t *call, call_kind_t kind);

/* It has not begun after all. */
void call_undo(stub_t *s, stub_call_t *call);

/* It is over: out of the table, and done() is called. */
void call_end(stub_t *s, stub_call_t *call, int result);

/* A message of the call to a server, with some of its folders. */
int call_send(stub_t *s, const stub_call_t *call, uint32_t server, wire_type_t type, uint32_t flags,
              const wire_folder_t *folders, uint32_t count);
int call_send_part(stub_t *s, const stub_call_t *call, uint32_t part, wire_type_t type, uint32_t flags);

/* Its folders by server: call->folders and call->parts. `start`: where the order of choice begins. MEMO_OK or
 * MEMO_ENOMEM. */
int call_group(stub_t *s, stub_call_t *call, const memo_folder_t folders[], uint32_t n, uint32_t start);

/* Which part that server is; NO_PART none. */
uint32_t call_part_of(const stub_call_t *call, uint32_t server);

/* The memo of an answer becomes the call's. */
void call_take(stub_call_t *call, const wire_message_t *m);

/* RELEASE to every part but that one. */
void call_release(stub_t *s, const stub_call_t *call, uint32_t but, uint32_t count);

/* A join's answer: its memo takes its place; ends the call with the last. One that names its folder and is an error
 * was given, but found no room here: the join fails once all have come, and its memos are where they were. */
void call_take_one(stub_t *s, stub_call_t *call, const wire_message_t *m);
bool call_brings_one(const wire_message_t *m);

/* ---- the others: begin (MEMO_OK, or an error and nothing has happened), a message, a cancel ------------------ */

int latch_begin(stub_t *s, stub_call_t *call);
void latch_receive(stub_t *s, stub_call_t *call, const wire_message_t *m);
void latch_cancel(stub_t *s, stub_call_t *call);

int chain_begin(stub_t *s, stub_call_t *call);
void chain_receive(stub_t *s, stub_call_t *call, const wire_message_t *m);

int gather_begin(stub_t *s, stub_call_t *call);
void join_receive(stub_t *s, stub_call_t *call, const wire_message_t *m);
void join_cancel(stub_t *s, stub_call_t *call);

/* Waits at the server that had not enough. */
void join_watch(stub_t *s, stub_call_t *call, uint32_t part);

/* The call waits until quiet; is served, or over. */
void quiet_add(stub_t *s, stub_call_t *call);
void quiet_drop(stub_t *s, stub_call_t *call);
/* Whether the cancel has to wait for server 0's word. */
bool quiet_cancel(stub_t *s, stub_call_t *call);
void quiet_receive(stub_t *s, const wire_message_t *m);
void quiet_look(stub_t *s);

/* Whether one of the servers without which the call cannot end has died. */
bool call_needs_dead(const stub_t *s, const stub_call_t *call);

/* The cancel, once it is no question of quiet any more. */
void call_cancel_now(stub_t *s, stub_call_t *call);

#endif
