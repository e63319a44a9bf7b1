/*
 * region_view.c - one view of a region: its file, its pages, its mapping.
 */
#include "libmemo/node/region_view.h"

#include "libmemo/api/error.h"
#include "libmemo/memo.h"
#include "libmemo/node/region_header.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define COMMIT_PIECE_MIN (64u * 1024u) /* of a commit that signals keep interrupting */

_Static_assert(REGION_COMMITTED_AT_START <= REGION_MIN_BYTES, "every region has what is committed at start");

void region_close_fd(int fd)
{
    int saved = errno;

    /* Never repeated: Linux has released the number even when it says EINTR. */
    if (fd >= 0)
        (void)close(fd);
    errno = saved;
}

int region_open_file(const char *path, int flags)
{
    int fd;

    do {
        fd = open(path, flags, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

void region_descriptor_path(char path[REGION_DESCRIPTOR_PATH], int fd)
{
    /* Not /proc/self: that is empty once the first thread has ended. */
    snprintf(path, REGION_DESCRIPTOR_PATH, "/proc/thread-self/fd/%d", fd);
}

static uint64_t page_bytes(void)
{
    long bytes = sysconf(_SC_PAGESIZE);

    return bytes > 0 ? (uint64_t)bytes : 4096;
}

static int map(region_t *r, const char *where)
{
    void *at =
        r->size > SIZE_MAX ? MAP_FAILED : mmap(NULL, (size_t)r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);

    if (at == MAP_FAILED)
        return region_refused("cannot map", where);
    r->base = at;
    /* A core dump of every user would hold the whole space; if the advice is refused, it does. */
    (void)madvise(at, (size_t)r->size, MADV_DONTDUMP);
    return MEMO_OK;
}

void region_view_drop(region_t *r)
{
    int saved = errno;

    if (r->base)
        (void)munmap(r->base, (size_t)r->size);
    region_close_fd(r->fd);
    r->base = NULL;
    r->size = 0;
    r->fd = -1;
    r->anonymous = NULL;
    errno = saved;
}

int region_view_attach(region_t *r, const region_spec_t *spec, const char *where)
{
    struct region_header h;
    uint64_t file_size = 0;
    int rc = region_header_read(r->fd, where, &h, &file_size);

    if (rc == MEMO_OK)
        rc = region_header_check(&h, file_size, spec, where);
    if (rc != MEMO_OK)
        return rc;
    r->size = h.size;
    return map(r, where);
}

/* ftruncate beyond the process's limit would raise SIGXFSZ, whose default is death. */
static int set_length(int fd, uint64_t size, const char *where)
{
    struct rlimit limit;
    int rc;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < size)
        return memo_error(MEMO_EIO,
                          "cannot create %s with %llu bytes: this process may not make files of more than "
                          "%llu (ulimit -f)",
                          where, (unsigned long long)size, (unsigned long long)limit.rlim_cur);
    do {
        rc = ftruncate(fd, (off_t)size);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? region_refused("cannot give its size to", where) : MEMO_OK;
}

int region_view_build(region_t *r, const region_spec_t *spec, const char *where)
{
    uint64_t page = page_bytes();
    int rc;

    r->size = (spec->size + page - 1) / page * page;
    rc = set_length(r->fd, r->size, where);
    if (rc == MEMO_OK)
        rc = region_commit(r, 0, REGION_COMMITTED_AT_START);
    if (rc == MEMO_OK)
        rc = map(r, where);
    if (rc != MEMO_OK)
        return rc;
    region_header_write(r, spec);
    r->created = true;
    rc = spec->format ? spec->format(r, spec->arg) : MEMO_OK;
    if (rc != MEMO_OK)
        r->created = false;
    return rc;
}

int region_commit(region_t *r, uint64_t from, uint64_t upto)
{
    uint64_t piece;

    if (from > upto || upto > r->size)
        return memo_error(MEMO_EINVAL, "bytes %llu to %llu are not all inside a region of %llu",
                          (unsigned long long)from, (unsigned long long)upto, (unsigned long long)r->size);
    /* All at once, for then a lack of room is known before any is taken. An interrupted call has done nothing, so
     * where signals keep coming the pieces get smaller until they fit between two. */
    piece = upto - from;
    while (from < upto) {
        uint64_t count = piece < upto - from ? piece : upto - from;
        if (fallocate(r->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)count) == 0)
            from += count;
        else if (errno != EINTR)
            return region_refused("cannot get memory for", "a space");
        else if (piece > COMMIT_PIECE_MIN)
            piece = piece / 2 > COMMIT_PIECE_MIN ? piece / 2 : COMMIT_PIECE_MIN;
    }
    return MEMO_OK;
}

void region_release(region_t *r, uint64_t from, uint64_t upto)
{
    uint64_t page = page_bytes();
    int rc;

    if (from < REGION_HEADER_BYTES) /* the header stays */
        from = REGION_HEADER_BYTES;
    if (upto > r->size)
        upto = r->size;
    from = (from + page - 1) / page * page;
    upto = upto / page * page;
    if (from >= upto)
        return;
    /* tmpfs refuses this for sealed files alone, which ours are not. */
    do {
        rc = fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(upto - from));
    } while (rc < 0 && errno == EINTR);
}
