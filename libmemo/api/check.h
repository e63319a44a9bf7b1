/*
 * check.h - what every public call checks before it dispatches: a few predictable compares where all is well;
 * the sentences are made in check.c.
 */
#ifndef CHECK_H
#define CHECK_H

#include "libmemo/api/error.h"
#include "libmemo/api/folder.h"
#include "libmemo/api/handles.h"

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* Each returns the code for its case, with a sentence. */
int check_explain_space(const memo_space_t *space);
int check_explain_folder(const memo_folder_t *folder);
int check_explain_memo(const memo_space_t *space, const memo_t *m);
int check_explain_null(const char *what);
int check_explain_timeout(int64_t timeout_ns);

/* The folders of a select or a join: their number, and each. */
int check_folders(const memo_folder_t folders[], size_t n);

/* Everything in a select. */
int check_select(const memo_select_t *select);

static inline bool space_usable(const memo_space_t *space)
{
    /* Relaxed: whoever may use the handle has synchronized with its opening; a close may come any time. */
    return space && handles_known(space) && atomic_load_explicit(&space->open, memory_order_relaxed);
}

static inline int check_space(const memo_space_t *space)
{
    return LIKELY(space_usable(space)) ? MEMO_OK : check_explain_space(space);
}

static inline int check_folder(const memo_folder_t *folder)
{
    return LIKELY(folder_valid(folder)) ? MEMO_OK : check_explain_folder(folder);
}

/* Whether m lies in the memory of that handle: all that can be known of it here. */
static inline int check_memo(const memo_space_t *space, const memo_t *m)
{
    return LIKELY(m && handles_of(m) == space) ? MEMO_OK : check_explain_memo(space, m);
}

static inline int check_timeout(int64_t timeout_ns)
{
    return LIKELY(timeout_ns >= MEMO_FOREVER) ? MEMO_OK : check_explain_timeout(timeout_ns);
}

/* A place for a result. */
static inline int check_place(const void *place, const char *what)
{
    return LIKELY(place) ? MEMO_OK : check_explain_null(what);
}

/* Leaves the calling function with the first check's error. */
#define CHECK(check)                                                                                               \
    do {                                                                                                           \
        int check_result_ = (check);                                                                               \
        if (UNLIKELY(check_result_ != MEMO_OK)) {                                                                  \
            return check_result_;                                                                                  \
        }                                                                                                          \
    } while (0)

#endif
