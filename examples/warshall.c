/*
 * warshall - all shortest paths of a graph, by rows that are written once and read by everybody.
 *
 * Warshall's and Floyd's algorithm goes over the vertices: in step k every row of the matrix of distances is
 * improved by way of vertex k, for which it needs row k as it was after step k-1. Each process owns the rows of
 * some vertices. Whoever owns row k puts it, at its time, into folder [ROWS][k]; everybody else gets a copy from
 * there.
 *
 * Such a folder is an I-structure: an element that is written once, and a read of which waits until it has been. No
 * process waits for anything but the data it needs next, so that there is no barrier anywhere, and the owner of
 * row k+1 may be far ahead of those who still look at row k.
 */
#include "team.h"

#include <getopt.h>
#include <inttypes.h>

enum { ROWS, FINAL };
enum { FAR = INT32_MAX / 4 }; /* no way there; twice that is still a number */

/* The same graph in every process, from its number: each vertex has some eight edges. */
static void make_graph(int32_t *distance, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            bool edge = (seed >> 33) % (uint64_t)n < 8;
            distance[i * n + j] = i == j ? 0 : edge ? 1 + (int32_t)(seed >> 57) : FAR;
        }
    }
}

/* Step k for one row: is it shorter by way of k? */
static void improve(int32_t *row, const int32_t *row_k, int64_t k, int64_t n)
{
    int32_t to_k = row[k];

    for (int64_t j = 0; j < n; j++)
        row[j] = to_k + row_k[j] < row[j] ? to_k + row_k[j] : row[j];
}

/* Step k for the rows of this process, which are every ranks-th. */
static void step(const team_t *team, int32_t *distance, int64_t k, int64_t n)
{
    size_t size = (size_t)n * sizeof *distance;
    memo_folder_t row = team_folder(team, ROWS, k);
    memo_t *m = NULL;
    const int32_t *row_k = distance + k * n;

    if (k % team->ranks == team->rank) {
        must(memo_write(team->space, &row, row_k, size), "putting a row");
    } else {
        must(memo_get_copy(team->space, &row, &m), "waiting for a row");
        row_k = memo_data(m);
    }
    for (int64_t i = team->rank; i < n; i += team->ranks)
        if (i != k)
            improve(distance + i * n, row_k, k, n);
    memo_free(m);
}

/* Takes every row in the end, and compares it with what one process alone has computed. */
static int64_t check(const team_t *team, int32_t *expected, int64_t n)
{
    int64_t wrong = 0, reached = 0;
    memo_t *m;

    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < n; i++)
            improve(expected + i * n, expected + k * n, k, n);
    for (int64_t i = 0; i < n; i++) {
        memo_folder_t folder = team_folder(team, FINAL, i);
        must(memo_get(team->space, &folder, &m), "waiting for a result");
        wrong += memcmp(memo_data(m), expected + i * n, (size_t)n * sizeof *expected) != 0;
        memo_free(m);
        for (int64_t j = 0; j < n; j++)
            reached += expected[i * n + j] < FAR;
    }
    for (int64_t k = 0; k < n; k++) { /* with all results there, nobody reads rows any more */
        memo_folder_t folder = team_folder(team, ROWS, k);
        must(memo_get(team->space, &folder, &m), "taking a row away");
        memo_free(m);
    }
    printf("%" PRId64 " vertices, %d processes, %" PRId64 " pairs connected, %" PRId64 " rows wrong\n", n,
           team->ranks, reached, wrong);
    return wrong;
}

int main(int argc, char *argv[])
{
    const char *uri = NULL;
    int processes = 4, option;
    int64_t n = 300, wrong = 0;
    team_t team;

    while ((option = getopt(argc, argv, "s:p:n:")) != -1) {
        switch (option) {
        case 's':
            uri = optarg;
            break;
        case 'p':
            processes = (int)number(optarg, 1, 1024);
            break;
        case 'n':
            n = number(optarg, 1, 10000);
            break;
        default:
            quit("usage: warshall [-s URI] [-p PROCESSES] [-n VERTICES]");
        }
    }
    team_open(&team, uri);
    team_fork(&team, processes);

    int32_t *distance = malloc((size_t)(n * n) * sizeof *distance);
    if (distance == NULL)
        quit("no memory for %" PRId64 " vertices", n);
    make_graph(distance, n, 42);
    for (int64_t k = 0; k < n; k++)
        step(&team, distance, k, n);
    for (int64_t i = team.rank; i < n; i += team.ranks) {
        memo_folder_t folder = team_folder(&team, FINAL, i);
        must(memo_write(team.space, &folder, distance + i * n, (size_t)n * sizeof *distance), "putting a result");
    }
    if (team.rank == 0) {
        make_graph(distance, n, 42);
        wrong = check(&team, distance, n);
    }
    free(distance);
    int status = team_close(&team);
    return wrong ? EXIT_FAILURE : status;
}
