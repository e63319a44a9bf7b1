/*
 * actor_select.c - the actor's selects, in all their forms: at once, with a time, as requests, and as joins.
 */
#include "libmemo/wire/message.h"
#include "t/lib/actor.h"

#include <string.h>

/* ---- what to ask for ------------------------------------------------------------------------------------- */

/* A set of folders, one may stand twice; the names in a->names, the numbers in a->numbers. */
static uint32_t some_folders(actor_t *a)
{
    uint32_t kind = actor_below(a, 20);
    uint32_t n = kind < 9 ? 1 : kind < 18 ? 2 + actor_below(a, 7) : 1 + actor_below(a, ACTOR_SET);
    for (uint32_t i = 0; i < n; i++) {
        a->numbers[i] = actor_folder(a);
        a->names[i] = a->world->names[a->numbers[i]];
    }
    return n;
}

/* Whether the first n folders of the set are those of several servers. */
static bool is_spread(const actor_t *a, size_t n)
{
    uint32_t servers = a->world->servers;
    for (size_t i = 1; i < n; i++) {
        if (wire_server_of(&a->names[i], servers) != wire_server_of(&a->names[0], servers)) {
            return true;
        }
    }
    return false;
}

/* Whether one of the folders may hold a memo that is latched for somebody else, and passed over: see odd_folders.
 */
static bool may_meet_latches(const actor_t *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a->world->servers > 1 && a->numbers[i] % 2 == 1) {
            return true;
        }
    }
    return is_spread(a, n);
}

/* In half of the folders nothing is ever latched for who then wants it no more, so that order holds there without
 * exception: see check_order(). */
static void odd_folders(actor_t *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        a->numbers[i] |= 1;
        a->numbers[i] -= a->numbers[i] >= a->world->common ? 2 : 0;
        a->names[i] = a->world->names[a->numbers[i]];
    }
}

static memo_select_t some_select(actor_t *a, bool may_wait_forever)
{
    static const memo_choice_t choices[8] = {MEMO_LISTED, MEMO_LISTED, MEMO_LISTED, MEMO_LISTED,
                                             MEMO_LISTED, MEMO_ROTATE, MEMO_ROTATE, MEMO_OLDEST};
    static const memo_when_empty_t whens[8] = {MEMO_WAIT, MEMO_WAIT, MEMO_WAIT,        MEMO_SKIP,
                                               MEMO_SKIP, MEMO_SKIP, MEMO_STRICT_SKIP, MEMO_STRICT_SKIP};
    memo_select_t s = MEMO_SELECT_INIT;
    s.count = some_folders(a);
    s.folders = a->names;
    s.what = actor_below(a, 4) == 0 ? MEMO_COPY : MEMO_TAKE;
    s.when_empty = whens[actor_below(a, 8)];
    s.choice = choices[actor_below(a, 8)];
    if (is_spread(a, s.count)) {
        odd_folders(a, s.count);
    }
    s.timeout_ns = may_wait_forever && actor_below(a, 40) == 0 ? MEMO_FOREVER : actor_timeout(a);
    return s;
}

/* The oldest of folders of several servers nobody knows. */
static void choose_as_can_be(const actor_t *a, memo_select_t *s)
{
    if (s->choice == MEMO_OLDEST && is_spread(a, s->count)) {
        s->choice = MEMO_ROTATE;
    }
}

static history_record_t *begin_select(actor_t *a, const memo_select_t *s)
{
    static const uint8_t whens[] = {
        [MEMO_WAIT] = HISTORY_WAIT, [MEMO_SKIP] = HISTORY_SKIP, [MEMO_STRICT_SKIP] = HISTORY_STRICT};
    bool listed = s->choice == MEMO_LISTED && !may_meet_latches(a, s->count);
    history_record_t r = {.kind = s->what == MEMO_TAKE ? HISTORY_TAKE : HISTORY_COPY,
                          .when = whens[s->when_empty],
                          .folder = a->numbers[0],
                          .timeout = s->when_empty == MEMO_WAIT ? s->timeout_ns : 0,
                          .flags = listed ? HISTORY_LISTED : 0};
    if (s->count > 1) {
        r.count = (uint32_t)s->count;
        r.set = history_set(a->h, a->tape, a->numbers, r.count);
    }
    return history_begin(a->h, a->tape, &r);
}

