/*
 * repair.c - what the dead leave behind (repair.h).
 */
#include "libmemo/node/repair.h"

#include "libmemo/node/lock.h"
#include "libmemo/node/slot.h"
#include "libmemo/node/wait.h"

static bool client_dead(const self_t *s, uint32_t client)
{
    return client != s->node->client && atomic_load(&s->root->clients[client].state) != CLIENT_FREE &&
           !region_life_held(&s->node->region, client);
}

/* ---- voiding --------------------------------------------------------------------------------------------- */

static void void_boot(self_t *s, party_id_t dead)
{
    if (dead != 0 && atomic_load(&s->root->boot_lock.owner) == dead)
        log_undo(s, &s->root->boot, dead);
}

static void void_party(self_t *s, party_t *p)
{
    body_t *b = party_body(s, p);
    party_id_t id = atomic_load(&p->id);

    if (atomic_load(&p->voided) != 0)
        return;
    void_boot(s, id);
    if (b != NULL) {
        log_undo(s, b, id);
        slot_complete(s, p, b);
    }
    atomic_fetch_add(&s->root->voids, 1);
    atomic_store(&p->voided, 1);
    atomic_store(&s->root->repairs_wanted, 1);
}

static void void_client(self_t *s, uint32_t client)
{
    uint32_t used = atomic_load(&s->root->parties_used), i;

    for (i = 0; i < used; i++)
        if (atomic_load(&node_party(s, i)->client) == client + 1)
            void_party(s, node_party(s, i));
}

/* The client's repair lock, without ever waiting for the living. */
static bool repair_begin(self_t *s, uint32_t client)
{
    lock_t *lock = &s->root->clients[client].repair;
    uint32_t owner = atomic_load(&lock->owner);

    if (owner == s->id)
        return false;
    if (lock_try(s, lock))
        return true;
    return owner != 0 && repair_void(s, owner) && atomic_compare_exchange_strong(&lock->owner, &owner, s->id);
}

bool repair_void(self_t *s, party_id_t owner)
{
    party_t *p = node_party(s, party_index(owner));
    uint32_t client;

    if (owner == s->id)
        return false;
    if (atomic_load(&p->id) != owner || atomic_load(&p->voided) != 0)
        return true;
    client = atomic_load(&p->client);
    if (client == 0 || !client_dead(s, client - 1))
        return atomic_load(&p->id) != owner;
    if (repair_begin(s, client - 1)) {
        if (client_dead(s, client - 1))
            void_client(s, client - 1);
        lock_release(&s->root->clients[client - 1].repair);
    }
    return atomic_load(&p->id) != owner || atomic_load(&p->voided) != 0;
}

/* ---- giving back ----------------------------------------------------------------------------------------- */

static void empty_hand(self_t *s, uint32_t index, bool drop)
{
    body_t *b = party_body(s, node_party(s, index));
    party_id_t id = atomic_load(&node_party(s, index)->id);
    struct memo *m;

    while ((m = hand_first(s, b, id)) != NULL)
        s->node->user->memo_back(s, node_offset(s, m), drop);
}

static void empty_mailbox(self_t *s, uint32_t index, bool drop)
{
    struct memo *m;

    while (slot_take_back(s, index, &m))
        if (m != NULL)
            s->node->user->memo_back(s, node_offset(s, m), drop);
}

/*
 * Nothing is on its way to the party any more, nor ever will be. A claim that was there when its request was to be
 * cancelled is undone if the claimer dies: the request can be claimed again, and must be cancelled again.
 */
static void silence(self_t *s, uint32_t index, bool drop)
{
    uint32_t voids;

    do {
        voids = atomic_load(&s->root->voids);
        s->node->user->cancel_requests(s, index);
        empty_mailbox(s, index, drop);
    } while (atomic_load(&s->root->voids) != voids);
}

