// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections that tundish translates, as its daemon tells them; no rows where there are none.
 * Both directions of such a connection have to pass this host, so what matters is whether
 * answers come here, beside room in the table.
 */
#include "checks.h"

void td_check_nat_table(struct td_look *l)
{
	const struct td_nat_use *n = &l->now->nat;
	struct td_row *row;

	if (!n->known)
		return;
	row = td_row_add(l, "nat", "nat_table", "translated connections");
	row->unit = "connections";
	row->value = n->connections;
	row->limit = n->capacity;
	if (!td_is_near(n->connections, n->capacity))
		return;
	td_row_say(row, TD_VERDICT_WARN,
		   "the table of translated connections is nearly full: one that finds no place is "
		   "refused");
	td_row_set(row, "raise limits.nat in tundish.yaml, `tundish unload` and start again");
}

void td_check_nat_answers(struct td_look *l)
{
	const struct td_nat_use *n = &l->now->nat;
	struct td_row *row;

	if (!n->known)
		return;
	row = td_row_add(l, "nat", "nat_answers", "backends whose answers nobody hears");
	row->unit = "backends";
	row->value = n->silent;
	if (!n->silent)
		return;
	td_row_say(row, TD_VERDICT_BAD,
		   "SYNs go to %s%s and none was answered by way of this host: it is down, or its "
		   "answers go to the clients by another way",
		   n->first_silent, n->silent > 1 ? " and others" : "");
	td_row_set(row, "the default route of backends of `nat` must lead to this host; or use "
			"delivery: fullnat");
}

void td_check_nat_nics(struct td_look *l)
{
	const struct td_nat_use *n = &l->now->nat;
	struct td_row *row;

	if (!n->known)
		return;
	row = td_row_add(l, "nat", "nat_nics", "backends behind NICs without the program");
	row->unit = "backends";
	row->value = n->unheard;
	if (!n->unheard)
		return;
	td_row_say(
		row, TD_VERDICT_WARN,
		"the way to %s%s goes by a NIC that does not carry tundish's program: answers would "
		"come in there and reach nobody",
		n->first_unheard, n->unheard > 1 ? " and others" : "");
	td_row_set(row, "add that NIC under `interfaces` in tundish.yaml");
}

void td_check_nat_sources(struct td_look *l)
{
	const struct td_nat_use *n = &l->now->nat;
	struct td_row *row;

	if (!n->known)
		return;
	row = td_row_add(l, "nat", "nat_sources", "NAT sources that are not on this host");
	row->unit = "addresses";
	row->value = n->missing;
	if (!n->missing)
		return;
	td_row_say(
		row, TD_VERDICT_WARN,
		"%s%s is a source of translated connections, but no address of this host: nobody "
		"says on the link that answers to it come here",
		n->first_missing, n->missing > 1 ? ", with others," : "");
	td_row_set(row, "ip address add %s dev NIC, unless a router sends it here",
		   n->first_missing);
}
