// SPDX-License-Identifier: GPL-2.0-only
/*
 * VIPs that the daemon keeps on this host, and sources of translated connections in the same
 * way; and this host's own addresses, at which tunnels end. VIPs that we own are not counted
 * among the latter: they are there because of us, and come and go with the file.
 */
#include "core/address.h"
#include "daemon/daemon.h"

/* Addresses alone: one that merely lies in a prefix of ours is not there because of us. */
static bool owned(const struct td_config *c, const struct tundish_addr *a)
{
	for (size_t i = 0; i < c->n_services; i++)
		for (size_t j = 0; c->services[i].own && j < c->services[i].n_vips; j++)
			if (c->services[i].vips[j].prefix == TD_PREFIX_ALL &&
			    tundish_addr_equal(&c->services[i].vips[j].address, a))
				return true;
	return false;
}

int td_endpoints_read(struct td_daemon *d, const struct td_config *config)
{
	_cleanup_free_ struct tundish_addr *all = NULL;
	size_t n = 0, kept = 0;
	int r;

	r = td_net_addresses(d->net, &all, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (!owned(config, &all[i]) && !(d->config && owned(d->config, &all[i])))
			all[kept++] = all[i];
	free(d->endpoints);
	d->endpoints = TD_TAKE_PTR(all);
	d->n_endpoints = kept;
	return 0;
}

static int add_vip(struct td_prefix **list, size_t *n, const struct td_prefix *p)
{
	if (td_grow(list, *n, sizeof(**list)) < 0)
		return -ENOMEM;
	(*list)[(*n)++] = *p;
	return 0;
}

/* Sources of translated connections; *n grows. */
static int collect_sources(const struct td_config *c, struct td_prefix **list, size_t *n)
{
	int r = 0;

	for (size_t i = 0; c && i < c->n_services; i++) {
		const struct td_service_conf *s = &c->services[i];

		for (size_t j = 0; !r && s->own && td_translates(s->delivery) && j < s->n_sources;
		     j++)
			r = add_vip(list, n,
				    &(struct td_prefix){s->sources[j].address, TD_PREFIX_ALL});
	}
	return r;
}

static bool is_source(const struct td_config *c, const struct tundish_addr *a)
{
	for (size_t i = 0; c && i < c->n_services; i++)
		for (size_t j = 0; j < c->services[i].n_sources; j++)
			if (tundish_addr_equal(&c->services[i].sources[j].address, a))
				return true;
	return false;
}

/* Whether a lane's source goes with it: it is GONE, or the steps that say so are still to come.
 * A VIP that `nat` has as the source of hairpins is not one of the file's. */
static bool is_leaving(const struct tundish_lane *l, const struct td_config *c,
		       const struct td_state *former)
{
	return l->flags & TUNDISH_LANE_GONE ||
	       (!is_source(c, &l->source) && !(former && td_state_vip(former, &l->source)));
}

/* Sources that we added and that connections still have, though the file has them no more. */
static int collect_leaving(struct td_daemon *d, const struct td_config *c,
			   const struct td_state *former, struct td_prefix **list, size_t *n)
{
	const struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	_cleanup_free_ struct td_net_address *have = NULL;
	size_t n_have = 0;
	int r = 0;

	for (uint32_t id = 1; !r && id < d->settings.lanes_max; id++) {
		bool ours = false;

		if (!lanes[id].number || !(lanes[id].flags & TUNDISH_LANE_SOURCE) ||
		    !__atomic_load_n(&lanes[id].used, __ATOMIC_RELAXED) ||
		    !is_leaving(&lanes[id], c, former))
			continue;
		if (!have)
			r = td_net_networks(d->net, &have, &n_have);
		for (size_t i = 0; i < n_have && !ours; i++)
			ours = have[i].ours &&
			       tundish_addr_equal(&have[i].address, &lanes[id].source);
		if (!r && ours)
			r = add_vip(list, n, &(struct td_prefix){lanes[id].source, TD_PREFIX_ALL});
	}
	return r;
}

/* VIPs of several services stand several times, which td_net_own_vips allows. */
static int collect(const struct td_config *c, struct td_prefix **list, size_t *n)
{
	int r = 0;

	for (size_t i = 0; c && i < c->n_services; i++)
		for (size_t j = 0; !r && c->services[i].own && j < c->services[i].n_vips; j++) {
			const struct td_vip_conf *v = &c->services[i].vips[j];

			r = add_vip(list, n, &(struct td_prefix){v->address, v->prefix});
		}
	return r;
}

static bool listed(const struct td_prefix *list, size_t n, const struct td_prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (!td_prefix_compare(&list[i], p))
			return true;
	return false;
}

/* Of the VIPs those that the data path serves; of the sources, from `first` on, those that were
 * there for somebody. */
static void keep_installed(struct td_prefix *list, size_t *n, size_t first,
			   const struct td_prefix *before, size_t n_before,
			   const struct td_state *installed)
{
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		const struct td_vip_state *v = td_state_prefix(installed, &list[i]);

		if (i < first ? v && v->value.flags & TUNDISH_VIP_SERVICE
			      : listed(before, n_before, &list[i]))
			list[kept++] = list[i];
	}
	*n = kept;
}

int td_vips_own(struct td_daemon *d, const struct td_config *config, const struct td_state *former,
		bool add, struct td_error *error)
{
	_cleanup_free_ struct td_prefix *wanted = NULL, *before = NULL;
	_cleanup_free_ unsigned int *interfaces = NULL;
	_cleanup_free_ char *changes = NULL;
	size_t n_wanted = 0, n_before = 0, n_vips;
	char *line, *next = NULL;
	int r;

	r = collect(config, &wanted, &n_wanted);
	n_vips = n_wanted;
	r = r ?: collect_sources(config, &wanted, &n_wanted);
	r = r ?: collect(d->config, &before, &n_before);
	r = r ?: collect_sources(d->config, &before, &n_before);
	for (size_t i = 0; !r && former && i < former->n_lanes; i++)
		if (former->lanes[i].value.flags & TUNDISH_LANE_SOURCE)
			r = add_vip(
				&before, &n_before,
				&(struct td_prefix){former->lanes[i].value.source, TD_PREFIX_ALL});
	for (size_t i = 0; !r && former && i < former->n_vips; i++)
		r = add_vip(&before, &n_before,
			    &(struct td_prefix){former->vips[i].address, former->vips[i].prefix});
	if (r < 0)
		return td_fail(error, ENOMEM, "out of memory while owning VIPs");
	if (!add)
		keep_installed(wanted, &n_wanted, n_vips, before, n_before, former);
	if (!d->unloading)
		r = collect_leaving(d, config, former, &wanted, &n_wanted);
	if (r < 0)
		return td_fail(error, -r, "cannot tell which sources are still used: %s",
			       strerror(-r));
	interfaces = calloc(config->n_interfaces + 1, sizeof(*interfaces));
	if (!interfaces)
		return td_fail(error, ENOMEM, "out of memory while owning VIPs");
	for (size_t i = 0; i < config->n_interfaces; i++)
		interfaces[i] = if_nametoindex(config->interfaces[i].name);

	r = td_net_own_vips(d->net, wanted, n_wanted, before, n_before, interfaces,
			    config->n_interfaces, &changes, error);
	for (line = changes ? strtok_r(changes, "\n", &next) : NULL; line;
	     line = strtok_r(NULL, "\n", &next))
		td_event(d, "address", "host", "%s", line);
	snprintf(d->vips_trouble, sizeof(d->vips_trouble), "%.255s",
		 r < 0 ? (error && error->text[0] ? error->text : strerror(-r)) : "");
	return r;
}
