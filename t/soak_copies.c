/*
 * soak_copies.c - one put after the other, each for several copies that wait: all are served, and none is left
 * over.
 *
 *   soak_copies.t [SECONDS]
 *
 * A copy that is shared goes with the last of its readers, whoever of them that is and whoever has the lock then.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "libmemo/memo.h"
#include "t/tap.h"

enum { READERS = 8, FOLDERS = 2 };

typedef struct shared {
    _Atomic bool stop;
    _Atomic uint64_t copies, refused, wrong;
} shared_t;

static memo_folder_t folders[FOLDERS];

/* Of either folder: a put to the one meets copies that have just been served by the other. */
static int read_copies(shared_t *shared, const char *uri, uint32_t number)
{
    memo_space_t *space;
    memo_select_t s = MEMO_SELECT_INIT;
    s.folders = folders;
    s.count = number % 3 == 0 ? 1 : FOLDERS;
    s.what = MEMO_COPY;
    s.timeout_ns = 20000000;
    if (memo_open(&space, uri) != MEMO_OK) {
        return 1;
    }
    while (!atomic_load(&shared->stop)) {
        memo_t *m;
        int result = memo_select(space, &s, &m, NULL);
        if (result == MEMO_OK) {
            const unsigned char *bytes = memo_data(m);
            atomic_fetch_add(&shared->copies, 1);
            if (memo_size(m) < 2 || bytes[0] != bytes[memo_size(m) - 1]) {
                atomic_fetch_add(&shared->wrong, 1);
            }
            memo_free(m);
        } else if (result != MEMO_TIMEDOUT) {
            atomic_fetch_add(result == MEMO_EFULL ? &shared->refused : &shared->wrong, 1);
        }
    }
    return memo_close(space) == MEMO_OK ? 0 : 1;
}

/* Puts, and takes away again before the next, so that copies must wait. */
static uint64_t put_and_take(memo_space_t *space, int seconds)
{
    struct timespec start, now;
    uint64_t puts = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        memo_t *m;
        const memo_folder_t *folder = &folders[puts % FOLDERS];
        if (memo_alloc(space, 2 + puts % 3000, &m) != MEMO_OK) {
            tap_bail("memo_alloc: %s", memo_errmsg());
        }
        memset(memo_data(m), (int)(puts & 0xff), memo_size(m));
        if (memo_put(space, folder, m) == MEMO_OK) {
            puts++;
        }
        while (memo_get_skip(space, folder, &m) == MEMO_OK) {
            memo_free(m);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < start.tv_sec + seconds);
    return puts;
}

static uint64_t used(memo_space_t *space)
{
    memo_stat_t stat;
    memset(&stat, 0, sizeof stat);
    memo_stat(space, &stat, sizeof stat);
    return stat.used;
}

static memo_space_t *open_again(memo_space_t *space, const char *uri)
{
    if ((space != NULL && memo_close(space) != MEMO_OK) || memo_open(&space, uri) != MEMO_OK) {
        tap_bail("%s: %s", uri, memo_errmsg());
    }
    return space;
}

static void copies_of(const char *scheme, int seconds)
{
    char uri[128];
    pid_t readers[READERS];
    shared_t *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        tap_bail("mmap: %s", strerror(errno));
    }
    snprintf(uri, sizeof uri, "%s:t-copies-%d?size=16M", scheme, (int)getpid());
    memo_space_t *space = open_again(NULL, uri);
    put_and_take(space, 0);
    space = open_again(space, uri);
    uint64_t before = used(space);
    for (uint32_t i = 0; i < READERS; i++) {
        if ((readers[i] = tap_fork()) == 0) {
            _exit(read_copies(shared, uri, i));
        }
    }
    uint64_t puts = put_and_take(space, seconds);
    atomic_store(&shared->stop, true);
    bool right = true;
    for (uint32_t i = 0; i < READERS; i++) {
        int status;
        waitpid(readers[i], &status, 0);
        right = right && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    space = open_again(space, uri);
    tap_diag("%" PRIu64 " puts, %" PRIu64 " copies", puts, atomic_load(&shared->copies));
    tap_ok(right && atomic_load(&shared->wrong) == 0, "%s: the copies are right", scheme);
    tap_is_int((long long)atomic_load(&shared->refused), 0, "%s: none is refused", scheme);
    tap_is_int((long long)used(space), (long long)before, "%s: none is left over", scheme);
    memo_close(space);
    memo_unlink(uri);
    munmap(shared, sizeof *shared);
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 2;
    tap_timeout(60 + 2 * (unsigned)seconds);
    if (getenv("MEMO_TSAN") != NULL) {
        tap_skip("the thread sanitizer does not see across processes", "copies of one put");
        return tap_done();
    }
    folders[0] = memo_folder("news");
    folders[1] = memo_folder("more news");
    copies_of("shm-bucket", seconds);
    copies_of("shm-lock", seconds);
    return tap_done();
}
