/*
 * space.h - one process's handle on an MPI space: what the files of the client half share. Private to stubs/.
 *
 * The protocol is the stub's (stub.h); here are threads, waiting, and what carries messages. One mutex protects the
 * stub and everything that is sent; whoever has it may read what has come (*pump*). Of the threads that wait one
 * sleeps, without the mutex, on the mailbox's bell, the *pumper*; the others each on a condition of their own,
 * signalled when their call is over, or when the pumper leaves and one of them is to follow him. A thread's own
 * party (node_enter) allocates and frees memos, without the mutex; messages are sent from and received by the
 * mailbox's party alone.
 *
 * Order of locks: the mutex, then those of node/ that may be waited for. (A repair holds a lock that nobody waits
 * for; what it has to say to other nodes needs the mutex.)
 */
#ifndef SPACE_H
#define SPACE_H

#include "libmemo/api/error.h"
#include "libmemo/api/handles.h"
#include "libmemo/backend.h"
#include "libmemo/node/bridge.h"
#include "libmemo/node/refused.h"
#include "libmemo/node/slot.h"
#include "libmemo/wire/dead.h"
#include "libmemo/wire/launch.h"
#include "libmemo/wire/near.h"
#include "libmemo/wire/patience.h"
#include "stubs/stub.h"

/* In a memo's flags: its bytes are under way to a server of another node. It is in our hand until that has it, but
 * the caller's no more. */
#define SPACE_SENT 2u

/* Started puts of one thread under way at once; one more waits for one to end. */
#define SPACE_PUTS_MOST 1024u

typedef struct mpi_space mpi_space_t;
typedef struct pending pending_t;

/* ---- a call under way ------------------------------------------------------------------------------------- */

struct pending {
    stub_call_t call;                             /* call.user is this */
    struct thread *thread;                        /* waits for it; NULL nobody */
    void (*ended)(mpi_space_t *sp, pending_t *p); /* when it is done; NULL: it is waited for */
    bool live;                                    /* in the list of calls under way */
    bool done;
    bool cancelled;        /* the stub was told */
    bool far;              /* a server of another node has a part in it */
    bool puts;             /* brings a memo somewhere: it counts as in flight for quiet */
    /* A put's memo as it was, in case it is refused. */
    struct memo *memo;
    struct memo *kept; /* the same while its bytes travel: freed when they have arrived */
    bool ours;         /* it was refused: it is in our hand */
    memo_folder_t from;
    bool comes_from; /* `from` is valid */
    uint32_t taken_client,
        taken_index; /* and by what ANSWER it was taken from there, where there are other nodes */
    uint64_t taken_request;
    uint32_t redeliveries;
    pending_t *next, *prev;
};

/* Puts that a thread has started. Outlives the thread while some are under way; the rest under the mutex. */
typedef struct puts {
    _Atomic uint32_t references; /* the thread's, and one for each put under way */
    uint32_t under_way;
    struct thread *thread; /* waits for them; NULL nobody */
    refused_t refused;
} puts_t;

/* What a thread has besides its party: self_t.user. */
typedef struct thread {
    bool ready; /* `woken` is initialized */
    bool waits; /* in the list of waiters */
    pthread_cond_t woken;
    struct thread *next, *prev;
    size_t rotate; /* MEMO_ROTATE: where to start */
    puts_t *puts;
} thread_t;

/* A started request. */
typedef struct mpi_request {
    memo_request_t base;
    pending_t pending;
    bool quiet, rotates, copies;
    size_t count;
    int64_t deadline;
    struct mpi_request *next, *prev;
    struct mpi_request *next_timed, *prev_timed; /* of those with a deadline that are not over */
} mpi_request_t;

/* A memo that goes back to a folder, once the stub can be called again. */
typedef struct going_back {
    memo_folder_t folder;
    struct memo *memo;
    struct going_back *next;
} going_back_t;

