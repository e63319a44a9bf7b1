/*
 * put.c - what comes into folders: puts, memos that go back, delayed puts; and limits.
 *
 * A delayed put goes by the target's server, which reserves room and holds its target, to the trigger's, which
 * keeps it until the trigger holds a memo and then fires it into the target. A put that fires others is
 * acknowledged once all of them have taken effect, and what they fired in turn (cause_t): whoever put the trigger's
 * memo finds the target's.
 */
#include "servers/parts.h"

#include <stdlib.h>
#include <string.h>

static bool server_peer(const engine_t *e, uint32_t peer)
{
    return peer < e->servers;
}

/* ---- causes ---------------------------------------------------------------------------------------------- */

static void cause_told(engine_t *e, const causer_t *c)
{
    wire_message_t m = {.type = WIRE_FIRED, .number = {c->parent}};

    if (c->silent)
        return;
    if (server_peer(e, c->to))
        engine_send(e, c->to, &m);
    else
        engine_answer(e, c->to, c->request, MEMO_OK);
}

/* Who is to be told of what a message caused. */
static causer_t cause_of(const engine_t *e, const wire_message_t *m)
{
    causer_t c = {.to = m->client, .request = m->request, .silent = (m->flags & WIRE_NO_ANSWER) != 0};

    if (m->type == WIRE_FIRE && server_peer(e, m->from)) {
        c.to = m->from;
        c.parent = m->number[0];
    }
    return c;
}

static uint32_t target_of(const engine_t *e, const delayed_t *d)
{
    return wire_server_of(&d->target, e->servers);
}

static void fire_one(engine_t *e, const delayed_t *d, uint64_t cause)
{
    wire_folder_t target = {.name = d->target};
    wire_message_t m = {.type = WIRE_FIRE,
                        .folders = &target,
                        .count = 1,
                        .memo = d->memo,
                        .size = d->size,
                        .number = {cause},
                        .client = e->self};

    engine_send(e, target_of(e, d), &m);
}

static cause_t *cause_new(engine_t *e, const causer_t *by)
{
    cause_t *c = engine_must_have(sizeof *c + e->servers * sizeof c->at[0]);

    *c = (cause_t){.next = e->causes, .id = ++e->last_cause, .by = *by};
    memset(c->at, 0, e->servers * sizeof c->at[0]);
    e->causes = c;
    return c;
}

/* Fires all that waited for the folder, and tells who caused it when that has taken effect. */
static void fire_all(engine_t *e, folder_t *f, const causer_t *by)
{
    cause_t *c = cause_new(e, by);
    delayed_t *d;

    while ((d = f->delayed_first) != NULL) {
        f->delayed_first = d->next;
        c->pending++;
        c->at[target_of(e, d)]++;
        e->directory.delayed--;
        fire_one(e, d, c->id);
        free(d);
    }
    f->delayed_last = NULL;
}

static void cause_over(engine_t *e, cause_t **link)
{
    cause_t *c = *link;

    *link = c->next;
    cause_told(e, &c->by);
    free(c);
}

void on_fired(engine_t *e, const wire_message_t *m)
{
    cause_t **link = &e->causes, *c;

    while (*link != NULL && (*link)->id != m->number[0])
        link = &(*link)->next;
    c = *link;
    if (c == NULL || c->at[m->from] == 0)
        return;
    c->at[m->from]--;
    if (--c->pending == 0)
        cause_over(e, link);
}

void put_causes_lost(engine_t *e, uint32_t server)
{
    cause_t **link = &e->causes, *c;

    while ((c = *link) != NULL) {
        bool lost = c->at[server] > 0;
        c->pending -= c->at[server];
        c->at[server] = 0;
        if (lost && c->pending == 0)
            cause_over(e, link);
        else
            link = &c->next;
    }
}

void put_drop_delayed(engine_t *e, folder_t *f, uint32_t server)
{
    delayed_t **link = &f->delayed_first, *d;

    f->delayed_last = NULL;
    while ((d = *link) != NULL) {
        if (target_of(e, d) != server) {
            f->delayed_last = d;
            link = &d->next;
            continue;
        }
        *link = d->next;
        e->directory.delayed--;
        e->figures.dropped++;
        e->io.free(e->io.arg, d->memo);
        free(d);
        directory_touch(&e->directory, f);
    }
}

/* ---- arriving -------------------------------------------------------------------------------------------- */

/* The entry comes into the folder: waiters are served, delayed puts fire, and then the one who sent it is told. */
static void arrive(engine_t *e, folder_t *f, entry_t *entry, bool at_head, const wire_message_t *m)
{
    causer_t c = cause_of(e, m);

    entry_insert(&e->directory, f, entry, at_head);
    directory_touch(&e->directory, f);
    if (f->delayed_first != NULL)
        fire_all(e, f, &c);
    else {
        engine_settle(e); /* who waits for it has waited longer than who put it */
        cause_told(e, &c);
    }
}

