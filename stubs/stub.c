/*
 * stub.c - the client half (stub.h): the table of calls, and the calls that are one message and its answer.
 */
#include "stubs/parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- the table ------------------------------------------------------------------------------------------- */

static bool grow(stub_t *s)
{
    uint32_t room = s->room * 2 + 16, i;
    stub_call_t **calls = realloc(s->calls, room * sizeof *calls);
    uint32_t *spare;

    if (calls == NULL)
        return false;
    s->calls = calls;
    spare = realloc(s->spare, room * sizeof *spare);
    if (spare == NULL)
        return false;
    s->spare = spare;
    for (i = room; i-- > s->room;) {
        s->calls[i] = NULL;
        s->spare[s->spares++] = i;
    }
    s->room = room;
    return true;
}

int call_begin(stub_t *s, stub_call_t *call, call_kind_t kind)
{
    uint32_t place;

    if (s->spares == 0 && !grow(s))
        return MEMO_ENOMEM;
    place = s->spare[--s->spares];
    s->calls[place] = call;
    s->used++;
    call->request = ++s->begun << 32 | place;
    call->kind = (int)kind;
    call->state = CALL_ASKED;
    call->result = MEMO_PENDING;
    call->chosen = NO_PART;
    return MEMO_OK;
}

static void forget(stub_t *s, stub_call_t *call)
{
    uint32_t place = (uint32_t)call->request;

    s->calls[place] = NULL;
    s->spare[s->spares++] = place;
    s->used--;
    free(call->folders);
    free(call->parts);
    call->folders = NULL;
    call->parts = NULL;
    call->parts_count = 0;
}

void call_undo(stub_t *s, stub_call_t *call)
{
    quiet_drop(s, call);
    forget(s, call);
}

void call_end(stub_t *s, stub_call_t *call, int result)
{
    quiet_drop(s, call);
    forget(s, call);
    call->result = result;
    s->io.done(s->io.arg, call);
}

static stub_call_t *find(const stub_t *s, uint64_t request)
{
    uint32_t place = (uint32_t)request;
    stub_call_t *call = place < s->room ? s->calls[place] : NULL;

    return call != NULL && call->request == request ? call : NULL;
}

/* ---- folders by server ----------------------------------------------------------------------------------- */

static uint32_t server_of(const stub_t *s, const memo_folder_t *folder)
{
    return wire_server_of(folder, s->servers);
}

static void make_parts(stub_t *s, stub_call_t *call)
{
    uint32_t i;

    for (i = 0; i < call->count; i++) {
        uint32_t server = server_of(s, &call->folders[i].name);
        stub_part_t *last = call->parts_count > 0 ? &call->parts[call->parts_count - 1] : NULL;
        if (last != NULL && last->server == server)
            last->count++;
        else
            call->parts[call->parts_count++] = (stub_part_t){.server = server, .first = i, .count = 1};
    }
}

int call_group(stub_t *s, stub_call_t *call, const memo_folder_t folders[], uint32_t n, uint32_t start)
{
    uint32_t *next = calloc(s->servers + 1, sizeof *next), i, k;
    uint32_t parts = n < s->servers ? n : s->servers;

    call->folders = malloc(n * sizeof *call->folders);
    call->parts = calloc(parts, sizeof *call->parts);
    if (next == NULL || call->folders == NULL || call->parts == NULL) {
        free(next);
        return MEMO_ENOMEM; /* what is there is the call's, and goes with it */
    }
    for (i = 0; i < n; i++)
        next[server_of(s, &folders[i]) + 1]++;
    for (i = 0; i < s->servers; i++)
        next[i + 1] += next[i];
    for (k = 0; k < n; k++) {
        i = start + k < n ? start + k : start + k - n;
        call->folders[next[server_of(s, &folders[i])]++] = (wire_folder_t){.name = folders[i], .index = i};
    }
    free(next);
    call->count = n;
    make_parts(s, call);
    return MEMO_OK;
}

uint32_t call_part_of(const stub_call_t *call, uint32_t server)
{
    uint32_t i;

    for (i = 0; i < call->parts_count; i++)
        if (call->parts[i].server == server)
            return i;
    return NO_PART;
}

