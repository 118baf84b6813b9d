// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where packets to an address go: one question each about route, link (two for
 * a VLAN) and neighbour, nothing kept between calls but in a round of many. The
 * neighbour is marked as asked for before it is read, so that a change in between
 * is an event.
 */
#include <linux/if_ether.h>
#include <net/if_arp.h>

#include "core/address.h"
#include "net/care.h"

/* What the last look-up of a round has found; a failure is not kept. */
struct td_net_lately {
	struct td_link link, lower; /* index 0: none */
	unsigned int source_link;   /* of `source`; 0: none */
	bool source_v4;
	struct tundish_addr source;
	unsigned int via_link; /* of `via`; 0: none */
	struct tundish_addr via;
	uint8_t mac[6];
};

void td_net_lately_begin(struct td_net *n)
{
	if (!n->lately)
		n->lately = calloc(1, sizeof(*n->lately)); /* or it takes longer */
}

void td_net_lately_end(struct td_net *n)
{
	free(n->lately);
	n->lately = NULL;
}

/* Checks that Ethernet frames can leave by this link now. */
static int check_link(const struct td_link *l, struct td_error *error)
{
	if (l->type != ARPHRD_ETHER || !l->has_mac || (l->flags & IFF_LOOPBACK))
		return td_fail(error, EMEDIUMTYPE,
			       "interface %s has no Ethernet addresses, which sending to a backend "
			       "needs; route the backend over an Ethernet interface",
			       l->name);
	if (!(l->flags & IFF_UP))
		return td_fail(error, ENETDOWN,
			       "interface %s is down; bring it up with \"ip link set %s up\"",
			       l->name, l->name);
	if (!(l->flags & IFF_RUNNING))
		return td_fail(error, ENETDOWN,
			       "interface %s is up but has no carrier; check its cable or peer",
			       l->name);
	return 0;
}

int td_nexthop_apply_link(const struct td_link *link, const struct td_link *lower,
			  struct tundish_nexthop *ret, struct td_error *error)
{
	uint32_t mtu = link->mtu;
	int r;

	r = check_link(link, error);
	if (r < 0)
		return r;
	if (link->vlan) {
		if (!lower || link->lower_elsewhere)
			return td_fail(
				error, EMEDIUMTYPE,
				"VLAN interface %s has its NIC in another network namespace; "
				"route the backend over an interface whose NIC is in this one",
				link->name);
		if (link->vlan_protocol != ETH_P_8021Q)
			return td_fail(
				error, EMEDIUMTYPE,
				"VLAN interface %s has protocol %#x, and only 802.1Q (0x8100) "
				"can be sent; use an interface of that protocol",
				link->name, link->vlan_protocol);
		if (link->vlan_id == 0 || link->vlan_id > 4094)
			return td_fail(error, EMEDIUMTYPE,
				       "VLAN interface %s has no VLAN id between 1 and 4094 (%u); "
				       "make it anew with one",
				       link->name, link->vlan_id);
		if (lower->vlan)
			return td_fail(
				error, EMEDIUMTYPE,
				"VLAN interface %s lies on %s, which is a VLAN itself, and "
				"only one tag can be sent; route the backend over a single VLAN",
				link->name, lower->name);
		r = check_link(lower, error);
		if (r < 0)
			return r;
		mtu = TD_MIN(mtu, lower->mtu);
		ret->flags |= TUNDISH_NEXTHOP_VLAN;
		ret->vlan_tci_be = TUNDISH_BE16(link->vlan_id);
	}
	memcpy(ret->source, link->mac, sizeof(ret->source));
	ret->ifindex = link->vlan ? lower->index : link->index;
	ret->mtu = (uint16_t)TD_MIN(mtu, UINT16_MAX);
	return 0;
}

static int refuse_route(const struct td_route *t, const char *to, struct td_error *error)
{
	const char *what = "a route of a kind that leads nowhere";

	switch (t->type) {
	case RTN_BLACKHOLE: what = "a blackhole route"; break;
	case RTN_UNREACHABLE: what = "an unreachable route"; break;
	case RTN_PROHIBIT: what = "a prohibit route"; break;
	case RTN_BROADCAST: what = "a broadcast route"; break;
	case RTN_MULTICAST: what = "a multicast route"; break;
	case RTN_ANYCAST: what = "an anycast route"; break;
	default: break;
	}
	return td_fail(error, ENETUNREACH,
		       "%s has %s; see \"ip route get %s\" and add a route to it", to, what, to);
}

static int read_link(struct td_net *n, unsigned int index, struct td_link *kept,
		     struct td_link *ret, const char *to, struct td_error *error)
{
	int r;

	if (kept && kept->index == index) {
		*ret = *kept;
		return 0;
	}
	r = td_link_get(n, index, ret);
	if (r == 0 && kept)
		*kept = *ret;
	/* Gone since the route was read: an event follows. */
	if (r == -ENODEV)
		return td_fail(error, ENETDOWN,
			       "the interface of the route to %s is gone; see "
			       "\"ip route get %s\"",
			       to, to);
	if (r < 0)
		return td_fail(error, -r, "cannot read the interface of the route to %s: %s", to,
			       td_net_reason(n, r));
	return 0;
}

/* The route names no source: the device's first address of that family, a VIP of
 * ours or a link-local one only where there is nothing else. */
