/*
 * quiet_started.c - MEMO_UNTIL_QUIET by requests: ranked workers with two requests in flight each, over two
 * folders, share a tree of work; all of it is done when the last one learns that it is quiet, also for a last
 * blocking select.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmemo/memo.h"
#include "t/tap.h"

#define WORKERS 4
#define DEPTH 8
#define CHILDREN 3

static memo_folder_t folders[2];

static void set_rank(int rank)
{
    char text[64];

    snprintf(text, sizeof text, "%x:%d:%d", (unsigned)getppid(), rank, WORKERS);
    setenv("MEMO_RUN", text, 1);
}

static void do_work(memo_space_t *space, memo_t *m)
{
    int depth, i;

    memcpy(&depth, memo_data(m), sizeof depth);
    memo_free(m);
    for (i = 0; depth > 0 && i < CHILDREN; i++) {
        int next = depth - 1;
        if (memo_write(space, &folders[(depth + i) & 1], &next, sizeof next) != MEMO_OK)
            _exit(3);
    }
}

/* One look at a request: MEMO_OK (it was given work, and started again), MEMO_PENDING or MEMO_QUIET. */
static int ask(memo_space_t *space, memo_select_t *select, memo_request_t **r, long *done)
{
    memo_t *m;
    size_t which;
    int result = memo_wait(*r, &m, &which, 100000);

    if (result != MEMO_OK)
        return result;
    do_work(space, m);
    ++*done;
    return memo_start(space, select, r);
}

static long work_until_quiet(memo_space_t *space)
{
    memo_select_t select[2] = {MEMO_SELECT_INIT, MEMO_SELECT_INIT};
    memo_request_t *r[2];
    bool live[2] = {true, true};
    long done = 0;
    int i;

    for (i = 0; i < 2; i++) {
        select[i].folders = &folders[i];
        select[i].count = 1;
        select[i].when_empty = MEMO_UNTIL_QUIET;
        if (memo_start(space, &select[i], &r[i]) != MEMO_OK)
            _exit(4);
    }
    while (live[0] || live[1])
        for (i = 0; i < 2; i++) {
            int result = live[i] ? ask(space, &select[i], &r[i], &done) : MEMO_PENDING;
            if (result == MEMO_QUIET)
                live[i] = false;
            else if (result != MEMO_OK && result != MEMO_PENDING)
                _exit(5);
        }
    return done;
}

static void worker(const char *uri, int rank, int result_fd)
{
    memo_select_t select = MEMO_SELECT_INIT;
    memo_space_t *space;
    memo_t *m;
    size_t which;
    long done;

    set_rank(rank);
    if (memo_open(&space, uri) != MEMO_OK)
        _exit(1);
    done = work_until_quiet(space);
    select.folders = folders;
    select.count = 2;
    select.when_empty = MEMO_UNTIL_QUIET;
    if (memo_select(space, &select, &m, &which) != MEMO_QUIET)
        _exit(2);
    if (write(result_fd, &done, sizeof done) != (ssize_t)sizeof done)
        _exit(6);
    _exit(memo_close(space) == MEMO_OK ? 0 : 7);
}

static long nodes_of_tree(void)
{
    long nodes = 0, level = 1;
    int i;

    for (i = 0; i <= DEPTH; i++, level *= CHILDREN)
        nodes += level;
    return nodes;
}

static void pool(const char *backend)
{
    int pipes[2], i, status, depth = DEPTH, failed = 0;
    memo_space_t *space;
    char uri[96], run[64];
    long total = 0, done;

    snprintf(uri, sizeof uri, "%s:t-quiet-started-%d?size=32M", backend, (int)getpid());
    snprintf(run, sizeof run, "%x:leader:%d", (unsigned)getpid(), WORKERS);
    setenv("MEMO_RUN", run, 1);
    tap_ok(memo_open(&space, uri) == MEMO_OK && pipe(pipes) == 0, "%s opens", backend);
    memo_write(space, &folders[0], &depth, sizeof depth);
    for (i = 0; i < WORKERS; i++)
        if (fork() == 0)
            worker(uri, i, pipes[1]);
    for (i = 0; i < WORKERS; i++) {
        wait(&status);
        failed += status != 0;
        if (status != 0)
            tap_diag("a worker ended with status %x", (unsigned)status);
    }
    close(pipes[1]);
    while (read(pipes[0], &done, sizeof done) == (ssize_t)sizeof done)
        total += done;
    close(pipes[0]);
    tap_is_int(failed, 0, "%s: every worker learns that it is quiet, by requests and blocked", backend);
    tap_is_int(total, nodes_of_tree(), "%s: when all of the work is done", backend);
    memo_close(space);
    unsetenv("MEMO_RUN");
    memo_unlink(uri);
}

int main(void)
{
    tap_timeout(120);
    tap_seed();
    folders[0] = memo_folder("even");
    folders[1] = memo_folder("odd");
    pool("shm-bucket");
    pool("shm-lock");
    return tap_done();
}
