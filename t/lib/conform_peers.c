/*
 * conform_peers.c - starting, ending and killing the other participants of a test (see conform_peers.h).
 */
#include "t/lib/conform_peers.h"
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
    p->result = peer_life(p);
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

peer_t *peer_start_as(const char *run, peer_fn fn, void *arg)
{
    peer_t *p = calloc(1, sizeof *p);
    if (p == NULL)
        tap_bail("no memory for a peer");
    p->fn = fn;
    p->arg = arg;
    snprintf(p->run, sizeof p->run, "%s", run == NULL ? "" : run);
    snprintf(p->uri, sizeof p->uri, "%s", uri_in_use);
    if (!peers_are_threads()) {
        peer_fork(p);
    } else {
        int failed = pthread_create(&p->thread, NULL, peer_thread, p);
        if (failed != 0)
            tap_bail("pthread_create: %s", strerror(failed));
    }
    return p;
}

peer_t *peer_start(peer_fn fn, void *arg)
{
    return peer_start_as(NULL, fn, arg);
}

int peer_wait(peer_t *p)
{
    int result = 0;
    if (!peers_are_threads()) {
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
    if (peers_are_threads())
        tap_bail("a peer that is a thread cannot be sent signals");
    kill(p->pid, sig);
}

void peer_kill(peer_t *p)
{
    peer_signal(p, SIGKILL);
    peer_wait(p);
}

void *peer_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        tap_bail("mmap: %s", strerror(errno));
    return memory;
}

void peer_unshare(void *memory, size_t bytes)
{
    munmap(memory, bytes);
}
