#!/bin/sh
# mpi_deaths.sh [ROUNDS] - clients over MPI that die, exit, or leave without a word: t/mpi/deaths.c kills them at random
# moments of random calls, t/mpi/fates.c at chosen ones. The others go on, nothing is lost, and the job ends.
#
# ROUNDS is how many jobs of random deaths there are for each backend and number of nodes (1); 0 goes on until something
# is wrong. MEMO_TEST_SEED is the first seed.
set -u
# shellcheck source=t/lib/mpi_jobs.sh
. t/lib/mpi_jobs.sh
jobs_need_mpi
rounds=${1:-1}
seed=${MEMO_TEST_SEED:-$$}

fate() { # fate URI FATE RANKS
    job "$2, $1" "$3" "$BUILD/memo" guard "$BUILD/t/mpi/fates" "$1" "$2"
}

# Between nodes that only pretend to be two, MPI would use shared memory, where who is killed in the midst of sending
# may block for good what others send to the same receiver: between machines there is no such place.
deaths() { # deaths URI RANKS [WAY]
    deaths_uri=$1 deaths_ranks=$2 deaths_way=${3:-kill}
    set -- "$BUILD/memo" guard "$BUILD/t/mpi/deaths" "$deaths_uri" "$seed" "$deaths_way"
    case $deaths_uri in *nodes=2*) set -- env UCX_TLS=tcp,self "$@" ;; esac
    job "deaths, $deaths_uri" "$deaths_ranks" "$@"
    seed=$((seed + 1))
}

check() { # check NAME STATUS
    jobs_ran=$((jobs_ran + 1))
    if [ "$2" -eq 0 ]; then
        echo "ok $jobs_ran - $1"
    else
        echo "not ok $jobs_ran - $1"
        jobs_failed=$((jobs_failed + 1))
        tail -n 20 "$jobs_scratch/out" | sed 's/^/# /'
    fi
}

# The limits that MPICH sets: the job ends, with an error.
ends_badly() { # ends_badly NAME PROGRAM ARGUMENT...
    name=$1
    shift
    MEMO_TEST_ROOM=$jobs_scratch timeout -k 5 "$job_seconds" $MPIEXEC -n 4 "$@" </dev/null >"$jobs_scratch/out" 2>&1
    status=$?
    rm -f "$jobs_scratch/board"
    check "$name: the job ends, and says that it failed" $((status == 0 || status == 124))
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

for fate in refused refusal_unread unread_put unread_done overtaken unread_answer; do
    fate "mpi-single:" $fate 5
done
for fate in refused refusal_unread unread_put unread_done torn_put overtaken quiet_held whole_node servers_killed; do
    fate "mpi-single:?nodes=2" $fate 7
done
fate "mpi-single:?on_death=drop" dropped 5
fate "mpi-single:?nodes=2&on_death=drop" dropped 7
fate "mpi-single:?nodes=2" repairer_killed 8
fate "mpi-latch:?servers=2&nodes=2" unsaid 7
fate "mpi-latch:?servers=2&nodes=2" unsaid 8
fate "mpi-latch:?servers=2&nodes=2" passed_on 8
fate "mpi-latch:?servers=2&nodes=2" refused 7
fate "mpi-latch:?servers=2&nodes=2" unread_done 7
fate "mpi-single:?nodes=2" unread_answer 6
fate "mpi-latch:?servers=2&nodes=2" holding 6
fate "mpi-latch:?servers=2" exit_0 5
fate "mpi-latch:?servers=2&nodes=2" _exit_0 6
fate "mpi-chain:?servers=2" aborted 5
fate "mpi-chain:?servers=2" forked 5
fate "mpi-latch:?servers=2" one_server_killed 6
fate "mpi-chain:?servers=2&nodes=2" one_server_killed 6
fate "mpi-latch:?servers=2&nodes=2" other_server_killed 6
fate "mpi-chain:?servers=2" other_server_killed 6
fate "mpi-chain:?servers=2" killed_in_chain 5
fate "mpi-chain:?servers=2&nodes=2" killed_in_chain 6
ends_badly "killed without a guard" "$BUILD/t/mpi/fates" mpi-single: killed
for us in 1000 30000 60000; do
    ends_badly "killed after $us us, in memo_open" "$BUILD/memo" guard "$BUILD/t/mpi/fates" mpi-single: in_open $us
done
why=$(t/lib/two_nodes.sh)
if [ $? = 77 ]; then
    jobs_ran=$((jobs_ran + 1))
    echo "ok $jobs_ran - all of a separate node are killed # SKIP ${why#separate nodes: }"
else # nobody is left there to tell the others
    MPIEXEC="t/lib/two_nodes.sh -ppn 2"
    ends_badly "all of a separate node are killed" "$BUILD/memo" guard "$BUILD/t/mpi/fates" mpi-single: whole_node
    MPIEXEC=mpiexec
fi
deaths "mpi-latch:?servers=2&nodes=2" 8 mixed
while [ "$rounds" -gt 0 ]; do
    all_deaths
    rounds=$((rounds - 1))
done
jobs_done
