/*
 * memo_run.c - memo run: starts programs that share a space, numbered from 0, and stays until they have ended.
 *
 * Each finds the space in MEMO_SPACE and its number in MEMO_RUN, "ID:RANK:RANKS". The launcher has the space open
 * as "ID:leader:RANKS": while it lives, ranks that have not opened the space yet count as participants of quiet. So
 * it must say when a rank that never opened it has ended: it opens and closes the space in that rank's name.
 */
#include "servers/memo_command.h"
#include "servers/memo_process.h"
#include "servers/memo_tag.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long programs that are told to end because another failed have for it. */
#define GRACE_MS 5000

enum { RANKS_MAX = 65535 };

typedef struct launch {
    char **argv;
    char *uri;
    char id[17];
    bool is_private; /* the space is ours to remove */
    bool keep_going;
    bool tag;
    int ranks;
    int running;
    pid_t *pids;           /* 0 when that rank has ended */
    tag_stream_t *streams; /* two for each rank: output, errors */
    memo_space_t *leader;
    pid_t janitor; /* or -1 */
    int leash;
    int signals;     /* a signalfd */
    int status;      /* the first failure's exit status */
    bool stopping;   /* somebody has told us to end, and so the programs */
    int64_t kill_at; /* when those that were told to end are killed; 0: nobody was */
} launch_t;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the space ------------------------------------------------------------------------------------------- */

static void set_environment(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0) {
        fail("the environment: %s", strerror(errno));
    }
}

static void set_rank(const launch_t *launch, int rank)
{
    char value[64];
    if (rank < 0) {
        snprintf(value, sizeof value, "%s:leader:%d", launch->id, launch->ranks);
    } else {
        snprintf(value, sizeof value, "%s:%d:%d", launch->id, rank, launch->ranks);
    }
    set_environment("MEMO_RUN", value);
}

static void name_launch(launch_t *launch, const char *size)
{
    uint64_t id;
    if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id) {
        fail("getrandom: %s", strerror(errno));
    }
    snprintf(launch->id, sizeof launch->id, "%016" PRIx64, id);
    const char *given = command_uri() != NULL ? command_uri() : getenv("MEMO_SPACE");
    char fresh[64];
    if (given == NULL || given[0] == '\0') {
        snprintf(fresh, sizeof fresh, "shm-bucket:run-%d-%s", (int)getpid(), launch->id);
        given = fresh;
        launch->is_private = true;
    }
    if (strstr(given, "anonymous=1") != NULL) {
        fail("'%s': the programs could not share an anonymous space; give it a name, or none", given);
    }
    launch->uri = size != NULL ? uri_with_size(given, size) : strdup(given);
    if (launch->uri == NULL) {
        fail("out of memory");
    }
}

static void open_space(launch_t *launch)
{
    if (launch->is_private) {
        launch->janitor = janitor_start(launch->uri, &launch->leash);
    }
    set_rank(launch, -1);
    int result = memo_open(&launch->leader, launch->uri);
    if (result != MEMO_OK) {
        complain("%s", reason(result));
        if (launch->janitor > 0) {
            janitor_end(launch->janitor, launch->leash);
        }
        exit(EXIT_ERROR);
    }
    set_environment("MEMO_SPACE", launch->uri);
}

static void leave_space(launch_t *launch)
{
    memo_close(launch->leader);
    if (launch->is_private) {
        int result = memo_unlink(launch->uri);
        if (result < 0) {
            complain("%s", reason(result));
        }
    }
    if (launch->janitor > 0) {
        janitor_end(launch->janitor, launch->leash);
    }
}

/* Says that a rank is gone: it may never have opened the space, and others wait for quiet. */
static void report_gone(const launch_t *launch, int rank)
{
    set_rank(launch, rank);
    memo_space_t *space;
    int result = memo_open(&space, launch->uri);
    if (result == MEMO_OK) {
        memo_close(space);
    } else if (result < 0) {
        complain("the end of rank %d: %s", rank, reason(result));
    }
    set_rank(launch, -1);
}

