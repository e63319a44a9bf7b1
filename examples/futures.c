/*
 * futures - call now, ask for the answer later.
 *
 * A future is a folder that will hold an answer. A call is a memo that says what to compute and which future to put
 * the answer into; any worker takes it. The caller goes on with something else, and waits when it touches a future
 * whose answer isn't there yet. An answer is read with memo_get_copy: it stays, for whoever else touches the
 * future.
 *
 * A call may also depend on an answer: future_call_after() hands it to memo_put_delayed, which puts it among the
 * calls once that future holds something. No process has to wait for that.
 *
 * Here the primes below two million are counted in pieces. There are 148,933.
 */
#include "team.h"

#include <getopt.h>
#include <inttypes.h>

enum { CALLS, FUTURES };
enum { PIECES = 40, LIMIT = 2000000, PRIMES_BELOW_LIMIT = 148933 };

typedef enum { COUNT_PRIMES, ADD_UP, GO_HOME } what_t;

typedef struct call {
    what_t what;
    int64_t from, to; /* numbers to look at; futures to add up */
    int64_t answer;   /* the future it is for */
} call_t;

/* ---- futures ------------------------------------------------------------------------------------------------ */

static memo_t *call_memo(const team_t *team, const call_t *call)
{
    memo_t *m;

    must(memo_alloc(team->space, sizeof *call, &m), "making a call");
    memcpy(memo_data(m), call, sizeof *call);
    return m;
}

static void future_call(const team_t *team, const call_t *call)
{
    memo_folder_t calls = team_folder(team, CALLS, 0);

    must(memo_put(team->space, &calls, call_memo(team, call)), "calling");
}

/* The same, but not before that other future has its answer. */
static void future_call_after(const team_t *team, int64_t other, const call_t *call)
{
    memo_folder_t calls = team_folder(team, CALLS, 0), trigger = team_folder(team, FUTURES, other);

    must(memo_put_delayed(team->space, &trigger, &calls, call_memo(team, call)), "calling after another");
}

static void future_answer(const team_t *team, int64_t future, int64_t answer)
{
    memo_folder_t folder = team_folder(team, FUTURES, future);

    must(memo_write(team->space, &folder, &answer, sizeof answer), "answering");
}

static int64_t future_touch(const team_t *team, int64_t future)
{
    memo_folder_t folder = team_folder(team, FUTURES, future);
    memo_t *m;

    must(memo_get_copy(team->space, &folder, &m), "waiting for an answer");
    int64_t answer = *(int64_t *)memo_data(m);
    memo_free(m);
    return answer;
}

/* For a future that nobody will touch again. */
static void future_forget(const team_t *team, int64_t future)
{
    memo_folder_t folder = team_folder(team, FUTURES, future);
    memo_t *m;

    must(memo_get(team->space, &folder, &m), "forgetting an answer");
    memo_free(m);
}

/* ---- what is computed --------------------------------------------------------------------------------------- */

static bool is_prime(int64_t n)
{
    if (n < 4)
        return n > 1;
    if (n % 2 == 0)
        return false;
    for (int64_t d = 3; d * d <= n; d += 2)
        if (n % d == 0)
            return false;
    return true;
}

static int64_t compute(const team_t *team, const call_t *call)
{
    int64_t answer = 0;

    for (int64_t i = call->from; i < call->to; i++)
        answer += call->what == COUNT_PRIMES ? is_prime(i) : future_touch(team, i);
    return answer;
}

static void work(const team_t *team)
{
    memo_folder_t calls = team_folder(team, CALLS, 0);
    memo_t *m;
    call_t call;

    for (;;) {
        must(memo_get(team->space, &calls, &m), "waiting for a call");
        memcpy(&call, memo_data(m), sizeof call);
        if (call.what == GO_HOME)
            break;
        future_answer(team, call.answer, compute(team, &call));
        memo_free(m); /* only now: had we died before, another would have had the call */
    }
    memo_free(m);
}

static bool ask(const team_t *team)
{
    int64_t sum = 0;

    for (int64_t i = 0; i < PIECES; i++)
        future_call(team, &(call_t){COUNT_PRIMES, i * LIMIT / PIECES, (i + 1) * LIMIT / PIECES, i});
    future_call_after(team, PIECES - 1, &(call_t){ADD_UP, 0, PIECES, PIECES});
    for (int64_t i = 0; i < PIECES; i++) /* while somebody else adds them up we do the same */
        sum += future_touch(team, i);
    int64_t told = future_touch(team, PIECES);
    for (int64_t i = 0; i <= PIECES; i++)
        future_forget(team, i);
    for (int i = 1; i < team->ranks; i++)
        future_call(team, &(call_t){.what = GO_HOME});
    printf("%" PRId64 " primes below %d by our count, %" PRId64 " by the worker's; %d workers\n", sum, (int)LIMIT,
           told, team->ranks - 1);
    return sum == told && sum == PRIMES_BELOW_LIMIT;
}

int main(int argc, char *argv[])
{
    const char *uri = NULL;
    int workers = 3, option;
    bool right = true;
    team_t team;

    while ((option = getopt(argc, argv, "s:p:")) != -1) {
        switch (option) {
        case 's':
            uri = optarg;
            break;
        case 'p':
            workers = (int)number(optarg, 1, 1023);
            break;
        default:
            quit("usage: futures [-s URI] [-p WORKERS]");
        }
    }
    team_open(&team, uri);
    if (!team.forked && team.ranks < 2)
        quit("somebody has to compute the answers: start two clients or more");
    team_fork(&team, workers + 1);
    if (team.rank == 0)
        right = ask(&team);
    else
        work(&team);
    int status = team_close(&team);
    return right ? status : EXIT_FAILURE;
}
