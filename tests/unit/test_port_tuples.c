// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tuples in memory against a list that is searched from its beginning: takes and removes in
 * a random order, over few enough places that many stand in each other's way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/source_ports.h"

#define MOST   512u
#define KEYS   700u
#define ROUNDS 200000u

static struct tundish_port_key key_of(uint32_t n)
{
	return (struct tundish_port_key){.local.word = {0, 0, TUNDISH_BE32(0xffff), n * 7919},
					 .remote_port_be = (uint16_t)n,
					 .space = 1,
					 .protocol = IPPROTO_TCP};
}

static size_t row_of(const struct td_tuples *t, const struct tundish_port_key *key)
{
	size_t i = 0;

	while (i < t->n && memcmp(&t->row[i].key, key, sizeof(*key)))
		i++;
	return i;
}

static void test_against_a_list(void **state)
{
	static const struct tundish_siphash_key secret = {1, 2};
	uint64_t value[KEYS] = {0}, random = 88172645463325252ull;
	struct td_tuples t;
	size_t n = 0, most = 0;

	assert_int_equal(td_tuples_new(&t, MOST, &secret), 0);
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		struct tundish_port_key key;
		struct td_tuple *found;
		uint32_t k;
		size_t row;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		k = (uint32_t)(random % KEYS);
		key = key_of(k);
		/* Fills, and then drains, in turn. */
		if ((random >> 32) % 8 < (round / 5000 % 2 ? 2 : 6)) {
			found = td_tuples_take(&t, &key);
			if (!found) {
				assert_int_equal(value[k], 0);
				assert_true(n > MOST / 2);
				continue;
			}
			assert_memory_equal(&found->key, &key, sizeof(key));
			assert_int_equal(found->value.opened, value[k]);
			n += !value[k];
			found->value.opened = value[k] = round;
		} else {
			row = row_of(&t, &key);
			assert_true((row < t.n) == !!value[k]);
			if (row == t.n)
				continue;
			td_tuples_remove(&t, row);
			value[k] = 0;
			n--;
		}
		assert_int_equal(t.n, n);
		most = TD_MAX(most, n);
	}
	assert_true(most > MOST / 2);
	for (uint32_t k = 0; k < KEYS; k++) {
		struct tundish_port_key key = key_of(k);

		if (value[k])
			assert_int_equal(td_tuples_take(&t, &key)->value.opened, value[k]);
	}
	assert_int_equal(t.n, n);
	td_tuples_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_a_list)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
