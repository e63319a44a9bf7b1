/*
 * refused.h - what a thread's memo_flush tells of its started puts: whether any was refused; and the memos of
 * those, until memo_flush_failed has given them back.
 */
#ifndef REFUSED_H
#define REFUSED_H

#include <stdbool.h>
#include <stddef.h>

struct memo;

typedef struct refused {
    struct memo **memos;
    size_t count, room;
    int code; /* of the first since the last flush; MEMO_OK: none was */
} refused_t;

/* Sees that there is room for `more` memos. False without memory. */
bool refused_room(refused_t *r, size_t more);

/* A put was refused; m, for which there is room, is the caller's again. NULL: the put ended so, but took its memo.
 */
void refused_add(refused_t *r, struct memo *m, int code);

/* The code, once; that of want of room with a sentence. */
int refused_code(refused_t *r);

/* The first of the memos; NULL when there is none left. */
struct memo *refused_take(refused_t *r);

void refused_free(refused_t *r);

#endif
