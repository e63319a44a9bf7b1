/*
 * region.c - memory that processes of one machine share; see region.h.
 *
 * Creating. A region is built in a file without a name (O_TMPFILE) and given its name by one linkat, so a name
 * never stands for a half-made one, and a creator that dies leaves nothing behind. Who finds the name taken drops
 * his own and attaches to the winner's. Where the system has no nameless files, or cannot name them, a private name
 * that no region can have (".memo-...") takes their place.
 *
 * Attaching. The header is read and checked (region_header.c) before anything is mapped, and the file is one's own
 * or shared on purpose (region_access.c).
 */
#include "libmemo/node/region.h"

#include "libmemo/api/error.h"
#include "libmemo/memo.h"
#include "libmemo/node/region_access.h"
#include "libmemo/node/region_anonymous.h"
#include "libmemo/node/region_header.h"
#include "libmemo/node/region_view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_OF_REGIONS "/dev/shm"
#define PATH_BYTES (sizeof(FOLDER_OF_REGIONS "/memo.") + REGION_NAME_MAX + 1)
#define TRIES 100 /* to create or attach while others create and remove the name */

/* Results of this file's own steps, beside those of memo.h. */
enum { NAME_TAKEN = 100, NOT_NAMEABLE = 101 };

/* ---- small steps ----------------------------------------------------------------------------------------- */

static int check_kind(const char *kind)
{
    if (!kind || !*kind || strlen(kind) >= REGION_KIND_MAX)
        return memo_error(MEMO_EINVAL, "a region's kind has 1 to %d bytes", REGION_KIND_MAX - 1);
    return MEMO_OK;
}

static int check_name(const char *name, bool may_be_empty)
{
    if (!name)
        return memo_error(MEMO_EINVAL, "a space in shared memory needs a name");
    if (!*name && !may_be_empty)
        return memo_error(MEMO_EINVAL, "a space in shared memory needs a name of 1 to %d bytes", REGION_NAME_MAX);
    if (strlen(name) > REGION_NAME_MAX)
        return memo_error(MEMO_EINVAL, "the name has %zu bytes: at most %d are possible", strlen(name),
                          REGION_NAME_MAX);
    if (strchr(name, '/'))
        return memo_error(MEMO_EINVAL, "the name \"%s\" has a slash: names of shared memory have none", name);
    return MEMO_OK;
}

static int check_spec(const region_spec_t *spec)
{
    int rc = check_name(spec->name, spec->anonymous);

    if (rc == MEMO_OK)
        rc = check_kind(spec->kind);
    if (rc != MEMO_OK)
        return rc;
    if (spec->size < REGION_MIN_BYTES)
        return memo_error(MEMO_EINVAL, "a size of %llu bytes is too small: at least %u are needed",
                          (unsigned long long)spec->size, REGION_MIN_BYTES);
    if (spec->size > (uint64_t)INT64_MAX / 2)
        return memo_error(MEMO_EINVAL, "a size of %llu bytes is more than any system has",
                          (unsigned long long)spec->size);
    return MEMO_OK;
}

static void path_of(char path[PATH_BYTES], const char *name)
{
    snprintf(path, PATH_BYTES, FOLDER_OF_REGIONS "/memo.%s", name);
}

/* ---- named regions --------------------------------------------------------------------------------------- */

