/*
 * calls.c - the public calls over a backend that only takes notes: each form of select fills in the general one,
 * and what is malformed is refused, with a sentence, before the backend hears of it.
 */
#include "libmemo/api/handles.h"
#include "t/tap.h"

#include <sys/wait.h>

/* What the backend was last asked, and how often. */
static struct {
    unsigned calls;
    memo_select_t select;
    size_t size;
    int64_t timeout_ns;
    bool put_refused, freed;
} noted;

static char memory[4096];
static memo_t *const memo = (memo_t *)(void *)(memory + 64);

static int note(void)
{
    noted.calls++;
    return MEMO_OK;
}

static int fake_close(memo_space_t *space)
{
    handles_retire(space);
    return note();
}

static void fake_forget(memo_space_t *space)
{
    (void)space;
}

static int fake_rank(memo_space_t *space)
{
    return space ? note() : MEMO_EINVAL;
}

static int fake_symbol(memo_space_t *space, memo_symbol_t *symbol)
{
    *symbol = 7;
    return fake_rank(space);
}

static int fake_alloc(memo_space_t *space, size_t size, memo_t **m, int64_t timeout_ns)
{
    noted.size = size;
    noted.timeout_ns = timeout_ns;
    *m = memo;
    return fake_rank(space);
}

static int fake_put(memo_space_t *space, const memo_folder_t *folder, memo_t *m, int64_t timeout_ns)
{
    (void)folder;
    noted.timeout_ns = timeout_ns;
    fake_rank(space);
    return m == memo && !noted.put_refused ? MEMO_OK : MEMO_EFULL;
}

static int fake_put_start(memo_space_t *space, const memo_folder_t *folder, memo_t *m)
{
    return fake_put(space, folder, m, 0);
}

static int fake_put_delayed(memo_space_t *space, const memo_folder_t *trigger, const memo_folder_t *target,
                            memo_t *m)
{
    (void)trigger;
    return fake_put(space, target, m, 0);
}

static int fake_flush_failed(memo_space_t *space, memo_t **m)
{
    *m = memo;
    return fake_rank(space);
}

static int fake_replace(memo_space_t *space, memo_t *m)
{
    (void)m;
    return fake_rank(space);
}

static void fake_free(memo_space_t *space, memo_t *m)
{
    (void)m;
    fake_rank(space);
    noted.freed = true;
}

static void *fake_data(memo_space_t *space, memo_t *m)
{
    fake_rank(space);
    return m;
}

static size_t fake_size(memo_space_t *space, const memo_t *m)
{
    (void)m;
    fake_rank(space);
    return 5;
}

static memo_folder_t fake_from(memo_space_t *space, const memo_t *m)
{
    (void)m;
    fake_rank(space);
    return memo_folder("origin");
}

static unsigned fake_redeliveries(memo_space_t *space, const memo_t *m)
{
    (void)m;
    fake_rank(space);
    return 3;
}

static int fake_select(memo_space_t *space, const memo_select_t *select, memo_t **m, size_t *which)
{
    noted.select = *select;
    *m = memo;
    *which = select->count - 1;
    return fake_rank(space);
}

static int fake_get_all(memo_space_t *space, const memo_folder_t folders[], size_t n, memo_t *m[],
                        int64_t timeout_ns)
{
    (void)folders;
    m[n - 1] = memo;
    noted.timeout_ns = timeout_ns;
    return fake_rank(space);
}

static memo_request_t request;

static int fake_start(memo_space_t *space, const memo_select_t *select, memo_request_t **r)
{
    request.space = space;
    *r = &request;
    noted.select = *select;
    return note();
}

static int fake_test(memo_request_t *r, memo_t **m, size_t *which)
{
    *m = memo;
    *which = 2;
    return fake_rank(r->space);
}

static int fake_wait(memo_request_t *r, memo_t **m, size_t *which, int64_t timeout_ns)
{
    noted.timeout_ns = timeout_ns;
    return fake_test(r, m, which);
}

static int fake_cancel(memo_request_t *r)
{
    return fake_rank(r->space);
}

static int fake_limit(memo_space_t *space, const memo_folder_t *folder, uint64_t memos, uint64_t bytes)
{
    noted.size = memos + bytes;
    return folder ? fake_rank(space) : MEMO_EINVAL;
}

