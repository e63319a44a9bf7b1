/*
 * kill.c - processes are killed in the middle of whatever they do, and the others go on as if nothing had happened.
 *
 *   kill.t [URI] [--kills N] [--kind 0..6] [--survivors S] [--minutes M]
 *
 * N kills of each kind on each backend (default 60), in batches with a history each: victims that wait in an alt,
 * that hold memos, that put and get as fast as they can, that do anything at random, that are just opening the
 * space. Survivors put and take all the time. After each kill every survivor must finish operations; at the end of
 * a batch the checker accounts for every memo, and the space is what it was before. Last, workers of a pool: whose
 * place another takes; all of the work is done, and all who are left learn it.
 *
 * And the storm: eight processes that do anything at random, all of them victims: every few milliseconds one is
 * killed and replaced, and one time in ten the next right behind it, while somebody may be repairing. --minutes:
 * nothing but storms, for so long; their counts are added to those of all runs before (t/lib/tally.h).
 */
#include <getopt.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "t/lib/actor.h"
#include "t/lib/tally.h"
#include "t/lib/team.h"
#include "t/lib/wedge.h"
#include "t/tap.h"

enum kind { WAITING, HOLDING, TIGHT, ANYTHING, OPENING, POOLING, STORM, KINDS };
enum { WORKERS = 6, FOLDERS = 12, SURVIVORS = 8, BATCH = 60, RECORDS = 1500000 };

static const char *const kind_names[KINDS] = {"waiting in alt", "holding memos", "putting and getting",
                                              "doing anything", "opening",       "of a pool",
                                              "in a storm"};

enum { STORM_PROCESSES = 8, STORM_LIVES = 16000, STORM_MS = 2500, STORM_LONG_MS = 20000 };

static uint32_t minutes;
static struct {
    uint64_t kills, operations, faults;
} storms;

static uint32_t kills = 60, survivors = 2, only_kind = KINDS;

typedef struct shared {
    actor_world_t world;
    _Atomic uint64_t done[SURVIVORS]; /* operations of each */
    _Atomic uint32_t ready;           /* the victim has come to where it may be killed */
} shared_t;

typedef struct batch {
    shared_t *shared;
    history_t *h;
    enum kind kind;
    bool drop;
    uint64_t seed;
    const char *uri;
    memo_space_t *space;
    actor_t parent;
    pid_t survivors[SURVIVORS];
    history_tape_t *tapes[STORM_PROCESSES]; /* of those in a storm */
    uint32_t killed;
    uint32_t odd;     /* ended by themselves */
    uint64_t longest; /* from a kill until every survivor had finished another operation */
} batch_t;

/* ---- victims --------------------------------------------------------------------------------------------- */

static void wait_in_alt(actor_t *a)
{
    uint32_t n = 2 + actor_below(a, 7);
    for (uint32_t i = 0; i < n; i++) {
        a->numbers[i] = actor_folder(a);
        a->names[i] = a->world->names[a->numbers[i]];
    }
    for (;;) {
        memo_t *m;
        size_t which;
        if (!actor_room(a)) {
            pause();
        }
        uint32_t set = history_set(a->h, a->tape, a->numbers, n);
        history_record_t *r = history_begin(a->h, a->tape,
                                            &(history_record_t){.kind = HISTORY_TAKE,
                                                                .timeout = MEMO_FOREVER,
                                                                .set = set,
                                                                .count = n,
                                                                .folder = a->numbers[0],
                                                                .flags = HISTORY_LISTED});
        if (memo_alt(a->space, a->names, n, &m, &which) != MEMO_OK) {
            return;
        }
        uint64_t ret = history_now();
        r->folder = a->numbers[which];
        actor_took(a, r, m, ret);
        actor_finish(a, a->n_held - 1, true);
    }
}

