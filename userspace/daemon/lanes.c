// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which ports each lane has (core/lanes.h), and the end of lanes.
 *
 * Ports of an address that this host's own sockets use are shared with them: `auto` goes
 * round what the kernel gives to sockets; a range in the file that does not is kept from
 * them, in ip_local_reserved_ports. The lane is marked before that is written, so that
 * whoever takes the data path down, also after a crash, knows what to give back.
 *
 * Which taken ports are nobody's is known to no map. A daemon that starts tells them from
 * those in use by the records; a port whose record is being made shows at neither of two
 * looks, a moment apart, only if it was given twice in between.
 */
#include <time.h>

#include "core/address.h"
#include "daemon/lanes.h"
#include "host/reserved.h"

#define LOOKS		3
#define LOOK_NS		(10 * TD_NS_PER_MS)
#define REST_NS		(2 * TD_NS_PER_S) /* a packet may have chosen the lane just before */
#define EPHEMERAL_LEAST 1024u		  /* that stay for this host's sockets */
#define SLICE_BELOW	1024u		  /* ports that are left for `auto` */
#define SLICE		4096u

/* ---- start and end ---------------------------------------------------------------- */

static bool has_ports(const struct tundish_lane *l)
{
	return l->number && l->ports;
}

static struct td_port_bits *blocked_of(struct td_lanes *l, uint32_t id)
{
	if (!l->blocked[id])
		l->blocked[id] = calloc(1, sizeof(*l->blocked[id]));
	return l->blocked[id];
}

/* What a former daemon has blocked: all that is taken and that no record names. */
static int adopt(struct td_daemon *d)
{
	const struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	const struct tundish_lane_ports *ports = td_kernel_lane_ports(d->kernel);
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	struct td_lanes *l = d->lanes;
	struct td_port_bits **named;
	bool any = false;
	int r = 0;

	named = calloc(d->settings.lanes_max, sizeof(*named));
	if (!named)
		return -ENOMEM;
	for (uint32_t id = 1; id < d->settings.lanes_max && !r; id++) {
		if (!has_ports(&lanes[id]))
			continue;
		named[id] = calloc(1, sizeof(*named[id]));
		if (!named[id] || !blocked_of(l, id))
			r = -ENOMEM;
		else
			memset(l->blocked[id], 0xff, sizeof(*l->blocked[id]));
		any = true;
	}
	for (int look = 0; any && !r && look < LOOKS; look++) {
		if (look)
			nanosleep(&pause, NULL);
		for (uint32_t id = 1; id < d->settings.lanes_max; id++)
			for (size_t w = 0; named[id] && w < TUNDISH_LANE_WORDS; w++)
				l->blocked[id]->word[w] &=
					__atomic_load_n(&ports[id].taken[w], __ATOMIC_ACQUIRE);
		td_lanes_named(td_kernel_nat(d->kernel),
			       (size_t)d->settings.nat_buckets * TUNDISH_NAT_SLOTS, named,
			       d->settings.lanes_max);
		for (uint32_t id = 1; id < d->settings.lanes_max; id++)
			for (size_t w = 0; named[id] && w < TUNDISH_LANE_WORDS; w++)
				l->blocked[id]->word[w] &= ~named[id]->word[w];
	}
	for (uint32_t id = 1; id < d->settings.lanes_max; id++)
		free(named[id]);
	free(named);
	return r;
}

/* Of all lanes but one that are marked so, as they lie in the map. */
static void reserved_by_lanes(struct td_daemon *d, uint32_t but, struct td_port_bits *ret)
{
	const struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	struct td_range_conf kept;

	*ret = (struct td_port_bits){0};
	for (uint32_t id = 1; id < d->settings.lanes_max; id++)
		if (id != but && td_lane_kept(&lanes[id], &kept))
			td_port_bits_set(ret, kept.first, kept.last, true);
}

