/*
 * space.c - the three MPI backends: their ops table (backend.h), and the calls on memos, which need no server.
 */
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "stubs/space.h"

static int unlink_space(const memo_backend_t *self, const memo_uri_t *uri)
{
    (void)self; /* it ends with its job */
    (void)uri;
    return MEMO_NONE;
}

static int rank(memo_space_t *space)
{
    return (int)(space_of(space)->launch.self - space_of(space)->launch.servers);
}

static int ranks(memo_space_t *space)
{
    return (int)space_of(space)->launch.clients;
}

/* Each client gives its own: its number, and a count. memo_symbol_named sets the top bit, which is never set here.
 */
static int symbol(memo_space_t *space, memo_symbol_t *out)
{
    mpi_space_t *sp = space_of(space);

    *out = (uint64_t)(rank(space) + 1) << 40 | (atomic_fetch_add(&sp->symbols, 1) + 1);
    return MEMO_OK;
}

/* ---- memos ----------------------------------------------------------------------------------------------- */

static struct memo *wait_for_memory(mpi_space_t *sp, self_t *s, size_t size, int64_t deadline, int *result)
{
    heap_root_t *h = &s->root->heap;
    struct memo *m = NULL;

    atomic_fetch_add(&h->waiting, 1);
    for (;;) {
        uint32_t seen = atomic_load(&h->bell);
        int64_t left;
        m = hand_alloc(s, size);
        if (m != NULL)
            break;
        left = deadline == WAIT_FOREVER ? WAIT_TICK_NS : deadline - wait_now();
        if (left <= 0) {
            *result = MEMO_TIMEDOUT;
            break;
        }
        if (sp->closing) {
            *result = memo_error(MEMO_ECLOSED, "the space was closed while the call waited for memory");
            break;
        }
        /* Freed blocks come to light when their owners' caches are given back: not all of that rings. */
        wait_sleep(&h->bell, seen, left < WAIT_TICK_NS / 8 ? left : WAIT_TICK_NS / 8);
        repair_look(s, WAIT_TICK_NS / 2);
    }
    atomic_fetch_sub(&h->waiting, 1);
    return m;
}

static int alloc(memo_space_t *space, size_t size, memo_t **m, int64_t timeout_ns)
{
    mpi_space_t *sp = space_of(space);
    int result = MEMO_OK;
    self_t *s = node_enter(&sp->node, &result);

    if (s == NULL)
        return result;
    *m = hand_alloc(s, size);
    if (*m == NULL && asks_press(sp, s) == MEMO_OK)
        *m = hand_alloc(s, size);
    if (*m == NULL && (size > HAND_MEMO_MAX || size + sizeof(struct memo) > heap_capacity(s->root)))
        result =
            memo_error(MEMO_EINVAL, "a memo of %zu bytes is larger than the space could ever hold (%llu bytes)",
                       size, (unsigned long long)(heap_capacity(s->root) - sizeof(struct memo)));
    else if (*m == NULL && timeout_ns != 0)
        *m = wait_for_memory(sp, s, size, wait_deadline(timeout_ns), &result);
    else if (*m == NULL)
        result = memo_error(MEMO_EFULL,
                            "no room is left for %zu bytes in the space, or in /dev/shm behind it; take and "
                            "free memos, or open it with a larger size=",
                            size);
    node_leave(s);
    return result;
}

static void free_held(memo_space_t *space, memo_t *m)
{
    mpi_space_t *sp = space_of(space);
    int result;
    self_t *s = node_enter(&sp->node, &result);

    if (s == NULL)
        return;
    if (space_holds(sp, m))
        near_free(s, m);
    node_leave(s);
}

static void *data(memo_space_t *space, memo_t *m)
{
    return space_holds(space_of(space), m) ? hand_data(m) : NULL;
}

static size_t size_of(memo_space_t *space, const memo_t *m)
{
    return space_holds(space_of(space), m) ? m->size : 0;
}

static memo_folder_t from(memo_space_t *space, const memo_t *m)
{
    mpi_space_t *sp = space_of(space);
    memo_folder_t folder;

    if (!space_holds(sp, m) || !near_from(sp->mailbox, m, &folder))
        memset(&folder, 0, sizeof folder);
    return folder;
}

static unsigned redeliveries(memo_space_t *space, const memo_t *m)
{
    return space_holds(space_of(space), m) ? m->redeliveries : 0;
}

#define MPI_OPS(name)                                                                                              \
    {                                                                                                              \
        .scheme = name, .open = open_space, .close = open_close, .unlink = unlink_space, .forget = open_forget,    \
        .rank = rank, .ranks = ranks, .symbol = symbol, .alloc = alloc, .put = puts_put, .put_start = puts_start,  \
        .flush = puts_flush, .flush_failed = puts_failed, .put_delayed = puts_delayed, .replace = puts_replace,    \
        .free = free_held, .data = data, .size = size_of, .from = from, .redeliveries = redeliveries,              \
        .select = takes_select, .get_all = takes_get_all, .start = requests_start, .test = requests_test,          \
        .wait = requests_wait, .cancel = requests_cancel, .fd = requests_fd, .limit = asks_limit,                  \
        .count = asks_count, .stat = asks_stat, .each = asks_each,                                                 \
    }

extern const memo_backend_t memo_backend_mpi_single, memo_backend_mpi_latch, memo_backend_mpi_chain;
const memo_backend_t memo_backend_mpi_single = MPI_OPS("mpi-single");
const memo_backend_t memo_backend_mpi_latch = MPI_OPS("mpi-latch");
const memo_backend_t memo_backend_mpi_chain = MPI_OPS("mpi-chain");
