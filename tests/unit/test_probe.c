// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probes that are a socket, a question and an answer, before servers that accept, refuse, hang,
 * say something else and never end; and the loop: turns, times, no overlap, nothing left behind.
 */
#include "probe_fixture.h"

#include <sched.h>

static void test_tcp(void **state)
{
	struct peer p = {.hold_ms = 1000};
	struct td_probe_spec s;

	peer_start(&p);
	s = spec(TD_PROBE_TCP, p.port);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(ask(&s), TD_PROBE_GOOD);
	/* The RST came before the ACK, so the server never heard of any of them. */
	peer_end(&p);
	assert_in_range(p.accepted, 0, 5); /* but where this process had to wait */
	/* Nobody is there any more. */
	assert_int_equal(ask(&s), TD_PROBE_REFUSED);
	says("connection refused");
}

/* Sockets in TIME_WAIT between these two ports, by the kernel's own list. */
static unsigned int time_waits(uint16_t port)
{
	FILE *in = fopen("/proc/net/tcp", "r");
	unsigned int n = 0, local, remote, state;
	char line[256];

	assert_non_null(in);
	while (fgets(line, sizeof(line), in))
		if (sscanf(line, " %*u: %*x:%x %*x:%x %x", &local, &remote, &state) == 3 &&
		    state == 6 && (local == port || remote == port))
			n++;
	fclose(in);
	return n;
}

static void test_no_time_wait(void **state)
{
	struct peer banner = {.greeting = "220 ready\r\n", .hold_ms = 1000};
	struct td_probe_spec s;

	peer_start(&banner);
	s = spec(TD_PROBE_TCP, banner.port);
	s.expect = "220 ";
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(ask(&s), TD_PROBE_GOOD);
	assert_int_equal(time_waits(banner.port), 0);
	peer_end(&banner);
	assert_int_equal(banner.accepted, 20); /* these it did hear of */
}

