/*
 * access.c - who may use a named space: its file's mode and group are what the URI says whatever the umask, from
 * the first instant that it has a name; who may not use it is told why; who may, does so in every way; and nobody
 * is made to share memory with a stranger by accident.
 *
 * What needs other users is done by children that give up root's rights, and skipped where there is no root.
 */
#include "libmemo/memo.h"
#include "libmemo/node/region.h"
#include "t/tap.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GROUP = 54321, MEMBER = 54001, STRANGER = 54002 };

static const char *scheme;
static char name[64], path[128];

static const char *uri(const char *options)
{
    static char text[256];

    snprintf(text, sizeof text, "%s:%s?size=1M%s", scheme, name, options);
    return text;
}

static struct stat file(void)
{
    struct stat st;

    memset(&st, 0, sizeof st);
    (void)stat(path, &st);
    return st;
}

static void fresh(void)
{
    (void)unlink(path);
}

static memo_space_t *opened(const char *options)
{
    memo_space_t *space = NULL;
    int result = memo_open(&space, uri(options));

    if (result != MEMO_OK)
        tap_diag("open %s: %s", options, memo_errmsg());
    return space;
}

/* ---- as somebody else -------------------------------------------------------------------------------------- */

static void become(uid_t user, gid_t group)
{
    if (setgroups(0, NULL) != 0 || setresgid(group, group, group) != 0 || setresuid(user, user, user) != 0)
        _exit(99);
}

static pid_t begin_as(uid_t user, gid_t group, int (*step)(const void *arg), const void *arg)
{
    pid_t child = tap_fork();

    if (child == 0) {
        become(user, group);
        _exit(step(arg));
    }
    return child;
}

static int end(pid_t child)
{
    int status = -1;

    (void)waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int as(uid_t user, gid_t group, int (*step)(const void *arg), const void *arg)
{
    return end(begin_as(user, group, step, arg));
}

/* What an open of somebody else's answers, and says. */
typedef struct refusal {
    const char *options;
    int code;
    const char *says, *says_too;
} refusal_t;

static int is_refused(const void *arg)
{
    const refusal_t *r = arg;
    memo_space_t *space = NULL;
    int code = memo_open(&space, uri(r->options));

    if (code == r->code && space == NULL && strstr(memo_errmsg(), r->says) && strstr(memo_errmsg(), r->says_too))
        return 0;
    tap_diag("%d: %s", code, memo_errmsg());
    return 1;
}

static int create_it(const void *options)
{
    memo_space_t *space = opened(options);

    return space != NULL && memo_close(space) == MEMO_OK ? 0 : 1;
}

/* ---- the file ---------------------------------------------------------------------------------------------- */

static void test_modes_are_exact(void)
{
    static const struct {
        const char *options;
        mode_t mode;
    } modes[] = {{"", 0600},           {"&mode=600", 0600}, {"&mode=660", 0660},
                 {"&mode=0606", 0606}, {"&mode=666", 0666}, {"&group=0", 0660}};
    static const mode_t umasks[] = {0, 022, 077, 0777};

    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++)
        for (size_t u = 0; u < sizeof umasks / sizeof *umasks; u++) {
            if (strstr(modes[m].options, "group=") && geteuid() != 0)
                continue;
            fresh();
            mode_t before = umask(umasks[u]);
            memo_space_t *space = opened(modes[m].options);
            umask(before);
            tap_ok(space && (file().st_mode & 07777) == modes[m].mode, "%s: '%s' under umask %03o is mode %04o",
                   scheme, modes[m].options, (unsigned)umasks[u], (unsigned)modes[m].mode);
            memo_close(space);
        }
    fresh();
}

static void test_what_is_there_is_not_changed(void)
{
    memo_space_t *space = opened("&mode=660"), *again;

    tap_ok(is_refused(&(refusal_t){"&mode=600", MEMO_EBUSY, "mode 0660", "not 0600"}) == 0,
           "%s: a space of another mode than asked for is not used as if it had that", scheme);
    tap_is_int(file().st_mode & 07777, 0660, "%s: nor changed", scheme);
    again = opened("&mode=660");
    tap_ok(again != NULL, "%s: one that has the mode is", scheme);
    memo_close(again);
    again = opened("");
    tap_ok(again != NULL, "%s: and its owner need not say", scheme);
    memo_close(again);
    tap_ok(is_refused(&(refusal_t){"&mode=660&group=54321", MEMO_EBUSY, "group", "54321"}) == 0,
           "%s: nor is one of another group", scheme);
    memo_close(space);
    fresh();
}

static int files_of_the_space(void)
{
    DIR *d = opendir("/dev/shm");
    int count = 0;

    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        count += strstr(e->d_name, name) != NULL || strncmp(e->d_name, ".memo-", 6) == 0;
    if (d != NULL)
        closedir(d);
    return count;
}

