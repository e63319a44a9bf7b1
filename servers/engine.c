/*
 * engine.c - a server's engine (engine.h): messages in, what they defer, and settling what they changed.
 */
#include "servers/parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_FOR_MEMORY 1000 /* microseconds */

/* ---- sending --------------------------------------------------------------------------------------------- */

static void count_message(engine_t *e, const wire_message_t *m)
{
    if (m->type != WIRE_STAT && (m->flags & WIRE_STATISTICS) == 0)
        e->figures.messages++;
}

void engine_wait_for_memory(void)
{
    usleep(PAUSE_FOR_MEMORY);
}

void *engine_must_have(size_t bytes)
{
    void *p;

    while ((p = malloc(bytes)) == NULL)
        engine_wait_for_memory();
    return p;
}

static deferred_t *deferred_new(const wire_message_t *m)
{
    deferred_t *d = engine_must_have(sizeof *d + m->count * sizeof *m->folders);

    d->next = NULL;
    d->cancelled = false;
    d->message = *m;
    d->message.folders = (wire_folder_t *)(void *)(d + 1);
    if (m->count > 0)
        memcpy(d + 1, m->folders, m->count * sizeof *m->folders);
    return d;
}

void deferred_free(engine_t *e, deferred_t *d)
{
    if (d->message.memo != NULL)
        e->io.free(e->io.arg, d->message.memo);
    free(d);
}

/* A message to itself waits until the one at hand is through. */
static void send_to_self(engine_t *e, const wire_message_t *m)
{
    deferred_t *d = deferred_new(m);

    *(e->own_last != NULL ? &e->own_last->next : &e->own_first) = d;
    e->own_last = d;
}

/* Who is to have it has died. */
static void drop(engine_t *e, const wire_message_t *m)
{
    if (m->memo == NULL)
        return;
    e->figures.dropped++;
    e->io.free(e->io.arg, m->memo);
}

void engine_send(engine_t *e, uint32_t to, const wire_message_t *message)
{
    wire_message_t m = *message;

    m.from = e->self;
    if (to == e->self) {
        send_to_self(e, &m);
        return;
    }
    if (to < e->servers && e->fallen[to]) {
        drop(e, &m);
        return;
    }
    count_message(e, &m);
    e->io.send(e->io.arg, to, &m);
}

client_state_t *engine_client(engine_t *e, uint32_t peer)
{
    return peer >= e->servers && peer < e->servers + e->clients ? &e->client[peer - e->servers] : NULL;
}

/* As if whoever is told nothing any more had had it, and died. */
static void give_back(engine_t *e, const wire_message_t *m, bool dead)
{
    wire_message_t back = {.type = WIRE_RETURN,
                           .flags = WIRE_REDELIVERED | WIRE_NO_ANSWER,
                           .client = e->self,
                           .folders = m->folders,
                           .count = 1,
                           .memo = m->memo,
                           .size = m->size,
                           .redeliveries = m->redeliveries};

    if (m->memo == NULL)
        return;
    if (m->count > 0 && e->drops && dead)
        drop(e, m);
    else if (m->count > 0)
        engine_send(e, wire_server_of(&m->folders[0].name, e->servers), &back);
    else
        e->io.free(e->io.arg, m->memo);
}

void engine_tell(engine_t *e, uint32_t client, const wire_message_t *message)
{
    client_state_t *c = engine_client(e, client);
    wire_message_t m = *message;

    if (c == NULL || c->gone || c->left) {
        give_back(e, &m, c != NULL && c->gone);
        return;
    }
    m.client = client;
    if ((m.flags & WIRE_UNTIL_QUIET) != 0)
        c->given += wire_weight(client, e->self);
    engine_send(e, client, &m);
}

void engine_answer(engine_t *e, uint32_t client, uint64_t request, int result)
{
    wire_message_t m = {.type = WIRE_ANSWER, .request = request, .result = result};

    engine_tell(e, client, &m);
}

/* The message's folders that are to change; one more may say where its memo was taken from. */
static uint32_t changed_folders(const wire_message_t *m)
{
    uint32_t most = m->type == WIRE_PUT ? 1 : m->type == WIRE_DELAY || m->type == WIRE_HOLD ? 2 : m->count;

    return m->count < most ? m->count : most;
}

const wire_folder_t *engine_source(const wire_message_t *m)
{
    uint32_t changed = changed_folders(m);

    return m->count > changed ? &m->folders[changed] : NULL;
}

