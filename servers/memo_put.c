/*
 * memo_put.c - memo put: memos from arguments, from standard input or from a file.
 */
#include "servers/memo_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct putting {
    memo_space_t *space;
    memo_folder_t folder;
    memo_folder_t trigger; /* valid for a delayed put */
    int64_t timeout_ns;
    uint64_t done; /* memos put so far */
} putting_t;

enum { OPTION_DELAYED = OPTION_LONG };

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What is left of the time for one put that began at `start`. */
static int64_t time_left(const putting_t *putting, int64_t start)
{
    if (putting->timeout_ns == MEMO_FOREVER) {
        return MEMO_FOREVER;
    }
    int64_t left = putting->timeout_ns - (now_ns() - start);
    return left > 0 ? left : 0;
}

static int try_put(const putting_t *putting, const void *data, size_t size)
{
    int64_t start = now_ns();
    memo_t *m;
    int result = memo_alloc_for(putting->space, size, &m, putting->timeout_ns);
    if (result != MEMO_OK) {
        return result;
    }
    if (size > 0) {
        memcpy(memo_data(m), data, size);
    }
    if (memo_folder_valid(&putting->trigger)) {
        result = memo_put_delayed(putting->space, &putting->trigger, &putting->folder, m);
    } else {
        result = memo_put_for(putting->space, &putting->folder, m, time_left(putting, start));
    }
    if (result != MEMO_OK) {
        memo_free(m);
    }
    return result;
}

/* Puts one memo, or ends the program and says how far it came. */
static void put(putting_t *putting, const void *data, size_t size)
{
    int result = try_put(putting, data, size);
    if (result == MEMO_OK) {
        putting->done++;
        return;
    }
    if (result < 0) {
        complain("%s", reason(result));
    }
    if (putting->done > 0) {
        complain("%" PRIu64 " memos were put before", putting->done);
    }
    memo_close(putting->space);
    exit(result < 0 ? EXIT_ERROR : EXIT_NONE);
}

static void put_whole(putting_t *putting, FILE *in, const char *name)
{
    size_t size = 0;
    size_t room = 65536;
    char *data = allocate(room, 1);
    size_t n;
    while ((n = fread(data + size, 1, room - size, in)) > 0) {
        size += n;
        if (size == room) {
            room *= 2;
            data = realloc(data, room);
            if (data == NULL) {
                fail("%s: no memory for %zu bytes", name, room);
            }
        }
    }
    if (ferror(in)) {
        fail("%s: %s", name, strerror(errno));
    }
    put(putting, data, size);
    free(data);
}

/* A memo for each piece, without its delimiter; the last one may lack it. */
static void put_pieces(putting_t *putting, FILE *in, const char *name, int delimiter)
{
    char *piece = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getdelim(&piece, &room, delimiter, in)) >= 0) {
        size_t size = (size_t)length;
        if (size > 0 && piece[size - 1] == (char)delimiter) {
            size--;
        }
        put(putting, piece, size);
    }
    if (ferror(in)) {
        fail("%s: %s", name, strerror(errno));
    }
    free(piece);
}

static void put_file(putting_t *putting, const char *file, int delimiter)
{
    bool is_stdin = file == NULL || strcmp(file, "-") == 0;
    const char *name = is_stdin ? "standard input" : file;
    FILE *in = is_stdin ? stdin : fopen(file, "rbe");
    if (in == NULL) {
        fail("%s: %s", name, strerror(errno));
    }
    if (delimiter >= 0) {
        put_pieces(putting, in, name, delimiter);
    } else {
        put_whole(putting, in, name);
    }
    if (!is_stdin) {
        fclose(in);
    }
}

static int run_put(int argc, char **argv)
{
    static const struct option options[] = {
        OPTIONS_COMMON,
        {"timeout", required_argument, NULL, 't'},
        {"file", required_argument, NULL, 'f'},
        {"lines", no_argument, NULL, 'l'},
        {"null", no_argument, NULL, '0'},
        {"delayed", required_argument, NULL, OPTION_DELAYED},
        {NULL, 0, NULL, 0},
    };
    putting_t putting = {0};
    const char *file = NULL;
    int delimiter = -1;
    int option;
    while ((option = command_option(&command_put, argc, argv, "s:ht:f:l0", options)) != -1) {
        switch (option) {
        case 't':
            putting.timeout_ns = parse_time(optarg);
            break;
        case 'f':
            file = optarg;
            break;
        case OPTION_DELAYED:
            putting.trigger = parse_folder(optarg);
            break;
        default:
            delimiter = option == 'l' ? '\n' : '\0';
        }
    }
    if (optind >= argc) {
        fail_usage(&command_put, "into which folder?");
    }
    putting.folder = parse_folder(argv[optind++]);
    if (optind < argc && (file != NULL || delimiter >= 0)) {
        fail_usage(&command_put, "memos come from arguments or from a file, not from both");
    }
    putting.space = command_open();
    if (optind == argc) {
        put_file(&putting, file, delimiter);
    }
    for (; optind < argc; optind++) {
        put(&putting, argv[optind], strlen(argv[optind]));
    }
    memo_close(putting.space);
    return EXIT_DONE;
}

const command_t command_put = {
    "put", "[OPTION...] FOLDER [TEXT...]",
    "Puts a memo into a folder for each TEXT; without one, all of standard input as one memo.",
    "  -f, --file FILE        the bytes of FILE instead of standard input\n"
    "  -l, --lines            a memo for each line\n"
    "  -0, --null             a memo for each piece that ends with a NUL byte\n"
    "  -t, --timeout TIME     waits so long for room for each memo: 5, 1.5s, 200ms, forever;\n"
    "                         exit status 1 when the time is up. Without it a full space or\n"
    "                         folder is an error\n"
    "      --delayed TRIGGER  the memo goes into FOLDER when the folder TRIGGER next holds one\n",
    run_put};
