/*
 * directory.c - folders, what is in them and what waits at them (directory.h): lists, and nothing of protocols.
 */
#include "servers/directory.h"

#include <stdlib.h>
#include <string.h>

/* ---- folders --------------------------------------------------------------------------------------------- */

/* A name carries its hash; uthash works with 32 bits of it. Servers are chosen by the upper half (message.h). */
static unsigned hash_of(const memo_folder_t *name)
{
    return (unsigned)name->hash;
}

folder_t *directory_find(const directory_t *d, const memo_folder_t *name)
{
    folder_t *f = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
    HASH_FIND_BYHASHVALUE(hh, d->folders, name, sizeof *name, hash_of(name), f);
#pragma GCC diagnostic pop
    return f;
}

folder_t *directory_get(directory_t *d, const memo_folder_t *name)
{
    folder_t *f = directory_find(d, name);

    if (f != NULL)
        return f;
    f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->name = *name;
    f->serial = ++d->serial;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
    HASH_ADD_BYHASHVALUE(hh, d->folders, name, sizeof f->name, hash_of(name), f);
#pragma GCC diagnostic pop
    if (f->hh.tbl == NULL) {
        free(f);
        return NULL;
    }
    directory_touch(d, f);
    return f;
}

void directory_touch(directory_t *d, folder_t *f)
{
    if (f->dirty)
        return;
    f->dirty = true;
    f->next_dirty = NULL;
    if (d->dirty_last != NULL)
        d->dirty_last->next_dirty = f;
    else
        d->dirty_first = f;
    d->dirty_last = f;
}

folder_t *directory_dirty(directory_t *d)
{
    folder_t *f = d->dirty_first;

    if (f == NULL)
        return NULL;
    d->dirty_first = f->next_dirty;
    if (d->dirty_first == NULL)
        d->dirty_last = NULL;
    f->dirty = false;
    return f;
}

bool folder_idle(const folder_t *f)
{
    return f->memos == 0 && f->waiters == 0 && f->limit_memos == 0 && f->limit_bytes == 0 &&
           f->reserved_memos == 0 && f->room_first == NULL && f->delayed_first == NULL && f->locked == NULL &&
           f->deferred_first == NULL && !f->dirty;
}

static void drop(directory_t *d, folder_t *f)
{
    if (d->walked == f)
        d->walked = NULL;
    HASH_DEL(d->folders, f);
    free(f);
}

/* The one that has rested longest goes, unless it is used again. */
static void end_rest(directory_t *d)
{
    folder_t *f = d->resting_first;

    d->resting_first = f->next_resting;
    if (d->resting_first == NULL)
        d->resting_last = NULL;
    d->resting--;
    f->resting = false;
    if (folder_idle(f))
        drop(d, f);
}

void directory_drop_if_idle(directory_t *d, folder_t *f)
{
    if (f->resting || !folder_idle(f))
        return;
    f->resting = true;
    f->next_resting = NULL;
    *(d->resting_last != NULL ? &d->resting_last->next_resting : &d->resting_first) = f;
    d->resting_last = f;
    if (++d->resting > DIRECTORY_RESTING)
        end_rest(d);
}

uint64_t directory_folders(const directory_t *d)
{
    uint64_t folders = HASH_COUNT(d->folders);
    const folder_t *f;

    for (f = d->resting_first; f != NULL; f = f->next_resting)
        folders -= folder_idle(f);
    return folders;
}

bool folder_has_room(const folder_t *f, uint64_t size)
{
    return (f->limit_memos == 0 || f->memos + f->reserved_memos < f->limit_memos) &&
           (f->limit_bytes == 0 || f->bytes + f->reserved_bytes + size <= f->limit_bytes);
}

bool folder_reserve(folder_t *f, uint32_t server, uint64_t size)
{
    reserve_t *r = malloc(sizeof *r);

    if (r == NULL)
        return false;
    *r = (reserve_t){.server = server, .size = size};
    *(f->reserved_last != NULL ? &f->reserved_last->next : &f->reserved_first) = r;
    f->reserved_last = r;
    f->reserved_memos++;
    f->reserved_bytes += size;
    return true;
}

