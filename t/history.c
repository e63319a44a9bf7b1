/*
 * history.c - the checker of histories is itself checked: right histories pass, each kind of fault is found.
 *
 * Right histories come from a model of a space (history_model.h). Each fault is a scene of a few operations, played
 * beside such a history in folders of its own, once as it should be and once with the fault, which must then be the
 * only one reported, and of that kind.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "t/lib/history_model.h"
#include "t/tap.h"

/* ---- scenes ---------------------------------------------------------------------------------------------- */

enum { BACKGROUND = 8, A = BACKGROUND, B, C, ALL };

/* A scene has three workers and a time of its own, after the background's. */
typedef struct scene {
    history_t *h;
    history_tape_t *tape[3];
    uint64_t t;
    history_rules_t rules;
    uint64_t limits[ALL];
} scene_t;

static uint64_t put(scene_t *s, uint32_t w, uint32_t folder, uint64_t call, uint64_t ret)
{
    uint64_t name = history_name(s->tape[w]);
    model_note(s->h, s->tape[w],
               (history_record_t){.kind = HISTORY_PUT,
                                  .folder = folder,
                                  .memo = name,
                                  .call = s->t + call,
                                  .ret = ret == 0 ? 0 : s->t + ret});
    return name;
}

static history_record_t *take(scene_t *s, uint32_t w, uint32_t folder, uint64_t name, uint64_t call, uint64_t ret)
{
    return model_note(s->h, s->tape[w],
                      (history_record_t){.kind = HISTORY_TAKE,
                                         .folder = folder,
                                         .memo = name,
                                         .timeout = MEMO_FOREVER,
                                         .call = s->t + call,
                                         .ret = ret == 0 ? 0 : s->t + ret,
                                         .hold = HISTORY_ENDED});
}

static void copy(scene_t *s, uint32_t w, uint32_t folder, uint64_t name, uint64_t call, uint64_t ret)
{
    take(s, w, folder, name, call, ret)->kind = HISTORY_COPY;
}

static history_record_t *none(scene_t *s, uint32_t w, enum history_when when, uint32_t folder, uint64_t call,
                              uint64_t ret)
{
    return model_note(s->h, s->tape[w],
                      (history_record_t){.kind = HISTORY_TAKE,
                                         .folder = folder,
                                         .when = (uint8_t)when,
                                         .result = MEMO_NONE,
                                         .call = s->t + call,
                                         .ret = s->t + ret});
}

/* The same over A and B. */
static history_record_t *none_of_two(scene_t *s, uint32_t w, enum history_when when, uint64_t call, uint64_t ret)
{
    uint32_t set[2] = {A, B}, place = model_set(s->h, s->tape[w], set, 2);
    history_record_t *r = none(s, w, when, A, call, ret);
    r->count = 2;
    r->set = place;
    return r;
}

static void double_take(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20), n = put(s, 0, A, 21, 22);
    take(s, 1, A, m, 30, 40);
    take(s, 2, A, wrong ? m : n, 50, 60);
    if (wrong) {
        take(s, 2, A, n, 70, 80);
    }
}

static void overlapping_double_take(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 30, 60);
    if (wrong) {
        take(s, 2, A, m, 31, 59);
    }
}

static void lost(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    if (!wrong) {
        take(s, 1, A, m, 30, 40);
    }
}

static void lost_by_the_dead(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 30, 40)->hold = HISTORY_HELD;
    s->tape[1]->killed = 1;
    if (!wrong) {
        take(s, 2, A, m, 50, 60)->redeliveries = 1;
    }
}

static void lost_between_two_names(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 30, 40)->hold = HISTORY_ENDING_PUT;
    uint64_t n = history_name(s->tape[1]);
    model_note(s->h, s->tape[1],
               (history_record_t){.kind = HISTORY_PUT, .folder = B, .memo = n, .origin = m, .call = s->t + 50});
    s->tape[1]->killed = 1;
    if (!wrong) { /* half-way put: it went back to where it came from */
        take(s, 2, A, n, 60, 70)->redeliveries = 1;
    }
}

