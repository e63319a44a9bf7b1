/*
 * codec.c - messages as bytes: what is written is read back; the format is the one that is written down; and bytes
 * that are no message are refused without a look at what lies beside them.
 *
 * All bytes are read and written right below a page that nobody may touch, so that one too many is noticed without
 * a sanitizer, too.
 */
#include <sys/mman.h>

#include "libmemo/wire/codec.h"
#include "t/tap.h"

enum { ROUNDS = 200000, PAGE = 4096 };

static uint64_t state;
static unsigned char *fence; /* the first byte that may not be touched */
static wire_folder_t written[MEMO_FOLDERS_MAX + 1], read_back[MEMO_FOLDERS_MAX];

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint64_t below(uint64_t n)
{
    return (next_random() >> 11) % n;
}

/* Values from all magnitudes, 0 and the highest among them. */
static uint64_t any64(void)
{
    return below(8) == 0 ? UINT64_MAX : below(6) == 0 ? 0 : next_random() >> below(64);
}

static uint32_t any32(void)
{
    return (uint32_t)any64();
}

static void make_fence(void)
{
    size_t room = (CODEC_MAX + 2 * PAGE) / PAGE * PAGE;
    unsigned char *at = mmap(NULL, room + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED || mprotect(at + room, PAGE, PROT_NONE) != 0) {
        tap_bail("no memory for a fence");
    }
    fence = at + room;
}

static memo_folder_t any_folder(void)
{
    unsigned char name[MEMO_NAME_MAX];
    int64_t index[MEMO_RANK_MAX];

    if (below(3) == 0) {
        for (size_t i = 0; i < MEMO_RANK_MAX; i++) {
            index[i] = (int64_t)any64();
        }
        return memo_folder_at(any64() | 1, below(MEMO_RANK_MAX + 1), index);
    }
    for (size_t i = 0; i < sizeof name; i++) {
        name[i] = (unsigned char)next_random();
    }
    return memo_folder_bytes(name, 1 + below(MEMO_NAME_MAX));
}

static wire_message_t any_message(wire_type_t type, uint32_t count)
{
    static char memo;
    wire_message_t m = {.type = type,
                        .flags = (uint32_t)below(512),
                        .how = (wire_how_t)below(3),
                        .result = (int32_t)any32(),
                        .from = any32(),
                        .client = any32(),
                        .request = any64(),
                        .index = any32(),
                        .count = count,
                        .folders = written,
                        .number = {any64(), any64(), any64(), any64()},
                        .memo = below(2) == 0 ? NULL : (wire_memo_t *)(void *)&memo,
                        .size = any64(),
                        .redeliveries = any32()};

    for (uint32_t i = 0; i < count; i++) {
        written[i].name = any_folder();
        written[i].index = any32();
    }
    return m;
}

static bool same(const wire_message_t *a, const wire_message_t *b)
{
    bool equal = a->type == b->type && a->flags == b->flags && a->how == b->how && a->result == b->result &&
                 a->from == b->from && a->client == b->client && a->request == b->request && a->index == b->index &&
                 a->count == b->count && memcmp(a->number, b->number, sizeof a->number) == 0 &&
                 a->size == b->size && a->redeliveries == b->redeliveries;

    for (uint32_t i = 0; equal && i < a->count; i++) {
        equal = memcmp(&a->folders[i].name, &b->folders[i].name, sizeof a->folders[i].name) == 0 &&
                a->folders[i].index == b->folders[i].index;
    }
    return equal;
}

/* Right below the fence, or, so that every alignment is met, from a place somewhat lower. */
static unsigned char *written_at(const wire_message_t *m, size_t size, size_t lower)
{
    unsigned char *at = fence - size - lower;

    codec_write(m, at);
    return at;
}

static bool goes_round(wire_type_t type, uint32_t count)
{
    wire_message_t m = any_message(type, count), got = {0};
    size_t size = codec_size(&m);
    unsigned char *at = written_at(&m, size, below(9));
    memo_folder_t first = {0};

    return size <= CODEC_MAX && codec_read(at, size, &got, read_back, count) == MEMO_OK && same(&m, &got) &&
           got.memo == NULL && got.folders == read_back && codec_has_memo(at, size) == (m.memo != NULL) &&
           codec_first_folder(at, size, &first) == (count > 0) &&
           (count == 0 || memcmp(&first, &written[0].name, sizeof first) == 0);
}

