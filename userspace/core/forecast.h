/* SPDX-License-Identifier: GPL-2.0-only */
/* How one tuple goes on from now. Private to budget.c. */
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

/* TIME_WAITs that are there after `t` more seconds: of those that the last scan found, and of
 * those that began since. */
double td_course_old_left(const struct td_course *c, double t);
double td_course_new_left(const struct td_course *c, double t);

/* Seconds until all of `limit` is taken; INFINITY: not at this rate. */
double td_course_reaches(const struct td_course *c, double limit);

/* From what the last looks have seen. */
void td_course_set_rates(struct td_course *c, const struct td_budget *b);

#endif