static void end_select(actor_t *a, history_record_t *r, int result, memo_t *m, size_t which)
{
    uint64_t ret = history_now();
    if (result != MEMO_OK) {
        actor_ended(a, r, result, ret);
        return;
    }
    if (r->count > 1) {
        r->folder = which < r->count ? history_set_at(a->h, r->set)[which] : 0;
    }
    actor_took(a, r, m, ret);
    if (actor_below(a, 3) != 0) {
        actor_finish(a, a->n_held - 1, actor_below(a, 2) == 0);
    }
}

/* ---- selects at once ------------------------------------------------------------------------------------- */

/* The short forms over one folder. */
static int select_one(actor_t *a, const memo_select_t *s, memo_t **m)
{
    const memo_folder_t *f = s->folders;
    bool forever = s->timeout_ns == MEMO_FOREVER;
    if (s->when_empty != MEMO_WAIT) {
        return s->what == MEMO_TAKE ? memo_get_skip(a->space, f, m) : memo_get_copy_skip(a->space, f, m);
    }
    if (s->what == MEMO_TAKE) {
        return forever ? memo_get(a->space, f, m) : memo_get_for(a->space, f, m, s->timeout_ns);
    }
    return forever ? memo_get_copy(a->space, f, m) : memo_get_copy_for(a->space, f, m, s->timeout_ns);
}

/* The short forms over several. */
static int select_alt(actor_t *a, const memo_select_t *s, memo_t **m, size_t *which)
{
    switch (s->when_empty) {
    case MEMO_SKIP:
        return memo_alt_skip(a->space, s->folders, s->count, m, which);
    case MEMO_STRICT_SKIP:
        return memo_strict_alt_skip(a->space, s->folders, s->count, m, which);
    default:
        return s->timeout_ns == MEMO_FOREVER
                   ? memo_alt(a->space, s->folders, s->count, m, which)
                   : memo_alt_for(a->space, s->folders, s->count, m, which, s->timeout_ns);
    }
}

void actor_do_select(actor_t *a)
{
    memo_t *m = NULL;
    size_t which = 0;
    int result;
    memo_select_t s = some_select(a, a->world->forever);
    choose_as_can_be(a, &s);
    if (s.when_empty == MEMO_WAIT && s.timeout_ns == MEMO_FOREVER) {
        actor_flush(a); /* others may wait for those */
    }
    history_record_t *r = begin_select(a, &s);
    if (s.choice == MEMO_LISTED && s.count == 1 && s.when_empty != MEMO_STRICT_SKIP) {
        result = select_one(a, &s, &m);
    } else if (s.choice == MEMO_LISTED && s.what == MEMO_TAKE && actor_below(a, 4) != 0) {
        result = select_alt(a, &s, &m, &which);
    } else {
        result = memo_select(a->space, &s, &m, &which);
    }
    end_select(a, r, result, m, which);
}

/* ---- joins ----------------------------------------------------------------------------------------------- */

/* Nothing was taken: one record says so, the others of the join are void. */
static void end_failed_join(actor_t *a, history_record_t *r[], uint32_t n, int result, memo_t *m[], uint64_t ret)
{
    for (uint32_t i = 0; i < n; i++) {
        r[i]->kind = HISTORY_VOID;
        if (m[i] != NULL) {
            r[0]->flags |= HISTORY_ALTERED; /* all or nothing */
        }
    }
    r[0]->kind = HISTORY_JOIN_FAILED;
    r[0]->set = history_set(a->h, a->tape, a->numbers, n);
    r[0]->count = n;
    actor_ended(a, r[0], result, ret);
}

