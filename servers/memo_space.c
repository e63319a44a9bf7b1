/*
 * memo_space.c - memo create, rm, limit, ls and stat: the space as a whole and what is in it.
 */
#include "servers/memo_command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- create, rm ------------------------------------------------------------------------------------------ */

char *uri_with_size(const char *uri, const char *size)
{
    size_t room = strlen(uri) + strlen(size) + sizeof "?size=";
    char *sized = allocate(room, 1);
    snprintf(sized, room, "%s%csize=%s", uri, strchr(uri, '?') == NULL ? '?' : '&', size);
    return sized;
}

const char *uri_or_default(const char *uri)
{
    uri = uri != NULL ? uri : getenv("MEMO_SPACE");
    return uri != NULL && uri[0] != '\0' ? uri : "shm-bucket:default";
}

const char *uri_argument(const command_t *command, int argc, char **argv)
{
    if (argc - optind > 1) {
        fail_usage(command, "memo %s has one URI", command->name);
    }
    return optind < argc ? argv[optind] : command_uri();
}

static int run_create(int argc, char **argv)
{
    static const struct option options[] = {
        OPTIONS_COMMON, {"size", required_argument, NULL, 'S'}, {NULL, 0, NULL, 0}};
    const char *size = NULL;
    int option;
    while ((option = command_option(&command_create, argc, argv, "s:hS:", options)) != -1) {
        size = optarg;
    }
    const char *uri = uri_or_default(uri_argument(&command_create, argc, argv));
    char *sized = size != NULL ? uri_with_size(uri, size) : NULL;
    unsetenv("MEMO_RUN");
    memo_space_t *space;
    int result = memo_open(&space, sized != NULL ? sized : uri);
    free(sized);
    if (result != MEMO_OK) {
        fail("%s", reason(result));
    }
    memo_close(space);
    return EXIT_DONE;
}

const command_t command_create = {
    "create", "[OPTION...] [URI]", "Creates a space, unless it is there already.",
    "  -S, --size SIZE        its size in bytes, or with K, M, G; of no effect when it is there\n", run_create};

