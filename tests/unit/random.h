/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers for property tests: the same in each run, on every host. */
#ifndef TD_TEST_RANDOM_H
#define TD_TEST_RANDOM_H

#include <stdint.h>

static uint32_t random_state = 1;

/* 0..n - 1, by xorshift32 (Marsaglia, 2003). */
static inline uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % n;
}

#endif
