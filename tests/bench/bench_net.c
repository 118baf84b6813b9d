// SPDX-License-Identifier: GPL-2.0-only
/*
 * Helper of veth.sh, http.sh and nat.sh: attaches the programs of net.bpf.c, and sends SYNs
 * along several ways in turn.
 *
 *   net attach NAMESPACE DEVICE pass
 *   net attach NAMESPACE DEVICE limit VIP OUT-DEVICE TO-MAC
 *   net attach NAMESPACE DEVICE both VIP CLIENT CLIENT-MAC OUT-DEVICE SOURCE SERVER SERVER-MAC
 *   net send SOURCE-NAMESPACE SINK-NAMESPACE VIP NAME=DEVICE,TO-MAC,SINK-DEVICE...
 *
 * `send` generates live frames (BPF_F_TEST_XDP_LIVE_FRAMES) on one CPU. veth hands
 * them to the peer's NAPI on the same CPU, so generator, edge and receiver share
 * it, and nothing is lost or won by where the scheduler puts things. The rate is that
 * of frames which the sink counted.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench.h"
#include "net.h"

#define WAYS_MAX   16
#define ROUNDS_MAX 32
#define FRAMES	   256000u /* at a time */

static void enter_namespace(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die("cannot enter the namespace %s: %s", name, strerror(errno));
	close(fd);
}

static unsigned int index_of(const char *device)
{
	unsigned int i = if_nametoindex(device);

	if (!i || i >= BENCH_IFINDEX_MAX)
		die("no device %s, or too many of them", device);
	return i;
}

static void mac_of(const char *device, uint8_t mac[6])
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq q = {0};

	snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", device);
	if (ioctl(fd, SIOCGIFHWADDR, &q) < 0)
		die("cannot read the address of %s: %s", device, strerror(errno));
	memcpy(mac, q.ifr_hwaddr.sa_data, 6);
}

static void read_mac(const char *text, uint8_t mac[6])
{
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5]) != 6)
		die("\"%s\" is no MAC address", text);
}

static __be32 read_address(const char *text)
{
	__be32 a;

	if (inet_pton(AF_INET, text, &a) != 1)
		die("\"%s\" is no address", text);
	return a;
}

static struct bpf_object *load(void)
{
	struct bpf_object *o;
	char path[512];

	snprintf(path, sizeof(path), "%s/bench/net.bpf.o",
		 getenv("BUILD") ? getenv("BUILD") : "build");
	o = bpf_object__open_file(path, NULL);
	if (!o || bpf_object__load(o) < 0)
		die("cannot load %s: %s", path, strerror(errno));
	return o;
}

static int program(struct bpf_object *o, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(o, name));
}

static void *variable(struct bpf_object *o, const char *suffix)
{
	struct bpf_map *m;
	void *p = MAP_FAILED;

	bpf_object__for_each_map(m, o) if (strstr(bpf_map__name(m), suffix)) p =
		mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
		     bpf_map__fd(m), 0);
	if (p == MAP_FAILED)
		die("cannot map %s: %s", suffix, strerror(errno));
	return p;
}

static void attach(const char *device, int fd)
{
	if (bpf_xdp_attach((int)index_of(device), fd, XDP_FLAGS_DRV_MODE, NULL) < 0)
		die("cannot attach to %s: %s", device, strerror(errno));
}

/* What the checksum's sum grows by where one address takes the place of another. */
static uint32_t change(__be32 from, __be32 to)
{
	uint32_t sum = (~from & 0xffff) + (~from >> 16) + (to & 0xffff) + (to >> 16);

	return (sum & 0xffff) + (sum >> 16);
}

static void attach_both(struct bpf_object *o, const char *in, char **argv)
{
	struct bench_both *b = variable(o, ".both");
	const __be32 vip = read_address(argv[0]), client = read_address(argv[1]),
		     source = read_address(argv[4]), server = read_address(argv[5]);
	const char *const device[] = {argv[3], in};

	b->way[0].from = b->way[1].new_to = client;
	b->way[0].to = b->way[1].new_from = vip;
	b->way[0].new_from = b->way[1].to = source;
	b->way[0].new_to = b->way[1].from = server;
	b->way[0].sum = change(client, source) + change(vip, server);
	b->way[1].sum = change(source, client) + change(server, vip);
	read_mac(argv[6], b->way[0].to_mac);
	read_mac(argv[2], b->way[1].to_mac);
	for (int i = 0; i < 2; i++) {
		b->way[i].ifindex = index_of(device[i]);
		mac_of(device[i], b->way[i].from_mac);
		attach(device[i], program(o, "bench_both"));
	}
}

