/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * UDP through the whole data path: what is a packet of a service, the life of its flow,
 * where it goes when the pool changes, who gives way to whom, and services that keep
 * no flows. Each case in both families.
 */
#ifndef TESTS_CASES_UDP_H
#define TESTS_CASES_UDP_H

#include <time.h>

#include "bpf/cases_full.h"

enum { NEW = TUNDISH_FLOW_UDP_NEW, UDP = TUNDISH_FLOW_UDP };

/* The clock's tick stays the same for what comes next. */
static inline void settle(void)
{
	struct timespec t;

	if (!rig.kernel)
		return;
	do
		clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	while ((((uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec) >> 29 & 1));
}

static inline struct conn query_of(int v6, uint32_t number)
{
	struct conn c = conn_of(v6, number);

	c.s.protocol = P_UDP;
	c.s.dport = port_of(K_UDP);
	c.s.payload = 33;
	return c;
}

static inline uint32_t query(struct conn *c, counter_set moved, const char *name)
{
	return segment_of(c, 0, 0, ASKED | moved, name);
}

/* Some ticks ago. */
static inline void seen_before(const struct conn *c, uint32_t ticks)
{
	struct seen_flow f;
	uint32_t at = 0;

	assert_true(flow_find(c, &f, &at));
	flow_word(at)->live.seen = rig_tick() - ticks;
}

static inline void facts_are(const char *name, const struct conn *c, uint32_t backend,
			     uint32_t state, uint32_t active, uint32_t total)
{
	struct facts f = facts_of(c, backend);

	if (f.state != state || f.pending || f.tuple_active != active || f.tuple_total != total ||
	    f.active != active || f.total != total)
		fail_msg("v%d %s: state %u, pending %u, tuple %u/%u, backend %u/%u", c->v6 ? 6 : 4,
			 name, f.state, f.pending, f.tuple_active, f.tuple_total, f.active,
			 f.total);
	check_tables(name);
}

static inline void live(struct conn *c)
{
	query(c, C(flow_new), "new");
	seen_before(c, 1);
	query(c, C(flow_established), "live");
}

static inline void case_udp_life(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = query_of(v6, 1);
		struct spec l = lost_of(v6, port_of(K_UDP)), e = error_of(v6, v6 ? 2 : 3, 1);
		struct way_out w = way_of(K_UDP);
		struct packet in, lost, want;

		world_reset();
		settle();
		assert_int_equal(query(&c, C(flow_new), "first"), K_UDP);
		facts_are("first", &c, K_UDP, NEW, 0, 0);
		for (int i = 0; i < 200; i++)
			query(&c, 0, "burst");
		facts_are("a burst is one packet", &c, K_UDP, NEW, 0, 0);
		seen_before(&c, 1);
		query(&c, C(flow_established), "a tick later");
		facts_are("a tick later", &c, K_UDP, UDP, 1, 1);
		query(&c, 0, "goes on");
		seen_before(&c, 179);
		query(&c, 0, "after a while");
		facts_are("after a while", &c, K_UDP, UDP, 1, 1);
		settle();
		query(&c, 0, "seen");
		{
			struct seen_flow f;

			assert_true(flow_find(&c, &f, NULL));
			assert_int_equal(f.v.live.seen, (uint16_t)rig_tick());
			assert_int_equal(f.v.live.isn_low, 0);
		}
		l.protocol = P_UDP;
		l.dport = c.s.sport;
		build_error(&in, &e, build(&lost, &l), 200);
		sent(&want, &in, &w);
		give_slots_of(K_UDP, K_UDP_OTHER, true);
		expect("ICMP error about it", &in, XDP_TX, &want,
		       C(icmp_error) | ASKED | C(sent_dsr));
		l.dport++;
		build_error(&in, &e, build(&lost, &l), 200);
		w = way_of(K_UDP_OTHER);
		sent(&want, &in, &w);
		expect("ICMP error about another", &in, XDP_TX, &want,
		       C(icmp_error) | ASKED | C(sent_dsr) | C(flow_unknown));
		facts_are("errors change nothing", &c, K_UDP, UDP, 1, 1);
	}
	world_reset();
}

/* One client port, one VIP and service port, two protocols: two flows and two tuples. */
static inline void case_udp_beside_tcp(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn udp = query_of(v6, 1), tcp = conn_of(v6, 1);
		struct facts f;

		udp.s.dport = tcp.s.dport;
		world_reset();
		opened(&tcp);
		assert_int_equal(query(&udp, C(flow_new), "UDP"), K_UDP);
		facts_are("UDP beside TCP", &udp, K_UDP, NEW, 0, 0);
		seen_before(&udp, 1);
		query(&udp, C(flow_established), "UDP");
		f = facts_of(&tcp, K_POOL);
		assert_int_equal(f.state, EST);
		assert_int_equal(f.tuple_active, 1);
		assert_int_equal(f.tuple_total, 1);
		segment_of(&tcp, F_FIN | F_ACK, ISN + 1, ASKED | C(flow_closed), "FIN");
		facts_are("TCP has ended", &udp, K_UDP, UDP, 1, 1);
	}
	world_reset();
}

