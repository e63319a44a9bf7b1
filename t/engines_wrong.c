/*
 * engines_wrong.c - an engine that is sent what no right peer would send: every type of message from every kind of
 * peer, with fields drawn at random, into an engine with folders, waiting selects, latches, locks and delayed puts.
 *
 * After each message the directory is looked at. What a peer of that kind may not send, and whatever the engine
 * says it has refused, must have left it as it was; a client that was refused has its memo back; no memo is lost.
 */
#include <stdlib.h>
#include <string.h>

#include "t/lib/engines_alone.h"
#include "t/lib/engines_whole.h"
#include "t/tap.h"

enum {
    REQUESTS = 6, /* numbers of them, for each client */
    FOLDERS = 5,
    ROUNDS = 400,
    MESSAGES = 500,
    FLAGS = WIRE_FLAGS + 1
};

/* ---- who may send what: message.h, once more -------------------------------------------------------------- */

typedef enum { NOBODY, CLIENT, SERVER, EITHER, ZERO } who_t;

static who_t who_may_send(wire_type_t type)
{
    switch (type) {
    case WIRE_PUT:
    case WIRE_DELAY:
    case WIRE_SELECT:
    case WIRE_JOIN:
    case WIRE_LATCH:
    case WIRE_LINK:
    case WIRE_UNLINK:
    case WIRE_ACCEPT:
    case WIRE_RELEASE:
    case WIRE_GATHER:
    case WIRE_WATCH:
    case WIRE_CHAIN:
    case WIRE_CANCEL:
    case WIRE_LIMIT:
    case WIRE_COUNT:
    case WIRE_STAT:
    case WIRE_EACH:
    case WIRE_LEAVE:
    case WIRE_BYE:
    case WIRE_RECEIVED:
    case WIRE_IDLE:
    case WIRE_WITHDRAW:
        return CLIENT;
    case WIRE_RETURN:
    case WIRE_DROP:
    case WIRE_GONE:
        return EITHER;
    case WIRE_HOLD:
    case WIRE_UNRESERVE:
    case WIRE_FIRE:
    case WIRE_FIRED:
    case WIRE_NEXT:
    case WIRE_UNLOCK:
    case WIRE_PROBED:
    case WIRE_FROZEN:
    case WIRE_COMMITTED:
    case WIRE_AGAIN:
        return SERVER;
    case WIRE_PROBE:
    case WIRE_FREEZE:
    case WIRE_COMMIT:
    case WIRE_THAW:
        return ZERO;
    default:
        return NOBODY;
    }
}

static bool may_send(const wire_message_t *m)
{
    who_t who = who_may_send(m->type);
    bool client = m->from >= SERVERS && m->from < PEERS;
    if (client) {
        return (who == CLIENT || who == EITHER) && m->client == m->from;
    }
    return m->from < SERVERS && (who == SERVER || who == EITHER || (who == ZERO && m->from == 0));
}

/* ---- messages at random ------------------------------------------------------------------------------------ */

static uint32_t draw_peer(void)
{
    uint32_t odd = alone_below(12);
    return odd == 0 ? PEERS + alone_below(3) : odd == 1 ? UINT32_MAX : alone_below(PEERS);
}

static wire_type_t draw_type(void)
{
    wire_type_t type = (wire_type_t)alone_below(WIRE_TYPES + 3);
    bool ends = type == WIRE_BYE || type == WIRE_LEAVE || type == WIRE_GONE;
    return ends && alone_below(20) != 0 ? WIRE_PUT : type;
}

static uint32_t draw_flags(void)
{
    static const uint32_t likely[] = {WIRE_COPY, WIRE_WAIT, WIRE_TAKE_ALL, WIRE_UNTIL_QUIET, WIRE_NO_ANSWER};
    uint32_t kind = alone_below(20);
    return kind == 0  ? alone_below(2 * FLAGS)
           : kind < 6 ? likely[alone_below(sizeof likely / sizeof likely[0])]
                      : 0;
}

static uint64_t draw_number(void)
{
    switch (alone_below(6)) {
    case 0:
        return alone_draw();
    case 1:
        return (UINT64_C(1) << 32) + alone_below(PEERS);
    case 2:
        return UINT64_MAX;
    default:
        return alone_below(PEERS + 2);
    }
}

