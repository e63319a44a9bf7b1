/*
 * faults.c - the system refuses: in each call of the API, on both shared-memory backends, every allocation,
 * mapping, futex and other system call fails, once and then for good from each point on.
 *
 * A call that fails says why, in a sentence, and has changed nothing: folders, memos, waiters, what the caller
 * holds, descriptors. The third failure takes no more memory of the space than the second. Once the system is
 * itself again the same call succeeds.
 */
#include <dirent.h>
#include <pthread.h>

#include "libmemo/memo.h"
#include "t/lib/faults.h"
#include "t/tap.h"

enum { FOLDERS = 12, GIVEN = 4, HELD = 40, LARGE = 100000, FRESH = 200, MILLISECOND = 1000000, POINTS_MAX = 1000 };

/* What the calls are tried on: memos in folders 0 (two, one of them large) to 3, none in 4 and beyond. */
typedef struct scene {
    const char *scheme;
    char uri[100];
    memo_space_t *space;
    memo_folder_t f[FOLDERS];
    memo_t *held;    /* made before the call, for it */
    memo_t *m[HELD]; /* what the call gives */
    memo_space_t *other;
    memo_request_t *request;
} scene_t;

typedef struct trial {
    const char *name;
    int expected;
    int (*prepare)(scene_t *s); /* may be NULL */
    int (*call)(scene_t *s);
    int (*after)(scene_t *s); /* after a success: undoes it, but for memos and the request; may be NULL */
} trial_t;

static char wrong[400];

static void complain(const char *what)
{
    if (wrong[0] == '\0') {
        snprintf(wrong, sizeof wrong, "%s (first to fail: %s; %s)", what,
                 faults_first() != NULL ? faults_first() : "none", memo_errmsg());
    }
}

static void must(int result, const char *what)
{
    if (result != MEMO_OK) {
        tap_bail("%s: %d %s", what, result, memo_errmsg());
    }
}

/* ---- the calls ------------------------------------------------------------------------------------------- */

static int open_other(scene_t *s)
{
    return memo_open(&s->other, s->uri);
}

static int close_other(scene_t *s)
{
    int result = memo_close(s->other);
    s->other = NULL;
    return result;
}

static void uri_of_new(const scene_t *s, char uri[120])
{
    snprintf(uri, 120, "%s:t-faults-%d-new?size=1M", s->scheme, (int)getpid());
}

static int open_new(scene_t *s)
{
    char uri[120];
    uri_of_new(s, uri);
    return memo_open(&s->other, uri);
}

static int close_new(scene_t *s)
{
    char uri[120];
    uri_of_new(s, uri);
    close_other(s);
    return memo_unlink(uri);
}

static int open_anonymous(scene_t *s)
{
    char uri[120];
    snprintf(uri, sizeof uri, "%s:?anonymous=1&size=1M", s->scheme);
    return memo_open(&s->other, uri);
}

static int do_unlink(scene_t *s)
{
    char uri[120];
    uri_of_new(s, uri);
    return memo_unlink(uri);
}

static int make_new(scene_t *s)
{
    int result = open_new(s);
    return result == MEMO_OK ? close_other(s) : result;
}

static int do_alloc(scene_t *s)
{
    return memo_alloc(s->space, 10, &s->m[0]);
}

static int do_alloc_large(scene_t *s)
{
    return memo_alloc(s->space, 12 * LARGE, &s->m[0]);
}

static int do_alloc_for(scene_t *s)
{
    return memo_alloc_for(s->space, LARGE, &s->m[0], MILLISECOND);
}

static int make_held(scene_t *s)
{
    return memo_alloc(s->space, 10, &s->held);
}

static int take_held(scene_t *s)
{
    return memo_get_skip(s->space, &s->f[1], &s->held);
}

static int put_new_folder(scene_t *s)
{
    return memo_put(s->space, &s->f[5], s->held);
}

static int take_back(scene_t *s)
{
    return memo_get_skip(s->space, &s->f[5], &s->held);
}

static int put_started(scene_t *s)
{
    memo_t *refused;
    int result = memo_put_start(s->space, &s->f[5], s->held);
    if (result != MEMO_OK) {
        return result;
    }
    result = memo_flush(s->space);
    if (result != MEMO_OK && (memo_flush_failed(s->space, &refused) != MEMO_OK || refused != s->held)) {
        complain("what was refused is not given back");
    }
    return result;
}

static int do_write(scene_t *s)
{
    return memo_write(s->space, &s->f[5], "written", 7);
}

