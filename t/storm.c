/*
 * storm.c - many processes and threads do everything at random, and every answer they got is checked.
 *
 *   storm.t [URI] [--ops N] [--seconds S] [--procs P] [--threads T] [--folders F] [--sizes MAX] [--rounds R]
 *           [--pool W] [--minutes M] [--soak]
 *
 * A round is a history: workers fill it until its operations or seconds are over, the parent drains the space and
 * the checker reads it. Meanwhile the parent puts a memo into every folder whenever all stand still, for some wait
 * without a timeout; and a pool of W workers grows trees in the same space, job after job, each of which must end
 * in quiet, whatever the others do. --soak goes on without end, --minutes until they are over. Under the thread
 * sanitizer, which sees neither across processes nor that two mappings are the same memory, all are threads on one
 * handle.
 *
 *   mpiexec -n RANKS storm.t URI ...
 *
 * In an MPI job the clients are the processes, the parent's among them, all with one handle from beginning to end.
 * All are ranked, so that nothing is quiet while one of them does anything else: the pool, of all of them, has the
 * space to itself, after each history. And as it is one space for all rounds, after each there are figures of what
 * it and its processes take, and at the end nothing may have grown (growth.h).
 */
#include <getopt.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "t/lib/actor.h"
#include "t/lib/growth.h"
#include "t/lib/ranks.h"
#include "t/lib/team.h"
#include "t/lib/wedge.h"
#include "t/lib/conform.h"
#include "t/tap.h"

typedef struct options {
    uint32_t operations, seconds, procs, threads, folders, sizes, rounds, minutes, pool;
    bool soak;
    const char *uri;
} options_t;

static options_t o = {.operations = 400000,
                      .seconds = 2,
                      .procs = 5,
                      .threads = 2,
                      .folders = 24,
                      .sizes = 1 << 20,
                      .rounds = 2,
                      .pool = 4};

/* What a client that does not close may keep between messages. */
#define RANKS_SLACK ((uint64_t)128 * 1024)

/* What the whole run adds up to. */
static uint64_t total_operations, total_violations, total_jobs;
static growth_t *growth; /* in an MPI job */

typedef struct round {
    actor_world_t *world;
    history_t *h;
    memo_space_t *space; /* the parent's handle */
    uint64_t seed;
    uint32_t reserve;       /* records kept for the parent */
    uint32_t threads;       /* of each process */
    _Atomic uint32_t ended; /* ranks */
} round_t;

static bool threads_for_processes(void)
{
#if defined(__SANITIZE_THREAD__)
    return true;
#else
    return getenv("MEMO_TSAN") != NULL;
#endif
}

/* ---- workers --------------------------------------------------------------------------------------------- */

typedef struct worker {
    round_t *round;
    memo_space_t *space;
    bool alone; /* the only thread of its handle */
    bool right;
    pthread_t thread;
} worker_t;

static void *work(void *arg)
{
    worker_t *w = arg;
    round_t *round = w->round;
    history_tape_t *tape = history_tape(round->h);
    actor_t a;
    if (tape == NULL) {
        return NULL;
    }
    actor_begin(&a, round->world, w->space, round->h, tape, round->seed);
    a.closes = w->alone;
    a.shuttles = tape->number == 1;
    while (!atomic_load(&round->world->stop) && history_left(round->h) > round->reserve && actor_step(&a)) {
    }
    w->right = actor_end(&a);
    w->space = a.space;
    return NULL;
}

/* A process, or what stands for one: a handle and its threads. */
static bool process_lives(round_t *round, memo_space_t *space)
{
    worker_t workers[64];
    bool right = true, own = space == NULL;
    if (own && memo_open(&space, round->world->uri) != MEMO_OK) {
        tap_diag("memo_open: %s", memo_errmsg());
        return false;
    }
    for (uint32_t t = 0; t < round->threads; t++) {
        workers[t] = (worker_t){.round = round, .space = space, .alone = own && round->threads == 1};
        if (pthread_create(&workers[t].thread, NULL, work, &workers[t]) != 0) {
            tap_bail("pthread_create: %s", strerror(errno));
        }
    }
    for (uint32_t t = 0; t < round->threads; t++) {
        pthread_join(workers[t].thread, NULL);
        right = right && workers[t].right;
        space = workers[t].space;
    }
    return (!own || memo_close(space) == MEMO_OK) && right;
}

