/*
 * edge.c - the edges of what the library takes, each with a defined answer: full regions, folders and tables, the
 * smallest and largest of everything, regions that are damaged or of another version, foreign files in the way.
 *
 *   edge.t [BACKEND]      a scheme or a URI; default $MEMO_TEST_URI, else shm-bucket and shm-lock
 *   mpiexec -n RANKS edge.t URI [full]
 *
 * In an MPI job there are no regions to find damaged, of another version or in the way, nothing to unlink, and a
 * handle is opened once; "full" asks for what needs a space of 1M (shm), or so small (MPI), and of one client.
 */
#include "libmemo/node/region.h"
#include "t/lib/conform.h"
#include "t/lib/ranks.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- full -------------------------------------------------------------------------------------------------------
 */

/* The smallest space there is: full, it says so; drained, it goes on. */
static void full_region(memo_space_t *s)
{
    memo_folder_t f = folder("full");
    int rc = MEMO_OK;
    uint64_t n = 0, again = 0;
    for (; (rc = memo_write(s, &f, "0123456789", 10)) == MEMO_OK; n++)
        continue;
    tap_ok(refused(rc, MEMO_EFULL) && n > 100, "full region: the %lluth write is refused",
           (unsigned long long)n + 1);
    memo_t *m = NULL;
    if (!peers_are_far()) { /* size= is of each node's memory, and it may be another that is full */
        tap_ok(refused(memo_alloc(s, 100000, &m), MEMO_EFULL) && m == NULL, "full region: so is memo_alloc");
        tap_ok(memo_alloc_for(s, 100000, &m, 5 * MS) == MEMO_TIMEDOUT, "full region: or it waits in vain");
    }
    tap_is_int((long long)memos_in(s, &f), (long long)n, "full region: what is there is there");
    tap_is_int((long long)drain(s, &f), (long long)n, "full region: it can be drained");
    for (; memo_write(s, &f, "0123456789", 10) == MEMO_OK; again++)
        continue;
    tap_ok(again >= n / 10 * 9, "full region: and be filled again (%llu)", (unsigned long long)again);
    drain(s, &f);
}

static void full_folder(memo_space_t *s)
{
    memo_folder_t f = folder("limited");
    bool right = memo_limit(s, &f, 1000, 0) == MEMO_OK;
    for (uint64_t i = 0; i < 1000; i++)
        right = put_number(s, &f, i) == MEMO_OK && right;
    tap_ok(right && refused(put_number(s, &f, 1000), MEMO_EFULL), "full folder: the 1,001st put is refused");
    tap_ok(drain(s, &f) == 1000 && put_number(s, &f, 0) == MEMO_OK && drain(s, &f) == 1,
           "full folder: until drained");
    tap_ok(memo_limit(s, &f, UINT64_MAX, UINT64_MAX) == MEMO_OK && put_number(s, &f, 0) == MEMO_OK,
           "full folder: limits of any size");
    drain(s, &f);
    memo_limit(s, &f, 0, 0);
}

/* ---- small and large
 * ---------------------------------------------------------------------------------------------- */

static void empty_memo(memo_space_t *s)
{
    memo_folder_t f = folder("empty memos");
    memo_t *m = NULL, *copy = NULL;
    tap_ok(memo_alloc(s, 0, &m) == MEMO_OK && m != NULL && memo_size(m) == 0 && memo_data(m) != NULL,
           "0 bytes: allocated");
    tap_ok(memo_put(s, &f, m) == MEMO_OK && memos_in(s, &f) == 1 && memo_get_copy(s, &f, &copy) == MEMO_OK &&
               memo_size(copy) == 0,
           "0 bytes: put and copied");
    memo_free(copy);
    tap_ok(memo_get(s, &f, &m) == MEMO_OK && memo_size(m) == 0 && memo_replace(m) == MEMO_OK && drain(s, &f) == 1,
           "0 bytes: taken and replaced");
}

