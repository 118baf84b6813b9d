// SPDX-License-Identifier: GPL-2.0-only
/*
 * The plan for VIPs: numbers, prefixes, and who gets which port.
 */
#include "plan_fixture.h"

/* ---- prefixes ----------------------------------------------------------------- */

static const struct td_vip_state *installed_vip(uint32_t host, unsigned int length)
{
	struct td_prefix p = {v4(host), (uint8_t)(length + TD_PREFIX_V4)};
	struct td_state s = {.vips = model.vips, .n_vips = model.n_vips};

	return td_state_prefix(&s, &p);
}

static void set_vip(struct test_config *t, size_t service, size_t i, uint32_t host,
		    unsigned int length)
{
	t->vips[service][i] =
		(struct td_vip_conf){v4(host), (uint8_t)(length + TD_PREFIX_V4), {0, 0}};
	t->services[service].n_vips = TD_MAX(t->services[service].n_vips, i + 1);
}

static void test_prefixes_have_a_number_for_each_address(void **state)
{
	struct test_config *t = web(1);
	uint32_t wide, narrow, shared;

	t->services[0].delivery = TUNDISH_DELIVERY_WORKERS;
	set_vip(t, 0, 1, 0xc6336400, 24);
	set_vip(t, 0, 2, 0x0a000000, 20);
	set_vip(t, 0, 3, 0x0a010000, 19);
	go(&t->c);
	assert_int_equal(model.n_vips, 4);
	assert_int_equal(installed_vip(0xc000020a, 32)->value.mask, 0);
	assert_int_equal(installed_vip(0xc6336400, 24)->value.mask, 255);
	assert_int_equal(installed_vip(0x0a000000, 20)->value.mask, 4095);
	assert_int_equal(installed_vip(0x0a010000, 19)->value.mask, 0);
	narrow = installed_vip(0xc6336400, 24)->value.id;
	wide = installed_vip(0x0a000000, 20)->value.id;
	shared = installed_vip(0x0a010000, 19)->value.id;

	/* Another in the place of one; the others keep theirs. */
	set_vip(t, 0, 0, 0xc6336500, 24);
	go(&t->c);
	assert_int_equal(installed_vip(0xc6336400, 24)->value.id, narrow);
	assert_int_equal(installed_vip(0x0a000000, 20)->value.id, wide);
	assert_int_equal(installed_vip(0x0a010000, 19)->value.id, shared);
	assert_null(installed_vip(0xc000020a, 32));

	/* The same address with another length is another VIP. */
	set_vip(t, 0, 1, 0xc6336400, 25);
	go(&t->c);
	assert_null(installed_vip(0xc6336400, 24));
	assert_int_equal(installed_vip(0xc6336400, 25)->value.mask, 127);
	assert_int_equal(installed_vip(0x0a000000, 20)->value.id, wide);
}

static void test_numbers_run_out_in_a_sentence(void **state)
{
	struct test_config *t = web(1);
	struct td_state before;
	struct td_plan p = {0};
	struct td_error e = {0};

	t->services[0].delivery = TUNDISH_DELIVERY_WORKERS;
	for (uint32_t i = 0; i < 3; i++)
		set_vip(t, 0, i, 0x0a000000 + i * 4096, 20);
	go(&t->c);
	set_vip(t, 0, 3, 0x0a100000, 20);
	before = read_model();
	assert_int_equal(td_plan_make(&before, &t->c, NULL, 0, &limits, &p, &e), -ENOSPC);
	assert_string_equal(e.text, "no 4096 numbers in a row are left for VIP 10.16.0.0/20, of "
				    "16383 by which flows name theirs: take fewer prefixes, or one "
				    "of more than 4096 addresses, which needs one number");
	assert_null(p.steps);
	/* Those of one that leaves are taken where there are no others. */
	t->services[0].n_vips = 3;
	set_vip(t, 0, 0, 0x0a100000, 20);
	assert_int_equal(td_plan_make(&before, &t->c, NULL, 0, &limits, &p, &e), 0);
	td_plan_done(&p);
	td_state_done(&before);
	/* One that needs no row is taken beside them. */
	set_vip(t, 0, 0, 0x0a000000, 20);
	set_vip(t, 0, 3, 0x0a200000, 19);
	go(&t->c);
}

