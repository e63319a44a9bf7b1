/*
 * folder.c - the names of folders: values that carry their kind, their length and their hash.
 *
 * The hash decides which bucket, and later which server, a folder belongs to, so it is one function for all. It
 * folds 16 bytes a step by a 64 by 64 to 128 bit multiplication, whose two halves together depend on every bit of
 * both factors.
 */
#include "libmemo/api/folder.h"

#include <endian.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide_t;

/* Digits of pi behind the point: 64 bits each, the last bit set. */
#define SALT_START UINT64_C(0x243f6a8885a308d3)
#define SALT_FIRST UINT64_C(0x13198a2e03707345)
#define SALT_KIND UINT64_C(0xa4093822299f31d1)
#define SALT_LAST UINT64_C(0x082efa98ec4e6c89)

static uint64_t fold(uint64_t a, uint64_t b)
{
    wide_t product = (wide_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t rotate(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

static uint64_t fold_words(uint64_t hash, uint64_t first, uint64_t second)
{
    /* The old hash is added in as well: a factor that happens to be 0 must not wipe it out. */
    return fold(first ^ SALT_FIRST ^ hash, second ^ rotate(hash, 32)) + rotate(hash, 23);
}

static uint64_t load_word(const unsigned char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

static uint64_t load_half(const unsigned char *at)
{
    uint32_t half;

    memcpy(&half, at, sizeof half);
    return half;
}

/* The last 1 to 15 bytes, read from both ends: with the length, which is hashed too, no two differ in nothing. */
static uint64_t fold_last(uint64_t hash, const unsigned char *at, size_t left)
{
    if (left >= 8) {
        return fold_words(hash, load_word(at), load_word(at + left - 8));
    }
    if (left >= 4) {
        return fold_words(hash, load_half(at), load_half(at + left - 4));
    }
    return fold_words(hash, at[0], (uint64_t)at[left / 2] << 8 | at[left - 1]);
}

uint64_t folder_hash(unsigned kind, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    uint64_t hash = fold(SALT_START ^ length, SALT_KIND ^ kind);
    size_t left = length;

    for (; left >= 16; left -= 16, at += 16) {
        hash = fold_words(hash, load_word(at), load_word(at + 8));
    }
    if (left > 0) {
        hash = fold_last(hash, at, left);
    }
    return fold(hash ^ SALT_LAST, SALT_START);
}

/* To start from: copying it is several times faster than the loop that a compiler clears a small struct with. */
static const memo_folder_t nothing;

memo_folder_t memo_folder_bytes(const void *name, size_t length)
{
    memo_folder_t folder = nothing;

    if (name && length >= 1 && length <= MEMO_NAME_MAX) {
        folder.kind = MEMO_KIND_BYTES;
        folder.length = (uint8_t)length;
        memcpy(folder.bytes, name, length);
        folder.hash = folder_hash(folder.kind, name, length);
    }
    return folder;
}

memo_folder_t memo_folder(const char *text)
{
    return memo_folder_bytes(text, text ? strnlen(text, MEMO_NAME_MAX + 1) : 0);
}

static void store_word(unsigned char *to, uint64_t word)
{
    uint64_t lowest_first = htole64(word);

    memcpy(to, &lowest_first, sizeof lowest_first);
}

/* The name is the symbol and the indices, 8 bytes each, lowest first. */
memo_folder_t memo_folder_at(memo_symbol_t symbol, size_t rank, const int64_t index[])
{
    _Static_assert(8 * (1 + MEMO_RANK_MAX) == MEMO_NAME_MAX, "the highest rank fills a name");
    memo_folder_t folder = nothing;

    if (symbol == 0 || rank > MEMO_RANK_MAX || (rank > 0 && !index)) {
        return folder;
    }
    folder.kind = MEMO_KIND_ELEMENT;
    folder.length = (uint8_t)(8 * (1 + rank));
    store_word(folder.bytes, symbol);
    for (size_t i = 0; i < rank; i++) {
        store_word(folder.bytes + 8 * (1 + i), (uint64_t)index[i]);
    }
    folder.hash = folder_hash(folder.kind, folder.bytes, folder.length);
    return folder;
}

bool memo_folder_valid(const memo_folder_t *folder)
{
    return folder_valid(folder);
}

/* The top bit is what memo_symbol() never sets. */
memo_symbol_t memo_symbol_named(const char *text)
{
    return text ? folder_hash(MEMO_KIND_INVALID, text, strlen(text)) | UINT64_C(1) << 63 : 0;
}
