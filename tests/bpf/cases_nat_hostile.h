/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Translated connections under packets that somebody forged: from where no client is, in
 * tunnels, with errors for others, by ways that nobody takes.
 */
#ifndef TESTS_CASES_NAT_HOSTILE_H
#define TESTS_CASES_NAT_HOSTILE_H

#include "bpf/cases_nat.h"

static inline void case_nat_no_client(void **state)
{
	const struct tundish_addr four[] = {NATVIP4,	       VIP4,
					    ip4(127, 0, 0, 1), ip4(0, 1, 2, 3),
					    ip4(224, 0, 0, 1), ip4(255, 255, 255, 255)},
				  six[] = {NATVIP6,
					   VIP6,
					   {{0, 0, 0, 0}},
					   {{0, 0, 0, TUNDISH_BE32(1)}},
					   {{TUNDISH_BE32(0xff020000), 0, 0, TUNDISH_BE32(1)}}};
	struct packet in;

	nat_reset();
	for (int v6 = 0; v6 < 2; v6++) {
		for (uint32_t i = 0; i < (v6 ? 5 : 6); i++) {
			for (uint16_t port = 2000; port < 2003; port++) {
				struct spec s = nat_request(v6, port, P_TCP, F_SYN);

				s.src = v6 ? six[i] : four[i];
				expect("SYN", build(&in, &s), XDP_DROP, NULL, C(drop_nat_unknown));
				s.flags = F_ACK;
				expect("ACK", build(&in, &s), XDP_DROP, NULL, C(drop_nat_unknown));
				s.protocol = P_UDP;
				s.sport = port; /* it would go round for ever */
				expect("UDP", nat_build(&in, &s), XDP_DROP, NULL,
				       C(drop_nat_unknown));
			}
		}
	}
	assert_null(nat_record());
}

/* Who may tunnel to this host may not answer for a server. */
static inline void case_nat_tunnelled(void **state)
{
	struct spec s = nat_request(0, 2001, P_TCP, F_SYN), answer, outer;
	struct packet in, inner;
	uint16_t port;

	nat_reset();
	port = nat_open("tunnelled", &s);
	answer = nat_answer(&s, port, F_SYN | F_ACK);
	build(&inner, &answer);
	outer = (struct spec){.src = ROUTER4, .dst = HOST4};
	expect("tunnelled answer", wrap(&in, &outer, &inner), XDP_PASS, NULL, C(pass_other));
	assert_int_equal(nat_record()->word.state, TUNDISH_NAT_SYN_SENT);
}

/* An error about what was sent to a server, addressed to somebody who never sent it. */
static inline void case_nat_error_astray(void **state)
{
	struct packet in, quoted;

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = nat_request(v6, 2001, P_TCP, F_SYN), to, e;
		uint16_t port;

		nat_reset();
		port = nat_open("astray", &s);
		to = nat_forwarded(&s, port);
		e = (struct spec){.src = server_of(nat_kind_of(v6, 2001)),
				  .dst = v6 ? ip6(0x777) : ip4(10, 0, 1, 99),
				  .type = v6 ? 1 : 3,
				  .code = v6 ? 4 : 3};
		expect("astray", build_error(&in, &e, build(&quoted, &to), 200), XDP_PASS, NULL,
		       C(pass_other));
	}
}

/* What is forged easily does not move the way of answers. */
static inline void case_nat_way_kept(void **state)
{
	static const uint8_t other[6] = {2, 0, 0, 0, 0, 9}, group[6] = {3, 0, 0, 0, 0, 2},
			     all[6] = {255, 255, 255, 255, 255, 255};
	struct spec s = nat_request(0, 2001, P_TCP, F_SYN), to;
	struct packet in, want;
	uint16_t port;

	nat_reset();
	port = nat_open("kept", &s);
	nat_back("kept", &s, port, F_SYN | F_ACK);
	s = nat_request(0, 2001, P_TCP, F_ACK);
	memcpy(s.smac, other, 6);
	s.ack = 0x12345678; /* establishes nothing */
	nat_out("ACK that does not fit", &s, port, C(sent_fullnat));
	s.flags = F_SYN;
	s.seq = 4711;
	s.payload = 0;
	nat_out("SYN that does not fit", &s, port, C(sent_fullnat));
	nat_back("kept", &s, port, F_SYN | F_ACK);
	s = nat_request(0, 2001, P_TCP, F_ACK);
	nat_out("fits", &s, port, C(sent_fullnat));
	assert_int_equal(nat_record()->word.state, TUNDISH_NAT_ESTABLISHED);
	memcpy(s.smac, group, 6);
	nat_out("from a group", &s, port, C(sent_fullnat));
	memset(s.smac, 0, 6);
	memcpy(s.dmac, all, 6);
	to = nat_forwarded(&s, port);
	nat_expect("to all", build(&in, &s), XDP_REDIRECT, build(&want, &to), C(sent_fullnat));
	memcpy(s.smac, other, 6);
	memset(s.dmac, 0, 6);
	s.flags = F_SYN;
	s.payload = 0;
	nat_out("SYN", &s, port, C(sent_fullnat));
	s.flags = F_RST;
	nat_out("RST", &s, port, C(sent_fullnat));
	memset(s.smac, 0, 6);
	nat_back("kept", &s, port, F_ACK);
}

