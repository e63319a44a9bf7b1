/*
 * conform_alt.c - skips and choices: clauses C6 to C9.
 *
 * What a skip may answer is proved by tokens: with as many tokens as participants, of whom each holds at most one,
 * a participant that holds none knows that at every instant one token at least is in a folder. So no skip over all
 * of the folders may ever answer that there was none, however the tokens move meanwhile.
 */
#include "t/lib/conform.h"

#include <stdlib.h>
#include <string.h>

#define TOKEN_FOLDERS_MAX 64

typedef struct tokens {
    uint64_t tries; /* of each participant */
    int participants;
    int folders;
    int64_t seed;
    _Atomic(uint64_t) number;
    _Atomic(uint64_t) nones;
    _Atomic(uint64_t) skips;
    char name[32];
} tokens_t;

static void tokens_folders(const tokens_t *t, memo_folder_t f[])
{
    for (int i = 0; i < t->folders; i++)
        f[i] = folder("%s %d", t->name, i);
}

/* Takes a number, and begins when all the others do; the seed of what is random. */
static uint64_t tokens_begin(tokens_t *t)
{
    uint64_t me = atomic_fetch_add(&t->number, 1);
    number_becomes(&t->number, (uint64_t)t->participants);
    return (uint64_t)t->seed + me;
}

/* Starts a take on all of the folders and thinks better of it, more often than not: what it was given is latched,
 * or goes back. */
static int tokens_start(memo_space_t *s, const memo_folder_t f[], size_t n, uint64_t turn, memo_t **m)
{
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    sel.folders = f;
    sel.count = n;
    if (memo_start(s, &sel, &r) != MEMO_OK)
        return MEMO_EINVAL;
    if (turn % 2 == 0)
        return memo_cancel(r) == MEMO_OK ? MEMO_TIMEDOUT : MEMO_EINVAL;
    return memo_wait(r, m, NULL, PATIENCE);
}

/* One look for a token, strictly or (in a single folder) weakly, or a way to take one that may wait. */
static int tokens_look(memo_space_t *s, const memo_folder_t f[], size_t n, uint64_t turn, memo_t **m, bool *skip)
{
    memo_select_t sel = MEMO_SELECT_INIT;
    *skip = true;
    switch (turn % 8) {
    case 0:
        *skip = false;
        return tokens_start(s, f, n, turn / 8, m);
    case 1:
        *skip = false;
        return memo_alt_for(s, f, n, m, NULL, 1000);
    case 2:
        sel.folders = f;
        sel.count = n;
        sel.what = MEMO_COPY;
        sel.when_empty = MEMO_STRICT_SKIP;
        return memo_select(s, &sel, m, NULL);
    case 3:
        return n == 1 ? memo_get_skip(s, f, m) : memo_strict_alt_skip(s, f, n, m, NULL);
    case 4:
        return n == 1 ? memo_alt_skip(s, f, n, m, NULL) : memo_strict_alt_skip(s, f, n, m, NULL);
    case 5:
        return n == 1 ? memo_get_copy_skip(s, f, m) : memo_strict_alt_skip(s, f, n, m, NULL);
    default:
        return memo_strict_alt_skip(s, f, n, m, NULL);
    }
}

static bool is_copy(const memo_t *m)
{
    memo_folder_t from = memo_from(m);
    return !memo_folder_valid(&from);
}

static int tokens_player(memo_space_t *s, void *arg)
{
    tokens_t *t = arg;
    memo_folder_t f[TOKEN_FOLDERS_MAX];
    uint64_t random = tokens_begin(t);
    tokens_folders(t, f);
    for (uint64_t i = 0; i < t->tries; i++) {
        uint64_t draw = random_next(&random);
        memo_t *m = NULL;
        bool skip;
        int rc = tokens_look(s, f, (size_t)t->folders, draw >> 32, &m, &skip);
        PEER(rc >= 0);
        PEER((rc == MEMO_OK) == (m != NULL));
        atomic_fetch_add(&t->skips, skip);
        if (skip && rc != MEMO_OK)
            atomic_fetch_add(&t->nones, 1);
        if (m != NULL && is_copy(m))
            memo_free(m);
        else if (m != NULL)
            PEER(memo_put(s, &f[draw % (uint64_t)t->folders], m) == MEMO_OK);
    }
    return 0;
}

