/*
 * table.c - the table of folders: it grows with what it holds, and no further; nothing is lost while it does.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmemo/memo.h"
#include "libmemo/shm/shm.h"
#include "t/tap.h"

#define FOLDERS 20000
#define PROCESSES 4

static memo_folder_t folder(int process, int i)
{
    char name[32];

    snprintf(name, sizeof name, "folder %d of %d", i, process);
    return memo_folder(name);
}

static uint64_t buckets(memo_space_t *space)
{
    const node_root_t *root = ((shm_space_t *)(void *)space)->node.root;

    return atomic_load(&((const shm_root_t *)(const void *)root->user)->buckets);
}

static bool fill(memo_space_t *space, int process)
{
    bool right = true;
    int i;

    for (i = 0; i < FOLDERS; i++) {
        memo_folder_t f = folder(process, i);
        right = memo_write(space, &f, &i, sizeof i) == MEMO_OK && right;
    }
    return right;
}

static bool find_all(memo_space_t *space, int process)
{
    bool right = true;
    int i, got;

    for (i = 0; i < FOLDERS; i++) {
        memo_folder_t f = folder(process, i);
        memo_t *m;
        if (memo_get_skip(space, &f, &m) != MEMO_OK)
            return false;
        memcpy(&got, memo_data(m), sizeof got);
        right = got == i && memo_size(m) == sizeof got && right;
        memo_free(m);
    }
    return right;
}

static int count_one(const memo_folder_t *f, uint64_t memos, uint64_t bytes, uint64_t waiters, void *arg)
{
    (void)f;
    *(uint64_t *)arg += memos == 1 && bytes == sizeof(int) && waiters == 0;
    return 0;
}

/* All processes fill at once, so that splits meet puts; then each takes what its neighbour has put. */
static bool in_processes(const char *uri, bool (*work)(memo_space_t *, int), int shift)
{
    int i, status, failed = 0;

    for (i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            memo_space_t *space;
            bool right = memo_open(&space, uri) == MEMO_OK && work(space, (i + shift) % PROCESSES);
            _exit(right && memo_close(space) == MEMO_OK ? 0 : 1);
        }
    for (i = 0; i < PROCESSES; i++) {
        wait(&status);
        failed += status != 0;
    }
    return failed == 0;
}

static void grows(const char *backend)
{
    uint64_t first, grown, seen = 0;
    memo_space_t *space;
    memo_stat_t stat;
    char uri[96];

    snprintf(uri, sizeof uri, "%s:t-table-%d?size=64M", backend, (int)getpid());
    tap_ok(memo_open(&space, uri) == MEMO_OK, "%s opens", backend);
    first = buckets(space);
    tap_ok(in_processes(uri, fill, 0), "%s: %d processes fill %d folders each", backend, PROCESSES, FOLDERS);
    grown = buckets(space);
    tap_diag("%llu buckets, %llu at first", (unsigned long long)grown, (unsigned long long)first);
    tap_ok(grown > first && grown <= PROCESSES * FOLDERS + PROCESSES * 8,
           "%s: the table has grown, no further than needed", backend);
    tap_ok(grown >= PROCESSES * FOLDERS / 8, "%s: and far enough for short chains", backend);
    memo_each(space, count_one, &seen);
    tap_is_int((long long)seen, PROCESSES * FOLDERS, "%s: a walk sees every folder once", backend);
    tap_ok(in_processes(uri, find_all, 1), "%s: other processes find every memo where it was put", backend);
    memo_stat(space, &stat, sizeof stat);
    tap_ok(stat.folders == 0 && stat.memos == 0, "%s: no folder is left", backend);
    in_processes(uri, fill, 0);
    in_processes(uri, find_all, 0);
    tap_ok(buckets(space) <= PROCESSES * FOLDERS + PROCESSES * 8, "%s: the same again needs no more", backend);
    memo_close(space);
    memo_unlink(uri);
}

int main(void)
{
    tap_timeout(120);
    tap_seed();
    if (getenv("MEMO_TSAN") != NULL) {
        tap_skip("a thread sanitizer does not see what processes do to each other", "growth");
        return tap_done();
    }
    grows("shm-bucket");
    grows("shm-lock");
    return tap_done();
}
