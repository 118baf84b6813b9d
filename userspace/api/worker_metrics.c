// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers in /metrics. Histograms are cut to every second bucket, and left out of
 * groups with more than 64 workers, where they would be most of the page.
 */
#include "api/metrics.h"

#define HISTOGRAMS_MOST 64

static uint32_t labels_of(struct td_exposition *e, const struct td_service_state *s,
			  uint32_t worker)
{
	char name[16];

	snprintf(name, sizeof(name), "w%u", worker);
	return td_expose_labels(e, "service", s->value.name, "worker", name, NULL);
}

static void each_worker(struct td_exposition *e, struct td_daemon *d, const struct td_state *s,
			enum td_metric metric)
{
	const struct tundish_worker *all = td_kernel_workers(d->kernel);
	bool total = metric == TD_METRIC_worker_connections_total;

	td_expose_family(e, metric);
	for (size_t i = 0; i < s->n_services; i++) {
		const struct tundish_group *g = td_group_of_service(d, s->services[i].id);

		for (uint32_t k = 0; g && k < g->used; k++) {
			const struct tundish_worker *w = &all[g->first + k];

			if (!w->cookie || (!total && w->flags & TUNDISH_WORKER_UDP))
				continue;
			td_expose(e, labels_of(e, &s->services[i], k),
				  total					   ? td_worker_total(w)
				  : metric == TD_METRIC_worker_queue_depth ? w->queue
									   : w->limit + 1);
		}
	}
}

static void expose_refusals(struct td_exposition *e, struct td_daemon *d, const struct td_state *s)
{
	td_expose_family(e, TD_METRIC_worker_refusals_total);
	for (size_t i = 0; i < s->n_services; i++) {
		const struct tundish_steering *t =
			&td_kernel_steering(d->kernel)[s->services[i].id];

		for (size_t r = 0; t->group && r < TUNDISH_REFUSAL_MAX; r++)
			td_expose(e,
				  td_expose_labels(e, "service", s->services[i].value.name,
						   "reason", td_refusal_name(r), NULL),
				  t->refused[r]);
	}
}

/* @waits: by service id */
static void each_service(struct td_exposition *e, struct td_daemon *d, const struct td_state *s,
			 enum td_metric metric, const struct tundish_waits *waits)
{
	td_expose_family(e, metric);
	for (size_t i = 0; i < s->n_services; i++)
		if (td_kernel_steering(d->kernel)[s->services[i].id].group)
			td_expose_waits(
				e, td_expose_labels(e, "service", s->services[i].value.name, NULL),
				&waits[s->services[i].id], 2);
}

static void expose_waits(struct td_exposition *e, struct td_daemon *d, const struct td_state *s)
{
	const struct tundish_worker *all = td_kernel_workers(d->kernel);

	each_service(e, d, s, TD_METRIC_accept_wait_seconds, td_kernel_service_waits(d->kernel));
	each_service(e, d, s, TD_METRIC_syn_accept_seconds, td_kernel_syn_waits(d->kernel));
	td_expose_family(e, TD_METRIC_worker_accept_wait_seconds);
	for (size_t i = 0; i < s->n_services; i++) {
		const struct tundish_group *g = td_group_of_service(d, s->services[i].id);

		for (uint32_t k = 0; g && g->used <= HISTOGRAMS_MOST && k < g->used; k++)
			if (all[g->first + k].cookie)
				td_expose_waits(e, labels_of(e, &s->services[i], k),
						&td_kernel_worker_waits(d->kernel)[g->first + k],
						2);
	}
}

void td_expose_workers(struct td_exposition *e, struct td_daemon *d, const struct td_state *s)
{
	if (d->groups_on)
		td_kernel_measure_queues(d->kernel);
	each_worker(e, d, s, TD_METRIC_worker_queue_depth);
	each_worker(e, d, s, TD_METRIC_worker_queue_limit);
	each_worker(e, d, s, TD_METRIC_worker_connections_total);
	expose_refusals(e, d, s);
	expose_waits(e, d, s);
}
