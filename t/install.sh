#!/bin/sh
# What is installed serves a program outside the tree, on each backend, shared and static; nothing is left behind
# when it is uninstalled.
set -u
# shellcheck source=t/lib/tap.sh
. t/lib/tap.sh
: "${BUILD:=build}"
: "${MPI:=$([ -e "$BUILD/libmemo-mpi.so" ] && echo yes || echo no)}"
export BUILD
# What make is told: that of which this is the test. yes would insist.
mpi=$([ "$MPI" = no ] && echo MPI=no)
cc=${CC:-cc}

attempt() { # attempt NAME COMMAND ...: its words are shown if it fails
    name=$1
    shift
    words=$("$@" 2>&1)
    status=$?
    result $status "$name"
    [ $status -eq 0 ] || echo "$words" | sed 's/^/# /'
}

files() { # files FOLDER: all below it, by name
    (cd "$1" && find . ! -type d | sort)
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix
attempt 'make install' make install $mpi PREFIX="$prefix"
attempt 'make install below DESTDIR' make install $mpi PREFIX=/opt/memo DESTDIR="$scratch/dest"
test "$(files "$prefix")" = "$(files "$scratch/dest/opt/memo")"
result $? 'DESTDIR holds the same files'

missing=
for file in include/memo.h lib/libmemo.a lib/libmemo.so lib/libmemo.so.0 lib/pkgconfig/memo.pc \
    $([ -e servers/memo.c ] && echo bin/memo) \
    $([ "$MPI" = no ] || echo include/memo_mpi.h lib/libmemo-mpi.so lib/libmemo-mpi.so.0 lib/pkgconfig/memo-mpi.pc \
        bin/memo-server); do
    [ -e "$prefix/$file" ] || missing="$missing $file"
done
for page in libmemo/man/*.[1-9]; do
    [ -e "$page" ] || continue
    [ -e "$prefix/share/man/man${page##*.}/${page##*/}" ] || missing="$missing ${page##*/}"
done
for call in $(sed -n 's/^MEMO_API.*[ *]\(memo_[a-z0-9_]*\)(.*/\1/p' libmemo/memo.h); do
    [ -e "$prefix/share/man/man3/$call.3" ] || missing="$missing $call.3"
done
attempt 'header, libraries, pkg-config file, command and a man page for each call are there' test -z "$missing"
[ -z "$missing" ] || echo "# missing:$missing"

# The program has names of its own that the library uses inside.
cat > "$scratch/program.c" << 'END'
#include <memo.h>
#include <stdio.h>
#include <string.h>
int region_open = 1, heap_alloc = 2, table_find = 3, uri_rest = 4, memo_error = 5;
static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, memo_errmsg());
    return 1;
}
int main(int argc, char **argv)
{
    memo_space_t *space;
    memo_folder_t folder = memo_folder("greetings");
    memo_t *m;
    int wrong = 0;
    if (argc != 2 || memo_open(&space, argv[1]) != MEMO_OK)
        return fail("open");
    if (memo_write(space, &folder, "hello", 5) != MEMO_OK || memo_get(space, &folder, &m) != MEMO_OK)
        wrong = fail("write and get");
    else if (memo_size(m) != 5 || memcmp(memo_data(m), "hello", 5) != 0)
        wrong = fail("compare");
    if (!wrong)
        memo_free(m);
    if (memo_close(space) != MEMO_OK || memo_unlink(argv[1]) != MEMO_OK)
        wrong = fail("close and unlink");
    return wrong;
}
END

PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export PKG_CONFIG_PATH
version=$(sed -n 's/^#define MEMO_VERSION_[A-Z]* //p' libmemo/memo.h | paste -s -d.)
attempt "pkg-config says version $version" test "$(pkg-config --modversion memo)" = "$version"
cd "$scratch" || exit 1
attempt 'a program outside the tree compiles' "$cc" program.c $(pkg-config --cflags --libs memo) -o shared
attempt '... with the archive, too' \
    "$cc" program.c $(pkg-config --cflags memo) "$prefix/lib/libmemo.a" -lpthread -ldl -o static
for backend in shm-bucket shm-lock; do
    attempt "it runs on $backend" env LD_LIBRARY_PATH="$prefix/lib" ./shared "$backend:t-install-$$?size=16M"
    attempt "it runs on $backend with the archive" ./static "$backend:t-install-$$?size=16M"
done
LD_LIBRARY_PATH="$prefix/lib" ldd ./shared | grep -q "libmemo.so.0 => $prefix/lib/libmemo.so.0"
result $? 'it uses the installed shared library, by its soname'

# With MPI: a program that calls MPI itself, and one that does not and finds the library by itself.
if [ "$MPI" = no ]; then
    skip "programs with MPI" "without MPI"
    test ! -e "$prefix/lib/libmemo-mpi.so" -a ! -e "$prefix/include/memo_mpi.h" -a ! -e "$prefix/bin/memo-server"
    result $? 'nothing of the MPI half is installed'
else
    cat > with.c << 'END'
#include <memo_mpi.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
    memo_space_t *space;
    memo_folder_t folder = memo_folder("greetings");
    memo_t *m;
    MPI_Comm clients;
    int size = 0, result;
    MPI_Init(&argc, &argv);
    result = memo_open_mpi(&space, MPI_COMM_WORLD, argv[1]);
    if (result == MEMO_OK) {
        if (memo_write(space, &folder, "hello", 5) != MEMO_OK || memo_get(space, &folder, &m) != MEMO_OK ||
            memo_size(m) != 5 || memcmp(memo_data(m), "hello", 5) != 0)
            return 1;
        memo_free(m);
        if (memo_mpi_comm(space, &clients) != MEMO_OK || MPI_Comm_size(clients, &size) || size != memo_ranks(space))
            return 2;
        MPI_Barrier(clients);
        if (memo_rank(space) == 0)
            puts("good");
        memo_close(space);
    } else if (result != MEMO_SERVED) {
        fprintf(stderr, "open: %s\n", memo_errmsg());
        return 3;
    }
    MPI_Finalize();
    return 0;
}
END
    attempt 'a program outside the tree that calls MPI compiles' "$cc" with.c $(pkg-config --cflags --libs memo-mpi) -o with
    attempt '... with the archive, too' \
        "$cc" with.c "$prefix/lib/libmemo.a" $(pkg-config --cflags --libs memo-mpi) -lpthread -ldl -o with-static
    for program in with with-static; do
        words=$(LD_LIBRARY_PATH="$prefix/lib" timeout 60 mpiexec -n 3 ./$program mpi-latch: 2>&1)
        test "$words" = good
        result $? "$program runs with a server of its own"
        [ "$words" = good ] || echo "$words" | sed 's/^/# /'
        words=$(LD_LIBRARY_PATH="$prefix/lib" timeout 60 mpiexec -n 2 "$prefix/bin/memo-server" : -n 2 ./$program mpi-chain: 2>&1)
        test "$words" = good
        result $? "$program runs with two memo-servers"
        [ "$words" = good ] || echo "$words" | sed 's/^/# /'
    done
fi
cd - > /dev/null || exit 1

attempt 'make uninstall' make uninstall PREFIX="$prefix"
test -z "$(files "$prefix")"
result $? '... leaves no file behind'
result_plan
