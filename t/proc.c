/*
 * proc.c - what the kernel says of a process is read right, whatever the process is called.
 */
#include "libmemo/node/proc.h"
#include "t/tap.h"

#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { MEBIBYTES = 64 };

static void itself(void)
{
    proc_t p = {0}, later = {0};
    tap_ok(proc_read(getpid(), &p), "a process can be read");
    tap_ok(p.state == 'R', "it runs");
    tap_is_int(p.parent, getppid(), "its parent is known");
    tap_ok(proc_read(getpid(), &later), "it can be read again");
    tap_ok(p.start != 0 && later.start == p.start, "when it started does not change");
}

static void memory(void)
{
    uint64_t all[3], own[3];
    tap_ok(proc_memory(getpid(), &all[0], &own[0]), "its memory can be read");
    for (int i = 0; i < 2; i++) {
        const int how = MAP_ANONYMOUS | MAP_POPULATE | (i == 0 ? MAP_PRIVATE : MAP_SHARED);
        mmap(NULL, (size_t)MEBIBYTES << 20, PROT_READ | PROT_WRITE, how, -1, 0);
        proc_memory(getpid(), &all[i + 1], &own[i + 1]);
    }
    const uint64_t half = (uint64_t)MEBIBYTES << 19;
    tap_ok(all[1] - all[0] > half && own[1] - own[0] > half, "memory of its own is counted");
    tap_ok(all[2] - all[1] > half && own[2] < own[1] + half, "shared memory is there, but not its own");
}

/* Started a while after this one, and named to mislead. */
static void child(void)
{
    proc_t parent = {0}, p = {0};
    usleep(50000);
    pid_t pid = tap_fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, ") Z 1 (");
        raise(SIGSTOP);
        _exit(0);
    }
    waitpid(pid, NULL, WUNTRACED);
    tap_ok(proc_read(getpid(), &parent) && proc_read(pid, &p), "a child with parentheses in its name can be read");
    tap_ok(p.state == 'T' && p.parent == getpid(), "it has stopped; its parent is this process");
    tap_ok(p.start > parent.start, "it started later");
    tap_ok(proc_lives(pid), "it lives");
    kill(pid, SIGKILL);
    siginfo_t dead;
    waitid(P_PID, (id_t)pid, &dead, WEXITED | WNOWAIT);
    tap_ok(proc_read(pid, &p) && p.state == 'Z', "killed, it is there until its parent has waited for it");
    tap_ok(!proc_lives(pid), "but does not live");
    waitpid(pid, NULL, 0);
    tap_ok(!proc_read(pid, &p) && !proc_lives(pid), "then it is gone");
}

int main(void)
{
    tap_timeout(20);
    itself();
    memory();
    child();
    tap_ok(!proc_lives(INT_MAX), "a process that there cannot be does not live");
    return tap_done();
}
