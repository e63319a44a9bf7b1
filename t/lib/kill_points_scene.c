/*
 * kill_points_scene.c - what survivors do before and after a kill, and what they find (kill_points.h).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "t/lib/kill_points.h"

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

/* ---- time ------------------------------------------------------------------------------------------------ */

static int open_waits(void)
{
    return open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

/* How long our threads were ready and had no CPU: where many want one, that is not the space's fault. */
static uint64_t waited(const kp_scene_t *scene)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i <= KP_WORKERS; i++) {
        unsigned long long on_cpu, off_cpu;
        char text[128];
        ssize_t n = pread(scene->waits[i], text, sizeof text - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        if (sscanf(text, "%llu %llu", &on_cpu, &off_cpu) == 2) {
            sum += off_cpu;
        }
    }
    return sum;
}

/* Something that was begun then has come to its end. */
static void expect_soon(kp_scene_t *scene, uint64_t begun, const char *what)
{
    uint64_t took = kp_now() - begun, starved;

    if (took <= KP_LATE_NS) {
        return;
    }
    starved = waited(scene) - scene->waited;
    if (took > starved + KP_LATE_NS) {
        kp_wrong(scene, "%s took %u ms, and at most %u of them were waiting for a CPU", what,
                 (unsigned)(took / 1000000), (unsigned)(starved / 1000000));
    }
}

/* ---- memos, found and put ---------------------------------------------------------------------------------- */

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
    uint64_t begun = kp_now();
    memo_folder_t f = kp_folder(folder);
    memo_t *m = kp_make(scene->space, id);

    if (m == NULL || memo_put(scene->space, &f, m) != MEMO_OK) {
        kp_wrong(scene, "a survivor cannot put: %s", memo_errmsg());
    }
    expect_soon(scene, begun, "a put");
}

static void pause_a_bit(void)
{
    nanosleep(&(struct timespec){0, 100000}, NULL);
}

static void await_waiter(kp_scene_t *scene, const memo_folder_t *f)
{
    uint64_t waiters = 0;

    while (!atomic_load(&scene->dead) && waiters == 0) {
        pause_a_bit();
        memo_count(scene->space, f, &(uint64_t){0}, &waiters);
    }
}

