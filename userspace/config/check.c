// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks over several values: names and addresses given twice, what a delivery
 * needs and cannot have, and more objects than the tables hold.
 *
 * Files may hold a hundred thousand backends, so what is given twice is found
 * by sorting, and the places of errors are looked up only once there is one.
 */
#include "config/check.h"
#include "config/schema.h"
#include "config/value.h"
#include "core/address.h"

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

/*
 * Compares one field of `length` bytes of all `n` elements. Returns 1 and the
 * first element in the list's order that repeats an earlier one, 0 where none
 * does, or -ENOMEM.
 */
static int find_repeated(const void *array, size_t n, size_t size, size_t offset, size_t length,
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

#define FIND_REPEATED(array, n, field, first, again)                                               \
	find_repeated(array, n, sizeof(*(array)), offsetof(__typeof__(*(array)), field),           \
		      sizeof((array)->field), first, again)

/* ---- places -------------------------------------------------------------------- */

static const yaml_node_t *top_value(struct td_document *d, const char *key)
{
	return td_node_value(d, td_document_root(d), key);
}

static const yaml_node_t *service_node(struct td_document *d, size_t service)
{
	return td_node_item(d, top_value(d, "services"), service);
}

static const yaml_node_t *backend_value(struct td_document *d, size_t service, size_t backend,
					const char *key)
{
	const yaml_node_t *list = td_node_value(d, service_node(d, service), "backends");

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

	r = FIND_REPEATED(s->backends, s->n_backends, name, &first, &again);
	if (r > 0)
		return td_document_fail(d, backend_value(d, number, again, "name"),
					"backend name \"%s\" is taken already in line %u",
					s->backends[again].name, s->backends[first].at.line);
	if (r == 0)
		r = FIND_REPEATED(s->backends, s->n_backends, address, &first, &again);
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

/*
 * `workers.listen` names listeners that packets reach by themselves in this
 * version: those on any address or on the service's only VIP, and on a port of
 * the service. Its other ports go to the listeners that the host has on them.
 */
static int check_listen(struct td_document *d, const struct td_service_conf *s,
			const yaml_node_t *node)
{
	static const struct tundish_addr any6 = {0};
	struct tundish_addr a, any4 = tundish_addr_v4(0);
	char vip[TD_ADDRESS_TEXT], ports[TD_PORTS_TEXT];
	uint16_t port;

	if (!*s->listen || td_endpoint_parse(s->listen, &a, &port) < 0)
		return 0;
	for (size_t i = 0; i < s->n_vips; i++) {
		const struct tundish_addr *v = &s->vips[i].address;

		td_address_print(v, vip);
		if (tundish_addr_is_v4(&a) && !tundish_addr_is_v4(v))
			return td_document_fail(d, node,
						"workers: listen %s takes no IPv6, but %s "
						"is a VIP; write \"[::]:%u\"",
						s->listen, vip, port);
		if (!tundish_addr_equal(&a, &any4) && !tundish_addr_equal(&a, &any6) &&
		    !tundish_addr_equal(&a, v))
			return td_document_fail(d, node,
						"workers: listen %s gets nothing for VIP %s, "
						"and redirection is not in this version; valid: "
						"\"%s:%u\"",
						s->listen, vip,
						tundish_addr_is_v4(&a) ? "0.0.0.0" : "[::]", port);
	}
	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i].first <= port && port <= s->ports[i].last)
			return 0;
	return td_document_fail(d, node,
				"workers: listen %s is not on a port of the service, and "
				"redirection is not in this version; valid: port %s",
				s->listen, td_ports_print(&s->ports[0], ports));
}

static int check_delivery(struct td_document *d, const struct td_service_conf *s, size_t number)
{
	const yaml_node_t *node = service_node(d, number);
	const yaml_node_t *delivery = td_node_value(d, node, "delivery");
	const yaml_node_t *workers = td_node_value(d, node, "workers");
	const char *name = td_node_text(delivery);

	if (s->delivery == TUNDISH_DELIVERY_WORKERS) {
		if (s->n_backends)
			return td_document_fail(
				d, td_node_value(d, node, "backends"),
				"delivery workers has no backends; leave \"backends\" "
				"out, or choose delivery dsr or ipip");
		return check_listen(d, s, td_node_value(d, workers, "listen"));
	}
	if (workers && !td_node_is_null(workers))
		return td_document_fail(d, workers,
					"delivery %s has no workers; leave \"workers\" "
					"out, or choose delivery workers",
					name);
	if (!s->n_backends)
		return td_document_fail(d, delivery,
					"delivery %s needs backends; give at least one", name);
	return 0;
}

