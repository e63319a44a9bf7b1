/*
 * memo_doctor_node.c - memo doctor: clients, parties, their hands, sections and locks; see memo_doctor.h.
 */
#include "servers/memo_doctor.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- who is there ---------------------------------------------------------------------------------------- */

static sick_client_t *client_found(patient_t *p, uint32_t index)
{
    for (size_t i = 0; i < p->found->client_count; i++) {
        if (p->found->clients[i].index == index) {
            return &p->found->clients[i];
        }
    }
    return NULL;
}

static void walk_clients(patient_t *p)
{
    findings_t *f = p->found;
    for (uint32_t i = 0; i < NODE_CLIENTS; i++) {
        const client_t *c = &p->root->clients[i];
        if (atomic_load(&c->state) == CLIENT_FREE) {
            continue;
        }
        bool alive = region_life_held(&p->region, i);
        f->clients[f->client_count++] = (sick_client_t){.index = i, .pid = atomic_load(&c->pid), .alive = alive};
        f->alive += alive;
        f->dead += !alive;
        if (i >= atomic_load(&p->root->clients_used)) {
            note(p, "client %u is there, but clients are counted only up to %u", i,
                 atomic_load(&p->root->clients_used));
        }
    }
}

/* The client of the party with that id, or NULL. */
static sick_client_t *owner_of(patient_t *p, party_id_t id)
{
    const party_t *party = &p->root->parties[party_index(id)];
    uint32_t client = atomic_load(&party->client);
    return atomic_load(&party->id) == id && client != 0 ? client_found(p, client - 1) : NULL;
}

void see_lock(patient_t *p, const lock_t *lock, const char *what, int64_t number)
{
    findings_t *f = p->found;
    party_id_t owner = atomic_load(&lock->owner);
    if (owner == 0) {
        return;
    }
    sick_client_t *c = owner_of(p, owner);
    if (c != NULL) {
        c->locks++;
    }
    if (f->lock_count < LOCKS_MOST) {
        found_lock_t *l = &f->locks[f->lock_count];
        if (number < 0) {
            snprintf(l->what, sizeof l->what, "%s", what);
        } else {
            snprintf(l->what, sizeof l->what, "%s %" PRId64, what, number);
        }
        l->client = c != NULL ? (int32_t)c->index : -1;
    }
    f->lock_count++;
}

/* ---- what a party has ------------------------------------------------------------------------------------ */

static void walk_hand(patient_t *p, const body_t *b, party_id_t id, sick_client_t *c)
{
    for (uint32_t i = 0; i < HAND_SLOTS; i++) {
        offset_t at = atomic_load(&b->hand[i]);
        const struct memo *m = at != 0 ? look(p, at, sizeof *m) : NULL;
        if (at != 0 && m == NULL) {
            note(p, "the hand of party %u: %" PRIu64 " is no memo", party_index(id), at);
        }
        /* Where a memo was that has gone may be written there still. */
        if (m != NULL && atomic_load(&m->holder) == id && m->place == i && refer_memo(p, USE_HELD, "a hand", at)) {
            c->held++;
        }
    }
    offset_t before = 0;
    for (offset_t at = b->hand_list; at != 0;) {
        const struct memo *m = refer_memo(p, USE_HELD, "a hand's list", at);
        if (m == NULL) {
            return;
        }
        if (atomic_load(&m->holder) != id || m->place != HAND_LISTED || m->stamp != before) {
            note(p, "the hand's list of party %u: the memo at %" PRIu64 " does not belong there", party_index(id),
                 at);
        }
        c->held++;
        before = at;
        at = m->next;
    }
}

static void walk_log(patient_t *p, const body_t *b, uint32_t index)
{
    uint32_t entries = (uint32_t)atomic_load(&b->intent);
    if (b->log_more != 0) {
        refer(p, USE_PARTIES, "a log", b->log_more, sizeof(log_entry_t));
    }
    if (entries > LOG_ENTRIES + b->log_room) {
        note(p, "party %u: its log has %u entries, and room for %" PRIu64, index, entries,
             LOG_ENTRIES + b->log_room);
        return;
    }
    for (uint32_t i = 0; i < entries && i < LOG_ENTRIES; i++) {
        if (look(p, b->log[i].where & ~(uint64_t)7, 8) == NULL) {
            note(p, "party %u: entry %u of its log is about %" PRIu64 ", outside the space", index, i,
                 b->log[i].where);
        }
    }
}

static void walk_blocks(patient_t *p, const body_t *b)
{
    for (unsigned i = 0; i < SCRATCH_SLOTS; i++) {
        refer(p, USE_UNDER_WAY, "scratch", b->scratch[i], 16);
    }
    for (unsigned i = 0; i < HEAP_LARGE_SLOTS; i++) {
        refer(p, USE_CACHED, "a cache of runs", b->large[i], HEAP_PAGE);
    }
    for (unsigned c = 0; c < HEAP_CLASSES; c++) {
        for (offset_t at = b->cache[c]; refer(p, USE_CACHED, "a cache", at, 16);) {
            at = *(const offset_t *)look(p, at, sizeof at);
        }
    }
}

/* ---- sections -------------------------------------------------------------------------------------------- */

static offset_t slot_offset(const section_t *section, offset_t at, uint32_t index)
{
    uint32_t room = SECTION_FIRST_SLOTS;
    if (index < room) {
        return at + sizeof *section + index * sizeof(slot_t);
    }
    index -= room;
    for (uint32_t k = 0; k < SECTION_EXTENTS; k++) {
        room *= 2;
        if (index < room) {
            return section->extents[k] != 0 ? section->extents[k] + index * sizeof(slot_t) : 0;
        }
        index -= room;
    }
    return 0;
}

