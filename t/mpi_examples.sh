#!/bin/sh
# The examples over MPI: MEMO_SPACE alone moves them to each backend, started as one program whose first ranks serve or
# beside memo-servers, with one server and two, on one node and on two that are pretended; with the same results as
# in shared memory (t/examples.sh). The ranks of servers end well, and say nothing.
set -u
: "${BUILD:=build}"
[ -e "$BUILD/libmemo-mpi.so" ] || { echo '1..0 # SKIP built without MPI'; exit 0; }
command -v mpiexec >/dev/null || { echo '1..0 # SKIP there is no mpiexec'; exit 0; }
examples=$BUILD/examples
dir=$(mktemp -d)
tests=0
failed=0
job=
unset MEMO_SPACE MEMO_RUN

clean() {
    [ -z "$job" ] || kill "$job" 2>/dev/null
    rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

# check NAME COMMAND...: the command succeeds
check() {
    name="$MEMO_SPACE $1"
    shift
    tests=$((tests + 1))
    : >"$dir/out"
    : >"$dir/err"
    if "$@" 2>"$dir/said"; then
        echo "ok $tests - $name"
    else
        echo "not ok $tests - $name"
        for file in said err out; do
            tail -n 20 "$dir/$file" | tr -cd '\11\12\40-\176' | awk '{ print "# " $0 }'
        done
        failed=$((failed + 1))
    fi
}

# run ARGUMENT...: a job that ends well; what it prints is in $dir/out. On stderr it says nothing.
# It is waited for in the background, so that a signal ends this script at once, and the job with it.
run() {
    timeout -k 5 60 mpiexec "$@" </dev/null >"$dir/out" 2>"$dir/err" &
    job=$!
    wait "$job"
    status=$?
    job=
    [ "$status" -eq 0 ] || { echo "mpiexec $*: status $status" >&2; return 1; }
    [ ! -s "$dir/err" ]
}

# prints LINE ARGUMENT...: the same, and it prints that line among others
prints() {
    line=$1
    shift
    run "$@" && grep -qxF -- "$line" "$dir/out"
}

hello() {
    run "$@" && [ "$(cat "$dir/out")" = 'hello, world' ]
}

# round_trip ARGUMENT...: what memo-gzip made of the file is valid, and decompresses to it
round_trip() {
    rm -f "$dir/text.gz"
    run "$@" "$dir/text" && gzip -t "$dir/text.gz" && gzip -dc "$dir/text.gz" | cmp - "$dir/text"
}

# Filters end by themselves when source and sink have.
pipeline() {
    run "$@" : -n 1 "$examples/pipeline-source" "$dir/text" "$dir/text" : -n 2 "$examples/pipeline-filter" '[aeiou]{2}' \
        : -n 1 "$examples/pipeline-sink" && cmp "$dir/out" "$dir/vowels"
}

# noted N COMMAND...: as a rank of a guarded job the command leaves its pid in $dir/pids; waits for N of them
# shellcheck disable=SC2016 # for the shell that it is for
guarded='echo $$ >>"$0"; exec "$@"'
noted() {
    for _ in $(seq 200); do
        [ "$(wc -l <"$dir/pids")" -ge "$1" ] && return
        sleep 0.02
    done
    return 1
}

# Two of five workers are killed while they compress.
killed() {
    rm -f "$dir/text.gz"
    : >"$dir/pids"
    timeout -k 5 60 mpiexec -n 2 "$BUILD/memo-server" \
        : -n 1 "$examples/memo-gzip" -v -9 "$dir/text" \
        : -n 5 "$BUILD/memo" guard sh -c "$guarded" "$dir/pids" "$examples/memo-gzip" </dev/null >"$dir/out" 2>"$dir/err" &
    job=$!
    noted 5 || return 1
    for _ in $(seq 200); do # when there is some output everybody has the space open
        [ -s "$dir/text.gz" ] && break
        sleep 0.02
    done
    kill -9 $(head -n 2 "$dir/pids")
    wait "$job" || return 1
    job=
    [ "$(grep -c 'was killed by signal 9' "$dir/err")" -eq 2 ] && gzip -dc "$dir/text.gz" | cmp - "$dir/text"
}

refuses() {
    text=$1
    shift
    ! run "$@" 2>/dev/null && grep -qF -- "$text" "$dir/err"
}

T1='Tree size = 4130071, tree depth = 10, num leaves = 3305118 (80.03%)'
T3='Tree size = 4112897, tree depth = 1572, num leaves = 3599034 (87.51%)'

# records CLIENTS ARGUMENT...: those in which everybody wants the same few memos
records() {
    clients=$1
    shift
    check 'record' prints \
        "$clients processes, 10 accounts: $((900 * clients)) changes, expected $((900 * clients)); 10000 in all, expected 10000" \
        "$@" "$examples/record" -n 300
    check 'dining' prints \
        "$clients philosophers had 200 meals each; the forks were used $((400 * clients)) times, expected $((400 * clients))" \
        "$@" "$examples/dining" -n 200
}

# teams CLIENTS ARGUMENT...: those in which some wait for others
teams() {
    clients=$1
    shift
    check 'barrier' prints "$clients processes went through 50 rounds together" "$@" "$examples/barrier" -n 50
    check 'futures' prints \
        "148933 primes below 2000000 by our count, 148933 by the worker's; $((clients - 1)) workers" "$@" "$examples/futures"
    check 'warshall' prints "150 vertices, $clients processes, 22500 pairs connected, 0 rows wrong" \
        "$@" "$examples/warshall" -n 150
    check 'memo-gzip' round_trip "$@" "$examples/memo-gzip"
}

on_backend() {
    # One program, whose ranks are servers too.
    export MEMO_SPACE="$1:?servers=$2"
    check 'uts, tree T1' prints "$T1" -n $((3 + $2)) "$examples/uts" -T T1
    check 'uts, tree T3' prints "$T3" -n $((3 + $2)) "$examples/uts" -T T3
    check 'hello' hello -n $((1 + $2)) "$examples/01-hello" : -n 1 "$examples/01-hello" 'hello, world'
    teams 3 -n $((3 + $2))
    # Programs beside memo-servers, some of them far.
    export MEMO_SPACE="$1:?nodes=2"
    check 'hello, beside memo-server' hello -n "$2" "$BUILD/memo-server" \
        : -n 1 "$examples/01-hello" : -n 1 "$examples/01-hello" 'hello, world'
    check 'memo-gzip' round_trip -n "$2" "$BUILD/memo-server" : -n 4 "$examples/memo-gzip"
    records 4 -n "$2" "$BUILD/memo-server" : -n 4
    check 'pipeline of unrelated programs' pipeline -n "$2" "$BUILD/memo-server"
}

{ find /usr/include -name '*.h' -type f | sort | head -n 200 | xargs cat 2>/dev/null | tr -d '\000' | head -c 1000000 && echo; } >"$dir/text"
cat "$dir/text" "$dir/text" | grep -aE '[aeiou]{2}' >"$dir/vowels"

on_backend mpi-single 1
on_backend mpi-latch 2
on_backend mpi-chain 2
export MEMO_SPACE="mpi-latch:?servers=1&nodes=2"
records 4 -n 5
export MEMO_SPACE="mpi-chain:?servers=3"
teams 4 -n 7
export MEMO_SPACE=mpi-latch:
cat "$dir/text" "$dir/text" "$dir/text" "$dir/text" >"$dir/more" && mv "$dir/more" "$dir/text"
check 'memo-gzip, workers killed' killed
check 'warshall, alone' prints '50 vertices, 1 processes, 2500 pairs connected, 0 rows wrong' -n 2 "$examples/warshall" -n 50
check 'futures, alone' refuses 'two clients or more' -n 2 "$examples/futures"
check 'memo-gzip, alone' refuses '2 to 256 clients, not 1' -n 2 "$examples/memo-gzip" -c "$dir/text"
echo "1..$tests"
[ "$failed" -eq 0 ]