/* Some that were taken, and some that nobody but it has ever seen. */
static void hold_memos(actor_t *a, shared_t *shared)
{
    memo_t *never_put;
    for (uint32_t n = actor_below(a, 6); n > 0; n--) {
        if (memo_alloc(a->space, actor_below(a, 65536), &never_put) == MEMO_OK) {
            memset(memo_data(never_put), 0x55, memo_size(never_put));
        }
    }
    for (uint32_t n = 1 + actor_below(a, ACTOR_HELD - 1); n > 0; n--) {
        actor_take_keep(a, actor_folder(a));
    }
    atomic_store(&shared->ready, 1);
    for (;;) {
        pause();
    }
}

static void put_and_get(actor_t *a)
{
    uint32_t folder = actor_folder(a);
    for (;;) {
        if (actor_put_plain(a, folder, 8 + actor_below(a, 100)) == MEMO_ENOMEM) {
            pause();
        }
        actor_take_plain(a, folder, 0);
    }
}

static void victim(batch_t *b, history_tape_t *tape)
{
    memo_space_t *space;
    actor_t a;
    if (memo_open(&space, b->shared->world.uri) != MEMO_OK) {
        fprintf(stderr, "# a victim could not open the space: %s\n", memo_errmsg());
        _exit(1);
    }
    actor_begin(&a, &b->shared->world, space, b->h, tape, b->seed);
    if (b->kind == HOLDING) {
        hold_memos(&a, b->shared);
    }
    atomic_store(&b->shared->ready, 1);
    if (b->kind == WAITING) {
        wait_in_alt(&a);
    } else if (b->kind == TIGHT) {
        put_and_get(&a);
    }
    while (actor_step(&a)) {
    }
    for (;;) {
        pause();
    }
}

/* ---- survivors ------------------------------------------------------------------------------------------- */

/* Plain puts and takes, and now and then anything. */
static void survivor_step(actor_t *a)
{
    uint32_t what = actor_below(a, 10), folder = actor_folder(a);
    if (what == 0) {
        actor_step(a);
    } else if (actor_below(a, 100) < (a->memos < 3 * FOLDERS ? 65 : 35)) {
        actor_put_plain(a, folder, actor_below(a, 300));
    } else {
        actor_take_plain(a, folder, what < 4 ? actor_timeout(a) : 0);
    }
}

static int survive(batch_t *b, history_tape_t *tape, uint32_t number)
{
    memo_space_t *space;
    actor_t a;
    if (memo_open(&space, b->shared->world.uri) != MEMO_OK) {
        fprintf(stderr, "# a survivor could not open the space: %s\n", memo_errmsg());
        return 1;
    }
    actor_begin(&a, &b->shared->world, space, b->h, tape, b->seed);
    while (!atomic_load(&b->shared->world.stop)) {
        memo_stat_t stat;
        if (a.steps++ % 16 == 0 && memo_stat(space, &stat, sizeof stat) == MEMO_OK) {
            a.memos = stat.memos;
        }
        survivor_step(&a);
        atomic_fetch_add(&b->shared->done[number], 1);
    }
    actor_end(&a);
    return memo_close(space) == MEMO_OK ? 0 : 1;
}

static void start_survivors(batch_t *b)
{
    for (uint32_t s = 0; s < survivors; s++) {
        history_tape_t *tape = history_tape(b->h);
        b->survivors[s] = tap_fork();
        if (b->survivors[s] < 0) {
            tap_bail("fork: %s", strerror(errno));
        }
        if (b->survivors[s] == 0) {
            _exit(survive(b, tape, s));
        }
    }
}

static bool end_survivors(batch_t *b)
{
    bool right = true;
    atomic_store(&b->shared->world.stop, true);
    for (uint32_t s = 0; s < (b->kind == STORM ? STORM_PROCESSES : survivors); s++) {
        int status;
        waitpid(b->survivors[s], &status, 0);
        right = right && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return right;
}

/* ---- killing --------------------------------------------------------------------------------------------- */

static void sleep_ns(uint64_t ns)
{
    nanosleep(&(struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)}, NULL);
}

