/*
 * node_bench.c - the simplest layer above node/ (node_bench.h).
 */
#include "t/lib/node_bench.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

static char name[64];
static pid_t opener;

/* ---- the layer's part of a repair ------------------------------------------------------------------------ */

static void self_gone(self_t *s)
{
    (void)s;
}

bool bench_cancel(self_t *s, uint32_t index)
{
    _Atomic uint64_t *word = &bench_root(s)->request[index];
    uint64_t now = atomic_load(word);

    return (now & 0xff) == BENCH_PENDING &&
           atomic_compare_exchange_strong(word, &now, now >> 32 << 32 | BENCH_CANCELLED);
}

static void cancel_requests(self_t *s, uint32_t index)
{
    if (index < BENCH_PARTIES)
        bench_cancel(s, index);
}

static void retire(self_t *s, uint32_t index)
{
    offset_t *block = bench_blocks(party_body(s, node_party(s, index)));
    unsigned i;

    for (i = 0; i < BENCH_BLOCKS; i++)
        heap_free(s, &block[i]);
    if (index < BENCH_PARTIES && (atomic_load(&bench_root(s)->request[index]) & 0xff) == BENCH_PENDING)
        atomic_fetch_add(&bench_root(s)->left_pending, 1);
}

static void memo_back(self_t *s, offset_t at, bool drop)
{
    struct memo *m = node_at(s, at);

    if (drop || m->origin == 0)
        bench_free(s, m);
    else
        bench_put(s, m);
}

static void client_gone(self_t *s, uint32_t client)
{
    (void)s;
    (void)client;
}

static const node_user_t user = {
    .self_bytes = 16,
    .self_gone = self_gone,
    .cancel_requests = cancel_requests,
    .memo_back = memo_back,
    .retire = retire,
    .client_gone = client_gone,
};

_Static_assert(BENCH_BLOCKS * sizeof(offset_t) <= BODY_USER_BYTES, "a party's blocks fit its body");

static int format(region_t *r, node_root_t *root, const void *arg)
{
    (void)arg;
    (void)r;
    (void)root;
    _Static_assert(sizeof(bench_root_t) <= NODE_USER_BYTES, "the layer's root fits");
    return MEMO_OK;
}

/* ---- handles --------------------------------------------------------------------------------------------- */

void bench_unlink(void)
{
    if (getpid() == opener)
        region_unlink(name, "node-test");
}

/* What the layer above does in a forked child. */
static node_t *opened[8];

static void forget_all(void)
{
    unsigned i;

    for (i = 0; i < sizeof opened / sizeof opened[0]; i++)
        if (opened[i] != NULL)
            node_forget(opened[i]);
    memset(opened, 0, sizeof opened);
}

static void remember_node(node_t *n)
{
    unsigned i;

    for (i = 0; i < sizeof opened / sizeof opened[0]; i++)
        if (opened[i] == NULL) {
            opened[i] = n;
            return;
        }
}

void bench_close(node_t *n)
{
    unsigned i;

    for (i = 0; i < sizeof opened / sizeof opened[0]; i++)
        if (opened[i] == n)
            opened[i] = NULL;
    node_close(n);
}

void bench_open(node_t *n, uint64_t size)
{
    node_options_t o = {
        .name = name, .kind = "node-test", .size = size, .user = &user, .format = format, .rank = -1};

    if (opener == 0) {
        opener = getpid();
        snprintf(name, sizeof name, "t-node-%ld", (long)opener);
        atexit(bench_unlink);
        pthread_atfork(NULL, NULL, forget_all);
    }
    if (node_open(n, &o) != MEMO_OK)
        tap_bail("cannot open the region: %s", memo_errmsg());
    remember_node(n);
}

self_t *bench_enter(node_t *n)
{
    int result;
    self_t *s = node_enter(n, &result);

    if (s == NULL)
        tap_bail("cannot enter: %s", memo_errmsg());
    return s;
}

void bench_repair(self_t *s, uint32_t clients_left)
{
    int64_t end = wait_now() + INT64_C(5000000000);

    while (node_clients(s) > clients_left) {
        repair_look(s, 0);
        if (wait_now() > end)
            tap_bail("the dead are still not repaired");
    }
    repair_look(s, 0);
}

/* ---- memos ----------------------------------------------------------------------------------------------- */

struct memo *bench_memo(self_t *s, uint64_t size, uint64_t number)
{
    struct memo *m = hand_alloc(s, size < 8 ? 8 : size);

    if (m != NULL)
        memcpy(hand_data(m), &number, sizeof number);
    return m;
}

uint64_t bench_number(const struct memo *m)
{
    uint64_t number;

    memcpy(&number, m + 1, sizeof number);
    return number;
}

