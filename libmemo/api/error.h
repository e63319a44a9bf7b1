/*
 * error.h - the calling thread's last error, in a sentence (memo_errmsg).
 */
#ifndef MEMO_ERROR_H
#define MEMO_ERROR_H

#include <stdarg.h>

/* Formats the sentence and returns `code`, so that a failing call can end with `return memo_error(...)`. */
int memo_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

int memo_verror(int code, const char *format, va_list args);

#endif
