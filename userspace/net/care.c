// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which neighbours this handle has asked the kernel to keep resolved, so that
 * those that nobody needs any more are given back: the kernel never drops a
 * managed entry by itself, and backends that come and go for months would fill
 * its neighbour table.
 *
 * Marking and sweeping: between td_net_care_begin() and _end() everything that
 * is needed is asked for again, and what was not is given back. Only what this
 * very handle has asked for goes, so two daemons on one host do not take turns
 * in undoing each other's work; what a dead one has left goes at `unload`.
 *
 * A hash table with open addressing, at most half full.
 */
#include "net/care.h"

struct td_care {
	struct tundish_addr address;
	unsigned int ifindex; /* 0: unused */
	bool needed;
};

static size_t place(const struct td_care *table, size_t size, unsigned int ifindex,
		    const struct tundish_addr *a)
{
	size_t i = td_events_hash(ifindex, a) & (size - 1);

	while (table[i].ifindex &&
	       (table[i].ifindex != ifindex || !tundish_addr_equal(&table[i].address, a)))
		i = (i + 1) & (size - 1);
	return i;
}

/* A table for `count` entries with those of the former one that are needed, or all. */
static int rebuild(struct td_net *n, size_t count, bool needed_only)
{
	struct td_care *table;
	size_t size = 64, used = 0;

	while (size < 2 * (count + 1))
		size *= 2;
	table = calloc(size, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < n->cares_size; i++) {
		const struct td_care *c = &n->cares[i];

		if (!c->ifindex || (needed_only && !c->needed))
			continue;
		table[place(table, size, c->ifindex, &c->address)] = *c;
		used++;
	}
	free(n->cares);
	n->cares = table;
	n->cares_size = size;
	n->n_cares = used;
	return 0;
}

void td_care_note(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a)
{
	struct td_care *c;

	/* Without memory it is not known here, and stays until `unload`. */
	if (2 * (n->n_cares + 1) > n->cares_size && rebuild(n, 2 * (n->n_cares + 1), false) < 0)
		return;
	c = &n->cares[place(n->cares, n->cares_size, ifindex, a)];
	if (!c->ifindex)
		n->n_cares++;
	*c = (struct td_care){.address = *a, .ifindex = ifindex, .needed = true};
}

void td_net_care_begin(struct td_net *n)
{
	for (size_t i = 0; i < n->cares_size; i++)
		n->cares[i].needed = false;
}

void td_net_care_end(struct td_net *n)
{
	size_t needed = 0;
	bool all = true;

	for (size_t i = 0; i < n->cares_size; i++)
		needed += n->cares[i].ifindex && n->cares[i].needed;
	if (needed == n->n_cares)
		return;
	for (size_t i = 0; i < n->cares_size && all; i++) {
		struct td_care *c = &n->cares[i];

		if (!c->ifindex || c->needed)
			continue;
		all = td_neigh_release(n, c->ifindex, &c->address) != -ETIMEDOUT;
	}
	if (all)
		rebuild(n, needed, true);
}

void td_care_done(struct td_net *n)
{
	free(n->cares);
}
