/*
 * engines_alone.c - one engine by itself (engines_alone.h).
 */
#include "t/lib/engines_alone.h"

#include <stdlib.h>

#include "t/lib/engines_names.h"
#include "t/tap.h"

memo_folder_t alone_names[SERVERS][NAMES];
uint64_t alone_random, alone_made, alone_alive; /* memos */
uint32_t alone_self;
engine_t *alone;

uint64_t alone_draw(void)
{
    uint64_t z = (alone_random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t alone_below(uint32_t n)
{
    return (uint32_t)(((alone_draw() >> 32) * n) >> 32);
}

/* ---- the world --------------------------------------------------------------------------------------------- */

wire_memo_t *alone_memo(void)
{
    wire_memo_t *m = malloc(sizeof *m);
    *m = (wire_memo_t){.number = ++alone_made, .size = 1 + alone_below(8)};
    alone_alive++;
    return m;
}

static void free_memo(wire_memo_t *m)
{
    alone_alive--;
    free(m);
}

uint64_t alone_number(const wire_memo_t *m)
{
    return m->number;
}

struct alone_sent alone_sent;

static void engine_sends(void *arg, uint32_t to, const wire_message_t *m)
{
    (void)arg;
    if (m->from != alone_self || to >= PEERS || to == alone_self) {
        tap_bail("a message from %u to %u", m->from, to);
    }
    if (m->type == WIRE_AGAIN) {
        return; /* what it counts of messages has changed */
    }
    alone_sent.count++;
    alone_sent.to = to;
    alone_sent.type = m->type;
    alone_sent.result = m->result;
    alone_sent.memo = m->memo != NULL ? m->memo->number : 0;
    if (m->memo != NULL) {
        free_memo(m->memo);
    }
}

static wire_memo_t *engine_copies(void *arg, wire_memo_t *m)
{
    (void)arg;
    wire_memo_t *copy = alone_below(8) == 0 ? NULL : alone_memo();
    if (copy != NULL) {
        copy->size = m->size;
    }
    return copy;
}

static wire_memo_t *engine_makes(void *arg, const void *bytes, size_t size)
{
    (void)arg;
    (void)bytes;
    wire_memo_t *m = alone_memo();
    m->size = size;
    return m;
}

static void engine_frees(void *arg, wire_memo_t *m)
{
    (void)arg;
    free_memo(m);
}

void alone_begin(uint32_t server)
{
    static const engine_io_t io = {
        .send = engine_sends, .copy = engine_copies, .make = engine_makes, .free = engine_frees};
    engines_names(SERVERS, NAMES, alone_names);
    alone_self = server;
    alone_alive = 0;
    alone = engine_new(alone_self, SERVERS, CLIENTS, &io);
    if (alone == NULL) {
        tap_bail("no memory");
    }
}

uint64_t alone_refused(void)
{
    engine_figures_t f;
    engine_look(alone, &f);
    return f.refused;
}

uint64_t alone_deferred(void)
{
    engine_figures_t f;
    engine_look(alone, &f);
    return f.deferred;
}

bool alone_brings_memo(wire_type_t type)
{
    return type == WIRE_PUT || type == WIRE_RETURN || type == WIRE_DELAY || type == WIRE_HOLD || type == WIRE_FIRE;
}

uint64_t alone_locked(void)
{
    engine_figures_t f;
    engine_look(alone, &f);
    return f.locked;
}

void alone_receive(wire_message_t m, uint32_t from, uint32_t server, uint32_t folder)
{
    wire_folder_t f = {.name = alone_names[server][folder]};
    m.from = from;
    m.client = from;
    m.folders = &f;
    m.count = 1;
    m.memo = m.type == WIRE_PUT ? alone_memo() : NULL;
    m.size = m.memo != NULL ? m.memo->size : 0;
    engine_receive(alone, &m);
}

void alone_fill(void)
{
    wire_folder_t both[2] = {{.name = alone_names[1][2]}, {.name = alone_names[2][0], .index = 1}};
    alone_receive((wire_message_t){.type = WIRE_PUT, .request = 90}, C, 1, 0);
    alone_receive((wire_message_t){.type = WIRE_PUT, .request = 91}, C, 1, 1);
    alone_receive((wire_message_t){.type = WIRE_LIMIT, .request = 92, .number = {1}}, C, 1, 1);
    alone_receive((wire_message_t){.type = WIRE_PUT, .flags = WIRE_WAIT, .request = 1}, A, 1, 1);
    engine_receive(alone, &(wire_message_t){.type = WIRE_CHAIN,
                                            .how = WIRE_HOW_STRICT,
                                            .from = B,
                                            .client = B,
                                            .request = 1,
                                            .folders = both,
                                            .count = 2});
}
