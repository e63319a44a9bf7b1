/*
 * memo-gzip - gzip by several processes: a job jar, an array of results, and nothing that grows with the file.
 *
 * The master reads the input in chunks, each straight into the memory of a memo, with room behind it for the chunk
 * compressed. That one memo then goes round:
 *
 *     master --put--> jar --get--> a worker --put--> results[i] --get--> master, who writes it out and reads the
 *                                                                        next chunk into it
 *
 * At any instant it is in one folder or with one process. A worker that is killed in the middle of a chunk has
 * changed nothing but the room behind it: the memo goes back to the jar by itself, and whoever takes it next does
 * the chunk again. The number of memos is the window: it bounds memory, and how far reading runs ahead of writing.
 *
 * The output is one gzip member (RFC 1952). As pigz does it, each chunk is raw deflate (RFC 1951) ended by a sync
 * flush, so that chunks can stand one after the other, and has the 32 KiB before it for a dictionary, so that
 * little is lost by cutting. The checksum is put together from those of the chunks by crc32_combine.
 *
 * Started alone it forks its workers and replaces those that are killed; under `memo run -n N` and mpiexec rank 0
 * is the master.
 */
#include "team.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

enum { DICTIONARY = 32768, WORKERS_MAX = 256, DEATHS_MAX = 1000, JOBS_EACH = 3, PATIENCE_NS = 100000000 };
enum { JAR, RESULTS }; /* the folders' purposes */

/* The head of a memo that goes round. Behind it: the dictionary, the chunk, and room for the chunk compressed. */
typedef struct job {
    int64_t index; /* of the chunk, and of the result */
    uint32_t chunk_room, room;
    uint32_t dictionary_size, chunk_size, compressed_size;
    uint32_t crc;
    uint32_t came_back; /* from the dead, how often, before the chunk was done */
    int32_t level;
    bool last, failed;
} job_t;

typedef struct options {
    const char *uri, *input; /* of the space; of the file, NULL for stdin */
    int workers, level;
    uint32_t chunk;
    bool to_stdout, force, verbose, quiet;
} options_t;

/* What the master knows. */
typedef struct run {
    options_t options;
    team_t team;
    memo_folder_t jar;
    memo_t *spare[WORKERS_MAX * JOBS_EACH]; /* memos that wait for a chunk */
    size_t spares;
    int in, out;
    pid_t workers[WORKERS_MAX];
    uint64_t deaths, redone;
    int64_t issued, written; /* chunks */
    bool all_read;
    unsigned char tail[DICTIONARY]; /* of what was read last */
    uint32_t tail_size;
    uint64_t size_in, bytes_done, bytes_out; /* size_in is 0 when it isn't known beforehand */
    uLong crc;
    double started, drawn;
    bool progress;
} run_t;

static unsigned char *job_dictionary(job_t *job)
{
    return (unsigned char *)(job + 1);
}

static unsigned char *job_chunk(job_t *job)
{
    return job_dictionary(job) + DICTIONARY;
}

static unsigned char *job_compressed(job_t *job)
{
    return job_chunk(job) + job->chunk_room;
}

/* No chunk grows beyond this: zlib's own bound for any settings, and the empty block of a sync flush. */
static uint32_t compressed_bound(uint32_t chunk)
{
    return chunk + (chunk >> 3) + (chunk >> 6) + 64;
}

static size_t job_size(uint32_t chunk)
{
    return sizeof(job_t) + DICTIONARY + chunk + compressed_bound(chunk);
}

/* ---- a worker ---------------------------------------------------------------------------------------------- */

/* Compresses a chunk within its memo. To do it again, after somebody was killed doing it, gives the same. */
static void job_do(job_t *job, z_stream *stream)
{
    job->failed = true;
    if (deflateReset(stream) != Z_OK || deflateParams(stream, job->level, Z_DEFAULT_STRATEGY) != Z_OK)
        return;
    if (job->dictionary_size > 0 && deflateSetDictionary(stream, job_dictionary(job), job->dictionary_size) != Z_OK)
        return;
    stream->next_in = job_chunk(job);
    stream->avail_in = job->chunk_size;
    stream->next_out = job_compressed(job);
    stream->avail_out = job->room;
    int result = deflate(stream, job->last ? Z_FINISH : Z_SYNC_FLUSH);
    if (result != (job->last ? Z_STREAM_END : Z_OK) || stream->avail_in > 0 || stream->avail_out == 0)
        return;
    job->compressed_size = job->room - stream->avail_out;
    job->crc = (uint32_t)crc32_z(0, job_chunk(job), job->chunk_size);
    job->failed = false;
}

