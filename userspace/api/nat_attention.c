// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translated connections in `status`: how many there are, and what does not fit. Answers have
 * to come back by this host, so a backend behind a NIC without our program, a source that is
 * not one of this host's addresses, and a backend that nobody hears are each told.
 */
#include "api/api.h"
#include "core/address.h"
#include "daemon/lanes.h"

/* ---- what does not fit ----------------------------------------------------------------- */

static bool translates(const struct tundish_backend *b)
{
	return td_translates(b->delivery) && td_backend_listed(b);
}

/* ---- status ----------------------------------------------------------------------------- */

static json_t *backend_text(const struct td_state *s, const struct td_backend_state *v)
{
	return json_sprintf("%.63s/%.63s", td_service_name(s, v->value.service), v->value.name);
}

/* What `doctor` asks for: backends that nobody hears, or nobody would; sources that are not
 * here. */
static void add_troubles(struct td_daemon *d, const struct td_state *s, json_t *o)
{
	json_t *silent = json_array(), *missing = json_array(), *missed = json_array();
	char text[TD_ADDRESS_TEXT];

	for (size_t i = 0; i < s->n_backends; i++) {
		const struct td_backend_state *v = &s->backends[i];

		if (td_nat_is_silent(d, v->id))
			json_array_append_new(silent, backend_text(s, v));
		if (translates(&v->value) && td_nat_lane_troubled(d, v->id, true))
			json_array_append_new(missed, backend_text(s, v));
	}
	for (size_t i = 0; i < d->nat->n_missing; i++)
		json_array_append_new(missing,
				      json_string(td_address_print(&d->nat->missing[i], text)));
	json_object_set_new(o, "silent", silent);
	json_object_set_new(o, "nics_missing", missed);
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
		add(list, what, why,
		    "check that the host is up and that `ip route get` and `ip neighbour` show it");
	}
	if (td_nat_is_silent(d, v->id)) {
		snprintf(why, sizeof(why),
			 "nobody hears %.63s's answers: %u SYNs within half a minute and none "
			 "answered",
			 b->name, d->nat->answers[v->id].missed);
		add(list, what, why, td_nat_answers_remedy(b));
	}
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
	size_t n;

	if (!td_nat_is_on(d))
		return;
	if (d->lanes->trouble[0])
		add(list, "source ports of this host", d->lanes->trouble,
		    "this host's own connections may take ports of translated ones, which then go "
		    "round them; let tundishd write net.ipv4.ip_local_reserved_ports");
	td_links_attention(d, add, list);
	td_nat_sources_attention(d, add, list);
	n = json_array_size(list);
	for (size_t i = 0; i < s->n_backends && json_array_size(list) - n < TD_ATTENTION_BACKENDS;
	     i++)
		if (translates(&s->backends[i].value))
			one_backend(d, s, &s->backends[i], add, list);
	tables_full(d, add, list);
}
