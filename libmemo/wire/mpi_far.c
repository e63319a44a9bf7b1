/*
 * mpi_far.c - which far link a space has (launch.h).
 */
#include "libmemo/wire/launch.h"

far_t *launch_far(launch_t *l, const far_user_t *user)
{
    (void)l; /* between nodes there is no link yet: only a job on one node can be opened */
    (void)user;
    return NULL;
}
