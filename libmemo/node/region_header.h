/*
 * region_header.h - the first page of a region: what it is, who can read it. Of region.c alone.
 */
#ifndef REGION_HEADER_H
#define REGION_HEADER_H

#include "libmemo/node/region.h"

/* Only `form` may change its meaning: a later form may lay out all behind it anew. */
struct region_header {
    char magic[8];
    uint32_t form;    /* of this header */
    uint32_t version; /* of the user's layout */
    uint64_t fingerprint;
    uint64_t size; /* of the whole file */
    char kind[REGION_KIND_MAX];
    uint64_t checksum; /* of all before it */
};

/*
 * Reads the header of what fd has open, and the file's size; `where` names it in the sentences. MEMO_ECORRUPT: no
 * region, or one with a damaged header. MEMO_EVERSION: a header of another form, and *h tells no more. MEMO_EIO.
 */
int region_header_read(int fd, const char *where, struct region_header *h, uint64_t *file_size);

/* Whether it is the region that spec means: MEMO_EBUSY, MEMO_EVERSION, MEMO_ECORRUPT (another size). */
int region_header_check(const struct region_header *h, uint64_t file_size, const region_spec_t *spec,
                        const char *where);

/* MEMO_EBUSY if it is of another kind. */
int region_header_check_kind(const struct region_header *h, const char *kind, const char *where);

/* Writes the header of a mapped region. */
void region_header_write(region_t *r, const region_spec_t *spec);

/* The error for a refusal that errno explains. */
int region_refused(const char *doing, const char *where);

#endif
