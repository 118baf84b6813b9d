// SPDX-License-Identifier: GPL-2.0-only
/*
 * The plan, carried out on a model of the maps: it must reach its target, be
 * empty when made again, survive being cut after each step, and leave a right
 * data path after each of them.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <netinet/in.h>

#include "core/override.h"
#include "core/plan.h"

#define N_BACKENDS 64
#define N_SERVICES 16
#define N_VIPS	   32

/* ---- the model -------------------------------------------------------------- */

/* A row is kept as the set of its members' weights: what it would be made of. */
static struct model {
	struct tundish_service services[N_SERVICES];
	struct tundish_backend backends[N_BACKENDS];
	uint16_t row[N_SERVICES][N_BACKENDS];
	struct td_vip_state vips[N_VIPS];
	size_t n_vips;
} model;

static const struct tundish_settings limits = {
	.services_max = N_SERVICES, .backends_max = N_BACKENDS, .vips_max = N_VIPS};

static struct td_state read_model(void)
{
	struct td_state s = {
		.services = calloc(N_SERVICES, sizeof(*s.services)),
		.backends = calloc(N_BACKENDS, sizeof(*s.backends)),
		.vips = calloc(N_VIPS, sizeof(*s.vips)),
	};

	for (uint32_t i = 1; i < N_SERVICES; i++)
		if (model.services[i].state)
			s.services[s.n_services++] =
				(struct td_service_state){i, model.services[i]};
	for (uint32_t i = 1; i < N_BACKENDS; i++)
		if (model.backends[i].state)
			s.backends[s.n_backends++] =
				(struct td_backend_state){i, model.backends[i]};
	memcpy(s.vips, model.vips, model.n_vips * sizeof(*s.vips));
	s.n_vips = model.n_vips;
	return s;
}

static void put_vip(const struct td_vip_state *v)
{
	size_t i = 0;

	while (i < model.n_vips && td_vip_state_compare(&model.vips[i], v))
		i++;
	assert_in_range(i, 0, N_VIPS - 1);
	model.vips[i] = *v;
	if (i == model.n_vips)
		model.n_vips++;
	qsort(model.vips, model.n_vips, sizeof(*model.vips), td_vip_state_compare);
}

static void delete_vip(const struct td_vip_state *v)
{
	size_t i = 0;

	while (i < model.n_vips && td_vip_state_compare(&model.vips[i], v))
		i++;
	assert_in_range(i, 0, model.n_vips - 1);
	model.vips[i] = model.vips[--model.n_vips];
	qsort(model.vips, model.n_vips, sizeof(*model.vips), td_vip_state_compare);
}

static void set_row(const struct td_plan *p, uint32_t service, bool torn)
{
	for (size_t i = 0; i < p->target.n_backends; i++) {
		const struct td_backend_state *b = &p->target.backends[i];

		if (b->value.service == service && model.backends[b->id].weight != b->value.weight)
			model.backends[b->id].weight = TD_WEIGHT_UNSETTLED;
	}
	memset(model.row[service], 0, sizeof(model.row[service]));
	for (size_t i = 0; i < p->target.n_backends; i++) {
		const struct td_backend_state *b = &p->target.backends[i];

		if (b->value.service != service)
			continue;
		if (b->value.weight)
			model.row[service][b->id] = b->value.weight;
	}
	if (torn)
		return; /* died before the weights were written */
	for (size_t i = 0; i < p->target.n_backends; i++)
		if (p->target.backends[i].value.service == service)
			model.backends[p->target.backends[i].id].weight =
				p->target.backends[i].value.weight;
}

static void apply_step(const struct td_plan *p, const struct td_state *installed,
		       const struct td_step *s)
{
	struct tundish_backend *b;
	uint16_t weight;

	switch (s->kind) {
	case TD_STEP_SERVICE_PUT:
	case TD_STEP_SERVICE_GONE:
		assert_int_equal(p->target.services[s->index].id, s->id);
		model.services[s->id] = p->target.services[s->index].value;
		break;
	case TD_STEP_BACKEND_PUT:
	case TD_STEP_BACKEND_GONE:
		assert_int_equal(p->target.backends[s->index].id, s->id);
		b = &model.backends[s->id];
		weight = b->weight;
		*b = p->target.backends[s->index].value;
		b->weight = weight;
		break;
	case TD_STEP_ROW_SET:
		assert_int_equal(p->target.services[s->index].id, s->id);
		set_row(p, s->id, false);
		break;
	case TD_STEP_VIP_PUT: put_vip(&p->target.vips[s->index]); break;
	case TD_STEP_VIP_DELETE: delete_vip(&installed->vips[s->index]); break;
	}
}