void actor_do_join(actor_t *a)
{
    memo_t *m[ACTOR_JOIN] = {NULL};
    history_record_t *r[ACTOR_JOIN];
    uint32_t n = 1 + actor_below(a, ACTOR_JOIN);
    bool forever = a->world->forever && actor_below(a, 40) == 0;
    int64_t timeout = forever ? MEMO_FOREVER : actor_timeout(a);
    actor_flush(a);
    for (uint32_t i = 0; i < n; i++) {
        a->numbers[i] = actor_folder(a);
        /* A limited folder may not have room for as many as a join without end would want. */
        a->numbers[i] -= forever && a->world->limits[a->numbers[i]] > 0 ? 1 : 0;
        a->names[i] = a->world->names[a->numbers[i]];
    }
    if (is_spread(a, n)) {
        odd_folders(a, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        r[i] = history_begin(
            a->h, a->tape,
            &(history_record_t){
                .kind = HISTORY_TAKE, .folder = a->numbers[i], .timeout = timeout, .flags = HISTORY_JOIN});
    }
    int result =
        forever ? memo_get_all(a->space, a->names, n, m) : memo_get_all_for(a->space, a->names, n, m, timeout);
    uint64_t ret = history_now();
    if (result != MEMO_OK) {
        end_failed_join(a, r, n, result, m, ret);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (m[i] == NULL) {
            actor_ended(a, r[i], MEMO_ECORRUPT, ret);
        } else {
            actor_took(a, r[i], m[i], ret);
        }
    }
}

/* ---- requests -------------------------------------------------------------------------------------------- */

static void forget_request(actor_t *a, unsigned which)
{
    a->requests[which] = a->requests[--a->n_requests];
}

void actor_do_start(actor_t *a)
{
    memo_select_t s = some_select(a, false);
    if (actor_below(a, 2) == 0) {
        s.timeout_ns = MEMO_FOREVER; /* there is always cancel */
    }
    odd_folders(a, s.count);
    choose_as_can_be(a, &s);
    history_record_t *r = begin_select(a, &s);
    r->flags |= HISTORY_REQUEST;
    memo_request_t *request = NULL;
    int result = memo_start(a->space, &s, &request);
    if (result != MEMO_OK) {
        actor_ended(a, r, result, history_now());
        return;
    }
    a->requests[a->n_requests++] = (actor_request_t){request, r};
}

void actor_cancel(actor_t *a, unsigned which)
{
    actor_request_t request = a->requests[which];
    forget_request(a, which);
    bool take = request.record->kind == HISTORY_TAKE;
    if (take) {
        request.record->kind = HISTORY_CANCELLED;
    }
    int result = memo_cancel(request.r);
    history_end(request.record, result);
    if (!take) {
        request.record->kind = HISTORY_VOID;
    }
}

static void test_request(actor_t *a, unsigned which)
{
    memo_t *m = NULL;
    size_t index = 0;
    actor_request_t request = a->requests[which];
    int result = memo_test(request.r, &m, &index);
    if (result != MEMO_PENDING) {
        forget_request(a, which);
        end_select(a, request.record, result, m, index);
    }
}

static void wait_for_request(actor_t *a, unsigned which)
{
    memo_t *m = NULL;
    size_t index = 0;
    actor_request_t request = a->requests[which];
    int64_t timeout = actor_timeout(a);
    history_record_t *waited =
        history_begin(a->h, a->tape, &(history_record_t){.kind = HISTORY_WAITED, .timeout = timeout});
    int result = memo_wait(request.r, &m, &index, timeout);
    if (result == MEMO_PENDING) {
        actor_ended(a, waited, result, history_now());
        return;
    }
    waited->kind = HISTORY_VOID;
    forget_request(a, which);
    end_select(a, request.record, result, m, index);
}

void actor_do_request(actor_t *a)
{
    unsigned which = actor_below(a, a->n_requests);
    switch (actor_below(a, 4)) {
    case 0:
        actor_cancel(a, which);
        break;
    case 1:
        wait_for_request(a, which);
        break;
    default:
        test_request(a, which);
    }
}

/* ---- the shuttle ----------------------------------------------------------------------------------------- */

void actor_do_shuttle(actor_t *a)
{
    uint32_t one = a->world->common + (a->world->common & 1), other = one + 2;
    if (a->shuttles) {
        uint32_t from = a->shuttle_at, to = from == one ? other : one;
        if (actor_put_plain(a, to, 8) == MEMO_OK) {
            a->shuttle_at = to;
            if (from != 0) {
                actor_take_plain(a, from, 0);
            }
        }
        return;
    }
    bool turned = actor_below(a, 2) == 0;
    memo_t *m = NULL;
    size_t which = 0;
    memo_select_t s = MEMO_SELECT_INIT;
    a->numbers[0] = turned ? other : one;
    a->numbers[1] = turned ? one : other;
    a->names[0] = a->world->names[a->numbers[0]];
    a->names[1] = a->world->names[a->numbers[1]];
    s.folders = a->names;
    s.count = 2;
    s.what = MEMO_COPY;
    s.when_empty = MEMO_STRICT_SKIP;
    history_record_t *r = begin_select(a, &s);
    int result = memo_select(a->space, &s, &m, &which);
    end_select(a, r, result, m, which);
}