static int fake_count(memo_space_t *space, const memo_folder_t *folder, uint64_t *memos, uint64_t *waiters)
{
    *memos = 4;
    *waiters = 2;
    return folder ? fake_rank(space) : MEMO_EINVAL;
}

static int fake_stat(memo_space_t *space, memo_stat_t *stat)
{
    memset(stat, 0x11, sizeof *stat);
    return fake_rank(space);
}

static int fake_each(memo_space_t *space, int (*visit)(const memo_folder_t *, uint64_t, uint64_t, uint64_t, void *),
                     void *arg)
{
    memo_folder_t folder = memo_folder("visited");

    fake_rank(space);
    return visit(&folder, 1, 2, 3, arg);
}

static const memo_backend_t fake = {
    .scheme = "fake",
    .close = fake_close,
    .forget = fake_forget,
    .rank = fake_rank,
    .ranks = fake_rank,
    .symbol = fake_symbol,
    .alloc = fake_alloc,
    .put = fake_put,
    .put_start = fake_put_start,
    .flush = fake_rank,
    .flush_failed = fake_flush_failed,
    .put_delayed = fake_put_delayed,
    .replace = fake_replace,
    .free = fake_free,
    .data = fake_data,
    .size = fake_size,
    .from = fake_from,
    .redeliveries = fake_redeliveries,
    .select = fake_select,
    .get_all = fake_get_all,
    .start = fake_start,
    .test = fake_test,
    .wait = fake_wait,
    .cancel = fake_cancel,
    .fd = fake_rank,
    .limit = fake_limit,
    .count = fake_count,
    .stat = fake_stat,
    .each = fake_each,
};

static memo_space_t *opened(void *base, size_t size)
{
    memo_space_t *space = handles_new(sizeof *space);

    space->backend = &fake;
    if (handles_register(space, base, size) != MEMO_OK) {
        tap_bail("cannot register");
    }
    atomic_store(&space->open, true);
    return space;
}

/* ---- forms ----------------------------------------------------------------------------------------------- */

static void form(int result, const char *name, size_t count, memo_what_t what, memo_when_empty_t when_empty,
                 int64_t timeout_ns)
{
    memo_select_t s = noted.select;
    bool skips = when_empty == MEMO_SKIP || when_empty == MEMO_STRICT_SKIP;

    tap_ok(result == MEMO_OK && s.count == count && s.what == what && s.when_empty == when_empty &&
               s.choice == MEMO_LISTED && (skips || s.timeout_ns == timeout_ns),
           "%s is the select it says", name);
}

static void forms_of_select(memo_space_t *space)
{
    memo_folder_t f[3] = {memo_folder("a"), memo_folder("b"), memo_folder("c")};
    memo_t *m, *all[3];
    size_t which = 9;

    form(memo_get(space, f, &m), "memo_get", 1, MEMO_TAKE, MEMO_WAIT, MEMO_FOREVER);
    form(memo_get_skip(space, f, &m), "memo_get_skip", 1, MEMO_TAKE, MEMO_SKIP, 0);
    form(memo_get_for(space, f, &m, 5), "memo_get_for", 1, MEMO_TAKE, MEMO_WAIT, 5);
    form(memo_get_copy(space, f, &m), "memo_get_copy", 1, MEMO_COPY, MEMO_WAIT, MEMO_FOREVER);
    form(memo_get_copy_skip(space, f, &m), "memo_get_copy_skip", 1, MEMO_COPY, MEMO_SKIP, 0);
    form(memo_get_copy_for(space, f, &m, 6), "memo_get_copy_for", 1, MEMO_COPY, MEMO_WAIT, 6);
    form(memo_alt(space, f, 3, &m, &which), "memo_alt", 3, MEMO_TAKE, MEMO_WAIT, MEMO_FOREVER);
    tap_ok(m == memo && which == 2, "... and hands on what was taken, and which folder it came from");
    form(memo_alt_skip(space, f, 3, &m, NULL), "memo_alt_skip", 3, MEMO_TAKE, MEMO_SKIP, 0);
    form(memo_alt_for(space, f, 3, &m, NULL, 7), "memo_alt_for", 3, MEMO_TAKE, MEMO_WAIT, 7);
    form(memo_strict_alt_skip(space, f, 3, &m, NULL), "memo_strict_alt_skip", 3, MEMO_TAKE, MEMO_STRICT_SKIP, 0);
    tap_ok(memo_get_all(space, f, 3, all) == MEMO_OK && noted.timeout_ns == MEMO_FOREVER && !all[0] &&
               all[2] == memo,
           "memo_get_all clears its places and waits for ever");
    tap_ok(memo_get_all_for(space, f, 3, all, 8) == MEMO_OK && noted.timeout_ns == 8,
           "memo_get_all_for waits so long");

    memo_select_t select = MEMO_SELECT_INIT;
    select.folders = f;
    select.count = 2;
    form(memo_select(space, &select, &m, NULL), "MEMO_SELECT_INIT", 2, MEMO_TAKE, MEMO_WAIT, MEMO_FOREVER);
    select.when_empty = MEMO_SKIP;
    select.timeout_ns = -77;
    tap_is_int(memo_select(space, &select, &m, NULL), MEMO_OK, "a skip ignores the timeout");
}

