/*
 * pmi.h - what a process says to mpiexec without MPI (PMI version 1, which MPICH's mpiexec speaks on the descriptor
 * that PMI_FD names): that it ends as it should. Who ends and has not said so, takes the job with it.
 */
#ifndef WIRE_PMI_H
#define WIRE_PMI_H

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/* The descriptor, or -1: no such mpiexec has started us. */
static inline int pmi_descriptor(void)
{
    const char *text = getenv("PMI_FD");
    char *end;
    long fd = text != NULL ? strtol(text, &end, 10) : -1;
    return text != NULL && *text != '\0' && *end == '\0' && fd >= 0 && fd <= 1 << 20 ? (int)fd : -1;
}

static inline bool pmi_say(int fd, const char *text)
{
    /* It is a socket; nobody is to die of it. */
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Reads an answer's line, waiting no longer than that. */
static inline bool pmi_hear(int fd, int timeout_ms)
{
    char answer[256];
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ssize_t n = 1;
    while (n > 0 && poll(&ready, 1, timeout_ms) > 0) {
        n = read(fd, answer, sizeof answer);
        if (n > 0 && memchr(answer, '\n', (size_t)n) != NULL) {
            return true;
        }
    }
    return false;
}

/* Sleeps until all processes that mpiexec has started have come here, or for so long. */
static inline bool pmi_meet(int fd, int timeout_ms)
{
    return pmi_say(fd, "cmd=barrier_in\n") && pmi_hear(fd, timeout_ms);
}

/* The last thing to be said. mpiexec ends the job if it cannot answer. */
static inline bool pmi_say_finalize(int fd)
{
    return pmi_say(fd, "cmd=finalize\n") && pmi_hear(fd, 1000);
}

#endif
