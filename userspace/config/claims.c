// SPDX-License-Identifier: GPL-2.0-only
/*
 * Claims on ports: the more specific wins, equal ones are refused.
 *
 * On each VIP, an address or a prefix, and for each protocol, the services' claims must be nested or
 * apart, like brackets; then "more specific" means "inside", and every port has
 * one owner. Sorted by their beginnings, wider ones first, they are swept once
 * with a stack of those that are open; the sweep also counts the disjoint ranges
 * that are left, with neighbours of one service joined, as core/vip_walk.c makes
 * them later. VIPs with prefixes around them are handed to that itself, once each
 * is good by itself.
 *
 * Sorting is by VIP first, so the cost is that of sorting all claims, however
 * many services share a VIP.
 */
#include <netinet/in.h>

#include "config/check.h"
#include "config/value.h"
#include "core/vip_walk.h"

struct claim {
	uint32_t first, last;
	size_t service, port; /* indices in the configuration */
};

struct sweep {
	struct td_document *d;
	const struct td_config *c;
	const struct td_vip_use *use; /* the last service's on this VIP; for the error */
	struct claim *open;	      /* the stack */
	size_t n_open;
	uint32_t position; /* the first port without an owner yet */
	size_t n_ranges, last_service;
	uint32_t range_end; /* one past the last range's last port; 0: none yet */
};

static int by_first_then_wider(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	if (x->last != y->last)
		return x->last > y->last ? -1 : 1;
	if (x->service != y->service)
		return x->service < y->service ? -1 : 1;
	return (x->port > y->port) - (x->port < y->port);
}

/* Told at the claim that comes later in the file. */
static int fail_conflict(const struct sweep *s, struct claim a, struct claim b)
{
	bool swap = a.service > b.service || (a.service == b.service && a.port > b.port);
	const struct claim *old = swap ? &b : &a, *late = swap ? &a : &b;
	const struct td_service_conf *old_service = &s->c->services[old->service];
	const struct td_service_conf *late_service = &s->c->services[late->service];
	const struct td_port_conf *old_port = &old_service->ports[old->port];
	const struct td_port_conf *late_port = &late_service->ports[late->port];
	char vip[TD_PREFIX_TEXT], old_text[TD_PORTS_TEXT], late_text[TD_PORTS_TEXT];

	td_prefix_print(&s->use->vip, vip);
	td_ports_print(old_port, old_text);
	td_ports_print(late_port, late_text);
	td_document_enter(s->d, "service \"%s\"", late_service->name);

	if (old->service == late->service && a.first == b.first && a.last == b.last)
		return td_document_fail_at(s->d, late_port->at,
					   "port %s stands twice, first in line "
					   "%u",
					   late_text, old_port->at.line);
	if (old->service == late->service)
		return td_document_fail_at(s->d, late_port->at,
					   "ports %s overlap %s in line %u; "
					   "write them as one range, or apart",
					   late_text, old_text, old_port->at.line);
	if (a.first == b.first && a.last == b.last)
		return td_document_fail_at(
			s->d, late_port->at,
			"port %s of VIP %s belongs to service "
			"\"%s\" already, in line %u; give one of them another port "
			"or VIP",
			late_text, vip, old_service->name, old_port->at.line);
	return td_document_fail_at(s->d, late_port->at,
				   "ports %s of VIP %s overlap %s of service "
				   "\"%s\" in line %u; ranges have to be apart, or one inside the "
				   "other",
				   late_text, vip, old_text, old_service->name, old_port->at.line);
}

/* Gives the ports from the position to `end` (one past the last) to a service. */
static void give(struct sweep *s, uint32_t end, size_t service)
{
	if (s->position >= end)
		return;
	if (!s->range_end || s->range_end != s->position || s->last_service != service)
		s->n_ranges++;
	s->last_service = service;
	s->range_end = s->position = end;
}

static void close_until(struct sweep *s, uint32_t first)
{
	while (s->n_open && s->open[s->n_open - 1].last < first) {
		const struct claim *top = &s->open[--s->n_open];

		give(s, top->last + 1, top->service);
	}
}

