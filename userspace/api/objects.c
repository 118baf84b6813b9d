// SPDX-License-Identifier: GPL-2.0-only
/*
 * Backends as JSON, and the commands on them. They are read out of the maps at each request: these
 * are the truth.
 */
#include <netinet/in.h>

#include "api/api.h"
#include "core/address.h"
#include "core/override.h"
#include "core/server_id.h"

const char *td_protocol_name(uint8_t protocol)
{
	return protocol == IPPROTO_UDP ? "udp" : "tcp";
}

const char *td_delivery_name(uint8_t delivery)
{
	static const char *const names[] = {
		[TUNDISH_DELIVERY_NONE] = "none",	[TUNDISH_DELIVERY_WORKERS] = "workers",
		[TUNDISH_DELIVERY_DSR] = "dsr",		[TUNDISH_DELIVERY_IPIP] = "ipip",
		[TUNDISH_DELIVERY_GUE] = "gue",		[TUNDISH_DELIVERY_NAT] = "nat",
		[TUNDISH_DELIVERY_FULLNAT] = "fullnat",
	};

	return delivery < TD_ARRAY_SIZE(names) ? names[delivery] : "unknown";
}

/* ---- reading -------------------------------------------------------------------- */

int td_read_state(struct td_daemon *d, struct td_state *s, struct td_reply *reply)
{
	int r = td_kernel_read_state(d->kernel, s);

	if (r < 0)
		td_reply_error(reply, 500, 1, "cannot read the maps in %s: %s", d->options.pin,
			       strerror(-r));
	return r;
}

int td_read_service(struct td_daemon *d, const char *name, struct td_state *s,
		    const struct td_service_state **ret, struct td_reply *reply)
{
	const struct td_service_state *v = NULL;
	int r = td_read_state(d, s, reply);

	if (r < 0)
		return r;
	if (name) {
		v = td_state_service(s, name);
		if (!v) {
			td_no_service(s, name, reply);
			return -ENOENT;
		}
	}
	*ret = v;
	return 0;
}

void td_begin_traffic(struct td_daemon *d, const struct td_request *q, size_t backends)
{
	if (q->peer)
		td_traffic_begin(d, backends);
	else
		td_traffic_recent(d);
}

/* ---- backends ---------------------------------------------------------------- */

/* Addresses and port, as the file has them for a backend that it has. */
static void add_addresses_json(struct td_daemon *d, const struct td_state *s,
			       const struct tundish_backend *b, json_t *o)
{
	const struct td_service_conf *c =
		td_config_service(d->config, td_service_name(s, b->service));
	char text[TD_ADDRESS_TEXT];

	for (size_t i = 0; c && td_translates(b->delivery) && i < c->n_backends; i++) {
		const struct td_backend_conf *conf = &c->backends[i];
		json_t *addresses;

		if (strncmp(conf->name, b->name, TUNDISH_NAME_LEN) ||
		    !tundish_addr_equal(&conf->address, &b->address))
			continue;
		addresses = json_array();
		for (size_t k = 0; k < td_backend_addresses(conf); k++)
			json_array_append_new(
				addresses,
				json_string(td_address_print(td_backend_address(conf, k), text)));
		json_object_set_new(o, "addresses", addresses);
		if (conf->port)
			json_object_set_new(o, "port", json_integer(conf->port));
		return;
	}
}

static json_t *backend_json(struct td_daemon *d, const struct td_state *s,
			    const struct td_backend_state *v)
{
	const struct tundish_backend *b = &v->value;
	const char *reason, *health = td_backend_health(d, v->id, &reason);
	const struct td_sample *sample = &d->samples[v->id];
	bool gone = b->state == TUNDISH_BACKEND_GONE;
	char text[TD_ADDRESS_TEXT], id[TD_SERVER_ID_TEXT];
	struct tundish_traffic t;
	json_t *o;

	td_traffic_of(d, v->id, &t);
	o = json_pack("{s:s s:s s:s s:i s:s s:s s:I s:I s:I s:I s:f s:f s:f s:I}", "service",
		      td_service_name(s, b->service), "name", b->name, "address",
		      td_address_print(&b->address, text), "weight",
		      gone ? 0 : td_backend_weight(b), "state",
		      gone ? "drain" : td_backend_state_name(td_backend_state_shown(b)), "health",
		      health, "connections_active", (json_int_t)b->connections_active,
		      "connections_total", (json_int_t)b->connections_total, "packets",
		      (json_int_t)t.packets, "bytes", (json_int_t)t.bytes, "connections_per_second",
		      sample->connections_rate, "packets_per_second", sample->packets_rate,
		      "bytes_per_second", sample->bytes_rate, "id", (json_int_t)v->id);
	json_object_set_new(o, "max_connections",
			    b->max_connections ? json_integer(b->max_connections) : json_null());
	add_addresses_json(d, s, b, o);
	if (!gone && td_drain_left(b) >= 0)
		json_object_set_new(o, "seconds_to_disabled", json_integer(td_drain_left(b)));
	if (gone)
		json_object_set_new(o, "leaving", json_true());
	if (!reason && !gone)
		reason = td_backend_unreachable(d, v->id);
	if (!reason && !gone)
		reason = td_check_why(b);
	if (reason)
		json_object_set_new(o, "reason", json_string(reason));
	if (b->flags & TUNDISH_BACKEND_BACKUP)
		json_object_set_new(o, "backup", json_true());
	if (!gone && td_backend_share(b) != td_backend_weight(b))
		json_object_set_new(o, "weight_now", json_integer(td_backend_share(b)));
	td_check_add_json(d, v->id, o);
	if (b->server_id.length)
		json_object_set_new(o, "server_id",
				    json_string(td_server_id_print(&b->server_id, id)));
	if (b->flags & TUNDISH_BACKEND_RUN_WEIGHT)
		json_object_set_new(o, "file_weight", json_integer(b->file_weight));
	if (b->flags & TUNDISH_BACKEND_RUN_STATE)
		json_object_set_new(o, "file_state",
				    json_string(td_backend_state_name(b->file_state)));
	return o;
}

