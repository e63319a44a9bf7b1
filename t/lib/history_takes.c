/*
 * history_takes.c - the life of each memo: put once, taken once, from there, after that, and nothing lost.
 *
 * A memo has more than one take only when its takers died, or closed, with it in their hands: each take after the
 * first is marked redelivered, and its count says how many came before.
 */
#include "t/lib/history_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What the life of memos adds up to, folder by folder. */
typedef struct lives {
    uint64_t *may_take;    /* takes that the killed never finished: each may have had a memo */
    uint64_t *unexplained; /* redeliveries without a finished take before */
    bool *continued;       /* by memo: its bytes live on under a new name */
} lives_t;

/* Whether the take gave the memo back to the folder of its origin, in the middle of a put under a new name. */
static bool half_put(const check_t *c, const history_record_t *put, const history_record_t *take)
{
    uint32_t origin;
    if (put->ret != 0 || put->origin == 0 || take->redeliveries == 0 || !check_number(c, put->origin, &origin)) {
        return false;
    }
    const history_record_t *from = check_record(c, c->take[origin]);
    return from != NULL && from->folder == take->folder;
}

static void check_one_take(check_t *c, lives_t *lives, const history_record_t *put, const history_record_t *take)
{
    if (put == NULL) {
        check_fault(c, FAULT_NOWHERE, "memo %s was taken, and its put was refused or never made: %s",
                    check_memo(take->memo), check_tell(c, take));
        return;
    }
    bool half = half_put(c, put, take);
    if (take->folder != put->folder && !half) {
        check_fault(c, FAULT_WRONG_FOLDER, "memo %s: %s; %s", check_memo(take->memo), check_tell(c, put),
                    check_tell(c, take));
    }
    if (take->ret < put->call) {
        check_fault(c, FAULT_BEFORE_PUT, "memo %s: %s; %s", check_memo(take->memo), check_tell(c, put),
                    check_tell(c, take));
    }
    if (half && c->rules->drop) {
        check_fault(c, FAULT_REDELIVERED, "memo %s was held by one who is gone, in a space that drops: %s",
                    check_memo(take->memo), check_tell(c, take));
    }
    if (half) {
        lives->unexplained[take->folder]--; /* the put explains one */
    }
}

static int by_memo_and_redeliveries(const void *left, const void *right)
{
    const history_record_t *const *l = left, *const *r = right;
    if ((*l)->memo != (*r)->memo) {
        return ((*l)->memo > (*r)->memo) - ((*l)->memo < (*r)->memo);
    }
    if ((*l)->redeliveries != (*r)->redeliveries) {
        return (*l)->redeliveries - (*r)->redeliveries;
    }
    return ((*l)->ret > (*r)->ret) - ((*l)->ret < (*r)->ret);
}

/* One before the other, both of one memo, in the order of their redeliveries. */
static void check_pair(check_t *c, const history_record_t *one, const history_record_t *other)
{
    if (one->redeliveries == other->redeliveries || !check_gone(c, one)) {
        check_fault(c, FAULT_DOUBLE_TAKE, "memo %s: %s; %s", check_memo(one->memo), check_tell(c, one),
                    check_tell(c, other));
    } else if (other->ret < one->call) {
        check_fault(c, FAULT_DOUBLE_TAKE, "memo %s, taken again before it was given back: %s; %s",
                    check_memo(one->memo), check_tell(c, one), check_tell(c, other));
    } else if (c->rules->drop) {
        check_fault(c, FAULT_REDELIVERED, "memo %s was held by one who is gone, in a space that drops: %s; %s",
                    check_memo(one->memo), check_tell(c, one), check_tell(c, other));
    }
}

/* The end of a memo that was taken: freed, put on, or in the hands of somebody who is gone. */
static void check_end(check_t *c, const lives_t *lives, uint32_t memo, const history_record_t *last)
{
    if (!check_gone(c, last) || last->hold == HISTORY_ENDING_FREE) {
        return;
    }
    if (last->hold == HISTORY_ENDING_PUT && lives->continued[memo]) {
        return;
    }
    if (c->rules->drop) {
        c->report->missing++;
    } else {
        check_fault(c, FAULT_LOST, "memo %s was held by one who is gone, and did not come back: %s; %s",
                    check_memo(last->memo), check_tell(c, check_record(c, c->put[memo])), check_tell(c, last));
    }
}

