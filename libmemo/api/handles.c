/*
 * handles.c - the registry of handles (handles.h).
 *
 * Open handles stand in slots, in blocks that are never freed. A slot's store (release) publishes the record's
 * range to the load (acquire) of whoever searches. A searcher may hold a record that is being retired; its range
 * stays what it was until the record serves again, HANDLES_KEPT retirements later.
 */
#include "libmemo/api/handles.h"

#include "libmemo/api/error.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SLOTS 63

typedef struct block {
    _Atomic(handles_record_t *) slot[BLOCK_SLOTS];
    _Atomic(struct block *) next;
} block_t;

/* Slot 0 of the registry, by itself; the blocks hold the others. */
_Atomic(handles_record_t *) handles_first;
static block_t blocks;

/* Every record there is, newest first: only ever added to. */
static _Atomic(handles_record_t *) made;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static handles_record_t *retired_first, *retired_last; /* oldest to newest; under the lock */
static unsigned retired_count;

static handles_record_t *record_of(const memo_space_t *space)
{
    return (handles_record_t *)(uintptr_t)space - 1;
}

/* ---- fork ------------------------------------------------------------------------------------------------ */

static void lock_for_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void unlock_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void retire_locked(handles_record_t *record);

static void orphan(_Atomic(handles_record_t *) *slot)
{
    handles_record_t *record = atomic_load_explicit(slot, memory_order_relaxed);

    if (record) {
        memo_space_t *space = handles_space(record);

        atomic_store_explicit(&record->orphaned, true, memory_order_relaxed);
        atomic_store_explicit(&space->open, false, memory_order_relaxed);
        atomic_store_explicit(slot, NULL, memory_order_relaxed);
        space->backend->forget(space);
        retire_locked(record);
    }
}

/* The child is one thread, the one that took the mutex: nobody searches now. */
static void orphan_all(void)
{
    orphan(&handles_first);
    for (block_t *block = &blocks; block; block = atomic_load_explicit(&block->next, memory_order_relaxed)) {
        for (unsigned i = 0; i < BLOCK_SLOTS; i++) {
            orphan(&block->slot[i]);
        }
    }
    pthread_mutex_unlock(&lock);
}

static void watch_forks(void)
{
    pthread_atfork(lock_for_fork, unlock_in_parent, orphan_all);
}

/* ---- making and retiring --------------------------------------------------------------------------------- */

/* The oldest retired record that is large enough, and after which enough were retired. */
static handles_record_t *recycle_locked(size_t room)
{
    handles_record_t **link = &retired_first;
    handles_record_t *before = NULL;

    for (unsigned later = retired_count; later > HANDLES_KEPT; later--) {
        handles_record_t *record = *link;
        if (record->room >= room) {
            *link = record->next_retired;
            retired_last = record == retired_last ? before : retired_last;
            retired_count--;
            atomic_store_explicit(&record->orphaned, false, memory_order_relaxed);
            return record;
        }
        before = record;
        link = &record->next_retired;
    }
    return NULL;
}

static handles_record_t *make_locked(size_t room)
{
    handles_record_t *record = aligned_alloc(64, sizeof *record + room);

    if (record) {
        memset(record, 0, sizeof *record);
        record->room = room;
        record->next_made = atomic_load_explicit(&made, memory_order_relaxed);
        /* With the acquire in handles_search. */
        atomic_store_explicit(&made, record, memory_order_release);
    }
    return record;
}

memo_space_t *handles_new(size_t bytes)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    size_t room = (bytes + 63) / 64 * 64;

    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
    handles_record_t *record = recycle_locked(room);
    if (!record) {
        record = make_locked(room);
    }
    pthread_mutex_unlock(&lock);
    if (!record) {
        memo_error(MEMO_ENOMEM, "no memory for a handle of %zu bytes", bytes);
        return NULL;
    }
    return memset(handles_space(record), 0, record->room);
}

