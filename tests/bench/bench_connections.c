// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP connections at a fixed rate, every one accounted for; for scenarios and for workers.sh.
 *
 *   connections ADDRESS PORT [OPTIONS]      (see usage below)
 *
 * Each connection sends a line (or an HTTP request), waits for the answer and for the
 * server's close. It is due at an absolute time; its latency counts from there and not from
 * when it was begun, so that a stall does not hide those that waited behind it (with --pace
 * the others are due later by as much as --concurrent kept one from being begun). The answer's
 * first word tells who answered, the second and third the address and port that the server
 * believes to have been asked for. With --hold it is silent for so long before it asks,
 * which does not count.
 *
 * Prints "answering" once the first answer came, and at the end, or after SIGTERM when all
 * begun have ended, one line of JSON.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "bench.h"

#define COUNT_MAX  2000000u
#define NAMES_MAX  512u
#define NAME_LEN   24u
#define ANSWER_MAX 512u
#define STARVED_US 100000.0
#define SLOW_US	   900000.0 /* a lost SYN costs a second */

static const char usage[] =
	"usage: connections ADDRESS PORT [--rate PER-SECOND] [--count N] [--concurrent N]\n"
	"       [--timeout MS] [--hold MS] [--http] [--sources FIRST,N] [--vips N] [--ports N]\n"
	"       [--pace] [--tally] [--check]";
static const char line_request[] = "hello\n";
static const char http_request[] = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

struct connection {
	uint64_t due_ns;
	int fd; /* -1: not begun, or ended */
	uint16_t length;
	bool may_ask, asked, answered;
	char *answer; /* while it comes in */
};

struct name {
	char text[NAME_LEN];
	uint64_t n;
};

static struct {
	struct sockaddr_storage to, from;
	uint32_t rate, count, concurrent, timeout_ms, hold_ms, vips, ports, sources;
	bool http, tally, check, pace;
} o = {.rate = 1000,
       .count = 1000,
       .concurrent = 16384,
       .timeout_ms = 10000,
       .vips = 1,
       .ports = 1};

static struct {
	uint64_t refused, reset, closed, timed_out, failed, misplaced, starved, slow;
	uint32_t begun, open, n_latency;
} n;

static struct connection *connections;
static double *latency_us;
static struct name names[NAMES_MAX];
static uint32_t n_names;
static int epoll;
static volatile sig_atomic_t stopped;

static void on_term(int signal)
{
	stopped = 1;
}

/* The i-th address after one, in its low 32 bits. */
static struct sockaddr_storage address_after(const struct sockaddr_storage *first, uint32_t i,
					     uint32_t port)
{
	struct sockaddr_storage s = *first;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&s;
	struct sockaddr_in *four = (struct sockaddr_in *)&s;

	if (s.ss_family == AF_INET) {
		four->sin_addr.s_addr = htonl(ntohl(four->sin_addr.s_addr) + i);
		four->sin_port = htons((uint16_t)(ntohs(four->sin_port) + port));
	} else {
		six->sin6_addr.s6_addr32[3] = htonl(ntohl(six->sin6_addr.s6_addr32[3]) + i);
		six->sin6_port = htons((uint16_t)(ntohs(six->sin6_port) + port));
	}
	return s;
}

static struct sockaddr_storage target_of(uint32_t i)
{
	return address_after(&o.to, i % o.vips, i / o.vips % o.ports);
}

static double us_of(const struct connection *c)
{
	return (double)(int64_t)(now_ns() - c->due_ns - o.hold_ms * 1000000ull) / 1e3;
}

static void end(struct connection *c)
{
	close(c->fd);
	c->fd = -1;
	free(c->answer);
	c->answer = NULL;
	n.open--;
}

static void fail(struct connection *c, int error)
{
	if (error == ECONNREFUSED)
		n.refused++;
	else if (error == ECONNRESET || error == EPIPE)
		n.reset++;
	else if (error == ETIMEDOUT)
		n.timed_out++;
	else if (!error)
		n.closed++;
	else
		n.failed++;
	if (error == ETIMEDOUT || us_of(c) > STARVED_US)
		n.starved++;
	end(c);
}

static void tally(const char *who)
{
	for (uint32_t i = 0; i < n_names; i++)
		if (!strncmp(names[i].text, who, NAME_LEN - 1)) {
			names[i].n++;
			return;
		}
	if (n_names < NAMES_MAX) {
		snprintf(names[n_names].text, NAME_LEN, "%s", who);
		names[n_names++].n = 1;
	}
}

