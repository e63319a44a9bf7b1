#!/bin/sh
# A program that uses shared memory has no MPI in it; a URI of a space over MPI loads libmemo-mpi.so, from where load.c says
# it is looked for, and from nowhere else. The libraries here are made for the test, without MPI: host.c, the half of
# the meeting that is libmemo-mpi.so's, with backends that say who they are.
set -u
# shellcheck source=t/lib/tap.sh
. t/lib/tap.sh
: "${BUILD:=build}"
cc=${CC:-cc}

# The last line that a command prints matches a pattern of case.
says() { # says NAME PATTERN COMMAND ...
    name=$1
    pattern=$2
    shift 2
    said=$("$@" 2>&1)
    case $said in $pattern) result 0 "$name" ;; *) result 1 "$name" ;; esac
    case $said in $pattern) ;; *) echo "$said" | sed 's/^/# /' ;; esac
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
compile() {
    "$cc" -std=c11 -D_GNU_SOURCE -Wall -Wextra "$@" || echo "Bail out! cannot compile $*"
}

# ---- no MPI where none is asked for ----

for program in "$BUILD"/libmemo.so "$BUILD"/memo "$BUILD"/memo-bench "$BUILD"/examples/01-hello "$BUILD"/examples/uts; do
    [ -e "$program" ] || continue
    says "${program#"$BUILD"/} is linked with no MPI" good sh -c \
        'ldd "$1" | grep -iE "mpi|ucp|ucs" || echo good' sh "$program"
done

cat > "$scratch/maps.c" << 'END'
#include "libmemo/memo.h"
#include <stdio.h>
#include <string.h>
int main(void)
{
    char line[4096];
    memo_space_t *space;
    if (memo_open(&space, "shm-bucket:?anonymous=1&size=1M") != MEMO_OK)
        return puts(memo_errmsg()), 1;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "mpi") || strstr(line, "libuc"))
            return fputs(line, stdout), 1;
    puts(maps ? "good" : "no maps");
    return memo_close(space);
}
END
compile -I. "$scratch/maps.c" "$BUILD/libmemo.a" -lpthread -ldl -o "$scratch/maps"
says 'a program that opens a space in shared memory has loaded none' good "$scratch/maps"

# ---- where the library is found ----

# Opens a space from some threads at once, and says what all of them were told.
cat > "$scratch/program.c" << 'END'
#include "libmemo/memo.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define THREADS 8
static pthread_barrier_t start;
static const char *uri;
static char told[THREADS][600];
static void *open_it(void *arg)
{
    memo_space_t *space = (memo_space_t *)&start;
    pthread_barrier_wait(&start);
    int result = memo_open(&space, uri);
    snprintf(arg, sizeof told[0], "%d%s %s", result, space ? " and a handle" : "", memo_errmsg());
    return NULL;
}
int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    uri = argc > 1 ? argv[1] : "mpi-latch:";
    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, open_it, told[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 1; i < THREADS; i++)
        if (strcmp(told[i], told[0]) != 0)
            return printf("one was told %s, another %s\n", told[0], told[i]), 1;
    puts(told[0]);
    return 0;
}
END
cat > "$scratch/fake.c" << 'END'
#include "libmemo/api/error.h"
#include "libmemo/api/handles.h"
static int say(const memo_backend_t *self, const memo_uri_t *uri, memo_space_t **space)
{
    memo_space_t *handle = handles_new(sizeof(memo_space_t) + 100);
    *space = handle;
    if (!handle)
        return memo_error(MEMO_ENOMEM, "no handle");
    handle->backend = self;
    if (handles_register(handle, handle, 1) != MEMO_OK)
        return MEMO_ENOMEM;
    handles_retire(handle);
    return memo_error(MEMO_EIO, "I am %s, for %s with %u servers", FAKE, uri->scheme, uri->servers);
}
const memo_backend_t memo_backend_mpi_single = {.scheme = "mpi-single", .open = say};
const memo_backend_t memo_backend_mpi_latch = {.scheme = "mpi-latch", .open = say};
const memo_backend_t memo_backend_mpi_chain = {.scheme = "mpi-chain", .open = say};
END
fake() { # fake NAME FILE: a library that says it is NAME
    mkdir -p "${2%/*}"
    compile -fPIC -shared -Wl,-soname,libmemo-mpi.so.0 ${other:-} -I. "-DFAKE=\"$1\"" "$scratch/fake.c" libmemo/wire/host.c \
        -Wl,--version-script,libmemo/wire/exports.map -Wl,-z,defs -o "$2"
}

top=$scratch/top
mkdir -p "$top/bin/deep" "$top/so"
compile -I. "$scratch/program.c" "$BUILD/libmemo.a" -lpthread -ldl -o "$top/bin/deep/program"
program=$top/bin/deep/program

