/*
 * chain.c - mpi-chain: a strict skip, or a join, travels from server to server in rank order (DESIGN section 7).
 *
 * Each server locks the named folders it has, all at once (a message that names a locked folder waits until none
 * is), looks, and passes the chain on. From then on nothing changes in them but by ACCEPT and RELEASE, which pass.
 * The first server that has a memo answers; the last one, if it finds nothing either, answers MEMO_NONE: then every
 * named folder is locked, and empty, and that is the instant of C9. Whoever answers sends UNLOCK to the servers
 * before it. A join goes on while each folder has enough; the last server takes, and UNLOCK tells the others to
 * take too.
 *
 * Chains wait for chains only at servers of higher rank than those they have locked, and for latches, whose
 * holders wait for nobody: no cycle.
 *
 * Messages for folders on k servers, undisturbed: strict skip, none found: CHAIN, k - 1 NEXT, ANSWER, k - 1 UNLOCK:
 * 2k. Found at the j-th: 2j. Join of n folders: 1 + 2 (k - 1) + n. All else is as in mpi-latch (select.c).
 */
#include "servers/parts.h"

#include <stdlib.h>
#include <string.h>

static bool joins(const request_t *r)
{
    return (r->flags & WIRE_TAKE_ALL) != 0;
}

static uint32_t client_of(const request_t *r)
{
    return (uint32_t)r->key.client;
}

/* ---- its way --------------------------------------------------------------------------------------------- */

/* The first server after (or before) this one that has folders of the chain, from `from` on; `servers` if there is
 * none. */
static uint32_t next_server(const engine_t *e, const wire_folder_t all[], uint32_t count)
{
    uint32_t best = e->servers, i;

    for (i = 0; i < count; i++) {
        uint32_t server = wire_server_of(&all[i].name, e->servers);
        if (server > e->self && server < best)
            best = server;
    }
    return best;
}

static void unlock_earlier(engine_t *e, uint32_t client, uint64_t request, const wire_folder_t all[],
                           uint32_t count, uint32_t flags)
{
    wire_message_t m = {.type = WIRE_UNLOCK, .client = client, .request = request, .flags = flags};
    uint32_t told = e->servers, i; /* folders are grouped by server, in rank order */

    for (i = 0; i < count; i++) {
        uint32_t server = wire_server_of(&all[i].name, e->servers);
        if (server >= e->self || server == told)
            continue;
        told = server;
        engine_send(e, server, &m);
    }
}

/* It ends here: the folders of the earlier servers are unlocked, and those here. */
static void end_chain(engine_t *e, request_t *r)
{
    unlock_earlier(e, client_of(r), r->key.id, r->all, r->all_count, 0);
    request_over(e, r);
}

static void answer(engine_t *e, uint32_t client, uint64_t request, int result, uint32_t index)
{
    wire_message_t m = {.type = WIRE_ANSWER, .request = request, .result = result, .index = index};

    engine_tell(e, client, &m);
}

static void take_here(engine_t *e, request_t *r)
{
    uint32_t i;

    for (i = 0; i < r->count; i++)
        select_give(e, client_of(r), r->key.id, entry_first_free(r->gets[i].folder), r->gets[i].index, 0);
}

static void pass_on(engine_t *e, request_t *r)
{
    uint32_t next = next_server(e, r->all, r->all_count);
    wire_message_t m = {.type = WIRE_NEXT,
                        .client = client_of(r),
                        .request = r->key.id,
                        .flags = r->flags & ~(uint32_t)WIRE_PHASE,
                        .how = r->how,
                        .folders = r->all,
                        .count = r->all_count};

    if (next < e->servers) {
        r->state = REQUEST_PASSED;
        engine_send(e, next, &m);
    } else if (joins(r)) {
        unlock_earlier(e, client_of(r), r->key.id, r->all, r->all_count, WIRE_TAKE_ALL);
        take_here(e, r);
        request_over(e, r);
    } else {
        answer(e, client_of(r), r->key.id, MEMO_NONE, 0);
        end_chain(e, r);
    }
}

/* ---- looking --------------------------------------------------------------------------------------------- */

static entry_t *find_free(const request_t *r, uint32_t *place)
{
    uint32_t i;

    for (i = 0; i < r->count; i++) {
        entry_t *entry = entry_first_free(r->gets[i].folder);
        if (entry != NULL) {
            *place = i;
            return entry;
        }
    }
    return NULL;
}

static void found(engine_t *e, request_t *r, entry_t *entry, uint32_t index)
{
    wire_message_t m = {.type = WIRE_ANSWER, .request = r->key.id, .index = index, .size = entry->size};

    if ((r->flags & WIRE_COPY) == 0)
        select_give(e, client_of(r), r->key.id, entry, index, 0);
    else {
        m.memo = e->io.copy(e->io.arg, entry->memo);
        m.result = m.memo != NULL ? MEMO_OK : MEMO_EFULL;
        e->figures.copies += m.memo != NULL;
        engine_tell(e, client_of(r), &m);
    }
    end_chain(e, r);
}

