/*
 * region.c - memory that processes of one machine share; see region.h.
 *
 * Creating. A region is built in a file without a name (O_TMPFILE) and given its name by one linkat, so a name
 * never stands for a half-made one, and a creator that dies leaves nothing behind. Who finds the name taken drops
 * his own and attaches to the winner's. Where the system has no nameless files, or cannot name them, a private name
 * that no region can have (".memo-...") takes their place.
 *
 * Attaching. The header is read and checked (region_header.c) before anything is mapped.
 *
 * Anonymous regions are memfds, remembered in a list of this process. The rule of that list: an entry made by this
 * process goes with the last view of it that this process has open; an entry inherited by fork stays for as long as
 * the child lives, so that the child can open its parent's region whenever and as often as it likes. Each view
 * opens the memfd anew, for an open file description of its own. An exec closes them all.
 *
 * A mapping holds on to the open file description it was made from, and thus to the life locks: giving those up
 * means both unmapping and closing.
 */
#include "libmemo/node/region.h"
#include "libmemo/node/region_header.h"

#include "libmemo/api/error.h"
#include "libmemo/memo.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_OF_REGIONS "/dev/shm"
#define PATH_BYTES (sizeof(FOLDER_OF_REGIONS "/memo.") + REGION_NAME_MAX + 1)
#define TRIES 100                      /* to create or attach while others create and remove the name */
#define COMMIT_PIECE_MIN (64u * 1024u) /* of a commit that signals keep interrupting */

/* Results of this file's own steps, beside those of memo.h. */
enum { NAME_TAKEN = 100, NOT_NAMEABLE = 101 };

struct region_anonymous {
    struct region_anonymous *next;
    int fd;         /* the memfd; never carries a life lock, never mapped: every view opens it anew */
    unsigned views; /* open in this process */
    bool inherited; /* by fork: stays as long as this process */
    char kind[REGION_KIND_MAX];
    char name[REGION_NAME_MAX + 1];
};

static pthread_mutex_t anonymous_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the list and its entries */
static struct region_anonymous *anonymous_list;
static int anonymous_fork_refused; /* pthread_atfork's error, if any */

_Static_assert(REGION_COMMITTED_AT_START <= REGION_MIN_BYTES, "every region has what is committed at start");

/* ---- small steps ----------------------------------------------------------------------------------------- */

static void close_fd(int fd)
{
    int saved = errno;

    /* Never repeated: Linux has released the number even when it says EINTR. */
    if (fd >= 0)
        (void)close(fd);
    errno = saved;
}

