// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source ports, counted over real sockets of a network namespace of this test's own:
 * scans against what was opened here, events against what happened.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <sys/resource.h>
#include <time.h>

#include "kernel_fixture.h"

#define PORT	    7000
#define FIRST	    20000
#define LAST	    20999
#define SPACE	    1
#define SOCKETS	    64
#define NO_PORT	    24 /* IP_BIND_ADDRESS_NO_PORT */
#define LOCAL	    "127.0.0.2"
#define OTHER_LOCAL "127.0.0.7" /* whose ports no test before has left in TIME_WAIT */
#define SERVER	    "127.0.0.1"
#define NOT_THERE   7999
#define FIN_WAIT2   5

static uint64_t scans;

/* ---- helpers ------------------------------------------------------------------------ */

static void range(unsigned int first, unsigned int last)
{
	char command[128];

	snprintf(command, sizeof(command), "echo %u %u > /proc/sys/net/ipv4/ip_local_port_range",
		 first, last);
	run(command);
}

static struct td_kernel *open_ports(bool adopted, unsigned int first, unsigned int last)
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
static unsigned int slices(struct td_kernel *k, int fd)
{
	unsigned int n = 1;
	int r;

	while ((r = td_kernel_scan_slice(k, fd)) > 0)
		n++;
	assert_int_equal(r, 0);
	close(fd);
	return n;
}

static struct tundish_port_scan scan_at(struct td_kernel *k, int netns_fd, unsigned int first,
					unsigned int last)
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

static struct tundish_port_scan scan(struct td_kernel *k)
{
	return scan_at(k, -1, FIRST, LAST);
}

static struct sockaddr_in at(const char *address, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, address, &a.sin_addr);
	return a;
}

static int server_on(const char *address)
{
	struct sockaddr_in a = at(address, PORT);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 4096), 0);
	return fd;
}

/* A connection, its port chosen by connect(2). A descriptor, or negative errno. */
static int dial(const char *from, const char *to, uint16_t port)
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

static int take(int server)
{
	int fd = accept(server, NULL, NULL);

	assert_true(fd >= 0);
	return fd;
}

static struct tundish_port_key key_of(const char *from, const char *to, uint16_t port)
{
	struct tundish_port_key key = {
		.remote_port_be = htons(port), .space = SPACE, .protocol = IPPROTO_TCP};

	assert_int_equal(td_address_parse(from, &key.local), 0);
	assert_int_equal(td_address_parse(to, &key.remote), 0);
	return key;
}

static struct tundish_ports entry(struct td_kernel *k, const struct tundish_port_key *key)
{
	struct tundish_ports p = {0};

	assert_int_equal(td_kernel_port(k, key, &p), 0);
	return p;
}

static const struct tundish_port_count *counted(const struct tundish_ports *p, uint64_t number)
{
	const struct tundish_port_count *c = &p->counted[number % 2];

	assert_int_equal(c->scan, number);
	return c;
}

static bool bit(const __u64 *words, unsigned int port)
{
	return words[port / 64] >> port % 64 & 1;
}

static unsigned int bits(const __u64 *words)
{
	unsigned int n = 0;

	for (size_t i = 0; i < TUNDISH_PORT_WORDS; i++)
		n += (unsigned int)__builtin_popcountll(words[i]);
	return n;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void done(struct td_kernel *k)
{
	td_kernel_ports_close(k);
	td_kernel_close(k);
	unload();
}

/* Waits until both ends of a close have been seen. */
static void read_end(int fd)
{
	char byte;

	assert_int_equal(read(fd, &byte, 1), 0);
}

/* ---- tests ---------------------------------------------------------------------------- */

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

static bool all_seen(struct td_kernel *k, const struct tundish_port_key *key,
		     const struct tundish_closer *out, const struct tundish_closer *in)
{
	struct tundish_ports p = entry(k, key);
	struct td_closer *closers = NULL;
	bool same = false;
	size_t n = 0;

	assert_int_equal(td_kernel_closers(k, &closers, &n), 0);
	for (size_t i = 0; i < n; i++)
		if (closers[i].key.port == PORT && closers[i].key.space == SPACE)
			same = !memcmp(&closers[i].value, in, sizeof(*in));
	assert_int_equal(n, 1); /* no client's port is taken for a service */
	free(closers);
	return same && !memcmp(&p.closed, out, sizeof(*out));
}

static void add(struct tundish_closer *sum, const struct tundish_closer *one)
{
	sum->here += one->here;
	sum->there += one->there;
	sum->reset_here += one->reset_here;
	sum->reset_there += one->reset_there;
	sum->then_reset += one->then_reset;
}

static int tcp_state(int fd)
{
	unsigned char state = 0; /* the first field of struct tcp_info */
	socklen_t length = sizeof(state);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, 11 /* TCP_INFO */, &state, &length), 0);
	return state;
}

