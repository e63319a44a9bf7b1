/*
 * patience.c - how long who waits keeps his CPU before he sleeps: libmemo/wire/patience.c with a clock, and a CPU,
 * of the test's own. The clock goes on by a fixed step each time that somebody looks for a message or at the clock,
 * and by what a yield is to take.
 */
#include <sched.h>
#include <stdlib.h>

#include "libmemo/node/wait.h"

static int64_t clock_ns;
static int64_t yield_ns = 100; /* what a yield takes: more than SWITCH_NS where others want the CPU */
static int our_cpu;
static unsigned looks, yields, pauses, before_ready;

static int64_t test_now(void)
{
    return clock_ns += 10;
}

static int test_cpu(void)
{
    return our_cpu;
}

static int test_yield(void)
{
    yields++;
    clock_ns += yield_ns;
    return 0;
}

static void test_pause(void)
{
    pauses++;
    clock_ns += 100;
}

#define wait_now test_now
#define wait_pause test_pause
#define sched_getcpu test_cpu
#define sched_yield test_yield
#include "libmemo/wire/patience.c"
#undef wait_now
#undef wait_pause
#undef sched_getcpu
#undef sched_yield

#include "t/tap.h"

enum { ME = 1, OTHER = 2, NEVER = 1000000 };

static node_root_t *root;
static node_t node;
static self_t self;
static patience_t p;
static patience_with_t with;

static bool ready(void *arg)
{
    (void)arg;
    return looks++ >= before_ready;
}

/* One wait for a message that comes after so many looks. */
static bool wait_once(unsigned comes_after)
{
    looks = yields = pauses = 0;
    before_ready = comes_after;
    bool found = patience_look(&p, &self, with, ready, NULL);
    if (!found) {
        clock_ns += 1000;
        patience_slept(&p);
    }
    return found;
}

/* On so many CPUs; the one that the answer is expected of was last on CPU 1, as others see it. */
static void begin(unsigned cpus)
{
    node.cpus = cpus;
    our_cpu = 0;
    clock_ns = 1000000000;
    yield_ns = 100;
    p = (patience_t){0};
    with = (patience_with_t){.mailbox = OTHER};
    atomic_store(&root->parties[OTHER].cpu, 2);
    atomic_store(&root->parties[0].cpu, 2); /* nobody's: an identifier of 0 is none */
    patience_slept(&p);
}

static void begin_learned(unsigned cpus)
{
    begin(cpus);
    for (int i = 0; i < 2 * SCORE_MOST; i++)
        wait_once(3);
}

static void check_at_once(void)
{
    begin(2);
    tap_ok(wait_once(0) && yields == 0 && pauses == 0, "what is there is found at once");
    tap_is_int(atomic_load(&self.party->cpu), 0, "and without a word about the CPU");
    wait_once(1);
    tap_is_int(atomic_load(&self.party->cpu), 1, "who waits says on which CPU");
}

static void check_learning(void)
{
    begin(2);
    tap_ok(!wait_once(NEVER) && yields == YIELDS && pauses == 0,
           "before it has paid, it yields a few times and sleeps");
    tap_ok(wait_once(3) && yields > 0 && yields <= 3 && p.score == 1,
           "a message that comes while it yields is a success");
    begin_learned(2);
    int64_t before = clock_ns;
    tap_is_int((long long)p.score, SCORE_MOST, "successes count up to a bound");
    tap_ok(!wait_once(NEVER) && pauses > 10 * yields && yields > 0,
           "once it has paid, it looks, and asks now and then whether others want its CPU");
    tap_ok(clock_ns - 1000 - before >= LOOK_NS && clock_ns - 1000 - before < LOOK_NS + 10000,
           "for as long as waking takes, no longer");
    tap_is_int((long long)p.score, SCORE_MOST - SCORE_MISS, "a miss costs more than a success earns");
    wait_once(NEVER);
    wait_once(NEVER);
    tap_ok(p.score == 0 && !wait_once(NEVER) && pauses == 0, "after a few misses it does not look any more");
}

static void check_trial(void)
{
    int tried = 0;
    begin(2);
    for (int i = 0; i < 4 * (NAPS_TRIAL + 1); i++) {
        wait_once(NEVER);
        tried += pauses > 0;
    }
    tap_is_int(tried, 4, "where it does not pay it is tried now and then");
    begin(2);
    while (pauses == 0)
        wait_once(NEVER);
    for (int i = 0; i < NAPS_TRIAL; i++)
        wait_once(NEVER);
    tap_ok(wait_once(YIELDS + 5) && pauses > 0 && p.score == 1, "and a trial that succeeds is learned from");
    wait_once(YIELDS + 5);
    tap_ok(pauses > 0, "so that it looks the next time too");
}

