/*
 * node.h - what the processes of one machine share: the layout of a node region, and this process's view of it.
 *
 * A region holds, behind its header, one node_root: the table of clients (a client is one open handle), the table
 * of parties (a party is a thread of a client, or the client's common one for started requests; it can be sent
 * messages, and owns locks), and the heap's root. Nothing in node/ knows what a folder is.
 *
 * Everything that lives in a region refers by offset (0 is none), so each process may map it where it likes.
 *
 * Death. Every mutation of shared structures is done under locks, or on the party's own body, and is written into
 * the party's log first (log.h), so that whoever finds a dead owner undoes it, or completes what was committed
 * (repair.c). A party dies with its client; a client is dead when the kernel has let its life lock go (region.h).
 */
#ifndef NODE_H
#define NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmemo/node/region.h"

typedef uint64_t offset_t; /* of something in the region; 0 is none */

#define NODE_LAYOUT_VERSION 1
#define NODE_LINE 64

/* Limits of a region's tables. A party's index is 10 bits of its id. */
#define NODE_PARTY_BITS 10
#define NODE_PARTIES (1u << NODE_PARTY_BITS)
#define NODE_CLIENTS 512u

/* Every so many calls a thread looks for the dead; those that sleep look more often. */
#define NODE_LOOK_MASK 255u

/*
 * The id of a party: index | generation << NODE_PARTY_BITS; never 0, never given twice in 2^22 reuses of an index.
 * It is what lock owner words and holders of memos say.
 */
typedef uint32_t party_id_t;

/*
 * A lock: the owner's id, 0 when free. `waiters` (somebody may sleep) only saves system calls: whoever waits, waits
 * with a time limit. It is a flag, not a count, for a waiter that dies takes nothing back.
 */
typedef struct lock {
    _Atomic uint32_t owner;
    _Atomic uint32_t waiters;
} lock_t;

/* ---- parties --------------------------------------------------------------------------------------------- */

#define HAND_SLOTS 28   /* held memos that need no list; at most 32: self_t.places */
#define SCRATCH_SLOTS 4 /* blocks between the heap and the structure they are for */
#define LOG_ENTRIES 96  /* stores of one mutation; larger ones reserve more (log.h) */
#define HEAP_CLASSES 24
#define HEAP_LARGE_SLOTS 4

typedef struct log_entry {
    uint64_t where; /* offset of what was stored to; the low two bits say how it is undone (log.h) */
    uint64_t old;
} log_entry_t;

/* Figures that each party counts for itself; memo_stat adds them up. */
typedef struct node_counts {
    _Atomic uint64_t puts, takes, copies, slot_messages, lock_waits, parks, wakes, redelivered, dropped;
    _Atomic uint64_t made, unmade, letters; /* of the layer above */
} node_counts_t;

/* Only the party itself counts: no read-modify-write. */
static inline void node_count_one(_Atomic uint64_t *count)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

#define BODY_USER_BYTES 1024

/* A party's own structures: written by the party alone, and after its death by its repairer. One page. */
typedef struct body {
    /* The state of the mutation under way: low half, entries of the log that a death undoes; high half, the first
     * slot (index + 1) of a committed chain of posts that a death completes. One store commits. */
    _Atomic uint64_t intent;
    offset_t log_more;                  /* entries beyond LOG_ENTRIES; 0 or a block of the heap */
    uint64_t log_room;                  /* entries there */
    offset_t scratch[SCRATCH_SLOTS];    /* owned blocks that are in no structure: a death frees them */
    _Atomic(offset_t) hand[HAND_SLOTS]; /* memos held: an entry counts if the memo's holder and place agree */
    lock_t hand_lock;                   /* of the list below: any thread of the client may take out of it */
    offset_t hand_list;                 /* memos held beyond those, doubly linked */
    offset_t cache[HEAP_CLASSES];       /* free blocks by class */
    _Atomic uint32_t cache_count[HEAP_CLASSES]; /* how many; not logged: a death makes it a guess */
    offset_t large[HEAP_LARGE_SLOTS];           /* free runs of pages */
    uint64_t pressure;                          /* heap_root.pressure as last seen */
    node_counts_t counts;
    log_entry_t log[LOG_ENTRIES];
    _Alignas(16) unsigned char user[BODY_USER_BYTES]; /* of the layer above */
} body_t;