static void names_at_the_limit(memo_space_t *s)
{
    unsigned char bytes[114];
    memset(bytes, 'n', sizeof bytes);
    bytes[113] = '\0';
    memo_folder_t longest = memo_folder_bytes(bytes, 112), too_long = memo_folder_bytes(bytes, 113);
    memo_folder_t text = memo_folder((char *)bytes);
    memo_t *m = NULL;
    tap_ok(put_number(s, &longest, 1) == MEMO_OK && drain(s, &longest) == 1, "names: 112 bytes");
    tap_ok(refused(memo_get_skip(s, &too_long, &m), MEMO_EINVAL) &&
               refused(memo_write(s, &too_long, "x", 1), MEMO_EINVAL),
           "names: 113 bytes are refused");
    tap_ok(!memo_folder_valid(&text), "names: a text of 113 too");
    bytes[111] = 'm';
    memo_folder_t last_differs = memo_folder_bytes(bytes, 112);
    put_number(s, &longest, 1);
    tap_ok(memo_get_skip(s, &last_differs, &m) == MEMO_NONE && drain(s, &longest) == 1, "names: every byte counts");
    memo_folder_t a = memo_folder_bytes("a\0b", 3), b = memo_folder_bytes("a\0c", 3), c = memo_folder("a");
    put_number(s, &a, 1);
    put_number(s, &b, 2);
    put_number(s, &c, 3);
    uint64_t number = 0;
    tap_ok(take_number(s, &a, &number, 0) == MEMO_OK && number == 1 && take_number(s, &b, &number, 0) == MEMO_OK &&
               number == 2 && take_number(s, &c, &number, 0) == MEMO_OK && number == 3,
           "names: NUL bytes are bytes");
}

static void alternatives_at_the_limit(memo_space_t *s)
{
    size_t n = MEMO_FOLDERS_MAX + 1, which = 0;
    memo_folder_t *f = calloc(n, sizeof *f);
    memo_t *m = NULL;
    if (f == NULL)
        tap_bail("no memory");
    for (size_t i = 0; i < n; i++)
        f[i] = folder("alternative %zu", i);
    tap_ok(memo_strict_alt_skip(s, f, MEMO_FOLDERS_MAX, &m, NULL) == MEMO_NONE, "alternatives: 65,536, all empty");
    tap_ok(memo_alt_for(s, f, MEMO_FOLDERS_MAX, &m, NULL, MS) == MEMO_TIMEDOUT, "alternatives: waited for");
    put_number(s, &f[MEMO_FOLDERS_MAX - 1], 1);
    tap_ok(memo_alt(s, f, MEMO_FOLDERS_MAX, &m, &which) == MEMO_OK && which == MEMO_FOLDERS_MAX - 1,
           "alternatives: the last of them");
    memo_free(m);
    m = NULL;
    tap_ok(refused(memo_alt(s, f, n, &m, NULL), MEMO_EINVAL) && refused(memo_alt(s, f, 0, &m, NULL), MEMO_EINVAL),
           "alternatives: 65,537 are refused, and 0");
    tap_ok(stat_of(s).folders == 0 && stat_of(s).waiters == 0, "alternatives: nothing is left");
    free(f);
}

/* A space too small to wait in so many folders says so, and holds what it held. */
static void no_room_to_wait(memo_space_t *s)
{
    memo_folder_t *f = calloc(MEMO_FOLDERS_MAX, sizeof *f);
    memo_t *m = NULL;
    uint64_t used = stat_of(s).used;
    if (f == NULL)
        tap_bail("no memory");
    for (size_t i = 0; i < MEMO_FOLDERS_MAX; i++)
        f[i] = folder("alternative %zu", i);
    tap_ok(refused(memo_alt_for(s, f, MEMO_FOLDERS_MAX, &m, NULL, MS), MEMO_EFULL) && m == NULL,
           "no room to wait in: refused");
    tap_ok(stat_of(s).folders == 0 && stat_of(s).waiters == 0 && stat_of(s).used <= used + 65536,
           "no room to wait in: nothing is left of it");
    put_number(s, &f[MEMO_FOLDERS_MAX - 1], 1);
    int rc = memo_alt_skip(s, f, MEMO_FOLDERS_MAX, &m, NULL);
    tap_ok(rc == MEMO_OK, "no room to wait in: a memo that is there is taken all the same (%d)", rc);
    memo_free(m);
    m = NULL;
    put_number(s, &f[MEMO_FOLDERS_MAX - 2], 1);
    rc = memo_alt(s, f, MEMO_FOLDERS_MAX, &m, NULL);
    tap_ok(rc == MEMO_OK, "no room to wait in: by an alt that would wait, too (%d)", rc);
    memo_free(m);
    free(f);
}