/* A rank. */
static int rank_lives(memo_space_t *space, void *arg)
{
    round_t *round = arg;
    bool right = process_lives(round, space);
    atomic_fetch_add(&round->ended, 1);
    return right ? 0 : 1;
}

typedef struct crew {
    pid_t pids[256];
    pthread_t threads[256];
    peer_t *peers[64];
    uint32_t left;
    bool right;
    _Atomic uint32_t ended; /* threads that stand for processes */
    round_t *round;
} crew_t;

static void *process_as_thread(void *arg)
{
    crew_t *crew = arg;
    bool right = process_lives(crew->round, crew->round->space);
    atomic_fetch_add(&crew->ended, 1);
    return right ? arg : NULL;
}

static void start_crew(crew_t *crew)
{
    crew->right = true;
    crew->left = o.procs;
    if (ranks_begun()) {
        crew->left = (uint32_t)ranks_left() + 1;
        for (uint32_t p = 0; p + 1 < crew->left; p++) {
            crew->peers[p] = peer_start(rank_lives, crew->round);
        }
        crew->peers[crew->left - 1] = peer_start_here(crew->round->space, rank_lives, crew->round);
        return;
    }
    for (uint32_t p = 0; p < o.procs; p++) {
        if (threads_for_processes()) {
            if (pthread_create(&crew->threads[p], NULL, process_as_thread, crew) != 0) {
                tap_bail("pthread_create: %s", strerror(errno));
            }
            continue;
        }
        crew->pids[p] = tap_fork();
        if (crew->pids[p] < 0) {
            tap_bail("fork: %s", strerror(errno));
        }
        if (crew->pids[p] == 0) {
            _exit(process_lives(crew->round, NULL) ? 0 : 1);
        }
    }
}

static bool ranks_ended(crew_t *crew)
{
    if (atomic_load(&crew->round->ended) < crew->left) {
        return false;
    }
    for (uint32_t p = 0; p < crew->left; p++) {
        int result = peer_wait(crew->peers[p]);
        if (result != 0) {
            tap_diag("a rank's life ended with %d", result);
            crew->right = false;
        }
    }
    return true;
}

/* Whether all have ended. */
static bool crew_ended(crew_t *crew)
{
    if (ranks_begun()) {
        return ranks_ended(crew);
    }
    if (threads_for_processes()) {
        if (atomic_load(&crew->ended) < o.procs) {
            return false;
        }
        for (uint32_t p = 0; p < o.procs; p++) {
            void *result;
            pthread_join(crew->threads[p], &result);
            crew->right = crew->right && result != NULL;
        }
        return true;
    }
    int status;
    while (crew->left > 0 && waitpid(-1, &status, WNOHANG) > 0) {
        crew->left--;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            tap_diag("a worker ended with status 0x%x", (unsigned)status);
            crew->right = false;
        }
    }
    return crew->left == 0;
}

/* Until all have ended: when the time is over they are told, and who waits for ever is given memos. */
static bool attend(crew_t *crew, actor_t *parent)
{
    actor_world_t *world = crew->round->world;
    uint64_t end = history_now() + (uint64_t)o.seconds * 1000000000u, steps = 0, moved = history_now();
    while (!crew_ended(crew)) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        uint64_t now = history_now(), done = atomic_load(&world->steps);
        if (now > end) {
            atomic_store(&world->stop, true);
        }
        bool stopping = atomic_load(&world->stop) || history_left(crew->round->h) <= crew->round->reserve;
        if (done != steps && !stopping) {
            steps = done;
            moved = now;
        } else if (now - moved > (stopping ? 5000000u : 30000000u)) {
            actor_ring(parent);
            moved = now;
        }
    }
    return crew->right;
}

