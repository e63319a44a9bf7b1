/*
 * select.c - selects at one server: taken or copied at once, waiting, and latched (mpi-latch).
 *
 * Messages of an operation that nobody disturbs, from and to the client, for folders on k servers (t/engines.c):
 *
 *   - put; get, skip, copy; anything over folders of one server (k = 1): 2. Who waits and gives up: 3
 *   - alt: 2k + 2 where one server has a memo, now or later (k LATCH, HELD, ACCEPT, ANSWER, k - 1 RELEASE);
 *     3k + 1 where all have one (k - 1 HELD more)
 *   - alt that finds nothing: skip 2k (k LATCH, k EMPTY); waited and gave up: 3k (k LATCH, k RELEASE, k EMPTY)
 *   - strict skip that finds nothing: 4k, in two phases (k LINK, k EMPTY, k UNLINK, k EMPTY)
 *   - strict skip that finds a memo at once: 3k + 1, in two phases (k LINK, k HELD or EMPTY, then ACCEPT, ANSWER,
 *     k - 1 RELEASE); a third if one comes in between
 *   - join of n folders: 1 + n (k = 1), 3k + n (join.c); chains: chain.c
 *   - delayed put: 2, or 3 where the trigger is another server's; the put that fires it: 2, or 4
 *   - a memo that is taken by a client of another node: one more (RECEIVED), after the call
 *
 * A latch sets a memo aside, in place and in order, for one select that may yet choose another. Whoever is told
 * HELD accepts or releases without waiting for anybody, so no two selects wait for each other. Skips count a
 * latched memo as present: while a skip meets only latched memos, its answer is withheld; so are both answers of a
 * strict skip.
 *
 * A strict skip that was told EMPTY stays linked; if it is given a latch then, it is told HELD at once, not only
 * when it asks in its second phase: two strict skips that each held a latch unknowingly would wait for each other.
 *
 * Between the last EMPTY of the first phase and the first UNLINK of the second lies an instant at which all the
 * folders were empty: each server saw its own empty before, and none has latched anything for it since. What others
 * latched meanwhile, and accepted, counts as taken when it was latched; what they release would be latched for it.
 */
#include "servers/parts.h"

#include <stdlib.h>

static bool copies(const request_t *r)
{
    return (r->flags & WIRE_COPY) != 0;
}

static uint32_t quiet_flag(uint32_t flags)
{
    return flags & WIRE_UNTIL_QUIET;
}

/* ---- answers --------------------------------------------------------------------------------------------- */

void select_give(engine_t *e, uint32_t client, uint64_t request, entry_t *entry, uint32_t index, uint32_t flags)
{
    wire_folder_t from = {.name = entry->folder->name, .index = index};
    wire_message_t m = {.type = WIRE_ANSWER,
                        .flags = quiet_flag(flags),
                        .request = request,
                        .result = MEMO_OK,
                        .index = index,
                        .folders = &from,
                        .count = 1,
                        .memo = entry->memo,
                        .size = entry->size,
                        .redeliveries = entry->redeliveries};

    directory_touch(&e->directory, entry->folder);
    entry_remove(&e->directory, entry);
    free(entry);
    e->figures.takes++;
    engine_tell(e, client, &m);
}

static void give_copy(engine_t *e, uint32_t client, uint64_t request, wire_memo_t *copy, uint64_t size,
                      uint32_t index, uint32_t flags)
{
    wire_message_t m = {.type = WIRE_ANSWER,
                        .flags = quiet_flag(flags),
                        .request = request,
                        .result = MEMO_OK,
                        .index = index,
                        .memo = copy,
                        .size = size};

    e->figures.copies++;
    engine_tell(e, client, &m);
}

static void say(engine_t *e, const request_t *r, wire_type_t type, int result)
{
    wire_message_t m = {.type = type,
                        .flags = quiet_flag(r->flags),
                        .request = r->key.id,
                        .result = result,
                        .client = (uint32_t)r->key.client};

    engine_tell(e, (uint32_t)r->key.client, &m);
}

static void say_to(engine_t *e, const wire_message_t *asked, wire_type_t type, int result)
{
    wire_message_t m = {
        .type = type, .flags = quiet_flag(asked->flags), .request = asked->request, .result = result};

    engine_tell(e, asked->client, &m);
}

/* A skip that finds nothing: the answer of its kind. */
static void say_none(engine_t *e, const wire_message_t *asked)
{
    bool direct = asked->type == WIRE_SELECT;

    say_to(e, asked, direct ? WIRE_ANSWER : WIRE_EMPTY, direct ? MEMO_NONE : MEMO_OK);
}

/* It holds something now, and only that. */
static void hold(engine_t *e, request_t *r)
{
    request_unlink(e, r);
    r->state = REQUEST_HELD;
    say(e, r, WIRE_HELD, MEMO_OK);
}

/* ---- asking ---------------------------------------------------------------------------------------------- */

