/*
 * engines_steps.c - an engine, step by step, where schedules at random (t/engines.c) would hardly ever come: what
 * waits behind a chain's lock, servers that die, selects that must look twice, and dead letters.
 */
#include "t/lib/engines_alone.h"
#include "t/lib/engines_whole.h"
#include "t/tap.h"

/* ---- behind a lock, and when a server dies -------------------------------------------------------------------
 *
 * The same server 1; its folder 2 is locked by client 4's chain, which has gone on to server 2.
 */

static const struct {
    const char *name;
    wire_message_t m;
    int own;           /* which of its folders is the locked one; the others are server 2's */
    bool outlives;     /* its client's death */
    bool outlives_all; /* also that he leaves */
} behind[] = {
    {"PUT", {.type = WIRE_PUT, .count = 1}, 0, true, false},
    {"RETURN", {.type = WIRE_RETURN, .count = 1}, 0, true, true},
    {"DELAY", {.type = WIRE_DELAY, .count = 2}, 1, true, false},
    {"SELECT", {.type = WIRE_SELECT, .count = 1}, 0, false, false},
    {"JOIN", {.type = WIRE_JOIN, .count = 1}, 0, false, false},
    {"LATCH", {.type = WIRE_LATCH, .count = 1}, 0, false, false},
    {"LINK", {.type = WIRE_LINK, .count = 1, .how = WIRE_HOW_STRICT}, 0, false, false},
    {"GATHER", {.type = WIRE_GATHER, .count = 1}, 0, false, false},
    {"WATCH", {.type = WIRE_WATCH, .count = 1}, 0, false, false},
    {"CHAIN", {.type = WIRE_CHAIN, .count = 2, .how = WIRE_HOW_STRICT}, 0, false, false},
    {"LIMIT", {.type = WIRE_LIMIT, .count = 1}, 0, false, false},
    {"HOLD", {.type = WIRE_HOLD, .from = 2, .client = A, .count = 2}, 0, true, true},
    {"FIRE", {.type = WIRE_FIRE, .from = 2, .client = 2, .count = 1}, 0, true, true},
    {"NEXT", {.type = WIRE_NEXT, .from = 0, .client = A, .count = 2}, 1, true, true},
};

/* A server's words are of client A. */
static void receive_behind(size_t i)
{
    wire_message_t m = behind[i].m;
    wire_folder_t folders[2];
    for (int k = 0; k < 2; k++) {
        uint32_t server = k == behind[i].own ? 1 : m.type == WIRE_NEXT ? 0 : 2;
        folders[k] = (wire_folder_t){.name = alone_names[server][server == 1 ? 2 : 0], .index = (uint32_t)k};
    }
    m.folders = folders;
    m.request = 20;
    if (m.from == 0 && m.type != WIRE_NEXT) {
        m.from = m.client = A;
    }
    if (alone_brings_memo(m.type)) {
        m.memo = alone_memo();
        m.size = m.memo->size;
    }
    engine_receive(alone, &m);
}

static void receive_plain(wire_type_t type, uint32_t from, uint64_t number, uint64_t knows)
{
    engine_receive(
        alone,
        &(wire_message_t){.type = type, .from = from, .client = from, .request = 21, .number = {number, 0, knows}});
}

static void check_behind(size_t i)
{
    char why[100] = "";
    alone_begin(1);
    alone_fill();
    receive_behind(i);
    bool waits = alone_deferred() == 1 && engine_is_whole(alone, why, sizeof why);
    receive_plain(WIRE_GONE, 2, A, 0);
    bool gone = alone_deferred() == behind[i].outlives && engine_is_whole(alone, why, sizeof why);
    engine_free(alone);
    alone_begin(1);
    alone_fill();
    receive_behind(i);
    receive_plain(WIRE_LEAVE, A, 0, 0);
    bool left = alone_deferred() == behind[i].outlives_all && engine_is_whole(alone, why, sizeof why);
    engine_free(alone);
    tap_ok(waits && gone && left && alone_alive == 0,
           "%s waits behind a lock: %s its client's death, %s his leaving%s%s", behind[i].name,
           behind[i].outlives ? "also after" : "not after", behind[i].outlives_all ? "also after" : "not after",
           why[0] != '\0' ? ": " : "", why);
}

