// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maglev: balance, weights, the paper's disruption property, independence of
 * order, and a checksum that holds every version to the same answer.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdlib.h>
#include <time.h>

#include "core/maglev.h"

#define SLOTS	    TUNDISH_MAGLEV_SLOTS
#define MEMBERS_MAX 1000

static uint32_t before[SLOTS], after[SLOTS];
static struct td_maglev_member members[MEMBERS_MAX];

/* 10.0.0.0/8 for even, 2001:db8::/32 for odd numbers: both families at once. */
static void make_members(size_t n, uint32_t weight)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t host = __builtin_bswap32(0x0a000000u + i + 1);

		members[i].address = tundish_addr_v4(host);
		if (i & 1)
			members[i].address.word[0] = TUNDISH_BE32(0x20010db8);
		members[i].backend = i + 1;
		members[i].weight = weight;
	}
}

static void count(const uint32_t *slots, uint32_t *counts, size_t n)
{
	memset(counts, 0, n * sizeof(*counts));
	for (size_t i = 0; i < SLOTS; i++) {
		assert_in_range(slots[i], 1, n);
		counts[slots[i] - 1]++;
	}
}

/* Slots that changed their owner although neither owner was `touched`. */
static double excess(uint32_t touched)
{
	size_t moved = 0;

	for (size_t i = 0; i < SLOTS; i++)
		moved += before[i] != after[i] && before[i] != touched && after[i] != touched;
	return (double)moved / SLOTS;
}

static void test_balance_is_within_one_percent(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 7, 10, 50, 100};
	uint32_t counts[100];

	for (size_t k = 0; k < TD_ARRAY_SIZE(sizes); k++) {
		size_t n = sizes[k];

		make_members(n, 100);
		assert_int_equal(td_maglev_fill(members, n, before), 0);
		count(before, counts, n);
		for (size_t i = 0; i < n; i++) {
			assert_true(counts[i] >= SLOTS / n);
			assert_true(counts[i] <= SLOTS / n + 1);
		}
	}
}

