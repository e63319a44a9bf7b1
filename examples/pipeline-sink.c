/*
 * pipeline-sink - the last of three unrelated programs (pipeline.h): prints what the filters have left of one run.
 *
 * However the filters overtake each other, the batches are taken in order: the folders they come in are an array.
 * Until the source has said how many there are, memo_alt waits for the next batch or for that.
 */
#include "pipeline.h"

#include <inttypes.h>

static void print(batch_t *batch)
{
    char *line = batch_text(batch), *end = line + batch->size;

    while (line < end) {
        char *stop = line + line_length(line);
        if (*stop == '\n')
            fwrite(line, 1, (size_t)(stop + 1 - line), stdout);
        line = stop + 1;
    }
}

/* Takes on the oldest run that no other sink has. */
static memo_symbol_t take_run(memo_space_t *space)
{
    memo_folder_t runs = pipeline_runs();
    memo_symbol_t run;
    memo_t *m;

    must(memo_get(space, &runs, &m), "waiting for a run");
    memcpy(&run, memo_data(m), sizeof run);
    memo_free(m);
    return run;
}

int main(int argc, char *argv[])
{
    const char *uri = NULL;
    memo_space_t *space;
    memo_t *m;
    size_t which;
    int option;

    while ((option = getopt(argc, argv, "s:")) != -1) {
        switch (option) {
        case 's':
            uri = optarg;
            break;
        default:
            quit("usage: pipeline-sink [-s URI]");
        }
    }
    must(memo_open(&space, uri), "opening the space");
    memo_symbol_t run = take_run(space);
    for (int64_t next = 0, batches = INT64_MAX; next < batches;) {
        memo_folder_t folders[2] = {pipeline_out(run, next), pipeline_end(run)};
        must(memo_alt(space, folders, batches == INT64_MAX ? 2 : 1, &m, &which), "waiting for a batch");
        if (which == 1) {
            memcpy(&batches, memo_data(m), sizeof batches);
        } else {
            print(memo_data(m));
            next++;
        }
        memo_free(m);
    }
    if (fflush(stdout) != 0)
        quit("writing: %s", strerror(errno));
    must(memo_close(space), "closing the space");
    return EXIT_SUCCESS;
}
