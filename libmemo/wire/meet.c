/*
 * meet.c - opening the node region together (meet.h).
 *
 * The node's first process makes it, the others attach, and once all have, its name is removed: whatever happens to
 * the job, nothing stays in /dev/shm.
 */
#include "libmemo/wire/meet.h"

#include <stdlib.h>

#include "libmemo/api/error.h"
#include "libmemo/node/hand.h"

#define REGION_KIND "mpi"
#define DEFAULT_SIZE (UINT64_C(1) << 30)

/* What each tells the others. */
typedef struct word {
    int32_t result;
    party_id_t mailbox;
} word_t;

static int format(region_t *r, node_root_t *root, const void *arg)
{
    (void)r; /* the servers have the folders in their own memory */
    (void)root;
    (void)arg;
    return MEMO_OK;
}

static int open_region(const launch_t *l, const node_user_t *user, node_t *node)
{
    const node_options_t o = {.name = l->region,
                              .kind = REGION_KIND,
                              .on_death_given = l->uri.on_death_given,
                              .on_death_drop = l->uri.on_death == MEMO_ON_DEATH_DROP,
                              .size = l->uri.size != 0 ? l->uri.size : DEFAULT_SIZE,
                              .fingerprint =
                                  MEMO_VERSION_MAJOR << 16 | MEMO_VERSION_MINOR << 8 | MEMO_VERSION_PATCH,
                              .user = user,
                              .format = format,
                              .rank = (int32_t)l->self,
                              .ranks = l->servers + l->clients};

    return node_open(node, &o);
}

static int enter(const launch_t *l, const node_user_t *user, void *user_arg, node_t *node, self_t **mailbox)
{
    int result = open_region(l, user, node);

    if (result != MEMO_OK)
        return result;
    node->user_arg = user_arg;
    *mailbox = node_common(node, &result);
    if (*mailbox == NULL)
        node_close(node);
    return result;
}

/* The first that failed, or the number of peers. */
static uint32_t who_failed(const word_t words[], uint32_t peers)
{
    uint32_t i = 0;

    while (i < peers && words[i].result == MEMO_OK)
        i++;
    return i;
}

static int tell(launch_t *l, const word_t *mine, word_t words[])
{
    uint32_t peers = l->servers + l->clients, failed;
    int result = launch_exchange(l, mine, words, sizeof *mine);

    if (result != MEMO_OK || mine->result != MEMO_OK)
        return result != MEMO_OK ? result : mine->result;
    failed = who_failed(words, peers);
    if (failed == peers)
        return MEMO_OK;
    return memo_error(words[failed].result, "peer %u of %u could not open the memory of its node%s", failed, peers,
                      words[failed].result == MEMO_EFULL ? ": no room is left in /dev/shm there" : "");
}

int meet(launch_t *l, const node_user_t *user, void *user_arg, node_t *node, self_t **mailbox, near_peer_t peers[])
{
    uint32_t count = l->servers + l->clients, i;
    word_t mine = {.result = MEMO_OK}, *words = calloc(count, sizeof *words);
    int result;

    if (words == NULL)
        return memo_error(MEMO_ENOMEM, "no memory for a list of %u peers", count);
    *mailbox = NULL;
    if (l->first)
        mine.result = enter(l, user, user_arg, node, mailbox);
    launch_node_barrier(l);
    if (!l->first)
        mine.result = enter(l, user, user_arg, node, mailbox);
    mine.mailbox = *mailbox != NULL ? (*mailbox)->id : 0;
    result = tell(l, &mine, words);
    if (l->first || (mine.result == MEMO_OK && node->region.created))
        region_unlink(l->region, REGION_KIND);
    for (i = 0; i < count; i++)
        peers[i].mailbox = launch_near(l, i) ? words[i].mailbox : 0;
    free(words);
    if (result != MEMO_OK && *mailbox != NULL)
        node_close(node);
    return result;
}
