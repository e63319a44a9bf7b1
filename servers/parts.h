/*
 * parts.h - what the files of the engine share: the engine itself, requests, and who does what.
 *
 *   engine.c  messages in: dispatch, deferral, settling what has changed
 *   sense.c   which messages make sense
 *   put.c     puts, returns, limits, delayed puts
 *   select.c  selects: direct ones, and latched ones (mpi-latch; the table of messages stands there)
 *   join.c    joins
 *   chain.c   strict skips and joins that pass from server to server (mpi-chain; its table too)
 *   quiet.c   C17 across servers
 *   ask.c     counting, walking, leaving
 *   fallen.c  other servers that die
 *
 * A handler changes the directory and touches folders; it does not look who could be served now. Settling does,
 * once the handler is through: so nothing nests, and no list changes under who walks it.
 */
#ifndef PARTS_H
#define PARTS_H

#include "servers/directory.h"
#include "servers/engine.h"

/* A request that is not over here. */
typedef enum request_state {
    REQUEST_WAITS,  /* linked: waits for a memo; a skip, for latches to be resolved */
    REQUEST_LINKED, /* a strict skip's: told EMPTY, and linked */
    REQUEST_HELD,   /* told HELD: has latched memos, or a copy */
    REQUEST_ROOM,   /* a put that waits for room */
    REQUEST_CHAIN,  /* a chain that waits here for latches to be resolved; its folders are locked */
    REQUEST_PASSED  /* a chain that went on */
} request_state_t;

struct request {
    struct {
        uint64_t id;
        uint64_t client;
    } key;
    UT_hash_handle hh;
    request_t *next, *previous; /* of the client */
    wire_type_t type;
    uint32_t flags;
    wire_how_t how;
    request_state_t state;
    bool late;          /* it came after the freeze: quiet.c */
    entry_t *held;      /* what it latched */
    wire_memo_t *clone; /* a copy that is kept for it */
    uint64_t clone_size;
    uint32_t clone_index;
    uint32_t unseen;   /* a skip's folders that were not empty yet since it came */
    folder_t *lacking; /* a join's: the first that has not enough */
    folder_t *room;    /* a put's */
    request_t *next_room;
    wire_memo_t *memo;
    uint64_t size;
    wire_folder_t *all; /* a chain's: the folders of all servers */
    uint32_t all_count;
    uint32_t count;
    get_t gets[]; /* one for each of its folders here */
};

/* Who is to be told of what a message has caused. */
typedef struct causer {
    uint32_t to;      /* a client: ANSWER; a server: FIRED */
    uint64_t request; /* the client's */
    uint64_t parent;  /* the other server's cause */
    bool silent;      /* nobody is told */
} causer_t;

/* A put (or fire) whose answer waits until the delayed puts that it fired have taken effect, and what those fired:
 * the tree of Dijkstra and Scholten, each child acknowledged to its parent. */
typedef struct cause {
    struct cause *next;
    uint64_t id;
    causer_t by;
    uint64_t pending; /* fires under way */
    uint64_t at[];    /* of those, how many at each server */
} cause_t;

typedef struct client_state {
    request_t *requests;
    bool left, gone;       /* BYE; died */
    bool departed;         /* either, and nothing of it will come back any more: quiet does not wait for it */
    uint64_t asked, given; /* quiet.c */
} client_state_t;

/* What server 0 knows of a client: its last report. */
typedef struct report {
    bool valid;
    bool decided; /* it is quiet: he is to be told so */
    uint64_t number, asked, received;
    uint64_t verdicts; /* that he was or will be sent */
} report_t;

typedef enum { WAVE_NONE, WAVE_PROBING, WAVE_FREEZING, WAVE_COMMITTING } wave_state_t;

typedef struct wave {
    wave_state_t state;
    uint64_t round;
    uint32_t answers;
    uint64_t asked, given;
    bool spoiled; /* it is not quiet, or cannot be known */
    bool again;   /* something has changed since it began */
} wave_t;

struct engine {
    uint32_t self, servers, clients;
    uint32_t present; /* clients that have neither left nor died */
    engine_io_t io;
    directory_t directory;
    request_t *requests;
    client_state_t *client; /* by number - servers */
    cause_t *causes;
    uint64_t last_cause;
    deferred_t *own_first, *own_last; /* messages to itself */
    uint64_t locked;
    bool settling;
    bool drops;              /* on_death=drop */
    bool redelivers_limited; /* max_redeliveries= */
    uint32_t redelivers_most;
    memo_folder_t letters; /* dead_letters=; an invalid one: none */
    bool *fallen, some_fallen; /* servers that have died */
    bool *knows;               /* of each of those, by each server */
    engine_figures_t figures;  /* of those only what is counted up */
    /* quiet.c */
    bool frozen, told;
    uint64_t told_round, told_asked, told_given, told_digest;
    bool told_clean;
    report_t *reports; /* server 0's */
    wave_t wave;
};

/* ---- engine.c -------------------------------------------------------------------------------------------- */

void engine_send(engine_t *e, uint32_t to, const wire_message_t *message);

/* To a client, for its request: nothing is sent to who is gone, and a memo for him goes back to the folder that is
 * named with it, or is freed. */
void engine_tell(engine_t *e, uint32_t client, const wire_message_t *message);
void engine_answer(engine_t *e, uint32_t client, uint64_t request, int result);

/* The memo that a message brings goes back to its client, with where he had taken it from. */
void engine_refuse(engine_t *e, const wire_message_t *m, int result);

/* Where the memo of a PUT, DELAY or HOLD was taken from; NULL: from nowhere. */
const wire_folder_t *engine_source(const wire_message_t *m);

