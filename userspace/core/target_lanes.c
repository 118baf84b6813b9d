// SPDX-License-Identifier: GPL-2.0-only
/*
 * What lanes, hosts and fans shall become.
 *
 * A lane is known by what its server tells connections apart by: source, server, port,
 * protocol. So whichever services and backends meet in one share its ports, and one
 * that comes back takes up its entry again. One that no fan names is GONE, and stands
 * until its last connection has ended (the sweep frees it then); its host, whose number
 * is part of the connections' hashes, stands as long.
 *
 * Which ports a lane has is no part of its entry here: the daemon keeps them (daemon/lanes.c).
 */
#include <netinet/in.h>
#include <tundish/nat_state.h>

#include "core/target.h"

struct lane_wish {
	const struct td_service_conf *service;
	const struct tundish_addr *source; /* NULL: the client's */
	const struct tundish_addr *host;
	uint16_t port;
	bool hairpin, ranged; /* ranged: the file says which source it is, so which ports too */
};

struct lane_work {
	struct td_target *t;
	const struct td_plan_host *host;
	size_t room;
	uint32_t *table; /* open addressing: index into t->lanes, plus one */
	uint32_t mask;
	bool *taken;
	uint32_t max, next;
};

/* ---- lanes ----------------------------------------------------------------------- */

static uint32_t mix(uint32_t h, const void *bytes, size_t n)
{
	for (const unsigned char *p = bytes; n; n--)
		h = (h ^ *p++) * 16777619u; /* FNV-1a: told apart, not protected */
	return h;
}

static uint32_t hash_of(const struct tundish_lane *l)
{
	uint32_t h = mix(2166136261u, &l->host, sizeof(l->host));

	if (l->flags & TUNDISH_LANE_SOURCE)
		h = mix(h, &l->source, sizeof(l->source));
	h = mix(h, &l->port_be, sizeof(l->port_be));
	return mix(h, &l->protocol, sizeof(l->protocol));
}

static bool same_lane(const struct tundish_lane *a, const struct tundish_lane *b)
{
	bool source = a->flags & TUNDISH_LANE_SOURCE;

	return source == !!(b->flags & TUNDISH_LANE_SOURCE) && a->port_be == b->port_be &&
	       a->protocol == b->protocol && tundish_addr_equal(&a->host, &b->host) &&
	       (!source || tundish_addr_equal(&a->source, &b->source));
}

/* The lane of that identity, or where it would be entered. */
static uint32_t *slot_of(struct lane_work *w, const struct tundish_lane *l)
{
	uint32_t i = hash_of(l) & w->mask;

	while (w->table[i] && !same_lane(&w->t->lanes[w->table[i] - 1].l.value, l))
		i = (i + 1) & w->mask;
	return &w->table[i];
}

static bool is_own(const struct td_plan_host *h, const struct tundish_addr *a)
{
	for (size_t i = 0; i < h->n_own; i++)
		if (tundish_addr_equal(&h->own[i], a))
			return true;
	return false;
}

static const struct tundish_addr *source_towards(const struct td_plan_host *h,
						 const struct tundish_addr *a)
{
	for (size_t i = 0; i < h->n_towards; i++)
		if (tundish_addr_equal(&h->towards[i].host, a))
			return h->towards[i].has_source ? &h->towards[i].source : NULL;
	return NULL;
}

/* The lane's id, or 0 where the table is full. */
static uint32_t want_lane(struct lane_work *w, const struct lane_wish *wish)
{
	struct tundish_lane v = {
		.host = *wish->host,
		.port_be = htons(wish->port),
		.protocol = wish->service->protocol,
		.stride = 1,
	};
	struct td_target_lane *l;
	uint32_t *slot;
	uint8_t flags;

	if (wish->source) {
		v.source = *wish->source;
		v.flags = TUNDISH_LANE_SOURCE;
	}
	slot = slot_of(w, &v);
	if (!*slot) {
		while (w->next < w->max && w->taken[w->next])
			w->next++;
		if (w->next >= w->max || w->t->n_lanes >= w->room)
			return 0;
		l = &w->t->lanes[w->t->n_lanes++];
		l->l = (struct td_lane_state){.id = w->next, .value = v};
		w->taken[w->next] = true;
		*slot = (uint32_t)w->t->n_lanes;
	}
	l = &w->t->lanes[*slot - 1];
	flags = v.flags | (wish->hairpin ? TUNDISH_LANE_HAIRPIN : 0);
	if (wish->source && is_own(w->host, wish->source))
		flags |= TUNDISH_LANE_SHARED;
	/* One that both kinds of clients use is not for hairpins alone. */
	l->flags = l->wanted ? l->flags & (flags | ~TUNDISH_LANE_HAIRPIN) : flags;
	if (wish->ranged && (!l->wanted || !l->ranged)) {
		l->l.ports = wish->service->nat.source_ports;
		l->ranged = true;
	}
	l->wanted = true;
	return l->l.id;
}