/* Mostly as many as there should be. */
static uint32_t draw_count(wire_type_t type)
{
    if (alone_below(10) == 0) {
        return alone_below(FOLDERS);
    }
    switch (type) {
    case WIRE_PUT:
    case WIRE_RETURN:
    case WIRE_DROP:
    case WIRE_LIMIT:
    case WIRE_COUNT:
    case WIRE_UNRESERVE:
    case WIRE_FIRE:
        return 1;
    case WIRE_DELAY:
    case WIRE_HOLD:
        return 2 + alone_below(2);
    case WIRE_SELECT:
    case WIRE_LATCH:
    case WIRE_LINK:
    case WIRE_JOIN:
    case WIRE_GATHER:
    case WIRE_WATCH:
    case WIRE_CHAIN:
    case WIRE_NEXT:
        return 1 + alone_below(FOLDERS - 1);
    default:
        return 0;
    }
}

static void draw_folders(wire_folder_t folders[], uint32_t count, bool own, bool ordered)
{
    uint32_t server = own ? alone_self : alone_below(SERVERS);
    for (uint32_t i = 0; i < count; i++) {
        if (ordered && alone_below(2) == 0 && server + 1 < SERVERS) {
            server++;
        }
        folders[i].name = alone_names[own || ordered ? server : alone_below(SERVERS)][alone_below(NAMES)];
        folders[i].index = alone_below(20) == 0 ? UINT32_MAX : i;
    }
}

/* Mostly a message that could be: of the peer that may send it, with folders of this server. */
static void draw_message(wire_message_t *m, wire_folder_t folders[])
{
    wire_type_t type = draw_type();
    uint32_t server = alone_below(3) == 0 ? 0 : alone_below(SERVERS), client = SERVERS + alone_below(CLIENTS);
    who_t who = who_may_send(type);
    bool random = alone_below(6) == 0, servers = who >= SERVER && alone_below(6) < (who == EITHER ? 3 : 5);
    *m = (wire_message_t){.type = type,
                          .flags = draw_flags(),
                          .how = (wire_how_t)(alone_below(12) == 0 ? alone_below(9) : alone_below(3)),
                          .from = servers ? server : client,
                          .client = client,
                          .request = alone_below(20) == 0 ? alone_draw() : alone_below(REQUESTS),
                          .index = alone_below(FOLDERS),
                          .count = draw_count(type),
                          .folders = folders,
                          .result = (int32_t)alone_below(4),
                          .redeliveries = alone_below(3)};
    bool chained = type == WIRE_CHAIN || type == WIRE_NEXT;
    draw_folders(folders, m->count, alone_below(8) != 0 && !chained, chained && alone_below(8) != 0);
    if (type == WIRE_HOLD && m->count > 1 && alone_below(8) != 0) { /* its target is the sender's */
        folders[1].name = alone_names[server][alone_below(NAMES)];
    }
    for (int i = 0; i < 4; i++) {
        m->number[i] = type == WIRE_UNRESERVE && alone_below(2) == 0 ? 1 + alone_below(8) : draw_number();
    }
    if (type == WIRE_GONE && alone_below(2) == 0) {
        m->number[1] = alone_below(2);
        m->number[2] = alone_below(2);
    }
    if (random) {
        m->from = draw_peer();
        m->client = alone_below(2) == 0 ? m->from : draw_peer();
    }
    if (alone_brings_memo(type) != (alone_below(12) == 0)) {
        m->memo = alone_memo();
        m->size = m->memo->size;
    }
}

/* ---- judging ----------------------------------------------------------------------------------------------- */

static char wrong[300];

static void complain(const wire_message_t *m, const char *what)
{
    if (wrong[0] == '\0') {
        snprintf(wrong, sizeof wrong, "%s: type %d from %u of %u/%" PRIu64 ", flags %u, how %d, %u folders%s", what,
                 (int)m->type, m->from, m->client, m->request, m->flags, (int)m->how, m->count,
                 m->memo != NULL ? ", memo" : "");
    }
}

/* Whether it was refused. */
static bool send_and_judge(const wire_message_t *m)
{
    char why[100];
    uint64_t before = alone_refused(), digest = engine_digest(alone, alone_number), memos = engine_memos(alone);
    uint64_t memo = m->memo != NULL ? m->memo->number : 0, waiting = alone_deferred();
    alone_sent.count = 0;
    alone_sent.memo = 0;
    engine_receive(alone, m);
    bool was_refused = alone_refused() > before;
    if (!engine_is_whole(alone, why, sizeof why)) {
        complain(m, why);
    }
    if (engine_memos(alone) != alone_alive) {
        complain(m, "a memo is lost, or there is one too many");
    }
    if (!was_refused && !may_send(m)) {
        complain(m, "it may not send that");
    }
    if (alone_deferred() != waiting) {
        return was_refused; /* others were dealt with, too */
    }
    if (was_refused && (engine_digest(alone, alone_number) != digest || engine_memos(alone) != memos)) {
        complain(m, "it was refused, and something has changed");
    }
    if (was_refused && alone_sent.count > 0 &&
        (alone_sent.count > 1 || alone_sent.to != m->from || alone_sent.type != WIRE_ANSWER ||
         alone_sent.result != MEMO_EINVAL || alone_sent.memo != memo)) {
        complain(m, "it was refused with another answer");
    }
    return was_refused;
}