/* What the data path relies on at any moment. */
static void check_data_path(void)
{
	bool ids[TUNDISH_VIPS_MAX] = {0};

	for (size_t i = 0; i < model.n_vips; i++) {
		const struct tundish_vip *v = &model.vips[i].value;
		uint32_t end = 0;

		assert_in_range(v->id, 1, TUNDISH_VIPS_MAX - 1 - v->mask);
		for (uint32_t k = 0; k <= v->mask; k++) {
			assert_false(ids[v->id + k]);
			ids[v->id + k] = true;
		}
		assert_in_range(v->n_ranges, 0, TUNDISH_RANGES_MAX);
		for (int j = 0; j < v->n_ranges; j++) {
			uint32_t service = v->ranges[j].service;

			assert_true(v->ranges[j].first >= end);
			assert_true(v->ranges[j].last >= v->ranges[j].first);
			end = (uint32_t)v->ranges[j].last + 1;
			assert_in_range(service, 1, N_SERVICES - 1);
			assert_int_equal(model.services[service].state, TUNDISH_SERVICE_ACTIVE);
			assert_int_equal(model.services[service].delivery, v->ranges[j].delivery);
		}
	}
	for (uint32_t s = 1; s < N_SERVICES; s++)
		for (uint32_t b = 1; b < N_BACKENDS; b++) {
			if (!model.row[s][b])
				continue;
			assert_int_equal(model.backends[b].service, s);
			assert_int_not_equal(model.backends[b].state, TUNDISH_BACKEND_FREE);
			assert_int_not_equal(model.backends[b].state, TUNDISH_BACKEND_DISABLED);
			assert_int_not_equal(model.backends[b].state, TUNDISH_BACKEND_GONE);
		}
}

/* And what it comes to. */
static void check_settled(void)
{
	check_data_path();
	for (uint32_t b = 1; b < N_BACKENDS; b++) {
		const struct tundish_backend *e = &model.backends[b];

		if (!e->state)
			continue;
		assert_int_equal(model.row[e->service][b], e->weight);
		assert_int_equal(e->weight,
				 e->state == TUNDISH_BACKEND_UP ? td_backend_weight(e) : 0);
	}
}

static const struct tundish_addr *endpoints;
static size_t n_endpoints;

static struct td_plan make_plan(const struct td_config *c, struct td_state *ret_installed)
{
	struct td_plan p = {0};
	struct td_error e = {0};

	*ret_installed = read_model();
	assert_int_equal(td_plan_make(ret_installed, c, endpoints, n_endpoints, &limits, &p, &e),
			 0);
	return p;
}

/* Carries out at most `steps`; the row of the step after them is torn. Returns
 * how many the plan had. */
static size_t run(const struct td_config *c, size_t steps)
{
	struct td_state installed;
	struct td_plan p = make_plan(c, &installed);
	size_t n = p.n_steps;

	for (size_t i = 0; i < n && i < steps; i++) {
		apply_step(&p, &installed, &p.steps[i]);
		check_data_path();
	}
	if (steps < n && p.steps[steps].kind == TD_STEP_ROW_SET)
		set_row(&p, p.steps[steps].id, true);
	td_plan_done(&p);
	td_state_done(&installed);
	return n;
}

/* From the present model to `c`, whole, and cut after each step. */
static size_t go(const struct td_config *c)
{
	struct model start = model, whole;
	size_t n = run(c, SIZE_MAX);

	check_settled();
	assert_int_equal(run(c, SIZE_MAX), 0);
	whole = model;
	for (size_t cut = 0; cut < n; cut++) {
		model = start;
		assert_int_equal(run(c, cut), n);
		run(c, SIZE_MAX);
		check_settled();
		assert_int_equal(run(c, SIZE_MAX), 0);
		assert_memory_equal(model.services, whole.services, sizeof(whole.services));
		assert_memory_equal(model.backends, whole.backends, sizeof(whole.backends));
		assert_memory_equal(model.row, whole.row, sizeof(whole.row));
		assert_int_equal(model.n_vips, whole.n_vips);
		assert_memory_equal(model.vips, whole.vips, whole.n_vips * sizeof(*whole.vips));
	}
	return n;
}

/* Cut, and then the configuration changes again before the daemon is back. */
static void go_astray(const struct td_config *first, const struct td_config *then)
{
	struct model start = model;
	size_t n = run(first, SIZE_MAX);

	for (size_t cut = 0; cut <= n; cut++) {
		model = start;
		run(first, cut);
		run(then, SIZE_MAX);
		check_settled();
		assert_int_equal(run(then, SIZE_MAX), 0);
	}
}

/* ---- configurations --------------------------------------------------------- */

static struct tundish_addr v4(uint32_t host)
{
	return tundish_addr_v4(__builtin_bswap32(host));
}

