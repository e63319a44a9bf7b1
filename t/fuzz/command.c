/*
 * command.c - fuzz target: the words behind `memo`, each ended by a NUL byte.
 *
 * It goes as far as opening or removing a space, which fails here: no space, file or process comes of it. The
 * linker (Makefile: COMMAND_WRAPS) sends the calls that would leave or reach out to the stand-ins below.
 */
#include "t/fuzz/fuzz.h"

#include <setjmp.h>

/* The program, as a function. */
#define main memo_main
#include "servers/memo.c" // NOLINT(bugprone-suspicious-include)
#undef main

enum { WORDS = 24, BYTES = 4096, BLOCKS = 64 };

/* The linker's names. */
// NOLINTBEGIN(bugprone-reserved-identifier)
_Noreturn void __real_exit(int status);
int __real_close(int fd);
void *__real_allocate(size_t count, size_t size);
_Noreturn void __wrap_exit(int status);
int __wrap_close(int fd);
void *__wrap_allocate(size_t count, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);
pid_t __wrap_janitor_start(const char *uri, int *leash);
int __wrap_memo_open(memo_space_t **space, const char *uri);
int __wrap_memo_unlink(const char *uri);

static bool running;
static jmp_buf end;
static int ended_with;
static void *blocks[BLOCKS]; /* the program leaves them to its end */
static size_t used;

void __wrap_exit(int status)
{
    if (!running) {
        __real_exit(status);
    }
    ended_with = status;
    longjmp(end, 1);
}

int __wrap_close(int fd)
{
    return running && fd == STDOUT_FILENO ? 0 : __real_close(fd);
}

void *__wrap_allocate(size_t count, size_t size)
{
    void *block = __real_allocate(count, size);
    if (running && used < BLOCKS) {
        blocks[used++] = block;
    }
    return block;
}

void __wrap_free(void *block)
{
    for (size_t i = 0; running && i < used; i++) {
        if (blocks[i] == block) {
            blocks[i] = NULL;
        }
    }
    __real_free(block);
}

pid_t __wrap_janitor_start(const char *uri, int *leash)
{
    (void)uri;
    (void)leash;
    __wrap_exit(EXIT_ERROR);
}

int __wrap_memo_open(memo_space_t **space, const char *uri)
{
    *space = NULL;
    fuzz_must(uri == NULL || strlen(uri) < 2 * BYTES);
    return MEMO_EPEER;
}

int __wrap_memo_unlink(const char *uri)
{
    fuzz_must(uri == NULL || strlen(uri) < 2 * BYTES);
    return MEMO_EPEER;
}
// NOLINTEND(bugprone-reserved-identifier)

/* A program that ends frees nothing. */
const char *__asan_default_options(void); // NOLINT(bugprone-reserved-identifier)
const char *__asan_default_options(void)  // NOLINT(bugprone-reserved-identifier)
{
    return "detect_leaks=0";
}

/* What the program prints is not ours to show. */
static void quieten(void)
{
    static bool done;
    if (!done) {
        unsetenv("PMI_FD");
        unsetenv("MEMO_SPACE");
        fuzz_must(freopen("/dev/null", "w", stdout) != NULL);
        done = true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char name[] = "memo", text[BYTES + 1]; /* parts of the program remember words */
    char *words[WORDS + 2] = {name};
    volatile int count = 1;
    if (size > BYTES) {
        return 0;
    }
    quieten();
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t at = 0; at < size && count <= WORDS; at += strlen(text + at) + 1) {
        words[count++] = text + at;
    }
    uri_given = NULL;
    optind = 0;
    used = 0;
    ended_with = -1;
    running = true;
    if (setjmp(end) == 0) {
        ended_with = memo_main(count, words);
    }
    running = false;
    for (size_t i = 0; i < used; i++) {
        free(blocks[i]);
    }
    fuzz_must(ended_with >= EXIT_DONE && ended_with <= EXIT_ERROR);
    return 0;
}
