// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a look at the source ports of a host with many sockets in TIME_WAIT costs: the
 * scan, with the count of every tuple, beside a bare inet_diag dump, ss and netstat; the
 * scan's figures against a count made with inet_diag; and what scanning does to connect(2).
 *
 *   ports [fill N]     fill: makes N sockets in TIME_WAIT here, and nothing else
 *
 * In a network namespace of its own, over loopback: connections are opened, closed by
 * the client first, and then by the server. CPU time, since that is what is asked for;
 * the least of several rounds, in turn.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "kernel/kernel.h"

#define SOCKETS	    500000u /* or $BENCH_SOCKETS */
#define PROCESSES   2u
#define SOURCES	    16u /* of each process */
#define PORT	    7000
#define FIRST	    1024
#define LAST	    65535
#define TIME_WAIT   6
#define PIN	    "/sys/fs/bpf/tundish-bench"
#define CONNECTS    20000u
#define MEMORY_MIB  "1500" /* a TIME_WAIT is 248 bytes, and its share of bind buckets */
#define SPACE	    1
#define TUPLES_MOST 4096u

static const struct td_limits_conf limits = {
	.flows = 1024,
	.flows6 = 1024,
	.tuples = 1024,
	.services = 1,
	.backends = 1,
	.vips = 1,
	.workers = 1,
	.groups = 1,
	.ports = TUPLES_MOST,
	.nat = 1,
	.lanes = 1,
	.fragments = 1024,
};

static uint64_t scans;
static uint32_t sockets = SOCKETS;

/* ---- the population --------------------------------------------------------------------- */

static void sysctl(const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die("cannot set %s to %s: %s", name, value, strerror(errno));
	close(fd);
}

static struct sockaddr_in at(uint32_t address, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
}

static int server_on(uint16_t port)
{
	struct sockaddr_in a = at(INADDR_LOOPBACK, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1024) < 0)
		die("cannot listen: %s", strerror(errno));
	return fd;
}

/* One connection, closed by its client first. Returns the time of its connect(2), ns. */
static uint64_t one(int server, uint32_t source, uint16_t port)
{
	struct sockaddr_in local = at(source, 0), remote = at(INADDR_LOOPBACK, port);
	int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), in, on = 1;
	uint64_t begin, took;

	setsockopt(out, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof(on));
	if (bind(out, (struct sockaddr *)&local, sizeof(local)) < 0)
		die("cannot bind: %s", strerror(errno));
	begin = now_ns();
	if (connect(out, (struct sockaddr *)&remote, sizeof(remote)) < 0)
		die("cannot connect: %s", strerror(errno));
	took = now_ns() - begin;
	in = accept(server, NULL, NULL);
	close(out);
	if (in >= 0)
		close(in);
	return took;
}

static void fill(uint32_t process)
{
	uint16_t port = (uint16_t)(PORT + process);
	int server = server_on(port);

	for (uint32_t i = 0; i < sockets / PROCESSES; i++)
		one(server, 0x7f010001 + process * 256 + i % SOURCES, port);
	close(server);
}

static void populate(void)
{
	pid_t pids[PROCESSES];
	int status;

	for (uint32_t p = 0; p < PROCESSES; p++) {
		pids[p] = fork();
		if (!pids[p]) {
			fill(p);
			_exit(0);
		}
	}
	for (uint32_t p = 0; p < PROCESSES; p++)
		if (waitpid(pids[p], &status, 0) < 0 || status)
			die("the population was not made");
}

/* ---- ways of looking ----------------------------------------------------------------------- */

