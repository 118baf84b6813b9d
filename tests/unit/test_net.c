// SPDX-License-Identifier: GPL-2.0-only
/*
 * Next hops, events and this host's addresses.
 */
#include "net_fixture.h"

/* ---- next hops --------------------------------------------------------------- */

static void test_direct(void **state)
{
	static const struct {
		const char *to, *from;
	} cases[] = {{"10.90.0.2", "10.90.0.1"}, {"2001:db8:90::2", "2001:db8:90::1"}};

	need_nets();
	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++) {
		struct tundish_addr a = addr(cases[i].to);
		struct tundish_nexthop h = {0};
		struct td_error e = {0};
		bool via = true;

		assert_int_equal(td_net_nexthop(t.edge, &a, &h, &via, &e), -EAGAIN);
		assert_non_null(strstr(e.text, cases[i].to));
		assert_int_equal(h.flags, 0);
		assert_int_equal(h.ifindex, t.e0);
		assert_int_equal(nexthop_soon(cases[i].to, &h, &via), 0);
		assert_int_equal(h.flags, TUNDISH_NEXTHOP_VALID);
		assert_memory_equal(h.destination, H0_MAC, 6);
		assert_memory_equal(h.source, E0_MAC, 6);
		assert_int_equal(h.ifindex, t.e0);
		assert_int_equal(h.mtu, 1500);
		assert_addr(&h.tunnel_source, cases[i].from);
		assert_false(via);
		assert_int_equal(run(EDGE, "ip -d neigh show %s | grep -q managed", cases[i].to),
				 0);
	}
}

static void test_via_gateway(void **state)
{
	struct tundish_nexthop h;
	bool via = false;

	need_nets();
	ip(EDGE, "addr add 10.91.0.77/24 dev e1\n"
		 "route add 10.100.0.0/16 via 10.91.0.2 mtu 1400 src 10.91.0.77\n"
		 "route add 2001:db8:100::/48 via 2001:db8:91::2 mtu 1300\n"
		 "route add 10.101.0.0/16 via inet6 fe80::9 dev e1\n"
		 "route add 10.102.0.0/16 nexthop via 10.91.0.2 nexthop via 10.91.0.2 weight 2\n"
		 "route add 10.103.0.0/16 via 10.91.0.2 mtu 9000\n");
	assert_int_equal(nexthop_soon("10.100.1.1", &h, &via), 0);
	assert_true(via);
	assert_memory_equal(h.destination, G0_MAC, 6);
	assert_int_equal(h.ifindex, t.e1);
	assert_int_equal(h.mtu, 1400);
	assert_addr(&h.tunnel_source, "10.91.0.77");
	assert_int_equal(nexthop_soon("2001:db8:100::1", &h, &via), 0);
	assert_memory_equal(h.destination, G0_MAC, 6);
	assert_int_equal(h.mtu, 1300);
	assert_addr(&h.tunnel_source, "2001:db8:91::1");
	via = false;
	assert_int_equal(nexthop_soon("10.101.1.1", &h, &via), 0); /* by an IPv6 gateway */
	assert_true(via);
	assert_memory_equal(h.destination, G0_MAC, 6);
	assert_true(tundish_addr_is_v4(&h.tunnel_source));
	assert_int_equal(nexthop_soon("10.102.1.1", &h, &via), 0);
	assert_memory_equal(h.destination, G0_MAC, 6);
	assert_int_equal(nexthop_soon("10.103.1.1", &h, &via), 0);
	assert_int_equal(h.mtu, 1500); /* the link's is smaller */
}

static void test_no_source_address(void **state)
{
	static const struct tundish_addr none;
	struct tundish_nexthop h;

	need_nets();
	ip(EDGE, "addr flush dev e0 scope global\naddr flush dev e1 scope global\n"
		 "route add 10.101.0.0/16 via inet6 fe80::9 dev e1\n");
	assert_int_equal(nexthop_soon("10.101.1.1", &h, NULL), 0);
	assert_memory_equal(h.destination, G0_MAC, 6);
	assert_true(tundish_addr_equal(&h.tunnel_source, &none));
}

