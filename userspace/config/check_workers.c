// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks of groups of listeners: within a service, that its VIPs can reach them;
 * over all, that groups are apart, for a listener can be in one only, and that
 * services in front of one group say the same of it.
 *
 * Overlaps are found by sorting all listens, so that thousands of services cost
 * no more than that.
 */
#include "config/check.h"
#include "config/value.h"
#include "core/address.h"
#include "core/groups.h"

/* ---- one service ---------------------------------------------------------------- */

/* What is said of a group that there is none of would go unheard. `steering: hash`
 * alone is what happens without one. */
static int check_without_group(struct td_document *d, const struct td_node *node)
{
	if (!node || node->kind != TD_NODE_MAPPING)
		return 0;
	for (size_t i = 0; i < node->n; i++) {
		const struct td_node *key = td_node_key(node, i);
		const char *text = td_node_text(key);
		const char *value = td_node_text(td_node_of_key(node, i));

		if (text && (strcmp(text, "steering") || !value || strcmp(value, "hash")))
			return td_document_fail(d, key,
						"workers: \"%s\" does nothing without \"listen\"; "
						"add the listeners' address, such as \"[::]:8080\"",
						text);
	}
	return 0;
}

/* A listener on an IPv4 address takes no IPv6, one on an IPv6 address no IPv4, and
 * one on [::] takes both. */
static int check_families(struct td_document *d, const struct td_service_conf *s)
{
	static const struct tundish_addr any6 = {0};
	const struct td_listen_conf *first = &s->workers.listen[0];
	char vip[TD_PREFIX_TEXT], listen[TD_LISTEN_TEXT];
	bool takes4 = false, takes6 = false;

	for (size_t i = 0; i < s->workers.n_listen; i++) {
		const struct tundish_addr *a = &s->workers.listen[i].address;

		takes4 |= tundish_addr_is_v4(a) || tundish_addr_equal(a, &any6);
		takes6 |= !tundish_addr_is_v4(a);
	}
	for (size_t i = 0; i < s->n_vips; i++) {
		struct td_prefix p = {s->vips[i].address, s->vips[i].prefix};
		bool v4 = tundish_addr_is_v4(&p.address);

		if (v4 ? takes4 : takes6)
			continue;
		return td_document_fail_at(d, first->at,
					   "workers: listen %s takes no IPv%d, but %s is a VIP; "
					   "valid: \"[::]:%u\"",
					   td_listen_print(first, listen), v4 ? 4 : 6,
					   td_prefix_print(&p, vip), first->port);
	}
	return 0;
}

#define STALL_STANDARD_MS 50

/* A datagram is answered from the port that the program's socket has, so there it has to
 * have come to; and there is no queue to be looked at. */
static int check_udp(struct td_document *d, const struct td_service_conf *s,
		     const struct td_node *node)
{
	const struct td_workers_conf *w = &s->workers;
	/* Keys that stand with their defaults change nothing. */
	const char *unheard = w->share != 100			 ? "share"
			      : w->refuse			 ? "refuse"
			      : w->stall_ms != STALL_STANDARD_MS ? "stall"
			      : w->accept_times			 ? "accept_times"
								 : NULL;
	char text[TD_LISTEN_TEXT];

	if (w->steering != TUNDISH_STEERING_HASH)
		return td_document_fail(d, td_node_value(d, node, "steering"),
					"workers: steering \"least-queue\" needs protocol tcp, for "
					"datagrams wait in no accept queue; valid: hash");
	if (unheard)
		return td_document_fail(
			d, td_node_value(d, node, unheard),
			"workers: \"%s\" speaks of accept queues, which protocol udp "
			"has none of; leave it out",
			unheard);
	for (size_t i = 0; i < w->n_listen; i++)
		for (size_t p = 0; p < s->n_ports; p++)
			if (s->ports[p].first != w->listen[i].port ||
			    s->ports[p].last != w->listen[i].port)
				return td_document_fail_at(
					d, w->listen[i].at,
					"workers: listen %s is not the service's port, from which "
					"a server that uses UDP has to answer; let it listen on that "
					"port, the only one of the service",
					td_listen_print(&w->listen[i], text));
	return 0;
}

/* What anybody may write into a packet is believed of those alone who are named. */
static int check_trusted(struct td_document *d, const struct td_service_conf *s,
			 const struct td_node *node)
{
	const struct td_workers_conf *w = &s->workers;
	char text[TD_PREFIX_TEXT];

	if (w->client_address && s->protocol == IPPROTO_UDP)
		return td_document_fail(
			d, td_node_value(d, node, "client_address"),
			"workers: client_address \"toa\" is an option of TCP; leave it "
			"out with protocol udp");
	if (w->client_address && !w->n_trusted)
		return td_document_fail(
			d, td_node_value(d, node, "client_address"),
			"workers: client_address \"toa\" needs \"trusted\", the source "
			"addresses of the balancers that it is believed from");
	if (!w->client_address && w->n_trusted)
		return td_document_fail(
			d, td_node_value(d, node, "trusted"),
			"workers: \"trusted\" does nothing without client_address \"toa\"");
	for (size_t i = 0; i < w->n_trusted; i++)
		for (size_t k = 0; k < i; k++) {
			struct td_prefix p = {w->trusted[i].address, w->trusted[i].prefix};
			struct td_prefix q = {w->trusted[k].address, w->trusted[k].prefix};

			if (!td_prefix_compare(&p, &q))
				return td_document_fail_at(
					d, w->trusted[i].at,
					"workers: trusted %s stands twice, first in line %u",
					td_prefix_print(&p, text), w->trusted[k].at.line);
		}
	return 0;
}

