#!/bin/sh
# memo.h compiles alone, in C and in C++, and so does memo_mpi.h; every header of the library does; the shared libraries
# export what these two declare and nothing else.
set -u
# shellcheck source=t/lib/tap.sh
. t/lib/tap.sh
: "${BUILD:=build}"
: "${MPI:=$([ -e "$BUILD/libmemo-mpi.so" ] && echo yes || echo no)}"
cc=${CC:-cc}
cxx=${CXX:-g++}

# Runs a command; its words are shown if it fails.
attempt() { # attempt NAME COMMAND ...
    name=$1
    shift
    words=$("$@" 2>&1)
    status=$?
    result $status "$name"
    [ $status -eq 0 ] || echo "$words" | sed 's/^/# /'
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp libmemo/memo.h "$scratch/memo.h"
echo '#include <memo.h>' > "$scratch/alone.c"
echo '#include <memo.h>' > "$scratch/alone.cc"
warnings='-Wall -Wextra -Wpedantic -Werror'

attempt 'memo.h compiles alone as C11' \
    "$cc" -std=c11 $warnings -Wstrict-prototypes -I"$scratch" -c -o "$scratch/alone.o" "$scratch/alone.c"
if command -v "$cxx" > /dev/null 2>&1; then
    attempt 'memo.h compiles alone as C++17' \
        "$cxx" -std=c++17 $warnings -I"$scratch" -c -o "$scratch/alone.o" "$scratch/alone.cc"
else
    skip 'memo.h compiles alone as C++17' "there is no $cxx"
fi

# MPI's headers, where there are any, are not ours to warn about.
with_mpi=
for word in $([ "$MPI" = no ] || mpicc -show); do
    case $word in -I*) with_mpi="$with_mpi -isystem ${word#-I}" ;; esac
done
if [ "$MPI" != no ]; then
    cp libmemo/memo_mpi.h "$scratch/memo_mpi.h"
    echo '#include <memo_mpi.h>' > "$scratch/alone.c"
    cp "$scratch/alone.c" "$scratch/alone.cc"
    attempt 'memo_mpi.h compiles alone as C11' \
        "$cc" -std=c11 $warnings -Wstrict-prototypes -I"$scratch" $with_mpi -c -o "$scratch/alone.o" "$scratch/alone.c"
    attempt 'memo_mpi.h compiles alone as C++17' \
        "$cxx" -std=c++17 $warnings -I"$scratch" $with_mpi -c -o "$scratch/alone.o" "$scratch/alone.cc"
fi

for header in $(find libmemo servers stubs -name '*.h' | sort); do
    case $MPI:$header in no:*mpi_*.h | no:*_mpi.h)
        skip "$header compiles on its own" 'without MPI'
        continue
        ;;
    esac
    echo "#include \"$header\"" > "$scratch/header.c"
    attempt "$header compiles on its own" \
        "$cc" -std=c11 -D_GNU_SOURCE $warnings -I. $with_mpi -c -o "$scratch/header.o" "$scratch/header.c"
done

declared() { # declared HEADER
    sed -n 's/^MEMO_API.*[ *]\(memo_[a-z0-9_]*\)(.*/\1/p' "$1" | sort
}

exports() { # exports LIBRARY SONAME HEADER [WHAT ELSE]
    declared "$3" > "$scratch/declared"
    test "$(wc -l < "$scratch/declared")" -eq "$(grep -c '^MEMO_API' "$3")"
    result $? "every declaration of ${3##*/} is understood by this test"
    [ -z "${4:-}" ] || printf '%s\n' "$4" >> "$scratch/declared"
    sort -o "$scratch/declared" "$scratch/declared"
    nm -D --defined-only "$BUILD/$1" | awk '{ print $NF }' | sort > "$scratch/exported"
    attempt "$1 exports what ${3##*/} declares and nothing else${4:+ but $4}" \
        diff "$scratch/declared" "$scratch/exported"
    readelf -d "$BUILD/$1" | grep -q "SONAME.*\\[$2\\]"
    result $? "its soname is $2"
}

exports libmemo.so libmemo.so.0 libmemo/memo.h
if [ "$MPI" != no ]; then
    exports libmemo-mpi.so libmemo-mpi.so.0 libmemo/memo_mpi.h memo_mpi_backend
    needed=$(nm -D --undefined-only "$BUILD/libmemo-mpi.so" | awk '/ (memo|handles)_/ { print $1, $2 }')
    attempt 'it needs nothing of libmemo.so: a memo_open if there is one' test "$needed" = 'w memo_open'
    readelf -d "$BUILD/libmemo-mpi.so" | grep -q 'NEEDED.*libmemo'
    test $? -eq 1
    result $? '... nor that library itself'
else
    skip 'libmemo-mpi.so exports what memo_mpi.h declares' 'without MPI'
fi
result_plan
