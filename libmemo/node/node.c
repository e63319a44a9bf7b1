/*
 * node.c - handles: becoming a client of a region, and the parties of its threads (node.h).
 */
#include "libmemo/node/node.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libmemo/api/error.h"
#include "libmemo/memo.h"
#include "libmemo/node/hand.h"
#include "libmemo/node/heap.h"
#include "libmemo/node/lock.h"
#include "libmemo/node/repair.h"
#include "libmemo/node/slot.h"
#include "libmemo/node/wait.h"
#include "libmemo/node/whole.h"

/* The open handles of this process; a thread that ends finds here which of its parties are still there. */
static pthread_mutex_t nodes_mutex = PTHREAD_MUTEX_INITIALIZER;
static node_t *nodes;
static _Atomic uint64_t last_serial;

/* ---- the calling thread's parties -------------------------------------------------------------------- */

typedef struct thread_self {
    uint64_t serial; /* of the handle */
    self_t *self;
    struct thread_self *next;
} thread_self_t;

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
bool node_membarrier;
__thread uint64_t node_last_serial;
__thread self_t *node_last;

static node_t *node_of_serial(uint64_t serial)
{
    node_t *n;

    for (n = nodes; n != NULL; n = n->next)
        if (n->serial == serial)
            return n;
    return NULL;
}

static void selves_remove(node_t *n, const self_t *s)
{
    self_t **link;

    for (link = &n->selves; *link != s; link = &(*link)->next)
        ;
    *link = s->next;
}

static void self_free(node_t *n, self_t *s)
{
    n->user->self_gone(s);
    free(s->user);
    free(s);
}

/* What a thread holds when it ends, its process holds: the party then waits for another thread. */
static void self_retire(node_t *n, self_t *s)
{
    uint32_t flags = atomic_fetch_and(&s->party->flags, ~(uint32_t)PARTY_QUIET);

    if ((flags & PARTY_QUIET) != 0 && n->user->quits != NULL)
        n->user->quits(s);
    pthread_mutex_lock(&n->mutex);
    if (hand_busy(s->body) || atomic_load(&n->closing)) {
        s->next_idle = n->idle;
        n->idle = s;
    } else {
        selves_remove(n, s);
        repair_empty(s, s->index, false);
        slot_reclaim(s, s->index);
        heap_flush(s);
        repair_release(s, s->index);
        self_free(n, s);
    }
    pthread_mutex_unlock(&n->mutex);
}

static void thread_ends(void *value)
{
    thread_self_t *t = value, *next;
    node_t *n;

    node_last_serial = 0;
    pthread_mutex_lock(&nodes_mutex);
    for (; t != NULL; t = next) {
        next = t->next;
        n = node_of_serial(t->serial);
        if (n != NULL)
            self_retire(n, t->self);
        free(t);
    }
    pthread_mutex_unlock(&nodes_mutex);
}

static void before_fork(void)
{
    pthread_mutex_lock(&nodes_mutex);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&nodes_mutex);
}

static void in_child(void)
{
    node_last_serial = 0;
    pthread_mutex_unlock(&nodes_mutex);
}

static void thread_setup(void)
{
    pthread_key_create(&thread_key, thread_ends);
    pthread_atfork(before_fork, after_fork, in_child);
    node_membarrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#if defined(__SANITIZE_THREAD__)
    node_membarrier = false;
#endif
}

/* ---- parties --------------------------------------------------------------------------------------------- */

/* Before an index may be taken: what is beyond is never looked at. */
static void count_used(_Atomic uint32_t *used, uint32_t i)
{
    uint32_t now = atomic_load(used);

    while (now <= i && !atomic_compare_exchange_weak(used, &now, i + 1))
        ;
}

static bool party_claim(node_t *n, self_t *s)
{
    uint32_t i, none;

    for (i = 0; i < NODE_PARTIES; i++) {
        party_t *p = &n->root->parties[i];
        none = 0;
        if (atomic_load(&p->client) != 0)
            continue;
        count_used(&n->root->parties_used, i);
        if (!atomic_compare_exchange_strong(&p->client, &none, n->client + 1))
            continue;
        p->generation = p->generation < 4 ? 4 : p->generation + 1;
        if (p->generation >> (32 - NODE_PARTY_BITS) != 0)
            p->generation = 4;
        s->party = p;
        s->index = i;
        s->id = p->generation << NODE_PARTY_BITS | i;
        atomic_store(&p->id, s->id);
        return true;
    }
    return false;
}

