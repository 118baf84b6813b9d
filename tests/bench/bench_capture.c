// SPDX-License-Identifier: GPL-2.0-only
/*
 * What `tundish capture` costs each packet of an established flow (ipip, one flow, its tables in the
 * cache, where a nanosecond more is seen best): off, on where nothing matches, and on where all do,
 * which are copied as they arrive and as they leave. In turn, in each of several rounds; of each the
 * smallest counts.
 *
 * With BENCH_BEFORE=FILE, another build's tundish.bpf.o, that program runs over the same tables in the
 * same rounds.
 */
#include <arpa/inet.h>
#include <linux/bpf.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench.h"
#include "tundish.skel.h"

#define RING	     (64u << 20)
#define MATCHED	     50000u /* of one run: what they leave fits in half of the ring */
#define FILTER_FOR_S 3600ull

enum way { BARE, BEFORE, OFF, NONE_IN, NONE, ALL, WAYS };

static const char *const names[WAYS] = {
	[BEFORE] = "capture_before_ns",		  [OFF] = "capture_off_ns",
	[NONE_IN] = "capture_none_matches_in_ns", [NONE] = "capture_none_matches_ns",
	[ALL] = "capture_all_match_ns",
};

static struct tundish_capture *filter;
static struct ring_buffer *ring;

static int on_packet(void *context, void *data, size_t size)
{
	++*(uint64_t *)context;
	return 0;
}

static uint64_t n_packets;

static void open_ring(struct rig *r)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "captured", 0, 0, RING, NULL);
	uint32_t zero = 0;

	if (fd < 0 ||
	    bpf_map_update_elem(bpf_map__fd(r->object->maps.capture_ring), &zero, &fd, BPF_ANY) < 0)
		die("no ring for packets: %s", strerror(errno));
	ring = ring_buffer__new(fd, on_packet, &n_packets, NULL);
	if (!ring)
		die("the ring cannot be read: %s", strerror(errno));
	filter = rig_share(bpf_map__fd(r->object->maps.data_capture), sizeof(*filter), 1);
	filter->snaplen = 256;
}

/* The program of another build, over the rig's own maps; -1: not asked for. */
static int load_before(struct rig *r)
{
	const char *path = getenv("BENCH_BEFORE");
	const uint32_t buckets[] = {r->settings.flow_buckets, r->settings.flow6_buckets,
				    r->settings.tuple_buckets};
	struct bpf_object *o = path ? bpf_object__open_file(path, NULL) : NULL;
	struct bpf_map *m, *ours;

	if (!path)
		return -1;
	if (!o)
		die("cannot open %s: %s", path, strerror(errno));
	bpf_object__for_each_map(m, o)
	{
		ours = bpf_object__find_map_by_name(r->object->obj, bpf_map__name(m));
		if (!strcmp(bpf_map__name(m), ".rodata"))
			bpf_map__set_initial_value(m, buckets, sizeof(buckets));
		else if (ours && bpf_map__reuse_fd(m, bpf_map__fd(ours)) < 0)
			die("%s: the map %s is another one", path, bpf_map__name(m));
	}
	bpf_program__set_autoload(bpf_object__find_program_by_name(o, "tundish_trace"), false);
	if (bpf_object__load(o) < 0)
		die("cannot load %s: %s", path, strerror(errno));
	return bpf_program__fd(bpf_object__find_program_by_name(o, "tundish_xdp"));
}

static void ask(enum way w)
{
	__atomic_store_n(&filter->until, 0, __ATOMIC_RELEASE);
	filter->headers = w == NONE || w == NONE_IN;
	filter->protocol[1] = filter->headers ? 255 : 0;
	filter->points = TUNDISH_CAPTURE_IN | (w == NONE_IN ? 0 : TUNDISH_CAPTURE_OUT);
	filter->unmatched = w != NONE_IN;
	filter->address[0] = (struct tundish_capture_address){
		.value = {0, 0, 0, htonl(0xcb007109)},
		.mask = {0, 0, 0, ~0u},
		.ends = filter->headers ? TUNDISH_CAPTURE_SOURCE | TUNDISH_CAPTURE_DESTINATION : 0};
	if (w >= NONE_IN)
		__atomic_store_n(&filter->until, now_ns() + FILTER_FOR_S * 1000000000ull,
				 __ATOMIC_RELEASE);
}

static double run(struct rig *r, enum way w, int before, uint32_t packets)
{
	uint32_t zero = 0;
	double ns;

	rig_target(r, w == BARE ? RIG_BASELINE : RIG_TUNDISH);
	if (w == BEFORE && bpf_map_update_elem(r->target_fd, &zero, &before, BPF_ANY) < 0)
		die("the former program cannot be called: %s", strerror(errno));
	ask(w);
	if (w != ALL)
		rig_run(r, RIG_DATA4, packets / 4, XDP_TX);
	ns = rig_run(r, RIG_DATA4, w == ALL ? MATCHED : packets, XDP_TX);
	ask(OFF);
	ring_buffer__consume(ring);
	return ns;
}

int main(int argc, char **argv)
{
	const char *quick = getenv("BENCH_ROUNDS");
	unsigned int rounds = quick ? (unsigned int)TD_MAX(1, TD_MIN(atoi(quick), 64)) : 15;
	double best[WAYS] = {0}, ns, base;
	struct rig *r;
	int before;

	pin_cpu();
	r = rig_open(65536, 1);
	rig_establish(r, false, 0, 1);
	open_ring(r);
	before = load_before(r);
	rig_aim(r, RIG_VIP_IPIP, RIG_PORT, 1);
	for (unsigned int i = 0; i < rounds; i++)
		for (enum way w = BARE; w < WAYS; w++) {
			if (w == BEFORE && before < 0)
				continue;
			ns = run(r, w, before, 400000);
			if (!best[w] || ns < best[w])
				best[w] = ns;
		}
	if (filter->sampled || filter->full || n_packets != 2ull * MATCHED * rounds)
		die("%llu packets of %llu were captured", (unsigned long long)n_packets,
		    2ull * MATCHED * rounds);
	base = best[OFF] - best[BARE];
	if (getenv("V"))
		fprintf(stderr, "bare %.0f ns\n", best[BARE]);
	if (before >= 0)
		report((struct row){names[BEFORE], best[BEFORE] - best[BARE], "ns", base, NULL,
				    NO_GOAL});
	report((struct row){names[OFF], base, "ns", before >= 0 ? best[BEFORE] - best[BARE] : 0,
			    NULL, NO_GOAL});
	for (enum way w = NONE_IN; w < WAYS; w++) {
		double more = best[w] - best[OFF];

		report((struct row){names[w], best[w] - best[BARE], "ns", base,
				    w == ALL ? NULL : "at most 5 ns more than off",
				    w == ALL ? NO_GOAL : AT_MOST(more, 5)});
	}
	rig_close(r);
	return 0;
}