/* How long until each survivor has finished an operation begun after now; two in a row are enough. */
static uint64_t until_all_move(batch_t *b)
{
    uint64_t start = history_now(), before[SURVIVORS];
    for (uint32_t s = 0; s < survivors; s++) {
        before[s] = atomic_load(&b->shared->done[s]);
    }
    for (uint32_t s = 0; s < survivors; s++) {
        while (atomic_load(&b->shared->done[s]) < before[s] + 2) {
            sleep_ns(100000);
        }
    }
    return history_now() - start;
}

static void kill_one(batch_t *b)
{
    history_tape_t *tape = history_tape(b->h);
    int status;
    if (tape == NULL) {
        tap_bail("no tape for a victim");
    }
    atomic_store(&b->shared->ready, 0);
    pid_t pid = tap_fork();
    if (pid == 0) {
        victim(b, tape);
        _exit(1);
    }
    while (b->kind != OPENING && atomic_load(&b->shared->ready) == 0 && waitpid(pid, &status, WNOHANG) == 0) {
        sleep_ns(50000);
    }
    sleep_ns(actor_below(&b->parent, b->kind == OPENING ? 1500000 : 3000000));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    tape->killed = 1;
    b->killed++;
    uint64_t longest = until_all_move(b);
    b->longest = longest > b->longest ? longest : b->longest;
}

/* ---- the storm ------------------------------------------------------------------------------------------- */

static int live_in_storm(batch_t *b, history_tape_t *tape)
{
    memo_space_t *space;
    actor_t a;
    if (memo_open(&space, b->shared->world.uri) != MEMO_OK) {
        fprintf(stderr, "# a process could not open the space: %s\n", memo_errmsg());
        return 1;
    }
    actor_begin(&a, &b->shared->world, space, b->h, tape, b->seed);
    a.closes = true;
    while (!atomic_load(&b->shared->world.stop) && actor_step(&a)) {
    }
    actor_end(&a);
    return memo_close(a.space) == MEMO_OK ? 0 : 1;
}

static void start_life(batch_t *b, uint32_t number)
{
    b->tapes[number] = history_tape(b->h);
    if (b->tapes[number] == NULL) {
        tap_bail("no tape for a process");
    }
    b->survivors[number] = tap_fork();
    if (b->survivors[number] < 0) {
        tap_bail("fork: %s", strerror(errno));
    }
    if (b->survivors[number] == 0) {
        _exit(live_in_storm(b, b->tapes[number]));
    }
}

static void end_life(batch_t *b, uint32_t number)
{
    int status;
    kill(b->survivors[number], SIGKILL);
    waitpid(b->survivors[number], &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        tap_diag("a process ended by itself, status 0x%x", (unsigned)status);
        b->odd++;
    }
    b->tapes[number]->killed = 1;
    b->killed++;
}

static void blow(batch_t *b, uint64_t ms)
{
    uint64_t end = history_now() + ms * 1000000;
    for (uint32_t s = 0; s < STORM_PROCESSES; s++) {
        start_life(b, s);
    }
    while (history_now() < end && b->killed < STORM_LIVES && history_left(b->h) > RECORDS / 4) {
        uint32_t number = actor_below(&b->parent, STORM_PROCESSES);
        sleep_ns(actor_below(&b->parent, actor_below(&b->parent, 10) == 0 ? 200000 : 5000000));
        end_life(b, number);
        start_life(b, number);
    }
    tap_ok(b->odd == 0, "none but the killed ended");
}

/* ---- a batch --------------------------------------------------------------------------------------------- */

static memo_stat_t stat_of(memo_space_t *space)
{
    memo_stat_t stat;
    memset(&stat, 0, sizeof stat);
    memo_stat(space, &stat, sizeof stat);
    return stat;
}

static bool warm_up(actor_t *a)
{
    for (uint32_t f = 0; f < a->world->folders; f++) {
        actor_put_plain(a, f, (size_t)8 << f % 9);
    }
    return actor_drain(a);
}

/* Who closes takes along what could not be given back before, because somebody was reading it. */
static void open_and_close(const char *uri)
{
    memo_space_t *space;
    if (memo_open(&space, uri) == MEMO_OK) {
        memo_close(space);
    }
}

