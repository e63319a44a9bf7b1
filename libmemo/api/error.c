/*
 * error.c - the words for results: memo_strerror, and memo_errmsg's sentence of the calling thread.
 */
#include "libmemo/api/error.h"

#include "libmemo/memo.h"

#include <stdio.h>
#include <string.h>

#define SENTENCE_BYTES 512

static _Thread_local char sentence[SENTENCE_BYTES];

int memo_verror(int code, const char *format, va_list args)
{
    /* The sentence so far may be among the arguments. */
    char fresh[SENTENCE_BYTES];

    vsnprintf(fresh, sizeof fresh, format, args);
    memcpy(sentence, fresh, strlen(fresh) + 1);
    return code;
}

int memo_error(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int result = memo_verror(code, format, args);
    va_end(args);
    return result;
}

const char *memo_errmsg(void)
{
    return sentence;
}

const char *memo_strerror(int code)
{
    switch (code) {
    case MEMO_OK:
        return "done";
    case MEMO_NONE:
        return "there was none";
    case MEMO_TIMEDOUT:
        return "the time was up";
    case MEMO_PENDING:
        return "still in flight";
    case MEMO_QUIET:
        return "everyone waits and nothing is in flight";
    case MEMO_SERVED:
        return "served until all clients closed";
    case MEMO_EINVAL:
        return "malformed argument";
    case MEMO_ENOMEM:
        return "the process has no memory left";
    case MEMO_EFULL:
        return "full";
    case MEMO_ECLOSED:
        return "the space is closed";
    case MEMO_EBUSY:
        return "in use by somebody else";
    case MEMO_ENOTSUP:
        return "not supported here";
    case MEMO_EIO:
        return "the operating system refused";
    case MEMO_ECORRUPT:
        return "damaged, or not a space";
    case MEMO_EVERSION:
        return "made by another version";
    case MEMO_EPEER:
        return "a server is gone";
    case MEMO_ECANCELED:
        return "cancelled";
    default:
        return "not a result of this library";
    }
}
