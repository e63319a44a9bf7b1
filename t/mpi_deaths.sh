#!/bin/sh
# mpi_deaths.sh [KILLS] - clients over MPI that die, exit, or leave without a word: t/mpi/deaths.c kills them at random
# moments of random calls, t/mpi/fates.c at chosen ones. The others go on, nothing is lost, and the job ends.
#
# KILLS is how many jobs of random deaths there are for each backend and number of nodes (2); 0 goes on without end,
# MEMO_TEST_SEED is the first seed.
set -u
# shellcheck source=t/lib/mpi_jobs.sh
. t/lib/mpi_jobs.sh
jobs_need_mpi
rounds=${1:-1}
seed=${MEMO_TEST_SEED:-$$}
ls /dev/shm >"$jobs_scratch/before"

fate() { # fate URI FATE RANKS
    job "$2, $1" "$3" "$BUILD/memo" guard "$BUILD/t/mpi/fates" "$1" "$2"
}

deaths() { # deaths URI RANKS
    job "deaths, $1" "$2" "$BUILD/memo" guard "$BUILD/t/mpi/deaths" "$1" "$seed"
    seed=$((seed + 1))
}

all_deaths() {
    for nodes in 1 2; do
        deaths "mpi-single:?nodes=$nodes" 7
        deaths "mpi-latch:?servers=2&nodes=$nodes" 8
        deaths "mpi-chain:?servers=2&nodes=$nodes" 8
    done
}

if [ "$rounds" = 0 ]; then
    while [ "$jobs_failed" -eq 0 ]; do
        all_deaths
    done
fi

for fate in refused unread_put overtaken unread_answer forked; do
    fate "mpi-single:" $fate 5
done
fate "mpi-latch:?servers=2" exit_0 5
fate "mpi-chain:?servers=2" aborted 5
while [ "$rounds" -gt 0 ]; do
    all_deaths
    rounds=$((rounds - 1))
done
jobs_done
