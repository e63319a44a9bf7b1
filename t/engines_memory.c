/*
 * engines_memory.c - an engine or a stub finds no memory, once, at each of the places where it asks for some; and a
 * client's message cannot be sent, once, each of those that may be refused. Whatever was to be done is done or
 * refused, every call ends, no memo is lost or doubled, and nothing is left behind.
 *
 * The clients' and servers' halves are run in this process, and messages arrive in the order in which they were
 * sent, all together. What is asked covers every kind of call, with folders on three servers, and folders that
 * chains have locked.
 */
#include <stdlib.h>
#include <string.h>

#include "servers/engine.h"
#include "stubs/stub.h"
#include "t/lib/engines_names.h"
#include "t/tap.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define INSTRUMENTED 1
#else
#define INSTRUMENTED 0
#endif

enum {
    SERVERS = 3,
    CLIENTS = 2,
    PEERS = SERVERS + CLIENTS,
    NAMES = 6,
    CALLS = 64,
    TOKENS = 400,
    ROUNDS_MOST = 4000
};

/* ---- memory that fails ------------------------------------------------------------------------------------- */

static bool armed;
static long countdown; /* the request for memory that is refused; 0 and below: none is */

#if !INSTRUMENTED
static bool refused_now(void)
{
    return armed && --countdown == 0;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
    return refused_now() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return refused_now() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return refused_now() ? NULL : __libc_realloc(old, size);
}
#endif

/* ---- the world ----------------------------------------------------------------------------------------------- */

typedef enum { FREED, WITH_CLIENT, WITH_SERVER, UNDER_WAY } where_t;

struct wire_memo {
    where_t where;
    bool held;  /* with a client, whose program has it */
    bool token; /* not a copy, nor figures */
    uint64_t size;
};

typedef struct message {
    struct message *next;
    uint32_t to;
    wire_message_t m;
    wire_folder_t folders[];
} message_t;

typedef struct one_call {
    stub_call_t call;
    uint32_t client;
    bool begun, done;
    wire_memo_t *memos[4], *gives;
} one_call_t;

static stub_t *stubs[CLIENTS];
static engine_t *engines[SERVERS];
static message_t *first, **last;
static wire_memo_t memos[TOKENS];
static uint32_t memos_used;
static one_call_t calls[CALLS];
static uint32_t calls_used;
static memo_folder_t names[SERVERS][NAMES]; /* those of each server */
static long sends;                          /* the client's message that is not sent; as countdown */
static char wrong[200];

#define WRONG(...) (wrong[0] == '\0' ? (void)snprintf(wrong, sizeof wrong, __VA_ARGS__) : (void)0)

static wire_memo_t *new_memo(where_t where, bool token)
{
    wire_memo_t *m = &memos[memos_used++];
    if (memos_used >= TOKENS) {
        tap_bail("more memos than thought of");
    }
    *m = (wire_memo_t){.where = where, .held = where == WITH_CLIENT, .token = token, .size = 8};
    return m;
}

static void queue(uint32_t to, const wire_message_t *m)
{
    bool was = armed;
    armed = false;
    message_t *q = malloc(sizeof *q + m->count * sizeof q->folders[0]);
    q->next = NULL;
    q->to = to;
    q->m = *m;
    if (m->count > 0) {
        memcpy(q->folders, m->folders, m->count * sizeof q->folders[0]);
    }
    q->m.folders = q->folders;
    if (m->memo != NULL) {
        m->memo->where = UNDER_WAY;
        q->m.size = m->memo->size;
    }
    *last = q;
    last = &q->next;
    armed = was;
}

static void server_sends(void *arg, uint32_t to, const wire_message_t *m)
{
    (void)arg;
    queue(to, m);
}

static wire_memo_t *server_copies(void *arg, wire_memo_t *m)
{
    (void)arg;
    (void)m;
    return new_memo(WITH_SERVER, false);
}

static wire_memo_t *server_makes(void *arg, const void *bytes, size_t size)
{
    (void)arg;
    (void)bytes;
    wire_memo_t *m = new_memo(WITH_SERVER, false);
    m->size = size;
    return m;
}

static void server_frees(void *arg, wire_memo_t *m)
{
    (void)arg;
    if (m->where != WITH_SERVER) {
        WRONG("a server frees what it has not");
    }
    m->where = FREED;
}

/* What ends or goes on with what has begun is sent however full all is (stubs/space_carry.c). */
static bool must_go(wire_type_t type)
{
    return type == WIRE_ACCEPT || type == WIRE_RELEASE || type == WIRE_CANCEL || type == WIRE_UNLINK ||
           type == WIRE_IDLE || type == WIRE_WITHDRAW || type == WIRE_RETURN;
}

