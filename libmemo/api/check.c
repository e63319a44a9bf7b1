/*
 * check.c - refusing arguments, each with what was wrong and what would be right.
 */
#include "libmemo/api/check.h"

#include <inttypes.h>

int check_explain_space(const memo_space_t *space)
{
    if (!space) {
        return memo_error(MEMO_EINVAL, "the space is NULL: pass the handle that memo_open stored");
    }
    if (!handles_known(space)) {
        return memo_error(MEMO_EINVAL, "%p is not a handle that memo_open gave", (const void *)space);
    }
    if (handles_orphaned(space)) {
        return memo_error(MEMO_ECLOSED, "the handle belongs to the parent of this process: after fork, the child "
                                        "opens the space anew");
    }
    return memo_error(MEMO_ECLOSED, "the handle was closed by memo_close");
}

int check_explain_folder(const memo_folder_t *folder)
{
    if (!folder) {
        return memo_error(MEMO_EINVAL, "the folder is NULL: pass a name made by memo_folder");
    }
    return memo_error(MEMO_EINVAL,
                      "the folder is invalid: a name has 1 to %d bytes, and an array element a symbol "
                      "other than 0 and at most %d indices",
                      MEMO_NAME_MAX, MEMO_RANK_MAX);
}

int check_explain_memo(const memo_space_t *space, const memo_t *m)
{
    if (!m) {
        return memo_error(MEMO_EINVAL, "the memo is NULL");
    }
    if (space && handles_of(m)) {
        return memo_error(MEMO_EINVAL,
                          "%p is a memo of another space, or of another handle on it: a memo is put "
                          "through the handle it was allocated or taken with",
                          (const void *)m);
    }
    return memo_error(MEMO_EINVAL, "%p is not a memo of an open space", (const void *)m);
}

int check_explain_null(const char *what)
{
    return memo_error(MEMO_EINVAL, "%s is NULL", what);
}

int check_explain_timeout(int64_t timeout_ns)
{
    return memo_error(MEMO_EINVAL, "a timeout of %" PRId64 " ns: it is MEMO_FOREVER (%" PRId64 ") or not negative",
                      timeout_ns, MEMO_FOREVER);
}

int check_folders(const memo_folder_t folders[], size_t n)
{
    if (!folders) {
        return check_explain_null("the list of folders");
    }
    if (n == 0 || n > MEMO_FOLDERS_MAX) {
        return memo_error(MEMO_EINVAL, "%zu folders: a select or a join names 1 to %d", n, MEMO_FOLDERS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if (UNLIKELY(!folder_valid(&folders[i]))) {
            return memo_error(MEMO_EINVAL, "folder %zu of %zu is invalid: a name has 1 to %d bytes", i, n,
                              MEMO_NAME_MAX);
        }
    }
    return MEMO_OK;
}

int check_select(const memo_select_t *select)
{
    bool skips = select && memo_select_skips(select);

    CHECK(check_place(select, "the select"));
    /* As unsigned: the enumerations hold whatever the caller stored. */
    if ((unsigned)select->what > MEMO_COPY) {
        return memo_error(MEMO_EINVAL, "what=%u in the select: it is MEMO_TAKE or MEMO_COPY",
                          (unsigned)select->what);
    }
    if ((unsigned)select->when_empty > MEMO_UNTIL_QUIET) {
        return memo_error(MEMO_EINVAL,
                          "when_empty=%u in the select: it is MEMO_WAIT, MEMO_SKIP, MEMO_STRICT_SKIP or "
                          "MEMO_UNTIL_QUIET",
                          (unsigned)select->when_empty);
    }
    if ((unsigned)select->choice > MEMO_OLDEST) {
        return memo_error(MEMO_EINVAL, "choice=%u in the select: it is MEMO_LISTED, MEMO_ROTATE or MEMO_OLDEST",
                          (unsigned)select->choice);
    }
    if (!skips) {
        CHECK(check_timeout(select->timeout_ns));
    }
    return check_folders(select->folders, select->count);
}
