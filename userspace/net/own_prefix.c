// SPDX-License-Identifier: GPL-2.0-only
/*
 * VIPs that are prefixes: each is owned by a local route in place of addresses.
 * Whose it is is known by the route's protocol, and a removal asks for a place
 * in `former` too, as with addresses.
 */
#include "core/address.h"
#include "net/own.h"

static int add_prefix(struct td_own *o, const struct td_prefix *p, struct td_error *e)
{
	char text[TD_PREFIX_TEXT];
	int r = td_own_route_change(o->n, true, p);

	if (r == -EEXIST) /* somebody's own local route, which does as well */
		return 0;
	td_prefix_print(p, text);
	if (r == -ENETDOWN)
		return td_fail(e, ENETDOWN,
			       "VIP %s has no interface to stand on, since lo is down; bring it up",
			       text);
	if (r == -EPERM)
		return td_fail(e, EPERM,
			       "adding a local route for VIP %s is not permitted; the daemon needs "
			       "CAP_NET_ADMIN",
			       text);
	if (r < 0)
		return td_fail(e, -r,
			       "cannot add a local route for VIP %s: %s; add it yourself and set "
			       "\"own: false\"",
			       text, td_net_reason(o->n, r));
	fprintf(o->changes, "added %s to lo\n", text);
	return 0;
}

static bool is_in(const struct td_prefix *list, size_t n, const struct td_prefix *p)
{
	return n && bsearch(p, list, n, sizeof(*list), td_prefix_compare);
}

int td_own_prefixes(struct td_own *o)
{
	struct td_error e = {0};
	int r = 0;

	for (size_t i = 0; i < o->n_prefixes && !td_own_is_fatal(r); i++) {
		if ((i && !td_prefix_compare(&o->prefixes[i], &o->prefixes[i - 1])) ||
		    is_in(o->routes, o->n_routes, &o->prefixes[i]))
			continue;
		r = add_prefix(o, &o->prefixes[i], &e);
		if (r < 0)
			td_own_failed(o, r, &e);
	}
	return r;
}

void td_own_remove_prefixes(struct td_own *o, const struct td_prefix *former, size_t n_former)
{
	for (size_t i = 0; i < o->n_routes; i++) {
		const struct td_prefix *p = &o->routes[i];
		char text[TD_PREFIX_TEXT];
		struct td_error e = {0};
		int r;

		if (!is_in(former, n_former, p) || is_in(o->prefixes, o->n_prefixes, p))
			continue;
		r = td_own_route_change(o->n, false, p);
		if (r == -ESRCH) /* gone already */
			continue;
		td_prefix_print(p, text);
		if (r == 0) {
			fprintf(o->changes, "removed %s from lo\n", text);
			continue;
		}
		td_fail(&e, -r, "cannot remove the local route for VIP %s: %s", text,
			td_net_reason(o->n, r));
		td_own_failed(o, r, &e);
		if (td_own_is_fatal(r))
			return;
	}
}
