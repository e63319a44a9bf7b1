/*
 * sense.c - which messages an engine deals with: who may send what, and what may stand in it (message.h, as a
 * server sees it).
 *
 * Whoever carries messages says who has sent them; what they say is the sender's, who may be wrong. A message that
 * does not make sense changes nothing: it is counted, a client that has asked for something is answered
 * MEMO_EINVAL, and has its memo back. Whether there is such a request now, or such a cause, is its handler's to
 * see.
 */
#include "servers/parts.h"

enum {
    NOBODY = 0, /* what servers send to clients */
    CLIENT = 1,
    SERVER = 2,
    ANYBODY = CLIENT | SERVER,
    FIRST = 4 /* server 0 */
};

/* Of its folders, those that are to be this server's. */
typedef enum { OWN_NONE, OWN_FIRST, OWN_SECOND, OWN_ALL, OWN_CHAINED } own_t;

typedef struct sense {
    uint32_t flags;       /* that it may have */
    uint32_t least, most; /* folders */
    uint8_t from;
    uint8_t own;
    bool memo;  /* it brings one; no other does */
    bool whose; /* a server speaks for a client */
    bool first; /* only server 0 is told */
} sense_t;

#define SELECTS (WIRE_COPY | WIRE_UNTIL_QUIET | WIRE_OLDEST | WIRE_PHASE)
#define MANY MEMO_FOLDERS_MAX

static const sense_t senses[WIRE_TYPES] = {
    [WIRE_PUT] = {.from = CLIENT, .memo = true, .least = 1, .most = 2, .own = OWN_FIRST, .flags = WIRE_WAIT},
    [WIRE_RETURN] = {.from = ANYBODY,
                     .memo = true,
                     .least = 1,
                     .most = 1,
                     .own = OWN_FIRST,
                     .flags = WIRE_REDELIVERED | WIRE_NO_ANSWER},
    [WIRE_DELAY] = {.from = CLIENT, .memo = true, .least = 2, .most = 3, .own = OWN_SECOND},
    [WIRE_SELECT] = {.from = CLIENT, .least = 1, .most = MANY, .own = OWN_ALL, .flags = SELECTS},
    [WIRE_LATCH] = {.from = CLIENT, .least = 1, .most = MANY, .own = OWN_ALL, .flags = SELECTS},
    [WIRE_LINK] = {.from = CLIENT, .least = 1, .most = MANY, .own = OWN_ALL, .flags = WIRE_COPY | WIRE_PHASE},
    [WIRE_UNLINK] = {.from = CLIENT, .flags = WIRE_PHASE},
    [WIRE_ACCEPT] = {.from = CLIENT, .flags = WIRE_PHASE},
    [WIRE_RELEASE] = {.from = CLIENT},
    [WIRE_CANCEL] = {.from = CLIENT},
    [WIRE_JOIN] = {.from = CLIENT, .least = 1, .most = MANY, .own = OWN_ALL},
    [WIRE_WATCH] = {.from = CLIENT, .least = 1, .most = MANY, .own = OWN_ALL},
    [WIRE_GATHER] = {.from = CLIENT, .least = 1, .most = MANY, .own = OWN_ALL},
    [WIRE_CHAIN] = {.from = CLIENT,
                    .least = 1,
                    .most = MANY,
                    .own = OWN_CHAINED,
                    .flags = WIRE_COPY | WIRE_TAKE_ALL | WIRE_PHASE},
    [WIRE_LIMIT] = {.from = CLIENT, .least = 1, .most = 1, .own = OWN_FIRST},
    [WIRE_COUNT] = {.from = CLIENT, .least = 1, .most = 1, .own = OWN_FIRST},
    [WIRE_STAT] = {.from = CLIENT},
    [WIRE_EACH] = {.from = CLIENT},
    [WIRE_LEAVE] = {.from = CLIENT},
    [WIRE_BYE] = {.from = CLIENT},
    [WIRE_GONE] = {.from = ANYBODY},
    [WIRE_RECEIVED] = {.from = CLIENT},
    [WIRE_DROP] =
        {.from = ANYBODY, .least = 1, .most = 1, .own = OWN_FIRST, .flags = WIRE_REDELIVERED | WIRE_NO_ANSWER},
    [WIRE_HOLD] = {.from = SERVER, .memo = true, .whose = true, .least = 2, .most = 3, .own = OWN_FIRST},
    [WIRE_UNRESERVE] = {.from = SERVER, .least = 1, .most = 1, .own = OWN_FIRST},
    [WIRE_FIRE] =
        {.from = SERVER, .memo = true, .least = 1, .most = 1, .own = OWN_FIRST, .flags = WIRE_REDELIVERED},
    [WIRE_FIRED] = {.from = SERVER},
    [WIRE_NEXT] = {.from = SERVER,
                   .whose = true,
                   .least = 2,
                   .most = MANY,
                   .own = OWN_CHAINED,
                   .flags = WIRE_COPY | WIRE_TAKE_ALL},
    [WIRE_UNLOCK] = {.from = SERVER, .whose = true, .flags = WIRE_TAKE_ALL},
    [WIRE_IDLE] = {.from = CLIENT, .first = true},
    [WIRE_WITHDRAW] = {.from = CLIENT, .first = true},
    [WIRE_PROBE] = {.from = FIRST},
    [WIRE_PROBED] = {.from = SERVER, .first = true},
    [WIRE_FREEZE] = {.from = FIRST},
    [WIRE_FROZEN] = {.from = SERVER, .first = true},
    [WIRE_COMMIT] = {.from = FIRST},
    [WIRE_COMMITTED] = {.from = SERVER, .first = true},
    [WIRE_THAW] = {.from = FIRST},
    [WIRE_AGAIN] = {.from = SERVER, .first = true},
};