_Static_assert(sizeof(body_t) <= 4096, "a body fits a page");

enum {
    PARTY_QUIET = 1 /* a participant in quiet on its own account */,
    PARTY_COMMON = 2, /* of started requests */
    PARTY_SHUT = 4    /* of the layer above: it is sent no more messages; stays set until its id is gone */
};

typedef struct party {
    /* The receiver's line. attention: a bit per section (index mod 64) with something unread, set by senders after
     * the splice, cleared by the receiver before it scans. bell: a futex, moved by senders that see `parked`. */
    _Alignas(NODE_LINE) _Atomic uint64_t attention;
    _Atomic uint32_t bell;
    _Atomic uint32_t parked;
    _Atomic uint32_t scanning; /* it may stand on a slot of any section: none is freed */
    /* Who it is. Written when claimed and when given back; all who send to it read it. */
    _Alignas(NODE_LINE) _Atomic uint32_t client; /* index + 1 of its client; 0 when free: claimed by CAS */
    _Atomic uint32_t id;                         /* 0 while free */
    uint32_t generation;
    _Atomic uint32_t flags;
    _Atomic uint32_t voided; /* its log was undone or completed after its death: its locks are anybody's */
    _Atomic uint32_t cpu;    /* where it was when it waited last, + 1; 0 unknown; by itself; a hint */
    _Atomic(offset_t) body;
    _Atomic(offset_t) section; /* slot.h; outlives the party until it is drained and nobody scans */
} party_t;

_Static_assert(sizeof(party_t) == 2 * NODE_LINE, "two lines a party");

/* ---- clients --------------------------------------------------------------------------------------------- */

enum { CLIENT_FREE = 0, CLIENT_CLAIMED = 1, CLIENT_OPEN = 2 };

typedef struct client {
    _Alignas(NODE_LINE) _Atomic uint32_t
        state; /* CLIENT_...; changed only by who holds its life lock, or its repair lock */
    uint32_t serial;
    lock_t repair;        /* held by who repairs it */
    _Atomic uint32_t pid; /* for people; proves nothing */
    int32_t rank;         /* -1: not ranked; -2: leads a run */
    uint32_t ranks;
    uint32_t on_death_drop;
    uint64_t run; /* the run it belongs to, 0 none */
    uint64_t opened_ns;
} client_t;

_Static_assert(sizeof(client_t) == NODE_LINE, "a line a client");

/* ---- the heap's root (heap.h) -------------------------------------------------------------------------- */

#define HEAP_BINS 64

typedef struct heap_root {
    lock_t lock;
    offset_t pages;     /* the page descriptors */
    offset_t base;      /* the first page */
    uint64_t count;     /* pages */
    uint64_t top;       /* pages from here on were never used and are not committed */
    uint64_t used;      /* bytes given out, to caches too */
    uint64_t taken;     /* pages in runs and slabs */
    uint64_t reserve;   /* pages for new parties' bodies, and for what must go on: a full space can be drained */
    uint64_t full_bins; /* a bit per bin that is not empty */
    uint32_t bins[HEAP_BINS];                      /* first free run of each size range; page + 1 */
    uint32_t partial[HEAP_CLASSES];                /* first slab with free blocks of each class; page + 1 */
    _Alignas(NODE_LINE) _Atomic uint64_t pressure; /* moved by who found no memory: caches are given back */
    _Atomic uint32_t bell;                         /* futex of those who wait for memory */
    _Atomic uint32_t waiting;
} heap_root_t;

/* ---- the root -------------------------------------------------------------------------------------------- */

#define NODE_USER_BYTES 8192

typedef struct node_root {
    uint64_t size;
    uint32_t on_death_drop;
    _Atomic uint32_t parties_used; /* indices below this have been used */
    _Atomic uint32_t clients_used;
    _Atomic uint64_t checked_ns; /* when somebody last looked for the dead */
    _Atomic uint64_t deaths;
    _Atomic uint32_t voids;          /* moved after each undoing of what a dead party was in the midst of */
    _Atomic uint32_t repairs_wanted; /* a dead party was seen: somebody finish its repair */
    _Atomic uint32_t rooms;          /* futex of the layer above */
    node_counts_t counts;            /* of parties that are gone; under boot_lock */
    lock_t boot_lock;                /* of boot: parties come and go with its log */
    body_t boot;
    heap_root_t heap;
    _Alignas(NODE_LINE) unsigned char user[NODE_USER_BYTES]; /* of the layer above */
    client_t clients[NODE_CLIENTS];
    party_t parties[NODE_PARTIES];
} node_root_t;