static void reset_on_close(int fd)
{
	struct linger at_once = {.l_onoff = 1};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
}

static void wait_for(int fd, short what)
{
	struct pollfd p = {.fd = fd, .events = what};

	assert_int_equal(poll(&p, 1, 10000), 1);
}

/* Each way in which an end can be reset, as either end sees it: both are in this namespace. */
static void resets_are_told_apart(void **state)
{
	enum way {
		FINS,
		LINGER,	      /* at the client */
		LINGER_THERE, /* at the server */
		UNREAD,
		DISCONNECT,
		AFTER_OWN_FIN,	  /* a half-closed connection, as a proxy gives it up */
		AFTER_THEIR_FIN,  /* in CLOSE_WAIT */
		OWN_FIN_ANSWERED, /* with SO_LINGER too, which then comes too late */
		THEIR_FIN_ANSWERED,
		NOT_ACCEPTED,
		WAYS
	};
	static const struct {
		struct tundish_closer out, in;
		bool time_wait;
	} wanted[WAYS] = {
		[FINS] = {{.here = 1}, {.there = 1}, true},
		[LINGER] = {{.reset_here = 1}, {.reset_there = 1}, false},
		[LINGER_THERE] = {{.reset_there = 1}, {.reset_here = 1}, false},
		[UNREAD] = {{.reset_here = 1}, {.reset_there = 1}, false},
		[DISCONNECT] = {{.reset_here = 1}, {.reset_there = 1}, false},
		[AFTER_OWN_FIN] = {{.here = 1, .then_reset = 1},
				   {.there = 1, .then_reset = 1},
				   false},
		[AFTER_THEIR_FIN] = {{.there = 1, .then_reset = 1},
				     {.here = 1, .then_reset = 1},
				     false},
		[OWN_FIN_ANSWERED] = {{.here = 1}, {.there = 1}, true},
		[THEIR_FIN_ANSWERED] = {{.there = 1}, {.here = 1}, false},
		[NOT_ACCEPTED] = {{.reset_there = 1}, {.reset_here = 1}, false},
	};
	struct tundish_port_key key = key_of("127.0.0.8", SERVER, PORT);
	struct tundish_closer sum_out = {0}, sum_in = {0};
	uint64_t entered = 0, freed = 0;
	struct tundish_ports p;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_ports(false, FIRST, LAST);
	for (enum way way = FINS; way < WAYS; way++) {
		const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
		int server = server_on(SERVER), out = dial("127.0.0.8", SERVER, PORT), in = -1;
		uint64_t bound = now_ns() + 10000000000ull;

		assert_true(out >= 0);
		if (way == NOT_ACCEPTED)
			wait_for(server, POLLIN);
		else
			in = take(server);
		switch (way) {
		case FINS:
			/* No program has it any more, and the other end's FIN has yet to come. */
			close(out);
			out = -1;
			do
				p = entry(k, &key);
			while (!p.entered && now_ns() < bound && usleep(1000) == 0);
			assert_int_equal(p.entered, 1);
			break;
		case LINGER:
		case AFTER_THEIR_FIN: reset_on_close(out); break;
		case LINGER_THERE:
		case THEIR_FIN_ANSWERED: reset_on_close(in); break;
		case UNREAD:
			assert_int_equal(write(in, "x", 1), 1);
			wait_for(out, POLLIN);
			break;
		case DISCONNECT:
			assert_int_equal(connect(out, &nowhere, sizeof(nowhere)), 0);
			break;
		case AFTER_OWN_FIN:
			assert_int_equal(shutdown(out, SHUT_WR), 0);
			while (tcp_state(out) != FIN_WAIT2 && now_ns() < bound)
				usleep(1000);
			reset_on_close(out);
			break;
		case OWN_FIN_ANSWERED:
			reset_on_close(out);
			assert_int_equal(shutdown(out, SHUT_WR), 0);
			read_end(in);
			assert_int_equal(shutdown(in, SHUT_WR), 0);
			read_end(out);
			break;
		default: break;
		}
		if (way == AFTER_THEIR_FIN || way == THEIR_FIN_ANSWERED) {
			assert_int_equal(shutdown(in, SHUT_WR), 0);
			read_end(out);
		}
		if (way == LINGER_THERE)
			close(in);
		else if (way == NOT_ACCEPTED)
			close(server);
		else if (out >= 0)
			close(out);
		if (way == LINGER_THERE || way == NOT_ACCEPTED)
			wait_for(out, POLLHUP);
		else if (way != DISCONNECT)
			wait_for(in, POLLIN);
		if (way == LINGER_THERE || way == NOT_ACCEPTED)
			close(out);
		else
			close(in);
		if (way != NOT_ACCEPTED)
			close(server);

		add(&sum_out, &wanted[way].out);
		add(&sum_in, &wanted[way].in);
		entered += wanted[way].time_wait;
		freed += !wanted[way].time_wait;
		while (!all_seen(k, &key, &sum_out, &sum_in) && now_ns() < bound)
			usleep(1000);
		if (!all_seen(k, &key, &sum_out, &sum_in)) {
			p = entry(k, &key);
			fail_msg(
				"way %u: here %llu there %llu reset here %llu there %llu then %llu",
				way, p.closed.here, p.closed.there, p.closed.reset_here,
				p.closed.reset_there, p.closed.then_reset);
		}
		p = entry(k, &key);
		assert_int_equal(p.entered, entered);
		assert_int_equal(p.freed, freed);
		assert_int_equal(p.held, 0);
	}
	done(k);
}

