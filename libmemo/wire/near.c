/*
 * near.c - messages inside a node (near.h).
 *
 * Each step is one logged mutation, so that whatever instruction a process dies at, a memo is in exactly one place:
 *
 *     held                  memo in a hand; its origin is the envelope it keeps, or 0
 *     attached              envelope in a hand, origin the memo; the memo is nobody's, and still keeps its old
 * envelope under way             envelope in a slot, origin the memo; the memo keeps nothing accepted envelope in
 * the receiver's hand, origin the memo held                  memo and envelope apart in the receiver's hand, or the
 * memo keeps the envelope
 *
 * A memo is attached in a mutation of its own, for it may hang in the list of another hand than the envelope's, and
 * a mutation locks one. Its old envelope is let go of as part of the post, into scratch, and freed after it.
 *
 * A mailbox that nobody reads any more. Party indices are used again, so a message must not be posted to an index
 * whose party has gone. Who empties the mailbox (its repairer, or its owner who closes) first sets PARTY_SHUT, then
 * takes what is unread out of each section under that section's lock, then zeroes the party's id, and only then
 * clears PARTY_SHUT. Who posts holds his own section's lock from looking until the post can be seen; he looks at
 * PARTY_SHUT first, then at the id. If his section was emptied before he had its lock, then PARTY_SHUT was set
 * before: he sees it, or, when it is clear again, an id that is not the one he wants. If not, it will be emptied
 * after he unlocks, and what he posted is found there. Should he die with the lock, the post is undone or completed
 * before anyone else has the lock. His section was there before he was given any mailbox to send to, so who empties
 * does not miss it.
 */
#include "libmemo/wire/near.h"

#include <stdlib.h>
#include <unistd.h>

#include "libmemo/node/slot.h"
#include "libmemo/wire/codec.h"

#define NEAR_SCRATCH 3 /* a memo or an envelope on its way to the heap */
#define NEAR_FOLDERS 8 /* of a message that is decoded without asking for memory */
#define NEAR_WASTE_MAX                                                                                             \
    1024u /* bytes that an envelope used again may be larger than need be: it may be kept for long */
#define NEAR_WAIT_MEMORY 1000 /* microseconds */

/* The bytes of an envelope: this, then the encoded message, in a block that may be larger. */
typedef struct letter {
    uint32_t size;    /* of the encoded message */
    uint32_t sent_to; /* the server, if `sent` is not 0 */
    union {
        offset_t next;         /* the next one that the same scan found */
        _Atomic uint64_t sent; /* of an envelope that a memo keeps: near_sent */
    };
} letter_t;

_Static_assert(sizeof(letter_t) == 16 && CODEC_MAX <= UINT32_MAX, "what the size of an encoded message fits in");

static letter_t *letter_of(const struct memo *e)
{
    return (letter_t *)(void *)((char *)(uintptr_t)e + sizeof *e);
}

static void *letter_bytes(const struct memo *e)
{
    return letter_of(e) + 1;
}

/* Of an envelope, the room for an encoded message. */
static uint64_t letter_room(const struct memo *e)
{
    return e->size > sizeof(letter_t) ? e->size - sizeof(letter_t) : 0;
}

static uint64_t letter_size(const struct memo *e)
{
    uint64_t size = letter_of(e)->size;

    return size <= letter_room(e) ? size : 0;
}

/* A message as it is read, and its folders. */
typedef struct reading {
    wire_message_t message;
    wire_folder_t *folders, few[NEAR_FOLDERS];
} reading_t;

/* A message is never dropped for want of the process's own memory. */
static wire_folder_t *folders_for(uint32_t count)
{
    wire_folder_t *folders;

    while ((folders = calloc(count, sizeof *folders)) == NULL)
        usleep(NEAR_WAIT_MEMORY);
    return folders;
}

