/*
 * engines_sim.h - servers' engines and clients' stubs in one process, under a scheduler that a seed drives.
 *
 * Between any two peers there is a queue, first in first out. At each step the scheduler either delivers the head
 * of some queue or lets some thread of some client begin an operation. Time is counted in such events. Everything
 * that is drawn at random comes from the seed: a schedule can be run again, and run again with some of its
 * operations left out.
 *
 * The judge (engines_judge.c) knows where every memo is, because it sees every message: who has it, and from when
 * to when it was in its folder. What clients were told is also written into a history for the checker (history.h).
 */
#ifndef ENGINES_SIM_H
#define ENGINES_SIM_H

#include <setjmp.h>

#include "servers/engine.h"
#include "stubs/stub.h"
#include "t/lib/history.h"

enum {
    SIM_SERVERS = 4,
    SIM_CLIENTS = 5,
    SIM_PEERS = SIM_SERVERS + SIM_CLIENTS,
    SIM_THREADS = 4, /* of a client */
    SIM_FOLDERS = 8,
    SIM_SET = 6, /* folders in a select or join */
    SIM_OPS = 400,
    SIM_MEMOS = 1500,
    SIM_MESSAGE_FOLDERS = 12,
    SIM_HELD = 16,
    SIM_NAMES = 16, /* of folders, for each server */
    SIM_TEXT = 512
};

typedef enum sim_kind {
    SIM_PUT,
    SIM_PUT_WAIT,
    SIM_PUT_START, /* a put that its thread does not wait for */
    SIM_SELECT,
    SIM_JOIN,
    SIM_DELAY,
    SIM_LIMIT,
    SIM_COUNT,
    SIM_STAT,
    SIM_EACH,
    SIM_KINDS_OF_CALL,
    SIM_FREE = SIM_KINDS_OF_CALL, /* frees a memo in hand */
    SIM_RETURN,                   /* gives one back */
    SIM_CANCEL,
    SIM_LEAVE,
    SIM_DIE,
    SIM_FALL, /* a server dies */
    SIM_KINDS,
    /* what clients do by themselves */
    SIM_BACK = SIM_KINDS,
    SIM_LEAVING,
    SIM_BYE
} sim_kind_t;

typedef enum sim_owner { SIM_NOBODY, SIM_IN_ENGINE, SIM_IN_CLIENT, SIM_IN_MESSAGE } sim_owner_t;

/* What engines and stubs know as wire_memo_t. None is used twice in a schedule. */
struct wire_memo {
    uint32_t number;
    uint8_t owner, whose; /* sim_owner_t, and which engine or client */
    bool copy;            /* another's bytes */
    bool made;            /* by an engine: figures, records */
    bool fires;           /* put by a delayed put */
    bool delayed;         /* put by a delayed put, and not taken yet */
    bool returned;        /* given back without an answer: nobody knows since when it is there again */
    bool taken;           /* since it was last put or given back */
    bool orphan;          /* its putter died before he was told what came of it */
    bool cut_off;         /* by a death, on its way to one of the dead who took part in quiet */
    uint32_t heir;        /* 1 + the client that has died with it, before anybody knew; 0 none */
    bool cut;             /* by a death: on its way back */
    bool counts;          /* under way, in such a way that a select could be given it */
    uint64_t name, content, size;
    uint32_t folder, trigger;
    uint32_t redeliveries;
    bool plain;       /* put without waiting for room */
    uint64_t arrived; /* when that put was delivered */
    uint64_t fired;   /* when its trigger's server sent it on; 0 never */
    uint64_t head;    /* when it went back to the head of its folder; 0 never */
    uint32_t thread;  /* of all clients', that put it */
    uint32_t lives;   /* how often it was taken */
    int stay;         /* the open one, or -1 */
    char *bytes;
};

/* From when to when a memo was in its folder: at each instant t with from <= t < to. */
typedef struct sim_stay {
    uint32_t folder, memo;
    uint64_t from, to; /* to: UINT64_MAX while it is there */
} sim_stay_t;

