// SPDX-License-Identifier: GPL-2.0-only
/*
 * What choosing a source address costs each connect(2), in a network namespace, a cgroup and
 * a bpffs of its own.
 *
 * Connections go to a neighbour that drops all, and are closed at once, so that little but
 * connect(2) is measured. Pools of 1, 4 and 16 sources and none take turns; each figure is the
 * median over the rounds of the rounds' medians. The programs that count source ports run in
 * all of them. "In the program" is what the kernel counts as its run time.
 *
 * Then the slowest of a hundred, on an empty host and with 49% of a pool's ports in use.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <bpf/bpf.h>

#include "bench.h"
#include "kernel/kernel.h"

#define CONNECTS 2000u
#define RANGE	 4000u
#define HELD	 64u
#define FIRST	 20000u
#define PIN	 "/sys/fs/bpf/egress"

static const struct td_limits_conf limits = {.flows = 1024,
					     .flows6 = 1024,
					     .tuples = 1024,
					     .services = 1,
					     .backends = 1,
					     .vips = 1,
					     .workers = 1,
					     .groups = 1,
					     .ports = 65536,
					     .nat = 1,
					     .lanes = 1,
					     .fragments = 1024};
static char cgroup_path[300];
static struct td_kernel *k;
static int cgroup_fd = -1;

static void run(const char *command)
{
	if (system(command) != 0)
		die("failed: %s", command);
}

static void join(const char *path)
{
	char procs[320];
	int fd;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die("cannot join %s: %s", path, strerror(errno));
	close(fd);
}

static void leave(void)
{
	char *slash = strrchr(cgroup_path, '/');

	*slash = '\0';
	join(cgroup_path);
	*slash = '/';
	rmdir(cgroup_path);
}

static void world(void)
{
	struct rlimit files = {65536, 65536};
	FILE *f = popen("findmnt -n -t cgroup2 -o TARGET | head -n 1", "r");
	char root[200] = "";

	if (!f || !fgets(root, sizeof(root), f))
		die("no cgroup v2 tree is mounted");
	pclose(f);
	root[strcspn(root, "\n")] = '\0';
	snprintf(cgroup_path, sizeof(cgroup_path), "%s/tundish-bench-%d", root, getpid());
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700") < 0)
		die("no namespaces of our own: %s", strerror(errno));
	run("ip link set lo up && ip link add tdb0 type veth peer name tdb1 && "
	    "ip link set tdb0 up && ip link set tdb1 up && ip addr add 10.9.0.100/24 dev tdb0 && "
	    "for i in $(seq 16); do ip addr add 10.9.0.$i/32 dev tdb0 || exit 1; done && "
	    "ip neigh add 10.9.0.200 lladdr 02:00:00:00:00:01 dev tdb0 && "
	    "echo 20000 23999 >/proc/sys/net/ipv4/ip_local_port_range");
	setrlimit(RLIMIT_NOFILE, &files);
	if (mkdir(cgroup_path, 0755) < 0)
		die("cannot make %s: %s", cgroup_path, strerror(errno));
	atexit(leave);
	join(cgroup_path);
	cgroup_fd = open(cgroup_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void kernel(void)
{
	struct tundish_space space = {
		.index = 1, .first = FIRST, .last = FIRST + RANGE - 1, .usable = RANGE};
	struct td_error e = {0};
	uint64_t cookie;

	if (td_kernel_open(PIN, &limits, 0, &k, NULL, NULL, &e) < 0 ||
	    td_kernel_ports_open(k, &e) < 0 || td_kernel_egress_open(k, &e) < 0)
		die("%s", e.text);
	if (td_kernel_netns_cookie(-1, &cookie) < 0 || td_kernel_put_space(k, cookie, &space) < 0)
		die("cannot count source ports here");
	td_kernel_egress(k)[1].netns = cookie;
	td_kernel_egress(k)[1].flags = TUNDISH_EGRESS_ACTIVE;
	for (uint32_t i = 0; i < 16; i++) {
		struct tundish_egress *p = &td_kernel_egress(k)[1];

		p->source[i].address = tundish_addr_v4(htonl(0x0a090001 + i));
		p->source[i].flags = TUNDISH_SOURCE_LISTED | TUNDISH_SOURCE_PRESENT;
		p->order[0][i] = (uint8_t)i;
	}
}

/* A pool of so many, or none at all. */
static void pool(unsigned int sources)
{
	struct td_error e = {0};

	td_kernel_egress(k)[1].n[0] = sources;
	if (!sources)
		td_kernel_egress_detach(k, 1);
	else if (td_kernel_egress_attach(k, 1, cgroup_fd, &e) < 0)
		die("%s", e.text);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double of(double *values, size_t n, double part)
{
	qsort(values, n, sizeof(*values), by_value);
	return values[(size_t)(part * (double)(n - 1))];
}

/* Opens one; the time that connect(2) took. */
static int connect_once(double *ret_ns)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x0a0900c8)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	uint64_t begin = now_ns();

	if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
		die("connect: %s", strerror(errno));
	if (ret_ns)
		*ret_ns = (double)(now_ns() - begin);
	return fd;
}