static void forms_of_put(memo_space_t *space)
{
    memo_folder_t f = memo_folder("a");
    memo_t *m;

    tap_ok(memo_alloc(space, 10, &m) == MEMO_OK && m == memo && noted.timeout_ns == 0, "memo_alloc does not wait");
    tap_ok(memo_alloc_for(space, 10, &m, 9) == MEMO_OK && noted.timeout_ns == 9, "memo_alloc_for does");
    tap_ok(memo_put(space, &f, m) == MEMO_OK && noted.timeout_ns == 0, "memo_put does not wait");
    tap_ok(memo_put_for(space, &f, m, MEMO_FOREVER) == MEMO_OK && noted.timeout_ns == -1, "memo_put_for does");
    tap_is_int(memo_put_start(space, &f, m), MEMO_OK, "memo_put_start");
    tap_is_int(memo_flush(space), MEMO_OK, "memo_flush");
    tap_ok(memo_flush_failed(space, &m) == MEMO_OK && m == memo, "memo_flush_failed");
    tap_is_int(memo_put_delayed(space, &f, &f, m), MEMO_OK, "memo_put_delayed");
    tap_is_int(memo_replace(m), MEMO_OK, "memo_replace");
    noted.freed = false;
    tap_is_int(memo_write(space, &f, "words", 5), MEMO_OK, "memo_write allocates and puts");
    tap_ok(noted.size == 5 && memcmp(memo, "words", 5) == 0 && !noted.freed, "... what it was given");
    tap_is_int(memo_write(space, &f, NULL, 0), MEMO_OK, "nothing may be written from nowhere");
    noted.put_refused = true;
    tap_is_int(memo_write(space, &f, "words", 5), MEMO_EFULL, "memo_write tells when the put is refused");
    tap_ok(noted.freed, "... and frees what it allocated");
    noted.put_refused = false;
}

static int visited(const memo_folder_t *folder, uint64_t memos, uint64_t bytes, uint64_t waiters, void *arg)
{
    return *(int *)arg + (folder->length == 7 && memos == 1 && bytes == 2 && waiters == 3);
}

static void questions(memo_space_t *space)
{
    memo_folder_t f = memo_folder("a"), from = memo_from(memo), origin = memo_folder("origin");
    uint64_t memos, waiters;
    memo_symbol_t symbol;
    int hundred = 100;
    struct {
        memo_stat_t stat;
        unsigned char later[16];
    } figures;

    tap_ok(memo_data(memo) == memo && memo_size(memo) == 5 && memo_redeliveries(memo) == 3, "of a memo");
    tap_ok(memcmp(&from, &origin, sizeof from) == 0, "where it came from");
    tap_ok(memo_symbol(space, &symbol) == MEMO_OK && symbol == 7, "memo_symbol");
    tap_ok(memo_rank(space) == 0 && memo_ranks(space) == 0 && memo_fd(space) == 0, "rank, ranks, fd");
    tap_ok(memo_count(space, &f, &memos, &waiters) == MEMO_OK && memos == 4 && waiters == 2, "memo_count");
    tap_ok(memo_count(space, &f, NULL, NULL) == MEMO_OK, "memo_count without places");
    tap_ok(memo_limit(space, &f, 1, 2) == MEMO_OK && noted.size == 3, "memo_limit");
    tap_is_int(memo_each(space, visited, &hundred), 101, "memo_each hands on what the visit returns");
    memset(&figures, 0xff, sizeof figures);
    tap_is_int(memo_stat(space, &figures.stat, sizeof figures), MEMO_OK, "memo_stat of a later version");
    tap_ok(figures.stat.strict_phases == UINT64_C(0x1111111111111111) && figures.later[0] == 0 &&
               figures.later[15] == 0,
           "... has what is unknown zeroed");
    memset(&figures, 0xff, sizeof figures);
    tap_is_int(memo_stat(space, &figures.stat, 16), MEMO_OK, "memo_stat of an earlier version");
    tap_ok(figures.stat.used == UINT64_C(0x1111111111111111) && figures.stat.folders == UINT64_MAX,
           "... writes no further");
}

