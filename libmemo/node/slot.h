/*
 * slot.h - the slot list: messages from one party to others of the node.
 *
 * Source: "Inter-processor messaging" (a message section with a lock, a length, first and last pointers and slots
 * with a destination and an execution mask; scanning takes no lock; the reader that clears the last execution bit
 * frees the slot). What that leaves open is decided so:
 *
 * - A section per sender, and an attention word per receiver with a bit per section (index mod 64).
 * - A receiver clears attention before it scans; accepts a message (the memo is in its hand) before it clears its
 *   execution bit; and has one scanner: the thread, or whoever owns the common party at the moment.
 * - Generations: odd while a slot is in the list. A scanner loads next, its generation and its sequence number,
 * then checks that its own slot has kept generation and next; else it starts over. It ends where the sequence
 * numbers fall: `first` and `last` move before generations do, and cannot tell it where the list ends.
 * - A slot is free when no word of its destination mask is in use (`words` 0). A slot whose words are in use, but
 * whose execution bits are all clear, is spent: it is unlinked under the section's lock by the reader that saw it,
 *   or, when he cannot have the lock at once, by whoever holds it.
 * - Death: until the commit nothing of a post can be seen; from the commit on it is completed by the owner's
 * repairer from the intent (the chain of slots to post); every step of a splice can be done again.
 *
 * Which pairs exclude each other: posts and unlinkings of one section (its lock); scans exclude nothing.
 */
#ifndef SLOT_H
#define SLOT_H

#include "libmemo/node/hand.h"
#include "libmemo/node/lock.h"

#define SLOT_WORDS (NODE_PARTIES / 64)

enum {
    SLOT_MEMO = 1,  /* the memo becomes the receiver's */
    SLOT_CLONE = 2, /* receivers copy the memo, which goes with the slot */
};

typedef struct slot_mask {
    _Atomic uint64_t destination, execution; /* a bit per receiver, of 64 */
} slot_mask_t;

typedef struct slot {
    _Alignas(NODE_LINE) _Atomic uint32_t generation; /* odd: in the list */
    _Atomic uint32_t next, prev;                     /* index + 1; a cycle */
    _Atomic uint32_t words;                          /* a bit per word of the masks in use; 0: free */
    _Atomic uint64_t sequence;                       /* of the section; grows along the list */
    _Atomic uint64_t memo;
    _Atomic uint64_t request; /* of the layer above; one receiver's, or 0 */
    _Atomic uint32_t kind;
    uint32_t chain; /* next slot to post, index + 1 */
    slot_mask_t mask[SLOT_WORDS];
} slot_t;

/* What is passed on from one CPU to another then is one line. */
_Static_assert(offsetof(slot_t, mask) + sizeof(slot_mask_t) == NODE_LINE,
               "the first word's masks are in the first line");

#define SECTION_FIRST_SLOTS 12u
#define SECTION_EXTENTS 16u

#define SECTION_MAGIC UINT64_C(0x6e6f69746365736d)

typedef struct section {
    _Alignas(NODE_LINE) lock_t lock;
    _Atomic uint32_t length;
    _Atomic uint32_t first, last; /* index + 1 */
    _Atomic uint32_t spent;       /* somebody left a spent slot to the lock's holder */
    uint32_t slots;               /* how many there are */
    uint32_t filled_last;         /* of the mutation under way: the chain's last slot, index + 1 */
    uint32_t filled_first;
    uint64_t sequence;
    uint64_t magic;
    offset_t extents[SECTION_EXTENTS]; /* behind the first slots: twice as many each */
} section_t;

_Static_assert(sizeof(section_t) + SECTION_FIRST_SLOTS * sizeof(slot_t) <= HEAP_PAGE, "a section begins as a page");

typedef struct slot_message {
    uint32_t kind;
    uint32_t section; /* the sender's party index */
    uint64_t sequence;
    offset_t memo;
    offset_t request;
} slot_message_t;

/* Makes the party's section. MEMO_OK or MEMO_EFULL. */
int slot_prepare(self_t *s);

/* Locks the party's section with at least `need` free slots in it. Outside a mutation. MEMO_OK or MEMO_EFULL. */
int slot_begin(self_t *s, uint32_t need);

/* What the next slot filled in will be known by to its receivers: section << 48 | sequence. The section is locked.
 */
uint64_t slot_next_tag(const self_t *s);

static inline uint64_t slot_tag(const slot_message_t *message)
{
    return (uint64_t)message->section << 48 | (message->sequence & ((UINT64_C(1) << 48) - 1));
}

/* As part of a mutation: fills a slot in and appends it to the chain to post; addresses it. */
slot_t *slot_fill(self_t *s, uint32_t kind, offset_t memo, offset_t request);
bool slot_addressed(const slot_t *slot, uint32_t receiver);
void slot_address(self_t *s, slot_t *slot, uint32_t receiver);

/* Commits the mutation and posts the chain (which may be empty). */
void slot_commit(self_t *s);

/* Unlocks the section. */
void slot_end(self_t *s);

/*
 * Fetch the lines that one's next post will write, or that a scan will read of a sender's: all at once, for one
 * after the other they take most of the time that a message takes. Hints: they are those of a section that holds
 * nothing else unread. A receiver's own line is left alone: it may be looking at it.
 */
void slot_fetch_post(const self_t *s);
void slot_fetch_scan(const self_t *s, uint32_t sender);

/* Wakes the receivers that slept; no lock should be held. */
void slot_wake(self_t *s);

/* Rings a receiver: it looks around. */
void slot_ring(self_t *s, uint32_t receiver);

/*
 * Reads what is there for the party. `accept` must have taken the message over when it returns. Outside a mutation,
 * with no lock held. Answers whether there was any.
 */
bool slot_scan(self_t *s, void (*accept)(self_t *s, const slot_message_t *message, void *arg), void *arg);

static inline bool slot_attention(const self_t *s)
{
    return atomic_load_explicit(&s->party->attention, memory_order_seq_cst) != 0;
}

/*
 * Sleeps until rung, or until `deadline`, or a tick. `ready` (may be NULL) is looked at again after the receiver
 * has said that it sleeps: true keeps it awake.
 */
void slot_sleep(self_t *s, int64_t deadline, bool (*ready)(self_t *s, void *arg), void *arg);

/* For repairs: completes the posts of a dead party; takes an unread message for receiver `index` out, putting its
 * memo into s's hand (false: none left). */
void slot_complete(self_t *s, party_t *dead, body_t *b);
bool slot_take_back(self_t *s, uint32_t receiver, struct memo **m);

/*
 * The section of a party that posts no more (its own, or one that the caller repairs): frees its spent slots, and
 * itself, once it is drained and nobody scans.
 */
void slot_reclaim(self_t *s, uint32_t sender);

/* The same for sections that were not drained when their parties went. */
void slot_reclaim_left(self_t *s);

/* Frees a section (or an extent) that is on its way to the heap, with all that hangs on it. */
#define SLOT_SCRATCH 1 /* where it is, in a body's scratch */
void slot_discard(self_t *s, offset_t *section);

#endif
