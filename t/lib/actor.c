/*
 * actor.c - the actor's frame: what to do next, what is in hand, the bytes of memos, and the plain operations.
 */
#include "t/lib/actor.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the bytes of a memo --------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Of the bytes behind the first 16, and of how many there are. Four lanes, for the sake of a megabyte's time. */
static uint64_t sum_of(const unsigned char *data, size_t size)
{
    uint64_t lane[4] = {size, 1, 2, 3}, word;
    size_t at = 16;
    for (; at + 32 <= size; at += 32) {
        for (unsigned i = 0; i < 4; i++) {
            memcpy(&word, data + at + 8 * i, 8);
            lane[i] = (lane[i] ^ word) * UINT64_C(0x9e3779b97f4a7c15);
            lane[i] ^= lane[i] >> 32;
        }
    }
    for (; at < size; at++) {
        lane[0] = (lane[0] ^ data[at]) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return mix(lane[0] + mix(lane[1] + mix(lane[2] + mix(lane[3]))));
}

void actor_fill(void *to, size_t size, uint64_t name, uint64_t random)
{
    unsigned char *data = to;
    if (size < 16) {
        memset(data, (int)(0xa0 | size), size);
    }
    if (size >= 16) {
        size_t at = 16;
        for (; at + 8 <= size; at += 8) {
            random += UINT64_C(0x9e3779b97f4a7c15);
            memcpy(data + at, &random, 8);
        }
        memset(data + at, (int)(random & 0xff), size - at);
        uint64_t sum = sum_of(data, size);
        memcpy(data + 8, &sum, 8);
    }
    if (size >= 8) {
        actor_rename(data, name);
    }
}

/* One store, so that a kill leaves the old name or the new. */
void actor_rename(void *data, uint64_t name)
{
    *(volatile uint64_t *)data = name;
}

bool actor_examine(const void *from, size_t size, uint64_t *name)
{
    const unsigned char *data = from;
    uint64_t sum;
    *name = 0;
    if (size >= 8) {
        memcpy(name, data, 8);
    }
    if (size >= 16) {
        memcpy(&sum, data + 8, 8);
        return sum == sum_of(data, size);
    }
    for (size_t at = size >= 8 ? 8 : 0; at < size; at++) {
        if (data[at] != (0xa0 | size)) {
            return false;
        }
    }
    return true;
}

/* ---- the world ------------------------------------------------------------------------------------------- */

void actor_world(actor_world_t *world, const char *uri, uint32_t folders, uint32_t max_size)
{
    memset(world, 0, sizeof *world);
    world->folders = folders < ACTOR_FOLDERS ? folders : ACTOR_FOLDERS;
    world->common = world->folders > 8 ? world->folders - 4 : world->folders;
    world->max_size = max_size;
    const char *servers = strstr(uri, "servers=");
    world->servers = servers != NULL ? (uint32_t)strtoul(servers + 8, NULL, 10) : 1;
    snprintf(world->uri, sizeof world->uri, "%s", uri);
    for (uint32_t f = 0; f < world->folders; f++) {
        char bytes[MEMO_NAME_MAX] = {0};
        int64_t index[2] = {f, -1};
        snprintf(bytes, sizeof bytes, "folder %u", (unsigned)f);
        switch (f % 4) {
        case 0:
            world->names[f] = memo_folder_bytes(bytes, sizeof bytes);
            break;
        case 1:
            world->names[f] = memo_folder_at(memo_symbol_named("storm"), 2, index);
            break;
        default:
            world->names[f] = memo_folder(bytes);
        }
        world->limits[f] = f % 8 == 4 ? 3 : 0;
    }
}

int actor_set_limits(actor_world_t *world, memo_space_t *space, bool limited)
{
    for (uint32_t f = 0; f < world->folders; f++) {
        uint64_t bytes = limited && f % 8 == 6 ? 100000 : 0;
        if (world->limits[f] > 0 || f % 8 == 6) {
            int result = memo_limit(space, &world->names[f], limited ? world->limits[f] : 0, bytes);
            if (result != MEMO_OK) {
                return result;
            }
        }
    }
    return MEMO_OK;
}

/* ---- chance ---------------------------------------------------------------------------------------------- */

uint32_t actor_below(actor_t *a, uint32_t n)
{
    a->random += UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)((mix(a->random) >> 32) * n >> 32);
}

uint32_t actor_folder(actor_t *a)
{
    return actor_below(a, a->world->common);
}

