// SPDX-License-Identifier: GPL-2.0-only
/*
 * A data path to measure: the object that ships, over maps of the sizes that the
 * daemon would give them, filled as the daemon would fill them, attached to
 * nothing. Its next hops name the loopback device, on which a test run's frames
 * come in, so that a forwarded packet is XDP_TX and not a redirect.
 */
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench.h"
#include "core/maglev.h"
#include "tundish.skel.h"

/* As `limits:` has them where the configuration says nothing. */
#define TUPLES	 262144u
#define BACKENDS 4096u
#define VIPS	 1024u
#define SERVICES 64u

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

void *rig_share(int fd, size_t value_bytes, size_t entries)
{
	size_t bytes = ((value_bytes + 7) & ~7ul) * entries, page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, (bytes + page - 1) / page * page, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fd, 0);

	if (p == MAP_FAILED)
		die("cannot map a table: %s", strerror(errno));
	return p;
}

/* ---- loading -------------------------------------------------------------------- */

static void load_object(struct rig *r, uint32_t connections)
{
	struct tundish_settings *s = &r->settings;
	struct tundish *o = tundish__open();

	if (!o)
		die("cannot open the BPF object: %s", strerror(errno));
	o->rodata->flow_buckets = s->flow_buckets;
	o->rodata->flow6_buckets = s->flow6_buckets;
	o->rodata->tuple_buckets = s->tuple_buckets;
	bpf_map__set_max_entries(o->maps.vips, s->vips_max);
	bpf_map__set_max_entries(o->maps.services, s->services_max);
	bpf_map__set_max_entries(o->maps.maglev, s->services_max);
	bpf_map__set_max_entries(o->maps.backends, s->backends_max);
	bpf_map__set_max_entries(o->maps.nexthops, s->backends_max);
	bpf_map__set_max_entries(o->maps.traffic, s->backends_max);
	bpf_map__set_max_entries(o->maps.deliveries, s->services_max);
	bpf_map__set_max_entries(o->maps.flows, s->flow_buckets);
	bpf_map__set_max_entries(o->maps.flows6, s->flow6_buckets);
	bpf_map__set_max_entries(o->maps.tuples, s->tuple_buckets);
	bpf_program__set_autoload(o->progs.tundish_trace, false);
	r->object = o;
	if (connections)
		rig_nat_size(r, connections);
	if (bpf_object__load(o->obj) < 0)
		die("cannot load the BPF object: %s", strerror(errno));
	r->flows = rig_share(bpf_map__fd(o->maps.flows), sizeof(*r->flows), s->flow_buckets);
	r->flows6 = rig_share(bpf_map__fd(o->maps.flows6), sizeof(*r->flows6), s->flow6_buckets);
	r->rows = rig_share(bpf_map__fd(o->maps.maglev), sizeof(*r->rows), s->services_max);
	r->backends =
		rig_share(bpf_map__fd(o->maps.backends), sizeof(*r->backends), s->backends_max);
}

