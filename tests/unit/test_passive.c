// SPDX-License-Identifier: GPL-2.0-only
/*
 * What clients' connections say of a server: counts of any kind against a plain list of what
 * happened, and the verdicts' edges one by one, and over random lives.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "core/passive.h"
#include "random.h"

#define S 1000000000ull

static struct td_passive_row look(struct td_passive_way *w, uint32_t answered, uint32_t refused,
				  uint32_t unanswered)
{
	struct td_passive_counts c = {answered, refused, unanswered};

	return td_passive_count(w, &c);
}

#define ROW(row, r, u)                                                                             \
	do {                                                                                       \
		struct td_passive_row row_ = (row);                                                \
		assert_int_equal(row_.refused, r);                                                 \
		assert_int_equal(row_.unanswered, u);                                              \
	} while (0)

static void test_counts(void **state)
{
	struct td_passive_way w = {0};

	ROW(look(&w, 10, 20, 30), 0, 0); /* what was before is another daemon's */
	ROW(look(&w, 10, 20, 30), 0, 0);
	ROW(look(&w, 10, 22, 30), 2, 0);
	ROW(look(&w, 10, 23, 34), 3, 4);
	ROW(look(&w, 11, 40, 50), 0, 0); /* an answer ends the row, whatever else there was */
	ROW(look(&w, 11, 41, 50), 1, 0);
	/* some that waited were given up by their clients: what stays did not answer */
	ROW(look(&w, 11, 41, 48), 1, 0);
	ROW(look(&w, 11, 41, 49), 1, 1);
}

static void test_wraps(void **state)
{
	struct td_passive_way w = {0};

	look(&w, UINT32_MAX, UINT32_MAX - 1, UINT32_MAX);
	ROW(look(&w, UINT32_MAX, 1, 4), 3, 5);
	assert_true(look(&w, 0, 1, 4).answered);
	ROW(look(&w, 0, 2, 4), 1, 0);
}

/* Of a lane that another has now, counts begin anew: nothing is known of that one. */
static void test_another(void **state)
{
	struct td_passive_way w = {0};

	look(&w, 1000, 1000, 1000);
	ROW(look(&w, 0, 7, 7), 0, 0);
	ROW(look(&w, 0, 9, 7), 2, 0);
	look(&w, 5, 1000, 7);
	ROW(look(&w, 5, 0, 8), 0, 0);
	assert_false(look(&w, 5, 0, 8).answered);
}

/* Against all that happened, in order: looks see no order between two of them, so a row is no
 * longer than what came since the look that saw the last answer. */
static void test_random_counts(void **state)
{
	for (int life = 0; life < 2000; life++) {
		uint32_t n[3] = {random_below(3) ? 0 : UINT32_MAX - random_below(9),
				 UINT32_MAX - random_below(9), random_below(9)};
		uint32_t since[3] = {0}, exact = 0;
		struct td_passive_way w = {0};

		look(&w, n[0], n[1], n[2]);
		for (int i = 0; i < 60; i++) {
			struct td_passive_row row;
			bool answered = false;

			for (uint32_t k = random_below(4); k; k--) {
				uint32_t what = random_below(8) ? 1 + random_below(2) : 0;

				n[what]++;
				since[what]++;
				answered |= !what;
				exact = what ? exact + 1 : 0;
			}
			row = look(&w, n[0], n[1], n[2]);
			if (answered)
				memset(since, 0, sizeof(since));
			assert_int_equal(row.answered, answered);
			assert_int_equal(row.refused, since[1]);
			assert_int_equal(row.unanswered, since[2]);
			/* never more than there were: nobody is ejected for fewer */
			assert_true(row.refused + row.unanswered <= exact);
		}
	}
}

/* ---- verdicts ------------------------------------------------------------------------------ */

static const struct td_passive_rules rules = {
	.failures = 5, .hold_ns = 30 * S, .hold_max_ns = 100 * S};

static struct td_passive_rules with(bool trials, uint16_t rise)
{
	struct td_passive_rules r = rules;

	r.trials = trials;
	r.rise = rise;
	return r;
}

static void test_without_trials(void **state)
{
	struct td_passive_state s = {0};

	assert_int_equal(td_passive_judge(&s, &rules, 4, S), TD_PASSIVE_STAY);
	assert_int_equal(td_passive_judge(&s, &rules, 5, S), TD_PASSIVE_TURN);
	td_passive_turn(&s, &rules, S);
	assert_true(s.out);
	assert_int_equal(s.times, 1);
	/* failures do not count meanwhile: it is out */
	assert_int_equal(td_passive_judge(&s, &rules, 99, 31 * S - 1), TD_PASSIVE_STAY);
	assert_int_equal(td_passive_judge(&s, &rules, 99, 31 * S), TD_PASSIVE_TURN);
	td_passive_turn(&s, &rules, 31 * S);
	assert_false(s.out);
}

static void test_time_grows(void **state)
{
	static const uint64_t holds[] = {30, 60, 90, 100, 100};
	struct td_passive_state s = {0};
	uint64_t now = 1000 * S;

	for (size_t i = 0; i < TD_ARRAY_SIZE(holds); i++) {
		td_passive_turn(&s, &rules, now);
		assert_int_equal(td_passive_hold(&s, &rules), holds[i] * S);
		now += holds[i] * S;
		assert_int_equal(td_passive_judge(&s, &rules, 0, now - 1), TD_PASSIVE_STAY);
		assert_int_equal(td_passive_judge(&s, &rules, 0, now), TD_PASSIVE_TURN);
		td_passive_turn(&s, &rules, now);
		now += 29 * S; /* not yet a whole time */
	}
	assert_int_equal(s.times, 5);
	/* in for three times: three are forgotten */
	now += 61 * S;
	td_passive_turn(&s, &rules, now);
	assert_int_equal(s.times, 3);
	/* and all in the end */
	td_passive_turn(&s, &rules, now += 90 * S);
	td_passive_turn(&s, &rules, now += 3600 * S);
	assert_int_equal(s.times, 1);
}

