// SPDX-License-Identifier: GPL-2.0-only
/*
 * HTTP requests at a fixed rate, a new connection each, for http.sh.
 *
 *   rate ADDRESS PORT PER-SECOND MILLISECONDS
 *
 * Prints the 50th and 99th percentile of the time from when a request was due (not
 * from when it was sent: a stall must not hide those that waited behind it) to the
 * end of its answer, in microseconds, and how many failed.
 */
#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "bench.h"

#define REQUESTS_MAX 200000u
#define PATIENCE_NS  3000000000ull

static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

struct connection {
	uint64_t due_ns;
	int fd; /* -1: ended */
	bool asked, answered;
};

static struct connection *connections;
static double *latency_us;
static uint32_t n_done, n_failed;

static void end(struct connection *c, bool good)
{
	if (good)
		latency_us[n_done++] = (double)(now_ns() - c->due_ns) / 1e3;
	else
		n_failed++;
	close(c->fd);
	c->fd = -1;
}

static void begin(int epoll, uint32_t i, const struct sockaddr_in *to)
{
	struct connection *c = &connections[i];
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = i};

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	if ((connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) < 0 &&
	     errno != EINPROGRESS) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
		end(c, false);
}

static void go_on(struct connection *c)
{
	char answer[4096];
	ssize_t n;

	if (c->fd < 0)
		return;
	if (!c->asked) {
		n = send(c->fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return;
		if (n != sizeof(request) - 1) {
			end(c, false);
			return;
		}
		c->asked = true;
	}
	while ((n = recv(c->fd, answer, sizeof(answer), 0)) > 0)
		c->answered = c->answered || (n > 12 && !memcmp(answer, "HTTP/1.1 200", 12));
	if (n == 0 || errno != EAGAIN)
		end(c, n == 0 && c->answered);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	uint64_t start, gap, last = 0;
	uint32_t wanted, begun = 0;
	struct epoll_event e[256];
	int epoll, timer;

	if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || atoi(argv[3]) < 1)
		die("usage: rate ADDRESS PORT PER-SECOND MILLISECONDS");
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	gap = 1000000000ull / (uint64_t)atoi(argv[3]);
	wanted = (uint32_t)TD_MIN((uint64_t)atoi(argv[4]) * 1000000 / gap, REQUESTS_MAX);
	connections = calloc(wanted, sizeof(*connections));
	latency_us = calloc(wanted, sizeof(*latency_us));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	e[0] = (struct epoll_event){.events = EPOLLIN, .data.u32 = UINT32_MAX};
	if (!connections || !latency_us || epoll < 0 || timer < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e[0]) < 0)
		die("cannot begin: %s", strerror(errno));

	start = now_ns() + 1000000;
	while (n_done + n_failed < wanted) {
		uint64_t now = now_ns(), next;
		int n;

		for (; begun < wanted && start + begun * gap <= now; begun++) {
			connections[begun].due_ns = last = start + begun * gap;
			begin(epoll, begun, &to);
		}
		if (begun == wanted && now > last + PATIENCE_NS)
			break;
		next = begun < wanted ? start + begun * gap : last + PATIENCE_NS + 1;
		timerfd_settime(timer, TFD_TIMER_ABSTIME,
				&(struct itimerspec){.it_value = {(time_t)(next / 1000000000u),
								  (long)(next % 1000000000u)}},
				NULL);
		n = epoll_wait(epoll, e, TD_ARRAY_SIZE(e), -1);
		for (int i = 0; i < n; i++)
			if (e[i].data.u32 != UINT32_MAX)
				go_on(&connections[e[i].data.u32]);
	}
	if (!n_done)
		die("no request was answered");
	qsort(latency_us, n_done, sizeof(*latency_us), by_value);
	printf("%.1f %.1f %u\n", latency_us[n_done / 2], latency_us[(uint64_t)n_done * 99 / 100],
	       wanted - n_done);
	return 0;
}
