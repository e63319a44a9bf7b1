/*
 * lent.c - what a server remembers of memos between it and a client of another node (lent.h).
 */
#include "servers/lent.h"

#include <stdlib.h>
#include <unistd.h>

#define PAUSE_FOR_MEMORY 1000 /* microseconds */

void lent_init(lent_t *l)
{
    *l = (lent_t){.end = &l->first};
}

static lent_memo_t *add(lent_t *l, const lent_memo_t *kept)
{
    lent_memo_t *more;

    while ((more = malloc(sizeof *more)) == NULL)
        usleep(PAUSE_FOR_MEMORY);
    *more = *kept;
    *l->end = more;
    l->end = &more->next;
    return more;
}

void lent_keep(lent_t *l, const wire_message_t *message)
{
    add(l, &(lent_memo_t){.request = message->request,
                          .index = message->index,
                          .redeliveries = message->redeliveries,
                          .serial = ++l->lent,
                          .from = message->folders[0],
                          .memo = message->memo});
}

static lent_memo_t **find(lent_t *l, uint64_t request, uint32_t index)
{
    lent_memo_t **link;

    for (link = &l->first; *link != NULL; link = &(*link)->next)
        if ((*link)->request == request && (*link)->index == index)
            break;
    return link;
}

lent_memo_t *lent_find(lent_t *l, uint64_t request, uint32_t index)
{
    return *find(l, request, index);
}

lent_memo_t *lent_cut(lent_t *l, uint64_t request, uint32_t index)
{
    lent_memo_t **link = find(l, request, index), *kept = *link;

    if (kept == NULL)
        return NULL;
    *link = kept->next;
    if (l->end == &kept->next)
        l->end = link;
    return kept;
}

lent_memo_t *lent_first(const lent_t *l)
{
    lent_memo_t *kept = l->first;

    while (kept != NULL && (kept->memo == NULL || kept->serial <= l->arrived))
        kept = kept->next;
    return kept;
}

lent_memo_t *lent_cut_arrived(lent_t *l)
{
    lent_memo_t *kept = l->first;

    while (kept != NULL && (kept->memo == NULL || kept->serial > l->arrived))
        kept = kept->next;
    return kept != NULL ? lent_cut(l, kept->request, kept->index) : NULL;
}

void lent_arrived(lent_t *l, uint64_t count)
{
    if (count > l->arrived)
        l->arrived = count;
}

lent_memo_t *lent_note_back(lent_t *l, uint64_t request, uint32_t index)
{
    return add(l, &(lent_memo_t){.request = request, .index = index});
}

bool lent_brings(lent_t *l, uint64_t request)
{
    if (l->closed)
        return false;
    l->brought = request;
    return true;
}

void lent_refused(lent_t *l, uint64_t request)
{
    add(l, &(lent_memo_t){.request = request, .refused = true});
}

static bool was_here(const lent_t *l, uint64_t request)
{
    return l->brought != 0 && (int64_t)(request - l->brought) <= 0;
}

bool lent_still_his(lent_t *l, uint64_t request)
{
    const lent_memo_t *refusal = lent_find(l, request, 0);

    if (was_here(l, request))
        return refusal != NULL && refusal->refused;
    l->closed = true;
    return true;
}

void lent_owe(lent_t *l, lent_memo_t *kept)
{
    kept->owed = true;
    l->owed++;
}

void lent_paid(lent_t *l, uint64_t request, uint32_t index)
{
    lent_memo_t *kept = lent_find(l, request, index);

    if (kept == NULL || !kept->owed)
        return;
    kept->owed = false;
    l->owed--;
}
