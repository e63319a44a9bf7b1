/*
 * fallen.c - when another server dies.
 *
 * Its folders are gone, with all that was in them; calls that need it end at their clients, who find it dead
 * themselves, and say RELEASE to the other servers concerned. What is left is what servers have begun with one
 * another:
 *
 *   - a delayed put whose target it had is dropped; room that was promised to one whose trigger it had is free; a
 * put does not wait for what it fired there;
 *   - a chain over one of its folders is over (MEMO_EPEER) at whoever has it, or is to have it. Those that have
 * passed it on cannot know where it is: they keep their locks until every living server has said that it knows of
 * the death, and so has nothing to do with such a chain any more. Else the last one, which did not know, could yet
 *     find all empty, when a folder before it no longer is;
 *   - it is never quiet any more: nobody knows what is lost.
 *
 * Whoever learns of it says so to all other servers (GONE with number[2]).
 */
#include "servers/parts.h"

bool server_fallen(const engine_t *e, uint32_t server)
{
    return e->fallen[server];
}

bool any_fallen(const engine_t *e, const wire_folder_t folders[], uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count && e->some_fallen; i++)
        if (e->fallen[wire_server_of(&folders[i].name, e->servers)])
            return true;
    return false;
}

static void tell_others(engine_t *e, uint32_t server)
{
    wire_message_t m = {.type = WIRE_GONE, .client = e->self, .number = {server, 0, 1}};
    uint32_t i;

    for (i = 0; i < e->servers; i++)
        if (i != e->self && !e->fallen[i])
            engine_send(e, i, &m);
}

static void let_folders_go(engine_t *e, uint32_t server)
{
    folder_t *f;

    for (f = e->directory.folders; f != NULL; f = f->hh.next) {
        if (folder_unreserve_all(f, server))
            directory_touch(&e->directory, f);
        put_drop_delayed(e, f, server);
    }
}

/* Whether each living server has said that it knows of the deaths of all that the chain needs. */
static bool all_know(const engine_t *e, const request_t *r)
{
    uint32_t i, k;

    for (i = 0; i < e->servers; i++) {
        if (!e->fallen[i] || !chain_needs(e, r, i))
            continue;
        for (k = 0; k < e->servers; k++)
            if (!e->fallen[k] && !e->knows[(size_t)i * e->servers + k])
                return false;
    }
    return true;
}

static void cut_chains(engine_t *e)
{
    request_t *r, *next;

    for (r = e->requests; r != NULL; r = next) {
        next = r->hh.next;
        if ((r->state != REQUEST_CHAIN && r->state != REQUEST_PASSED) || !any_fallen(e, r->all, r->all_count))
            continue;
        if (r->state == REQUEST_CHAIN)
            chain_cut(e, r);
        else if (all_know(e, r))
            request_over(e, r);
    }
}

void on_server_gone(engine_t *e, const wire_message_t *m)
{
    uint32_t server = (uint32_t)m->number[0];

    if (!e->fallen[server]) {
        e->fallen[server] = e->some_fallen = true;
        e->knows[(size_t)server * e->servers + e->self] = true;
        tell_others(e, server);
        let_folders_go(e, server);
        put_causes_lost(e, server);
        quiet_never(e);
    }
    if (m->number[2] != 0)
        e->knows[(size_t)server * e->servers + m->from] = true;
    cut_chains(e);
}
