/*
 * memo.h - libmemo: a coordination library for parallel programs.
 *
 * Programs share a *space* of *folders*, unordered queues of *memos* (byte arrays). A folder exists by being
 * named. A memo is, at any instant, in exactly one folder or held by exactly one process; whoever dies, no
 * memo is lost and nobody is left waiting for the dead.
 *
 * Results. Every call that can fail returns an int: MEMO_OK (0), a positive outcome (MEMO_NONE, MEMO_TIMEDOUT,
 * MEMO_PENDING, MEMO_QUIET, MEMO_SERVED) or a negative error. A failed call changes nothing: the caller holds
 * what it held. memo_errmsg() explains the calling thread's last error in a sentence.
 *
 * Threads. A handle may be used by any number of threads at once; a call that blocks, blocks its own thread
 * only. A signal handler that returns does not end a wait. No call is async-signal-safe. After fork() the
 * child must not use the parent's handles (MEMO_ECLOSED): it opens the space anew, but not one over MPI.
 *
 * Times are nanoseconds from the call on, as int64_t; MEMO_FOREVER waits without limit, 0 does not wait.
 */
#ifndef MEMO_H
#define MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MEMO_API __attribute__((visibility("default")))
#else
#define MEMO_API
#endif

/* The version of this header. */
#define MEMO_VERSION_MAJOR 0
#define MEMO_VERSION_MINOR 1
#define MEMO_VERSION_PATCH 0

/* Limits of the interface, the same on every backend. */
#define MEMO_NAME_MAX 112        /* bytes in a folder's name; a name has at least one */
#define MEMO_FOLDERS_MAX 65536   /* folders in one select or join */
#define MEMO_RANK_MAX 13         /* indices of an array element */
#define MEMO_FOREVER INT64_C(-1) /* a timeout that never comes */

enum {
    MEMO_OK = 0,
    /* outcomes */
    MEMO_NONE = 1,     /* a skip met no memo */
    MEMO_TIMEDOUT = 2, /* the time was up first */
    MEMO_PENDING = 3,  /* a request is still in flight */
    MEMO_QUIET = 4,    /* every participant waits and nothing is in flight */
    MEMO_SERVED = 5,   /* memo_open on a server's rank: it has served until all clients closed; a good end */
    /* errors */
    MEMO_EINVAL = -1,    /* an argument is malformed; nothing was done */
    MEMO_ENOMEM = -2,    /* the process (not the space) has no memory left */
    MEMO_EFULL = -3,     /* the space, the folder or a table of the space is full */
    MEMO_ECLOSED = -4,   /* the handle is closed, or belongs to the parent of a fork */
    MEMO_EBUSY = -5,     /* somebody else is using what the call needs */
    MEMO_ENOTSUP = -6,   /* this backend, or this build, cannot do that */
    MEMO_EIO = -7,       /* the operating system refused; memo_errmsg() has its words */
    MEMO_ECORRUPT = -8,  /* the space is damaged, or not a space */
    MEMO_EVERSION = -9,  /* the space was made by another version or build layout */
    MEMO_EPEER = -10,    /* a server is gone */
    MEMO_ECANCELED = -11 /* the request was cancelled */
};

typedef struct memo_space memo_space_t;     /* one process's handle on a space */
typedef struct memo memo_t;                 /* a memo this process holds */
typedef struct memo_request memo_request_t; /* a select in flight */
typedef uint64_t memo_symbol_t;             /* the name of an array; 0 is no symbol */

/*
 * The name of a folder: a value, to be copied freely. Made by memo_folder(), memo_folder_bytes() and
 * memo_folder_at(); the fields are for reading. Two names of one folder are equal byte for byte (memcmp).
 * A text and the same bytes name the same folder; an array element never equals either.
 */
typedef struct memo_name {
    uint64_t hash;  /* of kind, length and bytes */
    uint8_t kind;   /* one of MEMO_KIND_...; MEMO_KIND_INVALID marks a name that could not be made */
    uint8_t length; /* bytes used of `bytes` */
    uint8_t reserved[6];
    unsigned char bytes[MEMO_NAME_MAX]; /* zero beyond length; not terminated */
} memo_folder_t;

enum { MEMO_KIND_INVALID = 0, MEMO_KIND_BYTES = 1, MEMO_KIND_ELEMENT = 2 };

