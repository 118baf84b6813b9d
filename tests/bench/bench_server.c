// SPDX-License-Identifier: GPL-2.0-only
/*
 * A server with workers that can be made to misbehave, for scenarios and for workers.sh.
 *
 *   server [OPTIONS] ADDRESS:PORT...        (see usage below)
 *
 * Worker k is a process with SO_REUSEPORT listeners of its own on each address (or one of
 * those who share a listener, or with the sockets that LISTEN_FDS hands in). It answers a
 * line, or an HTTP request, with "NAMEk ADDRESS PORT", as getsockname(2) tells them, and
 * closes.
 *
 * The process itself never listens and never accepts. When all workers listen it writes
 * their process ids to --pids. SIGTERM to it, or to one worker: closes the listeners, serves
 * what was accepted, ends. SIGKILL and SIGSTOP do what they do. At the end it prints what
 * the workers did as a line of JSON.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "bench.h"

#define WORKERS_MAX   256u
#define ADDRESSES_MAX 8u
#define GRACE_NS      10000000000ull /* for open connections after SIGTERM */
#define FDS_FIRST     3

static const char usage[] =
	"usage: server [--workers N] [--shared] [--no-reuseport] [--mptcp] [--backlog N] [--null]\n"
	"       [--stall PERIOD-MS,LENGTH-MS] [--nofile N] [--pids FILE] [--name PREFIX]\n"
	"       ADDRESS:PORT...";

struct stats { /* shared with the workers */
	_Atomic uint64_t accepted, answered, lost, no_descriptor, stalls, ready;
};

static struct {
	struct sockaddr_storage address[ADDRESSES_MAX];
	uint32_t n_addresses, workers, backlog, stall_period_ms, stall_ms, nofile;
	bool shared, no_reuseport, mptcp, null;
	const char *pids, *name;
} o = {.workers = 4, .backlog = 4096, .name = "s"};

static volatile sig_atomic_t stopped;
static struct stats *stats;
static pid_t pid_of[WORKERS_MAX];
static uint64_t started_ns;

static void on_term(int signal)
{
	stopped = 1;
}

/* In the process itself, as soon as it comes: between two calls of wait(2) too. */
static void hand_on(int signal)
{
	for (uint32_t k = 0; k < o.workers; k++)
		if (pid_of[k] > 0)
			kill(pid_of[k], SIGTERM);
}

static int listen_on(const struct sockaddr_storage *address)
{
	int one = 1, zero = 0;
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			o.mptcp ? IPPROTO_MPTCP : IPPROTO_TCP);

	if (fd < 0)
		die("no socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address->ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (!o.no_reuseport && !o.shared &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		die("no SO_REUSEPORT: %s", strerror(errno));
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    listen(fd, (int)o.backlog) < 0)
		die("cannot listen: %s", strerror(errno));
	return fd;
}

/* Those that LISTEN_FDS hands to this process; worker k takes every n-th. */
static uint32_t inherited(void)
{
	const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");

	if (!fds || !pid || (pid_t)atoi(pid) != getpid())
		return 0;
	return (uint32_t)atoi(fds);
}

static void answer(int fd, uint32_t k, bool http)
{
	struct sockaddr_storage own = {};
	socklen_t size = sizeof(own);
	char line[256], text[128], address[INET6_ADDRSTRLEN] = "?";
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&own;
	ssize_t length;

	getsockname(fd, (struct sockaddr *)&own, &size);
	if (own.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&own)->sin_addr, address,
			  sizeof(address));
	else if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], address, sizeof(address));
	else
		inet_ntop(AF_INET6, &six->sin6_addr, address, sizeof(address));
	snprintf(text, sizeof(text), "%s%u %s %u\n", o.name, k, address, ntohs(six->sin6_port));
	length = snprintf(line, sizeof(line), "%s%s",
			  http ? "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" : "", text);
	if (send(fd, line, (size_t)length, MSG_NOSIGNAL) == length)
		stats[k].answered++;
	else
		stats[k].lost++;
}

static uint64_t open_connections(uint32_t k)
{
	return stats[k].accepted - stats[k].answered - stats[k].lost;
}

/* Asleep for the first --stall ms of each period, like a program in a long computation;
 * not while it has connections, for those have been accepted and nobody can help them. */
