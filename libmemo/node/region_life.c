/*
 * region_life.c - life locks: see region.h. Open-file-description locks, for those alone are given up by the kernel
 * after the last thread of a process, are not lost when another descriptor of the file is closed, and tell two
 * views of one process apart.
 */
#include "libmemo/node/region.h"

#include "libmemo/api/error.h"
#include "libmemo/memo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LIFE_LOCKS_AT (INT64_C(1) << 40) /* lock i is the byte at LIFE_LOCKS_AT + i */

static int life_lock(const region_t *r, int command, short type, unsigned index, struct flock *lock)
{
    int rc;

    do {
        memset(lock, 0, sizeof *lock);
        lock->l_type = type;
        lock->l_whence = SEEK_SET;
        lock->l_start = LIFE_LOCKS_AT + (off_t)index;
        lock->l_len = 1;
        rc = fcntl(r->fd, command, lock);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

int region_life_take(region_t *r, unsigned index)
{
    struct flock lock;

    if (life_lock(r, F_OFD_SETLK, F_WRLCK, index, &lock) == 0)
        return MEMO_OK;
    if (errno == EAGAIN || errno == EACCES)
        return memo_error(MEMO_EBUSY, "participant %u of the space is somebody else, who is alive", index);
    return memo_error(MEMO_EIO, "cannot take life lock %u: %s", index, strerror(errno));
}

void region_life_drop(region_t *r, unsigned index)
{
    struct flock lock;

    (void)life_lock(r, F_OFD_SETLK, F_UNLCK, index, &lock);
}

bool region_life_held(region_t *r, unsigned index)
{
    struct flock lock;

    return life_lock(r, F_OFD_GETLK, F_WRLCK, index, &lock) < 0 || lock.l_type != F_UNLCK;
}