static void wrong_folder(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, wrong ? B : A, m, 30, 40);
}

static void not_asked_for(scene_t *s, bool wrong)
{
    uint32_t set[2] = {A, B}, place = model_set(s->h, s->tape[1], set, 2);
    uint32_t folder = wrong ? C : B;
    uint64_t m = put(s, 0, folder, 10, 20);
    history_record_t *r = take(s, 1, folder, m, 30, 40);
    r->count = 2;
    r->set = place;
}

static void altered(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 30, 40)->flags = wrong ? HISTORY_ALTERED : 0;
}

static void before_put(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 2, wrong ? 9 : 10);
}

static void copied_before_put(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    copy(s, 1, A, m, 2, wrong ? 9 : 10);
    take(s, 2, A, m, 30, 40);
}

static void stale_copy(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 2, A, m, 30, 40);
    copy(s, 1, A, m, wrong ? 41 : 40, 50);
}

static void from_nowhere(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 30, 40);
    if (wrong) {
        take(s, 1, A, history_name(s->tape[2]), 50, 60);
    }
}

static void refused_and_taken(scene_t *s, bool wrong)
{
    uint64_t m = history_name(s->tape[0]);
    model_note(s->h, s->tape[0],
               (history_record_t){.kind = HISTORY_PUT,
                                  .folder = A,
                                  .memo = m,
                                  .result = MEMO_EFULL,
                                  .call = s->t + 10,
                                  .ret = s->t + 20});
    if (wrong) {
        take(s, 1, A, m, 30, 40);
    }
}

/* The memo is there from 20 to 40: a skip inside is wrong, one that reaches over either end is right. */
static void weak_skip(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    none(s, 1, HISTORY_SKIP, A, wrong ? 20 : 19, 40);
    take(s, 2, A, m, 40, 50);
}

/* Only the copies show that the put had taken effect, and the take not yet. */
static void weak_skip_known_by_copies(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 100);
    copy(s, 0, A, m, 15, 20);
    none(s, 1, HISTORY_SKIP, A, 22, wrong ? 39 : 41);
    take(s, 2, A, m, 24, 60);
    copy(s, 0, A, m, 40, 45);
}

/* Each of two folders is full for half of the call. */
static void weak_alt_skip(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20), n = put(s, 0, B, 21, 22);
    take(s, 2, A, m, wrong ? 80 : 50, 90);
    none_of_two(s, 1, HISTORY_SKIP, 30, 80);
    take(s, 2, B, n, 75, 95);
}

static void timeout_over_a_full_folder(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    history_record_t *r = none(s, 1, HISTORY_WAIT, A, 25, wrong ? 40 : 41);
    r->result = MEMO_TIMEDOUT;
    r->timeout = 10;
    take(s, 2, A, m, 40, 50);
}

static void strict_skip(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20), n = put(s, 1, B, 25, wrong ? 50 : 60);
    take(s, 2, A, m, 50, 70);
    none_of_two(s, 0, HISTORY_STRICT, 30, 80);
    take(s, 2, B, n, 80, 90);
}

/* A's memo may go at 50; B's is there from 50 on, or from 51: one nanosecond of room. */
static void strict_skip_with_a_gap(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20), n = put(s, 1, B, 25, wrong ? 50 : 51);
    take(s, 2, A, m, 50, 70);
    none_of_two(s, 0, HISTORY_STRICT, 30, 80);
    take(s, 2, B, n, 81, 90);
}

/* Wrong only for a strict skip: each folder alone was empty at some instant. */
static void strict_where_weak_is_right(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20), n = put(s, 1, B, 25, 45);
    take(s, 2, A, m, 50, 70);
    none_of_two(s, 0, wrong ? HISTORY_STRICT : HISTORY_SKIP, 30, 80);
    take(s, 2, B, n, 81, 90);
}

