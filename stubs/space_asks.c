/*
 * space_asks.c - limits, counts, figures and the walk over the folders: questions to one server, or to each in
 * turn.
 */
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "libmemo/wire/codec.h"
#include "stubs/space.h"

static int ask(mpi_space_t *sp, self_t *s, pending_t *p, wire_type_t type, uint32_t server,
               const memo_folder_t *folder, const uint64_t number[4])
{
    int result;

    memset(p, 0, sizeof *p);
    pending_begin(sp, p, space_thread(s));
    pending_concerns_server(sp, p, server);
    result = pending_begun(sp, p, stub_ask(sp->stub, &p->call, type, server, folder, number));
    if (result == MEMO_OK)
        result = pending_wait(sp, space_thread(s), p, WAIT_FOREVER);
    return result;
}

static int ask_about(mpi_space_t *sp, self_t *s, pending_t *p, wire_type_t type, const memo_folder_t *folder,
                     const uint64_t number[4])
{
    return ask(sp, s, p, type, wire_server_of(folder, sp->launch.servers), folder, number);
}

/* Any folder of that server. */
static memo_folder_t some_folder(const mpi_space_t *sp, uint32_t server)
{
    memo_folder_t folder;
    uint32_t i = 0;

    do {
        folder = memo_folder_bytes(&i, sizeof i);
        i++;
    } while (wire_server_of(&folder, sp->launch.servers) != server);
    return folder;
}

/* A server that has answered anything has looked whether it is to give memory back. */
int asks_press(mpi_space_t *sp, self_t *s)
{
    const uint64_t number[4] = {0, 0, 0, 0};
    uint32_t server;
    pending_t p;

    int result = pump_prepare(sp, space_thread(s));

    if (result != MEMO_OK)
        return result;
    pthread_mutex_lock(&sp->mutex);
    carry_spare(sp);
    for (server = 0; server < sp->launch.servers && !sp->closing; server++)
        if (launch_near(&sp->launch, server)) {
            memo_folder_t folder = some_folder(sp, server);
            ask_about(sp, s, &p, WIRE_COUNT, &folder, number);
        }
    pump_pass_on(sp);
    pthread_mutex_unlock(&sp->mutex);
    return MEMO_OK;
}

int asks_limit(memo_space_t *space, const memo_folder_t *folder, uint64_t memos, uint64_t bytes)
{
    mpi_space_t *sp = space_of(space);
    const uint64_t number[4] = {memos, bytes, 0, 0};
    pending_t p;
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    result = ask_about(sp, s, &p, WIRE_LIMIT, folder, number);
    space_leave(sp, s);
    return pending_explain(result, "folder's limit");
}

int asks_count(memo_space_t *space, const memo_folder_t *folder, uint64_t *memos, uint64_t *waiters)
{
    mpi_space_t *sp = space_of(space);
    const uint64_t number[4] = {0, 0, 0, 0};
    pending_t p;
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    repair_look(sp->mailbox, WAIT_TICK_NS / 2);
    result = ask_about(sp, s, &p, WIRE_COUNT, folder, number);
    if (result == MEMO_OK) {
        *memos = p.call.number[0];
        *waiters = p.call.number[1];
    }
    space_leave(sp, s);
    return pending_explain(result, "count");
}

/* ---- figures ------------------------------------------------------------------------------------------------ */

static void add(memo_stat_t *stat, const memo_stat_t *more)
{
    stat->folders += more->folders;
    stat->memos += more->memos;
    stat->bytes += more->bytes;
    stat->waiters += more->waiters;
    stat->redelivered += more->redelivered;
    stat->dropped += more->dropped;
    stat->dead_letters += more->dead_letters;
    stat->puts += more->puts;
    stat->takes += more->takes;
    stat->copies += more->copies;
    stat->messages += more->messages;
    stat->strict_phases += more->strict_phases;
    if (more->clients > stat->clients)
        stat->clients = more->clients; /* every server knows all of them */
    if (more->deaths > stat->deaths)
        stat->deaths = more->deaths;
}

