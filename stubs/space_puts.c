/*
 * space_puts.c - putting: at once, waiting for room, started and flushed, delayed, and to where the memo was taken
 * from.
 */
#include <stdlib.h>
#include <string.h>

#include "libmemo/node/wait.h"
#include "stubs/space.h"

static int explain(int result)
{
    if (result == MEMO_EFULL)
        return memo_error(result,
                          "the folder's limit is reached, or the space has no room left; take memos, or raise "
                          "memo_limit or size=");
    return pending_explain(result, "put");
}

static int begin(mpi_space_t *sp, pending_t *p, thread_t *waits, const memo_folder_t *folder, memo_t *m, bool room)
{
    pending_begin(sp, p, waits);
    pending_concerns(sp, p, folder, 1);
    pending_carries(sp, p, m, room);
    return pending_begun(sp, p, stub_put(sp->stub, &p->call, folder, near_wire(m), room));
}

/* ---- one put ------------------------------------------------------------------------------------------------ */

static int finish(mpi_space_t *sp, self_t *s, pending_t *p, int64_t deadline)
{
    int result = pending_wait(sp, space_thread(s), p, deadline);

    if (result != MEMO_OK)
        pending_restore(sp, p);
    return result;
}

static int put(mpi_space_t *sp, self_t *s, const memo_folder_t *folder, memo_t *m, int64_t timeout_ns)
{
    int64_t deadline = timeout_ns == 0 ? WAIT_FOREVER : wait_deadline(timeout_ns);
    pending_t p;
    int result;

    memset(&p, 0, sizeof p);
    result = begin(sp, &p, space_thread(s), folder, m, timeout_ns != 0);
    return result == MEMO_OK ? finish(sp, s, &p, deadline) : result;
}

int puts_put(memo_space_t *space, const memo_folder_t *folder, memo_t *m, int64_t timeout_ns)
{
    mpi_space_t *sp = space_of(space);
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    if (!space_holds(sp, m))
        result = hand_not_held();
    else
        result = explain(put(sp, s, folder, m, timeout_ns));
    space_leave(sp, s);
    return result;
}

int puts_replace(memo_space_t *space, memo_t *m)
{
    mpi_space_t *sp = space_of(space);
    memo_folder_t folder;
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    if (!space_holds(sp, m))
        result = hand_not_held();
    else if (!near_from(s, m, &folder))
        result = memo_error(MEMO_EINVAL, "the memo was taken from no folder: put it into one");
    else
        result = explain(put(sp, s, &folder, m, 0));
    space_leave(sp, s);
    return result;
}

static int delay(mpi_space_t *sp, self_t *s, const memo_folder_t *trigger, const memo_folder_t *target, memo_t *m)
{
    pending_t p;
    int result;

    memset(&p, 0, sizeof p);
    pending_begin(sp, &p, space_thread(s));
    pending_concerns(sp, &p, target, 1);
    pending_carries(sp, &p, m, false);
    pending_concerns_server(sp, &p, wire_server_of(trigger, sp->launch.servers));
    result = stub_delay(sp->stub, &p.call, trigger, target, near_wire(m));
    result = pending_begun(sp, &p, result);
    return result == MEMO_OK ? finish(sp, s, &p, WAIT_FOREVER) : result;
}

int puts_delayed(memo_space_t *space, const memo_folder_t *trigger, const memo_folder_t *target, memo_t *m)
{
    mpi_space_t *sp = space_of(space);
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    result = space_holds(sp, m) ? explain(delay(sp, s, trigger, target, m)) : hand_not_held();
    space_leave(sp, s);
    return result;
}

/* ---- started puts ------------------------------------------------------------------------------------------- */

typedef struct started_put {
    pending_t pending;
    puts_t *puts;
} started_put_t;

void puts_forget(puts_t *puts)
{
    if (puts != NULL && atomic_fetch_sub(&puts->references, 1) == 1) {
        refused_free(&puts->refused);
        free(puts);
    }
}

static void started_ended(mpi_space_t *sp, pending_t *p)
{
    started_put_t *started = (started_put_t *)(void *)p;
    puts_t *puts = started->puts;

    if (p->call.result != MEMO_OK) {
        pending_restore(sp, p);
        refused_add(&puts->refused, p->ours ? p->memo : NULL, p->call.result); /* start() has seen to room */
    }
    puts->under_way--;
    pump_wake(sp, puts->thread);
    puts_forget(puts);
    free(started);
}

static puts_t *puts_of(self_t *s)
{
    thread_t *t = space_thread(s);

    if (t->puts == NULL && (t->puts = calloc(1, sizeof *t->puts)) != NULL)
        atomic_store(&t->puts->references, 1);
    return t->puts;
}

static void wait_until(mpi_space_t *sp, self_t *s, puts_t *puts, uint32_t most)
{
    puts->thread = space_thread(s);
    while (puts->under_way > most)
        pump_sleep(sp, space_thread(s), WAIT_FOREVER);
    puts->thread = NULL;
    part_tell(sp);
}

static int start(mpi_space_t *sp, self_t *s, const memo_folder_t *folder, memo_t *m)
{
    started_put_t *started = calloc(1, sizeof *started);
    puts_t *puts = puts_of(s);
    int result;

    if (started == NULL || puts == NULL || !refused_room(&puts->refused, puts->under_way + 1)) {
        free(started);
        return memo_error(MEMO_ENOMEM, "no memory for a started put");
    }
    started->puts = puts;
    started->pending.ended = started_ended;
    atomic_fetch_add(&puts->references, 1);
    puts->under_way++;
    result = begin(sp, &started->pending, NULL, folder, m, false);
    if (result != MEMO_OK) {
        puts->under_way--;
        puts_forget(puts);
        free(started);
    }
    return explain(result);
}

int puts_start(memo_space_t *space, const memo_folder_t *folder, memo_t *m)
{
    mpi_space_t *sp = space_of(space);
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    if (space_thread(s)->puts != NULL && space_thread(s)->puts->under_way >= SPACE_PUTS_MOST)
        wait_until(sp, s, space_thread(s)->puts, SPACE_PUTS_MOST / 2);
    if (sp->closing) /* meanwhile */
        result = pending_explain(MEMO_ECLOSED, "put");
    else
        result = space_holds(sp, m) ? start(sp, s, folder, m) : hand_not_held();
    space_leave(sp, s);
    return result;
}

int puts_flush(memo_space_t *space)
{
    mpi_space_t *sp = space_of(space);
    puts_t *puts;
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    puts = space_thread(s)->puts;
    if (puts != NULL) {
        wait_until(sp, s, puts, 0);
        result = refused_code(&puts->refused);
    }
    if (result != MEMO_EFULL)
        pending_explain(result, "started put");
    space_leave(sp, s);
    return result;
}

int puts_failed(memo_space_t *space, memo_t **m)
{
    mpi_space_t *sp = space_of(space);
    puts_t *puts;
    self_t *s;
    int result = space_enter(sp, &s);

    if (result != MEMO_OK)
        return result;
    puts = space_thread(s)->puts;
    *m = puts != NULL ? refused_take(&puts->refused) : NULL;
    if (*m == NULL)
        result = MEMO_NONE;
    space_leave(sp, s);
    return result;
}