/* ---- sending --------------------------------------------------------------------------------------------- */

static int post(stub_t *s, const stub_call_t *call, uint32_t server, wire_message_t *m)
{
    int result;

    m->from = m->client = s->self;
    m->request = call != NULL ? call->request : 0;
    result = s->io.send(s->io.arg, server, m);
    if (result == MEMO_OK && (m->flags & WIRE_UNTIL_QUIET) != 0)
        s->asked += wire_weight(s->self, server);
    return result;
}

int call_send(stub_t *s, const stub_call_t *call, uint32_t server, wire_type_t type, uint32_t flags,
              const wire_folder_t *folders, uint32_t count)
{
    wire_message_t m = {.type = type, .flags = flags, .how = call->how, .folders = folders, .count = count};

    return post(s, call, server, &m);
}

int call_send_part(stub_t *s, const stub_call_t *call, uint32_t part, wire_type_t type, uint32_t flags)
{
    const stub_part_t *p = &call->parts[part];

    return call_send(s, call, p->server, type, flags, call->folders + p->first, p->count);
}

void call_release(stub_t *s, const stub_call_t *call, uint32_t but, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++)
        if (i != but)
            call_send(s, call, call->parts[i].server, WIRE_RELEASE, 0, NULL, 0);
}

/* A call of one message: begins, or nothing has happened. */
static int send_simple(stub_t *s, stub_call_t *call, uint32_t server, wire_message_t *m)
{
    int result = call_begin(s, call, CALL_SIMPLE);

    if (result != MEMO_OK)
        return result;
    call->server = server;
    call->trigger = m->type == WIRE_DELAY ? server_of(s, &m->folders[0].name) + 1 : 0;
    result = call_needs_dead(s, call) ? MEMO_EPEER : post(s, call, server, m);
    if (result != MEMO_OK)
        call_undo(s, call);
    return result;
}

static int send_memo(stub_t *s, stub_call_t *call, wire_type_t type, uint32_t flags, const memo_folder_t folders[],
                     uint32_t count, uint32_t server, wire_memo_t *memo)
{
    wire_folder_t named[2];
    wire_message_t m = {.type = type, .flags = flags, .folders = named, .count = count, .memo = memo};
    uint32_t i;

    for (i = 0; i < count; i++)
        named[i] = (wire_folder_t){.name = folders[i], .index = i};
    return send_simple(s, call, server, &m);
}

int stub_put(stub_t *s, stub_call_t *call, const memo_folder_t *folder, wire_memo_t *memo, bool wait)
{
    return send_memo(s, call, WIRE_PUT, wait ? WIRE_WAIT : 0, folder, 1, server_of(s, folder), memo);
}

int stub_return(stub_t *s, stub_call_t *call, const memo_folder_t *folder, wire_memo_t *memo, bool redelivered)
{
    return send_memo(s, call, WIRE_RETURN, redelivered ? WIRE_REDELIVERED : 0, folder, 1, server_of(s, folder),
                     memo);
}

int stub_delay(stub_t *s, stub_call_t *call, const memo_folder_t *trigger, const memo_folder_t *target,
               wire_memo_t *memo)
{
    memo_folder_t folders[2] = {*trigger, *target};

    return send_memo(s, call, WIRE_DELAY, 0, folders, 2, server_of(s, target), memo);
}

int stub_ask(stub_t *s, stub_call_t *call, wire_type_t type, uint32_t server, const memo_folder_t *folder,
             const uint64_t number[4])
{
    wire_folder_t named;
    wire_message_t m = {.type = type};

    if (folder != NULL) {
        named = (wire_folder_t){.name = *folder};
        m.folders = &named;
        m.count = 1;
        server = server_of(s, folder);
    }
    if (number != NULL)
        memcpy(m.number, number, sizeof m.number);
    return send_simple(s, call, server, &m);
}

/* ---- selects --------------------------------------------------------------------------------------------- */

