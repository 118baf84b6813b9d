// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translated connections in `status`: how many there are, and what does not fit. Answers have
 * to come back by this host, so a backend behind a NIC without our program, a source that is
 * not one of this host's addresses, and a backend that nobody hears are each told.
 */
#include "api/api.h"
#include "core/address.h"
#include "daemon/lanes.h"

/* ---- status ----------------------------------------------------------------------------- */

static json_t *backend_text(const struct td_state *s, const struct td_backend_state *v)
{
	return json_sprintf("%.63s/%.63s", td_service_name(s, v->value.service), v->value.name);
}

static void name_backend(const struct td_state *s, const struct td_backend_state *v, json_t *list,
			 json_int_t *total)
{
	if ((*total)++ < TD_ATTENTION_BACKENDS)
		json_array_append_new(list, backend_text(s, v));
}

/* What `doctor` asks for: backends that nobody hears, or nobody would, of which the first ones are
 * named; sources that are not here. */
static void add_troubles(struct td_daemon *d, const struct td_state *s, json_t *o)
{
	json_t *silent = json_array(), *missing = json_array(), *missed = json_array();
	json_int_t n_silent = 0, n_missed = 0;
	char text[TD_ADDRESS_TEXT];

	for (size_t i = 0; i < s->n_backends; i++) {
		const struct td_backend_state *v = &s->backends[i];

		if (td_nat_is_silent(d, v->id))
			name_backend(s, v, silent, &n_silent);
		if (td_backend_translates(&v->value) && td_nat_lane_troubled(d, v->id, true))
			name_backend(s, v, missed, &n_missed);
	}
	for (size_t i = 0; i < d->nat->n_missing; i++)
		json_array_append_new(missing,
				      json_string(td_address_print(&d->nat->missing[i], text)));
	json_object_set_new(o, "silent", silent);
	json_object_set_new(o, "silent_total", json_integer(n_silent));
	json_object_set_new(o, "nics_missing", missed);
	json_object_set_new(o, "nics_missing_total", json_integer(n_missed));
	json_object_set_new(o, "sources_missing", missing);
}

json_t *td_nat_json(struct td_daemon *d, const struct td_state *s)
{
	const struct td_tuple *fullest;
	char text[TD_TUPLE_TEXT];
	uint32_t lanes;
	json_t *o;

	if (!td_nat_is_on(d))
		return NULL;
	td_lanes_count(d, &lanes, &fullest);
	o = json_pack("{s:I s:I s:I s:I}", "connections", (json_int_t)td_nat_records(d), "capacity",
		      (json_int_t)td_nat_capacity(d), "lanes", (json_int_t)lanes, "lanes_capacity",
		      (json_int_t)d->settings.lanes_max - 1);
	if (fullest)
		json_object_set_new(o, "fullest",
				    json_pack("{s:s s:i s:i s:f}", "tuple",
					      td_tuple_text(&fullest->key, text), "used",
					      (int)fullest->picture.used, "usable",
					      (int)fullest->picture.usable, "utilization",
					      fullest->picture.utilization));
	add_troubles(d, s, o);
	return o;
}

/* ---- what does not fit ----------------------------------------------------------------- */

static void one_backend(struct td_daemon *d, const struct td_state *s,
			const struct td_backend_state *v, td_attention_add add, json_t *list)
{
	const struct tundish_backend *b = &v->value;
	const struct tundish_lane *l = td_nat_lane_troubled(d, v->id, true);
	char what[200], why[300], text[TD_ADDRESS_TEXT], name[IF_NAMESIZE];

	snprintf(what, sizeof(what), "backend %.63s/%.63s", td_service_name(s, b->service),
		 b->name);
	if (l) {
		snprintf(
			why, sizeof(why),
			"the way to %s goes by %s, which is not among interfaces: its answers would "
			"come in there and reach nobody",
			td_address_print(&l->host, text),
			if_indextoname(d->hops[l->nexthop % d->hops_max].value.ifindex, name)
				?: "a NIC");
		add(list, what, why, "add that interface to the file");
	}
	l = td_nat_lane_troubled(d, v->id, false);
	if (l) {
		snprintf(why, sizeof(why), "no next hop for %s: %s",
			 td_address_print(&l->host, text),
			 d->lanes->hosts[l->number % TUNDISH_NAT_HOSTS_MAX].memory.trouble);
		add(list, what, why, TD_NO_HOP_REMEDY);
	}
	if (td_nat_is_silent(d, v->id)) {
		snprintf(why, sizeof(why),
			 "nobody hears %.63s's answers: %u SYNs within half a minute and none "
			 "answered",
			 b->name, d->nat->answers[v->id].missed);
		add(list, what, why, td_nat_answers_remedy(b));
	}
}

static bool in_trouble(struct td_daemon *d, uint32_t id)
{
	return td_nat_lane_troubled(d, id, true) || td_nat_lane_troubled(d, id, false) ||
	       td_nat_is_silent(d, id);
}

static void backends(struct td_daemon *d, const struct td_state *s, td_attention_add add,
		     json_t *list)
{
	size_t before = json_array_size(list), more = 0;
	char why[120];

	for (size_t i = 0; i < s->n_backends; i++) {
		const struct td_backend_state *v = &s->backends[i];

		if (!td_backend_translates(&v->value))
			continue;
		if (json_array_size(list) - before < TD_ATTENTION_BACKENDS)
			one_backend(d, s, v, add, list);
		else
			more += in_trouble(d, v->id);
	}
	if (!more)
		return;
	snprintf(why, sizeof(why), "%zu more are out of reach or unheard", more);
	add(list, "backends with translated connections", why, TD_MANY_REMEDY);
}

static void tables_full(struct td_daemon *d, td_attention_add add, json_t *list)
{
	if (d->lanes->near_cut)
		add(list, "delivery nat",
		    "its servers stand in more networks than can be noted (256): clients in the "
		    "others may hear no answer, which goes past this host",
		    "fewer networks on the servers' links, or delivery fullnat");
	if (d->nat->ways * 10 >= TUNDISH_NAT_HOPS * 9)
		add(list, "ways back to clients",
		    "nine tenths of the 4096 MAC addresses that clients' packets may come from are "
		    "used: answers to others go by this host's routes",
		    "a router between clients and this host, so that they come from its address");
	if (td_nat_records(d) * 10 >= td_nat_capacity(d) * 9)
		add(list, "table of translated connections",
		    "nine tenths of it are used: a connection that finds no place is refused",
		    "raise limits.nat, then `tundish unload` and start again");
}

void td_nat_attention(struct td_daemon *d, const struct td_state *s, td_attention_add add,
		      json_t *list)
{
	if (!td_nat_is_on(d))
		return;
	if (d->lanes->trouble[0])
		add(list, "source ports of this host", d->lanes->trouble,
		    "this host's own connections may take ports of translated ones, which then go "
		    "round them; let tundishd write net.ipv4.ip_local_reserved_ports");
	td_links_attention(d, add, list);
	td_nat_sources_attention(d, add, list);
	backends(d, s, add, list);
	tables_full(d, add, list);
}
