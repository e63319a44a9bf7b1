/*
 * conform.h - the conformance suite: one function for each clause of the contract, and what they share.
 *
 * A clause's function gets a handle on a fresh space of the backend under test; peers_uri() names that space.
 * t/conform.c runs them all. Times are asserted in one direction only: never before; what takes longer than
 * PATIENCE is taken for a wedge.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include "libmemo/memo.h"
#include "t/lib/conform_peers.h"
#include "t/tap.h"

#include <pthread.h>
#include <stdatomic.h>

#define MS INT64_C(1000000)
#define PATIENCE (20000 * MS)

void c01_folders(memo_space_t *s);
void c02_put(memo_space_t *s);
void c03_exactly_once(memo_space_t *s);
void c04_copy(memo_space_t *s);
void c05_order(memo_space_t *s);
void c06_skip(memo_space_t *s);
void c07_alt(memo_space_t *s);
void c08_alt_skip(memo_space_t *s);
void c09_strict_alt_skip(memo_space_t *s);
void c10_time(memo_space_t *s);
void c11_delayed_put(memo_space_t *s);
void c12_join(memo_space_t *s);
void c13_close(memo_space_t *s);
void c13_waiting(memo_space_t *s);
void c13_holding(memo_space_t *s);
void c13_anywhere(memo_space_t *s);
void c13_drop(memo_space_t *s); /* on_death=drop */
#define LETTERS "dead-letters"
void c13_letters(memo_space_t *s); /* max_redeliveries=1&dead_letters=LETTERS */
void c13_spent(memo_space_t *s);   /* max_redeliveries=0 */
void c14_limits(memo_space_t *s);
void c14_refill(memo_space_t *s); /* this and those below: in a space of 4M */
void c14_drained(memo_space_t *s);
void c14_room(memo_space_t *s);
void c14_mixed(memo_space_t *s);
void c15_threads(memo_space_t *s);
void c16_bad_input(memo_space_t *s);
void c17_quiet(memo_space_t *s);
void c17_alone(memo_space_t *s); /* with no other client */
void c17_deaths(memo_space_t *s);
/* Beyond the clauses: calls whose contract stands in memo.h alone. */
void forms_of_put(memo_space_t *s);
void requests(memo_space_t *s);
void knowing(memo_space_t *s);
void names(memo_space_t *s);

/* ---- spaces (conform_spaces.c) ---- */

/* The backend under test: "scheme", or a whole URI whose name and options are taken over into every fresh one. */
void spaces_of(const char *backend);
/* A URI that no space has yet, with these options ("size=64M"), or with the size that tests have otherwise. The
 * space is removed when the program ends, however it ends. The text lives until the program ends. */
const char *space_fresh(const char *options);
/* Opens; a failure ends the test program. */
memo_space_t *space_open(const char *uri);
/* Starts the process that removes the spaces of a test that was killed; call it first. */
void spaces_guarded(void);

/* Instead of it, where there is no such process to be had: those spaces that the test itself does not remove stay.
 */
void spaces_shared(void);

/* Has a space of the test's own naming removed, whatever happens to the test; after spaces_guarded. */
void space_guard(const char *uri);

/* ---- steps that most tests take (conform_steps.c) ---- */

memo_folder_t folder(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Folders of one server: where there are several, the choice of an alt holds among those alone. */
void folders_together(memo_folder_t f[], size_t n, const char *what);
bool same_server(const memo_folder_t *f, const memo_folder_t *g);
int64_t now_ns(void);
void pause_ns(int64_t ns);
uint64_t random_next(uint64_t *state);

/* A memo of 8 bytes with that number in it, put or taken. */
int put_number(memo_space_t *s, const memo_folder_t *f, uint64_t number);
int take_number(memo_space_t *s, const memo_folder_t *f, uint64_t *number, int64_t timeout_ns);
uint64_t number_in(memo_t *m);
/* number_in, and the memo freed. */
uint64_t number_freed(memo_t *m);
memo_t *new_number(memo_space_t *s, uint64_t number);

/* Bytes that differ for every seed and place. */
void pattern_fill(memo_t *m, uint64_t seed);
bool pattern_holds(memo_t *m, uint64_t seed, size_t size);

uint64_t memos_in(memo_space_t *s, const memo_folder_t *f);
uint64_t waiters_on(memo_space_t *s, const memo_folder_t *f);
/* Wait until it is so, false after PATIENCE. */
bool waiters_become(memo_space_t *s, const memo_folder_t *f, uint64_t n);
bool memos_become(memo_space_t *s, const memo_folder_t *f, uint64_t n);
bool number_becomes(_Atomic(uint64_t) *what, uint64_t n);
memo_stat_t stat_of(memo_space_t *s);
/* Takes and frees all there is in the folder; how many there were. */
uint64_t drain(memo_space_t *s, const memo_folder_t *f);

/* A guest takes a memo (with get) and keeps it; the number in it. */
uint64_t guest_takes(guest_t *guest, const memo_folder_t *f);

/* Whether a call was refused as it should: that code, and a sentence for the user. */
bool refused(int rc, int code);

/* A thread of this process; its function's result is to be 0. */
typedef struct thread thread_t;
thread_t *thread_start(int (*fn)(void *arg), void *arg);
int thread_wait(thread_t *t);
pthread_t thread_id(const thread_t *t);

/* A second thread in one call, with the result in `rc` and the memo in `m` once `done`. */
typedef struct call {
    memo_space_t *space;
    memo_select_t select;
    memo_folder_t folders[4];
    memo_t *m;
    memo_t *all[4];
    size_t which;
    int rc;
    bool join; /* memo_get_all instead of memo_select */
    _Atomic(int) done;
    thread_t *thread;
} call_t;
/* Prepares a select on one folder; change c->select as needed, then start. */
void call_get(call_t *c, memo_space_t *s, const memo_folder_t *f);
void call_start(call_t *c);
bool call_done(call_t *c); /* now */
int call_wait(call_t *c);  /* the result; the thread is gone */

#endif