static void settle_lane(struct td_target_lane *l)
{
	struct tundish_lane *v = &l->l.value;
	uint8_t former = v->flags;
	const uint8_t kept = TUNDISH_LANE_RESERVED;

	if (!l->wanted) {
		if (former & TUNDISH_LANE_GONE)
			return;
		v->flags |= TUNDISH_LANE_GONE;
		l->change = TD_CHANGE_GONE;
		snprintf(l->why, sizeof(l->why), "no backend uses it any more");
		return;
	}
	v->flags = l->flags | (former & kept);
	if (!v->number) {
		l->change = TD_CHANGE_PUT;
		snprintf(l->why, sizeof(l->why), "new in the file");
	} else if (former != v->flags) {
		l->change = TD_CHANGE_PUT;
		snprintf(l->why, sizeof(l->why), "%s",
			 former & TUNDISH_LANE_GONE ? "in the file again" : "used in another way");
	}
}

/* ---- hosts ------------------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
	return memcmp(&((const struct td_target_host *)a)->h.address,
		      &((const struct td_target_host *)b)->h.address, sizeof(struct tundish_addr));
}

static struct td_target_host *host_of(const struct td_target *t, const struct tundish_addr *a)
{
	struct td_target_host key = {.h.address = *a};

	return t->n_hosts ? bsearch(&key, t->hosts, t->n_hosts, sizeof(key), by_address) : NULL;
}

static void name_host(struct td_target *t, const struct tundish_addr *a, uint16_t flag)
{
	struct td_target_host *h = &t->hosts[t->n_hosts++];

	*h = (struct td_target_host){.h.address = *a, .flags = flag, .named = true};
}

/* All addresses that lanes name, also those of lanes that are going, once each. */
static int target_hosts(struct td_target *t, const struct td_state *installed,
			struct td_error *error)
{
	_cleanup_free_ bool *taken = calloc(TUNDISH_NAT_HOSTS_MAX, sizeof(*taken));
	size_t n = 0;
	uint32_t next = 1;

	t->hosts = calloc(installed->n_hosts + 2 * t->n_lanes + 1, sizeof(*t->hosts));
	if (!t->hosts || !taken)
		return -ENOMEM;
	for (size_t i = 0; i < installed->n_hosts; i++) {
		t->hosts[t->n_hosts++] =
			(struct td_target_host){.h = installed->hosts[i],
						.installed_flags = installed->hosts[i].value.flags,
						.installed = true};
	}
	for (size_t i = 0; i < t->n_lanes; i++) {
		const struct tundish_lane *l = &t->lanes[i].l.value;

		name_host(t, &l->host, TUNDISH_NAT_HOST_BACKEND);
		/* What the lane's connections were hashed with. */
		t->hosts[t->n_hosts - 1].h.value.number = l->number;
		if (l->flags & TUNDISH_LANE_SOURCE)
			name_host(t, &l->source, TUNDISH_NAT_HOST_SOURCE);
	}
	if (t->n_hosts)
		qsort(t->hosts, t->n_hosts, sizeof(*t->hosts), by_address);
	for (size_t i = 0; i < t->n_hosts; i++) {
		struct td_target_host *h = &t->hosts[i], *to = n ? &t->hosts[n - 1] : NULL;

		if (!to || !tundish_addr_equal(&to->h.address, &h->h.address)) {
			t->hosts[n++] = *h;
			continue;
		}
		to->flags |= h->flags;
		to->named |= h->named;
		if (h->installed) {
			to->installed = true;
			to->installed_flags = h->installed_flags;
		}
		if (!to->h.value.number || h->installed)
			to->h.value.number = h->h.value.number ?: to->h.value.number;
	}
	t->n_hosts = n;
	for (size_t i = 0; i < n; i++)
		taken[t->hosts[i].h.value.number % TUNDISH_NAT_HOSTS_MAX] = true;
	for (size_t i = 0; i < n; i++) {
		struct td_target_host *h = &t->hosts[i];

		h->h.value.flags = h->flags;
		if (!h->named) {
			h->change = TD_CHANGE_GONE;
			continue;
		}
		while (!h->h.value.number && next < TUNDISH_NAT_HOSTS_MAX && taken[next])
			next++;
		if (!h->h.value.number && next >= TUNDISH_NAT_HOSTS_MAX)
			return td_fail(error, ENOSPC,
				       "the services of deliveries nat and fullnat have more than "
				       "%u addresses of backends and sources together; use fewer",
				       TUNDISH_NAT_HOSTS_MAX - 1);
		if (!h->h.value.number) {
			taken[next] = true;
			h->h.value.number = (uint16_t)next;
		}
		if (!h->installed || h->installed_flags != h->h.value.flags)
			h->change = TD_CHANGE_PUT;
	}
	return 0;
}

