/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The plan, carried out on a model of the maps: it must reach its target, be
 * empty when made again, survive being cut after each step, and leave a right
 * data path after each of them.
 */
#ifndef PLAN_FIXTURE_H
#define PLAN_FIXTURE_H

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
#define N_LANES	   64
#define N_HOSTS	   64

/* ---- the model -------------------------------------------------------------- */

/* A row is kept as the set of its members' weights: what it would be made of. */
static struct model {
	struct tundish_service services[N_SERVICES];
	struct tundish_backend backends[N_BACKENDS];
	uint16_t row[N_SERVICES][N_BACKENDS];
	struct td_vip_state vips[N_VIPS];
	size_t n_vips;
	struct tundish_deliver delivers[N_SERVICES];
	struct tundish_lane lanes[N_LANES];
	struct tundish_fan fans[N_BACKENDS];
	struct td_host_state hosts[N_HOSTS]; /* ascending by address */
	size_t n_hosts;
	struct td_quic_state quic[2 * N_BACKENDS];
	size_t n_quic;
} model;

static const struct tundish_settings limits = {.services_max = N_SERVICES,
					       .backends_max = N_BACKENDS,
					       .vips_max = N_VIPS,
					       .lanes_max = N_LANES};

static inline struct td_state read_model(void)
{
	struct td_state s = {
		.services = calloc(N_SERVICES, sizeof(*s.services)),
		.backends = calloc(N_BACKENDS, sizeof(*s.backends)),
		.vips = calloc(N_VIPS, sizeof(*s.vips)),
		.lanes = calloc(N_LANES, sizeof(*s.lanes)),
		.hosts = calloc(N_HOSTS, sizeof(*s.hosts)),
		.fans = calloc(N_BACKENDS, sizeof(*s.fans)),
		.quic = calloc(2 * N_BACKENDS, sizeof(*s.quic)),
	};

	for (uint32_t i = 1; i < N_SERVICES; i++)
		if (model.services[i].state)
			s.services[s.n_services++] =
				(struct td_service_state){i, model.services[i], model.delivers[i]};
	for (uint32_t i = 1; i < N_BACKENDS; i++)
		if (model.backends[i].state)
			s.backends[s.n_backends++] =
				(struct td_backend_state){i, model.backends[i]};
	for (uint32_t i = 1; i < N_LANES; i++)
		if (model.lanes[i].number)
			s.lanes[s.n_lanes++] =
				(struct td_lane_state){.id = i, .value = model.lanes[i]};
	for (uint32_t i = 1; i < N_BACKENDS; i++)
		if (model.fans[i].time_wait)
			s.fans[s.n_fans++] = (struct td_fan_state){i, model.fans[i]};
	memcpy(s.hosts, model.hosts, model.n_hosts * sizeof(*s.hosts));
	s.n_hosts = model.n_hosts;
	memcpy(s.vips, model.vips, model.n_vips * sizeof(*s.vips));
	s.n_vips = model.n_vips;
	memcpy(s.quic, model.quic, model.n_quic * sizeof(*s.quic));
	s.n_quic = model.n_quic;
	return s;
}

typedef int compare_fn(const void *a, const void *b);

/* Where the entry stands in a list of the model; *n: nowhere. */
static inline size_t place_of(const void *list, size_t n, size_t size, const void *entry,
			      compare_fn *compare)
{
	size_t i = 0;

	while (i < n && compare((const char *)list + i * size, entry))
		i++;
	return i;
}

static inline void put_entry(void *list, size_t *n, size_t most, size_t size, const void *entry,
			     compare_fn *compare)
{
	size_t i = place_of(list, *n, size, entry, compare);

	assert_true(i < most);
	memcpy((char *)list + i * size, entry, size);
	*n += i == *n;
	qsort(list, *n, size, compare);
}

