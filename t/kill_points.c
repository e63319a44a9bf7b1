/*
 * kill_points.c - operations killed at each of their instructions, and what the survivors then find (C13).
 *
 *   kill_points.t [URI] [--op NAME] [--all] [--kills N] [--at K] [--from K]
 *
 * For each operation, on each backend: how many instructions it takes is counted once; then victims are killed
 * after k of them, for k chosen at random (with --all: for every k). After each kill the survivors' operations must
 * come to their end, every memo must be in one place, in order, and the space must be what it was: its figures say
 * so.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "t/lib/kill_points.h"
#include "t/tap.h"

enum { FAULTS = 6 };

static uint64_t kills = 4;
static bool all;
static uint64_t only_k = UINT64_MAX, first_k;
static const char *only_op;

/* Of one operation on one backend, from the survivor's process. */
typedef struct outcome {
    _Atomic uint64_t killed, instructions, faults;
    _Atomic uint64_t place; /* of the last kill */
    _Atomic int refused;    /* ptrace's error */
    char text[FAULTS][768];
} outcome_t;

static outcome_t *outcome;

/* ---- memos ----------------------------------------------------------------------------------------------- */

memo_folder_t kp_folder(unsigned i)
{
    static const char longest[] = "a folder whose name is as long as names can be, which makes its record one of "
                                  "another size class than usual";
    char text[16] = "f0";

    if (i == KP_FOLDERS - 1) {
        return memo_folder(longest);
    }
    text[1] = (char)('a' + i);
    return memo_folder(text);
}

memo_t *kp_make(memo_space_t *space, uint64_t id)
{
    uint32_t size = (uint32_t)(id >> 32);
    memo_t *m;

    if (memo_alloc(space, size, &m) != MEMO_OK) {
        return NULL;
    }
    memset(memo_data(m), (int)(id & 0xff), size);
    memcpy(memo_data(m), &id, sizeof id);
    return m;
}

uint64_t kp_identity(memo_t *m)
{
    const unsigned char *bytes = memo_data(m);
    size_t size = memo_size(m);
    uint64_t id;

    if (bytes == NULL || size < sizeof id) {
        return 0;
    }
    memcpy(&id, bytes, sizeof id);
    if (id >> 32 != size) {
        return 0;
    }
    for (size_t i = sizeof id; i < size; i++) {
        if (bytes[i] != (id & 0xff)) {
            return 0;
        }
    }
    return id;
}

/* ---- the scene ------------------------------------------------------------------------------------------- */

void kp_wrong(kp_scene_t *scene, const char *format, ...)
{
    va_list args;

    if (scene->wrong[0] != '\0') {
        return;
    }
    va_start(args, format);
    vsnprintf(scene->wrong, sizeof scene->wrong, format, args);
    va_end(args);
}

/* Under the mutex. */
static void note(kp_scene_t *scene, memo_t *m, unsigned folder, bool copy, bool worker)
{
    kp_found_t *found = &scene->found[scene->found_count];

    if (scene->found_count == KP_FOUND) {
        kp_wrong(scene, "memos without end");
        return;
    }
    *found = (kp_found_t){kp_identity(m), folder, memo_redeliveries(m), copy, worker};
    scene->found_count++;
    if (found->id == 0) {
        kp_wrong(scene, "a memo of folder %u has not the bytes that were put", folder);
    }
    memo_free(m);
}

void kp_put(kp_scene_t *scene, unsigned folder, uint64_t id)
{
    memo_folder_t f = kp_folder(folder);
    memo_t *m = kp_make(scene->space, id);

    if (m == NULL || memo_put(scene->space, &f, m) != MEMO_OK) {
        kp_wrong(scene, "a survivor cannot put: %s", memo_errmsg());
    }
}