/* ---- fans -------------------------------------------------------------------------- */

/* The service's ports, where each has lanes of its own; else 0: one for all. */
static uint8_t ports_of(const struct td_service_conf *s, const struct td_backend_conf *b,
			size_t lanes, __be16 ret[TUNDISH_FAN_PORTS])
{
	uint8_t n = 0;

	if (b->port || s->n_ports > TUNDISH_FAN_PORTS || s->n_ports * lanes > TUNDISH_FAN_LANES)
		return 0;
	for (size_t i = 0; i < s->n_ports; i++) {
		if (s->ports[i].first != s->ports[i].last)
			return 0;
		ret[n++] = htons(s->ports[i].first);
	}
	return n;
}

static int no_place(struct lane_work *w, const struct td_service_conf *s, struct td_error *error)
{
	uint32_t leaving = 0;

	for (size_t i = 0; i < w->t->n_lanes; i++)
		leaving += !!(w->t->lanes[i].l.value.flags & TUNDISH_LANE_GONE);
	return td_fail(
		error, ENOSPC,
		"no place for the (source, server, port) tuples of service \"%s\" in a table "
		"of %u, %u of them held by tuples whose connections have not ended: raise "
		"limits.lanes, then `tundish unload` and start again",
		s->name, w->max ? w->max - 1 : 0, leaving);
}

/* One lane of a fan; a source of the other family leaves its place empty. */
static int put_lane(struct lane_work *w, struct tundish_fan *f, uint32_t at,
		    const struct lane_wish *wish, struct td_error *error)
{
	if (wish->source && tundish_addr_is_v4(wish->source) != tundish_addr_is_v4(wish->host))
		return 0;
	f->lane[at] = want_lane(w, wish);
	return f->lane[at] ? 0 : no_place(w, wish->service, error);
}

static int make_fan(struct lane_work *w, const struct td_service_conf *s,
		    const struct td_backend_conf *b, struct tundish_fan *ret,
		    struct td_error *error)
{
	bool direct = s->delivery == TUNDISH_DELIVERY_NAT;
	size_t addresses = td_backend_addresses(b), sources = s->n_sources;
	const struct tundish_addr *host, *found = NULL;
	struct tundish_fan f = {.n_addresses = (uint8_t)addresses};
	uint32_t at = 0;
	size_t n_ports;
	int r = 0;

	/* Without a pool a hairpin's source is the address that this host itself would use. */
	for (size_t a = 0; direct && !sources && !found && a < addresses; a++)
		found = source_towards(w->host, td_backend_address(b, a));
	f.n_sources = (uint8_t)(sources ? sources : found != NULL);
	f.n_ports = ports_of(s, b, addresses * (f.n_sources + direct), f.port_be);
	f.time_wait = TUNDISH_NAT_TICKS(s->nat.time_wait_ms / 1000); /* at least so long */
	f.flags = (s->nat.early_reuse ? TUNDISH_FAN_EARLY : 0) | (direct ? TUNDISH_FAN_DIRECT : 0);
	n_ports = f.n_ports ?: 1;
	for (int hairpin = !direct; hairpin <= 1; hairpin++)
		for (size_t p = 0; p < n_ports; p++)
			for (size_t a = 0; a < addresses; a++)
				for (size_t k = 0; !r && k < (hairpin ? f.n_sources : 1u); k++) {
					struct lane_wish wish = {
						.service = s,
						.port = f.n_ports ? ntohs(f.port_be[p]) : b->port,
						.hairpin = direct && hairpin,
						.ranged = sources != 0,
					};

					host = td_backend_address(b, a);
					wish.host = host;
					if (hairpin && sources)
						wish.source = &s->sources[k].address;
					else if (hairpin)
						wish.source = source_towards(w->host, host);
					if (hairpin && !wish.source)
						at++; /* no route to this one now */
					else
						r = put_lane(w, &f, at++, &wish, error);
				}
	if (r == 0)
		*ret = f;
	return r;
}

static int by_fan_id(const void *a, const void *b)
{
	uint32_t x = ((const struct td_fan_state *)a)->id;
	uint32_t y = ((const struct td_fan_state *)b)->id;

	return (x > y) - (x < y);
}

