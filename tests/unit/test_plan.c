// SPDX-License-Identifier: GPL-2.0-only
/*
 * The plan for services and backends.
 */
#include "plan_fixture.h"

static struct tundish_backend *entry(const char *name)
{
	struct td_state s = read_model();
	struct td_service_state *service = td_state_service(&s, "web");
	struct td_backend_state *b = service ? td_state_backend(&s, service->id, name) : NULL;
	uint32_t id = b ? b->id : 0;

	td_state_done(&s);
	return id ? &model.backends[id] : NULL;
}

static void test_nothing_wanted_from_nothing(void **state)
{
	struct td_config empty = {0};

	assert_int_equal(go(&empty), 0);
}

static void test_a_service_comes_and_goes(void **state)
{
	struct td_config empty = {0};

	/* service, two backends, row, VIP */
	assert_int_equal(go(&web(2)->c), 5);
	assert_int_equal(model.n_vips, 1);
	/* VIP, row, two backends, service */
	assert_int_equal(go(&empty), 5);
	assert_int_equal(model.n_vips, 0);
	assert_int_equal(model.services[1].state, TUNDISH_SERVICE_GONE);
	assert_int_equal(model.backends[1].state, TUNDISH_BACKEND_GONE);
}

static void test_steps_come_in_their_order(void **state)
{
	struct td_state installed;
	struct td_plan p;
	struct test_config *t = web(3);

	go(&web(2)->c);
	t->vips[0][0].address = v4(0xc000020b);
	memmove(&t->backends[0][0], &t->backends[0][1], 2 * sizeof(t->backends[0][0]));
	t->services[0].n_backends = 2;
	p = make_plan(&t->c, &installed);
	assert_int_equal(p.n_steps, 5);
	assert_int_equal(p.steps[0].kind, TD_STEP_BACKEND_PUT);
	assert_int_equal(p.steps[1].kind, TD_STEP_ROW_SET);
	assert_int_equal(p.steps[2].kind, TD_STEP_VIP_PUT);
	assert_int_equal(p.steps[3].kind, TD_STEP_VIP_DELETE);
	assert_int_equal(p.steps[4].kind, TD_STEP_BACKEND_GONE);
	assert_string_equal(p.steps[0].why, "new in the file");
	assert_string_equal(p.steps[1].why, "web1 gets no new connections; and 1 more");
	assert_string_equal(p.steps[4].why, "not in the file any more");
	td_plan_done(&p);
	td_state_done(&installed);
	go(&t->c);
}

static void test_one_that_comes_back_has_its_entry_again(void **state)
{
	struct tundish_backend *b;

	go(&web(3)->c);
	b = entry("web3");
	go(&web(2)->c);
	assert_int_equal(b->state, TUNDISH_BACKEND_GONE);
	go(&web(3)->c);
	assert_ptr_equal(entry("web3"), b);
	assert_int_equal(b->state, TUNDISH_BACKEND_UP);
	assert_int_equal(b->weight, 100);
}

/* One that health says is down. */
static void unhealthy(const char *name, bool down)
{
	struct tundish_backend *b = entry(name);

	b->flags =
		down ? b->flags | TUNDISH_BACKEND_UNHEALTHY : b->flags & ~TUNDISH_BACKEND_UNHEALTHY;
}

static void test_health(void **state)
{
	struct test_config *t = web(3);
	struct td_state installed;
	struct td_plan p;

	go(&t->c);
	unhealthy("web2", true);
	p = make_plan(&t->c, &installed);
	assert_int_equal(p.n_steps, 2);
	assert_string_equal(p.steps[0].why, "state down by health, was up");
	assert_string_equal(p.steps[1].why, "web2 gets no new connections");
	td_plan_done(&p);
	td_state_done(&installed);
	go(&t->c);
	assert_int_equal(entry("web2")->state, TUNDISH_BACKEND_DOWN);
	assert_int_equal(entry("web2")->weight, 0);
	assert_int_equal(entry("web1")->weight, 100);
	/* What a command says goes before. */
	td_override_state(entry("web2"), TUNDISH_BACKEND_DISABLED);
	go(&t->c);
	assert_int_equal(entry("web2")->state, TUNDISH_BACKEND_DISABLED);
	td_override_state(entry("web2"), TUNDISH_BACKEND_UP);
	go(&t->c);
	assert_int_equal(entry("web2")->state, TUNDISH_BACKEND_DOWN);
	unhealthy("web2", false);
	go(&t->c);
	assert_int_equal(entry("web2")->state, TUNDISH_BACKEND_UP);
	assert_int_equal(entry("web2")->weight, 100);
}

