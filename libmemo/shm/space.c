/*
 * space.c - the two shared-memory backends: their ops table (backend.h) over the folder table.
 */
#include <stdlib.h>
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/room.h"
#include "libmemo/node/wait.h"
#include "libmemo/shm/shm.h"

#define DEFAULT_SIZE (UINT64_C(1) << 30)

static shm_space_t *space_of(memo_space_t *space)
{
    return (shm_space_t *)(void *)space;
}

static self_t *enter(memo_space_t *space, int *result)
{
    return node_enter(&space_of(space)->node, result);
}

/* ---- opening and closing --------------------------------------------------------------------------------- */

static int format(region_t *r, node_root_t *root, const void *arg)
{
    lease_format(root, arg);
    return table_format(r, root);
}

static int format_one_lock(region_t *r, node_root_t *root, const void *arg)
{
    ((shm_root_t *)(void *)root->user)->one_lock = 1;
    return format(r, root, arg);
}

/* MEMO_RUN=ID:RANK:RANKS, with RANK "leader" for the launcher itself, as `memo run` sets it. */
static void read_run(node_options_t *o)
{
    const char *text = getenv("MEMO_RUN");
    char *end;
    uint64_t id;
    long rank = -2;

    o->rank = -1;
    o->ranks = 1;
    if (text == NULL)
        return;
    id = strtoull(text, &end, 16);
    if (id == 0 || *end++ != ':')
        return;
    if (strncmp(end, "leader", 6) == 0)
        end += 6;
    else if ((rank = strtol(end, &end, 10)) < 0)
        return;
    if (*end != ':' || strtol(end + 1, NULL, 10) < 1)
        return;
    o->run = id;
    o->rank = (int32_t)rank;
    o->ranks = (uint32_t)strtol(end + 1, NULL, 10);
}

static void init_requests(shm_space_t *sp)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&sp->mutex, NULL);
    pthread_cond_init(&sp->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    bridge_init(&sp->bridge);
}

static int join_run(shm_space_t *sp)
{
    int result = MEMO_OK;
    self_t *s = node_enter(&sp->node, &result);

    if (s == NULL)
        return result;
    quiet_client_opened(s, &sp->node.root->clients[sp->node.client]);
    repair_look(s, 0);
    node_leave(s);
    return MEMO_OK;
}

static node_options_t options_of(const memo_uri_t *uri)
{
    node_options_t o = {.name = uri->name,
                        .kind = uri->scheme,
                        .anonymous = uri->anonymous,
                        .on_death_given = uri->on_death_given,
                        .on_death_drop = uri->on_death == MEMO_ON_DEATH_DROP,
                        .size = uri->size != 0 ? uri->size : DEFAULT_SIZE,
                        .mode = uri->mode,
                        .group = uri->group,
                        .group_given = uri->group_given,
                        .fingerprint = sizeof(shm_root_t) ^ sizeof(record_t) << 16 ^ sizeof(request_t) << 32,
                        .user = &shm_node_user,
                        .whole = table_whole,
                        .format = strcmp(uri->scheme, "shm-lock") == 0 ? format_one_lock : format,
                        .format_arg = uri};

    read_run(&o);
    return o;
}

int shm_look(const memo_uri_t *uri, region_t *r)
{
    node_options_t o = options_of(uri);

    return node_look(r, &o);
}

static int open_node(shm_space_t *sp, const memo_uri_t *uri)
{
    node_options_t o = options_of(uri);
    int result;

    result = node_open(&sp->node, &o);
    if (result != MEMO_OK)
        return result;
    result = lease_agree(sp->node.root, uri);
    if (result != MEMO_OK) {
        node_close(&sp->node);
        return result;
    }
    sp->rank = o.rank < 0 ? 0 : o.rank;
    sp->ranks = o.rank < 0 ? 1 : (int)o.ranks;
    init_requests(sp);
    result = join_run(sp);
    if (result != MEMO_OK)
        node_close(&sp->node);
    return result;
}

static int open_space(const memo_backend_t *self, const memo_uri_t *uri, memo_space_t **space)
{
    shm_space_t *sp = (shm_space_t *)(void *)handles_new(sizeof *sp);
    int result;

    if (sp == NULL)
        return memo_error(MEMO_ENOMEM, "no memory for a handle");
    sp->space.backend = self;
    result = open_node(sp, uri);
    if (result == MEMO_OK) {
        result = handles_register(&sp->space, sp->node.region.base, sp->node.region.size);
        if (result != MEMO_OK)
            node_close(&sp->node);
    }
    if (result != MEMO_OK) {
        handles_retire(&sp->space);
        return result;
    }
    *space = &sp->space;
    return MEMO_OK;
}

