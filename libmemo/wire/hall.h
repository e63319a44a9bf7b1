/*
 * hall.h - where the processes of one job on one real node meet when they come and when they leave: a page of
 * shared memory, so that whoever waits there sleeps. (MPICH's own barriers spin.)
 *
 * Processes have places, 0 to places-1. No process may wait for ever for one that died: those that wait to leave
 * look whether the others still live.
 */
#ifndef WIRE_HALL_H
#define WIRE_HALL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct hall {
    struct hall_page *page; /* NULL: not open */
    uint32_t places, place;
    bool can_look; /* all were seen to live, from here, while they did */
} hall_t;

/* Makes it, all zero, under a name in /dev/shm. 0, or an errno; then there is nothing. */
int hall_make(const char *name, uint32_t places);

/* Opens it and takes a place there. 0, or an errno. */
int hall_enter(hall_t *h, const char *name, uint32_t places, uint32_t place);

/* When all have entered, or given up. */
void hall_remove(const char *name);

/* Once all have entered: whether this process can see the others. */
void hall_greet(hall_t *h);

/* Sleeps until `count` processes have come to the barrier `group` (below `places`), as often as they like. */
void hall_meet(hall_t *h, uint32_t group, uint32_t count);

/* Somebody of the job has died: nobody waits here any longer. */
void hall_break(hall_t *h);
bool hall_broken(const hall_t *h);

/* This process is about to leave. */
void hall_leave(hall_t *h);

/* All of the node are. */
bool hall_all_leave(const hall_t *h);

/* All of the job are: said by one of the node. */
void hall_release(hall_t *h);
bool hall_released(const hall_t *h);

/* Sleeps until anything above has happened since `seen` was read by hall_news, or for `ns`. */
uint32_t hall_news(const hall_t *h);
void hall_wait(hall_t *h, uint32_t seen, int64_t ns);

/* Whether the process of that place has died before it left. Only a close look, which takes some 20 us, finds one
 * dead whose number another process has got since. */
bool hall_dead(const hall_t *h, uint32_t place, bool closely);

/* The process of that place; 0: it has not come. */
int32_t hall_pid(const hall_t *h, uint32_t place);

/* True for one of those who ask about that place: it is to tell others. */
bool hall_claim(hall_t *h, uint32_t place);

#endif
