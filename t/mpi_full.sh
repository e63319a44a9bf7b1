#!/bin/sh
# mpi_full.sh - a client of another node than its servers, whose own node's memory is full (t/mpi/full.c).
set -u
# shellcheck source=t/lib/mpi_jobs.sh
. t/lib/mpi_jobs.sh
jobs_need_mpi
export MEMO_MPI_LIBRARY="$BUILD/libmemo-mpi.so"

# The client is the last rank, alone on its node.
job "mpi-single" 2 "$BUILD/t/mpi/full" "mpi-single:?nodes=2&size=4M"
job "mpi-latch" 3 "$BUILD/t/mpi/full" "mpi-latch:?servers=2&nodes=3&size=4M"
job "mpi-chain" 3 "$BUILD/t/mpi/full" "mpi-chain:?servers=2&nodes=3&size=4M"
jobs_done
