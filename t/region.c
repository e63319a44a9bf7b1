/*
 * region.c - tests of libmemo/node/region.c: who agrees on a region, who is refused, who lives.
 *
 * Run with arguments it is one of its own other processes: `attach NAME ADDRESS` (an unrelated program that maps
 * the region elsewhere) and `sleep` (what a holder of a life lock becomes by exec).
 */
#include "libmemo/memo.h"
#include "libmemo/node/region.h"
#include "t/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#define SIZE (1024u * 1024u)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif
#define USER REGION_HEADER_BYTES /* where the user's part begins */

/* What the tests keep in a region's user part. */
struct content {
    _Atomic uint64_t creator; /* written by format */
    _Atomic uint64_t visits;
};

static char name[64];       /* of this run's region */
static char path[128];      /* where it is */
static const char *program; /* this file's own */

static struct content *content_of(const region_t *r)
{
    return (struct content *)(void *)(r->base + USER);
}

static int format_ok(region_t *r, void *arg)
{
    (void)arg;
    atomic_store(&content_of(r)->creator, (uint64_t)getpid());
    return MEMO_OK;
}

static int format_fails(region_t *r, void *arg)
{
    (void)r;
    *(int *)arg += 1;
    return MEMO_ENOTSUP;
}

static region_spec_t spec_of(bool anonymous)
{
    return (region_spec_t){.name = name,
                           .anonymous = anonymous,
                           .size = SIZE,
                           .kind = "t-region",
                           .version = 7,
                           .fingerprint = 0x1234,
                           .format = format_ok};
}

static bool must(bool condition, const char *what)
{
    if (!condition) {
        int why = errno;
        (void)unlink(path);
        tap_bail("%s: %s; %s", what, strerror(why), memo_errmsg());
    }
    return condition;
}

/* Runs step in a forked child, which answers by its exit status: 0 for right. */
static pid_t child_begin(int (*step)(void *arg), void *arg)
{
    pid_t child = tap_fork();

    must(child >= 0, "fork");
    if (child == 0)
        _exit(step(arg));
    return child;
}