/* The folder and the entry that a memo needs; NULL: no memory, nothing has happened. */
static entry_t *prepare(engine_t *e, const memo_folder_t *name, const wire_message_t *m, folder_t **f)
{
    entry_t *entry = entry_new(m->memo, m->size, 0);

    *f = entry != NULL ? directory_get(&e->directory, name) : NULL;
    if (*f == NULL) {
        free(entry);
        return NULL;
    }
    return entry;
}

/* For a memo that nobody would take back. */
static entry_t *must_prepare(engine_t *e, const memo_folder_t *name, const wire_message_t *m, folder_t **f)
{
    entry_t *entry;

    while ((entry = prepare(e, name, m, f)) == NULL)
        engine_wait_for_memory();
    return entry;
}

static void wait_for_room(engine_t *e, folder_t *f, const wire_message_t *m)
{
    const wire_folder_t *source = engine_source(m);
    wire_folder_t *kept = source != NULL ? malloc(sizeof *kept) : NULL;
    request_t *r = source == NULL || kept != NULL ? request_new(e, m, 0) : NULL;

    if (r == NULL) {
        free(kept);
        engine_refuse(e, m, MEMO_ENOMEM);
        return;
    }
    if (kept != NULL) {
        *kept = *source;
        r->all = kept;
        r->all_count = 1;
    }
    r->state = REQUEST_ROOM;
    r->room = f;
    r->memo = m->memo;
    r->size = m->size;
    *(f->room_last != NULL ? &f->room_last->next_room : &f->room_first) = r;
    f->room_last = r;
}

void on_put(engine_t *e, const wire_message_t *m)
{
    folder_t *f;
    entry_t *entry = prepare(e, &m->folders[0].name, m, &f);
    const client_state_t *c = engine_client(e, m->client);

    if (entry == NULL) {
        engine_refuse(e, m, MEMO_ENOMEM);
        return;
    }
    if (!folder_has_room(f, m->size)) {
        free(entry);
        if ((m->flags & WIRE_WAIT) != 0 && !c->left && !c->gone)
            wait_for_room(e, f, m);
        else
            engine_refuse(e, m, MEMO_EFULL);
        return;
    }
    e->figures.puts++;
    arrive(e, f, entry, false, m);
}

bool put_room(engine_t *e, folder_t *f)
{
    request_t *r = f->room_first;
    entry_t *entry;
    wire_message_t m = {.type = WIRE_PUT};

    if (r == NULL || !folder_has_room(f, r->size))
        return false;
    m.client = (uint32_t)r->key.client;
    m.request = r->key.id;
    while ((entry = entry_new(r->memo, r->size, 0)) == NULL)
        engine_wait_for_memory();
    r->memo = NULL;
    request_over(e, r);
    e->figures.puts++;
    entry_insert(&e->directory, f, entry, false);
    if (f->delayed_first != NULL) {
        causer_t c = cause_of(e, &m);
        fire_all(e, f, &c);
    } else
        engine_answer(e, m.client, m.request, MEMO_OK);
    return true;
}

/* ---- going back ------------------------------------------------------------------------------------------ */

static bool has_letters(const engine_t *e)
{
    return memo_folder_valid(&e->letters);
}

/* It was redelivered as often as it may be. What comes from the dead letters goes back there, however often; and as
 * if there was no limit, what could not go there because their server has died. */
static bool is_spent(const engine_t *e, const wire_message_t *m)
{
    return e->redelivers_limited && (m->flags & WIRE_REDELIVERED) != 0 && m->redeliveries >= e->redelivers_most &&
           !(has_letters(e) && (memcmp(&m->folders[0].name, &e->letters, sizeof e->letters) == 0 ||
                                e->fallen[wire_server_of(&e->letters, e->servers)]));
}

/* As a cause, it is not quiet before the memo is there. */
static void post_letter(engine_t *e, const wire_message_t *m)
{
    wire_folder_t letters = {.name = e->letters};
    uint32_t to = wire_server_of(&e->letters, e->servers);
    causer_t by = cause_of(e, m);
    cause_t *c = cause_new(e, &by);
    wire_message_t fire = {.type = WIRE_FIRE,
                           .flags = WIRE_REDELIVERED,
                           .folders = &letters,
                           .count = 1,
                           .memo = m->memo,
                           .size = m->size,
                           .redeliveries = m->redeliveries,
                           .number = {c->id},
                           .client = e->self};

    c->pending = 1;
    c->at[to] = 1;
    engine_send(e, to, &fire);
}

static void let_go(engine_t *e, const wire_message_t *m)
{
    causer_t c = cause_of(e, m);

    e->io.free(e->io.arg, m->memo);
    e->figures.dropped++;
    cause_told(e, &c);
}

