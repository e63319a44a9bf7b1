/*
 * near_deaths.c - messages inside a node: each memo in exactly one place, whatever instruction a process dies at,
 * and whoever comes and goes.
 */
#include "t/lib/near_bench.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { STEPS = 20000, UNREAD_MOST = 300 };

static long steps_each = STEPS;

/* ---- deaths ---------------------------------------------------------------------------------------------- */

/* What came to the survivor, by messages and by his own repairs: how often each memo, and from where. */
typedef struct came {
    unsigned put, back;
} came_t;

static came_t came[8];
static unsigned gone;

static void note(self_t *s, const wire_message_t *message)
{
    struct memo *m = message->memo != NULL ? near_memo(message->memo) : NULL;
    uint64_t number;
    memo_folder_t expected = near_bench_folder(7);

    if (message->type == WIRE_GONE && message->number[1] == 0)
        gone++;
    if (m == NULL)
        return;
    number = bench_number(m);
    if (number >= 8 || message->count != 1 ||
        (message->type == WIRE_RETURN && memcmp(&message->folders[0].name, &expected, sizeof expected) != 0))
        near_bench_wrong("a memo comes back from another folder");
    else if (message->type == WIRE_RETURN)
        came[number].back++;
    else
        came[number].put++;
    near_free(s, m);
}

static int survivor_sends(self_t *s, uint32_t server, const wire_message_t *message, void *arg)
{
    (void)arg;
    (void)server;
    note(s, message);
    return MEMO_OK;
}

static void survivor_hears(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    (void)arg;
    (void)envelope;
    note(s, message);
}

/* A victim's own repairs and closings send to the survivor. */
static int victim_sends(self_t *s, uint32_t server, const wire_message_t *message, void *arg)
{
    (void)arg;
    (void)server;
    return near_send(s, near_bench.me->id, message, NULL);
}

static dead_t victims = {.servers = 1, .self = 2, .send = victim_sends};
static self_t *victim; /* in the child */

static void open_victim(node_t *n, void *arg)
{
    (void)arg;
    near_bench_open(n, 2, &victims);
    victim = bench_enter(n);
}

/* A memo that was taken from folder 7. */
static struct memo *taken(self_t *s, uint64_t number)
{
    struct memo *m = near_bench_memo(s, number);
    memo_folder_t f = near_bench_folder(7);

    if (near_origin(s, m, &f) != MEMO_OK)
        _exit(1);
    return m;
}

static struct memo *at_hand; /* of the victim */

static void hold_taken(node_t *n, void *arg)
{
    open_victim(n, arg);
    at_hand = taken(victim, 0);
}

static void hold_new(node_t *n, void *arg)
{
    open_victim(n, arg);
    at_hand = near_bench_memo(victim, 0);
}

/* In the list behind the hand. */
static void hold_many(node_t *n, void *arg)
{
    unsigned i;

    open_victim(n, arg);
    for (i = 0; i < HAND_SLOTS; i++)
        near_bench_memo(victim, 1);
    at_hand = taken(victim, 0);
}

static void put(node_t *n, void *arg)
{
    memo_folder_t f = near_bench_folder(1);

    (void)n;
    (void)arg;
    near_bench_send(victim, near_bench.me->id, WIRE_PUT, 1, &f, at_hand, NULL);
}

static void free_it(node_t *n, void *arg)
{
    (void)n;
    (void)arg;
    near_free(victim, at_hand);
}

static void post_answer(node_t *n, void *arg)
{
    memo_folder_t f = near_bench_folder(7);

    open_victim(n, arg);
    near_bench_send(victim, victim->id, WIRE_ANSWER, 1, &f, near_bench_memo(victim, 0), NULL);
}

static void post_answer_to_full_hand(node_t *n, void *arg)
{
    unsigned i;

    post_answer(n, arg);
    for (i = 0; i < HAND_SLOTS - 1; i++)
        near_bench_memo(victim, 1);
}

static void take_and_put(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    memo_folder_t f = near_bench_folder(1);

    (void)arg;
    near_bench_send(s, near_bench.me->id, WIRE_PUT, 2, &f, near_memo(message->memo), envelope);
}

static void scan_and_put(node_t *n, void *arg)
{
    (void)n;
    (void)arg;
    near_scan(victim, take_and_put, NULL);
}

static void post_put(node_t *n, void *arg)
{
    memo_folder_t f = near_bench_folder(7);

    open_victim(n, arg);
    near_bench_send(victim, victim->id, WIRE_PUT, 1, &f, near_bench_memo(victim, 0), NULL);
    near_bench_send(victim, victim->id, WIRE_SELECT, 2, &f, NULL, NULL);
}

