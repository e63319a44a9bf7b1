/*
 * uri.c - reading a space's URI (DESIGN: URIs). Strict: what is not understood is refused with the value that
 * was wrong and what would be right, for a misspelt option that is ignored costs somebody a day.
 */
#include "libmemo/api/uri.h"

#include "libmemo/api/error.h"

#include <errno.h>
#include <grp.h>
#include <string.h>

/* A piece of the text, not terminated. */
typedef struct piece {
    const char *at;
    size_t length;
} piece_t;

/* For "%.*s": no more of a wrong value than fits a sentence. */
#define SHOWN(piece) ((piece).length < 60 ? (int)(piece).length : 60), (piece).at

static bool piece_is(piece_t piece, const char *word)
{
    return strlen(word) == piece.length && memcmp(piece.at, word, piece.length) == 0;
}

/* Cuts `from` at the first `mark`: returns what stands before it; *from is what stands behind it. */
static piece_t piece_before(piece_t *from, char mark)
{
    const char *end = memchr(from->at, mark, from->length);
    piece_t before = {from->at, end ? (size_t)(end - from->at) : from->length};
    size_t used = end ? before.length + 1 : before.length;

    from->at += used;
    from->length -= used;
    return before;
}

bool uri_is_mpi(const char *scheme)
{
    return strcmp(scheme, "mpi-single") == 0 || strcmp(scheme, "mpi-latch") == 0 ||
           strcmp(scheme, "mpi-chain") == 0;
}

int uri_scheme(const char *text, memo_uri_t *uri, const char **rest)
{
    const char *colon = strchr(text, ':');
    piece_t scheme = {text, colon ? (size_t)(colon - text) : strlen(text)};

    *uri = (memo_uri_t){0};
    if (!colon) {
        return memo_error(MEMO_EINVAL,
                          "'%.*s' is not a space's URI: write it as scheme:name, as in shm-bucket:jobs",
                          SHOWN(scheme));
    }
    if (scheme.length == 0 || scheme.length >= sizeof uri->scheme) {
        return memo_error(
            MEMO_EINVAL,
            "'%.*s' is not a scheme of a space: write shm-bucket:name, shm-lock:name, or mpi-single:, "
            "mpi-latch: or mpi-chain:",
            SHOWN(scheme));
    }
    memcpy(uri->scheme, scheme.at, scheme.length);
    *rest = colon + 1;
    return MEMO_OK;
}

static int read_name(piece_t name, memo_uri_t *uri)
{
    if (name.length && name.at[0] == '/') {
        return memo_error(MEMO_ENOTSUP,
                          "'%.*s' is a folder of the file system: durable spaces are not in this "
                          "version; a name without a slash is a space in shared memory",
                          SHOWN(name));
    }
    if (memchr(name.at, '/', name.length)) {
        return memo_error(MEMO_EINVAL, "the name of a space has no slash, unlike '%.*s'", SHOWN(name));
    }
    if (name.length >= sizeof uri->name) {
        return memo_error(MEMO_EINVAL, "the name of a space has at most %zu bytes; '%.*s...' has %zu",
                          sizeof uri->name - 1, SHOWN(name), name.length);
    }
    memcpy(uri->name, name.at, name.length);
    return MEMO_OK;
}

/* The bytes that a size's suffix stands for; 0 when it is none. */
static uint64_t suffix_bytes(piece_t suffix)
{
    static const char letters[] = "KMGTkmgt";

    if (suffix.length == 0) {
        return 1;
    }
    const char *letter = suffix.length == 1 ? memchr(letters, suffix.at[0], sizeof letters - 1) : NULL;
    return letter ? UINT64_C(1) << (10 * ((letter - letters) % 4 + 1)) : 0;
}

/* Reads decimal digits; answers how many there are. *overflow is set if the number is too large. */
static size_t read_digits(piece_t value, uint64_t *number, bool *overflow)
{
    size_t digits = 0;

    *number = 0;
    for (; digits < value.length && value.at[digits] >= '0' && value.at[digits] <= '9'; digits++) {
        *overflow |= __builtin_mul_overflow(*number, UINT64_C(10), number);
        *overflow |= __builtin_add_overflow(*number, (uint64_t)(value.at[digits] - '0'), number);
    }
    return digits;
}