/* The request that was cancelled may have had the memo while the skip looked. */
static void skip_beside_a_cancel(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    history_record_t *r = none(s, 2, HISTORY_WAIT, wrong ? B : A, 25, 60);
    r->kind = HISTORY_CANCELLED;
    r->result = MEMO_OK;
    none(s, 1, HISTORY_SKIP, A, 30, 50);
    take(s, 2, A, m, 70, 80);
}

/* Two memos, and one cancelled request: at most one was away. */
static void skip_beside_too_few_cancels(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20), n = 0;
    history_record_t *r = none(s, 2, HISTORY_WAIT, A, 25, 60);
    r->kind = HISTORY_CANCELLED;
    r->result = MEMO_OK;
    if (wrong) {
        n = put(s, 0, A, 21, 22);
    }
    none(s, 1, HISTORY_SKIP, A, 30, 50);
    take(s, 2, A, m, 70, 80);
    if (wrong) {
        take(s, 2, A, n, 90, 95);
    }
}

static void failed_join(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20), n = put(s, 0, B, 21, wrong ? 30 : 31);
    history_record_t *r = none_of_two(s, 1, HISTORY_WAIT, 30, 50);
    r->kind = HISTORY_JOIN_FAILED;
    r->result = MEMO_TIMEDOUT;
    take(s, 2, A, m, 60, 70);
    take(s, 2, B, n, 80, 90);
}

static void choice(scene_t *s, bool wrong)
{
    uint32_t set[2] = {A, B}, place = model_set(s->h, s->tape[1], set, 2);
    uint64_t m = put(s, 0, A, 10, 20), n = put(s, 0, B, 21, 22);
    history_record_t *r = take(s, 1, B, n, 30, 40);
    r->count = 2;
    r->set = place;
    r->flags = wrong ? HISTORY_LISTED : 0;
    take(s, 2, A, m, 50, 60);
}

static void order(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20), n = put(s, 0, A, 21, 30);
    take(s, 1, A, n, 40, 50);
    take(s, 2, A, m, wrong ? 51 : 50, 60);
}

/* Between the two stand others, and other folders; a later maximum must not hide the earlier. */
static void order_far_apart(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    put(s, 0, B, 21, 22);
    uint64_t n = put(s, 0, A, 23, 24), o = put(s, 0, A, 25, 26);
    take(s, 1, B, history_name(&(history_tape_t){.number = s->tape[0]->number, .names = 1}), 27, 28);
    take(s, 1, A, n, 40, wrong ? 50 : 72);
    take(s, 2, A, m, 60, 70);
    take(s, 1, A, o, 65, 80);
}

static void order_beside_a_cancel(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20), n = put(s, 0, A, 21, 30);
    history_record_t *r = none(s, 2, HISTORY_WAIT, wrong ? B : A, 32, 52);
    r->kind = HISTORY_CANCELLED;
    r->result = MEMO_OK;
    take(s, 1, A, n, 40, 50);
    take(s, 2, A, m, 60, 70);
}

static void early_timeout(scene_t *s, bool wrong)
{
    history_record_t *r = none(s, 1, HISTORY_WAIT, A, 20, wrong ? 119 : 120);
    r->result = MEMO_TIMEDOUT;
    r->timeout = 100;
}

static void early_wait(scene_t *s, bool wrong)
{
    history_record_t *r = none(s, 1, HISTORY_WAIT, A, 20, wrong ? 119 : 120);
    r->kind = HISTORY_WAITED;
    r->result = MEMO_PENDING;
    r->timeout = 100;
}

static uint64_t delayed(scene_t *s, uint32_t trigger, uint32_t target, uint64_t call, uint64_t ret)
{
    uint64_t name = history_name(s->tape[0]);
    model_note(s->h, s->tape[0],
               (history_record_t){.kind = HISTORY_PUT_DELAYED,
                                  .folder = target,
                                  .trigger = trigger,
                                  .memo = name,
                                  .call = s->t + call,
                                  .ret = s->t + ret});
    return name;
}

