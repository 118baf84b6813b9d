// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sweeps' pace: a timer each 50 ms, and a pass in four seconds or as many as
 * keep it below 0.4% of one core, measured on the pass before: far fewer than one
 * request in a hundred shall meet it on its CPU. And what follows from a complete
 * pass: backends and services that are gone and have no flow left are freed.
 */
#include "daemon/nat.h"

#define TICK_USEC      50000ull
#define TICKS_PER_PASS 80u /* at least */
#define TICKS_MOST     (60 * 1000000ull / TICK_USEC)
#define COST_SHARE     250u /* a pass lasts at least so many times what it costs */
#define BUDGET_NS      (2 * TD_NS_PER_MS)

static struct tundish_maglev *row_of(void *context, uint32_t service)
{
	return td_kernel_maglev(((struct td_daemon *)context)->kernel, service);
}

void td_sweep_tables_of(struct td_daemon *d, struct td_sweep_tables *ret)
{
	const struct tundish_settings *s = td_kernel_settings(d->kernel);

	*ret = (struct td_sweep_tables){
		.flows = td_kernel_flows(d->kernel),
		.flows6 = td_kernel_flows6(d->kernel),
		.tuples = td_kernel_tuples(d->kernel),
		.backends = td_kernel_backends(d->kernel),
		.flow_buckets = s->flow_buckets,
		.flow6_buckets = s->flow6_buckets,
		.tuple_buckets = s->tuple_buckets,
		.backends_max = s->backends_max,
		.services_max = s->services_max,
		.secret = s->secret,
		.timeouts = {.syn = s->syn_timeout,
			     .established = s->established_timeout,
			     .closing = s->closing_timeout,
			     .udp_new = s->udp_new_timeout,
			     .udp = s->udp_timeout},
		.row = row_of,
		.context = d,
	};
}

/* Its server id of QUIC, unless another backend has it by now. */
static void forget_server_id(struct td_daemon *d, uint32_t id, const struct tundish_backend *b)
{
	struct tundish_quic_key key = {b->service, b->server_id};
	uint32_t backend;

	if (b->server_id.length && !td_kernel_get_server_id(d->kernel, &key, &backend) &&
	    backend == id)
		td_kernel_delete_server_id(d->kernel, &key);
}

#define TOLD_MAX 100 /* in one pass; a large file may leave all at once */

static void free_backends(struct td_daemon *d, const struct td_sweep_tables *t)
{
	size_t n = 0;

	for (uint32_t id = 1; id < t->backends_max; id++) {
		struct tundish_backend empty = {0};
		char object[100];

		if (!td_sweep_gone(d->sweep, t, id) || !td_nat_backend_may_go(d, id))
			continue;
		snprintf(object, sizeof(object), "backend %.63s", t->backends[id].name);
		td_nexthop_forget(d, id);
		td_fan_forget(d, id);
		forget_server_id(d, id, &t->backends[id]);
		td_kernel_put_backend(d->kernel, id, &empty);
		__atomic_store_n(&t->backends[id].connections_active, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&t->backends[id].connections_total, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&t->backends[id].opening, 0, __ATOMIC_RELAXED);
		if (n++ < TOLD_MAX)
			td_event(d, "freed", object, "its last flow has ended");
	}
	if (n > TOLD_MAX)
		td_event(d, "freed", "and others", "%zu more backends, whose last flows have ended",
			 n - TOLD_MAX);
}

static void forget_waits(struct tundish_waits *w)
{
	for (size_t i = 0; i < TUNDISH_WAIT_BUCKETS; i++)
		__atomic_store_n(&w->bucket[i], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&w->sum, 0, __ATOMIC_RELAXED);
}

