/*
 * roles.h - who is what in an MPI space: from what every rank says when it opens, the same answer at every rank.
 * Arithmetic alone; mpi_launch.c gathers what is said.
 */
#ifndef WIRE_ROLES_H
#define WIRE_ROLES_H

#include <stdbool.h>
#include <stdint.h>

#include "libmemo/backend.h"

/* What a rank says of itself. */
typedef struct roles_word {
    uint64_t digest;    /* of its URI; 0 when it has none: a memo-server may do without */
    uint32_t server;    /* 1: it is a memo-server */
    uint32_t uri_bytes; /* of the URI as it is sent: two builds that differ are to notice */
} roles_word_t;

roles_word_t roles_word(const memo_uri_t *uri, bool server);

/* The URI as it is written, as far as it fits. */
void roles_uri_text(const memo_uri_t *uri, char *text, size_t room);

/* The rank whose URI all the others' are compared with: the first client; `ranks` if there is no client. */
uint32_t roles_speaker(const roles_word_t words[], uint32_t ranks);

/*
 * Whether the ranks can form a space. `uri` is the speaker's (anything, if there is none). MEMO_OK, and how many
 * servers there are; or MEMO_EINVAL, MEMO_EVERSION with the sentence why not.
 */
int roles_agree(const roles_word_t words[], uint32_t ranks, const memo_uri_t *uri, uint32_t *servers,
                char *sentence, size_t room);

/* Each rank's peer number, once they agree: servers first, then clients, both in the order of ranks. */
void roles_number(const roles_word_t words[], uint32_t ranks, uint32_t servers, uint32_t peer_of[]);

/*
 * Each rank's node, and how many there are. In: real_of[rank], anything that tells real nodes apart. Each real node
 * is divided in `pretended` blocks of its consecutive ranks, or as many as it has ranks. Nodes are numbered by
 * their first ranks.
 */
uint32_t roles_nodes(const uint32_t real_of[], uint32_t ranks, uint32_t pretended, uint32_t node_of[]);

#endif
