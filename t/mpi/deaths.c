/*
 * deaths.c - a rank of t/mpi_deaths.sh: clients move tokens about by every kind of call, and most of them die of
 * it.
 *
 *   deaths URI SEED [WAY [TOKENS]]
 *
 * WAY is how those end that are to die: `kill` (by a timer, at any instruction; the default), `exit` (the process
 * ends at some moment by exit(), without closing), `mixed`, or `none`. The first client and the last live; who
 * dies, when, and by which clock, comes from the seed.
 *
 * All ranks map a ledger, a file in MEMO_TEST_ROOM, which says of each token whether its first put was
 * acknowledged, who holds it, and how often it was taken for good. First all take and give at random; then, once
 * those that were to die meanwhile are gone, the rest take what is there until the space is quiet, while more of
 * them die. In the end the first client judges, and prints TAP: each token that was ever put has been taken for
 * good once, a memo that the dead held came back marked, nobody waited long, and nothing is left in the
 * space.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "libmemo/memo_mpi.h"
#include "t/tap.h"

enum { RANKS = 16, TOKENS = 4096, FOLDERS = 6, LIMIT = 4, MS = 1000000, BIG = 100000 };

/* What a server or a living client keeps of the memory it has had, for use again. */
#define KEPT ((uint64_t)128 * 1024)

#define LONG_NS (INT64_C(5000) * MS)

typedef struct token {
    _Atomic uint32_t acknowledged; /* its first put */
    _Atomic int32_t holder;        /* rank + 1, from after a take until before the next put */
    _Atomic uint32_t ends;         /* taken for good */
    _Atomic int32_t ender;         /* rank + 1, who did so last */
    _Atomic uint32_t way;          /* of its last putting, for who looks for it */
} token_t;

typedef struct rank {
    _Atomic int32_t pid;
    _Atomic uint32_t phase;   /* reached */
    _Atomic uint32_t ended;   /* lived to the end of all */
    _Atomic uint32_t accused; /* by those that met a memo twice: right only if it is dead */
    _Atomic uint32_t unmarked;
    _Atomic uint32_t errors, calls, taken;
    _Atomic int64_t longest_ns; /* beyond what the call was to wait */
    _Atomic uint32_t longest_op;
    _Atomic uint32_t tokens; /* it has made */
} rank_t;

typedef struct ledger {
    rank_t rank[RANKS];
    token_t token[RANKS][TOKENS];
} ledger_t;

/* A memo's bytes; all of the rest are the id's lowest. */
typedef struct body {
    uint64_t id; /* rank << 32 | number + 1; 0: no token */
    uint64_t size;
} body_t;

typedef enum { LIVES, DIES_EARLY, DIES_LATE } fate_t;

static ledger_t *ledger;
static rank_t *mine;
static memo_space_t *space;
static memo_folder_t folder[FOLDERS + 1]; /* the last is limited */
static int me, ranks, most_tokens = 200;
static uint64_t state;
static const char *way;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

static uint64_t below(uint64_t n)
{
    return (next_random(&state) >> 11) % n;
}

static void nap(int64_t ns)
{
    nanosleep(&(struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}, NULL);
}

static const memo_folder_t *any_folder(void)
{
    return &folder[below(FOLDERS)];
}

/* ---- dying ------------------------------------------------------------------------------------------------- */

static _Atomic bool must_exit;

static void on_alarm(int number)
{
    (void)number;
    if (way[0] == 'k' || (way[0] == 'm' && me % 2 == 0))
        kill(getpid(), SIGKILL);
    must_exit = true;
}

