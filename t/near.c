/*
 * near.c - messages inside a node: in order, each memo in exactly one place; large ones, and in full spaces; and
 * how long they take.
 */
#include "t/lib/near_bench.h"

#include <stdlib.h>

enum { CLIENTS = 3, FOLDERS = 5, WINDOW = 16, MEMOS = 64, TRIPS = 100000 };

static unsigned long requests_each = 40000;

/* Shared with the children. */
static struct storm {
    _Atomic uint32_t client[CLIENTS];      /* their mailboxes */
    _Atomic uint32_t seen[CLIENTS][MEMOS]; /* how often each memo was there in the end */
} * storm;

/* ---- a server and its clients ---------------------------------------------------------------------------- */

typedef struct server {
    struct memo *queue[FOLDERS][CLIENTS * MEMOS];
    unsigned count[FOLDERS];
} server_t;

static void serve(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    server_t *server = arg;
    party_id_t to = atomic_load(&storm->client[message->client]);
    const memo_folder_t *f = message->count == 1 ? &message->folders[0].name : NULL;
    uint64_t i = message->number[0];
    unsigned *n = &server->count[i];
    memo_folder_t expected = near_bench_folder(i);

    if (f == NULL || memcmp(f, &expected, sizeof expected) != 0) {
        near_bench_wrong("a request's folder is another");
        return;
    }
    if (message->type == WIRE_PUT) {
        server->queue[i][(*n)++] = near_memo(message->memo);
        near_bench_send(s, to, WIRE_ANSWER, message->request, NULL, NULL, envelope);
    } else if (*n > 0) {
        struct memo *m = server->queue[i][--*n];
        near_bench_send(s, to, WIRE_ANSWER, message->request, f, m, envelope);
    } else
        near_bench_send(s, to, WIRE_ANSWER, message->request, f, NULL, envelope);
    if (*envelope != NULL)
        near_bench_wrong("an answer needed another envelope than its request's");
}

static void see(const struct memo *m)
{
    uint64_t number = bench_number(m);

    if (number >= CLIENTS * MEMOS || m->size != 8 + number % 3000)
        near_bench_wrong("a memo is not what it was");
    else
        atomic_fetch_add(&storm->seen[number / MEMOS][number % MEMOS], 1);
}

static void server_main(void)
{
    static node_t n;
    static dead_t dead = {.servers = 1};
    static server_t server;
    self_t *s;
    unsigned i;

    near_bench_open(&n, 0, &dead);
    s = bench_enter(&n);
    atomic_store(&near_bench.shared->mailbox, s->id);
    while (atomic_load(&near_bench.shared->ends) < CLIENTS || slot_attention(s))
        if (!near_scan(s, serve, &server))
            near_bench_wait(s);
    for (i = 0; i < FOLDERS; i++)
        while (server.count[i] > 0) {
            struct memo *m = server.queue[i][--server.count[i]];
            see(m);
            if (m->origin != 0)
                near_bench_wrong("a memo in a folder keeps an envelope");
            near_free(s, m);
        }
    near_bench_end_child(&n, s);
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
        near_bench_wrong("answers are out of order");
    if (m == NULL)
        return;
    if (*envelope != NULL || !near_from(s, m, &from) || memcmp(&from, &message->folders[0].name, sizeof from) != 0)
        near_bench_wrong("a memo does not know where it comes from");
    c->held[c->count++] = m;
}

static void ask(self_t *s, asker_t *c)
{
    uint64_t r = bench_random(&c->random), i = (r >> 8) % FOLDERS;
    wire_folder_t f = {.name = near_bench_folder(i)};
    wire_message_t message = {
        .type = WIRE_SELECT, .client = c->index, .request = ++c->asked, .number = {i}, .folders = &f, .count = 1};

    if (r % 2 == 0 && c->count > 0) {
        message.type = WIRE_PUT;
        message.memo = near_wire(c->held[--c->count]);
    }
    while (near_send(s, atomic_load(&near_bench.shared->mailbox), &message, NULL) != MEMO_OK)
        usleep(100);
}

static void client_main(uint32_t index)
{
    static node_t n;
    static dead_t dead = {.servers = 1};
    static asker_t c;
    self_t *s;
    unsigned i;

    near_bench_open(&n, (int32_t)index + 1, &dead);
    s = bench_enter(&n);
    c.index = index;
    c.random = near_bench.random + index;
    for (i = 0; i < MEMOS; i++)
        c.held[c.count++] = near_bench_memo(s, index * MEMOS + i);
    atomic_store(&storm->client[index], s->id);
    while (atomic_load(&near_bench.shared->mailbox) == 0)
        usleep(100);
    while (c.answered < requests_each) {
        while (c.asked < requests_each && c.asked - c.answered < WINDOW)
            ask(s, &c);
        if (!near_scan(s, hear, &c))
            near_bench_wait(s);
    }
    while (c.count > 0) {
        see(c.held[--c.count]);
        near_free(s, c.held[c.count]);
    }
    atomic_fetch_add(&near_bench.shared->ends, 1);
    near_bench_end_child(&n, s);
}

static bool each_seen_once(void)
{
    unsigned i, k;

    for (i = 0; i < CLIENTS; i++)
        for (k = 0; k < MEMOS; k++)
            if (atomic_load(&storm->seen[i][k]) != 1)
                return false;
    return true;
}

