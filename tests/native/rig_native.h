/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rig without a kernel: bpf/tundish.bpf.c compiled for this machine, with the
 * helpers it calls. Included by each native test, as it is one text with it.
 *
 * A frame lies in memory below 4 GiB, as struct xdp_md has 32-bit pointers, with its
 * end against a page that must not be touched, or its start (RIG_AT_START): a read or
 * a write one byte beyond it ends the test.
 */
#ifndef TESTS_RIG_NATIVE_H
#define TESTS_RIG_NATIVE_H

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/rig.h"

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed" /* a loop that is not unrolled does no harm here */
#else
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#endif

#include "verdict.h"

#ifdef RIG_STEPS
#include "native/steps.h"
#endif

#include "native/helpers.h"
#include "tundish.bpf.c"

struct rig rig;
const char *rig_error;

enum {
	RIG_NATIVE_CPUS = 4,
	RIG_HEADROOM = 256,
	RIG_FRAME_MIN_ROOM = 40,
	RIG_ARENA = 16384,
	RIG_PAGE = 4096
};
enum rig_place { RIG_AT_END, RIG_AT_START };

static enum rig_place rig_place;
static uint64_t rig_now_ns = 1000000ull << TUNDISH_TICK_SHIFT;
static __thread uint32_t rig_cpu;
static struct bpf_fib_lookup rig_fib; /* what the route table answers */
static long rig_fib_result = BPF_FIB_LKUP_RET_NO_NEIGH;
static struct bpf_fib_lookup rig_fib_asked;
static uint32_t rig_redirected;

/* ---- maps ----------------------------------------------------------------------------- */

struct rig_map {
	const char *name;
	void *map;
	uint32_t value, entries, per_cpu;
	uint8_t *bytes;
};

enum {
	M_SERVICES,
	M_MAGLEV,
	M_BACKENDS,
	M_NEXTHOPS,
	M_FLOWS,
	M_FLOWS6,
	M_TUPLES,
	M_TRAFFIC,
	M_COUNTERS,
	M_SETTINGS,
	M_TRACE,
	M_QUERIES,
	M_FOUND_HOPS,
	M_STEERING,
	M_GROUPS,
	M_ICMP_ERRORS,
	M_NAT_SETTINGS,
	M_NAT,
	M_NAT_TAGS,
	M_LANES,
	M_LANE_PORTS,
	M_LANE_CURSOR,
	M_FANS,
	M_DELIVERIES,
	M_RETURNS,
	M_NAT_QUERIES,
	M_NAT_PACKETS,
	M_PICKS,
	M_CAPTURE_COPIES,
	M_COUNT
};

static struct rig_map rig_maps[M_COUNT] = {
#define A(name, entries, per_cpu)                                                                  \
	{                                                                                          \
#name, &name, sizeof(*name.value), entries, per_cpu, NULL                          \
	}
	A(services, RIG_SERVICES, 0),
	A(maglev, RIG_SERVICES, 0),
	A(backends, RIG_BACKENDS, 0),
	A(nexthops, RIG_NEXTHOPS, 0),
	A(flows, 0, 0),
	A(flows6, 0, 0),
	A(tuples, 0, 0),
	A(traffic, RIG_BACKENDS, 1),
	A(counters, 1, 1),
	A(settings, 1, 0),
	A(trace, 1, 0),
	A(queries, 2, 1),
	A(found_hops, 2, 1),
	A(steering, RIG_SERVICES, 0),
	A(groups, 2, 0),
	A(icmp_errors, 2, 1),
	A(nat_settings, 1, 0),
	A(nat, RIG_NAT_BUCKETS *TUNDISH_NAT_SLOTS, 0),
	A(nat_tags, 2 * RIG_NAT_BUCKETS, 0),
	A(lanes, RIG_LANES, 0),
	A(lane_ports, RIG_LANES, 0),
	A(lane_cursor, RIG_LANES, 1),
	A(fans, RIG_BACKENDS, 0),
	A(deliveries, RIG_SERVICES, 0),
	A(returns, TUNDISH_NAT_HOPS, 0),
	A(nat_queries, NAT_QUERIES, 1),
	A(nat_packets, 2, 1),
	A(picks, 2, 1),
	A(capture_copies, 1, 1),
#undef A
};

