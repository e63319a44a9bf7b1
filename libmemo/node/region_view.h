/*
 * region_view.h - one view of a region, once there is a descriptor for it. Of region.c and region_anonymous.c
 * alone.
 */
#ifndef REGION_VIEW_H
#define REGION_VIEW_H

#include "libmemo/node/region.h"

/* Makes the empty file at r->fd a region, complete but for a name. r->fd stays the caller's when this fails. */
int region_view_build(region_t *r, const region_spec_t *spec, const char *where);

/* Checks what r->fd has open and maps it. r->fd stays the caller's when this fails. */
int region_view_attach(region_t *r, const region_spec_t *spec, const char *where);

/* Unmaps and closes: both, for a mapping too holds on to the open file description and its life locks. */
void region_view_drop(region_t *r);

/* open(), a new file of mode 0600, as often as signals want it; close() that leaves errno alone. */
int region_open_file(const char *path, int flags);
void region_close_fd(int fd);

/* This process's descriptor as a path. */
#define REGION_DESCRIPTOR_PATH 64
void region_descriptor_path(char path[REGION_DESCRIPTOR_PATH], int fd);

#endif
