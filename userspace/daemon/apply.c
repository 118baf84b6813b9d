// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps of a plan, carried out one after the other. Each is complete in
 * itself; a daemon that ends between two of them, or within a row, leaves a
 * working data path and a smaller plan (core/plan.h).
 */
#include <signal.h>

#include "core/address.h"
#include "core/override.h"
#include "core/server_id.h"
#include "daemon/daemon.h"

#define ROW_STEP 4096 /* slots that count as one step for the crash tests */

void td_step_done(struct td_daemon *d)
{
	d->steps_done++;
	if (d->die_at && d->steps_done == d->die_at)
		kill(getpid(), SIGKILL);
}

void td_step_failing(struct td_daemon *d)
{
	d->fail_at = d->config ? d->fail_from : 0;
}

int td_step_fails(struct td_daemon *d)
{
	if (!d->fail_at || --d->fail_at)
		return 0;
	d->fail_from++;
	return -ENOSPC;
}

const char *td_step_kind_name(enum td_step_kind kind)
{
	static const char *const names[] = {
		[TD_STEP_SERVICE_PUT] = "service",
		[TD_STEP_BACKEND_PUT] = "backend",
		[TD_STEP_ROW_SET] = "slots",
		[TD_STEP_VIP_PUT] = "vip",
		[TD_STEP_VIP_DELETE] = "vip-remove",
		[TD_STEP_BACKEND_GONE] = "backend-remove",
		[TD_STEP_SERVICE_GONE] = "service-remove",
		[TD_STEP_HOST_PUT] = "host",
		[TD_STEP_HOST_DELETE] = "host-remove",
		[TD_STEP_LANE_PUT] = "tuple",
		[TD_STEP_LANE_GONE] = "tuple-remove",
		[TD_STEP_FAN_PUT] = "tuples",
		[TD_STEP_FAN_GONE] = "tuples-remove",
		[TD_STEP_QUIC_PUT] = "server-id",
		[TD_STEP_QUIC_DELETE] = "server-id-remove",
	};

	return names[kind];
}

/* The backend whose fan it is, which may be gone. */
static void fan_object(const struct td_state *t, uint32_t backend, char *buffer, size_t size)
{
	const struct td_backend_state *b = td_state_backend_by_id(t, backend);

	if (b)
		snprintf(buffer, size, "%s/%.63s", td_service_name(t, b->value.service),
			 b->value.name);
	else
		snprintf(buffer, size, "backend %u", backend);
}

void td_step_object(const struct td_state *installed, const struct td_plan *p,
		    const struct td_step *s, char *buffer, size_t size)
{
	const struct td_state *t = &p->target;
	char text[TD_ADDRESS_TEXT], lane[TD_LANE_TEXT], id[TD_SERVER_ID_TEXT];
	const struct td_quic_state *q;
	const struct tundish_backend *b;

	switch (s->kind) {
	case TD_STEP_SERVICE_PUT:
	case TD_STEP_SERVICE_GONE:
	case TD_STEP_ROW_SET:
		snprintf(buffer, size, "%.63s", t->services[s->index].value.name);
		break;
	case TD_STEP_BACKEND_PUT:
	case TD_STEP_BACKEND_GONE:
		b = &t->backends[s->index].value;
		snprintf(buffer, size, "%s/%.63s", td_service_name(t, b->service), b->name);
		break;
	case TD_STEP_HOST_PUT:
		snprintf(buffer, size, "%s", td_address_print(&t->hosts[s->index].address, text));
		break;
	case TD_STEP_HOST_DELETE:
		snprintf(buffer, size, "%s",
			 td_address_print(&installed->hosts[s->index].address, text));
		break;
	case TD_STEP_LANE_PUT:
	case TD_STEP_LANE_GONE:
		snprintf(buffer, size, "%s", td_lane_text(&t->lanes[s->index].value, lane));
		break;
	case TD_STEP_FAN_PUT:
	case TD_STEP_FAN_GONE: fan_object(t, s->id, buffer, size); break;
	case TD_STEP_VIP_PUT:
		snprintf(buffer, size, "%s", td_address_print(&t->vips[s->index].address, text));
		break;
	case TD_STEP_VIP_DELETE:
		snprintf(buffer, size, "%s",
			 td_address_print(&installed->vips[s->index].address, text));
		break;
	case TD_STEP_QUIC_PUT:
	case TD_STEP_QUIC_DELETE:
		q = s->kind == TD_STEP_QUIC_PUT ? &t->quic[s->index] : &installed->quic[s->index];
		snprintf(buffer, size, "%s/%s", td_service_name(t, q->key.service),
			 td_server_id_print(&q->key.id, id));
		break;
	}
}

/* An entry that nobody had: its counts start at nothing, and what the former
 * user of the number has in the per-CPU traffic is remembered, to be taken off. */
