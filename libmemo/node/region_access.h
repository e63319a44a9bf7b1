/*
 * region_access.h - who may use a named region: its file's owner, mode and group. Of region.c alone.
 *
 * Whoever attaches to a region can do anything to those who are attached too (they share memory), so nobody is made
 * to share with a stranger: a region that belongs to another user is attached to only where `mode` was asked for,
 * and is what the file has.
 */
#ifndef REGION_ACCESS_H
#define REGION_ACCESS_H

#include "libmemo/node/region.h"

/* Gives a draft that has no public name yet the mode and the group that it will have, whatever the umask. MEMO_OK,
 * MEMO_EIO (not a group of ours). */
int region_access_give(int fd, const region_spec_t *spec, const char *where);

/* Whether what fd has open is the caller's own, or shared just as spec says. MEMO_OK, MEMO_EBUSY, MEMO_EIO. */
int region_access_check(int fd, const region_spec_t *spec, const char *where);

/* The error for a file that the system does not let us open, or remove (errno EACCES or EPERM): whose it is, and
 * who may. */
int region_access_refused(const char *doing, const char *path);

#endif
