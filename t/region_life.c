/*
 * region_life.c - tests of regions across processes: who lives, and who shares what has no name.
 *
 * Run as `sleep` it is what a holder of a life lock becomes by exec.
 */
#include "t/region_common.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* ---- life locks ------------------------------------------------------------------------------------------ */

struct holder {
    region_t inherited;  /* the parent's view, as the child has it */
    bool anonymous;      /* whose region is it */
    int (*then)(void *); /* what the holder does, holding the lock */
    _Atomic int *ready;
};

static void *wait_forever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static int hold(void *arg)
{
    struct holder *h = arg;
    region_t r;
    region_spec_t spec = spec_of(h->anonymous);

    region_forget(&h->inherited);
    if (region_open(&r, &spec) != MEMO_OK || region_life_take(&r, 3) != MEMO_OK)
        return 1;
    atomic_store(h->ready, 1);
    return h->then(arg);
}

static int with_threads(void *arg)
{
    pthread_t thread;

    for (int i = 0; i < 4; i++)
        pthread_create(&thread, NULL, wait_forever, NULL);
    wait_forever(arg);
    return 0;
}

static int main_thread_ends(void *arg)
{
    pthread_t thread;

    (void)arg;
    pthread_create(&thread, NULL, wait_forever, NULL);
    pthread_exit(NULL);
}

static int then_exec(void *arg)
{
    (void)arg;
    execl("/proc/self/exe", "region_life", "sleep", (char *)NULL);
    return 9;
}

