/*
 * slot.c - messages between parties: none lost, none twice, in order; sections that grow and go; deaths of either
 * end.
 */
#include "t/lib/node_bench.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { SENDERS = 3, RECEIVERS = 2, MESSAGES = 3000, READERS = 30 };

static node_t node;
static self_t *me;

/* Shared with the children, outside the region. */
static struct shared {
    _Atomic uint32_t receiver[RECEIVERS]; /* party index + 1 */
    _Atomic uint64_t got;
    _Atomic uint32_t wrong;
    _Atomic uint32_t ready;
} * shared;

static void await(const _Atomic uint32_t *word)
{
    while (atomic_load(word) == 0)
        usleep(100);
}

static void end_child(node_t *n, self_t *s)
{
    node_leave(s);
    bench_close(n);
    _exit(0);
}

static unsigned wait_for(const pid_t child[], unsigned n)
{
    unsigned i, failed = 0;
    int status;

    for (i = 0; i < n; i++) {
        waitpid(child[i], &status, 0);
        failed += status != 0;
    }
    return failed;
}

/* ---- many at once ---------------------------------------------------------------------------------------- */

static struct memo *mine[SENDERS * MESSAGES]; /* a slow reader may find all of them at once */
static unsigned mine_count;

static void keep(self_t *s, struct memo *m, void *arg)
{
    (void)s;
    (void)arg;
    mine[mine_count++] = m;
}

static void receiver_main(unsigned index)
{
    static node_t n;
    uint64_t last[SENDERS] = {0}, total = 0;
    self_t *s;
    unsigned i;

    bench_open(&n, BENCH_BYTES);
    s = bench_enter(&n);
    atomic_store(&shared->receiver[index], s->index + 1);
    while (total < SENDERS * MESSAGES) {
        slot_sleep(s, WAIT_FOREVER, NULL, NULL);
        bench_receive(s, keep, NULL);
        for (i = 0; i < mine_count; i++) {
            uint64_t number = bench_number(mine[i]), sender = number >> 32;
            if (sender >= SENDERS || (number & UINT32_MAX) != ++last[sender])
                atomic_fetch_add(&shared->wrong, 1);
            bench_free(s, mine[i]);
        }
        total += mine_count;
        mine_count = 0;
    }
    atomic_fetch_add(&shared->got, total);
    end_child(&n, s);
}

static void sender_main(unsigned sender)
{
    static node_t n;
    self_t *s;
    uint32_t i, k;

    bench_open(&n, BENCH_BYTES);
    s = bench_enter(&n);
    for (k = 0; k < RECEIVERS; k++)
        await(&shared->receiver[k]);
    for (i = 1; i <= MESSAGES; i++)
        for (k = 0; k < RECEIVERS; k++) {
            struct memo *m = bench_memo(s, 8, (uint64_t)sender << 32 | i);
            while (m == NULL || !bench_send(s, atomic_load(&shared->receiver[k]) - 1, m)) {
                sched_yield(); /* they are slow to read: there is no room */
                if (m == NULL)
                    m = bench_memo(s, 8, (uint64_t)sender << 32 | i);
            }
        }
    end_child(&n, s);
}

static void test_storm(void)
{
    pid_t child[SENDERS + RECEIVERS];
    unsigned i;

    for (i = 0; i < SENDERS + RECEIVERS; i++) {
        child[i] = tap_fork();
        if (child[i] == 0 && i < RECEIVERS)
            receiver_main(i);
        if (child[i] == 0)
            sender_main(i - RECEIVERS);
    }
    tap_is_int(wait_for(child, SENDERS + RECEIVERS), 0, "all ended well");
    tap_is_int((long long)atomic_load(&shared->got), SENDERS * RECEIVERS * MESSAGES, "every message came");
    tap_is_int(atomic_load(&shared->wrong), 0, "once, and in its sender's order");
    slot_reclaim_left(me);
    tap_ok(bench_walk(me), "every block is accounted for");
}

/* ---- one message for many -------------------------------------------------------------------------------- */

