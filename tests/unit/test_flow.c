// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a flow: every state with every segment, and what time does to it.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <tundish/flow.h>

#include "lib/util.h"

#define ISN	  0xfffffffeu /* its successors wrap */
#define OTHER_ISN 0x12345678u
#define VIP	  77
#define BACKEND	  5
#define OWNER	  6 /* of the slot by now */
#define THEN	  1000
#define NOW	  1010

enum {
	S = TUNDISH_SEGMENT_SYN,
	A = TUNDISH_SEGMENT_ACK,
	F = TUNDISH_SEGMENT_FIN,
	R = TUNDISH_SEGMENT_RST,
	U = TUNDISH_SEGMENT_UDP
};
enum {
	SYN = TUNDISH_FLOW_SYN,
	EST = TUNDISH_FLOW_ESTABLISHED,
	REO = TUNDISH_FLOW_REOPEN,
	CLO = TUNDISH_FLOW_CLOSING,
	NEW = TUNDISH_FLOW_UDP_NEW,
	UDP = TUNDISH_FLOW_UDP,
	FREE = TUNDISH_FLOW_FREE
};
enum {
	ADD = TUNDISH_EFFECT_PENDING_ADD,
	SUB = TUNDISH_EFFECT_PENDING_SUB,
	OPEN = TUNDISH_EFFECT_OPENED,
	REOPEN = TUNDISH_EFFECT_REOPENED,
	CLOSED = TUNDISH_EFFECT_CLOSED,
	FREED = TUNDISH_EFFECT_FREED
};

static union tundish_flow_value flow(uint32_t state, bool counted)
{
	union tundish_flow_value v = tundish_flow_syn(VIP, BACKEND, ISN, THEN);

	if (state == SYN)
		return v;
	if (state == NEW || state == UDP) {
		v = tundish_flow_udp(VIP, BACKEND, THEN);
		v.live.state = state;
		v.live.counted = state == UDP && counted;
		return v;
	}
	if (state == REO) {
		v.syn.state = REO;
		v.syn.counted = counted;
		return v;
	}
	v = tundish_flow_as_live(v, state, TUNDISH_ISN_OF_LIVE(ISN), THEN);
	v.live.counted = counted;
	return v;
}

struct row {
	uint32_t from, segment, seq, to, effects, backend;
};

static const struct row table[] = {
	/* a SYN seen */
	{SYN, S, ISN, SYN, 0, BACKEND},				  /* again */
	{SYN, S, OTHER_ISN, SYN, 0, OWNER},			  /* another try, or another one */
	{SYN, A, ISN + 1, EST, SUB | OPEN, BACKEND},		  /* the handshake */
	{SYN, A, ISN + 2, SYN, 0, BACKEND},			  /* fits not */
	{SYN, A, ISN, SYN, 0, BACKEND},				  /* fits not */
	{SYN, A | F, ISN + 1, CLO, SUB | OPEN | CLOSED, BACKEND}, /* opened and closed at once */
	{SYN, A | F, ISN + 9, SYN, 0, BACKEND},
	{SYN, F, ISN + 1, SYN, 0, BACKEND},	     /* no ACK: no stack sends it */
	{SYN, R, ISN + 1, FREE, SUB | FREED, 0},     /* the client gave up */
	{SYN, A | R, ISN + 1, FREE, SUB | FREED, 0}, /* or refused what came back */
	/* established */
	{EST, S, ISN, EST, 0, BACKEND}, /* its own SYN, late */
	{EST, S, OTHER_ISN, REO, ADD, BACKEND},
	{EST, A, ISN + 1, EST, 0, BACKEND},
	{EST, A, OTHER_ISN, EST, 0, BACKEND},
	{EST, A | F, OTHER_ISN, CLO, CLOSED, BACKEND},
	{EST, F, OTHER_ISN, CLO, CLOSED, BACKEND},
	{EST, R, OTHER_ISN, CLO, CLOSED, BACKEND},
	{EST, A | R, OTHER_ISN, CLO, CLOSED, BACKEND},
	/* a SYN on an established flow, not believed yet; flow() makes its ISN */
	{REO, S, ISN, REO, 0, BACKEND},
	{REO, S, OTHER_ISN, REO, 0, BACKEND},
	{REO, A, ISN + 1, EST, SUB | REOPEN, BACKEND}, /* it was true */
	{REO, A, OTHER_ISN, EST, SUB, BACKEND},	       /* it was not */
	{REO, A | F, OTHER_ISN, CLO, SUB | CLOSED, BACKEND},
	{REO, R, OTHER_ISN, CLO, SUB | CLOSED, BACKEND},
	{REO, A | F, ISN + 1, CLO, SUB | REOPEN | CLOSED, BACKEND},
	/* closing */
	{CLO, S, ISN, SYN, ADD, OWNER}, /* the port is used again */
	{CLO, S, OTHER_ISN, SYN, ADD, OWNER},
	{CLO, A, ISN + 1, CLO, 0, BACKEND},
	{CLO, A | F, ISN + 1, CLO, 0, BACKEND}, /* repeated: counted once */
	{CLO, R, ISN + 1, CLO, 0, BACKEND},
	/* UDP: what comes ticks later */
	{NEW, U, 0, UDP, OPEN, BACKEND},
	{UDP, U, 0, UDP, 0, BACKEND},
};

