/*
 * uts - Unbalanced Tree Search: counts the nodes of a tree that nobody can divide beforehand.
 *
 * The benchmark of S. Olivier, J. Huan, J. Liu, J. Prins, J. Dinan, P. Sadayappan, C.-W. Tseng, "UTS: An Unbalanced
 * Tree Search Benchmark" (LCPC 2006). A node is a SHA-1 digest; its children's digests follow from it, and it tells
 * how many they are. So every run of a tree counts the same nodes, whoever visits them, but no process knows how
 * much work hangs below a node. Published sizes, which come out here too:
 *
 *   uts -T T1   geometric: 4,130,071 nodes, 10 deep      the same as  -t 1 -a 3 -d 10 -b 4 -r 19
 *   uts -T T3   binomial:  4,112,897 nodes, 1572 deep    the same as  -t 0 -b 2000 -q 0.124875 -m 8 -r 42
 *
 * Each process searches depth first on a stack of its own. While the folder of work is short of chunks it puts the
 * oldest nodes of its stack there, which have the largest trees below them; with an empty stack it takes a chunk.
 * When everybody waits for one, there is none anywhere: MEMO_UNTIL_QUIET tells them all, and the search is over.
 */
#include "team.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <time.h>

enum { WORK, COUNTS }; /* the folders' purposes */
enum {
    CHILDREN_MAX = 100,
    CHECK_EACH = 32
}; /* of any node but a binomial root; nodes between looks at the folder */
typedef enum { BINOMIAL = 0, GEOMETRIC = 1 } kind_t;

typedef struct tree {
    kind_t kind;
    double root_branching; /* -b */
    uint32_t depth;        /* -d: geometric: nodes this deep have no children */
    uint32_t children;     /* -m: binomial: how many a node has, if any */
    double probability;    /* -q: binomial: that it has them */
    uint32_t seed;         /* -r */
} tree_t;

typedef struct node {
    uint32_t state[5]; /* a SHA-1 digest in five words */
    uint32_t depth;
} node_t;

typedef struct count {
    uint64_t nodes, leaves;
    uint32_t depth;
} count_t;

/* Nodes to be visited: the newest at the top, the oldest, to be given away, at the bottom. */
typedef struct pile {
    node_t *nodes;
    size_t bottom, top, room;
} pile_t;

/* ---- the tree ---------------------------------------------------------------------------------------------- */

static uint32_t rotate(uint32_t word, int bits)
{
    return word << bits | word >> (32 - bits);
}

