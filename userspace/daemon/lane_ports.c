// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source ports of lanes, as those of this host are: each lane with ports is a tuple,
 * remembered from pass to pass of the sweep, and told of when it comes above one half, when
 * it will be full soon, and when a connection got no port. Figures are read out of the
 * mapped lanes at each request, so they need no scan, and stand without `ports: {watch}`.
 */
#include <math.h>

#include "core/address.h"
#include "daemon/nat.h"

#define EVENTS_AT_ONCE 16
#define TOLD_AGAIN_NS  (60 * TD_NS_PER_S) /* of one lane's refusals */

/* ---- who has them ---------------------------------------------------------------------- */

static void note_use(struct td_lane_use *u, const struct tundish_backend *b,
		     const struct tundish_fan *f)
{
	uint32_t time_wait_s =
		(uint32_t)(((uint64_t)f->time_wait << TUNDISH_TICK_SHIFT) / TD_NS_PER_S);

	u->shared |= u->service && u->service != b->service;
	if (!u->service)
		u->service = b->service;
	u->early |= f->flags & TUNDISH_FAN_EARLY;
	u->time_wait_s = (uint16_t)TD_MAX(u->time_wait_s, TD_MIN(time_wait_s, UINT16_MAX));
}

void td_lane_uses_read(struct td_daemon *d)
{
	const struct tundish_backend *b = td_kernel_backends(d->kernel);
	const struct tundish_fan *fans = td_kernel_fans(d->kernel);
	struct td_lane_use *uses = d->nat->uses;

	memset(uses, 0, d->settings.lanes_max * sizeof(*uses));
	for (uint32_t id = 1; id < d->settings.backends_max; id++) {
		if (b[id].state == TUNDISH_BACKEND_FREE ||
		    (b[id].delivery != TUNDISH_DELIVERY_NAT &&
		     b[id].delivery != TUNDISH_DELIVERY_FULLNAT))
			continue;
		for (uint32_t i = 0; i < TUNDISH_FAN_LANES; i++)
			if (fans[id].lane[i] && fans[id].lane[i] < d->settings.lanes_max)
				note_use(&uses[fans[id].lane[i]], &b[id], &fans[id]);
	}
}

const char *td_lane_service(const struct td_daemon *d, const struct td_state *s, uint32_t lane,
			    char *buffer, size_t size)
{
	const struct td_lane_use *u = lane < d->settings.lanes_max ? &d->nat->uses[lane] : NULL;

	if (!u || !u->service)
		return NULL;
	snprintf(buffer, size, "%.63s%s", td_service_name(s, u->service),
		 u->shared ? " and others" : "");
	return buffer;
}

/* ---- events ---------------------------------------------------------------------------- */

static void tell(struct td_daemon *d, const struct td_tuple *t, unsigned int changes)
{
	const struct td_picture *i = &t->picture;
	char object[TD_TUPLE_TEXT];

	td_tuple_text(&t->key, object);
	if (changes & TD_BUDGET_OVER_HALF)
		td_event(d, "ports-half", object,
			 "%u of %u NAT source ports are used, %u of them at rest; " TD_LANE_REMEDY,
			 i->used, i->usable, i->reusable);
	if (changes & TD_BUDGET_UNDER_HALF)
		td_event(d, "ports-half-over", object, "%u of %u NAT source ports are used",
			 i->used, i->usable);
	if (changes & TD_BUDGET_SOON && i->exhaustion_s <= 0)
		td_event(
			d, "ports-exhausting", object,
			"all %u NAT source ports are used: new connections are refused; " TD_LANE_REMEDY,
			i->usable);
	else if (changes & TD_BUDGET_SOON)
		td_event(d, "ports-exhausting", object,
			 "%u of %u NAT source ports are used; at %.0f more a second there is none "
			 "left in %.0f s; " TD_LANE_REMEDY,
			 i->used, i->usable, i->opening_rate, ceil(i->exhaustion_s));
	if (changes & TD_BUDGET_NOT_SOON)
		td_event(d, "ports-exhausting-over", object,
			 "%u of %u NAT source ports are used, and it is not filling", i->used,
			 i->usable);
}

static void tell_refused(struct td_daemon *d, struct td_tuple *t, uint64_t refused)
{
	char object[TD_TUPLE_TEXT];

	td_event(
		d, "ports-refused", td_tuple_text(&t->key, object),
		"%llu new connections got none of its NAT source ports: %u of %u are used; " TD_LANE_REMEDY,
		(unsigned long long)refused, t->picture.used, t->picture.usable);
}

/* ---- reading ------------------------------------------------------------------------------ */

static bool has_ports(const struct tundish_lane *l)
{
	return l->number && l->ports && l->flags & TUNDISH_LANE_SOURCE;
}

/* @since: when all was zero, of a lane that has no row yet; 0: not known what was. */
static struct td_tuple *take_lane(struct td_daemon *d, uint32_t lane, uint64_t since,
				  struct td_lane *ret)
{
	const struct tundish_lane *l = &td_kernel_lanes(d->kernel)[lane];
	struct td_nat *n = d->nat;
	struct td_tuple *t;
	size_t known;