/* ---- refusals -------------------------------------------------------------------------------------------- */

/* The backend was not asked since the last look. */
static bool unheard(void)
{
    static unsigned seen;
    bool same = noted.calls == seen;

    seen = noted.calls;
    return same;
}

static void refused(int result, int code, const char *word, const char *name)
{
    bool quiet = unheard();

    if (!tap_ok(result == code && quiet && strstr(memo_errmsg(), word), "%s is refused", name)) {
        tap_diag("%d, %s: %s", result, quiet ? "unheard" : "heard", memo_errmsg());
    }
}

static void bad_spaces(memo_space_t *bad, int code, const char *word, const char *what)
{
    memo_folder_t f = memo_folder("a");
    memo_select_t select = {&f, 1, MEMO_TAKE, MEMO_WAIT, MEMO_LISTED, MEMO_FOREVER};
    memo_t *m = memo;
    memo_request_t *r = &request;
    memo_symbol_t symbol = 1;
    memo_stat_t stat;
    int zero = 0;

    if (tap_prints()) {
        tap_diag("%s", what);
    }
    unheard();
    refused(memo_get(bad, &f, &m), code, word, "memo_get");
    tap_ok(m == NULL, "... and *m is NULL");
    refused(memo_select(bad, &select, &m, NULL), code, word, "memo_select");
    refused(memo_start(bad, &select, &r), code, word, "memo_start");
    tap_ok(r == NULL, "... and *r is NULL");
    refused(memo_get_all(bad, &f, 1, &m), code, word, "memo_get_all");
    refused(memo_alloc(bad, 1, &m), code, word, "memo_alloc");
    refused(memo_put(bad, &f, memo), code, word, "memo_put");
    refused(memo_put_for(bad, &f, memo, 0), code, word, "memo_put_for");
    refused(memo_put_start(bad, &f, memo), code, word, "memo_put_start");
    refused(memo_put_delayed(bad, &f, &f, memo), code, word, "memo_put_delayed");
    refused(memo_write(bad, &f, "a", 1), code, word, "memo_write");
    refused(memo_flush(bad), code, word, "memo_flush");
    refused(memo_flush_failed(bad, &m), code, word, "memo_flush_failed");
    refused(memo_symbol(bad, &symbol), code, word, "memo_symbol");
    tap_ok(symbol == 0, "... and there is no symbol");
    refused(memo_limit(bad, &f, 1, 1), code, word, "memo_limit");
    refused(memo_count(bad, &f, NULL, NULL), code, word, "memo_count");
    refused(memo_stat(bad, &stat, sizeof stat), code, word, "memo_stat");
    refused(memo_each(bad, visited, &zero), code, word, "memo_each");
    refused(memo_rank(bad), code, word, "memo_rank");
    refused(memo_ranks(bad), code, word, "memo_ranks");
    refused(memo_fd(bad), code, word, "memo_fd");
    refused(memo_close(bad), code, word, "memo_close");
}

