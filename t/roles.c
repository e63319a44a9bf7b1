/*
 * roles.c - who is what: properties of the numbers for jobs of every small shape. (t/mpi_launch.sh has examples.)
 */
#include "libmemo/wire/roles.h"
#include "t/tap.h"

enum { MOST = 24 };

static memo_uri_t uri_of(const char *scheme, uint32_t servers)
{
    memo_uri_t uri = {.servers = servers};
    snprintf(uri.scheme, sizeof uri.scheme, "%s", scheme);
    snprintf(uri.name, sizeof uri.name, "jobs");
    return uri;
}

/* Peer numbers are a permutation, servers first, both kinds in rank order. */
static bool numbers_right(const uint32_t peer_of[], uint32_t ranks, uint32_t servers)
{
    uint32_t server = 0, client = servers;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        if (peer_of[rank] != (peer_of[rank] < servers ? server++ : client++)) {
            return false;
        }
    }
    return server == servers && client == ranks;
}

/* SPMD: server i is rank i * ranks / servers. */
static bool spread_right(const uint32_t peer_of[], uint32_t ranks, uint32_t servers)
{
    for (uint32_t i = 0; i < servers; i++) {
        if (peer_of[i * ranks / servers] != i) {
            return false;
        }
    }
    return true;
}

static void numbers_of_spmd(void)
{
    bool right = true, agreed = true, refused = true;
    roles_word_t words[MOST];
    uint32_t peer_of[MOST], servers;
    char sentence[320];
    for (uint32_t ranks = 1; ranks <= MOST; ranks++) {
        for (uint32_t wanted = 1; wanted <= MOST; wanted++) {
            memo_uri_t uri = uri_of("mpi-chain", wanted);
            for (uint32_t rank = 0; rank < ranks; rank++) {
                words[rank] = roles_word(&uri, false);
            }
            int result = roles_agree(words, ranks, &uri, &servers, sentence, sizeof sentence);
            if (wanted >= ranks) {
                refused &= result == MEMO_EINVAL && strstr(sentence, "no client") != NULL;
                continue;
            }
            agreed &= result == MEMO_OK && servers == wanted;
            roles_number(words, ranks, servers, peer_of);
            right &= numbers_right(peer_of, ranks, servers) && spread_right(peer_of, ranks, servers);
        }
    }
    tap_ok(agreed, "as many servers as were asked for");
    tap_ok(refused, "unless they leave no client");
    tap_ok(right, "servers are spread, and numbered first");
}

static void numbers_of_mpmd(void)
{
    bool right = true;
    memo_uri_t uri = uri_of("mpi-latch", 0);
    roles_word_t words[10];
    uint32_t peer_of[10], servers;
    char sentence[320];
    for (unsigned mask = 1; mask < 1023; mask++) {
        uint32_t declared = 0;
        for (unsigned rank = 0; rank < 10; rank++) {
            bool serves = mask >> rank & 1;
            declared += serves;
            words[rank] = roles_word(serves && rank % 2 ? NULL : &uri, serves);
        }
        right &=
            roles_agree(words, 10, &uri, &servers, sentence, sizeof sentence) == MEMO_OK && servers == declared;
        roles_number(words, 10, servers, peer_of);
        right &= numbers_right(peer_of, 10, servers);
        for (unsigned rank = 0; rank < 10; rank++) {
            right &= (peer_of[rank] < servers) == (mask >> rank & 1);
        }
    }
    tap_ok(right, "those that say so are the servers, wherever they stand");
}

/* Every part of a URI counts. */
static void differing_uris(void)
{
    memo_uri_t one = uri_of("mpi-latch", 2), others[10];
    for (int i = 0; i < 10; i++) {
        others[i] = one;
    }
    strcpy(others[0].scheme, "mpi-chain");
    strcpy(others[1].name, "jobz");
    others[2].size = 1 << 20;
    others[3].on_death = MEMO_ON_DEATH_DROP;
    others[4].anonymous = true;
    others[5].servers = 1;
    others[6].nodes = 2;
    others[7].max_redeliveries_given = true;
    others[8].max_redeliveries = 2;
    strcpy(others[9].dead_letters, "d");
    for (int i = 0; i < 10; i++) {
        roles_word_t words[4] = {roles_word(&one, false), roles_word(&one, false), roles_word(&others[i], false),
                                 roles_word(&one, false)};
        uint32_t servers;
        char sentence[320] = "";
        tap_is_int(roles_agree(words, 4, &one, &servers, sentence, sizeof sentence), MEMO_EINVAL,
                   "a URI that differs is refused (%d)", i);
        tap_ok(strstr(sentence, "rank 2 ") && strstr(sentence, "mpi-latch:jobs?servers=2"), "and named: %s",
               sentence);
    }
    roles_word_t words[2] = {roles_word(&one, false), roles_word(&one, false)};
    uint32_t servers;
    char sentence[320];
    words[1].uri_bytes++;
    tap_is_int(roles_agree(words, 2, &one, &servers, sentence, sizeof sentence), MEMO_EVERSION,
               "another build is refused");
}

/* Each real node's ranks are cut in blocks of consecutive ones, as equal as can be; nodes are numbered without
 * gaps. */
static bool blocks_right(const uint32_t real_of[], const uint32_t node_of[], uint32_t ranks, uint32_t pretended,
                         uint32_t nodes)
{
    uint32_t count[MOST] = {0}, real_of_node[MOST];
    for (uint32_t rank = 0; rank < ranks; rank++) {
        uint32_t node = node_of[rank];
        if (node >= nodes || (count[node]++ && real_of_node[node] != real_of[rank])) {
            return false;
        }
        real_of_node[node] = real_of[rank];
        for (uint32_t later = rank + 1; later < ranks; later++) {
            if (real_of[later] == real_of[rank] && node_of[later] < node) {
                return false;
            }
        }
    }
    for (uint32_t a = 0; a < nodes; a++) {
        uint32_t blocks = 0, size = 0;
        for (uint32_t b = 0; b < nodes; b++) {
            if (count[b] == 0) {
                return false;
            }
            blocks += real_of_node[a] == real_of_node[b];
            size += real_of_node[a] == real_of_node[b] ? count[b] : 0;
        }
        if (blocks != (pretended == 0     ? 1
                       : pretended < size ? pretended
                                          : size) ||
            count[a] < size / blocks || count[a] > (size + blocks - 1) / blocks) {
            return false;
        }
    }
    return true;
}

static void nodes(void)
{
    bool right = true;
    uint32_t real_of[MOST], node_of[MOST];
    unsigned seed = (unsigned)tap_seed();
    for (int i = 0; i < 20000; i++) {
        uint32_t ranks = 1 + (uint32_t)(rand_r(&seed)) % MOST;
        uint32_t reals = 1 + (uint32_t)(rand_r(&seed)) % 4;
        uint32_t pretended = (uint32_t)(rand_r(&seed)) % 5;
        for (uint32_t rank = 0; rank < ranks; rank++) {
            real_of[rank] = (uint32_t)(rand_r(&seed)) % reals;
        }
        uint32_t count = roles_nodes(real_of, ranks, pretended, node_of);
        right &= blocks_right(real_of, node_of, ranks, pretended, count);
    }
    tap_ok(right, "nodes are blocks of a real node's ranks");
}

int main(void)
{
    tap_timeout(60);
    numbers_of_spmd();
    numbers_of_mpmd();
    differing_uris();
    nodes();
    return tap_done();
}
