// SPDX-License-Identifier: GPL-2.0-only
/*
 * What of this host lanes depend on: the source that it would use towards servers, which
 * of its addresses its own sockets use, the ports that those get, and which clients are on
 * a link with a server.
 *
 * An address that is its network's own (not /32 or /128), and one that the kernel chooses
 * towards a server, is one that sockets get without asking. Any other was put there
 * for somebody, and a pool that names it has it for itself.
 */
#include "core/address.h"
#include "daemon/lanes.h"

#define FULLNAT_LOOKUPS 256u /* servers of fullnat whose routes are asked for their source */

static int by_host(const void *a, const void *b)
{
	return memcmp(&((const struct td_lane_way *)a)->host,
		      &((const struct td_lane_way *)b)->host, sizeof(struct tundish_addr));
}

static int collect(struct td_lanes *l, const struct td_config *c)
{
	size_t n_fullnat = 0;

	l->n_ways = 0;
	for (size_t i = 0; i < c->n_services; i++) {
		const struct td_service_conf *s = &c->services[i];
		bool nat = s->delivery == TUNDISH_DELIVERY_NAT;

		for (size_t b = 0; td_translates(s->delivery) && b < s->n_backends; b++) {
			size_t n = td_backend_addresses(&s->backends[b]);

			if (!nat && n_fullnat++ >= FULLNAT_LOOKUPS)
				break;
			for (size_t k = 0; k < (nat ? n : 1); k++) {
				if (td_grow(&l->ways, l->n_ways, sizeof(*l->ways)) < 0)
					return -ENOMEM;
				l->ways[l->n_ways++] = (struct td_lane_way){
					.host = *td_backend_address(&s->backends[b], k)};
			}
		}
	}
	if (l->n_ways)
		qsort(l->ways, l->n_ways, sizeof(*l->ways), by_host);
	return 0;
}

static int look_up(struct td_daemon *d, struct td_lanes *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_ways; i++) {
		if (n && tundish_addr_equal(&l->ways[n - 1].host, &l->ways[i].host))
			continue;
		l->ways[n] = l->ways[i];
		if (td_net_way(d->net, &l->ways[n].host, &l->ways[n].way) < 0)
			l->ways[n].way = (struct td_net_way){0};
		n++;
	}
	l->n_ways = n;
	free(l->towards);
	l->towards = calloc(n + 1, sizeof(*l->towards));
	if (!l->towards)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		l->towards[i] = (struct td_towards){
			.host = l->ways[i].host,
			.source = l->ways[i].way.source,
			.has_source = l->ways[i].way.has_source && !l->ways[i].way.local,
		};
	return 0;
}

/* An address that we have added is nobody's own. */
static int find_own(struct td_daemon *d, struct td_lanes *l)
{
	_cleanup_free_ struct td_net_address *all = NULL;
	size_t n = 0;
	int r;

	r = td_net_networks(d->net, &all, &n);
	if (r < 0)
		return r;
	l->n_own = 0;
	for (size_t i = 0; i < n; i++) {
		bool own = all[i].preferred && all[i].prefix < TD_PREFIX_ALL;

		for (size_t k = 0; k < l->n_ways && !own; k++)
			own = l->ways[k].way.has_source &&
			      tundish_addr_equal(&l->ways[k].way.source, &all[i].address);
		if (!own || all[i].ours)
			continue;
		if (td_grow(&l->own, l->n_own, sizeof(*l->own)) < 0)
			return -ENOMEM;
		l->own[l->n_own++] = all[i].address;
	}
	return 0;
}

static int read_settings(struct td_lanes *l, struct td_error *error)
{
	struct td_netns_facts facts;
	int r = td_host_netns_read(-1, &facts, error);

	if (r < 0)
		return r;
	_Static_assert(sizeof(facts.reserved) == sizeof(l->reserved), "a bit for each port");
	memcpy(l->reserved, facts.reserved, sizeof(l->reserved));
	l->local_first = facts.first;
	l->local_last = facts.last;
	for (size_t i = 0; i < TUNDISH_LANE_WORDS; i++)
		l->local.word[i] = facts.reserved[i] & ~l->ours.word[i];
	td_port_bits_set(&l->local, facts.first, facts.last, true);
	return 0;
}

bool td_lane_host_moved(struct td_daemon *d)
{
	struct td_lanes *l = d->lanes;

	for (size_t i = 0; i < l->n_ways; i++) {
		const struct td_net_way *was = &l->ways[i].way;
		struct td_net_way way = {0};

		if (td_net_way(d->net, &l->ways[i].host, &way) < 0)
			way = (struct td_net_way){0};
		if (way.ifindex != was->ifindex || way.local != was->local ||
		    way.on_link != was->on_link || way.has_source != was->has_source ||
		    !tundish_addr_equal(&way.source, &was->source))
			return true;
	}
	return false;
}

bool td_lane_host_changed(struct td_daemon *d)
{
	const struct td_lanes *l = d->lanes;
	struct td_netns_facts facts;

	return td_host_netns_read(-1, &facts, NULL) == 0 &&
	       (facts.first != l->local_first || facts.last != l->local_last ||
		memcmp(facts.reserved, l->reserved, sizeof(l->reserved)) != 0);
}