/* Everything that is shared is in the one file: locks, bells and life locks have its mode and group. */
static void test_there_is_one_file(void)
{
    memo_space_t *space = opened("&mode=660");
    memo_folder_t folder = memo_folder("f");
    memo_select_t select = MEMO_SELECT_INIT;
    memo_request_t *r = NULL;

    select.folders = &folder;
    select.count = 1;
    tap_ok(space && memo_start(space, &select, &r) == MEMO_OK && memo_fd(space) >= 0, "%s: a request is waiting",
           scheme);
    tap_is_int(files_of_the_space(), 1, "%s: and a space is one file all the same", scheme);
    memo_cancel(r);
    memo_close(space);
    fresh();
}

/* ---- others ------------------------------------------------------------------------------------------------ */

static void test_strangers_are_told(void)
{
    memo_space_t *space = opened("&mode=660&group=54321");

    tap_ok(space && file().st_gid == GROUP, "%s: a space belongs to the group of its URI", scheme);
    tap_is_int(as(STRANGER, STRANGER, is_refused,
                  &(refusal_t){"", MEMO_EIO, "permission denied", "user 0 and group 54321 and has mode 0660"}),
               0, "%s: who is not in the group is refused, and told whose it is", scheme);
    tap_is_int(as(STRANGER, STRANGER, is_refused,
                  &(refusal_t){"&mode=660", MEMO_EIO, "permission denied", "this process is user 54002"}),
               0, "%s: saying the mode does not help him", scheme);
    memo_close(space);
    fresh();
    space = opened("");
    tap_is_int(as(STRANGER, 0, is_refused, &(refusal_t){"", MEMO_EIO, "permission denied", "mode 0600"}), 0,
               "%s: a space is its creator's alone if nothing is said", scheme);
    memo_close(space);
    fresh();
}

static int cannot_unlink(const void *arg)
{
    (void)arg;
    return memo_unlink(uri("")) == MEMO_EIO && strstr(memo_errmsg(), "permission denied") ? 0 : 1;
}

static void test_strangers_cannot_remove(void)
{
    memo_space_t *space = opened("&mode=666");

    tap_is_int(as(STRANGER, STRANGER, cannot_unlink, NULL), 0,
               "%s: another user cannot remove a space, though he may use it", scheme);
    tap_ok(file().st_size != 0, "%s: it is still there", scheme);
    memo_close(space);
    fresh();
}

static void test_traps_are_refused(void)
{
    tap_is_int(as(STRANGER, STRANGER, create_it, "&mode=666"), 0, "%s: another user made a space for everybody",
               scheme);
    tap_is_int(is_refused(&(refusal_t){"", MEMO_EBUSY, "belongs to user 54002", "mode=666"}), 0,
               "%s: nobody is made to use it who does not say that he shares, not even root", scheme);
    tap_is_int(as(MEMBER, GROUP, is_refused, &(refusal_t){"", MEMO_EBUSY, "belongs to user 54002", "mode=666"}), 0,
               "%s: nor another", scheme);
    memo_space_t *space = opened("&mode=666");
    tap_ok(space != NULL, "%s: who says so does", scheme);
    memo_close(space);
    fresh();
}

static void test_groups_one_is_not_in(void)
{
    tap_is_int(as(STRANGER, STRANGER, is_refused,
                  &(refusal_t){"&mode=660&group=54321", MEMO_EIO, "group 54321", "member"}),
               0, "%s: a space is not given to a group by who is not in it", scheme);
    tap_ok(files_of_the_space() == 0, "%s: and nothing is left of the attempt", scheme);
}

/* Waits for a memo, answers it by another, and ends while it holds a third. */
static int partner(const void *arg)
{
    memo_space_t *space = opened("&mode=660&group=54321");
    memo_folder_t there = memo_folder("there"), back = memo_folder("back");
    memo_t *m = NULL;

    (void)arg;
    if (space == NULL || memo_get(space, &there, &m) != MEMO_OK)
        return 1;
    memo_free(m);
    if (memo_write(space, &back, "x", 1) != MEMO_OK || memo_get(space, &there, &m) != MEMO_OK)
        return 2;
    if (memo_write(space, &back, "y", 1) != MEMO_OK)
        return 3;
    for (;;)
        pause();
}

static void test_a_member_takes_part(void)
{
    memo_folder_t there = memo_folder("there"), back = memo_folder("back");
    memo_space_t *space = opened("&mode=660&group=54321");
    pid_t child = begin_as(MEMBER, GROUP, partner, NULL);
    memo_t *m = NULL;

    usleep(100000); /* he waits by now, most probably: then he is woken across users */
    tap_ok(memo_write(space, &there, "1", 1) == MEMO_OK && memo_get_for(space, &back, &m, 10000000000) == MEMO_OK,
           "%s: a member of the group waits and is woken, and wakes", scheme);
    memo_free(m);
    m = NULL;
    tap_ok(memo_write(space, &there, "2", 1) == MEMO_OK && memo_get_for(space, &back, &m, 10000000000) == MEMO_OK,
           "%s: he holds a memo", scheme);
    memo_free(m);
    m = NULL;
    kill(child, SIGKILL);
    tap_is_int(end(child), -SIGKILL, "%s: and is killed", scheme);
    tap_ok(memo_get_for(space, &there, &m, 10000000000) == MEMO_OK && memo_redeliveries(m) == 1,
           "%s: another user, who is alive, gives back what he held", scheme);
    memo_free(m);
    memo_close(space);
    fresh();
}

