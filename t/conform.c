/*
 * conform.c - the contract, clause by clause, on every backend.
 *
 *   conform.t [BACKEND [TEST...]]
 *
 * BACKEND is a scheme or a URI (default: $MEMO_TEST_URI, else shm-bucket and shm-lock), TEST a name of the table
 * below or the beginning of one. Every test has a fresh space; its functions are in t/lib/conform_*.c.
 */
#include "t/lib/conform.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*run)(memo_space_t *s);
} tests[] = {
    {"c01_folders", c01_folders},
    {"c02_put", c02_put},
    {"c03_exactly_once", c03_exactly_once},
    {"c04_copy", c04_copy},
    {"c05_order", c05_order},
    {"c06_skip", c06_skip},
    {"c07_alt", c07_alt},
    {"c08_alt_skip", c08_alt_skip},
    {"c09_strict_alt_skip", c09_strict_alt_skip},
    {"c10_time", c10_time},
    {"c11_delayed_put", c11_delayed_put},
    {"c12_join", c12_join},
    {"c13_death", c13_death},
    {"c14_limits", c14_limits},
    {"c15_threads", c15_threads},
    {"c16_bad_input", c16_bad_input},
    {"c17_quiet", c17_quiet},
    {"forms_of_put", forms_of_put},
    {"requests", requests},
    {"knowing", knowing},
    {"names", names},
};

static bool asked_for(const char *name, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strncmp(name, argv[i], strlen(argv[i])) == 0)
            return true;
    }
    return argc <= 2;
}

static void run_tests(const char *backend, int argc, char **argv)
{
    spaces_of(backend);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        if (!asked_for(tests[i].name, argc, argv))
            continue;
        const char *uri = space_fresh(NULL);
        int64_t start = now_ns();
        peers_use(uri);
        memo_space_t *s = space_open(uri);
        tests[i].run(s);
        tap_ok(memo_close(s) == MEMO_OK, "%s: closed", tests[i].name);
        tap_ok(memo_unlink(uri) == MEMO_OK, "%s: removed", tests[i].name);
        tap_diag("%s %s: %.1f s", backend, tests[i].name, (double)(now_ns() - start) / 1e9);
    }
}

int main(int argc, char **argv)
{
    const char *given = argc > 1 ? argv[1] : getenv("MEMO_TEST_URI");
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
