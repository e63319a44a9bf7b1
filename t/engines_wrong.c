/*
 * engines_wrong.c - an engine that is sent what no right peer would send: every type of message from every kind of
 * peer, with fields drawn at random, into an engine with folders, waiting selects, latches, locks and delayed puts.
 *
 * After each message the directory is looked at. What a peer of that kind may not send, and whatever the engine
 * says it has refused, must have left it as it was; a client that was refused has its memo back; no memo is lost.
 *
 * Besides, in what order cannot be left to chance: what waits behind a chain's lock, servers that die, selects
 * that must look twice.
 */
#include <stdlib.h>
#include <string.h>

#include "servers/engine.h"
#include "t/lib/engines_names.h"
#include "t/lib/engines_whole.h"
#include "t/tap.h"

enum {
    SERVERS = 3,
    CLIENTS = 4,
    PEERS = SERVERS + CLIENTS,
    NAMES = 3,    /* for each server */
    REQUESTS = 6, /* numbers of them, for each client */
    FOLDERS = 5,
    ROUNDS = 400,
    MESSAGES = 500,
    FLAGS = WIRE_FLAGS + 1
};

struct wire_memo {
    uint64_t number, size;
};

static memo_folder_t names[SERVERS][NAMES];
static uint64_t state, made, alive; /* memos */
static uint32_t self;
static engine_t *engine;

static uint64_t draw(void)
{
    uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(((draw() >> 32) * n) >> 32);
}

/* ---- the world --------------------------------------------------------------------------------------------- */

static wire_memo_t *new_memo(void)
{
    wire_memo_t *m = malloc(sizeof *m);
    *m = (wire_memo_t){.number = ++made, .size = 1 + below(8)};
    alive++;
    return m;
}

static void free_memo(wire_memo_t *m)
{
    alive--;
    free(m);
}

static uint64_t number_of(const wire_memo_t *m)
{
    return m->number;
}

/* What was last sent, and to whom. */
static struct {
    uint32_t count, to;
    wire_type_t type;
    int32_t result;
    uint64_t memo; /* its number */
} sent;

static void engine_sends(void *arg, uint32_t to, const wire_message_t *m)
{
    (void)arg;
    if (m->from != self || to >= PEERS || to == self) {
        tap_bail("a message from %u to %u", m->from, to);
    }
    if (m->type == WIRE_AGAIN) {
        return; /* what it counts of messages has changed */
    }
    sent.count++;
    sent.to = to;
    sent.type = m->type;
    sent.result = m->result;
    sent.memo = m->memo != NULL ? m->memo->number : 0;
    if (m->memo != NULL) {
        free_memo(m->memo);
    }
}

static wire_memo_t *engine_copies(void *arg, wire_memo_t *m)
{
    (void)arg;
    wire_memo_t *copy = below(8) == 0 ? NULL : new_memo();
    if (copy != NULL) {
        copy->size = m->size;
    }
    return copy;
}

static wire_memo_t *engine_makes(void *arg, const void *bytes, size_t size)
{
    (void)arg;
    (void)bytes;
    wire_memo_t *m = new_memo();
    m->size = size;
    return m;
}

static void engine_frees(void *arg, wire_memo_t *m)
{
    (void)arg;
    free_memo(m);
}

static void begin_world(uint32_t server)
{
    static const engine_io_t io = {
        .send = engine_sends, .copy = engine_copies, .make = engine_makes, .free = engine_frees};
    self = server;
    alive = 0;
    engine = engine_new(self, SERVERS, CLIENTS, &io);
    if (engine == NULL) {
        tap_bail("no memory");
    }
}

static uint64_t refused(void)
{
    engine_figures_t f;
    engine_look(engine, &f);
    return f.refused;
}

static uint64_t deferred(void)
{
    engine_figures_t f;
    engine_look(engine, &f);
    return f.deferred;
}

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

static bool brings_memo(wire_type_t type)
{
    return type == WIRE_PUT || type == WIRE_RETURN || type == WIRE_DELAY || type == WIRE_HOLD || type == WIRE_FIRE;
}

