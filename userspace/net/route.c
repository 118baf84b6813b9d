// SPDX-License-Identifier: GPL-2.0-only
/*
 * Routes: the kernel's own lookup (RTM_GETROUTE), so rules, tables, multipath
 * and learnt path MTUs are what the host itself would use.
 *
 * The families differ for routes that refuse: IPv4 answers the lookup with an
 * error that stands for the type, IPv6 with a route of that type.
 */
#include "net/query.h"

static void parse_via(const struct nlattr *a, struct td_route *t)
{
	const struct rtvia *via = mnl_attr_get_payload(a);
	size_t length = mnl_attr_get_payload_len(a);

	if (length > sizeof(*via))
		t->has_gateway = td_bytes_to_addr(via->rtvia_addr, length - sizeof(*via),
						  via->rtvia_family, &t->gateway);
}

static void parse_metrics(const struct nlattr *metrics, struct td_route *t)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, metrics) if (mnl_attr_get_type(a) == RTAX_MTU)
		td_attr_u32(a, &t->mtu);
}

int td_route_parse(const struct nlmsghdr *h, struct td_route *ret)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct td_route t = {0};
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return -EBADMSG;
	t.type = m->rtm_type;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case RTA_OIF: td_attr_u32(a, &t.oif); break;
		case RTA_GATEWAY: t.has_gateway = td_attr_addr(a, m->rtm_family, &t.gateway); break;
		case RTA_VIA: parse_via(a, &t); break;
		case RTA_PREFSRC: t.has_source = td_attr_addr(a, m->rtm_family, &t.source); break;
		case RTA_METRICS: parse_metrics(a, &t); break;
		case RTA_ENCAP_TYPE: t.encapsulates = true; break;
		default: break;
		}
	}
	*ret = t;
	return 0;
}

static int on_route(const struct nlmsghdr *h, void *data)
{
	return td_route_parse(h, data);
}

int td_route_get(struct td_net *n, const struct tundish_addr *to, struct td_route *ret)
{
	bool v4 = tundish_addr_is_v4(to);
	struct td_route t = {0};
	struct td_request q;
	struct rtmsg *m;
	int r;

	m = td_request_init(&q, RTM_GETROUTE, 0, sizeof(*m));
	m->rtm_family = v4 ? AF_INET : AF_INET6;
	m->rtm_dst_len = v4 ? 32 : 128;
	td_request_put_addr(&q, RTA_DST, to);
	r = td_net_request(n, &q, TD_NET_REPLY_ONE, on_route, &t);
	switch (r) {
	case -EHOSTUNREACH: t.type = RTN_UNREACHABLE; break;
	case -EACCES: t.type = RTN_PROHIBIT; break;
	case -EINVAL: t.type = RTN_BLACKHOLE; break;
	default:
		if (r < 0)
			return r;
	}
	*ret = t;
	return 0;
}

int td_net_way(struct td_net *n, const struct tundish_addr *to, struct td_net_way *ret)
{
	struct td_route route;
	int r = td_route_get(n, to, &route);

	if (r < 0)
		return r;
	if (route.type != RTN_LOCAL && (route.type != RTN_UNICAST || !route.oif))
		return -ENETUNREACH;
	*ret = (struct td_net_way){
		.ifindex = route.oif,
		.local = route.type == RTN_LOCAL,
		.on_link = route.type == RTN_UNICAST && !route.has_gateway,
		.has_source = route.has_source,
		.source = route.source,
	};
	return 0;
}