static int client_sends(void *arg, uint32_t to, const wire_message_t *m)
{
    (void)arg;
    if (!must_go(m->type) && armed && --sends == 0) {
        return MEMO_EFULL;
    }
    queue(to, m);
    return MEMO_OK;
}

static void client_has_back(void *arg, const memo_folder_t *folder, wire_memo_t *m)
{
    (void)arg;
    (void)folder;
    m->held = true; /* the space gives it back */
}

static void client_done(void *arg, stub_call_t *call)
{
    (void)arg;
    one_call_t *c = call->user;
    if (c->done) {
        WRONG("a call ends twice");
    }
    c->done = true;
    if (call->memo != NULL) {
        call->memo->held = true;
    }
    for (int i = 0; call->memos != NULL && i < 4; i++) {
        if (c->memos[i] != NULL) {
            c->memos[i]->held = true;
        }
    }
    if (c->gives != NULL && call->result != MEMO_OK && call->memo != c->gives) {
        WRONG("a memo that was refused (%d) does not come back", call->result);
    }
}

static void deliver(message_t *q)
{
    if (q->m.memo != NULL) {
        q->m.memo->where = q->to < SERVERS ? WITH_SERVER : WITH_CLIENT;
    }
    armed = true;
    if (q->to < SERVERS) {
        engine_receive(engines[q->to], &q->m);
    } else {
        stub_receive(stubs[q->to - SERVERS], &q->m);
    }
    armed = false;
    free(q);
}

static void run(void)
{
    while (first != NULL) {
        message_t *q = first;
        first = q->next;
        if (first == NULL) {
            last = &first;
        }
        deliver(q);
    }
}

static void begin_world(stub_protocol_t protocol)
{
    const stub_io_t client = {.send = client_sends, .back = client_has_back, .done = client_done};
    const engine_io_t server = {
        .send = server_sends, .copy = server_copies, .make = server_makes, .free = server_frees};
    memos_used = calls_used = 0;
    wrong[0] = '\0';
    first = NULL;
    last = &first;
    for (uint32_t i = 0; i < SERVERS; i++) {
        engines[i] = engine_new(i, SERVERS, CLIENTS, &server);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        stubs[i] = stub_new(protocol, i, SERVERS, &client);
    }
}

static void end_world(void)
{
    for (uint32_t i = 0; i < SERVERS; i++) {
        engine_free(engines[i]);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        stub_free(stubs[i]);
    }
}

/* ---- calls -----------------------------------------------------------------------------------------------------
 */

static one_call_t *new_call(uint32_t client, wire_memo_t *gives)
{
    one_call_t *c = &calls[calls_used++];
    if (calls_used >= CALLS) {
        tap_bail("more calls than thought of");
    }
    memset(c, 0, sizeof *c);
    c->client = client;
    c->call.user = c;
    c->gives = gives;
    if (gives != NULL) {
        gives->held = false;
    }
    armed = true;
    return c;
}

static one_call_t *begun(one_call_t *c, int result)
{
    armed = false;
    c->begun = result == MEMO_OK;
    if (result != MEMO_OK && result != MEMO_ENOMEM && result != MEMO_EFULL) {
        WRONG("a call begins with %d", result);
    }
    if (result != MEMO_OK && c->gives != NULL) {
        c->gives->held = true;
    }
    return c;
}

static one_call_t *put(uint32_t client, const memo_folder_t *f, bool waits)
{
    wire_memo_t *m = new_memo(WITH_CLIENT, true);
    one_call_t *c = new_call(client, m);
    return begun(c, stub_put(stubs[client], &c->call, f, m, waits));
}

static one_call_t *delay(uint32_t client, const memo_folder_t *trigger, const memo_folder_t *target)
{
    wire_memo_t *m = new_memo(WITH_CLIENT, true);
    one_call_t *c = new_call(client, m);
    return begun(c, stub_delay(stubs[client], &c->call, trigger, target, m));
}

static one_call_t *give_back(uint32_t client, const memo_folder_t *f, wire_memo_t *m)
{
    one_call_t *c = new_call(client, m);
    return begun(c, stub_return(stubs[client], &c->call, f, m, false));
}

static one_call_t *take(uint32_t client, memo_what_t what, memo_when_empty_t when, const memo_folder_t f[],
                        size_t n)
{
    memo_select_t s = MEMO_SELECT_INIT;
    one_call_t *c = new_call(client, NULL);
    s.folders = f;
    s.count = n;
    s.what = what;
    s.when_empty = when;
    return begun(c, stub_select(stubs[client], &c->call, &s, 0));
}

