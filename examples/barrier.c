/*
 * barrier - nobody goes on until all have come, built of two folders.
 *
 * One memo counts who has come: a process takes it, adds one, and replaces it. Who finds himself the last sets it
 * back to none and opens the gate of this episode by putting a memo there. All others wait at the gate with
 * memo_get_copy: one put serves everybody who waits, and stays for whoever is late. The last to come to the next
 * barrier shuts this gate: everybody who comes there has gone through it.
 *
 * To see that it holds, each process writes down which round it is in; after the barrier nobody may be behind.
 */
#include "team.h"

#include <getopt.h>
#include <inttypes.h>

enum { COUNT, GATES, ROUNDS, DONE };

typedef struct barrier {
    const team_t *team;
    int64_t episode;
} barrier_t;

static void barrier_make(const team_t *team)
{
    memo_folder_t count = team_folder(team, COUNT, 0);
    int64_t nobody = 0;

    must(memo_write(team->space, &count, &nobody, sizeof nobody), "making the barrier");
}

/* Takes away what lies in a folder that will not be needed again. */
static void clear(const team_t *team, int64_t purpose, int64_t index)
{
    memo_folder_t folder = team_folder(team, purpose, index);
    memo_t *m;

    must(memo_get(team->space, &folder, &m), "clearing up");
    memo_free(m);
}

static void barrier_wait(barrier_t *barrier)
{
    const team_t *team = barrier->team;
    memo_folder_t count = team_folder(team, COUNT, 0);
    memo_folder_t gate = team_folder(team, GATES, barrier->episode);
    memo_t *m;

    must(memo_get(team->space, &count, &m), "coming to the barrier");
    int64_t *come = memo_data(m);
    bool last = ++*come == team->ranks;
    if (last)
        *come = 0;
    must(memo_replace(m), "counting");
    if (last) {
        if (barrier->episode > 0)
            clear(team, GATES, barrier->episode - 1);
        must(memo_write(team->space, &gate, NULL, 0), "opening the gate");
    } else {
        must(memo_get_copy(team->space, &gate, &m), "waiting at the gate");
        memo_free(m);
    }
    barrier->episode++;
}

/* Writes down this process's round, or takes it from there to write down the next. */
static void write_round(const team_t *team, int64_t round)
{
    memo_folder_t mine = team_folder(team, ROUNDS, team->rank);
    memo_t *m;

    if (round == 0) {
        must(memo_write(team->space, &mine, &round, sizeof round), "writing the first round");
        return;
    }
    must(memo_get(team->space, &mine, &m), "taking our round");
    *(int64_t *)memo_data(m) = round;
    must(memo_replace(m), "replacing our round");
}

/* After the barrier everybody has written this round; some may be in the next one already. */
static int64_t count_strays(const team_t *team, int64_t round)
{
    int64_t strays = 0;
    memo_t *m;

    for (int64_t i = 0; i < team->ranks; i++) {
        memo_folder_t folder = team_folder(team, ROUNDS, i);
        must(memo_get_copy(team->space, &folder, &m), "looking at another's round");
        int64_t other = *(int64_t *)memo_data(m);
        strays += other < round || other > round + 1;
        memo_free(m);
    }
    return strays;
}

/* When everybody is done nobody needs the folders any more. */
static void clear_all(const team_t *team, int64_t rounds)
{
    for (int i = 0; i < team->ranks; i++)
        clear(team, DONE, 0);
    for (int i = 0; i < team->ranks; i++)
        clear(team, ROUNDS, i);
    clear(team, GATES, rounds - 1);
    clear(team, COUNT, 0);
}

int main(int argc, char *argv[])
{
    const char *uri = NULL;
    int processes = 4, option;
    int64_t rounds = 500, strays = 0;
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
            rounds = number(optarg, 1, 1000000000);
            break;
        default:
            quit("usage: barrier [-s URI] [-p PROCESSES] [-n ROUNDS]");
        }
    }
    team_open(&team, uri);
    if (team.rank == 0)
        barrier_make(&team);
    team_fork(&team, processes);

    barrier_t barrier = {&team, 0};
    for (int64_t round = 0; round < rounds; round++) {
        write_round(&team, round);
        barrier_wait(&barrier);
        strays += count_strays(&team, round);
    }
    if (strays > 0)
        quit("rank %d saw %" PRId64 " times that the barrier didn't hold", team.rank, strays);
    memo_folder_t done = team_folder(&team, DONE, 0);
    must(memo_write(team.space, &done, NULL, 0), "saying that we are done");
    if (team.rank == 0) {
        clear_all(&team, rounds);
        printf("%d processes went through %" PRId64 " rounds together\n", team.ranks, rounds);
    }
    return team_close(&team);
}
