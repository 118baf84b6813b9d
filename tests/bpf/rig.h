/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the data path's tests stand on: its maps, and a way to run one packet.
 * Two rigs have this form. rig.c loads the object and runs it in the kernel with
 * BPF_PROG_TEST_RUN; native/rig_native.h calls the same text compiled for this
 * machine under sanitizers. Neither pins anything.
 */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include <tundish/counters.h>
#include <tundish/flow.h>
#include <tundish/lane.h>
#include <tundish/fragment.h>
#include <tundish/maps.h>
#include <tundish/nat_state.h>
#include <tundish/trace.h>
#include <tundish/workers.h>

#include "bpf/packet.h"

enum {
	RIG_BACKENDS = 64,
	RIG_SERVICES = 40,
	RIG_NEXTHOPS = 40,
	RIG_VIPS = 32,
	RIG_FRAGMENTS = 1024,
	RIG_INGRESS = 1, /* ifindex that packets come in on: loopback's */
	RIG_CPUS = 64,
	RIG_NAT_BUCKETS = 32, /* of each side */
	RIG_LANES = 16,
};

struct rig {
	struct tundish_maglev *maglev; /* RIG_SERVICES rows */
	struct tundish_backend *backends;
	struct tundish_flow_bucket *flows;
	struct tundish_flow6_bucket *flows6;
	struct tundish_tuple_bucket *tuples;
	struct tundish_nat *nat; /* RIG_NAT_BUCKETS * TUNDISH_NAT_SLOTS */
	struct tundish_nat_bucket *nat_tags;
	struct tundish_lane *lanes; /* RIG_LANES */
	struct tundish_lane_ports *lane_ports;
	struct tundish_fan *fans; /* RIG_BACKENDS */
	struct tundish_deliver *deliveries;
	struct tundish_return *returns;
	struct tundish_nat_settings nat_settings;
	struct tundish_settings settings;
	uint32_t flow_buckets, tuple_buckets; /* flows6 has as many as flows */
	bool kernel;			      /* the kernel's clock, and no frame below 14 bytes */
};

extern struct rig rig;

/* 0, or a negative errno with the reason in rig_error. */
int rig_open(uint32_t flow_buckets, uint32_t tuple_buckets);
void rig_close(void);
extern const char *rig_error;

/* Runs one packet and returns XDP_*, or a negative errno where the frame is refused.
 * `linear` bytes at the front lie in the linear part; 0: as many as fit. */
int rig_run_split(const struct packet *in, struct packet *out, uint32_t linear);
int rig_trace(const struct packet *in, struct tundish_trace *ret);

int rig_map_fd(const char *map); /* in the kernel alone */

void rig_set_vip(const struct tundish_addr *a, const struct tundish_vip *v);
void rig_set_nexthop(uint32_t i, const struct tundish_nexthop *h);
void rig_set_service(uint32_t i, const struct tundish_service *s);
void rig_set_settings(void); /* nat_settings too */
/* An entry of a hash of NAT: nat_hosts, nat_near, links. */
void rig_put(const char *map, const void *key, const void *value);
void rig_set_settings(void);
void rig_set_server_id(const struct tundish_quic_key *key, uint32_t backend); /* 0: none */
/* What is known of a packet's fragments; NULL: nothing, or nothing any more. */
const struct tundish_fragment *rig_fragment(const struct tundish_fragment_key *key);
void rig_set_fragment(const struct tundish_fragment_key *key, const struct tundish_fragment *f);
void rig_forget_fragments(void);
/* Group 1 before a service: empty for as long as can be, or not. `grace` in ns; 0: not steered. */
void rig_set_group(uint32_t service, int empty, uint64_t grace);

void rig_counters(struct tundish_counters *ret); /* sum over CPUs */
void rig_clear_counters(void);
struct tundish_traffic rig_traffic(uint32_t backend);
void rig_set_traffic(uint32_t backend, struct tundish_traffic t); /* on each CPU */

/* All bytes of all maps but `trace` and the tracing twin's working space, one after
 * another; the caller frees. */
uint8_t *rig_snapshot(size_t *ret_length);
/* Moves a clock that is not the kernel's. */
void rig_later(uint64_t ns);
uint32_t rig_tick(void); /* the clock that entries get */

static inline int rig_run(const struct packet *in, struct packet *out)
{
	return rig_run_split(in, out, 0);
}

#endif