static pid_t start_holder(const region_t *r, bool anonymous, int (*then)(void *))
{
    static _Atomic int *ready;
    struct holder h = {.inherited = *r, .anonymous = anonymous, .then = then};

    if (!ready)
        ready = mmap(NULL, sizeof *ready, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(ready != MAP_FAILED, "mmap");
    atomic_store(ready, 0);
    h.ready = ready;
    pid_t child = child_begin(hold, &h);
    while (!atomic_load(ready) && waitpid(child, NULL, WNOHANG) == 0)
        sched_yield();
    return child;
}

static bool becomes_free(region_t *r, unsigned index)
{
    for (int i = 0; i < 5000 && region_life_held(r, index); i++)
        usleep(1000);
    return !region_life_held(r, index);
}

static void end_holder(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void test_life_locks(bool anonymous)
{
    const char *what = anonymous ? "anonymous" : "named";
    region_t r, second;
    region_spec_t spec = spec_of(anonymous);

    must(region_open(&r, &spec) == MEMO_OK, "open");
    tap_ok(!region_life_held(&r, 3), "%s: nobody holds a life lock at first", what);
    pid_t child = start_holder(&r, anonymous, with_threads);
    tap_ok(region_life_held(&r, 3), "%s: who lives holds his life lock", what);
    tap_ok(!region_life_held(&r, 2) && !region_life_held(&r, 4), "%s: and no other", what);
    tap_is_int(region_life_take(&r, 3), MEMO_EBUSY, "%s: nobody else can have it", what);
    tap_is_int(region_life_take(&r, 4), MEMO_OK, "%s: others are free", what);
    kill(child, SIGSTOP);
    usleep(20000);
    tap_ok(region_life_held(&r, 3), "%s: who is stopped lives", what);
    kill(child, SIGKILL);
    tap_ok(becomes_free(&r, 3), "%s: the life lock of a killed process with five threads is free", what);
    end_holder(child);
    child = start_holder(&r, anonymous, main_thread_ends);
    usleep(20000);
    tap_ok(region_life_held(&r, 3), "%s: who lost his first thread lives", what);
    end_holder(child);
    tap_ok(!region_life_held(&r, 3), "%s: until killed", what);
    child = start_holder(&r, anonymous, then_exec);
    tap_ok(becomes_free(&r, 3) && waitpid(child, NULL, WNOHANG) == 0, "%s: an exec gives the life lock up", what);
    end_holder(child);

    tap_ok(!region_life_held(&r, 4), "%s: one's own life lock is not another's", what);
    must(region_open(&second, &spec) == MEMO_OK, "second view");
    tap_ok(region_life_held(&second, 4), "%s: a second view of one process is another", what);
    tap_is_int(region_life_take(&second, 4), MEMO_EBUSY, "%s: and cannot have its lock", what);
    region_close(&second);
    must(region_open(&second, &spec) == MEMO_OK, "second view");
    tap_ok(region_life_held(&second, 4), "%s: closing it took nothing from the first", what);
    region_life_drop(&r, 4);
    tap_ok(!region_life_held(&second, 4), "%s: a lock can be dropped", what);
    must(region_life_take(&r, 4000000) == MEMO_OK, "a high index");
    region_close(&r);
    tap_ok(!region_life_held(&second, 4000000), "%s: closing gives all up", what);
    region_close(&second);
    remove_it();
}

static int forget_and_wait(void *arg)
{
    struct holder *h = arg;

    region_forget(&h->inherited);
    atomic_store(h->ready, 1);
    wait_forever(NULL);
    return 0;
}

static int hold_and_fork(void *arg)
{
    struct holder *h = arg;
    struct holder again = *h;
    region_spec_t spec = spec_of(h->anonymous);

    region_forget(&h->inherited);
    if (region_open(&again.inherited, &spec) != MEMO_OK || region_life_take(&again.inherited, 3) != MEMO_OK)
        return 1;
    pid_t child = fork(); /* lives on when this process is killed */
    if (child == 0)
        return forget_and_wait(&again);
    again.ready[1] = (int)child;
    atomic_store(&again.ready[2], 1);
    wait_forever(NULL);
    return 0;
}

static void test_life_ends_with_the_process_not_its_child(bool anonymous)
{
    const char *what = anonymous ? "anonymous" : "named";
    region_t r;
    region_spec_t spec = spec_of(anonymous);
    _Atomic int *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    must(region_open(&r, &spec) == MEMO_OK, "open");
    struct holder h = {.inherited = r, .anonymous = anonymous, .ready = ready};
    pid_t child = child_begin(hold_and_fork, &h);
    while (!atomic_load(&ready[0]) || !atomic_load(&ready[2]))
        sched_yield();
    tap_ok(region_life_held(&r, 3), "%s: a child that forgets takes nothing from its parent", what);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    tap_ok(!region_life_held(&r, 3), "%s: the parent's life ends while the child lives on", what);
    tap_is_int(kill(ready[1], 0), 0, "%s: which it does", what);
    kill(ready[1], SIGKILL);
    region_close(&r);
    munmap((void *)ready, 4096);
    remove_it();
}

/* ---- anonymous regions ----------------------------------------------------------------------------------- */

static int open_anonymous_often(void *arg)
{
    region_t *inherited = arg;
    region_spec_t spec = spec_of(true);

    region_forget(inherited);
    for (int i = 0; i < 3; i++) {
        region_t r, second;
        if (region_open(&r, &spec) != MEMO_OK || r.created || region_open(&second, &spec) != MEMO_OK)
            return 1;
        atomic_fetch_add(&content_of(&r)->visits, 1);
        region_close(&r);
        region_close(&second);
    }
    return 0;
}

static int grandchild_opens(void *arg)
{
    return in_child(open_anonymous_often, arg);
}

static int open_other_anonymous(void *arg)
{
    region_spec_t spec = spec_of(true);
    region_t r;

    region_forget(arg);
    spec.name = "of-the-child";
    return region_open(&r, &spec) != MEMO_OK || !r.created;
}

static void test_anonymous_regions_are_shared_with_children(void)
{
    region_t r, second;
    region_spec_t spec = spec_of(true);

    must(region_open(&r, &spec) == MEMO_OK, "open");
    tap_ok(r.created && r.anonymous && access(path, F_OK) < 0, "an anonymous region has no name");
    tap_ok(region_open(&second, &spec) == MEMO_OK && !second.created, "this process attaches by kind and name");
    region_close(&second);
    spec.kind = "t-other";
    tap_ok(region_open(&second, &spec) == MEMO_OK && second.created, "another kind is another region");
    region_close(&second);
    tap_is_int(in_child(open_anonymous_often, &r), 0, "a forked child opens it as often as it likes");
    tap_is_int((long long)atomic_load(&content_of(&r)->visits), 3, "and its writes are seen");
    tap_is_int(in_child(grandchild_opens, &r), 0, "so does a child's child");
    tap_is_int((long long)atomic_load(&content_of(&r)->visits), 6, "and those");
    spec.name = "of-the-child";
    spec.kind = "t-region";
    tap_is_int(in_child(open_other_anonymous, &r), 0, "a child makes one of its own");
    tap_ok(region_open(&second, &spec) == MEMO_OK && second.created, "which the parent does not see");
    region_close(&second);
    region_close(&r);
    spec = spec_of(true);
    tap_ok(region_open(&r, &spec) == MEMO_OK && r.created, "with its last view an anonymous region goes");
    tap_is_int((long long)atomic_load(&content_of(&r)->visits), 0, "and the next one is new");
    region_close(&r);
}

static int child_after_the_parent_closed(void *arg)
{
    int *fds = arg;
    region_spec_t spec = spec_of(true);
    region_t r;
    char go;

    if (read(fds[0], &go, 1) != 1)
        return 1;
    return region_open(&r, &spec) != MEMO_OK || r.created || atomic_load(&content_of(&r)->visits) != 77;
}

static void test_child_opens_after_its_parent_closed(void)
{
    region_t r;
    region_spec_t spec = spec_of(true);
    int fds[2];

    must(region_open(&r, &spec) == MEMO_OK && pipe(fds) == 0, "open");
    atomic_store(&content_of(&r)->visits, 77);
    pid_t child = child_begin(child_after_the_parent_closed, fds);
    region_close(&r);
    must(write(fds[1], "x", 1) == 1, "write");
    tap_is_int(child_end(child), 0, "a child opens what its parent had at the fork, though the parent closed it");
    close(fds[0]);
    close(fds[1]);
}

static void *open_in_last_thread(void *arg)
{
    region_spec_t spec = spec_of(arg != NULL);
    region_t r;

    usleep(20000); /* let the first thread end */
    int rc = region_open(&r, &spec);
    if (rc != MEMO_OK)
        tap_diag("open: %s", memo_errmsg());
    _exit(rc != MEMO_OK);
}

static int first_thread_ends(void *arg)
{
    pthread_t thread;

    pthread_create(&thread, NULL, open_in_last_thread, arg);
    pthread_exit(NULL);
}

static void test_a_process_without_its_first_thread(void)
{
    static char anonymous[] = "anonymous";

    tap_is_int(in_child(first_thread_ends, NULL), 0, "a process without its first thread creates a region");
    tap_is_int(in_child(first_thread_ends, anonymous), 0, "and an anonymous one");
    remove_it();
}

struct opening {
    pthread_t thread;
    region_t r;
    int rc;
};

static void *open_anonymous(void *arg)
{
    struct opening *o = arg;
    region_spec_t spec = spec_of(true);

    o->rc = region_open(&o->r, &spec);
    return NULL;
}

static int child_opens_once(void *arg)
{
    region_spec_t spec = spec_of(true);
    region_t r;
    int rc = region_open(&r, &spec);

    /* Not by _exit, where a sanitizer takes the parent's threads for leaks of this child. */
    syscall(SYS_exit_group, rc != MEMO_OK);
    return arg != NULL;
}

static void test_threads_open_at_once_while_others_fork(void)
{
    struct opening o[8];
    int created = 0, wrong = 0, children = 0;

    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 8; i++)
            must(pthread_create(&o[i].thread, NULL, open_anonymous, &o[i]) == 0, "pthread_create");
        children += in_child(child_opens_once, NULL);
        for (int i = 0; i < 8; i++) {
            pthread_join(o[i].thread, NULL);
            wrong += o[i].rc != MEMO_OK;
            created += o[i].r.created;
        }
        for (int i = 0; i < 8; i++)
            region_close(&o[i].r);
    }
    tap_is_int(wrong, 0, "eight threads open an anonymous region at once");
    tap_is_int(created, 30, "one of them creates it");
    tap_is_int(children, 0, "and a child forked meanwhile is not stuck");
}

/* ---------------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sleep") == 0)
        wait_forever(NULL);
    begin();
    int before = count_descriptors();
    test_life_locks(false);
    test_life_locks(true);
    test_life_ends_with_the_process_not_its_child(false);
    test_life_ends_with_the_process_not_its_child(true);
    test_anonymous_regions_are_shared_with_children();
    test_child_opens_after_its_parent_closed();
    test_a_process_without_its_first_thread();
    test_threads_open_at_once_while_others_fork();
    tap_is_int(count_descriptors(), before, "nothing leaves a descriptor open");
    remove_it();
    return tap_done();
}
