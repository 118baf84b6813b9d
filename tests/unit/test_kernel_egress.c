// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source addresses for outbound connections, over real sockets of a network namespace
 * of this test's own: how many a pool gives, who is left alone, what a full source, a
 * vanished one, a failed connect(2) do. See test_kernel_egress_life.c for what outlives what.
 */
#include "egress_fixture.h"

/* Exactly so many times the range's connections to one destination, and evenly. */
static void fill(unsigned int sources, int family, const char *to, unsigned int range)
{
	struct load l = {family, to, sources * range + 100};
	struct td_kernel *k;

	k = open_pool(sources, range);
	client(load, &l);
	if (seen->opened != sources * range)
		fail_msg("%u connections from %u sources, then %s", seen->opened, sources,
			 strerror(seen->error));
	assert_int_equal(seen->error, EADDRNOTAVAIL);
	assert_int_equal(seen->other, 0);
	for (unsigned int i = 1; i <= sources; i++)
		assert_int_equal(seen->by[i], range);
	assert_int_equal(td_kernel_egress(k)[POOL].exhausted, 1);
	assert_int_equal(td_kernel_egress(k)[POOL].shifts, 0); /* going round is none */
	td_kernel_close(k);
	unload();
}

static void one_source(void **state)
{
	NEED_ROOT();
	fill(1, AF_INET, "10.9.1.1", 1000);
}

static void four_sources(void **state)
{
	NEED_ROOT();
	fill(4, AF_INET, "10.9.1.1", 1000);
}

static void sixteen_sources(void **state)
{
	NEED_ROOT();
	fill(16, AF_INET, "10.9.1.1", 250); /* all within the 60 s of the first TIME_WAIT */
}

static void more_than_are_looked_at(void **state)
{
	NEED_ROOT();
	fill(20, AF_INET, "10.9.1.1", 100);
}

/* A dual-stack socket towards IPv4. */
static void mapped(void **state)
{
	NEED_ROOT();
	fill(4, AF_INET6, "10.9.1.1", 200);
}

static void ipv6(void **state)
{
	struct load l = {AF_INET6, "fd09:1::1", 900};
	struct td_kernel *k;

	NEED_ROOT();
	k = open_pool(4, 200);
	client(load, &l);
	assert_int_equal(seen->other, 0); /* no IPv6 source: the kernel's own choice */
	assert_int_equal(left_alone(k, TUNDISH_EGRESS_family), 201);
	for (unsigned int i = 0; i < 4; i++) {
		char text[32];

		snprintf(text, sizeof(text), "fd09::%x", 11 + i);
		put_source(k, POOL, 10 + i, text);
	}
	client(load, &l);
	assert_int_equal(seen->opened, 800);
	for (unsigned int i = 11; i <= 14; i++)
		assert_int_equal(seen->by[i], 200);
	td_kernel_close(k);
	unload();
}

static void bind_to(int fd, const char *text, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(port),
				.sin_addr.s_addr = address(text).word[3]};

	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		_exit(1);
}

/* ---- nearly full ----------------------------------------------------------------------- */

static struct tundish_port_key tuple_of(unsigned int source)
{
	struct tundish_port_key key = {.remote = address("10.9.1.1"),
				       .remote_port_be = htons(PORT),
				       .space = 1,
				       .protocol = IPPROTO_TCP};
	char text[32];