static int do_write_large(scene_t *s)
{
    static const char bytes[LARGE];
    return memo_write(s->space, &s->f[5], bytes, sizeof bytes);
}

static int take_written(scene_t *s)
{
    return memo_get_skip(s->space, &s->f[5], &s->m[0]);
}

static int do_delayed(scene_t *s)
{
    return memo_put_delayed(s->space, &s->f[6], &s->f[7], s->held);
}

static int fire(scene_t *s)
{
    int result = memo_write(s->space, &s->f[6], "", 0);
    if (result == MEMO_OK) {
        result = memo_get_skip(s->space, &s->f[6], &s->m[0]);
    }
    return result == MEMO_OK ? memo_get_skip(s->space, &s->f[7], &s->held) : result;
}

static int do_replace(scene_t *s)
{
    return memo_replace(s->held);
}

static int take_replaced(scene_t *s)
{
    return memo_get_skip(s->space, &s->f[1], &s->held);
}

static int do_get(scene_t *s)
{
    return memo_get(s->space, &s->f[1], &s->m[0]);
}

static int do_get_large(scene_t *s)
{
    return memo_get(s->space, &s->f[0], &s->m[0]);
}

static int do_get_skip(scene_t *s)
{
    return memo_get_skip(s->space, &s->f[8], &s->m[0]);
}

static int do_get_for(scene_t *s)
{
    return memo_get_for(s->space, &s->f[8], &s->m[0], MILLISECOND);
}

static int do_copy(scene_t *s)
{
    return memo_get_copy(s->space, &s->f[0], &s->m[0]);
}

static int do_alt(scene_t *s)
{
    size_t which;
    return memo_alt(s->space, s->f, FOLDERS, &s->m[0], &which);
}

static int do_alt_for(scene_t *s)
{
    size_t which;
    return memo_alt_for(s->space, s->f + 4, 8, &s->m[0], &which, MILLISECOND);
}

static int do_strict(scene_t *s)
{
    size_t which;
    return memo_strict_alt_skip(s->space, s->f + 4, 8, &s->m[0], &which);
}

static int do_get_all(scene_t *s)
{
    return memo_get_all(s->space, s->f, 4, s->m);
}

static int do_get_all_for(scene_t *s)
{
    return memo_get_all_for(s->space, s->f, 8, s->m, MILLISECOND);
}

static int start_over(scene_t *s, const memo_folder_t *folders, size_t count)
{
    memo_select_t select = MEMO_SELECT_INIT;
    select.folders = folders;
    select.count = count;
    return memo_start(s->space, &select, &s->request);
}

static int do_start_waiting(scene_t *s)
{
    return start_over(s, s->f + 4, 8);
}

static int do_start(scene_t *s)
{
    return start_over(s, s->f + 1, 1);
}

static int do_wait(scene_t *s)
{
    size_t which;
    int result = memo_wait(s->request, &s->m[0], &which, MILLISECOND);
    if (result != MEMO_PENDING) {
        s->request = NULL;
    }
    return result;
}

static int do_cancel(scene_t *s)
{
    memo_request_t *request = s->request;
    s->request = NULL;
    return memo_cancel(request);
}

static int do_fd(scene_t *s)
{
    int fd = memo_fd(s->space);
    return fd >= 0 ? MEMO_OK : fd;
}

static int do_limit(scene_t *s)
{
    return memo_limit(s->space, &s->f[9], 5, 0);
}

static int no_limit(scene_t *s)
{
    return memo_limit(s->space, &s->f[9], 0, 0);
}

static int do_count(scene_t *s)
{
    uint64_t memos, waiters;
    return memo_count(s->space, &s->f[0], &memos, &waiters);
}

static int do_stat(scene_t *s)
{
    memo_stat_t stat;
    return memo_stat(s->space, &stat, sizeof stat);
}

static int count_visit(const memo_folder_t *f, uint64_t memos, uint64_t bytes, uint64_t waiters, void *arg)
{
    (void)f;
    (void)bytes;
    (void)waiters;
    *(uint64_t *)arg += memos;
    return 0;
}

static int do_each(scene_t *s)
{
    uint64_t memos = 0;
    return memo_each(s->space, count_visit, &memos);
}

static int hold_many(scene_t *s)
{
    int result = MEMO_OK;
    for (int i = 1; i < HELD && result == MEMO_OK; i++) {
        result = memo_alloc(s->space, 10, &s->m[i]);
    }
    return result;
}

