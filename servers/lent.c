/*
 * lent.c - memos that a server keeps until they have arrived at another node (lent.h).
 */
#include "servers/lent.h"

#include <stdlib.h>
#include <unistd.h>

#define PAUSE_FOR_MEMORY 1000 /* microseconds */

void lent_init(lent_t *l)
{
    l->first = NULL;
    l->end = &l->first;
}

void lent_keep(lent_t *l, const wire_message_t *message)
{
    lent_memo_t *kept;

    while ((kept = malloc(sizeof *kept)) == NULL)
        usleep(PAUSE_FOR_MEMORY);
    *kept = (lent_memo_t){.request = message->request,
                          .index = message->index,
                          .redeliveries = message->redeliveries,
                          .from = message->folders[0],
                          .memo = message->memo};
    *l->end = kept;
    l->end = &kept->next;
}

lent_memo_t *lent_cut(lent_t *l, uint64_t request, uint32_t index)
{
    lent_memo_t **link, *kept;

    for (link = &l->first; (kept = *link) != NULL; link = &kept->next)
        if (kept->request == request && kept->index == index)
            break;
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

    while (kept != NULL && kept->memo == NULL)
        kept = kept->next;
    return kept;
}
