// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs around listening sockets, over real sockets of a network namespace of
 * this test's own: made, adopted, replaced, killed in between, taken off; who is a
 * worker, who is chosen, and which accepts are seen.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
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

static uint32_t queue_of(int fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
	return info.tcpi_unacked;
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
	struct td_error e = {0};
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
	assert_false(td_kernel_steering_is_open(k));
	/* And once more by the same process. */
	if (td_kernel_steering_open(k, &e) < 0)
		fail_msg("td_kernel_steering_open: %s", e.text);
	fd[0] = listener(PORT, 5);
	assert_int_equal(w[9].cookie, cookie_of(fd[0]));
	close(fd[0]);
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
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	struct tundish_addr vip, client;
	struct tundish_vip value = {
		.id = 3,
		.flags = TUNDISH_VIP_SERVICE,
		.n_ranges = 1,
		.ranges = {{80, 80, 2, IPPROTO_TCP, TUNDISH_DELIVERY_WORKERS}},
	};
	struct td_error e = {0};
	struct td_kernel *k;
	uint32_t first, worker, refusal, full;
	int fd[2], waits;

	NEED_ROOT();
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &vip);
	inet_pton(AF_INET6, "::ffff:198.51.100.1", &client);
	k = open_steering(false);
	put_group(k, 4, PORT);
	assert_int_equal(td_kernel_put_vip(k, &(struct td_prefix){vip, TD_PREFIX_ALL}, &value), 0);

	/* Not steered: for nobody. */
	assert_int_equal(
		td_kernel_trace_worker(k, IPPROTO_TCP, &client, 4711, &vip, 80, &worker, &refusal),
		0);
	assert_int_equal(worker, UINT32_MAX);
	assert_int_equal(refusal, TUNDISH_REFUSAL_MAX);
	td_kernel_steering(k)[2] = (struct tundish_steering){
		.group = 1, .share = 100, .stall = 50000000, .grace = 3000000000ull};
	assert_int_equal(
		td_kernel_trace_worker(k, IPPROTO_TCP, &client, 4711, &vip, 80, &worker, &refusal),
		0);
	assert_int_equal(worker, UINT32_MAX);
	assert_int_equal(refusal, TUNDISH_REFUSAL_empty);

	fd[0] = listener(PORT, 0);
	fd[1] = listener(PORT, 0);
	assert_int_equal(
		td_kernel_trace_worker(k, IPPROTO_TCP, &client, 4711, &vip, 80, &first, &refusal),
		0);
	assert_in_range(first, 8, 9);
	assert_int_equal(
		td_kernel_trace_worker(k, IPPROTO_TCP, &client, 4712, &vip, 80, &worker, &refusal),
		0);
	assert_int_equal(worker, first);

	/* One place in each queue: the other worker, then nobody, then the longer queue. */
	to.sin6_addr = in6addr_loopback;
	waits = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(waits, (struct sockaddr *)&to, sizeof(to)), 0);
	full = queue_of(fd[1]);
	assert_int_equal(queue_of(fd[0]) + full, 1);
	assert_int_equal(
		td_kernel_trace_worker(k, IPPROTO_TCP, &client, 4711, &vip, 80, &worker, &refusal),
		0);
	assert_int_equal(worker, 9 - full);
	td_kernel_workers(k)[worker].flags |= TUNDISH_WORKER_DRAIN;
	assert_int_equal(
		td_kernel_trace_worker(k, IPPROTO_TCP, &client, 4711, &vip, 80, &worker, &refusal),
		0);
	assert_int_equal(worker, UINT32_MAX);
	assert_int_equal(refusal, TUNDISH_REFUSAL_full);
	assert_int_equal(listen(fd[full], 1), 0);
	assert_int_equal(
		td_kernel_trace_worker(k, IPPROTO_TCP, &client, 4711, &vip, 80, &worker, &refusal),
		0);
	assert_int_equal(worker, 8 + full);
	td_kernel_workers(k)[9 - full].flags &= ~TUNDISH_WORKER_DRAIN;
	close(accept(fd[full], NULL, NULL));
	close(waits);
	assert_int_equal(
		td_kernel_trace_worker(k, IPPROTO_TCP, &client, 4711, &vip, 80, &worker, &refusal),
		0);
	assert_int_equal(worker, first);

	td_kernel_workers(k)[first].flags |= TUNDISH_WORKER_DRAIN;
	assert_int_equal(
		td_kernel_trace_worker(k, IPPROTO_TCP, &client, 4711, &vip, 80, &worker, &refusal),
		0);
	assert_int_equal(worker, 17 - first);
	td_kernel_workers(k)[worker].flags = TUNDISH_WORKER_V6; /* not for this client */
	assert_int_equal(
		td_kernel_trace_worker(k, IPPROTO_TCP, &client, 4711, &vip, 80, &worker, &refusal),
		0);
	assert_int_equal(worker, UINT32_MAX);
	assert_int_equal(td_kernel_groups(k)[1].next, 0); /* asking took nobody's turn */
	close(fd[0]);
	close(fd[1]);
	assert_int_equal(td_kernel_scan_listeners(k, &e), 0);
	td_kernel_close(k);
	unload();
}

