/*
 * handles.c - the registry of handles: what is a handle, whose memory an address is, and what a fork leaves.
 */
#include "libmemo/api/handles.h"
#include "t/tap.h"

#include <sys/wait.h>

typedef struct fake {
    memo_space_t space;
    char *memory;
    unsigned forgotten;
} fake_t;

#define MEMORY 1000

static void forget(memo_space_t *space)
{
    ((fake_t *)space)->forgotten++;
}

static const memo_backend_t backend = {.scheme = "fake", .forget = forget};

static fake_t *opened(void)
{
    fake_t *fake = (fake_t *)handles_new(sizeof *fake);

    fake->memory = malloc(MEMORY);
    fake->space.backend = &backend;
    if (handles_register(&fake->space, fake->memory, MEMORY) != MEMO_OK) {
        tap_bail("cannot register");
    }
    fake->space.open = true;
    return fake;
}

static void closed(fake_t *fake)
{
    fake->space.open = false;
    handles_retire(&fake->space);
    free(fake->memory);
}

static bool owns(fake_t *fake)
{
    return handles_of(fake->memory) == &fake->space && handles_of(fake->memory + MEMORY - 1) == &fake->space &&
           handles_of(fake->memory + MEMORY) != &fake->space && handles_of(fake->memory - 1) != &fake->space;
}

static void many_handles(void)
{
    enum { MANY = 300 };
    fake_t *fakes[MANY];
    unsigned known = 0, right = 0;
    int garbage = 0;

    tap_ok(!handles_known(NULL) && handles_of(NULL) == NULL, "NULL is neither handle nor memory");
    for (unsigned i = 0; i < MANY; i++) {
        fakes[i] = opened();
    }
    for (unsigned i = 0; i < MANY; i++) {
        known += handles_known(&fakes[i]->space);
        right += owns(fakes[i]);
    }
    tap_is_int(known, MANY, "each of %d handles is known", MANY);
    tap_is_int(right, MANY, "each has its memory from the first to the last byte, and no more");
    tap_ok(!handles_known((memo_space_t *)&garbage) && !handles_known((memo_space_t *)8), "other pointers are not");
    tap_ok(handles_of(&garbage) == NULL, "other memory is nobody's");
    for (unsigned i = 0; i < MANY; i += 2) {
        closed(fakes[i]);
    }
    right = 0;
    for (unsigned i = 1; i < MANY; i += 2) {
        right += owns(fakes[i]);
    }
    tap_is_int(right, MANY / 2, "closing every other one leaves the rest");
    tap_ok(handles_known(&fakes[0]->space) && !fakes[0]->space.open, "a closed handle is known, and closed");
    for (unsigned i = 1; i < MANY; i += 2) {
        closed(fakes[i]);
    }
}

/* A handle's memory comes back, zeroed, but only after HANDLES_KEPT others were closed after it. */
static void recycling(void)
{
    fake_t *first = opened();
    unsigned later = 0;

    closed(first);
    for (;; later++) {
        fake_t *next = opened();
        bool again = next == first;
        if (again) {
            tap_ok(next->forgotten == 0 && owns(next), "it comes back as new");
        }
        closed(next);
        if (again || later > 10 * HANDLES_KEPT) {
            break;
        }
    }
    tap_ok(later >= HANDLES_KEPT && later <= 10 * HANDLES_KEPT, "a handle's memory serves again after %u others",
           later);
}

static void larger_handles(void)
{
    memo_space_t *large = handles_new(5000);

    tap_ok(large && handles_known(large) && (uintptr_t)large % 64 == 0, "a larger handle is found room");
    tap_ok(((char *)large)[4999] == 0, "... which is zeroed");
    handles_retire(large);
}

static void forks(void)
{
    fake_t *mine = opened();
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        bool fine = mine->forgotten == 1 && !mine->space.open && handles_orphaned(&mine->space) &&
                    handles_known(&mine->space) && handles_of(mine->memory) == NULL;
        fake_t *own = opened();
        _exit(fine && owns(own) && own->forgotten == 0 && !handles_orphaned(&own->space) ? 0 : 1);
    }
    waitpid(child, &status, 0);
    tap_is_int(status, 0, "the child of a fork has forgotten the handle, and opens its own");
    tap_ok(mine->forgotten == 0 && mine->space.open && owns(mine), "the parent keeps it");
    closed(mine);
}

/* ---- searches while others open and close ---------------------------------------------------------------- */

static _Atomic(bool) stop;

static void *open_and_close(void *arg)
{
    for (unsigned i = 0; i < 3000; i++) {
        fake_t *fakes[3] = {opened(), opened(), opened()};
        for (unsigned j = 0; j < 3; j++) {
            closed(fakes[j]);
        }
    }
    atomic_store(&stop, true);
    return arg;
}

static void concurrency(void)
{
    fake_t *fakes[4];
    unsigned wrong = 0, searches = 0;
    pthread_t thread;

    for (unsigned i = 0; i < 4; i++) {
        fakes[i] = opened();
    }
    pthread_create(&thread, NULL, open_and_close, NULL);
    while (!atomic_load(&stop)) {
        fake_t *fake = fakes[searches++ % 4];
        wrong += handles_of(fake->memory) != &fake->space || !handles_known(&fake->space);
    }
    pthread_join(thread, NULL);
    tap_is_int(wrong, 0, "handles are found while others come and go");
    for (unsigned i = 0; i < 4; i++) {
        closed(fakes[i]);
    }
}

int main(void)
{
    tap_timeout(60);
    many_handles();
    recycling();
    larger_handles();
    forks();
    concurrency();
    return tap_done();
}
