// SPDX-License-Identifier: GPL-2.0-only
/* Pools of source addresses in /metrics: at most 32 of 64 sources. */
#include "core/address.h"
#include "daemon/daemon.h"

static const char *const reasons[] = {
#define TUNDISH_X(name, help) #name,
	TUNDISH_EGRESS_LEFT(TUNDISH_X)
#undef TUNDISH_X
};

static void print_pools(FILE *out, struct td_daemon *d, const char *name, size_t offset)
{
	for (uint32_t id = 1; d->egress_on && id < TUNDISH_EGRESS_MAX; id++) {
		const struct tundish_egress *e = &td_kernel_egress(d->kernel)[id];
		uint64_t value;

		if (!e->name[0])
			continue;
		memcpy(&value, (const char *)e + offset, sizeof(value));
		fprintf(out, "%s{pool=\"", name);
		td_metric_label(out, e->name);
		fprintf(out, "\"} %llu\n", (unsigned long long)value);
	}
}

static void print_sources(FILE *out, struct td_daemon *d, const char *name, bool up)
{
	for (uint32_t id = 1; d->egress_on && id < TUNDISH_EGRESS_MAX; id++) {
		const struct tundish_egress *e = &td_kernel_egress(d->kernel)[id];

		for (uint32_t i = 0; e->name[0] && i < TUNDISH_EGRESS_SOURCES; i++) {
			const struct tundish_egress_source *s = &e->source[i];
			char text[TD_ADDRESS_TEXT], why[256];

			if (!(s->flags & TUNDISH_SOURCE_LISTED))
				continue;
			fprintf(out, "%s{pool=\"", name);
			td_metric_label(out, e->name);
			fprintf(out, "\",source=\"%s\"} %llu\n",
				td_address_print(&s->address, text),
				up ? (unsigned long long)!strcmp(
					     td_egress_source_state(d, id, i, why, sizeof(why)),
					     "up")
				   : (unsigned long long)s->connections);
		}
	}
}

void td_print_egress_metrics(FILE *out, struct td_daemon *d)
{
	td_metric_head(out, "tundish_egress_connections_total", "counter",
		       "Connections that got this source of the pool.");
	print_sources(out, d, "tundish_egress_connections_total", false);
	td_metric_head(out, "tundish_egress_source_up", "gauge",
		       "1 where connections may get this source.");
	print_sources(out, d, "tundish_egress_source_up", true);
	td_metric_head(out, "tundish_egress_left_alone_total", "counter",
		       "Connections that got no source of the pool, by reason.");
	for (uint32_t id = 1; d->egress_on && id < TUNDISH_EGRESS_MAX; id++) {
		const struct tundish_egress *e = &td_kernel_egress(d->kernel)[id];

		for (size_t i = 0; e->name[0] && i < TUNDISH_EGRESS_LEFT_MAX; i++) {
			fputs("tundish_egress_left_alone_total{pool=\"", out);
			td_metric_label(out, e->name);
			fprintf(out, "\",reason=\"%s\"} %llu\n", reasons[i],
				(unsigned long long)e->left[i]);
		}
	}
	td_metric_head(out, "tundish_egress_exhausted_total", "counter",
		       "Connections for which no source of the pool had a port left.");
	print_pools(out, d, "tundish_egress_exhausted_total",
		    offsetof(struct tundish_egress, exhausted));
	td_metric_head(out, "tundish_egress_shifts_total", "counter",
		       "Times that a source was passed over for another because it was half full.");
	print_pools(out, d, "tundish_egress_shifts_total", offsetof(struct tundish_egress, shifts));
}