/* ---- accepts ------------------------------------------------------------------------ */

#define FOR_ADDRESS 2 /* services */
#define FOR_ALL	    3

/* 127.0.0.1 and [::1], port 82 for a service that asks for every accept and port 81
 * for one that does not, before one listener. */
static int serve_here(struct td_kernel *k)
{
	static const char *const vips[] = {"::ffff:127.0.0.1", "::1"};

	put_group(k, 4, PORT);
	for (uint32_t i = 0; i < 2; i++) {
		struct tundish_vip value = {
			.id = 3 + i,
			.flags = TUNDISH_VIP_SERVICE,
			.n_ranges = 2,
			.ranges = {{81, 81, FOR_ADDRESS, IPPROTO_TCP, TUNDISH_DELIVERY_WORKERS},
				   {82, 82, FOR_ALL, IPPROTO_TCP, TUNDISH_DELIVERY_WORKERS}},
		};
		struct tundish_addr vip;

		inet_pton(AF_INET6, vips[i], &vip);
		assert_int_equal(
			td_kernel_put_vip(k, &(struct td_prefix){vip, TD_PREFIX_ALL}, &value), 0);
	}
	for (uint32_t s = FOR_ADDRESS; s <= FOR_ALL; s++)
		td_kernel_steering(k)[s] = (struct tundish_steering){
			.group = 1,
			.share = 100,
			.stall = 50000000,
			.accept_times = s == FOR_ALL ? TUNDISH_ACCEPT_TIMES_ALL
						     : TUNDISH_ACCEPT_TIMES_ADDRESS,
		};
	return listener(PORT, 16);
}

static int connected(bool v6, uint32_t service)
{
	uint16_t port = htons((uint16_t)(79 + service));
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = port};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = port};
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a6.sin6_addr = in6addr_loopback;
	assert_int_equal(v6 ? connect(fd, (struct sockaddr *)&a6, sizeof(a6))
			    : connect(fd, (struct sockaddr *)&a4, sizeof(a4)),
			 0);
	return fd;
}

static uint64_t waits(struct td_kernel *k, uint32_t service)
{
	uint64_t n = 0;

	for (size_t i = 0; i < TUNDISH_WAIT_BUCKETS; i++)
		n += td_kernel_service_waits(k)[service].bucket[i];
	return n;
}

enum way { WITHOUT, WITHOUT4, WITH };

/* One connection, accepted so; and its name asked for once more. Returns what accept(2)
 * alone has counted. */
static uint64_t accept_one(struct td_kernel *k, int listening, bool v6, uint32_t service,
			   enum way way)
{
	uint64_t before = waits(k, service), counted;
	int client = connected(v6, service), fd;
	struct sockaddr_storage a;
	socklen_t length = sizeof(a);

	fd = way == WITHOUT    ? accept(listening, NULL, NULL)
	     : way == WITHOUT4 ? accept4(listening, NULL, NULL, SOCK_CLOEXEC)
			       : accept(listening, (struct sockaddr *)&a, &length);
	assert_true(fd >= 0);
	counted = waits(k, service) - before;
	length = sizeof(a);
	assert_int_equal(getpeername(fd, (struct sockaddr *)&a, &length), 0);
	close(fd);
	close(client);
	return counted;
}

static uint32_t link_id(void)
{
	_cleanup_close_ int fd = pin_open("link_sys_exit");
	struct bpf_link_info info = {0};
	uint32_t length = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &length), 0);
	return info.id;
}

static void link_goes(uint32_t id)
{
	for (int i = 0; i < 5000; i++) {
		_cleanup_close_ int fd = bpf_link_get_fd_by_id(id);

		if (fd < 0)
			return;
		usleep(1000);
	}
	fail_msg("link %u is still there", id);
}

