/*
 * host.h - where libmemo.so and libmemo-mpi.so meet. libmemo loads the other when a URI asks for a space over MPI,
 * and hands it this table: libmemo-mpi.so needs no symbol of libmemo, which may as well be an archive within a
 * program that exports none. What it gives back are backends like any other.
 *
 * Both are of one build: a host that is not of the same is refused.
 */
#ifndef WIRE_HOST_H
#define WIRE_HOST_H

#include <stdarg.h>

#include "libmemo/backend.h"

/* Changes with this table, with the ops table and with what passes through it; the sizes tell when it was
 * forgotten. */
#define HOST_INTERFACE 1u
#define HOST_SIZES                                                                                                 \
    ((uint32_t)sizeof(backend_host_t) ^ (uint32_t)sizeof(memo_backend_t) << 8 ^                                    \
     (uint32_t)sizeof(memo_uri_t) << 16 ^ (uint32_t)sizeof(memo_stat_t) << 24)

typedef struct backend_host {
    /* These four stay what and where they are in every version. */
    uint32_t interface;                                        /* HOST_INTERFACE */
    uint32_t sizes;                                            /* HOST_SIZES */
    const char *release;                                       /* of libmemo, for people */
    int (*verror)(int code, const char *format, va_list args); /* api/error.h */

    /* api/handles.h */
    memo_space_t *(*handles_new)(size_t bytes);
    int (*handles_register)(memo_space_t *space, const void *base, size_t size);
    void (*handles_retire)(memo_space_t *space);

    /* Whether it is an open handle, of whatever backend; MEMO_OK, or an error with a sentence. */
    int (*check_space)(const memo_space_t *space);
} backend_host_t;

/*
 * The backend of that scheme: mpi-single, mpi-latch or mpi-chain. `host` stays valid for ever. MEMO_EVERSION:
 * another build's host; MEMO_ENOTSUP: an unknown scheme, or a second libmemo in this process; with a sentence in
 * host's words. Thread-safe. What libmemo.so looks up after loading, by this name.
 */
#define HOST_ENTRY "memo_mpi_backend"
typedef int host_entry_t(const backend_host_t *host, const char *scheme, const memo_backend_t **backend);
MEMO_API host_entry_t memo_mpi_backend;

/* Inside libmemo-mpi.so: the host, NULL before anything of libmemo has asked for a backend. (host.c) */
const backend_host_t *host_now(void);

#endif
