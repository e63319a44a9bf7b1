/*
 * memo-server.c - a server of a space over MPI as a program of its own:
 *
 *   mpiexec -n 2 memo-server : -n 8 program
 *
 * What it does is in the library (memo_mpi_serve): programs serve in the same way on ranks that they give up.
 */
#include "libmemo/memo_mpi.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_SERVED = 0, EXIT_ERROR = 2 };

static int finish(int result)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("memo-server: standard output");
        return EXIT_ERROR;
    }
    return result;
}

static int help(void)
{
    fputs("Usage: mpiexec -n SERVERS memo-server [URI] : -n CLIENTS PROGRAM [ARGUMENT...]\n"
          "Serves a space over MPI until all its clients have closed it.\n"
          "\n"
          "URI is the space, if it is to be sure that the clients mean the same; default: what the clients say.\n"
          "\n"
          "  -h, --help     this\n"
          "  -V, --version  the version\n"
          "\n"
          "Exit status: 0 it has served; 2 an error.\n",
          stdout);
    return finish(EXIT_SERVED);
}

static int version(void)
{
    printf("memo-server (libmemo) %d.%d.%d\n", MEMO_VERSION_MAJOR, MEMO_VERSION_MINOR, MEMO_VERSION_PATCH);
    return finish(EXIT_SERVED);
}

static int misused(void)
{
    fputs("Try 'memo-server --help'.\n", stderr);
    return EXIT_ERROR;
}

static int serve(const char *uri)
{
    int result = memo_mpi_serve(uri);

    if (result != MEMO_SERVED) {
        fprintf(stderr, "memo-server: %s\n", *memo_errmsg() ? memo_errmsg() : memo_strerror(result));
        return EXIT_ERROR;
    }
    return EXIT_SERVED;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };

    switch (getopt_long(argc, argv, "hV", options, NULL)) {
    case -1:
        break;
    case 'h':
        return help();
    case 'V':
        return version();
    default:
        return misused();
    }
    if (argc - optind > 1) {
        fprintf(stderr, "memo-server: one URI at most, not '%s' too\n", argv[optind + 1]);
        return misused();
    }
    return serve(argv[optind]);
}
