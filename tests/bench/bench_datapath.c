// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nanoseconds per packet through the program that ships.
 *
 * Four things are run in turn, in each of several rounds: a program that returns
 * XDP_TX (the baseline), the wrapper over that program, and the wrapper over
 * tundish. Of each the smallest value counts, for whatever else the machine does
 * only adds. What is reported is
 *
 *   (wrapper over tundish) - (wrapper over XDP_TX) + (XDP_TX)
 *
 * that is, the cost of tundish as if the packets came by themselves; what the
 * kernel's test run itself adds per packet is in it once, as in the baseline.
 */
#include <linux/bpf.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench.h"
#include "tundish.skel.h"

#define ROUNDS_MAX 64
static unsigned int rounds = 9;
static uint32_t packets = 400000;

static double least(double a, double b)
{
	return a && a < b ? a : b;
}

struct size {
	const char *name;
	uint32_t flows;
};

static const struct size sizes[] = {
	{"1", 1}, {"10k", 10000}, {"100k", 100000}, {"1m", 1000000}, {"4m", 4000000}};

static double bare; /* ns of XDP_TX, the smallest of all rounds so far */

static void measure_bare(struct rig *r)
{
	bare = least(bare, rig_run(r, RIG_TX, packets, XDP_TX));
}

static void row(const char *what, const char *size, const char *family, double ns, const char *goal,
		enum met met)
{
	char name[96];

	snprintf(name, sizeof(name), "%s_%s%s", what, size, family);
	report((struct row){name, ns, "ns", bare, goal, met});
}

/* `fresh`: each packet makes something, so fewer of them, and no warming up of what is new. */
static double run_once(struct rig *r, enum rig_program p, uint32_t wanted, bool fresh)
{
	rig_run(r, p, fresh ? packets / 20 : packets / 4, wanted); /* caches, branch predictors */
	return rig_run(r, p, fresh ? packets / 4 : packets, wanted);
}

struct pair {
	double with, without;
};

static double corrected(const struct pair *p)
{
	return p->with - p->without + bare;
}

static void measure(struct rig *r, struct pair *p, enum rig_program program, uint32_t wanted,
		    bool fresh)
{
	rig_target(r, RIG_BASELINE);
	p->without = least(p->without, run_once(r, program, XDP_TX, fresh));
	rig_target(r, RIG_TUNDISH);
	p->with = least(p->with, run_once(r, program, wanted, fresh));
}

/* ---- established flows, and SYNs beside them ---------------------------------------- */

/* Entries that found no place: two buckets of four may both be full at half load, now and then. */
static uint64_t missing(struct rig *r, bool v6, uint32_t flows)
{
	uint64_t found = rig_count(r, v6, TUNDISH_FLOW_ESTABLISHED);

	if (found > flows || found < flows - flows / 1000)
		die("the table has %llu of %u established flows", (unsigned long long)found, flows);
	rig_forget_half_open(r, v6);
	return flows - found;
}

/* Did the packets ask, and find their flows? */
static void check_contested(const struct tundish_counters *before,
			    const struct tundish_counters *after)
{
	uint64_t asked = after->flow_lookup - before->flow_lookup;
	uint64_t unknown = after->flow_unknown - before->flow_unknown;

	if (asked < packets || unknown > asked / 1000)
		die("of the contested packets %llu asked and %llu did not find their flow",
		    (unsigned long long)asked, (unsigned long long)unknown);
}