static one_call_t *join(uint32_t client, const memo_folder_t f[], uint32_t n)
{
    one_call_t *c = new_call(client, NULL);
    c->call.memos = c->memos;
    return begun(c, stub_join(stubs[client], &c->call, f, n));
}

static one_call_t *ask(uint32_t client, wire_type_t type, uint32_t server, const memo_folder_t *f, uint64_t number)
{
    const uint64_t numbers[4] = {number, 0, 0, 0};
    one_call_t *c = new_call(client, NULL);
    return begun(c, stub_ask(stubs[client], &c->call, type, server, f, numbers));
}

static void cancel(one_call_t *c)
{
    if (!c->begun || c->done) {
        return;
    }
    armed = true;
    stub_cancel(stubs[c->client], &c->call, MEMO_ECANCELED);
    armed = false;
}

/* ---- what they ask
 * ----------------------------------------------------------------------------------------------- */

static void give_back_what_came(const one_call_t *c, const memo_folder_t *f)
{
    if (c->done && c->call.result == MEMO_OK && c->call.memo != NULL && c->call.memo->token) {
        give_back(c->client, f, c->call.memo);
    }
}

static void selects(void)
{
    const memo_folder_t two[] = {names[0][0], names[1][0]}, more[] = {names[0][1], names[1][1], names[2][1]};
    take(0, MEMO_TAKE, MEMO_WAIT, &names[0][2], 1);
    take(0, MEMO_TAKE, MEMO_WAIT, more, 3);
    take(1, MEMO_COPY, MEMO_WAIT, more, 3);
    take(1, MEMO_COPY, MEMO_WAIT, &names[2][1], 1);
    run();
    put(1, &names[0][2], false);
    put(0, &names[2][1], false);
    run();
    take(0, MEMO_TAKE, MEMO_SKIP, two, 2);
    take(1, MEMO_TAKE, MEMO_STRICT_SKIP, two, 2);
    run();
    put(0, &names[1][0], false);
    put(0, &names[0][0], false);
    take(0, MEMO_COPY, MEMO_STRICT_SKIP, two, 2);
    one_call_t *c = take(1, MEMO_TAKE, MEMO_STRICT_SKIP, two, 2);
    take(0, MEMO_TAKE, MEMO_SKIP, more, 3);
    run();
    give_back_what_came(c, &two[c->call.index]);
    one_call_t *waits = take(1, MEMO_TAKE, MEMO_WAIT, more, 3);
    run();
    cancel(waits);
    run();
}

static void joins(void)
{
    const memo_folder_t here[] = {names[0][3], names[0][3]}, there[] = {names[0][3], names[1][3], names[2][3]};
    join(0, here, 2);
    one_call_t *c = join(1, there, 3);
    run();
    for (uint32_t i = 0; i < 4; i++) {
        put(i % CLIENTS, i < 2 ? &names[0][3] : &names[i - 1][3], false);
    }
    run();
    put(0, &names[0][3], false);
    run();
    cancel(c);
    run();
}

static void room_and_triggers(void)
{
    ask(0, WIRE_LIMIT, 0, &names[1][4], 1);
    run();
    put(0, &names[1][4], false);
    put(0, &names[1][4], false);
    put(1, &names[1][4], true);
    run();
    take(0, MEMO_TAKE, MEMO_SKIP, &names[1][4], 1);
    delay(0, &names[0][4], &names[2][4]);
    delay(1, &names[2][4], &names[2][5]);
    run();
    put(1, &names[0][4], false);
    run();
    one_call_t *c = take(1, MEMO_TAKE, MEMO_SKIP, &names[0][4], 1);
    run();
    give_back_what_came(c, &names[0][4]);
    ask(0, WIRE_COUNT, 0, &names[2][5], 0);
    ask(0, WIRE_STAT, 1, NULL, 0);
    ask(1, WIRE_EACH, 2, NULL, 0);
    run();
}

/* What comes to a folder while a chain has it locked. */
static void behind_locks(void)
{
    const memo_folder_t early[] = {names[0][5], names[1][5]}, late[] = {names[1][5], names[2][0]};
    put(0, &names[0][0], false);
    delay(0, &names[2][2], &names[0][5]);
    run();
    one_call_t *c = take(1, MEMO_TAKE, MEMO_SKIP, &names[0][0], 1);
    run();
    take(0, MEMO_TAKE, MEMO_STRICT_SKIP, late, 2);
    take(1, MEMO_TAKE, MEMO_STRICT_SKIP, early, 2);
    delay(0, &names[0][5], &names[2][5]);
    put(1, &names[2][2], false);
    put(0, &names[0][5], false);
    give_back_what_came(c, &names[0][5]);
    take(0, MEMO_TAKE, MEMO_SKIP, &names[0][5], 1);
    run();
}

