// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translated connections in /metrics, as the last pass of the sweep counted them. Their source
 * ports stand among those of this host: port_metrics.c.
 */
#include "daemon/flows.h"
#include "daemon/nat.h"

static void print_connections(FILE *out, const struct td_daemon *d, const struct td_state *s)
{
	td_metric_head(out, "tundish_nat_connections", "gauge",
		       "Translated connections, by state of both ends, as the last sweep counted "
		       "them.");
	for (size_t i = 0; i < s->n_services; i++) {
		const struct td_service_state *v = &s->services[i];
		const uint32_t *of = td_nat_sweep_service(d->nat->sweep, v->id);

		if (!of || (v->value.delivery != TUNDISH_DELIVERY_NAT &&
			    v->value.delivery != TUNDISH_DELIVERY_FULLNAT))
			continue;
		for (uint32_t k = 1; k < TUNDISH_NAT_STATE_MAX; k++) {
			bool udp = k >= TUNDISH_NAT_UDP_NEW;

			if (udp != (v->value.protocol == IPPROTO_UDP))
				continue;
			fputs("tundish_nat_connections{service=\"", out);
			td_metric_label(out, v->value.name);
			fprintf(out, "\",state=\"%s\"} %u\n", td_nat_state_names[k], of[k]);
		}
	}
}

void td_print_nat_metrics(FILE *out, struct td_daemon *d, const struct td_state *s)
{
	uint64_t early;

	if (!td_nat_is_on(d))
		return;
	print_connections(out, d, s);
	if (td_lane_ports_read(d, false) < 0)
		return;
	/* Not of the lanes themselves: a counter must not fall where one is freed. */
	early = d->nat->early_before;
	for (size_t i = 0; i < d->nat->rows.n; i++)
		early += d->nat->rows.row[i].early;
	td_metric_head(out, "tundish_nat_early_reuse_total", "counter",
		       "Source ports given again before their rest was over, where that is safe.");
	fprintf(out, "tundish_nat_early_reuse_total %llu\n", (unsigned long long)early);
}