static uint64_t one_round(uint32_t server, uint64_t kept[WIRE_TYPES])
{
    wire_folder_t folders[FOLDERS];
    wire_message_t m;
    uint64_t refusals = 0;
    alone_begin(server);
    for (int i = 0; i < MESSAGES && wrong[0] == '\0'; i++) {
        draw_message(&m, folders);
        bool was_refused = send_and_judge(&m);
        refusals += was_refused;
        if (!was_refused && (uint32_t)m.type < WIRE_TYPES) {
            kept[m.type]++;
        }
    }
    engine_free(alone);
    if (alone_alive != 0 && wrong[0] == '\0') {
        snprintf(wrong, sizeof wrong, "%" PRIu64 " memos are left when the engine is gone", alone_alive);
    }
    return refusals;
}

static void check_random(void)
{
    uint64_t refusals = 0, kept[WIRE_TYPES] = {0}, seed = tap_seed(), rounds = 0;
    for (; rounds < ROUNDS && wrong[0] == '\0'; rounds++) {
        alone_random = seed + rounds;
        refusals += one_round((uint32_t)(rounds % SERVERS), kept);
    }
    if (wrong[0] != '\0') {
        tap_diag("round %" PRIu64 ": %s", rounds - 1, wrong);
    }
    tap_ok(wrong[0] == '\0',
           "%d messages at random, %" PRIu64 " of them refused: the directory is whole, and has all memos",
           ROUNDS * MESSAGES, refusals);
    uint32_t never = 0;
    for (uint32_t type = 1; type < WIRE_TYPES; type++) {
        if (who_may_send((wire_type_t)type) != NOBODY && kept[type] == 0) {
            tap_diag("never let through: type %u", type);
            never++;
        }
    }
    tap_is_int(never, 0, "of each type that a server may be sent, some were let through");
}

/* ---- one after the other: into what alone_fill() makes ------------------------------------------------------ */

typedef struct wrong_case {
    const char *what;
    wire_message_t m;
    uint32_t server[3], folder[3];
    bool silent; /* not counted as refused: there is no such thing now */
    bool no_memo, memo;
} wrong_case_t;

