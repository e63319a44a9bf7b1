/*
 * conform_bad.c - what the library does with nonsense: clause C16. Regions that are damaged, of another version or
 * no regions at all are t/edge.c's.
 */
#include "t/lib/conform.h"

#include <stdlib.h>
#include <string.h>

/* One malformed call: refused with its code and a sentence. */
#define REFUSED(call, code) tap_ok(refused((call), (code)), "c16: " #call)

static void c16_nulls(memo_space_t *s)
{
    memo_folder_t f = folder("f"), *none = NULL;
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    memo_symbol_t symbol;
    memo_stat_t st;
    uint64_t n;
    memo_t *m = NULL, *held = new_number(s, 3);
    REFUSED(memo_open(NULL, peers_uri()), MEMO_EINVAL);
    REFUSED(memo_close(NULL), MEMO_EINVAL);
    REFUSED(memo_symbol(s, NULL), MEMO_EINVAL);
    REFUSED(memo_symbol(NULL, &symbol), MEMO_EINVAL);
    REFUSED(memo_alloc(NULL, 1, &m), MEMO_EINVAL);
    REFUSED(memo_alloc(s, 1, NULL), MEMO_EINVAL);
    REFUSED(memo_alloc_for(s, 1, NULL, 0), MEMO_EINVAL);
    REFUSED(memo_put(NULL, &f, held), MEMO_EINVAL);
    REFUSED(memo_put(s, none, held), MEMO_EINVAL);
    REFUSED(memo_put(s, &f, NULL), MEMO_EINVAL);
    REFUSED(memo_put_for(s, &f, NULL, 0), MEMO_EINVAL);
    REFUSED(memo_put_start(s, &f, NULL), MEMO_EINVAL);
    REFUSED(memo_flush(NULL), MEMO_EINVAL);
    REFUSED(memo_flush_failed(s, NULL), MEMO_EINVAL);
    REFUSED(memo_put_delayed(s, &f, NULL, held), MEMO_EINVAL);
    REFUSED(memo_put_delayed(s, NULL, &f, held), MEMO_EINVAL);
    REFUSED(memo_put_delayed(s, &f, &f, NULL), MEMO_EINVAL);
    REFUSED(memo_replace(NULL), MEMO_EINVAL);
    REFUSED(memo_write(s, none, "x", 1), MEMO_EINVAL);
    REFUSED(memo_write(s, &f, NULL, 1), MEMO_EINVAL);
    REFUSED(memo_get(NULL, &f, &m), MEMO_EINVAL);
    REFUSED(memo_get(s, none, &m), MEMO_EINVAL);
    REFUSED(memo_get(s, &f, NULL), MEMO_EINVAL);
    REFUSED(memo_get_skip(s, &f, NULL), MEMO_EINVAL);
    REFUSED(memo_get_copy(s, none, &m), MEMO_EINVAL);
    REFUSED(memo_alt(s, NULL, 2, &m, NULL), MEMO_EINVAL);
    REFUSED(memo_alt_skip(s, &f, 1, NULL, NULL), MEMO_EINVAL);
    REFUSED(memo_strict_alt_skip(s, NULL, 1, &m, NULL), MEMO_EINVAL);
    REFUSED(memo_get_all(s, NULL, 1, &m), MEMO_EINVAL);
    REFUSED(memo_get_all(s, &f, 1, NULL), MEMO_EINVAL);
    REFUSED(memo_select(s, NULL, &m, NULL), MEMO_EINVAL);
    REFUSED(memo_select(s, &sel, &m, NULL), MEMO_EINVAL);
    REFUSED(memo_start(s, NULL, &r), MEMO_EINVAL);
    sel.folders = &f;
    sel.count = 1;
    REFUSED(memo_start(s, &sel, NULL), MEMO_EINVAL);
    REFUSED(memo_test(NULL, &m, NULL), MEMO_EINVAL);
    REFUSED(memo_wait(NULL, &m, NULL, 0), MEMO_EINVAL);
    REFUSED(memo_cancel(NULL), MEMO_EINVAL);
    REFUSED(memo_fd(NULL), MEMO_EINVAL);
    REFUSED(memo_limit(s, none, 1, 1), MEMO_EINVAL);
    REFUSED(memo_count(s, none, &n, &n), MEMO_EINVAL);
    REFUSED(memo_stat(s, NULL, sizeof st), MEMO_EINVAL);
    REFUSED(memo_stat(NULL, &st, sizeof st), MEMO_EINVAL);
    REFUSED(memo_each(s, NULL, NULL), MEMO_EINVAL);
    tap_ok(memo_rank(NULL) < 0 && memo_ranks(NULL) < 0, "c16: the rank of no space");
    memo_free(NULL);
    memo_folder_t from = memo_from(NULL);
    tap_ok(memo_data(NULL) == NULL && memo_size(NULL) == 0 && memo_redeliveries(NULL) == 0 &&
               !memo_folder_valid(&from) && !memo_folder_valid(NULL),
           "c16: asking about no memo");
    tap_ok(number_in(held) == 3, "c16: what was held is held");
    memo_free(held);
}