static uint64_t fate_seed(uint64_t seed, int rank)
{
    uint64_t s = (seed + (uint64_t)rank * 7919 + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (int i = 0; i < 4; i++)
        next_random(&s);
    return s;
}

static fate_t fate_of(uint64_t seed, int rank)
{
    uint64_t s = fate_seed(seed, rank);
    if (rank == 0 || rank == ranks - 1 || way[0] == 'n')
        return LIVES;
    return next_random(&s) % 3 < 2 ? DIES_EARLY : DIES_LATE;
}

/* By a clock that runs only while the process computes, or by the wall's, which finds it waiting too. */
static void set_timer(uint64_t seed, fate_t fate)
{
    uint64_t s = fate_seed(seed, me) * 3;
    bool computing = next_random(&s) % 2 == 0;
    long us = 1000 + (long)(next_random(&s) % (fate == DIES_EARLY ? 250000 : computing ? 20000 : 120000));
    struct itimerval t = {.it_value = {.tv_usec = us}};
    if (computing && fate == DIES_EARLY)
        t.it_value.tv_usec = us / 4;
    signal(computing ? SIGVTALRM : SIGALRM, on_alarm);
    signal(SIGALRM, on_alarm);
    setitimer(computing ? ITIMER_VIRTUAL : ITIMER_REAL, &t, NULL);
    if (computing) /* it may have nothing to compute */
        setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_sec = 1}}, NULL);
}

