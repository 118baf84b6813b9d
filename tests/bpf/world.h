/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration that the data path's tests run against: one service for each
 * kind of delivery, on VIPs of both families, and how a packet is checked: verdict,
 * all bytes of the packet that comes out, and every counter.
 */
#ifndef TESTS_WORLD_H
#define TESTS_WORLD_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
// clang-format on

#include <linux/bpf.h>

#include "bpf/rig.h"

#define VIP4	 ip4(192, 0, 2, 10) /* services of all kinds */
#define VIP6	 ip6(0x10)
#define LOCAL4	 ip4(192, 0, 2, 20) /* this host's workers alone */
#define LOCAL6	 ip6(0x20)
#define HOST4	 ip4(192, 0, 2, 30) /* this host: tunnels end here */
#define HOST6	 ip6(0x30)
#define RANGES4	 ip4(192, 0, 2, 40) /* 64 port ranges */
#define BOTH4	 ip4(192, 0, 2, 50) /* an own address that is a VIP of workers too */
#define CLIENT4	 ip4(198, 51, 100, 7)
#define CLIENT6	 ip6(0x7007)
#define TUNNEL4	 ip4(10, 0, 1, 1)
#define TUNNEL6	 ip6(0x10001)
#define BACKEND4 ip4(10, 0, 1, 11)
#define BACKEND6 ip6(0x1000b)

/* UDP ports of GUE: of this host, and of backends. */
#define GUE_HERE 6080
#define GUE_OUT	 6081

/* Ids of VIPs. */
enum { ID_VIP4 = 1, ID_VIP6, ID_LOCAL4, ID_LOCAL6, ID_HOST4, ID_HOST6, ID_RANGES4, ID_BOTH4 };

/* Ports, services, backends and next hops have one number each. */
enum kind {
	K_NONE,
	K_DSR,	 /* same NIC */
	K_IPIP4, /* another NIC */
	K_IPIP6, /* same NIC */
	K_WORKERS,
	K_VLAN,	     /* dsr, next hop on a VLAN of another NIC */
	K_VLAN_IPIP, /* ipip over IPv4, next hop on a VLAN of the same NIC */
	K_LOCAL,     /* the backend is this host */
	K_UNKNOWN,   /* next hop not known */
	K_EMPTY,     /* no backend */
	K_NARROW,    /* dsr, 1280 bytes of MTU */
	K_NARROW4,   /* ipip over IPv4, 1400 bytes */
	K_NARROW6,   /* ipip over IPv6, 1400 bytes */
	K_POOL,	     /* dsr with two backends: K_POOL and K_OTHER */
	K_OTHER,
	K_ANY,	     /* workers on all ports of LOCAL4 and LOCAL6 */
	K_NO_SOURCE, /* ipip without a source address for the tunnel */
	K_UDP,	     /* dsr, UDP, with two backends: K_UDP and K_UDP_OTHER; on K_POOL's port too */
	K_UDP_OTHER,
	K_UDP_BARE,  /* ipip over IPv4, UDP without flows */
	K_UDP_LOCAL, /* workers, UDP */
	K_QUIC,	     /* dsr, UDP with server ids, with two backends: K_QUIC and K_QUIC_OTHER */
	K_QUIC_OTHER,
	K_QUIC_BARE,   /* ipip over IPv4, UDP with server ids and without flows */
	K_GUE4,	       /* gue over IPv4, another NIC */
	K_GUE6,	       /* gue over IPv6, same NIC */
	K_VLAN_GUE,    /* gue over IPv4, next hop on a VLAN of the same NIC */
	K_NARROW_GUE4, /* gue over IPv4, 1400 bytes */
	K_NARROW_GUE6, /* gue over IPv6, 1400 bytes */
	K_MAX,
};

static inline uint16_t port_of(enum kind k)
{
	return (uint16_t)(1000 + k);
}