static int child_end(pid_t child)
{
    int status;

    must(waitpid(child, &status, 0) == child, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int in_child(int (*step)(void *arg), void *arg)
{
    return child_end(child_begin(step, arg));
}

static void make(region_t *r)
{
    region_spec_t spec = spec_of(false);

    must(region_open(r, &spec) == MEMO_OK && r->created, "making a region");
}

static void remove_it(void)
{
    (void)unlink(path);
}

/* ---- creating and attaching ------------------------------------------------------------------------------ */

static void test_created_whole_and_private(void)
{
    region_t r;
    struct stat st;
    bool zero = true;
    mode_t old = umask(0777);

    make(&r);
    umask(old);
    must(stat(path, &st) == 0, "stat");
    tap_is_int(st.st_mode & 07777, 0600, "a region is its owner's alone, whatever the umask");
    tap_is_int(st.st_size, SIZE, "the file has the size asked for");
    tap_ok(st.st_blocks * 512 >= REGION_COMMITTED_AT_START, "the first pages are there from the start");
    for (size_t i = USER + sizeof(struct content); i < SIZE; i++)
        zero = zero && r.base[i] == 0;
    tap_ok(zero, "a new region is zero behind what format wrote");
    tap_is_int((long long)r.size, SIZE, "all of it is mapped");
    tap_ok((fcntl(r.fd, F_GETFD) & FD_CLOEXEC) != 0, "its descriptor is closed on exec");
    region_close(&r);
    tap_is_int(r.fd, -1, "a closed view has no descriptor");
    remove_it();
}

static void test_second_view_sees_the_first(void)
{
    region_t a, b;
    region_spec_t spec = spec_of(false);
    int unused = 0;

    make(&a);
    spec.format = format_fails;
    spec.arg = &unused;
    spec.size = 16 * SIZE;
    tap_is_int(region_open(&b, &spec), MEMO_OK, "a second view attaches");
    tap_ok(!b.created && unused == 0, "and formats nothing");
    tap_is_int((long long)b.size, SIZE, "the size is the creator's");
    atomic_store(&content_of(&a)->visits, 42);
    tap_is_int((long long)atomic_load(&content_of(&b)->visits), 42, "both see the same bytes");
    tap_ok(a.fd != b.fd && a.base != b.base, "each view has its own mapping and descriptor");
    region_close(&a);
    atomic_store(&content_of(&b)->visits, 43);
    tap_ok(true, "one view outlives the other");
    region_close(&b);
    remove_it();
}

/* In the unrelated program: attach at another address than the creator's. */
static int attach_elsewhere(const char *of, const char *address)
{
    region_t r;
    region_spec_t spec = spec_of(false);
    void *taken = (void *)(uintptr_t)strtoull(address, NULL, 16);
    void *decoy = mmap(taken, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    spec.name = of;
    if (decoy == MAP_FAILED && errno != EEXIST)
        return 2;
    if (region_open(&r, &spec) != MEMO_OK || r.created)
        return 3;
    if ((void *)r.base == taken)
        return 4;
    atomic_fetch_add(&content_of(&r)->visits, 1);
    region_close(&r);
    return 0;
}

static int exec_attach(void *arg)
{
    char address[32];

    snprintf(address, sizeof address, "%" PRIxPTR, (uintptr_t)((region_t *)arg)->base);
    execl(program, program, "attach", name, address, (char *)NULL);
    return 9;
}

static void test_unrelated_program_maps_it_elsewhere(void)
{
    region_t r;

    make(&r);
    tap_is_int(in_child(exec_attach, &r), 0, "an unrelated program attaches at another address");
    tap_is_int((long long)atomic_load(&content_of(&r)->visits), 1, "and what it writes is seen here");
    region_close(&r);
    remove_it();
}

/* ---- many at once ---------------------------------------------------------------------------------------- */

#define CREATORS 8
#define ROUNDS 60

struct meeting {
    _Atomic int there;
    _Atomic int created;
    _Atomic int done;
    _Atomic uint64_t creator[CREATORS];
    _Atomic int next; /* who takes which place */
};

static int open_together(void *arg)
{
    struct meeting *m = arg;
    region_t r;
    region_spec_t spec = spec_of(false);
    int me = atomic_fetch_add(&m->next, 1);

    atomic_fetch_add(&m->there, 1);
    while (atomic_load(&m->there) < CREATORS)
        sched_yield();
    if (region_open(&r, &spec) != MEMO_OK) {
        tap_diag("open: %s", memo_errmsg());
        return 1;
    }
    atomic_fetch_add(&m->created, r.created);
    atomic_fetch_add(&content_of(&r)->visits, 1);
    atomic_store(&m->creator[me], atomic_load(&content_of(&r)->creator));
    atomic_fetch_add(&m->done, 1);
    while (atomic_load(&m->done) < CREATORS)
        sched_yield();
    int rc = atomic_load(&content_of(&r)->visits) == CREATORS ? 0 : 2;
    region_close(&r);
    return rc;
}

static bool one_meeting(struct meeting *m)
{
    pid_t child[CREATORS];
    bool right = true;

    memset((void *)m, 0, sizeof *m);
    for (int i = 0; i < CREATORS; i++)
        child[i] = child_begin(open_together, m);
    for (int i = 0; i < CREATORS; i++)
        right = child_end(child[i]) == 0 && right;
    for (int i = 1; i < CREATORS; i++)
        right = right && m->creator[i] == m->creator[0];
    remove_it();
    return right && m->created == 1;
}

static void test_simultaneous_creators_agree(void)
{
    struct meeting *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int right = 0;

    must(m != MAP_FAILED, "mmap");
    for (int i = 0; i < ROUNDS; i++)
        right += one_meeting(m);
    tap_is_int(right, ROUNDS, "%d processes that create at once agree on one region, in every round", CREATORS);
    munmap(m, sizeof *m);
}

/* Opens and closes while the other child removes the name again and again. */
static int open_often(void *arg)
{
    region_spec_t spec = spec_of(false);

    for (int i = 0; i < 300; i++) {
        region_t r;
        if (region_open(&r, &spec) != MEMO_OK || atomic_load(&content_of(&r)->creator) == 0) {
            tap_diag("open: %s", memo_errmsg());
            return 1;
        }
        region_close(&r);
    }
    (void)arg;
    return 0;
}

static int unlink_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 600; i++) {
        int rc = region_unlink(name, "t-region");
        if (rc != MEMO_OK && rc != MEMO_NONE)
            return 1;
    }
    return 0;
}

static void test_opening_while_others_unlink(void)
{
    pid_t a = child_begin(open_often, NULL), b = child_begin(open_often, NULL), c = child_begin(unlink_often, NULL);
    int wrong = child_end(a) + child_end(b) + child_end(c);

    tap_is_int(wrong, 0, "a region is never seen half-made while names come and go");
    remove_it();
}

/* ---- refusals -------------------------------------------------------------------------------------------- */

static void expect(int want, const region_spec_t *spec, const char *what)
{
    region_t r;
    int rc = region_open(&r, spec);

    tap_is_int(rc, want, "%s", what);
    tap_ok(strlen(memo_errmsg()) > 20, "  in a sentence: %s", memo_errmsg());
    if (rc == MEMO_OK)
        region_close(&r);
    else if (r.fd != -1 || r.base)
        tap_ok(false, "a failed open leaves nothing open");
}

static void test_bad_specs(void)
{
    region_spec_t spec = spec_of(false);
    char long_name[REGION_NAME_MAX + 2];

    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    spec.name = "a/b";
    expect(MEMO_EINVAL, &spec, "a name with a slash");
    spec.name = "";
    expect(MEMO_EINVAL, &spec, "no name");
    spec.name = NULL;
    expect(MEMO_EINVAL, &spec, "a null name");
    spec.name = long_name;
    expect(MEMO_EINVAL, &spec, "a name that is too long");
    spec = spec_of(false);
    spec.size = REGION_MIN_BYTES - 1;
    expect(MEMO_EINVAL, &spec, "a size that is too small");
    spec.size = UINT64_MAX;
    expect(MEMO_EINVAL, &spec, "a size beyond reason");
    spec = spec_of(false);
    spec.kind = "sixteen-bytes-it";
    expect(MEMO_EINVAL, &spec, "a kind that is too long");
    long_name[REGION_NAME_MAX] = '\0';
    spec = spec_of(false);
    spec.name = long_name;
    region_t r;
    tap_is_int(region_open(&r, &spec), MEMO_OK, "a name of %d bytes is fine", REGION_NAME_MAX);
    region_close(&r);
    tap_is_int(region_unlink(long_name, "t-region"), MEMO_OK, "and is removed again");
}

static void test_other_layouts_are_refused(void)
{
    region_t r;
    region_spec_t spec = spec_of(false);

    make(&r);
    spec.version = 8;
    expect(MEMO_EVERSION, &spec, "another version");
    spec = spec_of(false);
    spec.fingerprint++;
    expect(MEMO_EVERSION, &spec, "another fingerprint");
    spec = spec_of(false);
    spec.kind = "t-other";
    expect(MEMO_EBUSY, &spec, "another kind");
    spec.version = 8;
    spec.fingerprint++;
    expect(MEMO_EBUSY, &spec, "another kind with a version of its own");
    must(truncate(path, SIZE - 4096) == 0, "truncate");
    spec = spec_of(false);
    expect(MEMO_ECORRUPT, &spec, "a region that was cut");
    must(truncate(path, SIZE + 4096) == 0, "truncate");
    expect(MEMO_ECORRUPT, &spec, "a region that was lengthened");
    region_close(&r);
    tap_is_int(region_unlink(name, "t-region"), MEMO_OK, "which can be unlinked all the same");
}

static void put_file(const void *bytes, size_t count)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

    must(fd >= 0 && write(fd, bytes, count) == (ssize_t)count, "writing a file");
    close(fd);
}

