/*
 * mpi_leave.c - leaving MPI, in any order, with and without the dead.
 *
 * MPI_Finalize is collective, and spins until all have called it. So who leaves first sleeps in the hall (hall.h)
 * until all of the job leave: within a node on a futex, and one process of each node polls MPI for the other nodes,
 * with growing pauses.
 *
 * Then MPI_Finalize, if all are on one node and live. Between nodes MPICH 4.0 may never return from it (a barrier
 * of mpiexec's meets connections being closed), and once a process has died it does not. So then nobody calls it:
 * each tells mpiexec by hand that it ends as it should (pmi.h), and ends before anything takes MPI apart, but after
 * the program's own exit handlers. Some doing it the one way and some the other would confuse mpiexec. A job whose
 * opening failed, which knows nothing of nodes, ends so too.
 *
 * Where the program called MPI_Init itself, MPI_Finalize is the program's too; MPI calls us first in it.
 */
#include "libmemo/wire/mpi_launch.h"

#include "libmemo/node/wait.h"
#include "libmemo/wire/pmi.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long MPI_Finalize may take once all have come to it. */
#define FINALIZE_NS 2000000000
/* How often those that wait look for the dead: nobody is to wait for one longer than 100 ms. */
#define LOOK_NS 50000000
#define LOOKS_CLOSE 8u /* of so many looks one is a close one, which takes long */
/* How long the pauses of the one that polls MPI grow. */
#define POLL_NS 10000000
/* How long the news of a death may take to other nodes. */
#define NEWS_NS 500000000
#define TAG_DEAD 1
/* How long processes stay at the end of a job in which somebody has died. */
#define LINGER_NS 500000000

static struct {
    pid_t pid; /* whose all this is: a forked child leaves MPI alone */
    bool ours; /* we called MPI_Init */
    bool known;
    leave_t leave;
    void (*end)(void *arg);
    void *arg;
    bool by_hand; /* mpiexec was told; the process is not to meet MPI's own end */
    int status;
    int64_t looked; /* for the dead, when */
    uint32_t looks;
} leaving;

/* ---- the others ------------------------------------------------------------------------------------------ */

void mpi_leave_know(const leave_t *leave)
{
    leaving.leave = *leave;
    leaving.known = true;
}

void mpi_leave_meet(uint32_t group, uint32_t count)
{
    hall_meet(&leaving.leave.hall, group, count);
}

void mpi_leave_broken(void)
{
    if (leaving.known) {
        hall_break(&leaving.leave.hall);
    }
}

/* ---- the dead ------------------------------------------------------------------------------------------------ */

/* Notes a peer that has died. False: that was known. */
static bool note_dead(uint32_t peer)
{
    bool news = peer >= leaving.leave.peers || !leaving.leave.dead[peer];
    if (peer < leaving.leave.peers) {
        leaving.leave.dead[peer] = true;
    }
    hall_break(&leaving.leave.hall);
    return news;
}

/* Tells all processes of other nodes, as far as they hear before `until`: they may be dead themselves. *peer stays.
 */
static void tell(const uint32_t *peer, int64_t until)
{
    const leave_t *leave = &leaving.leave;
    for (uint32_t other = 0; leave->real_nodes > 1 && other < leave->peers; other++) {
        MPI_Request request;
        if (leave->real_of[other] != leave->real_of[leave->self] && !leave->dead[other] &&
            MPI_Isend(peer, 1, MPI_UINT32_T, (int)other, TAG_DEAD, leave->control, &request) == MPI_SUCCESS) {
            mpi_launch_finish(&request, until);
        }
    }
}

/* A place of this real node whose process has died, if that is news. */
static uint32_t look(void)
{
    leave_t *leave = &leaving.leave;
    int64_t now = wait_now();
    if (now - leaving.looked < LOOK_NS) {
        return LAUNCH_NOBODY;
    }
    bool closely = leaving.looks % LOOKS_CLOSE == 0;
    for (uint32_t place = 0; place < leave->hall.places; place++) {
        uint32_t peer = leave->peer_at[place];
        if (!leave->dead[peer] && hall_dead(&leave->hall, place, closely)) {
            note_dead(peer);
            if (hall_claim(&leave->hall, place)) {
                tell(&leave->peer_at[place], now + NEWS_NS);
            }
            return peer;
        }
    }
    leaving.looked = now;
    leaving.looks++;
    return LAUNCH_NOBODY;
}

