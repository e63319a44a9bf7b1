/*
 * kill_points_step.c - the driver: forks victims, and has them killed at their instruction (kill_points.h): by a
 * route of breakpoints (kill_points_route.h); where that cannot be, and with MEMO_PTRACE in the environment, by
 * ptrace, one instruction at a time.
 */
#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/lib/kill_points.h"
#include "t/lib/kill_points_route.h"

typedef struct order {
    uint32_t op;
    uint32_t plain;
    uint32_t twice;
    uint32_t needed;
    uint32_t second; /* where in its repair the second one dies: of 2^32 parts */
    uint64_t k;
} order_t;

extern const char __executable_start; /* the linker's */

enum { RETRACE = 64 /* second deaths by one route: first deaths differ */ };

static bool by_routes;       /* else by ptrace */
static run_t *run, *run_two; /* of the victim, and of the one who repairs after it */
static route_t route, route_two;
static uint32_t route_op = UINT32_MAX; /* whose the first is */
static uint32_t twice_since;           /* kills since the second was made */
static uint64_t jumps[ROUTE_JUMPS], jumps_two[ROUTE_JUMPS];

/* ---- victims --------------------------------------------------------------------------------------------- */

static void prepare(kp_victim_t *v, const kp_op_t *op, const char *uri)
{
    v->uri = uri;
    if (!op->closed && memo_open(&v->space, uri) != MEMO_OK) {
        _exit(3);
    }
    for (unsigned i = 0; i < KP_FOLDERS; i++) {
        v->folders[i] = kp_folder(i);
    }
    if (op->enter != NULL) {
        op->enter(v);
    }
}

static void stepped_by_driver(const kp_op_t *op, kp_victim_t *v)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        _exit(4);
    }
    raise(SIGSTOP);
    op->act(v);
    atomic_store(&run->finished, 1);
    for (;;) {
        pause();
    }
}

typedef struct doing {
    const kp_op_t *op;
    kp_victim_t *v;
} doing_t;

static void act(void *arg)
{
    doing_t *d = arg;
    d->op->act(d->v);
}

/* Whose turn it is to repair what the first one left: it needs what that one may have held, then looks for the
 * dead. */
static void repair(void *arg)
{
    kp_victim_t *v = arg;
    memo_stat_t stat;

    memo_count(v->space, &v->folders[0], &(uint64_t){0}, &(uint64_t){0});
    memo_stat(v->space, &stat, sizeof stat);
}

static void victim_two(const char *uri, const uint64_t *way, int count, route_t *write)
{
    static kp_victim_t v;
    kp_op_t op = {.closed = false};

    prepare(&v, &op, uri);
    repair(&v); /* so that it is a party with all it needs */
    raise(SIGSTOP);
    route_run(run_two, write, way, count, UINT64_MAX, false, repair, &v);
}

/* ---- by ptrace ------------------------------------------------------------------------------------------- */

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

    while (death->steps < k && atomic_load_explicit(&run->finished, memory_order_relaxed) == 0) {
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

/* The survivors do something while the victim stands still. */
static void let_survivors(int to, int from)
{
    char go;

    if (write(to, "s", 1) != 1 || read(from, &go, 1) != 1) {
        _exit(1);
    }
}

static void end_victim(pid_t pid, kp_death_t *death)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, &death->status, __WALL) == pid && !WIFSIGNALED(death->status) &&
           !WIFEXITED(death->status)) {
    }
    death->at = kp_now();
}

static void kill_by_ptrace(const order_t *order, const char *uri, int to, int from, kp_death_t *death)
{
    const kp_op_t *op = &kp_ops[order->op];
    pid_t pid = fork();

    if (pid == 0) {
        static kp_victim_t v;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prepare(&v, op, uri);
        stepped_by_driver(op, &v);
    }
    if (waitpid(pid, &death->status, __WALL) != pid || !WIFSTOPPED(death->status)) {
        death->error = WIFEXITED(death->status) && WEXITSTATUS(death->status) == 4 ? EPERM : ECHILD;
        return;
    }
    if (!step(pid, order->k, death)) {
        death->error = ECHILD; /* a crash */
        return;
    }
    death->finished = atomic_load(&run->finished) != 0;
    death->place = place_of(pid);
    if (op->meanwhile != NULL || order->needed) {
        let_survivors(to, from);
    }
    end_victim(pid, death);
}

/* ---- by routes ------------------------------------------------------------------------------------------- */

