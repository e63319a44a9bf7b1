/*
 * memo_json.c - JSON that is valid whatever bytes it carries (RFC 8259).
 */
#include "servers/memo_command.h"

#include <string.h>

static void json_character(FILE *out, unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        fprintf(out, "\\%c", c);
        break;
    case '\n':
        fputs("\\n", out);
        break;
    case '\t':
        fputs("\\t", out);
        break;
    default:
        if (c < 0x20 || c == 0x7f) {
            fprintf(out, "\\u%04x", c);
        } else {
            putc(c, out);
        }
    }
}

void json_string(FILE *out, const void *text, size_t length)
{
    const unsigned char *bytes = text;
    putc('"', out);
    for (size_t i = 0; i < length; i++) {
        json_character(out, bytes[i]);
    }
    putc('"', out);
}

static bool is_utf8(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t length = utf8_length(bytes + i, size - i);
        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

/* RFC 4648, with padding. */
static void json_base64(FILE *out, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    putc('"', out);
    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        unsigned group = (unsigned)bytes[i] << 16;
        group |= n > 1 ? (unsigned)bytes[i + 1] << 8 : 0;
        group |= n > 2 ? (unsigned)bytes[i + 2] : 0;
        putc(digits[group >> 18], out);
        putc(digits[group >> 12 & 63], out);
        putc(n > 1 ? digits[group >> 6 & 63] : '=', out);
        putc(n > 2 ? digits[group & 63] : '=', out);
    }
    putc('"', out);
}

void json_bytes(FILE *out, const void *data, size_t size)
{
    fprintf(out, "\"size\":%zu,", size);
    if (is_utf8(data, size)) {
        fputs("\"text\":", out);
        json_string(out, data, size);
    } else {
        fputs("\"base64\":", out);
        json_base64(out, data, size);
    }
}
