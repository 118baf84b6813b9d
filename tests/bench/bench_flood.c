// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live flows in a flood of spoofed SYNs.
 *
 * So many flows are established that they are a given part of those that the table
 * is made for (`limits: flows`), which is about half of its entries; then, as a harder
 * case without a goal, that part of its entries. A backend is then taken out of the pool, so that Maglev alone would
 * send its flows elsewhere, and packets of live flows drawn at random pass,
 * each followed by a hundred SYNs from addresses that nobody has. Half way
 * through, another backend is reweighted. In the end each live flow sends once
 * more. A packet that reaches another backend than its flow's SYN did is lost.
 *
 * Flows that found no place when they were opened are told apart; their lost packets
 * are in the first number too, for their clients see no difference.
 */
#include <arpa/inet.h>
#include <linux/bpf.h>

#include "bench.h"

#define ADVERTISED   262144u
#define LIVE_PACKETS 60000u

/* Marks the flows that the table does not hold; returns how many. */
static uint32_t mark_unplaced(struct rig *r, uint32_t flows)
{
	uint32_t left = flows;

	for (uint32_t i = 0; i < flows; i++)
		r->syn_went_to[i] |= BENCH_UNPLACED;
	for (uint32_t i = 0; i < r->settings.flow_buckets; i++)
		for (uint32_t j = 0; j < TUNDISH_BUCKET_ENTRIES; j++) {
			struct tundish_flow *f = &r->flows[i].entry[j];
			uint32_t flow =
				((ntohl(f->client_be) - BENCH_CLIENTS) << BENCH_PORTS_SHIFT) +
				ntohs(f->client_port_be) - 1024;

			if (f->value.live.state != TUNDISH_FLOW_ESTABLISHED || flow >= flows)
				continue;
			r->syn_went_to[flow] &= ~BENCH_UNPLACED;
			left--;
		}
	return left;
}

static void measure(unsigned int percent, bool of_entries)
{
	uint32_t weights[RIG_BACKENDS], flows, spoofed = LIVE_PACKETS * (BENCH_SYNS_PER_LIVE + 1);
	struct tundish_counters before, after;
	struct rig *r = rig_open(ADVERTISED, 1);
	uint32_t unplaced;
	const char *what = of_entries ? "_of_entries" : "";
	char name[96];
	double ns;

	flows = of_entries ? r->settings.flow_buckets * TUNDISH_BUCKET_ENTRIES : ADVERTISED;
	flows = (uint32_t)((uint64_t)flows * percent / 100);
	rig_target(r, RIG_TUNDISH);
	rig_aim(r, RIG_VIP_IPIP, RIG_PORT, flows);
	r->knobs->next = 0;
	/* one packet more, which examines the last one */
	rig_run(r, RIG_NOTE4, 2 * flows + 1, XDP_TX);
	unplaced = mark_unplaced(r, flows);

	for (size_t i = 0; i < RIG_BACKENDS; i++)
		weights[i] = 100;
	weights[3] = 0;
	rig_weigh(r, RIG_IPIP, weights);
	rig_aim(r, RIG_VIP_IPIP, RIG_PORT, flows);
	r->knobs->checked = r->knobs->wrong = r->knobs->wrong_unplaced = r->knobs->unsent = 0;
	before = rig_counters(r);
	ns = rig_run(r, RIG_FLOOD4, spoofed / 2, XDP_TX);
	weights[7] = 10;
	rig_weigh(r, RIG_IPIP, weights);
	ns += rig_run(r, RIG_FLOOD4, spoofed / 2, XDP_TX);
	after = rig_counters(r);
	rig_aim(r, RIG_VIP_IPIP, RIG_PORT, flows);
	r->knobs->next = 0;
	rig_run(r, RIG_CHECK4, flows + 1, XDP_TX);
	if (r->knobs->checked < flows + LIVE_PACKETS * 9 / 10 || r->knobs->unsent ||
	    after.flow_new - before.flow_new < spoofed / 10)
		die("the flood was none: %llu packets compared, %llu unsent, %llu flows made",
		    (unsigned long long)r->knobs->checked, (unsigned long long)r->knobs->unsent,
		    (unsigned long long)(after.flow_new - before.flow_new));

	snprintf(name, sizeof(name), "live_packets_lost_in_flood_%u%s", percent, what);
	report((struct row){name, (double)r->knobs->wrong, "packets", 0, of_entries ? NULL : "0",
			    of_entries ? NO_GOAL : AT_MOST(r->knobs->wrong, 0)});
	snprintf(name, sizeof(name), "live_packets_lost_without_place_%u%s", percent, what);
	report((struct row){name, (double)r->knobs->wrong_unplaced, "packets", 0, NULL, NO_GOAL});
	snprintf(name, sizeof(name), "live_packets_compared_in_flood_%u%s", percent, what);
	report((struct row){name, (double)r->knobs->checked, "packets", 0, NULL, NO_GOAL});
	snprintf(name, sizeof(name), "live_flows_without_place_%u%s", percent, what);
	report((struct row){name, unplaced, "flows", 0, NULL, NO_GOAL});
	snprintf(name, sizeof(name), "flood_ns_per_packet_%u%s", percent, what);
	report((struct row){name, ns / 2, "ns", 0, NULL, NO_GOAL});
	rig_close(r);
}

int main(void)
{
	pin_cpu();
	measure(50, false);
	measure(80, false);
	measure(80, true);
	return 0;
}