/* Or the next service with this number began with them. */
static void forget_counts(struct td_daemon *d, uint32_t service)
{
	struct tundish_steering *s = &td_kernel_steering(d->kernel)[service];

	__atomic_store_n(&td_kernel_deliveries(d->kernel)[service].refused, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->connections, 0, __ATOMIC_RELAXED);
	for (size_t i = 0; i < TUNDISH_REFUSAL_MAX; i++)
		__atomic_store_n(&s->refused[i], 0, __ATOMIC_RELAXED);
	forget_waits(&td_kernel_service_waits(d->kernel)[service]);
	forget_waits(&td_kernel_syn_waits(d->kernel)[service]);
}

static void free_services(struct td_daemon *d)
{
	_cleanup_(td_state_done) struct td_state s = {0};
	_cleanup_(td_members_done) struct td_members of = {0};

	if (td_kernel_read_state(d->kernel, &s) < 0 || td_state_members(&s, &of) < 0)
		return;
	for (size_t i = 0; i < s.n_services; i++) {
		const struct td_service_state *v = &s.services[i];
		struct tundish_maglev *row = td_kernel_maglev(d->kernel, v->id);
		struct tundish_service empty = {0};
		char object[100];

		if (v->value.state != TUNDISH_SERVICE_GONE ||
		    of.first[v->id] != of.first[v->id + 1]) /* a state has none that are free */
			continue;
		for (uint32_t k = 0; row && k < TUNDISH_MAGLEV_SLOTS; k++)
			__atomic_store_n(&row->slot[k], 0, __ATOMIC_RELAXED);
		if (td_kernel_put_service(d->kernel, v->id, &empty) < 0)
			continue;
		forget_counts(d, v->id);
		snprintf(object, sizeof(object), "service %.63s", v->value.name);
		td_event(d, "freed", object, "its last flow has ended");
	}
}

/* ---- pace ---------------------------------------------------------------------- */

bool td_pace_run(struct td_pace *p, uint32_t slices,
		 bool (*slice)(void *context, uint64_t now_ns, uint32_t buckets), void *context)
{
	uint64_t start = td_now_ns(), now = start, planned;

	p->ticks_due = TD_MAX(p->ticks_due, TICKS_PER_PASS);
	p->ticks++;
	planned = (uint64_t)slices * p->ticks / p->ticks_due;
	while (p->done < planned && now - start < BUDGET_NS) {
		p->done++;
		if (slice(context, now, TD_SWEEP_BUCKETS)) {
			uint64_t cost = p->cost_ns + td_now_ns() - start;

			*p = (struct td_pace){
				.ticks_due =
					TD_MIN(cost * COST_SHARE / (TICK_USEC * 1000), TICKS_MOST)};
			return true;
		}
		now = td_now_ns();
	}
	p->cost_ns += now - start;
	return false;
}

struct flow_sweep {
	struct td_sweep *sweep;
	struct td_sweep_tables tables;
};

static bool slice_of_flows(void *context, uint64_t now_ns, uint32_t buckets)
{
	struct flow_sweep *f = context;

	return td_sweep_slice(f->sweep, &f->tables, now_ns, buckets);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;
	struct flow_sweep f = {.sweep = d->sweep};

	sd_event_source_set_time(source, usec + TICK_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (!d->kernel)
		return 0;
	td_sweep_tables_of(d, &f.tables);
	if (td_pace_run(&d->sweep_pace, td_sweep_slices(&f.tables, TD_SWEEP_BUCKETS),
			slice_of_flows, &f)) {
		free_backends(d, &f.tables);
		free_services(d);
		td_clients_check(d);
	}
	td_nat_tick(d);
	return 0;
}

int td_sweeper_open(struct td_daemon *d)
{
	uint64_t now;

	d->sweep = td_sweep_new(d->settings.backends_max, d->settings.services_max);
	if (!d->sweep)
		return -ENOMEM;
	/* What a former daemon changed last is not known: as if it were now. */
	for (uint32_t i = 1; i < d->settings.services_max; i++)
		td_sweep_owner_changed(d->sweep, i, td_now_ns());
	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	return sd_event_add_time(d->event, NULL, CLOCK_MONOTONIC, now, 5000, on_tick, d);
}
