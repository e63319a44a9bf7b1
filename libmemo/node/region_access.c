/*
 * region_access.c - who may use a named region; see region_access.h.
 */
#include "libmemo/node/region_access.h"

#include "libmemo/api/error.h"
#include "libmemo/memo.h"
#include "libmemo/node/region_header.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE_BITS 07777u
#define MODE_PRIVATE 0600u

int region_access_give(int fd, const region_spec_t *spec, const char *where)
{
    mode_t mode = spec->mode != 0 ? spec->mode : MODE_PRIVATE;
    struct stat st;

    /* The group first: until then its members are others, and are kept out. */
    if (spec->group_given && fchown(fd, (uid_t)-1, spec->group) < 0)
        return memo_error(MEMO_EIO,
                          "cannot give %s to group %u: %s; a space can be given to a group that its creator is a "
                          "member of",
                          where, (unsigned)spec->group, strerror(errno));
    /* Not by open's mode: of that the umask takes bits, the owner's too. */
    if (fchmod(fd, mode) < 0 || fstat(fd, &st) < 0)
        return region_refused("cannot set the mode of", where);
    if ((st.st_mode & MODE_BITS) != mode)
        return memo_error(MEMO_EIO, "%s got mode %04o from the system, not the %04o it was to have", where,
                          (unsigned)(st.st_mode & MODE_BITS), (unsigned)mode);
    return MEMO_OK;
}

static int check_asked(const struct stat *st, const region_spec_t *spec, const char *where)
{
    unsigned mode = (unsigned)(st->st_mode & MODE_BITS);

    if (spec->mode != 0 && mode != spec->mode)
        return memo_error(
            MEMO_EBUSY,
            "%s is there already with mode %04o, not %04o: say mode=%o, or nothing about it, to use it "
            "as it is, or remove it first",
            where, mode, (unsigned)spec->mode, mode);
    if (spec->group_given && st->st_gid != spec->group)
        return memo_error(
            MEMO_EBUSY,
            "%s is there already and belongs to group %u, not %u: leave group= out to use it as it is, "
            "or remove it first",
            where, (unsigned)st->st_gid, (unsigned)spec->group);
    return MEMO_OK;
}

int region_access_check(int fd, const region_spec_t *spec, const char *where)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return region_refused("cannot look at", where);
    if (st.st_uid != geteuid() && spec->mode == 0)
        return memo_error(
            MEMO_EBUSY,
            "%s belongs to user %u, who can do anything to those who use it: if that is whom you want "
            "to share it with, say so by its mode (mode=%o), else use another name",
            where, (unsigned)st.st_uid, (unsigned)(st.st_mode & MODE_BITS));
    return check_asked(&st, spec, where);
}

int region_access_refused(const char *doing, const char *path)
{
    int why = errno;
    struct stat st;

    if ((why != EACCES && why != EPERM) || lstat(path, &st) < 0) {
        errno = why;
        return region_refused(doing, path);
    }
    return memo_error(MEMO_EIO,
                      "%s %s: permission denied: it belongs to user %u and group %u and has mode %04o, and this "
                      "process is user %u; its owner can make it anew with mode=660 and a group= of yours",
                      doing, path, (unsigned)st.st_uid, (unsigned)st.st_gid, (unsigned)(st.st_mode & MODE_BITS),
                      (unsigned)geteuid());
}
