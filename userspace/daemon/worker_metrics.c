// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers in /metrics. Histograms are cut to every second bucket, and left out of
 * groups with more than 64 workers, where they would be most of the page.
 */
#include "daemon/daemon.h"

#define HISTOGRAMS_MOST 64

enum what { DEPTH, LIMIT, TOTAL };

static void each_worker(FILE *out, struct td_daemon *d, const struct td_state *s, enum what what,
			const char *name)
{
	const struct tundish_worker *all = td_kernel_workers(d->kernel);

	for (size_t i = 0; i < s->n_services; i++) {
		const struct tundish_group *g = td_group_of_service(d, s->services[i].id);

		for (uint32_t k = 0; g && k < g->used; k++) {
			const struct tundish_worker *w = &all[g->first + k];

			if (!w->cookie || (what != TOTAL && w->flags & TUNDISH_WORKER_UDP))
				continue;
			fprintf(out, "%s{service=\"", name);
			td_metric_label(out, s->services[i].value.name);
			fprintf(out, "\",worker=\"w%u\"} %llu\n", k,
				(unsigned long long)(what == DEPTH   ? w->queue
						     : what == LIMIT ? w->limit + 1
								     : td_worker_total(w)));
		}
	}
}

static void histogram(FILE *out, const char *name, const char *service, const char *worker,
		      const struct tundish_waits *t)
{
	char labels[160] = "";
	uint64_t seen = 0;

	if (worker)
		snprintf(labels, sizeof(labels), ",worker=\"%s\"", worker);
	for (size_t i = 0; i < TUNDISH_WAIT_BUCKETS; i++) {
		seen += t->bucket[i];
		if (i % 2 == 0 || i == TUNDISH_WAIT_BUCKETS - 1)
			continue;
		fprintf(out, "%s_bucket{service=\"", name);
		td_metric_label(out, service);
		fprintf(out, "\"%s,le=\"%g\"} %llu\n", labels, (double)(1ull << i) / 1e6,
			(unsigned long long)seen);
	}
	fprintf(out, "%s_bucket{service=\"", name);
	td_metric_label(out, service);
	fprintf(out, "\"%s,le=\"+Inf\"} %llu\n%s_sum{service=\"", labels, (unsigned long long)seen,
		name);
	td_metric_label(out, service);
	fprintf(out, "\"%s} %.9f\n%s_count{service=\"", labels, (double)t->sum / 1e9, name);
	td_metric_label(out, service);
	fprintf(out, "\"%s} %llu\n", labels, (unsigned long long)seen);
}

void td_print_worker_metrics(FILE *out, struct td_daemon *d, const struct td_state *s)
{
	const struct tundish_worker *all = td_kernel_workers(d->kernel);

	if (d->groups_on)
		td_kernel_measure_queues(d->kernel);
	td_metric_head(out, "tundish_worker_queue_depth", "gauge",
		       "Connections that wait to be accepted.");
	each_worker(out, d, s, DEPTH, "tundish_worker_queue_depth");
	td_metric_head(out, "tundish_worker_queue_limit", "gauge",
		       "Connections that can wait to be accepted.");
	each_worker(out, d, s, LIMIT, "tundish_worker_queue_limit");
	td_metric_head(
		out, "tundish_worker_connections_total", "counter",
		"Connections that came into the worker's queue, or datagrams, by whichever service.");
	each_worker(out, d, s, TOTAL, "tundish_worker_connections_total");
	td_metric_head(out, "tundish_worker_refusals_total", "counter",
		       "SYNs or datagrams that got no worker, by reason.");
	for (size_t i = 0; i < s->n_services; i++) {
		const struct tundish_steering *t =
			&td_kernel_steering(d->kernel)[s->services[i].id];

		for (size_t r = 0; t->group && r < TUNDISH_REFUSAL_MAX; r++) {
			fputs("tundish_worker_refusals_total{service=\"", out);
			td_metric_label(out, s->services[i].value.name);
			fprintf(out, "\",reason=\"%s\"} %llu\n", td_refusal_name(r),
				(unsigned long long)t->refused[r]);
		}
	}
	td_metric_head(out, "tundish_accept_wait_seconds", "histogram",
		       "From the end of the handshake to accept(2), by service.");
	for (size_t i = 0; i < s->n_services; i++)
		if (td_kernel_steering(d->kernel)[s->services[i].id].group)
			histogram(out, "tundish_accept_wait_seconds", s->services[i].value.name,
				  NULL, &td_kernel_service_waits(d->kernel)[s->services[i].id]);
	td_metric_head(out, "tundish_worker_accept_wait_seconds", "histogram",
		       "From the end of the handshake to accept(2), by worker.");
	for (size_t i = 0; i < s->n_services; i++) {
		const struct tundish_group *g = td_group_of_service(d, s->services[i].id);

		for (uint32_t k = 0; g && g->used <= HISTOGRAMS_MOST && k < g->used; k++) {
			char name[16];

			if (!all[g->first + k].cookie)
				continue;
			snprintf(name, sizeof(name), "w%u", k);
			histogram(out, "tundish_worker_accept_wait_seconds",
				  s->services[i].value.name, name,
				  &td_kernel_worker_waits(d->kernel)[g->first + k]);
		}
	}
}
