// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translated connections under a fuzzer: an input is a small program of packets near to
 * those of real connections, from either side, some of them changed, and of what happens
 * meanwhile: time passes, a backend goes, options are wanted. Each packet is judged on its
 * way out, the tables in the end (tests/native/nat_judge.h).
 */
#include "native/rig_native.h"

#include "fuzz/input.h"
#include "native/nat_judge.h"

static struct input input;

static uint32_t draw_input(void)
{
	uint32_t high = word_of(&input);

	return high << 16 | word_of(&input);
}

/* As nat_reset(), of what can have changed. */
static void forget_all(void)
{
	nat_reset();
	memset(rig_value(M_LANE_CURSOR, 0, 0), 0, RIG_LANES * sizeof(struct tundish_lane_cursor));
	memset(rig.returns, 0, TUNDISH_NAT_HOPS * sizeof(*rig.returns));
	while (rig_n_hashed && rig_hashed[rig_n_hashed - 1].map == &return_ids)
		rig_n_hashed--;
	near_partial(false);
	rig_now_ns = 1000000ull << TUNDISH_TICK_SHIFT;
	rig_place = RIG_AT_END;
	rig_fib_result = BPF_FIB_LKUP_RET_NO_NEIGH;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct packet p;
	static bool open;
	bool partial = false;

	if (!open) {
		if (world_open(4, 2) < 0)
			abort();
		draw = draw_input;
		judge_world();
		near_partial(false); /* its place in the table is before all ways */
		forget_all();
		open = true;
	}
	input = (struct input){data, size};
	if (byte_of(&input) & 1)
		rig_place = RIG_AT_START;
	for (int i = 0; input.left && i < 200; i++) {
		uint32_t op = byte_of(&input), linear = 0;

		switch (op % 16) {
		case 0:
			rig_now_ns += (uint64_t)word_of(&input) << (TUNDISH_TICK_SHIFT - 8);
			continue;
		case 1: near_change(); continue;
		case 2:
			partial = op & 16;
			near_partial(partial);
			continue;
		case 3: linear = 34 + byte_of(&input) % 100; break;
		default: break;
		}
		near_packet(&p);
		if (op & 64)
			change(&input, &p);
		if (op & 128)
			set_check(&p);
		judge("fuzzed", &p, linear, partial, NULL);
	}
	judge_tables("fuzzed");
	forget_all();
	return 0;
}