static int read_size(piece_t value, memo_uri_t *uri)
{
    uint64_t number = 0;
    bool overflow = false;
    size_t digits = read_digits(value, &number, &overflow);
    uint64_t unit = suffix_bytes((piece_t){value.at + digits, value.length - digits});
    if (digits == 0 || unit == 0) {
        return memo_error(MEMO_EINVAL,
                          "size=%.*s is not a size: write a number of bytes, or one with K, M, G or T, "
                          "as in size=64M",
                          SHOWN(value));
    }
    overflow |= __builtin_mul_overflow(number, unit, &uri->size);
    if (overflow) {
        return memo_error(MEMO_EINVAL, "size=%.*s is more than 64 bits can count", SHOWN(value));
    }
    if (uri->size == 0) {
        return memo_error(MEMO_EINVAL, "size=%.*s is no room at all: write for instance size=64M, or leave it out",
                          SHOWN(value));
    }
    return MEMO_OK;
}

static int read_on_death(piece_t value, memo_uri_t *uri)
{
    if (!piece_is(value, "return") && !piece_is(value, "drop")) {
        return memo_error(MEMO_EINVAL, "on_death=%.*s is unknown: write on_death=return or on_death=drop",
                          SHOWN(value));
    }
    uri->on_death = piece_is(value, "drop") ? MEMO_ON_DEATH_DROP : MEMO_ON_DEATH_RETURN;
    uri->on_death_given = true;
    return MEMO_OK;
}

static int read_anonymous(piece_t value, memo_uri_t *uri)
{
    if (!piece_is(value, "0") && !piece_is(value, "1")) {
        return memo_error(MEMO_EINVAL, "anonymous=%.*s is unknown: write anonymous=1 or anonymous=0", SHOWN(value));
    }
    uri->anonymous = piece_is(value, "1");
    return MEMO_OK;
}

/* Who attaches to a space writes in it, and its owner attaches: so a digit is 6 or 0, and the first one 6. */
static int read_mode(piece_t value, memo_uri_t *uri)
{
    piece_t digits = value;

    while (digits.length > 3 && digits.at[0] == '0') {
        digits.at++;
        digits.length--;
    }
    if (digits.length != 3 || digits.at[0] != '6' || strchr("06", digits.at[1]) == NULL ||
        strchr("06", digits.at[2]) == NULL) {
        return memo_error(MEMO_EINVAL,
                          "mode=%.*s is not a mode for a space: whoever uses one reads and writes it, so write "
                          "mode=600 (its owner), 660 (its group too), 606 or 666 (everybody)",
                          SHOWN(value));
    }
    uri->mode = 0600u | (digits.at[1] == '6' ? 060u : 0u) | (digits.at[2] == '6' ? 06u : 0u);
    return MEMO_OK;
}

/* The group's number; 0, or an errno; ENOENT: there is none of that name. */
static int group_number(const char *name, uint32_t *number)
{
    char room[16384];
    struct group entry;
    struct group *found = NULL;
    int error;

    do {
        error = getgrnam_r(name, &entry, room, sizeof room, &found);
    } while (error == EINTR);
    if (found != NULL) {
        *number = entry.gr_gid;
    }
    return found != NULL ? 0 : error != 0 ? error : ENOENT;
}

