/*
 * shm.h - the shared-memory backends: a table of folders in a node region, under one lock or a lock per bucket.
 *
 * Source: the Memo implementations' shared-memory versions (hash table; a get structure tells to whom to deliver;
 * alt and its skips link one into every folder and see whether a memo came meanwhile).
 *
 * Invariant of a folder, whenever its bucket's lock is free: if it holds a memo, no take that is still PENDING is
 * linked into it. So a select that is linked into all its folders and still PENDING has an instant, that of its
 * CANCELLED, at which all of them are empty.
 *
 * A request's state word: generation (high half), claimer's index + 1, status. PENDING -> CLAIMED by whoever gives
 * it a memo, as part of the mutation that gives; -> CANCELLED by its owner; -> QUIETING -> QUIET by quiet.c.
 */
#ifndef SHM_H
#define SHM_H

#include "libmemo/api/error.h"
#include "libmemo/api/handles.h"
#include "libmemo/backend.h"
#include "libmemo/node/bridge.h"
#include "libmemo/node/hand.h"
#include "libmemo/node/lock.h"
#include "libmemo/node/refused.h"
#include "libmemo/node/slot.h"
#include "libmemo/node/whole.h"

/* ---- what is in the region ------------------------------------------------------------------------------- */

enum { REQUEST_IDLE = 0, REQUEST_PENDING, REQUEST_CLAIMED, REQUEST_CANCELLED, REQUEST_QUIETING, REQUEST_QUIET };

typedef struct request {
    _Alignas(16) _Atomic uint64_t state;
    _Atomic uint64_t tag;   /* of the message that serves it, written by its claimer: section << 48 | sequence */
    uint32_t receiver;      /* party index */
    uint32_t what;          /* MEMO_TAKE, MEMO_COPY, or REQUEST_JOIN */
    _Atomic uint32_t which; /* index of the folder that served it, written by its claimer */
    _Atomic uint32_t poked; /* a join: look again; a select: a memo passed it over while it was claimed */
    uint32_t count;         /* of its get structures */
    uint32_t quiet;         /* it waits until quiet */
    _Atomic uint32_t abandoned; /* its owner is gone: though a claim be undone, nobody claims it again */
    uint32_t unused;
    uint64_t local;               /* the owner process's own pointer */
    offset_t next, prev;          /* the common party's started requests */
    _Atomic(offset_t) quiet_next; /* another of the party's that waits until quiet; under the quiet lock */
    offset_t gets;
} request_t;

#define REQUEST_JOIN 2u

typedef struct get {
    offset_t next, prev; /* in its folder's list */
    offset_t record;     /* the folder; 0: not linked */
    offset_t request;
    uint32_t index;
    uint32_t reserved;
} get_t;

typedef struct list {
    offset_t head, tail;
} list_t;

/* What few folders have. */
typedef struct extra {
    uint64_t limit_memos, limit_bytes;
    uint64_t reserved_memos, reserved_bytes; /* room promised to delayed puts */
    list_t delayed;                          /* puts that wait for a memo here */
    _Atomic uint32_t room_wanted;            /* somebody waits for room */
    uint32_t unused;
} extra_t;

typedef struct delayed {
    offset_t next;
    offset_t memo;
    offset_t target; /* record, kept by a reference */
    uint64_t size;
} delayed_t;

/* A folder. Under its bucket's lock; name and hash never change. */
typedef struct record {
    offset_t chain; /* next of the bucket */
    uint64_t hash;
    list_t queue;    /* memos */
    uint64_t counts; /* memos << 32 | references: memos held elsewhere that come from here, and the like */
    uint64_t bytes;
    list_t takers, copiers, joiners; /* get structures */
    offset_t extra;
    uint32_t waiters;
    uint32_t copiers_count;
    uint8_t kind, length;
    unsigned char name[];
} record_t;

typedef struct bucket {
    _Alignas(NODE_LINE) lock_t lock;
    offset_t chain;
    _Atomic uint64_t arrivals; /* memos that came into its folders' queues: pollers look only at this */
} bucket_t;

#define TABLE_FIRST_BUCKETS 64u
#define TABLE_SEGMENTS 26u
#define RUNS 16u
#define RUN_RANKS 1024u

/* Clients that were started together. */
typedef struct run {
    uint64_t id; /* 0: free */
    uint32_t ranks;
    uint32_t leader;        /* client + 1 of the launcher, 0 none */
    uint32_t leader_serial; /* of that client entry */
    uint32_t unused;
    uint64_t opened[RUN_RANKS / 64]; /* ranks that have opened the space at some time */
} run_t;

/* How often a memo goes back to its folder because its holder died or closed, and what becomes of it then. All of
 * it is compared by its bytes. */
typedef struct lease {
    uint32_t limited; /* else as often as need be */
    uint32_t most;
    memo_folder_t letters; /* where it goes then; an invalid one: it is dropped */
} lease_t;

