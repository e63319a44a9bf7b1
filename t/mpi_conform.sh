#!/bin/sh
# mpi_conform.sh [URI...] - the contract over MPI: t/conform.c under mpiexec, on each backend, with one server and
# several, on one node and on two that are pretended, so that servers are near, far, and both.
#
# A URI is a backend with its servers and nodes; without any, those below. MEMO_TEST_ALL=1 takes the whole matrix, does
# more of everything and kills more. Tests share a job where they can: a job has one space, which is opened once.
set -u
# shellcheck source=t/lib/mpi_jobs.sh
. t/lib/mpi_jobs.sh
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
if [ "${MEMO_TEST_ALL:-}" = 1 ]; then
    : "${MEMO_TEST_EFFORT:=5}"
    kills="14 14 14"
else
    : "${MEMO_TEST_EFFORT:=50}"
    kills=6
fi
export MEMO_TEST_EFFORT

servers_in() {
    case $1 in
    *servers=*) servers=${1##*servers=} && echo "${servers%%&*}" ;;
    *) echo 1 ;;
    esac
}

# clients N OPTIONS TEST...: these tests in one job with so many clients, in a space with these options more.
clients() {
    clients=$1 options=$2
    shift 2
    job "$uri $1" $((clients + servers)) "$BUILD/t/conform.t" "$uri$options" "$@"
}

# The same; ranks may be killed.
mortals() {
    clients=$1 options=$2
    shift 2
    job "$uri $1" $((clients + servers)) "$BUILD/memo" guard "$BUILD/t/conform.t" "$uri$options" "$@"
}

for uri; do
    servers=$(servers_in "$uri")
    clients 6 "&size=64M" c01 c02 c03 c04 c05 c06 c07 c08 c09 c10 forms_of_put requests knowing names
    clients 10 "&size=64M" c11 c12 c13_close c14_limits c15 c16
    clients 4 "&size=64M" c17_quiet
    clients 1 "&size=64M" c17_alone
    mortals 8 "&size=64M" c13_waiting
    mortals 7 "&size=64M" c13_holding
    for n in $kills; do
        mortals $((n + 1)) "&size=64M" c13_anywhere
    done
    mortals 2 "&size=64M&on_death=drop" c13_drop
    mortals 5 "&size=64M" c17_deaths
    for test in c14_refill c14_drained c14_room c14_mixed; do
        clients 2 "&size=4M" $test
    done
done
jobs_done
