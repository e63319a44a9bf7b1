/*
 * conform_spaces.c - fresh spaces for tests, and their removal whatever happens to the test.
 *
 * The names are written into memory shared with a guard process that lives as long as anything of the test does: it
 * reads from a pipe whose other end the test and its peers hold, and at its end removes what they left.
 */
#include "t/lib/conform.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPACES_MAX 512
#define DEFAULT_SIZE "size=64M"

typedef struct spaces {
    int count;
    char uri[SPACES_MAX][400];
} spaces_t;

static spaces_t *made;
static char scheme[32];
static char name[128];
static char options_kept[128];

static void spaces_remove(void)
{
    for (int i = 0; i < made->count; i++)
        memo_unlink(made->uri[i]);
}

void spaces_shared(void)
{
    made = peer_shared(sizeof *made);
}

void spaces_guarded(void)
{
    int ends[2];
    made = peer_shared(sizeof *made);
    fflush(NULL);
    if (pipe(ends) != 0)
        tap_bail("pipe");
    pid_t pid = fork();
    if (pid < 0)
        tap_bail("fork");
    if (pid > 0) {
        close(ends[0]);
        return;
    }
    char byte;
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    close(ends[1]);
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    while (read(ends[0], &byte, 1) > 0)
        continue;
    spaces_remove();
    _exit(0);
}

/* Everything the tester asked for but the size, which belongs to the test. */
static void keep_options(const char *options)
{
    char copy[256];
    char *rest = copy;
    snprintf(copy, sizeof copy, "%s", options);
    for (char *one; (one = strsep(&rest, "&")) != NULL;) {
        size_t used = strlen(options_kept);
        if (strncmp(one, "size=", 5) != 0 && one[0] != '\0')
            snprintf(options_kept + used, sizeof options_kept - used, "&%s", one);
    }
}

void spaces_of(const char *backend)
{
    const char *colon = strchr(backend, ':');
    options_kept[0] = '\0';
    snprintf(name, sizeof name, "t-conform-%ld", (long)getpid());
    if (colon == NULL) {
        snprintf(scheme, sizeof scheme, "%s", backend);
        return;
    }
    const char *query = strchr(colon, '?');
    size_t length = query == NULL ? strlen(colon + 1) : (size_t)(query - colon - 1);
    snprintf(scheme, sizeof scheme, "%.*s", (int)(colon - backend), backend);
    if (length > 0)
        snprintf(name, sizeof name, "%.*s", (int)length, colon + 1);
    if (query != NULL)
        keep_options(query + 1);
}

const char *space_fresh(const char *options)
{
    if (made->count == SPACES_MAX)
        tap_bail("more than %d spaces in one test", SPACES_MAX);
    char *uri = made->uri[made->count];
    snprintf(uri, sizeof made->uri[0], "%s:%s-%d?%s%s", scheme, name, made->count,
             options == NULL ? DEFAULT_SIZE : options, options_kept);
    made->count++;
    return uri;
}

void space_guard(const char *uri)
{
    snprintf(made->uri[made->count++], sizeof made->uri[0], "%s", uri);
}

memo_space_t *space_open(const char *uri)
{
    memo_space_t *s = NULL;
    int rc = memo_open(&s, uri);
    if (rc != MEMO_OK)
        tap_bail("memo_open(%s): %s [%s]", uri, memo_strerror(rc), memo_errmsg());
    return s;
}
