/*
 * replay.c - runs a fuzz target over files: of a test, over t/fuzz/corpus/TARGET, or over those it is given. Each
 * in a process of its own, which must end well, and soon.
 */
#include <dirent.h>
#include <sys/wait.h>

#include "t/fuzz/fuzz.h"
#include "t/tap.h"

enum { SECONDS = 60, LARGEST = 1 << 20 };

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void run(const char *path)
{
    static uint8_t bytes[LARGEST];
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        tap_bail("%s: %s", path, strerror(errno));
    }
    size_t size = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    void *copy = fuzz_copy(bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void check(const char *path)
{
    int status = 0;
    pid_t child = tap_fork();
    if (child == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(SECONDS);
        run(path);
        exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!tap_ok(child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", path)) {
        tap_diag("%s %d", WIFSIGNALED(status) ? "signal" : "exit status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

static void check_folder(const char *folder)
{
    char path[8192];
    struct dirent **entries;
    int n = scandir(folder, &entries, is_file, by_name);
    if (n <= 0) {
        tap_bail("%s has no files (tests run from the root of the tree)", folder);
    }
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        check(path);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    char folder[4096];
    for (int i = 1; i < argc; i++) {
        check(argv[i]);
    }
    if (argc == 1) {
        const char *name = strrchr(argv[0], '/');
        name = name != NULL ? name + 1 : argv[0];
        snprintf(folder, sizeof folder, "t/fuzz/corpus/%.*s", (int)strcspn(name, "."), name);
        check_folder(folder);
    }
    return tap_done();
}
