/*
 * conform_peers.h - the other participants of a test.
 *
 * A peer is a process (by fork) that opens the space anew, runs one function and answers with its result. In a
 * ThreadSanitizer build, which cannot see across processes, or with MEMO_TSAN=1, a peer is a thread with a handle
 * of its own, and cannot be killed. In an MPI job (ranks.h) a peer is a thread of a rank that has the space open
 * already: it has no handle of its own, and who kills it kills that rank for good.
 */
#ifndef CONFORM_PEERS_H
#define CONFORM_PEERS_H

#include "libmemo/memo.h"

typedef int (*peer_fn)(memo_space_t *space, void *arg);
typedef struct peer peer_t;

/* The space that peers started from now on will open. */
void peers_use(const char *uri);
const char *peers_uri(void);
bool peers_are_threads(void);
bool peers_are_ranks(void);
/* Ranks of several nodes: by the URI's nodes=, or because MEMO_TEST_FAR says so. */
bool peers_are_far(void);

/* How often a test does what it does often: n times, but fewer where every call is a message, by what
 * MEMO_TEST_EFFORT divides (20 if it is not set). */
uint64_t effort(uint64_t n);

/* Starts a peer; `arg` must be shared memory (peer_shared) if results are to come back by it. */
peer_t *peer_start(peer_fn fn, void *arg);

/* The same, with MEMO_RUN set to `run` while it opens the space. */
peer_t *peer_start_as(const char *run, peer_fn fn, void *arg);

/* fn's result (0 to 255), or 256 + signal if it died of one. The peer is gone. */
int peer_wait(peer_t *peer);

/* Kills it with SIGKILL, and returns when it is gone. */
void peer_kill(peer_t *peer);

void peer_signal(peer_t *peer, int sig);

/* All that there are, and this process: in each one thread runs the function. Ranks alone. How many failed. */
int peers_everyone(memo_space_t *space, peer_fn fn, void *arg);
/* A thread of this process, with the handle given. */
peer_t *peer_start_here(memo_space_t *space, peer_fn fn, void *arg);
/* A peer whose handle is closed when the function is done, as it is with every peer that is not a rank. */
peer_t *peer_start_leaving(peer_fn fn, void *arg);

/*
 * A second client that the test leads step by step, in functions that it runs there, and that closes while the test
 * goes on: a second handle of this process; in an MPI job another rank, so that `arg` must be shared.
 */
typedef struct guest guest_t;
guest_t *guest_open(void);
int guest_do(guest_t *guest, peer_fn fn, void *arg);
/* The same in a thread of its own. */
peer_t *guest_start(guest_t *guest, peer_fn fn, void *arg);
/* What memo_close answered. */
int guest_close(guest_t *guest);

/* Zeroed memory that the parent and the peers it starts later share. */
void *peer_shared(size_t bytes);
void peer_unshare(void *memory, size_t bytes);

/* Opens a space as `memo run` would have its children open it; `run` may be NULL for a program started alone. */
int peer_open_as(const char *run, const char *uri, memo_space_t **space);

/* In a peer's function: what must hold, else the peer ends with the failing line in a diagnostic. */
#define PEER(condition)                                                                                            \
    do {                                                                                                           \
        if (!(condition)) {                                                                                        \
            tap_diag("peer: %s:%d: %s [%s]", __func__, __LINE__, #condition, memo_errmsg());                       \
            return 1;                                                                                              \
        }                                                                                                          \
    } while (0)

#endif
