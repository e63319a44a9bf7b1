/*
 * engines_history.c - what the clients of the simulation were told: written into a history for its checker, and
 * held against what the judge knows of the folders.
 */
#include "t/lib/engines_sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- recording -------------------------------------------------------------------------------------------- */

static history_record_t *record(sim_t *s, const sim_op_t *op, history_record_t r)
{
    static const uint8_t whens[] = {HISTORY_WAIT, HISTORY_SKIP, HISTORY_STRICT, HISTORY_STRICT};
    if (!history_room(s->history, s->tape, 1, SIM_SET)) {
        sim_fail(s, "the history is full");
    }
    if (op->kind == SIM_SELECT) {
        r.when = whens[op->select.when_empty];
        if (op->count > 1) {
            r.count = op->count;
            r.set = history_set(s->history, s->tape, op->folders, op->count);
        }
    }
    history_record_t *kept = history_begin(s->history, s->tape, &r);
    kept->tape = (uint16_t)s->client[op->client].threads[op->thread % SIM_THREADS].tape;
    kept->call = op->begin;
    kept->result = (int8_t)r.result;
    kept->ret = op->over ? op->end : 0;
    return kept;
}

static void record_put(sim_t *s, const sim_op_t *op, bool delayed)
{
    int result = op->call.result;
    if (op->over && result != MEMO_OK && result != MEMO_EFULL && result != MEMO_TIMEDOUT) {
        return;
    }
    record(s, op,
           (history_record_t){.kind = delayed ? HISTORY_PUT_DELAYED : HISTORY_PUT,
                              .memo = op->memo->name,
                              .folder = op->memo->folder,
                              .trigger = delayed ? op->memo->trigger : 0,
                              .result = (int8_t)result});
}

/* The memo in hand and the record of its take know each other. */
static void note_take(sim_t *s, const sim_op_t *op, const wire_memo_t *memo, history_record_t *r)
{
    sim_client_t *c = &s->client[op->client];
    r->redeliveries = (uint8_t)memo->redeliveries;
    for (uint32_t i = c->n_held; i-- > 0;) {
        if (c->held[i].memo == memo) {
            c->held[i].record = r;
            return;
        }
    }
    sim_fail(s, "memo %u is in nobody's hand", memo->number);
}

static void record_select(sim_t *s, const sim_op_t *op)
{
    bool copy = op->select.what == MEMO_COPY;
    int result = op->call.result == MEMO_QUIET ? MEMO_NONE : op->call.result;
    history_record_t r = {.kind = copy ? HISTORY_COPY : HISTORY_TAKE,
                          .folder = op->folders[0],
                          .timeout = MEMO_FOREVER,
                          .result = (int8_t)result};
    if (op->over && result != MEMO_OK && result != MEMO_NONE) {
        return;
    }
    if (op->over && result == MEMO_OK) {
        r.folder = op->folders[op->call.index];
        r.memo = op->call.memo->name;
    }
    if (op->select.choice == MEMO_LISTED && s->plan.protocol == SIM_SINGLE) {
        r.flags = HISTORY_LISTED;
    }
    history_record_t *kept = record(s, op, r);
    if (op->over && result == MEMO_OK && !copy) {
        note_take(s, op, op->call.memo, kept);
    }
}

static void record_join(sim_t *s, const sim_op_t *op)
{
    if (op->over && op->call.result != MEMO_OK) {
        return;
    }
    for (uint32_t i = 0; i < op->count; i++) {
        history_record_t *kept = record(s, op,
                                        (history_record_t){.kind = HISTORY_TAKE,
                                                           .folder = op->folders[i],
                                                           .timeout = MEMO_FOREVER,
                                                           .flags = HISTORY_JOIN,
                                                           .memo = op->over ? op->memos[i]->name : 0});
        if (op->over) {
            note_take(s, op, op->memos[i], kept);
        }
    }
}

void sim_record(sim_t *s, sim_op_t *op)
{
    switch (op->kind) {
    case SIM_PUT:
    case SIM_PUT_WAIT:
    case SIM_PUT_START:
        record_put(s, op, false);
        break;
    case SIM_DELAY:
        record_put(s, op, true);
        break;
    case SIM_SELECT:
        record_select(s, op);
        break;
    case SIM_JOIN:
        record_join(s, op);
        break;
    case SIM_RETURN:
        if (op->record != NULL && op->over) {
            op->record->ret = op->end;
        }
        break;
    default:
        break;
    }
}

/* ---- judging ---------------------------------------------------------------------------------------------- */

/* Whether at every instant from `from` to `to` one of the folders held a memo. */
static bool covered(const sim_t *s, const uint32_t folders[], uint32_t count, uint64_t from, uint64_t to)
{
    bool in[SIM_FOLDERS] = {false};
    for (uint32_t i = 0; i < count; i++) {
        in[folders[i]] = true;
    }
    for (bool moved = true; moved && from <= to;) {
        moved = false;
        for (uint32_t i = 0; i < s->n_stays; i++) {
            const sim_stay_t *stay = &s->stays[i];
            if (in[stay->folder] && stay->from <= from && stay->to > from) {
                from = stay->to;
                moved = true;
            }
        }
    }
    return from > to;
}

static void judge_none(sim_t *s, const sim_op_t *op)
{
    char text[SIM_TEXT];
    bool strict = op->call.result == MEMO_QUIET || op->select.when_empty == MEMO_STRICT_SKIP;
    if (strict && covered(s, op->folders, op->count, op->begin, op->end)) {
        sim_text_of(s, op, text);
        sim_fail(s, "one or another of its folders held a memo at every instant: %s", text);
    }
    for (uint32_t i = 0; i < op->count && !strict; i++) {
        if (covered(s, &op->folders[i], 1, op->begin, op->end)) {
            sim_text_of(s, op, text);
            sim_fail(s, "folder %u held a memo at every instant: %s", op->folders[i], text);
        }
    }
}

typedef struct verdict {
    const sim_t *s;
    bool order; /* counts */
    char text[SIM_TEXT];
} verdict_t;

static void say(const char *sentence, void *arg)
{
    verdict_t *v = arg;
    if (v->text[0] == '\0' && (v->order || strncmp(sentence, "out of order", 12) != 0)) {
        snprintf(v->text, sizeof v->text, "%s", sentence);
    }
}

/* Memos that are latched for selects over several servers may be overtaken: then order is not judged. */
void sim_judge_history(sim_t *s)
{
    for (uint32_t i = 0; i < s->n_ops; i++) {
        const sim_op_t *op = &s->ops[i];
        if (op->kind == SIM_SELECT && op->over && (op->call.result == MEMO_NONE || op->call.result == MEMO_QUIET)) {
            judge_none(s, op);
        }
    }
    verdict_t v = {.s = s, .order = s->local || s->servers == 1};
    history_rules_t rules = {.say = say, .arg = &v};
    history_report_t report;
    history_check(s->history, &rules, &report);
    if (s->dead_servers != 0) { /* of what was lost with them it knows nothing */
        report.violations = report.faults[FAULT_RESULT] + report.faults[FAULT_DOUBLE_TAKE];
        v.order = true;
    }
    uint64_t order = v.order ? 0 : report.faults[FAULT_ORDER];
    if (report.violations > order) {
        sim_fail(s, "the history: %s", v.text);
    }
}
