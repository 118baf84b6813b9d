// SPDX-License-Identifier: GPL-2.0-only
/*
 * Metrics of limits: what each backend may have, and who was refused for it.
 */
#include "daemon/daemon.h"

void td_print_choice_metrics(FILE *out, struct td_daemon *d, const struct td_state *s)
{
	const struct tundish_deliver *all = td_kernel_deliveries(d->kernel);

	td_metric_head(out, "tundish_backend_max_connections", "gauge",
		       "Most connections that the backend may have, where it has a limit.");
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct tundish_backend *b = &s->backends[i].value;

		if (!b->max_connections || b->state == TUNDISH_BACKEND_FREE ||
		    b->state == TUNDISH_BACKEND_GONE)
			continue;
		fprintf(out, "tundish_backend_max_connections{service=\"");
		td_metric_label(out, td_service_name(s, b->service));
		fprintf(out, "\",backend=\"");
		td_metric_label(out, b->name);
		fprintf(out, "\"} %u\n", b->max_connections);
	}
	td_metric_head(out, "tundish_connections_refused_total", "counter",
		       "New connections refused because all backends of the service had their "
		       "max_connections.");
	for (size_t i = 0; i < s->n_services; i++) {
		if (s->services[i].value.state != TUNDISH_SERVICE_ACTIVE)
			continue;
		fprintf(out, "tundish_connections_refused_total{service=\"");
		td_metric_label(out, s->services[i].value.name);
		fprintf(out, "\"} %llu\n", (unsigned long long)all[s->services[i].id].refused);
	}
}
