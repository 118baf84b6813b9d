// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source ports, TIME_WAIT and the scans in /metrics. The series are bounded: the fullest
 * thousand tuples, all that have used a tenth, and the rest as one, "other". A label
 * `namespace` tells apart what is not of the daemon's own, where it is left out; `source`
 * what is of translated connections, where it is "nat".
 */
#include <math.h>

#include "core/address.h"
#include "daemon/nat.h"

static void namespace_label(FILE *out, const struct td_space *s, const char *before)
{
	if (!s->name[0])
		return;
	fprintf(out, "%snamespace=\"", before);
	td_metric_label(out, s->name);
	fputc('"', out);
}

static void labels(FILE *out, const struct td_daemon *d, const struct td_tuple *t)
{
	char local[TD_ADDRESS_TEXT], remote[TD_ADDRESS_TEXT];

	if (!t) {
		fputs("local_ip=\"other\",remote_ip=\"other\",remote_port=\"\"", out);
		return;
	}
	fprintf(out, "local_ip=\"%s\",", td_address_print(&t->key.local, local));
	if (td_port_has_remote(&t->key))
		fprintf(out, "remote_ip=\"%s\",remote_port=\"%.*u\"",
			td_address_print(&t->key.remote, remote), t->key.remote_port_be ? 1 : 0,
			__builtin_bswap16(t->key.remote_port_be)); /* 0: any, as "" */
	else
		fputs("remote_ip=\"\",remote_port=\"\"", out); /* UDP, bind: whatever it is */
	namespace_label(out, &d->source_ports->spaces[t->key.space], ",");
	if (t->key.space == TD_SPACE_NAT && t->key.protocol == IPPROTO_UDP)
		fputs(",protocol=\"udp\"", out);
}

/* Where `source` is not among the labels that stand always. */
static void labels_with_nat(FILE *out, const struct td_daemon *d, const struct td_tuple *t)
{
	labels(out, d, t);
	if (t && t->key.space == TD_SPACE_NAT)
		fputs(",source=\"nat\"", out);
}

static void print_used_of(FILE *out, const struct td_daemon *d, const struct td_tuple *t,
			  const struct td_picture *p)
{
	for (size_t i = 0; i < TUNDISH_PORT_STATE_MAX; i++) {
		/* The others are there as soon as there is one. */
		if (!p->state[i] && i != TUNDISH_PORT_established && i != TUNDISH_PORT_time_wait)
			continue;
		fprintf(out, "tundish_source_ports_used{source=\"%s\",",
			t && t->key.space == TD_SPACE_NAT ? "nat" : "host");
		labels(out, d, t);
		fprintf(out, ",state=\"%s\"} %u\n", td_port_state_names[i], p->state[i]);
	}
}

static void print_used(FILE *out, const struct td_daemon *d, const struct td_selection *s)
{
	td_metric_head(out, "tundish_source_ports_used", "gauge",
		       "Source ports in use, by tuple and state of the connection.");
	for (size_t i = 0; i < s->n; i++)
		print_used_of(out, d, s->rows[i], &s->rows[i]->picture);
	if (s->n_other)
		print_used_of(out, d, NULL, &s->other);
}

static void print_gauges(FILE *out, const struct td_daemon *d, const struct td_selection *s)
{
	double most = 0;

	td_metric_head(out, "tundish_source_ports_usable", "gauge",
		       "Source ports that the tuple can have: the range less reserved and blocked "
		       "ones.");
	for (size_t i = 0; i < s->n; i++) {
		fputs("tundish_source_ports_usable{", out);
		labels_with_nat(out, d, s->rows[i]);
		fprintf(out, "} %u\n", s->rows[i]->picture.usable);
	}
	td_metric_head(out, "tundish_source_port_utilization_ratio", "gauge",
		       "Used of the usable ones, without those that connect can take over from "
		       "TIME_WAIT.");
	for (size_t i = 0; i < s->n; i++) {
		most = fmax(most, s->rows[i]->picture.utilization);
		fputs("tundish_source_port_utilization_ratio{", out);
		labels_with_nat(out, d, s->rows[i]);
		fprintf(out, "} %.6g\n", s->rows[i]->picture.utilization);
	}
	td_metric_head(out, "tundish_source_port_utilization_max_ratio", "gauge",
		       "That of the fullest tuple.");
	fprintf(out, "tundish_source_port_utilization_max_ratio %.6g\n", most);
	td_metric_head(out, "tundish_source_port_exhaustion_seconds", "gauge",
		       "Until no port is left at the present rate, of tuples that are filling.");
	for (size_t i = 0; i < s->n; i++) {
		if (isinf(s->rows[i]->picture.exhaustion_s))
			continue;
		fputs("tundish_source_port_exhaustion_seconds{", out);
		labels_with_nat(out, d, s->rows[i]);
		fprintf(out, "} %.6g\n", s->rows[i]->picture.exhaustion_s);
	}
}