/* Short rows that came first lie in the way of a long one, also behind its first number. */
static void test_rows_do_not_overlap(void **state)
{
	struct test_config *t = web(1);

	t->services[0].delivery = TUNDISH_DELIVERY_WORKERS;
	for (uint32_t i = 0; i < 4; i++)
		set_vip(t, 0, i, 0x0a000000 + 128 * i, 25);
	go(&t->c);
	for (size_t i = 0; i < 3; i++) /* all but one go, the last in the row */
		t->vips[0][i] = t->vips[0][3];
	t->services[0].n_vips = 1;
	go(&t->c);
	set_vip(t, 0, 1, 0x0a100000, 20);
	set_vip(t, 0, 2, 0x0a200000, 23);
	go(&t->c);
	t->vips[0][0] = t->vips[0][1];
	t->services[0].n_vips = 1;
	go(&t->c);
	for (uint32_t i = 1; i < 4; i++)
		set_vip(t, 0, i, 0x0a000000 + 1024 * i, 22);
	go(&t->c);
}

/* Carries the plan out, from a state in which the data path is not right. */
static void repair(const struct td_config *c)
{
	struct td_state installed;
	struct td_plan p = make_plan(c, &installed);

	for (size_t i = 0; i < p.n_steps; i++)
		apply_step(&p, &installed, &p.steps[i]);
	assert_true(p.n_steps > 0);
	td_plan_done(&p);
	td_state_done(&installed);
	check_settled();
}

static void test_numbers_of_a_damaged_state(void **state)
{
	struct test_config *t = web(1);

	t->services[0].delivery = TUNDISH_DELIVERY_WORKERS;
	set_vip(t, 0, 0, 0xc6336400, 24);
	set_vip(t, 0, 1, 0xc6336500, 24);
	go(&t->c);
	model.vips[1].value.id = model.vips[0].value.id + 7; /* two have these */
	repair(&t->c);
	model.vips[0].value.id = UINT32_MAX;
	model.vips[1].value.mask = UINT32_MAX;
	repair(&t->c);
	model.vips[0].value.id = TUNDISH_VIPS_MAX - 255; /* one too far */
	repair(&t->c);
}

static void check_vip(const struct td_vip_state *v, uint16_t flags, const char *expected)
{
	char text[1024] = "";

	assert_non_null(v);
	assert_int_equal(v->value.flags, flags);
	for (int i = 0; i < v->value.n_ranges; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u-%u:%u",
			 i ? " " : "", v->value.ranges[i].first, v->value.ranges[i].last,
			 v->value.ranges[i].service);
	assert_string_equal(text, expected);
}

/* The data path asks the first that it finds and no further. */
static void test_what_lies_in_a_prefix_has_its_ports_too(void **state)
{
	static struct tundish_addr own[2];
	struct test_config *t = web(1); /* 1: dsr or ipip on port 80 of an address */

	own[0] = v4(0xc633640b);
	own[1] = v4(0x0a000009);
	endpoints = own;
	n_endpoints = 2;
	set_vip(t, 0, 0, 0xc6336480, 32);
	add_service(t, "wide", 0, 443, TUNDISH_DELIVERY_WORKERS, 0);
	set_vip(t, 1, 0, 0xc6336400, 24);
	t->ports[1][1] = (struct td_port_conf){.first = 80, .last = 90};
	t->services[1].n_ports = 2;
	add_service(t, "narrow", 0, 85, TUNDISH_DELIVERY_WORKERS, 0);
	set_vip(t, 2, 0, 0xc6336480, 25);
	go(&t->c);
	check_vip(installed_vip(0xc6336400, 24), TUNDISH_VIP_SERVICE, "80-90:2 443-443:2");
	check_vip(installed_vip(0xc6336480, 25), TUNDISH_VIP_SERVICE,
		  "80-84:2 85-85:3 86-90:2 443-443:2");
	check_vip(installed_vip(0xc6336480, 32), TUNDISH_VIP_SERVICE | TUNDISH_VIP_FORWARDS,
		  "80-80:1 81-84:2 85-85:3 86-90:2 443-443:2");
	check_vip(installed_vip(0xc633640b, 32), TUNDISH_VIP_SERVICE | TUNDISH_VIP_ENDPOINT,
		  "80-90:2 443-443:2");
	check_vip(installed_vip(0x0a000009, 32), TUNDISH_VIP_ENDPOINT, "");

	/* An address with any port hides the prefix; when it goes the prefix is there. */
	t->ports[0][0] = (struct td_port_conf){.first = 0, .last = 65535};
	go(&t->c);
	check_vip(installed_vip(0xc6336480, 32), TUNDISH_VIP_SERVICE | TUNDISH_VIP_FORWARDS,
		  "0-65535:1");
	t->c.n_services = 1;
	t->services[0] = t->services[1];
	go(&t->c);
	check_vip(installed_vip(0xc6336400, 24), TUNDISH_VIP_SERVICE, "80-90:2 443-443:2");
	assert_null(installed_vip(0xc6336480, 32));
}

