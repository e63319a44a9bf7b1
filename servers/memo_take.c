/*
 * memo_take.c - memo get, skip, copy, alt and strict: one select each, or several in a row, written to stdout.
 *
 * A memo is freed only when its bytes have been written. Until then it is held: should this process be killed, or
 * should writing fail, it goes back to its folder, marked redelivered.
 */
#include "servers/memo_command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct taking {
    memo_select_t select;
    uint64_t limit; /* how many memos; 0: as many as come */
    int terminator; /* a byte after each memo, or -1 */
    bool terminal;  /* people read it: each memo ends its line */
    bool which;     /* the folder's name in a line before each memo */
    bool json;
} taking_t;

enum { OPTION_SKIP = OPTION_LONG, OPTION_WHICH, OPTION_JSON, OPTION_OLDEST, OPTION_ALL };

static const struct option take_options[] = {
    OPTIONS_COMMON,
    {"timeout", required_argument, NULL, 't'},
    {"count", required_argument, NULL, 'n'},
    {"all", no_argument, NULL, OPTION_ALL},
    {"lines", no_argument, NULL, 'l'},
    {"null", no_argument, NULL, '0'},
    {"json", no_argument, NULL, OPTION_JSON},
    {"skip", no_argument, NULL, OPTION_SKIP},
    {"which", no_argument, NULL, OPTION_WHICH},
    {"oldest", no_argument, NULL, OPTION_OLDEST},
    {NULL, 0, NULL, 0},
};

static void write_json(const taking_t *taking, memo_t *m, size_t which)
{
    char name[FOLDER_TEXT_MAX];
    print_folder(&taking->select.folders[which], name);
    fputs("{\"folder\":", stdout);
    json_string(stdout, name, strlen(name));
    printf(",\"redeliveries\":%u,", memo_redeliveries(m));
    json_bytes(stdout, memo_data(m), memo_size(m));
    fputs("}\n", stdout);
}

static bool ends_its_line(memo_t *m)
{
    size_t size = memo_size(m);
    return size > 0 && ((const char *)memo_data(m))[size - 1] == '\n';
}

static void write_plain(const taking_t *taking, memo_t *m, size_t which)
{
    if (taking->which) {
        char name[FOLDER_TEXT_MAX];
        print_folder(&taking->select.folders[which], name);
        printf("%s\n", name);
    }
    fwrite(memo_data(m), 1, memo_size(m), stdout);
    if (taking->terminator >= 0) {
        putchar(taking->terminator);
    } else if (taking->terminal && !ends_its_line(m)) {
        putchar('\n');
    }
}

/* Writes m and lets go of it; or ends the program, with m back where it was. */
static void deliver(const taking_t *taking, memo_space_t *space, memo_t *m, size_t which)
{
    (taking->json ? write_json : write_plain)(taking, m, which);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        int error = errno;
        memo_close(space);
        fail("standard output: %s; %s", strerror(error),
             taking->select.what == MEMO_COPY ? "the folder keeps its memo" : "the memo went back to its folder");
    }
    memo_free(m);
}

/* The exit status. */
static int take(const taking_t *taking)
{
    memo_space_t *space = command_open();
    uint64_t taken = 0;
    int result = MEMO_OK;
    while (taking->limit == 0 || taken < taking->limit) {
        memo_t *m;
        size_t which = 0;
        result = memo_select(space, &taking->select, &m, &which);
        if (result != MEMO_OK) {
            break;
        }
        deliver(taking, space, m, which);
        taken++;
    }
    if (result < 0) {
        complain("%s", reason(result));
    }
    memo_close(space);
    finish_output();
    if (result < 0) {
        return EXIT_ERROR;
    }
    return taken > 0 && (taking->limit == 0 || taken == taking->limit) ? EXIT_DONE : EXIT_NONE;
}

static void take_option(const command_t *command, taking_t *taking, int option)
{
    switch (option) {
    case 't':
        taking->select.timeout_ns = parse_time(optarg);
        break;
    case 'n':
        taking->limit = parse_count(optarg, "number of memos", 1, UINT64_MAX);
        break;
    case OPTION_ALL:
        taking->limit = 0;
        break;
    case 'l':
        taking->terminator = '\n';
        break;
    case '0':
        taking->terminator = '\0';
        break;
    case OPTION_JSON:
        taking->json = true;
        break;
    case OPTION_SKIP:
        taking->select.when_empty = MEMO_SKIP;
        break;
    case OPTION_WHICH:
        taking->which = true;
        break;
    case OPTION_OLDEST:
        taking->select.choice = MEMO_OLDEST;
        break;
    default:
        fail_usage(command, "this option is not for memo %s", command->name);
    }
}

/* The long options that `wanted` names, by their values. */
static void choose_options(const int *wanted, struct option chosen[])
{
    size_t n = 0;
    for (const struct option *o = take_options; o->name != NULL; o++) {
        for (const int *w = wanted; *w != 0; w++) {
            if (o->val == *w) {
                chosen[n++] = *o;
            }
        }
    }
    chosen[n] = take_options[sizeof take_options / sizeof take_options[0] - 1];
}

