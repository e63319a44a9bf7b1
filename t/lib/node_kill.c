/*
 * node_kill.c - a child that is killed after so many instructions (node_bench.h).
 *
 * On x86-64 the child counts them itself: with the trap flag set, each instruction is followed by a SIGTRAP, whose
 * handler does the killing. Elsewhere it is stepped by its parent, which takes far longer.
 */
#include "t/lib/node_bench.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static volatile long *made; /* shared with the child */
static long allowed;

#if defined(__x86_64__)
#define COUNTS_ITSELF true

static void count_one(int signal_number)
{
    (void)signal_number;
    if (*made >= allowed)
        kill(getpid(), SIGKILL);
    ++*made;
}

static void count_from_here(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = count_one;
    sigaction(SIGTRAP, &action, NULL);
    __asm__ __volatile__("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
}
#else
#define COUNTS_ITSELF false

static void count_from_here(void)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
}
#endif

static void victim(const bench_victim_t *v)
{
    node_t *n = calloc(1, sizeof *n);

    if (!v->unopened)
        bench_open(n, BENCH_BYTES);
    if (v->prepare != NULL)
        v->prepare(n, v->arg);
    count_from_here();
    v->op(n, v->arg);
    kill(getpid(), SIGKILL);
    for (;;)
        ;
}

static void step_it(pid_t child)
{
    int status;

    waitpid(child, &status, 0);
    while (WIFSTOPPED(status)) {
        if (++*made > allowed)
            kill(child, SIGKILL);
        else if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0)
            return;
        waitpid(child, &status, 0);
    }
}

long bench_kill_after(const bench_victim_t *v, long instructions)
{
    pid_t child;
    int status;

    if (made == NULL) {
        made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (made == MAP_FAILED)
            tap_bail("no shared page");
    }
    *made = 0;
    allowed = instructions;
    child = tap_fork();
    if (child == 0)
        victim(v);
    if (!COUNTS_ITSELF)
        step_it(child);
    else if (waitpid(child, &status, 0) != child)
        tap_bail("the victim is gone");
    return *made;
}