static void expect_left_alone(const char *what)
{
    region_spec_t spec = spec_of(false);
    struct stat before, after;

    must(lstat(path, &before) == 0, "lstat");
    expect(MEMO_ECORRUPT, &spec, what);
    tap_is_int(region_unlink(name, "t-region"), MEMO_ECORRUPT, "  and unlink refuses it");
    tap_ok(lstat(path, &after) == 0 && after.st_ino == before.st_ino && after.st_size == before.st_size &&
               after.st_mtim.tv_nsec == before.st_mtim.tv_nsec,
           "  and it is left alone");
}

static void test_what_is_no_region_is_left_alone(void)
{
    static char garbage[SIZE];

    put_file("", 0);
    expect_left_alone("an empty file");
    put_file("memorgn\n", 8);
    expect_left_alone("a file that is too short");
    uint64_t seed = tap_seed();
    for (size_t i = 0; i < sizeof garbage; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        garbage[i] = (char)(seed >> 56);
    }
    put_file(garbage, sizeof garbage);
    expect_left_alone("garbage");
    remove_it();
    must(symlink("/dev/shm/memo.nowhere", path) == 0, "symlink");
    expect_left_alone("a symbolic link that leads nowhere");
    remove_it();
    must(symlink("/dev/zero", path) == 0, "symlink");
    expect_left_alone("a symbolic link to something");
    remove_it();
    must(mkdir(path, 0700) == 0, "mkdir");
    expect_left_alone("a directory");
    must(rmdir(path) == 0, "rmdir");
    must(mkfifo(path, 0600) == 0, "mkfifo");
    expect_left_alone("a pipe");
    remove_it();
}