/* The dead are found by those who live: within 2 seconds there are no more clients than before. */
static void after_the_dead(batch_t *b, uint64_t clients)
{
    uint64_t end = history_now() + 2000000000u;
    memo_stat_t now = stat_of(b->space);
    while (now.clients > clients && history_now() < end) {
        sleep_ns(1000000);
        now = stat_of(b->space);
    }
}

static void say(const char *sentence, void *arg)
{
    (void)arg;
    tap_diag("%s", sentence);
}

/* The space is what it was before. */
static memo_stat_t check_space(batch_t *b, const memo_stat_t *before)
{
    after_the_dead(b, before->clients);
    open_and_close(b->uri);
    memo_stat_t now = stat_of(b->space);
    tap_is_int((long long)now.clients, (long long)before->clients, "clients are as many as before");
    tap_is_int((long long)now.receivers, (long long)before->receivers, "receivers are as many as before");
    bool empty = now.memos == 0 && now.folders == 0 && now.waiters == 0;
    if (!tap_ok(empty, "the drained space holds no memo, folder or waiter")) {
        tap_diag("memos %" PRIu64 ", folders %" PRIu64 ", waiters %" PRIu64, now.memos, now.folders, now.waiters);
    }
    tap_is_int((long long)now.used, (long long)before->used, "as much memory is in use as before");
    return now;
}

static void check_batch(batch_t *b, const memo_stat_t *before)
{
    history_rules_t rules = {.drop = b->drop, .limits = b->shared->world.limits, .say = say};
    history_report_t r;
    bool right = history_check(b->h, &rules, &r);
    tap_diag("%" PRIu64 " puts, %" PRIu64 " takes, %" PRIu64 " copies, %" PRIu64 " unfinished, %" PRIu64
             " redelivered, %" PRIu64 " gone with the dead",
             r.puts, r.takes, r.copies, r.pending, r.redelivered, r.missing);
    if (!tap_ok(right, "nothing was lost, doubled or out of order")) {
        tap_diag("that batch's seed was %" PRIu64, b->seed);
    }
    if (b->kind == STORM) {
        storms.kills += b->killed;
        storms.operations += r.puts + r.takes + r.copies + r.nones + r.timeouts + r.refusals + r.cancels;
        storms.faults += r.violations > 0 ? r.violations - 1 : 0; /* beside the check that failed */
    }
    memo_stat_t now = check_space(b, before);
    if (b->kind != OPENING && b->kind != STORM) { /* those may not have been there yet */
        tap_is_int((long long)(now.deaths - before->deaths), b->killed, "every death was noticed");
    }
    if (b->drop) {
        tap_ok(now.dropped - before->dropped >= r.missing, "what was dropped is counted: %" PRIu64 " of %" PRIu64,
               now.dropped - before->dropped, r.missing);
    }
}

static void play(batch_t *b, uint32_t most)
{
    tap_ok(warm_up(&b->parent), "the space works");
    memo_stat_t before = stat_of(b->space);
    if (b->kind == STORM) {
        blow(b, minutes != 0 ? STORM_LONG_MS : STORM_MS);
    } else {
        start_survivors(b);
        until_all_move(b);
    }
    while (b->kind != STORM && b->killed < most && history_left(b->h) > RECORDS / 4) {
        kill_one(b);
    }
    tap_ok(end_survivors(b), "the survivors came to their end after %" PRIu32 " kills", b->killed);
    after_the_dead(b, before.clients);
    tap_ok(actor_drain(&b->parent), "the space could be drained");
    uint64_t slowest = atomic_load(&b->shared->world.slowest);
    tap_diag("after a kill all survivors had moved within %.3f ms; the slowest call took %.3f ms beyond its time",
             (double)b->longest / 1e6, (double)slowest / 1e6);
    tap_ok(b->longest < 2000000000u && slowest < 2000000000u, "no survivor stood still");
    check_batch(b, &before);
}