static void delayed_without_trigger(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 30, 40);
    uint64_t d = delayed(s, A, B, wrong ? 41 : 40, 50);
    take(s, 1, B, d, 60, 70);
    m = put(s, 0, A, 71, 75);
    take(s, 1, A, m, 80, 90);
}

static void delayed_and_lost(scene_t *s, bool wrong)
{
    uint64_t d = delayed(s, A, B, 10, 20);
    uint64_t m = put(s, 0, A, 30, 40);
    take(s, 1, A, m, 50, 60);
    if (!wrong) {
        take(s, 1, B, d, 70, 80);
    }
}

static void redelivered(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    history_record_t *r = take(s, 1, A, 0, 12, 0); /* killed in its take */
    r->result = 0;
    if (wrong) {
        r->folder = B;
    }
    s->tape[1]->killed = 1;
    take(s, 2, A, m, 30, 40)->redeliveries = 1;
}

static void redelivered_too_often(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, 0, 12, 0);
    s->tape[1]->killed = 1;
    take(s, 2, A, m, 30, 40)->redeliveries = wrong ? 2 : 1;
}

static void taken_again_from_the_living(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 22, 25)->hold = HISTORY_HELD;
    s->tape[1]->killed = !wrong;
    take(s, 2, A, m, 30, 40)->redeliveries = 1;
}

/* Who had put it again before it was killed, had it no more. */
static void taken_again_after_its_end(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 22, 25)->hold = wrong ? HISTORY_ENDED : HISTORY_ENDING_FREE;
    s->tape[1]->killed = 1;
    take(s, 2, A, m, 30, 40)->redeliveries = 1;
}

static void returned_by_close(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 22, 25)->hold = wrong ? HISTORY_ENDED : HISTORY_RETURNED;
    take(s, 2, A, m, 30, 40)->redeliveries = 1;
}

static void unmarked(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 22, 25)->hold = HISTORY_HELD;
    s->tape[1]->killed = 1;
    take(s, 2, A, m, 30, 40)->redeliveries = wrong ? 0 : 1;
}

/* What was on its way to the dead comes back, marked; what they held does not. */
static void back_though_dropped(scene_t *s, bool wrong)
{
    s->rules.drop = true;
    uint64_t m = put(s, 0, A, 10, 20);
    history_record_t *r = take(s, 1, A, wrong ? m : 0, 22, wrong ? 25 : 0);
    r->hold = HISTORY_HELD;
    s->tape[1]->killed = 1;
    take(s, 2, A, m, 30, 40)->redeliveries = 1;
}

static void dropped(scene_t *s, bool wrong)
{
    s->rules.drop = true;
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 22, 25)->hold = HISTORY_HELD;
    s->tape[1]->killed = 1;
    if (wrong) {
        put(s, 0, A, 30, 40); /* nobody who died can have had this one */
    }
}

static void token(scene_t *s, uint32_t w, enum history_kind kind, uint64_t call, uint64_t ret)
{
    model_note(s->h, s->tape[w],
               (history_record_t){.kind = (uint8_t)kind,
                                  .folder = A,
                                  .flags = HISTORY_TOKEN,
                                  .timeout = MEMO_FOREVER,
                                  .hold = HISTORY_ENDED,
                                  .call = s->t + call,
                                  .ret = s->t + ret});
}

static void token_twice(scene_t *s, bool wrong)
{
    token(s, 0, HISTORY_PUT, 10, 20);
    token(s, 1, HISTORY_TAKE, 30, 40);
    if (wrong) {
        token(s, 2, HISTORY_TAKE, 32, 50);
    }
}

static void token_lost(scene_t *s, bool wrong)
{
    token(s, 0, HISTORY_PUT, 10, 20);
    token(s, 0, HISTORY_PUT, 21, 22);
    token(s, 1, HISTORY_TAKE, 30, 40);
    if (!wrong) {
        token(s, 1, HISTORY_TAKE, 50, 60);
    }
}

static void token_too_soon(scene_t *s, bool wrong)
{
    token(s, 1, HISTORY_TAKE, 1, wrong ? 9 : 10);
    token(s, 0, HISTORY_PUT, 10, 20);
}

