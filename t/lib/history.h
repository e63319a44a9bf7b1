/*
 * history.h - what happened in a space, written down by those who did it, and an exact check of it afterwards.
 *
 * Recording. A history lies in one shared mapping, so that what a process wrote survives its kill -9. Each thread's
 * life has a tape of its own. An operation is begun on the tape before the call of the library and ended after it:
 * one that was begun and never ended is pending, and may or may not have taken effect. Times are CLOCK_MONOTONIC
 * nanoseconds, read outside the call.
 *
 * Every memo of 8 bytes or more begins with a name that is never used twice: a memo that is put again is given a
 * new one, and so is one whose put was refused. The order of a tape's names is the order of its puts. Smaller memos
 * are tokens: they are counted, folder by folder.
 *
 * Checking (history_check.c, history_spans.c) is offline, takes no locks and no guesses: what it reports cannot
 * have happened in a space that keeps its contract, whatever the order of what overlapped.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmemo/memo.h"

enum history_kind {
    HISTORY_UNUSED = 0,
    HISTORY_PUT,         /* of `memo` into `folder`; made from the taken memo `origin`, if that is not 0 */
    HISTORY_PUT_DELAYED, /* of `memo` into `folder`, when `trigger` holds a memo */
    HISTORY_TAKE,        /* a select that takes, over the set; ended: `memo` from `folder` */
    HISTORY_COPY,        /* a select that copies, over the set; ended: a copy of `memo` in `folder` */
    HISTORY_JOIN_FAILED, /* a get_all over the set that took nothing; one that takes is a HISTORY_TAKE a folder */
    HISTORY_CANCELLED,   /* a started taking select over the set, from its start to the end of its cancel */
    HISTORY_WAITED,      /* a wait of its own timeout, of which nothing but the time is of interest */
    HISTORY_VOID         /* nothing: begun, then found not to have been an operation */
};

enum history_when { HISTORY_WAIT, HISTORY_SKIP, HISTORY_STRICT };

/* What became of a taken memo in its taker's hands. */
enum history_hold {
    HISTORY_HELD = 0,    /* its death gives the memo back */
    HISTORY_ENDING_FREE, /* in memo_free: gone or given back */
    HISTORY_ENDING_PUT,  /* in a put of the same memory under a new name */
    HISTORY_ENDED,       /* freed or put */
    HISTORY_RETURNED     /* given back by memo_close */
};

enum history_flag {
    HISTORY_LISTED = 1,  /* the first folder of the set that has a memo must be chosen */
    HISTORY_TOKEN = 2,   /* `memo` is not a name: less than 8 bytes */
    HISTORY_ALTERED = 4, /* the worker found the bytes, the size or memo_from() wrong */
    HISTORY_JOIN = 8,    /* one folder's part of a get_all */
    HISTORY_REQUEST = 16 /* started: from memo_start to the test or wait that saw its end */
};

typedef struct history_record {
    uint64_t call;
    uint64_t ret; /* 0: pending; written last */
    uint64_t memo;
    uint64_t origin;
    int64_t timeout; /* nanoseconds, MEMO_FOREVER, or 0 */
    uint32_t folder;
    uint32_t trigger;
    uint32_t set; /* where the folders of the set are; see history_set() */
    uint32_t count;
    uint16_t tape;
    uint8_t kind; /* written last when it is begun */
    int8_t result;
    uint8_t when;
    uint8_t hold;
    uint8_t redeliveries;
    uint8_t flags;
} history_record_t;

_Static_assert(sizeof(history_record_t) == 64, "a record is a cache line");

typedef struct history history_t;

/* One thread's life. All of it is written by that thread, but for `killed`. */
typedef struct history_tape {
    uint32_t number;
    uint32_t names; /* given out */
    uint32_t next;  /* record to use next, and the end of the piece it lies in */
    uint32_t end;
    uint32_t set_next;
    uint32_t set_end;
    uint32_t killed; /* by whoever knows the thread to be dead by a kill */
    uint32_t reserved;
} history_tape_t;

/* Room for that many operations, folders in sets, and tapes (less than 65,536). NULL when there is no memory. */
history_t *history_new(uint32_t records, uint32_t set_entries, uint32_t tapes, uint32_t folders);
void history_delete(history_t *h);

