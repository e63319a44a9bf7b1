/*
 * kill_points.h - one operation of the interface, stepped through instruction by instruction and killed at one of
 * them.
 *
 * Three sorts of processes. The survivor (kill_points.c) makes a scene, and looks at what is left of it. The driver
 * (kill_points_step.c), small and of one thread, forks a victim for each kill and steps it. What there is to kill
 * is a table of operations (kill_points_ops.c).
 */
#ifndef KILL_POINTS_H
#define KILL_POINTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libmemo/memo.h"

enum {
    KP_WORKERS = 3,
    KP_FOLDERS = 16, /* kp_folder(0) ... */
    KP_HELD = 40,
    KP_FOUND = 128,
    KP_FILL = 256,         /* memos, at most, that leave no room */
    KP_LARGE = 5000,       /* bytes: pages, not a slab */
    KP_HUGE = 6000000,     /* bytes: no party keeps such a run for itself */
    KP_WAIT_SECONDS = 5,   /* a call that takes longer has been hung */
    KP_LATE_NS = 100000000 /* no call takes longer after a death (C13) */
};

/* A memo's first 8 bytes, which say its size too. */
static inline uint64_t kp_id(uint32_t number, uint32_t size)
{
    return (uint64_t)size << 32 | number;
}

memo_folder_t kp_folder(unsigned i);

/* A memo with that identity, held; NULL if there is no room. */
memo_t *kp_make(memo_space_t *space, uint64_t id);

/* Its identity; 0 if its bytes are not what kp_make wrote. */
uint64_t kp_identity(memo_t *m);

/* ---- the victim ------------------------------------------------------------------------------------------ */

typedef struct kp_victim {
    const char *uri;
    memo_space_t *space, *other;
    memo_t *m[KP_HELD];
    memo_folder_t folders[KP_FOLDERS];
} kp_victim_t;

/* ---- the scene, in the survivor -------------------------------------------------------------------------- */

typedef enum { KP_GET, KP_COPY, KP_ALT, KP_JOIN, KP_QUIET_AFTER, KP_PUT, KP_PUT_WAITED, KP_NEED } kp_work_t;

typedef struct kp_found {
    uint64_t id;
    unsigned folder;
    unsigned redeliveries;
    bool copy;
    bool worker; /* a worker took it, rather than the scene's drain */
} kp_found_t;

struct kp_scene;

/* A thread that waits as it is told. */
typedef struct kp_worker {
    struct kp_scene *scene;
    pthread_t thread;
    kp_work_t work;
    unsigned first, count; /* folders */
    uint64_t id;           /* to put */
    bool busy;
    int result;
    uint64_t done_at;
} kp_worker_t;

typedef struct kp_scene {
    memo_space_t *space;
    const char *uri;
    bool finished;     /* the victim's operation had returned when it was killed */
    _Atomic bool dead; /* it is */
    bool blocked;      /* somebody needs what the victim holds */
    memo_t *fill[KP_FILL];
    memo_space_t *other; /* of an operation that has a space of its own */
    kp_worker_t workers[KP_WORKERS];
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    kp_found_t found[KP_FOUND];
    unsigned found_count;
    bool stuck;      /* somebody hangs: nothing more can be learned here */
    char wrong[512]; /* the first thing that was */
    memo_stat_t base;
    int waits[KP_WORKERS + 1]; /* files that tell how long the threads have waited for a CPU */
    uint64_t waited;           /* nanoseconds, all of them, when the kill began */
} kp_scene_t;

/* Notes what is wrong, unless something was before. */
void kp_wrong(kp_scene_t *scene, const char *format, ...) __attribute__((format(printf, 2, 3)));

void kp_put(kp_scene_t *scene, unsigned folder, uint64_t id);

/* Gives a worker its work on `count` folders from `first` on, and waits until it waits. */
void kp_work(kp_scene_t *scene, unsigned worker, kp_work_t work, unsigned first, unsigned count);

/* The same for a put, which is not waited for; `waited`: once somebody waits there, or the victim is dead. */
void kp_work_put(kp_scene_t *scene, unsigned worker, unsigned folder, uint64_t id, bool waited);

