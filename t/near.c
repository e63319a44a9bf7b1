/*
 * near.c - messages inside a node: in order, each memo in exactly one place, whatever instruction a process dies
 * at.
 */
#include "t/lib/node_bench.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "libmemo/wire/dead.h"
#include "libmemo/wire/near.h"

enum {
    CLIENTS = 3,
    FOLDERS = 5,
    WINDOW = 16,
    MEMOS = 64,
    STEPS = 20000,
    BYTES = 16 << 20,
    TRIPS = 100000,
    UNREAD_MOST = 300
};

static node_t node; /* of the process that prints */
static self_t *me;
static dead_t mine; /* what repairs by this process do */
static char name[64];
static pid_t opener;
static uint64_t random_state;
static unsigned long requests_each = 40000;
static long steps_each = STEPS;

/* Shared with the children, outside the region. */
static struct shared {
    _Atomic uint32_t mailbox;              /* the server's, or a victim's */
    _Atomic uint32_t ends;                 /* clients that are done */
    _Atomic uint32_t wrong;                /* things that ought not to be */
    _Atomic uint32_t client[CLIENTS];      /* their mailboxes */
    _Atomic uint32_t seen[CLIENTS][MEMOS]; /* how often each memo was there in the end */
    _Atomic bool stop;
} * shared;

static void wrong(const char *what)
{
    tap_diag("%s", what);
    atomic_fetch_add(&shared->wrong, 1);
}

static memo_folder_t folder(uint64_t number)
{
    return memo_folder_at(number + 1, 0, NULL);
}

/* ---- opening --------------------------------------------------------------------------------------------- */

static void unlink_region(void)
{
    if (getpid() == opener)
        region_unlink(name, "near-test");
}

static int format(region_t *r, node_root_t *root)
{
    (void)r;
    (void)root;
    return MEMO_OK;
}

static void open_as(node_t *n, int32_t rank, dead_t *dead)
{
    node_options_t o = {
        .name = name, .kind = "near-test", .size = BYTES, .user = &dead_node_user, .format = format, .rank = rank};

    if (node_open(n, &o) != MEMO_OK)
        tap_bail("cannot open the region: %s", memo_errmsg());
    n->user_arg = dead;
}

static pid_t fork_child(void)
{
    pid_t child = tap_fork();

    if (child == 0)
        node_forget(&node);
    return child;
}

static void end_child(node_t *n, self_t *s)
{
    node_leave(s);
    node_close(n);
    _exit(0);
}

static bool ended_well(const pid_t child[], unsigned n)
{
    bool well = true;
    unsigned i;
    int status;

    for (i = 0; i < n; i++) {
        waitpid(child[i], &status, 0);
        well = well && status == 0;
    }
    return well;
}

/* Looks around a little before it sleeps, as loops and stubs do. */
static void wait_a_while(self_t *s)
{
    unsigned i;

    for (i = 0; i < 20; i++) {
        if (slot_attention(s))
            return;
        sched_yield();
    }
    slot_sleep(s, WAIT_FOREVER, NULL, NULL);
}

/* ---- messages -------------------------------------------------------------------------------------------- */

static struct memo *new_memo(self_t *s, uint64_t number)
{
    struct memo *m = bench_memo(s, 8 + number % 3000, number);

    while (m == NULL) {
        usleep(100);
        m = bench_memo(s, 8 + number % 3000, number);
    }
    return m;
}

static int send_to(self_t *s, party_id_t to, wire_type_t type, uint64_t request, const memo_folder_t *f,
                   struct memo *m, struct memo **reuse)
{
    wire_folder_t named = {.name = f != NULL ? *f : (memo_folder_t){0}};
    wire_message_t message = {.type = type,
                              .request = request,
                              .folders = &named,
                              .count = f != NULL,
                              .memo = m != NULL ? near_wire(m) : NULL};
    int result;

    while ((result = near_send(s, to, &message, reuse)) == MEMO_EFULL)
        usleep(100);
    return result;
}

/* ---- a server and its clients ---------------------------------------------------------------------------- */

typedef struct server {
    struct memo *queue[FOLDERS][CLIENTS * MEMOS];
    unsigned count[FOLDERS];
} server_t;

