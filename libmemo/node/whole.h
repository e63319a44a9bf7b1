/*
 * whole.h - whether a region that nobody has open is whole: whether what it says of itself can be believed.
 *
 * Whoever opens a region alone examines it: every offset, list and count that the calls follow, so that bytes that
 * changed while nobody looked are an error, and not a crash. A region with others in it is not examined (they would
 * have to stop), nor one that the dead left unrepaired. What memos hold is nobody's to judge.
 */
#ifndef WHOLE_H
#define WHOLE_H

#include "libmemo/node/node.h"

/* An examination under way. */
typedef struct whole {
    char *base;
    node_root_t *root;
    uint64_t blocks_from, blocks_upto; /* where blocks can be */
    uint64_t *seen;                    /* a bit per 16 bytes: a block that somebody refers to */
    uint64_t *marked;                  /* the same, of the layer above */
    const char *why;                   /* what is wrong; NULL: nothing */
} whole_t;

/* What the layer above examines of its own: false with *why set, or true. */
typedef bool (*whole_user_t)(whole_t *w);

/* MEMO_OK, MEMO_ECORRUPT or MEMO_ENOMEM. No process may have it open but the caller's, which is no client yet. */
int whole_check(const region_t *r, whole_user_t user);

/* That is wrong: false. */
bool whole_not(whole_t *w, const char *why);

/* A block that somebody refers to, with at least that many bytes; no other does. */
bool whole_block(whole_t *w, offset_t at, uint64_t bytes);

/* How many bytes the block that begins there has. */
uint64_t whole_bytes(const whole_t *w, offset_t at);

/* Bytes outside the blocks, or such a block: where tables can be. */
bool whole_table(whole_t *w, offset_t at, uint64_t bytes);

/* Nobody has it. */
void whole_unlock(lock_t *lock);

void whole_mark(whole_t *w, offset_t at);
bool whole_is_marked(const whole_t *w, offset_t at);

static inline void *whole_at(const whole_t *w, offset_t at)
{
    return (void *)((uintptr_t)w->base + at); /* it may be no place at all: then nobody looks there */
}

#endif
