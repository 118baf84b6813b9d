// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rig in the kernel: the object as it ships, over maps of its own, packets by
 * BPF_PROG_TEST_RUN. $BUILD names the directory that holds tundish.bpf.o.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/rig.h"

struct rig rig;
const char *rig_error;

static struct bpf_object *object;
static int run_fd = -1, trace_fd = -1, cpus;

static struct bpf_map *map_of(const char *name)
{
	struct bpf_map *m = bpf_object__find_map_by_name(object, name);

	if (!m) {
		fprintf(stderr, "no map %s\n", name);
		abort();
	}
	return m;
}

static int fd_of(const char *name)
{
	return bpf_map__fd(map_of(name));
}

int rig_map_fd(const char *name)
{
	return fd_of(name);
}

static void *view(const char *name)
{
	size_t n = (size_t)bpf_map__value_size(map_of(name)) * bpf_map__max_entries(map_of(name));
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(name), 0);

	if (p == MAP_FAILED) {
		perror(name);
		abort();
	}
	return p;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return getenv("V") ? vfprintf(stderr, format, args) : 0;
}

static int must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(errno));
		abort();
	}
	return r;
}

int rig_open(uint32_t flow_buckets, uint32_t tuple_buckets)
{
	const struct {
		const char *map;
		uint32_t entries;
	} sizes[] = {{"vips", RIG_VIPS},
		     {"services", RIG_SERVICES},
		     {"maglev", RIG_SERVICES},
		     {"backends", RIG_BACKENDS},
		     {"traffic", RIG_BACKENDS},
		     {"nexthops", RIG_NEXTHOPS},
		     {"groups", 2},
		     {"ports", 1},
		     {"quic_ids", 2 * RIG_BACKENDS},
		     {"fragments", RIG_FRAGMENTS},
		     {"steering", RIG_SERVICES},
		     {"flows", flow_buckets},
		     {"flows6", flow_buckets},
		     {"tuples", tuple_buckets},
		     {"nat", RIG_NAT_BUCKETS * TUNDISH_NAT_SLOTS},
		     {"nat_tags", 2 * RIG_NAT_BUCKETS},
		     {"nat_hosts", 32},
		     {"lanes", RIG_LANES},
		     {"lane_ports", RIG_LANES},
		     {"lane_cursor", RIG_LANES},
		     {"fans", RIG_BACKENDS},
		     {"deliveries", RIG_SERVICES},
		     {"returns", TUNDISH_NAT_HOPS}};
	const char *build = getenv("BUILD");
	char path[512];
	cpu_set_t one;
	/* flow_buckets, flow6_buckets, tuple_buckets: as they are declared */
	const uint32_t buckets[3] = {flow_buckets, flow_buckets, tuple_buckets};
	int r;

	rig_error = NULL;
	if (geteuid() != 0) {
		rig_error = "not root, which loading BPF needs";
		return -EPERM;
	}
	CPU_ZERO(&one); /* per-CPU counts are told apart in one place */
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);

	libbpf_set_print(quiet);
	snprintf(path, sizeof(path), "%s/tundish.bpf.o", build ? build : "build");
	object = bpf_object__open_file(path, NULL);
	if (!object) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		abort();
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		must(bpf_map__set_max_entries(map_of(sizes[i].map), sizes[i].entries),
		     sizes[i].map);
	/* fails where .rodata holds anything else too */
	must(bpf_map__set_initial_value(map_of(".rodata"), buckets, sizeof(buckets)), ".rodata");
	r = bpf_object__load(object);
	if (r == -EPERM) {
		rig_error = "this kernel or container lets root load no BPF program";
		return r;
	}
	must(r, "load");
	run_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "tundish_xdp"));
	trace_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "tundish_trace"));
	cpus = must(libbpf_num_possible_cpus(), "cpus");

	memset(&rig, 0, sizeof(rig));
	rig.kernel = true;
	rig.flow_buckets = flow_buckets;
	rig.tuple_buckets = tuple_buckets;
	rig.maglev = view("maglev");
	rig.backends = view("backends");
	rig.flows = view("flows");
	rig.flows6 = view("flows6");
	rig.tuples = view("tuples");
	rig.nat = view("nat");
	rig.nat_tags = view("nat_tags");
	rig.lanes = view("lanes");
	rig.lane_ports = view("lane_ports");
	rig.fans = view("fans");
	rig.deliveries = view("deliveries");
	rig.returns = view("returns");
	return 0;
}

void rig_close(void)
{
	bpf_object__close(object);
	object = NULL;
}

int rig_run_split(const struct packet *in, struct packet *out, uint32_t linear)
{
	struct xdp_md ctx = {.data_end = linear ? linear : in->len};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in->data, .data_size_in = in->len,
		    .data_out = out->data, .data_size_out = sizeof(out->data), .repeat = 1);

	if (linear) {
		o.ctx_in = &ctx;
		o.ctx_size_in = sizeof(ctx);
	}
	if (bpf_prog_test_run_opts(run_fd, &o) < 0)
		return -errno;
	out->len = o.data_size_out;
	return (int)o.retval;
}

int rig_trace(const struct packet *in, struct tundish_trace *ret)
{
	struct packet out;
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in->data, .data_size_in = in->len,
		    .data_out = out.data, .data_size_out = sizeof(out.data), .repeat = 1);
	uint32_t zero = 0;

	memset(ret, 0, sizeof(*ret));
	must(bpf_map_update_elem(fd_of("trace"), &zero, ret, 0), "trace");
	if (bpf_prog_test_run_opts(trace_fd, &o) < 0)
		return -errno;
	must(bpf_map_lookup_elem(fd_of("trace"), &zero, ret), "trace");
	return (int)o.retval;
}

