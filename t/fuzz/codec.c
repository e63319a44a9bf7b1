/*
 * codec.c - fuzz target: bytes that may be a message, a stat's figures or records of a folders' list.
 *
 * What is read as a message is written back as the very same bytes, and reads the same again. The first byte of the
 * input: its lowest bit has the folders' hashes mended, which no chance would hit; the others, room for folders.
 */
#include "t/fuzz/fuzz.h"

#include "libmemo/api/folder.h"
#include "libmemo/wire/codec.h"

enum { HEAD = 48, AT_NUMBERS = 5, AT_COUNT = 32, AT_KIND = 12, AT_LENGTH = 13, AT_NAME = 16 };

static void mend_hashes(unsigned char *bytes, size_t size)
{
    size_t at = HEAD;
    if (size < HEAD) {
        return;
    }
    at += 8 * (size_t)bytes[AT_NUMBERS];
    for (unsigned i = 0; i < bytes[AT_COUNT] && at + AT_NAME < size; i++) {
        size_t length = bytes[at + AT_LENGTH];
        if (length > size - at - AT_NAME) {
            return;
        }
        uint64_t hash = folder_hash(bytes[at + AT_KIND], bytes + at + AT_NAME, length);
        for (unsigned k = 0; k < 8; k++) {
            bytes[at + k] = (unsigned char)(hash >> (8 * k));
        }
        at += AT_NAME + (length + 7) / 8 * 8;
    }
}

static void check_same(const wire_message_t *a, const wire_message_t *b)
{
    fuzz_must(a->type == b->type && a->flags == b->flags && a->how == b->how && a->result == b->result);
    fuzz_must(a->from == b->from && a->client == b->client && a->request == b->request && a->index == b->index);
    fuzz_must(a->count == b->count && a->size == b->size && a->redeliveries == b->redeliveries);
    fuzz_must(memcmp(a->number, b->number, sizeof a->number) == 0);
    for (uint32_t i = 0; i < a->count; i++) {
        fuzz_must(memcmp(&a->folders[i].name, &b->folders[i].name, sizeof a->folders[i].name) == 0);
        fuzz_must(a->folders[i].index == b->folders[i].index);
    }
}

static void check_written_back(const unsigned char *bytes, size_t size, wire_message_t *m)
{
    wire_folder_t *folders = malloc((m->count + 1) * sizeof *folders);
    unsigned char *written = malloc(size);
    wire_message_t again;
    char memo;
    m->memo = codec_has_memo(bytes, size) ? (wire_memo_t *)(void *)&memo : NULL;
    fuzz_must(folders != NULL && written != NULL && codec_size(m) == size);
    codec_write(m, written);
    fuzz_must(memcmp(written, bytes, size) == 0);
    fuzz_must(codec_read(written, size, &again, folders, m->count) == MEMO_OK);
    check_same(m, &again);
    free(folders);
    free(written);
}

static void check_message(const unsigned char *bytes, size_t size, uint32_t room)
{
    wire_folder_t *folders = malloc(room * sizeof *folders + 1);
    memo_folder_t first;
    wire_message_t m;
    fuzz_must(folders != NULL);
    int result = codec_read(bytes, size, &m, folders, room);
    bool has_first = codec_first_folder(bytes, size, &first);
    fuzz_must(result == MEMO_OK || result == MEMO_ECORRUPT || (result == MEMO_EFULL && m.count > room));
    if (result == MEMO_OK) {
        fuzz_must(m.count <= room && has_first == (m.count > 0));
        for (uint32_t i = 0; i < m.count; i++) {
            fuzz_must(memo_folder_valid(&folders[i].name));
        }
        fuzz_must(!has_first || memcmp(&first, &folders[0].name, sizeof first) == 0);
        check_written_back(bytes, size, &m);
    }
    free(folders);
}

static void check_records(const unsigned char *bytes, size_t size)
{
    codec_record_t record;
    unsigned char written[CODEC_RECORD_MAX];
    size_t taken;
    while ((taken = codec_read_record(bytes, size, &record)) > 0) {
        fuzz_must(taken <= size && memo_folder_valid(&record.folder));
        fuzz_must(codec_write_record(&record, written) == taken && memcmp(written, bytes, taken) == 0);
        bytes += taken;
        size -= taken;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memo_stat_t stat;
    if (size < 1) {
        return 0;
    }
    unsigned char *bytes = fuzz_copy(data + 1, size - 1);
    if (data[0] & 1) {
        mend_hashes(bytes, size - 1);
    }
    check_message(bytes, size - 1, data[0] >> 1);
    check_records(bytes, size - 1);
    fuzz_must((codec_read_stat(bytes, size - 1, &stat) == MEMO_OK) == (size - 1 == CODEC_STAT_BYTES));
    free(bytes);
    return 0;
}
