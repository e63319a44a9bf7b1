/*
 * history_model.h - right histories, made up: a model of a space in virtual time, in which every operation takes
 * effect at an instant of its own inside its call.
 */
#ifndef HISTORY_MODEL_H
#define HISTORY_MODEL_H

#include "t/lib/history.h"

void model_seed(uint64_t seed);
uint32_t model_below(uint32_t n);

/* A record, and a set of folders, with the times that are in it. The test ends if there is no room. */
history_record_t *model_note(history_t *h, history_tape_t *tape, history_record_t r);
uint32_t model_set(history_t *h, history_tape_t *tape, const uint32_t *folders, uint32_t n);

/*
 * A history of that many operations over the folders from 0 on, of `all` that the history has. kills: one operation
 * in so many is a death; 0: none is. *end: the instant after all.
 */
history_t *model_history(uint32_t operations, uint32_t folders, uint32_t all, uint32_t kills, uint64_t *end);

#endif
