// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks of pools of source addresses: each name and each cgroup once, no source twice in
 * a pool, and none that is a VIP, for what answers it would be taken for a client of the
 * service. There are 32 pools of 64 sources at most, so all are compared with all.
 */
#include "config/check.h"
#include "core/address.h"

static int check_pool(struct td_document *d, const struct td_egress_conf *e)
{
	char text[TD_PREFIX_TEXT];

	for (size_t i = 0; i < e->n_sources; i++)
		for (size_t k = 0; k < i; k++)
			if (tundish_addr_equal(&e->sources[i].address, &e->sources[k].address))
				return td_document_fail_at(
					d, e->sources[i].at,
					"source %s stands twice, first in line %u",
					td_address_print(&e->sources[i].address, text),
					e->sources[k].at.line);
	for (size_t i = 0; i < e->n_except; i++)
		for (size_t k = 0; k < i; k++) {
			struct td_prefix p = {e->except[i].address, e->except[i].prefix};
			struct td_prefix q = {e->except[k].address, e->except[k].prefix};

			if (!td_prefix_compare(&p, &q))
				return td_document_fail_at(
					d, e->except[i].at,
					"except %s stands twice, first in line %u",
					td_prefix_print(&p, text), e->except[k].at.line);
		}
	return 0;
}

static int check_not_vip(struct td_document *d, const struct td_config *c,
			 const struct td_source_conf *source)
{
	char address[TD_ADDRESS_TEXT], vip[TD_PREFIX_TEXT];

	for (size_t i = 0; i < c->n_services; i++)
		for (size_t k = 0; k < c->services[i].n_vips; k++) {
			const struct td_vip_conf *v = &c->services[i].vips[k];
			struct td_prefix p = {v->address, v->prefix};

			if (!td_prefix_holds(&p, &source->address))
				continue;
			return td_document_fail_at(
				d, source->at,
				"source %s is VIP %s of service \"%s\", so answers would go to "
				"that; give an address of the host's own",
				td_address_print(&source->address, address),
				td_prefix_print(&p, vip), c->services[i].name);
		}
	return 0;
}

int td_check_egress(struct td_document *d, const struct td_config *c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n_egress; i++) {
		const struct td_egress_conf *e = &c->egress[i];
		size_t mark;

		if (!c->ports.watch)
			return td_document_fail_at(
				d, e->at,
				"egress \"%s\" chooses by what is used of source ports, which are not "
				"watched; take out watch: off under ports:",
				e->name);
		for (size_t k = 0; k < i; k++) {
			if (!strcmp(e->name, c->egress[k].name))
				return td_document_fail_at(
					d, e->at, "egress name \"%s\" is taken already in line %u",
					e->name, c->egress[k].at.line);
			if (!strcmp(e->cgroup, c->egress[k].cgroup))
				return td_document_fail_at(
					d, e->at,
					"egress \"%s\": cgroup %s is that of \"%s\" in line %u; "
					"a cgroup has one pool",
					e->name, e->cgroup, c->egress[k].name,
					c->egress[k].at.line);
		}
		mark = td_document_enter(d, "egress \"%s\"", e->name);
		r = check_pool(d, e);
		for (size_t k = 0; r == 0 && k < e->n_sources; k++)
			r = check_not_vip(d, c, &e->sources[k]);
		if (r == 0)
			td_document_leave(d, mark);
	}
	return r;
}
