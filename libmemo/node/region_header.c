/*
 * region_header.c - the first page of a region. A header is written once, before the region has a name, and never
 * changes. What it says about a file is checked in an order that gives the most useful answer: not a region,
 * damaged, of another kind, of another version, of another size.
 */
#include "libmemo/node/region_header.h"

#include "libmemo/api/error.h"
#include "libmemo/memo.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = {'m', 'e', 'm', 'o', 'r', 'g', 'n', '\n'};
#define FORM 1u

_Static_assert(sizeof(struct region_header) == 56, "the header's layout is shared between builds");
_Static_assert(offsetof(struct region_header, kind) == 32, "the header's layout is shared between builds");
_Static_assert(sizeof(struct region_header) <= REGION_HEADER_BYTES, "the header fits its page");

int region_refused(const char *doing, const char *where)
{
    int why = errno;

    if (why == ENOSPC || why == EDQUOT)
        return memo_error(
            MEMO_EFULL, "%s %s: no room left there; remove unused spaces or choose a smaller size=", doing, where);
    if (why == ENOMEM)
        return memo_error(MEMO_ENOMEM, "%s %s: no memory, or no address space, left for it", doing, where);
    return memo_error(MEMO_EIO, "%s %s: %s", doing, where, strerror(why));
}

/* FNV-1a: enough to tell a damaged header from a whole one. */
static uint64_t checksum_of(const struct region_header *h)
{
    const unsigned char *p = (const unsigned char *)h;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < offsetof(struct region_header, checksum); i++)
        sum = (sum ^ p[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static int read_bytes(int fd, void *to, size_t count, size_t *got)
{
    *got = 0;
    while (*got < count) {
        ssize_t n = pread(fd, (char *)to + *got, count - *got, (off_t)*got);
        if (n == 0)
            break;
        if (n > 0)
            *got += (size_t)n;
        else if (errno != EINTR)
            return -1;
    }
    return 0;
}

int region_header_read(int fd, const char *where, struct region_header *h, uint64_t *file_size)
{
    struct stat st;
    size_t got;

    if (fstat(fd, &st) < 0)
        return region_refused("cannot look at", where);
    if (!S_ISREG(st.st_mode))
        return memo_error(MEMO_ECORRUPT, "%s is not a file, so it is no space: remove it or use another name",
                          where);
    *file_size = (uint64_t)st.st_size;
    if (read_bytes(fd, h, sizeof *h, &got) < 0)
        return region_refused("cannot read", where);
    if (got < sizeof *h)
        return memo_error(MEMO_ECORRUPT, "%s has %zu bytes, too few for a space: remove it by hand", where, got);
    if (memcmp(h->magic, magic, sizeof h->magic) != 0)
        return memo_error(MEMO_ECORRUPT,
                          "%s is not a space (its first bytes are others): remove it by hand or use "
                          "another name",
                          where);
    if (h->form != FORM)
        return memo_error(MEMO_EVERSION,
                          "%s was made by another version of this library (header form %u, here %u): "
                          "unlink the space, or use that version",
                          where, h->form, FORM);
    if (h->checksum != checksum_of(h) || h->kind[REGION_KIND_MAX - 1] != '\0')
        return memo_error(MEMO_ECORRUPT, "%s has a damaged header: remove it by hand", where);
    return MEMO_OK;
}

int region_header_check_kind(const struct region_header *h, const char *kind, const char *where)
{
    if (strcmp(h->kind, kind) == 0)
        return MEMO_OK;
    return memo_error(MEMO_EBUSY,
                      "%s belongs to a space of scheme %s, not %s: open it as that, or use another name", where,
                      h->kind, kind);
}

int region_header_check(const struct region_header *h, uint64_t file_size, const region_spec_t *spec,
                        const char *where)
{
    /* Another kind has versions of its own: they say nothing here. */
    if (strcmp(h->kind, spec->kind) != 0)
        return region_header_check_kind(h, spec->kind, where);
    if (h->version != spec->version)
        return memo_error(MEMO_EVERSION,
                          "%s has layout version %u, this library %u: unlink the space, or use the "
                          "library that made it",
                          where, h->version, spec->version);
    if (h->fingerprint != spec->fingerprint)
        return memo_error(MEMO_EVERSION,
                          "%s was laid out by another build (fingerprint %016llx, here %016llx): "
                          "unlink the space, or use the library that made it",
                          where, (unsigned long long)h->fingerprint, (unsigned long long)spec->fingerprint);
    if (h->size != file_size || h->size < REGION_MIN_BYTES)
        return memo_error(MEMO_ECORRUPT,
                          "%s has %llu bytes where its header says %llu: it was cut or lengthened; "
                          "unlink the space",
                          where, (unsigned long long)file_size, (unsigned long long)h->size);
    return MEMO_OK;
}

void region_header_write(region_t *r, const region_spec_t *spec)
{
    struct region_header h;

    memset(&h, 0, sizeof h);
    memcpy(h.magic, magic, sizeof h.magic);
    h.form = FORM;
    h.version = spec->version;
    h.fingerprint = spec->fingerprint;
    h.size = r->size;
    memcpy(h.kind, spec->kind, strlen(spec->kind));
    h.checksum = checksum_of(&h);
    memcpy(r->base, &h, sizeof h);
}