static int close_space(memo_space_t *space)
{
    shm_space_t *sp = space_of(space);

    handles_retire(space);
    started_stop(sp);
    node_close(&sp->node);
    started_free(sp);
    pthread_mutex_destroy(&sp->mutex);
    pthread_cond_destroy(&sp->changed);
    return MEMO_OK;
}

static int unlink_space(const memo_backend_t *self, const memo_uri_t *uri)
{
    if (uri->anonymous)
        return memo_error(MEMO_EINVAL, "an anonymous space has no name to remove");
    return region_unlink(uri->name, self->scheme);
}

static void forget_space(memo_space_t *space)
{
    shm_space_t *sp = space_of(space);

    bridge_close(&sp->bridge);
    node_forget(&sp->node);
}

static int rank(memo_space_t *space)
{
    return space_of(space)->rank;
}

static int ranks(memo_space_t *space)
{
    return space_of(space)->ranks;
}

static int symbol(memo_space_t *space, memo_symbol_t *out)
{
    shm_root_t *root = (shm_root_t *)(void *)space_of(space)->node.root->user;

    *out = atomic_fetch_add(&root->symbols, 1) + 1;
    return MEMO_OK;
}

/* ---- memos ----------------------------------------------------------------------------------------------- */

static bool held(shm_space_t *sp, const memo_t *m)
{
    return hand_held(&sp->node, (offset_t)((const char *)m - sp->node.region.base));
}

static int alloc(memo_space_t *space, size_t size, memo_t **m, int64_t timeout_ns)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    *m = hand_alloc(s, size);
    if (*m == NULL) {
        origins_flush(s, shm_body(s));
        result = room_alloc(s, size, timeout_ns, m);
    }
    node_leave(s);
    return result;
}

static void free_held(memo_space_t *space, memo_t *m)
{
    int result;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return;
    if (hand_holds(s, node_offset(s, m)))
        free_memo(s, m);
    node_leave(s);
}

static void *data(memo_space_t *space, memo_t *m)
{
    return held(space_of(space), m) ? hand_data(m) : NULL;
}

static size_t size_of(memo_space_t *space, const memo_t *m)
{
    return held(space_of(space), m) ? m->size : 0;
}

static memo_folder_t from(memo_space_t *space, const memo_t *m)
{
    memo_folder_t none;

    memset(&none, 0, sizeof none);
    if (!held(space_of(space), m) || m->origin == 0)
        return none;
    return record_folder((record_t *)(void *)(space_of(space)->node.region.base + m->origin));
}

static unsigned redeliveries(memo_space_t *space, const memo_t *m)
{
    return held(space_of(space), m) ? m->redeliveries : 0;
}

/* ---- putting --------------------------------------------------------------------------------------------- */

static int put(memo_space_t *space, const memo_folder_t *folder, memo_t *m, int64_t timeout_ns)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    if (!hand_holds(s, node_offset(s, m)))
        result = hand_not_held();
    else
        result = put_memo(s, folder, m, timeout_ns == 0 ? 0 : wait_deadline(timeout_ns));
    node_leave(s);
    return result;
}

/* In shared memory a put has nothing to travel over: it is done when started. */
static int put_start(memo_space_t *space, const memo_folder_t *folder, memo_t *m)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    if (!hand_holds(s, node_offset(s, m)))
        result = hand_not_held();
    else {
        result = put_memo(s, folder, m, 0);
        if (result == MEMO_EFULL && refused_room(&shm_local(s)->refused, 1)) {
            refused_add(&shm_local(s)->refused, m, result);
            result = MEMO_OK;
        } /* or else it is refused at once: the caller still holds it */
    }
    node_leave(s);
    return result;
}

static int flush(memo_space_t *space)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    result = refused_code(&shm_local(s)->refused);
    node_leave(s);
    return result;
}

static int flush_failed(memo_space_t *space, memo_t **m)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    *m = refused_take(&shm_local(s)->refused);
    if (*m == NULL)
        result = MEMO_NONE;
    node_leave(s);
    return result;
}

static int delayed(memo_space_t *space, const memo_folder_t *trigger, const memo_folder_t *target, memo_t *m)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    result = hand_holds(s, node_offset(s, m)) ? put_delayed(s, trigger, target, m) : hand_not_held();
    node_leave(s);
    return result;
}

static int replace(memo_space_t *space, memo_t *m)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    if (!hand_holds(s, node_offset(s, m)))
        result = hand_not_held();
    else if (m->origin == 0)
        result = memo_error(MEMO_EINVAL, "the memo was taken from no folder: put it into one");
    else {
        memo_folder_t folder = record_folder(record_at(s, m->origin));
        result = put_memo(s, &folder, m, 0);
    }
    node_leave(s);
    return result;
}

/* ---- selecting ------------------------------------------------------------------------------------------- */

static int select_one(memo_space_t *space, const memo_select_t *select, memo_t **m, size_t *which)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    result = select_memo(s, select, m, which);
    node_leave(s);
    return result;
}

