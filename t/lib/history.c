/*
 * history.c - the recorder: one shared mapping, given out to tapes in pieces.
 *
 * Nothing here waits and nothing is freed: a tape owns its current piece of the records and takes the next by one
 * atomic addition, so that a writer that dies leaves at most an unfinished record.
 */
#include "t/lib/history.h"
#include "t/lib/ranks.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PIECE = 256, SET_PIECE = 2048 };

struct history {
    size_t bytes;
    uint32_t max_records, max_sets, max_tapes, folders;
    _Atomic uint32_t used_records, used_sets, used_tapes;
    history_record_t *records;
    uint32_t *sets;
    history_tape_t *tapes;
};

static size_t rounded(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

history_t *history_new(uint32_t records, uint32_t set_entries, uint32_t tapes, uint32_t folders)
{
    records = (records / PIECE + tapes + 1) * PIECE; /* every tape may leave a piece unfinished */
    set_entries = (set_entries / SET_PIECE + tapes + 1) * SET_PIECE;
    size_t head = rounded(sizeof(history_t));
    size_t tape_bytes = rounded((size_t)tapes * sizeof(history_tape_t));
    size_t record_bytes = (size_t)records * sizeof(history_record_t);
    size_t bytes = head + tape_bytes + record_bytes + (size_t)set_entries * sizeof(uint32_t);
    char *at = ranks_begun()
                   ? ranks_memory(bytes)
                   : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        return NULL;
    }
    history_t *h = (history_t *)(void *)at;
    h->bytes = bytes;
    h->max_records = records;
    h->max_sets = set_entries;
    h->max_tapes = tapes;
    h->folders = folders;
    h->tapes = (history_tape_t *)(void *)(at + head);
    h->records = (history_record_t *)(void *)(at + head + tape_bytes);
    h->sets = (uint32_t *)(void *)(at + head + tape_bytes + record_bytes);
    return h;
}

void history_delete(history_t *h)
{
    if (h != NULL && ranks_begun()) {
        ranks_memory_free(h, h->bytes);
    } else if (h != NULL) {
        munmap(h, h->bytes);
    }
}

history_tape_t *history_tape(history_t *h)
{
    uint32_t number = atomic_fetch_add(&h->used_tapes, 1);
    if (number >= h->max_tapes) {
        atomic_fetch_sub(&h->used_tapes, 1);
        return NULL;
    }
    history_tape_t *tape = &h->tapes[number];
    tape->number = number;
    return tape;
}

history_tape_t *history_tape_number(history_t *h, uint32_t number)
{
    return &h->tapes[number];
}

/* The next piece of `size` out of `max`; false when there is none. */
static bool take_piece(_Atomic uint32_t *used, uint32_t max, uint32_t size, uint32_t *next, uint32_t *end)
{
    uint32_t at = atomic_load(used);
    do {
        if (max - at < size) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(used, &at, at + size));
    *next = at;
    *end = at + size;
    return true;
}

bool history_room(history_t *h, history_tape_t *tape, uint32_t records, uint32_t set_entries)
{
    if (tape->next + records > tape->end) {
        uint32_t size = records > PIECE ? records : PIECE;
        if (!take_piece(&h->used_records, h->max_records, size, &tape->next, &tape->end)) {
            return false;
        }
    }
    if (tape->set_next + set_entries > tape->set_end) {
        uint32_t size = set_entries > SET_PIECE ? set_entries : SET_PIECE;
        if (!take_piece(&h->used_sets, h->max_sets, size, &tape->set_next, &tape->set_end)) {
            return false;
        }
    }
    return true;
}

uint32_t history_left(const history_t *h)
{
    return h->max_records - atomic_load(&h->used_records);
}

uint32_t history_set(history_t *h, history_tape_t *tape, const uint32_t folders[], uint32_t count)
{
    uint32_t set = tape->set_next;
    memcpy(&h->sets[set], folders, count * sizeof folders[0]);
    tape->set_next += count;
    return set;
}

const uint32_t *history_set_at(const history_t *h, uint32_t set)
{
    return &h->sets[set];
}

history_record_t *history_begin(history_t *h, history_tape_t *tape, const history_record_t *template)
{
    history_record_t *record = &h->records[tape->next++];
    uint8_t kind = template->kind;
    *record = *template;
    record->kind = HISTORY_UNUSED;
    record->tape = (uint16_t)tape->number;
    record->ret = 0;
    record->call = history_now();
    /* A kill may come between any two stores: only a record that is whole has a kind. */
    atomic_signal_fence(memory_order_seq_cst);
    record->kind = kind;
    atomic_signal_fence(memory_order_seq_cst);
    return record;
}

void history_end_at(history_record_t *record, int result, uint64_t ret)
{
    record->result = (int8_t)result;
    atomic_signal_fence(memory_order_seq_cst);
    record->ret = ret;
    atomic_signal_fence(memory_order_seq_cst);
}

void history_end(history_record_t *record, int result)
{
    history_end_at(record, result, history_now());
}

uint64_t history_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* 16 bits that follow from the other 48, so that a word that is no name is seen to be none. */
static uint64_t name_check(uint64_t tape_and_number)
{
    uint64_t x = (tape_and_number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return (x ^ (x >> 29)) * UINT64_C(0xbf58476d1ce4e5b9) >> 48;
}

uint64_t history_name(history_tape_t *tape)
{
    uint64_t parts = (uint64_t)tape->number << 32 | tape->names;
    tape->names++;
    return parts << 16 | name_check(parts);
}

bool history_name_parts(uint64_t name, uint32_t *tape, uint32_t *number)
{
    uint64_t parts = name >> 16;
    *tape = (uint32_t)(parts >> 32);
    *number = (uint32_t)parts;
    return (name & 0xffff) == name_check(parts);
}

uint32_t history_tapes(const history_t *h)
{
    return atomic_load(&h->used_tapes);
}

uint32_t history_folders(const history_t *h)
{
    return h->folders;
}

history_record_t *history_records(const history_t *h, uint32_t *count)
{
    *count = atomic_load(&h->used_records);
    return h->records;
}
