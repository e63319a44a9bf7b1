#!/bin/sh
# The benchmark runs every workload on every backend, says so where it cannot, and removes what it made. No figure is
# judged here.
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
echo "1..$n"
