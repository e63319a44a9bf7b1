/*
 * engines_alone.h - one engine, by itself: it is handed messages, and what it sends is noted, and gone.
 */
#ifndef ENGINES_ALONE_H
#define ENGINES_ALONE_H

#include "servers/engine.h"

enum {
    SERVERS = 3,
    CLIENTS = 4,
    PEERS = SERVERS + CLIENTS,
    NAMES = 3 /* of folders, for each server */
};

enum { A = SERVERS, B, C }; /* clients */

struct wire_memo {
    uint64_t number, size;
};

extern engine_t *alone;
extern uint32_t alone_self;                       /* which server it is */
extern memo_folder_t alone_names[SERVERS][NAMES]; /* those of each server */
extern uint64_t alone_random;                     /* the state of chance */
extern uint64_t alone_made, alone_alive;          /* memos */

/* What was last sent, and to whom. */
extern struct alone_sent {
    uint32_t count, to;
    wire_type_t type;
    int32_t result;
    uint64_t memo; /* its number */
} alone_sent;

uint64_t alone_draw(void);
uint32_t alone_below(uint32_t n);
wire_memo_t *alone_memo(void);
uint64_t alone_number(const wire_memo_t *m);

/* A new engine, empty. */
void alone_begin(uint32_t server);

uint64_t alone_refused(void);
uint64_t alone_deferred(void);
uint64_t alone_locked(void);

/* Whether a message of that type does. */
bool alone_brings_memo(wire_type_t type);

/* A message about one folder; with a memo, if it is a PUT. */
void alone_receive(wire_message_t m, uint32_t from, uint32_t server, uint32_t folder);

/*
 * At server 1: memos in its folders 0 and 1; a put of client A that waits for room in folder 1 (request 1); a chain
 * of client B that has gone on (request 1), over its folder 2.
 */
void alone_fill(void);

#endif
