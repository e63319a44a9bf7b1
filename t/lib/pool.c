/*
 * pool.c - see pool.h.
 */
#include "t/lib/pool.h"
#include "t/lib/ranks.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { FODDER = POOL_NODES }; /* a memo that is no work */

typedef struct worker {
    pool_t *pool;
    memo_space_t *space;
    bool own; /* the handle */
    uint32_t number;
    uint64_t random;
    uint64_t quiets;
    memo_folder_t folders[POOL_FOLDERS];
} worker_t;

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint32_t below(worker_t *w, uint32_t n)
{
    w->random += UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)((mix(w->random) >> 32) * n >> 32);
}

static void rest(uint32_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

__attribute__((format(printf, 2, 3))) static void wrong(worker_t *w, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (atomic_fetch_add(&w->pool->wrong, 1) < 20) {
        fprintf(stderr, "# worker %" PRIu32 " of the pool, job %" PRIu64 ": %s\n", w->number, w->quiets, text);
    }
}

/* ---- the pool -------------------------------------------------------------------------------------------- */

/* Here broad, there narrow: a node's parent is one of the few before it. */
static void grow_tree(pool_t *p)
{
    uint64_t random = p->seed;
    for (uint32_t i = 1; i < POOL_NODES; i++) {
        random += UINT64_C(0x9e3779b97f4a7c15);
        uint32_t reach = 1 + (i / 256 % 4) * 20;
        uint32_t back = 1 + (uint32_t)(mix(random) % reach), parent = back > i ? 0 : i - back;
        p->next[i] = p->first[parent];
        p->first[parent] = i;
    }
}

pool_t *pool_new(const char *uri, uint32_t workers, uint32_t ranks, uint64_t seed)
{
    pool_t *p = ranks_begun() ? ranks_memory(sizeof *p)
                              : mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        return NULL;
    }
    snprintf(p->uri, sizeof p->uri, "%s", uri);
    p->seed = seed;
    p->run = mix(seed) | 1;
    p->workers = workers;
    p->ranks = ranks;
    p->largest = 100000;
    grow_tree(p);
    return p;
}

void pool_delete(pool_t *p)
{
    if (ranks_begun()) {
        ranks_memory_free(p, sizeof *p);
    } else {
        munmap(p, sizeof *p);
    }
}

static void name_folders(memo_folder_t folders[])
{
    for (uint32_t f = 0; f < POOL_FOLDERS; f++) {
        char name[32];
        snprintf(name, sizeof name, "pool %" PRIu32, f);
        folders[f] = memo_folder(name);
    }
}

static int open_as(const pool_t *p, const char *rank, memo_space_t **space)
{
    char text[64];
    snprintf(text, sizeof text, "%016" PRIx64 ":%s:%" PRIu32, p->run, rank, p->ranks);
    setenv("MEMO_RUN", text, 1);
    int result = memo_open(space, p->uri);
    unsetenv("MEMO_RUN");
    return result;
}

int pool_lead(const pool_t *p, memo_space_t **leader)
{
    return open_as(p, "leader", leader);
}

/* ---- putting nodes --------------------------------------------------------------------------------------- */

/* Others may have filled the space: it will have room again. */
static memo_t *new_node(worker_t *w, uint32_t node)
{
    uint32_t kind = below(w, 400);
    size_t size = 16 + (kind == 0 ? below(w, w->pool->largest) : kind < 20 ? below(w, 3000) : below(w, 50));
    memo_t *m = NULL;
    int result;
    while ((result = memo_alloc_for(w->space, size, &m, 5000000)) != MEMO_OK) {
        if (result != MEMO_TIMEDOUT && result != MEMO_EFULL) {
            wrong(w, "memo_alloc_for: %s", memo_errmsg());
            return NULL;
        }
    }
    uint64_t words[2] = {node, mix(node)};
    memcpy(memo_data(m), words, sizeof words);
    return m;
}

static bool put_it(worker_t *w, const memo_folder_t *folder, memo_t *m)
{
    int result;
    while ((result = memo_put(w->space, folder, m)) == MEMO_EFULL) {
        rest(1000000);
    }
    if (result != MEMO_OK) {
        wrong(w, "memo_put: %s", memo_errmsg());
    }
    return result == MEMO_OK;
}

static bool put_pipelined(worker_t *w, const memo_folder_t *folder, memo_t *m)
{
    if (memo_put_start(w->space, folder, m) != MEMO_OK) {
        return put_it(w, folder, m);
    }
    memo_flush(w->space);
    bool right = true;
    while (memo_flush_failed(w->space, &m) == MEMO_OK) {
        right = put_it(w, folder, m) && right;
    }
    return right;
}

static bool put_node(worker_t *w, const memo_folder_t *folder, uint32_t node)
{
    memo_t *m = new_node(w, node);
    if (m == NULL) {
        return false;
    }
    return below(w, 4) == 0 ? put_pipelined(w, folder, m) : put_it(w, folder, m);
}

