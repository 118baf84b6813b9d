// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports of lanes: which ones a lane shall have, and giving and taking them while others
 * take and give ports; and the text of ip_local_reserved_ports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <pthread.h>

#include "core/address.h"
#include "core/lanes.h"
#include "host/reserved.h"

static struct tundish_lane lane;
static struct tundish_lane_ports ports;
static struct td_port_bits blocked;

static int setup(void **state)
{
	lane = (struct tundish_lane){.number = 1, .flags = TUNDISH_LANE_SOURCE, .ports = 1};
	memset(&ports, 0, sizeof(ports));
	memset(ports.taken, 0xff, sizeof(ports.taken));
	memset(&blocked, 0xff, sizeof(blocked));
	return 0;
}

static struct td_port_bits range(uint32_t first, uint32_t last)
{
	struct td_port_bits b;

	memset(&b, 0xff, sizeof(b));
	td_port_bits_set(&b, first, last, false);
	return b;
}

static void take(uint32_t port)
{
	assert_false(ports.taken[port / 64] >> (port % 64) & 1);
	ports.taken[port / 64] |= 1ull << (port % 64);
	lane.used++;
}

static void put(uint32_t port)
{
	ports.taken[port / 64] &= ~(1ull << (port % 64));
	lane.used--;
}

/* What the sweep relies on, and lane_take(). */
static void check(void)
{
	uint32_t taken = 0, words = (lane.last >> 6) - (lane.first >> 6) + 1;
	bool met[TUNDISH_LANE_WORDS] = {0};

	for (uint32_t p = lane.first; p <= lane.last; p++)
		taken += ports.taken[p / 64] >> (p % 64) & 1;
	assert_int_equal(taken - (lane.last + 1u - lane.first - lane.usable), lane.used);
	for (uint32_t p = 0; p < 65536; p++)
		if (p < lane.first || p > lane.last)
			assert_true(ports.taken[p / 64] >> (p % 64) & 1);
	for (uint32_t t = 0; t < words; t++) {
		uint32_t w = tundish_lane_word(t, lane.stride, lane.first, lane.last);

		assert_false(met[w]);
		met[w] = true;
	}
}

static uint32_t fit(uint32_t first, uint32_t last)
{
	struct td_port_bits wanted = range(first, last);
	uint32_t left = td_lane_fit(&lane, &ports, &blocked, &wanted);

	check();
	return left;
}

static void test_ports_come(void **state)
{
	assert_int_equal(fit(20000, 20015), 0);
	assert_int_equal(lane.usable, 16);
	assert_int_equal(lane.first, 20000);
	assert_int_equal(lane.last, 20015);
	assert_int_equal(fit(1024, 65535), 0);
	assert_int_equal(lane.usable, 64512);
	assert_int_equal(fit(1, 1), 0);
	assert_int_equal(lane.usable, 1);
}

static void test_every_stride_meets_all_words(void **state)
{
	for (uint32_t words = 1; words <= 1000; words++)
		fit(1024, 1024 + words * 64 - 1);
}

static void test_ports_in_use_stay_until_they_are_free(void **state)
{
	fit(20000, 20015);
	take(20001);
	take(20009);
	assert_int_equal(fit(20004, 20011), 1);
	assert_int_equal(lane.first, 20001);
	assert_int_equal(lane.usable, 9); /* the eight, and the one that is in use */
	put(20001);
	assert_int_equal(fit(20004, 20011), 0);
	assert_int_equal(lane.first, 20004);
	assert_int_equal(lane.usable, 8);
	assert_int_equal(fit(30000, 30000), 1);
	assert_int_equal(lane.usable, 2);
	put(20009);
	assert_int_equal(fit(30000, 30000), 0);
	assert_int_equal(lane.usable, 1);
	/* None at all is a lane too. */
	assert_int_equal(fit(2, 1), 0);
	assert_int_equal(lane.usable, 0);
}

static bool over;

/* As lane_take() and lane_put() do. */
static void *traffic(void *context)
{
	uint32_t mine[64], n = 0, seed = 1 + (uint32_t)(uintptr_t)context;
	uintptr_t lost = 0;

	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		bool found = false;

		seed = seed * 1664525 + 1013904223;
		if (n == 64 || (n && seed >> 31)) {
			uint32_t port = mine[--n];

			__atomic_fetch_and(&ports.taken[port / 64], ~(1ull << (port % 64)),
					   __ATOMIC_SEQ_CST);
			__atomic_fetch_sub(&lane.used, 1, __ATOMIC_SEQ_CST);
			continue;
		}
		if (__atomic_fetch_add(&lane.used, 1, __ATOMIC_SEQ_CST) >=
		    __atomic_load_n(&lane.usable, __ATOMIC_SEQ_CST)) {
			__atomic_fetch_sub(&lane.used, 1, __ATOMIC_SEQ_CST);
			continue;
		}
		for (uint32_t k = 0; k < 4096 && !found; k++) {
			uint32_t port = 20000 + (seed + k) % 512;
			uint64_t bit = 1ull << (port % 64);

			if (__atomic_fetch_or(&ports.taken[port / 64], bit, __ATOMIC_SEQ_CST) & bit)
				continue;
			mine[n++] = port;
			found = true;
		}
		if (!found) {
			__atomic_fetch_sub(&lane.used, 1, __ATOMIC_SEQ_CST);
			lost++;
		}
	}
	while (n--)
		put(mine[n]);
	return (void *)lost;
}

