/*
 * conform_steps.c - the steps that most tests of the contract take (see conform.h).
 */
#include "t/lib/conform.h"
#include "libmemo/wire/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

memo_folder_t folder(const char *format, ...)
{
    char text[MEMO_NAME_MAX + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return memo_folder(text);
}

bool same_server(const memo_folder_t *f, const memo_folder_t *g)
{
    const char *given = strstr(peers_uri(), "servers=");
    uint32_t servers = given == NULL ? 1 : (uint32_t)strtoul(given + 8, NULL, 10);
    return wire_server_of(f, servers) == wire_server_of(g, servers);
}

void folders_together(memo_folder_t f[], size_t n, const char *what)
{
    size_t found = 0;
    for (int i = 0; found < n; i++) {
        f[found] = folder("%s %d", what, i);
        found += same_server(&f[0], &f[found]);
    }
}

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void pause_ns(int64_t ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    nanosleep(&t, NULL);
}

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

memo_t *new_number(memo_space_t *s, uint64_t number)
{
    memo_t *m = NULL;
    if (memo_alloc(s, sizeof number, &m) != MEMO_OK)
        return NULL;
    memcpy(memo_data(m), &number, sizeof number);
    return m;
}

int put_number(memo_space_t *s, const memo_folder_t *f, uint64_t number)
{
    memo_t *m = NULL;
    int rc = memo_alloc(s, sizeof number, &m);
    if (rc != MEMO_OK)
        return rc;
    memcpy(memo_data(m), &number, sizeof number);
    rc = memo_put(s, f, m);
    if (rc != MEMO_OK)
        memo_free(m);
    return rc;
}

uint64_t number_in(memo_t *m)
{
    uint64_t number = UINT64_MAX;
    if (m != NULL && memo_size(m) == sizeof number)
        memcpy(&number, memo_data(m), sizeof number);
    return number;
}

uint64_t number_freed(memo_t *m)
{
    uint64_t number = number_in(m);
    memo_free(m);
    return number;
}

int take_number(memo_space_t *s, const memo_folder_t *f, uint64_t *number, int64_t timeout_ns)
{
    memo_t *m = NULL;
    int rc = memo_get_for(s, f, &m, timeout_ns);
    *number = rc == MEMO_OK ? number_freed(m) : UINT64_MAX;
    return rc;
}

static unsigned char pattern_byte(uint64_t seed, size_t i)
{
    uint64_t mixed = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) + i * UINT64_C(0xd6e8feb86659fd93);
    return (unsigned char)(mixed >> 56);
}

void pattern_fill(memo_t *m, uint64_t seed)
{
    unsigned char *bytes = memo_data(m);
    size_t size = memo_size(m);
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern_byte(seed, i);
}

bool pattern_holds(memo_t *m, uint64_t seed, size_t size)
{
    const unsigned char *bytes = memo_data(m);
    if (memo_size(m) != size)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != pattern_byte(seed, i))
            return false;
    }
    return true;
}

uint64_t memos_in(memo_space_t *s, const memo_folder_t *f)
{
    uint64_t memos = UINT64_MAX;
    memo_count(s, f, &memos, NULL);
    return memos;
}

uint64_t waiters_on(memo_space_t *s, const memo_folder_t *f)
{
    uint64_t waiters = UINT64_MAX;
    memo_count(s, f, NULL, &waiters);
    return waiters;
}

bool waiters_become(memo_space_t *s, const memo_folder_t *f, uint64_t n)
{
    int64_t end = now_ns() + PATIENCE;
    while (waiters_on(s, f) != n) {
        if (now_ns() > end) {
            tap_diag("%llu waiters, not %llu", (unsigned long long)waiters_on(s, f), (unsigned long long)n);
            return false;
        }
        pause_ns(MS / 5);
    }
    return true;
}