/* Lanes for hairpins that are full are no concern of other clients. */
static inline void case_nat_hairpin_full(void **state)
{
	struct spec s = nat_request(0, 2000, P_TCP, F_SYN);
	struct tundish_counters before;
	struct packet in, out;

	nat_reset();
	s.src = SERVER4;
	for (uint16_t i = 0; i <= NAT_PORTS; i++) {
		s.sport = (uint16_t)(41000 + i);
		rig_counters(&before);
		assert_int_equal(rig_run(build(&in, &s), &out),
				 i < NAT_PORTS ? XDP_REDIRECT : XDP_TX);
		check_counters("hairpin", &before,
			       C(hairpin) | (i < NAT_PORTS ? C(sent_nat) : C(sent_rst_ports)));
	}
	s = nat_request(0, 2000, P_TCP, F_SYN);
	assert_int_equal(rig_run(build(&in, &s), &out), XDP_REDIRECT);
}

/* The client's address is told only where it fits, what a family adds included. */
static inline void case_nat_toa_family(void **state)
{
	struct spec s = nat_request(0, 2002, P_TCP, F_SYN);
	uint16_t port;

	nat_reset();
	rig.deliveries[N_FROM4].flags = TUNDISH_DELIVER_TOA;
	port = nat_open("told", &s);
	nat_back("told", &s, port, F_SYN | F_ACK);
	s = nat_request(0, 2002, P_TCP, F_ACK);
	s.payload = 1500 - 20 - 40 - 4;
	nat_out("no room", &s, port, C(sent_fullnat) | C(toa_no_room));
}

/* A lane of all ports and one of a single port, of the same server and source, both full:
 * what is taken back for the one is its own. */
static inline void case_nat_lanes_meet(void **state)
{
	struct tundish_lane *all = &rig.lanes[nat_lane_of(N_FULL)],
			    *one = &rig.lanes[nat_lane_of(N_FROM6)];
	struct spec s = nat_request(0, 2003, P_TCP, F_SYN);
	struct tundish_vip v = {.id = ID_NATVIP6 + 2,
				.flags = TUNDISH_VIP_SERVICE | TUNDISH_VIP_FORWARDS,
				.n_ranges = 1,
				.ranges = {{.first = 2003,
					    .last = 2003,
					    .service = N_FULL,
					    .protocol = P_TCP,
					    .delivery = TUNDISH_DELIVERY_FULLNAT}}};
	struct tundish_counters before;
	struct packet in, out;

	nat_reset();
	s.dst = ip4(192, 0, 2, 62);
	rig_set_vip(&s.dst, &v);
	all->last = one->last = NAT_FIRST;
	all->usable = one->usable = 1;
	for (uint32_t port = NAT_FIRST + 1; port < NAT_FIRST + NAT_PORTS; port++) {
		rig.lane_ports[all->ports].taken[port / 64] |= 1ull << port % 64;
		rig.lane_ports[one->ports].taken[port / 64] |= 1ull << port % 64;
	}
	one->port_be = TUNDISH_BE16(2001);
	assert_int_equal(rig_run(build(&in, &s), &out), XDP_REDIRECT);
	s = nat_request(1, 2002, P_TCP, F_SYN);
	assert_int_equal(rig_run(build(&in, &s), &out), XDP_REDIRECT);
	for (uint32_t i = 0; i < RIG_NAT_BUCKETS * TUNDISH_NAT_SLOTS; i++) {
		struct tundish_nat *r = &rig.nat[i]; /* old enough to give way */

		r->word.since = r->seen[0] = r->seen[1] = (uint16_t)(rig_tick() - 10);
	}
	s = nat_request(0, 2001, P_TCP, F_SYN);
	rig_counters(&before);
	assert_int_equal(rig_run(build(&in, &s), &out), XDP_TX);
	check_counters("of another lane", &before, C(sent_rst_ports));
	assert_int_equal(all->used, 1);
	assert_int_equal(one->used, 1);
}

/* Tracing tells of refusals as they are. */
static inline void case_nat_trace_refused(void **state)
{
	struct spec s = nat_request(0, 2001, P_TCP, F_ACK);
	struct tundish_trace t;
	struct packet in;

	nat_reset();
	assert_int_equal(rig_trace(build(&in, &s), &t), XDP_TX);
	assert_int_equal(t.counter, TUNDISH_COUNTER_sent_rst_unknown);
}

#define CASES_NAT_HOSTILE                                                                          \
	cmocka_unit_test(case_nat_no_client), cmocka_unit_test(case_nat_tunnelled),                \
		cmocka_unit_test(case_nat_error_astray), cmocka_unit_test(case_nat_way_kept),      \
		cmocka_unit_test(case_nat_hairpin_full), cmocka_unit_test(case_nat_toa_family),    \
		cmocka_unit_test(case_nat_trace_refused), cmocka_unit_test(case_nat_lanes_meet)

#endif
