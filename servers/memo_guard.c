/*
 * memo_guard.c - memo guard: a rank of an MPI job whose death does not take the job along.
 *
 * MPICH's mpiexec ends all ranks when one ends that has not said, on the descriptor PMI_FD, that it is done. A
 * killed process cannot say so; so this one, which mpiexec started, starts the program, holds on to the descriptor,
 * and says it in the program's place. It does that only once the program has its space open (the library then
 * writes to the descriptor MEMO_GUARD): before that the others could not do without it. Nor does it when nobody
 * else lives on this node, and there are other nodes: they would never hear of the death, and wait. A program that
 * exits without leaving MPI itself (which it also tells), by _exit, is as good as killed.
 */
#include "servers/memo_command.h"
#include "servers/memo_process.h"

#include "libmemo/node/proc.h"
#include "libmemo/wire/pmi.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR2};

static sigset_t watch_signals(void)
{
    sigset_t watched;
    signal(SIGCHLD, SIG_DFL); /* whoever started us may ignore it; then there would be nothing to wait for */
    signal(SIGUSR1, SIG_IGN); /* what mpiexec says when another rank has died */
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        sigaddset(&watched, passed_on[i]);
    }
    sigprocmask(SIG_BLOCK, &watched, NULL);
    return watched;
}

/* Starts the program, which has the pipe's one end as MEMO_GUARD. Returns the other. */
static int start(char **argv, pid_t *pid)
{
    int ends[2];
    char number[16];
    if (pipe(ends) != 0 || fcntl(ends[0], F_SETFD, FD_CLOEXEC) != 0) {
        fail("a pipe: %s", strerror(errno));
    }
    snprintf(number, sizeof number, "%d", ends[1]);
    if (setenv("MEMO_GUARD", number, 1) != 0) {
        fail("the environment: %s", strerror(errno));
    }
    process_plan_t plan = {.argv = argv, .has_stdin = true, .out = -1, .err = -1};
    int error = process_start(&plan, pid);
    if (error != 0) {
        complain("%s: %s", argv[0], strerror(error));
        exit(error == ENOENT ? 127 : 126);
    }
    close(ends[1]);
    return ends[0];
}

static int wait_for(pid_t pid, const sigset_t *watched)
{
    siginfo_t signal;
    int status;
    for (;;) {
        int number = sigwaitinfo(watched, &signal);
        if (number == SIGCHLD && waitpid(pid, &status, WNOHANG) == pid) {
            return status;
        }
        if (number > 0 && number != SIGCHLD) {
            kill(pid, number);
        }
    }
}

/* Ends as the program did, so that mpiexec sees it. */
static _Noreturn void die_by(int number)
{
    const struct rlimit none = {0, 0};
    sigset_t unblocked;
    setrlimit(RLIMIT_CORE, &none); /* the program has left one, if anybody */
    signal(number, SIG_DFL);
    sigemptyset(&unblocked);
    sigaddset(&unblocked, number);
    sigprocmask(SIG_UNBLOCK, &unblocked, NULL);
    raise(number);
    exit(128 + number);
}

/* What the program has told us: mpi_leave.c has the other side. */
typedef struct heard {
    bool opened, ended;
    uint32_t others; /* processes of this node, if there are other nodes */
    int32_t pid[8192];
} heard_t;

static void hear(int told, heard_t *h)
{
    char letter;
    fcntl(told, F_SETFL, O_NONBLOCK); /* what the program has started may still have the other end */
    h->opened = read(told, &letter, 1) == 1;
    if (!h->opened || read(told, &h->others, sizeof h->others) != sizeof h->others) {
        h->others = 0;
        return;
    }
    for (uint32_t i = 0; i < h->others; i++) {
        int32_t pid;
        if (read(told, &pid, sizeof pid) != sizeof pid) {
            return;
        }
        h->pid[i % (sizeof h->pid / sizeof h->pid[0])] = pid;
    }
    h->ended = read(told, &letter, 1) == 1;
}

/* Whether the program's death will be known on other nodes: somebody here must find it. */
static bool will_be_known(const heard_t *h, pid_t dead)
{
    bool known = h->others == 0;
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL); /* who was killed with it is dead by then */
    for (uint32_t i = 0; i < h->others && i < sizeof h->pid / sizeof h->pid[0]; i++) {
        known = known || (h->pid[i] != dead && proc_lives(h->pid[i]));
    }
    return known;
}

static int run_guard(int argc, char **argv)
{
    static const struct option options[] = {OPTIONS_COMMON, {NULL, 0, NULL, 0}};
    while (command_option(&command_guard, argc, argv, "+s:h", options) != -1) {
    }
    if (optind >= argc) {
        fail_usage(&command_guard, "which program?");
    }
    int pmi = pmi_descriptor();
    if (pmi < 0) {
        fail("PMI_FD is not set: memo guard is for what MPICH's mpiexec starts, as in mpiexec -n 1 memo-server : "
             "-n 8 memo guard %s",
             argv[optind]);
    }
    if (command_uri() != NULL && setenv("MEMO_SPACE", command_uri(), 1) != 0) {
        fail("the environment: %s", strerror(errno));
    }
    sigset_t watched = watch_signals();
    pid_t pid;
    int told = start(argv + optind, &pid);
    int status = wait_for(pid, &watched);
    static heard_t heard;
    hear(told, &heard);
    const char *rank = getenv("PMI_RANK");
    if (!WIFSIGNALED(status)) {
        if (heard.opened && !heard.ended && will_be_known(&heard, pid) && pmi_say_finalize(pmi)) {
            complain("rank %s ended without telling MPI; the others go on", rank != NULL ? rank : "?");
        }
        return WEXITSTATUS(status);
    }
    if (!heard.opened || !will_be_known(&heard, pid) || !pmi_say_finalize(pmi)) {
        die_by(WTERMSIG(status));
    }
    complain("rank %s was killed by signal %d; the others go on", rank != NULL ? rank : "?", WTERMSIG(status));
    return EXIT_DONE;
}

const command_t command_guard = {
    "guard", "[--] PROGRAM [ARGUMENT...]",
    "Runs a rank of an MPI job so that the others go on should it be killed.",
    "It stands before the program, as in\n"
    "\n"
    "    mpiexec -n 1 memo-server : -n 8 memo guard PROGRAM\n"
    "\n"
    "and works for programs that have their space open, with MPICH's mpiexec. A space given by -s becomes the\n"
    "program's MEMO_SPACE. Exit status: the program's; 0 if it was killed and the others go on; 127 and 126 if\n"
    "it was not found or cannot run.\n"
    "\n",
    run_guard};