void engine_refuse(engine_t *e, const wire_message_t *m, int result)
{
    const wire_folder_t *source = engine_source(m);
    wire_message_t answer = {.type = WIRE_ANSWER,
                             .request = m->request,
                             .result = result,
                             .folders = source,
                             .count = source != NULL,
                             .memo = m->memo,
                             .size = m->size,
                             .redeliveries = m->redeliveries};

    engine_tell(e, m->client, &answer);
}

/* ---- requests -------------------------------------------------------------------------------------------- */

request_t *request_find(engine_t *e, uint32_t client, uint64_t id)
{
    request_t *r = NULL, key = {.key = {.id = id, .client = client}};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
    HASH_FIND(hh, e->requests, &key.key, sizeof key.key, r);
#pragma GCC diagnostic pop
    return r;
}

request_t *request_new(engine_t *e, const wire_message_t *m, uint32_t count)
{
    client_state_t *c = engine_client(e, m->client);
    request_t *r = calloc(1, sizeof *r + count * sizeof r->gets[0]);

    if (r == NULL)
        return NULL;
    r->key.id = m->request;
    r->key.client = m->client;
    r->type = m->type;
    r->flags = m->flags;
    r->how = m->how;
    r->count = count;
    r->late = e->frozen;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
    HASH_ADD(hh, e->requests, key, sizeof r->key, r);
#pragma GCC diagnostic pop
    if (r->hh.tbl == NULL) {
        free(r);
        return NULL;
    }
    r->next = c->requests;
    if (r->next != NULL)
        r->next->previous = r;
    c->requests = r;
    return r;
}

/* A put that waited for room goes back; of any other request there is nothing to go back. */
void request_refuse(engine_t *e, request_t *r, int result)
{
    bool put = r->memo != NULL && r->all != NULL;
    wire_message_t m = {.type = WIRE_ANSWER,
                        .request = r->key.id,
                        .result = result,
                        .folders = put ? r->all : NULL,
                        .count = put,
                        .memo = r->memo,
                        .size = r->size};

    r->memo = NULL;
    engine_tell(e, (uint32_t)r->key.client, &m);
}

static void leave_room_queue(request_t *r)
{
    folder_t *f = r->room;
    request_t *at = f->room_first, *before = NULL;

    while (at != r) {
        before = at;
        at = at->next_room;
    }
    *(before != NULL ? &before->next_room : &f->room_first) = r->next_room;
    if (f->room_last == r)
        f->room_last = before;
}

static void unlink_gets(engine_t *e, request_t *r)
{
    bool watches = r->type == WIRE_JOIN || r->type == WIRE_WATCH;
    get_list_t list = watches ? GET_WATCHER : (r->flags & WIRE_COPY) != 0 ? GET_COPIER : GET_TAKER;
    uint32_t i;

    for (i = 0; i < r->count; i++)
        get_unlink(&e->directory, &r->gets[i], list);
}

/* Its get structures go, but not what it was given. */
void request_unlink(engine_t *e, request_t *r)
{
    unlink_gets(e, r);
}

static void unlock_folders(engine_t *e, request_t *r)
{
    uint32_t i;

    for (i = 0; i < r->count; i++) {
        folder_t *f = r->gets[i].folder;
        if (f == NULL || f->locked != r)
            continue;
        f->locked = NULL;
        e->locked--;
        directory_touch(&e->directory, f);
    }
}

void request_over(engine_t *e, request_t *r)
{
    client_state_t *c = engine_client(e, (uint32_t)r->key.client);
    entry_t *held;

    if (r->state == REQUEST_CHAIN || r->state == REQUEST_PASSED)
        unlock_folders(e, r);
    else
        unlink_gets(e, r);
    while ((held = r->held) != NULL) {
        r->held = held->next_held;
        directory_touch(&e->directory, held->folder);
        entry_unlatch(&e->directory, held);
    }
    if (r->clone != NULL)
        e->io.free(e->io.arg, r->clone);
    if (r->room != NULL) {
        leave_room_queue(r);
        directory_touch(&e->directory, r->room);
    }
    if (r->memo != NULL)
        e->io.free(e->io.arg, r->memo);
    HASH_DEL(e->requests, r);
    *(r->previous != NULL ? &r->previous->next : &c->requests) = r->next;
    if (r->next != NULL)
        r->next->previous = r->previous;
    free(r->all);
    free(r);
}

/* ---- deferring ------------------------------------------------------------------------------------------- */

