/*
 * space.c - the three MPI backends: their ops table (backend.h), and the calls on memos, which need no server.
 */
#include <string.h>

#include "libmemo/node/room.h"
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

static int alloc(memo_space_t *space, size_t size, memo_t **m, int64_t timeout_ns)
{
    mpi_space_t *sp = space_of(space);
    int result = MEMO_OK;
    self_t *s = node_enter(&sp->node, &result);

    if (s == NULL)
        return result;
    *m = hand_alloc(s, size);
    if (*m == NULL) {
        asks_press(sp, s);
        result = room_alloc(s, size, timeout_ns, m);
    }
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
