/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * net/ against the real kernel. Each test has three network namespaces of its
 * own, which exist only as descriptors of this process:
 *
 *   host h0 10.90.0.2 ── e0 10.90.0.1 edge e1 10.91.0.1 ── g0 10.91.0.2 gateway
 *        2001:db8:90::2     2001:db8:90::1    2001:db8:91::1   2001:db8:91::2
 *
 * What needs no kernel is in test_net_parse.c.
 */
#ifndef NET_FIXTURE_H
#define NET_FIXTURE_H

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

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline void enter(int net)
{
	assert_int_equal(setns(t.net[net], CLONE_NEWNET), 0);
}

/* Runs the lines through `ip -batch` in the namespace. */
static inline void ip(int net, const char *format, ...)
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

static inline int run(int net, const char *format, ...)
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

static inline void set_sysctl(int net, const char *name, const char *value)
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

static inline struct tundish_addr addr(const char *text)
{
	struct tundish_addr a;

	assert_int_equal(td_address_parse(text, &a), 0);
	return a;
}

static inline void assert_addr(const struct tundish_addr *a, const char *text)
{
	char buffer[TD_ADDRESS_TEXT];

	assert_string_equal(td_address_print(a, buffer), text);
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	t.edge = td_net_close(t.edge);
	for (int i = 0; i < N_NETS; i++)
		if (t.net[i] >= 0)
			close(t.net[i]);
	return 0;
}

static inline void need_nets(void)
{
	if (!t.edge)
		skip();
}

/* Asks until the kernel has resolved the neighbour; sends nothing itself. */
static inline int nexthop_soon(const char *to, struct tundish_nexthop *ret, bool *via)
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

static inline int fails(const char *to, const char *says)
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
static inline int changes_soon(int bits)
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

#define IN_NETS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
