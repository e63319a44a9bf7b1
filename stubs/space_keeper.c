/*
 * space_keeper.c - a thread that looks for the dead where nobody else would: on a node without a server, whose
 * clients may all be out of the library when one of them dies. Others wait for what the dead held, perhaps on other
 * nodes.
 */
#include <string.h>

#include "libmemo/node/repair.h"
#include "libmemo/node/wait.h"
#include "stubs/space.h"

static void *keep(void *arg)
{
    mpi_space_t *sp = arg;

    pthread_mutex_lock(&sp->mutex);
    while (!sp->keeper_stop) {
        int64_t next = wait_now() + WAIT_TICK_NS;
        struct timespec at = {.tv_sec = next / 1000000000, .tv_nsec = next % 1000000000};
        pthread_cond_timedwait(&sp->keeper_thread.woken, &sp->mutex, &at);
        if (sp->pumper != NULL)
            continue; /* he looks */
        repair_look(sp->mailbox, WAIT_TICK_NS / 2);
        pump(sp);
    }
    pthread_mutex_unlock(&sp->mutex);
    return NULL;
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

    if (server_near(&sp->launch))
        return MEMO_OK; /* that looks */
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
