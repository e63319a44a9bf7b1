/*
 * memo_command.h - what the parts of the memo command share.
 *
 * A subcommand is a command_t. It is a program on memo.h like any other: it opens a space, does one thing and
 * exits. Only memo.c's table knows all of them; they know nothing of each other.
 */
#ifndef MEMO_COMMAND_H
#define MEMO_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "libmemo/memo.h"

/* Exit statuses: a memo, or done; none, or timed out; an error. */
enum { EXIT_DONE = 0, EXIT_NONE = 1, EXIT_ERROR = 2 };

typedef struct command {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *summary;   /* a line in the list of commands */
    const char *options;   /* for --help, after the summary */
    int (*run)(int argc, char **argv);
} command_t;

extern const command_t command_create, command_put, command_get, command_skip, command_copy, command_alt,
    command_strict, command_limit, command_ls, command_stat, command_rm, command_run, command_guard, command_doctor;

/* ---- memo.c: what every subcommand does the same way ---- */

/* Values of long options that have no letter begin here. */
enum { OPTION_LONG = 256 };

/* What stands in every table of long options. */
#define OPTIONS_COMMON                                                                                             \
    {"space", required_argument, NULL, 's'},                                                                       \
    {                                                                                                              \
        "help", no_argument, NULL, 'h'                                                                             \
    }

/* The next option of `command`, or -1. Handles --space, --help and mistakes itself; these last do not return. */
int command_option(const command_t *command, int argc, char **argv, const char *letters,
                   const struct option *options);

/* The space's URI, or NULL for the library's own choice. */
const char *command_uri(void);

/* Opens it as a client without a rank: a script's many short-lived clients are not its rank. */
memo_space_t *command_open(void);

/* Prints "memo: ..." and a newline to stderr. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, and exits with EXIT_ERROR. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For a wrong command line: adds where to find help. */
_Noreturn void fail_usage(const command_t *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Why the library's last call returned `result`. */
const char *reason(int result);

void *allocate(size_t count, size_t size);

/* What was printed has arrived: call before saying that all is well. Exits with EXIT_ERROR if not. */
void finish_output(void);

/* ---- memo_words.c: command line words ---- */

/* A folder from its written form, and back; see the head of memo_words.c. */
memo_folder_t parse_folder(const char *text);
enum { FOLDER_TEXT_MAX = 4 * MEMO_NAME_MAX + 32 * MEMO_RANK_MAX };
void print_folder(const memo_folder_t *folder, char text[FOLDER_TEXT_MAX]);

/* All the folders of argv[first..argc-1]. */
memo_folder_t *parse_folders(int argc, char **argv, int first);

/* 1.5s, 200ms, 10us, 2m, 1h, 5 (seconds) or forever, in nanoseconds. */
int64_t parse_time(const char *text);

/* A whole number from `least` to `most`; `what` is for the message. */
uint64_t parse_count(const char *text, const char *what, uint64_t least, uint64_t most);

/* How many bytes the UTF-8 character at p has, of at most n; 0 if there is no well-formed one. */
size_t utf8_length(const unsigned char *p, size_t n);

/* ---- memo_space.c ---- */

/* The URI that is the command's only argument, or that of --space, or NULL. */
const char *uri_argument(const command_t *command, int argc, char **argv);

/* The URI with that size as one more option, which the library checks; the caller frees it. */
char *uri_with_size(const char *uri, const char *size);

/* What the library takes a null URI for. */
const char *uri_or_default(const char *uri);

/* ---- memo_json.c ---- */

/* A JSON string of text that is valid UTF-8, with its quotes. */
void json_string(FILE *out, const void *text, size_t length);

/* The members of a memo's bytes: "size" and "text", or "base64" where they are no valid UTF-8. */
void json_bytes(FILE *out, const void *data, size_t size);

#endif
