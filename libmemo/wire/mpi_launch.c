/*
 * mpi_launch.c - the collective part of opening an MPI space (DESIGN section 3): ranks tell one another who they
 * are, find out who is what and where (roles.h), and meet, node by node, in a hall (hall.h).
 *
 * Every rank gets the same result: what can fail at one rank alone is agreed on before anything that follows from
 * it. A step that has failed is skipped by all, so that nobody waits for who went away.
 */
#include "libmemo/wire/mpi_launch.h"

#include "libmemo/api/error.h"
#include "libmemo/node/wait.h"
#include "libmemo/wire/roles.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SENTENCE_BYTES 320

/* What launch_t.mpi is. One in a process: it stays when the space is closed, for MPI does. */
static struct launched {
    MPI_Comm peers, clients;
    leave_t leave;
    uint32_t group; /* of this node's barrier in the hall */
} launched = {.peers = MPI_COMM_NULL, .clients = MPI_COMM_NULL};

/* While ranks agree. */
typedef struct joining {
    launch_t *l;
    MPI_Comm all; /* the ranks that open, in their own order */
    uint32_t ranks, rank;
    roles_word_t *words;
    uint32_t *real_of; /* of each rank: the first rank of its real node */
    uint32_t *peer_of, *node_of;
    MPI_Comm here; /* this real node's ranks */
    uint64_t job;
    int result; /* this rank's, so far */
    char sentence[SENTENCE_BYTES];
} joining_t;

static _Atomic bool joined;

/* ---- small steps ----------------------------------------------------------------------------------------- */

MPI_Comm mpi_launch_peers(const launch_t *l)
{
    return ((const struct launched *)l->mpi)->peers;
}

MPI_Comm mpi_launch_clients(void)
{
    return launched.clients;
}

int mpi_launch_finish(MPI_Request *request, int64_t until)
{
    int64_t begun = wait_now();
    for (unsigned looks = 0;; looks++) {
        int done = 0, error = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (error != MPI_SUCCESS || done) {
            return error;
        }
        int64_t now = wait_now(), pause = (now - begun) / 16;
        if (now >= until) {
            return MPI_ERR_PENDING;
        }
        if (looks < 20) {
            sched_yield();
            continue;
        }
        pause = pause < 50000 ? 50000 : pause > 10000000 ? 10000000 : pause;
        nanosleep(&(struct timespec){.tv_nsec = (long)pause}, NULL);
    }
}

/* Notes the first failure of this rank. */
static void __attribute__((format(printf, 3, 4))) note(joining_t *j, int result, const char *format, ...)
{
    if (j->result == MEMO_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(j->sentence, sizeof j->sentence, format, args);
        va_end(args);
        j->result = result;
    }
}

static void note_mpi(joining_t *j, const char *doing, int error)
{
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    if (error != MPI_SUCCESS) {
        MPI_Error_string(error, text, &length);
        note(j, MEMO_EIO, "%s: MPI says: %.*s", doing, length < 200 ? length : 200, text);
    }
}

/* A collective call that was begun: waits for it without spinning. */
static void collect(joining_t *j, const char *doing, int error, MPI_Request *request)
{
    note_mpi(j, doing, error == MPI_SUCCESS ? mpi_launch_finish(request, WAIT_FOREVER) : error);
}

/*
 * All ranks come to the same result: the worst that one has noted, with its sentence. True: all is well.
 */
static bool agree(joining_t *j)
{
    struct {
        int result, rank;
    } mine = {j->result, (int)j->rank}, worst = mine;
    MPI_Request request;
    collect(j, "agreeing", MPI_Iallreduce(&mine, &worst, 1, MPI_2INT, MPI_MINLOC, j->all, &request), &request);
    if (worst.result == MEMO_OK) {
        return j->result == MEMO_OK;
    }
    char sentence[SENTENCE_BYTES];
    memcpy(sentence, j->sentence, sizeof sentence);
    int error = MPI_Ibcast(sentence, sizeof sentence, MPI_CHAR, worst.rank, j->all, &request);
    collect(j, "agreeing", error, &request);
    sentence[sizeof sentence - 1] = '\0';
    j->result = worst.result;
    memcpy(j->sentence, sentence, sizeof sentence);
    return false;
}

