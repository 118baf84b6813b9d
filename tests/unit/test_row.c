// SPDX-License-Identifier: GPL-2.0-only
/* Rows of a state that is planned, and whose an address is in it. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <netinet/in.h>

#include "core/address.h"
#include "core/row.h"

enum { SLOTS = TUNDISH_MAGLEV_SLOTS, N = 4 };

static uint32_t all[SLOTS], some[SLOTS];

static struct tundish_addr v4(uint32_t host)
{
	return tundish_addr_v4(htonl(host));
}

static struct td_backend_state backends[N];

static struct td_state state_of(void)
{
	for (uint32_t i = 0; i < N; i++) {
		backends[i].id = 10 + i;
		backends[i].value = (struct tundish_backend){.state = TUNDISH_BACKEND_UP,
							     .service = 1,
							     .weight = 100,
							     .address = v4(0x0a000001 + i)};
	}
	return (struct td_state){.backends = backends, .n_backends = N};
}

static uint32_t count(const uint32_t *row, uint32_t backend)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SLOTS; i++)
		n += row[i] == backend;
	return n;
}

static void one_left_out(void **context)
{
	struct td_state s = state_of();
	struct td_members m = {0};
	struct td_row_change c;

	assert_int_equal(td_state_members(&s, &m), 0);
	assert_int_equal(td_row_make(&s, &m, 1, 0, all), 0);
	for (uint32_t i = 0; i < N; i++)
		assert_in_range(count(all, 10 + i), SLOTS / N - 200, SLOTS / N + 200);
	c = td_row_compare(all, all);
	assert_int_equal(c.left + c.moved, 0);

	assert_int_equal(td_row_make(&s, &m, 1, 12, some), 0);
	assert_int_equal(count(some, 12), 0);
	c = td_row_compare(all, some);
	assert_int_equal(c.left, count(all, 12));
	assert_in_range(c.moved, 0, SLOTS / 100);
	/* the same as if it had no weight: what an apply writes */
	backends[2].value.weight = 0;
	assert_int_equal(td_row_make(&s, &m, 1, 0, all), 0);
	assert_memory_equal(all, some, sizeof(all));
	td_members_done(&m);
}

static void nobody_left(void **context)
{
	struct td_state s = state_of();
	struct td_members m = {0};
	struct td_row_change c;

	s.n_backends = 1;
	assert_int_equal(td_state_members(&s, &m), 0);
	assert_int_equal(td_row_make(&s, &m, 1, 0, all), 0);
	assert_int_equal(td_row_make(&s, &m, 1, 10, some), 0);
	assert_int_equal(count(some, 0), SLOTS);
	c = td_row_compare(all, some);
	assert_int_equal(c.left, SLOTS);
	assert_int_equal(c.moved, 0);
	/* from nobody to somebody moves nothing */
	c = td_row_compare(some, all);
	assert_int_equal(c.left + c.moved, 0);
	td_members_done(&m);
}

static void who_claims(void **context)
{
	struct td_vip_state vips[] = {
		{.address = v4(0xc0000200), /* 192.0.2.0/24 */
		 .prefix = 96 + 24,
		 .value = {.n_ranges = 2,
			   .ranges = {{1, 65535, 5, IPPROTO_TCP, 0}, {53, 53, 6, IPPROTO_UDP, 0}}}},
		{.address = v4(0xc000020a), /* 192.0.2.10 */
		 .prefix = 128,
		 .value = {.n_ranges = 1, .ranges = {{80, 90, 7, IPPROTO_TCP, 0}}}},
	};
	struct td_state s = {.vips = vips, .n_vips = 2};
	static const struct {
		uint32_t host;
		uint16_t port;
		uint8_t protocol;
		uint32_t service;
	} rows[] = {
		{0xc000020a, 80, IPPROTO_TCP, 7}, {0xc000020a, 90, IPPROTO_TCP, 7},
		{0xc000020a, 79, IPPROTO_TCP, 0}, {0xc000020a, 91, IPPROTO_TCP, 0},
		{0xc000020a, 80, IPPROTO_UDP, 0}, {0xc000020b, 80, IPPROTO_TCP, 5},
		{0xc0000201, 53, IPPROTO_UDP, 6}, {0xc0000201, 54, IPPROTO_UDP, 0},
		{0xc0000300, 80, IPPROTO_TCP, 0},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct tundish_addr a = v4(rows[i].host);

		assert_int_equal(td_state_claim(&s, &a, rows[i].port, rows[i].protocol),
				 rows[i].service);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_left_out),
		cmocka_unit_test(nobody_left),
		cmocka_unit_test(who_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