static int check_service(struct td_document *d, const struct td_service_conf *s, size_t number)
{
	size_t first, again, mark = td_document_enter(d, "service \"%s\"", s->name);
	char text[TD_ADDRESS_TEXT];
	int r;

	r = FIND_REPEATED(s->vips, s->n_vips, address, &first, &again);
	if (r < 0)
		return out_of_memory(d);
	if (r > 0)
		return td_document_fail_at(d, s->vips[again].at,
					   "VIP %s stands twice, first in line "
					   "%u",
					   td_address_print(&s->vips[again].address, text),
					   s->vips[first].at.line);
	r = check_delivery(d, s, number);
	if (r == 0)
		r = check_backends(d, s, number);
	if (r == 0)
		r = check_backends_not_vips(d, s, number);
	if (r == 0)
		td_document_leave(d, mark);
	return r;
}

/* ---- sizes ------------------------------------------------------------------------- */

static int fail_limit(struct td_document *d, struct td_place at, const char *what, uint32_t limit)
{
	return td_document_fail_at(d, at, "more %s than limits.%s allows, which is %u; raise it",
				   what, what, limit);
}

struct vip_use {
	struct tundish_addr address;
	size_t order; /* in the file */
	struct td_place at;
};

static int by_address_then_order(const void *a, const void *b)
{
	const struct vip_use *x = a, *y = b;
	int r = memcmp(&x->address, &y->address, sizeof(x->address));

	return r ? r : (x->order > y->order) - (x->order < y->order);
}

static int by_order(const void *a, const void *b)
{
	const struct vip_use *x = a, *y = b;

	return (x->order > y->order) - (x->order < y->order);
}

/* Services may share a VIP, which then counts once. */
static int check_vips_limit(struct td_document *d, const struct td_config *c)
{
	_cleanup_free_ struct vip_use *uses = NULL;
	size_t n = 0, distinct = 0;

	for (size_t i = 0; i < c->n_services; i++)
		n += c->services[i].n_vips;
	if (n <= c->limits.vips)
		return 0;
	uses = calloc(n, sizeof(*uses));
	if (!uses)
		return out_of_memory(d);
	n = 0;
	for (size_t i = 0; i < c->n_services; i++)
		for (size_t j = 0; j < c->services[i].n_vips; j++, n++)
			uses[n] = (struct vip_use){c->services[i].vips[j].address, n,
						   c->services[i].vips[j].at};
	qsort(uses, n, sizeof(*uses), by_address_then_order);
	for (size_t i = 0; i < n; i++)
		if (!i || !tundish_addr_equal(&uses[i].address, &uses[distinct - 1].address))
			uses[distinct++] = uses[i];
	if (distinct <= c->limits.vips)
		return 0;
	qsort(uses, distinct, sizeof(*uses), by_order);
	return fail_limit(d, uses[c->limits.vips].at, "vips", c->limits.vips);
}

static int check_limits(struct td_document *d, const struct td_config *c)
{
	size_t backends = 0;

	if (c->n_services > c->limits.services)
		return fail_limit(d, c->services[c->limits.services].at, "services",
				  c->limits.services);
	for (size_t i = 0; i < c->n_services; i++) {
		const struct td_service_conf *s = &c->services[i];
		size_t before = backends;

		/* This host's workers are one backend together. */
		backends += s->delivery == TUNDISH_DELIVERY_WORKERS ? 1 : s->n_backends;
		if (backends <= c->limits.backends)
			continue;
		return fail_limit(
			d, s->n_backends ? s->backends[c->limits.backends - before].at : s->at,
			"backends", c->limits.backends);
	}
	return check_vips_limit(d, c);
}

int td_check(struct td_document *d, const struct td_config *c)
{
	size_t first, again;
	int r;

	r = FIND_REPEATED(c->interfaces, c->n_interfaces, name, &first, &again);
	if (r > 0)
		return td_document_fail(
			d,
			td_node_value(d, td_node_item(d, top_value(d, "interfaces"), again),
				      "name"),
			"interface \"%s\" stands twice, first in line %u",
			c->interfaces[again].name, c->interfaces[first].at.line);
	if (r == 0)
		r = FIND_REPEATED(c->services, c->n_services, name, &first, &again);
	if (r > 0)
		return td_document_fail(d, td_node_value(d, service_node(d, again), "name"),
					"service name \"%s\" is taken already in line %u",
					c->services[again].name, c->services[first].at.line);
	if (r < 0)
		return out_of_memory(d);

	for (size_t i = 0; i < c->n_services; i++) {
		r = check_service(d, &c->services[i], i);
		if (r < 0)
			return r;
	}
	r = check_limits(d, c);
	return r < 0 ? r : td_check_claims(d, c);
}
