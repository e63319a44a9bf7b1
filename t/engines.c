/*
 * engines.c - the servers' engines and the clients' stubs under a seeded scheduler, in one process: many short
 * schedules, each judged to the last memo (t/lib/engines_sim.h); and what operations cost in messages when nobody
 * disturbs them.
 *
 *   engines.t [--seconds S | --schedules N] [--seed S] [--protocol single|latch|chain] [--operations N]
 *             [--profile P] [--servers K] [--clients C] [--threads T] [--folders F]
 *   engines.t --protocol P --seed S [--operations N] [--skip 3,5,9] --trace     one schedule, told in full
 *
 * A schedule that fails is made as short as it can be by leaving operations out, and the command that shows it is
 * printed.
 */
#include <getopt.h>
#include <stdlib.h>
#include <time.h>

#include "t/lib/engines_sim.h"
#include "t/lib/engines_counts.h"
#include "t/tap.h"

typedef struct options {
    double seconds; /* for each protocol */
    uint64_t schedules, seed;
    bool seeded, trace;
    int protocol; /* -1: all */
    sim_plan_t plan;
    uint8_t skip[SIM_OPS];
} options_t;

static options_t o = {.seconds = 6.5, .protocol = -1, .plan = {.profile = -1}};

static const char *const protocol_names[] = {"single", "latch", "chain"};

/* ---- when an engine crashes -------------------------------------------------------------------------------- */

static sim_t *running;

static void crashed(int signal_number)
{
    char text[200];
    int length = snprintf(
        text, sizeof text,
        "# signal %d in schedule --protocol %s --seed %" PRIu64 " --operations %u\nBail out! crashed\n",
        signal_number, protocol_names[running->plan.protocol], running->plan.seed, running->plan.operations);
    ssize_t ignored = write(1, text, (size_t)length);
    (void)ignored;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* ---- a failure made short ------------------------------------------------------------------------------------ */

static bool fails_without(sim_t *s, sim_plan_t *plan)
{
    return !sim_run(s, plan);
}

/* The fewest operations at its beginning with which it still fails. */
static void cut_end(sim_t *s, sim_plan_t *plan)
{
    uint32_t all = plan->operations;
    for (uint32_t n = 1; n < all; n++) {
        plan->operations = n;
        if (fails_without(s, plan)) {
            return;
        }
    }
    plan->operations = all;
}

static void leave_out(sim_t *s, sim_plan_t *plan, uint8_t skip[])
{
    plan->skip = skip;
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = 0; i < plan->operations; i++) {
            if (!skip[i]) {
                skip[i] = 1;
                again = fails_without(s, plan) || again;
                skip[i] = s->text[0] != '\0';
            }
        }
    }
}

/* What was said on the command line instead of being left to the seed. */
static const char *overrides(void)
{
    static char text[120];
    const struct {
        const char *name;
        uint32_t value;
    } given[] = {{"servers", o.plan.servers},
                 {"clients", o.plan.clients},
                 {"threads", o.plan.threads},
                 {"folders", o.plan.folders}};
    int at = o.plan.profile >= 0 ? snprintf(text, sizeof text, " --profile %d", o.plan.profile) : 0;
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        if (given[i].value > 0) {
            at += snprintf(text + at, sizeof text - (size_t)at, " --%s %u", given[i].name, given[i].value);
        }
    }
    return text;
}

static void show_failure(sim_t *s, sim_plan_t plan)
{
    static uint8_t skip[SIM_OPS];
    char list[4 * SIM_OPS] = "";
    size_t at = 0;
    tap_diag("--protocol %s --seed %" PRIu64 " --operations %u: %s", protocol_names[plan.protocol], plan.seed,
             plan.operations, s->text);
    memset(skip, 0, sizeof skip);
    cut_end(s, &plan);
    leave_out(s, &plan, skip);
    uint32_t left = plan.operations;
    for (uint32_t i = 0; i < plan.operations; i++) {
        if (skip[i]) {
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%u", at > 0 ? "," : "", i);
            left--;
        }
    }
    sim_run(s, &plan);
    tap_diag("with %u operations: %s", left, s->text);
    tap_diag("engines.t --trace --protocol %s --seed %" PRIu64 " --operations %u%s%s%s",
             protocol_names[plan.protocol], plan.seed, plan.operations, overrides(), at > 0 ? " --skip " : "",
             list);
}

/* ---- many ------------------------------------------------------------------------------------------------------
 */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

typedef struct totals {
    uint64_t schedules, operations, messages, quiet, results[8];
} totals_t;

