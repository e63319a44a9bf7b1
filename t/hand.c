/*
 * hand.c - what a party holds: places, the list behind them, giving by other threads of the client.
 */
#include "t/lib/node_bench.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static node_t node;
static self_t *me;

static bool listed(const struct memo *m)
{
    return m->place == HAND_LISTED;
}

static void test_places_then_list(void)
{
    enum { N = HAND_SLOTS + 20 };
    struct memo *m[N];
    unsigned i, in_list = 0, held = 0;

    for (i = 0; i < N; i++) {
        m[i] = bench_memo(me, 24, i);
        in_list += listed(m[i]);
    }
    for (i = 0; i < N; i++)
        held += hand_holds(me, node_offset(me, m[i]));
    tap_is_int(in_list, 20, "what has no place hangs in the list");
    tap_is_int(held, N, "all are held");
    for (i = 0; i < N; i += 2)
        bench_free(me, m[i]);
    for (i = 1; i < N; i += 2)
        bench_put(me, m[i]);
    for (i = held = 0; i < N; i++)
        held += hand_holds(me, node_offset(me, m[i]));
    tap_is_int(held, 0, "given away or freed, none is held");
    tap_ok(hand_first(me, me->body, me->id) == NULL, "the hand is empty");
    for (i = 1; i < N; i += 2)
        bench_free(me, bench_take(me));
    tap_ok(bench_walk(me), "every block is accounted for");
}

/* Random takes and gives against what ought to be there. */
static void test_shadow(uint64_t seed)
{
    enum { N = 90 };
    struct memo *m[N] = {NULL};
    bool right = true;
    unsigned i, n = 0;

    for (i = 0; i < 20000 && right; i++) {
        unsigned k = (unsigned)(bench_random(&seed) % N);
        if (m[k] == NULL)
            m[k] = bench_memo(me, 8 + bench_random(&seed) % 300, k);
        else {
            right = hand_holds(me, node_offset(me, m[k])) && bench_number(m[k]) == k;
            bench_free(me, m[k]);
            m[k] = NULL;
        }
    }
    for (i = 0; i < N; i++)
        n += m[i] != NULL;
    for (i = 0; hand_first(me, me->body, me->id) != NULL; i++)
        bench_free(me, hand_first(me, me->body, me->id));
    tap_ok(right, "20000 random memos are where they ought to be");
    tap_is_int(i, n, "hand_first finds each");
    tap_ok(bench_walk(me), "every block is accounted for");
}

/* A join that finds one folder empty takes back what it took from the others. */
static void test_abort(void)
{
    struct memo *m;
    unsigned i;

    bench_put(me, bench_memo(me, 8, 7));
    m = node_at(me, bench_root(me)->head);
    for (i = 0; i < 2 * HAND_SLOTS; i++) {
        hand_take(me, m);
        log_abort(me);
        hand_abort(me);
    }
    m = bench_take(me);
    tap_ok(m != NULL && !listed(m), "takes that are aborted leave no place behind");
    bench_free(me, m);
}

/* ---- other threads --------------------------------------------------------------------------------------- */

static pthread_barrier_t barrier;
static struct memo *theirs[2 * HAND_SLOTS];
static unsigned theirs_count;
static party_t *their_party;

static void *hold(void *arg)
{
    self_t *s = bench_enter(&node);
    unsigned i;

    for (i = 0; i < theirs_count; i++)
        theirs[i] = bench_memo(s, 8, i);
    their_party = s->party;
    node_leave(s);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return arg;
}

static pthread_t start_holder(unsigned n)
{
    pthread_t t;

    theirs_count = n;
    pthread_create(&t, NULL, hold, NULL);
    pthread_barrier_wait(&barrier);
    return t;
}

static void end_holder(pthread_t t)
{
    pthread_barrier_wait(&barrier);
    pthread_join(t, NULL);
}

static void test_foreign_giving(void)
{
    enum { N = HAND_SLOTS + 10 };
    pthread_t t = start_holder(N);
    unsigned i, held = 0;

    for (i = 0; i < N; i++)
        held += hand_holds(me, node_offset(me, theirs[i]));
    tap_is_int(held, N, "what another thread holds, its client holds");
    for (i = 0; i < N; i += 3)
        bench_put(me, theirs[i]);
    for (i = 1; i < N; i += 3)
        bench_free(me, theirs[i]);
    end_holder(t);
    tap_ok(party_body(me, their_party) != NULL, "who ends with memos leaves them to his client");
    for (i = 2; i < N; i += 3)
        bench_free(me, theirs[i]);
    for (i = 0; bench_stored(me) > 0; i++)
        bench_free(me, bench_take(me));
    tap_is_int(i, (N + 2) / 3, "what was given is there");
    tap_ok(bench_walk(me), "every block is accounted for");
}

/* The giver has committed, and is to clear the place (or unlock the list) in a body that must not go before. */
static void test_giving_while_it_ends(unsigned n)
{
    pthread_t t;
    struct memo *m;
    offset_t body;

    /* A thread of its own, with a new party. */
    t = start_holder(n);
    m = theirs[n - 1];
    body = atomic_load(&their_party->body);
    while (n-- > 1)
        bench_free(me, theirs[n - 1]);
    hand_free_begin(me, m);
    log_commit(me);
    end_holder(t);
    tap_ok(atomic_load(&their_party->body) == body, "a %s that is being given keeps the body of who held it",
           listed(m) ? "listed memo" : "memo");
    hand_done(me);
    if (me->trim != 0)
        heap_trim(me, me->trim - 1);
    me->trim = 0;
}

static void *come_and_go(void *arg)
{
    node_leave(bench_enter(&node));
    return arg;
}

/* The idle party serves the next thread, and goes with it. */
static void drain_idle(void)
{
    pthread_t t;
    unsigned i;

    for (i = 0; i < 4; i++) {
        pthread_create(&t, NULL, come_and_go, NULL);
        pthread_join(t, NULL);
    }
}

int main(void)
{
    tap_timeout(60);
    bench_open(&node, BENCH_BYTES);
    me = bench_enter(&node);
    pthread_barrier_init(&barrier, NULL, 2);
    test_places_then_list();
    test_shadow(tap_seed());
    test_abort();
    test_foreign_giving();
    drain_idle();
    tap_is_int(node_receivers(me), 1, "the parties of ended threads are free");
    test_giving_while_it_ends(1);
    drain_idle();
    test_giving_while_it_ends(HAND_SLOTS + 1);
    drain_idle();
    tap_is_int(node_receivers(me), 1, "the parties of ended threads are free");
    tap_ok(bench_walk(me), "every block is accounted for");
    node_leave(me);
    bench_close(&node);
    return tap_done();
}