/* All takes of one memo, in the order of redeliveries. */
static void check_life(check_t *c, lives_t *lives, uint32_t memo, const history_record_t *const takes[], size_t n)
{
    const history_record_t *put = check_record(c, c->put[memo]);
    for (size_t i = 0; i < n; i++) {
        check_one_take(c, lives, put, takes[i]);
        if (i > 0) {
            check_pair(c, takes[i - 1], takes[i]);
        }
    }
    const history_record_t *last = takes[n - 1];
    if (last->redeliveries > n - 1) {
        lives->unexplained[last->folder] += last->redeliveries - (n - 1);
    }
    if (put != NULL) {
        check_end(c, lives, memo, last);
    }
}

/* Memos taken more than once: their takes together, sorted; leaves the one with the fewest redeliveries in c->take.
 */
static void check_repeated(check_t *c, lives_t *lives)
{
    size_t n = 0;
    const history_record_t **all = malloc((2u * c->again.count + 1) * sizeof *all);
    if (all == NULL) {
        c->out_of_memory = true;
        return;
    }
    for (uint32_t i = 0; i < c->again.count; i++) {
        const history_record_t *r = &c->records[c->again.items[i]];
        uint32_t memo;
        all[n++] = r;
        if (check_number(c, r->memo, &memo) && c->take[memo] != 0) {
            all[n++] = check_record(c, c->take[memo]);
            c->take[memo] = 0;
        }
    }
    qsort(all, n, sizeof *all, by_memo_and_redeliveries);
    uint32_t others = 0;
    for (size_t i = 0, end; i < n; i = end) {
        uint32_t memo = 0;
        check_number(c, all[i]->memo, &memo);
        for (end = i + 1; end < n && all[end]->memo == all[i]->memo; end++) {
            c->again.items[others++] = (uint32_t)(all[end] - c->records);
        }
        check_life(c, lives, memo, &all[i], end - i);
        c->take[memo] = (uint32_t)(all[i] - c->records) + 1;
    }
    free(all);
}

static void check_untaken(check_t *c, lives_t *lives, uint32_t memo)
{
    const history_record_t *put = check_record(c, c->put[memo]);
    if (put == NULL || put->ret == 0) {
        return; /* never made, or by one who was killed in it */
    }
    if (c->rules->drop && lives->may_take[put->folder] > 0) {
        lives->may_take[put->folder]--;
        c->report->missing++;
    } else {
        check_fault(c, FAULT_LOST, "memo %s was never taken, and is not in the remainder: %s",
                    check_memo(put->memo), check_tell(c, put));
    }
}

/* A take that a killed thread never finished: over which folders it may have had a memo. */
static void note_unfinished(check_t *c, lives_t *lives, const history_record_t *r)
{
    if (r->ret != 0 || !check_killed(c, r) || (r->kind != HISTORY_TAKE && r->kind != HISTORY_CANCELLED)) {
        return;
    }
    const uint32_t *set = history_set_at(c->h, r->set);
    lives->may_take[r->folder] += r->count == 0;
    for (uint32_t i = 0; i < r->count; i++) {
        lives->may_take[set[i]]++;
    }
}

/* Which memos' bytes live on: a put of them under a new name took effect. */
static void note_continued(check_t *c, lives_t *lives, const history_record_t *r)
{
    uint32_t memo, origin;
    if (r->kind == HISTORY_PUT && r->origin != 0 && (r->flags & HISTORY_TOKEN) == 0 &&
        (r->ret == 0 || r->result == MEMO_OK) && check_number(c, r->memo, &memo) &&
        check_number(c, r->origin, &origin)) {
        lives->continued[origin] = r->ret != 0 || c->take[memo] != 0;
    }
}

