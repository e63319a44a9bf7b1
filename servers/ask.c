/*
 * ask.c - what clients ask about the directory, and how they leave.
 */
#include "libmemo/wire/codec.h"
#include "servers/parts.h"

#include <stdlib.h>

#define PAGE_BYTES 65536u

void on_count(engine_t *e, const wire_message_t *m)
{
    const folder_t *f = directory_find(&e->directory, &m->folders[0].name);
    wire_message_t reply = {.type = WIRE_ANSWER, .request = m->request, .result = MEMO_OK};

    if (f != NULL) {
        reply.number[0] = f->memos;
        reply.number[1] = f->waiters;
    }
    engine_tell(e, m->client, &reply);
}

static void answer_bytes(engine_t *e, const wire_message_t *m, const void *bytes, size_t size, uint64_t number)
{
    wire_message_t reply = {.type = WIRE_ANSWER,
                            .flags = m->type == WIRE_STAT ? WIRE_STATISTICS : 0,
                            .request = m->request,
                            .size = size,
                            .number = {number}};

    reply.memo = e->io.make(e->io.arg, bytes, size);
    if (reply.memo == NULL) {
        reply.size = 0;
        reply.result = MEMO_EFULL;
    }
    engine_tell(e, m->client, &reply);
}

void on_stat(engine_t *e, const wire_message_t *m)
{
    unsigned char bytes[CODEC_STAT_BYTES];
    memo_stat_t stat = {.folders = directory_folders(&e->directory),
                        .memos = e->directory.memos,
                        .bytes = e->directory.bytes,
                        .waiters = e->directory.waiters,
                        .clients = e->present,
                        .deaths = e->figures.deaths,
                        .redelivered = e->figures.redelivered,
                        .dropped = e->figures.dropped,
                        .dead_letters = e->figures.letters,
                        .puts = e->figures.puts,
                        .takes = e->figures.takes,
                        .copies = e->figures.copies,
                        .messages = e->figures.messages,
                        .strict_phases = e->figures.strict_phases};

    codec_write_stat(&stat, bytes);
    answer_bytes(e, m, bytes, sizeof bytes, 0);
}

/* The first folder made after the one that `serial` numbers. Folders stand in the order of their making. */
static folder_t *folder_after(const engine_t *e, uint64_t serial)
{
    folder_t *f = e->directory.walked;

    if (f != NULL && f->serial == serial)
        return f->hh.next;
    for (f = e->directory.folders; f != NULL && f->serial <= serial; f = f->hh.next)
        ;
    return f;
}

void on_each(engine_t *e, const wire_message_t *m)
{
    unsigned char *page = malloc(PAGE_BYTES);
    folder_t *f = folder_after(e, m->number[0]);
    uint64_t last = 0;
    size_t used = 0;

    if (page == NULL) {
        engine_answer(e, m->client, m->request, MEMO_ENOMEM);
        return;
    }
    for (; f != NULL && used + CODEC_RECORD_MAX <= PAGE_BYTES; f = f->hh.next) {
        codec_record_t record;
        last = f->serial;
        e->directory.walked = f;
        if (folder_idle(f))
            continue;
        record = (codec_record_t){.folder = f->name, .memos = f->memos, .bytes = f->bytes, .waiters = f->waiters};
        used += codec_write_record(&record, page + used);
    }
    answer_bytes(e, m, page, used, f != NULL ? last : 0);
    free(page);
}

/* ---- leaving --------------------------------------------------------------------------------------------- */

static void drop_deferred(engine_t *e, uint32_t client, bool puts_too)
{
    deferred_t *d;

    while ((d = engine_undefer_any(e, client, puts_too)) != NULL) {
        if (d->message.memo != NULL)
            engine_refuse(e, &d->message, MEMO_ECANCELED);
        d->message.memo = NULL;
        deferred_free(e, d);
    }
}

/* A put that waits for room ends: its memo is still what its client held. */
static void end_requests(engine_t *e, uint32_t client)
{
    request_t *r = engine_client(e, client)->requests, *next;

    for (; r != NULL; r = next) {
        next = r->next;
        if (r->state == REQUEST_PASSED)
            continue;
        if (r->state == REQUEST_CHAIN) {
            chain_gone(e, r);
            continue;
        }
        if (r->memo != NULL)
            request_refuse(e, r, MEMO_ECANCELED);
        request_over(e, r);
    }
}

void on_leave(engine_t *e, const wire_message_t *m)
{
    drop_deferred(e, m->client, true);
    end_requests(e, m->client);
    engine_settle(e);
    engine_answer(e, m->client, m->request, MEMO_OK);
}

static void depart(engine_t *e, uint32_t client)
{
    engine_client(e, client)->departed = true;
    e->present--;
    quiet_client_left(e, client);
}

void on_bye(engine_t *e, const wire_message_t *m)
{
    end_requests(e, m->client);
    engine_answer(e, m->client, m->request, MEMO_OK);
    engine_client(e, m->client)->left = true;
    depart(e, m->client);
}

void on_gone(engine_t *e, const wire_message_t *m)
{
    uint32_t client = (uint32_t)m->number[0];
    client_state_t *c = engine_client(e, client);

    if (c == NULL) {
        on_server_gone(e, m);
        return;
    }
    if (c->departed)
        return;
    if (!c->gone) {
        c->gone = true;
        quiet_client_died(e, client);
        drop_deferred(e, client, false);
        end_requests(e, client);
    }
    if (m->number[1] == 0) {
        e->figures.deaths++;
        depart(e, client);
    }
}