/* The party's body, allocated with the boot body's log; without it the party is given back. */
static bool body_make(self_t *s)
{
    node_root_t *root = s->root;
    offset_t at = 0;

    s->body = &root->boot;
    s->from_reserve = true;
    lock_take(s, &root->boot_lock);
    heap_free(s, &root->boot.scratch[0]); /* of one who died here */
    if (heap_alloc(s, sizeof(body_t), &root->boot.scratch[0]) == MEMO_OK) {
        log_commit(s);
        at = root->boot.scratch[0];
        memset(node_at(s, at), 0, sizeof(body_t));
        log_a64(s, &s->party->body, at);
        log_u64(s, &root->boot.scratch[0], 0);
        log_commit(s);
    }
    lock_release(&root->boot_lock);
    s->from_reserve = false;
    if (at == 0) {
        atomic_store(&s->party->id, 0);
        atomic_store(&s->party->client, 0);
        return false;
    }
    s->body = node_at(s, at);
    s->body->pressure = atomic_load(&root->heap.pressure);
    s->from_reserve = true;
    if (slot_prepare(s) != MEMO_OK) {
        repair_release(s, s->index);
        return false;
    }
    s->from_reserve = false;
    return true;
}

static self_t *self_make(node_t *n, int *result)
{
    self_t *s = aligned_alloc(NODE_LINE, (sizeof(self_t) + NODE_LINE - 1) / NODE_LINE * NODE_LINE);

    if (s == NULL) {
        *result = memo_error(MEMO_ENOMEM, "no memory for the calling thread's state");
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->user = calloc(1, n->user->self_bytes);
    if (s->user == NULL) {
        free(s);
        *result = memo_error(MEMO_ENOMEM, "no memory for the calling thread's state");
        return NULL;
    }
    s->base = n->region.base;
    s->node = n;
    s->root = n->root;
    if (!party_claim(n, s)) {
        free(s->user);
        free(s);
        *result = memo_error(MEMO_EFULL, "all %u receivers of the space are taken; fewer threads must use it",
                             NODE_PARTIES);
        return NULL;
    }
    if (!body_make(s)) {
        free(s->user);
        free(s);
        *result = memo_error(MEMO_EFULL, "the space has no room left for another thread");
        return NULL;
    }
    pthread_mutex_lock(&n->mutex);
    s->next = n->selves;
    n->selves = s;
    pthread_mutex_unlock(&n->mutex);
    return s;
}

static self_t *idle_take(node_t *n)
{
    self_t *s;

    pthread_mutex_lock(&n->mutex);
    s = n->idle;
    if (s != NULL)
        n->idle = s->next_idle;
    pthread_mutex_unlock(&n->mutex);
    return s;
}

static self_t *thread_self_find(uint64_t serial)
{
    thread_self_t *t;

    for (t = pthread_getspecific(thread_key); t != NULL; t = t->next)
        if (t->serial == serial)
            return t->self;
    return NULL;
}

static self_t *thread_self_make(node_t *n, int *result)
{
    thread_self_t *t = malloc(sizeof *t);
    self_t *s;

    if (t == NULL) {
        *result = memo_error(MEMO_ENOMEM, "no memory for the calling thread's state");
        return NULL;
    }
    s = idle_take(n);
    if (s == NULL)
        s = self_make(n, result);
    if (s == NULL) {
        free(t);
        return NULL;
    }
    t->serial = n->serial;
    t->self = s;
    t->next = pthread_getspecific(thread_key);
    pthread_setspecific(thread_key, t);
    return s;
}

self_t *node_enter_slowly(node_t *n, int *result)
{
    self_t *s = NULL;

    /* Pairs with node_close: it says that it closes, then waits for who enters. */
    atomic_fetch_add(&n->entering, 1);
    if (atomic_load(&n->closing))
        *result = memo_error(MEMO_ECLOSED, "the space is being closed");
    else {
        s = thread_self_find(n->serial);
        if (s == NULL)
            s = thread_self_make(n, result);
    }
    if (s != NULL) {
        node_last = s;
        node_last_serial = n->serial;
        atomic_fetch_add(&s->in_call, 1);
    }
    atomic_fetch_sub(&n->entering, 1);
    return s;
}

self_t *node_refused(self_t *s, int *result)
{
    atomic_store(&s->in_call, atomic_load(&s->in_call) - 1);
    *result = memo_error(MEMO_ECLOSED, "the space is being closed");
    return NULL;
}

void node_look_around(self_t *s)
{
    if (atomic_load_explicit(&s->in_call, memory_order_relaxed) > 1)
        return; /* inside another call of this thread */
    repair_look(s, atomic_load(&s->root->repairs_wanted) != 0 ? 0 : WAIT_TICK_NS / 2);
}

self_t *node_common(node_t *n, int *result)
{
    self_t *s = self_make(n, result);

    if (s != NULL)
        atomic_fetch_or(&s->party->flags, PARTY_COMMON);
    return s;
}

/* ---- clients --------------------------------------------------------------------------------------------- */

static void client_fill(node_t *n, client_t *c, const node_options_t *o)
{
    bool drop = o->on_death_given ? o->on_death_drop : n->root->on_death_drop != 0;

    c->serial++;
    atomic_store(&c->pid, (uint32_t)getpid());
    c->rank = o->rank;
    c->ranks = o->ranks;
    c->run = o->run;
    c->on_death_drop = drop;
    c->opened_ns = (uint64_t)wait_now();
    atomic_store(&c->state, CLIENT_OPEN);
}

static bool client_claim_one(node_t *n, uint32_t i, const node_options_t *o)
{
    client_t *c = &n->root->clients[i];

    if (atomic_load(&c->state) != CLIENT_FREE || region_life_take(&n->region, i) != MEMO_OK)
        return false;
    if (atomic_load(&c->state) != CLIENT_FREE) {
        region_life_drop(&n->region, i);
        return false;
    }
    n->client = i;
    count_used(&n->root->clients_used, i);
    client_fill(n, c, o);
    return true;
}

static int client_claim(node_t *n, const node_options_t *o)
{
    uint32_t i;

    for (i = 0; i < NODE_CLIENTS; i++)
        if (client_claim_one(n, i, o))
            return MEMO_OK;
    return memo_error(MEMO_EFULL, "the space has %u clients already, and takes no more", NODE_CLIENTS);
}

/* ---- opening and closing ----------------------------------------------------------------------------- */

static int format(region_t *r, void *arg)
{
    const node_options_t *o = arg;
    node_root_t *root = node_root_of(r);

    root->size = r->size;
    root->on_death_drop = o->on_death_drop;
    heap_format(r, root, REGION_COMMITTED_AT_START);
    return o->format(r, root, o->format_arg);
}

/* Of everything that two builds must agree on. */
static uint64_t fingerprint(uint64_t user)
{
    const uint64_t layout[] = {sizeof(node_root_t),
                               sizeof(party_t),
                               sizeof(client_t),
                               sizeof(body_t),
                               sizeof(slot_t),
                               offsetof(slot_t, mask),
                               offsetof(party_t, cpu),
                               sizeof(section_t),
                               NODE_PARTIES,
                               NODE_CLIENTS,
                               HEAP_CLASSES,
                               HEAP_PAGE,
                               HAND_SLOTS,
                               LOG_ENTRIES,
                               offsetof(node_root_t, heap),
                               offsetof(node_root_t, user),
                               offsetof(body_t, user),
                               sizeof(struct memo),
                               user};
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15);
    size_t i;

    for (i = 0; i < sizeof layout / sizeof layout[0]; i++) {
        h = (h ^ layout[i]) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    return h;
}

static void nodes_add(node_t *n)
{
    pthread_mutex_lock(&nodes_mutex);
    n->next = nodes;
    nodes = n;
    pthread_mutex_unlock(&nodes_mutex);
}

static void nodes_remove(node_t *n)
{
    node_t **link;

    pthread_mutex_lock(&nodes_mutex);
    for (link = &nodes; *link != NULL; link = &(*link)->next)
        if (*link == n) {
            *link = n->next;
            break;
        }
    pthread_mutex_unlock(&nodes_mutex);
}

/* Of the machine: who is pinned to one has partners on others. */
static unsigned cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? (unsigned)n : 1;
}