int64_t actor_timeout(actor_t *a)
{
    switch (actor_below(a, 10)) {
    case 0:
        return 0;
    case 1:
    case 2:
    case 3:
    case 4:
        return actor_below(a, 100000);
    case 5:
        return actor_below(a, 8000000);
    default:
        return actor_below(a, 1000000);
    }
}

bool actor_flood(void)
{
    return (history_now() >> 26 & 15) == 7;
}

/* How many memos there should be in the space now: now few, so that skips meet empty folders, now many. */
static uint64_t tide(const actor_t *a)
{
    static const uint32_t tides[8] = {1, 8, 2, 32, 1, 4, 8, 64}; /* eighths of a memo a folder */
    if (actor_flood()) {
        return UINT64_MAX;
    }
    return (uint64_t)tides[history_now() >> 26 & 7] * a->world->folders / 8;
}

/* ---- what is in hand ------------------------------------------------------------------------------------- */

bool actor_room(actor_t *a)
{
    return history_room(a->h, a->tape, ACTOR_SET, 2 * ACTOR_SET);
}

void actor_ended(actor_t *a, history_record_t *r, int result, uint64_t ret)
{
    history_end_at(r, result, ret);
    if (r->timeout == MEMO_FOREVER || (r->flags & HISTORY_REQUEST) != 0) {
        return;
    }
    uint64_t took = ret - r->call, due = (uint64_t)r->timeout;
    uint64_t over = took > due ? took - due : 0,
             most = atomic_load_explicit(&a->world->slowest, memory_order_relaxed);
    while (over > most) {
        if (atomic_compare_exchange_weak(&a->world->slowest, &most, over)) {
            atomic_store(&a->world->slow_kind, 100u * r->when + r->kind);
        }
    }
}

void actor_hold(actor_t *a, memo_t *m, history_record_t *take)
{
    if (a->n_held == ACTOR_HELD) {
        actor_finish(a, actor_below(a, ACTOR_HELD), true);
    }
    a->held[a->n_held++] = (actor_held_t){m, take};
}

void actor_took(actor_t *a, history_record_t *r, memo_t *m, uint64_t ret)
{
    uint64_t name;
    memo_folder_t from = memo_from(m);
    bool copied = r->kind == HISTORY_COPY;
    bool right = actor_examine(memo_data(m), memo_size(m), &name);
    if (copied) {
        right = right && !memo_folder_valid(&from);
    } else {
        right = right && memcmp(&from, &a->world->names[r->folder], sizeof from) == 0;
    }
    r->memo = name;
    r->redeliveries = (uint8_t)memo_redeliveries(m);
    r->flags = (uint8_t)(r->flags | (memo_size(m) < 8 ? HISTORY_TOKEN : 0) | (right ? 0 : HISTORY_ALTERED));
    actor_ended(a, r, MEMO_OK, ret);
    actor_hold(a, m, copied ? NULL : r);
}

/* ---- one step -------------------------------------------------------------------------------------------- */

static int count_one(const memo_folder_t *folder, uint64_t memos, uint64_t bytes, uint64_t waiters, void *arg)
{
    (void)folder;
    (void)bytes;
    (void)waiters;
    *(uint64_t *)arg += memos;
    return 0;
}

/* Questions, whose answers nobody can check while others work. */
static void do_ask(actor_t *a)
{
    uint64_t memos, waiters = 0;
    memo_symbol_t symbol;
    switch (actor_below(a, 4)) {
    case 0:
        memo_count(a->space, &a->world->names[actor_folder(a)], &memos, &waiters);
        break;
    case 1:
        memo_each(a->space, count_one, &waiters);
        break;
    case 2:
        memo_symbol(a->space, &symbol);
        break;
    default:
        if (a->world->polls) {
            struct pollfd fd = {.fd = memo_fd(a->space), .events = POLLIN};
            poll(&fd, 1, 0);
        }
    }
}

static void look_around(actor_t *a)
{
    memo_stat_t stat;
    if (memo_stat(a->space, &stat, sizeof stat) == MEMO_OK) {
        a->memos = stat.memos;
    }
}

void actor_begin(actor_t *a, actor_world_t *world, memo_space_t *space, history_t *h, history_tape_t *tape,
                 uint64_t seed)
{
    memset(a, 0, sizeof *a);
    a->world = world;
    a->space = space;
    a->h = h;
    a->tape = tape;
    a->random = mix(seed + tape->number);
}

