/*
 * uri.c - fuzz target: a space's URI.
 *
 * What is refused has a sentence. What is understood is understood the same when it is written down anew.
 */
#include "t/fuzz/fuzz.h"

#include <inttypes.h>

#include "libmemo/api/uri.h"

static int parse(const char *text, memo_uri_t *uri)
{
    const char *rest = NULL;
    int result = uri_scheme(text, uri, &rest);
    return result == MEMO_OK ? uri_rest(rest, uri) : result;
}

static void write_down(const memo_uri_t *uri, char *text, size_t room)
{
    char mark = '?';
    int n = snprintf(text, room, "%s:%s", uri->scheme, uri->name);
#define OPTION(given, ...)                                                                                         \
    if (given) {                                                                                                   \
        text[n++] = mark;                                                                                          \
        n += snprintf(text + n, room - (size_t)n, __VA_ARGS__);                                                    \
        mark = '&';                                                                                                \
    }
    OPTION(uri->size != 0, "size=%" PRIu64, uri->size)
    OPTION(uri->on_death_given, "on_death=%s", uri->on_death == MEMO_ON_DEATH_DROP ? "drop" : "return")
    OPTION(uri->anonymous, "anonymous=1")
    OPTION(uri->servers != 0, "servers=%" PRIu32, uri->servers)
    OPTION(uri->nodes != 0, "nodes=%" PRIu32, uri->nodes)
#undef OPTION
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char again[600];
    memo_uri_t uri, same;
    char *text = malloc(size + 1);
    fuzz_must(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    int result = parse(text, &uri);
    fuzz_must(result == MEMO_OK || result == MEMO_EINVAL || result == MEMO_ENOTSUP);
    if (result != MEMO_OK) {
        fuzz_must(strlen(memo_errmsg()) > 20);
    } else {
        fuzz_must(memchr(uri.scheme, '\0', sizeof uri.scheme) != NULL);
        fuzz_must(memchr(uri.name, '\0', sizeof uri.name) != NULL && strchr(uri.name, '/') == NULL);
        write_down(&uri, again, sizeof again);
        fuzz_must(parse(again, &same) == MEMO_OK);
        fuzz_must(strcmp(uri.scheme, same.scheme) == 0 && strcmp(uri.name, same.name) == 0);
        fuzz_must(uri.size == same.size && uri.on_death == same.on_death && uri.anonymous == same.anonymous);
        fuzz_must(uri.servers == same.servers && uri.nodes == same.nodes);
    }
    free(text);
    return 0;
}