static void test_every_state_with_every_segment(void **state)
{
	for (size_t i = 0; i < TD_ARRAY_SIZE(table); i++) {
		const struct row *t = &table[i];
		union tundish_flow_value old = flow(t->from, t->from != SYN);
		struct tundish_flow_step s = tundish_flow_next(old, t->segment, t->seq, OWNER, NOW);

		if (s.value.live.state != t->to || s.effects != t->effects ||
		    s.value.live.backend != t->backend)
			fail_msg("row %zu: state %u effects %x backend %u, expected %u %x %u", i,
				 (unsigned int)s.value.live.state, s.effects,
				 (unsigned int)s.value.live.backend, t->to, t->effects, t->backend);
		if (t->to != FREE)
			assert_int_equal(s.value.live.vip, VIP);
		else
			assert_int_equal(s.value.raw, 0);
	}
}

/* Over all sequences of six segments: counts never drift from what stands. */
static void test_counts_follow_the_states_whatever_comes(void **state)
{
	static const struct {
		uint32_t segment, seq;
	} moves[] = {{S, ISN},		 {S, OTHER_ISN}, {A, ISN + 1},
		     {A, OTHER_ISN + 1}, {A | F, 5},	 {R, 6}};
	const size_t n = TD_ARRAY_SIZE(moves);

	for (size_t word = 0; word < n * n * n * n * n * n; word++) {
		union tundish_flow_value v = tundish_flow_syn(VIP, BACKEND, ISN, THEN);
		int pending = 1, active = 0, total = 0;

		for (size_t k = 0, w = word; k < 6 && v.raw; k++, w /= n) {
			struct tundish_flow_step s = tundish_flow_next(
				v, moves[w % n].segment, moves[w % n].seq, OWNER, NOW);

			v = s.value;
			pending += !!(s.effects & ADD) - !!(s.effects & SUB);
			active += !!(s.effects & OPEN) - !!(s.effects & CLOSED);
			total += !!(s.effects & (OPEN | REOPEN));
			assert_int_equal(pending, v.raw && tundish_flow_half_open(v));
			assert_int_equal(active, v.live.state == EST || v.live.state == REO);
			assert_int_equal(!!(s.effects & FREED), !v.raw);
			assert_true(total >= active);
		}
	}
}

static void test_a_count_refused_stays_refused(void **state)
{
	struct tundish_flow_step s = tundish_flow_next(flow(SYN, false), A, ISN + 1, OWNER, NOW);

	assert_int_equal(s.value.live.counted, 1);
	s.value.live.counted = 0; /* the tuples are full */
	s = tundish_flow_next(s.value, S, OTHER_ISN, OWNER, NOW);
	assert_int_equal(s.value.live.counted, 0);
	s = tundish_flow_next(s.value, A, OTHER_ISN + 1, OWNER, NOW);
	assert_int_equal(s.value.live.counted, 0);
	assert_int_equal(s.effects, SUB | REOPEN);
}

static void test_a_packet_ends_the_watch(void **state)
{
	union tundish_flow_value v = flow(EST, true);
	struct tundish_flow_step s;

	v.live.watched = 1;
	s = tundish_flow_next(v, A, 1, OWNER, NOW);
	assert_int_equal(s.value.live.watched, 0);
	assert_int_equal(s.value.live.seen, NOW);
	assert_int_equal(s.value.live.counted, 1);
}

/* A burst, or one that another CPU wrote in the tick to come, is one packet. */
static void test_udp_counts_ticks(void **state)
{
	static const struct {
		uint32_t from, now, to, effects;
	} rows[] = {
		{NEW, THEN, NEW, 0},	     {NEW, THEN - 1, NEW, 0}, {NEW, THEN + 1, UDP, OPEN},
		{NEW, THEN + 29, UDP, OPEN}, {UDP, THEN, UDP, 0},     {UDP, THEN - 1, UDP, 0},
		{UDP, THEN + 5000, UDP, 0},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		union tundish_flow_value old = flow(rows[i].from, true);
		struct tundish_flow_step s = tundish_flow_next(old, U, 0, OWNER, rows[i].now);
		bool changes = rows[i].now > THEN;

		assert_int_equal(s.value.live.state, rows[i].to);
		assert_int_equal(s.effects, rows[i].effects);
		assert_int_equal(s.value.live.seen, changes ? rows[i].now : THEN);
		assert_int_equal(s.value.live.udp, 1);
		assert_int_equal(s.value.live.backend, BACKEND);
		if (!changes)
			assert_true(s.value.raw == old.raw);
	}
}