typedef struct shm_root {
    lock_t single; /* shm-lock: the one lock */
    uint32_t one_lock;
    _Alignas(NODE_LINE) _Atomic uint64_t buckets; /* how many there are: linear hashing */
    lock_t split_lock;
    offset_t segments[TABLE_SEGMENTS]; /* behind the first buckets: each as large as all before it */
    _Atomic uint64_t symbols;
    lock_t quiet_lock;
    _Atomic uint32_t quiet_dirty;     /* some requests may be QUIETING */
    _Atomic uint32_t quiet_committed; /* and will be QUIET */
    lease_t lease;                    /* written when the region is made */
    run_t runs[RUNS];
    bucket_t first[TABLE_FIRST_BUCKETS];
} shm_root_t;

_Static_assert(sizeof(shm_root_t) <= NODE_USER_BYTES, "the table's root fits");

/* Of a bucket behind the first ones. */
static inline unsigned table_segment(uint64_t bucket)
{
    return (unsigned)(63 - __builtin_clzll(bucket / TABLE_FIRST_BUCKETS));
}

#define SHM_GETS 4u
#define SHM_ORIGINS 8u
#define SHM_ORIGIN_BATCH 64u

typedef struct origin {
    offset_t record;
    uint64_t count;
} origin_t;

typedef struct shm_body {
    request_t request; /* of the call that blocks */
    get_t gets[SHM_GETS];
    offset_t large_request;        /* of a call with more folders */
    offset_t started;              /* requests (of the common party) */
    list_t fire;                   /* delayed puts whose time has come */
    origin_t origins[SHM_ORIGINS]; /* references to give back, several at once */
    _Atomic(offset_t) quiet;       /* the requests that wait until quiet: the first of a chain */
} shm_body_t;

_Static_assert(sizeof(shm_body_t) <= BODY_USER_BYTES, "the folder table's part of a body fits");

/* ---- what is in the process ------------------------------------------------------------------------------ */

typedef struct shm_request shm_request_t;

typedef struct shm_space {
    memo_space_t space;
    node_t node;
    int rank, ranks;
    pthread_mutex_t mutex;  /* of the common party: one scanner */
    pthread_cond_t changed; /* somebody's request may be done, or nobody scans */
    self_t *common;
    bool scanning; /* somebody sleeps for the common party, without the mutex */
    shm_request_t *requests;
    uint64_t done;                /* requests complete and not collected */
    _Atomic uint64_t completions; /* ever */
    bridge_t bridge;              /* memo_fd */
} shm_space_t;

struct shm_request {
    memo_request_t base;
    request_t *request; /* in the region; NULL once done */
    offset_t at;
    shm_request_t *next, *prev;
    bool done;
    bool quiet;
    bool linked; /* it waits */
    bool skip;
    int result;
    struct memo *memo;
    size_t which;
    int64_t deadline;
};

/* What a thread's blocked call is given, and what the thread remembers. */
typedef struct shm_local {
    bool delivered;
    int result;
    struct memo *memo;
    uint32_t pauses; /* how long a wait polls: learned */
    size_t rotate;   /* where the next MEMO_ROTATE starts */
    refused_t refused;
} shm_local_t;

static inline shm_root_t *shm_root(const self_t *s)
{
    return (shm_root_t *)(void *)s->root->user;
}

static inline shm_body_t *shm_body_of(body_t *b)
{
    return (shm_body_t *)(void *)b->user;
}

static inline shm_body_t *shm_body(const self_t *s)
{
    return shm_body_of(s->body);
}

static inline shm_local_t *shm_local(const self_t *s)
{
    return s->user;
}

static inline record_t *record_at(const self_t *s, offset_t at)
{
    return node_at(s, at);
}

static inline uint64_t record_memos(const record_t *r)
{
    return r->counts >> 32;
}

#define COUNT_MEMO (UINT64_C(1) << 32)
#define COUNT_REFERENCE UINT64_C(1)

enum { SHM_SCRATCH_CLONE = 2, SHM_SCRATCH_RECORD = 3 };

/* ---- space.c --------------------------------------------------------------------------------------------- */

/* node_look for a space of that URI. */
int shm_look(const memo_uri_t *uri, region_t *r);

/* ---- table.c --------------------------------------------------------------------------------------------- */

/* The table of a new region. */
int table_format(region_t *r, node_root_t *root);

/* The bucket that a hash belongs in when there are so many. */
uint64_t table_index(uint64_t hash, uint64_t buckets);

/* whole.c: examines the table of a region that nobody has open. */
bool table_whole(whole_t *w);

/* Locks the bucket of that hash. */
bucket_t *table_lock(self_t *s, uint64_t hash);
void table_unlock(self_t *s, bucket_t *b);
bucket_t *table_bucket_of(const self_t *s, uint64_t hash);