static int until_stall_ms(uint32_t k)
{
	uint64_t period = o.stall_period_ms * 1000000ull, length = o.stall_ms * 1000000ull, phase;

	if (!period || k)
		return 1000;
	phase = (now_ns() - started_ns) % period;
	if (phase < length && open_connections(k))
		return 1;
	if (phase < length) {
		struct timespec t = {(time_t)((length - phase) / 1000000000u),
				     (long)((length - phase) % 1000000000u)};

		stats[k].stalls++;
		nanosleep(&t, NULL);
		phase = length;
	}
	return (int)((period - phase) / 1000000) + 1;
}

/* Takes what is queued; returns how many. Out of descriptors: tries again 10 ms later,
 * as servers do. */
static uint32_t accept_all(int epoll, int listener, uint32_t k, bool *ret_full)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	uint32_t taken = 0;
	int fd;

	while ((fd = accept4(listener, o.null ? NULL : (struct sockaddr *)&from,
			     o.null ? NULL : &size, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

		stats[k].accepted++;
		taken++;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
			die("no event: %s", strerror(errno));
	}
	if (errno == EMFILE || errno == ENFILE) {
		stats[k].no_descriptor++;
		*ret_full = true;
	}
	return taken;
}

static void serve(int fd, uint32_t k)
{
	char line[1024];
	ssize_t n = recv(fd, line, sizeof(line), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		stats[k].lost++; /* it went before it asked */
	else if (!memchr(line, '\n', (size_t)n))
		return;
	else
		answer(fd, k, n > 4 && !memcmp(line, "GET ", 4));
	close(fd);
}

_Noreturn static void work(uint32_t k, const int *listeners, uint32_t n_listeners)
{
	struct epoll_event e[64];
	uint64_t give_up = 0, open = 0;
	bool full = false;
	int epoll = epoll_create1(EPOLL_CLOEXEC), n;

	if (o.nofile)
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){o.nofile, o.nofile});
	for (uint32_t i = 0; i < n_listeners; i++) {
		e[0] = (struct epoll_event){.events = EPOLLIN | (o.shared ? EPOLLEXCLUSIVE : 0),
					    .data.fd = listeners[i]};
		if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &e[0]) < 0)
			die("no events: %s", strerror(errno));
	}
	stats[k].ready = 1;
	for (;;) {
		int patience = until_stall_ms(k);

		if (stopped && !give_up) {
			give_up = now_ns() + GRACE_NS;
			for (uint32_t i = 0; i < n_listeners; i++) {
				/* Others may hold it too: closing alone would not take it out. */
				epoll_ctl(epoll, EPOLL_CTL_DEL, listeners[i], NULL);
				close(listeners[i]);
			}
		}
		if (stopped && (!open || now_ns() > give_up))
			_exit(0);
		if (full)
			usleep(10000);
		full = false;
		n = epoll_wait(epoll, e, TD_ARRAY_SIZE(e),
			       stopped ? TD_MIN(patience, 10) : patience);
		until_stall_ms(k); /* before it takes what woke it */
		for (int i = 0; i < n; i++) {
			bool listener = false;

			for (uint32_t j = 0; j < n_listeners; j++)
				listener = listener || e[i].data.fd == listeners[j];
			if (listener && !stopped)
				accept_all(epoll, e[i].data.fd, k, &full);
			else if (!listener)
				serve(e[i].data.fd, k);
		}
		open = open_connections(k);
	}
}

/* In the worker: its own listeners, or those of the shared or inherited ones that are its. */
_Noreturn static void start_worker(uint32_t k, const int *common, uint32_t n_common)
{
	uint32_t most = n_common ? n_common : o.n_addresses, n = 0;
	int listeners[WORKERS_MAX];

	struct sigaction act = {.sa_handler = on_term}; /* without SA_RESTART */

	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint32_t i = 0; i < most && n < WORKERS_MAX; i++) {
		if (!n_common)
			listeners[n++] = listen_on(&o.address[i]);
		else if (o.shared || i % o.workers == k)
			listeners[n++] = common[i];
		else
			close(common[i]);
	}
	work(k, listeners, n);
}

