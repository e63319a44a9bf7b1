/*
 * lent.c - what a server remembers of memos between it and a client of another node (servers/lent.h): each is in
 * one place when the client dies.
 */
#include <stdlib.h>

#include "servers/lent.h"
#include "t/tap.h"

static int memo[2]; /* two things to lend */

static wire_memo_t *thing(int i)
{
    return (wire_memo_t *)(void *)&memo[i];
}

static void forget(lent_t *l)
{
    while (l->first != NULL)
        free(lent_cut(l, l->first->request, l->first->index));
}

static void lend(lent_t *l, uint64_t request, uint32_t index, wire_memo_t *m)
{
    const wire_folder_t from = {.name = memo_folder("from")};
    lent_keep(
        l, &(wire_message_t){
               .type = WIRE_ANSWER, .request = request, .index = index, .count = 1, .folders = &from, .memo = m});
}

static void test_lending(void)
{
    lent_t l;
    lent_init(&l);
    lend(&l, 7, 0, thing(0));
    lend(&l, 7, 1, thing(1));
    tap_ok(lent_first(&l) != NULL && lent_first(&l)->memo == thing(0), "what is lent is kept, in order");
    tap_ok(lent_find(&l, 7, 1) != NULL && lent_find(&l, 8, 1) == NULL, "it is known by its answer");
    lent_memo_t *kept = lent_cut(&l, 7, 0);
    tap_ok(kept != NULL && kept->memo == thing(0) && lent_find(&l, 7, 0) == NULL, "what has arrived is not");
    free(kept);
    lent_find(&l, 7, 1)->memo = NULL;
    tap_ok(lent_first(&l) == NULL && lent_find(&l, 7, 1) != NULL, "what went back is noted, and is lent no more");
    lent_note_back(&l, 9, 3);
    tap_ok(lent_find(&l, 9, 3) != NULL && lent_find(&l, 9, 3)->memo == NULL,
           "what went back after it had arrived, too");
    forget(&l);
}

static void test_arrived(void)
{
    lent_t l;
    lent_init(&l);
    lend(&l, 1, 0, thing(0));
    lend(&l, 2, 0, thing(1));
    lent_arrived(&l, 1);
    lent_arrived(&l, 0);
    tap_ok(lent_first(&l) != NULL && lent_first(&l)->request == 2,
           "what has arrived, though not said so, stays there");
    lent_memo_t *kept = lent_cut_arrived(&l);
    tap_ok(kept != NULL && kept->request == 1 && lent_cut_arrived(&l) == NULL, "and is lent no more");
    free(kept);
    forget(&l);
}

static void test_bringing(void)
{
    lent_t l;
    lent_init(&l);
    tap_ok(lent_brings(&l, 4) && lent_brings(&l, 6), "memos come");
    tap_ok(!lent_still_his(&l, 6) && !lent_still_his(&l, 4), "what was here is the client's no more");
    lent_refused(&l, 6);
    tap_ok(lent_still_his(&l, 6) && !lent_still_his(&l, 4), "but for what was refused");
    tap_ok(lent_first(&l) == NULL, "of which nothing is lent");
    tap_ok(lent_brings(&l, 8), "as long as nobody has asked for one that is not here yet, more come");
    tap_ok(lent_still_his(&l, 9), "what is not here yet is still the client's");
    tap_ok(!lent_brings(&l, 9), "and does not come any more");
    tap_ok(!lent_still_his(&l, 8), "which changes nothing for what was here");
    forget(&l);
    lent_init(&l);
    tap_ok(lent_still_his(&l, 1), "a client that never brought anything has all it was bringing");
}

static void test_owing(void)
{
    lent_t l;
    lent_init(&l);
    lent_owe(&l, lent_note_back(&l, 2, 0));
    lent_owe(&l, lent_note_back(&l, 3, 0));
    lent_paid(&l, 2, 1);
    tap_is_int((int)l.owed, 2, "what goes on to another server is owed until that has it");
    lent_paid(&l, 2, 0);
    lent_paid(&l, 2, 0);
    tap_is_int((int)l.owed, 1, "and is paid once");
    forget(&l);
}

int main(void)
{
    test_lending();
    test_arrived();
    test_bringing();
    test_owing();
    return tap_done();
}