/* What is not a memo that we hold is refused by every call that takes one, and left as it is. */
static bool no_memo(memo_space_t *s, memo_t *m)
{
    memo_folder_t f = folder("never"), from = memo_from(m);
    bool right = refused(memo_put(s, &f, m), MEMO_EINVAL) && refused(memo_put_for(s, &f, m, 0), MEMO_EINVAL) &&
                 refused(memo_put_start(s, &f, m), MEMO_EINVAL) &&
                 refused(memo_put_delayed(s, &f, &f, m), MEMO_EINVAL) && refused(memo_replace(m), MEMO_EINVAL);
    memo_free(m);
    return right && memo_data(m) == NULL && memo_size(m) == 0 && memo_redeliveries(m) == 0 &&
           !memo_folder_valid(&from) && memos_in(s, &f) == 0;
}

static void c16_foreign_memos(memo_space_t *s)
{
    _Alignas(64) static unsigned char bytes[4096];
    memo_t *m = NULL;
    memset(bytes, 0x5a, sizeof bytes);
    tap_ok(no_memo(s, (memo_t *)bytes), "c16: bytes of the program's own are no memo");
    tap_ok(bytes[0] == 0x5a && bytes[4095] == 0x5a, "c16: and are not touched");
    void *heap = calloc(1, 4096);
    tap_ok(no_memo(s, heap), "c16: nor are those of malloc");
    free(heap);
    tap_ok(no_memo(s, (memo_t *)(uintptr_t)4096), "c16: nor is an address of nothing");
    memo_alloc(s, 4096, &m);
    pattern_fill(m, 1);
    unsigned char *data = memo_data(m);
    bool right = true;
    static const size_t inside[] = {0, 8, 16, 64, 128, 1024, 2048, 4000, 4095};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        if ((memo_t *)(void *)(data + inside[i]) != m)
            right = no_memo(s, (memo_t *)(void *)(data + inside[i])) && right;
    }
    tap_ok(right && pattern_holds(m, 1, 4096), "c16: nor is a place inside a memo");
    memset(data, 0, 4096);
    right = true;
    for (size_t i = 0; i < 4096; i += 16)
        right = ((memo_t *)(void *)(data + i) == m || no_memo(s, (memo_t *)(void *)(data + i))) && right;
    tap_ok(right, "c16: nor one that is all zero");
    memo_free(m);
}

static void c16_of_another_space(memo_space_t *s)
{
    const char *uri = space_fresh(NULL);
    memo_space_t *other = space_open(uri);
    memo_folder_t f = folder("other space's");
    memo_t *m = new_number(other, 4);
    tap_ok(refused(memo_put(s, &f, m), MEMO_EINVAL) && refused(memo_put_delayed(s, &f, &f, m), MEMO_EINVAL) &&
               memos_in(s, &f) == 0,
           "c16: a memo of another space is refused");
    tap_ok(number_in(m) == 4 && memo_put(other, &f, m) == MEMO_OK && drain(other, &f) == 1, "c16: and still ours");
    m = new_number(other, 5);
    tap_ok(memo_close(other) == MEMO_OK && no_memo(s, m), "c16: once its space is closed a memo is nobody's");
    memo_unlink(uri);
}

