/*
 * proc.c - what the kernel says of a process (proc.h): /proc/PID/stat and statm.
 */
#include "libmemo/node/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Their numbers as proc(5) has them. */
enum { STATE = 3, PARENT = 4, START = 22, FIELDS };

static bool read_file(pid_t pid, const char *name, char *text, size_t room)
{
    char path[40];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
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

    if (!read_file(pid, "stat", text, sizeof text) || !split(text, field))
        return false;
    p->state = field[STATE][0];
    p->parent = (pid_t)strtol(field[PARENT], NULL, 10);
    p->start = strtoull(field[START], NULL, 10);
    return true;
}

bool proc_lives(pid_t pid)
{
    proc_t p;

    return proc_read(pid, &p) && p.state != 'Z' && p.state != 'X';
}

bool proc_memory(pid_t pid, uint64_t *resident, uint64_t *own)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), all, shared;
    char text[256], *at = text;

    if (!read_file(pid, "statm", text, sizeof text))
        return false;
    strtoull(at, &at, 10); /* addresses */
    all = strtoull(at, &at, 10);
    shared = strtoull(at, &at, 10);
    *resident = all * page;
    *own = (all - shared) * page;
    return true;
}