/* A memo that somebody had who died, on its way to a server of another node: in our hand, marked SPACE_SENT, until
 * that has it. It keeps the envelope it had: should we die too, whoever finds us dead sends it once more. */
typedef struct going_home {
    struct going_home *next;
    struct memo *memo;
    uint32_t server;
    uint32_t client, index; /* the ANSWER by which it was taken; nobody else has one like it */
    uint64_t request;
} going_home_t;

struct mpi_space {
    memo_space_t space;
    node_t node;
    launch_t launch;
    near_peer_t *peers; /* of all; mailbox 0: of another node */
    _Atomic bool *gone; /* by server: it is dead */
    _Atomic bool lost;  /* some server is newly dead: calls are to be told */
    far_t *far;         /* NULL: there are no other nodes */
    self_t *mailbox;
    stub_t *stub;
    dead_t dead; /* for repairs */
    _Atomic uint64_t symbols;

    pthread_mutex_t mutex;
    pthread_condattr_t monotonic;
    _Atomic bool closing; /* calls begin no more */
    thread_t closer;      /* the state of the thread that closes */
    pending_t *live;      /* calls under way, newest last */
    pending_t *live_last;
    uint32_t far_calls;   /* of them, with a part at another node */
    uint32_t putting;     /* of them, that bring a memo somewhere */
    pending_t *beginning; /* the call that is just being begun */
    going_back_t *back, *back_last;
    going_home_t *home; /* of the dead, on its way to other nodes */

    /* Receiving (space_carry.c). */
    struct memo *spare;     /* an envelope in the mailbox's hand to send the next message in */
    wire_folder_t *folders; /* of a message of another node */
    uint32_t folders_room;
    void *head; /* of one that is sent there */
    size_t head_room;

    /* Waiting (space_pump.c). */
    thread_t *pumper;       /* sleeps on the mailbox's bell */
    thread_t *waiters;      /* the others */
    _Atomic uint64_t rings; /* moved by who wants the pumper to look */
    patience_t patience[2]; /* the pumper's: for what is answered at once, and for what may have to come yet */
    bool asked_at_once;     /* what was sent last is answered at once */
    patience_with_t asked;  /* the server of this node that was sent something last */
    int64_t moved_ns;       /* when something last came from another node, or was begun there */
    int64_t asked_ns;       /* when servers of other nodes were last asked after */
    uint64_t deaths;        /* on this node, as far as servers were looked for among them */

    /* Started requests (space_requests.c). */
    mpi_request_t *requests;
    mpi_request_t *timed;
    int64_t earliest; /* no deadline of those is before */
    size_t over;      /* of them, complete */
    size_t rotate;
    uint32_t quiet_requests;
    bool quiet;        /* some thread or request has waited until quiet */
    _Atomic bool quit; /* a thread that took part has ended, and nobody has counted since */
    uint32_t participants;
    uint32_t told_participants; /* to the stub */
    bool told_busy;
    bridge_t bridge;        /* memo_fd */
    thread_t bridge_thread; /* its state: it has no party */

    pthread_t keeper; /* space_keeper.c */
    thread_t keeper_thread;
    bool kept, keeper_stop, keeper_looks; /* looks: for the dead */
};

static inline mpi_space_t *space_of(memo_space_t *space)
{
    return (mpi_space_t *)(void *)space;
}

static inline thread_t *space_thread(const self_t *s)
{
    return s->user;
}

/* ---- entering (space_pendings.c)
 * ------------------------------------------------------------------------------------ */

/* A call that talks to servers begins so: the thread counts as inside and has the mutex. MEMO_OK, or an error. */
int space_enter(mpi_space_t *sp, self_t **s);
void space_leave(mpi_space_t *sp, self_t *s);

/* Whether the caller holds m; hand_holds, and that it is a memo, and not sent. */
bool space_holds(const mpi_space_t *sp, const memo_t *m);

/* ---- calls under way (space_pendings.c)
 * ------------------------------------------------------------------------------ */

