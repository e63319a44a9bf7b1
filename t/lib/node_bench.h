/*
 * node_bench.h - what the tests of node/ share: a region whose upper layer is as simple as can be, a walk that
 * accounts for every page and block of a region at rest, and children that are killed after any instruction.
 *
 * The upper layer: one store (a list of memos under a lock), to which the memos of the dead go back, and a request
 * word per party, that a sender claims.
 */
#ifndef NODE_BENCH_H
#define NODE_BENCH_H

#include <sys/types.h>

#include "libmemo/memo.h"
#include "libmemo/node/hand.h"
#include "libmemo/node/heap.h"
#include "libmemo/node/lock.h"
#include "libmemo/node/node.h"
#include "libmemo/node/repair.h"
#include "libmemo/node/slot.h"
#include "libmemo/node/wait.h"
#include "t/tap.h"

#define BENCH_PARTIES 256u
#define BENCH_BYTES 0x400000u

enum { BENCH_IDLE, BENCH_PENDING, BENCH_CLAIMED, BENCH_CANCELLED };

typedef struct bench_root {
    lock_t lock; /* of the store */
    offset_t head, tail;
    uint64_t memos;
    lock_t spare; /* for tests of locks */
    uint64_t spare_value, spare_other;
    _Atomic uint32_t left_pending; /* parties that went with a request that can still be claimed */
    _Atomic uint32_t index[2];     /* for whoever needs words that all see */
    _Atomic uint64_t request[BENCH_PARTIES];
} bench_root_t;

/* Blocks that a party has for itself; a death frees them. */
#define BENCH_BLOCKS 120u

static inline offset_t *bench_blocks(body_t *b)
{
    return (offset_t *)(void *)b->user;
}

static inline bench_root_t *bench_root(const self_t *s)
{
    return (bench_root_t *)(void *)s->root->user;
}

/* Opens the region of this test program (the children's too), of `size` bytes when it is made; bails out when it
 * cannot. */
void bench_open(node_t *n, uint64_t size);
self_t *bench_enter(node_t *n);
void bench_close(node_t *n);
void bench_unlink(void); /* also at exit of the process that opened first */

/* The first 8 bytes of a memo's data are its number. */
struct memo *bench_memo(self_t *s, uint64_t size, uint64_t number);
uint64_t bench_number(const struct memo *m);

void bench_put(self_t *s, struct memo *m);
struct memo *bench_take(self_t *s); /* NULL: none there */
void bench_free(self_t *s, struct memo *m);
uint64_t bench_stored(self_t *s); /* how many, found by walking; UINT64_MAX when the list is unsound */

/* Requests: armed by the party, claimed and served by a sender (false: it was not to be claimed, the memo is still
 * ours). */
void bench_arm(self_t *s);
bool bench_cancel(self_t *s, uint32_t index);
bool bench_serve(self_t *s, uint32_t receiver, struct memo *m);

/* A message without a request. */
bool bench_send(self_t *s, uint32_t receiver, struct memo *m);

/* Takes what messages bring; calls `got` for each memo (now held) if not NULL, else puts it into the store. */
bool bench_receive(self_t *s, void (*got)(self_t *s, struct memo *m, void *arg), void *arg);

/* Repairs all who are dead, until there are none left (bails out after some seconds). */
void bench_repair(self_t *s, uint32_t clients_left);

/*
 * With nobody in a call: every page is in one run, every run in its list, every block in use is referred to exactly
 * once, and the sums are right. Says what is not; true when all is well.
 */
bool bench_walk(self_t *s);

/*
 * A child that opens the region (unless told not to), calls prepare, then `op` with that many instructions left to
 * live; having done it, it is killed as well. Answers how many it made.
 */
typedef struct bench_victim {
    void (*prepare)(node_t *n, void *arg); /* may be NULL */
    void (*op)(node_t *n, void *arg);
    void *arg;
    bool unopened; /* op opens the node itself */
} bench_victim_t;
long bench_kill_after(const bench_victim_t *v, long instructions);

/* A small random generator. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif
