/*
 * region_faults.c - tests of regions where the system refuses: each system call fails once, then for good from each
 * point on. The calls below stand in for the C library's.
 */
#include "t/region_common.h"

#include <dirent.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static bool armed;      /* else nothing fails, and nothing is counted */
static int calls;       /* since armed */
static int fail_at;     /* this call fails, from 1 on */
static bool for_good;   /* and all after it */
static int fail_with;   /* errno */
static bool failed_any; /* a call was made to fail */
static bool no_nameless, no_link_by_descriptor, no_link_by_proc;

static bool fails(bool interruptible)
{
    if (!armed || (fail_with == EINTR && !interruptible))
        return false;
    calls++;
    if (calls != fail_at && !(for_good && calls > fail_at))
        return false;
    failed_any = true;
    errno = fail_with;
    return true;
}

int open(const char *file, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    int mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, int) : 0;
    va_end(args);
    if (fails(true))
        return -1;
    if (no_nameless && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, file, flags, mode);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    if (fails(false))
        return -1;
    if ((no_link_by_descriptor && (flags & AT_EMPTY_PATH)) || (no_link_by_proc && (flags & AT_SYMLINK_FOLLOW))) {
        errno = ENOENT;
        return -1;
    }
    return (int)syscall(SYS_linkat, from, old, to, new, flags);
}

int fallocate(int fd, int mode, off_t from, off_t count)
{
    return fails(true) ? -1 : (int)syscall(SYS_fallocate, fd, mode, from, count);
}

int ftruncate(int fd, off_t size)
{
    return fails(true) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

ssize_t pread(int fd, void *to, size_t count, off_t at)
{
    return fails(true) ? -1 : (ssize_t)syscall(SYS_pread64, fd, to, count, at);
}

int fchmod(int fd, mode_t mode)
{
    return fails(false) ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int memfd_create(const char *of, unsigned flags)
{
    return fails(false) ? -1 : (int)syscall(SYS_memfd_create, of, flags);
}

#ifndef __SANITIZE_THREAD__ /* whose own memory comes from there, before anything is ready */
void *mmap(void *at, size_t count, int protection, int flags, int fd, off_t from)
{
    return fails(false) ? MAP_FAILED : (void *)syscall(SYS_mmap, at, count, protection, flags, fd, from);
}
#endif

int fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    void *arg = va_arg(args, void *);
    va_end(args);
    return fails(true) ? -1 : (int)syscall(SYS_fcntl, fd, command, arg);
}

static void arm(int at, bool good, int with)
{
    calls = 0;
    failed_any = false;
    fail_at = at;
    for_good = good;
    fail_with = with;
    armed = true;
}

static bool leftovers(void)
{
    char mine[64];
    bool any = false;
    DIR *d = opendir("/dev/shm");

    snprintf(mine, sizeof mine, ".memo-%d-", (int)getpid());
    for (struct dirent *e; d && (e = readdir(d));)
        any = any || strncmp(e->d_name, mine, strlen(mine)) == 0;
    if (d)
        closedir(d);
    return any;
}

/* Opens with the armed fault; whether all is as it must be after. */
static bool open_is_right(const region_spec_t *spec, bool must_succeed)
{
    region_t r;
    armed = false;
    int before = count_descriptors();
    bool there = access(path, F_OK) == 0, right = true;

    armed = true;
    int rc = region_open(&r, spec);
    armed = false;
    if (rc == MEMO_OK)
        region_close(&r);
    else
        right = strlen(memo_errmsg()) > 20 && (access(path, F_OK) == 0) == there && r.fd == -1 && !r.base;
    return right && !(must_succeed && rc != MEMO_OK) && count_descriptors() == before && !leftovers();
}

static void test_each_call_fails(bool anonymous, bool exists, int with, bool good)
{
    region_spec_t spec = spec_of(anonymous);
    int wrong = 0, points = 0;
    region_t keep;

    for (int at = 1;; at++) {
        if (exists)
            must(region_open(&keep, &spec) == MEMO_OK, "open");
        arm(at, good, with);
        wrong += !open_is_right(&spec, with == EINTR);
        bool more = failed_any;
        if (exists)
            region_close(&keep);
        must(region_open(&keep, &spec) == MEMO_OK, "opening after a fault");
        region_close(&keep);
        remove_it();
        if (!more)
            break;
        points++;
    }
    tap_ok(wrong == 0 && points > 1, "%s %s region, %s %s at each of %d calls",
           exists ? "attaching to" : "creating", anonymous ? "an anonymous" : "a named", strerror(with),
           good ? "from then on" : "once", points);
}

static void test_without_nameless_files(void)
{
    region_spec_t spec = spec_of(false);
    region_t r, second;

    no_link_by_descriptor = true;
    must(region_open(&r, &spec) == MEMO_OK, "open");
    tap_ok(r.created && access(path, F_OK) == 0, "where a descriptor cannot be linked, its path in /proc is");
    region_close(&r);
    remove_it();
    for (int i = 0; i < 2; i++) {
        no_nameless = i == 0;
        no_link_by_proc = i == 1;
        must(region_open(&r, &spec) == MEMO_OK, "open");
        tap_ok(r.created && access(path, F_OK) == 0 && !leftovers(), "%s, a private name takes its place",
               i == 0 ? "without nameless files" : "where they cannot be named");
        tap_is_int(region_open(&second, &spec), MEMO_OK, "  and others attach");
        region_close(&second);
        region_close(&r);
        remove_it();
        test_each_call_fails(false, false, EIO, false);
        test_each_call_fails(false, false, ENOSPC, true);
    }
    no_nameless = no_link_by_descriptor = no_link_by_proc = false;
}

static void test_life_look_up_fails(void)
{
    region_spec_t spec = spec_of(false);
    region_t r;

    must(region_open(&r, &spec) == MEMO_OK, "open");
    arm(1, true, EIO);
    bool held = region_life_held(&r, 1);
    int rc = region_life_take(&r, 1);
    armed = false;
    tap_ok(held, "a look-up that fails counts as alive");
    tap_is_int(rc, MEMO_EIO, "a life lock that cannot be had for another reason is no one's");
    arm(1, true, ENOLCK);
    rc = region_life_take(&r, 1);
    armed = false;
    tap_is_int(rc, MEMO_EIO, "nor is one that the system has no room for");
    arm(1, false, EINTR);
    rc = region_life_take(&r, 1);
    armed = false;
    tap_is_int(rc, MEMO_OK, "an interrupted one is had all the same");
    region_close(&r);
    remove_it();
}

static void test_commit_fails(void)
{
    region_spec_t spec = spec_of(false);
    region_t r;

    must(region_open(&r, &spec) == MEMO_OK, "open");
    arm(1, true, ENOSPC);
    int rc = region_commit(&r, 0, r.size);
    armed = false;
    tap_is_int(rc, MEMO_EFULL, "a commit without room");
    arm(1, true, EIO);
    rc = region_commit(&r, 0, r.size);
    armed = false;
    tap_is_int(rc, MEMO_EIO, "a commit that fails otherwise");
    region_close(&r);
    remove_it();
}

int main(void)
{
    static const int errors[] = {EINTR, ENOSPC, ENOMEM, EIO, EMFILE, EACCES};

    begin();
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        for (int kind = 0; kind < 4; kind++) {
            test_each_call_fails(kind & 1, kind & 2, errors[i], false);
            if (errors[i] != EINTR)
                test_each_call_fails(kind & 1, kind & 2, errors[i], true);
        }
    test_without_nameless_files();
    test_life_look_up_fails();
    test_commit_fails();
    remove_it();
    return tap_done();
}
