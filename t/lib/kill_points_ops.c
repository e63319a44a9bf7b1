/*
 * kill_points_ops.c - the operations that are killed, and what must hold after each (kill_points.h).
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/lib/kill_points.h"

enum { A, B, C, D, E, LETTERS = 6, LONG = KP_FOLDERS - 1 };

#define IN(folder) (1u << (folder))
#define ANYWHERE (~0u)

/* Memos by number: the victim's X, those that were there before P and Q, those that come after Y and Z. */
#define X kp_id(100, 40)
#define X2 kp_id(101, 40)
#define P kp_id(1, 24)
#define Q kp_id(2, 2500)
#define R kp_id(3, 8)
#define Y kp_id(50, 16)
#define Z kp_id(51, 16)

static const int64_t at_once = 0;

/* ---- what victims do before ------------------------------------------------------------------------------ */

static void make_x(kp_victim_t *v)
{
    v->m[0] = kp_make(v->space, X);
}

static void make_large(kp_victim_t *v)
{
    v->m[0] = kp_make(v->space, kp_id(100, KP_LARGE));
}

static void make_huge(kp_victim_t *v)
{
    v->m[0] = kp_make(v->space, kp_id(100, KP_HUGE));
}

static void take_p(kp_victim_t *v)
{
    memo_get(v->space, &v->folders[A], &v->m[0]);
}

/* More than a party has places for. */
static void hold_many(kp_victim_t *v)
{
    for (unsigned i = 0; i < 30; i++) {
        v->m[i] = kp_make(v->space, kp_id(200 + i, 8));
    }
}

/* ---- putting --------------------------------------------------------------------------------------------- */

static void put_a(kp_victim_t *v)
{
    memo_put(v->space, &v->folders[A], v->m[0]);
}

static void put_b(kp_victim_t *v)
{
    memo_put(v->space, &v->folders[B], v->m[0]);
}

static void put_long(kp_victim_t *v)
{
    memo_put(v->space, &v->folders[LONG], v->m[0]);
}

/* A put that returned has happened; one that did not, may have. */
static void expect_put(kp_scene_t *s, uint64_t id, unsigned where)
{
    kp_expect(s, id, s->finished ? 1 : 0, 1, where);
}

static void after_put(kp_scene_t *s)
{
    memo_folder_t a = kp_folder(A);
    uint64_t memos = 9;

    memo_count(s->space, &a, &memos, &(uint64_t){0});
    kp_drain(s);
    if (memos != s->found_count && s->found_count > 0 && s->found[0].folder == A) {
        kp_wrong(s, "memo_count said %u, and there were %u", (unsigned)memos, s->found_count);
    }
    expect_put(s, X, IN(A) | IN(LONG));
}

static void after_put_large(kp_scene_t *s)
{
    kp_drain(s);
    expect_put(s, kp_id(100, KP_LARGE), IN(A));
}

static void p_is_there(kp_scene_t *s)
{
    kp_put(s, A, P);
}

static void after_put_behind(kp_scene_t *s)
{
    kp_drain(s);
    kp_expect(s, P, 1, 1, IN(A));
    expect_put(s, X, IN(A));
    kp_expect_order(s, P, X);
}

static void one_waits(kp_scene_t *s)
{
    kp_work(s, 0, KP_GET, A, 1);
}

/* With it, everybody has got something. */
static void after_put_waited(kp_scene_t *s)
{
    kp_put(s, A, Y);
    kp_workers_done(s);
    kp_drain(s);
    kp_expect(s, Y, 1, 1, IN(A));
    expect_put(s, X, IN(A));
    kp_expect_order(s, X, Y);
}

static void alt_waits(kp_scene_t *s)
{
    kp_work(s, 0, KP_ALT, A, 3);
}

static void after_put_alt(kp_scene_t *s)
{
    kp_put(s, C, Y);
    kp_workers_done(s);
    kp_drain(s);
    kp_expect(s, Y, 1, 1, IN(C));
    expect_put(s, X, IN(B));
}