static void round_trips(void)
{
    for (wire_type_t type = WIRE_NOTHING + 1; type < WIRE_TYPES; type++) {
        bool good = true;

        for (int i = 0; good && i < 1000; i++) {
            good = goes_round(type, (uint32_t)below(below(4) == 0 ? 40 : 3));
        }
        tap_ok(good, "a message of type %d comes back as it was", (int)type);
    }
    tap_ok(goes_round(WIRE_NEXT, MEMO_FOLDERS_MAX), "so does one with 65,536 folders");
}

static void many_folders(void)
{
    wire_message_t m = any_message(WIRE_CHAIN, MEMO_FOLDERS_MAX), got;

    for (uint32_t i = 0; i < m.count; i++) {
        memset(written[i].name.bytes, 'x', MEMO_NAME_MAX);
        written[i].name = memo_folder_bytes(written[i].name.bytes, MEMO_NAME_MAX);
    }
    m.number[3] = 1;
    size_t size = codec_size(&m);
    unsigned char *at = written_at(&m, size, 0);
    tap_ok(size == CODEC_MAX, "65,536 of the longest names take CODEC_MAX bytes");
    tap_ok(codec_read(at, size, &got, read_back, MEMO_FOLDERS_MAX) == MEMO_OK && same(&m, &got),
           "... and come back");
    got.count = 0;
    tap_ok(codec_read(at, size, &got, read_back, MEMO_FOLDERS_MAX - 1) == MEMO_EFULL &&
               got.count == MEMO_FOLDERS_MAX,
           "too little room is said, and how much is needed");
    at[34] = 1, at[32] = 1;
    tap_is_int(codec_read(at, size, &got, read_back, MEMO_FOLDERS_MAX), MEMO_ECORRUPT,
               "65,537 folders are refused");
    memset(at + 32, 0xff, 4);
    tap_is_int(codec_read(at, size, &got, read_back, MEMO_FOLDERS_MAX), MEMO_ECORRUPT, "... and 2^32 - 1");
}

/* ---- the bytes themselves ---------------------------------------------------------------------------------- */

static const unsigned char known_bytes[] = {
    0x01, 0x04, 0x41, 0x00, 0x02, 0x02, 0x01, 0x00, /* version, SELECT, flags, how, numbers, memo */
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* request */
    0x05, 0x00, 0x00, 0x00, 0x02, 0x01, 0x00, 0x00, /* client, from */
    0xf5, 0xff, 0xff, 0xff, 0x07, 0x00, 0x00, 0x00, /* result, index */
    0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, /* count, redeliveries */
    0x00, 0x10, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, /* size */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* number 0 */
    0x15, 0xcd, 0x5b, 0x07, 0x00, 0x00, 0x00, 0x00, /* number 1 */
    0x41, 0x57, 0x4d, 0x53, 0xab, 0x00, 0xed, 0x8a, /* hash */
    0x09, 0x00, 0x00, 0x00, 0x01, 0x04, 0x00, 0x00, /* index, kind, length */
    'j',  'o',  'b',  's',  0x00, 0x00, 0x00, 0x00, /* name */
    0x6a, 0x72, 0xa3, 0xcf, 0xa0, 0x86, 0xee, 0x85, /* hash */
    0xff, 0xff, 0xff, 0xff, 0x02, 0x10, 0x00, 0x00, /* index, kind, length */
    0x11, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, /* symbol */
    0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* index -2 */
};

static wire_message_t known_message(void)
{
    static const int64_t index[] = {-2};
    static char memo;

    written[0] = (wire_folder_t){memo_folder("jobs"), 9};
    written[1] = (wire_folder_t){memo_folder_at(UINT64_C(0x8000000000000011), 1, index), UINT32_MAX};
    return (wire_message_t){.type = WIRE_SELECT,
                            .flags = WIRE_WAIT | WIRE_TAKE_ALL,
                            .how = WIRE_HOW_STRICT,
                            .result = MEMO_ECANCELED,
                            .from = 0x102,
                            .client = 5,
                            .request = UINT64_C(0x0102030405060708),
                            .index = 7,
                            .count = 2,
                            .folders = written,
                            .number = {0, 123456789, 0, 0},
                            .memo = (wire_memo_t *)(void *)&memo,
                            .size = UINT64_C(0x100001000),
                            .redeliveries = 3};
}

static void say_first_difference(const unsigned char *got, const unsigned char *want, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (got[i] != want[i]) {
            tap_diag("byte %zu is %02x, not %02x", i, got[i], want[i]);
        }
    }
}

