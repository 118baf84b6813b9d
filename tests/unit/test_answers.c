// SPDX-License-Identifier: GPL-2.0-only
/* Servers whose answers do not come by: told when it is so, and not of those who are well. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "core/answers.h"

static void test_silent(void **state)
{
	struct td_answers a = {0};

	assert_false(td_answers_look(&a, 0, 0, 0));
	assert_false(td_answers_look(&a, 0, 0, 4));
	assert_false(td_answers_look(&a, 0, 0, 5)); /* half a minute is not over */
	assert_true(td_answers_look(&a, 0, 0, 5));
	assert_true(a.silent);
	assert_int_equal(a.missed, 5);
	assert_false(td_answers_look(&a, 0, 5, 0)); /* the same ones, given up */
	assert_true(a.silent);
	assert_true(td_answers_look(&a, 1, 9, 3)); /* one answer ends it */
	assert_true(!a.silent && a.heard);
}

static void test_those_who_are_well(void **state)
{
	struct td_answers a = {0};
	uint32_t answered = UINT32_MAX - 50, unanswered = UINT32_MAX - 20;

	/* 1 answer in half a minute, whatever is missed beside: wraps of both */
	for (int i = 0; i < 100; i++) {
		answered += i % 3 == 0;
		unanswered += 2;
		assert_false(td_answers_look(&a, answered, unanswered, 100));
		assert_false(a.silent);
	}
	/* and none any more: known half a minute later */
	assert_false(td_answers_look(&a, answered, unanswered, 100));
	assert_false(td_answers_look(&a, answered, unanswered, 100));
	assert_true(td_answers_look(&a, answered, unanswered, 100));
	/* nobody asks any more: nothing is known */
	assert_true(td_answers_look(&a, answered, unanswered, 0));
	assert_true(!a.silent && !a.heard);
}

/* What stood in the counts before the first look is of another time. */
static void test_first_look(void **state)
{
	struct td_answers a = {0};

	assert_false(td_answers_look(&a, 7, 1000, 1));
	for (int i = 0; i < 20; i++)
		assert_false(td_answers_look(&a, 7, 1000 + (uint32_t)i / 2, 1));
	assert_false(a.silent); /* one in 20 s is a client that went away */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_those_who_are_well),
		cmocka_unit_test(test_first_look),
	};

	return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}
