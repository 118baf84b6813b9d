// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links: one RTM_GETLINK by index, without the statistics, which are most of
 * the answer and of its cost. VLAN devices are taken apart as far as a tag can
 * be pushed by the data path: the id, the protocol, the device below.
 */
#include <linux/if_ether.h>
#include <linux/if_link.h>

#include "net/query.h"

static void parse_vlan(const struct nlattr *data, struct td_link *l)
{
	const struct nlattr *a;
	uint16_t v;

	mnl_attr_for_each_nested(a, data)
	{
		if (mnl_attr_get_type(a) == IFLA_VLAN_ID && td_attr_u16(a, &v))
			l->vlan_id = v;
		else if (mnl_attr_get_type(a) == IFLA_VLAN_PROTOCOL && td_attr_u16(a, &v))
			l->vlan_protocol = TUNDISH_BE16(v);
	}
}

static void parse_info(const struct nlattr *info, struct td_link *l)
{
	const struct nlattr *a, *data = NULL;

	/* The kind may stand behind the data. */
	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			l->vlan = strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)) ==
					  4 &&
				  !memcmp(mnl_attr_get_payload(a), "vlan", 4);
		else if (mnl_attr_get_type(a) == IFLA_INFO_DATA)
			data = a;
	}
	if (l->vlan && data)
		parse_vlan(data, l);
}

int td_link_parse(const struct nlmsghdr *h, struct td_link *ret)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	struct td_link l = {.vlan_protocol = ETH_P_8021Q};
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return -EBADMSG;
	l.index = (unsigned int)m->ifi_index;
	l.type = m->ifi_type;
	l.flags = m->ifi_flags;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			snprintf(l.name, sizeof(l.name), "%.*s", (int)mnl_attr_get_payload_len(a),
				 (const char *)mnl_attr_get_payload(a));
			break;
		case IFLA_ADDRESS: l.has_mac = td_attr_mac(a, l.mac); break;
		case IFLA_MTU: td_attr_u32(a, &l.mtu); break;
		case IFLA_LINK: td_attr_u32(a, &l.lower); break;
		case IFLA_LINK_NETNSID: l.lower_elsewhere = true; break;
		case IFLA_LINKINFO: parse_info(a, &l); break;
		default: break;
		}
	}
	*ret = l;
	return 0;
}

static int on_link(const struct nlmsghdr *h, void *data)
{
	return td_link_parse(h, data);
}

int td_link_get(struct td_net *n, unsigned int index, struct td_link *ret)
{
	struct td_link l;
	struct td_request q;
	struct ifinfomsg *m;
	int r;

	m = td_request_init(&q, RTM_GETLINK, 0, sizeof(*m));
	m->ifi_family = AF_UNSPEC;
	m->ifi_index = (int)index;
	mnl_attr_put_u32(&q.header, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	r = td_net_request(n, &q, TD_NET_REPLY_ONE, on_link, &l);
	if (r < 0)
		return r;
	*ret = l;
	return 0;
}