/* All, or at most `limit` of those whose number is over `after`: a list of very many is asked for
 * piece by piece, so that its first rows come at once and nothing else waits for the last ones. */
void td_answer_backends(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	_cleanup_(td_state_done) struct td_state s = {0};
	uint32_t limit = td_page_rows(q), after = 0;
	const struct td_service_state *only;
	json_t *list;

	if (td_read_number(q, "limit", limit, &limit, reply) < 0 ||
	    td_read_number(q, "after", UINT32_MAX, &after, reply) < 0 ||
	    td_read_service(d, q->n_words > 1 ? q->word[1] : NULL, &s, &only, reply) < 0)
		return;
	list = json_array();
	td_begin_traffic(d, q, only ? 0 : TD_MIN(s.n_backends, limit));
	for (size_t i = 0; i < s.n_backends && json_array_size(list) < limit; i++) {
		const struct tundish_backend *b = &s.backends[i].value;

		if (s.backends[i].id > after && td_backend_listed(b) &&
		    (!only || b->service == only->id))
			json_array_append_new(list, backend_json(d, &s, &s.backends[i]));
	}
	td_traffic_end(d);
	reply->json = list;
}

/* ---- commands ---------------------------------------------------------------- */

static int read_weight(const struct td_request *q, struct td_reply *reply)
{
	json_error_t e;
	json_t *body = json_loadb(q->body, q->body_length, JSON_REJECT_DUPLICATES, &e);
	json_t *w = body ? json_object_get(body, "weight") : NULL;
	json_int_t weight = json_is_integer(w) ? json_integer_value(w) : -1;

	json_decref(body);
	if (weight >= 0 && weight <= 1000)
		return weight;
	td_reply_error(reply, 400, 2,
		       "a weight is a whole number from 0 to 1000, as "
		       "{\"weight\": 100}");
	return -1;
}

static void carry_out(struct td_daemon *d, const struct td_request *q, uint32_t id,
		      struct td_reply *reply)
{
	struct tundish_backend *map = &td_kernel_backends(d->kernel)[id];
	struct tundish_backend former = *map, b = *map;
	const char *verb = q->word[3];
	struct td_error e = {0};
	char object[160], what[64];
	bool far = !q->peer;
	int weight;

	if (!strcmp(verb, "weight")) {
		weight = read_weight(q, reply);
		if (weight < 0)
			return;
		td_override_weight(&b, weight);
		snprintf(what, sizeof(what), "weight %d by command", weight);
	} else if (!strcmp(verb, "drain")) {
		td_override_state(&b, TUNDISH_BACKEND_DRAIN);
		if (td_drain_read(q, &b, reply) < 0)
			return;
	} else if (!strcmp(verb, "enable")) {
		td_override_state(&b, TUNDISH_BACKEND_UP);
	} else if (!strcmp(verb, "disable")) {
		td_override_state(&b, TUNDISH_BACKEND_DISABLED);
	} else {
		td_reply_error(reply, 404, 2,
			       "\"%.40s\" is no command for a backend; there are: drain, enable, "
			       "disable, weight",
			       verb);
		return;
	}
	if (strcmp(verb, "weight"))
		snprintf(what, sizeof(what), "%s by command", verb);

	td_kernel_put_backend(d->kernel, id, &b); /* the wish; the plan brings it into force */
	td_step_done(d);
	snprintf(object, sizeof(object), "backend %.63s/%.63s", q->word[1], b.name);
	td_event(d, "command", object, "%s%s%s", what, far ? " over the metrics address from " : "",
		 far && q->from ? q->from : "");
	if (td_replan(d, &e) < 0) {
		former.weight = map->weight;
		former.nexthop = map->nexthop;
		td_kernel_put_backend(d->kernel, id, &former);
		td_reply_error(reply, 500, 1, "%s", e.text);
		return;
	}
}

void td_answer_command(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	_cleanup_(td_state_done) struct td_state s = {0}, after = {0};
	const struct td_service_state *service;
	struct td_backend_state *b;

	if (td_read_service(d, q->word[1], &s, &service, reply) < 0)
		return;
	b = td_state_backend(&s, service->id, q->word[2]);
	if (!b || b->value.state == TUNDISH_BACKEND_GONE ||
	    b->value.delivery == TUNDISH_DELIVERY_WORKERS) {
		td_no_backend(&s, service, q->word[2], reply);
		return;
	}
	carry_out(d, q, b->id, reply);
	if (reply->status >= 400 || td_read_state(d, &after, reply) < 0)
		return;
	b = td_state_backend_by_id(&after, b->id);
	reply->json = b ? backend_json(d, &after, b) : json_object();
}
