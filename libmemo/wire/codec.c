/*
 * codec.c - messages as bytes.
 *
 * All numbers are little-endian; a signed one is in two's complement. Nothing is left undefined: what is marked 0
 * is written as 0, and reading refuses anything else there.
 *
 * A message: the head, then `numbers` numbers, then `count` folders; nothing follows.
 *
 *   head        at  bytes
 *   version      0    1    1
 *   type         1    1    wire_type_t, 1 to WIRE_TYPES - 1
 *   flags        2    2    WIRE_... flags; no others
 *   how          4    1    wire_how_t
 *   numbers      5    1    how many of message.number follow, 0 to 4: the rest are 0, the last one is not
 *   memo         6    1    1: a memo travels along; else 0
 *   0            7    1
 *   request      8    8
 *   client      16    4
 *   from        20    4
 *   result      24    4    signed
 *   index       28    4
 *   count       32    4    folders, 0 to 65,536
 *   redeliv.    36    4    redeliveries of the memo
 *   size        40    8    of the memo
 *                    48
 *
 *   a number          8
 *
 *   a folder    at  bytes
 *   hash         0    8    of kind, length and name, by folder_hash
 *   index        8    4    its place in the select
 *   kind        12    1    MEMO_KIND_BYTES or MEMO_KIND_ELEMENT
 *   length      13    1    1 to 112
 *   0           14    2
 *   name        16    length, and zeros up to a multiple of 8
 *
 * The hash is carried and recomputed: so it is a checksum of the name too, and no folder comes out of here that
 * memo_folder_bytes() or memo_folder_at() would not have made. It costs less than the copying.
 *
 * A figure of a stat: 21 numbers. A record of the folders' list:
 *
 *   hash         0    8
 *   kind         8    1
 *   length       9    1
 *   name        10    length, no zeros behind it
 *   memos             8
 *   bytes             8
 *   waiters           8
 */
#include "libmemo/wire/codec.h"

#include <endian.h>
#include <string.h>

#include "libmemo/api/folder.h"

enum {
    VERSION = 1,
    AT_VERSION = 0,
    AT_TYPE = 1,
    AT_FLAGS = 2,
    AT_HOW = 4,
    AT_NUMBERS = 5,
    AT_MEMO = 6,
    AT_ZERO = 7,
    AT_REQUEST = 8,
    AT_CLIENT = 16,
    AT_FROM = 20,
    AT_RESULT = 24,
    AT_INDEX = 28,
    AT_COUNT = 32,
    AT_REDELIVERIES = 36,
    AT_SIZE = 40,
    HEAD = 48,
    NUMBERS = 4,
    /* of a folder */
    AT_PLACE = 8,
    AT_KIND = 12,
    AT_LENGTH = 13,
    AT_FOLDER_ZERO = 14,
    AT_NAME = 16,
    FOLDER_MIN = AT_NAME + 8,
    /* of a record */
    AT_RECORD_KIND = 8,
    AT_RECORD_LENGTH = 9,
    AT_RECORD_NAME = 10
};

_Static_assert(MEMO_NAME_MAX % 8 == 0, "a name padded to words fits a folder");
_Static_assert(CODEC_MAX == HEAD + 8 * NUMBERS + (size_t)MEMO_FOLDERS_MAX * (AT_NAME + MEMO_NAME_MAX),
               "the largest");
_Static_assert(WIRE_TYPES <= 256 && WIRE_FLAGS <= UINT16_MAX, "a type is a byte, flags are two");

static void store16(unsigned char *to, uint16_t value)
{
    value = htole16(value);
    memcpy(to, &value, sizeof value);
}

static void store32(unsigned char *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof value);
}

static void store64(unsigned char *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}

static uint16_t load16(const unsigned char *from)
{
    uint16_t value;

    memcpy(&value, from, sizeof value);
    return le16toh(value);
}

