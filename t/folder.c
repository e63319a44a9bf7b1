/*
 * folder.c - names of folders: equal names are equal values, others differ, and their hashes are spread well.
 */
#include "libmemo/memo.h"
#include "t/tap.h"

#define NAMES 1000000

static bool same(memo_folder_t a, memo_folder_t b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool invalid(memo_folder_t folder)
{
    memo_folder_t nothing = {0};

    return !memo_folder_valid(&folder) && same(folder, nothing);
}

static void names_of_bytes(void)
{
    char name[MEMO_NAME_MAX + 2];
    memo_folder_t folder = memo_folder("jobs");

    memset(name, 'x', sizeof name);
    name[MEMO_NAME_MAX + 1] = '\0';
    tap_ok(memo_folder_valid(&folder) && folder.kind == MEMO_KIND_BYTES && folder.length == 4, "a text is a name");
    tap_ok(same(folder, memo_folder_bytes("jobs!", 4)), "a text and the same bytes are equal byte for byte");
    tap_ok(!same(folder, memo_folder("jobz")), "another text is not");
    tap_ok(invalid(memo_folder(NULL)), "NULL is no name");
    tap_ok(invalid(memo_folder("")), "nothing is no name");
    tap_ok(invalid(memo_folder_bytes(name, 0)), "no bytes are no name");
    tap_ok(invalid(memo_folder_bytes(NULL, 3)), "bytes from nowhere are no name");
    tap_ok(invalid(memo_folder(name)), "a text of 113 bytes is no name");
    tap_ok(invalid(memo_folder_bytes(name, MEMO_NAME_MAX + 1)), "113 bytes are no name");
    tap_ok(invalid(memo_folder_bytes(name, SIZE_MAX)), "nor is more than memory holds");
    folder = memo_folder_bytes(name, MEMO_NAME_MAX);
    tap_ok(memo_folder_valid(&folder) && memcmp(folder.bytes, name, MEMO_NAME_MAX) == 0, "112 bytes are a name");
    name[MEMO_NAME_MAX] = '\0';
    tap_ok(same(folder, memo_folder(name)), "... and as a text, too");
    tap_ok(!memo_folder_valid(NULL), "no folder at all is not valid");
}

static void names_with_nul(void)
{
    memo_folder_t a = memo_folder_bytes("a\0b", 3), b = memo_folder_bytes("a\0c", 3);
    memo_folder_t one = memo_folder_bytes("\0", 1), two = memo_folder_bytes("\0\0", 2);

    tap_ok(memo_folder_valid(&a) && memo_folder_valid(&one), "NUL is a byte like any other");
    tap_ok(!same(a, b) && a.hash != b.hash, "what stands behind a NUL counts");
    tap_ok(!same(a, memo_folder("a")), "a NUL does not end a name");
    tap_ok(!same(one, two) && one.hash != two.hash, "one NUL and two are two names");
}

static void names_of_elements(void)
{
    const int64_t index[MEMO_RANK_MAX + 1] = {1, -2, INT64_MAX, INT64_MIN};
    memo_symbol_t symbol = memo_symbol_named("matrix");
    memo_folder_t a = memo_folder_at(symbol, 2, index);

    tap_ok(memo_folder_valid(&a) && a.kind == MEMO_KIND_ELEMENT && a.length == 24, "an element is a name");
    tap_ok(same(a, memo_folder_at(symbol, 2, index)), "the same element is equal byte for byte");
    tap_ok(!same(a, memo_folder_at(symbol, 2, index + 1)), "other indices make another name");
    tap_ok(!same(a, memo_folder_at(symbol, 3, index)), "so does another rank");
    tap_ok(!same(a, memo_folder_at(symbol + 1, 2, index)), "so does another symbol");
    memo_folder_t bytes = memo_folder_bytes(a.bytes, a.length);
    tap_ok(!same(a, bytes) && a.hash != bytes.hash, "an element and the bytes of its name differ, in hash as well");
    a = memo_folder_at(symbol, 0, NULL);
    tap_ok(memo_folder_valid(&a) && a.length == 8, "rank 0 needs no indices");
    a = memo_folder_at(symbol, MEMO_RANK_MAX, index);
    tap_ok(memo_folder_valid(&a) && a.length == MEMO_NAME_MAX, "rank 13 fills a name");
    tap_ok(invalid(memo_folder_at(symbol, MEMO_RANK_MAX + 1, index)), "rank 14 is too much");
    tap_ok(invalid(memo_folder_at(0, 1, index)), "0 is no symbol");
    tap_ok(invalid(memo_folder_at(symbol, 1, NULL)), "indices from nowhere are no name");
}

static void scribbled_names(void)
{
    memo_folder_t folder = memo_folder("jobs");

    folder.kind = 3;
    tap_ok(!memo_folder_valid(&folder), "an unknown kind is not valid");
    folder.kind = MEMO_KIND_BYTES;
    folder.length = MEMO_NAME_MAX + 1;
    tap_ok(!memo_folder_valid(&folder), "an impossible length is not valid");
    folder.length = 0;
    tap_ok(!memo_folder_valid(&folder), "nor is none");
}

static void named_symbols(void)
{
    memo_symbol_t a = memo_symbol_named("a");
    char longer[4001];

    memset(longer, 'x', sizeof longer);
    longer[4000] = '\0';
    memo_symbol_t whole = memo_symbol_named(longer);
    longer[3999] = 'y';
    tap_ok(a == memo_symbol_named("a"), "the same text is the same symbol");
    tap_ok(a != memo_symbol_named("b") && a != memo_symbol_named(""), "another text is another");
    tap_ok(a >> 63 == 1 && memo_symbol_named("") >> 63 == 1, "the top bit is set");
    tap_ok(memo_symbol_named(NULL) == 0, "NULL is no symbol");
    tap_ok(whole != memo_symbol_named(longer), "a text of any length counts to its end");
    tap_ok(a == UINT64_C(0xde28f6d20214b003), "a symbol is the same in every version of the library");
}

/* ---- the hash -------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Equal hashes among n names that all differ: 1e6 good ones have one with a chance of 1 in 37 million. */
static size_t collisions(uint64_t *hashes, size_t n)
{
    size_t found = 0;

    qsort(hashes, n, sizeof *hashes, by_value);
    for (size_t i = 1; i < n; i++) {
        found += hashes[i] == hashes[i - 1];
    }
    return found;
}

static memo_folder_t numbered(unsigned i)
{
    char text[32];

    snprintf(text, sizeof text, "job-%u", i);
    return memo_folder(text);
}

static memo_folder_t element(unsigned i)
{
    const int64_t index[2] = {i / 1000, i % 1000};

    return memo_folder_at(1, 2, index);
}

/* Names of one bit or two: what differs least. */
static memo_folder_t sparse(unsigned i)
{
    unsigned char name[MEMO_NAME_MAX] = {0};
    unsigned a = i / 1000 % (8 * MEMO_NAME_MAX), b = i % 1000 % (8 * MEMO_NAME_MAX);

    name[a / 8] |= (unsigned char)(1u << a % 8);
    name[b / 8] ^= (unsigned char)(1u << b % 8);
    name[0] = (unsigned char)(name[0] + i / 896000 * 3);
    return memo_folder_bytes(name, sizeof name);
}

/* The largest of 4096 buckets chosen by the hash's low or high bits; with 1e6 names each expects 244. */
static unsigned fullest(const uint64_t *hashes, size_t n, unsigned shift)
{
    static unsigned bucket[4096];
    unsigned most = 0;

    memset(bucket, 0, sizeof bucket);
    for (size_t i = 0; i < n; i++) {
        unsigned held = ++bucket[hashes[i] >> shift & 4095];
        most = held > most ? held : most;
    }
    return most;
}

static void spread(const char *what, memo_folder_t (*make)(unsigned), uint64_t *hashes)
{
    for (unsigned i = 0; i < NAMES; i++) {
        hashes[i] = make(i).hash;
    }
    unsigned low = fullest(hashes, NAMES, 0), high = fullest(hashes, NAMES, 52);

    /* 244 on average with a deviation of 16: 6 deviations above. */
    tap_ok(low < 340 && high < 340, "%s: no bucket is crowded (at most %u and %u of 244 expected)", what, low,
           high);
    tap_is_int((long long)collisions(hashes, NAMES), 0, "%s: no two of a million hashes are equal", what);
}

static void distinct_sparse(uint64_t *hashes)
{
    size_t n = 0;

    for (unsigned a = 0; a < 8 * MEMO_NAME_MAX; a++) {
        for (unsigned b = 0; b < a; b++) {
            hashes[n++] = sparse(a * 1000 + b).hash;
        }
    }
    tap_is_int((long long)collisions(hashes, n), 0, "names of two bits: no two of %zu hashes are equal", n);
}

/* Flips every bit of names of several lengths; every bit of the hash changes in about half of the cases. */
static void avalanche(void)
{
    unsigned flips[64] = {0}, trials = 0;
    uint64_t state = tap_seed() | 1;

    for (size_t length = 1; length <= MEMO_NAME_MAX; length += 3) {
        unsigned char name[MEMO_NAME_MAX];
        for (size_t i = 0; i < length; i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            name[i] = (unsigned char)(state >> 56);
        }
        uint64_t hash = memo_folder_bytes(name, length).hash;
        for (size_t bit = 0; bit < 8 * length; bit++, trials++) {
            name[bit / 8] ^= (unsigned char)(1u << bit % 8);
            uint64_t changed = hash ^ memo_folder_bytes(name, length).hash;
            name[bit / 8] ^= (unsigned char)(1u << bit % 8);
            for (unsigned i = 0; i < 64; i++) {
                flips[i] += (unsigned)(changed >> i & 1);
            }
        }
    }
    unsigned least = trials, most = 0;
    for (unsigned i = 0; i < 64; i++) {
        least = flips[i] < least ? flips[i] : least;
        most = flips[i] > most ? flips[i] : most;
    }
    /* 17,000 trials: a deviation is 0.4%. */
    tap_ok(least > trials * 0.47 && most < trials * 0.53,
           "each bit of a name moves each bit of the hash half the time");
    tap_diag("%u flips: each bit changed in %.1f%% to %.1f%%", trials, 100.0 * least / trials,
             100.0 * most / trials);
}

int main(void)
{
    uint64_t *hashes = malloc(NAMES * sizeof *hashes);

    tap_timeout(120);
    if (!hashes) {
        tap_bail("no memory");
    }
    names_of_bytes();
    names_with_nul();
    names_of_elements();
    scribbled_names();
    named_symbols();
    spread("numbered names", numbered, hashes);
    spread("elements", element, hashes);
    distinct_sparse(hashes);
    avalanche();
    free(hashes);
    return tap_done();
}