static void test_tcp_silent(void **state)
{
	/* A listener whose queue is full answers no SYN. */
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	struct td_probe_spec s;
	int fd = socket(AF_INET, SOCK_STREAM, 0), held[4];
	uint64_t begin;

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	for (size_t i = 0; i < 4; i++) {
		held[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(held[i], (struct sockaddr *)&a, sizeof(a));
	}
	s = spec(TD_PROBE_TCP, ntohs(a.sin_port));
	s.timeout_ms = 150;
	begin = now_ns();
	assert_int_equal(ask(&s), TD_PROBE_TIMEOUT);
	says("no connection within 150 ms");
	assert_in_range((now_ns() - begin) / 1000000, 149, 1500);
	for (size_t i = 0; i < 4; i++)
		close(held[i]);
	close(fd);
}

static void test_tcp_answers(void **state)
{
	static const struct {
		struct peer p;
		const char *send, *expect;
		enum td_probe_verdict verdict;
		const char *reason;
	} rows[] = {
		{{.greeting = "+PONG\r\n", .listens = true},
		 "PING\\r\\n",
		 "+PONG",
		 TD_PROBE_GOOD,
		 ""},
		{{.greeting = "-LOADING\r\n", .listens = true},
		 "PING\\r\\n",
		 "+PONG",
		 TD_PROBE_BAD,
		 "another answer than expected"},
		{{.greeting = "+PO"}, NULL, "+PONG", TD_PROBE_BAD, "another answer"},
		{{.greeting = NULL}, NULL, "x", TD_PROBE_BAD, "without an answer"},
		{{.greeting = NULL, .reset = true}, NULL, "x", TD_PROBE_BAD, "reset"},
		{{.greeting = "a", .hold_ms = 2000},
		 NULL,
		 "x",
		 TD_PROBE_TIMEOUT,
		 "no answer within 300 ms"},
		{{.greeting = "abcdefgh", .endless = true},
		 NULL,
		 "x",
		 TD_PROBE_BAD,
		 "in its first 65536 bytes"},
		{{.greeting = "abcdefgh", .endless = true}, NULL, "hab", TD_PROBE_GOOD, ""},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct peer p = rows[i].p;
		struct td_probe_spec s;

		peer_start(&p);
		s = spec(TD_PROBE_TCP, p.port);
		s.send = rows[i].send;
		s.expect = rows[i].expect;
		s.timeout_ms = rows[i].verdict == TD_PROBE_TIMEOUT ? 300 : 5000;
		if (ask(&s) != rows[i].verdict)
			fail_msg("row %zu: %d %s", i, last.verdict, last.reason);
		says(rows[i].reason);
		peer_end(&p);
		if (rows[i].send)
			assert_string_equal(p.heard, "PING\r\n");
	}
}

static void test_unreachable(void **state)
{
	/* No route in any network: class E's last is broadcast. */
	struct td_probe_spec s = spec(TD_PROBE_TCP, 1);

	s.address = tundish_addr_v4(htonl(0xffffffff));
	assert_true(ask(&s) == TD_PROBE_BAD || last.verdict == TD_PROBE_UNABLE);
	assert_true(last.reason[0]);
}

/* ---- UDP --------------------------------------------------------------------------------- */

static void test_udp_dnsmasq(void **state)
{
	uint16_t port = free_port();
	char p[24], address[] = "--address=/here.example/192.0.2.7";
	char *argv[] = {"dnsmasq",
			"--keep-in-foreground",
			"--conf-file=/dev/null",
			"--no-resolv",
			"--no-hosts",
			"--listen-address=127.0.0.1",
			"--bind-interfaces",
			"--user=",
			"--group=",
			"--pid-file=",
			p,
			address,
			NULL};
	struct td_probe_spec s = spec(TD_PROBE_UDP, port);
	uint64_t end = now_ns() + 10000000000ull;
	pid_t pid;

	snprintf(p, sizeof(p), "--port=%u", port);
	s.timeout_ms = 500;
	s.send = "\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00"
		 "\\x04here\\x07example\\x00\\x00\\x01\\x00\\x01";
	assert_int_equal(ask(&s), TD_PROBE_REFUSED); /* ICMP says so */
	pid = run_program(argv);
	while (ask(&s) != TD_PROBE_GOOD && now_ns() < end)
		;
	assert_int_equal(last.verdict, TD_PROBE_GOOD);
	s.expect = "\\xc0\\x00\\x02\\x07"; /* the address */
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.expect = "\\xc0\\x00\\x02\\x08";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("another answer than expected");
	/* A question that is none is not answered. */
	s.expect = NULL;
	s.send = "x";
	s.timeout_ms = 200;
	assert_int_equal(ask(&s), TD_PROBE_TIMEOUT);
	says("no answer within 200 ms");
	end_program(pid);
}

/* ---- agents -------------------------------------------------------------------------------- */

static void test_agents(void **state)
{
	static const struct {
		struct peer p;
		const char *send;
		enum td_probe_verdict verdict;
		const char *answer;
	} rows[] = {
		{{.greeting = "75% up\n", .hold_ms = 2000}, NULL, TD_PROBE_GOOD, "75% up\n"},
		{{.greeting = "drain\r", .hold_ms = 2000}, NULL, TD_PROBE_GOOD, "drain\r"},
		{{.greeting = "maint"}, NULL, TD_PROBE_GOOD, "maint"},
		{{.greeting = "down #x\n", .listens = true},
		 "hello\\n",
		 TD_PROBE_GOOD,
		 "down #x\n"},
		{{.greeting = NULL}, NULL, TD_PROBE_BAD, ""},
		{{.greeting = "up", .hold_ms = 2000}, NULL, TD_PROBE_TIMEOUT, "up"},
	};
	struct peer flood = {.greeting = "abcdefgh", .endless = true};
	struct td_probe_spec s;

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct peer p = rows[i].p;

		peer_start(&p);
		s = spec(TD_PROBE_AGENT, p.port);
		s.send = rows[i].send;
		s.timeout_ms = rows[i].verdict == TD_PROBE_TIMEOUT ? 300 : 5000;
		if (ask(&s) != rows[i].verdict)
			fail_msg("row %zu: %d %s", i, last.verdict, last.reason);
		assert_string_equal(answer, rows[i].answer);
		peer_end(&p);
	}
	peer_start(&flood);
	s = spec(TD_PROBE_AGENT, flood.port);
	assert_int_equal(ask(&s), TD_PROBE_GOOD); /* its first bytes, whatever they say */
	assert_int_equal(last.length, TD_PROBE_LINE_BYTES);
	peer_end(&flood);
}

/* ---- the loop ------------------------------------------------------------------------------ */

struct counted {
	struct td_probe *probe;
	uint64_t interval_ns, due_ns, began_ns, worst_late_ns;
	unsigned int n;
	bool running;
};

static unsigned int in_flight, most_in_flight;

static void on_counted(void *context, const struct td_probe_result *r)
{
	struct counted *c = context;
	uint64_t now = now_ns(), began = now - r->latency_ns;

	assert_int_equal(r->verdict, TD_PROBE_GOOD);
	if (began > c->due_ns)
		c->worst_late_ns = TD_MAX(c->worst_late_ns, began - c->due_ns);
	/* Early by no more than the tick. */
	assert_true(began + 5000000 > c->due_ns);
	c->n++;
	results++;
	c->due_ns += c->interval_ns;
	td_probe_at(c->probe, c->due_ns);
}

