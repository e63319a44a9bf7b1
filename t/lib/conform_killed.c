/*
 * conform_killed.c - clients killed at any instant of any call (clause C13): tokens that all of them move about are
 * all there in the end, each once, and nobody is stopped.
 */
#include "t/lib/conform_death.h"
#include "t/lib/ranks.h"

#include <string.h>

#define C13_TOKENS 24
#define C13_KILLS 500
#define SOON 20000     /* ns; one that waits is not in the middle of anything */
#define C13_NUDGE 1000 /* the number of memos that are no tokens, but triggers of delayed puts */

/* A select that is started, then collected or cancelled. */
static int c13_request(memo_space_t *s, const memo_folder_t f[3], uint64_t draw, memo_t **m)
{
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    sel.folders = f;
    sel.count = 3;
    sel.choice = draw % 2 == 0 ? MEMO_ROTATE : MEMO_LISTED;
    int rc = memo_start(s, &sel, &r);
    if (rc == MEMO_OK)
        rc = draw % 4 < 2 ? memo_wait(r, m, NULL, SOON) : memo_test(r, m, NULL);
    return rc == MEMO_PENDING ? memo_cancel(r) : rc;
}

/* Memory that comes and goes, and another client that gives back what it holds. */
static int c13_beside(memo_space_t *s, const memo_folder_t f[3], uint64_t draw)
{
    memo_space_t *other = NULL;
    memo_t *m = NULL;
    int rc;
    if (draw % 8 != 0 || peers_are_ranks()) {
        rc = memo_alloc(s, draw % 100000, &m);
        if (rc == MEMO_OK)
            memset(memo_data(m), 1, memo_size(m));
        memo_free(m);
        return rc;
    }
    rc = memo_open(&other, peers_uri());
    if (rc != MEMO_OK)
        return rc;
    rc = memo_get_skip(other, &f[draw / 8 % 3], &m);
    return rc < 0 ? rc : memo_close(other);
}

/* Takes one token or two, by one call or another. A copy is freed here. */
static int c13_take(memo_space_t *s, const memo_folder_t f[3], uint64_t draw, memo_t *m[2])
{
    const memo_folder_t *one = &f[draw / 16 % 3];
    int rc;
    switch (draw % 12) {
    case 0:
        return memo_get_all_for(s, &f[draw / 16 % 2], 2, m, SOON);
    case 1:
        return memo_strict_alt_skip(s, f, 3, &m[0], NULL);
    case 2:
        rc = draw % 32 < 16 ? memo_get_copy_skip(s, one, &m[0]) : memo_get_copy_for(s, one, &m[0], SOON);
        memo_free(m[0]);
        m[0] = NULL;
        return rc;
    case 3:
        return memo_get_for(s, one, &m[0], SOON);
    case 4:
    case 5:
        return c13_request(s, f, draw / 16, &m[0]);
    case 6:
        return c13_beside(s, f, draw / 16);
    default:
        return memo_alt_for(s, f, 3, &m[0], NULL, SOON);
    }
}

static int c13_give(memo_space_t *s, const memo_folder_t f[3], uint64_t draw, memo_t *m)
{
    const memo_folder_t *to = &f[draw / 8 % 3];
    int rc;
    switch (draw % 8) {
    case 0:
        return memo_replace(m);
    case 1:
        return memo_put_delayed(s, &f[draw / 32 % 3], to, m);
    case 2:
        rc = memo_put_start(s, to, m);
        return rc == MEMO_OK ? memo_flush(s) : rc;
    default:
        return memo_put(s, to, m);
    }
}

/* Nothing but putting and taking, where most of the time is spent in the middle of something. */
static int c13_burst(memo_space_t *s, const memo_folder_t f[3], uint64_t draw)
{
    for (uint64_t i = 0; i < draw % 64; i++) {
        memo_t *m = NULL;
        int rc = memo_get_skip(s, &f[(draw >> i) % 3], &m);
        if (rc == MEMO_OK)
            rc = memo_put(s, &f[(draw >> (i / 2)) % 3], m);
        if (rc < 0)
            return rc;
    }
    return MEMO_OK;
}

