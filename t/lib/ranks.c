/*
 * ranks.c - orders for the ranks of a test (see ranks.h).
 */
#include "t/lib/ranks.h"
#include "libmemo/node/proc.h"
#include "t/tap.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* The thread sanitizer has shadows there, and lets programs have what is here. */
#ifdef __SANITIZE_THREAD__
#define ROOM_ADDRESS ((void *)(uintptr_t)0x7e9000000000)
#else
#define ROOM_ADDRESS ((void *)(uintptr_t)0x200000000000)
#endif
#define ROOM_BYTES ((size_t)4 << 30) /* of addresses: pages come as they are used */
#define WORKERS_MAX 64
#define RANKS_MAX 128
#define ORDERS_MAX 256

enum { ORDER_NONE, ORDER_GIVEN, ORDER_TAKEN, ORDER_DONE };
enum { WORKER_NONE, WORKER_THERE, WORKER_GONE };

struct rank_order {
    _Atomic uint32_t state; /* futex: set to GIVEN by the tester, the others by the worker */
    uint32_t worker;
    intptr_t fn; /* from ranks_begun: programs lie at other addresses in every process */
    void *arg;
    int result;
    bool none; /* no function */
    bool last;
};

typedef struct rank_worker {
    _Atomic uint32_t bell; /* futex: counts orders */
    _Atomic uint32_t state;
    _Atomic int pid;
    _Atomic int closed; /* 1 + the result of its close, negated; 0: it has not */
    bool engaged;       /* by the tester alone: for whoever was ordered with RANK_ALONE */
    rank_order_t orders[ORDERS_MAX];
} rank_worker_t;

typedef struct room {
    _Atomic uint64_t used;
    _Atomic uint32_t there; /* workers that are ready */
    _Atomic uint32_t over;
    _Atomic int tester;
    _Atomic int process[RANKS_MAX]; /* by rank of the job; minus that of a client */
    rank_worker_t workers[WORKERS_MAX];
} room_t;

static room_t *room;
static char room_path[PATH_MAX];
static memo_space_t *own_space;
static rank_worker_t *own_worker;
static uint32_t workers;

bool ranks_asked(void)
{
    return getenv("PMI_RANK") != NULL;
}

bool ranks_begun(void)
{
    return room != NULL;
}

/* ---- sleeping ---------------------------------------------------------------------------------------------- */

static void sleep_on(_Atomic uint32_t *word, uint32_t while_it_is, int milliseconds)
{
    struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    syscall(SYS_futex, word, FUTEX_WAIT, while_it_is, &t, NULL, 0);
}

static void wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- the room ---------------------------------------------------------------------------------------------- */

static void enter_room(void)
{
    const char *given = getenv("MEMO_TEST_ROOM");
    if (given != NULL && given[0] != '\0')
        snprintf(room_path, sizeof room_path, "%s/room", given);
    else
        snprintf(room_path, sizeof room_path, "/dev/shm/t-room-%ld-%ld", (long)getuid(), (long)getppid());
    int fd = open(room_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)ROOM_BYTES) != 0)
        tap_bail("%s: %s", room_path, strerror(errno));
    void *at = mmap(ROOM_ADDRESS, ROOM_BYTES, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd, 0);
    if (at != ROOM_ADDRESS)
        tap_bail("the room cannot be mapped at %p: %s", ROOM_ADDRESS, strerror(errno));
    close(fd);
    room = at;
}

static uint64_t room_first(void)
{
    return (sizeof *room + 65535) & ~(uint64_t)65535;
}

void *ranks_memory(size_t bytes)
{
    uint64_t pages = ((uint64_t)bytes + 4095) & ~(uint64_t)4095;
    uint64_t at = room_first() + atomic_fetch_add(&room->used, pages);
    if (at + pages > ROOM_BYTES)
        tap_bail("the room is full");
    return (char *)room + at;
}

void ranks_memory_free(void *memory, size_t bytes)
{
    uint64_t pages = ((uint64_t)bytes + 4095) & ~(uint64_t)4095;
    uint64_t at = (uint64_t)((char *)memory - (char *)room) - room_first(), end = at + pages;
    madvise(memory, pages, MADV_REMOVE);
    atomic_compare_exchange_strong(&room->used, &end, at);
}

static int busy_with(rank_worker_t *w)
{
    int busy = 0;
    for (int i = 0; i < ORDERS_MAX; i++) {
        uint32_t state = atomic_load(&w->orders[i].state);
        busy += state == ORDER_GIVEN || state == ORDER_TAKEN;
    }
    return busy;
}