static void measure_size(struct rig *r, bool v6, const struct size *s, double one[2])
{
	const enum rig_program data = v6 ? RIG_DATA6 : RIG_DATA4, syn = v6 ? RIG_SYN6 : RIG_SYN4;
	const enum rig_service service = v6 ? RIG_IPIP6 : RIG_IPIP;
	const uint32_t vip = v6 ? RIG_VIP6_IPIP : RIG_VIP_IPIP;
	struct pair plain = {0}, contested = {0}, fresh = {0}, least_data = {0}, least_syn = {0};
	const char *family = v6 ? "_v6" : "";
	const bool million = !strcmp(s->name, "1m"), first = s->flows == 1;
	struct tundish_counters before, after;
	double ns;

	for (unsigned int i = 0; i < rounds; i++) {
		measure_bare(r);
		rig_aim(r, vip, RIG_PORT, s->flows);
		measure(r, &plain, data, XDP_TX, false);

		rig_ask(r, service, true);
		before = rig_counters(r);
		measure(r, &contested, data, XDP_TX, false);
		after = rig_counters(r);
		check_contested(&before, &after);
		rig_ask(r, service, false);

		r->knobs->next = 8u << 20; /* beyond all established ones */
		measure(r, &fresh, syn, XDP_TX, true);
		rig_forget_half_open(r, v6);

		rig_choose(r, service, true);
		before = rig_counters(r);
		measure(r, &least_data, data, XDP_TX, false);
		after = rig_counters(r);
		check_contested(&before, &after);
		r->knobs->next = 8u << 20;
		measure(r, &least_syn, syn, XDP_TX, true);
		rig_forget_half_open(r, v6);
		rig_choose(r, service, false);
	}
	ns = corrected(&plain);
	if (first)
		one[0] = ns;
	row("data_packet_ns_flows", s->name, family, ns,
	    million && !v6 ? "at most 9 x XDP_TX" : NULL,
	    million && !v6 ? AT_MOST(ns, 9 * bare) : NO_GOAL);
	if (million) {
		report((struct row){v6 ? "data_packet_flat_1m_v6" : "data_packet_flat_1m", ns, "ns",
				    one[0], v6 ? NULL : "at most 1.5 x one flow",
				    v6 ? NO_GOAL : AT_MOST(ns, 1.5 * one[0])});
	}
	ns = corrected(&contested);
	row("data_packet_contested_ns_flows", s->name, family, ns,
	    million && !v6 ? "at most 150 ns" : NULL, million && !v6 ? AT_MOST(ns, 150) : NO_GOAL);
	row("syn_new_flow_ns_flows", s->name, family, corrected(&fresh), NULL, NO_GOAL);
	row("data_packet_least_connections_ns_flows", s->name, family, corrected(&least_data), NULL,
	    NO_GOAL);
	row("syn_least_connections_ns_flows", s->name, family, corrected(&least_syn), NULL,
	    NO_GOAL);
}

static void sizes_of(struct rig *r, bool v6, uint32_t from, uint32_t to, double one[2])
{
	uint32_t established = 0;
	uint64_t without;
	char name[64];

	for (size_t i = 0; i < TD_ARRAY_SIZE(sizes); i++) {
		const struct size *s = &sizes[i];

		if (s->flows > to)
			break;
		if (s->flows < from || (v6 && s->flows != 1 && s->flows != 1000000))
			continue;
		rig_establish(r, v6, established, s->flows);
		established = s->flows;
		without = missing(r, v6, s->flows);
		if (s->flows >= 1000000) {
			snprintf(name, sizeof(name), "flows_without_place_%s%s", s->name,
				 v6 ? "_v6" : "");
			report((struct row){name, (double)without, "flows", 0, NULL, NO_GOAL});
		}
		measure_size(r, v6, s, one);
	}
}

/* ---- UDP: each packet asks, unless there are no flows ----------------------------- */

static void udp_of(struct rig *r, const struct size *s)
{
	struct pair known = {0}, fresh = {0}, none = {0};
	struct tundish_counters before, after;

	rig_aim(r, RIG_VIP_UDP, RIG_PORT, s->flows);
	r->knobs->udp = 1;
	rig_target(r, RIG_TUNDISH);
	rig_run(r, RIG_DATA4, 3 * s->flows + 1000, XDP_TX);
	for (unsigned int i = 0; i < rounds; i++) {
		measure_bare(r);
		rig_aim(r, RIG_VIP_UDP, RIG_PORT, s->flows);
		before = rig_counters(r);
		measure(r, &known, RIG_DATA4, XDP_TX, false);
		after = rig_counters(r);
		if (after.flow_lookup - before.flow_lookup < packets)
			die("UDP packets did not ask");
		rig_aim(r, RIG_VIP_BARE, RIG_PORT, s->flows);
		measure(r, &none, RIG_DATA4, XDP_TX, false);
		if (rig_counters(r).flow_lookup != after.flow_lookup)
			die("UDP packets without flows asked");
	}
	row("udp_packet_ns_flows", s->name, "", corrected(&known), NULL, NO_GOAL);
	row("udp_packet_without_flows_ns_flows", s->name, "", corrected(&none), NULL, NO_GOAL);
	for (unsigned int i = 0; i < rounds; i++) {
		rig_aim(r, RIG_VIP_UDP, RIG_PORT, s->flows);
		r->knobs->next = 8u << 20;
		before = rig_counters(r);
		measure(r, &fresh, RIG_SYN4, XDP_TX, true);
		after = rig_counters(r);
		if (after.flow_new - before.flow_new < packets / 4)
			die("new UDP flows were not entered");
		rig_forget_udp(r);
		rig_run(r, RIG_DATA4, s->flows, XDP_TX);
	}
	row("udp_new_flow_ns_flows", s->name, "", corrected(&fresh), NULL, NO_GOAL);
	rig_forget_udp(r);
	r->knobs->udp = 0;
}

