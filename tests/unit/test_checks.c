// SPDX-License-Identifier: GPL-2.0-only
/*
 * One backend's checks against a plain model of the rules, over random results and times; the
 * edges one by one; and the words of agents.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "core/checks.h"
#include "random.h"

#define S 1000000000ull

#define GOOD	TD_CHECK_GOOD
#define BAD	TD_CHECK_BAD
#define REFUSED TD_CHECK_REFUSED

static const struct td_check_rules rules = {
	.rise = 2, .fall = 3, .hold_down_ns = 15 * S, .slow_start_ns = 30 * S};

static void test_first_is_trusted(void **state)
{
	struct td_check_state a = {0}, b = {0};

	assert_true(td_check_take(&a, &rules, GOOD, S));
	assert_false(a.down);
	assert_int_equal(td_check_share(&a, &rules, S), 100); /* no slow start */
	assert_true(td_check_take(&b, &rules, BAD, S));
	assert_true(b.down);
	assert_int_equal(b.since_ns, S);
}

static void test_fall(void **state)
{
	struct td_check_state s = {0};

	td_check_take(&s, &rules, GOOD, S);
	assert_false(td_check_take(&s, &rules, BAD, 2 * S));
	assert_false(td_check_take(&s, &rules, BAD, 3 * S));
	assert_false(td_check_take(&s, &rules, GOOD, 4 * S)); /* begins anew */
	assert_false(td_check_take(&s, &rules, BAD, 5 * S));
	assert_false(td_check_take(&s, &rules, BAD, 6 * S));
	assert_true(td_check_take(&s, &rules, BAD, 7 * S));
	assert_true(s.down);
}

static void test_refused_at_once(void **state)
{
	struct td_check_state s = {0};

	td_check_take(&s, &rules, GOOD, S);
	assert_true(td_check_take(&s, &rules, REFUSED, 2 * S));
	assert_true(s.down);
	assert_false(td_check_take(&s, &rules, REFUSED, 3 * S)); /* nothing new */
	assert_int_equal(s.since_ns, 2 * S);
}

static void test_hold_down(void **state)
{
	struct td_check_state s = {0};

	td_check_take(&s, &rules, BAD, 10 * S);
	for (unsigned int i = 1; i < 15; i++)
		assert_false(td_check_take(&s, &rules, GOOD, (10 + i) * S));
	assert_true(td_check_take(&s, &rules, GOOD, 25 * S));
	assert_false(s.down);
}

static void test_slow_start(void **state)
{
	struct td_check_state s = {0};
	struct td_check_rules odd = rules;
	uint64_t now = 30 * S, next;
	unsigned int former = 0, steps = 0;

	td_check_take(&s, &rules, BAD, S);
	td_check_take(&s, &rules, GOOD, 20 * S);
	assert_true(td_check_take(&s, &rules, GOOD, now));
	/* In ten steps of ten, each at its time and none before. */
	while ((next = td_check_share_changes(&s, &rules, now))) {
		unsigned int share = td_check_share(&s, &rules, now);

		assert_int_equal(share, 5 + 10 * steps);
		assert_true(share > former);
		assert_true(next > now && next <= now + 3 * S + 1);
		assert_int_equal(td_check_share(&s, &rules, next - 1), share);
		former = share;
		now = next;
		steps++;
	}
	assert_int_equal(steps, 10);
	assert_int_equal(now, 60 * S);
	assert_int_equal(td_check_share(&s, &rules, now), 100);
	/* A tenth that is no whole number is over by then. */
	odd.slow_start_ns += 7;
	s = (struct td_check_state){0};
	td_check_resume(&s, false, 30 * S, true);
	next = td_check_share_changes(&s, &odd, 30 * S);
	assert_int_equal(td_check_share(&s, &odd, next), 15);
	/* Down in the middle: nothing of it is left. */
	s = (struct td_check_state){0};
	td_check_resume(&s, false, 30 * S, true);
	assert_int_equal(td_check_share(&s, &rules, 45 * S), 55);
	td_check_take(&s, &rules, REFUSED, 46 * S);
	assert_int_equal(td_check_share(&s, &rules, 46 * S), 100);
	assert_int_equal(td_check_share_changes(&s, &rules, 46 * S), 0);
}

static void test_resume(void **state)
{
	struct td_check_state s = {0};

	td_check_resume(&s, true, 5 * S, false);
	assert_false(td_check_take(&s, &rules, GOOD, 19 * S)); /* hold_down goes on */
	assert_true(td_check_take(&s, &rules, GOOD, 20 * S));
	td_check_resume(&s, false, 5 * S, false);
	assert_false(td_check_take(&s, &rules, BAD, 19 * S)); /* known, so not trusted at once */
	assert_int_equal(td_check_share(&s, &rules, 19 * S), 100);
}