/* What is captured: the last record alone, while there is a ring. */
static struct {
	uint64_t used, size, records;
	struct tundish_captured head;
	uint8_t frame[TUNDISH_CAPTURE_BYTES];
} rig_captured, *rig_ring;

__u64 bpf_ringbuf_query(void *ring, __u64 flags)
{
	return flags == BPF_RB_RING_SIZE ? rig_ring->size : rig_ring->used;
}

long bpf_ringbuf_output(void *ring, void *data, __u64 size, __u64 flags)
{
	if (rig_ring->used + size > rig_ring->size)
		return -EAGAIN;
	rig_ring->used += size;
	rig_ring->records++;
	memcpy(&rig_captured.head, data, sizeof(rig_captured.head));
	memcpy(rig_captured.frame, (uint8_t *)data + sizeof(rig_captured.head),
	       size - sizeof(rig_captured.head));
	return 0;
}

/* Hashes, of a few entries each. */
static struct {
	void *map;
	uint8_t key[32], value[16];
} rig_hashed[64];
static uint32_t rig_n_hashed;

static const struct rig_hash {
	void *map;
	const char *name;
	uint32_t key, value;
} rig_hashes[] = {
#define A(name)                                                                                    \
	{                                                                                          \
		&name, #name, sizeof(*name.key), sizeof(*name.value)                               \
	}
	A(nat_hosts),
	A(return_ids),
	A(links),
	A(nat_near),
#undef A
};

static void *rig_hash_find(const struct rig_hash *h, const void *key)
{
	for (uint32_t i = 0; i < rig_n_hashed; i++)
		if (rig_hashed[i].map == h->map && !memcmp(rig_hashed[i].key, key, h->key))
			return rig_hashed[i].value;
	return NULL;
}

static int rig_hash_put(const struct rig_hash *h, const void *key, const void *value)
{
	uint8_t *there = rig_hash_find(h, key);

	if (!there) {
		if (rig_n_hashed == sizeof(rig_hashed) / sizeof(rig_hashed[0]))
			return -E2BIG;
		rig_hashed[rig_n_hashed].map = h->map;
		memcpy(rig_hashed[rig_n_hashed].key, key, h->key);
		there = rig_hashed[rig_n_hashed++].value;
	}
	memcpy(there, value, h->value);
	return 0;
}

long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags)
{
	if (map == &fragments) {
		rig_set_fragment(key, value);
		return 0;
	}
	for (size_t i = 0; i < sizeof(rig_hashes) / sizeof(rig_hashes[0]); i++) {
		if (rig_hashes[i].map != map)
			continue;
		if (flags == BPF_NOEXIST && rig_hash_find(&rig_hashes[i], key))
			return -EEXIST;
		return rig_hash_put(&rig_hashes[i], key, value);
	}
	abort();
}

void rig_put(const char *name, const void *key, const void *value)
{
	for (size_t i = 0; i < sizeof(rig_hashes) / sizeof(rig_hashes[0]); i++)
		if (!strcmp(rig_hashes[i].name, name) && rig_hash_put(&rig_hashes[i], key, value))
			abort();
}

/* No sockets here: the port is free. */
struct bpf_sock *bpf_sk_lookup_udp(void *ctx, struct bpf_sock_tuple *tuple, __u32 length,
				   __u64 netns, __u64 flags)
{
	return NULL;
}

struct bpf_sock *bpf_skc_lookup_tcp(void *ctx, struct bpf_sock_tuple *tuple, __u32 length,
				    __u64 netns, __u64 flags)
{
	return NULL;
}

long bpf_sk_release(void *sock)
{
	return 0;
}

static struct {
	struct tundish_addr key;
	struct tundish_vip value;
} rig_vips[RIG_VIPS];
static uint32_t rig_n_vips;

static struct {
	struct tundish_quic_key key;
	uint32_t backend;
} rig_server_ids[RIG_BACKENDS];
static uint32_t rig_n_server_ids;