static uint32_t draw_peer(void)
{
    uint32_t odd = below(12);
    return odd == 0 ? PEERS + below(3) : odd == 1 ? UINT32_MAX : below(PEERS);
}

static wire_type_t draw_type(void)
{
    wire_type_t type = (wire_type_t)below(WIRE_TYPES + 3);
    bool ends = type == WIRE_BYE || type == WIRE_LEAVE || type == WIRE_GONE;
    return ends && below(20) != 0 ? WIRE_PUT : type;
}

static uint32_t draw_flags(void)
{
    static const uint32_t likely[] = {WIRE_COPY, WIRE_WAIT, WIRE_TAKE_ALL, WIRE_UNTIL_QUIET, WIRE_NO_ANSWER};
    uint32_t kind = below(20);
    return kind == 0 ? below(2 * FLAGS) : kind < 6 ? likely[below(sizeof likely / sizeof likely[0])] : 0;
}

static uint64_t draw_number(void)
{
    switch (below(6)) {
    case 0:
        return draw();
    case 1:
        return (UINT64_C(1) << 32) + below(PEERS);
    case 2:
        return UINT64_MAX;
    default:
        return below(PEERS + 2);
    }
}

/* Mostly as many as there should be. */
static uint32_t draw_count(wire_type_t type)
{
    if (below(10) == 0) {
        return below(FOLDERS);
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
        return 2 + below(2);
    case WIRE_SELECT:
    case WIRE_LATCH:
    case WIRE_LINK:
    case WIRE_JOIN:
    case WIRE_GATHER:
    case WIRE_WATCH:
    case WIRE_CHAIN:
    case WIRE_NEXT:
        return 1 + below(FOLDERS - 1);
    default:
        return 0;
    }
}

static void draw_folders(wire_folder_t folders[], uint32_t count, bool own, bool ordered)
{
    uint32_t server = own ? self : below(SERVERS);
    for (uint32_t i = 0; i < count; i++) {
        if (ordered && below(2) == 0 && server + 1 < SERVERS) {
            server++;
        }
        folders[i].name = names[own || ordered ? server : below(SERVERS)][below(NAMES)];
        folders[i].index = below(20) == 0 ? UINT32_MAX : i;
    }
}

