/*
 * conform_peers.c - starting, ending and killing the other participants of a test (see conform_peers.h).
 */
#include "t/lib/conform_peers.h"
#include "t/lib/ranks.h"
#include "t/tap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct peer {
    pid_t pid;
    pthread_t thread;
    rank_order_t *order;
    memo_space_t *space; /* a thread's of a guest's handle; NULL: it opens its own */
    bool is_thread;
    peer_fn fn;
    void *arg;
    char run[128];
    char uri[512];
    int result;
};

static char uri_in_use[512];

/* MEMO_RUN belongs to the process; peers that are threads open one after the other. */
static pthread_mutex_t environment = PTHREAD_MUTEX_INITIALIZER;

void peers_use(const char *uri)
{
    snprintf(uri_in_use, sizeof uri_in_use, "%s", uri);
}

const char *peers_uri(void)
{
    return uri_in_use;
}

bool peers_are_threads(void)
{
#if defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    return true;
#endif
#endif
    const char *asked = getenv("MEMO_TSAN");
    return asked != NULL && strcmp(asked, "1") == 0;
}

bool peers_are_ranks(void)
{
    return ranks_begun();
}

bool peers_are_far(void)
{
    const char *nodes = strstr(uri_in_use, "nodes=");
    return (nodes != NULL && strtoul(nodes + 6, NULL, 10) > 1) || getenv("MEMO_TEST_FAR") != NULL;
}

uint64_t effort(uint64_t n)
{
    if (!ranks_begun())
        return n;
    const char *given = getenv("MEMO_TEST_EFFORT");
    uint64_t by = given != NULL ? strtoull(given, NULL, 10) : 0;
    n /= by == 0 ? 20 : by;
    return n == 0 ? 1 : n;
}

int peer_open_as(const char *run, const char *uri, memo_space_t **space)
{
    pthread_mutex_lock(&environment);
    if (run != NULL && run[0] != '\0')
        setenv("MEMO_RUN", run, 1);
    else
        unsetenv("MEMO_RUN");
    int rc = memo_open(space, uri);
    unsetenv("MEMO_RUN");
    pthread_mutex_unlock(&environment);
    return rc;
}

static int peer_life(const peer_t *p)
{
    memo_space_t *space = NULL;
    int rc = peer_open_as(p->run, p->uri, &space);
    if (rc != MEMO_OK) {
        tap_diag("peer: memo_open(%s) as '%s': %d [%s]", p->uri, p->run, rc, memo_errmsg());
        return 2;
    }
    int result = p->fn(space, p->arg);
    rc = memo_close(space);
    if (rc != MEMO_OK && result == 0) {
        tap_diag("peer: memo_close: %d [%s]", rc, memo_errmsg());
        return 3;
    }
    return result;
}

static void *peer_thread(void *arg)
{
    peer_t *p = arg;
    p->result = p->space != NULL ? p->fn(p->space, p->arg) : peer_life(p);
    return NULL;
}

static void peer_fork(peer_t *p)
{
    p->pid = tap_fork();
    if (p->pid < 0)
        tap_bail("fork: %s", strerror(errno));
    if (p->pid > 0)
        return;
    pthread_mutex_init(&environment, NULL);
    int result = peer_life(p);
    fflush(NULL);
    _exit(result);
}

static peer_t *peer_new(peer_fn fn, void *arg)
{
    peer_t *p = calloc(1, sizeof *p);
    if (p == NULL)
        tap_bail("no memory for a peer");
    p->fn = fn;
    p->arg = arg;
    return p;
}

static void peer_thread_begin(peer_t *p)
{
    p->is_thread = true;
    int failed = pthread_create(&p->thread, NULL, peer_thread, p);
    if (failed != 0)
        tap_bail("pthread_create: %s", strerror(failed));
}