void repair_empty(self_t *s, uint32_t index, bool drop)
{
    body_t *b = party_body(s, node_party(s, index));
    unsigned i;

    if (b == NULL)
        return;
    silence(s, index, drop);
    empty_hand(s, index, drop);
    s->node->user->retire(s, index);
    slot_discard(s, &b->scratch[SLOT_SCRATCH]);
    for (i = 0; i < SCRATCH_SLOTS; i++)
        heap_free(s, &b->scratch[i]);
    b->log_room = 0;
    heap_free(s, &b->log_more);
    heap_flush_of(s, b);
}

static void counts_add(node_counts_t *sum, const node_counts_t *more)
{
    _Atomic uint64_t *to = (_Atomic uint64_t *)sum;
    const _Atomic uint64_t *from = (const _Atomic uint64_t *)more;
    size_t i;

    for (i = 0; i < sizeof *sum / sizeof *to; i++)
        atomic_store_explicit(&to[i],
                              atomic_load_explicit(&to[i], memory_order_relaxed) +
                                  atomic_load_explicit(&from[i], memory_order_relaxed),
                              memory_order_relaxed);
}

void repair_release(self_t *s, uint32_t index)
{
    party_t *p = node_party(s, index);
    node_root_t *root = s->root;
    self_t boot = *s; /* the same party with the boot body's log: its own body is what goes */

    boot.body = &root->boot;
    boot.logged = 0;
    lock_take(&boot, &root->boot_lock);
    heap_free(&boot, &root->boot.scratch[0]); /* of one who died here */
    if (party_body(s, p) != NULL) {
        counts_add(&root->counts, &party_body(s, p)->counts);
        log_u64(&boot, &root->boot.scratch[0], atomic_load(&p->body));
        log_a64(&boot, &p->body, 0);
        log_commit(&boot);
        heap_free(&boot, &root->boot.scratch[0]);
        heap_flush(&boot); /* nobody else would */
    }
    atomic_store(&p->attention, 0);
    atomic_store(&p->parked, 0);
    atomic_store(&p->scanning, 0);
    if (index == s->index) {
        /* Freed by its owner: the lock first, while the id is still ours. */
        lock_release(&root->boot_lock);
        atomic_store(&p->id, 0);
        atomic_store(&p->flags, 0); /* after the id: who sees no PARTY_SHUT any more sees no id either */
        atomic_store(&p->voided, 0);
        atomic_store(&p->client, 0);
        return;
    }
    atomic_store(&p->id, 0);
    atomic_store(&p->flags, 0);
    atomic_store(&p->voided, 0);
    atomic_store(&p->client, 0);
    lock_release(&root->boot_lock);
}

void repair_party(self_t *s, uint32_t index, bool drop)
{
    repair_empty(s, index, drop);
    slot_reclaim(s, index);
    repair_release(s, index);
}

/* ---- clients --------------------------------------------------------------------------------------------- */

static void repair_client(self_t *s, uint32_t client)
{
    client_t *c = &s->root->clients[client];
    uint32_t used = atomic_load(&s->root->parties_used), i;

    if (!repair_begin(s, client))
        return;
    if (client_dead(s, client)) {
        void_client(s, client);
        for (i = 0; i < used; i++)
            if (atomic_load(&node_party(s, i)->client) == client + 1)
                repair_party(s, i, c->on_death_drop != 0);
        s->node->user->client_gone(s, client);
        slot_reclaim_left(s);
        atomic_fetch_add(&s->root->deaths, 1);
        atomic_store(&c->state, CLIENT_FREE);
    }
    lock_release(&c->repair);
}

void repair_look(self_t *s, int64_t not_since_ns)
{
    int64_t now = wait_now();
    uint64_t checked = atomic_load(&s->root->checked_ns);
    uint32_t used, i;

    if (checked + (uint64_t)not_since_ns > (uint64_t)now)
        return;
    if (!atomic_compare_exchange_strong(&s->root->checked_ns, &checked, (uint64_t)now))
        return;
    atomic_store(&s->root->repairs_wanted, 0);
    used = atomic_load(&s->root->clients_used);
    for (i = 0; i < used; i++)
        if (client_dead(s, i))
            repair_client(s, i);
}
