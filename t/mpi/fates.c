/*
 * fates.c - a rank of t/mpi_deaths.sh: one death, or end, at a chosen moment. The moment is made by stopping
 * processes (SIGSTOP), so that what they were sent stays unread.
 *
 *   fates URI FATE
 *
 * The first client judges and prints TAP, the last one, the victim, suffers the fate, whose name is that of a
 * function below; the others are only there. Ranks find one another's processes in a file in MEMO_TEST_ROOM.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "libmemo/memo_mpi.h"
#include "libmemo/wire/message.h"
#include "t/tap.h"

enum { RANKS = 16, MS = 1000000 };

#define PATIENCE (INT64_C(5000) * MS)

typedef struct board {
    _Atomic int32_t pid[RANKS]; /* by rank in the job */
    _Atomic uint32_t client[RANKS];
    _Atomic uint32_t step; /* of judge and victim, in turn */
    _Atomic uint32_t judged;
    _Atomic uint32_t ready, beside; /* clients that are there; others that are done */
} board_t;

static board_t *board;
static memo_space_t *s;
static memo_folder_t a, b;
static int me, ranks, job_ranks;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void nap(int64_t ns)
{
    nanosleep(&(struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}, NULL);
}

static void await(uint32_t step)
{
    int64_t end = now_ns() + PATIENCE;
    while (board->step < step && now_ns() < end)
        nap(MS);
}

static int pid_of_client(int client)
{
    for (int i = 0, n = 0; i < job_ranks; i++)
        if (board->client[i] && n++ == client)
            return board->pid[i];
    return 0;
}

static void signal_servers(int number)
{
    for (int i = 0; i < job_ranks; i++)
        if (!board->client[i])
            kill(board->pid[i], number);
    nap(5 * MS);
}

static int victim_pid(void)
{
    return pid_of_client(ranks - 1);
}

static void kill_victim(void)
{
    int pid = victim_pid();
    int64_t end = now_ns() + PATIENCE;
    kill(pid, SIGKILL);
    while (kill(pid, 0) == 0 && now_ns() < end)
        nap(MS);
}

static int put_text(const memo_folder_t *f, const char *text)
{
    return memo_write(s, f, text, strlen(text) + 1);
}

static bool is_text(memo_t *m, const char *text)
{
    return memo_size(m) == strlen(text) + 1 && strcmp(memo_data(m), text) == 0;
}

/* Whether that is what comes from the folder, marked or not; and it alone. */
static bool comes(const memo_folder_t *f, const char *text, bool marked)
{
    memo_t *m = NULL;
    int rc = memo_get_for(s, f, &m, PATIENCE);
    if (rc != MEMO_OK) {
        tap_diag("%s: %s", text, memo_strerror(rc));
        return false;
    }
    bool right = is_text(m, text) && (memo_redeliveries(m) > 0) == marked;
    if (!right)
        tap_diag("'%.*s' came, %u times redelivered", (int)memo_size(m), (char *)memo_data(m),
                 memo_redeliveries(m));
    memo_free(m);
    return right;
}

static memo_t *take(const memo_folder_t *f)
{
    memo_t *m = NULL;
    memo_get_for(s, f, &m, PATIENCE);
    return m;
}

static void stay(void)
{
    for (;;)
        nap(INT64_C(1000) * MS);
}

static bool is_judge(void)
{
    return me == 0;
}

static bool is_victim(void)
{
    return me == ranks - 1;
}

/* ---- messages in flight ------------------------------------------------------------------------------------ */

/* The victim takes what is in a and puts it into b, where there is no room. */
static bool puts_in_vain(void)
{
    if (is_victim()) {
        memo_t *m = take(&a);
        board->step = 1;
        await(2);
        memo_put(s, &b, m);
        stay();
    }
    if (is_judge()) {
        memo_limit(s, &b, 1, 0);
        put_text(&b, "full");
        put_text(&a, "token");
        await(1);
        signal_servers(SIGSTOP);
        board->step = 2;
        nap(50 * MS);
    }
    return is_judge();
}

static void judge_refused(const char *what)
{
    tap_ok(comes(&a, "token", true), "%s", what);
    tap_ok(comes(&b, "full", false), "the folder it was for has what it had");
    memo_limit(s, &b, 0, 0);
}