/* Room for all that the tests need; a test sets the numbers. */
struct test_config {
	struct td_config c;
	struct td_service_conf services[8];
	struct td_vip_conf vips[8][4];
	struct td_port_conf ports[8][4];
	struct td_backend_conf backends[8][8];
};

static void add_service(struct test_config *t, const char *name, uint32_t vip, uint16_t port,
			uint8_t delivery, size_t n_backends)
{
	size_t i = t->c.n_services++;
	struct td_service_conf *s = &t->services[i];

	t->c.services = t->services;
	snprintf(s->name, sizeof(s->name), "%s", name);
	t->vips[i][0].address = v4(vip);
	t->vips[i][0].prefix = TD_PREFIX_ALL;
	t->ports[i][0] = (struct td_port_conf){.first = port, .last = port};
	s->vips = t->vips[i];
	s->n_vips = 1;
	s->ports = t->ports[i];
	s->n_ports = 1;
	s->backends = t->backends[i];
	s->n_backends = n_backends;
	s->protocol = IPPROTO_TCP;
	s->delivery = delivery;
	s->own = true;
	for (size_t b = 0; b < n_backends; b++) {
		snprintf(s->backends[b].name, TUNDISH_NAME_LEN, "%s%zu", name, b + 1);
		s->backends[b].address = v4(0x0a000001 + 256 * i + b);
		s->backends[b].weight = 100;
		s->backends[b].state = TUNDISH_BACKEND_UP;
	}
}

static struct test_config *web(size_t n_backends)
{
	static struct test_config pool[4];
	static size_t next;
	struct test_config *t = &pool[next++ % 4];

	memset(t, 0, sizeof(*t));
	add_service(t, "web", 0xc000020a, 80, TUNDISH_DELIVERY_IPIP, n_backends);
	return t;
}

static int setup(void **state)
{
	memset(&model, 0, sizeof(model));
	endpoints = NULL;
	n_endpoints = 0;
	return 0;
}

static struct tundish_backend *entry(const char *name)
{
	struct td_state s = read_model();
	struct td_service_state *service = td_state_service(&s, "web");
	struct td_backend_state *b = service ? td_state_backend(&s, service->id, name) : NULL;
	uint32_t id = b ? b->id : 0;

	td_state_done(&s);
	return id ? &model.backends[id] : NULL;
}

/* ---- tests ------------------------------------------------------------------ */

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
	assert_int_equal(td_plan_make(&installed, &t->c, NULL, 0, &small, &p, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "raise limits.backends"));
	assert_non_null(strstr(e.text, "\"web3\""));
	assert_null(p.steps);
	small = limits;
	small.services_max = 1;
	assert_int_equal(td_plan_make(&installed, &t->c, NULL, 0, &small, &p, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "raise limits.services"));
	small = limits;
	small.vips_max = 0;
	assert_int_equal(td_plan_make(&installed, &t->c, NULL, 0, &small, &p, &e), -ENOSPC);
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
	assert_int_equal(td_plan_make(&installed, &t->c, NULL, 0, &small, &p, NULL), 0);
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
		cmocka_unit_test_setup(test_nothing_wanted_from_nothing, setup),
		cmocka_unit_test_setup(test_a_service_comes_and_goes, setup),
		cmocka_unit_test_setup(test_steps_come_in_their_order, setup),
		cmocka_unit_test_setup(test_one_that_comes_back_has_its_entry_again, setup),
		cmocka_unit_test_setup(test_another_address_is_another_backend, setup),
		cmocka_unit_test_setup(test_an_address_under_another_name, setup),
		cmocka_unit_test_setup(test_weight_changes_need_the_row_alone, setup),
		cmocka_unit_test_setup(test_run_time_settings_survive_until_the_key_changes, setup),
		cmocka_unit_test_setup(test_a_setting_equal_to_the_file_is_none, setup),
		cmocka_unit_test_setup(test_disabling_moves_the_slots_first, setup),
		cmocka_unit_test_setup(test_a_service_replaced_on_its_vip_and_port, setup),
		cmocka_unit_test_setup(test_delivery_changes_in_place, setup),
		cmocka_unit_test_setup(test_workers_have_one_local_backend_and_endpoints, setup),
		cmocka_unit_test_setup(test_vips_keep_their_numbers, setup),
		cmocka_unit_test_setup(test_a_change_on_top_of_a_cut_one, setup),
		cmocka_unit_test_setup(test_full_tables_are_refused_in_a_sentence, setup),
		cmocka_unit_test_setup(test_a_full_table_of_vips_can_still_change, setup),
		cmocka_unit_test_setup(test_freed_numbers_are_given_again, setup),
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
