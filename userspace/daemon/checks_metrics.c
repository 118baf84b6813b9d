// SPDX-License-Identifier: GPL-2.0-only
/* Health checks as metrics: one series for each backend that is checked. */
#include "daemon/checks.h"

static int by_names(const void *a, const void *b)
{
	const struct td_check *x = *(const struct td_check *const *)a;
	const struct td_check *y = *(const struct td_check *const *)b;
	int c = strcmp(x->service_name, y->service_name);

	return c ? c : strcmp(x->name, y->name);
}

void td_print_check_metrics(FILE *out, const struct td_daemon *d)
{
	const struct td_checks *k = d->checks;
	_cleanup_free_ const struct td_check **all = calloc(k->n_ids + 1, sizeof(*all));
	size_t n = 0;

	td_metric_head(out, "tundish_checks_total", "counter",
		       "Health checks done, and questions to agents, by result.");
	for (size_t i = 0; i < TD_ARRAY_SIZE(k->results); i++)
		fprintf(out, "tundish_checks_total{result=\"%s\"} %llu\n",
			td_check_verdict_name((enum td_probe_verdict)i),
			(unsigned long long)k->results[i]);
	td_metric_head(out, "tundish_check_duration_seconds", "gauge",
		       "How long the last health check of a backend took.");
	for (uint32_t i = 0; all && i < k->n_ids; i++)
		if (k->of[k->ids[i]]->check.answered)
			all[n++] = k->of[k->ids[i]];
	if (n)
		qsort(all, n, sizeof(*all), by_names);
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "tundish_check_duration_seconds{service=\"");
		td_metric_label(out, all[i]->service_name);
		fprintf(out, "\",backend=\"");
		td_metric_label(out, all[i]->name);
		fprintf(out, "\"} %.9f\n", (double)all[i]->check.latency_ns / 1e9);
	}
}