static void look_for_any(engine_t *e, request_t *r)
{
    uint32_t place = 0, i;
    entry_t *entry = find_free(r, &place);

    if (entry != NULL) {
        found(e, r, entry, r->gets[place].index);
        return;
    }
    for (i = 0; i < r->count; i++)
        if (r->gets[i].folder->memos > 0)
            return; /* latched: it waits until that is resolved */
    pass_on(e, r);
}

/* How many folders, in order, have enough memos, counting latched ones or not. */
static bool enough(const request_t *r, bool latched_too)
{
    bool all = true;
    uint32_t i;

    for (i = 0; i < r->count && all; i++) {
        folder_t *f = r->gets[i].folder;
        all = ++f->wanted <= f->memos - (latched_too ? 0 : f->latched);
    }
    while (i-- > 0)
        r->gets[i].folder->wanted = 0;
    return all;
}

static void look_for_all(engine_t *e, request_t *r)
{
    if (enough(r, false))
        pass_on(e, r);
    else if (!enough(r, true)) {
        answer(e, client_of(r), r->key.id, MEMO_NONE, e->self);
        end_chain(e, r);
    }
}

void chain_look(engine_t *e, request_t *r)
{
    const client_state_t *c = engine_client(e, client_of(r));

    if (c->gone)
        end_chain(e, r);
    else if (joins(r))
        look_for_all(e, r);
    else
        look_for_any(e, r);
}

bool chain_needs(const engine_t *e, const request_t *r, uint32_t server)
{
    uint32_t i;

    for (i = 0; i < r->all_count; i++)
        if (wire_server_of(&r->all[i].name, e->servers) == server)
            return true;
    return false;
}

void chain_cut(engine_t *e, request_t *r)
{
    answer(e, client_of(r), r->key.id, MEMO_EPEER, 0);
    end_chain(e, r);
}

void chain_gone(engine_t *e, request_t *r)
{
    /* One that went on is unlocked by whoever it comes to. */
    if (r->state == REQUEST_CHAIN)
        end_chain(e, r);
}

/* ---- messages -------------------------------------------------------------------------------------------- */

static bool lock_folders(engine_t *e, request_t *r)
{
    uint32_t i, n = 0;

    for (i = 0; i < r->all_count; i++) {
        folder_t *f;
        if (wire_server_of(&r->all[i].name, e->servers) != e->self)
            continue;
        f = directory_get(&e->directory, &r->all[i].name);
        if (f == NULL)
            return false;
        r->gets[n].folder = f;
        r->gets[n].index = r->all[i].index;
        r->gets[n++].request = r;
        if (f->locked == NULL)
            e->locked++;
        f->locked = r;
    }
    return true;
}

static request_t *begin(engine_t *e, const wire_message_t *m)
{
    uint32_t own = 0, i;
    request_t *r;

    for (i = 0; i < m->count; i++)
        own += wire_server_of(&m->folders[i].name, e->servers) == e->self;
    r = request_new(e, m, own);
    if (r == NULL)
        return NULL;
    r->state = REQUEST_CHAIN;
    r->all = malloc(m->count * sizeof *r->all);
    if (r->all != NULL) {
        memcpy(r->all, m->folders, m->count * sizeof *r->all);
        r->all_count = m->count;
    }
    if (r->all == NULL || !lock_folders(e, r)) {
        request_over(e, r);
        return NULL;
    }
    return r;
}

/* CHAIN, and NEXT. None of its folders here is locked. */
void on_chain(engine_t *e, const wire_message_t *m)
{
    bool fallen = any_fallen(e, m->folders, m->count);
    request_t *r = !fallen && !engine_client(e, m->client)->gone ? begin(e, m) : NULL;

    if (r != NULL) {
        chain_look(e, r);
        return;
    }
    unlock_earlier(e, m->client, m->request, m->folders, m->count, 0);
    answer(e, m->client, m->request, fallen ? MEMO_EPEER : MEMO_ENOMEM, 0);
}

void on_unlock(engine_t *e, const wire_message_t *m)
{
    request_t *r = request_find(e, m->client, m->request);

    if (r == NULL || r->state != REQUEST_PASSED)
        return;
    /* For who has died meanwhile they stay; what the other servers took for him goes back. */
    if ((m->flags & WIRE_TAKE_ALL) != 0 && joins(r) && !engine_client(e, client_of(r))->gone)
        take_here(e, r);
    request_over(e, r);
}
