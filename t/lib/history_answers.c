/*
 * history_answers.c - what selects said, against what was certainly so: emptiness, choice, order, times.
 *
 * A memo is certainly in its folder from the earliest return of its put and of the copies of it, to the latest call
 * of copies of it and of its take. A cancelled request may have had one memo of its folders for a while, so those
 * spans take one memo less. An answer is wrong exactly if no instant of its call is left at which it was right.
 */
#include "t/lib/history_check.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- delayed puts ---------------------------------------------------------------------------------------- */

/* When a memo may have been in its folder. */
static bool possibly(const check_t *c, const history_record_t *put, uint64_t *from, uint64_t *to)
{
    uint32_t memo;
    *from = put->call;
    *to = HISTORY_NEVER;
    if ((put->kind != HISTORY_PUT && put->kind != HISTORY_PUT_DELAYED) ||
        (put->ret != 0 && put->result != MEMO_OK)) {
        return false;
    }
    if ((put->flags & HISTORY_TOKEN) == 0 && check_number(c, put->memo, &memo)) {
        const history_record_t *take = check_record(c, c->take[memo]);
        if (take != NULL && !check_gone(c, take)) {
            *to = take->ret;
        }
    }
    return true;
}

static bool build_triggers(check_t *c, reach_t *reach, const bool *is_trigger)
{
    uint64_t from, to;
    if (!reach_begin(reach, c->folders)) {
        return false;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        if (is_trigger[c->records[i].folder] && possibly(c, &c->records[i], &from, &to)) {
            reach_count(reach, c->records[i].folder);
        }
    }
    if (!reach_counted(reach)) {
        return false;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        if (is_trigger[c->records[i].folder] && possibly(c, &c->records[i], &from, &to)) {
            reach_add(reach, c->records[i].folder, from, to);
        }
    }
    reach_sort(reach);
    return true;
}

/* A delayed put that was seen in its target: its trigger may have held a memo between its call and then. */
static void check_one_delayed(check_t *c, const reach_t *reach, const history_record_t *put)
{
    uint32_t memo;
    if (put->kind != HISTORY_PUT_DELAYED || (put->flags & HISTORY_TOKEN) != 0 ||
        !check_number(c, put->memo, &memo)) {
        return;
    }
    const history_record_t *take = check_record(c, c->take[memo]);
    uint64_t seen = c->seen_first[memo];
    if (take != NULL && take->ret < seen) {
        seen = take->ret;
    }
    if (seen < HISTORY_NEVER && !reach_meets(reach, put->trigger, put->call, seen)) {
        check_fault(c, FAULT_NOT_TRIGGERED, "memo %s waited for folder %" PRIu32 ", which was empty: %s; %s",
                    check_memo(put->memo), put->trigger, check_tell(c, put),
                    take != NULL ? check_tell(c, take) : "copied only");
    }
}

void check_delayed(check_t *c)
{
    reach_t reach = {0};
    bool any = false;
    bool *is_trigger = calloc(c->folders, sizeof *is_trigger);
    if (is_trigger == NULL) {
        c->out_of_memory = true;
        return;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->records[i].kind == HISTORY_PUT_DELAYED) {
            any = is_trigger[c->records[i].trigger] = true;
        }
    }
    if (any) {
        c->out_of_memory = !build_triggers(c, &reach, is_trigger);
        for (uint32_t i = 0; i < c->n && !c->out_of_memory; i++) {
            check_one_delayed(c, &reach, &c->records[i]);
        }
        reach_free(&reach);
    }
    free(is_trigger);
}

/* ---- spans ----------------------------------------------------------------------------------------------- */

/* When a memo was certainly in its folder, if it ever was. */
static bool certainly(const check_t *c, uint32_t memo, uint32_t *folder, uint64_t *from, uint64_t *to)
{
    const history_record_t *put = check_record(c, c->put[memo]);
    const history_record_t *take = check_record(c, c->take[memo]);
    if (put == NULL || (take != NULL && take->redeliveries > 0)) {
        return false; /* a memo whose first take is nowhere written was away at times that nobody knows */
    }
    bool once = take == NULL || !check_gone(c, take); /* else copies may be of its second stay */
    *folder = put->folder;
    *from = put->ret != 0 && put->kind == HISTORY_PUT ? put->ret : HISTORY_NEVER;
    *to = take != NULL ? take->call : 0;
    if (once && c->seen_first[memo] < *from) {
        *from = c->seen_first[memo];
    }
    if (once && c->seen_last[memo] > *to) {
        *to = c->seen_last[memo];
    }
    return *from <= *to && *from != HISTORY_NEVER;
}

