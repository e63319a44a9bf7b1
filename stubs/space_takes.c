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

static bool is_skip(const memo_select_t *select)
{
    return select->when_empty == MEMO_SKIP || select->when_empty == MEMO_STRICT_SKIP;
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

int takes_select(memo_space_t *space, const memo_select_t *select, memo_t **m, size_t *which)
{
    mpi_space_t *sp = space_of(space);
    int64_t deadline = is_skip(select) ? WAIT_FOREVER : wait_deadline(select->timeout_ns);
    pending_t p;
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    memset(&p, 0, sizeof p);
    result = begin(sp, s, &p, select);
    if (result == MEMO_OK)
        result = pending_wait(sp, space_thread(s), &p, deadline);
    if (result == MEMO_OK) {
        *m = near_memo(p.call.memo);
        *which = p.call.index;
        if (select->choice == MEMO_ROTATE)
            space_thread(s)->rotate = *which + 1;
    }
    space_leave(sp, s);
    return takes_explain(result, select->count);
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
        memset(m, 0, n * sizeof *m);
    space_leave(sp, s);
    return takes_explain(result, n);
}