/* The answer is there: takes its time, who it was, and whether it was asked rightly. */
static void judge(struct connection *c, const char *body)
{
	struct sockaddr_storage to = target_of((uint32_t)(c - connections));
	char who[NAME_LEN] = "", address[64] = "", asked[64];
	double us = us_of(c);
	unsigned int port = 0;

	if (!n.n_latency) {
		puts("answering");
		fflush(stdout);
	}
	latency_us[n.n_latency++] = us;
	n.starved += us > STARVED_US;
	n.slow += us > SLOW_US;
	c->answered = true;
	sscanf(body, "%23s %63s %u", who, address, &port);
	if (o.tally)
		tally(who);
	if (!o.check)
		return;
	if (to.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&to)->sin_addr, asked, sizeof(asked));
	else
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&to)->sin6_addr, asked, sizeof(asked));
	if (!strncmp(address, "::ffff:", 7)) /* as a listener for both families sees it */
		memmove(address, address + 7, strlen(address + 7) + 1);
	n.misplaced +=
		port != ntohs(((struct sockaddr_in *)&to)->sin_port) || strcmp(address, asked) != 0;
}

/* Whether all of the answer has come; it ends with a line, or with the connection. */
static bool complete(struct connection *c, bool ended)
{
	char *body;

	c->answer[c->length] = '\0';
	if (!o.http) {
		if (!strchr(c->answer, '\n'))
			return false;
		judge(c, c->answer);
		return true;
	}
	body = strstr(c->answer, "\r\n\r\n");
	if (!ended || !body || strncmp(c->answer, "HTTP/1.1 200", 12) != 0)
		return false;
	judge(c, body + 4);
	return true;
}

static void go_on(struct connection *c)
{
	const char *request = o.http ? http_request : line_request;
	char beyond[256];
	ssize_t got;

	if (c->fd < 0)
		return;
	if (!c->asked && c->may_ask) {
		got = send(c->fd, request, strlen(request), MSG_NOSIGNAL);
		if (got < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return;
		if (got != (ssize_t)strlen(request)) {
			fail(c, errno);
			return;
		}
		c->asked = true;
	}
	for (;;) {
		size_t room = c->answered ? 0 : ANSWER_MAX - 1 - c->length;

		got = recv(c->fd, room ? c->answer + c->length : beyond,
			   room ? room : sizeof(beyond), 0);
		if (got <= 0)
			break;
		if (!room)
			continue;
		c->length = (uint16_t)(c->length + got);
		complete(c, false);
	}
	if (got < 0 && errno == EAGAIN)
		return;
	/* An answer over HTTP ends here; one to a line may be followed by a reset. */
	if (c->answered || (!got && complete(c, true)))
		end(c);
	else
		fail(c, got ? errno : 0);
}

static void begin(uint32_t i)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = i};
	struct sockaddr_storage to = target_of(i), from;
	struct connection *c = &connections[i];
	int one = 1;

	c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->answer = malloc(ANSWER_MAX);
	if (c->fd < 0 || !c->answer)
		die("no socket for connection %u: %s", i, strerror(errno));
	n.open++;
	if (o.sources) {
		from = address_after(&o.from, i % o.sources, 0);
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) < 0)
			die("cannot connect from source %u: %s", i % o.sources, strerror(errno));
	}
	if ((connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
		fail(c, errno);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(double p)
{
	uint32_t i = (uint32_t)(p * n.n_latency);

	return n.n_latency ? latency_us[TD_MIN(i, n.n_latency - 1)] : 0;
}

static void print(double seconds)
{
	qsort(latency_us, n.n_latency, sizeof(*latency_us), by_value);
	printf("{\"started\": %u, \"answered\": %u, \"lost\": %u, \"refused\": %lu, \"reset\": %lu, "
	       "\"closed\": %lu, \"timed_out\": %lu, \"failed\": %lu, \"misplaced\": %lu, "
	       "\"starved\": %lu, \"slow\": %lu, \"p50_us\": %.0f, \"p99_us\": %.0f, "
	       "\"p999_us\": %.0f, \"max_us\": %.0f, \"seconds\": %.2f",
	       n.begun, n.n_latency, n.begun - n.n_latency, n.refused, n.reset, n.closed,
	       n.timed_out, n.failed, n.misplaced, n.starved, n.slow, percentile(.5),
	       percentile(.99), percentile(.999), percentile(1), seconds);
	if (o.tally) {
		printf(", \"tally\": {");
		for (uint32_t i = 0; i < n_names; i++)
			printf("%s\"%s\": %lu", i ? ", " : "", names[i].text, names[i].n);
		printf("}");
	}
	printf("}\n");
}

static bool parse_address(const char *text, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *four = (struct sockaddr_in *)ret;

	ret->ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(ret->ss_family, text,
			 ret->ss_family == AF_INET ? (void *)&four->sin_addr
						   : (void *)&six->sin6_addr) == 1;
}

static uint32_t number(const char *text, uint32_t most)
{
	char *rest;
	unsigned long x = strtoul(text, &rest, 10);

	if (*rest || x < 1 || x > most)
		die("\"%s\" is not a number from 1 to %u", text, most);
	return (uint32_t)x;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"rate", required_argument, NULL, 'r'},
		{"count", required_argument, NULL, 'n'},
		{"hold", required_argument, NULL, 'd'},
		{"concurrent", required_argument, NULL, 'c'},
		{"vips", required_argument, NULL, 'v'},
		{"timeout", required_argument, NULL, 't'},
		{"ports", required_argument, NULL, 'p'},
		{"sources", required_argument, NULL, 's'},
		{"http", no_argument, NULL, 'h'},
		{"tally", no_argument, NULL, 'a'},
		{"check", no_argument, NULL, 'k'},
		{"pace", no_argument, NULL, 'P'},
		{},
	};
	char *comma;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'r': o.rate = number(optarg, 10000000); break;
		case 'n': o.count = number(optarg, COUNT_MAX); break;
		case 'd': o.hold_ms = number(optarg, 600000); break;
		case 'c': o.concurrent = number(optarg, 500000); break;
		case 'v': o.vips = number(optarg, 1u << 24); break;
		case 't': o.timeout_ms = number(optarg, 600000); break;
		case 'p': o.ports = number(optarg, 65535); break;
		case 's':
			comma = strchr(optarg, ',');
			if (!comma)
				die("%s", usage);
			*comma = '\0';
			o.sources = number(comma + 1, 65536);
			if (!parse_address(optarg, &o.from))
				die("\"%s\" is no address", optarg);
			break;
		case 'h': o.http = true; break;
		case 'a': o.tally = true; break;
		case 'k': o.check = true; break;
		case 'P': o.pace = true; break;
		default: die("%s", usage);
		}
	if (argc - optind != 2 || !parse_address(argv[optind], &o.to))
		die("%s", usage);
	((struct sockaddr_in *)&o.to)->sin_port = htons((uint16_t)number(argv[optind + 1], 65535));
}

