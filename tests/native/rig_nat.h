/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of translated connections compiled for this machine, over maps in plain
 * memory, and what must hold of all of it whenever nobody works on it.
 */
#ifndef TESTS_RIG_NAT_H
#define TESTS_RIG_NAT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#pragma GCC diagnostic ignored "-Wunknown-pragmas"

#include "verdict.h"
#ifdef RIG_STEPS
#include "native/steps.h"
#endif
#include "lane_reclaim.bpf.h"
#include "nat_make.bpf.h"

#include "bpf/nat_world.h"
#include "native/helpers.h"

enum {
	NAT_CPUS = 5,
	NAT_BUCKETS_MAX = 64,
	NAT_LANES =
		8, /* 1: the ports first..last; 2: of the clients' own; 3..: as the test wants */
	NAT_BACKENDS = 4,
	NAT_RANGE = 1024, /* first port of lane 1 */
};

static struct tundish_nat_settings rig_settings;
static struct tundish_nat rig_nat[NAT_BUCKETS_MAX * TUNDISH_NAT_SLOTS];
static struct tundish_nat_bucket rig_tags[2 * NAT_BUCKETS_MAX];
#define rig_out	 rig_tags
#define rig_back (rig_tags + rig_settings.buckets)
static struct tundish_lane rig_lanes[NAT_LANES] __attribute__((aligned(64)));
static struct tundish_lane_ports rig_ports[NAT_LANES];
static struct tundish_lane_cursor rig_cursor[NAT_CPUS][NAT_LANES];
static struct tundish_fan rig_fans[NAT_BACKENDS];
static struct nat_query rig_queries[NAT_CPUS][NAT_QUERIES];
static struct tundish_backend rig_backends[NAT_BACKENDS];
static struct tundish_settings rig_old_settings;
static struct tundish_tuple_bucket rig_tuples[1];
static struct tundish_counters rig_counters_of[NAT_CPUS];
static uint64_t rig_now_ns = 1000000ull << TUNDISH_TICK_SHIFT;
static bool rig_careless; /* records were ended at once, not after a second: a mark may be late */
static __thread uint32_t rig_cpu;

void *bpf_map_lookup_elem(void *map, const void *key)
{
	const struct {
		void *map, *bytes;
		uint32_t value, entries;
	} maps[] = {
#define A(name, where, n) {&name, where, sizeof(*(where)), n}
		A(nat_tags, rig_tags, 2 * rig_settings.buckets),
		A(nat, rig_nat, rig_settings.buckets * TUNDISH_NAT_SLOTS),
		A(lanes, rig_lanes, NAT_LANES),
		A(lane_ports, rig_ports, NAT_LANES),
		A(lane_cursor, rig_cursor[rig_cpu], NAT_LANES),
		A(nat_settings, &rig_settings, 1),
		A(fans, rig_fans, NAT_BACKENDS),
		A(nat_queries, rig_queries[rig_cpu], NAT_QUERIES),
		A(backends, rig_backends, NAT_BACKENDS),
		A(settings, &rig_old_settings, 1),
		A(tuples, rig_tuples, 1),
		A(counters, &rig_counters_of[rig_cpu], 1),
#undef A
	};
	uint32_t index;

	memcpy(&index, key, sizeof(index));
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		if (maps[i].map == map)
			return index < maps[i].entries
				       ? (uint8_t *)maps[i].bytes + (size_t)index * maps[i].value
				       : NULL;
	fprintf(stderr, "a map that rig_nat.h does not know of\n");
	abort();
}

__u64 bpf_ktime_get_coarse_ns(void)
{
	return rig_now_ns;
}

/* ---- a world --------------------------------------------------------------------------- */

/* A lane with its own ports; with none (first 0) it keeps the clients'. */
static void set_lane(uint32_t lane, uint16_t number, uint16_t port, uint16_t first, uint16_t last)
{
	nat_world_lane(&rig_lanes[lane], &rig_ports[lane], lane, 0x0a000100 + lane, number, port,
		       first, last);
}

static void world(uint32_t buckets, uint32_t ports)
{
	memset(rig_nat, 0, sizeof(rig_nat));
	memset(rig_tags, 0, sizeof(rig_tags));
	memset(rig_lanes, 0, sizeof(rig_lanes));
	memset(rig_cursor, 0, sizeof(rig_cursor));
	memset(rig_fans, 0, sizeof(rig_fans));
	memset(rig_queries, 0, sizeof(rig_queries));
	memset(rig_backends, 0, sizeof(rig_backends));
	memset(rig_tuples, 0, sizeof(rig_tuples));
	rig_settings = (struct tundish_nat_settings){
		.secret = {1, 2},
		.timeouts = nat_world_timeouts,
		.buckets = buckets,
		.lanes_max = NAT_LANES,
	};
	set_lane(1, 7, 8443, NAT_RANGE, (uint16_t)(NAT_RANGE + ports - 1));
	set_lane(2, 7, 8443, 0, 0);
	for (uint32_t b = 1; b < NAT_BACKENDS; b++) {
		rig_fans[b] = (struct tundish_fan){.n_addresses = 1,
						   .n_sources = 1,
						   .flags = TUNDISH_FAN_EARLY,
						   .time_wait = 57,
						   .lane = {b == 2 ? 2 : 1}};
	}
}

/* ---- what must hold ---------------------------------------------------------------------- */

