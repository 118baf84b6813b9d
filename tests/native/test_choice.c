// SPDX-License-Identifier: GPL-2.0-only
/*
 * Services that choose, without a kernel; and good packets to one of them, changed at random,
 * where the table is small, backends come and go, limits change, and the service chooses or
 * leaves it to the slots: the counts stay those of the flows. SEED=n PACKETS=n choose others.
 */
#include "native/rig_native.h"

#include "bpf/cases_choice.h"
#include "native/mutate.h"

/* A segment of one of few connections, mostly one that belongs to its life. */
static void one_packet(struct packet *p)
{
	static const uint8_t flags[] = {F_SYN, F_SYN, F_ACK, F_ACK, F_ACK, F_FIN | F_ACK, F_RST};
	struct conn c = choice_conn(roll() >> 9 & 1, roll() >> 8 & 63);

	c.s.flags = flags[(roll() >> 8) % sizeof(flags)];
	c.s.seq = 1000u + (roll() >> 12) % 3 * 500 + (c.s.flags != F_SYN);
	build(p, &c.s);
}

static void change(void)
{
	struct tundish_backend *b = &rig.backends[CHOICE(roll() >> 8 & 3)];

	switch (roll() >> 10 & 3) {
	case 0: b->state = roll() >> 9 & 1 ? TUNDISH_BACKEND_DRAIN : TUNDISH_BACKEND_UP; break;
	case 1: b->max_connections = (roll() >> 9) % 12; break;
	case 2: rig.deliveries[K_POOL].flags ^= TUNDISH_DELIVER_LEAST; break;
	default:
		for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++) /* asks, as the daemon has it */
			*slot_word(K_POOL, i) =
				(*slot_word(K_POOL, i) ^ TUNDISH_SLOT_CHOOSE) | TUNDISH_SLOT_ASK;
	}
}

static void test_choice_mutations(void **state)
{
	static const uint16_t weights[] = {100, 50, 0 + 1, 200};
	uint32_t packets = number("PACKETS", 200000), mutated = 0;
	struct tundish_counters n;
	struct packet p, out;
	char name[64];

	dice = number("SEED", 20260801) | 1;
	assert_int_equal(world_open(16, 64), 0);
	choice_world(K_POOL, 4, weights, 10, TUNDISH_DELIVER_LEAST);
	for (uint32_t i = 0; i < packets; i++) {
		rig_place = i & 1 ? RIG_AT_END : RIG_AT_START;
		if (i % 64 == 0)
			rig_now_ns += 1ull << (TUNDISH_TICK_SHIFT - 3 + roll() % 5);
		if (i % 997 == 0)
			change();
		one_packet(&p);
		if (!(roll() >> 8 & 7)) {
			mutate(&p);
			mutated++;
		}
		rig_run(&p, &out);
		snprintf(name, sizeof(name), "packet %u", i);
		if (i % 500 == 0)
			check_tables(name);
	}
	check_tables("in the end");
	rig_counters(&n);
	/* else it would show nothing */
	assert_true(n.overflow > 100 && n.sent_rst_full > 100 && n.flow_established > 1000 &&
		    mutated > 1000);
	rig_place = RIG_AT_END;
	rig_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {CASES_CHOICE}, full[] = {CASES_CHOICE_FULL},
				mutations[] = {cmocka_unit_test(test_choice_mutations)};
	int r;

	if (world_open(256, 256) < 0)
		return 1;
	r = cmocka_run_group_tests_name("native: choice", tests, NULL, NULL);
	rig_close();
	if (world_open(16, 256) < 0)
		return 1;
	r += cmocka_run_group_tests_name("native: choice, full table", full, NULL, NULL);
	rig_close();
	return r + cmocka_run_group_tests_name("native: choice, mutations", mutations, NULL, NULL);
}