int td_lanes_open(struct td_daemon *d)
{
	struct td_netns_facts facts;
	struct td_lanes *l;

	l = d->lanes = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->blocked = calloc(d->settings.lanes_max, sizeof(*l->blocked));
	l->ports = calloc(d->settings.lanes_max, sizeof(*l->ports));
	l->unused_ns = calloc(d->settings.lanes_max, sizeof(*l->unused_ns));
	l->hosts = calloc(TUNDISH_NAT_HOSTS_MAX, sizeof(*l->hosts));
	l->auto_mss = calloc(d->settings.services_max, sizeof(*l->auto_mss));
	if (!l->blocked || !l->ports || !l->unused_ns || !l->hosts || !l->auto_mss)
		return -ENOMEM;
	reserved_by_lanes(d, TUNDISH_NONE, &l->ours);
	if (td_host_netns_read(-1, &facts, NULL) == 0) {
		struct td_port_bits local = {0};

		td_port_bits_set(&local, facts.first, facts.last, true);
		for (size_t i = 0; i < TUNDISH_LANE_WORDS; i++)
			l->ours.word[i] &= facts.reserved[i] & local.word[i];
		memcpy(l->reserved, facts.reserved, sizeof(l->reserved));
	}
	return adopt(d);
}

void td_lanes_close(struct td_daemon *d)
{
	struct td_lanes *l = d->lanes;

	if (!l)
		return;
	for (uint32_t id = 0; l->blocked && id < d->settings.lanes_max; id++)
		free(l->blocked[id]);
	free(l->blocked);
	free(l->ports);
	free(l->unused_ns);
	free(l->ways);
	free(l->towards);
	free(l->own);
	free(l->hosts);
	free(l->auto_mss);
	free(l);
	d->lanes = NULL;
}

const uint64_t *td_lane_reserved(void *context, uint32_t lane)
{
	struct td_daemon *d = context;

	return lane < d->settings.lanes_max && d->lanes->blocked[lane]
		       ? d->lanes->blocked[lane]->word
		       : NULL;
}

/* ---- ports kept from this host's own sockets ------------------------------------------ */

/*
 * `auto` on a shared address, where this host's sockets get nearly all ports: the upper
 * part of theirs, which is kept from them.
 */
static struct td_range_conf range_of(const struct td_lanes *l, const struct tundish_lane *v,
				     const struct td_range_conf *ports)
{
	uint32_t local = l->local_last - l->local_first + 1u, most = TD_MIN(SLICE, local / 2);
	uint32_t free = 0;

	if (ports->last || !(v->flags & TUNDISH_LANE_SHARED))
		return *ports;
	for (uint32_t p = TD_PORTS_FIRST; p <= UINT16_MAX; p++)
		free += !td_port_bits_get(&l->local, p);
	if (free >= SLICE_BELOW)
		return *ports;
	return (struct td_range_conf){(uint16_t)(l->local_last - most + 1), l->local_last};
}

/* What of a shared lane's range in the file the kernel would give to sockets. */
static bool overlap(const struct td_lanes *l, const struct tundish_lane *v,
		    const struct td_range_conf *ports, uint32_t *ret_first, uint32_t *ret_last)
{
	if (!(v->flags & TUNDISH_LANE_SHARED) || v->flags & TUNDISH_LANE_GONE || !ports->last)
		return false;
	*ret_first = TD_MAX(ports->first, l->local_first);
	*ret_last = TD_MIN(ports->last, l->local_last);
	return *ret_first <= *ret_last;
}

static void wanted_reserved(const struct td_lanes *l, const struct td_lane_state *lanes, size_t n,
			    struct td_port_bits *ret)
{
	uint32_t first, last;

	*ret = (struct td_port_bits){0};
	for (size_t i = 0; i < n; i++) {
		struct td_range_conf ports = range_of(l, &lanes[i].value, &lanes[i].ports);

		if (overlap(l, &lanes[i].value, &ports, &first, &last))
			td_port_bits_set(ret, first, last, true);
	}
}