/* What a chain's lock holds up: everything that changes a folder, but for ACCEPT and RELEASE. */
static bool waits_for_locks(wire_type_t type)
{
    switch (type) {
    case WIRE_PUT:
    case WIRE_RETURN:
    case WIRE_DELAY:
    case WIRE_SELECT:
    case WIRE_JOIN:
    case WIRE_LATCH:
    case WIRE_LINK:
    case WIRE_GATHER:
    case WIRE_WATCH:
    case WIRE_CHAIN:
    case WIRE_NEXT:
    case WIRE_LIMIT:
    case WIRE_HOLD:
    case WIRE_FIRE:
        return true;
    default:
        return false;
    }
}

static folder_t *locked_folder(engine_t *e, const wire_message_t *m)
{
    uint32_t changed = changed_folders(m), i;

    for (i = 0; i < changed; i++) {
        folder_t *f = directory_find(&e->directory, &m->folders[i].name);
        if (f != NULL && f->locked != NULL)
            return f;
    }
    return NULL;
}

static bool defer(engine_t *e, const wire_message_t *m)
{
    folder_t *f = e->locked > 0 && waits_for_locks(m->type) ? locked_folder(e, m) : NULL;
    deferred_t *d;

    if (f == NULL)
        return false;
    d = deferred_new(m);
    *(f->deferred_last != NULL ? &f->deferred_last->next : &f->deferred_first) = d;
    f->deferred_last = d;
    e->directory.deferred++;
    return true;
}

static deferred_t *take_deferred(engine_t *e, folder_t *f, deferred_t *before, deferred_t *d)
{
    *(before != NULL ? &before->next : &f->deferred_first) = d->next;
    if (f->deferred_last == d)
        f->deferred_last = before;
    e->directory.deferred--;
    directory_touch(&e->directory, f);
    return d;
}

typedef bool (*deferred_match_t)(const wire_message_t *m, uint32_t client, uint64_t request);

static deferred_t *find_deferred(engine_t *e, deferred_match_t match, uint32_t client, uint64_t request)
{
    folder_t *f;
    deferred_t *d, *before;

    if (e->directory.deferred == 0)
        return NULL;
    for (f = e->directory.folders; f != NULL; f = f->hh.next)
        for (before = NULL, d = f->deferred_first; d != NULL; before = d, d = d->next)
            if (match(&d->message, client, request))
                return take_deferred(e, f, before, d);
    return NULL;
}

/* Requests of a client that nobody else speaks of. */
static bool is_own(const wire_message_t *m, uint32_t client)
{
    return m->client == client && m->type != WIRE_NEXT && m->type != WIRE_HOLD && m->type != WIRE_FIRE &&
           m->type != WIRE_RETURN;
}

static bool match_request(const wire_message_t *m, uint32_t client, uint64_t request)
{
    return is_own(m, client) && m->request == request;
}

/* A select or join, of which nothing is known elsewhere, and nothing lost. */
static bool match_select(const wire_message_t *m, uint32_t client, uint64_t request)
{
    return match_request(m, client, request) && m->memo == NULL && m->type != WIRE_CHAIN && m->type != WIRE_LIMIT;
}

static bool match_any(const wire_message_t *m, uint32_t client, uint64_t puts_too)
{
    return is_own(m, client) && (puts_too != 0 || (m->type != WIRE_PUT && m->type != WIRE_DELAY));
}

deferred_t *engine_undefer(engine_t *e, uint32_t client, uint64_t request)
{
    return find_deferred(e, match_select, client, request);
}

void engine_cancel_deferred(engine_t *e, uint32_t client, uint64_t request)
{
    const folder_t *f;
    deferred_t *d;

    for (f = e->directory.deferred > 0 ? e->directory.folders : NULL; f != NULL; f = f->hh.next)
        for (d = f->deferred_first; d != NULL; d = d->next)
            if (match_request(&d->message, client, request))
                d->cancelled = true;
}

deferred_t *engine_undefer_any(engine_t *e, uint32_t client, bool puts_too)
{
    return find_deferred(e, match_any, client, puts_too);
}

/* ---- dispatch -------------------------------------------------------------------------------------------- */

typedef struct handler {
    void (*handle)(engine_t *e, const wire_message_t *m);
    bool living; /* only of clients that have neither left nor died */
    bool begins; /* its request is one that is not there yet */
} handler_t;

/* For who carries messages alone. */
static void on_received(engine_t *e, const wire_message_t *m)
{
    (void)e;
    (void)m;
}

