/*
 * heap.c - blocks of all sizes, against a shadow of what ought to be there.
 */
#include "t/lib/node_bench.h"

#include <pthread.h>
#include <sys/wait.h>

enum { PROCESSES = 4 };

static node_t node;
static self_t *me;

/* What each of the party's blocks is, and the byte that it is full of. */
typedef struct shadow {
    uint64_t bytes[BENCH_BLOCKS];
    unsigned char fill[BENCH_BLOCKS];
} shadow_t;

/* From 0 bytes to the odd one of half a megabyte. */
static uint64_t random_size(uint64_t *seed)
{
    static const uint64_t up_to[] = {17, 130, 2049, 2049, 9000, 70000};

    return bench_random(seed) % (bench_random(seed) % 8 < 7 ? up_to[bench_random(seed) % 6] : 500000);
}

static bool aligned(offset_t at, uint64_t bytes)
{
    return at % (bytes > HEAP_CLASS_MAX ? HEAP_PAGE : 16) == 0;
}

static bool full_of(const self_t *s, offset_t at, uint64_t bytes, unsigned char fill)
{
    const unsigned char *p = node_at(s, at);
    uint64_t i;

    for (i = 0; i < bytes; i++)
        if (p[i] != fill)
            return false;
    return true;
}

/* Overlap shows in the contents: each block is full of a byte of its own. */
static bool churn(self_t *s, uint64_t seed, unsigned rounds)
{
    static shadow_t shadow;
    offset_t *block = bench_blocks(s->body);
    unsigned i, k;
    bool right = true;

    for (i = 0; i < rounds && right; i++) {
        k = (unsigned)(bench_random(&seed) % BENCH_BLOCKS);
        if (block[k] != 0) {
            right = full_of(s, block[k], shadow.bytes[k], shadow.fill[k]);
            heap_free(s, &block[k]);
            right = right && block[k] == 0;
            continue;
        }
        shadow.bytes[k] = random_size(&seed);
        shadow.fill[k] = (unsigned char)bench_random(&seed);
        if (heap_alloc(s, shadow.bytes[k], &block[k]) != MEMO_OK) {
            right = block[k] == 0; /* full: nothing has changed */
            continue;
        }
        log_commit(s);
        right = aligned(block[k], shadow.bytes[k]);
        memset(node_at(s, block[k]), shadow.fill[k], shadow.bytes[k]);
    }
    return right;
}

static void free_all(self_t *s)
{
    unsigned i;

    for (i = 0; i < BENCH_BLOCKS; i++)
        heap_free(s, &bench_blocks(s->body)[i]);
    heap_flush(s);
}

static uint64_t largest_free(self_t *s, uint64_t step)
{
    offset_t *block = bench_blocks(s->body);
    uint64_t low = 0, high = heap_capacity(s->root) + step;

    while (high - low > step) {
        uint64_t middle = low + (high - low) / 2;
        if (heap_alloc(s, middle, block) == MEMO_OK) {
            log_commit(s);
            heap_free(s, block);
            heap_flush(s);
            low = middle;
        } else
            high = middle;
    }
    return low;
}

static void test_one(uint64_t seed)
{
    uint64_t largest = largest_free(me, HEAP_PAGE / 2), used = heap_used(me);

    tap_ok(churn(me, seed, 6000), "random blocks are aligned, and nobody else writes into them");
    tap_ok(bench_walk(me), "every block is accounted for");
    free_all(me);
    tap_ok(bench_walk(me), "and with all of them freed");
    tap_is_int((long long)heap_used(me), (long long)used, "nothing more is in use than before");
    tap_is_int((long long)(largest_free(me, HEAP_PAGE / 2) / HEAP_PAGE), (long long)(largest / HEAP_PAGE),
               "the free pages are one run again");
}