/* ---- MPI ------------------------------------------------------------------------------------------------- */

/* MEMO_OK: MPI runs; *ours: since now. Any other result is the same everywhere, by how the job was started. */
static int start_mpi(bool *ours)
{
    int initialized = 0, finalized = 0, provided = 0;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    if (finalized) {
        return memo_error(MEMO_ENOTSUP, "MPI was finalized already, and cannot be started again: open the space "
                                        "before MPI_Finalize");
    }
    if (!initialized && getenv("PMI_RANK") == NULL) {
        /* MPI_Init in a program that nobody started with others is slow, and may hang. */
        return memo_error(MEMO_ENOTSUP, "a space over MPI is for programs that mpiexec starts, as in mpiexec -n 2 "
                                        "memo-server : -n 8 program");
    }
    if (!initialized) {
        /* Reading another process's memory with the kernel's help (CMA) is slow for large messages on one machine,
         * and ends the reader when the other is killed. Who knows better has set it. */
        setenv("UCX_TLS", "^cma", 0);
        if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
            return memo_error(MEMO_EIO, "MPI_Init_thread failed");
        }
    }
    *ours = !initialized;
    return MEMO_OK;
}

static int duplicate(MPI_Comm from, MPI_Comm *to)
{
    MPI_Request request;
    int error = MPI_Comm_idup(from, to, &request);
    error = error == MPI_SUCCESS ? mpi_launch_finish(&request, WAIT_FOREVER) : error;
    if (error == MPI_SUCCESS) {
        MPI_Comm_set_errhandler(*to, MPI_ERRORS_RETURN);
    }
    return error;
}

static int begin(joining_t *j, launch_t *l, MPI_Comm comm, bool ours)
{
    int ranks = 0, rank = 0;
    *j = (joining_t){.l = l, .here = MPI_COMM_NULL};
    *l = (launch_t){0};
    if (duplicate(comm, &j->all) != MPI_SUCCESS) {
        return memo_error(MEMO_EIO, "MPI could not duplicate the communicator");
    }
    MPI_Comm_size(j->all, &ranks);
    MPI_Comm_rank(j->all, &rank);
    j->ranks = (uint32_t)ranks;
    j->rank = (uint32_t)rank;
    j->words = calloc(j->ranks, sizeof *j->words);
    j->real_of = calloc(j->ranks, sizeof *j->real_of);
    j->peer_of = calloc(j->ranks, sizeof *j->peer_of);
    j->node_of = calloc(j->ranks, sizeof *j->node_of);
    l->node_of = calloc(j->ranks, sizeof *l->node_of);
    leave_t *leave = &launched.leave;
    leave->real_of = calloc(j->ranks, sizeof *leave->real_of);
    leave->peer_at = calloc(j->ranks, sizeof *leave->peer_at);
    leave->dead = calloc(j->ranks, sizeof *leave->dead);
    if (!j->words || !j->real_of || !j->peer_of || !j->node_of || !l->node_of || !leave->real_of ||
        !leave->peer_at || !leave->dead) {
        note(j, MEMO_ENOMEM, "no memory for a job of %" PRIu32 " ranks", j->ranks);
    }
    if (!mpi_leave_prepare(ours)) {
        note(j, MEMO_ENOMEM, "no memory to prepare for the end of the program");
    }
    return MEMO_OK;
}

/* ---- who ------------------------------------------------------------------------------------------------- */

/* All ranks' words; the speaker's URI; what follows from them, which is the same everywhere. */
static void agree_on_roles(joining_t *j, const memo_uri_t *uri, bool server)
{
    MPI_Request request;
    roles_word_t mine = roles_word(uri, server);
    int error = MPI_Iallgather(&mine, sizeof mine, MPI_BYTE, j->words, sizeof mine, MPI_BYTE, j->all, &request);
    collect(j, "telling the others who this rank is", error, &request);
    uint32_t speaker = roles_speaker(j->words, j->ranks);
    if (uri != NULL) {
        j->l->uri = *uri;
    }
    if (speaker < j->ranks) {
        error = MPI_Ibcast(&j->l->uri, sizeof j->l->uri, MPI_BYTE, (int)speaker, j->all, &request);
        collect(j, "telling the others the URI", error, &request);
    }
    char sentence[SENTENCE_BYTES] = "";
    int result = roles_agree(j->words, j->ranks, &j->l->uri, &j->l->servers, sentence, sizeof sentence);
    if (result != MEMO_OK) {
        note(j, result, "%s", sentence);
    }
    if (j->result == MEMO_OK) {
        j->l->clients = j->ranks - j->l->servers;
        roles_number(j->words, j->ranks, j->l->servers, j->peer_of);
        j->l->self = j->peer_of[j->rank];
    }
}

