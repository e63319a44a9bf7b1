/*
 * message.h - the messages of the MPI backends: what clients and servers say to one another (DESIGN section 7).
 *
 * Peers are numbered: servers 0 to S-1, then clients S to S+C-1. Between two peers messages arrive in the order in
 * which they were sent, once each; between different pairs there is no order. Every request carries an identifier
 * that its client has never used before; every answer, and every message that belongs to the request, repeats it.
 *
 * Whatever a client asks is answered exactly once per server asked, except that RELEASE discards an answer still
 * withheld, and that who has left is told nothing. codec.h has the bytes.
 */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmemo/memo.h"

typedef enum wire_type {
    WIRE_NOTHING = 0,

    /* Client to server. Folders are in the order of the select's choice. */
    WIRE_PUT,    /* folder, then the one that the memo was taken from, if any; memo; flag WAIT: wait for room ->
                    ANSWER OK, or with the memo, and where it was taken from: EFULL, ECANCELED (between nodes the
                    memo stays where it is, and the client says RECEIVED) */
    WIRE_RETURN, /* folder, memo: to the head of its queue, marked when flag REDELIVERED -> ANSWER OK unless
                    NO_ANSWER. number[0] not 0: the client that had it by the ANSWER of request number[1] and
                    index number[2]; without the memo, if that ANSWER's server still keeps it.
                    number[3] not 0: that client was bringing it to the receiver, by that request. Between nodes
                    it is answered with RECEIVED */
    WIRE_DELAY,  /* folders trigger, target, source as PUT; memo: to target's server, which reserves room -> ANSWER
                    OK, or EFULL with the memo, by the trigger's server once it is held (or has fired) */
    WIRE_SELECT, /* folders, all of this server; how -> ANSWER OK with memo and index, NONE, error, ECANCELED */
    WIRE_JOIN,   /* folders, all of this server -> n ANSWERs OK with memo and index; ECANCELED */
    WIRE_LATCH, /* folders, those of this server; how -> HELD, EMPTY, error; a WAIT is answered when there is one */
    WIRE_LINK,  /* the same for a strict skip's first phase: EMPTY leaves get structures linked */
    WIRE_UNLINK,  /* its second phase -> HELD, EMPTY */
    WIRE_ACCEPT,  /* what is held -> ANSWER OK with memo and index (a join's: n of them) */
    WIRE_RELEASE, /* ends the request at this server; no answer */
    WIRE_GATHER,  /* a join's folders of this server: latch one of each -> HELD; or EMPTY and nothing held */
    WIRE_WATCH,   /* a join's folders of this server -> EMPTY once they could all be had; nothing is held */
    WIRE_CHAIN,   /* a strict skip's or join's folders of all servers in rank order -> ANSWER */
    WIRE_CANCEL,  /* of SELECT, LATCH, JOIN, PUT: the answer now: ECANCELED, if nothing was given */
    WIRE_LIMIT,   /* folder, number[0] memos, number[1] bytes -> ANSWER OK or error */
    WIRE_COUNT,   /* folder -> ANSWER, number[0] memos, number[1] waiters */
    WIRE_STAT,    /* -> ANSWER, memo: a memo_stat_t's fields as codec_stat writes them */
    WIRE_EACH,  /* number[0] where to go on (0: begin) -> ANSWER, number[0] the same (0: the end), memo: records */
    WIRE_LEAVE, /* drops all of the client's requests -> ANSWER OK: no memo comes after it */
    WIRE_BYE,   /* the client has gone back to nobody -> ANSWER OK, the last message to it */
    WIRE_GONE,  /* number[0]: a peer that died; said by whoever found it, maybe more than once; no answer.
                   number[1] 1: what the client had will yet come back, from who says so; then it is said again with
                   0.  number[2] 1: by a server, of a server: it knows, and has no more to do with it (fallen.c) */
    /* GONE's number[3]: so many memos of the receiver's, the first ones, have arrived at the client, of another node */
    WIRE_RECEIVED, /* the memo of an ANSWER, taken from a folder of a server on another node, has arrived, or a
                      refusal has: request, index; no answer. A server says it of what a RETURN has brought: the
                      client that had it, request and index of the ANSWER */
    WIRE_DROP, /* RETURN's stead where on_death=drop: that memo is no more, and it comes along inside a node alone;
                  no answer */

    /* Server to client. */
    WIRE_ANSWER, /* result, index, memo */
    WIRE_HELD,   /* a memo is latched for the request */
    WIRE_EMPTY,

    /* Server to server. */
    WIRE_HOLD,      /* folders and memo of a DELAY: a delayed put whose room is reserved, to the trigger's server */
    WIRE_UNRESERVE, /* folder: it could not be held; number[0] bytes */
    WIRE_FIRE,      /* folder, memo: a delayed put fires into its target, or, with flag REDELIVERED, a memo goes to
                       the dead letters, marked; number[0] the cause -> FIRED */
    WIRE_FIRED,     /* number[0]: that, and all it caused, has taken effect */
    WIRE_NEXT,      /* a chain goes on: as CHAIN, `client` says whose; the folders of this server and later ones */
    WIRE_UNLOCK, /* the chain of `client` is over here; flag TAKE: its join takes effect: ANSWERs to the client */

    /* Quiet (quiet.h): clients with server 0, server 0 with all. */
    WIRE_IDLE, /* number[0] report, number[1] quiet requests asked, number[2] answers to them received, number[3]
                  QUIETs received */
    WIRE_WITHDRAW,  /* number[0] report -> WITHDRAWN, or QUIET if it is decided */
    WIRE_WITHDRAWN, /* number[0] report */
    WIRE_QUIET,     /* number[0] report: every participant waits and nothing is in flight */
    WIRE_PROBE,     /* number[0] round -> PROBED */
    WIRE_PROBED, /* number[0] round, number[1] asked, number[2] given, number[3] clients gone (a digest); result */
    WIRE_FREEZE, /* number[0] round -> FROZEN */
    WIRE_FROZEN, /* number[0] round; result OK, or NONE: something has changed */
    WIRE_COMMIT, /* number[0] round -> COMMITTED: quiet requests are done */
    WIRE_COMMITTED, /* number[0] round */
    WIRE_THAW,      /* number[0] round: it is not quiet */
    WIRE_AGAIN,     /* what this server last said of itself has changed */

    WIRE_TYPES
} wire_type_t;

