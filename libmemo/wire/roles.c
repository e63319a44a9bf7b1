/*
 * roles.c - who is what in an MPI space (DESIGN section 3, URIs and launch).
 */
#include "libmemo/wire/roles.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the URI --------------------------------------------------------------------------------------------- */

/* FNV-1a: it is to tell mistakes apart, not attacks. */
static uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t size)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < size; i++) {
        digest = (digest ^ p[i]) * UINT64_C(0x100000001b3);
    }
    return digest;
}

static uint64_t digest_number(uint64_t digest, uint64_t number)
{
    return digest_bytes(digest, &number, sizeof number);
}

static uint64_t digest_text(uint64_t digest, const char *text)
{
    return digest_bytes(digest, text, strlen(text) + 1);
}

roles_word_t roles_word(const memo_uri_t *uri, bool server)
{
    roles_word_t word = {.server = server, .uri_bytes = sizeof *uri};
    if (uri != NULL) {
        uint64_t digest = UINT64_C(0xcbf29ce484222325);
        digest = digest_text(digest, uri->scheme);
        digest = digest_text(digest, uri->name);
        digest = digest_number(digest, uri->size);
        digest = digest_number(digest, (uint64_t)uri->on_death);
        digest = digest_number(digest, uri->max_redeliveries_given);
        digest = digest_number(digest, uri->max_redeliveries);
        digest = digest_text(digest, uri->dead_letters);
        digest = digest_number(digest, uri->anonymous);
        digest = digest_number(digest, uri->servers);
        digest = digest_number(digest, uri->nodes);
        word.digest = digest != 0 ? digest : 1;
    }
    return word;
}

static void append(char *text, size_t room, bool *first, const char *option, const char *value)
{
    size_t used = strlen(text);
    snprintf(text + used, room - used, "%s%s=%s", *first ? "?" : "&", option, value);
    *first = false;
}

static void append_number(char *text, size_t room, bool *first, const char *option, uint64_t number)
{
    char digits[24];
    if (number != 0) {
        snprintf(digits, sizeof digits, "%" PRIu64, number);
        append(text, room, first, option, digits);
    }
}

void roles_uri_text(const memo_uri_t *uri, char *text, size_t room)
{
    bool first = true;
    char digits[24];
    snprintf(text, room, "%s:%s", uri->scheme, uri->name);
    append_number(text, room, &first, "servers", uri->servers);
    append_number(text, room, &first, "nodes", uri->nodes);
    append_number(text, room, &first, "size", uri->size);
    if (uri->on_death == MEMO_ON_DEATH_DROP) {
        append(text, room, &first, "on_death", "drop");
    }
    if (uri->max_redeliveries_given) {
        snprintf(digits, sizeof digits, "%" PRIu32, uri->max_redeliveries);
        append(text, room, &first, "max_redeliveries", digits);
    }
    if (uri->dead_letters[0] != '\0') {
        append(text, room, &first, "dead_letters", uri->dead_letters);
    }
}

/* ---- agreeing -------------------------------------------------------------------------------------------- */

uint32_t roles_speaker(const roles_word_t words[], uint32_t ranks)
{
    uint32_t rank = 0;
    while (rank < ranks && words[rank].server) {
        rank++;
    }
    return rank;
}

static uint32_t count_servers(const roles_word_t words[], uint32_t ranks)
{
    uint32_t servers = 0;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        servers += words[rank].server;
    }
    return servers;
}

/* The first rank whose build differs from rank 0's, or `ranks`. */
static uint32_t other_build(const roles_word_t words[], uint32_t ranks)
{
    uint32_t rank = 0;
    while (rank < ranks && words[rank].uri_bytes == words[0].uri_bytes) {
        rank++;
    }
    return rank;
}

/* The first rank that has another URI than the speaker, or `ranks`. */
static uint32_t other_uri(const roles_word_t words[], uint32_t ranks, uint32_t speaker)
{
    uint32_t rank = 0;
    while (rank < ranks &&
           (words[rank].digest == words[speaker].digest || (words[rank].server && words[rank].digest == 0))) {
        rank++;
    }
    return rank;
}

