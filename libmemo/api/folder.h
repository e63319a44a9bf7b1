/*
 * folder.h - whether a name can be one, for the calls that are in a hurry.
 */
#ifndef FOLDER_H
#define FOLDER_H

#include "libmemo/memo.h"

static inline bool folder_valid(const memo_folder_t *folder)
{
    return folder && (folder->kind == MEMO_KIND_BYTES || folder->kind == MEMO_KIND_ELEMENT) &&
           folder->length >= 1 && folder->length <= MEMO_NAME_MAX;
}

#endif
