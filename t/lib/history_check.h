/*
 * history_check.h - what the parts of the checker share: the history, seen by memo.
 *
 * Memos are numbered without gaps: those of tape 0 by their names' numbers, then those of tape 1, and so on.
 * A record is known by its place in the history; 0 in `put` and `take` is none, else place + 1.
 */
#ifndef HISTORY_CHECK_H
#define HISTORY_CHECK_H

#include "t/lib/history.h"
#include "t/lib/history_spans.h"

typedef struct check_list {
    uint32_t *items;
    uint32_t count, room;
} check_list_t;

typedef struct check {
    const history_t *h;
    const history_rules_t *rules;
    history_report_t *report;
    const history_record_t *records;
    uint32_t n;
    uint32_t tapes, folders;
    uint64_t zero;  /* the earliest call: times are told from there */
    uint32_t *base; /* of each tape's memos; tapes + 1 */
    uint32_t memos;
    uint32_t *put;                    /* by memo */
    uint32_t *take;                   /* by memo: its first take by redeliveries, once check_takes() is through */
    uint64_t *seen_first, *seen_last; /* by memo: earliest return and latest call of its copies */
    check_list_t again;               /* takes of memos that had one already */
    check_list_t tokens;              /* puts and takes of tokens */
    spans_t spans;
    reach_t cancels; /* when a started take that was cancelled may have had a memo */
    bool out_of_memory;
} check_t;

void check_fault(check_t *c, enum history_fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends; false (and out_of_memory) when there is none. */
bool check_list_add(check_t *c, check_list_t *list, uint32_t item);

/* A record in words: at most two sentences may be in use at once per call of check_fault(). */
const char *check_tell(const check_t *c, const history_record_t *r);
/* A memo's name in words. */
const char *check_memo(uint64_t name);

/* The memo's number, or false for a name that this history never gave. */
bool check_number(const check_t *c, uint64_t name, uint32_t *number);
static inline const history_record_t *check_record(const check_t *c, uint32_t place_and_1)
{
    return place_and_1 == 0 ? NULL : &c->records[place_and_1 - 1];
}
/* Whether the taker may have given the memo back: it was killed, or it closed. */
bool check_gone(const check_t *c, const history_record_t *take);
static inline bool check_killed(const check_t *c, const history_record_t *r)
{
    return history_tape_number((history_t *)(uintptr_t)c->h, r->tape)->killed != 0;
}

void check_takes(check_t *c);   /* history_takes.c: every memo's life */
void check_tokens(check_t *c);  /* history_takes.c */
void check_copies(check_t *c);  /* history_takes.c */
void check_delayed(check_t *c); /* history_answers.c: what fired had a trigger */
void check_spans(check_t *c);   /* history_answers.c: builds spans and cancels */
void check_answers(check_t *c); /* history_answers.c: none, timeouts, choices */
void check_order(check_t *c);   /* history_answers.c: each producer's memos in order */

#endif