/* Unlocks it after a delivery. */
void table_unlock_arrived(self_t *s, bucket_t *b);

/* The folder's record in a locked bucket, or NULL. */
record_t *table_find(const self_t *s, const bucket_t *b, const memo_folder_t *folder);

/* A new one in scratch, not yet in the bucket; NULL: no memory. A mutation of its own. */
record_t *table_new(self_t *s, const memo_folder_t *folder);

/* As part of a mutation: the new record goes from scratch into the bucket. */
void table_insert(self_t *s, bucket_t *b, record_t *r);

/* As part of a mutation: if the folder holds nothing any more it leaves the bucket, into scratch. */
void table_drop_if_empty(self_t *s, bucket_t *b, record_t *r);

/* Frees a record that was left in scratch. No mutation open. */
void table_tidy(self_t *s);

/* Whether the chain of a locked bucket is long; the table then grows by a bucket, with no lock held. */
bool table_long(const self_t *s, const bucket_t *b);
void table_grow(self_t *s);

/* Locks the buckets of all the folders, in order. MEMO_OK or MEMO_ENOMEM. */
typedef struct table_locks {
    uint64_t *index;
    size_t count;
} table_locks_t;
int table_lock_all(self_t *s, const memo_folder_t folders[], size_t n, table_locks_t *locks);
void table_unlock_all(self_t *s, table_locks_t *locks);

memo_folder_t record_folder(const record_t *r);
int table_each(self_t *s, int (*visit)(const memo_folder_t *, uint64_t, uint64_t, uint64_t, void *), void *arg);

/* The extra part of a folder, made when absent; the record's bucket is locked, no mutation open. NULL: no memory.
 */
extra_t *record_extra(self_t *s, record_t *r);

/* Drops it when it says nothing any more. The record's bucket is locked, no mutation open. */
void record_extra_drop(self_t *s, record_t *r);

/* ---- request.c ------------------------------------------------------------------------------------------- */

static inline uint64_t request_word(uint64_t generation, uint32_t claimer, uint32_t status)
{
    return generation << 32 | (uint64_t)claimer << 8 | status;
}

static inline uint32_t request_status(uint64_t word)
{
    return word & 0xff;
}

static inline get_t *request_get(const self_t *s, const request_t *r, size_t i)
{
    return (get_t *)node_at(s, r->gets) + i;
}

/* The list of the record that get structures of such requests hang in. */
list_t *record_list(record_t *r, uint32_t what);

/* Part of a mutation: the get structure leaves its folder. */
void get_remove(self_t *s, record_t *r, get_t *g);

/* Part of a mutation: claims the request for the party, unless somebody or its owner was faster. */
bool request_claim(self_t *s, request_t *r, uint32_t which);

/* PENDING again, in a new generation. */
void request_arm(self_t *s, request_t *r, uint32_t what, bool quiet);

/* The owner gives up: true if nobody had claimed it. */
bool request_cancel(self_t *s, request_t *r);

/* A thread's own request with n get structures, or the common party's started one. NULL: no memory. */
request_t *request_own(self_t *s, size_t n);
request_t *request_started(self_t *s, size_t n);

/* Unlinks and gives it back. */
void request_end(self_t *s, request_t *r);

/* Links get structure i into the folder of a locked bucket, which comes into being if need be: both as one mutation
 * of its own. NULL: no memory. */
record_t *request_link_folder(self_t *s, request_t *r, size_t i, bucket_t *b, const memo_folder_t *folder);
void request_unlink_all(self_t *s, request_t *r);

/* ---- origins.c ------------------------------------------------------------------------------------------- */

/* Outside a mutation, no lock held: sees to room for one more reference to give back. */
void origins_prepare(self_t *s);

/* Part of a mutation: the memo comes from its folder no more. `here`: a record whose bucket is locked, or NULL. */
void origins_drop(self_t *s, struct memo *m, record_t *here);

/* Part of a mutation: a reference to a record is given back. */
void origins_drop_reference(self_t *s, offset_t record, record_t *here);

/*
 * The folder of a locked bucket, made when absent, with a reference that is to be given back: what is not put to
 * use until then goes, the extra part too, whoever dies meanwhile. There must be room for the reference. NULL: no
 * memory.
 */
record_t *origins_hold(self_t *s, bucket_t *b, const memo_folder_t *folder);

/* Gives all of a body's references back. Outside a mutation, no lock held. */
void origins_flush(self_t *s, shm_body_t *body);

/* ---- deliver.c ------------------------------------------------------------------------------------------- */

typedef enum { DELIVER_TAIL, DELIVER_HEAD } deliver_where_t;

/* What a delivery takes the memo out of, as part of its mutation. */
typedef void (*deliver_leave_t)(self_t *s, struct memo *m, record_t *r, void *arg);