/* It has opened the space, and will repair when it is told to go on. */
static pid_t start_two(const order_t *order, const char *uri, kp_death_t *death)
{
    bool trace = route_two.count == 0 || twice_since++ >= RETRACE;
    uint64_t k = trace ? 0 : (uint64_t)route_two.count * order->second >> 32;
    int count = trace ? 0 : route_to(&route_two, k, jumps_two), status;
    pid_t pid;

    if (trace) {
        twice_since = 0;
        route_two.count = 0;
    }
    memset((void *)run_two, 0, sizeof *run_two);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        victim_two(uri, trace || count < 0 ? NULL : jumps_two, count, trace ? &route_two : NULL);
    }
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) {
        death->error = ECHILD;
        death->status = status;
        return 0;
    }
    death->second_k = k;
    return pid;
}

static void let_two_repair(pid_t pid, kp_death_t *death)
{
    int status;

    kill(pid, SIGCONT);
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        death->error = ECHILD;
        death->status = status;
    }
    death->second = atomic_load(&run_two->arrived) != 0;
    death->second_place = atomic_load(&run_two->place) - (uint64_t)(uintptr_t)&__executable_start;
    if (route_two.count == 0) {
        route_two.count = (uint32_t)(run_two->steps < ROUTE_MOST ? run_two->steps : ROUTE_MOST);
        route_plan(&route_two);
    }
}

static void kill_by_route(const order_t *order, const char *uri, int to, int from, kp_death_t *death)
{
    const kp_op_t *op = &kp_ops[order->op];
    bool trace = route_op != order->op;
    int count = trace || order->plain ? -1 : route_to(&route, order->k, jumps);
    pid_t two = order->twice ? start_two(order, uri, death) : 0, pid;

    memset((void *)run, 0, sizeof *run);
    pid = fork();
    if (pid == 0) {
        static kp_victim_t v;
        doing_t doing = {op, &v};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prepare(&v, op, uri);
        route_run(run, trace ? &route : NULL, count < 0 ? NULL : jumps, count, order->k,
                  op->meanwhile != NULL || order->needed, act, &doing);
    }
    waitpid(pid, &death->status, WUNTRACED);
    if (WIFSTOPPED(death->status)) {
        let_survivors(to, from);
        end_victim(pid, death);
    }
    if (!WIFSIGNALED(death->status) || WTERMSIG(death->status) != SIGKILL) {
        death->error = ECHILD;
    }
    death->finished = atomic_load(&run->finished) != 0;
    death->steps = atomic_load(&run->steps);
    death->place = atomic_load(&run->place) - (uint64_t)(uintptr_t)&__executable_start;
    death->missed = count >= 0 && atomic_load(&run->arrived) == 0;
    if (trace) {
        route.count = (uint32_t)(death->steps < ROUTE_MOST ? death->steps : ROUTE_MOST);
        route_plan(&route);
        route_op = order->op;
    }
    if (two != 0) {
        let_two_repair(two, death);
    }
}

/* ---- the driver ------------------------------------------------------------------------------------------ */

static kp_death_t kill_one(const order_t *order, const char *uri, int to, int from)
{
    kp_death_t death = {0};

    atomic_store(&run->finished, 0);
    if (by_routes) {
        kill_by_route(order, uri, to, from, &death);
    } else {
        kill_by_ptrace(order, uri, to, from, &death);
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

    by_routes = getenv("MEMO_PTRACE") == NULL && route_possible() && route_new(&route) && route_new(&route_two);
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

    run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run == MAP_FAILED || pipe(there) != 0 || pipe(back) != 0) {
        return false;
    }
    run_two = run + 1;
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

bool kp_kill_at(kp_driver_t *d, const kp_op_t *op, const kp_where_t *where, kp_scene_t *scene, kp_death_t *death)
{
    order_t order;
    char kind;

    memset(&order, 0, sizeof order);
    order.op = (uint32_t)(op - kp_ops);
    order.k = where->k;
    order.plain = where->plain;
    order.twice = where->twice;
    order.needed = where->needed;
    order.second = where->second;
    if (write(d->to, &order, sizeof order) != sizeof order || read(d->from, &kind, 1) != 1) {
        return false;
    }
    if (kind == 's') {
        (where->needed ? kp_need : op->meanwhile)(scene);
        if (write(d->to, "g", 1) != 1 || read(d->from, &kind, 1) != 1) {
            return false;
        }
    }
    return read(d->from, death, sizeof *death) == sizeof *death;
}
