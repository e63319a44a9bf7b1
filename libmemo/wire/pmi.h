/*
 * pmi.h - what a process says to mpiexec without MPI: that it ends as it should (PMI version 1, which MPICH's
 * mpiexec speaks on the descriptor that PMI_FD names). Who has not said so and ends, takes the job with it.
 */
#ifndef WIRE_PMI_H
#define WIRE_PMI_H

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The descriptor, or -1: no such mpiexec has started us. */
static inline int pmi_descriptor(void)
{
    const char *text = getenv("PMI_FD");
    char *end;
    long fd = text != NULL ? strtol(text, &end, 10) : -1;
    return text != NULL && *text != '\0' && *end == '\0' && fd >= 0 && fd <= 1 << 20 ? (int)fd : -1;
}

/*
 * Says it, and reads the answer, for a second at most: somebody else may be reading there, a thread that is stuck
 * in MPI_Finalize. False: mpiexec does not hear.
 */
static inline bool pmi_say_finalize(int fd)
{
    static const char said[] = "cmd=finalize\n";
    char answer[256];
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    /* It is a socket; nobody is to die of it. */
    if (send(fd, said, sizeof said - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof said - 1)) {
        return false;
    }
    for (;;) {
        ssize_t n = poll(&ready, 1, 1000) > 0 ? read(fd, answer, sizeof answer) : -1;
        if (n <= 0 || memchr(answer, '\n', (size_t)n) != NULL) {
            return true;
        }
    }
}

#endif
