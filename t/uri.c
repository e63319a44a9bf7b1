/*
 * uri.c - URIs of spaces: what is understood, and what is refused with a sentence that says why.
 */
#include "libmemo/api/uri.h"
#include "libmemo/memo.h"
#include "t/tap.h"

#define GIGA (UINT64_C(1) << 30)

static int parse(const char *text, memo_uri_t *uri)
{
    const char *rest = NULL;
    int result = uri_scheme(text, uri, &rest);

    return result == MEMO_OK ? uri_rest(rest, uri) : result;
}

/* The sentence of a refusal contains each of two words: the wrong value, and what would be right. */
static void refused(const char *text, int code, const char *wrong, const char *right)
{
    memo_uri_t uri;

    tap_is_int(parse(text, &uri), code, "'%s' is refused", text);
    if (!tap_ok(strstr(memo_errmsg(), wrong) && strstr(memo_errmsg(), right), "... naming '%s' and '%s'", wrong,
                right)) {
        tap_diag("the sentence is: %s", memo_errmsg());
    }
}

static void size_is(const char *text, uint64_t size)
{
    memo_uri_t uri;

    tap_is_int(parse(text, &uri), MEMO_OK, "'%s' is understood", text);
    tap_ok(uri.size == size, "... as %" PRIu64 " bytes", size);
}

static void names_and_schemes(void)
{
    memo_uri_t uri;

    tap_is_int(parse("shm-bucket:jobs", &uri), MEMO_OK, "scheme and name");
    tap_is_str(uri.scheme, "shm-bucket", "the scheme");
    tap_is_str(uri.name, "jobs", "the name");
    tap_ok(uri.size == 0 && !uri.anonymous && !uri.on_death_given && uri.on_death == MEMO_ON_DEATH_RETURN,
           "options that are not given have their defaults");

    char text[300] = "shm-lock:";
    memset(text + 9, 'n', 199);
    tap_is_int(parse(text, &uri), MEMO_OK, "a name of 199 bytes");
    tap_ok(strlen(uri.name) == 199, "... is whole");
    memset(text + 9, 'n', 200);
    refused(text, MEMO_EINVAL, "200", "at most 199");

    refused("", MEMO_EINVAL, "''", "shm-bucket:jobs");
    refused("jobs", MEMO_EINVAL, "'jobs'", "shm-bucket:jobs");
    refused(":jobs", MEMO_EINVAL, "''", "shm-bucket:name");
    refused("a-scheme-much-too-long:jobs", MEMO_EINVAL, "a-scheme", "shm-bucket:name");
    refused("shm-bucket:", MEMO_EINVAL, "no name", "anonymous=1");
    refused("shm-bucket:?size=1M", MEMO_EINVAL, "no name", "anonymous=1");
    refused("shm-bucket:a/b", MEMO_EINVAL, "'a/b'", "no slash");
    refused("shm-bucket:/var/jobs", MEMO_ENOTSUP, "'/var/jobs'", "not in this version");
}

static void sizes(void)
{
    size_is("shm-bucket:a?size=1", 1);
    size_is("shm-bucket:a?size=65536", 65536);
    size_is("shm-bucket:a?size=3K", 3 * 1024);
    size_is("shm-bucket:a?size=64M", 64 * 1024 * 1024);
    size_is("shm-bucket:a?size=2g", 2 * GIGA);
    size_is("shm-bucket:a?size=5T", 5 * 1024 * GIGA);
    size_is("shm-bucket:a?size=18446744073709551615", UINT64_MAX);
    size_is("shm-bucket:a?size=16777215T", UINT64_C(16777215) << 40);

    refused("shm-bucket:a?size=18446744073709551616", MEMO_EINVAL, "18446744073709551616", "64 bits");
    refused("shm-bucket:a?size=16777216T", MEMO_EINVAL, "16777216T", "64 bits");
    refused("shm-bucket:a?size=99999999999999999999999999", MEMO_EINVAL, "9999", "64 bits");
    refused("shm-bucket:a?size=0", MEMO_EINVAL, "size=0", "size=64M");
    refused("shm-bucket:a?size=-1", MEMO_EINVAL, "size=-1", "K, M, G or T");
    refused("shm-bucket:a?size=+1", MEMO_EINVAL, "size=+1", "K, M, G or T");
    refused("shm-bucket:a?size= 1", MEMO_EINVAL, "size= 1", "K, M, G or T");
    refused("shm-bucket:a?size=M", MEMO_EINVAL, "size=M", "K, M, G or T");
    refused("shm-bucket:a?size=1MB", MEMO_EINVAL, "size=1MB", "K, M, G or T");
    refused("shm-bucket:a?size=1P", MEMO_EINVAL, "size=1P", "K, M, G or T");
    refused("shm-bucket:a?size=1.5G", MEMO_EINVAL, "size=1.5G", "K, M, G or T");
}

