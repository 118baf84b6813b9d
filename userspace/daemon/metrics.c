// SPDX-License-Identifier: GPL-2.0-only
/*
 * /metrics, as OpenMetrics 1.0. The number of series is bounded: by the
 * configuration, and by 20 tuples.
 */
#include "core/address.h"
#include "core/budget.h"
#include "daemon/nat.h"

#define TOP_TUPLES 20

/* A family is called by its metrics' name; a counter's without its `_total`. */
void td_metric_head(FILE *out, const char *name, const char *type, const char *help)
{
	int length = (int)strlen(name);

	if (!strcmp(type, "counter"))
		length -= (int)strlen("_total");
	fprintf(out, "# TYPE %.*s %s\n# HELP %.*s %s\n", length, name, type, length, name, help);
}

void td_metric_label(FILE *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			fputc('\\', out);
		if (*value == '\n')
			fputs("\\n", out);
		else
			fputc(*value, out);
	}
}

enum what { CONNECTIONS_TOTAL, CONNECTIONS_ACTIVE, PACKETS, BYTES, UP };

struct series {
	const char *service, *backend;
	uint64_t value[UP + 1];
	bool listed;
};

static int by_name(const void *a, const void *b)
{
	const struct series *x = a, *y = b;
	int c = strcmp(x->service, y->service);

	return c ? c : strcmp(x->backend, y->backend);
}

/* One for each (service, target): two entries of a name, while the former one
 * has flows, are one series. */
static size_t collect(struct td_daemon *d, const struct td_state *s, struct series *series)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < s->n_backends; i++) {
		const struct tundish_backend *b = &s->backends[i].value;
		struct tundish_traffic t;

		if (b->state == TUNDISH_BACKEND_FREE)
			continue;
		td_traffic_of(d, s->backends[i].id, &t);
		series[n++] = (struct series){
			.service = td_service_name(s, b->service),
			.backend = b->name,
			.value = {b->connections_total, b->connections_active, t.packets, t.bytes,
				  b->state == TUNDISH_BACKEND_UP &&
					  !(b->flags & TUNDISH_BACKEND_UNHEALTHY)},
			.listed = b->delivery != TUNDISH_DELIVERY_WORKERS &&
				  b->state != TUNDISH_BACKEND_GONE,
		};
	}
	if (n)
		qsort(series, n, sizeof(*series), by_name);
	for (size_t i = 0; i < n; i++) {
		struct series *last = kept ? &series[kept - 1] : NULL;

		if (last && !by_name(last, &series[i])) {
			for (size_t k = 0; k < UP; k++)
				last->value[k] += series[i].value[k];
			last->value[UP] |= series[i].value[UP];
			last->listed |= series[i].listed;
		} else {
			series[kept++] = series[i];
		}
	}
	return kept;
}

static void print_targets(FILE *out, const struct series *series, size_t n)
{
	static const struct {
		const char *name, *type, *help;
	} metrics[] = {
		[CONNECTIONS_TOTAL] = {"tundish_connections_total", "counter",
				       "Connections established, by the client's handshake."},
		[CONNECTIONS_ACTIVE] = {"tundish_connections_active", "gauge",
					"Connections established and not closed."},
		[PACKETS] = {"tundish_packets_total", "counter", "Packets from clients."},
		[BYTES] = {"tundish_bytes_total", "counter",
			   "Bytes from clients, from the IP header on."},
		[UP] = {"tundish_backend_up", "gauge",
			"1 where the backend's state is up and health does not say down."},
	};

	for (size_t m = 0; m <= UP; m++) {
		td_metric_head(out, metrics[m].name, metrics[m].type, metrics[m].help);
		for (size_t i = 0; i < n; i++) {
			if (m == UP && !series[i].listed)
				continue;
			fprintf(out, "%s{service=\"", metrics[m].name);
			td_metric_label(out, series[i].service);
			fprintf(out, "\",%s=\"", m == UP ? "backend" : "target");
			td_metric_label(out, series[i].backend);
			fprintf(out, "\"} %lld\n", (long long)series[i].value[m]);
		}
	}
}

static void print_counters(FILE *out, const struct tundish_counters *c)
{
	static const struct {
		const char *name, *help;
		enum tundish_counter_kind kind;
	} rows[] = {
#define TUNDISH_X(name, kind, help) {#name, help, TUNDISH_KIND_##kind},
		TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
	};
	const __u64 *value = (const __u64 *)c;

	td_metric_head(out, "tundish_drops_total", "counter", "Packets dropped, by reason.");
	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++)
		if (rows[i].kind == TUNDISH_KIND_DROP)
			fprintf(out, "tundish_drops_total{reason=\"%s\"} %llu\n",
				rows[i].name + strlen("drop_"), (unsigned long long)value[i]);
	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		char name[80], help[160];

		if (rows[i].kind == TUNDISH_KIND_DROP)
			continue;
		snprintf(name, sizeof(name), "tundish_%s_total", rows[i].name);
		snprintf(help, sizeof(help), "%c%s.", rows[i].help[0] & ~0x20, rows[i].help + 1);
		td_metric_head(out, name, "counter", help);
		fprintf(out, "%s %llu\n", name, (unsigned long long)value[i]);
	}
}