static void test_refused(void **state)
{
	need_nets();
	ip(EDGE, "route add blackhole 10.110.0.0/16\nroute add unreachable 10.111.0.0/16\n"
		 "route add prohibit 10.112.0.0/16\nroute add blackhole 2001:db8:110::/48\n"
		 "route add unreachable 2001:db8:111::/48\nroute add prohibit 2001:db8:112::/48\n"
		 "route add 10.113.0.0/16 dev lo\n");
	assert_int_equal(fails("10.120.0.1", "no route to 10.120.0.1"), -ENETUNREACH);
	assert_int_equal(fails("2001:db8:120::1", "route"), -ENETUNREACH);
	assert_int_equal(fails("10.110.0.1", "blackhole"), -ENETUNREACH);
	assert_int_equal(fails("10.111.0.1", "unreachable"), -ENETUNREACH);
	assert_int_equal(fails("10.112.0.1", "prohibit"), -ENETUNREACH);
	assert_int_equal(fails("2001:db8:110::1", "blackhole"), -ENETUNREACH);
	assert_int_equal(fails("2001:db8:111::1", "unreachable"), -ENETUNREACH);
	assert_int_equal(fails("2001:db8:112::1", "prohibit"), -ENETUNREACH);
	assert_int_equal(fails("10.90.0.255", "broadcast"), -ENETUNREACH);
	assert_int_equal(fails("10.113.0.1", "interface lo has no Ethernet"), -EMEDIUMTYPE);
}

static void test_local(void **state)
{
	static const char *const own[] = {"10.90.0.1", "2001:db8:91::1", "127.0.0.1"};

	need_nets();
	for (size_t i = 0; i < TD_ARRAY_SIZE(own); i++) {
		struct tundish_nexthop h;
		bool via = true;

		assert_int_equal(nexthop_soon(own[i], &h, &via), 0);
		assert_int_equal(h.flags, TUNDISH_NEXTHOP_VALID | TUNDISH_NEXTHOP_LOCAL);
		assert_false(via);
	}
}

static void test_no_carrier(void **state)
{
	uint64_t end = now_ms() + WAIT_MS;
	struct tundish_addr a = addr("10.90.0.2");
	struct tundish_nexthop h;
	struct td_error e = {0};

	need_nets();
	assert_int_equal(nexthop_soon("10.90.0.2", &h, NULL), 0);
	td_net_drain_events(t.edge);
	ip(HOST, "link set h0 down\n");
	assert_true(changes_soon(TD_NET_LINKS) & TD_NET_LINKS);
	while (td_net_nexthop(t.edge, &a, &h, NULL, &e) != -ENETDOWN && now_ms() < end)
		changes_soon(TD_NET_LINKS);
	assert_int_equal(fails("10.90.0.2", "e0 is up but has no carrier"), -ENETDOWN);
	ip(HOST, "link set h0 up\n");
	assert_true(changes_soon(TD_NET_LINKS) & TD_NET_LINKS);
	assert_int_equal(nexthop_soon("10.90.0.2", &h, NULL), 0);
	ip(EDGE, "link set e0 down\n");
	assert_int_equal(changes_soon(TD_NET_LINKS | TD_NET_ROUTES) & TD_NET_ROUTES, TD_NET_ROUTES);
	assert_int_equal(fails("10.90.0.2", "no route"), -ENETUNREACH);
}

static void test_neighbour_changes(void **state)
{
	struct tundish_addr host = addr("10.90.0.2");
	struct tundish_nexthop h;
	struct td_error e = {0};
	struct td_net *there;
	struct td_link link;

	need_nets();
	set_sysctl(EDGE, "ipv4/neigh/e0/locktime", "0");
	assert_int_equal(nexthop_soon("10.90.0.2", &h, NULL), 0);
	td_net_drain_events(t.edge);
	enter(HOST);
	assert_int_equal(td_net_open(&there, &e), 0);
	assert_int_equal(td_link_get(there, if_nametoindex("h0"), &link), 0);
	enter(EDGE);
	link.mac[5] = 0x55;
	assert_int_equal(td_announce(there, &link, &host), 0);
	td_net_close(there);
	assert_true(changes_soon(TD_NET_NEIGHBOURS) & TD_NET_NEIGHBOURS);
	assert_int_equal(nexthop_soon("10.90.0.2", &h, NULL), 0);
	assert_int_equal(h.destination[5], 0x55);
	ip(EDGE, "neigh flush dev e0\n");
	assert_true(changes_soon(TD_NET_NEIGHBOURS) & TD_NET_NEIGHBOURS);
	assert_int_equal(nexthop_soon("10.90.0.2", &h, NULL), 0);
	assert_memory_equal(h.destination, H0_MAC, 6);
}