/* What sense.c lets through. */
static const handler_t handlers[WIRE_TYPES] = {
    [WIRE_PUT] = {on_put, false, true},
    [WIRE_RETURN] = {on_return, false, false},
    [WIRE_DELAY] = {on_delay, false, false},
    [WIRE_SELECT] = {on_select, true, true},
    [WIRE_LATCH] = {on_select, true, true},
    [WIRE_LINK] = {on_select, true, true},
    [WIRE_UNLINK] = {on_unlink, true, false},
    [WIRE_ACCEPT] = {on_accept, true, false},
    [WIRE_RELEASE] = {on_release, true, false},
    [WIRE_CANCEL] = {on_cancel, true, false},
    [WIRE_JOIN] = {on_join, true, true},
    [WIRE_WATCH] = {on_join, true, true},
    [WIRE_GATHER] = {on_gather, true, true},
    [WIRE_CHAIN] = {on_chain, true, true},
    [WIRE_NEXT] = {on_chain, false, true},
    [WIRE_UNLOCK] = {on_unlock, false, false},
    [WIRE_LIMIT] = {on_limit, true, false},
    [WIRE_COUNT] = {on_count, true, false},
    [WIRE_STAT] = {on_stat, true, false},
    [WIRE_EACH] = {on_each, true, false},
    [WIRE_LEAVE] = {on_leave, true, false},
    [WIRE_BYE] = {on_bye, true, false},
    [WIRE_GONE] = {on_gone, false, false},
    [WIRE_RECEIVED] = {on_received, true, false},
    [WIRE_DROP] = {on_drop, false, false},
    [WIRE_HOLD] = {on_hold, false, false},
    [WIRE_UNRESERVE] = {on_unreserve, false, false},
    [WIRE_FIRE] = {on_fire, false, false},
    [WIRE_FIRED] = {on_fired, false, false},
    [WIRE_IDLE] = {on_quiet, true, false},
    [WIRE_WITHDRAW] = {on_quiet, true, false},
    [WIRE_PROBE] = {on_quiet, false, false},
    [WIRE_PROBED] = {on_quiet, false, false},
    [WIRE_FREEZE] = {on_quiet, false, false},
    [WIRE_FROZEN] = {on_quiet, false, false},
    [WIRE_COMMIT] = {on_quiet, false, false},
    [WIRE_COMMITTED] = {on_quiet, false, false},
    [WIRE_THAW] = {on_quiet, false, false},
    [WIRE_AGAIN] = {on_quiet, false, false},
};

static void count_quiet(engine_t *e, const wire_message_t *m)
{
    client_state_t *c = engine_client(e, m->from);

    if ((m->flags & WIRE_UNTIL_QUIET) != 0 && c != NULL)
        c->asked += wire_weight(m->client, e->self);
    if ((m->flags & WIRE_PHASE) != 0 && m->from >= e->servers)
        e->figures.strict_phases++;
}

static void dispatch(engine_t *e, const wire_message_t *m)
{
    const handler_t *h = &handlers[m->type];
    const client_state_t *c = engine_client(e, m->client);

    if (h->living && (c == NULL || c->left || c->gone)) {
        if (m->memo != NULL)
            e->io.free(e->io.arg, m->memo);
        return;
    }
    if (defer(e, m))
        return;
    if (h->begins && c->requests != NULL && request_find(e, m->client, m->request) != NULL)
        refuse_nonsense(e, m);
    else
        h->handle(e, m);
}

/* ---- settling -------------------------------------------------------------------------------------------- */

static void replay_one(engine_t *e, folder_t *f)
{
    deferred_t *d = take_deferred(e, f, NULL, f->deferred_first);
    wire_message_t m = d->message;

    dispatch(e, &m);
    if (d->cancelled)
        on_cancel(e, &m);
    free(d);
}

static void settle(engine_t *e, folder_t *f)
{
    do {
        while (select_serve(e, f))
            ;
        if (f->memos == 0)
            select_emptied(e, f);
    } while (f->locked == NULL && put_room(e, f));
    join_look(e, f);
    if (f->locked != NULL && f->locked->state == REQUEST_CHAIN)
        chain_look(e, f->locked);
    if (f->locked == NULL && f->deferred_first != NULL)
        replay_one(e, f);
    directory_drop_if_idle(&e->directory, f);
}

void engine_settle(engine_t *e)
{
    folder_t *f;

    if (e->settling)
        return; /* a message that was deferred: whoever replays it settles */
    e->settling = true;
    while ((f = directory_dirty(&e->directory)) != NULL)
        settle(e, f);
    e->settling = false;
}

