/*
 * conform_lease.c - memos whose takers die one after the other: clause C13 where the space has max_redeliveries=,
 * with dead_letters= and without.
 */
#include "t/lib/conform_death.h"
#include "t/lib/ranks.h"

#include <string.h>
#include <unistd.h>

/* Takes all there is, and stays to be killed. */
static int c13_takes_all(memo_space_t *s, void *arg)
{
    victim_t *v = arg;
    memo_folder_t f = folder("poisoned"), g = memo_folder(LETTERS);
    memo_t *m = NULL;
    while (memo_get_skip(s, &f, &m) == MEMO_OK)
        ;
    while (memo_get_skip(s, &g, &m) == MEMO_OK)
        ;
    atomic_store(&v->ready, 1);
    for (;;)
        pause();
    return 0;
}

static void takes_and_dies(victim_t *v)
{
    peer_kill(victim_start(c13_takes_all, v));
}

typedef struct found {
    uint64_t count, sum;  /* of the numbers */
    unsigned least, most; /* times redelivered */
    bool from;            /* all say they come from there */
} found_t;

/* What is in the folder, taken and freed. */
static found_t find(memo_space_t *s, const memo_folder_t *f)
{
    found_t all = {.least = ~0u, .from = true};
    memo_t *m = NULL;
    while (memo_get_skip(s, f, &m) == MEMO_OK) {
        memo_folder_t from = memo_from(m);
        unsigned n = memo_redeliveries(m);
        all.from = all.from && memcmp(&from, f, sizeof from) == 0;
        all.least = n < all.least ? n : all.least;
        all.most = n > all.most ? n : all.most;
        all.count++;
        all.sum += number_freed(m);
    }
    return all;
}

/* With max_redeliveries=1 a memo goes back once, all the way to the dead letters the second time; put again, it
 * begins anew. */
static void c13_twice(memo_space_t *s, victim_t *v)
{
    memo_folder_t f = folder("poisoned"), g = memo_folder(LETTERS);
    memo_t *m = NULL;
    for (uint64_t i = 1; i <= 3; i++)
        put_number(s, &f, i);
    memo_limit(s, &g, 1, 0);
    takes_and_dies(v);
    tap_ok(memos_become(s, &f, 3) && stat_of(s).redelivered == 3 && stat_of(s).dead_letters == 0,
           "c13: redelivered as often as may be, memos are in their folder");
    tap_ok(memo_get_skip(s, &f, &m) == MEMO_OK && memo_redeliveries(m) == 1 && memo_replace(m) == MEMO_OK,
           "c13: one of them is put there again");
    takes_and_dies(v);
    tap_ok(memos_become(s, &g, 2) && memos_become(s, &f, 1),
           "c13: oftener, they are dead letters, however many those may be");
    tap_ok(stat_of(s).redelivered == 4 && stat_of(s).dead_letters == 2 && stat_of(s).dropped == 0,
           "c13: and are counted so (%llu redelivered, %llu dead letters)",
           (unsigned long long)stat_of(s).redelivered, (unsigned long long)stat_of(s).dead_letters);
    m = new_number(s, 9);
    tap_ok(refused(memo_put(s, &g, m), MEMO_EFULL), "c13: a put to them meets the limit");
    memo_free(m);
    memo_limit(s, &g, 0, 0);
}

/* The victim has two dead letters, and another memo that is to be one: who waits there is served as by a put. */
static void c13_letters_are_read(memo_space_t *s, victim_t *v)
{
    memo_folder_t f = folder("poisoned"), g = memo_folder(LETTERS), told = folder("told");
    peer_t *p = victim_start(c13_takes_all, v);
    call_t get, copy;
    call_get(&get, s, &g);
    call_get(&copy, s, &g);
    copy.select.what = MEMO_COPY;
    call_start(&get);
    call_start(&copy);
    bool right = waiters_become(s, &g, 2) && memo_put_delayed(s, &g, &told, new_number(s, 5)) == MEMO_OK;
    peer_kill(p);
    right = call_wait(&get) == MEMO_OK && right;
    right = call_wait(&copy) == MEMO_OK && right;
    tap_ok(right && memo_redeliveries(get.m) >= 2 && number_freed(get.m) + number_freed(copy.m) > 0,
           "c13: a get and a copy that wait for dead letters are served");
    uint64_t number = 0;
    tap_ok(take_number(s, &told, &number, PATIENCE) == MEMO_OK && number == 5,
           "c13: a delayed put that they trigger fires");
    tap_ok(memos_become(s, &g, 2) && memos_become(s, &f, 0), "c13: what was taken from there goes back there");
    tap_ok(stat_of(s).redelivered == 6 && stat_of(s).dead_letters == 3, "c13: as redelivered");
}

void c13_letters(memo_space_t *s)
{
    victim_t *v = peer_shared(sizeof *v);
    memo_folder_t f = folder("poisoned"), g = memo_folder(LETTERS);
    uint64_t used = stat_of(s).used;
    c13_twice(s, v);
    c13_letters_are_read(s, v);
    takes_and_dies(v);
    memos_become(s, &g, 2);
    found_t letters = find(s, &g);
    tap_ok(letters.count == 2 && letters.least >= 3 && letters.most == 4 && letters.from,
           "c13: for as often as their takers die, which they tell (%u to %u)", letters.least, letters.most);
    tap_ok(drain(s, &f) == 0 && stat_of(s).memos == 0 && stat_of(s).folders == 0, "c13: and nowhere else");
    tap_ok(used_becomes(s, used + 65536), "c13: nothing is left");
    peer_unshare(v, sizeof *v);
}

/* With max_redeliveries=0 and no dead letters they are gone with the first who takes them; who closes is one. */
void c13_spent(memo_space_t *s)
{
    victim_t *v = peer_shared(sizeof *v);
    memo_folder_t f = folder("poisoned");
    uint64_t used = stat_of(s).used;
    guest_t *other = guest_open();
    for (uint64_t i = 1; i <= 3; i++)
        put_number(s, &f, i);
    tap_ok(guest_takes(other, &f) == 1 && guest_close(other) == MEMO_OK && stat_of(s).dropped == 1,
           "c13: with max_redeliveries=0, what one holds who closes is dropped");
    takes_and_dies(v);
    for (int64_t end = now_ns() + PATIENCE; stat_of(s).dropped < 3 && now_ns() < end;)
        pause_ns(MS);
    tap_ok(stat_of(s).dropped == 3 && stat_of(s).redelivered == 0 && stat_of(s).dead_letters == 0,
           "c13: and what the dead held");
    tap_ok(stat_of(s).memos == 0 && stat_of(s).folders == 0 && used_becomes(s, used + 65536),
           "c13: nothing of it is left");
    peer_unshare(v, sizeof *v);
}