/* Reads the command line for a select of that kind and does it. `wanted` lists the options it has, ending in 0. */
static int run_take(const command_t *command, int argc, char **argv, memo_what_t what, memo_when_empty_t when_empty,
                    const char *letters, const int *wanted)
{
    taking_t taking = {.select = MEMO_SELECT_INIT, .limit = 1, .terminator = -1, .terminal = isatty(STDOUT_FILENO)};
    taking.select.what = what;
    taking.select.when_empty = when_empty;
    struct option options[sizeof take_options / sizeof take_options[0]];
    choose_options(wanted, options);
    int option;
    while ((option = command_option(command, argc, argv, letters, options)) != -1) {
        take_option(command, &taking, option);
    }
    if (optind >= argc) {
        fail_usage(command, "which folder?");
    }
    bool many = command == &command_alt || command == &command_strict;
    if (!many && argc - optind > 1) {
        fail_usage(command, "memo %s has one folder; memo alt and memo strict have several", command->name);
    }
    memo_folder_t *folders = parse_folders(argc, argv, optind);
    taking.select.folders = folders;
    taking.select.count = (size_t)(argc - optind);
    int status = take(&taking);
    free(folders);
    return status;
}

#define HELP_FORM                                                                                                  \
    "  -l, --lines            ends each memo with a newline\n"                                                     \
    "  -0, --null             ends each memo with a NUL byte\n"                                                    \
    "      --json             a line of JSON for each memo: folder, redeliveries, size and\n"                      \
    "                         text, or base64 where the bytes are no UTF-8 text\n"
#define HELP_TIMEOUT                                                                                               \
    "  -t, --timeout TIME     waits no longer for each memo: 5, 1.5s, 200ms, forever (the\n"                       \
    "                         default); exit status 1 when the time is up\n"
#define HELP_COUNT                                                                                                 \
    "  -n, --count N          takes N memos; exit status 1 if there were fewer\n"                                  \
    "      --all              takes memos until there are none left, or the time is up\n"
#define HELP_WHICH                                                                                                 \
    "      --which            writes a line with the folder's name before each memo\n"                             \
    "      --oldest           of the memos there are, the one that has waited longest;\n"                          \
    "                         otherwise the first folder named goes first\n"

static int run_get(int argc, char **argv)
{
    static const int wanted[] = {'s', 'h', 't', 'n', OPTION_ALL, 'l', '0', OPTION_JSON, OPTION_SKIP, 0};
    return run_take(&command_get, argc, argv, MEMO_TAKE, MEMO_WAIT, "s:ht:n:l0", wanted);
}

const command_t command_get = {
    "get", "[OPTION...] FOLDER", "Takes a memo from a folder, waiting for one, and writes it to stdout.",
    HELP_TIMEOUT HELP_COUNT "      --skip             does not wait, as memo skip\n" HELP_FORM, run_get};

static int run_skip(int argc, char **argv)
{
    static const int wanted[] = {'s', 'h', 'n', OPTION_ALL, 'l', '0', OPTION_JSON, 0};
    return run_take(&command_skip, argc, argv, MEMO_TAKE, MEMO_SKIP, "s:hn:l0", wanted);
}

const command_t command_skip = {"skip", "[OPTION...] FOLDER",
                                "Takes a memo if there is one; exit status 1 if there is none.",
                                HELP_COUNT HELP_FORM, run_skip};

static int run_copy(int argc, char **argv)
{
    static const int wanted[] = {'s', 'h', 't', 'l', '0', OPTION_JSON, OPTION_SKIP, 0};
    return run_take(&command_copy, argc, argv, MEMO_COPY, MEMO_WAIT, "s:ht:l0", wanted);
}

const command_t command_copy = {
    "copy", "[OPTION...] FOLDER", "Writes a copy of a folder's memo, waiting for one; the folder keeps it.",
    HELP_TIMEOUT "      --skip             does not wait: exit status 1 if there is none\n" HELP_FORM, run_copy};

static int run_alt(int argc, char **argv)
{
    static const int wanted[] = {'s', 'h',         't',         'n',          OPTION_ALL,    'l',
                                 '0', OPTION_JSON, OPTION_SKIP, OPTION_WHICH, OPTION_OLDEST, 0};
    return run_take(&command_alt, argc, argv, MEMO_TAKE, MEMO_WAIT, "s:ht:n:l0", wanted);
}

const command_t command_alt = {
    "alt", "[OPTION...] FOLDER...", "Takes one memo from one of several folders, waiting for the first.",
    HELP_TIMEOUT HELP_COUNT
    "      --skip             does not wait: exit status 1 if each was empty when looked at\n" HELP_WHICH HELP_FORM,
    run_alt};

static int run_strict(int argc, char **argv)
{
    static const int wanted[] = {'s', 'h', 'n', OPTION_ALL, 'l', '0', OPTION_JSON, OPTION_WHICH, OPTION_OLDEST, 0};
    return run_take(&command_strict, argc, argv, MEMO_TAKE, MEMO_STRICT_SKIP, "s:hn:l0", wanted);
}

const command_t command_strict = {
    "strict", "[OPTION...] FOLDER...",
    "Takes one memo from one of several folders; exit status 1 if all were empty at once.",
    HELP_COUNT HELP_WHICH HELP_FORM, run_strict};