static void measure(double *ns)
{
	for (size_t i = 0; i < CONNECTS; i++)
		close(connect_once(&ns[i]));
}

/* As on a busy host: TIME_WAITs in each slot, and a scan's counts, so many in all. */
static void dress(unsigned int used)
{
	_cleanup_free_ struct td_port_entry *all = NULL;
	int fd = bpf_obj_get(PIN "/ports");
	struct tundish_space space;
	uint64_t cookie;
	size_t n = 0;

	if (fd < 0 || td_kernel_ports(k, &all, &n) < 0 || td_kernel_netns_cookie(-1, &cookie) < 0 ||
	    td_kernel_get_space(k, cookie, &space) < 0)
		die("cannot read the map ports");
	space.scan = 1;
	space.scanned = now_ns();
	td_kernel_put_space(k, cookie, &space);
	for (size_t i = 0; i < n; i++) {
		all[i].value.entered = 16;
		all[i].value.counted[1] = (struct tundish_port_count){.scan = 1, .state = {used}};
		for (uint32_t t = 0; t < TUNDISH_TW_SLOTS; t++) {
			uint64_t tick = (now_ns() >> TUNDISH_TW_SHIFT) - t;

			all[i].value.tw[tick % TUNDISH_TW_SLOTS] = tick << 32 | 1;
		}
		if (bpf_map_update_elem(fd, &all[i].key, &all[i].value, BPF_EXIST) < 0)
			die("cannot write the map ports");
	}
	close(fd);
}

/* Mean run time of the pinned program since the last call. */
static double in_program(void)
{
	static uint64_t former_ns, former_n;
	struct bpf_prog_info info = {0};
	uint32_t length = sizeof(info);
	int fd = bpf_obj_get(PIN "/prog_egress4");
	double mean;

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		die("cannot look at the program: %s", strerror(errno));
	close(fd);
	mean = info.run_cnt > former_n
		       ? (double)(info.run_time_ns - former_ns) / (double)(info.run_cnt - former_n)
		       : 0;
	former_ns = info.run_time_ns;
	former_n = info.run_cnt;
	return mean;
}