static void limit(scene_t *s, bool wrong)
{
    s->limits[A] = 2;
    s->rules.limits = s->limits;
    uint64_t m = put(s, 0, A, 10, 20), n = put(s, 0, A, 21, 22), o = put(s, 0, A, 23, 30);
    take(s, 1, A, m, wrong ? 30 : 29, 40);
    take(s, 1, A, n, 41, 50);
    take(s, 1, A, o, 51, 60);
}

static void impossible_answer(scene_t *s, bool wrong)
{
    none(s, 1, wrong ? HISTORY_WAIT : HISTORY_SKIP, A, 10, 20);
}

static void name_put_twice(scene_t *s, bool wrong)
{
    uint64_t m = put(s, 0, A, 10, 20);
    take(s, 1, A, m, 30, 40);
    if (wrong) {
        model_note(
            s->h, s->tape[2],
            (history_record_t){.kind = HISTORY_PUT, .folder = A, .memo = m, .call = s->t + 50, .ret = s->t + 60});
    }
}

static const struct {
    const char *name;
    void (*play)(scene_t *s, bool wrong);
    enum history_fault fault;
} scenes[] = {
    {"a memo taken twice", double_take, FAULT_DOUBLE_TAKE},
    {"a memo taken twice at once", overlapping_double_take, FAULT_DOUBLE_TAKE},
    {"a memo lost", lost, FAULT_LOST},
    {"a memo lost with its killed holder", lost_by_the_dead, FAULT_LOST},
    {"a memo lost in the middle of a killed put", lost_between_two_names, FAULT_LOST},
    {"a memo from the wrong folder", wrong_folder, FAULT_WRONG_FOLDER},
    {"a memo from a folder not asked for", not_asked_for, FAULT_WRONG_FOLDER},
    {"an altered memo", altered, FAULT_ALTERED},
    {"a take before the put", before_put, FAULT_BEFORE_PUT},
    {"a copy before the put", copied_before_put, FAULT_BEFORE_PUT},
    {"a copy after the take", stale_copy, FAULT_STALE_COPY},
    {"a memo never put", from_nowhere, FAULT_NOWHERE},
    {"a memo whose put was refused", refused_and_taken, FAULT_NOWHERE},
    {"a wrong skip", weak_skip, FAULT_EMPTY},
    {"a wrong skip, known by copies", weak_skip_known_by_copies, FAULT_EMPTY},
    {"a wrong weak skip over two folders", weak_alt_skip, FAULT_EMPTY},
    {"a timeout over a full folder", timeout_over_a_full_folder, FAULT_EMPTY},
    {"a wrong strict skip", strict_skip, FAULT_STRICT},
    {"a strict skip that is right by one nanosecond", strict_skip_with_a_gap, FAULT_STRICT},
    {"a strict skip that is wrong though each folder was empty", strict_where_weak_is_right, FAULT_STRICT},
    {"a skip beside a cancelled request", skip_beside_a_cancel, FAULT_EMPTY},
    {"a skip beside fewer cancelled requests than memos", skip_beside_too_few_cancels, FAULT_EMPTY},
    {"a join that times out with all there", failed_join, FAULT_EMPTY},
    {"a later folder chosen", choice, FAULT_CHOICE},
    {"two memos out of order", order, FAULT_ORDER},
    {"two memos out of order, far apart", order_far_apart, FAULT_ORDER},
    {"two memos out of order beside a cancelled request", order_beside_a_cancel, FAULT_ORDER},
    {"an early timeout", early_timeout, FAULT_EARLY},
    {"a wait that ends early", early_wait, FAULT_EARLY},
    {"a delayed put that nothing triggered", delayed_without_trigger, FAULT_NOT_TRIGGERED},
    {"a delayed put that was lost", delayed_and_lost, FAULT_LOST},
    {"redelivered without a death", redelivered, FAULT_REDELIVERED},
    {"redelivered oftener than there were deaths", redelivered_too_often, FAULT_REDELIVERED},
    {"taken again from one who lives", taken_again_from_the_living, FAULT_DOUBLE_TAKE},
    {"taken again after its end", taken_again_after_its_end, FAULT_DOUBLE_TAKE},
    {"given back by a close", returned_by_close, FAULT_DOUBLE_TAKE},
    {"taken again and not marked", unmarked, FAULT_DOUBLE_TAKE},
    {"redelivered in a space that drops", back_though_dropped, FAULT_REDELIVERED},
    {"lost in a space that drops", dropped, FAULT_LOST},
    {"a token taken twice", token_twice, FAULT_TOKENS},
    {"a token lost", token_lost, FAULT_TOKENS},
    {"a token taken before it was put", token_too_soon, FAULT_TOKENS},
    {"a limit exceeded", limit, FAULT_LIMIT},
    {"an answer that the call cannot give", impossible_answer, FAULT_RESULT},
    {"a name put twice", name_put_twice, FAULT_MALFORMED},
};

