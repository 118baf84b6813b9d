// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arithmetic of egress.h, which the programs and the daemon share: TIME_WAITs by when
 * they began, held against a plain model; and what an aging scan still says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <tundish/egress.h>

#include "lib/util.h"

#define SECOND 1000000000ull

static uint64_t state = 88172645463325252ull;

static uint64_t random64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Never fewer than there are, never more than those of 64.4 s; certain ones are there. */
static void time_waits(void **unused)
{
	for (int round = 0; round < 200; round++) {
		uint64_t began[400],
			now = (1 + random64() % 1000000) * SECOND + random64() % SECOND;
		struct tundish_ports p = {0};
		size_t n = 0;

		for (int i = 0; i < 400; i++) {
			uint32_t alive = 0, most = 0, counted, certain;

			/* Bursts, and pauses in which all of them end. */
			now += random64() % 50 ? random64() % SECOND : random64() % (90 * SECOND);
			tundish_tw_enter(&p, now);
			began[n++] = now;
			for (size_t k = 0; k < n; k++) {
				alive += now - began[k] < 60 * SECOND;
				most += now - began[k] < 65 * SECOND;
			}
			counted = tundish_tw_within(&p, now, TUNDISH_TW_SPAN);
			certain = tundish_tw_within(&p, now, tundish_tw_certain_span(now));
			assert_int_equal(counted, tundish_tw_count(&p, now));
			assert_in_range(counted, alive, most);
			assert_in_range(certain, 1, alive);
		}
	}
}

/* The slot at the border: certain until 59.9 s after the slot began, to the nanosecond. */
static void certain_ends(void **unused)
{
	const uint64_t start = 1000ull << TUNDISH_TW_SHIFT, end = start + 59900000000ull;
	struct tundish_ports p = {0};

	tundish_tw_enter(&p, start);
	assert_int_equal(tundish_tw_within(&p, end, tundish_tw_certain_span(end)), 1);
	assert_int_equal(tundish_tw_within(&p, end + 1, tundish_tw_certain_span(end + 1)), 0);
	assert_int_equal(tundish_tw_within(&p, start + 64 * SECOND, TUNDISH_TW_SPAN), 1);
	assert_int_equal(tundish_tw_within(&p, start + 65 * SECOND, TUNDISH_TW_SPAN), 0);
}

static void scans_age(void **unused)
{
	const struct tundish_port_count c = {
		.scan = 3,
		.state = {1, 2, 3, 4, 100},
		.leaving = {10, 20, 30, 0, 40, 0},
	};

	assert_int_equal(tundish_port_counted(&c, tundish_leaving_steps(0)), 110);
	assert_int_equal(tundish_port_counted(&c, tundish_leaving_steps(10 * SECOND - 1)), 110);
	assert_int_equal(tundish_port_counted(&c, tundish_leaving_steps(10 * SECOND)), 100);
	assert_int_equal(tundish_port_counted(&c, tundish_leaving_steps(45 * SECOND)), 50);
	assert_int_equal(tundish_port_counted(&c, tundish_leaving_steps(59 * SECOND)), 10);
	assert_int_equal(tundish_leaving_steps(60 * SECOND), TUNDISH_LEAVING_STEPS);
	assert_int_equal(tundish_leaving_steps(UINT64_MAX), TUNDISH_LEAVING_STEPS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_waits),
		cmocka_unit_test(certain_ends),
		cmocka_unit_test(scans_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
