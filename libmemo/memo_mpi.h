/*
 * memo_mpi.h - libmemo for programs that use MPI themselves. Those that do not need memo.h alone: the URI of a
 * space over MPI is enough, and memo_open starts MPI and ends it.
 *
 * Link with -lmemo-mpi -lmemo and MPI (pkg-config memo-mpi). Results are those of memo.h.
 */
#ifndef MEMO_MPI_H
#define MEMO_MPI_H

#include <mpi.h>

#include "memo.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * memo_open for a program that has called MPI_Init or MPI_Init_thread and has not called MPI_Finalize. Collective
 * over `comm`, of which the library makes a copy: its processes, and no others, are the space's servers and
 * clients. Once in the life of a process, and with the same URI on each, or NULL as for memo_open. On the rank of a
 * server it serves, and returns MEMO_SERVED with *space NULL once all clients have closed or ended.
 *
 * Beside memo-servers (mpiexec -n 2 memo-server : -n 8 program) `comm` is MPI_COMM_WORLD, and the program makes no
 * other collective call on that: memo-server takes no part in it. memo_mpi_comm gives one that is the program's
 * alone.
 *
 * MPI may have been started without threads. But when the job is on several nodes, and the program uses the space
 * from several threads or calls memo_fd, it must have asked for MPI_THREAD_MULTIPLE. Close the space before
 * MPI_Finalize.
 *
 * On a space that is not over MPI, `comm` is not used.
 *
 * Errors: those of memo_open; MEMO_EINVAL: MPI is not started, or no longer, or comm is MPI_COMM_NULL or an
 * intercommunicator, or the URIs differ; MEMO_EBUSY: this process has opened a space over MPI before; MEMO_ENOTSUP:
 * the program is not linked with libmemo.
 */
MEMO_API int memo_open_mpi(memo_space_t **space, MPI_Comm comm, const char *uri);

/*
 * Stores the communicator of the space's clients, without its servers, ordered by memo_rank. It is for messages
 * among the clients, and the handle's: do not free it, nor use it after memo_close. The library sends nothing in
 * it.
 *
 * MEMO_EINVAL: the space is not over MPI; MEMO_ECLOSED. *comm is MPI_COMM_NULL then.
 */
MEMO_API int memo_mpi_comm(memo_space_t *space, MPI_Comm *comm);

/*
 * What memo-server does: takes part in opening a space as a server, and serves until all clients have closed or
 * ended. A null uri stands for the one that the clients give; another must be the same as theirs.
 *
 * MEMO_SERVED; or an error of memo_open.
 */
MEMO_API int memo_mpi_serve(const char *uri);

#ifdef __cplusplus
}
#endif

#endif
