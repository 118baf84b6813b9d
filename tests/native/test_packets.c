// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables of tests/bpf and what only this machine's build can show: each is run with
 * the frame's end against forbidden memory, so that a byte read too far is seen.
 */
#include "native/rig_native.h"

#include "bpf/cases_flow.h"
#include "bpf/cases_quic.h"
#include "bpf/cases_hostile.h"
#include "bpf/cases_trace.h"

/* Where the daemon has not filled the next hop in, the route table is asked. */
static void case_fib(void **state)
{
	struct way_out w = way_of(K_UNKNOWN);
	struct packet in, want;

	rig_fib_result = 0;
	memcpy(rig_fib.dmac, w.dmac, 6);
	memcpy(rig_fib.smac, w.smac, 6);
	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = data_of(v6, port_of(K_UNKNOWN));

		build(&in, &s);
		sent(&want, &in, &w);
		rig_fib.mtu_result = 1500;
		rig_fib.ifindex = RIG_INGRESS;
		expect_fresh("route table, same NIC", &in, XDP_TX, &want,
			     C(fib_lookup) | C(sent_dsr));
		assert_int_equal(rig_fib_asked.ifindex, RIG_INGRESS);
		assert_int_equal(rig_fib_asked.ipv4_dst, BACKEND4.word[3]);
		rig_fib.ifindex = 9;
		expect_fresh("route table, another NIC", &in, XDP_REDIRECT, &want,
			     C(fib_lookup) | C(sent_dsr));
		assert_int_equal(rig_redirected, 9);
		rig_fib.mtu_result = v6 ? 159 : 139;
		too_big(&want, &in, rig_fib.mtu_result);
		expect_fresh("route table's MTU", &in, XDP_TX, &want,
			     C(fib_lookup) | C(sent_icmp_too_big));
	}
	for (rig_fib_result = -22; rig_fib_result < 10; rig_fib_result++) {
		if (rig_fib_result)
			expect_fresh("no route", &in, XDP_DROP, NULL,
				     C(fib_lookup) | C(drop_no_nexthop));
	}
	rig_fib_result = BPF_FIB_LKUP_RET_NO_NEIGH;
}

static void case_redirect_target(void **state)
{
	struct spec s = data4(port_of(K_IPIP4));
	struct packet in, out;

	rig_redirected = 0;
	assert_int_equal(rig_run(build(&in, &s), &out), XDP_REDIRECT);
	assert_int_equal(rig_redirected, 7);
}

/* Headers anywhere behind the linear part of a frame: read by copy, or refused, but never
 * misread. What comes out is the same as from a frame in one piece, or nothing does. */
static void case_split(void **state)
{
	struct packet whole, out, one;
	uint32_t refused = 0;

	for (uint32_t i = 0; i < SAMPLES; i++) {
		uint32_t headers = sample(i, &whole);
		int r;

		world_reset();
		r = rig_run(&whole, &one);
		for (uint32_t linear = 14; linear < headers + 50 && linear < whole.len; linear++) {
			struct tundish_counters before;
			int s;

			world_reset();
			rig_counters(&before);
			s = rig_run_split(&whole, &out, linear);
			if (s == XDP_DROP || (s == XDP_PASS && out.len == whole.len &&
					      !memcmp(out.data, whole.data, out.len))) {
				refused++;
				/* the ports are read by copy: once the IP header is linear nothing is refused */
				if (r != s && linear >= 14 + 8 + 128 + 60)
					fail_msg("sample %u split at %u: %s", i, linear,
						 action_name(s));
				continue;
			}
			if (s != r || out.len != one.len || memcmp(out.data, one.data, out.len))
				fail_msg("sample %u split at %u: %s", i, linear, action_name(s));
		}
	}
	assert_true(refused > 0);
	world_reset();
}

/* No room in front of the frame: what needs some is dropped and counted so. */
static void case_no_headroom(void **state)
{
	struct packet in, out;

	rig_place = RIG_AT_START;
	for (int v6 = 0; v6 < 2; v6++) {
		for (enum kind k = K_DSR; k <= K_VLAN_IPIP; k++) {
			struct spec s = data_of(v6, port_of(k));
			struct way_out w = way_of(k);

			if (k == K_WORKERS)
				continue;
			build(&in, &s);
			if (k == K_DSR)
				expect_fresh("needs no room", &in, XDP_TX, sent(&out, &in, &w),
					     C(sent_dsr));
			else
				expect_fresh("no headroom", &in, XDP_DROP, NULL, C(drop_headroom));
		}
		struct spec s = data_of(v6, port_of(K_NARROW));

		s.payload = 1400;
		expect_fresh("no headroom for ICMP", build(&in, &s), XDP_DROP, NULL,
			     C(drop_headroom));
	}
	case_changed(state);
	case_cut(state);
	rig_place = RIG_AT_END;
}

int main(void)
{
	const struct CMUnitTest tests[] = {CASES_DELIVER,
					   CASES_ODD,
					   CASES_ICMP,
					   CASES_TUNNEL,
					   CASES_GUE,
					   CASES_HOSTILE,
					   cmocka_unit_test(case_fib),
					   cmocka_unit_test(case_redirect_target),
					   cmocka_unit_test(case_split),
					   cmocka_unit_test(case_no_headroom)};
	const struct CMUnitTest flows[] = {CASES_FLOW, CASES_UDP, CASES_FRAGMENT, CASES_QUIC,
					   CASES_TRACE},
				full[] = {CASES_FULL, CASES_UDP_FULL};
	int r;

	if (world_open(256, 256) < 0)
		return 1;
	r = cmocka_run_group_tests_name("native: packets", tests, NULL, NULL);
	r += cmocka_run_group_tests_name("native: flows", flows, NULL, NULL);
	rig_close();
	return r + cmocka_run_group_tests_name("native: full tables", full, NULL, NULL);
}
