// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks over several values: names and addresses given twice, what a delivery
 * needs and cannot have, and more objects than the tables hold. Those of groups
 * of listeners stand in check_workers.c, those of QUIC in check_quic.c, those of
 * checks in check_health.c, those of ports in claims.c.
 *
 * Files may hold a hundred thousand backends, so what is given twice is found
 * by sorting, and the places of errors are looked up only once there is one.
 */
#include <netinet/in.h>

#include "config/check.h"
#include "config/schema.h"
#include "config/value.h"
#include "core/address.h"
#include "core/vip_walk.h"

/* ---- things given twice ------------------------------------------------------ */

struct field {
	const char *bytes;
	size_t length, index;
};

static int by_bytes(const void *a, const void *b)
{
	const struct field *x = a, *y = b;
	int r = memcmp(x->bytes, y->bytes, x->length);

	return r ? r : (x->index > y->index) - (x->index < y->index);
}

int td_check_repeated(const void *array, size_t n, size_t size, size_t offset, size_t length,
		      size_t *ret_first, size_t *ret_again)
{
	_cleanup_free_ struct field *fields = calloc(n + 1, sizeof(*fields));
	int found = 0;

	if (!fields)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		fields[i] = (struct field){(const char *)array + i * size + offset, length, i};
	qsort(fields, n, sizeof(*fields), by_bytes);
	for (size_t i = 1; i < n; i++) {
		if (memcmp(fields[i - 1].bytes, fields[i].bytes, length))
			continue;
		if (found && fields[i].index >= *ret_again)
			continue;
		*ret_first = fields[i - 1].index;
		*ret_again = fields[i].index;
		found = 1;
	}
	return found;
}

/* ---- places -------------------------------------------------------------------- */

static const struct td_node *top_value(struct td_document *d, const char *key)
{
	return td_node_value(d, td_document_root(d), key);
}

static const struct td_node *service_node(struct td_document *d, size_t service)
{
	return td_node_item(d, top_value(d, "services"), service);
}

static const struct td_node *backend_value(struct td_document *d, size_t service, size_t backend,
					   const char *key)
{
	const struct td_node *list = td_node_value(d, service_node(d, service), "backends");

	return td_node_value(d, td_node_item(d, list, backend), key);
}

static int out_of_memory(struct td_document *d)
{
	return td_fail(d->error, ENOMEM, "out of memory");
}

/* ---- one service ----------------------------------------------------------------- */

static int check_backends(struct td_document *d, const struct td_service_conf *s, size_t number)
{
	char text[TD_ADDRESS_TEXT];
	size_t first, again;
	int r;

	r = TD_CHECK_REPEATED(s->backends, s->n_backends, name, &first, &again);
	if (r > 0)
		return td_document_fail(d, backend_value(d, number, again, "name"),
					"backend name \"%s\" is taken already in line %u",
					s->backends[again].name, s->backends[first].at.line);
	if (r == 0)
		r = TD_CHECK_REPEATED(s->backends, s->n_backends, address, &first, &again);
	if (r > 0)
		return td_document_fail(d, backend_value(d, number, again, "address"),
					"backend \"%s\": address %s is that of backend \"%s\" in "
					"line %u; give each its own",
					s->backends[again].name,
					td_address_print(&s->backends[again].address, text),
					s->backends[first].name, s->backends[first].at.line);
	return r < 0 ? out_of_memory(d) : 0;
}

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tundish_addr));
}

/* A packet for the VIP, sent to a backend that has the VIP's own address,
 * would come back. */
static int check_backends_not_vips(struct td_document *d, const struct td_service_conf *s,
				   size_t number)
{
	_cleanup_free_ struct tundish_addr *vips = calloc(s->n_vips + 1, sizeof(*vips));
	char text[TD_ADDRESS_TEXT];

	if (!vips)
		return out_of_memory(d);
	for (size_t i = 0; i < s->n_vips; i++)
		vips[i] = s->vips[i].address;
	qsort(vips, s->n_vips, sizeof(*vips), by_address);
	for (size_t i = 0; i < s->n_backends; i++)
		if (bsearch(&s->backends[i].address, vips, s->n_vips, sizeof(*vips), by_address))
			return td_document_fail(d, backend_value(d, number, i, "address"),
						"backend \"%s\": address %s is a VIP of this "
						"service; give the server's own address",
						s->backends[i].name,
						td_address_print(&s->backends[i].address, text));
	return 0;
}