static void load_wrappers(struct rig *r)
{
	static const char *const names[RIG_PROGRAMS] = {
		[RIG_DATA4] = "bench_data4",	 [RIG_DATA6] = "bench_data6",
		[RIG_SYN4] = "bench_syn4",	 [RIG_SYN6] = "bench_syn6",
		[RIG_OPEN4] = "bench_open4",	 [RIG_OPEN6] = "bench_open6",
		[RIG_WHOLE4] = "bench_whole4",	 [RIG_WHOLE6] = "bench_whole6",
		[RIG_NOTE4] = "bench_note4",	 [RIG_FLOOD4] = "bench_flood4",
		[RIG_CHECK4] = "bench_check4",	 [RIG_ACK4] = "bench_ack4",
		[RIG_ANSWER4] = "bench_answer4", [RIG_TX] = "bench_tx",
	};
	char path[512];
	struct bpf_map *noted, *knobs = NULL, *m;

	snprintf(path, sizeof(path), "%s/bench/wrap.bpf.o",
		 getenv("BUILD") ? getenv("BUILD") : "build");
	r->wrap = bpf_object__open_file(path, NULL);
	if (!r->wrap)
		die("cannot open %s: %s", path, strerror(errno));
	noted = bpf_object__find_map_by_name(r->wrap, "syn_went_to");
	bpf_map__set_max_entries(noted, r->settings.flow_buckets * TUNDISH_BUCKET_ENTRIES);
	if (r->nat)
		bpf_map__set_max_entries(bpf_object__find_map_by_name(r->wrap, "answers"),
					 r->nat->buckets * TUNDISH_NAT_SLOTS);
	if (bpf_object__load(r->wrap) < 0)
		die("cannot load %s: %s", path, strerror(errno));
	bpf_object__for_each_map(m, r->wrap) if (strstr(bpf_map__name(m), "knobs")) knobs = m;
	if (!knobs)
		die("%s has no knobs", path);
	r->knobs = rig_share(bpf_map__fd(knobs), sizeof(*r->knobs), 1);
	r->syn_went_to = rig_share(bpf_map__fd(noted), sizeof(uint64_t),
				   r->settings.flow_buckets * TUNDISH_BUCKET_ENTRIES);
	r->target_fd = bpf_object__find_map_fd_by_name(r->wrap, "target");
	for (size_t i = 0; i < RIG_PROGRAMS; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(r->wrap, names[i]);

		if (!p)
			die("%s has no program %s", path, names[i]);
		r->program_fd[i] = bpf_program__fd(p);
	}
}

/* ---- filling -------------------------------------------------------------------- */

uint32_t rig_number(enum rig_service service, uint32_t backend)
{
	return (service - 1) * RIG_BACKENDS + backend + 1;
}

static struct tundish_addr address_of(enum rig_service service, uint32_t backend)
{
	uint32_t n = rig_number(service, backend);

	if (service != RIG_IPIP6)
		return tundish_addr_v4(htonl(0xc6120000u + n));		   /* 198.18.0.0/15 */
	return (struct tundish_addr){{htonl(0x20010002), 0, 0, htonl(n)}}; /* 2001:2::/48 */
}

static void put(struct bpf_map *map, const void *key, const void *value, const char *what)
{
	if (bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) < 0)
		die("cannot write the %s: %s", what, strerror(errno));
}

static void add_vip(struct rig *r, struct tundish_addr address, uint32_t id,
		    enum rig_service service, uint8_t delivery)
{
	uint8_t protocol = IPPROTO_TCP;
	struct tundish_vip v = {.id = id, .flags = TUNDISH_VIP_SERVICE, .n_ranges = 2};

	if (delivery != TUNDISH_DELIVERY_WORKERS)
		v.flags |= TUNDISH_VIP_FORWARDS;
	if (service == RIG_UDP || service == RIG_BARE) {
		protocol = IPPROTO_UDP;
		delivery |= service == RIG_BARE ? TUNDISH_RANGE_STATELESS : 0;
	}
	v.ranges[0] = (struct tundish_port_range){RIG_PORT, RIG_PORT, service, protocol, delivery};
	v.ranges[1] = (struct tundish_port_range){443, 443, service, protocol, delivery};
	put(r->object->maps.vips, &address, &v, "VIP");
}