static const wrong_case_t cases[] = {
    {"a put into a folder of another server", {.type = WIRE_PUT, .from = A, .count = 1}, .server = {2}},
    {"a put without a memo", {.type = WIRE_PUT, .from = A, .count = 1}, .server = {1}, .no_memo = true},
    {"a select with a memo", {.type = WIRE_SELECT, .from = A, .count = 1}, .server = {1}, .memo = true},
    {"a select over another server's folder too", {.type = WIRE_SELECT, .from = A, .count = 2}, .server = {1, 0}},
    {"a select over none", {.type = WIRE_SELECT, .from = A}, .server = {1}},
    {"a select of a kind that there is not",
     {.type = WIRE_SELECT, .from = A, .count = 1, .how = (wire_how_t)3},
     .server = {1}},
    {"a skip until quiet",
     {.type = WIRE_SELECT, .from = A, .count = 1, .how = WIRE_HOW_SKIP, .flags = WIRE_UNTIL_QUIET},
     .server = {1}},
    {"a select for somebody else", {.type = WIRE_SELECT, .from = A, .client = B, .count = 1}, .server = {1}},
    {"a request number that is in use", {.type = WIRE_SELECT, .from = A, .count = 1, .request = 1}, .server = {1}},
    {"a join that copies", {.type = WIRE_JOIN, .from = A, .count = 1, .flags = WIRE_COPY}, .server = {1}},
    {"a return of a server that wants an answer",
     {.type = WIRE_RETURN, .from = 2, .client = 2, .count = 1},
     .server = {1}},
    {"a client that fires", {.type = WIRE_FIRE, .from = A, .count = 1}, .server = {1}},
    {"a client that unlocks", {.type = WIRE_UNLOCK, .from = A, .client = B, .request = 1}, .server = {1}},
    {"a client that holds", {.type = WIRE_HOLD, .from = A, .count = 2}, .server = {1, 2}},
    {"a delayed put held for a target of a third",
     {.type = WIRE_HOLD, .from = 2, .client = A, .count = 2},
     .server = {1, 0}},
    {"a delayed put held for no client", {.type = WIRE_HOLD, .from = 2, .client = 2, .count = 2}, .server = {1, 2}},
    {"a fire into what is not reserved",
     {.type = WIRE_FIRE, .from = 2, .client = 2, .count = 1},
     .server = {1},
     .silent = true},
    {"room given back that is not reserved",
     {.type = WIRE_UNRESERVE, .from = 2, .client = 2, .count = 1, .number = {8}},
     .server = {1},
     .silent = true},
    {"a chain that begins elsewhere", {.type = WIRE_CHAIN, .from = A, .count = 2}, .server = {0, 1}},
    {"a chain out of order", {.type = WIRE_CHAIN, .from = A, .count = 3}, .server = {1, 2, 1}},
    {"a chain passed on by a later server",
     {.type = WIRE_NEXT, .from = 2, .client = A, .count = 2},
     .server = {1, 2}},
    {"a chain passed on that is not for this server",
     {.type = WIRE_NEXT, .from = 0, .client = A, .count = 2},
     .server = {0, 2}},
    {"a chain passed on for no client", {.type = WIRE_NEXT, .from = 0, .client = 9, .count = 2}, .server = {0, 1}},
    {"a chain unlocked by an earlier server",
     {.type = WIRE_UNLOCK, .from = 0, .client = B, .request = 1},
     .server = {1}},
    {"a strict skip that is told to take, as a join",
     {.type = WIRE_UNLOCK, .from = 2, .client = C, .request = 1, .flags = WIRE_TAKE_ALL},
     .server = {1},
     .silent = true},
    {"a release of a put that waits",
     {.type = WIRE_RELEASE, .from = A, .request = 1},
     .server = {1},
     .silent = true},
    {"a release of a chain", {.type = WIRE_RELEASE, .from = B, .request = 1}, .server = {1}, .silent = true},
    {"a cancel of a chain", {.type = WIRE_CANCEL, .from = B, .request = 1}, .server = {1}, .silent = true},
    {"an accept of a put that waits",
     {.type = WIRE_ACCEPT, .from = A, .request = 1},
     .server = {1},
     .silent = true},
    {"a release of somebody else's put",
     {.type = WIRE_RELEASE, .from = C, .client = A, .request = 1},
     .server = {1}},
    {"a cancel of somebody else's put", {.type = WIRE_CANCEL, .from = C, .client = A, .request = 1}, .server = {1}},
    {"the death of nobody", {.type = WIRE_GONE, .from = A, .number = {PEERS}}, .server = {1}},
    {"the death of a client, with bits too many",
     {.type = WIRE_GONE, .from = A, .number = {(UINT64_C(1) << 32) + B}},
     .server = {1}},
    {"its own death", {.type = WIRE_GONE, .from = A, .number = {A}}, .server = {1}},
    {"a report to a server that does not decide", {.type = WIRE_IDLE, .from = A}, .server = {1}},
    {"a client that freezes", {.type = WIRE_FREEZE, .from = A}, .server = {1}},
    {"a server that freezes, and does not decide", {.type = WIRE_FREEZE, .from = 2, .client = 2}, .server = {1}},
    {"an answer", {.type = WIRE_ANSWER, .from = 2, .client = A, .count = 1}, .server = {1}},
    {"a message of no type", {.type = WIRE_TYPES, .from = A}, .server = {1}},
    {"a peer that there is not", {.type = WIRE_PUT, .from = PEERS, .client = PEERS, .count = 1}, .server = {1}},
};

static void check_case(const wrong_case_t *c)
{
    wire_folder_t folders[3];
    wire_message_t m = c->m;
    alone_begin(1);
    alone_fill();
    for (uint32_t i = 0; i < m.count; i++) {
        folders[i] = (wire_folder_t){.name = alone_names[c->server[i]][c->folder[i]], .index = i};
    }
    m.folders = folders;
    m.client = m.client != 0 ? m.client : m.from;
    m.request = m.request != 0 ? m.request : 7;
    if (c->memo || (alone_brings_memo(m.type) && !c->no_memo)) {
        m.memo = alone_memo();
        m.size = m.memo->size;
    }
    uint64_t digest = engine_digest(alone, alone_number);
    wrong[0] = '\0';
    bool was_refused = send_and_judge(&m);
    bool same = engine_digest(alone, alone_number) == digest;
    tap_ok(was_refused != c->silent && same && wrong[0] == '\0', "%s: %s, and nothing changes%s%s", c->what,
           c->silent ? "it is ignored" : "it is refused", wrong[0] != '\0' ? "; but " : "", wrong);
    engine_free(alone);
}

int main(void)
{
    alone_random = 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_case(&cases[i]);
    }
    wrong[0] = '\0';
    check_random();
    return tap_done();
}