/* ---- the programs ---------------------------------------------------------------------------------------- */

static void signal_all(const launch_t *launch, int signal)
{
    for (int rank = 0; rank < launch->ranks; rank++) {
        if (launch->pids[rank] > 0) {
            process_signal_tree(launch->pids[rank], signal);
        }
    }
}

static void note_failure(launch_t *launch, int status)
{
    if (launch->status == EXIT_DONE) {
        launch->status = status;
    }
    if (!launch->keep_going && !launch->stopping && launch->kill_at == 0 && launch->running > 0) {
        signal_all(launch, SIGTERM);
        launch->kill_at = now_ms() + GRACE_MS;
    }
}

static int start_rank(launch_t *launch, int rank)
{
    process_plan_t plan = {.argv = launch->argv, .has_stdin = rank == 0, .out = -1, .err = -1};
    int error = 0;
    if (launch->tag) {
        error = tag_open(&launch->streams[2 * rank], rank, stdout, &plan.out);
        if (error == 0) {
            error = tag_open(&launch->streams[2 * rank + 1], rank, stderr, &plan.err);
        }
    }
    set_rank(launch, rank);
    if (error == 0) {
        error = process_start(&plan, &launch->pids[rank]);
    }
    set_rank(launch, -1);
    if (plan.out >= 0) {
        close(plan.out);
    }
    if (plan.err >= 0) {
        close(plan.err);
    }
    return error;
}

static void start_all(launch_t *launch)
{
    for (int rank = 0; rank < launch->ranks; rank++) {
        int error = start_rank(launch, rank);
        if (error != 0) {
            launch->pids[rank] = 0;
            complain("%s: %s", launch->argv[0], strerror(error));
            launch->keep_going = false; /* without that rank the others would wait for ever */
            note_failure(launch, error == ENOENT ? 127 : 126);
            return;
        }
        launch->running++;
    }
}

static void rank_ended(launch_t *launch, int rank, int wait_status)
{
    launch->pids[rank] = 0;
    launch->running--;
    if (launch->running > 0) {
        report_gone(launch, rank);
    }
    int status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    if (status != 0) {
        note_failure(launch, status);
    }
}

static void reap(launch_t *launch)
{
    pid_t pid;
    int wait_status;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        for (int rank = 0; rank < launch->ranks; rank++) {
            if (launch->pids[rank] == pid) {
                rank_ended(launch, rank, wait_status);
                break;
            }
        }
        if (pid == launch->janitor) {
            launch->janitor = -1;
            close(launch->leash);
        }
    }
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

static void watch_signals(launch_t *launch)
{
    signal(SIGCHLD, SIG_DFL); /* whoever started us may ignore it; then there would be nothing to wait for */
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        sigaddset(&watched, passed_on[i]);
    }
    sigprocmask(SIG_BLOCK, &watched, NULL);
    launch->signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (launch->signals < 0) {
        fail("signalfd: %s", strerror(errno));
    }
}

static void pass_on(launch_t *launch, const struct signalfd_siginfo *signal)
{
    int number = (int)signal->ssi_signo;
    if (number == SIGINT || number == SIGTERM || number == SIGQUIT) {
        launch->stopping = true;
    }
    /* What the terminal sends, it sends to the programs too. */
    if (signal->ssi_code != SI_KERNEL) {
        signal_all(launch, number);
    }
}