if ldconfig -p 2> /dev/null | grep -q libmemo-mpi; then
    skip 'found nowhere, it is not supported, and what to do is said' 'libmemo-mpi.so is installed in the system'
else
    says 'found nowhere, it is not supported, and what to do is said' \
        '-6 mpi-latch: *libmemo-mpi.so.0*Install*mpich*MEMO_MPI_LIBRARY*' "$program"
fi
fake system "$scratch/system/libmemo-mpi.so.0"
says "the loader's own search finds it" '-7 I am system, for mpi-latch with 0 servers' \
    env LD_LIBRARY_PATH="$scratch/system" "$program"
fake lib "$top/bin/lib/libmemo-mpi.so.0"
says "... before that, lib beside the program's folder" '-7 I am lib,*' env LD_LIBRARY_PATH="$scratch/system" "$program"
fake above "$top/bin/libmemo-mpi.so.0"
says "... before that, the folder above the program's" '-7 I am above,*' "$program"
fake beside "$top/bin/deep/libmemo-mpi.so.0"
says "... before that, the program's folder" '-7 I am beside,*' "$program"
fake named "$scratch/named.so"
says '... before that, the one that MEMO_MPI_LIBRARY names' '-7 I am named,*' \
    env MEMO_MPI_LIBRARY="$scratch/named.so" "$program"
says 'wherever the program is started, by whatever name' '-7 I am beside,*' \
    sh -c 'cd / && PATH="$1" && export PATH && program' sh "$top/bin/deep"
ln -s "$program" "$scratch/link"
says '... a symbolic link among them' '-7 I am beside,*' "$scratch/link"
for scheme in mpi-single mpi-latch mpi-chain; do
    says "$scheme: gets its own backend, and the options" "-7 I am beside, for $scheme with 3 servers" \
        "$program" "$scheme:?servers=3"
done

cp "$BUILD/libmemo.so" "$top/so/libmemo.so.0"
compile -I. "$scratch/program.c" "$top/so/libmemo.so.0" -Wl,-rpath,"$top/so" -lpthread -o "$scratch/shared"
fake 'near the library' "$top/so/libmemo-mpi.so.0"
says 'beside libmemo.so, when the program has that' '-7 I am near the library,*' "$scratch/shared"
compile -I. -no-pie -fno-pie "$scratch/program.c" "$top/so/libmemo.so.0" -Wl,-rpath,"$top/so" -lpthread \
    -o "$scratch/fixed"
says '... also when the program is at a fixed address' '-7 I am near the library,*' "$scratch/fixed"
compile -I. -Wl,--no-as-needed "$scratch/program.c" "$top/so/libmemo.so.0" "$scratch/system/libmemo-mpi.so.0" \
    -Wl,-rpath,"$scratch/system:$top/so" -lpthread -o "$scratch/linked"
says 'the one the program is linked with comes before all' '-7 I am system,*' \
    env MEMO_MPI_LIBRARY="$scratch/named.so" "$scratch/linked"

# ---- what is refused ----

says 'a library that is named and absent is not replaced by another' "-6 *$scratch/absent.so*" \
    env MEMO_MPI_LIBRARY="$scratch/absent.so" "$program"
echo 'int nothing; ' > "$scratch/nothing.c"
compile -fPIC -shared "$scratch/nothing.c" -o "$scratch/nothing.so"
says 'a library of something else is refused' '-9 *memo_mpi_backend*' env MEMO_MPI_LIBRARY="$scratch/nothing.so" "$program"
mkdir -p "$scratch/next/libmemo/wire"
sed 's/define HOST_INTERFACE .*/define HOST_INTERFACE 77u/' libmemo/wire/host.h > "$scratch/next/libmemo/wire/host.h"
other="-I$scratch/next" fake next "$scratch/next.so"
says 'a library with another interface is refused' '-9 *libmemo is of version*one build*' \
    env MEMO_MPI_LIBRARY="$scratch/next.so" "$program"
sed 's/char name\[200\];/char name[208];/' libmemo/backend.h > "$scratch/next/libmemo/backend.h"
rm "$scratch/next/libmemo/wire/host.h"
other="-I$scratch/next" fake next "$scratch/other.so"
says 'a library with another layout is refused, even if nobody thought of the number' '-9 *one build*' \
    env MEMO_MPI_LIBRARY="$scratch/other.so" "$program"

# ---- privileges ----

name='with privileges, neither the environment nor what lies about is believed'
if [ "$(id -u)" -ne 0 ]; then
    skip "$name" 'only root can make such a program'
elif ldconfig -p 2> /dev/null | grep -q libmemo-mpi; then
    skip "$name" 'libmemo-mpi.so is installed in the system'
else
    chmod 755 "$scratch"
    chown 65534 "$program" && chmod 4755 "$program"
    says "$name" '-6 *libmemo-mpi.so.0*' env MEMO_MPI_LIBRARY="$scratch/named.so" "$program"
fi
result_plan