static void see_every_accept(struct td_kernel *k, bool on)
{
	struct td_error e = {0};

	if (td_kernel_every_accept(k, on, &e) < 0)
		fail_msg("td_kernel_every_accept: %s", e.text);
	assert_int_equal(pin_there("link_sys_exit"), on);
}

static void accepts_are_seen_once(void **state)
{
	struct td_kernel *k;
	struct tundish_waits *of_worker;
	uint64_t n = 0, n_worker = 0;
	int fd;

	NEED_ROOT();
	k = open_steering(false);
	fd = serve_here(k);
	assert_false(pin_there("link_sys_exit"));
	/* Not asked for: only with an address, whatever the service says. */
	assert_int_equal(accept_one(k, fd, false, FOR_ALL, WITHOUT), 0);
	assert_int_equal(td_kernel_workers(k)[8].accepts, 1); /* by getpeername() afterwards */
	see_every_accept(k, true);
	n = waits(k, FOR_ALL);
	for (int v6 = 0; v6 < 2; v6++)
		for (enum way way = WITHOUT; way <= WITH; way++) {
			for (int i = 0; i < 5; i++)
				assert_int_equal(accept_one(k, fd, v6, FOR_ALL, way), 1);
			n += 5;
			assert_int_equal(waits(k, FOR_ALL), n);
		}
	for (enum way way = WITHOUT; way <= WITH; way++)
		assert_int_equal(accept_one(k, fd, false, FOR_ADDRESS, way), way == WITH);
	assert_int_equal(waits(k, FOR_ADDRESS), 3);
	assert_int_equal(td_kernel_workers(k)[8].accepts, n + 3);
	of_worker = (struct tundish_waits *)&td_kernel_worker_waits(k)[8];
	for (size_t i = 0; i < TUNDISH_WAIT_BUCKETS; i++)
		n_worker += of_worker->bucket[i];
	assert_int_equal(n_worker, n + 3);
	close(fd);
	td_kernel_close(k);
	unload();
	assert_false(pin_there("link_sys_exit"));
}

/* accept(2) without an address and nothing else, by a child: 0 where it did. */
static pid_t child_accepts(int listening, int times)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		for (int i = 0; i < times; i++) {
			int fd = accept(listening, NULL, NULL);

			if (fd < 0)
				_exit(1);
			close(fd);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return pid;
}

static void accepts_tell_who(void **state)
{
	struct tundish_worker *w;
	struct td_kernel *k;
	int fd, client[3];
	pid_t pid;

	NEED_ROOT();
	k = open_steering(false);
	w = td_kernel_workers(k);
	fd = serve_here(k);
	for (size_t i = 0; i < 3; i++)
		client[i] = connected(i == 1, FOR_ALL);
	child_accepts(fd, 3);
	assert_int_equal(w[8].accepts, 0);
	assert_int_equal(w[8].flags & TUNDISH_WORKER_PID, 0);
	assert_int_equal(waits(k, FOR_ALL), 0);
	for (size_t i = 0; i < 3; i++)
		close(client[i]);

	see_every_accept(k, true);
	client[0] = connected(true, FOR_ALL);
	pid = child_accepts(fd, 1);
	assert_int_equal(w[8].accepts, 1);
	assert_true(w[8].flags & TUNDISH_WORKER_PID);
	assert_int_equal(w[8].pid, pid);
	assert_int_equal(waits(k, FOR_ALL), 1);
	close(client[0]);
	/* A service that did not ask for it. */
	client[0] = connected(false, FOR_ADDRESS);
	child_accepts(fd, 1);
	assert_int_equal(w[8].accepts, 1);
	assert_int_equal(waits(k, FOR_ADDRESS), 0);
	close(client[0]);
	close(fd);
	td_kernel_close(k);
	unload();
}

/* Their sockets have the numbers of ours, and ours wait at the same time. */
static void accept_elsewhere(void)
{
	int listening, client, fd;
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};

	if (unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0)
		_exit(1);
	a.sin6_addr = in6addr_loopback;
	listening = socket(AF_INET6, SOCK_STREAM, 0);
	client = socket(AF_INET6, SOCK_STREAM, 0);
	if (bind(listening, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listening, 5) < 0 ||
	    connect(client, (struct sockaddr *)&a, sizeof(a)) < 0)
		_exit(2);
	fd = accept(listening, NULL, NULL);
	_exit(fd < 0 ? 3 : 0);
}

