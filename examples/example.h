/*
 * example.h - what every example needs besides the library: stop with a sentence when a call fails, and read a
 * number from the command line.
 */
#ifndef EXAMPLES_EXAMPLE_H
#define EXAMPLES_EXAMPLE_H

#include <memo.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Says what went wrong and ends this process. */
__attribute__((format(printf, 1, 2))) _Noreturn static inline void quit(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

/*
 * For calls after whose failure there is nothing sensible left to do. A server's rank (over MPI) comes back from
 * memo_open with MEMO_SERVED, when all clients have closed: its work is done.
 */
static inline void must(int result, const char *doing)
{
    if (result == MEMO_OK)
        return;
    if (result == MEMO_SERVED)
        exit(EXIT_SUCCESS);
    quit("%s: %s", doing, result < 0 ? memo_errmsg() : memo_strerror(result));
}

/* A whole number between least and most, or the end of the program. */
static inline int64_t number(const char *text, int64_t least, int64_t most)
{
    char *end;

    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most)
        quit("'%s' should be a whole number from %lld to %lld", text, (long long)least, (long long)most);
    return value;
}

#endif
