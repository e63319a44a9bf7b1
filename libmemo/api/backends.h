/*
 * backends.h - which backend a URI asks for.
 */
#ifndef BACKENDS_H
#define BACKENDS_H

#include "libmemo/backend.h"

/* Reads the URI and finds its backend. NULL stands for the environment's MEMO_SPACE, or the default. MEMO_OK, or
 * MEMO_EINVAL or MEMO_ENOTSUP with a sentence. */
int backends_find(const char *text, memo_uri_t *uri, const memo_backend_t **backend);

#endif