/* The rules over the whole history, looked at anew for each result. */
static bool model_down(const struct td_check_rules *r, const enum td_check_outcome *o,
		       const uint64_t *at, size_t n)
{
	bool down = o[0] != GOOD;
	uint64_t since = at[0];
	size_t begin = 1; /* results before it are of former verdicts */

	for (size_t i = 1; i < n; i++) {
		size_t row = 0;

		for (size_t k = i + 1; k > begin && (o[k - 1] == GOOD) == down; k--)
			row++;
		if (down ? row >= r->rise && at[i] - since >= r->hold_down_ns
			 : row >= r->fall || (row && o[i] == REFUSED)) {
			down = !down;
			since = at[i];
			begin = i + 1;
		}
	}
	return down;
}

static void test_against_model(void **state)
{
	unsigned int changes = 0;

	for (unsigned int round = 0; round < 2000; round++) {
		struct td_check_rules r = {
			.rise = (uint16_t)(1 + random_below(4)),
			.fall = (uint16_t)(1 + random_below(4)),
			.hold_down_ns = random_below(3) * 5 * S,
			.slow_start_ns = random_below(2) * 10 * S,
		};
		struct td_check_state s = {0}, kept;
		enum td_check_outcome o[60];
		uint64_t at[60], now = 1;
		unsigned int bias = random_below(4);

		for (size_t i = 0; i < 60; i++) {
			bool before = s.down, known = s.known, changed;

			now += 1 + random_below(3000) * (S / 1000);
			at[i] = now;
			o[i] = random_below(4) <= bias ? GOOD : random_below(5) ? BAD : REFUSED;
			changed = td_check_take(&s, &r, o[i], now);
			assert_int_equal(s.down, model_down(&r, o, at, i + 1));
			assert_int_equal(changed, !known || s.down != before);
			changes += changed && known;
			/* A share is never over its weight, never nothing, and only warming
			 * ones have less. */
			assert_in_range(td_check_share(&s, &r, now), 5, 100);
			if (!s.warm_ns)
				assert_int_equal(td_check_share(&s, &r, now), 100);
			/* A daemon that begins with what this one knows thinks the same. */
			kept = (struct td_check_state){0};
			td_check_resume(&kept, s.down, s.since_ns, s.warm_ns);
			assert_int_equal(td_check_share(&kept, &r, now),
					 td_check_share(&s, &r, now));
		}
	}
	assert_true(changes > 5000);
}

static void test_waits(void **state)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (unsigned int i = 0; i < 10000; i++) {
		uint64_t wait = td_check_wait(2 * S, random_below(UINT32_MAX));

		least = TD_MIN(least, wait);
		most = TD_MAX(most, wait);
		assert_true(td_check_first_wait(2 * S, random_below(UINT32_MAX)) <= S);
		assert_true(td_check_first_wait(S / 10, random_below(UINT32_MAX)) <= S / 10);
	}
	assert_in_range(most, 2 * S * 99 / 100, 2 * S);
	assert_in_range(least, 2 * S * 95 / 100, 2 * S * 96 / 100);
	assert_int_equal(td_check_wait(1, 77), 1); /* nothing to shorten */
}

/* ---- agents ---------------------------------------------------------------------- */

/* HAProxy's fastinter and downinter, keepalived's delay_before_retry. */
static void test_paces(void **state)
{
	static const struct td_check_pace pace = {
		.interval_ns = 10 * S, .fast_ns = S, .down_ns = 20 * S};
	static const struct {
		enum td_check_outcome outcome;
		uint64_t then;
	} rows[] = {
		{GOOD, 10 * S},				       /* the first one is trusted */
		{BAD, S},	{BAD, S},		       /* going down */
		{GOOD, 10 * S},				       /* or not */
		{BAD, S},	{BAD, S},	{BAD, 20 * S}, /* down */
		{BAD, 20 * S},	{GOOD, S},		       /* going up */
		{GOOD, 20 * S}, {GOOD, 20 * S}, /* hold_down goes on, whatever it answers */
		{BAD, 20 * S},	{GOOD, S},
	};
	struct td_check_state s = {0};
	uint64_t now = S;

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++, now += S / 10) {
		td_check_take(&s, &rules, rows[i].outcome, now);
		if (td_check_interval(&s, &rules, &pace) != rows[i].then)
			fail_msg("row %zu: %llu", i,
				 (unsigned long long)td_check_interval(&s, &rules, &pace));
	}
	assert_true(td_check_take(&s, &rules, GOOD, now + 60 * S));
	assert_int_equal(td_check_interval(&s, &rules, &pace), 10 * S);
}