static void test_storm(void)
{
    uint64_t used = heap_used(near_bench.me);
    pid_t child[CLIENTS + 1];
    int64_t began = wait_now();
    uint32_t i;

    near_bench_reset();
    for (i = 0; i <= CLIENTS; i++) {
        child[i] = near_bench_fork();
        if (child[i] == 0 && i == CLIENTS)
            server_main();
        if (child[i] == 0)
            client_main(i);
    }
    tap_ok(near_bench_ended_well(child, CLIENTS + 1), "a server and %d clients end well", CLIENTS);
    tap_diag("%.0f ns a request and its answer", (double)(wait_now() - began) / (double)(CLIENTS * requests_each));
    tap_is_int(atomic_load(&near_bench.shared->wrong), 0, "answers in order, memos whole and from where they were");
    tap_ok(each_seen_once(), "each memo is there once");
    slot_reclaim_left(near_bench.me);
    tap_is_int((long long)heap_used(near_bench.me), (long long)used, "all memory is back");
    tap_ok(hand_first(near_bench.me, near_bench.me->body, near_bench.me->id) == NULL, "and no hand holds anything");
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
    tap_is_int(near_send(near_bench.me, near_bench.me->id, &message, NULL), MEMO_OK,
               "a request with %u folders is sent", MEMO_FOLDERS_MAX);
    near_scan(near_bench.me, compare, &same);
    tap_is_int(same, MEMO_FOLDERS_MAX, "and arrives whole");
    free(many);
}

static struct memo *drained;

static void drain(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    memo_folder_t f = near_bench_folder(7);

    (void)arg;
    if (message->type == WIRE_ANSWER)
        drained = near_memo(message->memo);
    else
        near_bench_send(s, near_bench.me->id, WIRE_ANSWER, 1, &f, drained, envelope);
}

static void test_full(void)
{
    struct memo *m, *all = NULL;
    uint64_t used = heap_used(near_bench.me);
    memo_folder_t f = near_bench_folder(7);
    wire_folder_t named = {.name = f};
    wire_message_t message = {.type = WIRE_SELECT, .count = 1, .folders = &named};
    uint64_t size;
    unsigned sent = 0;

    for (size = 20000; size >= 8; size /= 2)
        while ((m = hand_alloc(near_bench.me, size)) != NULL) {
            memcpy(hand_data(m), &all, sizeof all);
            all = m;
        }
    while (all != NULL && sent < 200) {
        m = all;
        memcpy(&all, hand_data(m), sizeof all);
        drained = m;
        if (near_send(near_bench.me, near_bench.me->id, &message, NULL) != MEMO_OK)
            break;
        near_scan(near_bench.me, drain, NULL);
        near_scan(near_bench.me, drain, NULL);
        sent++;
        if (drained != m || m->origin == 0)
            break;
    }
    tap_is_int(sent, 200, "requests and answers pass when the space is full");
    while ((m = hand_first(near_bench.me, near_bench.me->body, near_bench.me->id)) != NULL)
        near_free(near_bench.me, m);
    heap_flush(near_bench.me);
    tap_is_int((long long)heap_used(near_bench.me), (long long)used, "all memory is back");
}

/* ---- how long it takes -------------------------------------------------------------------------------------- */

static void echo(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    party_id_t to = *(const party_id_t *)arg;

    near_bench_send(s, to, WIRE_ANSWER, message->request, message->count > 0 ? &message->folders[0].name : NULL,
                    message->memo != NULL ? near_memo(message->memo) : NULL, envelope);
}

static void echo_main(void)
{
    static node_t n;
    static dead_t dead = {.servers = 1};
    party_id_t to = near_bench.me->id;
    self_t *s;

    near_bench_open(&n, 2, &dead);
    s = bench_enter(&n);
    atomic_store(&near_bench.shared->mailbox, s->id);
    while (!atomic_load(&near_bench.shared->stop))
        if (!near_scan(s, echo, &to))
            near_bench_wait(s);
    near_bench_end_child(&n, s);
}

static void keep(self_t *s, const wire_message_t *message, struct memo **envelope, void *arg)
{
    (void)s;
    (void)envelope;
    *(struct memo **)arg = near_memo(message->memo);
}

static void time_trips(const char *text, party_id_t to, struct memo *m)
{
    memo_folder_t f = near_bench_folder(1);
    int64_t began = wait_now();
    unsigned i;

    for (i = 0; i < TRIPS; i++) {
        struct memo *back = NULL;
        bool came_back = false;
        near_bench_send(near_bench.me, to, WIRE_PUT, i + 1, &f, m, NULL);
        if (to == near_bench.me->id)
            near_scan(near_bench.me, echo, &to);
        while (!came_back)
            if (!(came_back = near_scan(near_bench.me, keep, &back)))
                near_bench_wait(near_bench.me);
        m = back;
    }
    tap_diag("%s: %.0f ns a request and its answer", text, (double)(wait_now() - began) / TRIPS);
    if (m != NULL)
        near_free(near_bench.me, m);
}

static void show_times(void)
{
    pid_t child;

    near_bench_reset();
    time_trips("one process with itself", near_bench.me->id, NULL);
    time_trips("one process with itself, with a memo", near_bench.me->id, near_bench_memo(near_bench.me, 1));
    child = near_bench_fork();
    if (child == 0)
        echo_main();
    while (atomic_load(&near_bench.shared->mailbox) == 0)
        usleep(100);
    time_trips("two processes", atomic_load(&near_bench.shared->mailbox), NULL);
    time_trips("two processes, with a memo", atomic_load(&near_bench.shared->mailbox),
               near_bench_memo(near_bench.me, 1));
    atomic_store(&near_bench.shared->stop, true);
    near_bench_ended_well(&child, 1);
}

int main(void)
{
    dead_t dead = {.servers = 1, .self = 1}; /* nobody dies */

    if (getenv("MEMO_OPS") != NULL)
        requests_each = strtoul(getenv("MEMO_OPS"), NULL, 0);
    storm = near_bench_page(sizeof *storm);
    near_bench_begin(&dead);
    test_storm();
    test_large();
    test_full();
    show_times();
    return near_bench_finish();
}