/* ---- spaces ---------------------------------------------------------------------------------------------- */

/*
 * Opens the space that `uri` names, creating it when absent, and stores a handle. A null uri means the
 * environment's MEMO_SPACE, and without that the default, "shm-bucket:default".
 *
 *   shm-bucket:NAME?size=1G     named shared memory, a lock per hash bucket
 *   shm-lock:NAME?size=1G       the same, one lock for all
 *   shm-bucket:?anonymous=1     private to this process, its threads and its forked children, which open it anew
 *                               with the same text
 *   mpi-latch:?servers=2        over MPI, in programs that mpiexec starts together; libmemo-mpi.so is loaded
 *   mpi-single: mpi-chain:      the same with one server, and with another way for several to agree
 *
 * Options: size= (bytes, or with K, M, G; 1G if left out; taken when the space is created, and otherwise ignored),
 * on_death=return or drop, max_redeliveries= (so often a memo goes back because its holder died or closed) with
 * dead_letters= (the folder where it goes then; else it is dropped), anonymous=1. An unknown scheme or option is
 * MEMO_EINVAL, and so are max_redeliveries= and dead_letters= that differ from those the space was created with. A
 * process may open a space several times; each handle is a client of its own.
 *
 * Over MPI: size= (of each node's memory), on_death=, max_redeliveries=, dead_letters=, servers= (ranks that serve,
 * when no memo-server is among the programs; 1 if left out), nodes= (each node is taken for so many, to try
 * things), transport=send. Opening is collective there, once, with one URI for all: no second time in the life of a
 * process (MEMO_EBUSY), nor in a forked child. On a server's rank memo_open returns MEMO_SERVED, with *space NULL,
 * once all clients have closed: the program should then end with exit status 0. MEMO_ENOTSUP: libmemo-mpi.so or MPI
 * is not there, or mpiexec did not start the program. The space ends with its job.
 *
 * Errors: MEMO_EINVAL, MEMO_ENOMEM, MEMO_EFULL (no room for another client), MEMO_EIO, MEMO_ECORRUPT,
 * MEMO_EVERSION, MEMO_ENOTSUP, MEMO_EBUSY (the name belongs to a space of another scheme). *space is NULL then.
 */
MEMO_API int memo_open(memo_space_t **space, const char *uri);

/*
 * Closes a handle. Memos that this handle still holds go back to the folders they came from, marked
 * redelivered (with on_death=drop they are dropped; with max_redeliveries= as above); its requests are cancelled;
 * threads blocked in its calls return MEMO_ECLOSED. Pointers to its memos and requests are dead afterwards. NULL is
 * MEMO_EINVAL. A call on a handle that was closed is refused with MEMO_ECLOSED, as far as it can be known.
 */
MEMO_API int memo_close(memo_space_t *space);

/*
 * Removes a space's name: later opens make a new one. Those who have it open go on; the memory goes with the last
 * of them. MEMO_NONE if there is no such space, as over MPI, where none outlives its job; MEMO_EINVAL, MEMO_EIO.
 */
MEMO_API int memo_unlink(const char *uri);

/* This client's number, from 0, among those started together by `memo run -n` or mpiexec; 0 when started alone. */
MEMO_API int memo_rank(memo_space_t *space);

/* How many were started together; 1 for a program started alone. */
MEMO_API int memo_ranks(memo_space_t *space);

/* ---- folders --------------------------------------------------------------------------------------------- */

/* The folder of that name; 1 to MEMO_NAME_MAX bytes, else (or for NULL) an invalid one. Never fails otherwise. */
MEMO_API memo_folder_t memo_folder(const char *text);

/* The same for any bytes, NUL included. */
MEMO_API memo_folder_t memo_folder_bytes(const void *name, size_t length);

/* The element [index[0]][index[1]]... of the array that `symbol` names; rank from 0 to MEMO_RANK_MAX. */
MEMO_API memo_folder_t memo_folder_at(memo_symbol_t symbol, size_t rank, const int64_t index[]);

/* Whether the name is one that calls accept. */
MEMO_API bool memo_folder_valid(const memo_folder_t *folder);

/* A symbol that this space has never given to anybody and never will again. */
MEMO_API int memo_symbol(memo_space_t *space, memo_symbol_t *symbol);

