// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events. Links, addresses and routes change seldom, and each change counts.
 * Neighbours do not: a thousand managed ones pass through "stale" and "probe"
 * and back to "reachable" about twice a minute each, with an event for each
 * step and the same MAC address after all of them. So an event of a neighbour
 * counts only where td_net_nexthop has asked for that neighbour, and where MAC
 * address, usability or management differ from what the last event said.
 *
 * Both filters have a fixed size and err on the side of telling: the set of
 * those asked for may hold one too many, and a forgotten last word counts as a
 * change.
 *
 * Of routes all count for next hops. The end of a local route of ours counts as
 * that of an address too: whoever owns VIPs looks at both then.
 */
#include "net/events.h"

#include "net/own.h"

#define DATAGRAMS_PER_CALL 4096

struct td_neigh_seen {
	struct tundish_addr address;
	unsigned int ifindex; /* 0: unused */
	uint8_t mac[6];
	bool usable, managed, gone;
};

int td_events_init(struct td_net *n)
{
	n->asked = calloc(TD_NET_ASKED_BITS / 64, sizeof(*n->asked));
	n->seen = calloc(TD_NET_SEEN_ENTRIES, sizeof(*n->seen));
	return n->asked && n->seen ? 0 : -ENOMEM;
}

void td_events_done(struct td_net *n)
{
	free(n->asked);
	free(n->seen);
}

/* Collisions cost a needless look, no more, so the hash need not be keyed. */
uint32_t td_events_hash(unsigned int ifindex, const struct tundish_addr *a)
{
	uint32_t h = ifindex * 0x9e3779b1u;

	for (int i = 0; i < 4; i++) {
		h = (h ^ a->word[i]) * 0x85ebca6bu;
		h ^= h >> 15;
	}
	return h ^ h >> 13;
}

void td_events_ask(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a)
{
	uint32_t bit = td_events_hash(ifindex, a) & (TD_NET_ASKED_BITS - 1);

	n->asked[bit / 64] |= 1ull << bit % 64;
}

bool td_events_neigh_changed(struct td_net *n, const struct td_neigh *g, bool gone)
{
	uint32_t h = td_events_hash(g->ifindex, &g->address), bit = h & (TD_NET_ASKED_BITS - 1);
	struct td_neigh_seen *old = &n->seen[h & (TD_NET_SEEN_ENTRIES - 1)];
	struct td_neigh_seen s = {
		.address = g->address,
		.ifindex = g->ifindex,
		.usable = !gone && td_neigh_usable(g),
		.managed = g->managed,
		.gone = gone,
	};
	bool same;

	if (!(n->asked[bit / 64] >> bit % 64 & 1))
		return false;
	if (s.usable)
		memcpy(s.mac, g->mac, sizeof(s.mac));
	same = old->ifindex == s.ifindex && tundish_addr_equal(&old->address, &s.address) &&
	       old->usable == s.usable && old->managed == s.managed && old->gone == s.gone &&
	       !memcmp(old->mac, s.mac, sizeof(s.mac));
	*old = s;
	return !same;
}

static int change_of(struct td_net *n, const struct nlmsghdr *h)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(h);
	const struct rtmsg *route = mnl_nlmsg_get_payload(h);
	size_t length = mnl_nlmsg_get_payload_len(h);
	struct td_prefix ours;
	struct td_neigh g;

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		/* Ports of bridges speak of themselves under AF_BRIDGE. */
		return length >= sizeof(*link) && link->ifi_family == AF_UNSPEC ? TD_NET_LINKS : 0;
	case RTM_NEWADDR:
	case RTM_DELADDR: return TD_NET_ADDRESSES;
	case RTM_DELROUTE:
		/* One that stands for addresses of ours is missed as they would be. */
		if (td_own_route_parse(h, &ours) > 0)
			return TD_NET_ROUTES | TD_NET_ADDRESSES;
		/* fall through */
	case RTM_NEWROUTE:
		/* A cached copy of a route is no change of it. */
		return length >= sizeof(*route) && !(route->rtm_flags & RTM_F_CLONED)
			       ? TD_NET_ROUTES
			       : 0;
	case RTM_NEWRULE:
	case RTM_DELRULE:
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP: return TD_NET_ROUTES;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		/* Also those of bridges' tables come here; they have no address. */
		if (td_neigh_parse(h, &g) < 0)
			return 0;
		return td_events_neigh_changed(n, &g, h->nlmsg_type == RTM_DELNEIGH)
			       ? TD_NET_NEIGHBOURS
			       : 0;
	default: return 0;
	}
}

int td_net_event_fd(const struct td_net *n)
{
	return mnl_socket_get_fd(n->events);
}

int td_net_drain_events(struct td_net *n)
{
	int changes = 0;

	/* What is left after the bound keeps the descriptor readable. */
	for (unsigned int i = 0; i < DATAGRAMS_PER_CALL; i++) {
		const struct nlmsghdr *h = (const void *)n->buffer;
		ssize_t r = td_net_receive(n, n->events);
		int length = (int)r;

		if (r == -EAGAIN)
			break;
		if (r == -ENOBUFS || r == -EMSGSIZE) { /* some are lost */
			memset(n->seen, 0, TD_NET_SEEN_ENTRIES * sizeof(*n->seen));
			changes =
				TD_NET_LINKS | TD_NET_ADDRESSES | TD_NET_ROUTES | TD_NET_NEIGHBOURS;
			continue;
		}
		if (r < 0)
			return (int)r;
		for (; mnl_nlmsg_ok(h, length); h = mnl_nlmsg_next(h, &length))
			changes |= change_of(n, h);
	}
	return changes;
}
