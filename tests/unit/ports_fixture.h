/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of source ports share: a space of ports in a network namespace of the test's
 * own, scans of it, and real sockets to be counted.
 */
#ifndef PORTS_FIXTURE_H
#define PORTS_FIXTURE_H

#include <arpa/inet.h>
#include <time.h>

#include "kernel_fixture.h"

#define PORT	7000
#define FIRST	20000
#define LAST	20999
#define SPACE	1
#define NO_PORT 24 /* IP_BIND_ADDRESS_NO_PORT */
#define LOCAL	"127.0.0.2"
#define SERVER	"127.0.0.1"

static uint64_t scans;

static inline void range(unsigned int first, unsigned int last)
{
	char command[128];

	snprintf(command, sizeof(command), "echo %u %u > /proc/sys/net/ipv4/ip_local_port_range",
		 first, last);
	run(command);
}

static inline struct td_kernel *open_ports(bool adopted, unsigned int first, unsigned int last)
{
	struct tundish_space space = {
		.index = SPACE, .first = (uint16_t)first, .last = (uint16_t)last};
	struct td_kernel *k = open_kernel(adopted);
	struct td_error e = {0};
	uint64_t cookie;

	run("ip link set lo up");
	range(first, last);
	if (td_kernel_ports_open(k, &e) < 0)
		fail_msg("td_kernel_ports_open: %s", e.text);
	assert_true(td_kernel_ports_are_open(k));
	assert_int_equal(td_kernel_netns_cookie(-1, &cookie), 0);
	assert_int_equal(td_kernel_put_space(k, cookie, &space), 0);
	return k;
}

/* To its end; returns how many there were. */
static inline unsigned int slices(struct td_kernel *k, int fd)
{
	unsigned int n = 1;
	int r;

	while ((r = td_kernel_scan_slice(k, fd)) > 0)
		n++;
	assert_int_equal(r, 0);
	close(fd);
	return n;
}

static inline struct tundish_port_scan scan_at(struct td_kernel *k, int netns_fd,
					       unsigned int first, unsigned int last)
{
	struct tundish_port_scan what = {.scan = ++scans,
					 .space = SPACE,
					 .first = (uint16_t)first,
					 .last = (uint16_t)last,
					 .hz = 250};
	struct td_error e = {0};
	int fd;

	if (td_kernel_scan_start(k, &what, netns_fd, &fd, &e) < 0)
		fail_msg("td_kernel_scan_start: %s", e.text);
	slices(k, fd);
	assert_int_equal(td_kernel_scan_start_udp(k, netns_fd, &fd), 0);
	slices(k, fd);
	assert_int_equal(td_kernel_scan_start_owners(k, what.scan, &fd), 0);
	slices(k, fd);
	assert_int_equal(td_kernel_scan_result(k, &what), 0);
	return what;
}

static inline struct tundish_port_scan scan(struct td_kernel *k)
{
	return scan_at(k, -1, FIRST, LAST);
}

static inline struct sockaddr_in at(const char *address, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, address, &a.sin_addr);
	return a;
}

static inline int server_on(const char *address)
{
	struct sockaddr_in a = at(address, PORT);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 4096), 0);
	return fd;
}

/* A connection, its port chosen by connect(2). A descriptor, or negative errno. */
static inline int dial(const char *from, const char *to, uint16_t port)
{
	struct sockaddr_in local = at(from, 0), remote = at(to, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1, r;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, NO_PORT, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
	if (connect(fd, (struct sockaddr *)&remote, sizeof(remote)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static inline int take(int server)
{
	int fd = accept(server, NULL, NULL);

	assert_true(fd >= 0);
	return fd;
}

static inline struct tundish_port_key key_of(const char *from, const char *to, uint16_t port)
{
	struct tundish_port_key key = {
		.remote_port_be = htons(port), .space = SPACE, .protocol = IPPROTO_TCP};

	assert_int_equal(td_address_parse(from, &key.local), 0);
	assert_int_equal(td_address_parse(to, &key.remote), 0);
	return key;
}

static inline struct tundish_ports entry(struct td_kernel *k, const struct tundish_port_key *key)
{
	struct tundish_ports p = {0};

	assert_int_equal(td_kernel_port(k, key, &p), 0);
	return p;
}

static inline const struct tundish_port_count *counted(const struct tundish_ports *p,
						       uint64_t number)
{
	const struct tundish_port_count *c = &p->counted[number % 2];

	assert_int_equal(c->scan, number);
	return c;
}

static inline bool bit(const __u64 *words, unsigned int port)
{
	return words[port / 64] >> port % 64 & 1;
}

static inline unsigned int bits(const __u64 *words)
{
	unsigned int n = 0;

	for (size_t i = 0; i < TUNDISH_PORT_WORDS; i++)
		n += (unsigned int)__builtin_popcountll(words[i]);
	return n;
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static inline void done(struct td_kernel *k)
{
	td_kernel_ports_close(k);
	td_kernel_close(k);
	unload();
}

/* Waits until both ends of a close have been seen. */
static inline void read_end(int fd)
{
	char byte;

	assert_int_equal(read(fd, &byte, 1), 0);
}

#endif