static void retire_locked(handles_record_t *record)
{
    record->next_retired = NULL;
    if (retired_first) {
        retired_last->next_retired = record;
    } else {
        retired_first = record;
    }
    retired_last = record;
    retired_count++;
}

/* ---- slots ----------------------------------------------------------------------------------------------- */

/* The slot that holds this record (or, for NULL, a free one), or NULL. */
static _Atomic(handles_record_t *) *slot_of(const handles_record_t *record)
{
    if (atomic_load_explicit(&handles_first, memory_order_relaxed) == record) {
        return &handles_first;
    }
    for (block_t *block = &blocks; block; block = atomic_load_explicit(&block->next, memory_order_relaxed)) {
        for (unsigned i = 0; i < BLOCK_SLOTS; i++) {
            if (atomic_load_explicit(&block->slot[i], memory_order_relaxed) == record) {
                return &block->slot[i];
            }
        }
    }
    return NULL;
}

/* A new block's first slot, or NULL. */
static _Atomic(handles_record_t *) *grow_locked(void)
{
    block_t *block = calloc(1, sizeof *block);

    if (!block) {
        return NULL;
    }
    atomic_store_explicit(&block->next, atomic_load_explicit(&blocks.next, memory_order_relaxed),
                          memory_order_relaxed);
    /* With the acquire in handles_search_address: an empty block, not what malloc left there. */
    atomic_store_explicit(&blocks.next, block, memory_order_release);
    return &block->slot[0];
}

int handles_register(memo_space_t *space, const void *base, size_t size)
{
    handles_record_t *record = record_of(space);

    pthread_mutex_lock(&lock);
    _Atomic(handles_record_t *) *slot = slot_of(NULL);
    if (!slot) {
        slot = grow_locked();
    }
    if (slot) {
        record->base = (uintptr_t)base;
        record->size = size;
        /* With the acquires of the searches. */
        atomic_store_explicit(slot, record, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
    return slot ? MEMO_OK : memo_error(MEMO_ENOMEM, "no memory for the table of handles");
}

void handles_retire(memo_space_t *space)
{
    handles_record_t *record = record_of(space);

    pthread_mutex_lock(&lock);
    _Atomic(handles_record_t *) *slot = slot_of(record);
    if (slot) {
        atomic_store_explicit(slot, NULL, memory_order_relaxed);
    }
    retire_locked(record);
    pthread_mutex_unlock(&lock);
}

/* ---- searching ------------------------------------------------------------------------------------------- */

static bool holds(const handles_record_t *record, const void *address)
{
    return record && (uintptr_t)address - record->base < record->size;
}

memo_space_t *handles_search_address(const void *address)
{
    handles_record_t *record = atomic_load_explicit(&handles_first, memory_order_acquire);

    if (holds(record, address)) {
        return handles_space(record);
    }
    for (block_t *block = &blocks; block; block = atomic_load_explicit(&block->next, memory_order_acquire)) {
        for (unsigned i = 0; i < BLOCK_SLOTS; i++) {
            record = atomic_load_explicit(&block->slot[i], memory_order_acquire);
            if (holds(record, address)) {
                return handles_space(record);
            }
        }
    }
    return NULL;
}

bool handles_search(const memo_space_t *space)
{
    /* The second to eighth open handle are near; what is not there may be one that was closed. */
    for (unsigned i = 0; i < 7; i++) {
        handles_record_t *record = atomic_load_explicit(&blocks.slot[i], memory_order_acquire);
        if (record && handles_space(record) == space) {
            return true;
        }
    }
    handles_record_t *record = atomic_load_explicit(&made, memory_order_acquire);
    while (record && handles_space(record) != space) {
        record = record->next_made;
    }
    return record != NULL;
}

bool handles_orphaned(const memo_space_t *space)
{
    return atomic_load_explicit(&record_of(space)->orphaned, memory_order_relaxed);
}