/* ---- a worker ------------------------------------------------------------------------------------------------ */

static void leave(int result)
{
    atomic_store(&own_worker->closed, 1 - result);
    if (result != MEMO_OK)
        tap_diag("rank %d: memo_close: %d [%s]", (int)(own_worker - room->workers), result, memo_errmsg());
    atomic_store(&own_worker->state, WORKER_GONE);
}

static void *carry_out(void *arg)
{
    rank_order_t *order = arg;
    rank_fn fn = (rank_fn)((intptr_t)ranks_begun + order->fn);
    order->result = order->none ? 0 : fn(own_space, order->arg);
    if (order->last) {
        int result = memo_close(own_space);
        if (order->none)
            order->result = result;
        else if (result != MEMO_OK)
            order->result = 300;
        leave(result == MEMO_ECLOSED ? MEMO_OK : result);
    }
    atomic_store(&order->state, ORDER_DONE);
    wake(&order->state);
    if (order->last) {
        atomic_fetch_add(&own_worker->bell, 1);
        wake(&own_worker->bell);
    }
    return NULL;
}

static void begin_orders(void)
{
    for (int i = 0; i < ORDERS_MAX; i++) {
        rank_order_t *order = &own_worker->orders[i];
        uint32_t given = ORDER_GIVEN;
        pthread_t id;
        if (!atomic_compare_exchange_strong(&order->state, &given, ORDER_TAKEN))
            continue;
        int failed = pthread_create(&id, NULL, carry_out, order);
        if (failed != 0)
            tap_bail("pthread_create: %s", strerror(failed));
        pthread_detach(id);
    }
}

static void work(memo_space_t *space, int number)
{
    tap_state.printer = -1;
    own_space = space;
    own_worker = &room->workers[number - 1];
    atomic_store(&own_worker->pid, (int)getpid());
    atomic_store(&own_worker->state, WORKER_THERE);
    atomic_fetch_add(&room->there, 1);
    wake(&room->there);
    while (atomic_load(&own_worker->state) == WORKER_THERE && atomic_load(&room->over) == 0) {
        uint32_t bell = atomic_load(&own_worker->bell);
        int tester = atomic_load(&room->tester);
        begin_orders();
        sleep_on(&own_worker->bell, bell, 1000);
        if (tester != 0 && !proc_lives(tester))
            _exit(254);
    }
    if (atomic_load(&own_worker->state) == WORKER_THERE)
        leave(memo_close(space));
    /* Calls that the close has ended are still to be answered for. */
    for (int i = 0; busy_with(own_worker) > 0 && i < 5000; i++)
        usleep(1000);
    exit(0);
}

/* ---- the tester: opening and closing ------------------------------------------------------------------------- */

static void await_workers(void)
{
    for (int tenths = 0; atomic_load(&room->there) < workers; tenths++) {
        if (tenths > 600)
            tap_bail("of %u workers %u came", workers, atomic_load(&room->there));
        sleep_on(&room->there, atomic_load(&room->there), 100);
    }
}

static _Atomic int *own_process(void)
{
    int rank = atoi(getenv("PMI_RANK"));
    if (rank < 0 || rank >= RANKS_MAX)
        tap_bail("rank %d of the job", rank);
    return &room->process[rank];
}

memo_space_t *ranks_open(const char *uri)
{
    memo_space_t *space = NULL;
    enter_room();
    atomic_store(own_process(), (int)getpid());
    int rc = memo_open(&space, uri);
    if (rc == MEMO_SERVED)
        exit(0);
    if (rc != MEMO_OK)
        tap_bail("rank %s: memo_open(%s): %s [%s]", getenv("PMI_RANK"), uri, memo_strerror(rc), memo_errmsg());
    int rank = memo_rank(space), ranks = memo_ranks(space);
    if (rank < 0 || ranks > WORKERS_MAX + 1)
        tap_bail("rank %d of %d", rank, ranks);
    atomic_store(own_process(), -(int)getpid());
    if (rank != 0)
        work(space, rank);
    workers = (uint32_t)ranks - 1;
    own_space = space;
    atomic_store(&room->tester, (int)getpid());
    await_workers();
    unlink(room_path);
    return space;
}