static bool is_client(const engine_t *e, uint64_t peer)
{
    return peer >= e->servers && peer - e->servers < e->clients;
}

static bool may_send(const engine_t *e, const sense_t *sense, const wire_message_t *m)
{
    if (is_client(e, m->from))
        return (sense->from & CLIENT) != 0 && m->client == m->from;
    if (m->from >= e->servers || (sense->whose && !is_client(e, m->client)))
        return false;
    return (sense->from & SERVER) != 0 || ((sense->from & FIRST) != 0 && m->from == 0);
}

static uint32_t server_of(const engine_t *e, const wire_message_t *m, uint32_t i)
{
    return wire_server_of(&m->folders[i].name, e->servers);
}

static bool all_are_own(const engine_t *e, const wire_message_t *m)
{
    uint32_t i;

    for (i = 0; i < m->count; i++)
        if (server_of(e, m, i) != e->self)
            return false;
    return true;
}

/* In rank order: a CHAIN's begin with this server's, a NEXT's have some of this one's and come from the one before.
 */
static bool are_chained(const engine_t *e, const wire_message_t *m)
{
    uint32_t before = e->servers, last = 0, i;
    bool own = false;

    for (i = 0; i < m->count; i++) {
        uint32_t server = server_of(e, m, i);
        if (server < last)
            return false;
        last = server;
        own = own || server == e->self;
        if (server < e->self)
            before = server;
    }
    return own && before == (m->type == WIRE_NEXT ? m->from : e->servers);
}

static bool are_right(const engine_t *e, const sense_t *sense, const wire_message_t *m)
{
    if (m->count < sense->least || m->count > sense->most)
        return false;
    switch ((own_t)sense->own) {
    case OWN_FIRST:
        return server_of(e, m, 0) == e->self;
    case OWN_SECOND:
        return server_of(e, m, 1) == e->self;
    case OWN_ALL:
        return all_are_own(e, m);
    case OWN_CHAINED:
        return are_chained(e, m);
    default:
        return true;
    }
}

/* What is so of one type alone. */
static bool fits_type(const engine_t *e, const wire_message_t *m)
{
    switch (m->type) {
    case WIRE_RETURN: /* there is no answer for a server */
        return is_client(e, m->from) || (m->flags & WIRE_NO_ANSWER) != 0;
    case WIRE_SELECT:
    case WIRE_LATCH:
        return (m->flags & WIRE_UNTIL_QUIET) == 0 || m->how == WIRE_HOW_WAIT;
    case WIRE_LINK:
        return m->how == WIRE_HOW_STRICT;
    case WIRE_GONE:
        return m->number[0] < (uint64_t)e->servers + e->clients && m->number[0] != e->self &&
               m->number[0] != m->from && m->number[1] <= 1 &&
               (m->number[2] == 0 || (m->number[2] == 1 && m->number[0] < e->servers && m->from < e->servers));
    case WIRE_HOLD: /* by who holds its target */
        return server_of(e, m, 1) == m->from;
    case WIRE_UNLOCK:
        return m->from > e->self;
    default:
        return true;
    }
}

bool makes_sense(const engine_t *e, const wire_message_t *m)
{
    const sense_t *sense = (uint32_t)m->type < WIRE_TYPES ? &senses[m->type] : &senses[WIRE_NOTHING];

    return may_send(e, sense, m) && (m->flags & ~sense->flags) == 0 && (uint32_t)m->how <= WIRE_HOW_STRICT &&
           (m->memo != NULL) == sense->memo && (!sense->first || e->self == 0) && are_right(e, sense, m) &&
           fits_type(e, m);
}

/* Nobody waits for an answer. */
static bool is_silent(const wire_message_t *m)
{
    return m->type == WIRE_RELEASE || m->type == WIRE_RECEIVED || m->type == WIRE_DROP || m->type == WIRE_GONE ||
           m->type == WIRE_IDLE || m->type == WIRE_WITHDRAW || (m->flags & WIRE_NO_ANSWER) != 0;
}

void refuse_nonsense(engine_t *e, const wire_message_t *m)
{
    const client_state_t *c = is_client(e, m->from) ? &e->client[m->from - e->servers] : NULL;
    wire_message_t own = *m;

    e->figures.refused++;
    if (c != NULL && !c->gone && !c->left && (m->memo != NULL || !is_silent(m))) {
        own.client = m->from; /* whoever it speaks for */
        engine_refuse(e, &own, MEMO_EINVAL);
    } else if (m->memo != NULL) {
        e->figures.dropped++;
        e->io.free(e->io.arg, m->memo);
    }
}