static void options(void)
{
    memo_uri_t uri;

    tap_is_int(parse("shm-lock:a?on_death=drop&size=1M&anonymous=0", &uri), MEMO_OK, "three options");
    tap_ok(uri.on_death == MEMO_ON_DEATH_DROP && uri.on_death_given && uri.size == 1 << 20 && !uri.anonymous,
           "... are all read");
    tap_is_int(parse("shm-lock:a?on_death=return", &uri), MEMO_OK, "on_death=return");
    tap_ok(uri.on_death == MEMO_ON_DEATH_RETURN && uri.on_death_given, "... is noted as given");
    tap_is_int(parse("shm-bucket:?anonymous=1", &uri), MEMO_OK, "an anonymous space needs no name");
    tap_ok(uri.anonymous && uri.name[0] == '\0', "... and has none");
    tap_is_int(parse("shm-bucket:mine?anonymous=1", &uri), MEMO_OK, "an anonymous space may have a name");

    tap_is_int(parse("shm-bucket:a?dead_letters=d?=d&max_redeliveries=0", &uri), MEMO_OK,
               "a limit on redeliveries");
    tap_ok(uri.max_redeliveries_given && uri.max_redeliveries == 0 && strcmp(uri.dead_letters, "d?=d") == 0,
           "... and where memos go then");
    tap_is_int(parse("mpi-chain:?max_redeliveries=1000000000", &uri), MEMO_OK, "it is everywhere");
    tap_ok(uri.max_redeliveries == 1000000000 && uri.dead_letters[0] == '\0', "... and they may go nowhere");
    refused("shm-bucket:a?max_redeliveries=1000000001", MEMO_EINVAL, "max_redeliveries=1000000001", "from 0 to");
    refused("shm-bucket:a?max_redeliveries=-1", MEMO_EINVAL, "max_redeliveries=-1", "max_redeliveries=3");
    refused("shm-bucket:a?max_redeliveries=3x", MEMO_EINVAL, "max_redeliveries=3x", "max_redeliveries=3");
    refused("shm-bucket:a?dead_letters=d", MEMO_EINVAL, "dead_letters=d", "max_redeliveries=n");
    refused("mpi-latch:?max_redeliveries=3&on_death=drop", MEMO_EINVAL, "on_death=drop", "leave that out");
    refused("shm-bucket:a?max_redeliveries=3&dead_letters=a23456789b23456789c23456789d23456789e23456789f23456789"
            "g23456789h23456789i23456789j23456789k23456789l23456789abcde",
            MEMO_EINVAL, "dead_letters=a23456789", "at most 112 bytes, not 113");
    refused("shm-bucket:a?sise=1G", MEMO_EINVAL, "'sise'",
            "size, on_death, max_redeliveries, dead_letters, anonymous, mode and group");
    refused("shm-bucket:a?servers=2", MEMO_EINVAL, "'servers'",
            "size, on_death, max_redeliveries, dead_letters, anonymous, mode and group");
    refused("shm-bucket:a?SIZE=1G", MEMO_EINVAL, "'SIZE'",
            "size, on_death, max_redeliveries, dead_letters, anonymous, mode and group");
    refused("shm-bucket:a?=1G", MEMO_EINVAL, "''",
            "size, on_death, max_redeliveries, dead_letters, anonymous, mode and group");
    refused("shm-bucket:a?size=1G&size=1G", MEMO_EINVAL, "size", "twice");
    refused("shm-bucket:a?size=", MEMO_EINVAL, "size", "no value");
    refused("shm-bucket:a?size", MEMO_EINVAL, "'size'", "option=value");
    refused("shm-bucket:a?", MEMO_EINVAL, "''", "option=value");
    refused("shm-bucket:a?size=1G&", MEMO_EINVAL, "''", "option=value");
    refused("shm-bucket:a?size=1G&&anonymous=1", MEMO_EINVAL, "''", "option=value");
    refused("shm-bucket:a?on_death=keep", MEMO_EINVAL, "on_death=keep", "on_death=return");
    refused("shm-bucket:a?anonymous=yes", MEMO_EINVAL, "anonymous=yes", "anonymous=1");
    refused("shm-bucket:a?durable=sync", MEMO_ENOTSUP, "durable=sync", "not in this version");
}