static int run_rm(int argc, char **argv)
{
    static const struct option options[] = {OPTIONS_COMMON, {"force", no_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    bool force = false;
    int option;
    while ((option = command_option(&command_rm, argc, argv, "s:hf", options)) != -1) {
        force = true;
    }
    const char *uri = uri_argument(&command_rm, argc, argv);
    int result = memo_unlink(uri);
    if (result < 0) {
        fail("%s", reason(result));
    }
    if (result == MEMO_NONE && !force) {
        complain("there is no space %s", uri_or_default(uri));
    }
    return result == MEMO_NONE && !force ? EXIT_NONE : EXIT_DONE;
}

const command_t command_rm = {
    "rm", "[OPTION...] [URI]", "Removes a space's name; programs that have it open go on with it.",
    "  -f, --force            it is well if there is none; otherwise exit status 1\n", run_rm};

/* ---- limit ----------------------------------------------------------------------------------------------- */

static int run_limit(int argc, char **argv)
{
    static const struct option options[] = {OPTIONS_COMMON,
                                            {"memos", required_argument, NULL, 'm'},
                                            {"bytes", required_argument, NULL, 'b'},
                                            {NULL, 0, NULL, 0}};
    uint64_t memos = 0;
    uint64_t bytes = 0;
    int option;
    while ((option = command_option(&command_limit, argc, argv, "s:hm:b:", options)) != -1) {
        *(option == 'm' ? &memos : &bytes) = parse_count(optarg, "limit", 0, UINT64_MAX);
    }
    if (argc - optind != 1) {
        fail_usage(&command_limit, optind < argc ? "memo limit has one folder" : "which folder?");
    }
    memo_folder_t folder = parse_folder(argv[optind]);
    memo_space_t *space = command_open();
    int result = memo_limit(space, &folder, memos, bytes);
    if (result != MEMO_OK) {
        complain("%s", reason(result));
    }
    memo_close(space);
    return result == MEMO_OK ? EXIT_DONE : EXIT_ERROR;
}

const command_t command_limit = {"limit", "[OPTION...] FOLDER",
                                 "Limits what a folder may hold; without an option, no longer.",
                                 "  -m, --memos N          at most N memos\n"
                                 "  -b, --bytes N          at most N bytes of memos\n",
                                 run_limit};

/* ---- ls -------------------------------------------------------------------------------------------------- */

typedef struct row {
    memo_folder_t folder;
    uint64_t memos, bytes, waiters;
} row_t;

typedef struct listing {
    row_t *rows;
    size_t count, room;
    const memo_folder_t *wanted; /* only these; all if wanted_count is 0 */
    size_t wanted_count;
} listing_t;

typedef enum { LS_TABLE, LS_NAMES, LS_JSON } ls_form_t;

static bool is_wanted(const listing_t *listing, const memo_folder_t *folder)
{
    for (size_t i = 0; i < listing->wanted_count; i++) {
        if (memcmp(&listing->wanted[i], folder, sizeof *folder) == 0) {
            return true;
        }
    }
    return listing->wanted_count == 0;
}

static int add_row(const memo_folder_t *folder, uint64_t memos, uint64_t bytes, uint64_t waiters, void *arg)
{
    listing_t *listing = arg;
    if (!is_wanted(listing, folder)) {
        return 0;
    }
    if (listing->count == listing->room) {
        listing->room = listing->room * 2 + 64;
        listing->rows = realloc(listing->rows, listing->room * sizeof *listing->rows);
        if (listing->rows == NULL) {
            fail("no memory to list %zu folders", listing->room);
        }
    }
    listing->rows[listing->count++] = (row_t){*folder, memos, bytes, waiters};
    return 0;
}

/* Texts in the order of their bytes; then array elements by symbol and index. */
static int compare_rows(const void *a, const void *b)
{
    const memo_folder_t *x = &((const row_t *)a)->folder;
    const memo_folder_t *y = &((const row_t *)b)->folder;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->kind == MEMO_KIND_BYTES) {
        int order = memcmp(x->bytes, y->bytes, MEMO_NAME_MAX);
        return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
    }
    for (size_t at = 0; at < x->length && at < y->length; at += sizeof(int64_t)) {
        int64_t p, q;
        memcpy(&p, x->bytes + at, sizeof p);
        memcpy(&q, y->bytes + at, sizeof q);
        if (p != q) {
            return p < q ? -1 : 1;
        }
    }
    return (x->length > y->length) - (x->length < y->length);
}

static void print_row_json(const row_t *row, const char *name, bool last)
{
    fputs("{\"folder\":", stdout);
    json_string(stdout, name, strlen(name));
    printf(",\"memos\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"waiters\":%" PRIu64 "}%s\n", row->memos, row->bytes,
           row->waiters, last ? "" : ",");
}

static void print_listing(const listing_t *listing, ls_form_t form)
{
    if (form == LS_TABLE) {
        printf("%9s %12s %8s  %s\n", "memos", "bytes", "waiters", "folder");
    } else if (form == LS_JSON) {
        puts("[");
    }
    for (size_t i = 0; i < listing->count; i++) {
        const row_t *row = &listing->rows[i];
        char name[FOLDER_TEXT_MAX];
        print_folder(&row->folder, name);
        if (form == LS_TABLE) {
            printf("%9" PRIu64 " %12" PRIu64 " %8" PRIu64 "  %s\n", row->memos, row->bytes, row->waiters, name);
        } else if (form == LS_NAMES) {
            puts(name);
        } else {
            print_row_json(row, name, i + 1 == listing->count);
        }
    }
    if (form == LS_JSON) {
        puts("]");
    }
}

static int run_ls(int argc, char **argv)
{
    enum { JSON = OPTION_LONG };
    static const struct option options[] = {
        OPTIONS_COMMON, {"names", no_argument, NULL, 'q'}, {"json", no_argument, NULL, JSON}, {NULL, 0, NULL, 0}};
    ls_form_t form = LS_TABLE;
    int option;
    while ((option = command_option(&command_ls, argc, argv, "s:hq", options)) != -1) {
        form = option == JSON ? LS_JSON : LS_NAMES;
    }
    memo_folder_t *wanted = parse_folders(argc, argv, optind);
    listing_t listing = {.wanted = wanted, .wanted_count = (size_t)(argc - optind)};
    memo_space_t *space = command_open();
    int result = memo_each(space, add_row, &listing);
    if (result < 0) {
        fail("%s", reason(result));
    }
    memo_close(space);
    if (listing.count > 1) {
        qsort(listing.rows, listing.count, sizeof *listing.rows, compare_rows);
    }
    print_listing(&listing, form);
    finish_output();
    bool found = listing.count > 0 || listing.wanted_count == 0;
    free(listing.rows);
    free(wanted);
    return found ? EXIT_DONE : EXIT_NONE;
}

const command_t command_ls = {"ls", "[OPTION...] [FOLDER...]",
                              "Lists the folders that exist, with what they hold and who waits.",
                              "  -q, --names            only their names, one in a line, without blanks\n"
                              "      --json             an array of objects: folder, memos, bytes, waiters\n"
                              "\n"
                              "With FOLDERs only those; exit status 1 if none of them exists.\n",
                              run_ls};

/* ---- stat ------------------------------------------------------------------------------------------------ */

#define FIGURE(name)                                                                                               \
    {                                                                                                              \
#name, offsetof(memo_stat_t, name)                                                                         \
    }

static const struct {
    const char *name;
    size_t offset;
} figures[] = {
    FIGURE(capacity),     FIGURE(used),    FIGURE(folders),   FIGURE(memos),    FIGURE(bytes),
    FIGURE(waiters),      FIGURE(clients), FIGURE(receivers), FIGURE(deaths),   FIGURE(redelivered),
    FIGURE(dropped),      FIGURE(puts),    FIGURE(takes),     FIGURE(copies),   FIGURE(slot_messages),
    FIGURE(lock_waits),   FIGURE(parks),   FIGURE(wakes),     FIGURE(messages), FIGURE(strict_phases),
    FIGURE(dead_letters),
};

static int run_stat(int argc, char **argv)
{
    enum { JSON = OPTION_LONG };
    static const struct option options[] = {OPTIONS_COMMON, {"json", no_argument, NULL, JSON}, {NULL, 0, NULL, 0}};
    bool json = false;
    int option;
    while ((option = command_option(&command_stat, argc, argv, "s:h", options)) != -1) {
        json = true;
    }
    if (optind < argc) {
        fail_usage(&command_stat, "memo stat has no arguments; memo ls FOLDER shows a folder");
    }
    memo_space_t *space = command_open();
    memo_stat_t stat;
    int result = memo_stat(space, &stat, sizeof stat);
    if (result != MEMO_OK) {
        fail("%s", reason(result));
    }
    memo_close(space);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&stat + figures[i].offset, sizeof value);
        printf(json ? "%s\"%s\":%" PRIu64 : "%s%-13s %" PRIu64 "\n",
               !json    ? ""
               : i == 0 ? "{"
                        : ",",
               figures[i].name, value);
    }
    if (json) {
        puts("}");
    }
    finish_output();
    return EXIT_DONE;
}

const command_t command_stat = {"stat", "[OPTION...]", "Shows a space's figures; this command counts as a client.",
                                "      --json             as one JSON object\n", run_stat};
