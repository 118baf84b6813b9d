// SPDX-License-Identifier: GPL-2.0-only
/*
 * "And after this change?": a trace's connection, and all others of its service, against the rows as
 * they would be without a backend, or with another configuration. Nothing is changed: the plan is made as an
 * apply would make it, and its rows as they would be written (core/row).
 *
 * Known flows stay where they are in every change, so what moves is new connections, and of services
 * without flows each packet.
 */
#include <netinet/in.h>

#include "api/api.h"
#include "config/config.h"
#include "core/row.h"

struct what_if {
	const struct td_state *after; /* names are looked up in */
	uint32_t service, backend;    /* of the connection, afterwards; 0: none */
	struct td_row_change change;
	uint64_t staying, ended;
};

static void read_row(struct td_daemon *d, uint32_t service, uint32_t *owners)
{
	const struct tundish_maglev *row = td_kernel_maglev(d->kernel, service);

	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
		owners[i] = row ? __atomic_load_n(&row->slot[i], __ATOMIC_RELAXED) &
					    TUNDISH_SLOT_BACKEND
				: 0;
}

/* One of the ranges that lead to the service; NULL: none does. */
static const struct tundish_port_range *range_of(const struct td_state *s, uint32_t service)
{
	for (size_t i = 0; i < s->n_vips; i++)
		for (uint32_t k = 0; k < s->vips[i].value.n_ranges; k++)
			if (s->vips[i].value.ranges[k].service == service)
				return &s->vips[i].value.ranges[k];
	return NULL;
}

static bool is_stateless(const struct td_state *s, uint32_t service)
{
	const struct tundish_port_range *r = range_of(s, service);

	return r && r->delivery & TUNDISH_RANGE_STATELESS;
}

/* Connections of the service that there are now, by what becomes of them: those of a service to which no VIP
 * leads any more find nobody. */
static void count_connections(struct what_if *w, const struct td_state *before, uint32_t service)
{
	bool led = range_of(w->after, service);

	for (size_t i = 0; i < before->n_backends; i++) {
		const struct td_backend_state *b = &before->backends[i];
		const struct td_backend_state *next = td_state_backend_by_id(w->after, b->id);

		if (b->value.service != service)
			continue;
		if (!led || (next && next->value.state == TUNDISH_BACKEND_DISABLED))
			w->ended += b->value.connections_active;
		else
			w->staying += b->value.connections_active;
	}
}

/* @without: 0: nobody is left out. Returns 0 or -ENOMEM. */
static int ask_rows(struct td_daemon *d, struct what_if *w, const struct td_state *before,
		    const struct tundish_trace *t, uint32_t without, const struct td_endpoint *from,
		    uint16_t port)
{
	_cleanup_free_ uint32_t *now = calloc(TUNDISH_MAGLEV_SLOTS, sizeof(*now));
	_cleanup_free_ uint32_t *then = calloc(TUNDISH_MAGLEV_SLOTS, sizeof(*then));
	struct td_members members = {0};
	int r = now && then ? td_state_members(w->after, &members) : -ENOMEM;

	if (r < 0)
		return r;
	if (w->service) {
		r = td_row_make(w->after, &members, w->service, without, then);
		if (r == 0)
			w->backend = then[tundish_choice_slot(tundish_choice_hash(
				&from->address, htons(from->port), htons(port)))];
		if (r == 0 && w->service == t->service) {
			read_row(d, w->service, now);
			w->change = td_row_compare(now, then);
		}
	}
	if (r == 0 && t->service)
		count_connections(w, before, t->service);
	td_members_done(&members);
	return r;
}