static void test_many_at_their_times(void **state)
{
	static struct counted all[300];
	struct peer p = {.hold_ms = 1000};
	struct td_probe_spec s;
	uint64_t begin, cpu;
	struct td_error e = {0};

	peer_start(&p);
	s = spec(TD_PROBE_TCP, p.port);
	begin = now_ns();
	for (size_t i = 0; i < TD_ARRAY_SIZE(all); i++) {
		assert_int_equal(td_probe_new(prober, &s, on_counted, &all[i], &all[i].probe, &e),
				 0);
		all[i].interval_ns = 100000000;
		all[i].due_ns = begin + i * 333333;
		td_probe_at(all[i].probe, all[i].due_ns);
	}
	results = 0;
	cpu = (uint64_t)clock();
	run_until(UINT32_MAX, 2000);
	cpu = (uint64_t)clock() - cpu;
	/* Each as often as it should, give or take a machine that is busy. */
	for (size_t i = 0; i < TD_ARRAY_SIZE(all); i++) {
		assert_in_range(all[i].n, 10, 21);
		td_probe_free(all[i].probe);
	}
	printf("%u probes in 2 s, %llu ms of CPU\n", results, (unsigned long long)cpu / 1000);
	peer_end(&p);
}

/* More than may run at the same time take turns, and none is forgotten. */
static void on_turn(void *context, const struct td_probe_result *r)
{
	results++;
	assert_int_equal(r->verdict, TD_PROBE_TIMEOUT);
	assert_true(r->latency_ns >= 50000000); /* never before its time */
	most_in_flight = TD_MAX(most_in_flight, td_prober_counts(prober).sockets + 1);
}

static void test_turns(void **state)
{
	const struct td_prober_options few = {.max_sockets = 8, .max_programs = 1};
	struct td_prober *whole = prober;
	struct peer p = {.hold_ms = 3000};
	struct td_probe *b[40];
	struct td_probe_spec s;
	struct td_error e = {0};

	assert_int_equal(td_prober_open(&few, &prober, &e), 0);
	peer_start(&p);
	s = spec(TD_PROBE_AGENT, p.port); /* it never says a word */
	s.timeout_ms = 50;
	results = most_in_flight = 0;
	for (size_t i = 0; i < 40; i++) {
		assert_int_equal(td_probe_new(prober, &s, on_turn, NULL, &b[i], &e), 0);
		td_probe_at(b[i], now_ns());
	}
	td_prober_run(prober);
	in_flight = td_prober_counts(prober).sockets;
	assert_int_equal(in_flight, 8);
	assert_int_equal(td_prober_counts(prober).waiting, 32);
	td_probe_free(b[39]); /* while it waits */
	td_probe_free(b[0]);  /* while it runs */
	run_until(38, 20000);
	assert_int_equal(results, 38);
	assert_int_equal(most_in_flight, 8);
	assert_int_equal(td_prober_counts(prober).waiting, 0);
	assert_true(td_prober_counts(prober).waited >= 32);
	td_prober_close(prober); /* with its probes */
	prober = whole;
	peer_end(&p);
}

/* The turn of one that is freed is another's at once, whatever time the others have. */
static void test_turn_of_freed(void **state)
{
	const struct td_prober_options few = {.max_sockets = 4, .max_programs = 1};
	struct td_prober *whole = prober;
	struct peer p = {.hold_ms = 100};
	struct td_probe *b[8];
	struct td_probe_spec s;
	struct td_error e = {0};

	assert_int_equal(td_prober_open(&few, &prober, &e), 0);
	peer_start(&p);
	s = spec(TD_PROBE_AGENT, p.port);
	s.timeout_ms = 60000;
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(td_probe_new(prober, &s, on_done, NULL, &b[i], &e), 0);
		td_probe_at(b[i], now_ns());
	}
	td_prober_run(prober);
	for (size_t i = 0; i < 4; i++)
		td_probe_free(b[i]);
	assert_int_equal(td_prober_counts(prober).sockets, 0);
	assert_int_equal(
		poll(&(struct pollfd){.fd = td_prober_fd(prober), .events = POLLIN}, 1, 5000), 1);
	td_prober_run(prober);
	assert_int_equal(td_prober_counts(prober).sockets, 4);
	td_prober_close(prober);
	prober = whole;
	peer_end(&p);
}

