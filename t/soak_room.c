/*
 * soak_room.c - what one handle has freed, another can have: nothing stays with those who were busy once.
 */
#include "t/tap.h"

#include "libmemo/memo.h"

enum { MEMOS = 400 };

static void check(int result, const char *what)
{
    if (result != MEMO_OK) {
        tap_bail("%s: %s", what, memo_errmsg());
    }
}

/* Memos of all sizes, all at once, then none. */
static void be_busy(memo_space_t *space)
{
    static memo_t *m[MEMOS];
    for (size_t i = 0; i < MEMOS; i++) {
        check(memo_alloc(space, (size_t)16 << i % 12, &m[i]), "memo_alloc");
    }
    for (size_t i = 0; i < MEMOS; i++) {
        memo_free(m[i]);
    }
}

/* How many memos of that size there is room for, now. */
static size_t fill(memo_space_t *space, size_t size)
{
    memo_folder_t folder = memo_folder("full");
    size_t n = 0;
    for (memo_t *m; memo_alloc(space, size, &m) == MEMO_OK; n++) {
        check(memo_put(space, &folder, m), "memo_put");
    }
    return n;
}

/* How many there is room for when another was busy before, and is asked to give back what it freed. */
static size_t room_beside(const char *scheme, bool busy)
{
    char uri[128];
    memo_space_t *a, *b;
    snprintf(uri, sizeof uri, "%s:t-room-%d?size=8M", scheme, (int)getpid());
    check(memo_open(&a, uri), uri);
    check(memo_open(&b, uri), uri);
    if (busy) {
        be_busy(a);
    }
    size_t room = fill(b, 1000); /* who finds no room asks the others; they give at their next call */
    memo_t *m;
    memo_free(memo_alloc(a, 1, &m) == MEMO_OK ? m : NULL);
    room += fill(b, 1000);
    memo_close(a);
    memo_close(b);
    memo_unlink(uri);
    return room;
}

static void room_comes_back(const char *scheme)
{
    size_t room = room_beside(scheme, false), beside = room_beside(scheme, true);
    tap_ok(beside + 20 >= room, "%s: room for %zu memos beside one who never worked, for %zu beside one who did",
           scheme, room, beside);
}

int main(void)
{
    tap_timeout(60);
    room_comes_back("shm-bucket");
    room_comes_back("shm-lock");
    return tap_done();
}