static void test_static_entries_are_left_alone(void **state)
{
	struct tundish_nexthop h;

	need_nets();
	ip(EDGE, "neigh add 10.90.0.2 lladdr 02:00:00:00:00:77 dev e0 nud permanent\n"
		 "neigh add 10.90.0.3 lladdr 02:00:00:00:00:78 dev e0 nud noarp\n"
		 "neigh add 10.90.0.4 lladdr 02:00:00:00:00:79 dev e0 nud reachable extern_learn\n"
		 "neigh add 10.90.0.5 lladdr 02:00:00:00:00:7a dev e0 nud stale\n");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(nexthop_soon("10.90.0.2", &h, NULL), 0);
		assert_int_equal(h.destination[5], 0x77);
		assert_int_equal(nexthop_soon("10.90.0.3", &h, NULL), 0);
		assert_int_equal(nexthop_soon("10.90.0.4", &h, NULL), 0);
		assert_int_equal(h.destination[5], 0x79);
	}
	assert_int_equal(run(EDGE, "ip neigh show 10.90.0.2 nud permanent | grep -q PERMANENT"), 0);
	assert_int_equal(run(EDGE, "ip neigh show 10.90.0.3 nud noarp | grep -q NOARP"), 0);
	assert_int_equal(run(EDGE, "ip neigh show 10.90.0.4 | grep -q extern_learn"), 0);
	assert_int_not_equal(run(EDGE, "ip -d neigh show | grep -q managed"), 0);
	/* A learnt one is used as it is, and managed from now on. */
	assert_int_equal(nexthop_soon("10.90.0.5", &h, NULL), 0);
	assert_int_equal(h.destination[5], 0x7a);
	assert_int_equal(run(EDGE, "ip -d neigh show 10.90.0.5 | grep -q managed"), 0);
}

static void test_older_kernels_ways(void **state)
{
	struct tundish_nexthop h;

	need_nets();
	t.edge->no_neigh_get = true;
	t.edge->no_neigh_managed = true;
	assert_int_equal(nexthop_soon("10.90.0.2", &h, NULL), 0);
	assert_memory_equal(h.destination, H0_MAC, 6);
	assert_int_equal(nexthop_soon("2001:db8:90::2", &h, NULL), 0);
	assert_memory_equal(h.destination, H0_MAC, 6);
	assert_int_not_equal(run(EDGE, "ip -d neigh show | grep -q managed"), 0);
}

static void test_neighbours_are_given_back(void **state)
{
	struct tundish_nexthop h;
	struct td_error e = {0};

	need_nets();
	ip(EDGE, "neigh add 10.90.0.9 dev e0 managed\n"); /* somebody else's */
	assert_int_equal(nexthop_soon("10.90.0.2", &h, NULL), 0);
	assert_int_equal(nexthop_soon("2001:db8:90::2", &h, NULL), 0);
	assert_int_equal(run(EDGE, "test $(ip -d neigh show | grep -c managed) = 3"), 0);
	assert_int_equal(td_net_release_neighbours(t.edge, &e), 0);
	assert_int_equal(run(EDGE, "test $(ip -d neigh show | grep -c managed) = 1"), 0);
	assert_int_equal(nexthop_soon("10.90.0.2", &h, NULL), 0); /* and taken up again */
	assert_int_equal(run(EDGE, "ip -d neigh show 10.90.0.2 | grep -q managed"), 0);
}

static void test_lost_events_are_all(void **state)
{
	int one = 1, all = TD_NET_LINKS | TD_NET_ADDRESSES | TD_NET_ROUTES | TD_NET_NEIGHBOURS;

	need_nets();
	td_net_drain_events(t.edge);
	assert_int_equal(td_net_drain_events(t.edge), 0);
	setsockopt(td_net_event_fd(t.edge), SOL_SOCKET, SO_RCVBUF, &one, sizeof(one));
	for (int i = 1; i < 100; i++)
		ip(EDGE, "route add 10.120.%d.0/24 dev e0\n", i);
	assert_int_equal(td_net_drain_events(t.edge), all);
	ip(EDGE, "route add 10.121.0.0/24 dev e0\n");
	assert_int_equal(changes_soon(TD_NET_ROUTES), TD_NET_ROUTES);
}