static double cpu_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double children(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double scan(struct td_kernel *k, struct tundish_port_scan *ret)
{
	struct tundish_port_scan what = {
		.scan = ++scans, .space = SPACE, .first = FIRST, .last = LAST, .hz = 250};
	double begin = cpu_of(CLOCK_THREAD_CPUTIME_ID);
	_cleanup_free_ struct td_port_entry *all = NULL;
	struct td_error e = {0};
	size_t n;
	int fd;

	if (td_kernel_scan_start(k, &what, -1, &fd, &e) < 0)
		die("%s", e.text);
	while (td_kernel_scan_slice(k, fd) > 0)
		;
	close(fd);
	if (td_kernel_ports(k, &all, &n) < 0 || td_kernel_scan_result(k, ret) < 0)
		die("no result");
	return cpu_of(CLOCK_THREAD_CPUTIME_ID) - begin;
}

struct tuple {
	uint32_t local, remote;
	uint16_t port;
	uint32_t n;
};

static void add(struct tuple *tuples, size_t *n, const struct inet_diag_msg *m)
{
	uint32_t local = ntohl(m->id.idiag_src[0]), remote = ntohl(m->id.idiag_dst[0]);
	uint16_t port = ntohs(m->id.idiag_dport);

	for (size_t i = 0; i < *n; i++)
		if (tuples[i].local == local && tuples[i].port == port &&
		    tuples[i].remote == remote) {
			tuples[i].n++;
			return;
		}
	if (*n < TUPLES_MOST)
		tuples[(*n)++] = (struct tuple){local, remote, port, 1};
}

/* Without `tuples` nothing is looked at but where a message ends. */
static double dump(struct tuple *tuples, size_t *ret_n)
{
	static char buffer[1 << 20];
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} ask = {
		.header = {.nlmsg_len = sizeof(ask),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.request = {.sdiag_family = AF_INET,
			    .sdiag_protocol = IPPROTO_TCP,
			    .idiag_states = 1 << TIME_WAIT},
	};
	double begin = cpu_of(CLOCK_THREAD_CPUTIME_ID);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0 || send(fd, &ask, sizeof(ask), 0) < 0)
		die("no inet_diag: %s", strerror(errno));
	for (;;) {
		ssize_t size = recv(fd, buffer, sizeof(buffer), 0);
		unsigned int left = (unsigned int)size;

		if (size <= 0)
			die("inet_diag: %s", strerror(errno));
		for (struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, left);
		     m = NLMSG_NEXT(m, left)) {
			if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR) {
				close(fd);
				return cpu_of(CLOCK_THREAD_CPUTIME_ID) - begin;
			}
			if (tuples)
				add(tuples, ret_n, NLMSG_DATA(m));
		}
	}
}

static double command(const char *what)
{
	double before = children();

	if (system(what) != 0)
		return 0;
	return children() - before;
}

/* ---- whether it is right ---------------------------------------------------------------------- */

static uint32_t times(const struct tuple *tuples, size_t n, const struct tundish_port_key *key)
{
	for (size_t t = 0; t < n; t++)
		if (tuples[t].local == ntohl(key->local.word[3]) &&
		    tuples[t].remote == ntohl(key->remote.word[3]) &&
		    tuples[t].port == ntohs(key->remote_port_be))
			return tuples[t].n;
	return 0;
}

/* Some end meanwhile, on a slow machine many: between the counts before and after. */
static void compare(struct td_kernel *k)
{
	static struct tuple before[TUPLES_MOST], after[TUPLES_MOST];
	_cleanup_free_ struct td_port_entry *all = NULL;
	size_t n_all, n_before = 0, n_after = 0, seen = 0, wrong = 0, still = 0;
	struct tundish_port_scan s;

	dump(before, &n_before);
	scan(k, &s);
	dump(after, &n_after);
	if (td_kernel_ports(k, &all, &n_all) < 0)
		die("no tuples");
	for (size_t i = 0; i < n_all; i++) {
		const struct tundish_port_count *c = &all[i].value.counted[s.scan % 2];
		uint32_t n = c->state[TUNDISH_PORT_time_wait];
		uint32_t was = times(before, n_before, &all[i].key);
		uint32_t is = times(after, n_after, &all[i].key);

		if (c->scan != s.scan || !n)
			continue;
		seen++;
		still += was == is;
		wrong += n > was || n < is;
	}
	wrong += n_after > seen ? n_after - seen : 0;
	report((struct row){.name = "ports: tuples outside of inet_diag's counts",
			    .value = (double)wrong,
			    .unit = "tuples",
			    .goal = "0, before and after the scan",
			    .met = AT_MOST(wrong, 0)});
	report((struct row){.name = "ports: tuples compared, of them still",
			    .value = (double)still,
			    .unit = "tuples",
			    .baseline = (double)seen});
}

/* ---- what it does to others --------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The 99th percentile of connect(2), us, while a child scans as the daemon does (a 50th
 * of its time), or does not. */
static double connect_p99(struct td_kernel *k, bool scanning)
{
	static uint64_t times[CONNECTS];
	int server = server_on(PORT + 100);
	pid_t child = 0;

	if (scanning) {
		child = fork();
		if (child)
			scans += 1000; /* the numbers of its scans are not used again */
		else
			for (int i = 0; i < 100; i++) {
				struct tundish_port_scan s;

				usleep((useconds_t)(scan(k, &s) * 49e6));
			}
	}
	for (uint32_t i = 0; i < CONNECTS; i++)
		times[i] = one(server, 0x7f020001 + i % SOURCES, PORT + 100);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	close(server);
	qsort(times, CONNECTS, sizeof(*times), by_value);
	return (double)times[CONNECTS * 99 / 100] / 1e3;
}

