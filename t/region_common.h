/*
 * region_common.h - what the tests of regions have in common: a region of this program's own, children to share it
 * with.
 */
#ifndef T_REGION_COMMON_H
#define T_REGION_COMMON_H

#include "libmemo/memo.h"
#include "libmemo/node/region.h"
#include "t/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define REGION_TEST __attribute__((unused)) static

#define SIZE (1024u * 1024u)
#define USER REGION_HEADER_BYTES /* where the user's part begins */

/* What the tests keep in a region's user part. */
struct content {
    _Atomic uint64_t creator; /* written by format */
    _Atomic uint64_t visits;
};

static char name[64];  /* of this run's region */
static char path[128]; /* where it is */

REGION_TEST struct content *content_of(const region_t *r)
{
    return (struct content *)(void *)(r->base + USER);
}

REGION_TEST int format_ok(region_t *r, void *arg)
{
    (void)arg;
    atomic_store(&content_of(r)->creator, (uint64_t)getpid());
    return MEMO_OK;
}

REGION_TEST region_spec_t spec_of(bool anonymous)
{
    return (region_spec_t){.name = name,
                           .anonymous = anonymous,
                           .size = SIZE,
                           .kind = "t-region",
                           .version = 7,
                           .fingerprint = 0x1234,
                           .format = format_ok};
}

REGION_TEST bool must(bool condition, const char *what)
{
    if (!condition) {
        int why = errno;
        (void)unlink(path);
        tap_bail("%s: %s; %s", what, strerror(why), memo_errmsg());
    }
    return condition;
}

/* Runs step in a forked child, which answers by its exit status: 0 for right. */
REGION_TEST pid_t child_begin(int (*step)(void *arg), void *arg)
{
    pid_t child = tap_fork();

    must(child >= 0, "fork");
    if (child == 0)
        _exit(step(arg));
    return child;
}

REGION_TEST int child_end(pid_t child)
{
    int status;

    must(waitpid(child, &status, 0) == child, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

REGION_TEST int in_child(int (*step)(void *arg), void *arg)
{
    return child_end(child_begin(step, arg));
}

REGION_TEST void make(region_t *r)
{
    region_spec_t spec = spec_of(false);

    must(region_open(r, &spec) == MEMO_OK && r->created, "making a region");
}

REGION_TEST void remove_it(void)
{
    (void)unlink(path);
}

REGION_TEST int count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

REGION_TEST void begin(void)
{
    tap_timeout(120);
    snprintf(name, sizeof name, "t-region-%d", (int)getpid());
    snprintf(path, sizeof path, "/dev/shm/memo.%s", name);
}

#endif