static void test_thousand_backends(void **state)
{
	enum { N = 1000 };
	_cleanup_free_ char *lines = NULL;
	size_t length;
	FILE *f = open_memstream(&lines, &length);
	struct timespec from, to;
	struct td_error e = {0};
	double ms;

	need_nets();
	/* Permanent ones, since the kernel keeps 1024 others at most on the whole machine. */
	fprintf(f, "addr add 10.92.0.1/16 dev e0\n");
	for (int i = 0; i < N; i++)
		fprintf(f, "neigh add 10.92.%d.%d lladdr 02:00:00:01:%02x:%02x dev e0 nud %s\n",
			1 + i / 250, 1 + i % 250, i >> 8, i & 0xff,
			i < 100 ? "stale" : "permanent");
	fclose(f);
	ip(EDGE, "%s", lines);
	for (int round = 0; round < 2; round++) {
		clock_gettime(CLOCK_MONOTONIC, &from);
		for (int i = 0; i < N; i++) {
			struct tundish_nexthop h;
			struct tundish_addr a;
			char text[32];

			snprintf(text, sizeof(text), "10.92.%d.%d", 1 + i / 250, 1 + i % 250);
			a = addr(text);
			assert_int_equal(td_net_nexthop(t.edge, &a, &h, NULL, &e), 0);
			assert_int_equal(h.destination[5], i & 0xff);
		}
		clock_gettime(CLOCK_MONOTONIC, &to);
		ms = (double)(to.tv_sec - from.tv_sec) * 1e3 +
		     (double)(to.tv_nsec - from.tv_nsec) / 1e6;
		print_message("%d next hops in %.1f ms (%s)\n", N, ms,
			      round ? "managed already" : "first time");
		assert_true(ms < 1000);
	}
}

/* The drivers of links that stay within a host or its hypervisor leave checksums undone. */
static void test_link_facts(void **state)
{
	struct td_link_facts f;

	assert_true(td_link_driver_is_partial("veth"));
	assert_true(td_link_driver_is_partial("virtio_net"));
	assert_true(td_link_driver_is_partial("tun"));
	assert_false(td_link_driver_is_partial("ixgbe"));
	assert_false(td_link_driver_is_partial(""));
	need_nets();
	ip(EDGE, "link set e1 mtu 1400\n");
	assert_int_equal(td_net_link_facts(t.edge, t.e1, &f), 0);
	assert_int_equal(f.mtu, 1400);
	assert_true(f.partial);
	assert_false(f.strips); /* without VLAN devices there is nothing to strip */
	ip(EDGE, "link set e1 mtu 1500\n");
	assert_int_equal(td_net_link_facts(t.edge, 9999, &f), -ENODEV);
	if (run(EDGE, "ip link add link e1 name e1.7 type vlan id 7 2>/dev/null"))
		return; /* the kernel has no VLANs */
	assert_int_equal(td_net_link_facts(t.edge, t.e1, &f), 0);
	assert_int_equal(f.strips, !run(EDGE, "ethtool -k e1 | grep -q '^rx-vlan-offload: on'"));
	ip(EDGE, "link del e1.7\n");
}

static void test_addresses(void **state)
{
	_cleanup_free_ struct tundish_addr *list = NULL;
	struct tundish_addr want[] = {addr("10.90.0.1"), addr("2001:db8:91::1"), addr("10.99.0.1"),
				      addr("198.51.100.1")};
	size_t n = 0;

	need_nets();
	ip(EDGE, "addr add 10.99.0.1 peer 10.99.0.2 dev e0\naddr add 198.51.100.1/32 dev lo\n"
		 "addr add 198.51.100.1/32 dev e1\n");
	assert_int_equal(td_net_addresses(t.edge, &list, &n), 0);
	for (size_t i = 0; i < TD_ARRAY_SIZE(want); i++) {
		int count = 0;

		for (size_t k = 0; k < n; k++)
			count += tundish_addr_equal(&list[k], &want[i]);
		assert_int_equal(count, 1);
	}
	for (size_t k = 0; k < n; k++) {
		char text[TD_ADDRESS_TEXT];

		td_address_print(&list[k], text);
		assert_string_not_equal(text, "127.0.0.1");
		assert_string_not_equal(text, "::1");
		assert_string_not_equal(text, "10.99.0.2");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_NETS(test_direct),
		IN_NETS(test_via_gateway),
		IN_NETS(test_no_source_address),
		IN_NETS(test_refused),
		IN_NETS(test_local),
		IN_NETS(test_no_carrier),
		IN_NETS(test_neighbour_changes),
		IN_NETS(test_static_entries_are_left_alone),
		IN_NETS(test_older_kernels_ways),
		IN_NETS(test_neighbours_are_given_back),
		IN_NETS(test_lost_events_are_all),
		IN_NETS(test_thousand_backends),
		IN_NETS(test_link_facts),
		IN_NETS(test_addresses),
	};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
