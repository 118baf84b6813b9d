// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part of the rig that translates: one lane for each server of `nat`, four sources
 * for each of `fullnat`, so that a million connections have ports; and the connections
 * themselves, which the data path makes of segments of both ends.
 */
#include <arpa/inet.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <tundish/nat_state.h>

#include "bench.h"
#include "bpf/nat_world.h"
#include "tundish.skel.h"

#define LANES	  1024u /* as `limits:` has them */
#define SOURCES	  4u
#define PORTS	  1024u /* the first; the last is 65535 */
#define FLAGS_SYN 0x12u
#define FLAGS_ACK 0x10u

void rig_nat_size(struct rig *r, uint32_t connections)
{
	struct tundish *o = r->object;

	r->nat = calloc(1, sizeof(*r->nat));
	if (!r->nat)
		die("no memory");
	r->nat->buckets = TUNDISH_NAT_BUCKETS_OF(connections);
	bpf_map__set_max_entries(o->maps.nat, r->nat->buckets * TUNDISH_NAT_SLOTS);
	bpf_map__set_max_entries(o->maps.nat_tags, 2 * r->nat->buckets);
	bpf_map__set_max_entries(o->maps.nat_hosts, TUNDISH_NAT_HOSTS_MAX);
	bpf_map__set_max_entries(o->maps.lanes, LANES);
	bpf_map__set_max_entries(o->maps.lane_ports, LANES);
	bpf_map__set_max_entries(o->maps.lane_cursor, LANES);
	bpf_map__set_max_entries(o->maps.fans, r->settings.backends_max);
	bpf_map__set_max_entries(o->maps.deliveries, r->settings.services_max);
	bpf_map__set_max_entries(o->maps.returns, TUNDISH_NAT_HOPS);
}

static void put(struct bpf_map *map, const void *key, const void *value, const char *what)
{
	if (bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) < 0)
		die("cannot write the %s: %s", what, strerror(errno));
}

/* The lanes of a server, from `lane` on. Returns the next one that is free. */
static uint32_t add_server(struct rig *r, enum rig_service service, uint32_t backend, uint32_t lane)
{
	struct rig_nat *n = r->nat;
	uint32_t number = rig_number(service, backend);
	struct tundish_addr address = r->backends[number].address;
	struct tundish_nat_host host = {(uint16_t)number, TUNDISH_NAT_HOST_BACKEND};
	struct tundish_fan fan = {.n_addresses = 1,
				  .n_sources = service == RIG_NAT ? 0 : SOURCES,
				  .flags = TUNDISH_FAN_EARLY,
				  .time_wait = TUNDISH_NAT_TICKS(60)};

	if (service == RIG_NAT)
		fan.flags |= TUNDISH_FAN_DIRECT;
	for (uint32_t i = 0; i < (service == RIG_NAT ? 1 : SOURCES); i++, lane++) {
		nat_world_lane(&n->lanes[lane], &n->ports[lane], lane, 0x0a640000u + i,
			       (uint16_t)number, RIG_PORT, service == RIG_NAT ? 0 : PORTS, 65535);
		n->lanes[lane].host = address;
		n->lanes[lane].nexthop = number;
		fan.lane[i] = lane;
	}
	put(r->object->maps.fans, &number, &fan, "fan");
	put(r->object->maps.nat_hosts, &address, &host, "host");
	return lane;
}

void rig_nat_fill(struct rig *r)
{
	const struct tundish *o = r->object;
	struct rig_nat *n = r->nat;
	struct tundish_nat_settings s = {.timeouts = nat_world_timeouts,
					 .buckets = n->buckets,
					 .lanes_max = LANES,
					 .n_hosts = 2 * RIG_BACKENDS};
	const uint32_t records = n->buckets * TUNDISH_NAT_SLOTS;
	uint32_t lane = 1, zero = 0;

	n->records = rig_share(bpf_map__fd(o->maps.nat), sizeof(*n->records), records);
	n->tags = rig_share(bpf_map__fd(o->maps.nat_tags), sizeof(*n->tags), 2 * n->buckets);
	n->lanes = rig_share(bpf_map__fd(o->maps.lanes), sizeof(*n->lanes), LANES);
	n->ports = rig_share(bpf_map__fd(o->maps.lane_ports), sizeof(*n->ports), LANES);
	n->answers = rig_share(bpf_object__find_map_fd_by_name(r->wrap, "answers"),
			       sizeof(*n->answers), records);
	if (getrandom(&s.secret, sizeof(s.secret), 0) != sizeof(s.secret))
		die("no random numbers");
	for (uint32_t b = 0; b < RIG_BACKENDS; b++) {
		lane = add_server(r, RIG_NAT, b, lane);
		lane = add_server(r, RIG_FULLNAT, b, lane);
	}
	put(o->maps.nat_settings, &zero, &s, "settings of NAT");
}