/* Calls visit for each folder over which a cancelled take stood. */
static void each_cancelled(check_t *c, void (*visit)(check_t *c, uint32_t folder, uint64_t from, uint64_t to))
{
    for (uint32_t i = 0; i < c->n; i++) {
        const history_record_t *r = &c->records[i];
        if (r->kind != HISTORY_CANCELLED) {
            continue;
        }
        const uint32_t *set = history_set_at(c->h, r->set);
        uint64_t to = r->ret != 0 ? r->ret : HISTORY_NEVER;
        for (uint32_t k = 0; k < r->count; k++) {
            visit(c, set[k], r->call, to);
        }
        if (r->count == 0) {
            visit(c, r->folder, r->call, to);
        }
    }
}

static void count_cancelled(check_t *c, uint32_t folder, uint64_t from, uint64_t to)
{
    (void)from;
    (void)to;
    spans_count(&c->spans, folder);
    reach_count(&c->cancels, folder);
}

static void add_cancelled(check_t *c, uint32_t folder, uint64_t from, uint64_t to)
{
    spans_add_away(&c->spans, folder, from, to);
    reach_add(&c->cancels, folder, from, to);
}

static void check_limits(check_t *c)
{
    for (uint32_t f = 0; f < c->folders && c->rules->limits != NULL; f++) {
        uint64_t limit = c->rules->limits[f];
        if (limit > 0 && c->spans.most[f] > limit) {
            check_fault(c, FAULT_LIMIT,
                        "folder %" PRIu32 " held %" PRIu64 " memos at one instant, its limit is %" PRIu64, f,
                        c->spans.most[f], limit);
        }
    }
}

void check_spans(check_t *c)
{
    uint32_t folder;
    uint64_t from, to;
    c->out_of_memory = !spans_begin(&c->spans, c->folders) || !reach_begin(&c->cancels, c->folders);
    if (c->out_of_memory) {
        return;
    }
    for (uint32_t memo = 0; memo < c->memos; memo++) {
        if (certainly(c, memo, &folder, &from, &to)) {
            spans_count(&c->spans, folder);
        }
    }
    each_cancelled(c, count_cancelled);
    c->out_of_memory = !spans_counted(&c->spans) || !reach_counted(&c->cancels);
    if (c->out_of_memory) {
        return;
    }
    for (uint32_t memo = 0; memo < c->memos; memo++) {
        if (certainly(c, memo, &folder, &from, &to)) {
            spans_add(&c->spans, folder, from, to);
        }
    }
    each_cancelled(c, add_cancelled);
    reach_sort(&c->cancels);
    c->out_of_memory = !spans_merge(&c->spans);
    check_limits(c);
}

/* ---- answers --------------------------------------------------------------------------------------------- */

/* Whether a memo in that folder may have been latched for somebody else: who waits passes it over until that one
 * has chosen, and its time may be up before. A skip waits for that. */
static bool may_be_latched(const check_t *c, uint32_t folder)
{
    return c->rules->latches && folder % 2 == 1;
}

static void check_weak(check_t *c, const history_record_t *r, const uint32_t *set, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bool excused = r->result == MEMO_TIMEDOUT && may_be_latched(c, set[i]);
        if (!excused && spans_cover(&c->spans, set[i], r->call, r->ret)) {
            check_fault(c, FAULT_EMPTY, "folder %" PRIu32 " held a memo during the whole of: %s", set[i],
                        check_tell(c, r));
            return;
        }
    }
}

/* A join that was refused for want of memos: not with all its folders full all the time. */
static void check_join(check_t *c, const history_record_t *r, const uint32_t *set, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (set[k] == set[i]) {
                return;
            }
        }
        if (may_be_latched(c, set[i]) || !spans_cover(&c->spans, set[i], r->call, r->ret)) {
            return;
        }
    }
    check_fault(c, FAULT_EMPTY, "all folders held memos during the whole of: %s", check_tell(c, r));
}

