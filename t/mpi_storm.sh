#!/bin/sh
# mpi_storm.sh [--ops N] ... - random histories over MPI, each judged by the exact checker, and after each a pool that
# works until quiet: t/storm.c with six clients, on each backend. Arguments go to storm.t.
#
# MEMO_TEST_ALL=1: a million operations on each, and one node and two.
#
# mpi_storm.sh --soak MINUTES - one long job on each backend in turn, on one node and then on two, each of that many
# minutes: one space for all of them, of which nothing may have grown in the end. It says what it finds as it goes.
set -u
# shellcheck source=t/lib/mpi_jobs.sh
. t/lib/mpi_jobs.sh
jobs_need_mpi

if [ "${1:-}" = --soak ]; then
    set -- --minutes "$2"
    job_seconds=$(($2 * 60 + 1200))
    job_tells=1
elif [ "${MEMO_TEST_ALL:-}" = 1 ]; then
    [ $# -gt 0 ] || set -- --ops 1200000 --seconds 300 --rounds 1 --threads 2
    job_seconds=600
else
    [ $# -gt 0 ] || set -- --ops 40000 --seconds 2 --rounds 2
fi

for nodes in 1 2; do
    job "mpi-single, $nodes nodes" 7 "$BUILD/t/storm.t" "mpi-single:?nodes=$nodes&size=48M" "$@"
    job "mpi-latch, $nodes nodes" 9 "$BUILD/t/storm.t" "mpi-latch:?servers=3&nodes=$nodes&size=48M" "$@"
    job "mpi-chain, $nodes nodes" 9 "$BUILD/t/storm.t" "mpi-chain:?servers=3&nodes=$nodes&size=48M" "$@"
done
jobs_done