static void bad_folders(memo_space_t *space)
{
    static memo_folder_t many[MEMO_FOLDERS_MAX + 1];
    memo_folder_t f = memo_folder("a"), bad = memo_folder("");
    memo_t *m, *all[2] = {memo, memo};

    for (size_t i = 0; i <= MEMO_FOLDERS_MAX; i++) {
        many[i] = f;
    }
    tap_is_int(memo_alt(space, many, MEMO_FOLDERS_MAX, &m, NULL), MEMO_OK, "65,536 alternatives are fine");
    unheard();
    refused(memo_alt(space, many, MEMO_FOLDERS_MAX + 1, &m, NULL), MEMO_EINVAL, "65537", "one more");
    refused(memo_alt(space, many, SIZE_MAX, &m, NULL), MEMO_EINVAL, "1 to 65536", "an alt of far too many");
    refused(memo_alt(space, many, 0, &m, NULL), MEMO_EINVAL, "1 to 65536", "an alt of none");
    refused(memo_alt(space, NULL, 1, &m, NULL), MEMO_EINVAL, "NULL", "an alt of no list");
    many[4711] = bad;
    refused(memo_alt(space, many, 5000, &m, NULL), MEMO_EINVAL, "4711", "an alt with one invalid folder");
    refused(memo_get_all(space, many + 4710, 2, all), MEMO_EINVAL, "folder 1 of 2", "a join with one");
    tap_ok(!all[0] && !all[1], "... and the places are NULL");
    refused(memo_get_all(space, many, SIZE_MAX, all), MEMO_EINVAL, "1 to 65536", "a join of far too many");
    refused(memo_get_all(space, many, 1, NULL), MEMO_EINVAL, "NULL", "a join without a place");
    refused(memo_get(space, &bad, &m), MEMO_EINVAL, "1 to 112", "a get from an invalid folder");
    refused(memo_get(space, NULL, &m), MEMO_EINVAL, "NULL", "a get from NULL");
    refused(memo_put(space, &bad, memo), MEMO_EINVAL, "1 to 112", "a put into an invalid folder");
    refused(memo_put_delayed(space, &f, &bad, memo), MEMO_EINVAL, "1 to 112", "an invalid target");
    refused(memo_put_delayed(space, &bad, &f, memo), MEMO_EINVAL, "1 to 112", "an invalid trigger");
    refused(memo_write(space, NULL, "a", 1), MEMO_EINVAL, "NULL", "a write to NULL");
    refused(memo_limit(space, &bad, 1, 1), MEMO_EINVAL, "1 to 112", "a limit of an invalid folder");
    refused(memo_count(space, &bad, NULL, NULL), MEMO_EINVAL, "1 to 112", "a count of an invalid folder");
}

static void bad_selects(memo_space_t *space)
{
    memo_folder_t f = memo_folder("a");
    const memo_select_t good = {&f, 1, MEMO_TAKE, MEMO_UNTIL_QUIET, MEMO_OLDEST, 0};
    memo_select_t s = good;
    memo_request_t *r;
    memo_t *m;

    tap_is_int(memo_select(space, &s, &m, NULL), MEMO_OK, "the last of each enumeration is fine");
    unheard();
    s.what = (memo_what_t)2;
    refused(memo_select(space, &s, &m, NULL), MEMO_EINVAL, "what=2", "an unknown what");
    s = good, s.when_empty = (memo_when_empty_t)4;
    refused(memo_select(space, &s, &m, NULL), MEMO_EINVAL, "when_empty=4", "an unknown when_empty");
    s = good, s.choice = (memo_choice_t)-1;
    refused(memo_start(space, &s, &r), MEMO_EINVAL, "choice=", "an unknown choice");
    s = good, s.timeout_ns = -2;
    refused(memo_select(space, &s, &m, NULL), MEMO_EINVAL, "-2 ns", "a negative timeout");
    s = good, s.count = 0;
    refused(memo_start(space, &s, &r), MEMO_EINVAL, "1 to 65536", "a select of nothing");
    refused(memo_select(space, NULL, &m, NULL), MEMO_EINVAL, "NULL", "no select");
    refused(memo_select(space, &good, NULL, NULL), MEMO_EINVAL, "NULL", "no place for the memo");
    refused(memo_start(space, &good, NULL), MEMO_EINVAL, "NULL", "no place for the request");
    refused(memo_get_for(space, &f, &m, -5), MEMO_EINVAL, "-5 ns", "memo_get_for with a negative timeout");
    refused(memo_get_all_for(space, &f, 1, &m, -5), MEMO_EINVAL, "-5 ns", "memo_get_all_for with one");
    refused(memo_alloc_for(space, 1, &m, INT64_MIN), MEMO_EINVAL, "ns", "memo_alloc_for with one");
    refused(memo_put_for(space, &f, memo, -3), MEMO_EINVAL, "-3 ns", "memo_put_for with one");
    refused(memo_get(space, &f, NULL), MEMO_EINVAL, "NULL", "memo_get without a place");
    refused(memo_alloc(space, 1, NULL), MEMO_EINVAL, "NULL", "memo_alloc without a place");
    refused(memo_symbol(space, NULL), MEMO_EINVAL, "NULL", "memo_symbol without a place");
    refused(memo_stat(space, NULL, 8), MEMO_EINVAL, "NULL", "memo_stat without a place");
    refused(memo_each(space, NULL, NULL), MEMO_EINVAL, "NULL", "memo_each without a visit");
    refused(memo_write(space, &f, NULL, 1), MEMO_EINVAL, "NULL", "memo_write from nowhere");
    refused(memo_flush_failed(space, NULL), MEMO_EINVAL, "NULL", "memo_flush_failed without a place");
}