/* As above, but the tokens are moved as badly as can be for one who looks into one folder after the other: into the
 * first before one is taken from the last, and then the other way round. */
static int tokens_mover(memo_space_t *s, void *arg)
{
    tokens_t *t = arg;
    memo_folder_t f[TOKEN_FOLDERS_MAX], *ends[2] = {&f[0], &f[t->folders - 1]};
    memo_t *m = NULL;
    tokens_folders(t, f);
    tokens_begin(t);
    for (uint64_t i = 0; i < t->tries; i++) {
        if (m != NULL)
            PEER(memo_put(s, ends[i % 2], m) == MEMO_OK);
        m = NULL;
        int rc = memo_get_skip(s, ends[1 - i % 2], &m);
        PEER(rc == MEMO_OK || rc == MEMO_NONE);
    }
    if (m != NULL)
        PEER(memo_put(s, &f[0], m) == MEMO_OK);
    return 0;
}

static int tokens_skipper(memo_space_t *s, void *arg)
{
    tokens_t *t = arg;
    memo_folder_t f[TOKEN_FOLDERS_MAX];
    tokens_folders(t, f);
    tokens_begin(t);
    for (uint64_t i = 0; i < t->tries; i++) {
        memo_t *m = NULL;
        int rc = memo_strict_alt_skip(s, f, (size_t)t->folders, &m, NULL);
        PEER(rc == MEMO_OK || rc == MEMO_NONE);
        atomic_fetch_add(&t->skips, 1);
        atomic_fetch_add(&t->nones, rc == MEMO_NONE);
        if (m != NULL)
            PEER(memo_replace(m) == MEMO_OK);
    }
    return 0;
}

/* Half of the participants do `first`, the others `second`; the tokens are all there in the end. */
static void tokens_play(memo_space_t *s, tokens_t *t, peer_fn first, peer_fn second, const char *what)
{
    memo_folder_t f[TOKEN_FOLDERS_MAX];
    peer_t *peers[8];
    uint64_t left = 0;
    int failed = 0;
    t->seed = (int64_t)tap_seed();
    tokens_folders(t, f);
    for (int i = 0; i < t->participants; i++)
        put_number(s, &f[i % 2 == 0 ? 0 : t->folders - 1], (uint64_t)i);
    for (int i = 0; i < t->participants; i++)
        peers[i] = peer_start(i % 2 == 0 ? first : second, t);
    for (int i = 0; i < t->participants; i++)
        failed += peer_wait(peers[i]) != 0;
    tap_ok(failed == 0 && atomic_load(&t->nones) == 0, "%s (%llu of %llu skips said none)", what,
           (unsigned long long)atomic_load(&t->nones), (unsigned long long)atomic_load(&t->skips));
    for (int i = 0; i < t->folders; i++)
        left += drain(s, &f[i]);
    tap_is_int((long long)left, t->participants, "%s: the tokens are all there", what);
}

static void tokens_run(memo_space_t *s, int participants, int folders, uint64_t tries, peer_fn first,
                       peer_fn second, const char *what)
{
    tokens_t *t = peer_shared(sizeof *t);
    t->participants = participants;
    t->folders = folders;
    t->tries = effort(tries);
    static int games;
    snprintf(t->name, sizeof t->name, "tokens %d", games++);
    tokens_play(s, t, first, second, what);
    peer_unshare(t, sizeof *t);
}

/* ---- C6 ---------------------------------------------------------------------------------------------------- */

void c06_skip(memo_space_t *s)
{
    memo_folder_t f = folder("skipped");
    memo_t *m = (memo_t *)&f;
    tap_ok(memo_get_skip(s, &f, &m) == MEMO_NONE && m == NULL, "c06: empty, none");
    put_number(s, &f, 1);
    tap_ok(memo_get_skip(s, &f, &m) == MEMO_OK && number_freed(m) == 1, "c06: not empty, its memo");
    tap_ok(memo_get_skip(s, &f, &m) == MEMO_NONE && waiters_on(s, &f) == 0, "c06: a skip leaves no waiter");
    put_number(s, &f, 2);
    tap_ok(memos_in(s, &f) == 1 && drain(s, &f) == 1, "c06: nor is a later memo given to it");
    tokens_run(s, 4, 1, 15000, tokens_player, tokens_player,
               "c06: a folder that is never empty never answers none, to any skip");
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c06: nothing is left");
}

