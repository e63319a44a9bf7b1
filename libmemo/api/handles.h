/*
 * handles.h - the handles that memo_open gave out: which pointers are handles, and in whose memory an address lies.
 *
 * A handle's memory is never given back to malloc, so that a call on a closed one can still read `open`; it serves
 * again only after HANDLES_KEPT later ones were retired. Readers take no lock; opening and closing take one.
 *
 * What a backend does: in open, handles_new, fill the handle in, and as the last step handles_register; in close,
 * handles_retire *before* it takes the mapping apart, so that a fork meanwhile finds nothing half gone (the handle
 * stays readable and writable for the rest of the close). A handle that was never registered is retired too.
 * memo_open sets `backend` and `open`; memo_close and the child of a fork clear `open`.
 */
#ifndef HANDLES_H
#define HANDLES_H

#include "libmemo/backend.h"

#include <stdatomic.h>

#define HANDLES_KEPT 256

/* One handle's memory begins with this; the memo_space_t follows. */
typedef struct handles_record handles_record_t;
struct handles_record {
    _Alignas(
        64) uintptr_t base; /* the mapping; written before the record is in a slot, and unchanged while it is */
    size_t size;
    size_t room;                    /* bytes behind this record; never changes */
    _Atomic(bool) orphaned;         /* it was open in the parent when this process was forked */
    handles_record_t *next_retired; /* under the lock */
    handles_record_t *next_made;    /* never changes */
};

/* The first slot of the registry, here for the sake of the inlines: most programs open one space. Hidden where it
 * is declared, so that the shared library reaches it without a detour. */
extern _Atomic(handles_record_t *) handles_first __attribute__((visibility("hidden")));

/* A handle's memory, zeroed, aligned to 64; NULL if there is none. `backend` is to be set before it is registered.
 */
memo_space_t *handles_new(size_t bytes);

/* The handle's memos lie in [base, base + size). MEMO_ENOMEM leaves it unregistered. */
int handles_register(memo_space_t *space, const void *base, size_t size);

/* Its memory may serve another handle some day; its addresses are nobody's. */
void handles_retire(memo_space_t *space);

/* Whether the handle was inherited from the parent of a fork. */
bool handles_orphaned(const memo_space_t *space);

memo_space_t *handles_search_address(const void *address);
bool handles_search(const memo_space_t *space);

static inline memo_space_t *handles_space(handles_record_t *record)
{
    return (memo_space_t *)(record + 1);
}

/* The registered handle in whose mapping the address lies, or NULL. */
static inline memo_space_t *handles_of(const void *address)
{
    handles_record_t *first = atomic_load_explicit(&handles_first, memory_order_acquire);

    return first && (uintptr_t)address - first->base < first->size ? handles_space(first)
                                                                   : handles_search_address(address);
}

/* Whether handles_new ever gave this pointer; it is not read to find out. */
static inline bool handles_known(const memo_space_t *space)
{
    handles_record_t *first = atomic_load_explicit(&handles_first, memory_order_acquire);

    return (first && handles_space(first) == space) || handles_search(space);
}

#endif
