/*
 * proc.c - what the kernel says of a process (proc.h): /proc/PID/stat.
 */
#include "libmemo/node/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Their numbers as proc(5) has them. */
enum { STATE = 3, PARENT = 4, START = 22, RESIDENT = 24, FIELDS };

static bool read_stat(pid_t pid, char *text, size_t room)
{
    char path[40];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, room - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The second field is a name in parentheses, which may hold anything. */
static bool split(char *text, char *field[FIELDS])
{
    char *at = strrchr(text, ')'), *rest = NULL;
    int i;

    if (at == NULL)
        return false;
    for (i = STATE; i < FIELDS; i++) {
        field[i] = strtok_r(i == STATE ? at + 1 : NULL, " ", &rest);
        if (field[i] == NULL)
            return false;
    }
    return true;
}

bool proc_read(pid_t pid, proc_t *p)
{
    char text[1024], *field[FIELDS];

    if (!read_stat(pid, text, sizeof text) || !split(text, field))
        return false;
    p->state = field[STATE][0];
    p->parent = (pid_t)strtol(field[PARENT], NULL, 10);
    p->start = strtoull(field[START], NULL, 10);
    p->resident = strtoull(field[RESIDENT], NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

bool proc_lives(pid_t pid)
{
    proc_t p;

    return proc_read(pid, &p) && p.state != 'Z' && p.state != 'X';
}
