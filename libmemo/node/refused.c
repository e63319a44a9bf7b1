/*
 * refused.c - started puts that were refused (refused.h).
 */
#include "libmemo/node/refused.h"

#include <stdlib.h>
#include <string.h>

#include "libmemo/api/error.h"
#include "libmemo/memo.h"

bool refused_room(refused_t *r, size_t more)
{
    size_t most = r->count + more, room = 2 * most + 8;
    struct memo **memos;

    if (most <= r->room)
        return true;
    memos = realloc(r->memos, room * sizeof *memos);
    if (memos == NULL)
        return false;
    r->memos = memos;
    r->room = room;
    return true;
}

void refused_add(refused_t *r, struct memo *m, int code)
{
    if (m != NULL)
        r->memos[r->count++] = m;
    if (r->code == MEMO_OK)
        r->code = code;
}

int refused_code(refused_t *r)
{
    int code = r->code;

    r->code = MEMO_OK;
    if (code == MEMO_EFULL)
        memo_error(code, "%zu started puts were refused for want of room; memo_flush_failed gives their memos back",
                   r->count);
    return code;
}

struct memo *refused_take(refused_t *r)
{
    struct memo *first;

    if (r->count == 0)
        return NULL;
    first = r->memos[0];
    memmove(r->memos, r->memos + 1, --r->count * sizeof *r->memos);
    return first;
}

void refused_free(refused_t *r)
{
    free(r->memos);
    *r = (refused_t){.memos = NULL};
}