/* Two children: the one waits for the other to come into its folder. */
static bool put_pair(worker_t *w, uint32_t node, uint32_t other)
{
    const memo_folder_t *trigger = &w->folders[below(w, POOL_FOLDERS)],
                        *target = &w->folders[below(w, POOL_FOLDERS)];
    memo_t *m = new_node(w, node);
    if (m == NULL) {
        return false;
    }
    if (memo_put_delayed(w->space, trigger, target, m) != MEMO_OK && !put_it(w, target, m)) {
        return false;
    }
    return put_node(w, trigger, other);
}

static bool put_children(worker_t *w, uint32_t node)
{
    const pool_t *p = w->pool;
    for (uint32_t child = p->first[node]; child != 0; child = p->next[child]) {
        uint32_t other = p->next[child];
        if (other != 0 && below(w, 8) == 0) {
            if (!put_pair(w, child, other)) {
                return false;
            }
            child = other;
        } else if (!put_node(w, &w->folders[below(w, POOL_FOLDERS)], child)) {
            return false;
        }
    }
    return true;
}

bool pool_root(pool_t *p, memo_space_t *space)
{
    worker_t w = {.pool = p, .space = space, .random = p->seed};
    name_folders(w.folders);
    return put_node(&w, &w.folders[0], 0);
}

bool pool_done(const pool_t *p)
{
    for (uint32_t i = 0; i < POOL_NODES; i++) {
        if (atomic_load(&p->grown[i]) == 0) {
            return false;
        }
    }
    return true;
}

static uint32_t take_all(memo_space_t *space, const memo_folder_t folders[])
{
    uint32_t taken = 0;
    for (uint32_t f = 0; f < POOL_FOLDERS; f++) {
        for (memo_t *m; memo_get_skip(space, &folders[f], &m) == MEMO_OK; taken++) {
            memo_free(m);
        }
    }
    return taken;
}

uint32_t pool_clear(memo_space_t *space)
{
    memo_folder_t folders[POOL_FOLDERS];
    name_folders(folders);
    uint32_t taken = take_all(space, folders);
    for (uint32_t f = 0; f < POOL_FOLDERS; f++) {
        memo_write(space, &folders[f], "", 0);
    }
    take_all(space, folders);
    return taken;
}

/* ---- doing nodes ----------------------------------------------------------------------------------------- */