static int need(memo_space_t *space, const memo_folder_t *f)
{
    memo_t *m;
    int result = memo_count(space, f, &(uint64_t){0}, &(uint64_t){0});

    if (memo_alloc(space, KP_LARGE, &m) == MEMO_OK) {
        memo_free(m);
    }
    return result;
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
    if (w->work == KP_PUT_WAITED) {
        await_waiter(w->scene, &f[0]);
    }
    if (w->work == KP_PUT || w->work == KP_PUT_WAITED) {
        m[0] = kp_make(space, w->id);
        result = memo_put(space, &f[0], m[0]);
    } else if (w->work == KP_NEED) {
        result = need(space, &f[0]);
        w->done_at = kp_now();
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

/* ---- workers --------------------------------------------------------------------------------------------- */

static void *worker(void *arg)
{
    kp_worker_t *w = arg;

    w->scene->waits[w - w->scene->workers] = open_waits();

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

uint64_t kp_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

memo_stat_t kp_stat(kp_scene_t *scene)
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
    uint64_t waiters = kp_stat(scene).waiters, end = kp_now() + UINT64_C(1000000000) * KP_WAIT_SECONDS;

    scene->workers[i].work = work;
    scene->workers[i].first = first;
    scene->workers[i].count = count;
    give_work(scene, i);
    while (kp_stat(scene).waiters < waiters + (work == KP_QUIET_AFTER ? 1 : count) && kp_now() < end) {
        pause_a_bit();
    }
}

void kp_work_put(kp_scene_t *scene, unsigned i, unsigned folder, uint64_t id, bool waited_for)
{
    scene->workers[i].work = waited_for ? KP_PUT_WAITED : KP_PUT;
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
    uint64_t begun = kp_now();

    for (unsigned i = 0; i < KP_WORKERS; i++) {
        if (!kp_worker_done(scene, i, 1000 * KP_WAIT_SECONDS)) {
            kp_wrong(scene, "survivor %u hangs in its %s", i, scene->workers[i].work >= KP_PUT ? "put" : "select");
            scene->stuck = true;
        } else if (scene->workers[i].result < 0) {
            kp_wrong(scene, "survivor %u was told %s", i, memo_strerror(scene->workers[i].result));
        }
        scene->workers[i].result = MEMO_OK;
    }
    expect_soon(scene, begun, "what survivors waited for");
}

void kp_drain(kp_scene_t *scene)
{
    for (unsigned i = 0; i < KP_FOLDERS && !scene->stuck; i++) {
        memo_folder_t f = kp_folder(i);
        uint64_t begun = kp_now();
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
        expect_soon(scene, begun, "a skip");
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

/* ---- before and after a kill ----------------------------------------------------------------------------- */

void kp_await_repair(kp_scene_t *scene)
{
    uint64_t begun = kp_now(), end = begun + UINT64_C(2000000000);

    while (kp_stat(scene).clients > scene->base.clients) {
        if (kp_now() > end) {
            kp_wrong(scene, "the dead client is still there after 2 s");
            return;
        }
        pause_a_bit();
    }
    expect_soon(scene, begun, "the repair");
}

void kp_begin(kp_scene_t *scene)
{
    scene->wrong[0] = '\0';
    scene->found_count = 0;
    scene->waited = waited(scene);
    atomic_store(&scene->dead, false);
}

void kp_need(kp_scene_t *scene)
{
    kp_worker_t *w = &scene->workers[KP_WORKERS - 1];

    w->work = KP_NEED;
    w->first = 0;
    w->count = 1;
    give_work(scene, KP_WORKERS - 1);
    scene->blocked = !kp_worker_done(scene, KP_WORKERS - 1, 3);
}

uint64_t kp_needed(kp_scene_t *scene, uint64_t dead_at)
{
    kp_worker_t *w = &scene->workers[KP_WORKERS - 1];

    if (!scene->blocked || !kp_worker_done(scene, KP_WORKERS - 1, 1000 * KP_WAIT_SECONDS)) {
        return 0;
    }
    expect_soon(scene, dead_at, "to get what the dead held");
    return w->done_at > dead_at ? w->done_at - dead_at : 0;
}

void kp_meet(kp_scene_t *scene)
{
    const unsigned folders[] = {0, 1, 4, KP_FOLDERS - 1};
    uint64_t begun = kp_now();

    for (unsigned i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        memo_folder_t f = kp_folder(folders[i]);
        if (memo_count(scene->space, &f, &(uint64_t){0}, &(uint64_t){0}) != MEMO_OK) {
            kp_wrong(scene, "memo_count: %s", memo_errmsg());
        }
    }
    expect_soon(scene, begun, "memo_count");
}

static bool as_before(kp_scene_t *scene, memo_stat_t *now)
{
    *now = kp_stat(scene);
    return now->memos == 0 && now->bytes == 0 && now->folders == 0 && now->waiters == 0 &&
           now->clients == scene->base.clients && now->receivers == scene->base.receivers &&
           now->used == scene->base.used;
}

/* A section of the dead that a survivor had yet to read goes with the next handle that is closed. */
void kp_open_and_close(const char *uri)
{
    memo_space_t *space;

    if (memo_open(&space, uri) == MEMO_OK) {
        memo_close(space);
    }
}

/* The space holds nothing and is what it was. Other threads may still be on their way out. */
void kp_expect_as_before(kp_scene_t *scene)
{
    uint64_t end = kp_now() + UINT64_C(300000000);
    memo_stat_t now;

    if (!as_before(scene, &now)) {
        kp_open_and_close(scene->uri);
    }
    while (!as_before(scene, &now) && kp_now() < end) {
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

void kp_open_scene(kp_scene_t *scene, const char *uri)
{
    pthread_mutex_init(&scene->mutex, NULL);
    pthread_cond_init(&scene->changed, NULL);
    if (memo_open(&scene->space, uri) != MEMO_OK) {
        fprintf(stderr, "# %s: %s\n", uri, memo_errmsg());
        _exit(1);
    }
    scene->waits[KP_WORKERS] = open_waits();
    for (unsigned i = 0; i < KP_WORKERS; i++) {
        scene->workers[i].scene = scene;
        pthread_create(&scene->workers[i].thread, NULL, worker, &scene->workers[i]);
        kp_work(scene, i, KP_GET, i, 1);
        kp_put(scene, i, kp_id(i + 1, 8));
        kp_workers_done(scene);
    }
    scene->found_count = 0;
}
