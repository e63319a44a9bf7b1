#!/bin/sh
# The far link over MPI (t/mpi/far.c) between 2, 3 and 4 ranks, over what MPI takes by itself inside a machine and over
# TCP. Each run prints its seed; MEMO_SEED repeats it.
set -u
: "${BUILD:=build}"
: "${MPI:=yes}"
program=$BUILD/t/mpi/far
count=0
if [ "$MPI" = no ] || [ ! -x "$program" ]; then
    echo '1..0 # SKIP there is no MPI'
    exit 0
fi
board=$(mktemp)
said=$(mktemp)
trap 'rm -f "$board" "$said"' EXIT
# What is left over where a link was closed in the middle of a message is no news.
UCX_LOG_LEVEL=error
export UCX_LOG_LEVEL

run() { # run NAME RANKS VARIABLE=VALUE ...
    name=$1
    ranks=$2
    shift 2
    : > "$board"
    truncate -s 4096 "$board"
    env "$@" timeout -k 5 110 mpiexec -n "$ranks" "$program" "$board" > "$said" 2>&1
    status=$?
    plan=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$said")
    passed=$(grep -c '^ok ' "$said")
    count=$((count + 1))
    if [ $status -eq 0 ] && [ "$passed" = "$plan" ] && ! grep -q '^not ok' "$said"; then
        echo "ok $count - $ranks ranks over $name: $passed checks"
        sed -n 's/^# seed/# seed/p' "$said"
    else
        echo "not ok $count - $ranks ranks over $name (status $status)"
        sed 's/^/# /' "$said"
    fi
}

for ranks in 2 3 4; do
    run "what MPI takes" $ranks
    run TCP $ranks UCX_TLS=tcp,self
done
echo "1..$count"
