// SPDX-License-Identifier: GPL-2.0-only
/*
 * The last hour in memory. It begins anew with each daemon, also with one that takes over the
 * process: what was before is Prometheus' to know.
 *
 * Rings go by CLOCK_BOOTTIME, so a host that slept has a gap and one whose clock was set has
 * none; the wall clock is asked for answers alone.
 */
#include <math.h>
#include <time.h>

#include "daemon/history.h"
#include "daemon/nat.h"
#include "daemon/source_ports.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * TD_NS_PER_S + (uint64_t)t.tv_nsec;
}

double td_history_end_wall(const struct td_history *h)
{
	uint64_t now = clock_ns(CLOCK_BOOTTIME);
	uint64_t end = h->now ? td_history_end_ns(h) : now - now % TD_HISTORY_STEP_NS;

	return round(((double)clock_ns(CLOCK_REALTIME) - (double)(now - end)) / TD_NS_PER_S);
}

int td_histories_open(struct td_daemon *d)
{
	struct td_histories *h = calloc(1, sizeof(*h));

	d->histories = h;
	if (!h)
		return -ENOMEM;
	h->services_max = d->settings.services_max;
	h->of = calloc(h->services_max, sizeof(*h->of));
	h->edge = td_history_new(TD_HISTORY_N);
	return h->of && h->edge ? 0 : -ENOMEM;
}

void td_histories_close(struct td_daemon *d)
{
	struct td_histories *h = d->histories;

	for (uint32_t i = 0; h && h->of && i < h->services_max; i++)
		free(h->of[i].ring);
	if (h) {
		free(h->of);
		free(h->edge);
	}
	free(h);
	d->histories = NULL;
}

/* A service keeps its number as long as it keeps its name. */
void td_histories_follow(struct td_daemon *d, const struct td_state *target)
{
	struct td_histories *h = d->histories;
	size_t at = 0;

	for (uint32_t id = 0; id < h->services_max; id++) {
		struct td_service_history *s = &h->of[id];
		const char *name = NULL;

		while (at < target->n_services && target->services[at].id < id)
			at++;
		if (at < target->n_services && target->services[at].id == id &&
		    target->services[at].value.state == TUNDISH_SERVICE_ACTIVE)
			name = target->services[at].value.name;
		if (s->ring && (!name || strncmp(s->name, name, sizeof(s->name)) != 0)) {
			free(s->ring);
			s->ring = NULL;
		}
		if (!name)
			continue;
		s->workers = target->services[at].value.delivery == TUNDISH_DELIVERY_WORKERS;
		if (s->ring)
			continue;
		memcpy(s->name, name, sizeof(s->name));
		s->ring = td_history_new(TD_HISTORY_OF_SERVICE);
	}
}

/* ---- a sample ------------------------------------------------------------------------- */

void td_histories_begin(struct td_daemon *d)
{
	for (uint32_t id = 0; id < d->histories->services_max; id++)
		memset(d->histories->of[id].sums, 0, sizeof(d->histories->of[id].sums));
}

void td_histories_add(struct td_daemon *d, const struct tundish_backend *b,
		      const struct td_sample *s)
{
	double *sums;

	if (b->service >= d->histories->services_max)
		return;
	sums = d->histories->of[b->service].sums;
	sums[TD_HISTORY_connections_rate] += s->connections_rate;
	sums[TD_HISTORY_packets_rate] += s->packets_rate;
	sums[TD_HISTORY_bytes_rate] += s->bytes_rate;
	sums[TD_HISTORY_connections_active] += (double)b->connections_active;
	/* Not one that is tried although health says down, since no other is left. */
	sums[TD_HISTORY_up] += b->state == TUNDISH_BACKEND_UP &&
			       td_backend_state_wanted(b) != TUNDISH_BACKEND_DOWN;
}

/* Workers of the group that take connections. */
static uint32_t workers_up(struct td_daemon *d, uint32_t group)
{
	const struct tundish_group *g = &td_kernel_groups(d->kernel)[group];
	const struct tundish_worker *w = td_kernel_workers(d->kernel) + g->first;
	uint32_t up = 0;

	for (uint32_t i = 0; i < TD_MIN(g->used, g->size); i++)
		up += w[i].cookie && !(w[i].flags & TUNDISH_WORKER_DRAIN);
	return up;
}

/* 0: it has none. */
static uint32_t group_of(struct td_daemon *d, uint32_t service)
{
	uint32_t group = td_kernel_steering(d->kernel)[service].group;

	return group < td_kernel_settings(d->kernel)->groups_max ? group : 0;
}

static uint64_t drops_of(const struct tundish_counters *c)
{
	uint64_t n = 0;

#define TUNDISH_X(name, kind, help) n += TUNDISH_KIND_##kind == TUNDISH_KIND_DROP ? c->name : 0;
	TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
	return n;
}

/* In all network namespaces that are watched, as their last scans found them. */
static double time_wait(const struct td_source_ports *p)
{
	double n = NAN;

	for (uint32_t i = 1; p->on && i < TUNDISH_SPACES_MAX; i++)
		if (p->spaces[i].wanted && p->spaces[i].present && p->spaces[i].facts_ns)
			n = (isnan(n) ? 0 : n) + p->spaces[i].facts.tw;
	return n;
}

static double fullest_of(const struct td_source_ports *p, const struct td_tuples *t, double most)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->row[i].picture.usable && td_tuple_listed(p, &t->row[i]))
			most = fmax(most, t->row[i].picture.utilization);
	return most;
}

/* As the tables were read last: nothing is read for it. */
static double port_utilization(const struct td_daemon *d)
{
	double most = NAN;

	if (d->source_ports->on && d->source_ports->rounds)
		most = fullest_of(d->source_ports, &d->source_ports->tuples, most);
	return td_nat_is_on(d) ? fullest_of(d->source_ports, &d->nat->rows, most) : most;
}

static void sample_edge(struct td_daemon *d, uint64_t now, double seconds, double *sums)
{
	struct td_history *edge = d->histories->edge;
	uint64_t drops = drops_of(&d->counters), before = drops_of(&d->former_counters);

	sums[TD_HISTORY_drops_rate] = drops > before ? (double)(drops - before) / seconds : 0;
	sums[TD_HISTORY_time_wait] = time_wait(d->source_ports);
	/* There may be a hundred thousand tuples: once a point is enough. */
	sums[TD_HISTORY_port_utilization] =
		edge->now != now / TD_HISTORY_STEP_NS ? port_utilization(d) : NAN;
	td_history_sample(edge, now, sums);
}

void td_histories_end(struct td_daemon *d, double seconds)
{
	struct td_histories *h = d->histories;
	uint64_t now = clock_ns(CLOCK_BOOTTIME);
	double all[TD_HISTORY_N] = {0};

	if (seconds <= 0)
		return;
	for (uint32_t id = 0; id < h->services_max; id++) {
		double *sums = h->of[id].sums;
		uint32_t group = h->of[id].ring && h->of[id].workers ? group_of(d, id) : 0;

		if (group) /* else it is as up as this host's stack is */
			sums[TD_HISTORY_up] = workers_up(d, group);
		/* Also of one that has gone, and whose last connections go on. */
		for (unsigned int i = 0; i < TD_HISTORY_OF_SERVICE; i++)
			all[i] += sums[i];
		if (h->of[id].ring)
			td_history_sample(h->of[id].ring, now, sums);
	}
	sample_edge(d, now, seconds, all);
}