/* letter_done() afterwards, whatever it answers; false: it is no message. */
static bool letter_read(const struct memo *e, reading_t *r)
{
    int result;

    r->folders = r->few;
    result = codec_read(letter_bytes(e), letter_size(e), &r->message, r->few, NEAR_FOLDERS);
    if (result == MEMO_EFULL) {
        uint32_t count = r->message.count;
        r->folders = folders_for(count);
        result = codec_read(letter_bytes(e), letter_size(e), &r->message, r->folders, count);
    }
    return result == MEMO_OK;
}

static void letter_done(reading_t *r)
{
    if (r->folders != r->few)
        free(r->folders);
}

static void hand_free(self_t *s, struct memo *m)
{
    hand_free_begin(s, m);
    hand_free_end(s);
}

/* ---- sending --------------------------------------------------------------------------------------------- */

/* Small ones are there as long as anything is, for without them a full space could not be drained. */
static struct memo *envelope_new(self_t *s, uint64_t bytes)
{
    uint64_t block = heap_rounded(sizeof(struct memo) + sizeof(letter_t) + bytes);
    bool reserve = s->from_reserve;
    struct memo *e;

    s->from_reserve = reserve || block <= HEAP_CLASS_MAX;
    e = hand_alloc(s, block - sizeof(struct memo));
    s->from_reserve = reserve;
    return e;
}

static bool fits(const struct memo *e, uint64_t bytes)
{
    return letter_room(e) >= bytes && letter_room(e) - bytes <= NEAR_WASTE_MAX;
}

/* An envelope in s's hand with the message in it: *reuse or a new one. */
static struct memo *envelope_write(self_t *s, const wire_message_t *message, struct memo **reuse)
{
    const struct memo *m = message->memo != NULL ? near_memo(message->memo) : NULL;
    wire_message_t full = *message;
    uint64_t bytes;
    struct memo *e;

    full.size = m != NULL ? m->size : message->size;
    bytes = codec_size(&full);
    e = reuse != NULL && *reuse != NULL && fits(*reuse, bytes) ? *reuse : envelope_new(s, bytes);
    if (e == NULL)
        return NULL;
    letter_of(e)->size = (uint32_t)bytes;
    codec_write(&full, letter_bytes(e));
    e->flags = NEAR_ENVELOPE;
    return e;
}

/* With our section's lock: see above. */
static bool is_read(const self_t *s, party_id_t to)
{
    const party_t *p = node_party(s, party_index(to));

    return to != 0 && (atomic_load(&p->flags) & PARTY_SHUT) == 0 && atomic_load(&p->id) == to;
}

static void attach(self_t *s, struct memo *e, struct memo *m)
{
    hand_give(s, m);
    log_u64(s, &e->origin, node_offset(s, m));
    log_commit(s);
    hand_done(s);
}

/* Of m, whose envelope is in s's hand: nothing of it may be touched once it is posted. */
static void post(self_t *s, party_id_t to, struct memo *e, struct memo *m, uint32_t redeliveries)
{
    hand_give(s, e);
    if (m != NULL && m->origin != 0) {
        log_u64(s, &s->body->scratch[NEAR_SCRATCH], m->origin);
        log_u64(s, &m->origin, 0);
    }
    if (m != NULL && m->redeliveries != redeliveries)
        log_u32(s, &m->redeliveries, redeliveries);
    slot_address(s, slot_fill(s, SLOT_MEMO, node_offset(s, e), 0), party_index(to));
    slot_commit(s);
    hand_done(s);
}

static int post_if_read(self_t *s, party_id_t to, struct memo *e, const wire_message_t *message)
{
    struct memo *m = message->memo != NULL ? near_memo(message->memo) : NULL;
    bool reserve = s->from_reserve;
    int result;

    s->from_reserve = true; /* a section that grows */
    result = slot_begin(s, 1);
    s->from_reserve = reserve;
    if (result != MEMO_OK)
        return result;
    if (is_read(s, to)) {
        if (m != NULL)
            attach(s, e, m);
        post(s, to, e, m, message->redeliveries);
    } else
        result = MEMO_EPEER;
    slot_end(s);
    return result;
}