static int read_group(piece_t value, memo_uri_t *uri)
{
    char name[64];
    uint64_t number = 0;
    bool overflow = false;
    int error = ENOENT;

    uri->group_given = true;
    if (read_digits(value, &number, &overflow) == value.length) {
        uri->group = (uint32_t)number;
        /* The last number stands for "no group" in the system's calls. */
        return !overflow && number < UINT32_MAX
                   ? MEMO_OK
                   : memo_error(MEMO_EINVAL, "group=%.*s is more than a group's number can be", SHOWN(value));
    }
    if (value.length < sizeof name) {
        memcpy(name, value.at, value.length);
        name[value.length] = '\0';
        error = group_number(name, &uri->group);
    }
    if (error == ENOENT) {
        return memo_error(MEMO_EINVAL, "group=%.*s: there is no such group here; write a group's name or number",
                          SHOWN(value));
    }
    return error == 0 ? MEMO_OK
                      : memo_error(MEMO_EIO, "group=%.*s: the system cannot look it up: %s; its number will do",
                                   SHOWN(value), strerror(error));
}

static int refuse_durable(piece_t value, memo_uri_t *uri)
{
    (void)uri;
    return memo_error(MEMO_ENOTSUP, "durable=%.*s: durable spaces are not in this version", SHOWN(value));
}

#define REDELIVERIES_MOST 1000000000

static int read_max_redeliveries(piece_t value, memo_uri_t *uri)
{
    uint64_t number = 0;
    bool overflow = false;
    size_t digits = read_digits(value, &number, &overflow);

    if (digits != value.length || overflow || number > REDELIVERIES_MOST) {
        return memo_error(MEMO_EINVAL,
                          "max_redeliveries=%.*s is not a number of times: write one from 0 to %d, as in "
                          "max_redeliveries=3",
                          SHOWN(value), REDELIVERIES_MOST);
    }
    uri->max_redeliveries = (uint32_t)number;
    uri->max_redeliveries_given = true;
    return MEMO_OK;
}

static int read_dead_letters(piece_t value, memo_uri_t *uri)
{
    if (value.length > MEMO_NAME_MAX) {
        return memo_error(MEMO_EINVAL, "dead_letters=%.*s...: the name of a folder has at most %d bytes, not %zu",
                          SHOWN(value), MEMO_NAME_MAX, value.length);
    }
    memcpy(uri->dead_letters, value.at, value.length);
    return MEMO_OK;
}

/* A number of servers or nodes. No machine has so many that the limit matters; it keeps sums of them in 32 bits. */
#define MANY 1000000

static int read_many(const char *option, piece_t value, uint32_t *many)
{
    uint64_t number = 0;
    bool overflow = false;
    size_t digits = read_digits(value, &number, &overflow);

    if (digits != value.length || overflow || number == 0 || number > MANY) {
        return memo_error(MEMO_EINVAL, "%s=%.*s is not a number of them: write one from 1 to %d, as in %s=2",
                          option, SHOWN(value), MANY, option);
    }
    *many = (uint32_t)number;
    return MEMO_OK;
}

static int read_servers(piece_t value, memo_uri_t *uri)
{
    return read_many("servers", value, &uri->servers);
}

static int read_nodes(piece_t value, memo_uri_t *uri)
{
    return read_many("nodes", value, &uri->nodes);
}

static int read_transport(piece_t value, memo_uri_t *uri)
{
    (void)uri;
    if (piece_is(value, "postbox")) {
        return memo_error(MEMO_ENOTSUP,
                          "transport=postbox is not in this version: write transport=send, or leave it "
                          "out");
    }
    return piece_is(value, "send")
               ? MEMO_OK
               : memo_error(MEMO_EINVAL, "transport=%.*s is unknown: write transport=send", SHOWN(value));
}

static int refuse_mirror(piece_t value, memo_uri_t *uri)
{
    (void)uri;
    return memo_error(MEMO_ENOTSUP, "mirror=%.*s: mirrored servers are not in this version", SHOWN(value));
}

enum { IN_MEMORY = 1, OVER_MPI = 2, EVERYWHERE = IN_MEMORY | OVER_MPI };