/* All the folders come into being, or those that did are gone again. */
static int write_many(scene_t *s)
{
    memo_t *m;
    int result = MEMO_OK, done = 0;
    for (; done < FRESH && result == MEMO_OK; done++) {
        memo_folder_t f = memo_folder_bytes(&done, sizeof done);
        result = memo_write(s->space, &f, "", 0);
    }
    if (result != MEMO_OK) {
        faults_disarm();
        for (int i = 0; i < done - 1; i++) {
            memo_folder_t f = memo_folder_bytes(&i, sizeof i);
            must(memo_get_skip(s->space, &f, &m), "taking one of many");
            memo_free(m);
        }
    }
    return result;
}

static int take_many(scene_t *s)
{
    memo_t *m;
    int result = MEMO_OK;
    for (int i = 0; i < FRESH && result == MEMO_OK; i++) {
        memo_folder_t f = memo_folder_bytes(&i, sizeof i);
        result = memo_get_skip(s->space, &f, &m);
        memo_free(m);
    }
    return result;
}

static int do_symbol(scene_t *s)
{
    memo_symbol_t symbol;
    return memo_symbol(s->space, &symbol);
}

/* Another thread, whose first call it is. Threads are made while nothing fails. */
typedef struct newcomer {
    scene_t *scene;
    int at, failures, result;
    bool for_good;
} newcomer_t;

static newcomer_t newcomer;

static void *first_call(void *arg)
{
    (void)arg;
    faults_arm(newcomer.at, newcomer.for_good);
    newcomer.result = do_write(newcomer.scene);
    newcomer.failures = faults_disarm();
    if (newcomer.result < 0 && strlen(memo_errmsg()) < 10) {
        complain("no sentence in the thread");
    }
    return NULL;
}

static const trial_t trials[] = {
    {"opening", MEMO_OK, NULL, open_other, close_other},
    {"creating", MEMO_OK, NULL, open_new, close_new},
    {"creating an anonymous one", MEMO_OK, NULL, open_anonymous, close_other},
    {"unlink", MEMO_OK, make_new, do_unlink, NULL},
    {"closing", MEMO_OK, open_other, close_other, NULL},
    {"alloc", MEMO_OK, NULL, do_alloc, NULL},
    {"alloc, large", MEMO_OK, NULL, do_alloc_large, NULL},
    {"alloc_for", MEMO_OK, NULL, do_alloc_for, NULL},
    {"put into a new folder", MEMO_OK, make_held, put_new_folder, take_back},
    {"put_start", MEMO_OK, make_held, put_started, take_back},
    {"write", MEMO_OK, NULL, do_write, take_written},
    {"write, large", MEMO_OK, NULL, do_write_large, take_written},
    {"put_delayed", MEMO_OK, make_held, do_delayed, fire},
    {"replace", MEMO_OK, take_held, do_replace, take_replaced},
    {"get", MEMO_OK, NULL, do_get, NULL},
    {"get of a large memo", MEMO_OK, NULL, do_get_large, NULL},
    {"get_skip on an empty folder", MEMO_NONE, NULL, do_get_skip, NULL},
    {"get_for on an empty folder", MEMO_TIMEDOUT, NULL, do_get_for, NULL},
    {"get_copy of a large memo", MEMO_OK, NULL, do_copy, NULL},
    {"alt over 12", MEMO_OK, NULL, do_alt, NULL},
    {"alt_for over 8 empty folders", MEMO_TIMEDOUT, NULL, do_alt_for, NULL},
    {"strict_alt_skip over 8 empty folders", MEMO_NONE, NULL, do_strict, NULL},
    {"get_all", MEMO_OK, NULL, do_get_all, NULL},
    {"get_all_for, some empty", MEMO_TIMEDOUT, NULL, do_get_all_for, NULL},
    {"start, waiting on 8", MEMO_OK, NULL, do_start_waiting, NULL},
    {"start, served at once", MEMO_OK, NULL, do_start, NULL},
    {"wait, served", MEMO_OK, do_start, do_wait, NULL},
    {"wait, pending", MEMO_PENDING, do_start_waiting, do_wait, NULL},
    {"cancel, pending", MEMO_OK, do_start_waiting, do_cancel, NULL},
    {"cancel, served", MEMO_OK, do_start, do_cancel, NULL},
    {"fd", MEMO_OK, do_start_waiting, do_fd, NULL},
    {"limit", MEMO_OK, NULL, do_limit, no_limit},
    {"count", MEMO_OK, NULL, do_count, NULL},
    {"stat", MEMO_OK, NULL, do_stat, NULL},
    {"each", MEMO_OK, NULL, do_each, NULL},
    {"alloc beyond what a hand holds", MEMO_OK, hold_many, do_alloc, NULL},
    {"write into many new folders", MEMO_OK, NULL, write_many, take_many},
    {"symbol", MEMO_OK, NULL, do_symbol, NULL},
};