bool ranks_close(memo_space_t *space)
{
    bool right = true;
    atomic_store(&room->over, 1);
    for (uint32_t i = 0; i < workers; i++) {
        atomic_fetch_add(&room->workers[i].bell, 1);
        wake(&room->workers[i].bell);
    }
    for (uint32_t i = 0; i < workers; i++) {
        rank_worker_t *w = &room->workers[i];
        int tenths = 0;
        while (atomic_load(&w->state) == WORKER_THERE && tenths++ < 400 && proc_lives(atomic_load(&w->pid)))
            usleep(2000 + 98000 * (tenths > 20));
        int closed = atomic_load(&w->closed);
        if (closed > 1 || (closed == 0 && atomic_load(&w->state) == WORKER_THERE)) {
            tap_diag("rank %u did not close: %d", i + 1, 1 - closed);
            right = false;
        }
    }
    int rc = memo_close(space);
    if (rc != MEMO_OK)
        tap_diag("memo_close: %d [%s]", rc, memo_errmsg());
    return rc == MEMO_OK && right;
}

int ranks_left(void)
{
    int left = 0;
    for (uint32_t i = 0; i < workers; i++)
        left += atomic_load(&room->workers[i].state) == WORKER_THERE;
    return left;
}

pid_t ranks_process(int rank, bool *serves)
{
    int process = rank < RANKS_MAX ? atomic_load(&room->process[rank]) : 0;
    *serves = process > 0;
    return process < 0 ? -process : process;
}

/* ---- the tester: orders -------------------------------------------------------------------------------------- */

static rank_worker_t *least_busy(bool alone)
{
    rank_worker_t *found = NULL;
    int least = INT_MAX;
    for (uint32_t i = 0; i < workers && least > 0; i++) {
        rank_worker_t *w = &room->workers[i];
        if (atomic_load(&w->state) != WORKER_THERE || w->engaged)
            continue;
        int busy = busy_with(w);
        if (busy < least) {
            least = busy;
            found = w;
        }
    }
    if (found == NULL || (alone && least > 0))
        tap_bail("no rank is left for that: start the job with more of them");
    return found;
}

/* Orders that were waited for are free again: their state is NONE. */
static rank_order_t *give(rank_worker_t *w, rank_fn fn, void *arg, bool last)
{
    for (int i = 0; i < ORDERS_MAX; i++) {
        rank_order_t *order = &w->orders[i];
        if (atomic_load(&order->state) != ORDER_NONE)
            continue;
        order->worker = (uint32_t)(w - room->workers);
        order->none = fn == NULL;
        order->fn = (intptr_t)fn - (intptr_t)ranks_begun;
        order->arg = arg;
        order->last = last;
        order->result = 0;
        atomic_store(&order->state, ORDER_GIVEN);
        atomic_fetch_add(&w->bell, 1);
        wake(&w->bell);
        return order;
    }
    tap_bail("more than %d orders for one rank", ORDERS_MAX);
}

rank_order_t *rank_order(rank_which_t which, rank_fn fn, void *arg, bool last)
{
    rank_worker_t *w = least_busy(which == RANK_ALONE);
    if (which == RANK_ALONE)
        w->engaged = true;
    return give(w, fn, arg, last);
}

rank_order_t *rank_order_again(const rank_order_t *first, rank_fn fn, void *arg, bool last)
{
    return give(&room->workers[first->worker], fn, arg, last);
}

int rank_order_wait(rank_order_t *order)
{
    rank_worker_t *w = &room->workers[order->worker];
    for (uint32_t state; (state = atomic_load(&order->state)) != ORDER_DONE;) {
        sleep_on(&order->state, state, 100);
        if (atomic_load(&order->state) != ORDER_DONE && !proc_lives(atomic_load(&w->pid))) {
            atomic_store(&w->state, WORKER_GONE);
            order->result = 256 + SIGKILL;
            break;
        }
    }
    int result = order->result;
    if (result == 300)
        tap_diag("rank %u: its close failed", order->worker + 1);
    atomic_store(&order->state, ORDER_NONE);
    return result;
}

void rank_release(rank_order_t *order)
{
    room->workers[order->worker].engaged = false;
}

void rank_signal(const rank_order_t *order, int sig)
{
    rank_worker_t *w = &room->workers[order->worker];
    int pid = atomic_load(&w->pid);
    kill(pid, sig);
    if (sig != SIGKILL)
        return;
    atomic_store(&w->state, WORKER_GONE);
    for (int i = 0; proc_lives(pid) && i < 20000; i++)
        usleep(200);
}