/* The end is a memo too: a count of the workers that are still to see it. The last of them takes it away. */
static void pass_end(memo_t *m)
{
    uint32_t *left = memo_data(m);

    if (--*left == 0)
        memo_free(m);
    else
        must(memo_replace(m), "passing the end on");
}

static void work(const team_t *team)
{
    memo_folder_t jar = team_folder(team, JAR, 0);
    z_stream stream = {0};
    memo_t *m;

    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        quit("zlib has no memory");
    for (;;) {
        must(memo_get(team->space, &jar, &m), "waiting for a job");
        if (memo_size(m) == sizeof(uint32_t))
            break;
        job_t *job = memo_data(m);
        job->came_back = memo_redeliveries(m);
        job_do(job, &stream);
        memo_folder_t result = team_folder(team, RESULTS, job->index);
        must(memo_put_for(team->space, &result, m, MEMO_FOREVER), "putting a result");
    }
    pass_end(m);
    deflateEnd(&stream);
}

/* ---- workers, seen from the master -------------------------------------------------------------------------- */

static char unfinished[4096]; /* the output file's name, until it is whole */

static void worker_start(run_t *run, int i)
{
    pid_t master = getpid();

    fflush(NULL);
    pid_t worker = fork();
    if (worker < 0)
        quit("fork: %s", strerror(errno));
    if (worker > 0) {
        run->workers[i] = worker;
        if (run->options.verbose)
            fprintf(stderr, "memo-gzip: worker %d is process %ld\n", i, (long)worker);
        return;
    }
    unfinished[0] = '\0'; /* not ours to remove */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    unsetenv("MEMO_RUN"); /* it would make us the rank that the master is */
    if (getppid() != master)
        _exit(EXIT_FAILURE);
    must(memo_open(&run->team.space, run->team.uri), "opening the space");
    work(&run->team);
    must(memo_close(run->team.space), "closing the space");
    exit(EXIT_SUCCESS);
}

/* A killed worker's job is back in the jar before anybody can ask: all there is to do is to hire another. */
static void workers_replace(run_t *run)
{
    int status;
    pid_t gone;

    while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
        int i = 0;
        while (i < run->options.workers && run->workers[i] != gone)
            i++;
        if (i == run->options.workers)
            continue;
        if (!WIFSIGNALED(status) || ++run->deaths > DEATHS_MAX)
            quit("worker %d ended with status %d", i, status);
        if (!run->options.quiet)
            fprintf(stderr, "%smemo-gzip: worker %d was killed (%s); another takes its place\n",
                    run->progress ? "\r\033[K" : "", i, strsignal(WTERMSIG(status)));
        worker_start(run, i);
    }
}

/* Tells the workers that there are no more jobs, and sees them off. */
static void workers_end(run_t *run)
{
    uint32_t workers = (uint32_t)run->options.workers;
    memo_t *m;

    must(memo_write(run->team.space, &run->jar, &workers, sizeof workers), "putting the end");
    if (!run->team.forked)
        return;
    while (wait(NULL) > 0)
        continue;
    if (memo_get_skip(run->team.space, &run->jar, &m) == MEMO_OK)
        memo_free(m); /* somebody was killed before he could take it away */
}

/* ---- the master: bytes in and out --------------------------------------------------------------------------- */

