/*
 * mpi_open.c - memo_mpi.h: openings that memo_open alone cannot ask for. They end in memo_open all the same, which
 * reads the URI and finds the backend; what it cannot pass on waits here, in the opening thread (opening.h).
 */
#include "libmemo/memo_mpi.h"

#include "libmemo/api/error.h"
#include "libmemo/wire/host.h"
#include "libmemo/wire/mpi_launch.h"
#include "libmemo/wire/opening.h"

#include <string.h>

/* The one symbol of libmemo that this library uses: the program's, if it is linked with libmemo. */
extern int memo_open(memo_space_t **space, const char *uri) __attribute__((weak));

static _Thread_local opening_t opening;
static _Thread_local MPI_Comm opening_comm;
static _Thread_local bool opening_with_comm;

const opening_t *opening_now(void)
{
    return &opening;
}

MPI_Comm mpi_open_comm(void)
{
    return opening_with_comm ? opening_comm : MPI_COMM_NULL;
}

/* Errors have a sentence only once libmemo has given us its table, which it does before it reads a URI's options.
 */
static int meet_host(void)
{
    memo_space_t *none;

    if (!memo_open) {
        return MEMO_ENOTSUP;
    }
    if (!host_now()) {
        (void)memo_open(&none, "mpi-single:?no_option");
    }
    return host_now() ? MEMO_OK : MEMO_EVERSION;
}

static int check_mpi(MPI_Comm comm)
{
    int begun = 0, over = 0, inter = 0;

    MPI_Initialized(&begun);
    MPI_Finalized(&over);
    if (!begun || over) {
        return memo_error(
            MEMO_EINVAL,
            "MPI %s: memo_open_mpi is for programs that have called MPI_Init; memo_open does it itself",
            begun ? "has been finalized" : "is not initialized");
    }
    if (comm == MPI_COMM_NULL) {
        return memo_error(MEMO_EINVAL, "the communicator is MPI_COMM_NULL: pass MPI_COMM_WORLD, or one made of it");
    }
    MPI_Comm_test_inter(comm, &inter);
    if (inter) {
        return memo_error(MEMO_EINVAL,
                          "the communicator is between two groups: merge it (MPI_Intercomm_merge) first");
    }
    return MEMO_OK;
}

int memo_open_mpi(memo_space_t **space, MPI_Comm comm, const char *uri)
{
    int result = meet_host();

    if (space) {
        *space = NULL;
    }
    if (result == MEMO_OK) {
        result = check_mpi(comm);
    }
    if (result != MEMO_OK) {
        return result;
    }
    opening_comm = comm;
    opening_with_comm = true;
    result = memo_open(space, uri);
    opening_with_comm = false;
    return result;
}

static bool is_mpi(const char *scheme)
{
    return strncmp(scheme, "mpi-", 4) == 0;
}

int memo_mpi_comm(memo_space_t *space, MPI_Comm *comm)
{
    int result = meet_host();

    if (result != MEMO_OK) {
        return result;
    }
    if (!comm) {
        return memo_error(MEMO_EINVAL, "the place for the communicator is NULL");
    }
    *comm = MPI_COMM_NULL;
    result = host_now()->check_space(space);
    if (result != MEMO_OK) {
        return result;
    }
    if (!is_mpi(space->backend->scheme)) {
        return memo_error(MEMO_EINVAL, "a space of %s: is not over MPI and has no communicator",
                          space->backend->scheme);
    }
    *comm = mpi_launch_clients();
    return MEMO_OK;
}

int memo_mpi_serve(const char *uri)
{
    memo_space_t *space;
    int result = meet_host();

    if (result != MEMO_OK) {
        return result;
    }
    if (uri && !is_mpi(uri)) {
        return memo_error(MEMO_EINVAL,
                          "'%.60s' is not a space over MPI, which alone has servers: write mpi-single:, "
                          "mpi-latch: or mpi-chain:",
                          uri);
    }
    opening = (opening_t){.server = true, .any_uri = !uri};
    result = memo_open(&space, uri ? uri : "mpi-single:");
    opening = (opening_t){0};
    return result;
}
