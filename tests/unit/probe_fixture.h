/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Peers for the tests of probes: nginx, dnsmasq, and a server of this process that behaves as a
 * test says. All on addresses of the loopback interface, on ports that the kernel gave away.
 */
#ifndef PROBE_FIXTURE_H
#define PROBE_FIXTURE_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "probe/probe.h"

static struct td_prober *prober;
static bool owns_children; /* no nginx beside it, for one */
static struct td_probe_result last;
static char answer[TD_PROBE_LINE_BYTES + 1];
static unsigned int results;

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static inline void on_done(void *context, const struct td_probe_result *r)
{
	last = *r;
	snprintf(answer, sizeof(answer), "%.*s", (int)r->length, r->answer ? r->answer : "");
	results++;
}

/* 0: one that the kernel chooses. Returns the port, or 0 where it is taken. */
static inline uint16_t try_port(int type, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, type, 0);
	bool bound = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	if (bound)
		assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	close(fd);
	return bound ? ntohs(a.sin_port) : 0;
}

/* A free port of loopback, as likely as not still free in a moment; of both protocols, as some
 * servers want both. */
static inline uint16_t free_port(void)
{
	uint16_t port = 0;

	for (unsigned int i = 0; i < 64 && !port; i++)
		port = try_port(SOCK_DGRAM, try_port(SOCK_STREAM, 0));
	assert_true(port);
	return port;
}

static inline struct td_probe_spec spec(enum td_probe_kind kind, uint16_t port)
{
	return (struct td_probe_spec){
		.kind = kind,
		.address = tundish_addr_v4(htonl(INADDR_LOOPBACK)),
		.port = port,
		.timeout_ms = 2000,
		.status = {200, 399},
		.verify = true,
	};
}

/* Runs the loop until so many results have come, or for so long. */
static inline void run_until(unsigned int wanted, unsigned int ms)
{
	uint64_t end = now_ns() + ms * 1000000ull;

	while (results < wanted && now_ns() < end) {
		struct pollfd p = {.fd = td_prober_fd(prober), .events = POLLIN};

		poll(&p, 1, 20);
		td_prober_run(prober);
	}
}

/* One probe to its result. */
static inline enum td_probe_verdict ask(const struct td_probe_spec *s)
{
	struct td_error e = {0};
	struct td_probe *b = NULL;

	results = 0;
	if (td_probe_new(prober, s, on_done, NULL, &b, &e) < 0)
		fail_msg("%s", e.text);
	td_probe_at(b, now_ns());
	run_until(1, 20000);
	assert_int_equal(results, 1);
	td_probe_free(b);
	return last.verdict;
}

static inline void says(const char *part)
{
	if (!strstr(last.reason, part))
		fail_msg("\"%s\" does not say \"%s\"", last.reason, part);
}

/* ---- a server that does as it is told ------------------------------------------------- */

struct peer {
	int fd;
	uint16_t port;
	pthread_t thread;
	bool reset;	      /* ends connections by RST */
	unsigned int hold_ms; /* before it ends them */
	const char *greeting; /* sent at once, or behind what it was sent */
	bool listens;	      /* it reads first */
	bool endless;	      /* the greeting again and again, or: */
	const char *again;
	unsigned int drip_ms; /* a byte of the greeting each time */
	unsigned int accepted;
	char heard[256]; /* the last thing that it read */
	volatile bool over;
};

static inline void serve_one(struct peer *p, int fd)
{
	struct linger reset = {.l_onoff = 1};
	size_t n = p->greeting ? strlen(p->greeting) : 0;
	ssize_t got;

	if (p->listens) {
		got = recv(fd, p->heard, sizeof(p->heard) - 1, 0);
		p->heard[got > 0 ? got : 0] = '\0';
	}
	for (; p->drip_ms && n && !p->over; n--) {
		if (send(fd, p->greeting + strlen(p->greeting) - n, 1, MSG_NOSIGNAL) != 1)
			break;
		usleep(p->drip_ms * 1000);
	}
	if (p->drip_ms)
		n = 0;
	if (n)
		(void)!send(fd, p->greeting, n, MSG_NOSIGNAL);
	while (p->endless && !p->over &&
	       send(fd, p->again ?: p->greeting, strlen(p->again ?: p->greeting), MSG_NOSIGNAL) > 0)
		;
	if (p->hold_ms) {
		struct pollfd q = {.fd = fd, .events = POLLIN};

		while (poll(&q, 1, (int)p->hold_ms) > 0 &&
		       recv(fd, p->heard, sizeof(p->heard) - 1, 0) > 0)
			;
	}
	if (p->reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

static inline void *serve(void *userdata)
{
	struct peer *p = userdata;

	while (!p->over) {
		struct pollfd q = {.fd = p->fd, .events = POLLIN};
		int fd = poll(&q, 1, 20) > 0 ? accept(p->fd, NULL, NULL) : -1;

		if (fd < 0)
			continue;
		p->accepted++;
		serve_one(p, fd);
	}
	return NULL;
}

static inline struct peer *peer_start(struct peer *p)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(p->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(p->fd, 64), 0);
	assert_int_equal(getsockname(p->fd, (struct sockaddr *)&a, &n), 0);
	p->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
	return p;
}

static inline void peer_end(struct peer *p)
{
	p->over = true;
	pthread_join(p->thread, NULL);
	close(p->fd);
}

/* ---- programs ---------------------------------------------------------------------------- */

static char scratch[64];

/* A file of the test's own directory. */
static inline const char *put_file(const char *name, const char *text, mode_t mode)
{
	static char path[4][128];
	static unsigned int turn;
	char *to = path[turn++ % 4];
	FILE *out;

	snprintf(to, sizeof(path[0]), "%s/%s", scratch, name);
	out = fopen(to, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	chmod(to, mode);
	return to;
}

static inline pid_t run_program(char *const *argv)
{
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	assert_true(pid > 0);
	return pid;
}

static inline void end_program(pid_t pid)
{
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

static inline bool accepts(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				.sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool good = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	close(fd);
	return good;
}

static inline int setup_prober(void **state)
{
	const struct td_prober_options options = {
		.max_sockets = 500, .max_programs = 4, .owns_children = owns_children};
	struct td_error e = {0};

	strcpy(scratch, "/tmp/tundish-probe-XXXXXX");
	return mkdtemp(scratch) && td_prober_open(&options, &prober, &e) == 0 ? 0 : -1;
}

static inline int end_prober(void **state)
{
	char command[100];

	prober = td_prober_close(prober);
	snprintf(command, sizeof(command), "rm -rf %s", scratch);
	return system(command) ? -1 : 0;
}

#endif
