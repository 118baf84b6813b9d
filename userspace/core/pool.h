/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which of a service's backends take new connections, by what health says of each.
 *
 * The pool are those that may take some: told to be up, with a weight. Of these
 *   - the healthy ones that are no backups do;
 *   - unhealthy ones do not, but no more than `max_ejected` of them go: those that went
 *     first. The others stay in, for when so many fail at once it is mostly not they;
 *   - backups do where no other one is healthy;
 *   - where nobody at all is healthy, all do that are no backups (or, where there are none,
 *     the backups): to send connections nowhere would help nobody.
 *
 * Pure: no I/O, no clock, no log.
 */
#ifndef TD_CORE_POOL_H
#define TD_CORE_POOL_H

#include "lib/util.h"

enum td_pool_place {
	TD_POOL_IN,
	TD_POOL_SPARE,	    /* a healthy backup that is not needed */
	TD_POOL_OUT,	    /* ejected */
	TD_POOL_KEPT_LIMIT, /* unhealthy, and in all the same: as many are ejected as may be */
	TD_POOL_KEPT_LAST,  /* the same: nobody is healthy */
};

struct td_pool_member {
	bool usable; /* told to be up, with a weight; else it is IN or OUT, and counts nowhere */
	bool backup, healthy;
	uint64_t
		since_ns; /* when it became unhealthy; of several at the same time the first goes */
	enum td_pool_place place; /* what td_pool_settle says */
};

/* @max_ejected: percent of those that are no backups, 0..100
 * Returns 0 or -ENOMEM, no place given then. */
int td_pool_settle(struct td_pool_member *members, size_t n, unsigned int max_ejected);

#endif
