// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where each backend, and each server of a lane, is, in the map `nexthops`.
 *
 * Entries are shared by backends with an equal next hop and are never edited
 * while one refers to them: a new value goes to a free entry, then the
 * backend's index is stored. A packet may have read the old index just before,
 * so an entry rests for a while before it is used again.
 *
 * A neighbour that fails keeps its last value: it is the best guess there is,
 * and serves on when the daemon is gone. A next hop without its MAC address yet
 * is written without VALID, with what is known, so that the data path can ask
 * the kernel's own table on the right link. Entry 0 is empty.
 */
#include <poll.h>

#include "core/address.h"
#include "daemon/lanes.h"

#define REST_NS (20 * TD_NS_PER_MS)
/* A neighbour that is asked for the first time is silent for a moment, and the kernel asks it for
 * three seconds. */
#define SILENT_NS (5 * TD_NS_PER_S)

int td_nexthops_open(struct td_daemon *d)
{
	const struct tundish_backend *b = td_kernel_backends(d->kernel);

	d->hops_max = TUNDISH_NEXTHOPS_OF(d->settings.backends_max + d->settings.lanes_max);
	d->hops = calloc(d->hops_max, sizeof(*d->hops));
	d->memory = calloc(d->settings.backends_max, sizeof(*d->memory));
	if (!d->hops || !d->memory)
		return -ENOMEM;
	for (uint32_t id = 1; id < d->settings.backends_max; id++) /* what a former daemon left */
		if (b[id].state != TUNDISH_BACKEND_FREE)
			td_hop_adopt(d, &b[id].nexthop);
	td_lane_hops_open(d);
	return 0;
}

void td_hop_adopt(struct td_daemon *d, const uint32_t *where)
{
	struct td_hop *h;

	if (!*where || *where >= d->hops_max)
		return;
	h = &d->hops[*where];
	if (h->written || td_kernel_get_nexthop(d->kernel, *where, &h->value) == 0) {
		h->written = true;
		h->users++;
	}
}

static void release(struct td_daemon *d, uint32_t index)
{
	if (!index || index >= d->hops_max || !d->hops[index].users)
		return;
	if (!--d->hops[index].users)
		d->hops[index].free_since_ns = td_now_ns();
}

void td_hop_point(struct td_daemon *d, uint32_t *where, uint32_t index)
{
	uint32_t old = *where;

	if (index)
		d->hops[index].users++;
	__atomic_store_n(where, index, __ATOMIC_RELEASE);
	release(d, old);
}

void td_nexthop_forget(struct td_daemon *d, uint32_t backend)
{
	td_hop_point(d, &td_kernel_backends(d->kernel)[backend].nexthop, 0);
	d->memory[backend] = (struct td_backend_memory){0};
	d->cares_stale = true;
}

const struct tundish_nexthop *td_hop_at(const struct td_daemon *d, uint32_t index)
{
	return index && index < d->hops_max && d->hops[index].written ? &d->hops[index].value
								      : NULL;
}

bool td_nexthop_is_local(const struct td_daemon *d, uint32_t backend)
{
	const struct tundish_nexthop *n =
		td_hop_at(d, td_kernel_backends(d->kernel)[backend].nexthop);

	return n && n->flags & TUNDISH_NEXTHOP_LOCAL;
}

/* An entry with this value, or a free one that gets it; 0 where there is none. */
static uint32_t entry_with(struct td_daemon *d, const struct tundish_nexthop *value)
{
	uint64_t now = td_now_ns();
	uint32_t free_index = 0;

	for (uint32_t i = 1; i < d->hops_max; i++) {
		struct td_hop *h = &d->hops[i];

		if (h->users && !memcmp(&h->value, value, sizeof(*value)))
			return i;
		if (!free_index && !h->users && now - h->free_since_ns >= REST_NS)
			free_index = i;
	}
	if (!free_index || td_kernel_put_nexthop(d->kernel, free_index, value) < 0)
		return 0;
	d->hops[free_index].value = *value;
	d->hops[free_index].written = true;
	td_step_done(d);
	return free_index;
}

static bool same(const struct td_daemon *d, uint32_t index, const struct tundish_nexthop *value)
{
	const struct tundish_nexthop *n = td_hop_at(d, index);

	return n && !memcmp(n, value, sizeof(*value));
}

bool td_hop_is_known(const struct td_daemon *d, uint32_t index)
{
	const struct tundish_nexthop *n = td_hop_at(d, index);

	return n && n->flags & TUNDISH_NEXTHOP_VALID;
}

bool td_hop_is_news(struct td_backend_memory *m, int before)
{
	uint64_t now = td_now_ns();
	bool told = m->told_unreachable;

	if (!m->resolved) {
		m->unresolved_ns = 0;
		m->told_unreachable = false;
		return told;
	}
	m->unresolved_ns = m->unresolved_ns ?: now;
	if (m->resolved == -EAGAIN ? told || now - m->unresolved_ns < SILENT_NS
				   : told && m->resolved == before)
		return false;
	return m->told_unreachable = true;
}