/* ---- C7 ---------------------------------------------------------------------------------------------------- */

static memo_folder_t *many_folders(size_t n, const char *what)
{
    memo_folder_t *f = calloc(n, sizeof *f);
    if (f == NULL)
        tap_bail("no memory for %zu names", n);
    for (size_t i = 0; i < n; i++)
        f[i] = folder("%s %zu", what, i);
    return f;
}

static bool c07_finds(memo_space_t *s, const memo_folder_t f[], size_t n, size_t at)
{
    memo_t *m = NULL;
    size_t which = n;
    if (put_number(s, &f[at], at) != MEMO_OK || memo_alt_for(s, f, n, &m, &which, PATIENCE) != MEMO_OK)
        return false;
    memo_folder_t from = memo_from(m);
    return which == at && memcmp(&from, &f[at], sizeof from) == 0 && number_freed(m) == at &&
           memos_in(s, &f[at]) == 0;
}

/* The memo comes when the alt waits already, in all of its folders. */
static bool c07_waits(memo_space_t *s, const memo_folder_t f[], size_t n, size_t at)
{
    call_t c;
    call_get(&c, s, &f[0]);
    c.select.folders = f;
    c.select.count = n;
    call_start(&c);
    bool right = waiters_become(s, &f[n - 1], 1) && waiters_on(s, &f[0]) == 1 && waiters_on(s, &f[n / 2]) == 1;
    put_number(s, &f[at], at);
    right = call_wait(&c) == MEMO_OK && c.which == at && right;
    memo_folder_t from = memo_from(c.m);
    right = memcmp(&from, &f[at], sizeof from) == 0 && number_freed(c.m) == at && right;
    return right && waiters_on(s, &f[0]) == 0 && waiters_on(s, &f[n - 1]) == 0;
}

static void c07_counts(memo_space_t *s)
{
    static const size_t counts[] = {1, 2, 64, 1000, MEMO_FOLDERS_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        size_t n = counts[i];
        memo_folder_t *f = many_folders(n, "alternative");
        tap_ok(c07_finds(s, f, n, 0) && c07_finds(s, f, n, n / 2) && c07_finds(s, f, n, n - 1),
               "c07: the one of %zu folders that has a memo is found", n);
        tap_ok(c07_waits(s, f, n, 0) && c07_waits(s, f, n, n / 2) && c07_waits(s, f, n, n - 1),
               "c07: an alt waits in %zu folders at once, and leaves them all", n);
        free(f);
    }
}

static void c07_twice(memo_space_t *s)
{
    memo_folder_t f[3] = {folder("twice"), folder("once"), folder("twice")};
    memo_t *m = NULL;
    size_t which = 9;
    call_t c;
    put_number(s, &f[0], 1);
    tap_ok(memo_alt(s, f, 3, &m, &which) == MEMO_OK && which != 1 && number_freed(m) == 1,
           "c07: a folder may stand twice");
    call_get(&c, s, &f[0]);
    memcpy(c.folders, f, sizeof f);
    c.select.count = 3;
    call_start(&c);
    tap_ok(waiters_become(s, &f[1], 1), "c07: and be waited for");
    put_number(s, &f[2], 2);
    put_number(s, &f[2], 3);
    tap_ok(call_wait(&c) == MEMO_OK && c.which != 1 && number_freed(c.m) == 2 && memos_in(s, &f[0]) == 1,
           "c07: one memo is taken, not two");
    drain(s, &f[0]);
}