/* A put that is refused after its caller has died: the memo is again what he held. */
static void refused(void)
{
    if (!puts_in_vain())
        return;
    kill_victim();
    signal_servers(SIGCONT);
    judge_refused("a put that is refused when its caller is dead goes back to where it came from");
}

/* One that was refused, who has not read that yet. */
static void refusal_unread(void)
{
    if (!puts_in_vain())
        return;
    kill(victim_pid(), SIGSTOP);
    signal_servers(SIGCONT);
    nap(100 * MS);
    kill_victim();
    judge_refused("a put that was refused, as its caller never read, goes back to where it came from");
}

/* The same where the dead take with them what they held (on_death=drop): it is counted. A memo that was in the
 * space never is nobody's. */
static void dropped(void)
{
    memo_stat_t st = {0};
    if (is_victim()) {
        memo_t *m[3] = {take(&a), NULL, take(&a)};
        memo_alloc(s, 10, &m[1]);
        board->step = 1;
        await(2);
        memo_put_start(s, &b, m[0]);
        memo_put_start(s, &b, m[1]);
        memo_flush(s);
        stay();
    }
    if (!is_judge())
        return;
    memo_limit(s, &b, 1, 0);
    put_text(&b, "full");
    put_text(&a, "token");
    put_text(&a, "held");
    await(1);
    signal_servers(SIGSTOP);
    board->step = 2;
    nap(50 * MS);
    kill(victim_pid(), SIGSTOP);
    signal_servers(SIGCONT);
    nap(100 * MS);
    kill_victim();
    for (int64_t end = now_ns() + PATIENCE; st.dropped < 2 && now_ns() < end; nap(MS))
        memo_stat(s, &st, sizeof st);
    nap(200 * MS);
    memo_stat(s, &st, sizeof st);
    tap_is_int((int)st.dropped, 2, "what the dead had taken, held or put in vain, is dropped and counted");
    tap_is_int((int)st.memos, 1, "nothing comes back");
    memo_limit(s, &b, 0, 0);
    tap_ok(comes(&b, "full", false), "the others' is there");
}

/* What is in a and in b, once it is in one of them; and then no more comes. */
static void count_both(uint64_t *in_a, uint64_t *in_b)
{
    *in_a = *in_b = 0;
    for (int64_t end = now_ns() + PATIENCE; *in_a + *in_b == 0 && now_ns() < end; nap(MS)) {
        memo_count(s, &a, in_a, NULL);
        memo_count(s, &b, in_b, NULL);
    }
    nap(300 * MS);
    memo_count(s, &a, in_a, NULL);
    memo_count(s, &b, in_b, NULL);
}

/* A memo of a that the victim puts into b is in one of them: as it was put, or marked in its old folder. */
static bool is_in_one(bool (*it_comes)(const memo_folder_t *f, bool marked))
{
    uint64_t in_a, in_b;
    count_both(&in_a, &in_b);
    if (in_a + in_b == 1 && (in_b == 1 ? it_comes(&b, false) : it_comes(&a, true)))
        return true;
    tap_diag("%d in the old folder, %d in the new one", (int)in_a, (int)in_b);
    return false;
}

static bool token_comes(const memo_folder_t *f, bool marked)
{
    return comes(f, "token", marked);
}

/* The victim takes what is in a and puts it into b while the servers are stopped. */
static bool puts_unread(void)
{
    if (is_victim()) {
        memo_t *m = take(&a);
        board->step = 1;
        await(2);
        memo_put(s, &b, m);
        stay();
    }
    if (is_judge()) {
        await(1);
        signal_servers(SIGSTOP);
        board->step = 2;
        nap(50 * MS);
    }
    return is_judge();
}

/* A put whose caller is found dead before the server has read it: it has taken effect, or never will. */
static void unread_put(void)
{
    if (is_judge())
        put_text(&a, "token");
    if (!puts_unread())
        return;
    kill_victim();
    signal_servers(SIGCONT);
    tap_ok(is_in_one(token_comes), "a put of the dead that was not read yet: the memo is there once");
}

