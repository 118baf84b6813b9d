/* SPDX-License-Identifier: GPL-2.0-only */
/* How one tuple goes on from now. Private to budget.c and lane_budget.c. */
#ifndef TD_CORE_FORECAST_H
#define TD_CORE_FORECAST_H

#include "core/budget.h"

/* A tuple from now on. */
struct td_course {
	double held;
	double old_tw[TUNDISH_LEAVING_STEPS]; /* found by the scan, not ended */
	double scan_age;
	double new_tw;		       /* begun since the scan, evenly */
	double rest;		       /* how long a TIME_WAIT keeps its port */
	double opened, entered, freed; /* per second */
	double slope;		       /* of `held` */
};

/* From what the last looks have seen. */
void td_course_set_rates(struct td_course *c, const struct td_budget *b);

#define TD_NO_REUSE (-1.0)

/*
 * All but `held`, from the last scan and what has happened since. @rest: how long a TIME_WAIT
 * lasts. @reuse_delay: from which age on a new connection takes its port, seconds.
 */
void td_course_begin(struct td_course *c, const struct td_budget *b, const struct tundish_ports *p,
		     double rest, double reuse_delay, uint64_t now_ns);

/* By state, TIME_WAIT apart: those that came or went since the scan are taken as established,
 * and what that cannot give is taken from the others in turn. */
void td_budget_move_states(const struct td_budget *b, int64_t change, struct td_picture *ret);

static inline double td_later(uint64_t now_ns, uint64_t before_ns)
{
	return now_ns > before_ns ? (double)(now_ns - before_ns) / 1e9 : 0;
}

static inline uint32_t td_less(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

/* TIME_WAITs that are there after `t` more seconds: of those that the last scan found, and of
 * those that began since. */
double td_course_old_left(const struct td_course *c, double t);
double td_course_new_left(const struct td_course *c, double t);

/* Seconds until all of `limit` is taken; INFINITY: not at this rate. */
double td_course_reaches(const struct td_course *c, double limit);

#endif
