// SPDX-License-Identifier: GPL-2.0-only
/*
 * Good packets, changed at random in every way that is easy to think of, with the frame
 * against forbidden memory at its end or at its start. What comes out is judged by
 * invariants.h. The seed is fixed: SEED=n PACKETS=n choose others.
 */
#include "native/rig_native.h"

#include "native/mutate.h"

static void test_mutations(void **state)
{
	uint32_t packets = number("PACKETS", 2000000), seen[TUNDISH_COUNTER_MAX] = {0};
	struct packet p;
	char name[64];

	dice = number("SEED", 20250101) | 1;
	assert_int_equal(world_open(16, 16), 0);
	for (uint32_t i = 0; i < packets; i++) {
		uint32_t changes = roll() % 4;

		rig_place = i & 1 ? RIG_AT_END : RIG_AT_START;
		if (i % 64 == 0)
			rig_now_ns += 1ull << (TUNDISH_TICK_SHIFT - 3 + roll() % 5);
		if (i % 5000 == 0)
			give_slots(i & 1024 ? K_OTHER : K_POOL, roll() & 1);
		if (i % 7000 == 0)
			rig_set_group(K_WORKERS, roll() % 2, 1ull << 62);
		any_packet(&p, &dice);
		while (changes--)
			mutate(&p);
		snprintf(name, sizeof(name), "packet %u", i);
		seen[check_any(name, &p, NULL)]++;
		if (i % 2000 == 0)
			check_tables(name);
	}
	check_tables("in the end");
	rig_place = RIG_AT_END;
	rig_close();
	/* a mutator that meets one exit only would show nothing */
	for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++)
		if (counter_is_exit(i) && i != TUNDISH_COUNTER_drop_internal &&
		    i != TUNDISH_COUNTER_sent_rst_full && i != TUNDISH_COUNTER_drop_full &&
		    i != TUNDISH_COUNTER_pass_local && i != TUNDISH_COUNTER_drop_no_backend &&
		    i != TUNDISH_COUNTER_drop_no_nexthop && !counter_is_nat(i) && !seen[i])
			fail_msg("no packet met %s", counter_name(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutations)};

	return cmocka_run_group_tests_name("native: mutations", tests, NULL, NULL);
}