/* Every size on its own: a block of it can be had, and no byte of it is another's. */
static void test_each_size(void)
{
    offset_t *block = bench_blocks(me->body);
    uint64_t size;
    bool right = true;

    for (size = 0; size <= HEAP_CLASS_MAX + 1 && right; size++) {
        right = heap_alloc(me, size, &block[0]) == MEMO_OK;
        log_commit(me);
        right = right && heap_alloc(me, size, &block[1]) == MEMO_OK;
        log_commit(me);
        right = right && heap_rounded(size) >= size && block[0] != block[1] &&
                (block[0] > block[1] ? block[0] - block[1] : block[1] - block[0]) >= heap_rounded(size);
        heap_free(me, &block[0]);
        heap_free(me, &block[1]);
    }
    free_all(me);
    tap_ok(right, "two blocks of each small size lie apart");
}

static void test_full(void)
{
    offset_t *block = bench_blocks(me->body);
    uint64_t used;
    unsigned n = 0;

    while (n < BENCH_BLOCKS && heap_alloc(me, 40000, &block[n]) == MEMO_OK) {
        log_commit(me);
        n++;
    }
    used = heap_used(me);
    tap_ok(n > 10 && n < BENCH_BLOCKS, "the heap is full");
    tap_is_int(heap_alloc(me, 40000, &block[n]), MEMO_EFULL, "a full heap says so");
    tap_ok(block[n] == 0 && heap_used(me) == used && atomic_load(&me->body->intent) == 0, "and changes nothing");
    tap_is_int(heap_alloc(me, heap_capacity(me->root) + 1, &block[n]), MEMO_EFULL, "so does one that is too small");
    heap_free(me, &block[n / 2]);
    tap_is_int(heap_alloc(me, 40000, &block[n / 2]), MEMO_OK, "what was freed can be had");
    log_commit(me);
    free_all(me);
    tap_ok(bench_walk(me), "every block is accounted for");
}

static void *cache_something(void *arg)
{
    self_t *s = bench_enter(&node);
    offset_t *block = bench_blocks(s->body);
    unsigned i;

    for (i = 0; i < 3; i++)
        if (heap_alloc(s, 30000, &block[i]) == MEMO_OK)
            log_commit(s);
    for (i = 0; i < 3; i++)
        heap_free(s, &block[i]);
    node_leave(s);
    return arg;
}

static void test_thread_that_ends(void)
{
    uint64_t largest = largest_free(me, HEAP_PAGE / 2);
    pthread_t t;

    pthread_create(&t, NULL, cache_something, NULL);
    pthread_join(t, NULL);
    tap_is_int((long long)(largest_free(me, HEAP_PAGE / 2) / HEAP_PAGE), (long long)(largest / HEAP_PAGE),
               "a thread that ends gives its caches back");
}

static void test_many(uint64_t seed)
{
    pid_t child[PROCESSES];
    int status;
    unsigned i, failed = 0;

    for (i = 0; i < PROCESSES; i++) {
        child[i] = tap_fork();
        if (child[i] == 0) {
            static node_t n;
            self_t *s;
            bool right;
            bench_open(&n, BENCH_BYTES);
            s = bench_enter(&n);
            right = churn(s, seed + i, 4000);
            node_leave(s);
            if (i % 2 == 0)
                bench_close(&n); /* with its blocks: they are freed */
            _exit(right ? 0 : 1);
        }
    }
    for (i = 0; i < PROCESSES; i++) {
        waitpid(child[i], &status, 0);
        failed += status != 0;
    }
    bench_repair(me, 1);
    slot_reclaim_left(me);
    tap_is_int(failed, 0, "many at once find their blocks as they left them");
    tap_ok(bench_walk(me), "every block is accounted for");
}

int main(void)
{
    tap_timeout(60);
    bench_open(&node, BENCH_BYTES);
    me = bench_enter(&node);
    test_each_size();
    test_one(tap_seed());
    test_full();
    test_thread_that_ends();
    test_many(tap_seed());
    node_leave(me);
    bench_close(&node);
    return tap_done();
}
