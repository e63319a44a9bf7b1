/*
 * region.h - memory that processes of one machine share.
 *
 * A region is a file in shared memory (/dev/shm/memo.NAME), or an anonymous one (a memfd), mapped by every
 * participant at an address of its own: whatever lives in it refers by offset. It is created privately and
 * published whole: a name never stands for a region that is not ready. What the region holds is decided by its
 * user (`format`); region.c knows only the header, the pages, and the life locks.
 *
 * Life locks. Participant k of a region proves that it lives by an open-file-description lock on one byte far
 * behind the region's end. The kernel gives it up after the last thread of the process has ended, so whoever sees
 * it free knows that the dead one executes no instruction any more. Each region_t has an open file description of
 * its own, closed on exec; a forked child gives its copies up with region_forget (called from an atfork handler).
 */
#ifndef REGION_H
#define REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGION_HEADER_BYTES 4096 /* the header's page; the user's part begins behind it */
#define REGION_KIND_MAX 16
#define REGION_NAME_MAX 200
#define REGION_MIN_BYTES (256u * 1024u)

/* This process's view of a region. */
typedef struct region {
    char *base;                         /* where it is mapped */
    uint64_t size;                      /* bytes mapped: all of it */
    int fd;                             /* own open file description; carries this view's life locks */
    bool created;                       /* by this call, rather than found */
    struct region_anonymous *anonymous; /* region.c's; NULL for a named one */
} region_t;

typedef struct region_spec {
    const char *name; /* without a slash; may be empty for an anonymous one */
    bool anonymous;   /* shared with forked children only, who attach by the same kind and name */
    uint64_t size;    /* when created: rounded up to pages; at least REGION_MIN_BYTES */
    uint32_t mode;    /* of a named one's file, whatever the umask; 0: not said, which makes it 0600 */
    uint32_t group;   /* that the file belongs to, where group_given */
    bool group_given;
    const char *kind;     /* at most REGION_KIND_MAX - 1 bytes; a region of another kind is MEMO_EBUSY */
    uint32_t version;     /* of the layout; another one is MEMO_EVERSION */
    uint64_t fingerprint; /* of every layout parameter; another one is MEMO_EVERSION */
    /* Fills a new region in, before anyone else can see it. Header and pages up to region_committed() are there
     * and zero. A result other than MEMO_OK is region_open's, and the region is gone. */
    int (*format)(region_t *r, void *arg);
    void *arg;
} region_spec_t;

/*
 * Attaches to the region, creating it when absent; two that create at once agree on one. Errors, each with its
 * sentence: MEMO_EINVAL (name with a slash, size too small), MEMO_EIO (the system refused), MEMO_EFULL (no room in
 * /dev/shm), MEMO_ECORRUPT (not a region; truncated: shorter or longer than its header says), MEMO_EVERSION,
 * MEMO_EBUSY (another kind, another mode or group than the spec's; another user's, and the spec says no mode),
 * MEMO_ENOMEM.
 */
int region_open(region_t *r, const region_spec_t *spec);

/* Opens what is there for reading alone, and maps nothing: r has its size and descriptor. MEMO_NONE, without a
 * sentence: there is no such name; else region_open's errors. */
int region_look(region_t *r, const region_spec_t *spec);

/* Unmaps and closes; the life locks of this view go. */
void region_close(region_t *r);

/* In a forked child: the same for an inherited view; the parent's locks and region are untouched. */
void region_forget(region_t *r);

/* Removes the name. MEMO_NONE when there is none; MEMO_EBUSY when it is of another kind; a file that is not a
 * region is left alone (MEMO_ECORRUPT); a region of another version is removed. */
int region_unlink(const char *name, const char *kind);

/*
 * Makes pages [0, upto) of the region really there, so that touching them cannot fault when the file system is
 * full: MEMO_EFULL then. Idempotent; any process, any time. The first REGION_COMMITTED_AT_START are there from the
 * start.
 */
#define REGION_COMMITTED_AT_START (192u * 1024u)
int region_commit(region_t *r, uint64_t from, uint64_t upto);

/* Gives whole pages inside [from, upto) back to the system; they read zero, and are there again when touched. */
void region_release(region_t *r, uint64_t from, uint64_t upto);

/* Takes life lock `index` for this view. MEMO_OK, MEMO_EBUSY if another view holds it, MEMO_EIO. */
int region_life_take(region_t *r, unsigned index);
void region_life_drop(region_t *r, unsigned index);

/* Whether some *other* view, in this process or another, holds life lock `index`. A failing look-up counts as
 * alive: only the kernel's word makes someone dead. */
bool region_life_held(region_t *r, unsigned index);

#endif