static region_spec_t spec_of(node_options_t *o)
{
    return (region_spec_t){.name = o->name,
                           .anonymous = o->anonymous,
                           .size = o->size,
                           .mode = o->mode,
                           .group = o->group,
                           .group_given = o->group_given,
                           .kind = o->kind,
                           .version = NODE_LAYOUT_VERSION,
                           .fingerprint = fingerprint(o->fingerprint),
                           .format = format,
                           .arg = o};
}

int node_look(region_t *r, const node_options_t *o)
{
    node_options_t options = *o;
    region_spec_t spec = spec_of(&options);

    return region_look(r, &spec);
}

/* The door is one more life lock: who comes waits while another, who is alone, looks around. */
#define DOOR NODE_CLIENTS
#define DOOR_NAP_NS 200000

static int door_take(node_t *n)
{
    int result;

    while ((result = region_life_take(&n->region, DOOR)) == MEMO_EBUSY)
        nanosleep(&(struct timespec){.tv_nsec = DOOR_NAP_NS}, NULL);
    return result;
}

static bool alone(node_t *n)
{
    uint32_t i;

    for (i = 0; i < NODE_CLIENTS; i++)
        if (atomic_load(&n->root->clients[i].state) != CLIENT_FREE && region_life_held(&n->region, i))
            return false;
    return true;
}

static int enter_region(node_t *n, const node_options_t *o)
{
    int result;

    if (o->whole == NULL || o->anonymous)
        return client_claim(n, o);
    result = door_take(n);
    if (result != MEMO_OK)
        return result;
    if (!n->region.created && alone(n))
        result = whole_check(&n->region, o->whole);
    if (result == MEMO_OK)
        result = client_claim(n, o);
    region_life_drop(&n->region, DOOR);
    return result;
}

