// SPDX-License-Identifier: GPL-2.0-only
/*
 * Places that are kept for handshakes: a count that forgets within two ticks. Held against a
 * list of what was kept and when, over random sequences.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <tundish/choice.h>

#include "lib/util.h"

static void test_forgets(void **state)
{
	uint64_t w = 0;

	for (int i = 0; i < 3; i++)
		w = tundish_opening_more(w, 100);
	assert_int_equal(tundish_opening_count(w, 100), 3);
	assert_int_equal(tundish_opening_count(w, 101), 3);
	w = tundish_opening_more(w, 101);
	assert_int_equal(tundish_opening_count(w, 101), 4);
	assert_int_equal(tundish_opening_count(w, 102), 1);
	assert_int_equal(tundish_opening_count(w, 103), 0);
	assert_int_equal(tundish_opening_count(w, 100), 4); /* a clock that is a little behind */
}

static void test_bounds(void **state)
{
	uint64_t w = 7ull << 32 | TUNDISH_OPENING_MAX;

	assert_int_equal(tundish_opening_more(w, 7), w);
	assert_int_equal(tundish_opening_count(tundish_opening_more(w, 8), 8),
			 TUNDISH_OPENING_MAX + 1);
	assert_int_equal(tundish_opening_count(tundish_opening_less(0, 7), 7), 0);
	/* around the end of the clock */
	w = tundish_opening_more((uint64_t)UINT32_MAX << 32, UINT32_MAX);
	assert_int_equal(tundish_opening_count(w, 0), 1);
	assert_int_equal(tundish_opening_count(w, 1), 0);
}

static void test_against_a_list(void **state)
{
	uint32_t dice = 1, kept[2] = {0}, tick = 1000;
	uint64_t w = 0;

	for (int i = 0; i < 200000; i++) {
		dice = dice * 1664525 + 1013904223;
		switch (dice >> 29) {
		case 0:
			tick += 1 + (dice >> 20 & 3) / 3; /* by two now and then */
			kept[1] = dice >> 20 & 2 && (dice >> 20 & 3) / 3 ? 0 : kept[0];
			kept[0] = 0;
			break;
		case 1:
		case 2:
			w = tundish_opening_less(w, tick);
			if (kept[0])
				kept[0]--;
			else if (kept[1])
				kept[1]--;
			break;
		default: w = tundish_opening_more(w, tick); kept[0]++;
		}
		assert_int_equal(tundish_opening_count(w, tick), kept[0] + kept[1]);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint32_t seconds;
	} rows[] = {
		{"0", 0, 0},
		{"90", 0, 90},
		{"90s", 0, 90},
		{"5m", 0, 300},
		{"1h", 0, 3600},
		{"500ms", 0, 1},
		{"1001ms", 0, 2},
		{"", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
		{"5x", -EINVAL, 0},
		{"5 s", -EINVAL, 0},
		{"1.5s", -EINVAL, 0},
		{"5ss", -EINVAL, 0},
		{"9999999999", -EINVAL, 0},
		{"999999999h", -ERANGE, 0},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		uint32_t seconds = 0;

		assert_int_equal(td_read_seconds(rows[i].text, &seconds), rows[i].r);
		assert_int_equal(seconds, rows[i].seconds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forgets),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_against_a_list),
		cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests_name("choice", tests, NULL, NULL);
}
