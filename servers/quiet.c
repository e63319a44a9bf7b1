/*
 * quiet.c - C17 across servers: knowing that every participant waits and that nothing is in flight.
 *
 * Source: F. Mattern, "Algorithms for distributed termination detection" (1987): the four counter method, two waves
 * that count messages. The second wave freezes as it counts, so that the verdict is one instant for all.
 *
 * A client reports IDLE to server 0 when all its participants wait; with it, how many until-quiet requests it has
 * ever sent to servers (asked), and how many answers to such requests it has received. Each server counts the same
 * from its side: asked, and given. When all clients that are present have reported, server 0 probes all servers. It
 * is quiet if
 *
 *   - every sum of the servers equals that of the reports: no request and no answer was in flight, and no client
 * has asked for or was given anything after its report. A request that is in flight to one server must not be made
 *     up for by one that another server received after the report was made: so each client counts for each server
 *     with a weight of its own (wire_weight), and equal sums mean equal terms;
 *   - no server has a latch, a locked folder, a deferred message or an unfinished cause: nothing that could yet
 * become free;
 *   - all agree on who has left or died;
 *   - in a second wave each server's figures are the same as in the first: they were so throughout, at one instant
 * between the waves for all. From that second look on a server is frozen: it gives nothing to requests that wait
 * until quiet.
 *
 * Puts are acknowledged after all they caused (put.c), and a client with puts under way does not report: so nothing
 * else is in flight. Then server 0 has all servers end those requests (COMMIT), and tells the clients (QUIET).
 * Otherwise they thaw.
 *
 * When a server has died it is never quiet any more: clients end such calls with MEMO_EPEER.
 *
 * Someone whose wait is timed out or cancelled WITHDRAWs first; if the verdict has been reached meanwhile he gets
 * that. A server whose figures change after it told them says AGAIN, once: so no quiet is overlooked, and nobody
 * polls.
 */
#include "servers/parts.h"

#include <string.h>

bool quiet_frozen(const engine_t *e, const request_t *r)
{
    return e->frozen && !r->late && (r->flags & WIRE_UNTIL_QUIET) != 0;
}

/* ---- what a server knows of itself ----------------------------------------------------------------------- */

typedef struct view {
    uint64_t asked, given, digest;
    bool clean;
} view_t;

