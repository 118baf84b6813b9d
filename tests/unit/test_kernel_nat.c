// SPDX-License-Identifier: GPL-2.0-only
/*
 * The maps of translated connections: what a step of the plan writes, and what the next
 * daemon finds of it.
 */
#include "kernel_fixture.h"

static struct tundish_addr address(uint32_t last)
{
	return tundish_addr_v4(htonl(0x0a000000 + last));
}

static struct tundish_lane pooled(void)
{
	return (struct tundish_lane){.source = address(250),
				     .host = address(11),
				     .number = 3,
				     .port_be = htons(80),
				     .protocol = 6,
				     .flags = TUNDISH_LANE_SOURCE};
}

static void a_new_lane_has_no_ports_yet(void **state)
{
	struct tundish_lane value = pooled(), *lane;
	struct tundish_lane_ports *ports;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	lane = &td_kernel_lanes(k)[7]; /* the last */
	ports = &td_kernel_lane_ports(k)[7];
	ports->yielding[1023] = 1;
	td_kernel_put_lane(k, 7, &value);
	assert_int_equal(lane->number, 3);
	assert_int_equal(lane->ports, 7);
	assert_int_equal(lane->usable, 0);
	for (size_t i = 0; i < TUNDISH_LANE_WORDS; i++) {
		assert_true(ports->taken[i] == ~0ull);
		assert_true(ports->yielding[i] == 0);
	}
	/* Of one that is there nothing but the flags. */
	lane->used = 5;
	lane->usable = 16;
	lane->nexthop = 9;
	ports->taken[0] = 1;
	value.flags |= TUNDISH_LANE_GONE;
	value.number = 8;
	td_kernel_put_lane(k, 7, &value);
	assert_int_equal(lane->flags, TUNDISH_LANE_SOURCE | TUNDISH_LANE_GONE);
	assert_int_equal(lane->number, 3);
	assert_int_equal(lane->used, 5);
	assert_int_equal(lane->usable, 16);
	assert_int_equal(lane->nexthop, 9);
	assert_int_equal(ports->taken[0], 1);
	td_kernel_put_lane(k, 8, &value); /* beyond the table: nothing */
	td_kernel_put_lane(k, 0, &value);
	assert_int_equal(td_kernel_lanes(k)[0].number, 0);

	value.flags = 0;
	value.number = 4;
	td_kernel_put_lane(k, 2, &value);
	assert_int_equal(td_kernel_lanes(k)[2].ports, 0);
	assert_int_equal(td_kernel_lanes(k)[2].usable, TUNDISH_LANE_UNBOUNDED);
	td_kernel_close(k);
}

static void lanes_and_fans_are_read_back(void **state)
{
	struct tundish_lane value = pooled();
	struct tundish_fan fan = {.n_addresses = 2,
				  .n_sources = 1,
				  .n_ports = 2,
				  .flags = TUNDISH_FAN_EARLY,
				  .time_wait = 57,
				  .port_be = {htons(80), htons(443)},
				  .lane = {1, 2, 3, 4}};
	struct td_state s = {0};
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	td_kernel_put_lane(k, 5, &value);
	td_kernel_put_lane(k, 3, &value);
	td_kernel_put_fan(k, 16, &fan);
	assert_int_equal(td_kernel_put_host(k, &value.host, &(struct tundish_nat_host){3, 1}), 0);
	assert_int_equal(td_kernel_put_host(k, &value.source, &(struct tundish_nat_host){4, 2}), 0);
	td_kernel_close(k);

	k = open_kernel(true);
	assert_int_equal(td_kernel_read_lanes(k, &s), 0);
	assert_int_equal(s.n_lanes, 2);
	assert_int_equal(s.lanes[0].id, 3);
	assert_int_equal(s.lanes[1].id, 5);
	assert_int_equal(s.n_fans, 1);
	assert_int_equal(s.fans[0].id, 16);
	assert_memory_equal(&s.fans[0].value, &fan, sizeof(fan));
	assert_int_equal(s.n_hosts, 2);
	assert_true(tundish_addr_equal(&s.hosts[0].address, &value.host));
	assert_int_equal(s.hosts[1].value.number, 4);
	td_state_done(&s);

	/* Smaller, larger, with ports and without: it becomes what was said. */
	for (uint32_t i = 0; i < 64; i++) {
		struct tundish_fan other = {.n_addresses = 1 + i % 3,
					    .n_sources = 1 + i / 4 % 4,
					    .n_ports = i % 5,
					    .flags = i / 8 % 4,
					    .time_wait = (uint16_t)(1 + i)};

		for (uint32_t l = 0; l < i; l++)
			other.lane[l] = 1 + (l * 7 + i) % 5;
		td_kernel_put_fan(k, 16, &other);
		assert_memory_equal(&td_kernel_fans(k)[16], &other, sizeof(other));
	}
	td_kernel_delete_lane(k, 3);
	assert_int_equal(td_kernel_read_lanes(k, &s), 0);
	assert_int_equal(s.n_lanes, 1);
	td_state_done(&s);
	td_kernel_close(k);
}