int td_lanes_check(struct td_daemon *d, const struct td_plan *plan, struct td_error *error)
{
	const struct td_lanes *l = d->lanes;
	struct td_port_bits kept, away;
	uint32_t left = 0;

	wanted_reserved(l, plan->target.lanes, plan->target.n_lanes, &kept);
	if (!td_port_bits_count(&kept))
		return 0;
	for (size_t i = 0; i < TUNDISH_LANE_WORDS; i++) /* ours that is not kept is given back */
		away.word[i] = kept.word[i] | (l->reserved[i] & ~l->ours.word[i]);
	for (uint32_t p = l->local_first; p <= l->local_last; p++)
		left += !td_port_bits_get(&away, p);
	if (left >= EPHEMERAL_LEAST)
		return 0;
	return td_fail(
		error, ENOSPC,
		"\"source_ports\" on an address that this host itself uses would leave %u of "
		"its %u-%u (net.ipv4.ip_local_port_range) to its own connections, and %u are "
		"needed; give other ports, or a source of its own",
		left, l->local_first, l->local_last, EPHEMERAL_LEAST);
}

/* Makes what we reserve equal to `kept`. */
static void reserve(struct td_daemon *d, const struct td_port_bits *kept)
{
	struct td_lanes *l = d->lanes;
	struct td_port_bits add = {0}, gone = {0};
	struct td_error e = {0};
	bool changed = false;

	for (size_t i = 0; i < TUNDISH_LANE_WORDS; i++) {
		add.word[i] = kept->word[i] & ~l->reserved[i];
		gone.word[i] = l->ours.word[i] & ~kept->word[i];
	}
	if (!td_port_bits_count(&add) && !td_port_bits_count(&gone))
		return;
	if (td_host_reserve(add.word, gone.word, &changed, &e) < 0) {
		snprintf(l->trouble, sizeof(l->trouble), "%.255s", e.text);
		td_log(TD_LOG_WARNING, "%s", e.text);
		return;
	}
	l->trouble[0] = '\0';
	for (size_t i = 0; i < TUNDISH_LANE_WORDS; i++) {
		l->ours.word[i] = (l->ours.word[i] | add.word[i]) & ~gone.word[i];
		l->reserved[i] = (l->reserved[i] | add.word[i]) & ~gone.word[i];
	}
	td_step_done(d);
	if (changed)
		td_event(d, "reserved-ports", "host",
			 "net.ipv4.ip_local_reserved_ports: %u ports added, %u given back, so that "
			 "sources shared with this host do not collide",
			 td_port_bits_count(&add), td_port_bits_count(&gone));
}

void td_lanes_unreserve(struct td_daemon *d)
{
	const struct td_port_bits none = {0};

	if (d->lanes)
		reserve(d, &none);
}

/*
 * What a lane shall keep from this host's sockets, none of it where first is above last. The mark
 * in the map is there before the kernel's list says so, and what is given back has gone from that
 * list before the mark goes: killed in between, the next daemon, or an unload, finds more marked
 * than is kept, never less.
 */
static void keep(struct td_daemon *d, uint32_t id, uint32_t first, uint32_t last)
{
	struct tundish_lane *lane = &td_kernel_lanes(d->kernel)[id];
	struct td_lanes *l = d->lanes;
	struct td_range_conf was = {0};
	struct td_port_bits kept;
	bool had = td_lane_kept(lane, &was);

	if (!had && first > last)
		return;
	reserved_by_lanes(d, id, &kept);
	for (size_t i = 0; i < TUNDISH_LANE_WORDS; i++)
		kept.word[i] &= l->ours.word[i];
	if (had && (was.first != first || was.last != last)) {
		reserve(d, &kept);
		__atomic_fetch_and(&lane->flags, (uint8_t)~TUNDISH_LANE_RESERVED, __ATOMIC_SEQ_CST);
	}
	if (first > last)
		return;
	__atomic_store_n(&lane->kept_first, (uint16_t)first, __ATOMIC_RELAXED);
	__atomic_store_n(&lane->kept_last, (uint16_t)last, __ATOMIC_RELAXED);
	__atomic_fetch_or(&lane->flags, TUNDISH_LANE_RESERVED, __ATOMIC_SEQ_CST);
	td_step_done(d);
	td_port_bits_set(&kept, first, last, true);
	reserve(d, &kept);
}