static void exit_if_due(void)
{
    if (must_exit)
        exit(0);
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

static token_t *token_of(uint64_t id)
{
    uint64_t rank = id >> 32, number = (uint32_t)id;
    return id != 0 && rank < RANKS && number <= TOKENS ? &ledger->token[rank][number - 1] : NULL;
}

static void fault(const char *what, uint64_t a, uint64_t b)
{
    mine->errors++;
    fprintf(stderr, "# rank %d: %s (%" PRIx64 ", %" PRIu64 ") %s\n", me, what, a, b, memo_errmsg());
}

static bool is_whole(memo_t *m)
{
    const body_t *b = memo_data(m);
    const unsigned char *bytes = (const void *)(b + 1);
    if (memo_size(m) < sizeof *b || b->size != memo_size(m))
        return false;
    for (uint64_t i = 0; i < b->size - sizeof *b; i++)
        if (bytes[i] != (unsigned char)b->id)
            return false;
    return true;
}

static uint64_t id_of(memo_t *m)
{
    const body_t *b = memo_data(m);
    return b->id;
}

/* Somebody else had it: he must be dead, and it marked. */
static void accuse(int32_t who, memo_t *m)
{
    if (who == 0)
        return;
    ledger->rank[who - 1].accused++;
    if (memo_redeliveries(m) == 0) {
        ledger->rank[who - 1].unmarked++;
        fault("what somebody held comes unmarked", id_of(m), (uint64_t)who - 1);
    }
}

static void taken(memo_t *m)
{
    if (!is_whole(m)) {
        fault("a memo was altered", id_of(m), memo_size(m));
        return;
    }
    mine->taken++;
    token_t *t = token_of(id_of(m));
    if (t == NULL)
        return;
    accuse(atomic_exchange(&t->holder, me + 1), m);
    if (t->ends > 0)
        accuse(t->ender, m);
}

/* Ours no more, whatever happens next; who puts it in vain calls taken_again. */
static void let_go(memo_t *m, uint32_t how)
{
    token_t *t = token_of(id_of(m));
    if (t != NULL) {
        t->way = how;
        t->holder = 0;
    }
}

static void taken_again(memo_t *m)
{
    token_t *t = token_of(id_of(m));
    if (t != NULL)
        t->holder = me + 1;
}

static void end_token(memo_t *m)
{
    token_t *t = token_of(id_of(m));
    if (t != NULL) {
        t->ender = me + 1;
        t->ends++;
        t->holder = 0;
    }
    memo_free(m);
}

static memo_t *new_memo(uint64_t id)
{
    uint64_t size = sizeof(body_t) + (below(16) == 0 ? below(BIG) : below(200));
    memo_t *m = NULL;
    if (memo_alloc(space, size, &m) != MEMO_OK) {
        fault("no memory", id, size);
        return NULL;
    }
    body_t *b = memo_data(m);
    memset(b + 1, (int)(unsigned char)id, size - sizeof *b);
    b->id = id;
    b->size = size;
    return m;
}

/* ---- calls ------------------------------------------------------------------------------------------------- */

/* Whoever lives is not to be held up. */
static void timed(int64_t began, int64_t may_wait, unsigned op)
{
    int64_t took = now_ns() - began - may_wait;
    mine->calls++;
    if (took > mine->longest_ns) {
        mine->longest_ns = took;
        mine->longest_op = op;
    }
}

static int start_and_collect(int64_t wait, memo_t **m)
{
    memo_select_t select = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    select.folders = folder;
    select.count = FOLDERS;
    select.choice = MEMO_ROTATE;
    int rc = memo_start(space, &select, &r);
    if (rc == MEMO_OK)
        rc = below(2) == 0 ? memo_wait(r, m, NULL, wait) : memo_test(r, m, NULL);
    return rc == MEMO_PENDING ? memo_cancel(r) : rc;
}

static int take(unsigned op, int64_t wait, memo_t *m[2])
{
    size_t which = 0;
    const memo_folder_t *f = any_folder();
    switch (op) {
    case 0:
        return memo_get_for(space, f, &m[0], wait);
    case 1:
        return memo_get_skip(space, f, &m[0]);
    case 2:
        return memo_alt_for(space, folder, FOLDERS, &m[0], &which, wait);
    case 3:
        return memo_alt_skip(space, folder, FOLDERS, &m[0], &which);
    case 4:
        return memo_strict_alt_skip(space, folder, FOLDERS, &m[0], &which);
    case 5:
        return memo_get_all_for(space, f == &folder[FOLDERS - 1] ? f - 1 : f, 2, m, wait);
    case 6:
        return start_and_collect(wait, &m[0]);
    case 7:
        return memo_get_skip(space, &folder[FOLDERS], &m[0]);
    default:
        return below(2) == 0 ? memo_get_copy_for(space, f, &m[0], wait) : memo_get_copy_skip(space, f, &m[0]);
    }
}

static int give(unsigned op, int64_t wait, memo_t *m)
{
    int rc;
    switch (op) {
    case 0:
        return memo_replace(m);
    case 1:
        return memo_put_delayed(space, any_folder(), any_folder(), m);
    case 2:
        rc = memo_put_start(space, any_folder(), m);
        return rc == MEMO_OK ? memo_flush(space) : rc;
    case 3:
        return memo_put_for(space, &folder[FOLDERS], m, wait);
    case 4:
        return memo_put(space, &folder[FOLDERS], m);
    default:
        return memo_put(space, any_folder(), m);
    }
}

static bool gives(memo_t *m)
{
    unsigned op = (unsigned)below(10);
    int64_t wait = (int64_t)below(3) * MS, began = now_ns();
    let_go(m, op);
    int rc = give(op, wait, m);
    timed(began, op == 3 ? wait : 0, 100 + op);
    if (rc == MEMO_OK)
        return true;
    taken_again(m);
    if (rc != MEMO_EFULL && rc != MEMO_TIMEDOUT && !(op == 0 && rc == MEMO_EINVAL))
        fault("a put fails", op, (uint64_t)-rc);
    return false;
}

static void put_away(memo_t *m)
{
    if (below(20) == 0)
        end_token(m);
    else
        for (int i = 0; i < 100 && !gives(m); i++)
            ;
}

static void take_some(void)
{
    memo_t *m[2] = {NULL, NULL};
    unsigned op = (unsigned)below(10);
    int64_t wait = (int64_t)below(5) * MS, began = now_ns();
    int rc = take(op, wait, m);
    timed(began, wait, op);
    if (rc < 0)
        fault("a take fails", op, (uint64_t)-rc);
    if (rc != MEMO_OK)
        return;
    if (op >= 8) { /* a copy */
        if (!is_whole(m[0]))
            fault("a copy was altered", id_of(m[0]), memo_size(m[0]));
        memo_free(m[0]);
        return;
    }
    for (int i = 0; i < 2; i++)
        if (m[i] != NULL)
            taken(m[i]);
    if (below(8) == 0)
        nap((int64_t)below(2 * MS));
    for (int i = 0; i < 2; i++)
        if (m[i] != NULL)
            put_away(m[i]);
}

static void make_one(uint32_t number)
{
    memo_t *m = new_memo((uint64_t)me << 32 | (number + 1));
    if (m == NULL)
        return;
    mine->tokens = number + 1;
    ledger->token[me][number].holder = me + 1;
    for (int i = 0; i < 1000; i++)
        if (gives(m)) {
            ledger->token[me][number].acknowledged = 1;
            return;
        }
    end_token(m);
}

/* Makes its tokens and moves all about. */
static void work(int64_t ns)
{
    int64_t end = now_ns() + ns;
    uint32_t made = 0;
    while (now_ns() < end) {
        if (made < (uint32_t)most_tokens && below(3) == 0)
            make_one(made++);
        take_some();
        exit_if_due();
    }
}

/* ---- until quiet ------------------------------------------------------------------------------------------- */

static void take_until_quiet(void)
{
    memo_select_t select = MEMO_SELECT_INIT;
    int64_t began = now_ns();
    int rc;
    select.folders = folder;
    select.count = FOLDERS + 1;
    select.when_empty = MEMO_UNTIL_QUIET;
    for (;;) {
        memo_t *m = NULL;
        rc = memo_select(space, &select, &m, NULL);
        if (rc != MEMO_OK)
            break;
        taken(m);
        if (below(4) == 0)
            nap((int64_t)below(MS / 4));
        end_token(m);
        exit_if_due();
    }
    exit_if_due();
    if (rc != MEMO_QUIET)
        fault("it is not quiet", 0, (uint64_t)-rc);
    timed(began, INT64_MAX / 2, 0);
}

/* Fires what delayed puts are still there. */
static void nudge(void)
{
    for (int i = 0; i < FOLDERS; i++) {
        memo_t *m = new_memo(0);
        if (m == NULL || memo_put(space, &folder[i], m) != MEMO_OK)
            fault("a nudge fails", (uint64_t)i, 0);
    }
}

static void wait_for(int rank, uint32_t phase, bool dies)
{
    int64_t end = now_ns() + 8 * LONG_NS;
    rank_t *r = &ledger->rank[rank];
    while (dies ? r->pid == 0 || kill(r->pid, 0) == 0 : r->phase < phase) {
        uint64_t memos;
        nap(MS);
        memo_count(space, &folder[0], &memos, NULL); /* who makes no calls finds no dead */
        if (now_ns() > end) {
            fault(dies ? "it does not die" : "it does not come", (uint64_t)rank, phase);
            return;
        }
    }
}

/* Those that are to live so long have come; those that are not have died. */
static void meet(uint64_t seed, uint32_t phase, fate_t lives)
{
    mine->phase = phase;
    for (int i = 0; i < ranks; i++)
        if (fate_of(seed, i) == LIVES || fate_of(seed, i) == lives)
            wait_for(i, phase, false);
        else if (way[0] == 'k')
            wait_for(i, phase, true);
}

/* ---- judging ----------------------------------------------------------------------------------------------- */

static void judge_tokens(int rank, uint32_t sum[3])
{
    for (uint32_t i = 0; i < ledger->rank[rank].tokens; i++) {
        const token_t *t = &ledger->token[rank][i];
        if (t->acknowledged == 0)
            continue;
        sum[0]++;
        if (t->ends == 0) {
            sum[1]++;
            tap_diag("token %d.%u is lost: holder %d, last put by way %u", rank, i + 1, t->holder - 1, t->way);
        }
        sum[2] += t->ends > 1;
    }
}

static void judge(uint64_t seed)
{
    uint32_t sum[3] = {0}, errors = 0, calls = 0, accused = 0, deaths = 0, back = 0;
    int64_t longest = 0;
    uint32_t longest_op = 0;
    for (int i = 0; i < ranks; i++) {
        const rank_t *r = &ledger->rank[i];
        bool lives = fate_of(seed, i) == LIVES;
        judge_tokens(i, sum);
        deaths += !lives;
        back += r->accused;
        errors += r->errors;
        calls += r->calls;
        accused += lives ? r->accused : 0;
        if (lives && r->longest_ns > longest) {
            longest = r->longest_ns;
            longest_op = r->longest_op;
        }
    }
    tap_diag("seed %" PRIu64 ": %u deaths, %u calls, %u tokens, %u came back; longest wait %" PRId64 " ms, op %u",
             seed, deaths, calls, sum[0], back, longest / MS, longest_op);
    tap_is_int((long long)sum[1], 0, "no memo is lost");
    tap_is_int((long long)accused, 0, "none was had twice but from the dead");
    tap_is_int((long long)errors, 0, "no call failed, nothing was altered, what was held came back marked");
    tap_ok(longest < LONG_NS, "nobody waited long for the dead");
}

static memo_stat_t stat_of(void)
{
    memo_stat_t st = {0};
    memo_stat(space, &st, sizeof st);
    return st;
}

static void judge_space(uint64_t seed, uint64_t used)
{
    int64_t end = now_ns() + LONG_NS;
    unsigned living = 0;
    memo_stat_t st = stat_of();
    for (int i = 0; i < ranks; i++)
        living += fate_of(seed, i) == LIVES;
    while ((st.memos != 0 || st.waiters != 0 || st.folders != 1 || st.clients != living) && now_ns() < end) {
        nap(10 * MS);
        st = stat_of();
    }
    tap_ok(st.memos == 0 && st.waiters == 0 && st.folders == 1,
           "no memo, get structure or folder is left (%" PRIu64 " %" PRIu64 " %" PRIu64 ")", st.memos, st.waiters,
           st.folders);
    tap_is_int((long long)st.clients, living, "the dead are known");
    used += KEPT * (living + 2); /* servers, at most */
    while (st.used > used && now_ns() < end) {
        nap(10 * MS);
        st = stat_of();
    }
    tap_ok(st.used <= used, "their memory is back: %" PRIu64 " bytes are used, at most %" PRIu64 " are kept",
           st.used, used);
}

/* ---- from beginning to end --------------------------------------------------------------------------------- */

static bool map_ledger(void)
{
    char path[4096];
    const char *room = getenv("MEMO_TEST_ROOM");
    snprintf(path, sizeof path, "%s/ledger", room != NULL ? room : "/tmp");
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *ledger) != 0)
        return false;
    ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return ledger != MAP_FAILED;
}

