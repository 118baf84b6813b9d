// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source ports as events tell them: how connections end and why they cannot be opened, each
 * against what happened here. And that this outlives the daemon, and a kill at any step.
 */
#include <poll.h>

#include "ports_fixture.h"

#define OTHER_LOCAL "127.0.0.7" /* whose ports no test before has left in TIME_WAIT */
#define NOT_THERE   7999
#define FIN_WAIT2   5

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(resets_are_told_apart),
		TEST(failures_are_exact),
		TEST(counting_outlives_the_daemon),
		TEST(killed_at_each_step),
	};

	isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
