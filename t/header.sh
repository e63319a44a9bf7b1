#!/bin/sh
# memo.h compiles alone, in C and in C++; every header of the library does; the shared library exports what memo.h
# declares and nothing else.
set -u
: "${BUILD:=build}"
cc=${CC:-cc}
cxx=${CXX:-g++}
count=0

result() { # result STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        echo "not ok $count - $2"
    fi
}

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
    count=$((count + 1))
    echo "ok $count - memo.h compiles alone as C++17 # SKIP there is no $cxx"
fi

for header in $(find libmemo -name '*.h' | sort); do
    echo "#include \"$header\"" > "$scratch/header.c"
    attempt "$header compiles on its own" \
        "$cc" -std=c11 -D_GNU_SOURCE $warnings -I. -c -o "$scratch/header.o" "$scratch/header.c"
done

sed -n 's/^MEMO_API.*[ *]\(memo_[a-z0-9_]*\)(.*/\1/p' libmemo/memo.h | sort > "$scratch/declared"
nm -D --defined-only "$BUILD/libmemo.so" | awk '{ print $NF }' | sort > "$scratch/exported"
test "$(wc -l < "$scratch/declared")" -eq "$(grep -c '^MEMO_API' libmemo/memo.h)"
result $? 'every declaration of memo.h is understood by this test'
attempt 'the shared library exports what memo.h declares and nothing else' \
    diff "$scratch/declared" "$scratch/exported"
readelf -d "$BUILD/libmemo.so" | grep -q 'SONAME.*\[libmemo.so.0\]'
result $? 'its soname is libmemo.so.0'
echo "1..$count"