	td_lane_read(l, ret);
	if (!ret->used && !ret->opened && !ret->refused)
		return NULL;
	ret->counts = *td_nat_sweep_lane(n->sweep, lane);
	ret->early = n->uses[lane].early;
	ret->time_wait_s = n->uses[lane].time_wait_s ?: TD_TIME_WAIT_S;
	known = n->rows.n;
	t = td_tuples_take(&n->rows, &ret->key);
	if (!t)
		return NULL;
	if (n->rows.n > known) {
		t->budget.look_ns = since;
		t->refused = since ? 0 : ret->refused;
		t->failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL] = t->refused;
	}
	t->lane = lane;
	t->early = __atomic_load_n(&l->early, __ATOMIC_RELAXED);
	t->seen = n->reading;
	return t;
}

static void forget_missing(struct td_nat *n)
{
	for (size_t i = 0; i < n->rows.n;)
		if (n->rows.row[i].seen == n->reading) {
			i++;
		} else {
			n->refused_before +=
				n->rows.row[i].value.failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL];
			n->early_before += n->rows.row[i].early;
			td_tuples_remove(&n->rows, i);
		}
}

int td_lane_ports_read(struct td_daemon *d, bool after_pass)
{
	struct td_nat *n = d->nat;
	uint64_t passes = 0, now = td_now_ns(), since = after_pass ? n->former_ns : n->pass_ns;
	size_t told = 0;
	int r = 0;

	if (!td_nat_is_on(d))
		return 0;
	if (!n->rows.place)
		r = td_tuples_new(&n->rows, d->settings.lanes_max, &d->settings.secret);
	if (r < 0)
		return r;
	td_nat_sweep_counts(n->sweep, &passes);
	td_lane_uses_read(d);
	n->reading++;
	for (uint32_t i = 1; i < d->settings.lanes_max; i++) {
		struct td_lane lane;
		struct td_tuple *t;
		unsigned int changes;

		if (!has_ports(&td_kernel_lanes(d->kernel)[i]))
			continue;
		t = take_lane(d, i, since, &lane);
		if (!t)
			continue;
		td_lane_ports(&lane, passes, &t->value);
		if (after_pass) {
			td_budget_scanned(&t->budget, &t->value, passes, now);
			td_budget_look(&t->budget, &t->value, now);
		}
		td_lane_picture(&t->budget, &lane, &t->value, now, &t->picture);
		if (!after_pass)
			continue;
		changes = td_budget_changes(&t->budget, &t->picture,
					    (double)(n->pass_ns - n->former_ns) / TD_NS_PER_S);
		if (changes && told++ < EVENTS_AT_ONCE)
			tell(d, t, changes);
	}
	forget_missing(n);
	if (told > EVENTS_AT_ONCE)
		td_event(d, "ports-half", "NAT source ports",
			 "and %zu more tuples; see `tundish port list`", told - EVENTS_AT_ONCE);
	return 0;
}

void td_lane_ports_watch(struct td_daemon *d)
{
	const struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	struct td_nat *n = d->nat;
	uint64_t now = td_now_ns();
	bool any = false;
	size_t told = 0;

	for (uint32_t i = 1; i < d->settings.lanes_max && !any; i++)
		any = has_ports(&lanes[i]) && __atomic_load_n(&lanes[i].refused, __ATOMIC_RELAXED);
	if (!any || td_lane_ports_read(d, false) < 0)
		return;
	for (size_t i = 0; i < n->rows.n; i++) {
		struct td_tuple *t = &n->rows.row[i];
		uint64_t *known = &t->failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL];
		uint64_t refused = t->value.failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL];

		if (refused > t->refused)
			t->failed_ns = now;
		t->refused = refused;
		/* What is not told now is told the next second. */
		if (refused <= *known || (t->told_ns && now - t->told_ns < TOLD_AGAIN_NS) ||
		    told++ >= EVENTS_AT_ONCE)
			continue;
		tell_refused(d, t, refused - *known);
		t->told_ns = now;
		*known = refused;
	}
}

void td_lane_ports_done(struct td_nat *n)
{
	n->reading++;
	forget_missing(n);
	td_tuples_done(&n->rows);
}

void td_lanes_count(struct td_daemon *d, uint32_t *ret_used, const struct td_tuple **ret_fullest)
{
	const struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	const struct td_tuple *fullest = NULL;
	uint32_t used = 0;

	for (uint32_t i = 1; i < d->settings.lanes_max; i++)
		used += lanes[i].number != 0;
	td_lane_ports_read(d, false);
	for (size_t i = 0; i < d->nat->rows.n; i++) {
		const struct td_tuple *t = &d->nat->rows.row[i];

		if (t->picture.used &&
		    (!fullest || t->picture.utilization > fullest->picture.utilization))
			fullest = t;
	}
	*ret_used = used;
	*ret_fullest = fullest;
}