/* Before the stub is told of it: p is zeroed. */
void pending_begin(mpi_space_t *sp, pending_t *p, thread_t *waits);
void pending_concerns(mpi_space_t *sp, pending_t *p, const memo_folder_t folders[], size_t n);
void pending_concerns_server(mpi_space_t *sp, pending_t *p, uint32_t server);
/* The same for one that carries a memo of ours: notes what it was. One that waits for room is not in flight. */
void pending_carries(mpi_space_t *sp, pending_t *p, struct memo *m, bool waits);

/* What the stub answered to the beginning: anything but MEMO_OK ends it, and everything is as it was. */
int pending_begun(mpi_space_t *sp, pending_t *p, int result);

/* Waits until it is done; after the deadline it is cancelled. Answers its result. */
int pending_wait(mpi_space_t *sp, thread_t *t, pending_t *p, int64_t deadline);

/* The stub's `done`. */
void pending_done(void *arg, stub_call_t *call);

/* What is kept of the memo that it carries, if anything, is the caller's again; NULL nothing. */
struct memo *pending_unkeep(mpi_space_t *sp, pending_t *p);

/* A put that was refused: its memo is the caller's again, as it was. */
void pending_restore(mpi_space_t *sp, pending_t *p);

/* A held memo that nobody wants goes back to the head of its folder, or, if it comes from none, to the heap. Waits
 * until it has. */
void pending_give_back(mpi_space_t *sp, thread_t *t, struct memo *m);

/* The sentence for a result of a server that is an error; answers the result. */
int pending_explain(int result, const char *what);

/* A memo goes back to the head of its folder. space_back: the stub's `back`; pendings_back sends what that left. */
void space_back(void *arg, const memo_folder_t *folder, wire_memo_t *memo);
void pendings_back(mpi_space_t *sp);

/* A server is dead: whoever pumps next sees to it. Any thread. */
void pendings_server_died(mpi_space_t *sp, uint32_t server);

/* Ends what servers that have died will never answer; finds those that others have found dead. */
void pendings_lost(mpi_space_t *sp);

/* ---- carrying messages (space_carry.c)
 * ---------------------------------------------------------------------------- */

/* The stub's `send`. */
int carry_send(void *arg, uint32_t to, const wire_message_t *message);

/* Reads what has come from this node, and from others. */
bool carry_receive(mpi_space_t *sp);

/* What a far link calls. */
void *carry_place(void *arg, uint32_t peer, const void *head, size_t head_size, size_t body_size);
void carry_deliver(void *arg, uint32_t peer, const void *head, size_t head_size, void *body, size_t body_size);
void carry_drop(void *arg, uint32_t peer, void *body, size_t body_size);

/* Sends as bytes; the memo stays. MEMO_OK, MEMO_ENOMEM, MEMO_EPEER. */
int carry_far(mpi_space_t *sp, uint32_t server, const wire_message_t *message);

/* Gives back the memory that the mailbox's party keeps for later. */
void carry_spare(mpi_space_t *sp);

void carry_free(mpi_space_t *sp);

/* ---- what the dead of this node had, and other nodes' servers are to have (space_home.c)
 * ----------------------------- */

/* dead.h's `send`: by a thread without the mutex, or by who has it, with the mailbox's party. */
int home_send(self_t *s, uint32_t server, const wire_message_t *message, void *arg);
bool home_is_far(uint32_t server, void *arg);

/* A server has the memo that a RETURN of ours brought. */
void home_arrived(mpi_space_t *sp, const wire_message_t *received);

/* What was on its way to a server that has died is freed. */
void home_server_died(mpi_space_t *sp, uint32_t server);

/* By who closes: waits until all of it is there. */
void home_wait(mpi_space_t *sp);

/* ---- waiting (space_pump.c)
 * ---------------------------------------------------------------------------------------- */

/* Sees what has come. Under the mutex. */
void pump(mpi_space_t *sp);

/* Sleeps a while, until something may have changed, or the deadline; pumps. Under the mutex, which is let go
 * meanwhile. */
