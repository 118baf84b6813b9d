// SPDX-License-Identifier: GPL-2.0-only
/*
 * Neighbours: reading one, and having the kernel resolve it and keep it so.
 *
 * A request with both NTF_USE and NTF_EXT_MANAGED resolves now, and from 5.16
 * on again and again by itself; an older kernel does not know the second and
 * follows the first. Either flag takes "permanent" off an entry, and any such
 * request takes "externally learned" off it, so an entry that somebody has set
 * by hand or that a routing daemon keeps is left alone.
 *
 * Entries managed for us carry our protocol number, so that they can be given
 * back; one that belongs to another program keeps that one's.
 */
#include <linux/neighbour.h>

#include "net/query.h"

#ifndef NTF_EXT_MANAGED
#define NTF_EXT_MANAGED (1 << 0)
#endif

#define NUD_USABLE (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

int td_neigh_parse(const struct nlmsghdr *h, struct td_neigh *ret)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	struct td_neigh g = {0};
	bool has_address = false;
	const struct nlattr *a;
	uint32_t v;

	if ((h->nlmsg_type != RTM_NEWNEIGH && h->nlmsg_type != RTM_DELNEIGH) ||
	    mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return -EBADMSG;
	g.ifindex = (unsigned int)m->ndm_ifindex;
	g.state = m->ndm_state;
	g.flags = m->ndm_flags;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case NDA_DST: has_address = td_attr_addr(a, m->ndm_family, &g.address); break;
		case NDA_LLADDR: g.has_mac = td_attr_mac(a, g.mac); break;
		case NDA_PROTOCOL:
			if (mnl_attr_get_payload_len(a) >= 1)
				g.protocol = *(const uint8_t *)mnl_attr_get_payload(a);
			break;
		case NDA_FLAGS_EXT:
			if (td_attr_u32(a, &v))
				g.managed = v & NTF_EXT_MANAGED;
			break;
		default: break;
		}
	}
	if (!has_address)
		return -EBADMSG;
	*ret = g;
	return 0;
}

bool td_neigh_usable(const struct td_neigh *g)
{
	static const uint8_t zero[6];

	return (g->state & NUD_USABLE) && g->has_mac && memcmp(g->mac, zero, sizeof(zero));
}

/* One neighbour of a reply that may hold many. */
struct wanted {
	struct td_neigh neigh;
	unsigned int ifindex;
	const struct tundish_addr *address;
	bool found;
};

static int on_neigh(const struct nlmsghdr *h, void *data)
{
	struct wanted *w = data;
	struct td_neigh g;

	if (td_neigh_parse(h, &g) < 0 || (g.flags & NTF_PROXY) || g.ifindex != w->ifindex ||
	    !tundish_addr_equal(&g.address, w->address))
		return 0;
	w->neigh = g;
	w->found = true;
	return 0;
}

static int get_by_dump(struct td_net *n, struct wanted *w)
{
	struct td_request q;
	struct ndmsg *m;
	int r = -EINTR;

	for (int i = 0; i < TD_NET_DUMP_TRIES && r == -EINTR; i++) {
		m = td_request_init(&q, RTM_GETNEIGH, 0, sizeof(*m));
		m->ndm_family = tundish_addr_is_v4(w->address) ? AF_INET : AF_INET6;
		mnl_attr_put_u32(&q.header, NDA_IFINDEX, w->ifindex);
		r = td_net_request(n, &q, TD_NET_REPLY_DUMP, on_neigh, w);
	}
	return r == -EINTR && w->found ? 0 : r;
}

int td_neigh_get(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a,
		 struct td_neigh *ret)
{
	struct wanted w = {.ifindex = ifindex, .address = a};
	struct td_request q;
	struct ndmsg *m;
	int r = -EOPNOTSUPP;

	if (!n->no_neigh_get) {
		m = td_request_init(&q, RTM_GETNEIGH, 0, sizeof(*m));
		m->ndm_family = tundish_addr_is_v4(a) ? AF_INET : AF_INET6;
		m->ndm_ifindex = (int)ifindex;
		td_request_put_addr(&q, NDA_DST, a);
		r = td_net_request(n, &q, TD_NET_REPLY_ONE, on_neigh, &w);
		n->no_neigh_get = r == -EOPNOTSUPP;
	}
	if (r == -EOPNOTSUPP)
		r = get_by_dump(n, &w);
	if (r < 0)
		return r;
	if (!w.found)
		return -ENOENT;
	*ret = w.neigh;
	return 0;
}

