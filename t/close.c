/*
 * close.c - a handle is closed while threads enter it for the first time.
 */
#include "t/lib/node_bench.h"

#include <pthread.h>

enum { THREADS = 6, ROUNDS = 150 };

static node_t node;
static pthread_barrier_t barrier;
static _Atomic unsigned refused;

/* Its first call meets the close. */
static void *first_call(void *arg)
{
    int result;
    self_t *s;
    struct memo *m;
    volatile unsigned i;

    pthread_barrier_wait(&barrier);
    for (i = 0; i < *(unsigned *)arg; i++)
        ;
    s = node_enter(&node, &result);
    if (s == NULL) {
        atomic_fetch_add(&refused, 1);
        return NULL;
    }
    m = bench_memo(s, 100, 1);
    if (m != NULL)
        bench_free(s, m);
    node_leave(s);
    return NULL;
}

int main(void)
{
    static node_t other;
    static unsigned delay[THREADS];
    uint64_t seed = tap_seed();
    pthread_t t[THREADS];
    bool right = true;
    unsigned i, round, entered = 0;
    self_t *me;

    tap_timeout(60);
    bench_open(&other, BENCH_BYTES);
    me = bench_enter(&other);
    for (round = 0; round < ROUNDS && right; round++) {
        bench_open(&node, BENCH_BYTES);
        node_leave(bench_enter(&node));
        pthread_barrier_init(&barrier, NULL, THREADS + 1);
        for (i = 0; i < THREADS; i++) {
            delay[i] = (unsigned)(bench_random(&seed) % 30000);
            pthread_create(&t[i], NULL, first_call, &delay[i]);
        }
        pthread_barrier_wait(&barrier);
        for (volatile unsigned k = 0; k < bench_random(&seed) % 1000; k++)
            ;
        bench_close(&node);
        for (i = 0; i < THREADS; i++)
            pthread_join(t[i], NULL);
        pthread_barrier_destroy(&barrier);
        slot_reclaim_left(me);
        right = node_clients(me) == 1 && node_receivers(me) == 1 && bench_walk(me);
    }
    entered = THREADS * ROUNDS - atomic_load(&refused);
    tap_diag("%u entered, %u were refused", entered, atomic_load(&refused));
    tap_ok(right, "whoever enters while the handle is closed is served whole, or refused");
    node_leave(me);
    bench_close(&other);
    return tap_done();
}