/* A put that has taken effect, whose caller has not read that. */
static void unread_done(void)
{
    if (is_judge())
        put_text(&a, "token");
    if (!puts_unread())
        return;
    kill(victim_pid(), SIGSTOP);
    signal_servers(SIGCONT);
    nap(100 * MS);
    kill_victim();
    tap_ok(is_in_one(token_comes), "a put that has taken effect, as its dead caller never read: it is there once");
}

/* ---- a memo in pieces -------------------------------------------------------------------------------------- */

enum { LARGE = 3000000 };

static void put_large(const memo_folder_t *f)
{
    memo_t *m = NULL;
    memo_alloc(s, LARGE, &m);
    unsigned char *bytes = memo_data(m);
    for (int i = 0; i < LARGE; i++)
        bytes[i] = (unsigned char)(i % 251);
    memo_put(s, f, m);
}

static bool large_comes(const memo_folder_t *f, bool marked)
{
    memo_t *m = take(f);
    if (m == NULL || memo_size(m) != LARGE)
        return false;
    const unsigned char *bytes = memo_data(m);
    bool right = (memo_redeliveries(m) > 0) == marked;
    for (int i = 0; i < LARGE && right; i++)
        right = bytes[i] == (unsigned char)(i % 251);
    memo_free(m);
    return right;
}

/* What the server was sent last of it is a part of a message. */
static void torn_put(void)
{
    if (is_judge())
        put_large(&a);
    if (!puts_unread())
        return;
    kill_victim();
    signal_servers(SIGCONT);
    tap_ok(is_in_one(large_comes),
           "a put of the dead whose bytes have not all left: it happens wholly or not at all");
}

/* Of the victim's node, all but one client are stopped when it dies. That one finds it dead, and is killed when it
 * has sent back but a part of what the victim had: the others have to do that again. */
static void repairer_killed(void)
{
    int repairer = ranks - 2;
    if (is_victim()) {
        take(&a);
        board->step = 1;
        stay();
    }
    if (!is_judge())
        return;
    put_large(&a);
    await(1);
    nap(50 * MS);
    signal_servers(SIGSTOP);
    for (int i = ranks / 2; i < repairer; i++)
        kill(pid_of_client(i), SIGSTOP);
    kill_victim();
    nap(500 * MS);
    kill(pid_of_client(repairer), SIGKILL);
    for (int i = ranks / 2; i < repairer; i++)
        kill(pid_of_client(i), SIGCONT);
    nap(500 * MS);
    signal_servers(SIGCONT);
    tap_ok(is_in_one(large_comes), "who sends back what the dead had dies of it: it comes back all the same");
    memo_stat_t st = {0};
    for (int64_t end = now_ns() + PATIENCE; st.clients != (unsigned)ranks - 2 && now_ns() < end; nap(MS))
        memo_stat(s, &st, sizeof st);
    tap_is_int((int)st.clients, ranks - 2, "both are known to be dead");
}

/* The same, while others wait until quiet and find the death before the server reads: it is not quiet. */
static void overtaken(void)
{
    memo_select_t select = MEMO_SELECT_INIT;
    memo_t *m = NULL;
    int rc;
    select.folders = &b;
    select.count = 1;
    select.when_empty = MEMO_UNTIL_QUIET;
    if (is_victim()) {
        m = take(&a);
        board->step = 1;
        await(2);
        memo_put(s, &b, m);
        stay();
    }
    if (is_judge()) {
        put_text(&a, "token");
        await(1);
    }
    if (ranks > 2 && me == 1) {
        /* All others wait; then this. */
        await(1);
        nap(200 * MS);
        signal_servers(SIGSTOP);
        board->step = 2;
        nap(50 * MS);
        kill_victim();
        nap(400 * MS); /* they find it dead */
        signal_servers(SIGCONT);
    }
    rc = memo_select(s, &select, &m, NULL);
    if (rc == MEMO_OK) {
        board->step = 3;
        memo_free(m);
        rc = memo_select(s, &select, &m, NULL);
    }
    if (is_judge()) {
        uint64_t left = 9;
        tap_is_int(rc, MEMO_QUIET, "then it is quiet");
        memo_count(s, &b, &left, NULL);
        tap_ok(board->step == 3 && left == 0, "it is not quiet before what the dead have sent is read");
    }
}