bool memos_become(memo_space_t *s, const memo_folder_t *f, uint64_t n)
{
    int64_t end = now_ns() + PATIENCE;
    while (memos_in(s, f) != n) {
        if (now_ns() > end) {
            tap_diag("%llu memos, not %llu", (unsigned long long)memos_in(s, f), (unsigned long long)n);
            return false;
        }
        pause_ns(MS / 5);
    }
    return true;
}

bool number_becomes(_Atomic(uint64_t) *what, uint64_t n)
{
    int64_t end = now_ns() + PATIENCE;
    while (atomic_load(what) != n) {
        if (now_ns() > end)
            return false;
        pause_ns(MS / 5);
    }
    return true;
}

memo_stat_t stat_of(memo_space_t *s)
{
    memo_stat_t st;
    memset(&st, 0, sizeof st);
    if (memo_stat(s, &st, sizeof st) != MEMO_OK)
        tap_diag("memo_stat: %s", memo_errmsg());
    return st;
}

uint64_t drain(memo_space_t *s, const memo_folder_t *f)
{
    uint64_t n = 0;
    for (memo_t *m; memo_get_skip(s, f, &m) == MEMO_OK; n++)
        memo_free(m);
    return n;
}

typedef struct errand {
    memo_folder_t f;
    uint64_t number;
} errand_t;

static int errand_take(memo_space_t *s, void *arg)
{
    errand_t *e = arg;
    memo_t *m = NULL;
    PEER(memo_get_for(s, &e->f, &m, PATIENCE) == MEMO_OK);
    e->number = number_in(m);
    return 0;
}

uint64_t guest_takes(guest_t *guest, const memo_folder_t *f)
{
    errand_t *e = peer_shared(sizeof *e);
    e->f = *f;
    uint64_t number = guest_do(guest, errand_take, e) == 0 ? e->number : UINT64_MAX;
    peer_unshare(e, sizeof *e);
    return number;
}

bool refused(int rc, int code)
{
    if (rc == code && memo_errmsg()[0] != '\0')
        return true;
    tap_diag("got %d (%s), wanted %d (%s); sentence: '%s'", rc, memo_strerror(rc), code, memo_strerror(code),
             memo_errmsg());
    return false;
}

struct thread {
    pthread_t id;
    int (*fn)(void *arg);
    void *arg;
    int result;
};

static void *thread_life(void *arg)
{
    thread_t *t = arg;
    t->result = t->fn(t->arg);
    return NULL;
}

thread_t *thread_start(int (*fn)(void *arg), void *arg)
{
    thread_t *t = calloc(1, sizeof *t);
    if (t == NULL)
        tap_bail("no memory for a thread");
    t->fn = fn;
    t->arg = arg;
    int failed = pthread_create(&t->id, NULL, thread_life, t);
    if (failed != 0)
        tap_bail("pthread_create: %s", strerror(failed));
    return t;
}

int thread_wait(thread_t *t)
{
    pthread_join(t->id, NULL);
    int result = t->result;
    free(t);
    return result;
}

pthread_t thread_id(const thread_t *t)
{
    return t->id;
}

void call_get(call_t *c, memo_space_t *s, const memo_folder_t *f)
{
    memset(c, 0, sizeof *c);
    c->space = s;
    c->select = (memo_select_t)MEMO_SELECT_INIT;
    c->folders[0] = *f;
    c->select.folders = c->folders;
    c->select.count = 1;
}

static int call_life(void *arg)
{
    call_t *c = arg;
    if (c->join)
        c->rc = memo_get_all_for(c->space, c->folders, c->select.count, c->all, c->select.timeout_ns);
    else
        c->rc = memo_select(c->space, &c->select, &c->m, &c->which);
    atomic_store(&c->done, 1);
    return 0;
}

void call_start(call_t *c)
{
    c->thread = thread_start(call_life, c);
}

bool call_done(call_t *c)
{
    return atomic_load(&c->done) != 0;
}

int call_wait(call_t *c)
{
    thread_wait(c->thread);
    return c->rc;
}
