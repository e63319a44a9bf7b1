/*
 * conform_death.h - what the tests of clause C13 share: peers that are there to be killed.
 */
#ifndef CONFORM_DEATH_H
#define CONFORM_DEATH_H

#include "t/lib/conform.h"

typedef struct victim {
    _Atomic(uint64_t) ready;
    _Atomic(uint64_t) rounds;
    uint64_t seed;
} victim_t;

/* Starts a victim, and returns when it says that it is where it shall die. */
peer_t *victim_start(peer_fn fn, victim_t *v);

/* Whether the space comes to have so many clients, or to use no more bytes than that, within PATIENCE. */
bool clients_become(memo_space_t *s, uint64_t n);
bool used_becomes(memo_space_t *s, uint64_t most);

#endif
