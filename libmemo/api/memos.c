/*
 * memos.c - memos held, and putting them: arguments, and dispatch.
 *
 * A memo_t carries nothing that could be trusted before it is known to lie in a space's memory: its handle is
 * found by its address.
 */
#include "libmemo/api/check.h"

#include <string.h>

/* The open handle that m lies in, or NULL. */
static inline memo_space_t *space_of(const memo_t *m)
{
    memo_space_t *space = handles_of(m);

    return LIKELY(space && atomic_load_explicit(&space->open, memory_order_relaxed)) ? space : NULL;
}

/* ---- held memos ------------------------------------------------------------------------------------------ */

int memo_alloc_for(memo_space_t *space, size_t size, memo_t **m, int64_t timeout_ns)
{
    CHECK(check_place(m, "the place for the memo"));
    *m = NULL;
    CHECK(check_space(space));
    CHECK(check_timeout(timeout_ns));
    return space->backend->alloc(space, size, m, timeout_ns);
}

int memo_alloc(memo_space_t *space, size_t size, memo_t **m)
{
    CHECK(check_place(m, "the place for the memo"));
    *m = NULL;
    CHECK(check_space(space));
    return space->backend->alloc(space, size, m, 0);
}

void memo_free(memo_t *m)
{
    memo_space_t *space = space_of(m);

    if (LIKELY(space)) {
        space->backend->free(space, m);
    }
}

void *memo_data(memo_t *m)
{
    memo_space_t *space = space_of(m);

    return LIKELY(space) ? space->backend->data(space, m) : NULL;
}

size_t memo_size(const memo_t *m)
{
    memo_space_t *space = space_of(m);

    return LIKELY(space) ? space->backend->size(space, m) : 0;
}

memo_folder_t memo_from(const memo_t *m)
{
    memo_space_t *space = space_of(m);

    return LIKELY(space) ? space->backend->from(space, m) : (memo_folder_t){0};
}

unsigned memo_redeliveries(const memo_t *m)
{
    memo_space_t *space = space_of(m);

    return LIKELY(space) ? space->backend->redeliveries(space, m) : 0;
}

/* ---- putting --------------------------------------------------------------------------------------------- */

static inline int check_put(const memo_space_t *space, const memo_folder_t *folder, const memo_t *m)
{
    CHECK(check_space(space));
    CHECK(check_folder(folder));
    return check_memo(space, m);
}

int memo_put(memo_space_t *space, const memo_folder_t *folder, memo_t *m)
{
    CHECK(check_put(space, folder, m));
    return space->backend->put(space, folder, m, 0);
}

int memo_put_for(memo_space_t *space, const memo_folder_t *folder, memo_t *m, int64_t timeout_ns)
{
    CHECK(check_put(space, folder, m));
    CHECK(check_timeout(timeout_ns));
    return space->backend->put(space, folder, m, timeout_ns);
}

int memo_put_start(memo_space_t *space, const memo_folder_t *folder, memo_t *m)
{
    CHECK(check_put(space, folder, m));
    return space->backend->put_start(space, folder, m);
}

int memo_flush(memo_space_t *space)
{
    CHECK(check_space(space));
    return space->backend->flush(space);
}

int memo_flush_failed(memo_space_t *space, memo_t **m)
{
    CHECK(check_place(m, "the place for the memo"));
    *m = NULL;
    CHECK(check_space(space));
    return space->backend->flush_failed(space, m);
}

int memo_put_delayed(memo_space_t *space, const memo_folder_t *trigger, const memo_folder_t *target, memo_t *m)
{
    CHECK(check_put(space, trigger, m));
    CHECK(check_folder(target));
    return space->backend->put_delayed(space, trigger, target, m);
}

int memo_replace(memo_t *m)
{
    memo_space_t *space = space_of(m);

    if (UNLIKELY(!space)) {
        return check_explain_memo(NULL, m);
    }
    return space->backend->replace(space, m);
}

int memo_write(memo_space_t *space, const memo_folder_t *folder, const void *data, size_t size)
{
    memo_t *m = NULL;

    CHECK(check_space(space));
    CHECK(check_folder(folder));
    if (UNLIKELY(!data && size > 0)) {
        return check_explain_null("the data to write");
    }
    const memo_backend_t *backend = space->backend;
    CHECK(backend->alloc(space, size, &m, 0));
    if (size > 0) {
        void *bytes = backend->data(space, m);
        if (UNLIKELY(!bytes)) {
            /* The handle was closed meanwhile, and the memo with it. */
            return check_explain_space(space);
        }
        memcpy(bytes, data, size);
    }
    int result = backend->put(space, folder, m, 0);
    if (UNLIKELY(result != MEMO_OK)) {
        backend->free(space, m);
    }
    return result;
}