static void add_service(struct rig *r, enum rig_service service, enum tundish_delivery delivery)
{
	struct tundish_service s = {.state = TUNDISH_SERVICE_ACTIVE,
				    .delivery = delivery,
				    .protocol = IPPROTO_TCP,
				    .n_backends = RIG_BACKENDS};
	uint32_t weights[RIG_BACKENDS], id = service;

	snprintf(s.name, sizeof(s.name), "service%u", id);
	put(r->object->maps.services, &id, &s, "service");
	for (uint32_t i = 0; i < RIG_BACKENDS; i++) {
		uint32_t n = rig_number(service, i);
		struct tundish_backend *b = &r->backends[n];
		struct tundish_nexthop hop = {
			.ifindex = 1, .flags = TUNDISH_NEXTHOP_VALID, .mtu = 1500};

		memcpy(hop.destination, (uint8_t[]){2, 0, 0, 1, 0, (uint8_t)n}, 6);
		memcpy(hop.source, (uint8_t[]){2, 0, 0, 2, 0, 1}, 6);
		hop.tunnel_source =
			service == RIG_IPIP6
				? (struct tundish_addr){{htonl(0x20010002), 0, 0, htonl(0xffff)}}
				: tundish_addr_v4(htonl(0xc612ffffu));
		put(r->object->maps.nexthops, &n, &hop, "next hop");
		b->address = address_of(service, i);
		b->nexthop = n;
		b->service = service;
		b->delivery = delivery;
		b->gue_port_be = htons(6080);
		b->state = TUNDISH_BACKEND_UP;
		b->weight = b->file_weight = weights[i] = 100;
		snprintf(b->name, sizeof(b->name), "backend%u", n);
	}
	rig_weigh(r, service, weights);
	rig_ask(r, service, false);
}

void rig_weigh(struct rig *r, enum rig_service service, const uint32_t weights[RIG_BACKENDS])
{
	static uint32_t slots[TUNDISH_MAGLEV_SLOTS];
	struct td_maglev_member m[RIG_BACKENDS];
	int e;

	for (uint32_t i = 0; i < RIG_BACKENDS; i++)
		m[i] = (struct td_maglev_member){address_of(service, i), rig_number(service, i),
						 weights[i]};
	e = td_maglev_fill(m, RIG_BACKENDS, slots);
	if (e < 0)
		die("Maglev: %s", strerror(-e));
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++) {
		uint32_t *slot = &r->rows[service].slot[i],
			 old = __atomic_load_n(slot, __ATOMIC_RELAXED), new;

		do {
			new = (old & ~TUNDISH_SLOT_BACKEND) | slots[i];
			if ((old & TUNDISH_SLOT_BACKEND) != slots[i])
				new |= TUNDISH_SLOT_ASK;
		} while (!__atomic_compare_exchange_n(slot, &old, new, false, __ATOMIC_SEQ_CST,
						      __ATOMIC_RELAXED));
	}
}

void rig_ask(struct rig *r, enum rig_service service, bool ask)
{
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++) {
		uint32_t *slot = &r->rows[service].slot[i];

		*slot = (*slot & TUNDISH_SLOT_BACKEND) | (ask ? TUNDISH_SLOT_ASK : 0);
	}
}

void rig_choose(struct rig *r, enum rig_service service, bool least)
{
	struct tundish_deliver d = {.flags = least ? TUNDISH_DELIVER_LEAST : 0};
	uint32_t id = service;

	put(r->object->maps.deliveries, &id, &d, "delivery");
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++) {
		uint32_t *slot = &r->rows[service].slot[i];

		*slot = (*slot & ~TUNDISH_SLOT_CHOOSE) | (least ? TUNDISH_SLOT_CHOOSE : 0);
	}
}

struct rig *rig_open(uint32_t flows, uint32_t flows6)
{
	return rig_open_nat(flows, flows6, 0);
}