static void test_while_ports_are_taken_and_given(void **state)
{
	pthread_t thread;
	void *lost;

	fit(20000, 20511);
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, traffic, NULL), 0);
	for (uint32_t i = 0; i < 3000; i++) {
		struct td_port_bits wanted =
			range(20000 + i * 37 % 400, 20100 + i * 37 % 400 + i % 11);

		td_lane_fit(&lane, &ports, &blocked, &wanted);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, &lost), 0);
	assert_int_equal(lane.used, 0);
	assert_int_equal(fit(20000, 20511), 0);
	assert_int_equal(lane.usable, 512);
	assert_null(lost); /* who had a number found a port */
}

/* ---- which ones -------------------------------------------------------------------- */

static void test_auto_goes_round_what_others_need(void **state)
{
	struct td_vip_conf vip = {.prefix = TD_PREFIX_ALL};
	struct td_port_conf claimed[] = {{.first = 443, .last = 443},
					 {.first = 8000, .last = 8999}};
	struct td_service_conf s = {
		.vips = &vip, .n_vips = 1, .ports = claimed, .n_ports = 2, .protocol = IPPROTO_TCP};
	struct td_config c = {.services = &s, .n_services = 1};
	struct td_range_conf automatic = {0}, given = {1500, 50000};
	struct td_port_bits local = {0}, b;

	td_port_bits_set(&local, 32768, 60999, true);
	lane.protocol = IPPROTO_TCP;
	lane.source = tundish_addr_v4(htonl(0x0a000001));
	td_lane_wanted(&lane, &automatic, &local, &c, &b);
	assert_int_equal(65536 - td_port_bits_count(&b), 64512);
	lane.flags |= TUNDISH_LANE_SHARED;
	td_lane_wanted(&lane, &automatic, &local, &c, &b);
	assert_int_equal(65536 - td_port_bits_count(&b), 64512 - 28232);
	assert_true(td_port_bits_get(&b, 32768));
	assert_false(td_port_bits_get(&b, 8000));
	vip.address = lane.source;
	td_lane_wanted(&lane, &automatic, &local, &c, &b);
	assert_true(td_port_bits_get(&b, 8000));
	assert_int_equal(65536 - td_port_bits_count(&b), 64512 - 28232 - 1000);
	lane.protocol = IPPROTO_UDP;
	td_lane_wanted(&lane, &automatic, &local, &c, &b);
	assert_false(td_port_bits_get(&b, 8000));
	td_lane_wanted(&lane, &given, &local, &c, &b);
	assert_int_equal(65536 - td_port_bits_count(&b), 48501);
	lane.flags |= TUNDISH_LANE_GONE;
	td_lane_wanted(&lane, &given, &local, &c, &b);
	assert_int_equal(td_port_bits_count(&b), 65536);
}

static void test_named_by_records(void **state)
{
	struct td_port_bits named = {0}, *lanes[3] = {NULL, NULL, &named};
	struct tundish_nat nat[4] = {
		{.word = {.state = TUNDISH_NAT_TIME_WAIT},
		 .lane_hop = 2 | 7 * TUNDISH_NAT_HOP_ONE,
		 .source_port_be = TUNDISH_BE16(20000)},
		{.word = {.state = TUNDISH_NAT_FREE},
		 .lane_hop = 2,
		 .source_port_be = TUNDISH_BE16(20001)},
		{.word = {.state = TUNDISH_NAT_SYN_SENT},
		 .lane_hop = 1,
		 .source_port_be = TUNDISH_BE16(20002)},
		{.word = {.state = TUNDISH_NAT_SYN_SENT},
		 .lane_hop = 9,
		 .source_port_be = TUNDISH_BE16(20003)},
	};

	td_lanes_named(nat, 4, lanes, 3);
	assert_int_equal(td_port_bits_count(&named), 1);
	assert_true(td_port_bits_get(&named, 20000));
}

/* ---- ip_local_reserved_ports --------------------------------------------------------- */

static void test_reserved_text(void **state)
{
	static const char *const texts[] = {"",	       "0",	"65535",
					    "0-65535", "1,3,5", "1-2,4-9,65534-65535"};
	uint64_t bits[TD_NETNS_PORT_WORDS];
	char buffer[64], small[8];

	for (size_t i = 0; i < TD_ARRAY_SIZE(texts); i++) {
		assert_int_equal(td_host_ports_parse(texts[i], bits), 0);
		assert_int_equal(td_reserved_print(bits, buffer, sizeof(buffer)), 0);
		assert_string_equal(buffer, texts[i]);
	}
	assert_int_equal(td_reserved_print(bits, small, sizeof(small)), -ENOSPC);
	assert_string_equal(small, "");
}

int main(void)
{
#define T(test) cmocka_unit_test_setup(test, setup)
	const struct CMUnitTest tests[] = {
		T(test_ports_come),
		T(test_every_stride_meets_all_words),
		T(test_ports_in_use_stay_until_they_are_free),
		T(test_while_ports_are_taken_and_given),
		T(test_auto_goes_round_what_others_need),
		T(test_named_by_records),
		T(test_reserved_text),
	};

	return cmocka_run_group_tests_name("ports of lanes", tests, NULL, NULL);
}