static void serve(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    server_t *server = arg;
    party_id_t to = atomic_load(&shared->client[message->client]);
    const memo_folder_t *f = message->count == 1 ? &message->folders[0].name : NULL;
    uint64_t i = message->number[0];
    unsigned *n = &server->count[i];
    memo_folder_t expected = folder(i);

    if (f == NULL || memcmp(f, &expected, sizeof expected) != 0) {
        wrong("a request's folder is another");
        return;
    }
    if (message->type == WIRE_PUT) {
        server->queue[i][(*n)++] = near_memo(message->memo);
        send_to(s, to, WIRE_ANSWER, message->request, NULL, NULL, envelope);
    } else if (*n > 0) {
        struct memo *m = server->queue[i][--*n];
        send_to(s, to, WIRE_ANSWER, message->request, f, m, envelope);
    } else
        send_to(s, to, WIRE_ANSWER, message->request, f, NULL, envelope);
    if (*envelope != NULL)
        wrong("an answer needed another envelope than its request's");
}

static void see(const struct memo *m)
{
    uint64_t number = bench_number(m);

    if (number >= CLIENTS * MEMOS || m->size != 8 + number % 3000)
        wrong("a memo is not what it was");
    else
        atomic_fetch_add(&shared->seen[number / MEMOS][number % MEMOS], 1);
}

static void server_main(void)
{
    static node_t n;
    static dead_t dead = {.servers = 1};
    static server_t server;
    self_t *s;
    unsigned i;

    open_as(&n, 0, &dead);
    s = bench_enter(&n);
    atomic_store(&shared->mailbox, s->id);
    while (atomic_load(&shared->ends) < CLIENTS || slot_attention(s))
        if (!near_scan(s, serve, &server))
            wait_a_while(s);
    for (i = 0; i < FOLDERS; i++)
        while (server.count[i] > 0) {
            struct memo *m = server.queue[i][--server.count[i]];
            see(m);
            if (m->origin != 0)
                wrong("a memo in a folder keeps an envelope");
            near_free(s, m);
        }
    end_child(&n, s);
}

typedef struct asker {
    uint32_t index;
    uint64_t asked, answered, random;
    struct memo *held[CLIENTS * MEMOS];
    unsigned count;
} asker_t;

static void hear(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    asker_t *c = arg;
    struct memo *m = message->memo != NULL ? near_memo(message->memo) : NULL;
    memo_folder_t from;

    if (message->type != WIRE_ANSWER || message->request != ++c->answered)
        wrong("answers are out of order");
    if (m == NULL)
        return;
    if (*envelope != NULL || !near_from(s, m, &from) || memcmp(&from, &message->folders[0].name, sizeof from) != 0)
        wrong("a memo does not know where it comes from");
    c->held[c->count++] = m;
}

static void ask(self_t *s, asker_t *c)
{
    uint64_t r = bench_random(&c->random), i = (r >> 8) % FOLDERS;
    wire_folder_t f = {.name = folder(i)};
    wire_message_t message = {
        .type = WIRE_SELECT, .client = c->index, .request = ++c->asked, .number = {i}, .folders = &f, .count = 1};

    if (r % 2 == 0 && c->count > 0) {
        message.type = WIRE_PUT;
        message.memo = near_wire(c->held[--c->count]);
    }
    while (near_send(s, atomic_load(&shared->mailbox), &message, NULL) != MEMO_OK)
        usleep(100);
}

static void client_main(uint32_t index)
{
    static node_t n;
    static dead_t dead = {.servers = 1};
    static asker_t c;
    self_t *s;
    unsigned i;

    open_as(&n, (int32_t)index + 1, &dead);
    s = bench_enter(&n);
    c.index = index;
    c.random = random_state + index;
    for (i = 0; i < MEMOS; i++)
        c.held[c.count++] = new_memo(s, index * MEMOS + i);
    atomic_store(&shared->client[index], s->id);
    while (atomic_load(&shared->mailbox) == 0)
        usleep(100);
    while (c.answered < requests_each) {
        while (c.asked < requests_each && c.asked - c.answered < WINDOW)
            ask(s, &c);
        if (!near_scan(s, hear, &c))
            wait_a_while(s);
    }
    while (c.count > 0) {
        see(c.held[--c.count]);
        near_free(s, c.held[c.count]);
    }
    atomic_fetch_add(&shared->ends, 1);
    end_child(&n, s);
}

static bool each_seen_once(void)
{
    unsigned i, k;

    for (i = 0; i < CLIENTS; i++)
        for (k = 0; k < MEMOS; k++)
            if (atomic_load(&shared->seen[i][k]) != 1)
                return false;
    return true;
}

