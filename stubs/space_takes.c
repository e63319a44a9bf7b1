/*
 * space_takes.c - the general select, and joins: calls that wait for their answer.
 */
#include <string.h>

#include "libmemo/node/wait.h"
#include "stubs/space.h"

int takes_explain(int result, size_t count)
{
    if (result == MEMO_ENOTSUP)
        return memo_error(result, "the oldest memo of folders that are on several servers cannot be known: use "
                                  "MEMO_LISTED or MEMO_ROTATE, or servers=1");
    if (result == MEMO_EFULL)
        return memo_error(result, "no room is left to wait in %zu folders, or for what was to be had there", count);
    return pending_explain(result, "select");
}

static int begin(mpi_space_t *sp, self_t *s, pending_t *p, const memo_select_t *select)
{
    size_t start = select->choice == MEMO_ROTATE ? space_thread(s)->rotate % select->count : 0;

    pending_begin(sp, p, space_thread(s));
    pending_concerns(sp, p, select->folders, select->count);
    if (select->when_empty == MEMO_UNTIL_QUIET) {
        pending_concerns_server(sp, p, 0); /* who decides */
        part_takes(sp, s);
    }
    return pending_begun(sp, p, stub_select(sp->stub, &p->call, select, (uint32_t)start));
}

static int select_whole(mpi_space_t *sp, self_t *s, const memo_select_t *select, int64_t deadline, memo_t **m,
                        size_t *which)
{
    pending_t p;
    int result;

    memset(&p, 0, sizeof p);
    result = begin(sp, s, &p, select);
    if (result == MEMO_OK)
        result = pending_wait(sp, space_thread(s), &p, deadline);
    if (result == MEMO_OK) {
        *m = near_memo(p.call.memo);
        *which = p.call.index;
    }
    return result;
}

/* So few names always fit what is kept for messages. */
#define PIECE 8u

/*
 * There is no room for a message with all the names: but a memo that is there can be taken, by asking for a few
 * folders after the other. Only a skip that is not strict may say that there is none.
 */
static int select_piecewise(mpi_space_t *sp, self_t *s, const memo_select_t *select, memo_t **m, size_t *which)
{
    memo_select_t piece = *select;
    size_t done;
    int result = MEMO_NONE;

    piece.when_empty = MEMO_SKIP;
    piece.choice = MEMO_LISTED;
    for (done = 0; done < select->count && result == MEMO_NONE; done += piece.count) {
        piece.folders = select->folders + done;
        piece.count = select->count - done < PIECE ? select->count - done : PIECE;
        result = select_whole(sp, s, &piece, WAIT_FOREVER, m, which);
        if (result == MEMO_OK)
            *which += done;
    }
    return result == MEMO_NONE && select->when_empty != MEMO_SKIP ? MEMO_EFULL : result;
}

int takes_select(memo_space_t *space, const memo_select_t *select, memo_t **m, size_t *which)
{
    mpi_space_t *sp = space_of(space);
    int64_t deadline = memo_select_skips(select) ? WAIT_FOREVER : wait_deadline(select->timeout_ns);
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    result = select_whole(sp, s, select, deadline, m, which);
    if (result == MEMO_EFULL && select->count > PIECE && select->choice != MEMO_OLDEST)
        result = select_piecewise(sp, s, select, m, which);
    if (result == MEMO_OK && select->choice == MEMO_ROTATE)
        space_thread(s)->rotate = *which + 1;
    space_leave(sp, s);
    return takes_explain(result, select->count);
}

/* Those of a join that came before it failed: for want of room for the others, or because a server has died. The
 * last goes first, so that they stand at the heads of their folders as they stood there. */
static void give_back_all(mpi_space_t *sp, self_t *s, memo_t *m[], size_t n)
{
    while (n-- > 0) {
        if (m[n] != NULL)
            pending_give_back(sp, space_thread(s), m[n]);
        m[n] = NULL;
    }
}

int takes_get_all(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t *m[], int64_t timeout_ns)
{
    mpi_space_t *sp = space_of(space);
    int64_t deadline = wait_deadline(timeout_ns);
    pending_t p;
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    memset(&p, 0, sizeof p);
    p.call.memos = (wire_memo_t **)(void *)m;
    pending_begin(sp, &p, space_thread(s));
    pending_concerns(sp, &p, folders, n);
    result = pending_begun(sp, &p, stub_join(sp->stub, &p.call, folders, (uint32_t)n));
    if (result == MEMO_OK)
        result = pending_wait(sp, space_thread(s), &p, deadline);
    if (result != MEMO_OK)
        give_back_all(sp, s, m, n);
    space_leave(sp, s);
    return takes_explain(result, n);
}
