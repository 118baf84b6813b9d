/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Since when something that is looked for again and again has been found: what is found for the first
 * time is remembered with the time, and forgotten by the first round in which it is not found.
 */
#ifndef TD_SINCE_H
#define TD_SINCE_H

#include <stddef.h>
#include <stdint.h>

#define TD_SINCE_MAX 256 /* things at once; of others it is not known */

/* All zero at first. */
struct td_since {
	struct td_since_entry {
		char what[200], kind[128];
		uint64_t since_ns;
		uint32_t round;
	} of[TD_SINCE_MAX];
	size_t n;
	uint32_t round;
};

void td_since_begin(struct td_since *s);
/* The time at which it was found first, `now_ns` if that is now; 0 where there is no room. It is what
 * it is by both texts, of which the first bytes that fit count. */
uint64_t td_since_found(struct td_since *s, const char *what, const char *kind, uint64_t now_ns);
/* Forgets what was not found since td_since_begin. */
void td_since_end(struct td_since *s);

#endif