static void put_to_c_meanwhile(kp_scene_t *s)
{
    kp_work_put(s, 1, C, Y, false);
    kp_worker_done(s, 1, 3);
}

static void after_put_alt_meanwhile(kp_scene_t *s)
{
    if (!kp_worker_done(s, 1, 1000 * KP_WAIT_SECONDS)) {
        kp_wrong(s, "a put hangs");
        s->stuck = true;
        return;
    }
    if (!kp_worker_done(s, 0, 1000)) {
        kp_wrong(s, "an alt waits although one of its folders holds a memo");
        kp_put(s, A, Z);
    }
    kp_workers_done(s);
    kp_drain(s);
    kp_expect(s, Y, 1, 1, IN(C));
    expect_put(s, X, IN(B));
}

static void copies_wait(kp_scene_t *s)
{
    kp_work(s, 0, KP_COPY, A, 1);
    kp_work(s, 1, KP_COPY, A, 1);
}

static void copies_and_taker_wait(kp_scene_t *s)
{
    copies_wait(s);
    kp_work(s, 2, KP_GET, A, 1);
}

static void copy_waits(kp_scene_t *s)
{
    kp_work(s, 0, KP_COPY, A, 1);
}

static void join_waits(kp_scene_t *s)
{
    kp_put(s, A, P);
    kp_work(s, 0, KP_JOIN, A, 2);
}

static void after_put_join(kp_scene_t *s)
{
    memo_folder_t b = kp_folder(B);
    uint64_t memos = 0;

    if (!kp_worker_done(s, 0, 150)) {
        memo_count(s->space, &b, &memos, &(uint64_t){0});
        if (memos != 0) {
            kp_wrong(s, "a join sleeps although all its memos are there");
        }
        kp_put(s, B, Y);
    } else {
        kp_expect(s, X, 1, 1, IN(B));
    }
    kp_workers_done(s);
    kp_drain(s);
    kp_expect(s, P, 1, 1, IN(A));
    expect_put(s, X, IN(B));
}

static void a_is_limited(kp_scene_t *s)
{
    memo_folder_t a = kp_folder(A);

    memo_limit(s->space, &a, 2, 0);
    kp_put(s, A, P);
}

static void unlimit(kp_scene_t *s)
{
    memo_folder_t a = kp_folder(A);

    if (memo_limit(s->space, &a, 0, 0) != MEMO_OK) {
        kp_wrong(s, "memo_limit: %s", memo_errmsg());
    }
}

static void after_put_limited(kp_scene_t *s)
{
    memo_folder_t a = kp_folder(A);
    uint64_t memos = 0;
    memo_t *m;

    memo_count(s->space, &a, &memos, &(uint64_t){0});
    for (; memos < 2; memos++) {
        kp_put(s, A, memos == 1 ? Y : Z);
    }
    m = kp_make(s->space, R);
    if (memo_put(s->space, &a, m) != MEMO_EFULL) {
        kp_wrong(s, "the limit does not hold");
    } else {
        memo_free(m);
    }
    unlimit(s);
    kp_drain(s);
    kp_expect(s, P, 1, 1, IN(A));
    expect_put(s, X, IN(A));
}

/* ---- taking ---------------------------------------------------------------------------------------------- */

static void get_a(kp_victim_t *v)
{
    memo_get(v->space, &v->folders[A], &v->m[KP_HELD - 1]);
}

static void after_get_p(kp_scene_t *s)
{
    kp_drain(s);
    kp_expect(s, P, 1, 1, IN(A));
}

static void pqr_are_there(kp_scene_t *s)
{
    kp_put(s, A, P);
    kp_put(s, A, Q);
    kp_put(s, A, R);
}