/* A hook that cannot leaves no opinion; one that hears of the end may take it back. */
static int hook_result;
static bool way_was_right;
static unsigned int closed_calls;

static int on_opened(void *context, void *probe_context, int fd, struct sockaddr_storage *to,
		     uint16_t *ret_port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;

	assert_ptr_equal(context, &hook_result);
	assert_int_equal(ntohs(v4->sin_port), 9); /* where it is told to go */
	v4->sin_port = htons(*(uint16_t *)probe_context);
	*ret_port = 77;
	return hook_result;
}

static bool on_closed(void *context, void *probe_context, uint8_t protocol, uint16_t port)
{
	assert_int_equal(protocol, IPPROTO_TCP);
	assert_int_equal(port, 77);
	closed_calls++;
	return way_was_right;
}

static void test_hooks(void **state)
{
	static const enum td_probe_kind kinds[] = {TD_PROBE_TCP, TD_PROBE_AGENT, TD_PROBE_HTTP};
	const struct td_prober_options hooked = {.opened = on_opened,
						 .closed = on_closed,
						 .context = &hook_result,
						 .max_sockets = 8,
						 .max_programs = 1};
	struct td_prober *whole = prober;
	struct peer p = {.greeting = "HTTP/1.0 200 up\r\n\r\n"};
	struct td_error e = {0};

	assert_int_equal(td_prober_open(&hooked, &prober, &e), 0);
	peer_start(&p);
	for (size_t i = 0; i < TD_ARRAY_SIZE(kinds); i++) {
		struct td_probe_spec s = spec(kinds[i], 9);
		enum td_probe_verdict wanted[] = {TD_PROBE_GOOD, TD_PROBE_UNABLE, TD_PROBE_UNABLE};

		for (unsigned int k = 0; k < 3; k++) {
			struct td_probe *b = NULL;

			way_was_right = k != 1;
			hook_result = k == 2 ? -EADDRNOTAVAIL : 0;
			results = closed_calls = 0;
			assert_int_equal(td_probe_new(prober, &s, on_done, &p.port, &b, &e), 0);
			td_probe_at(b, now_ns());
			run_until(1, 10000);
			if (last.verdict != wanted[k])
				fail_msg("kind %d, %u: %d %s", kinds[i], k, last.verdict,
					 last.reason);
			says(k == 1 ? "did not take the way" : k == 2 ? "could not ask" : "");
			assert_int_equal(closed_calls, 1);
			td_probe_free(b);
		}
	}
	/* An answer by somebody else is no answer, whatever it says. */
	p.greeting = "HTTP/1.0 503 down\r\n\r\n";
	hook_result = 0;
	for (unsigned int right = 0; right < 2; right++) {
		struct td_probe_spec s = spec(TD_PROBE_HTTP, 9);
		struct td_probe *b = NULL;

		way_was_right = right;
		results = 0;
		assert_int_equal(td_probe_new(prober, &s, on_done, &p.port, &b, &e), 0);
		td_probe_at(b, now_ns());
		run_until(1, 10000);
		assert_int_equal(last.verdict, right ? TD_PROBE_BAD : TD_PROBE_UNABLE);
		td_probe_free(b);
	}
	td_prober_close(prober);
	prober = whole;
	peer_end(&p);
}

/* Of a port range of one port the probe's own socket gets the port that it asks. The last test:
 * it leaves the network. */
static void test_itself(void **state)
{
	struct td_probe_spec s = spec(TD_PROBE_TCP, 40000);
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		skip();
	assert_int_equal(system("ip link set lo up"), 0);
	fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
	assert_int_equal(write(fd, "40000 40000", 11), 11);
	close(fd);
	assert_int_equal(ask(&s), TD_PROBE_REFUSED);
	s.send = "x";
	s.expect = "x";
	assert_int_equal(ask(&s), TD_PROBE_REFUSED);
	s = spec(TD_PROBE_UDP, 40000);
	s.send = "x";
	assert_int_equal(ask(&s), TD_PROBE_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),	    cmocka_unit_test(test_no_time_wait),
		cmocka_unit_test(test_tcp_silent),  cmocka_unit_test(test_tcp_answers),
		cmocka_unit_test(test_unreachable), cmocka_unit_test(test_udp_dnsmasq),
		cmocka_unit_test(test_agents),	    cmocka_unit_test(test_many_at_their_times),
		cmocka_unit_test(test_turns),	    cmocka_unit_test(test_turn_of_freed),
		cmocka_unit_test(test_hooks),	    cmocka_unit_test(test_itself),
	};

	return cmocka_run_group_tests_name("probe", tests, setup_prober, end_prober);
}