static const struct {
    const char *name;
    int where;
    int (*read)(piece_t value, memo_uri_t *uri);
} options[] = {
    {"size", EVERYWHERE, read_size},
    {"on_death", EVERYWHERE, read_on_death},
    {"anonymous", IN_MEMORY, read_anonymous},
    {"mode", IN_MEMORY, read_mode},
    {"group", IN_MEMORY, read_group},
    {"durable", IN_MEMORY, refuse_durable},
    {"servers", OVER_MPI, read_servers},
    {"nodes", OVER_MPI, read_nodes},
    {"transport", OVER_MPI, read_transport},
    {"mirror", OVER_MPI, refuse_mirror},
    {"max_redeliveries", EVERYWHERE, read_max_redeliveries},
    {"dead_letters", EVERYWHERE, read_dead_letters},
};

#define OPTIONS (sizeof options / sizeof options[0])

/* The option of that name that the scheme has, or OPTIONS. */
static size_t option_named(piece_t name, bool mpi)
{
    int where = mpi ? OVER_MPI : IN_MEMORY;
    size_t i = 0;

    while (i < OPTIONS && !(piece_is(name, options[i].name) && options[i].where & where)) {
        i++;
    }
    return i;
}

/* Reads one name=value; *seen has a bit for each option that came before. */
static int read_option(piece_t option, memo_uri_t *uri, unsigned *seen)
{
    piece_t value = option;
    piece_t name = piece_before(&value, '=');
    bool mpi = uri_is_mpi(uri->scheme);
    size_t i = option_named(name, mpi);

    if (name.length == option.length) {
        return memo_error(MEMO_EINVAL, "'%.*s' is not an option: write option=value, as in size=64M",
                          SHOWN(option));
    }
    if (i == OPTIONS) {
        return memo_error(MEMO_EINVAL, "%s has no option '%.*s': it has %s", uri->scheme, SHOWN(name),
                          mpi ? "size, on_death, max_redeliveries, dead_letters, servers, nodes and transport"
                              : "size, on_death, max_redeliveries, dead_letters, anonymous, mode and group");
    }
    if (value.length == 0) {
        return memo_error(MEMO_EINVAL, "option %s has no value", options[i].name);
    }
    if (*seen & 1u << i) {
        return memo_error(MEMO_EINVAL, "option %s stands twice", options[i].name);
    }
    *seen |= 1u << i;
    return options[i].read(value, uri);
}

/* Options that say something only together, or cannot be meant together. */
static int agree(const memo_uri_t *uri)
{
    if (uri->dead_letters[0] != '\0' && !uri->max_redeliveries_given) {
        return memo_error(MEMO_EINVAL,
                          "dead_letters=%s needs max_redeliveries=n: how often a memo is redelivered before it "
                          "goes there",
                          uri->dead_letters);
    }
    if (uri->max_redeliveries_given && uri->on_death == MEMO_ON_DEATH_DROP) {
        return memo_error(MEMO_EINVAL,
                          "with on_death=drop nothing is ever redelivered: leave that out, or max_redeliveries");
    }
    if (uri->name[0] == '\0' && !uri->anonymous && !uri_is_mpi(uri->scheme)) {
        return memo_error(MEMO_EINVAL, "the space has no name: write %s:name, or %s:?anonymous=1 for a private one",
                          uri->scheme, uri->scheme);
    }
    return MEMO_OK;
}

int uri_rest(const char *text, memo_uri_t *uri)
{
    piece_t rest = {text, strlen(text)};
    bool has_options = strchr(text, '?') != NULL;
    unsigned seen = 0;
    int result = read_name(piece_before(&rest, '?'), uri);

    while (result == MEMO_OK && has_options) {
        piece_t option = piece_before(&rest, '&');
        /* What stands behind an '&' is an option, even if it is nothing. */
        has_options = option.at[option.length] == '&';
        result = read_option(option, uri, &seen);
    }
    if (result == MEMO_OK && uri->anonymous && (uri->mode != 0 || uri->group_given)) {
        return memo_error(MEMO_EINVAL,
                          "an anonymous space has no %s=: nobody but this process and its children "
                          "can reach it",
                          uri->mode != 0 ? "mode" : "group");
    }
    /* A group that could do nothing would be no use. */
    if (uri->group_given && uri->mode == 0) {
        uri->mode = 0660;
    }
    return result == MEMO_OK ? agree(uri) : result;
}
