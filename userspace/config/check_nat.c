// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks of deliveries nat and fullnat: families that meet, tuples that are distinct
 * and fit a backend's entry, ports that two services see alike; and that what only
 * they have stands with no other delivery.
 */
#include <netinet/in.h>
#include <tundish/lane.h>

#include "config/check.h"
#include "config/value.h"
#include "core/address.h"
#include "core/lanes.h"

/* ---- keys of one delivery alone ---------------------------------------------------- */

static int fail_key(struct td_document *d, const struct td_node *node, const char *key,
		    const char *delivery)
{
	return td_document_fail(d, node,
				"\"%s\" is of delivery nat and fullnat; leave it out with delivery "
				"%s",
				key, delivery);
}

static int check_others(struct td_document *d, const struct td_service_conf *s,
			const struct td_node *node)
{
	static const char *const of_service[] = {"sources",	   "source_ports", "mss",
						 "client_address", "time_wait",	   "early_reuse"};
	static const char *const of_backend[] = {"addresses", "port"};
	const char *delivery = td_node_text(td_node_value(d, node, "delivery"));
	const struct td_node *list = td_node_value(d, node, "backends");

	for (size_t i = 0; i < TD_ARRAY_SIZE(of_service); i++) {
		const struct td_node *value = td_node_value(d, node, of_service[i]);

		if (value)
			return fail_key(d, value, of_service[i], delivery);
	}
	for (size_t i = 0; i < s->n_backends; i++) {
		if (!s->backends[i].n_addresses && !s->backends[i].port)
			continue;
		td_document_enter(d, "backend \"%s\"", s->backends[i].name);
		for (size_t k = 0; k < TD_ARRAY_SIZE(of_backend); k++) {
			const struct td_node *value =
				td_node_value(d, td_node_item(d, list, i), of_backend[k]);

			if (value)
				return fail_key(d, value, of_backend[k], delivery);
		}
	}
	return 0;
}

/* ---- addresses ---------------------------------------------------------------------- */

static const char *family(bool v4)
{
	return v4 ? "IPv4" : "IPv6";
}

struct used {
	struct tundish_addr address;
	struct td_place at;
	const char *backend;
};

static int by_address_and_place(const void *a, const void *b)
{
	const struct used *x = a, *y = b;
	int r = memcmp(&x->address, &y->address, sizeof(x->address));

	if (r || x->at.line != y->at.line)
		return r ? r : (x->at.line > y->at.line) - (x->at.line < y->at.line);
	return (x->at.column > y->at.column) - (x->at.column < y->at.column);
}

/* No server's address twice, none of them a VIP of the service or one of its sources. */
static int check_distinct(struct td_document *d, const struct td_service_conf *s)
{
	_cleanup_free_ struct used *all = NULL;
	char text[TD_ADDRESS_TEXT];
	size_t n = 0;

	for (size_t i = 0; i < s->n_backends; i++)
		n += td_backend_addresses(&s->backends[i]);
	all = calloc(n + 1, sizeof(*all));
	if (!all)
		return td_fail(d->error, ENOMEM, "out of memory");
	n = 0;
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct td_backend_conf *b = &s->backends[i];

		for (size_t k = 0; k < td_backend_addresses(b); k++)
			all[n++] =
				(struct used){*td_backend_address(b, k),
					      b->n_addresses ? b->addresses[k].at : b->at, b->name};
	}
	qsort(all, n, sizeof(*all), by_address_and_place);
	for (size_t i = 1; i < n; i++)
		if (tundish_addr_equal(&all[i].address, &all[i - 1].address))
			return td_document_fail_at(
				d, all[i].at,
				"backend \"%s\": address %s is that of backend \"%s\" in line %u; "
				"give each its own",
				all[i].backend, td_address_print(&all[i].address, text),
				all[i - 1].backend, all[i - 1].at.line);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < s->n_sources; k++)
			if (tundish_addr_equal(&all[i].address, &s->sources[k].address))
				return td_document_fail_at(
					d, s->sources[k].at,
					"source %s is the address of backend \"%s\" in line %u; "
					"give an address of this host",
					td_address_print(&all[i].address, text), all[i].backend,
					all[i].at.line);
		for (size_t k = 0; k < s->n_vips; k++)
			if (tundish_addr_equal(&all[i].address, &s->vips[k].address))
				return td_document_fail_at(
					d, all[i].at,
					"backend \"%s\": address %s is a VIP of this service; give "
					"the server's own address",
					all[i].backend, td_address_print(&all[i].address, text));
	}
	for (size_t i = 0; i < s->n_sources; i++)
		for (size_t k = 0; k < i; k++)
			if (tundish_addr_equal(&s->sources[i].address, &s->sources[k].address))
				return td_document_fail_at(
					d, s->sources[i].at,
					"source %s stands twice, first in line %u",
					td_address_print(&s->sources[i].address, text),
					s->sources[k].at.line);
	return 0;
}

