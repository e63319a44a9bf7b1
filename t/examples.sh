#!/bin/sh
# The examples do what they say, on both shared-memory backends, started alone and by memo run; and leave nothing
# behind. README shows 01-hello.c as it is.
set -u
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
examples=$BUILD/examples
PATH=$BUILD:$PATH
dir=$(mktemp -d)
tests=0
failed=0
unset MEMO_SPACE MEMO_RUN

# Ends what is still running of ours, by its number.
clean()
{
    for job in $running; do
        kill -9 "$job" 2>/dev/null
    done
    for scheme in shm-bucket shm-lock; do
        memo rm -f "$(space $scheme)" 2>/dev/null
    done
    rm -rf "$dir"
}
running=
trap clean EXIT
trap 'exit 1' INT TERM

space()
{
    echo "$1:t-examples-$1-$$?size=64M"
}

# result STATUS NAME: a line of TAP; what the commands said is in $dir/log
result()
{
    tests=$((tests + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tests - $2"
    else
        echo "not ok $tests - $2"
        sed 's/^/# /' "$dir/log" | tail -n 20
        failed=$((failed + 1))
    fi
}

# check NAME COMMAND...: the command succeeds
check()
{
    name=$1
    shift
    "$@" >"$dir/log" 2>&1
    result $? "$name"
}

# prints TEXT COMMAND...: the command succeeds, and prints that text among other things
prints()
{
    text=$1
    shift
    "$@" || return 1
    grep -qF -- "$text" "$dir/log"
}

within()
{
    timeout -k 1 30 "$@"
}

# ---- each of them -----------------------------------------------------------------------------------------------

hello()
{
    within "$examples/01-hello" >"$dir/said" &
    within "$examples/01-hello" "hello, world" && wait $! && echo "hello, world" | cmp - "$dir/said"
}

# round_trip FILE OPTION...: compressed, it is valid, and it is the file again when decompressed
round_trip()
{
    file=$1
    shift
    within "$examples/memo-gzip" -f "$@" "$file" && gzip -t "$file.gz" && gzip -dc "$file.gz" | cmp - "$file"
}

round_trip_stdin()
{
    within "$examples/memo-gzip" -p 2 "$@" <"$dir/text" >"$dir/out.gz" && gzip -dc "$dir/out.gz" | cmp - "$dir/text"
}

# Two gzip files one after the other are one, and memo-gzip's has no surprise for gzip -l.
gzip_lists()
{
    round_trip "$dir/text" -9 || return 1
    [ "$(gzip -l "$dir/text.gz" | awk 'NR == 2 { print $2 }')" -eq "$(wc -c <"$dir/text")" ] || return 1
    cat "$dir/text.gz" "$dir/text.gz" | gzip -dc | cmp - "$dir/twice"
}

gzip_refuses()
{
    cp "$dir/text" "$dir/refused" && : >"$dir/refused.gz" || return 1
    ! within "$examples/memo-gzip" "$dir/refused" || return 1
    ! within "$examples/memo-gzip" "$dir/not-there" || return 1
    [ ! -s "$dir/refused.gz" ] && [ ! -e "$dir/not-there.gz" ]
}

# A compression during which two workers are killed; it must be right, and say how many chunks came back.
gzip_killed_once()
{
    within "$examples/memo-gzip" -9 -v -c -p 3 "$dir/big" >"$dir/killed.gz" 2>"$dir/killed.log" &
    gzip_pid=$!
    running=$gzip_pid
    for _ in $(seq 200); do
        grep -q 'worker 2 is process' "$dir/killed.log" && break
        sleep 0.02
    done
    sleep 0.1
    for worker in 0 1; do
        kill -9 "$(sed -n "s/.*worker $worker is process //p" "$dir/killed.log" | head -n 1)" || return 1
    done
    wait "$gzip_pid" || return 1
    running=
    cat "$dir/killed.log"
    grep -q '2 workers killed' "$dir/killed.log" || return 1
    gzip -dc "$dir/killed.gz" | cmp - "$dir/big"
}

# Whoever is killed between two chunks holds none: so more than one attempt to find one that does.
gzip_killed()
{
    for _ in 1 2 3 4 5; do
        gzip_killed_once || return 1
        grep -q ' 0 chunks redelivered' "$dir/killed.log" || return 0
    done
    echo 'no chunk was ever redelivered'
    return 1
}

# Three programs that know nothing of each other; one filter is killed, another comes, one is told to stop.
pipeline()
{
    "$examples/pipeline-filter" '[aeiou]{2}' &
    first=$!
    within "$examples/pipeline-sink" >"$dir/filtered" &
    sink=$!
    running=$first
    within "$examples/pipeline-source" "$dir/text" "$dir/text" "$dir/text" &
    source=$!
    sleep 0.05
    kill -9 "$first"
    "$examples/pipeline-filter" '[aeiou]{2}' &
    second=$!
    running="$second"
    wait "$source" && wait "$sink" || return 1
    memo put pipeline/stop '' && wait "$second" || return 1
    running=
    wait "$first" # which was killed
    memo limit pipeline/lines # a limit is what else a folder may hold
    cat "$dir/text" "$dir/text" "$dir/text" | grep -aE '[aeiou]{2}' | cmp - "$dir/filtered"
}

duplicates()
{
    rm -rf "$dir/tree"
    mkdir -p "$dir/tree/b"
    echo one >"$dir/tree/a 1" && echo one >"$dir/tree/b/a2" && echo two >"$dir/tree/b/c" && : >"$dir/tree/empty"
    within examples/shell-pipeline.sh "$dir/tree" 2 >"$dir/same"
    printf '%s\n' "$dir/tree/a 1" "$dir/tree/b/a2" | cmp - "$dir/same"
}

# What there was, has been taken: no memo, and nobody waiting.
nothing_left()
{
    memo ls
    [ -z "$(memo ls --names)" ]
}

T1='Tree size = 4130071, tree depth = 10, num leaves = 3305118 (80.03%)'
T3='Tree size = 4112897, tree depth = 1572, num leaves = 3599034 (87.51%)'

on_backend()
{
    MEMO_SPACE=$(space "$1")
    export MEMO_SPACE
    check "$1: hello" hello
    check "$1: record" within "$examples/record"
    check "$1: dining" within "$examples/dining"
    check "$1: barrier" within "$examples/barrier"
    check "$1: futures" within "$examples/futures"
    check "$1: warshall" within "$examples/warshall"
    check "$1: warshall, alone" within "$examples/warshall" -p 1 -n 50
    check "$1: uts, tree T1" prints "$T1" within "$examples/uts" -p 3 -T T1
    check "$1: uts, tree T3" prints "$T3" within "$examples/uts" -p 2 -T T3
    check "$1: memo-gzip" round_trip "$dir/text"
    check "$1: memo-gzip, in a space with room for few chunks" \
        round_trip "$dir/text" -s "$1:t-examples-$1-$$-small?size=4M" -p 8 -b 256
    memo rm -f "$1:t-examples-$1-$$-small"
    check "$1: memo-gzip, stdin to stdout" round_trip_stdin
    check "$1: memo-gzip, workers killed" gzip_killed
    check "$1: pipeline of unrelated programs, a filter killed" pipeline
    check "$1: shell pipeline" duplicates
    check "$1: memo run: uts" prints "$T1" within memo run -n 3 "$examples/uts" -T T1
    check "$1: memo run: memo-gzip" within memo run -n 3 "$examples/memo-gzip" -f "$dir/text"
    check "$1: memo run: what it compressed" eval 'gzip -dc "$dir/text.gz" | cmp - "$dir/text"'
    check "$1: memo run: warshall" within memo run -n 4 "$examples/warshall"
    check "$1: memo run: dining" within memo run -n 3 "$examples/dining" -n 500
    check "$1: memo run: barrier" within memo run -n 3 "$examples/barrier" -n 100
    check "$1: memo run: futures" within memo run -n 3 "$examples/futures"
    check "$1: memo run: record" within memo run -n 3 "$examples/record" -n 1000
    check "$1: nothing is left in the space" nothing_left
    memo rm -f
    unset MEMO_SPACE
}

# README's first C program, between its fences, is the example.
readme_shows_hello()
{
    awk '/^```c$/ { inside = 1; next } /^```$/ && inside { exit } inside' README.md | diff - examples/01-hello.c
}

readme_names_examples()
{
    for file in examples/*.c examples/*.sh; do
        grep -qF "$(basename "$file")" README.md || { echo "README does not name $file"; return 1; }
    done
}

text_of()
{
    find /usr/include -name '*.h' -type f 2>/dev/null | sort | head -n 400 | xargs cat 2>/dev/null | tr -d '\000' | head -c "$1"
}

{ text_of 3000000 && echo; } >"$dir/text" # whole lines
cat "$dir/text" "$dir/text" >"$dir/twice"
cat "$dir/twice" "$dir/twice" "$dir/twice" >"$dir/big"

check 'README shows 01-hello.c' readme_shows_hello
check 'README names every example' readme_names_examples
for bytes in 0 1 131071 131072 131073 262144; do
    head -c $bytes "$dir/text" >"$dir/sized"
    check "memo-gzip, private space, $bytes bytes" round_trip "$dir/sized" -p 2
done
head -c 1000000 /dev/urandom >"$dir/random"
check 'memo-gzip, what cannot be compressed, smallest chunks' round_trip "$dir/random" -1 -b 32
check 'memo-gzip, as gzip sees it' gzip_lists
check 'memo-gzip refuses to overwrite, and what is not there' gzip_refuses
on_backend shm-bucket
on_backend shm-lock
check 'demo.sh, with a small file' env BUILD="$BUILD" DEMO_SIZE=3000000 timeout 60 examples/demo.sh

echo "1..$tests"
exit $((failed > 0))
