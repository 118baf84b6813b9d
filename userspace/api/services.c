// SPDX-License-Identifier: GPL-2.0-only
/*
 * Services as JSON, and what their backends come to. The backends are looked at once, in the order in
 * which they lie in memory: of a hundred thousand that is what costs.
 */
#include "api/api.h"

static json_t *ports_json(const struct td_service_conf *c)
{
	json_t *list = json_array();

	for (size_t i = 0; c && i < c->n_ports; i++) {
		uint16_t first = c->ports[i].first, last = c->ports[i].last;

		if (first == 0 && last == 65535)
			json_array_append_new(list, json_string("any"));
		else if (first == last)
			json_array_append_new(list, json_sprintf("%u", first));
		else
			json_array_append_new(list, json_sprintf("%u-%u", first, last));
	}
	return list;
}

/* What deliveries nat and fullnat have beside. */
static void add_nat_json(json_t *o, const struct td_service_conf *c)
{
	json_t *sources = json_array();
	char text[TD_ADDRESS_TEXT];

	for (size_t i = 0; i < c->n_sources; i++)
		json_array_append_new(sources,
				      json_string(td_address_print(&c->sources[i].address, text)));
	json_object_set_new(o, "sources", sources);
	json_object_set_new(
		o, "source_ports",
		c->nat.source_ports.last
			? json_sprintf("%u-%u", c->nat.source_ports.first, c->nat.source_ports.last)
			: json_string("auto"));
	json_object_set_new(o, "client_address", json_string(c->nat.toa ? "toa" : "none"));
}

/* What the backends of one service come to. */
struct sums {
	uint64_t active, total;
	struct tundish_traffic traffic;
	double connections_rate, packets_rate, bytes_rate;
	const char *health, *reason; /* of workers */
	struct td_outlook outlook;
};

static void sum_backend(struct td_daemon *d, const struct td_backend_state *v, struct sums *ret)
{
	const struct tundish_backend *b = &v->value;
	const struct td_sample *sample = &d->samples[v->id];
	struct tundish_traffic t;

	td_traffic_of(d, v->id, &t);
	if (b->delivery == TUNDISH_DELIVERY_WORKERS && b->state != TUNDISH_BACKEND_GONE)
		ret->health = td_backend_health(d, v->id, &ret->reason);
	td_outlook_add(d, v, &ret->outlook);
	ret->active += b->connections_active;
	ret->total += b->connections_total;
	ret->traffic.packets += t.packets;
	ret->traffic.bytes += t.bytes;
	ret->connections_rate += sample->connections_rate;
	ret->packets_rate += sample->packets_rate;
	ret->bytes_rate += sample->bytes_rate;
}

/* Of the services with these numbers, both included; [0] is the first's. NULL: out of memory. */
static struct sums *sum_backends(struct td_daemon *d, const struct td_state *s, uint32_t first,
				 uint32_t last)
{
	struct sums *sums = calloc((size_t)last - first + 1, sizeof(*sums));

	for (size_t i = 0; sums && i < s->n_backends; i++) {
		const struct td_backend_state *v = &s->backends[i];
		uint32_t id = v->value.service;

		if (id >= first && id <= last && v->value.state != TUNDISH_BACKEND_FREE)
			sum_backend(d, v, &sums[id - first]);
	}
	for (size_t i = 0; sums && i < s->n_services; i++) {
		const struct td_service_state *v = &s->services[i];

		if (v->id >= first && v->id <= last)
			td_outlook_workers(d, s, v, &sums[v->id - first].outlook);
	}
	return sums;
}