peer_t *peer_start_as(const char *run, peer_fn fn, void *arg)
{
    peer_t *p = peer_new(fn, arg);
    snprintf(p->run, sizeof p->run, "%s", run == NULL ? "" : run);
    snprintf(p->uri, sizeof p->uri, "%s", uri_in_use);
    if (ranks_begun())
        p->order = rank_order(RANK_ANY, fn, arg, false);
    else if (!peers_are_threads())
        peer_fork(p);
    else
        peer_thread_begin(p);
    return p;
}

peer_t *peer_start_leaving(peer_fn fn, void *arg)
{
    if (!ranks_begun())
        return peer_start(fn, arg);
    peer_t *p = peer_new(fn, arg);
    p->order = rank_order(RANK_ALONE, fn, arg, true);
    return p;
}

peer_t *peer_start(peer_fn fn, void *arg)
{
    return peer_start_as(NULL, fn, arg);
}

int peer_wait(peer_t *p)
{
    int result = 0;
    if (p->order != NULL) {
        result = rank_order_wait(p->order);
    } else if (!p->is_thread) {
        int status = 0;
        while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
            continue;
        result = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
    } else {
        pthread_join(p->thread, NULL);
        result = p->result;
    }
    free(p);
    return result;
}

void peer_signal(peer_t *p, int sig)
{
    if (p->is_thread)
        tap_bail("a peer that is a thread cannot be sent signals");
    if (p->order != NULL)
        rank_signal(p->order, sig);
    else
        kill(p->pid, sig);
}

void peer_kill(peer_t *p)
{
    peer_signal(p, SIGKILL);
    peer_wait(p);
}

peer_t *peer_start_here(memo_space_t *space, peer_fn fn, void *arg)
{
    peer_t *p = peer_new(fn, arg);
    p->space = space;
    peer_thread_begin(p);
    return p;
}

int peers_everyone(memo_space_t *space, peer_fn fn, void *arg)
{
    peer_t *peers[64], *own;
    int n = ranks_left(), failed = 0;
    for (int i = 0; i < n; i++) {
        peers[i] = peer_new(fn, arg);
        peers[i]->order = rank_order(RANK_ALONE, fn, arg, false);
    }
    own = peer_start_here(space, fn, arg);
    failed += peer_wait(own) != 0;
    for (int i = 0; i < n; i++) {
        rank_release(peers[i]->order);
        failed += peer_wait(peers[i]) != 0;
    }
    return failed;
}

struct guest {
    memo_space_t *space;
    rank_order_t *order; /* the first; done */
};

static int guest_arrives(memo_space_t *space, void *arg)
{
    (void)space;
    (void)arg;
    return 0;
}

guest_t *guest_open(void)
{
    guest_t *g = calloc(1, sizeof *g);
    if (g == NULL)
        tap_bail("no memory for a guest");
    if (ranks_begun()) {
        g->order = rank_order(RANK_ALONE, guest_arrives, NULL, false);
        rank_order_wait(g->order);
    } else if (memo_open(&g->space, uri_in_use) != MEMO_OK) {
        tap_bail("memo_open(%s): %s", uri_in_use, memo_errmsg());
    }
    return g;
}

int guest_do(guest_t *g, peer_fn fn, void *arg)
{
    return g->order == NULL ? fn(g->space, arg) : rank_order_wait(rank_order_again(g->order, fn, arg, false));
}

peer_t *guest_start(guest_t *g, peer_fn fn, void *arg)
{
    if (g->order == NULL)
        return peer_start_here(g->space, fn, arg);
    peer_t *p = peer_new(fn, arg);
    p->order = rank_order_again(g->order, fn, arg, false);
    return p;
}

int guest_close(guest_t *g)
{
    int result;
    if (g->order == NULL)
        result = memo_close(g->space);
    else
        result = rank_order_wait(rank_order_again(g->order, NULL, NULL, true));
    free(g);
    return result;
}

void *peer_shared(size_t bytes)
{
    if (ranks_begun())
        return ranks_memory(bytes);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        tap_bail("mmap: %s", strerror(errno));
    return memory;
}

void peer_unshare(void *memory, size_t bytes)
{
    if (ranks_begun())
        ranks_memory_free(memory, bytes);
    else
        munmap(memory, bytes);
}