/* What a process of another node has found. */
static uint32_t hear(void)
{
    MPI_Comm control = leaving.leave.control;
    MPI_Status status;
    uint32_t peer;
    int said = 0;
    while (leaving.leave.real_nodes > 1 &&
           MPI_Iprobe(MPI_ANY_SOURCE, TAG_DEAD, control, &said, &status) == MPI_SUCCESS && said &&
           MPI_Recv(&peer, 1, MPI_UINT32_T, status.MPI_SOURCE, TAG_DEAD, control, MPI_STATUS_IGNORE) ==
               MPI_SUCCESS) {
        if (note_dead(peer) && peer < leaving.leave.peers) {
            return peer;
        }
    }
    return LAUNCH_NOBODY;
}

uint32_t launch_dead(launch_t *l)
{
    (void)l; /* there is one in a process */
    if (!leaving.known) {
        return LAUNCH_NOBODY;
    }
    uint32_t peer = look();
    return peer != LAUNCH_NOBODY ? peer : hear();
}

static void look_around(void)
{
    while (launch_dead(NULL) != LAUNCH_NOBODY) {
    }
}

/* ---- waiting ------------------------------------------------------------------------------------------------- */

/* Sleeps until `done`, or a death is known, looking for one now and then. True: done. */
static bool sleep_until(bool (*done)(const hall_t *h))
{
    hall_t *h = &leaving.leave.hall;
    bool polls = leaving.leave.head && leaving.leave.real_nodes > 1;
    while (!hall_broken(h)) {
        uint32_t seen = hall_news(h);
        if (done(h)) {
            return true;
        }
        hall_wait(h, seen, polls ? POLL_NS : LOOK_NS);
        look_around();
    }
    return false;
}

/* The heads of all nodes, once all their processes leave. */
static bool heads_meet(void)
{
    hall_t *h = &leaving.leave.hall;
    MPI_Request request;
    if (MPI_Ibarrier(leaving.leave.heads, &request) != MPI_SUCCESS) {
        return false;
    }
    while (!hall_broken(h)) {
        int result = mpi_launch_finish(&request, wait_now() + LOOK_NS);
        if (result != MPI_ERR_PENDING) {
            return result == MPI_SUCCESS;
        }
        look_around();
    }
    return false;
}

/* Sleeps until all of the job leave. False: some process has died, and MPI_Finalize would not return. */
static bool wait_for_others(void)
{
    leave_t *leave = &leaving.leave;
    if (!leaving.known) {
        return true;
    }
    hall_leave(&leave->hall);
    if (!leave->head) {
        return sleep_until(hall_released);
    }
    if (!sleep_until(hall_all_leave) || (leave->real_nodes > 1 && !heads_meet())) {
        hall_break(&leave->hall);
        return false;
    }
    hall_release(&leave->hall);
    return true;
}

/* ---- memo guard ------------------------------------------------------------------------------------------ */

static int guard = -1; /* the descriptor it gave us */

static void tell_guard(const void *bytes, size_t size)
{
    ssize_t written = write(guard, bytes, size);
    (void)written; /* it is told, or gone */
}

/* Who else can find this process dead, and tell other nodes: how many, and who. Without other nodes nobody. */
static void tell_guard_others(void)
{
    const leave_t *leave = &leaving.leave;
    uint32_t count = leaving.known && leave->real_nodes > 1 ? leave->hall.places : 0;
    tell_guard(&count, sizeof count);
    for (uint32_t place = 0; place < count; place++) {
        int32_t pid = hall_pid(&leave->hall, place);
        tell_guard(&pid, sizeof pid);
    }
}

/* The space is open: should this process be killed from now on, the others can do without it. */
static void tell_guard_open(void)
{
    const char *text = getenv("MEMO_GUARD");
    int fd = text != NULL ? atoi(text) : -1;
    if (fd > STDERR_FILENO && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
        guard = fd;
        tell_guard("o", 1);
        tell_guard_others();
    }
    unsetenv("MEMO_GUARD");
}

/* This process leaves MPI itself. */
static void tell_guard_end(void)
{
    if (guard >= 0) {
        tell_guard("e", 1);
        close(guard);
        guard = -1;
    }
}

