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

/* The first time at which all of `limit` is taken. What happens within a minute is
 * looked at second by second, since it need not be a straight line; from then on as many
 * TIME_WAITs end as begin. */
double td_course_reaches(const struct td_course *c, double limit)
{
	double start = total_at(c, 0), before = start, now, t;

	if (start >= limit)
		return 0;
	/* Most tuples are far from it, and there may be a hundred thousand. */
	now = start + (fmax(c->slope, 0) + c->entered) * TD_TIME_WAIT_S;
	if (c->slope <= 0 && now < limit)
		return INFINITY;
	for (t = 1; now >= limit && t <= TD_TIME_WAIT_S; t++) {
		double then = total_at(c, t);

		if (then >= limit)
			return t - 1 + (limit - before) / (then - before);
		before = then;
	}
	if (c->slope <= 0)
		return INFINITY;
	t = TD_TIME_WAIT_S + (limit - total_at(c, TD_TIME_WAIT_S)) / c->slope;
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