static int first_address(struct td_net *n, unsigned int ifindex, bool v4, struct tundish_addr *ret)
{
	_cleanup_free_ struct td_host_address *all = NULL;
	const struct td_host_address *best = NULL;
	struct td_net_lately *l = n->lately;
	size_t n_all = 0;
	int r, best_rank = 0;

	if (l && l->source_link == ifindex && l->source_v4 == v4) {
		*ret = l->source;
		return 0;
	}
	r = td_host_addresses(n, ifindex, &all, &n_all);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_all; i++) {
		bool link_local = !v4 && (all[i].address.word[0] & TUNDISH_BE32(0xffc00000)) ==
						 TUNDISH_BE32(0xfe800000);
		int rank = 1 + (all[i].protocol != TD_NET_PROTO) * 2 + !link_local;

		if (tundish_addr_is_v4(&all[i].address) == v4 && rank > best_rank) {
			best = &all[i];
			best_rank = rank;
		}
	}
	if (best)
		*ret = best->address;
	if (l && best) {
		l->source_link = ifindex;
		l->source_v4 = v4;
		l->source = best->address;
	}
	return 0; /* none: the field stays zero, which a tunnel cannot use but dsr can */
}

/* Fills the MAC address of the neighbour; -EAGAIN while it has none. */
static int fill_neighbour(struct td_net *n, const struct td_link *link,
			  const struct tundish_addr *via, struct tundish_nexthop *ret,
			  struct td_error *error)
{
	struct td_net_lately *l = n->lately;
	char text[TD_ADDRESS_TEXT];
	struct td_neigh g;
	bool known;
	int r;

	if (l && l->via_link == link->index && tundish_addr_equal(&l->via, via)) {
		memcpy(ret->destination, l->mac, sizeof(ret->destination));
		ret->flags |= TUNDISH_NEXTHOP_VALID;
		return 0;
	}
	td_address_print(via, text);
	td_events_ask(n, link->index, via);
	td_care_note(n, link->index, via);
	r = td_neigh_get(n, link->index, via, &g);
	if (r < 0 && r != -ENOENT)
		return td_fail(error, -r, "cannot read the neighbour %s on %s: %s", text,
			       link->name, td_net_reason(n, r));
	known = r == 0;
	r = td_neigh_resolve(n, link->index, via, known ? &g : NULL);
	if (known && td_neigh_usable(&g)) {
		/* That the kernel does not manage it is no loss yet. */
		memcpy(ret->destination, g.mac, sizeof(ret->destination));
		ret->flags |= TUNDISH_NEXTHOP_VALID;
		if (l) {
			l->via_link = link->index;
			l->via = *via;
			memcpy(l->mac, g.mac, sizeof(l->mac));
		}
		return 0;
	}
	if (r == -ENOBUFS)
		return td_fail(
			error, ENOBUFS,
			"the kernel's neighbour table is full, so %s on %s cannot be resolved; "
			"raise net.ipv%c.neigh.default.gc_thresh3",
			text, link->name, tundish_addr_is_v4(via) ? '4' : '6');
	if (r < 0)
		return td_fail(error, -r, "cannot have the neighbour %s on %s resolved: %s", text,
			       link->name, td_net_reason(n, r));
	return td_fail(error, EAGAIN, "the neighbour %s on %s does not answer (yet) to %s", text,
		       link->name, tundish_addr_is_v4(via) ? "ARP" : "neighbour solicitations");
}

int td_net_nexthop(struct td_net *n, const struct tundish_addr *address,
		   struct tundish_nexthop *ret, bool *ret_via_gateway, struct td_error *error)
{
	struct tundish_nexthop x = {0};
	char to[TD_ADDRESS_TEXT];
	struct td_link link, lower;
	struct td_route route;
	bool below = false;
	int r;

	td_address_print(address, to);
	r = td_route_get(n, address, &route);
	if (r == -ENETUNREACH)
		return td_fail(error, ENETUNREACH, "there is no route to %s; add one", to);
	if (r < 0)
		return td_fail(error, -r, "cannot look up the route to %s: %s", to,
			       td_net_reason(n, r));
	if (route.has_source)
		x.tunnel_source = route.source;
	if (route.type == RTN_LOCAL) {
		x.flags = TUNDISH_NEXTHOP_VALID | TUNDISH_NEXTHOP_LOCAL;
		x.mtu = UINT16_MAX;
		*ret = x;
		if (ret_via_gateway)
			*ret_via_gateway = false;
		return 0;
	}
	if (route.type != RTN_UNICAST || !route.oif)
		return refuse_route(&route, to, error);
	r = read_link(n, route.oif, n->lately ? &n->lately->link : NULL, &link, to, error);
	if (r < 0)
		return r;
	if (route.encapsulates)
		return td_fail(error, EMEDIUMTYPE,
			       "the route to %s on %s encapsulates, which the data path cannot do; "
			       "add a plain route to it",
			       to, link.name);
	if (link.vlan && link.lower && !link.lower_elsewhere) {
		r = read_link(n, link.lower, n->lately ? &n->lately->lower : NULL, &lower, to,
			      error);
		if (r < 0)
			return r;
		below = true;
	}
	r = td_nexthop_apply_link(&link, below ? &lower : NULL, &x, error);
	if (r < 0)
		return r;
	if (route.mtu && route.mtu < x.mtu)
		x.mtu = (uint16_t)route.mtu;
	if (!route.has_source) {
		r = first_address(n, link.index, tundish_addr_is_v4(address), &x.tunnel_source);
		if (r < 0)
			return td_fail(error, -r, "cannot read the addresses of %s: %s", link.name,
				       td_net_reason(n, r));
	}
	r = fill_neighbour(n, &link, route.has_gateway ? &route.gateway : address, &x, error);
	if (r < 0 && r != -EAGAIN)
		return r;
	*ret = x;
	if (ret_via_gateway)
		*ret_via_gateway = route.has_gateway;
	return r;
}