static void print_tuples(FILE *out, struct td_daemon *d, const struct td_state *s)
{
	json_t *list = td_tuples_json(d, s, TOP_TUPLES), *o;
	struct tundish_tuple most;
	size_t i;

	td_metric_head(out, "tundish_tuple_connections_active", "gauge",
		       "Connections established and not closed, of the tuples that have most.");
	json_array_foreach (list, i, o) {
		const char *vip = json_string_value(json_object_get(o, "vip"));

		if (!vip) /* gone from the file: no address to tell, and two could look alike */
			continue;
		fprintf(out,
			"tundish_tuple_connections_active{client=\"%s\",vip=\"%s\",port=\"%lld\","
			"protocol=\"%s\"} %lld\n",
			json_string_value(json_object_get(o, "client")), vip,
			(long long)json_integer_value(json_object_get(o, "port")),
			json_string_value(json_object_get(o, "protocol")),
			(long long)json_integer_value(json_object_get(o, "active")));
	}
	json_decref(list);
	td_metric_head(out, "tundish_tuple_utilization_max_ratio", "gauge",
		       "Of 64512 ports that a client can have towards one VIP and port, how many "
		       "the one with most has in use.");
	fprintf(out, "tundish_tuple_utilization_max_ratio %.6g\n",
		td_tuple_fullest(d, &most) ? (double)most.value.active / TD_INBOUND_PORTS : 0);
}

static void print_tables(FILE *out, struct td_daemon *d)
{
	const struct tundish_settings *set = td_kernel_settings(d->kernel);
	const struct td_sweep_counts *n = td_sweep_counts(d->sweep, NULL);
	const struct {
		const char *table;
		uint64_t used, size;
	} tables[] = {
		{"flows", n->flows, TUNDISH_CAPACITY_OF(set->flow_buckets)},
		{"flows6", n->flows6, TUNDISH_CAPACITY_OF(set->flow6_buckets)},
		{"tuples", n->tuples, TUNDISH_CAPACITY_OF(set->tuple_buckets)},
		{"nat", td_nat_records(d), td_nat_capacity(d)},
	};

	td_metric_head(out, "tundish_table_entries", "gauge",
		       "Entries in use, as the last sweep counted them.");
	for (size_t i = 0; i < TD_ARRAY_SIZE(tables); i++)
		fprintf(out, "tundish_table_entries{table=\"%s\"} %llu\n", tables[i].table,
			(unsigned long long)tables[i].used);
	td_metric_head(out, "tundish_table_capacity_entries", "gauge",
		       "Entries that the table has room for.");
	for (size_t i = 0; i < TD_ARRAY_SIZE(tables); i++)
		fprintf(out, "tundish_table_capacity_entries{table=\"%s\"} %llu\n", tables[i].table,
			(unsigned long long)tables[i].size);
}

void td_answer_metrics(struct td_daemon *d, struct td_reply *reply)
{
	_cleanup_(td_state_done) struct td_state s = {0};
	_cleanup_free_ struct series *series = NULL;
	_cleanup_free_ char *text = NULL;
	struct tundish_counters c = {0};
	size_t size = 0;
	FILE *out;

	if (td_read_state(d, &s, reply) < 0)
		return;
	if (td_kernel_counters(d->kernel, &c) < 0) {
		td_reply_error(reply, 500, 1, "cannot read the maps in %s", d->options.pin);
		return;
	}
	series = calloc(s.n_backends + 1, sizeof(*series));
	out = series ? open_memstream(&text, &size) : NULL;
	if (!out) {
		td_reply_error(reply, 500, 1, "out of memory");
		return;
	}
	td_metric_head(out, "tundish_build_info", "gauge", "1, with the version that runs.");
	fprintf(out, "tundish_build_info{version=\"%s\"} 1\n", TD_VERSION);
	print_targets(out, series, collect(d, &s, series));
	print_counters(out, &c);
	print_tuples(out, d, &s);
	td_print_choice_metrics(out, d, &s);
	print_tables(out, d);
	td_print_check_metrics(out, d);
	td_print_worker_metrics(out, d, &s);
	td_print_nat_metrics(out, d, &s);
	td_print_port_metrics(out, d);
	td_print_egress_metrics(out, d);
	fputs("# EOF\n", out);
	fclose(out);
	reply->text = TD_TAKE_PTR(text);
	reply->content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}
