// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lanes in the daemon: what a plan leaves to this host's own sockets, lanes that are about to
 * end, and what metrics say of those that have. Over maps in plain memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>

#include "api/metrics.h"
#include "daemon/lanes.h"
#include "daemon/nat.h"
#include "kernel/private.h"

enum { LANES = 8, BACKENDS = 4, SERVICES = 4 };

static struct tundish_lane lanes[LANES] __attribute__((aligned(64)));
static struct tundish_lane_ports lane_ports[LANES];
static struct tundish_backend backends[BACKENDS] __attribute__((aligned(64)));
static struct tundish_fan fans[BACKENDS];
static uint64_t unused_ns[LANES];
static struct td_kernel kernel;
static struct td_config config;
static struct td_lanes own;
static struct td_nat nat;
static struct td_daemon a_daemon;

static struct tundish_addr address(uint8_t n)
{
	return tundish_addr_v4(htonl(0x0a000100u + n));
}

static int setup(void **state)
{
	const struct td_nat_tables t = {.lanes_max = LANES,
					.lane_ports_max = LANES,
					.backends_max = BACKENDS,
					.services_max = SERVICES};

	memset(lanes, 0, sizeof(lanes));
	memset(unused_ns, 0, sizeof(unused_ns));
	kernel.mapped[TD_MAP_lanes] = lanes;
	kernel.mapped[TD_MAP_lane_ports] = lane_ports;
	kernel.mapped[TD_MAP_backends] = backends;
	kernel.mapped[TD_MAP_fans] = fans;
	own = (struct td_lanes){.unused_ns = unused_ns};
	nat = (struct td_nat){.uses = calloc(LANES, sizeof(*nat.uses)),
			      .sweep = td_nat_sweep_new(&t)};
	assert_non_null(nat.uses);
	assert_non_null(nat.sweep);
	a_daemon = (struct td_daemon){.kernel = &kernel,
				      .config = &config,
				      .lanes = &own,
				      .nat = &nat,
				      .settings = {.lanes_max = LANES,
						   .backends_max = BACKENDS,
						   .services_max = SERVICES}};
	return 0;
}

static int teardown(void **state)
{
	td_nat_sweep_free(nat.sweep);
	td_lane_ports_done(&nat);
	free(nat.uses);
	return 0;
}

static struct tundish_lane pooled(uint8_t flags)
{
	return (struct tundish_lane){
		.source = address(250),
		.host = address(21),
		.number = 1,
		.port_be = htons(8443),
		.protocol = IPPROTO_TCP,
		.flags = TUNDISH_LANE_SOURCE | flags,
		.first = 2000,
		.last = 2099,
		.stride = 1,
		.ports = 1,
		.usable = 100,
	};
}

/* ---- this host's own ports ------------------------------------------------------------ */

static int check(uint16_t first, uint16_t last)
{
	struct td_lane_state lane = {
		.id = 1, .value = pooled(TUNDISH_LANE_SHARED), .ports = {first, last}};
	struct td_plan plan = {.target = {.lanes = &lane, .n_lanes = 1}};
	struct td_error e = {0};

	return td_lanes_check(&a_daemon, &plan, &e);
}

static void reserve(uint32_t first, uint32_t last, bool ours)
{
	struct td_port_bits b = {0};

	td_port_bits_set(&b, first, last, true);
	for (size_t i = 0; i < TUNDISH_LANE_WORDS; i++)
		own.reserved[i] |= b.word[i];
	if (ours)
		td_port_bits_set(&own.ours, first, last, true);
}

static void test_what_is_left_to_sockets(void **state)
{
	own.local_first = 32768;
	own.local_last = 60999;
	assert_int_equal(check(32768, 60999 - 1024), 0);
	assert_int_equal(check(32768, 60999 - 1023), -ENOSPC);
	reserve(60999, 60999, false);
	assert_int_equal(check(32768, 60999 - 1024), -ENOSPC);
	assert_int_equal(check(32768, 60999 - 1025), 0);
}

/* The range that a plan leaves is free again with it. */
static void test_ours_is_given_back(void **state)
{
	own.local_first = 32768;
	own.local_last = 60999;
	reserve(32768, 50000, true);
	assert_int_equal(check(50001, 60999), 0);
	reserve(32768, 50000, false);
	memset(&own.ours, 0, sizeof(own.ours));
	assert_int_equal(check(50001, 60999), -ENOSPC);
}

/* ---- the end of lanes ------------------------------------------------------------------ */

/* One that is GONE has no ports that could meet the host's, so nothing is planned anew for it,
 * pass after pass; here that would end the test, which has no host to look at. */
static void test_host_is_not_asked_for_the_gone(void **state)
{
	lanes[1] = pooled(TUNDISH_LANE_SHARED | TUNDISH_LANE_GONE);
	lanes[1].used = 1;
	td_lanes_swept(&a_daemon);
	assert_int_equal(lanes[1].number, 1);
}

static void test_text(void **state)
{
	struct tundish_lane l = pooled(0);
	char text[TD_LANE_TEXT];

	assert_string_equal(td_lane_text(&l, text), "10.0.1.250 to 10.0.1.21 port 8443");
	l.port_be = 0;
	l.flags = 0;
	assert_string_equal(td_lane_text(&l, text), "clients to 10.0.1.21 any port");
}

/* ---- metrics ---------------------------------------------------------------------------- */

static unsigned long early_reuses(void)
{
	static const char name[] = "\ntundish_nat_early_reuse_total ";
	const struct td_state none = {0};
	unsigned long value;
	struct td_exposition *e = td_exposition_new();
	struct td_exposition_cursor at = {0};
	char text[TD_EXPOSITION_LINE_MAX];
	size_t length;

	td_expose_nat(e, &a_daemon, &none);
	length = td_exposition_write(e, TD_METRICS_TEXT, &at, text, sizeof(text) - 1);
	text[length] = '\0';
	td_exposition_free(e);
	assert_non_null(strstr(text, name));
	value = strtoul(strstr(text, name) + strlen(name), NULL, 10);
	return value;
}

static void test_counters_outlive_lanes(void **state)
{
	lanes[1] = pooled(0);
	lanes[1].opened = 9;
	lanes[1].early = 5;
	lanes[1].refused = 7;
	lanes[2] = pooled(0);
	lanes[2].host = address(22);
	lanes[2].opened = lanes[2].early = 1;
	assert_int_equal(early_reuses(), 6);
	lanes[1] = (struct tundish_lane){0};
	assert_int_equal(early_reuses(), 6);
	assert_int_equal(nat.refused_before, 7);
	/* The last one too, with which the sweep ends. */
	lanes[2].refused = 3;
	assert_int_equal(early_reuses(), 6);
	td_lane_ports_done(&nat);
	assert_int_equal(nat.early_before, 6);
	assert_int_equal(nat.refused_before, 10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_left_to_sockets),	   TEST(test_ours_is_given_back),
		TEST(test_host_is_not_asked_for_the_gone), TEST(test_text),
		TEST(test_counters_outlive_lanes),
	};

	return cmocka_run_group_tests_name("daemon: lanes", tests, NULL, NULL);
}