static inline void case_udp_owner_changes(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn old = query_of(v6, 1), young = query_of(v6, 2), fresh = query_of(v6, 3);
		struct packet in;

		world_reset();
		settle();
		live(&old);
		query(&young, C(flow_new), "young");
		give_slots_of(K_UDP, K_UDP_OTHER, true);
		assert_int_equal(query(&old, 0, "old"), K_UDP);
		assert_int_equal(query(&young, 0, "young"), K_UDP);
		assert_int_equal(query(&fresh, C(flow_new), "fresh"), K_UDP_OTHER);
		give_slots_of(K_UDP, K_UDP_OTHER, false); /* it needs no bit to be asked */
		assert_int_equal(query(&old, 0, "old"), K_UDP);
		for (uint8_t s = TUNDISH_BACKEND_DRAIN; s <= TUNDISH_BACKEND_GONE; s++) {
			bool moves = s == TUNDISH_BACKEND_DISABLED;

			rig.backends[K_UDP].state = s;
			assert_int_equal(query(&old, moves ? C(flow_moved) : 0, "state"),
					 moves ? K_UDP_OTHER : K_UDP);
		}
		/* what is asked again because nobody answered gets another one */
		rig.backends[K_UDP].state = TUNDISH_BACKEND_DOWN;
		assert_int_equal(query(&young, 0, "no answer"), K_UDP_OTHER);
		assert_int_equal(query(&old, 0, "live"), K_UDP);
		check_tables("down");
		rig.backends[K_UDP].state = TUNDISH_BACKEND_UP;
		assert_int_equal(query(&young, 0, "it stays there"), K_UDP_OTHER);
		/* nobody for new ones */
		give_slots_of(K_UDP, 0, true);
		assert_int_equal(query(&old, 0, "old"), K_UDP);
		fresh = query_of(v6, 4);
		expect("no owner", build(&in, &fresh.s), XDP_DROP, NULL,
		       C(drop_no_backend) | ASKED);
		check_tables("no owner");
	}
	world_reset();
}

/* Without flows: the slot's owner, at once, and nothing is asked or entered. */
static inline void case_udp_bare(void **state)
{
	struct packet in, want, lost;

	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = query_of(v6, 1);
		struct spec l = lost_of(v6, port_of(K_UDP_BARE)), e = error_of(v6, v6 ? 1 : 3, 0);
		struct way_out w = way_of(K_UDP_BARE);
		struct tundish_trace t;

		world_reset();
		c.s.dport = port_of(K_UDP_BARE);
		give_slots_of(K_UDP_BARE, K_UDP_BARE, true);
		build(&in, &c.s);
		sent(&want, &in, &w);
		for (int i = 0; i < 130; i++) /* more than are sampled */
			expect("bare", &in, XDP_TX, &want, C(sent_ipip));
		l.protocol = P_UDP;
		build_error(&in, &e, build(&lost, &l), 200);
		sent(&want, &in, &w);
		expect("ICMP error", &in, XDP_TX, &want, C(sent_ipip) | C(icmp_error));
		build(&in, &c.s);
		assert_int_equal(rig_trace(&in, &t), XDP_TX);
		assert_int_equal(t.backend, K_UDP_BARE);
		assert_int_equal(t.from_flow, 0);
		for (uint32_t i = 0; i < t.n_steps; i++)
			assert_true(t.steps[i].step != TUNDISH_STEP_ask);
		give_slots_of(K_UDP_BARE, K_UDP, false);
		w = way_of(K_UDP);
		sent(&want, &in, &w);
		expect("another owner", &in, XDP_TX, &want, C(sent_dsr));
		for (uint32_t i = 0; i < flow_entries(); i++) {
			struct seen_flow f;

			assert_false(flow_at(i, &f));
		}
	}
	world_reset();
}