static void check_redelivered(check_t *c, const lives_t *lives)
{
    for (uint32_t f = 0; f < c->folders; f++) {
        if ((int64_t)lives->unexplained[f] > (int64_t)lives->may_take[f]) {
            check_fault(c, FAULT_REDELIVERED,
                        "folder %" PRIu32 ": %" PRIu64
                        " redeliveries without a finished take before them, but only %" PRIu64
                        " unfinished takes of killed ones there",
                        f, lives->unexplained[f], lives->may_take[f]);
        }
    }
}

void check_takes(check_t *c)
{
    lives_t lives = {calloc(c->folders, sizeof(uint64_t)), calloc(c->folders, sizeof(uint64_t)),
                     calloc(c->memos + 1u, sizeof(bool))};
    bool *repeated = calloc(c->memos + 1u, sizeof(bool));
    if (lives.may_take == NULL || lives.unexplained == NULL || lives.continued == NULL || repeated == NULL) {
        c->out_of_memory = true;
    } else {
        for (uint32_t i = 0; i < c->n; i++) {
            note_unfinished(c, &lives, &c->records[i]);
            note_continued(c, &lives, &c->records[i]);
        }
        for (uint32_t i = 0, memo; i < c->again.count; i++) {
            if (check_number(c, c->records[c->again.items[i]].memo, &memo)) {
                repeated[memo] = true;
            }
        }
        check_repeated(c, &lives);
        for (uint32_t memo = 0; memo < c->memos; memo++) {
            const history_record_t *take = check_record(c, c->take[memo]);
            if (take == NULL) {
                check_untaken(c, &lives, memo);
            } else if (!repeated[memo]) {
                check_life(c, &lives, memo, &take, 1);
            }
        }
        check_redelivered(c, &lives);
    }
    free(lives.may_take);
    free(lives.unexplained);
    free(lives.continued);
    free(repeated);
}

/* When the memo may last have been in its folder; NULL put: never. */
static uint64_t last_there(const check_t *c, uint32_t memo)
{
    uint64_t last = 0;
    const history_record_t *take = check_record(c, c->take[memo]);
    if (take == NULL) {
        return HISTORY_NEVER;
    }
    last = take->ret;
    if (check_gone(c, take)) {
        for (uint32_t i = 0; i < c->again.count; i++) {
            const history_record_t *other = &c->records[c->again.items[i]];
            if (other->memo == take->memo && other->ret > last) {
                last = other->ret;
            }
        }
    }
    return last;
}

static void check_copy(check_t *c, const history_record_t *r)
{
    uint32_t memo;
    const history_record_t *put = NULL;
    if (check_number(c, r->memo, &memo)) {
        put = check_record(c, c->put[memo]);
    }
    if (put == NULL) {
        check_fault(c, FAULT_NOWHERE, "memo %s was copied and never put: %s", check_memo(r->memo),
                    check_tell(c, r));
        return;
    }
    const history_record_t *take = check_record(c, c->take[memo]);
    if (put->folder != r->folder && (take == NULL || take->folder != r->folder)) {
        check_fault(c, FAULT_WRONG_FOLDER, "memo %s: %s; %s", check_memo(r->memo), check_tell(c, put),
                    check_tell(c, r));
    }
    if (r->ret < put->call) {
        check_fault(c, FAULT_BEFORE_PUT, "memo %s: %s; %s", check_memo(r->memo), check_tell(c, put),
                    check_tell(c, r));
    }
    if (r->call > last_there(c, memo)) {
        check_fault(c, FAULT_STALE_COPY, "memo %s: %s; %s; %s", check_memo(r->memo), check_tell(c, put),
                    check_tell(c, check_record(c, c->take[memo])), check_tell(c, r));
    }
    c->seen_first[memo] = r->ret < c->seen_first[memo] ? r->ret : c->seen_first[memo];
    c->seen_last[memo] = r->call > c->seen_last[memo] ? r->call : c->seen_last[memo];
}