static pthread_barrier_t barrier;
static _Atomic uint32_t reader[READERS];
static _Atomic unsigned heard;

static void hear(self_t *s, struct memo *m, void *arg)
{
    (void)s;
    (void)arg;
    if (bench_number(m) == 4711)
        atomic_fetch_add(&heard, 1);
}

static void *reader_main(void *arg)
{
    self_t *s = bench_enter(&node);

    atomic_store((_Atomic uint32_t *)arg, s->index);
    pthread_barrier_wait(&barrier);
    while (!bench_receive(s, hear, NULL))
        slot_sleep(s, WAIT_FOREVER, NULL, NULL);
    node_leave(s);
    return NULL;
}

static void post_to_all(void)
{
    offset_t *scratch = &me->body->scratch[2];
    uint64_t number = 4711;
    struct memo *clone;
    slot_t *slot;
    unsigned i;

    if (heap_alloc(me, sizeof *clone + 8, scratch) != MEMO_OK)
        tap_bail("no memory for a clone");
    log_commit(me);
    clone = node_at(me, *scratch);
    memset(clone, 0, sizeof *clone);
    memcpy(hand_data(clone), &number, sizeof number);
    if (slot_begin(me, 1) != MEMO_OK)
        tap_bail("no slot");
    slot = slot_fill(me, SLOT_CLONE, *scratch, 0);
    for (i = 0; i < READERS; i++)
        slot_address(me, slot, atomic_load(&reader[i]));
    log_u64(me, scratch, 0);
    slot_commit(me);
    slot_end(me);
    slot_wake(me);
}

static void test_many_receivers(void)
{
    pthread_t t[READERS];
    node_counts_t before, after;
    unsigned i;

    pthread_barrier_init(&barrier, NULL, READERS + 1);
    for (i = 0; i < READERS; i++)
        pthread_create(&t[i], NULL, reader_main, (void *)&reader[i]);
    pthread_barrier_wait(&barrier);
    node_counts(me, &before);
    post_to_all();
    for (i = 0; i < READERS; i++)
        pthread_join(t[i], NULL);
    node_counts(me, &after);
    tap_is_int(atomic_load(&heard), READERS, "%d receivers read one message", READERS);
    tap_is_int((long long)(after.slot_messages - before.slot_messages), 1, "one was posted");
    tap_ok(bench_walk(me), "what they read is freed by the last");
}

/* ---- growth, and deaths ---------------------------------------------------------------------------------- */

static void *send_to_me(void *arg)
{
    self_t *s = bench_enter(&node);
    unsigned i;

    for (i = 0; i < 500; i++)
        bench_send(s, me->index, bench_memo(s, 8, i));
    tap_ok(((section_t *)node_at(s, atomic_load(&s->party->section)))->slots >= 500, "a section grows");
    *(party_t **)arg = s->party;
    node_leave(s);
    return NULL;
}

static void test_growth(void)
{
    party_t *sender;
    pthread_t t;
    bool right = true;
    unsigned i;

    pthread_create(&t, NULL, send_to_me, &sender);
    pthread_join(t, NULL);
    tap_ok(atomic_load(&sender->section) != 0, "it outlives its party while it is not drained");
    mine_count = 0;
    while (bench_receive(me, keep, NULL))
        ;
    for (i = 0; i < mine_count; i++) {
        right = right && bench_number(mine[i]) == i;
        bench_free(me, mine[i]);
    }
    tap_ok(right && mine_count == 500, "all are read, in order");
    slot_reclaim_left(me);
    tap_ok(atomic_load(&sender->section) == 0 && bench_walk(me), "drained, it goes back to the heap");
}

/* A child that is a receiver, and reads nothing; armed if so asked. */
static pid_t start_receiver(bool armed)
{
    pid_t child;

    atomic_store(&shared->ready, 0);
    child = tap_fork();
    if (child == 0) {
        static node_t n;
        self_t *s;
        bench_open(&n, BENCH_BYTES);
        s = bench_enter(&n);
        if (armed)
            bench_arm(s);
        atomic_store(&shared->ready, s->index + 1);
        for (;;)
            pause();
    }
    await(&shared->ready);
    return child;
}