/* The symbol of that text: the same in every process and space, never one that memo_symbol() gives. 0 for NULL. */
MEMO_API memo_symbol_t memo_symbol_named(const char *text);

/* ---- memos ----------------------------------------------------------------------------------------------- */

/*
 * A new memo of `size` bytes (0 is fine) in the space's memory, held by the caller; its bytes are not cleared.
 * MEMO_EFULL: the space has no room; MEMO_EINVAL: larger than the space could ever hold.
 */
MEMO_API int memo_alloc(memo_space_t *space, size_t size, memo_t **m);

/* The same, waiting up to timeout_ns for room: MEMO_TIMEDOUT. With 0 it is memo_alloc. */
MEMO_API int memo_alloc_for(memo_space_t *space, size_t size, memo_t **m, int64_t timeout_ns);

/* Gives a held memo's memory back. NULL, and a memo not held, are left alone. */
MEMO_API void memo_free(memo_t *m);

/* Its bytes, aligned to 16: the very bytes that the taker will get, if he is on this machine. Valid until put,
 * replaced, freed or closed. */
MEMO_API void *memo_data(memo_t *m);

/* Its size as allocated. */
MEMO_API size_t memo_size(const memo_t *m);

/* The folder it was taken from; an invalid one for a new memo and for a copy. */
MEMO_API memo_folder_t memo_from(const memo_t *m);

/* How often this memo went back to its folder because its holder died or closed, since it was last put; of a dead
 * letter, its way to the dead letters included. */
MEMO_API unsigned memo_redeliveries(const memo_t *m);

/* ---- putting --------------------------------------------------------------------------------------------- */

/*
 * Puts m into the folder: to a waiting select if there is one, else to the end of the queue. Whoever takes or
 * copies it sees whatever this thread wrote before, in m and elsewhere. On MEMO_OK m is no longer the caller's; on
 * any error it still is. MEMO_EFULL: the folder's limit is reached, or the space has no room for a folder that did
 * not exist yet. MEMO_EINVAL: a memo of another space or not held.
 */
MEMO_API int memo_put(memo_space_t *space, const memo_folder_t *folder, memo_t *m);

/* The same, waiting up to timeout_ns for room: MEMO_TIMEDOUT. With 0 it is memo_put. */
MEMO_API int memo_put_for(memo_space_t *space, const memo_folder_t *folder, memo_t *m, int64_t timeout_ns);

/*
 * Begins a put that memo_flush() completes: where messages travel, many are under way at once. On MEMO_OK m is no
 * longer the caller's, but may come back by memo_flush_failed().
 */
MEMO_API int memo_put_start(memo_space_t *space, const memo_folder_t *folder, memo_t *m);

/*
 * Waits until every put this thread started has taken effect or been refused. MEMO_OK if all took effect, else
 * the first refusal's error (MEMO_EFULL, ...): the refused memos are then had by memo_flush_failed().
 */
MEMO_API int memo_flush(memo_space_t *space);

/* One of this thread's refused memos, held by the caller again; MEMO_NONE when there is none left. */
MEMO_API int memo_flush_failed(memo_space_t *space, memo_t **m);

/*
 * Holds m until `trigger` next holds a memo (at once if it does), then puts it into `target`; trigger's memo stays.
 * Room in target is reserved by this call (MEMO_EFULL).
 */
MEMO_API int memo_put_delayed(memo_space_t *space, const memo_folder_t *trigger, const memo_folder_t *target,
                              memo_t *m);

/* Puts m to the end of the folder it was taken from. A memo that comes from none is MEMO_EINVAL. */
MEMO_API int memo_replace(memo_t *m);

/* Allocates, copies and puts, all or nothing. data may be NULL if size is 0. */
MEMO_API int memo_write(memo_space_t *space, const memo_folder_t *folder, const void *data, size_t size);

/* ---- selecting ------------------------------------------------------------------------------------------- */

/* Takes a memo from the folder, waiting for one. On MEMO_OK the caller holds *m; on anything else *m is NULL. */
MEMO_API int memo_get(memo_space_t *space, const memo_folder_t *folder, memo_t **m);

/* Takes one if there is one: MEMO_NONE only if the folder was empty at some instant of the call. */
MEMO_API int memo_get_skip(memo_space_t *space, const memo_folder_t *folder, memo_t **m);

