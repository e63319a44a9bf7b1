/*
 * kill_points_route.c - shortest chains of breakpoints, and the traps of a victim that follows one
 * (kill_points_route.h).
 */
#include "t/lib/kill_points_route.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { TEXTS = 32, SEEN = 1 << 18 };

typedef struct text {
    uint64_t from, to;
} text_t;

static text_t texts[TEXTS];
static int n_texts;

static bool in_text(uint64_t place)
{
    for (int i = 0; i < n_texts; i++) {
        if (place >= texts[i].from && place < texts[i].to) {
            return true;
        }
    }
    return false;
}

/* ---- chains ---------------------------------------------------------------------------------------------- */

static void *map(size_t bytes, int sharing)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

bool route_new(route_t *r)
{
    memset(r, 0, sizeof *r);
    r->places = map(sizeof *r->places * (ROUTE_MOST + 1), MAP_SHARED); /* victims write there */
    r->from = map(sizeof *r->from * (ROUTE_MOST + 1), MAP_PRIVATE);
    r->cost = map(sizeof *r->cost * (ROUTE_MOST + 1), MAP_PRIVATE);
    r->stepped = map(ROUTE_MOST + 1, MAP_PRIVATE);
    r->least = map(sizeof *r->least * 4 * ROUTE_MOST, MAP_PRIVATE);
    return r->places != NULL && r->from != NULL && r->cost != NULL && r->stepped != NULL && r->least != NULL;
}

static uint32_t cheaper(const route_t *r, uint32_t a, uint32_t b)
{
    return a == UINT32_MAX || (b != UINT32_MAX && r->cost[b] < r->cost[a]) ? b : a;
}

static void tree_add(route_t *r, uint32_t leaves, uint32_t i)
{
    uint32_t at = leaves + i;

    r->least[at] = i;
    while (at > 1) {
        at /= 2;
        r->least[at] = cheaper(r, r->least[2 * at], r->least[2 * at + 1]);
    }
}

/* The cheapest of places from ... to. */
static uint32_t tree_least(const route_t *r, uint32_t leaves, uint32_t from, uint32_t to)
{
    uint32_t best = UINT32_MAX, a = leaves + from, b = leaves + to + 1;

    for (; a < b; a /= 2, b /= 2) {
        if (a % 2 == 1) {
            best = cheaper(r, best, r->least[a++]);
        }
        if (b % 2 == 1) {
            best = cheaper(r, best, r->least[--b]);
        }
    }
    return best;
}

typedef struct seen {
    uint64_t place;
    uint32_t last; /* where it came last, + 1 */
} seen_t;

static seen_t *seen_at(seen_t *seen, uint64_t place)
{
    uint64_t h = place * UINT64_C(0x9e3779b97f4a7c15) >> 46;

    while (seen[h].place != 0 && seen[h].place != place) {
        h = (h + 1) & (SEEN - 1);
    }
    seen[h].place = place;
    return &seen[h];
}

void route_plan(route_t *r)
{
    seen_t *seen = calloc(SEEN, sizeof *seen);
    uint32_t leaves = 1, k;

    while (leaves < r->count) {
        leaves *= 2;
    }
    if (seen == NULL) {
        r->count = 0;
        return;
    }
    memset(r->least, 0xff, sizeof *r->least * 2 * leaves);
    for (k = 0; k < r->count; k++) {
        seen_t *at = seen_at(seen, r->places[k]);
        uint32_t since = at->last;

        r->stepped[k] = k > 0 && (since == k || !in_text(r->places[k]));
        r->from[k] = k == 0 ? 0 : r->stepped[k] ? k - 1 : tree_least(r, leaves, since, k - 1);
        r->cost[k] = k == 0 ? 0 : r->cost[r->from[k]] + 1;
        at->last = k + 1;
        tree_add(r, leaves, k);
    }
    free(seen);
}

