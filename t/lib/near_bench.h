/*
 * near_bench.h - what the tests of messages inside a node share: a region, processes that open it, and messages.
 */
#ifndef NEAR_BENCH_H
#define NEAR_BENCH_H

#include "t/lib/node_bench.h"

#include "libmemo/wire/dead.h"
#include "libmemo/wire/near.h"

#define NEAR_BENCH_BYTES (16 << 20)

/* Shared with the children, outside the region. */
typedef struct near_bench_shared {
    _Atomic uint32_t mailbox; /* the server's, or a victim's */
    _Atomic uint32_t ends;    /* clients that are done */
    _Atomic uint32_t wrong;   /* things that ought not to be */
    _Atomic bool stop;
} near_bench_shared_t;

typedef struct near_bench {
    near_bench_shared_t *shared;
    node_t node; /* of the process that prints */
    self_t *me;
    uint64_t random;
} near_bench_t;

extern near_bench_t near_bench;

/* The region is there, and open; `dead`: what repairs by this process do. finish answers what main does. */
void near_bench_begin(dead_t *dead);
int near_bench_finish(void);

/* What is shared is zero again; a page of a test's own. */
void near_bench_reset(void);
void *near_bench_page(size_t bytes);

void near_bench_wrong(const char *what);
memo_folder_t near_bench_folder(uint64_t number);

void near_bench_open(node_t *n, int32_t rank, dead_t *dead);
pid_t near_bench_fork(void);
_Noreturn void near_bench_end_child(node_t *n, self_t *s);
bool near_bench_ended_well(const pid_t child[], unsigned n);

/* Looks around a little before it sleeps, as loops and stubs do. */
void near_bench_wait(self_t *s);

/* A memo of that number, and a message; both wait for memory. */
struct memo *near_bench_memo(self_t *s, uint64_t number);
int near_bench_send(self_t *s, party_id_t to, wire_type_t type, uint64_t request, const memo_folder_t *f,
                    struct memo *m, struct memo **reuse);

#endif
