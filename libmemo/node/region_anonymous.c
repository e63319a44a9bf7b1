/*
 * region_anonymous.c - regions without a name: memfds, remembered in a list of this process.
 *
 * The list's rule: an entry made by this process goes with the last view of it that this process has open; an entry
 * inherited by fork stays for as long as the child lives, so that the child can open its parent's region whenever
 * and as often as it likes. Each view opens the memfd anew, for an open file description of its own. An exec closes
 * them all.
 */
#include "libmemo/node/region_anonymous.h"

#include "libmemo/api/error.h"
#include "libmemo/memo.h"
#include "libmemo/node/region_header.h"
#include "libmemo/node/region_view.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct region_anonymous {
    struct region_anonymous *next;
    int fd;         /* the memfd; never carries a life lock, never mapped: every view opens it anew */
    unsigned views; /* open in this process */
    bool inherited; /* by fork: stays as long as this process */
    char kind[REGION_KIND_MAX];
    char name[REGION_NAME_MAX + 1];
};

static pthread_mutex_t anonymous_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the list and its entries */
static struct region_anonymous *anonymous_list;
static int anonymous_fork_refused; /* pthread_atfork's error, if any */

static void before_fork(void)
{
    (void)pthread_mutex_lock(&anonymous_mutex);
}

static void after_fork_in_parent(void)
{
    (void)pthread_mutex_unlock(&anonymous_mutex);
}

static void after_fork_in_child(void)
{
    for (struct region_anonymous *a = anonymous_list; a; a = a->next) {
        a->inherited = true;
        a->views = 0; /* the parent's views are given up by region_forget */
    }
    (void)pthread_mutex_unlock(&anonymous_mutex);
}

/* At loading, before any other handler of this library: prepare handlers run last registered first, and nobody
 * who holds the list's mutex takes another lock of the library, so this one has to be taken last. */
__attribute__((constructor(101))) static void watch_forks(void)
{
    anonymous_fork_refused = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static struct region_anonymous *anonymous_find(const region_spec_t *spec)
{
    struct region_anonymous *a = anonymous_list;

    while (a && (strcmp(a->kind, spec->kind) != 0 || strcmp(a->name, spec->name) != 0))
        a = a->next;
    return a;
}

static void anonymous_remove(struct region_anonymous *a)
{
    struct region_anonymous **at = &anonymous_list;

    while (*at && *at != a)
        at = &(*at)->next;
    if (*at)
        *at = a->next;
    region_close_fd(a->fd);
    free(a);
}

static int anonymous_new(struct region_anonymous **made, const region_spec_t *spec, const char *where)
{
    struct region_anonymous *a = calloc(1, sizeof *a);

    if (!a)
        return memo_error(MEMO_ENOMEM, "no memory for the list of anonymous spaces");
    memcpy(a->kind, spec->kind, strlen(spec->kind));
    memcpy(a->name, spec->name, strlen(spec->name));
    a->fd = memfd_create("memo", MFD_CLOEXEC);
    if (a->fd < 0) {
        int rc = region_refused("cannot create", where);
        free(a);
        return rc;
    }
    a->next = anonymous_list;
    anonymous_list = a;
    *made = a;
    return MEMO_OK;
}

/* A new view of a's memory, which is built first where `make` says so. */
static int anonymous_view(region_t *r, struct region_anonymous *a, const region_spec_t *spec, const char *where,
                          bool make)
{
    char path[REGION_DESCRIPTOR_PATH];
    int rc;

    region_descriptor_path(path, a->fd);
    r->fd = region_open_file(path, O_RDWR | O_CLOEXEC);
    if (r->fd < 0)
        rc = region_refused("cannot open by its path in /proc", where);
    else if (make)
        rc = region_view_build(r, spec, where);
    else
        rc = region_view_attach(r, spec, where);
    if (rc != MEMO_OK) {
        region_view_drop(r);
        return rc;
    }
    r->anonymous = a;
    a->views++;
    return MEMO_OK;
}

int region_anonymous_open(region_t *r, const region_spec_t *spec)
{
    char where[REGION_NAME_MAX + 32];
    struct region_anonymous *a;
    int rc = MEMO_OK;

    snprintf(where, sizeof where, "anonymous space \"%s\"", spec->name);
    if (anonymous_fork_refused)
        return memo_error(MEMO_ENOMEM, "%s: forks cannot be watched: %s", where, strerror(anonymous_fork_refused));
    (void)pthread_mutex_lock(&anonymous_mutex);
    a = anonymous_find(spec);
    if (a) {
        rc = anonymous_view(r, a, spec, where, false);
    } else {
        rc = anonymous_new(&a, spec, where);
        if (rc == MEMO_OK) {
            rc = anonymous_view(r, a, spec, where, true);
            if (rc != MEMO_OK)
                anonymous_remove(a);
        }
    }
    (void)pthread_mutex_unlock(&anonymous_mutex);
    return rc;
}

void region_anonymous_leave(struct region_anonymous *a)
{
    (void)pthread_mutex_lock(&anonymous_mutex);
    if (a->views > 0)
        a->views--;
    if (a->views == 0 && !a->inherited)
        anonymous_remove(a);
    (void)pthread_mutex_unlock(&anonymous_mutex);
}
