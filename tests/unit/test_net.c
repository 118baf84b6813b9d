// SPDX-License-Identifier: GPL-2.0-only
/*
 * net/ against the real kernel. Each test has three network namespaces of its
 * own, which exist only as descriptors of this process:
 *
 *   host h0 10.90.0.2 ── e0 10.90.0.1 edge e1 10.91.0.1 ── g0 10.91.0.2 gateway
 *        2001:db8:90::2     2001:db8:90::1    2001:db8:91::1   2001:db8:91::2
 *
 * What needs no kernel is in test_net_parse.c.
 */
#include <fcntl.h>
#include <linux/if_addr.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "core/address.h"
#include "net/announce.h"
#include "net/events.h"

#define E0_MAC	"\x02\x00\x00\x00\x00\x10"
#define H0_MAC	"\x02\x00\x00\x00\x00\x02"
#define G0_MAC	"\x02\x00\x00\x00\x00\x03"
#define WAIT_MS 5000

enum { EDGE, HOST, GATEWAY, N_NETS };

static struct {
	int net[N_NETS];
	struct td_net *edge; /* a handle in EDGE */
	unsigned int e0, e1;
} t;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void enter(int net)
{
	assert_int_equal(setns(t.net[net], CLONE_NEWNET), 0);
}

/* Runs the lines through `ip -batch` in the namespace. */
static void ip(int net, const char *format, ...)
{
	va_list ap;
	FILE *f;

	enter(net);
	f = popen("ip -batch -", "w");
	assert_non_null(f);
	va_start(ap, format);
	vfprintf(f, format, ap);
	va_end(ap);
	assert_int_equal(pclose(f), 0);
	enter(EDGE);
}

static int run(int net, const char *format, ...)
{
	char command[512];
	va_list ap;
	int r;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	enter(net);
	r = system(command);
	enter(EDGE);
	return r;
}

static void set_sysctl(int net, const char *name, const char *value)
{
	char path[128];
	int fd;

	enter(net);
	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, value, strlen(value)), strlen(value));
	close(fd);
	enter(EDGE);
}

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

static int setup(void **state)
{
	struct td_error e = {0};

	for (int i = 0; i < N_NETS; i++)
		t.net[i] = -1;
	for (int i = 0; i < N_NETS; i++) {
		if (unshare(CLONE_NEWNET) < 0) {
			print_message("no network namespaces here: %s\n", strerror(errno));
			return 0;
		}
		t.net[i] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		set_sysctl(i, "ipv6/conf/default/accept_dad", "0");
		set_sysctl(i, "ipv6/conf/all/accept_dad", "0");
		enter(i);
	}
	ip(EDGE,
	   "link set lo up\n"
	   "link add e0 address 02:00:00:00:00:10 type veth peer name h0 address "
	   "02:00:00:00:00:02 netns /proc/%d/fd/%d\n"
	   "link add e1 address 02:00:00:00:00:11 type veth peer name g0 address "
	   "02:00:00:00:00:03 netns /proc/%d/fd/%d\n"
	   "link set e0 up\nlink set e1 up\n"
	   "addr add 10.90.0.1/24 dev e0\naddr add 2001:db8:90::1/64 dev e0 nodad\n"
	   "addr add 10.91.0.1/24 dev e1\naddr add 2001:db8:91::1/64 dev e1 nodad\n",
	   getpid(), t.net[HOST], getpid(), t.net[GATEWAY]);
	ip(HOST, "link set lo up\nlink set h0 up\naddr add 10.90.0.2/24 dev h0\n"
		 "addr add 2001:db8:90::2/64 dev h0 nodad\n"
		 "route add 192.0.2.0/24 dev h0\nroute add 2001:db8:2::/64 dev h0\n");
	ip(GATEWAY, "link set lo up\nlink set g0 up\naddr add 10.91.0.2/24 dev g0\n"
		    "addr add 2001:db8:91::2/64 dev g0 nodad\naddr add fe80::9/64 dev g0 nodad\n");
	t.e0 = if_nametoindex("e0");
	t.e1 = if_nametoindex("e1");
	assert_int_equal(td_net_open(&t.edge, &e), 0);
	return 0;
}