int near_send(self_t *s, party_id_t to, const wire_message_t *message, struct memo **reuse)
{
    struct memo *e;
    bool reused;
    int result;

    slot_fetch_post(s);
    e = envelope_write(s, message, reuse);
    reused = e != NULL && reuse != NULL && e == *reuse;
    if (e == NULL)
        return MEMO_EFULL;
    result = post_if_read(s, to, e, message);
    if (result != MEMO_OK) {
        if (!reused)
            hand_free(s, e);
        return result;
    }
    if (reused)
        *reuse = NULL;
    slot_wake(s);
    heap_free(s, &s->body->scratch[NEAR_SCRATCH]);
    return MEMO_OK;
}

/* ---- receiving ------------------------------------------------------------------------------------------- */

typedef struct found {
    struct memo *first, *last;
} found_t;

static struct memo *attached(const self_t *s, const struct memo *e)
{
    return e->origin != 0 ? node_at(s, e->origin) : NULL;
}

#define LETTER_LINES 4 /* of an ordinary one */

/* Its lines are the sender's: they may come all at once. */
static void fetch_letter(const struct memo *e)
{
    int i;

    for (i = 0; i < LETTER_LINES; i++)
        node_fetch((const char *)e + (ptrdiff_t)i * NODE_LINE);
}

/* Who asks and is answered uses the same slot, the same envelope and the same memo again and again. */
static void fetch_expected(const self_t *s)
{
    uint64_t bits = atomic_load_explicit(&s->party->attention, memory_order_relaxed);

    for (; bits != 0; bits &= bits - 1) {
        uint32_t sender = (uint32_t)__builtin_ctzll(bits);
        const offset_t *expected = s->expected[sender % SELF_EXPECTED];
        slot_fetch_scan(s, sender);
        if (expected[0] != 0)
            fetch_letter(node_at(s, expected[0]));
        if (expected[1] != 0)
            node_fetch(node_at(s, expected[1]));
    }
    slot_fetch_post(s); /* for the answer */
}

static void accept(self_t *s, const slot_message_t *message, void *arg)
{
    found_t *found = arg;
    struct memo *e = message->memo != 0 ? node_at(s, message->memo) : NULL;

    if (e == NULL)
        return;
    fetch_letter(e);
    hand_take(s, e);
    log_commit(s);
    hand_done(s);
    if (attached(s, e) != NULL)
        node_fetch(attached(s, e));
    s->expected[message->section % SELF_EXPECTED][0] = message->memo;
    s->expected[message->section % SELF_EXPECTED][1] = e->origin;
    letter_of(e)->next = 0;
    if (found->last != NULL)
        letter_of(found->last)->next = node_offset(s, e);
    else
        found->first = e;
    found->last = e;
}

/* The memo comes into the hand, the envelope stays. */
static void detach(self_t *s, struct memo *e, struct memo *m)
{
    hand_take(s, m);
    log_u64(s, &e->origin, 0);
    log_commit(s);
    hand_done(s);
}

/* The memo comes into the hand and keeps the envelope, which leaves the hand it is in. */
static void detach_keeping(self_t *s, struct memo *e, struct memo *m)
{
    atomic_store_explicit(&letter_of(e)->sent, 0, memory_order_relaxed);
    hand_take(s, m); /* first: if it needs the list it must have our own list's lock */
    hand_give(s, e);
    log_u64(s, &e->origin, 0);
    log_u64(s, &m->origin, node_offset(s, e));
    log_commit(s);
    hand_done(s);
}

/* A memo in nobody's hand, and its envelope. */
static void discard(self_t *s, struct memo *e, struct memo *m)
{
    if (m != NULL) {
        detach(s, e, m);
        near_free(s, m);
    }
    hand_free(s, e);
}

/* Whether its memo, if it has one, comes from the first folder. */
static bool brings_from_folder(const wire_message_t *message)
{
    return message->type == WIRE_ANSWER && message->count > 0;
}

