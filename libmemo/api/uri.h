/*
 * uri.h - reading a space's URI: scheme ":" name ["?" option "=" value {"&" option "=" value}].
 *
 * In two steps, so that whoever knows the schemes can refuse one before its name and options are judged by rules
 * that may not be its own. Both return MEMO_OK, MEMO_EINVAL or MEMO_ENOTSUP, with a sentence.
 */
#ifndef URI_H
#define URI_H

#include "libmemo/backend.h"

/* Whether the scheme is one of a space over MPI: those have options of their own, and need no name. */
bool uri_is_mpi(const char *scheme);

/* Clears *uri and reads the scheme into it; *rest is what follows the colon. */
int uri_scheme(const char *text, memo_uri_t *uri, const char **rest);

/* Reads the name and the options behind it. */
int uri_rest(const char *rest, memo_uri_t *uri);

#endif