void check_copies(check_t *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        const history_record_t *r = &c->records[i];
        if (r->kind == HISTORY_COPY && r->ret != 0 && r->result == MEMO_OK && (r->flags & HISTORY_TOKEN) == 0 &&
            (r->flags & HISTORY_ALTERED) == 0) {
            check_copy(c, r);
        }
    }
}

/* What is known of the tokens of one folder. */
typedef struct token_sum {
    uint64_t put, maybe_put;
    uint64_t taken, maybe_taken; /* by those who kept them; by those who are gone */
} token_sum_t;

static int by_time(const void *left, const void *right)
{
    const uint64_t *l = left, *r = right;
    return (*l > *r) - (*l < *r);
}

/* The k-th take not marked redelivered returned after the k-th put was called. */
static void check_token_times(check_t *c, uint32_t folder, uint64_t *puts, uint64_t *takes)
{
    size_t n_puts = 0, n_takes = 0;
    for (uint32_t i = 0; i < c->tokens.count; i++) {
        const history_record_t *r = &c->records[c->tokens.items[i]];
        if (r->folder != folder || (r->ret != 0 && r->result != MEMO_OK)) {
            continue;
        }
        if (r->kind != HISTORY_TAKE) {
            puts[n_puts++] = r->call;
        } else if (r->ret != 0 && r->redeliveries == 0) {
            takes[n_takes++] = r->ret;
        }
    }
    qsort(puts, n_puts, sizeof *puts, by_time);
    qsort(takes, n_takes, sizeof *takes, by_time);
    for (size_t i = 0; i < n_takes && i < n_puts; i++) {
        if (takes[i] < puts[i]) {
            check_fault(c, FAULT_TOKENS,
                        "folder %" PRIu32 ": %zu tokens were taken when %zu had been put, at %.3f us", folder,
                        i + 1, i, (double)(takes[i] - c->zero) / 1e3);
            return;
        }
    }
}

static void add_token(const check_t *c, token_sum_t *sum, const history_record_t *r)
{
    bool done = r->ret != 0 && r->result == MEMO_OK;
    if (r->kind != HISTORY_TAKE) {
        sum->put += done;
        sum->maybe_put += r->ret == 0;
    } else if (!check_gone(c, r)) {
        sum->taken += done;
    } else if (r->hold != HISTORY_RETURNED && (r->hold != HISTORY_HELD || c->rules->drop)) {
        sum->maybe_taken += done;
    } else if (c->rules->drop) {
        sum->maybe_taken += done;
    }
}

void check_tokens(check_t *c)
{
    token_sum_t *sums = calloc(c->folders, sizeof *sums);
    uint64_t *times = malloc((2u * c->tokens.count + 1) * sizeof *times);
    uint64_t unfinished = 0;
    if (sums == NULL || times == NULL) {
        c->out_of_memory = true;
        free(sums);
        free(times);
        return;
    }
    for (uint32_t i = 0; i < c->n && c->rules->drop; i++) {
        const history_record_t *r = &c->records[i];
        unfinished += r->kind != HISTORY_UNUSED && r->ret == 0 && check_killed(c, r);
    }
    for (uint32_t i = 0; i < c->tokens.count; i++) {
        const history_record_t *r = &c->records[c->tokens.items[i]];
        add_token(c, &sums[r->folder], r);
    }
    for (uint32_t f = 0; f < c->folders; f++) {
        const token_sum_t *s = &sums[f];
        if (s->put > s->taken + s->maybe_taken + unfinished || s->taken > s->put + s->maybe_put) {
            check_fault(c, FAULT_TOKENS,
                        "folder %" PRIu32 ": %" PRIu64 " put (perhaps %" PRIu64 " more), %" PRIu64
                        " taken (perhaps %" PRIu64 " more)",
                        f, s->put, s->maybe_put, s->taken, s->maybe_taken);
        }
        if (s->put + s->maybe_put > 0) {
            check_token_times(c, f, times, times + c->tokens.count);
        }
    }
    free(sums);
    free(times);
}
