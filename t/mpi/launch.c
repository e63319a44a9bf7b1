/*
 * launch.c - a rank of t/mpi_launch.sh: joins as the options say, and prints a line of what it found.
 *
 *   --server            as memo-server does; without --uri it takes the clients'
 *   --scheme S --name N --servers K --nodes K     the URI's parts
 *   --odd RANK          on that rank another name
 *   --init              calls MPI_Init itself, and MPI_Finalize; opens over a communicator of its own, with the
 * ranks the other way round
 *   --twice             opens a second time
 *   --open              never calls launch_leave: what launch_at_end is for
 *   --messages          passes a message around all peers, over MPI
 *   --sleep RANK:MS     that rank leaves so much later
 *   --kill RANK         that rank is killed once all have opened, a little before the others leave
 *   --broken            those that remain know that somebody is
 *   --cpu               prints how much CPU time a rank used after it was told to leave
 *   --shut RANK         that rank cannot open shared memory
 *   --stick RANK        that rank never returns from MPI_Finalize
 *   --fork              has a child that exits too
 *   --exit STATUS       exits with it
 */
#include <mpi.h>

#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libmemo/wire/mpi_launch.h"

enum {
    SERVER = 1,
    SCHEME,
    NAME,
    SERVERS,
    NODES,
    ODD,
    INIT,
    TWICE,
    OPEN,
    MESSAGES,
    SLEEP,
    KILL,
    BROKEN,
    CPU,
    SHUT,
    STICK,
    FORK,
    EXIT
};

static struct {
    bool server, init, twice, open, messages, broken, cpu, fork, has_uri;
    int odd, sleeper, sleep_ms, killed, shut, stuck, status;
    memo_uri_t uri;
} given = {.odd = -1,
           .sleeper = -1,
           .killed = -1,
           .shut = -1,
           .stuck = -1,
           .uri = {.scheme = "mpi-latch", .name = "test"},
           .has_uri = true};

static int rank;

/* A program's own communicator (with --init): all ranks the other way round. */
static MPI_Comm own = MPI_COMM_NULL;

MPI_Comm mpi_open_comm(void)
{
    return own;
}

/* In place of the C library's. */
int shm_open(const char *name, int flags, mode_t mode)
{
    int (*real)(const char *, int, mode_t);
    if (rank == given.shut && strncmp(name, "/memo-hall", 10) == 0) {
        errno = EMFILE;
        return -1;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "shm_open");
    return real(name, flags, mode);
}

/* In place of MPI's, which has another name too. */
int MPI_Finalize(void)
{
    while (rank == given.stuck) {
        pause();
    }
    return PMPI_Finalize();
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"server", no_argument, NULL, SERVER},
        {"scheme", required_argument, NULL, SCHEME},
        {"name", required_argument, NULL, NAME},
        {"servers", required_argument, NULL, SERVERS},
        {"nodes", required_argument, NULL, NODES},
        {"odd", required_argument, NULL, ODD},
        {"init", no_argument, NULL, INIT},
        {"twice", no_argument, NULL, TWICE},
        {"open", no_argument, NULL, OPEN},
        {"messages", no_argument, NULL, MESSAGES},
        {"sleep", required_argument, NULL, SLEEP},
        {"kill", required_argument, NULL, KILL},
        {"broken", no_argument, NULL, BROKEN},
        {"cpu", no_argument, NULL, CPU},
        {"shut", required_argument, NULL, SHUT},
        {"stick", required_argument, NULL, STICK},
        {"fork", no_argument, NULL, FORK},
        {"exit", required_argument, NULL, EXIT},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case SERVER:
            given.server = true;
            given.has_uri = false;
            break;
        case SCHEME:
            snprintf(given.uri.scheme, sizeof given.uri.scheme, "%s", optarg);
            break;
        case NAME:
            snprintf(given.uri.name, sizeof given.uri.name, "%s", optarg);
            given.has_uri = true;
            break;
        case SERVERS:
            given.uri.servers = (uint32_t)atoi(optarg);
            break;
        case NODES:
            given.uri.nodes = (uint32_t)atoi(optarg);
            break;
        case ODD:
            given.odd = atoi(optarg);
            break;
        case INIT:
            given.init = true;
            break;
        case TWICE:
            given.twice = true;
            break;
        case OPEN:
            given.open = true;
            break;
        case MESSAGES:
            given.messages = true;
            break;
        case SLEEP:
            sscanf(optarg, "%d:%d", &given.sleeper, &given.sleep_ms);
            break;
        case KILL:
            given.killed = atoi(optarg);
            break;
        case BROKEN:
            given.broken = true;
            break;
        case CPU:
            given.cpu = true;
            break;
        case SHUT:
            given.shut = atoi(optarg);
            break;
        case STICK:
            given.stuck = atoi(optarg);
            break;
        case FORK:
            given.fork = true;
            break;
        case EXIT:
            given.status = atoi(optarg);
            break;
        default:
            exit(99);
        }
    }
}

