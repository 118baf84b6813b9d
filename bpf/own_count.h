/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An own connection in the counts of its backend: once when it is established, and back once
 * when its socket ends, whichever comes first. close(2) asks without the socket's lock, so
 * the answer to a SYN may be on its way through another CPU at that moment: each leaves its
 * mark in one atomic operation that tells it whether the other's was there.
 *
 *                        mark              the other's was there
 *   established   +1, COUNTED              OVER: back again
 *   ends          OVER                     COUNTED: -1
 */
#ifndef TUNDISH_OWN_COUNT_H
#define TUNDISH_OWN_COUNT_H

#include <tundish/maps.h>
#include <tundish/own.h>

/* Before its mark, so that `active` never falls below what is true. */
static __always_inline void own_begins(struct tundish_own *o, struct tundish_backend *b)
{
	__sync_fetch_and_add(&b->connections_active, 1);
	if (__sync_fetch_and_or(&o->flags, TUNDISH_OWN_COUNTED) &
	    (TUNDISH_OWN_COUNTED | TUNDISH_OWN_OVER))
		__sync_fetch_and_add(&b->connections_active, (__u64)-1);
	else
		__sync_fetch_and_add(&b->connections_total, 1);
}

/* Whether it was counted, and has to be given back. */
static __always_inline int own_ends(struct tundish_own *o)
{
	return (__sync_fetch_and_or(&o->flags, TUNDISH_OWN_OVER) &
		(TUNDISH_OWN_COUNTED | TUNDISH_OWN_OVER)) == TUNDISH_OWN_COUNTED;
}

#endif
