#!/bin/sh
# The benchmark runs every workload on every backend, says so where it cannot, and removes what it made; over MPI, some
# of them. No figure is judged here.
bench=${BUILD:-build}/memo-bench
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' INT TERM

n=0
ok()
{
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

echo "TAP version 13"
"$bench" --help | grep -q '^usage: memo-bench'
ok $? "--help says how to use it"
"$bench" --only no-such-workload 2>"$out"
[ $? = 2 ] && grep -q 'memo-bench --list' "$out"
ok $? "an unknown workload is refused, with what to do"
"$bench" --rounds many 2>"$out"
ok $(($? != 2)) "so is a number that is none"

"$bench" --csv --rounds 1 --time 2 >"$out" &
pid=$!
wait $pid
ok $? "every workload runs"
for w in $("$bench" --list | cut -d' ' -f1); do
    for scheme in shm-bucket shm-lock; do
        line=$(grep "^$w,\"$scheme:\"," "$out")
        if [ "$(nproc)" -lt 2 ] && echo "$line" | grep -q 'needs two CPUs'; then
            n=$((n + 1))
            echo "ok $n - $w on $scheme: # SKIP needs two CPUs"
            continue
        fi
        # operations, median, p99, least, most, rate: all there, all positive; no reason why not
        echo "$line" | awk -F, '{ for (i = 6; i <= 11; i++) bad += !($i > 0); bad += $17 != ""; exit NF != 17 || bad }'
        ok $? "$w on $scheme: is measured"
        [ -n "$line" ] || echo "# no line"
        echo "# $line"
    done
done
"$bench" --csv --rounds 1 --time 2 --only put-get-8 no-such-scheme: >"$out" 2>&1
[ $? = 1 ] && grep -q ',"failed: ' "$out"
ok $? "a space that cannot be opened is a failure with a reason"
[ -z "$(ls -A /dev/shm | grep "bench-$pid-")" ]
ok $? "no space of a benchmark is left"

# ---- over MPI: the same rows ----
skip()
{
    n=$((n + 1))
    echo "ok $n - over MPI # SKIP $1"
    echo "1..$n"
    exit 0
}
[ -e "${BUILD:-build}/libmemo-mpi.so" ] || skip "built without MPI"
command -v mpiexec >/dev/null || skip "there is no mpiexec"

# In the background, so that a signal ends this script at once, and the job with it.
job()
{
    timeout -k 5 60 mpiexec "$@" </dev/null >"$out" 2>&1 &
    pid=$!
    wait $pid
}
trap 'kill $pid 2>/dev/null; exit 1' INT TERM

"$bench" mpi-single: >"$out" 2>&1
[ $? = 2 ] && grep -q 'mpiexec -n' "$out"
ok $? "a space over MPI is not measured without mpiexec"
job -n 2 "$bench" shm-bucket:
[ $? = 2 ] && [ "$(grep -c '^memo-bench:' "$out")" = 1 ]
ok $? "nor shared memory with it; one rank says so"

# Messages an operation are those of the protocol; strict skips are asked of one server, and of two.
measured()
{
    echo "$line" | awk -F, '{ for (i = 6; i <= 11; i++) bad += !($i > 0); exit NF != 17 || $17 != "" || bad }'
}
for uri in mpi-single: mpi-latch: mpi-chain: 'mpi-latch:?servers=2' 'mpi-chain:?servers=2'; do
    case $uri in *=2) servers=2 ;; *) servers=1 ;; esac
    job -n $((10 + servers)) "$bench" --csv -r 1 -t 2 -o put-get-8 -o ping-pong-free -o 'bag-?' -o put-alt-8 \
        -o strict-skip-8 -o copies-8 -o folders-1000 "$uri"
    ok $? "$uri: the job ends well"
    for w in put-get-8 ping-pong-free bag-4 bag-8 put-alt-8 strict-skip-8 copies-8 folders-1000; do
        line=$(grep "^$w,\"$uri\"," "$out")
        measured && echo "$line" | awk -F, '{ exit !($16 >= 2) }'
        ok $? "$w on $uri is measured, and its messages are counted"
        echo "# ${line:-no line}"
    done
done
job -n 3 "$bench" --csv -r 1 -t 2 -o copy-1M -o put-alt-8 'mpi-single:?size=1M'
status=$?
[ $status != 0 ] && [ $status != 124 ] && grep -q '^copy-1M,.*"failed: memo_' "$out" && grep -q '^put-alt-8,.*"failed: not run' "$out"
ok $? "a rank that fails says why, what follows is not run, and the job ends"
job -n 3 "$bench" --csv -r 1 -t 2 -o bag-4 -o put-get-8 mpi-single:
[ $? = 0 ] && grep -q '^bag-4,.*"cannot run: needs 6 clients' "$out" && line=$(grep '^put-get-8' "$out") && measured
ok $? "what needs more ranks than there are is left out"
for how in plain mpi-single:; do
    for mode in busy work idle; do
        job -n 3 "${BUILD:-build}/bench/mpi_requests" $mode 0.1 $how
        # operations, but for when there are none; and the CPU time that it took
        [ $? = 0 ] && awk -v mode=$mode '{ exit !(($4 > 0) == (mode != "idle") && $10 > 0) }' "$out"
        ok $? "requests: $how, $mode"
        sed 's/^/# /' "$out"
    done
done
echo "1..$n"
