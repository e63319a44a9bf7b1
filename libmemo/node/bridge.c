/*
 * bridge.c - memo_fd's descriptor, and the thread behind it (bridge.h).
 */
#include "libmemo/node/bridge.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libmemo/api/error.h"
#include "libmemo/memo.h"

void bridge_init(bridge_t *b)
{
    *b = (bridge_t){.event = -1};
}

int bridge_fd(bridge_t *b, void *(*run)(void *arg), void *arg)
{
    int error;

    if (b->event >= 0)
        return b->event;
    b->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (b->event < 0)
        return memo_error(MEMO_EIO, "eventfd: %s", strerror(errno));
    error = pthread_create(&b->thread, NULL, run, arg);
    if (error != 0) {
        bridge_close(b);
        return memo_error(MEMO_EIO, "cannot start a thread for the descriptor: %s", strerror(error));
    }
    b->runs = true;
    return b->event;
}

void bridge_show(const bridge_t *b, bool any)
{
    uint64_t value = 1;

    if (b->event < 0)
        return;
    if (any)
        value = (uint64_t)write(b->event, &value, sizeof value);
    else
        value = (uint64_t)read(b->event, &value, sizeof value);
    (void)value; /* full or empty already: it shows what it should */
}

void bridge_join(bridge_t *b)
{
    if (b->runs)
        pthread_join(b->thread, NULL);
    b->runs = false;
}

void bridge_close(bridge_t *b)
{
    if (b->event >= 0)
        close(b->event);
    b->event = -1;
}