/* Takes one, waiting up to timeout_ns: MEMO_TIMEDOUT, not before. */
MEMO_API int memo_get_for(memo_space_t *space, const memo_folder_t *folder, memo_t **m, int64_t timeout_ns);

/* The same three for a copy: the folder keeps its memo, the caller holds a new one with the same bytes. */
MEMO_API int memo_get_copy(memo_space_t *space, const memo_folder_t *folder, memo_t **m);
MEMO_API int memo_get_copy_skip(memo_space_t *space, const memo_folder_t *folder, memo_t **m);
MEMO_API int memo_get_copy_for(memo_space_t *space, const memo_folder_t *folder, memo_t **m, int64_t timeout_ns);

/*
 * Takes exactly one memo from exactly one of n folders (1 to MEMO_FOLDERS_MAX; one may stand twice), and stores
 * the index of that folder in *which (which may be NULL). The first listed that has one is chosen.
 */
MEMO_API int memo_alt(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t **m, size_t *which);

/* MEMO_NONE only if each folder was empty at some instant of the call; the instants may differ. */
MEMO_API int memo_alt_skip(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t **m, size_t *which);

/* memo_alt with a timeout. */
MEMO_API int memo_alt_for(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t **m, size_t *which,
                          int64_t timeout_ns);

/* MEMO_NONE only if there was one instant of the call at which all the folders were empty. */
MEMO_API int memo_strict_alt_skip(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t **m,
                                  size_t *which);

/*
 * Takes one memo from each of n folders, all or nothing, m[i] from folders[i]; a folder that stands k times gives k
 * memos. No deadlock against other joins. While it waits it takes nothing and holds no place in a queue: others may
 * get ahead of it. On anything but MEMO_OK every m[i] is NULL. Errors: those of memo_select.
 */
MEMO_API int memo_get_all(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t *m[]);
MEMO_API int memo_get_all_for(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t *m[],
                              int64_t timeout_ns);

typedef enum { MEMO_TAKE, MEMO_COPY } memo_what_t;

/* MEMO_UNTIL_QUIET waits like MEMO_WAIT, but returns MEMO_QUIET once every participant waits so, none of them
 * could be given a memo, and nothing is in flight. Participants are every ranked client until it closes or dies,
 * and any other thread from its first such select until it ends. With memo_start, the thread that collects such a
 * request takes part, and counts as waiting again once it starts, tests or waits for another: so finish what a memo
 * asks for before asking after the next. */
typedef enum { MEMO_WAIT, MEMO_SKIP, MEMO_STRICT_SKIP, MEMO_UNTIL_QUIET } memo_when_empty_t;

/* Among folders that have a memo: the first listed; the first after the one that won this thread's last rotating
 * select; the one whose first memo has been there longest. With several servers (MPI) the first two choose among
 * the folders of the server that answers first, and MEMO_OLDEST is MEMO_ENOTSUP over folders of several. */
typedef enum { MEMO_LISTED, MEMO_ROTATE, MEMO_OLDEST } memo_choice_t;

/* The general form; all of the above fill one in. Start from MEMO_SELECT_INIT (take, wait, listed, forever). */
typedef struct memo_selection {
    const memo_folder_t *folders; /* read during memo_select, and by memo_start before it returns */
    size_t count;
    memo_what_t what;
    memo_when_empty_t when_empty;
    memo_choice_t choice;
    int64_t timeout_ns; /* MEMO_FOREVER or nanoseconds from now; skips ignore it */
} memo_select_t;

#define MEMO_SELECT_INIT                                                                                           \
    {                                                                                                              \
        NULL, 0, MEMO_TAKE, MEMO_WAIT, MEMO_LISTED, MEMO_FOREVER                                                   \
    }

/*
 * The general select. MEMO_OK: *m is held by the caller and came from folders[*which]; MEMO_NONE, MEMO_TIMEDOUT,
 * MEMO_QUIET: nothing was taken. Errors: MEMO_EINVAL; MEMO_EFULL (the space has no room to wait in, or for the
 * copy; a memo that is there is always taken); MEMO_ECLOSED; MEMO_ENOTSUP. `which` may be NULL.
 */
MEMO_API int memo_select(memo_space_t *space, const memo_select_t *select, memo_t **m, size_t *which);

/* ---- requests -------------------------------------------------------------------------------------------- */