static double cpu_ms(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
}

static double cpu_at_end;

/* Handlers that were there before ours run after it: it is the end of a process that left in whatever way. */
static void at_exit(void)
{
    if (given.cpu) {
        printf("rank %d left with %.0f ms\n", rank, cpu_ms() - cpu_at_end);
    }
}

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* A byte goes around all peers over the peers' communicator. */
static void pass_messages(const launch_t *l)
{
    int peers = (int)(l->servers + l->clients), self = (int)l->self, token = 0;
    MPI_Comm comm = mpi_launch_peers(l);
    if (self == 0) {
        MPI_Send(&token, 1, MPI_INT, 1 % peers, 7, comm);
    }
    MPI_Recv(&token, 1, MPI_INT, (self + peers - 1) % peers, 7, comm, MPI_STATUS_IGNORE);
    token++;
    if (self != 0) {
        MPI_Send(&token, 1, MPI_INT, (self + 1) % peers, 7, comm);
    } else {
        printf("token %d of %d\n", token, peers);
    }
}

static void print_launch(launch_t *l)
{
    uint32_t peers = l->servers + l->clients;
    char text[256] = "", *of = calloc(peers, sizeof *of);
    uint32_t *all = calloc(peers, sizeof *all);
    bool right = launch_exchange(l, &l->self, all, sizeof l->self) == MEMO_OK;
    for (uint32_t i = 0; i < peers; i++) {
        right &= all[i] == i;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%" PRIu32, i ? "," : "", l->node_of[i]);
    }
    int clients = 0;
    if (mpi_launch_clients() != MPI_COMM_NULL) {
        MPI_Comm_size(mpi_launch_clients(), &clients);
    }
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    printf("rank %d on %s: peer %" PRIu32 " of %" PRIu32 "+%" PRIu32 " node %" PRIu32 "/%" PRIu32 " with %" PRIu32
           " nodes %s first %d comm %d uri %s:%s exchange %s region %s\n",
           rank, host, l->self, l->servers, l->clients, l->node, l->nodes, l->node_peers, text, l->first, clients,
           l->uri.scheme, l->uri.name, right ? "right" : "WRONG", l->region);
    fflush(stdout);
    free(of);
    free(all);
}

static void close_at_end(void *arg)
{
    printf("rank %d closes at the end\n", rank);
    launch_leave(arg);
}

static void leave(launch_t *l)
{
    if (rank == given.sleeper) {
        sleep_ms(given.sleep_ms);
    }
    if (rank == given.killed) {
        raise(SIGKILL);
    }
    if (given.killed >= 0) {
        sleep_ms(300);
    }
    if (given.broken) {
        launch_broken(l);
    }
    if (!given.open) {
        launch_leave(l);
    }
}

int main(int argc, char **argv)
{
    atexit(at_exit);
    read_options(argc, argv);
    rank = getenv("PMI_RANK") ? atoi(getenv("PMI_RANK")) : 0;
    if (given.init) {
        MPI_Init(&argc, &argv);
        MPI_Comm_split(MPI_COMM_WORLD, 0, -rank, &own);
    }
    if (rank == given.odd) {
        strcpy(given.uri.name, "odd");
    }
    static launch_t l;
    int result = launch_join(&l, given.has_uri ? &given.uri : NULL, given.server);
    if (result != MEMO_OK) {
        int runs = 0;
        MPI_Initialized(&runs);
        printf("rank %d: %s: %s; MPI %s\n", rank, memo_strerror(result), memo_errmsg(), runs ? "runs" : "rests");
    } else {
        launch_at_end(close_at_end, &l);
        print_launch(&l);
        for (int i = 0; i < 100; i++) {
            launch_node_barrier(&l);
        }
        if (given.messages) {
            pass_messages(&l);
        }
        leave(&l);
    }
    if (given.fork) {
        int status = -1;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            exit(3);
        }
        waitpid(child, &status, 0);
        printf("rank %d: child %s\n", rank, WIFEXITED(status) && WEXITSTATUS(status) == 3 ? "exited" : "DIED");
    }
    if (given.twice) {
        launch_t other;
        result = launch_join(&other, &given.uri, given.server);
        printf("rank %d again: %s: %s\n", rank, memo_strerror(result), memo_errmsg());
    }
    cpu_at_end = cpu_ms();
    if (given.init) {
        MPI_Finalize();
    }
    return given.status;
}