static void until_quiet(void)
{
    const memo_folder_t nothing[] = {names[1][2], names[2][3]};
    take(0, MEMO_TAKE, MEMO_UNTIL_QUIET, nothing, 2);
    take(1, MEMO_TAKE, MEMO_UNTIL_QUIET, &nothing[1], 1);
    run();
}

/* ---- the judge --------------------------------------------------------------------------------------------------
 */

static void end_all_calls(void)
{
    for (uint32_t i = 0; i < calls_used; i++) {
        cancel(&calls[i]);
        run();
    }
    for (uint32_t i = 0; i < calls_used; i++) {
        const one_call_t *c = &calls[i];
        if (c->begun && !c->done) {
            WRONG("call %u does not end", i);
        } else if (c->begun && c->call.result < 0 && c->call.result != MEMO_ENOMEM &&
                   c->call.result != MEMO_EFULL && c->call.result != MEMO_ECANCELED) {
            WRONG("call %u ends with %d", i, c->call.result);
        }
    }
}

/* Everything is taken out, by calls that find memory. */
static void drain(void)
{
    calls_used = 0;
    ask(0, WIRE_LIMIT, 0, &names[1][4], 0);
    for (uint32_t s = 0; s < SERVERS; s++) { /* triggers */
        put(0, &names[s][4], false);
        put(0, &names[s][5], false);
        put(0, &names[s][2], false);
        run();
    }
    for (uint32_t s = 0; s < SERVERS; s++) {
        for (uint32_t i = 0; i < NAMES; i++) {
            one_call_t *c;
            do {
                calls_used = 0;
                c = take(0, MEMO_TAKE, MEMO_SKIP, &names[s][i], 1);
                run();
            } while (c->done && c->call.result == MEMO_OK);
            if (!c->done || c->call.result != MEMO_NONE) {
                WRONG("folder %u of server %u cannot be drained: %d", i, s, c->done ? c->call.result : 1);
            }
        }
    }
}

static void judge(void)
{
    engine_figures_t f;
    for (uint32_t i = 0; i < SERVERS; i++) {
        engine_look(engines[i], &f);
        if (f.folders + f.memos + f.waiters + f.requests + f.latches + f.locked + f.deferred + f.delayed > 0) {
            WRONG("server %u still has %u folders, %u memos, %u waiters, %u requests, %u latches, %u locks, %u "
                  "deferred, %u "
                  "delayed",
                  i, (unsigned)f.folders, (unsigned)f.memos, (unsigned)f.waiters, (unsigned)f.requests,
                  (unsigned)f.latches, (unsigned)f.locked, (unsigned)f.deferred, (unsigned)f.delayed);
        }
    }
    for (uint32_t i = 0; i < memos_used; i++) {
        if (memos[i].token && (memos[i].where != WITH_CLIENT || !memos[i].held)) {
            WRONG("memo %u is lost (%d)", i, (int)memos[i].where);
        }
    }
}

static bool one_world(stub_protocol_t protocol, long memory, long message)
{
    begin_world(protocol);
    countdown = memory;
    sends = message;
    selects();
    joins();
    room_and_triggers();
    behind_locks();
    until_quiet();
    bool reached = (memory > 0 && countdown <= 0) || (message > 0 && sends <= 0);
    countdown = sends = 0;
    end_all_calls();
    drain();
    judge();
    end_world();
    return reached;
}

static void each(stub_protocol_t protocol, const char *name)
{
    static const char *const whats[] = {"request for memory", "message of a client"};
    for (int what = 0; what < 2; what++) {
        long n = 0, bad = 0;
        bool reached = true;
        while (reached && n < ROUNDS_MOST) {
            n++;
            reached = what == 0 ? one_world(protocol, n, 0) : one_world(protocol, 0, n);
            if (wrong[0] != '\0' && bad++ < 5) {
                tap_diag("%s: %s %ld of all fails: %s", name, whats[what], n, wrong);
            }
        }
        tap_ok(bad == 0 && n > 30 && !reached, "%s: whichever %s fails, of %ld, nothing is lost or left", name,
               whats[what], n - 1);
    }
}

int main(void)
{
    if (INSTRUMENTED) {
        printf("1..0 # SKIP the sanitizer has malloc to itself\n");
        return 0;
    }
    engines_names(SERVERS, NAMES, names);
    tap_ok(!one_world(STUB_LATCH, 0, 0) && wrong[0] == '\0', "with memory for all, all is well%s%s",
           wrong[0] != '\0' ? ": " : "", wrong);
    each(STUB_LATCH, "latch");
    each(STUB_CHAIN, "chain");
    return tap_done();
}