static void failures_are_exact_seen(const struct tundish_port_event *e, void *context)
{
	uint32_t *n = context;

	assert_int_equal(e->kind, TUNDISH_PORT_EVENT_FAILED);
	assert_int_equal(e->failure, TUNDISH_PORT_FAILED_EADDRNOTAVAIL);
	assert_int_equal(e->key.remote_port_be, htons(PORT));
	assert_int_equal(e->pid, getpid());
	(*n)++;
}

static void failures_are_exact(void **state)
{
	struct tundish_port_key key = key_of(OTHER_LOCAL, SERVER, PORT), refused_key;
	struct sockaddr_in local, remote = at(SERVER, PORT);
	int server, silent, out[10], waiting[4], second, on = 1;
	struct tundish_ports p;
	struct td_kernel *k;
	socklen_t length = sizeof(local);
	uint32_t events = 0;
	uint64_t searched;

	NEED_ROOT();
	k = open_ports(false, FIRST, FIRST + 9);
	server = server_on(SERVER);
	for (int i = 0; i < 10; i++) {
		out[i] = dial(OTHER_LOCAL, SERVER, PORT);
		assert_true(out[i] >= 0);
	}
	for (int i = 0; i < 7; i++)
		assert_int_equal(dial(OTHER_LOCAL, SERVER, PORT), -EADDRNOTAVAIL);
	p = entry(k, &key);
	assert_int_equal(p.failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL], 7);
	assert_int_equal(p.held, 10);
	assert_int_equal(p.opened, 17);
	assert_true(td_kernel_read_port_events(k, failures_are_exact_seen, &events) >= 0);
	assert_in_range(events, 1, 2); /* not more than one a second */

	/* A port that the program asks for, and that this very tuple has. */
	assert_int_equal(getsockname(out[0], (struct sockaddr *)&local, &length), 0);
	assert_int_equal(setsockopt(out[0], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	second = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	assert_int_equal(setsockopt(second, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	if (bind(second, (struct sockaddr *)&local, sizeof(local)) == 0) {
		assert_int_equal(connect(second, (struct sockaddr *)&remote, sizeof(remote)), -1);
		assert_int_equal(errno, EADDRNOTAVAIL);
		p = entry(k, &key);
		assert_int_equal(p.failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL], 8);
	}
	close(second);

	/* A port beside the range is none of it. */
	second = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	local.sin_port = htons(FIRST - 100);
	assert_int_equal(bind(second, (struct sockaddr *)&local, sizeof(local)), 0);
	assert_int_equal(connect(second, (struct sockaddr *)&remote, sizeof(remote)), 0);
	close(second);
	p = entry(k, &key);
	assert_int_equal(p.held, 10);

	/* Nobody there: refused, which is none of these. */
	for (int i = 0; i < 5; i++)
		assert_int_equal(dial(OTHER_LOCAL, SERVER, NOT_THERE), -ECONNREFUSED);
	refused_key = key_of(OTHER_LOCAL, SERVER, NOT_THERE);
	p = entry(k, &refused_key);
	assert_int_equal(p.failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL], 0);
	assert_int_equal(p.opened, 5);
	assert_int_equal(p.freed, 5);
	assert_int_equal(p.held, 0);

	/* Given up while the SYN is on its way: a backlog that is full drops it. */
	silent = server_on("127.0.0.6");
	assert_int_equal(listen(silent, 0), 0);
	for (int i = 0; i < 4; i++) {
		struct sockaddr_in to = at("127.0.0.6", PORT);

		waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(waiting[i], (struct sockaddr *)&to, sizeof(to)), -1);
		assert_int_equal(errno, EINPROGRESS);
	}
	for (int i = 0; i < 4; i++)
		close(waiting[i]);
	close(silent);
	refused_key = key_of("127.0.0.1", "127.0.0.6", PORT);
	p = entry(k, &refused_key);
	assert_int_equal(p.opened, 4);
	assert_int_equal(p.failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL], 0);

	searched = 0;
	for (size_t i = 0; i < TUNDISH_WAIT_BUCKETS; i++)
		searched += td_kernel_port_search(k)->bucket[i];
	assert_true(searched >= 10 + 7 + 5);
	for (int i = 0; i < 10; i++)
		close(out[i]);
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

