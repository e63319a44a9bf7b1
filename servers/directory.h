/*
 * directory.h - a server's directory: the folders it holds, by name (uthash), with their memos, the get structures
 * of selects that wait, and what few folders have: limits, delayed puts, a chain's lock.
 *
 * Invariant, whenever a message has been dealt with: a folder with a memo that is not latched has no get structure
 * linked that could have it (engine_figures_t.unserved is 0). So a memo that arrives finds at most the waiters that
 * wait for exactly it, and a select that is linked everywhere sees all its folders empty.
 *
 * Memory: entries and get structures come from malloc; whoever adds to a folder checks for NULL before it changes
 * anything.
 */
#ifndef DIRECTORY_H
#define DIRECTORY_H

#include "libmemo/wire/message.h"

/* The macros of uthash are not ours to warn about; it reports that it found no memory by an element that is not in.
 */
#define HASH_NONFATAL_OOM 1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <uthash.h>
#pragma GCC diagnostic pop

typedef struct folder folder_t;
typedef struct request request_t;

/* A memo in a folder. */
typedef struct entry {
    struct entry *next, *previous;
    folder_t *folder;
    wire_memo_t *memo;
    uint64_t size;
    uint64_t stamp;          /* when it came: MEMO_OLDEST */
    request_t *latch;        /* set aside for it, in place and in order */
    struct entry *next_held; /* another that the same request latched */
    uint32_t index;          /* of the request's folder that it was latched for */
    uint32_t redeliveries;
} entry_t;

typedef struct entries {
    entry_t *first, *last;
} entries_t;

/* The lists of a folder that get structures hang in. */
typedef enum { GET_TAKER, GET_COPIER, GET_WATCHER, GET_LISTS } get_list_t;

/* A select's (or join's) get structure in one folder. */
typedef struct get {
    struct get *next, *previous;
    folder_t *folder;
    request_t *request;
    uint32_t index;
    bool linked;
    bool seen_empty; /* a skip's: the folder was empty since the call began */
} get_t;

typedef struct gets {
    get_t *first, *last;
} gets_t;

/* A delayed put that waits for its trigger to hold a memo. */
typedef struct delayed {
    struct delayed *next;
    memo_folder_t target;
    wire_memo_t *memo;
    uint64_t size;
} delayed_t;

/* Room that is promised to a delayed put, which its trigger's server holds. */
typedef struct reserve {
    struct reserve *next;
    uint32_t server;
    uint64_t size;
} reserve_t;

/* A message that waits until a chain unlocks a folder. */
typedef struct deferred {
    struct deferred *next;
    bool cancelled;         /* once it has been dealt with */
    wire_message_t message; /* its folders are an array of its own, behind it */
} deferred_t;

struct folder {
    memo_folder_t name; /* the key, all of it */
    UT_hash_handle hh;
    entries_t queue;
    uint64_t memos, bytes;
    uint64_t latched; /* of its memos */
    gets_t gets[GET_LISTS];
    uint64_t waiters;
    uint64_t limit_memos, limit_bytes;
    reserve_t *reserved_first, *reserved_last;
    uint64_t reserved_memos, reserved_bytes; /* what that adds up to */
    request_t *room_first, *room_last;       /* puts that wait for room */
    delayed_t *delayed_first, *delayed_last;
    request_t *locked; /* the chain that has locked it */
    deferred_t *deferred_first, *deferred_last;
    uint64_t wanted; /* by the join that is being looked at: 0 in between */
    uint64_t serial; /* of its making: WIRE_EACH goes by it */
    folder_t *next_dirty, *next_resting;
    bool resting; /* in the directory's list */
    bool dirty;   /* something has changed: engine.c settles it */
};

typedef struct directory {
    folder_t *folders;
    uint64_t stamp;
    uint64_t memos, bytes, latched, waiters, deferred, delayed;
    uint64_t serial;
    folder_t *resting_first, *resting_last; /* folders that were idle when they came into the list */
    unsigned resting;
    folder_t *walked; /* where the last page of WIRE_EACH ended, if that is still there */
    folder_t *dirty_first, *dirty_last;
} directory_t;

folder_t *directory_find(const directory_t *d, const memo_folder_t *name);

/* Found or made; NULL: no memory. What is made and not put to use goes when it is settled. */
folder_t *directory_get(directory_t *d, const memo_folder_t *name);

/* It is looked at again before the engine waits for the next message. */
void directory_touch(directory_t *d, folder_t *f);

/* The next folder to look at; NULL none. */
folder_t *directory_dirty(directory_t *d);

/* Whether it says nothing any more: nobody can tell that it is there. */
bool folder_idle(const folder_t *f);

/*
 * Lets it rest when it is idle: it goes when DIRECTORY_RESTING others have come to rest after it. A folder that is
 * emptied and filled in turn, as most are, is not made anew each time.
 */
#define DIRECTORY_RESTING 64u
void directory_drop_if_idle(directory_t *d, folder_t *f);

/* Folders that are not idle. */
uint64_t directory_folders(const directory_t *d);

/* Room promised to a delayed put of that size, which `server` will hold. False: no memory, and nothing has
 * happened. */
bool folder_reserve(folder_t *f, uint32_t server, uint64_t size);

/* The promise ends: it was kept, or need not be. False: there was none. */
bool folder_unreserve(folder_t *f, uint32_t server, uint64_t size);

/* All that were made to that server. False: there were none. */
bool folder_unreserve_all(folder_t *f, uint32_t server);

/* ---- memos ----------------------------------------------------------------------------------------------- */

entry_t *entry_new(wire_memo_t *memo, uint64_t size, uint32_t redeliveries);
void entry_insert(directory_t *d, folder_t *f, entry_t *entry, bool at_head);

/* Out of its folder, latched or not; the caller frees it. */
void entry_remove(directory_t *d, entry_t *entry);

/* The first that is not latched; NULL none. */
entry_t *entry_first_free(const folder_t *f);

void entry_latch(directory_t *d, entry_t *entry, request_t *request, uint32_t index);
void entry_unlatch(directory_t *d, entry_t *entry);

/* Whether a memo of that size may come in. */
bool folder_has_room(const folder_t *f, uint64_t size);

/* ---- get structures -------------------------------------------------------------------------------------- */

void get_link(directory_t *d, folder_t *f, get_t *get, get_list_t list);
void get_unlink(directory_t *d, get_t *get, get_list_t list);

#endif