static uint32_t seed = 1;

static uint32_t random_below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

/* Who gets a port, as the data path finds it: the exact address, else the longest prefix. */
static uint32_t owner_in(const struct td_state *s, uint32_t host, uint16_t port)
{
	const struct td_vip_state *best = NULL;
	struct tundish_addr a = v4(host);

	for (size_t i = 0; i < s->n_vips; i++) {
		struct td_prefix p = {s->vips[i].address, s->vips[i].prefix};

		if (td_prefix_holds(&p, &a) && (!best || p.length > best->prefix))
			best = &s->vips[i];
	}
	for (int i = 0; best && i < best->value.n_ranges; i++)
		if (port >= best->value.ranges[i].first && port <= best->value.ranges[i].last)
			return best->value.ranges[i].service;
	return 0;
}

/* And as the configuration means it. */
static uint32_t owner_meant(const struct test_config *t, uint32_t host, uint16_t port)
{
	struct tundish_addr a = v4(host);
	unsigned int length = 0, width = 0;
	uint32_t owner = 0;

	for (uint32_t i = 0; i < t->c.n_services; i++)
		for (size_t v = 0; v < t->services[i].n_vips; v++) {
			struct td_prefix p = {t->vips[i][v].address, t->vips[i][v].prefix};
			unsigned int n = t->ports[i][0].last - t->ports[i][0].first + 1u;

			if (!td_prefix_holds(&p, &a) || port < t->ports[i][0].first ||
			    port > t->ports[i][0].last || p.length < length ||
			    (p.length == length && n > width))
				continue;
			length = p.length;
			width = n;
			owner = i + 1;
		}
	return owner;
}

static void test_more_specific_vips_win_property(void **state)
{
	unsigned int owned = 0;

	for (int round = 0; round < 300; round++) {
		struct test_config *t = web(0);
		struct tundish_addr own = v4(0x0a000000 + random_below(64));
		struct td_state none = {0};
		struct td_plan p = {0};
		uint32_t n = 1 + random_below(8);

		t->c.n_services = 0;
		for (uint32_t i = 0; i < n; i++) {
			char name[16];

			snprintf(name, sizeof(name), "s%u", i);
			add_service(t, name, 0, 1, TUNDISH_DELIVERY_WORKERS, 0);
			/* Of no two the same, and one in the other. */
			t->ports[i][0].first = (uint16_t)(1 + random_below(3));
			t->ports[i][0].last = (uint16_t)(t->ports[i][0].first + 2 * i);
			if (random_below(2))
				t->ports[i][0] = (struct td_port_conf){.first = (uint16_t)(20 - i),
								       .last = (uint16_t)(20 + i)};
			for (size_t v = 0; v < 1 + random_below(4); v++) {
				unsigned int length = 26 + random_below(7);

				set_vip(t, i, v,
					0x0a000000 + (random_below(64) & (~0u << (32 - length))),
					length);
			}
		}
		if (td_plan_make(&none, &t->c, &own, 1, &limits, &p, NULL) < 0)
			continue; /* more VIPs than the table holds */
		for (uint32_t host = 0x0a000000; host < 0x0a000040; host++)
			for (uint16_t port = 0; port < 48; port++) {
				uint32_t meant = owner_meant(t, host, port);

				assert_int_equal(owner_in(&p.target, host, port), meant);
				owned += !!meant;
			}
		td_plan_done(&p);
	}
	assert_true(owned > 10000);
}