/* The data path's other ways know single addresses alone. */
static int check_prefixes(struct td_document *d, const struct td_service_conf *s, const char *name)
{
	char text[TD_PREFIX_TEXT];

	for (size_t i = 0; i < s->n_vips; i++) {
		struct td_prefix p = {s->vips[i].address, s->vips[i].prefix};

		if (p.length < TD_PREFIX_ALL)
			return td_document_fail_at(
				d, s->vips[i].at,
				"VIP %s is a prefix, which only delivery workers "
				"takes; with delivery %s give single addresses",
				td_prefix_print(&p, text), name);
	}
	return 0;
}

/* Who chooses has to remember what was chosen, and for whom. */
static int check_scheduler(struct td_document *d, const struct td_service_conf *s, size_t number)
{
	const struct td_node *node = service_node(d, number);
	const struct td_node *at = td_node_value(
		d, node,
		s->scheduler == TD_SCHEDULER_LEAST_CONNECTIONS ? "scheduler" : "max_connections");
	const char *what = s->scheduler == TD_SCHEDULER_LEAST_CONNECTIONS
				   ? "scheduler \"least-connections\""
				   : "\"max_connections\"";

	if (!td_service_chooses(s) && !s->max_connections)
		return 0;
	at = at ?: td_node_value(d, node, "backends");
	if (s->delivery == TUNDISH_DELIVERY_WORKERS)
		return td_document_fail(
			d, at,
			"%s is for backends; with delivery workers \"steering\" says "
			"who gets a new connection: leave it out",
			what);
	if (!s->flows)
		return td_document_fail(d, at,
					"%s has to remember where each flow went; leave it out, or "
					"flows \"off\"",
					what);
	return 0;
}

static int check_delivery(struct td_document *d, const struct td_service_conf *s, size_t number)
{
	const struct td_node *node = service_node(d, number);
	const struct td_node *delivery = td_node_value(d, node, "delivery");
	const struct td_node *workers = td_node_value(d, node, "workers");
	const struct td_node *gue = td_node_value(d, node, "gue");
	const char *name = td_node_text(delivery);

	if (gue && !td_node_is_null(gue) && s->delivery != TUNDISH_DELIVERY_GUE)
		return td_document_fail(d, gue,
					"\"gue\" says where tunnels of delivery gue end; leave it "
					"out with delivery %s",
					name);

	if (s->protocol != IPPROTO_UDP && !s->flows)
		return td_document_fail(
			d, td_node_value(d, node, "flows"),
			"flows \"off\" needs protocol udp; a TCP connection whose flow "
			"is not remembered breaks when backends change: leave it out");
	if (s->delivery == TUNDISH_DELIVERY_WORKERS) {
		if (s->n_backends)
			return td_document_fail(
				d, td_node_value(d, node, "backends"),
				"delivery workers has no backends; leave \"backends\" "
				"out, or choose another delivery");
		return td_check_workers(d, s, workers);
	}
	if (!s->n_backends)
		return td_document_fail(d, delivery,
					"delivery %s needs backends; give at least one", name);
	if (workers && !td_node_is_null(workers) && !s->workers.n_listen)
		return td_document_fail(d, workers,
					"with delivery %s \"workers\" are those of the backend "
					"that is this host; add \"listen\", such as "
					"\"[::]:8080\", or leave \"workers\" out",
					name);
	return check_prefixes(d, s, name) ?: td_check_workers(d, s, workers);
}

static int check_service(struct td_document *d, const struct td_service_conf *s, size_t number)
{
	size_t first, again, mark = td_document_enter(d, "service \"%s\"", s->name);
	char text[TD_PREFIX_TEXT];
	int r;

	_Static_assert(offsetof(struct td_vip_conf, prefix) == sizeof(s->vips->address) &&
			       sizeof(s->vips->prefix) == 1,
		       "a VIP begins with its address and length");
	r = td_check_repeated(s->vips, s->n_vips, sizeof(*s->vips), 0, sizeof(s->vips->address) + 1,
			      &first, &again);
	if (r < 0)
		return out_of_memory(d);
	if (r > 0) {
		struct td_prefix p = {s->vips[again].address, s->vips[again].prefix};

		return td_document_fail_at(d, s->vips[again].at,
					   "VIP %s stands twice, first in line "
					   "%u",
					   td_prefix_print(&p, text), s->vips[first].at.line);
	}
	r = check_delivery(d, s, number);
	if (r == 0)
		r = check_scheduler(d, s, number);
	if (r == 0)
		r = td_check_nat(d, s, service_node(d, number));
	if (r == 0)
		r = check_backends(d, s, number);
	if (r == 0)
		r = check_backends_not_vips(d, s, number);
	if (r == 0)
		r = td_check_quic(d, s, service_node(d, number));
	if (r == 0)
		r = td_check_health(d, s, service_node(d, number));
	if (r == 0)
		td_document_leave(d, mark);
	return r;
}