void pump_sleep(mpi_space_t *sp, thread_t *t, int64_t deadline);

/* The thread waits no more: another one has to read the mailbox. Under the mutex. */
void pump_pass_on(mpi_space_t *sp);

/* Wakes a thread that waits in pump_sleep; NULL: nobody. */
void pump_wake(mpi_space_t *sp, thread_t *t);
void pump_wake_all(mpi_space_t *sp);

/* The pumper is to look at what there is. */
void pump_ring(mpi_space_t *sp);

int pump_prepare(mpi_space_t *sp, thread_t *t);

/* The thread of space_keeper.c, where there is something for it to do; ends it, or what there is of it. */
int keeper_begin(mpi_space_t *sp);
/* A thread leaves the library: what it has sent to other nodes is to leave, too. Under the mutex. */
void keeper_told(mpi_space_t *sp);
void keeper_end(mpi_space_t *sp);

/* ---- taking part in quiet (space_part.c)
 * --------------------------------------------------------------------------- */

/* The thread takes part from now on; until it ends, or part_ends. */
void part_takes(mpi_space_t *sp, self_t *s);
void part_ends(mpi_space_t *sp, self_t *s);

/* A started request that waits so begins (1) or is collected (-1), by a thread that takes part itself now. */
void part_request(mpi_space_t *sp, int more, self_t *collects);

/* Tells the stub who takes part, and whether something is in flight, if that has changed. */
void part_tell(mpi_space_t *sp);

/* The same, as threads may have ended. */
void part_look(mpi_space_t *sp);

/* A thread that took part has ended; by that thread, which holds nothing. */
void part_quits(mpi_space_t *sp, self_t *s);

/* ---- the ops --------------------------------------------------------------------------------------------------
 */

int open_space(const memo_backend_t *self, const memo_uri_t *uri, memo_space_t **space);
int open_close(memo_space_t *space);
void open_forget(memo_space_t *space);

int puts_put(memo_space_t *space, const memo_folder_t *folder, memo_t *m, int64_t timeout_ns);
int puts_start(memo_space_t *space, const memo_folder_t *folder, memo_t *m);
int puts_flush(memo_space_t *space);
int puts_failed(memo_space_t *space, memo_t **m);
int puts_delayed(memo_space_t *space, const memo_folder_t *trigger, const memo_folder_t *target, memo_t *m);
int puts_replace(memo_space_t *space, memo_t *m);
void puts_forget(puts_t *puts); /* the thread's reference */

int takes_select(memo_space_t *space, const memo_select_t *select, memo_t **m, size_t *which);
int takes_get_all(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t *m[], int64_t timeout_ns);
/* The sentence for a select's error; answers the result. */
int takes_explain(int result, size_t count);

int requests_start(memo_space_t *space, const memo_select_t *select, memo_request_t **r);
int requests_test(memo_request_t *r, memo_t **m, size_t *which);
int requests_wait(memo_request_t *r, memo_t **m, size_t *which, int64_t timeout_ns);
int requests_cancel(memo_request_t *r);
int requests_fd(memo_space_t *space);
/* Cancels those whose time is up; the next instant at which one will be. */
void requests_look_at_times(mpi_space_t *sp);
int64_t requests_deadline(const mpi_space_t *sp, int64_t deadline);
void requests_stop(mpi_space_t *sp);
void requests_free(mpi_space_t *sp);

/* Somebody found no memory: has the servers of this node, and the mailbox, give back what they keep for later. */
int asks_press(mpi_space_t *sp, self_t *s);
int asks_limit(memo_space_t *space, const memo_folder_t *folder, uint64_t memos, uint64_t bytes);
int asks_count(memo_space_t *space, const memo_folder_t *folder, uint64_t *memos, uint64_t *waiters);
int asks_stat(memo_space_t *space, memo_stat_t *stat);
int asks_each(memo_space_t *space, int (*visit)(const memo_folder_t *, uint64_t, uint64_t, uint64_t, void *),
              void *arg);

#endif
