/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tracing twin: says what the data path then does, and leaves no mark.
 */
#ifndef TESTS_CASES_TRACE_H
#define TESTS_CASES_TRACE_H

#include "bpf/cases_flow.h"
#include "bpf/cases_hostile.h"

/* A packet of any kind, whole or broken, of known flows and of unknown ones. */
static inline void any_packet(struct packet *p, uint32_t *dice)
{
	static const uint8_t flags[] = {F_SYN, F_ACK, F_ACK,	     F_FIN | F_ACK,
					F_RST, F_SYN, F_ACK | F_PSH, F_SYN | F_FIN};
	struct conn c;
	uint32_t x = *dice;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	*dice = x;
	if (x >> 5 & 3) {
		c = conn_of(x & 1, x >> 1 & 7);
		c.s.flags = flags[x >> 8 & 7];
		c.s.seq = (x >> 12 & 1) * 1000 + (x >> 14 & 1);
		if ((x >> 15 & 3) == 3) {
			c.s.protocol = P_UDP;
			c.s.dport = port_of(x >> 17 & 3 ? K_UDP : K_UDP_BARE);
		}
		build(p, &c.s);
		return;
	}
	sample((x >> 8) % SAMPLES, p);
	if (x & 1)
		p->data[(x >> 16) % p->len] ^= (uint8_t)(1u << (x >> 1 & 7));
}

static inline void case_trace(void **state)
{
	uint32_t dice = 4711, differ = 0, from_flow = 0;

	world_reset();
	for (int i = 0; i < 3000; i++) {
		struct tundish_traffic before[K_MAX];
		struct tundish_trace t;
		uint8_t *a = NULL, *b = NULL;
		size_t n = 0, m = 0;
		struct packet in;
		uint32_t end;
		int traced, r;

		if (i % 500 == 499)
			give_slots(i % 1000 == 499 ? K_OTHER : K_POOL, true);
		if (i == 2000)
			rig.backends[K_OTHER].state = TUNDISH_BACKEND_DISABLED;
		any_packet(&in, &dice);
		if (i % 25 == 0)
			a = rig_snapshot(&n);
		traced = rig_trace(&in, &t);
		if (a) {
			b = rig_snapshot(&m);
			if (n != m || memcmp(a, b, n)) {
				packet_print("in", &in);
				fail_msg("packet %d: tracing left a mark", i);
			}
		}
		free(a);
		free(b);
		for (uint32_t k = 1; k < K_MAX; k++)
			before[k] = rig_traffic(k);
		end = check_any("traced", &in, &r);
		if (traced != r || (int)t.action != r || t.counter != end) {
			packet_print("in", &in);
			fail_msg("packet %d: the twin says %s (%s), the data path %s (%s)", i,
				 action_name(traced), counter_name(t.counter), action_name(r),
				 counter_name(end));
		}
		if (t.n_steps > TUNDISH_TRACE_STEPS_MAX)
			fail_msg("packet %d: %u steps", i, t.n_steps);
		for (uint32_t k = 1; k < K_MAX; k++) {
			if (rig_traffic(k).packets == before[k].packets)
				continue;
			if (t.backend != k) {
				packet_print("in", &in);
				fail_msg(
					"packet %d: the twin says backend %u, the data path took %u",
					i, t.backend, k);
			}
			differ += k == K_OTHER;
			from_flow += t.from_flow;
		}
	}
	/* or nothing was shown */
	assert_true(differ > 50 && from_flow > 50);
	world_reset();
}

/* The steps tell the way: VIP, service, slot, owner, flow, backend, next hop, MTU. */
static inline void case_trace_steps(void **state)
{
	struct conn c = conn_of(0, 1);
	struct tundish_trace t;
	struct packet in;
	bool told[64] = {false};

	world_reset();
	opened(&c);
	give_slots(K_OTHER, true);
	c.s.flags = F_ACK;
	c.s.tags = 1;
	assert_int_equal(rig_trace(build(&in, &c.s), &t), XDP_TX);
	assert_int_equal(t.service, K_POOL);
	assert_int_equal(t.backend, K_POOL);
	assert_int_equal(t.from_flow, 1);
	assert_int_equal(t.counter, TUNDISH_COUNTER_sent_dsr);
	for (uint32_t i = 0; i < t.n_steps; i++) {
		told[t.steps[i].step] = true;
		if (t.steps[i].step == TUNDISH_STEP_owner)
			assert_int_equal(t.steps[i].argument, K_OTHER);
		if (t.steps[i].step == TUNDISH_STEP_flow_backend)
			assert_int_equal(t.steps[i].argument, K_POOL);
		if (t.steps[i].step == TUNDISH_STEP_flow_hit)
			assert_int_equal(t.steps[i].argument, TUNDISH_FLOW_ESTABLISHED);
		if (t.steps[i].step == TUNDISH_STEP_slot)
			assert_int_equal(t.steps[i].argument, slot_of(&c.s));
	}
	assert_true(told[TUNDISH_STEP_vlan] && told[TUNDISH_STEP_vip] &&
		    told[TUNDISH_STEP_service]);
	assert_true(told[TUNDISH_STEP_slot] && told[TUNDISH_STEP_owner] &&
		    told[TUNDISH_STEP_flow_backend]);
	assert_true(told[TUNDISH_STEP_nexthop] && told[TUNDISH_STEP_mtu]);
	if (!told[TUNDISH_STEP_flow_hit])
		fail_msg("the step flow_hit is never told");
	world_reset();
}

#define CASES_TRACE cmocka_unit_test(case_trace), cmocka_unit_test(case_trace_steps)

#endif