/* ---- ports of lanes ---------------------------------------------------------------------- */

static void fit(struct td_daemon *d, uint32_t id, const struct td_range_conf *ports)
{
	struct tundish_lane *lane = &td_kernel_lanes(d->kernel)[id];
	struct td_lanes *l = d->lanes;
	struct td_port_bits wanted;
	uint32_t first, last;
	struct td_range_conf range = range_of(l, lane, ports);

	l->ports[id] = *ports;
	if (!has_ports(lane) || !l->blocked[id])
		return;
	if (!overlap(l, lane, &range, &first, &last))
		first = 1, last = 0;
	td_lane_wanted(lane, &range, &l->local, l->config, &wanted);
	keep(d, id, first, last);
	l->n_pending +=
		td_lane_fit(lane, &td_kernel_lane_ports(d->kernel)[id], l->blocked[id], &wanted);
}

int td_lane_put(struct td_daemon *d, const struct td_lane_state *s)
{
	struct td_lanes *l = d->lanes;
	struct tundish_lane *lane = &td_kernel_lanes(d->kernel)[s->id];
	bool fresh = !lane->number;

	if (fresh && s->value.flags & TUNDISH_LANE_SOURCE) {
		struct td_port_bits *b = blocked_of(l, s->id);

		if (!b)
			return -ENOMEM;
		memset(b, 0xff, sizeof(*b));
	}
	l->unused_ns[s->id] = 0;
	td_kernel_put_lane(d->kernel, s->id, &s->value);
	td_step_done(d);
	td_lane_hop_refresh(d, s->id);
	fit(d, s->id, &s->ports);
	td_step_done(d);
	return 0;
}

void td_lanes_settle(struct td_daemon *d, const struct td_state *target)
{
	struct td_lanes *l = d->lanes;
	struct td_port_bits kept;
	int r;

	l->n_pending = 0;
	for (size_t i = 0; i < target->n_lanes; i++)
		fit(d, target->lanes[i].id, &target->lanes[i].ports);
	wanted_reserved(l, target->lanes, target->n_lanes, &kept);
	reserve(d, &kept);
	memset(l->auto_mss, 0, d->settings.services_max);
	for (size_t i = 0; i < target->n_services; i++) {
		const struct td_service_conf *c =
			td_config_service(l->config, target->services[i].value.name);
		bool v6 = false;

		if (!c || !td_translates(c->delivery) || c->nat.mss != TD_MSS_AUTO ||
		    target->services[i].value.state != TUNDISH_SERVICE_ACTIVE)
			continue;
		for (size_t k = 0; k < c->n_vips; k++)
			v6 |= !tundish_addr_is_v4(&c->vips[k].address);
		l->auto_mss[target->services[i].id] = v6 ? 60 : 40;
	}
	r = td_lane_host_near(d, l->config);
	if (r < 0)
		td_log(TD_LOG_WARNING,
		       "the networks of servers of delivery nat cannot be noted: %s; their clients "
		       "there may hear no answer until the next reload",
		       strerror(-r));
}

/* ---- the end ------------------------------------------------------------------------------ */

/* A host's number goes when no lane names it. */
static void settle_host(struct td_daemon *d, const struct tundish_addr *a)
{
	const struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	bool named = false;

	for (uint32_t id = 1; id < d->settings.lanes_max && !named; id++)
		named = lanes[id].number && (tundish_addr_equal(&lanes[id].host, a) ||
					     (lanes[id].flags & TUNDISH_LANE_SOURCE &&
					      tundish_addr_equal(&lanes[id].source, a)));
	if (!named)
		td_kernel_delete_host(d->kernel, a);
	/* A flag that is left too long costs a look in vain; the next plan takes it. */
	td_step_done(d);
}

