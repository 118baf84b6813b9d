// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source ports, TIME_WAIT and the scans in /metrics. The series are bounded: the fullest
 * thousand tuples, all that have used a tenth, and the rest as one, "other". A label
 * `namespace` tells apart what is not of the daemon's own, where it is left out; `source`
 * what is of translated connections, where it is "nat".
 */
#include <math.h>

#include "api/metrics.h"
#include "core/address.h"

/* What tells a tuple, as labels; NULL: it has no such one. */
struct names {
	char local[TD_ADDRESS_TEXT], remote[TD_ADDRESS_TEXT], port[8];
	const char *space, *protocol;
	bool nat;
};

static void names_of(const struct td_daemon *d, const struct td_tuple *t, struct names *n)
{
	*n = (struct names){.local = "other", .remote = "other"};
	if (!t)
		return;
	td_address_print(&t->key.local, n->local);
	n->remote[0] = '\0'; /* UDP, bind: whatever it is */
	if (td_port_has_remote(&t->key))
		td_address_print(&t->key.remote, n->remote);
	if (td_port_has_remote(&t->key) && t->key.remote_port_be) /* 0: any, as "" */
		snprintf(n->port, sizeof(n->port), "%u", __builtin_bswap16(t->key.remote_port_be));
	if (d->source_ports->spaces[t->key.space].name[0])
		n->space = d->source_ports->spaces[t->key.space].name;
	n->nat = t->key.space == TD_SPACE_NAT;
	if (n->nat && t->key.protocol == IPPROTO_UDP)
		n->protocol = "udp";
}

/* @last: what comes behind the others, with its value; NULL: nothing. */
static uint32_t labels_of(struct td_exposition *e, const struct td_daemon *d,
			  const struct td_tuple *t, const char *last, const char *value)
{
	struct names n;

	names_of(d, t, &n);
	return td_expose_labels(e, "local_ip", n.local, "remote_ip", n.remote, "remote_port",
				n.port, "namespace", n.space, "protocol", n.protocol, "source",
				n.nat ? "nat" : NULL, last, value, NULL);
}

static void expose_used_of(struct td_exposition *e, const struct td_daemon *d,
			   const struct td_tuple *t, const struct td_picture *p)
{
	struct names n;

	names_of(d, t, &n);
	for (size_t i = 0; i < TUNDISH_PORT_STATE_MAX; i++) {
		/* The others are there as soon as there is one. */
		if (!p->state[i] && i != TUNDISH_PORT_established && i != TUNDISH_PORT_time_wait)
			continue;
		td_expose(e,
			  td_expose_labels(e, "source", n.nat ? "nat" : "host", "local_ip", n.local,
					   "remote_ip", n.remote, "remote_port", n.port,
					   "namespace", n.space, "protocol", n.protocol, "state",
					   td_port_state_names[i], NULL),
			  p->state[i]);
	}
}

static void expose_used(struct td_exposition *e, const struct td_daemon *d,
			const struct td_selection *s)
{
	td_expose_family(e, TD_METRIC_source_ports_used);
	for (size_t i = 0; i < s->n; i++)
		expose_used_of(e, d, s->rows[i], &s->rows[i]->picture);
	if (s->n_other)
		expose_used_of(e, d, NULL, &s->other);
}

static void expose_gauges(struct td_exposition *e, const struct td_daemon *d,
			  const struct td_selection *s, uint32_t *labels)
{
	double most = 0;

	for (size_t i = 0; i < s->n; i++)
		labels[i] = labels_of(e, d, s->rows[i], NULL, NULL);
	td_expose_family(e, TD_METRIC_source_ports_usable);
	for (size_t i = 0; i < s->n; i++)
		td_expose(e, labels[i], s->rows[i]->picture.usable);
	td_expose_family(e, TD_METRIC_source_port_utilization_ratio);
	for (size_t i = 0; i < s->n; i++) {
		most = fmax(most, s->rows[i]->picture.utilization);
		td_expose_real(e, labels[i], s->rows[i]->picture.utilization);
	}
	td_expose_family(e, TD_METRIC_source_port_utilization_max_ratio);
	td_expose_real(e, 0, most);
	td_expose_family(e, TD_METRIC_source_port_exhaustion_seconds);
	for (size_t i = 0; i < s->n; i++)
		if (!isinf(s->rows[i]->picture.exhaustion_s))
			td_expose_real(e, labels[i], s->rows[i]->picture.exhaustion_s);
}

