// SPDX-License-Identifier: GPL-2.0-only
/*
 * VIPs as addresses of this host. What is ours is known by IFA_PROTO in the
 * kernel, not by any note of ours: it holds after a crash at any point. A
 * removal asks for both, our mark and a place in `former`, so that two daemons
 * on one host leave each other's alone.
 */
#include <linux/if_addr.h>

#include "core/address.h"
#include "net/announce.h"
#include "net/own.h"

#define ATTRIBUTE_PROTO 11 /* IFA_PROTO, in linux/if_addr.h from 5.18 on */

/* In `place`, beside an ifindex. */
#define KEEP_ALL    0u
#define KEEP_LISTED UINT32_MAX

/* The run of entries of `have` with this address. */
static const struct td_host_address *find(const struct td_own *o, const struct tundish_addr *a,
					  size_t *ret_n)
{
	size_t low = 0, high = o->n_have, end;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (td_addr_compare(&o->have[middle].address, a) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < o->n_have && tundish_addr_equal(&o->have[end].address, a);)
		end++;
	*ret_n = end - low;
	return o->have + low;
}

static int change_address(struct td_net *n, bool add, const struct tundish_addr *a,
			  unsigned int ifindex)
{
	static const struct ifa_cacheinfo never_a_source = {
		.ifa_prefered = 0,
		.ifa_valid = UINT32_MAX,
	};
	bool v4 = tundish_addr_is_v4(a);
	struct td_request q;
	struct ifaddrmsg *m;

	m = td_request_init(&q, add ? RTM_NEWADDR : RTM_DELADDR,
			    add ? NLM_F_CREATE | NLM_F_EXCL : 0, sizeof(*m));
	m->ifa_family = v4 ? AF_INET : AF_INET6;
	m->ifa_prefixlen = v4 ? 32 : 128;
	m->ifa_scope = RT_SCOPE_UNIVERSE;
	m->ifa_index = ifindex;
	td_request_put_addr(&q, IFA_LOCAL, a);
	td_request_put_addr(&q, IFA_ADDRESS, a);
	if (add) {
		mnl_attr_put_u8(&q.header, ATTRIBUTE_PROTO, TD_NET_PROTO);
		if (!v4) {
			mnl_attr_put_u32(&q.header, IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
			mnl_attr_put(&q.header, IFA_CACHEINFO, sizeof(never_a_source),
				     &never_a_source);
		}
	}
	return td_net_request(n, &q, TD_NET_REPLY_ACK, NULL, NULL);
}

static int fail_no_mark(struct td_error *e)
{
	return td_fail(e, ENOPROTOOPT,
		       "this kernel does not record who added an address, which owning VIPs needs "
		       "(Linux 5.18 does); add the VIPs yourself and set \"own: false\"");
}

/* Once per handle: whether the kernel keeps our mark. What has just been added
 * is taken away again where it does not. */
static int confirm_mark(struct td_own *o, const struct tundish_addr *a, unsigned int ifindex,
			struct td_error *e)
{
	_cleanup_free_ struct td_host_address *all = NULL;
	size_t n_all = 0;
	int r;

	if (o->n->proto_confirmed)
		return 0;
	r = td_host_addresses(o->n, ifindex, &all, &n_all);
	if (r < 0) {
		change_address(o->n, false, a, ifindex);
		return td_fail(e, -r, "cannot read back the VIP just added: %s",
			       td_net_reason(o->n, r));
	}
	for (size_t i = 0; i < n_all; i++)
		if (tundish_addr_equal(&all[i].address, a) && all[i].protocol == TD_NET_PROTO) {
			o->n->proto_confirmed = true;
			return 0;
		}
	change_address(o->n, false, a, ifindex);
	o->n->proto_missing = true;
	return fail_no_mark(e);
}

static void announce(struct td_own *o, struct td_own_link *l, const struct tundish_addr *a,
		     const char *text)
{
	int r;

	if (l->mute)
		return;
	r = td_announce(o->n, &l->link, a);
	if (r < 0) {
		l->mute = true;
		fprintf(o->changes,
			"could not announce %s on %s (%s); its neighbours learn the "
			"address when they ask next\n",
			text, l->link.name, strerror(-r));
	}
}

/* 0 also where it is there already; a negative errno with its sentence in `e`. */
static int add(struct td_own *o, const struct tundish_addr *a, struct td_own_link *l,
	       struct td_error *e)
{
	bool v4 = tundish_addr_is_v4(a);
	char text[TD_ADDRESS_TEXT];
	int r;

	if (o->n->proto_missing) /* trying again would be an event, and so for ever */
		return fail_no_mark(e);
	td_address_print(a, text);
	r = change_address(o->n, true, a, l->link.index);
	if (r == -EEXIST) /* somebody was faster; then it is theirs */
		return 0;
	if (!v4 && (r == -EACCES || r == -EOPNOTSUPP || r == -EAFNOSUPPORT))
		return td_fail(e, EAFNOSUPPORT,
			       "VIP %s cannot stand on %s, where IPv6 is disabled; set "
			       "net.ipv6.conf.%s.disable_ipv6=0, or add the VIP yourself and set "
			       "\"own: false\"",
			       text, l->link.name, l->link.name);
	if (r == -EPERM)
		return td_fail(e, EPERM,
			       "adding VIP %s to %s is not permitted; the daemon needs "
			       "CAP_NET_ADMIN",
			       text, l->link.name);
	if (r < 0)
		return td_fail(e, -r, "cannot add VIP %s to %s: %s", text, l->link.name,
			       td_net_reason(o->n, r));
	r = confirm_mark(o, a, l->link.index, e);
	if (r < 0)
		return r;
	fprintf(o->changes, "added %s/%d to %s\n", text, v4 ? 32 : 128, l->link.name);
	/* IPv4 is answered for on every link, IPv6 only where the address stands. */
	if (!v4)
		announce(o, l, a, text);
	for (size_t i = 0; v4 && i < o->n_links; i++)
		announce(o, &o->links[i], a, text);
	return 0;
}

static int fail_no_link(const struct tundish_addr *a, struct td_error *e)
{
	char text[TD_ADDRESS_TEXT];

	return td_fail(e, ENETDOWN,
		       "VIP %s has no interface to stand on, since none of \"interfaces:\" is up; "
		       "bring one up",
		       td_address_print(a, text));
}

/* A prefix of ours makes the host accept the address, but may go before it. */
static bool in_our_prefix(const struct td_own *o, const struct tundish_addr *a)
{
	for (size_t i = 0; i < o->n_routes; i++)
		if (td_prefix_holds(&o->routes[i], a))
			return true;
	return false;
}

/* Sees to one IPv4 VIP and says where ours may stay. */
static int own_v4(struct td_own *o, const struct tundish_addr *a, unsigned int *ret_place,
		  struct td_error *e)
{
	size_t n_found;
	const struct td_host_address *found = find(o, a, &n_found);
	bool theirs = false, ours = false;
	struct td_route route;
	int r;

	for (size_t i = 0; i < n_found; i++) {
		bool is_ours = found[i].protocol == TD_NET_PROTO;

		if (is_ours && td_own_is_listed(o, found[i].ifindex) &&
		    td_own_is_up(o, found[i].ifindex)) {
			*ret_place = found[i].ifindex;
			return 0;
		}
		ours |= is_ours;
		theirs |= !is_ours;
	}
	/* A local route (a prefix on lo, for example) makes the host accept and
	 * answer for it too. One of ours has such a route itself. */
	if (!theirs && !ours && !in_our_prefix(o, a)) {
		r = td_route_get(o->n, a, &route);
		theirs = r >= 0 && route.type == RTN_LOCAL;
	}
	if (theirs) {
		*ret_place = KEEP_LISTED;
		return 0;
	}
	if (!o->n_links)
		return fail_no_link(a, e);
	r = add(o, a, &o->links[0], e);
	if (r >= 0)
		*ret_place = o->links[0].link.index;
	return r;
}

static int own_v6(struct td_own *o, const struct tundish_addr *a, struct td_error *e)
{
	size_t n_found, present = 0;
	const struct td_host_address *found = find(o, a, &n_found);
	int result = 0;

	if (!o->n_links)
		return n_found ? 0 : fail_no_link(a, e);
	for (size_t i = 0; i < o->n_links; i++) {
		struct td_error this = {0};
		bool there = false;
		int r;

		for (size_t k = 0; k < n_found; k++)
			there |= found[k].ifindex == o->links[i].link.index;
		r = there ? 0 : add(o, a, &o->links[i], &this);
		present += r >= 0;
		if (r < 0 && (result >= 0 || (result == -EAFNOSUPPORT && r != result))) {
			result = r;
			*e = this;
		}
		if (td_own_is_fatal(r))
			break;
	}
	/* An interface without IPv6 is an operator's choice, unless all are. */
	return result == -EAFNOSUPPORT && present ? 0 : result;
}

int td_own_addresses(struct td_own *o)
{
	struct td_error e = {0};
	int r = 0;

	for (size_t i = 0; i < o->n_vips && !td_own_is_fatal(r); i++) {
		if (i && tundish_addr_equal(&o->vips[i], &o->vips[i - 1])) {
			o->place[i] = o->place[i - 1]; /* several services on one VIP */
			continue;
		}
		r = tundish_addr_is_v4(&o->vips[i]) ? own_v4(o, &o->vips[i], &o->place[i], &e)
						    : own_v6(o, &o->vips[i], &e);
		if (r < 0)
			td_own_failed(o, r, &e);
	}
	return r;
}

void td_own_remove_addresses(struct td_own *o, const struct tundish_addr *former, size_t n_former)
{
	for (size_t i = 0; i < o->n_have; i++) {
		const struct td_host_address *x = &o->have[i];
		const struct tundish_addr *wanted;
		char text[TD_ADDRESS_TEXT], name[IF_NAMESIZE] = "?";
		struct td_error e = {0};
		bool v4, keep = false;
		int r;

		if (x->protocol != TD_NET_PROTO || !n_former ||
		    !bsearch(&x->address, former, n_former, sizeof(*former), td_addr_compare))
			continue;
		v4 = tundish_addr_is_v4(&x->address);
		wanted = o->n_vips ? bsearch(&x->address, o->vips, o->n_vips, sizeof(*o->vips),
					     td_addr_compare)
				   : NULL;
		if (wanted && v4) {
			unsigned int place = o->place[wanted - o->vips];

			keep = place == KEEP_ALL || place == x->ifindex ||
			       (place == KEEP_LISTED && td_own_is_listed(o, x->ifindex));
		} else if (wanted) {
			keep = td_own_is_listed(o, x->ifindex);
		}
		if (keep)
			continue;
		td_address_print(&x->address, text);
		if_indextoname(x->ifindex, name);
		r = change_address(o->n, false, &x->address, x->ifindex);
		if (r == -EADDRNOTAVAIL || r == -ENODEV) /* gone already */
			continue;
		if (r < 0) {
			td_fail(&e, -r, "cannot remove VIP %s from %s: %s", text, name,
				td_net_reason(o->n, r));
			td_own_failed(o, r, &e);
			if (td_own_is_fatal(r))
				return;
			continue;
		}
		fprintf(o->changes, "removed %s/%d from %s\n", text, v4 ? 32 : 128, name);
	}
}