/* Up to `most` kills; how many it were. */
static uint32_t one_batch(const char *uri, enum kind kind, bool drop, uint32_t most, uint64_t seed)
{
    batch_t b = {.kind = kind, .drop = drop, .seed = seed, .uri = uri};
    int failed = tap_state.failed;
    b.shared = mmap(NULL, sizeof *b.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    b.h = history_new(RECORDS, RECORDS, (kind == STORM ? STORM_LIVES : most) + SURVIVORS + 2, FOLDERS);
    if (b.shared == MAP_FAILED || b.h == NULL) {
        tap_bail("no memory for a history");
    }
    tap_timeout(120);
    wedge_watch(uri, b.h, seed);
    actor_world(&b.shared->world, uri, FOLDERS, 100000);
    b.shared->world.common = FOLDERS; /* nobody could shuttle alone */
    memset(b.shared->world.limits, 0, sizeof b.shared->world.limits);
    tap_diag("%s: victims %s; seed %" PRIu64, uri, kind_names[kind], seed);
    if (tap_is_int(memo_open(&b.space, uri), MEMO_OK, "%s opens", uri)) {
        actor_begin(&b.parent, &b.shared->world, b.space, b.h, history_tape(b.h), seed);
        play(&b, most);
        actor_end(&b.parent);
        memo_close(b.space);
    } else {
        tap_diag("%s", memo_errmsg());
    }
    if (kind == STORM) {
        storms.faults += (uint64_t)(tap_state.failed - failed);
    }
    wedge_watch(uri, NULL, seed);
    history_delete(b.h);
    munmap(b.shared, sizeof *b.shared);
    return b.killed;
}

/* ---- the pool -------------------------------------------------------------------------------------------- */

/* One worker, at an instant of its work, or before it or after it. Whether it was there. */
static bool kill_worker(team_t *team, actor_t *chance)
{
    uint32_t number = actor_below(chance, WORKERS);
    int status;
    sleep_ns(actor_below(chance, 3000000));
    kill(team->pids[number], SIGKILL);
    waitpid(team->pids[number], &status, 0);
    team_start_one(team, number);
    return WIFSIGNALED(status);
}

/* One job, done by workers that are killed all the time. How many were. */
static uint32_t one_job(const char *uri, memo_space_t *space, uint32_t most, actor_t *chance)
{
    team_t team;
    uint32_t killed = 0;
    if (!team_begin(&team, uri, WORKERS, chance->random, NULL)) {
        tap_bail("no pool");
    }
    team.pool->mortal = true;
    atomic_store(&team.pool->ended, true); /* it is the only job */
    if (!pool_root(team.pool, space)) {
        tap_bail("no first node");
    }
    team_start(&team);
    while (killed < most && !pool_done(team.pool)) {
        killed += kill_worker(&team, chance);
    }
    bool right = team_end(&team);
    uint32_t left = pool_clear(space);
    tap_ok(right && pool_done(team.pool) && left == 0, "after %" PRIu32 " kills the job was done, and known to be",
           killed);
    if (left > 0) {
        tap_diag("%" PRIu32 " memos were left", left);
    }
    pool_delete(team.pool);
    return killed;
}

static uint32_t pool_batch(const char *uri, uint32_t most, uint64_t seed)
{
    actor_t chance = {.random = seed}; /* of which nothing but its dice is used */
    memo_space_t *space;
    uint32_t killed = 0;
    tap_timeout(120);
    wedge_watch(uri, NULL, seed);
    tap_diag("%s: victims %s; seed %" PRIu64, uri, kind_names[POOLING], seed);
    if (memo_open(&space, uri) != MEMO_OK) {
        tap_bail("%s", memo_errmsg());
    }
    pool_clear(space);
    memo_stat_t before = stat_of(space);
    for (uint32_t jobs = 0; killed < most && jobs < most; jobs++) {
        killed += one_job(uri, space, most - killed, &chance);
    }
    batch_t b = {.uri = uri, .space = space};
    check_space(&b, &before);
    memo_close(space);
    return killed;
}

static uint32_t run(const char *uri, bool drop)
{
    uint32_t killed = 0, seeds = 0;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        /* A job of which parts are dropped is never done. */
        if ((only_kind != KINDS && kind != only_kind) || (drop && kind == POOLING)) {
            continue;
        }
        uint32_t left = kind == STORM ? 1 : drop ? kills / 3 : kills;
        while (left > 0) {
            uint32_t most = left < BATCH ? left : BATCH;
            uint64_t seed = tap_seed() + seeds++;
            uint32_t n = kind == POOLING ? pool_batch(uri, most, seed) : one_batch(uri, kind, drop, most, seed);
            killed += n;
            left = n == 0 || n > left ? 0 : left - n;
        }
    }
    memo_unlink(uri);
    return killed;
}

