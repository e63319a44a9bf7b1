/*
 * host.c - libmemo's services within libmemo-mpi.so: the same functions as in api/, by way of the table that
 * libmemo handed over. Only what backends call is here: of handles.h no search, nor its inlines, which are for the
 * API layer.
 */
#include "libmemo/wire/host.h"

#include "libmemo/api/error.h"
#include "libmemo/api/handles.h"

#include <stdatomic.h>
#include <string.h>

extern const memo_backend_t memo_backend_mpi_single;
extern const memo_backend_t memo_backend_mpi_latch;
extern const memo_backend_t memo_backend_mpi_chain;

static const memo_backend_t *const backends[] = {
    &memo_backend_mpi_single,
    &memo_backend_mpi_latch,
    &memo_backend_mpi_chain,
};

#define BACKENDS (sizeof backends / sizeof backends[0])

/* Set once, before any backend is given out. Acquire pairs with the exchange in accept_host. */
static _Atomic(const backend_host_t *) the_host;

const backend_host_t *host_now(void)
{
    return atomic_load_explicit(&the_host, memory_order_acquire);
}

/* ---- what libmemo asks ------------------------------------------------------------------------------------- */

/* An error in the words of a host that may not be ours for good. */
__attribute__((format(printf, 3, 4))) static int say(const backend_host_t *host, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int result = host->verror(code, format, args);
    va_end(args);
    return result;
}

static int accept_host(const backend_host_t *host)
{
    const backend_host_t *before = NULL;

    if (host->interface != HOST_INTERFACE || host->sizes != HOST_SIZES) {
        return say(host, MEMO_EVERSION,
                   "libmemo is of version %s, libmemo-mpi.so of version %d.%d.%d or of another build: install both "
                   "from one build",
                   host->release, MEMO_VERSION_MAJOR, MEMO_VERSION_MINOR, MEMO_VERSION_PATCH);
    }
    if (!atomic_compare_exchange_strong_explicit(&the_host, &before, host, memory_order_acq_rel,
                                                 memory_order_acquire) &&
        before != host) {
        return say(
            host, MEMO_ENOTSUP,
            "this process has libmemo twice, perhaps as an archive and as a shared library; only the one that "
            "used MPI first can: link it once");
    }
    return MEMO_OK;
}

int memo_mpi_backend(const backend_host_t *host, const char *scheme, const memo_backend_t **backend)
{
    int result = accept_host(host);

    if (result != MEMO_OK) {
        return result;
    }
    for (size_t i = 0; i < BACKENDS; i++) {
        if (strcmp(backends[i]->scheme, scheme) == 0) {
            *backend = backends[i];
            return MEMO_OK;
        }
    }
    return say(host, MEMO_ENOTSUP, "libmemo-mpi.so knows no scheme '%s'", scheme);
}

/* ---- what this library asks -------------------------------------------------------------------------------- */

int memo_error(int code, const char *format, ...)
{
    const backend_host_t *host = host_now();
    va_list args;

    if (!host) {
        return code;
    }
    va_start(args, format);
    int result = host->verror(code, format, args);
    va_end(args);
    return result;
}

memo_space_t *handles_new(size_t bytes)
{
    return host_now()->handles_new(bytes);
}

int handles_register(memo_space_t *space, const void *base, size_t size)
{
    return host_now()->handles_register(space, base, size);
}

void handles_retire(memo_space_t *space)
{
    host_now()->handles_retire(space);
}