/* Not by use, as the kernel's, but in turn. */
static struct {
	struct tundish_fragment_key key;
	struct tundish_fragment value;
} rig_fragments[RIG_FRAGMENTS];
static uint32_t rig_n_fragments, rig_next_fragment;

const struct tundish_fragment *rig_fragment(const struct tundish_fragment_key *key)
{
	for (uint32_t i = 0; i < rig_n_fragments; i++)
		if (!memcmp(&rig_fragments[i].key, key, sizeof(*key)))
			return &rig_fragments[i].value;
	return NULL;
}

void rig_set_fragment(const struct tundish_fragment_key *key, const struct tundish_fragment *f)
{
	uint32_t i = 0;

	while (i < rig_n_fragments && memcmp(&rig_fragments[i].key, key, sizeof(*key)))
		i++;
	if (!f) {
		if (i < rig_n_fragments)
			rig_fragments[i] = rig_fragments[--rig_n_fragments];
		return;
	}
	if (i == RIG_FRAGMENTS)
		i = rig_next_fragment++ % RIG_FRAGMENTS;
	rig_fragments[i].key = *key;
	rig_fragments[i].value = *f;
	if (i == rig_n_fragments)
		rig_n_fragments++;
}

void rig_forget_fragments(void)
{
	rig_n_fragments = rig_next_fragment = 0;
	memset(rig_fragments, 0, sizeof(rig_fragments));
}

void rig_set_server_id(const struct tundish_quic_key *key, uint32_t backend)
{
	uint32_t i = 0;

	while (i < rig_n_server_ids && memcmp(&rig_server_ids[i].key, key, sizeof(*key)))
		i++;
	if (!backend) {
		if (i < rig_n_server_ids)
			rig_server_ids[i] = rig_server_ids[--rig_n_server_ids];
		return;
	}
	if (i == RIG_BACKENDS)
		abort();
	rig_server_ids[i].key = *key;
	rig_server_ids[i].backend = backend;
	if (i == rig_n_server_ids)
		rig_n_server_ids++;
}

void *bpf_map_lookup_elem(void *map, const void *key)
{
	uint32_t index;

	if (map == &fragments)
		return (void *)(uintptr_t)rig_fragment(key);
	if (map == &quic_ids) {
		for (uint32_t i = 0; i < rig_n_server_ids; i++)
			if (!memcmp(&rig_server_ids[i].key, key, sizeof(rig_server_ids[i].key)))
				return &rig_server_ids[i].backend;
		return NULL;
	}
	if (map == &vips) {
		for (uint32_t i = 0; i < rig_n_vips; i++)
			if (!memcmp(&rig_vips[i].key, key, sizeof(rig_vips[i].key)))
				return &rig_vips[i].value;
		return NULL;
	}
	for (size_t i = 0; i < sizeof(rig_hashes) / sizeof(rig_hashes[0]); i++)
		if (rig_hashes[i].map == map)
			return rig_hash_find(&rig_hashes[i], key);
	memcpy(&index, key, sizeof(index));
	if (map == &capture_ring)
		return rig_ring;
	for (int i = 0; i < M_COUNT; i++) {
		struct rig_map *m = &rig_maps[i];

		if (m->map != map)
			continue;
		if (index >= m->entries)
			return NULL;
		return m->bytes +
		       ((size_t)(m->per_cpu ? rig_cpu : 0) * m->entries + index) * m->value;
	}
	fprintf(stderr, "a map that rig_native.h does not know of\n");
	abort();
}

static void *rig_value(int m, uint32_t index, uint32_t cpu)
{
	return rig_maps[m].bytes + ((size_t)cpu * rig_maps[m].entries + index) * rig_maps[m].value;
}

/* ---- frames --------------------------------------------------------------------------- */

static uint8_t *rig_arena; /* RIG_ARENA bytes between two pages out of bounds */

struct rig_frame {
	struct xdp_md ctx; /* first: helpers get its address */
	uint8_t *head;	   /* data may not be moved below */
	uint8_t *rest;	   /* behind the linear part */
	uint32_t n_rest;
};