static void run_many(sim_protocol_t protocol, uint64_t seed)
{
    totals_t totals = {0};
    sim_t *s = sim_new();
    sim_plan_t plan = o.plan;
    double start = now();
    bool right = s != NULL;
    plan.protocol = protocol;
    running = s;
    memset(s->results, 0, sizeof s->results);
    while (right && (o.schedules > 0 ? totals.schedules < o.schedules : now() - start < o.seconds)) {
        plan.seed = seed + totals.schedules;
        plan.operations = o.plan.operations > 0 ? o.plan.operations : 10 + (uint32_t)(plan.seed * 7919 % 71);
        right = sim_run(s, &plan);
        totals.schedules++;
        totals.operations += plan.operations;
        totals.messages += s->messages;
        totals.quiet += s->quiet_verdicts;
    }
    double took = now() - start;
    tap_diag("%s: %" PRIu64 " schedules, %" PRIu64 " operations, %" PRIu64
             " messages in %.1f s: %.0f schedules/s; %" PRIu64 " nones, %" PRIu64 " timeouts, %" PRIu64
             " times quiet",
             protocol_names[protocol], totals.schedules, totals.operations, totals.messages, took,
             (double)totals.schedules / took, s->results[MEMO_NONE], s->results[MEMO_TIMEDOUT], totals.quiet);
    if (!right) {
        show_failure(s, plan);
    }
    tap_ok(right && totals.schedules > 0, "%s: nothing is wrong in %" PRIu64 " schedules", protocol_names[protocol],
           totals.schedules);
    tap_ok(!right || o.plan.profile >= 0 || totals.schedules < 1000 ||
               (totals.quiet > 0 && s->results[MEMO_NONE] > 0 && s->results[MEMO_TIMEDOUT] > 0),
           "%s: quiet, nones and timeouts were among the answers", protocol_names[protocol]);
    if (right) {
        sim_delete(s);
    }
}

/* ---- the command line
 * -------------------------------------------------------------------------------------------- */

static void parse_skips(const char *text)
{
    o.plan.skip = o.skip;
    while (*text != '\0') {
        char *end;
        unsigned long n = strtoul(text, &end, 10);
        if (end == text || n >= SIM_OPS) {
            tap_bail("--skip %s", text);
        }
        o.skip[n] = 1;
        text = *end == ',' ? end + 1 : end;
    }
}

static void parse_protocol(const char *text)
{
    for (int p = 0; p < 3; p++) {
        if (strcmp(text, protocol_names[p]) == 0) {
            o.protocol = p;
            return;
        }
    }
    tap_bail("--protocol is single, latch or chain");
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"seconds", 1, NULL, 's'},  {"schedules", 1, NULL, 'n'},  {"seed", 1, NULL, 'r'},
        {"protocol", 1, NULL, 'p'}, {"operations", 1, NULL, 'o'}, {"profile", 1, NULL, 'P'},
        {"servers", 1, NULL, 'S'},  {"clients", 1, NULL, 'C'},    {"threads", 1, NULL, 'T'},
        {"folders", 1, NULL, 'F'},  {"skip", 1, NULL, 'k'},       {"trace", 0, NULL, 't'},
        {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint32_t number = optarg != NULL ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 's':
            o.seconds = strtod(optarg, NULL);
            break;
        case 'n':
            o.schedules = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            o.seed = strtoull(optarg, NULL, 10);
            o.seeded = true;
            break;
        case 'p':
            parse_protocol(optarg);
            break;
        case 'o':
            o.plan.operations = number < SIM_OPS / 3 ? number : SIM_OPS / 3;
            break;
        case 'P':
            o.plan.profile = (int)number;
            break;
        case 'S':
            o.plan.servers = number < SIM_SERVERS ? number : SIM_SERVERS;
            break;
        case 'C':
            o.plan.clients = number < SIM_CLIENTS ? number : SIM_CLIENTS;
            break;
        case 'T':
            o.plan.threads = number < SIM_THREADS ? number : SIM_THREADS;
            break;
        case 'F':
            o.plan.folders = number < SIM_FOLDERS ? number : SIM_FOLDERS;
            break;
        case 'k':
            parse_skips(optarg);
            break;
        case 't':
            o.trace = true;
            break;
        default:
            tap_bail("see the head of t/engines.c");
        }
    }
}

static int show_one(void)
{
    sim_t *s = sim_new();
    sim_plan_t plan = o.plan;
    plan.protocol = (sim_protocol_t)(o.protocol < 0 ? SIM_LATCH : o.protocol);
    plan.seed = o.seed;
    plan.operations = plan.operations > 0 ? plan.operations : 10 + (uint32_t)(plan.seed * 7919 % 71);
    plan.trace = true;
    running = s;
    setvbuf(stdout, NULL, _IOLBF, 0);
    tap_ok(sim_run(s, &plan), "nothing is wrong in this schedule");
    tap_diag("%s", s->text);
    return tap_done();
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    signal(SIGSEGV, crashed);
    signal(SIGABRT, crashed);
    signal(SIGFPE, crashed);
    if (o.trace) {
        return show_one();
    }
    uint64_t seed = o.seeded ? o.seed : tap_seed() >> 16;
    bool soak = o.schedules > 0 || o.protocol >= 0;
    if (!soak) {
        tap_timeout(300);
        check_counts();
    }
    for (int p = 0; p < 3; p++) {
        if (o.protocol < 0 || o.protocol == p) {
            run_many((sim_protocol_t)p, seed);
        }
    }
    return tap_done();
}