static void c16_twice(memo_space_t *s)
{
    memo_folder_t f = folder("put"), g = folder("put twice");
    memo_t *m = new_number(s, 6);
    memo_put(s, &f, m);
    tap_ok(no_memo(s, m) && refused(memo_put(s, &g, m), MEMO_EINVAL), "c16: a memo is put once");
    uint64_t number;
    tap_ok(memos_in(s, &g) == 0 && take_number(s, &f, &number, 0) == MEMO_OK && number == 6,
           "c16: and is in its folder, whole");
    m = new_number(s, 7);
    memo_free(m);
    tap_ok(no_memo(s, m), "c16: a memo that was freed is no memo");
    memo_free(m);
    memo_t *a = new_number(s, 8), *b = new_number(s, 9);
    tap_ok(a != b && number_in(a) == 8 && number_in(b) == 9, "c16: freeing twice frees once");
    memo_free(a);
    memo_free(b);
    memo_write(s, &f, "x", 1);
    memo_get(s, &f, &m);
    memo_replace(m);
    tap_ok(no_memo(s, m) && drain(s, &f) == 1, "c16: nor is one that was replaced");
}

static int c16_uses_closed(memo_space_t *s, void *arg)
{
    memo_folder_t f = folder("closed");
    memo_select_t sel = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;
    memo_symbol_t symbol;
    memo_stat_t st;
    uint64_t n;
    memo_t *m = NULL, *held = new_number(s, 1);
    (void)arg;
    sel.folders = &f;
    sel.count = 1;
    PEER(memo_close(s) == MEMO_OK);
    int failed = tap_state.child_failed;
    REFUSED(memo_close(s), MEMO_ECLOSED);
    REFUSED(memo_put(s, &f, held), MEMO_ECLOSED);
    REFUSED(memo_write(s, &f, "x", 1), MEMO_ECLOSED);
    REFUSED(memo_alloc(s, 1, &m), MEMO_ECLOSED);
    REFUSED(memo_get(s, &f, &m), MEMO_ECLOSED);
    REFUSED(memo_get_skip(s, &f, &m), MEMO_ECLOSED);
    REFUSED(memo_alt(s, &f, 1, &m, NULL), MEMO_ECLOSED);
    REFUSED(memo_strict_alt_skip(s, &f, 1, &m, NULL), MEMO_ECLOSED);
    REFUSED(memo_get_all(s, &f, 1, &m), MEMO_ECLOSED);
    REFUSED(memo_select(s, &sel, &m, NULL), MEMO_ECLOSED);
    REFUSED(memo_start(s, &sel, &r), MEMO_ECLOSED);
    REFUSED(memo_flush(s), MEMO_ECLOSED);
    REFUSED(memo_fd(s), MEMO_ECLOSED);
    REFUSED(memo_limit(s, &f, 1, 1), MEMO_ECLOSED);
    REFUSED(memo_count(s, &f, &n, &n), MEMO_ECLOSED);
    REFUSED(memo_stat(s, &st, sizeof st), MEMO_ECLOSED);
    REFUSED(memo_symbol(s, &symbol), MEMO_ECLOSED);
    REFUSED(memo_rank(s), MEMO_ECLOSED);
    return tap_state.child_failed - failed;
}

static void c16_closed(void)
{
    guest_t *g = guest_open();
    tap_is_int(guest_do(g, c16_uses_closed, NULL), 0, "c16: a closed handle is of no use");
    tap_is_int(guest_close(g), MEMO_ECLOSED, "c16: nor to be closed again");
}