static void udp(struct rig *r)
{
	for (size_t i = 0; i < TD_ARRAY_SIZE(sizes); i++)
		if (sizes[i].flows <= 1000000)
			udp_of(r, &sizes[i]);
}

/* ---- the cost up to each exit ----------------------------------------------------- */

static void exits(struct rig *r)
{
	static const struct {
		const char *name;
		uint32_t vip, verdict;
		uint16_t port;
		enum rig_program program;
	} exit[] = {
		{"exit_no_vip_ns", RIG_VIP_NONE, XDP_PASS, RIG_PORT, RIG_DATA4},
		{"exit_no_port_ns", RIG_VIP_IPIP, XDP_PASS, 81, RIG_DATA4},
		{"exit_workers_ns", RIG_VIP_WORKERS, XDP_PASS, RIG_PORT, RIG_DATA4},
		{"exit_dsr_ns", RIG_VIP_DSR, XDP_TX, RIG_PORT, RIG_DATA4},
		{"exit_ipip_ns", RIG_VIP_IPIP, XDP_TX, RIG_PORT, RIG_DATA4},
		{"exit_gue_ns", RIG_VIP_GUE, XDP_TX, RIG_PORT, RIG_DATA4},
		{"exit_ipip6_ns", RIG_VIP6_IPIP, XDP_TX, RIG_PORT, RIG_DATA6},
	};
	static const struct size clients[] = {{"flows_1", 1}, {"flows_1m", 1000000}};
	struct pair pairs[TD_ARRAY_SIZE(exit)][2] = {0};

	for (unsigned int i = 0; i < rounds; i++) {
		measure_bare(r);
		for (size_t e = 0; e < TD_ARRAY_SIZE(exit); e++)
			for (size_t c = 0; c < 2; c++) {
				rig_aim(r, exit[e].vip, exit[e].port, clients[c].flows);
				measure(r, &pairs[e][c], exit[e].program, exit[e].verdict, false);
			}
	}
	for (size_t e = 0; e < TD_ARRAY_SIZE(exit); e++)
		for (size_t c = 0; c < 2; c++)
			row(exit[e].name, clients[c].name, "", corrected(&pairs[e][c]), NULL,
			    NO_GOAL);
}

/* SYN, ACK and FIN of one connection after another: all that is kept about connections is written. */
static void connections(struct rig *r)
{
	struct pair v4 = {0}, v6 = {0};

	for (unsigned int i = 0; i < rounds; i++) {
		measure_bare(r);
		rig_aim(r, RIG_VIP_IPIP, RIG_PORT, 1);
		measure(r, &v4, RIG_WHOLE4, XDP_TX, true);
		rig_aim(r, RIG_VIP6_IPIP, RIG_PORT, 1);
		measure(r, &v6, RIG_WHOLE6, XDP_TX, true);
	}
	report((struct row){"connection_edges_ns", 3 * corrected(&v4), "ns", 3 * bare, NULL,
			    NO_GOAL});
	report((struct row){"connection_edges_ns_v6", 3 * corrected(&v6), "ns", 3 * bare, NULL,
			    NO_GOAL});
}

static void program_size(struct rig *r)
{
	struct bpf_prog_info info = {0};
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(r->object->progs.tundish_xdp), &info, &length) <
	    0)
		die("cannot ask about the program: %s", strerror(errno));
	report((struct row){"program_jited_bytes", info.jited_prog_len, "bytes", 0, NULL, NO_GOAL});
	report((struct row){"program_verified_insns", info.verified_insns, "steps", 0,
			    "below 1,000,000", AT_MOST(info.verified_insns, 999999)});
}

int main(int argc, char **argv)
{
	const char *quick = getenv("BENCH_ROUNDS");
	double one[2], one6[2];
	struct rig *r;

	if (quick)
		rounds = (unsigned int)TD_MAX(1, TD_MIN(atoi(quick), ROUNDS_MAX));
	pin_cpu();

	r = rig_open(1048576, 1048576); /* IPv4 as by default */
	program_size(r);
	for (unsigned int i = 0; i < 3 * rounds; i++)
		measure_bare(r);
	report((struct row){"xdp_tx_ns", bare, "ns", 0, NULL, NO_GOAL});
	exits(r);
	sizes_of(r, false, 1, 1000000, one);
	sizes_of(r, true, 1, 1000000, one6);
	r = rig_close(r);

	r = rig_open(4000000, 1);
	sizes_of(r, false, 4000000, 4000000, one);
	r = rig_close(r);

	r = rig_open(1048576, 1048576);
	udp(r);
	connections(r);
	r = rig_close(r);
	return 0;
}