/* Those that are down serve on where nobody else does. */
static void test_health_of_the_last_ones(void **state)
{
	struct test_config *t = web(3);
	struct td_state installed;
	struct td_plan p;

	t->backends[0][2].weight = 0;
	go(&t->c);
	unhealthy("web1", true);
	go(&t->c);
	assert_int_equal(entry("web1")->state, TUNDISH_BACKEND_DOWN);
	assert_false(td_backend_is_last(entry("web1")));
	td_override_state(entry("web2"), TUNDISH_BACKEND_DRAIN);
	p = make_plan(&t->c, &installed);
	assert_string_equal(p.steps[0].why,
			    "state up all the same, as no other backend is left, was down");
	td_plan_done(&p);
	td_state_done(&installed);
	go(&t->c);
	assert_int_equal(entry("web1")->state, TUNDISH_BACKEND_UP);
	assert_int_equal(entry("web1")->weight, 100);
	assert_true(td_backend_is_last(entry("web1")));
	assert_false(td_backend_is_last(entry("web3")));
	td_override_state(entry("web2"), TUNDISH_BACKEND_UP);
	go(&t->c);
	assert_int_equal(entry("web1")->state, TUNDISH_BACKEND_DOWN);
	/* All of them. */
	unhealthy("web2", true);
	go(&t->c);
	assert_int_equal(entry("web1")->weight, 100);
	assert_int_equal(entry("web2")->weight, 100);
	/* One that goes and comes back begins anew. */
	go(&web(1)->c);
	go(&t->c);
	assert_int_equal(entry("web2")->state, TUNDISH_BACKEND_UP);
	assert_int_equal(entry("web1")->state, TUNDISH_BACKEND_DOWN);
}

static void test_another_address_is_another_backend(void **state)
{
	struct test_config *t = web(2);
	struct tundish_backend *old;

	go(&t->c);
	old = entry("web2");
	t->backends[0][1].address = v4(0x0a0000ff);
	go(&t->c);
	assert_ptr_not_equal(entry("web2"), old);
	assert_int_equal(old->state, TUNDISH_BACKEND_GONE);
	assert_int_equal(old->weight, 0);
	/* And back while both stand. */
	t->backends[0][1].address = v4(0x0a000002);
	go(&t->c);
	assert_ptr_equal(entry("web2"), old);
}

static void test_an_address_under_another_name(void **state)
{
	struct test_config *t = web(2);

	go(&t->c);
	snprintf(t->backends[0][1].name, TUNDISH_NAME_LEN, "other");
	go(&t->c);
	assert_int_equal(entry("web2")->state, TUNDISH_BACKEND_GONE);
	assert_int_equal(entry("other")->weight, 100);
}

static void test_weight_changes_need_the_row_alone(void **state)
{
	struct test_config *t = web(2);

	go(&t->c);
	t->backends[0][0].weight = 50;
	assert_int_equal(go(&t->c), 2);
	assert_int_equal(entry("web1")->weight, 50);
	/* A drained one's weight touches no row. */
	t->backends[0][0].state = TUNDISH_BACKEND_DRAIN;
	assert_int_equal(go(&t->c), 2);
	t->backends[0][0].weight = 70;
	assert_int_equal(go(&t->c), 1);
	assert_int_equal(entry("web1")->weight, 0);
}