static uint32_t linear_of(const struct rig_frame *f)
{
	return f->ctx.data_end - f->ctx.data;
}

__u64 bpf_ktime_get_coarse_ns(void)
{
	return rig_now_ns;
}

__u64 bpf_ktime_get_ns(void)
{
	return rig_now_ns;
}

__u64 bpf_xdp_get_buff_len(struct xdp_md *ctx)
{
	struct rig_frame *f = (void *)ctx;

	return linear_of(f) + f->n_rest;
}

static uint8_t *frame_byte(struct rig_frame *f, uint32_t at)
{
	return at < linear_of(f) ? (uint8_t *)(long)f->ctx.data + at : f->rest + at - linear_of(f);
}

long bpf_xdp_load_bytes(struct xdp_md *ctx, __u32 offset, void *to, __u32 length)
{
	struct rig_frame *f = (void *)ctx;

	if (offset > 0xffff || length > 0xffff || offset + length > bpf_xdp_get_buff_len(ctx))
		return -EINVAL;
	for (uint32_t i = 0; i < length; i++)
		((uint8_t *)to)[i] = *frame_byte(f, offset + i);
	return 0;
}

long bpf_xdp_store_bytes(struct xdp_md *ctx, __u32 offset, void *from, __u32 length)
{
	struct rig_frame *f = (void *)ctx;

	if (offset > 0xffff || length > 0xffff || offset + length > bpf_xdp_get_buff_len(ctx))
		return -EINVAL;
	for (uint32_t i = 0; i < length; i++)
		*frame_byte(f, offset + i) = ((uint8_t *)from)[i];
	return 0;
}

long bpf_xdp_adjust_head(struct xdp_md *ctx, int delta)
{
	struct rig_frame *f = (void *)ctx;
	int64_t data = (int64_t)ctx->data + delta;

	if (data < (int64_t)(long)f->head || data > (int64_t)ctx->data_end - 14)
		return -EINVAL;
	ctx->data = (uint32_t)data;
	return 0;
}

long bpf_xdp_adjust_tail(struct xdp_md *ctx, int delta)
{
	struct rig_frame *f = (void *)ctx;
	uint32_t cut = (uint32_t)-delta, linear;

	if (delta > 0)
		return -EINVAL; /* the program never asks for it */
	if (cut > bpf_xdp_get_buff_len(ctx) - 14)
		return -EINVAL;
	linear = cut < f->n_rest ? 0 : cut - f->n_rest;
	f->n_rest -= cut - linear;
	if (linear > linear_of(f) - 14)
		return -EINVAL;
	ctx->data_end -= linear;
	return 0;
}

__u32 bpf_get_smp_processor_id(void)
{
	return rig_cpu;
}

long bpf_redirect(__u32 ifindex, __u64 flags)
{
	rig_redirected = ifindex;
	return XDP_REDIRECT;
}

long bpf_fib_lookup(void *ctx, struct bpf_fib_lookup *f, int length, __u32 flags)
{
	rig_fib_asked = *f;
	if (rig_fib_result)
		return rig_fib_result;
	memcpy(f->smac, rig_fib.smac, 6);
	memcpy(f->dmac, rig_fib.dmac, 6);
	f->ifindex = rig_fib.ifindex;
	f->mtu_result = rig_fib.mtu_result;
	return 0;
}