/* A FIRE to the dead letters: like what goes back, it needs no room. */
static void letter_comes(engine_t *e, const wire_message_t *m)
{
    folder_t *f;
    entry_t *entry = must_prepare(e, &m->folders[0].name, m, &f);

    entry->redeliveries = m->redeliveries + 1;
    e->figures.letters++;
    arrive(e, f, entry, false, m);
}

void on_return(engine_t *e, const wire_message_t *m)
{
    folder_t *f;
    entry_t *entry;

    if (is_spent(e, m)) {
        if (has_letters(e))
            post_letter(e, m);
        else
            let_go(e, m);
        return;
    }
    entry = must_prepare(e, &m->folders[0].name, m, &f);
    entry->redeliveries = m->redeliveries;
    if ((m->flags & WIRE_REDELIVERED) != 0) {
        entry->redeliveries++;
        e->figures.redelivered++;
    }
    arrive(e, f, entry, true, m);
}

void on_limit(engine_t *e, const wire_message_t *m)
{
    folder_t *f = directory_get(&e->directory, &m->folders[0].name);

    if (f == NULL) {
        engine_answer(e, m->client, m->request, MEMO_ENOMEM);
        return;
    }
    f->limit_memos = m->number[0];
    f->limit_bytes = m->number[1];
    directory_touch(&e->directory, f); /* there may be room now, or no reason to keep it */
    engine_answer(e, m->client, m->request, MEMO_OK);
}

/* ---- delayed puts ---------------------------------------------------------------------------------------- */

/* At the target's server: room is reserved, and the put goes on to the trigger's. */
void on_delay(engine_t *e, const wire_message_t *m)
{
    folder_t *f = directory_get(&e->directory, &m->folders[1].name);
    uint32_t trigger = wire_server_of(&m->folders[0].name, e->servers);
    bool room = f != NULL && folder_has_room(f, m->size), fallen = server_fallen(e, trigger);
    wire_message_t hold = *m;

    if (fallen || !room || !folder_reserve(f, trigger, m->size)) {
        if (f != NULL)
            directory_touch(&e->directory, f);
        engine_refuse(e, m, fallen ? MEMO_EPEER : f == NULL || room ? MEMO_ENOMEM : MEMO_EFULL);
        return;
    }
    hold.type = WIRE_HOLD;
    hold.number[0] = m->size;
    engine_send(e, trigger, &hold);
}

/* At the trigger's: it waits there, or fires at once. It is not refused while the target's server lives: who
 * brought it there asks that one what has become of it (loop_back.c). */
void on_hold(engine_t *e, const wire_message_t *m)
{
    delayed_t *d;
    folder_t *f;

    if (server_fallen(e, m->from)) { /* it was the target's */
        engine_refuse(e, m, MEMO_EPEER);
        return;
    }
    while ((f = directory_get(&e->directory, &m->folders[0].name)) == NULL)
        engine_wait_for_memory();
    d = engine_must_have(sizeof *d);
    *d = (delayed_t){.target = m->folders[1].name, .memo = m->memo, .size = m->size};
    *(f->delayed_last != NULL ? &f->delayed_last->next : &f->delayed_first) = d;
    f->delayed_last = d;
    e->directory.delayed++;
    if (f->memos > 0) {
        causer_t c = cause_of(e, m);
        fire_all(e, f, &c);
    } else
        engine_answer(e, m->client, m->request, MEMO_OK);
}

void on_drop(engine_t *e, const wire_message_t *m)
{
    (void)m;
    e->figures.dropped++;
}

void on_unreserve(engine_t *e, const wire_message_t *m)
{
    folder_t *f = directory_find(&e->directory, &m->folders[0].name);

    if (f != NULL && folder_unreserve(f, m->from, m->number[0]))
        directory_touch(&e->directory, f);
}

/* That of a FIRE, which has room for it; NULL: it was never reserved. A server's last words may come when its
 * promise has ended with it. */
static folder_t *promised_folder(engine_t *e, const wire_message_t *m)
{
    folder_t *f = directory_find(&e->directory, &m->folders[0].name);

    if (f != NULL && folder_unreserve(f, m->from, m->size))
        return f;
    if (!server_fallen(e, m->from))
        return NULL;
    f = directory_get(&e->directory, &m->folders[0].name);
    return f != NULL && folder_has_room(f, m->size) ? f : NULL;
}

/* At the target's again: into the room that was reserved. */
void on_fire(engine_t *e, const wire_message_t *m)
{
    folder_t *f;
    entry_t *entry;

    if ((m->flags & WIRE_REDELIVERED) != 0) {
        letter_comes(e, m);
        return;
    }
    f = promised_folder(e, m);
    if (f == NULL) {
        let_go(e, m);
        return;
    }
    entry = must_prepare(e, &f->name, m, &f);
    e->figures.puts++;
    arrive(e, f, entry, false, m);
}