static void test_damaged_headers_are_refused(void)
{
    region_t r;
    region_spec_t spec = spec_of(false);
    int wrong = 0;

    make(&r);
    for (int bit = 0; bit < 56 * 8; bit++) {
        region_t other;
        char *byte = r.base + bit / 8;
        *byte = (char)(*byte ^ (1 << bit % 8));
        int rc = region_open(&other, &spec);
        wrong += rc != MEMO_ECORRUPT && rc != MEMO_EVERSION;
        if (rc == MEMO_OK)
            region_close(&other);
        *byte = (char)(*byte ^ (1 << bit % 8));
    }
    tap_is_int(wrong, 0, "a header with any one bit changed is refused");
    region_t whole;
    tap_is_int(region_open(&whole, &spec), MEMO_OK, "and the whole one is not");
    region_close(&whole);
    region_close(&r);
    remove_it();
}

static void test_unlink(void)
{
    region_t r;
    region_spec_t spec = spec_of(false);

    tap_is_int(region_unlink(name, "t-region"), MEMO_NONE, "unlinking what is not there");
    tap_is_int(region_unlink("a/b", "t-region"), MEMO_EINVAL, "unlinking a name with a slash");
    tap_is_int(region_unlink(name, ""), MEMO_EINVAL, "unlinking no kind");
    make(&r);
    tap_is_int(region_unlink(name, "t-other"), MEMO_EBUSY, "unlinking another kind");
    tap_is_int(region_unlink(name, "t-region"), MEMO_OK, "unlinking");
    atomic_store(&content_of(&r)->visits, 5);
    region_t fresh;
    tap_ok(region_open(&fresh, &spec) == MEMO_OK && fresh.created && atomic_load(&content_of(&fresh)->visits) == 0,
           "makes the next open a new region");
    tap_is_int((long long)atomic_load(&content_of(&r)->visits), 5, "while who has the old one goes on");
    region_close(&r);
    region_close(&fresh);
    remove_it();
    spec.version = 99;
    must(region_open(&r, &spec) == MEMO_OK, "open");
    region_close(&r);
    tap_is_int(region_unlink(name, "t-region"), MEMO_OK, "a region of another version is removed");
}

static void test_failing_format_leaves_nothing(void)
{
    for (int anonymous = 0; anonymous < 2; anonymous++) {
        region_t r;
        region_spec_t spec = spec_of(anonymous);
        int calls = 0;

        spec.format = format_fails;
        spec.arg = &calls;
        tap_is_int(region_open(&r, &spec), MEMO_ENOTSUP, "a failing format's result is the open's");
        tap_is_int(calls, 1, "it was called once");
        tap_ok(access(path, F_OK) < 0 && errno == ENOENT, "and there is no such region");
        spec = spec_of(anonymous);
        tap_ok(region_open(&r, &spec) == MEMO_OK && r.created, "the next open makes one");
        region_close(&r);
        remove_it();
    }
}

/* ---- room ------------------------------------------------------------------------------------------------ */

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

/* ---- life locks ------------------------------------------------------------------------------------------ */

struct holder {
    region_t inherited;  /* the parent's view, as the child has it */
    bool anonymous;      /* whose region is it */
    int (*then)(void *); /* what the holder does, holding the lock */
    _Atomic int *ready;
};

static void *wait_forever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static int hold(void *arg)
{
    struct holder *h = arg;
    region_t r;
    region_spec_t spec = spec_of(h->anonymous);

    region_forget(&h->inherited);
    if (region_open(&r, &spec) != MEMO_OK || region_life_take(&r, 3) != MEMO_OK)
        return 1;
    atomic_store(h->ready, 1);
    return h->then(arg);
}

