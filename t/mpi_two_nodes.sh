#!/bin/sh
# The contract over MPI between two nodes that are really separate (t/lib/two_nodes.sh), each with its own network, host
# name and shared memory, where t/mpi_conform.sh only pretends; and programs beside memo-servers.
#
# Deaths are on one backend alone, and so is memory that is full. MEMO_TEST_ALL=1 runs the contract whole on each, and
# on the chain with two servers, too.
set -u
if [ "${MEMO_TEST_ALL:-}" != 1 ]; then
    : "${MEMO_TEST_EFFORT:=100}" # a message to the other node takes long
fi
# shellcheck source=t/lib/mpi_jobs.sh
. t/lib/mpi_jobs.sh
# shellcheck source=t/lib/mpi_contract.sh
. t/lib/mpi_contract.sh
MPIEXEC=t/lib/two_nodes.sh
MEMO_TEST_ROOMS=$jobs_scratch # the same on both, as /dev/shm is not
MEMO_TEST_FAR=1
export MEMO_TEST_FAR
unset MEMO_SPACE MEMO_RUN MEMO_GUARD
jobs_need_mpi
if ! why=$($MPIEXEC); then
    echo "1..0 # SKIP ${why:-t/lib/two_nodes.sh failed}"
    exit 0
fi

# contract_shared URI: what can share jobs, without deaths.
contract_shared() {
    contract_of "$1"
    clients 6 "&size=64M" c01 c02 c03 c04 c05 c06 c07 c08 c09 c10 forms_of_put requests knowing names
    clients 10 "&size=64M" c11 c12 c13_close c14_limits c15 c16
    clients 4 "&size=64M" c17_quiet
}

# ---- programs beside memo-servers --------------------------------------------------------------------------

# program WHAT RIGHT ARGUMENT...: a job that ends well and without a word on stderr, and is right by the command RIGHT,
# which finds what it printed in $jobs_scratch/out.
program() {
    program_what=$1 program_right=$2
    shift 2
    job_run "$@"
    if [ "$job_status" -eq 0 ] && [ ! -s "$jobs_scratch/err" ] && $program_right; then
        jobs_check ok "$MEMO_SPACE $program_what"
        return
    fi
    jobs_check 'not ok' "$MEMO_SPACE $program_what"
    echo "# status $job_status"
    tail -n 20 "$jobs_scratch/out" "$jobs_scratch/err" | tr -cd '\11\12\40-\176' | sed 's/^/# /'
}

text_is_back() {
    gzip -t "$jobs_scratch/text.gz" && gzip -dc "$jobs_scratch/text.gz" | cmp - "$jobs_scratch/text"
}

tree_is_right() {
    grep -qxF 'Tree size = 4130071, tree depth = 10, num leaves = 3305118 (80.03%)' "$jobs_scratch/out"
}

programs() {
    cat libmemo/memo.h libmemo/*/*.c >"$jobs_scratch/text"
    export MEMO_SPACE=mpi-latch:
    program 'memo-gzip, beside two memo-servers' text_is_back \
        -n 2 "$BUILD/memo-server" : -n 4 "$BUILD/examples/memo-gzip" "$jobs_scratch/text"
    export MEMO_SPACE=mpi-chain:
    program 'uts, beside a memo-server' tree_is_right -n 1 "$BUILD/memo-server" : -n 3 "$BUILD/examples/uts" -T T1
    unset MEMO_SPACE
}

# ------------------------------------------------------------------------------------------------------------

if [ "${MEMO_TEST_ALL:-}" = 1 ]; then
    job_seconds=180
    for uri in 'mpi-single:?servers=1' 'mpi-latch:?servers=2' 'mpi-chain:?servers=2' 'mpi-chain:?servers=3'; do
        contract_all "$uri"
    done
else
    for uri in 'mpi-single:?servers=1' 'mpi-latch:?servers=2' 'mpi-chain:?servers=3'; do
        contract_shared "$uri"
    done
    mortals 8 "&size=64M" c13_waiting
    mortals 7 "&size=64M" c13_holding
    contract_of 'mpi-latch:?servers=2'
    clients 2 "&size=4M" c14_room
fi
programs
jobs_done
