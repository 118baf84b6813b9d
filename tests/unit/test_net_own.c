// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owning VIPs, and telling the neighbours.
 */
#include "net_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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

	return cmocka_run_group_tests_name("net-own", tests, NULL, NULL);
}