struct rig *rig_open_nat(uint32_t flows, uint32_t flows6, uint32_t connections)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct tundish_settings *s;
	uint32_t zero = 0;

	if (!r)
		die("no memory");
	libbpf_set_print(quiet);
	s = &r->settings;
	*s = (struct tundish_settings){
		.magic = TUNDISH_MAGIC,
		.layout_version = TUNDISH_LAYOUT_VERSION,
		.flow_buckets = TUNDISH_BUCKETS_OF(flows),
		.flow6_buckets = TUNDISH_BUCKETS_OF(flows6),
		.tuple_buckets = TUNDISH_BUCKETS_OF(TUPLES),
		.services_max = SERVICES + 1,
		.backends_max = BACKENDS + 1,
		.vips_max = VIPS,
		.syn_timeout = 56,
		.established_timeout = 3353,
		.closing_timeout = 56,
		.udp_new_timeout = 28,
		.udp_timeout = 168,
	};
	if (getrandom(&s->secret, sizeof(s->secret), 0) != sizeof(s->secret))
		die("no random numbers");
	load_object(r, connections);
	load_wrappers(r);
	put(r->object->maps.settings, &zero, s, "settings");

	add_service(r, RIG_IPIP, TUNDISH_DELIVERY_IPIP);
	add_service(r, RIG_DSR, TUNDISH_DELIVERY_DSR);
	add_service(r, RIG_WORKERS, TUNDISH_DELIVERY_WORKERS);
	add_service(r, RIG_IPIP6, TUNDISH_DELIVERY_IPIP);
	add_service(r, RIG_UDP, TUNDISH_DELIVERY_IPIP);
	add_service(r, RIG_BARE, TUNDISH_DELIVERY_IPIP);
	add_service(r, RIG_GUE, TUNDISH_DELIVERY_GUE);
	add_vip(r, tundish_addr_v4(htonl(RIG_VIP_IPIP)), 1, RIG_IPIP, TUNDISH_DELIVERY_IPIP);
	add_vip(r, tundish_addr_v4(htonl(RIG_VIP_DSR)), 2, RIG_DSR, TUNDISH_DELIVERY_DSR);
	add_vip(r, tundish_addr_v4(htonl(RIG_VIP_WORKERS)), 3, RIG_WORKERS,
		TUNDISH_DELIVERY_WORKERS);
	add_vip(r, (struct tundish_addr){{htonl(0x20010db8), 0, 0, htonl(RIG_VIP6_IPIP)}}, 4,
		RIG_IPIP6, TUNDISH_DELIVERY_IPIP);
	add_vip(r, tundish_addr_v4(htonl(RIG_VIP_UDP)), 5, RIG_UDP, TUNDISH_DELIVERY_IPIP);
	add_vip(r, tundish_addr_v4(htonl(RIG_VIP_BARE)), 6, RIG_BARE, TUNDISH_DELIVERY_IPIP);
	add_vip(r, tundish_addr_v4(htonl(RIG_VIP_GUE)), 7, RIG_GUE, TUNDISH_DELIVERY_GUE);
	if (connections) {
		add_service(r, RIG_NAT, TUNDISH_DELIVERY_NAT);
		add_service(r, RIG_FULLNAT, TUNDISH_DELIVERY_FULLNAT);
		add_vip(r, tundish_addr_v4(htonl(RIG_VIP_NAT)), 8, RIG_NAT, TUNDISH_DELIVERY_NAT);
		add_vip(r, tundish_addr_v4(htonl(RIG_VIP_FULLNAT)), 9, RIG_FULLNAT,
			TUNDISH_DELIVERY_FULLNAT);
		rig_nat_fill(r);
	}
	r->knobs->random = 88172645463325252ull;
	return r;
}

struct rig *rig_close(struct rig *r)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct {
		void *at;
		size_t bytes;
	} maps[] = {
		{r->flows, sizeof(*r->flows) * r->settings.flow_buckets},
		{r->flows6, sizeof(*r->flows6) * r->settings.flow6_buckets},
		{r->rows, sizeof(*r->rows) * r->settings.services_max},
		{r->backends, sizeof(*r->backends) * r->settings.backends_max},
		{r->knobs, page},
		{r->syn_went_to,
		 sizeof(uint64_t) * r->settings.flow_buckets * TUNDISH_BUCKET_ENTRIES},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(maps); i++)
		munmap(maps[i].at, (maps[i].bytes + page - 1) / page * page);
	if (r->nat)
		rig_nat_close(r);
	bpf_object__close(r->wrap);
	tundish__destroy(r->object);
	free(r);
	return NULL;
}

/* ---- running -------------------------------------------------------------------- */