static void test_run_time_settings_survive_until_the_key_changes(void **state)
{
	struct test_config *t = web(2);
	struct td_state installed;
	struct td_plan p;

	go(&t->c);
	td_override_weight(entry("web1"), 20);
	td_override_state(entry("web2"), TUNDISH_BACKEND_DRAIN);
	go(&t->c);
	assert_int_equal(entry("web1")->weight, 20);
	assert_int_equal(entry("web2")->state, TUNDISH_BACKEND_DRAIN);
	assert_int_equal(entry("web2")->weight, 0);

	/* Another key changes: both stay. */
	t->ports[0][0].last = 90;
	go(&t->c);
	assert_int_equal(entry("web1")->weight, 20);
	assert_int_equal(entry("web2")->state, TUNDISH_BACKEND_DRAIN);

	t->backends[0][0].weight = 30;
	p = make_plan(&t->c, &installed);
	assert_string_equal(p.steps[0].why,
			    "weight 30 in the file, was 100, the run-time weight 20 is dropped");
	td_plan_done(&p);
	td_state_done(&installed);
	go(&t->c);
	assert_int_equal(entry("web1")->weight, 30);
	assert_int_equal(entry("web1")->flags, 0);
	assert_int_equal(entry("web2")->state, TUNDISH_BACKEND_DRAIN);

	t->backends[0][1].state = TUNDISH_BACKEND_DISABLED;
	go(&t->c);
	assert_int_equal(entry("web2")->state, TUNDISH_BACKEND_DISABLED);
	assert_int_equal(entry("web2")->flags, 0);
}

static void test_a_setting_equal_to_the_file_is_none(void **state)
{
	struct tundish_backend b = {.file_weight = 100, .file_state = TUNDISH_BACKEND_UP};

	td_override_weight(&b, 5);
	td_override_state(&b, TUNDISH_BACKEND_DRAIN);
	assert_int_equal(td_backend_weight(&b), 5);
	assert_int_equal(td_backend_admin_state(&b), TUNDISH_BACKEND_DRAIN);
	td_override_weight(&b, 100);
	td_override_state(&b, TUNDISH_BACKEND_UP);
	assert_int_equal(b.flags, 0);
}

static void test_disabling_moves_the_slots_first(void **state)
{
	struct test_config *t = web(2);
	struct td_state installed;
	struct td_plan p;

	go(&t->c);
	td_override_state(entry("web1"), TUNDISH_BACKEND_DISABLED);
	p = make_plan(&t->c, &installed);
	assert_int_equal(p.n_steps, 2);
	assert_int_equal(p.steps[0].kind, TD_STEP_ROW_SET);
	assert_int_equal(p.steps[1].kind, TD_STEP_BACKEND_PUT);
	td_plan_done(&p);
	td_state_done(&installed);
	go(&t->c);
	td_override_state(entry("web1"), TUNDISH_BACKEND_UP);
	go(&t->c);
	assert_int_equal(entry("web1")->weight, 100);
}

static void test_a_service_replaced_on_its_vip_and_port(void **state)
{
	struct test_config *t = web(2), *other = web(0);

	go(&t->c);
	other->c.n_services = 0;
	add_service(other, "shop", 0xc000020a, 80, TUNDISH_DELIVERY_DSR, 2);
	go(&other->c);
	assert_int_equal(model.n_vips, 1);
	assert_int_equal(model.vips[0].value.ranges[0].service, 2);
	assert_int_equal(model.services[1].state, TUNDISH_SERVICE_GONE);
	go(&t->c);
	assert_int_equal(model.vips[0].value.ranges[0].service, 1);
}

static void test_delivery_changes_in_place(void **state)
{
	struct test_config *t = web(2);

	go(&t->c);
	t->services[0].delivery = TUNDISH_DELIVERY_DSR;
	/* The range's delivery is checked against the service's at each step but
	 * between the two, so the plan alone is run here. */
	assert_int_equal(t->services[0].n_backends, 2);
	{
		struct td_state installed;
		struct td_plan p = make_plan(&t->c, &installed);

		assert_int_equal(p.n_steps, 4);
		for (size_t i = 0; i < p.n_steps; i++)
			apply_step(&p, &installed, &p.steps[i]);
		td_plan_done(&p);
		td_state_done(&installed);
	}
	check_settled();
	assert_int_equal(run(&t->c, SIZE_MAX), 0);
	assert_int_equal(entry("web1")->delivery, TUNDISH_DELIVERY_DSR);
}

