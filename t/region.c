/*
 * region.c - tests of regions: who agrees on one, who is refused, what is left alone.
 *
 * Run as `attach NAME ADDRESS` it is an unrelated program, which maps the region elsewhere.
 */
#include "t/region_common.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int format_fails(region_t *r, void *arg)
{
    (void)r;
    *(int *)arg += 1;
    return MEMO_ENOTSUP;
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
    execl("/proc/self/exe", "region", "attach", name, address, (char *)NULL);
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

/* ---------------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "attach") == 0)
        return attach_elsewhere(argv[2], argv[3]);
    begin();
    int before = count_descriptors();
    test_created_whole_and_private();
    test_second_view_sees_the_first();
    test_unrelated_program_maps_it_elsewhere();
    test_simultaneous_creators_agree();
    test_opening_while_others_unlink();
    test_bad_specs();
    test_other_layouts_are_refused();
    test_what_is_no_region_is_left_alone();
    test_damaged_headers_are_refused();
    test_unlink();
    test_failing_format_leaves_nothing();
    tap_is_int(count_descriptors(), before, "nothing leaves a descriptor open");
    remove_it();
    return tap_done();
}