/* In which job: only a worker that is not waiting can have put it, so that no other can have begun. */
static bool do_node(worker_t *w, memo_t *m)
{
    pool_t *p = w->pool;
    uint64_t words[2];
    uint32_t job = (uint32_t)atomic_load(&p->jobs);
    memcpy(words, memo_data(m), sizeof words);
    if (memo_size(m) < 16 || words[0] > FODDER || words[1] != mix(words[0])) {
        wrong(w, "a memo that nobody put");
        return false;
    }
    if (words[0] == FODDER) {
        memo_free(m);
        return true;
    }
    uint32_t node = (uint32_t)words[0], grown = atomic_load(&p->grown[node]);
    if (grown != job && (!p->mortal || grown != job + 1)) {
        wrong(w, "node %" PRIu32 " of job %" PRIu32 " came in job %" PRIu32, node, grown, job);
    }
    if (below(w, p->mortal ? 8 : 64) == 0) {
        rest(below(w, 200000));
    }
    if (grown == job) {
        if (!put_children(w, node)) {
            return false;
        }
        if (atomic_exchange(&p->grown[node], job + 1) == job) {
            atomic_fetch_add(&p->done, 1);
        } else if (!p->mortal) {
            wrong(w, "node %" PRIu32 " was done twice", node);
        }
    }
    memo_free(m);
    return true;
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static memo_select_t all_folders(worker_t *w, memo_folder_t names[])
{
    memo_select_t s = MEMO_SELECT_INIT;
    uint32_t turn = below(w, POOL_FOLDERS), what = below(w, 8);
    for (uint32_t f = 0; f < POOL_FOLDERS; f++) {
        names[f] = w->folders[(f + turn) % POOL_FOLDERS];
    }
    s.folders = names;
    s.count = POOL_FOLDERS;
    s.when_empty = MEMO_UNTIL_QUIET;
    s.choice = what < 4 ? MEMO_LISTED : what < 7 || ranks_begun() ? MEMO_ROTATE : MEMO_OLDEST;
    s.timeout_ns = below(w, 6) == 0 ? below(w, 2000000) : MEMO_FOREVER;
    return s;
}

/* As a request, which is sometimes cancelled. */
static int request_one(worker_t *w, const memo_select_t *s, memo_t **m)
{
    memo_request_t *r;
    int result = memo_start(w->space, s, &r);
    if (result != MEMO_OK) {
        return result;
    }
    for (uint32_t turns = 0;; turns++) {
        result = below(w, 2) == 0 ? memo_test(r, m, NULL) : memo_wait(r, m, NULL, below(w, 3000000));
        if (result != MEMO_PENDING) {
            return result;
        }
        if (turns > 3 && below(w, 4) == 0) {
            result = memo_cancel(r);
            return result == MEMO_OK ? MEMO_TIMEDOUT : result;
        }
    }
}

/* Every fourth with a handle of its own asks by requests alone: those of a handle take part until it is closed. */
static int wait_for_node(worker_t *w, bool at_once, memo_t **m)
{
    memo_folder_t names[POOL_FOLDERS];
    memo_select_t s = all_folders(w, names);
    s.timeout_ns = at_once ? 0 : s.timeout_ns;
    *m = NULL;
    return w->number % 4 == 1 && w->own ? request_one(w, &s, m) : memo_select(w->space, &s, m, NULL);
}

static bool work_until_quiet(worker_t *w)
{
    for (;;) {
        memo_t *m;
        int result = wait_for_node(w, false, &m);
        if (result == MEMO_OK) {
            if (!do_node(w, m)) {
                return false;
            }
        } else if (result == MEMO_QUIET) {
            return true;
        } else if (result == MEMO_TIMEDOUT || result == MEMO_EFULL) {
            atomic_fetch_add(&w->pool->waits, 1);
            rest(result == MEMO_EFULL ? 1000000 : 0);
        } else {
            wrong(w, "a select until quiet: %s: %s", memo_strerror(result), memo_errmsg());
            return false;
        }
    }
}

/* ---- a worker -------------------------------------------------------------------------------------------- */

/* It is quiet: all work is done. Whether there is more to come. */
static bool next_job(worker_t *w)
{
    pool_t *p = w->pool;
    uint64_t done = atomic_load(&p->done);
    bool ended = atomic_load(&p->ended);
    if (!ended) {
        w->quiets++;
    }
    if (p->mortal ? !pool_done(p) : done < (ended ? 1 : w->quiets) * POOL_NODES) {
        wrong(w, "quiet, with %" PRIu64 " nodes done", done);
    }
    if (ended || w->number != 0) {
        return !ended;
    }
    if (done != w->quiets * POOL_NODES) {
        wrong(w, "%" PRIu64 " nodes were done", done);
    }
    atomic_fetch_add(&p->jobs, 1);
    if (atomic_load(&p->stop)) {
        atomic_store(&p->ended, true);
        return false;
    }
    return pool_root(p, w->space);
}

/* Without a rank one takes part from one's first such select on. */
static void join_pool(worker_t *w)
{
    memo_t *m;
    if (wait_for_node(w, true, &m) == MEMO_OK) {
        do_node(w, m);
    }
    atomic_fetch_add(&w->pool->joined, 1);
}

static bool begin(worker_t *w)
{
    pool_t *p = w->pool;
    if (w->number >= p->ranks) {
        join_pool(w);
    }
    if (w->number != 0 || atomic_load(&p->ended)) {
        return true;
    }
    while (atomic_load(&p->joined) < p->workers - p->ranks) {
        rest(100000);
    }
    return pool_root(p, w->space);
}

int pool_worker(pool_t *p, uint32_t number, memo_space_t *shared)
{
    char rank[16];
    worker_t w = {.pool = p, .space = shared, .own = shared == NULL || ranks_begun(), .number = number};
    w.random = mix(p->seed + number) + (uint64_t)getpid();
    name_folders(w.folders);
    snprintf(rank, sizeof rank, "%" PRIu32, number);
    if (shared == NULL &&
        (number < p->ranks ? open_as(p, rank, &w.space) : memo_open(&w.space, p->uri)) != MEMO_OK) {
        wrong(&w, "memo_open: %s", memo_errmsg());
        return 1;
    }
    uint64_t before = atomic_load(&p->wrong);
    bool right = begin(&w);
    while (right && (right = work_until_quiet(&w)) && next_job(&w)) {
    }
    if (shared == NULL && memo_close(w.space) != MEMO_OK) {
        wrong(&w, "memo_close: %s", memo_errmsg());
    }
    return right && atomic_load(&p->wrong) == before ? 0 : 1;
}

/* ---- the feeder ------------------------------------------------------------------------------------------ */

int pool_feeder(pool_t *p, memo_space_t *shared)
{
    worker_t w = {.pool = p, .space = shared, .number = POOL_WORKERS, .random = mix(p->seed)};
    name_folders(w.folders);
    if (shared == NULL && memo_open(&w.space, p->uri) != MEMO_OK) {
        wrong(&w, "memo_open: %s", memo_errmsg());
        return 1;
    }
    bool right = true;
    while (right && !atomic_load(&p->full)) {
        right = put_node(&w, &w.folders[below(&w, POOL_FOLDERS)], FODDER);
        atomic_fetch_add(&p->fed, 1);
        rest(below(&w, 60000));
    }
    if (shared == NULL && memo_close(w.space) != MEMO_OK) {
        wrong(&w, "memo_close: %s", memo_errmsg());
    }
    return right ? 0 : 1;
}
