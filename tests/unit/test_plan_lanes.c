// SPDX-License-Identifier: GPL-2.0-only
/*
 * The plan for lanes, hosts and fans of deliveries nat and fullnat.
 */
#include "plan_fixture.h"

#define VIP 0xc000020a

static struct td_source_conf sources[4], addresses[4][3];

/* A service of fullnat whose backends have the given number of addresses each. */
static struct test_config *pool(size_t n_backends, size_t n_addresses, size_t n_sources)
{
	struct test_config *t = web(n_backends);
	struct td_service_conf *s = &t->services[0];

	s->delivery = TUNDISH_DELIVERY_FULLNAT;
	s->nat.time_wait_ms = 60000;
	s->nat.early_reuse = true;
	for (size_t i = 0; i < TD_ARRAY_SIZE(sources); i++)
		sources[i].address = v4(0x0a0001fa + (uint32_t)i);
	s->sources = sources;
	s->n_sources = n_sources;
	for (size_t b = 0; b < n_backends; b++) {
		for (size_t i = 0; i < 3; i++)
			addresses[b][i].address = v4(0x0a000101 + 16 * (uint32_t)b + (uint32_t)i);
		s->backends[b].addresses = addresses[b];
		s->backends[b].n_addresses = n_addresses;
		s->backends[b].address = addresses[b][0].address;
	}
	return t;
}

static size_t lanes(bool gone)
{
	size_t n = 0;

	for (uint32_t i = 1; i < N_LANES; i++)
		n += model.lanes[i].number && !(model.lanes[i].flags & TUNDISH_LANE_GONE) == !gone;
	return n;
}

/* What the sweep does when the last connection has ended. */
static void free_lane(uint32_t id)
{
	model.lanes[id] = (struct tundish_lane){0};
}

static void test_a_lane_for_each_source_and_address(void **state)
{
	const struct tundish_fan *f = &model.fans[1];

	go(&pool(2, 2, 3)->c);
	assert_int_equal(lanes(false), 12);
	assert_int_equal(model.n_hosts, 4 + 3);
	assert_int_equal(f->n_addresses, 2);
	assert_int_equal(f->n_sources, 3);
	assert_int_equal(f->n_ports, 1);
	assert_int_equal(f->port_be[0], htons(80));
	assert_int_equal(f->time_wait, 57);
	assert_int_equal(f->flags, TUNDISH_FAN_EARLY);
	for (uint32_t a = 0; a < 2; a++)
		for (uint32_t s = 0; s < 3; s++) {
			const struct tundish_lane *l = &model.lanes[f->lane[a * 3 + s]];

			assert_true(tundish_addr_equal(&l->source, &sources[s].address));
			assert_true(tundish_addr_equal(&l->host, &addresses[0][a].address));
			assert_int_equal(l->port_be, htons(80));
			assert_int_equal(l->flags, TUNDISH_LANE_SOURCE);
		}
	assert_int_equal(f->lane[6], 0);
}

static void test_steps_come_in_their_order(void **state)
{
	static const enum td_step_kind wanted[] = {
		TD_STEP_SERVICE_PUT, TD_STEP_HOST_PUT,	  TD_STEP_HOST_PUT, TD_STEP_LANE_PUT,
		TD_STEP_FAN_PUT,     TD_STEP_BACKEND_PUT, TD_STEP_ROW_SET,  TD_STEP_VIP_PUT};
	static const enum td_step_kind away[] = {TD_STEP_VIP_DELETE,   TD_STEP_ROW_SET,
						 TD_STEP_BACKEND_GONE, TD_STEP_FAN_GONE,
						 TD_STEP_LANE_GONE,    TD_STEP_SERVICE_GONE};
	struct td_config empty = {0};
	struct td_state installed;
	struct td_plan p = make_plan(&pool(1, 1, 1)->c, &installed);

	assert_int_equal(p.n_steps, TD_ARRAY_SIZE(wanted));
	for (size_t i = 0; i < p.n_steps; i++)
		assert_int_equal(p.steps[i].kind, wanted[i]);
	td_plan_done(&p);
	td_state_done(&installed);
	go(&pool(1, 1, 1)->c);
	p = make_plan(&empty, &installed);
	assert_int_equal(p.n_steps, TD_ARRAY_SIZE(away));
	for (size_t i = 0; i < p.n_steps; i++)
		assert_int_equal(p.steps[i].kind, away[i]);
	td_plan_done(&p);
	td_state_done(&installed);
	go(&empty);
	/* What a sweep that died has left goes too. */
	free_lane(1);
	go(&empty);
	assert_int_equal(model.n_hosts, 0);
	assert_int_equal(model.fans[1].n_addresses, 0);
	assert_int_equal(model.fans[1].time_wait, 57);
	model.backends[1] = (struct tundish_backend){0};
	go(&empty);
	assert_int_equal(model.fans[1].time_wait, 0);
}