static wire_how_t how_of(const memo_select_t *select)
{
    switch (select->when_empty) {
    case MEMO_SKIP:
        return WIRE_HOW_SKIP;
    case MEMO_STRICT_SKIP:
        return WIRE_HOW_STRICT;
    default:
        return WIRE_HOW_WAIT;
    }
}

static uint32_t flags_of(const memo_select_t *select)
{
    return (select->what == MEMO_COPY ? WIRE_COPY : 0u) |
           (select->when_empty == MEMO_UNTIL_QUIET ? WIRE_UNTIL_QUIET : 0u) |
           (select->choice == MEMO_OLDEST ? WIRE_OLDEST : 0u);
}

static uint32_t phase_flag(const stub_call_t *call)
{
    return call->how == WIRE_HOW_STRICT ? WIRE_PHASE : 0u;
}

static bool on_one_server(const stub_t *s, const memo_folder_t folders[], size_t n)
{
    size_t i;

    for (i = 1; i < n; i++)
        if (server_of(s, &folders[i]) != server_of(s, &folders[0]))
            return false;
    return true;
}

static int select_one(stub_t *s, stub_call_t *call, const memo_folder_t *folder)
{
    wire_folder_t named = {.name = *folder};

    return call_send(s, call, server_of(s, folder), WIRE_SELECT, call->flags | phase_flag(call), &named, 1);
}

static int select_direct(stub_t *s, stub_call_t *call, const memo_select_t *select, uint32_t start)
{
    int result;

    call->server = server_of(s, &select->folders[0]);
    if (call_needs_dead(s, call))
        return MEMO_EPEER;
    if (select->count == 1)
        return select_one(s, call, select->folders);
    result = call_group(s, call, select->folders, (uint32_t)select->count, start);
    return result == MEMO_OK ? call_send_part(s, call, 0, WIRE_SELECT, call->flags | phase_flag(call)) : result;
}

static int select_several(stub_t *s, stub_call_t *call, const memo_select_t *select, uint32_t start)
{
    int result = call_group(s, call, select->folders, (uint32_t)select->count, start);

    if (result != MEMO_OK)
        return result;
    if (call_needs_dead(s, call))
        return MEMO_EPEER;
    if (call->kind == CALL_CHAIN)
        return chain_begin(s, call);
    return latch_begin(s, call);
}

int stub_select(stub_t *s, stub_call_t *call, const memo_select_t *select, uint32_t start)
{
    bool direct = on_one_server(s, select->folders, select->count);
    call_kind_t kind = direct                                   ? CALL_SIMPLE
                       : select->when_empty != MEMO_STRICT_SKIP ? CALL_LATCH
                       : s->protocol == STUB_CHAIN              ? CALL_CHAIN
                                                                : CALL_STRICT;
    int result;

    if (!direct && select->choice == MEMO_OLDEST)
        return MEMO_ENOTSUP;
    result = call_begin(s, call, kind);
    if (result != MEMO_OK)
        return result;
    call->how = how_of(select);
    call->flags = flags_of(select);
    if (select->when_empty == MEMO_UNTIL_QUIET)
        quiet_add(s, call);
    result = direct ? select_direct(s, call, select, start) : select_several(s, call, select, start);
    if (result != MEMO_OK)
        call_undo(s, call);
    else
        quiet_look(s);
    return result;
}

int stub_join(stub_t *s, stub_call_t *call, const memo_folder_t folders[], uint32_t n)
{
    bool direct = on_one_server(s, folders, n);
    call_kind_t kind = direct ? CALL_JOIN : s->protocol == STUB_CHAIN ? CALL_CHAIN_JOIN : CALL_GATHER;
    int result = call_begin(s, call, kind);

    if (result != MEMO_OK)
        return result;
    result = call_group(s, call, folders, n, 0);
    if (result == MEMO_OK && call_needs_dead(s, call))
        result = MEMO_EPEER;
    if (result == MEMO_OK)
        result = direct                ? call_send_part(s, call, 0, WIRE_JOIN, 0)
                 : kind == CALL_GATHER ? gather_begin(s, call)
                                       : chain_begin(s, call);
    if (result != MEMO_OK)
        call_undo(s, call);
    return result;
}