void rig_nat_close(struct rig *r)
{
	struct rig_nat *n = r->nat;
	const size_t records = n->buckets * TUNDISH_NAT_SLOTS;

	munmap(n->records, sizeof(*n->records) * records);
	munmap(n->tags, sizeof(*n->tags) * 2 * n->buckets);
	munmap(n->lanes, sizeof(*n->lanes) * LANES);
	munmap(n->ports, sizeof(*n->ports) * LANES);
	munmap(n->answers, sizeof(*n->answers) * records);
	free(n);
	r->nat = NULL;
}

/* ---- connections ------------------------------------------------------------------ */

/* What the servers answer on those that are in this state, in an order drawn at random. */
static uint32_t list_answers(struct rig_nat *n, enum tundish_nat_state state)
{
	uint64_t dice = 88172645463325252ull;
	uint32_t found = 0;

	for (uint32_t i = 0; i < n->buckets * TUNDISH_NAT_SLOTS; i++) {
		const struct tundish_nat *c = &n->records[i];
		const struct tundish_lane *l = &n->lanes[TUNDISH_NAT_LANE(c->lane_hop)];
		uint32_t flow, client = ntohl(c->client.word[3]), at;

		if (c->word.state != state)
			continue;
		flow = ((client - BENCH_CLIENTS) << BENCH_PORTS_SHIFT) +
		       (ntohs(c->client_port_be) - 1024u);
		dice = dice * 6364136223846793005ull + 1442695040888963407ull;
		at = (uint32_t)(((dice >> 32) * (found + 1)) >> 32);
		n->answers[found++] = n->answers[at];
		n->answers[at] = (struct bench_answer){
			.from = l->host.word[3],
			.to = tundish_lane_source(l, &c->client)->word[3],
			.from_port = tundish_lane_port(l, c->port_be),
			.to_port = c->source_port_be,
			.ack_be = htonl(flow * 2654435761u + 1),
		};
	}
	return found;
}

uint32_t rig_nat_establish(struct rig *r, enum rig_service service, uint32_t first, uint32_t last)
{
	const uint32_t vip = service == RIG_NAT ? RIG_VIP_NAT : RIG_VIP_FULLNAT;
	uint32_t found;

	rig_target(r, RIG_TUNDISH);
	if (last > first) {
		rig_aim(r, vip, RIG_PORT, last);
		r->knobs->next = first;
		rig_run(r, RIG_SYN4, last - first, XDP_TX);
		found = list_answers(r->nat, TUNDISH_NAT_SYN_SENT);
		if (found > last - first || found < last - first - (last - first) / 10000)
			die("%u connections were begun, and %u are there", last - first, found);
		rig_aim(r, vip, RIG_PORT, found);
		r->knobs->answer = 0;
		r->knobs->answer_flags = FLAGS_SYN;
		rig_run(r, RIG_ANSWER4, found, XDP_TX);
		rig_aim(r, vip, RIG_PORT, last);
		r->knobs->next = first;
		rig_run(r, RIG_ACK4, last - first, XDP_TX);
	}
	r->knobs->answer = 0;
	r->knobs->answer_flags = FLAGS_ACK;
	return list_answers(r->nat, TUNDISH_NAT_ESTABLISHED);
}

void rig_nat_forget(struct rig *r)
{
	struct rig_nat *n = r->nat;

	for (uint32_t i = 0; i < n->buckets * TUNDISH_NAT_SLOTS; i++) {
		struct tundish_nat *c = &n->records[i];
		uint32_t lane = TUNDISH_NAT_LANE(c->lane_hop), port = ntohs(c->source_port_be);
		uint64_t bit = 1ull << (port & 63);

		if (c->word.state != TUNDISH_NAT_SYN_SENT)
			continue;
		c->word.state = TUNDISH_NAT_FREE;
		c->word.generation++;
		n->tags[i / TUNDISH_NAT_SLOTS].tag[i % TUNDISH_NAT_SLOTS] = 0;
		n->lanes[lane].used--;
		if (!n->lanes[lane].ports)
			continue;
		n->ports[lane].taken[port / 64] &= ~bit;
		if (n->ports[lane].yielding[port / 64] & bit)
			n->lanes[lane].yielding--;
		n->ports[lane].yielding[port / 64] &= ~bit;
	}
	for (uint32_t i = n->buckets; i < 2 * n->buckets; i++)
		for (uint32_t k = 0; k < TUNDISH_NAT_SLOTS; k++) {
			__u64 *tag = &n->tags[i].tag[k];

			if (*tag &&
			    n->records[tundish_nat_tag_place(*tag)].word.state == TUNDISH_NAT_FREE)
				*tag = 0;
		}
}
