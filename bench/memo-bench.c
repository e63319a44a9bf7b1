/*
 * memo-bench.c - the benchmark driver: every workload on every space asked for, in turns, so that what disturbs the
 * machine disturbs them alike.
 */
#include "bench/bench_ranks.h"
#include "bench/bench_report.h"
#include "bench/bench_work.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define URIS_MAX 8
#define ONLY_MAX 32
#define ROUNDS_MAX 1000

struct options {
    bool csv;
    struct bench_plan plan;
    const char *uri[URIS_MAX];
    unsigned uris;
    const char *only[ONLY_MAX];
    unsigned onlys;
};

static void usage(FILE *to)
{
    fputs("usage: memo-bench [options] [URI...]\n"
          "Measures spaces side by side. Without URI: shm-bucket: and shm-lock:. A URI without a name\n"
          "(\"shm-bucket:\", \"shm-lock:?on_death=drop\") means a fresh space for each workload, removed "
          "afterwards;\n"
          "one with a name is used as it is and left there. A space over MPI is measured alone, by as many ranks\n"
          "as mpiexec has started: a server, a client that prints, and the workload's processes, at most 31:\n"
          "    mpiexec -n 11 memo-bench mpi-single:\n\n"
          "  -l, --list         name the workloads and stop\n"
          "  -o, --only NAME    this workload alone; * and ? match; may be repeated\n"
          "  -q, --quick        3 rounds of 30 ms: rough\n"
          "  -r, --rounds N     rounds of each workload (7)\n"
          "  -t, --time MS      what a round shall take (150)\n"
          "  -c, --csv          comma-separated values\n"
          "  -h, --help         this\n\n"
          "Exit status: 0; 1 if a workload failed; 2 for wrong usage. A workload that cannot run on a space (not\n"
          "supported, too few CPUs) says so and is no failure.\n",
          to);
}

static void on_signal(int number)
{
    bench_interrupted = number;
}

static void watch_signals(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
}

/* Once, though every rank has the same arguments. */
static void misused(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void misused(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (bench_ranks_speaks()) {
        fputs("memo-bench: ", stderr);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
    }
    va_end(args);
    exit(2);
}

static unsigned long number(const char *text, unsigned long least, unsigned long most)
{
    char *end;

    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most) {
        misused("\"%s\" is not a number from %lu to %lu", text, least, most);
    }
    return value;
}

static void list(void)
{
    if (!bench_ranks_speaks())
        exit(0);
    for (const bench_workload_t *w = bench_workloads; w->name; w++)
        printf("%-20s %s\n", w->name, w->title);
    exit(0);
}

static void add_only(struct options *o, const char *pattern)
{
    if (o->onlys == ONLY_MAX)
        misused("more than %d times --only", ONLY_MAX);
    for (const bench_workload_t *w = bench_workloads; w->name; w++)
        if (fnmatch(pattern, w->name, 0) == 0) {
            o->only[o->onlys++] = pattern;
            return;
        }
    misused("no workload \"%s\": see memo-bench --list", pattern);
}

static bool over_mpi(const char *uri)
{
    return strncmp(uri, "mpi-", 4) == 0;
}

/* Under mpiexec every process runs this. */
static void check_uris(const struct options *o)
{
    bool mpi = false;

    for (unsigned i = 0; i < o->uris; i++)
        mpi = mpi || over_mpi(o->uri[i]);
    if (bench_ranks_asked() && (!mpi || o->uris != 1))
        misused("mpiexec starts it for one space over MPI: mpiexec -n 11 memo-bench mpi-single:");
    if (!bench_ranks_asked() && mpi)
        misused("a space over MPI is measured by ranks, alone: mpiexec -n 11 memo-bench mpi-single:");
}