/* What is posted and not read yet belongs to its slot. */
static void walk_slot(patient_t *p, const section_t *section, const slot_t *slot)
{
    uint32_t words = atomic_load(&slot->words);
    uint32_t next = atomic_load(&slot->next), prev = atomic_load(&slot->prev);
    if ((atomic_load(&slot->generation) & 1) != 0 &&
        (next == 0 || next > section->slots || prev == 0 || prev > section->slots)) {
        note(p, "a message lies between %u and %u, of %u", prev, next, section->slots);
    }
    bool unread = false;
    for (uint32_t w = words & ((1u << SLOT_WORDS) - 1); w != 0; w &= w - 1) {
        unread = unread || atomic_load(&slot->mask[__builtin_ctz(w)].execution) != 0;
    }
    offset_t at = atomic_load(&slot->memo);
    if (words == 0 || at == 0) {
        return;
    }
    const struct memo *m = look(p, at, sizeof *m);
    bool own = atomic_load(&slot->kind) == SLOT_CLONE;
    if (m == NULL && (own || unread)) {
        note(p, "a message: %" PRIu64 " is no memo", at);
    } else if (own || (unread && atomic_load(&m->holder) == 0)) {
        refer_memo(p, USE_UNDER_WAY, "a message", at);
    }
}

static void walk_section(patient_t *p, offset_t at, uint32_t index)
{
    if (at == 0 || !refer(p, USE_PARTIES, "a section", at, HEAP_PAGE)) {
        return;
    }
    const section_t *section = look(p, at, sizeof *section);
    if (section->magic != SECTION_MAGIC) {
        note(p, "the section of party %u is none", index);
        return;
    }
    if (atomic_load(&section->first) > section->slots || atomic_load(&section->last) > section->slots) {
        note(p, "the section of party %u: its list begins or ends nowhere", index);
    }
    see_lock(p, &section->lock, "section", index);
    for (uint32_t k = 0; k < SECTION_EXTENTS; k++) {
        refer(p, USE_PARTIES, "more of a section", section->extents[k],
              (uint64_t)(SECTION_FIRST_SLOTS << (k + 1)) * sizeof(slot_t));
    }
    for (uint32_t i = 0; i < section->slots; i++) {
        offset_t slot_at = slot_offset(section, at, i);
        const slot_t *slot = slot_at != 0 ? look(p, slot_at, sizeof *slot) : NULL;
        if (slot == NULL || !step(p, "a section", at)) {
            note(p, "the section of party %u: it has no slot %u, but should have %u", index, i, section->slots);
            return;
        }
        walk_slot(p, section, slot);
    }
}

/* ---- parties --------------------------------------------------------------------------------------------- */

static void add_counts(patient_t *p, const node_counts_t *counts)
{
    p->found->redelivered += atomic_load(&counts->redelivered);
    p->found->dropped += atomic_load(&counts->dropped);
    p->found->letters += atomic_load(&counts->letters);
}

static void walk_body(patient_t *p, const body_t *b, party_id_t id, sick_client_t *c)
{
    walk_log(p, b, party_index(id));
    walk_blocks(p, b);
    if (c == NULL) {
        return;
    }
    walk_hand(p, b, id, c);
    walk_user_body(p, b);
    see_lock(p, &b->hand_lock, "hand", party_index(id));
    add_counts(p, &b->counts);
    c->changing += atomic_load(&b->intent) != 0;
    c->waiting += request_status(atomic_load(&doctor_body(b)->request.state)) == REQUEST_PENDING;
}

static void walk_party(patient_t *p, uint32_t index)
{
    const party_t *party = &p->root->parties[index];
    uint32_t client = atomic_load(&party->client), id = atomic_load(&party->id);
    offset_t body = atomic_load(&party->body);
    sick_client_t *c = client != 0 ? client_found(p, client - 1) : NULL;
    walk_section(p, atomic_load(&party->section), index);
    if (client != 0 && c == NULL) {
        note(p, "party %u is of client %u, who is not there", index, client - 1);
    }
    if (id != 0 && party_index(id) != index) {
        note(p, "party %u has the id of party %u", index, party_index(id));
    }
    if (c != NULL) {
        c->parties += id != 0;
    }
    if (body != 0 && refer(p, USE_PARTIES, "the body of a party", body, sizeof(body_t))) {
        if (c == NULL) {
            note(p, "party %u has a body, and no client", index);
        }
        walk_body(p, look(p, body, sizeof(body_t)), id, c);
    }
}

void walk_node(patient_t *p)
{
    if (p->root->size != p->region.size) {
        note(p, "the root: its size is %" PRIu64 ", the file's %" PRIu64, p->root->size, p->region.size);
    }
    walk_clients(p);
    p->found->deaths = atomic_load(&p->root->deaths);
    add_counts(p, &p->root->counts);
    for (uint32_t i = 0; i < NODE_PARTIES; i++) {
        walk_party(p, i);
    }
    walk_body(p, &p->root->boot, 0, NULL);
    see_lock(p, &p->root->boot_lock, "the coming and going of threads", -1);
    see_lock(p, &p->root->heap.lock, "the heap", -1);
    for (uint32_t i = 0; i < NODE_CLIENTS; i++) {
        see_lock(p, &p->root->clients[i].repair, "repair of client", i);
    }
}