/* ---- ports ------------------------------------------------------------------ */

static void check_ranges(const struct td_config *c, const char *expected)
{
	struct tundish_port_range ranges[TUNDISH_RANGES_MAX];
	struct td_prefix vip = {v4(0xc000020a), TD_PREFIX_ALL};
	char text[1024] = "";
	int n = td_ports_flatten(c, &vip, ranges);

	for (int i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u-%u:%u",
			 i ? " " : "", ranges[i].first, ranges[i].last, ranges[i].service);
	assert_string_equal(text, expected);
}

static void test_the_more_specific_port_wins(void **state)
{
	struct test_config *t = web(1);

	add_service(t, "any", 0xc000020a, 0, TUNDISH_DELIVERY_IPIP, 1);
	t->ports[1][0].last = 65535;
	add_service(t, "range", 0xc000020a, 8000, TUNDISH_DELIVERY_IPIP, 1);
	t->ports[2][0].last = 8999;
	add_service(t, "one", 0xc000020a, 8080, TUNDISH_DELIVERY_IPIP, 1);
	add_service(t, "elsewhere", 0xc000020b, 80, TUNDISH_DELIVERY_IPIP, 1);
	check_ranges(&t->c, "0-79:1 80-80:0 81-7999:1 8000-8079:2 8080-8080:3 8081-8999:2 "
			    "9000-65535:1");
}

static void test_neighbours_of_one_service_are_joined(void **state)
{
	struct test_config *t = web(1);

	t->ports[0][1] = (struct td_port_conf){.first = 81, .last = 90};
	t->ports[0][2] = (struct td_port_conf){.first = 85, .last = 95};
	t->ports[0][3] = (struct td_port_conf){.first = 65535, .last = 65535};
	t->services[0].n_ports = 4;
	check_ranges(&t->c, "80-95:0 65535-65535:0");
}

static void test_too_many_ranges_are_refused(void **state)
{
	static struct td_port_conf ports[TUNDISH_RANGES_MAX + 1];
	struct tundish_port_range ranges[TUNDISH_RANGES_MAX];
	struct td_prefix vip = {v4(0xc000020a), TD_PREFIX_ALL};
	struct test_config *t = web(1);

	for (size_t i = 0; i <= TUNDISH_RANGES_MAX; i++)
		ports[i].first = ports[i].last = 2 * i + 1;
	t->services[0].ports = ports;
	t->services[0].n_ports = TUNDISH_RANGES_MAX;
	assert_int_equal(td_ports_flatten(&t->c, &vip, ranges), TUNDISH_RANGES_MAX);
	t->services[0].n_ports = TUNDISH_RANGES_MAX + 1;
	assert_int_equal(td_ports_flatten(&t->c, &vip, ranges), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_prefixes_have_a_number_for_each_address, setup),
		cmocka_unit_test_setup(test_numbers_run_out_in_a_sentence, setup),
		cmocka_unit_test_setup(test_rows_do_not_overlap, setup),
		cmocka_unit_test_setup(test_numbers_of_a_damaged_state, setup),
		cmocka_unit_test_setup(test_what_lies_in_a_prefix_has_its_ports_too, setup),
		cmocka_unit_test_setup(test_more_specific_vips_win_property, setup),
		cmocka_unit_test_setup(test_the_more_specific_port_wins, setup),
		cmocka_unit_test_setup(test_neighbours_of_one_service_are_joined, setup),
		cmocka_unit_test_setup(test_too_many_ranges_are_refused, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