static json_t *told(const struct what_if *w, const struct tundish_trace *t, const char *change,
		    bool stateless)
{
	const struct td_backend_state *b = td_state_backend_by_id(w->after, w->backend);
	const struct td_backend_state *is = td_state_backend_by_id(w->after, t->backend);
	const char *target = w->backend && b ? b->value.name : NULL;
	bool stays = t->from_flow && is && w->service == t->service &&
		     is->value.state != TUNDISH_BACKEND_DISABLED;
	char reason[256];

	if (!w->service)
		snprintf(reason, sizeof(reason), "no service on this address and port");
	else if (stays)
		snprintf(reason, sizeof(reason),
			 "the flow is known, and stays with %.63s; a new one would go to %.63s",
			 is->value.name, target ?: "no backend");
	else if (!target)
		snprintf(reason, sizeof(reason), "no backend is left that takes connections");
	else if (w->backend == t->backend)
		snprintf(reason, sizeof(reason), "its slot stays with %.63s", target);
	else
		snprintf(reason, sizeof(reason), "its slot goes to %.63s", target);
	return json_pack("{s:s s:s? s:s? s:s s:i s:i s:i s:I s:I s:b}", "change", change, "service",
			 w->service ? td_service_name(w->after, w->service) : NULL, "target",
			 stays ? is->value.name : target, "reason", reason, "slots",
			 TUNDISH_MAGLEV_SLOTS, "slots_left", (int)w->change.left, "slots_moved",
			 (int)w->change.moved, "connections_staying", (json_int_t)w->staying,
			 "connections_ended", (json_int_t)w->ended, "stateless", stateless);
}

static void without_backend(struct td_daemon *d, const struct td_state *now, const char *name,
			    const struct tundish_trace *t, const struct td_endpoint *from,
			    const struct td_endpoint *to, struct td_reply *reply)
{
	struct what_if w = {.after = now, .service = t->service};
	const struct td_backend_state *b =
		t->service ? td_state_backend(now, t->service, name) : NULL;
	char change[80];

	if (!b) {
		td_reply_error(reply, 404, 1,
			       t->service ? "without: service %s has no backend \"%.63s\""
					  : "without: %s on this address and port, so no \"%.63s\"",
			       t->service ? td_service_name(now, t->service)
					  : "there is no service",
			       name);
		return;
	}
	if (ask_rows(d, &w, now, t, b->id, from, to->port) < 0) {
		td_reply_error(reply, 500, 1, "out of memory");
		return;
	}
	snprintf(change, sizeof(change), "without %.63s", b->value.name);
	json_object_set_new(reply->json, "what_if",
			    told(&w, t, change, is_stateless(now, t->service)));
}

static void with_config(struct td_daemon *d, const struct td_request *q,
			const struct tundish_trace *t, const struct td_endpoint *from,
			const struct td_endpoint *to, uint8_t protocol, struct td_reply *reply)
{
	_cleanup_(td_config_freep) struct td_config *c = NULL;
	_cleanup_(td_state_done) struct td_state installed = {0};
	_cleanup_(td_plan_done) struct td_plan plan = {0};
	const char *name = q->query(q, "name") ?: "configuration";
	struct td_error e = {0};
	struct what_if w = {.after = &plan.target};
	char change[200];

	td_offer_read(d, q, name, false, &c, reply);
	if (!c) {
		if (reply->later) /* it is asked again, and traced again */
			json_decref(TD_TAKE_PTR(reply->json));
		return;
	}
	if (td_config_check_host(name, c, &e) < 0 || td_plan_for(d, c, &installed, &plan, &e) < 0) {
		td_reply_error(reply, 422, 1, "%s",
			       e.text[0] ? e.text : "the configuration is refused");
		return;
	}
	w.service = td_state_claim(&plan.target, &to->address, to->port, protocol);
	if (ask_rows(d, &w, &installed, t, 0, from, to->port) < 0) {
		td_reply_error(reply, 500, 1, "out of memory");
		return;
	}
	snprintf(change, sizeof(change), "with %.160s", name);
	json_object_set_new(reply->json, "what_if",
			    told(&w, t, change, is_stateless(&plan.target, w.service)));
}

void td_add_what_if(struct td_daemon *d, const struct td_request *q, const struct td_state *s,
		    const struct tundish_trace *t, const struct td_endpoint *from,
		    const struct td_endpoint *to, uint8_t protocol, struct td_reply *reply)
{
	const char *without = q->query(q, "without");
	bool config = !strcmp(q->method, "POST");

	if (without && config) {
		td_reply_error(reply, 400, 2, "without and a configuration: one change at a time");
		return;
	}
	if (without)
		without_backend(d, s, without, t, from, to, reply);
	else if (config)
		with_config(d, q, t, from, to, protocol, reply);
}