/* A file that becomes a region: without a name (private_name empty), or under one that no region can have. */
static int draft_open(region_t *r, char private_name[PATH_BYTES], bool nameless)
{
    static atomic_uint serial; /* relaxed: only has to differ between threads */

    private_name[0] = '\0';
    if (nameless) {
        r->fd = region_open_file(FOLDER_OF_REGIONS, O_TMPFILE | O_RDWR | O_CLOEXEC);
        if (r->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
            return NOT_NAMEABLE;
    } else {
        for (int i = 0; i < TRIES; i++) {
            snprintf(private_name, PATH_BYTES, FOLDER_OF_REGIONS "/.memo-%ld-%u", (long)getpid(),
                     atomic_fetch_add_explicit(&serial, 1, memory_order_relaxed));
            r->fd = region_open_file(private_name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC);
            if (r->fd >= 0 || errno != EEXIST)
                break;
        }
    }
    if (r->fd < 0) {
        private_name[0] = '\0';
        return region_refused("cannot create shared memory in", FOLDER_OF_REGIONS);
    }
    return MEMO_OK;
}

/* Gives the finished draft its name, if nobody has it. */
static int publish(const region_t *r, const char *private_name, const char *path)
{
    char by_descriptor[REGION_DESCRIPTOR_PATH];
    int rc;

    if (private_name[0]) {
        rc = linkat(AT_FDCWD, private_name, AT_FDCWD, path, 0);
    } else {
        /* By descriptor alone needs a privilege in most kernels; by its path in /proc needs /proc. */
        rc = linkat(r->fd, "", AT_FDCWD, path, AT_EMPTY_PATH);
        if (rc < 0 && errno != EEXIST && errno != ENOSPC) {
            region_descriptor_path(by_descriptor, r->fd);
            rc = linkat(AT_FDCWD, by_descriptor, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
        }
    }
    if (rc == 0)
        return MEMO_OK;
    if (errno == EEXIST)
        return NAME_TAKEN;
    if (!private_name[0] && errno != ENOSPC && errno != ENOMEM)
        return NOT_NAMEABLE;
    return region_refused("cannot name shared memory", path);
}

static int create_by(region_t *r, const region_spec_t *spec, const char *path, bool nameless)
{
    char private_name[PATH_BYTES];
    int rc = draft_open(r, private_name, nameless);

    if (rc == MEMO_OK)
        rc = region_view_build(r, spec, path);
    if (rc == MEMO_OK)
        rc = region_access_give(r->fd, spec, path);
    if (rc == MEMO_OK)
        rc = publish(r, private_name, path);
    if (private_name[0])
        (void)unlink(private_name);
    if (rc != MEMO_OK) {
        region_view_drop(r);
        r->created = false;
    }
    return rc;
}

static int create_named(region_t *r, const region_spec_t *spec, const char *path)
{
    int rc = create_by(r, spec, path, true);

    return rc == NOT_NAMEABLE ? create_by(r, spec, path, false) : rc;
}

/* MEMO_NONE without a sentence: there is no such name. */
static int open_named(const char *path, int access, int *fd)
{
    *fd = region_open_file(path, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (*fd >= 0)
        return MEMO_OK;
    if (errno == ENOENT)
        return MEMO_NONE;
    if (errno == ELOOP)
        return memo_error(MEMO_ECORRUPT, "%s is a symbolic link, so it is no space: remove it or use another name",
                          path);
    if (errno == EISDIR || errno == ENXIO || errno == ENODEV)
        return memo_error(MEMO_ECORRUPT, "%s is not a file, so it is no space: remove it or use another name",
                          path);
    return region_access_refused("cannot open", path);
}

static int attach_named(region_t *r, const region_spec_t *spec, const char *path)
{
    int rc = open_named(path, O_RDWR, &r->fd);

    if (rc == MEMO_OK)
        rc = region_view_attach(r, spec, path);
    if (rc == MEMO_OK)
        rc = region_access_check(r->fd, spec, path);
    if (rc != MEMO_OK)
        region_view_drop(r);
    return rc;
}

static int open_or_create_named(region_t *r, const region_spec_t *spec)
{
    char path[PATH_BYTES];

    path_of(path, spec->name);
    for (int i = 0; i < TRIES; i++) {
        int rc = attach_named(r, spec, path);
        if (rc == MEMO_NONE)
            rc = create_named(r, spec, path);
        if (rc == NOT_NAMEABLE)
            return memo_error(MEMO_EIO,
                              "cannot create %s: the system gives files in " FOLDER_OF_REGIONS " no names", path);
        if (rc != NAME_TAKEN)
            return rc;
    }
    return memo_error(MEMO_EBUSY, "%s was created and removed by others %d times while it was being opened", path,
                      TRIES);
}

int region_unlink(const char *name, const char *kind)
{
    char path[PATH_BYTES];
    struct region_header h;
    uint64_t file_size;
    int fd;
    int rc = check_name(name, false);

    if (rc == MEMO_OK)
        rc = check_kind(kind);
    if (rc != MEMO_OK)
        return rc;
    path_of(path, name);
    rc = open_named(path, O_RDONLY, &fd);
    if (rc != MEMO_OK)
        return rc;
    rc = region_header_read(fd, path, &h, &file_size);
    region_close_fd(fd);
    if (rc == MEMO_OK)
        rc = region_header_check_kind(&h, kind, path);
    if (rc != MEMO_OK && rc != MEMO_EVERSION)
        return rc;
    if (unlink(path) == 0)
        return MEMO_OK;
    return errno == ENOENT ? MEMO_NONE : region_access_refused("cannot remove", path);
}

/* ---- views ----------------------------------------------------------------------------------------------- */

int region_open(region_t *r, const region_spec_t *spec)
{
    int rc;

    memset(r, 0, sizeof *r);
    r->fd = -1;
    rc = check_spec(spec);
    if (rc != MEMO_OK)
        return rc;
    return spec->anonymous ? region_anonymous_open(r, spec) : open_or_create_named(r, spec);
}

int region_look(region_t *r, const region_spec_t *spec)
{
    char path[PATH_BYTES];
    struct region_header h;
    uint64_t file_size = 0;
    int rc = check_name(spec->name, false);

    memset(r, 0, sizeof *r);
    r->fd = -1;
    if (rc != MEMO_OK)
        return rc;
    path_of(path, spec->name);
    rc = open_named(path, O_RDONLY, &r->fd);
    if (rc == MEMO_OK)
        rc = region_header_read(r->fd, path, &h, &file_size);
    if (rc == MEMO_OK)
        rc = region_header_check(&h, file_size, spec, path);
    if (rc == MEMO_OK)
        rc = region_access_check(r->fd, spec, path);
    if (rc != MEMO_OK)
        region_view_drop(r);
    else
        r->size = h.size;
    return rc;
}

void region_close(region_t *r)
{
    struct region_anonymous *a = r->anonymous;

    region_view_drop(r);
    if (a)
        region_anonymous_leave(a);
}

void region_forget(region_t *r)
{
    /* The list has forgotten the parent's views already. */
    region_view_drop(r);
}