__s64 bpf_csum_diff(__be32 *from, __u32 from_size, __be32 *to, __u32 to_size, __u32 seed)
{
	uint64_t sum = seed;

	if (from || from_size || to_size % 4)
		return -EINVAL;
	for (uint32_t i = 0; i < to_size; i += 4) {
		uint32_t w;

		memcpy(&w, (uint8_t *)to + i, 4);
		sum += w;
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (__s64)((sum & 0xffffffff) + (sum >> 32));
}

/* ---- the rig -------------------------------------------------------------------------- */

/* Constants, as the program sees them: volatile makes it read them all the same. */
static void set_constant(const volatile __u32 *constant, uint32_t value)
{
	uintptr_t page = (uintptr_t)constant & ~(uintptr_t)(RIG_PAGE - 1);

	if (mprotect((void *)page, RIG_PAGE, PROT_READ | PROT_WRITE))
		abort();
	*(volatile __u32 *)(uintptr_t)constant = value;
}

int rig_open(uint32_t n_flow_buckets, uint32_t n_tuple_buckets)
{
	if (!rig_arena) {
		uint8_t *p = mmap(NULL, RIG_ARENA + 2 * RIG_PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

		if (p == MAP_FAILED || mprotect(p, RIG_PAGE, PROT_NONE) ||
		    mprotect(p + RIG_PAGE + RIG_ARENA, RIG_PAGE, PROT_NONE))
			abort();
		rig_arena = p + RIG_PAGE;
	}
	set_constant(&flow_buckets, n_flow_buckets);
	set_constant(&flow6_buckets, n_flow_buckets);
	set_constant(&tuple_buckets, n_tuple_buckets);
	rig_maps[M_FLOWS].entries = rig_maps[M_FLOWS6].entries = n_flow_buckets;
	rig_maps[M_TUPLES].entries = n_tuple_buckets;
	for (int i = 0; i < M_COUNT; i++) {
		struct rig_map *m = &rig_maps[i];

		m->bytes =
			calloc((size_t)m->entries * (m->per_cpu ? RIG_NATIVE_CPUS : 1), m->value);
		if (!m->bytes)
			abort();
	}
	rig_n_vips = rig_n_server_ids = 0;
	rig_forget_fragments();
	rig_n_hashed = 0;
	memset(&rig, 0, sizeof(rig));
	rig.flow_buckets = n_flow_buckets;
	rig.tuple_buckets = n_tuple_buckets;
	rig.maglev = rig_value(M_MAGLEV, 0, 0);
	rig.backends = rig_value(M_BACKENDS, 0, 0);
	rig.flows = rig_value(M_FLOWS, 0, 0);
	rig.flows6 = rig_value(M_FLOWS6, 0, 0);
	rig.tuples = rig_value(M_TUPLES, 0, 0);
	rig.nat = rig_value(M_NAT, 0, 0);
	rig.nat_tags = rig_value(M_NAT_TAGS, 0, 0);
	rig.lanes = rig_value(M_LANES, 0, 0);
	rig.lane_ports = rig_value(M_LANE_PORTS, 0, 0);
	rig.fans = rig_value(M_FANS, 0, 0);
	rig.deliveries = rig_value(M_DELIVERIES, 0, 0);
	rig.returns = rig_value(M_RETURNS, 0, 0);
	return 0;
}

void rig_close(void)
{
	for (int i = 0; i < M_COUNT; i++) {
		free(rig_maps[i].bytes);
		rig_maps[i].bytes = NULL;
	}
}

static int rig_program(const struct packet *in, struct packet *out, uint32_t linear,
		       int (*program)(struct xdp_md *), uint8_t *arena, uint8_t *rest)
{
	struct rig_frame f = {.rest = rest};
	uint8_t *data;
	int r;

	if (!linear || linear > in->len)
		linear = in->len;
	data = rig_place == RIG_AT_END ? arena + RIG_ARENA - linear : arena;
	f.head = rig_place == RIG_AT_END ? data - (RIG_HEADROOM - RIG_FRAME_MIN_ROOM) : data;
	memcpy(data, in->data, linear);
	memcpy(rest, in->data + linear, in->len - linear);
	f.n_rest = in->len - linear;
	f.ctx.data = (uint32_t)(uintptr_t)data;
	f.ctx.data_end = f.ctx.data + linear;
	f.ctx.ingress_ifindex = RIG_INGRESS;
	r = program(&f.ctx);
	out->len = linear_of(&f) + f.n_rest;
	memcpy(out->data, (void *)(long)f.ctx.data, linear_of(&f));
	memcpy(out->data + linear_of(&f), rest, f.n_rest);
	return r;
}

int rig_run_split(const struct packet *in, struct packet *out, uint32_t linear)
{
	static __thread uint8_t rest[PACKET_MAX];

	return rig_program(in, out, linear, tundish_xdp, rig_arena, rest);
}

int rig_trace(const struct packet *in, struct tundish_trace *ret)
{
	static uint8_t rest[PACKET_MAX];
	struct packet out;
	int r;

	memset(rig_value(M_TRACE, 0, 0), 0, sizeof(*ret));
	r = rig_program(in, &out, 0, tundish_trace, rig_arena, rest);
	memcpy(ret, rig_value(M_TRACE, 0, 0), sizeof(*ret));
	return r;
}

void rig_set_vip(const struct tundish_addr *a, const struct tundish_vip *v)
{
	uint32_t i = 0;

	while (i < rig_n_vips && memcmp(&rig_vips[i].key, a, sizeof(*a)))
		i++;
	if (i == RIG_VIPS)
		abort();
	rig_vips[i].key = *a;
	rig_vips[i].value = *v;
	if (i == rig_n_vips)
		rig_n_vips++;
}

void rig_set_nexthop(uint32_t i, const struct tundish_nexthop *h)
{
	memcpy(rig_value(M_NEXTHOPS, i, 0), h, sizeof(*h));
}

void rig_set_service(uint32_t i, const struct tundish_service *s)
{
	memcpy(rig_value(M_SERVICES, i, 0), s, sizeof(*s));
}

void rig_set_settings(void)
{
	memcpy(rig_value(M_SETTINGS, 0, 0), &rig.settings, sizeof(rig.settings));
	memcpy(rig_value(M_NAT_SETTINGS, 0, 0), &rig.nat_settings, sizeof(rig.nat_settings));
}

void rig_set_group(uint32_t service, int empty, uint64_t grace)
{
	struct tundish_group *g = rig_value(M_GROUPS, 1, 0);
	struct tundish_steering *s = rig_value(M_STEERING, service, 0);

	g->empty_since = empty;
	s->group = grace != 0;
	s->grace = grace;
}

void rig_counters(struct tundish_counters *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (uint32_t c = 0; c < RIG_NATIVE_CPUS; c++)
		for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++)
			((uint64_t *)ret)[i] += ((uint64_t *)rig_value(M_COUNTERS, 0, c))[i];
}

void rig_clear_counters(void)
{
	memset(rig_maps[M_COUNTERS].bytes, 0, RIG_NATIVE_CPUS * sizeof(struct tundish_counters));
}

struct tundish_traffic rig_traffic(uint32_t backend)
{
	struct tundish_traffic sum = {0};

	for (uint32_t c = 0; c < RIG_NATIVE_CPUS; c++) {
		struct tundish_traffic *t = rig_value(M_TRAFFIC, backend, c);

		sum.packets += t->packets;
		sum.bytes += t->bytes;
	}
	return sum;
}

void rig_set_traffic(uint32_t backend, struct tundish_traffic t)
{
	for (uint32_t c = 0; c < RIG_NATIVE_CPUS; c++)
		*(struct tundish_traffic *)rig_value(M_TRAFFIC, backend, c) = t;
}

uint8_t *rig_snapshot(size_t *ret_length)
{
	size_t length = sizeof(rig_vips);
	uint8_t *bytes = NULL;

	for (int fill = 0; fill < 2; fill++) {
		if (fill && !(bytes = malloc(length)))
			abort();
		length = sizeof(rig_vips);
		if (fill)
			memcpy(bytes, rig_vips, length);
		if (fill)
			memcpy(bytes + length, rig_fragments, sizeof(rig_fragments));
		length += sizeof(rig_fragments);
		for (int i = 0; i < M_NAT_QUERIES; i++) {
			struct rig_map *m = &rig_maps[i];
			size_t n =
				(size_t)m->entries * m->value * (m->per_cpu ? RIG_NATIVE_CPUS : 1);

			if (i == M_TRACE || i == M_QUERIES || i == M_FOUND_HOPS ||
			    i == M_ICMP_ERRORS)
				continue;
			if (fill)
				memcpy(bytes + length, m->bytes, n);
			length += n;
		}
	}
	*ret_length = length;
	return bytes;
}

void rig_later(uint64_t ns)
{
	rig_now_ns += ns;
}

uint32_t rig_tick(void)
{
	return tundish_tick(rig_now_ns);
}

#endif
