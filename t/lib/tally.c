/*
 * tally.c - see tally.h. Programs that add at the same time take turns.
 */
#include "t/lib/tally.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINES = 64, WORD = 31 };

typedef struct line {
    char what[WORD + 1];
    uint64_t count;
} line_t;

const char *tally_path(void)
{
    static char path[512];
    const char *given = getenv("MEMO_KILLS"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (given != NULL && *given != '\0') {
        snprintf(path, sizeof path, "%s", given);
    } else if (state != NULL && *state == '/') {
        snprintf(path, sizeof path, "%s/libmemo/kills", state);
    } else {
        snprintf(path, sizeof path, "%s/.local/state/libmemo/kills", home != NULL ? home : "");
    }
    return path;
}

static void make_folders(const char *path)
{
    char part[512];

    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0777);
        *slash = '/';
    }
}

static unsigned read_lines(FILE *file, line_t lines[LINES])
{
    unsigned n = 0;

    while (n < LINES && fscanf(file, "%31s %" SCNu64, lines[n].what, &lines[n].count) == 2) {
        n++;
    }
    return n;
}

static bool add_in(FILE *file, const char *what, uint64_t more, uint64_t *sum)
{
    line_t lines[LINES];
    unsigned n = read_lines(file, lines), i;

    for (i = 0; i < n && strcmp(lines[i].what, what) != 0; i++) {
    }
    if (i == LINES) {
        errno = EFBIG;
        return false;
    }
    if (i == n) {
        snprintf(lines[n].what, sizeof lines[n].what, "%s", what);
        lines[n++].count = 0;
    }
    *sum = lines[i].count += more;
    rewind(file);
    for (i = 0; i < n; i++) {
        fprintf(file, "%s %" PRIu64 "\n", lines[i].what, lines[i].count);
    }
    return fflush(file) == 0 && ftruncate(fileno(file), ftell(file)) == 0;
}

bool tally_add(const char *what, uint64_t n, uint64_t *sum)
{
    FILE *file = NULL;
    bool right;
    int fd;

    make_folders(tally_path());
    fd = open(tally_path(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    right = fd >= 0 && flock(fd, LOCK_EX) == 0 && (file = fdopen(fd, "r+")) != NULL && add_in(file, what, n, sum);
    if (!right) {
        printf("# %s: %s\n", tally_path(), strerror(errno));
    }
    if (file != NULL) {
        fclose(file);
    } else if (fd >= 0) {
        close(fd);
    }
    return right;
}