static void cut_reserve(folder_t *f, reserve_t *before, reserve_t *r)
{
    *(before != NULL ? &before->next : &f->reserved_first) = r->next;
    if (f->reserved_last == r)
        f->reserved_last = before;
    f->reserved_memos--;
    f->reserved_bytes -= r->size;
    free(r);
}

bool folder_unreserve(folder_t *f, uint32_t server, uint64_t size)
{
    reserve_t *before = NULL, *r = f->reserved_first;

    while (r != NULL && (r->server != server || r->size != size)) {
        before = r;
        r = r->next;
    }
    if (r == NULL)
        return false;
    cut_reserve(f, before, r);
    return true;
}

bool folder_unreserve_all(folder_t *f, uint32_t server)
{
    reserve_t *before = NULL, *r = f->reserved_first, *next;
    bool any = false;

    for (; r != NULL; r = next) {
        next = r->next;
        if (r->server == server) {
            cut_reserve(f, before, r);
            any = true;
        } else
            before = r;
    }
    return any;
}

/* ---- memos ----------------------------------------------------------------------------------------------- */

entry_t *entry_new(wire_memo_t *memo, uint64_t size, uint32_t redeliveries)
{
    entry_t *entry = calloc(1, sizeof *entry);

    if (entry != NULL) {
        entry->memo = memo;
        entry->size = size;
        entry->redeliveries = redeliveries;
    }
    return entry;
}

void entry_insert(directory_t *d, folder_t *f, entry_t *entry, bool at_head)
{
    entries_t *q = &f->queue;

    entry->folder = f;
    entry->stamp = ++d->stamp;
    entry->previous = at_head ? NULL : q->last;
    entry->next = at_head ? q->first : NULL;
    *(entry->previous != NULL ? &entry->previous->next : &q->first) = entry;
    *(entry->next != NULL ? &entry->next->previous : &q->last) = entry;
    /* What went back to the head is as old as what it goes before. */
    if (at_head && entry->next != NULL)
        entry->stamp = entry->next->stamp;
    f->memos++;
    f->bytes += entry->size;
    d->memos++;
    d->bytes += entry->size;
}

void entry_remove(directory_t *d, entry_t *entry)
{
    folder_t *f = entry->folder;

    if (entry->latch != NULL)
        entry_unlatch(d, entry);
    *(entry->previous != NULL ? &entry->previous->next : &f->queue.first) = entry->next;
    *(entry->next != NULL ? &entry->next->previous : &f->queue.last) = entry->previous;
    f->memos--;
    f->bytes -= entry->size;
    d->memos--;
    d->bytes -= entry->size;
}

entry_t *entry_first_free(const folder_t *f)
{
    entry_t *entry = f->memos > f->latched ? f->queue.first : NULL;

    while (entry != NULL && entry->latch != NULL)
        entry = entry->next;
    return entry;
}

void entry_latch(directory_t *d, entry_t *entry, request_t *request, uint32_t index)
{
    entry->latch = request;
    entry->next_held = NULL; /* a join that let it go may have left its own there */
    entry->index = index;
    entry->folder->latched++;
    d->latched++;
}

void entry_unlatch(directory_t *d, entry_t *entry)
{
    entry->latch = NULL;
    entry->folder->latched--;
    d->latched--;
}

/* ---- get structures -------------------------------------------------------------------------------------- */

void get_link(directory_t *d, folder_t *f, get_t *get, get_list_t list)
{
    gets_t *gets = &f->gets[list];

    get->folder = f;
    get->next = NULL;
    get->previous = gets->last;
    *(gets->last != NULL ? &gets->last->next : &gets->first) = get;
    gets->last = get;
    get->linked = true;
    f->waiters++;
    d->waiters++;
}

void get_unlink(directory_t *d, get_t *get, get_list_t list)
{
    folder_t *f = get->folder;

    if (!get->linked)
        return;
    *(get->previous != NULL ? &get->previous->next : &f->gets[list].first) = get->next;
    *(get->next != NULL ? &get->next->previous : &f->gets[list].last) = get->previous;
    get->linked = false;
    f->waiters--;
    d->waiters--;
    directory_touch(d, f); /* it may be idle now */
}