	snprintf(text, sizeof(text), "10.9.0.%u", source);
	key.local = address(text);
	return key;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* TIME_WAITs that have ended are counted for some seconds more: then ports are probed,
 * and the very last one is found, of whichever source. Here none have ended, so all the
 * sources look full, `best` one less. */
static void find_last(unsigned int source, unsigned int best, unsigned int start)
{
	struct load l = {AF_INET, "10.9.1.1", 399};
	struct td_kernel *k;
	uint64_t tick;

	k = open_pool(4, 100);
	td_kernel_egress(k)[POOL].next[0] = source; /* so it is the last in turn */
	client(load, &l);
	assert_int_equal(seen->opened, 399);
	assert_int_equal(seen->by[source], 99);
	/* in the first half of a tick: slots of the oldest one count until it ends */
	while (now_ns() >> (TUNDISH_TW_SHIFT - 1) & 1)
		usleep(10000);
	tick = now_ns() >> TUNDISH_TW_SHIFT;
	for (unsigned int i = 1; i <= 4; i++) {
		_cleanup_close_ int fd = pin_open("ports");
		struct tundish_port_key key = tuple_of(i);
		struct tundish_ports p;

		assert_int_equal(td_kernel_port(k, &key, &p), 0);
		memset(p.tw, 0, sizeof(p.tw));
		p.tw[(tick - 14) % TUNDISH_TW_SLOTS] = (tick - 14) << 32 | (i == best ? 99 : 100);
		assert_int_equal(bpf_map_update_elem(fd, &key, &p, BPF_ANY), 0);
	}
	td_kernel_egress(k)[POOL].next[0] = start;
	l.most = 10;
	client(load, &l);
	assert_int_equal(seen->opened, 1);
	assert_int_equal(seen->by[source], 1);
	assert_int_equal(seen->error, EADDRNOTAVAIL);
	td_kernel_close(k);
	unload();
}

static void last_port_is_found(void **state)
{
	NEED_ROOT();
	find_last(4, 0, 0);
}

/* Where the search begins at the last one, and the probes at the one before it. */
static void last_port_is_found_all_round(void **state)
{
	NEED_ROOT();
	find_last(2, 3, 3);
}

static void set_usable(struct td_kernel *k, uint32_t usable, uint64_t scanned)
{
	struct tundish_space space;
	uint64_t cookie;

	assert_int_equal(td_kernel_netns_cookie(-1, &cookie), 0);
	assert_int_equal(td_kernel_get_space(k, cookie, &space), 0);
	space.usable = usable;
	space.scan = 1;
	space.scanned = scanned;
	assert_int_equal(td_kernel_put_space(k, cookie, &space), 0);
}

/* What is older than the programs is not counted until the first scan: towards the end ports
 * are probed although the counts say that there are some. Reserved ones look free then. */
static void older_ones(unsigned int reserved)
{
	struct load l = {AF_INET, "10.9.1.1", 300};
	struct td_kernel *k;
	int out[30], in[30];
	char text[32];

	set_range(100);
	snprintf(text, sizeof(text), reserved ? "%u-%u" : "\n", FIRST, FIRST + reserved - 1);
	write_file("/proc/sys/net/ipv4/ip_local_reserved_ports", text);
	for (size_t i = 0; i < TD_ARRAY_SIZE(out); i++) {
		int on = 1;

		out[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(out[i], IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		bind_to(out[i], "10.9.0.1", 0);
		assert_int_equal(connect_to(out[i], "10.9.1.1", PORT), 0);
		in[i] = accept(listener4, NULL, NULL);
	}
	k = open_pool(2, 100);
	if (reserved)
		set_usable(k, 100 - reserved, now_ns());
	client(load, &l);
	assert_int_equal(seen->error, EADDRNOTAVAIL);
	assert_int_equal(seen->by[1], 70 - reserved);
	assert_int_equal(seen->by[2], 100 - reserved);
	for (size_t i = 0; i < TD_ARRAY_SIZE(out); i++) {
		close(out[i]);
		close(in[i]);
	}
	td_kernel_close(k);
	unload();
}

static void older_connections_are_in_the_way(void **state)
{
	NEED_ROOT();
	older_ones(0);
}

static void reserved_ones_beside_older_connections(void **state)
{
	NEED_ROOT();
	older_ones(30);
}

/* What the last scan counted of those that no event told. */
static void put_counted(struct td_kernel *k, unsigned int source,
			const struct tundish_port_count *count)
{
	_cleanup_close_ int fd = pin_open("ports");
	struct tundish_port_key key = tuple_of(source);
	struct tundish_ports p = {.counted[1] = *count};

	p.counted[1].scan = 1;
	assert_int_equal(bpf_map_update_elem(fd, &key, &p, BPF_ANY), 0);
}

static void scans_are_heeded_while_they_hold(void **state)
{
	const struct tundish_port_count held = {.state = {0, 60, 0, 0, 0}};
	const struct tundish_port_count resting = {.state = {0, 0, 0, 0, 60},
						   .leaving = {60, 60, 60, 60, 60, 60}};
	struct load l = {AF_INET, "10.9.1.1", 20};
	struct td_kernel *k;

	NEED_ROOT();
	k = open_pool(2, 1000);
	set_usable(k, 1000, now_ns());
	put_counted(k, 1, &held);
	client(load, &l);
	assert_int_equal(seen->by[2], 20);
	put_counted(k, 1, &resting);
	client(load, &l);
	assert_int_equal(seen->by[2], 20);
	/* Ten seconds and more later they have ended: there are only those of events, on .2. */
	set_usable(k, 1000, now_ns() - 11000000000ull);
	client(load, &l);
	assert_int_equal(seen->by[1], 20);
	td_kernel_close(k);
	unload();
}

/* Of twelve the first eight have a half: the others are looked at, though nothing is full. */
static void all_are_looked_at_where_many_have_a_half(void **state)
{
	const struct tundish_port_count half = {.state = {0, 500, 0, 0, 0}};
	struct load l = {AF_INET, "10.9.1.1", 40};
	struct td_kernel *k;

	NEED_ROOT();
	k = open_pool(12, 1000);
	set_usable(k, 1000, now_ns());
	for (unsigned int i = 1; i <= 8; i++)
		put_counted(k, i, &half);
	client(load, &l);
	for (unsigned int i = 1; i <= 12; i++)
		assert_true(i <= 8 ? !seen->by[i] : seen->by[i] > 0);
	td_kernel_close(k);
	unload();
}

/* Ports that programs bound themselves, for this very destination, are blocked for all
 * others, and take none of the usable ones. */
static void bound_ones_are_beside_the_usable(void **state)
{
	const struct tundish_port_count bound = {.state = {0, 30, 0, 0, 0}, .bound = 30};
	struct load l = {AF_INET, "10.9.1.1", 300};
	struct tundish_ports p;
	struct tundish_port_key key = tuple_of(1);
	_cleanup_close_ int fd = -1;
	struct td_kernel *k;
	int out[30], in[30];

	NEED_ROOT();
	k = open_pool(2, 100);
	for (uint16_t i = 0; i < TD_ARRAY_SIZE(out); i++) {
		out[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bind_to(out[i], "10.9.0.1", FIRST + 2 * i);
		assert_int_equal(connect_to(out[i], "10.9.1.1", PORT), 0);
		in[i] = accept(listener4, NULL, NULL);
	}
	assert_int_equal(td_kernel_port(k, &key, &p), 0);
	assert_int_equal(p.held, 30);
	p.counted[1] = bound;
	p.counted[1].scan = 1;
	fd = pin_open("ports");
	assert_int_equal(bpf_map_update_elem(fd, &key, &p, BPF_ANY), 0);
	set_usable(k, 70, now_ns());
	client(load, &l);
	assert_int_equal(seen->by[1], 70);
	assert_int_equal(seen->by[2], 70);
	assert_int_equal(seen->opened, 140);
	assert_int_equal(td_kernel_egress(k)[POOL].exhausted, 1);
	for (size_t i = 0; i < TD_ARRAY_SIZE(out); i++) {
		close(out[i]);
		close(in[i]);
	}
	td_kernel_close(k);
	unload();
}

/* Ports that connect(2) passes over look free, and are not. */
static void reserved_ports_are_not_found(void **state)
{
	struct load l = {AF_INET, "10.9.1.1", 500};
	struct td_kernel *k;

	NEED_ROOT();
	k = open_pool(4, 100);
	write_file("/proc/sys/net/ipv4/ip_local_reserved_ports", "20010-20039");
	set_usable(k, 70, now_ns());
	client(load, &l);
	assert_int_equal(seen->opened, 4 * 70);
	assert_int_equal(seen->error, EADDRNOTAVAIL);
	td_kernel_close(k);
	unload();
}

/* Several at once: none is lost below 95%. */
static void concurrent_clients(void **state)
{
	struct load l = {AF_INET, "10.9.1.1", 950};
	struct td_kernel *k;
	pid_t pid[4];

	NEED_ROOT();
	k = open_pool(4, 1000);
	*seen = (struct seen){0};
	for (size_t i = 0; i < 4; i++)
		pid[i] = client_start(cgroup_path, load, &l);
	for (size_t i = 0; i < 4; i++)
		client_wait(pid[i]);
	if (seen->failed || seen->opened != 3800)
		fail_msg("%u opened, %u failed: %s", seen->opened, seen->failed,
			 strerror(seen->error));
	td_kernel_close(k);
	unload();
}

/* ---- shifts -------------------------------------------------------------------------------- */

/* Connections that bind the first source themselves, without taking a port for it. */
static void load_bound(struct seen *s, void *context)
{
	const uint32_t *most = context;

	for (uint32_t i = 0; i < *most; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, other;

		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		bind_to(fd, "10.9.0.1", 0);
		if (connect_to(fd, "10.9.1.1", PORT) < 0)
			_exit(1);
		note_source(s, fd);
		other = accept(listener4, NULL, NULL);
		close(fd);
		close(other);
	}
}

static uint32_t shifts, shift_used;

static void on_shift(const struct tundish_port_event *e, void *context)
{
	if (e->kind != TUNDISH_PORT_EVENT_SHIFT)
		return;
	shifts++;
	shift_used = e->used;
	assert_int_equal(e->pool, POOL);
	assert_int_equal(e->from, 0);
	assert_in_range(e->to, 1, 3);
	assert_int_equal(e->usable, 1000);
	assert_int_equal(e->key.remote_port_be, htons(PORT));
}

static void full_source_is_passed_over(void **state)
{
	struct load l = {AF_INET, "10.9.1.1", 300};
	uint32_t most = 600;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_pool(4, 1000);
	client(load_bound, &most);
	assert_int_equal(seen->by[1], 600);
	assert_int_equal(left_alone(k, TUNDISH_EGRESS_bound), 600);
	client(load, &l);
	assert_int_equal(seen->opened, 300);
	assert_int_equal(seen->by[1], 0);
	for (unsigned int i = 2; i <= 4; i++)
		assert_int_equal(seen->by[i], 100);
	shifts = 0;
	td_kernel_read_port_events(k, on_shift, NULL);
	assert_int_equal(shifts, 1); /* not one for each connection */
	assert_int_equal(shift_used, 600);
	assert_int_equal(td_kernel_egress(k)[POOL].shifts, 1);
	td_kernel_close(k);
	unload();
}

/* ---- UDP ------------------------------------------------------------------------------------ */

static void udp_twice(struct seen *s, void *context)
{
	int fd[512], n;

	for (int round = 0; round < 2; round++) {
		for (n = 0; n < 512; n++) {
			fd[n] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			/* Alternately towards two destinations: a port counts for both. */
			if (connect_to(fd[n], n & 1 ? "10.9.1.2" : "10.9.1.1", 53) < 0) {
				s->error = errno;
				break;
			}
			if (connect_to(fd[n], "10.9.1.1", 54) < 0) /* it keeps its source */
				_exit(1);
			note_source(s, fd[n]);
		}
		s->opened += (uint32_t)n;
		for (int i = 0; i <= n && i < 512; i++)
			close(fd[i]);
	}
}

static void udp(void **state)
{
	struct tundish_port_key key = {
		.local = address("10.9.0.1"), .space = 1, .protocol = IPPROTO_UDP};
	struct tundish_ports p;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_pool(4, 100);
	client(udp_twice, NULL);
	assert_int_equal(seen->opened, 2 * 400);
	assert_int_equal(seen->error, EAGAIN);
	assert_int_equal(td_kernel_egress(k)[POOL].exhausted, 2);
	for (unsigned int i = 1; i <= 4; i++)
		assert_int_equal(seen->by[i], 2 * 100);
	assert_int_equal(td_kernel_port(k, &key, &p), 0);
	assert_int_equal(p.held, 0);
	assert_int_equal(left_alone(k, TUNDISH_EGRESS_bound), 0);
	td_kernel_close(k);
	unload();
}

/* ---- left alone ------------------------------------------------------------------------------ */

static void connect_bound(struct seen *s, void *context)
{
	int fd[4];

	for (int i = 0; i < 4; i++)
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bind_to(fd[0], "10.9.1.2", 0);
	bind_to(fd[1], "0.0.0.0", 30000);
	if (setsockopt(fd[2], SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0)
		_exit(1);
	for (int i = 0; i < 4; i++) {
		if (connect_to(fd[i], "10.9.1.1", PORT) < 0)
			s->failed++;
		else
			note_source(s, fd[i]);
	}
}

static void bound_ones(void **state)
{
	struct td_kernel *k;

	NEED_ROOT();
	k = open_pool(4, 100);
	client(connect_bound, NULL);
	assert_int_equal(left_alone(k, TUNDISH_EGRESS_bound), 3);
	assert_int_equal(seen->by[1], 1); /* the fourth, which bound nothing */
	td_kernel_close(k);
	unload();
}

static void destinations(void **state)
{
	struct td_prefix net = {address("10.9.1.0"), TD_PREFIX_V4 + 24}, *all;
	struct load l = {AF_INET, "10.9.1.1", 10}, loopback = {AF_INET, "127.0.0.1", 10},
		    loopback6 = {AF_INET6, "::1", 10};
	struct td_kernel *k;
	size_t n = 0;

	NEED_ROOT();
	k = open_pool(4, 100);
	client(load, &loopback);
	assert_int_equal(seen->opened, 10);
	assert_int_equal(seen->other, 10);
	client(load, &loopback6);
	assert_int_equal(seen->other, 10);
	assert_int_equal(left_alone(k, TUNDISH_EGRESS_local), 20);

	assert_int_equal(td_kernel_put_egress_except(k, POOL, &net), 0);
	assert_int_equal(td_kernel_put_egress_except(k, POOL + 1, &net), 0);
	client(load, &l); /* the flag says that there are none */
	assert_int_equal(seen->other, 0);
	td_kernel_egress(k)[POOL].flags |= TUNDISH_EGRESS_EXCEPT;
	client(load, &l);
	assert_int_equal(seen->other, 10);
	assert_int_equal(left_alone(k, TUNDISH_EGRESS_except), 10);
	assert_int_equal(td_kernel_egress_excepts(k, POOL, &all, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(td_prefix_compare(&all[0], &net), 0);
	free(all);
	assert_int_equal(td_kernel_delete_egress_except(k, POOL, &net), 0);
	client(load, &l);
	assert_int_equal(seen->other, 0);

	td_kernel_egress(k)[POOL].netns++;
	client(load, &l);
	assert_int_equal(seen->other, 10);
	assert_int_equal(left_alone(k, TUNDISH_EGRESS_namespace), 10);
	td_kernel_close(k);
	unload();
}

/* ---- trouble -------------------------------------------------------------------------------- */

/* As load(), to the end. */
static void load_all(struct seen *s, void *context)
{
	const struct load *l = context;

	for (uint32_t i = 0; i < l->most; i++)
		once(s, l->family, l->to);
}

/* A source that vanishes is not waited for: at most the one connection that is between
 * its bind and its SYN at that moment finds that its address is gone, as it would
 * without a pool. */
static void source_vanishes(void **state)
{
	struct load l = {AF_INET, "10.9.1.1", 2000};
	struct td_kernel *k;
	pid_t pid;

	NEED_ROOT();
	k = open_pool(4, 1000);
	/* What the daemon says is not there is not tried. */
	td_kernel_egress(k)[POOL].source[3].flags &= ~(uint32_t)TUNDISH_SOURCE_PRESENT;
	*seen = (struct seen){0};
	pid = client_start(cgroup_path, load_all, &l);
	while (__atomic_load_n(&seen->opened, __ATOMIC_RELAXED) < 500 && kill(pid, 0) == 0)
		usleep(1000);
	run("ip addr del 10.9.0.2/32 dev lo");
	client_wait(pid);
	assert_int_equal(seen->opened + seen->failed, 2000);
	assert_in_range(seen->failed, 0, 1);
	assert_in_range(seen->by[2], 100, 490);
	assert_int_equal(seen->by[4], 0);
	assert_true(td_kernel_egress(k)[POOL].source[1].rests_until != 0);

	/* With all of them gone connections are as they are without a pool. */
	run("for i in $(seq 20); do ip addr del 10.9.0.$i/32 dev lo 2>/dev/null; done; true");
	l.most = 10;
	client(load, &l);
	assert_int_equal(seen->opened, 10);
	assert_int_equal(seen->other, 10);
	assert_true(left_alone(k, TUNDISH_EGRESS_refused) + left_alone(k, TUNDISH_EGRESS_family) ==
		    10);
	td_kernel_close(k);
	unload();
}

/* The address of a connect(2) that failed is still there when it is tried again. */
static void connect_again(struct seen *s, void *context)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (int i = 0; i < 3; i++)
		if (connect_to(fd, "10.9.1.1", PORT + 1) == 0 || errno != ECONNREFUSED)
			_exit(1);
	if (connect_to(fd, "10.9.1.1", PORT) < 0)
		_exit(1);
	note_source(s, fd);
}

static void failed_ones_choose_anew(void **state)
{
	struct td_kernel *k;

	NEED_ROOT();
	k = open_pool(4, 100);
	client(connect_again, NULL);
	assert_int_equal(left_alone(k, TUNDISH_EGRESS_bound), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(td_kernel_egress(k)[POOL].source[i].connections, 1);
	assert_int_equal(seen->by[4], 1);
	td_kernel_close(k);
	unload();
}

/* ---- asking ------------------------------------------------------------------------------------ */

static void the_answer_is_what_happens(void **state)
{
	struct tundish_egress_question q;
	struct load l = {AF_INET, "10.9.1.1", 1};
	struct td_error e = {0};
	struct td_kernel *k;
	uint64_t cookie;

	NEED_ROOT();
	k = open_pool(3, 20);
	assert_int_equal(td_kernel_netns_cookie(-1, &cookie), 0);
	for (int i = 0; i <= 60; i++) {
		q = (struct tundish_egress_question){.remote = address("10.9.1.1"),
						     .port_be = htons(PORT),
						     .protocol = IPPROTO_TCP,
						     .pool = POOL,
						     .netns = cookie};
		if (td_kernel_ask_egress(k, &q, &e) < 0)
			fail_msg("td_kernel_ask_egress: %s", e.text);
		assert_int_equal(q.usable, 20);
		assert_int_equal(q.looked, 3);
		client(load, &l);
		if (i == 60) {
			assert_int_equal(q.why, TUNDISH_EGRESS_EXHAUSTED);
			assert_int_equal(seen->opened, 0);
			break;
		}
		assert_int_equal(q.used[q.source], i / 3);
		assert_int_equal(seen->by[q.source + 1], 1);
	}
	q.remote = address("127.0.0.1");
	assert_int_equal(td_kernel_ask_egress(k, &q, &e), 0);
	assert_int_equal(q.why, TUNDISH_EGRESS_NONE);
	assert_int_equal(q.left, TUNDISH_EGRESS_local);
	td_kernel_close(k);
	unload();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD(one_source),
		WORLD(four_sources),
		WORLD(sixteen_sources),
		WORLD(more_than_are_looked_at),
		WORLD(mapped),
		WORLD(ipv6),
		WORLD(last_port_is_found),
		WORLD(last_port_is_found_all_round),
		WORLD(older_connections_are_in_the_way),
		WORLD(reserved_ones_beside_older_connections),
		WORLD(scans_are_heeded_while_they_hold),
		WORLD(all_are_looked_at_where_many_have_a_half),
		WORLD(bound_ones_are_beside_the_usable),
		WORLD(reserved_ports_are_not_found),
		WORLD(concurrent_clients),
		WORLD(full_source_is_passed_over),
		WORLD(udp),
		WORLD(bound_ones),
		WORLD(destinations),
		WORLD(source_vanishes),
		WORLD(failed_ones_choose_anew),
		WORLD(the_answer_is_what_happens),
	};

	isolate();
	find_cgroups();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
