// SPDX-License-Identifier: GPL-2.0-only
/*
 * /metrics, in the form that is asked for. What is told is read at once, into a snapshot (exposition.h), and
 * becomes text piece by piece, as the reader takes it; so no text is ever whole in memory, and the event loop
 * goes on between two pieces.
 *
 * There are at most three snapshots at a time, however many read: who comes within a second of another, who
 * is reading still, reads the same one. Where all three are read, the newest one is shared; but who has not
 * read his to the end within fifteen seconds, longer than Prometheus waits, is cut off for the next.
 */
#include "api/metrics.h"
#include "api/snapshot.h"
#include "core/address.h"

#define TOP_TUPLES 20

static void expose_counters(struct td_exposition *e, const struct tundish_counters *c)
{
	static const struct {
		const char *name;
		enum tundish_counter_kind kind;
	} rows[] = {
#define TUNDISH_X(name, kind, help) {#name, TUNDISH_KIND_##kind},
		TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
	};
	const __u64 *value = (const __u64 *)c;

	td_expose_family(e, TD_METRIC_drops_total);
	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++)
		if (rows[i].kind == TUNDISH_KIND_DROP)
			td_expose(
				e,
				td_expose_labels(e, "reason", rows[i].name + strlen("drop_"), NULL),
				value[i]);
	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		if (rows[i].kind == TUNDISH_KIND_DROP)
			continue;
		td_expose_family(e, TD_METRIC_COUNTERS + i);
		td_expose(e, 0, value[i]);
	}
}

static void expose_tuples(struct td_exposition *e, struct td_daemon *d, const struct td_state *s)
{
	json_t *list = td_tuples_json(d, s, TOP_TUPLES), *o;
	size_t i;

	td_expose_family(e, TD_METRIC_tuple_connections_active);
	json_array_foreach (list, i, o) {
		const char *vip = json_string_value(json_object_get(o, "vip"));
		char port[8];

		if (!vip) /* gone from the file: no address to tell, and two could look alike */
			continue;
		snprintf(port, sizeof(port), "%d",
			 (int)json_integer_value(json_object_get(o, "port")));
		td_expose(e,
			  td_expose_labels(e, "client",
					   json_string_value(json_object_get(o, "client")), "vip",
					   vip, "port", port, "protocol",
					   json_string_value(json_object_get(o, "protocol")), NULL),
			  (uint64_t)json_integer_value(json_object_get(o, "active")));
	}
	td_expose_family(e, TD_METRIC_tuple_utilization_max_ratio);
	/* the list begins with the one that has most; none: 0 */
	td_expose_real(e, 0,
		       json_number_value(json_object_get(json_array_get(list, 0), "utilization")));
	json_decref(list);
}

static void expose_tables(struct td_exposition *e, struct td_daemon *d)
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
	uint32_t labels[TD_ARRAY_SIZE(tables)];

	for (size_t i = 0; i < TD_ARRAY_SIZE(tables); i++)
		labels[i] = td_expose_labels(e, "table", tables[i].table, NULL);
	td_expose_family(e, TD_METRIC_table_entries);
	for (size_t i = 0; i < TD_ARRAY_SIZE(tables); i++)
		td_expose(e, labels[i], tables[i].used);
	td_expose_family(e, TD_METRIC_table_capacity_entries);
	for (size_t i = 0; i < TD_ARRAY_SIZE(tables); i++)
		td_expose(e, labels[i], tables[i].size);
}

/* All of it; or NULL, and an error as reply. */
static struct td_exposition *expose_all(struct td_daemon *d, struct td_reply *reply)
{
	_cleanup_(td_exposition_freep) struct td_exposition *e = td_exposition_new();
	_cleanup_(td_state_done) struct td_state s = {0};
	struct tundish_counters c = {0};

	if (td_read_state(d, &s, reply) < 0)
		return NULL;
	if (td_kernel_counters(d->kernel, &c) < 0) {
		td_reply_error(reply, 500, 1, "cannot read the maps in %s", d->options.pin);
		return NULL;
	}
	if (!e || (td_expose_family(e, TD_METRIC_build_info),
		   td_expose(e, td_expose_labels(e, "version", TD_VERSION, NULL), 1),
		   td_expose_targets(e, d, &s)) < 0) {
		td_reply_error(reply, 500, 1, "out of memory");
		return NULL;
	}
	expose_counters(e, &c);
	expose_tuples(e, d, &s);
	td_expose_choice(e, d, &s);
	expose_tables(e, d);
	td_expose_checks(e, d);
	td_expose_workers(e, d, &s);
	td_expose_nat(e, d, &s);
	td_expose_ports(e, d);
	td_expose_egress(e, d);
	if (td_exposition_trouble(e) == -E2BIG)
		td_reply_error(reply, 500, 1, "there are more than %u series",
			       TD_EXPOSITION_SAMPLES_MAX);
	else if (td_exposition_trouble(e) < 0)
		td_reply_error(reply, 500, 1, "out of memory");
	else
		return TD_TAKE_PTR(e);
	return NULL;
}

/* ---- the answer ------------------------------------------------------------------ */

/* A reading may be that far ahead of its share of the loop's time (daemon/share.c). */
#define AHEAD_NS TD_NS_PER_S

struct reading {
	struct td_snapshot_reader of;
	struct td_daemon *d;
	uint64_t *share; /* NULL: whoever reads never waits */
};

static ssize_t on_more(void *context, char *buffer, size_t size)
{
	struct reading *r = context;
	uint64_t begun = td_now_ns();
	ssize_t n;

	if (r->share && td_share_rests(r->d, r->share, AHEAD_NS))
		return -EAGAIN;
	n = td_snapshot_read(&r->of, buffer, size);
	td_share_took(r->share, begun);
	return n;
}

static void on_done(void *context)
{
	struct reading *r = context;

	td_snapshot_leave(&r->of);
	free(r);
}

void td_answer_metrics(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	enum td_metrics_form form = td_metrics_accepted(q->accept);
	struct reading *r = malloc(sizeof(*r));
	struct td_exposition *e = NULL;
	int x;

	if (r && td_snapshot_is_wanted(&d->snapshots, td_now_ns())) {
		e = expose_all(d, reply);
		if (!e) {
			free(r);
			return;
		}
	}
	x = r ? td_snapshot_enter(&d->snapshots, e, form, td_now_ns(), &r->of) : -ENOMEM;
	if (x < 0) {
		free(r);
		td_reply_error(reply, 500, 1, "out of memory");
		return;
	}
	r->d = d;
	r->share = td_share_of(d, q);
	reply->stream = (struct td_stream){.more = on_more, .done = on_done, .context = r};
	reply->content_type = td_metrics_content_type(form);
}
