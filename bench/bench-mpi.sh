#!/bin/sh
# bench-mpi.sh [-r ROUNDS] [-t SECONDS] [-i SECONDS] - how requests fare with our way of waiting, next to plain MPI_Send
# and MPI_Recv, in jobs of one server and 1, 2, 4 and 8 clients (mpi_requests.c): nothing but requests; requests
# between 200 us of computing; and nothing at all, for 10 seconds (-i). A run of each after the other, and medians of
# the rounds. Leaves bench-mpi.tsv in BUILD (build).
#
# Plain MPI is measured twice: as it is, and with UCX_TLS=posix,self, which is faster on one node.
set -u
: "${BUILD:=build}"
: "${MPIEXEC:=mpiexec}"
: "${SPACE:=mpi-single:}"
rounds=5 seconds=1 idle=10
while getopts r:t:i: option; do
    case $option in
    r) rounds=$OPTARG ;;
    t) seconds=$OPTARG ;;
    i) idle=$OPTARG ;;
    *) echo "usage: $0 [-r ROUNDS] [-t SECONDS] [-i SECONDS]" >&2; exit 2 ;;
    esac
done
if [ ! -e "$BUILD/libmemo-mpi.so" ]; then
    echo "Nothing measured: this is built without MPI." && exit 0
elif ! command -v "$MPIEXEC" >/dev/null; then
    echo "Nothing measured: there is no $MPIEXEC." && exit 0
fi

scratch=$(mktemp -d) || exit 1
job=
end() {
    [ -z "$job" ] || kill "$job" 2>/dev/null
    rm -rf "$scratch"
}
trap end EXIT
trap 'exit 143' INT TERM HUP

# run NAME CLIENTS MODE SECONDS HOW: one job; its line, behind the name of what was measured.
run() {
    name=$1 ranks=$(($2 + 1))
    shift 2
    set -- "$BUILD/bench/mpi_requests" "$@"
    [ "$name" != tuned ] || set -- -genv UCX_TLS posix,self "$@"
    timeout -k 5 60 "$MPIEXEC" -n "$ranks" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null &
    job=$!
    wait "$job" || { echo "mpiexec -n $ranks $* failed:" && tail -n 3 "$scratch/err"; } >&2
    job=
    sed "s/^/$name	/" "$scratch/out" >>"$scratch/lines"
}

all_of() { # all_of MODE SECONDS CLIENTS...
    mode=$1 time=$2
    shift 2
    for clients; do
        run plain "$clients" "$mode" "$time" plain
        run tuned "$clients" "$mode" "$time" plain
        run ours "$clients" "$mode" "$time" "$SPACE"
        [ "$mode" != work ] || run none "$clients" "$mode" "$time" none
    done
}

echo "$(uname -sr), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs," \
    "load $(cut -d' ' -f1 /proc/loadavg) before; medians of $rounds rounds of $seconds s."
: >"$scratch/lines"
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    [ ! -t 2 ] || printf 'round %d of %d\r' "$round" "$rounds" >&2
    all_of busy "$seconds" 1 2 4 8
    all_of work "$seconds" 1 2 4 8
done
all_of idle "$idle" 8
awk -f bench/bench-mpi.awk -v tsv="$BUILD/bench-mpi.tsv" -v space="$SPACE" "$scratch/lines"
echo
echo "All figures: $BUILD/bench-mpi.tsv"