/* The chain has gone from 1 to 2 of three; 2 dies; 0 may have it, as far as 1 can know: it is over when 0 knows. */
static void check_chain_of_the_dead(void)
{
    alone_begin(0);
    wire_folder_t all[3] = {{.name = alone_names[0][0]}, {.name = alone_names[1][0]}, {.name = alone_names[2][0]}};
    engine_receive(alone, &(wire_message_t){.type = WIRE_CHAIN,
                                            .how = WIRE_HOW_STRICT,
                                            .from = A,
                                            .client = A,
                                            .request = 1,
                                            .folders = all,
                                            .count = 3});
    tap_ok(alone_locked() == 1 && alone_sent.type == WIRE_NEXT && alone_sent.to == 1,
           "a chain goes on to the next server");
    alone_sent.count = 0;
    receive_plain(WIRE_GONE, B, 1, 0);
    tap_ok(alone_locked() == 1, "which dies: the one after it may have the chain, and the folder stays locked");
    tap_ok(alone_sent.count == 1 && alone_sent.to == 2 && alone_sent.type == WIRE_GONE,
           "that one is told that we know");
    receive_plain(WIRE_GONE, 2, 1, 1);
    tap_ok(alone_locked() == 0, "when it says so too the chain is over");
    alone_sent.count = 0;
    all[1] = (wire_folder_t){.name = alone_names[1][0], .index = 1};
    engine_receive(alone, &(wire_message_t){.type = WIRE_CHAIN,
                                            .how = WIRE_HOW_STRICT,
                                            .from = A,
                                            .client = A,
                                            .request = 2,
                                            .folders = all,
                                            .count = 3});
    tap_ok(alone_sent.count == 1 && alone_sent.type == WIRE_ANSWER && alone_sent.result == MEMO_EPEER &&
               alone_locked() == 0,
           "another is answered MEMO_EPEER at once");
    engine_free(alone);
}

/* A put fires a delayed one into a folder of a server that dies. */
static void check_put_of_the_dead(void)
{
    alone_begin(1);
    wire_folder_t hold[2] = {{.name = alone_names[1][0]}, {.name = alone_names[2][0], .index = 1}};
    wire_memo_t *memo = alone_memo();
    engine_receive(alone, &(wire_message_t){.type = WIRE_HOLD,
                                            .from = 2,
                                            .client = A,
                                            .request = 1,
                                            .folders = hold,
                                            .count = 2,
                                            .memo = memo,
                                            .size = memo->size});
    alone_sent.count = 0;
    alone_receive((wire_message_t){.type = WIRE_PUT, .request = 2}, B, 1, 0);
    tap_ok(alone_sent.count == 1 && alone_sent.type == WIRE_FIRE && alone_sent.to == 2,
           "a put that fires waits for what it fires");
    receive_plain(WIRE_GONE, A, 2, 0);
    tap_ok(alone_sent.type == WIRE_ANSWER && alone_sent.to == B && alone_sent.result == MEMO_OK,
           "but not when the server dies that it was for");
    engine_free(alone);
}

/* ---- selects that must look twice --------------------------------------------------------------------------- */

/* Of a client's, over folders 0 and, if there are two, 1 of server 1. */
static void ask(wire_type_t type, uint32_t client, wire_how_t how, uint32_t flags, uint32_t first, uint32_t count)
{
    wire_folder_t f[2] = {{.name = alone_names[1][first]}, {.name = alone_names[1][1 - first], .index = 1}};
    engine_receive(alone, &(wire_message_t){.type = type,
                                            .how = how,
                                            .flags = flags,
                                            .from = client,
                                            .client = client,
                                            .request = client,
                                            .folders = f,
                                            .count = count});
}

static void put(uint32_t client, uint32_t folder)
{
    alone_receive((wire_message_t){.type = WIRE_PUT, .request = 50}, client, 1, folder);
}

