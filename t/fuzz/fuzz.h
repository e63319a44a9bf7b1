/*
 * fuzz.h - what fuzz targets share. A target is one source with LLVMFuzzerTestOneInput, which reads its input from
 * bytes and ends the process when something is wrong. libFuzzer and AFL++ feed it (make fuzz, make fuzz-afl);
 * replay.c feeds it what t/fuzz/corpus has for it, as a test.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is seen here ends the run, and the input is kept. */
#define fuzz_must(holds)                                                                                           \
    do {                                                                                                           \
        if (!(holds)) {                                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #holds);                                  \
            abort();                                                                                               \
        }                                                                                                          \
    } while (0)

/* A copy that ends where its memory does, so that a read behind it is seen. */
static inline void *fuzz_copy(const void *data, size_t size)
{
    void *copy = malloc(size > 0 ? size : 1);
    fuzz_must(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

/* Bytes of the input, one after the other; 0 once there are no more. */
typedef struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
} fuzz_bytes_t;

static inline uint8_t fuzz_byte(fuzz_bytes_t *from)
{
    if (from->left == 0) {
        return 0;
    }
    from->left--;
    return *from->at++;
}

#endif