static void test_services_share_a_lane(void **state)
{
	struct test_config *t = pool(1, 1, 2);
	struct td_service_conf *s;

	add_service(t, "two", VIP + 1, 80, TUNDISH_DELIVERY_FULLNAT, 1);
	s = &t->services[1];
	s->nat = t->services[0].nat;
	s->sources = sources;
	s->n_sources = 2;
	s->backends[0].address = t->services[0].backends[0].address;
	go(&t->c);
	assert_int_equal(lanes(false), 2);
	assert_memory_equal(model.fans[1].lane, model.fans[2].lane, sizeof(model.fans[1].lane));
	/* It stays while one of them is there. */
	t->c.n_services = 1;
	go(&t->c);
	assert_int_equal(lanes(false), 2);
	assert_int_equal(lanes(true), 0);
}

static void test_a_source_more_keeps_the_lanes(void **state)
{
	struct tundish_lane before[3];

	go(&pool(1, 1, 2)->c);
	memcpy(before, model.lanes, sizeof(before));
	go(&pool(1, 1, 3)->c);
	assert_memory_equal(before, model.lanes, sizeof(before));
	assert_int_equal(lanes(false), 3);
	assert_int_equal(model.fans[1].n_sources, 3);
}

static void test_an_address_less_is_gone_and_comes_back(void **state)
{
	uint32_t kept, gone;

	go(&pool(1, 2, 1)->c);
	kept = model.fans[1].lane[0];
	gone = model.fans[1].lane[1];
	go(&pool(1, 1, 1)->c);
	assert_int_equal(model.fans[1].lane[0], kept);
	assert_true(model.lanes[gone].flags & TUNDISH_LANE_GONE);
	assert_non_null(host_at(&model.lanes[gone].host));
	go(&pool(1, 2, 1)->c);
	assert_int_equal(model.fans[1].lane[1], gone);
	assert_false(model.lanes[gone].flags & TUNDISH_LANE_GONE);
	/* Its number is not given away while it stands, and its address not twice. */
	go(&pool(1, 1, 1)->c);
	go(&pool(2, 1, 1)->c);
	assert_int_equal(lanes(true), 1);
	free_lane(gone);
	go(&pool(2, 1, 1)->c);
	assert_int_equal(model.n_hosts, 2 + 1);
}

static void test_ports(void **state)
{
	struct test_config *t = pool(1, 1, 1);

	t->services[0].n_ports = 2;
	t->ports[0][1] = (struct td_port_conf){.first = 443, .last = 443};
	go(&t->c);
	assert_int_equal(model.fans[1].n_ports, 2);
	assert_int_equal(lanes(false), 2);
	assert_int_equal(model.lanes[model.fans[1].lane[1]].port_be, htons(443));

	t->services[0].backends[0].port = 8443; /* one for both */
	go(&t->c);
	assert_int_equal(model.fans[1].n_ports, 0);
	assert_int_equal(model.lanes[model.fans[1].lane[0]].port_be, htons(8443));
	assert_int_equal(model.fans[1].lane[1], 0);

	t->services[0].backends[0].port = 0;
	t->ports[0][1].last = 450; /* a range: one for all */
	go(&t->c);
	assert_int_equal(model.fans[1].n_ports, 0);
	assert_int_equal(model.lanes[model.fans[1].lane[0]].port_be, 0);
	assert_int_equal(lanes(true), 3);
}

static void test_more_ports_than_a_fan_holds(void **state)
{
	static struct td_source_conf many[64];
	struct test_config *t = pool(1, 1, 1);

	for (size_t i = 0; i < 40; i++)
		many[i].address = v4(0x0a000200 + (uint32_t)i);
	t->services[0].sources = many;
	t->services[0].n_sources = 40;
	t->services[0].n_ports = 4;
	for (uint16_t i = 0; i < 4; i++)
		t->ports[0][i].first = t->ports[0][i].last = 80 + i;
	go(&t->c);
	assert_int_equal(model.fans[1].n_ports, 0);
	assert_int_equal(lanes(false), 40);
}

static void test_families(void **state)
{
	struct test_config *t = pool(1, 2, 2);

	addresses[0][1].address = (struct tundish_addr){{htonl(0xfd000001), 0, 0, htonl(1)}};
	sources[1].address = (struct tundish_addr){{htonl(0xfd000001), 0, 0, htonl(2)}};
	go(&t->c);
	assert_int_equal(lanes(false), 2);
	assert_int_equal(model.fans[1].lane[1], 0);
	assert_int_equal(model.fans[1].lane[2], 0);
	assert_int_not_equal(model.fans[1].lane[0], 0);
	assert_int_not_equal(model.fans[1].lane[3], 0);
}