/* @n: how many there are; 0 where the count comes from prefixes around it too. */
static int fail_too_many(struct td_document *d, const struct td_config *c,
			 const struct td_vip_use *use, size_t n)
{
	const struct td_service_conf *service = &c->services[use->service];
	struct td_place at = service->vips[use->index].at;
	char vip[TD_PREFIX_TEXT];

	td_prefix_print(&use->vip, vip);
	td_document_enter(d, "service \"%s\"", service->name);
	if (n)
		return td_document_fail_at(d, at,
					   "the services on VIP %s divide its ports into %zu "
					   "ranges, over %u; use fewer or wider ones",
					   vip, n, TUNDISH_RANGES_MAX);
	return td_document_fail_at(d, at,
				   "the services on VIP %s and on the prefixes around it divide "
				   "its ports into more than %u ranges; use fewer or wider ones",
				   vip, TUNDISH_RANGES_MAX);
}

static int sweep_vip(struct sweep *s, struct claim *claims, size_t n)
{
	qsort(claims, n, sizeof(*claims), by_first_then_wider);
	for (size_t i = 0; i < n; i++) {
		struct claim *c = &claims[i], *top;

		close_until(s, c->first);
		top = s->n_open ? &s->open[s->n_open - 1] : NULL;
		if (top &&
		    (c->last > top->last || (c->first == top->first && c->last == top->last)))
			return fail_conflict(s, *top, *c);
		if (top)
			give(s, c->first, top->service);
		s->position = c->first;
		s->open[s->n_open++] = *c;
	}
	close_until(s, UINT32_MAX);
	return 0;
}

/* All services that share a VIP. */
static int check_vip(struct td_document *d, const struct td_config *c,
		     const struct td_vip_use *uses, size_t n_uses)
{
	_cleanup_free_ struct claim *claims = NULL, *open = NULL;
	struct sweep s = {.d = d, .c = c, .use = &uses[n_uses - 1]};
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < n_uses; i++)
		n += c->services[uses[i].service].n_ports;
	claims = calloc(n, sizeof(*claims));
	open = calloc(n, sizeof(*open));
	if (!claims || !open)
		return td_fail(d->error, ENOMEM, "out of memory");
	s.open = open;
	for (size_t p = 0; p < TD_ARRAY_SIZE(protocols) && !r; p++) {
		n = 0;
		for (size_t i = 0; i < n_uses; i++) {
			const struct td_service_conf *service = &c->services[uses[i].service];

			for (size_t j = 0; j < service->n_ports; j++)
				if (service->protocol == protocols[p])
					claims[n++] = (struct claim){service->ports[j].first,
								     service->ports[j].last,
								     uses[i].service, j};
		}
		if (n)
			r = sweep_vip(&s, claims, n);
	}
	if (r == 0 && s.n_ranges > TUNDISH_RANGES_MAX)
		r = fail_too_many(d, c, s.use, s.n_ranges);
	return r;
}

/* Claims on a VIP and on one around it are never in conflict, for the more specific
 * VIP wins; but what is left of the wider one's adds to the ranges. */
static int check_around(struct td_document *d, const struct td_config *c,
			const struct td_vip_use *uses, struct td_vip_walk *walk)
{
	struct tundish_port_range ranges[TUNDISH_RANGES_MAX];
	int r = td_vip_walk(walk, &uses->vip, ranges);

	if (r == -ENOSPC)
		return fail_too_many(d, c, uses, 0);
	return r < 0 ? td_fail(d->error, ENOMEM, "out of memory") : 0;
}

int td_check_claims(struct td_document *d, const struct td_config *c)
{
	_cleanup_free_ struct td_vip_use *uses = NULL;
	struct td_vip_walk walk = {.config = c};
	bool prefixes = false;
	size_t n = 0, end;
	int r = 0;

	if (td_vip_uses(c, &uses, &n) < 0)
		return td_fail(d->error, ENOMEM, "out of memory");
	walk.uses = uses;
	walk.n_uses = n;
	for (size_t i = 0; i < n && !r; i = end) {
		for (end = i + 1; end < n; end++)
			if (td_prefix_compare(&uses[i].vip, &uses[end].vip))
				break;
		prefixes |= uses[i].vip.length < TD_PREFIX_ALL;
		r = check_vip(d, c, uses + i, end - i);
		if (r == 0 && prefixes)
			r = check_around(d, c, uses + i, &walk);
	}
	return r;
}
