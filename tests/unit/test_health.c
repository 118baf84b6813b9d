// SPDX-License-Identifier: GPL-2.0-only
/*
 * Verdicts on a backend, and a worker group's: down after its time alone, up again
 * after it has had room for a while, and no more changes than that however the queues
 * go up and down.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "core/health.h"

#define S     1000000000ull
#define GRACE (3 * S)

static struct td_group_health group;
static struct td_verdict verdict;

static enum td_opinion look(uint64_t now, uint32_t workers, uint32_t drained, uint32_t full,
			    uint64_t empty_since)
{
	struct td_group_look l = {.name = "[::]:8080",
				  .workers = workers,
				  .drained = drained,
				  .full = full,
				  .empty_since = empty_since};

	td_group_health_look(&group, &l, GRACE, now, &verdict);
	return verdict.says;
}

static int setup(void **state)
{
	group = (struct td_group_health){0};
	return 0;
}

#define UP   TD_OPINION_UP
#define DOWN TD_OPINION_DOWN

static void test_sum(void **state)
{
	struct td_health h = {0};

	assert_int_equal(td_health_sum(&h)->says, TD_OPINION_NONE);
	h.of[TD_HEALTH_GROUP] = (struct td_verdict){UP, "a"};
	assert_int_equal(td_health_sum(&h)->says, UP);
	h.of[TD_HEALTH_GROUP] = (struct td_verdict){DOWN, "b"};
	assert_string_equal(td_health_sum(&h)->reason, "b");
	/* One that says down is enough, whoever it is; of several the first is told. */
	h.of[TD_HEALTH_CHECK] = (struct td_verdict){UP, "c"};
	assert_string_equal(td_health_sum(&h)->reason, "b");
	h.of[TD_HEALTH_GROUP] = (struct td_verdict){UP, "a"};
	assert_int_equal(td_health_sum(&h)->says, UP);
	h.of[TD_HEALTH_AGENT] = (struct td_verdict){DOWN, "d"};
	assert_int_equal(td_health_sum(&h)->says, DOWN);
	assert_string_equal(td_health_sum(&h)->reason, "d");
	h.of[TD_HEALTH_GROUP] = (struct td_verdict){DOWN, "b"};
	assert_string_equal(td_health_sum(&h)->reason, "b");
	assert_string_equal(td_opinion_name(TD_OPINION_NONE), "none");
	assert_string_equal(td_opinion_name(UP), "up");
	assert_string_equal(td_opinion_name(DOWN), "down");
}

static void test_empty(void **state)
{
	assert_int_equal(look(10 * S, 4, 0, 0, 0), UP);
	/* A moment that nobody has noted yet is none. */
	assert_int_equal(look(11 * S, 0, 0, 0, 0), UP);
	assert_int_equal(look(12 * S, 0, 0, 0, 10 * S), UP);
	assert_int_equal(look(13 * S - 1, 0, 0, 0, 10 * S), UP);
	assert_int_equal(look(13 * S, 0, 0, 0, 10 * S), DOWN);
	assert_string_equal(verdict.reason, "nothing listens on [::]:8080");
	/* Not before it has had room for two seconds, in every look. */
	assert_int_equal(look(20 * S, 1, 0, 0, 0), DOWN);
	assert_string_equal(verdict.reason, "nothing listens on [::]:8080");
	assert_int_equal(look(21 * S, 1, 0, 0, 0), DOWN);
	assert_int_equal(look(21 * S + 1, 0, 0, 0, 21 * S), DOWN);
	assert_int_equal(look(22 * S, 1, 0, 0, 0), DOWN);
	assert_int_equal(look(24 * S - 1, 1, 0, 0, 0), DOWN);
	assert_int_equal(look(24 * S, 1, 0, 0, 0), UP);
	assert_string_equal(verdict.reason, "workers on [::]:8080 have room");
	/* A restart within the time is none of its business. */
	assert_int_equal(look(25 * S, 0, 0, 0, 25 * S - 1), UP);
	assert_int_equal(look(27 * S, 0, 0, 0, 25 * S - 1), UP);
	assert_int_equal(look(28 * S, 2, 0, 0, 0), UP);
	/* Empty since a moment that is yet to come: no time has passed. */
	assert_int_equal(look(29 * S, 0, 0, 0, 30 * S), UP);
}

static void test_no_room(void **state)
{
	assert_int_equal(look(1 * S, 3, 0, 3, 0), UP);
	assert_int_equal(look(2 * S, 3, 0, 2, 0), UP);
	assert_int_equal(look(3 * S, 3, 0, 3, 0), UP);
	assert_int_equal(look(4 * S, 3, 0, 3, 0), DOWN);
	assert_string_equal(verdict.reason,
			    "the accept queue of each of the 3 workers on [::]:8080 is full");
	assert_int_equal(look(5 * S, 3, 1, 2, 0), DOWN);
	assert_string_equal(verdict.reason, "of the 3 workers on [::]:8080 1 are drained, and the "
					    "accept queue of each other one is full");
	assert_int_equal(look(6 * S, 3, 3, 0, 0), DOWN);
	assert_string_equal(verdict.reason, "each of the 3 workers on [::]:8080 is drained");
	assert_int_equal(look(7 * S, 3, 2, 0, 0), DOWN);
	assert_int_equal(look(9 * S, 3, 2, 0, 0), UP);
	/* The queue that fills as often as it has room changes nothing. */
	for (uint64_t t = 10; t < 100; t++)
		assert_int_equal(look(t * S, 1, 0, t & 1, 0), UP);
	assert_int_equal(look(100 * S, 1, 0, 1, 0), DOWN);
	for (uint64_t t = 101; t < 200; t++)
		assert_int_equal(look(t * S, 1, 0, t & 1, 0), DOWN);
	/* Looks that come late, and then all at once, are one. */
	setup(NULL);
	for (uint64_t t = 0; t < 9; t++)
		assert_int_equal(look(1 * S + t * S / 10, 1, 0, 1, 0), UP);
	assert_int_equal(look(1 * S + 9 * S / 10, 1, 0, 1, 0), DOWN);
	/* Full, then gone: two reasons, each in its own time. */
	setup(NULL);
	assert_int_equal(look(1 * S, 1, 0, 1, 0), UP);
	assert_int_equal(look(2 * S, 0, 0, 0, 2 * S), UP);
	assert_int_equal(look(3 * S, 1, 0, 1, 0), UP);
	assert_int_equal(look(4 * S, 1, 0, 1, 0), DOWN);
}

/* A daemon that begins thinks what the last one thought, until it knows better. */
static void test_begins_as_it_ended(void **state)
{
	group.down = true;
	assert_int_equal(look(1 * S, 2, 0, 0, 0), DOWN);
	assert_string_equal(verdict.reason,
			    "workers on [::]:8080 had no room when the daemon began");
	assert_int_equal(look(3 * S, 2, 0, 0, 0), UP);
	setup(NULL);
	group.down = true;
	assert_int_equal(look(1 * S, 2, 2, 0, 0), DOWN);
	assert_string_equal(verdict.reason, "each of the 2 workers on [::]:8080 is drained");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sum),
		cmocka_unit_test_setup(test_empty, setup),
		cmocka_unit_test_setup(test_no_room, setup),
		cmocka_unit_test_setup(test_begins_as_it_ended, setup),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