enum {
    WIRE_WAIT = 1,         /* PUT: wait for room */
    WIRE_REDELIVERED = 2,  /* RETURN, FIRE: one redelivery more */
    WIRE_NO_ANSWER = 4,    /* RETURN: by who found the holder dead */
    WIRE_COPY = 8,         /* SELECT, LATCH, LINK, CHAIN: a copy */
    WIRE_UNTIL_QUIET = 16, /* SELECT, LATCH: takes part in quiet */
    WIRE_OLDEST = 32,      /* SELECT: choose the oldest, not the first listed */
    WIRE_TAKE_ALL = 64,    /* CHAIN, NEXT: a join; UNLOCK: it takes effect */
    WIRE_PHASE = 128,      /* counts as a phase of a strict skip (one message of each phase has it) */
    WIRE_STATISTICS = 256, /* an answer to STAT: not counted itself */
    WIRE_FLAGS = 511       /* all of them: no message has another */
};

/* How a SELECT, LATCH, LINK behaves when all is empty: message.how. */
typedef enum wire_how { WIRE_HOW_WAIT, WIRE_HOW_SKIP, WIRE_HOW_STRICT } wire_how_t;

/* A folder as a message names it. `index`: its place in the select, or in the join. */
typedef struct wire_folder {
    memo_folder_t name;
    uint32_t index;
} wire_folder_t;

/* A memo as the engines and stubs see it: whoever carries messages knows what it is (near.h, the simulation). */
typedef struct wire_memo wire_memo_t;

typedef struct wire_message {
    wire_type_t type;
    uint32_t flags;
    wire_how_t how;
    int32_t result;   /* MEMO_... */
    uint32_t from;    /* the peer that sent it; filled in by who sends */
    uint32_t client;  /* the peer whose request it is; filled in by who sends unless it speaks for another */
    uint64_t request; /* identifier; with `client` unique */
    uint32_t index;   /* ANSWER: of the folder that served it */
    uint32_t count;   /* folders */
    const wire_folder_t *folders;
    uint64_t number[4];
    wire_memo_t *memo; /* travels along: passes to the receiver; NULL none */
    uint64_t size;     /* of the memo */
    uint32_t redeliveries;
} wire_message_t;

/* Which server a folder belongs to: from the upper half of its hash, the table inside a server uses the lower. */
static inline uint32_t wire_server_of(const memo_folder_t *folder, uint32_t servers)
{
    return (uint32_t)(((folder->hash >> 32) * servers) >> 32);
}

/* What one message between a client and a server counts in the sums of quiet.c: sums of such are equal only if each
 * pair's number of messages is. */
static inline uint64_t wire_weight(uint32_t client, uint32_t server)
{
    uint64_t x = ((uint64_t)server << 32 | (client + 1u)) * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (x ^ (x >> 31)) | 1u;
}

#endif
