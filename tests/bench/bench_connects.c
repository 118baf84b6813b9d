// SPDX-License-Identifier: GPL-2.0-only
/*
 * The least that checks by tcp take: one thread that connects to so many addresses in turn, at a
 * fixed rate, some at a time, and ends each connection by RST four milliseconds later. No event loop,
 * no verdicts, no times. Prints the share of one core that it took, of its own (user and system), as
 * percent; the rate that it came to; and how many were not accepted.
 *
 *   connects FIRST-ADDRESS COUNT PORT RATE SECONDS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 4000000l /* connections begin together as those of the daemon do */

static double seconds_used(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

#define BATCH_MAX 4096

static int begin_one(const struct sockaddr_in *to)
{
	struct linger reset = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), zero = 0;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &zero, sizeof(zero));
	(void)!connect(fd, (const struct sockaddr *)to, sizeof(*to));
	return fd;
}

/* Returns whether it was accepted in the meantime. */
static int end_one(int fd)
{
	struct sockaddr_in peer;
	socklen_t n = sizeof(peer);
	int good = getpeername(fd, (struct sockaddr *)&peer, &n) == 0;

	close(fd);
	return good;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	unsigned long count, rate, seconds, done = 0, failed = 0, open_now = 0;
	static int fds[BATCH_MAX];
	struct timespec next, begin, end;
	uint32_t first;
	double used;

	if (argc != 6 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: connects FIRST-ADDRESS COUNT PORT RATE SECONDS\n");
		return 2;
	}
	first = ntohl(to.sin_addr.s_addr);
	count = strtoul(argv[2], NULL, 10);
	to.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
	rate = strtoul(argv[4], NULL, 10);
	seconds = strtoul(argv[5], NULL, 10);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	next = begin;
	used = seconds_used();
	while (done < rate * seconds) {
		unsigned long batch = rate * TICK_NS / 1000000000l;

		for (unsigned long i = 0; i < open_now; i++)
			failed += !end_one(fds[i]);
		for (open_now = 0; open_now < batch && open_now < BATCH_MAX; done++) {
			to.sin_addr.s_addr = htonl(first + (uint32_t)(done % count));
			fds[open_now++] = begin_one(&to);
		}
		next.tv_nsec += TICK_NS;
		if (next.tv_nsec >= 1000000000l) {
			next.tv_nsec -= 1000000000l;
			next.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	used = seconds_used() - used;
	printf("%.2f %.0f %lu\n",
	       100 * used /
		       ((double)(end.tv_sec - begin.tv_sec) +
			(double)(end.tv_nsec - begin.tv_nsec) / 1e9),
	       (double)done / ((double)(end.tv_sec - begin.tv_sec) +
			       (double)(end.tv_nsec - begin.tv_nsec) / 1e9),
	       failed);
	return failed != 0;
}
