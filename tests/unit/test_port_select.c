// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which tuples have series of their own in /metrics: the fullest thousand, all above a tenth,
 * ten thousand at most, and all others as one. What is printed is held against a list that
 * is sorted as a whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/metrics.h"
#include "kernel/private.h"

#define USABLE 1000u
#define MOST   16384u

static struct td_kernel kernel;
static struct td_source_ports ports;
static struct td_nat nat;
static struct td_daemon a_daemon = {.kernel = &kernel, .source_ports = &ports, .nat = &nat};
static uint64_t random_state = 88172645463325252ull;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % n;
}

static int setup(void **state)
{
	static const struct tundish_siphash_key secret = {1, 2};

	ports = (struct td_source_ports){.on = true, .rounds = 1};
	ports.reading.on = true; /* one that is under way: nothing is asked of the kernel */
	ports.spaces[1].present = true;
	return td_tuples_new(&ports.tuples, MOST, &secret);
}

static int teardown(void **state)
{
	td_tuples_done(&ports.tuples);
	return 0;
}

static void uses(struct td_tuple *t, uint32_t used)
{
	t->picture.used = used;
	t->picture.usable = USABLE;
	t->picture.utilization = (double)used / USABLE;
	t->picture.state[TUNDISH_PORT_established] = used;
}

/* A tuple that has used so many of USABLE ports. */
static void add(uint32_t used)
{
	struct tundish_port_key key = {
		.local.word = {0, 0, TUNDISH_BE32(0xffff), TUNDISH_BE32(0x0a000001)},
		.remote.word = {0, 0, TUNDISH_BE32(0xffff), (uint32_t)ports.tuples.n},
		.remote_port_be = TUNDISH_BE16(443),
		.space = 1,
		.protocol = IPPROTO_TCP};
	struct td_tuple *t = td_tuples_take(&ports.tuples, &key);

	assert_non_null(t);
	uses(t, used);
}

static int downwards(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

#define TEXT (8u << 20)

/* What is printed is the `shown` fullest, and the sum of the rest. */
static void printed(size_t shown)
{
	static const char used[] = "tundish_source_ports_used{",
			  ratio[] = "tundish_source_port_utilization_ratio{";
	static uint32_t all[MOST], found[MOST];
	uint64_t rest = 0, other = 0;
	struct td_exposition *e = td_exposition_new();
	struct td_exposition_cursor at = {0};
	size_t n = 0, ratios = 0, size = 0;
	char *text = malloc(TEXT), *line = NULL;
	FILE *in;

	td_expose_ports(e, &a_daemon);
	in = fmemopen(text, td_exposition_write(e, TD_METRICS_TEXT, &at, text, TEXT), "r");
	assert_true(at.end);
	td_exposition_free(e);
	assert_non_null(in);
	while (getline(&line, &size, in) > 0) {
		const char *value = strrchr(line, ' ');

		ratios += !strncmp(line, ratio, strlen(ratio));
		if (strncmp(line, used, strlen(used)) || !strstr(line, "state=\"established\""))
			continue;
		if (strstr(line, "remote_ip=\"other\"")) {
			other += strtoul(value, NULL, 10);
			continue;
		}
		assert_true(n < MOST);
		found[n++] = (uint32_t)strtoul(value, NULL, 10);
	}
	fclose(in);
	free(line);
	free(text);
	for (size_t i = 0; i < ports.tuples.n; i++)
		all[i] = ports.tuples.row[i].picture.used;
	qsort(all, ports.tuples.n, sizeof(*all), downwards);
	for (size_t i = shown; i < ports.tuples.n; i++)
		rest += all[i];
	assert_int_equal(n, shown);
	assert_int_equal(ratios, shown);
	assert_memory_equal(found, all, shown * sizeof(*all)); /* the fullest is the first */
	assert_int_equal(other, rest);
}

static void test_few(void **state)
{
	for (uint32_t i = 0; i < 500; i++)
		add(1 + i % 20);
	printed(500);
}

static void test_thousand_of_more(void **state)
{
	for (uint32_t i = 0; i < 1500; i++)
		add(1 + random_below(100));
	printed(1000);
}

static void test_all_above_a_tenth(void **state)
{
	for (uint32_t i = 0; i < 3000; i++)
		add(i % 3 ? 101 + random_below(900) : 1 + random_below(100));
	printed(2000);
}

static void test_a_tenth_is_not_above(void **state)
{
	for (uint32_t i = 0; i < 2400; i++)
		add(100 + i % 2);
	printed(1200);
}

static void test_one_fills(void **state)
{
	for (uint32_t i = 0; i < 1100; i++)
		add(500);
	for (uint32_t i = 0; i < 400; i++)
		add(100);
	printed(1100);
	uses(&ports.tuples.row[1300], 101);
	printed(1101);
}

static void test_ten_thousand_at_most(void **state)
{
	for (uint32_t i = 0; i < 12000; i++)
		add(101 + random_below(900));
	printed(10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_few, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thousand_of_more, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_above_a_tenth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_tenth_is_not_above, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_fills, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ten_thousand_at_most, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
