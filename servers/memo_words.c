/*
 * memo_words.c - how folders, times and numbers are written on a command line.
 *
 * A folder is written as its text. A backslash and bytes that are not printable characters, blanks included, are
 * escaped: \\ and \xNN; so a printed folder is one word in a shell and in a table. An array element is written
 * @SYMBOL[I][J]..., SYMBOL being 0x and the hexadecimal number, or a text that memo_symbol_named() turns into it. A
 * text that begins with @ is therefore written \x40... Whatever is printed reads back as the same folder.
 */
#include "servers/memo_command.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes that `text`, up to the terminator or `end`, stands for; their number. `whole` is for messages. */
static size_t unescape(const char *text, const char *end, const char *whole, unsigned char bytes[MEMO_NAME_MAX])
{
    size_t length = 0;
    while (text < end) {
        unsigned char byte = (unsigned char)*text++;
        if (byte == '\\') {
            if (text + 2 < end && *text == 'x' && hex_digit(text[1]) >= 0 && hex_digit(text[2]) >= 0) {
                byte = (unsigned char)(hex_digit(text[1]) * 16 + hex_digit(text[2]));
                text += 3;
            } else if (text < end && *text == '\\') {
                text++;
            } else {
                fail("folder '%s': after a backslash comes xNN or another backslash", whole);
            }
        }
        if (length == MEMO_NAME_MAX) {
            fail("folder '%s': a name has at most %d bytes", whole, MEMO_NAME_MAX);
        }
        bytes[length++] = byte;
    }
    return length;
}

static memo_symbol_t parse_symbol(const char *text, const char *end, const char *whole)
{
    if (end - text > 2 && text[0] == '0' && text[1] == 'x') {
        char *rest;
        errno = 0;
        uint64_t symbol = strtoull(text + 2, &rest, 16);
        if (rest != end || errno != 0 || hex_digit(text[2]) < 0 || symbol == 0) {
            fail("folder '%s': after @0x comes the hexadecimal number of a symbol", whole);
        }
        return symbol;
    }
    unsigned char bytes[MEMO_NAME_MAX];
    size_t length = unescape(text, end, whole, bytes);
    if (length == 0 || memchr(bytes, '\0', length) != NULL) {
        fail("folder '%s': after @ comes the name of an array, as in @table[1][2]", whole);
    }
    char name[MEMO_NAME_MAX + 1];
    memcpy(name, bytes, length);
    name[length] = '\0';
    return memo_symbol_named(name);
}

static memo_folder_t parse_element(const char *whole)
{
    const char *symbol = whole + 1;
    const char *p = symbol + strcspn(symbol, "[");
    memo_symbol_t array = parse_symbol(symbol, p, whole);
    int64_t index[MEMO_RANK_MAX] = {0};
    size_t rank = 0;
    while (*p != '\0') {
        if (rank == MEMO_RANK_MAX) {
            fail("folder '%s': an array has at most %d indices", whole, MEMO_RANK_MAX);
        }
        char *rest;
        errno = 0;
        index[rank++] = strtoll(p + 1, &rest, 10);
        if (*p != '[' || (p[1] != '-' && !isdigit((unsigned char)p[1])) || *rest != ']' || errno != 0) {
            fail("folder '%s': an index is a whole number in brackets, as in @table[1][2]", whole);
        }
        p = rest + 1;
    }
    return memo_folder_at(array, rank, index);
}

memo_folder_t parse_folder(const char *text)
{
    if (text[0] == '@') {
        return parse_element(text);
    }
    unsigned char bytes[MEMO_NAME_MAX];
    size_t length = unescape(text, text + strlen(text), text, bytes);
    if (length == 0) {
        fail("a folder's name has at least one byte");
    }
    return memo_folder_bytes(bytes, length);
}

memo_folder_t *parse_folders(int argc, char **argv, int first)
{
    memo_folder_t *folders = allocate((size_t)(argc - first), sizeof *folders);
    for (int i = first; i < argc; i++) {
        folders[i - first] = parse_folder(argv[i]);
    }
    return folders;
}

