/*
 * conform_peers.h - the other participants of a test.
 *
 * A peer is a process (by fork) that opens the space anew, runs one function and answers with its result. In a
 * ThreadSanitizer build, which cannot see across processes, or with MEMO_TSAN=1, a peer is a thread with a handle
 * of its own, and cannot be killed.
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

/* Starts a peer; `arg` must be shared memory (peer_shared) if results are to come back by it. */
peer_t *peer_start(peer_fn fn, void *arg);

/* The same, with MEMO_RUN set to `run` while it opens the space. */
peer_t *peer_start_as(const char *run, peer_fn fn, void *arg);

/* fn's result (0 to 255), or 256 + signal if it died of one. The peer is gone. */
int peer_wait(peer_t *peer);

/* Kills it with SIGKILL, and returns when it is gone. */
void peer_kill(peer_t *peer);

void peer_signal(peer_t *peer, int sig);

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
