#!/bin/sh
# shell-pipeline.sh DIRECTORY [WORKERS] - files of the same content, found by several shells at once.
#
# The memo command gives a shell script what the library gives a program. One process writes the names of files into
# a folder of jobs, a memo each; workers take them and put checksums into another; the script collects these. A
# memo without a byte says that there are no more: one for each worker, and one from each worker.
set -eu

directory=${1:?usage: shell-pipeline.sh DIRECTORY [WORKERS]}
workers=${2:-3}

# A space of our own, unless we are told to use another.
if [ -z "${MEMO_SPACE:-}" ]; then
    MEMO_SPACE="shm-bucket:duplicates-$$?size=16M"
    export MEMO_SPACE
    trap 'memo rm -f' EXIT
    trap 'exit 1' INT TERM
fi
jobs=duplicates-$$/jobs
sums=duplicates-$$/sums

worker()
{
    while file=$(memo get "$jobs") && [ -n "$file" ]; do
        if sum=$(sha256sum <"$file"); then
            memo put "$sums" "${sum%% *} $file"
        fi
    done
    memo put "$sums" ''
}

list_files()
{
    find "$directory" -type f -size +0 | memo put --lines --timeout forever "$jobs"
    for _ in $(seq "$workers"); do
        memo put --timeout forever "$jobs" ''
    done
}

collect()
{
    working=$workers
    while [ "$working" -gt 0 ]; do
        line=$(memo get "$sums")
        if [ -n "$line" ]; then
            printf '%s\n' "$line"
        else
            working=$((working - 1))
        fi
    done
}

memo limit --memos 100 "$jobs" # list_files waits for the workers, however many files there are
for _ in $(seq "$workers"); do
    worker &
done
list_files &
collect | sort | uniq --check-chars=64 --all-repeated=separate | cut -c 66-
wait
memo limit "$jobs"
