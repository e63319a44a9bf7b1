/*
 * tap.h - a small producer of the Test Anything Protocol (version 13), read by prove.
 *
 * Header only; what it counts is one per program, however many of its files include this (weak definitions).
 * Any thread may call anything. After fork only the process that was there first prints to stdout: in a child a
 * failed check goes to stderr as a comment, and makes the child's tap_done() return 1, so that
 * `_exit(tap_done())` tells the parent. tap_adopt() makes the calling process the one that prints.
 */
#ifndef TAP_H
#define TAP_H

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define TAP_PRINTF(f, a) __attribute__((format(printf, f, a), unused))

struct tap_state {
    pthread_mutex_t lock;
    pid_t printer; /* the process whose stdout prove reads */
    int planned;   /* 0: the plan comes last */
    int ran;
    int failed;
    int child_failed; /* checks that failed in this process while it was not the printer */
    bool started;     /* the version line is out */
    bool seeded;
    uint64_t seed;
    unsigned wedge_seconds;
    void (*on_wedge)(void); /* says what is to be said about a wedge, in the process that prints */
};

__attribute__((weak)) struct tap_state tap_state = {.lock = PTHREAD_MUTEX_INITIALIZER};

__attribute__((constructor, unused)) static void tap_note_printer(void)
{
    if (tap_state.printer == 0) {
        tap_state.printer = getpid();
    }
}

static inline bool tap_prints(void)
{
    return tap_state.printer == getpid();
}

/* Before the first line; under the lock. */
static inline void tap_begin(void)
{
    if (!tap_state.started) {
        tap_state.started = true;
        printf("TAP version 13\n");
    }
}

/* From now on this process prints, and its count starts over: for a child whose stdout is a test of its own. */
__attribute__((unused)) static inline void tap_adopt(void)
{
    pthread_mutex_init(&tap_state.lock, NULL);
    tap_state.printer = getpid();
    tap_state.planned = tap_state.ran = tap_state.failed = tap_state.child_failed = 0;
    tap_state.started = false;
}

/* How many checks there will be. Without it tap_done() says how many there were. */
__attribute__((unused)) static inline void tap_plan(int checks)
{
    if (!tap_prints()) {
        return;
    }
    pthread_mutex_lock(&tap_state.lock);
    tap_begin();
    tap_state.planned = checks;
    printf("1..%d\n", checks);
    fflush(stdout);
    pthread_mutex_unlock(&tap_state.lock);
}

/* A comment, line by line, each behind "# ". */
static inline void tap_comment(FILE *to, const char *text)
{
    while (*text != '\0') {
        size_t line = strcspn(text, "\n");
        fprintf(to, "# %.*s\n", (int)line, text);
        text += line + (text[line] == '\n');
    }
    fflush(to);
}

TAP_PRINTF(1, 2) static inline void tap_diag(const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!tap_prints()) {
        tap_comment(stderr, text);
        return;
    }
    pthread_mutex_lock(&tap_state.lock);
    tap_begin();
    tap_comment(stdout, text);
    pthread_mutex_unlock(&tap_state.lock);
}

/* One result line; `note` follows a failure as a comment, `directive` stands behind the name. Returns pass. */
static inline bool tap_result(bool pass, const char *directive, const char *note, const char *format, va_list args)
{
    char name[1024];
    vsnprintf(name, sizeof name, format, args);
    for (char *c = name; *c != '\0'; c++) {
        if (*c == '#' || *c == '\n') {
            *c = '_'; /* either would end the name */
        }
    }
    if (!tap_prints()) {
        if (!pass) {
            __atomic_add_fetch(&tap_state.child_failed, 1, __ATOMIC_RELAXED);
            fprintf(stderr, "# process %d: not ok - %s%s%s\n", (int)getpid(), name, *note ? ": " : "", note);
        }
        return pass;
    }
    pthread_mutex_lock(&tap_state.lock);
    tap_begin();
    printf("%sok %d - %s%s\n", pass ? "" : "not ", ++tap_state.ran, name, directive);
    tap_state.failed += !pass;
    if (!pass) {
        tap_comment(stdout, note);
    }
    fflush(stdout);
    pthread_mutex_unlock(&tap_state.lock);
    return pass;
}

TAP_PRINTF(2, 3) static inline bool tap_ok(bool pass, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tap_result(pass, "", "", format, args);
    va_end(args);
    return pass;
}

