// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source ports, counted over real sockets of a network namespace of this test's own:
 * scans against what was opened here. Events alone: test_kernel_port_events.c.
 */
#include <sys/resource.h>

#include "ports_fixture.h"

#define SOCKETS 64

static void scans_and_events_agree(void **state)
{
	struct tundish_port_key key = key_of(LOCAL, SERVER, PORT);
	const struct tundish_port_count *c;
	struct tundish_port_scan s;
	struct tundish_ports p;
	struct td_kernel *k;
	struct td_closer *closers;
	int server, out[SOCKETS], in[SOCKETS];
	size_t n;

	NEED_ROOT();
	k = open_ports(false, FIRST, LAST);
	server = server_on(SERVER);
	for (int i = 0; i < SOCKETS; i++) {
		out[i] = dial(LOCAL, SERVER, PORT);
		assert_true(out[i] >= 0);
		in[i] = take(server);
	}
	s = scan(k);
	assert_true(s.sockets >= 2 * SOCKETS);
	assert_int_equal(s.overflow, 0);
	p = entry(k, &key);
	c = counted(&p, s.scan);
	assert_int_equal(c->state[TUNDISH_PORT_established], SOCKETS);
	assert_int_equal(c->state[TUNDISH_PORT_time_wait], 0);
	assert_int_equal(c->bound, 0);
	assert_int_equal(p.held, SOCKETS);
	assert_int_equal(p.opened, SOCKETS);
	assert_int_equal(bits(td_kernel_port_bits(k, SPACE)->seen), SOCKETS);
	assert_int_equal(bits(td_kernel_port_bits(k, SPACE)->blocked), 0);

	/* A half is closed here first, a quarter there. */
	for (int i = 0; i < SOCKETS / 2; i++) {
		close(out[i]);
		read_end(in[i]);
		close(in[i]);
	}
	for (int i = SOCKETS / 2; i < SOCKETS * 3 / 4; i++) {
		close(in[i]);
		read_end(out[i]);
		if (i % 2)
			close(out[i]);
	}
	s = scan(k);
	p = entry(k, &key);
	c = counted(&p, s.scan);
	assert_int_equal(c->state[TUNDISH_PORT_time_wait], SOCKETS / 2);
	assert_int_equal(c->state[TUNDISH_PORT_close_wait], SOCKETS / 8);
	assert_int_equal(c->state[TUNDISH_PORT_established], SOCKETS / 4);
	assert_int_equal(c->leaving[TUNDISH_LEAVING_STEPS - 1], SOCKETS / 2);
	assert_int_equal(c->leaving[2],
			 0); /* they have just begun, on a slow machine half a minute ago */
	assert_int_equal(p.held, SOCKETS / 4 + SOCKETS / 8);
	assert_int_equal(p.entered, SOCKETS / 2);
	assert_int_equal(p.freed, SOCKETS / 8);
	assert_int_equal(tundish_tw_count(&p, now_ns()), SOCKETS / 2);
	assert_int_equal(tundish_tw_count(&p, now_ns() + 66000000000ull), 0);
	assert_int_equal(p.closed.here, SOCKETS / 2);
	assert_int_equal(p.closed.there, SOCKETS / 4);
	/* The other side of the same: a service of this host. */
	assert_int_equal(td_kernel_closers(k, &closers, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(closers[0].key.port, PORT);
	assert_int_equal(closers[0].value.here, SOCKETS / 4);
	assert_int_equal(closers[0].value.there, SOCKETS / 2);
	free(closers);

	for (int i = SOCKETS / 2; i < SOCKETS; i++) {
		if (i >= SOCKETS * 3 / 4)
			close(in[i]);
		if (i >= SOCKETS * 3 / 4 || i % 2 == 0)
			close(out[i]);
	}
	close(server);
	done(k);
}

static void blocked_ports_have_owners(void **state)
{
	struct sockaddr_in any = at("127.0.0.3", 0), one = at("127.0.0.3", FIRST + 500);
	struct sockaddr_in remote = at(SERVER, PORT);
	struct tundish_port_key key = key_of("127.0.0.3", SERVER, PORT);
	const struct tundish_port_bits *b;
	struct td_port_owner *owners;
	struct tundish_port_scan s;
	struct tundish_ports p;
	struct td_kernel *k;
	unsigned int by_address = 0, by_port = 0;
	int server, bound[5], asked, free_port;
	size_t n;

	NEED_ROOT();
	k = open_ports(false, FIRST, LAST);
	server = server_on(SERVER);
	for (int i = 0; i < 5; i++) {
		bound[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
		assert_int_equal(bind(bound[i], (struct sockaddr *)&any, sizeof(any)), 0);
	}
	/* One of them is connected: its tuple has it, and all others have not. */
	assert_int_equal(connect(bound[0], (struct sockaddr *)&remote, sizeof(remote)), 0);
	asked = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	assert_int_equal(bind(asked, (struct sockaddr *)&one, sizeof(one)), 0);
	free_port = dial("127.0.0.3", SERVER, PORT);
	assert_true(free_port >= 0);

	s = scan(k);
	b = td_kernel_port_bits(k, SPACE);
	assert_int_equal(bits(b->blocked), 6);
	assert_true(bit(b->blocked, FIRST + 500));
	p = entry(k, &key);
	assert_int_equal(counted(&p, s.scan)->state[TUNDISH_PORT_established], 2);
	assert_int_equal(counted(&p, s.scan)->bound, 1);
	assert_int_equal(td_kernel_port_owners(k, &owners, &n), 0);
	assert_int_equal(n, 6);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(owners[i].value.pid, getpid());
		assert_int_equal(owners[i].value.scan, s.scan);
		assert_int_equal(owners[i].value.descriptors, 1);
		assert_string_equal((const char *)owners[i].value.command, "test_kernel_por");
		by_address += owners[i].value.reason == TUNDISH_PORT_ADDRESS;
		by_port += owners[i].value.reason == TUNDISH_PORT_BOUND &&
			   owners[i].key.port == FIRST + 500;
	}
	assert_int_equal(by_address, 5);
	assert_int_equal(by_port, 1);
	free(owners);
	for (int i = 0; i < 5; i++)
		close(bound[i]);
	close(asked);
	close(free_port);
	close(server);
	done(k);
}

/* A service within the range: its connections are not outbound ones. */
static void services_in_the_range_are_left_out(void **state)
{
	struct td_port_entry *all;
	struct tundish_port_scan s;
	struct td_kernel *k;
	int server, out[8], in[8];
	size_t n, outbound = 0;

	NEED_ROOT();
	k = open_ports(false, PORT - 100, LAST);
	server = server_on(SERVER);
	for (int i = 0; i < 8; i++) {
		out[i] = dial(LOCAL, SERVER, PORT);
		assert_true(out[i] >= 0);
		in[i] = take(server);
	}
	s = scan_at(k, -1, PORT - 100, LAST);
	assert_true(bit(td_kernel_port_bits(k, SPACE)->listening, PORT));
	assert_true(bit(td_kernel_port_bits(k, SPACE)->blocked, PORT));
	assert_int_equal(td_kernel_ports(k, &all, &n), 0);
	for (size_t i = 0; i < n; i++) {
		const struct tundish_port_count *c = &all[i].value.counted[s.scan % 2];

		if (c->scan == s.scan)
			outbound += c->state[TUNDISH_PORT_established];
	}
	free(all);
	assert_int_equal(outbound, 8);
	for (int i = 0; i < 8; i++) {
		close(out[i]);
		close(in[i]);
	}
	close(server);
	done(k);
}

static void both_families_and_udp(void **state)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6,
				 .sin6_port = htons(PORT),
				 .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in mapped = at(SERVER, PORT), udp_to = at(SERVER, 53);
	struct tundish_port_key v6 = key_of("::1", "::1", PORT), v4 = key_of(SERVER, SERVER, PORT);
	struct tundish_port_key datagrams = {.space = SPACE, .protocol = IPPROTO_UDP};
	struct tundish_port_scan s;
	struct tundish_ports p;
	struct td_kernel *k;
	int server, out, dual, udp, on = 1;

	NEED_ROOT();
	k = open_ports(false, FIRST, LAST);
	server = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	assert_int_equal(setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	a.sin6_addr = in6addr_any;
	assert_int_equal(bind(server, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(server, 16), 0);
	a.sin6_addr = in6addr_loopback;
	out = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	assert_int_equal(connect(out, (struct sockaddr *)&a, sizeof(a)), 0);
	/* An IPv6 socket towards IPv4 is the same tuple as an IPv4 one. */
	a.sin6_addr = (struct in6_addr){
		.s6_addr = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}};
	dual = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	assert_int_equal(connect(dual, (struct sockaddr *)&a, sizeof(a)), 0);
	udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(udp, (struct sockaddr *)&udp_to, sizeof(udp_to)), 0);

	s = scan(k);
	p = entry(k, &v6);
	assert_int_equal(counted(&p, s.scan)->state[TUNDISH_PORT_established], 1);
	assert_int_equal(p.held, 1);
	p = entry(k, &v4);
	assert_int_equal(counted(&p, s.scan)->state[TUNDISH_PORT_established], 1);
	assert_int_equal(p.held, 1);
	assert_int_equal(td_address_parse(SERVER, &datagrams.local), 0);
	p = entry(k, &datagrams);
	assert_int_equal(counted(&p, s.scan)->state[TUNDISH_PORT_established], 1);
	close(udp);
	udp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(udp, (struct sockaddr *)&mapped, sizeof(mapped)), 0);
	s = scan(k);
	p = entry(k, &v4);
	assert_int_equal(counted(&p, s.scan)->state[TUNDISH_PORT_established], 2);
	close(udp);
	close(dual);
	close(out);
	close(server);
	done(k);
}

