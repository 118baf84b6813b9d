// SPDX-License-Identifier: GPL-2.0-only
/*
 * An own connection that is established, closed, and told to be established again, on three
 * CPUs in all orders that a die makes: its backend's `active` is nothing afterwards, never
 * less than nothing meanwhile, and it was counted once or not at all.
 * SEED=n ROUNDS=n choose other orders.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
// clang-format on

#include "verdict.h"

#include "native/steps.h"

#include "native/schedule.h"
#include "own_count.h"

static struct tundish_own sock;
static struct tundish_backend server;
static const char *wrong;

static void job(int thread)
{
	if (thread < 2)
		own_begins(&sock, &server);
	else if (own_ends(&sock))
		__sync_fetch_and_add(&server.connections_active, (__u64)-1);
	if (server.connections_active > 2)
		wrong = "less than nothing is active";
}

static void any_order_is_even(void **state)
{
	uint32_t seed = number("SEED", 1), rounds = number("ROUNDS", 20000), counted = 0;

	(void)state;
	schedule_open(job);
	for (uint32_t round = 0; round < rounds && !wrong; round++, seed++) {
		sock = (struct tundish_own){.flags = TUNDISH_OWN_CONNECTED};
		server = (struct tundish_backend){0};
		schedule_seed(seed);
		schedule_run();
		if (server.connections_active)
			wrong = "a connection that is over is active";
		if (server.connections_total > 1)
			wrong = "a connection is counted twice";
		if (own_ends(&sock))
			wrong = "a connection ends twice";
		counted += (uint32_t)server.connections_total;
	}
	schedule_close();
	if (wrong)
		fail_msg("SEED=%u: %s", seed - 1, wrong);
	/* of both kinds of order there were many */
	assert_in_range(counted, rounds / 4, rounds - rounds / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(any_order_is_even)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