/*
 * Starts a select and returns at once; *r is then in flight, or already complete. Any thread may test, wait for or
 * cancel it, one at a time.
 */
MEMO_API int memo_start(memo_space_t *space, const memo_select_t *select, memo_request_t **r);

/* MEMO_PENDING, or the select's result: r is gone then, and its memo held by the caller. */
MEMO_API int memo_test(memo_request_t *r, memo_t **m, size_t *which);

/* Waits up to timeout_ns for the result. The wait's own timeout is MEMO_PENDING, and r lives on; else r is gone. */
MEMO_API int memo_wait(memo_request_t *r, memo_t **m, size_t *which, int64_t timeout_ns);

/* Ends a request, whatever its state: r is gone. A memo it was given goes back to the head of its folder. */
MEMO_API int memo_cancel(memo_request_t *r);

/*
 * A descriptor that polls readable while a started request may be complete: memo_test them then. Level-triggered.
 * It is the same at each call and belongs to the handle: do not read or close it. A negative error when it cannot
 * be made.
 */
MEMO_API int memo_fd(memo_space_t *space);

/* ---- knowing --------------------------------------------------------------------------------------------- */

/*
 * Limits what a folder may hold: memos, and bytes of memos; 0 is no limit. What is there already stays. A folder
 * with a limit exists also while it is empty. MEMO_EFULL: the space has no room to note it.
 */
MEMO_API int memo_limit(memo_space_t *space, const memo_folder_t *folder, uint64_t memos, uint64_t bytes);

/* How many memos the folder holds and how many selects wait on it, at some instant. Either may be NULL. */
MEMO_API int memo_count(memo_space_t *space, const memo_folder_t *folder, uint64_t *memos, uint64_t *waiters);

/* What is known about a space. Figures are sums of what its clients count, taken without stopping anyone. Over MPI
 * they are sums over the servers; those marked * are this machine's. */
typedef struct memo_stat {
    uint64_t capacity;      /* * bytes that memos and what carries them can take */
    uint64_t used;          /* * bytes of them in use now, rounding included */
    uint64_t folders;       /* folders that exist */
    uint64_t memos;         /* memos in folders */
    uint64_t bytes;         /* their sizes, added up */
    uint64_t waiters;       /* get structures linked into folders */
    uint64_t clients;       /* handles open */
    uint64_t receivers;     /* * threads and handles that can be sent messages, now */
    uint64_t deaths;        /* clients that died without closing and were cleaned up after */
    uint64_t redelivered;   /* memos that went back because their holder died or closed */
    uint64_t dropped;       /* memos that on_death=drop dropped, or max_redeliveries= without dead letters */
    uint64_t puts;          /* puts done */
    uint64_t takes;         /* memos taken */
    uint64_t copies;        /* copies given */
    uint64_t slot_messages; /* * messages that passed through slot lists */
    uint64_t lock_waits;    /* * times a lock was not free at once */
    uint64_t parks;         /* * times a thread slept */
    uint64_t wakes;         /* * times a sleeping thread was woken by a system call */
    uint64_t messages;      /* messages between clients and servers (MPI backends) */
    uint64_t strict_phases; /* phases of strict skips (MPI backends) */
    uint64_t dead_letters;  /* memos that went to the dead letters because max_redeliveries= was reached */
} memo_stat_t;

/* Fills the first size_of_stat bytes: pass sizeof(memo_stat_t). Fields this library does not know are zeroed. */
MEMO_API int memo_stat(memo_space_t *space, memo_stat_t *stat, size_t size_of_stat);

/*
 * Calls visit for every folder that exists, in no order; a visit that returns nonzero ends the walk, and that is
 * memo_each's result (so return positive numbers of your own, above 99). Each folder's figures are true at one
 * instant; folders that come or go meanwhile may be missed or visited. The visit may call the library.
 */
MEMO_API int memo_each(memo_space_t *space,
                       int (*visit)(const memo_folder_t *folder, uint64_t memos, uint64_t bytes, uint64_t waiters,
                                    void *arg),
                       void *arg);

/* A few words for a result, never NULL; static. */
MEMO_API const char *memo_strerror(int code);

/* The calling thread's last error as a sentence that says what was wrong and what would be right; "" if none. */
MEMO_API const char *memo_errmsg(void);

#ifdef __cplusplus
}
#endif

#endif
