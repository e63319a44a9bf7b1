/*
 * folder.h - whether a name can be one, for the calls that are in a hurry; and its hash, for who reads one from bytes.
 */
#ifndef FOLDER_H
#define FOLDER_H

#include "libmemo/memo.h"

static inline bool folder_valid(const memo_folder_t *folder)
{
    return folder && (folder->kind == MEMO_KIND_BYTES || folder->kind == MEMO_KIND_ELEMENT) &&
           folder->length >= 1 && folder->length <= MEMO_NAME_MAX;
}

/* What the hash of a name of this kind and these bytes must be. */
uint64_t folder_hash(unsigned kind, const void *bytes, size_t length);

#endif