/* The port of GUE stays when the delivery goes: a packet may have read the delivery just before. */
static void test_gue_port(void **state)
{
	struct test_config *t = web(2);

	t->services[0].delivery = TUNDISH_DELIVERY_GUE;
	t->services[0].gue.port = 6080;
	go(&t->c);
	assert_int_equal(entry("web1")->delivery, TUNDISH_DELIVERY_GUE);
	assert_int_equal(entry("web1")->gue_port_be, TUNDISH_BE16(6080));
	t->services[0].gue.port = 6081;
	{
		struct td_state installed;
		struct td_plan p = make_plan(&t->c, &installed);

		assert_int_equal(p.n_steps, 2);
		for (size_t i = 0; i < p.n_steps; i++) {
			assert_int_equal(p.steps[i].kind, TD_STEP_BACKEND_PUT);
			assert_string_equal(p.steps[i].why, "another port for GUE in the file");
		}
		td_plan_done(&p);
		td_state_done(&installed);
	}
	go(&t->c);
	assert_int_equal(entry("web2")->gue_port_be, TUNDISH_BE16(6081));
	t->services[0].delivery = TUNDISH_DELIVERY_IPIP;
	t->services[0].gue.port = 6080;
	{
		struct td_state installed;
		struct td_plan p = make_plan(&t->c, &installed);

		for (size_t i = 0; i < p.n_steps; i++)
			apply_step(&p, &installed, &p.steps[i]);
		td_plan_done(&p);
		td_state_done(&installed);
	}
	check_settled();
	assert_int_equal(entry("web2")->delivery, TUNDISH_DELIVERY_IPIP);
	assert_int_equal(entry("web2")->gue_port_be, TUNDISH_BE16(6081));
}

static void give_ids(struct test_config *t, const char *ids)
{
	t->services[0].protocol = IPPROTO_UDP;
	t->services[0].quic.server_id_length = 1;
	for (size_t i = 0; ids[i]; i++)
		t->backends[0][i].server_id = (struct tundish_server_id){1, {(uint8_t)ids[i]}};
}

static uint32_t named(char id)
{
	struct td_state s = {.quic = model.quic, .n_quic = model.n_quic};
	struct td_quic_state *q =
		td_state_quic(&s, &(struct tundish_quic_key){1, {1, {(uint8_t)id}}});

	return q ? q->backend : 0;
}