static void after_pqr(kp_scene_t *s)
{
    kp_drain(s);
    kp_expect(s, P, 1, 1, IN(A));
    kp_expect(s, Q, 1, 1, IN(A));
    kp_expect(s, R, 1, 1, IN(A));
    kp_expect_order(s, P, Q);
    kp_expect_order(s, Q, R);
}

static void free_held(kp_victim_t *v)
{
    memo_free(v->m[0]);
}

static void after_free_p(kp_scene_t *s)
{
    kp_drain(s);
    kp_expect(s, P, 0, s->finished ? 0 : 1, IN(A));
}

static void nothing(kp_scene_t *s)
{
    kp_drain(s);
    if (s->found_count != 0) {
        kp_wrong(s, "memo %u came from nowhere", (unsigned)s->found[0].id);
    }
}

static void alloc_small(kp_victim_t *v)
{
    v->m[1] = kp_make(v->space, X);
}

static void alloc_large(kp_victim_t *v)
{
    memo_alloc(v->space, KP_LARGE, &v->m[0]);
}

static void alloc_huge(kp_victim_t *v)
{
    memo_alloc(v->space, KP_HUGE, &v->m[0]);
}

static void copy_a(kp_victim_t *v)
{
    memo_get_copy(v->space, &v->folders[A], &v->m[0]);
}

static void alt_two(kp_victim_t *v)
{
    memo_alt_for(v->space, v->folders, 2, &v->m[0], NULL, at_once);
}

static void alt_six(kp_victim_t *v)
{
    memo_alt_for(v->space, v->folders, 6, &v->m[0], NULL, at_once);
}

static void strict_six(kp_victim_t *v)
{
    memo_strict_alt_skip(v->space, v->folders, 6, &v->m[0], NULL);
}

static void copy_times_out(kp_victim_t *v)
{
    memo_get_copy_for(v->space, &v->folders[LONG], &v->m[0], at_once);
}

static void put_to_b_meanwhile(kp_scene_t *s)
{
    kp_work_put(s, 1, B, Y, false);
    kp_worker_done(s, 1, 3);
}

static void after_y(kp_scene_t *s)
{
    kp_workers_done(s);
    kp_drain(s);
    kp_expect(s, Y, 1, 1, IN(B));
}

static void three_folders(kp_scene_t *s)
{
    kp_put(s, A, P);
    kp_put(s, B, Q);
    kp_put(s, C, R);
}

static void join_three(kp_victim_t *v)
{
    memo_get_all_for(v->space, v->folders, 3, v->m, at_once);
}

static void after_three(kp_scene_t *s)
{
    kp_drain(s);
    kp_expect(s, P, 1, 1, IN(A));
    kp_expect(s, Q, 1, 1, IN(B));
    kp_expect(s, R, 1, 1, IN(C));
}

static void twelve_memos(kp_scene_t *s)
{
    for (uint32_t i = 0; i < 12; i++) {
        kp_put(s, i, kp_id(300 + i, 8 + 200 * i));
    }
}

static void join_twelve(kp_victim_t *v)
{
    memo_get_all_for(v->space, v->folders, 12, &v->m[30], at_once);
}

static void after_twelve(kp_scene_t *s)
{
    kp_drain(s);
    for (uint32_t i = 0; i < 12; i++) {
        kp_expect(s, kp_id(300 + i, 8 + 200 * i), 1, 1, IN(i));
    }
}

/* ---- delayed, replaced ----------------------------------------------------------------------------------- */

static void delay_x(kp_victim_t *v)
{
    memo_put_delayed(v->space, &v->folders[B], &v->folders[A], v->m[0]);
}

static void after_delay(kp_scene_t *s)
{
    kp_put(s, B, Y);
    kp_drain(s);
    kp_expect(s, Y, 1, 1, IN(B));
    expect_put(s, X, IN(A));
}

