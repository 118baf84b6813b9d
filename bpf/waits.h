/* SPDX-License-Identifier: GPL-2.0-only */
/* Histograms of times, as struct tundish_waits has them. */
#ifndef TUNDISH_WAITS_H
#define TUNDISH_WAITS_H

#include <tundish/workers.h>

static __always_inline void wait_add(struct tundish_waits *t, __u64 ns)
{
	__u64 us = ns / 1000;
	__u32 bucket = 0, step;

	/* The number of bits of `us`: five halvings, beyond 2^23 us all are one. */
	if (us >> 24)
		bucket = TUNDISH_WAIT_BUCKETS - 1;
	else
		for (step = 0; step < TUNDISH_WAIT_BUCKETS - 1; step++) {
			if (!(us >> step))
				break;
			bucket = step + 1;
		}
	if (bucket >= TUNDISH_WAIT_BUCKETS)
		bucket = TUNDISH_WAIT_BUCKETS - 1;
	__sync_fetch_and_add(&t->bucket[bucket], 1);
	__sync_fetch_and_add(&t->sum, ns);
}

#endif