static void deliver(self_t *s, struct memo *e, wire_message_t *message, near_receive_t receive, void *arg)
{
    struct memo *m = attached(s, e), *envelope = e;

    if (m != NULL) {
        if (brings_from_folder(message)) {
            detach_keeping(s, e, m);
            envelope = NULL;
        } else
            detach(s, e, m);
        message->memo = near_wire(m);
        message->size = m->size;
        message->redeliveries = m->redeliveries;
    }
    receive(s, message, &envelope, arg);
    if (envelope != NULL)
        hand_free(s, envelope);
}

static void open_letter(self_t *s, struct memo *e, near_receive_t receive, void *arg)
{
    reading_t r;

    if (letter_read(e, &r))
        deliver(s, e, &r.message, receive, arg);
    else
        discard(s, e, attached(s, e));
    letter_done(&r);
}

bool near_scan(self_t *s, near_receive_t receive, void *arg)
{
    found_t found = {NULL, NULL};
    struct memo *e;

    if (slot_attention(s))
        fetch_expected(s);
    if (!slot_scan(s, accept, &found))
        return false;
    while ((e = found.first) != NULL) {
        offset_t next = letter_of(e)->next;
        found.first = next != 0 ? node_at(s, next) : NULL;
        open_letter(s, e, receive, arg);
    }
    return true;
}

/* ---- envelopes that memos keep --------------------------------------------------------------------------- */

static void keep_and_count(self_t *s, struct memo *m, struct memo **envelope, uint64_t *count)
{
    struct memo *e = *envelope;

    if (e == NULL)
        return;
    atomic_store_explicit(&letter_of(e)->sent, 0, memory_order_relaxed);
    hand_give(s, e);
    if (m->origin != 0)
        log_u64(s, &s->body->scratch[NEAR_SCRATCH], m->origin);
    log_u64(s, &m->origin, node_offset(s, e));
    if (count != NULL)
        log_u64(s, count, *count + 1);
    log_commit(s);
    hand_done(s);
    *envelope = NULL;
    heap_free(s, &s->body->scratch[NEAR_SCRATCH]);
}

void near_keep(self_t *s, struct memo *m, struct memo **envelope)
{
    keep_and_count(s, m, envelope, NULL);
}

static uint64_t *arrivals(body_t *b, uint32_t server)
{
    return server < BODY_USER_BYTES / sizeof(uint64_t) ? (uint64_t *)(void *)b->user + server : NULL;
}

void near_count_arrival(self_t *s, uint32_t server)
{
    uint64_t *count = arrivals(s->body, server);

    if (count != NULL)
        ++*count;
}

uint64_t near_arrivals(body_t *mailbox, uint32_t server)
{
    const uint64_t *count = arrivals(mailbox, server);

    return count != NULL ? *count : 0;
}

static int keep_envelope_for(self_t *s, struct memo *m, const wire_message_t *answer, uint64_t *count)
{
    const wire_message_t message = {.type = WIRE_ANSWER,
                                    .client = answer->client,
                                    .request = answer->request,
                                    .index = answer->index,
                                    .count = 1,
                                    .folders = answer->folders};
    struct memo *e = envelope_write(s, &message, NULL);

    if (e == NULL)
        return MEMO_EFULL;
    keep_and_count(s, m, &e, count);
    return MEMO_OK;
}

int near_origin_by(self_t *s, struct memo *m, const wire_message_t *answer)
{
    return keep_envelope_for(s, m, answer, NULL);
}

int near_arrive(self_t *s, struct memo *m, const wire_message_t *answer)
{
    return keep_envelope_for(s, m, answer, arrivals(s->body, answer->from));
}

int near_origin(self_t *s, struct memo *m, const memo_folder_t *folder)
{
    const wire_folder_t from = {.name = *folder};

    return near_origin_by(s, m, &(wire_message_t){.folders = &from});
}