static void write_all(run_t *run, const void *data, size_t size)
{
    const unsigned char *next = data;

    run->bytes_out += size;
    while (size > 0) {
        ssize_t wrote = write(run->out, next, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            quit("writing: %s", strerror(errno));
        next += wrote;
        size -= (size_t)wrote;
    }
}

/* Fills a buffer; less than its size only at the end of the input. */
static uint32_t read_all(run_t *run, unsigned char *data, uint32_t size)
{
    uint32_t got = 0;

    while (got < size) {
        ssize_t more = read(run->in, data + got, size - got);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            quit("reading %s: %s", run->options.input ? run->options.input : "stdin", strerror(errno));
        if (more == 0)
            break;
        got += (uint32_t)more;
    }
    return got;
}

static void little_endian(unsigned char bytes[4], uint64_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
}

/* RFC 1952, 2.3: the header with the file's name and time, if it has any. */
static void write_header(run_t *run, const struct stat *file)
{
    unsigned char header[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    const char *slash = run->options.input ? strrchr(run->options.input, '/') : NULL;

    if (run->options.input) {
        header[3] = 8; /* a name follows */
        little_endian(header + 4, (uint64_t)file->st_mtime);
    }
    header[8] = run->options.level == 9 ? 2 : run->options.level == 1 ? 4 : 0;
    write_all(run, header, sizeof header);
    if (run->options.input) {
        const char *name = slash ? slash + 1 : run->options.input;
        write_all(run, name, strlen(name) + 1);
    }
}

static void write_trailer(run_t *run)
{
    unsigned char trailer[8];

    little_endian(trailer, run->crc);
    little_endian(trailer + 4, run->bytes_done); /* modulo 2^32, says the RFC */
    write_all(run, trailer, sizeof trailer);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void draw_progress(run_t *run)
{
    enum { WIDTH = 40 };
    double t = now(), rate = (double)run->bytes_done / (t - run->started + 1e-9) / 1e6;
    char bar[WIDTH + 1];

    if (!run->progress || t - run->drawn < 0.1)
        return;
    run->drawn = t;
    if (run->size_in == 0) {
        fprintf(stderr, "\r\033[K%.1f MB  %.1f MB/s", (double)run->bytes_done / 1e6, rate);
        return;
    }
    double share = (double)run->bytes_done / (double)run->size_in;
    share = share > 1 ? 1 : share; /* a file that grows */
    memset(bar, ' ', WIDTH);
    memset(bar, '=', (size_t)(share * WIDTH));
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r\033[K[%s] %3.0f%%  %.1f MB/s  %d workers", bar, 100 * share, rate, run->options.workers);
}

/* ---- the master: memos round and round ---------------------------------------------------------------------- */

/* Makes the memos of the window: as many as it takes to keep the workers busy, or as there is room for. */
static void make_window(run_t *run)
{
    size_t wanted = (size_t)run->options.workers * JOBS_EACH;

    while (run->spares < wanted) {
        memo_t *m;
        int result = memo_alloc(run->team.space, job_size(run->options.chunk), &m);
        if (result == MEMO_EFULL && run->spares > 1) {
            memo_free(run->spare[--run->spares]); /* folders want some room too */
            return;
        }
        must(result, "making a memo for a chunk");
        run->spare[run->spares++] = m;
    }
}

/* Reads the next chunk into a memo and puts that into the jar. */
static void issue_job(run_t *run, memo_t *m)
{
    job_t *job = memo_data(m);
    uint32_t room = run->options.chunk;

    *job = (job_t){.index = run->issued++,
                   .chunk_room = room,
                   .room = compressed_bound(room),
                   .dictionary_size = run->tail_size,
                   .level = run->options.level};
    memcpy(job_dictionary(job), run->tail, run->tail_size);
    job->chunk_size = read_all(run, job_chunk(job), room);
    job->last = run->all_read = job->chunk_size < room;
    if (!job->last) { /* a full chunk is no smaller than a dictionary */
        memcpy(run->tail, job_chunk(job) + room - DICTIONARY, DICTIONARY);
        run->tail_size = DICTIONARY;
    }
    must(memo_put(run->team.space, &run->jar, m), "putting a job");
}

/* Writes the next result, if it comes soon; its memo is then free for another chunk. */
static void write_result(run_t *run)
{
    memo_folder_t result = team_folder(&run->team, RESULTS, run->written);
    memo_t *m;

    int outcome = memo_get_for(run->team.space, &result, &m, PATIENCE_NS);
    if (outcome == MEMO_TIMEDOUT)
        return;
    must(outcome, "waiting for a result");
    job_t *job = memo_data(m);
    if (job->failed)
        quit("zlib failed on chunk %" PRId64, job->index);
    write_all(run, job_compressed(job), job->compressed_size);
    run->crc = crc32_combine(run->crc, job->crc, job->chunk_size);
    run->bytes_done += job->chunk_size;
    run->redone += job->came_back;
    run->written++;
    run->spare[run->spares++] = m;
}

static void compress_all(run_t *run)
{
    while (!run->all_read || run->written < run->issued) {
        while (run->spares > 0 && !run->all_read)
            issue_job(run, run->spare[--run->spares]);
        write_result(run);
        if (run->team.forked)
            workers_replace(run);
        draw_progress(run);
    }
    while (run->spares > 0)
        memo_free(run->spare[--run->spares]);
    if (run->progress)
        fputs("\r\033[K", stderr);
}

/* ---- the program -------------------------------------------------------------------------------------------- */

static void remove_unfinished(void)
{
    if (unfinished[0] != '\0')
        unlink(unfinished);
}

static void interrupted(int signal_number)
{
    remove_unfinished();
    _exit(128 + signal_number);
}

static void open_files(run_t *run, struct stat *file)
{
    const options_t *o = &run->options;
    char name[sizeof unfinished];

    run->in = o->input ? open(o->input, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (run->in < 0 || fstat(run->in, file) != 0)
        quit("%s: %s", o->input, strerror(errno));
    if (S_ISDIR(file->st_mode))
        quit("%s is a directory", o->input);
    run->size_in = S_ISREG(file->st_mode) ? (uint64_t)file->st_size : 0;
    if (o->to_stdout || !o->input) {
        run->out = STDOUT_FILENO;
        if (isatty(run->out) && !o->force)
            quit("a terminal does not want compressed data; -f gives it to it");
        return;
    }
    if ((size_t)snprintf(name, sizeof name, "%s.gz", o->input) >= sizeof name)
        quit("the name %s is too long", o->input);
    run->out = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | (o->force ? O_TRUNC : O_EXCL), file->st_mode & 0777);
    if (run->out < 0)
        quit("%s: %s%s", name, strerror(errno), errno == EEXIST ? "; -f overwrites it" : "");
    memcpy(unfinished, name, sizeof unfinished);
    atexit(remove_unfinished);
    signal(SIGINT, interrupted);
    signal(SIGTERM, interrupted);
}

static void report(const run_t *run)
{
    double seconds = now() - run->started;

    fprintf(stderr,
            "memo-gzip: %" PRIu64 " bytes to %" PRIu64 " in %.2f s, %.1f MB/s, %d workers, %" PRId64 " chunks; "
            "%" PRIu64 " workers killed, %" PRIu64 " chunks redelivered\n",
            run->bytes_done, run->bytes_out, seconds, (double)run->bytes_done / seconds / 1e6, run->options.workers,
            run->written, run->deaths, run->redone);
}

static void master(run_t *run)
{
    struct stat file;

    run->started = now();
    run->crc = crc32(0, NULL, 0);
    run->progress = isatty(STDERR_FILENO) && !run->options.quiet && !run->options.verbose;
    open_files(run, &file);
    if (!run->team.forked)
        run->options.workers = run->team.ranks - 1;
    for (int i = 0; run->team.forked && i < run->options.workers; i++)
        worker_start(run, i);
    make_window(run);
    write_header(run, &file);
    compress_all(run);
    write_trailer(run);
    if (close(run->out) != 0)
        quit("writing: %s", strerror(errno));
    unfinished[0] = '\0';
    workers_end(run);
    if (run->options.verbose)
        report(run);
}

static void read_options(int argc, char *argv[], options_t *o)
{
    int option;

    while ((option = getopt(argc, argv, "s:p:b:123456789ckfvqh")) != -1) {
        switch (option) {
        case 's':
            o->uri = optarg;
            break;
        case 'p':
            o->workers = (int)number(optarg, 1, WORKERS_MAX);
            break;
        case 'b':
            o->chunk = 1024 * (uint32_t)number(optarg, DICTIONARY / 1024, 65536);
            break;
        case 'c':
            o->to_stdout = true;
            break;
        case 'k':
            break; /* the input file is always kept */
        case 'f':
            o->force = true;
            break;
        case 'v':
            o->verbose = true;
            break;
        case 'q':
            o->quiet = true;
            break;
        default:
            if (option >= '1' && option <= '9') {
                o->level = option - '0';
                break;
            }
            quit("usage: memo-gzip [-1 ... -9] [-p WORKERS] [-b CHUNK_KIB] [-s URI] [-cfvq] [FILE]\n"
                 "compresses FILE to FILE.gz (-c: to stdout), or stdin to stdout; -f overwrites");
        }
    }
    if (optind + 1 < argc)
        quit("one file at a time");
    if (optind < argc && strcmp(argv[optind], "-") != 0)
        o->input = argv[optind];
}

/* Nobody else need see this space: without a word from the user it is our own, and gone when we are. */
static const char *private_space(const options_t *o)
{
    static char uri[64];
    size_t window = (size_t)o->workers * JOBS_EACH * job_size(o->chunk);

    if (o->uri != NULL || getenv("MEMO_SPACE") != NULL)
        return o->uri;
    snprintf(uri, sizeof uri, "shm-bucket:?anonymous=1&size=%zuM", (2 * window >> 20) + 16);
    return uri;
}

int main(int argc, char *argv[])
{
    static run_t run = {.options = {.level = 6, .chunk = 128 * 1024}};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    run.options.workers = cpus < 1 ? 1 : cpus > WORKERS_MAX ? WORKERS_MAX : (int)cpus;
    read_options(argc, argv, &run.options);
    team_open(&run.team, private_space(&run.options));
    if (!run.team.forked && (run.team.ranks < 2 || run.team.ranks > WORKERS_MAX))
        quit("a master and its workers are 2 to %d clients, not %d", WORKERS_MAX, run.team.ranks);
    run.jar = team_folder(&run.team, JAR, 0);
    if (run.team.rank == 0)
        master(&run);
    else
        work(&run.team);
    must(memo_close(run.team.space), "closing the space");
    return EXIT_SUCCESS;
}
