/* SPDX-License-Identifier: GPL-2.0-only */
/* What is due when: a heap of places in other objects. Pure. Private to probe/. */
#ifndef TD_PROBE_DUE_H
#define TD_PROBE_DUE_H

#include "lib/util.h"

/* A part of what is due. */
struct td_due {
	size_t place; /* in the heap, counted from 1; 0: not in it */
};

struct td_due_heap {
	struct td_due_entry {
		uint64_t ns;
		struct td_due *due;
	} * entry;
	size_t n, room;
};

/* Room for so many; -ENOMEM. */
int td_due_reserve(struct td_due_heap *h, size_t n);
/* Puts it there, or moves it; there has to be room. */
void td_due_set(struct td_due_heap *h, struct td_due *d, uint64_t ns);
void td_due_remove(struct td_due_heap *h, struct td_due *d);
/* The earliest and its time, or NULL. */
struct td_due *td_due_first(const struct td_due_heap *h, uint64_t *ret_ns);

#endif