static int do_attach(int argc, char **argv)
{
	struct bpf_object *o = load();

	enter_namespace(argv[0]);
	if (!strcmp(argv[2], "pass")) {
		attach(argv[1], program(o, "bench_pass"));
	} else if (argc >= 10 && !strcmp(argv[2], "both")) {
		attach_both(o, argv[1], argv + 3);
	} else if (argc >= 6) {
		struct bench_limit *l = variable(o, ".limit");

		l->vip_be = read_address(argv[3]);
		l->ifindex = index_of(argv[4]);
		mac_of(argv[4], l->from);
		read_mac(argv[5], l->to);
		attach(argv[1], program(o, "bench_limit"));
	}
	return 0;
}

/* ---- sending ------------------------------------------------------------------ */

struct way {
	char name[32], device[IFNAMSIZ], mac[32], sink_device[IFNAMSIZ];
	struct bench_source source;
	uint32_t sink_ifindex;
	uint32_t next;		    /* first flow that it has not seen yet */
	double rate[2][ROUNDS_MAX]; /* million per second: repeated, new */
	double delivered[2];	    /* the least share of what was sent */
};

static uint64_t received(int map_fd, uint32_t ifindex)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t each[cpus], sum = 0;

	if (bpf_map_lookup_elem(map_fd, &ifindex, each) < 0)
		die("cannot read the sink's count: %s", strerror(errno));
	for (int i = 0; i < cpus; i++)
		sum += each[i];
	return sum;
}

/* Before everybody else on this CPU while it sends, or the rounds would measure who
 * else was running. */
static void go_first(void)
{
	struct sched_param p = {.sched_priority = 1};

	if (sched_setscheduler(0, SCHED_FIFO, &p) < 0)
		fprintf(stderr, "no real-time priority (%s): other load shows in the rates\n",
			strerror(errno));
}

/* Waits until what is under way has arrived. Sleeping lets ksoftirqd have the CPU. */
static uint64_t settle(int map_fd, uint32_t ifindex, uint64_t wanted)
{
	uint64_t n = received(map_fd, ifindex), quiet = now_ns(), before;

	while (n < wanted && now_ns() - quiet < 5000000) {
		usleep(20);
		before = n;
		n = received(map_fd, ifindex);
		if (n != before)
			quiet = now_ns();
	}
	return n;
}