int route_to(const route_t *r, uint64_t k, uint64_t jumps[ROUTE_JUMPS])
{
    uint32_t at = (uint32_t)k, i;

    if (k >= r->count || r->cost[k] > ROUTE_JUMPS) {
        return -1;
    }
    for (i = r->cost[at]; i > 0; i--) {
        jumps[i - 1] = r->stepped[at] ? ROUTE_STEP : r->places[at];
        at = r->from[at];
    }
    return (int)r->cost[k];
}

/* ---- traps ----------------------------------------------------------------------------------------------- */

#if defined(__x86_64__)

#define TRAP_FLAG 0x100
#define BREAKPOINT 0xcc

static struct follower {
    run_t *run;
    route_t *write;
    const uint64_t *jumps;
    int count, next;
    uint64_t k, steps;
    bool halt, begun;
    unsigned char *armed, was;
} f;

static void arrive(uint64_t place)
{
    f.run->place = place;
    f.run->steps = f.steps;
    f.run->arrived = 1;
    kill(getpid(), f.halt ? SIGSTOP : SIGKILL);
}

static void step_on(uint64_t place, greg_t *flags)
{
    if (f.write != NULL && f.steps < ROUTE_MOST) {
        f.write->places[f.steps] = place;
    }
    if (f.steps >= f.k) {
        arrive(place);
    }
    *flags |= TRAP_FLAG;
}

static void jump_on(uint64_t place, greg_t *flags)
{
    if (f.next == f.count) {
        f.steps = f.k;
        arrive(place);
    }
    *flags &= ~(greg_t)TRAP_FLAG;
    if (f.jumps[f.next] == ROUTE_STEP) {
        *flags |= TRAP_FLAG;
    } else {
        f.armed = (unsigned char *)(uintptr_t)f.jumps[f.next];
        f.was = *f.armed;
        *f.armed = BREAKPOINT;
    }
    f.next++;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)number;
    (void)info;
    if (f.run->finished != 0) {
        registers[REG_EFL] &= ~(greg_t)TRAP_FLAG;
        return;
    }
    if (f.armed != NULL) {
        *f.armed = f.was;
        f.armed = NULL;
        registers[REG_RIP]--;
    }
    if (f.begun) {
        f.steps++;
    }
    f.begun = true;
    if (f.jumps == NULL) {
        step_on((uint64_t)registers[REG_RIP], &registers[REG_EFL]);
    } else {
        jump_on((uint64_t)registers[REG_RIP], &registers[REG_EFL]);
    }
}

void route_run(run_t *run, route_t *write, const uint64_t *jumps, int count, uint64_t k, bool halt,
               void (*act)(void *), void *arg)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, NULL);
    f = (struct follower){.run = run, .write = write, .jumps = jumps, .count = count, .k = k, .halt = halt};
    __asm__ volatile("int3" ::: "memory");
    act(arg);
    atomic_store(&run->finished, 1);
    run->steps = f.steps;
    kill(getpid(), halt ? SIGSTOP : SIGKILL);
    _exit(5);
}

/* Every page of code, so that a breakpoint is one store. */
bool route_possible(void)
{
    char line[512], rights[8];
    FILE *maps = fopen("/proc/self/maps", "r");

    while (maps != NULL && n_texts < TEXTS && fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3 && strcmp(rights, "r-xp") == 0 &&
            strstr(line, "[v") == NULL &&
            mprotect((void *)(uintptr_t)from, to - from, PROT_READ | PROT_WRITE | PROT_EXEC) == 0) {
            texts[n_texts++] = (text_t){from, to};
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return n_texts > 0;
}

#else

bool route_possible(void)
{
    return false;
}

void route_run(run_t *run, route_t *write, const uint64_t *jumps, int count, uint64_t k, bool halt,
               void (*act)(void *), void *arg)
{
    (void)run, (void)write, (void)jumps, (void)count, (void)k, (void)halt, (void)act, (void)arg;
    _exit(6);
}

#endif