/* ---- where ----------------------------------------------------------------------------------------------- */

static void find_nodes(joining_t *j)
{
    MPI_Request request;
    note_mpi(j, "finding the ranks of this node",
             MPI_Comm_split_type(j->all, MPI_COMM_TYPE_SHARED, (int)j->rank, MPI_INFO_NULL, &j->here));
    uint32_t first = j->rank;
    if (j->here != MPI_COMM_NULL) {
        int error = MPI_Ibcast(&first, 1, MPI_UINT32_T, 0, j->here, &request);
        collect(j, "finding the first rank of this node", error, &request);
    }
    int error = MPI_Iallgather(&first, 1, MPI_UINT32_T, j->real_of, 1, MPI_UINT32_T, j->all, &request);
    collect(j, "telling the others where this rank is", error, &request);
}

static void name_job(joining_t *j)
{
    MPI_Request request;
    if (j->rank == 0 && getrandom(&j->job, sizeof j->job, 0) != (ssize_t)sizeof j->job) {
        note(j, MEMO_EIO, "getrandom: %s", strerror(errno));
    }
    int error = MPI_Ibcast(&j->job, 1, MPI_UINT64_T, 0, j->all, &request);
    collect(j, "naming the job", error, &request);
}

/* The first peer of a node makes its region. */
static bool is_first(const launch_t *l)
{
    uint32_t peer = 0;
    while (l->node_of[peer] != l->node) {
        peer++;
    }
    return peer == l->self;
}

static void place_peers(joining_t *j)
{
    launch_t *l = j->l;
    leave_t *leave = &launched.leave;
    l->nodes = roles_nodes(j->real_of, j->ranks, l->uri.nodes, j->node_of);
    for (uint32_t rank = 0, place = 0; rank < j->ranks; rank++) {
        l->node_of[j->peer_of[rank]] = j->node_of[rank];
        leave->real_of[j->peer_of[rank]] = j->real_of[rank];
        leave->real_nodes += j->real_of[rank] == rank;
        if (j->real_of[rank] == j->real_of[j->rank]) {
            leave->peer_at[place++] = j->peer_of[rank]; /* as MPI_Comm_split_type has numbered them */
        }
    }
    l->node = l->node_of[l->self];
    for (uint32_t peer = 0; peer < j->ranks; peer++) {
        l->node_peers += l->node_of[peer] == l->node;
    }
    l->first = is_first(l);
    snprintf(l->region, sizeof l->region, "mpi-%016" PRIx64 "-%" PRIu32, j->job, l->node);
    /* The real node's first rank is on its first node. */
    launched.group = l->node - j->node_of[j->real_of[j->rank]];
    leave->self = l->self;
    leave->peers = j->ranks;
    leave->head = j->real_of[j->rank] == j->rank;
}

/* ---- the hall -------------------------------------------------------------------------------------------- */

/* Two agreements: that it is made, and that all have entered. */
static bool enter_hall(joining_t *j)
{
    int places = 1, place = 0;
    char name[64];
    leave_t *leave = &launched.leave;
    MPI_Comm_size(j->here, &places);
    MPI_Comm_rank(j->here, &place);
    snprintf(name, sizeof name, "/memo-hall.%016" PRIx64 "-%" PRIu32, j->job, j->real_of[j->rank]);
    int error = leave->head ? hall_make(name, (uint32_t)places) : 0;
    bool made = leave->head && error == 0;
    if (error != 0) {
        note(j, error == ENOSPC ? MEMO_EFULL : MEMO_EIO, "/dev/shm%s: %s", name, strerror(error));
    }
    if (agree(j)) {
        error = hall_enter(&leave->hall, name, (uint32_t)places, (uint32_t)place);
        if (error != 0) {
            note(j, MEMO_EIO, "/dev/shm%s: %s", name, strerror(error));
        }
        agree(j);
    }
    if (made) {
        hall_remove(name);
    }
    if (j->result == MEMO_OK) {
        hall_greet(&leave->hall);
    }
    return j->result == MEMO_OK;
}

