/*
 * spaces.c - opening, closing and asking a space: arguments, and dispatch.
 */
#include "libmemo/api/backends.h"
#include "libmemo/api/check.h"

#include <string.h>

int memo_open(memo_space_t **space, const char *text)
{
    memo_uri_t uri;
    const memo_backend_t *backend = NULL;

    CHECK(check_place(space, "the place for the handle"));
    *space = NULL;
    CHECK(backends_find(text, &uri, &backend));
    int result = backend->open(backend, &uri, space);
    if (result != MEMO_OK) {
        *space = NULL;
        return result;
    }
    atomic_store_explicit(&(*space)->open, true, memory_order_release);
    return MEMO_OK;
}

int memo_close(memo_space_t *space)
{
    CHECK(check_space(space));
    /* Of two that close at once, one does. */
    if (!atomic_exchange_explicit(&space->open, false, memory_order_acq_rel)) {
        return check_explain_space(space);
    }
    return space->backend->close(space);
}

int memo_unlink(const char *text)
{
    memo_uri_t uri;
    const memo_backend_t *backend = NULL;

    CHECK(backends_find(text, &uri, &backend));
    return backend->unlink(backend, &uri);
}

int memo_rank(memo_space_t *space)
{
    CHECK(check_space(space));
    return space->backend->rank(space);
}

int memo_ranks(memo_space_t *space)
{
    CHECK(check_space(space));
    return space->backend->ranks(space);
}

int memo_symbol(memo_space_t *space, memo_symbol_t *symbol)
{
    CHECK(check_place(symbol, "the place for the symbol"));
    *symbol = 0;
    CHECK(check_space(space));
    return space->backend->symbol(space, symbol);
}

int memo_limit(memo_space_t *space, const memo_folder_t *folder, uint64_t memos, uint64_t bytes)
{
    CHECK(check_space(space));
    CHECK(check_folder(folder));
    return space->backend->limit(space, folder, memos, bytes);
}

int memo_count(memo_space_t *space, const memo_folder_t *folder, uint64_t *memos, uint64_t *waiters)
{
    uint64_t unwanted[2];

    memos = memos ? memos : &unwanted[0];
    waiters = waiters ? waiters : &unwanted[1];
    *memos = *waiters = 0;
    CHECK(check_space(space));
    CHECK(check_folder(folder));
    return space->backend->count(space, folder, memos, waiters);
}

int memo_stat(memo_space_t *space, memo_stat_t *stat, size_t size_of_stat)
{
    memo_stat_t all = {0};

    CHECK(check_place(stat, "the place for the figures"));
    memset(stat, 0, size_of_stat);
    CHECK(check_space(space));
    CHECK(space->backend->stat(space, &all));
    memcpy(stat, &all, size_of_stat < sizeof all ? size_of_stat : sizeof all);
    return MEMO_OK;
}

int memo_each(memo_space_t *space,
              int (*visit)(const memo_folder_t *folder, uint64_t memos, uint64_t bytes, uint64_t waiters,
                           void *arg),
              void *arg)
{
    CHECK(check_space(space));
    if (!visit) {
        return check_explain_null("the function to call for each folder");
    }
    return space->backend->each(space, visit, arg);
}