int node_open(node_t *n, const node_options_t *o)
{
    node_options_t options = *o;
    region_spec_t spec = spec_of(&options);
    int result;

    pthread_once(&thread_once, thread_setup);
    memset(n, 0, sizeof *n);
    n->user = o->user;
    n->cpus = cpus();
    n->serial = atomic_fetch_add(&last_serial, 1) + 1;
    pthread_mutex_init(&n->mutex, NULL);
    result = region_open(&n->region, &spec);
    if (result != MEMO_OK)
        return result;
    n->root = node_root_of(&n->region);
    result = enter_region(n, o);
    if (result != MEMO_OK) {
        region_close(&n->region);
        return result;
    }
    nodes_add(n);
    return MEMO_OK;
}

static void wait_for_callers(node_t *n, const self_t *me)
{
    self_t *s;
    bool busy;

    do {
        busy = atomic_load(&n->entering) != 0;
        pthread_mutex_lock(&n->mutex);
        for (s = n->selves; s != NULL; s = s->next)
            if (s != me && atomic_load(&s->in_call) != 0) {
                busy = true;
                atomic_fetch_add(&s->party->bell, 1);
                wait_wake(&s->party->bell, 1 << 30);
            }
        pthread_mutex_unlock(&n->mutex);
        if (busy)
            sched_yield();
    } while (busy);
}

static void free_selves(node_t *n)
{
    self_t *s, *next;

    for (s = n->selves; s != NULL; s = next) {
        next = s->next;
        self_free(n, s);
    }
}

static void give_everything_back(node_t *n, self_t *me)
{
    client_t *c = &n->root->clients[n->client];
    bool drop = c->on_death_drop != 0;
    self_t *s;

    for (s = n->selves; s != NULL; s = s->next)
        if (s != me)
            repair_party(me, s->index, drop);
    repair_empty(me, me->index, drop);
    n->user->client_gone(me, n->client);
    slot_reclaim_left(me);
    slot_reclaim(me, me->index);
    heap_flush(me);
    repair_release(me, me->index);
    atomic_store(&c->state, CLIENT_FREE);
}

self_t *node_shut(node_t *n)
{
    int result;
    self_t *me = node_enter(n, &result);

    atomic_store(&n->closing, true);
    if (node_membarrier)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    wait_for_callers(n, me);
    return me;
}

void node_end(node_t *n, self_t *me)
{
    nodes_remove(n);
    if (me == NULL && n->selves != NULL)
        me = n->selves; /* no party was left for this thread: it lends one that is idle now */
    if (me != NULL)
        give_everything_back(n, me);
    else
        atomic_store(&n->root->clients[n->client].state, CLIENT_FREE);
    node_last_serial = 0;
    region_close(&n->region);
    free_selves(n);
    pthread_mutex_destroy(&n->mutex);
}

void node_close(node_t *n)
{
    node_end(n, node_shut(n));
}

void node_forget(node_t *n)
{
    /* In the child of a fork: only the forking thread is there; mutexes may be held by threads that are not. */
    node_t **link;

    for (link = &nodes; *link != NULL; link = &(*link)->next)
        if (*link == n) {
            *link = n->next;
            break;
        }
    node_last_serial = 0;
    region_forget(&n->region);
}

/* ---- figures --------------------------------------------------------------------------------------------- */

void node_counts(self_t *s, node_counts_t *sum)
{
    uint32_t used = atomic_load(&s->root->parties_used), i;
    size_t k;
    _Atomic uint64_t *to = (_Atomic uint64_t *)sum;

    lock_take(s, &s->root->boot_lock); /* no body comes or goes */
    memcpy(sum, &s->root->counts, sizeof *sum);
    for (i = 0; i < used; i++) {
        body_t *b = party_body(s, node_party(s, i));
        if (b == NULL)
            continue;
        for (k = 0; k < sizeof *sum / sizeof *to; k++)
            to[k] += atomic_load_explicit((_Atomic uint64_t *)&b->counts + k, memory_order_relaxed);
    }
    lock_release(&s->root->boot_lock);
}

uint32_t node_receivers(const self_t *s)
{
    uint32_t used = atomic_load(&s->root->parties_used), i, n = 0;

    for (i = 0; i < used; i++)
        n += atomic_load(&s->root->parties[i].client) != 0;
    return n;
}

uint32_t node_clients(const self_t *s)
{
    uint32_t i, n = 0;

    for (i = 0; i < NODE_CLIENTS; i++)
        n += atomic_load(&s->root->clients[i].state) != CLIENT_FREE;
    return n;
}
