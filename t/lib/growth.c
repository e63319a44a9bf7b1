/*
 * growth.c - see growth.h.
 */
#include "t/lib/growth.h"

#include <inttypes.h>

#include "libmemo/node/proc.h"
#include "t/lib/conform_peers.h"
#include "t/lib/ranks.h"
#include "t/tap.h"

#define NOTES_LEAST 8 /* two to a quarter */
#define KIB UINT64_C(1024)

/* Handles that stay open keep some blocks for use again, now more, now less. */
#define USED_SLACK (256 * KIB)
#define SERVER_SLACK (1024 * KIB)
/* Clients have their threads' stacks and heaps besides, and the first of them checks histories. */
#define CLIENT_SLACK (4096 * KIB)

/* A figure as it was noted, time and again. */
typedef struct series {
    char name[64];
    uint64_t slack;
    uint64_t *values;
    size_t count, room;
    struct series *next;
} series_t;

struct growth {
    series_t *first;
};

growth_t *growth_new(void)
{
    return calloc(1, sizeof(growth_t));
}

/* ---- noting ---------------------------------------------------------------------------------------------- */

static series_t *series_called(growth_t *g, const char *name, uint64_t slack)
{
    series_t **s = &g->first;
    while (*s != NULL && strcmp((*s)->name, name) != 0) {
        s = &(*s)->next;
    }
    if (*s == NULL) {
        *s = calloc(1, sizeof **s);
        snprintf((*s)->name, sizeof(*s)->name, "%s", name);
        (*s)->slack = slack;
    }
    return *s;
}

static void note(growth_t *g, const char *what, int number, uint64_t slack, uint64_t value)
{
    char name[64];
    snprintf(name, sizeof name, number < 0 ? "%s" : "%s %d", what, number);
    series_t *s = series_called(g, name, slack);
    if (s->count == s->room) {
        s->room = 2 * s->room + 64;
        s->values = realloc(s->values, s->room * sizeof s->values[0]);
        if (s->values == NULL) {
            tap_bail("no memory for the figures of the run");
        }
    }
    s->values[s->count++] = value;
}

/* What is said of all at once. */
typedef struct line {
    char text[2048];
    size_t length;
} line_t;

static __attribute__((format(printf, 2, 3))) void line_add(line_t *line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->text + line->length, sizeof line->text - line->length, format, args);
    va_end(args);
    line->length += n > 0 && (size_t)n < sizeof line->text - line->length ? (size_t)n : 0;
}

/* Every client tells what is in use at its node. */
typedef struct used {
    uint64_t bytes[256];
} used_t;

static int tell_used(memo_space_t *space, void *arg)
{
    used_t *used = arg;
    memo_stat_t stat = {0};
    int result = memo_stat(space, &stat, sizeof stat);
    used->bytes[memo_rank(space)] = stat.used;
    return result == MEMO_OK ? 0 : 1;
}

static void note_space(growth_t *g, memo_space_t *space)
{
    memo_stat_t stat = {0};
    used_t *used = peer_shared(sizeof *used);
    if (memo_stat(space, &stat, sizeof stat) != MEMO_OK || peers_everyone(space, tell_used, used) != 0) {
        tap_bail("memo_stat: %s", memo_errmsg());
    }
    note(g, "memos", -1, 0, stat.memos);
    note(g, "folders", -1, 0, stat.folders);
    note(g, "waiters", -1, 0, stat.waiters);
    note(g, "receivers", -1, 0, stat.receivers);
    tap_diag("%" PRIu64 " memos, %" PRIu64 " folders, %" PRIu64 " waiters, %" PRIu64 " receivers", stat.memos,
             stat.folders, stat.waiters, stat.receivers);
    line_t line = {.text = ""};
    for (int i = 0; i < memo_ranks(space); i++) {
        note(g, "bytes in use at the node of client", i, USED_SLACK, used->bytes[i]);
        line_add(&line, " %" PRIu64, used->bytes[i]);
    }
    tap_diag("bytes in use, at each client's node:%s", line.text);
    peer_unshare(used, sizeof *used);
}

static void note_processes(growth_t *g)
{
    line_t lines[2] = {{.text = ""}, {.text = ""}};
    pid_t pid;
    bool serves;
    for (int i = 0; (pid = ranks_process(i, &serves)) != 0; i++) {
        const char *what = serves ? "own bytes of the server at rank" : "own bytes of the client at rank";
        uint64_t resident, own;
        if (!proc_memory(pid, &resident, &own)) {
            tap_bail("process %d of rank %d cannot be looked at", (int)pid, i);
        }
        note(g, what, i, serves ? SERVER_SLACK : CLIENT_SLACK, own);
        line_add(&lines[serves], " %" PRIu64 " (%" PRIu64 ")", resident / KIB, own / KIB);
    }
    tap_diag("KiB resident (its own), each server:%s; each client:%s", lines[true].text, lines[false].text);
}

void growth_note(growth_t *g, memo_space_t *space)
{
    note_space(g, space);
    note_processes(g);
}

/* ---- judging --------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static uint64_t median(const uint64_t *values, size_t count)
{
    uint64_t *sorted = malloc(count * sizeof *sorted), middle;
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_size);
    middle = sorted[count / 2];
    free(sorted);
    return middle;
}

static void judge(const series_t *s)
{
    size_t quarter = s->count / 4;
    uint64_t then = median(s->values + quarter, quarter), now = median(s->values + s->count - quarter, quarter);
    if (!tap_ok(now <= then + s->slack, "%s: no more than %" PRIu64 " more at the end than after a quarter",
                s->name, s->slack)) {
        tap_diag("%" PRIu64 " after a quarter, %" PRIu64 " at the end", then, now);
    }
}

void growth_judge(growth_t *g)
{
    if (g->first != NULL && g->first->count < NOTES_LEAST) {
        tap_diag("too few rounds, %zu, to see whether anything grows", g->first->count);
    }
    for (series_t *s; (s = g->first) != NULL;) {
        if (s->count >= NOTES_LEAST) {
            judge(s);
        }
        g->first = s->next;
        free(s->values);
        free(s);
    }
    free(g);
}