/* What is UDP, and what only says so. */
static inline void case_udp_packets(void **state)
{
	static const struct {
		uint16_t length; /* in the UDP header, of 8 + 33 bytes that are there */
		bool good;
	} lengths[] = {{0, false}, {1, false}, {7, false},  {8, true},	   {9, true},
		       {40, true}, {41, true}, {42, false}, {1500, false}, {65535, false}};
	struct packet in, want, inner;

	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t at = 14 + (v6 ? 40 : 20);
		struct conn c = query_of(v6, 1);
		struct way_out w = way_of(K_UDP);
		struct spec o;

		world_reset();
		settle();
		query(&c, C(flow_new), "first");
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			build(&in, &c.s);
			put16(in.data + at + 4, lengths[i].length);
			put16(in.data + at + 6, i * 257); /* any checksum, and none */
			sent(&want, &in, &w);
			if (lengths[i].good)
				expect("length", &in, XDP_TX, &want, ASKED | C(sent_dsr));
			else
				expect("length", &in, XDP_DROP, NULL, C(drop_malformed));
		}
		for (uint32_t n = 0; n < 8; n++) { /* the packet ends within the header */
			build(&in, &c.s);
			put16(in.data + 14 + (v6 ? 4 : 2), (v6 ? 0 : 20) + n);
			if (!v6)
				fix_v4(in.data + 14);
			expect("cut", &in, XDP_PASS, NULL, C(pass_other));
		}
		/* behind the linear part */
		build(&in, &c.s);
		sent(&want, &in, &w);
		c.s.payload = 200;
		build(&in, &c.s);
		sent(&want, &in, &w);
		expect_split("split", &in, at + 20, XDP_TX, &want, ASKED | C(sent_dsr));
		/* nobody's port, which TCP may have; then nothing of it is judged */
		c.s.dport = port_of(K_DSR);
		build(&in, &c.s);
		expect("TCP's port", &in, XDP_PASS, NULL, C(pass_other));
		put16(in.data + at + 4, 3);
		expect("TCP's port, wrong length", &in, XDP_PASS, NULL, C(pass_other));
		/* a port of UDP alone */
		c = query_of(v6, 1);
		c.s.protocol = P_TCP;
		expect("UDP's port", build(&in, &c.s), XDP_PASS, NULL, C(pass_other));
		/* this host's own */
		c = query_of(v6, 2);
		c.s.dst = v6 ? LOCAL6 : LOCAL4;
		c.s.dport = port_of(K_UDP_LOCAL);
		expect("local", build(&in, &c.s), XDP_PASS, NULL,
		       ASKED | C(flow_new) | C(pass_workers));
		o = outer_of(v6);
		wrap(&want, &o, &in);
		unwrapped(&inner, &want, outer_bytes(&o));
		expect("local, in a tunnel", &want, XDP_PASS, &inner, ASKED | C(pass_decapsulated));
		/* fragments */
		c = query_of(v6, 3);
		c.s.fragment = 0x2000;
		build(&in, &c.s);
		if (!v6)
			expect("first fragment", &in, XDP_TX, sent(&want, &in, &w),
			       ASKED | C(flow_new) | C(sent_dsr));
		check_tables("packets");
	}
	world_reset();
}

#define CASES_UDP                                                                                  \
	cmocka_unit_test(case_udp_life), cmocka_unit_test(case_udp_beside_tcp),                    \
		cmocka_unit_test(case_udp_owner_changes), cmocka_unit_test(case_udp_bare),         \
		cmocka_unit_test(case_udp_packets)

/* ---- full tables; each case opens a rig of its own ---------------------------------- */

static inline void case_udp_gives_way(void **state)
{
	assert_int_equal(world_open(1, 64), 0);
	for (int v6 = 0; v6 < 2; v6++) {
		static const uint32_t ages[4] = {10, 200, 20, 5}, order[4] = {1, 2, 0, 3};
		struct conn c[16], t[4];
		struct seen_flow f;

		/* the oldest of the new ones first */
		world_reset();
		settle();
		for (uint32_t i = 0; i < 16; i++)
			c[i] = query_of(v6, i);
		for (uint32_t i = 0; i < 4; i++) {
			t[i] = conn_of(v6, i);
			query(&c[i], C(flow_new), "fill");
			seen_before(&c[i], ages[i]);
		}
		for (uint32_t i = 0; i < 3; i++) {
			query(&c[4 + i], C(flow_new) | C(flow_evicted), "oldest");
			assert_false(flow_find(&c[order[i]], &f, NULL));
			check_tables("oldest first");
		}
		/* to a SYN too */
		for (uint32_t i = 4; i < 7; i++)
			seen_before(&c[i], 3);
		segment_of(&t[0], F_SYN, ISN, ASKED | C(flow_new) | C(flow_evicted), "SYN");
		assert_false(flow_find(&c[3], &f, NULL));
		/* a half-open connection does not, to UDP */
		for (uint32_t i = 1; i < 4; i++)
			segment_of(&t[i], F_SYN, ISN, ASKED | C(flow_new) | C(flow_evicted), "SYN");
		assert_int_equal(query(&c[0], C(flow_full), "SYNs stay"), K_UDP);
		for (uint32_t i = 0; i < 4; i++)
			assert_true(flow_find(&t[i], &f, NULL));

		/* live ones do not, to anybody */
		world_reset();
		settle();
		for (uint32_t i = 0; i < 4; i++)
			live(&c[i]);
		assert_int_equal(query(&c[4], C(flow_full), "full"), K_UDP);
		segment_of(&t[0], F_SYN, ISN, ASKED | C(flow_full), "full");
		seen_before(&c[2], 178);
		query(&c[4], C(flow_full), "not yet expired");
		/* expired: with what it stands for in the counts */
		seen_before(&c[2], 181);
		query(&c[4], C(flow_new) | C(flow_evicted), "expired");
		assert_false(flow_find(&c[2], &f, NULL));
		facts_are("expired", &c[4], K_UDP, NEW, 3, 4);
		/* and one that the tuple table had no place for is not taken off twice */
		{
			uint32_t at;

			assert_true(flow_find(&c[1], &f, &at));
			flow_word(at)->live.counted = 0;
			flow_word(at)->live.seen = rig_tick() - 181;
			for (uint32_t i = 0; i < rig.tuple_buckets * 4; i++)
				if (tuple_at(i)->value.raw)
					tuple_at(i)->value.active--;
		}
		segment_of(&t[1], F_SYN, ISN, ASKED | C(flow_new) | C(flow_evicted), "uncounted");
		assert_int_equal(rig.backends[K_UDP].connections_active, 2);
		check_tables("uncounted");
	}
	rig_close();
}

