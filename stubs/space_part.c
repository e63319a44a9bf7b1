/*
 * space_part.c - who of this client takes part in MEMO_UNTIL_QUIET (C17), as the stub is told.
 *
 * Threads take part from their first such select until they end: PARTY_QUIET on their parties, which node/ takes
 * off when a thread ends, and has whoever pumps count them again. Started requests that wait so
 * take part each until it is collected: one that is complete, but not collected, keeps the client from being quiet.
 * The thread that collects one takes part itself, until it asks after another.
 */
#include "libmemo/node/slot.h"
#include "stubs/space.h"

static uint32_t threads(mpi_space_t *sp)
{
    const self_t *s;
    uint32_t n = 0;

    pthread_mutex_lock(&sp->node.mutex);
    for (s = sp->node.selves; s != NULL; s = s->next)
        n += (atomic_load(&s->party->flags) & PARTY_QUIET) != 0;
    pthread_mutex_unlock(&sp->node.mutex);
    return n;
}

static void count(mpi_space_t *sp)
{
    uint32_t n = threads(sp) + sp->quiet_requests;

    sp->participants = n > 0 ? n : 1;
}

void part_tell(mpi_space_t *sp)
{
    bool busy = sp->putting > 0 || sp->back != NULL;

    if (!sp->quiet || (sp->told_participants == sp->participants && sp->told_busy == busy))
        return;
    sp->told_participants = sp->participants;
    sp->told_busy = busy;
    stub_quiet(sp->stub, sp->participants, busy);
}

static void count_and_tell(mpi_space_t *sp)
{
    sp->quiet = true;
    count(sp);
    part_tell(sp);
}

void part_look(mpi_space_t *sp)
{
    if (atomic_exchange(&sp->quit, false))
        count_and_tell(sp);
}

void part_quits(mpi_space_t *sp, self_t *s)
{
    atomic_store(&sp->quit, true);
    atomic_fetch_add(&sp->rings, 1);
    slot_ring(s, sp->mailbox->index);
}

void part_takes(mpi_space_t *sp, self_t *s)
{
    if ((atomic_load(&s->party->flags) & PARTY_QUIET) != 0)
        return;
    atomic_fetch_or(&s->party->flags, PARTY_QUIET);
    count_and_tell(sp);
}

void part_ends(mpi_space_t *sp, self_t *s)
{
    if ((atomic_load(&s->party->flags) & PARTY_QUIET) == 0)
        return;
    atomic_fetch_and(&s->party->flags, ~(uint32_t)PARTY_QUIET);
    count_and_tell(sp);
}

void part_request(mpi_space_t *sp, int more, self_t *collects)
{
    sp->quiet_requests += (uint32_t)more;
    if (collects != NULL)
        atomic_fetch_or(&collects->party->flags, PARTY_QUIET);
    count_and_tell(sp);
}
