#!/bin/sh
# bench-backends.sh [-r ROUNDS] [-t MS] - every workload on all five backends, one table: memo-bench, under mpiexec where
# that is needed, a round of each after the other, so that what disturbs the machine disturbs them alike; medians of
# the rounds. Spaces over MPI with one server and with two, all ranks on one node, and, as columns of their own, on two
# nodes that are pretended.
#
# Leaves bench-backends.tsv, .svg and .png in BUILD (build). Without MPI or gnuplot it says what it leaves out.
set -u
: "${BUILD:=build}"
: "${MPIEXEC:=mpiexec}"
rounds=5 ms=50
while getopts r:t: option; do
    case $option in
    r) rounds=$OPTARG ;;
    t) ms=$OPTARG ;;
    *) echo "usage: $0 [-r ROUNDS] [-t MS]" >&2; exit 2 ;;
    esac
done

# 9 processes are what the largest of these needs; one client more prints.
workloads='put-get-8 put-get-1M ping-pong-apart ping-pong-free asleep stream-1-1 stream-2-2 bag-4 bag-8 put-alt-8
    put-alt-64 alt-8 alt-64 strict-skip-8 copies-8 folders-1000 folders-100000'
clients=10
job_seconds=200

scratch=$(mktemp -d) || exit 1
job=
end() {
    [ -z "$job" ] || kill "$job" 2>/dev/null
    rm -rf "$scratch"
}
trap end EXIT
trap 'exit 143' INT TERM HUP

only=
for w in $workloads; do
    only="$only -o $w"
done

# run COLUMN COMMAND...: a round. Lines of the column, or why there are none.
run() {
    column=$1
    shift
    # shellcheck disable=SC2086
    timeout -k 5 "$job_seconds" "$@" $only >"$scratch/out" 2>"$scratch/err" </dev/null &
    job=$!
    wait "$job"
    status=$?
    job=
    if [ "$(wc -l <"$scratch/out")" -lt 2 ]; then
        why=$(grep . "$scratch/err" | head -n 1 | cut -c 1-200)
        printf '%s\t-\t%s\n' "$column" "status $status: ${why:-it said nothing}" >>"$scratch/lines"
    fi
    sed 1d "$scratch/out" | sed "s/^/$column	/" >>"$scratch/lines"
}

# Columns: name, servers, nodes; a name of two words is a backend and how it is launched.
over_mpi() {
    for spec in mpi-single:1:1 mpi-latch:1:1 mpi-chain:1:1 mpi-latch:2:1 mpi-chain:2:1 \
        mpi-single:1:2 mpi-latch:2:2 mpi-chain:2:2; do
        backend=${spec%%:*}
        nodes=${spec##*:}
        servers=${spec#*:}
        servers=${servers%:*}
        run "$spec" "$MPIEXEC" -n $((clients + servers)) "$BUILD/memo-bench" --csv -r 1 -t "$ms" \
            "$backend:?servers=$servers&nodes=$nodes"
    done
}

mpi=yes
if [ ! -e "$BUILD/libmemo-mpi.so" ]; then
    echo "Left out: mpi-single, mpi-latch, mpi-chain: this is built without MPI." && mpi=
elif ! command -v "$MPIEXEC" >/dev/null; then
    echo "Left out: mpi-single, mpi-latch, mpi-chain: there is no $MPIEXEC." && mpi=
fi

echo "$(uname -sr), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs," \
    "load $(cut -d' ' -f1 /proc/loadavg) before; medians of $rounds rounds of about $ms ms."
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    [ ! -t 2 ] || printf 'round %d of %d\r' "$round" "$rounds" >&2
    run shm "$BUILD/memo-bench" --csv -r 1 -t "$ms" shm-bucket: shm-lock:
    [ -z "$mpi" ] || over_mpi
done

tsv=$BUILD/bench-backends.tsv
# shellcheck disable=SC2086,SC2116
awk -f bench/bench-backends.awk -v tsv="$tsv" -v plot="$scratch/plot" -v workloads="$(echo $workloads)" \
    "$scratch/lines" || exit 1
echo
echo "All figures, with the least and the most of the rounds: $tsv"

if ! command -v gnuplot >/dev/null; then
    echo "Left out: the plot: there is no gnuplot."
    exit 0
fi
for kind in svg png; do
    gnuplot -e "kind='$kind'; data='$scratch/plot'; out='$BUILD/bench-backends.$kind'" bench/bench-backends.gp || exit 1
done
echo "The plot: $BUILD/bench-backends.svg, $BUILD/bench-backends.png"