static int with_threads(void *arg)
{
    pthread_t thread;

    for (int i = 0; i < 4; i++)
        pthread_create(&thread, NULL, wait_forever, NULL);
    wait_forever(arg);
    return 0;
}

static int main_thread_ends(void *arg)
{
    pthread_t thread;

    (void)arg;
    pthread_create(&thread, NULL, wait_forever, NULL);
    pthread_exit(NULL);
}

static int then_exec(void *arg)
{
    (void)arg;
    execl(program, program, "sleep", (char *)NULL);
    return 9;
}

static pid_t start_holder(const region_t *r, bool anonymous, int (*then)(void *))
{
    static _Atomic int *ready;
    struct holder h = {.inherited = *r, .anonymous = anonymous, .then = then};

    if (!ready)
        ready = mmap(NULL, sizeof *ready, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(ready != MAP_FAILED, "mmap");
    atomic_store(ready, 0);
    h.ready = ready;
    pid_t child = child_begin(hold, &h);
    while (!atomic_load(ready) && waitpid(child, NULL, WNOHANG) == 0)
        sched_yield();
    return child;
}

static bool becomes_free(region_t *r, unsigned index)
{
    for (int i = 0; i < 5000 && region_life_held(r, index); i++)
        usleep(1000);
    return !region_life_held(r, index);
}

static void end_holder(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void test_life_locks(bool anonymous)
{
    const char *what = anonymous ? "anonymous" : "named";
    region_t r, second;
    region_spec_t spec = spec_of(anonymous);

    must(region_open(&r, &spec) == MEMO_OK, "open");
    tap_ok(!region_life_held(&r, 3), "%s: nobody holds a life lock at first", what);
    pid_t child = start_holder(&r, anonymous, with_threads);
    tap_ok(region_life_held(&r, 3), "%s: who lives holds his life lock", what);
    tap_ok(!region_life_held(&r, 2) && !region_life_held(&r, 4), "%s: and no other", what);
    tap_is_int(region_life_take(&r, 3), MEMO_EBUSY, "%s: nobody else can have it", what);
    tap_is_int(region_life_take(&r, 4), MEMO_OK, "%s: others are free", what);
    kill(child, SIGSTOP);
    usleep(20000);
    tap_ok(region_life_held(&r, 3), "%s: who is stopped lives", what);
    kill(child, SIGKILL);
    tap_ok(becomes_free(&r, 3), "%s: the life lock of a killed process with five threads is free", what);
    end_holder(child);
    child = start_holder(&r, anonymous, main_thread_ends);
    usleep(20000);
    tap_ok(region_life_held(&r, 3), "%s: who lost his first thread lives", what);
    end_holder(child);
    tap_ok(!region_life_held(&r, 3), "%s: until killed", what);
    child = start_holder(&r, anonymous, then_exec);
    tap_ok(becomes_free(&r, 3) && waitpid(child, NULL, WNOHANG) == 0, "%s: an exec gives the life lock up", what);
    end_holder(child);

    tap_ok(!region_life_held(&r, 4), "%s: one's own life lock is not another's", what);
    must(region_open(&second, &spec) == MEMO_OK, "second view");
    tap_ok(region_life_held(&second, 4), "%s: a second view of one process is another", what);
    tap_is_int(region_life_take(&second, 4), MEMO_EBUSY, "%s: and cannot have its lock", what);
    region_close(&second);
    must(region_open(&second, &spec) == MEMO_OK, "second view");
    tap_ok(region_life_held(&second, 4), "%s: closing it took nothing from the first", what);
    region_life_drop(&r, 4);
    tap_ok(!region_life_held(&second, 4), "%s: a lock can be dropped", what);
    must(region_life_take(&r, 4000000) == MEMO_OK, "a high index");
    region_close(&r);
    tap_ok(!region_life_held(&second, 4000000), "%s: closing gives all up", what);
    region_close(&second);
    remove_it();
}

static int forget_and_wait(void *arg)
{
    struct holder *h = arg;

    region_forget(&h->inherited);
    atomic_store(h->ready, 1);
    wait_forever(NULL);
    return 0;
}

static int hold_and_fork(void *arg)
{
    struct holder *h = arg;
    struct holder again = *h;
    region_spec_t spec = spec_of(h->anonymous);

    region_forget(&h->inherited);
    if (region_open(&again.inherited, &spec) != MEMO_OK || region_life_take(&again.inherited, 3) != MEMO_OK)
        return 1;
    pid_t child = fork(); /* lives on when this process is killed */
    if (child == 0)
        return forget_and_wait(&again);
    again.ready[1] = (int)child;
    atomic_store(&again.ready[2], 1);
    wait_forever(NULL);
    return 0;
}

static void test_life_ends_with_the_process_not_its_child(bool anonymous)
{
    const char *what = anonymous ? "anonymous" : "named";
    region_t r;
    region_spec_t spec = spec_of(anonymous);
    _Atomic int *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    must(region_open(&r, &spec) == MEMO_OK, "open");
    struct holder h = {.inherited = r, .anonymous = anonymous, .ready = ready};
    pid_t child = child_begin(hold_and_fork, &h);
    while (!atomic_load(&ready[0]) || !atomic_load(&ready[2]))
        sched_yield();
    tap_ok(region_life_held(&r, 3), "%s: a child that forgets takes nothing from its parent", what);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    tap_ok(!region_life_held(&r, 3), "%s: the parent's life ends while the child lives on", what);
    tap_is_int(kill(ready[1], 0), 0, "%s: which it does", what);
    kill(ready[1], SIGKILL);
    region_close(&r);
    munmap((void *)ready, 4096);
    remove_it();
}

/* ---- anonymous regions ----------------------------------------------------------------------------------- */

static int open_anonymous_often(void *arg)
{
    region_t *inherited = arg;
    region_spec_t spec = spec_of(true);

    region_forget(inherited);
    for (int i = 0; i < 3; i++) {
        region_t r, second;
        if (region_open(&r, &spec) != MEMO_OK || r.created || region_open(&second, &spec) != MEMO_OK)
            return 1;
        atomic_fetch_add(&content_of(&r)->visits, 1);
        region_close(&r);
        region_close(&second);
    }
    return 0;
}

static int grandchild_opens(void *arg)
{
    return in_child(open_anonymous_often, arg);
}

static int open_other_anonymous(void *arg)
{
    region_spec_t spec = spec_of(true);
    region_t r;

    region_forget(arg);
    spec.name = "of-the-child";
    return region_open(&r, &spec) != MEMO_OK || !r.created;
}

static void test_anonymous_regions_are_shared_with_children(void)
{
    region_t r, second;
    region_spec_t spec = spec_of(true);

    must(region_open(&r, &spec) == MEMO_OK, "open");
    tap_ok(r.created && r.anonymous && access(path, F_OK) < 0, "an anonymous region has no name");
    tap_ok(region_open(&second, &spec) == MEMO_OK && !second.created, "this process attaches by kind and name");
    region_close(&second);
    spec.kind = "t-other";
    tap_ok(region_open(&second, &spec) == MEMO_OK && second.created, "another kind is another region");
    region_close(&second);
    tap_is_int(in_child(open_anonymous_often, &r), 0, "a forked child opens it as often as it likes");
    tap_is_int((long long)atomic_load(&content_of(&r)->visits), 3, "and its writes are seen");
    tap_is_int(in_child(grandchild_opens, &r), 0, "so does a child's child");
    tap_is_int((long long)atomic_load(&content_of(&r)->visits), 6, "and those");
    spec.name = "of-the-child";
    spec.kind = "t-region";
    tap_is_int(in_child(open_other_anonymous, &r), 0, "a child makes one of its own");
    tap_ok(region_open(&second, &spec) == MEMO_OK && second.created, "which the parent does not see");
    region_close(&second);
    region_close(&r);
    spec = spec_of(true);
    tap_ok(region_open(&r, &spec) == MEMO_OK && r.created, "with its last view an anonymous region goes");
    tap_is_int((long long)atomic_load(&content_of(&r)->visits), 0, "and the next one is new");
    region_close(&r);
}

static int child_after_the_parent_closed(void *arg)
{
    int *fds = arg;
    region_spec_t spec = spec_of(true);
    region_t r;
    char go;

    if (read(fds[0], &go, 1) != 1)
        return 1;
    return region_open(&r, &spec) != MEMO_OK || r.created || atomic_load(&content_of(&r)->visits) != 77;
}

static void test_child_opens_after_its_parent_closed(void)
{
    region_t r;
    region_spec_t spec = spec_of(true);
    int fds[2];

    must(region_open(&r, &spec) == MEMO_OK && pipe(fds) == 0, "open");
    atomic_store(&content_of(&r)->visits, 77);
    pid_t child = child_begin(child_after_the_parent_closed, fds);
    region_close(&r);
    must(write(fds[1], "x", 1) == 1, "write");
    tap_is_int(child_end(child), 0, "a child opens what its parent had at the fork, though the parent closed it");
    close(fds[0]);
    close(fds[1]);
}

static void *open_in_last_thread(void *arg)
{
    region_spec_t spec = spec_of(arg != NULL);
    region_t r;

    usleep(20000); /* let the first thread end */
    int rc = region_open(&r, &spec);
    if (rc != MEMO_OK)
        tap_diag("open: %s", memo_errmsg());
    _exit(rc != MEMO_OK);
}

static int first_thread_ends(void *arg)
{
    pthread_t thread;

    pthread_create(&thread, NULL, open_in_last_thread, arg);
    pthread_exit(NULL);
}

static void test_a_process_without_its_first_thread(void)
{
    static char anonymous[] = "anonymous";

    tap_is_int(in_child(first_thread_ends, NULL), 0, "a process without its first thread creates a region");
    tap_is_int(in_child(first_thread_ends, anonymous), 0, "and an anonymous one");
    remove_it();
}

struct opening {
    pthread_t thread;
    region_t r;
    int rc;
};

static void *open_anonymous(void *arg)
{
    struct opening *o = arg;
    region_spec_t spec = spec_of(true);

    o->rc = region_open(&o->r, &spec);
    return NULL;
}

static int child_opens_once(void *arg)
{
    region_spec_t spec = spec_of(true);
    region_t r;
    int rc = region_open(&r, &spec);

    /* Not by _exit, where a sanitizer takes the parent's threads for leaks of this child. */
    syscall(SYS_exit_group, rc != MEMO_OK);
    return arg != NULL;
}

static void test_threads_open_at_once_while_others_fork(void)
{
    struct opening o[8];
    int created = 0, wrong = 0, children = 0;

    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 8; i++)
            must(pthread_create(&o[i].thread, NULL, open_anonymous, &o[i]) == 0, "pthread_create");
        children += in_child(child_opens_once, NULL);
        for (int i = 0; i < 8; i++) {
            pthread_join(o[i].thread, NULL);
            wrong += o[i].rc != MEMO_OK;
            created += o[i].r.created;
        }
        for (int i = 0; i < 8; i++)
            region_close(&o[i].r);
    }
    tap_is_int(wrong, 0, "eight threads open an anonymous region at once");
    tap_is_int(created, 30, "one of them creates it");
    tap_is_int(children, 0, "and a child forked meanwhile is not stuck");
}