/* Those of tuples that were deleted stay in "other", so that no sum ever falls. */
static void expose_failures(struct td_exposition *e, const struct td_daemon *d,
			    const struct td_selection *s)
{
	td_expose_family(e, TD_METRIC_source_port_allocation_failures_total);
	for (size_t i = 0; i <= s->n; i++)
		for (size_t k = 0; k < TUNDISH_PORT_FAILED_MAX; k++) {
			const struct td_tuple *t = i < s->n ? s->rows[i] : NULL;
			uint64_t n = t ? t->value.failed[k]
				       : s->other_failed[k] + d->source_ports->gone_failed[k] +
						     (k == TUNDISH_PORT_FAILED_EADDRNOTAVAIL
							      ? d->nat->refused_before
							      : 0);

			/* A zero, so that the first failure is seen as an increase. */
			if (t && !n && k != TUNDISH_PORT_FAILED_EADDRNOTAVAIL)
				continue;
			td_expose(e, labels_of(e, d, t, "errno", td_port_failure_names[k]), n);
		}
}

static void expose_time_wait(struct td_exposition *e, const struct td_source_ports *p)
{
	static const enum td_metric metrics[] = {
		TD_METRIC_time_wait_sockets,
		TD_METRIC_time_wait_limit_sockets,
		TD_METRIC_time_wait_entered_total,
		TD_METRIC_time_wait_overflow_total,
	};

	for (size_t m = 0; m < TD_ARRAY_SIZE(metrics); m++) {
		td_expose_family(e, metrics[m]);
		for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++) {
			const struct td_space *s = &p->spaces[i];
			const uint64_t values[] = {s->facts.tw, s->facts.tw_limit,
						   s->facts.tw_entered, s->facts.tw_overflow};

			if (s->wanted && s->present)
				td_expose(e,
					  td_expose_labels(e, "namespace",
							   s->name[0] ? s->name : NULL, NULL),
					  values[m]);
		}
	}
}

static void expose_scan(struct td_exposition *e, const struct td_source_ports *p)
{
	td_expose_family(e, TD_METRIC_socket_scan_duration_seconds);
	td_expose_ns(e, 0, p->duration_ns);
	td_expose_family(e, TD_METRIC_socket_scan_cpu_seconds);
	td_expose_ns(e, 0, p->cpu_ns);
	td_expose_family(e, TD_METRIC_socket_scan_interval_seconds);
	td_expose_ns(e, 0, p->interval_ns);
	td_expose_family(e, TD_METRIC_socket_scan_timestamp_seconds);
	td_expose_ns(e, 0, (uint64_t)p->ended_ms * 1000000);
}

void td_expose_ports(struct td_exposition *e, struct td_daemon *d)
{
	_cleanup_(td_selection_done) struct td_selection s = {0};
	_cleanup_free_ uint32_t *labels = NULL;
	bool host = d->source_ports->on && d->source_ports->rounds;

	if (!host && !td_nat_is_on(d))
		return;
	if (td_port_table_select(d, TD_TUPLES_BY_USE, TD_TUPLES_SHOWN, true, false, &s) < 0)
		return;
	labels = calloc(s.n + 1, sizeof(*labels));
	if (!labels)
		return;
	expose_used(e, d, &s);
	expose_gauges(e, d, &s, labels);
	expose_failures(e, d, &s);
	if (!host)
		return;
	td_expose_family(e, TD_METRIC_source_port_search_seconds);
	td_expose_waits(e, 0, td_kernel_port_search(d->kernel), 1);
	expose_time_wait(e, d->source_ports);
	expose_scan(e, d->source_ports);
}