/* The guard of one who died a moment ago looks whether somebody of its node has outlived him. */
static void linger(void)
{
    if (leaving.known && leaving.leave.real_nodes > 1 && hall_broken(&leaving.leave.hall)) {
        nanosleep(&(struct timespec){.tv_nsec = LINGER_NS}, NULL);
    }
}

/* ---- the end --------------------------------------------------------------------------------------------- */

static void *finalize(void *unused)
{
    MPI_Finalize();
    return unused;
}

/* Calls MPI_Finalize, in a thread of its own, for it is stuck if somebody dies now. False: it has not returned. */
static bool finalize_in_time(void)
{
    pthread_t thread;
    int64_t until = wait_now() + FINALIZE_NS;
    struct timespec end = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    if (pmi_descriptor() < 0 || pthread_create(&thread, NULL, finalize, NULL) != 0) {
        finalize(NULL); /* there would be nothing else to do */
        return true;
    }
    if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &end) == 0) {
        return true;
    }
    /* It may be reading what mpiexec says, and would take the answer to what we say next. It ends where it waits.
     */
    pthread_cancel(thread);
    return false;
}

/* Ends MPI for this process, if we began it. False: it is to leave by hand. */
static bool end_mpi(void)
{
    static const uint32_t somebody = LAUNCH_NOBODY;
    int fd = pmi_descriptor();
    if (!wait_for_others()) {
        look_around();
        tell(&somebody, wait_now() + NEWS_NS); /* others may wait for who has not died, but knows of a death */
        return false;
    }
    if (fd < 0 || (leaving.known && leaving.leave.real_nodes == 1)) {
        return finalize_in_time();
    }
    /* A connection that is closed on something unread takes along what was sent: nobody ends before all have read.
     */
    pmi_meet(fd, FINALIZE_NS / 1000000);
    return false;
}

static void close_space(void)
{
    void (*end)(void *arg) = leaving.end;
    leaving.end = NULL;
    if (end != NULL) {
        end(leaving.arg);
    }
}

static void at_exit(int status, void *unused)
{
    (void)unused;
    int finalized = 0;
    if (getpid() != leaving.pid || MPI_Finalized(&finalized) != MPI_SUCCESS || finalized) {
        return;
    }
    close_space();
    if (!leaving.ours) {
        return;
    }
    leaving.by_hand = !end_mpi();
    leaving.status = status;
}

/* After all exit handlers, and before those of the libraries that this one needs: MPI's. */
__attribute__((destructor)) static void at_last(void)
{
    if (leaving.by_hand && getpid() == leaving.pid) {
        int fd = pmi_descriptor();
        fflush(NULL);
        tell_guard_end();
        if (fd >= 0) {
            pmi_say_finalize(fd);
        }
        linger();
        _exit(leaving.status);
    }
}

/* First of all that MPI_Finalize does, it deletes what is attached to MPI_COMM_SELF. */
static int at_finalize(MPI_Comm comm, int key, void *value, void *extra)
{
    (void)comm;
    (void)key;
    (void)value;
    (void)extra;
    if (getpid() == leaving.pid) {
        close_space();
        if (!leaving.ours) {
            wait_for_others();
        }
        tell_guard_end();
    }
    return MPI_SUCCESS;
}

bool mpi_leave_prepare(bool ours)
{
    static bool prepared;
    int key;
    if (prepared) {
        return true;
    }
    if (on_exit(at_exit, NULL) != 0 ||
        MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, at_finalize, &key, NULL) != MPI_SUCCESS ||
        MPI_Comm_set_attr(MPI_COMM_SELF, key, NULL) != MPI_SUCCESS) {
        return false;
    }
    leaving.pid = getpid();
    leaving.ours = ours;
    prepared = true;
    return true;
}

/* ---- the space ------------------------------------------------------------------------------------------- */

void launch_at_end(void (*end)(void *arg), void *arg)
{
    leaving.arg = arg;
    leaving.end = end;
    tell_guard_open();
}

void launch_broken(launch_t *l)
{
    (void)l; /* there is one in a process */
    mpi_leave_broken();
}

void launch_leave(launch_t *l)
{
    leaving.end = NULL;
    free(l->node_of);
    *l = (launch_t){0};
}
