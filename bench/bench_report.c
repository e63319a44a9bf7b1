/*
 * bench_report.c - see bench_report.h. A figure stands here only if it was measured; else the reason does.
 */
#include "bench/bench_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

struct figures {
    double median, p99, least, most, per_s;
    uint64_t ops;
    bool counted;
    double lock_waits, parks, wakes, slot_messages, messages; /* an operation */
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of sorted values, the nearest rank. */
static double quantile(const double *sorted, size_t count, double q)
{
    size_t rank = (size_t)ceil(q * (double)count);

    return sorted[rank > 0 ? rank - 1 : 0];
}

static double median_of(double *values, size_t count)
{
    qsort(values, count, sizeof *values, ascending);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double per(uint64_t count, uint64_t of)
{
    return of ? (double)count / (double)of : 0;
}

static void add_counts(struct figures *f, const struct bench_subject *s)
{
    uint64_t lock_waits = 0, parks = 0, wakes = 0, slot_messages = 0, messages = 0;

    f->counted = true;
    for (unsigned i = 0; i < s->rounds; i++) {
        const struct bench_round *r = &s->round[i];
        f->counted = f->counted && r->counted;
        f->ops += r->ops;
        lock_waits += r->counts.lock_waits;
        parks += r->counts.parks;
        wakes += r->counts.wakes;
        slot_messages += r->counts.slot_messages;
        messages += r->counts.messages;
    }
    f->lock_waits = per(lock_waits, f->ops);
    f->parks = per(parks, f->ops);
    f->wakes = per(wakes, f->ops);
    f->slot_messages = per(slot_messages, f->ops);
    f->messages = per(messages, f->ops);
}

static bool figures_of(struct figures *f, struct bench_subject *s)
{
    double *values = malloc(s->rounds * sizeof *values);

    memset(f, 0, sizeof *f);
    if (!values)
        return false;
    for (unsigned i = 0; i < s->rounds; i++)
        values[i] = s->round[i].per_s;
    f->per_s = median_of(values, s->rounds);
    for (unsigned i = 0; i < s->rounds; i++)
        values[i] = s->round[i].ns;
    f->median = median_of(values, s->rounds);
    f->least = values[0];
    f->most = values[s->rounds - 1];
    free(values);
    qsort(s->sample, s->samples, sizeof *s->sample, ascending);
    f->p99 = quantile(s->sample, s->samples, 0.99);
    add_counts(f, s);
    return true;
}

/* "48.1 ns", "5.30 us", "1.20 ms" */
static const char *time_text(char text[24], double ns)
{
    if (ns < 1000)
        snprintf(text, 24, "%.1f ns", ns);
    else if (ns < 1e6)
        snprintf(text, 24, "%.2f us", ns / 1e3);
    else
        snprintf(text, 24, "%.2f ms", ns / 1e6);
    return text;
}

static const char *rate_text(char text[24], double per_s)
{
    if (per_s >= 1e6)
        snprintf(text, 24, "%.2f M", per_s / 1e6);
    else if (per_s >= 1e3)
        snprintf(text, 24, "%.1f k", per_s / 1e3);
    else
        snprintf(text, 24, "%.0f", per_s);
    return text;
}

static void print_row(struct bench_subject *s, const bench_workload_t *w, double first)
{
    char median[24], p99[24], least[24], most[24], rate[24];
    double target = s->ranks ? w->target_mpi_ns : w->target_ns;
    struct figures f;

    if (s->why[0] || s->rounds == 0 || !figures_of(&f, s)) {
        printf("  %-26s %s: %s\n", s->uri, s->unsupported ? "cannot run" : "FAILED",
               s->why[0] ? s->why : "no memory");
        return;
    }
    printf("  %-26s %10s %10s %10s %10s %9s/s", s->uri, time_text(median, f.median), time_text(p99, f.p99),
           time_text(least, f.least), time_text(most, f.most), rate_text(rate, f.per_s));
    if (f.counted)
        printf(" %8.3f %7.3f %7.3f %7.3f %8.3f", f.lock_waits, f.parks, f.wakes, f.slot_messages, f.messages);
    else
        printf(" %8s %7s %7s %7s %8s", "-", "-", "-", "-", "-");
    if (first > 0)
        printf("  x%.2f", f.median / first);
    else if (target > 0)
        printf("  want <= %s", time_text(median, target));
    putchar('\n');
}

static void print_csv(struct bench_subject *s, const bench_workload_t *w)
{
    struct figures f;

    printf("%s,\"%s\",%u,%u,%u,", w->name, s->uri, w->processes, w->batch, s->rounds);
    if (s->why[0] || s->rounds == 0 || !figures_of(&f, s)) {
        printf(",,,,,,,,,,,\"%s: ", s->unsupported ? "cannot run" : "failed");
        for (const char *c = s->why; *c; c++)
            printf(*c == '"' ? "\"\"" : "%c", *c);
        printf("\"\n");
        return;
    }
    printf("%llu,%.2f,%.2f,%.2f,%.2f,%.0f,", (unsigned long long)f.ops, f.median, f.p99, f.least, f.most, f.per_s);
    if (f.counted)
        printf("%.5f,%.5f,%.5f,%.5f,%.5f,\n", f.lock_waits, f.parks, f.wakes, f.slot_messages, f.messages);
    else
        printf(",,,,,\n");
}

static void print_cpu_name(void)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            printf(", %.*s", (int)strcspn(strchr(line, ':') + 2, "\n"), strchr(line, ':') + 2);
            break;
        }
    if (f)
        fclose(f);
}