void rig_set_vip(const struct tundish_addr *a, const struct tundish_vip *v)
{
	must(bpf_map_update_elem(fd_of("vips"), a, v, 0), "vips");
}

void rig_set_nexthop(uint32_t i, const struct tundish_nexthop *h)
{
	must(bpf_map_update_elem(fd_of("nexthops"), &i, h, 0), "nexthops");
}

void rig_set_service(uint32_t i, const struct tundish_service *s)
{
	must(bpf_map_update_elem(fd_of("services"), &i, s, 0), "services");
}

void rig_set_settings(void)
{
	uint32_t zero = 0;

	must(bpf_map_update_elem(fd_of("settings"), &zero, &rig.settings, 0), "settings");
	must(bpf_map_update_elem(fd_of("nat_settings"), &zero, &rig.nat_settings, 0),
	     "nat_settings");
}

void rig_put(const char *map, const void *key, const void *value)
{
	must(bpf_map_update_elem(fd_of(map), key, value, 0), map);
}

void rig_set_server_id(const struct tundish_quic_key *key, uint32_t backend)
{
	if (backend)
		must(bpf_map_update_elem(fd_of("quic_ids"), key, &backend, 0), "quic_ids");
	else
		bpf_map_delete_elem(fd_of("quic_ids"), key);
}

const struct tundish_fragment *rig_fragment(const struct tundish_fragment_key *key)
{
	static struct tundish_fragment f;

	return bpf_map_lookup_elem(fd_of("fragments"), key, &f) < 0 ? NULL : &f;
}

void rig_set_fragment(const struct tundish_fragment_key *key, const struct tundish_fragment *f)
{
	if (f)
		must(bpf_map_update_elem(fd_of("fragments"), key, f, 0), "fragments");
	else
		bpf_map_delete_elem(fd_of("fragments"), key);
}

void rig_forget_fragments(void)
{
	struct tundish_fragment_key key;

	while (!bpf_map_get_next_key(fd_of("fragments"), NULL, &key))
		rig_set_fragment(&key, NULL);
}

void rig_set_group(uint32_t service, int empty, uint64_t grace)
{
	struct tundish_group g = {.empty_since = empty};
	struct tundish_steering s = {.group = grace != 0, .grace = grace};
	uint32_t one = 1;

	must(bpf_map_update_elem(fd_of("groups"), &one, &g, 0), "groups");
	must(bpf_map_update_elem(fd_of("steering"), &service, &s, 0), "steering");
}

void rig_counters(struct tundish_counters *ret)
{
	struct tundish_counters each[RIG_CPUS];
	uint64_t *sum = (uint64_t *)ret;
	uint32_t zero = 0;

	must(bpf_map_lookup_elem(fd_of("counters"), &zero, each), "counters");
	memset(ret, 0, sizeof(*ret));
	for (int c = 0; c < cpus; c++)
		for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++)
			sum[i] += ((uint64_t *)&each[c])[i];
}

void rig_clear_counters(void)
{
	static const struct tundish_counters none[RIG_CPUS];
	uint32_t zero = 0;

	must(bpf_map_update_elem(fd_of("counters"), &zero, none, 0), "counters");
}

struct tundish_traffic rig_traffic(uint32_t backend)
{
	struct tundish_traffic each[RIG_CPUS], sum = {0};

	must(bpf_map_lookup_elem(fd_of("traffic"), &backend, each), "traffic");
	for (int c = 0; c < cpus; c++) {
		sum.packets += each[c].packets;
		sum.bytes += each[c].bytes;
	}
	return sum;
}

void rig_set_traffic(uint32_t backend, struct tundish_traffic t)
{
	struct tundish_traffic each[RIG_CPUS];

	for (int c = 0; c < cpus; c++)
		each[c] = t;
	must(bpf_map_update_elem(fd_of("traffic"), &backend, each, 0), "traffic");
}

uint8_t *rig_snapshot(size_t *ret_length)
{
	uint8_t *bytes = NULL, *grown, key[64], next[64];
	size_t length = 0, value;
	struct bpf_map *m;

	bpf_object__for_each_map(m, object)
	{
		const char *name = bpf_map__name(m);
		bool per_cpu = bpf_map__type(m) == BPF_MAP_TYPE_PERCPU_ARRAY;
		void *last = NULL;

		if (!strcmp(name, "trace") || strchr(name, '.'))
			continue;
		switch ((int)bpf_map__type(m)) { /* sockets, and what has no keys */
		case BPF_MAP_TYPE_SOCKMAP:
		case BPF_MAP_TYPE_SK_STORAGE:
		case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		case BPF_MAP_TYPE_RINGBUF: continue;
		}
		value = per_cpu ? ((bpf_map__value_size(m) + 7) & ~7u) * (size_t)cpus
				: bpf_map__value_size(m);
		while (!bpf_map_get_next_key(bpf_map__fd(m), last, next)) {
			memcpy(key, next, bpf_map__key_size(m));
			last = key;
			if ((!strcmp(name, "queries") || !strcmp(name, "found_hops") ||
			     !strcmp(name, "icmp_errors") || !strcmp(name, "nat_packets") ||
			     !strcmp(name, "picks")) &&
			    *(uint32_t *)key == 1)
				continue;
			if (!strcmp(name, "nat_queries") && *(uint32_t *)key == 2)
				continue;
			grown = realloc(bytes, length + value);
			if (!grown)
				abort();
			bytes = grown;
			must(bpf_map_lookup_elem(bpf_map__fd(m), key, bytes + length), name);
			length += value;
		}
	}
	*ret_length = length;
	return bytes;
}

void rig_later(uint64_t ns)
{
	abort();
}

uint32_t rig_tick(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return tundish_tick((uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec);
}