static void exact_bytes(void)
{
    wire_message_t m = known_message(), got;
    size_t size = codec_size(&m);

    tap_is_int((long long)size, sizeof known_bytes, "a message of two folders is as long as specified");
    unsigned char *at = written_at(&m, size, 0);
    bool equal = size == sizeof known_bytes && memcmp(at, known_bytes, size) == 0;
    tap_ok(equal, "its bytes are those of the specification");
    if (!equal && size == sizeof known_bytes) {
        say_first_difference(at, known_bytes, size);
    }
    tap_ok(codec_read(known_bytes, sizeof known_bytes, &got, read_back, 2) == MEMO_OK && same(&m, &got),
           "and are read as that message");
}

/* ---- what is refused --------------------------------------------------------------------------------------- */

/* Refused, or what is accepted would have been written just so. `must` is set where no other message can be meant.
 */
static bool sound(const unsigned char *at, size_t size, bool must)
{
    wire_message_t got;
    memo_folder_t first;
    int result = codec_read(at, size, &got, read_back, 64);
    bool has = codec_has_memo(at, size), has_first = codec_first_folder(at, size, &first);

    if (result != MEMO_OK) {
        return result == MEMO_ECORRUPT || (result == MEMO_EFULL && got.count > 64 && got.count <= MEMO_FOLDERS_MAX);
    }
    unsigned char *again = malloc(size);
    got.memo = has ? (wire_memo_t *)(void *)again : NULL;
    bool good = !must && codec_size(&got) == size && has_first == (got.count > 0);
    if (good) {
        codec_write(&got, again);
        good = memcmp(at, again, size) == 0;
    }
    free(again);
    return good;
}

static void truncations(void)
{
    bool good = true;

    for (int i = 0; good && i < 200; i++) {
        wire_message_t m = any_message((wire_type_t)(1 + below(WIRE_TYPES - 1)), (uint32_t)below(5));
        size_t size = codec_size(&m);
        unsigned char *bytes = malloc(size + 200);

        codec_write(&m, bytes);
        memset(bytes + size, 0, 200);
        for (size_t part = 0; good && part < size + 200; part++) {
            memcpy(fence - part, bytes, part);
            good = sound(fence - part, part, part != size);
        }
        free(bytes);
    }
    tap_ok(good, "a message cut short, or with something behind it, is refused");
}

/* In a folder nothing can change unnoticed but its index. */
static bool changes_a_folder(const wire_message_t *m, size_t at)
{
    size_t from = codec_size(&(wire_message_t){.number = {m->number[0], m->number[1], m->number[2], m->number[3]}});

    for (uint32_t i = 0; i < m->count; i++) {
        size_t end = from + 16 + (m->folders[i].name.length + 7u) / 8 * 8;
        if (at >= from && at < end) {
            return at < from + 8 || at >= from + 12;
        }
        from = end;
    }
    return false;
}

static void corruptions(void)
{
    bool good = true;
    uint64_t tried = 0;

    for (int i = 0; good && i < 20; i++) {
        wire_message_t m =
            i == 0 ? known_message() : any_message((wire_type_t)(1 + below(WIRE_TYPES - 1)), (uint32_t)below(4));
        size_t size = codec_size(&m);
        unsigned char *at = written_at(&m, size, 0);

        for (size_t byte = 0; good && byte < size; byte++) {
            unsigned char was = at[byte];
            bool must = changes_a_folder(&m, byte) || byte == 0 || byte == 7 || (byte >= 32 && byte < 36);
            for (unsigned value = 0; good && value < 256; value++, tried++) {
                at[byte] = (unsigned char)value;
                good = value == was ? sound(at, size, false) : sound(at, size, must);
            }
            if (!good) {
                tap_diag("message %d: byte %zu was %02x", i, byte, was);
            }
            at[byte] = was;
        }
    }
    tap_ok(good, "one byte changed: refused, or another message (%" PRIu64 " changes)", tried);
}

static void noise(void)
{
    bool good = true;

    for (int i = 0; good && i < ROUNDS; i++) {
        size_t size = below(300);
        unsigned char *at = fence - size;

        for (size_t k = 0; k < size; k++) {
            at[k] = (unsigned char)next_random();
        }
        if (size > 48) { /* so that it gets past the head, mostly */
            memset(at + 2, 0, 6);
            at[0] = 1;
            at[1] = (unsigned char)(1 + below(WIRE_TYPES));
            at[5] = (unsigned char)below(6);
            memset(at + 32, 0, 4);
            at[32] = (unsigned char)below(8);
        }
        good = sound(at, size, false);
    }
    tap_ok(good, "noise is refused, or reads as what would be written so");
}