client_state_t *engine_client(engine_t *e, uint32_t peer);

/* The process's own memory, for what nobody could be refused any more: a server waits until there is some. */
void *engine_must_have(size_t bytes);
void engine_wait_for_memory(void);

/* Serves who can be served in the folders that were touched. */
void engine_settle(engine_t *e);

/* A new request of the message's client, with a get structure per folder of `count`; NULL: no memory. */
request_t *request_new(engine_t *e, const wire_message_t *m, uint32_t count);
request_t *request_find(engine_t *e, uint32_t client, uint64_t id);

/* Its client is answered, with its memo, if it is a put. */
void request_refuse(engine_t *e, request_t *r, int result);

/* It is over here: get structures, latches, copies, places in queues, locks go. */
void request_over(engine_t *e, request_t *r);

/* Its get structures go; what it was given stays. */
void request_unlink(engine_t *e, request_t *r);

/* Takes a select or join that waits for a lock out: that client's request; NULL: there is none. */
deferred_t *engine_undefer(engine_t *e, uint32_t client, uint64_t request);

/* It is cancelled once it has been dealt with. */
void engine_cancel_deferred(engine_t *e, uint32_t client, uint64_t request);
deferred_t *engine_undefer_any(engine_t *e, uint32_t client, bool puts_too);
void deferred_free(engine_t *e, deferred_t *d);

/* ---- sense.c --------------------------------------------------------------------------------------------- */

/* Whether its sender may send it, to this server, and what stands in it may. */
bool makes_sense(const engine_t *e, const wire_message_t *m);

/* It is counted, its sender told, and nothing has changed. */
void refuse_nonsense(engine_t *e, const wire_message_t *m);

/* ---- put.c ----------------------------------------------------------------------------------------------- */

void on_put(engine_t *e, const wire_message_t *m);
void on_return(engine_t *e, const wire_message_t *m);
void on_drop(engine_t *e, const wire_message_t *m);
void on_limit(engine_t *e, const wire_message_t *m);
void on_delay(engine_t *e, const wire_message_t *m);
void on_hold(engine_t *e, const wire_message_t *m);
void on_unreserve(engine_t *e, const wire_message_t *m);
void on_fire(engine_t *e, const wire_message_t *m);
void on_fired(engine_t *e, const wire_message_t *m);

/* Delayed puts that wait at the folder for that server's target: there is no such any more. */
void put_drop_delayed(engine_t *e, folder_t *f, uint32_t server);

/* What was fired there has no effect. */
void put_causes_lost(engine_t *e, uint32_t server);

/* Puts that wait for room come in, if there is: whether one did. */
bool put_room(engine_t *e, folder_t *f);

/* ---- select.c -------------------------------------------------------------------------------------------- */

void on_select(engine_t *e, const wire_message_t *m);
void on_unlink(engine_t *e, const wire_message_t *m);
void on_accept(engine_t *e, const wire_message_t *m);
void on_release(engine_t *e, const wire_message_t *m);
void on_cancel(engine_t *e, const wire_message_t *m);

/* Gives the folder's first free memo to who waits for it: whether it has gone. */
bool select_serve(engine_t *e, folder_t *f);

/* The folder is empty: skips that waited for that. */
void select_emptied(engine_t *e, folder_t *f);

/* Sends a memo of a folder to a client: it is taken. */
void select_give(engine_t *e, uint32_t client, uint64_t request, entry_t *entry, uint32_t index, uint32_t flags);

/* ---- join.c ---------------------------------------------------------------------------------------------- */

void on_join(engine_t *e, const wire_message_t *m);
void on_gather(engine_t *e, const wire_message_t *m);

/* Joins that waited for what came into the folder. */
void join_look(engine_t *e, folder_t *f);

/* ---- chain.c --------------------------------------------------------------------------------------------- */

void on_chain(engine_t *e, const wire_message_t *m);
void on_unlock(engine_t *e, const wire_message_t *m);

/* The folder that it has locked has changed. */
void chain_look(engine_t *e, request_t *r);

/* The client has died. */
void chain_gone(engine_t *e, request_t *r);

/* A server that it needs has died. */
void chain_cut(engine_t *e, request_t *r);
bool chain_needs(const engine_t *e, const request_t *r, uint32_t server);

/* ---- quiet.c --------------------------------------------------------------------------------------------- */

void on_quiet(engine_t *e, const wire_message_t *m);

/* Whether a request must not be given anything now: it is about to be told that all is quiet. */
bool quiet_frozen(const engine_t *e, const request_t *r);

/* A client has died, and what it had will come back. */
void quiet_client_died(engine_t *e, uint32_t client);

/* A client has left or died, and that is all of it. */
void quiet_client_left(engine_t *e, uint32_t client);

/* A server has died: from now on there is no saying that it is quiet. */
void quiet_never(engine_t *e);

/* After each message: tells server 0 when what it was told is no longer so. */
void quiet_changed(engine_t *e);

/* ---- ask.c ----------------------------------------------------------------------------------------------- */

void on_count(engine_t *e, const wire_message_t *m);
void on_stat(engine_t *e, const wire_message_t *m);
void on_each(engine_t *e, const wire_message_t *m);
void on_leave(engine_t *e, const wire_message_t *m);
void on_bye(engine_t *e, const wire_message_t *m);
void on_gone(engine_t *e, const wire_message_t *m);

/* ---- fallen.c -------------------------------------------------------------------------------------------- */

void on_server_gone(engine_t *e, const wire_message_t *m);

bool server_fallen(const engine_t *e, uint32_t server);

/* Whether one of the folders was a dead server's. */
bool any_fallen(const engine_t *e, const wire_folder_t folders[], uint32_t count);

#endif