/* One number for each set of clients that are not there any more. */
static uint64_t digest_of(const engine_t *e)
{
    uint64_t digest = 0;
    uint32_t i;

    for (i = 0; i < e->clients; i++)
        if (e->client[i].departed)
            digest += (i + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(i + 1) << 40;
    return digest;
}

static view_t view_of(const engine_t *e)
{
    view_t v = {.digest = digest_of(e),
                .clean =
                    e->directory.latched == 0 && e->locked == 0 && e->directory.deferred == 0 && e->causes == NULL};
    uint32_t i;

    for (i = 0; i < e->clients; i++)
        if (!e->client[i].departed) {
            v.asked += e->client[i].asked;
            v.given += e->client[i].given;
        }
    return v;
}

static void remember(engine_t *e, const view_t *v)
{
    e->told = true;
    e->told_asked = v->asked;
    e->told_given = v->given;
    e->told_digest = v->digest;
    e->told_clean = v->clean;
}

static bool as_told(const engine_t *e, const view_t *v)
{
    return e->told_asked == v->asked && e->told_given == v->given && e->told_digest == v->digest &&
           e->told_clean == v->clean;
}

static void send_coordinator(engine_t *e, wire_type_t type, int result, const view_t *v)
{
    wire_message_t m = {.type = type, .client = e->self, .result = result, .number = {e->told_round}};

    if (v != NULL) {
        m.number[1] = v->asked;
        m.number[2] = v->given;
        m.number[3] = v->digest;
    }
    engine_send(e, 0, &m);
}

static void probe(engine_t *e, const wire_message_t *m)
{
    view_t v = view_of(e);

    e->told_round = m->number[0];
    remember(e, &v);
    send_coordinator(e, WIRE_PROBED, v.clean ? MEMO_OK : MEMO_NONE, &v);
}

static void freeze(engine_t *e, const wire_message_t *m)
{
    view_t v = view_of(e);
    bool same = e->told && m->number[0] == e->told_round && as_told(e, &v) && v.clean;
    request_t *r;

    e->frozen = same;
    for (r = e->requests; same && r != NULL; r = r->hh.next)
        r->late = false; /* those that are there now are meant */
    send_coordinator(e, WIRE_FROZEN, same ? MEMO_OK : MEMO_NONE, NULL);
}

/* Requests that were held back are looked at again. */
static void thaw(engine_t *e)
{
    request_t *r;
    uint32_t i;

    if (!e->frozen)
        return;
    e->frozen = false;
    for (r = e->requests; r != NULL; r = r->hh.next)
        for (i = 0; (r->flags & WIRE_UNTIL_QUIET) != 0 && i < r->count; i++)
            if (r->gets[i].linked)
                directory_touch(&e->directory, r->gets[i].folder);
}

static void commit(engine_t *e)
{
    request_t *r, *next;

    for (r = e->requests; r != NULL; r = next) {
        next = r->hh.next;
        if (quiet_frozen(e, r))
            request_over(e, r);
    }
    thaw(e);
    send_coordinator(e, WIRE_COMMITTED, MEMO_OK, NULL);
}

void quiet_changed(engine_t *e)
{
    view_t v;

    if (!e->told)
        return;
    v = view_of(e);
    if (as_told(e, &v))
        return;
    e->told = false;
    send_coordinator(e, WIRE_AGAIN, MEMO_OK, NULL);
}

/* ---- server 0 -------------------------------------------------------------------------------------------- */

static void send_all(engine_t *e, wire_type_t type)
{
    wire_message_t m = {.type = type, .client = e->self, .number = {e->wave.round}};
    uint32_t i;

    e->wave.answers = 0;
    for (i = 0; i < e->servers; i++)
        engine_send(e, i, &m);
}

static bool all_idle(const engine_t *e)
{
    uint32_t i;

    for (i = 0; i < e->clients; i++)
        if (!e->client[i].departed && !e->reports[i].valid)
            return false;
    return e->present > 0;
}

static void begin_wave(engine_t *e)
{
    wave_t *w = &e->wave;

    if (w->state != WAVE_NONE || !all_idle(e) || e->some_fallen)
        return;
    *w = (wave_t){.state = WAVE_PROBING, .round = w->round + 1};
    send_all(e, WIRE_PROBE);
}

static void give_up(engine_t *e)
{
    bool again = e->wave.again;

    if (e->wave.state == WAVE_FREEZING)
        send_all(e, WIRE_THAW);
    e->wave.state = WAVE_NONE;
    if (again)
        begin_wave(e);
}

static bool sums_agree(const engine_t *e)
{
    uint64_t asked = 0, received = 0;
    uint32_t i;

    for (i = 0; i < e->clients; i++)
        if (!e->client[i].departed) {
            asked += e->reports[i].asked;
            received += e->reports[i].received;
        }
    return asked == e->wave.asked && received == e->wave.given;
}

static void probed(engine_t *e, const wire_message_t *m)
{
    wave_t *w = &e->wave;

    if (w->state != WAVE_PROBING || m->number[0] != w->round)
        return;
    w->asked += m->number[1];
    w->given += m->number[2];
    if (m->result != MEMO_OK || m->number[3] != digest_of(e))
        w->spoiled = true;
    if (++w->answers < e->servers)
        return;
    if (w->spoiled || !all_idle(e) || !sums_agree(e)) {
        give_up(e);
        return;
    }
    w->state = WAVE_FREEZING;
    send_all(e, WIRE_FREEZE);
}

/* From here on it is quiet. What a client says before it has heard that is of no account. */
static void decide(engine_t *e)
{
    uint32_t i;

    for (i = 0; i < e->clients; i++)
        if (e->reports[i].valid) {
            e->reports[i].valid = false;
            e->reports[i].decided = true;
            e->reports[i].verdicts++;
        }
}

static void frozen(engine_t *e, const wire_message_t *m)
{
    wave_t *w = &e->wave;

    if (w->state != WAVE_FREEZING || m->number[0] != w->round)
        return;
    if (m->result != MEMO_OK)
        w->spoiled = true;
    if (++w->answers < e->servers)
        return;
    if (w->spoiled) {
        give_up(e);
        return;
    }
    w->state = WAVE_COMMITTING;
    decide(e);
    send_all(e, WIRE_COMMIT);
}

static void committed(engine_t *e, const wire_message_t *m)
{
    wave_t *w = &e->wave;
    wire_message_t quiet = {.type = WIRE_QUIET};
    uint32_t i;

    if (w->state != WAVE_COMMITTING || m->number[0] != w->round || ++w->answers < e->servers)
        return;
    w->state = WAVE_NONE;
    for (i = 0; i < e->clients; i++)
        if (e->reports[i].decided) {
            e->reports[i].decided = false;
            quiet.number[0] = e->reports[i].number;
            engine_tell(e, e->servers + i, &quiet);
        }
    begin_wave(e);
}

static void idle(engine_t *e, const wire_message_t *m)
{
    report_t *r = &e->reports[m->client - e->servers];

    if (m->number[3] != r->verdicts)
        return;
    r->valid = true;
    r->number = m->number[0];
    r->asked = m->number[1];
    r->received = m->number[2];
    e->wave.again = true;
    if (e->wave.state == WAVE_FREEZING) /* the sums were of another report */
        e->wave.spoiled = true;
    begin_wave(e);
}

static void withdraw(engine_t *e, const wire_message_t *m)
{
    report_t *r = &e->reports[m->client - e->servers];
    wire_message_t reply = {.type = WIRE_WITHDRAWN, .number = {m->number[0]}};

    if (!r->valid || r->number != m->number[0])
        return; /* it is decided: QUIET is on its way, or will be */
    r->valid = false;
    e->wave.spoiled = true;
    engine_tell(e, m->client, &reply);
}

void quiet_never(engine_t *e)
{
    thaw(e);
    e->wave.state = WAVE_NONE;
}

void quiet_client_died(engine_t *e, uint32_t client)
{
    if (e->self != 0)
        return;
    e->reports[client - e->servers].valid = false; /* it is not quiet before what it had has come back */
    e->wave.spoiled = true;
}

void quiet_client_left(engine_t *e, uint32_t client)
{
    if (e->self != 0)
        return;
    e->reports[client - e->servers].valid = false;
    e->wave.spoiled = true;
    e->wave.again = true;
    begin_wave(e);
}

void on_quiet(engine_t *e, const wire_message_t *m)
{
    bool at_coordinator = e->self == 0;

    if (m->type == WIRE_PROBE)
        probe(e, m);
    else if (m->type == WIRE_FREEZE)
        freeze(e, m);
    else if (m->type == WIRE_COMMIT && m->number[0] == e->told_round)
        commit(e);
    else if (m->type == WIRE_THAW && m->number[0] == e->told_round)
        thaw(e);
    else if (!at_coordinator)
        return;
    else if (m->type == WIRE_IDLE)
        idle(e, m);
    else if (m->type == WIRE_WITHDRAW)
        withdraw(e, m);
    else if (m->type == WIRE_PROBED)
        probed(e, m);
    else if (m->type == WIRE_FROZEN)
        frozen(e, m);
    else if (m->type == WIRE_COMMITTED)
        committed(e, m);
    else if (m->type == WIRE_AGAIN) {
        e->wave.again = true;
        begin_wave(e);
    }
}