/* A call of a client. */
typedef struct sim_op {
    stub_call_t call;
    sim_kind_t kind;
    uint32_t number; /* place among the operations of the schedule; what clients do by themselves has none */
    uint32_t client, thread; /* SIM_THREADS: no thread waits for it */
    bool begun, over, cancelled, quiet;
    bool asynchronous; /* its thread goes on meanwhile */
    int why;           /* it was cancelled with */
    uint32_t folders[SIM_SET], count;
    memo_folder_t names[SIM_SET];
    memo_select_t select;
    wire_memo_t *memo;        /* what it puts */
    uint32_t lives;           /* of that memo, before */
    history_record_t *record; /* of the take that a SIM_RETURN undoes */
    wire_memo_t *memos[SIM_SET];
    uint64_t memo_limit, byte_limit;
    uint64_t begin, end;
    uint64_t asked;               /* messages when it began */
    uint32_t given[SIM_SERVERS];  /* a join's memos */
    uint64_t held[SIM_SERVERS];   /* when that server said that it holds a memo; 0 never */
    uint64_t linked[SIM_SERVERS]; /* since when it waits there; 0 it does not */
} sim_op_t;

typedef struct sim_message {
    wire_message_t m;
    wire_folder_t folders[SIM_MESSAGE_FOLDERS];
    struct sim_message *next;
} sim_message_t;

typedef struct sim_queue {
    sim_message_t *first, *last;
    uint32_t length;
} sim_queue_t;

typedef enum sim_life { SIM_LIVES, SIM_CLOSING, SIM_LEAVES, SIM_SAYS_BYE, SIM_IS_GONE, SIM_IS_DEAD } sim_life_t;

typedef struct sim_thread {
    sim_op_t *waits; /* for this */
    uint32_t asynchronous;
    uint32_t tape;
    bool participates; /* in quiet */
    bool known;        /* and some server has heard of it */
} sim_thread_t;

typedef struct sim_held {
    wire_memo_t *memo;
    history_record_t *record; /* of its take; NULL for a copy */
} sim_held_t;

struct sim;

typedef struct sim_client {
    struct sim *sim;
    uint32_t number;
    stub_t *stub;
    sim_life_t life;
    sim_thread_t threads[SIM_THREADS];
    sim_held_t held[SIM_HELD];
    uint32_t n_held;
    uint32_t started; /* puts and gifts under way, that nobody waits for */
    uint32_t told_participants;
    bool told_busy;
    struct {
        const memo_folder_t *folder;
        wire_memo_t *memo;
    } backs[SIM_HELD]; /* to be given back, once the stub has returned */
    uint32_t n_backs;
    uint32_t asks;        /* LEAVE and BYE not answered yet */
    uint64_t answers_bye; /* servers that have answered BYE */
    bool in_after;
    uint64_t knows_dead; /* servers, that it knows to be dead */
    uint32_t finder;     /* of its death, a server */
    bool found_early;    /* before all that it sent has come */
    uint64_t told_gone;  /* servers that have been told of its death */
} sim_client_t;

typedef struct sim_server {
    struct sim *sim;
    uint32_t number;
    engine_t *engine;
    uint32_t owned;                 /* memos that it has */
    wire_memo_t *refused[SIM_HELD]; /* what it sent to the dead comes back before it hears anything else */
    uint32_t n_refused;
    uint32_t finder;    /* of its death, another server */
    bool found_early;   /* before all that it sent has come */
    uint64_t told_gone; /* servers that have been told of its death */
} sim_server_t;

typedef enum sim_protocol { SIM_SINGLE, SIM_LATCH, SIM_CHAIN } sim_protocol_t;

/* How the scheduler picks. */
typedef enum sim_bias {
    SIM_UNIFORM,
    SIM_STARVE,  /* some queues are hardly ever served */
    SIM_NEWEST,  /* the queue that was sent to last */
    SIM_BURSTS,  /* one queue until it is empty */
    SIM_EAGER,   /* many operations at once, then their messages */
    SIM_PATIENT, /* few operations at once */
    SIM_BIASES
} sim_bias_t;

typedef struct sim_plan {
    sim_protocol_t protocol;
    uint64_t seed;
    uint32_t operations;
    const uint8_t *skip; /* by operation: leave it out; or NULL */
    bool trace;
    /* Where not 0, what the seed would decide otherwise. */
    uint32_t servers, clients, threads, folders;
    int profile; /* -1: by the seed */
    bool spread; /* folder i on server i */
} sim_plan_t;