/* A strict skip that meets latched memos waits for an instant at which all is empty, not for one of each folder. */
static void check_strict(void)
{
    const uint32_t D = C + 1;
    alone_begin(1);
    put(A, 0);
    put(A, 1);
    ask(WIRE_LATCH, B, WIRE_HOW_WAIT, 0, 0, 1);
    ask(WIRE_LATCH, D, WIRE_HOW_WAIT, 0, 1, 1);
    ask(WIRE_LATCH, C, WIRE_HOW_WAIT, 0, 0, 1); /* waits, ahead of A */
    ask(WIRE_SELECT, A, WIRE_HOW_STRICT, 0, 0, 2);
    ask(WIRE_ACCEPT, B, WIRE_HOW_WAIT, 0, 0, 0);
    put(B, 0);
    ask(WIRE_ACCEPT, D, WIRE_HOW_WAIT, 0, 0, 0);
    tap_ok(alone_sent.to != A, "a strict skip waits while a folder that was empty once holds a memo again");
    ask(WIRE_ACCEPT, C, WIRE_HOW_WAIT, 0, 0, 0);
    tap_ok(alone_sent.to == A && alone_sent.type == WIRE_ANSWER && alone_sent.result == MEMO_NONE,
           "and is answered when all is empty");
    engine_free(alone);
}

static void check_second_phase(void)
{
    alone_begin(1);
    ask(WIRE_LATCH, C, WIRE_HOW_WAIT, 0, 0, 1);
    ask(WIRE_LINK, A, WIRE_HOW_STRICT, 0, 0, 1);
    tap_ok(alone_sent.to == A && alone_sent.type == WIRE_EMPTY,
           "a strict skip's first phase finds an empty folder");
    put(B, 0);
    alone_sent.count = 0;
    ask(WIRE_UNLINK, A, WIRE_HOW_STRICT, 0, 0, 0);
    tap_ok(alone_sent.count == 0, "the second waits while what came is latched for another");
    ask(WIRE_ACCEPT, C, WIRE_HOW_WAIT, 0, 0, 0);
    tap_ok(alone_sent.to == A && alone_sent.type == WIRE_EMPTY, "and ends when that is taken");
    engine_free(alone);
}

static void check_oldest(void)
{
    alone_begin(1);
    put(B, 0);
    uint64_t oldest = alone_made;
    put(B, 1);
    ask(WIRE_SELECT, A, WIRE_HOW_SKIP, WIRE_OLDEST, 1, 2);
    tap_ok(alone_sent.to == A && alone_sent.memo == oldest, "the oldest memo is that which came first");
    engine_free(alone);
    alone_begin(1);
    put(B, 0);
    put(B, 1);
    wire_memo_t *back = alone_memo();
    wire_folder_t f = {.name = alone_names[1][0]};
    engine_receive(alone, &(wire_message_t){.type = WIRE_RETURN,
                                            .flags = WIRE_NO_ANSWER,
                                            .from = B,
                                            .client = B,
                                            .folders = &f,
                                            .count = 1,
                                            .memo = back,
                                            .size = back->size});
    oldest = alone_made;
    ask(WIRE_SELECT, A, WIRE_HOW_SKIP, WIRE_OLDEST, 1, 2);
    tap_ok(alone_sent.to == A && alone_sent.memo == oldest, "what goes back is as old as what it goes before");
    engine_free(alone);
}

/* Room that was promised to a delayed put, and is not needed. */
static void check_unreserve(void)
{
    alone_begin(1);
    wire_folder_t f[2] = {{.name = alone_names[2][0]}, {.name = alone_names[1][0], .index = 1}};
    wire_memo_t *memo = alone_memo();
    uint64_t size = memo->size;
    alone_receive((wire_message_t){.type = WIRE_LIMIT, .request = 1, .number = {1}}, A, 1, 0);
    engine_receive(alone, &(wire_message_t){.type = WIRE_DELAY,
                                            .from = A,
                                            .client = A,
                                            .request = 2,
                                            .folders = f,
                                            .count = 2,
                                            .memo = memo,
                                            .size = size});
    alone_receive((wire_message_t){.type = WIRE_PUT, .flags = WIRE_WAIT, .request = 3}, B, 1, 0);
    tap_ok(alone_sent.to == 2 && alone_sent.type == WIRE_HOLD,
           "a put waits for room that is promised to a delayed one");
    alone_receive((wire_message_t){.type = WIRE_UNRESERVE, .number = {size}}, 2, 1, 0);
    tap_ok(alone_sent.to == B && alone_sent.type == WIRE_ANSWER && alone_sent.result == MEMO_OK,
           "and has it when that is given back");
    engine_free(alone);
}