static void send_one(struct way *w, struct bpf_object *o, struct bench_source *source,
		     unsigned int fresh, unsigned int round)
{
	int map_fd = bpf_object__find_map_fd_by_name(o, "received");
	unsigned char frame[BENCH_LENGTH] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, t, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = FRAMES, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	uint64_t n, before = received(map_fd, w->sink_ifindex);

	*source = w->source;
	source->mask = fresh ? ~0u : 1023;
	source->next = fresh ? w->next : 0;
	source->frames = source->expected = FRAMES;
	if (bpf_prog_test_run_opts(program(o, "bench_source"), &t) < 0)
		die("cannot send frames: %s", strerror(errno));
	n = settle(map_fd, w->sink_ifindex, before + FRAMES) - before;
	if (fresh)
		w->next = source->next;
	if (!source->last_ns || n > FRAMES + FRAMES / 100 || n < FRAMES / 10)
		die("%s: %llu frames arrived of %u", w->name, (unsigned long long)n, FRAMES);
	w->rate[fresh][round] =
		(double)n * 1e3 /
		(double)(TD_MAX(source->last_ns, source->arrived_ns) - source->first_ns);
	w->delivered[fresh] = TD_MIN(w->delivered[fresh], (double)n / FRAMES);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Median of a[i] / b[i]; of a alone where b is NULL. */
static double median(const double *a, const double *b, unsigned int n)
{
	double v[ROUNDS_MAX];

	for (unsigned int i = 0; i < n; i++)
		v[i] = b ? a[i] / b[i] : a[i];
	qsort(v, n, sizeof(v[0]), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static struct way *find(struct way *w, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(w[i].name, name))
			return &w[i];
	return NULL;
}

static void report_kind(struct way *ways, size_t n, unsigned int rounds, unsigned int fresh)
{
	const char *kind = fresh ? "new" : "repeated";
	const double of_limit = fresh ? 0.65 : 0.8, of_nftables = fresh ? 6 : 4;
	struct way *limit = find(ways, n, "limit"), *nft = find(ways, n, "nftables");
	char name[96], goal[64];

	for (size_t i = 0; i < n; i++) {
		struct way *w = &ways[i];
		double rate = median(w->rate[fresh], NULL, rounds);
		double ratio = limit ? median(w->rate[fresh], limit->rate[fresh], rounds) : 0;
		bool ours = !strncmp(w->name, "tundish", 7);

		snprintf(name, sizeof(name), "veth_syn_%s_%.31s", kind, w->name);
		snprintf(goal, sizeof(goal), "at least %.2f x the limit", of_limit);
		report((struct row){name, rate, "Mpps", ratio ? rate / ratio : 0,
				    ours ? goal : NULL,
				    !ours		? NO_GOAL
				    : ratio >= of_limit ? MET
							: MISSED});
		if (w->delivered[fresh] < 0.999)
			fprintf(stderr, "%s: in the worst round %.1f%% of the frames arrived\n",
				name, 100 * w->delivered[fresh]);
	}
	for (size_t i = 0; i < n && nft; i++) {
		double ratio = median(ways[i].rate[fresh], nft->rate[fresh], rounds);

		if (strncmp(ways[i].name, "tundish", 7))
			continue;
		snprintf(name, sizeof(name), "veth_syn_%s_%.31s_over_nftables", kind, ways[i].name);
		snprintf(goal, sizeof(goal), "at least %.0f x nftables DNAT", of_nftables);
		report((struct row){name, ratio, "times", 1, goal,
				    ratio >= of_nftables ? MET : MISSED});
	}
}

static int do_send(int argc, char **argv)
{
	const char *asked = getenv("BENCH_ROUNDS");
	unsigned int rounds = asked ? (unsigned int)TD_MAX(1, TD_MIN(atoi(asked), ROUNDS_MAX)) : 9;
	static struct way ways[WAYS_MAX];
	struct bpf_object *o = load();
	struct bench_source *source = variable(o, ".source");
	size_t n = 0;

	for (int i = 3; i < argc && n < WAYS_MAX; i++, n++) {
		struct way *w = &ways[n];

		if (sscanf(argv[i], "%31[^=]=%15[^,],%31[^,],%15s", w->name, w->device, w->mac,
			   w->sink_device) != 4)
			die("\"%s\" is not NAME=DEVICE,MAC,SINK-DEVICE", argv[i]);
		w->delivered[0] = w->delivered[1] = 1;
	}
	pin_cpu();
	go_first();
	enter_namespace(argv[1]);
	for (size_t i = 0; i < n; i++) {
		ways[i].sink_ifindex = index_of(ways[i].sink_device);
		attach(ways[i].sink_device, program(o, "bench_sink"));
	}
	enter_namespace(argv[0]);
	for (size_t i = 0; i < n; i++) {
		struct bench_source *s = &ways[i].source;

		s->vip_be = read_address(argv[2]);
		s->ifindex = index_of(ways[i].device);
		read_mac(ways[i].mac, s->to);
		mac_of(ways[i].device, s->from);
	}
	/* Round 0 warms up and is overwritten by the first that counts. */
	for (unsigned int round = 0; round <= rounds; round++)
		for (unsigned int fresh = 0; fresh < 2; fresh++)
			for (size_t i = 0; i < n; i++)
				send_one(&ways[i], o, source, fresh, round ? round - 1 : 0);
	report_kind(ways, n, rounds, 0);
	report_kind(ways, n, rounds, 1);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 5 && !strcmp(argv[1], "attach"))
		return do_attach(argc - 2, argv + 2);
	if (argc >= 6 && !strcmp(argv[1], "send"))
		return do_send(argc - 2, argv + 2);
	die("usage: net attach NAMESPACE DEVICE PROGRAM... | net send SOURCE SINK VIP WAY...");
}