static void test_a_thousand_members_all_get_their_share(void **state)
{
	uint32_t counts[1000];

	make_members(1000, 1);
	assert_int_equal(td_maglev_fill(members, 1000, before), 0);
	count(before, counts, 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_in_range(counts[i], 65, 66);
}

static void test_weights_are_respected(void **state)
{
	static const uint32_t weights[] = {1, 10, 100, 100, 200, 500, 1000, 0};
	uint32_t counts[8], sum = 0;

	make_members(8, 0);
	for (size_t i = 0; i < 8; i++) {
		members[i].weight = weights[i];
		sum += weights[i];
	}
	assert_int_equal(td_maglev_fill(members, 8, before), 0);
	count(before, counts, 8);
	for (size_t i = 0; i < 7; i++) {
		double share = (double)weights[i] * SLOTS / sum;

		assert_true(counts[i] >= share - share / 100 - 2);
		assert_true(counts[i] <= share + share / 100 + 2);
	}
	assert_int_equal(counts[7], 0);
}

static void test_a_small_weight_beside_large_ones_gets_a_slot(void **state)
{
	uint32_t counts[1000];

	make_members(1000, 1000);
	members[500].weight = 1;
	assert_int_equal(td_maglev_fill(members, 1000, before), 0);
	count(before, counts, 1000);
	assert_true(counts[500] >= 1 && counts[500] <= 2);
}

static void test_removing_one_moves_few_others(void **state)
{
	double worst = 0;

	/* The paper's figure 12 shows some 2% at 65,537 slots. */
	for (size_t n = 3; n <= 100; n = n * 3 + 1) {
		make_members(n, 100);
		assert_int_equal(td_maglev_fill(members, n, before), 0);
		for (size_t gone = 0; gone < n; gone += n / 3) {
			members[gone].weight = 0;
			assert_int_equal(td_maglev_fill(members, n, after), 0);
			members[gone].weight = 100;
			worst = TD_MAX(worst, excess(gone + 1));
		}
	}
	print_message("worst excess when one is removed: %.2f%% of all slots\n", worst * 100);
	assert_true(worst < 0.02);
}

static void test_adding_one_moves_few_others(void **state)
{
	double moved;

	make_members(51, 100);
	assert_int_equal(td_maglev_fill(members, 50, before), 0);
	assert_int_equal(td_maglev_fill(members, 51, after), 0);
	moved = excess(51);
	print_message("excess when the 51st is added: %.2f%%\n", moved * 100);
	assert_true(moved < 0.02);
}

static void test_reweighting_one_moves_few_others(void **state)
{
	double worst = 0;

	make_members(20, 100);
	assert_int_equal(td_maglev_fill(members, 20, before), 0);
	/* 1000 is a new largest weight: all others' turns must stay as they are. */
	for (uint32_t weight = 0; weight <= 1000; weight += 50) {
		members[7].weight = weight;
		assert_int_equal(td_maglev_fill(members, 20, after), 0);
		worst = TD_MAX(worst, excess(8));
	}
	print_message("worst excess when one of 20 is reweighted: %.2f%%\n", worst * 100);
	assert_true(worst < 0.02);
}

static void test_order_of_members_does_not_matter(void **state)
{
	uint32_t seed = 1;

	make_members(100, 100);
	for (size_t i = 0; i < 100; i++)
		members[i].weight = 1 + i * 7 % 50;
	assert_int_equal(td_maglev_fill(members, 100, before), 0);
	for (size_t i = 99; i > 0; i--) {
		struct td_maglev_member t = members[i];
		size_t j;

		seed = seed * 1103515245 + 12345;
		j = (seed >> 8) % (i + 1);
		members[i] = members[j];
		members[j] = t;
	}
	assert_int_equal(td_maglev_fill(members, 100, after), 0);
	assert_memory_equal(before, after, sizeof(before));
}

static void test_backend_numbers_do_not_matter(void **state)
{
	make_members(10, 100);
	assert_int_equal(td_maglev_fill(members, 10, before), 0);
	for (size_t i = 0; i < 10; i++)
		members[i].backend += 1000;
	assert_int_equal(td_maglev_fill(members, 10, after), 0);
	for (size_t i = 0; i < SLOTS; i++)
		assert_int_equal(before[i] + 1000, after[i]);
}

static void test_nobody_gives_an_empty_row(void **state)
{
	memset(before, 0xff, sizeof(before));
	assert_int_equal(td_maglev_fill(NULL, 0, before), 0);
	for (size_t i = 0; i < SLOTS; i++)
		assert_int_equal(before[i], 0);
	make_members(3, 0);
	memset(before, 0xff, sizeof(before));
	assert_int_equal(td_maglev_fill(members, 3, before), 0);
	for (size_t i = 0; i < SLOTS; i++)
		assert_int_equal(before[i], 0);
}

static void test_two_of_one_address_are_refused(void **state)
{
	make_members(3, 100);
	members[2].address = members[0].address;
	memset(before, 0xff, sizeof(before));
	assert_int_equal(td_maglev_fill(members, 3, before), -EINVAL);
	assert_int_equal(before[0], 0xffffffff);
}

/*
 * Every version and every host must give the same row. A change here moves
 * flows in a fleet that is being upgraded: do not make one without a plan.
 */
static void test_golden_checksum(void **state)
{
	uint64_t sum = 14695981039346656037ull;

	make_members(12, 100);
	members[3].weight = 50;
	members[4].weight = 1000;
	members[5].weight = 0;
	assert_int_equal(td_maglev_fill(members, 12, before), 0);
	for (size_t i = 0; i < SLOTS; i++)
		sum = (sum ^ before[i]) * 1099511628211ull;
	assert_true(sum == 0x25939463aa119e47ull);
}

/* ---- against the plain algorithm ---------------------------------------------------- */

struct turn {
	const struct td_maglev_member *member;
	uint32_t position, skip;
	uint64_t next, interval;
};

static uint32_t hash_of(const struct tundish_addr *a, uint64_t seed, uint32_t modulus)
{
	uint64_t h = tundish_mix64(seed ^ ((uint64_t)a->word[0] << 32 | a->word[1]));

	return tundish_mix64(h ^ ((uint64_t)a->word[2] << 32 | a->word[3])) % modulus;
}

static int by_address(const void *a, const void *b)
{
	return memcmp(&((const struct turn *)a)->member->address,
		      &((const struct turn *)b)->member->address, sizeof(struct tundish_addr));
}

/* As the paper says it, and weights as core/maglev.c does: no rings, no heap, no look ahead. */
static void fill_plainly(size_t n, uint32_t *slots)
{
	struct turn turns[MEMBERS_MAX];
	size_t used = 0;

	for (size_t i = 0; i < n; i++)
		if (members[i].weight)
			turns[used++] = (struct turn){
				.member = &members[i],
				.position =
					hash_of(&members[i].address, 0x243f6a8885a308d3ull, SLOTS),
				.skip = hash_of(&members[i].address, 0x13198a2e03707344ull,
						SLOTS - 1) +
					1,
				.interval = (1ull << 29) / members[i].weight,
			};
	qsort(turns, used, sizeof(*turns), by_address);
	memset(slots, 0, SLOTS * sizeof(*slots));
	for (size_t given = 0; used && given < SLOTS; given++) {
		struct turn *t = &turns[0];

		for (size_t i = 1; i < used; i++)
			if (turns[i].next < t->next)
				t = &turns[i];
		while (slots[t->position])
			t->position = (t->position + t->skip) % SLOTS;
		slots[t->position] = t->member->backend;
		t->next += t->interval;
	}
}

static uint32_t some(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Every size of a pool up to where looks ahead change their length, and weights as they come:
 * all alike, one different, a few kinds, all different, some of them none. */
static void test_rows_are_those_of_the_plain_algorithm(void **state)
{
	static const size_t sizes[] = {1,  2,	3,   4,	  7,   16,  33,
				       64, 100, 101, 257, 300, 700, MEMBERS_MAX};
	uint32_t seed = 20;

	for (size_t k = 0; k < TD_ARRAY_SIZE(sizes); k++)
		for (int kind = 0; kind < 5; kind++) {
			size_t n = sizes[k];

			make_members(n, 100);
			for (size_t i = 0; i < n; i++) {
				members[i].address.word[1] = some(&seed);
				members[i].backend = 1 + i * 3;
				if (kind == 1 && i == n / 2)
					members[i].weight = 50;
				else if (kind == 2)
					members[i].weight = 1 + some(&seed) % 3 * 100;
				else if (kind == 3)
					members[i].weight = 1 + some(&seed) % 1000;
				else if (kind == 4)
					members[i].weight =
						some(&seed) % 3 ? some(&seed) % 1001 : 0;
			}
			fill_plainly(n, before);
			assert_int_equal(td_maglev_fill(members, n, after), 0);
			assert_memory_equal(before, after, sizeof(before));
		}
}

static void test_a_row_of_a_thousand_takes_milliseconds(void **state)
{
	struct timespec a, b;
	double best = 1e9;

	make_members(1000, 100);
	for (size_t i = 0; i < 1000; i++)
		members[i].weight = 1 + i;
	for (int i = 0; i < 3; i++) {
		double ms;

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
		assert_int_equal(td_maglev_fill(members, 1000, before), 0);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
		ms = (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6;
		best = TD_MIN(best, ms);
	}
	print_message("1,000 members of 1,000 weights: %.2f ms\n", best);
	assert_true(best < 200); /* sanitizers are slow; a loop over all members is slower */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_balance_is_within_one_percent),
		cmocka_unit_test(test_a_thousand_members_all_get_their_share),
		cmocka_unit_test(test_weights_are_respected),
		cmocka_unit_test(test_a_small_weight_beside_large_ones_gets_a_slot),
		cmocka_unit_test(test_removing_one_moves_few_others),
		cmocka_unit_test(test_adding_one_moves_few_others),
		cmocka_unit_test(test_reweighting_one_moves_few_others),
		cmocka_unit_test(test_order_of_members_does_not_matter),
		cmocka_unit_test(test_backend_numbers_do_not_matter),
		cmocka_unit_test(test_nobody_gives_an_empty_row),
		cmocka_unit_test(test_two_of_one_address_are_refused),
		cmocka_unit_test(test_golden_checksum),
		cmocka_unit_test(test_rows_are_those_of_the_plain_algorithm),
		cmocka_unit_test(test_a_row_of_a_thousand_takes_milliseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
