/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which backend a new connection gets where the service does not leave that to its slot:
 *
 *   least-connections   of two backends, drawn by weight, the one with fewer connections for
 *                       its weight (the power of two choices: Mitzenmacher, 2001)
 *   max_connections     one that has all that it may have is passed over
 *
 * Draws are slots of the service's row, so weights, drains and failures are in them: the
 * connection's own slot, then random ones, then, as long as no backend with a place was met,
 * the row in its order.
 *
 * Three counts make that exact. `connections_active` is what is established; backend_enter()
 * adds to it before a connection is let through, and gives back what was one too many, so a
 * backend never has more than its max_connections. `opening` keeps places for handshakes
 * under way, so that of many at once hardly one is refused there. It is a courtesy, not a
 * claim: where handshakes alone fill the places, as a flood's do, who comes is let through
 * to the count that decides.
 */
#ifndef TUNDISH_PICK_BPF_H
#define TUNDISH_PICK_BPF_H

#include <tundish/choice.h>

#include "nat_maps.bpf.h"

#include "verdict.h"

#define PICK_RANDOM 8u	  /* draws until two backends with a place were met, or one is enough */
#define PICK_WALK   1024u /* slots: one of a hundred backends is missed in 3 of 100,000 */
#define PICK_SWAPS  4u

/* No backend number: there are backends, all of them full. */
#define PICK_CROWDED 0xffffffffu

struct pick {
	/* Asked. */
	__u32 service, slot;
	__u32 tick;
	__u32 least; /* two are compared */
	/* Found. */
	__u32 first; /* the slot's owner */
	__u32 best;  /* 0: none */
	__u32 late;  /* only handshakes fill it; 0: none */
	__u32 crowded;
	__u32 weight; /* of the best */
	__u32 reserved;
	__u64 load;
};

/* One for the data path and one for its tracing twin. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct pick);
} picks SEC(".maps");

/* What the rounds of the loop share lies in the map: before 6.7 a callback is checked once. */
struct pick_round {
	struct pick *p;
};

static long pick_draw(__u32 i, struct pick_round *r)
{
	struct tundish_maglev *row;
	struct tundish_backend *b;
	struct pick *p = r->p;
	__u32 service, at, index, opening, limit, weight;
	__u64 active, load;

	if (!p)
		return 1;
	if (i >= PICK_RANDOM) {
		if (p->best)
			return 1;
		at = p->slot + i;
		if (at >= TUNDISH_MAGLEV_SLOTS)
			at -= TUNDISH_MAGLEV_SLOTS;
	} else {
		at = i ? tundish_choice_slot(bpf_get_prandom_u32()) : p->slot;
	}
	service = p->service;
	row = bpf_map_lookup_elem(&maglev, &service);
	forget(at);
	if (!row || at >= TUNDISH_MAGLEV_SLOTS)
		return 1;
	index = READ_ONCE(row->slot[at]) & TUNDISH_SLOT_BACKEND;
	if (!i)
		p->first = index;
	if (!index || index == p->best)
		return 0;
	b = bpf_map_lookup_elem(&backends, &index);
	if (!b || b->state != TUNDISH_BACKEND_UP)
		return 0;
	/* In this order: what goes over from the one to the other is met twice, never missed. */
	opening = tundish_opening_count(READ_ONCE(b->opening), p->tick);
	active = READ_ONCE(b->connections_active);
	limit = READ_ONCE(b->max_connections);
	load = active + opening;
	if (limit && load >= limit) {
		p->crowded = 1;
		if (active < limit && !p->late)
			p->late = index;
		return 0;
	}
	load++; /* with this one */
	weight = b->weight ?: 1;
	if (!p->best || load * p->weight < p->load * weight) {
		i = p->best;
		p->best = index;
		p->load = load;
		p->weight = weight;
		return i || !p->least;
	}
	return 1;
}