static inline struct way_out way_of(enum kind k)
{
	struct way_out w = {.dmac = {2, 0, 0, 1, 0, (uint8_t)k},
			    .smac = {2, 0, 0, 2, 0, (uint8_t)k}};

	if (k == K_IPIP4 || k == K_VLAN_IPIP || k == K_NARROW4 || k == K_GUE4 || k == K_VLAN_GUE ||
	    k == K_NARROW_GUE4 || k == K_UDP_BARE || k == K_QUIC_BARE) {
		w.tunnel_from = TUNNEL4;
		w.tunnel_to = BACKEND4;
	} else if (k == K_IPIP6 || k == K_NARROW6 || k == K_GUE6 || k == K_NARROW_GUE6) {
		w.tunnel_from = TUNNEL6;
		w.tunnel_to = BACKEND6;
	}
	if (k == K_VLAN || k == K_VLAN_IPIP || k == K_VLAN_GUE)
		w.tag = 0x2064; /* priority 1, VLAN 100 */
	if (k >= K_GUE4)
		w.gue_port = GUE_OUT;
	return w;
}

static inline uint8_t delivery_of(enum kind k)
{
	switch (k) {
	case K_NONE: return TUNDISH_DELIVERY_NONE;
	case K_WORKERS:
	case K_UDP_LOCAL:
	case K_ANY: return TUNDISH_DELIVERY_WORKERS;
	case K_IPIP4:
	case K_IPIP6:
	case K_VLAN_IPIP:
	case K_NARROW4:
	case K_NARROW6:
	case K_NO_SOURCE:
	case K_UDP_BARE:
	case K_QUIC_BARE:
	case K_LOCAL: return TUNDISH_DELIVERY_IPIP;
	case K_GUE4:
	case K_GUE6:
	case K_VLAN_GUE:
	case K_NARROW_GUE4:
	case K_NARROW_GUE6: return TUNDISH_DELIVERY_GUE;
	default: return TUNDISH_DELIVERY_DSR;
	}
}

static inline int action_of(enum kind k)
{
	return k == K_IPIP4 || k == K_VLAN || k == K_GUE4 ? XDP_REDIRECT : XDP_TX;
}

static inline uint16_t mtu_of(enum kind k)
{
	switch (k) {
	case K_NARROW: return 1280;
	case K_NARROW4:
	case K_NARROW6:
	case K_NARROW_GUE4:
	case K_NARROW_GUE6: return 1400;
	default: return 9000;
	}
}

static inline struct tundish_port_range udp_range(uint16_t port, enum kind k)
{
	return (struct tundish_port_range){
		.first = port,
		.last = port,
		.service = (uint16_t)k,
		.protocol = P_UDP,
		.delivery = delivery_of(k) |
			    (k == K_UDP_BARE || k == K_GUE6 || k == K_QUIC_BARE
				     ? TUNDISH_RANGE_STATELESS
				     : 0) |
			    (k == K_QUIC || k == K_QUIC_BARE ? TUNDISH_RANGE_QUIC : 0)};
}

static inline void world_vip(struct tundish_addr a, uint32_t id, uint16_t flags, bool all)
{
	struct tundish_vip v = {.id = id, .flags = flags};

	if (all) {
		for (int k = K_DSR; k < K_MAX; k++) {
			if (k == K_OTHER || (k >= K_ANY && k <= K_QUIC_BARE))
				continue;
			v.ranges[v.n_ranges++] =
				(struct tundish_port_range){.first = port_of(k),
							    .last = port_of(k),
							    .service = (uint16_t)k,
							    .protocol = P_TCP,
							    .delivery = delivery_of(k)};
		}
		v.ranges[v.n_ranges++] =
			(struct tundish_port_range){.first = 8000,
						    .last = 8999,
						    .service = K_DSR,
						    .protocol = P_TCP,
						    .delivery = TUNDISH_DELIVERY_DSR};
		v.ranges[v.n_ranges++] =
			(struct tundish_port_range){.first = 9000,
						    .last = 9000,
						    .service = K_NO_SOURCE,
						    .protocol = P_TCP,
						    .delivery = TUNDISH_DELIVERY_IPIP};
		v.ranges[v.n_ranges++] = udp_range(port_of(K_POOL), K_UDP);
		v.ranges[v.n_ranges++] = udp_range(port_of(K_UDP), K_UDP);
		v.ranges[v.n_ranges++] = udp_range(port_of(K_UDP_BARE), K_UDP_BARE);
		v.ranges[v.n_ranges++] = udp_range(port_of(K_QUIC), K_QUIC);
		v.ranges[v.n_ranges++] = udp_range(port_of(K_QUIC_BARE), K_QUIC_BARE);
		v.ranges[v.n_ranges++] = udp_range(port_of(K_GUE6), K_GUE6);
	} else if (flags & TUNDISH_VIP_SERVICE) {
		v.ranges[v.n_ranges++] =
			(struct tundish_port_range){.first = 0,
						    .last = 65535,
						    .service = K_ANY,
						    .protocol = P_TCP,
						    .delivery = TUNDISH_DELIVERY_WORKERS};
		v.ranges[v.n_ranges++] = udp_range(port_of(K_UDP_LOCAL), K_UDP_LOCAL);
	}
	rig_set_vip(&a, &v);
}