static void three_are_delayed(kp_scene_t *s)
{
    const uint64_t ids[3] = {P, Q, R};
    memo_folder_t trigger = kp_folder(B), targets[3] = {kp_folder(A), kp_folder(A), kp_folder(C)};

    for (unsigned i = 0; i < 3; i++) {
        if (memo_put_delayed(s->space, &trigger, &targets[i], kp_make(s->space, ids[i])) != MEMO_OK) {
            kp_wrong(s, "memo_put_delayed: %s", memo_errmsg());
        }
    }
}

static void after_fire(kp_scene_t *s)
{
    kp_drain(s);
    if (s->found_count == 0) {
        kp_put(s, B, Y);
        kp_drain(s);
    } else {
        kp_expect(s, X, 1, 1, IN(B));
    }
    kp_expect(s, P, 1, 1, IN(A));
    kp_expect(s, Q, 1, 1, IN(A));
    kp_expect(s, R, 1, 1, IN(C));
    kp_expect_order(s, P, Q);
    expect_put(s, X, IN(B));
}

static void replace_p(kp_victim_t *v)
{
    memo_replace(v->m[0]);
}

static void p_and_r(kp_scene_t *s)
{
    kp_put(s, A, P);
    kp_put(s, A, R);
}

static void after_replace(kp_scene_t *s)
{
    kp_drain(s);
    kp_expect(s, P, 1, 1, IN(A));
    kp_expect(s, R, 1, 1, IN(A));
    if (s->finished) {
        kp_expect_order(s, R, P);
    }
}

static void put_elsewhere(kp_victim_t *v)
{
    memo_put(v->space, &v->folders[E], v->m[0]);
}

static void after_elsewhere(kp_scene_t *s)
{
    kp_drain(s);
    kp_expect(s, P, 1, 1, s->finished ? IN(E) : IN(A) | IN(E));
}

/* ---- requests, handles, limits, quiet -------------------------------------------------------------------- */

static void start_cancel(kp_victim_t *v)
{
    memo_select_t select = MEMO_SELECT_INIT;
    memo_request_t *r;

    select.folders = v->folders;
    select.count = 3;
    if (memo_start(v->space, &select, &r) == MEMO_OK) {
        memo_cancel(r);
    }
}

static void start_two(kp_victim_t *v)
{
    memo_select_t select = MEMO_SELECT_INIT;
    memo_request_t *r[2];

    select.folders = &v->folders[A];
    select.count = 1;
    memo_start(v->space, &select, &r[0]);
    memo_start(v->space, &select, &r[1]);
    memo_test(r[0], &v->m[0], &(size_t){0});
    memo_cancel(r[1]);
}

static void close_handle(kp_victim_t *v)
{
    memo_close(v->space);
}

static void take_and_make(kp_victim_t *v)
{
    take_p(v);
    v->m[1] = kp_make(v->space, X);
    v->m[2] = kp_make(v->space, kp_id(7, KP_LARGE));
}

static void open_handle(kp_victim_t *v)
{
    memo_open(&v->space, v->uri);
}

static void open_and_call(kp_victim_t *v)
{
    memo_t *m;

    memo_open(&v->space, v->uri);
    memo_get_skip(v->space, &v->folders[A], &m);
}

static void limit_a(kp_victim_t *v)
{
    memo_limit(v->space, &v->folders[A], 5, 0);
}

static void after_limit(kp_scene_t *s)
{
    unlimit(s);
    nothing(s);
}

static void unlimit_a(kp_victim_t *v)
{
    memo_limit(v->space, &v->folders[A], 0, 0);
}

static void after_unlimit(kp_scene_t *s)
{
    unlimit(s);
    kp_drain(s);
    kp_expect(s, P, 1, 1, IN(A));
}

/* The worker waits until quiet once the victim, which is a participant by then, has told it to. */
static void one_waits_until_quiet(kp_scene_t *s)
{
    kp_work(s, 0, KP_QUIET_AFTER, B, 2);
}