/* ---- from the first instant -------------------------------------------------------------------------------- */

static _Atomic int *stop; /* shared with a child */

/* Looks at the file all the time: exit status 1 if it ever was what it should not be. */
static int watch(const void *arg)
{
    (void)arg;
    for (uint64_t seen = 0; !atomic_load(stop) || seen == 0;) {
        struct stat st = file();
        if (st.st_nlink == 0)
            continue;
        seen++;
        if ((st.st_mode & 07777) != 0660 || st.st_gid != GROUP)
            return 1;
    }
    return 0;
}

static void test_never_anything_else(void)
{
    pid_t child;
    mode_t before = umask(0);

    stop = mmap(NULL, sizeof *stop, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    child = begin_as(STRANGER, STRANGER, watch, NULL);
    for (int i = 0; i < 300; i++) {
        memo_space_t *space = opened("&mode=660&group=54321");
        memo_close(space);
        fresh();
    }
    /* The watcher ends once it has seen one at least. */
    atomic_store(stop, 1);
    memo_space_t *last = opened("&mode=660&group=54321");
    tap_is_int(end(child), 0, "%s: whoever sees the file sees it with its mode and group", scheme);
    umask(before);
    memo_close(last);
    munmap((void *)stop, sizeof *stop);
    fresh();
}

/* What formats a region sees no name of it, and a file that nobody else may open. */
static int look_at_draft(region_t *r, void *arg)
{
    struct stat st;

    *(bool *)arg = access(path, F_OK) != 0 && fstat(r->fd, &st) == 0 && (st.st_mode & 0177) == 0;
    return MEMO_OK;
}

static void test_drafts_are_private(void)
{
    bool private = false;
    region_t r;
    region_spec_t spec = {.name = name,
                          .size = 1 << 20,
                          .mode = 0666,
                          .kind = "t-access",
                          .version = 1,
                          .format = look_at_draft,
                          .arg = &private};

    tap_ok(region_open(&r, &spec) == MEMO_OK && private,
           "while it is made it has no name, and is its maker's alone");
    tap_is_int(file().st_mode & 07777, 0666, "its mode comes with its name");
    region_close(&r);
    fresh();
}

/* ---- what is no space -------------------------------------------------------------------------------------- */

static void in_the_way(const char *what, mode_t kind)
{
    struct stat st;

    tap_ok(is_refused(&(refusal_t){"&mode=660", MEMO_ECORRUPT, path, ""}) == 0, "%s: %s in the way is refused",
           scheme, what);
    tap_ok(lstat(path, &st) == 0 && (st.st_mode & S_IFMT) == kind, "%s: and left alone", scheme);
    (void)remove(path);
}

static void test_foreign_files_are_refused(void)
{
    static char target[160];
    FILE *f;

    fresh();
    snprintf(target, sizeof target, "%s-real", path);
    memo_space_t *real = NULL;
    char real_uri[160];
    snprintf(real_uri, sizeof real_uri, "%s:%s-real?size=1M&mode=660", scheme, name);
    tap_ok(memo_open(&real, real_uri) == MEMO_OK && symlink(target, path) == 0, "%s: a link to a space", scheme);
    in_the_way("a link, though it leads to a space,", S_IFLNK);
    memo_close(real);
    (void)unlink(target);
    tap_ok(mkdir(path, 0700) == 0, "%s: a directory", scheme);
    in_the_way("a directory", S_IFDIR);
    tap_ok(mkfifo(path, 0660) == 0, "%s: a fifo", scheme);
    in_the_way("a fifo", S_IFIFO);
    f = fopen(path, "w");
    tap_ok(f && fprintf(f, "%5000s", "somebody's file") > 0 && fclose(f) == 0, "%s: a file", scheme);
    in_the_way("a file that is no space", S_IFREG);
}

static void test_scheme(void)
{
    test_modes_are_exact();
    test_what_is_there_is_not_changed();
    test_there_is_one_file();
    test_foreign_files_are_refused();
    if (geteuid() != 0) {
        tap_skip("only root can be somebody else", "%s: other users", scheme);
        return;
    }
    test_strangers_are_told();
    test_strangers_cannot_remove();
    test_traps_are_refused();
    test_groups_one_is_not_in();
    test_a_member_takes_part();
    test_never_anything_else();
}

int main(void)
{
    tap_timeout(120);
    snprintf(name, sizeof name, "t-access-%d", (int)getpid());
    snprintf(path, sizeof path, "/dev/shm/memo.%s", name);
    test_drafts_are_private();
    scheme = "shm-bucket";
    test_scheme();
    scheme = "shm-lock";
    test_scheme();
    return tap_done();
}