static void allow_descriptors(void)
{
	struct rlimit l;

	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	if (o.concurrent > l.rlim_cur - 16)
		o.concurrent = (uint32_t)l.rlim_cur - 16;
}

int main(int argc, char **argv)
{
	uint64_t begun_ns, start, gap_ps, hold_ns, patience_ns, next, now;
	uint32_t oldest = 0, silent = 0;
	bool barred = false;
	struct epoll_event e[256];
	int timer, ready;

	parse(argc, argv);
	allow_descriptors();
	gap_ps = 1000000000000ull / o.rate;
	hold_ns = o.hold_ms * 1000000ull;
	patience_ns = o.timeout_ms * 1000000ull;
	connections = calloc(o.count, sizeof(*connections));
	latency_us = calloc(o.count, sizeof(*latency_us));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	e[0] = (struct epoll_event){.events = EPOLLIN, .data.u32 = UINT32_MAX};
	if (!connections || !latency_us || epoll < 0 || timer < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e[0]) < 0)
		die("cannot begin: %s", strerror(errno));
	signal(SIGTERM, on_term);
	signal(SIGINT, on_term);

	start = begun_ns = now_ns() + 1000000;
	for (;;) {
		now = now_ns();
		if (barred && o.pace && n.open < o.concurrent)
			start = TD_MAX(start, now - n.begun * gap_ps / 1000);
		for (; !stopped && n.begun < o.count && n.open < o.concurrent; n.begun++) {
			uint64_t due = start + n.begun * gap_ps / 1000;

			if (due > now)
				break;
			connections[n.begun].due_ns = due;
			begin(n.begun);
		}
		barred = n.open >= o.concurrent;
		for (; silent < n.begun; silent++) {
			struct connection *c = &connections[silent];

			if (!stopped && c->due_ns + hold_ns > now)
				break;
			c->may_ask = true;
			go_on(c);
		}
		for (; oldest < n.begun; oldest++) {
			struct connection *c = &connections[oldest];

			if (c->fd >= 0 && c->due_ns + patience_ns + hold_ns > now)
				break;
			if (c->fd >= 0 && c->answered)
				end(c);
			else if (c->fd >= 0)
				fail(c, ETIMEDOUT);
		}
		if ((stopped || n.begun == o.count) && !n.open)
			break;
		/* Wakes for what is due next, at the latest in 20 ms for the rest. */
		next = now + 20000000;
		if (!stopped && n.begun < o.count && n.open < o.concurrent)
			next = TD_MIN(next, start + n.begun * gap_ps / 1000);
		if (silent < n.begun)
			next = TD_MIN(next, connections[silent].due_ns + hold_ns);
		timerfd_settime(timer, TFD_TIMER_ABSTIME,
				&(struct itimerspec){.it_value = {(time_t)(next / 1000000000u),
								  (long)(next % 1000000000u)}},
				NULL);
		ready = epoll_wait(epoll, e, TD_ARRAY_SIZE(e), -1);
		for (int i = 0; i < ready; i++)
			if (e[i].data.u32 != UINT32_MAX)
				go_on(&connections[e[i].data.u32]);
	}
	print((double)(now_ns() - begun_ns) / 1e9);
	return n.n_latency == n.begun && !n.misplaced ? 0 : 3;
}