/* An answer with a memo that its receiver has not read when he dies. */
static void unread_answer(void)
{
    if (is_victim()) {
        board->step = 1;
        take(&a);
        stay();
    }
    if (!is_judge())
        return;
    uint64_t waiters = 0;
    await(1);
    while (waiters == 0) {
        memo_count(s, &a, NULL, &waiters);
        nap(MS);
    }
    kill(victim_pid(), SIGSTOP);
    nap(20 * MS);
    tap_is_int(put_text(&a, "token"), MEMO_OK, "somebody who is stopped is given a memo");
    nap(50 * MS);
    kill_victim();
    tap_ok(comes(&a, "token", true), "killed before he saw it, he leaves it to others, marked");
}

/* ---- the dead and what they held --------------------------------------------------------------------------- */

static void holding(void)
{
    if (is_victim()) {
        take(&a);
        take(&b);
        board->step = 1;
        stay();
    }
    if (!is_judge())
        return;
    put_text(&a, "token");
    put_text(&b, "other");
    await(1);
    int64_t began = now_ns();
    kill_victim();
    tap_ok(comes(&a, "token", true) && comes(&b, "other", true), "what the dead held goes back to its folders");
    tap_diag("in %d ms", (int)((now_ns() - began) / MS));
}

/* All others wait until quiet when somebody dies who holds a memo: they are given that before it is quiet. */
static void quiet_held(void)
{
    memo_select_t select = MEMO_SELECT_INIT;
    memo_t *m = NULL;
    if (is_victim()) {
        m = take(&a);
        board->step = 1;
        stay();
    }
    if (is_judge())
        put_text(&a, "token");
    await(1);
    if (me == 1) { /* the last to wait */
        nap(200 * MS + getpid() % 256 * MS);
        kill_victim();
    }
    select.folders = &a;
    select.count = 1;
    select.when_empty = MEMO_UNTIL_QUIET;
    int rc = memo_select(s, &select, &m, NULL);
    if (rc == MEMO_OK) {
        board->step = 3;
        memo_free(m);
        rc = memo_select(s, &select, &m, NULL);
    }
    if (is_judge()) {
        tap_is_int(rc, MEMO_QUIET, "then it is quiet");
        tap_is_int((int)board->step, 3, "it is not quiet before what the dead held is back");
    }
}

/* All clients of a node without a server die: the second half. What they hold goes with the node; the others go on.
 */
static void whole_node(void)
{
    memo_select_t select = MEMO_SELECT_INIT;
    memo_t *m = NULL;
    if (me >= ranks / 2) {
        take(&a);
        board->beside++;
        stay();
    }
    if (is_judge()) {
        for (int i = ranks / 2; i < ranks; i++)
            put_text(&a, "token");
        while ((int)board->beside < ranks - ranks / 2)
            nap(MS);
        for (int i = ranks / 2; i < ranks; i++)
            kill(pid_of_client(i), SIGKILL);
    }
    select.folders = &b;
    select.count = 1;
    select.when_empty = MEMO_UNTIL_QUIET;
    int rc = memo_select(s, &select, &m, NULL);
    if (is_judge())
        tap_is_int(rc, MEMO_QUIET, "all clients of a node die: the others go on until quiet");
}

/* ---- leaving without a word -------------------------------------------------------------------------------- */

static bool leaves_holding(void)
{
    if (is_victim()) {
        take(&a);
        board->step = 1;
        return true;
    }
    if (is_judge()) {
        put_text(&a, "token");
        await(1);
        tap_ok(comes(&a, "token", true), "what somebody held who leaves without closing goes back, marked");
    }
    return false;
}

static void exit_0(void)
{
    if (leaves_holding())
        exit(0);
}

static void exit_3(void)
{
    if (leaves_holding())
        exit(3);
}

static void quick_exit_0(void)
{
    if (leaves_holding())
        _exit(0);
}

static void killed(void)
{
    if (leaves_holding())
        kill(getpid(), SIGKILL);
}

static void aborted(void)
{
    if (leaves_holding())
        abort();
}

static void forked(void)
{
    if (is_victim()) {
        memo_t *m = take(&a);
        pid_t child = fork();
        int status = -1;
        if (child == 0)
            exit(0);
        waitpid(child, &status, 0);
        child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, &status, 0);
        nap(300 * MS);
        board->step = memo_put(s, &b, m) == MEMO_OK ? 1 : 2;
        return;
    }
    if (is_judge()) {
        put_text(&a, "token");
        tap_ok(comes(&b, "token", false), "a child that exits takes nothing along");
        await(1);
        tap_is_int((int)board->step, 1, "its parent goes on");
    }
}

