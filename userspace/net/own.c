// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owning VIPs: one dump of the host's addresses, one of its routes where
 * prefixes are asked for, the difference to what is wanted, and the additions
 * before the removals, so that a VIP that moves to another interface is never
 * without one.
 */
#include "net/own.h"

#include "core/address.h"

int td_own_failed(struct td_own *o, int r, const struct td_error *e)
{
	if (o->result >= 0) {
		o->result = r;
		if (o->error)
			*o->error = *e;
	}
	return r;
}

bool td_own_is_fatal(int r)
{
	return r == -ETIMEDOUT || r == -EPERM || r == -ENOMEM || r == -ENOPROTOOPT;
}

bool td_own_is_listed(const struct td_own *o, unsigned int ifindex)
{
	for (size_t i = 0; i < o->n_interfaces; i++)
		if (o->interfaces[i] == ifindex)
			return true;
	return false;
}

bool td_own_is_up(const struct td_own *o, unsigned int ifindex)
{
	for (size_t i = 0; i < o->n_links; i++)
		if (o->links[i].link.index == ifindex)
			return true;
	return false;
}

/* What is asked for, as sorted addresses and sorted prefixes. */
struct vips {
	struct tundish_addr *addresses;
	struct td_prefix *prefixes;
	size_t n_addresses, n_prefixes;
};

static void vips_done(struct vips *v)
{
	free(v->addresses);
	free(v->prefixes);
}

static int sort_out(const struct td_prefix *list, size_t n, struct vips *v)
{
	v->addresses = calloc(n + 1, sizeof(*v->addresses));
	v->prefixes = calloc(n + 1, sizeof(*v->prefixes));
	if (!v->addresses || !v->prefixes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (list[i].length < TD_PREFIX_ALL)
			v->prefixes[v->n_prefixes++] = list[i];
		else
			v->addresses[v->n_addresses++] = list[i].address;
	qsort(v->addresses, v->n_addresses, sizeof(*v->addresses), td_addr_compare);
	qsort(v->prefixes, v->n_prefixes, sizeof(*v->prefixes), td_prefix_compare);
	return 0;
}

static int read_links(struct td_own *o, struct td_error *e)
{
	for (size_t i = 0; i < o->n_interfaces; i++) {
		struct td_link *l = &o->links[o->n_links].link;
		/* Index 0 is that of a name that nobody has. */
		int r = o->interfaces[i] ? td_link_get(o->n, o->interfaces[i], l) : -ENODEV;

		if (r < 0 && r != -ENODEV)
			return td_fail(e, -r, "cannot read interface %u: %s", o->interfaces[i],
				       td_net_reason(o->n, r));
		if (r >= 0 && (l->flags & IFF_UP) && !td_own_is_up(o, o->interfaces[i]))
			o->n_links++;
	}
	return 0;
}

static void work(struct td_own *o, const struct vips *former)
{
	struct td_error e = {0};
	int r;

	r = read_links(o, &e);
	if (r < 0) {
		td_own_failed(o, r, &e);
		return;
	}
	r = td_host_addresses(o->n, 0, &o->have, &o->n_have);
	if (r < 0) {
		td_fail(&e, -r, "cannot read this host's addresses: %s", td_net_reason(o->n, r));
		td_own_failed(o, r, &e);
		return;
	}
	r = o->n_prefixes || former->n_prefixes ? td_own_routes(o->n, &o->routes, &o->n_routes) : 0;
	if (r < 0) {
		td_fail(&e, -r, "cannot read this host's local routes: %s", td_net_reason(o->n, r));
		td_own_failed(o, r, &e);
		return;
	}
	if (td_own_is_fatal(td_own_addresses(o)) || td_own_is_fatal(td_own_prefixes(o)))
		return;
	td_own_remove_addresses(o, former->addresses, former->n_addresses);
	td_own_remove_prefixes(o, former->prefixes, former->n_prefixes);
}

int td_net_own_vips(struct td_net *n, const struct td_prefix *vips, size_t n_vips,
		    const struct td_prefix *former, size_t n_former, const unsigned int *interfaces,
		    size_t n_interfaces, char **ret_changes, struct td_error *error)
{
	_cleanup_(vips_done) struct vips wanted = {0}, old = {0};
	_cleanup_free_ struct td_own_link *links = calloc(n_interfaces + 1, sizeof(*links));
	_cleanup_free_ unsigned int *place = calloc(n_vips + 1, sizeof(*place));
	_cleanup_free_ char *text = NULL;
	size_t length;
	struct td_own o = {
		.n = n,
		.interfaces = interfaces,
		.n_interfaces = n_interfaces,
		.links = links,
		.place = place,
		.error = error,
	};

	if (ret_changes)
		*ret_changes = NULL;
	o.changes = open_memstream(&text, &length);
	if (sort_out(vips, n_vips, &wanted) < 0 || sort_out(former, n_former, &old) < 0 || !links ||
	    !place || !o.changes) {
		if (o.changes)
			fclose(o.changes);
		return td_fail(error, ENOMEM, "not enough memory to see to the VIPs");
	}
	o.vips = wanted.addresses;
	o.n_vips = wanted.n_addresses;
	o.prefixes = wanted.prefixes;
	o.n_prefixes = wanted.n_prefixes;
	work(&o, &old);
	free(o.have);
	free(o.routes);
	if (fclose(o.changes) == 0 && ret_changes)
		*ret_changes = TD_TAKE_PTR(text);
	return o.result;
}
