/*
 * section.h - what slot.c and scan.c share of a section.
 */
#ifndef SECTION_H
#define SECTION_H

#include "libmemo/node/slot.h"

section_t *section_of(const self_t *s, uint32_t index);
slot_t *section_slot(const self_t *s, section_t *section, uint32_t index);
bool slot_spent(const slot_t *slot);
void section_unlink(self_t *s, section_t *section, slot_t *slot, uint32_t index);

/* Unlocks it, after freeing the spent slots that others left to us. */
void section_unlock(self_t *s, section_t *section);

#endif
