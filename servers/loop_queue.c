/*
 * loop_queue.c - messages that wait in a server's own memory (loop_own.h).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "servers/loop_own.h"

void *loop_must_have(void *old, size_t bytes)
{
    void *p;

    while ((p = realloc(old, bytes)) == NULL)
        usleep(1000);
    return p;
}

void loop_queue_init(queue_t *q)
{
    q->first = NULL;
    q->end = &q->first;
}

waiting_t *loop_queue_add(queue_t *q, uint32_t to, const wire_message_t *message)
{
    waiting_t *w = loop_must_have(NULL, sizeof *w + message->count * sizeof w->folders[0]);

    w->next = NULL;
    w->to = to;
    w->message = *message;
    w->bytes = NULL;
    if (message->count > 0)
        memcpy(w->folders, message->folders, message->count * sizeof w->folders[0]);
    w->message.folders = w->folders;
    *q->end = w;
    q->end = &w->next;
    return w;
}

waiting_t *loop_queue_cut(queue_t *q, waiting_t **link)
{
    waiting_t *w = *link;

    *link = w->next;
    if (q->end == &w->next)
        q->end = link;
    return w;
}

void loop_waiting_free(waiting_t *w)
{
    free(w->bytes);
    free(w);
}

bool loop_queue_has(const queue_t *q, uint32_t to)
{
    const waiting_t *w;

    for (w = q->first; w != NULL; w = w->next)
        if (w->to == to)
            return true;
    return false;
}

void loop_queue_free(queue_t *q, self_t *s)
{
    while (q->first != NULL) {
        waiting_t *w = loop_queue_cut(q, &q->first);
        if (w->message.memo != NULL)
            near_free(s, near_memo(w->message.memo));
        loop_waiting_free(w);
    }
}
