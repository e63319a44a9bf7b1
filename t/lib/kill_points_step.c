/*
 * kill_points_step.c - the driver: forks victims, steps them one instruction at a time, kills them (kill_points.h).
 */
#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/lib/kill_points.h"

typedef struct order {
    uint32_t op;
    uint64_t k;
} order_t;

extern const char __executable_start; /* the linker's */

/* The victim says here that its operation has returned. */
static _Atomic uint32_t *finished;

static void victim(const kp_op_t *op, const char *uri)
{
    static kp_victim_t v;

    v.uri = uri;
    if (!op->closed && memo_open(&v.space, uri) != MEMO_OK) {
        _exit(3);
    }
    for (unsigned i = 0; i < KP_FOLDERS; i++) {
        v.folders[i] = kp_folder(i);
    }
    if (op->enter != NULL) {
        op->enter(&v);
    }
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        _exit(4);
    }
    raise(SIGSTOP);
    op->act(&v);
    atomic_store(finished, 1);
    for (;;) {
        pause();
    }
}

static uint64_t place_of(pid_t pid)
{
    struct user_regs_struct regs;
    struct iovec io = {&regs, sizeof regs};

    if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &io) != 0) {
        return 0;
    }
#if defined(__x86_64__)
    return regs.rip - (uint64_t)(uintptr_t)&__executable_start;
#elif defined(__aarch64__)
    return regs.pc - (uint64_t)(uintptr_t)&__executable_start;
#else
    return 0;
#endif
}

/* To instruction k, or to the operation's end. False: it ended by itself. */
static bool step(pid_t pid, uint64_t k, kp_death_t *death)
{
    long deliver = 0;

    while (death->steps < k && atomic_load_explicit(finished, memory_order_relaxed) == 0) {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, (void *)deliver) != 0) {
            death->error = errno;
            return true;
        }
        if (waitpid(pid, &death->status, __WALL) != pid || !WIFSTOPPED(death->status)) {
            return false;
        }
        if (WSTOPSIG(death->status) == SIGSEGV || WSTOPSIG(death->status) == SIGBUS) {
            death->place = place_of(pid);
            kill(pid, SIGKILL);
            waitpid(pid, NULL, __WALL);
            return false;
        }
        deliver = WSTOPSIG(death->status) == SIGTRAP ? 0 : WSTOPSIG(death->status);
        death->steps++;
    }
    return true;
}

static kp_death_t kill_one(const order_t *order, const char *uri, int to, int from)
{
    kp_death_t death = {0};
    char go;
    pid_t pid;

    atomic_store(finished, 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        victim(&kp_ops[order->op], uri);
    }
    if (waitpid(pid, &death.status, __WALL) != pid || !WIFSTOPPED(death.status)) {
        death.error = WIFEXITED(death.status) && WEXITSTATUS(death.status) == 4 ? EPERM : ECHILD;
        return death;
    }
    if (!step(pid, order->k, &death)) {
        death.error = ECHILD; /* a crash */
        return death;
    }
    death.finished = atomic_load(finished) != 0;
    death.place = place_of(pid);
    if (kp_ops[order->op].meanwhile != NULL && (write(to, "s", 1) != 1 || read(from, &go, 1) != 1)) {
        _exit(1);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, &death.status, __WALL) == pid && !WIFSIGNALED(death.status) && !WIFEXITED(death.status)) {
    }
    return death;
}

/* Both on one processor, where taking turns is cheapest; its spinning is then that of a single one. */
static void take_one_cpu(void)
{
    cpu_set_t set, one;
    size_t i;

    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return;
    }
    CPU_ZERO(&one);
    for (i = CPU_SETSIZE - 1; i > 0 && !CPU_ISSET(i, &set); i--) {
    }
    CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
}

/* What a program does once, it has done when its victims are forked. */
static void warm_up(const char *uri)
{
    memo_folder_t folder = kp_folder(0);
    memo_space_t *space;
    memo_request_t *r;
    memo_select_t select = MEMO_SELECT_INIT;
    memo_t *m;
    size_t which;

    if (memo_open(&space, uri) != MEMO_OK) {
        _exit(1);
    }
    memo_put(space, &folder, kp_make(space, kp_id(1, 8)));
    if (memo_get_for(space, &folder, &m, 0) == MEMO_OK) {
        memo_free(m);
    }
    memo_get_for(space, &folder, &m, 1000);
    memo_strict_alt_skip(space, (memo_folder_t[]){folder, folder}, 2, &m, &which);
    memo_get_all_for(space, &folder, 1, &m, 0);
    select.folders = &folder;
    select.count = 1;
    if (memo_start(space, &select, &r) == MEMO_OK) {
        memo_test(r, &m, &which);
        memo_cancel(r);
    }
    memo_close(space);
}

static void drive(const char *uri, int to, int from)
{
    order_t order;

    take_one_cpu();
    warm_up(uri);
    if (write(to, "r", 1) != 1) {
        _exit(1);
    }
    while (read(from, &order, sizeof order) == sizeof order) {
        kp_death_t death = kill_one(&order, uri, to, from);
        if (write(to, "d", 1) != 1 || write(to, &death, sizeof death) != sizeof death) {
            break;
        }
    }
    _exit(0);
}

bool kp_driver_start(kp_driver_t *d, const char *uri)
{
    int there[2], back[2];
    char ready;

    finished = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (finished == MAP_FAILED || pipe(there) != 0 || pipe(back) != 0) {
        return false;
    }
    d->pid = fork();
    if (d->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(there[1]);
        close(back[0]);
        drive(uri, back[1], there[0]);
    }
    close(there[0]);
    close(back[1]);
    d->to = there[1];
    d->from = back[0];
    return d->pid > 0 && read(d->from, &ready, 1) == 1;
}

void kp_driver_end(kp_driver_t *d)
{
    close(d->to);
    close(d->from);
    waitpid(d->pid, NULL, 0);
}

bool kp_kill_at(kp_driver_t *d, const kp_op_t *op, uint64_t k, kp_scene_t *scene, kp_death_t *death)
{
    order_t order;
    char kind;

    memset(&order, 0, sizeof order);
    order.op = (uint32_t)(op - kp_ops);
    order.k = k;
    if (write(d->to, &order, sizeof order) != sizeof order || read(d->from, &kind, 1) != 1) {
        return false;
    }
    if (kind == 's') {
        op->meanwhile(scene);
        if (write(d->to, "g", 1) != 1 || read(d->from, &kind, 1) != 1) {
            return false;
        }
    }
    return read(d->from, death, sizeof *death) == sizeof *death;
}