static void test_storm(void)
{
    uint64_t used = heap_used(me);
    pid_t child[CLIENTS + 1];
    int64_t began = wait_now();
    uint32_t i;

    memset(shared, 0, sizeof *shared);
    for (i = 0; i <= CLIENTS; i++) {
        child[i] = fork_child();
        if (child[i] == 0 && i == CLIENTS)
            server_main();
        if (child[i] == 0)
            client_main(i);
    }
    tap_ok(ended_well(child, CLIENTS + 1), "a server and %d clients end well", CLIENTS);
    tap_diag("%.0f ns a request and its answer", (double)(wait_now() - began) / (double)(CLIENTS * requests_each));
    tap_is_int(atomic_load(&shared->wrong), 0, "answers in order, memos whole and from where they were");
    tap_ok(each_seen_once(), "each memo is there once");
    slot_reclaim_left(me);
    tap_is_int((long long)heap_used(me), (long long)used, "all memory is back");
    tap_ok(hand_first(me, me->body, me->id) == NULL, "and no hand holds anything");
}

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
    memo_folder_t expected = folder(7);

    if (message->type == WIRE_GONE && message->number[1] == 0)
        gone++;
    if (m == NULL)
        return;
    number = bench_number(m);
    if (number >= 8 || message->count != 1 ||
        (message->type == WIRE_RETURN && memcmp(&message->folders[0].name, &expected, sizeof expected) != 0))
        wrong("a memo comes back from another folder");
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
    return near_send(s, me->id, message, NULL);
}

static dead_t victims = {.servers = 1, .self = 2, .send = victim_sends};
static self_t *victim; /* in the child */

static void open_victim(node_t *n, void *arg)
{
    (void)arg;
    open_as(n, 2, &victims);
    victim = bench_enter(n);
}

/* A memo that was taken from folder 7. */
static struct memo *taken(self_t *s, uint64_t number)
{
    struct memo *m = new_memo(s, number);
    memo_folder_t f = folder(7);

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
    at_hand = new_memo(victim, 0);
}

/* In the list behind the hand. */
static void hold_many(node_t *n, void *arg)
{
    unsigned i;

    open_victim(n, arg);
    for (i = 0; i < HAND_SLOTS; i++)
        new_memo(victim, 1);
    at_hand = taken(victim, 0);
}

static void put(node_t *n, void *arg)
{
    memo_folder_t f = folder(1);

    (void)n;
    (void)arg;
    send_to(victim, me->id, WIRE_PUT, 1, &f, at_hand, NULL);
}

static void free_it(node_t *n, void *arg)
{
    (void)n;
    (void)arg;
    near_free(victim, at_hand);
}

static void post_answer(node_t *n, void *arg)
{
    memo_folder_t f = folder(7);

    open_victim(n, arg);
    send_to(victim, victim->id, WIRE_ANSWER, 1, &f, new_memo(victim, 0), NULL);
}

static void post_answer_to_full_hand(node_t *n, void *arg)
{
    unsigned i;

    post_answer(n, arg);
    for (i = 0; i < HAND_SLOTS - 1; i++)
        new_memo(victim, 1);
}

static void take_and_put(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    memo_folder_t f = folder(1);

    (void)arg;
    send_to(s, me->id, WIRE_PUT, 2, &f, near_memo(message->memo), envelope);
}

static void scan_and_put(node_t *n, void *arg)
{
    (void)n;
    (void)arg;
    near_scan(victim, take_and_put, NULL);
}

static void post_put(node_t *n, void *arg)
{
    memo_folder_t f = folder(7);

    open_victim(n, arg);
    send_to(victim, victim->id, WIRE_PUT, 1, &f, new_memo(victim, 0), NULL);
    send_to(victim, victim->id, WIRE_SELECT, 2, &f, NULL, NULL);
}

