/*
 * record - shared records without locks: who takes one has it, changes it in place, and puts it back.
 *
 * N processes move money between M accounts. An account is a memo in a folder of its own. While a process holds it
 * nobody else can: there is no lock to take, to forget or to leave behind, and no update is lost. The bytes that
 * are changed are those in the space; nothing is copied. memo_replace puts the memo back into the folder it came
 * from.
 *
 * Two accounts are taken together with memo_get_all, so that no sum is ever on its way between two of them. A look
 * at an account is a copy, which does not disturb anybody.
 */
#include "team.h"

#include <getopt.h>
#include <inttypes.h>

enum { ACCOUNTS, DONE };
enum { OPENING_BALANCE = 1000 };

typedef struct account {
    int64_t balance;
    int64_t in, out; /* all that ever came and went: balance is always the opening's plus in minus out */
    int64_t changes;
} account_t;

typedef struct plan {
    int64_t accounts, transfers; /* transfers by each process */
} plan_t;

static void open_accounts(const team_t *team, int64_t accounts)
{
    account_t account = {.balance = OPENING_BALANCE};

    for (int64_t i = 0; i < accounts; i++) {
        memo_folder_t folder = team_folder(team, ACCOUNTS, i);
        must(memo_write(team->space, &folder, &account, sizeof account), "opening an account");
    }
}

static void transfer(const team_t *team, int64_t from, int64_t to, int64_t sum)
{
    memo_folder_t folders[2] = {team_folder(team, ACCOUNTS, from), team_folder(team, ACCOUNTS, to)};
    memo_t *m[2];

    must(memo_get_all(team->space, folders, 2, m), "taking two accounts");
    account_t *payer = memo_data(m[0]), *payee = memo_data(m[1]);
    payer->balance -= sum;
    payer->out += sum;
    payer->changes++;
    payee->balance += sum;
    payee->in += sum;
    payee->changes++;
    must(memo_replace(m[0]), "replacing the payer's account");
    must(memo_replace(m[1]), "replacing the payee's account");
}

/* A change of one record: get, change, replace. */
static void note_visit(const team_t *team, int64_t account)
{
    memo_folder_t folder = team_folder(team, ACCOUNTS, account);
    memo_t *m;

    must(memo_get(team->space, &folder, &m), "taking an account");
    ((account_t *)memo_data(m))->changes++;
    must(memo_replace(m), "replacing an account");
}

/* A copy is whole: nobody is ever seen half-way through a change. */
static void look(const team_t *team, int64_t account)
{
    memo_folder_t folder = team_folder(team, ACCOUNTS, account);
    memo_t *m;

    must(memo_get_copy(team->space, &folder, &m), "looking at an account");
    const account_t *seen = memo_data(m);
    if (seen->balance != OPENING_BALANCE + seen->in - seen->out)
        quit("account %" PRId64 " was seen with a balance of %" PRId64 " that its books don't explain", account,
             seen->balance);
    memo_free(m);
}

static void trade(const team_t *team, const plan_t *plan)
{
    uint64_t random = 88172645463325252U + (uint64_t)team->rank;

    for (int64_t i = 0; i < plan->transfers; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        int64_t from = (int64_t)((random >> 33) % (uint64_t)plan->accounts);
        int64_t to = (from + 1 + (int64_t)((random >> 20) % (uint64_t)(plan->accounts - 1))) % plan->accounts;
        transfer(team, from, to, (int64_t)(random >> 60));
        note_visit(team, to);
        look(team, from);
    }
}

/* Closes the books when everybody is done: no change may be missing, and no money. */
static bool audit(const team_t *team, const plan_t *plan)
{
    memo_folder_t done = team_folder(team, DONE, 0);
    int64_t changes = 0, money = 0;
    memo_t *m;

    for (int i = 0; i < team->ranks; i++) {
        must(memo_get(team->space, &done, &m), "waiting for the others");
        memo_free(m);
    }
    for (int64_t i = 0; i < plan->accounts; i++) {
        memo_folder_t folder = team_folder(team, ACCOUNTS, i);
        must(memo_get(team->space, &folder, &m), "closing an account");
        const account_t *account = memo_data(m);
        changes += account->changes;
        money += account->balance;
        memo_free(m);
    }
    int64_t expected = 3 * plan->transfers * team->ranks;
    printf("%d processes, %" PRId64 " accounts: %" PRId64 " changes, expected %" PRId64 "; %" PRId64 " in all, "
           "expected %" PRId64 "\n",
           team->ranks, plan->accounts, changes, expected, money, plan->accounts * OPENING_BALANCE);
    return changes == expected && money == plan->accounts * OPENING_BALANCE;
}

int main(int argc, char *argv[])
{
    const char *uri = NULL;
    int processes = 4, option;
    plan_t plan = {10, 5000};
    bool right = true;
    team_t team;

    while ((option = getopt(argc, argv, "s:p:m:n:")) != -1) {
        switch (option) {
        case 's':
            uri = optarg;
            break;
        case 'p':
            processes = (int)number(optarg, 1, 1024);
            break;
        case 'm':
            plan.accounts = number(optarg, 2, 1000000);
            break;
        case 'n':
            plan.transfers = number(optarg, 1, 1000000000);
            break;
        default:
            quit("usage: record [-s URI] [-p PROCESSES] [-m ACCOUNTS] [-n TRANSFERS]");
        }
    }
    team_open(&team, uri);
    if (team.rank == 0)
        open_accounts(&team, plan.accounts);
    team_fork(&team, processes);

    memo_folder_t done = team_folder(&team, DONE, 0);
    trade(&team, &plan);
    must(memo_write(team.space, &done, NULL, 0), "saying that we are done");
    if (team.rank == 0)
        right = audit(&team, &plan);
    int status = team_close(&team);
    return right ? status : EXIT_FAILURE;
}