void bench_report_head(bool csv, const struct bench_plan *plan)
{
    struct utsname u;
    double load[3] = {0, 0, 0};

    if (csv) {
        printf("workload,uri,processes,batch,rounds,ops,median_ns,p99_ns,least_ns,most_ns,ops_per_s,"
               "lock_waits_per_op,parks_per_op,wakes_per_op,slot_messages_per_op,messages_per_op,why_not\n");
        return;
    }
    printf("libmemo %d.%d.%d", MEMO_VERSION_MAJOR, MEMO_VERSION_MINOR, MEMO_VERSION_PATCH);
    if (uname(&u) == 0)
        printf(", %s %s %s", u.sysname, u.release, u.machine);
    print_cpu_name();
    printf(", %d CPUs", CPU_COUNT(plan->cpus));
    if (getloadavg(load, 3) > 0)
        printf(", load %.2f before", load[0]);
    printf(
        "\n%u rounds of about %llu ms, the spaces in turn. median: of the rounds' figures (one process and round "
        "trips: the\nround's median sample; streams and bags: elapsed time an operation); least, most: of the "
        "rounds. p99: of all samples,\na sample being a batch of operations where one is too short to time. Waits "
        "for locks, parks, wakes, slot messages, and\nmessages to and from servers: an operation. What we want: of "
        "shm-bucket, or of MPI inside a node, on a quiet machine.\n",
        plan->rounds, (unsigned long long)(plan->round_ns / 1000000));
}

void bench_report(bool csv, const bench_workload_t *w, struct bench_subject s[], unsigned count)
{
    double first = 0;

    if (!csv)
        printf("\n%s: %s\n  %-26s %10s %10s %10s %10s %11s %8s %7s %7s %7s %8s\n", w->name, w->title, "", "median",
               "p99", "least", "most", "throughput", "waits", "parks", "wakes", "slots", "messages");
    for (unsigned i = 0; i < count; i++) {
        struct figures f;
        if (csv)
            print_csv(&s[i], w);
        else
            print_row(&s[i], w, first);
        if (i == 0 && !s[0].why[0] && s[0].rounds > 0 && figures_of(&f, &s[0]))
            first = f.median;
    }
    fflush(stdout);
}