static size_t steps_of(const struct td_config *c, const enum td_step_kind *kinds, size_t n)
{
	struct td_state installed;
	struct td_plan p = make_plan(c, &installed);

	assert_int_equal(p.n_steps, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(p.steps[i].kind, kinds[i]);
	td_plan_done(&p);
	td_state_done(&installed);
	return go(c);
}

static void test_who_chooses(void **state)
{
	static const enum td_step_kind scheduler[] = {TD_STEP_SERVICE_PUT, TD_STEP_ROW_SET},
				       limit[] = {TD_STEP_BACKEND_PUT},
				       both[] = {TD_STEP_BACKEND_PUT, TD_STEP_ROW_SET},
				       back[] = {TD_STEP_SERVICE_PUT};
	struct test_config *t = web(2);

	go(&t->c);
	assert_int_equal(model.services[1].chooses, 0);
	t->services[0].scheduler = TD_SCHEDULER_LEAST_CONNECTIONS;
	steps_of(&t->c, scheduler, 2);
	assert_int_equal(model.services[1].chooses, 1);
	/* it is the row's already */
	t->backends[0][0].max_connections = 7;
	steps_of(&t->c, limit, 1);
	assert_int_equal(entry("web1")->max_connections, 7);
	t->services[0].scheduler = TD_SCHEDULER_MAGLEV;
	steps_of(&t->c, back, 1);
	assert_int_equal(model.services[1].chooses, 1);
	t->backends[0][0].max_connections = 0;
	steps_of(&t->c, both, 2);
	assert_int_equal(model.services[1].chooses, 0);
	/* the service's limit is that of backends that say so */
	t->services[0].max_connections = 9;
	assert_int_equal(go(&t->c), 0);
	t->backends[0][1].max_connections = TD_MAX_CONNECTIONS_SERVICE;
	steps_of(&t->c, both, 2);
	assert_int_equal(entry("web1")->max_connections, 0);
	assert_int_equal(entry("web2")->max_connections, 9);
}

/* Cut within the row, then wanted as it was before. */
static void test_a_cut_row_that_chooses(void **state)
{
	struct test_config *t = web(2);

	go(&t->c);
	t->services[0].scheduler = TD_SCHEDULER_LEAST_CONNECTIONS;
	run(&t->c, 1);
	assert_int_equal(model.services[1].chooses, TUNDISH_ROW_UNSETTLED);
	t->services[0].scheduler = TD_SCHEDULER_MAGLEV;
	assert_int_equal(run(&t->c, SIZE_MAX), 2);
	assert_int_equal(model.services[1].chooses, 0);
	check_settled();
}

static void test_a_drain_has_a_deadline(void **state)
{
	struct test_config *t = web(2), *other = web(2);

	go(&t->c);
	td_override_state(entry("web1"), TUNDISH_BACKEND_DRAIN);
	entry("web1")->drain_deadline = 1234;
	go(&t->c);
	assert_int_equal(entry("web1")->drain_deadline, 1234);
	assert_int_equal(entry("web1")->state, TUNDISH_BACKEND_DRAIN);
	/* another weight does not touch it, another state in the file does */
	other->backends[0][0].weight = 5;
	go(&other->c);
	assert_int_equal(entry("web1")->drain_deadline, 1234);
	other->backends[0][0].state = TUNDISH_BACKEND_DISABLED;
	go(&other->c);
	assert_int_equal(entry("web1")->drain_deadline, 0);
	td_override_state(entry("web1"), TUNDISH_BACKEND_DRAIN);
	entry("web1")->drain_deadline = 1234;
	td_override_state(entry("web1"), TUNDISH_BACKEND_UP);
	assert_int_equal(entry("web1")->drain_deadline, 0);
}

/* Nothing that was said of it is known any more when it is in the file again: its first check is trusted. */
static void test_comes_back_as_new(void **state)
{
	struct test_config *t = web(2), *one = web(1);
	struct tundish_backend *b;

	go(&t->c);
	b = entry("web2");
	td_override_state(b, TUNDISH_BACKEND_DRAIN);
	b->flags |= TUNDISH_BACKEND_UNHEALTHY | TUNDISH_BACKEND_CHECK_DOWN;
	b->adjust = -40;
	b->health_since_ns = 77;
	b->drain_deadline = 1234;
	go(&one->c);
	assert_int_equal(b->state, TUNDISH_BACKEND_GONE);
	assert_int_equal(b->flags, 0);
	go(&t->c);
	assert_int_equal(b->state, TUNDISH_BACKEND_UP);
	assert_int_equal(b->flags, 0);
	assert_int_equal(b->adjust, 0);
	assert_int_equal(b->health_since_ns, 0);
	assert_int_equal(b->drain_deadline, 0);
}

static void test_server_ids(void **state)
{
	struct test_config *t = web(2);
	struct td_config empty = {0};
	struct tundish_backend *b, *gone;
	struct td_state installed;
	struct td_plan p;

	/* service, two backends, two ids, row, VIP */
	give_ids(t, "ab");
	p = make_plan(&t->c, &installed);
	assert_int_equal(p.n_steps, 7);
	assert_int_equal(p.steps[3].kind, TD_STEP_QUIC_PUT);
	assert_string_equal(p.steps[3].why, "names backend web1");
	assert_int_equal(p.steps[6].kind, TD_STEP_VIP_PUT);
	td_plan_done(&p);
	td_state_done(&installed);
	go(&t->c);
	assert_int_equal(model.services[1].server_id_length, 1);
	assert_ptr_equal(&model.backends[named('a')], entry("web1"));
	assert_ptr_equal(&model.backends[named('b')], entry("web2"));

	/* they change places; nobody else is written */
	give_ids(t, "ba");
	assert_int_equal(go(&t->c), 4);
	assert_ptr_equal(&model.backends[named('b')], entry("web1"));
	/* another one for the second: put, and the old one deleted */
	give_ids(t, "bc");
	assert_int_equal(go(&t->c), 3);
	assert_int_equal(named('a'), 0);
	assert_ptr_equal(&model.backends[named('c')], entry("web2"));

	/* one that goes keeps its id, until another has it */
	gone = entry("web2");
	t->services[0].n_backends = 1;
	go(&t->c);
	assert_int_equal(gone->state, TUNDISH_BACKEND_GONE);
	assert_ptr_equal(&model.backends[named('c')], gone);
	give_ids(t, "c");
	go(&t->c);
	b = entry("web1");
	assert_ptr_equal(&model.backends[named('c')], b);
	assert_int_equal(named('b'), 0);
	/* another configuration is the service's alone */
	t->services[0].quic.config = 3;
	p = make_plan(&t->c, &installed);
	assert_int_equal(p.n_steps, 1);
	assert_string_equal(p.steps[0].why, "another quic in the file");
	td_plan_done(&p);
	td_state_done(&installed);
	go(&t->c);
	assert_int_equal(model.services[1].quic_config, 3);

	/* states change nothing of it */
	td_override_state(b, TUNDISH_BACKEND_DISABLED);
	go(&t->c);
	assert_ptr_equal(&model.backends[named('c')], b);

	/* no QUIC any more: the VIP says so, and no id is left but that of the one that goes */
	t->services[0].quic.server_id_length = 0;
	t->backends[0][0].server_id = (struct tundish_server_id){0};
	go(&t->c);
	assert_int_equal(b->server_id.length, 0);
	assert_int_equal(model.n_quic, 1);
	assert_ptr_equal(&model.backends[named('c')], gone);
	go(&empty);
}

static void test_workers_have_one_local_backend_and_endpoints(void **state)
{
	struct tundish_addr own[2] = {v4(0x0a000001), v4(0xc000020a)};
	struct test_config *t = web(2);

	endpoints = own;
	n_endpoints = 2;
	go(&t->c);
	assert_int_equal(model.n_vips, 1); /* no workers, no endpoints */
	assert_int_equal(model.vips[0].value.flags, TUNDISH_VIP_SERVICE | TUNDISH_VIP_FORWARDS);

	add_service(t, "app", 0xc0000214, 443, TUNDISH_DELIVERY_WORKERS, 0);
	go(&t->c);
	assert_int_equal(model.n_vips, 3);
	assert_int_equal(model.vips[0].value.flags, TUNDISH_VIP_ENDPOINT);
	assert_int_equal(model.vips[1].value.flags,
			 TUNDISH_VIP_SERVICE | TUNDISH_VIP_FORWARDS | TUNDISH_VIP_ENDPOINT);
	assert_int_equal(model.vips[2].value.flags, TUNDISH_VIP_SERVICE);
	assert_string_equal(model.backends[3].name, "local");
	assert_int_equal(model.backends[3].delivery, TUNDISH_DELIVERY_WORKERS);
	assert_int_equal(model.row[2][3], 100);
}

static void test_vips_keep_their_numbers(void **state)
{
	struct test_config *t = web(1);
	struct td_config empty = {0};
	uint32_t first, second;

	t->vips[0][1] = (struct td_vip_conf){v4(0xc000020b), TD_PREFIX_ALL, {0, 0}};
	t->services[0].n_vips = 2;
	go(&t->c);
	first = model.vips[0].value.id;
	second = model.vips[1].value.id;
	t->vips[0][0] = t->vips[0][1];
	t->services[0].n_vips = 1;
	go(&t->c);
	assert_int_equal(model.vips[0].value.id, second);
	/* Another one does not get the number of the one that went. */
	t->vips[0][1] = (struct td_vip_conf){v4(0xc000020c), TD_PREFIX_ALL, {0, 0}};
	t->services[0].n_vips = 2;
	go(&t->c);
	assert_int_equal(model.vips[0].value.id, second);
	assert_int_not_equal(model.vips[1].value.id, first);
	go(&empty);
	t->vips[0][1] = (struct td_vip_conf){v4(0xc000020a), TD_PREFIX_ALL, {0, 0}};
	go(&t->c);
	assert_int_equal(model.vips[0].value.id, first);
}

static void test_a_change_on_top_of_a_cut_one(void **state)
{
	struct test_config *none = web(0), *shop = web(0), *web2 = web(2), *web3 = web(3);
	struct model start;

	none->c.n_services = 0;
	shop->c.n_services = 0;
	add_service(shop, "shop", 0xc000020a, 80, TUNDISH_DELIVERY_IPIP, 3);
	web3->backends[0][0].weight = 500;
	go_astray(&web2->c, &none->c);
	setup(NULL);
	go_astray(&web2->c, &shop->c);
	setup(NULL);
	run(&web2->c, SIZE_MAX);
	start = model;
	go_astray(&web3->c, &none->c);
	model = start;
	go_astray(&none->c, &web3->c);
	model = start;
	go_astray(&shop->c, &web3->c);
	model = start;
	go_astray(&web3->c, &web2->c);
}

static void test_full_tables_are_refused_in_a_sentence(void **state)
{
	struct tundish_settings small = limits;
	struct td_state installed = read_model();
	struct td_plan p = {0};
	struct td_error e = {0};
	struct test_config *t = web(3);

	small.backends_max = 3;
	assert_int_equal(td_plan_make(&installed, &t->c, &nothing_known, &small, &p, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "raise limits.backends"));
	assert_non_null(strstr(e.text, "\"web3\""));
	assert_null(p.steps);
	small = limits;
	small.services_max = 1;
	assert_int_equal(td_plan_make(&installed, &t->c, &nothing_known, &small, &p, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "raise limits.services"));
	small = limits;
	small.vips_max = 0;
	assert_int_equal(td_plan_make(&installed, &t->c, &nothing_known, &small, &p, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "raise limits.vips"));
	td_state_done(&installed);
}

static void test_a_full_table_of_vips_can_still_change(void **state)
{
	struct tundish_settings small = limits;
	struct td_state installed;
	struct td_plan p = {0};
	struct test_config *t = web(1);

	run(&t->c, SIZE_MAX);
	t->vips[0][0].address = v4(0xc0000263);
	small.vips_max = 1;
	installed = read_model();
	assert_int_equal(td_plan_make(&installed, &t->c, &nothing_known, &small, &p, NULL), 0);
	assert_int_equal(p.steps[0].kind, TD_STEP_VIP_DELETE);
	assert_int_equal(p.steps[1].kind, TD_STEP_VIP_PUT);
	td_plan_done(&p);
	td_state_done(&installed);
}

static void test_freed_numbers_are_given_again(void **state)
{
	struct test_config *t = web(3);

	go(&t->c);
	t->services[0].n_backends = 2;
	go(&t->c);
	memset(&model.backends[3], 0, sizeof(model.backends[3])); /* the sweep */
	snprintf(t->backends[0][2].name, TUNDISH_NAME_LEN, "fresh");
	t->services[0].n_backends = 3;
	go(&t->c);
	assert_ptr_equal(entry("fresh"), &model.backends[3]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_nothing_wanted_from_nothing, setup),
		cmocka_unit_test_setup(test_a_service_comes_and_goes, setup),
		cmocka_unit_test_setup(test_steps_come_in_their_order, setup),
		cmocka_unit_test_setup(test_one_that_comes_back_has_its_entry_again, setup),
		cmocka_unit_test_setup(test_health, setup),
		cmocka_unit_test_setup(test_health_of_the_last_ones, setup),
		cmocka_unit_test_setup(test_another_address_is_another_backend, setup),
		cmocka_unit_test_setup(test_an_address_under_another_name, setup),
		cmocka_unit_test_setup(test_weight_changes_need_the_row_alone, setup),
		cmocka_unit_test_setup(test_run_time_settings_survive_until_the_key_changes, setup),
		cmocka_unit_test_setup(test_a_setting_equal_to_the_file_is_none, setup),
		cmocka_unit_test_setup(test_disabling_moves_the_slots_first, setup),
		cmocka_unit_test_setup(test_a_service_replaced_on_its_vip_and_port, setup),
		cmocka_unit_test_setup(test_delivery_changes_in_place, setup),
		cmocka_unit_test_setup(test_gue_port, setup),
		cmocka_unit_test_setup(test_who_chooses, setup),
		cmocka_unit_test_setup(test_a_cut_row_that_chooses, setup),
		cmocka_unit_test_setup(test_a_drain_has_a_deadline, setup),
		cmocka_unit_test_setup(test_comes_back_as_new, setup),
		cmocka_unit_test_setup(test_server_ids, setup),
		cmocka_unit_test_setup(test_workers_have_one_local_backend_and_endpoints, setup),
		cmocka_unit_test_setup(test_vips_keep_their_numbers, setup),
		cmocka_unit_test_setup(test_a_change_on_top_of_a_cut_one, setup),
		cmocka_unit_test_setup(test_full_tables_are_refused_in_a_sentence, setup),
		cmocka_unit_test_setup(test_a_full_table_of_vips_can_still_change, setup),
		cmocka_unit_test_setup(test_freed_numbers_are_given_again, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
