/*
 * join.c - joins: one memo from each of n folders, all or nothing.
 *
 * JOIN, for folders of one server alone: taken at once, or the join waits, without a place in any queue, and looks
 * again when something comes into the folder that had not enough. Over several servers, in mpi-latch:
 *
 *   GATHER    to the servers in rank order, one after the other: latches one memo of each folder, or none
 *   ACCEPT    to all, when all hold; each answers with its memos
 *   RELEASE   to all that hold, when one has not enough; then WATCH that one, and begin again once it has
 *
 * A join that holds latches never waits, not for other latches either: a GATHER that meets too few memos that are
 * not latched is told EMPTY. Of several joins that meet, the one that is ahead at the lowest server gets on.
 *
 * Messages of an undisturbed join: 2 + n - 1 on one server (JOIN, n ANSWERs); on k servers 3k + n.
 */
#include "servers/parts.h"

#include <stdlib.h>

/* The first folder of the message that has not enough memos free, made if need be; NULL with *result MEMO_OK when
 * all have, MEMO_ENOMEM when there is no memory. */
static folder_t *find_lacking(engine_t *e, const wire_folder_t folders[], uint32_t count, int *result)
{
    folder_t *lacking = NULL, *f;
    uint32_t i, counted = 0;

    *result = MEMO_OK;
    for (i = 0; i < count && lacking == NULL && *result == MEMO_OK; i++) {
        f = directory_get(&e->directory, &folders[i].name);
        if (f == NULL) {
            *result = MEMO_ENOMEM;
            break;
        }
        counted++;
        if (++f->wanted > f->memos - f->latched)
            lacking = f;
    }
    for (i = 0; i < counted; i++) {
        f = directory_find(&e->directory, &folders[i].name);
        f->wanted = 0;
    }
    return lacking;
}

/* The same for a join whose get structures are linked. A folder that a chain has locked has nothing for it: it
 * looks again when that is unlocked; nor has one that is not settled yet: selects that wait there come first. */
static folder_t *still_lacking(const request_t *r)
{
    folder_t *lacking = NULL;
    uint32_t i;

    for (i = 0; i < r->count && lacking == NULL; i++) {
        folder_t *f = r->gets[i].folder;
        if (++f->wanted > f->memos - f->latched || f->locked != NULL || f->dirty)
            lacking = f;
    }
    while (i-- > 0)
        r->gets[i].folder->wanted = 0;
    return lacking;
}

static void answer(engine_t *e, const wire_message_t *m, wire_type_t type, int result)
{
    wire_message_t reply = {.type = type, .request = m->request, .result = result};

    engine_tell(e, m->client, &reply);
}

static void take_all(engine_t *e, const wire_message_t *m)
{
    uint32_t i;

    for (i = 0; i < m->count; i++) {
        folder_t *f = directory_find(&e->directory, &m->folders[i].name);
        select_give(e, m->client, m->request, entry_first_free(f), m->folders[i].index, 0);
    }
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static void wait_for(engine_t *e, const wire_message_t *m, folder_t *lacking)
{
    request_t *r = request_new(e, m, m->count);
    uint32_t i;

    for (i = 0; r != NULL && i < m->count; i++) {
        folder_t *f = directory_get(&e->directory, &m->folders[i].name);
        if (f == NULL) {
            request_over(e, r);
            r = NULL;
            break;
        }
        r->gets[i].request = r;
        r->gets[i].index = m->folders[i].index;
        get_link(&e->directory, f, &r->gets[i], GET_WATCHER);
    }
    if (r != NULL)
        r->lacking = lacking;
    else
        answer(e, m, WIRE_ANSWER, MEMO_ENOMEM);
}

/* JOIN, and WATCH, which takes nothing. */
void on_join(engine_t *e, const wire_message_t *m)
{
    int result;
    folder_t *lacking = find_lacking(e, m->folders, m->count, &result);

    if (result != MEMO_OK)
        answer(e, m, WIRE_ANSWER, result);
    else if (lacking != NULL)
        wait_for(e, m, lacking);
    else if (m->type == WIRE_WATCH)
        answer(e, m, WIRE_EMPTY, MEMO_OK);
    else
        take_all(e, m);
}

static void served(engine_t *e, request_t *r)
{
    uint32_t client = (uint32_t)r->key.client, i;
    wire_message_t done = {.type = WIRE_EMPTY, .request = r->key.id};

    if (r->type == WIRE_WATCH)
        engine_tell(e, client, &done);
    else
        for (i = 0; i < r->count; i++)
            select_give(e, client, r->key.id, entry_first_free(r->gets[i].folder), r->gets[i].index, 0);
    request_over(e, r);
}

/* The first join that waits for the folder and can be served. */
static request_t *find_served(const folder_t *f)
{
    const get_t *g;

    for (g = f->gets[GET_WATCHER].first; g != NULL; g = g->next) {
        request_t *r = g->request;
        if (r->lacking != f)
            continue;
        r->lacking = still_lacking(r);
        if (r->lacking == NULL)
            return r;
    }
    return NULL;
}

void join_look(engine_t *e, folder_t *f)
{
    request_t *r;

    /* A locked folder is the chain's: joins look again when it is unlocked. */
    while (f->locked == NULL && entry_first_free(f) != NULL && (r = find_served(f)) != NULL)
        served(e, r);
}

/* ---- gathering ------------------------------------------------------------------------------------------- */

void on_gather(engine_t *e, const wire_message_t *m)
{
    int result;
    folder_t *lacking = find_lacking(e, m->folders, m->count, &result);
    request_t *r = lacking == NULL && result == MEMO_OK ? request_new(e, m, 0) : NULL;
    uint32_t i;

    if (lacking != NULL) {
        answer(e, m, WIRE_EMPTY, MEMO_OK);
        return;
    }
    if (r == NULL) {
        answer(e, m, WIRE_ANSWER, MEMO_ENOMEM);
        return;
    }
    for (i = m->count; i-- > 0;) {
        entry_t *entry = entry_first_free(directory_find(&e->directory, &m->folders[i].name));
        entry_latch(&e->directory, entry, r, m->folders[i].index);
        entry->next_held = r->held;
        r->held = entry;
    }
    r->state = REQUEST_HELD;
    answer(e, m, WIRE_HELD, MEMO_OK);
}