static void check_asleep(void)
{
    begin_learned(2);
    with.asleep = true;
    tap_ok(!wait_once(NEVER) && pauses > 0, "while who is to answer is woken it looks, if nobody wants its CPU");
    begin_learned(2);
    with.asleep = true;
    yield_ns = 2 * SWITCH_NS;
    tap_ok(!wait_once(NEVER) && pauses == 0, "but not where somebody does");
}

static void check_shared_cpu(void)
{
    unsigned few = 0, many = 0;
    begin_learned(2);
    our_cpu = 1;
    for (int i = 0; i < 2 * SHARED_TRIAL; i++) {
        wait_once(NEVER);
        few += yields == YIELDS_SHARED && pauses == 0;
        many += yields == YIELDS && pauses == 0;
    }
    tap_ok(few == 2 * SHARED_TRIAL - 2 && many == 2,
           "nor when he is on the same CPU: it yields little, now and then more (%u, %u)", few, many);
    begin_learned(1);
    wait_once(NEVER);
    tap_ok(pauses == 0 && yields == YIELDS_SHARED, "nor where there is but one CPU");
    begin_learned(2);
    with.mailbox = 0;
    our_cpu = 1;
    tap_ok(!wait_once(NEVER) && pauses > 0, "where there is no saying who is to answer, it looks");
}

/* The other one comes to our CPU while we look. */
static bool moves(void *arg)
{
    (void)arg;
    if (++looks == 5)
        atomic_store(&root->parties[OTHER].cpu, 1);
    return false;
}

static void check_moves(void)
{
    begin_learned(2);
    int64_t before = clock_ns;
    looks = 0;
    tap_ok(!patience_look(&p, &self, with, moves, NULL) && clock_ns - before < LOOK_NS / 2,
           "it stops looking when the other one comes to its CPU");
}

static void check_crowd(void)
{
    begin_learned(2);
    yield_ns = 2 * SWITCH_NS;
    tap_ok(!wait_once(NEVER) && pauses <= GLANCES * ROUNDS && yields >= YIELDS,
           "where others want the CPU it stops looking, and yields");
    begin_learned(2);
    yield_ns = 2 * SWITCH_NS;
    tap_ok(wait_once(GLANCES * ROUNDS + 3) && p.score < SCORE_MOST,
           "what comes only then is no success of looking");
    begin(2);
    yield_ns = 2 * LONG_NS;
    tap_ok(!wait_once(NEVER) && yields == 1, "for somebody who computes it waits once, then sleeps");
}

/* Somebody has kept the CPU for longer than any of ours would. */
static void check_strangers(void)
{
    unsigned asked = 0;
    begin_learned(2);
    yield_ns = 2 * STRANGER_NS;
    wait_once(NEVER);
    for (int i = 0; i < STRANGER_WAITS; i++) {
        wait_once(NEVER);
        asked += yields + pauses;
    }
    tap_is_int(asked, 0, "who has lost the CPU to a stranger sleeps at once");
    wait_once(NEVER);
    tap_ok(yields > 0, "but not for ever");
}

/* Every message is there soon: but nobody stays awake for ever where others want the CPU. */
static unsigned naps_of(int64_t yield_takes, int64_t *most)
{
    begin_learned(2);
    yield_ns = yield_takes;
    int64_t slept = p.awake_ns = clock_ns, longest = 0;
    unsigned naps = 0;
    for (int i = 0; i < 1000; i++) {
        clock_ns += 5000;
        looks = 0;
        before_ready = 2;
        if (!patience_look(&p, &self, with, ready, NULL)) {
            longest = clock_ns - slept > longest ? clock_ns - slept : longest;
            slept = clock_ns;
            naps++;
            patience_slept(&p);
        }
    }
    *most = longest;
    return naps;
}

static void check_awake(void)
{
    int64_t longest;
    unsigned naps = naps_of(2 * SWITCH_NS, &longest);

    tap_ok(naps >= 4 && longest <= AWAKE_NS + 20000,
           "who always finds something sleeps now and then (%u times, after %" PRId64 " us)", naps, longest / 1000);
    tap_is_int(naps_of(100, &longest), 0, "but not while nobody else wants the CPU");
}

int main(void)
{
    root = aligned_alloc(NODE_LINE, sizeof *root);
    if (root == NULL)
        tap_bail("no memory");
    memset(root, 0, sizeof *root);
    self = (self_t){.node = &node, .root = root, .party = &root->parties[ME]};
    check_at_once();
    check_learning();
    check_trial();
    check_asleep();
    check_shared_cpu();
    check_moves();
    check_crowd();
    check_strangers();
    check_awake();
    free(root);
    return tap_done();
}
