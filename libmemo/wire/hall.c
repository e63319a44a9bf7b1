/*
 * hall.c - where the processes of a node meet when they come and when they leave (hall.h).
 */
#include "libmemo/wire/hall.h"

#include "libmemo/node/proc.h"
#include "libmemo/node/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/* A place's fields are written by the process that has it, a barrier's by those that meet there. */
typedef struct place {
    _Atomic uint32_t arrived; /* of the barrier that has this place's number */
    _Atomic uint32_t round;   /* of that barrier: a futex */
    _Atomic int32_t pid;      /* stored last; 0: has not entered */
    _Atomic uint32_t leaves;
    _Atomic uint32_t claimed; /* by any process, when this one has died */
    _Atomic uint64_t start;   /* when the process started, as the kernel counts: a pid may be given twice */
} place_t;

struct hall_page {
    _Atomic uint32_t bell; /* a futex: moves with every change of the next three */
    _Atomic uint32_t broken;
    _Atomic uint32_t leaving; /* how many */
    _Atomic uint32_t released;
    place_t places[];
};

/* How long a sleep that somebody will end may be: a waker that is killed at the wrong moment wakes nobody. */
#define NAP_NS 100000000

static size_t page_bytes(uint32_t places)
{
    return sizeof(struct hall_page) + places * sizeof(place_t);
}

/* ---- coming ---------------------------------------------------------------------------------------------- */

int hall_make(const char *name, uint32_t places)
{
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    /* Memory that is not there would be found missing by a signal later. */
    int error = posix_fallocate(fd, 0, (off_t)page_bytes(places));
    close(fd);
    if (error != 0) {
        shm_unlink(name);
    }
    return error;
}

void hall_remove(const char *name)
{
    shm_unlink(name);
}

/* When a process started; 0 if that cannot be known. */
static uint64_t start_of(pid_t pid)
{
    proc_t p;
    return proc_read(pid, &p) ? p.start : 0;
}

int hall_enter(hall_t *h, const char *name, uint32_t places, uint32_t place)
{
    int fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    void *page = mmap(NULL, page_bytes(places), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int error = page == MAP_FAILED ? errno : 0;
    close(fd);
    if (error != 0) {
        return error;
    }
    *h = (hall_t){.page = page, .places = places, .place = place};
    place_t *mine = &h->page->places[place];
    atomic_store_explicit(&mine->start, start_of(getpid()), memory_order_relaxed);
    /* Pairs with looks_dead: who sees the pid sees the start. */
    atomic_store_explicit(&mine->pid, (int32_t)getpid(), memory_order_release);
    return 0;
}

static bool looks_dead(const place_t *place, bool closely)
{
    pid_t pid = atomic_load_explicit(&place->pid, memory_order_acquire);
    if (pid == 0) {
        return false;
    }
    if (kill(pid, 0) != 0 && errno == ESRCH) {
        return true;
    }
    if (!closely) {
        return false;
    }
    uint64_t then = atomic_load_explicit(&place->start, memory_order_relaxed), now = start_of(pid);
    return then != 0 && now != 0 && now != then;
}

void hall_greet(hall_t *h)
{
    h->can_look = true;
    for (uint32_t i = 0; i < h->places; i++) {
        h->can_look &= !looks_dead(&h->page->places[i], true);
    }
}

void hall_meet(hall_t *h, uint32_t group, uint32_t count)
{
    place_t *barrier = &h->page->places[group];
    uint32_t round = atomic_load_explicit(&barrier->round, memory_order_acquire);
    /* Acquire and release: all that each did before is seen by all after. */
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 == count) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_fetch_add_explicit(&barrier->round, 1, memory_order_acq_rel);
        wait_wake(&barrier->round, INT_MAX);
    }
    while (atomic_load_explicit(&barrier->round, memory_order_acquire) == round) {
        wait_sleep(&barrier->round, round, NAP_NS);
    }
}

/* ---- leaving --------------------------------------------------------------------------------------------- */

static void ring(hall_t *h)
{
    /* Pairs with hall_news: who reads the new bell sees what it rings for. */
    atomic_fetch_add_explicit(&h->page->bell, 1, memory_order_release);
    wait_wake(&h->page->bell, INT_MAX);
}

uint32_t hall_news(const hall_t *h)
{
    return atomic_load_explicit(&h->page->bell, memory_order_acquire);
}

void hall_wait(hall_t *h, uint32_t seen, int64_t ns)
{
    wait_sleep(&h->page->bell, seen, ns);
}

void hall_break(hall_t *h)
{
    if (atomic_exchange_explicit(&h->page->broken, 1, memory_order_release) == 0) {
        ring(h);
    }
}

bool hall_broken(const hall_t *h)
{
    return atomic_load_explicit(&h->page->broken, memory_order_acquire) != 0;
}

void hall_leave(hall_t *h)
{
    if (atomic_exchange_explicit(&h->page->places[h->place].leaves, 1, memory_order_release) == 0) {
        atomic_fetch_add_explicit(&h->page->leaving, 1, memory_order_acq_rel);
        ring(h);
    }
}

bool hall_all_leave(const hall_t *h)
{
    return atomic_load_explicit(&h->page->leaving, memory_order_acquire) == h->places;
}

void hall_release(hall_t *h)
{
    atomic_store_explicit(&h->page->released, 1, memory_order_release);
    ring(h);
}

bool hall_released(const hall_t *h)
{
    return atomic_load_explicit(&h->page->released, memory_order_acquire) != 0;
}

bool hall_dead(const hall_t *h, uint32_t place, bool closely)
{
    const place_t *other = &h->page->places[place];
    /* Pairs with hall_leave: who is gone, and has not left by then, never will. */
    bool dead = h->can_look && looks_dead(other, closely);
    return dead && atomic_load_explicit(&other->leaves, memory_order_acquire) == 0;
}

int32_t hall_pid(const hall_t *h, uint32_t place)
{
    return atomic_load_explicit(&h->page->places[place].pid, memory_order_acquire);
}

bool hall_claim(hall_t *h, uint32_t place)
{
    return atomic_exchange_explicit(&h->page->places[place].claimed, 1, memory_order_relaxed) == 0;
}