/* ---- files
 * ---------------------------------------------------------------------------------------------------------- */

/* The file of a space's region, from its URI. */
static void path_of(const char *uri, char path[], size_t size)
{
    const char *name = strchr(uri, ':') + 1;
    snprintf(path, size, "/dev/shm/memo.%.*s", (int)strcspn(name, "?"), name);
}

static bool open_refused(const char *uri, int code)
{
    memo_space_t *s = (memo_space_t *)(uintptr_t)16;
    int rc = memo_open(&s, uri);
    if (rc == MEMO_OK)
        memo_close(s);
    return refused(rc, code) && s == NULL;
}

static bool patch(const char *path, off_t at, const void *bytes, size_t n)
{
    int fd = open(path, O_RDWR);
    bool done = fd >= 0 && pwrite(fd, bytes, n, at) == (ssize_t)n;
    if (fd >= 0)
        close(fd);
    return done;
}

/* A fresh space with a memo in it, and nobody who has it open. */
static const char *space_left(char path[], size_t size)
{
    const char *uri = space_fresh("size=1M");
    memo_space_t *s = space_open(uri);
    memo_folder_t f = folder("left");
    put_number(s, &f, 5);
    memo_close(s);
    path_of(uri, path, size);
    return uri;
}

static void region_kept(void)
{
    char path[300];
    const char *uri = space_left(path, sizeof path);
    memo_space_t *s = space_open(uri);
    memo_folder_t f = folder("left");
    uint64_t number = 0;
    tap_ok(take_number(s, &f, &number, 0) == MEMO_OK && number == 5, "region: it outlives those who have it open");
    memo_close(s);
}

static void region_damaged(void)
{
    static const struct {
        const char *what;
        off_t at;
        size_t bytes;
    } damages[] = {{"no magic", 0, 8},
                   {"a fingerprint that was damaged", 16, 1},
                   {"a size that was damaged", 24, 3},
                   {"a header of noise", 0, 4096}};
    unsigned char noise[4096];
    char path[300];
    memset(noise, 0xa7, sizeof noise);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const char *uri = space_left(path, sizeof path);
        tap_ok(patch(path, damages[i].at, noise, damages[i].bytes) && open_refused(uri, MEMO_ECORRUPT),
               "region: %s is MEMO_ECORRUPT", damages[i].what);
        tap_ok(memo_unlink(uri) == MEMO_ECORRUPT || access(path, F_OK) != 0,
               "region: unlink says so, or removes it");
        unlink(path);
    }
    static const off_t lengths[] = {0, 100, 4096, 5000, 524288, 1048576 - 4096, 1048576 - 1, 2097152};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const char *uri = space_left(path, sizeof path);
        tap_ok(truncate(path, lengths[i]) == 0 && open_refused(uri, MEMO_ECORRUPT),
               "region: truncated or extended to %ld bytes it is MEMO_ECORRUPT", (long)lengths[i]);
        unlink(path);
    }
}

/* The header's own words for what a region is. */
typedef struct header {
    char magic[8];
    uint32_t form;
    uint32_t version;
    uint64_t fingerprint;
    uint64_t size;
    char kind[REGION_KIND_MAX];
} header_t;

