// SPDX-License-Identifier: GPL-2.0-only
/*
 * Metrics of limits: what each backend may have, and who was refused for it.
 */
#include "api/metrics.h"

void td_expose_choice(struct td_exposition *e, struct td_daemon *d, const struct td_state *s)
{
	const struct tundish_deliver *all = td_kernel_deliveries(d->kernel);

	td_expose_family(e, TD_METRIC_backend_max_connections);
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct tundish_backend *b = &s->backends[i].value;

		if (!b->max_connections || b->state == TUNDISH_BACKEND_FREE ||
		    b->state == TUNDISH_BACKEND_GONE)
			continue;
		td_expose(e,
			  td_expose_labels(e, "service", td_service_name(s, b->service), "backend",
					   b->name, NULL),
			  b->max_connections);
	}
	td_expose_family(e, TD_METRIC_connections_refused_total);
	for (size_t i = 0; i < s->n_services; i++)
		if (s->services[i].value.state == TUNDISH_SERVICE_ACTIVE)
			td_expose(e,
				  td_expose_labels(e, "service", s->services[i].value.name, NULL),
				  all[s->services[i].id].refused);
}
