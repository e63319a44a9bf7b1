/*
 * engine.h - a server's engine: a pure state machine, message in, messages out; no I/O, no clock, no thread.
 *
 * It holds the directory of the folders of one server (directory.h, uthash). What it is given, it owns: the memo of
 * a message it receives, until it sends it on or frees it. The same engine runs under memo-server and, many in one
 * process, under the seeded scheduler of the tests.
 *
 * Three protocols, differing in how a strict skip or a join over several servers goes: in mpi-single there is one
 * server; in mpi-latch clients latch and link (latch.c); in mpi-chain servers pass it on in rank order (chain.c).
 */
#ifndef ENGINE_H
#define ENGINE_H

#include "libmemo/wire/message.h"

typedef struct engine engine_t;

/* What an engine is given to work with. */
typedef struct engine_io {
    /* Takes over message->memo; message->folders are read before it returns. `from` is filled in by the engine.
     * Never calls back. To a client that cannot be reached the memo goes back by a RETURN, or is freed. */
    void (*send)(void *arg, uint32_t to, const wire_message_t *message);
    /* Another memo with the same bytes; NULL: there is no memory. */
    wire_memo_t *(*copy)(void *arg, wire_memo_t *memo);
    /* A memo with these bytes, for STAT and EACH; NULL: there is no memory. */
    wire_memo_t *(*make)(void *arg, const void *bytes, size_t size);
    void (*free)(void *arg, wire_memo_t *memo);
    void *arg;
} engine_io_t;

/* Server `self` of `servers`, for `clients` clients. NULL: no memory. */
engine_t *engine_new(uint32_t self, uint32_t servers, uint32_t clients, const engine_io_t *io);

/* on_death=drop: what the dead had is dropped and counted, and does not go back. */
void engine_drops(engine_t *e);

/* What was redelivered so often, and would be again, goes to that folder instead; NULL: is dropped and counted. */
void engine_redelivers(engine_t *e, uint32_t most, const memo_folder_t *letters);

/* Frees everything, memos too. */
void engine_free(engine_t *e);

/* The memo passes to the engine. A message that makes no sense (sense.c) changes nothing: it is answered with
 * MEMO_EINVAL, or dropped. */
void engine_receive(engine_t *e, const wire_message_t *message);

/* All clients have said BYE, or died. */
bool engine_finished(const engine_t *e);

/* What it holds now: for tests, and for soaks that nothing may grow in. */
typedef struct engine_figures {
    uint64_t folders, memos, bytes, waiters; /* waiters: get structures linked */
    uint64_t requests;                       /* that are not over here */
    uint64_t latches;                        /* memos latched */
    uint64_t locked;                         /* folders locked by a chain */
    uint64_t deferred;                       /* messages that wait for a lock */
    uint64_t delayed;                        /* delayed puts held */
    uint64_t puts, takes, copies, redelivered, dropped, letters;
    uint64_t deaths;   /* clients that are gone without a BYE, with all that they had */
    uint64_t messages; /* to and from others, but for STAT and its answers */
    uint64_t strict_phases;
    uint64_t refused;  /* messages that made no sense */
    uint64_t unserved; /* folders that have a memo to give and a select that could have it: must be 0 */
} engine_figures_t;

void engine_look(const engine_t *e, engine_figures_t *figures);

#endif