int td_check_workers(struct td_document *d, const struct td_service_conf *s,
		     const struct td_node *node)
{
	const struct td_workers_conf *w = &s->workers;
	char text[TD_LISTEN_TEXT];

	if (!w->n_listen)
		return check_without_group(d, node);
	for (size_t i = 1; i < w->n_listen; i++) {
		const struct td_listen_conf *before = &w->listen[i - 1], *l = &w->listen[i];

		if (l->port == before->port && tundish_addr_equal(&l->address, &before->address))
			return td_document_fail_at(d, l->at,
						   "workers: listen %s stands twice, first in line "
						   "%u",
						   td_listen_print(l, text), before->at.line);
	}
	return (s->protocol == IPPROTO_UDP ? check_udp(d, s, node) : 0)
		       ?: check_trusted(d, s, node) ?: check_families(d, s);
}

/* ---- all services ---------------------------------------------------------------- */

struct use {
	const struct td_listen_conf *listen;
	uint8_t protocol;
	size_t service;
};

static int compare_listens(const struct td_listen_conf *x, const struct td_listen_conf *y)
{
	int r = memcmp(&x->address, &y->address, sizeof(x->address));

	return r ? r : (x->port > y->port) - (x->port < y->port);
}

static int by_listen_then_service(const void *a, const void *b)
{
	const struct use *x = a, *y = b;
	int r = compare_listens(x->listen, y->listen);

	r = r ?: (x->protocol > y->protocol) - (x->protocol < y->protocol);
	return r ? r : (x->service > y->service) - (x->service < y->service);
}

static bool same_list(const struct td_workers_conf *a, const struct td_workers_conf *b)
{
	if (a->n_listen != b->n_listen)
		return false;
	for (size_t i = 0; i < a->n_listen; i++)
		if (compare_listens(&a->listen[i], &b->listen[i]))
			return false;
	return true;
}

/* Two services with a listen in common; told at the one that comes later in the file. */
static int check_pair(struct td_document *d, const struct td_config *c, const struct use *old,
		      const struct use *late)
{
	const struct td_service_conf *a = &c->services[old->service];
	const struct td_service_conf *b = &c->services[late->service];
	char text[TD_LISTEN_TEXT];

	td_listen_print(late->listen, text);
	if (!same_list(&a->workers, &b->workers)) {
		td_document_enter(d, "service \"%s\"", b->name);
		return td_document_fail_at(d, late->listen->at,
					   "workers: listen %s is in the group of service \"%s\" "
					   "too, in line %u, with another list; give both the same "
					   "list, or nothing in common",
					   text, a->name, old->listen->at.line);
	}
	if (a->workers.size != b->workers.size) {
		td_document_enter(d, "service \"%s\"", b->name);
		return td_document_fail_at(d, late->listen->at,
					   "workers: size %u of group %s is %u in service \"%s\", "
					   "in line %u; give both the same",
					   b->workers.size, text, a->workers.size, a->name,
					   old->listen->at.line);
	}
	return 0;
}

static int check_apart(struct td_document *d, const struct td_config *c)
{
	_cleanup_free_ struct use *uses = NULL;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < c->n_services; i++)
		n += c->services[i].workers.n_listen;
	uses = calloc(n + 1, sizeof(*uses));
	if (!uses)
		return td_fail(d->error, ENOMEM, "out of memory");
	n = 0;
	for (size_t i = 0; i < c->n_services; i++)
		for (size_t j = 0; j < c->services[i].workers.n_listen; j++)
			uses[n++] = (struct use){&c->services[i].workers.listen[j],
						 c->services[i].protocol, i};
	qsort(uses, n, sizeof(*uses), by_listen_then_service);
	for (size_t i = 1; i < n && !r; i++)
		if (!compare_listens(uses[i - 1].listen, uses[i].listen) &&
		    uses[i - 1].protocol == uses[i].protocol)
			r = check_pair(d, c, &uses[i - 1], &uses[i]);
	return r;
}

static int check_sizes(struct td_document *d, const struct td_config *c,
		       const struct td_group_want *groups, size_t n)
{
	uint64_t workers = 0;

	if (n > c->limits.groups)
		return td_check_fail_limit(d, groups[c->limits.groups].listen[0].at, "groups",
					   c->limits.groups);
	for (size_t i = 0; i < n; i++) {
		workers += groups[i].size;
		if (workers > c->limits.workers)
			return td_document_fail_at(
				d, groups[i].listen[0].at,
				"with group %s, of size %u, the groups have places for %llu "
				"listeners, more than limits.workers allows, which is %u; raise "
				"it, or give a smaller workers.size",
				groups[i].name, groups[i].size, (unsigned long long)workers,
				c->limits.workers);
	}
	return 0;
}

static int check_all_trusted(struct td_document *d, const struct td_config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_services; i++) {
		n += c->services[i].workers.n_trusted;
		if (n > TUNDISH_TRUSTED_MAX / 2)
			return td_document_fail_at(
				d, c->services[i].workers.trusted[0].at,
				"the services have more than %u \"trusted\" in all; "
				"name wider prefixes",
				TUNDISH_TRUSTED_MAX / 2);
	}
	return 0;
}

int td_check_groups(struct td_document *d, const struct td_config *c)
{
	_cleanup_free_ struct td_group_want *groups = NULL;
	size_t n = 0;
	int r;

	r = check_apart(d, c) ?: check_all_trusted(d, c);
	r = r ?: td_groups_make(c, &groups, &n, d->error);
	return r ?: check_sizes(d, c, groups, n);
}
