/*
 * backends.c - the table of backends, by scheme. A backend has one global symbol, which stands here; those over MPI
 * are loaded (load.h).
 */
#include "libmemo/api/backends.h"

#include "libmemo/api/error.h"
#include "libmemo/api/load.h"
#include "libmemo/api/uri.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_SPACE "shm-bucket:default"

extern const memo_backend_t memo_backend_shm_bucket;
extern const memo_backend_t memo_backend_shm_lock;

static const memo_backend_t *const backends[] = {
    &memo_backend_shm_bucket,
    &memo_backend_shm_lock,
};

#define BACKENDS (sizeof backends / sizeof backends[0])

static int choose(const char *scheme, const memo_backend_t **backend)
{
    for (size_t i = 0; i < BACKENDS; i++) {
        if (strcmp(backends[i]->scheme, scheme) == 0) {
            *backend = backends[i];
            return MEMO_OK;
        }
    }
    if (uri_is_mpi(scheme)) {
        return load_mpi(scheme, backend);
    }
    return memo_error(MEMO_EINVAL,
                      "'%s' is not a scheme of a space: write shm-bucket:name, shm-lock:name, or mpi-single:, "
                      "mpi-latch: or mpi-chain:",
                      scheme);
}

int backends_find(const char *text, memo_uri_t *uri, const memo_backend_t **backend)
{
    const char *rest;

    if (!text) {
        const char *set = getenv("MEMO_SPACE");
        text = set && *set ? set : DEFAULT_SPACE;
    }
    int result = uri_scheme(text, uri, &rest);
    if (result == MEMO_OK) {
        result = choose(uri->scheme, backend);
    }
    return result == MEMO_OK ? uri_rest(rest, uri) : result;
}