static void counting_outlives_the_daemon(void **state)
{
	struct tundish_port_key key = key_of(LOCAL, SERVER, PORT);
	struct tundish_ports p;
	struct td_kernel *k;
	int server, out[4];
	uint32_t former;

	NEED_ROOT();
	k = open_ports(false, FIRST, LAST);
	server = server_on(SERVER);
	td_kernel_close(k);
	for (int i = 0; i < 4; i++) {
		out[i] = dial(LOCAL, SERVER, PORT);
		assert_true(out[i] >= 0);
	}
	k = open_ports(true, FIRST, LAST);
	p = entry(k, &key);
	assert_int_equal(p.held, 4);
	td_kernel_close(k);

	former = pinned_id("prog_port_scan");
	pretend_other_build();
	k = open_ports(true, FIRST, LAST);
	assert_int_not_equal(pinned_id("prog_port_scan"), former);
	close(out[0]);
	close(take(server));
	p = entry(k, &key);
	assert_int_equal(p.held, 3);
	for (int i = 1; i < 4; i++)
		close(out[i]);
	close(server);
	done(k);
}

static void child_ports(void)
{
	struct td_kernel *k = NULL;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0)
		_exit(1);
	td_kernel_ports_open(k, NULL);
	td_kernel_close(k);
}

static void child_ports_off(void)
{
	struct td_kernel *k = NULL;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0)
		_exit(1);
	td_kernel_ports_close(k);
	td_kernel_close(k);
}

/* Killed in between, the next one has all of it, or nothing. */
static void killed_at_each_step(void **state)
{
	struct td_kernel *k;
	int n;

	NEED_ROOT();
	td_kernel_close(open_kernel(false));
	for (n = 1; n <= STEPS_MAX && killed_at(n, child_ports); n++) {
		k = open_ports(true, FIRST, LAST);
		scan(k);
		td_kernel_ports_close(k);
		td_kernel_close(k);
		assert_false(pin_there("link_port_state"));
	}
	assert_in_range(n, 5, STEPS_MAX);
	for (n = 1; n <= STEPS_MAX; n++) {
		bool killed = killed_at(n, child_ports_off);

		k = open_ports(true, FIRST, LAST);
		scan(k);
		td_kernel_close(k);
		if (!killed)
			break;
	}
	assert_in_range(n, 5, STEPS_MAX);
	unload();
	assert_int_equal(access(DIR, F_OK), -1);
}

/* A read is a slice, of descriptors and of UDP sockets too, and nothing is looked at twice
 * where the next one goes on. */
static void many_are_sliced(void **state)
{
	struct tundish_port_owner_key key = {.space = SPACE, .protocol = IPPROTO_TCP};
	struct tundish_port_key udp_key = {.space = SPACE, .protocol = IPPROTO_UDP};
	struct tundish_port_scan what = {
		.scan = ++scans, .space = SPACE, .first = FIRST, .last = LAST, .hz = 250};
	struct td_kernel *k = open_ports(false, FIRST, LAST);
	struct rlimit files = {20000, 20000};
	struct sockaddr_in a = at(LOCAL, 0);
	int fd, bound, held[6000], udp[2500];
	socklen_t length = sizeof(a);
	struct td_port_owner *owners;
	struct tundish_ports p;
	unsigned int found = 0;
	size_t n;

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(scans_and_events_agree),
		TEST(resets_are_told_apart),
		TEST(failures_are_exact),
		TEST(blocked_ports_have_owners),
		TEST(services_in_the_range_are_left_out),
		TEST(both_families_and_udp),
		TEST(many_are_sliced),
		TEST(what_finds_no_place_is_counted_together),
		TEST(other_namespaces_only_when_told),
		TEST(counting_outlives_the_daemon),
		TEST(killed_at_each_step),
	};

	isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
