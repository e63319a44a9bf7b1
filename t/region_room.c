/*
 * region_room.c - tests of a region's pages: made certain, given back, and what happens where there is no room.
 */
#include "t/region_common.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif
static void test_commit_and_release(void)
{
    region_t r;
    struct stat before, after;
    bool zero = true;

    make(&r);
    tap_is_int(region_commit(&r, 0, r.size), MEMO_OK, "all of a region can be committed");
    tap_is_int(region_commit(&r, 0, r.size), MEMO_OK, "twice");
    tap_is_int(region_commit(&r, 0, 0), MEMO_OK, "and nothing of it");
    tap_is_int(region_commit(&r, 0, r.size + 1), MEMO_EINVAL, "but not what lies behind it");
    tap_is_int(region_commit(&r, 8192, 4096), MEMO_EINVAL, "nor backwards");
    memset(r.base + USER, 0x5a, SIZE - USER);
    must(fstat(r.fd, &before) == 0, "fstat");
    region_release(&r, 100000, 900001);
    must(fstat(r.fd, &after) == 0, "fstat");
    for (size_t i = 102400; i < 897024; i++)
        zero = zero && r.base[i] == 0;
    tap_ok(zero, "released pages read zero");
    tap_ok(r.base[100000] == 0x5a && r.base[102399] == 0x5a && r.base[900000] == 0x5a && r.base[897024] == 0x5a,
           "parts of pages at the edges stay");
    tap_ok(after.st_blocks < before.st_blocks && after.st_size == before.st_size, "their memory goes back");
    r.base[500000] = 1;
    tap_is_int(r.base[500000], 1, "and is there again when touched");
    region_release(&r, 0, UINT64_MAX);
    region_spec_t spec = spec_of(false);
    region_t again;
    tap_is_int(region_open(&again, &spec), MEMO_OK, "releasing everything spares the header");
    region_close(&again);
    region_close(&r);
    remove_it();
}

static void test_more_than_there_is(void)
{
    region_t r;
    region_spec_t spec = spec_of(false);

    struct statvfs fs;

    must(statvfs("/dev/shm", &fs) == 0, "statvfs");
    if (fs.f_blocks == 0) {
        tap_skip("/dev/shm has no limit", "committing more than the file system has");
        return;
    }
    spec.size = 2 * (uint64_t)fs.f_blocks * fs.f_frsize;
    must(region_open(&r, &spec) == MEMO_OK, "a sparse region of twice the file system");
    tap_is_int(region_commit(&r, 0, r.size), MEMO_EFULL, "committing more than the file system has");
    tap_ok(strlen(memo_errmsg()) > 20, "  in a sentence: %s", memo_errmsg());
    tap_is_int(region_commit(&r, 0, SIZE), MEMO_OK, "leaves room for less");
    region_close(&r);
    remove_it();
}

static void on_signal(int signal_number)
{
    (void)signal_number;
}

static void test_signals_do_not_stop_a_commit(void)
{
    region_t r;
    region_spec_t spec = spec_of(false);
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_signal}, old;

    spec.size = 256u << 20;
    must(region_open(&r, &spec) == MEMO_OK, "open");
    must(sigaction(SIGPROF, &action, &old) == 0 && setitimer(ITIMER_PROF, &often, NULL) == 0, "setitimer");
    int rc = region_commit(&r, 0, r.size);
    must(setitimer(ITIMER_PROF, &never, NULL) == 0, "setitimer");
    tap_is_int(rc, MEMO_OK, "a commit longer than the time between two signals gets done");
    region_close(&r);
    remove_it();
}

/* With a /dev/shm of its own that holds 128 KiB, or 1 MiB. */
static int in_a_small_file_system(void *arg)
{
    region_t r;
    region_spec_t spec = spec_of(false);

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/dev/shm", "tmpfs", 0, arg) < 0)
        return 77;
    if (strcmp(arg, "size=128k") == 0)
        return !tap_is_int(region_open(&r, &spec), MEMO_EFULL, "no room to begin with") ||
               !tap_ok(access(path, F_OK) < 0, "no name");
    spec.size = 4 * SIZE;
    if (!tap_is_int(region_open(&r, &spec), MEMO_OK, "open"))
        return 1;
    if (!tap_is_int(region_commit(&r, 0, r.size), MEMO_EFULL, "more than there is") ||
        !tap_is_int(region_commit(&r, 0, SIZE / 2), MEMO_OK, "what there is"))
        return 2;
    memset(r.base + USER, 1, SIZE / 2 - USER);
    if (!tap_is_int(region_commit(&r, SIZE / 2, SIZE + SIZE / 2), MEMO_EFULL, "the rest"))
        return 3;
    region_release(&r, USER, SIZE / 2);
    return !tap_is_int(region_commit(&r, SIZE / 2, SIZE), MEMO_OK, "once room was released");
}

static void test_small_file_system(void)
{
    static char tiny[] = "size=128k", small[] = "size=1m";

    for (int i = 0; i < 2; i++) {
        int rc = in_child(in_a_small_file_system, i ? small : tiny);
        if (rc == 77)
            tap_skip("needs to mount a file system", "a full /dev/shm (%s) is an error, never a crash",
                     i ? small : tiny);
        else
            tap_is_int(rc, 0, "a full /dev/shm (%s) is an error, never a crash", i ? small : tiny);
    }
}

static int with_a_file_size_limit(void *arg)
{
    region_t r;
    region_spec_t spec = spec_of(false);
    struct rlimit limit = {SIZE / 2, SIZE / 2};

    (void)arg;
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return 1;
    return region_open(&r, &spec) != MEMO_EIO || !strstr(memo_errmsg(), "ulimit");
}

static int with_little_address_space(void *arg)
{
    region_t r;
    region_spec_t spec = spec_of(false);
    struct rlimit limit = {256u << 20, 256u << 20};

    (void)arg;
    spec.size = 1u << 30;
    if (setrlimit(RLIMIT_AS, &limit) < 0)
        return 1;
    return region_open(&r, &spec) != MEMO_ENOMEM || strlen(memo_errmsg()) < 20 || access(path, F_OK) == 0;
}

static int with_no_descriptors(void *arg)
{
    region_t r;
    region_spec_t spec = spec_of(arg != NULL);
    struct rlimit limit = {3, 3};

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    return region_open(&r, &spec) != MEMO_EIO || strlen(memo_errmsg()) < 20;
}

static void test_limits_of_the_process(void)
{
    static char anonymous[] = "anonymous";

    tap_is_int(in_child(with_a_file_size_limit, NULL), 0, "a limit on file sizes is an error, not a signal");
    if (SANITIZED)
        tap_skip("a sanitizer needs the address space", "too little address space is an error");
    else
        tap_is_int(in_child(with_little_address_space, NULL), 0, "too little address space is an error");
    tap_is_int(in_child(with_no_descriptors, NULL), 0, "no descriptors left is an error");
    tap_is_int(in_child(with_no_descriptors, anonymous), 0, "for an anonymous region too");
}

int main(void)
{
    begin();
    int before = count_descriptors();
    test_commit_and_release();
    test_more_than_there_is();
    test_signals_do_not_stop_a_commit();
    test_small_file_system();
    test_limits_of_the_process();
    tap_is_int(count_descriptors(), before, "nothing leaves a descriptor open");
    remove_it();
    return tap_done();
}
