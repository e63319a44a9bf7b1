/*
 * engines_done.c - what comes of the operations of the simulation: whether it can, and who has which memos then.
 */
#include "t/lib/engines_sim.h"

#include <string.h>

static void complain(sim_t *s, const sim_op_t *op, const char *what)
{
    char text[SIM_TEXT];
    sim_text_of(s, op, text);
    sim_fail(s, "%s: %s", what, text);
}

/* A memo was given to the client for its folder. */
static void check_given(sim_t *s, const sim_op_t *op, const wire_memo_t *memo, uint32_t index, bool copy)
{
    if (memo == NULL || index >= op->count) {
        complain(s, op, "OK without a memo, or without saying from where");
    } else if (memo->owner != SIM_IN_CLIENT || memo->whose != op->client) {
        complain(s, op, "a memo that it has not");
    } else if (memo->folder != op->folders[index]) {
        complain(s, op, "a memo of another folder");
    } else if (memo->copy != copy || memo->made) {
        complain(s, op, copy ? "not a copy" : "a copy");
    }
}

static void hold(sim_t *s, sim_op_t *op, wire_memo_t *memo)
{
    sim_client_t *c = &s->client[op->client];
    if (c->n_held == SIM_HELD) {
        sim_held_t first = c->held[0];
        if (first.record != NULL) {
            first.record->hold = HISTORY_ENDED;
        }
        sim_free_memo(s, first.memo, SIM_IN_CLIENT, c->number);
        memmove(&c->held[0], &c->held[1], --c->n_held * sizeof c->held[0]);
    }
    c->held[c->n_held].memo = memo;
    c->held[c->n_held++].record = NULL; /* sim_record() sets it */
}

static void done_select(sim_t *s, sim_op_t *op)
{
    int result = op->call.result;
    memo_when_empty_t when = op->select.when_empty;
    if (result == MEMO_OK) {
        check_given(s, op, op->call.memo, op->call.index, op->select.what == MEMO_COPY);
        hold(s, op, op->call.memo);
        return;
    }
    bool right = (result == MEMO_NONE && (when == MEMO_SKIP || when == MEMO_STRICT_SKIP)) ||
                 (result == MEMO_QUIET && op->quiet) || (op->cancelled && result == op->why) ||
                 (result == MEMO_EFULL && s->no_memory && op->select.what == MEMO_COPY) ||
                 (result == MEMO_ENOTSUP && op->select.choice == MEMO_OLDEST) ||
                 (result == MEMO_EPEER && sim_needs_dead(s, op));
    if (!right || op->call.memo != NULL) {
        complain(s, op, "an answer that it cannot have");
    }
    s->quiet_verdicts += result == MEMO_QUIET;
    if (result == MEMO_QUIET && s->last_quietable < op->begin) {
        complain(s, op, "it was not quiet");
    }
}

static void done_join(sim_t *s, sim_op_t *op)
{
    if (op->call.result != MEMO_OK) {
        if ((!op->cancelled || op->call.result != op->why) &&
            (op->call.result != MEMO_EPEER || !sim_needs_dead(s, op))) {
            complain(s, op, "an answer that it cannot have");
        }
        for (uint32_t i = 0; i < op->count; i++) {
            if (op->memos[i] != NULL) {
                complain(s, op, "a join that failed, with memos");
            }
        }
        return;
    }
    for (uint32_t i = 0; i < op->count; i++) {
        check_given(s, op, op->memos[i], i, false);
        hold(s, op, op->memos[i]);
    }
}

static void done_put(sim_t *s, sim_op_t *op)
{
    int result = op->call.result;
    if (result == MEMO_OK) {
        if (op->call.memo != NULL || (op->memo->owner == SIM_IN_CLIENT && op->memo->whose == op->client &&
                                      op->memo->number < s->n_memos && !op->memo->taken)) {
            complain(s, op, "a put that took effect, and the memo is still there");
        }
        if (op->kind == SIM_PUT || op->kind == SIM_PUT_START) {
            sim_order_put(s, op);
        }
        return;
    }
    if (result == MEMO_EPEER && sim_needs_dead(s, op)) {
        if (op->call.memo != NULL) {
            sim_lose(s, op->memo); /* it was never sent */
        }
        return;
    }
    if (!(result == MEMO_EFULL && op->kind != SIM_PUT_WAIT) && !(op->cancelled && result == op->why)) {
        complain(s, op, "an answer that it cannot have");
    }
    if (op->call.memo != op->memo) {
        complain(s, op, "a put was refused without the memo");
    }
    sim_free_memo(s, op->memo, SIM_IN_CLIENT, op->client);
}

void sim_done(sim_t *s, sim_op_t *op)
{
    sim_client_t *c = &s->client[op->client];
    if (op->over || !op->begun) {
        complain(s, op, "done twice, or before it began");
    }
    op->over = true;
    op->end = ++s->clock;
    if (s->plan.trace) {
        char text[SIM_TEXT];
        sim_text_of(s, op, text);
        sim_trace(s, "ended  %s", text);
    }
    if (op->thread < SIM_THREADS) {
        sim_thread_t *t = &c->threads[op->thread];
        t->asynchronous -= op->asynchronous;
        t->waits = op->asynchronous ? t->waits : NULL;
    }
    c->started -= op->asynchronous && (op->kind == SIM_PUT_START || op->kind == SIM_BACK);
    switch (op->kind) {
    case SIM_PUT:
    case SIM_PUT_START:
    case SIM_PUT_WAIT:
    case SIM_DELAY:
        done_put(s, op);
        break;
    case SIM_SELECT:
        done_select(s, op);
        break;
    case SIM_JOIN:
        done_join(s, op);
        break;
    default:
        if (op->call.result != MEMO_OK && !s->no_memory &&
            (op->call.result != MEMO_EPEER || !sim_needs_dead(s, op))) {
            complain(s, op, "an answer that it cannot have");
        }
        if (op->call.memo != NULL) {
            sim_free_memo(s, op->call.memo, SIM_IN_CLIENT, op->client);
        }
        c->asks -= op->kind == SIM_LEAVING || op->kind == SIM_BYE;
        break;
    }
    s->results[op->call.result >= 0 && op->call.result < 7 ? op->call.result : 7]++;
    sim_record(s, op);
}