static void receive_own(engine_t *e)
{
    deferred_t *d = e->own_first;

    e->own_first = d->next;
    if (e->own_first == NULL)
        e->own_last = NULL;
    dispatch(e, &d->message);
    free(d);
    engine_settle(e);
}

void engine_drops(engine_t *e)
{
    e->drops = true;
}

void engine_redelivers(engine_t *e, uint32_t most, const memo_folder_t *letters)
{
    e->redelivers_most = most;
    e->redelivers_limited = true;
    if (letters != NULL)
        e->letters = *letters;
}

void engine_receive(engine_t *e, const wire_message_t *message)
{
    if (message->from >= e->servers)
        count_message(e, message);
    if (makes_sense(e, message)) {
        count_quiet(e, message);
        dispatch(e, message);
    } else
        refuse_nonsense(e, message);
    engine_settle(e);
    while (e->own_first != NULL)
        receive_own(e);
    quiet_changed(e);
    while (e->own_first != NULL)
        receive_own(e);
}

/* ---- making and looking ---------------------------------------------------------------------------------- */

engine_t *engine_new(uint32_t self, uint32_t servers, uint32_t clients, const engine_io_t *io)
{
    engine_t *e = calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    e->self = self;
    e->servers = servers;
    e->clients = e->present = clients;
    e->io = *io;
    e->client = calloc(clients + 1, sizeof *e->client);
    e->reports = calloc(clients + 1, sizeof *e->reports);
    e->fallen = calloc(servers, sizeof *e->fallen);
    e->knows = calloc((size_t)servers * servers, sizeof *e->knows);
    if (e->client == NULL || e->reports == NULL || e->fallen == NULL || e->knows == NULL) {
        engine_free(e);
        return NULL;
    }
    return e;
}

static void free_folder(engine_t *e, folder_t *f)
{
    entry_t *entry;
    delayed_t *delayed;
    deferred_t *d;

    while ((entry = f->queue.first) != NULL) {
        entry_remove(&e->directory, entry);
        e->io.free(e->io.arg, entry->memo);
        free(entry);
    }
    while ((delayed = f->delayed_first) != NULL) {
        f->delayed_first = delayed->next;
        e->io.free(e->io.arg, delayed->memo);
        free(delayed);
    }
    while ((d = f->deferred_first) != NULL) {
        f->deferred_first = d->next;
        deferred_free(e, d);
    }
    while (f->reserved_first != NULL)
        folder_unreserve(f, f->reserved_first->server, f->reserved_first->size);
    HASH_DEL(e->directory.folders, f);
    free(f);
}

void engine_free(engine_t *e)
{
    while (e->requests != NULL)
        request_over(e, e->requests);
    while (e->directory.folders != NULL)
        free_folder(e, e->directory.folders);
    while (e->own_first != NULL) {
        deferred_t *d = e->own_first;
        e->own_first = d->next;
        deferred_free(e, d);
    }
    while (e->causes != NULL) {
        cause_t *cause = e->causes;
        e->causes = cause->next;
        free(cause);
    }
    free(e->client);
    free(e->reports);
    free(e->fallen);
    free(e->knows);
    free(e);
}

bool engine_finished(const engine_t *e)
{
    return e->present == 0;
}

/* Whether a select waits beside a memo that it could have. */
static bool unserved(const engine_t *e, const folder_t *f)
{
    const get_t *g;
    int list;

    if (entry_first_free(f) == NULL)
        return false;
    for (list = GET_TAKER; list <= GET_COPIER; list++)
        for (g = f->gets[list].first; g != NULL; g = g->next)
            if (!quiet_frozen(e, g->request))
                return true;
    return false;
}

void engine_look(const engine_t *e, engine_figures_t *figures)
{
    const folder_t *f;

    *figures = e->figures;
    figures->folders = directory_folders(&e->directory);
    figures->memos = e->directory.memos;
    figures->bytes = e->directory.bytes;
    figures->waiters = e->directory.waiters;
    figures->requests = HASH_COUNT(e->requests);
    figures->latches = e->directory.latched;
    figures->locked = e->locked;
    figures->deferred = e->directory.deferred;
    figures->delayed = e->directory.delayed;
    figures->unserved = 0;
    for (f = e->directory.folders; f != NULL; f = f->hh.next)
        figures->unserved += unserved(e, f);
}
