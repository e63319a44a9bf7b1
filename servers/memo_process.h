/*
 * memo_process.h - the processes of memo run: starting them, stopping them and all they started, and what is to
 * happen when the launcher itself is killed.
 */
#ifndef MEMO_PROCESS_H
#define MEMO_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct process_plan {
    char **argv;
    bool has_stdin; /* else its standard input is empty */
    int out;        /* its standard output and error, or -1 for the launcher's own */
    int err;
} process_plan_t;

/*
 * Starts a program, with the environment as it is now. It gets SIGKILL should this process die first. 0, or the
 * errno of what went wrong: of the program's execution too.
 */
int process_start(const process_plan_t *plan, pid_t *pid);

/* Signals a process and all that it started, as far as they can be seen. */
void process_signal_tree(pid_t pid, int signal);

/* Signals all that is left below this process, but for `spared`. */
void process_signal_rest(pid_t spared, int signal);

/*
 * A janitor removes the space `uri` as soon as this process has ended, however it ends. janitor_start is called
 * before the space is made, and returns the janitor's process; -1 when there can be none. janitor_end lets it do
 * its work now, and waits for it.
 */
pid_t janitor_start(const char *uri, int *leash);
void janitor_end(pid_t janitor, int leash);

#endif
