#!/bin/sh
# mpi_conform.sh [URI...] - the contract over MPI: t/conform.c under mpiexec, on each backend, with one server and
# several, on one node and on two that are pretended, so that servers are near, far, and both.
#
# A URI is a backend with its servers and nodes; without any, those below. MEMO_TEST_ALL=1 takes the whole matrix, does
# more of everything and kills more.
set -u
# shellcheck source=t/lib/mpi_jobs.sh
. t/lib/mpi_jobs.sh
# shellcheck source=t/lib/mpi_contract.sh
. t/lib/mpi_contract.sh
jobs_need_mpi

if [ $# -eq 0 ] && [ "${MEMO_TEST_ALL:-}" = 1 ]; then
    for nodes in 1 2 3; do
        set -- "$@" "mpi-single:?nodes=$nodes"
        for servers in 1 2 3; do
            set -- "$@" "mpi-latch:?servers=$servers&nodes=$nodes" "mpi-chain:?servers=$servers&nodes=$nodes"
        done
    done
elif [ $# -eq 0 ]; then
    set -- "mpi-single:?nodes=1" "mpi-single:?nodes=2"
    for servers in "servers=1&nodes=1" "servers=2&nodes=2" "servers=3&nodes=2"; do
        set -- "$@" "mpi-latch:?$servers" "mpi-chain:?$servers"
    done
fi
for uri; do
    contract_all "$uri"
done
jobs_done
