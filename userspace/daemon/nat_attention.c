// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translated connections in `status`: how many there are, and what does not fit. Answers have
 * to come back by this host, so a backend behind a NIC without our program, a source that is
 * not one of this host's addresses, and a backend that nobody hears are each told.
 */
#include "core/address.h"
#include "daemon/lanes.h"
#include "daemon/nat.h"

/* ---- what does not fit ----------------------------------------------------------------- */

static bool translates(const struct tundish_backend *b)
{
	return (b->delivery == TUNDISH_DELIVERY_NAT || b->delivery == TUNDISH_DELIVERY_FULLNAT) &&
	       td_backend_listed(b);
}

static bool carries_program(const struct td_daemon *d, uint32_t ifindex)
{
	for (size_t i = 0; i < d->n_attachments; i++)
		if (d->attachments[i].ifindex == ifindex && d->attachments[i].mode != TD_MODE_NONE)
			return true;
	return false;
}

/* Whether answers of a lane's server come in by a NIC without the program. */
static bool is_missed(const struct td_daemon *d, const struct tundish_lane *l)
{
	uint32_t hop = __atomic_load_n(&l->nexthop, __ATOMIC_RELAXED);
	const struct tundish_nexthop *n =
		hop && hop < d->hops_max && d->hops[hop].written ? &d->hops[hop].value : NULL;

	return n && !(n->flags & TUNDISH_NEXTHOP_LOCAL) && n->ifindex &&
	       !carries_program(d, n->ifindex);
}

/* An address of the backend to which there is no way; the first is told with the backend. */
static bool is_out_of_reach(const struct td_daemon *d, const struct tundish_backend *b,
			    const struct tundish_lane *l)
{
	return d->lanes->hosts[l->number % TUNDISH_NAT_HOSTS_MAX].memory.resolved < 0 &&
	       !tundish_addr_equal(&l->host, &b->address);
}

/* The backend's first lane of that kind, or NULL. */
static const struct tundish_lane *find_lane(struct td_daemon *d, uint32_t backend, bool missed)
{
	const struct tundish_fan *f = &td_kernel_fans(d->kernel)[backend];
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[backend];

	for (uint32_t i = 0; i < TUNDISH_FAN_LANES; i++) {
		const struct tundish_lane *l;

		if (!f->lane[i] || f->lane[i] >= d->settings.lanes_max)
			continue;
		l = &td_kernel_lanes(d->kernel)[f->lane[i]];
		if (l->number && (missed ? is_missed(d, l) : is_out_of_reach(d, b, l)))
			return l;
	}
	return NULL;
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
		if (translates(&v->value) && find_lane(d, v->id, true))
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
	const struct tundish_lane *l = find_lane(d, v->id, true);
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
	l = find_lane(d, v->id, false);
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

void td_nat_nics_look(struct td_daemon *d)
{
	const struct tundish_backend *b = td_kernel_backends(d->kernel);
	_cleanup_(td_state_done) struct td_state s = {0};

	for (uint32_t id = 1; id < d->settings.backends_max; id++) {
		bool missed = translates(&b[id]) && find_lane(d, id, true);
		char object[160];

		if (missed == d->nat->missed[id])
			continue;
		d->nat->missed[id] = missed;
		if (!translates(&b[id]))
			continue;
		if (!s.n_backends && td_kernel_read_state(d->kernel, &s) < 0)
			return;
		snprintf(object, sizeof(object), "backend %.63s/%.63s",
			 td_service_name(&s, b[id].service), b[id].name);
		if (missed)
			td_event(
				d, "nic-missing", object,
				"the way to it goes by a NIC that is not among interfaces: its "
				"answers would come in there and reach nobody; add it to the file");
		else
			td_event(d, "nic", object, "its answers come in by one of interfaces now");
	}
}

static void lanes_full(struct td_daemon *d, td_attention_add add, json_t *list)
{
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
	for (size_t i = 0; i < s->n_backends; i++)
		if (translates(&s->backends[i].value))
			one_backend(d, s, &s->backends[i], add, list);
	lanes_full(d, add, list);
}
