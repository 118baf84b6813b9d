/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which backend an own connection, or a socket's datagrams, go to: a slot of the
 * service's row, and of that backend the address, or one of its fan. A draw that the
 * socket cannot follow, since it is of the other family, is made again.
 */
#ifndef TUNDISH_LEAD_BPF_H
#define TUNDISH_LEAD_BPF_H

#include "pick.bpf.h"

/* Families that a socket can go to. */
enum {
	LEAD_V4 = 1 << 0,
	LEAD_V6 = 1 << 1,
};

#define LEAD_DRAWS 16u /* of a service whose backends are not all of one family */

/* A lead: what is asked for, and what was found. */
struct lead {
	struct tundish_addr address; /* found: of the backend */
	__u32 service;
	__u32 families;
	__u32 hash;   /* chooses */
	__u32 ticket; /* chooses among the addresses of a backend, in turn; 0: as `hash` */
	__u32 backend;
	__be16 port_be; /* of the service, then of the backend */
	__u16 refused;	/* there are backends, and of other families alone */
	__u32 crowded;	/* and all have their max_connections */
};

static __always_inline int fits(const struct tundish_addr *a, __u32 families)
{
	return !!(families & (tundish_addr_is_v4(a) ? LEAD_V4 : LEAD_V6));
}

/* How far from each other the lanes of two addresses lie. */
static __always_inline __u32 fan_stride(const struct tundish_fan *fan)
{
	return fan->flags & TUNDISH_FAN_DIRECT ? 1 : fan->n_sources;
}

/* Where the addresses of a service's port begin in the fan; TUNDISH_FAN_LANES: nowhere. */
static __always_inline __u32 fan_base(const struct tundish_fan *fan, __be16 port_be)
{
	__u32 i, port = 0;

	if (fan->n_ports) {
		port = TUNDISH_FAN_PORTS;
		for (i = 0; i < TUNDISH_FAN_PORTS; i++)
			if (i < fan->n_ports && fan->port_be[i] == port_be)
				port = i;
	}
	return port < TUNDISH_FAN_PORTS ? port * fan->n_addresses * fan_stride(fan)
					: TUNDISH_FAN_LANES;
}

/* The first of an address's lanes that there is: sources of the other family have none. */
CHECKED_ALONE __u32 fan_lane(__u32 backend, __u32 at, __u32 n)
{
	struct tundish_fan *fan = bpf_map_lookup_elem(&fans, &backend);
	__u32 i, index;

	if (!fan)
		return 0;
	for (i = 0; i < TUNDISH_FAN_LANES; i++) {
		index = at + i;
		forget(index);
		if (i >= n || index >= TUNDISH_FAN_LANES)
			break;
		if (fan->lane[index])
			return fan->lane[index];
	}
	return 0;
}

/* The @skip-th of a fan's addresses that the socket can reach, and its port, into *l.
 * Returns how many of them were met on the way to it, it among them. */
CHECKED_ALONE __u32 fan_address(struct lead *l, __u32 skip)
{
	__u32 backend, base, i, index, fitting = 0;
	struct tundish_lane *lane;
	struct tundish_fan *fan;

	if (!l)
		return 0;
	backend = l->backend;
	fan = bpf_map_lookup_elem(&fans, &backend);
	if (!fan)
		return 0;
	base = fan_base(fan, l->port_be);
	for (i = 0; i < TUNDISH_FAN_ADDRESSES; i++) {
		if (i >= fan->n_addresses)
			break;
		index = fan_lane(backend, base + i * fan_stride(fan), fan_stride(fan));
		lane = bpf_map_lookup_elem(&lanes, &index);
		if (!lane || !index || !fits(&lane->host, l->families) || fitting++ != skip)
			continue;
		l->address = lane->host;
		if (lane->port_be)
			l->port_be = lane->port_be;
		break;
	}
	return fitting;
}

/* One of the addresses of a backend that may have several, and the port there. Where it has
 * no fan, its one address. */
CHECKED_ALONE int address_of(struct lead *l)
{
	struct tundish_backend *b;
	struct tundish_fan *fan;
	__u32 backend, n, skip;

	if (!l)
		return 0;
	backend = l->backend;
	b = bpf_map_lookup_elem(&backends, &backend);
	if (!b)
		return 0;
	fan = b->delivery >= TUNDISH_DELIVERY_NAT ? bpf_map_lookup_elem(&fans, &backend) : NULL;
	if (!fan || !fan->n_addresses) {
		l->address = b->address;
		return fits(&l->address, l->families);
	}
	n = fan_address(l, ~0u);
	if (!n)
		return 0;
	skip = (l->ticket ? (__u32)__sync_fetch_and_add(&b->own_next, 1) : l->hash) % n;
	/* the daemon may have taken addresses away since they were counted */
	return fan_address(l, skip) > skip;
}

/* What a draw gave. */
enum {
	DRAWN_NONE, /* no backend, or it is this host: the stack's affair */
	DRAWN,
	DRAWN_OTHER_FAMILY,
	DRAWN_CROWDED,
};

CHECKED_ALONE int draw(struct lead *l)
{
	struct tundish_nexthop *hop;
	struct tundish_maglev *row;
	struct tundish_backend *b;
	__u32 service, index, slot;

	if (!l)
		return DRAWN_NONE;
	service = l->service;
	row = bpf_map_lookup_elem(&maglev, &service);
	slot = tundish_choice_slot(l->hash);
	forget(slot); /* the compiler knows its bound, 6.1's verifier does not */
	if (!row || slot >= TUNDISH_MAGLEV_SLOTS)
		return DRAWN_NONE;
	index = READ_ONCE(row->slot[slot]);
	/* datagrams of one socket go to one backend, so a slot's */
	if ((index & TUNDISH_SLOT_CHOOSE) && l->ticket) {
		index = pick_backend(service, slot, 0);
		if (index == PICK_CROWDED)
			return DRAWN_CROWDED;
	}
	index &= TUNDISH_SLOT_BACKEND;
	b = bpf_map_lookup_elem(&backends, &index);
	if (!index || !b || b->state == TUNDISH_BACKEND_FREE)
		return DRAWN_NONE;
	slot = READ_ONCE(b->nexthop);
	hop = bpf_map_lookup_elem(&nexthops, &slot);
	if (hop && hop->flags & TUNDISH_NEXTHOP_LOCAL)
		return DRAWN_NONE;
	l->backend = index;
	return address_of(l) ? DRAWN : DRAWN_OTHER_FAMILY;
}

static long draw_again(__u32 i, struct lead *l)
{
	int r = draw(l);

	l->refused = r == DRAWN_OTHER_FAMILY;
	l->crowded = r == DRAWN_CROWDED;
	if (r == DRAWN_OTHER_FAMILY)
		l->hash = (__u32)(tundish_mix64(l->hash + TUNDISH_CHOICE_SEED) >> 32);
	else if (r == DRAWN_NONE || r == DRAWN_CROWDED)
		l->backend = 0;
	return r != DRAWN_OTHER_FAMILY;
}

#endif