/* ---- sizes ------------------------------------------------------------------------- */

int td_check_fail_limit(struct td_document *d, struct td_place at, const char *what, uint32_t limit)
{
	return td_document_fail_at(d, at, "more %s than limits.%s allows, which is %u; raise it",
				   what, what, limit);
}

/* In the file. */
static int by_order(const void *a, const void *b)
{
	const struct td_vip_use *x = a, *y = b;

	if (x->service != y->service)
		return x->service < y->service ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

/* Services may share a VIP, which then counts once, where it stands first. */
static int check_vips_limit(struct td_document *d, const struct td_config *c)
{
	_cleanup_free_ struct td_vip_use *uses = NULL;
	size_t n = 0, distinct = 0;

	if (td_vip_uses(c, &uses, &n) < 0)
		return out_of_memory(d);
	for (size_t i = 0; i < n; i++)
		if (!i || td_prefix_compare(&uses[i].vip, &uses[distinct - 1].vip))
			uses[distinct++] = uses[i];
	if (distinct <= c->limits.vips)
		return 0;
	qsort(uses, distinct, sizeof(*uses), by_order);
	return td_check_fail_limit(
		d, c->services[uses[c->limits.vips].service].vips[uses[c->limits.vips].index].at,
		"vips", c->limits.vips);
}

static int check_limits(struct td_document *d, const struct td_config *c)
{
	size_t backends = 0;

	if (c->n_services > c->limits.services)
		return td_check_fail_limit(d, c->services[c->limits.services].at, "services",
					   c->limits.services);
	for (size_t i = 0; i < c->n_services; i++) {
		const struct td_service_conf *s = &c->services[i];
		size_t before = backends;

		/* This host's workers are one backend together. */
		backends += s->delivery == TUNDISH_DELIVERY_WORKERS ? 1 : s->n_backends;
		if (backends <= c->limits.backends)
			continue;
		return td_check_fail_limit(
			d, s->n_backends ? s->backends[c->limits.backends - before].at : s->at,
			"backends", c->limits.backends);
	}
	return check_vips_limit(d, c);
}

int td_check(struct td_document *d, const struct td_config *c)
{
	size_t first, again;
	int r;

	r = TD_CHECK_REPEATED(c->interfaces, c->n_interfaces, name, &first, &again);
	if (r > 0)
		return td_document_fail(
			d,
			td_node_value(d, td_node_item(d, top_value(d, "interfaces"), again),
				      "name"),
			"interface \"%s\" stands twice, first in line %u",
			c->interfaces[again].name, c->interfaces[first].at.line);
	if (r == 0)
		r = TD_CHECK_REPEATED(c->services, c->n_services, name, &first, &again);
	if (r > 0)
		return td_document_fail(d, td_node_value(d, service_node(d, again), "name"),
					"service name \"%s\" is taken already in line %u",
					c->services[again].name, c->services[first].at.line);
	if (r == 0)
		r = TD_CHECK_REPEATED(c->ports.namespaces, c->ports.n_namespaces, path, &first,
				      &again);
	if (r > 0)
		return td_document_fail_at(d, c->ports.namespaces[again].at,
					   "network namespace %s stands twice, first in line %u",
					   c->ports.namespaces[again].path,
					   c->ports.namespaces[first].at.line);
	if (r < 0)
		return out_of_memory(d);

	for (size_t i = 0; i < c->n_services; i++) {
		r = check_service(d, &c->services[i], i);
		if (r < 0)
			return r;
	}
	r = check_limits(d, c);
	if (r == 0)
		r = td_check_groups(d, c);
	if (r == 0)
		r = td_check_egress(d, c);
	if (r == 0)
		r = td_check_lanes(d, c);
	return r < 0 ? r : td_check_claims(d, c);
}