typedef struct sim {
    sim_plan_t plan;
    jmp_buf failed;
    char text[SIM_TEXT]; /* why it failed; "" it did not */
    uint64_t clock, messages, steps;
    uint64_t random; /* of the scheduler */
    uint64_t random_op;
    uint32_t servers, clients, threads, folders;
    uint32_t begun; /* operations, those left out too */
    sim_bias_t bias;
    uint32_t weight_begin; /* of 256 */
    uint8_t weights[SIM_KINDS];
    uint8_t percent_copy, percent_skip, percent_strict, percent_quiet, percent_local, percent_asynchronous;
    bool local;     /* every select and join is over folders of one server */
    bool limits;    /* operations change limits */
    bool no_memory; /* copies and answers fail now and then */
    bool ended;     /* engines are being freed */
    bool closing;   /* the schedule is over: things are brought to their end */
    memo_folder_t names[SIM_FOLDERS];
    uint32_t server_of[SIM_FOLDERS];
    uint64_t memo_limit[SIM_FOLDERS], byte_limit[SIM_FOLDERS]; /* as the servers know them */
    uint64_t history_limits[SIM_FOLDERS];
    sim_server_t server[SIM_SERVERS];
    uint64_t dead_servers;
    sim_client_t client[SIM_CLIENTS];
    sim_queue_t queues[SIM_PEERS * SIM_PEERS];
    uint64_t busy_low, busy_high; /* queues that are not empty, by number */
    uint32_t starved[4], n_starved, newest, burst;
    sim_message_t *free_messages;
    sim_message_t *messages_made[64];
    uint32_t n_messages_made;
    uint64_t waiting; /* messages in queues */
    sim_op_t ops[SIM_OPS];
    uint32_t n_ops;
    struct wire_memo memos[SIM_MEMOS];
    uint32_t n_memos;
    sim_stay_t stays[SIM_MEMOS * 2];
    uint32_t n_stays;
    uint32_t present[SIM_FOLDERS];    /* memos that are known to be there */
    sim_op_t *found[SIM_CLIENTS][64]; /* by request: see sim_find() */
    uint64_t last_quietable, quiet_verdicts;
    const wire_message_t *fire; /* the FIRE that is being dealt with */
    uint32_t counting;          /* memos under way that a select could be given */
    history_t *history;
    history_tape_t *tape; /* that records and sets lie in */
    history_tape_t *tapes[SIM_CLIENTS * SIM_THREADS + 2];
    /* What the whole run adds up to. */
    uint64_t results[8]; /* by result, -1: other errors at 7 */
} sim_t;

/* ---- engines_sim.c: a schedule ---- */

/* Room for schedules, used again and again. */
sim_t *sim_new(void);
void sim_delete(sim_t *s);

/* Runs one. False: it failed, and s->text says why. */
bool sim_run(sim_t *s, const sim_plan_t *plan);

/* What a schedule consists of, for those who run single operations. */
void sim_begin(sim_t *s, const sim_plan_t *plan);
void sim_end(sim_t *s); /* frees engines and stubs */
/* Delivers until nothing is under way. */
void sim_settle(sim_t *s);
void sim_drain_messages(sim_t *s);

uint64_t sim_draw(uint64_t *state);
uint32_t sim_below(uint64_t *state, uint32_t n);