static void parse_address(const char *text)
{
	struct sockaddr_storage *s = &o.address[o.n_addresses];
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)s;
	struct sockaddr_in *four = (struct sockaddr_in *)s;
	const char *colon = strrchr(text, ':');
	char host[64];

	if (o.n_addresses == ADDRESSES_MAX || !colon || (size_t)(colon - text) >= sizeof(host))
		die("%s", usage);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (host[0] == '[') {
		host[strlen(host) - 1] = '\0';
		s->ss_family = AF_INET6;
	} else {
		s->ss_family = AF_INET;
	}
	if ((s->ss_family == AF_INET ? inet_pton(AF_INET, host, &four->sin_addr)
				     : inet_pton(AF_INET6, host + 1, &six->sin6_addr)) != 1)
		die("\"%s\" is not ADDRESS:PORT", text);
	four->sin_port = htons((uint16_t)atoi(colon + 1));
	o.n_addresses++;
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
		{"workers", required_argument, NULL, 'w'},
		{"shared", no_argument, NULL, 's'},
		{"mptcp", no_argument, NULL, 'm'},
		{"backlog", required_argument, NULL, 'b'},
		{"no-reuseport", no_argument, NULL, 'r'},
		{"null", no_argument, NULL, '0'},
		{"stall", required_argument, NULL, 't'},
		{"nofile", required_argument, NULL, 'n'},
		{"pids", required_argument, NULL, 'p'},
		{"name", required_argument, NULL, 'a'},
		{},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'w': o.workers = number(optarg, WORKERS_MAX); break;
		case 's': o.shared = true; break;
		case 'm': o.mptcp = true; break;
		case 'b': o.backlog = number(optarg, 65535); break;
		case 'r': o.no_reuseport = true; break;
		case '0': o.null = true; break;
		case 't':
			if (sscanf(optarg, "%u,%u", &o.stall_period_ms, &o.stall_ms) != 2 ||
			    o.stall_ms >= o.stall_period_ms || o.stall_period_ms > 60000)
				die("%s", usage);
			break;
		case 'n': o.nofile = number(optarg, 1000000); break;
		case 'p': o.pids = optarg; break;
		case 'a': o.name = optarg; break;
		default: die("%s", usage);
		}
	for (; optind < argc; optind++)
		parse_address(argv[optind]);
}

static void write_pids(void)
{
	char path[4096];
	FILE *f;

	for (uint32_t k = 0; k < o.workers; k++)
		while (!stats[k].ready) {
			if (waitpid(-1, NULL, WNOHANG) > 0)
				die("a worker ended at once");
			sched_yield();
		}
	if (!o.pids)
		return;
	snprintf(path, sizeof(path), "%s.new", o.pids);
	f = fopen(path, "w");
	if (!f)
		die("cannot write %s: %s", path, strerror(errno));
	for (uint32_t k = 0; k < o.workers; k++)
		fprintf(f, "%d\n", pid_of[k]);
	if (fclose(f) || rename(path, o.pids) < 0)
		die("cannot write %s: %s", o.pids, strerror(errno));
}

static void print(void)
{
	uint64_t lost = 0, stalls = 0, full = 0;

	printf("{\"accepted\": [");
	for (uint32_t k = 0; k < o.workers; k++) {
		printf("%s%lu", k ? ", " : "", stats[k].accepted);
		lost += stats[k].lost;
		stalls += stats[k].stalls;
		full += stats[k].no_descriptor;
	}
	printf("], \"lost\": %lu, \"stalls\": %lu, \"no_descriptor\": %lu}\n", lost, stalls, full);
}

int main(int argc, char **argv)
{
	int common[WORKERS_MAX];
	uint32_t n_common;

	parse(argc, argv);
	n_common = TD_MIN(inherited(), WORKERS_MAX);
	if (!o.n_addresses && !n_common)
		die("%s", usage);
	for (uint32_t i = 0; i < n_common; i++) {
		common[i] = FDS_FIRST + (int)i;
		if (fcntl(common[i], F_SETFL, O_NONBLOCK) < 0)
			die("no socket is descriptor %d: %s", common[i], strerror(errno));
	}
	if (o.shared && !n_common)
		for (; n_common < o.n_addresses; n_common++)
			common[n_common] = listen_on(&o.address[n_common]);
	stats = mmap(NULL, WORKERS_MAX * sizeof(*stats), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stats == MAP_FAILED)
		die("no memory: %s", strerror(errno));
	signal(SIGTERM, hand_on);
	signal(SIGINT, hand_on);
	started_ns = now_ns();

	for (uint32_t k = 0; k < o.workers; k++) {
		fflush(NULL);
		pid_of[k] = fork();
		if (pid_of[k] < 0)
			die("no process: %s", strerror(errno));
		if (!pid_of[k])
			start_worker(k, common, n_common);
	}
	for (uint32_t i = 0; i < n_common; i++)
		close(common[i]);
	write_pids();
	while (wait(NULL) > 0 || errno == EINTR)
		;
	print();
	return 0;
}