static bool uri_refused(const char *uri)
{
    memo_space_t *s = (memo_space_t *)(uintptr_t)16;
    int rc = memo_open(&s, uri);
    if (rc == MEMO_OK) {
        memo_close(s);
        memo_unlink(uri);
    }
    return refused(rc, MEMO_EINVAL) && s == NULL;
}

static void c16_uris(void)
{
    static const char *const of_mpi[] = {"mpi-latch:?servers=0", "mpi-latch:?servers=two", "mpi-chain:?nodes=0",
                                         "mpi-single:?colour=blue", "mpi-latch:?size=0"};
    static const char *const uris[] = {"mpi-many:",
                                       "",
                                       ":",
                                       "nonsense",
                                       "nonsense:name",
                                       "shm-bucket:",
                                       "shm-bucket:t-bad?size",
                                       "shm-bucket:t-bad?size=",
                                       "shm-bucket:t-bad?size=many",
                                       "shm-bucket:t-bad?size=12Q",
                                       "shm-bucket:t-bad?size=-1",
                                       "shm-bucket:t-bad?size=0",
                                       "shm-bucket:t-bad?size=1",
                                       "shm-bucket:t-bad?size=99999999999999999999999G",
                                       "shm-bucket:t-bad?size=1M&colour=blue",
                                       "shm-bucket:t-bad?colour=blue",
                                       "shm-bucket:t-bad?size=1M&&",
                                       "shm-bucket:t-bad?on_death=maybe",
                                       "shm-bucket:t-bad?anonymous=2",
                                       "shm-bucket:t/bad",
                                       "SHM-BUCKET:t-bad"};
    char text[2000];
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++)
        tap_ok(uri_refused(uris[i]), "c16: the URI '%s'", uris[i]);
    for (size_t i = 0; peers_are_ranks() && i < sizeof of_mpi / sizeof of_mpi[0]; i++)
        tap_ok(uri_refused(of_mpi[i]), "c16: the URI '%s'", of_mpi[i]);
    memset(text, 'x', sizeof text);
    memcpy(text, "shm-bucket:", 11);
    text[sizeof text - 1] = '\0';
    tap_ok(uri_refused(text), "c16: a URI of 2,000 bytes");
    memset(text, 'x', sizeof text - 1);
    tap_ok(uri_refused(text), "c16: a scheme of 2,000 bytes");
    tap_ok(refused(memo_unlink("nonsense:name"), MEMO_EINVAL) && refused(memo_unlink(""), MEMO_EINVAL),
           "c16: memo_unlink of nonsense");
    tap_is_int(memo_unlink(space_fresh(NULL)), MEMO_NONE, "c16: memo_unlink of a space that is not there");
}

static int selected(memo_space_t *s, const memo_select_t *sel)
{
    memo_t *m = (memo_t *)(uintptr_t)16;
    size_t which = 0;
    memo_request_t *r = NULL;
    int rc = memo_select(s, sel, &m, &which);
    if (m != NULL || memo_start(s, sel, &r) != rc)
        return -1000;
    return rc;
}

