/*
 * back.c - what the folder table does when a party is gone: its requests, its memos, its notes (node.h, node_user).
 */
#include <stdlib.h>

#include "libmemo/shm/shm.h"

static shm_body_t *body_of(const self_t *s, uint32_t index)
{
    /* It is there: who repairs has looked. */
    return shm_body_of(node_at(s, atomic_load(&node_party(s, index)->body)));
}

/* A claim on it may yet be undone, by the death of the claimer: marked first, it stays unclaimed then. */
static void abandon(self_t *s, request_t *r)
{
    atomic_store(&r->abandoned, 1);
    request_cancel(s, r);
}

static void cancel_requests(self_t *s, uint32_t index)
{
    shm_body_t *b = body_of(s, index);
    offset_t at;

    abandon(s, &b->request);
    if (b->large_request != 0)
        abandon(s, node_at(s, b->large_request));
    for (at = b->started; at != 0; at = ((request_t *)node_at(s, at))->next)
        abandon(s, node_at(s, at));
    atomic_store(&b->quiet, 0);
}

static void memo_back(self_t *s, offset_t at, bool drop)
{
    struct memo *m = node_at(s, at);

    if (drop && m->origin != 0)
        lease_drop(s, m);
    else
        lease_back(s, m, true);
}

static void retire_started(self_t *s, shm_body_t *b)
{
    while (b->started != 0) {
        request_t *r = node_at(s, b->started);
        request_unlink_all(s, r);
        if (r->next != 0)
            log_u64(s, &((request_t *)node_at(s, r->next))->prev, 0);
        log_u64(s, &s->body->scratch[SHM_SCRATCH_CLONE], b->started);
        log_u64(s, &b->started, r->next);
        log_commit(s);
        heap_free(s, &s->body->scratch[SHM_SCRATCH_CLONE]);
    }
}

static void retire(self_t *s, uint32_t index)
{
    shm_body_t *b = body_of(s, index);

    request_unlink_all(s, &b->request);
    if (b->large_request != 0) {
        request_unlink_all(s, node_at(s, b->large_request));
        heap_free(s, &b->large_request);
    }
    retire_started(s, b);
    fire_delayed(s, b);
    fire_delayed(s, shm_body(s));
    origins_flush(s, b);
    origins_flush(s, shm_body(s));
    quiet_leave(s, index);
}

static void self_gone(self_t *s)
{
    refused_free(&shm_local(s)->refused);
}

const node_user_t shm_node_user = {
    .self_bytes = sizeof(shm_local_t),
    .self_gone = self_gone,
    .cancel_requests = cancel_requests,
    .memo_back = memo_back,
    .retire = retire,
    .client_gone = quiet_client_gone,
};
