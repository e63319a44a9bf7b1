/*
 * lease.c - what becomes of a memo whose holder is gone, or has no more use for it (shm.h).
 *
 * It goes back to the head of the folder it was taken from, marked if its holder died or closed. Where the space
 * was made with max_redeliveries=, one that was marked so often goes to the end of the folder of dead letters
 * instead, or is dropped where there is none. What was taken from the dead letters goes back there, however often.
 *
 * Either is one mutation: a memo is in the hand of the dead, or where it goes, whoever dies meanwhile.
 */
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "libmemo/shm/shm.h"

static lease_t lease_of(const memo_uri_t *uri)
{
    lease_t lease;

    memset(&lease, 0, sizeof lease);
    lease.limited = uri->max_redeliveries_given;
    lease.most = uri->max_redeliveries;
    if (uri->dead_letters[0] != '\0')
        lease.letters = memo_folder(uri->dead_letters);
    return lease;
}

void lease_format(node_root_t *root, const memo_uri_t *uri)
{
    ((shm_root_t *)(void *)root->user)->lease = lease_of(uri);
}

/* A URI that says nothing of it takes what there is. */
int lease_agree(const node_root_t *root, const memo_uri_t *uri)
{
    const lease_t *there = &((const shm_root_t *)(const void *)root->user)->lease;
    lease_t asked = lease_of(uri);

    if (!asked.limited || memcmp(there, &asked, sizeof asked) == 0)
        return MEMO_OK;
    if (!there->limited)
        return memo_error(MEMO_EINVAL,
                          "the space was created without max_redeliveries: leave it out, or remove the "
                          "space and create it anew");
    return memo_error(MEMO_EINVAL,
                      "the space was created with max_redeliveries=%u%s%.*s: open it so, or leave both out",
                      there->most, there->letters.length != 0 ? " and dead_letters=" : " and no dead_letters",
                      (int)there->letters.length, (const char *)there->letters.bytes);
}

typedef struct going {
    bucket_t *bucket;
    bool new_record, mark;
} going_t;

static void leave_hand(self_t *s, struct memo *m, record_t *r, void *arg)
{
    const going_t *g = arg;

    if (g->new_record)
        table_insert(s, g->bucket, r);
    hand_give(s, m);
    origins_drop(s, m, r);
    if (g->mark)
        log_u32(s, &m->redeliveries, m->redeliveries + 1);
}

/* However full the space is, it has to go somewhere. */
static void go_back(self_t *s, struct memo *m, bool mark)
{
    record_t *r = record_at(s, m->origin);
    going_t g = {.mark = mark};
    int result;

    s->from_reserve = true;
    do {
        g.bucket = table_lock(s, r->hash);
        result = deliver(s, r, m, DELIVER_HEAD, leave_hand, &g);
        table_unlock_arrived(s, g.bucket);
        if (result != MEMO_OK)
            repair_look(s, WAIT_TICK_NS / 2); /* only memory to deliver with is missing: others will free some */
    } while (result != MEMO_OK);
    s->from_reserve = false;
    if (mark)
        node_count_one(&s->body->counts.redelivered);
    deliver_finish(s);
}

/* ---- dead letters ---------------------------------------------------------------------------------------- */

static bool is_letter(const lease_t *lease, const record_t *r)
{
    const memo_folder_t *f = &lease->letters;

    return r->hash == f->hash && r->kind == f->kind && r->length == f->length &&
           memcmp(r->name, f->bytes, f->length) == 0;
}

/* It was redelivered as often as it may be. */
static bool is_spent(self_t *s, const struct memo *m)
{
    const lease_t *lease = &shm_root(s)->lease;

    return lease->limited && m->redeliveries >= lease->most && !is_letter(lease, record_at(s, m->origin));
}

enum { NO_FOLDER = 100 };

static int post_letter(self_t *s, struct memo *m, const memo_folder_t *folder)
{
    going_t g = {.mark = true};
    record_t *r;
    int result;

    origins_prepare(s);
    g.bucket = table_lock(s, folder->hash);
    r = table_find(s, g.bucket, folder);
    g.new_record = r == NULL;
    if (r == NULL)
        r = table_new(s, folder);
    result = r != NULL ? deliver(s, r, m, DELIVER_TAIL, leave_hand, &g) : NO_FOLDER;
    table_unlock_arrived(s, g.bucket);
    return result;
}

/* False: there is no memory for the folder; nothing has happened. */
static bool go_to_letters(self_t *s, struct memo *m)
{
    int result;

    s->from_reserve = true;
    while ((result = post_letter(s, m, &shm_root(s)->lease.letters)) == MEMO_EFULL)
        repair_look(s, WAIT_TICK_NS / 2);
    s->from_reserve = false;
    if (result != MEMO_OK)
        return false;
    node_count_one(&s->body->counts.letters);
    deliver_finish(s);
    return true;
}

void lease_drop(self_t *s, struct memo *m)
{
    node_count_one(&s->body->counts.dropped);
    free_memo(s, m);
}

void lease_back(self_t *s, struct memo *m, bool mark)
{
    if (m->origin == 0)
        free_memo(s, m);
    else if (!mark || !is_spent(s, m))
        go_back(s, m, mark);
    else if (shm_root(s)->lease.letters.length == 0)
        lease_drop(s, m);
    else if (!go_to_letters(s, m))
        go_back(s, m, mark);
}
