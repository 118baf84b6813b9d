// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tuple's ports in t seconds: held(t) + TIME_WAIT(t). What is held changes by what opens
 * less what leaves, at the present rates; TIME_WAITs that are there end when they end, and as
 * many begin as leave that way, each for a minute. So for a minute it need not be a straight
 * line, and from then on TIME_WAIT is level: a steady churn is no fill, and one whose TIME_WAIT
 * is still growing is known for what it will be.
 */
#include <math.h>

#include "core/forecast.h"

/* Of those that the scan found, how many are there after `t` more seconds. */
double td_course_old_left(const struct td_course *c, double t)
{
	double left = 0;

	for (size_t i = 0; i < TUNDISH_LEAVING_STEPS; i++) {
		double end = (double)(i + 1) * TUNDISH_LEAVING_S;

		left += c->old_tw[i] *
			fmin(fmax((end - c->scan_age - t) / TUNDISH_LEAVING_S, 0), 1);
	}
	return left;
}

/* Those that began since, evenly over its age: the eldest ends `rest` after it. */
double td_course_new_left(const struct td_course *c, double t)
{
	if (c->scan_age <= 0)
		return 0;
	return c->new_tw * fmin(fmax((c->rest - t) / c->scan_age, 0), 1);
}

static double total_at(const struct td_course *c, double t)
{
	return c->held + c->slope * t + td_course_old_left(c, t) + td_course_new_left(c, t) +
	       c->entered * fmin(t, c->rest);
}

/* The first time at which all of `limit` is taken. What happens within a minute, or as long
 * as a TIME_WAIT lasts, is looked at second by second, since it need not be a straight line;
 * from then on as many TIME_WAITs end as begin. */
double td_course_reaches(const struct td_course *c, double limit)
{
	double start = total_at(c, 0), before = start, level = fmax(TD_TIME_WAIT_S, c->rest);
	double now, t;

	if (start >= limit)
		return 0;
	/* Most tuples are far from it, and there may be a hundred thousand. */
	now = start + (fmax(c->slope, 0) + c->entered) * level;
	if (c->slope <= 0 && now < limit)
		return INFINITY;
	for (t = 1; now >= limit && t <= level; t++) {
		double then = total_at(c, t);

		if (then >= limit)
			return t - 1 + (limit - before) / (then - before);
		before = then;
	}
	if (c->slope <= 0)
		return INFINITY;
	t = level + (limit - total_at(c, level)) / c->slope;
	return t <= TD_BUDGET_HORIZON_S ? t : INFINITY;
}

#define SURE 2.0 /* standard deviations */

void td_course_set_rates(struct td_course *c, const struct td_budget *b)
{
	double noise;

	if (b->seconds <= 0)
		return;
	c->opened = b->opened / b->seconds;
	c->entered = b->to_time_wait / b->seconds;
	c->freed = b->freed / b->seconds;
	c->slope = c->opened - c->entered - c->freed;
	/* Of a churn that stays where it is the difference is chance, and would fill any
	 * table in the long run. Without a churn there is no chance in it. */
	noise = SURE *
		sqrt((c->entered + c->freed + fmin(c->opened, c->entered + c->freed)) / b->seconds);
	if (fabs(c->slope) < noise)
		c->slope = 0;
}

void td_course_begin(struct td_course *c, const struct td_budget *b, const struct tundish_ports *p,
		     double rest, double reuse_delay, uint64_t now_ns)
{
	uint64_t entered = p->entered - b->entered;
	uint32_t known = b->count.leaving[TUNDISH_LEAVING_STEPS - 1], before = 0;
	uint32_t all = b->count.state[TUNDISH_PORT_time_wait];

	c->rest = rest;
	c->scan_age = b->scan ? td_later(now_ns, b->scan_ns) : 0;
	for (size_t i = 0; i < TUNDISH_LEAVING_STEPS; i++) {
		/* Within 10 s, within 20 s, ...: of each step what the one before has not. */
		c->old_tw[i] = known ? (double)all * td_less(b->count.leaving[i], before) / known
				     : (double)all / TUNDISH_LEAVING_STEPS;
		before = b->count.leaving[i];
	}
	if ((int64_t)entered < 0)
		entered = 0;
	/* Where scans are more than a minute apart some have ended. */
	c->new_tw = (double)TD_MIN(entered, tundish_tw_count(p, now_ns));
	if (!b->scan && c->new_tw > 0)
		c->scan_age = TD_TIME_WAIT_S; /* made after the last scan: not long ago */
	td_course_set_rates(c, b);
	if (reuse_delay >= 0) {
		/* What a new connection may take over is free; the others become so within a
		 * second. */
		double share = all ? (double)b->count.reusable / all : 0;

		for (size_t i = 0; i < TUNDISH_LEAVING_STEPS; i++)
			c->old_tw[i] *= 1 - share;
		if (share > 0.5) {
			c->new_tw = fmin(c->new_tw, c->entered * reuse_delay);
			c->rest = reuse_delay;
		}
	}
}

void td_budget_move_states(const struct td_budget *b, int64_t change, struct td_picture *ret)
{
	static const uint8_t order[] = {TUNDISH_PORT_established, TUNDISH_PORT_closing,
					TUNDISH_PORT_opening, TUNDISH_PORT_close_wait};

	memcpy(ret->state, b->count.state, sizeof(ret->state));
	if (change > 0)
		ret->state[TUNDISH_PORT_established] += (uint32_t)TD_MIN(change, 1 << 20);
	for (size_t i = 0; change < 0 && i < TD_ARRAY_SIZE(order); i++) {
		uint32_t take = (uint32_t)TD_MIN((int64_t)ret->state[order[i]], -change);

		ret->state[order[i]] -= take;
		change += take;
	}
}
