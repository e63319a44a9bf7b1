/*
 * load.h - the backends over MPI, which live in a library of their own, loaded when first asked for.
 */
#ifndef LOAD_H
#define LOAD_H

#include "libmemo/backend.h"

/* The backend of an mpi- scheme. MEMO_OK; MEMO_ENOTSUP: its library, or MPI's, is not to be found; MEMO_EVERSION:
 * it is of another build. With a sentence. */
int load_mpi(const char *scheme, const memo_backend_t **backend);

#endif