static int format_nothing(region_t *r, void *arg)
{
    (void)r;
    (void)arg;
    return MEMO_OK;
}

/* In the space's place comes a sound region of another version, or with other layout parameters. */
static bool replaced(const char *uri, const header_t *h, uint32_t version, uint64_t fingerprint)
{
    char name[300];
    region_t r;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(strchr(uri, ':') + 1, "?"), strchr(uri, ':') + 1);
    region_spec_t spec = {.name = name,
                          .size = 1048576,
                          .kind = h->kind,
                          .version = version,
                          .fingerprint = fingerprint,
                          .format = format_nothing};
    if (memo_unlink(uri) != MEMO_OK || region_open(&r, &spec) != MEMO_OK)
        return false;
    region_close(&r);
    return true;
}

static void region_of_another_version(void)
{
    char path[300];
    header_t h;
    const char *uri = space_left(path, sizeof path);
    int fd = open(path, O_RDONLY);
    bool read_all = fd >= 0 && pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h;
    if (fd >= 0)
        close(fd);
    uint32_t form = h.form + 1;
    tap_ok(read_all && patch(path, 8, &form, sizeof form) && open_refused(uri, MEMO_EVERSION),
           "region: with a header of another form it is MEMO_EVERSION");
    tap_ok(patch(path, 8, &h.form, sizeof h.form) && replaced(uri, &h, h.version + 1, h.fingerprint) &&
               open_refused(uri, MEMO_EVERSION),
           "region: of another version, MEMO_EVERSION");
    tap_ok(replaced(uri, &h, h.version, h.fingerprint + 1) && open_refused(uri, MEMO_EVERSION),
           "region: of another build layout, MEMO_EVERSION");
    tap_ok(memo_unlink(uri) == MEMO_OK && access(path, F_OK) != 0, "region: but it can be removed");
}

static bool is_bucket(const char *uri)
{
    return strncmp(uri, "shm-bucket:", 11) == 0;
}

static void region_of_another_scheme(void)
{
    char path[300], other[400];
    const char *uri = space_left(path, sizeof path);
    snprintf(other, sizeof other, "%s:%s", is_bucket(uri) ? "shm-lock" : "shm-bucket", strchr(uri, ':') + 1);
    tap_ok(open_refused(other, MEMO_EBUSY), "region: the name of another scheme's space is MEMO_EBUSY");
    tap_ok(refused(memo_unlink(other), MEMO_EBUSY) && access(path, F_OK) == 0,
           "region: which cannot remove it either");
}

static void foreign_files(void)
{
    char path[300];
    static const char text[] = "Somebody's notes, which are none of our business.\n";
    char read_back[sizeof text] = "";
    const char *uri = space_fresh(NULL);
    path_of(uri, path, sizeof path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    bool there = fd >= 0 && write(fd, text, sizeof text) == (ssize_t)sizeof text;
    tap_ok(there && open_refused(uri, MEMO_ECORRUPT), "foreign file: a text is MEMO_ECORRUPT");
    tap_ok(refused(memo_unlink(uri), MEMO_ECORRUPT) &&
               pread(fd, read_back, sizeof text, 0) == (ssize_t)sizeof text &&
               memcmp(read_back, text, sizeof text) == 0,
           "foreign file: and is left alone");
    close(fd);
    unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    tap_ok(fd >= 0 && open_refused(uri, MEMO_ECORRUPT), "foreign file: an empty one too");
    close(fd);
    unlink(path);
    memo_space_t *s = NULL;
    tap_ok(mkdir(path, 0700) == 0 && memo_open(&s, uri) < 0 && s == NULL && memo_errmsg()[0] != '\0',
           "foreign file: a folder in the way");
    rmdir(path);
    tap_ok(memo_open(&s, uri) == MEMO_OK && memo_close(s) == MEMO_OK,
           "foreign file: with it gone, there is a space");
}

static void wrong_options(void)
{
    char text[500];
    static const char *const options[] = {
        "?sise=1M",         "?size=1X", "?size=",          "?on_death=stay",
        "?size=1M&size=2M", "?",        "?size=1",         "?size=100K",
        "?anonymous=yes",   "?=3",      "?dead_letters=x", "?max_redeliveries=0&on_death=drop"};
    const char *uri = space_fresh(NULL);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        snprintf(text, sizeof text, "%.*s%s", (int)strcspn(uri, "?"), uri, options[i]);
        tap_ok(open_refused(text, MEMO_EINVAL), "URI: '%s' is MEMO_EINVAL", options[i]);
    }
}