/* The SHA-1 digest of at most 13 words: with its padding such a message is a single block. */
static void sha1(const uint32_t message[], size_t words, uint32_t digest[5])
{
    uint32_t w[80] = {0};
    uint32_t a = 0x67452301, b = 0xefcdab89, c = 0x98badcfe, d = 0x10325476, e = 0xc3d2e1f0;

    memcpy(w, message, words * sizeof *w);
    w[words] = 0x80000000;
    w[15] = (uint32_t)words * 32;
    for (int t = 16; t < 80; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (int t = 0; t < 80; t++) {
        uint32_t f = t < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                     : t < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                     : t < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                              : (b ^ c ^ d) + 0xca62c1d6;
        uint32_t next = rotate(a, 5) + f + e + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    memcpy(digest, (uint32_t[]){a + 0x67452301, b + 0xefcdab89, c + 0x98badcfe, d + 0x10325476, e + 0xc3d2e1f0},
           5 * sizeof *digest);
}

static node_t tree_root(const tree_t *tree)
{
    node_t root = {.depth = 0};

    sha1((uint32_t[]){0, 0, 0, 0, tree->seed}, 5, root.state);
    return root;
}

static node_t tree_child(const node_t *parent, uint32_t number_of_child)
{
    node_t child = {.depth = parent->depth + 1};
    uint32_t message[6];

    memcpy(message, parent->state, sizeof parent->state);
    message[5] = number_of_child;
    sha1(message, 6, child.state);
    return child;
}

/* A number from 0 to 1 that the node is born with. */
static double tree_chance(const node_t *node)
{
    return (double)(node->state[4] & 0x7fffffff) / 2147483648.0;
}

static uint32_t tree_children(const tree_t *tree, const node_t *node)
{
    if (tree->kind == BINOMIAL) {
        if (node->depth == 0)
            return (uint32_t)tree->root_branching;
        return tree_chance(node) < tree->probability ? tree->children : 0;
    }
    if (node->depth > 0 && node->depth >= tree->depth)
        return 0;
    double p = 1.0 / (1.0 + tree->root_branching);
    double children = floor(log(1 - tree_chance(node)) / log(1 - p));
    return children > CHILDREN_MAX ? CHILDREN_MAX : (uint32_t)children;
}

/* ---- the search -------------------------------------------------------------------------------------------- */

static void pile_reserve(pile_t *pile, size_t more)
{
    size_t used = pile->top - pile->bottom;

    if (pile->top + more <= pile->room)
        return;
    if (used + more > pile->room / 2) {
        pile->room = 2 * (used + more) + 1024;
        node_t *nodes = malloc(pile->room * sizeof *nodes);
        if (nodes == NULL)
            quit("no memory for a stack of %zu nodes", pile->room);
        if (used > 0)
            memcpy(nodes, pile->nodes + pile->bottom, used * sizeof *nodes);
        free(pile->nodes);
        pile->nodes = nodes;
    } else {
        memmove(pile->nodes, pile->nodes + pile->bottom, used * sizeof *pile->nodes);
    }
    pile->bottom = 0;
    pile->top = used;
}

static void visit(const tree_t *tree, pile_t *pile, count_t *count)
{
    node_t node = pile->nodes[--pile->top];
    uint32_t children = tree_children(tree, &node);

    count->nodes++;
    count->leaves += children == 0;
    count->depth = node.depth > count->depth ? node.depth : count->depth;
    pile_reserve(pile, children);
    for (uint32_t i = 0; i < children; i++)
        pile->nodes[pile->top++] = tree_child(&node, i);
}

/* Gives a chunk away if there are enough nodes for two and the folder has less than one for each process. */
static void share(const team_t *team, const memo_folder_t *work, pile_t *pile, size_t chunk)
{
    uint64_t memos;

    if (pile->top - pile->bottom < 2 * chunk)
        return;
    must(memo_count(team->space, work, &memos, NULL), "looking at the folder of work");
    if (memos >= (uint64_t)team->ranks)
        return;
    must(memo_write(team->space, work, pile->nodes + pile->bottom, chunk * sizeof(node_t)), "giving work away");
    pile->bottom += chunk;
}

/* Fills the empty stack from the folder. False when there is no work left with anybody. */
static bool find_work(const team_t *team, const memo_folder_t *work, pile_t *pile)
{
    memo_select_t select = MEMO_SELECT_INIT;
    memo_t *m;

    select.folders = work;
    select.count = 1;
    select.when_empty = MEMO_UNTIL_QUIET;
    int result = memo_select(team->space, &select, &m, NULL);
    if (result == MEMO_QUIET)
        return false;
    must(result, "waiting for work");
    size_t nodes = memo_size(m) / sizeof(node_t);
    pile->bottom = pile->top = 0;
    pile_reserve(pile, nodes);
    memcpy(pile->nodes, memo_data(m), nodes * sizeof(node_t));
    pile->top = nodes;
    memo_free(m);
    return true;
}

static count_t search(const team_t *team, const tree_t *tree, size_t chunk)
{
    memo_folder_t work = team_folder(team, WORK, 0);
    pile_t pile = {NULL, 0, 0, 0};
    count_t count = {0, 0, 0};

    while (find_work(team, &work, &pile)) {
        for (unsigned turn = 0; pile.top > pile.bottom; turn++) {
            visit(tree, &pile, &count);
            if (turn % CHECK_EACH == 0)
                share(team, &work, &pile, chunk);
        }
    }
    free(pile.nodes);
    return count;
}

/* ---- the program ------------------------------------------------------------------------------------------- */

/* Rank 0 adds up what the others, and itself, have put into the folder of counts. */
static void report(const team_t *team, double seconds)
{
    memo_folder_t counts = team_folder(team, COUNTS, 0);
    count_t total = {0, 0, 0};
    memo_t *m;

    printf("Nodes by process:");
    for (int i = 0; i < team->ranks; i++) {
        must(memo_get(team->space, &counts, &m), "waiting for counts");
        const count_t *count = memo_data(m);
        printf(" %" PRIu64, count->nodes);
        total.nodes += count->nodes;
        total.leaves += count->leaves;
        total.depth = count->depth > total.depth ? count->depth : total.depth;
        memo_free(m);
    }
    printf("\nTree size = %" PRIu64 ", tree depth = %" PRIu32 ", num leaves = %" PRIu64 " (%.2f%%)\n", total.nodes,
           total.depth, total.leaves, 100.0 * (double)total.leaves / (double)total.nodes);
    printf("Wallclock time = %.3f s, %d processes, %.0f nodes/s\n", seconds, team->ranks,
           (double)total.nodes / seconds);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void preset(tree_t *tree, const char *name)
{
    if (strcmp(name, "T1") == 0)
        *tree = (tree_t){.kind = GEOMETRIC, .root_branching = 4, .depth = 10, .seed = 19};
    else if (strcmp(name, "T3") == 0)
        *tree =
            (tree_t){.kind = BINOMIAL, .root_branching = 2000, .probability = 0.124875, .children = 8, .seed = 42};
    else
        quit("no tree '%s' is known: T1 or T3", name);
}

static void options(int argc, char *argv[], tree_t *tree, const char **uri, int *processes, size_t *chunk)
{
    int option;

    preset(tree, "T1");
    while ((option = getopt(argc, argv, "s:p:c:T:t:a:b:d:q:m:r:")) != -1) {
        switch (option) {
        case 's':
            *uri = optarg;
            break;
        case 'p':
            *processes = (int)number(optarg, 1, 1024);
            break;
        case 'c':
            *chunk = (size_t)number(optarg, 1, 100000);
            break;
        case 'T':
            preset(tree, optarg);
            break;
        case 't':
            tree->kind = (kind_t)number(optarg, BINOMIAL, GEOMETRIC);
            break;
        case 'a':
            number(optarg, 3, 3);
            break; /* the shape: a fixed branching factor is the only one here */
        case 'b':
            tree->root_branching = strtod(optarg, NULL);
            break;
        case 'd':
            tree->depth = (uint32_t)number(optarg, 0, 1000000);
            break;
        case 'q':
            tree->probability = strtod(optarg, NULL);
            break;
        case 'm':
            tree->children = (uint32_t)number(optarg, 0, CHILDREN_MAX);
            break;
        case 'r':
            tree->seed = (uint32_t)number(optarg, 0, INT32_MAX);
            break;
        default:
            quit("usage: uts [-s URI] [-p PROCESSES] [-c CHUNK] [-T T1|T3] [-t KIND -b BRANCHING -d DEPTH "
                 "-q PROBABILITY -m CHILDREN -r SEED]");
        }
    }
}

int main(int argc, char *argv[])
{
    tree_t tree;
    const char *uri = NULL;
    int processes = 4;
    size_t chunk = 16;
    team_t team;

    options(argc, argv, &tree, &uri, &processes, &chunk);
    double start = now();
    team_open(&team, uri);
    memo_folder_t work = team_folder(&team, WORK, 0), counts = team_folder(&team, COUNTS, 0);
    if (team.rank == 0) { /* before anybody looks for work: with none, they would find it quiet */
        node_t root = tree_root(&tree);
        must(memo_write(team.space, &work, &root, sizeof root), "putting the root");
    }
    team_fork(&team, processes);

    count_t count = search(&team, &tree, chunk);
    must(memo_write(team.space, &counts, &count, sizeof count), "putting the count");
    if (team.rank == 0)
        report(&team, now() - start);
    return team_close(&team);
}