/* ---- servers ----------------------------------------------------------------------------------------------- */

/* All clients wait at the servers, which are killed: MEMO_EPEER, soon. */
static void servers_killed(void)
{
    memo_t *m = NULL;
    if (me == ranks - 1) {
        nap(300 * MS);
        signal_servers(SIGKILL);
        board->step = 1;
    }
    int rc = memo_get_for(s, &a, &m, PATIENCE);
    int64_t began = now_ns();
    int again = put_text(&b, "token");
    if (rc == MEMO_EPEER && again == MEMO_EPEER && now_ns() - began < PATIENCE)
        board->beside++;
    else
        fprintf(stderr, "# client %d: %s, %s\n", me, memo_strerror(rc), memo_strerror(again));
    for (int64_t end = now_ns() + PATIENCE; (int)board->beside < ranks && now_ns() < end;)
        nap(MS);
    if (is_judge())
        tap_is_int((int)board->beside, ranks, "without servers calls answer MEMO_EPEER");
}

/* A folder of that server of two. */
static memo_folder_t folder_of(uint32_t server)
{
    memo_folder_t f;
    char name[32];
    int i = 0;
    do {
        snprintf(name, sizeof name, "server %d", i++);
        f = memo_folder(name);
    } while (wire_server_of(&f, 2) != server);
    return f;
}

static void kill_server(uint32_t server)
{
    for (int i = 0; i < job_ranks; i++)
        if (!board->client[i] && server-- == 0)
            kill(board->pid[i], SIGKILL);
}

/* Every kind of call that needs the dead one, and says so in a sentence; and one that does not. */
static bool end_without(const memo_folder_t *alive, const memo_folder_t *dead)
{
    const memo_folder_t f[2] = {*alive, *dead}, g[2] = {*dead, *alive};
    memo_select_t select = MEMO_SELECT_INIT;
    memo_t *m[2] = {NULL, NULL}, *put = NULL;
    bool right;
    select.folders = alive;
    select.count = 1;
    select.when_empty = MEMO_UNTIL_QUIET;
    memo_alloc(s, 8, &put);
    right = memo_strict_alt_skip(s, f, 2, m, NULL) == MEMO_EPEER && strstr(memo_errmsg(), "gone") != NULL &&
            memo_strict_alt_skip(s, g, 2, m, NULL) == MEMO_EPEER && memo_alt_skip(s, f, 2, m, NULL) == MEMO_EPEER &&
            memo_get_all_for(s, f, 2, m, 0) == MEMO_EPEER && memo_get_skip(s, dead, m) == MEMO_EPEER &&
            memo_put_delayed(s, alive, dead, put) == MEMO_EPEER &&
            memo_put_delayed(s, dead, alive, put) == MEMO_EPEER && memo_select(s, &select, m, NULL) == MEMO_EPEER &&
            memo_get_skip(s, alive, m) == MEMO_NONE;
    memo_free(put);
    return right;
}

/* One of two servers is killed while clients wait at both: what needs it ends, and leaves nothing at the other. */
static void killed_of_two(uint32_t server)
{
    const memo_folder_t f[2] = {folder_of(0), folder_of(1)}, *alive = &f[1 - server], *dead = &f[server];
    uint64_t memos = 9, waiters = 9;
    memo_t *m[2] = {NULL, NULL};
    if (is_judge() && memo_put_delayed(s, alive, dead, take(&a)) != MEMO_OK)
        fprintf(stderr, "# no delayed put: %s\n", memo_errmsg());
    if (is_victim()) {
        put_text(&a, "delayed");
        while (waiters != (uint64_t)ranks - 1) {
            memo_count(s, alive, NULL, &waiters);
            nap(MS);
        }
        kill_server(server);
    }
    int rc = me % 2 == 0 ? memo_alt_for(s, f, 2, m, NULL, PATIENCE) : memo_alt(s, f, 2, m, NULL);
    if (rc == MEMO_EPEER && end_without(alive, dead))
        board->beside++;
    else
        fprintf(stderr, "# client %d: %s\n", me, memo_strerror(rc));
    for (int64_t end = now_ns() + PATIENCE; (int)board->beside < ranks && now_ns() < end;)
        nap(MS);
    if (!is_judge())
        return;
    tap_is_int((int)board->beside, ranks, "calls that need a dead server answer MEMO_EPEER, others go on");
    for (int64_t end = now_ns() + PATIENCE; waiters != 0 && now_ns() < end; nap(MS))
        memo_count(s, alive, &memos, &waiters);
    tap_is_int((int)waiters, 0, "nothing of them is left at the other server");
    tap_is_int(put_text(alive, "token"), MEMO_OK, "which takes a put, though what that fires is lost");
    tap_ok(comes(alive, "token", false), "and serves");
}

