// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets of translated connections, of every kind and from either side, changed at random,
 * with the frame against forbidden memory at its end or at its start, or in two parts. What
 * comes out and what is left behind is judged by nat_judge.h. The seed is fixed: SEED=n
 * PACKETS=n choose others.
 */
#include "native/rig_native.h"

#include "native/mutate.h"
#include "native/nat_judge.h"

/* Tracing says what will be, where nothing is chosen, and leaves no mark. */
static void trace_like(const char *name, const struct packet *in, uint32_t *ret_counter)
{
	struct tundish_trace t;
	uint8_t *before, *after;
	size_t n, m;
	uint32_t hashed = rig_n_hashed;

	before = rig_snapshot(&n);
	rig_trace(in, &t);
	after = rig_snapshot(&m);
	if (n != m || memcmp(before, after, n) || hashed != rig_n_hashed) {
		packet_print("in", in);
		fail_msg("%s: tracing left a mark", name);
	}
	free(before);
	free(after);
	*ret_counter = t.from_flow ? t.counter : TUNDISH_COUNTER_MAX;
}

static void test_nat_mutations(void **state)
{
	uint32_t packets = number("PACKETS", 1000000), seen[TUNDISH_COUNTER_MAX] = {0};
	bool partial = false;
	struct packet p;
	char name[64];

	dice = number("SEED", 20251122) | 1;
	draw = roll;
	assert_int_equal(world_open(16, 16), 0);
	judge_world();
	for (uint32_t i = 0; i < packets; i++) {
		uint32_t changes = roll() % 3 ? 0 : 1 + roll() % 3, told = TUNDISH_COUNTER_MAX, end;

		snprintf(name, sizeof(name), "packet %u", i);
		rig_place = i & 1 ? RIG_AT_END : RIG_AT_START;
		if (i % 64 == 0)
			rig_now_ns += 1ull << (TUNDISH_TICK_SHIFT - 3 + roll() % 6);
		if (i % 1000 == 0)
			near_change();
		if (i % 50000 == 0) {
			judge_tables(name);
			nat_reset();
			partial = i / 50000 % 4 == 3;
			near_partial(partial);
		}
		near_packet(&p);
		if (changes) {
			while (changes--)
				mutate(&p);
			if (roll() & 1)
				set_check(&p);
		}
		if (i % 1009 == 0 && p.len)
			trace_like(name, &p, &told);
		end = judge(name, &p, i % 1009 && !(roll() % 8) ? 34 + roll() % 80 : 0, partial,
			    seen);
		if (told != TUNDISH_COUNTER_MAX && told != end)
			fail_msg("%s: traced as %s, was %s", name, counter_name(told),
				 counter_name(end));
		if (i % 499 == 0)
			judge_tables(name);
	}
	judge_tables("in the end");
	rig_place = RIG_AT_END;
	rig_close();
	for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++)
		if (counter_is_nat(i) && !seen[i])
			fail_msg("no packet met %s", counter_name(i));
}

/* A flow of a service that does not translate has a tuple too, which is no record's; one of
 * a VIP that translates is. */
static void test_flows_beside(void **state)
{
	struct spec s = {.src = CLIENT4,
			 .dst = VIP4,
			 .sport = 40000,
			 .dport = port_of(K_UDP),
			 .protocol = P_UDP,
			 .payload = 10};
	struct tundish_tuple *t = NULL;
	struct packet in, out;
	uint64_t now = rig_now_ns;

	assert_int_equal(world_open(16, 16), 0);
	judge_world();
	build(&in, &s);
	for (int i = 0; i < 2; i++) { /* it counts from its second tick on */
		rig_run(&in, &out);
		rig_now_ns += 2ull << TUNDISH_TICK_SHIFT;
	}
	for (uint32_t i = 0; i < rig.tuple_buckets * 4; i++)
		if (tuple_at(i)->value.active)
			t = tuple_at(i);
	assert_non_null(t);
	assert_int_equal(t->vip, ID_VIP4 | TUNDISH_TUPLE_UDP);
	judge_tables("a flow beside");
	t->vip = ID_NATVIP4 | TUNDISH_TUPLE_UDP;
	assert_non_null(nat_tables_wrong());
	rig_now_ns = now; /* a seed's packets stay what they were */
	rig_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_flows_beside),
					   cmocka_unit_test(test_nat_mutations)};

	return cmocka_run_group_tests_name("native: mutations of translated packets", tests, NULL,
					   NULL);
}