static inline void delete_entry(void *list, size_t *n, size_t size, const void *entry,
				compare_fn *compare)
{
	size_t i = place_of(list, *n, size, entry, compare);

	assert_true(i < *n);
	--*n;
	memmove((char *)list + i * size, (char *)list + *n * size, size);
	qsort(list, *n, size, compare);
}

/* @list: an array of the model, beside its n_... */
#define PUT(list, entry, compare)                                                                  \
	put_entry(model.list, &model.n_##list, TD_ARRAY_SIZE(model.list), sizeof(*model.list),     \
		  entry, compare)
#define DELETE(list, entry, compare)                                                               \
	delete_entry(model.list, &model.n_##list, sizeof(*model.list), entry, compare)

static inline int by_host(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tundish_addr));
}

static inline struct td_host_state *host_at(const struct tundish_addr *a)
{
	for (size_t i = 0; i < model.n_hosts; i++)
		if (tundish_addr_equal(&model.hosts[i].address, a))
			return &model.hosts[i];
	return NULL;
}

static inline void set_row(const struct td_plan *p, uint32_t service, bool torn)
{
	uint8_t chooses;

	for (size_t i = 0; i < p->target.n_backends; i++) {
		const struct td_backend_state *b = &p->target.backends[i];

		if (b->value.service == service && model.backends[b->id].weight != b->value.weight)
			model.backends[b->id].weight = TD_WEIGHT_UNSETTLED;
	}
	chooses = td_state_service_by_id(&p->target, service)->value.chooses;
	if (model.services[service].chooses != chooses)
		model.services[service].chooses = TUNDISH_ROW_UNSETTLED;
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
	model.services[service].chooses = chooses;
	for (size_t i = 0; i < p->target.n_backends; i++)
		if (p->target.backends[i].value.service == service)
			model.backends[p->target.backends[i].id].weight =
				p->target.backends[i].value.weight;
}

static inline void apply_step(const struct td_plan *p, const struct td_state *installed,
			      const struct td_step *s)
{
	struct tundish_backend *b;
	uint16_t weight;
	uint8_t chooses;

	switch (s->kind) {
	case TD_STEP_SERVICE_PUT:
	case TD_STEP_SERVICE_GONE:
		assert_int_equal(p->target.services[s->index].id, s->id);
		chooses = model.services[s->id].chooses;
		model.services[s->id] = p->target.services[s->index].value;
		model.services[s->id].chooses =
			model.services[s->id].state == TUNDISH_SERVICE_ACTIVE ? chooses : 0;
		model.delivers[s->id] = p->target.services[s->index].deliver;
		break;
	case TD_STEP_HOST_PUT: PUT(hosts, &p->target.hosts[s->index], by_host); break;
	case TD_STEP_HOST_DELETE: DELETE(hosts, &installed->hosts[s->index], by_host); break;
	case TD_STEP_LANE_PUT:
	case TD_STEP_LANE_GONE:
		assert_int_equal(p->target.lanes[s->index].id, s->id);
		model.lanes[s->id] = p->target.lanes[s->index].value;
		break;
	case TD_STEP_FAN_PUT:
	case TD_STEP_FAN_GONE:
		assert_int_equal(p->target.fans[s->index].id, s->id);
		model.fans[s->id] = p->target.fans[s->index].value;
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
	case TD_STEP_VIP_PUT: PUT(vips, &p->target.vips[s->index], td_vip_state_compare); break;
	case TD_STEP_VIP_DELETE:
		DELETE(vips, &installed->vips[s->index], td_vip_state_compare);
		break;
	case TD_STEP_QUIC_PUT:
		assert_int_equal(p->target.quic[s->index].backend, s->id);
		PUT(quic, &p->target.quic[s->index], td_quic_state_compare);
		break;
	case TD_STEP_QUIC_DELETE:
		DELETE(quic, &installed->quic[s->index], td_quic_state_compare);
		break;
	}
}

