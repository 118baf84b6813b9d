// SPDX-License-Identifier: GPL-2.0-only
/*
 * Of a lane's ports the data path knows how many are used, and how many of these are marked
 * as perhaps to be had (`yielding`): half-open ones, and those at rest. What is left has a
 * connection that lives. So of the pass only this is taken: how many are half open, how many
 * are at rest, and when TIME_WAITs end.
 *
 * A port at rest is given again without any event that says so, and rests end when the sweep
 * comes by. So the rate at which connections end is reckoned from those that begin and those
 * that live, which are both exact.
 */
#include <math.h>

#include "core/forecast.h"
#include "core/lane_budget.h"

#define EARLY_S 1.0 /* TUNDISH_NAT_YIELD_REST */

static uint64_t load(const __u64 *n)
{
	return __atomic_load_n(n, __ATOMIC_RELAXED);
}

static uint32_t load32(const __u32 *n)
{
	return __atomic_load_n(n, __ATOMIC_RELAXED);
}

void td_lane_read(const struct tundish_lane *l, struct td_lane *ret)
{
	*ret = (struct td_lane){
		.key = {.local = l->source,
			.remote = l->host,
			.remote_port_be = l->port_be,
			.space = TD_SPACE_NAT,
			.protocol = l->protocol},
		.usable = load32(&l->usable),
		.opened = load(&l->opened),
		.refused = load(&l->refused),
		.entered = load(&l->entered),
	};
	/* One that nobody gets ports from any more has none to give, but it is not full. */
	if (l->flags & TUNDISH_LANE_GONE)
		ret->usable = TD_MAX(ret->usable, l->last + 1u - l->first);
	/* Whoever looks for a port counts for a moment although there is none. */
	ret->used = TD_MIN(load32(&l->used), ret->usable);
	ret->yielding = TD_MIN(load32(&l->yielding), ret->used);
	for (size_t i = 0; i < TUNDISH_TW_SLOTS; i++)
		ret->tw[i] = load(&l->tw[i]);
}

/* ---- as an entry of `ports` --------------------------------------------------------------- */

static uint32_t half_open(const struct td_nat_lane_counts *c)
{
	return c->state[TUNDISH_NAT_SYN_SENT] + c->state[TUNDISH_NAT_SYN_RECEIVED] +
	       c->state[TUNDISH_NAT_UDP_NEW];
}

static uint32_t at_rest(const struct td_nat_lane_counts *c)
{
	return c->state[TUNDISH_NAT_RESTING] + c->state[TUNDISH_NAT_RESET_SERVER] +
	       c->state[TUNDISH_NAT_RESET_CLIENT];
}

static void count_states(const struct td_nat_lane_counts *c, struct tundish_port_count *ret)
{
	uint32_t before = 0;

	ret->state[TUNDISH_PORT_opening] = half_open(c);
	ret->state[TUNDISH_PORT_established] =
		c->state[TUNDISH_NAT_ESTABLISHED] + c->state[TUNDISH_NAT_UDP_LIVE];
	ret->state[TUNDISH_PORT_close_wait] = c->state[TUNDISH_NAT_FIN_SERVER];
	ret->state[TUNDISH_PORT_closing] =
		c->state[TUNDISH_NAT_FIN_CLIENT] + c->state[TUNDISH_NAT_CLOSING] + at_rest(c);
	ret->state[TUNDISH_PORT_time_wait] = c->state[TUNDISH_NAT_TIME_WAIT];
	for (size_t i = 0; i < TUNDISH_LEAVING_STEPS; i++)
		ret->leaving[i] = before += c->leaving[i];
}

void td_lane_ports(const struct td_lane *l, uint64_t pass, struct tundish_ports *p)
{
	uint32_t live = TD_MIN(l->used, l->used - l->yielding + half_open(&l->counts));
	uint64_t freed = l->opened - l->entered - live;

	/* What is half open was counted a moment ago, so `live` is not exact to one; but what has
	 * ended has. */
	freed = (int64_t)(freed - p->freed) > 0 ? freed : p->freed;
	*p = (struct tundish_ports){
		.held = (int64_t)(l->opened - l->entered - freed),
		.opened = l->opened,
		.entered = l->entered,
		.freed = freed,
		.failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL] = l->refused,
	};
	memcpy(p->tw, l->tw, sizeof(p->tw));
	p->counted[pass % 2].scan = pass;
	count_states(&l->counts, &p->counted[pass % 2]);
}

/* ---- the picture ---------------------------------------------------------------------------- */

/* Those that are over, but for TIME_WAIT: as many as the pass has found, if there are. */
static uint32_t resting(const struct td_lane *l, uint32_t time_wait)
{
	return TD_MIN(at_rest(&l->counts), l->yielding - time_wait);
}

void td_lane_picture(const struct td_budget *b, const struct td_lane *l,
		     const struct tundish_ports *p, uint64_t now_ns, struct td_picture *ret)
{
	int64_t counted = -(int64_t)b->count.state[TUNDISH_PORT_time_wait];
	struct td_course c = {0};
	uint32_t tw, rest, fresh;

	*ret = (struct td_picture){.used = l->used, .usable = l->usable};
	td_course_begin(&c, b, p, l->time_wait_s, TD_NO_REUSE, now_ns);
	tw = (uint32_t)lround(td_course_old_left(&c, 0) + td_course_new_left(&c, 0));
	tw = TD_MIN(tw, l->yielding);
	rest = resting(l, tw);
	for (size_t i = 0; i < TUNDISH_PORT_STATE_MAX; i++)
		counted += b->count.state[i];
	td_budget_move_states(b, (int64_t)(l->used - tw) - counted, ret);
	ret->state[TUNDISH_PORT_time_wait] = tw;
	if (l->early) {
		memset(c.old_tw, 0, sizeof(c.old_tw));
		c.new_tw = fmin(c.new_tw, c.entered * EARLY_S);
		c.rest = EARLY_S;
	}
	fresh = (uint32_t)lround(td_course_old_left(&c, 0) + td_course_new_left(&c, 0));
	ret->reusable = rest + td_less(tw, fresh);
	/* What the course knows as TIME_WAIT is not held beside. */
	c.held = td_less(l->used - ret->reusable, fresh);
	ret->utilization = l->usable ? (double)(l->used - ret->reusable) / l->usable : 1;
	ret->opening_rate = c.opened;
	ret->time_wait_rate = c.entered;
	ret->freed_rate = c.freed;
	ret->cliff_s = INFINITY;
	ret->exhaustion_s = td_course_reaches(&c, l->usable);
}