static void take_signals(launch_t *launch)
{
    struct signalfd_siginfo signal;
    bool ended = false;
    while (read(launch->signals, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        if (signal.ssi_signo == SIGCHLD) {
            ended = true;
        } else {
            pass_on(launch, &signal);
        }
    }
    if (ended) {
        reap(launch);
    }
}

/* Milliseconds for poll(). */
static int patience(const launch_t *launch)
{
    if (launch->kill_at == 0) {
        return -1;
    }
    int64_t left = launch->kill_at - now_ms();
    return left > 0 ? (int)left : 0;
}

static void wait_for_all(launch_t *launch)
{
    nfds_t streams = launch->tag ? 2 * (nfds_t)launch->ranks : 0;
    struct pollfd *fds = allocate(streams + 1, sizeof *fds);
    while (launch->running > 0) {
        for (nfds_t i = 0; i < streams; i++) {
            fds[i] = (struct pollfd){.fd = launch->streams[i].fd, .events = POLLIN};
        }
        fds[streams] = (struct pollfd){.fd = launch->signals, .events = POLLIN};
        int ready = poll(fds, streams + 1, patience(launch));
        for (nfds_t i = 0; ready > 0 && i < streams; i++) {
            if (fds[i].revents != 0) {
                tag_pass(&launch->streams[i]);
            }
        }
        take_signals(launch);
        if (launch->kill_at != 0 && patience(launch) == 0) {
            signal_all(launch, SIGKILL);
            launch->kill_at = now_ms() + GRACE_MS;
        }
    }
    for (nfds_t i = 0; i < streams; i++) {
        tag_pass(&launch->streams[i]);
        tag_close(&launch->streams[i]);
    }
    free(fds);
}

/* ---- the command ----------------------------------------------------------------------------------------- */

static int launch_and_wait(launch_t *launch)
{
    watch_signals(launch);
    /* What the programs leave behind becomes ours, so that it can be found when all is to end. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    open_space(launch);
    start_all(launch);
    wait_for_all(launch);
    if (launch->stopping || launch->kill_at != 0) {
        process_signal_rest(launch->janitor, SIGKILL);
    }
    leave_space(launch);
    return launch->status;
}

static int run_run(int argc, char **argv)
{
    enum { KEEP_GOING = OPTION_LONG, TAG };
    static const struct option options[] = {
        OPTIONS_COMMON,
        {"ranks", required_argument, NULL, 'n'},
        {"size", required_argument, NULL, 'S'},
        {"keep-going", no_argument, NULL, KEEP_GOING},
        {"tag", no_argument, NULL, TAG},
        {NULL, 0, NULL, 0},
    };
    launch_t launch = {.janitor = -1};
    const char *size = NULL;
    int option;
    while ((option = command_option(&command_run, argc, argv, "+s:hn:S:", options)) != -1) {
        if (option == 'n') {
            launch.ranks = (int)parse_count(optarg, "number of programs", 1, RANKS_MAX);
        } else if (option == 'S') {
            size = optarg;
        } else {
            *(option == TAG ? &launch.tag : &launch.keep_going) = true;
        }
    }
    if (launch.ranks == 0) {
        fail_usage(&command_run, "how many programs? -n N says it");
    }
    if (optind >= argc) {
        fail_usage(&command_run, "which program?");
    }
    launch.argv = argv + optind;
    name_launch(&launch, size);
    launch.pids = allocate((size_t)launch.ranks, sizeof *launch.pids);
    launch.streams = allocate(launch.tag ? 2 * (size_t)launch.ranks : 0, sizeof *launch.streams);
    for (int i = 0; launch.tag && i < 2 * launch.ranks; i++) {
        launch.streams[i].fd = -1;
    }
    int status = launch_and_wait(&launch);
    free(launch.streams);
    free(launch.pids);
    free(launch.uri);
    return status;
}

const command_t command_run = {
    "run", "-n N [OPTION...] [--] PROGRAM [ARGUMENT...]",
    "Starts N programs that share a space, numbered 0 to N-1, and waits for them.",
    "  -n, --ranks N          how many\n"
    "  -S, --size SIZE        the size of the space in bytes, or with K, M, G\n"
    "      --keep-going       the others go on when one fails\n"
    "      --tag              each line of output begins with the number of its program\n"
    "\n"
    "Without a space given one is made for them, and removed at the end. They find it in MEMO_SPACE, and\n"
    "their number in MEMO_RUN. Program 0 gets standard input. When one fails the others are ended, with\n"
    "SIGTERM and then with SIGKILL. SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on.\n"
    "Exit status: that of the first that failed, 128 and the signal's number if it was killed; 127 and 126\n"
    "if the program was not found or cannot run; 2 for an error of memo run itself.\n"
    "\n",
    run_run};
