/*
 * conform.c - the contract, clause by clause, on every backend.
 *
 *   conform.t [BACKEND [TEST...]]
 *   mpiexec -n RANKS conform.t URI TEST...
 *
 * BACKEND is a scheme or a URI (default: $MEMO_TEST_URI, else shm-bucket and shm-lock), TEST a name of the table
 * below or the beginning of one. Every test has a fresh space; its functions are in t/lib/conform_*.c.
 *
 * Under mpiexec all tests named share the job's one space (t/lib/ranks.h), and what the table says of options and
 * of ranks is the caller's to see to: t/mpi_conform.sh does.
 */
#include "t/lib/conform.h"
#include "t/lib/ranks.h"

#include <stdlib.h>
#include <string.h>

#define SMALL "size=4M"

static const struct {
    const char *name;
    void (*run)(memo_space_t *s);
    const char *options; /* of its space; NULL: what tests have otherwise */
    bool kills;
} tests[] = {
    {"c01_folders", c01_folders, NULL, false},
    {"c02_put", c02_put, NULL, false},
    {"c03_exactly_once", c03_exactly_once, NULL, false},
    {"c04_copy", c04_copy, NULL, false},
    {"c05_order", c05_order, NULL, false},
    {"c06_skip", c06_skip, NULL, false},
    {"c07_alt", c07_alt, NULL, false},
    {"c08_alt_skip", c08_alt_skip, NULL, false},
    {"c09_strict_alt_skip", c09_strict_alt_skip, NULL, false},
    {"c10_time", c10_time, NULL, false},
    {"c11_delayed_put", c11_delayed_put, NULL, false},
    {"c12_join", c12_join, NULL, false},
    {"c13_close", c13_close, NULL, false},
    {"c13_waiting", c13_waiting, NULL, true},
    {"c13_holding", c13_holding, NULL, true},
    {"c13_anywhere", c13_anywhere, NULL, true},
    {"c13_drop", c13_drop, "size=64M&on_death=drop", true},
    {"c13_letters", c13_letters, "size=64M&max_redeliveries=1&dead_letters=" LETTERS, true},
    {"c13_spent", c13_spent, "size=64M&max_redeliveries=0", true},
    {"c14_limits", c14_limits, NULL, false},
    {"c14_refill", c14_refill, SMALL, false},
    {"c14_drained", c14_drained, SMALL, false},
    {"c14_room", c14_room, SMALL, false},
    {"c14_mixed", c14_mixed, SMALL, false},
    {"c15_threads", c15_threads, NULL, false},
    {"c16_bad_input", c16_bad_input, NULL, false},
    {"c17_quiet", c17_quiet, NULL, false},
    {"c17_alone", c17_alone, NULL, false},
    {"c17_deaths", c17_deaths, NULL, true},
    {"forms_of_put", forms_of_put, NULL, false},
    {"requests", requests, NULL, false},
    {"knowing", knowing, NULL, false},
    {"names", names, NULL, false},
};

#define TESTS (sizeof tests / sizeof tests[0])

/* What is asserted of shared memory alone, and why: said in every job, so that nobody takes it for tested there. */
static const struct {
    const char *what, *why;
} without[] = {
    {"C3: one memo that takes most of a node's region, between nodes",
     "it may be there twice until it has arrived"},
    {"memo_unlink of a space that is there", "a space over MPI has no name, and ends with its job"},
    {"C13: a handle opened and dropped by one that is killed", "a process opens the space once"},
    {"C15: the child of a fork opens the space anew", "MPI is the parent's: it is refused instead"},
    {"C17: ranks that have not opened the space yet", "opening is collective"},
    {"C17: clients without a rank, and the leader of a run", "every client of a job has one"},
    {"C16: a memo of another space of the same backend", "there is no other: one of shm-bucket stands for it"},
};

static bool asked_for(const char *name, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strncmp(name, argv[i], strlen(argv[i])) == 0)
            return true;
    }
    return argc <= 2;
}

static void run_one(size_t i, memo_space_t *s, const char *backend)
{
    int64_t start = now_ns();
    if (tests[i].kills && peers_are_threads())
        tap_skip("peers are threads, which cannot be killed", "%s", tests[i].name);
    else
        tests[i].run(s);
    tap_diag("%s %s: %.1f s", backend, tests[i].name, (double)(now_ns() - start) / 1e9);
}

static void run_tests(const char *backend, int argc, char **argv)
{
    spaces_of(backend);
    for (size_t i = 0; i < TESTS; i++) {
        if (!asked_for(tests[i].name, argc, argv))
            continue;
        const char *uri = space_fresh(tests[i].options);
        peers_use(uri);
        memo_space_t *s = space_open(uri);
        run_one(i, s, backend);
        tap_ok(memo_close(s) == MEMO_OK, "%s: closed", tests[i].name);
        tap_ok(memo_unlink(uri) == MEMO_OK, "%s: removed", tests[i].name);
    }
}

static void run_as_ranks(const char *uri, int argc, char **argv)
{
    peers_use(uri);
    memo_space_t *s = ranks_open(uri);
    spaces_of("shm-bucket");
    spaces_shared();
    tap_seed();
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
        tap_diag("without %s: %s", without[i].what, without[i].why);
    for (size_t i = 0; i < TESTS; i++) {
        if (asked_for(tests[i].name, argc, argv))
            run_one(i, s, uri);
    }
    tap_ok(ranks_close(s), "%s: all close", uri);
    if (strncmp(uri, "shm-", 4) == 0) /* the ranks of `memo run`, so to speak: to try the tests themselves */
        memo_unlink(uri);
}

int main(int argc, char **argv)
{
    const char *given = argc > 1 ? argv[1] : getenv("MEMO_TEST_URI");
    if (ranks_asked() && given != NULL) {
        tap_timeout(500);
        run_as_ranks(given, argc, argv);
        return tap_done();
    }
    unsetenv("MEMO_RUN");
    spaces_guarded();
    tap_timeout(580);
    tap_seed();
    if (given != NULL && given[0] != '\0') {
        run_tests(given, argc, argv);
    } else {
        run_tests("shm-bucket", argc, argv);
        run_tests("shm-lock", argc, argv);
    }
    return tap_done();
}