/* As a server: the memo that was put answers the select. */
static void serve_once(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    struct memo **stored = arg;

    if (message->memo != NULL)
        *stored = near_memo(message->memo);
    else
        send_to(s, me->id, WIRE_ANSWER, 2, &message->folders[0].name, *stored, envelope);
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
    pid_t child = fork_child();
    int status;

    if (child == 0) {
        node_t n;
        memo_folder_t f = folder(7);
        unsigned i;
        open_victim(&n, NULL);
        for (i = 0; i < HAND_SLOTS; i++)
            new_memo(victim, 1);
        taken(victim, 0);
        send_to(victim, victim->id, WIRE_ANSWER, 1, &f, new_memo(victim, 2), NULL);
        send_to(victim, victim->id, WIRE_PUT, 1, &f, new_memo(victim, 1), NULL);
        send_to(victim, victim->id, WIRE_ANSWER, 1, &f, new_memo(victim, 3), NULL);
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
    bench_repair(me, 1);
    near_scan(me, survivor_hears, NULL);
    slot_reclaim_left(me);
    good = accounted(step);
    if (used != 0 && heap_used(me) != used) {
        tap_diag("%llu bytes are in use, of %llu", (unsigned long long)heap_used(me), (unsigned long long)used);
        good = false;
    }
    if (node_receivers(me) != 1 || hand_first(me, me->body, me->id) != NULL || atomic_load(&shared->wrong) != 0)
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

    used = heap_used(me);
    tap_diag("%s: %ld instructions", step->text, all);
    for (left = steps_each; left > 0 && good; left -= made)
        good = once(step, (long)(bench_random(&random_state) % (uint64_t)(all + 1)), &made, used);
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
    memset(shared, 0, sizeof *shared);
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
        wrong("a message has come to another");
}

/* Opens, lets itself be sent to, and goes in one way or the other, again and again. */
static void comer_and_goer(bool dies)
{
    node_t n;
    uint64_t random = random_state;

    while (!atomic_load(&shared->stop)) {
        memset(&n, 0, sizeof n);
        open_victim(&n, NULL);
        atomic_store(&shared->mailbox, victim->id);
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
    while (!atomic_load(&shared->stop))
        repair_look(victim, 0);
    end_child(&n, victim);
}

/* Sends to whoever is there, until he is there no more: what was sent comes back, but what he has not. */
static void send_until_gone(unsigned long *sent, unsigned long *refused)
{
    party_id_t to = atomic_exchange(&shared->mailbox, 0);
    wire_folder_t from = {.name = folder(7)};
    wire_message_t message = {.type = WIRE_ANSWER, .request = to, .folders = &from, .count = 1};
    struct memo *m;
    int result;

    if (to == 0)
        return;
    for (;;) {
        near_scan(me, survivor_hears, NULL);
        if (*sent - came[0].back >= UNREAD_MOST || (m = hand_alloc(me, 8)) == NULL) {
            sched_yield();
            continue;
        }
        memset(hand_data(m), 0, 8);
        message.memo = near_wire(m);
        result = near_send(me, to, &message, NULL);
        if (result == MEMO_OK)
            ++*sent;
        else
            near_free(me, m);
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

    memset(shared, 0, sizeof *shared);
    memset(came, 0, sizeof came);
    child[0] = fork_child();
    if (child[0] == 0)
        comer_and_goer(dies);
    child[1] = fork_child();
    if (child[1] == 0)
        repairer();
    while (refused < times) {
        send_until_gone(&sent, &refused);
        if (dies && waitpid(child[0], &status, WNOHANG) == child[0]) {
            child[0] = fork_child();
            if (child[0] == 0)
                comer_and_goer(dies);
        }
    }
    atomic_store(&shared->stop, true);
    waitpid(child[0], &status, 0);
    ended_well(&child[1], 1);
    bench_repair(me, 1);
    near_scan(me, survivor_hears, NULL);
    slot_reclaim_left(me);
    tap_diag("%lu sent", sent);
    tap_is_int((long long)(came[0].back + came[0].put), (long long)sent,
               "what is sent to one who %s comes back once", dies ? "dies" : "closes");
    tap_ok(hand_first(me, me->body, me->id) == NULL && atomic_load(&shared->wrong) == 0, "and nothing else does");
}

/* ---- large messages, and full spaces ------------------------------------------------------------------------ */

static wire_folder_t *many;

static void compare(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    uint32_t i, same = 0;

    (void)s;
    (void)envelope;
    for (i = 0; i < message->count; i++)
        same += memcmp(&message->folders[i].name, &many[i].name, sizeof many[i].name) == 0 &&
                message->folders[i].index == many[i].index;
    *(uint32_t *)arg = same;
}

static void test_large(void)
{
    wire_message_t message = {.type = WIRE_SELECT, .count = MEMO_FOLDERS_MAX, .request = 1};
    uint32_t i, same = 0;

    many = calloc(MEMO_FOLDERS_MAX, sizeof *many);
    if (many == NULL)
        tap_bail("no memory");
    for (i = 0; i < MEMO_FOLDERS_MAX; i++) {
        char text[MEMO_NAME_MAX + 1];
        snprintf(text, sizeof text, "%0112u", i);
        many[i].name = memo_folder(text);
        many[i].index = MEMO_FOLDERS_MAX - i;
    }
    message.folders = many;
    tap_is_int(near_send(me, me->id, &message, NULL), MEMO_OK, "a request with %u folders is sent",
               MEMO_FOLDERS_MAX);
    near_scan(me, compare, &same);
    tap_is_int(same, MEMO_FOLDERS_MAX, "and arrives whole");
    free(many);
}

static struct memo *drained;

static void drain(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    memo_folder_t f = folder(7);

    (void)arg;
    if (message->type == WIRE_ANSWER)
        drained = near_memo(message->memo);
    else
        send_to(s, me->id, WIRE_ANSWER, 1, &f, drained, envelope);
}

static void test_full(void)
{
    struct memo *m, *all = NULL;
    uint64_t used = heap_used(me);
    memo_folder_t f = folder(7);
    wire_folder_t named = {.name = f};
    wire_message_t message = {.type = WIRE_SELECT, .count = 1, .folders = &named};
    uint64_t size;
    unsigned sent = 0;

    for (size = 20000; size >= 8; size /= 2)
        while ((m = hand_alloc(me, size)) != NULL) {
            memcpy(hand_data(m), &all, sizeof all);
            all = m;
        }
    while (all != NULL && sent < 200) {
        m = all;
        memcpy(&all, hand_data(m), sizeof all);
        drained = m;
        if (near_send(me, me->id, &message, NULL) != MEMO_OK)
            break;
        near_scan(me, drain, NULL);
        near_scan(me, drain, NULL);
        sent++;
        if (drained != m || m->origin == 0)
            break;
    }
    tap_is_int(sent, 200, "requests and answers pass when the space is full");
    while ((m = hand_first(me, me->body, me->id)) != NULL)
        near_free(me, m);
    heap_flush(me);
    tap_is_int((long long)heap_used(me), (long long)used, "all memory is back");
}

/* ---- how long it takes -------------------------------------------------------------------------------------- */

static void echo(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    party_id_t to = *(const party_id_t *)arg;

    send_to(s, to, WIRE_ANSWER, message->request, message->count > 0 ? &message->folders[0].name : NULL,
            message->memo != NULL ? near_memo(message->memo) : NULL, envelope);
}

static void echo_main(void)
{
    node_t n;
    party_id_t to = me->id;

    open_victim(&n, NULL);
    atomic_store(&shared->mailbox, victim->id);
    while (!atomic_load(&shared->stop))
        if (!near_scan(victim, echo, &to))
            wait_a_while(victim);
    end_child(&n, victim);
}

static void keep(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    (void)s;
    (void)envelope;
    *(struct memo **)arg = near_memo(message->memo);
}

static void time_trips(const char *text, party_id_t to, struct memo *m)
{
    memo_folder_t f = folder(1);
    int64_t began = wait_now();
    unsigned i;

    for (i = 0; i < TRIPS; i++) {
        struct memo *back = NULL;
        bool came_back = false;
        send_to(me, to, WIRE_PUT, i + 1, &f, m, NULL);
        if (to == me->id)
            near_scan(me, echo, &to);
        while (!came_back)
            if (!(came_back = near_scan(me, keep, &back)))
                wait_a_while(me);
        m = back;
    }
    tap_diag("%s: %.0f ns a request and its answer", text, (double)(wait_now() - began) / TRIPS);
    if (m != NULL)
        near_free(me, m);
}

static void show_times(void)
{
    pid_t child;

    memset(shared, 0, sizeof *shared);
    time_trips("one process with itself", me->id, NULL);
    time_trips("one process with itself, with a memo", me->id, new_memo(me, 1));
    child = fork_child();
    if (child == 0)
        echo_main();
    while (atomic_load(&shared->mailbox) == 0)
        usleep(100);
    time_trips("two processes", atomic_load(&shared->mailbox), NULL);
    time_trips("two processes, with a memo", atomic_load(&shared->mailbox), new_memo(me, 1));
    atomic_store(&shared->stop, true);
    ended_well(&child, 1);
}

int main(int argc, char **argv)
{
    tap_timeout(300);
    random_state = tap_seed();
    if (getenv("MEMO_STEPS") != NULL)
        steps_each = strtol(getenv("MEMO_STEPS"), NULL, 0);
    if (getenv("MEMO_OPS") != NULL)
        requests_each = strtoul(getenv("MEMO_OPS"), NULL, 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        tap_bail("no shared page");
    opener = getpid();
    snprintf(name, sizeof name, "t-near-%ld", (long)opener);
    atexit(unlink_region);
    mine = (dead_t){.servers = 1, .self = 1, .send = survivor_sends};
    open_as(&node, 1, &mine);
    me = bench_enter(&node);
    test_storm();
    test_large();
    test_full();
    test_deaths(argc > 1 ? argv[1] : NULL); /* before sections grow: repairs look at each slot */
    test_goers(false, 300);
    test_goers(true, 100);
    show_times();
    node_leave(me);
    node_close(&node);
    return tap_done();
}
