/*
 * memo_doctor.c - memo doctor: says what is in a space in shared memory, and what is wrong with it, and has what
 * dead processes left behind repaired; nobody else need be attached.
 *
 * The examination (memo_doctor.h) changes nothing and believes nothing. The repair is the library's own, by a
 * client that opens the space: where the space is damaged that may crash, so it is a process of its own.
 */
#include "servers/memo_command.h"
#include "servers/memo_doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEALTHY = 0, REPAIRED = 1, DAMAGED = 2 };

enum { PASSES = 12, PASS_MS = 15, REPAIR_MS = 10000, REPAIR_LOOKS = 3 };

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* ---- examining ------------------------------------------------------------------------------------------- */

void examine(patient_t *p, findings_t *found)
{
    memset(found, 0, sizeof *found);
    p->found = found;
    look_anew(p);
    p->root = look(p, REGION_HEADER_BYTES, sizeof *p->root);
    if (p->root == NULL) {
        note(p, "the space cannot be read");
        return;
    }
    p->table = (const shm_root_t *)(const void *)p->root->user;
    walk_heap(p);
    walk_node(p);
    walk_table(p);
    if (p->pages == p->root->heap.top) {
        compare_heap(p);
    }
}

static bool has_finding(const findings_t *f, const char *text)
{
    for (size_t i = 0; i < f->count; i++) {
        if (strcmp(f->text[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* Leaves what the other has found too. */
static void keep_common(findings_t *f, const findings_t *other)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++) {
        if (has_finding(other, f->text[i])) {
            memmove(f->text[kept++], f->text[i], FINDING_BYTES);
        }
    }
    f->count = kept;
    f->more = other->more < f->more ? other->more : f->more;
}

/* The living change what is looked at meanwhile, and a page that is copied late does not fit one that was copied
 * early: damage is what is found the same again and again. */
static void examine_well(patient_t *p, findings_t *found)
{
    static findings_t again;
    examine(p, found);
    for (int i = 1; i < PASSES && found->count > 0 && found->alive > 0; i++) {
        sleep_ms(PASS_MS);
        examine(p, &again);
        keep_common(&again, found);
        *found = again;
    }
    if (found->count == 0) {
        found->more = found->leaked_blocks = found->leaked_bytes = 0;
    }
}

/* ---- repairing ------------------------------------------------------------------------------------------- */

/* In a process of its own: any call of a client repairs what the dead left, and memo_stat does so at once. */
static _Noreturn void repair(const char *uri)
{
    const struct rlimit none = {0, 0};
    memo_space_t *space;
    memo_stat_t stat;
    setrlimit(RLIMIT_CORE, &none);
    unsetenv("MEMO_RUN");
    int result = memo_open(&space, uri);
    for (int i = 0; i < REPAIR_LOOKS && result == MEMO_OK; i++) {
        result = memo_stat(space, &stat, sizeof stat);
        sleep_ms(2);
    }
    if (result == MEMO_OK) {
        result = memo_close(space);
    }
    if (result != MEMO_OK) {
        complain("%s", reason(result));
    }
    fflush(stderr);
    _exit(result == MEMO_OK ? EXIT_DONE : EXIT_ERROR);
}

/* How it ended: a wait status, or -1: it did not. */
static int wait_for(pid_t child)
{
    int status;
    for (int ms = 0; ms < REPAIR_MS; ms += 2) {
        if (waitpid(child, &status, WNOHANG) == child) {
            return status;
        }
        sleep_ms(2);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return -1;
}

static void have_repaired(const char *uri)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        fail("cannot start a process to repair with: %s", strerror(errno));
    }
    if (child == 0) {
        repair(uri);
    }
    int status = wait_for(child);
    if (status == -1) {
        printf("repair       did not come to an end in %d s, and was stopped\n", REPAIR_MS / 1000);
    } else if (WIFSIGNALED(status)) {
        printf("repair       ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) != EXIT_DONE) {
        printf("repair       was not possible\n");
    }
}

/* ---- reporting ------------------------------------------------------------------------------------------- */

static void print_client(const sick_client_t *c)
{
    printf("  client %-4u process %-8u %s, %u thread%s", c->index, c->pid, c->alive ? "alive" : "dead", c->parties,
           c->parties == 1 ? "" : "s");
    if (c->held > 0) {
        printf(", holds %" PRIu64 " memo%s", c->held, c->held == 1 ? "" : "s");
    }
    if (c->locks > 0) {
        printf(", %u lock%s", c->locks, c->locks == 1 ? "" : "s");
    }
    if (c->waiting > 0) {
        printf(", %u wait%s", c->waiting, c->waiting == 1 ? "s" : "");
    }
    if (c->changing > 0) {
        printf(", in the midst of %u change%s", c->changing, c->changing == 1 ? "" : "s");
    }
    putchar('\n');
}

static void print_clients(const findings_t *f)
{
    printf("attached     %zu alive, %zu dead\n", f->alive, f->dead);
    for (size_t i = 0; i < f->client_count; i++) {
        print_client(&f->clients[i]);
    }
}

static void print_locks(const findings_t *f)
{
    printf("locks held   %zu\n", f->lock_count);
    for (size_t i = 0; i < f->lock_count && i < LOCKS_MOST; i++) {
        if (f->locks[i].client >= 0) {
            printf("  %s: by client %d\n", f->locks[i].what, f->locks[i].client);
        } else {
            printf("  %s: left by one who is gone; whoever wants it takes it\n", f->locks[i].what);
        }
    }
}

static void print_memory(const findings_t *f)
{
    static const char *const names[USES] = {
        "memos in folders",  "memos held",         "memos under way",     "folders",
        "selects under way", "threads of clients", "kept free by clients"};
    printf("memory       %" PRIu64 " bytes\n", f->capacity);
    for (size_t i = 0; i < USES; i++) {
        if (f->used[i].blocks > 0) {
            printf("  %-21s %" PRIu64 " block%s, %" PRIu64 " bytes\n", names[i], f->used[i].blocks,
                   f->used[i].blocks == 1 ? "" : "s", f->used[i].bytes);
        }
    }
    printf("  %-21s %" PRIu64 " blocks, %" PRIu64 " bytes\n", "unaccounted for", f->leaked_blocks, f->leaked_bytes);
}

static void print_findings(const findings_t *f)
{
    printf("folders      %" PRIu64 ", with %" PRIu64 " memo%s; %" PRIu64 " wait there\n", f->folders,
           f->used[USE_FOLDER_MEMOS].blocks, f->used[USE_FOLDER_MEMOS].blocks == 1 ? "" : "s", f->waiters);
    print_clients(f);
    print_locks(f);
    print_memory(f);
}

static void print_space(const patient_t *p, const char *uri)
{
    struct stat st;
    printf("space        %s\n", uri);
    if (fstat(p->region.fd, &st) == 0) {
        printf("file         %" PRIu64 " bytes, %" PRIu64 " of them there, user %u, group %u, mode %04o\n",
               (uint64_t)st.st_size, (uint64_t)st.st_blocks * 512, (unsigned)st.st_uid, (unsigned)st.st_gid,
               (unsigned)(st.st_mode & 07777));
    }
}

static int verdict(const findings_t *before, const findings_t *after)
{
    if (before->dead > 0) {
        printf("repaired     %zu dead; %" PRIu64 " memos went back to their folders, %" PRIu64
               " to the dead letters, %" PRIu64 " were dropped\n",
               before->dead > after->dead ? before->dead - after->dead : 0,
               after->redelivered - before->redelivered, after->letters - before->letters,
               after->dropped - before->dropped);
    }
    for (size_t i = 0; i < after->count; i++) {
        printf("DAMAGE       %s\n", after->text[i]);
    }
    if (after->more > 0) {
        printf("DAMAGE       and %" PRIu64 " times more\n", after->more);
    }
    if (after->count == 1 && after->leaked_blocks > 0) {
        printf("Memory was lost, and nothing else is wrong: the space can be used, and has less room. All of it "
               "comes\n"
               "back when the space is removed (memo rm) and made anew.\n");
        return DAMAGED;
    }
    if (after->count > 0 || after->dead > 0) {
        printf("This cannot be repaired. End the programs that use the space, remove it (memo rm) and start anew.\n"
               "Memos that can still be read may be saved before (memo ls, memo copy), by a program that may "
               "crash.\n");
        return DAMAGED;
    }
    printf("%s\n", before->dead > 0 ? "It is healthy now." : "It is healthy.");
    return before->dead > 0 ? REPAIRED : HEALTHY;
}

static int examine_space(const char *uri)
{
    static findings_t before, after;
    patient_t p;
    int result = patient_open(&p, uri);
    if (result == MEMO_NONE) {
        fail("there is no space %s", uri);
    }
    if (result != MEMO_OK) {
        fail("%s", reason(result));
    }
    print_space(&p, uri);
    examine(&p, &before);
    if (before.dead > 0) {
        /* What they left half done is no damage; so it is the examination afterwards that counts. */
        printf("Before the repair:\n");
        print_findings(&before);
        have_repaired(uri);
        printf("After it:\n");
    }
    examine_well(&p, &after);
    print_findings(&after);
    int status = verdict(&before, &after);
    patient_close(&p);
    return status;
}

static int run_doctor(int argc, char **argv)
{
    static const struct option options[] = {OPTIONS_COMMON, {NULL, 0, NULL, 0}};
    while (command_option(&command_doctor, argc, argv, "s:h", options) != -1) {
    }
    int status = examine_space(uri_or_default(uri_argument(&command_doctor, argc, argv)));
    finish_output();
    return status;
}

const command_t command_doctor = {
    "doctor", "[OPTION...] [URI]", "Examines a space, and repairs what dead processes left in it.",
    "  Exit status: 0 it is healthy, 1 it was repaired, 2 it is damaged beyond repair, or cannot be examined.\n",
    run_doctor};