/* 64 ranges: i*100+1 to i*100+50 each, every second one of a single port. */
static inline void world_ranges(void)
{
	struct tundish_addr a = RANGES4;
	struct tundish_vip v = {.id = ID_RANGES4,
				.flags = TUNDISH_VIP_SERVICE | TUNDISH_VIP_FORWARDS,
				.n_ranges = 64};

	for (uint16_t i = 0; i < 64; i++)
		v.ranges[i] = (struct tundish_port_range){
			.first = (uint16_t)(i * 100 + 1),
			.last = (uint16_t)(i * 100 + (i & 1 ? 1 : 50)),
			.service = i & 1 ? K_DSR : K_IPIP4,
			.protocol = P_TCP,
			.delivery = i & 1 ? TUNDISH_DELIVERY_DSR : TUNDISH_DELIVERY_IPIP};
	rig_set_vip(&a, &v);
}

static inline uint32_t *slot_word(enum kind service, uint32_t slot)
{
	return &rig.maglev[service].slot[slot];
}

/* The slot of a connection. */
static inline uint32_t slot_of(const struct spec *s)
{
	return tundish_choice_slot(
		tundish_choice_hash(&s->src, TUNDISH_BE16(s->sport), TUNDISH_BE16(s->dport)));
}

static inline uint32_t pending_of(enum kind service, uint32_t slot)
{
	return *slot_word(service, slot) / TUNDISH_SLOT_PENDING_ONE;
}

/* "0a 01", "0a 02", ... of the backends that have one. */
enum { QUIC_CONFIG = 2, QUIC_LENGTH = 2 };

static inline bool has_server_id(enum kind k)
{
	return k == K_QUIC || k == K_QUIC_OTHER || k == K_QUIC_BARE;
}

static inline enum kind service_of(enum kind k)
{
	switch (k) {
	case K_OTHER: return K_POOL;
	case K_UDP_OTHER: return K_UDP;
	case K_QUIC_OTHER: return K_QUIC;
	default: return k;
	}
}

static inline struct tundish_quic_key server_id_of(enum kind k)
{
	return (struct tundish_quic_key){service_of(k),
					 {QUIC_LENGTH, {0x0a, (uint8_t)(1 + k - K_QUIC)}}};
}

static inline void world_server_id(enum kind k)
{
	struct tundish_quic_key key = server_id_of(k);

	if (!has_server_id(k))
		return;
	rig.backends[k].server_id = key.id;
	rig.backends[k].service = (uint16_t)key.service;
	rig_set_server_id(&key, k);
}

/* Everything as after a start: no flows, no counts, each slot with its first owner. */
static inline void world_reset(void)
{
	for (int k = K_DSR; k < K_MAX; k++) {
		struct tundish_backend *b = &rig.backends[k];
		uint32_t owner = k == K_EMPTY ? 0 : (uint32_t)k;

		b->state = TUNDISH_BACKEND_UP;
		b->connections_active = b->connections_total = b->opening = 0;
		rig_set_traffic((uint32_t)k, (struct tundish_traffic){0});
		world_server_id((enum kind)k);
		for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
			rig.maglev[k].slot[i] = owner;
	}
	memset(rig.flows, 0, sizeof(*rig.flows) * rig.flow_buckets);
	memset(rig.flows6, 0, sizeof(*rig.flows6) * rig.flow_buckets);
	memset(rig.tuples, 0, sizeof(*rig.tuples) * rig.tuple_buckets);
	rig_forget_fragments();
	rig_clear_counters();
}

