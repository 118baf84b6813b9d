// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sweep of translated connections (core/nat_sweep.h), on the same timer and at the same
 * pace as that of flows, while there are lanes. And what follows from a complete pass: lanes
 * that nobody has any more are freed, and ways back to clients that no connection names.
 *
 * Such a way is forgotten in two steps, if it is older than the pass. One that has met no
 * connection with it may have missed one that was made behind it, so first it is taken out of
 * `return_ids`: none is made with it from then on. The whole pass after that meets whoever
 * has it.
 */
#include "daemon/nat.h"

#define TICKS_PER_SECOND 20u

static void tuple_sub(void *context, const struct tundish_addr *client, uint32_t vip, __be16 port,
		      uint32_t tick)
{
	struct td_sweep_tables t;

	td_sweep_tables_of(context, &t);
	td_sweep_tuple_sub(&t, client, vip, port, tick);
}

void td_nat_tables_of(struct td_daemon *d, struct td_nat_tables *ret)
{
	const struct tundish_settings *s = td_kernel_settings(d->kernel);
	struct tundish_nat_bucket *tags = td_kernel_nat_tags(d->kernel);

	*ret = (struct td_nat_tables){
		.nat = td_kernel_nat(d->kernel),
		.out = tags,
		.back = tags + s->nat_buckets,
		.lanes = td_kernel_lanes(d->kernel),
		.lane_ports = td_kernel_lane_ports(d->kernel),
		.fans = td_kernel_fans(d->kernel),
		.backends = td_kernel_backends(d->kernel),
		.settings = *td_kernel_nat_settings(d->kernel),
		.lanes_max = s->lanes_max,
		.lane_ports_max = s->lanes_max,
		.backends_max = s->backends_max,
		.services_max = s->services_max,
		.tuple_sub = tuple_sub,
		.reserved = td_lane_reserved,
		.context = d,
	};
}

/* ---- ways back ------------------------------------------------------------------------ */

/* Made since the pass began, or a moment before. */
static bool is_young(const struct td_nat *n, const struct tundish_return *r)
{
	uint64_t age = (uint64_t)tundish_nat_age(tundish_tick(n->pass_ns), r->seen)
		       << TUNDISH_TICK_SHIFT;

	return age <= n->pass_ns - n->former_ns + (2ull << TUNDISH_TICK_SHIFT);
}

static void free_returns(struct td_daemon *d)
{
	struct tundish_return *all = td_kernel_returns(d->kernel);
	struct td_nat *n = d->nat;

	n->ways = 0;
	for (uint32_t i = 1; i < TUNDISH_NAT_HOPS; i++) {
		struct tundish_return *r = &all[i];

		n->ways += __atomic_load_n(&r->state, __ATOMIC_RELAXED) != TUNDISH_RETURN_FREE;
		if (__atomic_load_n(&r->state, __ATOMIC_ACQUIRE) != TUNDISH_RETURN_VALID ||
		    td_nat_sweep_hop(n->sweep, i) || !n->former_ns || is_young(n, r)) {
			n->unnamed[i] = 0;
			continue;
		}
		if (++n->unnamed[i] < 2) {
			td_kernel_forget_return(d->kernel, &r->key, i);
			continue;
		}
		n->unnamed[i] = 0;
		__atomic_store_n(&r->state, TUNDISH_RETURN_FREE, __ATOMIC_RELEASE);
	}
}

/* ---- the pass --------------------------------------------------------------------------- */

/* What the audit had to put right: a daemon that died while it ended a connection. */
static void tell_repairs(struct td_daemon *d)
{
	const struct td_nat_counts *c = td_nat_sweep_counts(d->nat->sweep, NULL);

	if (c->tags | c->ports | c->counts)
		td_event(d, "nat-audit", "translated connections",
			 "%llu places and %llu source ports that nobody had are free again, %llu "
			 "counts are put right: a daemon died while it ended connections",
			 (unsigned long long)c->tags, (unsigned long long)c->ports,
			 (unsigned long long)c->counts);
}

static void pass_ended(struct td_daemon *d)
{
	struct td_nat *n = d->nat;

	n->former_ns = n->pass_ns;
	n->pass_ns = td_now_ns();
	tell_repairs(d);
	free_returns(d);
	td_nat_nics_look(d);
	td_lane_ports_read(d, true);
	td_lanes_swept(d);
}

bool td_nat_backend_may_go(struct td_daemon *d, uint32_t backend)
{
	struct td_nat_tables t;

	if (!td_nat_is_on(d))
		return true;
	td_nat_tables_of(d, &t);
	return td_nat_sweep_gone(d->nat->sweep, &t, backend);
}

static bool slice(void *context, uint64_t now_ns, uint32_t buckets)
{
	struct td_daemon *d = context;
	struct td_nat_tables t;

	td_nat_tables_of(d, &t);
	return td_nat_sweep_slice(d->nat->sweep, &t, now_ns, buckets);
}

/* Lanes have hosts, and connections lanes. */
static bool turn_on_or_off(struct td_daemon *d)
{
	bool wanted = td_kernel_nat_settings(d->kernel)->n_hosts > 0;
	struct td_nat *n = d->nat;
	struct td_nat_tables t;

	if (wanted && !n->sweep) {
		td_nat_tables_of(d, &t);
		n->sweep = td_nat_sweep_new(&t);
		n->pace = (struct td_pace){0};
		n->pass_ns = n->former_ns = 0;
	} else if (!wanted && n->sweep) {
		n->sweep = td_nat_sweep_free(n->sweep);
		td_lane_ports_done(n);
	}
	return n->sweep;
}

void td_nat_tick(struct td_daemon *d)
{
	struct td_nat *n = d->nat;
	struct td_nat_tables t;

	if (!turn_on_or_off(d))
		return;
	td_nat_tables_of(d, &t);
	if (td_pace_run(&n->pace, td_nat_sweep_slices(&t, TD_SWEEP_BUCKETS), slice, d))
		pass_ended(d);
	n->ticks++;
	if (n->ticks % TICKS_PER_SECOND == 0) {
		td_lane_ports_watch(d);
		td_passives_look(d);
	}
	if (n->ticks % (TD_ANSWERS_LOOK_S * TICKS_PER_SECOND) == 0)
		td_nat_answers_look(d);
}

int td_nat_new(struct td_daemon *d)
{
	d->nat = calloc(1, sizeof(*d->nat));
	if (!d->nat)
		return -ENOMEM;
	d->nat->uses = calloc(d->settings.lanes_max, sizeof(*d->nat->uses));
	d->nat->answers = calloc(d->settings.backends_max, sizeof(*d->nat->answers));
	d->nat->missed = calloc(d->settings.backends_max, sizeof(*d->nat->missed));
	return d->nat->uses && d->nat->answers && d->nat->missed ? 0 : -ENOMEM;
}

void td_nat_free(struct td_daemon *d)
{
	struct td_nat *n = d->nat;

	if (!n)
		return;
	td_nat_sweep_free(n->sweep);
	td_lane_ports_done(n);
	free(n->uses);
	free(n->answers);
	free(n->missed);
	free(n->missing);
	free(n);
	d->nat = NULL;
}