/* nat keeps the client's address, so server and VIP are of one family; fullnat has a
 * source for each family that a server has. */
static int check_families(struct td_document *d, const struct td_service_conf *s)
{
	char text[TD_ADDRESS_TEXT], vip[TD_ADDRESS_TEXT];
	bool sources[2] = {false, false};

	for (size_t i = 0; i < s->n_sources; i++)
		sources[tundish_addr_is_v4(&s->sources[i].address)] = true;
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct td_backend_conf *b = &s->backends[i];

		for (size_t k = 0; k < td_backend_addresses(b); k++) {
			const struct tundish_addr *a = td_backend_address(b, k);
			struct td_place at = b->n_addresses ? b->addresses[k].at : b->at;
			bool v4 = tundish_addr_is_v4(a);

			if (s->delivery == TUNDISH_DELIVERY_FULLNAT && !sources[v4])
				return td_document_fail_at(
					d, at,
					"backend \"%s\": address %s is %s and \"sources\" has no "
					"address of that family; add one",
					b->name, td_address_print(a, text), family(v4));
			for (size_t v = 0; s->delivery == TUNDISH_DELIVERY_NAT && v < s->n_vips;
			     v++)
				if (tundish_addr_is_v4(&s->vips[v].address) != v4)
					return td_document_fail_at(
						d, at,
						"backend \"%s\": address %s is %s and VIP %s is "
						"not, which delivery nat cannot change; use "
						"fullnat",
						b->name, td_address_print(a, text), family(v4),
						td_address_print(&s->vips[v].address, vip));
		}
	}
	return 0;
}

/* ---- one service ---------------------------------------------------------------------- */

static int check_backend(struct td_document *d, const struct td_service_conf *s,
			 const struct td_backend_conf *b)
{
	size_t direct = s->delivery == TUNDISH_DELIVERY_NAT, addresses = td_backend_addresses(b);
	size_t sources = s->n_sources ? s->n_sources : 1;

	if (addresses * (sources + direct) > TUNDISH_FAN_LANES)
		return td_document_fail_at(
			d, b->at,
			"backend \"%s\": %zu addresses and %zu sources make more than %u tuples; "
			"give fewer of either",
			b->name, addresses, s->n_sources, TUNDISH_FAN_LANES);
	for (size_t i = 0; b->port && i < s->n_ports; i++)
		if (s->ports[i].first != s->ports[i].last)
			return td_document_fail_at(
				d, b->at,
				"backend \"%s\": \"port\" %u would stand for a whole range of the "
				"service's ports; leave it out, or list single ports",
				b->name, b->port);
	return 0;
}

static int check_one(struct td_document *d, const struct td_service_conf *s,
		     const struct td_node *node)
{
	int r = 0;

	if (s->delivery == TUNDISH_DELIVERY_FULLNAT && !s->n_sources)
		return td_document_fail(d, td_node_value(d, node, "delivery"),
					"delivery fullnat needs \"sources\", addresses of this "
					"host that the servers answer to");
	if (s->protocol == IPPROTO_UDP && s->nat.toa)
		return td_document_fail(d, td_node_value(d, node, "client_address"),
					"client_address \"toa\" is a TCP option; leave it out with "
					"protocol udp");
	if (s->protocol == IPPROTO_UDP && s->nat.mss)
		return td_document_fail(d, td_node_value(d, node, "mss"),
					"\"mss\" is of TCP; leave it out with protocol udp");
	if (!s->flows)
		return td_document_fail(d, td_node_value(d, node, "flows"),
					"flows \"off\" does not go with delivery %s, which has to "
					"find the client of each answer: leave it out",
					s->delivery == TUNDISH_DELIVERY_NAT ? "nat" : "fullnat");
	for (size_t i = 0; r == 0 && i < s->n_backends; i++)
		r = check_backend(d, s, &s->backends[i]);
	r = r < 0 ? r : check_distinct(d, s);
	return r < 0 ? r : check_families(d, s);
}

int td_check_nat(struct td_document *d, const struct td_service_conf *s, const struct td_node *node)
{
	return td_translates(s->delivery) ? check_one(d, s, node) : check_others(d, s, node);
}

/* ---- several services ------------------------------------------------------------------ */

static const struct td_source_conf *common_source(const struct td_service_conf *a,
						  const struct td_service_conf *b)
{
	for (size_t i = 0; i < a->n_sources; i++)
		for (size_t k = 0; k < b->n_sources; k++)
			if (tundish_addr_equal(&a->sources[i].address, &b->sources[k].address))
				return &a->sources[i];
	return NULL;
}

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tundish_addr));
}

/* The addresses of all servers, sorted; NULL without memory. */
static struct tundish_addr *servers(const struct td_service_conf *s, size_t *ret_n)
{
	struct tundish_addr *all;
	size_t n = 0;