static void c07_listed(memo_space_t *s, memo_choice_t choice, const char *name)
{
    memo_folder_t f[3];
    memo_select_t sel = MEMO_SELECT_INIT;
    size_t which = 9, order[3] = {9, 9, 9};
    memo_t *m = NULL;
    bool right = true;
    folders_together(f, 3, "c");
    sel.folders = f;
    sel.count = 3;
    sel.choice = choice;
    put_number(s, &f[2], 0);
    put_number(s, &f[0], 1);
    put_number(s, &f[1], 2);
    put_number(s, &f[0], 3);
    int rc = memo_select(s, &sel, &m, &which);
    if (rc == MEMO_ENOTSUP && choice == MEMO_OLDEST) {
        tap_skip("this backend cannot", "c07: %s", name);
        for (int i = 0; i < 3; i++)
            drain(s, &f[i]);
        return;
    }
    for (int i = 0; i < 3 && right; i++) {
        right = rc == MEMO_OK;
        order[i] = which;
        memo_free(m);
        rc = memo_select(s, &sel, &m, &which);
    }
    memo_free(m);
    if (choice == MEMO_OLDEST)
        right = right && order[0] == 2 && order[1] == 0 && order[2] == 1;
    else
        right = right && order[0] == 0 && order[1] == 0 && order[2] == 1;
    tap_ok(right, "c07: %s (%zu, %zu, %zu)", name, order[0], order[1], order[2]);
    for (int i = 0; i < 3; i++)
        drain(s, &f[i]);
}

#define C07_ROTATE 5

/* With every folder full, each comes in turn, starting behind the last winner. */
static void c07_rotate(memo_space_t *s)
{
    memo_folder_t f[C07_ROTATE];
    memo_select_t sel = MEMO_SELECT_INIT;
    size_t which = 0, last = 0;
    memo_t *m = NULL;
    bool right = true;
    int won[C07_ROTATE] = {0};
    folders_together(f, C07_ROTATE, "r");
    for (int i = 0; i < C07_ROTATE; i++) {
        for (uint64_t k = 0; k < 20; k++)
            put_number(s, &f[i], k);
    }
    sel.folders = f;
    sel.count = C07_ROTATE;
    sel.choice = MEMO_ROTATE;
    for (int turn = 0; turn < 10 * C07_ROTATE; turn++) {
        right = memo_select(s, &sel, &m, &which) == MEMO_OK && which < C07_ROTATE && right;
        memo_free(m);
        right = (turn == 0 || which == (last + 1) % C07_ROTATE) && right;
        last = which;
        won[which % C07_ROTATE]++;
    }
    for (int i = 0; i < C07_ROTATE; i++)
        right = won[i] == 10 && right;
    tap_ok(right, "c07: MEMO_ROTATE starts after the last winner, so that each has its turn");
    drain(s, &f[(last + 1) % C07_ROTATE]);
    right = memo_select(s, &sel, &m, &which) == MEMO_OK && which == (last + 2) % C07_ROTATE;
    memo_free(m);
    tap_ok(right, "c07: and passes over an empty one");
    for (int i = 0; i < C07_ROTATE; i++)
        drain(s, &f[i]);
}

#define C07_FOLDERS 6
#define C07_ROUNDS 300

typedef struct rush {
    _Atomic(uint64_t) number;
    _Atomic(uint64_t) round;
    _Atomic(uint64_t) done;
} rush_t;

static int c07_putter(memo_space_t *s, void *arg)
{
    rush_t *r = arg;
    uint64_t me = atomic_fetch_add(&r->number, 1);
    memo_folder_t f = folder("rush %llu", (unsigned long long)me);
    for (uint64_t round = 1; round <= effort(C07_ROUNDS); round++) {
        int64_t end = now_ns() + PATIENCE;
        while (atomic_load(&r->round) < round) {
            PEER(now_ns() < end);
            sched_yield();
        }
        PEER(put_number(s, &f, round) == MEMO_OK);
        atomic_fetch_add(&r->done, 1);
    }
    return 0;
}

static void c07_exactly_one(memo_space_t *s)
{
    rush_t *r = peer_shared(sizeof *r);
    memo_folder_t *f = many_folders(C07_FOLDERS, "rush");
    peer_t *peers[C07_FOLDERS];
    bool right = true;
    for (int i = 0; i < C07_FOLDERS; i++)
        peers[i] = peer_start(c07_putter, r);
    for (uint64_t round = 1; round <= effort(C07_ROUNDS); round++) {
        memo_t *m = NULL;
        size_t which = 99, others = 0;
        atomic_store(&r->round, round);
        right =
            memo_alt_for(s, f, C07_FOLDERS, &m, &which, PATIENCE) == MEMO_OK && number_freed(m) == round && right;
        right = number_becomes(&r->done, round * C07_FOLDERS) && right;
        for (size_t i = 0; i < C07_FOLDERS; i++) {
            uint64_t there = drain(s, &f[i]);
            right = there == (i != which) && right;
            others += there;
        }
        right = others == C07_FOLDERS - 1 && right;
    }
    for (int i = 0; i < C07_FOLDERS; i++)
        right = peer_wait(peers[i]) == 0 && right;
    tap_ok(right, "c07: of memos put into all of its folders at once, an alt takes exactly one");
    free(f);
    peer_unshare(r, sizeof *r);
}

