/*
 * codec.h - a message as bytes, the same in a node region and between nodes; little-endian, whatever the machine.
 * The specification stands at the top of codec.c.
 *
 * Reading is safe with any bytes: nothing outside of them is touched, and what codec_write never writes is refused.
 */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include "libmemo/wire/message.h"

/* The largest an encoded message can be: 65,536 folders with the longest names. */
#define CODEC_MAX ((size_t)48 + 4 * 8 + (size_t)MEMO_FOLDERS_MAX * (16 + MEMO_NAME_MAX))

/* Bytes that the message takes, without its memo. */
size_t codec_size(const wire_message_t *message);

/* Writes it: exactly codec_size bytes. Its folders must be valid, its count at most MEMO_FOLDERS_MAX. */
void codec_write(const wire_message_t *message, void *to);

/*
 * Reads it back; memo stays NULL (who carries it knows where it is), and *message's folders are `folders`, an array
 * of `room`. MEMO_OK; MEMO_EFULL: message->count says how much room is needed, nothing else is valid;
 * MEMO_ECORRUPT: it is no message (too short or long, unknown type, a folder that cannot be one), whatever the
 * bytes are.
 */
int codec_read(const void *from, size_t size, wire_message_t *message, wire_folder_t folders[], uint32_t room);

/* Whether the message that was written had a memo: one of 0 bytes is one too. false for what is no message. */
bool codec_has_memo(const void *from, size_t size);

/* The first folder of an encoded message, quickly; false if there is none. */
bool codec_first_folder(const void *from, size_t size, memo_folder_t *folder);

/* The figures of WIRE_STAT's answer, in the order of memo_stat_t. Read: MEMO_OK, or MEMO_ECORRUPT by its size. */
#define CODEC_STAT_BYTES (21 * 8)
void codec_write_stat(const memo_stat_t *stat, void *to);
int codec_read_stat(const void *from, size_t size, memo_stat_t *stat);

/* The records of WIRE_EACH's answer, one behind the other. */
typedef struct codec_record {
    memo_folder_t folder;
    uint64_t memos, bytes, waiters;
} codec_record_t;
#define CODEC_RECORD_MAX (8 + 2 + MEMO_NAME_MAX + 3 * 8)
size_t codec_write_record(const codec_record_t *record, void *to); /* bytes written */
size_t codec_read_record(const void *from, size_t size,
                         codec_record_t *record); /* bytes read; 0: none, or damaged */

#endif