static inline void world_make(void)
{
	rig.settings =
		(struct tundish_settings){.magic = TUNDISH_MAGIC,
					  .layout_version = TUNDISH_LAYOUT_VERSION,
					  .secret = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull},
					  .flow_buckets = rig.flow_buckets,
					  .flow6_buckets = rig.flow_buckets,
					  .tuple_buckets = rig.tuple_buckets,
					  .services_max = RIG_SERVICES,
					  .backends_max = RIG_BACKENDS,
					  .vips_max = RIG_VIPS,
					  .syn_timeout = 60,
					  .established_timeout = 3600,
					  .closing_timeout = 60,
					  .udp_new_timeout = 30,
					  .udp_timeout = 180,
					  .gue_port_be = TUNDISH_BE16(GUE_HERE)};
	rig_set_settings();
	for (int k = K_DSR; k < K_MAX; k++) {
		struct way_out w = way_of(k);
		struct tundish_nexthop h = {.flags = k == K_UNKNOWN ? 0 : TUNDISH_NEXTHOP_VALID,
					    .mtu = mtu_of(k)};
		struct tundish_service s = {.state = TUNDISH_SERVICE_ACTIVE,
					    .delivery = delivery_of(k),
					    .protocol = k >= K_UDP ? P_UDP : P_TCP,
					    .n_backends = 1,
					    .server_id_length = has_server_id(k) ? QUIC_LENGTH : 0,
					    .quic_config = has_server_id(k) ? QUIC_CONFIG : 0};
		struct tundish_backend *b = &rig.backends[k];

		memcpy(h.destination, w.dmac, 6);
		memcpy(h.source, w.smac, 6);
		h.ifindex = action_of(k) == XDP_TX ? RIG_INGRESS : 7;
		if (w.tag) {
			h.flags |= TUNDISH_NEXTHOP_VLAN;
			h.vlan_tci_be = TUNDISH_BE16(w.tag);
		}
		if (k == K_LOCAL)
			h.flags |= TUNDISH_NEXTHOP_LOCAL;
		h.tunnel_source = w.tunnel_from;
		rig_set_nexthop(k, &h);
		*b = (struct tundish_backend){.nexthop = k,
					      .service = (uint16_t)service_of((enum kind)k),
					      .delivery = delivery_of(k),
					      .state = TUNDISH_BACKEND_UP,
					      .gue_port_be = TUNDISH_BE16(w.gue_port),
					      .weight = 100};
		b->address = w.tunnel_to.word[0] | w.tunnel_to.word[3] ? w.tunnel_to : BACKEND4;
		snprintf(b->name, sizeof(b->name), "backend%d", k);
		snprintf(s.name, sizeof(s.name), "service%d", k);
		rig_set_service(k, &s);
	}
	world_vip(VIP4, ID_VIP4, TUNDISH_VIP_SERVICE | TUNDISH_VIP_FORWARDS, true);
	world_vip(VIP6, ID_VIP6, TUNDISH_VIP_SERVICE | TUNDISH_VIP_FORWARDS, true);
	world_vip(LOCAL4, ID_LOCAL4, TUNDISH_VIP_SERVICE, false);
	world_vip(LOCAL6, ID_LOCAL6, TUNDISH_VIP_SERVICE, false);
	world_vip(HOST4, ID_HOST4, TUNDISH_VIP_ENDPOINT, false);
	world_vip(HOST6, ID_HOST6, TUNDISH_VIP_ENDPOINT, false);
	world_vip(BOTH4, ID_BOTH4, TUNDISH_VIP_ENDPOINT | TUNDISH_VIP_SERVICE, false);
	world_ranges();
	world_reset();
}

/* ---- checks ----------------------------------------------------------------------- */

static inline const char *counter_name(uint32_t i)
{
	static const char *const names[] = {
#define TUNDISH_X(name, kind, help) #name,
		TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
	};

	return i < TUNDISH_COUNTER_MAX ? names[i] : "?";
}

static inline bool counter_is_exit(uint32_t i)
{
	static const uint8_t kinds[] = {
#define TUNDISH_X(name, kind, help) TUNDISH_KIND_##kind,
		TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
	};

	return kinds[i] != TUNDISH_KIND_EVENT;
}

