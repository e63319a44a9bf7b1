/*
 * full.c - a client without room for all that a join brings it from another node: what came goes back, and so does
 * what did not find room; the join can be had once there is room. Run by t/mpi_full.sh: full URI, with one client.
 */
#include <string.h>

#include "libmemo/memo.h"
#include "t/tap.h"

#define FOLDERS 6
#define BIG 60000
#define SMALL 4000
#define THREAD_KEEPS 4 /* memos of that size, at most: HEAP_LARGE_SLOTS */

static memo_folder_t names[FOLDERS];

static bool put_all(memo_space_t *s)
{
    for (size_t i = 0; i < FOLDERS; i++) {
        memo_t *m = NULL;
        if (memo_alloc(s, BIG, &m) != MEMO_OK) {
            return false;
        }
        memset(memo_data(m), (int)i + 1, BIG);
        if (memo_put(s, &names[i], m) != MEMO_OK) {
            return false;
        }
    }
    return true;
}

static uint64_t there(memo_space_t *s)
{
    uint64_t all = 0, memos, waiters;
    for (size_t i = 0; i < FOLDERS; i++) {
        if (memo_count(s, &names[i], &memos, &waiters) == MEMO_OK) {
            all += memos;
        }
    }
    return all;
}

/* As much as there is, the last of it in small pieces. */
static size_t fill(memo_space_t *s, memo_t *held[], size_t most)
{
    size_t n = 0, size = BIG;
    while (n < most && size >= SMALL) {
        if (memo_alloc(s, size, &held[n]) == MEMO_OK) {
            n++;
        } else {
            size /= 2;
        }
    }
    return n;
}

static bool right_ones(memo_t *m[])
{
    bool right = true;
    for (size_t i = 0; i < FOLDERS; i++) {
        const unsigned char *bytes = memo_data(m[i]);
        right = right && memo_size(m[i]) == BIG && bytes[0] == i + 1 && bytes[BIG - 1] == i + 1;
    }
    return right;
}

/* With room for so many of the join's memos, or fewer. */
static void join_with_room_for(memo_space_t *s, size_t room)
{
    static memo_t *held[4096];
    memo_t *m[FOLDERS] = {NULL};
    tap_ok(put_all(s), "memos are put into the server's node");
    size_t n = fill(s, held, sizeof held / sizeof held[0]);
    for (size_t i = 0; i < room; i++) {
        memo_free(held[i]);
    }
    int result = memo_get_all_for(s, names, FOLDERS, m, 2000000000);
    bool given = false;
    for (size_t i = 0; i < FOLDERS; i++) {
        given = given || m[i] != NULL;
    }
    tap_ok(result == MEMO_EFULL && !given, "with room for %zu of %d, a join is refused and gives nothing (%d: %s)",
           room, FOLDERS, result, result < 0 ? memo_errmsg() : "");
    tap_is_int((int)there(s), FOLDERS, "all its memos are in their folders at once");
    for (size_t i = room; i < n; i++) {
        memo_free(held[i]);
    }
    tap_ok(memo_get_all_for(s, names, FOLDERS, m, 2000000000) == MEMO_OK && right_ones(m),
           "and can be had once there is room");
    for (size_t i = 0; i < FOLDERS; i++) {
        memo_free(m[i]);
    }
}

int main(int argc, char **argv)
{
    memo_space_t *s;
    int result = memo_open(&s, argc > 1 ? argv[1] : NULL);
    if (result == MEMO_SERVED) {
        return 0;
    }
    if (result != MEMO_OK) {
        tap_bail("%s", memo_errmsg());
    }
    tap_timeout(50);
    for (size_t i = 0; i < FOLDERS; i++) {
        char name[] = "full 0";
        name[5] = (char)('0' + i);
        names[i] = memo_folder(name);
    }
    /* The thread keeps some of what it frees to itself. */
    for (size_t freed = 1; freed < FOLDERS + THREAD_KEEPS; freed += 2) {
        join_with_room_for(s, freed);
    }
    tap_ok(memo_close(s) == MEMO_OK, "it closes");
    return tap_done();
}
