#!/bin/sh
# demo.sh - what `make demo` shows: a real file compressed by four processes that share it through libmemo, checked,
# next to gzip; once more with one of them killed in the middle; and by the same program over MPI, where there is MPI.
#
# BUILD is where the programs are. DEMO_SIZE is the size of the file in bytes.
set -eu

build=${BUILD:-build}
gz=$build/examples/memo-gzip
size=${DEMO_SIZE:-50000000}
workers=4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
file=$dir/demo.tar

now()
{
    date +%s%N
}

# seconds FROM TO, in hundredths
seconds()
{
    awk -v ns="$(($2 - $1))" 'BEGIN { printf "%.2f", ns / 1e9 }'
}

bytes()
{
    wc -c <"$1" | tr -d ' '
}

# line NAME SECONDS FILE: one line of the table
line()
{
    awk -v name="$1" -v s="$2" -v in_size="$made" -v out="$(bytes "$3")" 'BEGIN {
        printf "  %-34s %6.2f s  %7.1f MB/s  %9d bytes  %5.1f %%\n",
            name, s, (s > 0 ? in_size / s / 1e6 : 0), out, (in_size > 0 ? 100 * out / in_size : 0) }'
}

# same FILE.gz: it must be valid, and decompress to the file
same()
{
    gzip -t "$1" && gzip -dc "$1" | cmp - "$file"
}

# Ends one worker, once it is at work, as nobody would wish it to end.
kill_one()
{
    for _ in $(seq 100); do
        victim=$(sed -n 's/.*worker 0 is process //p' "$dir/log" | head -n 1)
        [ -z "$victim" ] || break
        sleep 0.02
    done
    sleep 0.2
    kill -9 "$victim"
}

echo "Making a file: a tar of /usr/lib and /usr/share, cut at $size bytes."
{ tar -cf - --sort=name -C / usr/lib usr/share 2>/dev/null || true; } | head -c "$size" >"$file"
made=$(bytes "$file")
echo "Compressing $made bytes on $(nproc) processors:"

t0=$(now)
gzip -c "$file" >"$dir/gzip.gz"
t1=$(now)
alone=$(seconds "$t0" "$t1")
line 'gzip' "$alone" "$dir/gzip.gz"

t0=$(now)
"$gz" -c -p $workers "$file" >"$dir/memo.gz"
t1=$(now)
together=$(seconds "$t0" "$t1")
line "memo-gzip, $workers workers" "$together" "$dir/memo.gz"

: >"$dir/log"
t0=$(now)
"$gz" -v -c -p $workers "$file" >"$dir/killed.gz" 2>"$dir/log" &
running=$!
kill_one || echo '  (it was done before we could kill a worker)'
wait "$running"
t1=$(now)
line 'the same, a worker killed with -9' "$(seconds "$t0" "$t1")" "$dir/killed.gz"

same "$dir/memo.gz"
same "$dir/killed.gz"
echo 'Both are valid (gzip -t), and what comes out of them is the file, byte for byte (cmp).'
sed -n 's/^.*chunks; \(.*\) workers killed, \(.*\) chunks redelivered$/In the last run workers killed: \1, chunks that came back from them: \2./p' "$dir/log"
awk -v a="$alone" -v b="$together" 'BEGIN { if (b > 0) printf "memo-gzip was %.2f times as fast as gzip.\n", a / b }'

if [ -e "$build/libmemo-mpi.so" ]; then
    echo
    echo 'The same program over MPI, by its environment alone: two servers, a master and the workers.'
    echo "  MEMO_SPACE='mpi-latch:?servers=2' mpiexec -n $((workers + 3)) $gz -f demo.tar"
    t0=$(now)
    MEMO_SPACE='mpi-latch:?servers=2' timeout 600 mpiexec -n $((workers + 3)) "$gz" -f "$file" </dev/null
    t1=$(now)
    line "memo-gzip on mpi-latch, $workers workers" "$(seconds "$t0" "$t1")" "$file.gz"
    same "$file.gz"
    echo 'It is valid too, and the file comes out of it.'
else
    echo 'The same over MPI is left out: this build has no spaces over MPI (MPI=no, or no mpicc).'
fi