/* What only translated connections meet; their world is cases_nat.h's. */
static inline bool counter_is_nat(uint32_t i)
{
	return i >= TUNDISH_COUNTER_sent_nat && i <= TUNDISH_COUNTER_toa_stripped;
}

__extension__ typedef unsigned __int128 counter_set;

#define C(name) ((counter_set)1 << TUNDISH_COUNTER_##name)
_Static_assert(TUNDISH_COUNTER_MAX <= 128, "a set of counters is two words");

/* Each counter in `moved` went up by one, no other one moved, and exactly one of those
 * that end a packet did. Returns the end's index. */
static inline uint32_t check_counters(const char *name, const struct tundish_counters *before,
				      counter_set moved)
{
	struct tundish_counters after;
	uint32_t end = TUNDISH_COUNTER_MAX, ends = 0;
	bool good = true;

	rig_counters(&after);
	for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++) {
		uint64_t by = ((uint64_t *)&after)[i] - ((const uint64_t *)before)[i];

		if (counter_is_exit(i) && by) {
			ends += (uint32_t)by;
			end = i;
		}
		if (by != (moved >> i & 1)) {
			fprintf(stderr, "%s: counter %s moved by %llu, not by %llu\n", name,
				counter_name(i), (unsigned long long)by,
				(unsigned long long)(moved >> i & 1));
			good = false;
		}
	}
	if (ends != 1) {
		fprintf(stderr, "%s: %u exits counted for one packet\n", name, ends);
		good = false;
	}
	if (!good)
		fail_msg("%s", name);
	return end;
}

static inline const char *action_name(int a)
{
	static const char *const names[] = {"ABORTED", "DROP", "PASS", "TX", "REDIRECT"};

	return a >= 0 && a < 5 ? names[a] : "refused";
}

/* Runs `in` and checks all that is to be seen of it. want NULL: it stays as it was,
 * or where it is dropped, nobody looks at it. */
static inline void expect_split(const char *name, const struct packet *in, uint32_t linear,
				int action, const struct packet *want, counter_set moved)
{
	struct tundish_counters before;
	struct packet out;
	int r;

	rig_counters(&before);
	r = rig_run_split(in, &out, linear);
	if (r != action) {
		packet_print("in", in);
		fprintf(stderr, "%s: verdict %s (%d), not %s\n", name, action_name(r), r,
			action_name(action));
		check_counters(name, &before, moved);
		fail_msg("%s", name);
	}
	check_counters(name, &before, moved);
	if (action == XDP_DROP)
		return;
	if (!want)
		want = in;
	if (out.len != want->len || memcmp(out.data, want->data, out.len)) {
		packet_print("in", in);
		packet_print("out", &out);
		packet_print("wanted", want);
		for (uint32_t i = 0; i < out.len && i < want->len; i++) {
			if (out.data[i] != want->data[i]) {
				fprintf(stderr, "first difference at byte %u\n", i);
				break;
			}
		}
		fail_msg("%s: packet out", name);
	}
}

static inline void expect(const char *name, const struct packet *in, int action,
			  const struct packet *want, counter_set moved)
{
	expect_split(name, in, 0, action, want, moved);
}

/* The same from a clean state, so that no flow and no sampling plays in. */
static inline void expect_fresh(const char *name, const struct packet *in, int action,
				const struct packet *want, counter_set moved)
{
	static int dirty = 1;

	if (dirty) {
		world_reset();
		dirty = 0;
	}
	for (int k = K_DSR; k < K_MAX; k++)
		rig_set_traffic((uint32_t)k, (struct tundish_traffic){0});
	rig_forget_fragments();
	expect(name, in, action, want, moved);
	if (moved & (C(flow_new) | C(flow_established) | C(flow_closed)))
		dirty = 1;
}

/* The rig for a whole test program: opened, or the reason why it is skipped. */
static inline int world_open(uint32_t flow_buckets, uint32_t tuple_buckets)
{
	if (rig_open(flow_buckets, tuple_buckets) < 0) {
		printf("skip - data path: %s\n", rig_error);
		return -1;
	}
	world_make();
	return 0;
}

#endif
