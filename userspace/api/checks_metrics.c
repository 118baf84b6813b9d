// SPDX-License-Identifier: GPL-2.0-only
/* Health checks as metrics: one series for each backend that is checked, a histogram for each service. */
#include "api/metrics.h"
#include "daemon/checks.h"

static uint32_t labels_of(struct td_exposition *e, const struct td_check *c)
{
	return td_expose_labels(e, "service", c->service_name, "backend", c->name, NULL);
}

static void expose_results(struct td_exposition *e, enum td_metric metric, const uint64_t *of)
{
	td_expose_family(e, metric);
	for (size_t i = 0; i <= TD_PROBE_UNABLE; i++)
		td_expose(e,
			  td_expose_labels(e, "result",
					   td_probe_verdict_name((enum td_probe_verdict)i), NULL),
			  of[i]);
}

/* What followed from connections of clients that failed. */
static void expose_passive(struct td_exposition *e, const struct td_checks *k,
			   const uint32_t *labels)
{
	expose_results(e, TD_METRIC_trials_total, k->trials);
	td_expose_family(e, TD_METRIC_backend_ejections_total);
	for (uint32_t i = 0; i < k->n_ids; i++)
		if (k->of[k->ids[i]]->passive)
			td_expose(e, labels[i], k->of[k->ids[i]]->passive->ejections);
	td_expose_family(e, TD_METRIC_backend_failures_in_a_row);
	for (uint32_t i = 0; i < k->n_ids; i++)
		if (k->of[k->ids[i]]->passive)
			td_expose(e, labels[i],
				  k->of[k->ids[i]]->passive->row.refused +
					  k->of[k->ids[i]]->passive->row.unanswered);
}

static void expose_latencies(struct td_exposition *e, const struct td_daemon *d)
{
	const struct td_checks *k = d->checks;
	_cleanup_free_ bool *told = calloc(d->settings.services_max, sizeof(*told));

	td_expose_family(e, TD_METRIC_check_latency_seconds);
	for (uint32_t i = 0; told && i < k->n_ids; i++) {
		const struct td_check *c = k->of[k->ids[i]];
		const struct td_check_times *t = &k->times[c->service];

		if (told[c->service] || strcmp(t->service, c->service_name))
			continue; /* in the latter case none has been done yet */
		told[c->service] = true;
		td_expose_waits(e, td_expose_labels(e, "service", t->service, NULL), &t->waits, 2);
	}
}

void td_expose_checks(struct td_exposition *e, const struct td_daemon *d)
{
	const struct td_checks *k = d->checks;
	_cleanup_free_ uint32_t *labels = calloc(k->n_ids + 1, sizeof(*labels));

	if (!labels)
		return;
	for (uint32_t i = 0; i < k->n_ids; i++) {
		const struct td_check *c = k->of[k->ids[i]];

		if (c->check.answered || c->passive)
			labels[i] = labels_of(e, c);
	}
	expose_results(e, TD_METRIC_checks_total, k->results);
	td_expose_family(e, TD_METRIC_check_duration_seconds);
	for (uint32_t i = 0; i < k->n_ids; i++)
		if (k->of[k->ids[i]]->check.answered)
			td_expose_ns(e, labels[i], k->of[k->ids[i]]->check.latency_ns);
	expose_latencies(e, d);
	expose_passive(e, k, labels);
}
