/*
 * memo_doctor.h - what the parts of memo doctor share: a patient, and what was found.
 *
 * A space is examined in a copy, which is filled page by page with what is looked at, by a descriptor that can only
 * read. Nothing in it is believed: whatever says where something else is, is checked before it is followed. So no
 * bytes can make the examination crash, and it changes nothing.
 */
#ifndef MEMO_DOCTOR_H
#define MEMO_DOCTOR_H

#include "libmemo/shm/shm.h"

/* What memory is in use for. */
typedef enum {
    USE_FOLDER_MEMOS, /* memos in folders */
    USE_HELD,         /* memos that clients hold */
    USE_UNDER_WAY,    /* memos between them: posted, delayed, on their way to or from the heap */
    USE_FOLDERS,      /* the table and what is in it but memos */
    USE_REQUESTS,     /* selects that wait for many folders, or were started */
    USE_PARTIES,      /* what each thread of a client needs */
    USE_CACHED,       /* free blocks that clients keep for themselves */
    USES
} use_t;

typedef struct used {
    uint64_t blocks, bytes;
} used_t;

typedef struct sick_client {
    uint32_t index, pid;
    bool alive;
    uint32_t parties;  /* its threads that have made a call */
    uint32_t changing; /* in the midst of a change */
    uint32_t locks;
    uint32_t waiting;
    uint64_t held;
} sick_client_t;

typedef struct found_lock {
    char what[64];
    int32_t client; /* whose it is; -1: left by one who is gone, and whoever wants it takes it */
} found_lock_t;

enum { FINDING_BYTES = 120, FINDINGS_MOST = 64, LOCKS_MOST = 64 };

/* One examination. */
typedef struct findings {
    char text[FINDINGS_MOST][FINDING_BYTES]; /* what is wrong; the first of them */
    size_t count;                            /* of those; more are in `more` */
    uint64_t more;
    sick_client_t clients[NODE_CLIENTS]; /* those attached */
    size_t client_count, alive, dead;
    found_lock_t locks[LOCKS_MOST];
    size_t lock_count; /* all of them; the first LOCKS_MOST are in `locks` */
    uint64_t folders, waiters;
    used_t used[USES];
    uint64_t capacity;
    uint64_t leaked_blocks, leaked_bytes; /* nothing refers to them */
    uint64_t deaths, redelivered, dropped, letters;
} findings_t;

typedef struct reference reference_t;

typedef struct patient {
    region_t region; /* its size and descriptor; not mapped */
    char *copy;
    unsigned char *copied; /* a byte a page */
    const node_root_t *root;
    const shm_root_t *table;
    findings_t *found;
    /* Of heap pages: the first of the run or slab that each is of, + 1; 0: none that is in use. */
    uint32_t *run;
    uint64_t pages;  /* whose descriptors make sense */
    uint64_t blocks; /* in use, as the pages have it */
    uint64_t bytes;  /* likewise */
    uint64_t free_runs, partial_slabs;
    offset_t *refers; /* every block that something refers to */
    size_t refer_count, refer_room;
    uint64_t steps; /* along lists: one without an end is left */
} patient_t;

/* ---- memo_doctor_look.c: the copy ---- */

/* `bytes` bytes at `at`, which is a multiple of 8; NULL if they are not all in the space, or cannot be read. What
 * was answered before stays as it was until look_anew. */
const void *look(patient_t *p, offset_t at, uint64_t bytes);
void look_anew(patient_t *p);

/* MEMO_OK, or memo_open's errors; MEMO_NONE: there is no such space. MEMO_ENOTSUP: it is not in shared memory. */
int patient_open(patient_t *p, const char *uri);
void patient_close(patient_t *p);

/* Notes what is wrong, once each. */
void note(patient_t *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Once more along a list: false when it is time to believe that it has no end. */
bool step(patient_t *p, const char *what, offset_t at);

/* ---- memo_doctor_heap.c: who has which block ---- */

/* The pages of the heap; before any refer(). */
void walk_heap(patient_t *p);

/* Somebody refers to a block, of at least `least` bytes, as `use`: it is one that is in use, or that is noted and
 * answered. 0 is nothing, and false. */
bool refer(patient_t *p, use_t use, const char *what, offset_t at, uint64_t least);

/* The same for a memo: its header, or NULL. */
const struct memo *refer_memo(patient_t *p, use_t use, const char *what, offset_t at);

/* After all refer(): blocks with two owners, or none. */
void compare_heap(patient_t *p);

/* ---- memo_doctor_node.c, memo_doctor_table.c: who refers to them ---- */

void walk_node(patient_t *p);
void walk_table(patient_t *p);
void walk_user_body(patient_t *p, const body_t *b);
void see_lock(patient_t *p, const lock_t *lock, const char *what, int64_t number); /* -1: the only one */

static inline const shm_body_t *doctor_body(const body_t *b)
{
    return (const shm_body_t *)(const void *)b->user;
}

/* All of it, once. */
void examine(patient_t *p, findings_t *found);

#endif