static void bad_memos(memo_space_t *space)
{
    static char elsewhere[64];
    memo_folder_t f = memo_folder("a"), from;
    memo_t *foreign = (memo_t *)(void *)elsewhere, *other = (memo_t *)(void *)(memory + 3000);
    memo_space_t *second = opened(memory + 2048, 2048);

    unheard();
    refused(memo_put(space, &f, NULL), MEMO_EINVAL, "NULL", "a put of NULL");
    refused(memo_put(space, &f, foreign), MEMO_EINVAL, "not a memo of an open space", "a put of something else");
    refused(memo_put(space, &f, other), MEMO_EINVAL, "another space", "a put of another space's memo");
    refused(memo_replace(NULL), MEMO_EINVAL, "NULL", "replacing NULL");
    refused(memo_replace(foreign), MEMO_EINVAL, "not a memo", "replacing something else");
    from = memo_from(foreign);
    memo_free(NULL);
    memo_free(foreign);
    tap_ok(!memo_data(NULL) && !memo_data(foreign) && memo_size(foreign) == 0 && memo_redeliveries(foreign) == 0 &&
               !memo_folder_valid(&from) && unheard(),
           "what is no memo has no data, no size, no origin");
    memo_close(second);
    unheard();
    memo_free(other);
    tap_ok(!memo_data(other) && memo_size(other) == 0 && unheard(), "nor has a memo whose space was closed");
}

static void requests(memo_space_t *space)
{
    memo_folder_t f = memo_folder("a");
    memo_select_t select = {&f, 1, MEMO_TAKE, MEMO_WAIT, MEMO_LISTED, MEMO_FOREVER};
    memo_request_t *r;
    memo_t *m;
    size_t which;

    tap_ok(memo_start(space, &select, &r) == MEMO_OK && r == &request, "memo_start");
    tap_ok(memo_test(r, &m, &which) == MEMO_OK && m == memo && which == 2, "memo_test");
    tap_ok(memo_wait(r, &m, NULL, 11) == MEMO_OK && noted.timeout_ns == 11, "memo_wait");
    tap_is_int(memo_cancel(r), MEMO_OK, "memo_cancel");
    unheard();
    refused(memo_wait(r, &m, &which, -2), MEMO_EINVAL, "-2 ns", "memo_wait with a negative timeout");
    refused(memo_test(NULL, &m, &which), MEMO_EINVAL, "NULL", "memo_test of nothing");
    refused(memo_wait(NULL, &m, &which, 0), MEMO_EINVAL, "NULL", "memo_wait for nothing");
    refused(memo_cancel(NULL), MEMO_EINVAL, "NULL", "memo_cancel of nothing");
    refused(memo_test(r, NULL, &which), MEMO_EINVAL, "NULL", "memo_test without a place");
}

static void forked(memo_space_t *space)
{
    int status = 0;
    pid_t child = tap_fork();

    if (child == 0) {
        bad_spaces(space, MEMO_ECLOSED, "parent", "a handle of the parent");
        tap_ok(!memo_data(memo), "the parent's memo has no data");
        _exit(tap_done());
    }
    waitpid(child, &status, 0);
    tap_is_int(status, 0, "the child of a fork is refused the parent's handle, and told to open its own");
    tap_is_int(memo_flush(space), MEMO_OK, "the parent goes on");
}

int main(void)
{
    int garbage[64] = {0};

    tap_timeout(60);
    memo_space_t *space = opened(memory, 2048);
    forms_of_select(space);
    forms_of_put(space);
    questions(space);
    requests(space);
    bad_spaces(NULL, MEMO_EINVAL, "NULL", "no space");
    bad_spaces((memo_space_t *)(void *)garbage, MEMO_EINVAL, "not a handle", "a pointer to something else");
    bad_folders(space);
    bad_selects(space);
    bad_memos(space);
    forked(space);
    tap_is_int(memo_close(space), MEMO_OK, "memo_close");
    bad_spaces(space, MEMO_ECLOSED, "closed by memo_close", "a closed handle");
    return tap_done();
}