static void read_options(struct options *o, int argc, char **argv)
{
    static const struct option known[] = {
        {"list", no_argument, NULL, 'l'},       {"only", required_argument, NULL, 'o'},
        {"quick", no_argument, NULL, 'q'},      {"rounds", required_argument, NULL, 'r'},
        {"time", required_argument, NULL, 't'}, {"csv", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    bool quick = false;
    unsigned long rounds = 0, ms = 0;

    for (int c; (c = getopt_long(argc, argv, "lo:qr:t:ch", known, NULL)) != -1;) {
        if (c == 'l')
            list();
        else if (c == 'o')
            add_only(o, optarg);
        else if (c == 'q')
            quick = true;
        else if (c == 'r')
            rounds = number(optarg, 1, ROUNDS_MAX);
        else if (c == 't')
            ms = number(optarg, 1, 10000);
        else if (c == 'c')
            o->csv = true;
        else {
            if (bench_ranks_speaks())
                usage(c == 'h' ? stdout : stderr);
            exit(c == 'h' ? 0 : 2);
        }
    }
    o->plan.rounds = (unsigned)(rounds ? rounds : quick ? 3 : 7);
    o->plan.round_ns = (uint64_t)(ms ? ms : quick ? 30 : 150) * 1000000;
    for (; optind < argc && o->uris < URIS_MAX; optind++)
        o->uri[o->uris++] = argv[optind];
    if (optind < argc)
        misused("more than %d URIs", URIS_MAX);
    if (o->uris == 0 && !bench_ranks_asked()) {
        o->uri[o->uris++] = "shm-bucket:";
        o->uri[o->uris++] = "shm-lock:";
    }
    check_uris(o);
}

static bool wanted(const struct options *o, const bench_workload_t *w)
{
    bool match = o->onlys == 0;

    for (unsigned i = 0; i < o->onlys; i++)
        match = match || fnmatch(o->only[i], w->name, 0) == 0;
    return match;
}

/* A URI without a name gets one that nobody else has. */
static void name_space(struct bench_subject *s, const bench_workload_t *w, const char *tag, unsigned which)
{
    const char *colon = strchr(s->uri, ':');
    size_t scheme = colon ? (size_t)(colon - s->uri) : strlen(s->uri);
    const char *options = colon && colon[1] ? colon + 1 : "?";

    s->tag = tag;
    s->ranks = over_mpi(s->uri);
    s->fresh = !s->ranks && (!colon || !colon[1] || colon[1] == '?');
    if (!s->fresh) {
        snprintf(s->opened, sizeof s->opened, "%s", s->uri);
        return;
    }
    snprintf(s->opened, sizeof s->opened, "%.*s:%s-%s-%u%s", (int)scheme, s->uri, tag, w->name, which, options);
    if (!strstr(options, "size=") && !strncmp(s->uri, "shm-", 4)) {
        size_t used = strlen(s->opened);
        snprintf(s->opened + used, sizeof s->opened - used, "%ssize=%llu", options[1] ? "&" : "",
                 (unsigned long long)(w->space_bytes ? w->space_bytes : UINT64_C(1) << 30));
    }
}

/* One workload on all the spaces; `ranks`: the one over MPI, which is open. False if one of them failed. */
static bool measure(const struct options *o, const bench_workload_t *w, struct bench_arena *arena,
                    memo_space_t *ranks)
{
    struct bench_subject s[URIS_MAX];
    char tag[32];
    bool right = true;

    memset(s, 0, sizeof s);
    snprintf(tag, sizeof tag, "bench-%ld", (long)getpid());
    for (unsigned i = 0; i < o->uris; i++) {
        s[i].uri = o->uri[i];
        name_space(&s[i], w, tag, i);
        s[i].space = ranks;
        (void)bench_prepare(&s[i], w, arena, &o->plan);
    }
    for (unsigned round = 0; round < o->plan.rounds; round++)
        for (unsigned i = 0; i < o->uris; i++)
            if (!s[i].why[0])
                (void)bench_round(&s[i], w, arena, &o->plan);
    bench_report(o->csv, w, s, o->uris);
    for (unsigned i = 0; i < o->uris; i++) {
        right = right && (!s[i].why[0] || s[i].unsupported);
        bench_finish(&s[i], w, arena, &o->plan);
    }
    return right;
}

static struct bench_arena *own_arena(void)
{
    struct bench_arena *arena =
        mmap(NULL, sizeof *arena, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (arena != MAP_FAILED)
        return arena;
    perror("memo-bench: mmap");
    return NULL;
}

int main(int argc, char **argv)
{
    struct options o;
    struct bench_arena *arena = NULL;
    memo_space_t *ranks = NULL;
    cpu_set_t cpus;
    bool right = true;

    memset(&o, 0, sizeof o);
    read_options(&o, argc, argv);
    CPU_ZERO(&cpus);
    if (sched_getaffinity(0, sizeof cpus, &cpus) < 0) {
        perror("memo-bench: sched_getaffinity");
        return 1;
    }
    o.plan.cpus = &cpus;
    if (over_mpi(o.uri[0]))
        ranks = bench_ranks_open(o.uri[0], &o.plan, &arena);
    else
        arena = own_arena();
    if (!arena)
        return 1;
    watch_signals();
    bench_report_head(o.csv, &o.plan);
    for (const bench_workload_t *w = bench_workloads; w->name && !bench_interrupted; w++)
        if (wanted(&o, w))
            right = measure(&o, w, arena, ranks) && right;
    if (bench_interrupted)
        fprintf(stderr, "memo-bench: interrupted\n");
    if (ranks)
        right = bench_ranks_close(ranks) && right;
    return right && !bench_interrupted ? 0 : 1;
}