static void check_choice(check_t *c, const history_record_t *r, const uint32_t *set, uint32_t count)
{
    uint32_t at = 0;
    while (at < count && set[at] != r->folder) {
        if ((r->flags & HISTORY_LISTED) != 0 && spans_cover(&c->spans, set[at], r->call, r->ret)) {
            check_fault(c, FAULT_CHOICE,
                        "folder %" PRIu32 " is listed before, and held a memo during the whole of: %s", set[at],
                        check_tell(c, r));
            return;
        }
        at++;
    }
    if (at == count) {
        check_fault(c, FAULT_WRONG_FOLDER, "folder %" PRIu32 " was not asked for: %s", r->folder, check_tell(c, r));
    }
}

static void check_time(check_t *c, const history_record_t *r)
{
    bool expired = r->result == MEMO_TIMEDOUT || r->result == MEMO_PENDING;
    if (expired && r->timeout > 0 && r->ret - r->call < (uint64_t)r->timeout) {
        check_fault(c, FAULT_EARLY, "%.3f us of %.3f: %s", (double)(r->ret - r->call) / 1e3,
                    (double)r->timeout / 1e3, check_tell(c, r));
    }
}

static void check_answer(check_t *c, const history_record_t *r)
{
    const uint32_t *set = r->count > 0 ? history_set_at(c->h, r->set) : &r->folder;
    uint32_t count = r->count > 0 ? r->count : 1;
    check_time(c, r);
    if (r->kind == HISTORY_JOIN_FAILED && r->result == MEMO_TIMEDOUT) {
        check_join(c, r, set, count);
        return;
    }
    if (r->kind != HISTORY_TAKE && r->kind != HISTORY_COPY) {
        return;
    }
    if (r->result == MEMO_OK) {
        check_choice(c, r, set, count);
    } else if (r->result == MEMO_NONE && r->when == HISTORY_STRICT) {
        if (spans_cover_together(&c->spans, set, count, r->call, r->ret)) {
            check_fault(c, FAULT_STRICT, "one or another of its folders held a memo at every instant of: %s",
                        check_tell(c, r));
        }
    } else if (r->result == MEMO_NONE || r->result == MEMO_TIMEDOUT) {
        check_weak(c, r, set, count);
    }
}

void check_answers(check_t *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        const history_record_t *r = &c->records[i];
        if (r->kind != HISTORY_UNUSED && r->kind != HISTORY_VOID && r->ret != 0 && r->folder < c->folders) {
            check_answer(c, r);
        }
    }
}

/* ---- order ----------------------------------------------------------------------------------------------- */

/* The earliest return of a take among the later memos of one tape in one folder. */
typedef struct earliest {
    uint64_t ret;
    uint32_t tape_and_1; /* whose memos; others' figures are not cleared but left behind */
    uint32_t take;
} earliest_t;

static void check_order_of(check_t *c, earliest_t *earliest, uint32_t tape, uint32_t memo)
{
    const history_record_t *put = check_record(c, c->put[memo]), *take = check_record(c, c->take[memo]);
    if (put == NULL || take == NULL || put->kind != HISTORY_PUT || take->redeliveries > 0 ||
        take->folder != put->folder || may_be_latched(c, put->folder)) {
        return;
    }
    earliest_t *later = &earliest[put->folder];
    if (later->tape_and_1 != tape + 1) {
        *later = (earliest_t){UINT64_MAX, tape + 1, 0};
    }
    if (later->ret < take->call && !reach_meets(&c->cancels, put->folder, put->call, later->ret)) {
        const history_record_t *overtaker = check_record(c, later->take);
        check_fault(c, FAULT_ORDER, "memo %s was put before %s, and taken after it: %s; %s; %s",
                    check_memo(take->memo), check_memo(overtaker->memo), check_tell(c, put), check_tell(c, take),
                    check_tell(c, overtaker));
    }
    if (take->ret < later->ret) {
        later->ret = take->ret;
        later->take = c->take[memo];
    }
}

void check_order(check_t *c)
{
    earliest_t *earliest = calloc(c->folders, sizeof *earliest);
    if (earliest == NULL) {
        c->out_of_memory = true;
        return;
    }
    for (uint32_t tape = 0; tape < c->tapes; tape++) {
        for (uint32_t memo = c->base[tape + 1]; memo-- > c->base[tape];) {
            check_order_of(c, earliest, tape, memo);
        }
    }
    free(earliest);
}
