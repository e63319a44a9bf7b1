/*
 * bench_work_alone.c - workloads of one process: what a call costs when nobody else is there.
 */
#include "bench/bench_work.h"

#include <stdlib.h>
#include <string.h>

/* How many operations the next batch has. */
static uint64_t next_batch(const struct bench_job *job, uint64_t done)
{
    uint64_t left = job->ops - done;

    return left < job->workload->batch ? left : job->workload->batch;
}

/* Every memo here has at least eight bytes. */
static uint64_t read_first(memo_t *m)
{
    uint64_t value;

    memcpy(&value, memo_data(m), sizeof value);
    return value;
}

/* A memo of the workload's size with its first bytes written. */
static memo_t *new_memo(struct bench_job *job, uint64_t value)
{
    memo_t *m;

    bench_check(job, memo_alloc(job->space, (size_t)job->workload->size, &m), "memo_alloc");
    memcpy(memo_data(m), &value, sizeof value);
    return m;
}

/* alloc, put, get, free. Whatever its size, a memo is not copied, and nobody touches more than its first bytes. */
uint64_t bench_put_get(struct bench_job *job)
{
    memo_folder_t folder = bench_folder(job, "alone", 0);

    for (uint64_t done = 0, n; done < job->ops; done += n) {
        n = next_batch(job, done);
        bench_begin(job);
        for (uint64_t i = 0; i < n; i++) {
            memo_t *m = new_memo(job, done + i);
            bench_check(job, memo_put(job->space, &folder, m), "memo_put");
            bench_check(job, memo_get(job->space, &folder, &m), "memo_get");
            job->sink += read_first(m);
            memo_free(m);
        }
        bench_end(job, n, 1);
    }
    return job->ops;
}

/* The same for a program that has its data elsewhere: copied in, and copied out. */
uint64_t bench_copying(struct bench_job *job)
{
    memo_folder_t folder = bench_folder(job, "alone", 0);
    size_t size = (size_t)job->workload->size;
    unsigned char *from = calloc(1, size), *to = malloc(size);

    if (!from || !to)
        bench_fail(job, "malloc", MEMO_ENOMEM);
    for (uint64_t done = 0, n; done < job->ops; done += n) {
        n = next_batch(job, done);
        bench_begin(job);
        for (uint64_t i = 0; i < n; i++) {
            memo_t *m;
            from[i % size]++;
            bench_check(job, memo_write(job->space, &folder, from, size), "memo_write");
            bench_check(job, memo_get(job->space, &folder, &m), "memo_get");
            memcpy(to, memo_data(m), size);
            job->sink += to[i % size];
            memo_free(m);
        }
        bench_end(job, n, 1);
    }
    free(from);
    free(to);
    return job->ops;
}

static memo_folder_t *folders_of(struct bench_job *job, size_t count)
{
    memo_folder_t *folder = malloc(count * sizeof *folder);

    if (!folder)
        bench_fail(job, "malloc", MEMO_ENOMEM);
    for (size_t i = 0; i < count; i++)
        folder[i] = bench_folder(job, "one-of", i);
    return folder;
}

/* A put into one of the folders, by chance, and an alt over all of them. */
uint64_t bench_put_alt(struct bench_job *job)
{
    unsigned count = job->workload->count;
    memo_folder_t *folder = folders_of(job, count);
    memo_t *m = new_memo(job, 1);

    for (uint64_t done = 0, n; done < job->ops; done += n) {
        n = next_batch(job, done);
        bench_begin(job);
        for (uint64_t i = 0; i < n; i++) {
            size_t into = bench_random(job) % count, which = count;
            bench_check(job, memo_put(job->space, &folder[into], m), "memo_put");
            bench_check(job, memo_alt(job->space, folder, count, &m, &which), "memo_alt");
            if (which != into)
                bench_fail(job, "memo_alt took from a folder that was empty", MEMO_ECORRUPT);
            job->sink += read_first(m);
        }
        bench_end(job, n, 1);
    }
    memo_free(m);
    free(folder);
    return job->ops;
}

uint64_t bench_strict_skip(struct bench_job *job)
{
    unsigned count = job->workload->count;
    memo_folder_t *folder = folders_of(job, count);

    for (uint64_t done = 0, n; done < job->ops; done += n) {
        n = next_batch(job, done);
        bench_begin(job);
        for (uint64_t i = 0; i < n; i++) {
            memo_t *m;
            int rc = memo_strict_alt_skip(job->space, folder, count, &m, NULL);
            if (rc != MEMO_NONE)
                bench_fail(job, "memo_strict_alt_skip of empty folders", rc == MEMO_OK ? MEMO_ECORRUPT : rc);
            job->sink += m == NULL;
        }
        bench_end(job, n, 1);
    }
    free(folder);
    return job->ops;
}

/* An array element: its name costs one hash and no formatting. */
static memo_folder_t element(memo_symbol_t symbol, uint64_t index)
{
    int64_t at = (int64_t)index;

    return memo_folder_at(symbol, 1, &at);
}

/* A memo in every folder, so that all of them exist for as long as the space. */
void bench_many_folders_fill(struct bench_job *job)
{
    memo_symbol_t symbol = memo_symbol_named(job->tag);

    for (uint64_t i = 0; i < job->workload->count; i++) {
        memo_folder_t folder = element(symbol, i);
        bench_check(job, memo_put(job->space, &folder, new_memo(job, i)), "memo_put");
    }
}

void bench_many_folders_empty(struct bench_job *job)
{
    memo_symbol_t symbol = memo_symbol_named(job->tag);

    for (uint64_t i = 0; i < job->workload->count; i++) {
        memo_folder_t folder = element(symbol, i);
        memo_t *m;
        while (memo_get_skip(job->space, &folder, &m) == MEMO_OK)
            memo_free(m);
    }
}

/* A put into one of many folders, by chance, and a get from it. The names are made outside of what is timed. */
uint64_t bench_many_folders(struct bench_job *job)
{
    memo_symbol_t symbol = memo_symbol_named(job->tag);
    memo_folder_t *folder = malloc(job->workload->batch * sizeof *folder);

    if (!folder)
        bench_fail(job, "malloc", MEMO_ENOMEM);
    for (uint64_t done = 0, n; done < job->ops; done += n) {
        n = next_batch(job, done);
        for (uint64_t i = 0; i < n; i++)
            folder[i] = element(symbol, bench_random(job) % job->workload->count);
        bench_begin(job);
        for (uint64_t i = 0; i < n; i++) {
            memo_t *m = new_memo(job, i);
            bench_check(job, memo_put(job->space, &folder[i], m), "memo_put");
            bench_check(job, memo_get(job->space, &folder[i], &m), "memo_get");
            job->sink += read_first(m);
            memo_free(m);
        }
        bench_end(job, n, 1);
    }
    free(folder);
    return job->ops;
}
