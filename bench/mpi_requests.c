/*
 * mpi_requests.c - requests and replies through a server: our way of waiting next to plain MPI_Send and MPI_Recv,
 * in jobs of the same shape, measured by the same code.
 *
 *     mpiexec -n CLIENTS+1 mpi_requests MODE SECONDS HOW
 *
 * HOW: "plain", a server that echoes what MPI_Recv brings; a URI (mpi-single:), where a client puts a memo into its
 * own folder, and gets it from there, in turns, each a request with its reply; or "none", no requests at all: what
 * the machine can compute. MODE: "busy", nothing but requests; "work", 200 us of computing before each; "idle", all
 * are blocked from the beginning to the end.
 *
 * Prints, separated by tabs: HOW, MODE, clients, operations a second, cores of computing done, median and 99th
 * percentile of an operation in us, the longest in ms, operations of over 10 ms, CPU time of all ranks in percent
 * of a core.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libmemo/memo_mpi.h"

#define BYTES 64
#define WORK_NS 200000
#define LONG_NS 10000000
#define STEPS 16 /* of an octave, in which operations are counted */
#define BINS (40 * STEPS)
#define RANKS_MAX 256

enum { REQUEST, WAIT, END };

struct figures {
    uint64_t bin[BINS];
    uint64_t ops, computed, lasting; /* operations; pieces of work; operations of over 10 ms */
};

struct job {
    int rank, ranks;
    const char *mode, *how;
    bool computes;
    uint64_t duration_ns, loops; /* of a piece of work */
    /* For the transport. */
    memo_space_t *space;
    memo_folder_t folder;
    memo_t *memo; /* in our hand; NULL: it is in the folder */
    MPI_Comm clients;
    struct figures figures;
    uint64_t longest, elapsed;
    double cpu; /* of all ranks */
};

static volatile uint64_t sink;

static uint64_t now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "mpi_requests: %s: %s\n", what, why);
    MPI_Abort(MPI_COMM_WORLD, 1);
    exit(1);
}

static void check(int rc, const char *what)
{
    if (rc != MEMO_OK)
        fail(what, memo_errmsg());
}

/* ---- work ---------------------------------------------------------------------------------------------------- */

static void compute(uint64_t loops)
{
    uint64_t x = sink;

    while (loops-- > 0)
        x = x * UINT64_C(6364136223846793005) + 1;
    sink = x;
}

/* How often it loops for a piece of work, where nobody takes the CPU away. */
static uint64_t calibrate(void)
{
    const uint64_t loops = 2000000;
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < 10; i++) {
        uint64_t began = now(CLOCK_THREAD_CPUTIME_ID);
        compute(loops);
        uint64_t took = now(CLOCK_THREAD_CPUTIME_ID) - began;
        least = took < least ? took : least;
    }
    return loops * WORK_NS / least;
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