/*
 * Puts m into the folder of a locked bucket: to copies and a taker that wait there, else into the queue; delayed
 * puts that waited for it go to the party's fire list. One mutation, committed. MEMO_OK, or MEMO_EFULL (no memory
 * to deliver with; nothing changed).
 */
int deliver(self_t *s, record_t *r, struct memo *m, deliver_where_t where, deliver_leave_t leave, void *arg);

/* After unlocking: wakes the receivers, puts the delayed ones, tidies. */
void deliver_finish(self_t *s);

int put_memo(self_t *s, const memo_folder_t *folder, struct memo *m, int64_t deadline);
int put_delayed(self_t *s, const memo_folder_t *trigger, const memo_folder_t *target, struct memo *m);
void fire_delayed(self_t *s, shm_body_t *body);
void free_memo(self_t *s, struct memo *m);

/* ---- lease.c --------------------------------------------------------------------------------------------- */

/* That of a region which is made by that URI; and whether the URI agrees with that of one which is there
 * (MEMO_EINVAL). */
void lease_format(node_root_t *root, const memo_uri_t *uri);
int lease_agree(const node_root_t *root, const memo_uri_t *uri);

/*
 * A memo in some hand goes to the head of the folder it comes from, or is freed if it comes from none. With `mark`
 * (its holder died or closed) it is marked, and once that was done as often as may be it goes to the dead letters,
 * or is dropped.
 */
void lease_back(self_t *s, struct memo *m, bool mark);

/* It is freed, and counted as dropped. */
void lease_drop(self_t *s, struct memo *m);

/* ---- select.c -------------------------------------------------------------------------------------------- */

/*
 * Takes or copies the first memo of a locked folder that has one; with `claim`, only if that request of one's own
 * can be claimed (MEMO_PENDING: somebody else has). MEMO_OK, MEMO_EFULL (no memory for the copy).
 */
int take_first(self_t *s, record_t *r, uint32_t what, request_t *claim, uint32_t which, struct memo **m);

/* As part of a mutation: the first memo leaves the folder for the party's hand. */
struct memo *take_out_first(self_t *s, record_t *r);

/* Somebody waits for room in the folder, and there may be some. */
void room_made(self_t *s, const record_t *r);

/* Looks at each folder once, in the order of choice. MEMO_OK, MEMO_NONE or an error. */
int select_poll(self_t *s, const memo_select_t *select, struct memo **m, size_t *which);

/* Links the request into all folders. MEMO_OK: linked into all and waiting; MEMO_PENDING: somebody has claimed it;
 * MEMO_NONE: it claimed a memo itself, in *m; or an error. */
int select_link(self_t *s, request_t *r, const memo_select_t *select, struct memo **m);

/* Memos came to folders of a waiting request while it was claimed, and the claim was undone: it then looks at its
 * folders itself. MEMO_OK: nothing is there any more; the other results as select_link's. */
bool select_passed_over(const request_t *r);
int select_recheck(self_t *s, request_t *r, struct memo **m);

int select_memo(self_t *s, const memo_select_t *select, memo_t **m, size_t *which);

/* Takes over what a message brings: the memo is in the party's hand then. NULL when it is a copy that has no room.
 */
struct memo *message_memo(self_t *s, const slot_message_t *message);

/* ---- started.c, join.c, quiet.c ------------------------------------------------------------------------------ */

int started_start(memo_space_t *space, const memo_select_t *select, memo_request_t **r);
int started_test(memo_request_t *r, memo_t **m, size_t *which);
int started_wait(memo_request_t *r, memo_t **m, size_t *which, int64_t timeout_ns);
int started_cancel(memo_request_t *r);
int started_fd(memo_space_t *space);
void started_stop(shm_space_t *space); /* before the node closes */
void started_free(shm_space_t *space); /* after */

int join_get_all(self_t *s, const memo_folder_t folders[], size_t n, memo_t *m[], int64_t deadline);

/* The calling party waits, from now on, with this request until quiet; or no more (NULL). */
void quiet_wait(self_t *s, request_t *r);

/* The same for a party with several: the chain is changed, and the party's part in it, between these two. */
void quiet_hold(self_t *s);
void quiet_release(self_t *s);

/* Declares the space quiet if it is. No lock held, no mutation open. */
void quiet_check(self_t *s);

/* Waits until no decision about quiet is under way. Any lock but the quiet lock may be held; a mutation may be
 * open. */
void quiet_settle(self_t *s);

/* The party takes part no more; decisions look at its body no more. */
void quiet_leave(self_t *s, uint32_t index);

/* The client, if it is of a run, counts from now on. */
void quiet_client_opened(self_t *s, const client_t *c);
void quiet_client_gone(self_t *s, uint32_t client);

extern const node_user_t shm_node_user;

#endif