/* ---- a round --------------------------------------------------------------------------------------------- */

static void say(const char *sentence, void *arg)
{
    (void)arg;
    tap_diag("%s", sentence);
}

/* The largest memo that the space has room for, to the nearest 64 KiB. */
static size_t largest_memo(memo_space_t *space)
{
    size_t low = 0, high = (size_t)1 << 34;
    while (high - low > 65536) {
        size_t middle = low + (high - low) / 2;
        memo_t *m;
        if (memo_alloc(space, middle, &m) == MEMO_OK) {
            memo_free(m);
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static memo_stat_t figures_of(memo_space_t *space)
{
    memo_stat_t stat;
    memset(&stat, 0, sizeof stat);
    if (memo_stat(space, &stat, sizeof stat) != MEMO_OK) {
        tap_diag("memo_stat: %s", memo_errmsg());
    }
    return stat;
}

static bool check_history(round_t *round, const char *uri, const history_rules_t *rules)
{
    history_report_t r;
    uint64_t start = history_now();
    bool right = history_check(round->h, rules, &r);
    uint64_t operations = r.puts + r.takes + r.copies + r.nones + r.timeouts + r.refusals + r.cancels;
    total_operations += operations;
    total_violations += r.violations;
    tap_diag("%s: %" PRIu64 " puts, %" PRIu64 " takes, %" PRIu64 " copies, %" PRIu64 " nones, %" PRIu64
             " timeouts, %" PRIu64 " refused, %" PRIu64 " cancelled, %" PRIu64 " redelivered; checked in %.2f s",
             uri, r.puts, r.takes, r.copies, r.nones, r.timeouts, r.refusals, r.cancels, r.redelivered,
             (double)(history_now() - start) / 1e9);
    tap_diag("in all %" PRIu64 " operations, %" PRIu64 " jobs, %" PRIu64 " violations", total_operations,
             total_jobs, total_violations);
    return right && operations > 0;
}

/* The space after everybody has gone and everything has been taken, against what it was before. */
static void check_space(memo_space_t *space, const memo_stat_t *before, size_t largest)
{
    memo_stat_t now = figures_of(space);
    bool empty = now.memos == 0 && now.bytes == 0 && now.folders == 0 && now.waiters == 0;
    if (!tap_ok(empty, "the drained space holds no memo, folder or waiter")) {
        tap_diag("memos %" PRIu64 ", bytes %" PRIu64 ", folders %" PRIu64 ", waiters %" PRIu64, now.memos,
                 now.bytes, now.folders, now.waiters);
    }
    tap_is_int((long long)now.clients, (long long)before->clients, "clients are as many as before");
    if (ranks_begun()) {
        /* Handles that stay open keep what they have for use again. */
        tap_ok(now.used <= before->used + RANKS_SLACK * now.clients, "about as much memory is in use as before");
        tap_diag("%" PRIu64 " bytes used, before %" PRIu64 "; a memo of %zu bytes can be had, before %zu", now.used,
                 before->used, largest_memo(space), largest);
        return;
    }
    tap_is_int((long long)now.receivers, (long long)before->receivers, "receivers are as many as before");
    tap_is_int((long long)now.used, (long long)before->used, "as much memory is in use as before");
    size_t now_largest = largest_memo(space);
    tap_ok(now_largest + 65536 >= largest, "a memo as large as before can be had");
    if (now_largest + 65536 < largest) {
        tap_diag("%zu bytes, before %zu", now_largest, largest);
    }
}

/* The threads of one handle keep what they have until it is closed. And who closes takes along what others could
 * not give back when they closed, because somebody was reading it. */
static bool renew(round_t *round, actor_t *parent)
{
    if (ranks_begun()) {
        return actor_end(parent);
    }
    bool right = actor_reopen(parent);
    round->space = parent->space;
    return right;
}

static void check_pool(const pool_t *pool, bool right)
{
    uint64_t jobs = atomic_load(&pool->jobs);
    total_jobs += jobs;
    total_violations += atomic_load(&pool->wrong);
    tap_ok(right && jobs > 0, "the pool learned of the end of each of its jobs: %" PRIu64 " of %d nodes", jobs,
           POOL_NODES);
}

/* Every folder and some sizes once, so that what a space keeps for itself is there before it is measured. */
static bool warm_up(actor_t *a)
{
    for (uint32_t f = 0; f < a->world->folders; f++) {
        actor_put_plain(a, f, (size_t)8 << f % 9);
    }
    return actor_drain(a);
}

static bool storm(round_t *round, actor_t *parent)
{
    static crew_t crew;
    static team_t team;
    memset(&crew, 0, sizeof crew);
    crew.round = round;
    if (!tap_ok(warm_up(parent) && renew(round, parent), "the space works")) {
        return false;
    }
    memo_stat_t before = figures_of(round->space);
    size_t largest = largest_memo(round->space);
    memo_space_t *shared = threads_for_processes() ? round->space : NULL;
    bool pool = o.pool > 1 && !ranks_begun() &&
                tap_ok(team_begin(&team, round->world->uri, o.pool, round->seed, shared), "a pool");
    actor_set_limits(round->world, round->space, true);
    if (pool) {
        team_start(&team);
        team_feed(&team);
    }
    start_crew(&crew);
    tap_ok(attend(&crew, parent), "all workers came to their end");
    actor_set_limits(round->world, round->space, false);
    tap_ok(actor_drain(parent), "the space could be drained");
    if (pool) {
        check_pool(team.pool, team_end(&team));
        pool_delete(team.pool);
    }
    tap_ok(renew(round, parent), "the handle could be closed and opened again");
    check_space(round->space, &before, largest);
    tap_diag("the slowest call took %.3f ms beyond its time (kind %" PRIu32 "); %" PRIu64
             " times the space was full",
             (double)atomic_load(&round->world->slowest) / 1e6, atomic_load(&round->world->slow_kind),
             atomic_load(&round->world->full));
    return true;
}

static round_t *new_round(uint64_t seed)
{
    uint32_t tapes = o.procs * o.threads + 8;
    round_t *round = peer_shared(sizeof *round);
    round->seed = seed;
    round->reserve = 60 * o.folders + 512 * tapes;
    if (ranks_begun()) { /* on a busy machine messages stand still now and then, and the parent rings */
        round->reserve += o.operations / 10;
    }
    round->threads = o.threads;
    round->world = peer_shared(sizeof *round->world);
    round->h = history_new(o.operations + 100 * o.folders + 2 * round->reserve, o.operations * 4 + 100000, tapes,
                           o.folders);
    if (round->h == NULL) {
        tap_bail("no memory for a history of %" PRIu32 " operations", o.operations);
    }
    return round;
}

static void delete_round(round_t *round)
{
    history_delete(round->h);
    peer_unshare(round->world, sizeof *round->world);
    peer_unshare(round, sizeof *round);
}

/* With the handle given, or one of its own. */
static bool one_round(const char *uri, uint64_t seed, memo_space_t *space)
{
    bool own = space == NULL;
    round_t *round = new_round(seed);
    actor_t parent;
    wedge_watch(uri, round->h, seed);
    actor_world(round->world, uri, o.folders, o.sizes);
    round->world->forever = true;
    round->world->polls = true;
    if (own && !tap_is_int(memo_open(&space, uri), MEMO_OK, "%s opens", uri)) {
        tap_diag("%s", memo_errmsg());
        return false;
    }
    round->space = space;
    actor_begin(&parent, round->world, space, round->h, history_tape(round->h), seed);
    bool right = storm(round, &parent);
    history_rules_t rules = {.limits = round->world->limits, .say = say, .latches = round->world->servers > 1};
    right = tap_ok(check_history(round, uri, &rules), "%s: the checker finds nothing", uri) && right;
    if (!right) {
        tap_diag("that round's seed was %" PRIu64, seed);
    }
    actor_end(&parent);
    if (own) {
        memo_close(parent.space);
    }
    wedge_watch(uri, NULL, seed);
    delete_round(round);
    return right;
}

/* ---- a pool of all ranks --------------------------------------------------------------------------------- */

typedef struct all_workers {
    pool_t *pool;
    _Atomic uint32_t next, ended;
} all_workers_t;

/* Who is done takes part until all are: a cancel may have missed the last quiet, and a client that does not close
 * holds back the next. */
static int wait_for_all(memo_space_t *space, all_workers_t *w)
{
    memo_folder_t none = memo_folder("the pool's end");
    memo_select_t s = MEMO_SELECT_INIT;
    memo_t *m = NULL;
    s.folders = &none;
    s.count = 1;
    s.when_empty = MEMO_UNTIL_QUIET;
    s.timeout_ns = 20000000;
    atomic_fetch_add(&w->ended, 1);
    while (atomic_load(&w->ended) < w->pool->workers) {
        int result = memo_select(space, &s, &m, NULL);
        if (result != MEMO_QUIET && result != MEMO_TIMEDOUT) {
            tap_diag("at the pool's end: %d [%s]", result, memo_errmsg());
            return 1;
        }
    }
    return 0;
}

static int rank_works(memo_space_t *space, void *arg)
{
    all_workers_t *w = arg;
    uint32_t number = memo_rank(space) == 0 ? 0 : 1 + atomic_fetch_add(&w->next, 1);
    int wrong = pool_worker(w->pool, number, space);
    return wait_for_all(space, w) + wrong;
}

/* Who says when it is enough. */
static void *end_of_pool(void *arg)
{
    all_workers_t *w = arg;
    nanosleep(&(struct timespec){.tv_sec = o.seconds < 2 ? 1 : o.seconds / 2}, NULL);
    atomic_store(&w->pool->stop, true);
    return NULL;
}

static void pool_of_all(const char *uri, uint64_t seed, memo_space_t *space)
{
    uint32_t clients = (uint32_t)ranks_left() + 1;
    all_workers_t *w = peer_shared(sizeof *w);
    pthread_t end;
    w->pool = pool_new(uri, clients, clients, seed);
    if (pthread_create(&end, NULL, end_of_pool, w) != 0) {
        tap_bail("pthread_create: %s", strerror(errno));
    }
    bool right = peers_everyone(space, rank_works, w) == 0;
    pthread_join(end, NULL);
    check_pool(w->pool, right && atomic_load(&w->pool->wrong) == 0);
    memo_stat_t now = figures_of(space);
    tap_ok(now.memos == 0 && now.folders == 0 && now.waiters == 0, "the pool leaves nothing");
    pool_delete(w->pool);
    peer_unshare(w, sizeof *w);
}

/* ---- the run --------------------------------------------------------------------------------------------- */

static void read_options(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"ops", 1, 0, 'o'},     {"seconds", 1, 0, 's'}, {"procs", 1, 0, 'p'},  {"threads", 1, 0, 't'},
        {"folders", 1, 0, 'f'}, {"sizes", 1, 0, 'z'},   {"rounds", 1, 0, 'r'}, {"minutes", 1, 0, 'm'},
        {"pool", 1, 0, 'w'},    {"uri", 1, 0, 'u'},     {"soak", 0, 0, 'k'},   {0, 0, 0, 0},
    };
    uint32_t *const numbers[] = {
        ['o'] = &o.operations, ['s'] = &o.seconds, ['p'] = &o.procs,   ['t'] = &o.threads, ['f'] = &o.folders,
        ['z'] = &o.sizes,      ['r'] = &o.rounds,  ['m'] = &o.minutes, ['w'] = &o.pool};
    o.uri = getenv("MEMO_TEST_URI");
    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (c == 'u') {
            o.uri = optarg;
        } else if (c == 'k') {
            o.soak = true;
            o.operations = 2000000;
            o.seconds = 30;
        } else if (c == '?') {
            tap_bail("usage: storm.t [URI] [--ops N] [--seconds S] [--procs P] [--threads T] [--folders F] "
                     "[--sizes MAX] [--rounds R] [--minutes M] [--soak]");
        } else {
            *numbers[c] = (uint32_t)strtoul(optarg, NULL, 0);
            if (c == 'm') {
                o.operations = o.operations < 2000000 ? 2000000 : o.operations;
                o.seconds = o.minutes < 2 ? 2 : o.minutes > 20 ? 30 : o.minutes * 3 / 2; /* dozens of rounds */
            }
        }
    }
    if (optind < argc) {
        o.uri = argv[optind];
    }
    o.procs = o.procs < 1 ? 1 : o.procs > 256 ? 256 : o.procs;
    o.threads = o.threads < 1 ? 1 : o.threads > 64 ? 64 : o.threads;
    o.folders = o.folders < 12 ? 12 : o.folders > ACTOR_FOLDERS ? ACTOR_FOLDERS : o.folders;
}

