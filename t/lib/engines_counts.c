/*
 * engines_counts.c - what operations cost in messages when nobody disturbs them: each alone, over folders on 1 to 4
 * servers, in many orders of delivery; and what the servers' own figures say of it.
 *
 * The table that comes out is that in the heads of servers/select.c and servers/chain.c.
 */
#include "t/lib/engines_counts.h"

#include <string.h>

#include "t/lib/engines_sim.h"
#include "t/tap.h"

enum { MOST_SERVERS = 4, ORDERS = 30, ALL = 99 };

static uint32_t k; /* servers, and folders: one on each */

/* ---- operations ------------------------------------------------------------------------------------------- */

static sim_op_t *begin(sim_t *s, sim_kind_t kind, memo_when_empty_t when, uint32_t first, uint32_t count)
{
    sim_op_t *op = sim_op(s, kind, 0, 0);
    op->select = (memo_select_t)MEMO_SELECT_INIT;
    op->select.when_empty = when;
    op->count = count;
    for (uint32_t i = 0; i < count; i++) {
        op->folders[i] = (first + i) % k;
    }
    if (kind == SIM_PUT || kind == SIM_DELAY) {
        op->memo = sim_memo(s, SIM_IN_CLIENT, 0, 8);
        op->memo->name = history_name(s->tapes[0]);
        op->memo->folder = op->folders[count - 1];
        op->memo->trigger = op->folders[0];
        op->memo->fires = kind == SIM_DELAY;
    }
    sim_call(s, op);
    return op;
}

static sim_op_t *whole(sim_t *s, sim_kind_t kind, memo_when_empty_t when, uint32_t first, uint32_t count)
{
    sim_op_t *op = begin(s, kind, when, first, count);
    sim_settle(s);
    return op;
}

/* Puts a memo into that folder, or into ALL. */
static void put(sim_t *s, uint32_t folder)
{
    for (uint32_t f = 0; f < k; f++) {
        if (folder == ALL || folder == f) {
            whole(s, SIM_PUT, MEMO_WAIT, f, 1);
        }
    }
}

/* ---- cases ------------------------------------------------------------------------------------------------- */

/* Each does its operation once and answers how many messages others took on the way, that do not count. */
typedef uint64_t (*case_run_t)(sim_t *s);
typedef uint64_t (*case_want_t)(bool chain);

static void fill_all(sim_t *s)
{
    put(s, ALL);
}

static void fill_last(sim_t *s)
{
    put(s, k - 1);
}

static void fill_none(sim_t *s)
{
    (void)s;
}

static uint64_t run_put(sim_t *s)
{
    put(s, 0);
    return 0;
}

static uint64_t run_get(sim_t *s)
{
    whole(s, SIM_SELECT, MEMO_WAIT, k - 1, 1);
    return 0;
}

static uint64_t run_get_skip(sim_t *s)
{
    whole(s, SIM_SELECT, MEMO_SKIP, 0, 1);
    return 0;
}

/* Somebody else puts. */
static uint64_t run_get_served(sim_t *s)
{
    begin(s, SIM_SELECT, MEMO_WAIT, 0, 1);
    sim_settle(s);
    put(s, 0);
    return 2;
}

static uint64_t run_alt(sim_t *s)
{
    whole(s, SIM_SELECT, MEMO_WAIT, 0, k);
    return 0;
}

static uint64_t run_alt_served(sim_t *s)
{
    begin(s, SIM_SELECT, MEMO_WAIT, 0, k);
    sim_settle(s);
    put(s, 0);
    return 2;
}

static uint64_t run_alt_skip(sim_t *s)
{
    whole(s, SIM_SELECT, MEMO_SKIP, 0, k);
    return 0;
}

static uint64_t run_alt_cancelled(sim_t *s)
{
    sim_op_t *op = whole(s, SIM_SELECT, MEMO_WAIT, 0, k);
    sim_cancel(s, op, MEMO_TIMEDOUT);
    sim_settle(s);
    return 0;
}

static uint64_t run_strict(sim_t *s)
{
    whole(s, SIM_SELECT, MEMO_STRICT_SKIP, 0, k);
    return 0;
}

static uint64_t run_join(sim_t *s)
{
    whole(s, SIM_JOIN, MEMO_WAIT, 0, k);
    return 0;
}

static uint64_t run_delay(sim_t *s)
{
    whole(s, SIM_DELAY, MEMO_WAIT, 0, 2);
    return 0;
}

static uint64_t run_fire(sim_t *s)
{
    uint64_t before = s->messages;
    run_delay(s);
    uint64_t delay = s->messages - before;
    put(s, 0);
    return delay;
}

static uint64_t run_leave(sim_t *s)
{
    sim_leave(s, &s->client[0]);
    sim_settle(s);
    return 0;
}

static uint64_t two(bool chain)
{
    (void)chain;
    return 2;
}

static uint64_t want_alt_all(bool chain)
{
    (void)chain;
    return k == 1 ? 2 : 3 * k + 1;
}

static uint64_t want_alt_one(bool chain)
{
    (void)chain;
    return k == 1 ? 2 : 2 * k + 2;
}

static uint64_t want_alt_none(bool chain)
{
    (void)chain;
    return 2 * k;
}