TAP_PRINTF(3, 4) static inline bool tap_is_int(long long got, long long want, const char *format, ...)
{
    char note[96];
    snprintf(note, sizeof note, "got %lld\nwant %lld", got, want);
    va_list args;
    va_start(args, format);
    tap_result(got == want, "", note, format, args);
    va_end(args);
    return got == want;
}

TAP_PRINTF(3, 4) static inline bool tap_is_str(const char *got, const char *want, const char *format, ...)
{
    bool pass = got != NULL && want != NULL && strcmp(got, want) == 0;
    char note[1024];
    snprintf(note, sizeof note, "got  %s\nwant %s", got ? got : "(null)", want ? want : "(null)");
    va_list args;
    va_start(args, format);
    tap_result(pass, "", note, format, args);
    va_end(args);
    return pass;
}

/* A check that could not be made here, and why. It does not count as passed in what a person reads. */
TAP_PRINTF(2, 3) static inline void tap_skip(const char *why, const char *format, ...)
{
    char directive[256];
    snprintf(directive, sizeof directive, " # SKIP %s", why);
    va_list args;
    va_start(args, format);
    tap_result(true, directive, "", format, args);
    va_end(args);
}

/* Ends the program, and tells prove to stop the whole run. */
TAP_PRINTF(1, 2) __attribute__((noreturn)) static inline void tap_bail(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (tap_prints()) {
        printf("Bail out! %s\n", text);
        fflush(stdout);
    } else {
        fprintf(stderr, "# process %d: bail out: %s\n", (int)getpid(), text);
    }
    _exit(255);
}

/* The seed of everything random: $MEMO_SEED, or one of its own; printed once, so that a run can be repeated. */
__attribute__((unused)) static inline uint64_t tap_seed(void)
{
    pthread_mutex_lock(&tap_state.lock);
    bool first = !tap_state.seeded;
    if (first) {
        const char *given = getenv("MEMO_SEED");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t own = ((uint64_t)now.tv_nsec << 20) ^ (uint64_t)now.tv_sec ^ ((uint64_t)getpid() << 44);
        tap_state.seed = given && *given ? strtoull(given, NULL, 0) : own;
        tap_state.seeded = true;
    }
    uint64_t seed = tap_state.seed;
    pthread_mutex_unlock(&tap_state.lock);
    if (first) {
        tap_diag("seed %" PRIu64, seed);
    }
    return seed;
}

/* Async-signal-safe, write and _exit alone, but for on_wedge; should that hang, the next alarm ends the process. */
static inline void tap_wedged(int signal_number)
{
    (void)signal_number;
    static const char text[] = "# wedged: the time set by tap_timeout() is over\n", bail[] = "Bail out! wedged\n";
    ssize_t ignored = write(tap_prints() ? 1 : 2, text, sizeof text - 1);
    if (tap_prints() && tap_state.on_wedge != NULL) {
        sigset_t alarms;
        signal(SIGALRM, SIG_DFL);
        sigemptyset(&alarms);
        sigaddset(&alarms, SIGALRM);
        sigprocmask(SIG_UNBLOCK, &alarms, NULL);
        alarm(20);
        tap_state.on_wedge();
    }
    ignored = write(tap_prints() ? 1 : 2, bail, sizeof bail - 1);
    (void)ignored;
    _exit(255);
}

/* The program ends with "Bail out!" when it is not done in so many seconds from now; 0 takes the guard away. */
__attribute__((unused)) static inline void tap_timeout(unsigned seconds)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = tap_wedged;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    tap_state.wedge_seconds = seconds;
    alarm(seconds);
}

/* fork for tests: the child ends when the thread that made it does, and has the wedge guard too. */
__attribute__((unused)) static inline pid_t tap_fork(void)
{
    fflush(stdout);
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(255);
        }
        pthread_mutex_init(&tap_state.lock, NULL);
        alarm(tap_state.wedge_seconds);
    }
    return child;
}

/* Prints the plan if there was none; the status to exit with. */
__attribute__((unused)) static inline int tap_done(void)
{
    if (!tap_prints()) {
        return __atomic_load_n(&tap_state.child_failed, __ATOMIC_RELAXED) != 0;
    }
    pthread_mutex_lock(&tap_state.lock);
    tap_begin();
    if (tap_state.planned == 0) {
        printf("1..%d\n", tap_state.ran);
    }
    bool right = tap_state.failed == 0 && tap_state.ran > 0 &&
                 (tap_state.planned == 0 || tap_state.planned == tap_state.ran);
    fflush(stdout);
    pthread_mutex_unlock(&tap_state.lock);
    return right ? 0 : 1;
}

#endif