static void access_options(void)
{
    memo_uri_t uri;

    tap_is_int(parse("shm-bucket:a", &uri), MEMO_OK, "a space for its owner alone");
    tap_ok(uri.mode == 0 && !uri.group_given, "... says neither mode nor group");
    tap_is_int(parse("shm-bucket:a?mode=606", &uri), MEMO_OK, "mode=606");
    tap_is_int(uri.mode, 0606, "... is octal");
    tap_is_int(parse("shm-lock:a?mode=0666&group=17", &uri), MEMO_OK, "mode=0666 and group=17");
    tap_ok(uri.mode == 0666 && uri.group_given && uri.group == 17, "... are both read");
    tap_is_int(parse("shm-bucket:a?group=root", &uri), MEMO_OK, "a group by name");
    tap_ok(uri.group_given && uri.group == 0, "... is looked up");
    tap_is_int(uri.mode, 0660, "a group alone means that its members may");
    refused("shm-bucket:a?mode=640", MEMO_EINVAL, "mode=640", "660");
    refused("shm-bucket:a?mode=060", MEMO_EINVAL, "mode=060", "660");
    refused("shm-bucket:a?mode=4666", MEMO_EINVAL, "mode=4666", "660");
    refused("shm-bucket:a?mode=66", MEMO_EINVAL, "mode=66", "660");
    refused("shm-bucket:a?mode=rw-", MEMO_EINVAL, "mode=rw-", "660");
    refused("shm-bucket:a?mode=0x1B0", MEMO_EINVAL, "mode=0x1B0", "660");
    refused("shm-bucket:a?group=no-such-group-here", MEMO_EINVAL, "no-such-group-here", "number");
    refused("shm-bucket:a?group=4294967295", MEMO_EINVAL, "4294967295", "number");
    refused("shm-bucket:a?group=99999999999999999999", MEMO_EINVAL, "99999999999999999999", "number");
    refused("shm-bucket:?anonymous=1&mode=600", MEMO_EINVAL, "mode", "anonymous");
    refused("shm-bucket:?anonymous=1&group=0", MEMO_EINVAL, "group", "anonymous");
    refused("mpi-latch:?mode=600", MEMO_EINVAL, "'mode'",
            "size, on_death, max_redeliveries, dead_letters, servers, nodes and transport");
}