static const struct tundish_timeouts timeouts = {
	.syn = 60, .established = 100, .closing = 50, .udp_new = 30, .udp = 180};

static enum tundish_ageing age(uint32_t state, bool watched, uint32_t ticks)
{
	union tundish_flow_value v = flow(state, true);

	v.live.watched = watched;
	return tundish_flow_ageing(v, &timeouts, THEN + ticks);
}

static void test_ageing_at_each_edge(void **state)
{
	static const struct {
		uint32_t state;
		bool watched;
		uint32_t ticks;
		enum tundish_ageing expected;
	} edges[] = {
		{SYN, false, 0, TUNDISH_AGEING_KEEP},
		{SYN, false, 59, TUNDISH_AGEING_KEEP},
		{SYN, false, 60, TUNDISH_AGEING_REMOVE},
		{REO, false, 59, TUNDISH_AGEING_KEEP},
		{REO, false, 60, TUNDISH_AGEING_RESTORE},
		{EST, false, 49, TUNDISH_AGEING_KEEP},
		{EST, false, 50, TUNDISH_AGEING_WATCH},
		{EST, false, 5000, TUNDISH_AGEING_WATCH},
		{EST, true, 99, TUNDISH_AGEING_KEEP},
		{EST, true, 100, TUNDISH_AGEING_REMOVE},
		{CLO, false, 49, TUNDISH_AGEING_KEEP},
		{CLO, false, 50, TUNDISH_AGEING_REMOVE},
		{CLO, false, -1u, TUNDISH_AGEING_KEEP}, /* seen after the clock was read */
		{NEW, false, 29, TUNDISH_AGEING_KEEP},
		{NEW, false, 30, TUNDISH_AGEING_REMOVE},
		{UDP, false, -1u, TUNDISH_AGEING_KEEP},
		{UDP, false, 179, TUNDISH_AGEING_KEEP},
		{UDP, false, 180, TUNDISH_AGEING_REMOVE},
		{FREE, false, 5000, TUNDISH_AGEING_KEEP},
		{TUNDISH_FLOW_BUSY, false, 5000, TUNDISH_AGEING_KEEP},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(edges); i++)
		if (age(edges[i].state, edges[i].watched, edges[i].ticks) != edges[i].expected)
			fail_msg("edge %zu", i);
}

static void test_the_clock_wraps(void **state)
{
	union tundish_flow_value v = flow(EST, true);

	v.live.seen = 0xfff0;
	assert_int_equal(tundish_flow_ageing(v, &timeouts, 0x10000 + 10), TUNDISH_AGEING_KEEP);
	assert_int_equal(tundish_flow_ageing(v, &timeouts, 0x10000 + 40), TUNDISH_AGEING_WATCH);
	assert_int_equal(tundish_age(3, 126, 7), 5);
	assert_int_equal(tundish_age(126, 127, 7), 0);
	assert_int_equal(tundish_age(127, 0x10000, 16), 127);
	assert_int_equal(tundish_age(0xffff, 0x10000, 16), 0);
	assert_int_equal(tundish_tick(1ull << 30), 1);
}

/* The words of the layout, as README.md says and bpftool prints them. */
static void test_the_two_views_of_a_value_agree(void **state)
{
	union tundish_flow_value v = {.raw = 0};

	v.syn.backend = 0x1ffff;
	v.syn.vip = 0x3fff;
	v.syn.state = 7;
	v.syn.watched = 1;
	v.syn.counted = 1;
	v.syn.udp = 1;
	assert_int_equal(v.live.backend, 0x1ffff);
	assert_int_equal(v.live.vip, 0x3fff);
	assert_int_equal(v.live.state, 7);
	assert_int_equal(v.live.isn_low, 0);
	assert_int_equal(v.live.udp, 1);
	assert_true(v.raw == (1ull << 37) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_state_with_every_segment),
		cmocka_unit_test(test_counts_follow_the_states_whatever_comes),
		cmocka_unit_test(test_a_count_refused_stays_refused),
		cmocka_unit_test(test_a_packet_ends_the_watch),
		cmocka_unit_test(test_udp_counts_ticks),
		cmocka_unit_test(test_ageing_at_each_edge),
		cmocka_unit_test(test_the_clock_wraps),
		cmocka_unit_test(test_the_two_views_of_a_value_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