/* ---- scenes ---------------------------------------------------------------------------------------------- */

static void begin(scene_t *s, const char *scheme)
{
    static const char large[LARGE];
    char text[16];
    memset(s, 0, sizeof *s);
    s->scheme = scheme;
    snprintf(s->uri, sizeof s->uri, "%s:t-faults-%d?size=4M", scheme, (int)getpid());
    must(memo_open(&s->space, s->uri), "open");
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(text, sizeof text, "folder %d", i);
        s->f[i] = memo_folder(text);
    }
    must(memo_write(s->space, &s->f[0], large, sizeof large), "write");
    for (int i = 0; i < 4; i++) {
        must(memo_write(s->space, &s->f[i], "small", 5), "write");
    }
}

static void let_go(scene_t *s)
{
    if (s->request != NULL) {
        memo_cancel(s->request);
    }
    s->request = NULL;
    for (int i = 0; i < HELD; i++) {
        memo_free(s->m[i]);
        s->m[i] = NULL;
    }
    memo_free(s->held);
    s->held = NULL;
}

static void end(scene_t *s)
{
    let_go(s);
    if (s->other != NULL) {
        memo_close(s->other);
    }
    memo_close(s->space);
    memo_unlink(s->uri);
}

typedef struct look {
    uint64_t folders, memos, bytes, waiters, clients, used;
    bool holds;
    int descriptors;
} look_t;

static int count_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d != NULL && readdir(d) != NULL) {
        n++;
    }
    if (d != NULL) {
        closedir(d);
    }
    return n;
}

static look_t look(const scene_t *s)
{
    memo_stat_t stat;
    must(memo_stat(s->space, &stat, sizeof stat), "stat");
    return (look_t){.folders = stat.folders,
                    .memos = stat.memos,
                    .bytes = stat.bytes,
                    .waiters = stat.waiters,
                    .clients = stat.clients,
                    .used = stat.used,
                    .holds = s->held != NULL && memo_data(s->held) != NULL,
                    .descriptors = count_descriptors()};
}

static bool same(const look_t *a, const look_t *b)
{
    return a->folders == b->folders && a->memos == b->memos && a->bytes == b->bytes && a->waiters == b->waiters &&
           a->clients == b->clients && a->holds == b->holds && a->descriptors == b->descriptors;
}

static bool gave_nothing(const scene_t *s)
{
    bool nothing = s->other == NULL;
    for (int i = 0; i < GIVEN; i++) {
        nothing = nothing && s->m[i] == NULL;
    }
    return nothing;
}

static bool defined(int result)
{
    return result == MEMO_ENOMEM || result == MEMO_EFULL || result == MEMO_EIO;
}

/* ---- trying ---------------------------------------------------------------------------------------------- */

static int call_failing(scene_t *s, const trial_t *t, int at, bool for_good, int *failures)
{
    faults_arm(at, for_good);
    int result = t->call(s);
    *failures = faults_disarm();
    return result;
}

/* The call fails at this point, three times; then succeeds. false: there is no such point. */
static bool fail_at(const char *scheme, const trial_t *t, int at, bool for_good)
{
    scene_t s;
    look_t before, after, later;
    int failures, result = t->expected;
    begin(&s, scheme);
    if (t->prepare != NULL) {
        must(t->prepare(&s), t->name);
    }
    before = look(&s);
    for (int i = 0; i < 3; i++) {
        result = call_failing(&s, t, at, for_good, &failures);
        if (result == t->expected) {
            break;
        }
        later = look(&s);
        if (!defined(result) && !(t->call == do_alloc_for && result == MEMO_TIMEDOUT)) {
            complain("another result");
        } else if (result < 0 && strlen(memo_errmsg()) < 10) {
            complain("no sentence");
        } else if (t->call != close_other && !gave_nothing(&s)) {
            complain("it failed, and gave something");
        } else if (!same(&before, &later)) {
            complain("it failed, and has changed something");
        } else if (i == 2 && later.used != after.used) {
            complain("memory of the space leaks");
        }
        after = later;
        if (failures == 0) {
            complain("it failed by itself");
        }
    }
    if (result != t->expected && t->call(&s) != t->expected) {
        complain("it does not work afterwards");
    }
    if (t->after != NULL) {
        int undone = t->after(&s);
        if (undone != MEMO_OK) {
            complain("what it did is not there");
        }
    }
    let_go(&s);
    if (memo_write(s.space, &s.f[10], "after", 5) != MEMO_OK ||
        memo_get_skip(s.space, &s.f[10], &s.m[0]) != MEMO_OK) {
        complain("the space does not work afterwards");
    }
    end(&s);
    return failures != 0;
}

