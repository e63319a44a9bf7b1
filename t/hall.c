/*
 * hall.c - processes of a node meet, leave, and find out who died.
 */
#include "libmemo/wire/hall.h"
#include "libmemo/node/wait.h"
#include "t/tap.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PROCESSES = 4, ROUNDS = 300 };

static char name[64];

/* What the processes share beside the hall. */
static struct {
    _Atomic uint32_t round[PROCESSES];
    _Atomic uint32_t left;
} * shared;

static hall_t enter(uint32_t place)
{
    hall_t h = {0};
    tap_is_int(hall_enter(&h, name, PROCESSES, place), 0, "place %u is taken", (unsigned)place);
    return h;
}

static pid_t start(void (*run)(uint32_t place), uint32_t place)
{
    pid_t pid = tap_fork();
    if (pid == 0) {
        run(place);
        _exit(tap_done());
    }
    return pid;
}

static bool all_well(const pid_t pids[])
{
    bool well = true;
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        well &= waitpid(pids[i], &status, 0) == pids[i] && status == 0;
    }
    return well;
}

/* Nobody is a round ahead of anybody when he leaves the barrier, in two groups that know nothing of each other. */
static void meet_often(uint32_t place)
{
    hall_t h = enter(place);
    uint32_t group = place / 2, other = place ^ 1;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        atomic_store(&shared->round[place], round);
        hall_meet(&h, group, 2);
        uint32_t seen = atomic_load(&shared->round[other]);
        if (seen < round || seen > round + 1) {
            tap_ok(false, "place %u meets its partner in round %u, not %u", (unsigned)place, (unsigned)round,
                   (unsigned)seen);
            return;
        }
    }
    hall_meet(&h, 3, PROCESSES);
    hall_greet(&h);
    tap_ok(h.can_look, "they see one another");
    hall_meet(&h, 3, PROCESSES);
}

/* Place 0 releases the others once all leave. */
static void leave(uint32_t place)
{
    hall_t h = enter(place);
    hall_meet(&h, 0, PROCESSES);
    usleep(20000 * place);
    atomic_fetch_add(&shared->left, 1);
    hall_leave(&h);
    hall_leave(&h); /* twice is once */
    for (;;) {
        uint32_t seen = hall_news(&h);
        if (place == 0 ? hall_all_leave(&h) : hall_released(&h)) {
            break;
        }
        hall_wait(&h, seen, 10000000000);
    }
    tap_is_int(atomic_load(&shared->left), PROCESSES, "place %u goes when all leave", (unsigned)place);
    if (place == 0) {
        hall_release(&h);
    }
    tap_ok(!hall_broken(&h), "nobody died");
}

/* Place 2 is killed before it leaves, or after. */
static bool leaves_first;

static void find_dead(uint32_t place)
{
    hall_t h = enter(place);
    hall_meet(&h, 0, PROCESSES);
    hall_greet(&h);
    for (uint32_t other = 0; other < PROCESSES; other++) {
        tap_ok(!hall_dead(&h, other, true), "place %u lives", (unsigned)other);
    }
    hall_meet(&h, 0, PROCESSES);
    if (place == 2) {
        if (leaves_first) {
            hall_leave(&h);
        }
        atomic_fetch_add(&shared->left, 1);
        pause();
    }
    while (atomic_load(&shared->left) < 2) { /* the parent has seen it gone */
        usleep(1000);
    }
    for (uint32_t other = 0; other < PROCESSES; other++) {
        tap_is_int(hall_dead(&h, other, false), other == 2 && !leaves_first,
                   "whether place %u is dead, at place %u", (unsigned)other, (unsigned)place);
    }
    if (hall_claim(&h, 2)) {
        atomic_fetch_add(&shared->left, 1);
        hall_break(&h);
    }
    hall_meet(&h, 1, PROCESSES - 1);
    tap_ok(hall_broken(&h), "the hall is broken");
    tap_is_int(atomic_load(&shared->left), 3, "by one of them");
    hall_meet(&h, 1, PROCESSES - 1); /* who ends now would look dead */
}

static void run_all(void (*run)(uint32_t place), const char *what)
{
    pid_t pids[PROCESSES];
    memset(shared, 0, sizeof *shared);
    tap_is_int(hall_make(name, PROCESSES), 0, "%s: a hall is made", what);
    for (uint32_t i = 0; i < PROCESSES; i++) {
        pids[i] = start(run, i);
    }
    if (run == find_dead) {
        int status;
        while (atomic_load(&shared->left) == 0) {
            usleep(1000);
        }
        kill(pids[2], SIGKILL);
        waitpid(pids[2], &status, 0);
        atomic_fetch_add(&shared->left, 1);
        pids[2] = tap_fork();
        if (pids[2] == 0) {
            _exit(0);
        }
    }
    tap_ok(all_well(pids), "%s: all processes agree", what);
    hall_remove(name);
}

int main(void)
{
    tap_timeout(60);
    snprintf(name, sizeof name, "/memo-hall.t-%d", (int)getpid());
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    hall_t h = {0};
    tap_is_int(hall_enter(&h, name, 1, 0), ENOENT, "there is none");
    tap_is_int(hall_make(name, 1), 0, "it is made");
    tap_is_int(hall_make(name, 1), EEXIST, "once");
    hall_remove(name);
    run_all(meet_often, "meeting");
    run_all(leave, "leaving");
    run_all(find_dead, "a death");
    leaves_first = true;
    run_all(find_dead, "a death after leaving");
    tap_is_int(hall_enter(&h, name, 1, 0), ENOENT, "nothing is left");
    return tap_done();
}
