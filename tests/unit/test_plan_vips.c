// SPDX-License-Identifier: GPL-2.0-only
/*
 * The plan for VIPs: numbers, prefixes, and who gets which port.
 */
#include "plan_fixture.h"
#include "random.h"

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

static uint32_t mask_at(uint32_t host, unsigned int length)
{
	const struct td_vip_state *v = installed_vip(host, length);

	assert_non_null(v);
	return v->value.mask;
}

/* The why of the first step of this kind. */
static void assert_why(const struct td_config *c, enum td_step_kind kind, const char *why)
{
	struct td_state installed;
	struct td_plan p = make_plan(c, &installed);
	size_t i = 0;

	while (i < p.n_steps && p.steps[i].kind != kind)
		i++;
	assert_in_range(i, 0, p.n_steps - 1);
	assert_string_equal(p.steps[i].why, why);
	td_plan_done(&p);
	td_state_done(&installed);
}

#define TOGETHER "its connections are counted together, as numbers for its addresses are short"

static void test_numbers_run_out_for_the_longest(void **state)
{
	struct test_config *t = web(1);
	uint32_t ids[3];

	t->services[0].delivery = TUNDISH_DELIVERY_WORKERS;
	for (uint32_t i = 0; i < 3; i++)
		set_vip(t, 0, i, 0x0a000000 + i * 4096, 20);
	go(&t->c);
	for (uint32_t i = 0; i < 3; i++)
		ids[i] = installed_vip(0x0a000000 + i * 4096, 20)->value.id;

	/* A fourth comes too late, and those that stand keep theirs. */
	set_vip(t, 0, 3, 0x09000000, 20);
	assert_why(&t->c, TD_STEP_VIP_PUT, "new in the file; " TOGETHER);
	go(&t->c);
	assert_int_equal(mask_at(0x09000000, 20), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(installed_vip(0x0a000000 + i * 4096, 20)->value.id, ids[i]);

	/* Shorter ones are given numbers before it is. */
	add_service(t, "short", 0, 80, TUNDISH_DELIVERY_WORKERS, 0);
	for (uint32_t i = 0; i < 4; i++)
		set_vip(t, 1, i, 0x0b000000 + i * 256, 24);
	go(&t->c);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(mask_at(0x0b000000 + i * 256, 24), 255);
	assert_int_equal(mask_at(0x09000000, 20), 0);

	/* A new one takes the numbers of one that goes; what shares goes on to. */
	set_vip(t, 0, 2, 0x08000000, 20);
	t->c.n_services = 1;
	go(&t->c);
	assert_int_equal(mask_at(0x08000000, 20), 4095);
	assert_int_equal(mask_at(0x09000000, 20), 0);
}

static void test_more_prefixes_than_rows(void **state)
{
	static const struct tundish_settings many = {
		.services_max = N_SERVICES, .backends_max = N_BACKENDS, .vips_max = 1024};
	static struct td_vip_conf vips[1000];
	static bool ids[TUNDISH_VIPS_MAX];
	struct test_config *t = web(1);
	struct td_state none = {0}, again;
	struct td_plan p = {0}, q = {0};
	unsigned int own = 0;

	t->services[0].delivery = TUNDISH_DELIVERY_WORKERS;
	t->services[0].vips = vips;
	t->services[0].n_vips = TD_ARRAY_SIZE(vips);
	for (uint32_t i = 0; i < TD_ARRAY_SIZE(vips); i++)
		vips[i] = (struct td_vip_conf){v4(0x0a000000 + i * 256), 24 + TD_PREFIX_V4, {0, 0}};
	memset(ids, 0, sizeof(ids));
	assert_int_equal(td_plan_make(&none, &t->c, &nothing_known, &many, &p, NULL), 0);
	for (size_t i = 0; i < p.target.n_vips; i++) {
		const struct tundish_vip *v = &p.target.vips[i].value;

		own += v->mask == 255;
		for (uint32_t k = 0; k <= v->mask; k++) {
			assert_in_range(v->id + k, 1, TUNDISH_VIPS_MAX - 1);
			assert_false(ids[v->id + k]);
			ids[v->id + k] = true;
		}
	}
	assert_int_equal(own, (TUNDISH_VIPS_MAX - 1 - 1000) / 255);
	again = p.target;
	assert_int_equal(td_plan_make(&again, &t->c, &nothing_known, &many, &q, NULL), 0);
	assert_int_equal(q.n_steps, 0);
	td_plan_done(&q);
	td_plan_done(&p);
}

/* What stands gives way where there is nothing else, the longest first. */
static void test_what_stands_gives_way_last(void **state)
{
	struct test_config *t = web(1);

	/* 16383 numbers: three times 4096, 2048 and so on to 256, and 255 are left. */
	t->services[0].delivery = TUNDISH_DELIVERY_WORKERS;
	for (uint32_t i = 0; i < 3; i++)
		set_vip(t, 0, i, 0x0a000000 + i * 4096, 20);
	add_service(t, "a", 0, 80, TUNDISH_DELIVERY_WORKERS, 0);
	for (uint32_t i = 0; i < 4; i++)
		set_vip(t, 1, i, 0x0b000000 + i * 65536, 21 + i);
	/* 128, 64, 32, 16 */
	add_service(t, "b", 0, 80, TUNDISH_DELIVERY_WORKERS, 0);
	for (uint32_t i = 0; i < 4; i++)
		set_vip(t, 2, i, 0x0c000000 + i * 65536, 25 + i);
	/* 8, 4, 2, 1 */
	add_service(t, "c", 0, 80, TUNDISH_DELIVERY_WORKERS, 0);
	for (uint32_t i = 0; i < 4; i++)
		set_vip(t, 3, i, 0x0d000000 + i * 65536, 29 + i);
	go(&t->c);
	for (size_t i = 0; i < model.n_vips; i++) {
		struct td_prefix p = {model.vips[i].address, model.vips[i].prefix};

		assert_int_equal(model.vips[i].value.mask, td_vip_mask(&p));
	}

	/* Nothing is left for one more address. The last of the longest makes room, for a
	 * short prefix too, and what came with them has what it asked for. */
	add_service(t, "d", 0x0e000000, 80, TUNDISH_DELIVERY_WORKERS, 0);
	set_vip(t, 4, 1, 0x0e000100, 24);
	assert_why(&t->c, TD_STEP_VIP_PUT, TOGETHER);
	go(&t->c);
	assert_int_equal(mask_at(0x0a002000, 20), 0);
	assert_int_equal(mask_at(0x0e000100, 24), 255);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(mask_at(0x0a000000 + i * 4096, 20), 4095);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(mask_at(0x0b000000 + i * 65536, 21 + i), (2048u >> i) - 1);

	/* When they go it stays as it is: flows name it by its number. */
	t->c.n_services = 4;
	go(&t->c);
	assert_int_equal(mask_at(0x0a002000, 20), 0);
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

/* One set of prefixes after the other, with more addresses than numbers as often as not,
 * each cut once on its way: nothing overlaps, and each comes to rest. */
static void test_any_change_of_prefixes_property(void **state)
{
	unsigned int together = 0, own = 0;

	for (int round = 0; round < 400; round++) {
		struct test_config *t = web(0);

		t->services[0].delivery = TUNDISH_DELIVERY_WORKERS;
		for (uint32_t i = 0; i < 7; i++)
			if (i) {
				char name[16];

				snprintf(name, sizeof(name), "s%u", i);
				add_service(t, name, 0, 80, TUNDISH_DELIVERY_WORKERS, 0);
			}
		for (uint32_t i = 0; i < 7; i++)
			for (uint32_t v = 0; v <= random_below(4); v++)
				set_vip(t, i, v, 0x0a000000 + ((i * 4 + v) << 16),
					random_below(3) ? 20 + v : 19 + random_below(14));
		run(&t->c, random_below(20));
		run(&t->c, SIZE_MAX);
		check_settled();
		assert_int_equal(run(&t->c, SIZE_MAX), 0);
		for (size_t i = 0; i < model.n_vips; i++) {
			struct td_prefix p = {model.vips[i].address, model.vips[i].prefix};
			uint32_t mask = model.vips[i].value.mask;

			together += mask < td_vip_mask(&p);
			own += mask && mask == td_vip_mask(&p);
		}
	}
	assert_true(together > 200);
	assert_true(own > 2000);
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
		if (td_plan_make(&none, &t->c,
				 &(struct td_plan_host){.endpoints = &own, .n_endpoints = 1},
				 &limits, &p, NULL) < 0)
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

/* Each protocol has its own ports, and those of UDP without flows say so. */
static void test_udp_beside_tcp(void **state)
{
	struct tundish_port_range ranges[TUNDISH_RANGES_MAX];
	struct td_prefix vip = {v4(0xc000020a), TD_PREFIX_ALL};
	struct test_config *t = web(1);

	add_service(t, "udp", 0xc000020a, 0, TUNDISH_DELIVERY_IPIP, 1);
	t->ports[1][0].last = 100;
	t->services[1].protocol = IPPROTO_UDP;
	check_ranges(&t->c, "80-80:0 0-100:1");
	t->services[1].flows = false;
	assert_int_equal(td_ports_flatten(&t->c, &vip, ranges), 2);
	assert_int_equal(ranges[0].delivery, t->services[0].delivery);
	assert_int_equal(ranges[1].protocol, IPPROTO_UDP);
	assert_int_equal(ranges[1].delivery, TUNDISH_DELIVERY_IPIP | TUNDISH_RANGE_STATELESS);
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
		cmocka_unit_test_setup(test_numbers_run_out_for_the_longest, setup),
		cmocka_unit_test_setup(test_more_prefixes_than_rows, setup),
		cmocka_unit_test_setup(test_what_stands_gives_way_last, setup),
		cmocka_unit_test_setup(test_rows_do_not_overlap, setup),
		cmocka_unit_test_setup(test_any_change_of_prefixes_property, setup),
		cmocka_unit_test_setup(test_numbers_of_a_damaged_state, setup),
		cmocka_unit_test_setup(test_what_lies_in_a_prefix_has_its_ports_too, setup),
		cmocka_unit_test_setup(test_more_specific_vips_win_property, setup),
		cmocka_unit_test_setup(test_the_more_specific_port_wins, setup),
		cmocka_unit_test_setup(test_neighbours_of_one_service_are_joined, setup),
		cmocka_unit_test_setup(test_udp_beside_tcp, setup),
		cmocka_unit_test_setup(test_too_many_ranges_are_refused, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
