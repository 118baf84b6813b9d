// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translated connections in /metrics, as the last pass of the sweep counted them. Their source
 * ports stand among those of this host: port_metrics.c.
 */
#include "api/flows.h"
#include "api/metrics.h"

static void expose_service(struct td_exposition *e, const struct td_service_state *v,
			   const uint32_t *of)
{
	for (uint32_t k = 1; k < TUNDISH_NAT_STATE_MAX; k++) {
		bool udp = k >= TUNDISH_NAT_UDP_NEW;

		if (udp == (v->value.protocol == IPPROTO_UDP))
			td_expose(e,
				  td_expose_labels(e, "service", v->value.name, "state",
						   td_nat_state_names[k], NULL),
				  of[k]);
	}
}

void td_expose_nat(struct td_exposition *e, struct td_daemon *d, const struct td_state *s)
{
	uint64_t early;

	if (!td_nat_is_on(d))
		return;
	td_expose_family(e, TD_METRIC_nat_connections);
	for (size_t i = 0; i < s->n_services; i++) {
		const struct td_service_state *v = &s->services[i];
		const uint32_t *of = td_nat_sweep_service(d->nat->sweep, v->id);

		if (of && (v->value.delivery == TUNDISH_DELIVERY_NAT ||
			   v->value.delivery == TUNDISH_DELIVERY_FULLNAT))
			expose_service(e, v, of);
	}
	if (td_lane_ports_read(d, false) < 0)
		return;
	/* Not of the lanes themselves: a counter must not fall where one is freed. */
	early = d->nat->early_before;
	for (size_t i = 0; i < d->nat->rows.n; i++)
		early += d->nat->rows.row[i].early;
	td_expose_family(e, TD_METRIC_nat_early_reuse_total);
	td_expose(e, 0, early);
}
