/*
 * space_home.c - what the dead of this node had, and what we have ourselves when we close, goes back to servers of
 * other nodes.
 *
 * Inside a node a memo passes in one step, whoever dies. To another node it goes as bytes, and nobody knows when
 * they have left: so it stays in our hand until its server says RECEIVED. If we die before that, whoever finds us
 * dead sends it again; the server knows by the ANSWER with which the memo was once taken that it is the same.
 */
#include <stdlib.h>
#include <unistd.h>

#include "libmemo/node/wait.h"
#include "stubs/space.h"

#define PAUSE_FOR_MEMORY 1000 /* microseconds */

bool home_is_far(uint32_t server, void *arg)
{
    mpi_space_t *sp = arg;

    return !launch_near(&sp->launch, server);
}

static going_home_t *note(mpi_space_t *sp, uint32_t server, const wire_message_t *message)
{
    going_home_t *g;

    while ((g = malloc(sizeof *g)) == NULL)
        usleep(PAUSE_FOR_MEMORY);
    *g = (going_home_t){.next = sp->home,
                        .memo = near_memo(message->memo),
                        .server = server,
                        .client = (uint32_t)message->number[0],
                        .request = message->number[1],
                        .index = (uint32_t)message->number[2]};
    g->memo->flags |= SPACE_SENT;
    sp->home = g;
    return g;
}

static void is_there(mpi_space_t *sp, going_home_t **link)
{
    going_home_t *g = *link;

    *link = g->next;
    near_free(sp->mailbox, g->memo);
    free(g);
}

void home_arrived(mpi_space_t *sp, const wire_message_t *received)
{
    going_home_t **link, *g;

    for (link = &sp->home; (g = *link) != NULL; link = &g->next)
        if (g->client == received->client && g->request == received->request && g->index == received->index) {
            is_there(sp, link);
            return;
        }
}

void home_server_died(mpi_space_t *sp, uint32_t server)
{
    going_home_t **link = &sp->home;

    while (*link != NULL)
        if ((*link)->server == server)
            is_there(sp, link); /* its folder is gone */
        else
            link = &(*link)->next;
}

static bool is_going(const mpi_space_t *sp, const going_home_t *which)
{
    const going_home_t *g = sp->home;

    while (g != NULL && g != which)
        g = g->next;
    return g != NULL;
}

void home_wait(mpi_space_t *sp)
{
    while (sp->home != NULL)
        pump_sleep(sp, &sp->closer, WAIT_FOREVER);
}

/* A memo that cannot be told from others is nobody's here once its bytes are sent. */
static int send_far(mpi_space_t *sp, uint32_t server, const wire_message_t *message)
{
    bool known = message->number[0] != 0;
    wire_message_t bare = *message;
    going_home_t *g;
    int result;

    if (message->type == WIRE_DROP)
        bare.memo = NULL; /* that is all there is to know */
    result = carry_far(sp, server, &bare);

    if (result != MEMO_OK || message->memo == NULL)
        return result;
    if (!known) {
        near_free(sp->mailbox, near_memo(message->memo));
        return MEMO_OK;
    }
    g = note(sp, server, message);
    /* Our own, as we close: it is the next one until it has gone. */
    while (message->number[0] == sp->launch.self && is_going(sp, g))
        pump_sleep(sp, &sp->closer, WAIT_FOREVER);
    return MEMO_OK;
}

int home_send(self_t *s, uint32_t server, const wire_message_t *message, void *arg)
{
    mpi_space_t *sp = arg;
    int result;

    if (atomic_load(&sp->gone[server]))
        return MEMO_EPEER;
    if (launch_near(&sp->launch, server))
        return near_send(s, sp->peers[server].mailbox, message, NULL);
    /* Whoever has the mutex repairs by the mailbox's party. */
    if (s != sp->mailbox)
        pthread_mutex_lock(&sp->mutex);
    result = send_far(sp, server, message);
    if (s != sp->mailbox)
        pthread_mutex_unlock(&sp->mutex);
    return result == MEMO_ENOMEM ? MEMO_EFULL : result; /* to be tried again */
}