/* keepalived's misc_dynamic. */
static void test_weights(void **state)
{
	static const struct {
		int status;
		bool good;
		uint16_t percent; /* 7: as it was */
	} rows[] = {{0, true, 7},	{1, false, 7},	  {2, true, 0},	   {3, true, 1},
		    {102, true, 100},	{125, true, 123}, {126, false, 7}, {127, false, 7},
		    {128, true, 126},	{255, true, 253}, {-1, false, 7},  {256, false, 7},
		    {1 << 30, false, 7}};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		uint16_t percent = 7;

		assert_int_equal(td_check_weigh(rows[i].status, &percent), rows[i].good);
		assert_int_equal(percent, rows[i].percent);
	}
}

static int say(struct td_agent_state *s, const char *line)
{
	return td_agent_take(s, line, strlen(line));
}

static void test_agent_words(void **state)
{
	static const struct {
		const char *line;
		bool known, down, drain;
		uint16_t percent;
		const char *reason;
	} rows[] = {
		{"75% up\n", true, false, false, 75, ""},
		{"up 75%\n", true, false, false, 75, ""},
		{"50%", true, false, false, 50, ""},
		{"0%\r\n", true, false, false, 0, ""},
		{"250%\n", true, false, false, 250, ""},
		{"9999%\n", true, false, false, 1000, ""},
		{"drain\n", true, false, true, 100, ""},
		{"MAINT\n", true, false, true, 100, ""},
		{"down #disk full\n", true, true, false, 100, "disk full"},
		{"down#disk full\r\nup\n", true, true, false, 100, "disk full"},
		{"fail, #  a\tb \n", true, true, false, 100, "a?b"},
		{"failed\n", true, true, false, 100, ""},
		{"stopped#gone\n", true, true, false, 100, "gone"},
		{"ready up 10%,drain\n", true, false, true, 10, ""},
		{"nonsense up\n", true, false, false, 100, ""},
		{"maxconn:30\n", true, false, false, 100, ""},
		{"maxconn:\n", false, false, false, 100, ""},
		{"maxconn:-1\n", false, false, false, 100, ""},
		{"maxconn:9999999999\n", false, false, false, 100, ""},
		{"", false, false, false, 100, ""},
		{"\n", false, false, false, 100, ""},
		{"# up\n", false, false, false, 100, ""},
		{"75\n", false, false, false, 100, ""},
		{"%\n", false, false, false, 100, ""},
		{"-1%\n", false, false, false, 100, ""},
		{"99999%\n", false, false, false, 100, ""},
		{"\nup\n", false, false, false, 100, ""},
		{"upp\n", false, false, false, 100, ""},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct td_agent_state s = {.percent = TD_AGENT_FULL};

		if ((say(&s, rows[i].line) == 0) != rows[i].known)
			fail_msg("\"%s\"", rows[i].line);
		assert_int_equal(s.down, rows[i].down);
		assert_int_equal(s.drain, rows[i].drain);
		assert_int_equal(s.percent, rows[i].percent);
		assert_string_equal(s.reason, rows[i].reason);
	}
}

/* What a line does not speak of stays. */
static void test_agent_memory(void **state)
{
	struct td_agent_state s = {.percent = TD_AGENT_FULL};

	assert_int_equal(say(&s, "drain 40%"), 0);
	assert_int_equal(say(&s, "down #x"), 0);
	assert_true(s.down && s.drain && s.percent == 40);
	assert_int_equal(say(&s, "up"), 0);
	assert_true(!s.down && s.drain && s.percent == 40);
	assert_string_equal(s.reason, "");
	assert_int_equal(say(&s, "ready"), 0);
	assert_true(!s.drain && s.percent == 40);
	assert_int_equal(s.max_connections, 0);
	assert_int_equal(say(&s, "MaxConn:123456789"), 0);
	assert_int_equal(say(&s, "up"), 0);
	assert_int_equal(s.max_connections, 123456789);
}

/* Whatever comes is bounded, and a known word is told from an unknown one. */
static void test_agent_hostile(void **state)
{
	struct td_agent_state s = {.percent = TD_AGENT_FULL};
	char line[512];

	for (unsigned int round = 0; round < 20000; round++) {
		size_t n = random_below(sizeof(line));
		char *copy;

		for (size_t i = 0; i < n; i++)
			line[i] = random_below(3) ? "up down#%05,\n "[random_below(14)]
						  : (char)random_below(256);
		copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, line, n);
		td_agent_take(&s, copy, n);
		free(copy);
		assert_true(s.percent <= 1000);
		assert_true(strlen(s.reason) < sizeof(s.reason));
		for (const char *p = s.reason; *p; p++)
			assert_in_range(*p, ' ', '~');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_is_trusted),
		cmocka_unit_test(test_fall),
		cmocka_unit_test(test_refused_at_once),
		cmocka_unit_test(test_hold_down),
		cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_against_model),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_paces),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_agent_words),
		cmocka_unit_test(test_agent_memory),
		cmocka_unit_test(test_agent_hostile),
	};

	return cmocka_run_group_tests_name("checks", tests, NULL, NULL);
}