/* ---- answers --------------------------------------------------------------------------------------------- */

void call_take(stub_call_t *call, const wire_message_t *m)
{
    call->index = m->index;
    call->memo = m->memo;
    call->size = m->size;
    memcpy(call->number, m->number, sizeof call->number);
    call->from_known = m->memo != NULL && m->count > 0;
    if (call->from_known)
        call->from = m->folders[0].name;
}

void call_take_one(stub_t *s, stub_call_t *call, const wire_message_t *m)
{
    if (m->result != MEMO_OK)
        call->missed = m->result;
    else if (m->index < call->count)
        call->memos[m->index] = m->memo;
    if (++call->got == call->count)
        call_end(s, call, call->missed);
}

bool call_brings_one(const wire_message_t *m)
{
    return m->type == WIRE_ANSWER && (m->result == MEMO_OK || m->count > 0);
}

static void receive_simple(stub_t *s, stub_call_t *call, const wire_message_t *m)
{
    int result = m->result;

    if (m->type != WIRE_ANSWER)
        return;
    call_take(call, m);
    if (result == MEMO_ECANCELED && call->cancelled)
        result = call->why;
    call_end(s, call, result);
}

static void receive_call(stub_t *s, stub_call_t *call, const wire_message_t *m)
{
    switch (call->kind) {
    case CALL_SIMPLE:
        receive_simple(s, call, m);
        break;
    case CALL_LATCH:
    case CALL_STRICT:
        latch_receive(s, call, m);
        break;
    case CALL_JOIN:
    case CALL_GATHER:
        join_receive(s, call, m);
        break;
    default:
        chain_receive(s, call, m);
        break;
    }
}

void stub_receive(stub_t *s, const wire_message_t *m)
{
    stub_call_t *call;

    if ((m->flags & WIRE_UNTIL_QUIET) != 0)
        s->received += wire_weight(s->self, m->from);
    if (m->type == WIRE_QUIET || m->type == WIRE_WITHDRAWN)
        quiet_receive(s, m);
    else if ((call = find(s, m->request)) != NULL)
        receive_call(s, call, m);
    else if (m->memo != NULL)
        s->io.back(s->io.arg, m->count > 0 ? &m->folders[0].name : NULL, m->memo);
    quiet_look(s);
}

/* ---- cancelling ------------------------------------------------------------------------------------------ */

void call_cancel_now(stub_t *s, stub_call_t *call)
{
    switch (call->kind) {
    case CALL_SIMPLE:
        call_send(s, call, call->server, WIRE_CANCEL, 0, NULL, 0);
        break;
    case CALL_LATCH:
        latch_cancel(s, call);
        break;
    case CALL_JOIN:
    case CALL_GATHER:
    case CALL_CHAIN_JOIN:
        join_cancel(s, call);
        break;
    default:
        break; /* a strict skip is soon over by itself */
    }
}

void stub_cancel(stub_t *s, stub_call_t *call, int why)
{
    if (call->cancelled || call->result != MEMO_PENDING)
        return;
    call->cancelled = true;
    call->why = why;
    if (!quiet_cancel(s, call)) {
        call->told = true;
        call_cancel_now(s, call);
    }
    quiet_look(s);
}

/* ---- making ---------------------------------------------------------------------------------------------- */

stub_t *stub_new(stub_protocol_t protocol, uint32_t client, uint32_t servers, const stub_io_t *io)
{
    stub_t *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->protocol = protocol;
    s->self = servers + client;
    s->servers = servers;
    s->io = *io;
    s->participants = 1;
    s->dead = calloc(servers, sizeof *s->dead);
    if (s->dead == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

void stub_free(stub_t *s)
{
    uint32_t i;

    for (i = 0; i < s->room; i++)
        if (s->calls[i] != NULL)
            forget(s, s->calls[i]);
    free(s->calls);
    free(s->spare);
    free(s->dead);
    free(s);
}

uint32_t stub_calls(const stub_t *s)
{
    return s->used;
}
