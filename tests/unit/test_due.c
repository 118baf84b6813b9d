// SPDX-License-Identifier: GPL-2.0-only
/* What is due when, against a plain look through all. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "probe/due.h"
#include "random.h"

#define N 200

static void test_against_model(void **state)
{
	static struct td_due due[N];
	uint64_t model[N] = {0}, at; /* 0: not in it */
	struct td_due_heap h = {0};

	assert_int_equal(td_due_reserve(&h, N), 0);
	for (unsigned int round = 0; round < 100000; round++) {
		unsigned int i = random_below(round % 2 ? 8 : N);
		uint64_t least = UINT64_MAX;
		struct td_due *first;

		if (random_below(4)) {
			model[i] = 1 + random_below(1000);
			td_due_set(&h, &due[i], model[i]);
		} else {
			model[i] = 0;
			td_due_remove(&h, &due[i]);
		}
		for (size_t k = 0; k < N; k++)
			if (model[k] && model[k] < least)
				least = model[k];
		first = td_due_first(&h, &at);
		assert_int_equal(!first, least == UINT64_MAX);
		if (first) {
			assert_int_equal(at, least);
			assert_int_equal(model[first - due], least);
		}
	}
	free(h.entry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_model)};

	return cmocka_run_group_tests_name("due", tests, NULL, NULL);
}