size_t utf8_length(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char first, last, low, high; /* the range of the first byte, and of the second one after it */
        unsigned char length;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; n > 0 && i < sizeof forms / sizeof forms[0]; i++) {
        if (p[0] < forms[i].first || p[0] > forms[i].last) {
            continue;
        }
        size_t length = forms[i].length;
        bool whole = length <= n && (length < 2 || (p[1] >= forms[i].low && p[1] <= forms[i].high));
        for (size_t k = 2; whole && k < length; k++) {
            whole = p[k] >= 0x80 && p[k] <= 0xbf;
        }
        return whole ? length : 0;
    }
    return 0;
}

/* How many bytes at p may be shown as they are; 0: escape one. */
static size_t printable(const unsigned char *p, size_t n)
{
    size_t length = utf8_length(p, n);
    if (length == 1) {
        return p[0] > 0x20 && p[0] < 0x7f && p[0] != '\\';
    }
    /* Controls, blanks and what changes the direction of writing: U+0080-00A0, U+2000-206F, U+3000, U+FEFF. */
    bool hidden = (length == 2 && p[0] == 0xc2 && p[1] <= 0xa0) ||
                  (length == 3 && p[0] == 0xe2 && (p[1] == 0x80 || (p[1] == 0x81 && p[2] <= 0xaf))) ||
                  (length == 3 && memcmp(p, "\xe3\x80\x80", 3) == 0) ||
                  (length == 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0);
    return hidden ? 0 : length;
}

static void print_element(const memo_folder_t *folder, char *text)
{
    uint64_t word;
    memcpy(&word, folder->bytes, sizeof word);
    text += sprintf(text, "@0x%" PRIx64, word);
    for (size_t at = sizeof word; at + sizeof word <= folder->length; at += sizeof word) {
        int64_t index;
        memcpy(&index, folder->bytes + at, sizeof index);
        text += sprintf(text, "[%" PRId64 "]", index);
    }
}

void print_folder(const memo_folder_t *folder, char text[FOLDER_TEXT_MAX])
{
    if (folder->kind == MEMO_KIND_ELEMENT) {
        print_element(folder, text);
        return;
    }
    for (size_t i = 0; i < folder->length;) {
        const unsigned char *p = folder->bytes + i;
        size_t length = i == 0 && *p == '@' ? 0 : printable(p, folder->length - i);
        if (length > 0) {
            memcpy(text, p, length);
            text += length;
            i += length;
        } else {
            text += *p == '\\' ? sprintf(text, "\\\\") : sprintf(text, "\\x%02x", *p);
            i++;
        }
    }
    *text = '\0';
}

int64_t parse_time(const char *text)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"", 1e9},   {"s", 1e9},    {"ms", 1e6},     {"us", 1e3},
                 {"ns", 1.0}, {"m", 60.0e9}, {"h", 3600.0e9}, {"d", 86400.0e9}};
    if (strcmp(text, "forever") == 0) {
        return MEMO_FOREVER;
    }
    char *rest;
    double number = strtod(text, &rest);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(rest, units[i].unit) != 0 || rest == text || !(number >= 0) || isinf(number)) {
            continue;
        }
        double ns = ceil(number * units[i].ns);
        return ns < 9.2e18 ? (int64_t)ns : MEMO_FOREVER;
    }
    fail("'%s' is no time; write 5, 1.5s, 200ms, 10us, 2m, 1h or forever", text);
}

uint64_t parse_count(const char *text, const char *what, uint64_t least, uint64_t most)
{
    char *rest;
    errno = 0;
    uint64_t count = strtoull(text, &rest, 10);
    if (!isdigit((unsigned char)text[0]) || *rest != '\0' || errno != 0 || count < least || count > most) {
        fail("'%s' is no %s; write a whole number from %" PRIu64 " to %" PRIu64, text, what, least, most);
    }
    return count;
}
