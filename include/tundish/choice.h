/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections that a backend was chosen for and that are not established yet: a word that
 * forgets. A choice counts in the tick in which it was made and in the next one, for 1.1 to
 * 2.1 s, unless its connection is established before. So nothing has to be taken back where
 * a handshake comes to nothing, and a flood of SYNs is forgotten as quickly as it ends.
 *
 *   bits  0-15  made in this tick
 *   bits 16-31  made in the one before
 *   bits 32-63  the tick
 */
#ifndef TUNDISH_CHOICE_H
#define TUNDISH_CHOICE_H

#include <tundish/flow.h>

#define TUNDISH_OPENING_MAX 0xffffu /* of a tick; more are not counted */

/* The word as it stands at `tick`. Who read the clock before another one wrote may be a tick
 * behind: then it stands as it is. */
TUNDISH_INLINE __u64 tundish_opening_at(__u64 word, __u32 tick)
{
	__u32 age = tick - (__u32)(word >> 32), before = 0;

	if (!age || age == ~0u)
		return word;
	if (age == 1)
		before = word & TUNDISH_OPENING_MAX;
	return (__u64)tick << 32 | before << 16;
}

TUNDISH_INLINE __u32 tundish_opening_count(__u64 word, __u32 tick)
{
	__u64 w = tundish_opening_at(word, tick);

	return (__u32)(w & TUNDISH_OPENING_MAX) + (__u32)(w >> 16 & TUNDISH_OPENING_MAX);
}

TUNDISH_INLINE __u64 tundish_opening_more(__u64 word, __u32 tick)
{
	__u64 w = tundish_opening_at(word, tick);

	return (w & TUNDISH_OPENING_MAX) < TUNDISH_OPENING_MAX ? w + 1 : w;
}

/* One is established, or came to nothing: most likely of the youngest. */
TUNDISH_INLINE __u64 tundish_opening_less(__u64 word, __u32 tick)
{
	__u64 w = tundish_opening_at(word, tick);

	if (w & TUNDISH_OPENING_MAX)
		return w - 1;
	return w >> 16 & TUNDISH_OPENING_MAX ? w - (1 << 16) : w;
}

#endif