static void one_server_killed(void)
{
    killed_of_two(0);
}

static void other_server_killed(void)
{
    killed_of_two(1);
}

/* A strict skip has gone on from the first server to the second, which is stopped, and killed: the first one's
 * folder does not stay locked. */
static void killed_in_chain(void)
{
    const memo_folder_t f[2] = {folder_of(0), folder_of(1)};
    memo_t *m = NULL;
    int pid = 0;
    for (int i = 0; i < job_ranks; i++)
        if (!board->client[i])
            pid = board->pid[i];
    if (is_victim()) {
        await(1);
        int rc = memo_strict_alt_skip(s, f, 2, &m, NULL);
        fprintf(stderr, "# %s\n", memo_errmsg());
        board->step = rc == MEMO_EPEER ? 2 : 3;
    }
    if (!is_judge())
        return;
    memo_count(s, &f[1], NULL, NULL); /* it serves: its guard knows that it is there */
    kill(pid, SIGSTOP);
    board->step = 1;
    nap(100 * MS);
    kill(pid, SIGKILL);
    await(2);
    tap_is_int((int)board->step, 2, "a strict skip whose next server dies answers MEMO_EPEER");
    tap_is_int(put_text(&f[0], "token"), MEMO_OK, "its folder at the first is free again");
    tap_ok(comes(&f[0], "token", false), "and serves");
}

/* So many come from the folder; of what else is there, none counts. */
static int tokens(const memo_folder_t *f)
{
    int n = 0;
    memo_t *m = NULL;
    while (memo_get_skip(s, f, &m) == MEMO_OK) {
        n += is_text(m, "token");
        memo_free(m);
    }
    return n;
}

/* What the victim takes from the other node's server it puts into its own node's, while word of its arrival is
 * behind a large memo that never leaves. */
static void unsaid(void)
{
    const memo_folder_t f[2] = {folder_of(0), folder_of(1)};
    int pid = 0;
    for (int i = job_ranks; i-- > 0;)
        if (!board->client[i])
            pid = board->pid[i]; /* server 0 */
    if (is_victim()) {
        memo_select_t select = MEMO_SELECT_INIT;
        memo_request_t *r = NULL;
        memo_t *m = NULL, *large = NULL;
        select.folders = &f[0];
        select.count = 1;
        memo_alloc(s, LARGE, &large);
        memo_start(s, &select, &r);
        board->step = 1;
        await(2);
        memo_put_start(s, &f[0], large);
        board->step = memo_wait(r, &m, NULL, PATIENCE) == MEMO_OK && memo_put(s, &f[1], m) == MEMO_OK ? 3 : 4;
        stay();
    }
    if (!is_judge())
        return;
    await(1);
    nap(50 * MS);
    put_text(&f[0], "token");
    nap(20 * MS);
    kill(pid, SIGSTOP);
    board->step = 2;
    await(3);
    kill_victim();
    kill(pid, SIGCONT);
    nap(500 * MS);
    tap_is_int((int)board->step, 3, "somebody takes from a server, which never hears that it has arrived");
    tap_ok(tokens(&f[0]) == 0 && tokens(&f[1]) == 1,
           "and puts it into another one's folder before he dies: there it is, alone");
}

/* What the victim takes from its own node's server does not get to the other one's whole: that one passes it on,
 * back to its folder; and it is quiet only once it was there, and then it is. */