static void do_work(kp_worker_t *w)
{
    memo_space_t *space = w->scene->space;
    memo_folder_t f[KP_FOLDERS];
    memo_t *m[KP_FOLDERS] = {NULL};
    memo_select_t select = MEMO_SELECT_INIT;
    size_t which = 0, i, n = 0;
    int result = MEMO_EINVAL;

    for (i = 0; i < w->count; i++) {
        f[i] = kp_folder(w->first + (unsigned)i);
    }
    select.folders = f;
    select.count = w->count;
    select.timeout_ns = INT64_C(2000000000) * KP_WAIT_SECONDS;
    select.what = w->work == KP_COPY ? MEMO_COPY : MEMO_TAKE;
    if (w->work == KP_QUIET_AFTER) {
        result = memo_get_for(space, &f[0], &m[0], select.timeout_ns);
        memo_free(m[0]);
        select.folders++;
        select.count--;
        select.when_empty = MEMO_UNTIL_QUIET;
    }
    if (w->work == KP_PUT) {
        m[0] = kp_make(space, w->id);
        result = memo_put(space, &f[0], m[0]);
    } else if (w->work == KP_JOIN) {
        result = memo_get_all_for(space, f, w->count, m, select.timeout_ns);
        n = result == MEMO_OK ? w->count : 0;
    } else {
        result = memo_select(space, &select, &m[0], &which);
        n = result == MEMO_OK;
    }
    pthread_mutex_lock(&w->scene->mutex);
    for (i = 0; i < n; i++) {
        note(w->scene, m[i], w->first + (unsigned)(n == 1 ? which : i), w->work == KP_COPY, true);
    }
    pthread_mutex_unlock(&w->scene->mutex);
    memo_stat(space, &(memo_stat_t){0}, sizeof(memo_stat_t)); /* the thread gives back what it put off */
    pthread_mutex_lock(&w->scene->mutex);
    w->result = result;
    w->busy = false;
    pthread_cond_broadcast(&w->scene->changed);
    pthread_mutex_unlock(&w->scene->mutex);
}

static void *worker(void *arg)
{
    kp_worker_t *w = arg;

    for (;;) {
        pthread_mutex_lock(&w->scene->mutex);
        while (!w->busy) {
            pthread_cond_wait(&w->scene->changed, &w->scene->mutex);
        }
        pthread_mutex_unlock(&w->scene->mutex);
        do_work(w);
    }
    return NULL;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pause_a_bit(void)
{
    nanosleep(&(struct timespec){0, 100000}, NULL);
}

static memo_stat_t stat_of(kp_scene_t *scene)
{
    memo_stat_t stat;
    memset(&stat, 0, sizeof stat);
    if (memo_stat(scene->space, &stat, sizeof stat) != MEMO_OK) {
        kp_wrong(scene, "memo_stat: %s", memo_errmsg());
    }
    return stat;
}

static void give_work(kp_scene_t *scene, unsigned i)
{
    pthread_mutex_lock(&scene->mutex);
    scene->workers[i].busy = true;
    pthread_cond_broadcast(&scene->changed);
    pthread_mutex_unlock(&scene->mutex);
}

void kp_work(kp_scene_t *scene, unsigned i, kp_work_t work, unsigned first, unsigned count)
{
    uint64_t waiters = stat_of(scene).waiters, end = now_ns() + UINT64_C(1000000000) * KP_WAIT_SECONDS;

    scene->workers[i].work = work;
    scene->workers[i].first = first;
    scene->workers[i].count = count;
    give_work(scene, i);
    while (stat_of(scene).waiters < waiters + (work == KP_QUIET_AFTER ? 1 : count) && now_ns() < end) {
        pause_a_bit();
    }
}

void kp_work_put(kp_scene_t *scene, unsigned i, unsigned folder, uint64_t id)
{
    scene->workers[i].work = KP_PUT;
    scene->workers[i].first = folder;
    scene->workers[i].count = 1;
    scene->workers[i].id = id;
    give_work(scene, i);
}

bool kp_worker_done(kp_scene_t *scene, unsigned i, unsigned milliseconds)
{
    struct timespec until;
    bool done;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += milliseconds / 1000;
    until.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&scene->mutex);
    while (scene->workers[i].busy && pthread_cond_timedwait(&scene->changed, &scene->mutex, &until) == 0) {
    }
    done = !scene->workers[i].busy;
    pthread_mutex_unlock(&scene->mutex);
    return done;
}