/* A new tape, or NULL when all are used. Any process that shares the history may call it. */
history_tape_t *history_tape(history_t *h);
history_tape_t *history_tape_number(history_t *h, uint32_t number);

/* Whether the tape has room for that many records and that many entries of sets: ask before the operation. */
bool history_room(history_t *h, history_tape_t *tape, uint32_t records, uint32_t set_entries);

/* Records that no tape has yet. */
uint32_t history_left(const history_t *h);

/* The folders of a select, as numbers; the answer is for record->set. There must be room. */
uint32_t history_set(history_t *h, history_tape_t *tape, const uint32_t folders[], uint32_t count);
const uint32_t *history_set_at(const history_t *h, uint32_t set);

/* Begins: the template's fields, call = now. There must be room. */
history_record_t *history_begin(history_t *h, history_tape_t *tape, const history_record_t *template);
/* Ends: result first, then ret = now. The other fields are to be set before. */
void history_end(history_record_t *record, int result);
/* The same with a time read earlier: between the call of the library and the examination of what it gave. */
void history_end_at(history_record_t *record, int result, uint64_t ret);

uint64_t history_now(void);

/* A name for the memo that this tape puts next. */
uint64_t history_name(history_tape_t *tape);
/* Whether a word may be a name; if so whose, and which of his. */
bool history_name_parts(uint64_t name, uint32_t *tape, uint32_t *number);

uint32_t history_tapes(const history_t *h);
uint32_t history_folders(const history_t *h);
/* For the checker: all records, those with kind HISTORY_UNUSED among them. */
history_record_t *history_records(const history_t *h, uint32_t *count);

enum history_fault {
    FAULT_MALFORMED,     /* the history itself: a name put twice, a return before its call */
    FAULT_RESULT,        /* an answer that the call cannot give */
    FAULT_ALTERED,       /* bytes, size or memo_from() */
    FAULT_NOWHERE,       /* taken or copied, never put */
    FAULT_DOUBLE_TAKE,   /* taken again, never given back */
    FAULT_LOST,          /* put, never taken, and not in the remainder */
    FAULT_WRONG_FOLDER,  /* taken from a folder into which it was not put */
    FAULT_BEFORE_PUT,    /* taken or copied before it was put */
    FAULT_STALE_COPY,    /* copied after it was taken */
    FAULT_NOT_TRIGGERED, /* a delayed put that took effect with no memo in its trigger */
    FAULT_EMPTY,         /* none, or a timeout, over a folder that held a memo all the time */
    FAULT_STRICT,        /* a strict none over folders one of which held a memo at every instant */
    FAULT_CHOICE,        /* a folder chosen though one listed before held a memo all the time */
    FAULT_ORDER,         /* one producer's memos out of order */
    FAULT_EARLY,         /* a timeout before its time */
    FAULT_REDELIVERED,   /* marked redelivered, and nobody died or closed */
    FAULT_TOKENS,        /* tokens put and taken do not add up */
    FAULT_LIMIT,         /* more memos in a folder than its limit */
    FAULT_KINDS
};

extern const char *const history_fault_names[FAULT_KINDS];

typedef struct history_rules {
    bool drop;    /* on_death=drop: what the dead held is gone; what was on its way to them comes back */
    bool latches; /* several servers: in folders of odd numbers memos are latched for who may take another */
    const uint64_t *limits;                       /* memos a folder may hold, by its number, 0 for any; or NULL */
    void (*say)(const char *sentence, void *arg); /* the first 20 violations; may be NULL */
    void *arg;
} history_rules_t;

typedef struct history_report {
    uint64_t violations;
    uint64_t faults[FAULT_KINDS];
    uint64_t puts, takes, copies, nones, timeouts, refusals, cancels, pending;
    uint64_t redelivered; /* takes of memos so marked */
    uint64_t missing;     /* what the dead held, with on_death=drop: named memos that are gone, and rightly */
} history_report_t;

/* True when nothing was found. False with violations == 0: no memory for the check. */
bool history_check(const history_t *h, const history_rules_t *rules, history_report_t *report);

#endif