static int send_resolve(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a,
			const struct td_neigh *known, bool managed)
{
	struct td_request q;
	struct ndmsg *m;

	/* Without an entry it must be us who make it: another's may have become
	 * permanent meanwhile. */
	m = td_request_init(&q, RTM_NEWNEIGH, NLM_F_CREATE | (known ? 0 : NLM_F_EXCL), sizeof(*m));
	m->ndm_family = tundish_addr_is_v4(a) ? AF_INET : AF_INET6;
	m->ndm_ifindex = (int)ifindex;
	m->ndm_state = NUD_NONE;
	m->ndm_flags = NTF_USE;
	td_request_put_addr(&q, NDA_DST, a);
	if (managed) {
		mnl_attr_put_u32(&q.header, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
		if (!known || !known->protocol)
			mnl_attr_put_u8(&q.header, NDA_PROTOCOL, TD_NET_PROTO);
	}
	return td_net_request(n, &q, TD_NET_REPLY_ACK, NULL, NULL);
}

int td_neigh_resolve(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a,
		     const struct td_neigh *known)
{
	int r = -EOPNOTSUPP;

	if (known && (known->managed || (known->state & (NUD_PERMANENT | NUD_NOARP)) ||
		      (known->flags & NTF_EXT_LEARNED)))
		return 0;
	if (!n->no_neigh_managed) {
		r = send_resolve(n, ifindex, a, known, true);
		n->no_neigh_managed = r == -EINVAL || r == -EOPNOTSUPP;
	}
	if (n->no_neigh_managed) {
		/* A solicitation is under way, or there is nothing to solve. */
		if (known && (known->state == NUD_INCOMPLETE || td_neigh_usable(known)))
			return 0;
		r = send_resolve(n, ifindex, a, known, false);
	}
	return r == -EEXIST ? 0 : r;
}

int td_neigh_release(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a)
{
	struct td_neigh g;
	int r = td_neigh_get(n, ifindex, a, &g);

	if (r < 0)
		return r == -ENOENT || r == -ENODEV ? 0 : r;
	if (!g.managed || g.protocol != TD_NET_PROTO)
		return 0;
	return send_resolve(n, ifindex, a, &g, false);
}

struct ours {
	struct td_neigh *list;
	size_t n;
};

static int on_ours(const struct nlmsghdr *h, void *data)
{
	struct ours *o = data;
	struct td_neigh g;
	int r;

	if (td_neigh_parse(h, &g) < 0 || !g.managed || g.protocol != TD_NET_PROTO)
		return 0;
	r = td_grow(&o->list, o->n, sizeof(*o->list));
	if (r < 0)
		return r;
	o->list[o->n++] = g;
	return 0;
}

int td_net_release_neighbours(struct td_net *n, struct td_error *error)
{
	_cleanup_free_ struct td_neigh *list = NULL;
	struct ours o = {0};
	struct td_request q;
	struct ndmsg *m;
	int r = -EINTR;

	for (int i = 0; i < TD_NET_DUMP_TRIES && r == -EINTR; i++) {
		o.n = 0;
		m = td_request_init(&q, RTM_GETNEIGH, 0, sizeof(*m));
		m->ndm_family = AF_UNSPEC;
		r = td_net_request(n, &q, TD_NET_REPLY_DUMP, on_ours, &o);
	}
	list = o.list;
	/* Not quite all is better than none: an interrupted list holds real entries. */
	if (r < 0 && r != -EINTR)
		return td_fail(error, -r, "cannot list the neighbours to give them back: %s",
			       td_net_reason(n, r));
	for (size_t i = 0; i < o.n; i++) {
		r = send_resolve(n, list[i].ifindex, &list[i].address, &list[i], false);
		if (r == -ETIMEDOUT || r == -EPERM)
			return td_fail(error, -r, "cannot give a neighbour back to the kernel: %s",
				       td_net_reason(n, r));
	}
	return 0;
}
