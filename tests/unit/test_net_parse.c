// SPDX-License-Identifier: GPL-2.0-only
/*
 * What net/ does without a kernel: frames of announcements byte by byte, parsers
 * fed by hand (VLAN devices among them, which not every kernel can make), and
 * the filter of neighbours' events.
 */
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <net/if_arp.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/address.h"
#include "net/announce.h"
#include "net/events.h"
#include "net/own.h"

#define E0_MAC "\x02\x00\x00\x00\x00\x10"
#define H0_MAC "\x02\x00\x00\x00\x00\x02"

static struct tundish_addr addr(const char *text)
{
	struct tundish_addr a;

	assert_int_equal(td_address_parse(text, &a), 0);
	return a;
}

static void assert_addr(const struct tundish_addr *a, const char *text)
{
	char buffer[TD_ADDRESS_TEXT];

	assert_string_equal(td_address_print(a, buffer), text);
}

static void test_frames(void **state)
{
	struct tundish_addr v4 = addr("192.0.2.10"), v6 = addr("2001:db8::10");
	uint8_t f[TD_FRAME_NA_BYTES];
	uint32_t sum = 58 + 32;

	td_frame_arp(f, (const uint8_t *)E0_MAC, v4.word[3], false);
	assert_memory_equal(f,
			    "\xff\xff\xff\xff\xff\xff" E0_MAC "\x08\x06\x00\x01\x08\x00\x06\x04"
			    "\x00\x01" E0_MAC "\xc0\x00\x02\x0a\0\0\0\0\0\0\xc0\x00\x02\x0a",
			    42);
	td_frame_arp(f, (const uint8_t *)E0_MAC, v4.word[3], true);
	assert_memory_equal(f + 20, "\x00\x02" E0_MAC "\xc0\x00\x02\x0a" E0_MAC "\xc0\x00\x02\x0a",
			    22);

	td_frame_na(f, (const uint8_t *)E0_MAC, &v6);
	assert_memory_equal(f, "\x33\x33\0\0\0\x01" E0_MAC "\x86\xdd\x60\0\0\0\0\x20\x3a\xff", 22);
	assert_memory_equal(f + 22, &v6, 16);
	assert_memory_equal(f + 38, "\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x88\x00", 18);
	assert_memory_equal(f + 58, "\x20\0\0\0", 4);
	assert_memory_equal(f + 62, &v6, 16);
	assert_memory_equal(f + 78, "\x02\x01" E0_MAC, 8);
	for (int i = 22; i < 86; i += 2) /* with its checksum all sums up to ones */
		sum += (uint32_t)f[i] << 8 | f[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(sum, 0xffff);
}

struct vlan {
	const char *kind;
	uint16_t id, protocol;
	int lower, lower_netns;
};

static void put_vlan_link(struct td_request *q, const struct vlan *v)
{
	struct ifinfomsg *m = td_request_init(q, RTM_NEWLINK, 0, sizeof(*m));
	struct nlattr *info, *data;

	m->ifi_index = 7;
	m->ifi_type = ARPHRD_ETHER;
	m->ifi_flags = IFF_UP | IFF_RUNNING;
	mnl_attr_put_strz(&q->header, IFLA_IFNAME, "e0.5");
	mnl_attr_put(&q->header, IFLA_ADDRESS, 6, E0_MAC);
	mnl_attr_put_u32(&q->header, IFLA_MTU, 1500);
	if (v->lower)
		mnl_attr_put_u32(&q->header, IFLA_LINK, (uint32_t)v->lower);
	if (v->lower_netns)
		mnl_attr_put_u32(&q->header, IFLA_LINK_NETNSID, (uint32_t)v->lower_netns);
	info = mnl_attr_nest_start(&q->header, IFLA_LINKINFO);
	mnl_attr_put_str(&q->header, IFLA_INFO_KIND, v->kind);
	data = mnl_attr_nest_start(&q->header, IFLA_INFO_DATA);
	if (v->protocol)
		mnl_attr_put_u16(&q->header, IFLA_VLAN_PROTOCOL, TUNDISH_BE16(v->protocol));
	mnl_attr_put_u16(&q->header, IFLA_VLAN_ID, v->id);
	mnl_attr_nest_end(&q->header, data);
	mnl_attr_nest_end(&q->header, info);
}

static void test_vlan(void **state)
{
	static const struct td_link nic = {
		.index = 3,
		.name = "e0",
		.type = ARPHRD_ETHER,
		.flags = IFF_UP | IFF_RUNNING,
		.mtu = 1400,
		.has_mac = true,
		.mac = "\x02\x00\x00\x00\x00\x99",
	};
	static const struct {
		struct vlan vlan;
		bool lower_is_vlan, lower_down;
		int result;
		const char *says;
	} cases[] = {
		{{"vlan", 5, 0x8100, 3, 0}, false, false, 0, ""},
		{{"vlan", 4094, 0, 3, 0}, false, false, 0, ""},
		{{"vlan", 5, 0x88a8, 3, 0}, false, false, -EMEDIUMTYPE, "0x88a8"},
		{{"vlan", 0, 0x8100, 3, 0}, false, false, -EMEDIUMTYPE, "no VLAN id"},
		{{"vlan", 4095, 0x8100, 3, 0}, false, false, -EMEDIUMTYPE, "no VLAN id"},
		{{"vlan", 5, 0x8100, 3, 1},
		 false,
		 false,
		 -EMEDIUMTYPE,
		 "another network namespace"},
		{{"vlan", 5, 0x8100, 3, 0}, true, false, -EMEDIUMTYPE, "only one tag"},
		{{"vlan", 5, 0x8100, 3, 0}, false, true, -ENETDOWN, "e0 is down"},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++) {
		struct tundish_nexthop h = {0};
		struct td_error e = {0};
		struct td_link l, lower = nic;
		struct td_request q;

		put_vlan_link(&q, &cases[i].vlan);
		assert_int_equal(td_link_parse(&q.header, &l), 0);
		assert_true(l.vlan);
		assert_int_equal(l.lower, 3);
		lower.vlan = cases[i].lower_is_vlan;
		lower.flags = cases[i].lower_down ? 0 : nic.flags;
		assert_int_equal(td_nexthop_apply_link(&l, &lower, &h, &e), cases[i].result);
		assert_non_null(strstr(e.text, cases[i].says));
		if (cases[i].result)
			continue;
		assert_int_equal(h.flags, TUNDISH_NEXTHOP_VLAN);
		assert_int_equal(h.vlan_tci_be, TUNDISH_BE16(cases[i].vlan.id));
		assert_int_equal(h.ifindex, 3);
		assert_int_equal(h.mtu, 1400);
		assert_memory_equal(h.source, E0_MAC, 6);
	}
}

static void test_other_kinds_are_no_vlan(void **state)
{
	static const char *const kinds[] = {"vlanx", "vla", "veth", ""};

	for (size_t i = 0; i < TD_ARRAY_SIZE(kinds); i++) {
		struct vlan v = {kinds[i], 5, 0x8100, 3, 0};
		struct td_request q;
		struct td_link l;

		put_vlan_link(&q, &v);
		assert_int_equal(td_link_parse(&q.header, &l), 0);
		assert_false(l.vlan);
	}
}

/* Cut at every length, and every attribute too short: never a byte beyond the
 * end (which valgrind and the sanitizers watch, since it lies on the heap; libmnl
 * counts the padding to four bytes in, and a buffer for datagrams has it). */
static void test_cut_messages(void **state)
{
	struct vlan v = {"vlan", 5, 0x8100, 3, 0};
	struct td_host_address x;
	struct td_request q;
	struct td_neigh g;
	struct td_route r;
	struct td_link l;

	put_vlan_link(&q, &v);
	for (uint32_t n = NLMSG_HDRLEN; n <= q.header.nlmsg_len; n++) {
		static const uint16_t types[] = {RTM_NEWLINK, RTM_NEWROUTE, RTM_NEWNEIGH,
						 RTM_NEWADDR};

		for (size_t i = 0; i < TD_ARRAY_SIZE(types); i++) {
			_cleanup_free_ struct nlmsghdr *h = calloc(1, NLMSG_ALIGN(n));

			memcpy(h, &q, n);
			h->nlmsg_len = n;
			h->nlmsg_type = types[i];
			td_link_parse(h, &l);
			td_route_parse(h, &r);
			td_neigh_parse(h, &g);
			td_host_address_parse(h, &x);
		}
	}
	q.header.nlmsg_len = NLMSG_HDRLEN + 4;
	assert_int_equal(td_link_parse(&q.header, &l), -EBADMSG);
	for (uint16_t type = 1; type < 40; type++)
		for (size_t length = 0; length < 4; length++) {
			struct td_request s;

			memset(&s, 0, sizeof(s));
			td_request_init(&s, RTM_NEWROUTE, 0, sizeof(struct rtmsg));
			((struct rtmsg *)mnl_nlmsg_get_payload(&s.header))->rtm_family = AF_INET;
			mnl_attr_put(&s.header, type, length, "\xff\xff\xff\xff");
			assert_int_equal(td_route_parse(&s.header, &r), 0);
			assert_false(r.has_gateway || r.has_source || r.oif || r.mtu);
		}
}

/* The host's own address counts, whichever of the two comes first. */
static void test_peer_is_not_this_host(void **state)
{
	for (int local_first = 0; local_first < 2; local_first++) {
		struct tundish_addr mine = addr("10.99.0.1"), peer = addr("10.99.0.2");
		struct td_host_address x;
		struct td_request q;
		struct ifaddrmsg *m = td_request_init(&q, RTM_NEWADDR, 0, sizeof(*m));

		m->ifa_family = AF_INET;
		td_request_put_addr(&q, local_first ? IFA_LOCAL : IFA_ADDRESS,
				    local_first ? &mine : &peer);
		td_request_put_addr(&q, local_first ? IFA_ADDRESS : IFA_LOCAL,
				    local_first ? &peer : &mine);
		assert_int_equal(td_host_address_parse(&q.header, &x), 1);
		assert_addr(&x.address, "10.99.0.1");
		assert_int_equal(x.protocol, 0);
	}
}

struct route {
	uint8_t family, length, table, protocol, type;
	const char *to;
	uint32_t table_attribute; /* 0: none */
};

static int parse_route(const struct route *x, struct td_prefix *ret)
{
	struct td_request q;
	struct rtmsg *m = td_request_init(&q, RTM_NEWROUTE, 0, sizeof(*m));
	struct tundish_addr a;

	m->rtm_family = x->family;
	m->rtm_dst_len = x->length;
	m->rtm_table = x->table;
	m->rtm_protocol = x->protocol;
	m->rtm_type = x->type;
	if (x->to) {
		a = addr(x->to);
		td_request_put_addr(&q, RTA_DST, &a);
	}
	if (x->table_attribute)
		mnl_attr_put_u32(&q.header, RTA_TABLE, x->table_attribute);
	return td_own_route_parse(&q.header, ret);
}

/* Only what is ours beyond doubt may be taken away. */
static void test_own_routes_are_known(void **state)
{
	const struct route good = {AF_INET,   24,	  RT_TABLE_LOCAL, TD_NET_PROTO,
				   RTN_LOCAL, "10.0.0.0", RT_TABLE_LOCAL};
	struct route others[] = {good, good, good, good, good, good, good, good};
	struct td_prefix p = {.length = 77};
	struct td_request q;
	struct route six = good;

	others[0].table = others[0].table_attribute = RT_TABLE_MAIN;
	others[1].protocol = RTPROT_KERNEL;
	others[2].type = RTN_UNICAST;
	others[3].to = NULL;
	others[4].length = 33;
	others[5].family = AF_MPLS;
	others[6].to = "2001:db8::"; /* not of the family */
	others[7].table_attribute = 1255;
	for (size_t i = 0; i < TD_ARRAY_SIZE(others); i++)
		assert_int_equal(parse_route(&others[i], &p), 0);
	td_request_init(&q, RTM_GETROUTE, 0, sizeof(struct rtmsg));
	assert_int_equal(td_own_route_parse(&q.header, &p), -EBADMSG);
	td_request_init(&q, RTM_NEWROUTE, 0, sizeof(struct rtmsg) - 4);
	assert_int_equal(td_own_route_parse(&q.header, &p), -EBADMSG);
	assert_int_equal(p.length, 77);

	assert_int_equal(parse_route(&good, &p), 1);
	assert_addr(&p.address, "10.0.0.0");
	assert_int_equal(p.length, 96 + 24);
	six.family = AF_INET6;
	six.length = 64;
	six.to = "2001:db8::";
	six.table_attribute = 0;
	assert_int_equal(parse_route(&six, &p), 1);
	assert_addr(&p.address, "2001:db8::");
	assert_int_equal(p.length, 64);
}

static void test_neighbour_events_are_filtered(void **state)
{
	struct td_neigh g = {.ifindex = 3,
			     .address = addr("10.0.0.1"),
			     .state = NUD_REACHABLE,
			     .has_mac = true,
			     .mac = H0_MAC};
	_cleanup_free_ struct td_net *n = calloc(1, sizeof(*n));

	assert_int_equal(td_events_init(n), 0);
	assert_false(td_events_neigh_changed(n, &g, false)); /* nobody asked */
	td_events_ask(n, 3, &g.address);
	assert_true(td_events_neigh_changed(n, &g, false));
	g.state = NUD_STALE;
	assert_false(td_events_neigh_changed(n, &g, false));
	g.state = NUD_PROBE;
	assert_false(td_events_neigh_changed(n, &g, false));
	g.mac[5] ^= 1;
	assert_true(td_events_neigh_changed(n, &g, false));
	g.state = NUD_FAILED;
	assert_true(td_events_neigh_changed(n, &g, false));
	g.mac[5] ^= 1; /* of no use, hence no news */
	assert_false(td_events_neigh_changed(n, &g, false));
	assert_true(td_events_neigh_changed(n, &g, true));
	g.ifindex = 4;
	assert_false(td_events_neigh_changed(n, &g, false));
	td_events_done(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_vlan),
		cmocka_unit_test(test_other_kinds_are_no_vlan),
		cmocka_unit_test(test_cut_messages),
		cmocka_unit_test(test_peer_is_not_this_host),
		cmocka_unit_test(test_own_routes_are_known),
		cmocka_unit_test(test_neighbour_events_are_filtered),
	};

	return cmocka_run_group_tests_name("net_parse", tests, NULL, NULL);
}
