/*
 * kill_points.c - operations killed at each of their instructions, and what the survivors then find (C13).
 *
 *   kill_points.t [URI] [--op NAME] [--kills N] [--needs N] [--doubles N] [--all] [--seconds S] [--from
 * SCHEME/OP/K]
 *                 [--at K [--second PARTS]]
 *
 * For each operation, on each backend: how many instructions it takes is counted once; then victims are killed
 * after k of them, for k chosen at random (with --all: for every k). After each kill the survivors' operations must
 * proceed, every memo must be in one place, in order, and the space must be what it was: its figures say so. At
 * every other k the survivors first meet what the dead held, before anybody has looked for the dead.
 *
 * Then, at random, deaths of a victim before whose locks somebody stands: how long until he has them is printed.
 * Then double deaths: who repairs what the first left is killed in the midst of it. PARTS, of 2^32, says how far
 * in.
 *
 * --all adds its counts to those of all runs before (t/lib/tally.h). With --seconds it ends in time, and says from
 * where to go on.
 */
#include <getopt.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "t/lib/kill_points.h"
#include "t/lib/tally.h"
#include "t/tap.h"

enum { FAULTS = 6, REPAIRS = 1 << 20 };

static uint64_t kills = 4, doubles = 2, needs = 2, seconds;
static bool all, doubles_given, needs_given;
static uint64_t only_k = UINT64_MAX, only_second = UINT64_MAX, deadline = UINT64_MAX;
static const char *only_op;
static char from_scheme[16], from_op[32]; /* empty: it has been reached */
static uint64_t from_k;

/* Of one operation on one backend, from the survivor's process. */
typedef struct outcome {
    _Atomic uint64_t killed, doubled, instructions, faults;
    _Atomic uint64_t missed; /* kills that were made again, step by step */
    _Atomic uint64_t next;   /* k that is not done, or UINT64_MAX */
    _Atomic uint64_t place;  /* of the last kill */
    _Atomic int refused;     /* ptrace's error */
    uint64_t ns;
    char text[FAULTS][768];
} outcome_t;

static outcome_t *outcome;
static outcome_t sums;

/* Of all operations: nanoseconds from a death until who needed what the dead held had it. */
typedef struct repairs {
    _Atomic uint64_t count;
    uint64_t longest;
    char which[64];
    uint64_t ns[REPAIRS];
} repairs_t;

static repairs_t *repairs;

/* ---- one kill -------------------------------------------------------------------------------------------- */

static void fault(const kp_scene_t *scene, const kp_op_t *op, const kp_where_t *where, const kp_death_t *death)
{
    uint64_t n = atomic_fetch_add(&outcome->faults, 1);
    char second[96] = "";

    if (n >= FAULTS) {
        return;
    }
    if (where->twice) {
        snprintf(second, sizeof second, " --second %" PRIu32 " (%s at 0x%" PRIx64 ")", where->second,
                 death->second ? "killed" : "returned", death->second_place);
    }
    snprintf(outcome->text[n], sizeof outcome->text[n], "%s --at %" PRIu64 "%s (address 0x%" PRIx64 "%s): %s",
             op->name, where->k, second, death->place, death->finished ? ", returned" : "", scene->wrong);
}

static void note_repair(uint64_t ns, const kp_op_t *op, const kp_where_t *where)
{
    if (ns == 0 || repairs->count == REPAIRS) {
        return;
    }
    repairs->ns[repairs->count++] = ns;
    if (ns > repairs->longest) {
        repairs->longest = ns;
        snprintf(repairs->which, sizeof repairs->which, "%s --at %" PRIu64, op->name, where->k);
    }
}

static void look_after(kp_scene_t *scene, const kp_op_t *op, const kp_where_t *where, const kp_death_t *death)
{
    if (where->needed) {
        note_repair(kp_needed(scene, death->at), op, where);
    } else if (where->k % 2 == 1) {
        kp_meet(scene);
    }
    kp_await_repair(scene);
    op->after(scene);
    if (!scene->stuck) {
        kp_workers_done(scene);
        kp_drain(scene);
        kp_expect_as_before(scene);
    }
}

