/*
 * doctor.c - memo doctor: it tells a healthy space from a damaged one, repairs what the dead left, and never
 * crashes, whatever bytes a space is made of.
 *
 *   doctor.t [--flips N]
 *
 * A space is filled, and its file kept; then it is damaged again and again, at places that matter and by flips of
 * random bytes, N times on each backend (default 150), and the command examines it. BUILD says where that is.
 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libmemo/node/heap_page.h"
#include "libmemo/shm/shm.h"
#include "t/tap.h"

enum { HEALTHY = 0, REPAIRED = 1, DAMAGED = 2, MEMOS = 60, SAID = 32768 };

#define SIZE (UINT64_C(4) << 20)

static const char *scheme;
static char name[64], path[128], command[300];
static unsigned flips = 150;
static uint64_t seed;
static char said[SAID]; /* by the command */

static uint64_t random_below(uint64_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % n;
}

static const char *uri(void)
{
    static char text[128];

    snprintf(text, sizeof text, "%s:%s?size=4M", scheme, name);
    return text;
}

/* ---- the command ----------------------------------------------------------------------------------------- */

static _Noreturn void become_command(int out)
{
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execl(command, command, "doctor", uri(), (char *)NULL);
    _exit(98);
}

/* Its exit status, or minus the signal that ended it; what it said is in `said`. */
static int doctor(void)
{
    int to[2], status = -1;
    size_t n = 0;
    ssize_t got;
    pid_t child;

    if (pipe(to) != 0 || (child = tap_fork()) < 0)
        return -999;
    if (child == 0)
        become_command(to[1]);
    close(to[1]);
    while ((got = read(to[0], said + n, sizeof said - 1 - n)) > 0)
        n += (size_t)got;
    said[n] = '\0';
    close(to[0]);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool says(const char *text)
{
    return strstr(said, text) != NULL;
}

/* ---- a space --------------------------------------------------------------------------------------------- */

static memo_space_t *opened(void)
{
    memo_space_t *space = NULL;

    if (memo_open(&space, uri()) != MEMO_OK)
        tap_bail("cannot open %s: %s", uri(), memo_errmsg());
    return space;
}

static void put(memo_space_t *space, const char *folder, size_t size)
{
    memo_folder_t f = memo_folder(folder);
    memo_t *m;

    if (memo_alloc(space, size, &m) != MEMO_OK || memo_put(space, &f, m) != MEMO_OK)
        tap_bail("cannot put: %s", memo_errmsg());
}

static void fill(memo_space_t *space)
{
    memo_folder_t trigger = memo_folder("trigger"), target = memo_folder("f1");
    memo_t *m;
    char folder[16];

    for (int i = 0; i < MEMOS; i++) {
        snprintf(folder, sizeof folder, "f%d", i % 12);
        put(space, folder, (size_t)(i * i));
    }
    memo_limit(space, &target, 1000, 1 << 20);
    memo_alloc(space, 100, &m);
    memo_put_delayed(space, &trigger, &target, m);
}

/* Holds memos in its hand's places and list, waits for folders, and says so; then it is killed. */
static void hold(int say)
{
    memo_space_t *space = opened();
    memo_folder_t f = memo_folder("f0"), many[9];
    memo_select_t select = MEMO_SELECT_INIT;
    memo_request_t *r;
    memo_t *m;

    for (int i = 0; i < HAND_SLOTS + 5; i++) {
        put(space, "f0", 10);
        memo_get(space, &f, &m);
    }
    for (int64_t i = 0; i < 9; i++)
        many[i] = memo_folder_at(1, 1, &i);
    select.folders = many;
    select.count = 9;
    memo_start(space, &select, &r);
    (void)!write(say, "x", 1);
    for (;;)
        pause();
}

static void leave_dead(void)
{
    int ready[2];
    char byte;
    pid_t child;

    if (pipe(ready) != 0 || (child = tap_fork()) < 0)
        tap_bail("no child");
    if (child == 0)
        hold(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        tap_bail("the holder ended");
    close(ready[0]);
    close(ready[1]);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void make(void)
{
    memo_space_t *space;

    (void)unlink(path);
    space = opened();
    fill(space);
    memo_close(space);
}

/* ---- damage ---------------------------------------------------------------------------------------------- */

static char *image; /* the file as it was */

static void transfer(bool save)
{
    int fd = open(path, O_RDWR);
    uint64_t done = 0;

    while (fd >= 0 && done < SIZE) {
        ssize_t n = save ? pread(fd, image + done, SIZE - done, (off_t)done)
                         : pwrite(fd, image + done, SIZE - done, (off_t)done);
        if (n <= 0)
            tap_bail("the space's file cannot be %s", save ? "read" : "written");
        done += (uint64_t)n;
    }
    close(fd);
}

static void store(uint64_t at, const void *bytes, size_t n)
{
    int fd = open(path, O_RDWR);

    if (fd < 0 || pwrite(fd, bytes, n, (off_t)at) != (ssize_t)n)
        tap_bail("the space's file cannot be written");
    close(fd);
}

static const node_root_t *root(void)
{
    return (const node_root_t *)(const void *)(image + REGION_HEADER_BYTES);
}

#define ROOT_AT(field) (REGION_HEADER_BYTES + offsetof(node_root_t, field))
#define TABLE_AT(field) (ROOT_AT(user) + offsetof(shm_root_t, field))

/* A folder that holds memos. */
static offset_t some_record(void)
{
    const shm_root_t *table = (const shm_root_t *)(const void *)root()->user;

    for (unsigned i = 0; i < TABLE_FIRST_BUCKETS; i++)
        for (offset_t at = table->first[i].chain; at != 0;) {
            const record_t *r = (const record_t *)(const void *)(image + at);
            if (record_memos(r) > 1)
                return at;
            at = r->chain;
        }
    tap_bail("no folder holds memos");
}

static void damaged(const char *what, uint64_t at, uint64_t value, const char *finding)
{
    store(at, &value, sizeof value);
    tap_is_int(doctor(), DAMAGED, "%s: %s is seen", scheme, what);
    if (!tap_ok(says(finding) && says("memo rm"), "%s: ... and told, with what to do", scheme))
        tap_diag("%s", said);
    transfer(false);
}

static void test_damage_is_told(void)
{
    offset_t at = some_record();
    const record_t *r = (const record_t *)(const void *)(image + at);
    offset_t page = root()->heap.pages;

    damaged("another size", ROOT_AT(size), 12345, "the root");
    damaged("a heap that begins elsewhere", ROOT_AT(heap.base), 1, "the heap's root");
    damaged("a page of no kind", page, 77, "page 0");
    damaged("memory that is used and nobody has", ROOT_AT(heap.used), root()->heap.used + 64,
            "the heap's root counts");
    damaged("a list of free runs that ends nowhere", ROOT_AT(heap.bins[0]), UINT64_C(0xfffffff0fffffff0),
            "free runs");
    damaged("a table of no size", TABLE_AT(buckets), 0, "buckets");
    damaged("a table larger than the space", TABLE_AT(buckets), UINT64_C(1) << 50, "buckets");
    damaged("a bucket that leads out of the space", TABLE_AT(first[3].chain), UINT64_C(1) << 60, "a folder");
    damaged("a folder of another name", at + offsetof(record_t, name), 0x4141414141414141, "name");
    damaged("a folder whose memos are not there", at + offsetof(record_t, queue.head), SIZE - 64, "a folder");
    damaged("memos in a circle", r->queue.head, r->queue.head, "two owners");
    damaged("a folder that miscounts", at + offsetof(record_t, counts), r->counts + COUNT_MEMO, "it counts");
    damaged("a folder that was lost", at + offsetof(record_t, queue.head), 0, "nobody has them");
    damaged("a memo larger than its block", r->queue.head + offsetof(struct memo, size), UINT64_C(1) << 40,
            "says that");
    damaged("one who waits nowhere", at + offsetof(record_t, takers.head), 4096 + 8, "who waits");
    damaged("a limit that is elsewhere", at + offsetof(record_t, extra), 8192, "no such block");
    tap_is_int(doctor(), HEALTHY, "%s: without all this it is healthy", scheme);
}

/* What is no space, or not all of one. */
static void test_files_are_told(void)
{
    store(0, "nonsense", 8);
    tap_ok(doctor() == DAMAGED && says("not a space"), "%s: a file that is no space", scheme);
    transfer(false);
    store(16, "damage!", 8);
    tap_ok(doctor() == DAMAGED && says("damaged header"), "%s: a damaged header", scheme);
    transfer(false);
    if (truncate(path, (off_t)(SIZE / 2)) != 0)
        tap_bail("truncate");
    tap_ok(doctor() == DAMAGED && said[0] != '\0', "%s: a truncated space", scheme);
    if (truncate(path, (off_t)SIZE) != 0)
        tap_bail("truncate");
    transfer(false);
    tap_is_int(doctor(), HEALTHY, "%s: it is whole again", scheme);
}

/* ---- flips ----------------------------------------------------------------------------------------------- */

/* Where there is something: half of the flips in the root, a quarter in the first pages' descriptors. */
static uint64_t random_place(void)
{
    for (;;) {
        uint64_t at;
        switch (random_below(4)) {
        case 0:
        case 1:
            at = REGION_HEADER_BYTES + random_below(sizeof(node_root_t));
            break;
        case 2:
            at = root()->heap.pages + random_below(root()->heap.top * sizeof(page_t));
            break;
        default:
            at = root()->heap.base + random_below(root()->heap.top * HEAP_PAGE);
        }
        if (image[at] != 0 || random_below(16) == 0)
            return at;
    }
}

static void flip(unsigned count)
{
    while (count-- > 0) {
        uint64_t at = random_place();
        char byte = (char)(image[at] ^ (char)(1u << random_below(8)));
        store(at, &byte, 1);
    }
}

static void test_no_bytes_crash_it(unsigned rounds, const char *whose)
{
    unsigned seen = 0;
    uint64_t first = seed;
    int status = 0;

    for (unsigned i = 0; i < rounds && status >= 0; i++) {
        flip(1 + (unsigned)random_below(8));
        status = doctor();
        if (status > DAMAGED || said[0] == '\0')
            status = -1000;
        seen += status == DAMAGED;
        if (status < 0)
            tap_diag("round %u: %d: %s", i, status, said);
        transfer(false);
    }
    tap_ok(status >= 0, "%s: %u times some bytes of %s are flipped (seed %llu): it ends well", scheme, rounds,
           whose, (unsigned long long)first);
    tap_diag("%u of %u were seen to be damaged", seen, rounds);
    if (rounds > 20)
        tap_ok(seen > rounds / 4, "%s: many are seen", scheme);
}

/* ---- health and repair ----------------------------------------------------------------------------------- */

static void test_health(void)
{
    memo_space_t *space = opened();

    tap_is_int(doctor(), HEALTHY, "%s: a space that is used is healthy", scheme);
    tap_ok(says("attached     1 alive, 0 dead") && says("unaccounted for       0 blocks"),
           "%s: and all accounted for", scheme);
    memo_close(space);
    tap_is_int(doctor(), HEALTHY, "%s: and when nobody uses it", scheme);
    tap_ok(says("folders      13, with 60 memos"), "%s: it says what is in it", scheme);
}

static void test_repair(void)
{
    leave_dead();
    transfer(true); /* with the dead in it */
    tap_is_int(doctor(), REPAIRED, "%s: what a dead process held is given back, though nobody is attached", scheme);
    if (!tap_ok(says("attached     0 alive, 1 dead") && says("holds 33 memos") &&
                    says("repaired     1 dead; 33 memos"),
                "%s: it says what", scheme))
        tap_diag("%s", said);
    tap_is_int(doctor(), HEALTHY, "%s: once", scheme);
    transfer(false);
    test_no_bytes_crash_it(8, "a space with dead in it");
    transfer(false);
    tap_is_int(doctor(), REPAIRED, "%s: and it can be repaired still", scheme);
}

static void test_absent(void)
{
    (void)unlink(path);
    tap_is_int(doctor(), 2, "%s: no space is an error", scheme);
    tap_ok(says("there is no space") && access(path, F_OK) != 0, "%s: and none is made", scheme);
}

static void test_scheme(const char *of)
{
    scheme = of;
    make();
    test_health();
    transfer(true);
    test_damage_is_told();
    test_files_are_told();
    test_no_bytes_crash_it(flips, "a space at rest");
    test_repair();
    test_absent();
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {{"flips", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) == 'f')
        flips = (unsigned)atoi(optarg);
    if (option != -1)
        tap_bail("usage: doctor.t [--flips N]");
}

int main(int argc, char **argv)
{
    const char *build = getenv("BUILD");

    tap_timeout(240);
    read_options(argc, argv);
    snprintf(command, sizeof command, "%s/memo", build != NULL ? build : "build");
    snprintf(name, sizeof name, "t-doctor-%d", (int)getpid());
    snprintf(path, sizeof path, "/dev/shm/memo.%s", name);
    seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
    image = malloc(SIZE);
    if (access(command, X_OK) != 0)
        tap_bail("there is no %s: make it first", command);
    test_scheme("shm-bucket");
    test_scheme("shm-lock");
    free(image);
    return tap_done();
}
