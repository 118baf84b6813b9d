// SPDX-License-Identifier: GPL-2.0-only
/*
 * Local routes for VIPs that are prefixes: the host then accepts what comes for
 * any address in them, and answers ARP for those of IPv4 on each link that asks.
 *
 * Ours are known by the route's protocol, as addresses are by theirs. The kernel
 * is asked for the table `local` and our protocol alone, so a host with a million
 * routes answers at once; one too old to choose sends them all, and the parser
 * does it.
 */
#include "net/own.h"

#define LOOPBACK 1 /* ifindex of lo, in every network namespace */

int td_own_route_change(struct td_net *n, bool add, const struct td_prefix *prefix)
{
	bool v4 = tundish_addr_is_v4(&prefix->address);
	struct td_request q;
	struct rtmsg *m;

	m = td_request_init(&q, add ? RTM_NEWROUTE : RTM_DELROUTE,
			    add ? NLM_F_CREATE | NLM_F_EXCL : 0, sizeof(*m));
	m->rtm_family = v4 ? AF_INET : AF_INET6;
	m->rtm_dst_len = (unsigned char)(prefix->length - (v4 ? TD_PREFIX_V4 : 0));
	m->rtm_table = RT_TABLE_LOCAL;
	m->rtm_protocol = TD_NET_PROTO;
	m->rtm_scope = RT_SCOPE_HOST;
	m->rtm_type = RTN_LOCAL;
	td_request_put_addr(&q, RTA_DST, &prefix->address);
	mnl_attr_put_u32(&q.header, RTA_OIF, LOOPBACK);
	return td_net_request(n, &q, TD_NET_REPLY_ACK, NULL, NULL);
}

int td_own_route_parse(const struct nlmsghdr *h, struct td_prefix *ret)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	unsigned int base, bits;
	struct td_prefix p = {0};
	bool has_address = false;
	const struct nlattr *a;
	uint32_t table;

	if ((h->nlmsg_type != RTM_NEWROUTE && h->nlmsg_type != RTM_DELROUTE) ||
	    mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return -EBADMSG;
	bits = m->rtm_family == AF_INET ? 32 : 128;
	base = TD_PREFIX_ALL - bits;
	if ((m->rtm_family != AF_INET && m->rtm_family != AF_INET6) ||
	    m->rtm_protocol != TD_NET_PROTO || m->rtm_type != RTN_LOCAL || m->rtm_dst_len > bits)
		return 0;
	table = m->rtm_table;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_DST)
			has_address = td_attr_addr(a, m->rtm_family, &p.address);
		else if (mnl_attr_get_type(a) == RTA_TABLE)
			td_attr_u32(a, &table);
	}
	if (!has_address || table != RT_TABLE_LOCAL)
		return 0;
	p.length = (uint8_t)(m->rtm_dst_len + base);
	*ret = p;
	return 1;
}

struct list {
	struct td_prefix *items;
	size_t n;
};

static int on_route(const struct nlmsghdr *h, void *data)
{
	struct list *l = data;
	struct td_prefix p;
	int r = td_own_route_parse(h, &p);

	if (r <= 0)
		return r;
	r = td_grow(&l->items, l->n, sizeof(p));
	if (r == 0)
		l->items[l->n++] = p;
	return r;
}

static int dump(struct td_net *n, uint8_t family, struct list *l)
{
	size_t before = l->n;
	int r = -EINTR;

	for (int i = 0; i < TD_NET_DUMP_TRIES && r == -EINTR; i++) {
		struct td_request q;
		struct rtmsg *m;

		l->n = before;
		m = td_request_init(&q, RTM_GETROUTE, 0, sizeof(*m));
		m->rtm_family = family;
		m->rtm_table = RT_TABLE_LOCAL;
		m->rtm_protocol = TD_NET_PROTO;
		m->rtm_type = RTN_LOCAL;
		r = td_net_request(n, &q, TD_NET_REPLY_DUMP, on_route, l);
	}
	/* A host without the family, or without the table yet, has none. */
	if (r == -ENOENT || r == -EAFNOSUPPORT || r == -EOPNOTSUPP)
		r = 0;
	return r == -EINTR ? -EBUSY : r;
}

int td_own_routes(struct td_net *n, struct td_prefix **ret, size_t *ret_n)
{
	struct list l = {0};
	int r;

	r = dump(n, AF_INET, &l);
	if (r == 0)
		r = dump(n, AF_INET6, &l);
	if (r < 0) {
		free(l.items);
		return r;
	}
	if (l.n)
		qsort(l.items, l.n, sizeof(*l.items), td_prefix_compare);
	*ret = l.items;
	*ret_n = l.n;
	return 0;
}
