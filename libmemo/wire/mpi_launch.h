/*
 * mpi_launch.h - launching, as far as memo_mpi.h has to do with it: what of it has MPI's types.
 */
#ifndef WIRE_MPI_LAUNCH_H
#define WIRE_MPI_LAUNCH_H

#include <mpi.h>

/* The communicator of all ranks that the calling thread's opening is to use; MPI_COMM_NULL: MPI_COMM_WORLD. It is the
 * program's: launch_join duplicates it. (mpi_open.c) */
MPI_Comm mpi_open_comm(void);

/* The clients' own communicator, the space's; MPI_COMM_NULL: on a server's rank, or nothing was opened. (mpi_launch.c) */
MPI_Comm mpi_launch_clients(void);

#endif
