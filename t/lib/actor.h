/*
 * actor.h - one thread that does anything the interface allows, at random, and writes down what happened.
 *
 * The world is what all actors of a run share: folders by number, sizes, and the word to stop; it lies in shared
 * memory. An actor belongs to one thread. All it holds is written down in such a way that a kill at any instant
 * leaves a history that can be checked.
 */
#ifndef ACTOR_H
#define ACTOR_H

#include <stdatomic.h>

#include "t/lib/history.h"

enum {
    ACTOR_FOLDERS = 256, /* at most, in a world */
    ACTOR_SET = 48,      /* folders in a select, at most */
    ACTOR_HELD = 8,
    ACTOR_REQUESTS = 4,
    ACTOR_STARTED = 8,
    ACTOR_JOIN = 4
};

typedef struct actor_world {
    uint32_t folders;
    uint32_t common;   /* of them: those for everything; the others are the shuttle's */
    uint32_t max_size; /* of a memo */
    uint32_t servers;  /* that folders are spread over; 1 where there are none */
    bool polls;        /* also through memo_fd() */
    bool closes;       /* a handle with one thread is now and then closed and opened anew */
    bool forever;      /* also calls without a timeout: somebody must put memos when all stand still */
    char uri[256];
    memo_folder_t names[ACTOR_FOLDERS];
    uint64_t limits[ACTOR_FOLDERS]; /* of memos; 0 is none */
    _Atomic bool stop;
    _Atomic uint64_t steps;     /* of all actors */
    _Atomic uint64_t slowest;   /* nanoseconds that a call took beyond its timeout */
    _Atomic uint32_t slow_kind; /* of that call: 100 * when + history_kind */
    _Atomic uint64_t full;      /* memo_alloc answered MEMO_EFULL */
} actor_world_t;

typedef struct actor_held {
    memo_t *m;
    history_record_t *take; /* NULL for a copy */
} actor_held_t;

typedef struct actor_request {
    memo_request_t *r;
    history_record_t *record;
} actor_request_t;

typedef struct actor {
    memo_space_t *space;
    actor_world_t *world;
    history_t *h;
    history_tape_t *tape;
    bool closes;         /* the handle is its own: it is closed now and then, and opened anew */
    bool shuttles;       /* of all actors one: see actor_do_shuttle() */
    uint32_t shuttle_at; /* the folder of its memo, 0 for none */
    uint64_t random;
    uint64_t memos; /* in the space, as far as known */
    unsigned full;  /* steps in which nothing is put, because there was no room */
    unsigned steps;
    actor_held_t held[ACTOR_HELD];
    unsigned n_held;
    actor_request_t requests[ACTOR_REQUESTS];
    unsigned n_requests;
    history_record_t *started[ACTOR_STARTED];
    unsigned n_started;
    uint32_t numbers[ACTOR_SET];
    memo_folder_t names[ACTOR_SET];
} actor_t;

/* Folders with names of all kinds, some of them limited (in the space, too, when it is not NULL). */
void actor_world(actor_world_t *world, const char *uri, uint32_t folders, uint32_t max_size);
int actor_set_limits(actor_world_t *world, memo_space_t *space, bool limited);

void actor_begin(actor_t *a, actor_world_t *world, memo_space_t *space, history_t *h, history_tape_t *tape,
                 uint64_t seed);
/* One operation. False when the history is full: it was not done. */
bool actor_step(actor_t *a);
/* Requests are cancelled, started puts flushed, held memos freed. False when the history was too small for it. */
bool actor_end(actor_t *a);
/* Closes the handle with memos in hand, and opens it again. False when it could not. */
bool actor_reopen(actor_t *a);

/* Single operations, for a parent that rings, drains, and does plain traffic. */
int actor_put_plain(actor_t *a, uint32_t folder, size_t size);
int actor_take_plain(actor_t *a, uint32_t folder, int64_t timeout_ns); /* 0: a skip; the memo is freed */
int actor_take_keep(actor_t *a, uint32_t folder);                      /* a skip; the memo stays in hand */
/* A memo into every folder. */
bool actor_ring(actor_t *a);
/* Takes all there is, with what waits for triggers. Limits are to be lifted before. */
bool actor_drain(actor_t *a);

/* ---- between actor.c, actor_put.c and actor_select.c ------------------------------------------------------- */

uint32_t actor_below(actor_t *a, uint32_t n);
/* Whether it is one of the times, about a second apart, at which everybody puts until the space is full. */
bool actor_flood(void);
uint32_t actor_folder(actor_t *a);
int64_t actor_timeout(actor_t *a); /* never forever */
bool actor_room(actor_t *a);
/* Ends a record, and notes how long the call took. */
void actor_ended(actor_t *a, history_record_t *r, int result, uint64_t ret);
/* What was taken is examined and written down; it is in hand then. */
void actor_took(actor_t *a, history_record_t *r, memo_t *m, uint64_t ret);
/* One of the memos in hand is freed, put or replaced. */
void actor_finish(actor_t *a, unsigned which, bool free_it);
void actor_hold(actor_t *a, memo_t *m, history_record_t *take);
void actor_flush(actor_t *a);
void actor_cancel(actor_t *a, unsigned which);

void actor_do_put(actor_t *a);
void actor_do_select(actor_t *a);
void actor_do_join(actor_t *a);
void actor_do_start(actor_t *a);
void actor_do_request(actor_t *a);
/*
 * Of two folders that are for this alone one holds a memo at every instant: the actor that shuttles puts into the
 * one before it takes from the other. All others look into both by strict skips.
 */
void actor_do_shuttle(actor_t *a);

/* The bytes of a memo: its name first, then a sum of the others. */
void actor_fill(void *data, size_t size, uint64_t name, uint64_t random);
void actor_rename(void *data, uint64_t name);
/* Whether they are as they were made; *name is what stands there, 0 for a token. */
bool actor_examine(const void *data, size_t size, uint64_t *name);

#endif