static void take_part(kp_victim_t *v)
{
    memo_select_t select = MEMO_SELECT_INIT;
    uint64_t waiters = 0;

    select.folders = v->folders;
    select.count = 1;
    select.when_empty = MEMO_UNTIL_QUIET;
    memo_put(v->space, &v->folders[A], kp_make(v->space, X));
    memo_select(v->space, &select, &v->m[0], &(size_t){0});
    memo_free(v->m[0]);
    memo_put(v->space, &v->folders[B], kp_make(v->space, X));
    while (waiters == 0) {
        usleep(100);
        memo_count(v->space, &v->folders[C], &(uint64_t){0}, &waiters);
    }
}

static void quiet_comes(kp_scene_t *s)
{
    kp_workers_done(s);
    nothing(s);
}

static void wait_until_quiet(kp_victim_t *v)
{
    memo_select_t select = MEMO_SELECT_INIT;

    select.folders = v->folders;
    select.count = 1;
    select.when_empty = MEMO_UNTIL_QUIET;
    memo_select(v->space, &select, &v->m[0], &(size_t){0});
}

/* ---- repairing ------------------------------------------------------------------------------------------- */

/* A process that dies with everything that one can leave behind. */
static void die(kp_victim_t *v)
{
    memo_select_t select = MEMO_SELECT_INIT;
    memo_space_t *own, *other;
    memo_request_t *r;
    memo_t *m;

    if (memo_open(&own, v->uri) != MEMO_OK || memo_open(&other, v->uri) != MEMO_OK) {
        _exit(1);
    }
    select.folders = v->folders;
    select.count = 6;
    select.what = MEMO_COPY;
    memo_get(own, &v->folders[A], &m); /* P is held */
    memo_start(own, &select, &r);      /* finds R, and holds a copy */
    select.folders = &v->folders[D];
    select.what = MEMO_TAKE;
    select.count = 2;
    memo_start(own, &select, &r);                       /* is linked */
    memo_start(own, &select, &r);                       /* so is this */
    memo_put(other, &v->folders[D], kp_make(other, X)); /* under way to the first */
    kp_make(own, kp_id(8, KP_LARGE));
    _exit(0);
}

static void somebody_dies(kp_victim_t *v)
{
    pid_t pid = fork();

    if (pid == 0) {
        die(v);
    }
    waitpid(pid, NULL, 0);
}

static void p_and_r_apart(kp_scene_t *s)
{
    kp_put(s, A, P);
    kp_put(s, B, R);
}

static void look_around(kp_victim_t *v)
{
    memo_stat_t stat;

    memo_stat(v->space, &stat, sizeof stat);
}

static void after_repair(kp_scene_t *s)
{
    kp_drain(s);
    kp_expect(s, P, 1, 1, IN(A));
    kp_expect(s, R, 1, 1, IN(B));
    kp_expect(s, X, 1, 1, IN(D));
}

/* What the dead held, and what was under way to them, is a dead letter at once. */
static void after_letters(kp_scene_t *s)
{
    kp_workers_done(s);
    kp_drain(s);
    kp_expect(s, P, 1, 1, IN(LETTERS));
    kp_expect(s, R, 1, 1, IN(B));
    kp_expect(s, X, 1, 1, IN(LETTERS));
    for (unsigned i = 0; i < s->found_count; i++) {
        if (s->found[i].redeliveries != (s->found[i].id != R)) {
            kp_wrong(s, "memo %u was redelivered %u times", (unsigned)s->found[i].id, s->found[i].redeliveries);
        }
    }
}

static void letters_are_awaited(kp_scene_t *s)
{
    p_and_r_apart(s);
    kp_work(s, 0, KP_GET, LETTERS, 1);
}

static void after_spent(kp_scene_t *s)
{
    kp_drain(s);
    kp_expect(s, P, 0, 0, ANYWHERE);
    kp_expect(s, R, 1, 1, IN(B));
    kp_expect(s, X, 0, 0, ANYWHERE);
}

/* ---- given ----------------------------------------------------------------------------------------------- */

