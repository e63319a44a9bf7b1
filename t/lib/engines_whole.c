/*
 * engines_whole.c - what must be so of an engine between messages (engines_whole.h).
 */
#include "t/lib/engines_whole.h"

#include <stdio.h>
#include <string.h>

#include "servers/parts.h"

typedef struct look {
    const engine_t *e;
    char *why;
    size_t size;
    bool wrong;
    uint64_t memos, bytes, latched, waiters, deferred, delayed, locked;
} look_t;

#define CHECK(l, holds, ...)                                                                                       \
    do {                                                                                                           \
        if (!(holds) && !(l)->wrong) {                                                                             \
            snprintf((l)->why, (l)->size, __VA_ARGS__);                                                            \
            (l)->wrong = true;                                                                                     \
        }                                                                                                          \
    } while (0)

static bool is_live(const engine_t *e, const request_t *request)
{
    for (const request_t *r = e->requests; r != NULL; r = r->hh.next) {
        if (r == request) {
            return true;
        }
    }
    return false;
}

/* ---- a folder ---------------------------------------------------------------------------------------------- */

static bool holds(const request_t *r, const entry_t *entry)
{
    for (const entry_t *held = r->held; held != NULL; held = held->next_held) {
        if (held == entry) {
            return true;
        }
    }
    return false;
}

static void look_at_queue(look_t *l, const folder_t *f)
{
    uint64_t memos = 0, bytes = 0, latched = 0;
    const entry_t *before = NULL;
    for (const entry_t *entry = f->queue.first; entry != NULL; before = entry, entry = entry->next) {
        CHECK(l, entry->folder == f && entry->previous == before && entry->memo != NULL, "an entry is misplaced");
        CHECK(l, entry->latch == NULL || (is_live(l->e, entry->latch) && holds(entry->latch, entry)),
              "a memo is latched for a request that has it not");
        memos++;
        bytes += entry->size;
        latched += entry->latch != NULL;
    }
    CHECK(l, f->queue.last == before, "the queue ends elsewhere");
    CHECK(l, f->memos == memos && f->bytes == bytes && f->latched == latched, "a folder's memos are miscounted");
    l->memos += memos;
    l->bytes += bytes;
    l->latched += latched;
}

static void look_at_gets(look_t *l, const folder_t *f)
{
    uint64_t waiters = 0;
    for (int list = 0; list < GET_LISTS; list++) {
        const get_t *before = NULL;
        for (const get_t *g = f->gets[list].first; g != NULL; before = g, g = g->next) {
            CHECK(l, g->linked && g->folder == f && g->previous == before, "a get structure is misplaced");
            CHECK(l, is_live(l->e, g->request), "a get structure of no request");
            waiters++;
        }
        CHECK(l, f->gets[list].last == before, "the list of get structures ends elsewhere");
    }
    CHECK(l, f->waiters == waiters, "a folder's get structures are miscounted");
    l->waiters += waiters;
}

static bool names(const request_t *r, const folder_t *f)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->gets[i].folder == f) {
            return true;
        }
    }
    return false;
}

static void look_at_room(look_t *l, const folder_t *f)
{
    uint64_t memos = 0, bytes = 0;
    const reserve_t *last = NULL;
    for (const reserve_t *r = f->reserved_first; r != NULL; last = r, r = r->next) {
        memos++;
        bytes += r->size;
    }
    CHECK(l, f->reserved_last == last && f->reserved_memos == memos && f->reserved_bytes == bytes,
          "the room that is reserved is miscounted");
}

static void look_at_rest(look_t *l, const folder_t *f)
{
    const request_t *last = NULL;
    for (const request_t *r = f->room_first; r != NULL; last = r, r = r->next_room) {
        CHECK(l, is_live(l->e, r) && r->state == REQUEST_ROOM && r->room == f && r->memo != NULL,
              "what waits for room is no put");
    }
    CHECK(l, f->room_last == last, "the queue for room ends elsewhere");
    for (const delayed_t *d = f->delayed_first; d != NULL; d = d->next) {
        l->delayed++;
    }
    for (const deferred_t *d = f->deferred_first; d != NULL; d = d->next) {
        l->deferred++;
    }
    CHECK(l, f->deferred_first == NULL || f->locked != NULL, "messages wait for a lock that is not there");
    CHECK(l, f->delayed_first == NULL || f->memos == 0, "a delayed put did not fire");
    look_at_room(l, f);
    CHECK(l,
          f->locked == NULL || (is_live(l->e, f->locked) && names(f->locked, f) &&
                                (f->locked->state == REQUEST_CHAIN || f->locked->state == REQUEST_PASSED)),
          "a folder is locked by what is no chain of it");
    CHECK(l, !f->dirty && f->wanted == 0, "a folder was not settled");
    l->locked += f->locked != NULL;
}

/* ---- a request --------------------------------------------------------------------------------------------- */

static bool in_list(const client_state_t *c, const request_t *request)
{
    for (const request_t *r = c->requests; r != NULL; r = r->next) {
        if (r == request) {
            return true;
        }
    }
    return false;
}