static json_t *service_json(struct td_daemon *d, const struct td_service_state *v,
			    const struct sums *sums)
{
	const struct td_service_conf *c = td_config_service(d->config, v->value.name);
	json_t *vips = json_array(), *workers, *o;

	for (size_t i = 0; c && i < c->n_vips; i++) {
		struct td_prefix p = {c->vips[i].address, c->vips[i].prefix};
		char text[TD_PREFIX_TEXT];

		json_array_append_new(vips, json_string(td_prefix_print(&p, text)));
	}
	workers = td_workers_of_service_json(d, v->id);
	o = json_pack("{s:s s:o s:o s:s s:s s:s s:b s:I s:I s:I s:I s:f s:f s:f s:I}", "service",
		      v->value.name, "vips", vips, "ports", ports_json(c), "protocol",
		      td_protocol_name(v->value.protocol), "delivery",
		      td_delivery_name(v->value.delivery), "scheduler",
		      v->deliver.flags & TUNDISH_DELIVER_LEAST ? "least-connections" : "maglev",
		      "own", (int)v->value.own, "connections_active", (json_int_t)sums->active,
		      "connections_total", (json_int_t)sums->total, "packets",
		      (json_int_t)sums->traffic.packets, "bytes", (json_int_t)sums->traffic.bytes,
		      "connections_per_second", sums->connections_rate, "packets_per_second",
		      sums->packets_rate, "bytes_per_second", sums->bytes_rate, "id",
		      (json_int_t)v->id);
	if (sums->health)
		json_object_set_new(o, "health", json_string(sums->health));
	if (sums->reason)
		json_object_set_new(o, "reason", json_string(sums->reason));
	td_outlook_json(&sums->outlook, o);
	json_object_set_new(o, "flows", json_boolean(!c || c->flows));
	if (v->value.chooses)
		json_object_set_new(o, "connections_refused",
				    json_integer((json_int_t)v->deliver.refused));
	if (workers)
		json_object_set_new(o, "workers", workers);
	if (v->value.server_id_length)
		json_object_set_new(o, "quic",
				    json_pack("{s:i s:i}", "config", (int)v->value.quic_config,
					      "server_id_length", (int)v->value.server_id_length));
	if (c && v->value.delivery == TUNDISH_DELIVERY_GUE)
		json_object_set_new(o, "gue_port", json_integer(c->gue.port));
	if (c && td_translates(v->value.delivery))
		add_nat_json(o, c);
	return o;
}

/* How much a service needs looking at: 2 it is down, 1 degraded, 0 well. */
static unsigned int trouble(const struct sums *sums)
{
	return !sums->outlook.usable ? 2 : sums->outlook.trouble > 0;
}

static bool listed(const struct td_service_state *v, uint32_t after)
{
	return v->id > after && v->value.state == TUNDISH_SERVICE_ACTIVE;
}

json_t *td_services_json(struct td_daemon *d, const struct td_state *s, uint32_t after,
			 uint32_t limit)
{
	_cleanup_free_ struct sums *sums = NULL;
	uint32_t n = 0, last = after + 1;
	json_t *list;

	for (size_t i = 0; i < s->n_services && n < limit; i++)
		if (listed(&s->services[i], after) && ++n)
			last = s->services[i].id;
	sums = sum_backends(d, s, after + 1, last);
	if (!sums)
		return NULL;
	list = json_array();
	for (size_t i = 0; i < s->n_services && s->services[i].id <= last; i++)
		if (n && listed(&s->services[i], after))
			json_array_append_new(list,
					      service_json(d, &s->services[i],
							   &sums[s->services[i].id - after - 1]));
	return list;
}

json_t *td_services_worst_json(struct td_daemon *d, const struct td_state *s, uint32_t limit)
{
	_cleanup_free_ struct sums *sums = NULL; /* [number - 1] */
	uint32_t last = s->n_services ? s->services[s->n_services - 1].id : 1;
	json_t *list;

	if (!limit)
		return json_array();
	sums = sum_backends(d, s, 1, last);
	if (!sums)
		return NULL;
	list = json_array();
	for (unsigned int worst = 3; worst-- > 0;)
		for (size_t i = 0; i < s->n_services && json_array_size(list) < limit; i++) {
			const struct td_service_state *v = &s->services[i];

			if (listed(v, 0) && trouble(&sums[v->id - 1]) == worst)
				json_array_append_new(list, service_json(d, v, &sums[v->id - 1]));
		}
	return list;
}

void td_answer_services(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	_cleanup_(td_state_done) struct td_state s = {0};
	uint32_t limit = td_page_rows(q), after = 0;
	const struct td_service_state *only;
	size_t backends;

	if (td_read_number(q, "limit", limit, &limit, reply) < 0 ||
	    td_read_number(q, "after", UINT32_MAX, &after, reply) < 0 ||
	    td_read_service(d, q->n_words > 1 ? q->word[1] : NULL, &s, &only, reply) < 0)
		return;
	if (only) {
		struct sums *sums = sum_backends(d, &s, only->id, only->id);

		if (sums)
			reply->json = service_json(d, only, sums);
		free(sums);
	} else {
		backends =
			limit < s.n_services ? s.n_backends / s.n_services * limit : s.n_backends;
		td_begin_traffic(d, q, backends);
		reply->json = td_services_json(d, &s, after, limit);
		td_traffic_end(d);
	}
	if (!reply->json)
		td_reply_error(reply, 500, 1, "out of memory");
}
