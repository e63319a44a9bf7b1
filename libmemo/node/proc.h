/*
 * proc.h - what the kernel says of a process of this machine, whoever's it is.
 */
#ifndef PROC_H
#define PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct proc {
    char state; /* as ps shows it */
    pid_t parent;
    uint64_t start; /* when it started, in the kernel's ticks: a pid may be given twice */
} proc_t;

/* A process, or a thread, by its number. False: there is none, or it cannot be known; *p is as it was. */
bool proc_read(pid_t pid, proc_t *p);

/* Whether it runs, or will. One that was killed is there until its parent has waited for it; that does not live. */
bool proc_lives(pid_t pid);

/* Bytes of its memory that are there: all, and those that are not files' or shared. False as above. */
bool proc_memory(pid_t pid, uint64_t *resident, uint64_t *own);

#endif