_Noreturn void sim_fail(sim_t *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(const sim_t *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- engines_net.c: messages ---- */

extern const char *const sim_wire_names[WIRE_TYPES];

void sim_post(sim_t *s, uint32_t from, uint32_t to, const wire_message_t *message);
/* Delivers the head of that queue. */
void sim_deliver(sim_t *s, uint32_t queue);
/* The scheduler's choice among queues that are not empty. */
uint32_t sim_choose_queue(sim_t *s);
sim_message_t *sim_pop(sim_t *s, uint32_t queue);
void sim_recycle(sim_t *s, sim_message_t *message);
void sim_io(sim_t *s, uint32_t server, engine_io_t *io);
void sim_stub_io(sim_client_t *c, stub_io_t *io);
/* What is under way to a dead client goes back; `finder` is a server. */
void sim_undeliverable(sim_t *s, uint32_t finder, wire_memo_t *memo);

/* ---- engines_memos.c ---- */

wire_memo_t *sim_memo(sim_t *s, sim_owner_t owner, uint32_t whose, uint64_t size);
void sim_pass(sim_t *s, wire_memo_t *memo, sim_owner_t from, uint32_t whose, sim_owner_t to, uint32_t new_whose,
              const char *what);
void sim_check_memo(sim_t *s, const wire_memo_t *memo, sim_owner_t from, uint32_t whose, const char *what);
/* What engines are given; arg is the sim_server_t. */
wire_memo_t *sim_copy_memo(void *arg, wire_memo_t *memo);
wire_memo_t *sim_make_memo(void *arg, const void *bytes, size_t size);
void sim_drop_memo(void *arg, wire_memo_t *memo);
void sim_free_memo(sim_t *s, wire_memo_t *memo, sim_owner_t from, uint32_t whose);

/* ---- engines_work.c: what clients do ---- */

/* Begins one random operation; false when nobody can. */
bool sim_operate(sim_t *s);
sim_op_t *sim_op(sim_t *s, sim_kind_t kind, uint32_t client, uint32_t thread);
void sim_call(sim_t *s, sim_op_t *op);
bool sim_may_cancel(const sim_op_t *op);
void sim_cancel(sim_t *s, sim_op_t *op, int why);
/* The server that is asked where no folder says it. */
uint32_t sim_asked_server(const sim_t *s, const sim_op_t *op);
void sim_text_of(const sim_t *s, const sim_op_t *op, char text[SIM_TEXT]);

/* ---- engines_done.c ---- */

/* The stub says so. */
void sim_done(sim_t *s, sim_op_t *op);

/* ---- engines_life.c: how clients go ---- */

/* After each time a client was touched: gifts go back, the stub is told about quiet, leaving goes on. */
void sim_after(sim_t *s, sim_client_t *c);
void sim_leave(sim_t *s, sim_client_t *c);
void sim_die(sim_t *s, sim_client_t *c);
/* Those that find it now are told of a death. */
void sim_find_dead(sim_t *s);
/* `more`: what it had is yet to come back. */
void sim_tell_gone(sim_t *s, const sim_client_t *c, uint32_t from, uint32_t to, bool more);
uint32_t sim_participants(const sim_client_t *c);

/* ---- engines_fall.c: servers that die ---- */

void sim_fall(sim_t *s, uint32_t server);
bool sim_is_dead(const sim_t *s, uint32_t server);
/* Whether it cannot end but with MEMO_EPEER, or could before the death. */
bool sim_needs_dead(const sim_t *s, const sim_op_t *op);
/* One that lives. */
uint32_t sim_some_server(sim_t *s);
/* The memo goes with its server. */
void sim_lose(sim_t *s, wire_memo_t *memo);
/* Those servers that find it now are told of a server's death. */
void sim_find_fallen(sim_t *s);
/* Some clients, or all, learn of servers' deaths: whether one did. */
bool sim_learn_of_dead(sim_t *s, bool all);

/* ---- engines_judge.c ---- */

void sim_saw_send(sim_t *s, uint32_t server, uint32_t to, const wire_message_t *message);
void sim_saw_receive(sim_t *s, uint32_t server, const wire_message_t *message);
/* The call of that request, or NULL. */
sim_op_t *sim_find(sim_t *s, uint32_t client, uint64_t request);
void sim_record(sim_t *s, sim_op_t *op);
void sim_look_for_quiet(sim_t *s);
/* A server has it, and will not say since when it is in its folder. */
void sim_note_returned(sim_t *s, wire_memo_t *memo);
/* Nothing is under way. */
void sim_judge_rest(sim_t *s);
/* Everything was taken. */
void sim_judge_history(sim_t *s);

/* ---- engines_order.c: the judge, on order. The operation is that which the message belongs to, or NULL ---- */

void sim_order_receive(sim_t *s, uint32_t server, const wire_message_t *m, sim_op_t *op);
void sim_order_send(sim_t *s, uint32_t server, const wire_message_t *m, sim_op_t *op);
/* Before it is noted as taken. */
void sim_order_given(sim_t *s, uint32_t server, const sim_op_t *op, const wire_memo_t *memo);
void sim_order_put(sim_t *s, const sim_op_t *put);

#endif