/* Rounds on one space after the other, each with a seed of its own; every second one with one thread a handle. */
static void run(char uris[][256], int n, memo_space_t *space)
{
    uint64_t end = history_now() + (uint64_t)o.minutes * 60 * 1000000000u;
    uint32_t procs = o.procs, threads = o.threads;
    for (uint32_t round = 0; o.soak || (o.minutes > 0 ? history_now() < end : round < o.rounds); round++) {
        o.threads = round % 2 == 1 ? 1 : threads;
        o.procs = space != NULL                              ? (uint32_t)ranks_left() + 1
                  : round % 2 == 1 && procs * threads <= 256 ? procs * threads
                                                             : procs;
        for (int i = 0; i < n; i++) {
            tap_timeout(120 + 4 * o.seconds);
            uint64_t seed = tap_seed() + round;
            tap_diag("round %" PRIu32 " on %s: seed %" PRIu64 ", %" PRIu32 " processes of %" PRIu32 " threads",
                     round, uris[i], seed, o.procs, o.threads);
            one_round(uris[i], seed, space);
            if (space != NULL && o.pool > 1) {
                pool_of_all(uris[i], seed, space);
            }
            if (space != NULL) {
                growth_note(growth, space);
            }
        }
    }
}

/* Of all rounds, for those who cannot know when the next begins: in an MPI job all but the first client. */
static unsigned longest_run(void)
{
    return o.soak ? 0 : 60 * o.minutes + (120 + 4 * o.seconds) * (o.minutes > 0 ? 2 : o.rounds + 1);
}

int main(int argc, char **argv)
{
    char uris[2][256];
    int n = 1;
    read_options(argc, argv);
    if (ranks_asked() && o.uri != NULL) {
        tap_timeout(longest_run());
        memo_space_t *space = ranks_open(o.uri);
        snprintf(uris[0], sizeof uris[0], "%s", o.uri);
        growth = growth_new();
        run(uris, 1, space);
        growth_judge(growth);
        tap_ok(ranks_close(space), "%s: all close", o.uri);
        return tap_done();
    }
    if (o.uri != NULL) {
        snprintf(uris[0], sizeof uris[0], "%s", o.uri);
    } else {
        n = 2;
        snprintf(uris[0], sizeof uris[0], "shm-bucket:t-storm-%d?size=48M", (int)getpid());
        snprintf(uris[1], sizeof uris[1], "shm-lock:t-storm-lock-%d?size=48M", (int)getpid());
    }
    spaces_guarded();
    for (int i = 0; i < n; i++) {
        space_guard(uris[i]);
    }
    run(uris, n, NULL);
    for (int i = 0; i < n; i++) {
        memo_unlink(uris[i]);
    }
    return tap_done();
}
