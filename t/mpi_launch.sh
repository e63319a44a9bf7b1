#!/bin/sh
# Launching over MPI and leaving it, under mpiexec: ranks' roles, numbers and nodes; what cannot be opened is refused by
# all; leaving in any order, asleep; deaths under memo guard. The ranks are t/mpi/launch.c.
set -u
# shellcheck source=t/lib/tap.sh
. t/lib/tap.sh
BUILD=${BUILD:-build}
rank=$PWD/$BUILD/t/mpi/launch
memo=$PWD/$BUILD/memo
unset MEMO_RUN MEMO_SPACE MEMO_GUARD

if [ ! -x "$rank" ] || ! command -v mpiexec >/dev/null; then
    echo "1..0 # SKIP built without MPI"
    exit
fi

out=$(mktemp) || exit 1
result_shows=$out
regions=$(mktemp) || exit 1
trap 'rm -f "$out" "$regions"' EXIT
trap 'exit 1' INT TERM

run() { # run ARGUMENT...: under mpiexec, into $out and $status
    timeout -k 5 60 mpiexec "$@" >"$out" 2>&1 </dev/null
    status=$?
    sort -o "$out" "$out"
    sed -n 's/.* region mpi-//p' "$out" >>"$regions"
}

# peers NAME LINE...: the run ended well, and each rank found itself to be what its line says.
peers() {
    name=$1
    shift
    wrong=$((status != 0))
    for line in "$@"; do
        grep -q "^rank $line exchange right" "$out" || wrong=1
    done
    [ "$(grep -c ': peer ' "$out")" = $# ] || wrong=1
    result $wrong "$name"
}

# all_say NAME RANKS TEXT: the run ended, and that is what every rank said.
all_say() {
    [ "$status" = 0 ] && [ "$(grep -c "^rank [0-9]*: $3" "$out")" = "$2" ] && [ "$(grep -c '' "$out")" = "$2" ]
    result $? "$1"
}

h=$(hostname)

# ---- roles -------------------------------------------------------------------------------------------------

run -n 2 "$rank" --server : -n 3 "$rank" --name jobs
peers "memo-servers serve, and take the clients' URI" \
    "0 on $h: peer 0 of 2+3 node 0/1 with 5 nodes 0,0,0,0,0 first 1 comm 0 uri mpi-latch:jobs" \
    "1 on $h: peer 1 of 2+3 node 0/1 with 5 nodes 0,0,0,0,0 first 0 comm 0 uri mpi-latch:jobs" \
    "2 on $h: peer 2 of 2+3 node 0/1 with 5 nodes 0,0,0,0,0 first 0 comm 3 uri mpi-latch:jobs" \
    "3 on $h: peer 3 of 2+3 node 0/1 with 5 nodes 0,0,0,0,0 first 0 comm 3 uri mpi-latch:jobs" \
    "4 on $h: peer 4 of 2+3 node 0/1 with 5 nodes 0,0,0,0,0 first 0 comm 3 uri mpi-latch:jobs"

run -n 2 "$rank" : -n 1 "$rank" --server --name test : -n 1 "$rank"
peers "wherever they stand" \
    "0 on $h: peer 1 of 1+3 node 0/1 with 4 nodes 0,0,0,0 first 0 comm 3 uri mpi-latch:test" \
    "1 on $h: peer 2 of 1+3 node 0/1 with 4 nodes 0,0,0,0 first 0 comm 3 uri mpi-latch:test" \
    "2 on $h: peer 0 of 1+3 node 0/1 with 4 nodes 0,0,0,0 first 1 comm 0 uri mpi-latch:test" \
    "3 on $h: peer 3 of 1+3 node 0/1 with 4 nodes 0,0,0,0 first 0 comm 3 uri mpi-latch:test"

run -n 2 "$rank"
peers "without one, rank 0 serves" \
    "0 on $h: peer 0 of 1+1 node 0/1 with 2 nodes 0,0 first 1 comm 0 uri mpi-latch:test" \
    "1 on $h: peer 1 of 1+1 node 0/1 with 2 nodes 0,0 first 0 comm 1 uri mpi-latch:test"

run -n 5 "$rank" --servers 2 --nodes 2 --messages
peers "servers are spread, and nodes pretended" \
    "0 on $h: peer 0 of 2+3 node 0/2 with 3 nodes 0,0,0,1,1 first 1 comm 0 uri mpi-latch:test" \
    "1 on $h: peer 2 of 2+3 node 0/2 with 3 nodes 0,0,0,1,1 first 0 comm 3 uri mpi-latch:test" \
    "2 on $h: peer 1 of 2+3 node 0/2 with 3 nodes 0,0,0,1,1 first 0 comm 0 uri mpi-latch:test" \
    "3 on $h: peer 3 of 2+3 node 1/2 with 2 nodes 0,0,0,1,1 first 1 comm 3 uri mpi-latch:test" \
    "4 on $h: peer 4 of 2+3 node 1/2 with 2 nodes 0,0,0,1,1 first 0 comm 3 uri mpi-latch:test"
grep -q '^token 5 of 5' "$out"
result $? "peers' numbers are their ranks on the peers' communicator"

run -n 3 "$rank" --nodes 9
peers "there are no more nodes than ranks" \
    "0 on $h: peer 0 of 1+2 node 0/3 with 1 nodes 0,1,2 first 1 comm 0 uri mpi-latch:test" \
    "1 on $h: peer 1 of 1+2 node 1/3 with 1 nodes 0,1,2 first 1 comm 2 uri mpi-latch:test" \
    "2 on $h: peer 2 of 1+2 node 2/3 with 1 nodes 0,1,2 first 1 comm 2 uri mpi-latch:test"

run -n 3 "$rank" --init --messages
peers "a program that called MPI_Init, with a communicator of its own" \
    "2 on $h: peer 0 of 1+2 node 0/1 with 3 nodes 0,0,0 first 1 comm 0 uri mpi-latch:test" \
    "1 on $h: peer 1 of 1+2 node 0/1 with 3 nodes 0,0,0 first 0 comm 2 uri mpi-latch:test" \
    "0 on $h: peer 2 of 1+2 node 0/1 with 3 nodes 0,0,0 first 0 comm 2 uri mpi-latch:test"

# ---- refusals ----------------------------------------------------------------------------------------------

run -n 4 "$rank" --odd 2
all_say "one rank's other URI is all ranks' error" 4 \
    "malformed argument: rank 2 opens another space than rank 0, which opens mpi-latch:test"
run -n 1 "$rank" --server : -n 3 "$rank" --odd 1
all_say "a memo-server follows the first client" 4 "malformed argument: rank 2 opens another space than rank 1"
run -n 1 "$rank" --server --name other : -n 2 "$rank"
all_say "a memo-server's own URI is to be the clients'" 3 "malformed argument: rank 0 opens another space than rank 1"
run -n 1 "$rank" : -n 2 "$rank" --servers 2
all_say "options count" 3 "malformed argument: rank 1 opens another space than rank 0"
run -n 3 "$rank" --servers 3
all_say "servers must leave a client" 3 "malformed argument: 3 of 3 ranks are to serve.*at least 4"
run -n 2 "$rank" --server : -n 1 "$rank" --servers 3
all_say "servers= beside memo-server is their number" 3 "malformed argument: servers=3, but memo-server is run by 2: leave servers= out"
run -n 2 "$rank" --server --name test
all_say "servers alone are no space" 2 "malformed argument: all 2 ranks run memo-server"
run -n 2 "$rank" --server : -n 1 "$rank" --scheme mpi-single
all_say "mpi-single has one server" 3 "malformed argument: mpi-single has one server, not 2"
run -n 3 "$rank" --shut 0
all_say "what fails at a node's first rank fails at all" 3 "the operating system refused: /dev/shm/memo-hall"
run -n 3 "$rank" --shut 2
all_say "what fails at the last rank too" 3 "the operating system refused: /dev/shm/memo-hall.*Too many open files"

run -n 3 "$rank" --twice
[ $status = 0 ] && [ "$(grep -c 'again: in use by somebody else: this process has opened' "$out")" = 3 ]
result $? "a second open is refused"

timeout 20 "$rank" >"$out" 2>&1
grep -q '^rank 0: not supported here: .*mpiexec.*; MPI rests' "$out"
result $? "a program that mpiexec did not start is refused, told how to start it, and MPI is not started for it"

# ---- leaving -----------------------------------------------------------------------------------------------

# idle NAME RANKS STATUS: all left, and none needed half a second of CPU time for it, however long it had to wait.
idle() {
    [ "$status" = "$3" ] &&
        awk -v ranks="$2" '/ left with /{ n++; bad += $5 > 500 } END { exit n != ranks || bad }' "$out"
    result $? "$1"
}

run -n 4 "$rank" --sleep 0:2000 --cpu --exit 3
idle "the server leaves last; who waits, sleeps; the exit status is passed on" 4 3
run -n 4 "$rank" --sleep 3:2000 --cpu
idle "a client leaves last" 4 0
run -n 4 "$rank" --init --sleep 2:2000 --cpu --exit 4
idle "a program that calls MPI_Finalize itself sleeps there too" 4 4
run -n 4 "$rank" --open --sleep 1:2000 --cpu --exit 5
idle "without closing" 4 5
[ "$(grep -c 'closes at the end' "$out")" = 4 ]
result $? "what is open is closed at the end"
run -n 3 "$rank" --open --init
[ $status = 0 ] && [ "$(grep -c 'closes at the end' "$out")" = 3 ]
result $? "and in MPI_Finalize"
run -n 4 "$rank" --broken --sleep 2:1000 --cpu --exit 6
idle "when a death is known, nobody waits" 4 6

run -n 4 "$rank" --stick 2 --cpu --exit 7
idle "a rank that is stuck in MPI_Finalize leaves all the same, and so do the others" 4 7
run -n 3 "$rank" --fork --cpu --exit 3
idle "forked children exit too" 6 3
[ "$(grep -c ': child exited' "$out")" = 3 ]
result $? "and leave MPI alone"

two="-launcher fork -hosts nodeA,nodeB -genv UCX_TLS tcp,self"
for late in 0 1 2 3; do
    run $two -n 4 "$rank" --messages --sleep $late:1000 --cpu --exit 3
    idle "over TCP rank $late leaves last" 4 3
done
peers_before=$(grep -c ' node [01]/2 with 2 nodes 0,1,0,1 ' "$out")
[ "$peers_before" = 4 ] && grep -q '^token 4 of 4' "$out"
result $? "between two nodes messages pass"

run $two -n 4 "$rank" --odd 3 --exit 9
[ $status = 9 ] && [ "$(grep -c '^rank .: malformed argument: rank 3 opens another' "$out")" = 4 ] &&
    [ "$(grep -c '' "$out")" = 4 ]
result $? "over TCP, what cannot be opened is left too"

# ---- deaths ------------------------------------------------------------------------------------------------

killed='^memo: rank 2 was killed by signal 9; the others go on'
run -n 1 "$rank" --server --kill 2 --cpu : -n 3 "$memo" guard "$rank" --kill 2 --cpu
idle "a guarded rank is killed: the others find out, and leave" 3 0
grep -q "$killed" "$out"
result $? "the guard says so"
run -n 1 "$rank" --server --kill 2 --broken : -n 3 "$memo" guard -- "$rank" --kill 2 --broken --open
[ $status = 0 ] && [ "$(grep -c 'closes at the end' "$out")" = 2 ]
result $? "the others know of it before they leave"
run -n 1 "$rank" --server : -n 2 "$memo" guard "$rank" --exit 7 --cpu
idle "a guard passes the exit status on" 2 7
run -n 1 "$rank" --server : -n 2 "$rank" --kill 2
[ $status != 0 ] && [ $status != 124 ]
result $? "without a guard the job ends"
run -n 1 "$rank" --server : -n 2 "$memo" guard sh -c 'kill -9 $$'
[ $status != 0 ] && [ $status != 124 ]
result $? "nor does a guard keep a job whose rank is killed before the space is open"
for victim in 1 2; do
    run $two -n 4 "$memo" guard "$rank" --messages --kill $victim --cpu
    idle "over TCP rank $victim is killed" 3 0
done

(unset PMI_FD && "$memo" guard true) >"$out" 2>&1
[ $? = 2 ] && grep -q 'PMI_FD is not set' "$out"
result $? "a guard without mpiexec is refused"
PMI_FD=9 "$memo" guard >"$out" 2>&1
[ $? = 2 ] && grep -q 'which program' "$out"
result $? "so is one without a program"
PMI_FD=9 "$memo" guard /no/such/program >"$out" 2>&1
[ $? = 127 ]
result $? "and one whose program is not there"
PMI_FD=9 "$memo" guard sh -c 'kill -15 $$' >"$out" 2>&1
[ $? = 143 ]
result $? "a program's signal is the guard's"
PMI_FD=9 "$memo" -s mpi-latch:a guard sh -c 'test $MEMO_SPACE = mpi-latch:a' >"$out" 2>&1
result $? "a space given becomes MEMO_SPACE"

# ---- separate nodes ----------------------------------------------------------------------------------------

separate() { # as run, on two nodes
    timeout -k 5 60 t/lib/two_nodes.sh "$@" >"$out" 2>&1 </dev/null
    status=$?
    sort -o "$out" "$out"
}
why=$(t/lib/two_nodes.sh)
if [ $? = 77 ]; then
    skip "separate nodes" "${why#separate nodes: }"
else
    separate -n 5 "$rank" --servers 2 --messages --sleep 3:500 --cpu --exit 3
    idle "separate nodes: leaving" 5 3
    [ "$(grep -c ' on memo1-.*: peer .* node 0/2 with 3 ' "$out")" = 3 ] &&
        [ "$(grep -c ' on memo2-.*: peer .* node 1/2 with 2 ' "$out")" = 2 ]
    result $? "separate nodes are seen"
    grep -q '^token 5 of 5' "$out"
    result $? "messages pass between them"
    separate -n 5 "$memo" guard "$rank" --messages --kill 1 --cpu
    idle "separate nodes: a rank is killed" 4 0
    timeout -s KILL 3 t/lib/two_nodes.sh -n 2 "$rank" --sleep 1:20000 >"$out" 2>&1
    tries=50
    id=$(sed -n '/rank 1/s/.* on memo2-\([0-9]*\):.*/\1/p' "$out")
    while ip netns | grep -q "^memo[12]-${id:-.*}" && [ $tries -gt 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
    [ $tries -gt 0 ]
    result $? "nothing of them is left behind a killed script"
fi

while read -r region; do
    ls "/dev/shm/memo-hall.${region%-*}"* 2>/dev/null
done <"$regions" >"$out"
[ -s "$regions" ] && [ ! -s "$out" ]
result $? "no hall is left"
result_plan