static void look_at_request(look_t *l, const request_t *r)
{
    const engine_t *e = l->e;
    bool client = r->key.client >= e->servers && r->key.client < e->servers + e->clients;
    CHECK(l, client && in_list(&e->client[r->key.client - e->servers], r), "a request is not in its client's list");
    for (const entry_t *held = r->held; held != NULL; held = held->next_held) {
        CHECK(l, held->latch == r, "a request holds what is not latched for it");
    }
    CHECK(l, (r->state == REQUEST_HELD) == (r->held != NULL || r->clone != NULL), "a request that holds nothing");
    CHECK(l, (r->state == REQUEST_ROOM) == (r->memo != NULL), "a put without a memo waits for room");
    if (r->state == REQUEST_CHAIN || r->state == REQUEST_PASSED) {
        for (uint32_t i = 0; i < r->count; i++) {
            CHECK(l, r->gets[i].folder->locked == r, "a chain has not locked its folder");
        }
    }
}

bool engine_is_whole(const engine_t *e, char *why, size_t size)
{
    look_t l = {.e = e, .why = why, .size = size};
    engine_figures_t figures;
    for (const folder_t *f = e->directory.folders; f != NULL; f = f->hh.next) {
        look_at_queue(&l, f);
        look_at_gets(&l, f);
        look_at_rest(&l, f);
    }
    for (const request_t *r = e->requests; r != NULL; r = r->hh.next) {
        look_at_request(&l, r);
    }
    engine_look(e, &figures);
    CHECK(&l, figures.memos == l.memos && figures.bytes == l.bytes && figures.latches == l.latched,
          "memos are miscounted");
    CHECK(&l, figures.waiters == l.waiters && figures.locked == l.locked, "get structures or locks are miscounted");
    CHECK(&l, figures.deferred == l.deferred && figures.delayed == l.delayed,
          "what is deferred or delayed is miscounted");
    CHECK(&l, figures.unserved == 0, "a select waits beside a memo that it could have");
    CHECK(&l, e->own_first == NULL && e->directory.dirty_first == NULL, "something was left undone");
    return !l.wrong;
}

uint64_t engine_memos(const engine_t *e)
{
    uint64_t n = 0;
    for (const folder_t *f = e->directory.folders; f != NULL; f = f->hh.next) {
        n += f->memos;
        for (const delayed_t *d = f->delayed_first; d != NULL; d = d->next) {
            n++;
        }
        for (const deferred_t *d = f->deferred_first; d != NULL; d = d->next) {
            n += d->message.memo != NULL;
        }
    }
    for (const request_t *r = e->requests; r != NULL; r = r->hh.next) {
        n += r->memo != NULL;
        n += r->clone != NULL;
    }
    return n;
}

/* ---- whether it has changed -------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t digest, uint64_t more)
{
    digest = (digest ^ more) * UINT64_C(0x9e3779b97f4a7c15);
    return digest ^ digest >> 29;
}

static uint64_t mix_request(uint64_t digest, const request_t *r)
{
    return r == NULL ? mix(digest, 1) : mix(mix(digest, r->key.id), r->key.client);
}

static uint64_t digest_of_folder(const folder_t *f, uint64_t (*number)(const wire_memo_t *memo))
{
    uint64_t d = f->name.hash;
    for (const entry_t *entry = f->queue.first; entry != NULL; entry = entry->next) {
        d = mix_request(mix(mix(d, number(entry->memo)), entry->redeliveries), entry->latch);
    }
    for (int list = 0; list < GET_LISTS; list++) {
        for (const get_t *g = f->gets[list].first; g != NULL; g = g->next) {
            d = mix_request(mix(d, g->index), g->request);
        }
    }
    for (const request_t *r = f->room_first; r != NULL; r = r->next_room) {
        d = mix_request(mix(d, number(r->memo)), r);
    }
    for (const delayed_t *delayed = f->delayed_first; delayed != NULL; delayed = delayed->next) {
        d = mix(mix(d, number(delayed->memo)), delayed->target.hash);
    }
    for (const deferred_t *deferred = f->deferred_first; deferred != NULL; deferred = deferred->next) {
        d = mix(mix(mix(d, deferred->message.request), (uint64_t)deferred->message.type), deferred->cancelled);
    }
    for (const reserve_t *r = f->reserved_first; r != NULL; r = r->next) {
        d = mix(mix(d, r->server), r->size);
    }
    d = mix(mix(d, f->limit_memos), f->limit_bytes);
    return mix_request(d, f->locked);
}

uint64_t engine_digest(const engine_t *e, uint64_t (*number)(const wire_memo_t *memo))
{
    uint64_t digest = e->present + e->frozen;
    for (const folder_t *f = e->directory.folders; f != NULL; f = f->hh.next) {
        digest += folder_idle(f) ? 0 : digest_of_folder(f, number);
    }
    for (const request_t *r = e->requests; r != NULL; r = r->hh.next) {
        digest += mix_request(mix(mix(3, (uint64_t)r->state), (uint64_t)r->type), r);
    }
    return digest;
}