/* Waits until all workers are done; at most KP_WAIT_SECONDS, then the scene is stuck. */
void kp_workers_done(kp_scene_t *scene);
bool kp_worker_done(kp_scene_t *scene, unsigned worker, unsigned milliseconds);

/* Takes out all that is there. */
void kp_drain(kp_scene_t *scene);

/* The memo was found between `least` and `most` times, copies left aside, and only where bit `folder` of `where` is
 * set. */
void kp_expect(kp_scene_t *scene, uint64_t id, unsigned least, unsigned most, unsigned where);

/* The first was taken before the second, if both were found. */
void kp_expect_order(kp_scene_t *scene, uint64_t first, uint64_t second);

uint64_t kp_now(void); /* nanoseconds of the monotonic clock */
memo_stat_t kp_stat(kp_scene_t *scene);

/* Opens the space, and starts the workers. */
void kp_open_scene(kp_scene_t *scene, const char *uri);

/* A section of the dead that a survivor had yet to read goes with the next handle that is closed. */
void kp_open_and_close(const char *uri);

/* Before a kill. */
void kp_begin(kp_scene_t *scene);

/* Survivors go where the dead may have held a lock. */
void kp_meet(kp_scene_t *scene);

/* Somebody wants the locks that an operation on folder 0 takes, while the victim stands still. Then, when it is
 * dead, after how many nanoseconds he had them; 0: he had them before. */
void kp_need(kp_scene_t *scene);
uint64_t kp_needed(kp_scene_t *scene, uint64_t dead_at);

/* Until the dead is gone from the space. */
void kp_await_repair(kp_scene_t *scene);

/* The space holds nothing and is what it was. Other threads may still be on their way out. */
void kp_expect_as_before(kp_scene_t *scene);

/* ---- operations ------------------------------------------------------------------------------------------ */

typedef struct kp_op {
    const char *name;
    void (*prepare)(kp_scene_t *scene);   /* what survivors do before */
    void (*enter)(kp_victim_t *v);        /* what the victim does before; its handle is open (unless `closed`) */
    void (*act)(kp_victim_t *v);          /* what is stepped through */
    void (*meanwhile)(kp_scene_t *scene); /* what survivors do while the victim stands still, before it is killed */
    void (*after)(kp_scene_t *scene);     /* what must hold then */
    const char *options;                  /* of its space, besides size= */
    bool closed;
    bool slow;         /* so many instructions that a sample is made of fewer kills */
    bool buckets_only; /* with one lock for all nobody could do anything meanwhile */
} kp_op_t;

extern const kp_op_t kp_ops[];
extern const size_t kp_ops_count;

/* ---- the driver ------------------------------------------------------------------------------------------ */

typedef struct kp_driver {
    pid_t pid;
    int to, from;
} kp_driver_t;

typedef struct kp_death {
    int error;      /* of ptrace, or 0 */
    bool finished;  /* the operation had returned */
    uint64_t steps; /* instructions executed */
    uint64_t place; /* of the next one, in this program if it is one of its own */
    int status;     /* what waitpid said, if it ended by itself */
    uint64_t at;    /* kp_now() when it was dead */
    bool missed; /* it went another way than the one before, and returned: `finished`, though k was not reached */
    bool second; /* who was to repair after it died in the midst of that, too */
    uint64_t second_k, second_place;
} kp_death_t;

/* Forks the driver; before the caller has threads. */
bool kp_driver_start(kp_driver_t *d, const char *uri);
void kp_driver_end(kp_driver_t *d);

typedef struct kp_where {
    uint64_t k;
    bool plain;      /* step by step, not by the route */
    bool needed;     /* survivors need what it holds when it dies; not with `meanwhile` */
    bool twice;      /* somebody else is to repair after it, and dies too */
    uint32_t second; /* how far in that: of 2^32 parts */
} kp_where_t;

/* Has a victim killed at instruction k; `meanwhile`, if any, is called before. False: the driver is gone. */
bool kp_kill_at(kp_driver_t *d, const kp_op_t *op, const kp_where_t *where, kp_scene_t *scene, kp_death_t *death);

#endif
