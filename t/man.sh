#!/bin/sh
#
# The man pages: well formed, complete, and their examples compile without a warning and run. Run from the
# repository's root.

BUILD=${BUILD:-build}
CC=${CC:-cc}
unset MEMO_RUN
pages='libmemo/man/memo.1 libmemo/man/memo-server.1 libmemo/man/memo.7 libmemo/man/memo_open.3 libmemo/man/memo_put.3
libmemo/man/memo_get.3 libmemo/man/memo_alt.3 libmemo/man/memo_open_mpi.3'
ran=0
failed=0

# report STATUS DESCRIPTION...; a failed check's messages are in the file said
report() {
    ran=$((ran + 1))
    if [ "$1" -eq 0 ]; then
        shift
        echo "ok $ran - $*"
    else
        shift
        failed=$((failed + 1))
        echo "not ok $ran - $*"
        sed 's/^/# /' "$directory/said"
    fi
}

directory=$(mktemp -d) || exit 1
MEMO_SPACE="shm-bucket:t-man-$$?size=32M"
export MEMO_SPACE
cleanup() {
    "$BUILD/memo" rm -f 2>/dev/null
    rm -rf "$directory"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# The displays of a page, each into a file of its own: $directory/PAGE.N
displays() {
    sed 's/\\e/\\/g' "$1" | awk -v stem="$directory/${1##*/}" '
        /^\.Ed/ { open = 0 }
        open { print > (stem "." n) }
        /^\.Bd -literal/ { open = 1; n++ }'
}

check_form() {
    if command -v mandoc >/dev/null; then
        # That another manual is not installed here is no fault of a page.
        mandoc -T lint -W warning "$1" >"$directory/said" 2>&1
        report $? "${1##*/} is well formed"
    elif command -v groff >/dev/null && groff -mdoc -z /dev/null 2>/dev/null; then
        groff -mdoc -ww -z "$1" >"$directory/said" 2>&1
        [ ! -s "$directory/said" ]
        report $? "${1##*/} is well formed"
    else
        ran=$((ran + 1))
        echo "ok $ran - ${1##*/} is well formed # SKIP neither mandoc nor groff is there to tell"
    fi
}

check_program() {
    $CC -std=c11 -Wall -Wextra -Wpedantic -Werror -x c -Ilibmemo "$1" -x none "$BUILD/libmemo.a" -lpthread -ldl \
        -o "$1.run" >"$directory/said" 2>&1
    report $? "the program of ${1##*/} compiles"
    timeout 20 "$1.run" >"$directory/said" 2>&1
    report $? "the program of ${1##*/} runs"
}

# A program that uses MPI itself runs under mpiexec, with a server of its own and beside one.
check_mpi_program() {
    if [ ! -e "$BUILD/libmemo-mpi.so" ]; then
        ran=$((ran + 1))
        echo "ok $ran - the program of ${1##*/} runs # SKIP built without MPI"
        return
    fi
    # What mpicc would add.
    flags=$(mpicc -show | tr ' ' '\n' | sed -n '/^-[ILl]/p' | sed 's/^-I/-isystem/')
    # shellcheck disable=SC2086
    $CC -std=c11 -Wall -Wextra -Wpedantic -Werror -x c -Ilibmemo "$1" -x none "$BUILD/libmemo.a" \
        "$BUILD/libmemo-mpi.so" -Wl,-rpath,"$PWD/$BUILD" $flags -lpthread -ldl -o "$1.run" >"$directory/said" 2>&1
    report $? "the program of ${1##*/} compiles"
    MEMO_SPACE=mpi-latch: timeout 60 mpiexec -n 3 "$1.run" </dev/null >"$directory/said" 2>&1
    report $? "the program of ${1##*/} runs"
    MEMO_SPACE=mpi-chain: timeout 60 mpiexec -n 1 "$BUILD/memo-server" : -n 2 "$1.run" </dev/null >"$directory/said" 2>&1
    report $? "the program of ${1##*/} runs beside memo-server"
}

echo 'TAP version 13'
for page in $pages; do
    check_form "$page"
    displays "$page"
done
for example in "$directory"/memo*.[0-9].*; do
    if grep -q 'memo_mpi.h' "$example"; then
        check_mpi_program "$example"
    elif grep -q 'int main' "$example"; then
        check_program "$example"
    else
        sh -n "$example" >"$directory/said" 2>&1
        report $? "the script of ${example##*/} is one"
    fi
done

# shellcheck disable=SC2086
sed -n 's/^\.Nm \(memo_[a-z_]*\).*/\1/p' $pages | sort -u >"$directory/named"
sed -n 's/^MEMO_API .*[ *]\(memo_[a-z_]*\)(.*/\1/p' libmemo/memo.h libmemo/memo_mpi.h | sort -u >"$directory/public"
comm -13 "$directory/named" "$directory/public" >"$directory/said"
[ -s "$directory/public" ] && [ ! -s "$directory/said" ]
report $? 'every public call has a page'
for command in $("$BUILD/memo" --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p'); do
    echo "$command" >"$directory/said"
    grep -q "Nm memo $command" libmemo/man/memo.1
    report $? "memo.1 has memo $command"
done
echo "1..$ran"
[ $failed -eq 0 ]