static void kill_it(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}

static void empty_store(void)
{
    while (bench_stored(me) > 0)
        bench_free(me, bench_take(me));
}

static void test_receiver_killed(void)
{
    pid_t child = start_receiver(false);
    unsigned i;

    for (i = 0; i < 50; i++)
        bench_put(me, bench_memo(me, 8, i));
    for (i = 0; i < 50; i++)
        bench_send(me, atomic_load(&shared->ready) - 1, bench_take(me));
    kill_it(child);
    bench_repair(me, 1);
    tap_is_int((long long)bench_stored(me), 50, "what a dead receiver did not read goes back");
    tap_ok(bench_walk(me), "every block is accounted for");
    empty_store();
}

static void test_sender_killed(void)
{
    pid_t child = tap_fork();
    unsigned i;

    if (child == 0) {
        static node_t n;
        self_t *s;
        bench_open(&n, BENCH_BYTES);
        s = bench_enter(&n);
        for (i = 0; i < 50; i++)
            bench_send(s, me->index, bench_memo(s, 8, i));
        raise(SIGKILL);
    }
    wait_for(&child, 1);
    bench_repair(me, 1);
    mine_count = 0;
    while (bench_receive(me, keep, NULL))
        ;
    tap_is_int(mine_count, 50, "what a dead sender had sent is read");
    for (i = 0; i < mine_count; i++)
        bench_free(me, mine[i]);
    slot_reclaim_left(me);
    tap_ok(bench_walk(me), "and his section goes");
}

/* The receiver's request was claimed by one who dies before he commits: it can be claimed again, by a third. */
static void test_both_killed(void)
{
    pid_t receiver = start_receiver(true), sender;
    uint32_t index = atomic_load(&shared->ready) - 1;

    sender = tap_fork();
    if (sender == 0) {
        static node_t n;
        self_t *s;
        _Atomic uint64_t *word;
        uint64_t now;
        bench_open(&n, BENCH_BYTES);
        s = bench_enter(&n);
        word = &bench_root(s)->request[index];
        now = atomic_load(word);
        slot_begin(s, 1);
        log_claim(s, word, now, now >> 32 << 32 | (uint64_t)(s->index + 1) << 8 | BENCH_CLAIMED);
        raise(SIGKILL);
    }
    wait_for(&sender, 1);
    tap_is_int(atomic_load(&bench_root(me)->request[index]) & 0xff, BENCH_CLAIMED, "a dead sender's claim stands");
    kill_it(receiver);
    bench_repair(me, 1);
    tap_is_int(atomic_load(&bench_root(me)->left_pending), 0, "no request of the dead can be claimed");
    tap_ok(bench_walk(me), "every block is accounted for");
}

/* A section is known by a word in it, which a memo's data may have too. */
static void test_looks_like_a_section(void)
{
    pid_t child = tap_fork();
    unsigned i;

    if (child == 0) {
        static node_t n;
        self_t *s;
        struct memo *m;
        bench_open(&n, BENCH_BYTES);
        s = bench_enter(&n);
        m = hand_alloc(s, 5000);
        for (i = 0; i < 5000 / sizeof(uint64_t); i++)
            ((uint64_t *)hand_data(m))[i] = SECTION_MAGIC;
        hand_free_begin(s, m);
        log_commit(s);
        raise(SIGKILL); /* with the memo on its way to the heap */
    }
    wait_for(&child, 1);
    bench_repair(me, 1);
    tap_ok(bench_walk(me), "what a memo's bytes say frees nothing");
}

int main(void)
{
    tap_timeout(60);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        tap_bail("no shared page");
    bench_open(&node, BENCH_BYTES);
    me = bench_enter(&node);
    test_storm();
    test_many_receivers();
    test_growth();
    test_receiver_killed();
    test_sender_killed();
    test_both_killed();
    test_looks_like_a_section();
    node_leave(me);
    bench_close(&node);
    return tap_done();
}