static void options_over_mpi(void)
{
    static const char *const schemes[] = {"mpi-single", "mpi-latch", "mpi-chain"};
    memo_uri_t uri;
    char text[80];

    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "%s:", schemes[i]);
        tap_is_int(parse(text, &uri), MEMO_OK, "%s needs no name", schemes[i]);
        tap_ok(uri.servers == 0 && uri.nodes == 0 && uri.size == 0, "... and options not given are 0");
        snprintf(text, sizeof text, "%s:jobs?nodes=2&size=1M&servers=1000000&transport=send", schemes[i]);
        tap_is_int(parse(text, &uri), MEMO_OK, "all the options of %s", schemes[i]);
        tap_ok(uri.servers == 1000000 && uri.nodes == 2 && uri.size == 1 << 20, "... are read");
        tap_is_str(uri.name, "jobs", "... and the name");
    }
    tap_is_int(parse("mpi-latch:?on_death=drop", &uri), MEMO_OK, "on_death is everywhere");
    tap_ok(uri.on_death == MEMO_ON_DEATH_DROP, "... and read");

    refused("mpi-latch:?anonymous=1", MEMO_EINVAL, "'anonymous'",
            "size, on_death, max_redeliveries, dead_letters, servers, nodes and transport");
    refused("mpi-latch:?durable=sync", MEMO_EINVAL, "'durable'",
            "size, on_death, max_redeliveries, dead_letters, servers, nodes and transport");
    refused("mpi-latch:?server=2", MEMO_EINVAL, "'server'",
            "size, on_death, max_redeliveries, dead_letters, servers, nodes and transport");
    refused("mpi-latch:?servers=0", MEMO_EINVAL, "servers=0", "servers=2");
    refused("mpi-latch:?servers=two", MEMO_EINVAL, "servers=two", "servers=2");
    refused("mpi-latch:?servers=2K", MEMO_EINVAL, "servers=2K", "servers=2");
    refused("mpi-latch:?servers=-1", MEMO_EINVAL, "servers=-1", "servers=2");
    refused("mpi-latch:?servers=1000001", MEMO_EINVAL, "servers=1000001", "from 1 to 1000000");
    refused("mpi-latch:?servers=18446744073709551617", MEMO_EINVAL, "servers=18446744073709551617", "from 1 to");
    refused("mpi-latch:?servers=2&servers=2", MEMO_EINVAL, "servers", "twice");
    refused("mpi-latch:?nodes=0", MEMO_EINVAL, "nodes=0", "nodes=2");
    refused("mpi-latch:?nodes=", MEMO_EINVAL, "nodes", "no value");
    refused("mpi-latch:?transport=postbox", MEMO_ENOTSUP, "transport=postbox", "not in this version");
    refused("mpi-latch:?transport=pigeon", MEMO_EINVAL, "transport=pigeon", "transport=send");
    refused("mpi-latch:?mirror=1", MEMO_ENOTSUP, "mirror=1", "not in this version");
    refused("shm-lock:a?nodes=2", MEMO_EINVAL, "'nodes'",
            "size, on_death, max_redeliveries, dead_letters, anonymous, mode and group");
    refused("shm-lock:a?transport=send", MEMO_EINVAL, "'transport'",
            "size, on_death, max_redeliveries, dead_letters, anonymous, mode and group");
}

/* The schemes are the backends' table, asked through the public calls. */
static void schemes(void)
{
    memo_space_t *space = (memo_space_t *)&space;

    tap_is_int(memo_open(&space, "redis://host/0"), MEMO_EINVAL, "an unknown scheme is refused");
    tap_ok(strstr(memo_errmsg(), "'redis'") && strstr(memo_errmsg(), "shm-bucket:name"), "... by its name");
    tap_ok(space == NULL, "... and no handle is stored");
    tap_ok(strstr(memo_errmsg(), "mpi-latch:") != NULL, "... naming those over MPI too");
    tap_is_int(memo_open(&space, "mpi-queue:"), MEMO_EINVAL, "an unknown scheme over MPI is refused as any other");
    tap_is_int(memo_open(NULL, "shm-bucket:a"), MEMO_EINVAL, "a place for the handle is needed");
    tap_is_int(memo_unlink("shm-bucket:a?size=bad"), MEMO_EINVAL, "memo_unlink refuses the same");
    setenv("MEMO_SPACE", "nothing-known:", 1);
    tap_is_int(memo_unlink(NULL), MEMO_EINVAL, "without a URI the environment's is read");
    tap_ok(strstr(memo_errmsg(), "'nothing-known'") != NULL, "... and refused as such");
    tap_is_int(memo_open(&space, ""), MEMO_EINVAL, "an empty URI is not the default");
}

int main(void)
{
    tap_timeout(60);
    names_and_schemes();
    sizes();
    options();
    access_options();
    options_over_mpi();
    schemes();
    return tap_done();
}