/* Mostly a message that could be: of the peer that may send it, with folders of this server. */
static void draw_message(wire_message_t *m, wire_folder_t folders[])
{
    wire_type_t type = draw_type();
    uint32_t server = below(3) == 0 ? 0 : below(SERVERS), client = SERVERS + below(CLIENTS);
    who_t who = who_may_send(type);
    bool random = below(6) == 0, servers = who >= SERVER && below(6) < (who == EITHER ? 3 : 5);
    *m = (wire_message_t){.type = type,
                          .flags = draw_flags(),
                          .how = (wire_how_t)(below(12) == 0 ? below(9) : below(3)),
                          .from = servers ? server : client,
                          .client = client,
                          .request = below(20) == 0 ? draw() : below(REQUESTS),
                          .index = below(FOLDERS),
                          .count = draw_count(type),
                          .folders = folders,
                          .result = (int32_t)below(4),
                          .redeliveries = below(3)};
    bool chained = type == WIRE_CHAIN || type == WIRE_NEXT;
    draw_folders(folders, m->count, below(8) != 0 && !chained, chained && below(8) != 0);
    if (type == WIRE_HOLD && m->count > 1 && below(8) != 0) { /* its target is the sender's */
        folders[1].name = names[server][below(NAMES)];
    }
    for (int i = 0; i < 4; i++) {
        m->number[i] = type == WIRE_UNRESERVE && below(2) == 0 ? 1 + below(8) : draw_number();
    }
    if (type == WIRE_GONE && below(2) == 0) {
        m->number[1] = below(2);
        m->number[2] = below(2);
    }
    if (random) {
        m->from = draw_peer();
        m->client = below(2) == 0 ? m->from : draw_peer();
    }
    if (brings_memo(type) != (below(12) == 0)) {
        m->memo = new_memo();
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
    uint64_t before = refused(), digest = engine_digest(engine, number_of), memos = engine_memos(engine);
    uint64_t memo = m->memo != NULL ? m->memo->number : 0, waiting = deferred();
    sent.count = 0;
    sent.memo = 0;
    engine_receive(engine, m);
    bool was_refused = refused() > before;
    if (!engine_is_whole(engine, why, sizeof why)) {
        complain(m, why);
    }
    if (engine_memos(engine) != alive) {
        complain(m, "a memo is lost, or there is one too many");
    }
    if (!was_refused && !may_send(m)) {
        complain(m, "it may not send that");
    }
    if (deferred() != waiting) {
        return was_refused; /* others were dealt with, too */
    }
    if (was_refused && (engine_digest(engine, number_of) != digest || engine_memos(engine) != memos)) {
        complain(m, "it was refused, and something has changed");
    }
    if (was_refused && sent.count > 0 &&
        (sent.count > 1 || sent.to != m->from || sent.type != WIRE_ANSWER || sent.result != MEMO_EINVAL ||
         sent.memo != memo)) {
        complain(m, "it was refused with another answer");
    }
    return was_refused;
}

static uint64_t one_round(uint32_t server, uint64_t kept[WIRE_TYPES])
{
    wire_folder_t folders[FOLDERS];
    wire_message_t m;
    uint64_t refusals = 0;
    begin_world(server);
    for (int i = 0; i < MESSAGES && wrong[0] == '\0'; i++) {
        draw_message(&m, folders);
        bool was_refused = send_and_judge(&m);
        refusals += was_refused;
        if (!was_refused && (uint32_t)m.type < WIRE_TYPES) {
            kept[m.type]++;
        }
    }
    engine_free(engine);
    if (alive != 0 && wrong[0] == '\0') {
        snprintf(wrong, sizeof wrong, "%" PRIu64 " memos are left when the engine is gone", alive);
    }
    return refusals;
}

static void check_random(void)
{
    uint64_t refusals = 0, kept[WIRE_TYPES] = {0}, seed = tap_seed(), rounds = 0;
    for (; rounds < ROUNDS && wrong[0] == '\0'; rounds++) {
        state = seed + rounds;
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

/* ---- one after the other ------------------------------------------------------------------------------------
 *
 * At server 1, which has: memos in its folders 0 and 1; a put of client 3 that waits for room in folder 1 (request
 * 1); a chain of client 4 that has gone on (request 1), over its folder 2.
 */

enum { A = SERVERS, B, C }; /* clients */

static void receive(wire_message_t m, uint32_t from, uint32_t server, uint32_t folder)
{
    wire_folder_t f = {.name = names[server][folder]};
    m.from = from;
    m.client = from;
    m.folders = &f;
    m.count = 1;
    m.memo = m.type == WIRE_PUT ? new_memo() : NULL;
    m.size = m.memo != NULL ? m.memo->size : 0;
    engine_receive(engine, &m);
}

static void fill(void)
{
    wire_folder_t both[2] = {{.name = names[1][2]}, {.name = names[2][0], .index = 1}};
    receive((wire_message_t){.type = WIRE_PUT, .request = 90}, C, 1, 0);
    receive((wire_message_t){.type = WIRE_PUT, .request = 91}, C, 1, 1);
    receive((wire_message_t){.type = WIRE_LIMIT, .request = 92, .number = {1}}, C, 1, 1);
    receive((wire_message_t){.type = WIRE_PUT, .flags = WIRE_WAIT, .request = 1}, A, 1, 1);
    engine_receive(engine, &(wire_message_t){.type = WIRE_CHAIN,
                                             .how = WIRE_HOW_STRICT,
                                             .from = B,
                                             .client = B,
                                             .request = 1,
                                             .folders = both,
                                             .count = 2});
}

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
    begin_world(1);
    fill();
    for (uint32_t i = 0; i < m.count; i++) {
        folders[i] = (wire_folder_t){.name = names[c->server[i]][c->folder[i]], .index = i};
    }
    m.folders = folders;
    m.client = m.client != 0 ? m.client : m.from;
    m.request = m.request != 0 ? m.request : 7;
    if (c->memo || (brings_memo(m.type) && !c->no_memo)) {
        m.memo = new_memo();
        m.size = m.memo->size;
    }
    uint64_t digest = engine_digest(engine, number_of);
    wrong[0] = '\0';
    bool was_refused = send_and_judge(&m);
    bool same = engine_digest(engine, number_of) == digest;
    tap_ok(was_refused != c->silent && same && wrong[0] == '\0', "%s: %s, and nothing changes%s%s", c->what,
           c->silent ? "it is ignored" : "it is refused", wrong[0] != '\0' ? "; but " : "", wrong);
    engine_free(engine);
}

/* ---- behind a lock, and when a server dies -------------------------------------------------------------------
 *
 * The same server 1; its folder 2 is locked by client 4's chain, which has gone on to server 2.
 */

static const struct {
    const char *name;
    wire_message_t m;
    int own;           /* which of its folders is the locked one; the others are server 2's */
    bool outlives;     /* its client's death */
    bool outlives_all; /* also that he leaves */
} behind[] = {
    {"PUT", {.type = WIRE_PUT, .count = 1}, 0, true, false},
    {"RETURN", {.type = WIRE_RETURN, .count = 1}, 0, true, true},
    {"DELAY", {.type = WIRE_DELAY, .count = 2}, 1, true, false},
    {"SELECT", {.type = WIRE_SELECT, .count = 1}, 0, false, false},
    {"JOIN", {.type = WIRE_JOIN, .count = 1}, 0, false, false},
    {"LATCH", {.type = WIRE_LATCH, .count = 1}, 0, false, false},
    {"LINK", {.type = WIRE_LINK, .count = 1, .how = WIRE_HOW_STRICT}, 0, false, false},
    {"GATHER", {.type = WIRE_GATHER, .count = 1}, 0, false, false},
    {"WATCH", {.type = WIRE_WATCH, .count = 1}, 0, false, false},
    {"CHAIN", {.type = WIRE_CHAIN, .count = 2, .how = WIRE_HOW_STRICT}, 0, false, false},
    {"LIMIT", {.type = WIRE_LIMIT, .count = 1}, 0, false, false},
    {"HOLD", {.type = WIRE_HOLD, .from = 2, .client = A, .count = 2}, 0, true, true},
    {"FIRE", {.type = WIRE_FIRE, .from = 2, .client = 2, .count = 1}, 0, true, true},
    {"NEXT", {.type = WIRE_NEXT, .from = 0, .client = A, .count = 2}, 1, true, true},
};

/* A server's words are of client A. */
static void receive_behind(size_t i)
{
    wire_message_t m = behind[i].m;
    wire_folder_t folders[2];
    for (int k = 0; k < 2; k++) {
        uint32_t server = k == behind[i].own ? 1 : m.type == WIRE_NEXT ? 0 : 2;
        folders[k] = (wire_folder_t){.name = names[server][server == 1 ? 2 : 0], .index = (uint32_t)k};
    }
    m.folders = folders;
    m.request = 20;
    if (m.from == 0 && m.type != WIRE_NEXT) {
        m.from = m.client = A;
    }
    if (brings_memo(m.type)) {
        m.memo = new_memo();
        m.size = m.memo->size;
    }
    engine_receive(engine, &m);
}

static void receive_plain(wire_type_t type, uint32_t from, uint64_t number, uint64_t knows)
{
    engine_receive(
        engine,
        &(wire_message_t){.type = type, .from = from, .client = from, .request = 21, .number = {number, 0, knows}});
}

static void check_behind(size_t i)
{
    char why[100] = "";
    begin_world(1);
    fill();
    receive_behind(i);
    bool waits = deferred() == 1 && engine_is_whole(engine, why, sizeof why);
    receive_plain(WIRE_GONE, 2, A, 0);
    bool gone = deferred() == behind[i].outlives && engine_is_whole(engine, why, sizeof why);
    engine_free(engine);
    begin_world(1);
    fill();
    receive_behind(i);
    receive_plain(WIRE_LEAVE, A, 0, 0);
    bool left = deferred() == behind[i].outlives_all && engine_is_whole(engine, why, sizeof why);
    engine_free(engine);
    tap_ok(waits && gone && left && alive == 0, "%s waits behind a lock: %s its client's death, %s his leaving%s%s",
           behind[i].name, behind[i].outlives ? "also after" : "not after",
           behind[i].outlives_all ? "also after" : "not after", why[0] != '\0' ? ": " : "", why);
}

static uint64_t locked(void)
{
    engine_figures_t f;
    engine_look(engine, &f);
    return f.locked;
}

/* The chain has gone from 1 to 2 of three; 2 dies; 0 may have it, as far as 1 can know: it is over when 0 knows. */
static void check_chain_of_the_dead(void)
{
    begin_world(0);
    wire_folder_t all[3] = {{.name = names[0][0]}, {.name = names[1][0]}, {.name = names[2][0]}};
    engine_receive(engine, &(wire_message_t){.type = WIRE_CHAIN,
                                             .how = WIRE_HOW_STRICT,
                                             .from = A,
                                             .client = A,
                                             .request = 1,
                                             .folders = all,
                                             .count = 3});
    tap_ok(locked() == 1 && sent.type == WIRE_NEXT && sent.to == 1, "a chain goes on to the next server");
    sent.count = 0;
    receive_plain(WIRE_GONE, B, 1, 0);
    tap_ok(locked() == 1, "which dies: the one after it may have the chain, and the folder stays locked");
    tap_ok(sent.count == 1 && sent.to == 2 && sent.type == WIRE_GONE, "that one is told that we know");
    receive_plain(WIRE_GONE, 2, 1, 1);
    tap_ok(locked() == 0, "when it says so too the chain is over");
    sent.count = 0;
    all[1] = (wire_folder_t){.name = names[1][0], .index = 1};
    engine_receive(engine, &(wire_message_t){.type = WIRE_CHAIN,
                                             .how = WIRE_HOW_STRICT,
                                             .from = A,
                                             .client = A,
                                             .request = 2,
                                             .folders = all,
                                             .count = 3});
    tap_ok(sent.count == 1 && sent.type == WIRE_ANSWER && sent.result == MEMO_EPEER && locked() == 0,
           "another is answered MEMO_EPEER at once");
    engine_free(engine);
}

/* A put fires a delayed one into a folder of a server that dies. */
static void check_put_of_the_dead(void)
{
    begin_world(1);
    wire_folder_t hold[2] = {{.name = names[1][0]}, {.name = names[2][0], .index = 1}};
    wire_memo_t *memo = new_memo();
    engine_receive(engine, &(wire_message_t){.type = WIRE_HOLD,
                                             .from = 2,
                                             .client = A,
                                             .request = 1,
                                             .folders = hold,
                                             .count = 2,
                                             .memo = memo,
                                             .size = memo->size});
    sent.count = 0;
    receive((wire_message_t){.type = WIRE_PUT, .request = 2}, B, 1, 0);
    tap_ok(sent.count == 1 && sent.type == WIRE_FIRE && sent.to == 2, "a put that fires waits for what it fires");
    receive_plain(WIRE_GONE, A, 2, 0);
    tap_ok(sent.type == WIRE_ANSWER && sent.to == B && sent.result == MEMO_OK,
           "but not when the server dies that it was for");
    engine_free(engine);
}

/* ---- selects that must look twice --------------------------------------------------------------------------- */

/* Of a client's, over folders 0 and, if there are two, 1 of server 1. */
static void ask(wire_type_t type, uint32_t client, wire_how_t how, uint32_t flags, uint32_t first, uint32_t count)
{
    wire_folder_t f[2] = {{.name = names[1][first]}, {.name = names[1][1 - first], .index = 1}};
    engine_receive(engine, &(wire_message_t){.type = type,
                                             .how = how,
                                             .flags = flags,
                                             .from = client,
                                             .client = client,
                                             .request = client,
                                             .folders = f,
                                             .count = count});
}

static void put(uint32_t client, uint32_t folder)
{
    receive((wire_message_t){.type = WIRE_PUT, .request = 50}, client, 1, folder);
}

/* A strict skip that meets latched memos waits for an instant at which all is empty, not for one of each folder. */
static void check_strict(void)
{
    const uint32_t D = C + 1;
    begin_world(1);
    put(A, 0);
    put(A, 1);
    ask(WIRE_LATCH, B, WIRE_HOW_WAIT, 0, 0, 1);
    ask(WIRE_LATCH, D, WIRE_HOW_WAIT, 0, 1, 1);
    ask(WIRE_LATCH, C, WIRE_HOW_WAIT, 0, 0, 1); /* waits, ahead of A */
    ask(WIRE_SELECT, A, WIRE_HOW_STRICT, 0, 0, 2);
    ask(WIRE_ACCEPT, B, WIRE_HOW_WAIT, 0, 0, 0);
    put(B, 0);
    ask(WIRE_ACCEPT, D, WIRE_HOW_WAIT, 0, 0, 0);
    tap_ok(sent.to != A, "a strict skip waits while a folder that was empty once holds a memo again");
    ask(WIRE_ACCEPT, C, WIRE_HOW_WAIT, 0, 0, 0);
    tap_ok(sent.to == A && sent.type == WIRE_ANSWER && sent.result == MEMO_NONE,
           "and is answered when all is empty");
    engine_free(engine);
}

static void check_second_phase(void)
{
    begin_world(1);
    ask(WIRE_LATCH, C, WIRE_HOW_WAIT, 0, 0, 1);
    ask(WIRE_LINK, A, WIRE_HOW_STRICT, 0, 0, 1);
    tap_ok(sent.to == A && sent.type == WIRE_EMPTY, "a strict skip's first phase finds an empty folder");
    put(B, 0);
    sent.count = 0;
    ask(WIRE_UNLINK, A, WIRE_HOW_STRICT, 0, 0, 0);
    tap_ok(sent.count == 0, "the second waits while what came is latched for another");
    ask(WIRE_ACCEPT, C, WIRE_HOW_WAIT, 0, 0, 0);
    tap_ok(sent.to == A && sent.type == WIRE_EMPTY, "and ends when that is taken");
    engine_free(engine);
}

static void check_oldest(void)
{
    begin_world(1);
    put(B, 0);
    uint64_t oldest = made;
    put(B, 1);
    ask(WIRE_SELECT, A, WIRE_HOW_SKIP, WIRE_OLDEST, 1, 2);
    tap_ok(sent.to == A && sent.memo == oldest, "the oldest memo is that which came first");
    engine_free(engine);
}

/* Room that was promised to a delayed put, and is not needed. */
static void check_unreserve(void)
{
    begin_world(1);
    wire_folder_t f[2] = {{.name = names[2][0]}, {.name = names[1][0], .index = 1}};
    wire_memo_t *memo = new_memo();
    uint64_t size = memo->size;
    receive((wire_message_t){.type = WIRE_LIMIT, .request = 1, .number = {1}}, A, 1, 0);
    engine_receive(engine, &(wire_message_t){.type = WIRE_DELAY,
                                             .from = A,
                                             .client = A,
                                             .request = 2,
                                             .folders = f,
                                             .count = 2,
                                             .memo = memo,
                                             .size = size});
    receive((wire_message_t){.type = WIRE_PUT, .flags = WIRE_WAIT, .request = 3}, B, 1, 0);
    tap_ok(sent.to == 2 && sent.type == WIRE_HOLD, "a put waits for room that is promised to a delayed one");
    receive((wire_message_t){.type = WIRE_UNRESERVE, .number = {size}}, 2, 1, 0);
    tap_ok(sent.to == B && sent.type == WIRE_ANSWER && sent.result == MEMO_OK,
           "and has it when that is given back");
    engine_free(engine);
}

int main(void)
{
    engines_names(SERVERS, NAMES, names);
    state = 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_case(&cases[i]);
    }
    for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
        check_behind(i);
    }
    check_chain_of_the_dead();
    check_put_of_the_dead();
    check_strict();
    check_second_phase();
    check_oldest();
    check_unreserve();
    wrong[0] = '\0';
    check_random();
    return tap_done();
}