/* The entry that the select chooses, and which folder of it. */
static entry_t *choose(engine_t *e, const wire_message_t *m, uint32_t *place)
{
    entry_t *best = NULL;
    uint32_t i;

    for (i = 0; i < m->count; i++) {
        const folder_t *f = directory_find(&e->directory, &m->folders[i].name);
        entry_t *entry = f != NULL ? entry_first_free(f) : NULL;
        if (entry == NULL || (best != NULL && entry->stamp >= best->stamp))
            continue;
        best = entry;
        *place = i;
        if ((m->flags & WIRE_OLDEST) == 0)
            break;
    }
    return best;
}

static bool all_empty(engine_t *e, const wire_message_t *m)
{
    uint32_t i;

    for (i = 0; i < m->count; i++) {
        const folder_t *f = directory_find(&e->directory, &m->folders[i].name);
        if (f != NULL && f->memos > 0)
            return false;
    }
    return true;
}

/* Links a get structure into each folder. NULL: no memory, and said so. */
static request_t *link_all(engine_t *e, const wire_message_t *m)
{
    request_t *r = request_new(e, m, m->count);
    uint32_t i;

    for (i = 0; r != NULL && i < m->count; i++) {
        folder_t *f = directory_get(&e->directory, &m->folders[i].name);
        get_t *g = &r->gets[i];
        if (f == NULL) {
            request_over(e, r);
            r = NULL;
            break;
        }
        g->request = r;
        g->index = m->folders[i].index;
        g->seen_empty = f->memos == 0;
        r->unseen += !g->seen_empty;
        get_link(&e->directory, f, g, copies(r) ? GET_COPIER : GET_TAKER);
    }
    if (r == NULL)
        say_to(e, m, WIRE_ANSWER, MEMO_ENOMEM);
    return r;
}

static void take_now(engine_t *e, const wire_message_t *m, entry_t *entry, uint32_t place)
{
    uint32_t index = m->folders[place].index;
    request_t *r;

    if (m->type == WIRE_SELECT) {
        select_give(e, m->client, m->request, entry, index, m->flags);
        return;
    }
    r = request_new(e, m, 0);
    if (r == NULL) {
        say_to(e, m, WIRE_ANSWER, MEMO_ENOMEM);
        return;
    }
    entry_latch(&e->directory, entry, r, index);
    r->held = entry;
    hold(e, r);
}

static void copy_now(engine_t *e, const wire_message_t *m, const entry_t *entry, uint32_t place)
{
    uint32_t index = m->folders[place].index;
    wire_memo_t *copy = e->io.copy(e->io.arg, entry->memo);
    request_t *r;

    if (copy == NULL) {
        say_to(e, m, WIRE_ANSWER, MEMO_EFULL);
        return;
    }
    if (m->type == WIRE_SELECT) {
        give_copy(e, m->client, m->request, copy, entry->size, index, m->flags);
        return;
    }
    r = request_new(e, m, 0);
    if (r == NULL) {
        e->io.free(e->io.arg, copy);
        say_to(e, m, WIRE_ANSWER, MEMO_ENOMEM);
        return;
    }
    r->clone = copy;
    r->clone_size = entry->size;
    r->clone_index = index;
    hold(e, r);
}

void on_select(engine_t *e, const wire_message_t *m)
{
    uint32_t place = 0;
    entry_t *entry = choose(e, m, &place);
    request_t *r;

    if (entry != NULL) {
        if ((m->flags & WIRE_COPY) != 0)
            copy_now(e, m, entry, place);
        else
            take_now(e, m, entry, place);
        return;
    }
    if (m->how != WIRE_HOW_WAIT && m->type != WIRE_LINK && all_empty(e, m)) {
        say_none(e, m);
        return;
    }
    r = link_all(e, m);
    if (r != NULL && m->type == WIRE_LINK && all_empty(e, m)) {
        r->state = REQUEST_LINKED;
        say(e, r, WIRE_EMPTY, MEMO_OK);
    }
}

/* ---- being served ---------------------------------------------------------------------------------------- */

static get_t *first_eligible(const engine_t *e, const folder_t *f, get_list_t list)
{
    get_t *g = f->gets[list].first;

    while (g != NULL && quiet_frozen(e, g->request))
        g = g->next;
    return g;
}

static void serve_taker(engine_t *e, get_t *g, entry_t *entry)
{
    request_t *r = g->request;

    if (r->type == WIRE_SELECT) {
        select_give(e, (uint32_t)r->key.client, r->key.id, entry, g->index, r->flags);
        request_over(e, r);
        return;
    }
    entry_latch(&e->directory, entry, r, g->index);
    r->held = entry;
    hold(e, r);
}