/* Who waits is given a memo: reads the message, and spends its slot. */
static void y_comes_to_b(kp_scene_t *s)
{
    kp_work_put(s, 0, B, Y, true);
}

static void get_b(kp_victim_t *v)
{
    memo_get(v->space, &v->folders[B], &v->m[0]);
}

static void copy_b(kp_victim_t *v)
{
    memo_get_copy(v->space, &v->folders[B], &v->m[0]);
}

static void alt_three(kp_victim_t *v)
{
    memo_alt(v->space, v->folders, 3, &v->m[0], NULL);
}

static void join_a_and_b(kp_victim_t *v)
{
    memo_get_all(v->space, v->folders, 2, v->m);
}

static void start_and_wait(kp_victim_t *v)
{
    memo_select_t select = MEMO_SELECT_INIT;
    memo_request_t *r;

    select.folders = v->folders;
    select.count = 3;
    if (memo_start(v->space, &select, &r) == MEMO_OK) {
        memo_wait(r, &v->m[0], &(size_t){0}, MEMO_FOREVER);
    }
}

static void p_is_there_and_y_comes(kp_scene_t *s)
{
    p_is_there(s);
    y_comes_to_b(s);
}

static void after_p_and_y(kp_scene_t *s)
{
    after_y(s);
    kp_expect(s, P, 1, 1, IN(A));
}

/* The slot that the second message goes into has carried one before, which was read. */
static void two_wait(kp_scene_t *s)
{
    kp_work(s, 0, KP_GET, A, 1);
    kp_work(s, 1, KP_GET, B, 1);
}

static void use_a_slot(kp_victim_t *v)
{
    uint64_t waiters = 1;

    v->m[0] = kp_make(v->space, X2);
    put_b(v);
    while (waiters != 0) {
        usleep(100);
        memo_count(v->space, &v->folders[B], &(uint64_t){0}, &waiters);
    }
    make_x(v);
}

static void after_slot_again(kp_scene_t *s)
{
    after_put_waited(s);
    kp_expect(s, X2, 1, 1, IN(B));
}

/* ---- a full space ---------------------------------------------------------------------------------------- */

/* The last room is taken by smaller and smaller memos. */
static void p_in_a_full_space(kp_scene_t *s)
{
    size_t size = 1 << 24, n = 0;

    kp_put(s, A, P);
    while (size >= 8 && n < KP_FILL) {
        if (memo_alloc(s->space, size, &s->fill[n]) == MEMO_OK) {
            n++;
        } else {
            size /= 2;
        }
    }
}

static void unfill(kp_scene_t *s)
{
    for (unsigned i = 0; i < KP_FILL && s->fill[i] != NULL; i++) {
        memo_free(s->fill[i]);
        s->fill[i] = NULL;
    }
}

/* What is there can be taken while it is full. */
static void after_full(kp_scene_t *s)
{
    kp_drain(s);
    unfill(s);
    kp_expect(s, P, 1, 1, IN(A) | IN(E));
}

/* ---- a table that grows ---------------------------------------------------------------------------------- */

enum {
    GROWN = 90,
    GROWING = 8
}; /* folders: more than the table has buckets at first; those that are put to then */

static void other_uri(const char *uri, char other[256])
{
    snprintf(other, 256, "%.*s-other?size=2M", (int)strcspn(uri, "?"), uri);
}

static memo_folder_t other_folder(unsigned i)
{
    char name[32];
    snprintf(name, sizeof name, "other %u", i);
    return memo_folder(name);
}

static void put_to_other(memo_space_t *space, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        memo_folder_t f = other_folder(i);
        memo_put(space, &f, kp_make(space, kp_id(1000 + i, 8)));
    }
}

/* A space of its own for each kill: a table never shrinks. */
static void table_is_full(kp_scene_t *s)
{
    char uri[256];

    other_uri(s->uri, uri);
    memo_unlink(uri);
    if (memo_open(&s->other, uri) != MEMO_OK) {
        kp_wrong(s, "%s: %s", uri, memo_errmsg());
        return;
    }
    put_to_other(s->other, 0, GROWN);
}