static uint32_t load32(const unsigned char *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static uint64_t load64(const unsigned char *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

/* ---- writing ----------------------------------------------------------------------------------------------- */

static size_t padded(size_t length)
{
    return (length + 7) & ~(size_t)7;
}

static unsigned numbers_used(const wire_message_t *message)
{
    unsigned used = NUMBERS;

    while (used > 0 && message->number[used - 1] == 0) {
        used--;
    }
    return used;
}

size_t codec_size(const wire_message_t *message)
{
    size_t size = HEAD + 8 * (size_t)numbers_used(message) + (size_t)message->count * AT_NAME;

    for (uint32_t i = 0; i < message->count; i++) {
        size += padded(message->folders[i].name.length);
    }
    return size;
}

/* A name's bytes are zero beyond its length: copied by words, they pad themselves. Answers where the next one goes.
 */
static unsigned char *write_folder(unsigned char *to, const wire_folder_t *folder)
{
    size_t length = padded(folder->name.length);

    store64(to, folder->name.hash);
    store32(to + AT_PLACE, folder->index);
    to[AT_KIND] = folder->name.kind;
    to[AT_LENGTH] = folder->name.length;
    store16(to + AT_FOLDER_ZERO, 0);
    to += AT_NAME;
    for (size_t at = 0; at < length; at += 8) {
        memcpy(to + at, folder->name.bytes + at, 8);
    }
    return to + length;
}

static void write_head(unsigned char *to, const wire_message_t *message, unsigned numbers)
{
    to[AT_VERSION] = VERSION;
    to[AT_TYPE] = (unsigned char)message->type;
    store16(to + AT_FLAGS, (uint16_t)message->flags);
    to[AT_HOW] = (unsigned char)message->how;
    to[AT_NUMBERS] = (unsigned char)numbers;
    to[AT_MEMO] = message->memo != NULL;
    to[AT_ZERO] = 0;
    store64(to + AT_REQUEST, message->request);
    store32(to + AT_CLIENT, message->client);
    store32(to + AT_FROM, message->from);
    store32(to + AT_RESULT, (uint32_t)message->result);
    store32(to + AT_INDEX, message->index);
    store32(to + AT_COUNT, message->count);
    store32(to + AT_REDELIVERIES, message->redeliveries);
    store64(to + AT_SIZE, message->size);
}

void codec_write(const wire_message_t *message, void *to)
{
    unsigned numbers = numbers_used(message);
    unsigned char *next = to;

    write_head(next, message, numbers);
    next += HEAD;
    for (unsigned i = 0; i < numbers; i++, next += 8) {
        store64(next, message->number[i]);
    }
    for (uint32_t i = 0; i < message->count; i++) {
        next = write_folder(next, &message->folders[i]);
    }
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

/* What is wrong anywhere shows in the head, in the last number, in a folder, or in the length of it all. */
static bool head_valid(const unsigned char *from, size_t size)
{
    return size >= HEAD && from[AT_VERSION] == VERSION && from[AT_TYPE] > WIRE_NOTHING &&
           from[AT_TYPE] < WIRE_TYPES && (load16(from + AT_FLAGS) & ~WIRE_FLAGS) == 0 &&
           from[AT_HOW] <= WIRE_HOW_STRICT && from[AT_NUMBERS] <= NUMBERS && from[AT_MEMO] <= 1 &&
           from[AT_ZERO] == 0;
}

static bool name_possible(unsigned kind, size_t length)
{
    return (kind == MEMO_KIND_BYTES || kind == MEMO_KIND_ELEMENT) && length >= 1 && length <= MEMO_NAME_MAX;
}

/* To start from: see api/folder.c. */
static const memo_folder_t nothing;

/* Reads the folder at `from`, of which `size` bytes are there. Answers how many it takes; 0: it is none. */
static size_t read_folder(const unsigned char *from, size_t size, memo_folder_t *folder)
{
    if (size < FOLDER_MIN) {
        return 0;
    }
    size_t length = from[AT_LENGTH], bytes = padded(length);
    if (!name_possible(from[AT_KIND], length) || load16(from + AT_FOLDER_ZERO) != 0 || size - AT_NAME < bytes) {
        return 0;
    }
    /* The bytes behind the name are the highest of its last word. */
    if ((load64(from + AT_NAME + bytes - 8) >> (8 * (length - (bytes - 8)) - 1)) >> 1 != 0) {
        return 0;
    }
    *folder = nothing;
    folder->kind = from[AT_KIND];
    folder->length = (uint8_t)length;
    for (size_t at = 0; at < bytes; at += 8) {
        memcpy(folder->bytes + at, from + AT_NAME + at, 8);
    }
    folder->hash = load64(from);
    return folder->hash == folder_hash(folder->kind, from + AT_NAME, length) ? AT_NAME + bytes : 0;
}

static void read_head(const unsigned char *from, wire_message_t *message)
{
    message->type = (wire_type_t)from[AT_TYPE];
    message->flags = load16(from + AT_FLAGS);
    message->how = (wire_how_t)from[AT_HOW];
    message->result = (int32_t)load32(from + AT_RESULT);
    message->from = load32(from + AT_FROM);
    message->client = load32(from + AT_CLIENT);
    message->request = load64(from + AT_REQUEST);
    message->index = load32(from + AT_INDEX);
    message->memo = NULL;
    message->size = load64(from + AT_SIZE);
    message->redeliveries = load32(from + AT_REDELIVERIES);
}

/* `from` has room for the numbers. false: the last of them is 0, so that it would not have been written. */
static bool read_numbers(const unsigned char *from, unsigned numbers, uint64_t number[NUMBERS])
{
    for (unsigned i = 0; i < NUMBERS; i++) {
        number[i] = i < numbers ? load64(from + 8 * i) : 0;
    }
    return numbers == 0 || number[numbers - 1] != 0;
}

int codec_read(const void *from, size_t size, wire_message_t *message, wire_folder_t folders[], uint32_t room)
{
    const unsigned char *next = from;

    if (!head_valid(next, size)) {
        return MEMO_ECORRUPT;
    }
    unsigned numbers = next[AT_NUMBERS];
    uint32_t count = load32(next + AT_COUNT);
    size -= HEAD;
    if (count > MEMO_FOLDERS_MAX || size < 8 * (size_t)numbers + (size_t)count * FOLDER_MIN) {
        return MEMO_ECORRUPT;
    }
    message->count = count;
    if (count > room) {
        return MEMO_EFULL;
    }
    read_head(next, message);
    next += HEAD;
    if (!read_numbers(next, numbers, message->number)) {
        return MEMO_ECORRUPT;
    }
    next += 8 * (size_t)numbers;
    size -= 8 * (size_t)numbers;
    message->folders = folders;
    for (uint32_t i = 0; i < count; i++) {
        size_t taken = read_folder(next, size, &folders[i].name);
        if (taken == 0) {
            return MEMO_ECORRUPT;
        }
        folders[i].index = load32(next + AT_PLACE);
        next += taken;
        size -= taken;
    }
    return size == 0 ? MEMO_OK : MEMO_ECORRUPT;
}

bool codec_has_memo(const void *from, size_t size)
{
    return head_valid(from, size) && ((const unsigned char *)from)[AT_MEMO] == 1;
}

bool codec_first_folder(const void *from, size_t size, memo_folder_t *folder)
{
    const unsigned char *head = from;

    if (!head_valid(head, size) || load32(head + AT_COUNT) == 0) {
        return false;
    }
    size_t at = HEAD + 8 * (size_t)head[AT_NUMBERS];
    return size > at && read_folder(head + at, size - at, folder) > 0;
}

/* ---- figures and records ------------------------------------------------------------------------------------ */

_Static_assert(sizeof(memo_stat_t) == CODEC_STAT_BYTES, "a stat is its 21 figures");

void codec_write_stat(const memo_stat_t *stat, void *to)
{
    uint64_t figures[CODEC_STAT_BYTES / 8];

    memcpy(figures, stat, sizeof figures);
    for (size_t i = 0; i < CODEC_STAT_BYTES / 8; i++) {
        store64((unsigned char *)to + 8 * i, figures[i]);
    }
}

int codec_read_stat(const void *from, size_t size, memo_stat_t *stat)
{
    uint64_t figures[CODEC_STAT_BYTES / 8];

    if (size != CODEC_STAT_BYTES) {
        return MEMO_ECORRUPT;
    }
    for (size_t i = 0; i < CODEC_STAT_BYTES / 8; i++) {
        figures[i] = load64((const unsigned char *)from + 8 * i);
    }
    memcpy(stat, figures, sizeof figures);
    return MEMO_OK;
}

size_t codec_write_record(const codec_record_t *record, void *to)
{
    unsigned char *at = to;
    size_t length = record->folder.length;

    store64(at, record->folder.hash);
    at[AT_RECORD_KIND] = record->folder.kind;
    at[AT_RECORD_LENGTH] = record->folder.length;
    memcpy(at + AT_RECORD_NAME, record->folder.bytes, length);
    store64(at + AT_RECORD_NAME + length, record->memos);
    store64(at + AT_RECORD_NAME + length + 8, record->bytes);
    store64(at + AT_RECORD_NAME + length + 16, record->waiters);
    return AT_RECORD_NAME + length + 24;
}

size_t codec_read_record(const void *from, size_t size, codec_record_t *record)
{
    const unsigned char *at = from;

    if (size < AT_RECORD_NAME) {
        return 0;
    }
    size_t length = at[AT_RECORD_LENGTH];
    if (!name_possible(at[AT_RECORD_KIND], length) || size < AT_RECORD_NAME + length + 24 ||
        load64(at) != folder_hash(at[AT_RECORD_KIND], at + AT_RECORD_NAME, length)) {
        return 0;
    }
    record->folder = nothing;
    record->folder.hash = load64(at);
    record->folder.kind = at[AT_RECORD_KIND];
    record->folder.length = (uint8_t)length;
    memcpy(record->folder.bytes, at + AT_RECORD_NAME, length);
    record->memos = load64(at + AT_RECORD_NAME + length);
    record->bytes = load64(at + AT_RECORD_NAME + length + 8);
    record->waiters = load64(at + AT_RECORD_NAME + length + 16);
    return AT_RECORD_NAME + length + 24;
}