/* A read is a slice, of descriptors and of UDP sockets too, and nothing is looked at twice
 * where the next one goes on. */
static void many_are_sliced(void **state)
{
	struct tundish_port_owner_key key = {.space = SPACE, .protocol = IPPROTO_TCP};
	struct tundish_port_key udp_key = {.space = SPACE, .protocol = IPPROTO_UDP};
	struct tundish_port_scan what = {
		.scan = ++scans, .space = SPACE, .first = FIRST, .last = LAST, .hz = 250};
	struct rlimit files = {20000, 20000};
	struct sockaddr_in a = at(LOCAL, 0);
	int fd, bound, held[6000], udp[2500];
	socklen_t length = sizeof(a);
	struct td_port_owner *owners;
	struct tundish_ports p;
	struct td_kernel *k;
	unsigned int found = 0;
	size_t n;

	NEED_ROOT();
	k = open_ports(false, FIRST, LAST);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	assert_int_equal(bind(bound, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(bound, (struct sockaddr *)&a, &length), 0);
	key.port = ntohs(a.sin_port);
	for (size_t i = 0; i < TD_ARRAY_SIZE(held); i++)
		assert_true((held[i] = dup(bound)) >= 0);
	for (size_t i = 0; i < TD_ARRAY_SIZE(udp); i++) {
		struct sockaddr_in u = at("127.0.5.1", 0);

		u.sin_addr.s_addr = htonl(ntohl(u.sin_addr.s_addr) + (uint32_t)i % 100);
		udp[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(udp[i], (struct sockaddr *)&u, sizeof(u)), 0);
	}
	assert_int_equal(td_kernel_scan_start(k, &what, -1, &fd, NULL), 0);
	slices(k, fd);
	assert_int_equal(td_kernel_scan_start_udp(k, -1, &fd), 0);
	assert_true(slices(k, fd) > 1);
	assert_int_equal(td_kernel_scan_start_owners(k, what.scan, &fd), 0);
	assert_true(slices(k, fd) > 1);
	assert_int_equal(td_kernel_port_owners(k, &owners, &n), 0);
	for (size_t i = 0; i < n; i++)
		if (!memcmp(&owners[i].key, &key, sizeof(key)))
			found = owners[i].value.descriptors;
	free(owners);
	assert_int_equal(found, TD_ARRAY_SIZE(held) + 1);
	assert_int_equal(td_address_parse("127.0.5.7", &udp_key.local), 0);
	p = entry(k, &udp_key);
	assert_int_equal(counted(&p, what.scan)->state[TUNDISH_PORT_established], 25);
	for (size_t i = 0; i < TD_ARRAY_SIZE(held); i++)
		close(held[i]);
	for (size_t i = 0; i < TD_ARRAY_SIZE(udp); i++)
		close(udp[i]);
	close(bound);
	done(k);
}

/* More tuples than there is place for: together in one, and told. */
static void what_finds_no_place_is_counted_together(void **state)
{
	struct tundish_port_key others = {.space = SPACE};
	unsigned int most = limits.ports + 100;
	struct tundish_port_scan s;
	struct td_port_entry *all;
	struct tundish_ports p;
	struct td_kernel *k;
	size_t n, total = 0, together = 0;
	int server, *out;
	int64_t held;

	NEED_ROOT();
	k = open_ports(false, FIRST, LAST);
	server = server_on("0.0.0.0");
	out = calloc(most, sizeof(*out));
	assert_non_null(out);
	for (unsigned int i = 0; i < most; i++) {
		char to[32];

		snprintf(to, sizeof(to), "127.1.%u.%u", i / 250, i % 250 + 1);
		out[i] = dial(LOCAL, to, PORT);
		if (out[i] < 0)
			fail_msg("connection %u: %s", i, strerror(-out[i]));
		close(take(server));
	}
	s = scan(k);
	assert_int_equal(td_kernel_ports(k, &all, &n), 0);
	assert_in_range(n, limits.ports - 64, limits.ports);
	for (size_t i = 0; i < n; i++) {
		const struct tundish_port_count *c = &all[i].value.counted[s.scan % 2];

		if (c->scan == s.scan)
			total += c->state[TUNDISH_PORT_close_wait];
	}
	free(all);
	assert_int_equal(total, most);
	p = entry(k, &others);
	assert_true(s.overflow >= 100);
	for (size_t i = 0; i < TUNDISH_PORT_STATE_MAX; i++)
		together += counted(&p, s.scan)->state[i];
	assert_int_equal(together, s.overflow);
	held = p.held;
	assert_true(held >= 100);
	for (unsigned int i = 0; i < most; i++)
		close(out[i]);
	p = entry(k, &others);
	assert_int_equal(p.held, 0);
	assert_int_equal(p.freed, held);
	free(out);
	close(server);
	done(k);
}

static void other_namespaces_only_when_told(void **state)
{
	struct tundish_port_key key = key_of("127.0.0.9", SERVER, PORT), there = key;
	struct tundish_space space = {.index = 2, .first = FIRST, .last = LAST};
	_cleanup_close_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), other = -1;
	struct tundish_ports p;
	struct td_kernel *k;
	uint64_t cookie, own;
	int server, out, fd;
	struct tundish_port_scan what = {.scan = ++scans, .space = 2, .first = FIRST, .last = LAST};

	NEED_ROOT();
	k = open_ports(false, FIRST, LAST);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	other = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	run("ip link set lo up");
	range(FIRST, LAST);
	server = server_on(SERVER);
	out = dial("127.0.0.9", SERVER, PORT);
	assert_true(out >= 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	assert_int_equal(td_kernel_port(k, &key, &p), -ENOENT);
	scan(k);
	assert_int_equal(td_kernel_port(k, &key, &p), -ENOENT);

	assert_int_equal(td_kernel_netns_cookie(-1, &own), 0);
	assert_int_equal(td_kernel_netns_cookie(other, &cookie), 0);
	assert_int_not_equal(cookie, own);
	assert_int_equal(td_kernel_put_space(k, cookie, &space), 0);
	assert_int_equal(td_kernel_scan_start(k, &what, other, &fd, NULL), 0);
	while (td_kernel_scan_slice(k, fd) > 0)
		;
	close(fd);
	there.space = 2;
	p = entry(k, &there);
	assert_int_equal(counted(&p, what.scan)->state[TUNDISH_PORT_established], 1);
	/* And this process is where it was. */
	assert_int_equal(td_kernel_netns_cookie(-1, &cookie), 0);
	assert_int_equal(cookie, own);
	close(out);
	close(server);
	done(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(scans_and_events_agree),
		TEST(blocked_ports_have_owners),
		TEST(services_in_the_range_are_left_out),
		TEST(both_families_and_udp),
		TEST(many_are_sliced),
		TEST(what_finds_no_place_is_counted_together),
		TEST(other_namespaces_only_when_told),
	};

	isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