static void act(actor_t *a, uint32_t what, bool put)
{
    if (what > 92 && a->world->common < a->world->folders) {
        actor_do_shuttle(a);
    } else if (what < 3) {
        do_ask(a);
    } else if (what < 8 && a->n_requests < ACTOR_REQUESTS) {
        actor_do_start(a);
    } else if (what < 20 && a->n_requests > 0) {
        actor_do_request(a);
    } else if (what < 32 && a->n_held > 0) {
        actor_finish(a, actor_below(a, a->n_held), a->full > 0 || !put);
    } else if (what < 38) {
        actor_do_join(a);
    } else if (put) {
        actor_do_put(a);
    } else {
        actor_do_select(a);
    }
}

bool actor_step(actor_t *a)
{
    if (!actor_room(a)) {
        return false;
    }
    if (a->steps++ % 32 == 0) {
        look_around(a);
        atomic_fetch_add_explicit(&a->world->steps, 32, memory_order_relaxed);
    }
    if (a->closes && actor_below(a, 4000) == 0) {
        return actor_reopen(a);
    }
    a->full -= a->full > 0;
    bool few = a->memos < tide(a);
    act(a, actor_below(a, 100), a->full == 0 && actor_below(a, 100) < (few ? 75 : 25));
    return true;
}

/* All but the memos in hand. */
static bool settle(actor_t *a)
{
    while (a->n_requests > 0) {
        actor_cancel(a, a->n_requests - 1);
    }
    actor_flush(a);
    return actor_room(a);
}

bool actor_end(actor_t *a)
{
    bool room = settle(a);
    while (a->n_held > 0) {
        actor_finish(a, a->n_held - 1, true);
    }
    return room;
}

bool actor_reopen(actor_t *a)
{
    if (!settle(a)) {
        return false;
    }
    for (unsigned i = 0; i < a->n_held; i++) {
        if (a->held[i].take != NULL) {
            a->held[i].take->hold = HISTORY_RETURNED;
        }
    }
    a->n_held = 0;
    return memo_close(a->space) == MEMO_OK && memo_open(&a->space, a->world->uri) == MEMO_OK;
}

/* ---- plain operations ------------------------------------------------------------------------------------ */

int actor_take_keep(actor_t *a, uint32_t folder)
{
    memo_t *m;
    if (!actor_room(a)) {
        return MEMO_ENOMEM;
    }
    history_record_t *r = history_begin(
        a->h, a->tape, &(history_record_t){.kind = HISTORY_TAKE, .folder = folder, .when = HISTORY_SKIP});
    int result = memo_get_skip(a->space, &a->world->names[folder], &m);
    uint64_t ret = history_now();
    if (result == MEMO_OK) {
        actor_took(a, r, m, ret);
    } else {
        actor_ended(a, r, result, ret);
    }
    return result;
}

int actor_take_plain(actor_t *a, uint32_t folder, int64_t timeout_ns)
{
    memo_t *m;
    int result;
    if (timeout_ns == 0) {
        result = actor_take_keep(a, folder);
    } else {
        if (!actor_room(a)) {
            return MEMO_ENOMEM;
        }
        history_record_t *r = history_begin(
            a->h, a->tape, &(history_record_t){.kind = HISTORY_TAKE, .folder = folder, .timeout = timeout_ns});
        result = memo_get_for(a->space, &a->world->names[folder], &m, timeout_ns);
        uint64_t ret = history_now();
        if (result == MEMO_OK) {
            actor_took(a, r, m, ret);
        } else {
            actor_ended(a, r, result, ret);
        }
    }
    if (result == MEMO_OK) {
        actor_finish(a, a->n_held - 1, true);
    }
    return result;
}

bool actor_ring(actor_t *a)
{
    for (uint32_t f = 0; f < a->world->folders; f++) {
        if (!actor_room(a)) {
            return false;
        }
        actor_put_plain(a, f, 8);
    }
    return true;
}

bool actor_drain(actor_t *a)
{
    for (int round = 0; round < 2; round++) {
        for (uint32_t f = 0; f < a->world->folders; f++) {
            int result;
            do {
                result = actor_take_plain(a, f, 0);
            } while (result == MEMO_OK);
            if (result != MEMO_NONE) {
                return false;
            }
        }
        if (round == 0 && !actor_ring(a)) {
            return false;
        }
    }
    return true;
}