	for (size_t i = 0; i < s->n_backends; i++)
		n += td_backend_addresses(&s->backends[i]);
	all = calloc(n + 1, sizeof(*all));
	if (!all)
		return NULL;
	n = 0;
	for (size_t i = 0; i < s->n_backends; i++)
		for (size_t k = 0; k < td_backend_addresses(&s->backends[i]); k++)
			all[n++] = *td_backend_address(&s->backends[i], k);
	qsort(all, n, sizeof(*all), by_address);
	*ret_n = n;
	return all;
}

/* Whether they have a server in common, or -ENOMEM. */
static int meet(const struct td_service_conf *a, const struct td_service_conf *b)
{
	_cleanup_free_ struct tundish_addr *x = NULL, *y = NULL;
	size_t n_x = 0, n_y = 0;

	x = servers(a, &n_x);
	y = servers(b, &n_y);
	if (!x || !y)
		return -ENOMEM;
	for (size_t i = 0, k = 0; i < n_x && k < n_y;) {
		int order = by_address(&x[i], &y[k]);

		if (!order)
			return 1;
		i += order < 0;
		k += order > 0;
	}
	return 0;
}

/* One source towards one server has one range of ports, whoever uses it. */
static int check_ranges(struct td_document *d, const struct td_config *c, size_t late, size_t early)
{
	const struct td_service_conf *a = &c->services[late], *b = &c->services[early];
	const struct td_range_conf *x = &a->nat.source_ports, *y = &b->nat.source_ports;
	const struct td_source_conf *source;
	char text[TD_ADDRESS_TEXT];
	int r;

	if (!td_translates(b->delivery) || a->protocol != b->protocol ||
	    (x->first == y->first && x->last == y->last))
		return 0;
	source = common_source(a, b);
	r = source ? meet(a, b) : 0;
	if (r < 0)
		return td_fail(d->error, ENOMEM, "out of memory");
	if (!r)
		return 0;
	return td_document_fail_at(d, source->at,
				   "source %s has other \"source_ports\" in service \"%s\", which "
				   "has servers in common; give both the same",
				   td_address_print(&source->address, text), b->name);
}

/* On a VIP that is a source too, an answer's port must not be a service's. */
static int check_claimed(struct td_document *d, const struct td_config *c,
			 const struct td_service_conf *s, const struct td_source_conf *source)
{
	const struct td_range_conf *range = &s->nat.source_ports;
	char text[TD_ADDRESS_TEXT], ports[TD_PORTS_TEXT];

	for (size_t i = 0; i < c->n_services; i++)
		for (size_t v = 0; v < c->services[i].n_vips; v++) {
			const struct td_service_conf *other = &c->services[i];
			struct td_prefix p = {other->vips[v].address, other->vips[v].prefix};

			if (other->protocol != s->protocol ||
			    !td_prefix_holds(&p, &source->address))
				continue;
			for (size_t k = 0; k < other->n_ports; k++) {
				uint16_t first = range->last ? range->first : 0;
				uint16_t last = range->last ? range->last : UINT16_MAX;

				/* auto goes round single ports, but not round all of them */
				if (!range->last && (other->ports[k].first > TD_PORTS_FIRST ||
						     other->ports[k].last < UINT16_MAX))
					continue;
				if (other->ports[k].last < first || other->ports[k].first > last)
					continue;
				td_ports_print(&other->ports[k], ports);
				return td_document_fail_at(
					d, source->at,
					"source %s is a VIP of service \"%s\" too, whose ports %s "
					"meet \"source_ports\"; choose others, or another source",
					td_address_print(&source->address, text), other->name,
					ports);
			}
		}
	return 0;
}

static int check_egress_sources(struct td_document *d, const struct td_config *c,
				const struct td_source_conf *source)
{
	char text[TD_ADDRESS_TEXT];

	for (size_t i = 0; i < c->n_egress; i++)
		for (size_t k = 0; k < c->egress[i].n_sources; k++)
			if (tundish_addr_equal(&c->egress[i].sources[k].address, &source->address))
				return td_document_fail_at(
					d, source->at,
					"source %s is one of egress \"%s\" in line %u; give each "
					"its own",
					td_address_print(&source->address, text), c->egress[i].name,
					c->egress[i].sources[k].at.line);
	return 0;
}

int td_check_lanes(struct td_document *d, const struct td_config *c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n_services; i++) {
		const struct td_service_conf *s = &c->services[i];
		size_t mark;

		if (!td_translates(s->delivery))
			continue;
		mark = td_document_enter(d, "service \"%s\"", s->name);
		for (size_t k = 0; r == 0 && k < s->n_sources; k++) {
			r = check_claimed(d, c, s, &s->sources[k]);
			if (r == 0)
				r = check_egress_sources(d, c, &s->sources[k]);
		}
		for (size_t k = 0; r == 0 && k < i; k++)
			r = check_ranges(d, c, i, k);
		if (r == 0)
			td_document_leave(d, mark);
	}
	return r;
}
