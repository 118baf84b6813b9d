/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of net/: owning VIPs. One call (own.c) sees to addresses
 * (own_address.c) and to local routes, by which this host takes packets for a
 * whole prefix (own_prefix.c, over own_route.c).
 */
#ifndef TD_NET_OWN_H
#define TD_NET_OWN_H

#include "net/query.h"

/* What one call knows. */
struct td_own_link {
	struct td_link link;
	bool mute; /* an announcement failed here; the rest would too */
};

struct td_own {
	struct td_net *n;
	const unsigned int *interfaces; /* as given */
	size_t n_interfaces;
	struct td_own_link *links; /* those of them that are there and up, in their order */
	size_t n_links;
	struct td_host_address *have; /* sorted by address */
	size_t n_have;
	struct tundish_addr *vips; /* sorted */
	size_t n_vips;
	struct td_prefix *prefixes; /* sorted */
	size_t n_prefixes;
	struct td_prefix *routes; /* those of prefixes that stand and are ours, sorted */
	size_t n_routes;
	unsigned int *place; /* of each IPv4 VIP: where ours may stay (own_address.c) */
	FILE *changes;
	int result;
	struct td_error *error;
};

/* Keeps the first failure with its sentence; returns `r`. */
int td_own_failed(struct td_own *o, int r, const struct td_error *e);

/* After these no further request makes sense. */
bool td_own_is_fatal(int r);

/* Whether it is among those given, and whether that is there and up. */
bool td_own_is_listed(const struct td_own *o, unsigned int ifindex);
bool td_own_is_up(const struct td_own *o, unsigned int ifindex);

/* Add the missing. A failure is kept and the next one tried, but where it is fatal
 * it is what they return. */
int td_own_addresses(struct td_own *o);
int td_own_prefixes(struct td_own *o);

/* Take away ours of `former`, sorted, that are not wanted where they are. */
void td_own_remove_addresses(struct td_own *o, const struct tundish_addr *former, size_t n_former);
void td_own_remove_prefixes(struct td_own *o, const struct td_prefix *former, size_t n_former);

/* ---- routes, own_route.c ------------------------------------------------------ */

/* `local PREFIX dev lo` in the table `local`, with protocol TD_NET_PROTO. Takes
 * away only what has that protocol. Returns the kernel's error. */
int td_own_route_change(struct td_net *n, bool add, const struct td_prefix *prefix);

/* Of a route that is there, or went. 1: one of ours, 0: not ours, -EBADMSG: no route. */
int td_own_route_parse(const struct nlmsghdr *h, struct td_prefix *ret);

/* All of ours, sorted (td_prefix_compare); the caller frees. */
int td_own_routes(struct td_net *n, struct td_prefix **ret, size_t *ret_n);

#endif
