// SPDX-License-Identifier: GPL-2.0-only
/* Since when something has been found: first, again, gone and back, texts that are too long, and too many. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <string.h>

#include "core/since.h"

static struct td_since since;

static uint64_t found(const char *what, const char *kind, uint64_t now)
{
	return td_since_found(&since, what, kind, now);
}

static void test_stays_and_goes(void **state)
{
	since = (struct td_since){0};
	td_since_begin(&since);
	assert_int_equal(found("service web", "enable one", 10), 10);
	assert_int_equal(found("service web", "more workers", 11), 11);
	td_since_end(&since);
	td_since_begin(&since);
	assert_int_equal(found("service web", "enable one", 20), 10);
	td_since_end(&since); /* the other is over */
	td_since_begin(&since);
	assert_int_equal(found("service web", "more workers", 30), 30);
	assert_int_equal(found("service web", "enable one", 30), 10);
	td_since_end(&since);
	assert_int_equal(since.n, 2);
	td_since_begin(&since);
	td_since_end(&since);
	assert_int_equal(since.n, 0);
	td_since_begin(&since);
	assert_int_equal(found("service web", "enable one", 40), 40);
}

static void test_bounds(void **state)
{
	char name[300], longer[300];

	since = (struct td_since){0};
	td_since_begin(&since);
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memcpy(longer, name, sizeof(longer));
	longer[200] = 'b';
	assert_int_equal(found(name, name, 1), 1);
	assert_int_equal(found(longer, name, 2), 1);
	for (unsigned int i = 1; i < TD_SINCE_MAX; i++) {
		snprintf(name, sizeof(name), "backend %u", i);
		assert_int_equal(found(name, "", 3), 3);
	}
	assert_int_equal(found("one more", "", 4), 0);
	assert_int_equal(found("backend 7", "", 4), 3);
	td_since_end(&since);
	assert_int_equal(since.n, TD_SINCE_MAX);
	td_since_begin(&since);
	assert_int_equal(found("backend 255", "", 5), 3);
	td_since_end(&since);
	assert_int_equal(since.n, 1);
	assert_int_equal(found("one more", "", 6), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stays_and_goes),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
