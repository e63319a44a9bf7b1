/*
 * team.h - a team of processes that work on one thing, for the examples that are such a team.
 *
 * Started alone, a program forks its team. Started by `memo run -n N` or mpiexec, it is one of N already; over MPI
 * also when N is 1, for nobody can join later there. After team_fork() both look the same: each process has a
 * handle of its own on the space, a rank, and the symbol of this run. All folders of the run are elements of that
 * symbol's array, so that runs never meet one another, nor what an earlier one left behind.
 */
#ifndef EXAMPLES_TEAM_H
#define EXAMPLES_TEAM_H

#include "example.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct team {
    memo_space_t *space;
    const char *uri;
    memo_symbol_t symbol; /* never given to anybody before: the names of this run's folders start with it */
    int rank;
    int ranks;
    bool forked; /* by us; else by memo run or mpiexec */
} team_t;

/* A folder of this run: the index-th of those that serve one purpose. */
static inline memo_folder_t team_folder(const team_t *team, int64_t purpose, int64_t index)
{
    return memo_folder_at(team->symbol, 2, (int64_t[]){purpose, index});
}

/* Ranks that were not forked have no variable in common: the first sends the symbol to the others. */
static inline void team_share_symbol(team_t *team)
{
    char name[MEMO_NAME_MAX + 1];
    snprintf(name, sizeof name, "%s: symbol", program_invocation_short_name);
    memo_folder_t folder = memo_folder(name);

    if (team->rank == 0) {
        must(memo_symbol(team->space, &team->symbol), "making a symbol");
        for (int i = 1; i < team->ranks; i++)
            must(memo_write(team->space, &folder, &team->symbol, sizeof team->symbol), "sharing the symbol");
        return;
    }
    memo_t *m;
    must(memo_get(team->space, &folder, &m), "waiting for the symbol");
    memcpy(&team->symbol, memo_data(m), sizeof team->symbol);
    memo_free(m);
}

/* Whether the space is over MPI, where processes cannot be added by fork. */
static inline bool team_over_mpi(const char *uri)
{
    if (uri == NULL)
        uri = getenv("MEMO_SPACE");
    return uri != NULL && strncmp(uri, "mpi-", 4) == 0;
}

/* Opens the space. From here to team_fork() rank 0 may prepare what its team will find. */
static inline void team_open(team_t *team, const char *uri)
{
    team->uri = uri;
    must(memo_open(&team->space, uri), "opening the space");
    team->rank = memo_rank(team->space);
    team->ranks = memo_ranks(team->space);
    team->forked = team->ranks == 1 && !team_over_mpi(uri);
    team_share_symbol(team);
}

/* A member that fails takes the team with it: the others would wait for it for ever. */
static inline void team_member_ended(int signal_number, siginfo_t *info, void *context)
{
    static const char words[] = "a process of the team failed; giving up\n";

    (void)signal_number;
    (void)context;
    if (info->si_code == CLD_EXITED && info->si_status == 0)
        return;
    if (write(STDERR_FILENO, words, sizeof words - 1) < 0)
        _exit(EXIT_FAILURE + 1);
    _exit(EXIT_FAILURE);
}

/* Makes the team, of so many processes unless it was started as one. Returns in each of them. */
static inline void team_fork(team_t *team, int processes)
{
    if (!team->forked)
        return;
    fflush(NULL);
    team->ranks = processes;
    pid_t leader = getpid();
    struct sigaction watch = {.sa_sigaction = team_member_ended, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGCHLD, &watch, NULL);
    for (int rank = 1; rank < processes; rank++) {
        pid_t child = fork();
        if (child < 0)
            quit("fork: %s", strerror(errno));
        if (child > 0)
            continue;
        signal(SIGCHLD, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* a team without its leader would wait for ever */
        unsetenv("MEMO_RUN");             /* it would make us the rank that the leader is */
        if (getppid() != leader)
            exit(EXIT_FAILURE);
        team->rank = rank;
        must(memo_open(&team->space, team->uri), "opening the space"); /* the parent's handle is not ours */
        return;
    }
}

/* Ends this process's part; the leader waits for those it forked. Returns what main() should return. */
static inline int team_close(team_t *team)
{
    must(memo_close(team->space), "closing the space");
    if (team->forked && team->rank == 0)
        while (wait(NULL) > 0)
            continue;
    return EXIT_SUCCESS;
}

#endif
