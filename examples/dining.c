/*
 * dining - the dining philosophers: each needs two forks at once, and nobody starves holding one.
 *
 * A fork is a memo in a folder of its own. A philosopher who reached for one after the other would, on the day they
 * are all hungry at once, hold one fork for ever. memo_get_all takes both or none, and while it waits it has taken
 * nothing: with it there is nothing to think about.
 *
 * Each fork notes who has it and how often it has been used, so that two who had it at once would be found out.
 */
#include "team.h"

#include <getopt.h>
#include <inttypes.h>

enum { FORKS, DONE };
enum { NOBODY = -1 };

typedef struct fork_note {
    int64_t used;
    int64_t user;
} fork_note_t;

/* Lays the table: before the philosophers come. */
static void lay_forks(const team_t *team, int64_t seats)
{
    fork_note_t clean = {0, NOBODY};

    for (int64_t i = 0; i < seats; i++) {
        memo_folder_t folder = team_folder(team, FORKS, i);
        must(memo_write(team->space, &folder, &clean, sizeof clean), "laying a fork");
    }
}

static void take_up(memo_t *m, int64_t user)
{
    fork_note_t *note = memo_data(m);

    if (note->user != NOBODY)
        quit("philosopher %" PRId64 " has a fork that philosopher %" PRId64 " is using", user, note->user);
    note->user = user;
    note->used++;
}

static void put_back(memo_t *m)
{
    ((fork_note_t *)memo_data(m))->user = NOBODY;
    must(memo_replace(m), "putting a fork back");
}

static void dine(const team_t *team, int64_t seats, int64_t meals)
{
    int64_t me = team->rank;
    memo_folder_t forks[2] = {team_folder(team, FORKS, me), team_folder(team, FORKS, (me + 1) % seats)};
    memo_t *held[2];

    for (int64_t meal = 0; meal < meals; meal++) {
        must(memo_get_all(team->space, forks, 2, held), "waiting for two forks");
        take_up(held[0], me);
        take_up(held[1], me);
        put_back(held[0]);
        put_back(held[1]);
    }
}

/* Takes the forks away when everybody has eaten. Each meal has used two. */
static bool clear_table(const team_t *team, int64_t seats, int64_t meals)
{
    memo_folder_t done = team_folder(team, DONE, 0);
    int64_t used = 0;
    memo_t *m;

    for (int64_t i = 0; i < seats; i++) {
        must(memo_get(team->space, &done, &m), "waiting for the others");
        memo_free(m);
    }
    for (int64_t i = 0; i < seats; i++) {
        memo_folder_t folder = team_folder(team, FORKS, i);
        must(memo_get(team->space, &folder, &m), "taking a fork away");
        used += ((fork_note_t *)memo_data(m))->used;
        memo_free(m);
    }
    printf("%" PRId64 " philosophers had %" PRId64 " meals each; the forks were used %" PRId64 " times, expected "
           "%" PRId64 "\n",
           seats, meals, used, 2 * seats * meals);
    return used == 2 * seats * meals;
}

int main(int argc, char *argv[])
{
    const char *uri = NULL;
    int processes = 5, option;
    int64_t meals = 2000;
    bool right = true;
    team_t team;

    while ((option = getopt(argc, argv, "s:p:n:")) != -1) {
        switch (option) {
        case 's':
            uri = optarg;
            break;
        case 'p':
            processes = (int)number(optarg, 2, 1024);
            break;
        case 'n':
            meals = number(optarg, 1, 1000000000);
            break;
        default:
            quit("usage: dining [-s URI] [-p PHILOSOPHERS] [-n MEALS]");
        }
    }
    team_open(&team, uri);
    int64_t seats = team.forked ? processes : team.ranks;
    if (seats < 2)
        quit("philosophers who dine alone have one fork and go hungry");
    if (team.rank == 0)
        lay_forks(&team, seats);
    team_fork(&team, processes);

    memo_folder_t done = team_folder(&team, DONE, 0);
    dine(&team, seats, meals);
    must(memo_write(team.space, &done, NULL, 0), "saying that we are done");
    if (team.rank == 0)
        right = clear_table(&team, seats, meals);
    int status = team_close(&team);
    return right ? status : EXIT_FAILURE;
}