/* How many fans name it. */
static inline uint32_t lane_users(uint32_t lane)
{
	uint32_t n = 0;

	for (uint32_t b = 1; b < N_BACKENDS; b++)
		for (size_t i = 0; i < TUNDISH_FAN_LANES; i++)
			n += model.fans[b].lane[i] == lane;
	return n;
}

static inline bool same_tuple(const struct tundish_lane *a, const struct tundish_lane *b)
{
	return tundish_addr_equal(&a->host, &b->host) &&
	       tundish_addr_equal(&a->source, &b->source) && a->port_be == b->port_be &&
	       a->protocol == b->protocol && !((a->flags ^ b->flags) & TUNDISH_LANE_SOURCE);
}

/* A lane that a fan names is whole and not going, its host is known by its number, and
 * no tuple has two. */
static inline void check_lanes(void)
{
	for (uint32_t i = 1; i < N_LANES; i++) {
		const struct tundish_lane *l = &model.lanes[i];
		const struct td_host_state *h;

		if (lane_users(i))
			assert_int_not_equal(l->number, 0);
		if (!l->number)
			continue;
		assert_false(lane_users(i) && l->flags & TUNDISH_LANE_GONE);
		h = host_at(&l->host);
		assert_non_null(h);
		assert_int_equal(h->value.number, l->number);
		assert_true(h->value.flags & TUNDISH_NAT_HOST_BACKEND);
		if (l->flags & TUNDISH_LANE_SOURCE)
			assert_true(host_at(&l->source)->value.flags & TUNDISH_NAT_HOST_SOURCE);
		for (uint32_t k = 1; k < i; k++)
			assert_false(model.lanes[k].number && same_tuple(l, &model.lanes[k]));
	}
	for (size_t i = 0; i < model.n_hosts; i++)
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(model.hosts[i].value.number,
					     model.hosts[k].value.number);
	/* Who gets connections that are translated has lanes for them. */
	for (uint32_t s = 1; s < N_SERVICES; s++)
		for (uint32_t b = 1; b < N_BACKENDS; b++)
			if (model.row[s][b] && td_translates(model.backends[b].delivery))
				assert_int_not_equal(model.fans[b].n_addresses, 0);
}

