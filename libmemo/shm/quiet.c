/*
 * quiet.c - MEMO_UNTIL_QUIET: knowing that nobody will put anything any more (C17).
 *
 * Started requests: the common party takes part, as long as the handle has one that waits so, and waits if all of
 * them are PENDING and none is complete but not collected. The thread that collects one takes part itself, until it
 * asks after another: what it does meanwhile may bring new work.
 *
 * Participants are the clients of runs, and the parties that have waited so themselves. Quiet is decided under the
 * quiet lock: if every participant waits with a request that is PENDING, each request becomes QUIETING, one after
 * the other. A QUIETING request can be neither claimed nor cancelled: who wants to, waits for the decision. Once
 * all are, there is an instant at which all waited, and none had been given anything; then, and if nobody is dead
 * but not repaired, whose memos are still to go back, they all become QUIET. Otherwise they become PENDING again. A
 * decider that dies is followed by whoever takes the lock next, who finishes what was committed and takes back what
 * was not.
 */
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "libmemo/shm/shm.h"

/* Under the quiet lock: a body stays as long as its party has the flag (quiet_leave). */
static request_t *waiting_request(const self_t *s, uint32_t index)
{
    const party_t *p = node_party(s, index);
    body_t *b = (atomic_load(&p->flags) & PARTY_QUIET) != 0 ? party_body(s, p) : NULL;
    offset_t at = b != NULL ? atomic_load(&shm_body_of(b)->quiet) : 0;

    return at != 0 ? node_at(s, at) : NULL;
}

static request_t *waiting_next(const self_t *s, const request_t *r)
{
    offset_t at = atomic_load(&r->quiet_next);

    return at != 0 ? node_at(s, at) : NULL;
}

/* Turns every request in status `from` to status `to`, and rings who gets an answer. */
static void turn(self_t *s, uint32_t from, uint32_t to)
{
    uint32_t used = atomic_load(&s->root->parties_used), i;

    for (i = 0; i < used; i++) {
        request_t *first = waiting_request(s, i), *r;
        for (r = first; r != NULL; r = waiting_next(s, r)) {
            uint64_t word = atomic_load(&r->state);
            if (request_status(word) == from)
                atomic_compare_exchange_strong(&r->state, &word, request_word(word >> 32, 0, to));
        }
        if (first != NULL && to == REQUEST_QUIET)
            slot_ring(s, i);
    }
}

/* After a decider that died. Under the quiet lock. */
static void finish_decision(self_t *s)
{
    shm_root_t *root = shm_root(s);

    if (atomic_load(&root->quiet_dirty) == 0)
        return;
    turn(s, REQUEST_QUIETING, atomic_load(&root->quiet_committed) != 0 ? REQUEST_QUIET : REQUEST_PENDING);
    atomic_store(&root->quiet_committed, 0);
    atomic_store(&root->quiet_dirty, 0);
}

void quiet_hold(self_t *s)
{
    lock_take(s, &shm_root(s)->quiet_lock);
    finish_decision(s);
}

void quiet_release(self_t *s)
{
    lock_release(&shm_root(s)->quiet_lock);
}

void quiet_settle(self_t *s)
{
    quiet_hold(s);
    quiet_release(s);
}

/* ---- who takes part -------------------------------------------------------------------------------------- */

/* Whether a party waits: with all its requests that wait so. */
static bool pending(const self_t *s, const request_t *r)
{
    bool any = r != NULL;

    for (; r != NULL; r = waiting_next(s, r))
        if (request_status(atomic_load(&r->state)) != REQUEST_PENDING || atomic_load(&r->poked) != 0)
            return false;
    return any;
}

/* Whether all parties of a client that take part wait; a ranked client takes part with one at least. */
static bool client_waits(const self_t *s, uint32_t client, bool ranked)
{
    uint32_t used = atomic_load(&s->root->parties_used), i;
    bool any = false;

    for (i = 0; i < used; i++) {
        const party_t *p = node_party(s, i);
        if (atomic_load(&p->client) != client + 1 || (atomic_load(&p->flags) & PARTY_QUIET) == 0)
            continue;
        if (!pending(s, waiting_request(s, i)))
            return false;
        any = true;
    }
    return any || !ranked;
}

static bool leader_lives(const self_t *s, const run_t *run)
{
    const client_t *c;

    if (run->leader == 0)
        return false;
    c = &s->root->clients[run->leader - 1];
    return atomic_load(&c->state) == CLIENT_OPEN && c->serial == run->leader_serial;
}

/* Ranks that their launcher has yet to see open the space. */
static bool somebody_to_come(const self_t *s)
{
    const shm_root_t *root = shm_root(s);
    unsigned i, k, opened;

    for (i = 0; i < RUNS; i++) {
        const run_t *run = &root->runs[i];
        if (run->id == 0 || !leader_lives(s, run))
            continue;
        for (k = opened = 0; k < RUN_RANKS / 64; k++)
            opened += (unsigned)__builtin_popcountll(run->opened[k]);
        if (opened < run->ranks)
            return true;
    }
    return false;
}

