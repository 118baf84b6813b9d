// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether answers of translated connections can come back by this host: a server behind a NIC
 * without our program, and one to which there is no way.
 */
#include "daemon/lanes.h"
#include "daemon/nat.h"

static bool carries_program(const struct td_daemon *d, uint32_t ifindex)
{
	for (size_t i = 0; i < d->n_attachments; i++)
		if (d->attachments[i].ifindex == ifindex && d->attachments[i].mode != TD_MODE_NONE)
			return true;
	return false;
}

/* Whether answers of a lane's server come in by a NIC without the program. */
static bool is_missed(const struct td_daemon *d, const struct tundish_lane *l)
{
	uint32_t hop = __atomic_load_n(&l->nexthop, __ATOMIC_RELAXED);
	const struct tundish_nexthop *n = td_hop_at(d, hop);

	return n && !(n->flags & TUNDISH_NEXTHOP_LOCAL) && n->ifindex &&
	       !carries_program(d, n->ifindex);
}

/* An address of the backend to which there is no way; the first is told with the backend. */
static bool is_out_of_reach(const struct td_daemon *d, const struct tundish_backend *b,
			    const struct tundish_lane *l)
{
	return d->lanes->hosts[l->number % TUNDISH_NAT_HOSTS_MAX].memory.resolved < 0 &&
	       !tundish_addr_equal(&l->host, &b->address);
}

const struct tundish_lane *td_nat_lane_troubled(struct td_daemon *d, uint32_t backend, bool missed)
{
	const struct tundish_fan *f = &td_kernel_fans(d->kernel)[backend];
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[backend];

	for (uint32_t i = 0; i < TUNDISH_FAN_LANES; i++) {
		const struct tundish_lane *l;

		if (!f->lane[i] || f->lane[i] >= d->settings.lanes_max)
			continue;
		l = &td_kernel_lanes(d->kernel)[f->lane[i]];
		if (l->number && (missed ? is_missed(d, l) : is_out_of_reach(d, b, l)))
			return l;
	}
	return NULL;
}

bool td_nat_has_way(const struct td_daemon *d, uint32_t backend)
{
	const struct tundish_fan *f = &td_kernel_fans(d->kernel)[backend];

	for (uint32_t i = 0; i < TUNDISH_FAN_LANES; i++) {
		uint32_t lane = f->lane[i];

		if (lane && lane < d->settings.lanes_max &&
		    td_hop_is_known(d, td_kernel_lanes(d->kernel)[lane].nexthop))
			return true;
	}
	return false;
}

void td_nat_nics_look(struct td_daemon *d)
{
	const struct tundish_backend *b = td_kernel_backends(d->kernel);
	_cleanup_(td_state_done) struct td_state s = {0};

	for (uint32_t id = 1; id < d->settings.backends_max; id++) {
		bool missed = td_backend_translates(&b[id]) && td_nat_lane_troubled(d, id, true);
		char object[160];

		if (missed == d->nat->missed[id])
			continue;
		d->nat->missed[id] = missed;
		if (!td_backend_translates(&b[id]))
			continue;
		if (!s.n_backends && td_kernel_read_state(d->kernel, &s) < 0)
			return;
		snprintf(object, sizeof(object), "backend %.63s/%.63s",
			 td_service_name(&s, b[id].service), b[id].name);
		if (missed)
			td_event(
				d, "nic-missing", object,
				"the way to it goes by a NIC that is not among interfaces: its "
				"answers would come in there and reach nobody; add it to the file");
		else
			td_event(d, "nic", object, "its answers come in by one of interfaces now");
	}
}
