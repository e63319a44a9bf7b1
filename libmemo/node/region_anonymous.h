/*
 * region_anonymous.h - regions without a name, which only this process and its forked children have. Of region.c
 * alone.
 */
#ifndef REGION_ANONYMOUS_H
#define REGION_ANONYMOUS_H

#include "libmemo/node/region.h"

/* region_open for a spec that was checked and is anonymous. */
int region_anonymous_open(region_t *r, const region_spec_t *spec);

/* A view of it was dropped. */
void region_anonymous_leave(struct region_anonymous *a);

#endif