/* What the data path relies on at any moment. */
static inline void check_data_path(void)
{
	bool ids[TUNDISH_VIPS_MAX] = {0};

	check_lanes();

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
			assert_int_equal(model.services[service].delivery,
					 v->ranges[j].delivery & 0xf);
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
static inline void check_settled(void)
{
	check_data_path();
	for (uint32_t i = 1; i < N_LANES; i++)
		if (model.lanes[i].number)
			assert_int_equal(!lane_users(i),
					 !!(model.lanes[i].flags & TUNDISH_LANE_GONE));
	for (uint32_t b = 1; b < N_BACKENDS; b++) {
		const struct tundish_backend *e = &model.backends[b];
		struct td_state s = {.quic = model.quic, .n_quic = model.n_quic};
		struct tundish_quic_key key = {e->service, e->server_id};
		const struct td_quic_state *q = td_state_quic(&s, &key);

		if (e->state && e->server_id.length) {
			assert_non_null(q);
			if (e->state != TUNDISH_BACKEND_GONE)
				assert_int_equal(q->backend, b);
		}
	}
	for (size_t i = 0; i < model.n_vips; i++)
		for (int j = 0; j < model.vips[i].value.n_ranges; j++) {
			const struct tundish_port_range *r = &model.vips[i].value.ranges[j];

			assert_int_equal(!!model.services[r->service].server_id_length,
					 !!(r->delivery & TUNDISH_RANGE_QUIC));
		}
	for (size_t i = 0; i < model.n_quic; i++) {
		const struct tundish_backend *e = &model.backends[model.quic[i].backend];

		assert_int_equal(e->service, model.quic[i].key.service);
		assert_int_not_equal(e->state, TUNDISH_BACKEND_FREE);
		assert_memory_equal(&e->server_id, &model.quic[i].key.id, sizeof(e->server_id));
	}
	/* who has a limit, or is to be compared, is chosen */
	for (uint32_t s = 1; s < N_SERVICES; s++) {
		bool chooses = model.delivers[s].flags & TUNDISH_DELIVER_LEAST;

		for (uint32_t b = 1; b < N_BACKENDS; b++)
			chooses |= model.backends[b].state &&
				   model.backends[b].state != TUNDISH_BACKEND_GONE &&
				   model.backends[b].service == s &&
				   model.backends[b].max_connections;
		if (model.services[s].state == TUNDISH_SERVICE_ACTIVE)
			assert_int_equal(model.services[s].chooses, chooses);
		else
			assert_int_equal(model.services[s].chooses, 0);
	}
	for (uint32_t b = 1; b < N_BACKENDS; b++) {
		const struct tundish_backend *e = &model.backends[b];

		if (!e->state)
			continue;
		assert_int_equal(model.row[e->service][b], e->weight);
		/* A backup has none while others are healthy. */
		if (e->weight || !(e->flags & TUNDISH_BACKEND_BACKUP))
			assert_int_equal(e->weight,
					 e->state == TUNDISH_BACKEND_UP ? td_backend_share(e) : 0);
	}
}

static const struct td_plan_host nothing_known;
static struct td_plan_host known; /* beside the endpoints */
static const struct tundish_addr *endpoints;
static size_t n_endpoints;

static inline struct td_plan make_plan(const struct td_config *c, struct td_state *ret_installed)
{
	struct td_plan_host h = known;
	struct td_plan p = {0};
	struct td_error e = {0};

	h.endpoints = endpoints;
	h.n_endpoints = n_endpoints;
	*ret_installed = read_model();
	assert_int_equal(td_plan_make(ret_installed, c, &h, &limits, &p, &e), 0);
	return p;
}

/* Carries out at most `steps`; the row of the step after them is torn. Returns
 * how many the plan had. */
static inline size_t run(const struct td_config *c, size_t steps)
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
static inline size_t go(const struct td_config *c)
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
		assert_memory_equal(model.delivers, whole.delivers, sizeof(whole.delivers));
		assert_memory_equal(model.lanes, whole.lanes, sizeof(whole.lanes));
		assert_memory_equal(model.fans, whole.fans, sizeof(whole.fans));
		assert_int_equal(model.n_hosts, whole.n_hosts);
		assert_int_equal(model.n_vips, whole.n_vips);
		assert_memory_equal(model.vips, whole.vips, whole.n_vips * sizeof(*whole.vips));
	}
	return n;
}

/* Cut, and then the configuration changes again before the daemon is back. */
static inline void go_astray(const struct td_config *first, const struct td_config *then)
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

static inline struct tundish_addr v4(uint32_t host)
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

static inline void add_service(struct test_config *t, const char *name, uint32_t vip, uint16_t port,
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
	s->flows = true;
	s->delivery = delivery;
	s->own = true;
	for (size_t b = 0; b < n_backends; b++) {
		snprintf(s->backends[b].name, TUNDISH_NAME_LEN, "%s%zu", name, b + 1);
		s->backends[b].address = v4(0x0a000001 + 256 * i + b);
		s->backends[b].weight = 100;
		s->backends[b].state = TUNDISH_BACKEND_UP;
	}
}

static inline struct test_config *web(size_t n_backends)
{
	static struct test_config pool[4];
	static size_t next;
	struct test_config *t = &pool[next++ % 4];

	memset(t, 0, sizeof(*t));
	add_service(t, "web", 0xc000020a, 80, TUNDISH_DELIVERY_IPIP, n_backends);
	return t;
}

static inline int setup(void **state)
{
	memset(&model, 0, sizeof(model));
	known = nothing_known;
	endpoints = NULL;
	n_endpoints = 0;
	return 0;
}

#endif