/* With so many of each source's ports in use. */
static void cost(unsigned int rounds, unsigned int used)
{
	static const unsigned int sources[] = {0, 1, 4, 16};
	static double ns[CONNECTS], median[4][64], program[4][64];
	double none = 0;
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);

	for (unsigned int r = 0; r < rounds; r++)
		for (size_t w = 0; w < 4; w++) {
			int held[HELD];

			pool(sources[w]);
			/* An unused source would end the search. */
			for (size_t i = 0; i < HELD; i++)
				held[i] = connect_once(NULL);
			measure(ns); /* warm */
			dress(used);
			in_program();
			measure(ns);
			median[w][r] = of(ns, CONNECTS, 0.5);
			program[w][r] = sources[w] ? in_program() : 0;
			for (size_t i = 0; i < HELD; i++)
				close(held[i]);
		}
	if (stats >= 0)
		close(stats);
	for (size_t w = 0; w < 4; w++) {
		double now = of(median[w], rounds, 0.5), inside = of(program[w], rounds, 0.5);
		char name[80];

		if (!sources[w]) {
			none = now;
			if (used > 1)
				continue;
			report((struct row){
				.name = "connect(2), no pool", .value = now, .unit = "ns"});
			continue;
		}
		snprintf(name, sizeof(name), "connect(2), %u sources, %u%% used: added", sources[w],
			 used * 100 / RANGE);
		report((struct row){.name = name,
				    .value = now - none,
				    .unit = "ns",
				    .goal = "below 2000 ns",
				    .met = AT_MOST(now - none, 2000)});
		snprintf(name, sizeof(name), "connect(2), %u sources, %u%% used: in the program",
			 sources[w], used * 100 / RANGE);
		report((struct row){.name = name, .value = inside, .unit = "ns"});
	}
}

/* The slowest of a hundred with so many percent of the ports of `sources` in use; 0: without
 * a pool, of the one address that the kernel chooses. */
static double filled(unsigned int sources, unsigned int percent)
{
	const unsigned int held = (sources ? sources : 1) * RANGE * percent / 100;
	static int fd[4 * RANGE];
	static double ns[CONNECTS];

	pool(sources);
	for (unsigned int i = 0; i < held; i++)
		fd[i] = connect_once(NULL);
	measure(ns);
	for (unsigned int i = 0; i < held; i++)
		close(fd[i]);
	return of(ns, CONNECTS, 0.99);
}

/*
 * connect(2) tries the ports of one parity first, so at 49% it has to find one free port in
 * fifty, whoever chose the source. What that alone costs is the third row.
 */
static void half_full(unsigned int rounds)
{
	double empty[64], at45[64], at49[64], bare[64], none;

	for (unsigned int r = 0; r < rounds; r++) {
		empty[r] = filled(0, 0);
		at45[r] = filled(4, 45);
		bare[r] = filled(0, 49);
		at49[r] = filled(4, 49);
	}
	none = of(empty, rounds, 0.5);
	report((struct row){.name = "connect(2) p99, empty host", .value = none, .unit = "ns"});
	report((struct row){.name = "connect(2) p99, 45% of 4 sources' ports in use",
			    .value = of(at45, rounds, 0.5),
			    .unit = "ns",
			    .baseline = none});
	report((struct row){.name = "connect(2) p99, 49% of one address's, no pool",
			    .value = of(bare, rounds, 0.5),
			    .unit = "ns",
			    .baseline = none});
	report((struct row){.name = "connect(2) p99, 49% of 4 sources' ports in use",
			    .value = of(at49, rounds, 0.5),
			    .unit = "ns",
			    .baseline = none,
			    .goal = "within 2 times an empty host's",
			    .met = AT_MOST(of(at49, rounds, 0.5), 2 * none)});
}

int main(void)
{
	const char *asked = getenv("BENCH_ROUNDS");
	unsigned int rounds = asked ? (unsigned int)atoi(asked) : 15;
	struct sched_param real_time = {.sched_priority = 1};

	rounds = rounds < 1 ? 1 : rounds > 60 ? 60 : rounds;
	pin_cpu();
	world();
	kernel();
	sched_setscheduler(0, SCHED_FIFO, &real_time); /* best effort */
	cost(rounds, 1);
	cost(rounds, RANGE * 3 / 10);
	half_full(rounds > 5 ? 5 : rounds);
	pool(0);
	td_kernel_egress_close(k);
	k = td_kernel_close(k);
	td_kernel_unload(PIN, NULL);
	return 0;
}
