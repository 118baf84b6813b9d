// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tuples in memory, found by key: rows without gaps, and a table of open addressing that
 * says where each stands. So the kernel's table, which comes in no order and a piece at
 * a time, is joined with what is remembered entry by entry. The places are made once,
 * twice as many as there may be tuples; the secret is that of the flow tables, for
 * addresses and ports are chosen by others.
 */
#include "daemon/source_ports.h"

#define FIRST_ROOM 256

int td_tuples_new(struct td_tuples *t, uint32_t most, const struct tundish_siphash_key *secret)
{
	uint32_t places = 1024;

	while (places < 2 * most)
		places *= 2;
	*t = (struct td_tuples){.mask = places - 1, .secret = *secret};
	t->place = calloc(places, sizeof(*t->place));
	return t->place ? 0 : -ENOMEM;
}

void td_tuples_done(struct td_tuples *t)
{
	free(t->row);
	free(t->place);
	*t = (struct td_tuples){0};
}

static uint32_t home(const struct td_tuples *t, const struct tundish_port_key *key)
{
	__u64 w[sizeof(*key) / sizeof(__u64)];

	memcpy(w, key, sizeof(w));
	return (uint32_t)tundish_siphash(&t->secret, tundish_siphash(&t->secret, w[0], w[1], w[2]),
					 w[3], w[4]) &
	       t->mask;
}

/* The place of a key, or the empty one where it would stand. */
static uint32_t place_of(const struct td_tuples *t, const struct tundish_port_key *key)
{
	uint32_t i = home(t, key);

	while (t->place[i] && memcmp(&t->row[t->place[i] - 1].key, key, sizeof(*key)))
		i = (i + 1) & t->mask;
	return i;
}

struct td_tuple *td_tuples_take(struct td_tuples *t, const struct tundish_port_key *key)
{
	uint32_t i = place_of(t, key);

	if (t->place[i])
		return &t->row[t->place[i] - 1];
	if (t->n > t->mask / 2)
		return NULL; /* more than the kernel's table holds */
	if (t->n == t->room) {
		size_t room = TD_MAX(2 * t->room, (size_t)FIRST_ROOM);
		struct td_tuple *row = reallocarray(t->row, room, sizeof(*row));

		if (!row)
			return NULL;
		t->row = row;
		t->room = room;
	}
	t->row[t->n] = (struct td_tuple){.key = *key};
	t->place[i] = (uint32_t)++t->n;
	return &t->row[t->n - 1];
}

/* Empties a place, and moves those up that stand behind it for want of theirs. */
static void empty(struct td_tuples *t, uint32_t gap)
{
	uint32_t i = gap;

	t->place[gap] = 0;
	while (t->place[i = (i + 1) & t->mask]) {
		uint32_t wanted = home(t, &t->row[t->place[i] - 1].key);

		/* How far it is from where it would stand, and from the gap. */
		if (((i - wanted) & t->mask) < ((i - gap) & t->mask))
			continue;
		t->place[gap] = t->place[i];
		t->place[i] = 0;
		gap = i;
	}
}

void td_tuples_remove(struct td_tuples *t, size_t row)
{
	size_t last = t->n - 1;

	empty(t, place_of(t, &t->row[row].key));
	if (row != last) {
		t->place[place_of(t, &t->row[last].key)] = (uint32_t)row + 1;
		t->row[row] = t->row[last];
	}
	t->n--;
}