const char *td_lane_text(const struct tundish_lane *l, char *buffer)
{
	char source[TD_ADDRESS_TEXT] = "clients", host[TD_ADDRESS_TEXT], port[16] = "any port";

	if (l->flags & TUNDISH_LANE_SOURCE)
		td_address_print(&l->source, source);
	if (l->port_be)
		snprintf(port, sizeof(port), "port %u", ntohs(l->port_be));
	snprintf(buffer, TD_LANE_TEXT, "%s to %s %s", source, td_address_print(&l->host, host),
		 port);
	return buffer;
}

static void free_lane(struct td_daemon *d, uint32_t id)
{
	struct tundish_lane lane = td_kernel_lanes(d->kernel)[id];
	char object[TD_LANE_TEXT];

	td_lane_hop_forget(d, id);
	td_kernel_delete_lane(d->kernel, id);
	td_step_done(d);
	settle_host(d, &lane.host);
	if (lane.flags & TUNDISH_LANE_SOURCE)
		settle_host(d, &lane.source);
	free(d->lanes->blocked[id]);
	d->lanes->blocked[id] = NULL;
	d->lanes->ports[id] = (struct td_range_conf){0};
	d->lanes->unused_ns[id] = 0;
	td_event(d, "freed", td_lane_text(&lane, object), "its last connection has ended");
}

/* Where nothing has their sources any more these go too, if it was us who added them. */
static void give_sources_back(struct td_daemon *d, const struct td_state *freed)
{
	struct td_error e = {0};

	if (freed->n_lanes && td_vips_own(d, d->config, freed, true, &e) < 0)
		td_log(TD_LOG_WARNING, "%s", d->vips_trouble);
}

void td_lanes_swept(struct td_daemon *d)
{
	const struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	_cleanup_(td_state_done) struct td_state freed = {0};
	struct td_lanes *l = d->lanes;
	uint64_t now = td_now_ns();
	struct td_error e = {0};
	bool shared = false;

	for (uint32_t id = 1; id < d->settings.lanes_max; id++) {
		shared |= lanes[id].number && lanes[id].flags & TUNDISH_LANE_SHARED &&
			  !(lanes[id].flags & TUNDISH_LANE_GONE);
		if (!lanes[id].number || !(lanes[id].flags & TUNDISH_LANE_GONE) ||
		    __atomic_load_n(&lanes[id].used, __ATOMIC_RELAXED)) {
			l->unused_ns[id] = 0;
			continue;
		}
		if (!l->unused_ns[id])
			l->unused_ns[id] = now;
		if (now - l->unused_ns[id] < REST_NS ||
		    td_grow(&freed.lanes, freed.n_lanes, sizeof(*freed.lanes)) < 0)
			continue;
		freed.lanes[freed.n_lanes++] = (struct td_lane_state){.id = id, .value = lanes[id]};
		free_lane(d, id);
	}
	give_sources_back(d, &freed);
	if (shared && td_lane_host_changed(d) && td_replan(d, &e) < 0)
		td_log(TD_LOG_WARNING, "%s", e.text);
	if (!l->n_pending)
		return;
	l->config = d->config;
	l->n_pending = 0;
	for (uint32_t id = 1; id < d->settings.lanes_max; id++)
		if (has_ports(&lanes[id]))
			fit(d, id, &l->ports[id]);
}

void td_fan_forget(struct td_daemon *d, uint32_t backend)
{
	const struct tundish_fan none = {0};

	if (td_kernel_fans(d->kernel)[backend].time_wait)
		td_kernel_put_fan(d->kernel, backend, &none);
}