void bench_free(self_t *s, struct memo *m)
{
    hand_free_begin(s, m);
    hand_free_end(s);
}

void bench_put(self_t *s, struct memo *m)
{
    bench_root_t *root = bench_root(s);
    offset_t at = node_offset(s, m);

    lock_take(s, &root->lock);
    hand_give(s, m);
    m->next = 0;
    if (root->tail != 0)
        log_u64(s, &((struct memo *)node_at(s, root->tail))->next, at);
    else
        log_u64(s, &root->head, at);
    log_u64(s, &root->tail, at);
    log_u64(s, &root->memos, root->memos + 1);
    log_u64(s, &m->origin, node_offset(s, root));
    log_commit(s);
    hand_done(s);
    lock_release(&root->lock);
}

struct memo *bench_take(self_t *s)
{
    bench_root_t *root = bench_root(s);
    struct memo *m = NULL;

    lock_take(s, &root->lock);
    if (root->head != 0) {
        offset_t next;
        m = node_at(s, root->head);
        next = m->next;
        log_u64(s, &root->head, next);
        if (next == 0)
            log_u64(s, &root->tail, 0);
        log_u64(s, &root->memos, root->memos - 1);
        hand_take(s, m);
        log_commit(s);
        hand_done(s);
    }
    lock_release(&root->lock);
    return m;
}

uint64_t bench_stored(self_t *s)
{
    bench_root_t *root = bench_root(s);
    uint64_t n = 0;
    offset_t at, last = 0;

    lock_take(s, &root->lock);
    for (at = root->head; at != 0 && n <= root->memos; at = ((struct memo *)node_at(s, at))->next) {
        if (atomic_load(&((struct memo *)node_at(s, at))->holder) != 0)
            n = UINT64_MAX / 2;
        last = at;
        n++;
    }
    if (n != root->memos || last != root->tail)
        n = UINT64_MAX;
    lock_release(&root->lock);
    return n;
}

/* ---- messages -------------------------------------------------------------------------------------------- */

void bench_arm(self_t *s)
{
    _Atomic uint64_t *word = &bench_root(s)->request[s->index];

    atomic_store(word, ((atomic_load(word) >> 32) + 1) << 32 | BENCH_PENDING);
}

static void post(self_t *s, uint32_t receiver, struct memo *m)
{
    slot_t *slot = slot_fill(s, SLOT_MEMO, node_offset(s, m), 0);

    slot_address(s, slot, receiver);
    hand_give(s, m);
    slot_commit(s);
    hand_done(s);
}

bool bench_serve(self_t *s, uint32_t receiver, struct memo *m)
{
    _Atomic uint64_t *word = &bench_root(s)->request[receiver];
    uint64_t now = atomic_load(word);
    bool served = false;

    if (slot_begin(s, 1) != MEMO_OK)
        return false;
    if ((now & 0xff) == BENCH_PENDING &&
        log_claim(s, word, now, now >> 32 << 32 | (uint64_t)(s->index + 1) << 8 | BENCH_CLAIMED)) {
        post(s, receiver, m);
        served = true;
    }
    slot_end(s);
    slot_wake(s);
    return served;
}

bool bench_send(self_t *s, uint32_t receiver, struct memo *m)
{
    if (slot_begin(s, 1) != MEMO_OK)
        return false;
    post(s, receiver, m);
    slot_end(s);
    slot_wake(s);
    return true;
}

typedef struct receiving {
    void (*got)(self_t *s, struct memo *m, void *arg);
    void *arg;
} receiving_t;

static void accept_message(self_t *s, const slot_message_t *message, void *arg)
{
    const receiving_t *receiving = arg;
    struct memo *m = node_at(s, message->memo);

    if (message->kind == SLOT_MEMO) {
        hand_take(s, m);
        log_commit(s);
        hand_done(s);
    }
    if (receiving->got != NULL)
        receiving->got(s, m, receiving->arg);
}

/* What came is put when nothing is read any more. */
enum { RECEIVED_MAX = 64 };
typedef struct received {
    struct memo *m[RECEIVED_MAX];
    unsigned n;
} received_t;

static void remember(self_t *s, struct memo *m, void *arg)
{
    received_t *r = arg;

    (void)s;
    if (r->n < RECEIVED_MAX)
        r->m[r->n++] = m;
}

bool bench_receive(self_t *s, void (*got)(self_t *s, struct memo *m, void *arg), void *arg)
{
    received_t received = {.n = 0};
    receiving_t receiving = {.got = got != NULL ? got : remember, .arg = got != NULL ? arg : &received};
    bool any = slot_scan(s, accept_message, &receiving);
    unsigned i;

    for (i = 0; i < received.n; i++)
        bench_put(s, received.m[i]);
    return any;
}
