/*
 * engine.c - fuzz target: a server's engine, fed what hostile peers send it, through the codec.
 *
 * The first byte of the input says which server it is, whether it has memos, waiting puts and a chain already, and
 * whether what follows is whole messages, as bytes behind their length, or short ones of 12 bytes that name their
 * fields' likely values: they get further. After each message the engine's directory is whole and has every memo;
 * when the engine is gone, so are they.
 */
#include "t/fuzz/fuzz.h"

#include "libmemo/wire/codec.h"
#include "t/lib/engines_alone.h"
#include "t/lib/engines_whole.h"

enum { FOLDERS = 6, MESSAGES = 64, FILLED = 4, RAW = 8 };

static const uint32_t peers[] = {0, 1, 2, 3, 4, 5, 6, PEERS, UINT32_MAX};
static const uint64_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 8, 7, UINT64_MAX, UINT64_C(1) << 32, INT64_MAX};

#define ONE_OF(list, byte) list[(byte) % (sizeof(list) / sizeof(list)[0])]

/* What arrives over a wire has gone through the codec. */
static void receive(const void *bytes, size_t size, wire_message_t *m)
{
    wire_folder_t folders[FOLDERS];
    char why[200];
    if (codec_read(bytes, size, m, folders, FOLDERS) != MEMO_OK) {
        return;
    }
    if (codec_has_memo(bytes, size)) {
        m->memo = alone_memo();
        m->size = m->memo->size;
    }
    engine_receive(alone, m);
    if (!engine_is_whole(alone, why, sizeof why)) {
        fprintf(stderr, "type %d: %s\n", (int)m->type, why);
        abort();
    }
    fuzz_must(engine_memos(alone) == alone_alive);
}

static void receive_raw(fuzz_bytes_t *from)
{
    wire_message_t m;
    size_t size = fuzz_byte(from);
    if (size > from->left) {
        size = from->left;
    }
    void *bytes = fuzz_copy(from->at, size);
    receive(bytes, size, &m);
    free(bytes);
    from->at += size;
    from->left -= size;
}

static void receive_short(fuzz_bytes_t *from)
{
    wire_folder_t folders[FOLDERS];
    unsigned char bytes[48 + 32 + FOLDERS * 32];
    char memo;
    uint8_t type = fuzz_byte(from), peer = fuzz_byte(from), flags = fuzz_byte(from), more = fuzz_byte(from);
    uint8_t request = fuzz_byte(from), count = fuzz_byte(from);
    wire_message_t m = {.type = (wire_type_t)(1 + type % (WIRE_TYPES - 1)),
                        .from = ONE_OF(peers, peer & 15),
                        .client = ONE_OF(peers, (peer & 128) != 0 ? (peer >> 4) : (peer & 15)),
                        .flags = (uint32_t)((flags | (more & 1) << 8) & WIRE_FLAGS),
                        .how = (wire_how_t)((more >> 1) % 3),
                        .result = -(int32_t)(more >> 4),
                        .memo = (more & 8) != 0 ? (wire_memo_t *)(void *)&memo : NULL,
                        .request = request & 15,
                        .redeliveries = request >> 4,
                        .index = (uint32_t)count >> 4,
                        .count = (uint32_t)(count & 15) % (FOLDERS + 1),
                        .folders = folders};
    uint64_t which = (uint64_t)fuzz_byte(from) | (uint64_t)fuzz_byte(from) << 8 | (uint64_t)fuzz_byte(from) << 16;
    for (uint32_t i = 0; i < m.count; i++, which = which >> 4 | which << 20) {
        folders[i] = (wire_folder_t){.name = alone_names[(which & 3) % SERVERS][((which >> 2) & 3) % NAMES],
                                     .index = (which & 15) == 15 ? UINT32_MAX : i};
    }
    for (unsigned i = 0; i < 3; i++) {
        m.number[i] = ONE_OF(numbers, fuzz_byte(from));
    }
    codec_write(&m, bytes);
    receive(bytes, codec_size(&m), &m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes_t from = {data, size};
    uint8_t how = fuzz_byte(&from);
    alone_random = 1;
    alone_made = 0;
    alone_begin((how & FILLED) != 0 ? 1 : (uint32_t)((how & 3) % SERVERS));
    if ((how & FILLED) != 0) {
        alone_fill();
    }
    for (unsigned i = 0; i < MESSAGES && from.left > 0; i++) {
        if ((how & RAW) != 0) {
            receive_raw(&from);
        } else {
            receive_short(&from);
        }
    }
    engine_free(alone);
    fuzz_must(alone_alive == 0);
    return 0;
}