static int agree_mpmd(uint32_t declared, const memo_uri_t *uri, char *sentence, size_t room)
{
    if (uri->servers != 0 && uri->servers != declared) {
        snprintf(sentence, room, "servers=%" PRIu32 ", but memo-server is run by %" PRIu32 ": leave servers= out",
                 uri->servers, declared);
        return MEMO_EINVAL;
    }
    return MEMO_OK;
}

static int agree_spmd(uint32_t servers, uint32_t ranks, char *sentence, size_t room)
{
    if (servers >= ranks) {
        snprintf(sentence, room,
                 "%" PRIu32 " of %" PRIu32 " ranks are to serve, which leaves no client: start at least %" PRIu32
                 " with mpiexec -n",
                 servers, ranks, servers + 1);
        return MEMO_EINVAL;
    }
    return MEMO_OK;
}

int roles_agree(const roles_word_t words[], uint32_t ranks, const memo_uri_t *uri, uint32_t *servers,
                char *sentence, size_t room)
{
    uint32_t speaker = roles_speaker(words, ranks);
    uint32_t declared = count_servers(words, ranks);
    uint32_t odd = other_build(words, ranks);
    if (odd < ranks) {
        snprintf(sentence, room, "rank %" PRIu32 " runs another build of the library than rank 0", odd);
        return MEMO_EVERSION;
    }
    if (speaker == ranks) {
        snprintf(sentence, room,
                 "all %" PRIu32 " ranks run memo-server, and none a program: add one, as in "
                 "mpiexec -n 1 memo-server : -n 4 program",
                 ranks);
        return MEMO_EINVAL;
    }
    odd = other_uri(words, ranks, speaker);
    if (odd < ranks) {
        char text[160];
        roles_uri_text(uri, text, sizeof text);
        snprintf(sentence, room,
                 "rank %" PRIu32 " opens another space than rank %" PRIu32 ", which opens %s: "
                 "all open the same",
                 odd, speaker, text);
        return MEMO_EINVAL;
    }
    *servers = declared != 0 ? declared : uri->servers != 0 ? uri->servers : 1;
    if (*servers > 1 && strcmp(uri->scheme, "mpi-single") == 0) {
        snprintf(sentence, room, "mpi-single has one server, not %" PRIu32 ": mpi-latch and mpi-chain have several",
                 *servers);
        return MEMO_EINVAL;
    }
    return declared != 0 ? agree_mpmd(declared, uri, sentence, room) : agree_spmd(*servers, ranks, sentence, room);
}

/* ---- numbers --------------------------------------------------------------------------------------------- */

void roles_number(const roles_word_t words[], uint32_t ranks, uint32_t servers, uint32_t peer_of[])
{
    bool declared = count_servers(words, ranks) != 0;
    uint32_t server = 0, client = servers;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        /* Of the ranks that run the same program, servers are spread evenly: rank i * ranks / servers. */
        bool serves =
            declared ? words[rank].server : server < servers && rank == (uint64_t)server * ranks / servers;
        peer_of[rank] = serves ? server++ : client++;
    }
}

/* How many ranks of the same real node there are in [from, upto). */
static uint32_t count_same(const uint32_t real_of[], uint32_t real, uint32_t from, uint32_t upto)
{
    uint32_t count = 0;
    for (uint32_t rank = from; rank < upto; rank++) {
        count += real_of[rank] == real;
    }
    return count;
}

uint32_t roles_nodes(const uint32_t real_of[], uint32_t ranks, uint32_t pretended, uint32_t node_of[])
{
    uint32_t nodes = 0;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        uint32_t before = count_same(real_of, real_of[rank], 0, rank);
        if (before > 0) {
            continue; /* its real node was seen to with its first rank */
        }
        uint32_t size = count_same(real_of, real_of[rank], rank, ranks);
        uint32_t blocks = pretended == 0 ? 1 : pretended < size ? pretended : size;
        for (uint32_t other = rank, place = 0; other < ranks; other++) {
            if (real_of[other] == real_of[rank]) {
                node_of[other] = nodes + (uint32_t)((uint64_t)place++ * blocks / size);
            }
        }
        nodes += blocks;
    }
    return nodes;
}