/* How often memos are redelivered is the space's: who says otherwise is told so, and nothing has changed. */
static void leases(const char *scheme)
{
    static const char *const others[] = {"max_redeliveries=2&dead_letters=bad", "max_redeliveries=3",
                                         "max_redeliveries=3&dead_letters=worse"};
    char text[200];
    memo_space_t *s = NULL, *other = NULL;
    snprintf(text, sizeof text, "%s:t-edge-leases-%d?size=4M", scheme, (int)getpid());
    s = space_open(text);
    strcat(text, "&max_redeliveries=3");
    tap_ok(open_refused(text, MEMO_EINVAL), "leases: a space that has none gets none by being opened");
    memo_close(s);
    memo_unlink(text);
    strcat(text, "&dead_letters=bad");
    s = space_open(text);
    tap_ok(memo_open(&other, text) == MEMO_OK && memo_close(other) == MEMO_OK, "leases: the same again");
    *strstr(text, "&max") = '\0';
    tap_ok(memo_open(&other, text) == MEMO_OK && memo_close(other) == MEMO_OK, "leases: or none said");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        strcat(strcat(text, "&"), others[i]);
        tap_ok(open_refused(text, MEMO_EINVAL) && strstr(memo_errmsg(), "dead_letters=bad"), "leases: not %s: %s",
               others[i], memo_errmsg());
        *strstr(text, "&max") = '\0';
    }
    tap_is_int((int)stat_of(s).clients, 1, "leases: who was refused is no client");
    memo_close(s);
    memo_unlink(text);
}

/* A space that was removed goes on for those who have it; the name is free for another. */
static void unlinked(void)
{
    const char *uri = space_fresh(NULL);
    memo_space_t *before = space_open(uri), *after;
    memo_folder_t f = folder("here");
    put_number(before, &f, 1);
    tap_ok(memo_unlink(uri) == MEMO_OK && memo_unlink(uri) == MEMO_NONE, "unlink: once");
    after = space_open(uri);
    tap_ok(memos_in(after, &f) == 0 && memos_in(before, &f) == 1, "unlink: a later space is another");
    tap_ok(put_number(before, &f, 2) == MEMO_OK && drain(before, &f) == 2, "unlink: the old one goes on");
    memo_close(before);
    memo_close(after);
}

/* Private to this process and its forked children, who open it by the same text. */
static int anonymous_child(memo_space_t *s, void *arg)
{
    memo_folder_t f = folder("private"), g = folder("answer");
    uint64_t number = 0;
    (void)arg;
    PEER(take_number(s, &f, &number, PATIENCE) == MEMO_OK && number == 1);
    PEER(put_number(s, &g, 2) == MEMO_OK);
    return 0;
}

static void anonymous(const char *scheme)
{
    char uri[64];
    snprintf(uri, sizeof uri, "%s:?anonymous=1&size=8M", scheme);
    memo_space_t *s = space_open(uri);
    memo_folder_t f = folder("private"), g = folder("answer");
    uint64_t number = 0;
    put_number(s, &f, 1);
    peers_use(uri);
    peer_t *p = peer_start(anonymous_child, NULL);
    tap_ok(take_number(s, &g, &number, PATIENCE) == MEMO_OK && number == 2 && peer_wait(p) == 0,
           "anonymous: shared with a forked child");
    memo_space_t *second = space_open(uri);
    put_number(second, &f, 3);
    tap_ok(take_number(s, &f, &number, 0) == MEMO_OK && number == 3, "anonymous: and within the process");
    memo_close(second);
    memo_close(s);
}

