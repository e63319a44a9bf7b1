/*
 * history_check.c - the checker's frame: reads the records, numbers the memos, and calls the parts.
 */
#include "t/lib/history_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAID_MOST = 20 };

const char *const history_fault_names[FAULT_KINDS] = {
    "malformed history",    "impossible answer",
    "altered memo",         "memo from nowhere",
    "double take",          "lost memo",
    "wrong folder",         "taken before put",
    "stale copy",           "delayed put not triggered",
    "weak skip wrong",      "strict skip wrong",
    "wrong choice",         "out of order",
    "early timeout",        "redelivered without death",
    "tokens do not add up", "over the limit",
};

void check_fault(check_t *c, enum history_fault fault, const char *format, ...)
{
    c->report->faults[fault]++;
    if (c->report->violations++ >= SAID_MOST || c->rules->say == NULL) {
        return;
    }
    char text[1024];
    int at = snprintf(text, sizeof text, "%s: ", history_fault_names[fault]);
    va_list args;
    va_start(args, format);
    vsnprintf(text + at, sizeof text - (size_t)at, format, args);
    va_end(args);
    c->rules->say(text, c->rules->arg);
}

bool check_list_add(check_t *c, check_list_t *list, uint32_t item)
{
    if (list->count == list->room) {
        uint32_t room = list->room == 0 ? 256 : list->room * 2;
        uint32_t *items = realloc(list->items, room * sizeof *items);
        if (items == NULL) {
            c->out_of_memory = true;
            return false;
        }
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = item;
    return true;
}

const char *check_memo(uint64_t name)
{
    static _Thread_local char text[4][40];
    static _Thread_local unsigned turn;
    char *to = text[turn++ % 4];
    uint32_t tape, number;
    if (history_name_parts(name, &tape, &number)) {
        snprintf(to, sizeof text[0], "%" PRIu32 "/%" PRIu32, tape, number);
    } else {
        snprintf(to, sizeof text[0], "0x%" PRIx64, name);
    }
    return to;
}

static const char *what_kind(const history_record_t *r)
{
    static const char *const names[] = {"nothing",        "put",  "delayed put", "take", "copy", "join",
                                        "cancelled take", "wait", "nothing"};
    static const char *const skips[] = {"", "skip ", "strict skip "};
    static _Thread_local char text[2][40];
    static _Thread_local unsigned turn;
    char *to = text[turn++ % 2];
    snprintf(to, sizeof text[0], "%s%s", r->when <= HISTORY_STRICT ? skips[r->when] : "",
             r->kind <= HISTORY_VOID ? names[r->kind] : "?");
    return to;
}

const char *check_tell(const check_t *c, const history_record_t *r)
{
    static _Thread_local char text[4][240];
    static _Thread_local unsigned turn;
    char *to = text[turn++ % 4];
    char end[40] = "unfinished";
    if (r->ret != 0) {
        snprintf(end, sizeof end, "%.3f us", (double)(r->ret - c->zero) / 1e3);
    }
    char where[60];
    if (r->count > 0) {
        snprintf(where, sizeof where, "over %" PRIu32 " folders (folder %" PRIu32 ")", r->count, r->folder);
    } else {
        snprintf(where, sizeof where, "folder %" PRIu32, r->folder);
    }
    snprintf(to, sizeof text[0], "%s by tape %u%s, %s, %.3f to %s, result %d, redeliveries %u, hold %u",
             what_kind(r), r->tape, check_killed(c, r) ? " (killed)" : "", where, (double)(r->call - c->zero) / 1e3,
             end, r->result, r->redeliveries, r->hold);
    return to;
}

bool check_number(const check_t *c, uint64_t name, uint32_t *number)
{
    uint32_t tape, nth;
    if (!history_name_parts(name, &tape, &nth) || tape >= c->tapes || nth >= c->base[tape + 1] - c->base[tape]) {
        return false;
    }
    *number = c->base[tape] + nth;
    return true;
}

bool check_gone(const check_t *c, const history_record_t *take)
{
    return take->hold == HISTORY_RETURNED || (check_killed(c, take) && take->hold != HISTORY_ENDED);
}

/* Whether the call can answer so at all. */
static bool legal(const history_record_t *r)
{
    bool timed = r->result == MEMO_TIMEDOUT && r->timeout >= 0;
    switch (r->kind) {
    case HISTORY_PUT:
        return r->result == MEMO_OK || r->result == MEMO_EFULL || timed;
    case HISTORY_PUT_DELAYED:
        return r->result == MEMO_OK || r->result == MEMO_EFULL;
    case HISTORY_TAKE:
    case HISTORY_COPY:
        return r->result == MEMO_OK || r->result == MEMO_EFULL || (timed && r->when == HISTORY_WAIT) ||
               (r->result == MEMO_NONE && r->when != HISTORY_WAIT);
    case HISTORY_JOIN_FAILED:
        return r->result == MEMO_EFULL || timed;
    case HISTORY_CANCELLED:
        return r->result == MEMO_OK;
    case HISTORY_WAITED:
        return r->result == MEMO_PENDING;
    default:
        return r->kind == HISTORY_VOID;
    }
}

static void count_answer(history_report_t *report, const history_record_t *r)
{
    report->pending += r->ret == 0 && r->kind != HISTORY_VOID && r->kind != HISTORY_WAITED;
    if (r->ret == 0) {
        return;
    }
    report->nones += r->result == MEMO_NONE;
    report->timeouts += r->result == MEMO_TIMEDOUT;
    report->refusals += r->result == MEMO_EFULL;
    report->cancels += r->kind == HISTORY_CANCELLED;
    if (r->result == MEMO_OK) {
        report->puts += r->kind == HISTORY_PUT || r->kind == HISTORY_PUT_DELAYED;
        report->takes += r->kind == HISTORY_TAKE;
        report->copies += r->kind == HISTORY_COPY;
        report->redelivered += r->kind == HISTORY_TAKE && r->redeliveries > 0;
    }
}

static void read_put(check_t *c, const history_record_t *r, uint32_t place)
{
    uint32_t memo;
    if (r->ret != 0 && r->result != MEMO_OK) {
        return;
    }
    if (!check_number(c, r->memo, &memo)) {
        check_fault(c, FAULT_MALFORMED, "a put of %s, which is no name: %s", check_memo(r->memo), check_tell(c, r));
    } else if (c->put[memo] != 0) {
        check_fault(c, FAULT_MALFORMED, "memo %s is put twice: %s; %s", check_memo(r->memo),
                    check_tell(c, check_record(c, c->put[memo])), check_tell(c, r));
    } else {
        c->put[memo] = place + 1;
    }
}

static void read_take(check_t *c, const history_record_t *r, uint32_t place)
{
    uint32_t memo;
    if (r->ret == 0 || r->result != MEMO_OK) {
        return;
    }
    if (!check_number(c, r->memo, &memo)) {
        check_fault(c, FAULT_NOWHERE, "memo %s was taken and never put: %s", check_memo(r->memo), check_tell(c, r));
    } else if (c->take[memo] == 0) {
        c->take[memo] = place + 1;
    } else {
        check_list_add(c, &c->again, place);
    }
}

static void read_record(check_t *c, const history_record_t *r, uint32_t place)
{
    count_answer(c->report, r);
    if (r->ret != 0 && r->ret < r->call) {
        check_fault(c, FAULT_MALFORMED, "a return before the call: %s", check_tell(c, r));
    }
    if (r->folder >= c->folders || r->trigger >= c->folders) {
        check_fault(c, FAULT_MALFORMED, "a folder out of range: %s", check_tell(c, r));
        return;
    }
    if (r->ret != 0 && !legal(r)) {
        check_fault(c, FAULT_RESULT, "%s", check_tell(c, r));
    }
    if (r->ret != 0 && (r->flags & HISTORY_ALTERED) != 0) {
        check_fault(c, FAULT_ALTERED, "memo %s: %s", check_memo(r->memo), check_tell(c, r));
        if ((r->flags & HISTORY_TOKEN) == 0 && !history_name_parts(r->memo, &(uint32_t){0}, &(uint32_t){0})) {
            return;
        }
    }
    bool put = r->kind == HISTORY_PUT || r->kind == HISTORY_PUT_DELAYED;
    if ((r->flags & HISTORY_TOKEN) != 0) {
        if (put || r->kind == HISTORY_TAKE) {
            check_list_add(c, &c->tokens, place);
        }
    } else if (put) {
        read_put(c, r, place);
    } else if (r->kind == HISTORY_TAKE) {
        read_take(c, r, place);
    }
}

static bool prepare(check_t *c)
{
    c->records = history_records(c->h, &c->n);
    c->tapes = history_tapes(c->h);
    c->folders = history_folders(c->h);
    c->base = calloc(c->tapes + 1u, sizeof *c->base);
    if (c->base == NULL) {
        return false;
    }
    for (uint32_t t = 0; t < c->tapes; t++) {
        c->base[t + 1] = c->base[t] + history_tape_number((history_t *)(uintptr_t)c->h, t)->names;
    }
    c->memos = c->base[c->tapes];
    c->put = calloc(c->memos + 1u, sizeof *c->put);
    c->take = calloc(c->memos + 1u, sizeof *c->take);
    c->seen_first = malloc((c->memos + 1u) * sizeof *c->seen_first);
    c->seen_last = calloc(c->memos + 1u, sizeof *c->seen_last);
    if (c->put == NULL || c->take == NULL || c->seen_first == NULL || c->seen_last == NULL) {
        return false;
    }
    memset(c->seen_first, 0xff, (c->memos + 1u) * sizeof *c->seen_first);
    c->zero = UINT64_MAX;
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->records[i].kind != HISTORY_UNUSED && c->records[i].call < c->zero) {
            c->zero = c->records[i].call;
        }
    }
    return true;
}

static void run_parts(check_t *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->records[i].kind != HISTORY_UNUSED) {
            read_record(c, &c->records[i], i);
        }
    }
    void (*const parts[])(check_t *) = {check_takes, check_copies,  check_tokens, check_delayed,
                                        check_spans, check_answers, check_order};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && !c->out_of_memory; i++) {
        parts[i](c);
    }
}

bool history_check(const history_t *h, const history_rules_t *rules, history_report_t *report)
{
    check_t c = {.h = h, .rules = rules, .report = report};
    memset(report, 0, sizeof *report);
    c.out_of_memory = !prepare(&c);
    if (!c.out_of_memory) {
        run_parts(&c);
    }
    free(c.base);
    free(c.put);
    free(c.take);
    free(c.seen_first);
    free(c.seen_last);
    free(c.again.items);
    free(c.tokens.items);
    spans_free(&c.spans);
    reach_free(&c.cancels);
    return report->violations == 0 && !c.out_of_memory;
}
