/*
 * region.c - fuzz target: attaching to a region whose bytes have changed.
 *
 * The input: how the region came to be (its first byte: scheme; folders, limits, puts that wait, large memos; or
 * empty), then changes of five bytes: two say where (which area, by the first two bits; else anywhere), one adds to
 * that, one is how many bits or which value, one how. Whoever opens it alone is told that it is damaged, or can use
 * it: everything in it is looked at, taken out and put in, and it is closed.
 */
#include "t/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmemo/memo.h"

enum { SCENES = 4, CHANGES = 40, FOLDERS = 20, TAKES = 200 };

#define SIZE "512K"

static uint8_t *images[SCENES];
static size_t bytes[SCENES];
static char uri[100], path[100];

static void must_be(int result)
{
    if (result != MEMO_OK) {
        fprintf(stderr, "%d: %s\n", result, memo_errmsg());
        abort();
    }
}

static void fill(memo_space_t *space)
{
    char name[16];
    static const char large[9000];
    memo_folder_t f, g = memo_folder("target");
    memo_t *m;
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(name, sizeof name, "folder %d", i);
        f = memo_folder(name);
        for (int k = 0; k <= i % 3; k++) {
            must_be(memo_write(space, &f, large, (size_t)(i * 20)));
        }
    }
    f = memo_folder("folder 1");
    must_be(memo_limit(space, &f, 10, 100000));
    must_be(memo_write(space, &f, large, sizeof large));
    f = memo_folder("trigger");
    for (int i = 0; i < 2; i++) {
        must_be(memo_alloc(space, 30, &m));
        must_be(memo_put_delayed(space, &f, &g, m));
    }
}

/* What a closed space of that kind is, as bytes. */
static void make_image(unsigned scene)
{
    memo_space_t *space;
    struct stat st;
    snprintf(uri, sizeof uri, "%s:t-fuzz-%d?size=" SIZE, (scene & 1) != 0 ? "shm-lock" : "shm-bucket",
             (int)getpid());
    snprintf(path, sizeof path, "/dev/shm/memo.t-fuzz-%d", (int)getpid());
    if (images[scene] != NULL) {
        return;
    }
    (void)unlink(path);
    must_be(memo_open(&space, uri));
    if ((scene & 2) != 0) {
        fill(space);
    }
    must_be(memo_close(space));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    fuzz_must(fd >= 0 && fstat(fd, &st) == 0);
    bytes[scene] = (size_t)st.st_size;
    images[scene] = malloc(bytes[scene]);
    fuzz_must(images[scene] != NULL);
    fuzz_must(read(fd, images[scene], bytes[scene]) == (ssize_t)bytes[scene]);
    close(fd);
    unlink(path);
}

static void change(uint8_t *image, size_t size, fuzz_bytes_t *from)
{
    static const uint64_t values[] = {0, 1, 2, UINT64_MAX, 4096, UINT32_MAX, INT64_MAX, 1 << 10, 1 << 18, 64};
    size_t where = (size_t)fuzz_byte(from) << 8 | fuzz_byte(from), add = fuzz_byte(from);
    uint8_t what = fuzz_byte(from), how = fuzz_byte(from);
    size_t at = ((where & 0x3fff) * 32 + add) % (size - 8); /* of 512 KiB */
    uint64_t value;
    if ((where & 0x8000) != 0) {
        at = at / 8 * 8;
    }
    switch (how % 4) {
    case 0:
        image[at] ^= (uint8_t)(1u << (what % 8));
        break;
    case 1:
        image[at] = what;
        break;
    case 2:
        value = values[what % (sizeof values / sizeof values[0])];
        memcpy(image + at, &value, sizeof value);
        break;
    default:
        memcpy(&value, image + at, sizeof value);
        value += (uint64_t)(int8_t)what * 16;
        memcpy(image + at, &value, sizeof value);
    }
}

static void write_file(const uint8_t *image, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_must(fd >= 0 && write(fd, image, size) == (ssize_t)size);
    close(fd);
}

static int visit(const memo_folder_t *folder, uint64_t memos, uint64_t size, uint64_t waiters, void *arg)
{
    memo_folder_t *seen = arg;
    (void)memos;
    (void)size;
    (void)waiters;
    fuzz_must(memo_folder_valid(folder));
    *seen = *folder;
    return 0;
}

static void take_all(memo_space_t *space, const memo_folder_t *f)
{
    memo_t *m;
    for (int i = 0; i < TAKES && memo_get_skip(space, f, &m) == MEMO_OK; i++) {
        if (memo_size(m) > 0) {
            memset(memo_data(m), 1, memo_size(m));
        }
        memo_free(m);
    }
}

static void use(memo_space_t *space)
{
    char name[16];
    memo_stat_t stat;
    memo_folder_t seen = memo_folder("x"), f;
    memo_t *m;
    (void)memo_stat(space, &stat, sizeof stat);
    (void)memo_each(space, visit, &seen);
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(name, sizeof name, "folder %d", i);
        f = memo_folder(name);
        (void)memo_write(space, &f, name, (size_t)i % sizeof name);
        if (memo_get_copy_skip(space, &f, &m) == MEMO_OK) {
            memo_free(m);
        }
        take_all(space, &f);
    }
    take_all(space, &seen);
    f = memo_folder("trigger");
    (void)memo_write(space, &f, "", 0);
    take_all(space, &f);
    f = memo_folder("target");
    take_all(space, &f);
    (void)memo_get_for(space, &f, &m, 1);
    if (memo_alloc(space, 20000, &m) == MEMO_OK) {
        memo_free(m);
    }
    (void)memo_stat(space, &stat, sizeof stat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes_t from = {data, size};
    memo_space_t *space;
    unsigned scene = fuzz_byte(&from) % SCENES;
    make_image(scene);
    uint8_t *image = fuzz_copy(images[scene], bytes[scene]);
    for (unsigned i = 0; i < CHANGES && from.left >= 5; i++) {
        change(image, bytes[scene], &from);
    }
    write_file(image, bytes[scene]);
    free(image);
    int result = memo_open(&space, uri);
    if (result == MEMO_OK) {
        use(space);
        (void)memo_close(space);
    } else {
        fuzz_must(result < 0 && strlen(memo_errmsg()) > 20);
    }
    (void)unlink(path);
    return 0;
}
