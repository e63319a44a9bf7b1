/*
 * stub_quiet.c - the client's part in quiet (servers/quiet.c has the algorithm): when all its participants wait it
 * reports so to server 0, with what it has asked for and received so far. A report lives until a call that it
 * speaks of is served: then the servers' figures contradict it, and it can do no harm. To end such a call for
 * another reason, the report is withdrawn first.
 */
#include "stubs/parts.h"

void quiet_add(stub_t *s, stub_call_t *call)
{
    call->quiet = true;
    call->previous_quiet = NULL;
    call->next_quiet = s->quiet;
    if (s->quiet != NULL)
        s->quiet->previous_quiet = call;
    s->quiet = call;
    s->quiet_calls++;
}

void quiet_drop(stub_t *s, stub_call_t *call)
{
    if (!call->quiet)
        return;
    call->quiet = false;
    *(call->previous_quiet != NULL ? &call->previous_quiet->next_quiet : &s->quiet) = call->next_quiet;
    if (call->next_quiet != NULL)
        call->next_quiet->previous_quiet = call->previous_quiet;
    s->quiet_calls--;
    if (call->reported != 0 && s->report_state == REPORT_LIVE)
        s->report_state = REPORT_NONE;
    call->reported = 0;
}

static int tell(stub_t *s, wire_type_t type)
{
    wire_message_t m = {.type = type,
                        .from = s->self,
                        .client = s->self,
                        .number = {s->report, s->asked, s->received, s->verdicts}};

    return s->io.send(s->io.arg, 0, &m);
}

static bool any_cancelled(const stub_t *s)
{
    const stub_call_t *call;

    for (call = s->quiet; call != NULL; call = call->next_quiet)
        if (call->cancelled)
            return true;
    return false;
}

static bool idle(const stub_t *s)
{
    return !s->busy && s->quiet != NULL && s->quiet_calls >= s->participants && !any_cancelled(s);
}

/* What server 0 was told is still so. */
static bool as_reported(const stub_t *s)
{
    return s->report_state == REPORT_LIVE && s->reported_asked == s->asked && s->reported_received == s->received;
}

void quiet_look(stub_t *s)
{
    stub_call_t *call;

    if (s->report_state == REPORT_WITHDRAWING || s->quiet == NULL || as_reported(s) || !idle(s))
        return;
    s->report++;
    if (tell(s, WIRE_IDLE) != MEMO_OK)
        return; /* server 0 is dead */
    s->report_state = REPORT_LIVE;
    s->reported_asked = s->asked;
    s->reported_received = s->received;
    for (call = s->quiet; call != NULL; call = call->next_quiet)
        if (call->reported == 0)
            call->reported = s->report;
}

void stub_quiet(stub_t *s, uint32_t participants, bool busy)
{
    s->participants = participants;
    s->busy = busy;
    quiet_look(s);
}

bool quiet_cancel(stub_t *s, stub_call_t *call)
{
    if (!call->quiet || call->reported == 0 || s->report_state == REPORT_NONE)
        return false;
    if (s->report_state == REPORT_LIVE && tell(s, WIRE_WITHDRAW) == MEMO_OK)
        s->report_state = REPORT_WITHDRAWING;
    return s->report_state == REPORT_WITHDRAWING;
}

/* A call that was reported, up to that report. */
static stub_call_t *find_reported(const stub_t *s, uint64_t up_to)
{
    stub_call_t *call = s->quiet;

    while (call != NULL && (call->reported == 0 || call->reported > up_to))
        call = call->next_quiet;
    return call;
}

/* Those that were to be cancelled, and are not quiet: nothing was said of them, or it is taken back. */
static void cancel_rest(stub_t *s)
{
    stub_call_t *call, *next;

    for (call = s->quiet; call != NULL; call = call->next_quiet)
        call->reported = 0;
    for (call = s->quiet; call != NULL; call = next) {
        next = call->next_quiet;
        if (call->cancelled && !call->told) {
            call->told = true;
            call_cancel_now(s, call);
        }
    }
}

/* QUIET, of a report; WITHDRAWN, of the last one. A QUIET that is on its way when a report is withdrawn, or made,
 * is the answer to that too: server 0 takes no notice of what was said before it was received (number[3] of IDLE).
 */
void quiet_receive(stub_t *s, const wire_message_t *m)
{
    stub_call_t *call;

    s->report_state = REPORT_NONE;
    if (m->type == WIRE_QUIET) {
        s->verdicts++;
        while ((call = find_reported(s, m->number[0])) != NULL)
            call_end(s, call, MEMO_QUIET);
    }
    cancel_rest(s);
}
