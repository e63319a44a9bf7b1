/*
 * pipeline-source - the first of three unrelated programs (pipeline.h): files, or stdin, as batches of lines.
 *
 * The folder of lines is limited, so that a source that is faster than the filters waits for them, and memory stays
 * small: memo_put_for waits for room.
 */
#include "pipeline.h"

typedef struct source {
    memo_space_t *space;
    memo_symbol_t run;
    int64_t batches;
    memo_t *filling; /* the batch under way, or NULL */
    int64_t used;
} source_t;

static void begin_batch(source_t *source, size_t room)
{
    must(memo_alloc_for(source->space, sizeof(batch_t) + room, &source->filling, MEMO_FOREVER), "making a batch");
    source->used = 0;
}

static void put_batch(source_t *source)
{
    memo_folder_t lines = pipeline_lines();
    batch_t *batch = memo_data(source->filling);

    *batch = (batch_t){source->run, source->batches++, source->used};
    must(memo_put_for(source->space, &lines, source->filling, MEMO_FOREVER), "putting a batch");
    source->filling = NULL;
}

static void add_line(source_t *source, const char *line, size_t length)
{
    if (source->filling && source->used + (int64_t)length > BATCH)
        put_batch(source);
    if (!source->filling)
        begin_batch(source, length > BATCH ? length : BATCH);
    memcpy(batch_text(memo_data(source->filling)) + source->used, line, length);
    source->used += (int64_t)length;
}

static void add_file(source_t *source, const char *name)
{
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t length;

    if (file == NULL)
        quit("%s: %s", name, strerror(errno));
    while ((length = getline(&line, &room, file)) > 0) {
        if (memchr(line, '\0', (size_t)length) != NULL)
            quit("%s is not text: it has a zero byte, which is how filters mark a line", name);
        if (line[length - 1] == '\n') {
            add_line(source, line, (size_t)length);
        } else { /* a last line without its newline: getline has left room for one */
            line[length] = '\n';
            add_line(source, line, (size_t)length + 1);
        }
    }
    if (ferror(file))
        quit("%s: %s", name, strerror(errno));
    free(line);
    fclose(file);
}

int main(int argc, char *argv[])
{
    const char *uri = NULL;
    source_t source = {0};
    int option;

    while ((option = getopt(argc, argv, "s:")) != -1) {
        switch (option) {
        case 's':
            uri = optarg;
            break;
        default:
            quit("usage: pipeline-source [-s URI] [FILE...]");
        }
    }
    must(memo_open(&source.space, uri), "opening the space");
    memo_folder_t lines = pipeline_lines(), runs = pipeline_runs();
    must(memo_limit(source.space, &lines, BATCHES_WAITING, 0), "limiting the folder of lines");
    must(memo_symbol(source.space, &source.run), "making a symbol for the run");
    must(memo_write(source.space, &runs, &source.run, sizeof source.run), "opening the run");
    if (optind == argc)
        add_file(&source, "-");
    for (int i = optind; i < argc; i++)
        add_file(&source, argv[i]);
    if (source.filling)
        put_batch(&source);
    memo_folder_t end = pipeline_end(source.run);
    must(memo_write(source.space, &end, &source.batches, sizeof source.batches), "ending the run");
    must(memo_close(source.space), "closing the space");
    return EXIT_SUCCESS;
}