static int fail_everywhere(const char *scheme, const trial_t *t, bool for_good)
{
    int at = 1;
    wrong[0] = '\0';
    while (at < POINTS_MAX && wrong[0] == '\0' && fail_at(scheme, t, at, for_good)) {
        at++;
    }
    return at - 1;
}

static int newcomer_fails(const char *scheme, bool for_good)
{
    scene_t s;
    pthread_t thread;
    int points = 0;
    wrong[0] = '\0';
    begin(&s, scheme);
    for (int at = 1; wrong[0] == '\0'; at++, points++) {
        look_t before = look(&s);
        newcomer = (newcomer_t){.scene = &s, .at = at, .for_good = for_good};
        if (pthread_create(&thread, NULL, first_call, NULL) != 0) {
            tap_bail("no thread");
        }
        pthread_join(thread, NULL);
        look_t after = look(&s);
        if (newcomer.result == MEMO_OK) {
            must(take_written(&s), "taking what was written");
            let_go(&s);
        } else if (!defined(newcomer.result)) {
            complain("another result");
        } else if (!same(&before, &after)) {
            complain("it failed, and has changed something");
        }
        if (newcomer.failures == 0) {
            break;
        }
    }
    end(&s);
    return points;
}

/* Nobody is put to sleep, nor woken, by the system. */
static void *put_later(void *arg)
{
    scene_t *s = arg;
    for (uint64_t waiters = 0; waiters == 0;) {
        nanosleep(&(struct timespec){.tv_nsec = 20 * MILLISECOND}, NULL);
        must(memo_count(s->space, &s->f[5], NULL, &waiters), "count");
    }
    nanosleep(&(struct timespec){.tv_nsec = 5 * MILLISECOND}, NULL);
    if (do_write(s) != MEMO_OK) {
        complain("a put fails");
    }
    return NULL;
}

static int get_put_later(scene_t *s, int *failures)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, put_later, s) != 0) {
        tap_bail("no thread");
    }
    faults_arm_only("futex");
    int result = memo_get_for(s->space, &s->f[5], &s->m[0], INT64_C(10000) * MILLISECOND);
    *failures = faults_disarm();
    pthread_join(thread, NULL);
    let_go(s);
    return result;
}

/* On a busy machine the memo may come before the get sleeps: then again. */
static void without_futexes(const char *scheme)
{
    scene_t s;
    int failures = 0, result = MEMO_OK;
    wrong[0] = '\0';
    begin(&s, scheme);
    for (int i = 0; i < 100 && failures == 0 && result == MEMO_OK; i++) {
        result = get_put_later(&s, &failures);
    }
    end(&s);
    if (!tap_ok(result == MEMO_OK && failures > 0 && wrong[0] == '\0',
                "%s: a get that waits is served without futexes, too", scheme)) {
        tap_diag("result %d, %d futexes; %s", result, failures, wrong);
    }
}

static long all(const char *scheme)
{
    long points = 0;
    for (int for_good = 0; for_good < 2; for_good++) {
        for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++) {
            int n = fail_everywhere(scheme, &trials[i], for_good);
            points += n;
            if (!tap_ok(wrong[0] == '\0', "%s: %s: %d calls fail, %s", scheme, trials[i].name, n,
                        for_good ? "and all after" : "each once")) {
                tap_diag("call %d: %s", n + 1, wrong);
            }
        }
        int n = newcomer_fails(scheme, for_good);
        points += n;
        if (!tap_ok(wrong[0] == '\0', "%s: a thread's first call: %d calls fail", scheme, n)) {
            tap_diag("call %d: %s", n + 1, wrong);
        }
    }
    without_futexes(scheme);
    return points;
}

int main(void)
{
    tap_timeout(300);
    long points = all("shm-bucket") + all("shm-lock");
    tap_ok(points > 300, "%ld failures in all", points);
    return tap_done();
}