void kp_workers_done(kp_scene_t *scene)
{
    for (unsigned i = 0; i < KP_WORKERS; i++) {
        if (!kp_worker_done(scene, i, 1000 * KP_WAIT_SECONDS)) {
            kp_wrong(scene, "survivor %u hangs in its %s", i, scene->workers[i].work == KP_PUT ? "put" : "select");
            scene->stuck = true;
        } else if (scene->workers[i].result < 0) {
            kp_wrong(scene, "survivor %u was told %s", i, memo_strerror(scene->workers[i].result));
        }
        scene->workers[i].result = MEMO_OK;
    }
}

void kp_drain(kp_scene_t *scene)
{
    for (unsigned i = 0; i < KP_FOLDERS && !scene->stuck; i++) {
        memo_folder_t f = kp_folder(i);
        memo_t *m;
        int result;
        while ((result = memo_get_skip(scene->space, &f, &m)) == MEMO_OK && scene->found_count < KP_FOUND) {
            pthread_mutex_lock(&scene->mutex);
            note(scene, m, i, false, false);
            pthread_mutex_unlock(&scene->mutex);
        }
        if (result < 0) {
            kp_wrong(scene, "a survivor cannot take: %s", memo_errmsg());
        }
    }
}

void kp_expect(kp_scene_t *scene, uint64_t id, unsigned least, unsigned most, unsigned where)
{
    unsigned n = 0;

    for (unsigned i = 0; i < scene->found_count; i++) {
        if (scene->found[i].id != id || scene->found[i].copy) {
            continue;
        }
        n++;
        if ((where >> scene->found[i].folder & 1) == 0) {
            kp_wrong(scene, "memo %u is in folder %u", (unsigned)id, scene->found[i].folder);
        }
    }
    if (n < least || n > most) {
        kp_wrong(scene, "memo %u was found %u times, not %u%s%.0u", (unsigned)id, n, least,
                 least == most ? "" : " to ", least == most ? 0 : most);
    }
}

void kp_expect_order(kp_scene_t *scene, uint64_t first, uint64_t second)
{
    bool seen = false;

    for (unsigned i = 0; i < scene->found_count; i++) {
        seen = seen || scene->found[i].id == second;
        if (scene->found[i].id == first && seen) {
            kp_wrong(scene, "memo %u overtook memo %u", (unsigned)second, (unsigned)first);
        }
    }
}

/* ---- one kill -------------------------------------------------------------------------------------------- */

static void await_repair(kp_scene_t *scene)
{
    uint64_t end = now_ns() + UINT64_C(2000000000);

    while (stat_of(scene).clients > scene->base.clients) {
        if (now_ns() > end) {
            kp_wrong(scene, "the dead client is still there after 2 s");
            return;
        }
        pause_a_bit();
    }
}

static bool as_before(kp_scene_t *scene, memo_stat_t *now)
{
    *now = stat_of(scene);
    return now->memos == 0 && now->bytes == 0 && now->folders == 0 && now->waiters == 0 &&
           now->clients == scene->base.clients && now->receivers == scene->base.receivers &&
           now->used == scene->base.used;
}

/* A section of the dead that a survivor had yet to read goes with the next handle that is closed. */
static void open_and_close(const char *uri)
{
    memo_space_t *space;

    if (memo_open(&space, uri) == MEMO_OK) {
        memo_close(space);
    }
}

/* The space holds nothing and is what it was. Other threads may still be on their way out. */
static void expect_as_before(kp_scene_t *scene)
{
    uint64_t end = now_ns() + UINT64_C(300000000);
    memo_stat_t now;

    if (!as_before(scene, &now)) {
        open_and_close(scene->uri);
    }
    while (!as_before(scene, &now) && now_ns() < end) {
        pause_a_bit();
    }
    if (!as_before(scene, &now)) {
        kp_wrong(scene,
                 "left behind: memos %" PRIu64 ", bytes %" PRIu64 ", folders %" PRIu64 ", waiters %" PRIu64
                 ", clients %+" PRId64 ", receivers %+" PRId64 ", used %+" PRId64,
                 now.memos, now.bytes, now.folders, now.waiters, (int64_t)(now.clients - scene->base.clients),
                 (int64_t)(now.receivers - scene->base.receivers), (int64_t)(now.used - scene->base.used));
        scene->base = now; /* what the next one adds to it is seen again */
        scene->base.memos = scene->base.bytes = scene->base.folders = scene->base.waiters = 0;
    }
}

