// SPDX-License-Identifier: GPL-2.0-only
/* A binary heap; see due.h. */
#include "probe/due.h"

int td_due_reserve(struct td_due_heap *h, size_t n)
{
	size_t room = h->room ? h->room : 64;
	struct td_due **more;

	if (n <= h->room)
		return 0;
	while (room < n)
		room *= 2;
	more = realloc(h->entry, room * sizeof(struct td_due *));
	if (!more)
		return -ENOMEM;
	h->entry = more;
	h->room = room;
	return 0;
}

static void put(struct td_due_heap *h, size_t place, struct td_due *d)
{
	h->entry[place - 1] = d;
	d->place = place;
}

static void up(struct td_due_heap *h, size_t place, struct td_due *d)
{
	for (; place > 1 && h->entry[place / 2 - 1]->ns > d->ns; place /= 2)
		put(h, place, h->entry[place / 2 - 1]);
	put(h, place, d);
}

static void down(struct td_due_heap *h, size_t place, struct td_due *d)
{
	for (size_t child; (child = 2 * place) <= h->n; place = child) {
		if (child < h->n && h->entry[child]->ns < h->entry[child - 1]->ns)
			child++;
		if (h->entry[child - 1]->ns >= d->ns)
			break;
		put(h, place, h->entry[child - 1]);
	}
	put(h, place, d);
}

void td_due_set(struct td_due_heap *h, struct td_due *d, uint64_t ns)
{
	if (!d->place)
		d->place = ++h->n;
	else if (ns > d->ns) {
		d->ns = ns;
		down(h, d->place, d);
		return;
	}
	d->ns = ns;
	up(h, d->place, d);
}

void td_due_remove(struct td_due_heap *h, struct td_due *d)
{
	struct td_due *last;
	size_t place = d->place;

	if (!place)
		return;
	d->place = 0;
	last = h->entry[--h->n];
	if (last == d)
		return;
	if (place > 1 && h->entry[place / 2 - 1]->ns > last->ns)
		up(h, place, last);
	else
		down(h, place, last);
}

struct td_due *td_due_first(const struct td_due_heap *h)
{
	return h->n ? h->entry[0] : NULL;
}
