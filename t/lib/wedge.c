/*
 * wedge.c - see wedge.h. All of it runs in a signal handler of a program that is about to end; should it hang
 * there, the next alarm ends it.
 */
#include "t/lib/wedge.h"
#include "libmemo/node/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "t/tap.h"

static char watched_uri[256];
static const history_t *watched_history;
static uint64_t watched_seed;

/* The first line of a file of /proc, or "-". */
static void read_line(char *line, size_t room, const char *format, ...)
{
    char path[128];
    va_list args;
    va_start(args, format);
    vsnprintf(path, sizeof path, format, args);
    va_end(args);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, line, room - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    if (n <= 0) {
        snprintf(line, room, "-");
        return;
    }
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

/* wchan is where in the kernel; syscall its number and arguments: a futex, and what is expected there. */
static void report_process(const char *pid)
{
    char path[64], wchan[128], syscall_line[256];
    proc_t p = {.state = '?'};
    snprintf(path, sizeof path, "/proc/%s/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL) {
        return;
    }
    for (const struct dirent *e; (e = readdir(tasks)) != NULL;) {
        if (e->d_name[0] == '.') {
            continue;
        }
        proc_read((pid_t)atoi(e->d_name), &p);
        read_line(wchan, sizeof wchan, "/proc/%s/task/%s/wchan", pid, e->d_name);
        read_line(syscall_line, sizeof syscall_line, "/proc/%s/task/%s/syscall", pid, e->d_name);
        dprintf(1, "# process %s thread %s: %c, in %s, system call %s\n", pid, e->d_name, p.state, wchan,
                syscall_line);
    }
    closedir(tasks);
}

static void kill_process(const char *pid)
{
    kill((pid_t)atoi(pid), SIGKILL);
}

static void each_child(void (*visit)(const char *pid))
{
    proc_t p;
    DIR *all = opendir("/proc");
    for (const struct dirent *e; all != NULL && (e = readdir(all)) != NULL;) {
        if (proc_read((pid_t)atoi(e->d_name), &p) && p.parent == getpid()) {
            visit(e->d_name);
        }
    }
    if (all != NULL) {
        closedir(all);
    }
}

static void report_processes(void)
{
    char self[16];
    snprintf(self, sizeof self, "%d", (int)getpid());
    report_process(self);
    each_child(report_process);
}

static const char *kind_of(const history_record_t *r)
{
    static const char *const names[] = {"nothing", "a put",    "a delayed put",     "a take", "a copy",
                                        "a join",  "a cancel", "a wait of its own", "nothing"};
    return r->kind < sizeof names / sizeof names[0] ? names[r->kind] : "?";
}

static void report_operations(const history_t *h)
{
    uint32_t count, said = 0;
    const history_record_t *records = history_records(h, &count);
    uint64_t now = history_now();
    for (uint32_t i = 0; i < count && said < 300; i++) {
        const history_record_t *r = &records[i];
        if (r->kind == HISTORY_UNUSED || r->kind == HISTORY_VOID || r->ret != 0) {
            continue;
        }
        dprintf(
            1,
            "# tape %u, %s%s not ended: begun %.3f s ago, timeout %" PRId64 " ns, %u folders, the first %u, when "
            "%u, memo %" PRIx64 "\n",
            r->tape, kind_of(r), (r->flags & HISTORY_REQUEST) != 0 ? " (a request)" : "",
            (double)(now - r->call) / 1e9, r->timeout, r->count == 0 ? 1 : r->count, r->folder, r->when, r->memo);
        said++;
    }
}

void wedge_report(void)
{
    dprintf(1, "# the seed was %" PRIu64 "\n", watched_seed);
    report_processes();
    if (watched_history != NULL) {
        report_operations(watched_history);
    }
    each_child(kill_process); /* before they open the space anew */
    if (watched_uri[0] != '\0') {
        memo_unlink(watched_uri);
    }
}

void wedge_watch(const char *uri, const history_t *h, uint64_t seed)
{
    snprintf(watched_uri, sizeof watched_uri, "%s", uri);
    watched_history = h;
    watched_seed = seed;
    tap_state.on_wedge = wedge_report;
}