static void clear_counts(struct td_daemon *d, uint32_t id)
{
	struct tundish_backend *b = &td_kernel_backends(d->kernel)[id];
	struct tundish_traffic t = {0};

	td_kernel_traffic(d->kernel, id, &t);
	b->packets_before = t.packets;
	b->bytes_before = t.bytes;
	__atomic_store_n(&b->connections_active, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&b->connections_total, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&b->opening, 0, __ATOMIC_RELAXED);
}

/* But for what is its row's. */
static int put_service(struct td_daemon *d, const struct td_service_state *s,
		       const struct td_state *installed)
{
	const struct td_service_state *now = td_state_service_by_id(installed, s->id);
	struct tundish_service value = s->value;

	value.chooses = 0;
	if (value.state == TUNDISH_SERVICE_ACTIVE && now)
		value.chooses = now->value.chooses;
	return td_kernel_put_service(d->kernel, s->id, &value);
}

/* Another weight is no reason to ask the kernel for the way there: events keep it fresh. */
static bool same_way(const struct td_daemon *d, uint32_t id, const struct tundish_backend *now,
		     const struct tundish_backend *value)
{
	return d->config && now->state != TUNDISH_BACKEND_FREE &&
	       now->state != TUNDISH_BACKEND_GONE && now->delivery == value->delivery &&
	       now->nexthop && !d->memory[id].resolved;
}

static void put_backend(struct td_daemon *d, const struct td_backend_state *s)
{
	const struct tundish_backend *now = &td_kernel_backends(d->kernel)[s->id];
	struct tundish_backend value = s->value;
	bool fresh = now->state == TUNDISH_BACKEND_FREE, known;

	value.weight = fresh ? 0 : now->weight;
	value.nexthop = fresh ? 0 : now->nexthop;
	known = same_way(d, s->id, now, &value);
	if (fresh)
		clear_counts(d, s->id);
	td_kernel_put_backend(d->kernel, s->id, &value);
	td_step_done(d);
	if (value.state != TUNDISH_BACKEND_GONE && !known)
		td_nexthop_refresh(d, s->id);
}

static void write_weights(struct td_daemon *d, const struct td_plan *p, const struct td_members *m,
			  uint32_t service, bool settled)
{
	struct tundish_backend *b = td_kernel_backends(d->kernel);

	for (size_t i = m->first[service]; i < m->first[service + 1]; i++) {
		const struct td_backend_state *s = &p->target.backends[m->index[i]];

		if (b[s->id].weight == s->value.weight)
			continue;
		__atomic_store_n(&b[s->id].weight, settled ? s->value.weight : TD_WEIGHT_UNSETTLED,
				 __ATOMIC_SEQ_CST);
		td_step_done(d);
	}
}

/* Gives each slot to its owner, keeping the count of half-open flows. A slot that had
 * another owner, or chose, asks from now on; one that asks goes on asking. */