static void test_nat_keeps_clients_but_for_hairpins(void **state)
{
	struct test_config *t = pool(1, 2, 0);
	struct td_towards towards[2] = {
		{.host = addresses[0][0].address, .source = v4(0x0a000001), .has_source = true},
		{.host = addresses[0][1].address}};
	struct tundish_addr own = v4(0x0a000001);
	const struct tundish_fan *f = &model.fans[1];

	t->services[0].delivery = TUNDISH_DELIVERY_NAT;
	go(&t->c); /* no way to them */
	assert_int_equal(lanes(false), 2);
	assert_int_equal(f->flags, TUNDISH_FAN_EARLY | TUNDISH_FAN_DIRECT);
	assert_int_equal(f->n_sources, 0);
	assert_int_equal(model.lanes[f->lane[0]].flags, 0);

	known = (struct td_plan_host){.towards = towards, .n_towards = 2, .own = &own, .n_own = 1};
	go(&t->c);
	assert_int_equal(f->n_sources, 1);
	assert_int_equal(model.lanes[f->lane[2]].flags,
			 TUNDISH_LANE_SOURCE | TUNDISH_LANE_SHARED | TUNDISH_LANE_HAIRPIN);
	assert_int_equal(f->lane[3], 0);

	/* From the file; and what fullnat uses too is for everybody. */
	add_service(t, "full", VIP + 1, 80, TUNDISH_DELIVERY_FULLNAT, 1);
	t->services[1].nat = t->services[0].nat;
	t->services[1].sources = t->services[0].sources = sources;
	t->services[1].n_sources = t->services[0].n_sources = 1;
	t->services[1].backends[0].address = addresses[0][0].address;
	go(&t->c);
	assert_int_equal(model.lanes[f->lane[2]].flags, TUNDISH_LANE_SOURCE);
	assert_int_equal(model.lanes[f->lane[3]].flags, TUNDISH_LANE_SOURCE | TUNDISH_LANE_HAIRPIN);
	assert_int_equal(model.fans[2].lane[0], f->lane[2]);
}

static void test_what_is_told_of_a_service(void **state)
{
	struct test_config *t = pool(2, 1, 1);

	t->services[0].nat.toa = true;
	t->services[0].nat.mss = 1200;
	go(&t->c);
	assert_int_equal(model.delivers[1].flags, TUNDISH_DELIVER_TOA);
	assert_int_equal(model.delivers[1].mss, 1200);
	t = web(2);
	snprintf(t->services[0].name, TUNDISH_NAME_LEN, "other");
	t->vips[0][0].address = v4(VIP + 1);
	go(&t->c);
	assert_int_equal(lanes(false), 0);
	assert_int_equal(model.delivers[2].flags, 0);
	assert_int_equal(model.delivers[2].mss, 0);
	go_astray(&pool(3, 2, 2)->c, &t->c);
}

static void test_ends_astray(void **state)
{
	go(&pool(1, 2, 2)->c);
	go_astray(&pool(3, 1, 3)->c, &pool(2, 2, 2)->c);
}

static void test_too_many(void **state)
{
	struct test_config *t = pool(4, 3, 4);
	struct tundish_settings small = limits;
	struct td_state installed = read_model();
	struct td_error e = {0};
	struct td_plan p;

	small.lanes_max = 48;
	assert_int_equal(td_plan_make(&installed, &t->c, &nothing_known, &small, &p, &e), -ENOSPC);
	assert_string_equal(
		e.text, "no place for the (source, server, port) tuples of service \"web\" in a "
			"table of 47, 0 of them held by tuples whose connections have not ended: "
			"raise limits.lanes, then `tundish unload` and start again");
	small.lanes_max = 49;
	assert_int_equal(td_plan_make(&installed, &t->c, &nothing_known, &small, &p, &e), 0);
	td_plan_done(&p);
	td_state_done(&installed);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup(test, setup)
	const struct CMUnitTest tests[] = {
		T(test_a_lane_for_each_source_and_address),
		T(test_steps_come_in_their_order),
		T(test_services_share_a_lane),
		T(test_a_source_more_keeps_the_lanes),
		T(test_an_address_less_is_gone_and_comes_back),
		T(test_ports),
		T(test_more_ports_than_a_fan_holds),
		T(test_families),
		T(test_nat_keeps_clients_but_for_hairpins),
		T(test_what_is_told_of_a_service),
		T(test_ends_astray),
		T(test_too_many),
	};

	return cmocka_run_group_tests_name("plan: lanes", tests, NULL, NULL);
}