static void report_storms(void)
{
    uint64_t all_kills = 0, operations = 0, faults = 0;
    tap_diag("storms: %" PRIu64 " kills, %" PRIu64 " operations, %" PRIu64 " faults", storms.kills,
             storms.operations, storms.faults);
    if (minutes != 0 && tally_add("storm-kills", storms.kills, &all_kills) &&
        tally_add("storm-operations", storms.operations, &operations) &&
        tally_add("storm-faults", storms.faults, &faults)) {
        tap_diag("with all runs before (%s): %" PRIu64 " kills, %" PRIu64 " operations, %" PRIu64 " faults",
                 tally_path(), all_kills, operations, faults);
    }
}

static const char *const schemes[2] = {"shm-bucket", "shm-lock"};

/* Each backend, with on_death=return and with drop. */
static uint32_t run_one(unsigned i)
{
    char text[256];
    snprintf(text, sizeof text, "%s:t-kill-%u-%d?size=48M%s", schemes[i % 2], i % 4, (int)getpid(),
             i % 4 < 2 ? "" : "&on_death=drop");
    return run(text, i % 4 >= 2);
}

static uint32_t blow_for_minutes(void)
{
    uint64_t end = history_now() + (uint64_t)minutes * 60000000000u;
    uint32_t killed = 0;
    only_kind = STORM;
    for (unsigned i = 0; history_now() < end; i++) {
        killed += run_one(i);
        tap_state.seed++;
        tap_diag("so far %" PRIu64 " kills, %" PRIu64 " operations, %" PRIu64 " faults", storms.kills,
                 storms.operations, storms.faults);
    }
    return killed;
}

static bool no_processes(void)
{
#if defined(__SANITIZE_THREAD__)
    return true;
#else
    return getenv("MEMO_TSAN") != NULL;
#endif
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"kills", 1, 0, 'k'}, {"kind", 1, 0, 'n'},    {"survivors", 1, 0, 's'},
                                            {"uri", 1, 0, 'u'},   {"minutes", 1, 0, 'm'}, {0, 0, 0, 0}};
    const char *uri = getenv("MEMO_TEST_URI");
    uint32_t killed = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'k':
            kills = (uint32_t)strtoul(optarg, NULL, 0);
            break;
        case 'n':
            only_kind = (uint32_t)strtoul(optarg, NULL, 0);
            break;
        case 's':
            survivors = (uint32_t)strtoul(optarg, NULL, 0);
            survivors = survivors < 1 ? 1 : survivors > SURVIVORS ? SURVIVORS : survivors;
            break;
        case 'u':
            uri = optarg;
            break;
        case 'm':
            minutes = (uint32_t)strtoul(optarg, NULL, 0);
            break;
        default:
            tap_bail("usage: kill.t [URI] [--kills N] [--kind 0..6] [--survivors S] [--minutes M]");
        }
    }
    uri = optind < argc ? argv[optind] : uri;
    tap_seed();
    if (no_processes()) {
        tap_skip("the thread sanitizer does not see across processes", "processes are killed");
        return tap_done();
    }
    if (uri != NULL) {
        killed = run(uri, strstr(uri, "on_death=drop") != NULL);
    } else if (minutes != 0) {
        killed = blow_for_minutes();
    } else {
        for (unsigned i = 0; i < 4; i++) {
            killed += run_one(i);
        }
    }
    report_storms();
    tap_diag("%" PRIu32 " kills in all", killed);
    return tap_done();
}