_Static_assert(REGION_HEADER_BYTES + sizeof(node_root_t) <= REGION_COMMITTED_AT_START, "the root is always there");

/* ---- this process's view --------------------------------------------------------------------------------- */

typedef struct node node_t;

#define SELF_EXPECTED 16 /* a power of two */

/* A party as its own thread sees it. Every call that changes anything takes one. */
typedef struct self {
    char *base; /* of the region */
    node_t *node;
    node_root_t *root;
    party_t *party;
    body_t *body;
    party_id_t id;
    uint32_t index;
    uint32_t logged;          /* entries of the log in use */
    uint32_t free_hand;       /* where to look first for a free place in the hand */
    uint32_t places;          /* a bit per place of the own hand that the mutation took */
    _Atomic(offset_t) *given; /* the place in a hand to clear once the mutation is committed */
    lock_t *hand_locked;      /* the hand list's lock that the mutation took */
    uint32_t to_wake[16];     /* receivers that slept when a message was posted to them */
    uint32_t to_wake_count;
    _Atomic uint32_t in_call; /* calls under way with it (close waits for that) */
    unsigned trim;            /* class + 1 whose cache grew too long in this mutation */
    bool from_reserve;        /* what it does now must not fail for want of a few pages */
    uint32_t calls;           /* done: every so often one looks for the dead */
    void *user;               /* the layer above */
    struct self *next;        /* in the node's list of selves */
    struct self *next_idle;
    offset_t expected[SELF_EXPECTED][2]; /* of the layer above, by sender: what it sent last; a hint */
} self_t;

struct node {
    region_t region;
    node_root_t *root;
    uint32_t client; /* index */
    unsigned cpus;   /* of the machine */
    _Atomic bool closing;
    _Atomic uint32_t entering; /* threads that enter for the first time: no list has them yet */
    uint64_t serial;           /* of this handle in this process: never given twice */
    /* What the layer above has the node do for it; called by repairs and closes. */
    const struct node_user *user;
    void *user_arg;
    pthread_mutex_t mutex; /* of the lists */
    self_t *selves;        /* all parties of this handle */
    self_t *idle;          /* those whose thread has ended */
    node_t *next;          /* in node.c's list of open handles */
};

/* The part of a repair that is the layer's above: everything in body.user of party `index`, of a client that is
 * dead or closing. It may be called again for the same party if a repairer died: each step must be one logged
 * mutation. */
typedef struct node_user {
    size_t self_bytes;            /* of self_t.user, zeroed */
    void (*self_gone)(self_t *s); /* before that is freed */
    /* The thread has ended that took part in quiet (PARTY_QUIET), and does no more. It may take no lock that is
     * held while nodes are opened or closed. May be NULL. */
    void (*quits)(self_t *s);
    /* No request of the party will be given anything from now on, except by who has claimed it already. */
    void (*cancel_requests)(self_t *s, uint32_t index);
    /* A memo in a hand goes back to where it came from, or is freed. `drop`: its holder was to take it with him. */
    void (*memo_back)(self_t *s, offset_t memo, bool drop);
    /* The rest of the party's user part. */
    void (*retire)(self_t *s, uint32_t index);
    /* The client is gone, its parties too. */
    void (*client_gone)(self_t *s, uint32_t client);
} node_user_t;

/* ---- handles (node.c) -------------------------------------------------------------------------------- */

struct whole;

typedef struct node_options {
    const char *name;
    const char *kind;
    bool anonymous;
    bool on_death_given, on_death_drop;
    uint64_t size;
    uint32_t mode, group; /* as region_spec_t's */
    bool group_given;
    uint64_t fingerprint; /* of the layer above */
    const node_user_t *user;
    int (*format)(region_t *r, node_root_t *root, const void *arg); /* fills the root's user part of a new region */
    const void *format_arg;
    bool (*whole)(struct whole *w); /* examines it, in one that nobody has open (whole.h); may be NULL */
    int32_t rank;
    uint32_t ranks;
    uint64_t run;
} node_options_t;

