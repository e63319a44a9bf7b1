#!/bin/sh
# mpi_edge.sh - over MPI: the edges of what the library takes (t/edge.c), and many threads of one client, and of several
# (t/threads.c), on each backend.
set -u
# shellcheck source=t/lib/mpi_jobs.sh
. t/lib/mpi_jobs.sh
jobs_need_mpi

if [ "${MEMO_TEST_ALL:-}" = 1 ]; then
    export MEMO_TEST_EFFORT="${MEMO_TEST_EFFORT:-2}"
    job_seconds=400
    options="servers=1&nodes=1 servers=2&nodes=1 servers=2&nodes=2 servers=3&nodes=2 servers=3&nodes=3"
else
    export MEMO_TEST_EFFORT="${MEMO_TEST_EFFORT:-20}"
    options="servers=1&nodes=1 servers=3&nodes=2"
fi

# all URI SERVERS
all() {
    job "$1 edge" $(($2 + 1)) "$BUILD/t/edge.t" "$1&size=64M"
    job "$1 edge, full" $(($2 + 1)) "$BUILD/t/edge.t" "$1&size=1M" full
    job "$1 threads of one" $(($2 + 1)) "$BUILD/t/threads.t" "$1&size=64M"
    job "$1 threads of four" $(($2 + 4)) "$BUILD/t/threads.t" "$1&size=64M"
}

all "mpi-single:?nodes=1" 1
for one in $options; do
    servers=${one#servers=}
    all "mpi-latch:?$one" "${servers%%&*}"
    all "mpi-chain:?$one" "${servers%%&*}"
done
jobs_done