static int stat_server(mpi_space_t *sp, self_t *s, uint32_t server, memo_stat_t *stat)
{
    const uint64_t number[4] = {0, 0, 0, 0};
    memo_stat_t figures = {0};
    pending_t p;
    int result = ask(sp, s, &p, WIRE_STAT, server, NULL, number);

    if (result != MEMO_OK)
        return result;
    if (p.call.memo == NULL)
        return MEMO_EFULL;
    result = codec_read_stat(hand_data(near_memo(p.call.memo)), near_memo(p.call.memo)->size, &figures);
    near_free(sp->mailbox, near_memo(p.call.memo));
    add(stat, &figures);
    return result;
}

/* What only this node knows of itself. */
static void stat_node(self_t *s, memo_stat_t *stat)
{
    node_counts_t counts;

    memset(&counts, 0, sizeof counts);
    node_counts(s, &counts);
    stat->capacity = heap_capacity(s->root);
    stat->used = heap_used(s);
    stat->receivers = node_receivers(s);
    stat->slot_messages = atomic_load(&counts.slot_messages);
    stat->lock_waits = atomic_load(&counts.lock_waits);
    stat->parks = atomic_load(&counts.parks);
    stat->wakes = atomic_load(&counts.wakes);
}

int asks_stat(memo_space_t *space, memo_stat_t *stat)
{
    mpi_space_t *sp = space_of(space);
    uint32_t server;
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    repair_look(sp->mailbox, 0);
    for (server = 0; server < sp->launch.servers && result == MEMO_OK; server++)
        result = stat_server(sp, s, server, stat);
    if (result == MEMO_OK)
        stat_node(s, stat);
    space_leave(sp, s);
    return pending_explain(result, "figures");
}

/* ---- walking ------------------------------------------------------------------------------------------------- */

typedef int (*visit_t)(const memo_folder_t *, uint64_t, uint64_t, uint64_t, void *);

/* The records of one page; the mutex is free. Its memo stays where it is. */
static int visit_page(const struct memo *page, visit_t visit, void *arg)
{
    const char *at = (const char *)(page + 1);
    size_t left = page->size, read;
    codec_record_t record;
    int result = 0;

    while (left > 0 && result == 0) {
        read = codec_read_record(at, left, &record);
        if (read == 0)
            return memo_error(MEMO_ECORRUPT, "the server's list of folders is damaged");
        at += read;
        left -= read;
        result = visit(&record.folder, record.memos, record.bytes, record.waiters, arg);
    }
    return result;
}

/* One page of a server's folders: *next is where to go on, 0 the end. */
static int walk_page(mpi_space_t *sp, uint32_t server, uint64_t *next, visit_t visit, void *arg)
{
    const uint64_t number[4] = {*next, 0, 0, 0};
    struct memo *page;
    pending_t p;
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    result = pending_explain(ask(sp, s, &p, WIRE_EACH, server, NULL, number), "list of folders");
    pump_pass_on(sp);
    pthread_mutex_unlock(&sp->mutex); /* the visit may call the library */
    *next = p.call.number[0];
    page = result == MEMO_OK && p.call.memo != NULL ? near_memo(p.call.memo) : NULL;
    if (page != NULL) {
        result = visit_page(page, visit, arg);
        near_free(s, page);
    }
    node_leave(s);
    return result;
}

int asks_each(memo_space_t *space, visit_t visit, void *arg)
{
    mpi_space_t *sp = space_of(space);
    uint32_t server;
    int result = MEMO_OK;

    for (server = 0; server < sp->launch.servers && result == MEMO_OK; server++) {
        uint64_t next = 0;
        do
            result = walk_page(sp, server, &next, visit, arg);
        while (result == MEMO_OK && next != 0);
    }
    return result;
}