static void hosts_are_counted(void **state)
{
	struct tundish_addr a = address(1), b = address(2);
	struct tundish_nat_host value = {1, TUNDISH_NAT_HOST_BACKEND};
	struct tundish_nat_settings wrong;
	struct td_kernel *k;
	uint32_t zero = 0;

	NEED_ROOT();
	k = open_kernel(false);
	assert_int_equal(td_kernel_put_host(k, &a, &value), 0);
	assert_int_equal(td_kernel_put_host(k, &a, &value), 0);
	assert_int_equal(td_kernel_put_host(k, &b, &value), 0);
	assert_int_equal(td_kernel_nat_settings(k)->n_hosts, 2);
	assert_int_equal(td_kernel_delete_host(k, &a), 0);
	assert_int_equal(td_kernel_delete_host(k, &a), -ENOENT);
	assert_int_equal(td_kernel_nat_settings(k)->n_hosts, 1);
	/* A daemon died between the count and the host. */
	wrong = *td_kernel_nat_settings(k);
	wrong.n_hosts = 7;
	assert_int_equal(bpf_map_update_elem(k->map_fd[TD_MAP_nat_settings], &zero, &wrong, 0), 0);
	td_kernel_close(k);
	k = open_kernel(true);
	assert_int_equal(td_kernel_nat_settings(k)->n_hosts, 1);
	assert_memory_equal(&td_kernel_nat_settings(k)->secret, &wrong.secret,
			    sizeof(wrong.secret));
	td_kernel_close(k);
}

/* What found no place is not counted: the data path would look for it for ever. */
static void hosts_that_do_not_fit(void **state)
{
	struct tundish_nat_host value = {1, TUNDISH_NAT_HOST_BACKEND};
	struct td_kernel *k;
	struct tundish_addr a;

	NEED_ROOT();
	k = open_kernel(false);
	for (uint32_t i = 0; i < TUNDISH_NAT_HOSTS_MAX; i++) {
		a = tundish_addr_v4(htonl(0x0a000000 + i));
		assert_int_equal(td_kernel_put_host(k, &a, &value), 0);
	}
	a = tundish_addr_v4(htonl(0x0b000000));
	assert_int_equal(td_kernel_put_host(k, &a, &value), -E2BIG);
	assert_int_equal(td_kernel_nat_settings(k)->n_hosts, TUNDISH_NAT_HOSTS_MAX);
	td_kernel_close(k);
}

static void timeouts_and_near_networks(void **state)
{
	struct tundish_nat_timeouts t = {.syn = 57, .udp = 169};
	struct td_prefix v4 = {address(0), 96 + 24}, v6 = {{{htonl(0xfd000000)}}, 64}, *list;
	struct tundish_nat_settings now;
	struct td_kernel *k;
	uint32_t zero = 0;
	size_t n;

	NEED_ROOT();
	k = open_kernel(false);
	assert_int_equal(td_kernel_set_nat_timeouts(k, &t), 0);
	assert_int_equal(bpf_map_lookup_elem(k->map_fd[TD_MAP_nat_settings], &zero, &now), 0);
	assert_memory_equal(&now.timeouts, &t, sizeof(t));
	assert_int_equal(now.buckets, TUNDISH_NAT_BUCKETS_OF(1024));
	assert_int_equal(now.lanes_max, 8);
	assert_true(now.secret.k0 || now.secret.k1);
	assert_int_equal(td_kernel_put_near(k, &v4), 0);
	assert_int_equal(td_kernel_put_near(k, &v6), 0);
	assert_int_equal(td_kernel_near(k, &list, &n), 0);
	assert_int_equal(n, 2);
	free(list);
	assert_int_equal(td_kernel_delete_near(k, &v4), 0);
	assert_int_equal(td_kernel_near(k, &list, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(td_prefix_compare(&list[0], &v6), 0);
	free(list);
	td_kernel_close(k);
}

/* What unload without a daemon has to know. */
static void pins_tell_sources_and_reserved_ports(void **state)
{
	struct tundish_lane value = pooled();
	uint64_t bits[TUNDISH_LANE_WORDS];
	struct td_prefix *vips;
	struct td_kernel *k;
	size_t n;

	NEED_ROOT();
	k = open_kernel(false);
	td_kernel_put_lane(k, 1, &value);
	td_kernel_lanes(k)[1].first = 2000;
	td_kernel_lanes(k)[1].last = 2063;
	td_kernel_put_lane(k, 2, &value);
	td_kernel_lanes(k)[2].first = 3000;
	td_kernel_lanes(k)[2].last = 3000;
	td_kernel_lanes(k)[2].flags |= TUNDISH_LANE_RESERVED;
	assert_int_equal(td_kernel_pinned_vips(DIR, &vips, &n), 0);
	assert_int_equal(n, 2);
	assert_true(tundish_addr_equal(&vips[0].address, &value.source));
	free(vips);
	assert_int_equal(td_kernel_pinned_reserved(DIR, bits), 0);
	for (uint32_t p = 0; p < 65536; p++)
		assert_int_equal(bits[p / 64] >> (p % 64) & 1, p == 3000);
	td_kernel_close(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_lane_has_no_ports_yet), TEST(lanes_and_fans_are_read_back),
		TEST(hosts_are_counted),	   TEST(hosts_that_do_not_fit),
		TEST(timeouts_and_near_networks),  TEST(pins_tell_sources_and_reserved_ports),
	};

	isolate();
	return cmocka_run_group_tests_name("kernel: maps of nat", tests, NULL, NULL);
}
