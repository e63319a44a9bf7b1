/*
 * selects.c - selecting: every form fills in the general select, which the backend's one slot serves; joins and
 * requests beside it.
 */
#include "libmemo/api/check.h"

#include <string.h>

#define NO_TIME INT64_C(0)

/* A select that was checked, or is right by its making. */
static inline int dispatch(memo_space_t *space, const memo_select_t *select, memo_t **m, size_t *which)
{
    size_t unwanted = 0;

    return space->backend->select(space, select, m, which ? which : &unwanted);
}

int memo_select(memo_space_t *space, const memo_select_t *select, memo_t **m, size_t *which)
{
    CHECK(check_place(m, "the place for the memo"));
    *m = NULL;
    if (which) {
        *which = 0;
    }
    CHECK(check_space(space));
    CHECK(check_select(select));
    return dispatch(space, select, m, which);
}

/* ---- one folder ------------------------------------------------------------------------------------------ */

static inline int select_one(memo_space_t *space, const memo_folder_t *folder, memo_t **m, memo_what_t what,
                             memo_when_empty_t when_empty, int64_t timeout_ns)
{
    memo_select_t select = {folder, 1, what, when_empty, MEMO_LISTED, timeout_ns};

    CHECK(check_place(m, "the place for the memo"));
    *m = NULL;
    CHECK(check_space(space));
    CHECK(check_folder(folder));
    CHECK(check_timeout(timeout_ns));
    return dispatch(space, &select, m, NULL);
}

int memo_get(memo_space_t *space, const memo_folder_t *folder, memo_t **m)
{
    return select_one(space, folder, m, MEMO_TAKE, MEMO_WAIT, MEMO_FOREVER);
}

int memo_get_skip(memo_space_t *space, const memo_folder_t *folder, memo_t **m)
{
    return select_one(space, folder, m, MEMO_TAKE, MEMO_SKIP, NO_TIME);
}

int memo_get_for(memo_space_t *space, const memo_folder_t *folder, memo_t **m, int64_t timeout_ns)
{
    return select_one(space, folder, m, MEMO_TAKE, MEMO_WAIT, timeout_ns);
}

int memo_get_copy(memo_space_t *space, const memo_folder_t *folder, memo_t **m)
{
    return select_one(space, folder, m, MEMO_COPY, MEMO_WAIT, MEMO_FOREVER);
}

int memo_get_copy_skip(memo_space_t *space, const memo_folder_t *folder, memo_t **m)
{
    return select_one(space, folder, m, MEMO_COPY, MEMO_SKIP, NO_TIME);
}

int memo_get_copy_for(memo_space_t *space, const memo_folder_t *folder, memo_t **m, int64_t timeout_ns)
{
    return select_one(space, folder, m, MEMO_COPY, MEMO_WAIT, timeout_ns);
}

/* ---- several folders ------------------------------------------------------------------------------------- */

static inline int select_several(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t **m,
                                 size_t *which, memo_when_empty_t when_empty, int64_t timeout_ns)
{
    memo_select_t select = {folders, n, MEMO_TAKE, when_empty, MEMO_LISTED, timeout_ns};

    return memo_select(space, &select, m, which);
}

int memo_alt(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t **m, size_t *which)
{
    return select_several(space, folders, n, m, which, MEMO_WAIT, MEMO_FOREVER);
}

int memo_alt_skip(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t **m, size_t *which)
{
    return select_several(space, folders, n, m, which, MEMO_SKIP, NO_TIME);
}

int memo_alt_for(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t **m, size_t *which,
                 int64_t timeout_ns)
{
    return select_several(space, folders, n, m, which, MEMO_WAIT, timeout_ns);
}

int memo_strict_alt_skip(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t **m, size_t *which)
{
    return select_several(space, folders, n, m, which, MEMO_STRICT_SKIP, NO_TIME);
}

/* ---- joins ----------------------------------------------------------------------------------------------- */

int memo_get_all_for(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t *m[], int64_t timeout_ns)
{
    CHECK(check_place(m, "the place for the memos"));
    if (n <= MEMO_FOLDERS_MAX) {
        memset(m, 0, n * sizeof *m);
    }
    CHECK(check_space(space));
    CHECK(check_timeout(timeout_ns));
    CHECK(check_folders(folders, n));
    return space->backend->get_all(space, folders, n, m, timeout_ns);
}

int memo_get_all(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t *m[])
{
    return memo_get_all_for(space, folders, n, m, MEMO_FOREVER);
}

/* ---- requests -------------------------------------------------------------------------------------------- */

static inline int check_request(const memo_request_t *r)
{
    CHECK(check_place(r, "the request"));
    return check_space(r->space);
}

int memo_start(memo_space_t *space, const memo_select_t *select, memo_request_t **r)
{
    CHECK(check_place(r, "the place for the request"));
    *r = NULL;
    CHECK(check_space(space));
    CHECK(check_select(select));
    return space->backend->start(space, select, r);
}

int memo_test(memo_request_t *r, memo_t **m, size_t *which)
{
    size_t unwanted = 0;

    CHECK(check_place(m, "the place for the memo"));
    *m = NULL;
    which = which ? which : &unwanted;
    *which = 0;
    CHECK(check_request(r));
    return r->space->backend->test(r, m, which);
}

int memo_wait(memo_request_t *r, memo_t **m, size_t *which, int64_t timeout_ns)
{
    size_t unwanted = 0;

    CHECK(check_place(m, "the place for the memo"));
    *m = NULL;
    which = which ? which : &unwanted;
    *which = 0;
    CHECK(check_request(r));
    CHECK(check_timeout(timeout_ns));
    return r->space->backend->wait(r, m, which, timeout_ns);
}

int memo_cancel(memo_request_t *r)
{
    CHECK(check_request(r));
    return r->space->backend->cancel(r);
}

int memo_fd(memo_space_t *space)
{
    CHECK(check_space(space));
    return space->backend->fd(space);
}