static uint64_t want_cancelled(bool chain)
{
    (void)chain;
    return 3 * k;
}

static uint64_t want_strict_none(bool chain)
{
    return k == 1 ? 2 : chain ? 2 * k : 4 * k;
}

static uint64_t want_strict_all(bool chain)
{
    return k == 1 || chain ? 2 : 3 * k + 1;
}

static uint64_t want_join(bool chain)
{
    return k == 1 ? 2 : chain ? 3 * k - 1 : 4 * k;
}

static uint64_t want_delay(bool chain)
{
    (void)chain;
    return k == 1 ? 2 : 3;
}

static uint64_t want_fire(bool chain)
{
    (void)chain;
    return k == 1 ? 2 : 4;
}

static uint64_t want_leave(bool chain)
{
    (void)chain;
    return 4 * k;
}

static const struct count_case {
    const char *name;
    void (*fill)(sim_t *s);
    case_run_t run;
    case_want_t want;
} cases[] = {
    {"put", fill_none, run_put, two},
    {"get, a memo is there", fill_all, run_get, two},
    {"get that waits, then served", fill_none, run_get_served, two},
    {"skip, none found", fill_none, run_get_skip, two},
    {"alt, all have one", fill_all, run_alt, want_alt_all},
    {"alt, one has one", fill_last, run_alt, want_alt_one},
    {"alt that waits, then served", fill_none, run_alt_served, want_alt_one},
    {"alt that waits, cancelled", fill_none, run_alt_cancelled, want_cancelled},
    {"alt skip, none found", fill_none, run_alt_skip, want_alt_none},
    {"strict skip, none found", fill_none, run_strict, want_strict_none},
    {"strict skip, all have one", fill_all, run_strict, want_strict_all},
    {"join, all have one", fill_all, run_join, want_join},
    {"delayed put", fill_none, run_delay, want_delay},
    {"put that fires it", fill_none, run_fire, want_fire},
    {"leaving", fill_none, run_leave, want_leave},
};

/* ---- measuring ---------------------------------------------------------------------------------------------- */

typedef struct cost {
    uint64_t messages, phases;
    uint64_t told; /* by the servers: as in memo_stat */
    bool failed;
} cost_t;

static void look(sim_t *s, uint64_t *messages, uint64_t *phases)
{
    *messages = *phases = 0;
    for (uint32_t i = 0; i < s->servers; i++) {
        engine_figures_t f;
        engine_look(s->server[i].engine, &f);
        *messages += f.messages;
        *phases += f.strict_phases;
    }
}

static void measure(sim_t *s, const struct count_case *c, sim_protocol_t protocol, uint64_t seed, cost_t *cost)
{
    sim_plan_t plan = {
        .protocol = protocol, .seed = seed, .servers = k, .clients = 1, .threads = 1, .folders = k, .spread = true};
    uint64_t told, phases, others;
    cost->failed = true;
    if (setjmp(s->failed) != 0) {
        tap_diag("%s: %s", c->name, s->text);
        return;
    }
    sim_begin(s, &plan);
    c->fill(s);
    look(s, &told, &phases);
    cost->messages = s->messages;
    others = c->run(s);
    cost->messages = s->messages - cost->messages - others;
    look(s, &cost->told, &cost->phases);
    cost->told -= told + others;
    cost->phases -= phases;
    cost->failed = false;
    sim_end(s);
}

static bool check_case(sim_t *s, const struct count_case *c, sim_protocol_t protocol, char row[200])
{
    bool right = true;
    int at = 0;
    for (k = 1; k <= (protocol == SIM_SINGLE ? 1 : MOST_SERVERS); k++) {
        cost_t cost;
        uint64_t want = c->want(protocol == SIM_CHAIN);
        for (uint64_t order = 0; order < ORDERS; order++) {
            measure(s, c, protocol, order, &cost);
            uint64_t phases = c->want != want_strict_none && c->want != want_strict_all ? 0
                              : protocol == SIM_LATCH && k > 1                          ? 2
                                                                                        : 1;
            if (!cost.failed && cost.phases != phases) {
                tap_diag("%s: %" PRIu64 " phases with %u servers instead of %" PRIu64, c->name, cost.phases, k,
                         phases);
                right = false;
            }
            if (cost.failed || cost.messages != want || cost.told != want) {
                tap_diag("%s: %" PRIu64 " messages with %u servers instead of %" PRIu64
                         "; the servers say %" PRIu64,
                         c->name, cost.messages, k, want, cost.told);
                right = false;
                break;
            }
        }
        at += snprintf(row + at, (size_t)(200 - at), " %3" PRIu64, cost.messages);
    }
    return right;
}

void check_counts(void)
{
    static const char *const names[] = {"single", "latch", "chain"};
    sim_t *s = sim_new();
    if (s == NULL) {
        tap_bail("no memory");
    }
    for (int protocol = 0; protocol < 3; protocol++) {
        bool right = true;
        tap_diag("messages on %s, with folders on 1 to 4 servers:", names[protocol]);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            char row[200];
            right = check_case(s, &cases[i], (sim_protocol_t)protocol, row) && right;
            tap_diag("  %-30s%s", cases[i].name, row);
        }
        tap_ok(right, "%s: what operations cost in messages when nobody disturbs them", names[protocol]);
    }
    sim_delete(s);
}
