// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs around listening sockets, over real sockets of a network namespace of
 * this test's own: made, adopted, replaced, killed in between, taken off; who is a
 * worker, and who is chosen.
 */
#include <arpa/inet.h>
#include <poll.h>

#include "kernel_fixture.h"

#define PORT 8099

static void put_group(struct td_kernel *k, uint32_t size, uint16_t port)
{
	struct tundish_listen l = {.port = port};

	td_kernel_groups(k)[1] = (struct tundish_group){
		.first = 8, .size = size, .flags = TUNDISH_GROUP_ACTIVE, .empty_since = 1};
	assert_int_equal(td_kernel_put_listen(k, &l, 1), 0);
}

static int listener(uint16_t port, int backlog)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1, off = 0;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static uint64_t cookie_of(int fd)
{
	socklen_t length = sizeof(uint64_t);
	uint64_t cookie = 0;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length), 0);
	return cookie;
}

static struct td_kernel *open_steering(bool adopted)
{
	struct td_kernel *k = open_kernel(adopted);
	struct td_error e = {0};

	if (td_kernel_steering_open(k, &e) < 0)
		fail_msg("td_kernel_steering_open: %s", e.text);
	assert_true(td_kernel_steering_is_open(k));
	return k;
}

static void listeners_come_and_go_by_themselves(void **state)
{
	struct tundish_worker *w;
	struct td_kernel *k;
	int fd[3];

	NEED_ROOT();
	k = open_steering(false);
	w = td_kernel_workers(k);
	put_group(k, 2, PORT);
	fd[0] = listener(PORT, 5);
	assert_int_equal(w[8].cookie, cookie_of(fd[0]));
	assert_int_equal(w[8].limit, 5);
	assert_int_equal(w[8].pid, getpid());
	assert_int_equal(td_kernel_groups(k)[1].empty_since, 0);
	assert_true(td_kernel_worker_lives(k, 8));
	td_kernel_close(k); /* and with nobody about */

	fd[1] = listener(PORT, 5);
	fd[2] = listener(PORT, 5); /* no place */
	close(fd[0]);
	k = open_steering(true);
	w = td_kernel_workers(k);
	assert_int_equal(w[8].cookie, 0);
	assert_false(td_kernel_worker_lives(k, 8));
	assert_int_equal(w[9].cookie, cookie_of(fd[1]));
	close(fd[1]);
	assert_int_equal(w[9].cookie, 0);
	assert_true(td_kernel_groups(k)[1].empty_since != 0);
	/* Who found no place is taken in by a scan, as are those that were there before. */
	assert_int_equal(td_kernel_scan_listeners(k, NULL), 0);
	assert_int_equal(w[8].cookie, cookie_of(fd[2]));
	assert_int_equal(td_kernel_scan_listeners(k, NULL), 0);
	assert_int_equal(w[9].cookie, 0); /* once */
	close(fd[2]);
	td_kernel_steering_close(k);
	td_kernel_close(k);
	unload();
}

static void events_tell_of_it_seen(const struct tundish_worker_event *e, void *context)
{
	uint32_t *seen = context;

	seen[e->kind]++;
}

