/*
 * wait.h - time, and sleeping on a word of the region.
 */
#ifndef WAIT_H
#define WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WAIT_FOREVER INT64_MAX
/* Nobody sleeps longer than this without looking for the dead, and for what a dead waker left undone. */
#define WAIT_TICK_NS 40000000

int64_t wait_now(void); /* CLOCK_MONOTONIC, nanoseconds */

/* The instant a timeout ends; WAIT_FOREVER for MEMO_FOREVER, and where the sum would overflow. */
int64_t wait_deadline(int64_t timeout_ns);

/* Sleeps while *word is `value`, for at most `ns`; may return early for any reason. */
void wait_sleep(_Atomic uint32_t *word, uint32_t value, int64_t ns);

void wait_wake(_Atomic uint32_t *word, int how_many);

/* Says to the processor that we spin. */
static inline void wait_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