static void passed_on(void)
{
    const memo_folder_t f[2] = {folder_of(0), folder_of(1)};
    memo_select_t select = MEMO_SELECT_INIT;
    memo_t *m = NULL;
    int pid = 0, rc;
    for (int i = job_ranks; i-- > 0;)
        if (!board->client[i])
            pid = board->pid[i]; /* server 0 */
    if (is_victim()) {
        m = take(&f[1]);
        board->step = 1;
        await(2);
        memo_put(s, &f[0], m);
        stay();
    }
    if (is_judge())
        put_large(&f[1]);
    await(1);
    if (is_judge()) {
        nap(200 * MS); /* all others wait */
        kill(pid, SIGSTOP);
        board->step = 2;
        nap(50 * MS);
        kill_victim();
        kill(pid, SIGCONT);
    }
    select.folders = f;
    select.count = 2;
    select.when_empty = MEMO_UNTIL_QUIET;
    rc = memo_select(s, &select, &m, NULL);
    if (rc == MEMO_OK) {
        board->step = memo_size(m) == LARGE ? 3 : 4;
        memo_free(m);
        rc = memo_select(s, &select, &m, NULL);
    }
    if (is_judge()) {
        tap_is_int(rc, MEMO_QUIET, "it is quiet in the end");
        tap_is_int((int)board->step, 3, "but not before what the dead had was in its folder, and taken");
    }
}

/* ---- from beginning to end --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} fates[] = {
    {"refused", refused},
    {"unsaid", unsaid},
    {"passed_on", passed_on},
    {"refusal_unread", refusal_unread},
    {"dropped", dropped},
    {"unread_put", unread_put},
    {"unread_done", unread_done},
    {"torn_put", torn_put},
    {"repairer_killed", repairer_killed},
    {"overtaken", overtaken},
    {"unread_answer", unread_answer},
    {"holding", holding},
    {"whole_node", whole_node},
    {"quiet_held", quiet_held},
    {"exit_0", exit_0},
    {"exit_3", exit_3},
    {"_exit_0", quick_exit_0},
    {"killed", killed},
    {"aborted", aborted},
    {"forked", forked},
    {"servers_killed", servers_killed},
    {"one_server_killed", one_server_killed},
    {"other_server_killed", other_server_killed},
    {"killed_in_chain", killed_in_chain},
};

static bool map_board(void)
{
    char path[4096];
    const char *room = getenv("MEMO_TEST_ROOM"), *rank = getenv("PMI_RANK"), *size = getenv("PMI_SIZE");
    snprintf(path, sizeof path, "%s/board", room != NULL ? room : "/tmp");
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || rank == NULL || size == NULL || atoi(size) > RANKS || ftruncate(fd, sizeof *board) != 0)
        return false;
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    job_ranks = atoi(size);
    return board != MAP_FAILED;
}

int main(int argc, char **argv)
{
    int rank;
    if (argc < 3 || !map_board())
        return 2;
    void (*fate)(void) = NULL;
    for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++)
        if (strcmp(argv[2], fates[i].name) == 0)
            fate = fates[i].run;
    if (fate == NULL && strcmp(argv[2], "in_open") != 0)
        return 2;
    rank = atoi(getenv("PMI_RANK"));
    board->pid[rank] = getpid();
    if (strcmp(argv[2], "in_open") == 0 && rank == job_ranks - 1) {
        signal(SIGALRM, SIG_DFL);
        ualarm((useconds_t)(argc > 3 ? atoi(argv[3]) : 1000), 0);
    }
    int rc = memo_open(&s, argv[1]);
    if (rc == MEMO_SERVED)
        return 0;
    if (rc != MEMO_OK) {
        fprintf(stderr, "# %s\n", memo_errmsg());
        return 1;
    }
    board->client[rank] = 1;
    board->ready++;
    me = memo_rank(s);
    ranks = memo_ranks(s);
    while ((int)board->ready < ranks)
        nap(MS);
    a = memo_folder("a");
    b = memo_folder("b");
    if (fate != NULL)
        fate();
    if (is_judge())
        board->judged = 1;
    for (int64_t end = now_ns() + 4 * PATIENCE; board->judged == 0 && now_ns() < end;)
        nap(MS); /* they are there, and make no calls */
    rc = memo_close(s);
    if (!is_judge())
        return 0;
    tap_ok(rc == MEMO_OK, "and it closes");
    return tap_done();
}