static void live(uint64_t seed)
{
    fate_t fate = fate_of(seed, me);
    mine->phase = 1;
    for (int i = 0; i < ranks; i++)
        while (ledger->rank[i].phase == 0)
            nap(MS);
    if (me == 0)
        memo_limit(space, &folder[FOLDERS], LIMIT, 0);
    if (fate == DIES_EARLY)
        set_timer(seed, fate);
    work(fate == DIES_EARLY ? INT64_MAX / 2 : 300 * MS);
    meet(seed, 2, DIES_LATE);
    if (fate == DIES_LATE)
        set_timer(seed, fate);
    for (uint32_t i = 0; i < 3; i++) {
        if (me == 0)
            nudge();
        take_until_quiet();
        if (fate == LIVES)
            meet(seed, 3 + i, LIVES);
    }
    while (fate != LIVES) { /* it is quiet, and not yet time */
        exit_if_due();
        nap(MS);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, used;
    if (argc < 3 || !map_ledger())
        return 2;
    way = argc > 3 ? argv[3] : "kill";
    if (argc > 4)
        most_tokens = atoi(argv[4]);
    int rc = memo_open(&space, argv[1]);
    if (rc == MEMO_SERVED)
        return 0;
    if (rc != MEMO_OK) {
        fprintf(stderr, "# %s\n", memo_errmsg());
        return 1;
    }
    me = memo_rank(space);
    ranks = memo_ranks(space);
    if (ranks > RANKS || most_tokens > TOKENS)
        return 2;
    mine = &ledger->rank[me];
    mine->pid = getpid();
    state = fate_seed(seed, me) + 77;
    for (int i = 0; i <= FOLDERS; i++) {
        char name[16];
        snprintf(name, sizeof name, i < FOLDERS ? "f %d" : "limited", i);
        folder[i] = memo_folder(name);
    }
    used = stat_of().used;
    live(seed);
    if (me == 0) {
        judge(seed);
        judge_space(seed, used);
    }
    mine->ended = 1;
    meet(seed, 100, LIVES);
    rc = memo_close(space);
    if (me != 0)
        return rc == MEMO_OK ? 0 : 1;
    tap_is_int(rc, MEMO_OK, "and it closes");
    return tap_done();
}