/* ---- dead letters -------------------------------------------------------------------------------------------- */

/* A memo whose holder has died. */
static void comes_back(wire_type_t type, uint32_t from, const memo_folder_t *name, uint32_t redeliveries,
                       uint64_t cause)
{
    wire_folder_t f = {.name = *name};
    wire_memo_t *memo = alone_memo();
    alone_sent.count = 0;
    engine_receive(alone, &(wire_message_t){.type = type,
                                            .flags = WIRE_REDELIVERED | (type == WIRE_RETURN ? WIRE_NO_ANSWER : 0),
                                            .from = from,
                                            .client = from,
                                            .folders = &f,
                                            .count = 1,
                                            .number = {cause},
                                            .memo = memo,
                                            .size = memo->size,
                                            .redeliveries = redeliveries});
}

static engine_figures_t figures(void)
{
    engine_figures_t f;
    engine_look(alone, &f);
    return f;
}

/* What the server says of itself when it is asked whether it is quiet. */
static bool says_quiet(uint64_t round)
{
    engine_receive(alone, &(wire_message_t){.type = WIRE_PROBE, .number = {round}});
    return alone_sent.type == WIRE_PROBED && alone_sent.result == MEMO_OK;
}

/* Folder 0 of server 2 has the dead letters; a memo goes back once. */
static void check_letters(void)
{
    alone_begin(1);
    engine_redelivers(alone, 1, &alone_names[2][0]);
    comes_back(WIRE_RETURN, 2, &alone_names[1][0], 0, 0);
    tap_ok(figures().redelivered == 1 && figures().memos == 1, "a memo that may be redelivered is in its folder");
    comes_back(WIRE_RETURN, 2, &alone_names[1][0], 1, 0);
    tap_ok(alone_sent.count == 1 && alone_sent.to == 2 && alone_sent.type == WIRE_FIRE && figures().memos == 1,
           "one that may not goes to the server of the dead letters");
    tap_ok(!says_quiet(1), "it is not quiet while it is on its way");
    engine_receive(alone, &(wire_message_t){.type = WIRE_FIRED, .from = 2, .client = 2, .number = {1}});
    tap_ok(says_quiet(2), "but when it is there");
    receive_plain(WIRE_GONE, A, 2, 0);
    comes_back(WIRE_RETURN, B, &alone_names[1][0], 1, 0);
    tap_ok(figures().redelivered == 2 && figures().memos == 2 && figures().dropped == 0,
           "when that server has died, it goes back to its folder instead");
    engine_free(alone);
    alone_begin(2);
    engine_redelivers(alone, 1, &alone_names[2][0]);
    wire_folder_t f = {.name = alone_names[2][0]};
    engine_receive(
        alone,
        &(wire_message_t){.type = WIRE_LIMIT, .from = A, .client = A, .folders = &f, .count = 1, .number = {1}});
    comes_back(WIRE_FIRE, 1, &alone_names[2][0], 1, 7);
    comes_back(WIRE_FIRE, 1, &alone_names[2][0], 1, 8);
    tap_ok(figures().letters == 2 && figures().memos == 2 && alone_sent.to == 1 && alone_sent.type == WIRE_FIRED,
           "dead letters come in whatever the limit, and who sent them is told");
    comes_back(WIRE_RETURN, 1, &alone_names[2][0], 9, 0);
    tap_ok(figures().redelivered == 1 && figures().memos == 3, "taken from there, they go back there");
    comes_back(WIRE_RETURN, 1, &alone_names[2][1], 1, 0);
    tap_ok(figures().letters == 3 && figures().memos == 4, "from folders of that server, too, they come there");
    engine_free(alone);
    alone_begin(1);
    engine_redelivers(alone, 0, NULL);
    comes_back(WIRE_RETURN, 2, &alone_names[1][0], 0, 0);
    tap_ok(figures().dropped == 1 && figures().memos == 0 && alone_alive == 0,
           "without dead letters they are dropped");
    engine_free(alone);
}

int main(void)
{
    for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
        check_behind(i);
    }
    check_chain_of_the_dead();
    check_put_of_the_dead();
    check_strict();
    check_second_phase();
    check_oldest();
    check_unreserve();
    check_letters();
    return tap_done();
}