static void write_slots(struct td_daemon *d, struct tundish_maglev *row, const uint32_t *owners,
			bool chooses)
{
	uint32_t choose = chooses ? TUNDISH_SLOT_CHOOSE : 0;

	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++) {
		uint32_t old = __atomic_load_n(&row->slot[i], __ATOMIC_RELAXED), new;

		do {
			uint32_t owner = old & TUNDISH_SLOT_BACKEND;

			if (owner == owners[i] && (old & TUNDISH_SLOT_CHOOSE) == choose)
				break;
			new = (old & ~(TUNDISH_SLOT_BACKEND | TUNDISH_SLOT_CHOOSE)) | owners[i] |
			      choose;
			if ((owner && owner != owners[i]) || (old & ~choose & TUNDISH_SLOT_CHOOSE))
				new |= TUNDISH_SLOT_ASK;
		} while (!__atomic_compare_exchange_n(&row->slot[i], &old, new, true,
						      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
		if (i % ROW_STEP == ROW_STEP - 1)
			td_step_done(d);
	}
}

static int set_row(struct td_daemon *d, const struct td_plan *p, const struct td_members *of,
		   struct td_rows *rows, const struct td_step *s, struct td_error *error)
{
	const struct td_service_state *v = td_state_service_by_id(&p->target, s->id);
	struct tundish_maglev *row = td_kernel_maglev(d->kernel, s->id);
	bool chooses = v && v->value.chooses;
	const uint32_t *owners;
	int r;

	if (s->id >= TUNDISH_SERVICES_MAX)
		return td_fail(error, EIO, "service %u is beyond the last", s->id);
	if (!row)
		return td_fail(error, EIO, "service %u has no row in the map maglev", s->id);
	r = td_rows_get(rows, d, (size_t)(s - p->steps), &owners);
	if (r < 0)
		return td_fail(error, -r, "cannot spread slots over the backends of %s: %s",
			       v ? v->value.name : "a service", strerror(-r));
	write_weights(d, p, of, s->id, false);
	r = td_kernel_put_row_state(d->kernel, s->id, chooses, true);
	td_sweep_owner_changed(d->sweep, s->id, td_now_ns());
	write_slots(d, row, owners, chooses);
	td_sweep_owner_changed(d->sweep, s->id, td_now_ns());
	write_weights(d, p, of, s->id, true);
	r = r ?: td_kernel_put_row_state(d->kernel, s->id, chooses, false);
	return r < 0 ? td_fail(error, -r, "cannot write the map services: %s", strerror(-r)) : 0;
}

static int carry_out(struct td_daemon *d, const struct td_state *installed, const struct td_plan *p,
		     const struct td_members *of, struct td_rows *rows, const struct td_step *s,
		     struct td_error *error)
{
	const struct td_state *t = &p->target;
	int r = 0;

	switch (s->kind) {
	case TD_STEP_SERVICE_PUT:
	case TD_STEP_SERVICE_GONE:
		td_kernel_put_deliver(d->kernel, s->id, &t->services[s->index].deliver);
		r = put_service(d, &t->services[s->index], installed);
		break;
	case TD_STEP_BACKEND_PUT:
	case TD_STEP_BACKEND_GONE: put_backend(d, &t->backends[s->index]); return 0;
	case TD_STEP_ROW_SET: return set_row(d, p, of, rows, s, error);
	case TD_STEP_HOST_PUT:
		r = td_kernel_put_host(d->kernel, &t->hosts[s->index].address,
				       &t->hosts[s->index].value);
		break;
	case TD_STEP_HOST_DELETE:
		r = td_kernel_delete_host(d->kernel, &installed->hosts[s->index].address);
		if (r == -ENOENT)
			r = 0;
		break;
	case TD_STEP_LANE_PUT: return td_lane_put(d, &t->lanes[s->index]);
	case TD_STEP_LANE_GONE:
		td_kernel_put_lane(d->kernel, s->id, &t->lanes[s->index].value);
		break;
	case TD_STEP_FAN_PUT:
	case TD_STEP_FAN_GONE: td_kernel_put_fan(d->kernel, s->id, &t->fans[s->index].value); break;
	case TD_STEP_VIP_PUT:
		r = td_kernel_put_vip(
			d->kernel,
			&(struct td_prefix){t->vips[s->index].address, t->vips[s->index].prefix},
			&t->vips[s->index].value);
		break;
	case TD_STEP_VIP_DELETE:
		r = td_kernel_delete_vip(d->kernel,
					 &(struct td_prefix){installed->vips[s->index].address,
							     installed->vips[s->index].prefix});
		if (r == -ENOENT)
			r = 0;
		break;
	case TD_STEP_QUIC_PUT:
		r = td_kernel_put_server_id(d->kernel, &t->quic[s->index].key, s->id);
		break;
	case TD_STEP_QUIC_DELETE:
		r = td_kernel_delete_server_id(d->kernel, &installed->quic[s->index].key);
		break;
	}
	td_step_done(d);
	return r;
}

/* A file with a hundred thousand backends is not told line by line: beyond so many steps of
 * one kind they are counted. */
#define TOLD_MAX 200

static void tell_rest(struct td_daemon *d, const size_t n[TD_STEP_KINDS])
{
	for (size_t kind = 0; kind < TD_STEP_KINDS; kind++)
		if (n[kind] > TOLD_MAX)
			td_event(d, td_step_kind_name(kind), "and others", "%zu more of the kind",
				 n[kind] - TOLD_MAX);
}

int td_apply(struct td_daemon *d, const struct td_state *installed, const struct td_plan *p,
	     struct td_error *error)
{
	_cleanup_(td_members_done) struct td_members of = {0};
	size_t n[TD_STEP_KINDS] = {0};
	struct td_rows *rows = NULL;
	int r = 0;

	if (td_state_members(&p->target, &of) == 0)
		rows = td_rows_start(p, &of);
	if (!rows)
		return td_fail(error, ENOMEM, "out of memory before the first step");
	td_net_lately_begin(d->net);
	for (size_t i = 0; i < p->n_steps && r == 0; i++) {
		const struct td_step *s = &p->steps[i];
		char object[160];

		d->steps_at = i;
		td_breathe(d);
		r = td_step_fails(d) ?: carry_out(d, installed, p, &of, rows, s, error);
		if (r == 0 && n[s->kind]++ >= TOLD_MAX)
			continue;
		td_step_object(installed, p, s, object, sizeof(object));
		if (r == 0)
			td_event(d, td_step_kind_name(s->kind), object, "%s", s->why);
		else if (error && !error->text[0])
			td_fail(error, -r, "step %zu of %zu, %s %s: the kernel refused it: %s",
				i + 1, p->n_steps, td_step_kind_name(s->kind), object,
				strerror(-r));
	}
	td_rows_end(rows);
	td_net_lately_end(d->net);
	tell_rest(d, n);
	return r;
}