static void one_kill(kp_scene_t *scene, kp_driver_t *driver, const kp_op_t *op, const kp_where_t *where,
                     kp_death_t *death)
{
    kp_begin(scene);
    alarm(60); /* a hang that no other limit ends */
    if (op->prepare != NULL) {
        op->prepare(scene);
    }
    if (!kp_kill_at(driver, op, where, scene, death)) {
        kp_wrong(scene, "the driver is gone");
        scene->stuck = true;
    } else if (death->error == ECHILD) {
        kp_wrong(scene, "the victim ended by itself, status 0x%x", (unsigned)death->status);
    }
    scene->finished = death->finished;
    atomic_store(&scene->dead, true);
    atomic_store(&outcome->place, death->place);
    if (!scene->stuck && (death->error == 0 || death->error == ECHILD)) {
        look_after(scene, op, where, death);
    }
    if (scene->wrong[0] != '\0') {
        fault(scene, op, where, death);
    }
    if (!scene->stuck) {
        atomic_fetch_add(&outcome->killed, 1);
        atomic_fetch_add(&outcome->doubled, death->second);
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

/* Once through the whole. */
static bool count_instructions(kp_scene_t *scene, kp_driver_t *driver, const kp_op_t *op, kp_death_t *death)
{
    kp_where_t where = {.k = UINT64_MAX - 1};

    kp_open_and_close(scene->uri);
    scene->base = kp_stat(scene);
    one_kill(scene, driver, op, &where, death);
    if (death->error == EPERM || death->error == ENOSYS || death->error == EIO) {
        atomic_store(&outcome->refused, death->error);
        return false;
    }
    atomic_store(&outcome->instructions, death->steps);
    return death->error == 0;
}

/* At k. Who missed it is killed once more, by another way. */
static void single_death(kp_scene_t *scene, kp_driver_t *driver, const kp_op_t *op, uint64_t k)
{
    kp_where_t where = {.k = k};
    kp_death_t death;

    one_kill(scene, driver, op, &where, &death);
    if (death.missed && !scene->stuck) {
        atomic_fetch_add(&outcome->missed, 1);
        where.plain = true;
        one_kill(scene, driver, op, &where, &death);
    }
}

static bool goes_on(const kp_scene_t *scene)
{
    return !scene->stuck && kp_now() < deadline;
}

static void single_deaths(kp_scene_t *scene, kp_driver_t *driver, const kp_op_t *op, uint64_t total, uint64_t *seed)
{
    uint64_t n = op->slow && kills > 1 ? kills / 2 : kills, i, k = from_k;

    for (; all && k < total && goes_on(scene); k++) {
        single_death(scene, driver, op, k);
    }
    atomic_store(&outcome->next, all && k < total ? k : UINT64_MAX);
    for (i = 0; !all && i < n && !scene->stuck; i++) {
        /* One in each of n equal parts. */
        uint64_t from = total * i / n, to = total * (i + 1) / n;
        single_death(scene, driver, op, from + next_random(seed) % (to > from ? to - from : 1));
    }
}

static void double_deaths(kp_scene_t *scene, kp_driver_t *driver, const kp_op_t *op, uint64_t total, uint64_t *seed)
{
    uint64_t n = all && !doubles_given ? total / 8 + 8 : doubles;
    kp_death_t death;

    /* To know the way through a repair costs more than many kills: a sample has them for one operation in eight. */
    if (!all && !doubles_given && next_random(seed) % 8 != 0) {
        return;
    }
    for (uint64_t i = 0; i < n && goes_on(scene); i++) {
        kp_where_t where = {.k = next_random(seed) % total, .twice = true, .second = (uint32_t)next_random(seed)};
        one_kill(scene, driver, op, &where, &death);
    }
}

/* Somebody stands before the locks of the one that dies. */
static void needed_deaths(kp_scene_t *scene, kp_driver_t *driver, const kp_op_t *op, uint64_t total, uint64_t *seed)
{
    uint64_t n = all && !needs_given ? 32 : needs;
    kp_death_t death;

    for (uint64_t i = 0; i < n && op->meanwhile == NULL && goes_on(scene); i++) {
        kp_where_t where = {.k = next_random(seed) % total, .needed = true};
        one_kill(scene, driver, op, &where, &death);
    }
}

static void survive(const char *uri, const kp_op_t *op, uint64_t seed)
{
    static kp_scene_t scene;
    kp_driver_t driver;
    kp_death_t death;

    memset(&death, 0, sizeof death);
    if (!kp_driver_start(&driver, uri)) {
        fprintf(stderr, "# no driver\n");
        _exit(1);
    }
    scene.uri = uri;
    kp_open_scene(&scene, uri);
    if (!count_instructions(&scene, &driver, op, &death)) {
        _exit(0);
    }
    if (only_k != UINT64_MAX) {
        kp_where_t where = {.k = only_k, .twice = only_second != UINT64_MAX, .second = (uint32_t)only_second};
        one_kill(&scene, &driver, op, &where, &death);
    } else {
        single_deaths(&scene, &driver, op, death.steps + 1, &seed);
        needed_deaths(&scene, &driver, op, death.steps + 1, &seed);
        double_deaths(&scene, &driver, op, death.steps + 1, &seed);
    }
    kp_driver_end(&driver);
    _exit(0);
}

/* ---- all of them ----------------------------------------------------------------------------------------- */

static double rate(uint64_t n, uint64_t ns)
{
    return ns == 0 ? 0 : (double)n * 1e9 / (double)ns;
}

static void add_up(uint64_t faults)
{
    sums.killed += outcome->killed;
    sums.doubled += outcome->doubled;
    sums.missed += outcome->missed;
    sums.ns += outcome->ns;
    sums.faults += faults;
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
    add_up(faults);
    tap_ok(faults == 0 && atomic_load(&outcome->killed) > 0,
           "%s: %s, %" PRIu64 " instructions, %" PRIu64 " kills, %" PRIu64 " double, %" PRIu64
           " faults, %.0f kills/s",
           scheme, op->name, atomic_load(&outcome->instructions), atomic_load(&outcome->killed),
           atomic_load(&outcome->doubled), faults, rate(outcome->killed, outcome->ns));
    if (only_k != UINT64_MAX) {
        tap_diag("killed at 0x%" PRIx64, atomic_load(&outcome->place));
    }
    for (uint64_t i = 0; i < faults && i < FAULTS; i++) {
        tap_diag("%s", outcome->text[i]);
    }
    if (outcome->next != UINT64_MAX) {
        tap_diag("what is left: --from %s/%s/%" PRIu64, scheme, op->name, outcome->next);
    }
}

/* Whether --from comes before this one. */
static bool reached(const char *scheme, const kp_op_t *op)
{
    if (from_op[0] == '\0') {
        return true;
    }
    if (strcmp(from_op, op->name) != 0 || strcmp(from_scheme, scheme) != 0) {
        return false;
    }
    from_op[0] = '\0';
    return true;
}

static void run_op(const char *space, const kp_op_t *op, uint64_t seed)
{
    char scheme[16], uri[300];
    int status = 0;
    pid_t pid;

    snprintf(uri, sizeof uri, "%s%s%s", space,
             op->options == NULL          ? ""
             : strchr(space, '?') != NULL ? "&"
                                          : "?",
             op->options != NULL ? op->options : "");
    snprintf(scheme, sizeof scheme, "%.*s", (int)strcspn(uri, ":"), uri);
    if ((op->buckets_only && strcmp(scheme, "shm-lock") == 0) || !reached(scheme, op)) {
        return;
    }
    if (kp_now() >= deadline) {
        if (outcome->next == UINT64_MAX) {
            tap_diag("the time is over; what is left: --from %s/%s/0", scheme, op->name);
            outcome->next = 0;
        }
        return;
    }
    memo_unlink(uri);
    memset((void *)outcome, 0, sizeof *outcome);
    outcome->next = UINT64_MAX;
    outcome->ns = kp_now();
    pid = tap_fork();
    if (pid == 0) {
        survive(uri, op, seed);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        tap_bail("fork: %s", strerror(errno));
    }
    outcome->ns = kp_now() - outcome->ns;
    memo_unlink(uri);
    report(op, scheme, status);
    from_k = 0;
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

static int compare_ns(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double repair_us(uint64_t per_mille)
{
    uint64_t i = (repairs->count * per_mille + 999) / 1000;
    return (double)repairs->ns[i > 0 ? i - 1 : 0] / 1e3;
}

static void report_repairs(void)
{
    if (repairs->count == 0) {
        return;
    }
    qsort(repairs->ns, repairs->count, sizeof repairs->ns[0], compare_ns);
    tap_diag("from death to repaired, %" PRIu64
             " times somebody waited for it: p50 %.0f us, p99 %.0f us, p99.9 %.0f us, longest %.0f us (%s)",
             repairs->count, repair_us(500), repair_us(990), repair_us(999), (double)repairs->longest / 1e3,
             repairs->which);
}

static void report_sums(void)
{
    uint64_t singles = 0, twice = 0, faults = 0;

    tap_diag("in all: %" PRIu64 " kills, %" PRIu64 " of them double, %" PRIu64 " faults, %.0f kills/s; %" PRIu64
             " went another way and were made again step by step",
             sums.killed, sums.doubled, sums.faults, rate(sums.killed, sums.ns), sums.missed);
    report_repairs();
    if (all && tally_add("kill-points", sums.killed, &singles) &&
        tally_add("kill-points-double", sums.doubled, &twice) &&
        tally_add("kill-points-faults", sums.faults, &faults)) {
        tap_diag("with all runs before (%s): %" PRIu64 " kills, %" PRIu64 " of them double, %" PRIu64 " faults",
                 tally_path(), singles, twice, faults);
    }
}

static void option_from(const char *text)
{
    if (sscanf(text, "%15[^/]/%31[^/]/%" SCNu64, from_scheme, from_op, &from_k) != 3) {
        fprintf(stderr, "--from SCHEME/OP/K, as in shm-lock/put/0\n");
        exit(2);
    }
}

static const char *options(int argc, char **argv)
{
    static const struct option names[] = {
        {"op", 1, 0, 'o'},    {"all", 0, 0, 'a'},    {"kills", 1, 0, 'k'},   {"at", 1, 0, 't'},
        {"from", 1, 0, 'f'},  {"second", 1, 0, '2'}, {"seconds", 1, 0, 's'}, {"doubles", 1, 0, 'd'},
        {"needs", 1, 0, 'n'}, {0, 0, 0, 0}};

    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 'o') {
            only_op = optarg;
        } else if (c == 'a') {
            all = true;
        } else if (c == 'k') {
            kills = strtoull(optarg, NULL, 0);
        } else if (c == 'd') {
            doubles = strtoull(optarg, NULL, 0);
            doubles_given = true;
        } else if (c == 'n') {
            needs = strtoull(optarg, NULL, 0);
            needs_given = true;
        } else if (c == 'f') {
            option_from(optarg);
        } else if (c == 't') {
            only_k = strtoull(optarg, NULL, 0);
        } else if (c == '2') {
            only_second = strtoull(optarg, NULL, 0);
        } else if (c == 's') {
            seconds = strtoull(optarg, NULL, 0);
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
    repairs =
        mmap(NULL, sizeof *repairs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (outcome == MAP_FAILED || repairs == MAP_FAILED) {
        tap_bail("no memory");
    }
    outcome->next = UINT64_MAX;
    if (seconds != 0) {
        deadline = kp_now() + seconds * 1000000000;
    }
    for (int i = 0; i < (uri == NULL ? 2 : 1); i++) {
        snprintf(text, sizeof text, "%s:t-kill-points-%d?size=32M", i == 0 ? "shm-bucket" : "shm-lock",
                 (int)getpid());
        run(uri == NULL ? text : uri);
    }
    report_sums();
    return tap_done();
}