static double median(double *v, int n)
{
	for (int i = 1; i < n; i++)
		for (int j = i; j > 0 && v[j] < v[j - 1]; j--) {
			double t = v[j];

			v[j] = v[j - 1];
			v[j - 1] = t;
		}
	return v[n / 2];
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static struct td_kernel *isolate_and_open(void)
{
	struct tundish_space space = {.index = SPACE, .first = FIRST, .last = LAST};
	struct td_kernel *k = NULL;
	struct td_error e = {0};
	uint64_t cookie;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) < 0)
		die("no namespaces of its own: %s", strerror(errno));
	if (system("ip link set lo up") != 0)
		die("no loopback");
	sysctl("ip_local_port_range", "1024 65535");
	sysctl("tcp_max_tw_buckets", "2000000");
	sysctl("tcp_tw_reuse", "0");
	if (td_kernel_open(PIN, &limits, 0, &k, NULL, NULL, &e) < 0 ||
	    td_kernel_ports_open(k, &e) < 0)
		die("%s", e.text);
	td_kernel_netns_cookie(-1, &cookie);
	td_kernel_put_space(k, cookie, &space);
	return k;
}

/* For scenarios: so many in the caller's network namespace, and no more. */
static int fill_only(const char *number)
{
	sockets = (uint32_t)strtoul(number, NULL, 10);
	populate();
	return 0;
}

int main(int argc, char **argv)
{
	int rounds = 5;
	double ours[16], bare[16], ss[16], netstat[16], with[16], without[16], best, value;
	struct tundish_port_scan s = {0};
	struct td_kernel *k;

	if (argc == 3 && !strcmp(argv[1], "fill"))
		return fill_only(argv[2]);
	if (system("awk '/^MemFree/{exit $2 < " MEMORY_MIB " * 1024}' /proc/meminfo") != 0) {
		fprintf(stderr, "ports: skipped, less than %s MiB are free\n", MEMORY_MIB);
		return 0;
	}
	if (getenv("BENCH_SOCKETS"))
		sockets = (uint32_t)strtoul(getenv("BENCH_SOCKETS"), NULL, 10);
	k = isolate_and_open();
	for (int i = 0; i < rounds; i++) {
		without[i] = connect_p99(k, false);
		with[i] = connect_p99(k, true);
	}
	populate();
	compare(k);
	for (int i = 0; i < rounds; i++) {
		ours[i] = scan(k, &s);
		bare[i] = dump(NULL, NULL);
		if (i < 3) {
			ss[i] = command("ss -H -tan state time-wait >/dev/null");
			netstat[i] = command("netstat -tan >/dev/null 2>&1");
		}
	}
	best = median(ours, rounds);
	report((struct row){
		.name = "ports: scan, per socket", .value = best / s.sockets * 1e9, .unit = "ns"});
	value = median(bare, rounds);
	report((struct row){.name = "ports: scan, to a bare inet_diag dump",
			    .value = best * 1e3,
			    .unit = "ms CPU",
			    .baseline = value * 1e3,
			    .goal = "at most 1.2 x",
			    .met = AT_MOST(best, 1.2 * value)});
	value = median(ss, 3);
	report((struct row){.name = "ports: ss -tan, to the scan",
			    .value = value * 1e3,
			    .unit = "ms CPU",
			    .baseline = best * 1e3,
			    .goal = "at least 3.5 x",
			    .met = AT_MOST(3.5 * best, value)});
	value = median(netstat, 3);
	if (value > 0)
		report((struct row){.name = "ports: netstat -tan, to the scan",
				    .value = value * 1e3,
				    .unit = "ms CPU",
				    .baseline = best * 1e3});
	value = median(without, rounds);
	report((struct row){.name = "ports: p99 of connect(2) beside scans",
			    .value = median(with, rounds),
			    .unit = "us",
			    .baseline = value,
			    .goal = "at most 1.05 x without",
			    .met = AT_MOST(median(with, rounds), 1.05 * value)});
	td_kernel_ports_close(k);
	td_kernel_close(k);
	td_kernel_unload(PIN, NULL);
	return 0;
}