/* ---- tables that are full
 * ------------------------------------------------------------------------------------------------ */

#define HANDLES_TRIED 3000

static void out_of_clients(memo_space_t *s)
{
    static memo_space_t *handles[HANDLES_TRIED];
    struct rlimit files;
    memo_folder_t f = folder("of many");
    int n = 0, rc = MEMO_OK;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    uint64_t clients = stat_of(s).clients;
    while (n < HANDLES_TRIED && (rc = memo_open(&handles[n], peers_uri())) == MEMO_OK)
        n++;
    tap_ok(rc == MEMO_OK || (refused(rc, MEMO_EFULL) && handles[n] == NULL),
           "out of clients: the %dth is refused with MEMO_EFULL, or there is room", n + 1);
    tap_ok(n > 100 && stat_of(s).clients == clients + (uint64_t)n, "out of clients: %d more there are", n);
    uint64_t number = 0;
    tap_ok(put_number(handles[n - 1], &f, 1) == MEMO_OK &&
               take_number(handles[0], &f, &number, PATIENCE) == MEMO_OK && number == 1 &&
               put_number(s, &f, 2) == MEMO_OK && drain(s, &f) == 1,
           "out of clients: those who are there go on");
    for (int i = 0; i < n; i++)
        memo_close(handles[i]);
    memo_space_t *again = NULL;
    tap_ok(stat_of(s).clients == clients && memo_open(&again, peers_uri()) == MEMO_OK &&
               memo_close(again) == MEMO_OK,
           "out of clients: closed, there is room");
}

#define THREADS_TRIED 1500

typedef struct crowd {
    memo_space_t *s;
    _Atomic(int) refused, served, wrong, calling;
} crowd_t;

static void *crowd_get(void *arg)
{
    crowd_t *c = arg;
    memo_folder_t f = folder("crowded");
    memo_t *m = NULL;
    atomic_fetch_add(&c->calling, 1);
    int rc = memo_get_for(c->s, &f, &m, PATIENCE);
    if (rc == MEMO_OK)
        atomic_fetch_add(&c->served, 1);
    else if (rc == MEMO_EFULL && memo_errmsg()[0] != '\0')
        atomic_fetch_add(&c->refused, 1);
    else
        atomic_fetch_add(&c->wrong, 1);
    memo_free(m);
    return NULL;
}

static void out_of_receivers(memo_space_t *s)
{
    static pthread_t id[THREADS_TRIED];
    crowd_t c = {.s = s};
    memo_folder_t f = folder("crowded");
    pthread_attr_t attr;
    int n = 0, tried = peers_are_threads() ? 200 : THREADS_TRIED;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    while (n < tried && pthread_create(&id[n], &attr, crowd_get, &c) == 0)
        n++;
    pthread_attr_destroy(&attr);
    int64_t end = now_ns() + PATIENCE;
    while (now_ns() < end && waiters_on(s, &f) + (uint64_t)atomic_load(&c.refused) < (uint64_t)n)
        pause_ns(MS);
    uint64_t waiters = waiters_on(s, &f);
    tap_ok(waiters + (uint64_t)atomic_load(&c.refused) == (uint64_t)n,
           "out of receivers: of %d threads that get, %llu wait, and %d are refused with MEMO_EFULL", n,
           (unsigned long long)waiters, atomic_load(&c.refused));
    for (uint64_t i = 0; i < waiters; i++)
        put_number(s, &f, i);
    for (int i = 0; i < n; i++)
        pthread_join(id[i], NULL);
    tap_ok(atomic_load(&c.served) == (int)waiters && atomic_load(&c.wrong) == 0,
           "out of receivers: those who wait are served");
    call_t again;
    call_get(&again, s, &f);
    call_start(&again);
    put_number(s, &f, 7);
    tap_ok(call_wait(&again) == MEMO_OK && number_freed(again.m) == 7,
           "out of receivers: and others find room then");
}