static void fault(const kp_scene_t *scene, const kp_op_t *op, uint64_t k, const kp_death_t *death)
{
    uint64_t n = atomic_fetch_add(&outcome->faults, 1);

    if (n < FAULTS) {
        snprintf(outcome->text[n], sizeof outcome->text[n], "%s --at %" PRIu64 " (address 0x%" PRIx64 "%s): %s",
                 op->name, k, death->place, death->finished ? ", returned" : "", scene->wrong);
    }
}

static void one_kill(kp_scene_t *scene, kp_driver_t *driver, const kp_op_t *op, uint64_t k, kp_death_t *death)
{
    scene->wrong[0] = '\0';
    scene->found_count = 0;
    alarm(60); /* a hang that no other limit ends */
    if (op->prepare != NULL) {
        op->prepare(scene);
    }
    if (!kp_kill_at(driver, op, k, scene, death)) {
        kp_wrong(scene, "the driver is gone");
        scene->stuck = true;
    } else if (death->error == ECHILD) {
        kp_wrong(scene, "the victim ended by itself, status 0x%x", (unsigned)death->status);
    }
    scene->finished = death->finished;
    atomic_store(&outcome->place, death->place);
    if (!scene->stuck && death->error == 0) {
        await_repair(scene);
        op->after(scene);
    }
    if (!scene->stuck) {
        kp_workers_done(scene);
        kp_drain(scene);
        expect_as_before(scene);
    }
    if (scene->wrong[0] != '\0') {
        fault(scene, op, k, death);
    }
    if (!scene->stuck) {
        atomic_fetch_add(&outcome->killed, 1);
    }
}

/* ---- one operation ------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void open_scene(kp_scene_t *scene, const char *uri)
{
    pthread_mutex_init(&scene->mutex, NULL);
    pthread_cond_init(&scene->changed, NULL);
    if (memo_open(&scene->space, uri) != MEMO_OK) {
        fprintf(stderr, "# %s: %s\n", uri, memo_errmsg());
        _exit(1);
    }
    for (unsigned i = 0; i < KP_WORKERS; i++) {
        scene->workers[i].scene = scene;
        pthread_create(&scene->workers[i].thread, NULL, worker, &scene->workers[i]);
        kp_work(scene, i, KP_GET, i, 1);
        kp_put(scene, i, kp_id(i + 1, 8));
        kp_workers_done(scene);
    }
    scene->found_count = 0;
}

/* Once through the whole. */
static bool count_instructions(kp_scene_t *scene, kp_driver_t *driver, const kp_op_t *op, kp_death_t *death)
{
    open_and_close(scene->uri);
    scene->base = stat_of(scene);
    one_kill(scene, driver, op, UINT64_MAX, death);
    if (death->error == EPERM || death->error == ENOSYS || death->error == EIO) {
        atomic_store(&outcome->refused, death->error);
        return false;
    }
    atomic_store(&outcome->instructions, death->steps);
    return death->error == 0;
}

