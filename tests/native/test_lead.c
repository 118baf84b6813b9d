// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which address an own connection is led to, where the daemon takes addresses of the backend
 * away in the middle: one that the backend has or had, or none, never an empty one.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
// clang-format on

#include "lead.bpf.h"

enum { LANES = 4, BACKEND = 1 };

static struct tundish_fan fan;
static struct tundish_backend server;
static struct tundish_lane lane[LANES];
static struct tundish_maglev row;
static uint32_t looks, change_at;

void *bpf_map_lookup_elem(void *map, const void *key)
{
	uint32_t index = *(const uint32_t *)key;

	if (map == &fans) {
		if (++looks == change_at)
			fan.n_addresses = 1;
		return &fan;
	}
	if (map == &lanes)
		return index < LANES ? &lane[index] : NULL;
	if (map == &backends)
		return &server;
	return map == &maglev ? &row : NULL;
}

/* Of a service that chooses, which this one does not. */
__u64 bpf_ktime_get_coarse_ns(void)
{
	abort();
}

__u32 bpf_get_prandom_u32(void)
{
	abort();
}

long bpf_loop(__u32 n, void *callback, void *context, __u64 flags)
{
	abort();
}

static void never_an_empty_address(void **state)
{
	uint32_t led = 0, missed = 0;

	(void)state;
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
		row.slot[i] = BACKEND;
	server.state = TUNDISH_BACKEND_UP;
	server.delivery = TUNDISH_DELIVERY_FULLNAT;
	for (uint32_t i = 1; i < LANES; i++)
		lane[i].host = tundish_addr_v4(TUNDISH_BE32(0x0a000100 + i));
	for (change_at = 1; change_at < 20; change_at++)
		for (server.own_next = 0; server.own_next < LANES - 1;) {
			struct lead l = {.families = LEAD_V4, .hash = 5, .ticket = 1};

			looks = 0;
			fan = (struct tundish_fan){
				.n_addresses = LANES - 1, .n_sources = 1, .lane = {1, 2, 3}};
			draw_again(0, &l);
			if (l.refused) {
				missed++;
				continue;
			}
			led++;
			assert_true(tundish_addr_is_v4(&l.address));
			assert_in_range(TUNDISH_BE32(l.address.word[3]), 0x0a000101, 0x0a000103);
		}
	assert_true(led && missed); /* then it is drawn again */
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(never_an_empty_address)};

	return cmocka_run_group_tests_name("native_lead", tests, NULL, NULL);
}
