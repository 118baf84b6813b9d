// SPDX-License-Identifier: GPL-2.0-only
/* Pools of source addresses in /metrics: at most 32 of 64 sources. */
#include "api/metrics.h"
#include "core/address.h"

static const char *const reasons[] = {
#define TUNDISH_X(name, help) #name,
	TUNDISH_EGRESS_LEFT(TUNDISH_X)
#undef TUNDISH_X
};

static void expose_pools(struct td_exposition *e, struct td_daemon *d, enum td_metric metric,
			 size_t offset)
{
	td_expose_family(e, metric);
	for (uint32_t id = 1; d->egress_on && id < TUNDISH_EGRESS_MAX; id++) {
		const struct tundish_egress *pool = &td_kernel_egress(d->kernel)[id];
		uint64_t value;

		if (!pool->name[0])
			continue;
		memcpy(&value, (const char *)pool + offset, sizeof(value));
		td_expose(e, td_expose_labels(e, "pool", pool->name, NULL), value);
	}
}

static void expose_sources(struct td_exposition *e, struct td_daemon *d, enum td_metric metric)
{
	td_expose_family(e, metric);
	for (uint32_t id = 1; d->egress_on && id < TUNDISH_EGRESS_MAX; id++) {
		const struct tundish_egress *pool = &td_kernel_egress(d->kernel)[id];

		for (uint32_t i = 0; pool->name[0] && i < TUNDISH_EGRESS_SOURCES; i++) {
			const struct tundish_egress_source *s = &pool->source[i];
			char text[TD_ADDRESS_TEXT], why[256];
			uint32_t labels;

			if (!(s->flags & TUNDISH_SOURCE_LISTED))
				continue;
			labels = td_expose_labels(e, "pool", pool->name, "source",
						  td_address_print(&s->address, text), NULL);
			if (metric == TD_METRIC_egress_source_up)
				td_expose(
					e, labels,
					!strcmp(td_egress_source_state(d, id, i, why, sizeof(why)),
						"up"));
			else
				td_expose(e, labels, s->connections);
		}
	}
}

void td_expose_egress(struct td_exposition *e, struct td_daemon *d)
{
	expose_sources(e, d, TD_METRIC_egress_connections_total);
	expose_sources(e, d, TD_METRIC_egress_source_up);
	td_expose_family(e, TD_METRIC_egress_left_alone_total);
	for (uint32_t id = 1; d->egress_on && id < TUNDISH_EGRESS_MAX; id++) {
		const struct tundish_egress *pool = &td_kernel_egress(d->kernel)[id];

		for (size_t i = 0; pool->name[0] && i < TUNDISH_EGRESS_LEFT_MAX; i++)
			td_expose(
				e,
				td_expose_labels(e, "pool", pool->name, "reason", reasons[i], NULL),
				pool->left[i]);
	}
	expose_pools(e, d, TD_METRIC_egress_exhausted_total,
		     offsetof(struct tundish_egress, exhausted));
	expose_pools(e, d, TD_METRIC_egress_shifts_total, offsetof(struct tundish_egress, shifts));
}