/* As a server: the memo that was put answers the select. */
static void serve_once(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    struct memo **stored = arg;

    if (message->memo != NULL)
        *stored = near_memo(message->memo);
    else
        near_bench_send(s, near_bench.me->id, WIRE_ANSWER, 2, &message->folders[0].name, *stored, envelope);
}

static void scan_and_serve(node_t *n, void *arg)
{
    struct memo *stored = NULL;

    (void)n;
    (void)arg;
    near_scan(victim, serve_once, &stored);
}

/* Somebody who died with a memo in his hand, more of them in its list, and two on their way to him. */
static void leave_a_corpse(void)
{
    pid_t child = near_bench_fork();
    int status;

    if (child == 0) {
        node_t n;
        memo_folder_t f = near_bench_folder(7);
        unsigned i;
        open_victim(&n, NULL);
        for (i = 0; i < HAND_SLOTS; i++)
            near_bench_memo(victim, 1);
        taken(victim, 0);
        near_bench_send(victim, victim->id, WIRE_ANSWER, 1, &f, near_bench_memo(victim, 2), NULL);
        near_bench_send(victim, victim->id, WIRE_PUT, 1, &f, near_bench_memo(victim, 1), NULL);
        near_bench_send(victim, victim->id, WIRE_ANSWER, 1, &f, near_bench_memo(victim, 3), NULL);
        raise(SIGKILL);
    }
    waitpid(child, &status, 0);
}

static void repair(node_t *n, void *arg)
{
    (void)n;
    (void)arg;
    repair_look(victim, 0);
}

static void close_victim(node_t *n, void *arg)
{
    (void)arg;
    node_leave(victim);
    node_close(n);
}

typedef struct step {
    const char *text;
    bench_victim_t victim;
    void (*before)(void);
    unsigned kept;  /* a bit per memo that must come once */
    unsigned loose; /* that may come, or be freed: they come from nowhere */
} step_t;

static bool accounted(const step_t *step)
{
    unsigned i;
    bool good = true;

    for (i = 0; i < 8; i++) {
        unsigned times = came[i].put + came[i].back;
        if ((step->kept >> i & 1) != 0 ? times != 1 : times > (step->loose >> i & 1)) {
            tap_diag("memo %u was put %u times and came back %u times", i, came[i].put, came[i].back);
            good = false;
        }
    }
    return good;
}

static bool once(const step_t *step, long instructions, long *made, uint64_t used)
{
    bool good;

    memset(came, 0, sizeof came);
    if (step->before != NULL)
        step->before();
    *made = bench_kill_after(&step->victim, instructions);
    bench_repair(near_bench.me, 1);
    near_scan(near_bench.me, survivor_hears, NULL);
    slot_reclaim_left(near_bench.me);
    good = accounted(step);
    if (used != 0 && heap_used(near_bench.me) != used) {
        tap_diag("%llu bytes are in use, of %llu", (unsigned long long)heap_used(near_bench.me),
                 (unsigned long long)used);
        good = false;
    }
    if (node_receivers(near_bench.me) != 1 ||
        hand_first(near_bench.me, near_bench.me->body, near_bench.me->id) != NULL ||
        atomic_load(&near_bench.shared->wrong) != 0)
        good = false;
    if (!good)
        tap_diag("%s: killed after %ld instructions", step->text, *made);
    return good;
}

static void try_step(const step_t *step)
{
    long all, made, left;
    uint64_t used;
    bool good = once(step, LONG_MAX, &all, 0);

    used = heap_used(near_bench.me);
    tap_diag("%s: %ld instructions", step->text, all);
    for (left = steps_each; left > 0 && good; left -= made)
        good = once(step, (long)(bench_random(&near_bench.random) % (uint64_t)(all + 1)), &made, used);
    tap_ok(good, "%s: killed after any instruction", step->text);
}