static bool marked(uint32_t lane, uint32_t port)
{
	return rig_ports[lane].yielding[port / 64] >> (port % 64) & 1;
}

/* A sentence, where all is at rest; NULL: all is right. */
static const char *table_wrong(void)
{
	static uint8_t owner[NAT_LANES][65536];
	uint32_t used[NAT_LANES] = {0}, live = 0, tags = 0;
	int64_t active[NAT_BACKENDS] = {0};
	uint64_t in_tuples[2] = {0}, counted[2] = {0}; /* of TCP, of UDP */

	for (uint32_t lane = 1; lane < NAT_LANES; lane++)
		memset(owner[lane] + rig_lanes[lane].first, 0,
		       rig_lanes[lane].last - rig_lanes[lane].first + 1u);
	for (uint32_t i = 0; i < rig_settings.buckets * TUNDISH_NAT_SLOTS; i++) {
		const struct tundish_nat *r = &rig_nat[i];
		uint64_t out = rig_out[i / 8].tag[i % 8];
		uint32_t lane = TUNDISH_NAT_LANE(r->lane_hop), port = bpf_ntohs(r->source_port_be);
		struct nat_query *q = &rig_queries[0][NAT_QUERY_DRY];
		struct tundish_lane *l = &rig_lanes[lane];

		tags += rig_back[i / 8].tag[i % 8] != 0;
		if (out == TUNDISH_NAT_TAG_BUSY)
			return "a tag is busy for ever";
		if (r->word.state == TUNDISH_NAT_FREE) {
			if (out)
				return "a tag of a record that is free";
			continue;
		}
		if (tundish_nat_tag_generation(out) != r->word.generation ||
		    tundish_nat_tag_place(out) != i)
			return "a record without its tag";
		live++;
		active[r->word.backend] += tundish_nat_is_active(r->word.state);
		counted[r->word.udp] += tundish_nat_is_active(r->word.state) && r->word.counted;
		used[lane]++;
		if (l->ports) {
			if (owner[lane][port]++)
				return "two connections on one port";
			if (!(rig_ports[lane].taken[port / 64] >> (port % 64) & 1))
				return "a port in use that is not taken";
			if (!rig_careless &&
			    marked(lane, port) != tundish_nat_is_marked(r->word.state))
				return "a port's mark is not its state's";
		}
		*q = (struct nat_query){.far = r->client,
					.vip = r->vip,
					.far_port = r->client_port_be,
					.port = r->port_be,
					.id = r->vip_id,
					.udp = r->word.udp};
		rig_cpu = 0;
		if (!nat_find(q) || q->place != i)
			return "not found, or twice, from the client's side";
		*q = (struct nat_query){.far = l->ports ? l->source : r->client,
					.far_port = r->source_port_be,
					.port = l->port_be ? l->port_be : r->port_be,
					.id = l->number,
					.udp = r->word.udp,
					.side = TUNDISH_NAT_SERVER};
		if (!nat_find(q) || q->place != i)
			return "not found, or twice, from the server's side";
	}
	if (tags != live)
		return "tags of the server's side that belong to nobody";
	for (uint32_t lane = 1; lane < NAT_LANES; lane++) {
		const struct tundish_lane *l = &rig_lanes[lane];
		uint32_t bits = 0, marks = 0;

		if (!l->number)
			continue;
		if (l->used != used[lane])
			return "a lane's count is not its connections";
		for (uint32_t p = l->first; l->ports && p <= l->last; p++) {
			bits += rig_ports[lane].taken[p / 64] >> (p % 64) & 1;
			marks += marked(lane, p);
		}
		if (l->ports && (bits != l->used || marks != l->yielding))
			return "a lane's bits are not its count";
	}
	for (uint32_t b = 1; b < NAT_BACKENDS; b++)
		if ((int64_t)rig_backends[b].connections_active != active[b])
			return "a backend's count is not its connections";
	for (int i = 0; i < 4; i++)
		in_tuples[!!(rig_tuples[0].entry[i].vip & TUNDISH_TUPLE_UDP)] +=
			rig_tuples[0].entry[i].value.active;
	return in_tuples[0] == counted[0] && in_tuples[1] == counted[1]
		       ? NULL
		       : "the tuples' counts are not the connections";
}

/* ---- one packet ---------------------------------------------------------------------------- */

static uint32_t tick_now(void)
{
	return tundish_tick(rig_now_ns);
}

static struct nat_query *query_of(uint32_t client, uint32_t side)
{
	struct nat_query *q = &rig_queries[rig_cpu][NAT_QUERY_LIVE];

	/* clients i and i + 3 are one, that asks two VIPs from one port */
	q->far = tundish_addr_v4(TUNDISH_BE32(0xc6336400 + client % 3 % 2));
	q->vip = tundish_addr_v4(TUNDISH_BE32(0xc0000201));
	q->far_port = TUNDISH_BE16(5000 + client % 3);
	q->port = TUNDISH_BE16(443);
	q->id = 3 + client / 3;
	q->side = side;
	q->udp = 0;
	q->now = tick_now();
	q->hop = client + 1;
	return q;
}

static void settle(void)
{
	nat_settle(&rig_queries[rig_cpu][NAT_QUERY_LIVE]);
	nat_settle(&rig_queries[rig_cpu][NAT_QUERY_MET]);
}

#endif
