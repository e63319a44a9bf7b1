/*
 * near_bench.c - what the tests of messages inside a node share (near_bench.h).
 */
#include "t/lib/near_bench.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

near_bench_t near_bench;

static char name[64];
static pid_t opener;

void near_bench_wrong(const char *what)
{
    tap_diag("%s", what);
    atomic_fetch_add(&near_bench.shared->wrong, 1);
}

memo_folder_t near_bench_folder(uint64_t number)
{
    return memo_folder_at(number + 1, 0, NULL);
}

void *near_bench_page(size_t bytes)
{
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        tap_bail("no shared page");
    return page;
}

void near_bench_reset(void)
{
    memset(near_bench.shared, 0, sizeof *near_bench.shared);
}

/* ---- opening --------------------------------------------------------------------------------------------- */

static void unlink_region(void)
{
    if (getpid() == opener)
        region_unlink(name, "near-test");
}

static int format(region_t *r, node_root_t *root, const void *arg)
{
    (void)arg;
    (void)r;
    (void)root;
    return MEMO_OK;
}

void near_bench_open(node_t *n, int32_t rank, dead_t *dead)
{
    node_options_t o = {.name = name,
                        .kind = "near-test",
                        .size = NEAR_BENCH_BYTES,
                        .user = &dead_node_user,
                        .format = format,
                        .rank = rank};

    if (node_open(n, &o) != MEMO_OK)
        tap_bail("cannot open the region: %s", memo_errmsg());
    n->user_arg = dead;
}

pid_t near_bench_fork(void)
{
    pid_t child = tap_fork();

    if (child == 0)
        node_forget(&near_bench.node);
    return child;
}

void near_bench_end_child(node_t *n, self_t *s)
{
    node_leave(s);
    node_close(n);
    _exit(0);
}

bool near_bench_ended_well(const pid_t child[], unsigned n)
{
    bool well = true;
    unsigned i;
    int status;

    for (i = 0; i < n; i++) {
        waitpid(child[i], &status, 0);
        well = well && status == 0;
    }
    return well;
}

void near_bench_wait(self_t *s)
{
    unsigned i;

    for (i = 0; i < 20; i++) {
        if (slot_attention(s))
            return;
        sched_yield();
    }
    slot_sleep(s, WAIT_FOREVER, NULL, NULL);
}

/* ---- messages -------------------------------------------------------------------------------------------- */

struct memo *near_bench_memo(self_t *s, uint64_t number)
{
    struct memo *m = bench_memo(s, 8 + number % 3000, number);

    while (m == NULL) {
        usleep(100);
        m = bench_memo(s, 8 + number % 3000, number);
    }
    return m;
}

int near_bench_send(self_t *s, party_id_t to, wire_type_t type, uint64_t request, const memo_folder_t *f,
                    struct memo *m, struct memo **reuse)
{
    wire_folder_t named = {.name = f != NULL ? *f : (memo_folder_t){0}};
    wire_message_t message = {.type = type,
                              .request = request,
                              .folders = &named,
                              .count = f != NULL,
                              .memo = m != NULL ? near_wire(m) : NULL};
    int result;

    while ((result = near_send(s, to, &message, reuse)) == MEMO_EFULL)
        usleep(100);
    return result;
}

/* ---- from beginning to end ------------------------------------------------------------------------------- */

void near_bench_begin(dead_t *dead)
{
    tap_timeout(300);
    near_bench.random = tap_seed();
    near_bench.shared = near_bench_page(sizeof *near_bench.shared);
    opener = getpid();
    snprintf(name, sizeof name, "t-near-%ld", (long)opener);
    atexit(unlink_region);
    near_bench_open(&near_bench.node, 1, dead);
    near_bench.me = bench_enter(&near_bench.node);
}

int near_bench_finish(void)
{
    node_leave(near_bench.me);
    node_close(&near_bench.node);
    return tap_done();
}
