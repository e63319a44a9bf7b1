/*
 * backend.h - what a backend implements: the ops table behind every handle.
 *
 * The API layer (libmemo/api) checks arguments, parses the URI, fills in select's forms and calls one slot. A slot
 * may therefore assume: the handle is open and of this process; folders are valid; counts are within limits;
 * pointers for results are not NULL and already hold NULL or 0; timeouts are MEMO_FOREVER or not negative.
 * Whether a memo_t is one that the caller holds is the backend's to check (only it knows): MEMO_EINVAL.
 *
 * Every slot may be called by any thread, with no lock of the library held. Slots marked [blocks] may sleep; the
 * others return without waiting for another client, but for the short hold of a lock. Errors are reported by
 * `return memo_error(code, "sentence", ...)` (api/error.h), which sets memo_errmsg().
 */
#ifndef MEMO_BACKEND_H
#define MEMO_BACKEND_H

#include "libmemo/memo.h"

/* A parsed URI: scheme ":" name ["?" option "=" value {"&" option "=" value}]. */
typedef enum { MEMO_ON_DEATH_RETURN, MEMO_ON_DEATH_DROP } memo_on_death_t;

typedef struct memo_uri {
    char scheme[16];
    char name[200];          /* may be empty */
    uint64_t size;           /* bytes; 0 when not given */
    memo_on_death_t on_death;
    bool on_death_given;
    /* So often a memo goes back to its folder; then to dead_letters, or it is dropped if that is empty. */
    bool max_redeliveries_given;
    uint32_t max_redeliveries;
    char dead_letters[MEMO_NAME_MAX + 1];
    bool anonymous;
    uint32_t mode;           /* of a named space's file; 0 when not given */
    uint32_t group;          /* that it belongs to, by number */
    bool group_given;
    /* Over MPI; 0 when not given. */
    uint32_t servers;
    uint32_t nodes;          /* pretended ones on each real node */
} memo_uri_t;

typedef struct memo_backend memo_backend_t;

/* Every handle begins with this; a backend's own handle embeds it as its first member. Handles are never given back
 * to malloc (api/handles.c), so that a call on a closed one finds `open` false and is MEMO_ECLOSED. */
struct memo_space {
    const memo_backend_t *backend;
    _Atomic(bool) open;        /* cleared by memo_close, and in the child of a fork */
};

/* A select that does not wait for a memo. */
static inline bool memo_select_skips(const memo_select_t *select)
{
    return select->when_empty == MEMO_SKIP || select->when_empty == MEMO_STRICT_SKIP;
}

/* Every request begins with this. */
struct memo_request {
    memo_space_t *space;
};

struct memo_backend {
    const char *scheme;

    /* [blocks] Opens or creates; *space is allocated by the backend. */
    int (*open)(const memo_backend_t *self, const memo_uri_t *uri, memo_space_t **space);
    /* [blocks] Ends the handle and frees it; calls of other threads have been seen to end with MEMO_ECLOSED. */
    int (*close)(memo_space_t *space);
    /* Removes the name. MEMO_NONE if there is none. */
    int (*unlink)(const memo_backend_t *self, const memo_uri_t *uri);
    /* After fork, in the child: the inherited handle's descriptors and memory, without touching the space. */
    void (*forget)(memo_space_t *space);

    int (*rank)(memo_space_t *space);
    int (*ranks)(memo_space_t *space);
    int (*symbol)(memo_space_t *space, memo_symbol_t *symbol);

    /* [blocks] with a timeout other than 0. */
    int (*alloc)(memo_space_t *space, size_t size, memo_t **m, int64_t timeout_ns);
    /* [blocks] with a timeout other than 0. On MEMO_OK m has passed to the folder. */
    int (*put)(memo_space_t *space, const memo_folder_t *folder, memo_t *m, int64_t timeout_ns);
    int (*put_start)(memo_space_t *space, const memo_folder_t *folder, memo_t *m);
    int (*flush)(memo_space_t *space); /* [blocks] */
    int (*flush_failed)(memo_space_t *space, memo_t **m);
    int (*put_delayed)(memo_space_t *space, const memo_folder_t *trigger, const memo_folder_t *target, memo_t *m);
    int (*replace)(memo_space_t *space, memo_t *m);

    /* Calls on a memo: `space` is the handle in whose mapping m lies (api/handles.c finds it by address). m may
     * still be anything inside that mapping. free of what is not held does nothing; the others answer NULL or 0. */
    void (*free)(memo_space_t *space, memo_t *m);
    void *(*data)(memo_space_t *space, memo_t *m);
    size_t (*size)(memo_space_t *space, const memo_t *m);
    memo_folder_t (*from)(memo_space_t *space, const memo_t *m);
    unsigned (*redeliveries)(memo_space_t *space, const memo_t *m);

    /* [blocks] unless the select is a skip. */
    int (*select)(memo_space_t *space, const memo_select_t *select, memo_t **m, size_t *which);
    int (*get_all)(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t *m[], int64_t timeout_ns);

    int (*start)(memo_space_t *space, const memo_select_t *select, memo_request_t **r);
    int (*test)(memo_request_t *r, memo_t **m, size_t *which);
    int (*wait)(memo_request_t *r, memo_t **m, size_t *which, int64_t timeout_ns); /* [blocks] */
    int (*cancel)(memo_request_t *r);
    int (*fd)(memo_space_t *space);

    int (*limit)(memo_space_t *space, const memo_folder_t *folder, uint64_t memos, uint64_t bytes);
    int (*count)(memo_space_t *space, const memo_folder_t *folder, uint64_t *memos, uint64_t *waiters);
    int (*stat)(memo_space_t *space, memo_stat_t *stat);
    int (*each)(memo_space_t *space,
                int (*visit)(const memo_folder_t *, uint64_t, uint64_t, uint64_t, void *), void *arg);
};

#endif