static void open_other(kp_victim_t *v)
{
    char uri[256];

    other_uri(v->uri, uri);
    memo_open(&v->other, uri);
    memo_count(v->other, &v->folders[A], &(uint64_t){0}, &(uint64_t){0});
}

static void grow_table(kp_victim_t *v)
{
    put_to_other(v->other, GROWN, GROWING);
}

static void after_growth(kp_scene_t *s)
{
    char uri[256];
    memo_stat_t stat;
    memo_t *m;

    memset(&stat, 0, sizeof stat);
    put_to_other(s->other, GROWN + GROWING, 3 * GROWN); /* it goes on growing */
    for (unsigned i = 0, gone = 0; i < 4 * GROWN + GROWING; i++) {
        memo_folder_t f = other_folder(i);
        bool there = memo_get_skip(s->other, &f, &m) == MEMO_OK;
        bool victims = i >= GROWN && i < GROWN + GROWING;

        gone = gone || (victims && !there);
        if ((!there && (!victims || s->finished)) || (there && victims && gone) ||
            (there && kp_identity(m) != kp_id(1000 + i, 8))) {
            kp_wrong(s, "folder %u of the table that grew has %s", i, there ? "another memo than its own" : "none");
        }
        if (there) {
            memo_free(m);
            if (memo_get_skip(s->other, &f, &m) != MEMO_NONE) {
                kp_wrong(s, "folder %u of the table that grew has two memos", i);
            }
        }
    }
    if (memo_stat(s->other, &stat, sizeof stat) != MEMO_OK || stat.memos != 0 || stat.folders != 0 ||
        stat.clients != 1) {
        kp_wrong(s, "in the table that grew are %u memos, %u folders, %u clients", (unsigned)stat.memos,
                 (unsigned)stat.folders, (unsigned)stat.clients);
    }
    memo_close(s->other);
    other_uri(s->uri, uri);
    memo_unlink(uri);
}

/* ---- the table ------------------------------------------------------------------------------------------- */

#define OP(n, p, e, ac, af)                                                                                        \
    {                                                                                                              \
        .name = n, .prepare = p, .enter = e, .act = ac, .after = af                                                \
    }