static int open_retrying(const char *path, int flags)
{
    int fd;

    do {
        fd = open(path, flags, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* This process's descriptor as a path. Not /proc/self: that is empty once the first thread has ended. */
static void descriptor_path(char path[64], int fd)
{
    snprintf(path, 64, "/proc/thread-self/fd/%d", fd);
}

static uint64_t page_bytes(void)
{
    long bytes = sysconf(_SC_PAGESIZE);

    return bytes > 0 ? (uint64_t)bytes : 4096;
}

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

/* ---- mapping --------------------------------------------------------------------------------------------- */

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

static void unmap_and_close(region_t *r)
{
    int saved = errno;

    if (r->base)
        (void)munmap(r->base, (size_t)r->size);
    close_fd(r->fd);
    r->base = NULL;
    r->size = 0;
    r->fd = -1;
    r->anonymous = NULL;
    errno = saved;
}

/* Checks what r->fd has open and maps it. The descriptor stays the caller's when this fails. */
static int attach_fd(region_t *r, const region_spec_t *spec, const char *where)
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

/* Makes the empty file at r->fd a region, complete but for a name. */
static int build(region_t *r, const region_spec_t *spec, const char *where)
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

/* ---- named regions --------------------------------------------------------------------------------------- */

/* A file that becomes a region: without a name (private_name empty), or under one that no region can have. */
static int draft_open(region_t *r, char private_name[PATH_BYTES], bool nameless)
{
    static atomic_uint serial; /* relaxed: only has to differ between threads */

    private_name[0] = '\0';
    if (nameless) {
        r->fd = open_retrying(FOLDER_OF_REGIONS, O_TMPFILE | O_RDWR | O_CLOEXEC);
        if (r->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
            return NOT_NAMEABLE;
    } else {
        for (int i = 0; i < TRIES; i++) {
            snprintf(private_name, PATH_BYTES, FOLDER_OF_REGIONS "/.memo-%ld-%u", (long)getpid(),
                     atomic_fetch_add_explicit(&serial, 1, memory_order_relaxed));
            r->fd = open_retrying(private_name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC);
            if (r->fd >= 0 || errno != EEXIST)
                break;
        }
    }
    if (r->fd < 0) {
        private_name[0] = '\0';
        return region_refused("cannot create shared memory in", FOLDER_OF_REGIONS);
    }
    /* The umask may have taken even the owner's bits. */
    return fchmod(r->fd, 0600) < 0 ? region_refused("cannot create shared memory in", FOLDER_OF_REGIONS) : MEMO_OK;
}

/* Gives the finished draft its name, if nobody has it. */
static int publish(const region_t *r, const char *private_name, const char *path)
{
    char by_descriptor[64];
    int rc;

    if (private_name[0]) {
        rc = linkat(AT_FDCWD, private_name, AT_FDCWD, path, 0);
    } else {
        /* By descriptor alone needs a privilege in most kernels; by its path in /proc needs /proc. */
        rc = linkat(r->fd, "", AT_FDCWD, path, AT_EMPTY_PATH);
        if (rc < 0 && errno != EEXIST && errno != ENOSPC) {
            descriptor_path(by_descriptor, r->fd);
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
        rc = build(r, spec, path);
    if (rc == MEMO_OK)
        rc = publish(r, private_name, path);
    if (private_name[0])
        (void)unlink(private_name);
    if (rc != MEMO_OK) {
        unmap_and_close(r);
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
    *fd = open_retrying(path, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
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
    return region_refused("cannot open", path);
}

static int attach_named(region_t *r, const region_spec_t *spec, const char *path)
{
    int rc = open_named(path, O_RDWR, &r->fd);

    if (rc == MEMO_OK)
        rc = attach_fd(r, spec, path);
    if (rc != MEMO_OK)
        unmap_and_close(r);
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
    close_fd(fd);
    if (rc == MEMO_OK)
        rc = region_header_check_kind(&h, kind, path);
    if (rc != MEMO_OK && rc != MEMO_EVERSION)
        return rc;
    if (unlink(path) == 0)
        return MEMO_OK;
    return errno == ENOENT ? MEMO_NONE : region_refused("cannot remove", path);
}

/* ---- anonymous regions ----------------------------------------------------------------------------------- */

static void before_fork(void)
{
    (void)pthread_mutex_lock(&anonymous_mutex);
}

static void after_fork_in_parent(void)
{
    (void)pthread_mutex_unlock(&anonymous_mutex);
}

static void after_fork_in_child(void)
{
    for (struct region_anonymous *a = anonymous_list; a; a = a->next) {
        a->inherited = true;
        a->views = 0; /* the parent's views are given up by region_forget */
    }
    (void)pthread_mutex_unlock(&anonymous_mutex);
}

/* At loading, before any other handler of this library: prepare handlers run last registered first, and nobody
 * who holds the list's mutex takes another lock of the library, so this one has to be taken last. */
__attribute__((constructor(101))) static void watch_forks(void)
{
    anonymous_fork_refused = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static struct region_anonymous *anonymous_find(const region_spec_t *spec)
{
    struct region_anonymous *a = anonymous_list;

    while (a && (strcmp(a->kind, spec->kind) != 0 || strcmp(a->name, spec->name) != 0))
        a = a->next;
    return a;
}

static void anonymous_remove(struct region_anonymous *a)
{
    struct region_anonymous **at = &anonymous_list;

    while (*at && *at != a)
        at = &(*at)->next;
    if (*at)
        *at = a->next;
    close_fd(a->fd);
    free(a);
}

static int anonymous_new(struct region_anonymous **made, const region_spec_t *spec, const char *where)
{
    struct region_anonymous *a = calloc(1, sizeof *a);

    if (!a)
        return memo_error(MEMO_ENOMEM, "no memory for the list of anonymous spaces");
    memcpy(a->kind, spec->kind, strlen(spec->kind));
    memcpy(a->name, spec->name, strlen(spec->name));
    a->fd = memfd_create("memo", MFD_CLOEXEC);
    if (a->fd < 0) {
        int rc = region_refused("cannot create", where);
        free(a);
        return rc;
    }
    a->next = anonymous_list;
    anonymous_list = a;
    *made = a;
    return MEMO_OK;
}

/* A new view of a's memory, which is built first where `make` says so. */
static int anonymous_view(region_t *r, struct region_anonymous *a, const region_spec_t *spec, const char *where,
                          bool make)
{
    char path[64];
    int rc;

    descriptor_path(path, a->fd);
    r->fd = open_retrying(path, O_RDWR | O_CLOEXEC);
    if (r->fd < 0)
        rc = region_refused("cannot open by its path in /proc", where);
    else if (make)
        rc = build(r, spec, where);
    else
        rc = attach_fd(r, spec, where);
    if (rc != MEMO_OK) {
        unmap_and_close(r);
        return rc;
    }
    r->anonymous = a;
    a->views++;
    return MEMO_OK;
}

static int open_or_create_anonymous(region_t *r, const region_spec_t *spec)
{
    char where[REGION_NAME_MAX + 32];
    struct region_anonymous *a;
    int rc = MEMO_OK;

    snprintf(where, sizeof where, "anonymous space \"%s\"", spec->name);
    if (anonymous_fork_refused)
        return memo_error(MEMO_ENOMEM, "%s: forks cannot be watched: %s", where, strerror(anonymous_fork_refused));
    (void)pthread_mutex_lock(&anonymous_mutex);
    a = anonymous_find(spec);
    if (a) {
        rc = anonymous_view(r, a, spec, where, false);
    } else {
        rc = anonymous_new(&a, spec, where);
        if (rc == MEMO_OK) {
            rc = anonymous_view(r, a, spec, where, true);
            if (rc != MEMO_OK)
                anonymous_remove(a);
        }
    }
    (void)pthread_mutex_unlock(&anonymous_mutex);
    return rc;
}

static void anonymous_leave(struct region_anonymous *a)
{
    (void)pthread_mutex_lock(&anonymous_mutex);
    if (a->views > 0)
        a->views--;
    if (a->views == 0 && !a->inherited)
        anonymous_remove(a);
    (void)pthread_mutex_unlock(&anonymous_mutex);
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
    return spec->anonymous ? open_or_create_anonymous(r, spec) : open_or_create_named(r, spec);
}

void region_close(region_t *r)
{
    struct region_anonymous *a = r->anonymous;

    unmap_and_close(r);
    if (a)
        anonymous_leave(a);
}

void region_forget(region_t *r)
{
    /* The list has forgotten the parent's views already. */
    unmap_and_close(r);
}

/* ---- pages ----------------------------------------------------------------------------------------------- */

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