void c07_alt(memo_space_t *s)
{
    c07_counts(s);
    c07_twice(s);
    c07_listed(s, MEMO_LISTED, "MEMO_LISTED takes the first listed that has one");
    c07_listed(s, MEMO_OLDEST, "MEMO_OLDEST takes the one that has been there longest");
    c07_rotate(s);
    c07_exactly_one(s);
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0 && stat_of(s).waiters == 0, "c07: nothing is left");
}

/* ---- C8 ---------------------------------------------------------------------------------------------------- */

static bool alt_skip_right(memo_space_t *s, size_t n,
                           int (*skip)(memo_space_t *, const memo_folder_t[], size_t, memo_t **, size_t *))
{
    memo_folder_t *f = many_folders(n, "skip");
    size_t places[] = {0, n / 3, n - 1}, which;
    memo_t *m = (memo_t *)f;
    bool right = skip(s, f, n, &m, &which) == MEMO_NONE && m == NULL;
    for (size_t i = 0; i < 3; i++) {
        right = put_number(s, &f[places[i]], 40 + i) == MEMO_OK && right;
        right = skip(s, f, n, &m, &which) == MEMO_OK && which == places[i] && number_freed(m) == 40 + i && right;
    }
    right = skip(s, f, n, &m, NULL) == MEMO_NONE && right;
    right = waiters_on(s, &f[0]) == 0 && waiters_on(s, &f[n - 1]) == 0 && right;
    put_number(s, &f[n - 1], 1);
    put_number(s, &f[0], 0);
    right = skip(s, f, n, &m, NULL) == MEMO_OK && right;
    uint64_t got = number_freed(m);
    right = (got == (n == 1) || (got == 1 && !same_server(&f[0], &f[n - 1]))) && right;
    right = drain(s, &f[n - 1]) + drain(s, &f[0]) == 1 && right;
    free(f);
    return right;
}

static int c08_one_by_one(memo_space_t *s, void *arg)
{
    tokens_t *t = arg;
    memo_folder_t f[2] = {folder("%s 0", t->name), folder("weak, always empty")};
    tokens_begin(t);
    for (uint64_t i = 0; i < t->tries; i++) {
        memo_t *m = NULL;
        int rc = memo_alt_skip(s, f, 2, &m, NULL);
        PEER(rc == MEMO_OK || rc == MEMO_NONE);
        atomic_fetch_add(&t->skips, 1);
        atomic_fetch_add(&t->nones, rc == MEMO_NONE);
        if (m != NULL)
            PEER(memo_put(s, &f[0], m) == MEMO_OK);
    }
    return 0;
}

void c08_alt_skip(memo_space_t *s)
{
    static const size_t counts[] = {1, 2, 64, MEMO_FOLDERS_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        tap_ok(alt_skip_right(s, counts[i], memo_alt_skip), "c08: alt_skip over %zu folders", counts[i]);
    tokens_run(s, 4, 1, 20000, tokens_player, c08_one_by_one,
               "c08: with one folder that is never empty among them, none is never the answer");
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c08: nothing is left");
}

/* ---- C9 ---------------------------------------------------------------------------------------------------- */

void c09_strict_alt_skip(memo_space_t *s)
{
    static const size_t counts[] = {1, 2, 64, MEMO_FOLDERS_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        tap_ok(alt_skip_right(s, counts[i], memo_strict_alt_skip), "c09: strict_alt_skip over %zu folders",
               counts[i]);
    tokens_run(s, 2, 2, 200000, tokens_mover, tokens_skipper,
               "c09: two tokens that move between two folders are never both missed");
    tokens_run(s, 2, 64, 200000, tokens_mover, tokens_skipper, "c09: nor between the ends of 64");
    tokens_run(s, 4, 64, 100000, tokens_mover, tokens_skipper, "c09: nor four, by two who move and two who look");
    tokens_run(s, 4, 3, 15000, tokens_player, tokens_player, "c09: nor by alts, copies and cancelled requests");
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c09: nothing is left");
}