static void survive(const char *uri, const kp_op_t *op, uint64_t seed)
{
    static kp_scene_t scene;
    kp_driver_t driver;
    kp_death_t death;
    uint64_t total, k, n, i;

    memset(&death, 0, sizeof death);
    if (!kp_driver_start(&driver, uri)) {
        fprintf(stderr, "# no driver\n");
        _exit(1);
    }
    scene.uri = uri;
    open_scene(&scene, uri);
    if (!count_instructions(&scene, &driver, op, &death)) {
        _exit(0);
    }
    total = death.steps + 1;
    n = only_k != UINT64_MAX ? 1 : all || kills > total ? total : kills;
    n = op->slow && n > 2 && !all ? n / 2 : n;
    n = all && total > first_k ? total - first_k : n;
    for (i = 0; i < n && !scene.stuck; i++) {
        /* One in each of n equal parts. */
        uint64_t from = total * i / n, to = total * (i + 1) / n;
        k = only_k != UINT64_MAX ? only_k : from + next_random(&seed) % (to > from ? to - from : 1);
        k = all ? first_k + i : k;
        one_kill(&scene, &driver, op, k, &death);
    }
    kp_driver_end(&driver);
    _exit(0);
}

static void report(const kp_op_t *op, const char *scheme, int status)
{
    uint64_t faults = atomic_load(&outcome->faults);

    if (atomic_load(&outcome->refused) != 0) {
        tap_skip(strerror(atomic_load(&outcome->refused)), "%s: %s cannot be stepped through here", scheme,
                 op->name);
        return;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        tap_diag("the survivor ended with status 0x%x", (unsigned)status);
        faults++;
    }
    tap_ok(faults == 0 && atomic_load(&outcome->killed) > 0,
           "%s: %s, %" PRIu64 " instructions, %" PRIu64 " kills, %" PRIu64 " faults", scheme, op->name,
           atomic_load(&outcome->instructions), atomic_load(&outcome->killed), faults);
    if (only_k != UINT64_MAX) {
        tap_diag("killed at 0x%" PRIx64, atomic_load(&outcome->place));
    }
    for (uint64_t i = 0; i < faults && i < FAULTS; i++) {
        tap_diag("%s", outcome->text[i]);
    }
}

static void run_op(const char *uri, const kp_op_t *op, uint64_t seed)
{
    char scheme[16];
    int status = 0;
    pid_t pid;

    snprintf(scheme, sizeof scheme, "%.*s", (int)strcspn(uri, ":"), uri);
    if (op->buckets_only && strcmp(scheme, "shm-lock") == 0) {
        return;
    }
    memo_unlink(uri);
    memset((void *)outcome, 0, sizeof *outcome);
    pid = tap_fork();
    if (pid == 0) {
        survive(uri, op, seed);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        tap_bail("fork: %s", strerror(errno));
    }
    memo_unlink(uri);
    report(op, scheme, status);
}

static void run(const char *uri)
{
    uint64_t seed = tap_seed();

    for (size_t i = 0; i < kp_ops_count; i++) {
        if (only_op == NULL || strcmp(only_op, kp_ops[i].name) == 0) {
            run_op(uri, &kp_ops[i], seed + i);
        }
    }
}

static const char *options(int argc, char **argv)
{
    static const struct option names[] = {{"op", 1, 0, 'o'}, {"all", 0, 0, 'a'},  {"kills", 1, 0, 'k'},
                                          {"at", 1, 0, 't'}, {"from", 1, 0, 'f'}, {0, 0, 0, 0}};

    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 'o') {
            only_op = optarg;
        } else if (c == 'a') {
            all = true;
        } else if (c == 'k') {
            kills = strtoull(optarg, NULL, 0);
        } else if (c == 'f') {
            first_k = strtoull(optarg, NULL, 0);
        } else if (c == 't') {
            only_k = strtoull(optarg, NULL, 0);
        } else {
            exit(2);
        }
    }
    return optind < argc ? argv[optind] : getenv("MEMO_TEST_URI");
}

int main(int argc, char **argv)
{
    const char *uri = options(argc, argv);
    char text[128];

    outcome = mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (getenv("MEMO_TSAN") != NULL) {
        tap_skip("a thread sanitizer sees threads, not processes that are killed between instructions", "deaths");
        return tap_done();
    }
    if (outcome == MAP_FAILED) {
        tap_bail("no memory");
    }
    if (uri != NULL) {
        run(uri);
        return tap_done();
    }
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "%s:t-kill-points-%d?size=32M", i == 0 ? "shm-bucket" : "shm-lock",
                 (int)getpid());
        run(text);
    }
    return tap_done();
}