static void test_trials(void **state)
{
	struct td_passive_rules r = with(true, 0);
	struct td_passive_state s = {0};

	assert_int_equal(td_passive_judge(&s, &r, 5, S), TD_PASSIVE_TRY);
	assert_false(td_passive_tried(&s, &r, true, S));
	assert_false(s.out);
	assert_true(td_passive_tried(&s, &r, false, 2 * S));
	assert_true(s.out);
	assert_int_equal(td_passive_judge(&s, &r, 0, 32 * S), TD_PASSIVE_TRY);
	assert_false(td_passive_tried(&s, &r, false, 32 * S)); /* longer */
	assert_true(s.out);
	assert_int_equal(s.times, 2);
	assert_int_equal(td_passive_judge(&s, &r, 0, 91 * S), TD_PASSIVE_STAY);
	assert_int_equal(td_passive_judge(&s, &r, 0, 92 * S), TD_PASSIVE_TRY);
	assert_true(td_passive_tried(&s, &r, true, 92 * S));
	assert_false(s.out);
}

static void test_beside_checks(void **state)
{
	struct td_passive_rules r = with(false, 2);
	struct td_passive_state s = {0};

	td_passive_checked(&s, true);
	td_passive_checked(&s, true);
	td_passive_turn(&s, &r, S);
	/* good ones from before say nothing */
	assert_int_equal(td_passive_judge(&s, &r, 0, 90 * S), TD_PASSIVE_STAY);
	td_passive_checked(&s, true);
	td_passive_checked(&s, false);
	td_passive_checked(&s, true);
	assert_int_equal(td_passive_judge(&s, &r, 0, 90 * S), TD_PASSIVE_STAY);
	td_passive_checked(&s, true);
	assert_int_equal(td_passive_judge(&s, &r, 0, 90 * S), TD_PASSIVE_TURN);
	assert_int_equal(td_passive_judge(&s, &r, 0, 30 * S), TD_PASSIVE_STAY); /* its time */
}

static void test_resume(void **state)
{
	struct td_passive_state s;

	td_passive_resume(&s, &rules, true, 2, 100 * S);
	assert_true(s.out);
	assert_int_equal(td_passive_judge(&s, &rules, 0, 159 * S), TD_PASSIVE_STAY);
	assert_int_equal(td_passive_judge(&s, &rules, 0, 160 * S), TD_PASSIVE_TURN);
	/* one that is in again, as if it had come back when its time was over */
	td_passive_resume(&s, &rules, false, 2, 100 * S);
	td_passive_turn(&s, &rules, 161 * S);
	assert_int_equal(s.times, 3);
	td_passive_resume(&s, &rules, false, 2, 100 * S);
	td_passive_turn(&s, &rules, 191 * S);
	assert_int_equal(s.times, 2);
}

/* What must hold in each life: out only for failures and, with trials, a bad one; in only
 * after the time; and the time within its bounds. */
static void test_random_lives(void **state)
{
	for (int life = 0; life < 2000; life++) {
		struct td_passive_rules r = {
			.failures = (uint16_t)(1 + random_below(5)),
			.trials = random_below(2),
			.rise = (uint16_t)random_below(3),
			.hold_ns = (1 + random_below(60)) * S,
			.hold_max_ns = (1 + random_below(300)) * S,
		};
		struct td_passive_state s = {0};
		uint64_t now = random_below(100) * S, went = 0;
		uint32_t good = 0;

		for (int i = 0; i < 100; i++) {
			uint32_t row = random_below(8);
			bool was = s.out, trial = random_below(2);
			enum td_passive_act act;

			now += random_below(40) * S;
			if (random_below(2)) {
				bool check = random_below(3);

				td_passive_checked(&s, check);
				good = check ? good + 1 : 0;
			}
			act = td_passive_judge(&s, &r, row, now);
			assert_int_equal(act == TD_PASSIVE_TRY, act && r.trials);
			if (act == TD_PASSIVE_TURN)
				td_passive_turn(&s, &r, now);
			if (act == TD_PASSIVE_TRY) {
				bool turned = td_passive_tried(&s, &r, trial, now);

				assert_int_equal(turned, s.out != was);
			}
			assert_true(td_passive_hold(&s, &r) >= r.hold_ns);
			assert_true(td_passive_hold(&s, &r) <= TD_MAX(r.hold_ns, r.hold_max_ns));
			if (!was && s.out) {
				assert_true(row >= r.failures);
				assert_false(r.trials && trial);
				went = now;
				good = 0;
			} else if (was && !s.out) {
				assert_true(now - went >= r.hold_ns);
				assert_true(good >= r.rise);
				assert_false(r.trials && !trial);
			} else if (was && act == TD_PASSIVE_TRY) {
				good = 0;
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),	       cmocka_unit_test(test_wraps),
		cmocka_unit_test(test_another),	       cmocka_unit_test(test_random_counts),
		cmocka_unit_test(test_without_trials), cmocka_unit_test(test_time_grows),
		cmocka_unit_test(test_trials),	       cmocka_unit_test(test_beside_checks),
		cmocka_unit_test(test_resume),	       cmocka_unit_test(test_random_lives),
	};

	return cmocka_run_group_tests_name("passive", tests, NULL, NULL);
}
