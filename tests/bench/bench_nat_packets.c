// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nanoseconds per translated packet, from the client and from the server, and of a SYN
 * that begins a connection, through the program that ships; in the same rounds as `ipip`
 * that asks its table for each packet. As bench_datapath.c measures, by differences.
 */
#include <linux/bpf.h>

#include "bench.h"

#define ROUNDS_MAX 64
#define GOAL	   "at most 2 x ipip contested"

static unsigned int rounds = 9;
static uint32_t packets = 400000;

struct pair {
	double with, without;
};

static double least(double a, double b)
{
	return a && a < b ? a : b;
}

static double run_once(struct rig *r, enum rig_program p, bool fresh)
{
	rig_run(r, p, fresh ? packets / 20 : packets / 4, XDP_TX);
	return rig_run(r, p, fresh ? packets / 4 : packets, XDP_TX);
}

static void measure(struct rig *r, struct pair *p, enum rig_program program, bool fresh)
{
	rig_target(r, RIG_BASELINE);
	p->without = least(p->without, run_once(r, program, fresh));
	rig_target(r, RIG_TUNDISH);
	p->with = least(p->with, run_once(r, program, fresh));
}

static void row(const char *what, const char *which, const char *size, double ns, double baseline,
		bool goal)
{
	char name[96];

	snprintf(name, sizeof(name), "%s_%s_flows_%s", what, which, size);
	report((struct row){name, ns, "ns", baseline, goal ? GOAL : NULL,
			    goal ? AT_MOST(ns, 2 * baseline) : NO_GOAL});
}

/* Did all packets go the way that is measured? */
static void check(const struct tundish_counters *before, const struct tundish_counters *after,
		  bool full)
{
	uint64_t sent = full ? after->sent_fullnat - before->sent_fullnat
			     : after->sent_nat - before->sent_nat,
		 replies = after->sent_reply - before->sent_reply;

	if (sent < packets || replies < packets)
		die("only %llu packets and %llu answers were translated", (unsigned long long)sent,
		    (unsigned long long)replies);
}

static void size_of(struct rig *r, enum rig_service service, const char *what, const char *size,
		    uint32_t flows)
{
	const uint32_t vip = service == RIG_NAT ? RIG_VIP_NAT : RIG_VIP_FULLNAT;
	struct pair forward = {0}, reply = {0}, fresh = {0}, ipip = {0}, syn = {0};
	struct tundish_counters before, after;
	double bare = 0, contested;

	for (unsigned int i = 0; i < rounds; i++) {
		bare = least(bare, rig_run(r, RIG_TX, packets, XDP_TX));
		rig_aim(r, RIG_VIP_IPIP, RIG_PORT, flows);
		rig_ask(r, RIG_IPIP, true);
		measure(r, &ipip, RIG_DATA4, false);
		rig_ask(r, RIG_IPIP, false);
		r->knobs->next = 8u << 20;
		measure(r, &syn, RIG_SYN4, true);
		rig_forget_half_open(r, false);

		before = rig_counters(r);
		rig_aim(r, vip, RIG_PORT, flows);
		measure(r, &forward, RIG_DATA4, false);
		measure(r, &reply, RIG_ANSWER4, false);
		after = rig_counters(r);
		check(&before, &after, service == RIG_FULLNAT);
		r->knobs->next = 8u << 20;
		measure(r, &fresh, RIG_SYN4, true);
		rig_nat_forget(r);
	}
	contested = ipip.with - ipip.without + bare;
	row(what, "beside_ipip_contested_ns", size, contested, bare, false);
	row(what, "forward_ns", size, forward.with - forward.without + bare, contested, true);
	row(what, "reply_ns", size, reply.with - reply.without + bare, contested, true);
	row(what, "syn_ns", size, fresh.with - fresh.without + bare, syn.with - syn.without + bare,
	    false);
}

static void service_of(enum rig_service service, const char *what)
{
	static const struct {
		const char *name;
		uint32_t flows;
	} sizes[] = {{"1", 1}, {"100k", 100000}, {"1m", 1000000}};
	struct rig *r = rig_open_nat(1048576, 1, 1048576);
	uint32_t established = 0;

	if (service == RIG_NAT) {
		double bytes = (double)(rig_map_bytes(rig_map_fd(r, "nat")) +
					rig_map_bytes(rig_map_fd(r, "nat_tags")));

		report((struct row){"nat_table_bytes_per_connection", bytes / 1048576, "bytes", 0,
				    "at most 143", AT_MOST(bytes / 1048576, 143)});
	}
	for (size_t i = 0; i < TD_ARRAY_SIZE(sizes); i++) {
		uint32_t there;

		rig_establish(r, false, established, sizes[i].flows);
		there = rig_nat_establish(r, service, established, sizes[i].flows);
		established = sizes[i].flows;
		/* answers are of those that are there; a million has 9 of 16 places */
		if (there < established - established / 10000)
			die("of %u connections %u are there", established, there);
		size_of(r, service, what, sizes[i].name, there);
	}
	rig_close(r);
}

int main(int argc, char **argv)
{
	const char *quick = getenv("BENCH_ROUNDS");

	if (quick)
		rounds = (unsigned int)TD_MAX(1, TD_MIN(atoi(quick), ROUNDS_MAX));
	pin_cpu();
	service_of(RIG_NAT, "nat");
	service_of(RIG_FULLNAT, "fullnat");
	return 0;
}