/* Moves tokens about by every kind of call until killed. */
static int c13_dies_anywhere(memo_space_t *s, void *arg)
{
    victim_t *v = arg;
    memo_folder_t f[3] = {folder("t 0"), folder("t 1"), folder("t 2")};
    uint64_t random = v->seed;
    atomic_store(&v->ready, 1);
    for (;;) {
        uint64_t draw = random_next(&random);
        memo_t *m[2] = {NULL, NULL};
        PEER(c13_burst(s, f, draw >> 40) == MEMO_OK);
        PEER(c13_take(s, f, draw, m) >= 0);
        for (int i = 0; i < 2; i++) {
            if (m[i] != NULL)
                PEER(c13_give(s, f, draw >> (20 + i), m[i]) == MEMO_OK);
        }
        atomic_fetch_add(&v->rounds, 1);
    }
}

/* Something in every folder for an instant, so that delayed puts fire. */
static void c13_nudge(memo_space_t *s, const memo_folder_t f[3])
{
    for (int i = 0; i < 3; i++)
        put_number(s, &f[i], C13_NUDGE);
}

/* All tokens are taken out (each within patience), and must be those that went in. */
static bool c13_all_there(memo_space_t *s)
{
    memo_folder_t f[3] = {folder("t 0"), folder("t 1"), folder("t 2")};
    uint64_t seen = 0, all = (UINT64_C(1) << C13_TOKENS) - 1;
    bool right = true;
    int64_t end = now_ns() + PATIENCE;
    while (right && seen != all && now_ns() < end) {
        memo_t *m = NULL;
        int rc = memo_alt_for(s, f, 3, &m, NULL, 20 * MS);
        if (rc != MEMO_OK) {
            c13_nudge(s, f);
            continue;
        }
        uint64_t number = number_freed(m);
        if (number == C13_NUDGE)
            continue;
        right = number < C13_TOKENS && (seen & UINT64_C(1) << number) == 0;
        seen |= UINT64_C(1) << (number & 63);
    }
    for (int i = 0; i < 3; i++) {
        uint64_t number;
        while (take_number(s, &f[i], &number, 0) == MEMO_OK)
            right = number == C13_NUDGE && right;
    }
    if (!right || seen != all)
        tap_diag("tokens seen: %llx", (unsigned long long)seen);
    return right && seen == all;
}

static void c13_tokens_in(memo_space_t *s)
{
    for (uint64_t i = 0; i < C13_TOKENS; i++) {
        memo_folder_t f = folder("t %d", (int)(i % 3));
        put_number(s, &f, i);
    }
}

/* In an MPI job there are only so many to kill; jobs can be run again and again. */
void c13_anywhere(memo_space_t *s)
{
    victim_t *v = peer_shared(sizeof *v);
    const int kills = peers_are_ranks() ? ranks_left() / 2 : C13_KILLS;
    uint64_t random = tap_seed() + 13, used;
    bool right = true;
    memo_stat_t before = stat_of(s);
    c13_tokens_in(s);
    used = stat_of(s).used;
    for (int i = 0; i < kills && right; i++) {
        peer_t *p[2];
        for (int k = 0; k < 2; k++) {
            v->seed = random_next(&random);
            p[k] = victim_start(c13_dies_anywhere, v);
        }
        pause_ns((int64_t)(random_next(&random) % (3 * MS)));
        peer_kill(p[0]);
        uint64_t rounds = atomic_load(&v->rounds);
        int64_t end = now_ns() + PATIENCE;
        while (i % 8 == 0 && atomic_load(&v->rounds) < rounds + 20 && right)
            right = now_ns() < end;
        peer_kill(p[1]);
        if (i % 10 == 9 || peers_are_ranks()) {
            right = c13_all_there(s) && right;
            c13_tokens_in(s);
        }
    }
    tap_ok(right, "c13: %d killed in the middle of anything lose no token, double none, stop nobody", 2 * kills);
    tap_ok(clients_become(s, peers_are_ranks() ? before.clients - 2 * (uint64_t)kills : before.clients),
           "c13: none of them is left among the clients");
    tap_ok(c13_all_there(s) && used_becomes(s, used + 65536), "c13: nor is their memory");
    tap_ok(atomic_load(&v->rounds) > (uint64_t)kills, "c13: they had done something (%llu rounds)",
           (unsigned long long)atomic_load(&v->rounds));
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0, "c13: nothing is left");
    peer_unshare(v, sizeof *v);
}