/* ---- a signal
 * -------------------------------------------------------------------------------------------------------------- */

static _Atomic(int) signals;

static void on_signal(int sig)
{
    (void)sig;
    atomic_fetch_add(&signals, 1);
}

static void signal_in_a_get(memo_space_t *s)
{
    struct sigaction action;
    memo_folder_t f = folder("signalled");
    call_t c;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal; /* without SA_RESTART */
    sigaction(SIGUSR2, &action, NULL);
    call_get(&c, s, &f);
    call_start(&c);
    waiters_become(s, &f, 1);
    for (int i = 0; i < 50; i++) {
        pthread_kill(thread_id(c.thread), SIGUSR2);
        pause_ns(MS);
    }
    tap_ok(atomic_load(&signals) > 0 && !call_done(&c), "signal: a get goes on waiting");
    put_number(s, &f, 3);
    tap_ok(call_wait(&c) == MEMO_OK && number_freed(c.m) == 3, "signal: for its memo");
}

static void in_small_space(void (*test)(memo_space_t *s))
{
    memo_space_t *s = space_open(space_fresh("size=1M"));
    test(s);
    memo_close(s);
}

static void opened_once(memo_space_t *s)
{
    memo_space_t *again = (memo_space_t *)(uintptr_t)16;
    memo_folder_t f = folder("once");
    uint64_t number = 0;
    put_number(s, &f, 1);
    tap_ok(refused(memo_open(&again, peers_uri()), MEMO_EBUSY) && again == NULL,
           "opened once: again is MEMO_EBUSY");
    tap_ok(take_number(s, &f, &number, 0) == MEMO_OK && number == 1, "opened once: the first handle goes on");
}

static void run_as_ranks(const char *uri, bool full)
{
    peers_use(uri);
    memo_space_t *s = ranks_open(uri);
    tap_seed();
    if (full) {
        full_region(s);
        no_room_to_wait(s);
    } else {
        full_folder(s);
        empty_memo(s);
        names_at_the_limit(s);
        alternatives_at_the_limit(s);
        opened_once(s);
        out_of_receivers(s);
        signal_in_a_get(s);
    }
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0 && stat_of(s).waiters == 0, "%s: nothing is left", uri);
    tap_ok(ranks_close(s), "%s: all close", uri);
}

static void run(const char *backend)
{
    char scheme[32];
    spaces_of(backend);
    snprintf(scheme, sizeof scheme, "%.*s", (int)strcspn(backend, ":"), backend);
    const char *uri = space_fresh(NULL);
    memo_space_t *s = space_open(uri);
    peers_use(uri);
    in_small_space(full_region);
    full_folder(s);
    empty_memo(s);
    names_at_the_limit(s);
    alternatives_at_the_limit(s);
    in_small_space(no_room_to_wait);
    region_kept();
    region_damaged();
    region_of_another_version();
    region_of_another_scheme();
    foreign_files();
    wrong_options();
    unlinked();
    out_of_clients(s);
    out_of_receivers(s);
    signal_in_a_get(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0 && stat_of(s).waiters == 0, "%s: nothing is left",
           backend);
    memo_close(s);
    anonymous(scheme);
    leases(scheme);
}

int main(int argc, char **argv)
{
    const char *given = argc > 1 ? argv[1] : getenv("MEMO_TEST_URI");
    if (ranks_asked() && given != NULL) {
        tap_timeout(500);
        run_as_ranks(given, argc > 2 && strcmp(argv[2], "full") == 0);
        return tap_done();
    }
    spaces_guarded();
    tap_timeout(300);
    tap_seed();
    if (given != NULL && given[0] != '\0') {
        run(given);
    } else {
        run("shm-bucket");
        run("shm-lock");
    }
    return tap_done();
}