void rig_target(struct rig *r, enum rig_target t)
{
	int fd = t == RIG_TUNDISH ? bpf_program__fd(r->object->progs.tundish_xdp)
				  : r->program_fd[RIG_TX];
	uint32_t zero = 0;

	if (bpf_map_update_elem(r->target_fd, &zero, &fd, BPF_ANY) < 0)
		die("cannot call the program from its wrapper: %s", strerror(errno));
}

void rig_aim(struct rig *r, uint32_t vip, uint16_t port, uint32_t flows)
{
	r->knobs->vip_be = htonl(vip);
	r->knobs->port_be = htons(port);
	r->knobs->flows = flows;
	r->knobs->phase = 0;
	r->knobs->checked_flow = 0;
}

double rig_run(struct rig *r, enum rig_program p, uint32_t times, uint32_t wanted)
{
	const bool v6 = p == RIG_DATA6 || p == RIG_SYN6 || p == RIG_OPEN6 || p == RIG_WHOLE6;
	unsigned char frame[BENCH_LENGTH6] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame,
		    .data_size_in = v6 ? BENCH_LENGTH6 : BENCH_LENGTH, .repeat = (int)times);

	if (bpf_prog_test_run_opts(r->program_fd[p], &o) < 0)
		die("cannot run program %d: %s", p, strerror(errno));
	if (o.retval != wanted)
		die("program %d answered %u where %u was expected", p, o.retval, wanted);
	return o.duration;
}

void rig_establish(struct rig *r, bool v6, uint32_t first, uint32_t last)
{
	if (last <= first)
		return;
	rig_aim(r, v6 ? RIG_VIP6_IPIP : RIG_VIP_IPIP, RIG_PORT, last);
	r->knobs->next = first;
	rig_target(r, RIG_TUNDISH);
	rig_run(r, v6 ? RIG_OPEN6 : RIG_OPEN4, 2 * (last - first), XDP_TX);
}

uint64_t rig_count(struct rig *r, bool v6, enum tundish_flow_state state)
{
	uint32_t n = v6 ? r->settings.flow6_buckets : r->settings.flow_buckets;
	uint64_t found = 0;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < TUNDISH_BUCKET_ENTRIES; j++)
			found += (v6 ? r->flows6[i].entry[j].value.live.state
				     : r->flows[i].entry[j].value.live.state) == state;
	return found;
}

void rig_forget_udp(struct rig *r)
{
	for (uint32_t i = 0; i < r->settings.flow_buckets; i++)
		for (unsigned int k = 0; k < TUNDISH_BUCKET_ENTRIES; k++)
			if (r->flows[i].entry[k].value.live.udp)
				r->flows[i].entry[k].value.raw = 0;
}

void rig_forget_half_open(struct rig *r, bool v6)
{
	uint32_t n = v6 ? r->settings.flow6_buckets : r->settings.flow_buckets;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < TUNDISH_BUCKET_ENTRIES; j++) {
			union tundish_flow_value *v =
				v6 ? &r->flows6[i].entry[j].value : &r->flows[i].entry[j].value;

			if (v->live.state == TUNDISH_FLOW_SYN)
				v->raw = 0;
		}
	rig_ask(r, v6 ? RIG_IPIP6 : RIG_IPIP, false);
}

struct tundish_counters rig_counters(struct rig *r)
{
	int cpus = libbpf_num_possible_cpus();
	struct tundish_counters sum = {0}, each[cpus];
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(rig_map_fd(r, "counters"), &zero, each) < 0)
		die("cannot read the counters: %s", strerror(errno));
	for (int c = 0; c < cpus; c++)
		for (size_t i = 0; i < TUNDISH_COUNTER_MAX; i++)
			((uint64_t *)&sum)[i] += ((uint64_t *)&each[c])[i];
	return sum;
}

int rig_map_fd(struct rig *r, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(r->object->obj, name);

	if (fd < 0)
		die("no map is called %s", name);
	return fd;
}

uint64_t rig_map_bytes(int fd)
{
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long bytes = 0;
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			return bytes;
	die("the kernel does not say how much memory a map takes");
}
