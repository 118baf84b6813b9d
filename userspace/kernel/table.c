// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps read whole, in batches: a system call or two for each entry is what a list of a thousand
 * costs most, and the largest map has a million. What changes meanwhile is seen before or after.
 */
#include <bpf/bpf.h>

#include "kernel/private.h"

#define BATCH 1024

void td_table_done(struct td_table *t)
{
	free(t->entries);
	free(t->keys);
	free(t->values);
	*t = (struct td_table){0};
}

static int table_add(struct td_table *t, size_t n, size_t most)
{
	if (n > most - t->n)
		n = most - t->n; /* added and removed meanwhile: as many as there is room for */
	if (t->n + n > t->room) {
		size_t room = TD_MAX(t->n + n, 2 * t->room);
		char *entries = reallocarray(t->entries, room, t->entry_bytes);

		if (!entries)
			return -ENOMEM;
		t->entries = entries;
		t->room = room;
	}
	for (size_t i = 0; i < n; i++, t->n++) {
		char *e = t->entries + t->n * t->entry_bytes;

		memset(e, 0, t->entry_bytes);
		memcpy(e, t->keys + i * t->key_bytes, t->key_bytes);
		memcpy(e + t->value_at, t->values + i * t->value_bytes, t->value_bytes);
	}
	return 0;
}

int td_table_read(struct td_kernel *k, enum td_map m, struct td_table *t, size_t most)
{
	uint32_t n;
	int r;

	if (!t->keys) {
		t->batch = BATCH;
		t->keys = calloc(8 * BATCH, t->key_bytes);
		t->values = calloc(8 * BATCH, t->value_bytes);
	}
	if (!t->keys || !t->values)
		return -ENOMEM;
	for (;;) {
		n = t->batch;
		r = bpf_map_lookup_batch(k->map_fd[m], t->begun ? t->position : NULL, t->position,
					 t->keys, t->values, &n, NULL) < 0
			    ? -errno
			    : 0;
		if (r != -ENOSPC || t->batch >= 8 * BATCH)
			break;
		t->batch *= 2;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	t->begun = true;
	return table_add(t, n, most) ?: r == 0 && t->n < most;
}