static int get_all(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t *m[], int64_t timeout_ns)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    result = join_get_all(s, folders, n, m, wait_deadline(timeout_ns));
    node_leave(s);
    return result;
}

/* ---- knowing --------------------------------------------------------------------------------------------- */

static int set_limit(self_t *s, bucket_t *b, const memo_folder_t *folder, uint64_t memos, uint64_t bytes)
{
    record_t *r = origins_hold(s, b, folder);
    extra_t *x = r != NULL ? record_extra(s, r) : NULL;

    if (x != NULL) {
        log_u64(s, &x->limit_memos, memos);
        log_u64(s, &x->limit_bytes, bytes);
        log_commit(s);
        room_made(s, r);
    }
    return x != NULL ? MEMO_OK : memo_error(MEMO_EFULL, "the space has no room left for a folder's limit");
}

static int limit(memo_space_t *space, const memo_folder_t *folder, uint64_t memos, uint64_t bytes)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);
    bucket_t *b;

    if (s == NULL)
        return result;
    origins_prepare(s);
    b = table_lock(s, folder->hash);
    result = set_limit(s, b, folder, memos, bytes);
    table_unlock(s, b);
    table_tidy(s);
    origins_flush(s, shm_body(s)); /* what says nothing goes */
    node_leave(s);
    return result;
}

static int count(memo_space_t *space, const memo_folder_t *folder, uint64_t *memos, uint64_t *waiters)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);
    const record_t *r;
    bucket_t *b;

    if (s == NULL)
        return result;
    repair_look(s, WAIT_TICK_NS / 2);
    b = table_lock(s, folder->hash);
    r = table_find(s, b, folder);
    *memos = r != NULL ? record_memos(r) : 0;
    *waiters = r != NULL ? r->waiters : 0;
    table_unlock(s, b);
    node_leave(s);
    return MEMO_OK;
}

static int add_folder(const memo_folder_t *folder, uint64_t memos, uint64_t bytes, uint64_t waiters, void *arg)
{
    memo_stat_t *stat = arg;

    (void)folder;
    stat->folders++;
    stat->memos += memos;
    stat->bytes += bytes;
    stat->waiters += waiters;
    return 0;
}

static void fill_counts(self_t *s, memo_stat_t *stat)
{
    node_counts_t counts;

    memset(&counts, 0, sizeof counts);
    node_counts(s, &counts);
    stat->deaths = atomic_load(&s->root->deaths);
    stat->redelivered = atomic_load(&counts.redelivered);
    stat->dropped = atomic_load(&counts.dropped);
    stat->dead_letters = atomic_load(&counts.letters);
    stat->puts = atomic_load(&counts.puts);
    stat->takes = atomic_load(&counts.takes);
    stat->copies = atomic_load(&counts.copies);
    stat->slot_messages = atomic_load(&counts.slot_messages);
    stat->lock_waits = atomic_load(&counts.lock_waits);
    stat->parks = atomic_load(&counts.parks);
    stat->wakes = atomic_load(&counts.wakes);
}

static int stat_space(memo_space_t *space, memo_stat_t *stat)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    repair_look(s, 0);
    origins_flush(s, shm_body(s));
    stat->capacity = heap_capacity(s->root);
    stat->used = heap_used(s);
    result = table_each(s, add_folder, stat);
    stat->clients = node_clients(s);
    stat->receivers = node_receivers(s);
    fill_counts(s, stat);
    node_leave(s);
    return result;
}

static int each(memo_space_t *space, int (*visit)(const memo_folder_t *, uint64_t, uint64_t, uint64_t, void *),
                void *arg)
{
    int result = MEMO_OK;
    self_t *s = enter(space, &result);

    if (s == NULL)
        return result;
    result = table_each(s, visit, arg);
    node_leave(s);
    return result;
}

#define SHM_OPS(name)                                                                                              \
    {                                                                                                              \
        .scheme = name, .open = open_space, .close = close_space, .unlink = unlink_space, .forget = forget_space,  \
        .rank = rank, .ranks = ranks, .symbol = symbol, .alloc = alloc, .put = put, .put_start = put_start,        \
        .flush = flush, .flush_failed = flush_failed, .put_delayed = delayed, .replace = replace,                  \
        .free = free_held, .data = data, .size = size_of, .from = from, .redeliveries = redeliveries,              \
        .select = select_one, .get_all = get_all, .start = started_start, .test = started_test,                    \
        .wait = started_wait, .cancel = started_cancel, .fd = started_fd, .limit = limit, .count = count,          \
        .stat = stat_space, .each = each,                                                                          \
    }

extern const memo_backend_t memo_backend_shm_lock, memo_backend_shm_bucket;
const memo_backend_t memo_backend_shm_lock = SHM_OPS("shm-lock");
const memo_backend_t memo_backend_shm_bucket = SHM_OPS("shm-bucket");
