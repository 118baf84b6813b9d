// SPDX-License-Identifier: GPL-2.0-only
/* /v1/status: everything at a glance, and what needs attention. */
#include <unistd.h>

#include "api/api.h"
#include "daemon/progress.h"

static const char *const counter_names[] = {
#define TUNDISH_X(name, kind, help) #name,
	TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
};

static const enum tundish_counter_kind kinds[] = {
#define TUNDISH_X(name, kind, help) TUNDISH_KIND_##kind,
	TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
};

static void add_counters(struct td_daemon *d, json_t *status)
{
	json_t *drops = json_object(), *all = json_object();
	struct tundish_counters c = {0};
	const __u64 *value = (const __u64 *)&c;

	td_kernel_counters(d->kernel, &c);
	for (size_t i = 0; i < TUNDISH_COUNTER_MAX; i++) {
		const char *name = counter_names[i];

		json_object_set_new(all, name, json_integer((json_int_t)value[i]));
		if (kinds[i] == TUNDISH_KIND_DROP && value[i])
			json_object_set_new(drops, name + strlen("drop_"),
					    json_integer((json_int_t)value[i]));
	}
	json_object_set_new(status, "drops", drops);
	json_object_set_new(status, "counters", all);
}

static json_t *interfaces_json(const struct td_daemon *d)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->n_attachments; i++) {
		const struct td_attachment *a = &d->attachments[i];

		json_array_append_new(list, json_pack("{s:s s:s s:b s:s}", "name", a->name, "mode",
						      td_mode_name(a->mode), "dispatcher",
						      (int)a->dispatcher, "note", a->note));
	}
	return list;
}

/* What the kernel's verifier took, since the start. */
static json_t *loads_json(const struct td_daemon *d)
{
	json_t *list = json_array();
	size_t n;
	const struct td_work *w = td_progress_works(d, &n);

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
				      json_pack("{s:s s:f s:I}", "what", w[i].what, "seconds",
						(double)w[i].took_ns / TD_NS_PER_S, "instructions",
						(json_int_t)w[i].instructions));
	return list;
}

json_t *td_reload_json(const struct td_daemon *d)
{
	struct td_load_progress p;

	if (!td_load_progress(d, &p))
		return NULL;
	return json_pack("{s:s s:s s:I s:I s:f}", "what", p.command ? "apply" : "reload", "phase",
			 p.applies ? "applying" : "reading", "steps_done", (json_int_t)p.done,
			 "steps", (json_int_t)p.steps, "seconds",
			 (double)(td_now_ns() - p.since_ns) / TD_NS_PER_S);
}

/* All in their order, or at most so many as are asked for: those first that need looking at most. */
static json_t *services_json(struct td_daemon *d, const struct td_state *s, uint32_t most,
			     json_int_t *ret_total)
{
	json_int_t total = 0;
	json_t *list, *v;
	size_t i;

	for (i = 0; i < s->n_services; i++)
		total += s->services[i].value.state == TUNDISH_SERVICE_ACTIVE;
	td_traffic_recent(d); /* rates are of the last second anyway */
	list = most == UINT32_MAX ? td_services_json(d, s, 0, most)
				  : td_services_worst_json(d, s, most);
	td_traffic_end(d);
	json_array_foreach (list, i, v) {
		size_t vips = json_array_size(json_object_get(v, "vips"));

		json_object_set(v, "name", json_object_get(v, "service"));
		json_object_set_new(v, "vips", json_integer((json_int_t)vips));
	}
	*ret_total = total;
	return list;
}

void td_answer_status(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	const struct tundish_settings *set = td_kernel_settings(d->kernel);
	const struct td_sweep_counts *n = td_sweep_counts(d->sweep, NULL);
	_cleanup_(td_state_done) struct td_state s = {0};
	uint32_t most = q->peer ? UINT32_MAX : 0; /* a page reads them in pieces */
	json_t *o, *nat, *reload, *services;
	json_int_t total;
	char host[256] = "";

	if ((q->peer && td_read_number(q, "services", most, &most, reply) < 0) ||
	    td_read_state(d, &s, reply) < 0)
		return;
	reload = td_reload_json(d);
	services = services_json(d, &s, most, &total);
	o = json_pack("{s:s s:s s:I s:I s:o s:o s:{s:I s:I s:I s:I} s:{s:I s:I}}", "version",
		      TD_VERSION, "pin", d->options.pin, "uptime_seconds",
		      (json_int_t)((td_now_ns() - d->started_ns) / TD_NS_PER_S), "reloads",
		      (json_int_t)d->reloads, "interfaces", interfaces_json(d), "services",
		      services ?: json_array(), "flows", "active", (json_int_t)n->flows, "capacity",
		      (json_int_t)TUNDISH_CAPACITY_OF(set->flow_buckets), "active6",
		      (json_int_t)n->flows6, "capacity6",
		      (json_int_t)TUNDISH_CAPACITY_OF(set->flow6_buckets), "tuples", "active",
		      (json_int_t)n->tuples, "capacity",
		      (json_int_t)TUNDISH_CAPACITY_OF(set->tuple_buckets));
	json_object_set_new(o, "services_total", json_integer(total));
	gethostname(host, sizeof(host) - 1);
	json_object_set_new(o, "host", json_string(host) ?: json_string("")); /* no UTF-8 */
	add_counters(d, o);
	json_object_set_new(o, "loads", loads_json(d));
	if (reload)
		json_object_set_new(o, "reload", reload);
	nat = td_nat_json(d, &s);
	if (nat)
		json_object_set_new(o, "nat", nat);
	json_object_set_new(o, "source_ports", td_source_ports_json(d));
	json_object_set_new(o, "egress", td_egress_json(d));
	json_object_set_new(o, "attention", td_attention_json(d, &s));
	if (!q->peer)
		td_page_status(d, o);
	reply->json = o;
}