static void accepts_elsewhere_are_not_ours(void **state)
{
	int fd, client, status, pid;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_steering(false);
	fd = serve_here(k);
	see_every_accept(k, true);
	client = connected(true, FOR_ALL);
	fflush(NULL);
	pid = fork();
	if (!pid)
		accept_elsewhere();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(waits(k, FOR_ALL), 0);
	child_accepts(fd, 1);
	assert_int_equal(waits(k, FOR_ALL), 1);
	close(client);
	close(fd);
	td_kernel_close(k);
	unload();
}

/* As long as it is asked for: without a daemon, under another build, and no longer. */
static void every_accept_is_kept_and_ends(void **state)
{
	struct td_kernel *k;
	uint32_t id, former;
	int fd, client;

	NEED_ROOT();
	k = open_steering(false);
	fd = serve_here(k);
	see_every_accept(k, true);
	id = link_id();
	see_every_accept(k, true);
	assert_int_equal(link_id(), id);
	td_kernel_close(k);
	client = connected(false, FOR_ALL);
	child_accepts(fd, 1);
	close(client);
	k = open_steering(true);
	assert_int_equal(waits(k, FOR_ALL), 1);
	see_every_accept(k, true);
	assert_int_equal(link_id(), id);
	td_kernel_close(k);

	former = id;
	pretend_other_build();
	k = open_steering(true);
	id = link_id();
	assert_int_not_equal(id, former);
	link_goes(former);
	client = connected(true, FOR_ALL);
	child_accepts(fd, 1);
	close(client);
	assert_int_equal(waits(k, FOR_ALL), 2);

	see_every_accept(k, false);
	link_goes(id);
	assert_int_equal(accept_one(k, fd, true, FOR_ALL, WITH), 1);
	assert_int_equal(waits(k, FOR_ALL), 3);
	client = connected(true, FOR_ALL);
	child_accepts(fd, 1);
	close(client);
	assert_int_equal(waits(k, FOR_ALL), 3);

	see_every_accept(k, true);
	id = link_id();
	td_kernel_steering_close(k);
	assert_false(pin_there("link_sys_exit"));
	link_goes(id);
	close(fd);
	td_kernel_close(k);
	unload();
}

/* ---- made and taken off ---------------------------------------------------------------- */

static void child_steering(void)
{
	struct td_kernel *k;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0 ||
	    td_kernel_steering_open(k, NULL) < 0)
		_exit(1);
	td_kernel_close(k);
}

static void child_every_accept(void)
{
	struct td_kernel *k;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0 ||
	    td_kernel_steering_open(k, NULL) < 0 || td_kernel_every_accept(k, true, NULL) < 0)
		_exit(1);
	td_kernel_close(k);
}

static void child_every_accept_off(void)
{
	struct td_kernel *k;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0 ||
	    td_kernel_steering_open(k, NULL) < 0 || td_kernel_every_accept(k, false, NULL) < 0)
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

/* Whatever was done of it: the next one that wants it has it, and accepts count. */
static void killed_at_each_step_of_every_accept(void **state)
{
	void (*const what[])(void) = {child_every_accept, child_every_accept_off};
	struct td_kernel *k;
	uint64_t before;
	int n, fd, client;

	NEED_ROOT();
	k = open_steering(false);
	fd = serve_here(k);
	td_kernel_close(k);
	for (size_t w = 0; w < 2; w++) {
		/* The first step takes the pin away, the thirteenth makes it; each costs a
		 * load of the programs or two. */
		for (n = 1; n <= STEPS_MAX && killed_at(n, what[w]); n += 4) {
			k = open_steering(true);
			before = waits(k, FOR_ALL);
			see_every_accept(k, true);
			client = connected(n & 4, FOR_ALL);
			child_accepts(fd, 1);
			close(client);
			assert_int_equal(waits(k, FOR_ALL), before + 1);
			see_every_accept(k, w == 1);
			td_kernel_close(k);
		}
		assert_in_range(n, 13, STEPS_MAX);
	}
	close(fd);
	unload();
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
		TEST(accepts_are_seen_once),
		TEST(accepts_tell_who),
		TEST(accepts_elsewhere_are_not_ours),
		TEST(every_accept_is_kept_and_ends),
		TEST(killed_at_each_step),
		TEST(killed_at_each_step_of_every_accept),
		TEST(other_build_is_replaced),
	};

	isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