const kp_op_t kp_ops[] = {
    OP("put", NULL, make_x, put_a, after_put),
    OP("put-behind", p_is_there, make_x, put_a, after_put_behind),
    OP("put-large", NULL, make_large, put_a, after_put_large),
    OP("put-new-folder", NULL, make_x, put_long, after_put),
    OP("put-waiting", one_waits, make_x, put_a, after_put_waited),
    OP("put-alt", alt_waits, make_x, put_b, after_put_alt),
    {.name = "put-alt-meanwhile",
     .prepare = alt_waits,
     .enter = make_x,
     .act = put_b,
     .meanwhile = put_to_c_meanwhile,
     .after = after_put_alt_meanwhile,
     .buckets_only = true},
    OP("put-copy", copy_waits, make_x, put_a, after_put_waited),
    OP("put-copies", copies_wait, make_x, put_a, after_put_waited),
    OP("put-copies-taker", copies_and_taker_wait, make_x, put_a, after_put_waited),
    OP("put-join", join_waits, make_x, put_b, after_put_join),
    OP("put-limited", a_is_limited, make_x, put_a, after_put_limited),
    OP("get-last", p_is_there, NULL, get_a, after_get_p),
    OP("get-first", pqr_are_there, NULL, get_a, after_pqr),
    OP("get-listed", pqr_are_there, hold_many, get_a, after_pqr),
    OP("get-copy", p_is_there, NULL, copy_a, after_get_p),
    OP("free-taken", p_is_there, take_p, free_held, after_free_p),
    OP("free-listed", NULL, hold_many, free_held, nothing),
    OP("free-large", NULL, make_large, free_held, nothing),
    OP("free-huge", NULL, make_huge, free_held, nothing),
    OP("alloc", NULL, NULL, alloc_small, nothing),
    OP("alloc-again", NULL, make_x, alloc_small, nothing),
    OP("alloc-large", NULL, NULL, alloc_large, nothing),
    OP("alloc-huge", NULL, NULL, alloc_huge, nothing),
    OP("alt-times-out", NULL, NULL, alt_two, nothing),
    OP("large-alt-times-out", NULL, NULL, alt_six, nothing),
    OP("copy-times-out", NULL, NULL, copy_times_out, nothing),
    OP("strict-skip", NULL, NULL, strict_six, nothing),
    {.name = "strict-skip-meanwhile",
     .act = strict_six,
     .meanwhile = put_to_b_meanwhile,
     .after = after_y,
     .buckets_only = true},
    OP("join", three_folders, NULL, join_three, after_three),
    OP("join-listed", twelve_memos, hold_many, join_twelve, after_twelve),
    OP("join-times-out", p_is_there, NULL, join_three, after_get_p),
    OP("delay", NULL, make_x, delay_x, after_delay),
    OP("fire", three_are_delayed, make_x, put_b, after_fire),
    OP("replace", p_and_r, take_p, replace_p, after_replace),
    OP("put-elsewhere", p_is_there, take_p, put_elsewhere, after_elsewhere),
    OP("start-cancel", NULL, NULL, start_cancel, nothing),
    OP("start-two", p_is_there, NULL, start_two, after_get_p),
    OP("close", p_is_there, take_and_make, close_handle, after_get_p),
    {.name = "open", .act = open_handle, .after = nothing, .closed = true},
    {.name = "open-and-call", .act = open_and_call, .after = nothing, .closed = true},
    OP("limit", NULL, NULL, limit_a, after_limit),
    OP("unlimit", a_is_limited, NULL, unlimit_a, after_unlimit),
    OP("until-quiet", one_waits_until_quiet, take_part, wait_until_quiet, quiet_comes),
    OP("get-given", y_comes_to_b, NULL, get_b, after_y),
    OP("alt-given", y_comes_to_b, NULL, alt_three, after_y),
    OP("copy-given", y_comes_to_b, NULL, copy_b, after_y),
    OP("join-given", p_is_there_and_y_comes, NULL, join_a_and_b, after_p_and_y),
    OP("start-given", y_comes_to_b, NULL, start_and_wait, after_y),
    OP("put-slot-again", two_wait, use_a_slot, put_a, after_slot_again),
    OP("full-alloc", p_in_a_full_space, NULL, alloc_small, after_full),
    OP("full-get", p_in_a_full_space, NULL, get_a, after_full),
    OP("full-put", p_in_a_full_space, take_p, put_elsewhere, after_full),
    OP("full-copy", p_in_a_full_space, NULL, copy_a, after_full),
    OP("put-growing", table_is_full, open_other, grow_table, after_growth),
    {.name = "repair",
     .prepare = p_and_r_apart,
     .enter = somebody_dies,
     .act = look_around,
     .after = after_repair,
     .slow = true},
    {.name = "repair-letters",
     .prepare = p_and_r_apart,
     .enter = somebody_dies,
     .act = look_around,
     .after = after_letters,
     .options = "max_redeliveries=0&dead_letters=fg",
     .slow = true},
    {.name = "repair-letters-awaited",
     .prepare = letters_are_awaited,
     .enter = somebody_dies,
     .act = look_around,
     .after = after_letters,
     .options = "max_redeliveries=0&dead_letters=fg",
     .slow = true},
    {.name = "repair-spent",
     .prepare = p_and_r_apart,
     .enter = somebody_dies,
     .act = look_around,
     .after = after_spent,
     .options = "max_redeliveries=0",
     .slow = true},
};

const size_t kp_ops_count = sizeof kp_ops / sizeof kp_ops[0];