static void serve_copier(engine_t *e, get_t *g, const entry_t *entry)
{
    request_t *r = g->request;
    wire_memo_t *copy = e->io.copy(e->io.arg, entry->memo);

    if (copy == NULL) {
        say(e, r, WIRE_ANSWER, MEMO_EFULL);
        request_over(e, r);
    } else if (r->type == WIRE_SELECT) {
        give_copy(e, (uint32_t)r->key.client, r->key.id, copy, entry->size, g->index, r->flags);
        request_over(e, r);
    } else {
        r->clone = copy;
        r->clone_size = entry->size;
        r->clone_index = g->index;
        hold(e, r);
    }
}

bool select_serve(engine_t *e, folder_t *f)
{
    entry_t *entry = entry_first_free(f);
    get_t *g;

    /* A join that went on counts on what it saw, also where there is somebody who was frozen until now (quiet.c).
     */
    if (entry == NULL || (f->locked != NULL && f->locked->state == REQUEST_PASSED))
        return false;
    while ((g = first_eligible(e, f, GET_COPIER)) != NULL)
        serve_copier(e, g, entry);
    g = first_eligible(e, f, GET_TAKER);
    if (g != NULL)
        serve_taker(e, g, entry);
    return g != NULL;
}

/* ---- skips that waited for latches to be resolved -------------------------------------------------------- */

static bool still_empty(const request_t *r)
{
    uint32_t i;

    for (i = 0; i < r->count; i++)
        if (r->gets[i].folder->memos > 0)
            return false;
    return true;
}

static void found_nothing(engine_t *e, request_t *r)
{
    if (r->type == WIRE_SELECT)
        say(e, r, WIRE_ANSWER, MEMO_NONE);
    else
        say(e, r, WIRE_EMPTY, MEMO_OK);
    if (r->type == WIRE_LINK)
        r->state = REQUEST_LINKED;
    else
        request_over(e, r);
}

/* Whether the request's answer was given, so that the list may have changed. */
static bool sees_empty(engine_t *e, get_t *g)
{
    request_t *r = g->request;

    if (r->how == WIRE_HOW_WAIT || r->state != REQUEST_WAITS)
        return false;
    if (!g->seen_empty) {
        g->seen_empty = true;
        r->unseen--;
    }
    if (r->how == WIRE_HOW_SKIP ? r->unseen > 0 : !still_empty(r))
        return false;
    found_nothing(e, r);
    return true;
}

void select_emptied(engine_t *e, folder_t *f)
{
    int list;
    get_t *g;

    for (list = GET_TAKER; list <= GET_COPIER; list++) {
        g = f->gets[list].first;
        while (g != NULL)
            g = sees_empty(e, g) ? f->gets[list].first : g->next;
    }
}

/* ---- the later messages of a request --------------------------------------------------------------------- */

/* A strict skip's second phase. One that holds something has been told so. */
void on_unlink(engine_t *e, const wire_message_t *m)
{
    request_t *r = request_find(e, m->client, m->request);

    if (r == NULL || r->state != REQUEST_LINKED)
        return;
    r->type = WIRE_UNLINK;
    r->state = REQUEST_WAITS;
    if (still_empty(r))
        found_nothing(e, r);
}

void on_accept(engine_t *e, const wire_message_t *m)
{
    request_t *r = request_find(e, m->client, m->request);
    entry_t *entry;

    if (r == NULL || r->state != REQUEST_HELD) {
        say_to(e, m, WIRE_ANSWER, MEMO_EINVAL);
        return;
    }
    while ((entry = r->held) != NULL) {
        r->held = entry->next_held;
        select_give(e, m->client, m->request, entry, entry->index, 0);
    }
    if (r->clone != NULL) {
        give_copy(e, m->client, m->request, r->clone, r->clone_size, r->clone_index, 0);
        r->clone = NULL;
    }
    request_over(e, r);
}

/* What can be given up without a word: neither a put, whose memo would be lost, nor a chain, which others have on
 * their hands. */
static bool can_be_released(const request_t *r)
{
    return r->state == REQUEST_WAITS || r->state == REQUEST_LINKED || r->state == REQUEST_HELD;
}

void on_release(engine_t *e, const wire_message_t *m)
{
    request_t *r = request_find(e, m->client, m->request);
    deferred_t *d;

    if (r != NULL && can_be_released(r))
        request_over(e, r);
    else if (r == NULL && (d = engine_undefer(e, m->client, m->request)) != NULL)
        deferred_free(e, d);
}

/* Of SELECT, LATCH, JOIN, PUT. What waits for a lock is looked at first, once there is none: who gives up has
 * looked. */
void on_cancel(engine_t *e, const wire_message_t *m)
{
    request_t *r = request_find(e, m->client, m->request);

    if (r == NULL) {
        engine_cancel_deferred(e, m->client, m->request);
        return;
    }
    if (r->state == REQUEST_CHAIN || r->state == REQUEST_PASSED || r->state == REQUEST_HELD)
        return; /* it is soon answered; it was */
    request_refuse(e, r, MEMO_ECANCELED);
    request_over(e, r);
}