static bool everybody_waits(const self_t *s)
{
    uint32_t used = atomic_load(&s->root->clients_used), i;

    for (i = 0; i < used; i++) {
        const client_t *c = &s->root->clients[i];
        if (atomic_load(&c->state) == CLIENT_OPEN && !client_waits(s, i, c->rank >= 0))
            return false;
    }
    return !somebody_to_come(s);
}

static bool everybody_lives(const self_t *s)
{
    uint32_t used = atomic_load(&s->root->clients_used), i;

    for (i = 0; i < used; i++)
        if (i != s->node->client && atomic_load(&s->root->clients[i].state) != CLIENT_FREE &&
            !region_life_held(&s->node->region, i))
            return false;
    return true;
}

/* ---- deciding -------------------------------------------------------------------------------------------- */

static bool hold_everybody(self_t *s)
{
    uint32_t used = atomic_load(&s->root->parties_used), i;
    request_t *r;

    for (i = 0; i < used; i++)
        for (r = waiting_request(s, i); r != NULL; r = waiting_next(s, r)) {
            uint64_t word = atomic_load(&r->state);
            if (request_status(word) != REQUEST_PENDING ||
                !atomic_compare_exchange_strong(&r->state, &word, request_word(word >> 32, 0, REQUEST_QUIETING)))
                return false;
        }
    return true;
}

static bool all_held(const self_t *s)
{
    uint32_t used = atomic_load(&s->root->parties_used), i;
    const request_t *r;

    for (i = 0; i < used; i++)
        for (r = waiting_request(s, i); r != NULL; r = waiting_next(s, r))
            if (request_status(atomic_load(&r->state)) != REQUEST_QUIETING)
                return false;
    return true;
}

static void decide(self_t *s)
{
    shm_root_t *root = shm_root(s);

    atomic_store(&root->quiet_dirty, 1);
    if (hold_everybody(s) && all_held(s) && everybody_lives(s))
        atomic_store(&root->quiet_committed, 1);
    finish_decision(s);
}

void quiet_check(self_t *s)
{
    bool dead = false;

    quiet_hold(s);
    if (everybody_waits(s)) {
        dead = !everybody_lives(s);
        if (!dead)
            decide(s);
    }
    quiet_release(s);
    if (dead)
        repair_look(s, 0);
}

void quiet_wait(self_t *s, request_t *r)
{
    shm_body_t *b = shm_body(s);

    /* Under the lock, so that no decision sees half of it. */
    quiet_hold(s);
    if (r != NULL)
        atomic_store(&r->quiet_next, 0);
    atomic_store(&b->quiet, r != NULL ? node_offset(s, r) : 0);
    quiet_release(s);
}

void quiet_leave(self_t *s, uint32_t index)
{
    quiet_hold(s);
    atomic_fetch_and(&node_party(s, index)->flags, ~(uint32_t)PARTY_QUIET);
    quiet_release(s);
}

/* ---- runs ------------------------------------------------------------------------------------------------ */

static run_t *run_of(const self_t *s, uint64_t id)
{
    shm_root_t *root = shm_root(s);
    unsigned i;

    for (i = 0; i < RUNS; i++)
        if (root->runs[i].id == id)
            return &root->runs[i];
    return NULL;
}

void quiet_client_opened(self_t *s, const client_t *c)
{
    run_t *run;

    if (c->run == 0)
        return;
    quiet_hold(s);
    run = run_of(s, c->run);
    if (run == NULL && (run = run_of(s, 0)) != NULL) {
        memset(run, 0, sizeof *run);
        run->ranks = c->ranks;
        run->id = c->run;
    }
    if (run != NULL && c->rank < 0) {
        run->leader_serial = c->serial;
        run->leader = s->node->client + 1;
    } else if (run != NULL && (uint32_t)c->rank < RUN_RANKS)
        run->opened[c->rank / 64] |= UINT64_C(1) << c->rank % 64;
    quiet_release(s);
}

static bool run_has_clients(const self_t *s, uint64_t id, uint32_t but)
{
    uint32_t used = atomic_load(&s->root->clients_used), i;

    for (i = 0; i < used; i++)
        if (i != but && atomic_load(&s->root->clients[i].state) == CLIENT_OPEN && s->root->clients[i].run == id)
            return true;
    return false;
}

void quiet_client_gone(self_t *s, uint32_t client)
{
    client_t *c = &s->root->clients[client];
    uint32_t used, i;
    run_t *run;

    quiet_hold(s);
    run = c->run != 0 ? run_of(s, c->run) : NULL;
    if (run != NULL && !run_has_clients(s, c->run, client))
        run->id = 0;
    c->run = 0;
    c->rank = -1; /* takes part no more */
    /* Those who are left look at their next tick at the latest; be quicker. */
    used = atomic_load(&s->root->parties_used);
    for (i = 0; i < used; i++)
        if (waiting_request(s, i) != NULL)
            slot_ring(s, i);
    quiet_release(s);
}