static int teardown(void **state)
{
	t.edge = td_net_close(t.edge);
	for (int i = 0; i < N_NETS; i++)
		if (t.net[i] >= 0)
			close(t.net[i]);
	return 0;
}

static void need_nets(void)
{
	if (!t.edge)
		skip();
}

/* Asks until the kernel has resolved the neighbour; sends nothing itself. */
static int nexthop_soon(const char *to, struct tundish_nexthop *ret, bool *via)
{
	struct tundish_addr a = addr(to);
	uint64_t end = now_ms() + WAIT_MS;
	struct td_error e = {0};
	int r;

	while ((r = td_net_nexthop(t.edge, &a, ret, via, &e)) == -EAGAIN && now_ms() < end) {
		struct pollfd p = {.fd = td_net_event_fd(t.edge), .events = POLLIN};

		poll(&p, 1, 100);
		td_net_drain_events(t.edge);
	}
	if (r < 0)
		print_message("%s: %s\n", to, e.text);
	return r;
}

static int fails(const char *to, const char *says)
{
	struct tundish_nexthop h, before;
	struct tundish_addr a = addr(to);
	struct td_error e = {0};
	int r;

	memset(&h, 0x5a, sizeof(h));
	before = h;
	r = td_net_nexthop(t.edge, &a, &h, NULL, &e);
	assert_memory_equal(&h, &before, sizeof(h));
	if (!strstr(e.text, says))
		fail_msg("%s: \"%s\" does not say \"%s\"", to, e.text, says);
	return r;
}

/* Polls the events until all of `bits` were seen. */
static int changes_soon(int bits)
{
	uint64_t end = now_ms() + WAIT_MS;
	int seen = 0;

	while ((seen & bits) != bits && now_ms() < end) {
		struct pollfd p = {.fd = td_net_event_fd(t.edge), .events = POLLIN};
		int r;

		poll(&p, 1, 100);
		r = td_net_drain_events(t.edge);
		assert_true(r >= 0);
		seen |= r;
	}
	return seen;
}

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

/* ---- owning VIPs ---------------------------------------------------------------- */

static struct td_prefix prefix(const char *text)
{
	struct td_prefix p;

	assert_int_equal(td_prefix_parse(text, &p), 0);
	return p;
}

static int own(const char *vip4, const char *vip6, const char *former4, const char *former6,
	       char **ret_changes, struct td_error *e)
{
	struct td_prefix vips[2], former[2];
	unsigned int interfaces[] = {0, t.e0, t.e1, 4711}; /* two that are gone */
	size_t n = 0, n_former = 0;

	if (vip4)
		vips[n++] = prefix(vip4);
	if (vip6)
		vips[n++] = prefix(vip6);
	if (former4)
		former[n_former++] = prefix(former4);
	if (former6)
		former[n_former++] = prefix(former6);
	return td_net_own_vips(t.edge, vips, n, former, n_former, interfaces,
			       TD_ARRAY_SIZE(interfaces), ret_changes, e);
}