/* ---- the test -------------------------------------------------------------------------------------------- */

static void show(const char *sentence, void *arg)
{
    (void)arg;
    tap_diag("%s", sentence);
}

static void keep(const char *sentence, void *arg)
{
    snprintf(arg, 1024, "%s", sentence);
}

static void play(size_t i, bool wrong)
{
    uint64_t end;
    char said[1024] = "";
    scene_t s = {.h = model_history(300, BACKGROUND, ALL, 0, &end)};
    history_report_t report;
    for (int w = 0; w < 3; w++) {
        s.tape[w] = history_tape(s.h);
    }
    s.t = end + 1000;
    s.rules.say = wrong ? keep : show;
    s.rules.arg = said;
    scenes[i].play(&s, wrong);
    history_check(s.h, &s.rules, &report);
    if (!wrong) {
        tap_is_int((long long)report.violations, 0, "%s: nothing reported where it is as it should be",
                   scenes[i].name);
    } else if (!tap_ok(report.violations == 1 && report.faults[scenes[i].fault] == 1, "%s: reported as \"%s\"",
                       scenes[i].name, history_fault_names[scenes[i].fault])) {
        tap_diag("%" PRIu64 " violations; %s", report.violations, said);
    }
    history_delete(s.h);
}

static void right_histories_pass(void)
{
    for (int round = 0; round < 20; round++) {
        uint64_t end;
        history_rules_t rules = {.say = show};
        history_report_t report;
        uint32_t folders = 2 + model_below(20);
        history_t *h = model_history(5000, folders, folders, round % 2 ? 50 : 0, &end);
        history_check(h, &rules, &report);
        tap_is_int((long long)report.violations, 0,
                   "a right history of 5000 operations in %" PRIu32 " folders%s passes", folders,
                   round % 2 ? " with kills" : "");
        history_delete(h);
    }
}

static void millions_in_seconds(uint32_t operations)
{
    uint64_t end, start = history_now();
    history_rules_t rules = {.say = show};
    history_report_t r;
    history_t *h = model_history(operations, 1000, 1000, operations / 1000, &end);
    uint64_t made = history_now();
    history_check(h, &rules, &r);
    uint64_t checked = history_now();
    tap_is_int((long long)r.violations, 0, "a history of %" PRIu32 " operations passes", operations);
    tap_diag("%" PRIu64 " puts, %" PRIu64 " takes, %" PRIu64 " copies, %" PRIu64 " nones, %" PRIu64 " timeouts",
             r.puts, r.takes, r.copies, r.nones, r.timeouts);
    tap_diag("made in %.2f s, checked in %.2f s", (double)(made - start) / 1e9, (double)(checked - made) / 1e9);
    history_delete(h);
}

int main(int argc, char **argv)
{
    tap_timeout(300);
    model_seed(tap_seed());
    right_histories_pass();
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        play(i, false);
        play(i, true);
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    uint32_t many = 300000;
#else
    uint32_t many = 10000000;
#endif
    millions_in_seconds(argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : many);
    return tap_done();
}
