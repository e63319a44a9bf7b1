/*
 * memo_process.c - starting and stopping processes for memo run.
 */
#include "servers/memo_process.h"

#include "libmemo/memo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- starting -------------------------------------------------------------------------------------------- */

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
}

/* In the child. Returns only when something failed, with errno set. */
static void become(const process_plan_t *plan, pid_t launcher)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return;
    }
    if (getppid() != launcher) {
        raise(SIGKILL); /* it died before we asked to be told */
    }
    if (!plan->has_stdin) {
        int empty = open("/dev/null", O_RDONLY);
        if (empty < 0 || dup2(empty, STDIN_FILENO) < 0) {
            return;
        }
        close(empty);
    }
    if ((plan->out >= 0 && dup2(plan->out, STDOUT_FILENO) < 0) ||
        (plan->err >= 0 && dup2(plan->err, STDERR_FILENO) < 0)) {
        return;
    }
    reset_signals();
    execvp(plan->argv[0], plan->argv);
}

int process_start(const process_plan_t *plan, pid_t *pid)
{
    int report[2]; /* closed by a successful exec, or told errno */
    if (pipe2(report, O_CLOEXEC) != 0) {
        return errno;
    }
    pid_t launcher = getpid();
    *pid = fork();
    if (*pid == 0) {
        become(plan, launcher);
        int error = errno;
        ssize_t written = write(report[1], &error, sizeof error);
        _exit(written == (ssize_t)sizeof error ? 127 : 126);
    }
    int error = *pid < 0 ? errno : 0;
    close(report[1]);
    if (*pid > 0) {
        ssize_t n;
        while ((n = read(report[0], &error, sizeof error)) < 0 && errno == EINTR) {
        }
        if (n == (ssize_t)sizeof error) {
            waitpid(*pid, NULL, 0);
        } else {
            error = 0;
        }
    }
    close(report[0]);
    return error;
}

/* ---- stopping -------------------------------------------------------------------------------------------- */

/* The children of that process's first thread, as the kernel lists them; NULL if it cannot be known. */
static FILE *open_children(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    return fopen(path, "re");
}

void process_signal_tree(pid_t pid, int signal)
{
    /* Its children are read before it is signalled: once it is gone they are no longer its. */
    FILE *children = open_children(pid);
    char *line = NULL;
    size_t room = 0;
    if (children != NULL && getline(&line, &room, children) > 0) {
        for (char *p = line, *rest; *p != '\0'; p = rest) {
            long child = strtol(p, &rest, 10);
            if (rest == p) {
                break;
            }
            if (child > 0) {
                process_signal_tree((pid_t)child, signal);
            }
        }
    }
    free(line);
    if (children != NULL) {
        fclose(children);
    }
    kill(pid, signal);
}

void process_signal_rest(pid_t spared, int signal)
{
    FILE *children = open_children(getpid());
    if (children == NULL) {
        return;
    }
    int child;
    while (fscanf(children, "%d", &child) == 1) {
        if (child > 0 && child != spared) {
            process_signal_tree(child, signal);
        }
    }
    fclose(children);
}

/* ---- the janitor ----------------------------------------------------------------------------------------- */

/* Away from the terminal and from the launcher's group, holding nothing that others wait for the end of. */
static void detach(void)
{
    setsid();
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    if (chdir("/") != 0) {
        return; /* it keeps a file system busy, no more */
    }
}

pid_t janitor_start(const char *uri, int *leash)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t janitor = fork();
    if (janitor == 0) {
        close(ends[1]);
        detach();
        char byte;
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
        }
        _exit(memo_unlink(uri) < 0);
    }
    close(ends[0]);
    if (janitor < 0) {
        close(ends[1]);
        return -1;
    }
    *leash = ends[1];
    return janitor;
}

void janitor_end(pid_t janitor, int leash)
{
    close(leash);
    while (waitpid(janitor, NULL, 0) < 0 && errno == EINTR) {
    }
}