bool near_from(const self_t *s, const struct memo *m, memo_folder_t *folder)
{
    const struct memo *e = m->origin != 0 ? node_at(s, m->origin) : NULL;

    return e != NULL && codec_first_folder(letter_bytes(e), letter_size(e), folder);
}

bool near_taken_by(const self_t *s, const struct memo *m, wire_message_t *answer)
{
    const struct memo *e = m->origin != 0 ? node_at(s, m->origin) : NULL;
    reading_t r;
    bool known;

    if (e == NULL)
        return false;
    known = letter_read(e, &r) && r.message.type == WIRE_ANSWER && r.message.request != 0;
    if (known)
        *answer = (wire_message_t){.type = WIRE_ANSWER,
                                   .client = r.message.client,
                                   .request = r.message.request,
                                   .index = r.message.index};
    letter_done(&r);
    return known;
}

void near_forget(self_t *s, struct memo *m)
{
    if (m->origin == 0)
        return;
    log_u64(s, &s->body->scratch[NEAR_SCRATCH], m->origin);
    log_u64(s, &m->origin, 0);
    log_commit(s);
    heap_free(s, &s->body->scratch[NEAR_SCRATCH]);
}

void near_free(self_t *s, struct memo *m)
{
    hand_free_begin(s, m);
    if (m->origin != 0)
        log_u64(s, &s->body->scratch[NEAR_SCRATCH], m->origin);
    hand_free_end(s);
    heap_free(s, &s->body->scratch[NEAR_SCRATCH]);
}

/* ---- bytes that travel ------------------------------------------------------------------------------------- */

void near_sent(self_t *s, struct memo *m, uint32_t server, uint64_t request)
{
    letter_t *letter;

    if (m->origin == 0)
        return;
    letter = letter_of(node_at(s, m->origin));
    if (request != 0)
        letter->sent_to = server;
    atomic_store_explicit(&letter->sent, request, memory_order_release); /* after sent_to, whenever we die */
}

uint64_t near_sent_by(const self_t *s, const struct memo *m, uint32_t *server)
{
    const letter_t *letter = m->origin != 0 ? letter_of(node_at(s, m->origin)) : NULL;
    uint64_t request = letter != NULL ? atomic_load_explicit(&letter->sent, memory_order_acquire) : 0;

    if (request != 0)
        *server = letter->sent_to;
    return request;
}

/* ---- repairs --------------------------------------------------------------------------------------------- */

void near_shut(self_t *s, uint32_t index)
{
    atomic_fetch_or(&node_party(s, index)->flags, PARTY_SHUT);
}

static bool letter_brings_from_folder(const struct memo *e)
{
    reading_t r;
    bool brings = letter_read(e, &r) && brings_from_folder(&r.message);

    letter_done(&r);
    return brings;
}

static void move(self_t *s, struct memo *m)
{
    if (atomic_load_explicit(&m->holder, memory_order_relaxed) == s->id)
        return;
    hand_move(s, m);
    log_commit(s);
    hand_done(s);
}

/* What an envelope brings, or was to bring: NULL when nothing is left of it. */
static struct memo *unpack(self_t *s, struct memo *e)
{
    struct memo *m = attached(s, e);

    if (m != NULL && m->origin != 0) { /* attached by the dead, and not sent */
        detach(s, e, m);
        hand_free(s, e);
        return m;
    }
    if (m != NULL && letter_brings_from_folder(e)) {
        detach_keeping(s, e, m);
        return m;
    }
    discard(s, e, m);
    return NULL;
}

bool near_take_back(self_t *s, struct memo *m, struct memo **memo, memo_folder_t *folder)
{
    if ((m->flags & NEAR_ENVELOPE) != 0)
        m = unpack(s, m);
    if (m == NULL)
        return false;
    if (!near_from(s, m, folder)) {
        near_free(s, m);
        return false;
    }
    move(s, m);
    m->flags = 0; /* they were the dead's */
    *memo = m;
    return true;
}