/* Owns, and expects exactly these changes. */
static void own_gives(const char *vip4, const char *vip6, const char *former4, const char *former6,
		      const char *expected)
{
	_cleanup_free_ char *changes = NULL;
	struct td_error e = {0};

	if (own(vip4, vip6, former4, former6, &changes, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(changes, expected);
}

#define V4	  "192.0.2.10"
#define V6	  "2001:db8:2::10"
#define ALL_ADDED "added " V4 "/32 to e0\nadded " V6 "/128 to e0\nadded " V6 "/128 to e1\n"
#define ALL_REMOVED                                                                                \
	"removed " V4 "/32 from e0\nremoved " V6 "/128 from e0\nremoved " V6 "/128 from e1\n"

static const struct td_host_address *find_address(struct td_host_address *all, size_t n,
						  const char *text, unsigned int ifindex)
{
	struct tundish_addr a = addr(text);

	for (size_t i = 0; i < n; i++)
		if (tundish_addr_equal(&all[i].address, &a) && all[i].ifindex == ifindex)
			return &all[i];
	return NULL;
}

static void test_own(void **state)
{
	_cleanup_free_ struct td_host_address *all = NULL;
	const struct td_host_address *x;
	size_t n = 0;

	need_nets();
	own_gives(V4, V6, NULL, NULL, ALL_ADDED);
	assert_int_equal(td_host_addresses(t.edge, 0, &all, &n), 0);
	x = find_address(all, n, V4, t.e0);
	assert_non_null(x);
	assert_int_equal(x->protocol, TD_NET_PROTO);
	assert_int_equal(x->prefix_length, 32);
	assert_null(find_address(all, n, V4, t.e1));
	for (int i = 0; i < 2; i++) {
		x = find_address(all, n, V6, i ? t.e1 : t.e0);
		assert_non_null(x);
		assert_int_equal(x->protocol, TD_NET_PROTO);
		assert_int_equal(x->prefix_length, 128);
		assert_int_equal(x->flags, IFA_F_NODAD | IFA_F_NOPREFIXROUTE | IFA_F_PERMANENT |
						   IFA_F_DEPRECATED);
	}
	/* ARP, neighbour discovery and echo are answered at once. */
	assert_int_equal(run(HOST, "ping -c 1 -W 2 " V4 " >/dev/null"), 0);
	assert_int_equal(run(HOST, "ping -c 1 -W 2 " V6 " >/dev/null"), 0);
	assert_int_equal(run(HOST, "ip neigh show " V4 " | grep -q 02:00:00:00:00:10"), 0);
	assert_int_equal(run(HOST, "ip neigh show " V6 " | grep -q 02:00:00:00:00:10"), 0);

	own_gives(V4, V6, NULL, NULL, "");
	own_gives(V4, V6, V4, V6, "");
	own_gives(NULL, NULL, NULL, NULL, ""); /* another instance's, for all we know */
	own_gives("192.0.2.11", NULL, V4, V6, "added 192.0.2.11/32 to e0\n" ALL_REMOVED);
	own_gives(NULL, NULL, V4, V6, "");
	own_gives(NULL, NULL, "192.0.2.11", NULL, "removed 192.0.2.11/32 from e0\n");
}

static void test_own_after_a_crash(void **state)
{
	struct td_error e = {0};

	need_nets();
	own_gives(V4, NULL, NULL, NULL, "added " V4 "/32 to e0\n");
	t.edge = td_net_close(t.edge);
	assert_int_equal(td_net_open(&t.edge, &e), 0);
	own_gives(V4, V6, NULL, NULL, "added " V6 "/128 to e0\nadded " V6 "/128 to e1\n");
	own_gives(NULL, NULL, V4, V6, ALL_REMOVED);
}

static void test_own_leaves_others_alone(void **state)
{
	need_nets();
	ip(EDGE, "addr add " V4 "/32 dev lo\naddr add " V6 "/64 dev e1 nodad\n");
	own_gives(V4, V6, NULL, NULL, "added " V6 "/128 to e0\n");
	own_gives(NULL, NULL, V4, V6, "removed " V6 "/128 from e0\n");
	assert_int_equal(run(EDGE, "ip addr show dev lo | grep -q " V4), 0);
	assert_int_equal(run(EDGE, "ip addr show dev e1 | grep -q " V6 "/64"), 0);
	ip(EDGE, "route add local 192.0.2.128/25 dev lo\n");
	own_gives("192.0.2.200", NULL, NULL, NULL, "");
}

static void test_own_moves(void **state)
{
	need_nets();
	own_gives(V4, V6, NULL, NULL, ALL_ADDED);
	ip(EDGE, "link set e0 down\n"); /* its IPv6 addresses go with it */
	own_gives(V4, V6, V4, V6, "added " V4 "/32 to e1\nremoved " V4 "/32 from e0\n");
	assert_int_equal(run(GATEWAY, "ip route add 192.0.2.0/24 dev g0 && "
				      "ping -c 1 -W 2 " V4 " >/dev/null"),
			 0);
	ip(EDGE, "link set e0 up\n");
	own_gives(V4, V6, V4, V6, "added " V6 "/128 to e0\n");
	ip(EDGE, "link del e1\n");
	own_gives(V4, V6, V4, V6, "added " V4 "/32 to e0\n");
}

static void test_own_without_ipv6(void **state)
{
	_cleanup_free_ char *changes = NULL;
	struct td_error e = {0};

	need_nets();
	set_sysctl(EDGE, "ipv6/conf/e0/disable_ipv6", "1");
	own_gives(V4, V6, NULL, NULL, "added " V4 "/32 to e0\nadded " V6 "/128 to e1\n");
	own_gives(V4, V6, NULL, NULL, "");
	set_sysctl(EDGE, "ipv6/conf/e1/disable_ipv6", "1");
	assert_int_equal(own("192.0.2.11", V6, NULL, NULL, &changes, &e), -EAFNOSUPPORT);
	assert_string_equal(changes, "added 192.0.2.11/32 to e0\n");
	assert_non_null(strstr(e.text, "VIP " V6 " cannot stand on e0, where IPv6 is disabled"));
}

static void test_own_nowhere(void **state)
{
	_cleanup_free_ char *changes = NULL;
	struct td_error e = {0};

	need_nets();
	ip(EDGE, "link set e0 down\nlink set e1 down\n");
	assert_int_equal(own(V4, V6, NULL, NULL, &changes, &e), -ENETDOWN);
	assert_non_null(strstr(e.text, "none of \"interfaces:\" is up"));
	assert_string_equal(changes, "");
}

#define P4 "198.51.100.0/24"
#define P6 "2001:db8:3::/64"

/* A prefix is a local route, taken from any address in it and given back. */
static void test_own_prefixes(void **state)
{
	need_nets();
	ip(HOST, "route add " P4 " dev h0\nroute add " P6 " via 2001:db8:90::1\n");
	own_gives(P4, P6, NULL, NULL, "added " P4 " to lo\nadded " P6 " to lo\n");
	assert_int_equal(
		run(EDGE, "ip route show table local proto 116 | grep -q '^local " P4 " dev lo '"),
		0);
	assert_int_equal(run(HOST, "ping -c 1 -W 2 198.51.100.77 >/dev/null"), 0);
	assert_int_equal(run(HOST, "ping -c 1 -W 2 2001:db8:3::77 >/dev/null"), 0);
	own_gives(P4, P6, P4, P6, "");
	own_gives(NULL, NULL, NULL, NULL, ""); /* another instance's, for all we know */
	own_gives("198.51.100.0/25", NULL, P4, P6,
		  "added 198.51.100.0/25 to lo\nremoved " P4 " from lo\nremoved " P6 " from lo\n");
	own_gives(NULL, NULL, "198.51.100.0/25", NULL, "removed 198.51.100.0/25 from lo\n");
	own_gives(NULL, NULL, "198.51.100.0/25", NULL, "");
}

static void test_own_prefixes_leave_others_alone(void **state)
{
	_cleanup_free_ char *changes = NULL;
	struct td_error e = {0};

	need_nets();
	ip(EDGE, "link set lo down\n");
	assert_int_equal(own(P4, P6, NULL, NULL, &changes, &e), -ENETDOWN); /* IPv4 does not mind */
	assert_string_equal(changes, "added " P4 " to lo\n");
	assert_non_null(
		strstr(e.text, "VIP " P6 " has no interface to stand on, since lo is down"));
	own_gives(NULL, NULL, P4, P6, "removed " P4 " from lo\n");
	ip(EDGE, "link set lo up\nroute add local " P4 " dev lo\nroute add local " P6 " dev lo\n");
	own_gives(P4, P6, NULL, NULL, "");
	own_gives(NULL, NULL, P4, P6, "");
	assert_int_equal(run(EDGE, "ip route show table local | grep -q '^local " P4 "'"), 0);
	assert_int_equal(run(EDGE, "ip -6 route show table local | grep -q '^local " P6 "'"), 0);
	own_gives("198.51.100.7", NULL, NULL, NULL, "");
}

/* An address of its own is there before the prefix around it goes. */
static void test_own_address_in_a_prefix(void **state)
{
	need_nets();
	own_gives(P4, NULL, NULL, NULL, "added " P4 " to lo\n");
	own_gives(P4, "198.51.100.7", P4, NULL, "added 198.51.100.7/32 to e0\n");
	own_gives("198.51.100.7", NULL, P4, "198.51.100.7", "removed " P4 " from lo\n");
	own_gives(P4, "198.51.100.7", NULL, NULL, "added " P4 " to lo\n");
	own_gives(NULL, NULL, P4, "198.51.100.7",
		  "removed 198.51.100.7/32 from e0\nremoved " P4 " from lo\n");
}

static void test_announced(void **state)
{
	struct tundish_addr v4 = addr(V4), v6 = addr(V6);
	uint8_t want[3][TD_FRAME_NA_BYTES];
	static const size_t lengths[3] = {TD_FRAME_ARP_BYTES, TD_FRAME_ARP_BYTES,
					  TD_FRAME_NA_BYTES};

	need_nets();
	for (int side = 0; side < 2; side++) { /* IPv4 on e1 too, where it does not stand */
		const uint8_t *mac = (const uint8_t *)(side ? "\x02\x00\x00\x00\x00\x11" : E0_MAC);
		struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(0x0003)};
		uint64_t end = now_ms() + WAIT_MS;
		unsigned int seen = 0;
		int fd;

		td_frame_arp(want[0], mac, v4.word[3], false);
		td_frame_arp(want[1], mac, v4.word[3], true);
		td_frame_na(want[2], mac, &v6);
		enter(side ? GATEWAY : HOST);
		fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x0003));
		at.sll_ifindex = (int)if_nametoindex(side ? "g0" : "h0");
		assert_int_equal(bind(fd, (void *)&at, sizeof(at)), 0);
		enter(EDGE);
		own_gives(V4, V6, NULL, NULL, ALL_ADDED);
		while (seen != 7 && now_ms() < end) {
			struct pollfd p = {.fd = fd, .events = POLLIN};
			uint8_t frame[256];
			ssize_t r = poll(&p, 1, 100) > 0 ? read(fd, frame, sizeof(frame)) : 0;

			for (int i = 0; i < 3; i++)
				if (r >= (ssize_t)lengths[i] && !memcmp(frame, want[i], lengths[i]))
					seen |= 1u << i;
		}
		close(fd);
		assert_int_equal(seen, 7);
		own_gives(NULL, NULL, V4, V6, ALL_REMOVED);
	}
}

#define IN_NETS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

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
		IN_NETS(test_addresses),
		IN_NETS(test_own),
		IN_NETS(test_own_after_a_crash),
		IN_NETS(test_own_leaves_others_alone),
		IN_NETS(test_own_moves),
		IN_NETS(test_own_without_ipv6),
		IN_NETS(test_own_nowhere),
		IN_NETS(test_own_prefixes),
		IN_NETS(test_own_prefixes_leave_others_alone),
		IN_NETS(test_own_address_in_a_prefix),
		IN_NETS(test_announced),
	};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