static void test_deaths(const char *only)
{
    static const step_t steps[] = {
        {"sending what was taken", {hold_taken, put, NULL, true}, NULL, 1, 0},
        {"sending what is new", {hold_new, put, NULL, true}, NULL, 0, 1},
        {"sending out of a full hand", {hold_many, put, NULL, true}, NULL, 1, 0},
        {"freeing what was taken", {hold_taken, free_it, NULL, true}, NULL, 0, 1},
        {"taking, and putting at once", {post_answer, scan_and_put, NULL, true}, NULL, 1, 0},
        {"the same with a full hand", {post_answer_to_full_hand, scan_and_put, NULL, true}, NULL, 1, 0},
        {"serving", {post_put, scan_and_serve, NULL, true}, NULL, 0, 1},
        {"repairing", {open_victim, repair, NULL, true}, leave_a_corpse, 1 | 4 | 8, 0},
        {"closing", {post_answer_to_full_hand, close_victim, NULL, true}, NULL, 1, 0},
    };
    unsigned i;

    if (getenv("MEMO_TSAN") != NULL) {
        tap_skip("a thread sanitizer sees threads, not processes that are killed between instructions", "deaths");
        return;
    }
    near_bench_reset();
    for (i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (only == NULL || strcmp(only, steps[i].text) == 0)
            try_step(&steps[i]);
    tap_ok(gone > 0, "servers were told who is gone");
}

/* ---- mailboxes that go ----------------------------------------------------------------------------------- */

/* What comes is for him, not for who had his index before. */
static void hold_own(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    (void)envelope;
    (void)arg;
    if (message->request != s->id)
        near_bench_wrong("a message has come to another");
}

/* Opens, lets itself be sent to, and goes in one way or the other, again and again. */
static void comer_and_goer(bool dies)
{
    node_t n;
    uint64_t random = near_bench.random;

    while (!atomic_load(&near_bench.shared->stop)) {
        memset(&n, 0, sizeof n);
        open_victim(&n, NULL);
        atomic_store(&near_bench.shared->mailbox, victim->id);
        usleep((unsigned)(bench_random(&random) % 300));
        near_scan(victim, hold_own, NULL);
        if (dies)
            raise(SIGKILL);
        node_leave(victim);
        node_close(&n);
    }
    _exit(0);
}

static void repairer(void)
{
    node_t n;

    open_victim(&n, NULL);
    while (!atomic_load(&near_bench.shared->stop))
        repair_look(victim, 0);
    near_bench_end_child(&n, victim);
}

/* Sends to whoever is there, until he is there no more: what was sent comes back, but what he has not. */
static void send_until_gone(unsigned long *sent, unsigned long *refused)
{
    party_id_t to = atomic_exchange(&near_bench.shared->mailbox, 0);
    wire_folder_t from = {.name = near_bench_folder(7)};
    wire_message_t message = {.type = WIRE_ANSWER, .request = to, .folders = &from, .count = 1};
    struct memo *m;
    int result;

    if (to == 0)
        return;
    for (;;) {
        near_scan(near_bench.me, survivor_hears, NULL);
        if (*sent - came[0].back >= UNREAD_MOST || (m = hand_alloc(near_bench.me, 8)) == NULL) {
            sched_yield();
            continue;
        }
        memset(hand_data(m), 0, 8);
        message.memo = near_wire(m);
        result = near_send(near_bench.me, to, &message, NULL);
        if (result == MEMO_OK)
            ++*sent;
        else
            near_free(near_bench.me, m);
        if (result == MEMO_EPEER)
            break;
    }
    ++*refused;
}

static void test_goers(bool dies, unsigned times)
{
    unsigned long sent = 0, refused = 0;
    pid_t child[2];
    int status;

    near_bench_reset();
    memset(came, 0, sizeof came);
    child[0] = near_bench_fork();
    if (child[0] == 0)
        comer_and_goer(dies);
    child[1] = near_bench_fork();
    if (child[1] == 0)
        repairer();
    while (refused < times) {
        send_until_gone(&sent, &refused);
        if (dies && waitpid(child[0], &status, WNOHANG) == child[0]) {
            child[0] = near_bench_fork();
            if (child[0] == 0)
                comer_and_goer(dies);
        }
    }
    atomic_store(&near_bench.shared->stop, true);
    waitpid(child[0], &status, 0);
    near_bench_ended_well(&child[1], 1);
    bench_repair(near_bench.me, 1);
    near_scan(near_bench.me, survivor_hears, NULL);
    slot_reclaim_left(near_bench.me);
    tap_diag("%lu sent", sent);
    tap_is_int((long long)(came[0].back + came[0].put), (long long)sent,
               "what is sent to one who %s comes back once", dies ? "dies" : "closes");
    tap_ok(hand_first(near_bench.me, near_bench.me->body, near_bench.me->id) == NULL &&
               atomic_load(&near_bench.shared->wrong) == 0,
           "and nothing else does");
}

int main(int argc, char **argv)
{
    dead_t dead = {.servers = 1, .self = 1, .send = survivor_sends};

    if (getenv("MEMO_STEPS") != NULL)
        steps_each = strtol(getenv("MEMO_STEPS"), NULL, 0);
    near_bench_begin(&dead);
    test_deaths(argc > 1 ? argv[1] : NULL); /* before sections grow: repairs look at each slot */
    test_goers(false, 300);
    test_goers(true, 100);
    return near_bench_finish();
}