static int add_fan(struct lane_work *w, const struct td_state *installed,
		   const struct td_target_backend *b, struct td_error *error)
{
	struct td_fan_state key = {.id = b->b.id}, *former;
	struct td_target_fan *f = &w->t->fans[w->t->n_fans];
	bool wanted = b->wanted && td_translates(b->b.value.delivery) && b->conf;
	int r = 0;

	former = installed->n_fans
			 ? bsearch(&key, installed->fans, installed->n_fans, sizeof(key), by_fan_id)
			 : NULL;
	if (!wanted && !former)
		return 0;
	f->f.id = b->b.id;
	if (wanted) {
		r = make_fan(w, b->service_conf, b->conf, &f->f.value, error);
	} else { /* what its connections still need */
		f->f.value.time_wait = former->value.time_wait;
		f->f.value.flags = former->value.flags & TUNDISH_FAN_EARLY;
	}
	if (!former || memcmp(&former->value, &f->f.value, sizeof(f->f.value))) {
		f->change = wanted ? TD_CHANGE_PUT : TD_CHANGE_GONE;
		snprintf(f->why, sizeof(f->why), "%s",
			 !wanted   ? "it gets no new connections"
			 : !former ? "new in the file"
				   : "other addresses, sources or ports in the file");
	}
	w->t->n_fans++;
	return r;
}

/* Those of backends that are no more: a daemon died between the two. */
static void drop_stale_fans(struct td_target *t, const struct td_state *installed)
{
	size_t i = 0, n = t->n_fans;

	for (size_t k = 0; k < installed->n_fans; k++) {
		struct td_target_fan *f;

		while (i < n && t->fans[i].f.id < installed->fans[k].id)
			i++;
		if (i < n && t->fans[i].f.id == installed->fans[k].id)
			continue;
		f = &t->fans[t->n_fans++];
		f->f.id = installed->fans[k].id;
		f->change = TD_CHANGE_GONE;
		snprintf(f->why, sizeof(f->why), "its backend is no more");
	}
}

/* ---- all ---------------------------------------------------------------------------- */

static int by_lane_id(const void *a, const void *b)
{
	uint32_t x = ((const struct td_target_lane *)a)->l.id;
	uint32_t y = ((const struct td_target_lane *)b)->l.id;

	return (x > y) - (x < y);
}

static int by_target_fan(const void *a, const void *b)
{
	return by_fan_id(&((const struct td_target_fan *)a)->f,
			 &((const struct td_target_fan *)b)->f);
}

static size_t lanes_wanted(const struct td_target *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_backends; i++)
		n += t->backends[i].wanted && td_translates(t->backends[i].b.value.delivery)
			     ? TUNDISH_FAN_LANES
			     : 0;
	return n;
}

static int prepare(struct lane_work *w, const struct td_state *installed)
{
	struct td_target *t = w->t;
	uint64_t room = TD_MIN((uint64_t)installed->n_lanes + lanes_wanted(t),
			       (uint64_t)installed->n_lanes + w->max);

	w->room = (size_t)room;
	for (w->mask = 15; w->mask < 2 * room; w->mask = 2 * w->mask + 1)
		;
	w->table = calloc((size_t)w->mask + 1, sizeof(*w->table));
	w->taken = calloc((size_t)w->max + 1, sizeof(*w->taken));
	t->lanes = calloc(w->room + 1, sizeof(*t->lanes));
	t->fans = calloc(t->n_backends + installed->n_fans + 1, sizeof(*t->fans));
	if (!w->table || !w->taken || !t->lanes || !t->fans)
		return -ENOMEM;
	for (size_t i = 0; i < installed->n_lanes; i++) {
		const struct td_lane_state *in = &installed->lanes[i];
		uint32_t *slot;

		if (!in->id || in->id >= w->max)
			continue;
		t->lanes[t->n_lanes++].l = *in;
		w->taken[in->id] = true;
		slot = slot_of(w, &in->value);
		if (!*slot)
			*slot = (uint32_t)t->n_lanes;
	}
	return 0;
}

int td_target_lanes(struct td_target *t, const struct td_state *installed,
		    const struct td_plan_host *host, const struct tundish_settings *limits,
		    struct td_error *error)
{
	struct lane_work w = {.t = t, .host = host, .max = limits->lanes_max, .next = 1};
	int r = prepare(&w, installed);

	for (size_t i = 0; i < t->n_backends && !r; i++)
		r = add_fan(&w, installed, &t->backends[i], error);
	free(w.table);
	free(w.taken);
	if (r < 0)
		return r;
	drop_stale_fans(t, installed);
	for (size_t i = 0; i < t->n_lanes; i++)
		settle_lane(&t->lanes[i]);
	r = target_hosts(t, installed, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < t->n_lanes; i++) {
		struct tundish_lane *l = &t->lanes[i].l.value;

		if (!l->number)
			l->number = host_of(t, &l->host)->h.value.number;
	}
	if (t->n_lanes)
		qsort(t->lanes, t->n_lanes, sizeof(*t->lanes), by_lane_id);
	if (t->n_fans)
		qsort(t->fans, t->n_fans, sizeof(*t->fans), by_target_fan);
	return 0;
}