/* ---- communicators --------------------------------------------------------------------------------------- */

static void split(joining_t *j, bool in, MPI_Comm *comm, const char *doing)
{
    note_mpi(j, doing, MPI_Comm_split(j->all, in ? 0 : MPI_UNDEFINED, (int)j->l->self, comm));
    if (in && *comm != MPI_COMM_NULL) {
        MPI_Comm_set_errhandler(*comm, MPI_ERRORS_RETURN);
    }
}

/* The heads meet again when they leave: their connections are made now, when all are there to answer. */
static void connect_heads(joining_t *j)
{
    MPI_Request request;
    if (launched.leave.heads != MPI_COMM_NULL) {
        collect(j, "connecting the nodes", MPI_Ibarrier(launched.leave.heads, &request), &request);
    }
}

static bool make_communicators(joining_t *j)
{
    split(j, true, &launched.peers, "numbering the peers");
    split(j, true, &launched.leave.control, "numbering the peers");
    split(j, launched.leave.head, &launched.leave.heads, "finding the other nodes");
    split(j, !launch_serves(j->l), &launched.clients, "making the clients' communicator");
    if (launched.clients != MPI_COMM_NULL) {
        MPI_Comm_set_errhandler(launched.clients, MPI_ERRORS_ARE_FATAL); /* what programs expect */
    }
    connect_heads(j);
    return agree(j);
}

/* ---- joining --------------------------------------------------------------------------------------------- */

static void end(joining_t *j)
{
    if (j->here != MPI_COMM_NULL) {
        MPI_Comm_free(&j->here);
    }
    MPI_Comm_free(&j->all);
    free(j->words);
    free(j->real_of);
    free(j->peer_of);
    free(j->node_of);
}

static void take_steps(joining_t *j, const memo_uri_t *uri, bool server)
{
    if (!agree(j)) {
        return;
    }
    agree_on_roles(j, uri, server);
    if (!agree(j)) {
        return;
    }
    find_nodes(j);
    name_job(j);
    if (!agree(j)) {
        return;
    }
    place_peers(j);
    if (enter_hall(j) && make_communicators(j)) {
        mpi_leave_know(&launched.leave);
        j->l->mpi = &launched;
    }
}

int launch_join(launch_t *l, const memo_uri_t *uri, bool server)
{
    if (atomic_exchange(&joined, true)) {
        return memo_error(MEMO_EBUSY,
                          "this process has opened its space over MPI before: that is done once, by all "
                          "ranks together");
    }
    bool ours = false;
    int result = start_mpi(&ours);
    if (result != MEMO_OK) {
        atomic_store(&joined, false);
        return result;
    }
    launched.leave.control = launched.leave.heads = MPI_COMM_NULL;
    joining_t j;
    MPI_Comm comm = mpi_open_comm();
    result = begin(&j, l, comm != MPI_COMM_NULL ? comm : MPI_COMM_WORLD, ours);
    if (result != MEMO_OK) {
        return result;
    }
    take_steps(&j, uri, server);
    end(&j);
    if (j.result != MEMO_OK) {
        free(l->node_of);
        l->node_of = NULL;
        return memo_error(j.result, "%s", j.sentence);
    }
    return MEMO_OK;
}

/* ---- opened ---------------------------------------------------------------------------------------------- */

void launch_node_barrier(launch_t *l)
{
    mpi_leave_meet(((const struct launched *)l->mpi)->group, l->node_peers);
}

int launch_exchange(launch_t *l, const void *mine, void *all, uint32_t bytes)
{
    const struct launched *in = l->mpi;
    MPI_Request request;
    int error = MPI_Iallgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, in->leave.control, &request);
    error = error == MPI_SUCCESS ? mpi_launch_finish(&request, WAIT_FOREVER) : error;
    return error == MPI_SUCCESS ? MEMO_OK
                                : memo_error(MEMO_EIO, "the ranks could not tell one another who they are");
}