void td_hop_tell(struct td_daemon *d, const struct td_backend_memory *m, uint32_t index,
		 const struct tundish_addr *address, const char *object)
{
	char text[TD_ADDRESS_TEXT];

	td_address_print(address, text);
	if (!m->resolved)
		td_event(d, "next-hop", object, "%s is reachable again", text);
	else
		td_event_bad(d, "next-hop", object, "%s: %s; %s", text, m->trouble,
			     td_hop_is_known(d, index) ? "the last known next hop stays"
						       : "packets to it are dropped");
}

static void tell(struct td_daemon *d, uint32_t id, int before)
{
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[id];
	struct td_backend_memory *m = &d->memory[id];
	char object[sizeof(((struct td_event *)0)->object)], service[TUNDISH_NAME_LEN];

	if (!td_hop_is_news(m, before))
		return;
	if (td_kernel_service_name(d->kernel, b->service, service) < 0)
		snprintf(service, sizeof(service), "unknown");
	snprintf(object, sizeof(object), "backend %.63s/%.63s", service, b->name);
	td_hop_tell(d, m, b->nexthop, &b->address, object);
}

int td_hop_refresh(struct td_daemon *d, const struct tundish_addr *address, uint32_t *where,
		   struct td_backend_memory *m, bool tunnels)
{
	struct tundish_nexthop hop = {0};
	struct td_error e = {0};
	uint32_t index;
	int r;

	r = td_net_nexthop(d->net, address, &hop, &m->via_gateway, &e);
	m->resolved = r;
	snprintf(m->trouble, sizeof(m->trouble), "%.127s",
		 e.text[0] ? e.text
		 : r < 0   ? strerror(-r)
			   : "");
	if (r == 0) {
		hop.flags |= TUNDISH_NEXTHOP_VALID;
		m->no_source = tunnels && !(hop.flags & TUNDISH_NEXTHOP_LOCAL) &&
			       !(hop.tunnel_source.word[0] | hop.tunnel_source.word[3]);
	}
	if (r == -EAGAIN) {
		/* Not resolved now: the last known one serves on, if it was complete. */
		if (td_hop_is_known(d, *where))
			return r;
		hop.flags &= ~TUNDISH_NEXTHOP_VALID;
	} else if (r == -ENETUNREACH) {
		td_hop_point(d, where, 0); /* the route is gone: nothing to guess at */
		return r;
	} else if (r < 0) {
		return r;
	}
	if (same(d, *where, &hop))
		return r;
	index = entry_with(d, &hop);
	if (!index) {
		/* All rest or are taken; the slow timer comes back to it. */
		m->resolved = -EAGAIN;
		snprintf(m->trouble, sizeof(m->trouble), "no entry is free in the map nexthops");
		return -EAGAIN;
	}
	td_hop_point(d, where, index);
	td_step_done(d);
	return r;
}

bool td_backend_hop_known(const struct td_daemon *d, uint32_t id)
{
	return td_hop_is_known(d, td_kernel_backends(d->kernel)[id].nexthop);
}

int td_nexthop_refresh(struct td_daemon *d, uint32_t id)
{
	struct tundish_backend *b = &td_kernel_backends(d->kernel)[id];
	struct td_backend_memory *m = &d->memory[id];
	int before = m->resolved, r;

	if (b->state == TUNDISH_BACKEND_FREE || b->delivery == TUNDISH_DELIVERY_WORKERS)
		return 0;
	r = td_hop_refresh(d, &b->address, &b->nexthop, m,
			   b->delivery == TUNDISH_DELIVERY_IPIP ||
				   b->delivery == TUNDISH_DELIVERY_GUE);
	tell(d, id, before);
	return r;
}

void td_nexthops_refresh_all(struct td_daemon *d, bool unresolved_only)
{
	const struct tundish_backend *b = td_kernel_backends(d->kernel);

	if (!unresolved_only)
		td_net_care_begin(d->net);
	td_net_lately_begin(d->net);
	d->n_unresolved = 0;
	for (uint32_t id = 1; id < d->settings.backends_max; id++) {
		if (b[id].state == TUNDISH_BACKEND_FREE)
			continue;
		if (unresolved_only && !d->memory[id].resolved)
			continue;
		d->n_unresolved += td_nexthop_refresh(d, id) < 0;
	}
	td_lane_hops_refresh_all(d, unresolved_only);
	td_net_lately_end(d->net);
	d->n_unresolved += d->lanes->n_unresolved;
	if (!unresolved_only) {
		td_net_care_end(d->net);
		d->cares_stale = false;
	}
}

/* Until no neighbour is on its way any more, or the time is up. */
void td_nexthops_wait(struct td_daemon *d, uint64_t limit_ms)
{
	uint64_t end = td_now_ns() + limit_ms * TD_NS_PER_MS;
	bool waiting = true;

	while (waiting && td_now_ns() < end) {
		struct pollfd p = {.fd = td_net_event_fd(d->net), .events = POLLIN};

		waiting = td_lane_hops_wait(d);
		for (uint32_t id = 1; id < d->settings.backends_max; id++)
			waiting |= d->memory[id].resolved == -EAGAIN;
		if (!waiting)
			break;
		poll(&p, 1, 20);
		td_net_drain_events(d->net);
		td_nexthops_refresh_all(d, true);
	}
}
