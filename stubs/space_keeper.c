/*
 * space_keeper.c - a thread for what must go on while all others are out of the library, where there are other
 * nodes.
 *
 * It looks for the dead where nobody else would: on a node without a server, whose clients may all be away when one
 * of them dies. Others wait for what the dead held, perhaps on other nodes. And it sees that messages to other
 * nodes leave that did not leave at once: what a latch is released by, others wait for.
 */
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "stubs/space.h"

#define SENDING_NS 200000 /* how often it looks whether messages have left */
#define POLLS_FIRST 3     /* who leaves the library looks so often himself */

static bool still_sends(const mpi_space_t *sp)
{
    return sp->far != NULL && sp->pumper == NULL && sp->far->ops->sending(sp->far);
}

static void rest(mpi_space_t *sp)
{
    bool sends = still_sends(sp);
    int64_t next = wait_now() + (sends ? SENDING_NS : WAIT_TICK_NS);
    struct timespec at = {.tv_sec = next / 1000000000, .tv_nsec = next % 1000000000};

    if (sends || sp->keeper_looks)
        pthread_cond_timedwait(&sp->keeper_thread.woken, &sp->mutex, &at);
    else
        pthread_cond_wait(&sp->keeper_thread.woken, &sp->mutex);
}

static void *keep(void *arg)
{
    mpi_space_t *sp = arg;

    pthread_mutex_lock(&sp->mutex);
    while (!sp->keeper_stop) {
        rest(sp);
        if (sp->pumper != NULL)
            continue; /* he looks */
        if (sp->keeper_looks)
            repair_look(sp->mailbox, WAIT_TICK_NS / 2);
        pump(sp);
    }
    pthread_mutex_unlock(&sp->mutex);
    return NULL;
}

void keeper_told(mpi_space_t *sp)
{
    int i;

    for (i = 0; i < POLLS_FIRST && still_sends(sp); i++)
        pump(sp);
    if (sp->kept && still_sends(sp))
        pthread_cond_signal(&sp->keeper_thread.woken);
}

static bool server_near(const launch_t *l)
{
    uint32_t server;

    for (server = 0; server < l->servers; server++)
        if (launch_near(l, server))
            return true;
    return false;
}

int keeper_begin(mpi_space_t *sp)
{
    int result, error;

    sp->keeper_looks = !server_near(&sp->launch); /* else that looks */
    if (!sp->keeper_looks && sp->far == NULL)
        return MEMO_OK;
    result = pump_prepare(sp, &sp->keeper_thread);
    if (result != MEMO_OK)
        return result;
    error = pthread_create(&sp->keeper, NULL, keep, sp);
    if (error != 0)
        return memo_error(MEMO_EIO, "cannot start a thread that looks for the dead: %s", strerror(error));
    sp->kept = true;
    return MEMO_OK;
}

void keeper_end(mpi_space_t *sp)
{
    if (sp->kept) {
        pthread_mutex_lock(&sp->mutex);
        sp->keeper_stop = true;
        pthread_cond_signal(&sp->keeper_thread.woken);
        pthread_mutex_unlock(&sp->mutex);
        pthread_join(sp->keeper, NULL);
        sp->kept = false;
    }
    if (sp->keeper_thread.ready)
        pthread_cond_destroy(&sp->keeper_thread.woken);
}