static void c16_selections(memo_space_t *s)
{
    memo_folder_t f[2] = {folder("good"), memo_folder("")}, unknown = folder("good");
    memo_select_t good = MEMO_SELECT_INIT, sel;
    good.folders = f;
    good.count = 1;
    sel = good;
    sel.count = 0;
    REFUSED(selected(s, &sel), MEMO_EINVAL);
    sel.count = 2;
    REFUSED(selected(s, &sel), MEMO_EINVAL);
    sel = good;
    sel.what = (memo_what_t)7;
    REFUSED(selected(s, &sel), MEMO_EINVAL);
    sel = good;
    sel.when_empty = (memo_when_empty_t)9;
    REFUSED(selected(s, &sel), MEMO_EINVAL);
    sel = good;
    sel.choice = (memo_choice_t)-1;
    REFUSED(selected(s, &sel), MEMO_EINVAL);
    sel = good;
    sel.timeout_ns = -2;
    REFUSED(selected(s, &sel), MEMO_EINVAL);
    sel.timeout_ns = INT64_MIN;
    REFUSED(selected(s, &sel), MEMO_EINVAL);
    memo_t *m = NULL;
    REFUSED(memo_get_for(s, f, &m, -5), MEMO_EINVAL);
    unknown.kind = 77;
    REFUSED(memo_get_skip(s, &unknown, &m), MEMO_EINVAL);
    unknown = folder("good");
    unknown.length = 113;
    REFUSED(memo_get_skip(s, &unknown, &m), MEMO_EINVAL);
    unknown.length = 0;
    REFUSED(memo_get_skip(s, &unknown, &m), MEMO_EINVAL);
    memset(&unknown, 0xff, sizeof unknown);
    REFUSED(memo_get_skip(s, &unknown, &m), MEMO_EINVAL);
    size_t n = MEMO_FOLDERS_MAX + 1;
    memo_folder_t *many = calloc(n, sizeof *many);
    memo_t **all = calloc(n, sizeof(memo_t *));
    if (many == NULL || all == NULL)
        tap_bail("no memory");
    for (size_t i = 0; i < n; i++)
        many[i] = f[0];
    put_number(s, &f[0], 1);
    REFUSED(memo_alt(s, many, n, &m, NULL), MEMO_EINVAL);
    REFUSED(memo_alt_skip(s, many, n, &m, NULL), MEMO_EINVAL);
    REFUSED(memo_strict_alt_skip(s, many, n, &m, NULL), MEMO_EINVAL);
    REFUSED(memo_get_all(s, many, n, all), MEMO_EINVAL);
    REFUSED(memo_alt(s, many, SIZE_MAX, &m, NULL), MEMO_EINVAL);
    REFUSED(memo_alt(s, many, 0, &m, NULL), MEMO_EINVAL);
    REFUSED(memo_get_all(s, many, 0, all), MEMO_EINVAL);
    REFUSED(memo_alloc(s, SIZE_MAX, &m), MEMO_EINVAL);
    REFUSED(memo_alloc(s, SIZE_MAX - 64, &m), MEMO_EINVAL);
    REFUSED(memo_alloc(s, (size_t)stat_of(s).capacity + 1, &m), MEMO_EINVAL);
    tap_ok(drain(s, &f[0]) == 1, "c16: none of them took anything");
    free(many);
    free(all);
}

static void c16_names(void)
{
    unsigned char bytes[256] = {0};
    memo_folder_t bad[] = {memo_folder(NULL),
                           memo_folder(""),
                           memo_folder_bytes(NULL, 3),
                           memo_folder_bytes(bytes, 0),
                           memo_folder_bytes(bytes, 113),
                           memo_folder_bytes(bytes, SIZE_MAX)};
    bool right = true;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        right = !memo_folder_valid(&bad[i]) && bad[i].kind == MEMO_KIND_INVALID && right;
    tap_ok(right, "c16: names of no bytes, of too many, of none at all");
    memo_folder_t good = memo_folder_bytes(bytes, 112);
    tap_ok(memo_folder_valid(&good), "c16: 112 NUL bytes are a name");
    right = true;
    for (int code = -30; code < 30; code++)
        right = memo_strerror(code) != NULL && memo_strerror(code)[0] != '\0' && right;
    tap_ok(right, "c16: every code, known or not, has a few words");
}

void c16_bad_input(memo_space_t *s)
{
    memo_folder_t f = folder("bystander");
    put_number(s, &f, 11);
    memo_stat_t before = stat_of(s);
    c16_nulls(s);
    c16_foreign_memos(s);
    c16_of_another_space(s);
    c16_twice(s);
    c16_closed();
    c16_uris();
    c16_selections(s);
    c16_names();
    memo_stat_t after = stat_of(s);
    uint64_t number;
    tap_ok(after.memos == 1 && after.folders == 1 && after.waiters == 0 &&
               after.clients == before.clients - peers_are_ranks() && after.used <= before.used + 65536,
           "c16: none of it changed anything");
    tap_ok(take_number(s, &f, &number, 0) == MEMO_OK && number == 11, "c16: the bystander is whole");
}