/* Those of tuples that were deleted stay in "other", so that no sum ever falls. */
static void print_failures(FILE *out, const struct td_daemon *d, const struct td_selection *s)
{
	td_metric_head(out, "tundish_source_port_allocation_failures_total", "counter",
		       "Connections and binds that got no port.");
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
			fputs("tundish_source_port_allocation_failures_total{", out);
			labels_with_nat(out, d, t);
			fprintf(out, ",errno=\"%s\"} %llu\n", td_port_failure_names[k],
				(unsigned long long)n);
		}
}

static void print_search(FILE *out, struct td_daemon *d)
{
	const struct tundish_waits *t = td_kernel_port_search(d->kernel);
	uint64_t seen = 0;

	td_metric_head(out, "tundish_source_port_search_seconds", "histogram",
		       "What connect spends on finding a source port.");
	for (size_t i = 0; t && i < TUNDISH_WAIT_BUCKETS; i++) {
		seen += t->bucket[i];
		if (i < TUNDISH_WAIT_BUCKETS - 1)
			fprintf(out, "tundish_source_port_search_seconds_bucket{le=\"%g\"} %llu\n",
				(double)(1ull << i) / 1e6, (unsigned long long)seen);
	}
	fprintf(out,
		"tundish_source_port_search_seconds_bucket{le=\"+Inf\"} %llu\n"
		"tundish_source_port_search_seconds_sum %.9f\n"
		"tundish_source_port_search_seconds_count %llu\n",
		(unsigned long long)seen, t ? (double)t->sum / 1e9 : 0, (unsigned long long)seen);
}

static void print_time_wait(FILE *out, const struct td_source_ports *p)
{
	enum { SOCKETS, LIMIT, ENTERED, OVERFLOW };
	static const struct {
		const char *name, *type, *help;
	} metrics[] = {
		[SOCKETS] = {"tundish_time_wait_sockets", "gauge", "Sockets in TIME_WAIT."},
		[LIMIT] = {"tundish_time_wait_limit_sockets", "gauge",
			   "Most sockets in TIME_WAIT, net.ipv4.tcp_max_tw_buckets."},
		[ENTERED] = {"tundish_time_wait_entered_total", "counter",
			     "Sockets that went into TIME_WAIT, as the kernel counts."},
		[OVERFLOW] = {"tundish_time_wait_overflow_total", "counter",
			      "Connections that ended without TIME_WAIT for want of room."},
	};

	for (size_t m = 0; m < TD_ARRAY_SIZE(metrics); m++) {
		td_metric_head(out, metrics[m].name, metrics[m].type, metrics[m].help);
		for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++) {
			const struct td_space *s = &p->spaces[i];
			const uint64_t values[] = {s->facts.tw, s->facts.tw_limit,
						   s->facts.tw_entered, s->facts.tw_overflow};

			if (!s->wanted || !s->present)
				continue;
			fputs(metrics[m].name, out);
			if (s->name[0]) {
				namespace_label(out, s, "{");
				fputc('}', out);
			}
			fprintf(out, " %llu\n", (unsigned long long)values[m]);
		}
	}
}

static void print_scan(FILE *out, const struct td_source_ports *p)
{
	td_metric_head(out, "tundish_socket_scan_duration_seconds", "gauge",
		       "How long the last scan of all sockets took.");
	fprintf(out, "tundish_socket_scan_duration_seconds %.6g\n",
		(double)p->duration_ns / TD_NS_PER_S);
	td_metric_head(out, "tundish_socket_scan_cpu_seconds", "gauge", "Of CPU, for that.");
	fprintf(out, "tundish_socket_scan_cpu_seconds %.6g\n", (double)p->cpu_ns / TD_NS_PER_S);
	td_metric_head(out, "tundish_socket_scan_interval_seconds", "gauge",
		       "From the beginning of that scan to that of the next.");
	fprintf(out, "tundish_socket_scan_interval_seconds %.6g\n",
		(double)p->interval_ns / TD_NS_PER_S);
	td_metric_head(out, "tundish_socket_scan_timestamp_seconds", "gauge",
		       "When it ended, since the epoch.");
	fprintf(out, "tundish_socket_scan_timestamp_seconds %.3f\n", (double)p->ended_ms / 1000);
}

void td_print_port_metrics(FILE *out, struct td_daemon *d)
{
	_cleanup_(td_selection_done) struct td_selection s = {0};

	bool host = d->source_ports->on && d->source_ports->rounds;

	if (!host && !td_nat_is_on(d))
		return;
	if (td_port_table_select(d, TD_TUPLES_BY_USE, TD_TUPLES_SHOWN, true, false, &s) < 0)
		return;
	print_used(out, d, &s);
	print_gauges(out, d, &s);
	print_failures(out, d, &s);
	if (!host)
		return;
	print_search(out, d);
	print_time_wait(out, d->source_ports);
	print_scan(out, d->source_ports);
}