/* Spoofed sources against a table with live flows of both protocols. */
static inline void case_udp_flood(void **state)
{
	enum { LIVE = 20, PACKETS_ = 50000 };

	assert_int_equal(world_open(16, 256), 0);
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn udp[LIVE], tcp[LIVE], half = conn_of(v6, 999), c = query_of(v6, 0);
		struct tundish_counters before, after;
		struct packet in, out;
		struct seen_flow f;
		uint32_t x = 7;

		world_reset();
		settle();
		for (uint32_t i = 0; i < LIVE; i++) {
			udp[i] = query_of(v6, i);
			tcp[i] = conn_of(v6, 100 + i);
			live(&udp[i]);
			opened(&tcp[i]);
		}
		segment_of(&half, F_SYN, ISN, ASKED | C(flow_new), "half");
		rig_counters(&before);
		for (int i = 0; i < PACKETS_; i++) {
			x = x * 1664525 + 1013904223;
			c.s.src.word[3] = x;
			c.s.sport = (uint16_t)(1024 + i);
			rig_run(build(&in, &c.s), &out);
		}
		rig_counters(&after);
		assert_int_equal(after.flow_new - before.flow_new + after.flow_full -
					 before.flow_full + after.flow_established -
					 before.flow_established,
				 PACKETS_);
		assert_true(after.flow_evicted - before.flow_evicted > PACKETS_ / 2);
		check_tables("flood");
		give_slots_of(K_UDP, K_UDP_OTHER, true);
		give_slots(K_OTHER, true);
		for (uint32_t i = 0; i < LIVE; i++) {
			assert_int_equal(query(&udp[i], 0, "live"), K_UDP);
			assert_int_equal(segment_of(&tcp[i], F_ACK, ISN + 50, ASKED, "live"),
					 K_POOL);
		}
		assert_true(flow_find(&half, &f, NULL));
		assert_int_equal(
			segment_of(&half, F_ACK, ISN + 1, ASKED | C(flow_established), "half"),
			K_POOL);
		give_slots(K_POOL, false);
	}
	rig_close();
}

/* No place for its tuple: served, not counted, and not taken back from others. */
static inline void case_udp_tuples_full(void **state)
{
	assert_int_equal(world_open(64, 1), 0);
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c[5];
		struct seen_flow f;

		world_reset();
		settle();
		for (uint32_t i = 0; i < 5; i++) {
			c[i] = query_of(v6, i);
			c[i].s.src.word[3] = TUNDISH_BE32(0xc6336400 + i);
			query(&c[i], C(flow_new), "new");
			seen_before(&c[i], 1);
			if (i < 4)
				query(&c[i], C(flow_established), "live");
		}
		query(&c[4], C(flow_established) | C(tuple_full), "no place");
		assert_true(flow_find(&c[4], &f, NULL));
		assert_int_equal(f.v.live.state, UDP);
		assert_int_equal(f.v.live.counted, 0);
		check_tables("no place");
	}
	rig_close();
}

#define CASES_UDP_FULL                                                                             \
	cmocka_unit_test(case_udp_gives_way), cmocka_unit_test(case_udp_flood),                    \
		cmocka_unit_test(case_udp_tuples_full)

#endif