/* ---------------------------------------------------------------------------------------------------------- */

static int count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

int main(int argc, char **argv)
{
    program = "/proc/self/exe";
    if (argc > 3 && strcmp(argv[1], "attach") == 0)
        return attach_elsewhere(argv[2], argv[3]);
    if (argc > 1 && strcmp(argv[1], "sleep") == 0)
        wait_forever(NULL);
    tap_timeout(120);
    snprintf(name, sizeof name, "t-region-%d", (int)getpid());
    snprintf(path, sizeof path, "/dev/shm/memo.%s", name);

    test_created_whole_and_private();
    test_second_view_sees_the_first();
    test_unrelated_program_maps_it_elsewhere();
    test_simultaneous_creators_agree();
    test_opening_while_others_unlink();
    int before = count_descriptors();
    test_bad_specs();
    test_other_layouts_are_refused();
    test_what_is_no_region_is_left_alone();
    tap_is_int(count_descriptors(), before, "refusals leave no descriptor open");
    test_damaged_headers_are_refused();
    test_unlink();
    before = count_descriptors();
    test_failing_format_leaves_nothing();
    test_commit_and_release();
    test_more_than_there_is();
    test_signals_do_not_stop_a_commit();
    test_small_file_system();
    test_limits_of_the_process();
    test_life_locks(false);
    test_life_locks(true);
    test_life_ends_with_the_process_not_its_child(false);
    test_life_ends_with_the_process_not_its_child(true);
    test_anonymous_regions_are_shared_with_children();
    test_child_opens_after_its_parent_closed();
    test_a_process_without_its_first_thread();
    test_threads_open_at_once_while_others_fork();
    tap_is_int(count_descriptors(), before, "what was closed leaves no descriptor open");
    remove_it();
    return tap_done();
}
