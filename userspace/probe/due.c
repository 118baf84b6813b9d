// SPDX-License-Identifier: GPL-2.0-only
/* A binary heap whose entries have the times beside them, so that a comparison touches no
 * other memory; see due.h. */
#include "probe/due.h"

int td_due_reserve(struct td_due_heap *h, size_t n)
{
	size_t room = h->room ? h->room : 64;
	struct td_due_entry *more;

	if (n <= h->room)
		return 0;
	while (room < n)
		room *= 2;
	more = realloc(h->entry, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	h->entry = more;
	h->room = room;
	return 0;
}

static void put(struct td_due_heap *h, size_t place, struct td_due_entry e)
{
	h->entry[place - 1] = e;
	e.due->place = place;
}

/* To its place, from there on towards the first or the last. */
static void up(struct td_due_heap *h, size_t place, struct td_due_entry e)
{
	for (; place > 1 && h->entry[place / 2 - 1].ns > e.ns; place /= 2)
		put(h, place, h->entry[place / 2 - 1]);
	put(h, place, e);
}

static void down(struct td_due_heap *h, size_t place, struct td_due_entry e)
{
	for (size_t child; (child = 2 * place) <= h->n; place = child) {
		if (child < h->n && h->entry[child].ns < h->entry[child - 1].ns)
			child++;
		if (h->entry[child - 1].ns >= e.ns)
			break;
		put(h, place, h->entry[child - 1]);
	}
	put(h, place, e);
}

void td_due_set(struct td_due_heap *h, struct td_due *d, uint64_t ns)
{
	struct td_due_entry e = {ns, d};

	if (!d->place) {
		up(h, ++h->n, e);
		return;
	}
	if (ns > h->entry[d->place - 1].ns)
		down(h, d->place, e);
	else
		up(h, d->place, e);
}

void td_due_remove(struct td_due_heap *h, struct td_due *d)
{
	struct td_due_entry last;
	size_t place = d->place;

	if (!place)
		return;
	d->place = 0;
	last = h->entry[--h->n];
	if (last.due == d)
		return;
	if (place > 1 && h->entry[place / 2 - 1].ns > last.ns)
		up(h, place, last);
	else
		down(h, place, last);
}

struct td_due *td_due_first(const struct td_due_heap *h, uint64_t *ret_ns)
{
	if (!h->n)
		return NULL;
	*ret_ns = h->entry[0].ns;
	return h->entry[0].due;
}
