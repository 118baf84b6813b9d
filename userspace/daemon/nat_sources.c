// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sources of translated connections that are not addresses of this host: who wants to answer
 * asks the link for them, and nobody says that it is here. Looked at when this host's addresses
 * or the file change; each is told when it begins and when it ends.
 */
#include "core/address.h"
#include "daemon/nat.h"

static bool contains(const struct tundish_addr *list, size_t n, const struct tundish_addr *a)
{
	bool is = false;

	for (size_t i = 0; i < n && !is; i++)
		is = tundish_addr_equal(&list[i], a);
	return is;
}

/* Sources of lanes that are in force; the caller frees *ret. */
static int sources(struct td_daemon *d, struct tundish_addr **ret, size_t *ret_n)
{
	const struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	struct tundish_addr *list = NULL;
	size_t n = 0;

	for (uint32_t i = 1; i < d->settings.lanes_max; i++) {
		const struct tundish_lane *l = &lanes[i];

		if (!l->number || !(l->flags & TUNDISH_LANE_SOURCE) ||
		    l->flags & TUNDISH_LANE_GONE || contains(list, n, &l->source))
			continue;
		if (td_grow(&list, n, sizeof(*list)) < 0) {
			free(list);
			return -ENOMEM;
		}
		list[n++] = l->source;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

void td_nat_sources_look(struct td_daemon *d)
{
	_cleanup_free_ struct tundish_addr *wanted = NULL, *present = NULL;
	size_t n_wanted = 0, n_present = 0, n_missing = 0;
	struct td_nat *n = d->nat;
	char text[TD_ADDRESS_TEXT];

	if (sources(d, &wanted, &n_wanted) < 0 ||
	    (n_wanted && td_net_addresses(d->net, &present, &n_present) < 0))
		return;
	for (size_t i = 0; i < n_wanted; i++) {
		if (contains(present, n_present, &wanted[i]))
			continue;
		if (!contains(n->missing, n->n_missing, &wanted[i]))
			td_event(d, "source-missing", td_address_print(&wanted[i], text),
				 "a source of translated connections, but no address of this host: "
				 "nobody says on the link that answers come here");
		wanted[n_missing++] = wanted[i];
	}
	for (size_t i = 0; i < n->n_missing; i++)
		if (contains(present, n_present, &n->missing[i]))
			td_event(d, "source", td_address_print(&n->missing[i], text),
				 "is an address of this host now");
	free(n->missing);
	n->missing = TD_TAKE_PTR(wanted);
	n->n_missing = n_missing;
}

void td_nat_sources_attention(const struct td_daemon *d, td_attention_add add, json_t *list)
{
	const struct td_nat *n = d->nat;
	char what[100], remedy[120], text[TD_ADDRESS_TEXT];

	for (size_t i = 0; i < n->n_missing; i++) {
		td_address_print(&n->missing[i], text);
		snprintf(what, sizeof(what), "source %s", text);
		snprintf(remedy, sizeof(remedy),
			 "`ip address add %s dev NIC`; all is well where a router sends it here",
			 text);
		add(list, what,
		    "not an address of this host: nobody says on the link that answers to it come "
		    "here",
		    remedy);
	}
}
