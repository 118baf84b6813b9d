// SPDX-License-Identifier: GPL-2.0-only
/* The ring of an hour: means and last values, times without samples, and where it wraps. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <math.h>

#include "core/history.h"

#define S 1000000000ull

static float got[TD_HISTORY_POINTS];

static void sample(struct td_history *h, uint64_t seconds, double rate, double gauge)
{
	double values[TD_HISTORY_N];

	for (size_t i = 0; i < TD_HISTORY_N; i++)
		values[i] = NAN;
	values[TD_HISTORY_connections_rate] = rate;
	values[TD_HISTORY_connections_active] = gauge;
	td_history_sample(h, seconds * S, values);
}

static void test_means_and_last(void **state)
{
	struct td_history *h = td_history_new(TD_HISTORY_OF_SERVICE);

	assert_int_equal(td_history_read(h, TD_HISTORY_connections_rate, got), 0);
	for (unsigned int i = 0; i < 10; i++) /* 0 .. 9: mean 4.5 */
		sample(h, 5000 + i, i, 100 + i);
	assert_int_equal(td_history_read(h, TD_HISTORY_connections_rate, got), 0);
	sample(h, 5010, 7, 200);
	assert_int_equal(td_history_read(h, TD_HISTORY_connections_rate, got), 1);
	assert_float_equal(got[0], 4.5, 0);
	assert_int_equal(td_history_read(h, TD_HISTORY_connections_active, got), 1);
	assert_float_equal(got[0], 109, 0);
	assert_true(td_history_end_ns(h) == 5010 * S);
	/* One that nobody could say is none, also within a point that has others. */
	assert_int_equal(td_history_read(h, TD_HISTORY_up, got), 1);
	assert_true(isnan(got[0]));
	sample(h, 5011, NAN, NAN);
	sample(h, 5020, 0, 0);
	assert_int_equal(td_history_read(h, TD_HISTORY_connections_rate, got), 2);
	assert_float_equal(got[1], 7, 0);
	assert_int_equal(td_history_read(h, TD_HISTORY_connections_active, got), 2);
	assert_float_equal(got[1], 200, 0);
	free(h);
}

static void test_time_without_samples(void **state)
{
	struct td_history *h = td_history_new(TD_HISTORY_N);

	sample(h, 109, 3, 3);
	sample(h, 141, 5, 5); /* 110 to 139: nobody */
	sample(h, 130, 9, 9); /* not after that */
	sample(h, 150, 0, 0);
	assert_int_equal(td_history_read(h, TD_HISTORY_connections_rate, got), 5);
	assert_float_equal(got[0], 3, 0);
	for (int i = 1; i < 4; i++)
		assert_true(isnan(got[i]));
	assert_float_equal(got[4], 5, 0);
	/* A year: all are without a value, and it does not take one. */
	sample(h, 150 + 31536000, 1, 1);
	assert_int_equal(td_history_read(h, TD_HISTORY_connections_rate, got), TD_HISTORY_POINTS);
	for (size_t i = 0; i < TD_HISTORY_POINTS; i++)
		assert_true(isnan(got[i]));
	assert_true(td_history_end_ns(h) == (150 + 31536000) * S);
	free(h);
}

/* An hour less, exactly and more: nothing of before is left, in each series. */
static void test_wraps(void **state)
{
	for (unsigned int n = TD_HISTORY_POINTS - 1; n <= 3 * TD_HISTORY_POINTS + 1; n++) {
		struct td_history *h = td_history_new(TD_HISTORY_OF_SERVICE);
		unsigned int left = TD_MIN(n, TD_HISTORY_POINTS);

		for (unsigned int i = 0; i <= n; i++)
			sample(h, 70 + 10 * i, i, 1000 + i);
		assert_int_equal(td_history_read(h, TD_HISTORY_connections_rate, got), left);
		for (unsigned int i = 0; i < left; i++)
			assert_float_equal(got[i], n - left + i, 0);
		assert_int_equal(td_history_read(h, TD_HISTORY_connections_active, got), left);
		for (unsigned int i = 0; i < left; i++)
			assert_float_equal(got[i], 1000 + n - left + i, 0);
		free(h);
	}
}

static void test_rounded(void **state)
{
	const double table[][2] = {
		{0, 0},		  {12345, 12300}, {12350, 12400},
		{-12345, -12300}, {999.6, 1000},  {0.012345, 0.0123},
		{1, 1},		  {1e15, 1e15},	  {1.2345e-310, 0}, /* no such number is told */
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(table); i++)
		assert_float_equal(td_history_rounded(table[i][0]), table[i][1],
				   fabs(table[i][1]) * 1e-12);
	assert_true(isnan(td_history_rounded(NAN)));
}

/* What the README says. */
static void test_memory(void **state)
{
	assert_in_range(td_history_bytes(TD_HISTORY_OF_SERVICE), 7200, 7500);
	assert_in_range(td_history_bytes(TD_HISTORY_N), 11520, 11800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_means_and_last), cmocka_unit_test(test_time_without_samples),
		cmocka_unit_test(test_wraps),	       cmocka_unit_test(test_rounded),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