int td_lane_host_look(struct td_daemon *d, const struct td_config *c, struct td_plan_host *ret,
		      struct td_error *error)
{
	struct td_lanes *l = d->lanes;
	bool any = false;
	int r = 0;

	for (size_t i = 0; i < c->n_services && !any; i++)
		any = td_translates(c->services[i].delivery);
	if (any) {
		if ((r = collect(l, c)) < 0 || (r = look_up(d, l)) < 0 || (r = find_own(d, l)) < 0)
			return td_fail(error, -r,
				       "cannot look up this host's addresses and routes: %s",
				       strerror(-r));
		r = read_settings(l, error);
		if (r < 0)
			return r;
	} else {
		l->n_ways = l->n_own = 0;
	}
	*ret = (struct td_plan_host){
		.endpoints = d->endpoints,
		.n_endpoints = d->n_endpoints,
		.towards = l->towards,
		.n_towards = l->n_ways,
		.own = l->own,
		.n_own = l->n_own,
	};
	return 0;
}

/* ---- near networks ------------------------------------------------------------------ */

static bool is_link_local(const struct tundish_addr *a)
{
	return !tundish_addr_is_v4(a) && (ntohl(a->word[0]) & 0xffc00000u) == 0xfe800000u;
}

static const struct td_net_way *way_to(const struct td_lanes *l, const struct tundish_addr *a)
{
	struct td_lane_way key = {.host = *a}, *found;

	found = l->n_ways ? bsearch(&key, l->ways, l->n_ways, sizeof(key), by_host) : NULL;
	return found ? &found->way : NULL;
}

/* 1: there is no room for it. */
static int add_near(struct td_prefix **list, size_t *n, const struct td_net_address *a)
{
	struct td_prefix p = {td_address_mask(&a->address, a->prefix), a->prefix};

	for (size_t i = 0; i < *n; i++)
		if (!td_prefix_compare(&(*list)[i], &p))
			return 0;
	if (*n >= TUNDISH_NAT_NEAR_MAX)
		return 1;
	if (td_grow(list, *n, sizeof(**list)) < 0)
		return -ENOMEM;
	(*list)[(*n)++] = p;
	return 0;
}

/* A server answers directly who is in its own network. Other networks on its link it leaves to
 * its router, which is this host. */
static bool is_network_of(const struct td_net_address *n, const struct tundish_addr *a)
{
	struct tundish_addr own = td_address_mask(&n->address, n->prefix);
	struct tundish_addr its = td_address_mask(a, n->prefix);

	return n->prefix < TD_PREFIX_ALL && !is_link_local(&n->address) &&
	       tundish_addr_is_v4(&n->address) == tundish_addr_is_v4(a) &&
	       tundish_addr_equal(&own, &its);
}

static int near_of(struct td_daemon *d, const struct td_service_conf *s,
		   const struct td_net_address *all, size_t n_all, struct td_prefix **list,
		   size_t *n)
{
	int r = 0;

	for (size_t b = 0; b < s->n_backends; b++)
		for (size_t k = 0; k < td_backend_addresses(&s->backends[b]); k++) {
			const struct tundish_addr *a = td_backend_address(&s->backends[b], k);
			const struct td_net_way *way = way_to(d->lanes, a);

			for (size_t i = 0; way && way->on_link && i < n_all && !r; i++)
				if (all[i].ifindex == way->ifindex && is_network_of(&all[i], a))
					r = add_near(list, n, &all[i]);
		}
	return r;
}

int td_lane_host_near(struct td_daemon *d, const struct td_config *c)
{
	_cleanup_free_ struct td_prefix *wanted = NULL, *have = NULL;
	_cleanup_free_ struct td_net_address *all = NULL;
	size_t n_wanted = 0, n_have = 0, n_all = 0;
	int r = td_kernel_near(d->kernel, &have, &n_have);

	for (size_t i = 0; i < c->n_services && !r; i++) {
		if (c->services[i].delivery != TUNDISH_DELIVERY_NAT)
			continue;
		if (!all)
			r = td_net_networks(d->net, &all, &n_all);
		r = r ?: near_of(d, &c->services[i], all, n_all, &wanted, &n_wanted);
	}
	d->lanes->near_cut = r > 0;
	r = TD_MIN(r, 0);
	for (size_t i = 0; i < n_wanted && !r; i++) {
		bool there = false;

		for (size_t k = 0; k < n_have && !there; k++)
			there = !td_prefix_compare(&wanted[i], &have[k]);
		if (there)
			continue;
		r = td_kernel_put_near(d->kernel, &wanted[i]);
		td_step_done(d);
	}
	for (size_t k = 0; k < n_have && !r; k++) {
		bool stays = false;

		for (size_t i = 0; i < n_wanted && !stays; i++)
			stays = !td_prefix_compare(&wanted[i], &have[k]);
		if (stays)
			continue;
		r = td_kernel_delete_near(d->kernel, &have[k]);
		td_step_done(d);
	}
	return r;
}