static void ask_plain(struct job *job)
{
    char bytes[BYTES] = {0};

    MPI_Send(bytes, BYTES, MPI_BYTE, 0, REQUEST, MPI_COMM_WORLD);
    MPI_Recv(bytes, BYTES, MPI_BYTE, 0, MPI_ANY_TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    sink += (uint64_t)bytes[0];
    job->figures.ops++;
}

static void ask_memo(struct job *job)
{
    if (job->memo) {
        check(memo_put(job->space, &job->folder, job->memo), "memo_put");
        job->memo = NULL;
    } else
        check(memo_get(job->space, &job->folder, &job->memo), "memo_get");
    job->figures.ops++;
}

static void ask_nobody(struct job *job)
{
    job->figures.ops++;
}

/* Until all clients have said that it is over; the first to do so lets go those that wait. */
static void serve_plain(int clients)
{
    bool waits[RANKS_MAX] = {false};
    char bytes[BYTES];
    MPI_Status status;

    while (clients > 0) {
        MPI_Recv(bytes, BYTES, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        if (status.MPI_TAG == REQUEST)
            MPI_Send(bytes, BYTES, MPI_BYTE, status.MPI_SOURCE, REQUEST, MPI_COMM_WORLD);
        else if (status.MPI_TAG == WAIT)
            waits[status.MPI_SOURCE] = true;
        else
            clients--;
        for (int i = 0; status.MPI_TAG == END && i < RANKS_MAX; i++) {
            if (waits[i])
                MPI_Send(bytes, BYTES, MPI_BYTE, i, WAIT, MPI_COMM_WORLD);
            waits[i] = false;
        }
    }
}

/* ---- what is measured ---------------------------------------------------------------------------------------- */

static unsigned bin_of(uint64_t ns)
{
    unsigned octave, bin;

    if (ns < STEPS)
        return (unsigned)ns;
    octave = 63u - (unsigned)__builtin_clzll(ns);
    bin = (octave - 3) * STEPS + (unsigned)(ns >> (octave - 4)) % STEPS;
    return bin < BINS ? bin : BINS - 1;
}

/* The upper end of a bin. */
static double bin_ns(unsigned bin)
{
    if (bin < STEPS)
        return bin;
    return ldexp(STEPS + bin % STEPS + 1, (int)(bin / STEPS) - 1);
}

static double quantile(const struct figures *f, double q)
{
    uint64_t all = 0, sum = 0;
    unsigned i;

    for (i = 0; i < BINS; i++)
        all += f->bin[i];
    for (i = 0; i < BINS - 1 && (double)sum + (double)f->bin[i] < q * (double)all; i++)
        sum += f->bin[i];
    return bin_ns(i);
}

static void note(struct job *job, uint64_t ns)
{
    job->figures.bin[bin_of(ns)]++;
    job->figures.lasting += ns > LONG_NS;
    job->longest = ns > job->longest ? ns : job->longest;
}

static void run(struct job *job, void (*ask)(struct job *))
{
    uint64_t began = now(CLOCK_MONOTONIC), from = began, to;

    do {
        if (job->computes) {
            compute(job->loops);
            job->figures.computed++;
            from = now(CLOCK_MONOTONIC);
        }
        ask(job);
        to = now(CLOCK_MONOTONIC);
        note(job, to - from);
        from = to;
    } while (to - began < job->duration_ns);
    job->elapsed = to - began;
}

/* Of all ranks, which are processes of this machine. */
static uint64_t cpu_of(const int pids[], int ranks)
{
    uint64_t sum = 0;

    for (int i = 0; i < ranks; i++) {
        clockid_t clock;
        if (clock_getcpuclockid(pids[i], &clock) != 0)
            fail("clock_getcpuclockid", "the ranks are not on one machine");
        sum += now(clock);
    }
    return sum;
}

static void nap(uint64_t ns)
{
    const struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

    (void)nanosleep(&t, NULL);
}

/* MPI_Recv knows no time limit: the first client sleeps, out of MPI, and then has the server let the others go. */
static void idle_plain(struct job *job)
{
    char bytes[BYTES] = {0};

    if (job->rank == 1) {
        nap(job->duration_ns);
        return;
    }
    MPI_Send(bytes, BYTES, MPI_BYTE, 0, WAIT, MPI_COMM_WORLD);
    MPI_Recv(bytes, BYTES, MPI_BYTE, 0, WAIT, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void idle_memo(struct job *job)
{
    memo_t *m;
    int rc = memo_get_for(job->space, &job->folder, &m, (int64_t)job->duration_ns);

    if (rc != MEMO_TIMEDOUT)
        check(rc == MEMO_OK ? MEMO_ECORRUPT : rc, "memo_get_for");
}

/* ---- a client ------------------------------------------------------------------------------------------------ */

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool over_memo(const struct job *job)
{
    return !is(job->how, "plain") && !is(job->how, "none");
}

static void measure(struct job *job, const int pids[])
{
    bool idle = is(job->mode, "idle");
    uint64_t cpu = 0, began;

    MPI_Barrier(job->clients);
    began = now(CLOCK_MONOTONIC);
    if (job->rank == 1)
        cpu = cpu_of(pids, job->ranks);
    if (idle)
        (over_memo(job) ? idle_memo : idle_plain)(job);
    else
        run(job, over_memo(job) ? ask_memo : is(job->how, "none") ? ask_nobody : ask_plain);
    if (job->rank == 1)
        job->cpu = (double)(cpu_of(pids, job->ranks) - cpu) / (double)(now(CLOCK_MONOTONIC) - began) * 100;
    if (idle)
        job->elapsed = job->duration_ns;
}

static void be_client(struct job *job, const int pids[])
{
    char name[32], bytes[BYTES] = {0};

    snprintf(name, sizeof name, "requests-%d", job->rank);
    job->folder = memo_folder(name);
    if (over_memo(job)) {
        check(memo_open_mpi(&job->space, MPI_COMM_WORLD, job->how), "memo_open_mpi");
        check(memo_alloc(job->space, BYTES, &job->memo), "memo_alloc");
    }
    measure(job, pids);
    if (job->space)
        check(memo_close(job->space), "memo_close");
    else if (is(job->how, "plain"))
        MPI_Send(bytes, BYTES, MPI_BYTE, 0, END, MPI_COMM_WORLD);
    MPI_Comm_free(&job->clients);
}

/* ---- all ranks ----------------------------------------------------------------------------------------------- */

static void print(const struct job *job, const struct figures *sum, uint64_t longest, double seconds, double cpu)
{
    printf("%s\t%s\t%d\t%.0f\t%.3f\t%.2f\t%.2f\t%.3f\t%llu\t%.2f\n", job->how, job->mode, job->ranks - 1,
           (double)sum->ops / seconds, (double)sum->computed * WORK_NS / 1e9 / seconds, quantile(sum, 0.5) / 1e3,
           quantile(sum, 0.99) / 1e3, (double)longest / 1e6, (unsigned long long)sum->lasting, cpu);
}

static void gather(const struct job *job)
{
    uint64_t longest = 0, elapsed = 0;
    struct figures sum;
    double cpu = 0;

    memset(&sum, 0, sizeof sum);
    MPI_Reduce(&job->figures, &sum, sizeof sum / sizeof(uint64_t), MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
    MPI_Reduce(&job->longest, &longest, 1, MPI_UINT64_T, MPI_MAX, 0, MPI_COMM_WORLD);
    MPI_Reduce(&job->elapsed, &elapsed, 1, MPI_UINT64_T, MPI_MAX, 0, MPI_COMM_WORLD);
    MPI_Reduce(&job->cpu, &cpu, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    if (job->rank == 0)
        print(job, &sum, longest, (double)elapsed / 1e9, cpu);
}

static bool read_arguments(struct job *job, int argc, char **argv)
{
    double seconds;

    if (argc != 4 || (!is(argv[1], "busy") && !is(argv[1], "work") && !is(argv[1], "idle")) ||
        (is(argv[1], "idle") && is(argv[3], "none")))
        return false;
    seconds = strtod(argv[2], NULL);
    job->mode = argv[1];
    job->how = argv[3];
    job->computes = is(job->mode, "work");
    job->duration_ns = (uint64_t)(seconds * 1e9);
    return seconds > 0 && job->ranks >= 2 && job->ranks <= RANKS_MAX &&
           (is(job->how, "plain") || is(job->how, "none") || strncmp(job->how, "mpi-", 4) == 0);
}

/* The server's place is rank 0: of one server among clients, ours is there too. */
static void take_part(struct job *job)
{
    int pids[RANKS_MAX], pid = (int)getpid();

    MPI_Allgather(&pid, 1, MPI_INT, pids, 1, MPI_INT, MPI_COMM_WORLD);
    if (job->rank == 1)
        job->loops = calibrate();
    MPI_Bcast(&job->loops, 1, MPI_UINT64_T, 1, MPI_COMM_WORLD);
    MPI_Comm_split(MPI_COMM_WORLD, job->rank == 0 ? MPI_UNDEFINED : 1, job->rank, &job->clients);
    if (job->rank != 0)
        be_client(job, pids);
    else if (is(job->how, "none"))
        nap(job->duration_ns); /* and does not poll for anything */
    else if (!over_memo(job))
        serve_plain(job->ranks - 1);
    else if (memo_open_mpi(&job->space, MPI_COMM_WORLD, job->how) != MEMO_SERVED)
        fail("memo_open_mpi", memo_errmsg());
}

int main(int argc, char **argv)
{
    static struct job job;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &job.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &job.ranks);
    if (read_arguments(&job, argc, argv)) {
        take_part(&job);
        gather(&job);
    } else if (job.rank == 0)
        fprintf(stderr, "usage: mpiexec -n CLIENTS+1 mpi_requests busy|work|idle SECONDS plain|none|URI\n");
    MPI_Finalize();
    return job.mode ? 0 : 2;
}