/* A place in a backend is kept for a handshake (@more), or given back. Returns 0 where a
 * place was to be kept and there is none any more. */
CHECKED_ALONE int pick_keep(__u32 index, __u32 more)
{
	struct tundish_backend *b = bpf_map_lookup_elem(&backends, &index);
	__u32 attempt, limit, tick = tundish_tick(bpf_ktime_get_coarse_ns());
	__u64 old, new;

	if (!b)
		return 0;
	for (attempt = 0; attempt < PICK_SWAPS; attempt++) {
		old = READ_ONCE(b->opening);
		limit = more ? READ_ONCE(b->max_connections) : 0;
		if (limit &&
		    READ_ONCE(b->connections_active) + tundish_opening_count(old, tick) >= limit)
			return 0;
		new = more ? tundish_opening_more(old, tick) : tundish_opening_less(old, tick);
		if (__sync_val_compare_and_swap(&b->opening, old, new) == old)
			break;
	}
	return 1;
}

CHECKED_ALONE int pick_search(struct pick *p, __u32 n)
{
	struct pick_round r = {.p = p};

	if (!p)
		return 0;
	p->best = 0;
	p->late = 0;
	p->crowded = 0;
	p->load = 0;
	p->weight = 0;
	bpf_loop(n, pick_draw, &r, 0);
	return 0;
}

/*
 * The backend of a new connection, with a place kept for it; 0: the service has none,
 * PICK_CROWDED: all have what they may have. @dry: no place is kept.
 */
CHECKED_ALONE __u32 pick_backend(__u32 service, __u32 slot, __u32 dry)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 which = !!dry, attempt;
	struct tundish_deliver *d;
	struct pick *p;

	p = bpf_map_lookup_elem(&picks, &which);
	d = bpf_map_lookup_elem(&deliveries, &service);
	if (!p || !d)
		return 0;
	p->service = service;
	p->slot = slot;
	p->tick = tundish_tick(now);
	p->least = d->flags & TUNDISH_DELIVER_LEAST;
	for (attempt = 0; attempt < 2; attempt++) {
		/* found full in this tick of the coarse clock: a look, not a search */
		pick_search(p, READ_ONCE(d->crowded_ns) == now ? PICK_RANDOM : PICK_WALK);
		if (!p->best || dry || pick_keep(p->best, 1))
			break;
	}
	if (!p->best)
		p->best = p->late;
	if (!p->best && p->crowded) {
		if (!dry)
			WRITE_ONCE(d->crowded_ns, now);
		return PICK_CROWDED;
	}
	if (p->crowded && p->best != p->first)
		COUNT(dry, overflow);
	return p->best;
}

/* A connection was refused because all of its service's backends are full. */
CHECKED_ALONE int pick_refused(__u32 service)
{
	struct tundish_deliver *d = bpf_map_lookup_elem(&deliveries, &service);

	if (d)
		__sync_fetch_and_add(&d->refused, 1);
	return 0;
}

/* A connection is established: one more that is active, and no longer under way. Returns 0
 * where that is one too many, and has been given back. */
CHECKED_ALONE int backend_enter(__u32 index)
{
	struct tundish_backend *b = bpf_map_lookup_elem(&backends, &index);
	__u64 limit;

	if (!b)
		return 0;
	limit = READ_ONCE(b->max_connections) ?: ~0ull;
	if (__sync_fetch_and_add(&b->connections_active, 1) >= limit) {
		__sync_fetch_and_add(&b->connections_active, (__u64)-1);
		limit = 0;
	}
	if (READ_ONCE(b->opening))
		pick_keep(index, 0);
	return !!limit;
}

/* What backend_enter() counted did not come about after all. */
CHECKED_ALONE int backend_leave(__u32 index)
{
	struct tundish_backend *b = bpf_map_lookup_elem(&backends, &index);

	if (b)
		__sync_fetch_and_add(&b->connections_active, (__u64)-1);
	return 0;
}

#endif
