// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the servers of lanes are: looked up once for each server, as backends are
 * (nexthop.c), and pointed to by each of its lanes. A backend's first address is looked up
 * for the backend too, and finds the same entry.
 */
#include "core/address.h"
#include "daemon/lanes.h"

#define MSS_LEAST 536u
#define TOA_MOST  20u /* a client's address with IPv6, as a TCP option */

static struct td_lane_host *host_of(struct td_daemon *d, const struct tundish_lane *l)
{
	return &d->lanes->hosts[l->number % TUNDISH_NAT_HOSTS_MAX];
}

/* Then its own events tell. */
static bool is_backend(struct td_daemon *d, const struct tundish_addr *a)
{
	const struct tundish_backend *b = td_kernel_backends(d->kernel);

	for (uint32_t id = 1; id < d->settings.backends_max; id++)
		if (b[id].state != TUNDISH_BACKEND_FREE && tundish_addr_equal(&b[id].address, a))
			return true;
	return false;
}

static void look_up(struct td_daemon *d, const struct tundish_lane *l)
{
	struct td_lane_host *h = host_of(d, l);
	int before = h->memory.resolved;
	char text[TD_ADDRESS_TEXT], object[sizeof(((struct td_event *)0)->object)];

	h->address = l->host;
	td_hop_refresh(d, &h->address, &h->hop, &h->memory, false);
	if (!td_hop_is_news(&h->memory, before))
		return;
	if (is_backend(d, &h->address)) {
		h->memory.told_unreachable = false; /* not as a server's */
		return;
	}
	snprintf(object, sizeof(object), "server %s", td_address_print(&h->address, text));
	td_hop_tell(d, &h->memory, h->hop, &h->address, object);
}

static void point(struct td_daemon *d, struct tundish_lane *l)
{
	uint32_t hop = host_of(d, l)->hop;

	if (l->nexthop == hop)
		return;
	td_hop_point(d, &l->nexthop, hop);
	td_step_done(d);
}

void td_lane_hop_refresh(struct td_daemon *d, uint32_t id)
{
	struct tundish_lane *l = &td_kernel_lanes(d->kernel)[id];

	if (!host_of(d, l)->pass || host_of(d, l)->memory.resolved)
		look_up(d, l);
	host_of(d, l)->pass = d->lanes->pass ?: 1;
	point(d, l);
}

/* The MTU of the way to a service's servers, less the headers, is the largest segment. One that
 * is full has room for the client's address too, where it is told. */
static void settle_mss(struct td_daemon *d)
{
	const struct tundish_backend *b = td_kernel_backends(d->kernel);
	const struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	const struct tundish_fan *fans = td_kernel_fans(d->kernel);

	for (uint32_t service = 1; service < d->settings.services_max; service++) {
		struct tundish_deliver v = td_kernel_deliveries(d->kernel)[service];
		uint32_t mtu = 0, headers = d->lanes->auto_mss[service];

		if (!headers)
			continue;
		for (uint32_t id = 1; id < d->settings.backends_max; id++) {
			if (b[id].service != service || !fans[id].time_wait)
				continue;
			for (size_t i = 0; i < TUNDISH_FAN_LANES; i++) {
				const struct tundish_lane *l =
					&lanes[fans[id].lane[i] % d->settings.lanes_max];
				const struct td_hop *hop = &d->hops[l->nexthop % d->hops_max];

				if (!l->number || !l->nexthop || !hop->value.mtu)
					continue;
				if (!tundish_addr_is_v4(&l->host))
					headers = 60;
				mtu = mtu ? TD_MIN(mtu, hop->value.mtu) : hop->value.mtu;
			}
		}
		if (v.flags & TUNDISH_DELIVER_TOA)
			headers += TOA_MOST;
		if (mtu < MSS_LEAST + headers || v.mss == mtu - headers)
			continue;
		v.mss = (uint16_t)(mtu - headers);
		td_kernel_put_deliver(d->kernel, service, &v);
		td_step_done(d);
	}
}

void td_lane_hops_refresh_all(struct td_daemon *d, bool unresolved_only)
{
	struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	struct td_lanes *l = d->lanes;

	l->pass++;
	l->n_unresolved = 0;
	for (uint32_t id = 1; id < d->settings.lanes_max; id++) {
		struct td_lane_host *h = host_of(d, &lanes[id]);

		if (!lanes[id].number)
			continue;
		if (h->pass != l->pass && (!unresolved_only || !h->pass || h->memory.resolved))
			look_up(d, &lanes[id]);
		if (h->pass != l->pass)
			l->n_unresolved += h->memory.resolved < 0;
		h->pass = l->pass;
		point(d, &lanes[id]);
	}
	settle_mss(d);
}

bool td_lane_hops_wait(const struct td_daemon *d)
{
	for (uint32_t n = 1; n < TUNDISH_NAT_HOSTS_MAX; n++)
		if (d->lanes->hosts[n].memory.resolved == -EAGAIN)
			return true;
	return false;
}

void td_lane_hop_forget(struct td_daemon *d, uint32_t id)
{
	struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	struct td_lane_host *h = host_of(d, &lanes[id]);

	td_hop_point(d, &lanes[id].nexthop, 0);
	d->cares_stale = true;
	for (uint32_t other = 1; other < d->settings.lanes_max; other++)
		if (other != id && lanes[other].number == lanes[id].number)
			return;
	td_hop_point(d, &h->hop, 0);
	*h = (struct td_lane_host){0};
}

/* What a former daemon left: the entries are used, by the lanes and by us. */
void td_lane_hops_open(struct td_daemon *d)
{
	struct tundish_lane *lanes = td_kernel_lanes(d->kernel);

	for (uint32_t id = 1; id < d->settings.lanes_max; id++) {
		struct td_lane_host *h = host_of(d, &lanes[id]);

		if (!lanes[id].number)
			continue;
		td_hop_adopt(d, &lanes[id].nexthop);
		if (!h->hop && lanes[id].nexthop)
			td_hop_point(d, &h->hop, lanes[id].nexthop);
	}
}
