/*
 * pipeline-filter - the second of three unrelated programs (pipeline.h): keeps the lines that match a pattern.
 *
 * It serves whoever has lines, until somebody puts a memo into "pipeline/stop", or kills it. The select waits for
 * both at once, and takes the first listed that has something: it stops when there are no lines left.
 *
 * Started together with source and sink (by mpiexec), it stops by itself too: when those have closed the space, and
 * only filters are left, all of which wait, it is quiet. Started by whoever, whenever, there is no such moment.
 */
#include "pipeline.h"

#include <regex.h>

/*
 * Marks the lines to be dropped. A line marked already, by a filter that was killed, was marked for the same
 * reason; nothing is changed but by one byte, once it is known.
 */
static void filter(batch_t *batch, const regex_t *pattern)
{
    char *line = batch_text(batch), *end = line + batch->size;

    while (line < end) {
        char *stop = line + line_length(line);
        regmatch_t where = {.rm_so = 0, .rm_eo = (regoff_t)(stop - line)};
        if (*stop == '\n' && regexec(pattern, line, 1, &where, REG_STARTEND) != 0)
            *stop = '\0';
        line = stop + 1;
    }
}

int main(int argc, char *argv[])
{
    memo_folder_t folders[2] = {pipeline_lines(), pipeline_stop()};
    const char *uri = NULL;
    memo_space_t *space;
    memo_select_t select = MEMO_SELECT_INIT;
    regex_t pattern;
    memo_t *m;
    size_t which;
    int option, result;

    while ((option = getopt(argc, argv, "s:")) != -1) {
        switch (option) {
        case 's':
            uri = optarg;
            break;
        default:
            quit("usage: pipeline-filter [-s URI] PATTERN");
        }
    }
    if (optind + 1 != argc || regcomp(&pattern, argv[optind], REG_EXTENDED) != 0)
        quit("the one argument should be an extended regular expression");
    must(memo_open(&space, uri), "opening the space");
    select.folders = folders;
    select.count = 2;
    select.when_empty = memo_ranks(space) > 1 ? MEMO_UNTIL_QUIET : MEMO_WAIT;
    while ((result = memo_select(space, &select, &m, &which)) != MEMO_QUIET) {
        must(result, "waiting for lines");
        if (which == 1)
            break;
        batch_t *batch = memo_data(m);
        filter(batch, &pattern);
        memo_folder_t out = pipeline_out(batch->run, batch->index);
        must(memo_put_for(space, &out, m, MEMO_FOREVER), "passing a batch on");
    }
    memo_free(m);
    regfree(&pattern);
    must(memo_close(space), "closing the space");
    return EXIT_SUCCESS;
}