static void known_refusals(void)
{
    static const struct {
        const char *what;
        size_t at;
        unsigned char value;
    } wrong[] = {{"another version", 0, 2},
                 {"type 0", 1, 0},
                 {"a type behind the last", 1, WIRE_TYPES},
                 {"an unknown flag", 3, (WIRE_FLAGS + 1) >> 8},
                 {"an unknown how", 4, 3},
                 {"5 numbers", 5, 5},
                 {"one number less", 5, 1},
                 {"neither memo nor none", 6, 2},
                 {"a 1 where 0 must be", 7, 1},
                 {"a wrong hash", 64, 0},
                 {"a kind that is none", 76, 3},
                 {"kind INVALID", 76, 0},
                 {"another kind", 76, 2},
                 {"a name of 0 bytes", 77, 0},
                 {"one of 113", 77, 113},
                 {"a shorter name", 77, 3},
                 {"a longer name", 77, 5},
                 {"a 1 behind the length", 78, 1},
                 {"another name", 80, 'J'},
                 {"a 1 behind the name", 84, 1},
                 {"a folder less", 32, 1},
                 {"a folder more", 32, 3}};
    wire_message_t m = known_message(), got;
    size_t size = codec_size(&m);

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        unsigned char *at = written_at(&m, size, 0);
        at[wrong[i].at] = wrong[i].value;
        tap_is_int(codec_read(at, size, &got, read_back, 64), MEMO_ECORRUPT, "%s is refused", wrong[i].what);
    }
    unsigned char *at = written_at(&m, size, 0);
    memset(at + 56, 0, 8);
    tap_is_int(codec_read(at, size, &got, read_back, 64), MEMO_ECORRUPT, "a last number of 0 is refused");
    memset(m.number, 1, sizeof m.number);
    m.count = 0;
    size = codec_size(&m) + 8;
    at = written_at(&m, size - 8, 8);
    memset(fence - 8, 1, 8);
    at[5] = 5;
    tap_is_int(codec_read(at, size, &got, read_back, 64), MEMO_ECORRUPT, "5 numbers that are there are refused");
}

/* ---- figures and records ----------------------------------------------------------------------------------- */

static void figures(void)
{
    memo_stat_t stat, got;
    uint64_t each[CODEC_STAT_BYTES / 8];
    unsigned char *at = fence - CODEC_STAT_BYTES;

    for (size_t i = 0; i < CODEC_STAT_BYTES / 8; i++) {
        each[i] = any64();
    }
    memcpy(&stat, each, sizeof stat);
    codec_write_stat(&stat, at);
    tap_ok(codec_read_stat(at, CODEC_STAT_BYTES, &got) == MEMO_OK && memcmp(&stat, &got, sizeof stat) == 0,
           "figures come back");
    stat.used = UINT64_C(0x0102030405060708);
    codec_write_stat(&stat, at);
    tap_ok(memcmp(at + 8, "\x08\x07\x06\x05\x04\x03\x02\x01", 8) == 0,
           "the second of them is `used`, lowest first");
    tap_is_int(codec_read_stat(at, CODEC_STAT_BYTES - 1, &got), MEMO_ECORRUPT,
               "figures that are too few are refused");
    tap_is_int(codec_read_stat(at - 1, CODEC_STAT_BYTES + 1, &got), MEMO_ECORRUPT, "and so are too many");
}

static bool record_goes_round(void)
{
    codec_record_t record = {any_folder(), any64(), any64(), any64()}, got;
    unsigned char bytes[CODEC_RECORD_MAX];
    size_t size = codec_write_record(&record, bytes);
    bool good = size == 34u + record.folder.length;

    for (size_t part = 0; good && part <= size; part++) {
        memcpy(fence - part, bytes, part);
        good = codec_read_record(fence - part, part, &got) == (part == size ? size : 0);
    }
    good = good && memcmp(&record, &got, sizeof got) == 0;
    for (size_t byte = 0; good && byte < 10u + record.folder.length; byte++) {
        fence[(ptrdiff_t)byte - (ptrdiff_t)size] ^= (unsigned char)(1 + below(255));
        good = codec_read_record(fence - size, size, &got) == 0;
        memcpy(fence - size, bytes, size);
    }
    return good;
}

static void records(void)
{
    bool good = true;

    for (int i = 0; good && i < 2000; i++) {
        good = record_goes_round();
    }
    tap_ok(good, "records come back; cut short or with another byte in their folder they are refused");
}

int main(void)
{
    tap_timeout(120);
    state = tap_seed() | 1;
    make_fence();
    exact_bytes();
    round_trips();
    many_folders();
    known_refusals();
    truncations();
    corruptions();
    noise();
    figures();
    records();
    return tap_done();
}