/* Opens or creates the region and becomes a client of it. Errors as region_open's; MEMO_EFULL: no client is free.
 */
int node_open(node_t *n, const node_options_t *o);

/* Opens the region for reading alone, unmapped, without becoming a client of it: for who examines one that may be
 * damaged. As region_look. */
int node_look(region_t *r, const node_options_t *o);

/* Ends the handle: waits until other threads have left their calls, gives everything back. */
void node_close(node_t *n);

/* The same in two steps, for who has something to say in between: after the first no other thread is in a call, nor
 * will be. The party that it answers, the calling thread's (NULL: there is none), is for the second. */
self_t *node_shut(node_t *n);
void node_end(node_t *n, self_t *me);

/* In a forked child. */
void node_forget(node_t *n);

/* A party that is no thread's, with PARTY_COMMON set; NULL as above. */
self_t *node_common(node_t *n, int *result);

/* Adds up what all parties counted. */
void node_counts(self_t *s, node_counts_t *sum);
uint32_t node_receivers(const self_t *s);
uint32_t node_clients(const self_t *s);

/* ---- entering and leaving calls -------------------------------------------------------------------------- */

extern bool node_membarrier; /* the system has it, and TSan, which does not know it, is not there */
extern __thread uint64_t node_last_serial __attribute__((tls_model("initial-exec")));
extern __thread self_t *node_last __attribute__((tls_model("initial-exec")));

self_t *node_enter_slowly(node_t *n, int *result);
self_t *node_refused(self_t *s, int *result);
void node_look_around(self_t *s);

/*
 * The calling thread enters a call: its party, made at its first call. NULL with *result MEMO_ECLOSED (closing) or
 * MEMO_EFULL (no party, or no memory for one, is left).
 *
 * node_close sees the thread inside, or the thread sees `closing`: there, membarrier stands for the fence that is
 * spared here.
 */
static inline self_t *node_enter(node_t *n, int *result)
{
    self_t *s = node_last;

    if (__builtin_expect(node_last_serial != n->serial, 0))
        return node_enter_slowly(n, result);
    atomic_store_explicit(&s->in_call, atomic_load_explicit(&s->in_call, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (__builtin_expect(node_membarrier, 1))
        atomic_signal_fence(memory_order_seq_cst);
    else
        atomic_thread_fence(memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&n->closing, memory_order_acquire), 0))
        return node_refused(s, result);
    return s;
}

static inline void node_leave(self_t *s)
{
    if (__builtin_expect((++s->calls & NODE_LOOK_MASK) == 0 ||
                             atomic_load_explicit(&s->root->repairs_wanted, memory_order_relaxed) != 0,
                         0))
        node_look_around(s);
    atomic_store_explicit(&s->in_call, atomic_load_explicit(&s->in_call, memory_order_relaxed) - 1,
                          memory_order_release);
}

static inline void *node_at(const self_t *s, offset_t at)
{
    return s->base + at;
}

/* Has a line that will be written come from another CPU, while we go on. It may be any. */
static inline void node_fetch(const void *line)
{
#if defined(__x86_64__)
    __asm__ __volatile__("prefetchw %0" : : "m"(*(const char *)line)); /* what the compiler has for it only reads */
#else
    __builtin_prefetch(line, 1);
#endif
}

static inline offset_t node_offset(const self_t *s, const void *p)
{
    return (offset_t)((const char *)p - s->base);
}

static inline node_root_t *node_root_of(const region_t *r)
{
    return (node_root_t *)(void *)(r->base + REGION_HEADER_BYTES);
}

static inline party_t *node_party(const self_t *s, uint32_t index)
{
    return &s->root->parties[index];
}

static inline uint32_t party_index(party_id_t id)
{
    return id & (NODE_PARTIES - 1);
}

static inline body_t *party_body(const self_t *s, const party_t *p)
{
    offset_t at = atomic_load_explicit(&p->body, memory_order_acquire);
    return at ? node_at(s, at) : NULL;
}

#endif
