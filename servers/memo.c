/*
 * memo.c - the memo command: folders and memos for shell scripts and for people at a terminal.
 *
 * Here: the table of subcommands, and what all of them do the same way.
 */
#include "servers/memo_command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const command_t *const commands[] = {
    &command_create, &command_put, &command_get,  &command_skip,   &command_copy, &command_alt, &command_strict,
    &command_limit,  &command_ls,  &command_stat, &command_doctor, &command_rm,   &command_run, &command_guard,
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const char *uri_given;

static void say(const char *format, va_list arguments)
{
    fflush(stdout);
    fputs("memo: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    exit(EXIT_ERROR);
}

void fail_usage(const command_t *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try 'memo %s --help'.\n", command->name);
    exit(EXIT_ERROR);
}

const char *reason(int result)
{
    const char *sentence = memo_errmsg();
    return result < 0 && sentence[0] != '\0' ? sentence : memo_strerror(result);
}

void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL) {
        fail("out of memory");
    }
    return memory;
}

void finish_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fail("standard output: %s", strerror(errno));
    }
    /* Some file systems report what went wrong only now. */
    if (close(STDOUT_FILENO) != 0) {
        fail("standard output: %s", strerror(errno));
    }
}

const char *command_uri(void)
{
    return uri_given;
}

memo_space_t *command_open(void)
{
    unsetenv("MEMO_RUN");
    memo_space_t *space;
    int result = memo_open(&space, uri_given);
    if (result == MEMO_SERVED) {
        exit(EXIT_DONE);
    }
    if (result != MEMO_OK) {
        fail("%s", reason(result));
    }
    return space;
}

static void help_command(const command_t *command)
{
    printf("Usage: memo %s %s\n%s\n\n%s", command->name, command->arguments, command->summary, command->options);
    fputs("  -s, --space URI        the space; default $MEMO_SPACE, else shm-bucket:default\n"
          "  -h, --help             this\n",
          stdout);
    finish_output();
    exit(EXIT_DONE);
}

int command_option(const command_t *command, int argc, char **argv, const char *letters,
                   const struct option *options)
{
    int option;
    while ((option = getopt_long(argc, argv, letters, options, NULL)) == 's') {
        uri_given = optarg;
    }
    if (option == 'h') {
        help_command(command);
    }
    if (option == '?') {
        fprintf(stderr, "Try 'memo %s --help'.\n", command->name);
        exit(EXIT_ERROR);
    }
    return option;
}

static void help(FILE *out)
{
    fputs("Usage: memo [-s URI] COMMAND [OPTION...] [ARGUMENT...]\n"
          "Shares memos, kept in named folders, between programs.\n\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    }
    fputs("\n"
          "  -s, --space URI  the space; default $MEMO_SPACE, else shm-bucket:default\n"
          "  -h, --help       this; 'memo COMMAND --help' for a command\n"
          "  -V, --version    the version\n"
          "\n"
          "A folder is written as its text; bytes that cannot be typed as \\xNN, a backslash as \\\\, an element\n"
          "of an array as @SYMBOL[I][J]. Exit status: 0 a memo, or done; 1 none, or timed out; 2 an error.\n",
          out);
}

/* A standard descriptor that is closed would become the next file opened, and be written to. */
static void claim_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            /* Opened the wrong way round, so that using it is the error it should be. */
            int opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
            if (opened != fd) {
                exit(EXIT_ERROR);
            }
        }
    }
}

static const command_t *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    complain("there is no command '%s'", name);
    fputs("Try 'memo --help'.\n", stderr);
    exit(EXIT_ERROR);
}

/* Options before the command. */
static void global_options(int argc, char **argv)
{
    static const struct option options[] = {
        OPTIONS_COMMON, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "+s:hV", options, NULL)) != -1) {
        switch (option) {
        case 's':
            uri_given = optarg;
            break;
        case 'h':
            help(stdout);
            finish_output();
            exit(EXIT_DONE);
        case 'V':
            printf("memo %d.%d.%d\n", MEMO_VERSION_MAJOR, MEMO_VERSION_MINOR, MEMO_VERSION_PATCH);
            finish_output();
            exit(EXIT_DONE);
        default:
            fputs("Try 'memo --help'.\n", stderr);
            exit(EXIT_ERROR);
        }
    }
}

int main(int argc, char **argv)
{
    claim_standard_descriptors();
    /* A reader that is gone is an error of write(), which puts the memo back. */
    signal(SIGPIPE, SIG_IGN);
    static char name[] = "memo";
    if (argc > 0) {
        argv[0] = name; /* getopt's messages begin with it */
    }
    global_options(argc, argv);
    if (optind >= argc) {
        help(stderr);
        return EXIT_ERROR;
    }
    const command_t *command = find_command(argv[optind]);
    argc -= optind;
    argv += optind;
    argv[0] = name;
    optind = 0; /* 0, not 1: GNU getopt then forgets the first scan altogether */
    return command->run(argc, argv);
}
