/*
 * kill_points_route.h - how a victim comes to its instruction k with few traps.
 *
 * A trap costs microseconds, an instruction a nanosecond. One run of the operation is stepped through and every
 * place it passes is written down: that is the route. A later victim goes from breakpoint to breakpoint instead:
 * one that is set at the address of a later place p stops it there, if the address comes at no place in between. Of
 * all such chains to k the shortest is taken, so that what is not in a loop is one trap away, and the rounds of a
 * loop cost a trap each, whatever is in them.
 *
 * Where a run differs from the route (it waited longer, or met somebody else), the chain ends at another
 * instruction than k, or the operation ends before: `missed` says so.
 */
#ifndef KILL_POINTS_ROUTE_H
#define KILL_POINTS_ROUTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { ROUTE_MOST = 1 << 20 /* instructions */, ROUTE_JUMPS = 1 << 16 };

#define ROUTE_STEP 0 /* instead of an address: to the next instruction */

typedef struct route {
    uint64_t *places; /* by the number of instructions before */
    uint32_t count;
    uint32_t *from;   /* the place before it on its shortest chain */
    uint32_t *cost;   /* traps of that chain */
    uint8_t *stepped; /* the last of them is a step */
    uint32_t *least;  /* a tree over cost: where it is least */
} route_t;

/* What driver and victim both see of a run. */
typedef struct run {
    _Atomic uint32_t finished; /* the operation has returned */
    _Atomic uint32_t arrived;  /* at its instruction */
    _Atomic uint64_t steps;    /* instructions, as far as the route says */
    _Atomic uint64_t place;    /* the next one's address */
} run_t;

/* Whether this machine can: traps of its own are x86-64's here. Makes the program's text writable in this process.
 */
bool route_possible(void);

bool route_new(route_t *r);

/* After a run that has written places: the shortest chains. */
void route_plan(route_t *r);

/* The chain to place k, `jumps` of addresses; their number, or -1: there is none, or it is too long. */
int route_to(const route_t *r, uint64_t k, uint64_t jumps[ROUTE_JUMPS]);

/*
 * The calling thread runs act(arg), and its process kills itself on arriving (with `halt`: stops itself, to be
 * killed). With jumps NULL it is stepped all the way to k, and writes into the route, unless that is NULL.
 */
void route_run(run_t *run, route_t *write, const uint64_t *jumps, int count, uint64_t k, bool halt,
               void (*act)(void *), void *arg) __attribute__((noreturn));

#endif
