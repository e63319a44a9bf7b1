/*
 * memo_tag.c - reads pipes without blocking and prints whole lines with the rank before them.
 */
#include "servers/memo_tag.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int tag_open(tag_stream_t *stream, int rank, FILE *to, int *writer)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return errno;
    }
    /* The reading end alone: programs do not expect their output not to block. */
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        return errno;
    }
    stream->fd = ends[0];
    stream->rank = rank;
    stream->to = to;
    stream->length = 0;
    *writer = ends[1];
    return 0;
}

static void end(tag_stream_t *stream)
{
    if (stream->fd >= 0) {
        close(stream->fd);
        stream->fd = -1;
    }
}

/* Prints the first `length` bytes of the buffer as a line, and takes them and `skip` more out of it. */
static void print_line(tag_stream_t *stream, size_t length, size_t skip)
{
    fprintf(stream->to, "[%d] ", stream->rank);
    fwrite(stream->line, 1, length, stream->to);
    putc('\n', stream->to);
    stream->length -= length + skip;
    memmove(stream->line, stream->line + length + skip, stream->length);
}

static void print_lines(tag_stream_t *stream)
{
    char *newline;
    while ((newline = memchr(stream->line, '\n', stream->length)) != NULL) {
        print_line(stream, (size_t)(newline - stream->line), 1);
    }
    if (stream->length == sizeof stream->line) {
        print_line(stream, stream->length, 0);
    }
    /* With nobody left to read, the program is to hear of it in its own writes. */
    if (fflush(stream->to) != 0 || ferror(stream->to)) {
        end(stream);
    }
}

void tag_pass(tag_stream_t *stream)
{
    while (stream->fd >= 0) {
        ssize_t n = read(stream->fd, stream->line + stream->length, sizeof stream->line - stream->length);
        if (n > 0) {
            stream->length += (size_t)n;
            print_lines(stream);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            tag_close(stream);
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

void tag_close(tag_stream_t *stream)
{
    if (stream->fd >= 0 && stream->length > 0) {
        print_line(stream, stream->length, 0);
        fflush(stream->to);
    }
    end(stream);
}