static void events_tell_of_it(void **state)
{
	uint32_t seen[8] = {0};
	struct td_kernel *k;
	struct pollfd p;
	int a, b;

	NEED_ROOT();
	k = open_steering(false);
	put_group(k, 1, PORT);
	a = listener(PORT, 5);
	b = listener(PORT, 5);
	close(a);
	close(b);
	p = (struct pollfd){.fd = td_kernel_worker_events_fd(k), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_true(td_kernel_read_worker_events(k, events_tell_of_it_seen, seen) >= 0);
	assert_int_equal(seen[TUNDISH_WORKER_JOINED], 1);
	assert_int_equal(seen[TUNDISH_WORKER_LEFT], 1);
	assert_int_equal(seen[TUNDISH_WORKER_NO_PLACE], 1);
	td_kernel_close(k);
	unload();
}

static void adopted_by_hand(void **state)
{
	struct tundish_worker about = {.pid = 77, .flags = TUNDISH_WORKER_V4 | TUNDISH_WORKER_V6};
	uint32_t index = 0;
	struct td_kernel *k;
	int fd, other;

	NEED_ROOT();
	k = open_steering(false);
	put_group(k, 1, PORT);
	fd = listener(PORT + 1, 5);
	other = listener(PORT + 1, 5);
	assert_int_equal(td_kernel_workers(k)[8].cookie, 0); /* another port is another group's */
	assert_int_equal(td_kernel_adopt_listener(k, 1, fd, &about, &index), 0);
	assert_int_equal(index, 8);
	assert_int_equal(td_kernel_workers(k)[8].cookie, cookie_of(fd));
	assert_int_equal(td_kernel_adopt_listener(k, 1, fd, &about, &index), -EEXIST);
	assert_int_equal(td_kernel_adopt_listener(k, 1, other, &about, &index), -ENOSPC);
	assert_int_equal(td_kernel_adopt_listener(k, 9, fd, &about, &index), -EINVAL);
	assert_int_equal(td_kernel_attach_migrate(k, fd), 0);
	close(fd);
	assert_false(td_kernel_worker_lives(k, 8)); /* nothing here keeps it alive */
	close(other);
	td_kernel_close(k);
	unload();
}

/* One SYN after another, asked of the dry twin: it changes nothing, so the same
 * worker each time; and with the queue of that one full, another. */
static void chosen_by_queue(void **state)
{
	struct tundish_addr vip, client;
	struct tundish_vip value = {
		.id = 3,
		.flags = TUNDISH_VIP_SERVICE,
		.n_ranges = 1,
		.ranges = {{80, 80, 2, IPPROTO_TCP, TUNDISH_DELIVERY_WORKERS}},
	};
	struct td_error e = {0};
	struct td_kernel *k;
	uint32_t first, worker, refusal;
	int fd[2];

	NEED_ROOT();
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &vip);
	inet_pton(AF_INET6, "::ffff:198.51.100.1", &client);
	k = open_steering(false);
	put_group(k, 4, PORT);
	assert_int_equal(td_kernel_put_vip(k, &(struct td_prefix){vip, TD_PREFIX_ALL}, &value), 0);

	/* Not steered: for nobody. */
	assert_int_equal(td_kernel_trace_worker(k, &client, 4711, &vip, 80, &worker, &refusal), 0);
	assert_int_equal(worker, UINT32_MAX);
	assert_int_equal(refusal, TUNDISH_REFUSAL_MAX);
	td_kernel_steering(k)[2] = (struct tundish_steering){
		.group = 1, .share = 100, .stall = 50000000, .grace = 3000000000ull};
	assert_int_equal(td_kernel_trace_worker(k, &client, 4711, &vip, 80, &worker, &refusal), 0);
	assert_int_equal(worker, UINT32_MAX);
	assert_int_equal(refusal, TUNDISH_REFUSAL_empty);

	fd[0] = listener(PORT, 0);
	fd[1] = listener(PORT, 0);
	assert_int_equal(td_kernel_trace_worker(k, &client, 4711, &vip, 80, &first, &refusal), 0);
	assert_in_range(first, 8, 9);
	assert_int_equal(td_kernel_trace_worker(k, &client, 4712, &vip, 80, &worker, &refusal), 0);
	assert_int_equal(worker, first);
	td_kernel_workers(k)[first].flags |= TUNDISH_WORKER_DRAIN;
	assert_int_equal(td_kernel_trace_worker(k, &client, 4711, &vip, 80, &worker, &refusal), 0);
	assert_int_equal(worker, 17 - first);
	td_kernel_workers(k)[worker].flags = TUNDISH_WORKER_V6; /* not for this client */
	assert_int_equal(td_kernel_trace_worker(k, &client, 4711, &vip, 80, &worker, &refusal), 0);
	assert_int_equal(worker, UINT32_MAX);
	assert_int_equal(td_kernel_groups(k)[1].next, 0); /* asking took nobody's turn */
	close(fd[0]);
	close(fd[1]);
	assert_int_equal(td_kernel_scan_listeners(k, &e), 0);
	td_kernel_close(k);
	unload();
}

static void child_steering(void)
{
	struct td_kernel *k;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0 ||
	    td_kernel_steering_open(k, NULL) < 0)
		_exit(1);
	td_kernel_close(k);
}

static void child_steering_off(void)
{
	struct td_kernel *k;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0)
		_exit(1);
	td_kernel_steering_close(k);
	td_kernel_close(k);
}

static void killed_at_each_step(void **state)
{
	struct td_kernel *k;
	int n, fd;

	NEED_ROOT();
	td_kernel_close(open_kernel(false));
	for (n = 1; n <= STEPS_MAX && killed_at(n, child_steering); n++) {
		k = open_steering(true);
		td_kernel_steering_close(k);
		td_kernel_close(k);
		assert_false(pin_there("link_steer"));
	}
	assert_in_range(n, 8, STEPS_MAX);

	for (n = 1; n <= STEPS_MAX; n++) {
		bool killed = killed_at(n, child_steering_off);

		k = open_steering(true);
		put_group(k, 2, PORT);
		fd = listener(PORT, 5);
		assert_int_equal(td_kernel_workers(k)[8].cookie, cookie_of(fd));
		close(fd);
		td_kernel_close(k);
		if (!killed)
			break;
	}
	assert_in_range(n, 8, STEPS_MAX);
	unload();
	assert_int_equal(access(DIR, F_OK), -1);
}

/* Another build: its programs take the places of the former ones, and what is in the
 * groups stays. */
static void other_build_is_replaced(void **state)
{
	uint32_t former, now;
	struct td_kernel *k;
	int fd;

	NEED_ROOT();
	k = open_steering(false);
	put_group(k, 2, PORT);
	fd = listener(PORT, 5);
	td_kernel_close(k);
	former = pinned_id("prog_steer");
	pretend_other_build();
	k = open_steering(true);
	now = pinned_id("prog_steer");
	assert_int_not_equal(former, now);
	assert_int_equal(td_kernel_workers(k)[8].cookie, cookie_of(fd));
	close(fd);
	assert_int_equal(td_kernel_workers(k)[8].cookie, 0);
	td_kernel_close(k);
	k = open_steering(true);
	assert_int_equal(pinned_id("prog_steer"), now);
	td_kernel_close(k);
	unload();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(listeners_come_and_go_by_themselves),
		TEST(events_tell_of_it),
		TEST(adopted_by_hand),
		TEST(chosen_by_queue),
		TEST(killed_at_each_step),
		TEST(other_build_is_replaced),
	};

	isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
